/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A settings file and, of the same bytes, an option of the command line. What is
 * taken can be shown.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/settings.h"
#include "tests/fuzz/fuzz.h"

static void show(struct settings **s)
{
    if (*s == NULL)
        return;
    cJSON *root = settings_to_json(*s);
    MUST(root != NULL);
    cJSON_Delete(root);
    settings_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    char path[40];
    char *text = fuzz_text(data, n);
    const char *const overrides[] = {text};
    int fd = fuzz_file(data, n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct settings *s = settings_load(path, NULL, 0, &e);
    MUST(s != NULL || e.text[0] != '\0');
    show(&s);
    s = settings_load(NULL, overrides, 1, &e);
    show(&s);
    close(fd);
    free(text);
    return 0;
}
