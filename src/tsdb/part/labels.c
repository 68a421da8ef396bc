/*
 * labels.c - reads the labels of a part: names and values, one by one or for many rows at once.
 */
#include "model/labels.h"
#include "base/array.h"
#include "tsdb/part/walk.h"

#include <assert.h>

/* --- labels for many rows --------------------------------------------------------------------- */

/*
 * Labels of a part's pairs. If each row has a value of its
 * own, in another order than the rows, reading them one by one would unpack a page of values for
 * each as soon as not all pages fit into the cache.
 *
 * Invariants: each pair has one entry, which the table finds. The first read_count entries have
 * their fields, the others are noted.
 */

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

/* --- their table ------------------------------------------------------------------------------ */

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
        while (!found && table_next(&s->table, hash, &at, &ret_entries[i]))
            found = entry_at(s, ret_entries[i])->pair == pairs[i];
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

/* --- reading them ----------------------------------------------------------------------------- */

static enum err
read_missing(struct label_store *s, struct why *why)
{
    const struct part_name *name = NULL;
    uint32_t count = s->entry_count - s->read_count;
    /* The pairs to be read, ascending: the pair in the high half, its entry in the low half. */
    buf_clear(&s->order);
    if (!buf_reserve(&s->order, 2 * (size_t)count * sizeof(uint64_t))) return ERR_NOMEM;
    uint64_t *room = (uint64_t *)(void *)s->order.at;
    for (uint32_t i = 0; i < count; i++)
        room[i] = (uint64_t)entry_at(s, s->read_count + i)->pair << 32 | (s->read_count + i);
    const uint64_t *order = radix_sort(room, room + count, count, sizeof *room, 32, RADIX_WORTH);
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

/* --- names and label values ------------------------------------------------------------------- */

static enum err
read_names(struct part_index *index, struct cursor *c, struct arena *arena)
{
    uint64_t count = cursor_varint(c);
    if (c->bad || count > cursor_left(c) / 2) return ERR_CORRUPT;
    index->names = arena_alloc(arena, (count + 1) * sizeof *index->names);
    if (index->names == NULL) return ERR_NOMEM;
    uint64_t pair = index->tenant->first_pair, end = pair + index->tenant->pair_count;
    for (uint64_t i = 0; i < count; i++) {
        struct bytes name = cursor_counted(c);
        uint64_t pairs = cursor_varint(c);
        if (c->bad || pairs == 0 || pairs > end - pair) return ERR_CORRUPT;
        struct part_name *n = &index->names[i];
        *n = (struct part_name){arena_copy(arena, name), (uint32_t)pair, (uint32_t)pairs};
        if (n->name.at == NULL) return ERR_NOMEM;
        if (i > 0 && bytes_compare(n[-1].name, n->name) >= 0) return ERR_CORRUPT;
        pair += pairs;
    }
    index->name_count = (uint32_t)count;
    return pair == end ? OK : ERR_CORRUPT;
}

enum err
part_index_load(struct part *part, const struct part_tenant *tenant, struct arena *arena,
                struct part_index *ret_index, struct why *why)
{
    const struct page *page;
    struct part_index index = {.part = part, .tenant = tenant};
    enum err e = page_get(&part->source, tenant->names_page, PAGE_NAMES, &page, why);
    if (e) return e;
    struct cursor c = {page->at, page->at + page->size, false};
    (void)cursor_bytes(&c, tenant->names_at);
    e = read_names(&index, &c, arena);
    page_release(&part->source, page);
    if (e == ERR_CORRUPT) return part_damaged(part, tenant->names_page, "label names", why);
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for the label names of a part");
    if (e == OK) *ret_index = index;
    return e;
}

const struct part_name *
part_find_name(const struct part_index *index, struct bytes name)
{
    uint32_t at =
        search_first(i, 0u, index->name_count, bytes_compare(index->names[i].name, name) >= 0);
    bool found = at < index->name_count && bytes_equal(index->names[at].name, name);
    return found ? &index->names[at] : NULL;
}

const struct part_name *
part_name_of_pair(const struct part_index *index, uint32_t pair)
{
    uint32_t at = search_first(i, 0u, index->name_count, pair < index->names[i].first_pair);
    const struct part_name *n = at == 0 ? NULL : &index->names[at - 1];
    return n != NULL && pair - n->first_pair < n->pair_count ? n : NULL;
}

void
value_walk_init(struct value_walk *w, struct part *part, struct budget *budget)
{
    *w = (struct value_walk){.part = part};
    buf_init(&w->value, budget, PAGE_BYTES_MAX);
}

void
value_walk_fini(struct value_walk *w)
{
    page_release(&w->part->source, w->page);
    buf_fini(&w->value);
}

static enum err
value_step(struct value_walk *w, struct why *why)
{
    uint64_t shared = cursor_varint(&w->c);
    struct bytes rest = cursor_counted(&w->c);
    if (w->c.bad || shared > w->value.size)
        return part_damaged(w->part, w->offset, "label values", why);
    w->value.size = shared;
    buf_put_bytes(&w->value, rest);
    w->next_pair++;
    if (buf_error(&w->value))
        return why_set(why, buf_error(&w->value), "not enough memory for a label");
    return OK;
}

/* Gets the page with a pair, and finds its restarts, which are at the end. */
static enum err
value_page(struct value_walk *w, uint32_t pair, struct why *why)
{
    struct part *p = w->part;
    if (w->page == NULL || pair < w->page_first || pair >= w->page_end) {
        page_release(&p->source, w->page);
        w->page = NULL;
        enum err e =
            part_directory_find(p, &p->values, pair, &w->offset, &w->page_first, &w->page_end, why);
        if (e == OK) e = page_get(&p->source, w->offset, PAGE_LABEL_VALUES, &w->page, why);
        if (e) return e;
        w->next_pair = UINT32_MAX; /* no position in the page */
    }
    uint32_t size = w->page->size;
    uint32_t restarts = size < 4 ? UINT32_MAX : load_le32(w->page->at + size - 4);
    if (restarts > (size - 4) / 4) return part_damaged(p, w->offset, "label values", why);
    w->restart_count = restarts;
    w->items_end = size - 4 - 4 * restarts;
    return OK;
}

/* Moves before the value of restart number `restart`. */
static enum err
value_restart(struct value_walk *w, uint32_t restart, struct why *why)
{
    if (restart >= w->restart_count) return part_damaged(w->part, w->offset, "label values", why);
    uint32_t at = load_le32(w->page->at + w->items_end + 4 * restart);
    if (at > w->items_end) return part_damaged(w->part, w->offset, "label values", why);
    w->c = (struct cursor){w->page->at + at, w->page->at + w->items_end, false};
    w->next_pair = w->page_first + restart * LABEL_RESTART;
    buf_clear(&w->value);
    return OK;
}

static void
value_forget(struct value_walk *w)
{
    page_release(&w->part->source, w->page);
    w->page = NULL;
}

enum err
value_walk_get(struct value_walk *w, uint32_t pair, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair != w->next_pair || pair >= w->page_end) {
        /* Enters the page at the last restart up to `pair`, and moves before `pair`. */
        e = value_page(w, pair, why);
        if (e == OK) e = value_restart(w, (pair - w->page_first) / LABEL_RESTART, why);
        while (e == OK && w->next_pair < pair)
            e = value_step(w, why);
    }
    if (e == OK) e = value_step(w, why);
    if (e) value_forget(w); /* the position is lost */
    return e;
}

enum err
value_walk_near(struct value_walk *w, uint32_t *pair, uint32_t end, struct bytes value,
                struct why *why)
{
    enum err e = value_page(w, *pair, why);
    if (e == OK && end > w->page_end) end = w->page_end;
    /* Restarts of the name after *pair, in this page. */
    uint32_t low = e ? 0 : (*pair - w->page_first) / LABEL_RESTART + 1;
    uint32_t high = e ? 0 : (end - 1 - w->page_first) / LABEL_RESTART + 1;
    while (e == OK && low < high) {
        uint32_t middle = low + (high - low) / 2;
        e = value_restart(w, middle, why);
        if (e == OK) e = value_step(w, why);
        if (e) break;
        if (bytes_compare(buf_bytes(&w->value), value) <= 0) {
            *pair = w->page_first + middle * LABEL_RESTART;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (e) value_forget(w);
    return e;
}

enum err
part_values(const struct part_index *index, struct bytes name,
            enum err (*each)(void *context, struct bytes value), void *context, struct why *why)
{
    const struct part_name *n = part_find_name(index, name);
    struct value_walk w;
    enum err e = OK;
    value_walk_init(&w, index->part, index->part->budget);
    for (uint32_t i = 0; n != NULL && i < n->pair_count && e == OK; i++) {
        e = value_walk_get(&w, n->first_pair + i, why);
        if (e == OK) e = each(context, buf_bytes(&w.value));
    }
    value_walk_fini(&w);
    return e == ERR_CANCELED ? OK : e;
}
