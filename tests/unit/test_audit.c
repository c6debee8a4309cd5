/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the journal keeps of admin calls: changes each, looks once, and of many
 * refusals a few with the number of the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/jsonx.h"
#include "common/log.h"
#include "supervisor/audit.h"
#include "supervisor/chores.h"
#include "supervisor/gateway.h"
#include "supervisor/journal.h"
#include "tests/support/scratch.h"

static struct event_base *base;
static struct chores *chores;
static struct journal *journal;
static struct audit *audit;
static cJSON *entries;

static int setup(void **state)
{
    char dir[SCRATCH_PATH_SIZE];
    struct err e = {0};
    if (scratch_setup(state) < 0)
        return -1;
    scratch_path(dir, "");
    log_set_level(LOG_LEVEL_ERROR);
    base = event_base_new();
    chores = chores_new(base);
    journal = journal_open(dir, chores, &e);
    audit = audit_new(journal);
    return journal != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    cJSON_Delete(entries);
    entries = NULL;
    chores_free(&chores);
    journal_free(&journal);
    audit_free(&audit);
    event_base_free(base);
    return scratch_teardown(state);
}

static void call(const char *method, const char *peer, bool by_token, int status)
{
    audit_call(audit, &(struct admin_call){.method = method,
                                           .path = "/admin/x",
                                           .request_id = "req_1",
                                           .peer = peer,
                                           .by_token = by_token,
                                           .is_change = strcmp(method, "POST") == 0,
                                           .status = status});
}

static int n_entries(void)
{
    cJSON_Delete(entries);
    entries = journal_recent(journal);
    return cJSON_GetArraySize(entries);
}

static void test_changes(void **state)
{
    (void)state;
    call("POST", "127.0.0.1:1", true, 200);
    call("POST", "127.0.0.1:1", true, 409);
    call("POST", "uid 1000, pid 7", false, 422);
    assert_int_equal(n_entries(), 3);
    const cJSON *entry = cJSON_GetArrayItem(entries, 2);
    assert_string_equal(jsonx_member(entry, "event")->valuestring, "admin");
    assert_string_equal(jsonx_member(entry, "peer")->valuestring, "uid 1000, pid 7");
    assert_string_equal(jsonx_member(entry, "request_id")->valuestring, "req_1");
    assert_int_equal(jsonx_member(entry, "status")->valueint, 422);
    assert_true(cJSON_IsFalse(jsonx_member(entry, "token")));
}

static void test_looks(void **state)
{
    static const struct {
        const char *peer;
        bool by_token;
        int n; /* entries after it */
    } looks[] = {
        {"127.0.0.1:1", false, 1},     {"127.0.0.1:2", false, 1},     {"127.0.0.1:2", true, 2},
        {"127.0.0.2:2", false, 3},     {"[::1]:2", false, 4},         {"[::1]:3", false, 4},
        {"uid 1000, pid 7", false, 5}, {"uid 1000, pid 8", false, 5}, {"uid 1001, pid 8", false, 6},
        {"127.0.0.1:3", false, 6},
    };
    (void)state;
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        call("GET", looks[i].peer, looks[i].by_token, 200);
        if (n_entries() != looks[i].n)
            fail_msg("%s: %d entries", looks[i].peer, n_entries());
    }
}

static void test_refusals(void **state)
{
    static const int statuses[] = {401, 403, 429};
    char peer[40];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(peer, sizeof peer, "192.0.2.%d:%d", i % 256, i);
        call(i % 2 == 0 ? "GET" : "POST", peer, false, statuses[i % 3]);
    }
    assert_in_range(n_entries(), 10, 12);
    call("POST", "127.0.0.1:1", true, 200); /* these are never left out */
    assert_string_equal(
        jsonx_member(cJSON_GetArrayItem(entries, n_entries() - 1), "peer")->valuestring,
        "127.0.0.1:1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_changes), TEST(test_looks), TEST(test_refusals)};
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
