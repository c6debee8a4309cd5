/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See token.h.
 */
#include "supervisor/token.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fdio.h"

#define MAX_BYTES 4096

static void digest(const char *text, size_t n, unsigned char out[SHA256_DIGEST_LENGTH])
{
    SHA2_CTX hash;
    SHA256Init(&hash);
    SHA256Update(&hash, (const uint8_t *)text, n);
    SHA256Final(out, &hash);
}

/* systemd gives a credential to a service by an ACL, and stat shows its mask as
 * the group's bit: root's group may have that one. */
static int check_owner(int fd, const char *path, struct err *e)
{
    struct stat file;
    if (fstat(fd, &file) < 0)
        return err_set_errno(e, "bad-token-file", "admin_token_file: %s", path);
    if (!S_ISREG(file.st_mode))
        return err_set(e, "bad-token-file", "admin_token_file: %s is not a regular file", path);
    if (file.st_uid != 0 && file.st_uid != geteuid())
        return err_set(e, "bad-token-file",
                       "admin_token_file: %s belongs to user %u; expected this user (%u) or root",
                       path, file.st_uid, geteuid());
    mode_t others = file.st_uid == 0 && file.st_gid == 0 ? 0037 : 0077;
    if ((file.st_mode & others) != 0)
        return err_set(e, "bad-token-file",
                       "admin_token_file: %s has mode %04o; expected 0600, so that nobody else "
                       "can read it",
                       path, file.st_mode & 07777U);
    return 0;
}

/* How long the token at the beginning of text is, or -1 with err. What is wrong
 * with it is told, the token is not. */
static int check_text(const char *text, size_t n, const char *path, struct err *e)
{
    size_t length = 0;
    while (length < n && text[length] > ' ' && text[length] <= '~')
        length++;
    if (length < n && text[length] != '\n' && text[length] != '\r')
        return err_set(
            e, "bad-token-file",
            "admin_token_file: %s has a byte 0x%02x in its token; expected visible ASCII", path,
            (unsigned char)text[length]);
    if (strspn(text + length, "\r\n") != n - length)
        return err_set(e, "bad-token-file", "admin_token_file: %s has more than one line", path);
    if (length < TOKEN_MIN_LENGTH)
        return err_set(e, "bad-token-file",
                       "admin_token_file: the token in %s has %zu characters; expected at least "
                       "%d (head -c 32 /dev/urandom | base64)",
                       path, length, TOKEN_MIN_LENGTH);
    return (int)length;
}

int token_read(const char *path, struct token *t, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    if (path[0] == '\0') {
        *t = (struct token){0};
        return 0;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(e, "bad-token-file", "admin_token_file: %s", path);
    int rc = check_owner(fd, path, e);
    if (rc == 0 && fd_read_file(fd, path, MAX_BYTES, &text, &n, e) < 0)
        rc = err_set(e, "bad-token-file", "admin_token_file: %s cannot be read", path);
    fd_close(&fd);
    if (rc < 0 || text == NULL)
        return -1;
    int length = check_text(text, n, path, e);
    if (length > 0) {
        t->is_set = true;
        digest(text, (size_t)length, t->digest);
    }
    explicit_bzero(text, n);
    free(text);
    return length > 0 ? 0 : -1;
}

bool token_is(const struct token *t, const char *said)
{
    unsigned char theirs[SHA256_DIGEST_LENGTH];
    volatile unsigned char differs = 0; /* so that no compiler stops at the first */
    digest(said, strlen(said), theirs);
    for (size_t i = 0; i < sizeof theirs; i++)
        differs = (unsigned char)(differs | (theirs[i] ^ t->digest[i]));
    return t->is_set && differs == 0;
}
