/*
 * penalties.c - see gate_private.h.
 *
 * A level is stored as the time at which it is 0: a level of 3 ends in three intervals. So nothing
 * has to be updated while time passes, and the order of two levels stays the same. Levels are at
 * most `failures`, because checks that ran at the same moment may fail together, and an address
 * that is configured correctly now must not wait for more than an interval.
 *
 * The lowest level is searched in all of them, an array of 32 KB, when a new address fails and the
 * table is full. A heap would need positions that move; a sample of the entries would not keep the
 * promise of gate_private.h, which is that of the algorithm Space-Saving (Metwally, Agrawal, El
 * Abbadi: "Efficient computation of frequent and top-k elements in data streams", 2005).
 *
 * Invariants:
 *  1. The first `count` addresses are different, and the table has each of them under its hash.
 *  2. No level is above `failures` at the time of the last failure.
 *  3. The lowest level of a full table ends no earlier than it did before.
 */
#include "auth/gate_private.h"

#include <assert.h>

#include "base/hash/hash.h"

static const int64_t second_ns = 1000000000;

struct penalty_key
penalty_key_of(const uint8_t *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    struct penalty_key key = {{0}};
    bool is_ipv4 = memcmp(address, mapped, sizeof mapped) == 0;
    memcpy(key.bytes, address, is_ipv4 ? 16 : 8);
    return key;
}

enum err
penalties_init(struct penalties *t, struct budget *budget, const struct penalties_options *options)
{
    assert(options->addresses_max > 0);
    assert(options->failures > 0);
    assert(options->interval_ns > 0);
    assert(options->interval_ns <= INT64_MAX / 4 / options->failures);
    *t = (struct penalties){.options = *options, .budget = budget};
    t->ends_ns = mem_new(budget, options->addresses_max * sizeof *t->ends_ns);
    t->addresses = mem_new(budget, options->addresses_max * sizeof *t->addresses);
    if (t->ends_ns == NULL || t->addresses == NULL ||
        !table_reserve(&t->table, budget, options->addresses_max)) {
        penalties_fini(t);
        return ERR_NOMEM;
    }
    return OK;
}

void
penalties_fini(struct penalties *t)
{
    table_fini(&t->table, t->budget);
    mem_free(t->budget, t->addresses, t->options.addresses_max * sizeof *t->addresses);
    mem_free(t->budget, t->ends_ns, t->options.addresses_max * sizeof *t->ends_ns);
    *t = (struct penalties){0};
}

static uint64_t
hash_key(const struct penalties *t, struct penalty_key key)
{
    return hash_bytes(bytes_of(key.bytes, sizeof key.bytes), t->options.seed);
}

/* Returns the index of the address, or `count`. */
static uint32_t
penalties_find_address(const struct penalties *t, struct penalty_key key, uint64_t hash)
{
    for (uint32_t at = TABLE_START, id; table_next(&t->table, hash, &at, &id);)
        if (memcmp(&t->addresses[id].key, &key, sizeof key) == 0) return id;
    return t->count;
}

uint32_t
penalties_retry_after_s(const struct penalties *t, struct penalty_key key, int64_t now_ns)
{
    uint32_t id = penalties_find_address(t, key, hash_key(t, key));
    if (id == t->count) return 0;
    int64_t wait_ns =
        t->ends_ns[id] - now_ns - (int64_t)(t->options.failures - 1) * t->options.interval_ns;
    if (wait_ns <= 0) return 0;
    return (uint32_t)((wait_ns - 1) / second_ns + 1);
}

/* Adds an address that is not in the table; it may inherit a level. */
static uint32_t
add_address(struct penalties *t, struct penalty_key key, uint64_t hash)
{
    uint32_t id = t->count;
    if (t->count < t->options.addresses_max) {
        t->ends_ns[id] = 0;
        t->count++;
    } else {
        id = 0; /* of the lowest level */
        for (uint32_t i = 1; i < t->count; i++)
            if (t->ends_ns[i] < t->ends_ns[id]) id = i;
        table_remove(&t->table, hash_key(t, t->addresses[id].key), id);
    }
    t->addresses[id] = (struct penalty_address){.key = key};
    table_add(&t->table, hash, id);
    assert(t->table.count == t->count); /* invariant 1 */
    return id;
}

bool
penalties_add(struct penalties *t, struct penalty_key key, int64_t now_ns, uint64_t *ret_failures)
{
    assert(now_ns >= 0);
    const struct penalties_options *o = &t->options;
    const uint64_t hash = hash_key(t, key);
    uint32_t id = penalties_find_address(t, key, hash);
    if (id == t->count) id = add_address(t, key, hash);
    int64_t was_ns = t->ends_ns[id], highest_ns = now_ns + (int64_t)o->failures * o->interval_ns;
    assert(was_ns <= highest_ns); /* invariant 2 */
    int64_t end_ns = (was_ns > now_ns ? was_ns : now_ns) + o->interval_ns;
    t->ends_ns[id] = end_ns < highest_ns ? end_ns : highest_ns;
    assert(t->ends_ns[id] >= was_ns); /* invariant 3 */
    uint64_t held_back = 0;
    bool due = log_often(&t->addresses[id].lines, now_ns, o->log_interval_ns, &held_back);
    if (due) *ret_failures = held_back + 1;
    return due;
}
