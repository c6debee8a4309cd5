/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What board.c (files, writing) and board_read.c share; nobody else includes it.
 */
#ifndef CANARYD_BOARD_PRIVATE_H
#define CANARYD_BOARD_PRIVATE_H

#include "proto/board.h"

struct board {
    /* Of the largest size there can be: what is behind the file's end must not be
     * touched. PROT_READ alone unless is_writer. */
    struct board_layout *map;
    bool is_writer;
    int fd;            /* the writer's, to grow the file by; else -1 */
    uint64_t n_closed; /* rows closed so far, by this writer */
};

#endif
