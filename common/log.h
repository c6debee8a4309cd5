/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One line per event on standard error. Under systemd (JOURNAL_STREAM is set)
 * lines carry the <N> priority prefix; elsewhere the time and the level.
 * Control bytes are escaped, so that nothing a client or a worker says can
 * forge a line.
 */
#ifndef CANARYD_LOG_H
#define CANARYD_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, N_LOG_LEVELS };

/* name: "error", "warn", "info" or "debug". Returns the level, or -1. */
int log_level_parse(const char *name);
const char *log_level_name(enum log_level level);

/* program is kept, not copied. */
void log_init(const char *program, enum log_level level);
void log_set_level(enum log_level level);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For an environment without which nothing can go on (out of memory, no epoll):
 * logs and exits with status (a sysexits code). */
void fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));

#endif
