/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The saved state: first the bytes as a file, then as the inner document with
 * the right checksum, or no input would get past that. What is taken can be
 * printed and taken again.
 */
#include <stdio.h>
#include <string.h>

#include <sha2.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "supervisor/state.h"
#include "tests/fuzz/fuzz.h"

static void take(const char *text)
{
    struct err e = {0};
    struct saved_state *s = state_parse(text, strlen(text), &e);
    MUST(s != NULL || strcmp(e.code, "state-damaged") == 0 || strcmp(e.code, "state-newer") == 0);
    if (s == NULL)
        return;
    char *printed = state_print(s);
    struct saved_state *again = state_parse(printed, strlen(printed), &e);
    MUST(again != NULL);
    saved_state_free(&again);
    cJSON_free(printed);
    saved_state_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char sum[SHA256_DIGEST_STRING_LENGTH];
    char *text = fuzz_text(data, n);
    take(text);
    cJSON *state = jsonx_parse(text, n, NULL);
    free(text);
    if (state == NULL)
        return 0;
    char *inner = cJSON_PrintUnformatted(state);
    SHA256Data((const uint8_t *)inner, strlen(inner), sum);
    char *whole = mem_printf("{\"canaryd_state\":1,\"sha256\":\"%s\",\"state\":%s}", sum, inner);
    take(whole);
    free(whole);
    cJSON_free(inner);
    cJSON_Delete(state);
    return 0;
}
