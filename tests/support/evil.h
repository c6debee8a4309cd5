/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models for tests/support/evil_worker.c: a few words that say what the worker
 * does. At its start, in their order:
 *
 *     ready[=N]   READY, with N features (5)    refuse    REFUSE
 *     version     READY of protocol 7           garbage   a frame that is none
 *     oversize    a frame of 2 GiB announced    stray     RESULT of no call
 *     quit        QUIT, which is not its to say eof       closes the socket
 *     sleep       for ever                      exit=N    ends
 *     signal=N    raises it
 *
 * Then, at every call: fault, hang (no answer), die (exit 3), killer=N (the same
 * where the first feature is N), double (two outputs), slow=MS, good=N (the first N are answered
 * well all the same), pid or delay (the output is its pid, or the delay it was told; else the first
 * feature). stubborn: neither QUIT nor the end of the socket ends it.
 */
#ifndef CANARYD_TESTS_EVIL_H
#define CANARYD_TESTS_EVIL_H

struct modelref;

#define EVIL_PATH_SIZE 4096

#define EVIL_FEATURES 5
#define EVIL_REFUSAL  "it is not to my taste"
#define EVIL_FAULT    "this is beyond me"

/* A model held in memory; the caller's reference. */
struct modelref *evil_model(const char *script);

/* A model file of that name in the scratch directory. */
void evil_write(const char *name, const char *script);

/* The path of a program of the build that runs: "tests/support/evil_worker",
 * "canary-worker". */
void built_program(char path[EVIL_PATH_SIZE], const char *name);

#endif
