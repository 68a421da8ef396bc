/*
 * flush.c - a generation becomes a part.
 *
 *      active --- cut, when nothing is pending ---> frozen --- part written, MANIFEST edited --->
 * gone
 *
 * The cut remembers the log's position and everybody's totals there. The part is durable before the
 * manifest names it, and the manifest is durable before the generation and the log's segments are
 * given up: at any moment a crash finds either the log or the part.
 */
#include <assert.h>
#include <stdlib.h>

#include "tsdb/flush_order.h"
#include "tsdb/internal.h"

/* --- cutting ---------------------------------------------------------------------------------- */

enum err
head_new_gen(struct tsdb *db, struct gen **ret_gen)
{
    struct gen *gen;
    enum err e = gen_new(&db->head_budget, db->next_gen, db->next_ref, db->hash_seed, &gen);
    if (e) return e;
    db->next_gen++;
    gen->begun_ns = env_monotonic_ns(db->env);
    *ret_gen = gen;
    return OK;
}

static enum err
cut_totals(struct tsdb *db, struct cut *cut)
{
    cut->tenant_count = db->tenant_count;
    cut->ledgers = mem_alloc(&db->flush_budget, db->tenant_count * sizeof *cut->ledgers);
    if (cut->ledgers == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < db->tenant_count; i++) {
        cut->ledgers[i] = db->tenants[i]->total;
    }
    return OK;
}

void
cut_free(struct tsdb *db, struct cut *cut)
{
    mem_free(&db->flush_budget, cut->ledgers, cut->tenant_count * sizeof *cut->ledgers);
    part_unref(cut->part);
    *cut = (struct cut){0};
}

enum err
head_cut_locked(struct tsdb *db)
{
    assert(lock_is_mine(&db->head_lock));
    assert(db->frozen == NULL);
    struct cut cut = {.pos = wal_end(db->wal),
                      .segment = wal_place(db->wal).segment,
                      .epoch = db->durable_epoch,
                      .metadata = db->metadata_changed};
    enum err e = cut_totals(db, &cut);
    if (e) return e;
    db->next_ref = db->active->ref_base + db->active->series.count;
    struct gen *next;
    e = head_new_gen(db, &next);
    if (e) {
        cut_free(db, &cut);
        return e;
    }
    next->begin_pos = cut.pos;
    next->before = db->active;
    db->frozen = db->active;
    db->active = next;
    db->cut = cut;
    db->cut_wanted = false;
    db->metadata_changed = false;
    return OK;
}

/* --- the part --------------------------------------------------------------------------------- */

/* Exemplars in the order of the part: by series, time. */
struct exemplar_order {
    uint32_t tenant;
    uint32_t number; /* of the series within the tenant; known when its series are in order */
    uint32_t id;
    int64_t t_ms;
};

enum { NO_NUMBER = UINT32_MAX };

/* Nothing here is as large as the generation once for each tenant: there may be thousands. */
struct flush {
    struct tsdb *db;
    struct gen *gen;
    struct part_writer *writer;
    struct merge merge;
    uint32_t *order;          /* series ids of a tenant, in label order */
    uint32_t *series_numbers; /* series id -> number within its tenant */
    uint32_t *pair_numbers;   /* pair id -> number within its tenant; NO_NUMBER: not in the part */
    uint8_t *marks;           /* by series id: has exemplars, so it has a row */
    struct exemplar_order *exemplars; /* by tenant */
    uint32_t exemplar_count;
    struct arena arena;        /* for the whole flush */
    struct arena tenant_arena; /* for one tenant */
    struct why *why;
};

static _Thread_local const struct gen *sort_gen; /* qsort takes no context */

static int
by_label(const void *a, const void *b)
{
    struct label x = pair_label(gen_pair(sort_gen, *(const uint32_t *)a));
    struct label y = pair_label(gen_pair(sort_gen, *(const uint32_t *)b));
    int order = bytes_compare(x.name, y.name);
    return order != 0 ? order : bytes_compare(x.value, y.value);
}

static bool
series_is_empty(const struct series *s)
{
    return s->open.count == 0 && s->sealed == NULL && (s->late == NULL || s->late->count == 0);
}

/*
 * The series of a tenant that go into the part, sorted, and the labels they have, sorted. Both get
 * their numbers.
 */
static enum err
tenant_order(struct flush *f, const struct gen_tenant *t, uint32_t *ret_series,
             uint32_t **ret_pairs, uint32_t *ret_pair_count)
{
    struct gen *gen = f->gen;
    uint32_t count = 0, pair_count = 0, pairs_max = 0;
    for (uint32_t i = 0; i < t->names.count; i++) {
        pairs_max += gen_name(gen, t->names.at[i])->pairs.count;
    }
    uint32_t *pairs = arena_alloc(&f->tenant_arena, (pairs_max + 1u) * sizeof *pairs);
    if (pairs == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < t->series.count; i++) {
        const struct series *s = gen_series(gen, t->series.at[i]);
        if (series_is_empty(s) && !f->marks[s->id]) continue;
        f->order[count++] = s->id;
        for (uint32_t p = 0; p < s->pair_count; p++) {
            if (f->pair_numbers[s->pairs[p]] != NO_NUMBER) continue;
            f->pair_numbers[s->pairs[p]] = 0;
            pairs[pair_count++] = s->pairs[p];
        }
    }
    sort_gen = gen;
    qsort(pairs, pair_count, sizeof *pairs, by_label);
    for (uint32_t i = 0; i < pair_count; i++) {
        f->pair_numbers[pairs[i]] = i;
    }
    enum err e = series_sort(gen, f->pair_numbers, f->order, count, &f->tenant_arena);
    if (e) return e;
    for (uint32_t i = 0; i < count; i++) {
        f->series_numbers[f->order[i]] = i;
    }
    *ret_series = count;
    *ret_pairs = pairs;
    *ret_pair_count = pair_count;
    return OK;
}

static enum err
write_series(struct flush *f, const struct series *s)
{
    uint32_t numbers[1024], *list = numbers;
    if (s->pair_count > 1024) {
        list = arena_alloc(&f->tenant_arena, s->pair_count * sizeof *list);
        if (list == NULL) return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < s->pair_count; i++) {
        list[i] = f->pair_numbers[s->pairs[i]];
    }
    enum err e = part_write_series(f->writer, list, s->pair_count, f->why);
    if (e) return e;
    merge_reset(&f->merge, INT64_MIN, INT64_MAX, false);
    e = merge_add_series(&f->merge, s, (uint32_t)f->db->cut.epoch, 0);
    if (e) return e;
    merge_begin(&f->merge);
    for (;;) {
        struct sample_batch batch;
        e = merge_next(&f->merge, &batch, f->why);
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
by_series_time(const void *a, const void *b)
{
    const struct exemplar_order *x = a, *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static enum err
list_exemplars(struct flush *f)
{
    struct gen *gen = f->gen;
    f->exemplars = arena_alloc(&f->arena, (gen->exemplars.count + 1u) * sizeof *f->exemplars);
    f->marks = arena_new(&f->arena, gen->series.count + 1u);
    if (f->exemplars == NULL || f->marks == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < gen->exemplars.count; i++) {
        const struct gen_exemplar *x = gen_exemplar(gen, i);
        if (x->undone) continue;
        f->marks[x->series] = 1;
        f->exemplars[f->exemplar_count++] = (struct exemplar_order){
            .tenant = gen_series(gen, x->series)->tenant, .id = i, .t_ms = x->t_ms};
    }
    qsort(f->exemplars, f->exemplar_count, sizeof *f->exemplars, by_tenant);
    return OK;
}

/* Those of a tenant; NULL: none. */
static struct exemplar_order *
tenant_exemplars(const struct flush *f, uint32_t tenant, uint32_t *ret_count)
{
    struct exemplar_order key = {.tenant = tenant};
    struct exemplar_order *first =
        bsearch(&key, f->exemplars, f->exemplar_count, sizeof key, by_tenant);
    struct exemplar_order *end = first, *stop = f->exemplars + f->exemplar_count;
    while (first != NULL && first > f->exemplars && first[-1].tenant == tenant)
        first--;
    while (end != NULL && end < stop && end->tenant == tenant)
        end++;
    *ret_count = (uint32_t)(end - first);
    return first;
}

static enum err
write_exemplars(struct flush *f, uint32_t tenant)
{
    uint32_t count;
    struct exemplar_order *list = tenant_exemplars(f, tenant, &count);
    for (uint32_t i = 0; i < count; i++) {
        list[i].number = f->series_numbers[gen_exemplar(f->gen, list[i].id)->series];
    }
    if (count > 1) qsort(list, count, sizeof *list, by_series_time);
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
    return bytes_compare(((const struct metadata *)a)->family,
                         ((const struct metadata *)b)->family);
}

/*
 * All that is known of a tenant's families goes into every part: so the newest part has them all,
 * and older ones can be dropped. Copied under the head lock, since texts may be replaced.
 */
static enum err
copy_metadata(struct flush *f, const struct tenant *tenant, struct metadata **ret,
              uint32_t *ret_count)
{
    struct tsdb *db = f->db;
    enum err e = OK;
    uint32_t count = 0;
    lock_take(&db->head_lock);
    struct metadata *list =
        arena_alloc(&f->tenant_arena, (tenant->family_count + 1u) * sizeof *list);
    if (list == NULL) e = ERR_NOMEM;
    for (uint32_t slot = 0; e == OK && slot < tenant->family_capacity; slot++) {
        for (struct family *x = tenant->families[slot]; x != NULL; x = x->next) {
            if (x->undone) continue;
            struct metadata *m = &list[count++];
            m->family = arena_copy(&f->tenant_arena, x->name);
            m->type = x->type;
            m->help = arena_copy(&f->tenant_arena, x->help);
            m->unit = arena_copy(&f->tenant_arena, x->unit);
            if (m->family.at == NULL || m->help.at == NULL || m->unit.at == NULL) e = ERR_NOMEM;
        }
    }
    lock_drop(&db->head_lock);
    *ret = list;
    *ret_count = count;
    return e;
}

static enum err
write_metadata(struct flush *f, const struct tenant *tenant)
{
    struct metadata *list;
    uint32_t count;
    enum err e = copy_metadata(f, tenant, &list, &count);
    if (e) return e;
    qsort(list, count, sizeof *list, by_family);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = part_write_metadata(f->writer, &list[i], f->why);
    }
    return e;
}

/* In label order series lie anywhere in memory: what the next ones need is asked for ahead of use.
 */
static void
ask_ahead(const struct flush *f, uint32_t at, uint32_t count)
{
    enum { SERIES_AHEAD = 12, PARTS_AHEAD = 6 };
    if (at + SERIES_AHEAD >= count) return;
    const char *far = (const char *)gen_series(f->gen, f->order[at + SERIES_AHEAD]);
    for (size_t line = 0; line < sizeof(struct series); line += 64) {
        __builtin_prefetch(far + line);
    }
    const struct series *near = gen_series(f->gen, f->order[at + PARTS_AHEAD]);
    __builtin_prefetch(near->pairs);
    __builtin_prefetch(near->open.bytes);
    __builtin_prefetch(near->open.bytes + 64);
}

static enum err
write_tenant(struct flush *f, const struct tenant *tenant)
{
    const struct gen_tenant *t = gen_tenant(f->gen, tenant->id);
    static const struct gen_tenant nothing;
    if (t == NULL) t = &nothing;
    uint32_t series_count, pair_count, *pairs;
    arena_reset(&f->tenant_arena);
    enum err e = tenant_order(f, t, &series_count, &pairs, &pair_count);
    if (e) return e;
    if (series_count == 0 && tenant->family_count == 0) return OK;
    e = part_write_tenant(f->writer, tenant->name, f->why);
    for (uint32_t i = 0; i < pair_count && e == OK; i++) {
        e = part_write_pair(f->writer, pair_label(gen_pair(f->gen, pairs[i])), f->why);
    }
    for (uint32_t i = 0; i < series_count && e == OK; i++) {
        ask_ahead(f, i, series_count);
        e = write_series(f, gen_series(f->gen, f->order[i]));
    }
    if (e == OK) e = write_exemplars(f, tenant->id);
    if (e == OK) e = write_metadata(f, tenant);
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
    uint32_t count = db->cut.tenant_count;
    size_t series_max = f->gen->series.count + 1u, pairs_max = f->gen->pairs.count + 1u;
    struct tenant **sorted = arena_alloc(&f->arena, (count + 1u) * sizeof *sorted);
    f->order = arena_alloc(&f->arena, series_max * sizeof *f->order);
    f->series_numbers = arena_alloc(&f->arena, series_max * sizeof *f->series_numbers);
    f->pair_numbers = arena_alloc(&f->arena, pairs_max * sizeof *f->pair_numbers);
    if (sorted == NULL || f->order == NULL || f->series_numbers == NULL ||
        f->pair_numbers == NULL) {
        return ERR_NOMEM;
    }
    memset(f->pair_numbers, 0xff, pairs_max * sizeof *f->pair_numbers);
    enum err e = list_exemplars(f);
    if (e) return e;
    lock_take(&db->head_lock);
    memcpy(sorted, db->tenants, count * sizeof *sorted);
    lock_drop(&db->head_lock);
    qsort(sorted, count, sizeof *sorted, by_tenant_name);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        e = write_tenant(f, sorted[i]);
    }
    return e;
}

static bool
gen_is_empty(const struct gen *gen)
{
    return gen->sample_count[LEDGER_FLOAT] == 0 && gen->sample_count[LEDGER_HISTOGRAM] == 0 &&
           gen->sample_count[LEDGER_EXEMPLAR] == 0;
}

static enum err
write_part(struct tsdb *db, struct part **ret_part, struct why *why)
{
    struct flush f = {.db = db, .gen = db->frozen, .why = why};
    struct part_info info;
    uint64_t number = atomic_fetch_add(&db->next_part, 1);
    arena_init(&f.arena, &db->flush_budget, 0, 0);
    arena_init(&f.tenant_arena, &db->flush_budget, 0, 0);
    merge_init(&f.merge, &db->flush_budget, NULL);
    enum err e = part_writer_new(db->env, &db->flush_budget, db->parts_dir, number,
                                 db->frozen->begin_pos, db->cut.pos, &f.writer, why);
    if (e == OK) e = write_tenants(&f);
    if (e == OK) e = part_writer_finish(f.writer, &info, why);
    part_writer_free(f.writer);
    merge_fini(&f.merge);
    arena_fini(&f.tenant_arena);
    arena_fini(&f.arena);
    if (e) return e;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        assert(info.sample_count[k] == db->frozen->sample_count[k]);
    }
    return part_open(db->env, &db->cache_budget, db->cache, db->parts_dir, number, ret_part, why);
}

static enum err
flush_frozen(struct tsdb *db, struct why *why)
{
    enum err e = OK;
    bool wanted = !gen_is_empty(db->frozen) || db->cut.metadata;
    if (wanted && db->cut.part == NULL) e = write_part(db, &db->cut.part, why);
    struct part *part = db->cut.part;
    struct store_edit edit = {.add = &part, .add_count = part != NULL, .flush = true};
    if (e == OK) e = store_edit(db, &edit, why);
    /* A part that is written stays for the next attempt: the manifest may name it already. */
    if (e) return why_prefix(why, e, "flush");
    atomic_fetch_add(&db->flushes_total, 1);
    return OK;
}

enum err
tsdb_flush(struct tsdb *db, struct why *why)
{
    if (!tsdb_has_frozen(db)) return OK;
    enum err e = flush_frozen(db, why);
    if (e) {
        atomic_fetch_add(&db->flush_failures_total, 1);
        return e;
    }
    return wal_trim(db->wal, atomic_load(&db->store_pos), why);
}
