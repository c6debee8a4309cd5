/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models for tests/support/evil_worker.c: a few words that say how the worker
 * misbehaves. Words are done in their order, at its start; those behind "then"
 * are done at every call, in place of an answer: "ready then half sleep". A word
 * may have a number: "exit=3".
 *
 * Messages, in frames of the right length:
 *     ready[=N]  READY, N features (5)      version    READY of protocol 7
 *     longname   READY, a name of 65 bytes  hugename   ... of a megabyte
 *     refuse     REFUSE                     badrefuse  ... in invalid UTF-8
 *     quit       not a worker's to say      pong[=ID]  PONG, unasked
 *     stray      RESULT of no call          maxid      ... of id 2^64 - 1
 *     negid      RESULT of id -1            arity      ... with a field too many
 *     leftover   bytes behind the message   unknown    type 99
 *     garbage    no msgpack at all          empty nil map ext  msgpack, no message
 *     array32 array16m bin4g str4g          sizes that are not there
 *     deep       33 arrays in each other
 * No frames:
 *     zero huge negative oversize           lengths that no frame has
 *     random[=SEED]                         64 bytes
 *     oob                                   a byte out of band
 * RESULTs and FAULTs for the call at hand:
 *     answer     the first feature          wrongid    ... under another id
 *     otherid    the answer to the call before, under this one's id
 *     two none   too many, no outputs       nan inf[=-1]
 *     string text null true nested          outputs that are no numbers
 *     faulty     FAULT                      bigfault=K ... with K KiB of text
 *     half       all but the last byte      drip=MS    a byte each MS ms
 * The socket and the process:
 *     eof        shut down both ways, lives close      closes it, lives
 *     shutwr     shut down for writing only sleep      for ever, reading nothing
 *     wait=MS    a while                    exit=N     ends
 *     signal=N abort segv                   dies of it
 *     stop       SIGSTOPs itself            spin       for ever
 *     fork[=MS]  a child holds its socket and its output for MS (1000)
 *     bomb=N     N children that stay       hoard      opens files until it can't;
 *                                           its output then is how many it has
 *     says       EVIL_LAST_WORDS            mumble     bytes that are no text
 *     chatty=K   K KiB on stderr, in lines  longline=N one of N * 64 bytes
 *
 * Manners, from then on: fault, hang (no answer), die (exit 3), killer=N (the same
 * where the first feature is N), double (two outputs), slow=MS, leak=N (N MiB at each
 * call, until it dies of it),
 * good=N (the first N calls are answered well all the same),
 * pid, delay or pings (the output is its pid, the delay it was told, how many
 * PINGs it saw; else the first feature); nopong, badpong (wrong id), twopongs;
 * stubborn: neither QUIT nor the end of the socket ends it.
 *
 * A model that begins with "{" is a real one, and served by canary-worker.
 */
#ifndef CANARYD_TESTS_EVIL_H
#define CANARYD_TESTS_EVIL_H

struct modelref;

#define EVIL_PATH_SIZE 4096

#define EVIL_FEATURES   5
#define EVIL_REFUSAL    "it is not to my taste"
#define EVIL_FAULT      "this is beyond me"
#define EVIL_LAST_WORDS "MemoryError: no room for evil"

/* A model held in memory; the caller's reference. */
struct modelref *evil_model(const char *script);

/* A model file of that name in the scratch directory. */
void evil_write(const char *name, const char *script);

/* The path of a program of the build that runs: "tests/support/evil_worker",
 * "canary-worker". */
void built_program(char path[EVIL_PATH_SIZE], const char *name);

#endif
