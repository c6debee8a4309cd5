/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The log: see log.h. The level and the program's name are the only state.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

static const struct {
    const char *name;
    int priority; /* sd-daemon(3) */
} levels[N_LOG_LEVELS] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_WARN] = {"warn", 4},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

static const char *log_program = "canaryd";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool log_to_journal;

int log_level_parse(const char *name)
{
    for (int i = 0; i < N_LOG_LEVELS; i++)
        if (strcmp(name, levels[i].name) == 0)
            return i;
    return -1;
}

const char *log_level_name(enum log_level level)
{
    return levels[level].name;
}

void log_init(const char *program, enum log_level level)
{
    log_program = program;
    log_threshold = level;
    log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_level(enum log_level level)
{
    log_threshold = level;
}

/* Copies src to dst, control bytes as \xHH; UTF-8 passes. Always terminates. */
static size_t escape(char *dst, size_t size, const char *src)
{
    size_t n = 0;
    for (; *src != '\0' && n + 5 < size; src++) {
        unsigned char c = (unsigned char)*src;
        if (c >= 0x20 && c != 0x7f)
            dst[n++] = (char)c;
        else
            n += (size_t)snprintf(dst + n, size - n, "\\x%02x", c);
    }
    dst[n] = '\0';
    return n;
}

__attribute__((format(printf, 2, 0))) static void emit(enum log_level level, const char *fmt,
                                                       va_list ap)
{
    char said[1024];
    char line[1400];
    size_t n;
    vsnprintf(said, sizeof said, fmt, ap);
    if (log_to_journal) {
        n = (size_t)snprintf(line, sizeof line, "<%d>", levels[level].priority);
    } else {
        char now[CLOCK_TEXT_SIZE];
        clock_text(clock_wall_ns(), now);
        n = (size_t)snprintf(line, sizeof line, "%s %s %s: ", now, log_program, levels[level].name);
    }
    n += escape(line + n, sizeof line - n - 1, said);
    line[n++] = '\n';
    /* One write, so that lines of several processes do not mix. A log that
     * cannot be written has nowhere to complain to. */
    ssize_t ignored = write(STDERR_FILENO, line, n);
    (void)ignored;
}

#define LOG_FUNCTION(function, level)                                                              \
    void function(const char *fmt, ...)                                                            \
    {                                                                                              \
        va_list ap;                                                                                \
        if ((level) > log_threshold)                                                               \
            return;                                                                                \
        va_start(ap, fmt);                                                                         \
        emit(level, fmt, ap);                                                                      \
        va_end(ap);                                                                                \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void fatal(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    emit(LOG_LEVEL_ERROR, fmt, ap);
    va_end(ap);
    exit(status);
}
