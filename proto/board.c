/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board's file and its writer; see board.h. A mapped file is never truncated:
 * that would kill its readers with SIGBUS, and so would a disk that is full only
 * when a page is first touched.
 */
#include "proto/board.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/birth.h"
#include "common/clock.h"
#include "common/fdio.h"
#include "common/mem.h"
#include "proto/board_private.h"

/* Takes fd; -1: it is a reader's. */
static struct board *board_new(struct board_layout *map, int fd)
{
    struct board *board = mem_alloc(sizeof *board);
    board->map = map;
    board->is_writer = fd >= 0;
    board->fd = fd;
    return board;
}

static int reserve(int fd, size_t size)
{
    int error;
    do {
        error = posix_fallocate(fd, 0, (off_t)size);
    } while (error == EINTR);
    errno = error;
    return error == 0 ? 0 : -1;
}

static void write_header(struct board_header *header)
{
    *header = (struct board_header){
        .header_bytes = sizeof(struct board_header),
        .row_bytes = sizeof(struct board_row),
        .n_rows = BOARD_MAX_ROWS,
        .n_ring = BOARD_RING,
        .n_buckets = HISTOGRAM_BUCKETS,
        .n_outcomes = N_BOARD_OUTCOMES,
        .writer_pid = getpid(),
        .writer_birth = birth_of_process(getpid()),
        .n_rows_now = BOARD_STEP_ROWS,
    };
    memcpy(header->marker, BOARD_MARKER, BOARD_MARKER_SIZE);
}

/* A new file of zeros with all its first room, mapped. NULL with errno. */
static struct board *map_new_file(const char *path)
{
    void *map = MAP_FAILED;
    if (unlink(path) < 0 && errno != ENOENT)
        return NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return NULL;
    if (reserve(fd, BOARD_BYTES(BOARD_STEP_ROWS)) == 0)
        map = mmap(NULL, sizeof(struct board_layout), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map != MAP_FAILED)
        return board_new(map, fd);
    fd_close(&fd);
    return NULL;
}

struct board *board_create(const char *path, struct err *e)
{
    char *fresh = mem_printf("%s.new", path);
    struct board *board = map_new_file(fresh);
    if (board != NULL)
        write_header(&board->map->header);
    if (board == NULL || rename(fresh, path) < 0) {
        err_set_errno(e, "cannot-create", "board %s of %zu bytes", path,
                      BOARD_BYTES(BOARD_STEP_ROWS));
        unlink(fresh);
        board_free(&board);
    }
    free(fresh);
    return board;
}

void board_free(struct board **board)
{
    if (*board == NULL)
        return;
    munmap((*board)->map, sizeof(struct board_layout));
    fd_close(&(*board)->fd);
    free(*board);
    *board = NULL;
}

/* The open file's header is one that this program reads: 0, or -1 with err. */
static int check_header(int fd, const char *path, struct err *e)
{
    struct board_header header;
    struct board_header want;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(e, "board-unreadable", "board %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, "not-a-board", "%s is not a regular file", path);
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return err_set(e, "board-too-short", "board %s has %lld bytes; its header alone has %zu",
                       path, (long long)st.st_size, sizeof header);
    write_header(&want);
    if (memcmp(header.marker, want.marker, BOARD_MARKER_NAME) != 0)
        return err_set(e, "not-a-board", "%s does not begin like a board", path);
    if (memcmp(header.marker, want.marker, BOARD_MARKER_SIZE) != 0)
        return err_set(e, "board-version", "board %s has another version; this program reads %.2s",
                       path, &want.marker[BOARD_MARKER_NAME]);
    if (memcmp(&header, &want, offsetof(struct board_header, writer_pid)) != 0)
        return err_set(e, "not-a-board", "board %s has other sizes than its version", path);
    uint64_t n_rows = header.n_rows_now;
    if (n_rows > (uint64_t)BOARD_MAX_ROWS)
        return err_set(e, "not-a-board", "board %s has more rows than a board can", path);
    if (fstat(fd, &st) < 0) /* anew: it may have grown */
        return err_set_errno(e, "board-unreadable", "board %s", path);
    if ((uintmax_t)st.st_size < BOARD_BYTES(n_rows))
        return err_set(e, "board-too-short", "board %s has %lld bytes, expected %zu", path,
                       (long long)st.st_size, BOARD_BYTES(n_rows));
    return 0;
}

struct board *board_open_reader(const char *path, struct err *e)
{
    struct board *board = NULL;
    /* O_NONBLOCK: a FIFO of that name must not hold us up. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        err_set_errno(e, "board-unreadable", "board %s", path);
        return NULL;
    }
    if (check_header(fd, path, e) == 0) {
        void *map = mmap(NULL, sizeof(struct board_layout), PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            board = board_new(map, -1);
        else
            err_set_errno(e, "board-unreadable", "board %s", path);
    }
    fd_close(&fd);
    return board;
}

/* The writer reads its own values back: no other order than its own matters. */
#define GET(field)        atomic_load_explicit(&(field), memory_order_relaxed)
#define PUT(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

static void lock_row(struct board_row *row)
{
    PUT(row->lock, GET(row->lock) + 1);
    atomic_thread_fence(memory_order_release);
}

static void unlock_row(struct board_row *row)
{
    atomic_store_explicit(&row->lock, GET(row->lock) + 1, memory_order_release);
}

static struct board_row *row_at(struct board *board, int row)
{
    assert(board->is_writer && row >= 0 && row < board_n_rows(board));
    return &board->map->row[row];
}

static struct board_row *open_row_at(struct board *board, int row)
{
    struct board_row *r = row_at(board, row);
    assert(GET(r->state) == BOARD_OPEN);
    return r;
}

/* text, cut to fit with its NUL, as words of 8 bytes. */
static void put_label(_Atomic uint64_t *words, size_t size, const char *text)
{
    char bytes[BOARD_VERSION_SIZE] = {0};
    snprintf(bytes, size, "%s", text);
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word;
        memcpy(&word, bytes + 8 * i, 8);
        PUT(words[i], word);
    }
}

/* The first of some more rows, or -1. */
static int grow(struct board *board)
{
    int n = board_n_rows(board);
    if (n + BOARD_STEP_ROWS > BOARD_MAX_ROWS ||
        reserve(board->fd, BOARD_BYTES((size_t)n + BOARD_STEP_ROWS)) < 0)
        return -1;
    atomic_store_explicit(&board->map->header.n_rows_now, (uint64_t)n + BOARD_STEP_ROWS,
                          memory_order_release);
    return n;
}

/* A free row, else the one closed longest ago, else a new one; -1: there is none. */
static int find_row(struct board *board)
{
    int oldest = -1;
    uint64_t oldest_order = UINT64_MAX;
    for (int i = 0; i < board_n_rows(board); i++) {
        struct board_row *row = row_at(board, i);
        if (GET(row->state) == BOARD_FREE)
            return i;
        if (GET(row->state) == BOARD_CLOSED && GET(row->closed_order) < oldest_order) {
            oldest_order = GET(row->closed_order);
            oldest = i;
        }
    }
    return oldest >= 0 ? oldest : grow(board);
}

static void clear_numbers(struct board_row *row)
{
    PUT(row->first_sequence, GET(row->last_sequence) + 1);
    for (size_t i = 0; i < N_BOARD_OUTCOMES; i++)
        PUT(row->n_outcome[i], 0);
    PUT(row->n, 0);
    PUT(row->mean, 0);
    PUT(row->mean_low, 0);
    PUT(row->m2, 0);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        PUT(row->count[i], 0);
}

int board_row_open(struct board *board, const struct board_row_info *info)
{
    int i = find_row(board);
    if (i < 0)
        return -1;
    struct board_row *row = row_at(board, i);
    lock_row(row);
    PUT(row->state, BOARD_OPEN);
    PUT(row->clock, info->clock);
    PUT(row->pid, info->pid);
    PUT(row->opened_ns, clock_mono_ns());
    PUT(row->closed_order, 0);
    put_label(row->role, BOARD_ROLE_SIZE, info->role);
    put_label(row->version, BOARD_VERSION_SIZE, info->version);
    clear_numbers(row);
    unlock_row(row);
    return i;
}

void board_row_close(struct board *board, int row)
{
    struct board_row *r = open_row_at(board, row);
    lock_row(r);
    PUT(r->state, BOARD_CLOSED);
    PUT(r->closed_order, ++board->n_closed);
    unlock_row(r);
}

static void add_latency(struct board_row *row, uint64_t latency_ns)
{
    struct moments m = {GET(row->n), GET(row->mean), GET(row->mean_low), GET(row->m2)};
    _Atomic uint64_t *count = &row->count[histogram_bucket(latency_ns)];
    moments_add(&m, (double)latency_ns);
    PUT(row->n, m.n);
    PUT(row->mean, m.mean);
    PUT(row->mean_low, m.mean_low);
    PUT(row->m2, m.m2);
    PUT(*count, GET(*count) + 1);
}

void board_add(struct board *board, int row, int64_t start_ns, uint64_t latency_ns,
               enum board_outcome outcome)
{
    assert(outcome < N_BOARD_OUTCOMES);
    struct board_row *r = open_row_at(board, row);
    uint64_t sequence = GET(r->last_sequence) + 1;
    struct board_slot *slot = &r->ring[sequence % BOARD_RING];
    PUT(slot->sequence, 0);
    lock_row(r); /* its fence also keeps the 0 before the payload */
    PUT(slot->start_ns, start_ns);
    PUT(slot->latency_ns, latency_ns);
    PUT(slot->outcome, outcome);
    atomic_store_explicit(&slot->sequence, sequence, memory_order_release);
    PUT(r->n_outcome[outcome], GET(r->n_outcome[outcome]) + 1);
    if (outcome == BOARD_OK)
        add_latency(r, latency_ns);
    PUT(r->last_sequence, sequence);
    unlock_row(r);
}
