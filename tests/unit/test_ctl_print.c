/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What canaryctl prints of an answer: whole, with holes, or hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "ctl/print_answer.h"
#include "ctl/print_health.h"
#include "ctl/print_status.h"
#include "ctl/problem.h"

/* A printer into memory, and the end of it. */
static char *text;
static size_t n_text;

static struct printer open_printer(void)
{
    return printer_on(open_memstream(&text, &n_text));
}

static void assert_printed(struct printer *p, const char *const *parts)
{
    fclose(p->out);
    for (size_t i = 0; parts[i] != NULL; i++) {
        if (strstr(text, parts[i]) == NULL)
            fail_msg("\"%s\" is not in:\n%s", parts[i], text);
    }
    for (const char *c = text; *c != '\0'; c++) {
        if ((*c > 0 && *c < ' ' && *c != '\n') || *c == 0x7f)
            fail_msg("byte 0x%02x in:\n%s", (unsigned char)*c, text);
    }
    free(text);
}

static cJSON *read_json(const char *json)
{
    struct err e = {0};
    cJSON *root = jsonx_parse(json, strlen(json), &e);
    if (root == NULL)
        fail_msg("%s: %s", json, e.text);
    return root;
}

static const struct {
    void (*print)(const struct printer *p, const cJSON *json);
    const char *json;
    const char *parts[8];
} cases[] = {
    {print_health,
     "{\"alert_triggered\":true,\"p_value\":3.1e-12,\"message\":\"ALERT: slow.\","
     "\"stable_avg_latency_ms\":0.0414,\"canary_avg_latency_ms\":10.25,\"stable_sample_count\":180,"
     "\"canary_sample_count\":40,\"baseline_sample_count\":20,\"baseline_avg_latency_ms\":0.05,"
     "\"verdict\":\"rollback\",\"t_statistic\":21.5,\"degrees_of_freedom\":39.2,"
     "\"confidence_interval_ms\":[9.1,11.3],\"min_samples\":36,"
     "\"minimum_detectable_effect_ms\":0.5,\"rolled_back\":true,\"rolled_back_by\":\"judge\","
     "\"metrics\":[{\"test\":\"mean\",\"clock\":\"service\",\"evidence\":5.5,\"threshold\":4.4,"
     "\"anytime_p_value\":0.001,\"fired_at\":377},{\"test\":\"errors\",\"clock\":null,"
     "\"evidence\":0,\"threshold\":5.3,\"anytime_p_value\":1,\"fired_at\":null}]}",
     {"ALERT: slow.\n", "by the judge", "    baseline", "0.041 ms", "10.250 ms", "p = 3.1e-12",
      "+9.100 to +11.300 ms", "fired at request 377"}},
    {print_health,
     "{\"alert_triggered\":false,\"p_value\":null,\"message\":\"Insufficient data: need at least "
     "36 samples from each model.\",\"stable_avg_latency_ms\":null,\"canary_avg_latency_ms\":null,"
     "\"stable_sample_count\":1,\"canary_sample_count\":0,\"confidence_interval_ms\":null}",
     {"Insufficient data", "no p-value yet", "canary"}},
    {print_health,
     "{\"verdict\":\"inconclusive\",\"effect\":{\"difference_ms\":0.0123,\"interval_ms\":[-0.1,0."
     "25],"
     "\"minimum_detectable_effect_ms\":0.3},\"service_effect\":{\"difference_ms\":null},"
     "\"promotion\":{\"shown\":false,\"errors_are_fine\":false,\"clocks\":[{\"clock\":"
     "\"round_trip\",\"enough_samples\":true,\"mean\":{\"shown\":true},\"tail\":{\"shown\":false}},"
     "{\"clock\":\"service\",\"enough_samples\":false}]},\"expected\":{\"rollback_s\":190.5,"
     "\"rollback_requests\":1905,\"promotion_s\":null}}",
     {"    round_trip       +0.012 ms       -0.100 ms       +0.250 ms       +0.300 ms\n",
      "as good as stable  not shown yet: round_trip tail, service mean and tail (too few samples), "
      "errors\n",
      "if it stays slower  in 3 min 10 s, 1905 requests from now\n"}},
    {print_health,
     "{\"promotion\":{\"shown\":true,\"promoted_at\":13700},\"effect\":7,\"expected\":"
     "{\"rollback_s\":0,\"promotion_s\":0}}",
     {"as good as stable  shown at request 13700\n"}},
    {print_health, "{}", {"gave no verdict"}},
    {print_health, "[1,2]", {"gave no verdict"}},
    {print_health,
     "{\"message\":\"\\u001b[2J\\u0007\\u009b1m\\r\\u007f \\u00e9\",\"metrics\":[1,null,\"x\",{}]}",
     {"\\x1b[2J\\x07\\u009b1m\\x0d\\x7f \xc3\xa9"}},
    {print_health,
     "{\"stable_sample_count\":1e300,\"stable_avg_latency_ms\":-1e300,\"message\":5,"
     "\"canary_avg_latency_ms\":1e300,\"min_samples\":\"36\",\"confidence_interval_ms\":[1]}",
     {"1.000e+300", "-1.000e+300 ms"}},
    {print_answer,
     "{\"status\":\"success\",\"message\":\"Canary rolled back successfully\","
     "\"rolled_back_by\":\"judge\",\"percent\":12.5,\"simulate_slowdown\":false,\"x\":[1]}",
     {"Canary rolled back successfully\n", "already been rolled back", "12.5",
      "simulate slowdown  no"}},
    {print_answer, "7", {"Done."}},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cJSON *json = read_json(cases[i].json);
        struct printer p = open_printer();
        const char *parts[9] = {NULL};
        memcpy(parts, cases[i].parts, sizeof cases[i].parts);
        cases[i].print(&p, json);
        assert_printed(&p, parts);
        cJSON_Delete(json);
    }
}

static void test_status(void **state)
{
    static const char *const jsons[] = {
        "{\"version\":\"0.1.0\",\"uptime_s\":93784.5,\"state\":\"canary\","
        "\"simulate_slowdown\":true,\"stable\":{\"model\":\"a.json\",\"sha256\":"
        "\"0123456789abcdef\","
        "\"processes\":[{\"pid\":77,\"state\":\"ready\",\"role\":\"stable\",\"requests\":5},"
        "{\"pid\":78,\"state\":\"killed\",\"role\":\"baseline\",\"round_trip_ms\":null}]},"
        "\"canary\":{\"model\":\"b.json\",\"percent\":12.5,"
        "\"canary_start_time\":\"2025-08-03T20:16:00.123456+00:00\"},"
        "\"requests\":{\"total\":9,\"in_flight\":0,\"by\":{}}}",
        "{}",
        "[]",
        "{\"stable\":[],\"canary\":1,\"requests\":{},\"uptime_s\":\"x\"}",
    };
    static const char *const parts[][9] = {
        {"canaryd 0.1.0 at http://x, up 1 d 2 h", "sha256 0123456789ab\n", "b.json, 12.5 % of",
         "since 2025-08-03T20:16:00 UTC", "ON", "9 total, 0 in flight", "baseline", "78 killed",
         NULL},
        {"(unknown version)", NULL},
        {"(unknown version)", NULL},
        {"none", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof jsons / sizeof jsons[0]; i++) {
        cJSON *json = read_json(jsons[i]);
        struct printer p = open_printer();
        print_status(&p, json, "http://x");
        assert_printed(&p, parts[i]);
        cJSON_Delete(json);
    }
}

static const struct {
    int status;
    const char *path;
    const char *json; /* NULL: no JSON came */
    const char *parts[3];
} refusals[] = {
    {409,
     "/admin/deploy-canary",
     "{\"code\":\"canary-active\",\"detail\":\"a canary is active\"}",
     {"POST /admin/deploy-canary was refused: 409 canary-active: a canary is active\n",
      "What to do: see 'canaryctl status'; 'deploy --replace'"}},
    {409,
     "/admin/deploy-canary",
     "{\"detail\":\"it takes 4 inputs, stable takes 5\"}",
     {"409: it takes 4 inputs", "as many inputs"}},
    {422, "/admin/deploy-canary", "{\"detail\":\"Python is not there\"}", {"install Python 3"}},
    {404, "/admin/deploy-canary", "{\"detail\":\"no such file\"}", {"not to yours"}},
    {404, "/admin/status", NULL, {"404: the server gave no reason", "is it a canaryd"}},
    {401, "/admin/status", "{\"title\":\"Unauthorized\"}", {"401: Unauthorized", "--token-file"}},
    {400,
     "/predict",
     "{\"detail\":\"bad\",\"errors\":[{\"pointer\":\"#/features/3\",\"detail\":\"a number\"},7]}",
     {"  #/features/3: a number\n", "  ?: ?\n"}},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct question q = {.method = "POST", .path = refusals[i].path};
        struct answer a = {.status = refusals[i].status};
        struct printer p = open_printer();
        const char *parts[4] = {NULL};
        if (refusals[i].json != NULL)
            a.json = read_json(refusals[i].json);
        memcpy(parts, refusals[i].parts, sizeof refusals[i].parts);
        problem_print(&p, &q, &a);
        assert_printed(&p, parts);
        answer_clear(&a);
    }
}

static void test_durations(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } durations[] = {{0.25, "0.2 s"},       {59.9, "59.9 s"},    {60, "1 min 0 s"},
                     {3599, "59 min 59 s"}, {7384, "2 h 3 min"}, {200000, "2 d 7 h"}};
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        char cell[PRINT_CELL_SIZE];
        assert_string_equal(cell_duration(cell, durations[i].seconds), durations[i].text);
    }
}

/* A style begins and ends within its line. */
static void test_colour(void **state)
{
    (void)state;
    struct printer p = open_printer();
    assert_false(p.colour);
    p.colour = true;
    print_text(&p, STYLE_GOOD, "\nyes %d\n", 1);
    print_text(&p, STYLE_PLAIN, "plain\n");
    fclose(p.out);
    assert_string_equal(text, "\n\033[32myes 1\033[0m\nplain\n");
    free(text);
}

/* Without a canary nothing is to come. */
static void test_no_outlook(void **state)
{
    static const char *const gone[] = {"\"canary_active\":false", "\"rolled_back\":true"};
    (void)state;
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        char json[200];
        snprintf(json, sizeof json,
                 "{%s,\"promotion\":{\"shown\":false},\"expected\":{\"rollback_s\":5}}", gone[i]);
        cJSON *root = read_json(json);
        struct printer p = open_printer();
        print_health(&p, root);
        fclose(p.out);
        assert_null(strstr(text, "as good as stable"));
        assert_null(strstr(text, "if it stays"));
        free(text);
        cJSON_Delete(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_status),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_colour),   cmocka_unit_test(test_no_outlook),
    };
    return cmocka_run_group_tests_name("ctl_print", tests, NULL, NULL);
}
