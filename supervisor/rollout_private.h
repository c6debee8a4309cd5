/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the rollout share: rollout.c (news and orders), rollout_table.c,
 * rollout_share.c, rollout_save.c and rollout_restart.c. Nobody else includes it.
 */
#ifndef CANARYD_ROLLOUT_PRIVATE_H
#define CANARYD_ROLLOUT_PRIVATE_H

#include <cjson/cJSON.h>

#include "common/rng.h"
#include "supervisor/loader.h"
#include "supervisor/rollout.h"

/* A deployment on its way to be a canary. */
struct candidate {
    struct load *load; /* until the model is there */
    double percent;    /* 0: whatever canary_percent says */
    enum deployer by;
    uint64_t deployment;     /* its number; 0: there is no candidate */
    int64_t canary_start_ns; /* of one that goes on after a restart; else 0 */
    bool is_restored;        /* it was the canary of the last canaryd */
    bool saving;             /* it is ready, and on its way to the disk */
    deployed *done;          /* NULL: nobody waits for it */
    void *arg;
};

/* A promotion on its way to the disk. */
struct pending_promotion {
    promoted *done; /* NULL: none */
    void *arg;
    bool force;
    uint64_t deployment; /* of the canary that is to be stable */
};

struct rollout {
    enum rollout_state state;
    const struct settings *settings;
    char *stable_setting; /* stable_model at the start */
    char *canary_setting; /* canary_model as it was last acted on */
    struct rollout_rooms rooms;
    const char *exporter_program;
    struct rollout_listener listener;
    struct candidate candidate;
    struct pending_promotion promotion;
    uint64_t deployment;      /* the canary's number; 0: none is out */
    struct rng rng;           /* for numbers */
    double percent;           /* the canary's; 0: none is out */
    bool percent_by_settings; /* it follows canary_percent */
    int64_t canary_start_ns;
    char rolled_back_by[16]; /* without asking, since the last deployment; "": not */
    bool slowdown;
    bool serving;
    bool stopping;
    struct load *stable_load;
    const struct saved_state *saved; /* while the start takes it up */
    bool setting_is_due; /* canary_model is to be deployed once the candidate has ended */
    bool save_again; /* the last save does not know of one that was under way, and overwrites it */
};

/* What an event brings along. */
struct occasion {
    const struct deploy_request *request;
    deployed *done;
    void *arg;
    const struct err *why; /* CANDIDATE_FAILED */
    const char *text;      /* CANARY_GAVE_UP */
    bool force;            /* PROMOTE */
    struct promotion *promotion;
    const char **by; /* ROLLBACK */
    struct err *e;
};

/* The one function that moves the rollout from state to state. 0, or -1 with
 * o->e filled: the event was refused and nothing has happened. */
int rollout_handle(struct rollout *r, enum rollout_event event, const struct occasion *o);

/* Tells whoever waits for the candidate, once: it has become the canary, or nothing. */
void rollout_answer_candidate(struct rollout *r, const struct err *why);

/* Ends a candidate before it is ready, in whatever stage it is. */
void rollout_drop_candidate(struct rollout *r, const char *why);

/* The model that was loaded for the candidate has come, or has not. */
void rollout_on_candidate_loaded(void *arg, struct modelref *model, const struct err *why);

/* Whether the canary can be promoted: 0, or -1 with err. */
int rollout_check_promotion(const struct rollout *r, bool force, struct err *e);

/* How models are loaded, by the settings in force. The texts are borrowed. */
struct load_options rollout_load_options(const struct rollout *r);

/* The share that the candidate will have, by its request or by the settings. */
double rollout_candidate_percent(const struct rollout *r);

/* Starts the candidate's processes and, where its share will want one, its
 * baseline beside it. */
void rollout_start_candidate(struct rollout *r, struct modelref *model);

/* That is the baseline now, however far it has come. */
void rollout_take_next_baseline(struct rollout *r);

/* The canary's share of the traffic, 0 where none is out, and its baseline. */
void rollout_set_share(struct rollout *r, double percent);

/* The settings may say otherwise than before. */
void rollout_apply_share(struct rollout *r);

/* Saves how things stand; nobody waits for it. */
void rollout_save(struct rollout *r);

/* Saves things as they will be with the candidate as canary, and with the canary as
 * stable; done as in store_save, in the second case with r. */
void rollout_save_candidate(struct rollout *r, void (*done)(void *arg, const struct err *why),
                            void *arg);
void rollout_save_promotion(struct rollout *r, void (*done)(void *arg, const struct err *why));

/* Stable takes calls for the first time: what was out before comes out again. */
void rollout_stable_up(struct rollout *r);

/* canary_model is new and could not be deployed yet: it is, if nothing else is on its
 * way now. What somebody asks for meanwhile takes its place. */
void rollout_act_on_due_setting(struct rollout *r);
void rollout_forget_due_setting(struct rollout *r);

/* canary_model as it was last acted on. */
void rollout_note_setting(struct rollout *r, const char *canary_model);

/* by: BY_SETTINGS or BY_RELOAD. */
void rollout_deploy_setting(struct rollout *r, enum deployer by);
void rollout_apply_slowdown(struct rollout *r);

/* Of processes that end by accident before stable, or a restored canary, is up. */
#define ROLLOUT_START_TRIES 3

/* A journal entry's members for a model, and the model of the canary. */
cJSON *rollout_note_model(const struct modelref *m);
const struct modelref *rollout_canary_model(const struct rollout *r);

#endif
