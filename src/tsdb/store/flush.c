/*
 * flush.c - writes a generation as a part.
 *
 *      active --- cut, when nothing is pending ---> frozen --- part and MANIFEST written ---> gone
 *
 * The cut has the log's position and the totals of all tenants there. The part is durable before
 * the manifest names it, and the manifest is durable before the generation and the log's segments
 * are released: at any moment a crash finds either the log or the part.
 *
 * Invariants:
 * 1. Nothing changes in the frozen generation; only the flushing thread takes it out of the head.
 * 2. A part has exactly the samples of its generation.
 * 3. A part that was written stays in the cut until an edit has named it.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "tsdb/head/series_order.h"
#include "tsdb/read/interleave.h"
#include "tsdb/store/store.h"

/* --- cutting ---------------------------------------------------------------------------------- */

enum { CARRIED_AT_ONCE = 64 };

/* If series are limited, adds the live series to the new registry before new series can take their
 * places. Without memory some are left out: they are added with their next sample. */
static void
carry_series_over(struct tsdb *db)
{
    struct buf labels;
    buf_init(&labels, &db->flush_budget, 64 * 1024 * 1024);
    enum err e = OK;
    lock_take(&db->head.lock);
    const struct gen *frozen = db->head.frozen; /* only this thread removes it */
    assert(frozen != NULL);                     /* invariant 1 */
    const struct registry *r = frozen->registry;
    bool wanted = r != db->head.active->registry && (db->head.limits.tenant_series_max != 0 ||
                                                     db->head.limits.metric_series_max != 0);
    for (uint32_t id = 0; wanted && e == OK && id < r->series.count; id++) {
        if (id % CARRIED_AT_ONCE == CARRIED_AT_ONCE - 1) lock_give_way(&db->head.lock);
        const struct gen_series *samples = gen_series(frozen, id);
        if (samples == NULL || gen_series_is_empty(samples)) continue;
        const struct series *s = registry_series(r, id);
        struct series *carried;
        buf_clear(&labels);
        series_labels(r, s, &labels);
        e = buf_error(&labels);
        if (e == OK) e = head_series(&db->head, s->tenant, buf_bytes(&labels), &carried);
    }
    lock_drop(&db->head.lock);
    buf_fini(&labels);
}

/* --- the part --------------------------------------------------------------------------------- */

enum { ARENA_KEPT_BYTES = 64 * 1024 }; /* kept from tenant to tenant */

/* Exemplars in the order of the part: by series, time. */
struct exemplar_order {
    uint32_t tenant;
    uint32_t number; /* number of the series within the tenant; set after its series are sorted */
    uint32_t id;
};

/* There may be thousands of tenants, so no tenant gets memory in proportion to the generation. */
struct flush {
    struct tsdb *db;
    struct gen *gen;
    const struct registry *registry;
    struct part_writer *writer;
    struct interleave interleave;
    uint32_t series_max;      /* upper bound of ids in the generation */
    uint32_t *order;          /* series ids of a tenant, in label order */
    uint32_t *series_numbers; /* series id -> number within its tenant */
    uint32_t *pair_numbers;   /* pair id -> number within its tenant; UINT32_MAX: not in the part */
    uint8_t *marks;           /* by series id: it has exemplars, so it has a row */
    struct exemplar_order *exemplars; /* ordered by tenant */
    uint32_t exemplar_count;
    struct buf pairs;          /* u32: ids of a tenant's pairs, in order */
    struct arena arena;        /* for the whole flush */
    struct arena tenant_arena; /* for one tenant */
    struct arena family_arena; /* for one family's texts */
    struct why *why;
};

static enum err
write_series(struct flush *f, uint32_t id)
{
    const struct series_pairs *row = registry_series(f->registry, id)->pairs;
    const struct gen_series *s = gen_series(f->gen, id);
    uint32_t numbers[1024], *list = numbers;
    if (row->count > 1024) {
        list = arena_alloc(&f->tenant_arena, row->count * sizeof *list);
        if (list == NULL) return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < row->count; i++)
        list[i] = f->pair_numbers[row->ids[i]];
    enum err e = part_write_series(f->writer, list, row->count, f->why);
    if (e) return e;
    interleave_reset(&f->interleave, INT64_MIN, INT64_MAX, false);
    e = s == NULL
            ? OK
            : interleave_add_series(&f->interleave, f->gen, s, (uint32_t)f->db->head.cut.epoch, 0);
    if (e) return e;
    interleave_begin(&f->interleave);
    for (;;) {
        struct sample_batch batch;
        e = interleave_next(&f->interleave, &batch, f->why);
        if (e || batch.count == 0) return e;
        e = part_write_samples(f->writer, &batch, f->why);
        if (e) return e;
    }
}

static int
by_tenant(const void *a, const void *b)
{
    const struct exemplar_order *x = a, *y = b;
    return (x->tenant > y->tenant) - (x->tenant < y->tenant);
}

static int
by_series_time(const void *a, const void *b, void *gen)
{
    const struct exemplar_order *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    int64_t x_ms = gen_exemplar(gen, x->id)->t_ms, y_ms = gen_exemplar(gen, y->id)->t_ms;
    if (x_ms != y_ms) return x_ms < y_ms ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static enum err
write_exemplars(struct flush *f, uint32_t tenant)
{
    struct exemplar_order *list =
        f->exemplars + search_first(i, 0u, f->exemplar_count, f->exemplars[i].tenant >= tenant);
    uint32_t count = 0, most = f->exemplar_count - (uint32_t)(list - f->exemplars);
    while (count < most && list[count].tenant == tenant)
        count++;
    for (uint32_t i = 0; i < count; i++)
        list[i].number = f->series_numbers[gen_exemplar(f->gen, list[i].id)->series];
    if (count > 1) qsort_r(list, count, sizeof *list, by_series_time, f->gen);
    for (uint32_t i = 0; i < count; i++) {
        const struct gen_exemplar *x = gen_exemplar(f->gen, list[i].id);
        enum err e = part_write_exemplar(f->writer, list[i].number, x->t_ms, x->bits,
                                         bytes_of(x->labels, x->labels_size), f->why);
        if (e) return e;
    }
    return OK;
}

static int
by_family(const void *a, const void *b)
{
    return bytes_compare((*(struct family *const *)a)->name, (*(struct family *const *)b)->name);
}

static enum err
list_families(struct flush *f, const struct tenant *tenant, struct family ***ret,
              uint32_t *ret_count)
{
    uint32_t count = 0;
    lock_take(&f->db->head.lock);
    struct family **list =
        arena_alloc(&f->tenant_arena, (tenant->family_count + 1u) * sizeof *list);
    for (struct family *x = tenant->newest_family; list != NULL && x != NULL; x = x->before)
        list[count++] = x;
    lock_drop(&f->db->head.lock);
    if (list == NULL) return ERR_NOMEM;
    qsort(list, count, sizeof *list, by_family);
    *ret = list;
    *ret_count = count;
    return OK;
}

/* Families stay, but texts may be replaced: they are copied under the head lock, one by one. */
static enum err
write_family(struct flush *f, const struct family *x)
{
    arena_reset_to(&f->family_arena, ARENA_KEPT_BYTES);
    lock_take(&f->db->head.lock);
    const struct family_text *text = x->text;
    struct metadata m = {.family = x->name};
    if (text != NULL) {
        m.type = text->type;
        m.help = arena_copy(&f->family_arena, text->help);
        m.unit = arena_copy(&f->family_arena, text->unit);
    }
    lock_drop(&f->db->head.lock);
    if (text == NULL) return OK;
    if (m.help.at == NULL || m.unit.at == NULL) return ERR_NOMEM;
    return part_write_metadata(f->writer, &m, f->why);
}

static enum err
write_tenant(struct flush *f, const struct tenant *tenant)
{
    arena_reset_to(&f->tenant_arena, ARENA_KEPT_BYTES);
    /* Sorts the series that the generation holds, and their label pairs. Both get numbers. */
    uint32_t series_count = 0, id;
    lock_take(&f->db->head.lock);
    const struct registry_tenant *t = registry_tenant(f->registry, tenant->id);
    struct id_walk walk = t == NULL ? (struct id_walk){0} : id_list_walk(&t->series);
    lock_drop(&f->db->head.lock);
    while (id_walk_next(&walk, &id) && id < f->series_max) {
        const struct gen_series *s = gen_series(f->gen, id);
        bool empty = s == NULL || gen_series_is_empty(s);
        if (!empty || f->marks[id]) f->order[series_count++] = id;
    }
    buf_clear(&f->pairs);
    enum err e =
        pairs_number(f->registry, f->order, series_count, f->pair_numbers, &f->pairs, NULL, NULL);
    if (e == OK)
        e = series_sort(f->registry, f->pair_numbers, f->order, series_count, &f->db->flush_budget);
    if (e) return e;
    assert(series_count <= f->series_max);
    for (uint32_t i = 0; i < series_count; i++)
        f->series_numbers[f->order[i]] = i;
    const uint32_t *pairs = (const uint32_t *)(const void *)f->pairs.at;
    uint32_t pair_count = (uint32_t)(f->pairs.size / sizeof *pairs);
    if (series_count == 0 && tenant->family_count == 0) return OK;
    e = part_write_tenant(f->writer, tenant->name, f->why);
    for (uint32_t i = 0; i < pair_count && e == OK; i++)
        e = part_write_pair(f->writer, pair_label(registry_pair(f->registry, pairs[i])), f->why);
    for (uint32_t i = 0; i < series_count && e == OK; i++) {
        /* In label order series lie anywhere in memory: the next ones are prefetched. */
        enum { SERIES_AHEAD = 12, CHUNKS_AHEAD = 6 };
        if (i + SERIES_AHEAD < series_count) {
            gen_prefetch_series(f->gen, registry_series(f->registry, f->order[i + SERIES_AHEAD]));
            const struct gen_series *near = gen_series(f->gen, f->order[i + CHUNKS_AHEAD]);
            if (near != NULL) __builtin_prefetch(near->open.bytes);
            if (near != NULL) __builtin_prefetch(near->open.bytes + 64);
        }
        e = write_series(f, f->order[i]);
    }
    if (e == OK) e = write_exemplars(f, tenant->id);
    /* Every part gets all families of the tenant: so the newest part has them all, and older ones
     * can be dropped. */
    struct family **families = NULL;
    uint32_t family_count = 0;
    if (e == OK) e = list_families(f, tenant, &families, &family_count);
    for (uint32_t i = 0; e == OK && i < family_count; i++)
        e = write_family(f, families[i]);
    return e;
}

static int
by_tenant_name(const void *a, const void *b)
{
    return bytes_compare((*(struct tenant *const *)a)->name, (*(struct tenant *const *)b)->name);
}

static enum err
write_tenants(struct flush *f)
{
    struct tsdb *db = f->db;
    uint32_t count = db->head.cut.tenant_count;
    lock_take(&db->head.lock); /* others add to the registry */
    size_t pairs_max = f->registry->pairs.count + 1u;
    f->series_max = f->registry->series.count + 1u;
    lock_drop(&db->head.lock);
    struct tenant **sorted = arena_alloc(&f->arena, (count + 1u) * sizeof *sorted);
    f->order = arena_alloc(&f->arena, f->series_max * sizeof *f->order);
    f->series_numbers = arena_alloc(&f->arena, f->series_max * sizeof *f->series_numbers);
    f->pair_numbers = arena_alloc(&f->arena, pairs_max * sizeof *f->pair_numbers);
    if (sorted == NULL || f->order == NULL || f->series_numbers == NULL || f->pair_numbers == NULL)
        return ERR_NOMEM;
    memset(f->pair_numbers, 0xff, pairs_max * sizeof *f->pair_numbers);
    struct gen *gen = f->gen;
    f->exemplars = arena_alloc(&f->arena, (gen->exemplars.count + 1u) * sizeof *f->exemplars);
    f->marks = arena_new(&f->arena, f->series_max);
    if (f->exemplars == NULL || f->marks == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < gen->exemplars.count; i++) {
        const struct gen_exemplar *x = gen_exemplar(gen, i);
        if (x->undone) continue;
        assert(x->series < f->series_max);
        f->marks[x->series] = 1;
        f->exemplars[f->exemplar_count++] = (struct exemplar_order){
            .tenant = registry_series(f->registry, x->series)->tenant, .id = i};
    }
    qsort(f->exemplars, f->exemplar_count, sizeof *f->exemplars, by_tenant);
    enum err e = OK;
    lock_take(&db->head.lock);
    memcpy(sorted, db->head.tenants, count * sizeof *sorted);
    lock_drop(&db->head.lock);
    qsort(sorted, count, sizeof *sorted, by_tenant_name);
    for (uint32_t i = 0; i < count && e == OK; i++)
        e = write_tenant(f, sorted[i]);
    return e;
}

enum { WRITER_SHARE = 8 }; /* share of a flush's memory; most is for sorting series */

enum err
flush_write_part(struct tsdb *db, struct part **ret_part, struct why *why)
{
    struct flush f = {
        .db = db, .gen = db->head.frozen, .registry = db->head.frozen->registry, .why = why};
    struct part_info info;
    uint64_t number = atomic_fetch_add(&db->next_part, 1);
    arena_init(&f.arena, &db->flush_budget, 0, 0);
    arena_init(&f.tenant_arena, &db->flush_budget, 0, 0);
    arena_init(&f.family_arena, &db->flush_budget, 0, 0);
    buf_init(&f.pairs, &db->flush_budget, (size_t)1 << 34);
    interleave_init(&f.interleave, &db->flush_budget, NULL);
    enum err e = part_writer_new(db->env, &db->flush_budget, db->parts_dir, number,
                                 db->head.frozen->begin_pos, db->head.cut.pos, &f.writer, why);
    uint64_t share = db->options.flush_bytes;
    if (e == OK && share != 0 && share / WRITER_SHARE < PART_WRITER_MEMORY)
        part_writer_set_memory(f.writer, share / WRITER_SHARE);
    if (e == OK) e = write_tenants(&f);
    if (e == OK) e = part_writer_finish(f.writer, &info, why);
    part_writer_free(f.writer);
    interleave_fini(&f.interleave);
    buf_fini(&f.pairs);
    arena_fini(&f.family_arena);
    arena_fini(&f.tenant_arena);
    arena_fini(&f.arena);
    if (e) return e;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        assert(info.sample_count[k] == db->head.frozen->sample_count[k]); /* invariant 2 */
    return part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, number, ret_part, why);
}

/* Without a store: frees the generation, whose samples count as passed on to readers of the log. */
static enum err
pass_on(struct tsdb *db, struct why *why)
{
    uint32_t count = db->head.cut.tenant_count;
    struct ledger *change = mem_new(&db->flush_budget, count * sizeof *change);
    if (change == NULL && count > 0)
        return why_set(why, ERR_NOMEM, "not enough memory to release the head");
    for (uint32_t i = 0; i < count; i++)
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
            change[i].count[k][LEDGER_PASSED_ON] = db->head.cut.ledgers[i].pending[k];
    struct store_edit edit = {.change = change, .change_count = count, .flush = true};
    enum err e = store_edit(db, &edit, why);
    mem_free(&db->flush_budget, change, count * sizeof *change);
    if (e) return why_prefix(why, e, "flush");
    atomic_fetch_add(&db->flushes_total, 1);
    return OK;
}

enum err
flush_frozen(struct tsdb *db, struct part *const *before, uint32_t before_count, struct why *why)
{
    if (db->options.log_only) return pass_on(db, why);
    enum err e = OK;
    assert(db->head.frozen != NULL); /* invariant 1 */
    const uint64_t *samples = db->head.frozen->sample_count;
    bool wanted = samples[LEDGER_FLOAT] > 0 || samples[LEDGER_HISTOGRAM] > 0 ||
                  samples[LEDGER_EXEMPLAR] > 0 || db->head.cut.metadata;
    if (wanted && db->head.cut.part == NULL) e = flush_write_part(db, &db->head.cut.part, why);
    size_t bytes = (before_count + 1u) * sizeof(struct part *);
    struct part **parts = mem_alloc(&db->flush_budget, bytes);
    if (e == OK && parts == NULL) e = ERR_NOMEM;
    if (e == OK) {
        if (before_count > 0) memcpy(parts, before, before_count * sizeof *parts);
        parts[before_count] = db->head.cut.part;
        assert(!wanted || db->head.cut.part != NULL); /* invariant 3 */
        struct store_edit edit = {
            .add = parts, .add_count = before_count + (db->head.cut.part != NULL), .flush = true};
        e = store_edit(db, &edit, why);
    }
    mem_free(&db->flush_budget, parts, bytes);
    /* A written part stays for the next attempt, as the manifest may name it already (invariant 3).
     */
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory to write the head to a part");
    if (e) return why_prefix(why, e, "flush");
    atomic_fetch_add(&db->flushes_total, 1);
    return OK;
}

enum err
tsdb_flush(struct tsdb *db, struct why *why)
{
    if (!tsdb_has_frozen(db)) return OK;
    carry_series_over(db);
    enum err e = tsdb_look_before_write(db, why);
    if (e == OK) e = flush_frozen(db, NULL, 0, why);
    if (e) {
        atomic_fetch_add(&db->flush_failures_total, 1);
        return e;
    }
    return wal_trim(db->wal, atomic_load(&db->store_pos), why);
}
