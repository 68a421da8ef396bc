/*
 * asked_testing.h - the matchers that a set was asked with: views of tests look at them for as long
 * as the set lives, as those of sources do.
 */
#ifndef VIEWS_ASKED_TESTING_H
#define VIEWS_ASKED_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "model/select.h"

struct asked_with {
    const struct matcher *matchers[16]; /* the first ones */
    uint32_t count;
    uint64_t hash; /* of their names and patterns */
};

static inline uint64_t
asked_with_hash(const struct asked_with *asked)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < asked->count; i++) {
        hash = hash_bytes(matcher_name(asked->matchers[i]), hash);
        hash = hash_bytes(matcher_pattern(asked->matchers[i]), hash);
    }
    return hash;
}

static inline void
asked_with_keep(struct asked_with *asked, const struct query_request *request)
{
    *asked = (struct asked_with){.count = 0};
    for (uint32_t i = 0; i < request->set_count; i++) {
        for (uint32_t k = 0; k < request->sets[i].count && asked->count < 16; k++) {
            asked->matchers[asked->count++] = request->sets[i].matchers[k];
        }
    }
    asked->hash = asked_with_hash(asked);
}

/* They are still there. */
static inline void
asked_with_check(const struct asked_with *asked)
{
    assert_true(asked_with_hash(asked) == asked->hash);
}

#endif
