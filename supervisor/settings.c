/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of settings and what is made of it; see settings.h.
 */
#include "supervisor/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/nearest.h"
#include "proto/wire.h"
#include "supervisor/settings_private.h"

#define MAX_FILE_BYTES (1024UL * 1024)
#define MAX_NAME       48

enum type { TYPE_TEXT, TYPE_WHOLE, TYPE_REAL, TYPE_SWITCH };

/* When a reloaded value takes effect. */
enum scope { SCOPE_NOW, SCOPE_NEXT_DEPLOYMENT, SCOPE_NEXT_START, N_SCOPES };

static const char *const scope_names[N_SCOPES] = {
    [SCOPE_NOW] = "at once",
    [SCOPE_NEXT_DEPLOYMENT] = "from the next deployment on",
    [SCOPE_NEXT_START] = "at the next start",
};

struct setting {
    const char *name;
    size_t offset;
    enum type type;
    double min, max; /* of numbers; min_excluded: the value must be above min */
    bool min_excluded;
    enum scope scope;
    bool (*text_ok)(const char *text);
    const char *expected; /* of a text with text_ok */
    const char *initial;  /* the default, as it would stand on the command line */
    const char *unit;
    const char *help;
};

#define AT(field) .name = #field, .offset = offsetof(struct settings, field)
#define HOUR_MS   3600000
/* clang-format off */
static const struct setting table[] = {
    {AT(listen), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = settings_is_address, .expected = "ADDRESS:PORT",
     .initial = "127.0.0.1:8000", .help = "where HTTP is served; port 0 takes a free one"},
    {AT(admin_listen), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = settings_is_admin_address,
     .expected = "a loopback ADDRESS:PORT, unix:PATH (beneath runtime_dir), or empty", .initial = "",
     .help = "a listener of their own for the admin endpoints; they are nowhere else then"},
    {AT(admin_token_file), TYPE_TEXT,
     .initial = "", .help = "file of mode 0600 with the admin token (32 characters or more)"},
    {AT(allowed_hosts), TYPE_TEXT, .text_ok = settings_is_host_list, .expected = "names with commas between",
     .initial = "", .help = "names besides loopback's by which admin endpoints are asked (Host)"},
    {AT(model_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = settings_is_not_empty, .expected = "a directory",
     .initial = "models", .help = "the only directory that models are read from"},
    {AT(stable_model), TYPE_TEXT, .scope = SCOPE_NEXT_START, .text_ok = settings_is_not_empty, .expected = "a model's path",
     .initial = "model_v1.json", .help = "the model to serve, relative to model_dir"},
    {AT(canary_model), TYPE_TEXT,
     .initial = "", .help = "a model to deploy as canary; changed and reloaded (SIGHUP), the new one is deployed"},
    {AT(canary_percent), TYPE_REAL, 0, SETTINGS_MAX_PERCENT, .min_excluded = true,
     .initial = "10", .unit = "%", .help = "share of the traffic that a canary gets, exact"},
    {AT(min_samples), TYPE_WHOLE, 30, 1e9,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "36", .unit = "samples", .help = "from each model before the first verdict"},
    {AT(alpha), TYPE_REAL, 0, 0.5, .min_excluded = true,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.05", .help = "probability of a false alarm that is accepted"},
    {AT(margin_ms), TYPE_REAL, 0, HOUR_MS,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.1", .unit = "ms", .help = "a canary may be slower by so much ..."},
    {AT(margin_ratio), TYPE_REAL, 0, 100,
     .scope = SCOPE_NEXT_DEPLOYMENT, .initial = "0.2", .help = "... and by this part of stable's latency"},
    {AT(auto_rollback), TYPE_SWITCH,
     .initial = "true", .help = "kill the canary once the test fires"},
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
    {AT(max_in_flight), TYPE_WHOLE, 1, 1e6, .initial = "1024", .unit = "requests",
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
    {AT(python_worker), TYPE_TEXT, .scope = SCOPE_NEXT_DEPLOYMENT, .text_ok = settings_is_auto_or_off,
     .expected = "auto or off", .initial = "auto",
     .help = "auto: .joblib models that cannot be exported are served by Python; off: they are refused"},
    {AT(worker_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of canary-worker; empty: beside canaryd"},
    {AT(python_worker_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of canary-worker-python; empty: where it was built or installed"},
    {AT(exporter_program), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "path of export.py; empty: where it was built or installed"},
    {AT(state_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "journal; empty: $STATE_DIRECTORY, else var/state"},
    {AT(runtime_dir), TYPE_TEXT, .scope = SCOPE_NEXT_START, .initial = "",
     .help = "board and address; empty: $RUNTIME_DIRECTORY, else var/run"},
    {AT(log_level), TYPE_TEXT, .text_ok = settings_is_log_level, .expected = "error, warn, info or debug",
     .initial = "info", .help = "how much is logged on standard error"},
};
/* clang-format on */
#define N_SETTINGS (sizeof table / sizeof table[0])

static void *field_of(struct settings *s, const struct setting *t)
{
    return (char *)s + t->offset;
}

static const void *const_field_of(const struct settings *s, const struct setting *t)
{
    return (const char *)s + t->offset;
}

static const char *text_of(const struct settings *s, const struct setting *t)
{
    return *(char *const *)const_field_of(s, t);
}

/* Writes what a value of t must be: "a whole number from 1 to 5 (ms)". */
static void print_expected(const struct setting *t, char *out, size_t size)
{
    if (t->type == TYPE_SWITCH)
        snprintf(out, size, "true or false");
    else if (t->type == TYPE_TEXT)
        snprintf(out, size, "%s", t->expected != NULL ? t->expected : "a text");
    else
        snprintf(out, size, "a %snumber %s %.10g %s %.10g%s%s%s",
                 t->type == TYPE_WHOLE ? "whole " : "", t->min_excluded ? "above" : "from", t->min,
                 t->min_excluded ? "and at most" : "to", t->max, t->unit != NULL ? " (" : "",
                 t->unit != NULL ? t->unit : "", t->unit != NULL ? ")" : "");
}

static int refuse(const struct setting *t, const char *value, struct err *e)
{
    char expected[128];
    print_expected(t, expected, sizeof expected);
    return err_set(e, "bad-setting", "setting %s: \"%.100s\" is not %s", t->name, value, expected);
}

static int set_text(struct settings *s, const struct setting *t, const char *value, struct err *e)
{
    char **field = field_of(s, t);
    if (t->text_ok != NULL && !t->text_ok(value))
        return refuse(t, value, e);
    free(*field);
    *field = mem_strdup(value);
    return 0;
}

static int set_number(struct settings *s, const struct setting *t, double value, const char *shown,
                      struct err *e)
{
    bool in_range = value >= t->min && value <= t->max && !(t->min_excluded && value == t->min);
    if (!in_range || (t->type == TYPE_WHOLE && value != floor(value)))
        return refuse(t, shown, e);
    if (t->type == TYPE_WHOLE)
        *(int64_t *)field_of(s, t) = (int64_t)value;
    else
        *(double *)field_of(s, t) = value;
    return 0;
}

static int set_switch(struct settings *s, const struct setting *t, const char *value, struct err *e)
{
    bool on = strcmp(value, "true") == 0 || strcmp(value, "on") == 0;
    if (!on && strcmp(value, "false") != 0 && strcmp(value, "off") != 0)
        return refuse(t, value, e);
    *(bool *)field_of(s, t) = on;
    return 0;
}

/* A value as it stands on the command line. */
static int set_from_text(struct settings *s, const struct setting *t, const char *value,
                         struct err *e)
{
    char *end;
    if (t->type == TYPE_TEXT)
        return set_text(s, t, value, e);
    if (t->type == TYPE_SWITCH)
        return set_switch(s, t, value, e);
    double number = strtod(value, &end);
    bool is_decimal = value[strspn(value, "0123456789+-.eE")] == '\0'; /* no 0x, nan or blanks */
    if (end == value || *end != '\0' || !is_decimal || !isfinite(number))
        return refuse(t, value, e);
    return set_number(s, t, number, value, e);
}

static int set_from_json(struct settings *s, const struct setting *t, const cJSON *item,
                         struct err *e)
{
    bool is_number = t->type == TYPE_WHOLE || t->type == TYPE_REAL;
    char *shown = cJSON_PrintUnformatted(item);
    int rc;
    if (is_number && cJSON_IsNumber(item))
        rc = set_number(s, t, item->valuedouble, shown, e);
    else if (t->type == TYPE_TEXT && cJSON_IsString(item))
        rc = set_text(s, t, item->valuestring, e);
    else if (t->type == TYPE_SWITCH && (cJSON_IsBool(item) || cJSON_IsString(item)))
        rc = set_switch(s, t, cJSON_IsString(item) ? item->valuestring : shown, e);
    else
        rc = refuse(t, shown, e);
    cJSON_free(shown);
    return rc;
}

static const char *name_at(size_t i)
{
    return table[i].name;
}

static const struct setting *find(const char *name)
{
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* separator: what stands between words where the name was said. */
static int refuse_unknown(const char *name, const char *code, const char *what, char separator,
                          struct err *e)
{
    const char *nearest = nearest_name(name, N_SETTINGS, name_at);
    char said[2][MAX_NAME];
    snprintf(said[0], MAX_NAME, "%s", name);
    snprintf(said[1], MAX_NAME, "%s", nearest != NULL ? nearest : "");
    for (int i = 0; i < 2; i++)
        for (char *p = said[i]; *p != '\0'; p++)
            *p = *p == '_' ? separator : *p;
    const char *dashes = separator == '-' ? "--" : "";
    if (nearest == NULL)
        return err_set(e, code, "unknown %s \"%s%s\"", what, dashes, said[0]);
    return err_set(e, code, "unknown %s \"%s%s\"; did you mean \"%s%s\"?", what, dashes, said[0],
                   dashes, said[1]);
}

static int apply_object(struct settings *s, const cJSON *root, struct err *e)
{
    if (!cJSON_IsObject(root))
        return err_set(e, "bad-setting", "expected an object of settings, got %s",
                       jsonx_type_name(root));
    for (const cJSON *item = root->child; item != NULL; item = item->next) {
        const struct setting *t = find(item->string);
        if (t == NULL)
            return refuse_unknown(item->string, "unknown-setting", "setting", '_', e);
        if (set_from_json(s, t, item, e) < 0)
            return -1;
    }
    return 0;
}

/* Whoever can write the settings can name the programs that are run. */
static int check_writers(int fd, const char *file, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & S_IWOTH) == 0)
        return 0;
    return err_set(e, "bad-setting",
                   "%s: everybody may write to it (mode %04o); expected 0644 or less", file,
                   st.st_mode & 07777U);
}

static int apply_file(struct settings *s, const char *file, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(e, "file-unreadable", "%s", file);
    int rc = check_writers(fd, file, e);
    if (rc == 0)
        rc = fd_read_file(fd, file, MAX_FILE_BYTES, &text, &n, e);
    fd_close(&fd);
    if (rc < 0)
        return -1;
    jsonx_blank_comments(text, n);
    cJSON *root = jsonx_parse(text, n, e);
    rc = root == NULL ? -1 : apply_object(s, root, e);
    if (rc < 0)
        err_prefix(e, "%s", file);
    cJSON_Delete(root);
    free(text);
    return rc;
}

static int apply_override(struct settings *s, const char *override, struct err *e)
{
    char name[MAX_NAME];
    size_t n = strcspn(override, "=");
    if (override[n] != '=' || n >= sizeof name)
        return err_set(e, "usage", "--%.64s: expected --setting=value; try canaryd --help",
                       override);
    for (size_t i = 0; i < n; i++)
        name[i] = override[i] == '-' ? '_' : override[i];
    name[n] = '\0';
    const struct setting *t = find(name);
    if (t == NULL)
        return refuse_unknown(name, "usage", "option", '-', e);
    return set_from_text(s, t, override + n + 1, e);
}

static void apply_defaults(struct settings *s)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        struct err e;
        if (set_from_text(s, &table[i], table[i].initial, &e) < 0)
            fatal(70, "a default is out of its own range: %s", e.text);
    }
}

/* What no single setting can tell. */
static int check_together(const struct settings *s, struct err *e)
{
    if (s->try_deadline_ms > s->predict_deadline_ms)
        return err_set(e, "bad-setting",
                       "setting try_deadline_ms: %lld is above predict_deadline_ms (%lld)",
                       (long long)s->try_deadline_ms, (long long)s->predict_deadline_ms);
    return 0;
}

struct settings *settings_load(const char *file, const char *const *overrides, size_t n,
                               struct err *e)
{
    struct settings *s = mem_alloc(sizeof *s);
    apply_defaults(s);
    int rc = file != NULL ? apply_file(s, file, e) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = apply_override(s, overrides[i], e);
    if (rc == 0)
        rc = check_together(s, e);
    if (rc < 0)
        settings_free(&s);
    return s;
}

void settings_free(struct settings **s)
{
    if (*s == NULL)
        return;
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (table[i].type == TYPE_TEXT)
            free(*(char **)field_of(*s, &table[i]));
    free(*s);
    *s = NULL;
}

static size_t size_of(const struct setting *t)
{
    return t->type == TYPE_SWITCH ? sizeof(bool) : sizeof(int64_t);
}

static bool differs(const struct setting *t, const struct settings *a, const struct settings *b)
{
    if (t->type == TYPE_TEXT)
        return strcmp(text_of(a, t), text_of(b, t)) != 0;
    return memcmp(const_field_of(a, t), const_field_of(b, t), size_of(t)) != 0;
}

/* The value as it would stand on the command line. */
static void print_value(const struct settings *s, const struct setting *t, char *out, size_t size)
{
    if (t->type == TYPE_TEXT)
        snprintf(out, size, "\"%s\"", text_of(s, t));
    else if (t->type == TYPE_SWITCH)
        snprintf(out, size, "%s", *(const bool *)const_field_of(s, t) ? "true" : "false");
    else if (t->type == TYPE_WHOLE)
        snprintf(out, size, "%lld", (long long)*(const int64_t *)const_field_of(s, t));
    else
        snprintf(out, size, "%.10g", *(const double *)const_field_of(s, t));
}

void settings_log_changes(const struct settings *now, const struct settings *wanted)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        char old[128];
        char new[128];
        if (!differs(&table[i], now, wanted))
            continue;
        print_value(now, &table[i], old, sizeof old);
        print_value(wanted, &table[i], new, sizeof new);
        log_info("setting %s: %s -> %s, %s", table[i].name, old, new, scope_names[table[i].scope]);
    }
}

void settings_keep_fixed(struct settings *wanted, const struct settings *now)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting *t = &table[i];
        void *field = field_of(wanted, t);
        if (t->scope != SCOPE_NEXT_START)
            continue;
        if (t->type == TYPE_TEXT) {
            free(*(char **)field);
            *(char **)field = mem_strdup(text_of(now, t));
        } else {
            memcpy(field, const_field_of(now, t), size_of(t));
        }
    }
}

void settings_print_help(FILE *out)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting *t = &table[i];
        char expected[128];
        char option[MAX_NAME];
        print_expected(t, expected, sizeof expected);
        snprintf(option, sizeof option, "%s", t->name);
        for (char *p = option; *p != '\0'; p++)
            if (*p == '_')
                *p = '-';
        fprintf(out, "  --%s=%s\n      %s\n      %s; reloaded %s\n", option, t->initial, t->help,
                expected, scope_names[t->scope]);
    }
}

cJSON *settings_to_json(const struct settings *s)
{
    cJSON *root = cJSON_CreateObject();
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting *t = &table[i];
        if (t->type == TYPE_TEXT)
            cJSON_AddStringToObject(root, t->name, text_of(s, t));
        else if (t->type == TYPE_SWITCH)
            cJSON_AddBoolToObject(root, t->name, *(const bool *)const_field_of(s, t));
        else if (t->type == TYPE_WHOLE)
            cJSON_AddNumberToObject(root, t->name, (double)*(const int64_t *)const_field_of(s, t));
        else
            cJSON_AddNumberToObject(root, t->name, *(const double *)const_field_of(s, t));
    }
    return root;
}
