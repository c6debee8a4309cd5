/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * worker_user is looked up where canaryd is root, and once only: the test stands
 * in the place of the user database, which may be a network away.
 */
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/settings.h"

static int n_looked_up;

uid_t geteuid(void)
{
    return 0;
}

struct passwd *getpwnam(const char *name)
{
    static struct passwd user;
    n_looked_up++;
    user = (struct passwd){.pw_uid = 4000 + (uid_t)n_looked_up, .pw_gid = 5000};
    return strcmp(name, "ghost") == 0 ? NULL : &user;
}

static struct settings *reload(const struct settings *now, const char *override)
{
    struct err e = {0};
    return settings_reload(now, NULL, &override, 1, &e);
}

static void test_a_name_is_looked_up_once(void **state)
{
    (void)state;
    struct settings *now = reload(NULL, "worker_user=somebody");
    assert_int_equal(n_looked_up, 1);
    assert_int_equal(now->worker_uid, 4001);
    struct settings *again = reload(now, "worker_user=somebody");
    assert_int_equal(n_looked_up, 1);
    assert_int_equal(again->worker_uid, 4001);
    assert_int_equal(again->worker_gid, 5000);
    struct settings *other = reload(again, "worker_user=another");
    assert_int_equal(n_looked_up, 2);
    assert_int_equal(other->worker_uid, 4002);
    struct settings *number = reload(other, "worker_user=61184");
    assert_int_equal(n_looked_up, 2);
    assert_int_equal(number->worker_uid, 61184);
    assert_null(reload(number, "worker_user=ghost"));
    settings_free(&number);
    settings_free(&other);
    settings_free(&again);
    settings_free(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_looked_up_once),
    };
    return cmocka_run_group_tests_name("settings_user", tests, NULL, NULL);
}
