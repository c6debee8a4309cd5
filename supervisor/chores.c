/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two queues and an eventfd; see chores.h.
 */
#include "supervisor/chores.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/fdio.h"
#include "common/log.h"
#include "common/mem.h"

struct chore {
    STAILQ_ENTRY(chore) next;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};
STAILQ_HEAD(chore_queue, chore);

struct chores {
    pthread_t thread;
    pthread_mutex_t lock; /* of the fields below it */
    pthread_cond_t changed;
    struct chore_queue waiting;
    struct chore_queue finished;
    bool ending;
    int wake_fd; /* eventfd: something is finished */
    struct event *on_finished;
};

static struct chore *take(struct chore_queue *queue)
{
    struct chore *chore = STAILQ_FIRST(queue);
    if (chore != NULL)
        STAILQ_REMOVE_HEAD(queue, next);
    return chore;
}

static void wake_loop(const struct chores *c)
{
    const uint64_t one = 1;
    ssize_t ignored = write(c->wake_fd, &one, sizeof one); /* EAGAIN: it is awake already */
    (void)ignored;
}

static void *work_loop(void *arg)
{
    struct chores *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct chore *chore = take(&c->waiting);
        if (chore == NULL && c->ending)
            break;
        if (chore == NULL) {
            pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        chore->work(chore->arg);
        pthread_mutex_lock(&c->lock);
        STAILQ_INSERT_TAIL(&c->finished, chore, next);
        wake_loop(c);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void report_finished(struct chores *c)
{
    for (;;) {
        pthread_mutex_lock(&c->lock);
        struct chore *chore = take(&c->finished);
        pthread_mutex_unlock(&c->lock);
        if (chore == NULL)
            return;
        if (chore->done != NULL)
            chore->done(chore->arg);
        free(chore);
    }
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    uint64_t n;
    (void)what;
    ssize_t ignored = read(fd, &n, sizeof n);
    (void)ignored;
    report_finished(arg);
}

/* The thread takes no signals: they are the loop's. */
static void start_thread(struct chores *c)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    if (pthread_create(&c->thread, NULL, work_loop, c) != 0)
        fatal(EX_OSERR, "the helper thread could not be started");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct chores *chores_new(struct event_base *base)
{
    struct chores *c = mem_alloc(sizeof *c);
    STAILQ_INIT(&c->waiting);
    STAILQ_INIT(&c->finished);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0)
        fatal(EX_OSERR, "no eventfd for the helper thread");
    c->on_finished = event_new(base, c->wake_fd, EV_READ | EV_PERSIST, on_finished, c);
    event_add(c->on_finished, NULL);
    start_thread(c);
    return c;
}

void chores_free(struct chores **handle)
{
    struct chores *c = *handle;
    if (c == NULL)
        return;
    *handle = NULL;
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    report_finished(c);
    event_free(c->on_finished);
    fd_close(&c->wake_fd);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void chores_add(struct chores *c, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct chore *chore = mem_alloc(sizeof *chore);
    *chore = (struct chore){.work = work, .done = done, .arg = arg};
    pthread_mutex_lock(&c->lock);
    STAILQ_INSERT_TAIL(&c->waiting, chore, next);
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}
