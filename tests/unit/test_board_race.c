/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A reader in another process, with a read-only mapping, beside a writer that
 * adds as fast as it can and begins new lives of the row. Every sample follows
 * from its sequence and every snapshot from the samples before it, so one torn
 * word is found. Nothing here waits for time: the writer goes on after a burst
 * as soon as the reader has got a snapshot since.
 */
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/rng.h"
#include "proto/board.h"
#include "tests/support/scratch.h"

#define N_BURSTS  1000
#define MAX_BURST (4 * BOARD_RING)
#define LIFE      50 /* bursts */

/* Shared by the two processes. */
struct control {
    _Atomic uint64_t n_snapshots;
    _Atomic uint64_t n_busy;
    _Atomic uint64_t n_samples;
    _Atomic bool done; /* all is written */
    char failure[256]; /* of the reader, which then exits with 1 */
};

struct reader {
    struct control *control;
    struct board *board;
    int row;
    uint64_t last_sample;
    uint64_t first_sequence; /* of the life that the next two describe */
    uint64_t last_sequence;
    struct moments moments;
    struct histogram histogram;
    uint64_t n_outcome[N_BOARD_OUTCOMES];
};

static char path[SCRATCH_PATH_SIZE];

/* The sample of a sequence: all of its words depend on all bits of it. */
static struct board_sample sample_of(uint64_t sequence)
{
    struct rng r;
    rng_seed(&r, sequence);
    return (struct board_sample){
        .sequence = sequence,
        .start_ns = (int64_t)rng_next(&r),
        .latency_ns = rng_next(&r) >> 34,
        .outcome = sequence % 7 == 0 ? BOARD_FAULT : BOARD_OK,
    };
}

#define CHECK(reader, condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            snprintf((reader)->control->failure, sizeof(reader)->control->failure,                 \
                     "line %d, at sequence %llu: %s", __LINE__,                                    \
                     (unsigned long long)(reader)->last_sequence, #condition);                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* after 0: the oldest in the ring, which the writer is about to overwrite. */
static void check_samples(struct reader *r, uint64_t after)
{
    struct board_sample got[64];
    size_t n = board_read_samples(r->board, r->row, after, got, 64);
    for (size_t i = 0; i < n; i++) {
        struct board_sample want = sample_of(got[i].sequence);
        CHECK(r, got[i].sequence > after);
        CHECK(r, got[i].start_ns == want.start_ns);
        CHECK(r, got[i].latency_ns == want.latency_ns);
        CHECK(r, got[i].outcome == want.outcome);
        after = got[i].sequence;
    }
    if (after > r->last_sample)
        r->last_sample = after;
    atomic_fetch_add(&r->control->n_samples, n);
}

/* Moves what is expected on to the last sample of the snapshot. */
static void expect(struct reader *r, const struct board_snapshot *s)
{
    if (s->first_sequence != r->first_sequence) {
        r->first_sequence = s->first_sequence;
        r->last_sequence = s->first_sequence - 1;
        memset(&r->moments, 0, sizeof r->moments);
        memset(&r->histogram, 0, sizeof r->histogram);
        memset(r->n_outcome, 0, sizeof r->n_outcome);
    }
    while (r->last_sequence < s->last_sequence) {
        struct board_sample sample = sample_of(++r->last_sequence);
        r->n_outcome[sample.outcome]++;
        if (sample.outcome != BOARD_OK)
            continue;
        moments_add(&r->moments, (double)sample.latency_ns);
        histogram_add(&r->histogram, sample.latency_ns);
    }
}

static void check_snapshot(struct reader *r)
{
    static struct board_snapshot s;
    char version[BOARD_VERSION_SIZE];
    if (board_read_row(r->board, r->row, &s, NULL) < 0) {
        atomic_fetch_add(&r->control->n_busy, 1);
        return;
    }
    CHECK(r, s.first_sequence >= r->first_sequence);
    CHECK(r, s.first_sequence > r->first_sequence || s.last_sequence >= r->last_sequence);
    expect(r, &s);
    snprintf(version, sizeof version, "life %llu", (unsigned long long)s.pid);
    CHECK(r, s.state == BOARD_OPEN || s.state == BOARD_CLOSED);
    CHECK(r, strcmp(s.version, version) == 0);
    CHECK(r, memcmp(s.n_outcome, r->n_outcome, sizeof s.n_outcome) == 0);
    CHECK(r, memcmp(&s.moments, &r->moments, sizeof s.moments) == 0);
    CHECK(r, memcmp(&s.histogram, &r->histogram, sizeof s.histogram) == 0);
    atomic_fetch_add(&r->control->n_snapshots, 1);
}

/* The child. Never returns; it says through control what went wrong. */
static void read_beside_the_writer(struct control *control, int row)
{
    static struct reader r;
    unsigned turns = 0;
    bool done = false;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    r.control = control;
    r.row = row;
    r.board = board_open_reader(path, NULL);
    CHECK(&r, r.board != NULL);
    while (!done) {
        done = atomic_load(&control->done);
        check_samples(&r, 0);
        check_samples(&r, r.last_sample);
        check_snapshot(&r);
        if (++turns % 64 == 0)
            sched_yield(); /* one core is enough for the two of us */
    }
    _exit(0);
}

/* Lets the reader have one snapshot; the test fails if it exits instead. */
static void await_snapshot(struct control *control, pid_t reader)
{
    uint64_t before = atomic_load(&control->n_snapshots);
    while (atomic_load(&control->n_snapshots) == before) {
        int status;
        if (waitpid(reader, &status, WNOHANG) != 0)
            fail_msg("the reader left: %s", control->failure);
        sched_yield();
    }
}

static int open_life(struct board *board, int life)
{
    char version[BOARD_VERSION_SIZE];
    struct board_row_info info = {.pid = life, .role = "canary", .version = version};
    snprintf(version, sizeof version, "life %d", life);
    return board_row_open(board, &info);
}

/* All rows but one are taken, so that the one is used again and again. */
static int open_all_rows(struct board *board)
{
    int row = -1;
    for (int i = 0; i < BOARD_MAX_ROWS; i++)
        row = open_life(board, 0);
    return row;
}

static void write_bursts(struct board *board, int row, struct control *control, pid_t reader)
{
    uint64_t sequence = 0;
    struct rng r;
    rng_seed(&r, 4);
    for (int burst = 0; burst < N_BURSTS; burst++) {
        uint32_t n = 1 + rng_below(&r, MAX_BURST);
        if (burst % LIFE == LIFE - 1) {
            board_row_close(board, row);
            assert_int_equal(open_life(board, burst), row);
        }
        while (n-- > 0) {
            struct board_sample s = sample_of(++sequence);
            board_add(board, row, s.start_ns, s.latency_ns, s.outcome);
        }
        await_snapshot(control, reader);
    }
}

static void test_reader_beside_a_busy_writer(void **state)
{
    int status;
    struct control *control =
        mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)state;
    scratch_path(path, "board");
    struct board *board = board_create(path, NULL);
    assert_true(control != MAP_FAILED && board != NULL);
    int row = open_all_rows(board);
    pid_t reader = fork();
    assert_true(reader >= 0);
    if (reader == 0)
        read_beside_the_writer(control, row);
    write_bursts(board, row, control, reader);
    atomic_store(&control->done, true);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    if (status != 0)
        fail_msg("the reader ended with %x: %s", (unsigned)status, control->failure);
    assert_true(control->n_snapshots >= N_BURSTS);
    assert_true(control->n_samples >= N_BURSTS);
    print_message("%llu snapshots, %llu samples read, %llu times busy\n",
                  (unsigned long long)control->n_snapshots, (unsigned long long)control->n_samples,
                  (unsigned long long)control->n_busy);
    munmap(control, sizeof *control);
    board_free(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reader_beside_a_busy_writer, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests_name("board_race", tests, NULL, NULL);
}
