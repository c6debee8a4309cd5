/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Descriptors and directories: whole writes, whole reads, and what is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fdio.h"
#include "tests/support/scratch.h"

static char path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
    int rc = scratch_setup(state);
    scratch_path(path, "file");
    return rc;
}

static int write_file(const char *bytes, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, n), 0);
    return fd;
}

static void test_close(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int was = fd;
    (void)state;
    errno = ENOENT;
    fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(fcntl(was, F_GETFD), -1);
    errno = ENOENT;
    fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, ENOENT);
}

static void test_nonblock(void **state)
{
    int fds[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fd_set_nonblock(fds[0]), 0);
    assert_int_equal(read(fds[0], &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    assert_int_equal(fd_set_nonblock(-1), -1);
    assert_int_equal(errno, EBADF);
}

/* Reads in small pieces until the end and says whether every byte was right. */
static int read_pattern(int fd, size_t n)
{
    unsigned char piece[1000];
    size_t got = 0;
    ssize_t k;
    while ((k = read(fd, piece, sizeof piece)) > 0)
        for (ssize_t i = 0; i < k; i++)
            if (piece[i] != (unsigned char)(got++ * 31 >> 3))
                return 1;
    return got == n ? 0 : 2;
}

static void test_write_all_through_a_narrow_pipe(void **state)
{
    enum { N = 1 << 20 };
    unsigned char *bytes = malloc(N);
    int fds[2];
    int status;
    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++)
        bytes[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[1]);
        _exit(read_pattern(fds[0], N));
    }
    fd_close(&fds[0]);
    assert_int_equal(fd_write_all(fds[1], bytes, N), 0);
    fd_close(&fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(bytes);
}

static void test_write_all_fails(void **state)
{
    int fds[2];
    (void)state;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fds), 0);
    fd_close(&fds[0]);
    assert_int_equal(fd_write_all(fds[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(fd_write_all(fds[1], "x", 0), 0);
    fd_close(&fds[1]);
    signal(SIGPIPE, before);
}

static void test_read_file(void **state)
{
    char *bytes = NULL;
    size_t n = 99;
    struct err e = {0};
    (void)state;
    int fd = write_file("abc\0def", 7);
    off_t offset = lseek(fd, 2, SEEK_SET);
    assert_int_equal(fd_read_file(fd, "f", 7, &bytes, &n, &e), 0);
    assert_int_equal(n, 7);
    assert_memory_equal(bytes, "abc\0def", 8); /* one NUL more */
    assert_int_equal(lseek(fd, 0, SEEK_CUR), offset);
    free(bytes);
    bytes = NULL;
    assert_int_equal(fd_read_file(fd, "f", 6, &bytes, &n, &e), -1);
    assert_string_equal(e.code, "file-too-large");
    assert_non_null(strstr(e.text, "f has 7 bytes; at most 6"));
    assert_null(bytes);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(fd_read_file(fd, "f", 6, &bytes, &n, &e), 0);
    assert_int_equal(n, 0);
    assert_string_equal(bytes, "");
    free(bytes);
    fd_close(&fd);
}

static void test_read_file_refuses(void **state)
{
    char *bytes = NULL;
    size_t n;
    int fds[2];
    struct err e = {0};
    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fd_read_file(fds[0], "a pipe", 9, &bytes, &n, &e), -1);
    assert_string_equal(e.code, "not-a-regular-file");
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    assert_int_equal(fd_read_file(-1, "none", 9, &bytes, &n, &e), -1);
    assert_string_equal(e.code, "file-unreadable");
    int fd = write_file("abc", 3);
    fd_close(&fd);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fd_read_file(fd, "blind", 9, &bytes, &n, &e), -1);
    assert_string_equal(e.code, "file-unreadable");
    assert_non_null(strstr(e.text, "blind: "));
    fd_close(&fd);
    assert_null(bytes);
}

static void test_dir_create(void **state)
{
    static const char *const names[] = {"file", "file/", "file/b//c/d", "file/b/c/d/"};
    struct stat st;
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char dir[SCRATCH_PATH_SIZE];
        scratch_path(dir, names[i]);
        if (dir_create(dir, 0750, &e) < 0)
            fail_msg("%s: %s", dir, e.text);
        assert_int_equal(stat(dir, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0750);
    }
    static const char *const inner[] = {"file/b/c/d", "file/b/c", "file/b"};
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++) {
        char dir[SCRATCH_PATH_SIZE];
        scratch_path(dir, inner[i]);
        assert_int_equal(rmdir(dir), 0);
    }
}

static void test_dir_create_fails(void **state)
{
    char under[SCRATCH_PATH_SIZE];
    struct err e = {0};
    (void)state;
    int fd = write_file("", 0);
    fd_close(&fd);
    scratch_path(under, "file/b");
    assert_int_equal(dir_create(under, 0750, &e), -1);
    assert_string_equal(e.code, "cannot-create");
    assert_non_null(strstr(e.text, "Not a directory"));
}

/* A file where the directory should be was taken for the directory. */
static void test_dir_create_over_a_file(void **state)
{
    struct err e = {0};
    (void)state;
    int fd = write_file("", 0);
    fd_close(&fd);
    assert_int_equal(dir_create(path, 0750, &e), -1);
    assert_string_equal(e.code, "cannot-create");
    assert_non_null(strstr(e.text, path));
}

/* One byte behind the empty name was read. */
static void test_dir_create_of_nothing(void **state)
{
    struct err e = {0};
    (void)state;
    assert_int_equal(dir_create("", 0750, &e), -1);
    assert_string_equal(e.code, "cannot-create");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_close),
        CASE(test_nonblock),
        CASE(test_write_all_through_a_narrow_pipe),
        CASE(test_write_all_fails),
        CASE(test_read_file),
        CASE(test_read_file_refuses),
        CASE(test_dir_create),
        CASE(test_dir_create_fails),
        CASE(test_dir_create_over_a_file),
        CASE(test_dir_create_of_nothing),
    };
    return cmocka_run_group_tests_name("fdio", tests, NULL, NULL);
}
