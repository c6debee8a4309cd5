/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A native model: what the reader takes can be asked, and ends.
 */
#include <math.h>
#include <string.h>

#include "common/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/model.h"

static void ask(struct model *m)
{
    static const double values[] = {0, 1, -1, 0.5, 1e300, -1e300, 1e-300, 3.4e38};
    struct err e = {0};
    size_t n = model_n_features(m);
    double *row = mem_array(n, sizeof *row);
    double y;
    for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
        for (size_t i = 0; i < n; i++)
            row[i] = values[(i + k) % (sizeof values / sizeof values[0])];
        if (model_predict(m, row, 1, &y, &e) == 0)
            MUST(isfinite(y));
        else
            MUST(strcmp(e.code, "not-finite") == 0);
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    char *text = fuzz_text(data, n);
    struct model *m = model_read(text, n, &e);
    if (m != NULL)
        ask(m);
    else
        MUST(strcmp(e.code, "model-invalid") == 0 && e.text[0] != '\0');
    model_free(&m);
    free(text);
    return 0;
}
