/*
 * label_store.c - labels of a part's pairs, for many rows at once. Where each row has a value
 * of its own, in another order than the rows, taking them one by one would unpack a page of values
 * for each as soon as not all pages fit into the cache.
 */
#include <stdlib.h>

#include "model/labels.h"
#include "tsdb/part/private.h"

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
    buf_init(&s->entries, budget, UINT32_MAX);
    buf_init(&s->fields, budget, UINT32_MAX);
    buf_init(&s->order, budget, UINT32_MAX);
    value_walk_init(&s->values, index->part, budget);
}

void
label_store_fini(struct label_store *s)
{
    mem_free(s->budget, s->slots, s->slot_count * sizeof *s->slots);
    buf_fini(&s->entries);
    buf_fini(&s->fields);
    buf_fini(&s->order);
    value_walk_fini(&s->values);
}

/* Memory that was large for once is given back. */
void
label_store_forget(struct label_store *s)
{
    if (s->fields.capacity > 8 * FIELD_BYTES_MANY) {
        buf_fini(&s->fields);
        buf_init(&s->fields, s->budget, UINT32_MAX);
    }
    buf_clear(&s->entries);
    buf_clear(&s->fields);
    if (s->entry_count > 0) memset(s->slots, 0, s->slot_count * sizeof *s->slots);
    s->entry_count = s->read_count = 0;
}

void
label_store_trim(struct label_store *s)
{
    bool many = s->entry_count > LABELS_MANY || s->fields.size > FIELD_BYTES_MANY;
    if (many || s->read_count < s->entry_count) label_store_forget(s);
}

/* --- the table -------------------------------------------------------------------------------- */

static inline struct label_entry *
entry_at(const struct label_store *s, uint32_t index)
{
    return (struct label_entry *)(void *)s->entries.at + index;
}

static inline uint32_t *
slot_of(const struct label_store *s, uint32_t *slots, uint32_t slot_count, uint32_t pair)
{
    uint32_t at = (pair * UINT32_C(0x9e3779b1) >> 7) & (slot_count - 1);
    while (slots[at] != 0 && entry_at(s, slots[at] - 1)->pair != pair) {
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static enum err
grow(struct label_store *s)
{
    uint32_t count = s->slot_count == 0 ? SLOTS_FIRST : s->slot_count * 2;
    uint32_t *slots = mem_new(s->budget, count * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < s->entry_count; i++) {
        *slot_of(s, slots, count, entry_at(s, i)->pair) = i + 1;
    }
    mem_free(s->budget, s->slots, s->slot_count * sizeof *slots);
    s->slots = slots;
    s->slot_count = count;
    return OK;
}

enum err
label_store_note(struct label_store *s, const uint32_t *pairs, uint32_t count,
                 uint32_t *ret_entries)
{
    for (uint32_t i = 0; i < count; i++) {
        if (s->entry_count >= s->slot_count / 2) {
            enum err e = grow(s);
            if (e) return e;
        }
        uint32_t *slot = slot_of(s, s->slots, s->slot_count, pairs[i]);
        if (*slot == 0) {
            struct label_entry entry = {pairs[i], 0, 0};
            buf_put(&s->entries, &entry, sizeof entry);
            if (buf_error(&s->entries)) return ERR_NOMEM;
            *slot = ++s->entry_count;
        }
        ret_entries[i] = *slot - 1;
    }
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int
by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void
radix_pass(const uint64_t *from, uint64_t *to, uint32_t count, unsigned shift)
{
    uint32_t starts[RADIX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        starts[from[i] >> shift & (RADIX - 1)]++;
    }
    for (uint32_t b = 0, at = 0; b < RADIX; b++) {
        uint32_t size = starts[b];
        starts[b] = at;
        at += size;
    }
    for (uint32_t i = 0; i < count; i++) {
        to[starts[from[i] >> shift & (RADIX - 1)]++] = from[i];
    }
}

/* Pairs that are not there, ascending, each above the number of its entry. NULL: no memory. */
static const uint64_t *
order_missing(struct label_store *s)
{
    uint32_t count = s->entry_count - s->read_count;
    buf_clear(&s->order);
    if (!buf_reserve(&s->order, 2 * (size_t)count * sizeof(uint64_t))) return NULL;
    uint64_t *a = (uint64_t *)(void *)s->order.at, *b = a + count, differ = 0;
    for (uint32_t i = 0; i < count; i++) {
        a[i] = (uint64_t)entry_at(s, s->read_count + i)->pair << 32 | (s->read_count + i);
        differ |= a[i] ^ a[0];
    }
    if (count < RADIX_WORTH) {
        qsort(a, count, sizeof *a, by_number);
        return a;
    }
    for (unsigned shift = 32; shift < 64; shift += RADIX_BITS) {
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        radix_pass(a, b, count, shift);
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

static enum err
read_missing(struct label_store *s, struct why *why)
{
    const struct part_name *name = NULL;
    uint32_t count = s->entry_count - s->read_count;
    const uint64_t *order = order_missing(s);
    if (order == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pair = (uint32_t)(order[i] >> 32);
        if (name == NULL || pair - name->first_pair >= name->pair_count) {
            name = part_name_of_pair(s->index, pair);
            if (name == NULL) return part_damaged(s->index->part, 0, "rows", why);
        }
        enum err e = value_walk_get(&s->values, pair, why);
        if (e) return e;
        struct label_entry *entry = entry_at(s, (uint32_t)order[i]);
        entry->at = (uint32_t)s->fields.size;
        labels_put(&s->fields, (struct label){name->name, buf_bytes(&s->values.value)});
        entry->size = (uint32_t)s->fields.size - entry->at;
        if (buf_error(&s->fields)) return ERR_NOMEM;
    }
    s->read_count = s->entry_count;
    return OK;
}

enum err
label_store_read(struct label_store *s, struct why *why)
{
    enum err e = s->read_count < s->entry_count ? read_missing(s, why) : OK;
    if (e) label_store_forget(s);
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the labels of series") : e;
}

enum err
label_store_put(const struct label_store *s, const uint32_t *entries, uint32_t count,
                struct buf *to, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct label_entry *entry = entry_at(s, entries[i]);
        buf_put(to, s->fields.at + entry->at, entry->size);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "not enough memory for the labels of a series") : OK;
}
