/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of a failed allocation in the libraries that canaryd uses.
 */
#ifndef CANARYD_MEMORY_H
#define CANARYD_MEMORY_H

/* From now on libevent and cJSON allocate by mem.h: on exhaustion canaryd says so
 * and exits with 70, and its successor finds everything as it was saved. Neither
 * can be followed safely through a failed allocation of its own. First of all calls. */
void memory_check_libraries(void);

#endif
