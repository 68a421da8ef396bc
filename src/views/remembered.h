/*
 * remembered.h - an answerer that keeps the answers of another one, a source's reader, in a
 * directory, and asks it only for times of which it has none:
 *
 *     asked:            min ............................................. max
 *     kept:      [................)                  [..........)
 *     the other one is asked for:  [.................]          [........]  as one question
 *
 * Answers are kept for questions with the same matchers and tenant. What is younger than ten
 * minutes is always asked for. Of what is kept, the newest sample was some time old when it was
 * asked for: for as long it is believed, or for max_age if that is less. So samples that come late,
 * and those that the store loses, are told of late by no more than max_age, and sooner the younger
 * they are.
 *
 * Times are widened to even ones, so that the next question finds more: by a tenth at most, of
 * questions of ten minutes and more.
 *
 * The directory: sys/file_cache.h; whatever becomes of it, no answer is wrong. Names, values and
 * series are always asked for.   Threads: as the other answerer.
 */
#ifndef VIEWS_REMEMBERED_H
#define VIEWS_REMEMBERED_H

#include <stdatomic.h>

#include "model/select.h"

struct remembered_options {
    struct env *env;
    struct budget *memory;    /* of what lasts; a question has its own */
    struct answerer *answers; /* its own from now on, also after an error */
    uint64_t store;           /* what tells the other one, with all its settings, from others */
    const char *path;         /* outlives it */
    uint64_t max_bytes;
    int64_t max_age_ms;
    _Atomic uint64_t *hits;   /* files that were of use */
    _Atomic uint64_t *misses; /* questions that had to be asked */
};
/* ERR_NOMEM. */
MUST_CHECK enum err remembered_new(const struct remembered_options *options,
                                   struct answerer **ret_answerer, struct why *why);

#endif
