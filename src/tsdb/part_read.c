/*
 * part_read.c - opens parts and answers from them page by page. Every number read is checked before
 * it is used: a damaged page is an error that names it, never a crash.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "model/labels.h"
#include "tsdb/codec_histogram.h"
#include "tsdb/part.h"
#include "tsdb/part_format.h"

/*
 * Which page a number lies in: the directory of one kind of page. Unpacked when first asked for;
 * two threads may do so at once, and one of them wins.
 */
struct directory_table {
    uint32_t count;
    uint64_t *offsets;
    uint32_t *numbers; /* the first in each page, ascending */
};

struct directory {
    uint64_t page;                         /* 0: there is nothing of this kind */
    struct directory_table *_Atomic table; /* release, pairs with acquire in directory_table() */
};

struct part {
    struct budget *budget;
    _Atomic uint32_t references; /* acquire-release: the last one closes */
    struct part_info info;
    struct page_source source;
    struct arena arena; /* what is unpacked at opening: tenants */
    struct part_tenant *tenants;
    uint32_t tenant_count;
    struct directory rows;
    struct directory values;
    struct directory postings;
    struct directory exemplars;
};

/* `offset` 0: not a page. */
static enum err
damaged(const struct part *p, uint64_t offset, const char *what, struct why *why)
{
    if (offset == 0)
        return why_set(why, ERR_CORRUPT, "%s: %s is damaged", p->source.file.path, what);
    return why_set(why, ERR_CORRUPT, "%s: page at %" PRIu64 " is damaged: as %s it makes no sense",
                   p->source.file.path, offset, what);
}

/* --- directories --------------------------------------------------------------------------------
 */

static size_t
table_bytes(uint32_t count)
{
    return sizeof(struct directory_table) + (size_t)count * (sizeof(uint64_t) + sizeof(uint32_t));
}

static void
directory_fini(struct part *p, struct directory *d)
{
    struct directory_table *t = atomic_load_explicit(&d->table, memory_order_relaxed);
    if (t != NULL) mem_free(p->budget, t, table_bytes(t->count));
}

static bool
table_fill(const struct part *p, struct cursor *c, struct directory_table *t)
{
    uint64_t number = 0, offset = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t step = cursor_varint(c), more = cursor_varint(c);
        number += step;
        offset += more;
        if (c->bad || step > UINT32_MAX || number >= UINT32_MAX || more == 0 ||
            more > p->source.file_bytes || offset > p->source.file_bytes) {
            return false;
        }
        t->numbers[i] = (uint32_t)number;
        t->offsets[i] = offset;
    }
    return c->at == c->end;
}

static enum err
table_load(struct part *p, uint64_t at, struct directory_table **ret_table, struct why *why)
{
    const struct page *page;
    enum err e = page_get(&p->source, at, PAGE_DIRECTORY, &page, why);
    if (e) return e;
    struct cursor c = {page->at, page->at + page->size, false};
    uint64_t count = cursor_varint(&c);
    struct directory_table *t = NULL;
    if (c.bad || count == 0 || count > cursor_left(&c) / 2) {
        e = ERR_CORRUPT;
    } else {
        t = mem_alloc(p->budget, table_bytes((uint32_t)count));
        e = t == NULL ? why_set(why, ERR_NOMEM, "no memory for a directory of a part") : OK;
    }
    if (e == OK) {
        t->count = (uint32_t)count;
        t->offsets = (uint64_t *)(t + 1);
        t->numbers = (uint32_t *)(t->offsets + count);
        if (!table_fill(p, &c, t)) e = ERR_CORRUPT;
    }
    page_release(&p->source, page);
    if (e && t != NULL) mem_free(p->budget, t, table_bytes(t->count));
    if (e == ERR_CORRUPT) return damaged(p, at, "a directory", why);
    if (e == OK) *ret_table = t;
    return e;
}

static enum err
directory_table(struct part *p, struct directory *d, const struct directory_table **ret_table,
                struct why *why)
{
    struct directory_table *t = atomic_load_explicit(&d->table, memory_order_acquire);
    if (t == NULL) {
        struct directory_table *first = NULL;
        if (d->page == 0) return damaged(p, 0, "its root", why);
        enum err e = table_load(p, d->page, &t, why);
        if (e) return e;
        if (!atomic_compare_exchange_strong_explicit(&d->table, &first, t, memory_order_acq_rel,
                                                     memory_order_acquire)) {
            mem_free(p->budget, t, table_bytes(t->count));
            t = first;
        }
    }
    *ret_table = t;
    return OK;
}

/* How many pages begin at or before `number`. */
static uint32_t
pages_until(const struct directory_table *t, uint64_t number)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->numbers[middle] <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the page with a number is, and which numbers lie in it. */
static enum err
directory_find(struct part *p, struct directory *d, uint32_t number, uint64_t *ret_offset,
               uint32_t *ret_first, uint32_t *ret_next, struct why *why)
{
    const struct directory_table *t;
    enum err e = directory_table(p, d, &t, why);
    if (e) return e;
    uint32_t at = pages_until(t, number);
    if (at == 0) return damaged(p, d->page, "a directory", why);
    *ret_offset = t->offsets[at - 1];
    *ret_first = t->numbers[at - 1];
    *ret_next = at < t->count ? t->numbers[at] : UINT32_MAX;
    return OK;
}

/* --- opening
 * ---------------------------------------------------------------------------------------- */

static enum err
end_check(const struct part *p, const uint8_t *end, const char *magic, struct why *why)
{
    if (memcmp(end, magic, 8) != 0 || load_le64(end + 16) != p->info.number ||
        load_le64(end + 56) != hash_bytes(bytes_of(end, 56), p->info.number)) {
        return damaged(p, 0, "its header or footer", why);
    }
    unsigned version = load_le16(end + 8), min_reader = load_le16(end + 10);
    if (min_reader <= PART_VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s: part format version %u (readable from version %u on) is newer than version "
                   "%d, which this program knows",
                   p->source.file.path, version, min_reader, PART_VERSION);
}

static enum err
read_tenant(struct part *p, struct cursor *c, struct part_tenant *t, uint64_t *series,
            uint64_t *pairs)
{
    struct bytes name = cursor_counted(c);
    uint64_t series_count = cursor_varint(c), pair_count = cursor_varint(c);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        t->sample_count[k] = cursor_varint(c);
    }
    t->names_page = cursor_varint(c);
    uint64_t names_at = cursor_varint(c);
    t->metadata_page = cursor_varint(c);
    uint64_t metadata_at = cursor_varint(c);
    t->names_at = (uint32_t)names_at;
    t->metadata_at = (uint32_t)metadata_at;
    if (c->bad || names_at > PAGE_BYTES_MAX || metadata_at > PAGE_BYTES_MAX ||
        series_count > UINT32_MAX - *series || pair_count > UINT32_MAX - *pairs) {
        return ERR_CORRUPT;
    }
    t->first_series = (uint32_t)*series;
    t->series_count = (uint32_t)series_count;
    t->first_pair = (uint32_t)*pairs;
    t->pair_count = (uint32_t)pair_count;
    *series += series_count;
    *pairs += pair_count;
    t->name = arena_copy(&p->arena, name);
    return t->name.at == NULL ? ERR_NOMEM : OK;
}

enum { TENANT_BYTES_MIN = 11 }; /* a byte for each field of a tenant in the root */

static enum err
read_tenants(struct part *p, struct cursor *c)
{
    uint64_t count = cursor_varint(c), series = 0, pairs = 0;
    if (c->bad || count > cursor_left(c) / TENANT_BYTES_MIN) return ERR_CORRUPT;
    p->tenants = arena_new(&p->arena, (count + 1) * sizeof *p->tenants);
    if (p->tenants == NULL) return ERR_NOMEM;
    p->tenant_count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        enum err e = read_tenant(p, c, &p->tenants[i], &series, &pairs);
        if (e) return e;
        if (i > 0 && bytes_compare(p->tenants[i - 1].name, p->tenants[i].name) >= 0) {
            return ERR_CORRUPT;
        }
    }
    return series == p->info.series_count && pairs == p->info.pair_count ? OK : ERR_CORRUPT;
}

static enum err
read_root(struct part *p, uint64_t offset, struct why *why)
{
    const struct page *page;
    enum err e = page_get(&p->source, offset, PAGE_ROOT, &page, why);
    if (e) return e;
    struct cursor c = {page->at, page->at + page->size, false};
    struct part_info *i = &p->info;
    i->from_pos = cursor_le64(&c);
    i->to_pos = cursor_le64(&c);
    i->min_ms = cursor_zigzag(&c);
    i->max_ms = cursor_zigzag(&c);
    i->series_count = cursor_varint(&c);
    i->pair_count = cursor_varint(&c);
    i->block_count = cursor_varint(&c);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        i->sample_count[k] = cursor_varint(&c);
    }
    p->rows.page = cursor_varint(&c);
    p->values.page = cursor_varint(&c);
    p->postings.page = cursor_varint(&c);
    p->exemplars.page = cursor_varint(&c);
    e = c.bad ? ERR_CORRUPT : read_tenants(p, &c);
    if (e == OK && (c.bad || c.at != c.end)) e = ERR_CORRUPT;
    page_release(&p->source, page);
    if (e == ERR_NOMEM) return why_set(why, e, "no memory to open a part");
    return e == ERR_CORRUPT ? damaged(p, offset, "a root", why) : e;
}

static enum err
part_open_file(struct part *p, struct env *env, const char *parts_dir, struct why *why)
{
    char dir[256], path[256];
    uint8_t end[PART_END_BYTES];
    struct page_source *s = &p->source;
    enum err e = part_path(dir, sizeof dir, parts_dir, p->info.number);
    if (e == OK) e = path_join(path, sizeof path, dir, "part");
    if (e == OK) e = file_open(env, path, FILE_READ, &s->file, why);
    if (e == OK) e = file_size(&s->file, &s->file_bytes, why);
    if (e) return e;
    if (s->file_bytes < 2 * PART_END_BYTES) return damaged(p, 0, "its length", why);
    p->info.file_bytes = s->file_bytes;
    e = file_read_at(&s->file, end, sizeof end, 0, why);
    if (e == OK) e = end_check(p, end, PART_HEADER_MAGIC, why);
    if (e == OK) e = file_read_at(&s->file, end, sizeof end, s->file_bytes - sizeof end, why);
    if (e == OK) e = end_check(p, end, PART_FOOTER_MAGIC, why);
    if (e) return e;
    if (load_le64(end + 32) != s->file_bytes) return damaged(p, 0, "its length", why);
    return read_root(p, load_le64(end + 24), why);
}

enum err
part_open(struct env *env, struct budget *budget, struct page_cache *cache, const char *parts_dir,
          uint64_t number, struct part **ret_part, struct why *why)
{
    struct part *p = mem_new(budget, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "no memory to open a part");
    p->budget = budget;
    p->info.number = number;
    p->source = (struct page_source){
        .cache = cache,
        .cache_id = page_cache_new_id(cache),
        .part_number = number,
        .file = FILE_CLOSED,
    };
    atomic_init(&p->references, 1);
    arena_init(&p->arena, budget, 0, 1024);
    enum err e = part_open_file(p, env, parts_dir, why);
    if (e) {
        part_unref(p);
        return e;
    }
    *ret_part = p;
    return OK;
}

void
part_ref(struct part *part)
{
    atomic_fetch_add_explicit(&part->references, 1, memory_order_relaxed);
}

void
part_unref(struct part *p)
{
    if (p == NULL) return;
    if (atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1) return;
    directory_fini(p, &p->rows);
    directory_fini(p, &p->values);
    directory_fini(p, &p->postings);
    directory_fini(p, &p->exemplars);
    page_cache_forget(p->source.cache, p->source.cache_id);
    file_close(&p->source.file);
    arena_fini(&p->arena);
    mem_free(p->budget, p, sizeof *p);
}

const struct part_info *
part_info(const struct part *part)
{
    return &part->info;
}

uint32_t
part_tenant_count(const struct part *part)
{
    return part->tenant_count;
}

const struct part_tenant *
part_tenant_at(const struct part *part, uint32_t index)
{
    return &part->tenants[index];
}

const struct part_tenant *
part_tenant(const struct part *part, struct bytes name)
{
    uint32_t low = 0, high = part->tenant_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = bytes_compare(part->tenants[middle].name, name);
        if (order == 0) return &part->tenants[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* --- names and label values
 * --------------------------------------------------------------------------------- */

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
    if (e == ERR_CORRUPT) return damaged(part, tenant->names_page, "label names", why);
    if (e == ERR_NOMEM) why_set(why, e, "no memory for the label names of a part");
    if (e == OK) *ret_index = index;
    return e;
}

static const struct part_name *
find_name(const struct part_index *index, struct bytes name)
{
    uint32_t low = 0, high = index->name_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = bytes_compare(index->names[middle].name, name);
        if (order == 0) return &index->names[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct part_name *
name_of_pair(const struct part_index *index, uint32_t pair)
{
    uint32_t low = 0, high = index->name_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct part_name *n = &index->names[middle];
        if (pair < n->first_pair)
            high = middle;
        else if (pair - n->first_pair >= n->pair_count)
            low = middle + 1;
        else
            return n;
    }
    return NULL;
}

/* Walks label values in pair order, from any pair on. */
struct value_walk {
    struct part *part;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_end; /* first pair of the next page */
    struct buf value;
};

static void
value_walk_init(struct value_walk *w, struct part *part, struct budget *budget)
{
    *w = (struct value_walk){.part = part};
    buf_init(&w->value, budget, PAGE_BYTES_MAX);
}

static void
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
    if (w->c.bad || shared > w->value.size) return damaged(w->part, w->offset, "label values", why);
    w->value.size = shared;
    buf_put_bytes(&w->value, rest);
    w->next_pair++;
    if (buf_error(&w->value)) return why_set(why, buf_error(&w->value), "no memory for a label");
    return OK;
}

/* Stands at `pair`, having entered its page at the restart before it. */
static enum err
value_enter(struct value_walk *w, uint32_t pair, struct why *why)
{
    uint32_t first;
    struct part *p = w->part;
    page_release(&p->source, w->page);
    w->page = NULL;
    enum err e = directory_find(p, &p->values, pair, &w->offset, &first, &w->page_end, why);
    if (e == OK) e = page_get(&p->source, w->offset, PAGE_LABEL_VALUES, &w->page, why);
    if (e) return e;
    uint32_t size = w->page->size;
    uint32_t restarts = size < 4 ? UINT32_MAX : load_le32(w->page->at + size - 4);
    if (restarts > (size - 4) / 4) return damaged(p, w->offset, "label values", why);
    uint32_t items_end = size - 4 - 4 * restarts;
    uint32_t restart = (pair - first) / LABEL_RESTART;
    if (restart >= restarts) return damaged(p, w->offset, "label values", why);
    uint32_t at = load_le32(w->page->at + items_end + 4 * restart);
    if (at > items_end) return damaged(p, w->offset, "label values", why);
    w->c = (struct cursor){w->page->at + at, w->page->at + items_end, false};
    w->next_pair = first + restart * LABEL_RESTART;
    buf_clear(&w->value);
    while (w->next_pair < pair) {
        e = value_step(w, why);
        if (e) return e;
    }
    return OK;
}

/* The value of `pair` in w->value. Steps on if it is the next one. */
static enum err
value_get(struct value_walk *w, uint32_t pair, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair != w->next_pair || pair >= w->page_end) {
        e = value_enter(w, pair, why);
    }
    if (e == OK) e = value_step(w, why);
    if (e) { /* nothing is known of the next value */
        page_release(&w->part->source, w->page);
        w->page = NULL;
    }
    return e;
}

/* --- postings
 * --------------------------------------------------------------------------------------------------
 */

struct postings_walk {
    struct part *part;
    const struct part_tenant *tenant;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_pair;
    uint32_t page_end;
};

/* The next list: read, or skipped if `into` is NULL. */
static enum err
postings_list(struct postings_walk *w, roaring_bitmap_t *into, struct why *why)
{
    enum { BATCH = 256 };
    uint32_t batch[BATCH], waiting = 0;
    uint64_t count = cursor_varint(&w->c), number = 0;
    if (count > cursor_left(&w->c)) cursor_fail(&w->c);
    for (uint64_t i = 0; i < count && !w->c.bad; i++) {
        uint64_t step = cursor_varint(&w->c);
        if (step >= w->tenant->series_count - number) {
            cursor_fail(&w->c);
            break;
        }
        number += step;
        if (into == NULL) continue;
        batch[waiting++] = w->tenant->first_series + (uint32_t)number;
        if (waiting < BATCH) continue;
        roaring_bitmap_add_many(into, waiting, batch);
        waiting = 0;
    }
    if (waiting > 0) roaring_bitmap_add_many(into, waiting, batch);
    w->next_pair++;
    return w->c.bad ? damaged(w->part, w->offset, "postings", why) : OK;
}

static enum err
postings_enter(struct postings_walk *w, uint32_t pair, struct why *why)
{
    struct part *p = w->part;
    page_release(&p->source, w->page);
    w->page = NULL;
    enum err e =
        directory_find(p, &p->postings, pair, &w->offset, &w->next_pair, &w->page_end, why);
    if (e == OK) e = page_get(&p->source, w->offset, PAGE_POSTINGS, &w->page, why);
    if (e) return e;
    w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
    return OK;
}

static enum err
postings_add(struct postings_walk *w, uint32_t pair, roaring_bitmap_t *into, struct why *why)
{
    enum err e = OK;
    if (w->page == NULL || pair < w->next_pair || pair >= w->page_end) {
        e = postings_enter(w, pair, why);
    }
    while (e == OK && w->next_pair < pair) {
        e = postings_list(w, NULL, why);
    }
    return e ? e : postings_list(w, into, why);
}

/* --- matching
 * ----------------------------------------------------------------------------------------------------
 */

struct match {
    const struct part_index *index;
    struct value_walk values;
    struct postings_walk postings;
};

/* The first pair of a name whose value is not before `value`; *ret_equal: it is that value. */
static enum err
find_value(struct match *m, const struct part_name *name, struct bytes value, uint32_t *ret_pair,
           bool *ret_equal, struct why *why)
{
    uint32_t low = name->first_pair, high = name->first_pair + name->pair_count;
    *ret_equal = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        enum err e = value_get(&m->values, middle, why);
        if (e) return e;
        int order = bytes_compare(buf_bytes(&m->values.value), value);
        if (order == 0) *ret_equal = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_pair = low;
    return OK;
}

static bool
begins_with(struct bytes text, struct bytes prefix)
{
    return text.size >= prefix.size && bytes_equal(bytes_of(text.at, prefix.size), prefix);
}

/* Adds the series of all values of `name`, among those with `prefix`, for which matching gives
 * `want`. */
static enum err
collect_scan(struct match *m, const struct part_name *name, const struct matcher *matcher,
             struct bytes prefix, bool want, roaring_bitmap_t *into, struct why *why)
{
    uint32_t pair = name->first_pair, end = name->first_pair + name->pair_count;
    bool equal;
    enum err e = prefix.size == 0 ? OK : find_value(m, name, prefix, &pair, &equal, why);
    for (; e == OK && pair < end; pair++) {
        e = value_get(&m->values, pair, why);
        if (e) break;
        struct bytes value = buf_bytes(&m->values.value);
        if (!begins_with(value, prefix)) break;
        if (matcher_matches(matcher, value) != want) continue;
        e = postings_add(&m->postings, pair, into, why);
    }
    return e;
}

/* The same by look-ups, where the matcher's set of values is known. */
static enum err
collect_literals(struct match *m, const struct part_name *name, const struct bytes *values,
                 uint32_t count, roaring_bitmap_t *into, struct why *why)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pair;
        bool equal;
        enum err e = find_value(m, name, values[i], &pair, &equal, why);
        if (e == OK && equal) e = postings_add(&m->postings, pair, into, why);
        if (e) return e;
    }
    return OK;
}

/*
 * A matcher that passes the empty string excludes the series with a value it does not pass; any
 * other selects the series with a value it passes. Known values and prefixes are those of the
 * positive form: what a positive matcher selects, and a negative one excludes.
 */
static bool
uses_positive_form(const struct matcher *matcher)
{
    enum matcher_type type = matcher_type(matcher);
    bool negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    return negative == matcher_matches_empty(matcher);
}

/* By a few look-ups, without running over all values. */
static bool
is_cheap(const struct match *m, const struct matcher *matcher)
{
    const struct bytes *values;
    return find_name(m->index, matcher_name(matcher)) == NULL ||
           (uses_positive_form(matcher) && matcher_literals(matcher, &values) > 0);
}

static enum err
match_one(struct match *m, const struct matcher *matcher, roaring_bitmap_t *result, struct why *why)
{
    const struct part_name *name = find_name(m->index, matcher_name(matcher));
    bool excludes = matcher_matches_empty(matcher), positive = uses_positive_form(matcher);
    roaring_bitmap_t *set = roaring_bitmap_create();
    if (set == NULL) return why_set(why, ERR_NOMEM, "no memory to match series");
    enum err e = OK;
    if (name != NULL) {
        const struct bytes *values;
        uint32_t count = matcher_literals(matcher, &values);
        struct bytes prefix = positive ? matcher_prefix(matcher) : (struct bytes){NULL, 0};
        e = positive && count > 0 ? collect_literals(m, name, values, count, set, why)
                                  : collect_scan(m, name, matcher, prefix, !excludes, set, why);
    }
    if (e == OK && excludes) roaring_bitmap_andnot_inplace(result, set);
    if (e == OK && !excludes) roaring_bitmap_and_inplace(result, set);
    roaring_bitmap_free(set);
    return e;
}

enum err
part_match(const struct part_index *index, struct matcher *const *matchers, uint32_t matcher_count,
           roaring_bitmap_t **ret_series, struct why *why)
{
    struct match m = {.index = index};
    value_walk_init(&m.values, index->part, index->part->budget);
    m.postings = (struct postings_walk){.part = index->part, .tenant = index->tenant};
    uint64_t first = index->tenant->first_series;
    roaring_bitmap_t *result =
        index->tenant->series_count == 0
            ? roaring_bitmap_create()
            : roaring_bitmap_from_range(first, first + index->tenant->series_count, 1);
    enum err e = result == NULL ? why_set(why, ERR_NOMEM, "no memory to match series") : OK;
    for (uint32_t i = 0; i < 2 * matcher_count && e == OK; i++) {
        const struct matcher *matcher = matchers[i % matcher_count];
        if (is_cheap(&m, matcher) != (i < matcher_count)) continue;
        e = match_one(&m, matcher, result, why);
        if (e == OK && roaring_bitmap_is_empty(result)) break;
    }
    value_walk_fini(&m.values);
    page_release(&index->part->source, m.postings.page);
    if (e) {
        if (result != NULL) roaring_bitmap_free(result);
        return e;
    }
    *ret_series = result;
    return OK;
}

/* --- rows
 * ----------------------------------------------------------------------------------------------------------
 */

enum { MEMO_SLOTS = 256, MEMO_STEP = 32, MEMO_BYTES_MAX = 512 };

/* A label recently decoded: rows next to each other share most of theirs. */
struct memo {
    uint32_t pair_plus_1;
    uint32_t size;
    uint32_t capacity;
    uint8_t *field;
};

struct row_reader {
    const struct part_index *index;
    struct budget *budget;
    const struct page *page;
    uint64_t offset; /* of the page */
    struct cursor c;
    uint32_t next_number;
    uint32_t page_end;
    int64_t last_ms;
    uint64_t last_times;
    uint64_t last_values;
    struct buf labels;
    struct buf blocks; /* struct block_ref */
    struct buf pairs;
    struct buf field;
    struct value_walk values;
    struct memo memo[MEMO_SLOTS];
};

enum err
row_reader_new(const struct part_index *index, struct budget *budget, struct row_reader **ret)
{
    struct row_reader *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->index = index;
    r->budget = budget;
    buf_init(&r->labels, budget, PAGE_BYTES_MAX);
    buf_init(&r->blocks, budget, PAGE_BYTES_MAX);
    buf_init(&r->pairs, budget, PAGE_BYTES_MAX);
    buf_init(&r->field, budget, PAGE_BYTES_MAX);
    value_walk_init(&r->values, index->part, budget);
    *ret = r;
    return OK;
}

void
row_reader_free(struct row_reader *r)
{
    if (r == NULL) return;
    page_release(&r->index->part->source, r->page);
    value_walk_fini(&r->values);
    buf_fini(&r->labels);
    buf_fini(&r->blocks);
    buf_fini(&r->pairs);
    buf_fini(&r->field);
    for (unsigned i = 0; i < MEMO_SLOTS; i++) {
        mem_free(r->budget, r->memo[i].field, r->memo[i].capacity);
    }
    mem_free(r->budget, r, sizeof *r);
}

/* The label of a pair in r->field. */
static enum err
field_get(struct row_reader *r, uint32_t pair, struct why *why)
{
    const struct part_name *name = name_of_pair(r->index, pair);
    if (name == NULL) return damaged(r->index->part, r->offset, "rows", why);
    enum err e = value_get(&r->values, pair, why);
    if (e) return e;
    buf_clear(&r->field);
    labels_put(&r->field, (struct label){name->name, buf_bytes(&r->values.value)});
    return buf_error(&r->field);
}

static enum err
memo_fill(struct row_reader *r, struct memo *m, uint32_t pair)
{
    m->pair_plus_1 = 0;
    if (m->capacity < r->field.size) {
        uint32_t capacity = (uint32_t)(r->field.size + MEMO_STEP);
        uint8_t *grown = mem_resize(r->budget, m->field, m->capacity, capacity);
        if (grown == NULL) return ERR_NOMEM;
        m->field = grown;
        m->capacity = capacity;
    }
    memcpy(m->field, r->field.at, r->field.size);
    m->size = (uint32_t)r->field.size;
    m->pair_plus_1 = pair + 1;
    return OK;
}

static enum err
put_pair(struct row_reader *r, uint32_t pair, struct why *why)
{
    struct memo *m = &r->memo[pair % MEMO_SLOTS];
    if (m->pair_plus_1 == pair + 1) {
        buf_put(&r->labels, m->field, m->size);
        return buf_error(&r->labels);
    }
    enum err e = field_get(r, pair, why);
    if (e == OK && r->field.size <= MEMO_BYTES_MAX) e = memo_fill(r, m, pair);
    if (e) return e;
    buf_put_bytes(&r->labels, buf_bytes(&r->field));
    return buf_error(&r->labels);
}

static struct page_place
get_place(struct cursor *c, uint64_t *last_page)
{
    struct page_place place;
    place.page = *last_page + (uint64_t)cursor_zigzag(c);
    uint64_t at = cursor_varint(c), size = cursor_varint(c);
    if (at > PAGE_BYTES_MAX || size > PAGE_BYTES_MAX) cursor_fail(c);
    place.at = (uint32_t)at;
    place.size = (uint32_t)size;
    *last_page = place.page;
    return place;
}

static struct codec_stats
get_stats(struct cursor *c)
{
    uint64_t min = cursor_le64(c);
    uint64_t max = min ^ __builtin_bswap64(cursor_varint(c));
    uint64_t sum = cursor_le64(c);
    uint64_t count = cursor_varint(c);
    if (count > CODEC_SAMPLES_MAX) cursor_fail(c);
    return (struct codec_stats){bits_double(min), bits_double(max), bits_double(sum),
                                (uint32_t)count};
}

static enum err
get_block(struct row_reader *r)
{
    struct cursor *c = &r->c;
    struct block_ref b = {.codec = cursor_u8(c)};
    uint8_t flags = cursor_u8(c);
    uint64_t count = cursor_varint(c);
    b.min_ms = (int64_t)((uint64_t)r->last_ms + (uint64_t)cursor_zigzag(c));
    uint64_t span = cursor_varint(c);
    b.max_ms = (int64_t)((uint64_t)b.min_ms + span);
    r->last_ms = b.min_ms;
    b.times = get_place(c, &r->last_times);
    b.values = get_place(c, &r->last_values);
    b.has_starts = flags & 1;
    b.has_stats = flags & 2;
    if (b.has_starts) b.starts = get_place(c, &r->last_values);
    if (b.has_stats) b.stats = get_stats(c);
    b.count = (uint32_t)count;
    bool known = b.codec == CODEC_FLOAT_V1 || b.codec == CODEC_HISTOGRAM_V1 ||
                 b.codec == CODEC_HISTOGRAM_FLOAT_V1;
    if (c->bad || flags > 3 || count == 0 || (b.has_stats && b.stats.number_count > count) ||
        count > CODEC_SAMPLES_MAX || !known || b.max_ms < b.min_ms) {
        return ERR_CORRUPT;
    }
    buf_put(&r->blocks, &b, sizeof b);
    return buf_error(&r->blocks);
}

static enum err
get_pairs(struct row_reader *r)
{
    const struct part_tenant *t = r->index->tenant;
    uint64_t count = cursor_varint(&r->c), pair = 0;
    if (count > cursor_left(&r->c)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = cursor_varint(&r->c);
        if (r->c.bad || step >= t->pair_count - pair || (i > 0 && step == 0)) return ERR_CORRUPT;
        pair += step;
        buf_put_le32(&r->pairs, t->first_pair + (uint32_t)pair);
    }
    return buf_error(&r->pairs);
}

static enum err
get_row(struct row_reader *r)
{
    buf_clear(&r->pairs);
    buf_clear(&r->blocks);
    enum err e = get_pairs(r);
    if (e) return e;
    uint64_t blocks = cursor_varint(&r->c);
    if (blocks > cursor_left(&r->c)) return ERR_CORRUPT;
    for (uint64_t i = 0; i < blocks && e == OK; i++) {
        e = get_block(r);
    }
    r->next_number++;
    return e;
}

static enum err
row_enter(struct row_reader *r, uint32_t number, struct why *why)
{
    struct part *p = r->index->part;
    page_release(&p->source, r->page);
    r->page = NULL;
    enum err e =
        directory_find(p, &p->rows, number, &r->offset, &r->next_number, &r->page_end, why);
    if (e == OK) e = page_get(&p->source, r->offset, PAGE_ROWS, &r->page, why);
    if (e) return e;
    r->c = (struct cursor){r->page->at, r->page->at + r->page->size, false};
    r->last_ms = 0;
    r->last_times = r->last_values = 0;
    return OK;
}

enum err
row_read(struct row_reader *r, uint32_t number, struct bytes *ret_labels,
         const struct block_ref **ret_blocks, uint32_t *ret_block_count, struct why *why)
{
    enum err e = OK;
    if (r->page == NULL || number < r->next_number || number >= r->page_end) {
        e = row_enter(r, number, why);
    }
    while (e == OK && r->next_number <= number) {
        e = get_row(r);
        if (e == ERR_CORRUPT) e = damaged(r->index->part, r->offset, "rows", why);
        if (e == ERR_NOMEM) why_set(why, e, "no memory for a row of a part");
    }
    if (e) {
        page_release(&r->index->part->source, r->page);
        r->page = NULL;
        return e;
    }
    buf_clear(&r->labels);
    for (size_t i = 0; i < r->pairs.size && ret_labels != NULL; i += 4) {
        e = put_pair(r, load_le32(r->pairs.at + i), why);
        if (e == ERR_NOMEM) why_set(why, e, "no memory for the labels of a series");
        if (e) return e;
    }
    if (ret_labels != NULL) *ret_labels = buf_bytes(&r->labels);
    *ret_blocks = (const struct block_ref *)(const void *)r->blocks.at;
    *ret_block_count = (uint32_t)(r->blocks.size / sizeof(struct block_ref));
    return OK;
}

/* --- blocks
 * ----------------------------------------------------------------------------------------------------------
 */

enum sample_kind
block_kind(const struct block_ref *block)
{
    return block->codec == CODEC_FLOAT_V1       ? SAMPLE_FLOAT
           : block->codec == CODEC_HISTOGRAM_V1 ? SAMPLE_HISTOGRAM_INT
                                                : SAMPLE_HISTOGRAM_FLOAT;
}

static enum err
bad_place(struct part *p, const struct page_place *place, struct why *why)
{
    return why_set(why, ERR_CORRUPT,
                   "%s: page at %" PRIu64 " is damaged: an item in it makes no sense",
                   p->source.file.path, place->page);
}

static enum err
place_get(struct part *p, const struct page_place *place, enum page_kind kind,
          const struct page **ret_page, struct bytes *ret_bytes, struct why *why)
{
    const struct page *page;
    enum err e = page_get(&p->source, place->page, kind, &page, why);
    if (e) return e;
    if (place->at > page->size || place->size > page->size - place->at) {
        page_release(&p->source, page);
        return bad_place(p, place, why);
    }
    *ret_page = page;
    *ret_bytes = bytes_of(page->at + place->at, place->size);
    return OK;
}

static enum err
read_times(struct part *p, const struct block_ref *b, int64_t *ret_times, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    enum err e = place_get(p, &b->times, PAGE_TIMES, &page, &bytes, why);
    if (e) return e;
    e = codec_times_decode(bytes, b->count, ret_times);
    page_release(&p->source, page);
    if (e == OK && (ret_times[0] != b->min_ms || ret_times[b->count - 1] != b->max_ms)) {
        e = ERR_CORRUPT;
    }
    for (uint32_t i = 1; i < b->count && e == OK; i++) {
        if (ret_times[i] <= ret_times[i - 1]) e = ERR_CORRUPT;
    }
    return e == ERR_CORRUPT ? bad_place(p, &b->times, why) : e;
}

static enum err
read_values(struct part *p, const struct block_ref *b, uint64_t *ret_bits,
            struct histogram *ret_histograms, struct arena *arena, struct why *why)
{
    const struct page *page;
    struct bytes bytes;
    enum err e = place_get(p, &b->values, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    if (b->codec == CODEC_FLOAT_V1) {
        e = codec_float_decode(bytes, b->count, ret_bits);
    } else {
        e = codec_histogram_decode(bytes, b->count, arena, ret_histograms);
        if (e == OK && ret_histograms[0].kind != block_kind(b)) e = ERR_CORRUPT;
    }
    page_release(&p->source, page);
    if (e == ERR_LIMIT || e == ERR_NOMEM)
        return why_set(why, ERR_NOMEM, "no memory for histograms");
    return e == ERR_CORRUPT ? bad_place(p, &b->values, why) : e;
}

enum err
block_read(struct part *part, const struct block_ref *b, int64_t *ret_times, uint64_t *ret_bits,
           int64_t *ret_starts, struct histogram *ret_histograms, struct arena *arena,
           struct why *why)
{
    enum err e = read_times(part, b, ret_times, why);
    if (e == OK) e = read_values(part, b, ret_bits, ret_histograms, arena, why);
    if (e || !b->has_starts) return e;
    const struct page *page;
    struct bytes bytes;
    e = place_get(part, &b->starts, PAGE_VALUES, &page, &bytes, why);
    if (e) return e;
    struct cursor c = cursor_of(bytes);
    e = codec_int_decode(&c, b->count, ret_starts);
    if (e == OK && c.at != c.end) e = ERR_CORRUPT;
    page_release(&part->source, page);
    return e == ERR_CORRUPT ? bad_place(part, &b->starts, why) : e;
}

/* --- exemplars, metadata, verify
 * --------------------------------------------------------------------------------------- */

static enum err
exemplars_of_page(struct part *p, const struct page *page, uint64_t offset, uint32_t first,
                  enum err (*each)(void *context, uint32_t series, const struct exemplar *exemplar),
                  void *context, struct why *why)
{
    struct cursor c = {page->at, page->at + page->size, false};
    uint64_t series = 0;
    while (c.at < c.end) {
        uint64_t step = cursor_varint(&c);
        struct exemplar x = {.t_ms = cursor_zigzag(&c)};
        x.value_bits = cursor_le64(&c);
        x.labels = cursor_counted(&c);
        if (c.bad || step >= p->info.series_count - series || !labels_valid(x.labels)) {
            return damaged(p, offset, "exemplars", why);
        }
        series += step;
        if (series < first) continue;
        enum err e = each(context, (uint32_t)series, &x);
        if (e) return e;
    }
    return OK;
}

enum err
part_exemplars(struct part *p, uint32_t first_series,
               enum err (*each)(void *context, uint32_t series, const struct exemplar *exemplar),
               void *context, struct why *why)
{
    if (p->exemplars.page == 0) return OK;
    const struct directory_table *t;
    enum err e = directory_table(p, &p->exemplars, &t, why);
    if (e) return e;
    /* The last page that begins before the first wanted may hold some of it. */
    uint32_t i = first_series == 0 ? 0 : pages_until(t, first_series - 1);
    for (i -= i > 0; i < t->count && e == OK; i++) {
        const struct page *page;
        e = page_get(&p->source, t->offsets[i], PAGE_EXEMPLARS, &page, why);
        if (e) break;
        e = exemplars_of_page(p, page, t->offsets[i], first_series, each, context, why);
        page_release(&p->source, page);
    }
    return e == ERR_CANCELED ? OK : e;
}

enum err
part_metadata(struct part *p, const struct part_tenant *t,
              enum err (*each)(void *context, const struct metadata *metadata), void *context,
              struct why *why)
{
    if (t->metadata_page == 0) return OK;
    const struct page *page;
    enum err e = page_get(&p->source, t->metadata_page, PAGE_METADATA, &page, why);
    if (e) return e;
    struct cursor c = {page->at, page->at + page->size, false};
    (void)cursor_bytes(&c, t->metadata_at);
    uint64_t count = cursor_varint(&c);
    for (uint64_t i = 0; i < count && e == OK; i++) {
        struct metadata m = {.family = cursor_counted(&c)};
        m.type = (enum metric_type)cursor_u8(&c);
        m.help = cursor_counted(&c);
        m.unit = cursor_counted(&c);
        e = c.bad || m.type >= METRIC_TYPE_COUNT ? damaged(p, t->metadata_page, "metadata", why)
                                                 : each(context, &m);
    }
    page_release(&p->source, page);
    return e;
}

/* Behind a page whose header is damaged the next page is searched for. */
enum err
part_verify(struct part *p, void (*each)(void *context, uint64_t offset, const struct why *why),
            void *context, struct why *why)
{
    uint64_t at = PART_END_BYTES, end = p->source.file_bytes - PART_END_BYTES;
    while (at < end) {
        uint64_t next = at;
        enum page_kind kind;
        struct why reason = {""};
        enum err e = page_check(&p->source, at, &next, &kind, &reason);
        if (e == ERR_CORRUPT) {
            each(context, at, &reason);
        } else if (e) {
            if (why != NULL) *why = reason;
            return e;
        }
        if (next == at) {
            e = page_search(&p->source, at + 1, end, &next, why);
            if (e) return e;
        }
        at = next;
    }
    return OK;
}
