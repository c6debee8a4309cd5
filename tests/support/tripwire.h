/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a test and the library that it preloads into canaryd (tripwire.c) agree on.
 */
#ifndef CANARYD_TESTS_TRIPWIRE_H
#define CANARYD_TESTS_TRIPWIRE_H

#define TRIPWIRE_VARIABLE "CANARYD_TRIPWIRE" /* names the file that arms it */
#define TRIPWIRE_TELLS    "tripwire: killed before "

#endif
