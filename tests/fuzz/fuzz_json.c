/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The strict JSON scan and the parser behind it: what they take can be printed
 * and taken again.
 */
#include <string.h>

#include "common/jsonx.h"
#include "tests/fuzz/fuzz.h"

static void reread(const cJSON *root)
{
    struct err e = {0};
    char *printed = cJSON_PrintUnformatted(root);
    MUST(printed != NULL);
    cJSON *again = jsonx_parse(printed, strlen(printed), &e);
    MUST(again != NULL);
    MUST(cJSON_Compare(root, again, true));
    cJSON_Delete(again);
    cJSON_free(printed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    char *text = fuzz_text(data, n);
    int rc = jsonx_check(text, n, NULL);
    cJSON *root = jsonx_parse(text, n, &e);
    MUST(root == NULL || rc == 0);
    MUST(root != NULL || e.code != NULL);
    if (root != NULL)
        reread(root);
    cJSON_Delete(root);
    jsonx_blank_comments(text, n);
    jsonx_clean_utf8(text);
    free(text);
    return 0;
}
