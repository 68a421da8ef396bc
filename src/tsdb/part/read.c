/*
 * read.c - opens parts, and reads data that belongs to a whole tenant. Every number read is checked
 * before it is used: a damaged page is an error that names it, never a crash.
 *
 * Opening reads header, footer and root, which lists tenants and directories; small directories are
 * in the root. A directory, from numbers to pages, is unpacked into plain arrays on first use, and
 * found by binary search from then on; it stays as long as the part. Two threads may unpack it at
 * once: the first to publish its table wins, the other frees its own, so that readers take no lock.
 *
 * A part is shared by reference and immutable, except for the series that tombstones select in it:
 * the first query that needs them finds them, and they are kept under the part's own lock. A part
 * that a merge replaced is marked as dropped: its files are removed with the last reference, so
 * that open queries can read on.
 *
 * Verification walks pages in file order instead of following directories, so that it also checks
 * pages that no directory refers to.
 *
 * Invariants: a directory's table, once published, stays until the part is freed. `hidden` has a
 * tombstone once, and its bitmaps stay, too.
 */
#include <assert.h>
#include <inttypes.h>
#include <roaring/roaring.h>
#include <stdio.h>

#include "base/array.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "tsdb/part/remote.h"
#include "tsdb/part/walk.h"

enum err
part_damaged(const struct part *p, uint64_t offset, const char *what, struct why *why)
{
    if (offset == 0)
        return why_set(why, ERR_CORRUPT, "%s is damaged: invalid %s", p->source.file.path, what);
    page_cache_note_damage(p->source.cache, p->info.number, offset);
    return why_set(why, ERR_CORRUPT, "%s: page at %" PRIu64 " is damaged: cannot decode its %s",
                   p->source.file.path, offset, what);
}

/* --- directories ------------------------------------------------------------------------------ */

static void
table_free(struct part *p, struct directory_table *t)
{
    if (t != NULL) mem_free(p->budget, t, t->memory_bytes);
}

static void
directory_fini(struct part *p, struct directory *d)
{
    table_free(p, atomic_load_explicit(&d->table, memory_order_relaxed));
}

static bool
table_fill(const struct part *p, struct cursor *c, struct directory_table *t, bool has_keys)
{
    uint64_t number = 0, offset = 0;
    uint32_t keys_size = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t step = cursor_varint(c), more = cursor_varint(c);
        number += step;
        offset += more;
        if (c->bad || step > UINT32_MAX || number >= UINT32_MAX || more == 0 ||
            more > p->source.file_bytes || offset > p->source.file_bytes ||
            (i > 0 && step == 0 && has_keys))
            return false;
        t->numbers[i] = (uint32_t)number;
        t->offsets[i] = offset;
        if (!has_keys) continue;
        struct bytes key = cursor_counted(c);
        if (c->bad) return false;
        if (key.size > 0) memcpy(t->keys + keys_size, key.at, key.size);
        keys_size += (uint32_t)key.size;
        t->key_ends[i] = keys_size;
    }
    return c->at == c->end;
}

static enum err
table_read(struct part *p, const struct directory *d, struct bytes bytes,
           struct directory_table **ret_table)
{
    struct cursor c = cursor_of(bytes);
    uint64_t count = cursor_varint(&c);
    if (c.bad || count == 0 || count > cursor_left(&c) / 2) return ERR_CORRUPT;
    size_t each = sizeof(uint64_t) + sizeof(uint32_t) * (d->has_keys ? 2 : 1);
    size_t keys_max = d->has_keys ? cursor_left(&c) : 0; /* the rest of the bytes */
    size_t memory = sizeof(struct directory_table) + count * each + keys_max;
    struct directory_table *t = mem_alloc(p->budget, memory);
    if (t == NULL) return ERR_NOMEM;
    t->count = (uint32_t)count;
    t->memory_bytes = memory;
    t->offsets = (uint64_t *)(t + 1);
    t->numbers = (uint32_t *)(t->offsets + count);
    t->key_ends = d->has_keys ? t->numbers + count : NULL;
    t->keys = d->has_keys ? (uint8_t *)(t->key_ends + count) : NULL;
    if (!table_fill(p, &c, t, d->has_keys)) {
        table_free(p, t);
        return ERR_CORRUPT;
    }
    *ret_table = t;
    return OK;
}

enum err
part_directory_table(struct part *p, struct directory *d, const struct directory_table **ret_table,
                     struct why *why)
{
    struct directory_table *t = atomic_load_explicit(&d->table, memory_order_acquire);
    if (t == NULL) {
        struct directory_table *first = NULL;
        if (d->page == 0) return part_damaged(p, 0, "root", why);
        enum err e;
        if (d->page == DIRECTORY_IN_ROOT) {
            e = table_read(p, d, d->bytes, &t);
        } else {
            const struct page *page;
            e = page_get(&p->source, d->page, PAGE_DIRECTORY, &page, why);
            if (e) return e;
            e = table_read(p, d, bytes_of(page->at, page->size), &t);
            page_release(&p->source, page);
        }
        if (e == ERR_NOMEM) return why_set(why, e, "not enough memory for a directory of a part");
        if (e) return part_damaged(p, d->page, "directory", why);
        if (!atomic_compare_exchange_strong_explicit(&d->table, &first, t, memory_order_acq_rel,
                                                     memory_order_acquire)) {
            table_free(p, t);
            t = first;
        }
    }
    *ret_table = t;
    return OK;
}

uint32_t
part_pages_until(const struct directory_table *t, uint32_t number)
{
    return search_first(i, 0u, t->count, t->numbers[i] > number);
}

enum err
part_directory_find(struct part *p, struct directory *d, uint32_t number, uint64_t *ret_offset,
                    uint32_t *ret_first, uint32_t *ret_next, struct why *why)
{
    const struct directory_table *t;
    enum err e = part_directory_table(p, d, &t, why);
    if (e) return e;
    uint32_t at = part_pages_until(t, number);
    if (at == 0) return part_damaged(p, d->page, "directory", why);
    *ret_offset = t->offsets[at - 1];
    *ret_first = t->numbers[at - 1];
    *ret_next = at < t->count ? t->numbers[at] : UINT32_MAX;
    return OK;
}

enum err
part_directory_search(struct part *p, struct directory *d, uint32_t first, uint32_t end,
                      struct bytes value, uint32_t *ret_number, struct why *why)
{
    const struct directory_table *t;
    enum err e = part_directory_table(p, d, &t, why);
    if (e) return e;
    assert(d->has_keys);
    /* Among pages that begin after `first`, finds the last whose key is not above the value. */
    uint32_t low = part_pages_until(t, first), from = low, high = part_pages_until(t, end - 1u);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t key_at = middle == 0 ? 0 : t->key_ends[middle - 1];
        struct bytes key = bytes_of(t->keys + key_at, t->key_ends[middle] - key_at);
        if (bytes_compare(key, value) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_number = low == from ? first : t->numbers[low - 1];
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err
end_check(const struct part *p, const uint8_t *end, const char *magic, struct why *why)
{
    if (memcmp(end, magic, 8) != 0 || load_le64(end + 16) != p->info.number ||
        load_le64(end + 56) != hash_bytes(bytes_of(end, 56), p->info.number))
        return part_damaged(p, 0, "header or footer", why);
    unsigned version = load_le16(end + 8), min_reader = load_le16(end + 10);
    if (min_reader <= PART_VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s: part format version %u (minimum reader %u) is newer than version %d, which "
                   "this program reads; use a newer Firekeep",
                   p->source.file.path, version, min_reader, PART_VERSION);
}

static enum err
read_tenant(struct part *p, struct cursor *c, struct part_tenant *t, uint64_t *series,
            uint64_t *pairs)
{
    struct bytes name = cursor_counted(c);
    uint64_t series_count = cursor_varint(c), pair_count = cursor_varint(c);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        t->sample_count[k] = cursor_varint(c);
    t->names_page = cursor_varint(c);
    uint64_t names_at = cursor_varint(c);
    t->metadata_page = cursor_varint(c);
    uint64_t metadata_at = cursor_varint(c);
    t->names_at = (uint32_t)names_at;
    t->metadata_at = (uint32_t)metadata_at;
    if (c->bad || names_at > PAGE_BYTES_MAX || metadata_at > PAGE_BYTES_MAX ||
        series_count > UINT32_MAX - *series || pair_count > UINT32_MAX - *pairs)
        return ERR_CORRUPT;
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
        if (i > 0 && bytes_compare(p->tenants[i - 1].name, p->tenants[i].name) >= 0)
            return ERR_CORRUPT;
    }
    return series == p->info.series_count && pairs == p->info.pair_count ? OK : ERR_CORRUPT;
}

static enum err
read_directory(struct part *p, struct cursor *c, struct directory *d)
{
    d->page = cursor_varint(c);
    if (d->page != DIRECTORY_IN_ROOT) return OK;
    d->bytes = arena_copy(&p->arena, cursor_counted(c));
    return d->bytes.at == NULL ? ERR_NOMEM : OK;
}

enum { ROLLUP_RESOLUTION_BITS = 40 };

/* Reads the members that only parts with rollups have. */
static enum err
read_levels(struct part *p, struct cursor *c)
{
    struct part_info *i = &p->info;
    uint64_t count = cursor_varint(c), rows = 0;
    if (c->bad || count > PART_RESOLUTIONS_MAX) return ERR_CORRUPT;
    for (; i->resolution_count < count; i->resolution_count++) {
        struct rollup_facts *r = &i->resolutions[i->resolution_count];
        uint64_t resolution = cursor_varint(c);
        if (resolution == 0 || resolution >> ROLLUP_RESOLUTION_BITS != 0) return ERR_CORRUPT;
        r->resolution_ms = (int64_t)resolution;
        if (r->resolution_ms > i->resolution_max_ms) i->resolution_max_ms = r->resolution_ms;
        r->rows = cursor_varint(c);
        r->bytes = cursor_varint(c);
        r->time.min_ms = cursor_zigzag(c);
        r->time.max_ms = cursor_zigzag(c);
        rows += r->rows;
    }
    i->histogram_rollup_rows = cursor_varint(c);
    for (uint32_t t = 0; t < p->tenant_count; t++) {
        p->tenants[t].rollup_rows = cursor_varint(c);
        i->rollup_rows += p->tenants[t].rollup_rows;
    }
    bool fits = rows == i->rollup_rows && i->histogram_rollup_rows <= rows;
    return fits ? OK : ERR_CORRUPT;
}

static enum err
unpack_root(struct part *p, struct bytes root, uint64_t version)
{
    struct cursor c = cursor_of(root);
    struct part_info *i = &p->info;
    i->from_pos = cursor_le64(&c);
    i->to_pos = cursor_le64(&c);
    i->time.min_ms = cursor_zigzag(&c);
    i->time.max_ms = cursor_zigzag(&c);
    i->series_count = cursor_varint(&c);
    i->pair_count = cursor_varint(&c);
    i->block_count = cursor_varint(&c);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        i->sample_count[k] = cursor_varint(&c);
    uint64_t level = cursor_varint(&c);
    i->level = (uint8_t)level;
    p->values.has_keys = true;
    enum err e = level > UINT8_MAX ? ERR_CORRUPT : OK;
    if (e == OK) e = read_directory(p, &c, &p->rows);
    if (e == OK) e = read_directory(p, &c, &p->values);
    if (e == OK) e = read_directory(p, &c, &p->postings);
    if (e == OK) e = read_directory(p, &c, &p->exemplars);
    if (e == OK) e = c.bad ? ERR_CORRUPT : read_tenants(p, &c);
    if (e == OK && version >= 2) e = read_directory(p, &c, &p->stale);
    p->knows_stale = version >= 2;
    if (e == OK && version >= 3) e = read_levels(p, &c);
    /* A newer version may have appended members: they are ignored. */
    if (e == OK && (c.bad || (version <= PART_VERSION && c.at != c.end))) e = ERR_CORRUPT;
    return e;
}

/* Gives what the header and the footer say: the version, and where the root is. */
static enum err
read_ends(struct part *p, uint64_t *ret_version, uint64_t *ret_root, uint64_t *ret_data_bytes,
          struct why *why)
{
    uint8_t end[PART_END_BYTES];
    struct page_source *s = &p->source;
    if (s->file_bytes < 2 * PART_END_BYTES) return part_damaged(p, 0, "length", why);
    enum err e = page_source_read(s, end, sizeof end, 0, why);
    if (e == OK) e = end_check(p, end, PART_HEADER_MAGIC, why);
    if (e == OK) e = page_source_read(s, end, sizeof end, s->file_bytes - sizeof end, why);
    if (e == OK) e = end_check(p, end, PART_FOOTER_MAGIC, why);
    if (e) return e;
    *ret_version = load_le16(end + 8);
    *ret_root = load_le64(end + 24);
    *ret_data_bytes = load_le64(end + 40);
    if (load_le64(end + 32) != s->file_bytes) return part_damaged(p, 0, "length", why);
    return *ret_data_bytes > s->file_bytes ? part_damaged(p, 0, "footer", why) : OK;
}

static enum err
part_open_file(struct part *p, const char *parts_dir, struct why *why)
{
    char dir[256], path[256];
    struct page_source *s = &p->source;
    const struct page *page;
    uint64_t version, root;
    enum err e = storage_part_path(dir, sizeof dir, parts_dir, p->info.number, STORAGE_PART);
    if (e == OK) e = path_join(path, sizeof path, dir, "part");
    if (e == OK) e = file_open(p->env, path, FILE_READ, &s->file, why);
    if (e == OK) e = file_size(&s->file, &s->file_bytes, why);
    p->info.file_bytes = s->file_bytes;
    if (e == OK) e = read_ends(p, &version, &root, &p->info.data_bytes, why);
    if (e == OK) e = page_get(s, root, PAGE_ROOT, &page, why);
    if (e) return e;
    e = unpack_root(p, bytes_of(page->at, page->size), version);
    page_release(s, page);
    if (e == ERR_NOMEM) return why_set(why, e, "not enough memory to open a part");
    return e == ERR_CORRUPT ? part_damaged(p, root, "root", why) : e;
}

static struct part *
part_new(struct budget *budget, struct page_cache *cache, uint64_t number)
{
    struct part *p = mem_new(budget, sizeof *p);
    if (p == NULL) return NULL;
    p->budget = budget;
    p->info.number = number;
    p->source = (struct page_source){
        .cache = cache,
        .cache_id = page_cache_new_id(cache),
        .part_number = number,
        .file = FILE_CLOSED,
    };
    atomic_init(&p->references, 1);
    lock_init(&p->hidden_lock, LOCK_RANK_LEAF);
    arena_init(&p->arena, budget, 0, 1024);
    return p;
}

enum err
part_open(struct env *env, struct budget *budget, struct page_cache *cache, const char *parts_dir,
          uint64_t number, struct part **ret_part, struct why *why)
{
    struct part *p = part_new(budget, cache, number);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory to open a part");
    p->env = env;
    p->parts_dir = parts_dir;
    enum err e = part_open_file(p, parts_dir, why);
    if (e) {
        part_unref(p);
        return e;
    }
    *ret_part = p;
    return OK;
}

enum err
part_open_root(struct budget *budget, struct page_cache *cache, const struct part_entry *entry,
               uint64_t file_bytes, const struct part_root *root, struct remote_store *store,
               const char *key, struct part **ret_part, struct why *why)
{
    struct part *p = part_new(budget, cache, entry->number);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory to open a part");
    p->source.remote = store;
    p->source.is_remote = true;
    p->source.file_bytes = p->info.file_bytes = file_bytes;
    p->info.data_bytes = root->data_bytes;
    if (root->data_bytes < file_bytes) p->source.index_bytes = file_bytes - root->data_bytes;
    snprintf(p->source.file.path, sizeof p->source.file.path, "%s", key);
    enum err e = unpack_root(p, root->payload, root->version);
    const struct part_info *i = &p->info;
    if (e == OK && (i->from_pos != entry->from_pos || i->to_pos != entry->to_pos)) e = ERR_CORRUPT;
    if (e == ERR_CORRUPT) e = part_damaged(p, 0, "root", why);
    if (e == ERR_NOMEM) e = why_set(why, e, "not enough memory to open a part");
    if (e) {
        part_unref(p);
        return e;
    }
    part_set_applied(p, entry->applied);
    *ret_part = p;
    return OK;
}

enum err
part_root_read(struct part *p, struct buf *to, struct part_root *ret, struct why *why)
{
    const struct page *page;
    uint64_t root;
    enum err e = read_ends(p, &ret->version, &root, &ret->data_bytes, why);
    if (e == OK) e = page_get(&p->source, root, PAGE_ROOT, &page, why);
    if (e) return e;
    buf_clear(to);
    buf_put(to, page->at, page->size);
    page_release(&p->source, page);
    if (buf_error(to)) return why_set(why, buf_error(to), "not enough memory for a root");
    ret->payload = buf_bytes(to);
    return OK;
}

enum err
part_reopen(struct part *of, struct budget *budget, struct page_cache *cache,
            struct part **ret_part, struct why *why)
{
    const struct part_info *i = &of->info;
    const struct part_entry entry = {i->number, i->from_pos, i->to_pos, part_applied(of), i->time};
    const struct page_source *s = &of->source;
    struct part_root root;
    struct buf bytes;
    if (!part_is_remote(of))
        return part_open(of->env, budget, cache, of->parts_dir, i->number, ret_part, why);
    buf_init(&bytes, budget, PAGE_BYTES_MAX);
    enum err e = part_root_read(of, &bytes, &root, why);
    if (e == OK)
        e = part_open_root(budget, cache, &entry, i->file_bytes, &root, s->remote, s->file.path,
                           ret_part, why);
    buf_fini(&bytes);
    return e;
}

const char *
part_key(const struct part *part)
{
    return part->source.file.path;
}

bool
part_is_remote(const struct part *part)
{
    return part->source.is_remote;
}

void
part_ref(struct part *part)
{
    atomic_fetch_add_explicit(&part->references, 1, memory_order_relaxed);
}

void
part_drop(struct part *part)
{
    atomic_store_explicit(&part->dropped, true, memory_order_relaxed);
}

void
part_leave_alone(struct part *part, const struct why *why)
{
    bool known = atomic_load_explicit(&part->alone, memory_order_relaxed) != NULL;
    struct why *copy = known || why == NULL ? NULL : mem_alloc(part->budget, sizeof *copy);
    if (copy != NULL) { /* without memory the reason is lost */
        *copy = *why;
        atomic_store_explicit(&part->alone, copy, memory_order_release);
    }
    atomic_store_explicit(&part->left_alone, true, memory_order_relaxed);
}

const char *
part_alone_reason(const struct part *part)
{
    const struct why *why = atomic_load_explicit(&part->alone, memory_order_acquire);
    return why == NULL ? "" : why->text;
}

bool
part_is_left_alone(const struct part *part)
{
    return atomic_load_explicit(&part->left_alone, memory_order_relaxed);
}

enum err
part_look_there(struct part *part, struct why *why)
{
    uint64_t links;
    if (part_is_remote(part)) return OK;
    if (file_links(&part->source.file, &links, NULL) != OK || links > 0) return OK;
    atomic_store_explicit(&part->removed, true, memory_order_relaxed);
    return why_set(why, ERR_IO,
                   "%s/%016" PRIx64 "/part was removed or replaced while the server "
                   "runs",
                   part->parts_dir, part->info.number);
}

bool
part_is_removed(const struct part *part)
{
    return atomic_load_explicit(&part->removed, memory_order_relaxed);
}

int64_t
part_leveled_ms(const struct part *part, uint64_t rules)
{
    return part->leveled_rules == rules && rules != 0 ? part->leveled_ms : INT64_MIN;
}

void
part_set_leveled(struct part *part, uint64_t rules, int64_t now_ms)
{
    part->leveled_rules = rules;
    part->leveled_ms = now_ms;
}

bool
part_is_within_rules(const struct part *part, uint64_t rules, int64_t now_ms)
{
    return part->within_rules == rules && rules != 0 && now_ms <= part->within_ms;
}

void
part_set_within_rules(struct part *part, uint64_t rules, int64_t now_ms)
{
    part->within_rules = rules;
    part->within_ms = now_ms;
}

/* --- series that tombstones select ------------------------------------------------------------ */

uint64_t
part_applied(const struct part *part)
{
    return atomic_load_explicit(&part->applied, memory_order_relaxed);
}

void
part_set_applied(struct part *part, uint64_t tombstone)
{
    atomic_store_explicit(&part->applied, tombstone, memory_order_relaxed);
}

static const struct hidden_series *
hidden_of(const struct part *part, uint64_t tombstone)
{
    for (uint32_t i = 0; i < part->hidden_count; i++)
        if (part->hidden[i].tombstone == tombstone) return &part->hidden[i];
    return NULL;
}

bool
part_hidden_find(struct part *part, uint64_t tombstone, const roaring_bitmap_t **ret_series)
{
    lock_take(&part->hidden_lock);
    const struct hidden_series *known = hidden_of(part, tombstone);
    if (known != NULL) *ret_series = known->series;
    lock_drop(&part->hidden_lock);
    return known != NULL;
}

enum err
part_hidden_add(struct part *part, uint64_t tombstone, roaring_bitmap_t *series,
                const roaring_bitmap_t **ret_series)
{
    lock_take(&part->hidden_lock);
    const struct hidden_series *known = hidden_of(part, tombstone);
    if (known == NULL && array_reserve(part->budget, &part->hidden, &part->hidden_capacity,
                                       part->hidden_count + 1)) {
        part->hidden[part->hidden_count] = (struct hidden_series){tombstone, series};
        known = &part->hidden[part->hidden_count++];
        series = NULL;
    }
    assert(part->hidden_count <= part->hidden_capacity);
    if (known != NULL) *ret_series = known->series;
    lock_drop(&part->hidden_lock);
    if (series != NULL) roaring_bitmap_free(series);
    return known == NULL ? ERR_NOMEM : OK;
}

/* --- references and facts --------------------------------------------------------------------- */

void
part_unref(struct part *p)
{
    if (p == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    directory_fini(p, &p->rows);
    directory_fini(p, &p->values);
    directory_fini(p, &p->postings);
    directory_fini(p, &p->exemplars);
    directory_fini(p, &p->stale);
    page_cache_forget(p->source.cache, p->source.cache_id);
    file_close(&p->source.file);
    if (!p->source.is_remote && atomic_load_explicit(&p->dropped, memory_order_relaxed)) {
        char dir[256];
        enum err e = storage_part_path(dir, sizeof dir, p->parts_dir, p->info.number, STORAGE_PART);
        if (e == OK) e = env_remove_tree(p->env, dir, NULL);
        err_ignore(e, "the next start sweeps the directory");
    }
    arena_fini(&p->arena);
    for (uint32_t i = 0; i < p->hidden_count; i++)
        roaring_bitmap_free(p->hidden[i].series);
    array_free(p->budget, p->hidden, p->hidden_capacity);
    mem_free(p->budget, atomic_load_explicit(&p->alone, memory_order_relaxed), sizeof(struct why));
    lock_fini(&p->hidden_lock);
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
    uint32_t at =
        search_first(i, 0u, part->tenant_count, bytes_compare(part->tenants[i].name, name) >= 0);
    bool found = at < part->tenant_count && bytes_equal(part->tenants[at].name, name);
    return found ? &part->tenants[at] : NULL;
}

/* --- exemplars, metadata, verify -------------------------------------------------------------- */

void
exemplar_walk_init(struct exemplar_walk *w, struct part *part)
{
    *w = (struct exemplar_walk){.part = part, .at_end = true};
}

void
exemplar_walk_fini(struct exemplar_walk *w)
{
    if (w->part != NULL) page_release(&w->part->source, w->page);
    w->page = NULL;
    w->at_end = true;
}

enum err
exemplar_walk_step(struct exemplar_walk *w, struct why *why)
{
    struct cursor *c = &w->c;
    while (c->at == c->end) {
        if (w->next_page == w->table->count) {
            exemplar_walk_fini(w);
            return OK;
        }
        /* The next page. The series of a page are differences that begin at 0. */
        page_release(&w->part->source, w->page);
        w->page = NULL;
        w->series = 0;
        w->offset = w->table->offsets[w->next_page++];
        enum err e = page_get(&w->part->source, w->offset, PAGE_EXEMPLARS, &w->page, why);
        if (e == OK) w->c = (struct cursor){w->page->at, w->page->at + w->page->size, false};
        if (e) return e;
    }
    uint64_t step = cursor_varint(c);
    w->exemplar.t_ms = cursor_zigzag(c);
    w->exemplar.value_bits = cursor_le64(c);
    w->exemplar.labels = cursor_counted(c);
    if (c->bad || step >= w->part->info.series_count - w->series ||
        !labels_valid(w->exemplar.labels)) {
        c->at = c->end;
        return part_damaged(w->part, w->offset, "exemplars", why);
    }
    w->series += (uint32_t)step;
    return OK;
}

enum err
exemplar_walk_open(struct exemplar_walk *w, struct why *why)
{
    exemplar_walk_fini(w);
    if (w->part->exemplars.page == 0) return OK;
    enum err e = part_directory_table(w->part, &w->part->exemplars, &w->table, why);
    if (e) return e;
    w->next_page = 0;
    w->c = (struct cursor){NULL, NULL, false};
    w->at_end = false;
    return OK;
}

enum err
exemplar_walk_enter(struct exemplar_walk *w, uint32_t first, struct why *why)
{
    enum err e = exemplar_walk_open(w, why);
    if (e || w->at_end) return e;
    /* The last page that begins before series `first` may hold exemplars of it. */
    if (first > 0) w->next_page = part_pages_until(w->table, first - 1);
    w->next_page -= w->next_page > 0;
    do {
        e = exemplar_walk_step(w, why);
    } while (e == OK && !w->at_end && w->series < first);
    return e;
}

enum err
part_exemplars(struct part *p, uint32_t first_series,
               enum err (*each)(void *context, uint32_t series, const struct exemplar *exemplar),
               void *context, struct why *why)
{
    struct exemplar_walk w;
    exemplar_walk_init(&w, p);
    enum err e = exemplar_walk_enter(&w, first_series, why);
    while (e == OK && !w.at_end) {
        e = w.series < first_series ? OK : each(context, w.series, &w.exemplar);
        if (e == OK) e = exemplar_walk_step(&w, why);
    }
    exemplar_walk_fini(&w);
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
        e = c.bad || m.type >= METRIC_TYPE_COUNT
                ? part_damaged(p, t->metadata_page, "metadata", why)
                : each(context, &m);
    }
    page_release(&p->source, page);
    return e;
}

enum err
pages_walk(struct page_source *source, const struct page_visitor *v, struct why *why)
{
    uint64_t at = PART_END_BYTES, end = source->file_bytes - PART_END_BYTES;
    enum err e = OK;
    while (at < end && e == OK) {
        struct page_facts facts = {.next = at};
        struct why reason = {""};
        e = page_check(source, at, &facts, &reason);
        if (facts.next > at && v->page != NULL) v->page(v->context, &facts);
        if (e == ERR_CORRUPT) {
            v->damaged(v->context, at, &reason);
            e = OK;
        } else if (e && why != NULL) {
            *why = reason;
        }
        if (e == OK && facts.next == at) { /* the header is damaged: search for the next page */
            e = page_search(source, at + 1, end, &facts.next, why);
            if (e == OK && v->skipped != NULL) v->skipped(v->context, facts.next - at);
        }
        at = facts.next;
    }
    return e;
}

enum err
part_verify(struct part *p, void (*damaged)(void *context, uint64_t offset, const struct why *why),
            void *context, struct why *why)
{
    const struct page_visitor visitor = {.damaged = damaged, .context = context};
    return pages_walk(&p->source, &visitor, why);
}
