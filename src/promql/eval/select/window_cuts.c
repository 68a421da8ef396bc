/*
 * window_cuts.c - see window_cuts.h.
 *
 * A hash of a key names the one slot in which its cut may be: a cut replaces the one that was
 * there. When the cuts take too much memory, slots are emptied in turn.
 *
 * Invariants:
 *
 *  1. `bytes` is the memory of all cuts.
 *  2. A cut in a slot has its own copy of the times of its key.
 *  3. Any two cuts fit into BYTES_MAX: emptying the other slots makes enough room for one.
 */
#include "promql/eval/select/window_cuts.h"

#include <assert.h>

#include "base/hash/hash.h"

enum { TIMES_MAX = 8192, BYTES_MAX = 1 << 20 };

_Static_assert(2 * (sizeof(struct window_cut) + TIMES_MAX * sizeof(int64_t)) <= BYTES_MAX,
               "invariant 3: two cuts of the greatest size fit");

void
cuts_init(struct cuts *cuts, struct budget *budget)
{
    *cuts = (struct cuts){.budget = budget};
}

static void
drop(struct cuts *cuts, struct window_cut **cut)
{
    if (*cut == NULL) return;
    size_t bytes = (*cut)->time_capacity * sizeof *(*cut)->times_ms;
    mem_free(cuts->budget, (*cut)->times_ms, bytes);
    mem_free(cuts->budget, *cut, sizeof **cut);
    assert(cuts->bytes >= bytes + sizeof **cut); /* invariant 1 */
    cuts->bytes -= bytes + sizeof **cut;
    *cut = NULL;
}

void
cuts_fini(struct cuts *cuts)
{
    for (uint32_t i = 0; i < CUT_SLOTS; i++) {
        drop(cuts, &cuts->slots[i]);
    }
    drop(cuts, &cuts->long_one);
    assert(cuts->bytes == 0); /* invariant 1 */
}

static uint32_t
window_cuts_slot_of(const struct cut_key *key)
{
    const int64_t *times_ms = key->times_ms;
    uint32_t n = key->time_count;
    const int64_t some[] = {times_ms[0], times_ms[n / 2], times_ms[n - 1],
                            n,           key->begin,      key->step};
    return (uint32_t)(hash_bytes(bytes_of(some, sizeof some), key->at_end) % CUT_SLOTS);
}

static bool
is_same(const struct cut_key *a, const struct cut_key *b)
{
    return a->time_count == b->time_count && a->step == b->step && a->begin == b->begin &&
           a->end == b->end && a->at_end == b->at_end &&
           memcmp(a->times_ms, b->times_ms, a->time_count * sizeof *a->times_ms) == 0;
}

/* The cut of a slot, with memory for `times` times. NULL: no memory. */
static struct window_cut *
prepared(struct cuts *cuts, struct window_cut **slot, uint32_t times)
{
    if (*slot != NULL && (*slot)->time_capacity < times) drop(cuts, slot);
    if (*slot != NULL) return *slot;
    struct window_cut *cut = mem_alloc(cuts->budget, sizeof *cut);
    if (cut == NULL) return NULL;
    cut->time_capacity = times;
    cut->times_ms = times == 0 ? NULL : mem_alloc(cuts->budget, times * sizeof *cut->times_ms);
    cuts->bytes += sizeof *cut + times * sizeof *cut->times_ms;
    *slot = cut;
    if (times > 0 && cut->times_ms == NULL) {
        cut->time_capacity = 0;
        cuts->bytes -= times * sizeof *cut->times_ms;
        drop(cuts, slot);
    }
    return *slot;
}

struct window_cut *
cuts_find(struct cuts *cuts, const struct cut_key *key, bool *ret_known)
{
    uint32_t n = key->time_count;
    bool is_kept = n > 0 && n <= TIMES_MAX;
    struct window_cut **slot = is_kept ? &cuts->slots[window_cuts_slot_of(key)] : &cuts->long_one;
    *ret_known = is_kept && *slot != NULL && is_same(&(*slot)->key, key);
    if (*ret_known) return *slot;
    struct window_cut *cut = prepared(cuts, slot, is_kept ? n : 0);
    if (cut == NULL) return NULL;
    while (cuts->bytes > BYTES_MAX) {
        struct window_cut **victim = &cuts->slots[cuts->next_victim++ % CUT_SLOTS];
        if (victim != slot) drop(cuts, victim);
    }
    assert(!is_kept || cut->time_capacity >= n); /* invariant 2 */
    cut->key = *key;
    cut->key.times_ms = cut->times_ms;
    if (is_kept) memcpy(cut->times_ms, key->times_ms, n * sizeof *cut->times_ms);
    return cut;
}
