/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/address.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_written(void **state)
{
    union address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(8000)}};
    union address v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)}};
    char text[80];
    (void)state;
    v4.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(address_text(&v4, text, sizeof text));
    assert_string_equal(text, "127.0.0.1:8000");
    v6.v6.sin6_addr = in6addr_loopback;
    assert_true(address_text(&v6, text, sizeof text));
    assert_string_equal(text, "[::1]:65535");
    assert_true(address_text(&v4, text, 5));
    assert_string_equal(text, "127.");
}

static void test_others_are_left_alone(void **state)
{
    const union address local = {.local = {.sun_family = AF_UNIX, .sun_path = "/x"}};
    const union address none = {.any = {.sa_family = AF_UNSPEC}};
    char text[8] = "as was";
    (void)state;
    assert_false(address_text(&local, text, sizeof text));
    assert_false(address_text(&none, text, sizeof text));
    assert_string_equal(text, "as was");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_others_are_left_alone),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
