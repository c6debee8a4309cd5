/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See line.h. They are few, so the list is kept in order by walking it.
 */
#include "supervisor/line.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/mem.h"

TAILQ_HEAD(line_places, line_place);

struct line {
    struct line_places waiting; /* by rank */
    struct event *on_served;
    uint64_t last_rank;
    bool backwards;
};

static struct line_place *take(struct line *line, bool backwards)
{
    struct line_place *place =
        backwards ? TAILQ_LAST(&line->waiting, line_places) : TAILQ_FIRST(&line->waiting);
    if (place != NULL)
        line_leave(line, place);
    return place;
}

/* Alone there is no order: only where several waited the next turn's is the other. */
static void on_served(evutil_socket_t fd, short what, void *arg)
{
    struct line *line = arg;
    bool backwards = line->backwards;
    struct line_place *place;
    (void)fd, (void)what;
    if (TAILQ_FIRST(&line->waiting) != TAILQ_LAST(&line->waiting, line_places))
        line->backwards = !backwards;
    while ((place = take(line, backwards)) != NULL)
        place->serve(place);
}

static struct line *line_new(struct event_base *base)
{
    struct line *line = mem_alloc(sizeof *line);
    TAILQ_INIT(&line->waiting);
    line->on_served = event_new(base, -1, 0, on_served, line);
    return line;
}

static void line_free(struct line **handle)
{
    struct line *line = *handle;
    if (line == NULL)
        return;
    *handle = NULL;
    assert(TAILQ_EMPTY(&line->waiting));
    event_free(line->on_served);
    free(line);
}

void lines_open(struct lines *lines, struct event_base *base)
{
    lines->reads = line_new(base);
    lines->writes = line_new(base);
}

void lines_close(struct lines *lines)
{
    line_free(&lines->reads);
    line_free(&lines->writes);
}

void line_wait(struct line *line, struct line_place *place)
{
    struct line_place *after = TAILQ_FIRST(&line->waiting);
    if (place->waits)
        return;
    if (place->rank == 0)
        place->rank = ++line->last_rank;
    if (after == NULL)
        event_active(line->on_served, EV_TIMEOUT, 0);
    while (after != NULL && after->rank < place->rank)
        after = TAILQ_NEXT(after, next);
    if (after != NULL)
        TAILQ_INSERT_BEFORE(after, place, next);
    else
        TAILQ_INSERT_TAIL(&line->waiting, place, next);
    place->waits = true;
}

void line_leave(struct line *line, struct line_place *place)
{
    if (!place->waits)
        return;
    TAILQ_REMOVE(&line->waiting, place, next);
    place->waits = false;
}
