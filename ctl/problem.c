/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Refusals told to people; see problem.h.
 */
#include "ctl/problem.h"

#include <string.h>

#include "ctl/member.h"

/* The first row that matches gives the advice; NULL and 0 match everything. */
static const struct {
    int status;
    const char *path;
    const char *detail; /* part of code or detail */
    const char *advice;
} advice[] = {
    {401, NULL, NULL, "give the server's admin token with --token-file FILE"},
    {403, NULL, "wrong-host", "ask by a name of loopback's, or put this one into allowed_hosts"},
    {403, NULL, NULL,
     "admin requests are closed at this address, or the token is wrong: see --token-file"},
    {400, "/admin/deploy-canary", NULL, "name a file inside the server's model directory"},
    {404, "/admin/deploy-canary", NULL,
     "paths are relative to the server's model directory, not to yours"},
    {409, "/admin/deploy-canary", "input", "a canary must take as many inputs as stable"},
    {409, "/admin/deploy-canary", "feature", "a canary must take as many inputs as stable"},
    {409, "/admin/deploy-canary", NULL,
     "see 'canaryctl status'; 'deploy --replace' takes the place of a canary that is out"},
    {422, "/admin/deploy-canary", "ython",
     "install Python 3 with scikit-learn for it, or deploy a native model (models/model_v2.json)"},
    {422, "/admin/deploy-canary", NULL, "the file is there, but it can't be served as a model"},
    {504, "/admin/deploy-canary", NULL, "see the server's log, and its setting start_timeout_ms"},
    {409, "/admin/promote-canary", NULL,
     "see 'canaryctl health'; 'promote --force' promotes although the alert stands"},
    {409, "/admin/rollback-canary", NULL, "see 'canaryctl status' for what is deployed"},
    {404, NULL, NULL,
     "is it a canaryd that answers there, and are its admin endpoints not elsewhere "
     "(admin_listen)? see --url"},
    {405, NULL, NULL, "is it a canaryd that answers there? see --url"},
    {429, NULL, "too-many-failures",
     "too many wrong tokens came in: is --token-file the right one?"},
    {429, NULL, NULL, "the server is busy: try again"},
    {503, NULL, NULL, "the server is busy, starting or stopping: try again"},
};

static const char *find_advice(const struct question *q, const struct answer *answer)
{
    const char *code = member_text(answer->json, "code", "");
    const char *detail = member_text(answer->json, "detail", "");
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        const char *part = advice[i].detail;
        if (advice[i].status == answer->status &&
            (advice[i].path == NULL || strcmp(advice[i].path, q->path) == 0) &&
            (part == NULL || strstr(code, part) != NULL || strstr(detail, part) != NULL))
            return advice[i].advice;
    }
    return NULL;
}

void problem_text(const struct answer *answer, char *text, size_t size)
{
    const char *code = member_text(answer->json, "code", NULL);
    const char *detail = member_text(answer->json, "detail", NULL);
    if (detail == NULL)
        detail = member_text(answer->json, "title", "the server gave no reason");
    snprintf(text, size, "%d%s%s: %s", answer->status, code == NULL ? "" : " ",
             code == NULL ? "" : code, detail);
}

void problem_print(const struct printer *p, const struct question *q, const struct answer *answer)
{
    const char *todo = find_advice(q, answer);
    const cJSON *item;
    char text[1024];
    problem_text(answer, text, sizeof text);
    print_text(p, STYLE_BAD, "%s %s was refused: ", q->method, q->path);
    print_text(p, STYLE_PLAIN, "%s\n", text);
    cJSON_ArrayForEach(item, member_array(answer->json, "errors")) {
        print_text(p, STYLE_PLAIN, "  %s: %s\n", member_text(item, "pointer", "?"),
                   member_text(item, "detail", "?"));
    }
    if (todo != NULL)
        print_text(p, STYLE_PLAIN, "What to do: %s\n", todo);
}
