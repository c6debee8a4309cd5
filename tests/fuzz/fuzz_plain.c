/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plain request, which no general parser sees: what is taken for one lies
 * within the bytes and is as plain as promised, and more bytes behind it do not
 * change it.
 */
#include <string.h>

#include "supervisor/plain_request.h"
#include "tests/fuzz/fuzz.h"

static void check_slice(const char *bytes, size_t n, const char *slice, size_t size)
{
    MUST(slice >= bytes && slice <= bytes + n && size <= (size_t)(bytes + n - slice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct plain_request r, again;
    char *bytes = malloc(n > 0 ? n : 1); /* with no NUL behind: it must not be needed */
    MUST(bytes != NULL);
    memcpy(bytes, data, n);
    if (plain_request_read(bytes, n, "", &r)) {
        MUST(r.size <= n && r.body_size > 0 && memcmp(bytes, "POST /", 6) == 0);
        check_slice(bytes, r.size, r.path, r.path_size);
        check_slice(bytes, r.size, r.body, r.body_size);
        MUST(r.body + r.body_size == bytes + r.size);
        MUST(memchr(r.path, '?', r.path_size) == NULL && memchr(r.path, '\n', r.path_size) == NULL);
        if (r.id != NULL)
            check_slice(bytes, r.size, r.id, r.id_size);
        MUST(plain_request_read(bytes, r.size, "", &again) && again.size == r.size);
        MUST(!plain_request_read(bytes, r.size - 1, "", &again));
    }
    free(bytes);
    return 0;
}
