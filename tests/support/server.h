/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real canaryd as a child process of a test, in a directory of its own.
 * All that a test gets from here (servers, answers, paths, texts) lives until
 * server_teardown, which also kills every server still there and shows the log
 * of each that was not stopped in order. So a test ends with server_stop, and
 * its entry in the table is SERVER_TEST(test).
 */
#ifndef CANARYD_TESTS_SERVER_H
#define CANARYD_TESTS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/http.h"

/* To be read only. */
struct server {
    pid_t pid;       /* 0 once it was reaped */
    uint16_t port;   /* 0 before it serves */
    const char *dir; /* holds models/, state/, run/, log and, if there is one, canaryd.json */
};

#define SERVER_START_MS 30000
#define SERVER_STOP_MS  15000
#define GOOD_FEATURES   "{\"features\": [0.5, 1.2, 0.8, 0.3, 1.1]}"

/* Starts canaryd and waits until it serves. args: NULL-terminated further
 * arguments, or NULL; they go before those that every test server gets. */
struct server *server_start(const char *const args[]);

/* The same with a settings file that holds the text config. */
struct server *server_start_config(const char *config, const char *const args[]);

/* The two halves: make the directory, for what a test wants to put there; start
 * the program, without waiting. A server that has exited may be launched again. */
struct server *server_prepare(void);
void server_launch(struct server *s, const char *const args[]);
void server_wait_ready(struct server *s);

/* What the child does just before it becomes canaryd, at every launch from now
 * on: for descriptors and variables that it shall find. */
void server_set_before(struct server *s, void (*before)(void *arg), void *arg);

/* SIGTERM, then the exit, which must come in time and with code 0. */
void server_stop(struct server *s);

void server_signal(struct server *s, int signal);

/* Waits for the exit; returns the code, or 128 + the signal that killed it. */
int server_wait_exit(struct server *s, int ms);

/* Says that this server has ended as the test wanted: no log at the teardown. */
void server_forget(struct server *s);

const char *server_path(struct server *s, const char *name); /* dir/name */
const char *server_log(struct server *s);                    /* all it has said so far */
bool server_log_says(struct server *s, const char *text);
void server_wait_log(struct server *s, const char *text);

/* Overwrites the settings file (whole: written beside it and renamed). */
void server_write_config(struct server *s, const char *config);

/* Fails the test when the condition does not hold within ms, or when the server
 * exits meanwhile. what: for the message. */
void server_wait_until(struct server *s, bool (*holds)(struct server *s, void *arg), void *arg,
                       const char *what, int ms);

/* One request over the server's kept connection (a new one where that was
 * closed). A missing or malformed answer fails the test. */
const struct http_answer *server_ask(struct server *s, const struct http_request *r);
const struct http_answer *server_get(struct server *s, const char *path);
const struct http_answer *server_post(struct server *s, const char *path, const char *body);
const struct http_answer *server_predict(struct server *s); /* GOOD_FEATURES, must answer 200 */

/* Closes the kept connection: the next request opens another, as curl would. */
void server_hang_up(struct server *s);

int server_teardown(void **state);
#define SERVER_TEST(test) cmocka_unit_test_teardown(test, server_teardown)

#endif
