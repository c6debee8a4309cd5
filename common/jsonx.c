/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The strict scan: one pass over the bytes with an explicit stack of
 * JSONX_MAX_DEPTH levels, so hostile nesting costs nothing; what a byte begins, or
 * means in a string, is in tables. After it, cJSON
 * only sees documents on which its leniencies (1e999, trailing bytes, NUL as
 * blank, 01, invalid UTF-8) cannot show.
 */
#include "common/jsonx.h"

#include <errno.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct level {
    bool is_object;
    size_t index;    /* of the element, in an array */
    const char *key; /* of the member, in an object: raw bytes between the quotes */
    size_t key_length;
};

struct scan {
    const char *text;
    const char *p;
    const char *end;
    size_t depth;
    struct level level[JSONX_MAX_DEPTH];
    struct err *e;
};

static int syntax(struct scan *s, const char *expected)
{
    size_t offset = (size_t)(s->p - s->text);
    if (s->p >= s->end)
        return err_set(s->e, "bad-json", "the JSON ends at byte %zu where %s was expected", offset,
                       expected);
    unsigned char c = (unsigned char)*s->p;
    if (c > 0x20 && c < 0x7f)
        return err_set(s->e, "bad-json", "at byte %zu: expected %s, got '%c'", offset, expected, c);
    return err_set(s->e, "bad-json", "at byte %zu: expected %s, got byte 0x%02x", offset, expected,
                   c);
}

/* The JSON pointer of the value being scanned. */
static void print_pointer(const struct scan *s, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->depth && n < size; i++) {
        const struct level *l = &s->level[i];
        if (!l->is_object) {
            n += (size_t)snprintf(out + n, size - n, "/%zu", l->index);
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "/");
        for (size_t k = 0; k < l->key_length && n < size; k++) {
            const char *escaped = l->key[k] == '~' ? "~0" : l->key[k] == '/' ? "~1" : NULL;
            n += escaped != NULL ? (size_t)snprintf(out + n, size - n, "%s", escaped)
                                 : (size_t)snprintf(out + n, size - n, "%c", l->key[k]);
        }
    }
}

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

/* The length of the UTF-8 sequence at p, or 0 if it is not one (RFC 3629:
 * nothing overlong, no surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n == 0 || p[0] > 0xf4 || (size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* The four digits of a \u escape at s->p, or -1. */
static int hex4(const struct scan *s)
{
    int value = 0;
    if (s->end - s->p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)s->p[i];
        if (!isxdigit(c))
            return -1;
        value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/* s->p stands behind "\u". */
static int scan_unicode_escape(struct scan *s)
{
    int unit = hex4(s);
    if (unit < 0)
        return syntax(s, "four hexadecimal digits");
    if (unit == 0)
        return syntax(s, "a character other than \\u0000 (NUL is not accepted)");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return syntax(s, "a high surrogate before this low one");
    s->p += 4;
    if (unit < 0xd800 || unit > 0xdbff)
        return 0;
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
        return syntax(s, "a low surrogate after the high one");
    s->p += 2;
    unit = hex4(s);
    if (unit < 0xdc00 || unit > 0xdfff)
        return syntax(s, "a low surrogate (\\udc00 to \\udfff)");
    s->p += 4;
    return 0;
}

static int scan_escape(struct scan *s)
{
    s->p++;
    if (s->p < s->end && *s->p == 'u') {
        s->p++;
        return scan_unicode_escape(s);
    }
    if (s->p >= s->end || *s->p == '\0' || strchr("\"\\/bfnrt", *s->p) == NULL)
        return syntax(s, "an escape such as \\n or \\u00e9");
    s->p++;
    return 0;
}

static int scan_utf8(struct scan *s)
{
    size_t n = utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end);
    if (n == 0)
        return syntax(s, "valid UTF-8");
    s->p += n;
    return 0;
}

/* What a byte is inside a string. */
enum byte_class { BYTE_CONTROL, BYTE_PLAIN, BYTE_QUOTE, BYTE_ESCAPE, BYTE_HIGH };

/* clang-format off */
#define PLAIN_4  BYTE_PLAIN, BYTE_PLAIN, BYTE_PLAIN, BYTE_PLAIN
#define PLAIN_16 PLAIN_4, PLAIN_4, PLAIN_4, PLAIN_4
#define HIGH_4   BYTE_HIGH, BYTE_HIGH, BYTE_HIGH, BYTE_HIGH
#define HIGH_16  HIGH_4, HIGH_4, HIGH_4, HIGH_4
static const unsigned char byte_classes[256] = {
    [0x20] = BYTE_PLAIN, BYTE_PLAIN, BYTE_QUOTE, BYTE_PLAIN, PLAIN_4, PLAIN_4, PLAIN_4,
    [0x30] = PLAIN_16, PLAIN_16,
    [0x50] = PLAIN_4, PLAIN_4, PLAIN_4, BYTE_ESCAPE, BYTE_PLAIN, BYTE_PLAIN, BYTE_PLAIN,
    [0x60] = PLAIN_16, PLAIN_16, /* DEL is a character like any other (RFC 8259 section 7) */
    [0x80] = HIGH_16, HIGH_16, HIGH_16, HIGH_16, HIGH_16, HIGH_16, HIGH_16, HIGH_16,
};
/* clang-format on */

static int scan_string(struct scan *s)
{
    const char *p = s->p;
    if (p >= s->end || *p != '"')
        return syntax(s, "a string");
    for (p++;; p = s->p) {
        while (p < s->end && byte_classes[(unsigned char)*p] == BYTE_PLAIN)
            p++;
        s->p = p;
        if (p >= s->end)
            return syntax(s, "the end of a string");
        unsigned char class = byte_classes[(unsigned char)*p];
        if (class == BYTE_QUOTE) {
            s->p++;
            return 0;
        }
        if (class == BYTE_CONTROL)
            return syntax(s, "an escaped control character");
        if (class == BYTE_ESCAPE ? scan_escape(s) < 0 : scan_utf8(s) < 0)
            return -1;
    }
}

static size_t skip_digits(struct scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return (size_t)(s->p - from);
}

/* Only an exponent can make so short a number infinite, so strtod is rare. */
static int check_number(struct scan *s, const char *from, bool has_exponent)
{
    int n = (int)(s->p - from);
    char pointer[sizeof s->e->pointer];
    if (n <= JSONX_MAX_NUMBER && (!has_exponent || isfinite(strtod(from, NULL))))
        return 0;
    print_pointer(s, pointer, sizeof pointer);
    if (n > JSONX_MAX_NUMBER)
        return err_set_at(s->e, "number-too-long", pointer,
                          "%s: a number of %d characters; at most %d are read", pointer, n,
                          JSONX_MAX_NUMBER);
    return err_set_at(s->e, "not-finite", pointer,
                      "%s: %.*s is too large for a 64-bit float (at most about 1.8e308)", pointer,
                      n, from);
}

static int scan_number(struct scan *s)
{
    const char *from = s->p;
    bool has_exponent = false;
    if (*s->p == '-')
        s->p++;
    if (s->p < s->end && *s->p == '0')
        s->p++;
    else if (skip_digits(s) == 0)
        return syntax(s, "a digit");
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (skip_digits(s) == 0)
            return syntax(s, "a digit after the decimal point");
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        has_exponent = true;
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (skip_digits(s) == 0)
            return syntax(s, "a digit of the exponent");
    }
    return check_number(s, from, has_exponent);
}

static int scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return syntax(s, "a value");
    s->p += n;
    return 0;
}

static int scan_true(struct scan *s)
{
    return scan_word(s, "true", 4);
}

static int scan_false(struct scan *s)
{
    return scan_word(s, "false", 5);
}

static int scan_null(struct scan *s)
{
    return scan_word(s, "null", 4);
}

/* "key" : — the pointer of the level names the member from here on. */
static int scan_key(struct scan *s)
{
    struct level *l = &s->level[s->depth - 1];
    const char *from = s->p;
    if (scan_string(s) < 0)
        return -1;
    l->key = from + 1;
    l->key_length = (size_t)(s->p - from) - 2;
    skip_blanks(s);
    if (s->p >= s->end || *s->p != ':')
        return syntax(s, "':'");
    s->p++;
    skip_blanks(s);
    return 0;
}

/* Steps into the array or object at s->p. 1: its first value comes next; 0: it
 * was empty and is complete; -1: err. */
static int open_container(struct scan *s)
{
    bool is_object = *s->p == '{';
    if (s->depth == JSONX_MAX_DEPTH)
        return err_set(s->e, "too-deep", "at byte %zu: nested deeper than %d levels",
                       (size_t)(s->p - s->text), JSONX_MAX_DEPTH);
    s->level[s->depth++] = (struct level){.is_object = is_object};
    s->p++;
    skip_blanks(s);
    if (s->p < s->end && *s->p == (is_object ? '}' : ']')) {
        s->p++;
        s->depth--;
        return 0;
    }
    if (is_object && scan_key(s) < 0)
        return -1;
    return 1;
}

/* By the first byte of a value: scans it, or the opening of a container. 1: stepped
 * in; 0: complete; -1: err. */
static int (*const scanners[256])(struct scan *s) = {
    ['{'] = open_container, ['['] = open_container, ['"'] = scan_string, ['t'] = scan_true,
    ['f'] = scan_false,     ['n'] = scan_null,      ['-'] = scan_number, ['0'] = scan_number,
    ['1'] = scan_number,    ['2'] = scan_number,    ['3'] = scan_number, ['4'] = scan_number,
    ['5'] = scan_number,    ['6'] = scan_number,    ['7'] = scan_number, ['8'] = scan_number,
    ['9'] = scan_number,
};

static int scan_value(struct scan *s)
{
    if (s->p >= s->end || scanners[(unsigned char)*s->p] == NULL)
        return syntax(s, "a value");
    return scanners[(unsigned char)*s->p](s);
}

/* After a complete value: closes containers until a comma announces another
 * value (1) or the document is complete (0). */
static int after_value(struct scan *s)
{
    while (s->depth > 0) {
        struct level *l = &s->level[s->depth - 1];
        skip_blanks(s);
        if (s->p < s->end && *s->p == ',') {
            s->p++;
            l->index++;
            skip_blanks(s);
            return l->is_object && scan_key(s) < 0 ? -1 : 1;
        }
        if (s->p >= s->end || *s->p != (l->is_object ? '}' : ']'))
            return syntax(s, l->is_object ? "',' or '}'" : "',' or ']'");
        s->p++;
        s->depth--;
    }
    return 0;
}

int jsonx_check(const char *text, size_t n, struct err *e)
{
    struct err unused = {0};
    struct scan s = {.text = text, .p = text, .end = text + n, .e = e != NULL ? e : &unused};
    int more = 1;
    skip_blanks(&s);
    while (more == 1) {
        more = scan_value(&s);
        if (more == 0)
            more = after_value(&s);
    }
    if (more < 0)
        return -1;
    skip_blanks(&s);
    return s.p == s.end ? 0 : syntax(&s, "the end of the document");
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

static int check_unique_keys(const cJSON *object, struct err *e)
{
    size_t n = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        n++;
    if (n < 2)
        return 0;
    const cJSON **members = mem_array(n, sizeof(const cJSON *));
    size_t i = 0;
    int rc = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next)
        members[i++] = m;
    qsort(members, n, sizeof(const cJSON *), compare_keys);
    for (i = 1; i < n && rc == 0; i++)
        if (strcmp(members[i - 1]->string, members[i]->string) == 0)
            rc = err_set(e, "duplicate-key", "the key \"%.64s\" stands twice in one object",
                         members[i]->string);
    free(members);
    return rc;
}

/* Walks the tree with a stack; its depth was bounded by the scan. */
static int check_all_keys(const cJSON *root, struct err *e)
{
    const cJSON *stack[JSONX_MAX_DEPTH + 1];
    size_t depth = 0;
    const cJSON *item = root;
    for (;;) {
        if (cJSON_IsObject(item) && check_unique_keys(item, e) < 0)
            return -1;
        if (item->child != NULL) {
            stack[depth++] = item;
            item = item->child;
            continue;
        }
        while (item->next == NULL) {
            if (depth == 0)
                return 0;
            item = stack[--depth];
        }
        if (depth == 0)
            return 0;
        item = item->next;
    }
}

cJSON *jsonx_parse(const char *text, size_t n, struct err *e)
{
    if (jsonx_check(text, n, e) < 0)
        return NULL;
    errno = 0;
    cJSON *root = cJSON_ParseWithLength(text, n);
    if (root == NULL) {
        err_set(e, "bad-json", "the JSON could not be read: %s",
                errno == ENOMEM ? "out of memory" : "a limit of cJSON");
        return NULL;
    }
    if (check_all_keys(root, e) < 0) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}

const cJSON *jsonx_member(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

bool jsonx_as_int(const cJSON *item, int64_t min, int64_t max, int64_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= (double)min) ||
        !(item->valuedouble <= (double)max) || item->valuedouble != floor(item->valuedouble))
        return false;
    *value = (int64_t)item->valuedouble;
    return true;
}

const char *jsonx_type_name(const cJSON *item)
{
    if (item == NULL)
        return "nothing";
    switch (item->type & 0xff) {
    case cJSON_Object:
        return "an object";
    case cJSON_Array:
        return "an array";
    case cJSON_String:
        return "a string";
    case cJSON_Number:
        return "a number";
    case cJSON_True:
    case cJSON_False:
        return "a boolean";
    default:
        return "null";
    }
}

void jsonx_clean_utf8(char *text)
{
    unsigned char *p = (unsigned char *)text;
    const unsigned char *end = p + strlen(text);
    while (p < end) {
        size_t n = utf8_length(p, end);
        if (n == 0)
            *p = '?';
        p += n > 0 ? n : 1;
    }
}
