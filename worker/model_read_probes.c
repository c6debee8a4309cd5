/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Probes: rows of inputs with the outputs that the model's author saw. A model
 * that answers otherwise here, by one bit, is not the model that was trained
 * (another exporter's mistake, another order of summing, another exp), and is
 * not served.
 */
#include <stdlib.h>
#include <string.h>

#include "common/jsonx.h"
#include "common/mem.h"
#include "worker/model.h"
#include "worker/model_parts.h"

/* Not ==, to which 0 and -0 are the same. */
static bool same_bits(double a, double b)
{
    uint64_t bits[2];
    memcpy(&bits[0], &a, sizeof a);
    memcpy(&bits[1], &b, sizeof b);
    return bits[0] == bits[1];
}

static int check_probe(const struct model *m, const double *x, const struct field *output,
                       struct err *e)
{
    struct err reason = {0};
    char text[2][JSONX_NUMBER_SIZE];
    double expected;
    double got;
    if (field_number(output, &expected, e) < 0)
        return -1;
    if (model_predict(m, x, 1, &got, &reason) < 0)
        return field_refuse(output, e, "this probe cannot be evaluated (%s)", reason.text);
    if (same_bits(expected, got))
        return 0;
    jsonx_print_number(text[0], expected);
    jsonx_print_number(text[1], got);
    return field_refuse(output, e,
                        "the model disagrees with its own probe: expected %s, got %s here; export "
                        "it again on this machine",
                        text[0], text[1]);
}

static int check_rows(const struct model *m, const struct field *inputs,
                      const struct field *outputs, double *x, struct err *e)
{
    const cJSON *output = outputs->item->child;
    size_t k = 0;
    for (const cJSON *input = inputs->item->child; input != NULL; input = input->next) {
        const struct field row = field_element(inputs, k, input);
        const struct field answer = field_element(outputs, k, output);
        if (field_numbers(&row, m->n_features, x, e) < 0 || check_probe(m, x, &answer, e) < 0)
            return -1;
        output = output->next;
        k++;
    }
    return 0;
}

int model_check_probes(const struct model *m, const struct field *f, struct err *e)
{
    static const char *const keys[] = {"inputs", "outputs"};
    size_t n;
    if (f->item == NULL)
        return 0;
    if (field_object(f, keys, 2, e) < 0)
        return -1;
    const struct field inputs = field_of(f, "inputs");
    const struct field outputs = field_of(f, "outputs");
    if (field_count(&inputs, 0, MODEL_MAX_PROBES, &n, e) < 0 ||
        field_count(&outputs, n, n, &n, e) < 0)
        return -1;
    double *x = mem_array(m->n_features, sizeof(*x));
    int rc = check_rows(m, &inputs, &outputs, x, e);
    free(x);
    return rc;
}
