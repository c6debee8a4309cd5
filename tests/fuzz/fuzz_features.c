/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The short way to a request's features against the general one: what it takes
 * the strict parser takes too, with the same numbers to the last bit. The first
 * byte says how many features there are.
 */
#include <string.h>

#include "common/jsonx.h"
#include "supervisor/features.h"
#include "tests/fuzz/fuzz.h"

static void compare(const char *body, size_t n_bytes, const double *features, size_t n)
{
    struct err e = {0};
    size_t k = 0;
    cJSON *root = jsonx_parse(body, n_bytes, &e);
    MUST(cJSON_IsObject(root) && root->child != NULL && root->child->next == NULL);
    const cJSON *array = jsonx_member(root, "features");
    MUST(cJSON_IsArray(array));
    for (const cJSON *item = array->child; item != NULL; item = item->next, k++)
        MUST(k < n && cJSON_IsNumber(item) &&
             memcmp(&item->valuedouble, &features[k], sizeof features[k]) == 0);
    MUST(k == n);
    cJSON_Delete(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    double features[16];
    if (n == 0)
        return 0;
    size_t n_features = 1 + data[0] % 16;
    char *body = fuzz_text(data + 1, n - 1);
    if (features_read(body, n - 1, features, n_features))
        compare(body, n - 1, features, n_features);
    free(body);
    return 0;
}
