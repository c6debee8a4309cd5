/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See said.h.
 */
#include "tests/support/said.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/jsonx.h"
#include "tests/support/ctl_run.h"

struct said said_by_replay(const char *file, const char *options)
{
    struct said said = {0};
    char line[512];
    snprintf(line, sizeof line, "replay%s%s%s%s", file[0] != '\0' ? " " : "", file,
             options[0] != '\0' ? " " : "", options);
    struct ctl_run r = ctl_run_alone(line);
    said.status = r.status;
    snprintf(said.trouble, sizeof said.trouble, "%s", r.trouble);
    for (char *rest = r.out, *text; (text = strsep(&rest, "\n")) != NULL && *text != '\0';) {
        assert_true(said.n < SAID_MAX_LINES);
        said.line[said.n] = jsonx_parse(text, strlen(text), NULL);
        assert_non_null(said.line[said.n++]);
    }
    ctl_run_clear(&r);
    return said;
}

void said_forget(struct said *said)
{
    for (int i = 0; i < said->n; i++)
        cJSON_Delete(said->line[i]);
}

const cJSON *said_health(const struct said *said)
{
    assert_true(said->n > 0);
    return said->line[said->n - 1];
}

FILE *said_new_csv(char path[SCRATCH_PATH_SIZE], const char *header)
{
    scratch_path(path, "samples.csv");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", header);
    return file;
}
