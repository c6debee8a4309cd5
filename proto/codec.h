/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Messages of wire.h to and from frames. Decoding is strict: unknown type,
 * wrong arity or type of a field, a number out of its range, left-over bytes
 * are refused, and declared sizes are checked against the bytes really there
 * before anything is reserved for them.
 */
#ifndef CANARYD_CODEC_H
#define CANARYD_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/frame.h"
#include "proto/wire.h"

struct msg {
    enum wire_type type;
    uint64_t id;
    uint32_t n_rows;                /* PREDICT */
    const double *numbers;          /* PREDICT: features, row after row; RESULT: outputs */
    size_t n_numbers;               /* borrowed from the codec until its next decode */
    double delay_ms;                /* DELAY: 0 .. WIRE_MAX_DELAY_MS */
    uint64_t service_ns;            /* RESULT */
    uint32_t version;               /* READY */
    uint32_t n_features;            /* READY: 1 .. WIRE_MAX_FEATURES */
    char kind[WIRE_MAX_NAME + 1];   /* READY */
    char cage[WIRE_MAX_NAME + 1];   /* READY: "full", or what is missing of it */
    char output[WIRE_MAX_NAME + 1]; /* READY: printable ASCII, no quote or backslash */
    char text[WIRE_MAX_TEXT + 1];   /* REFUSE, FAULT: valid UTF-8; cut if longer */
};

struct codec; /* the memory that decoding reuses; one per socket or process */

struct codec *codec_new(void);
void codec_free(struct codec **c);

/* Decodes one payload. Returns 0, or -1 with err, code "bad-frame"; *m is
 * unspecified then. Fields of other messages are unspecified too, but numbers is
 * NULL and service_ns 0 in a message that has none. */
int codec_decode(struct codec *c, const uint8_t *payload, size_t n, struct msg *m, struct err *e);

/* Each appends one whole frame. features: n doubles, n_rows rows of equal length. */
void codec_put_predict(struct frame_writer *w, uint64_t id, uint32_t n_rows, const double *features,
                       size_t n);
void codec_put_delay(struct frame_writer *w, double ms);
void codec_put_ping(struct frame_writer *w, uint64_t id);
void codec_put_quit(struct frame_writer *w);
void codec_put_ready(struct frame_writer *w, const char *kind, uint32_t n_features,
                     const char *output, const char *cage);
void codec_put_refuse(struct frame_writer *w, const char *text);
void codec_put_result(struct frame_writer *w, uint64_t id, const double *outputs, size_t n,
                      uint64_t service_ns);
void codec_put_fault(struct frame_writer *w, uint64_t id, const char *text);
void codec_put_pong(struct frame_writer *w, uint64_t id);

#endif
