/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is made of the table of settings; see settings.h.
 */
#include "supervisor/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/nearest.h"
#include "supervisor/settings_private.h"

#define MAX_FILE_BYTES (1024UL * 1024)
#define MAX_NAME       48

#define PARTS_TOLERANCE 1e-9 /* .3 + .3 + .4 is not quite 1 in binary */

static const char *const scope_names[N_SCOPES] = {
    [SCOPE_NOW] = "at once",
    [SCOPE_NEXT_DEPLOYMENT] = "from the next deployment on",
    [SCOPE_NEXT_START] = "at the next start",
};

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
    return settings_table[i].name;
}

static const struct setting *find(const char *name)
{
    for (size_t i = 0; i < settings_n; i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

/* separator: what stands between words where the name was said. */
static int refuse_unknown(const char *name, const char *code, const char *what, char separator,
                          struct err *e)
{
    const char *nearest = nearest_name(name, settings_n, name_at);
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
    for (size_t i = 0; i < settings_n; i++) {
        struct err e;
        if (set_from_text(s, &settings_table[i], settings_table[i].initial, &e) < 0)
            fatal(EX_SOFTWARE, "a default is out of its own range: %s", e.text);
    }
}

/* A number is a user and a group of that number, known to the system or not. A name
 * that now has already is not asked for again: the answer may be a network away,
 * and at a reload the loop waits for it. */
static int find_user(struct settings *s, const struct settings *now, struct err *e)
{
    char *end;
    unsigned long number = strtoul(s->worker_user, &end, 10);
    if (geteuid() != 0 || s->worker_user[0] == '\0')
        return 0;
    if (now != NULL && strcmp(s->worker_user, now->worker_user) == 0) {
        s->worker_uid = now->worker_uid;
        s->worker_gid = now->worker_gid;
        return 0;
    }
    if (*end == '\0' && number < UINT32_MAX && s->worker_user[0] != '-') {
        s->worker_uid = (uid_t)number;
        s->worker_gid = (gid_t)number;
        return 0;
    }
    const struct passwd *user = getpwnam(s->worker_user);
    if (user == NULL)
        return err_set(e, "bad-setting",
                       "setting worker_user: there is no user \"%.100s\"; expected a name, a "
                       "number or nothing",
                       s->worker_user);
    s->worker_uid = user->pw_uid;
    s->worker_gid = user->pw_gid;
    return 0;
}

/* What no single setting can tell. */
static int check_together(const struct settings *s, struct err *e)
{
    if (s->try_deadline_ms > s->predict_deadline_ms)
        return err_set(e, "bad-setting",
                       "setting try_deadline_ms: %lld is above predict_deadline_ms (%lld)",
                       (long long)s->try_deadline_ms, (long long)s->predict_deadline_ms);
    double parts =
        s->mean_part + s->service_mean_part + s->tail_part + s->service_tail_part + s->errors_part;
    if (parts > 1 + PARTS_TOLERANCE)
        return err_set(e, "bad-setting",
                       "settings mean_part, service_mean_part, tail_part, service_tail_part and "
                       "errors_part: together %g, and alpha has only 1",
                       parts);
    return 0;
}

struct settings *settings_load(const char *file, const char *const *overrides, size_t n,
                               struct err *e)
{
    return settings_reload(NULL, file, overrides, n, e);
}

struct settings *settings_reload(const struct settings *now, const char *file,
                                 const char *const *overrides, size_t n, struct err *e)
{
    struct settings *s = mem_alloc(sizeof *s);
    apply_defaults(s);
    int rc = file != NULL ? apply_file(s, file, e) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = apply_override(s, overrides[i], e);
    if (rc == 0)
        rc = check_together(s, e);
    if (rc == 0)
        rc = find_user(s, now, e);
    if (rc < 0)
        settings_free(&s);
    return s;
}

void settings_free(struct settings **s)
{
    if (*s == NULL)
        return;
    for (size_t i = 0; i < settings_n; i++)
        if (settings_table[i].type == TYPE_TEXT)
            free(*(char **)field_of(*s, &settings_table[i]));
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
    for (size_t i = 0; i < settings_n; i++) {
        char old[128];
        char new[128];
        if (!differs(&settings_table[i], now, wanted))
            continue;
        print_value(now, &settings_table[i], old, sizeof old);
        print_value(wanted, &settings_table[i], new, sizeof new);
        log_info("setting %s: %s -> %s, %s", settings_table[i].name, old, new,
                 scope_names[settings_table[i].scope]);
    }
}

void settings_keep_fixed(struct settings *wanted, const struct settings *now)
{
    for (size_t i = 0; i < settings_n; i++) {
        const struct setting *t = &settings_table[i];
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
    for (size_t i = 0; i < settings_n; i++) {
        const struct setting *t = &settings_table[i];
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
    for (size_t i = 0; i < settings_n; i++) {
        const struct setting *t = &settings_table[i];
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
