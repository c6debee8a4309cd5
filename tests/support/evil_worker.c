/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker that does what its model says, however wrong: the model's bytes are
 * words, and evil.h lists them. A program of its own, started by the tests as
 * canary-worker is by canaryd.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/codec.h"

#define N_FEATURES  5
#define MAX_SCRIPT  400
#define EXIT_OF_DIE 3

struct evil {
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    long n_good; /* predictions to answer well before anything else */
    long slow_ms;
    long killer;     /* dies of this first feature; 0: of none */
    double delay_ms; /* as the supervisor said */
    bool faults, hangs, dies, doubles, tells_pid, tells_delay, stubborn;
};

static void flush_all(struct evil *w)
{
    while (frame_writer_pending(&w->out) > 0)
        if (frame_writer_flush(&w->out, WIRE_SOCKET_FD) < 0)
            _exit(0);
}

static void put_raw(struct evil *w, const char *bytes, size_t n)
{
    frame_begin(&w->out);
    frame_append(&w->out, bytes, n);
    frame_end(&w->out);
}

/* --- What it does at its start, word by word --------------------------------*/

static void do_ready(struct evil *w, long n)
{
    codec_put_ready(&w->out, "evil", n > 0 ? (uint32_t)n : N_FEATURES, "badness");
}

static void do_refuse(struct evil *w, long n)
{
    (void)n;
    codec_put_refuse(&w->out, "it is not to my taste");
}

/* READY as another version of the protocol might say it. */
static void do_version(struct evil *w, long n)
{
    static const char ready[] = "\x96\x10\x00\x07\xa4"
                                "evil\x05\xa7"
                                "badness";
    (void)n;
    put_raw(w, ready, sizeof ready - 1);
}

static void do_garbage(struct evil *w, long n)
{
    (void)n;
    put_raw(w, "abcd", 4);
}

static void do_oversize(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    (void)!write(WIRE_SOCKET_FD, "\x7f\xff\xff\xff", 4);
}

static void do_stray(struct evil *w, long n)
{
    const double output = 1;
    (void)n;
    codec_put_result(&w->out, 4711, &output, 1, 1);
}

static void do_quit(struct evil *w, long n)
{
    (void)n;
    codec_put_quit(&w->out);
}

static void do_eof(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    shutdown(WIRE_SOCKET_FD, SHUT_RDWR);
    for (;;)
        pause();
}

static void do_sleep(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    for (;;)
        pause();
}

static void do_exit(struct evil *w, long n)
{
    flush_all(w);
    _exit((int)n);
}

static void do_signal(struct evil *w, long n)
{
    flush_all(w);
    raise((int)n);
}

/* --- What it does with calls ------------------------------------------------*/

static void do_good(struct evil *w, long n)
{
    w->n_good = n;
}

static void do_slow(struct evil *w, long n)
{
    w->slow_ms = n;
}

static void do_fault(struct evil *w, long n)
{
    (void)n;
    w->faults = true;
}

static void do_hang(struct evil *w, long n)
{
    (void)n;
    w->hangs = true;
}

static void do_die(struct evil *w, long n)
{
    (void)n;
    w->dies = true;
}

static void do_killer(struct evil *w, long n)
{
    w->killer = n;
}

static void do_double(struct evil *w, long n)
{
    (void)n;
    w->doubles = true;
}

static void do_pid(struct evil *w, long n)
{
    (void)n;
    w->tells_pid = true;
}

static void do_delay(struct evil *w, long n)
{
    (void)n;
    w->tells_delay = true;
}

static void do_stubborn(struct evil *w, long n)
{
    (void)n;
    w->stubborn = true;
}

static const struct {
    const char *name;
    void (*act)(struct evil *w, long n);
} words[] = {
    {"ready", do_ready},     {"refuse", do_refuse},     {"version", do_version},
    {"garbage", do_garbage}, {"oversize", do_oversize}, {"stray", do_stray},
    {"quit", do_quit},       {"eof", do_eof},           {"sleep", do_sleep},
    {"exit", do_exit},       {"signal", do_signal},     {"good", do_good},
    {"slow", do_slow},       {"fault", do_fault},       {"hang", do_hang},
    {"die", do_die},         {"double", do_double},     {"pid", do_pid},
    {"delay", do_delay},     {"stubborn", do_stubborn}, {"killer", do_killer},
};

static void act(struct evil *w, char *word)
{
    char *number = strchr(word, '=');
    if (number != NULL)
        *number++ = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].name, word) == 0) {
            words[i].act(w, number != NULL ? strtol(number, NULL, 10) : 0);
            return;
        }
    }
    _exit(99); /* the test's mistake */
}

static void follow_script(struct evil *w)
{
    char script[MAX_SCRIPT + 1], *rest = script;
    ssize_t n = pread(WIRE_MODEL_FD, script, MAX_SCRIPT, 0);
    script[n > 0 ? n : 0] = '\0';
    for (char *word = strsep(&rest, " \n"); word != NULL; word = strsep(&rest, " \n"))
        if (word[0] != '\0')
            act(w, word);
    flush_all(w);
}

static void sleep_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void answer(struct evil *w, const struct msg *m)
{
    double outputs[2] = {m->numbers[0], m->numbers[0]};
    bool good = w->n_good > 0;
    if (good)
        w->n_good--;
    if (w->slow_ms > 0)
        sleep_ms(w->slow_ms);
    if ((w->dies && !good) || (w->killer != 0 && m->numbers[0] == (double)w->killer))
        _exit(EXIT_OF_DIE);
    if (w->hangs && !good)
        return;
    if (w->tells_pid)
        outputs[0] = (double)getpid();
    if (w->tells_delay)
        outputs[0] = w->delay_ms;
    if (w->faults && !good)
        codec_put_fault(&w->out, m->id, "this is beyond me");
    else
        codec_put_result(&w->out, m->id, outputs, w->doubles && !good ? 2 : 1, 1000);
}

static void on_message(struct evil *w, const struct msg *m)
{
    if (m->type == WIRE_PREDICT)
        answer(w, m);
    else if (m->type == WIRE_DELAY)
        w->delay_ms = m->delay_ms;
    else if (m->type == WIRE_QUIT && !w->stubborn)
        _exit(0);
    flush_all(w);
}

int main(void)
{
    struct evil w = {.codec = codec_new()};
    const uint8_t *payload;
    struct msg m;
    size_t n;
    frame_reader_init(&w.in, WIRE_MAX_FRAME_BYTES);
    follow_script(&w);
    while (frame_reader_fill(&w.in, WIRE_SOCKET_FD) > 0)
        while (frame_reader_next(&w.in, &payload, &n) == 1)
            if (codec_decode(w.codec, payload, n, &m, NULL) == 0)
                on_message(&w, &m);
    if (w.stubborn)
        do_sleep(&w, 0);
    _exit(0);
}
