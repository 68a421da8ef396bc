/* slots.c - see slots.h. */
#include "rules/slots.h"

#include "base/array.h"
#include "base/search.h"

void
slots_init(struct slots *s, struct budget *budget)
{
    *s = (struct slots){.budget = budget};
}

void
slots_fini(struct slots *s)
{
    array_free(s->budget, s->runs, s->capacity);
}

/* The first run that ends at or after a slot. */
static uint32_t
find(const struct slots *s, int64_t slot)
{
    return search_first(i, 0u, s->count, s->runs[i].last >= slot);
}

bool
slots_has(const struct slots *s, int64_t slot)
{
    uint32_t i = find(s, slot);
    return i < s->count && s->runs[i].first <= slot;
}

enum err
slots_add(struct slots *s, int64_t first, int64_t last)
{
    uint32_t i = find(s, first - 1);
    uint32_t end = search_first(k, i, s->count, s->runs[k].first > last + 1);
    if (i == end) { /* it touches none */
        if (!array_reserve(s->budget, &s->runs, &s->capacity, (size_t)s->count + 1)) {
            return ERR_NOMEM;
        }
        memmove(&s->runs[i + 1], &s->runs[i], (s->count - i) * sizeof *s->runs);
        s->runs[i] = (struct slot_run){first, last};
        s->count++;
        return OK;
    }
    if (s->runs[i].first > first) s->runs[i].first = first;
    s->runs[i].last = s->runs[end - 1].last > last ? s->runs[end - 1].last : last;
    memmove(&s->runs[i + 1], &s->runs[end], (s->count - end) * sizeof *s->runs);
    s->count -= end - i - 1;
    return OK;
}

int64_t
slots_first_missing(const struct slots *s, int64_t from)
{
    uint32_t i = find(s, from);
    return i == s->count || s->runs[i].first > from ? from : s->runs[i].last + 1;
}

bool
slots_last_before(const struct slots *s, int64_t slot, int64_t *ret)
{
    uint32_t i = find(s, slot);
    if (i < s->count && s->runs[i].first < slot) {
        *ret = slot - 1;
        return true;
    }
    if (i == 0) return false;
    *ret = s->runs[i - 1].last;
    return true;
}

bool
slots_first_from(const struct slots *s, int64_t from, int64_t *ret)
{
    uint32_t i = find(s, from);
    if (i == s->count) return false;
    *ret = s->runs[i].first > from ? s->runs[i].first : from;
    return true;
}

uint64_t
slots_missing(const struct slots *s, int64_t from, int64_t to)
{
    uint64_t missing = 0;
    for (uint32_t i = find(s, from); i < s->count && from < to; i++) {
        int64_t until = s->runs[i].first < to ? s->runs[i].first : to;
        if (until > from) missing += (uint64_t)(until - from);
        from = s->runs[i].last + 1;
    }
    return from < to ? missing + (uint64_t)(to - from) : missing;
}

void
slots_forget_before(struct slots *s, int64_t slot)
{
    uint32_t i = find(s, slot);
    if (i > 0) {
        memmove(s->runs, &s->runs[i], (s->count - i) * sizeof *s->runs);
        s->count -= i;
    }
    if (s->count > 0 && s->runs[0].first < slot) s->runs[0].first = slot;
}
