/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The journal: every line a JSON object, whatever the disk does; one writer; the
 * recent entries in a ring.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "supervisor/chores.h"
#include "supervisor/journal.h"
#include "tests/support/scratch.h"

static struct event_base *base;
static struct chores *chores;
static struct journal *journal;
static char dir[SCRATCH_PATH_SIZE];
static char path[SCRATCH_PATH_SIZE];

static void open_again(void)
{
    struct err e = {0};
    chores = chores_new(base);
    journal = journal_open(dir, chores, &e);
    if (journal == NULL)
        fail_msg("%s", e.text);
}

/* All that was added is on disk after this. */
static void close_all(void)
{
    chores_free(&chores);
    journal_free(&journal);
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    scratch_path(dir, "");
    scratch_path(path, "journal.jsonl");
    base = event_base_new();
    open_again();
    return 0;
}

static int teardown(void **state)
{
    close_all();
    event_base_free(base);
    return scratch_teardown(state);
}

static cJSON *numbered(int i)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddNumberToObject(fields, "i", i);
    return fields;
}

/* The file's lines, each parsed strictly; lines that are none are NULL. */
static int read_lines(cJSON **lines, int max)
{
    char *text;
    size_t n;
    int n_lines = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fd_read_file(fd, path, 1 << 22, &text, &n, NULL), 0);
    fd_close(&fd);
    assert_true(n == 0 || text[n - 1] == '\n');
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
        assert_true(n_lines < max);
        lines[n_lines++] = jsonx_parse(line, strlen(line), NULL);
    }
    free(text);
    return n_lines;
}

static const char *text_at(const cJSON *object, const char *name)
{
    const cJSON *item = jsonx_member(object, name);
    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

static void check_time(const char *time)
{
    int year;
    int n = 0;
    assert_int_equal(strlen(time), 32);
    assert_int_equal(sscanf(time, "%d-%*2d-%*2dT%*2d:%*2d:%*2d.%*6d+00:00%n", &year, &n), 1);
    assert_int_equal(n, 32);
    assert_true(year >= 2025);
}

static void test_lines(void **state)
{
    cJSON *lines[4];
    cJSON *fields = cJSON_CreateObject();
    struct stat st;
    (void)state;
    cJSON_AddStringToObject(fields, "reason", "a \"quoted\"\nreason \xc3\xa9 \x01");
    cJSON_AddItemToObject(fields, "nested", numbered(7));
    journal_add(journal, "rolled-back", fields);
    journal_add(journal, "started", NULL);
    close_all();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(read_lines(lines, 4), 2);
    check_time(text_at(lines[0], "time"));
    assert_string_equal(text_at(lines[0], "event"), "rolled-back");
    assert_string_equal(text_at(lines[0], "reason"), "a \"quoted\"\nreason \xc3\xa9 \x01");
    assert_int_equal(jsonx_member(jsonx_member(lines[0], "nested"), "i")->valueint, 7);
    assert_string_equal(lines[0]->child->string, "time"); /* first, for people */
    assert_string_equal(lines[0]->child->next->string, "event");
    assert_int_equal(cJSON_GetArraySize(lines[1]), 2);
    cJSON_Delete(lines[0]);
    cJSON_Delete(lines[1]);
}

/* A worker's last words, or a file's name, in Latin-1. */
static void test_no_utf8(void **state)
{
    cJSON *lines[4];
    cJSON *fields = cJSON_CreateObject();
    (void)state;
    cJSON_AddStringToObject(fields, "reason", "caf\xe9 \xc3\xa9 \xff");
    journal_add(journal, "deployment-failed", fields);
    cJSON *recent = journal_recent(journal);
    assert_string_equal(text_at(cJSON_GetArrayItem(recent, 0), "reason"), "caf? \xc3\xa9 ?");
    cJSON_Delete(recent);
    close_all();
    assert_int_equal(read_lines(lines, 4), 1);
    assert_non_null(lines[0]);
    assert_string_equal(text_at(lines[0], "reason"), "caf? \xc3\xa9 ?");
    cJSON_Delete(lines[0]);
}

/* Another life of the supervisor goes on behind the last line. */
static void test_append(void **state)
{
    cJSON *lines[4];
    (void)state;
    journal_add(journal, "first", NULL);
    close_all();
    open_again();
    journal_add(journal, "second", NULL);
    close_all();
    assert_int_equal(read_lines(lines, 4), 2);
    assert_string_equal(text_at(lines[0], "event"), "first");
    assert_string_equal(text_at(lines[1], "event"), "second");
    cJSON_Delete(lines[0]);
    cJSON_Delete(lines[1]);
}

static void test_the_recent(void **state)
{
    enum { MORE = JOURNAL_RECENT + 50 };
    cJSON *lines[MORE];
    (void)state;
    cJSON *recent = journal_recent(journal);
    assert_int_equal(cJSON_GetArraySize(recent), 0);
    cJSON_Delete(recent);
    for (int i = 0; i < MORE; i++) {
        journal_add(journal, "event", numbered(i));
        if (i != 2 && i != JOURNAL_RECENT - 1 && i != MORE - 1)
            continue;
        int first = i < JOURNAL_RECENT ? 0 : i + 1 - JOURNAL_RECENT;
        recent = journal_recent(journal);
        assert_int_equal(cJSON_GetArraySize(recent), i + 1 - first);
        int k = first;
        for (const cJSON *entry = recent->child; entry != NULL; entry = entry->next)
            assert_int_equal(jsonx_member(entry, "i")->valueint, k++);
        cJSON_Delete(recent);
    }
    close_all();
    assert_int_equal(read_lines(lines, MORE), MORE);
    for (int i = 0; i < MORE; i++) {
        assert_int_equal(jsonx_member(lines[i], "i")->valueint, i);
        cJSON_Delete(lines[i]);
    }
}

static void test_one_writer(void **state)
{
    struct err e = {0};
    (void)state;
    assert_null(journal_open(dir, chores, &e));
    assert_string_equal(e.code, "already-running");
    assert_non_null(strstr(e.text, dir));
    close_all();
    open_again(); /* the lock went with its owner */
}

static void test_impossible_places(void **state)
{
    char odd[SCRATCH_PATH_SIZE];
    struct err e = {0};
    (void)state;
    assert_null(journal_open("/dev/null/x", chores, &e));
    assert_string_equal(e.code, "cannot-create");
    assert_null(journal_open(path, chores, &e)); /* a file, not a directory */
    assert_string_equal(e.code, "cannot-create");
    close_all();
    scratch_path(odd, "elsewhere");
    assert_int_equal(rename(path, odd), 0);
    assert_int_equal(symlink(odd, path), 0);
    assert_null(journal_open(dir, chores, &e));
    assert_string_equal(e.code, "cannot-create");
    assert_int_equal(unlink(path), 0);
}

/* A disk that took half an entry left half a line, and the next entry was glued
 * to it: two were lost, and a reader stumbled. */
static void test_a_full_disk_loses_one_entry(void **state)
{
    struct rlimit all;
    cJSON *lines[4];
    struct stat st;
    (void)state;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    log_init("test", LOG_LEVEL_ERROR);
    journal_add(journal, "first", NULL);
    chores_free(&chores);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    struct rlimit little = {.rlim_cur = (rlim_t)st.st_size + 20, .rlim_max = all.rlim_max};
    journal_free(&journal);
    open_again();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    journal_add(journal, "lost", NULL);
    chores_free(&chores);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    signal(SIGXFSZ, before);
    journal_free(&journal);
    open_again();
    journal_add(journal, "second", NULL);
    close_all();
    assert_int_equal(read_lines(lines, 4), 2);
    assert_string_equal(text_at(lines[0], "event"), "first");
    assert_string_equal(text_at(lines[1], "event"), "second");
    cJSON_Delete(lines[0]);
    cJSON_Delete(lines[1]);
}

/* After a power cut the last line may have no end; it stays, and spoils no other. */
static void test_a_torn_last_line(void **state)
{
    cJSON *lines[4];
    (void)state;
    close_all();
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(fd_write_all(fd, "{\"time\":\"2025", 13), 0);
    fd_close(&fd);
    open_again();
    journal_add(journal, "started", NULL);
    close_all();
    assert_int_equal(read_lines(lines, 4), 2);
    assert_null(lines[0]);
    assert_string_equal(text_at(lines[1], "event"), "started");
    cJSON_Delete(lines[1]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_lines),
        CASE(test_no_utf8),
        CASE(test_append),
        CASE(test_the_recent),
        CASE(test_one_writer),
        CASE(test_impossible_places),
        CASE(test_a_full_disk_loses_one_entry),
        CASE(test_a_torn_last_line),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
