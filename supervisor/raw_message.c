/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See raw_message.h. The head goes by lines, chunks by a table of states and
 * classes of bytes; nothing is kept but the beginning of a line.
 */
#include "supervisor/raw_message.h"

#include <string.h>
#include <strings.h>

#define MAX_DIGITS 8

enum state {
    STATE_HEAD,
    STATE_SIZE,    /* of a chunk: digits, CR */
    STATE_SIZE_LF, /* behind them */
    STATE_DATA,
    STATE_DATA_CR, /* behind them, CR LF */
    STATE_DATA_LF,
    STATE_FIELD,    /* a line of the trailer begins */
    STATE_TRAILER,  /* in such a line */
    STATE_FIELD_LF, /* at its end */
    STATE_END_LF,   /* the blank line's */
    STATE_REST,     /* no affair of ours */
    N_STATES
};

enum byte { BYTE_CR, BYTE_LF, BYTE_DIGIT, BYTE_OTHER, N_BYTES };

#define FAULT (-1)

/* clang-format off */
static const int next_states[N_STATES][N_BYTES] = {
    /*                   CR              LF            digit          other */
    [STATE_SIZE]     = {STATE_SIZE_LF,  FAULT,        STATE_SIZE,    FAULT},
    [STATE_SIZE_LF]  = {FAULT,          STATE_DATA,   FAULT,         FAULT},
    [STATE_DATA_CR]  = {STATE_DATA_LF,  FAULT,        FAULT,         FAULT},
    [STATE_DATA_LF]  = {FAULT,          STATE_SIZE,   FAULT,         FAULT},
    [STATE_FIELD]    = {STATE_END_LF,   FAULT,        STATE_TRAILER, STATE_TRAILER},
    [STATE_TRAILER]  = {STATE_FIELD_LF, FAULT,        STATE_TRAILER, STATE_TRAILER},
    [STATE_FIELD_LF] = {FAULT,          STATE_FIELD,  FAULT,         FAULT},
    [STATE_END_LF]   = {FAULT,          STATE_REST,   FAULT,         FAULT},
};
/* clang-format on */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum byte class_of(char c)
{
    return c == '\r' ? BYTE_CR : c == '\n' ? BYTE_LF : digit_of(c) >= 0 ? BYTE_DIGIT : BYTE_OTHER;
}

static void find_fault(struct raw_message *m, const char *fault)
{
    m->fault = fault;
    m->state = STATE_REST;
}

/* --- The head ---------------------------------------------------------------*/

/* Some bytes of a line, without its LF. */
static void take_part(struct raw_message *m, const char *p, size_t n)
{
    size_t room = sizeof m->name - m->n_name;
    size_t taken = n < room ? n : room;
    memcpy(m->name + m->n_name, p, taken);
    m->n_name = (uint8_t)(m->n_name + taken);
    if (n > 1 || (n == 1 && *p != '\r'))
        m->line_is_blank = false;
    if (memchr(p, '\0', n) != NULL)
        m->fault = "a NUL in the head";
}

static void end_line(struct raw_message *m)
{
    static const char name[RAW_MESSAGE_NAME + 1] = "transfer-encoding:";
    if (m->n_name == RAW_MESSAGE_NAME && strncasecmp(m->name, name, RAW_MESSAGE_NAME) == 0)
        m->is_chunked = true;
    if (m->line_is_blank)
        m->state = m->is_chunked ? STATE_SIZE : STATE_REST;
    m->line_is_blank = true;
    m->n_name = 0;
}

/* Returns where it stopped: behind the head or the bytes. */
static const char *take_head(struct raw_message *m, const char *p, const char *end)
{
    while (p < end && m->state == STATE_HEAD) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        take_part(m, p, (size_t)((lf != NULL ? lf : end) - p));
        p = lf != NULL ? lf + 1 : end;
        if (lf != NULL)
            end_line(m);
    }
    return p;
}

/* --- Chunks -----------------------------------------------------------------*/

/* A size has digits, and not so many that it could overflow. */
static bool take_digit(struct raw_message *m, char c)
{
    m->left = m->left * 16 + (uint64_t)digit_of(c);
    return ++m->n_digits <= MAX_DIGITS;
}

static void take_chunk_byte(struct raw_message *m, char c)
{
    enum byte byte = class_of(c);
    int from = m->state;
    int to = next_states[from][byte];
    bool is_empty = from == STATE_SIZE && byte == BYTE_CR && m->n_digits == 0;
    if (to == FAULT || is_empty || (to == STATE_SIZE && byte == BYTE_DIGIT && !take_digit(m, c))) {
        find_fault(m, "chunks that are not framed as RFC 9112 says");
        return;
    }
    if (to == STATE_SIZE && byte == BYTE_LF) {
        m->left = 0;
        m->n_digits = 0;
    }
    m->state = to == STATE_DATA && m->left == 0 ? STATE_FIELD : to;
}

static void take_chunks(struct raw_message *m, const char *p, const char *end)
{
    while (p < end && m->state != STATE_REST) {
        if (m->state != STATE_DATA) {
            take_chunk_byte(m, *p++);
            continue;
        }
        size_t n = (size_t)(end - p) < m->left ? (size_t)(end - p) : (size_t)m->left;
        p += n;
        m->left -= n;
        if (m->left == 0)
            m->state = STATE_DATA_CR;
    }
}

void raw_message_begin(struct raw_message *m)
{
    *m = (struct raw_message){.state = STATE_HEAD};
}

void raw_message_take(struct raw_message *m, const char *bytes, size_t n)
{
    const char *end = bytes + n;
    if (m->state == STATE_HEAD)
        bytes = take_head(m, bytes, end);
    if (m->state != STATE_HEAD)
        take_chunks(m, bytes, end);
}

bool raw_message_has_head(const struct raw_message *m)
{
    return m->state != STATE_HEAD;
}

bool raw_message_is_seen(const struct raw_message *m)
{
    return m->state == STATE_REST;
}

const char *raw_message_fault(const struct raw_message *m)
{
    return m->fault;
}
