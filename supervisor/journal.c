/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See journal.h. The lock is on the journal itself: two supervisors on one
 * state directory would write the same file.
 */
#include "supervisor/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/jsonx.h"
#include "common/log.h"
#include "common/mem.h"
#include "supervisor/chores.h"

struct journal {
    int fd;
    struct chores *chores;
    cJSON *recent[JOURNAL_RECENT]; /* a ring */
    size_t n_added;
};

struct entry {
    int fd;
    int error; /* errno of the write */
    char *line;
};

/* A power cut may have torn the last line: it gets its line feed, so that the
 * next entry is a line of its own. */
static void end_torn_line(int fd)
{
    char last = '\n';
    off_t size = lseek(fd, 0, SEEK_END);
    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' &&
        fd_write_all(fd, "\n", 1) < 0)
        log_warn("the journal's last line could not be ended: %s", strerror(errno));
}

struct journal *journal_open(const char *dir, struct chores *chores, struct err *e)
{
    if (dir_create(dir, 0750, e) < 0)
        return NULL;
    char *path = mem_printf("%s/journal.jsonl", dir);
    struct journal *j = mem_alloc(sizeof *j);
    j->chores = chores;
    j->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    int rc = j->fd < 0 ? err_set_errno(e, "cannot-create", "%s", path) : 0;
    if (rc == 0 && flock(j->fd, LOCK_EX | LOCK_NB) < 0)
        rc = errno == EWOULDBLOCK
                 ? err_set(e, "already-running", "another canaryd uses the state directory %s", dir)
                 : err_set_errno(e, "cannot-create", "lock on %s", path);
    free(path);
    if (rc < 0)
        journal_free(&j);
    else
        end_torn_line(j->fd);
    return j;
}

void journal_free(struct journal **j)
{
    if (*j == NULL)
        return;
    for (size_t i = 0; i < JOURNAL_RECENT; i++)
        cJSON_Delete((*j)->recent[i]);
    fd_close(&(*j)->fd);
    free(*j);
    *j = NULL;
}

/* A disk may take half a line before it is full: that half is taken back. */
static void write_entry(void *arg)
{
    struct entry *entry = arg;
    off_t size = lseek(entry->fd, 0, SEEK_END);
    if (fd_write_all(entry->fd, entry->line, strlen(entry->line)) < 0) {
        entry->error = errno;
        if (size < 0 || ftruncate(entry->fd, size) < 0)
            entry->error = errno;
    } else if (fdatasync(entry->fd) < 0) {
        entry->error = errno;
    }
}

static void on_written(void *arg)
{
    struct entry *entry = arg;
    if (entry->error != 0)
        log_error("an entry of the journal was lost: %s", strerror(entry->error));
    free(entry->line);
    free(entry);
}

void journal_add(struct journal *j, const char *event, cJSON *fields)
{
    char now[CLOCK_TEXT_SIZE];
    cJSON *root = cJSON_CreateObject();
    struct entry *entry = mem_alloc(sizeof *entry);
    clock_text(clock_wall_ns(), now);
    cJSON_AddStringToObject(root, "time", now);
    cJSON_AddStringToObject(root, "event", event);
    while (fields != NULL && fields->child != NULL) {
        cJSON *member = cJSON_DetachItemViaPointer(fields, fields->child);
        cJSON_AddItemToObject(root, member->string, member);
    }
    cJSON_Delete(fields);
    /* A worker's words or a file's name may be no UTF-8: then JSON is none. */
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    jsonx_clean_utf8(text);
    root = cJSON_Parse(text);
    *entry = (struct entry){.fd = j->fd, .line = mem_printf("%s\n", text)};
    cJSON_free(text);
    cJSON **slot = &j->recent[j->n_added++ % JOURNAL_RECENT];
    cJSON_Delete(*slot);
    *slot = root;
    chores_add(j->chores, write_entry, on_written, entry);
}

cJSON *journal_recent(const struct journal *j)
{
    cJSON *array = cJSON_CreateArray();
    size_t first = j->n_added > JOURNAL_RECENT ? j->n_added - JOURNAL_RECENT : 0;
    for (size_t i = first; i < j->n_added; i++)
        cJSON_AddItemToArray(array, cJSON_Duplicate(j->recent[i % JOURNAL_RECENT], true));
    return array;
}
