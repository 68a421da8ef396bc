/*
 * labels.c - reads the labels of a part: names and values.
 */
#include "base/array.h"
#include "tsdb/part/walk.h"

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
        while (e == OK && w->next_pair < pair) {
            e = value_step(w, why);
        }
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
