/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The board as a broken or hostile writer would leave it: the input overwrites
 * places of a good one, and a reader looks at all of it. A piece of the input is
 * an offset (4 bytes), a length (1) and bytes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "proto/board.h"
#include "tests/fuzz/fuzz.h"

static char path[64], good_path[64];
static char *good;
static size_t n_good;

static void make_good(void)
{
    const struct board_row_info info = {.pid = 4711, .role = "stable", .version = "m@1"};
    struct err e = {0};
    snprintf(path, sizeof path, "/tmp/canaryd-fuzz-board.%d", (int)getpid());
    snprintf(good_path, sizeof good_path, "%s.good", path);
    struct board *b = board_create(good_path, &e);
    MUST(b != NULL);
    int row = board_row_open(b, &info);
    for (int i = 0; i < 100; i++)
        board_add(b, row, i, 1000U * (unsigned)i, i % 5 == 0 ? BOARD_FAULT : BOARD_OK);
    board_memo_write(b, BOARD_MEMO_COUNTS, 7, "what the next should know", 25);
    board_free(&b);
    FILE *f = fopen(good_path, "re");
    MUST(f != NULL);
    good = mem_array(1 << 22, 1);
    n_good = fread(good, 1, 1 << 22, f);
    fclose(f);
    unlink(good_path);
}

static void write_changed(const uint8_t *data, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, good, n_good) == (ssize_t)n_good);
    while (n > 5) {
        uint32_t offset;
        size_t length = data[4];
        memcpy(&offset, data, 4);
        data += 5;
        n -= 5;
        length = length < n ? length : n;
        MUST(pwrite(fd, data, length, (off_t)(offset % n_good)) == (ssize_t)length);
        data += length;
        n -= length;
    }
    close(fd);
}

static void look(const struct board *b)
{
    static struct board_snapshot snapshot;
    struct err e;
    uint64_t tag;
    uint8_t memo[BOARD_MEMO_BYTES];
    for (int row = 0; row < board_n_rows(b); row++)
        board_read_row(b, row, &snapshot, &e);
    for (int kind = 0; kind < N_BOARD_MEMO_KINDS; kind++)
        MUST(board_memo_read(b, (enum board_memo_kind)kind, &tag, memo, sizeof memo) <=
             sizeof memo);
    board_writer_lives(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    if (good == NULL)
        make_good();
    write_changed(data, n);
    struct board *b = board_open_reader(path, &e);
    unlink(path);
    MUST(b != NULL || (n > 5 && e.code != NULL));
    if (b != NULL)
        look(b);
    board_free(&b);
    return 0;
}
