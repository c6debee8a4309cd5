/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See runner.h.
 */
#include "tests/simulate/runner.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"

enum { MAX_JOBS = 256, CHUNK = 5, LOOK_US = 200000 };

struct shared {
    atomic_size_t next; /* the next chunk to take */
    atomic_size_t done;
};

struct job {
    const struct cell *cells;
    const size_t *chosen; /* indices of the wanted cells */
    size_t n_chosen;
    const struct runner_settings *settings;
    struct trial_result *results;
    struct shared *shared;
};

static void *map_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Chunks go cell by cell within a run's number, so that long and short cells mix. */
static void run_chunk(const struct job *job, size_t chunk)
{
    size_t cell = job->chosen[chunk % job->n_chosen];
    size_t first = chunk / job->n_chosen * CHUNK;
    size_t n_runs = job->settings->n_runs;
    for (size_t run = first; run < first + CHUNK && run < n_runs; run++) {
        uint64_t seed = job->settings->seed << 40 ^ cell << 28 ^ run;
        job->results[cell * n_runs + run] = trial_run(&job->cells[cell].trial, seed);
    }
}

static size_t n_chunks(const struct job *job)
{
    return (job->settings->n_runs + CHUNK - 1) / CHUNK * job->n_chosen;
}

static _Noreturn void work(const struct job *job)
{
    size_t chunk;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((chunk = atomic_fetch_add(&job->shared->next, 1)) < n_chunks(job)) {
        run_chunk(job, chunk);
        atomic_fetch_add(&job->shared->done, 1);
    }
    _exit(0);
}

static void show_progress(const struct job *job, int64_t start_ns)
{
    FILE *out = job->settings->progress;
    double part = (double)atomic_load(&job->shared->done) / (double)n_chunks(job);
    double elapsed_s = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_SEC;
    if (out == NULL)
        return;
    fprintf(out, "\r  %3.0f %%", 100 * part);
    if (part > 0.02)
        fprintf(out, ", %.0f s left ", elapsed_s * (1 - part) / part);
    fflush(out);
}

/* Whether all children ended well. */
static bool wait_for(const struct job *job, int n)
{
    int64_t start_ns = clock_mono_ns();
    bool well = true;
    while (n > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, job->settings->progress != NULL ? WNOHANG : 0);
        if (pid > 0) {
            well = well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
            n--;
        } else {
            show_progress(job, start_ns);
            usleep(LOOK_US);
        }
    }
    if (job->settings->progress != NULL)
        fputs("\r                         \r", job->settings->progress);
    return well;
}

static bool run_all(const struct job *job)
{
    int n = 0;
    bool started = true;
    for (; n < job->settings->n_jobs && n < MAX_JOBS && started; n++) {
        pid_t pid = fork();
        if (pid == 0)
            work(job);
        started = pid > 0;
    }
    return wait_for(job, started ? n : n - 1) && started;
}

struct trial_result *runner_run(const struct cell *cells, size_t n, const bool *wanted,
                                const struct runner_settings *settings)
{
    size_t *chosen = mem_array(n, sizeof *chosen);
    struct job job = {.cells = cells, .chosen = chosen, .settings = settings};
    for (size_t i = 0; i < n; i++) {
        if (wanted[i])
            chosen[job.n_chosen++] = i;
    }
    job.results = map_shared(n * settings->n_runs * sizeof *job.results);
    job.shared = map_shared(sizeof *job.shared);
    bool well = job.results != NULL && job.shared != NULL && (job.n_chosen == 0 || run_all(&job));
    if (job.shared != NULL)
        munmap(job.shared, sizeof *job.shared);
    if (!well)
        runner_free(job.results, n, settings->n_runs);
    free(chosen);
    return well ? job.results : NULL;
}

void runner_free(struct trial_result *results, size_t n, size_t n_runs)
{
    if (results != NULL)
        munmap(results, n * n_runs * sizeof *results);
}
