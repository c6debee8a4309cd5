/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One message of the worker protocol: what is decoded is within the treaty, and
 * encoded again it decodes to the same.
 */
#include <math.h>
#include <string.h>

#include "proto/codec.h"
#include "tests/fuzz/fuzz.h"

static void check_numbers(const struct msg *m)
{
    for (size_t i = 0; i < m->n_numbers; i++)
        MUST(isfinite(m->numbers[i]));
}

static void put_again(struct frame_writer *w, const struct msg *m)
{
    if (m->type == WIRE_PREDICT)
        codec_put_predict(w, m->id, m->n_rows, m->numbers, m->n_numbers);
    else if (m->type == WIRE_RESULT)
        codec_put_result(w, m->id, m->numbers, m->n_numbers, m->service_ns);
    else if (m->type == WIRE_FAULT)
        codec_put_fault(w, m->id, m->text);
    else if (m->type == WIRE_READY)
        codec_put_ready(w, m->kind, m->n_features, m->output, m->cage);
    else
        codec_put_ping(w, m->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct codec *c = codec_new(), *other = codec_new();
    struct frame_writer w = {0};
    struct msg m, again;
    struct err e = {0};
    if (codec_decode(c, data, n, &m, &e) == 0) {
        check_numbers(&m);
        put_again(&w, &m);
        MUST(codec_decode(other, w.bytes + FRAME_HEADER_BYTES, w.end - FRAME_HEADER_BYTES, &again,
                          &e) == 0);
        MUST(again.n_numbers == m.n_numbers || m.type == WIRE_DELAY);
        for (size_t i = 0; i < again.n_numbers; i++)
            MUST(memcmp(&again.numbers[i], &m.numbers[i], sizeof m.numbers[i]) == 0);
    } else {
        MUST(strcmp(e.code, "bad-frame") == 0);
    }
    frame_writer_clear(&w);
    codec_free(&c);
    codec_free(&other);
    return 0;
}
