/*
 * registry.c - series, their labels, and which series have which label.
 *
 * A label of a tenant is a pair, kept once as the bytes of its field in canonical labels; a series
 * is a row of pair ids. So comparing labels is comparing fields, and an index needs no text: each
 * name lists its pairs, each pair its series, in the order in which they were added. Tables of ids
 * find series by any key they were sent under, pairs and names by their bytes. Nothing moves and
 * nothing is removed: readers go on without the lock (see registry.h).
 *
 * Invariants, under the head lock:
 *  1. A series' id is its index in `series`; `prints` has as many items, or one more after an
 *     attempt to add a series that failed.
 *  2. pairs and pair_uses have as many items.
 *  3. A row holds the pairs of one series in label order, all of the series' tenant, and lies
 *     before row_at. A series that is added has a complete row.
 *  4. A series is in the list of its tenant and in those of its pairs; a pair in the list of its
 *     name; a name in the list of its tenant. Lists may lag only while registry_add() runs.
 */
#include "tsdb/head/registry.h"

#include "base/hash/hash.h"

#include <assert.h>

/*
 * Invariants: a page, once made, neither moves nor goes; all items of an array filled by
 * paged_push() that are below `count` are in pages that are made.
 */

enum { PAGES_MAX = 8192, PAGE_ALIGN = 64 };

_Static_assert(PAGED_FIRST << (PAGED_FULL_FROM - 1) == PAGED_FULL, "pages double up to here");

enum err
paged_init(struct paged *p, uint32_t item_bytes)
{
    p->item_bytes = item_bytes;
    /* Mostly untouched, so it takes address space rather than memory: not charged to a budget. */
    p->pages = mem_new(NULL, PAGES_MAX * sizeof *p->pages);
    return p->pages == NULL ? ERR_NOMEM : OK;
}

void
paged_fini(struct paged *p)
{
    mem_free(NULL, p->pages, PAGES_MAX * sizeof *p->pages);
}

static uint32_t
page_items(uint32_t first)
{
    if (first >= PAGED_FULL) return PAGED_FULL;
    return first == 0 ? PAGED_FIRST : first;
}

static uint8_t *
registry_page_new(const struct paged *p, struct gmem *gmem, uint32_t items)
{
    uint8_t *memory = gmem_alloc(gmem, (size_t)items * p->item_bytes + PAGE_ALIGN);
    if (memory == NULL) return NULL;
    return memory + (PAGE_ALIGN - (uintptr_t)memory % PAGE_ALIGN) % PAGE_ALIGN;
}

void *
paged_push(struct paged *p, struct gmem *gmem, uint32_t *ret_id)
{
    uint32_t first, page = paged_page_of(p->count, &first);
    if (page >= PAGES_MAX) return NULL;
    assert(page == 0 || p->pages[page - 1] != NULL); /* items below `count` are in pages made */
    if (p->pages[page] == NULL) p->pages[page] = registry_page_new(p, gmem, page_items(first));
    if (p->pages[page] == NULL) return NULL;
    *ret_id = p->count++;
    void *item = paged_at(p, *ret_id);
    memset(item, 0, p->item_bytes);
    return item;
}

enum err
paged_touch(struct paged *p, struct gmem *gmem, uint32_t id, void (*begin)(void *item))
{
    uint32_t first, page = paged_page_of(id, &first);
    if (page >= PAGES_MAX) return ERR_NOMEM;
    if (p->pages[page] != NULL) return OK;
    uint32_t items = page_items(first);
    assert(id - first < items);
    uint8_t *memory = registry_page_new(p, gmem, items);
    if (memory == NULL) return ERR_NOMEM;
    memset(memory, 0, (size_t)items * p->item_bytes);
    for (uint32_t i = 0; i < items; i++)
        begin(memory + (size_t)i * p->item_bytes);
    p->pages[page] = memory;
    if (p->count < first + items) p->count = first + items;
    return OK;
}

/*
 * Blocks of varints: each the difference to the id before, so none begins with a zero
 * byte. Blocks begin zeroed: a zero where a varint should begin, or the block's end, leads to the
 * next block.
 *
 * Invariants:
 *  1. Ids ascend.
 *  2. A list of at most one id has no block, or only a reserved one; any other has `last`, of which
 *     used_bytes are written.
 *  3. A difference lies in one block: a block takes it only if DIFFERENCE_BYTES_MAX are free.
 */

enum { PIECE_FIRST = 32, PIECE_MAX = 2048, DIFFERENCE_BYTES_MAX = 5 };

struct id_block {
    struct id_block *next;
    uint32_t size_bytes; /* size of `bytes` */
    uint8_t bytes[];
};

enum err
id_list_reserve(struct id_list *list, struct gmem *gmem)
{
    if (list->count == 0) return OK;
    if (list->last != NULL && list->last->size_bytes - list->used_bytes >= DIFFERENCE_BYTES_MAX)
        return OK;
    size_t piece = PIECE_FIRST;
    if (list->last != NULL) {
        piece = 2 * (offsetof(struct id_block, bytes) + list->last->size_bytes);
        if (piece > PIECE_MAX) piece = PIECE_MAX;
    }
    struct id_block *block = gmem_alloc(gmem, piece);
    if (block == NULL) return ERR_NOMEM;
    memset(block, 0, piece);
    block->size_bytes = (uint32_t)(piece - offsetof(struct id_block, bytes));
    if (list->last == NULL)
        list->first = block;
    else
        list->last->next = block;
    list->last = block;
    list->used_bytes = 0;
    return OK;
}

void
id_list_push(struct id_list *list, uint32_t id)
{
    if (list->count++ == 0) {
        list->first_id = list->last_id = id;
        return;
    }
    assert(id > list->last_id);                                                /* invariant 1 */
    assert(list->last->size_bytes - list->used_bytes >= DIFFERENCE_BYTES_MAX); /* invariant 3 */
    uint8_t *at = list->last->bytes + list->used_bytes;
    list->used_bytes += (uint32_t)varint_put(at, id - list->last_id);
    assert(list->used_bytes <= list->last->size_bytes); /* invariant 2 */
    list->last_id = id;
}

struct id_walk
id_list_walk(const struct id_list *list)
{
    const struct id_block *first = list->first;
    return (struct id_walk){first, first == NULL ? NULL : first->bytes, list->count,
                            list->first_id};
}

static uint32_t
read_difference(struct id_walk *w)
{
    while (w->at == w->block->bytes + w->block->size_bytes || *w->at == 0) {
        w->block = w->block->next;
        assert(w->block != NULL); /* w->left says that another id follows */
        w->at = w->block->bytes;
    }
    uint32_t v = 0;
    unsigned shift = 0;
    uint8_t b;
    do {
        b = *w->at++;
        v |= (uint32_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b >= 0x80);
    return v;
}

uint32_t
id_walk_read(struct id_walk *w, uint32_t *ret_ids, uint32_t max)
{
    uint32_t count = w->left < max ? w->left : max;
    for (uint32_t i = 0; i < count; i++) {
        ret_ids[i] = w->next_id;
        if (--w->left > 0) w->next_id += read_difference(w);
    }
    return count;
}

/* Rows of pair ids never move and are never given back: they lie close together. */
enum { ROWS_BYTES_FIRST = 1024, ROWS_BYTES = 64 * 1024 };

/* --- life ------------------------------------------------------------------------------------- */

enum err
registry_new(struct budget *budget, uint64_t ref_base, uint64_t hash_seed,
             struct registry **ret_registry)
{
    struct registry *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->budget = budget;
    r->ref_base = ref_base;
    r->hash_seed = hash_seed;
    atomic_init(&r->references, 1);
    gmem_init(&r->gmem, budget);
    enum err e = paged_init(&r->series, sizeof(struct series));
    if (e == OK) e = paged_init(&r->prints, sizeof(struct fingerprint));
    if (e == OK) e = paged_init(&r->pairs, sizeof(struct pair));
    if (e == OK) e = paged_init(&r->pair_uses, sizeof(struct pair_use));
    if (e == OK) e = paged_init(&r->names, sizeof(struct registry_name));
    if (e == OK) e = paged_init(&r->tenants, sizeof(struct registry_tenant));
    if (e) {
        registry_unref(r);
        return e;
    }
    *ret_registry = r;
    return OK;
}

void
registry_ref(struct registry *r)
{
    atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
}

void
registry_unref(struct registry *r)
{
    if (r == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) return;
    id_table_fini(&r->series_table, r->budget);
    id_table_fini(&r->pair_table, r->budget);
    id_table_fini(&r->name_table, r->budget);
    struct paged *arrays[] = {&r->series,    &r->prints, &r->pairs,
                              &r->pair_uses, &r->names,  &r->tenants};
    for (unsigned i = 0; i < sizeof arrays / sizeof *arrays; i++)
        paged_fini(arrays[i]);
    gmem_fini(&r->gmem);
    mem_free(NULL, r, sizeof *r);
}

uint64_t
registry_bytes(const struct registry *r)
{
    return r->gmem.total_bytes + id_table_bytes(&r->series_table) + id_table_bytes(&r->pair_table) +
           id_table_bytes(&r->name_table);
}

void
registry_validate(const struct registry *r)
{
    uint64_t listed = 0, used = 0, members = 0;
    assert(r->prints.count - r->series.count <= 1); /* invariant 1 */
    assert(r->pairs.count == r->pair_uses.count);   /* invariant 2 */
    for (uint32_t id = 0; id < r->series.count; id++) {
        const struct series *s = registry_series(r, id);
        assert(s->id == id);                  /* invariant 1 */
        assert(s->tenant < r->tenants.count); /* invariant 4 */
        members += s->pairs->count;
        for (uint32_t i = 0; i < s->pairs->count; i++) {
            assert(s->pairs->ids[i] < r->pairs.count);                       /* invariant 3 */
            assert(registry_pair(r, s->pairs->ids[i])->tenant == s->tenant); /* invariant 3 */
        }
    }
    for (uint32_t id = 0; id < r->tenants.count; id++)
        listed += ((const struct registry_tenant *)paged_at(&r->tenants, id))->series.count;
    for (uint32_t id = 0; id < r->pair_uses.count; id++) {
        assert(registry_pair_use(r, id)->name < r->names.count); /* invariant 4 */
        used += registry_pair_use(r, id)->series.count;
    }
    assert(listed == r->series.count); /* invariant 4 */
    assert(used == members);           /* invariant 4 */
    gmem_validate(&r->gmem);
}

/* --- finding ---------------------------------------------------------------------------------- */

struct registry_tenant *
registry_tenant(const struct registry *r, uint32_t tenant)
{
    return tenant < r->tenants.count ? paged_at(&r->tenants, tenant) : NULL;
}

/* In a short field all lengths are one byte: 0a L 0a n name 12 v value. */
struct label
pair_label(const struct pair *pair)
{
    const uint8_t *f = pair->field;
    if (f[1] < 0x80)
        return (struct label){bytes_of(f + 4, f[3]), bytes_of(f + 6 + f[3], f[5 + f[3]])};
    struct cursor c = {pair->field, pair->field + pair->field_size, false};
    struct label label = {{NULL, 0}, {NULL, 0}};
    bool got = labels_next(&c, &label);
    assert(got);
    return label;
}

uint64_t
registry_labels_hash(const struct registry *r, struct bytes labels)
{
    return hash_bytes(labels, r->hash_seed);
}

struct series *
registry_find(const struct registry *r, uint32_t tenant, uint64_t key,
              bool (*equal)(void *context, const struct registry *r, const struct series *series),
              void *context)
{
    uint64_t hash = hash_mix(key, tenant);
    uint32_t at = TABLE_START, id;
    while (table_next(id_table_shard(&r->series_table, hash), hash, &at, &id)) {
        struct series *s = registry_series(r, id);
        if (s->tenant == tenant && equal(context, r, s)) return s;
    }
    return NULL;
}

void
registry_prefetch_key(const struct registry *r, uint32_t tenant, uint64_t key)
{
    uint64_t hash = hash_mix(key, tenant);
    table_prefetch(id_table_shard(&r->series_table, hash), hash);
}

struct series *
registry_guess(const struct registry *r, uint32_t tenant, uint64_t key)
{
    uint64_t hash = hash_mix(key, tenant);
    uint32_t at = TABLE_START, id;
    if (!table_next(id_table_shard(&r->series_table, hash), hash, &at, &id)) return NULL;
    struct series *s = registry_series(r, id);
    __builtin_prefetch(s, 1);
    return s;
}

bool
series_has_labels(const struct registry *r, const struct series *series, struct bytes labels)
{
    const uint8_t *at = labels.at;
    size_t left = labels.size;
    for (uint32_t i = 0; i < series->pairs->count; i++) {
        const struct pair *p = registry_pair(r, series->pairs->ids[i]);
        if (p->field_size > left || memcmp(p->field, at, p->field_size) != 0) return false;
        at += p->field_size;
        left -= p->field_size;
    }
    return left == 0;
}

static bool
equal_labels(void *context, const struct registry *r, const struct series *series)
{
    return series_has_labels(r, series, *(const struct bytes *)context);
}

struct series *
registry_find_labels(const struct registry *r, uint32_t tenant, struct bytes labels)
{
    return registry_find(r, tenant, registry_labels_hash(r, labels), equal_labels, &labels);
}

static uint64_t
text_hash(const struct registry *r, uint32_t tenant, struct bytes text)
{
    return hash_mix(hash_bytes(text, r->hash_seed), tenant);
}

static bool
name_find(const struct registry *r, uint32_t tenant, struct bytes text, uint32_t *ret_id)
{
    uint64_t hash = text_hash(r, tenant, text);
    uint32_t at = TABLE_START;
    while (table_next(id_table_shard(&r->name_table, hash), hash, &at, ret_id)) {
        const struct registry_name *n = registry_name(r, *ret_id);
        if (n->tenant == tenant && bytes_equal(n->text, text)) return true;
    }
    return false;
}

struct registry_name *
registry_find_name(const struct registry *r, uint32_t tenant, struct bytes text)
{
    uint32_t id;
    return name_find(r, tenant, text, &id) ? registry_name(r, id) : NULL;
}

static bool
pair_find(const struct registry *r, uint32_t tenant, struct bytes field, uint32_t *ret_id)
{
    uint64_t hash = text_hash(r, tenant, field);
    uint32_t at = TABLE_START;
    while (table_next(id_table_shard(&r->pair_table, hash), hash, &at, ret_id)) {
        const struct pair *p = registry_pair(r, *ret_id);
        if (p->tenant == tenant && bytes_equal(bytes_of(p->field, p->field_size), field))
            return true;
    }
    return false;
}

bool
registry_find_pair(const struct registry *r, uint32_t tenant, struct label label,
                   struct buf *scratch, uint32_t *ret_id)
{
    buf_clear(scratch);
    labels_put(scratch, label);
    return buf_error(scratch) == OK && pair_find(r, tenant, buf_bytes(scratch), ret_id);
}

/* --- adding ----------------------------------------------------------------------------------- */

void
registry_alias(struct registry *r, const struct series *series, uint64_t key)
{
    /* A sender that orders its labels differently in each request must not fill the memory. */
    if (r->alias_count > 2 * r->series.count + 1024) return;
    uint64_t hash = hash_mix(key, series->tenant);
    struct table *table = id_table_shard(&r->series_table, hash);
    if (!table_reserve(table, r->budget, 1)) return;
    table_add(table, hash, series->id);
    r->alias_count++;
}

static enum err
tenant_get(struct registry *r, uint32_t tenant, struct registry_tenant **ret_tenant)
{
    uint32_t id;
    while (r->tenants.count <= tenant)
        if (paged_push(&r->tenants, &r->gmem, &id) == NULL) return ERR_NOMEM;
    *ret_tenant = paged_at(&r->tenants, tenant);
    return OK;
}

static const uint8_t *
text_keep(struct registry *r, struct bytes text)
{
    uint8_t *copy = gmem_alloc(&r->gmem, text.size);
    if (copy != NULL) memcpy(copy, text.at, text.size);
    return copy;
}

static enum err
name_get(struct registry *r, uint32_t tenant, struct bytes text, uint32_t *ret_id)
{
    if (name_find(r, tenant, text, ret_id)) return OK;
    uint64_t hash = text_hash(r, tenant, text);
    struct registry_tenant *owner;
    enum err e = tenant_get(r, tenant, &owner);
    if (e == OK && !table_reserve(id_table_shard(&r->name_table, hash), r->budget, 1))
        e = ERR_NOMEM;
    if (e == OK) e = id_list_reserve(&owner->names, &r->gmem);
    if (e) return e;
    const uint8_t *copy = text_keep(r, text);
    if (copy == NULL) return ERR_NOMEM;
    struct registry_name *n = paged_push(&r->names, &r->gmem, ret_id);
    if (n == NULL) return ERR_NOMEM;
    n->text = bytes_of(copy, text.size);
    n->tenant = tenant;
    id_list_push(&owner->names, *ret_id);
    table_add(id_table_shard(&r->name_table, hash), hash, *ret_id);
    return OK;
}

static enum err
pair_get(struct registry *r, uint32_t tenant, struct bytes field, struct bytes name,
         uint32_t *ret_id)
{
    if (pair_find(r, tenant, field, ret_id)) return OK;
    uint32_t name_id, use_id;
    uint64_t hash = text_hash(r, tenant, field);
    enum err e = name_get(r, tenant, name, &name_id);
    struct registry_name *owner = e == OK ? registry_name(r, name_id) : NULL;
    if (e == OK && !table_reserve(id_table_shard(&r->pair_table, hash), r->budget, 1))
        e = ERR_NOMEM;
    if (e == OK) e = id_list_reserve(&owner->pairs, &r->gmem);
    if (e) return e;
    const uint8_t *copy = text_keep(r, field);
    if (copy == NULL) return ERR_NOMEM;
    struct pair *p = paged_push(&r->pairs, &r->gmem, ret_id);
    if (p == NULL) return ERR_NOMEM;
    struct pair_use *use = paged_push(&r->pair_uses, &r->gmem, &use_id);
    if (use == NULL) {
        r->pairs.count--;
        return ERR_NOMEM;
    }
    assert(use_id == *ret_id); /* invariant 2 */
    *p = (struct pair){copy, (uint32_t)field.size, tenant};
    use->name = name_id;
    id_list_push(&owner->pairs, *ret_id);
    table_add(id_table_shard(&r->pair_table, hash), hash, *ret_id);
    return OK;
}

enum err
registry_add(struct registry *r, uint32_t tenant, struct bytes labels, struct series **ret_series)
{
    uint64_t hash = hash_mix(registry_labels_hash(r, labels), tenant);
    struct registry_tenant *owner;
    uint32_t id;
    struct table *table = id_table_shard(&r->series_table, hash);
    if (!table_reserve(table, r->budget, 1)) return ERR_NOMEM;
    enum err e = tenant_get(r, tenant, &owner);
    if (e) return e;
    uint32_t count = labels_count(labels);
    size_t size = sizeof(struct series_pairs) + count * sizeof(uint32_t);
    if ((size_t)(r->row_end - r->row_at) < size) {
        size_t block = r->row_at == NULL ? ROWS_BYTES_FIRST : ROWS_BYTES;
        if (block < size) block = size;
        uint8_t *rows = gmem_alloc(&r->gmem, block);
        if (rows == NULL) return ERR_NOMEM;
        r->row_at = rows;
        r->row_end = rows + block;
    }
    struct series_pairs *row = (struct series_pairs *)r->row_at; /* moves on at the end */
    /* New pairs stay if a later step fails; the next attempt finds them. */
    struct cursor c = cursor_of(labels);
    struct label label;
    row->count = 0;
    for (const uint8_t *field = c.at; labels_next(&c, &label); field = c.at) {
        struct bytes bytes = bytes_of(field, (size_t)(c.at - field));
        e = pair_get(r, tenant, bytes, label.name, &row->ids[row->count]);
        if (e) return e;
        row->count++;
    }
    assert(row->count == count); /* invariant 3 */
    /* Reserved first, so that adding the series to all lists cannot fail half way. */
    e = id_list_reserve(&owner->series, &r->gmem);
    for (uint32_t i = 0; i < row->count && e == OK; i++)
        e = id_list_reserve(&registry_pair_use(r, row->ids[i])->series, &r->gmem);
    if (e) return e;
    bool printed = r->prints.count > r->series.count; /* left by an attempt that failed */
    if (!printed && paged_push(&r->prints, &r->gmem, &id) == NULL) return ERR_NOMEM;
    struct series *s = paged_push(&r->series, &r->gmem, &id);
    if (s == NULL) return ERR_NOMEM;
    s->id = id;
    s->tenant = tenant;
    s->nameless = labels_get(labels, bytes_of_text("__name__")).size == 0;
    s->pairs = row;
    r->row_at = (uint8_t *)&row->ids[row->count];
    assert(r->row_at <= r->row_end);            /* invariant 3 */
    assert(r->prints.count == r->series.count); /* invariant 1 */
    id_list_push(&owner->series, id);
    for (uint32_t i = 0; i < row->count; i++)
        id_list_push(&registry_pair_use(r, row->ids[i])->series, id);
    table_add(table, hash, id);
    *ret_series = s;
    return OK;
}

/* --- labels ----------------------------------------------------------------------------------- */

size_t
series_labels_size(const struct registry *r, const struct series *series)
{
    size_t size = 0;
    for (uint32_t i = 0; i < series->pairs->count; i++)
        size += registry_pair(r, series->pairs->ids[i])->field_size;
    return size;
}

void
series_labels(const struct registry *r, const struct series *series, struct buf *to)
{
    for (uint32_t i = 0; i < series->pairs->count; i++) {
        const struct pair *p = registry_pair(r, series->pairs->ids[i]);
        buf_put(to, p->field, p->field_size);
    }
}

int
series_compare(const struct registry *r, const struct series *a, const struct series *b)
{
    const struct series_pairs *x = a->pairs, *y = b->pairs;
    uint32_t common = x->count < y->count ? x->count : y->count;
    for (uint32_t i = 0; i < common; i++) {
        if (x->ids[i] == y->ids[i]) continue;
        struct label p = pair_label(registry_pair(r, x->ids[i]));
        struct label q = pair_label(registry_pair(r, y->ids[i]));
        int order = bytes_compare(p.name, q.name);
        return order != 0 ? order : bytes_compare(p.value, q.value);
    }
    return (x->count > y->count) - (x->count < y->count);
}
