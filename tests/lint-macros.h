/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loops that library headers define, for cppcheck, which does not read those.
 */
#define TAILQ_HEAD(name, type)                                                                     \
    struct name {                                                                                  \
        struct type *tqh_first;                                                                    \
    }
#define TAILQ_ENTRY(type)                                                                          \
    struct {                                                                                       \
        struct type *tqe_next;                                                                     \
    }
#define STAILQ_HEAD(name, type)                                                                    \
    struct name {                                                                                  \
        struct type *stqh_first;                                                                   \
    }
#define STAILQ_ENTRY(type)                                                                         \
    struct {                                                                                       \
        struct type *stqe_next;                                                                    \
    }
#define TAILQ_FOREACH(v, h, f)  for (v = (h)->tqh_first; v; v = v->f.tqe_next)
#define STAILQ_FOREACH(v, h, f) for (v = (h)->stqh_first; v; v = v->f.stqe_next)
#define SLIST_FOREACH(v, h, f)  for (v = (h)->slh_first; v; v = v->f.sle_next)
#define SLIST_HEAD(name, type)                                                                     \
    struct name {                                                                                  \
        struct type *slh_first;                                                                    \
    }
#define SLIST_ENTRY(type)                                                                          \
    struct {                                                                                       \
        struct type *sle_next;                                                                     \
    }
#define cJSON_ArrayForEach(v, a) for (v = (a)->child; v; v = v->next)
