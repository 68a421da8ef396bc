/*
 * label_store.c - labels of a part's pairs, for many rows at once. If each row has a value of its
 * own, in another order than the rows, reading them one by one would unpack a page of values for
 * each as soon as not all pages fit into the cache.
 *
 * Invariants: each pair has one entry, which the table finds. The first read_count entries have
 * their fields, the others are noted.
 */
#include <assert.h>

#include "base/array.h"
#include "model/labels.h"
#include "tsdb/part/walk.h"

enum {
    LABELS_MANY = 1024, /* labels, and bytes of them, that are kept between batches */
    FIELD_BYTES_MANY = 64 * 1024,
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
    table_fini(&s->table, s->budget);
    buf_fini(&s->entries);
    buf_fini(&s->fields);
    buf_fini(&s->order);
    value_walk_fini(&s->values);
}

/* Frees the memory of fields if it was unusually large. */
void
label_store_forget(struct label_store *s)
{
    if (s->fields.capacity > 8 * FIELD_BYTES_MANY) {
        buf_fini(&s->fields);
        buf_init(&s->fields, s->budget, UINT32_MAX);
    }
    buf_clear(&s->entries);
    buf_clear(&s->fields);
    table_clear(&s->table);
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

enum err
label_store_note(struct label_store *s, const uint32_t *pairs, uint32_t count,
                 uint32_t *ret_entries)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t hash = pairs[i] * UINT32_C(0x9e3779b1) >> 7, at = TABLE_START;
        bool found = false;
        while (!found && table_next(&s->table, hash, &at, &ret_entries[i])) {
            found = entry_at(s, ret_entries[i])->pair == pairs[i];
        }
        if (found) continue;
        struct label_entry entry = {pairs[i], 0, 0};
        if (!table_reserve(&s->table, s->budget, 1)) return ERR_NOMEM;
        buf_put(&s->entries, &entry, sizeof entry);
        if (buf_error(&s->entries)) return ERR_NOMEM;
        table_add(&s->table, hash, s->entry_count);
        ret_entries[i] = s->entry_count++;
    }
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The pairs to be read, ascending: the pair in the high half, its entry in the low half. NULL
 * without memory. */
static const uint64_t *
order_missing(struct label_store *s)
{
    uint32_t count = s->entry_count - s->read_count;
    buf_clear(&s->order);
    if (!buf_reserve(&s->order, 2 * (size_t)count * sizeof(uint64_t))) return NULL;
    uint64_t *order = (uint64_t *)(void *)s->order.at;
    for (uint32_t i = 0; i < count; i++) {
        order[i] = (uint64_t)entry_at(s, s->read_count + i)->pair << 32 | (s->read_count + i);
    }
    return radix_sort(order, order + count, count, sizeof *order, 32, RADIX_WORTH);
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
    assert(s->table.count == s->entry_count);
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
    assert(s->read_count == s->entry_count);
    for (uint32_t i = 0; i < count; i++) {
        assert(entries[i] < s->read_count);
        const struct label_entry *entry = entry_at(s, entries[i]);
        buf_put(to, s->fields.at + entry->at, entry->size);
    }
    enum err e = buf_error(to);
    return e ? why_set(why, e, "not enough memory for the labels of a series") : OK;
}
