/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The constant load: clients on keep-alive connections, a thread each, that
 * take every answer to account. It must be 200, carry the request's own id
 * once, and be what the version that it names predicts. Whatever else happens
 * is a failed request, and is told on standard error at once.
 */
#ifndef CANARYD_TESTS_LOAD_H
#define CANARYD_TESTS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct load;
struct oracle;

struct load_options {
    uint16_t port;
    int n_connections;
    int rate;       /* requests a second, all together */
    int give_up_ms; /* an answer that has not come by then is missing */
    bool may_break; /* the server will be killed: a lost connection is no failure */
    const struct oracle *oracle;
};

struct load_report {
    uint64_t n_requests, n_failed;
    uint64_t n_by_canary;
    double slowest_ms, p99_ms;
};

struct load *load_start(const struct load_options *options);

/* What is going on, said beside a request that fails from now on. */
void load_mark(struct load *l, const char *what);

/* So far. */
void load_look(struct load *l, struct load_report *r);

/* Every client gets its last answer; then they end. */
void load_stop(struct load **l, struct load_report *r);

#endif
