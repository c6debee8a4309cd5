/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker's life: take the model from its descriptor, say READY or REFUSE,
 * then answer questions until QUIT or end of file.
 */
#ifndef CANARYD_SERVE_H
#define CANARYD_SERVE_H

/* socket_fd, model_fd: see wire.h. Returns the process's exit status: 0 after
 * QUIT or end of file, EX_DATAERR when the model was refused, EX_PROTOCOL when
 * the supervisor said something that is not in the treaty. */
int serve(int socket_fd, int model_fd);

#endif
