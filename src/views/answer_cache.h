/*
 * answer_cache.h - an answerer that caches the answers of another answerer, a source's reader, in a
 * directory, and asks it only for times that are not cached:
 *
 *     question:         min ............................................. max
 *     cached:    [................)                  [..........)
 *     request to the other answerer: [...............]          [........]  as one request
 *
 * Answers are cached for questions with the same matchers and tenant. Times within the last ten
 * minutes are always requested. The newest sample of a cached answer had some age when it was
 * requested: the answer is valid for as long as that, or for max_age if that is less. So samples
 * that come late, and samples that the store loses, are noticed late by at most max_age, and sooner
 * the younger they are.
 *
 * Times are widened to even ones, so that the next question finds more: by at most a tenth, for
 * questions of ten minutes and more.
 *
 * The directory: sys/file_cache.h. Damage to it cannot make an answer wrong. Names, values and
 * series are not cached.   Threads: those of the other answerer.
 */
#ifndef VIEWS_ANSWER_CACHE_H
#define VIEWS_ANSWER_CACHE_H

#include <stdatomic.h>

#include "model/select.h"

struct answer_cache_options {
    struct env *env;
    struct budget *memory;    /* budget of the answerer; a question has its own */
    struct answerer *answers; /* taken, also on an error */
    uint64_t store;           /* identifies the other answerer, with all its settings */
    const char *path;         /* outlives it */
    uint64_t max_bytes;
    int64_t max_age_ms;
    _Atomic uint64_t *hits;   /* files that were used */
    _Atomic uint64_t *misses; /* questions with a request to the other answerer */
};
/* ERR_NOMEM. */
MUST_CHECK enum err answer_cache_new(const struct answer_cache_options *options,
                                     struct answerer **ret_answerer, struct why *why);

#endif
