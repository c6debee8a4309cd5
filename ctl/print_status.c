/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server's status for people; see print_status.h.
 */
#include "ctl/print_status.h"

#include <string.h>

#include "common/jsonx.h"
#include "ctl/member.h"

static void print_head(const struct printer *p, const cJSON *status, const char *url)
{
    char up[PRINT_CELL_SIZE];
    double uptime;
    print_text(p, STYLE_BOLD, "canaryd %s", member_text(status, "version", "(unknown version)"));
    print_text(p, STYLE_PLAIN, " at %s", url);
    if (member_number(status, "uptime_s", &uptime))
        print_text(p, STYLE_PLAIN, ", up %s", cell_duration(up, uptime));
    print_text(p, STYLE_PLAIN, "\n");
}

static void print_model(const struct printer *p, const char *arm, const cJSON *model)
{
    const char *since = member_text(model, "canary_start_time", NULL);
    const char *sha256 = member_text(model, "sha256", NULL);
    double percent;
    if (model == NULL) {
        print_field(p, arm, "none");
        return;
    }
    print_label(p, arm);
    print_text(p, STYLE_BOLD, "%s", member_text(model, "model", "?"));
    if (member_number(model, "percent", &percent))
        print_text(p, STYLE_PLAIN, ", %g %% of the requests", percent);
    if (since != NULL)
        print_text(p, STYLE_PLAIN, ", since %.19s UTC", since);
    if (sha256 != NULL)
        print_text(p, STYLE_DIM, ", sha256 %.12s", sha256);
    print_text(p, STYLE_PLAIN, "\n");
}

static void print_requests(const struct printer *p, const cJSON *requests)
{
    const cJSON *item;
    const char *comma = "";
    if (requests == NULL || requests->child == NULL)
        return;
    print_label(p, "requests");
    cJSON_ArrayForEach(item, requests) {
        char name[PRINT_CELL_SIZE];
        if (!cJSON_IsNumber(item))
            continue;
        snprintf(name, sizeof name, "%s", item->string);
        for (char *c = name; (c = strchr(c, '_')) != NULL;)
            *c = ' ';
        print_text(p, STYLE_PLAIN, "%s%.0f %s", comma, item->valuedouble, name);
        comma = ", ";
    }
    print_text(p, STYLE_PLAIN, "\n");
}

static enum style state_style(const char *state)
{
    if (strcmp(state, "ready") == 0)
        return STYLE_GOOD;
    return strcmp(state, "killed") == 0 || strcmp(state, "dead") == 0 ? STYLE_BAD : STYLE_WARN;
}

static void print_process(const struct printer *p, const cJSON *process)
{
    const char *state = member_text(process, "state", "?");
    const cJSON *trip = member_object(process, "round_trip_ms");
    char pid[PRINT_CELL_SIZE], requests[PRINT_CELL_SIZE], faults[PRINT_CELL_SIZE];
    char restarts[PRINT_CELL_SIZE], mean[PRINT_CELL_SIZE], p50[PRINT_CELL_SIZE];
    char p99[PRINT_CELL_SIZE];
    print_text(p, STYLE_PLAIN, "  %-9s %8s ", member_text(process, "role", "?"),
               cell_count(pid, process, "pid"));
    print_text(p, state_style(state), "%-9s", state);
    print_text(p, STYLE_PLAIN, " %9s %7s %8s  %12s %12s %12s\n",
               cell_count(requests, process, "requests"), cell_count(faults, process, "faults"),
               cell_count(restarts, process, "restarts"), cell_ms(mean, trip, "mean"),
               cell_ms(p50, trip, "p50"), cell_ms(p99, trip, "p99"));
}

static void print_processes(const struct printer *p, const cJSON *status)
{
    const cJSON *lists[] = {member_array(member_object(status, "stable"), "processes"),
                            member_array(member_object(status, "baseline"), "processes"),
                            member_array(member_object(status, "canary"), "processes")};
    const cJSON *process;
    int n = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        n += cJSON_GetArraySize(lists[i]);
    if (n == 0)
        return;
    print_text(p, STYLE_DIM, "\n  %-9s %8s %-9s %9s %7s %8s  %12s %12s %12s\n", "worker", "pid",
               "state", "requests", "faults", "restarts", "mean", "median", "99th pct");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        cJSON_ArrayForEach(process, lists[i]) {
            print_process(p, process);
        }
    }
}

void print_status(const struct printer *p, const cJSON *status, const char *url)
{
    const cJSON *stable = member_object(status, "stable"),
                *canary = member_object(status, "canary");
    double percent;
    print_head(p, status, url);
    print_field(p, "deployment", "%s", member_text(status, "state", "?"));
    print_model(p, "stable", stable);
    print_model(p, "canary", canary);
    if (canary == NULL && member_number(status, "canary_percent", &percent))
        print_field(p, "share", "%g %% for the next canary", percent);
    if (jsonx_member(status, "simulate_slowdown") != NULL)
        print_field(p, "slowdown", "%s",
                    member_true(status, "simulate_slowdown") ? "ON: the canary is delayed" : "off");
    print_requests(p, member_object(status, "requests"));
    print_processes(p, status);
}
