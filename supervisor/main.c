/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * canaryd: builds the rooms from the bottom up, connects their news, runs the
 * loop and takes everything down again. No other module sees the whole.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"
#include "proto/board.h"
#include "supervisor/access.h"
#include "supervisor/api_admin.h"
#include "supervisor/api_predict.h"
#include "supervisor/api_status.h"
#include "supervisor/audit.h"
#include "supervisor/chores.h"
#include "supervisor/cli.h"
#include "supervisor/doors.h"
#include "supervisor/drain.h"
#include "supervisor/fleet.h"
#include "supervisor/gateway.h"
#include "supervisor/hello.h"
#include "supervisor/journal.h"
#include "supervisor/judge.h"
#include "supervisor/listen.h"
#include "supervisor/loader.h"
#include "supervisor/memory.h"
#include "supervisor/modelref.h"
#include "supervisor/notify.h"
#include "supervisor/places.h"
#include "supervisor/python.h"
#include "supervisor/rollout.h"
#include "supervisor/router.h"
#include "supervisor/sample_log.h"
#include "supervisor/settings.h"
#include "supervisor/state.h"
#include "supervisor/store.h"
#include "supervisor/turn.h"

#define EX_ALREADY_RUNNING EX_TEMPFAIL

enum { SIGNAL_HUP, SIGNAL_TERM, SIGNAL_INT, SIGNAL_QUIT, N_SIGNALS };

struct canaryd {
    struct cli cli;
    struct settings *settings;
    struct places *places;
    struct doors doors;
    struct event_base *base;
    struct turn *turn;
    struct event *signals[N_SIGNALS];
    struct chores *chores;
    struct journal *journal;
    struct board *board;
    struct store *store;
    struct saved_state *saved; /* what the canaryd before us left, or NULL */
    struct board *last_board;  /* likewise, until our judge has read it */
    struct sample_log *sample_log;
    struct notify *notify;
    struct loader *loader;
    struct fleet *fleet;
    struct router *router;
    struct judge *judge;
    struct rollout *rollout;
    struct access *access;
    struct audit *audit;
    struct gateway *gateway;
    struct api_predict *api_predict;
    struct api_admin *api_admin;
    struct api_status *api_status;
    struct drain *drain;
    int exit_status;
};

/* --- News, from the bottom up -----------------------------------------------*/

static struct judge_ticket on_draw(void *arg, enum arm arm, bool ends_group, int64_t now_ns)
{
    const struct canaryd *d = arg;
    return judge_draw(d->judge, arm, ends_group, now_ns);
}

static void on_call_ended(void *arg, const struct judge_ticket *ticket,
                          const struct rule_sample *sample)
{
    const struct canaryd *d = arg;
    judge_end_call(d->judge, ticket, sample);
}

static void on_stable_answer(void *arg, int64_t round_trip_ns)
{
    const struct canaryd *d = arg;
    judge_add_stable(d->judge, round_trip_ns);
}

static void on_verdict(void *arg)
{
    const struct canaryd *d = arg;
    rollout_on_verdict(d->rollout);
}

static void on_look_around(void *arg, struct judge_surroundings *s)
{
    const struct canaryd *d = arg;
    const struct router_counts *counts = router_counts(d->router);
    s->lacks_baseline = fleet_model(d->fleet, ROLE_BASELINE) != NULL &&
                        fleet_ready(d->fleet, ROLE_BASELINE) == NULL;
    s->n_forced = counts->n_forced;
    s->n_by_user = counts->n_by_user;
    s->n_retried = counts->n_retried;
}

static void on_up(void *arg, enum role role)
{
    const struct canaryd *d = arg;
    rollout_on_up(d->rollout, role);
}

static void on_failed(void *arg, enum role role, const struct err *why, bool may_pass)
{
    const struct canaryd *d = arg;
    rollout_on_failed(d->rollout, role, why, may_pass);
}

static void on_gave_up(void *arg, enum role role, const char *why)
{
    const struct canaryd *d = arg;
    rollout_on_gave_up(d->rollout, role, why);
}

static void on_buried(void *arg)
{
    const struct canaryd *d = arg;
    drain_look(d->drain);
}

static void tell_status(const struct canaryd *d)
{
    const struct modelref *stable = fleet_model(d->fleet, ROLE_STABLE);
    const struct modelref *canary = fleet_model(d->fleet, ROLE_CANARY);
    char text[200];
    if (stable == NULL)
        return;
    if (canary != NULL)
        snprintf(text, sizeof text, "stable %.70s, canary %.70s with %g %%", stable->version,
                 canary->version, rollout_percent(d->rollout));
    else
        snprintf(text, sizeof text, "stable %.70s", stable->version);
    notify_status(d->notify, text);
}

static void on_serving(void *arg)
{
    struct canaryd *d = arg;
    struct err e = {0};
    const char *admin = d->doors.admin_address[0] != '\0' ? d->doors.admin_address : NULL;
    if (doors_accept(&d->doors, d->gateway, &e) < 0)
        fatal(EX_SOFTWARE, "%s", e.text);
    places_write_address(d->places, d->doors.address, admin);
    notify_ready(d->notify, "serving");
    tell_status(d);
    hello_print(fleet_model(d->fleet, ROLE_STABLE), d->doors.address, admin, d->places->canaryctl);
}

/* What may pass is worth another start, which systemd makes; a wrong setting is not. */
static void on_hopeless(void *arg, const struct err *why, bool may_pass)
{
    struct canaryd *d = arg;
    if (drain_has_begun(d->drain))
        return;
    log_error("stable_model: %s", why->text);
    d->exit_status = may_pass ? EX_SOFTWARE : EX_CONFIG;
    drain_begin(d->drain, d->settings->drain_timeout_ms);
}

static void on_rollout_changed(void *arg)
{
    tell_status(arg);
}

/* --- Signals ----------------------------------------------------------------*/

static void adopt_settings(struct canaryd *d, struct settings *wanted)
{
    struct settings *old = d->settings;
    settings_log_changes(old, wanted);
    settings_keep_fixed(wanted, old);
    d->settings = wanted;
    const struct conns_limits limits = doors_limits(wanted);
    log_set_level((enum log_level)log_level_parse(wanted->log_level));
    fleet_set_settings(d->fleet, wanted);
    router_set_settings(d->router, wanted);
    judge_set_settings(d->judge, wanted);
    api_predict_set_settings(d->api_predict, wanted);
    api_status_set_settings(d->api_status, wanted);
    gateway_set_limits(d->gateway, &limits);
    rollout_set_settings(d->rollout, wanted);
    settings_free(&old);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
    struct canaryd *d = arg;
    struct err e = {0};
    (void)fd, (void)what;
    if (drain_has_begun(d->drain))
        return;
    if (rollout_serves(d->rollout)) /* else READY would be said too early: it ends RELOADING */
        notify_reloading(d->notify);
    struct settings *wanted =
        settings_reload(d->settings, d->cli.config, d->cli.overrides, d->cli.n_overrides, &e);
    if (wanted != NULL &&
        access_set(d->access, wanted->admin_token_file, wanted->allowed_hosts, &e) < 0)
        settings_free(&wanted);
    if (wanted == NULL) {
        log_error("reload: %s; nothing changes", e.text);
    } else {
        adopt_settings(d, wanted);
        log_info("settings reloaded from %s", d->cli.config != NULL ? d->cli.config : "nowhere");
    }
    if (!rollout_serves(d->rollout))
        return;
    notify_ready(d->notify, "serving");
    tell_status(d);
}

static void on_quit_now(evutil_socket_t fd, short what, void *arg)
{
    const struct canaryd *d = arg;
    (void)fd, (void)what;
    log_warn("exits at once; requests in flight are lost");
    places_remove_address(d->places);
    _exit(EX_OK); /* workers go by PR_SET_PDEATHSIG */
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
    struct canaryd *d = arg;
    if (drain_has_begun(d->drain)) {
        on_quit_now(fd, what, arg);
        return;
    }
    log_info("stopping: %zu requests in flight", gateway_n_pending(d->gateway));
    drain_begin(d->drain, d->settings->drain_timeout_ms);
}

static void watch_signals(struct canaryd *d)
{
    static const struct {
        int number;
        event_callback_fn run;
    } table[N_SIGNALS] = {
        [SIGNAL_HUP] = {SIGHUP, on_hup},
        [SIGNAL_TERM] = {SIGTERM, on_term},
        [SIGNAL_INT] = {SIGINT, on_term},
        [SIGNAL_QUIT] = {SIGQUIT, on_quit_now},
    };
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < N_SIGNALS; i++) {
        d->signals[i] = evsignal_new(d->base, table[i].number, table[i].run, d);
        event_add(d->signals[i], NULL);
    }
}

/* --- The end ----------------------------------------------------------------*/

static void take_down(struct canaryd *d)
{
    places_remove_address(d->places);
    gateway_free(&d->gateway);
    access_free(&d->access);
    audit_free(&d->audit);
    api_status_free(&d->api_status);
    api_admin_free(&d->api_admin);
    api_predict_free(&d->api_predict);
    rollout_free(&d->rollout);
    judge_free(&d->judge);
    router_free(&d->router);
    fleet_free(&d->fleet);
    drain_free(&d->drain);
    loader_free(&d->loader);
    notify_free(&d->notify);
    sample_log_end(d->sample_log);
    chores_free(&d->chores);
    sample_log_free(&d->sample_log);
    store_free(&d->store);
    saved_state_free(&d->saved);
    journal_free(&d->journal);
    board_free(&d->board);
    for (int i = 0; i < N_SIGNALS; i++)
        event_free(d->signals[i]);
    turn_free(&d->turn);
    event_base_free(d->base);
    doors_close(&d->doors);
    settings_free(&d->settings);
    places_free(&d->places);
    cli_free(&d->cli);
}

/* --- The beginning ----------------------------------------------------------*/

static int exit_status_of(const struct err *e)
{
    if (strcmp(e->code, "already-running") == 0)
        return EX_ALREADY_RUNNING;
    if (strcmp(e->code, "bad-setting") == 0 || strcmp(e->code, "bad-token-file") == 0)
        return EX_CONFIG;
    if (strcmp(e->code, "address-in-use") == 0 || strcmp(e->code, "cannot-listen") == 0)
        return EX_UNAVAILABLE;
    return EX_CANTCREAT;
}

static void open_files(struct canaryd *d)
{
    struct err e = {0};
    if (places_check(d->places, &e) < 0)
        fatal(EX_CONFIG, "%s", e.text);
    d->journal = journal_open(d->places->state_dir, d->chores, &e);
    if (d->journal == NULL || places_lock_runtime_dir(d->places, &e) < 0 ||
        doors_open(&d->doors, d->settings, d->places->runtime_dir, &e) < 0)
        fatal(exit_status_of(&e), "%s", e.text);
    d->store = store_new(d->places->state_dir, d->chores);
    if (store_load(d->store, &d->saved, &e) < 0)
        fatal(EX_CONFIG, "%s", e.text);
}

/* Those who have mapped the last supervisor's board keep it when a new one is made. */
static void open_board(struct canaryd *d)
{
    struct err e = {0};
    char *path = mem_printf("%s/board", d->places->runtime_dir);
    d->last_board = board_open_reader(path, &e);
    if (d->last_board == NULL && access(path, F_OK) == 0)
        log_warn("%s; a new board is begun", e.text);
    d->board = board_create(path, &e);
    free(path);
    if (d->board == NULL)
        fatal(EX_CANTCREAT, "%s", e.text);
}

static void build_rooms(struct canaryd *d)
{
    const struct fleet_listener fleet_news = {
        .up = on_up, .failed = on_failed, .gave_up = on_gave_up, .buried = on_buried, .arg = d};
    const struct router_listener router_news = {
        .draw = on_draw, .ended = on_call_ended, .stable = on_stable_answer, .arg = d};
    const struct judge_listener judge_news = {
        .bad = on_verdict, .look_around = on_look_around, .arg = d};
    const struct rollout_listener rollout_news = {
        .serving = on_serving, .hopeless = on_hopeless, .changed = on_rollout_changed, .arg = d};
    d->notify = notify_new(d->base);
    /* The stable model may have to be exported first, with a deadline of its own. */
    notify_starting(d->notify, 2 * d->settings->start_timeout_ms + NOTIFY_SLACK_MS);
    d->loader = loader_new(d->base, d->chores);
    d->fleet = fleet_new(d->base, d->settings, &d->places->workers, d->board, &fleet_news);
    d->router = router_new(d->base, d->fleet, d->turn, d->settings, &router_news);
    d->sample_log = sample_log_new(d->base, d->chores);
    d->judge = judge_new(d->settings, d->board, d->sample_log, &judge_news);
    judge_remember(d->judge, d->last_board);
    board_free(&d->last_board);
    const struct rollout_rooms rooms = {.loader = d->loader,
                                        .fleet = d->fleet,
                                        .router = d->router,
                                        .judge = d->judge,
                                        .journal = d->journal,
                                        .store = d->store};
    d->rollout = rollout_new(d->settings, &rooms, d->places->exporter_program, &rollout_news);
}

static void open_access(struct canaryd *d)
{
    struct err e = {0};
    const struct settings *s = d->settings;
    d->access = access_new();
    d->audit = audit_new(d->journal);
    if (access_set(d->access, s->admin_token_file, s->allowed_hosts, &e) < 0)
        fatal(exit_status_of(&e), "%s", e.text);
    if (d->doors.door == DOOR_REMOTE && !access_has_token(d->access))
        log_warn("%s is not a loopback address: the admin endpoints are closed", d->doors.address);
}

static void build_apis(struct canaryd *d)
{
    const struct gateway_options options = {
        .max_body_bytes = d->settings->max_body_bytes,
        .limits = doors_limits(d->settings),
        .access = d->access,
        .on_admin = audit_call,
        .on_admin_arg = d->audit,
    };
    const struct api_status_rooms rooms = {.rollout = d->rollout,
                                           .fleet = d->fleet,
                                           .router = d->router,
                                           .journal = d->journal,
                                           .judge = d->judge,
                                           .board = d->board};
    d->gateway = gateway_new(d->base, &options);
    d->api_predict = api_predict_new(d->gateway, d->router, d->settings);
    d->api_admin = api_admin_new(d->gateway, d->rollout, d->judge, d->fleet);
    d->api_status = api_status_new(d->gateway, &rooms, d->settings);
}

static void prepare_the_end(struct canaryd *d)
{
    const struct drain_rooms rooms = {.notify = d->notify,
                                      .api_status = d->api_status,
                                      .gateway = d->gateway,
                                      .rollout = d->rollout,
                                      .router = d->router,
                                      .fleet = d->fleet,
                                      .loader = d->loader,
                                      .store = d->store};
    d->drain = drain_new(d->base, &rooms);
}

static void build(struct canaryd *d)
{
    struct err e = {0};
    listen_raise_descriptor_limit();
    d->base = turn_new_base();
    d->turn = turn_new(d->base);
    watch_signals(d);
    d->places = places_find(d->settings, &e);
    if (d->places == NULL)
        fatal(EX_CONFIG, "%s", e.text);
    d->chores = chores_new(d->base);
    open_files(d);
    open_board(d);
    build_rooms(d);
    open_access(d);
    build_apis(d);
    prepare_the_end(d);
}

int main(int argc, char **argv)
{
    struct canaryd d = {.exit_status = EX_OK};
    log_init("canaryd", LOG_LEVEL_INFO);
    memory_check_libraries();
    d.settings = cli_begin(argc, argv, &d.cli);
    python_filter_fd(); /* early; see there */
    build(&d);
    rollout_start(d.rollout, d.saved);
    turn_run(d.turn);
    int status = d.exit_status;
    take_down(&d);
    log_info("stopped");
    return status;
}
