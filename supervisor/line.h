/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Workers stand in line: what a turn of the loop has to do for several of them
 * is done at its end, in their order in one turn and in the opposite one in the
 * next. The kernel would tell of them in the same order turn after turn, and
 * the last in line would look slower.
 */
#ifndef CANARYD_LINE_H
#define CANARYD_LINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct line;

/* Somebody's place, in a struct of its own; all zero but for serve. */
struct line_place {
    TAILQ_ENTRY(line_place) next;
    uint64_t rank; /* by age, whoever stood here first; 0: never yet */
    bool waits;
    void (*serve)(struct line_place *place);
};

/* Where workers stand to be read and to be written: one of each for an event base. */
struct lines {
    struct line *reads;
    struct line *writes;
};

/* Fills *lines; what it holds is the caller's to close, when nobody stands there. */
void lines_open(struct lines *lines, struct event_base *base);
void lines_close(struct lines *lines);

/* serve runs once, after the callbacks that are due in this turn, never from
 * inside this call. Whoever waits already keeps waiting. */
void line_wait(struct line *line, struct line_place *place);

/* The place goes; serve does not run for it any more. */
void line_leave(struct line *line, struct line_place *place);

#endif
