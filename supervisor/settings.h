/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything an operator can set, in one table (settings.c): --help, the
 * sample file's check and the validation all come from it. A settings object is
 * built whole from defaults, file and command line, and never changes after;
 * a reload builds another one.
 */
#ifndef CANARYD_SETTINGS_H
#define CANARYD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

#include "common/err.h"

struct settings {
    char *listen;
    char *admin_listen;
    char *admin_token_file;
    char *allowed_hosts;
    char *model_dir;
    char *stable_model;
    char *canary_model;
    double canary_percent;
    int64_t min_samples;
    double alpha;
    bool baseline;
    double block_ms;
    double margin_ms;
    double margin_ratio;
    double service_block_ms;
    double service_margin_ms;
    double service_margin_ratio;
    double mean_part;
    double service_mean_part;
    double tail_part;
    double service_tail_part;
    double errors_part;
    char *observe_only;
    double promotion_margin;
    double promotion_alpha;
    int64_t promotion_min_samples;
    bool auto_rollback;
    double slowdown_ms;
    int64_t warmup_requests;
    int64_t predict_deadline_ms;
    int64_t try_deadline_ms;
    int64_t hang_ms;
    int64_t start_timeout_ms;
    int64_t drain_timeout_ms;
    int64_t workers_per_version;
    int64_t crash_limit;
    int64_t max_in_flight;
    int64_t max_body_bytes;
    int64_t max_connections;
    int64_t header_timeout_ms;
    int64_t body_timeout_ms;
    int64_t write_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t max_model_bytes;
    char *user_header;
    char *python;
    char *worker_user;
    int64_t worker_memory_bytes;
    bool allow_uncaged_pickles;
    char *python_worker;
    char *worker_program;
    char *python_worker_program;
    char *exporter_program;
    char *state_dir;
    char *runtime_dir;
    char *sample_log;
    char *log_level;
    uid_t worker_uid; /* worker_user looked up; 0: workers stay who we are */
    gid_t worker_gid;
};

/* file: a JSON file with comments, or NULL. overrides: n strings "name=value"
 * from the command line, which win; a dash stands for an underscore. Returns
 * the whole, or NULL with err ("usage" for an unknown option, "bad-setting",
 * "unknown-setting", "bad-json" or "file-unreadable") naming the key, the value and
 * what was expected. */
struct settings *settings_load(const char *file, const char *const *overrides, size_t n,
                               struct err *e);

/* The same while now is in force (NULL: nothing is): a worker_user of the same name is
 * not looked up again, for that may block. */
struct settings *settings_reload(const struct settings *now, const char *file,
                                 const char *const *overrides, size_t n, struct err *e);
void settings_free(struct settings **s);

#define SETTINGS_MAX_HEADER 63 /* of user_header */

#define SETTINGS_MAX_WORKERS 64 /* of workers_per_version */

#define SETTINGS_MAX_IN_FLIGHT 1000000 /* of max_in_flight */

/* Logs every setting that differs, with its values and when the new one takes
 * effect: at once, from the next deployment on, or at the next start. */
void settings_log_changes(const struct settings *now, const struct settings *wanted);

/* Puts back what can't change before the next start: wanted is what is in force then. */
void settings_keep_fixed(struct settings *wanted, const struct settings *now);

/* For every setting its name, default, help, range, unit, and when a reload counts. */
void settings_print_help(FILE *out);

/* {"listen": ..., ...}: the settings in force. The caller owns it. */
cJSON *settings_to_json(const struct settings *s);

#endif
