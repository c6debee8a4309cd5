/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A scripted canaryd; see fake_canaryd.h.
 */
#include "tests/support/fake_canaryd.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "tests/support/fake_odd.h"

struct fake {
    pid_t pid;
    int port;
    char url[64];
};

/* The child's whole world. */
struct world {
    struct fake_plan plan;
    struct event_base *base;
    const char *stable;
    bool canary, slow, was_rolled_back;
    int n_predictions, n_stable, n_canary, n_slow;
};

static bool alert_stands(const struct world *w)
{
    int wanted = w->plan.min_samples == 0 ? 36 : w->plan.min_samples;
    int slow = w->plan.slow_samples == 0 ? 3 : w->plan.slow_samples;
    if (w->plan.false_alarm)
        return w->n_canary > 0;
    return !w->plan.never_alerts && w->n_slow >= slow && w->n_canary >= wanted;
}

static void on_predict(struct evhttp_request *r, struct world *w)
{
    int n = ++w->n_predictions;
    bool canary = w->canary && n % 10 == 3;
    if (w->plan.fail_every > 0 && n % w->plan.fail_every == 0) {
        fake_refuse(r, 503, "overloaded", "too many requests are in flight");
        return;
    }
    w->n_canary += canary;
    w->n_stable += !canary;
    w->n_slow += canary && w->slow;
    if (w->canary && w->plan.auto_rollback && alert_stands(w)) {
        w->canary = false;
        w->was_rolled_back = true;
    }
    evhttp_add_header(evhttp_request_get_output_headers(r), "X-Canary-Arm",
                      canary ? "canary" : "stable");
    evbuffer_add_printf(fake_body(r),
                        "{\"churn_probability\":0.22,\"model_used\":\"%s\",\"latency_ms\":%g,"
                        "\"request_id\":\"req_%d\"}",
                        canary ? "canary" : "stable", canary && w->slow ? 10.05 : 0.05, n);
    fake_reply(r, 200, "application/json");
}

static bool is_json_model(struct evhttp_request *r)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r);
    struct evbuffer_ptr at = evbuffer_search(in, ".json\"", 6, NULL);
    return at.pos >= 0;
}

static void on_deploy(struct evhttp_request *r, struct world *w)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r);
    bool replace = evbuffer_search(in, "\"replace\":true", 14, NULL).pos >= 0;
    if (w->plan.no_python && !is_json_model(r)) {
        fake_refuse(r, 422, "model-invalid", "the model needs Python 3 with scikit-learn");
        return;
    }
    if (w->canary && !replace) {
        fake_refuse(r, 409, "canary-active", "a canary is active");
        return;
    }
    w->canary = true;
    w->was_rolled_back = false;
    w->n_stable = w->n_canary = w->n_slow = 0;
    evbuffer_add_printf(fake_body(r),
                        "{\"status\":\"success\",\"message\":\"Canary model deployed "
                        "successfully\",\"model_path\":\"models/model_v2.json\","
                        "\"canary_start_time\":\"2025-08-03T20:16:00.123456+00:00\"}");
    fake_reply(r, 200, "application/json");
}

static void on_rollback(struct evhttp_request *r, struct world *w)
{
    if (w->plan.dies_at_rollback)
        _exit(0);
    if (!w->canary && !w->was_rolled_back) {
        fake_refuse(r, 409, "no-canary", "there is no canary to roll back");
        return;
    }
    evbuffer_add_printf(fake_body(r),
                        "{\"status\":\"success\",\"message\":\"Canary rolled back "
                        "successfully\"%s}",
                        w->canary ? "" : ",\"rolled_back_by\":\"judge\"");
    if (!w->plan.canary_stays)
        w->canary = false;
    fake_reply(r, 200, "application/json");
}

static void on_promote(struct evhttp_request *r, struct world *w)
{
    if (!w->canary) {
        fake_refuse(r, 409, "no-canary", "there is no canary to promote");
        return;
    }
    evbuffer_add_printf(fake_body(r),
                        "{\"status\":\"success\",\"message\":\"Canary promoted to stable "
                        "successfully\",\"previous_stable_model\":\"%s\","
                        "\"new_stable_model\":\"model_v2.json\"}",
                        w->stable);
    if (!w->plan.promotion_lies)
        w->stable = "model_v2.json";
    w->canary = false;
    fake_reply(r, 200, "application/json");
}

static void on_health(struct evhttp_request *r, struct world *w)
{
    bool alert = alert_stands(w);
    cJSON *j = cJSON_CreateObject();
    cJSON_AddBoolToObject(j, "alert_triggered", alert);
    cJSON_AddNumberToObject(j, "p_value", alert ? 0.0031 : 0.234);
    cJSON_AddStringToObject(j, "message",
                            alert ? "ALERT: Canary latency is significantly higher than stable."
                                  : "Canary performance is acceptable.");
    cJSON_AddNumberToObject(j, "stable_avg_latency_ms", 15.2);
    cJSON_AddNumberToObject(j, "canary_avg_latency_ms", 25.8);
    cJSON_AddNumberToObject(j, "stable_sample_count", w->n_stable);
    cJSON_AddNumberToObject(j, "canary_sample_count", w->n_canary);
    cJSON_AddBoolToObject(j, "canary_active", w->canary);
    cJSON_AddNumberToObject(j, "t_statistic", 2.31);
    cJSON_AddNumberToObject(j, "degrees_of_freedom", 24.1);
    const double interval[] = {-0.9, 12.7};
    cJSON_AddItemToObject(j, "confidence_interval_ms", cJSON_CreateDoubleArray(interval, 2));
    cJSON_AddNumberToObject(j, "min_samples", w->plan.min_samples == 0 ? 36 : w->plan.min_samples);
    if (w->was_rolled_back)
        cJSON_AddTrueToObject(j, "rolled_back");
    fake_reply_json(r, j);
}

static void on_slowdown(struct evhttp_request *r, struct world *w)
{
    w->slow = !w->slow;
    evbuffer_add_printf(fake_body(r),
                        "{\"simulate_slowdown\":%s,\"message\":\"Slowdown simulation %s\"}",
                        w->slow ? "true" : "false", w->slow ? "enabled" : "disabled");
    fake_reply(r, 200, "application/json");
}

static void on_status(struct evhttp_request *r, struct world *w)
{
    evbuffer_add_printf(
        fake_body(r),
        "{\"version\":\"0.1.0\",\"uptime_s\":7450,\"state\":\"%s\",\"canary_percent\":10,"
        "\"simulate_slowdown\":%s,\"stable\":{\"model\":\"%s\",\"processes\":[{\"pid\":4711,"
        "\"state\":\"ready\",\"role\":\"stable\",\"requests\":%d,\"faults\":0,\"restarts\":1,"
        "\"round_trip_ms\":{\"mean\":0.05,\"p50\":0.04,\"p99\":0.3}}]},\"canary\":%s,"
        "\"requests\":{\"total\":%d,\"in_flight\":0},\"settings\":{\"slowdown_ms\":10}}",
        w->canary ? "canary" : "idle", w->slow ? "true" : "false", w->stable, w->n_stable,
        w->canary ? "{\"model\":\"model_v2.json\",\"percent\":10,\"processes\":[]}" : "null",
        w->n_predictions);
    fake_reply(r, 200, "application/json");
}

static void on_state(struct evhttp_request *r, struct world *w)
{
    evbuffer_add_printf(
        fake_body(r), "{\"slow\":%s,\"canary\":%s,\"stable\":\"%s\",\"predictions\":%d}",
        w->slow ? "true" : "false", w->canary ? "true" : "false", w->stable, w->n_predictions);
    fake_reply(r, 200, "application/json");
}

static const struct {
    const char *path;
    void (*run)(struct evhttp_request *r, struct world *w);
} routes[] = {
    {"/predict", on_predict},
    {"/admin/deploy-canary", on_deploy},
    {"/admin/rollback-canary", on_rollback},
    {"/admin/promote-canary", on_promote},
    {"/admin/check-canary-health", on_health},
    {"/admin/toggle-slowdown", on_slowdown},
    {"/admin/status", on_status},
    {"/test/state", on_state},
};

static void on_request(struct evhttp_request *r, void *arg)
{
    struct world *w = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(r));
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        size_t n = strlen(routes[i].path), have = strlen(path);
        if (have >= n && strcmp(path + have - n, routes[i].path) == 0) {
            routes[i].run(r, w);
            return;
        }
    }
    if (!fake_odd_route(r, path, w->base))
        fake_refuse(r, 404, "no-such-path", "there is nothing here");
}

static void serve(int fd, const struct fake_plan *plan)
{
    struct world w = {
        .plan = *plan,
        .base = event_base_new(),
        .stable = "model_v1.json",
        .canary = plan->canary_at_start,
        .slow = plan->slowdown_at_start,
    };
    struct evhttp *http = evhttp_new(w.base);
    evutil_make_socket_nonblocking(fd);
    evhttp_accept_socket(http, fd);
    evhttp_set_gencb(http, on_request, &w);
    event_base_dispatch(w.base);
    _exit(0);
}

struct fake *fake_start(const struct fake_plan *plan)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        abort();
    struct fake *f = mem_alloc(sizeof *f);
    f->port = ntohs(address.sin_port);
    snprintf(f->url, sizeof f->url, "http://localhost:%d", f->port);
    pid_t parent = getpid();
    f->pid = fork();
    if (f->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* no test leaves one behind */
        if (getppid() != parent)
            _exit(0);
        signal(SIGPIPE, SIG_IGN);
        serve(fd, plan);
    }
    close(fd);
    return f;
}

void fake_stop(struct fake **f)
{
    if (*f == NULL)
        return;
    kill((*f)->pid, SIGKILL);
    waitpid((*f)->pid, NULL, 0);
    free(*f);
    *f = NULL;
}

int fake_port(const struct fake *f)
{
    return f->port;
}

const char *fake_url(const struct fake *f)
{
    return f->url;
}
