/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What board.c (files, writing) and board_read.c share; nobody else includes it.
 */
#ifndef CANARYD_BOARD_PRIVATE_H
#define CANARYD_BOARD_PRIVATE_H

#include "proto/board.h"

struct board {
    struct board_layout *map; /* PROT_READ alone unless is_writer */
    bool is_writer;
    uint64_t n_closed; /* rows closed so far, by this writer */
};

#endif
