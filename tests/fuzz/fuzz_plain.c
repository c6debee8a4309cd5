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

/* Whether it is plain and there is all of it. */
static bool read_whole(const char *bytes, size_t n, const char *keep, struct plain_request *r)
{
    return plain_request_read(bytes, n, keep, r) && r->size <= n;
}

static void check_whole(const char *bytes, size_t n, const char *keep)
{
    struct plain_request r, again;
    if (!read_whole(bytes, n, keep, &r))
        return;
    MUST(r.size <= n && r.body_size > 0 && memcmp(bytes, "POST /", 6) == 0);
    check_slice(bytes, r.size, r.path, r.path_size);
    check_slice(bytes, r.size, r.body, r.body_size);
    MUST(r.body + r.body_size == bytes + r.size);
    MUST(memchr(r.path, '?', r.path_size) == NULL && memchr(r.path, '\n', r.path_size) == NULL);
    if (r.id != NULL)
        check_slice(bytes, r.size, r.id, r.id_size);
    if (r.kept != NULL)
        check_slice(bytes, r.size, r.kept, r.kept_size);
    MUST(read_whole(bytes, r.size, keep, &again) && again.size == r.size);
    MUST(!read_whole(bytes, r.size - 1, keep, &again));
}

/* With its head alone it says how long it will be, and never says otherwise. */
static void check_beginning(const char *bytes, size_t n, const char *keep)
{
    struct plain_request r, whole;
    if (!plain_request_read(bytes, n, keep, &r))
        return;
    size_t head = r.size - r.body_size;
    MUST(head <= n && r.body == bytes + head);
    MUST(plain_request_read(bytes, head, keep, &whole) && whole.size == r.size);
    MUST(!plain_request_read(bytes, head - 1, keep, &whole));
    MUST(read_whole(bytes, n, keep, &whole) == (r.size <= n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const keeps[] = {"", "X-User-ID"};
    char *bytes = malloc(n > 0 ? n : 1); /* with no NUL behind: it must not be needed */
    MUST(bytes != NULL);
    memcpy(bytes, data, n);
    for (size_t i = 0; i < sizeof keeps / sizeof keeps[0]; i++) {
        check_whole(bytes, n, keeps[i]);
        check_beginning(bytes, n, keeps[i]);
    }
    free(bytes);
    return 0;
}
