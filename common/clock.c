/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading and printing time; see clock.h.
 */
#include "common/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static _Thread_local int64_t first_ns;

int64_t clock_mono_ns(void)
{
    int64_t now = read_ns(CLOCK_MONOTONIC);
    if (first_ns == 0)
        first_ns = now;
    return now;
}

int64_t clock_coarse_ns(void)
{
    return read_ns(CLOCK_MONOTONIC_COARSE);
}

int64_t clock_first_ns(void)
{
    return first_ns;
}

void clock_forget_first(void)
{
    first_ns = 0;
}

int64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

struct timeval clock_span(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

struct timeval clock_until(int64_t deadline_ns)
{
    int64_t now = clock_mono_ns();
    int64_t left = deadline_ns > now ? deadline_ns - now : 0;
    return (struct timeval){.tv_sec = left / NS_PER_SEC, .tv_usec = left % NS_PER_SEC / 1000 + 1};
}

void clock_text(int64_t wall_ns, char text[CLOCK_TEXT_SIZE])
{
    time_t seconds = wall_ns / NS_PER_SEC;
    struct tm tm;
    char date[24];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, CLOCK_TEXT_SIZE, "%s.%06d+00:00", date, (int)(wall_ns % NS_PER_SEC / 1000));
}
