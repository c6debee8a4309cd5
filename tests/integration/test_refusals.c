/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What may not be deployed: a refusal names its reason and leaves everything as
 * it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cage.h"
#include "common/mem.h"
#include "tests/support/answer.h"
#include "tests/support/python.h"
#include "tests/support/server.h"
#include "tests/support/status.h"
#include "tests/support/workdir.h"

#define SHA_OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct http_answer *deploy(struct server *s, const char *body)
{
    return server_post(s, "/admin/deploy-canary", body);
}

/* What a refused deployment must not touch. */
struct picture {
    pid_t stable;
    const char *sha256, *state;
};

static struct picture picture_of(struct server *s)
{
    struct picture p = {.stable = status_pid(s, "stable")};
    const struct http_answer *a = status_get(s);
    p.sha256 = answer_string(a, "stable.sha256");
    p.state = answer_string(a, "state");
    answer_is_null(a, "canary");
    return p;
}

static void expect_unchanged(struct server *s, const struct picture *before, const char *after)
{
    struct picture now = picture_of(s);
    if (now.stable != before->stable || strcmp(now.sha256, before->sha256) != 0 ||
        strcmp(now.state, before->state) != 0)
        fail_msg("%s has changed something: pid %d to %d, %s to %s, %s to %s", after,
                 (int)before->stable, (int)now.stable, before->sha256, now.sha256, before->state,
                 now.state);
    assert_int_not_equal(now.stable, 0);
}

static const struct {
    const char *body;
    int status, or_status;
    const char *code;  /* NULL: any */
    const char *needs; /* a file that not every machine lets us make; NULL: none */
} refusals[] = {
    {"{\"model_path\":\"missing.json\"}", 404, 0, NULL, NULL},
    {"{\"model_path\":\"models/missing.json\"}", 404, 0, NULL, NULL},
    {"{\"model_path\":\"missing/model_v2.json\"}", 404, 0, NULL, NULL},
    {"{\"model_path\":\"../models/model_v2.json\"}", 400, 0, "path-outside-model-dir", NULL},
    {"{\"model_path\":\"models/../../models/model_v2.json\"}", 400, 0, "path-outside-model-dir",
     NULL},
    {"{\"model_path\":\"/etc/passwd\"}", 400, 0, "path-outside-model-dir", NULL},
    {"{\"model_path\":\"/dev/stdin\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":\"link_out.json\"}", 400, 403, NULL, NULL},
    {"{\"model_path\":\"link_dir/passwd\"}", 400, 403, NULL, NULL},
    {"{\"model_path\":\"hard.json\"}", 400, 403, NULL, NULL},
    {"{\"model_path\":\".\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":\"models\"}", 400, 404, NULL, NULL},
    {"{\"model_path\":\"folder\"}", 400, 0, "not-a-regular-file", NULL},
    {"{\"model_path\":\"fifo.json\"}", 400, 0, "not-a-regular-file", NULL},
    {"{\"model_path\":\"socket.json\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":\"null.json\"}", 400, 0, "not-a-regular-file", "models/null.json"},
    {"{\"model_path\":\"huge.json\"}", 413, 0, "model-too-large", "models/huge.json"},
    {"{\"model_path\":\"model_v2.json/\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":\"\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\\u0000.txt\"}", 400, 0, NULL, NULL},
    {"{\"model_path\":5}", 422, 0, "wrong-type", NULL},
    {"{\"model_path\":null}", 422, 0, NULL, NULL},
    {"{}", 400, 422, "missing-model-path", NULL},
    {"{\"model_path\":\"model_v2.json\"", 400, 0, "bad-json", NULL},
    {"[]", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"sha256\":\"zz\"}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"sha256\":5}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"sha256\":\"" SHA_OF_NOTHING "\"}", 422, 409, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":-1}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":0}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":60}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":101}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":-1e-9}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":1e999}", 422, 0, "not-finite", NULL},
    {"{\"model_path\":\"model_v2.json\",\"percent\":\"10\"}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"model_v2.json\",\"replace\":\"yes\"}", 422, 0, NULL, NULL},
    {"{\"model_path\":\"four.json\"}", 409, 0, "incompatible-inputs", NULL},
};

/* y = logistic(sum of the inputs), in as many inputs as coefficients say. */
#define MODEL(n_features, coefficients)                                                            \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"logistic-regression\",\"n_"            \
    "features\":" n_features ",\"linear\":{\"coefficients\":" coefficients ",\"intercept\":0},"    \
    "\"link\":\"logistic\"}"
#define TREE(feature, left, right)                                                                 \
    "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"decision-tree\",\"n_features\":5,"     \
    "\"ensemble\":{\"compare\":\"float64\",\"trees\":[{\"feature\":[" feature                      \
    ",-1,-1],\"threshold\":[0.5,0,0],"                                                             \
    "\"left\":[" left ",-1,-1],\"right\":[" right ",-1,-1],\"value\":[0,0.25,0.75]}]},"            \
    "\"link\":\"identity\"}"

#define XGBOOST(booster, base_score, n_nodes)                                                      \
    "{\"learner\":{\"gradient_booster\":{\"name\":\"" booster "\",\"model\":{\"trees\":[{\"left_"  \
    "children\":[1,-1,-1],\"tree_param\":{\"num_nodes\":\"" n_nodes                                \
    "\"}}],\"gbtree_model_param\":{\"num_parallel_tree\":\"4294967295\"}}},"                       \
    "\"learner_model_param\":{\"base_score\":" base_score "}},\"version\":[1,6,2]}"

static void make_special_files(struct server *s)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    workdir_copy(server_path(s, "models/model_v2.json"), s->dir, "models/twin.json");
    workdir_write_text(s->dir, "models/four.json", MODEL("4", "[1,1,1,1]"));
    assert_int_equal(symlink("/etc/passwd", server_path(s, "models/link_out.json")), 0);
    assert_int_equal(symlink("/etc", server_path(s, "models/link_dir")), 0);
    assert_int_equal(link(server_path(s, "models/twin.json"), server_path(s, "models/hard.json")),
                     0);
    assert_int_equal(mkdir(server_path(s, "models/folder"), 0755), 0);
    assert_int_equal(mkfifo(server_path(s, "models/fifo.json"), 0644), 0);
    if (mknod(server_path(s, "models/null.json"), S_IFCHR | 0666, makedev(1, 3)) != 0)
        print_message("no mknod here: the case of a device is left out\n");
    workdir_write_text(s->dir, "models/huge.json", "");
    if (truncate(server_path(s, "models/huge.json"), (off_t)100 << 30) != 0)
        unlink(server_path(s, "models/huge.json"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", server_path(s, "models/socket.json"));
    assert_int_equal(bind(fd, (const struct sockaddr *)&to, sizeof to), 0);
    close(fd);
}

static void test_refusals(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    make_special_files(s);
    struct picture before = picture_of(s);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const char *body = refusals[i].body;
        if (refusals[i].needs != NULL && !workdir_exists(server_path(s, refusals[i].needs)))
            continue;
        const struct http_answer *a = deploy(s, body);
        if (a->status != refusals[i].status && a->status != refusals[i].or_status)
            fail_msg("%s: expected %d, got %s%s", body, refusals[i].status, a->head, a->body);
        answer_is_problem(a, a->status, refusals[i].code);
        expect_unchanged(s, &before, body);
    }
    server_predict(s);
    server_stop(s);
}

/* root reads everything, so this is for the others. */
static void test_unreadable(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("SKIP test_unreadable: root reads files of mode 0\n");
        skip();
    }
    struct server *s = server_start(NULL);
    workdir_copy(server_path(s, "models/model_v2.json"), s->dir, "models/secret.json");
    assert_int_equal(chmod(server_path(s, "models/secret.json"), 0), 0);
    answer_is_problem(deploy(s, "{\"model_path\":\"secret.json\"}"), 403, "model-unreadable");
    server_stop(s);
}

static const struct {
    const char *name, *text;
} no_models[] = {
    {"empty", ""},
    {"prose", "hello, I am a model\n"},
    {"no object", "[]"},
    {"other JSON", "{}"},
    {"weight 1e999", MODEL("5", "[1e999,1,1,1,1]")},
    {"weight NaN", MODEL("5", "[NaN,1,1,1,1]")},
    {"too few weights", MODEL("5", "[1,1,1,1]")},
    {"n_features 2e9", MODEL("2000000000", "[1,1,1,1,1]")},
    {"n_features -1", MODEL("-1", "[1,1,1,1,1]")},
    {"coefficients twice", MODEL("5", "[1,1,1,1,1],\"coefficients\":[1,1,1,1,1]")},
    {"invalid UTF-8", MODEL("5,\"name\":\"\xff\xfe\"", "[1,1,1,1,1]")},
    {"unknown kind", "{\"format\":\"canaryd-model\",\"version\":1,\"kind\":\"quantum\"}"},
    {"cyclic tree", TREE("0", "0", "2")},
    {"tree with a child outside", TREE("0", "1", "999")},
    {"tree on feature 999", TREE("999", "1", "2")},
    {"XGBoost", XGBOOST("gbtree", "\"5E-1\"", "3")},
    {"XGBoost, dart", XGBOOST("dart", "\"5E-1\"", "3")},
    {"XGBoost, base_score", XGBOOST("gbtree", "\"abc\"", "3")},
    {"XGBoost, num_nodes lies", XGBOOST("gbtree", "\"5E-1\"", "300")},
};

/* Formats that nobody here reads: told by the extension, and not looked into. */
static const struct {
    const char *name, *bytes, *says;
} other_formats[] = {
    {"model.onnx", "\x08\x08\x12\x07pytorch", "expected .json, .joblib or .pkl"},
    {"cut.onnx", "\x08", "expected .json, .joblib or .pkl"},
    {"pickle.onnx", "\x80\x04N.", "expected .json, .joblib or .pkl"},
    {"model", MODEL("5", "[1,1,1,1,1]"), "expected .json, .joblib or .pkl"},
    {"model.JSON", MODEL("5", "[1,1,1,1,1]"), "expected .json, .joblib or .pkl"},
    {"pickle.json", "\x80\x04N.", "byte 0"},
};

static void expect_no_model(struct server *s, const char *what, const char *text, size_t n)
{
    workdir_write(s->dir, "models/bad.json", text, n);
    const struct http_answer *a = deploy(s, "{\"model_path\":\"bad.json\"}");
    if (a->status != 422)
        fail_msg("%s: %s%s", what, a->head, a->body);
    const char *detail = answer_is_problem(a, 422, "model-invalid");
    if (strlen(detail) < 10)
        fail_msg("%s: refused without a reason: %s", what, a->body);
}

static void test_no_models(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    struct picture before = picture_of(s);
    for (size_t i = 0; i < sizeof no_models / sizeof no_models[0]; i++) {
        expect_no_model(s, no_models[i].name, no_models[i].text, strlen(no_models[i].text));
        expect_unchanged(s, &before, no_models[i].name);
    }
    char *deep = mem_array(100000, 1);
    memset(deep, '[', 100000);
    expect_no_model(s, "100000 levels", deep, 100000);
    free(deep);
    char *real = workdir_read(server_path(s, "models/model_v2.json"));
    expect_no_model(s, "half a model", real, strlen(real) / 2);
    free(real);
    expect_unchanged(s, &before, "the last of them");
    server_predict(s);
    server_stop(s);
}

static void test_other_formats(void **state)
{
    (void)state;
    struct server *s = server_start(NULL);
    struct picture before = picture_of(s);
    for (size_t i = 0; i < sizeof other_formats / sizeof other_formats[0]; i++) {
        char *file = mem_printf("models/%s", other_formats[i].name);
        char *body = mem_printf("{\"model_path\":\"%s\"}", file);
        workdir_write_text(s->dir, file, other_formats[i].bytes);
        const char *detail = answer_is_problem(deploy(s, body), 422, "model-invalid");
        if (strstr(detail, other_formats[i].says) == NULL)
            fail_msg("%s: %s", other_formats[i].name, detail);
        expect_unchanged(s, &before, file);
        free(file);
        free(body);
    }
    server_stop(s);
}

/* 30 MB of text become more than the worker may have. */
static void test_a_model_that_needs_too_much(void **state)
{
    enum { N = 3000000 };
    (void)state;
    if (cage_exempt() != NULL) {
        print_message("SKIP: a %s has no limit of memory\n", cage_exempt());
        skip();
    }
    struct server *s = server_start((const char *const[]){"--worker-memory-bytes=134217728", NULL});
    struct picture before = picture_of(s);
    char *text = mem_array(2 * N + 300, 1);
    size_t n = (size_t)snprintf(text, 300, "%s", "{\"format\":\"canaryd-model\",\"about\":[");
    for (size_t i = 0; i < N; i++, n += 2)
        memcpy(text + n, "1,", 2);
    memcpy(text + n, "1]}", 3);
    workdir_write(s->dir, "models/large.json", text, n + 3);
    free(text);
    const char *detail =
        answer_is_problem(deploy(s, "{\"model_path\":\"large.json\"}"), 422, "model-invalid");
    if (strstr(detail, "out of memory") == NULL)
        fail_msg("%s", detail);
    expect_unchanged(s, &before, "large.json");
    server_stop(s);
}

/* The two inline models above are refused for what is wrong in them alone. */
static void test_handmade_models(void **state)
{
    (void)state;
    struct server *s = server_start((const char *const[]){"--auto-rollback=false", NULL});
    workdir_write_text(s->dir, "models/five.json", MODEL("5", "[1,1,1,1,1]"));
    workdir_write_text(s->dir, "models/tree.json", TREE("0", "1", "2"));
    answer_is(deploy(s, "{\"model_path\":\"five.json\"}"), 200);
    answer_is(deploy(s, "{\"model_path\":\"tree.json\",\"replace\":true}"), 200);
    const struct http_answer *a =
        server_ask(s, &(struct http_request){.method = "POST",
                                             .path = "/predict",
                                             .headers = "X-Canary: always\r\n",
                                             .body = GOOD_FEATURES});
    answer_is(a, 200);
    assert_near(answer_number(a, "churn_probability"), 0.25, 0, "the tree's answer");
    server_stop(s);
}

static void test_joblib_that_is_none(void **state)
{
    (void)state;
    SKIP_WITHOUT_SKLEARN();
    struct server *s = server_start(NULL);
    struct picture before = picture_of(s);
    workdir_write_text(s->dir, "models/text.joblib", "this is no pickle\n");
    answer_is_problem(deploy(s, "{\"model_path\":\"text.joblib\"}"), 422, NULL);
    expect_unchanged(s, &before, "text.joblib");
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_refusals),
        SERVER_TEST(test_unreadable),
        SERVER_TEST(test_no_models),
        SERVER_TEST(test_other_formats),
        SERVER_TEST(test_a_model_that_needs_too_much),
        SERVER_TEST(test_handmade_models),
        SERVER_TEST(test_joblib_that_is_none),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
