/*
 * gen.c - series, labels and index of a generation. Samples are in gen_samples.c.
 */
#include "tsdb/late_index.h"

#include <assert.h>

#include "base/hash.h"

enum { TABLE_FIRST_SLOTS = 16, FULL_PAGES_FROM = 8 };

_Static_assert(GEN_PAGE_FIRST << (FULL_PAGES_FROM - 1) == GEN_PAGE, "pages double up to here");

/* --- paged arrays ----------------------------------------------------------------------------- */

static uint32_t
page_of(uint32_t id, uint32_t *ret_first)
{
    if (id >= GEN_PAGE) {
        *ret_first = id & ~(uint32_t)(GEN_PAGE - 1);
        return FULL_PAGES_FROM + id / GEN_PAGE - 1;
    }
    if (id < GEN_PAGE_FIRST) {
        *ret_first = 0;
        return 0;
    }
    unsigned power = 31u - (unsigned)__builtin_clz(id);
    *ret_first = 1u << power;
    return power - 5;
}

static void *
paged_at(const struct paged *p, uint32_t id)
{
    uint32_t first, page = page_of(id, &first);
    return p->pages[page] + (size_t)(id - first) * p->item_bytes;
}

static enum err
paged_init(struct paged *p, uint32_t item_bytes)
{
    p->item_bytes = item_bytes;
    /* Hardly touched, so that it costs address space, not memory: charged to nobody. */
    p->pages = mem_new(NULL, GEN_PAGES_MAX * sizeof *p->pages);
    return p->pages == NULL ? ERR_NOMEM : OK;
}

static void
paged_fini(struct paged *p)
{
    mem_free(NULL, p->pages, GEN_PAGES_MAX * sizeof *p->pages);
}

/* The next item, zeroed; NULL: no memory. The page lies in the generation's memory. */
static void *
paged_push(struct paged *p, struct gmem *gmem, uint32_t *ret_id)
{
    uint32_t first, page = page_of(p->count, &first);
    if (page == GEN_PAGES_MAX) return NULL;
    if (p->pages[page] == NULL) {
        size_t items = first >= GEN_PAGE ? GEN_PAGE : first == 0 ? GEN_PAGE_FIRST : first;
        p->pages[page] = gmem_alloc(gmem, items * p->item_bytes);
        if (p->pages[page] == NULL) return NULL;
    }
    *ret_id = p->count++;
    void *item = paged_at(p, *ret_id);
    memset(item, 0, p->item_bytes);
    return item;
}

struct series *
gen_series(const struct gen *gen, uint32_t id)
{
    return paged_at(&gen->series, id);
}

struct pair *
gen_pair(const struct gen *gen, uint32_t id)
{
    return paged_at(&gen->pairs, id);
}

struct gen_name *
gen_name(const struct gen *gen, uint32_t id)
{
    return paged_at(&gen->names, id);
}

struct gen_exemplar *
gen_exemplar(const struct gen *gen, uint32_t id)
{
    return paged_at(&gen->exemplars, id);
}

struct gen_tenant *
gen_tenant(const struct gen *gen, uint32_t tenant)
{
    return tenant < gen->tenants.count ? paged_at(&gen->tenants, tenant) : NULL;
}

/* --- id lists --------------------------------------------------------------------------------- */

/* Rule 2 of gen.h: an outgrown list stays where it is, for those who still read it. */
static enum err
id_list_push(struct id_list *list, struct gmem *gmem, uint32_t id)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        uint32_t *at = gmem_alloc(gmem, capacity * sizeof *at);
        if (at == NULL) return ERR_NOMEM;
        if (list->count > 0) memcpy(at, list->at, list->count * sizeof *at);
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = id;
    return OK;
}

/* --- tables ----------------------------------------------------------------------------------- */

static unsigned
shard_of(uint64_t hash)
{
    return (unsigned)(hash >> 58);
}

static void
table_fini(struct id_table *t, struct budget *budget)
{
    for (unsigned s = 0; s < GEN_SHARDS; s++) {
        mem_free(budget, t->shards[s].slots, t->shards[s].capacity * sizeof(struct id_slot));
    }
}

static void
slots_insert(struct id_slot *slots, uint32_t capacity, uint32_t hash, uint32_t id_plus_1)
{
    uint32_t at = hash & (capacity - 1);
    while (slots[at].id_plus_1 != 0) {
        at = (at + 1) & (capacity - 1);
    }
    slots[at] = (struct id_slot){hash, id_plus_1};
}

static enum err
table_grow(struct id_table *t, struct budget *budget, unsigned shard)
{
    uint32_t old = t->shards[shard].capacity;
    uint32_t capacity = old == 0 ? TABLE_FIRST_SLOTS : old * 2;
    struct id_slot *slots = mem_new(budget, capacity * sizeof *slots);
    if (slots == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < old; i++) {
        struct id_slot *s = &t->shards[shard].slots[i];
        if (s->id_plus_1 != 0) slots_insert(slots, capacity, s->hash, s->id_plus_1);
    }
    mem_free(budget, t->shards[shard].slots, old * sizeof *slots);
    t->shards[shard].slots = slots;
    t->shards[shard].capacity = capacity;
    return OK;
}

/* Room for one more in the shard of `hash`. */
static enum err
table_reserve(struct id_table *t, struct budget *budget, uint64_t hash)
{
    unsigned shard = shard_of(hash);
    uint32_t capacity = t->shards[shard].capacity;
    if (t->shards[shard].count + 1 <= capacity - capacity / 4 && capacity > 0) return OK;
    return table_grow(t, budget, shard);
}

static void
table_insert(struct id_table *t, uint64_t hash, uint32_t id)
{
    unsigned shard = shard_of(hash);
    slots_insert(t->shards[shard].slots, t->shards[shard].capacity, (uint32_t)hash, id + 1);
    t->shards[shard].count++;
}

/* Steps through the ids with this hash: start with *at = UINT32_MAX. False: no more. */
static bool
table_next(const struct id_table *t, uint64_t hash, uint32_t *at, uint32_t *ret_id)
{
    unsigned shard = shard_of(hash);
    uint32_t capacity = t->shards[shard].capacity;
    if (capacity == 0) return false;
    const struct id_slot *slots = t->shards[shard].slots;
    uint32_t i = *at == UINT32_MAX ? (uint32_t)hash & (capacity - 1) : (*at + 1) & (capacity - 1);
    for (; slots[i].id_plus_1 != 0; i = (i + 1) & (capacity - 1)) {
        if (slots[i].hash != (uint32_t)hash) continue;
        *at = i;
        *ret_id = slots[i].id_plus_1 - 1;
        return true;
    }
    return false;
}

/* --- life ------------------------------------------------------------------------------------- */

static void
gen_free(struct gen *gen)
{
    late_indexes_drop(gen);
    table_fini(&gen->series_table, gen->budget);
    table_fini(&gen->pair_table, gen->budget);
    table_fini(&gen->name_table, gen->budget);
    table_fini(&gen->exemplar_table, gen->budget);
    paged_fini(&gen->series);
    paged_fini(&gen->pairs);
    paged_fini(&gen->names);
    paged_fini(&gen->exemplars);
    paged_fini(&gen->tenants);
    gmem_fini(&gen->gmem);
    mem_free(NULL, gen, sizeof *gen);
}

enum err
gen_new(struct budget *budget, uint64_t number, uint64_t ref_base, uint64_t hash_seed,
        struct gen **ret_gen)
{
    struct gen *gen = mem_new(NULL, sizeof *gen);
    if (gen == NULL) return ERR_NOMEM;
    gen->budget = budget;
    gen->number = number;
    gen->ref_base = ref_base;
    gen->hash_seed = hash_seed;
    atomic_init(&gen->references, 1);
    gmem_init(&gen->gmem, budget);
    enum err e = paged_init(&gen->series, sizeof(struct series));
    if (e == OK) e = paged_init(&gen->pairs, sizeof(struct pair));
    if (e == OK) e = paged_init(&gen->names, sizeof(struct gen_name));
    if (e == OK) e = paged_init(&gen->exemplars, sizeof(struct gen_exemplar));
    if (e == OK) e = paged_init(&gen->tenants, sizeof(struct gen_tenant));
    if (e) {
        gen_unref(gen);
        return e;
    }
    *ret_gen = gen;
    return OK;
}

void
gen_ref(struct gen *gen)
{
    atomic_fetch_add_explicit(&gen->references, 1, memory_order_relaxed);
}

void
gen_unref(struct gen *gen)
{
    if (gen == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&gen->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) gen_free(gen);
}

/* --- finding ---------------------------------------------------------------------------------- */

struct label
pair_label(const struct pair *pair)
{
    struct cursor c = {pair->field, pair->field + pair->field_size, false};
    struct label label = {{NULL, 0}, {NULL, 0}};
    bool got = labels_next(&c, &label);
    assert(got);
    return label;
}

uint64_t
gen_labels_hash(const struct gen *gen, struct bytes labels)
{
    return hash_bytes(labels, gen->hash_seed);
}

struct series *
gen_find(const struct gen *gen, uint32_t tenant, uint64_t key,
         bool (*equal)(void *context, const struct gen *gen, const struct series *series),
         void *context)
{
    uint64_t hash = hash_mix(key, tenant);
    uint32_t at = UINT32_MAX, id;
    while (table_next(&gen->series_table, hash, &at, &id)) {
        struct series *s = gen_series(gen, id);
        if (s->tenant == tenant && equal(context, gen, s)) return s;
    }
    return NULL;
}

void
gen_prefetch_key(const struct gen *gen, uint32_t tenant, uint64_t key)
{
    uint64_t hash = hash_mix(key, tenant);
    unsigned shard = shard_of(hash);
    uint32_t capacity = gen->series_table.shards[shard].capacity;
    const struct id_slot *slots = gen->series_table.shards[shard].slots;
    if (capacity > 0) __builtin_prefetch(&slots[(uint32_t)hash & (capacity - 1)]);
}

struct series *
gen_guess(const struct gen *gen, uint32_t tenant, uint64_t key)
{
    uint32_t at = UINT32_MAX, id;
    if (!table_next(&gen->series_table, hash_mix(key, tenant), &at, &id)) return NULL;
    struct series *s = gen_series(gen, id);
    for (size_t line = 0; line < sizeof *s; line += 64) {
        __builtin_prefetch((const uint8_t *)s + line, 1);
    }
    return s;
}

void
gen_prefetch_chunk(const struct series *series)
{
    __builtin_prefetch(series->pairs);
    if (series->open.bytes == NULL) return;
    __builtin_prefetch(series->open.bytes + series->open.size_bytes, 1);
}

bool
series_has_labels(const struct gen *gen, const struct series *series, struct bytes labels)
{
    const uint8_t *at = labels.at;
    size_t left = labels.size;
    for (uint32_t i = 0; i < series->pair_count; i++) {
        const struct pair *p = gen_pair(gen, series->pairs[i]);
        if (p->field_size > left || memcmp(p->field, at, p->field_size) != 0) return false;
        at += p->field_size;
        left -= p->field_size;
    }
    return left == 0;
}

static bool
equal_labels(void *context, const struct gen *gen, const struct series *series)
{
    return series_has_labels(gen, series, *(const struct bytes *)context);
}

struct series *
gen_find_labels(const struct gen *gen, uint32_t tenant, struct bytes labels)
{
    return gen_find(gen, tenant, gen_labels_hash(gen, labels), equal_labels, &labels);
}

void
gen_alias(struct gen *gen, const struct series *series, uint64_t key)
{
    /* A sender that shuffles its labels anew every time does not fill our memory. */
    if (gen->alias_count > 2 * gen->series.count + 1024) return;
    uint64_t hash = hash_mix(key, series->tenant);
    if (table_reserve(&gen->series_table, gen->budget, hash) != OK) return;
    table_insert(&gen->series_table, hash, series->id);
    gen->alias_count++;
}

/* --- adding ----------------------------------------------------------------------------------- */

static enum err
tenant_get(struct gen *gen, uint32_t tenant, struct gen_tenant **ret_tenant)
{
    uint32_t id;
    while (gen->tenants.count <= tenant) {
        if (paged_push(&gen->tenants, &gen->gmem, &id) == NULL) return ERR_NOMEM;
    }
    *ret_tenant = paged_at(&gen->tenants, tenant);
    return OK;
}

static enum err
name_get(struct gen *gen, uint32_t tenant, struct bytes text, uint32_t *ret_id)
{
    uint64_t hash = hash_mix(hash_bytes(text, gen->hash_seed), tenant);
    uint32_t at = UINT32_MAX, id;
    while (table_next(&gen->name_table, hash, &at, &id)) {
        const struct gen_name *n = gen_name(gen, id);
        if (n->tenant != tenant || !bytes_equal(n->text, text)) continue;
        *ret_id = id;
        return OK;
    }
    struct gen_tenant *owner;
    enum err e = tenant_get(gen, tenant, &owner);
    if (e == OK) e = table_reserve(&gen->name_table, gen->budget, hash);
    if (e) return e;
    uint8_t *copy = gmem_alloc(&gen->gmem, text.size);
    if (copy == NULL) return ERR_NOMEM;
    memcpy(copy, text.at, text.size);
    struct gen_name *n = paged_push(&gen->names, &gen->gmem, &id);
    if (n == NULL) return ERR_NOMEM;
    n->text = bytes_of(copy, text.size);
    n->tenant = tenant;
    e = id_list_push(&owner->names, &gen->gmem, id);
    if (e) {
        gen->names.count--;
        return e;
    }
    table_insert(&gen->name_table, hash, id);
    *ret_id = id;
    return OK;
}

static uint64_t
pair_hash(const struct gen *gen, uint32_t tenant, struct bytes field)
{
    return hash_mix(hash_bytes(field, gen->hash_seed), tenant);
}

static struct pair *
pair_find(const struct gen *gen, uint32_t tenant, struct bytes field, uint32_t *ret_id)
{
    uint64_t hash = pair_hash(gen, tenant, field);
    uint32_t at = UINT32_MAX, id;
    while (table_next(&gen->pair_table, hash, &at, &id)) {
        struct pair *p = gen_pair(gen, id);
        if (p->tenant != tenant || !bytes_equal(bytes_of(p->field, p->field_size), field)) continue;
        *ret_id = id;
        return p;
    }
    return NULL;
}

struct pair *
gen_find_pair(const struct gen *gen, uint32_t tenant, struct label label, struct buf *scratch)
{
    uint32_t id;
    buf_clear(scratch);
    labels_put(scratch, label);
    return buf_error(scratch) ? NULL : pair_find(gen, tenant, buf_bytes(scratch), &id);
}

static enum err
pair_get(struct gen *gen, uint32_t tenant, struct bytes field, struct bytes name, uint32_t *ret_id)
{
    if (pair_find(gen, tenant, field, ret_id) != NULL) return OK;
    uint32_t name_id, id;
    uint64_t hash = pair_hash(gen, tenant, field);
    enum err e = name_get(gen, tenant, name, &name_id);
    if (e == OK) e = table_reserve(&gen->pair_table, gen->budget, hash);
    if (e) return e;
    uint8_t *copy = gmem_alloc(&gen->gmem, field.size);
    if (copy == NULL) return ERR_NOMEM;
    memcpy(copy, field.at, field.size);
    struct pair *p = paged_push(&gen->pairs, &gen->gmem, &id);
    if (p == NULL) return ERR_NOMEM;
    p->field = copy;
    p->field_size = (uint32_t)field.size;
    p->tenant = tenant;
    p->name = name_id;
    e = id_list_push(&gen_name(gen, name_id)->pairs, &gen->gmem, id);
    if (e) {
        gen->pairs.count--;
        return e;
    }
    table_insert(&gen->pair_table, hash, id);
    *ret_id = id;
    return OK;
}

/*
 * Pairs left without a series when a later step fails are found again by the next try. The
 * series' id is pushed to the lists last, when nothing can fail but the lists: those that
 * already hold it would name a series that does not exist, so they are cut back.
 */
static enum err
series_link(struct gen *gen, struct series *s)
{
    struct gen_tenant *owner;
    enum err e = tenant_get(gen, s->tenant, &owner);
    if (e == OK) e = id_list_push(&owner->series, &gen->gmem, s->id);
    if (e) return e;
    for (uint32_t i = 0; i < s->pair_count; i++) {
        e = id_list_push(&gen_pair(gen, s->pairs[i])->series, &gen->gmem, s->id);
        if (e == OK) continue;
        while (i-- > 0) {
            gen_pair(gen, s->pairs[i])->series.count--;
        }
        owner->series.count--;
        return e;
    }
    return OK;
}

enum err
gen_add_series(struct gen *gen, uint32_t tenant, struct bytes labels, struct series **ret_series)
{
    uint64_t hash = hash_mix(gen_labels_hash(gen, labels), tenant);
    uint32_t count = labels_count(labels), id;
    enum err e = table_reserve(&gen->series_table, gen->budget, hash);
    if (e) return e;
    uint32_t *pairs = gmem_alloc(&gen->gmem, count * sizeof *pairs);
    if (pairs == NULL) return ERR_NOMEM;
    struct cursor c = cursor_of(labels);
    struct label label;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *field = c.at;
        bool got = labels_next(&c, &label);
        assert(got);
        e = pair_get(gen, tenant, bytes_of(field, (size_t)(c.at - field)), label.name, &pairs[i]);
        if (e) goto out;
    }
    struct series *s = paged_push(&gen->series, &gen->gmem, &id);
    e = s == NULL ? ERR_NOMEM : OK;
    if (e) goto out;
    s->id = id;
    s->ref = gen->ref_base + id;
    s->tenant = tenant;
    s->pairs = pairs;
    s->pair_count = count;
    s->max_ms = INT64_MIN;
    e = series_link(gen, s);
    if (e) {
        gen->series.count--;
        goto out;
    }
    table_insert(&gen->series_table, hash, id);
    *ret_series = s;
    pairs = NULL;
out:
    gmem_free(&gen->gmem, pairs, count * sizeof *pairs);
    return e;
}

void
gen_rebase(struct gen *gen, uint64_t ref_base)
{
    gen->ref_base = ref_base;
    for (uint32_t id = 0; id < gen->series.count; id++) {
        gen_series(gen, id)->ref = ref_base + id;
    }
}

void
series_labels(const struct gen *gen, const struct series *series, struct buf *to)
{
    for (uint32_t i = 0; i < series->pair_count; i++) {
        const struct pair *p = gen_pair(gen, series->pairs[i]);
        buf_put(to, p->field, p->field_size);
    }
}

int
series_compare(const struct gen *gen, const struct series *a, const struct series *b)
{
    uint32_t common = a->pair_count < b->pair_count ? a->pair_count : b->pair_count;
    for (uint32_t i = 0; i < common; i++) {
        if (a->pairs[i] == b->pairs[i]) continue;
        struct label x = pair_label(gen_pair(gen, a->pairs[i]));
        struct label y = pair_label(gen_pair(gen, b->pairs[i]));
        int order = bytes_compare(x.name, y.name);
        return order != 0 ? order : bytes_compare(x.value, y.value);
    }
    return (a->pair_count > b->pair_count) - (a->pair_count < b->pair_count);
}

/* --- exemplars -------------------------------------------------------------------------------- */

static uint64_t
exemplar_hash(const struct gen *gen, uint32_t series, const struct gen_exemplar *like)
{
    struct bytes labels = bytes_of(like->labels, like->labels_size);
    uint64_t hash = hash_mix(hash_mix(hash_bytes(labels, gen->hash_seed), series), like->bits);
    return hash_mix(hash, (uint64_t)like->t_ms);
}

static const struct gen_exemplar *
exemplar_find(const struct gen *gen, uint32_t series, const struct gen_exemplar *like)
{
    uint32_t at = UINT32_MAX, id;
    while (table_next(&gen->exemplar_table, exemplar_hash(gen, series, like), &at, &id)) {
        const struct gen_exemplar *x = gen_exemplar(gen, id);
        if (!x->undone && x->series == series && x->t_ms == like->t_ms && x->bits == like->bits &&
            bytes_equal(bytes_of(x->labels, x->labels_size),
                        bytes_of(like->labels, like->labels_size))) {
            return x;
        }
    }
    return NULL;
}

enum err
gen_add_exemplar(struct gen *gen, struct series *series, int64_t t_ms, uint64_t bits,
                 struct bytes labels, uint32_t epoch, uint32_t *ret_epoch)
{
    struct gen_exemplar new = {
        .series = series->id,
        .epoch = epoch,
        .t_ms = t_ms,
        .bits = bits,
        .labels = labels.at,
        .labels_size = (uint32_t)labels.size,
    };
    const struct gen_exemplar *old = exemplar_find(gen, series->id, &new);
    if (old != NULL) {
        *ret_epoch = old->epoch;
        return ERR_AGAIN;
    }
    if (gen->before != NULL && series->before != NULL &&
        exemplar_find(gen->before, series->before->id, &new) != NULL) {
        *ret_epoch = 0; /* a frozen generation is durable */
        return ERR_AGAIN;
    }
    uint32_t id;
    uint64_t hash = exemplar_hash(gen, series->id, &new);
    enum err e = table_reserve(&gen->exemplar_table, gen->budget, hash);
    if (e) return e;
    uint8_t *copy = gmem_alloc(&gen->gmem, labels.size);
    if (copy == NULL) return ERR_NOMEM;
    if (labels.size > 0) memcpy(copy, labels.at, labels.size);
    new.labels = copy;
    struct gen_exemplar *x = paged_push(&gen->exemplars, &gen->gmem, &id);
    if (x == NULL) {
        gmem_free(&gen->gmem, copy, labels.size);
        return ERR_NOMEM;
    }
    *x = new;
    table_insert(&gen->exemplar_table, hash, id);
    gen->sample_count[LEDGER_EXEMPLAR]++;
    return OK;
}
