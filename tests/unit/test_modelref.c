/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Model files: which paths lead to one, that its bytes can't change afterwards,
 * and what it is called.
 */
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

#include "common/fdio.h"
#include "supervisor/modelref.h"
#include "tests/support/child.h"
#include "tests/support/scratch.h"

#define SHA_ABC       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define SHA_EMPTY     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA_MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static char dir[SCRATCH_PATH_SIZE];
static const char *base; /* of dir: the directory's own name */

static void write_file(const char *name, const char *bytes, size_t n)
{
    char path[SCRATCH_PATH_SIZE];
    scratch_path(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, bytes, n), 0);
    fd_close(&fd);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[SCRATCH_PATH_SIZE];
    scratch_path(path, name);
    assert_true(strlen(path) < sizeof address.sun_path);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    fd_close(&fd);
}

/* m.json, a directory, and every sort of thing that is no model. */
static int setup(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    char other[SCRATCH_PATH_SIZE];
    if (scratch_setup(state) < 0)
        return -1;
    scratch_path(dir, "");
    dir[strlen(dir) - 1] = '\0';
    base = strrchr(dir, '/') + 1;
    write_file("m.json", "abc", 3);
    write_file("twice.json", "abc", 3);
    scratch_path(path, "twice.json");
    scratch_path(other, "hard.json");
    assert_int_equal(link(path, other), 0);
    scratch_path(path, "sub");
    assert_int_equal(mkdir(path, 0700), 0);
    scratch_path(path, "soft.json");
    assert_int_equal(symlink("m.json", path), 0);
    scratch_path(path, "here");
    assert_int_equal(symlink(".", path), 0);
    scratch_path(path, "away");
    assert_int_equal(symlink("/", path), 0);
    scratch_path(path, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    make_socket("socket");
    return 0;
}

static struct modelref *open_model(const char *path, int64_t max_bytes)
{
    struct err e = {0};
    struct modelref *m = modelref_open(dir, path, max_bytes, &e);
    if (m == NULL)
        fail_msg("%s: %s", path, e.text);
    return m;
}

/* In the paths, %1$s is the directory and %2$s its own name. */
static const struct {
    const char *path;
    const char *code; /* NULL: it is m.json */
    const char *says;
} paths[] = {
    {"m.json", NULL, NULL},
    {"./m.json", NULL, NULL},
    {"sub/../m.json", NULL, NULL},
    {"%2$s/m.json", NULL, NULL},
    {"%2$s//m.json", "path-outside-model-dir", "leads out of the model directory"},
    {"", "missing-model-path", "got \"\""},
    {"none.json", "model-not-found", "no file \"none.json\""},
    {"sub/none.json", "model-not-found", "sub/none.json"},
    {"%2$s/", "model-not-found", NULL},
    {"M.JSON", "model-not-found", NULL},
    {"../%2$s/m.json", "path-outside-model-dir", "leads out of the model directory"},
    {"sub/../../%2$s/m.json", "path-outside-model-dir", NULL},
    {"..", "path-outside-model-dir", NULL},
    {"%1$s/m.json", "path-outside-model-dir", NULL},
    {"/etc/passwd", "path-outside-model-dir", "/etc/passwd"},
    {"%2$s/../%2$s/m.json", "path-outside-model-dir", NULL},
    {"soft.json", "path-outside-model-dir", "symbolic link"},
    {"here/m.json", "path-outside-model-dir", "symbolic link"},
    {"away/etc/passwd", "path-outside-model-dir", NULL},
    {"hard.json", "not-a-regular-file", "2 hard links"},
    {"twice.json", "not-a-regular-file", "2 hard links"},
    {"fifo", "not-a-regular-file", NULL},
    {"socket", "not-a-regular-file", NULL},
    {"sub", "not-a-regular-file", NULL},
    {"sub/", "not-a-regular-file", NULL},
    {".", "not-a-regular-file", NULL},
    {"m.json/", "not-a-regular-file", NULL},
    {"m.json/x", "not-a-regular-file", NULL},
};

/* What stands for a path of the table. */
static void fill_in(const char *form, char path[2 * SCRATCH_PATH_SIZE])
{
    path[0] = '\0';
    for (const char *p = form; *p != '\0'; p++) {
        char one[2] = {*p, '\0'};
        const char *piece = strncmp(p, "%1$s", 4) == 0   ? dir
                            : strncmp(p, "%2$s", 4) == 0 ? base
                                                         : one;
        p += piece != one ? 3 : 0;
        strncat(path, piece, 2 * SCRATCH_PATH_SIZE - strlen(path) - 1);
    }
}

/* Prints what is wrong; cmocka is not to be had in a child. */
static bool path_is(const char *path, const char *code, const char *says)
{
    struct err e = {0};
    struct modelref *m = modelref_open(dir, path, 1000, &e);
    bool fits = code == NULL ? m != NULL && strcmp(m->sha256, SHA_ABC) == 0 &&
                                   strcmp(m->path, path) == 0 && strcmp(m->name, "m.json") == 0
                             : m == NULL && strcmp(e.code, code) == 0 &&
                                   (says == NULL || strstr(e.text, says) != NULL);
    if (!fits)
        fprintf(stderr, "%s: %s, not %s: %s\n", path, m != NULL ? "taken" : e.code,
                code != NULL ? code : "taken", e.text);
    modelref_free(&m);
    return fits;
}

/* Step by step no path goes up, not even within the directory. */
static bool paths_are(bool step_by_step)
{
    bool fits = true;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char path[2 * SCRATCH_PATH_SIZE];
        bool goes_up = step_by_step && strstr(paths[i].path, "..") != NULL;
        fill_in(paths[i].path, path);
        fits &= path_is(path, goes_up ? "path-outside-model-dir" : paths[i].code,
                        goes_up ? NULL : paths[i].says);
    }
    return fits;
}

static void test_confinement(void **state)
{
    (void)state;
    assert_true(paths_are(false));
}

static void test_odd_paths(void **state)
{
    char path[6000] = {0};
    struct err e = {0};
    (void)state;
    memset(path, 'a', 300);
    assert_null(modelref_open(dir, path, 1000, &e));
    assert_string_equal(e.code, "path-outside-model-dir");
    memset(path, '/', sizeof path - 1);
    assert_null(modelref_open(dir, path, 1000, &e));
    assert_string_equal(e.code, "path-outside-model-dir");
    assert_null(modelref_open("/nonexistent", "m.json", 1000, &e));
    assert_string_equal(e.code, "model-unreadable");
    assert_non_null(strstr(e.text, "/nonexistent"));
}

/* The directory may be written in any way, and its name stands in front or not. */
static void test_forms_of_the_directory(void **state)
{
    static const char *const tails[] = {"", "/", "///", "/.", "/sub/.."};
    char with_name[SCRATCH_PATH_SIZE];
    (void)state;
    snprintf(with_name, sizeof with_name, "%.200s/m.json", base);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        char form[2 * SCRATCH_PATH_SIZE];
        struct err e = {0};
        snprintf(form, sizeof form, "%s%s", dir, tails[i]);
        struct modelref *m = modelref_open(form, i < 3 ? with_name : "m.json", 10, &e);
        if (m == NULL)
            fail_msg("%s: %s", form, e.text);
        modelref_free(&m);
    }
}

/* Links that the kernel makes up lead anywhere: /proc/PID/exe, /proc/PID/root. */
static const char *const magic[] = {"exe", "cwd/x", "root/etc/passwd", "fd/0"};
#define N_MAGIC (sizeof magic / sizeof magic[0])

static void test_magic_links(void **state)
{
    char proc[32];
    (void)state;
    snprintf(proc, sizeof proc, "/proc/%d", (int)getpid());
    for (size_t i = 0; i < N_MAGIC; i++) {
        struct err e = {0};
        assert_null(modelref_open(proc, magic[i], INT64_C(1) << 30, &e));
        assert_string_equal(e.code, "path-outside-model-dir");
    }
}

/* A device is not even waited for. */
static void test_device(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    struct err e = {0};
    (void)state;
    scratch_path(path, "zero.json");
    if (mknod(path, S_IFCHR | 0666, makedev(1, 5)) != 0) {
        print_message("SKIP test_device: mknod: %s\n", strerror(errno));
        skip();
    }
    assert_null(modelref_open(dir, "zero.json", 1000, &e));
    assert_string_equal(e.code, "not-a-regular-file");
}

/* As systemd's RestrictSUIDSGID= does. */
static bool take_openat2_away(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
    bool is_gone = seccomp_load(filter) == 0;
    seccomp_release(filter);
    return is_gone;
}

/* The same paths are opened, and the same are refused, one name after the other. */
static int confined_without_openat2(void *arg)
{
    static const char *const up[] = {"sub//../m.json", "sub/./../../x", "./..", "sub/.."};
    char path[PATH_MAX + 1] = {0};
    (void)arg;
    if (!take_openat2_away())
        return 2;
    bool fits = paths_are(true) && path_is(".//.///m.json/.", "not-a-regular-file", NULL);
    for (size_t i = 0; i < sizeof up / sizeof up[0]; i++)
        fits &= path_is(up[i], "path-outside-model-dir", NULL);
    memset(path, 'a', NAME_MAX + 1);
    fits &= path_is(path, "path-outside-model-dir", "too long");
    for (size_t i = 0; i < PATH_MAX; i++)
        path[i] = i % 2 == 0 ? '.' : '/';
    fits &= path_is(path, "path-outside-model-dir", "too long");
    return fits ? 0 : 1;
}

static void test_confinement_without_openat2(void **state)
{
    char said[4096];
    (void)state;
    int rc = child_run(confined_without_openat2, NULL, said, sizeof said);
    if (rc != 0)
        fail_msg("%d: %s", rc, said);
}

static int magic_without_openat2(void *arg)
{
    char proc[32];
    (void)arg;
    snprintf(proc, sizeof proc, "/proc/%d", (int)getpid());
    for (size_t i = 0; i < N_MAGIC; i++) {
        struct err e = {0};
        if ((i == 0 && !take_openat2_away()) ||
            modelref_open(proc, magic[i], INT64_C(1) << 30, &e) != NULL ||
            strcmp(e.code, "path-outside-model-dir") != 0)
            return (int)i + 1;
    }
    return 0;
}

static void test_magic_links_without_openat2(void **state)
{
    (void)state;
    assert_int_equal(child_run(magic_without_openat2, NULL, NULL, 0), 0);
}

/* The file that was opened is the one that is read, whatever has its name then;
 * bytes that come later are not taken. */
static void test_a_file_that_changes(void **state)
{
    char path[SCRATCH_PATH_SIZE], other[SCRATCH_PATH_SIZE];
    (void)state;
    struct modelref *m = open_model("m.json", 10);
    scratch_path(path, "m.json");
    scratch_path(other, "new.json");
    write_file("new.json", "other", 5);
    assert_int_equal(rename(other, path), 0);
    struct modelref *again = open_model("m.json", 10);
    assert_string_equal(m->sha256, SHA_ABC);
    assert_string_not_equal(again->sha256, SHA_ABC);
    modelref_free(&m);
    modelref_free(&again);
}

static void test_unreadable(void **state)
{
    char path[SCRATCH_PATH_SIZE];
    struct err e = {0};
    (void)state;
    if (geteuid() == 0) {
        printf("SKIP root reads every file\n");
        skip();
    }
    scratch_path(path, "m.json");
    assert_int_equal(chmod(path, 0), 0);
    assert_null(modelref_open(dir, "m.json", 1000, &e));
    assert_string_equal(e.code, "model-unreadable");
    assert_non_null(strstr(e.text, "Permission denied"));
}

static void test_size(void **state)
{
    struct err e = {0};
    (void)state;
    struct modelref *m = open_model("m.json", 3);
    modelref_free(&m);
    assert_null(modelref_open(dir, "m.json", 2, &e));
    assert_string_equal(e.code, "model-too-large");
    assert_non_null(strstr(e.text, "has 3 bytes; max_model_bytes is 2"));
    write_file("empty.json", "", 0);
    m = open_model("empty.json", 3); /* whether that is a model is the worker's to say */
    assert_string_equal(m->sha256, SHA_EMPTY);
    assert_int_equal(lseek(m->fd, 0, SEEK_END), 0);
    modelref_free(&m);
}

/* FIPS 180-2's million: many reads of the file. */
static void test_a_large_file(void **state)
{
    enum { N = 1000000 };
    char *bytes = malloc(N);
    char *copy = NULL;
    size_t n = 0;
    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'a', N);
    write_file("large.joblib", bytes, N);
    struct modelref *m = open_model("large.joblib", N);
    assert_string_equal(m->sha256, SHA_MILLION_A);
    assert_string_equal(m->version, "large@cdc76e5c9914");
    assert_int_equal(fd_read_file(m->fd, "memfd", N, &copy, &n, NULL), 0);
    assert_int_equal(n, N);
    assert_memory_equal(copy, bytes, N);
    free(copy);
    free(bytes);
    modelref_free(&m);
}

/* Nobody changes the bytes once they are hashed: not through the descriptor,
 * not through /proc, not by a map, not in the file. */
static void test_seals(void **state)
{
    char again[64];
    char bytes[4] = "";
    (void)state;
    struct modelref *m = open_model("m.json", 10);
    assert_int_equal(fcntl(m->fd, F_GET_SEALS),
                     F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(pwrite(m->fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(m->fd, 0), -1);
    assert_int_equal(ftruncate(m->fd, 100), -1);
    assert_ptr_equal(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0), MAP_FAILED);
    snprintf(again, sizeof again, "/proc/self/fd/%d", m->fd);
    int fd = open(again, O_RDWR | O_CLOEXEC);
    assert_true(fd < 0 || pwrite(fd, "x", 1, 0) == -1);
    fd_close(&fd);
    assert_true(fcntl(m->fd, F_GETFD) & FD_CLOEXEC);
    write_file("m.json", "xyz", 3);
    assert_int_equal(pread(m->fd, bytes, 4, 0), 3);
    assert_string_equal(bytes, "abc");
    modelref_free(&m);
}

/* A version stands in a header, on the board and in file names. */
static void test_versions(void **state)
{
    static const struct {
        const char *name;
        const char *stem;
        const char *extension;
    } cases[] = {
        {"model_v2.joblib", "model_v2", ".joblib"},
        {"a.b.json", "a.b", ".json"},
        {"plain", "plain", ""},
        {".json", ".json", ""},
        {"dot.", "dot", "."},
        {"A-1@x.json", "A-1@x", ".json"},
        {"a b\"\n\t;\\.json", "a_b_____", ".json"},
        {"\xc3\xa9.json", "__", ".json"},
        {"<script>.json", "_script_", ".json"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char version[64];
        write_file(cases[i].name, "abc", 3);
        struct modelref *m = open_model(cases[i].name, 10);
        snprintf(version, sizeof version, "%s@ba7816bf8f01", cases[i].stem);
        assert_string_equal(m->version, version);
        assert_string_equal(m->name, cases[i].name);
        assert_string_equal(modelref_extension(m->name), cases[i].extension);
        modelref_free(&m);
    }
}

static void test_references(void **state)
{
    (void)state;
    struct modelref *m = open_model("m.json", 10);
    struct modelref *kept = modelref_keep(m);
    int fd = m->fd;
    assert_ptr_equal(kept, m);
    assert_int_equal(m->served_fd, -1);
    m->served_fd = m->fd; /* closed once, not twice */
    modelref_free(&m);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_string_equal(kept->name, "m.json");
    modelref_free(&kept);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    modelref_free(&kept);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_confinement),
        CASE(test_odd_paths),
        CASE(test_forms_of_the_directory),
        CASE(test_magic_links),
        CASE(test_device),
        CASE(test_confinement_without_openat2),
        CASE(test_magic_links_without_openat2),
        CASE(test_a_file_that_changes),
        CASE(test_unreadable),
        CASE(test_size),
        CASE(test_a_large_file),
        CASE(test_seals),
        CASE(test_versions),
        CASE(test_references),
    };
    return cmocka_run_group_tests_name("modelref", tests, NULL, NULL);
}
