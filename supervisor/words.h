/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a child process says on its standard output and error: read from a
 * pipe, logged line by line under the child's name, and the last of it kept
 * for its obituary. A child that talks too much can neither hold up the loop
 * nor fill the log: a turn reads a little, a second logs a few lines.
 */
#ifndef CANARYD_WORDS_H
#define CANARYD_WORDS_H

struct event_base;
struct words;

#define WORDS_LINE_BYTES     300 /* longer lines are cut */
#define WORDS_LINES_A_SECOND 20  /* more are counted and not logged */
#define WORDS_LAST_SIZE      (2 * WORDS_LINE_BYTES + 16)

/* A pipe whose writing end is for spawn_request's output_fd: *write_fd, the
 * caller's to close after it. The reading end becomes the words'. who names the
 * child in the log: "worker 4711 (canary)". NULL with errno. */
struct words *words_new(struct event_base *base, int *write_fd);
void words_set_who(struct words *w, const char *who); /* copied */

/* Reads what a dead child left in the pipe, and no more after that: children of
 * its own may hold the other end, so there is no end of file to wait for. */
void words_read_rest(struct words *w);

/* The last two lines that were not blank, joined by " | ", as valid UTF-8; "" when it
 * said nothing. Borrowed until more is read. */
const char *words_last(const struct words *w);

void words_free(struct words **w);

#endif
