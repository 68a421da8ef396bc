/*
 * permitted.c - see permitted.h. A narrowed question has a set for each combination of one set of
 * the question and one of each clause. The alternative is to filter the series of an answer; but
 * then answerers would count hidden series, and refuse a question because of them.
 *
 * Invariant 1. A list of combinations is never empty: a question without sets selects all series.
 */
#include "model/permitted.h"

#include <assert.h>

bool
permitted_has(const struct permitted *p, struct bytes labels)
{
    bool all = true;
    for (uint32_t i = 0; i < p->count && all; i++) {
        bool any = false;
        for (uint32_t k = 0; k < p->clauses[i].count && !any; k++)
            any = matcher_set_matches(&p->clauses[i].sets[k], labels);
        all = any;
    }
    return all;
}

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

/* Sets *ret to the matchers of both sets. */
static enum err
combine(const struct matcher_set *one, const struct matcher_set *other, struct arena *arena,
        struct matcher_set *ret, struct why *why)
{
    size_t size = sizeof(struct matcher *);
    struct matcher **matchers = arena_alloc(arena, (one->count + (size_t)other->count + 1) * size);
    if (matchers == NULL) return no_memory(why);
    if (one->count > 0) memcpy(matchers, one->matchers, one->count * size);
    if (other->count > 0) memcpy(matchers + one->count, other->matchers, other->count * size);
    *ret = (struct matcher_set){matchers, one->count + other->count};
    return OK;
}

/* Replaces the list by its combinations with the sets of a clause. If all of them contradict each
 * other the last one stays, which selects nothing: invariant 1. */
static enum err
combine_all(struct permitted_clause *list, const struct permitted_clause *clause,
            struct arena *arena, struct why *why)
{
    assert(list->count > 0); /* invariant 1 */
    assert(clause->count > 0);
    uint64_t most = (uint64_t)list->count * clause->count;
    if (most > PERMITTED_SETS_MAX) {
        return why_set(why, ERR_LIMIT,
                       "the selectors of the request and those that restrict it have more than %d "
                       "combinations: use fewer of them",
                       PERMITTED_SETS_MAX);
    }
    struct matcher_set *sets = arena_alloc(arena, most * sizeof *sets);
    if (sets == NULL) return no_memory(why);
    uint32_t count = 0;
    for (uint64_t i = 0; i < most; i++) {
        const struct matcher_set *one = &list->sets[i / clause->count];
        const struct matcher_set *other = &clause->sets[i % clause->count];
        bool is_needed = count == 0 && i == most - 1;
        if (matcher_sets_exclude(one, other) && !is_needed) continue;
        enum err e = combine(one, other, arena, &sets[count], why);
        if (e) return e;
        count++;
    }
    *list = (struct permitted_clause){sets, count};
    return OK;
}

enum err
permitted_narrow(const struct permitted *p, const struct query_request *request,
                 struct arena *arena, struct query_request *ret, struct why *why)
{
    static const struct matcher_set everything = {NULL, 0};
    struct permitted_clause list = {request->sets, request->set_count};
    if (list.count == 0) list = (struct permitted_clause){&everything, 1};
    for (uint32_t i = 0; i < p->count; i++) {
        enum err e = combine_all(&list, &p->clauses[i], arena, why);
        if (e) return e;
    }
    assert(list.count > 0); /* invariant 1 */
    *ret = *request;
    if (p->count == 0) return OK;
    ret->sets = list.sets;
    ret->set_count = list.count;
    return OK;
}

void
permitted_put_key(const struct permitted *p, struct buf *to)
{
    buf_put_varint(to, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct permitted_clause *clause = &p->clauses[i];
        buf_put_varint(to, clause->count);
        for (uint32_t k = 0; k < clause->count; k++) {
            const struct matcher_set *set = &clause->sets[k];
            buf_put_varint(to, set->count);
            for (uint32_t m = 0; m < set->count; m++) {
                buf_put_u8(to, (uint8_t)matcher_type(set->matchers[m]));
                buf_put_counted(to, matcher_name(set->matchers[m]));
                buf_put_counted(to, matcher_pattern(set->matchers[m]));
            }
        }
    }
}
