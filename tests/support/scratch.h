/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory of a test's own, for cmocka's setup and teardown.
 */
#ifndef CANARYD_TESTS_SCRATCH_H
#define CANARYD_TESTS_SCRATCH_H

#define SCRATCH_PATH_SIZE 256

int scratch_setup(void **state);    /* makes it, empty; sets the umask to 022 */
int scratch_teardown(void **state); /* removes it and what is in it (one level) */

/* path becomes the directory's name, a slash and name. */
void scratch_path(char path[SCRATCH_PATH_SIZE], const char *name);

#endif
