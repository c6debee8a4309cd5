/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of settings: --help, the checks and the types all come from here.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "judge/rule_settings.h"
#include "judge/urn.h"
#include "proto/wire.h"
#include "supervisor/settings_private.h"

static bool is_log_level(const char *text)
{
    return log_level_parse(text) >= 0;
}

static bool is_not_empty(const char *text)
{
    return text[0] != '\0';
}

/* Names of the guard's rows, with commas between them; none is one too. */
static bool is_row_list(const char *text)
{
    bool rows[N_RULE_ROWS];
    return rule_read_rows(text, rows);
}

static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;
    if (colon == NULL || colon == text || colon[1] < '0' || colon[1] > '9')
        return false;
    long port = strtol(colon + 1, &end, 10);
    return *end == '\0' && port <= 65535;
}

/* A port on loopback: whether the address is one shows when it is bound. */
static bool is_admin_address(const char *text)
{
    static const char socket[] = "unix:";
    if (strncmp(text, socket, strlen(socket)) == 0)
        return text[strlen(socket)] != '\0';
    return text[0] == '\0' || is_address(text);
}

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define HOST_BYTES         LETTERS_AND_DIGITS ".-_" /* of a name or address */

static bool is_host_list(const char *text)
{
    size_t n = strlen(text);
    return n == 0 || (strspn(text, HOST_BYTES ",") == n && text[0] != ',' && text[n - 1] != ',' &&
                      strstr(text, ",,") == NULL);
}

/* Those that mean something to HTTP or to us. */
static bool has_meaning(const char *header)
{
    static const char *const names[] = {
        "Host",          "Connection", "Content-Length",   "Content-Type", "Content-Encoding",
        "Accept",        "User-Agent", "Accept-Encoding",  "X-Request-ID", "X-Canary",
        "Authorization", "Expect",     "Transfer-Encoding"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(header, names[i]) == 0)
            return true;
    return false;
}

static bool is_user_header(const char *text)
{
    size_t n = strlen(text);
    return n <= SETTINGS_MAX_HEADER && strspn(text, LETTERS_AND_DIGITS "-_") == n &&
           !has_meaning(text);
}

static bool is_auto_or_off(const char *text)
{
    return strcmp(text, "auto") == 0 || strcmp(text, "off") == 0;
}

#define AT(field) .name = #field, .offset = offsetof(struct settings, field)
#define HOUR_MS   3600000
/* clang-format off */
const struct setting settings_table[] = {
    {AT(listen), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = is_address, .expected = "ADDRESS:PORT",
     .initial = "127.0.0.1:8000", .help = "where HTTP is served; port 0 takes a free one"},
    {AT(admin_listen), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = is_admin_address,
     .expected = "a loopback ADDRESS:PORT, unix:PATH (beneath runtime_dir), or empty", .initial = "",
     .help = "a listener of their own for the admin endpoints; they are nowhere else then"},
    {AT(admin_token_file), TYPE_TEXT,
     .initial = "", .help = "file of mode 0600 with the admin token (32 characters or more)"},
    {AT(allowed_hosts), TYPE_TEXT, .text_ok = is_host_list, .expected = "names with commas between",
     .initial = "", .help = "names besides loopback's by which admin endpoints are asked (Host)"},
    {AT(model_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = is_not_empty, .expected = "a directory",
     .initial = "models", .help = "the only directory that models are read from"},
    {AT(stable_model), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = is_not_empty, .expected = "a model's path",
     .initial = "model_v1.json", .help = "the model to serve, relative to model_dir"},
    {AT(canary_model), TYPE_TEXT,
     .initial = "", .help = "a model to deploy as canary; changed and reloaded (SIGHUP), the new one is deployed"},
    {AT(canary_percent), TYPE_REAL, 0, URN_MAX_PERCENT, .min_excluded = true,
     .initial = "10", .unit = "%", .help = "share of the traffic that a canary gets, exact"},
    {AT(min_samples), TYPE_WHOLE, 30, 1e9,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "36", .unit = "samples", .help = "from each model before the first verdict"},
    {AT(alpha), TYPE_REAL, 0, 0.5, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.05", .help = "probability of a false alarm that is accepted"},
    {AT(baseline), TYPE_SWITCH,
     .initial = "on", .help = "compare the canary with a second worker of stable that has as much traffic"},
    {AT(block_ms), TYPE_REAL, 0, HOUR_MS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "50", .unit = "ms", .help = "that a block of round trips lasts at least: within it canary and baseline are compared"},
    {AT(margin_ms), TYPE_REAL, 0, HOUR_MS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.1", .unit = "ms", .help = "a canary may be slower by so much ..."},
    {AT(margin_ratio), TYPE_REAL, 0, 100,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.2", .help = "... and by this part of the baseline's latency"},
    {AT(service_block_ms), TYPE_REAL, 0, HOUR_MS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "10", .unit = "ms", .help = "block_ms for the times that workers measure themselves, and for errors"},
    {AT(service_margin_ms), TYPE_REAL, 0, HOUR_MS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.01", .unit = "ms", .help = "margin_ms for the times that workers measure themselves"},
    {AT(service_margin_ratio), TYPE_REAL, 0, 100,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.05", .help = "margin_ratio for the times that workers measure themselves"},
    {AT(mean_part), TYPE_REAL, 0, 1, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.25", .help = "part of alpha for mean round trips; all parts together at most 1"},
    {AT(service_mean_part), TYPE_REAL, 0, 1, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.25", .help = "part of alpha for mean service times"},
    {AT(tail_part), TYPE_REAL, 0, 1, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.15", .help = "part of alpha for the slow end of round trips"},
    {AT(service_tail_part), TYPE_REAL, 0, 1, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.15", .help = "part of alpha for the slow end of service times"},
    {AT(errors_part), TYPE_REAL, 0, 1, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.1", .help = "part of alpha for faults, timeouts and deaths"},
    {AT(observe_only), TYPE_TEXT, .text_ok = is_row_list, .expected = "a list of mean, service-mean, tail, service-tail, errors",
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "", .help = "what is told and never an alert, with commas between"},
    {AT(promotion_margin), TYPE_REAL, 0, 100, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.1", .help = "by this part of the baseline's latency a canary may be slower and still be called as good"},
    {AT(promotion_alpha), TYPE_REAL, 0, 0.5, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.05", .help = "probability that is accepted of calling a canary as good that is slower by just that part"},
    {AT(promotion_min_samples), TYPE_WHOLE, 30, 1e9,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "200", .unit = "samples", .help = "of the canary before it may be called as good"},
    {AT(auto_rollback), TYPE_SWITCH,
     .initial = "true", .help = "kill the canary once the test fires"},
    {AT(user_header), TYPE_TEXT, .text_ok = is_user_header,
     .expected = "the name of a header without a meaning of its own, at most 63 characters, or empty",
     .initial = "X-User-ID", .help = "a request's header that keeps its user on one arm (sticky routing); empty: none"},
    {AT(slowdown_ms), TYPE_REAL, 0, WIRE_MAX_DELAY_MS,
     .initial = "10", .unit = "ms", .help = "delay that toggle-slowdown gives the canary"},
    {AT(warmup_requests), TYPE_WHOLE, 0, 100000,
     .initial = "50", .unit = "calls", .help = "to a new worker before it gets traffic; never samples"},
    {AT(predict_deadline_ms), TYPE_WHOLE, 1, HOUR_MS,
     .initial = "2000", .unit = "ms", .help = "for a whole prediction, second tries included"},
    {AT(try_deadline_ms), TYPE_WHOLE, 1, HOUR_MS,
     .initial = "1000", .unit = "ms", .help = "one worker's time for one call; half of what is left if another could be asked"},
    {AT(hang_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "2000", .unit = "ms", .help = "a worker that answers nothing so long while calls wait is killed"},
    {AT(start_timeout_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "30000", .unit = "ms", .help = "for a worker, or the export of a .joblib, to be ready"},
    {AT(drain_timeout_ms), TYPE_WHOLE, 0, HOUR_MS,
     .initial = "10000", .unit = "ms", .help = "for requests in flight at SIGTERM"},
    {AT(workers_per_version), TYPE_WHOLE, 1, SETTINGS_MAX_WORKERS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "1", .unit = "processes", .help = "of each model; the least busy is asked"},
    {AT(crash_limit), TYPE_WHOLE, 1, 1000,
     .initial = "3", .unit = "deaths", .help = "of a canary within 60 s roll it back"},
    {AT(max_in_flight), TYPE_WHOLE, 1, SETTINGS_MAX_IN_FLIGHT, .initial = "1024", .unit = "requests",
     .help = "more are held for some ms, then answered 503 with Retry-After"},
    {AT(max_body_bytes), TYPE_WHOLE, 1, 1024 * 1024, .scope = SCOPE_NEXT_START,
     .initial = "262144", .unit = "bytes", .help = "of a request's body"},
    {AT(max_connections), TYPE_WHOLE, 1, 1e6,
     .initial = "16384", .unit = "connections", .help = "the longest idle one makes room; if none is idle, 503"},
    {AT(header_timeout_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "10000", .unit = "ms", .help = "for a new client to begin, and for a request's head to be whole"},
    {AT(body_timeout_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "10000", .unit = "ms", .help = "for a request's body to be whole"},
    {AT(write_timeout_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "10000", .unit = "ms", .help = "for a client to take an answer"},
    {AT(idle_timeout_ms), TYPE_WHOLE, 10, HOUR_MS,
     .initial = "60000", .unit = "ms", .help = "for a kept connection's next request"},
    {AT(max_model_bytes), TYPE_WHOLE, 1, 1024.0 * 1024 * 1024,
     .initial = "268435456", .unit = "bytes", .help = "of a model file"},
    {AT(python), TYPE_TEXT, .initial = "/usr/bin/python3",
     .help = "runs the exporter of .joblib models, and serves some; empty: they are refused"},
    {AT(python_worker), TYPE_TEXT, .scope = SCOPE_NEXT_DEPLOYMENT, .text_ok = is_auto_or_off,
     .expected = "auto or off", .initial = "auto",
     .help = "auto: .joblib models that cannot be exported are served by Python; off: they are refused"},
    {AT(worker_user), TYPE_TEXT, .initial = "nobody",
     .help = "whom workers become where canaryd is root: a name or a number; empty: they stay root"},
    {AT(worker_memory_bytes), TYPE_WHOLE, 128.0 * 1024 * 1024, 1024.0 * 1024 * 1024 * 1024,
     .initial = "2147483648", .unit = "bytes", .help = "of address space for a worker or an export"},
    {AT(allow_uncaged_pickles), TYPE_SWITCH, .initial = "false",
     .help = "read .joblib models although the kernel has no Landlock or seccomp"},
    {AT(worker_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of canary-worker; empty: beside canaryd"},
    {AT(python_worker_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of canary-worker-python; empty: where it was built or installed"},
    {AT(exporter_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of export.py; empty: where it was built or installed"},
    {AT(state_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "state.json, the models that it names, the journal; empty: $STATE_DIRECTORY, else var/state"},
    {AT(runtime_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "board, addresses, admin socket; empty: $RUNTIME_DIRECTORY, else var/run"},
    {AT(sample_log), TYPE_TEXT, .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "",
     .help = "a file for each deployment's samples, in CSV for canaryctl replay; empty: none"},
    {AT(log_level), TYPE_TEXT, .text_ok = is_log_level, .expected = "error, warn, info or debug",
     .initial = "info", .help = "how much is logged on standard error"},
};
/* clang-format on */

const size_t settings_n = sizeof settings_table / sizeof settings_table[0];
