/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * msgpack messages: a walk over the raw bytes, msgpack-c's unpacker, then one
 * table of what each message holds.
 */
#include "proto/codec.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <msgpack.h>

#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"

#define ZONE_BYTES 8192
#define MAX_DEPTH  2 /* a message and the array of numbers in it */

struct codec {
    msgpack_zone zone;
    double *numbers;
    size_t room;
};

struct codec *codec_new(void)
{
    struct codec *c = mem_alloc(sizeof *c);
    if (!msgpack_zone_init(&c->zone, ZONE_BYTES))
        fatal(EX_SOFTWARE, "out of memory: no room for a codec");
    return c;
}

void codec_free(struct codec **c)
{
    if (*c == NULL)
        return;
    msgpack_zone_destroy(&(*c)->zone);
    free((*c)->numbers);
    free(*c);
    *c = NULL;
}

static int bad(struct err *e, const char *what)
{
    return err_set(e, "bad-frame", "not a frame of the protocol: %s", what);
}

/* --- The walk ---------------------------------------------------------------
 * msgpack-c trusts declared sizes: the five bytes of an array 32 make it
 * reserve half a gigabyte. So every item is first held against what is there. */

/* A token of the msgpack format (github.com/msgpack/msgpack/blob/master/spec.md). */
struct token {
    size_t head;     /* bytes of the tag and its size field */
    size_t body;     /* bytes that follow */
    size_t elements; /* of an array */
};

static size_t big_endian(const uint8_t *p, size_t n)
{
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | p[i];
    return value;
}

/* Only what messages are made of: integers, floats, strings, bin, arrays. */
static const struct {
    uint8_t tag;
    uint8_t size_bytes;  /* of a size field after the tag */
    uint8_t fixed_bytes; /* of a body of fixed length */
    bool is_array;
} sized_tags[] = {
    {0xc4, 1, 0, false}, {0xc5, 2, 0, false}, {0xc6, 4, 0, false}, /* bin 8, 16, 32 */
    {0xca, 0, 4, false}, {0xcb, 0, 8, false},                      /* float 32, 64 */
    {0xcc, 0, 1, false}, {0xcd, 0, 2, false}, {0xce, 0, 4, false}, {0xcf, 0, 8, false}, /* uint */
    {0xd0, 0, 1, false}, {0xd1, 0, 2, false}, {0xd2, 0, 4, false}, {0xd3, 0, 8, false}, /* int */
    {0xd9, 1, 0, false}, {0xda, 2, 0, false}, {0xdb, 4, 0, false},                      /* str */
    {0xdc, 2, 0, true},  {0xdd, 4, 0, true},                                            /* array */
};

static int sized_token(const uint8_t *p, size_t n, struct token *t)
{
    for (size_t i = 0; i < sizeof sized_tags / sizeof sized_tags[0]; i++) {
        if (sized_tags[i].tag != p[0])
            continue;
        size_t head = 1 + (size_t)sized_tags[i].size_bytes;
        if (n < head)
            return -1;
        size_t size = sized_tags[i].fixed_bytes + big_endian(p + 1, head - 1);
        *t = (struct token){.head = head,
                            .body = sized_tags[i].is_array ? 0 : size,
                            .elements = sized_tags[i].is_array ? size : 0};
        return 0;
    }
    return -1;
}

static int next_token(const uint8_t *p, size_t n, struct token *t)
{
    if (n == 0)
        return -1;
    *t = (struct token){.head = 1};
    if (p[0] < 0x80 || p[0] >= 0xe0) /* fixint */
        return 0;
    if (p[0] >= 0xa0 && p[0] < 0xc0) { /* fixstr */
        t->body = p[0] & 0x1f;
        return 0;
    }
    if (p[0] >= 0x90 && p[0] < 0xa0) { /* fixarray */
        t->elements = p[0] & 0x0f;
        return 0;
    }
    return sized_token(p, n, t);
}

/* True if the payload is exactly one array of the kinds of item we use. */
static bool walk(const uint8_t *p, size_t n)
{
    size_t left[MAX_DEPTH + 1] = {1}; /* items still to come at each depth */
    size_t depth = 0;
    for (;;) {
        struct token t;
        while (left[depth] == 0) {
            if (depth == 0)
                return n == 0;
            depth--;
        }
        left[depth]--;
        if (next_token(p, n, &t) < 0 || n - t.head < t.body)
            return false;
        p += t.head + t.body;
        n -= t.head + t.body;
        if (t.elements > n) /* an element has at least one byte */
            return false;
        if (t.elements > 0) {
            if (depth == MAX_DEPTH)
                return false;
            left[++depth] = t.elements;
        }
    }
}

/* --- Fields -----------------------------------------------------------------*/

static bool as_uint(const msgpack_object *o, uint64_t min, uint64_t max, uint64_t *value)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 < min || o->via.u64 > max)
        return false;
    *value = o->via.u64;
    return true;
}

static bool as_double(const msgpack_object *o, double *value)
{
    if (o->type == MSGPACK_OBJECT_FLOAT64 || o->type == MSGPACK_OBJECT_FLOAT32)
        *value = o->via.f64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        *value = (double)o->via.u64;
    else if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *value = (double)o->via.i64;
    else
        return false;
    return isfinite(*value);
}

/* Copies a string, cut to max bytes; false if it is none or holds a NUL. */
static bool as_text(const msgpack_object *o, char *text, size_t max)
{
    text[0] = '\0';
    if (o->type == MSGPACK_OBJECT_STR && o->via.str.size == 0)
        return true; /* its ptr may be NULL */
    if (o->type != MSGPACK_OBJECT_STR || memchr(o->via.str.ptr, '\0', o->via.str.size) != NULL)
        return false;
    size_t n = o->via.str.size < max ? o->via.str.size : max;
    memcpy(text, o->via.str.ptr, n);
    text[n] = '\0';
    return true;
}

/* A name that can stand in a JSON key or a header as it is. */
static bool as_name(const msgpack_object *o, char name[WIRE_MAX_NAME + 1])
{
    if (!as_text(o, name, WIRE_MAX_NAME) || name[0] == '\0' || o->via.str.size > WIRE_MAX_NAME)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if (*p < 0x20 || *p > 0x7e || *p == '"' || *p == '\\')
            return false;
    return true;
}

static void reserve_numbers(struct codec *c, size_t n)
{
    if (n <= c->room)
        return;
    c->numbers = mem_resize(c->numbers, n, sizeof *c->numbers);
    c->room = n;
}

static bool numbers_from_bin(struct codec *c, const msgpack_object_bin *bin, size_t max, size_t *n)
{
    *n = bin->size / sizeof(double);
    if (bin->size % sizeof(double) != 0 || *n == 0 || *n > max)
        return false;
    reserve_numbers(c, *n);
    memcpy(c->numbers, bin->ptr, bin->size);
    for (size_t i = 0; i < *n; i++)
        if (!isfinite(c->numbers[i]))
            return false;
    return true;
}

static bool as_numbers(struct codec *c, const msgpack_object *o, size_t max, struct msg *m)
{
    if (o->type == MSGPACK_OBJECT_BIN) {
        if (!numbers_from_bin(c, &o->via.bin, max, &m->n_numbers))
            return false;
        m->numbers = c->numbers;
        return true;
    }
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size == 0 || o->via.array.size > max)
        return false;
    m->n_numbers = o->via.array.size;
    reserve_numbers(c, m->n_numbers);
    for (size_t i = 0; i < m->n_numbers; i++)
        if (!as_double(&o->via.array.ptr[i], &c->numbers[i]))
            return false;
    m->numbers = c->numbers;
    return true;
}

/* --- Messages: each gets the fields behind type and id ----------------------*/

static bool decode_bare(struct codec *c, const msgpack_object *f, struct msg *m)
{
    (void)c, (void)f, (void)m;
    return true;
}

static bool decode_predict(struct codec *c, const msgpack_object *f, struct msg *m)
{
    uint64_t n_rows;
    if (!as_uint(&f[0], 1, WIRE_MAX_ROWS, &n_rows) || !as_numbers(c, &f[1], WIRE_MAX_FEATURES, m))
        return false;
    m->n_rows = (uint32_t)n_rows;
    return m->n_numbers % m->n_rows == 0;
}

static bool decode_delay(struct codec *c, const msgpack_object *f, struct msg *m)
{
    (void)c;
    return as_double(&f[0], &m->delay_ms) && m->delay_ms >= 0 && m->delay_ms <= WIRE_MAX_DELAY_MS;
}

static bool decode_ready(struct codec *c, const msgpack_object *f, struct msg *m)
{
    uint64_t version, n_features;
    (void)c;
    if (!as_uint(&f[0], 0, UINT32_MAX, &version) || !as_name(&f[1], m->kind) ||
        !as_uint(&f[2], 1, WIRE_MAX_FEATURES, &n_features) || !as_name(&f[3], m->output) ||
        !as_name(&f[4], m->cage))
        return false;
    m->version = (uint32_t)version;
    m->n_features = (uint32_t)n_features;
    return true;
}

static bool decode_text(struct codec *c, const msgpack_object *f, struct msg *m)
{
    (void)c;
    if (!as_text(&f[0], m->text, WIRE_MAX_TEXT))
        return false;
    jsonx_clean_utf8(m->text); /* the cut may have gone through a character too */
    return true;
}

static bool decode_result(struct codec *c, const msgpack_object *f, struct msg *m)
{
    return as_numbers(c, &f[0], WIRE_MAX_ROWS, m) && as_uint(&f[1], 0, UINT64_MAX, &m->service_ns);
}

static const struct {
    enum wire_type type;
    const char *name;
    size_t n_fields;
    bool (*decode)(struct codec *c, const msgpack_object *fields, struct msg *m);
} messages[] = {
    {WIRE_PREDICT, "PREDICT", 2, decode_predict}, {WIRE_DELAY, "DELAY", 1, decode_delay},
    {WIRE_PING, "PING", 0, decode_bare},          {WIRE_QUIT, "QUIT", 0, decode_bare},
    {WIRE_READY, "READY", 5, decode_ready},       {WIRE_REFUSE, "REFUSE", 1, decode_text},
    {WIRE_RESULT, "RESULT", 2, decode_result},    {WIRE_FAULT, "FAULT", 1, decode_text},
    {WIRE_PONG, "PONG", 0, decode_bare},
};

static int decode_fields(struct codec *c, const msgpack_object_array *a, struct msg *m,
                         struct err *e)
{
    uint64_t type;
    if (a->size < 2 || !as_uint(&a->ptr[0], 0, UINT8_MAX, &type) ||
        !as_uint(&a->ptr[1], 0, UINT64_MAX, &m->id))
        return bad(e, "it does not begin with [type, id]");
    m->numbers = NULL;
    m->n_numbers = 0;
    m->service_ns = 0;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        if (messages[i].type != type)
            continue;
        m->type = messages[i].type;
        if (a->size == messages[i].n_fields + 2 && messages[i].decode(c, a->ptr + 2, m))
            return 0;
        return err_set(e, "bad-frame", "not a frame of the protocol: a field of %s is wrong",
                       messages[i].name);
    }
    return bad(e, "unknown message type");
}

int codec_decode(struct codec *c, const uint8_t *payload, size_t n, struct msg *m, struct err *e)
{
    msgpack_object object;
    size_t offset = 0;
    if (!walk(payload, n))
        return bad(e, "the bytes are not one msgpack array of numbers, strings and bin");
    msgpack_zone_clear(&c->zone);
    if (msgpack_unpack((const char *)payload, n, &offset, &c->zone, &object) !=
            MSGPACK_UNPACK_SUCCESS ||
        object.type != MSGPACK_OBJECT_ARRAY)
        return bad(e, "msgpack-c cannot unpack it as an array");
    return decode_fields(c, &object.via.array, m, e);
}

/* --- Encoding ---------------------------------------------------------------*/

static int append(void *writer, const char *bytes, size_t n)
{
    frame_append(writer, bytes, n);
    return 0;
}

static msgpack_packer begin(struct frame_writer *w, enum wire_type type, uint64_t id,
                            size_t n_fields)
{
    msgpack_packer p;
    frame_begin(w);
    msgpack_packer_init(&p, w, append);
    msgpack_pack_array(&p, n_fields + 2);
    msgpack_pack_uint8(&p, (uint8_t)type);
    msgpack_pack_uint64(&p, id);
    return p;
}

static void put_text(msgpack_packer *p, const char *text)
{
    size_t n = strnlen(text, WIRE_MAX_TEXT);
    msgpack_pack_str(p, n);
    msgpack_pack_str_body(p, text, n);
}

static void put_numbers(msgpack_packer *p, const double *numbers, size_t n)
{
    msgpack_pack_array(p, n);
    for (size_t i = 0; i < n; i++)
        msgpack_pack_double(p, numbers[i]);
}

static void put_bare(struct frame_writer *w, enum wire_type type, uint64_t id)
{
    begin(w, type, id, 0);
    frame_end(w);
}

void codec_put_predict(struct frame_writer *w, uint64_t id, uint32_t n_rows, const double *features,
                       size_t n)
{
    msgpack_packer p = begin(w, WIRE_PREDICT, id, 2);
    msgpack_pack_uint32(&p, n_rows);
    if (n >= WIRE_BIN_FROM) {
        msgpack_pack_bin(&p, n * sizeof *features);
        msgpack_pack_bin_body(&p, features, n * sizeof *features);
    } else {
        put_numbers(&p, features, n);
    }
    frame_end(w);
}

void codec_put_delay(struct frame_writer *w, double ms)
{
    msgpack_packer p = begin(w, WIRE_DELAY, 0, 1);
    msgpack_pack_double(&p, ms);
    frame_end(w);
}

void codec_put_ping(struct frame_writer *w, uint64_t id)
{
    put_bare(w, WIRE_PING, id);
}

void codec_put_quit(struct frame_writer *w)
{
    put_bare(w, WIRE_QUIT, 0);
}

void codec_put_ready(struct frame_writer *w, const char *kind, uint32_t n_features,
                     const char *output, const char *cage)
{
    msgpack_packer p = begin(w, WIRE_READY, 0, 5);
    msgpack_pack_uint32(&p, WIRE_VERSION);
    put_text(&p, kind);
    msgpack_pack_uint32(&p, n_features);
    put_text(&p, output);
    put_text(&p, cage);
    frame_end(w);
}

void codec_put_refuse(struct frame_writer *w, const char *text)
{
    msgpack_packer p = begin(w, WIRE_REFUSE, 0, 1);
    put_text(&p, text);
    frame_end(w);
}

void codec_put_result(struct frame_writer *w, uint64_t id, const double *outputs, size_t n,
                      uint64_t service_ns)
{
    msgpack_packer p = begin(w, WIRE_RESULT, id, 2);
    put_numbers(&p, outputs, n);
    msgpack_pack_uint64(&p, service_ns);
    frame_end(w);
}

void codec_put_fault(struct frame_writer *w, uint64_t id, const char *text)
{
    msgpack_packer p = begin(w, WIRE_FAULT, id, 1);
    put_text(&p, text);
    frame_end(w);
}

void codec_put_pong(struct frame_writer *w, uint64_t id)
{
    put_bare(w, WIRE_PONG, id);
}
