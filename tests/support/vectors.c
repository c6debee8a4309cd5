/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See vectors.h.
 */
#include "tests/support/vectors.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "common/jsonx.h"

#define MAX_FILE (1 << 20)

cJSON *vectors_load(const char *path)
{
    struct err e = {0};
    char *text;
    size_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: not found; tests run in the repository's root", path);
    if (fd_read_file(fd, path, MAX_FILE, &text, &n, &e) < 0)
        fail_msg("%s", e.text);
    fd_close(&fd);
    cJSON *root = jsonx_parse(text, n, &e);
    if (root == NULL)
        fail_msg("%s: %s", path, e.text);
    free(text);
    return root;
}

double vectors_number(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    if (cJSON_IsString(item))
        return strtod(item->valuestring, NULL);
    if (!cJSON_IsNumber(item))
        fail_msg("%s: expected a number, got %s", name, jsonx_type_name(item));
    return item->valuedouble;
}

const char *vectors_text(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    if (!cJSON_IsString(item))
        fail_msg("%s: expected a string, got %s", name, jsonx_type_name(item));
    return item->valuestring;
}

void vectors_near(const char *what, const char *name, double got, double want, double tolerance)
{
    if (!(got == want || fabs(got - want) <= tolerance))
        fail_msg("%s: %s is %.17g, expected %.17g within %g", what, name, got, want, tolerance);
}

void vectors_close(const char *what, const char *name, double got, double want, double relative)
{
    vectors_near(what, name, got, want, relative * fabs(want));
}
