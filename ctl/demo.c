/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The demo's workflows, as tables of steps; see demo.h.
 */
#include "ctl/demo.h"

#include <stdlib.h>

#include "ctl/demo_step.h"

struct step {
    const char *title;
    const char *about;
    int (*run)(struct demo *d);
};

struct workflow_steps {
    const char *title;
    const struct step *steps; /* up to a row without a title */
};

static const struct step failure_steps[] = {
    {"Deploy the canary", "The new model starts in a process of its own and gets a share.",
     step_deploy},
    {"Generate traffic", "Clients don't choose: the server draws who answers.", step_traffic},
    {"First health check", "Nothing is wrong with the canary, so there should be no alert.",
     step_expect_no_alert},
    {"Introduce slowness", "From here on the canary is slow, and only the canary.", step_slow_down},
    {"Generate more traffic", "The server compares the arms as the answers come.", step_traffic},
    {"Trigger the alert", "The canary is significantly slower now.", step_expect_alert},
    {"Roll back", "Stable takes everything over; no request is refused.", step_roll_back},
    {"End the slowness", "The simulation is a switch of the server's; it goes off again.",
     step_end_slowness},
    {"Confirm the rollback", "Only stable should answer.", step_confirm},
    {NULL, NULL, NULL},
};

static const struct step success_steps[] = {
    {"Deploy the canary", "The same model once more, without any slowness.", step_deploy},
    {"Generate traffic", "The server draws who answers.", step_traffic},
    {"Health check", "The canary is as quick as it should be: no alert.", step_expect_no_alert},
    {"Promote the canary", "It becomes stable; the old one finishes its requests and leaves.",
     step_promote},
    {"Confirm the promotion", "Only stable should answer, and that is the new model.",
     step_confirm},
    {NULL, NULL, NULL},
};

static const struct workflow_steps failure = {"A slow canary is found and rolled back",
                                              failure_steps};
static const struct workflow_steps success = {"A good canary is promoted", success_steps};

static size_t count_steps(const struct step *steps)
{
    size_t n = 0;
    while (steps[n].title != NULL)
        n++;
    return n;
}

static int run_workflow(struct demo *d, const struct workflow_steps *w)
{
    const struct printer *p = &d->session->out;
    size_t n = count_steps(w->steps);
    print_text(p, STYLE_BOLD, "\n== %s ==\n", w->title);
    for (size_t i = 0; i < n; i++) {
        print_text(p, STYLE_BOLD, "\nStep %zu of %zu: %s\n", i + 1, n, w->steps[i].title);
        print_text(p, STYLE_DIM, "  %s\n", w->steps[i].about);
        if (w->steps[i].run(d) != 0 || demo_pause(d, 0) != 0)
            return -1;
    }
    return 0;
}

/* Leaves the server as a demo should, however far it came. */
static void restore(struct demo *d)
{
    const struct printer *p = &d->session->out;
    if (!d->deployed && !d->slowed)
        return;
    print_text(p, STYLE_BOLD, "\nCleaning up\n");
    if (d->deployed && !d->lost)
        step_roll_back(d);
    if (d->slowed && !d->lost)
        step_end_slowness(d);
    if (d->deployed)
        demo_note(d, "the demo's canary may still be out: see 'canaryctl status'");
    if (d->slowed)
        demo_note(d, "the slowdown may still be on: see 'canaryctl status'");
}

static int summarise(struct demo *d)
{
    const struct printer *p = &d->session->out;
    if (d->n_deviations == 0) {
        print_text(p, STYLE_GOOD, "\nEverything happened as it should.\n");
        return 0;
    }
    print_text(p, STYLE_BAD, "\nNot everything happened as it should:\n");
    for (size_t i = 0; i < d->n_deviations; i++) {
        print_text(p, STYLE_PLAIN, "  %zu. %s\n", i + 1, d->deviations[i]);
        free(d->deviations[i]);
    }
    return d->status != 0 ? d->status : SESSION_REFUSED;
}

static void run_workflows(struct demo *d)
{
    enum workflow which = d->session->options->workflow;
    print_text(&d->session->out, STYLE_BOLD, "Before the demo\n");
    if (step_prepare(d) != 0)
        return;
    if (which != WORKFLOW_PROMOTE && run_workflow(d, &failure) != 0)
        return;
    if (which != WORKFLOW_DEPLOY)
        run_workflow(d, &success);
}

int demo_run(struct session *s)
{
    struct demo d = {.session = s};
    sigset_t signals, before;
    demo_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before); /* demo_pause takes them up */
    run_workflows(&d);
    restore(&d);
    int status = summarise(&d);
    free(d.stable);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
