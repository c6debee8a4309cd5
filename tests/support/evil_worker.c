/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker that does what its model says, however wrong: the model's bytes are
 * words, and evil.h says what each of them means. A program of its own, started
 * by the tests as canary-worker is by canaryd.
 */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/codec.h"
#include "supervisor/spawn.h"
#include "tests/support/evil.h"

#define MAX_SCRIPT  400
#define EXIT_OF_DIE 3
#define RANDOM_SIZE 64

struct evil {
    struct codec *codec;
    struct frame_reader in;
    struct frame_writer out;
    const char *at_call; /* the words behind "then", or NULL */
    uint64_t id;         /* of the call that is being answered; 0 at the start */
    double first;        /* its first feature */
    uint64_t held;       /* another call's id, for otherid */
    double held_first;
    long n_good; /* predictions to answer well before anything else */
    long slow_ms;
    long n_pings;
    long leak_mb;    /* at every call */
    long killer;     /* dies of this first feature; 0: of none */
    double delay_ms; /* as the supervisor said */
    bool faults, hangs, dies, doubles, tells_pid, tells_delay, tells_pings, stubborn;
    bool ignores_pings, turns_pings, doubles_pongs;
};

static void follow(struct evil *w, const char *words);

static void flush_all(struct evil *w)
{
    while (frame_writer_pending(&w->out) > 0)
        if (frame_writer_flush(&w->out, WIRE_SOCKET_FD) < 0)
            _exit(0);
}

static void sleep_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Not through the writer: as it stands, without a header. */
static void send_bytes(struct evil *w, const void *bytes, size_t n)
{
    flush_all(w);
    if (send(WIRE_SOCKET_FD, bytes, n, MSG_NOSIGNAL) < 0)
        _exit(0);
}

/* --- Messages, more or less --------------------------------------------------*/

#define BYTES(literal) literal, sizeof literal - 1

/* Payloads of frames whose length is right. */
static const struct {
    const char *word;
    const char *payload;
    size_t n;
} payloads[] = {
    {"garbage", BYTES("abcd")},
    {"version", BYTES("\x97\x10\x00\x07\xa4"
                      "evil\x05\xa7"
                      "badness\xa4none")},
    {"badrefuse", BYTES("\x93\x11\x00\xa7no\xff\xfe\x1bno")},
    {"array32", BYTES("\xdd\xff\x00\x00\x00")},
    {"array16m", BYTES("\xdd\x00\xff\xff\xff")},
    {"bin4g", BYTES("\xc6\xff\xff\xff\xff")},
    {"str4g", BYTES("\xdb\xff\xff\xff\xff")},
    {"ext", BYTES("\x94\x12\x00\xd6\xff\x00\x00\x00\x00\x05")},
    {"map", BYTES("\x82\xa2id\x01\xa2id\x02")},
    {"nil", BYTES("\xc0")},
    {"empty", BYTES("\x90")},
    {"unknown", BYTES("\x92\x63\x00")},
    {"arity", BYTES("\x95\x12\x00\x91\x01\x05\x05")},
    {"leftover", BYTES("\x92\x14\x00\x00")},
    {"negid", BYTES("\x94\x12\xff\x91\x01\x05")},
    {"maxid", BYTES("\x94\x12\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x91\x01\x05")},
};

/* What stands where a frame should: lengths that no frame has. */
static const struct {
    const char *word;
    const char *bytes;
} headers[] = {
    {"zero", "\x00\x00\x00\x00"},
    {"huge", "\xff\xff\xff\xff"},
    {"negative", "\x80\x00\x00\x00"},
    {"oversize", "\x7f\xff\xff\xff"},
};

/* What stands for the outputs in a RESULT of the call's id. */
static const struct {
    const char *word;
    const char *outputs;
    size_t n;
} odd_outputs[] = {
    {"string", BYTES("\x91\xa3"
                     "1.5")},
    {"text", BYTES("\xa3"
                   "1.5")},
    {"none", BYTES("\x90")},
    {"null", BYTES("\x91\xc0")},
    {"true", BYTES("\x91\xc3")},
    {"nested", BYTES("\x91\x91\x01")},
};

static void put_payload(struct evil *w, const void *bytes, size_t n)
{
    frame_begin(&w->out);
    frame_append(&w->out, bytes, n);
    frame_end(&w->out);
}

static void put_odd_outputs(struct evil *w, const char *outputs, size_t n)
{
    uint8_t head[11] = {0x94, WIRE_RESULT, 0xcf};
    for (int i = 0; i < 8; i++)
        head[3 + i] = (uint8_t)(w->id >> (56 - 8 * i));
    frame_begin(&w->out);
    frame_append(&w->out, head, sizeof head);
    frame_append(&w->out, outputs, n);
    frame_append(&w->out, "\x05", 1);
    frame_end(&w->out);
}

static void put_result(struct evil *w, uint64_t id, double output, size_t n)
{
    const double outputs[2] = {output, output};
    codec_put_result(&w->out, id, outputs, n, 1000);
}

static void do_ready(struct evil *w, long n)
{
    codec_put_ready(&w->out, "evil", n > 0 ? (uint32_t)n : EVIL_FEATURES, "badness", "none");
}

static void do_hugename(struct evil *w, long n)
{
    static const char ready[] = "\x97\x10\x00\x02\xdb\x00\x10\x00\x00";
    char *name = calloc(1, 1024 * 1024);
    (void)n;
    if (name == NULL)
        _exit(98);
    frame_begin(&w->out);
    frame_append(&w->out, BYTES(ready));
    frame_append(&w->out, memset(name, 'x', 1024 * 1024), 1024 * 1024);
    frame_append(&w->out, BYTES("\x05\xa1x\xa1y"));
    frame_end(&w->out);
    free(name);
}

static void do_longname(struct evil *w, long n)
{
    char name[WIRE_MAX_NAME + 2] = {0};
    (void)n;
    codec_put_ready(&w->out, memset(name, 'x', WIRE_MAX_NAME + 1), EVIL_FEATURES, "badness",
                    "none");
}

static void do_refuse(struct evil *w, long n)
{
    (void)n;
    codec_put_refuse(&w->out, EVIL_REFUSAL);
}

static void do_quit(struct evil *w, long n)
{
    (void)n;
    codec_put_quit(&w->out);
}

static void do_pong(struct evil *w, long n)
{
    codec_put_pong(&w->out, (uint64_t)n);
}

static void do_deep(struct evil *w, long n)
{
    char nested[34];
    (void)n;
    memset(nested, '\x91', sizeof nested - 1);
    nested[sizeof nested - 1] = 0;
    put_payload(w, nested, sizeof nested);
}

static void do_random(struct evil *w, long n)
{
    uint64_t x = 0x9e3779b97f4a7c15 ^ (uint64_t)n;
    uint8_t bytes[RANDOM_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        bytes[i] = (uint8_t)(x >> 56) | 0x80;
    }
    send_bytes(w, bytes, sizeof bytes);
}

/* --- Answers to the call, more or less ---------------------------------------*/

static void do_stray(struct evil *w, long n)
{
    (void)n;
    put_result(w, 4711, 1, 1);
}

static void do_answer(struct evil *w, long n)
{
    (void)n;
    put_result(w, w->id, w->first, 1);
}

static void do_wrongid(struct evil *w, long n)
{
    (void)n;
    put_result(w, w->id ^ UINT64_C(1) << 40, w->first, 1);
}

/* The first call is put off; the second gets its answer, and the first none. */
static void do_otherid(struct evil *w, long n)
{
    (void)n;
    if (w->held != 0)
        put_result(w, w->id, w->held_first, 1);
    w->held = w->id;
    w->held_first = w->first;
}

static void do_nan(struct evil *w, long n)
{
    (void)n;
    put_result(w, w->id, NAN, 1);
}

static void do_inf(struct evil *w, long n)
{
    put_result(w, w->id, n < 0 ? -INFINITY : INFINITY, 1);
}

static void do_two(struct evil *w, long n)
{
    (void)n;
    put_result(w, w->id, w->first, 2);
}

static void do_faulty(struct evil *w, long n)
{
    (void)n;
    codec_put_fault(&w->out, w->id, EVIL_FAULT);
}

/* A FAULT with n KiB of text, which the codec itself would cut. */
static void do_bigfault(struct evil *w, long n)
{
    uint8_t head[16] = {0x93, WIRE_FAULT, 0xcf};
    size_t size = (size_t)n * 1024;
    char *text = calloc(1, size);
    if (text == NULL)
        _exit(98);
    for (int i = 0; i < 8; i++)
        head[3 + i] = (uint8_t)(w->id >> (56 - 8 * i));
    head[11] = 0xdb;
    for (int i = 0; i < 4; i++)
        head[12 + i] = (uint8_t)(size >> (24 - 8 * i));
    frame_begin(&w->out);
    frame_append(&w->out, head, sizeof head);
    frame_append(&w->out, memset(text, 'x', size), size);
    frame_end(&w->out);
    free(text);
}

/* A good answer without its last byte. */
static void do_half(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    do_answer(w, 0);
    w->out.end--;
    flush_all(w);
}

/* A good answer, one byte each n ms. */
static void do_drip(struct evil *w, long n)
{
    struct frame_writer slow = {0};
    flush_all(w);
    codec_put_result(&slow, w->id, &w->first, 1, 1000);
    for (size_t i = 0; i < slow.end; i++) {
        send_bytes(w, slow.bytes + i, 1);
        sleep_ms(n);
    }
    frame_writer_clear(&slow);
}

/* --- The socket ---------------------------------------------------------------*/

static void do_oob(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    if (send(WIRE_SOCKET_FD, "x", 1, MSG_OOB | MSG_NOSIGNAL) < 0)
        send_bytes(w, "x", 1); /* a kernel without it: the same byte in the band */
}

static void pause_forever(void)
{
    for (;;)
        pause();
}

static void do_sleep(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    pause_forever();
}

static void do_eof(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    shutdown(WIRE_SOCKET_FD, SHUT_RDWR);
    pause_forever();
}

static void do_close(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    close(WIRE_SOCKET_FD);
    pause_forever();
}

static void do_shutwr(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    shutdown(WIRE_SOCKET_FD, SHUT_WR);
}

/* --- The process --------------------------------------------------------------*/

static void do_exit(struct evil *w, long n)
{
    flush_all(w);
    _exit((int)n);
}

/* A sanitizer would catch some of them and exit. */
static void do_signal(struct evil *w, long n)
{
    flush_all(w);
    signal((int)n, SIG_DFL);
    raise((int)n);
}

static void do_abort(struct evil *w, long n)
{
    (void)n;
    do_signal(w, SIGABRT);
}

static void do_segv(struct evil *w, long n)
{
    (void)n;
    do_signal(w, SIGSEGV);
}

static void do_stop(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    raise(SIGSTOP);
}

static void do_spin(struct evil *w, long n)
{
    (void)n;
    flush_all(w);
    for (volatile int i = 0;; i++)
        continue;
}

static void do_wait(struct evil *w, long n)
{
    flush_all(w);
    sleep_ms(n);
}

static void do_fork(struct evil *w, long n)
{
    flush_all(w);
    if (fork() != 0)
        return;
    sleep_ms(n > 0 ? n : 1000); /* it holds the socket and the pipe meanwhile */
    _exit(0);
}

static void do_bomb(struct evil *w, long n)
{
    flush_all(w);
    while (n-- > 0)
        if (fork() == 0)
            pause_forever();
}

static void do_hoard(struct evil *w, long n)
{
    int fd = WIRE_SOCKET_FD;
    for (int next = fd; next >= 0; next = dup(fd))
        n = next + 1;
    put_result(w, w->id, (double)n, 1);
}

static void say(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t k = write(STDERR_FILENO, text, n);
        if (k <= 0)
            return;
        text += k;
        n -= (size_t)k;
    }
}

static void do_says(struct evil *w, long n)
{
    (void)w, (void)n;
    say(BYTES("Traceback (most recent call last):\n" EVIL_LAST_WORDS "\n"));
}

static void do_mumble(struct evil *w, long n)
{
    (void)w, (void)n;
    (void)!write(STDOUT_FILENO, BYTES("\n\x1b[31mred\x00 \xff\xfe"));
}

/* n KiB in lines of 64 bytes. */
static void do_chatty(struct evil *w, long n)
{
    char line[65];
    (void)w;
    memset(line, 'x', sizeof line);
    line[63] = '\n';
    for (long i = 0; i < n * 16; i++)
        say(line, 64);
}

static void do_longline(struct evil *w, long n)
{
    (void)w;
    for (long i = 0; i < n; i++)
        say(BYTES("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"));
    say(BYTES("\n"));
}

/* --- Manners: what it does with every call or PING ----------------------------*/

static void do_good(struct evil *w, long n)
{
    w->n_good = n;
}

static void do_slow(struct evil *w, long n)
{
    w->slow_ms = n;
}

static const struct {
    const char *word;
    size_t offset; /* of a bool */
} manners[] = {
    {"fault", offsetof(struct evil, faults)},
    {"hang", offsetof(struct evil, hangs)},
    {"die", offsetof(struct evil, dies)},
    {"double", offsetof(struct evil, doubles)},
    {"pid", offsetof(struct evil, tells_pid)},
    {"delay", offsetof(struct evil, tells_delay)},
    {"pings", offsetof(struct evil, tells_pings)},
    {"stubborn", offsetof(struct evil, stubborn)},
    {"nopong", offsetof(struct evil, ignores_pings)},
    {"badpong", offsetof(struct evil, turns_pings)},
    {"twopongs", offsetof(struct evil, doubles_pongs)},
};

static void do_leak(struct evil *w, long n)
{
    w->leak_mb = n;
}

static void do_killer(struct evil *w, long n)
{
    w->killer = n;
}

static const struct {
    const char *word;
    void (*act)(struct evil *w, long n);
} actions[] = {
    {"killer", do_killer},     {"ready", do_ready},   {"hugename", do_hugename},
    {"longname", do_longname}, {"refuse", do_refuse}, {"quit", do_quit},
    {"pong", do_pong},         {"deep", do_deep},     {"random", do_random},
    {"stray", do_stray},       {"answer", do_answer}, {"wrongid", do_wrongid},
    {"otherid", do_otherid},   {"nan", do_nan},       {"inf", do_inf},
    {"two", do_two},           {"faulty", do_faulty}, {"bigfault", do_bigfault},
    {"half", do_half},         {"drip", do_drip},     {"oob", do_oob},
    {"sleep", do_sleep},       {"eof", do_eof},       {"close", do_close},
    {"shutwr", do_shutwr},     {"exit", do_exit},     {"signal", do_signal},
    {"abort", do_abort},       {"segv", do_segv},     {"stop", do_stop},
    {"spin", do_spin},         {"wait", do_wait},     {"fork", do_fork},
    {"says", do_says},         {"mumble", do_mumble}, {"chatty", do_chatty},
    {"longline", do_longline}, {"good", do_good},     {"slow", do_slow},
    {"bomb", do_bomb},         {"hoard", do_hoard},   {"leak", do_leak},
};

#define N(table) (sizeof(table) / sizeof(table)[0])

static bool act_by_bytes(struct evil *w, const char *word)
{
    for (size_t i = 0; i < N(payloads); i++)
        if (strcmp(payloads[i].word, word) == 0)
            return put_payload(w, payloads[i].payload, payloads[i].n), true;
    for (size_t i = 0; i < N(headers); i++)
        if (strcmp(headers[i].word, word) == 0)
            return send_bytes(w, headers[i].bytes, FRAME_HEADER_BYTES), true;
    for (size_t i = 0; i < N(odd_outputs); i++)
        if (strcmp(odd_outputs[i].word, word) == 0)
            return put_odd_outputs(w, odd_outputs[i].outputs, odd_outputs[i].n), true;
    return false;
}

static void act(struct evil *w, char *word)
{
    char *number = strchr(word, '=');
    if (number != NULL)
        *number++ = '\0';
    if (act_by_bytes(w, word))
        return;
    for (size_t i = 0; i < N(manners); i++) {
        if (strcmp(manners[i].word, word) == 0) {
            *(bool *)((char *)w + manners[i].offset) = true;
            return;
        }
    }
    for (size_t i = 0; i < N(actions); i++) {
        if (strcmp(actions[i].word, word) == 0) {
            actions[i].act(w, number != NULL ? strtol(number, NULL, 10) : 0);
            return;
        }
    }
    _exit(99); /* the test's mistake */
}

static void follow(struct evil *w, const char *words)
{
    char copy[MAX_SCRIPT + 1];
    char *rest = copy;
    strncpy(copy, words, MAX_SCRIPT);
    copy[MAX_SCRIPT] = '\0';
    for (char *word = strsep(&rest, " \n"); word != NULL; word = strsep(&rest, " \n")) {
        if (strcmp(word, "then") == 0) {
            w->at_call = words + (word - copy) + strlen("then");
            break;
        }
        if (word[0] != '\0')
            act(w, word);
    }
    flush_all(w);
}

/* --- Its life -------------------------------------------------------------------*/

static void answer_by_manners(struct evil *w, bool good)
{
    double output = w->first;
    if (w->leak_mb > 0 && malloc((size_t)w->leak_mb << 20) == NULL)
        _exit(EXIT_OF_DIE);
    if ((w->dies && !good) || (w->killer != 0 && w->first == (double)w->killer))
        _exit(EXIT_OF_DIE);
    if (w->hangs && !good)
        return;
    if (w->tells_pid)
        output = (double)getpid();
    if (w->tells_delay)
        output = w->delay_ms;
    if (w->tells_pings)
        output = (double)w->n_pings;
    if (w->faults && !good)
        do_faulty(w, 0);
    else
        put_result(w, w->id, output, w->doubles && !good ? 2 : 1);
}

static void on_predict(struct evil *w, const struct msg *m)
{
    bool good = w->n_good > 0;
    w->id = m->id;
    w->first = m->numbers[0];
    if (good)
        w->n_good--;
    if (w->slow_ms > 0)
        sleep_ms(w->slow_ms);
    if (w->at_call != NULL && !good)
        follow(w, w->at_call);
    else
        answer_by_manners(w, good);
}

static void on_ping(struct evil *w, const struct msg *m)
{
    w->n_pings++;
    if (w->ignores_pings)
        return;
    codec_put_pong(&w->out, w->turns_pings ? m->id ^ 2 : m->id);
    if (w->doubles_pongs)
        codec_put_pong(&w->out, m->id);
}

static void on_message(struct evil *w, const struct msg *m)
{
    if (m->type == WIRE_PREDICT)
        on_predict(w, m);
    else if (m->type == WIRE_PING)
        on_ping(w, m);
    else if (m->type == WIRE_DELAY)
        w->delay_ms = m->delay_ms;
    else if (m->type == WIRE_QUIT && !w->stubborn)
        _exit(0);
    flush_all(w);
}

/* A model that is no script is canary-worker's, which then takes this one's
 * place: so a fleet can hold good and evil at once. */
static void leave_real_models(char *const argv[])
{
    char first = '\0', dir[2048], path[4096];
    if (pread(WIRE_MODEL_FD, &first, 1, 0) != 1 || first != '{' || program_dir(dir, sizeof dir) < 0)
        return;
    snprintf(path, sizeof path, "%s/../../canary-worker", dir);
    execv(path, argv);
}

int main(int argc, char *argv[])
{
    (void)argc;
    leave_real_models(argv);
    struct evil w = {.codec = codec_new()};
    char script[MAX_SCRIPT + 1] = {0};
    const uint8_t *payload;
    struct msg m;
    size_t n;
    frame_reader_init(&w.in, WIRE_MAX_FRAME_BYTES);
    if (pread(WIRE_MODEL_FD, script, MAX_SCRIPT, 0) < 0)
        _exit(97);
    follow(&w, script);
    while (frame_reader_fill(&w.in, WIRE_SOCKET_FD) > 0)
        while (frame_reader_next(&w.in, &payload, &n) == 1)
            if (codec_decode(w.codec, payload, n, &m, NULL) == 0)
                on_message(&w, &m);
    if (w.stubborn)
        do_sleep(&w, 0);
    _exit(0);
}
