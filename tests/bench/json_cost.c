/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What strictness costs: the scan alone (jsonx_check), the whole reading
 * (jsonx_parse: scan, cJSON, duplicate keys), and the ordinary body's short cut
 * (features_read), over documents that clients send and some that they should
 * not; and what printing a probability costs. Prints a line for each; the time is
 * the best of several rounds.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/features.h"

#define ROUNDS    15
#define ROUND_NS  (10 * NS_PER_MS)
#define LIMIT     262144 /* max_body_bytes */
#define N_PRINTED 10000

/* head, then fill again and again, up to size, with a number for its '#'; then tail. */
static char *make_document(const char *head, const char *fill, size_t size, const char *tail)
{
    int before = (int)strcspn(fill, "#");
    const char *after = fill[before] == '#' ? fill + before + 1 : NULL;
    char *text = mem_alloc(size + 256);
    size_t n = (size_t)sprintf(text, "%s", head);
    for (unsigned i = 0; n < size; i++)
        n += after != NULL ? (size_t)sprintf(text + n, "%.*s%u%s", before, fill, i, after)
                           : (size_t)sprintf(text + n, "%s", fill);
    sprintf(text + n, "%s", tail);
    return text;
}

enum reader { READ_SCAN, READ_WHOLE, READ_SHORT, N_READERS };

static void read_once(enum reader reader, const char *text, size_t n)
{
    double features[5];
    struct err e;
    if (reader == READ_SCAN)
        jsonx_check(text, n, &e);
    else if (reader == READ_WHOLE)
        cJSON_Delete(jsonx_parse(text, n, &e));
    else
        features_read(text, n, features, 5);
}

/* The fewest ns that one reading took, over rounds of many. */
static double cost_ns(enum reader reader, const char *text, size_t n)
{
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began_ns = clock_mono_ns(), ns = 0;
        long n_read = 0;
        for (; ns < ROUND_NS; n_read++) {
            read_once(reader, text, n);
            if (n_read % 16 == 0 || n > 1024)
                ns = clock_mono_ns() - began_ns;
        }
        best = fmin(best, (double)ns / (double)n_read);
    }
    return best;
}

static void tell(const char *name, char *text)
{
    struct err e = {0};
    size_t n = strlen(text);
    double scan = cost_ns(READ_SCAN, text, n), whole = cost_ns(READ_WHOLE, text, n);
    const char *verdict = jsonx_check(text, n, &e) < 0 ? e.code : "accepted";
    printf("%-28s %7zu bytes  scan %10.0f ns (%5.2f ns/byte)  whole %11.0f ns  %s", name, n, scan,
           scan / (double)n, whole, verdict);
    if (strncmp(name, "5 ", 2) == 0)
        printf("; short cut %.0f ns", cost_ns(READ_SHORT, text, n));
    printf("\n");
    free(text);
}

/* The shortest decimal by asking printf for one digit more until it reads back. */
static void print_by_trials(char *text, double x)
{
    int digits = 15;
    do
        snprintf(text, JSONX_NUMBER_SIZE, "%.*g", digits, x);
    while (digits++ < 17 && strtod(text, NULL) != x);
}

static double printing_ns(bool by_trials)
{
    char text[JSONX_NUMBER_SIZE];
    double best = INFINITY;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t began_ns = clock_mono_ns();
        for (int i = 1; i <= N_PRINTED; i++) {
            if (by_trials)
                print_by_trials(text, i / (N_PRINTED + 1.0));
            else
                jsonx_print_number(text, i / (N_PRINTED + 1.0));
        }
        best = fmin(best, (double)(clock_mono_ns() - began_ns) / N_PRINTED);
    }
    return best;
}

int main(void)
{
    printf("%-28s %.0f ns; by trials of printf %.0f ns\n", "printing a probability",
           printing_ns(false), printing_ns(true));
    tell("5 short numbers", mem_strdup("{\"features\":[0.5,1.2,0.8,0.3,1.1]}"));
    tell("5 long numbers",
         mem_strdup("{\"features\":[0.12345678901234567,1.2345678901234567e-3,"
                    "-98765.432109876543,3.1415926535897931,2.7182818284590451]}"));
    tell("numbers", make_document("{\"features\":[0", ",0.#", LIMIT, "]}"));
    tell("ASCII strings", make_document("[\"\"", ",\"the quick brown fox #\"", LIMIT, "]"));
    tell("UTF-8 strings",
         make_document("[\"\"", ",\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa6#\"", LIMIT, "]"));
    tell("escapes", make_document("[\"\"", ",\"\\u00e9\\n\\ud83d\\udc26#\"", LIMIT, "]"));
    tell("keys", make_document("{\"a\":0", ",\"key#\":0", LIMIT, "}"));
    tell("objects", make_document("[0", ",{\"a\":[#]}", LIMIT, "]"));
    tell("nested 100,000 deep", make_document("", "[", 100000, ""));
    tell("an end that is missing", make_document("{\"features\":[0", ",0.#", LIMIT, ""));
    return 0;
}
