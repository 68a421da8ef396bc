/*
 * part_label_store.c - labels of a part's pairs, for many rows at once. Where each row has a value
 * of its own, in another order than the rows, taking them one by one would unpack a page of values
 * for each as soon as not all pages fit into the cache.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "model/labels.h"
#include "tsdb/part_private.h"

enum {
    SLOTS_FIRST = 256,
    LABELS_MANY = 1024, /* what is kept between batches, about; and bytes of it */
    FIELD_BYTES_MANY = 64 * 1024,
    RADIX_BITS = 11,
    RADIX = 1 << RADIX_BITS,
    RADIX_WORTH = 512,
};

void
label_store_init(struct label_store *s, const struct part_index *index, struct budget *budget)
{
    *s = (struct label_store){.index = index, .budget = budget};
    buf_init(&s->fields, budget, UINT32_MAX);
    buf_init(&s->missing, budget, UINT32_MAX);
    value_walk_init(&s->values, index->part, budget);
}

void
label_store_fini(struct label_store *s)
{
    mem_free(s->budget, s->slots, s->capacity * sizeof *s->slots);
    buf_fini(&s->fields);
    buf_fini(&s->missing);
    value_walk_fini(&s->values);
}

/* Memory that was large for once is given back. */
static void
forget_all(struct label_store *s)
{
    if (s->fields.capacity > 8 * FIELD_BYTES_MANY) {
        buf_fini(&s->fields);
        buf_init(&s->fields, s->budget, UINT32_MAX);
    }
    buf_clear(&s->fields);
    buf_clear(&s->missing);
    if (s->count > 0) memset(s->slots, 0, s->capacity * sizeof *s->slots);
    s->count = 0;
}

void
label_store_trim(struct label_store *s)
{
    if (s->count > LABELS_MANY || s->fields.size > FIELD_BYTES_MANY) forget_all(s);
}

/* --- the table -------------------------------------------------------------------------------- */

static inline struct label_slot *
slot_of(struct label_slot *slots, uint32_t capacity, uint32_t pair)
{
    uint32_t at = (pair * UINT32_C(0x9e3779b1) >> 7) & (capacity - 1);
    while (slots[at].pair_plus_1 != 0 && slots[at].pair_plus_1 != pair + 1) {
        at = (at + 1) & (capacity - 1);
    }
    return &slots[at];
}

static enum err
grow(struct label_store *s)
{
    uint32_t capacity = s->capacity == 0 ? SLOTS_FIRST : s->capacity * 2;
    struct label_slot *slots = mem_new(s->budget, capacity * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->capacity; i++) {
        if (s->slots[i].pair_plus_1 == 0) continue;
        *slot_of(slots, capacity, s->slots[i].pair_plus_1 - 1) = s->slots[i];
    }
    mem_free(s->budget, s->slots, s->capacity * sizeof *slots);
    s->slots = slots;
    s->capacity = capacity;
    return OK;
}

static enum err
note_missing(struct label_store *s, const uint32_t *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (s->count >= s->capacity / 2) {
            enum err e = grow(s);
            if (e) return e;
        }
        struct label_slot *slot = slot_of(s->slots, s->capacity, pairs[i]);
        if (slot->pair_plus_1 != 0) continue;
        *slot = (struct label_slot){pairs[i] + 1, 0, 0};
        s->count++;
        buf_put_le32(&s->missing, pairs[i]);
    }
    return buf_error(&s->missing);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void
radix_pass(const uint32_t *from, uint32_t *to, size_t count, unsigned shift)
{
    uint32_t starts[RADIX] = {0};
    for (size_t i = 0; i < count; i++) {
        starts[from[i] >> shift & (RADIX - 1)]++;
    }
    for (uint32_t b = 0, at = 0; b < RADIX; b++) {
        uint32_t size = starts[b];
        starts[b] = at;
        at += size;
    }
    for (size_t i = 0; i < count; i++) {
        to[starts[from[i] >> shift & (RADIX - 1)]++] = from[i];
    }
}

static enum err
sort_missing(struct label_store *s)
{
    uint32_t *a = (uint32_t *)(void *)s->missing.at;
    size_t count = s->missing.size / sizeof *a;
    if (count < RADIX_WORTH) {
        if (count > 1) qsort(a, count, sizeof *a, by_number);
        return OK;
    }
    if (!buf_reserve(&s->missing, s->missing.size)) return buf_error(&s->missing);
    a = (uint32_t *)(void *)s->missing.at;
    uint32_t *b = a + count, differ = 0;
    for (size_t i = 1; i < count; i++) {
        differ |= a[i] ^ a[0];
    }
    for (unsigned shift = 0; shift < 32; shift += RADIX_BITS) {
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        radix_pass(a, b, count, shift);
        uint32_t *swap = a;
        a = b;
        b = swap;
    }
    if ((uint8_t *)a != s->missing.at) memcpy(s->missing.at, a, count * sizeof *a);
    return OK;
}

static enum err
read_missing(struct label_store *s, struct why *why)
{
    const struct part_name *name = NULL;
    enum err e = sort_missing(s);
    for (size_t i = 0; i < s->missing.size && e == OK; i += 4) {
        uint32_t pair = load_le32(s->missing.at + i);
        if (name == NULL || pair - name->first_pair >= name->pair_count) {
            name = part_name_of_pair(s->index, pair);
            if (name == NULL) return part_damaged(s->index->part, 0, "rows", why);
        }
        e = value_walk_get(&s->values, pair, why);
        if (e) break;
        struct label_slot *slot = slot_of(s->slots, s->capacity, pair);
        slot->at = (uint32_t)s->fields.size;
        labels_put(&s->fields, (struct label){name->name, buf_bytes(&s->values.value)});
        slot->size = (uint32_t)s->fields.size - slot->at;
        e = buf_error(&s->fields);
    }
    buf_clear(&s->missing);
    return e;
}

enum err
label_store_get(struct label_store *s, const uint32_t *pairs, size_t count, struct why *why)
{
    enum err e = note_missing(s, pairs, count);
    if (e == OK && s->missing.size > 0) e = read_missing(s, why);
    if (e) forget_all(s);
    if (e == ERR_LIMIT) e = ERR_NOMEM;
    return e == ERR_NOMEM ? why_set(why, e, "no memory for the labels of series") : e;
}

enum err
label_store_put(const struct label_store *s, const uint32_t *pairs, size_t count, struct buf *to,
                struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        const struct label_slot *slot = slot_of(s->slots, s->capacity, pairs[i]);
        buf_put(to, s->fields.at + slot->at, slot->size);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "no memory for the labels of a series") : OK;
}
