/* asked_matchers.c - see asked_matchers.h. */
#include "lib/views/asked_matchers.h"

static uint64_t
asked_with_hash(const struct asked_with *asked)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < asked->count; i++) {
        hash = hash_bytes(matcher_name(asked->matchers[i]), hash);
        hash = hash_bytes(matcher_pattern(asked->matchers[i]), hash);
    }
    return hash;
}

void
asked_with_keep(struct asked_with *asked, const struct query_request *request)
{
    *asked = (struct asked_with){.count = 0};
    for (uint32_t i = 0; i < request->set_count; i++)
        for (uint32_t k = 0; k < request->sets[i].count && asked->count < 16; k++)
            asked->matchers[asked->count++] = request->sets[i].matchers[k];
    asked->hash = asked_with_hash(asked);
}

void
asked_with_check(const struct asked_with *asked)
{
    assert_true(asked_with_hash(asked) == asked->hash);
}
