/*
 * gen.c - generations: their life, the samples of each series, and exemplars. gen_samples.c appends
 * samples and takes them back.
 *
 * Invariants, under the head lock:
 *  1. No sample of a series is newer than its open.last_ms, and the times of the open chunk ascend.
 *     So a newer sample goes into the open chunk, any other into the late buffer.
 *  2. Late buffers ascend in time; count <= capacity.
 *  3. sample_count is the number of samples of each kind in open chunks, sealed chunks and late
 *     buffers, and of exemplars that are not undone.
 *  4. series_count is the number of series that hold a sample.
 *  5. All samples are within [min_ms, max_ms]. Taking samples back leaves the bounds as they are.
 *  6. Sealing neither drops nor repeats a sample.
 *  7. A late index is in the generation's list and is the index of its owner, the buffer that the
 *     chunks were sealed from.
 */
#include <assert.h>

#include "base/hash/hash.h"
#include "tsdb/head/late_index.h"

/* --- life ------------------------------------------------------------------------------------- */

enum err
gen_new(struct budget *budget, uint64_t number, struct registry *registry, struct views *views,
        struct gen **ret_gen)
{
    struct gen *gen = mem_new(NULL, sizeof *gen);
    if (gen == NULL) return ERR_NOMEM;
    gen->budget = budget;
    gen->number = number;
    gen->registry = registry;
    gen->views = views;
    gen->min_ms = INT64_MAX;
    gen->max_ms = INT64_MIN;
    registry_ref(registry);
    atomic_init(&gen->references, 1);
    gmem_init(&gen->gmem, budget);
    enum err e = paged_init(&gen->series, sizeof(struct gen_series));
    if (e == OK) e = paged_init(&gen->exemplars, sizeof(struct gen_exemplar));
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
    if (before > 1) return;
    late_indexes_drop(gen);
    id_table_fini(&gen->exemplar_table, gen->budget);
    paged_fini(&gen->series);
    paged_fini(&gen->exemplars);
    if (gen->views != NULL) view_notes_fini(&gen->notes, gen->views);
    gmem_fini(&gen->gmem);
    registry_unref(gen->registry);
    mem_free(NULL, gen, sizeof *gen);
}

uint64_t
gen_bytes(const struct gen *gen)
{
    return gen->gmem.total_bytes + id_table_bytes(&gen->exemplar_table);
}

static void
series_validate(const struct gen *gen, const struct gen_series *s, uint64_t *counts)
{
    const struct hchunk_open *o = &s->open;
    if (o->count > 0) {
        counts[ledger_kind_of((enum sample_kind)o->kind)] += o->count;
        assert(o->size_bytes <= o->capacity_bytes);
        assert(o->pending_now + o->pending_before <= o->count);
        assert(hchunk_first_ms(o) <= o->last_ms);  /* invariant 1 */
        assert(hchunk_first_ms(o) >= gen->min_ms); /* invariant 5 */
        assert(o->last_ms <= gen->max_ms);         /* invariant 5 */
    }
    for (const struct hchunk *c = s->past == NULL ? NULL : s->past->sealed; c != NULL;
         c = c->next) {
        counts[ledger_kind_of((enum sample_kind)c->kind)] += c->count;
        assert(c->count > 0);
        assert(c->pending_now + c->pending_before <= c->count);
        assert(c->min_ms <= c->max_ms);
        assert(c->max_ms <= o->last_ms);  /* invariant 1 */
        assert(c->min_ms >= gen->min_ms); /* invariant 5 */
        assert(c->max_ms <= gen->max_ms); /* invariant 5 */
    }
    const struct late *late = s->past == NULL ? NULL : s->past->late;
    for (uint32_t i = 0; late != NULL && i < late->count; i++) {
        const struct late_sample *l = &late->samples[i];
        counts[ledger_kind_of(l->histogram == NULL ? SAMPLE_FLOAT : l->histogram->kind)]++;
        assert(l->t_ms <= o->last_ms);                          /* invariant 1 */
        assert(i == 0 || late->samples[i - 1].t_ms <= l->t_ms); /* invariant 2 */
        assert(l->t_ms >= gen->min_ms);                         /* invariant 5 */
    }
}

void
gen_validate(const struct gen *gen)
{
    uint64_t counts[LEDGER_KIND_COUNT] = {0};
    uint32_t series_count = 0;
    for (uint32_t id = 0; id < gen->series.count; id++) {
        const struct gen_series *s = gen_series(gen, id);
        if (s == NULL || gen_series_is_empty(s)) continue;
        series_count++;
        series_validate(gen, s, counts);
    }
    for (uint32_t i = 0; i < gen->exemplars.count; i++) {
        counts[LEDGER_EXEMPLAR] += !gen_exemplar(gen, i)->undone;
    }
    assert(series_count == gen->series_count); /* invariant 4 */
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        assert(counts[k] == gen->sample_count[k]); /* invariant 3 */
    }
    gmem_validate(&gen->gmem);
    registry_validate(gen->registry);
}

/* --- series ----------------------------------------------------------------------------------- */

/* The series in the generation before. False if it cannot have samples there. */
static bool
id_before(const struct gen *gen, const struct series *series, uint32_t *ret_id)
{
    if (gen->before == NULL) return false;
    bool shared = gen->before->registry == gen->registry;
    *ret_id = shared ? series->id : series->before_plus_1 - 1;
    return shared || series->before_plus_1 != 0;
}

const struct gen_series *
gen_before(const struct gen *gen, const struct series *series)
{
    uint32_t id;
    return id_before(gen, series, &id) ? gen_series(gen->before, id) : NULL;
}

static void
series_begin(void *item)
{
    ((struct gen_series *)item)->open.last_ms = INT64_MIN;
}

enum err
gen_series_get(struct gen *gen, const struct series *series, struct gen_series **ret_series)
{
    struct gen_series *s = gen_series(gen, series->id);
    if (s == NULL) {
        enum err e = paged_touch(&gen->series, &gen->gmem, series->id, series_begin);
        if (e) return e;
        s = gen_series(gen, series->id);
    }
    if (s->open.last_ms == INT64_MIN && gen->before != NULL) {
        const struct gen_series *before = gen_before(gen, series);
        if (before != NULL) s->open.last_ms = before->open.last_ms;
    }
    *ret_series = s;
    return OK;
}

bool
gen_series_is_empty(const struct gen_series *s)
{
    return s->open.count == 0 &&
           (s->past == NULL ||
            (s->past->sealed == NULL && (s->past->late == NULL || s->past->late->count == 0)));
}

uint32_t
gen_open_visible(const struct gen *gen, const struct gen_series *s, uint32_t epoch)
{
    const struct hchunk_open *o = &s->open;
    if (o->count == 0) return 0;
    struct chunk_marks marks = hchunk_open_marks(o);
    if (!chunk_marks_suffice(&marks, epoch)) marks.first_ms = hchunk_first_ms(o);
    return view_notes_visible(&gen->notes, s, &marks, epoch);
}

uint32_t
gen_sealed_visible(const struct gen *gen, const struct gen_series *s, const struct hchunk *c,
                   uint32_t epoch)
{
    struct chunk_marks marks = hchunk_sealed_marks(c);
    return view_notes_visible(&gen->notes, s, &marks, epoch);
}

bool
gen_series_meets(const struct gen *gen, const struct gen_series *s, int64_t min_ms, int64_t max_ms,
                 uint32_t epoch)
{
    const struct hchunk_open *o = &s->open;
    /* Mostly the last time decides, without a look into the chunk. */
    if (o->count > 0 && o->last_ms >= min_ms &&
        (o->last_ms <= max_ms || hchunk_first_ms(o) <= max_ms) &&
        gen_open_visible(gen, s, epoch) > 0) {
        return true;
    }
    if (s->past == NULL) return false;
    for (const struct hchunk *c = s->past->sealed; c != NULL; c = c->next) {
        if (c->max_ms >= min_ms && c->min_ms <= max_ms &&
            gen_sealed_visible(gen, s, c, epoch) > 0) {
            return true;
        }
    }
    for (uint32_t i = 0; s->past->late != NULL && i < s->past->late->count; i++) {
        const struct late_sample *l = &s->past->late->samples[i];
        if (l->t_ms > max_ms) return false;
        if (l->t_ms >= min_ms && (int32_t)(l->epoch - epoch) <= 0) return true;
    }
    return false;
}

struct gen_exemplar *
gen_exemplar(const struct gen *gen, uint32_t id)
{
    return paged_at(&gen->exemplars, id);
}

void
gen_prefetch_series(const struct gen *gen, const struct series *series)
{
    const struct gen_series *s = gen_series(gen, series->id);
    if (s != NULL) __builtin_prefetch(s, 1);
}

void
gen_prefetch_chunk(const struct gen *gen, const struct series *series)
{
    const struct gen_series *s = gen_series(gen, series->id);
    if (s == NULL || s->open.bytes == NULL) return;
    __builtin_prefetch(s->open.bytes + s->open.size_bytes, 1);
}

/* --- exemplars -------------------------------------------------------------------------------- */

static uint64_t
exemplar_hash(const struct gen *gen, uint32_t series, const struct gen_exemplar *like)
{
    struct bytes labels = bytes_of(like->labels, like->labels_size);
    uint64_t hash =
        hash_mix(hash_mix(hash_bytes(labels, gen->registry->hash_seed), series), like->bits);
    return hash_mix(hash, (uint64_t)like->t_ms);
}

static const struct gen_exemplar *
exemplar_find(const struct gen *gen, uint32_t series, const struct gen_exemplar *like)
{
    uint64_t hash = exemplar_hash(gen, series, like);
    uint32_t at = TABLE_START, id;
    while (table_next(id_table_shard(&gen->exemplar_table, hash), hash, &at, &id)) {
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
gen_add_exemplar(struct gen *gen, const struct series *series, int64_t t_ms, uint64_t bits,
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
    uint32_t before_id;
    if (id_before(gen, series, &before_id) && exemplar_find(gen->before, before_id, &new) != NULL) {
        *ret_epoch = 0; /* a frozen generation is durable */
        return ERR_AGAIN;
    }
    uint32_t id;
    uint64_t hash = exemplar_hash(gen, series->id, &new);
    struct table *table = id_table_shard(&gen->exemplar_table, hash);
    if (!table_reserve(table, gen->budget, 1)) return ERR_NOMEM;
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
    table_add(table, hash, id);
    gen->sample_count[LEDGER_EXEMPLAR]++;
    return OK;
}
