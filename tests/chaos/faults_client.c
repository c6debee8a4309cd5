/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Clients that behave badly, on connections of their own: some vanish, some
 * dawdle, some talk nonsense. A slow one is entitled to its answer, 200; nonsense
 * to a refusal, never 500.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/mem.h"
#include "tests/chaos/world.h"
#include "tests/support/http.h"
#include "tests/support/workdir.h"

#define MAX_STRANGERS 40
#define CROWD         100

static const char whole[] = "POST /predict HTTP/1.1\r\nHost: localhost\r\n"
                            "Content-Type: application/json\r\nContent-Length: 38\r\n\r\n"
                            "{\"features\":[0.5, 1.2, 0.8, 0.3, 1.1]}";
#define N_WHOLE (sizeof whole - 1)

static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* --- Those who vanish -------------------------------------------------------*/

/* Says the first n bytes of a prediction, and is gone: by FIN, or by RST. */
static void vanish_after(struct world *w, size_t n, bool reset)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = dial(w->server->port);
    if (fd < 0)
        return;
    (void)!send(fd, whole, n, MSG_NOSIGNAL);
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

static void vanish_in_request(struct world *w, uint32_t how)
{
    vanish_after(w, 1 + (how >> 8) % (N_WHOLE - 1), how & 1);
}

static void vanish_before_answer(struct world *w, uint32_t how)
{
    for (uint32_t i = 0; i < 1 + how % 8; i++)
        vanish_after(w, N_WHOLE, how >> 8 & 1);
}

static void crowd(struct world *w, uint32_t how)
{
    int fds[CROWD];
    for (int i = 0; i < CROWD; i++)
        fds[i] = dial(w->server->port);
    workdir_sleep_ms((int)(how % 20));
    for (int i = 0; i < CROWD; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* --- Those who dawdle -------------------------------------------------------*/

struct dawdler {
    struct world *world;
    size_t chunk;
    int pause_ms;
};

static void *dawdle(void *arg)
{
    struct dawdler *d = arg;
    struct http_answer a = {0};
    struct err e = {0};
    struct http *h = http_open(d->world->server->port, &e);
    for (size_t at = 0; h != NULL && at < N_WHOLE; at += d->chunk) {
        size_t n = N_WHOLE - at < d->chunk ? N_WHOLE - at : d->chunk;
        http_send(h, whole + at, n, NULL);
        workdir_sleep_ms(d->pause_ms);
    }
    if (h != NULL)
        http_set_timeout(h, WORLD_GIVE_UP_MS);
    if (h == NULL || http_receive(h, false, &a, &e) != 1)
        world_wrong(d->world, "a slow client", e.code != NULL ? e.text : "closed");
    else if (a.status != 200)
        world_wrong(d->world, "a slow client", a.head);
    http_answer_clear(&a);
    http_close(&h);
    atomic_fetch_sub(&d->world->n_strangers, 1);
    free(d);
    return NULL;
}

static bool has_room_for_strangers(struct world *w, uint32_t how)
{
    (void)how;
    return atomic_load(&w->n_strangers) < MAX_STRANGERS;
}

/* A request in about ten pieces, over up to two seconds. */
static void dawdle_a_while(struct world *w, uint32_t how)
{
    pthread_t thread;
    struct dawdler *d = mem_alloc(sizeof *d);
    *d = (struct dawdler){
        .world = w, .chunk = N_WHOLE / (5 + how % 10), .pause_ms = (int)(10 + (how >> 8) % 140)};
    atomic_fetch_add(&w->n_strangers, 1);
    if (pthread_create(&thread, NULL, dawdle, d) != 0)
        abort();
    pthread_detach(thread);
}

/* --- Those who talk nonsense ------------------------------------------------*/

#define HEAD "POST /predict HTTP/1.1\r\nHost: localhost\r\n"

static const char *const nonsense[] = {
    "\x16\x03\x01\x02\x01 hello, this is TLS\r\n\r\n",
    "GET\r\n\r\n",
    HEAD "Content-Length: 7\r\n\r\n{\"featu",
    HEAD "Content-Length: 15\r\n\r\n{\"features\":[]}",
    HEAD "Content-Length: 20\r\n\r\n{\"features\":[1,2,3]}",
    HEAD "Content-Length: 20\r\n\r\n{\"features\":[1e999]}",
    HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
    HEAD "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    HEAD "Content-Length: 99999999\r\n\r\n{",
    "POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "DELETE /predict HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /admin/explode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "POST /admin/deploy-canary HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
};

static void talk_nonsense(struct world *w, uint32_t how)
{
    const char *text = nonsense[how % (sizeof nonsense / sizeof nonsense[0])];
    char answer[64] = "";
    int fd = dial(w->server->port);
    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5}, sizeof(struct timeval));
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR); /* nothing follows: whoever waits for more knows better now */
    ssize_t n = recv(fd, answer, sizeof answer - 1, 0);
    close(fd);
    if (n > 0 && strncmp(answer, "HTTP/1.1 4", 10) != 0 && strncmp(answer, "HTTP/1.1 501", 12) != 0)
        world_wrong(w, text, answer);
}

const struct fault client_faults[] = {
    {"vanish-in-request", 5, NULL, vanish_in_request},
    {"vanish-unanswered", 5, NULL, vanish_before_answer},
    {"crowd", 2, NULL, crowd},
    {"dawdle", 4, has_room_for_strangers, dawdle_a_while},
    {"nonsense", 5, NULL, talk_nonsense},
};
const size_t n_client_faults = sizeof client_faults / sizeof client_faults[0];
