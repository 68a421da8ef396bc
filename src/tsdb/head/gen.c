/*
 * gen.c - generations: their life, the samples of each series, which are appended and taken back,
 * and exemplars.
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
#include "tsdb/head/gen.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"

#include <assert.h>

/*
 * A sample newer than all of its series goes into the open chunk. Any other waits in the series'
 * late buffer, sorted by time; a full buffer becomes sealed chunks. Chunks may overlap: readers
 * merge them.
 */

/* --- the index of late chunks ----------------------------------------------------------------- */

/*
 * A table from 32 bits of a time's hash to the chunk that holds the time. Equal bits of different
 * times cost a look into a chunk. Only floats are indexed: a series with chunks of histograms has
 * no index.
 *
 * An index takes 12 bytes per sample, so it is made only if LATE_INDEX_MIN samples were sealed late
 * and the search for each looked into LATE_INDEX_LOOKS chunks on average. Passing LATE_PASSED_BY
 * chunks by their time range counts as one look.
 */
enum { LATE_INDEX_MIN = 256, LATE_INDEX_LOOKS = 4, LATE_PASSED_BY = 16 };

struct late_index {
    struct late_index *next; /* in the generation's list */
    struct late *owner;
    const struct hchunk **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    struct table times; /* chunk index by hash of a sample's time */
    bool broken;        /* not used: memory ran out, or the series has chunks of histograms */
};

static uint32_t
tag_of(const struct gen *gen, int64_t t_ms)
{
    return (uint32_t)hash_mix((uint64_t)t_ms, gen->registry->hash_seed);
}

static void
index_empty(struct gen *gen, struct late_index *x)
{
    array_free(gen->budget, x->chunks, x->chunk_capacity);
    table_fini(&x->times, gen->budget);
    x->chunks = NULL;
    x->chunk_count = x->chunk_capacity = 0;
}

static bool
add_chunk(struct gen *gen, struct late_index *x, const struct hchunk *c)
{
    int64_t times[HCHUNK_SAMPLES_MAX], starts[HCHUNK_SAMPLES_MAX];
    uint64_t bits[HCHUNK_SAMPLES_MAX];
    bool has_starts;
    if (c->kind != SAMPLE_FLOAT || !table_reserve(&x->times, gen->budget, c->count) ||
        !array_reserve(gen->budget, &x->chunks, &x->chunk_capacity, x->chunk_count + 1))
        return false;
    struct hchunk_view view = hchunk_sealed_view(c);
    enum err e = hchunk_unpack(view.kind, view.bytes, view.count, NULL, times, starts, bits, NULL,
                               &has_starts);
    assert(e == OK); /* floats take no memory */
    for (uint32_t i = 0; i < view.count; i++)
        table_add(&x->times, tag_of(gen, times[i]), x->chunk_count);
    x->chunks[x->chunk_count++] = c;
    return true;
}

/* Adds new chunks to the index: the series' sealed ones from the newest to the one after `known`.
 * Makes the index if it is needed. */
static void
late_index_sealed(struct gen *gen, struct gen_past *past, const struct hchunk *known)
{
    struct late *late = past->late;
    struct late_index *x = late == NULL ? NULL : late->index;
    if (x == NULL) {
        bool needed = late != NULL && late->sealed_count >= LATE_INDEX_MIN &&
                      late->work >= late->sealed_count * LATE_INDEX_LOOKS * LATE_PASSED_BY;
        if (!needed || (x = mem_new(gen->budget, sizeof *x)) == NULL) return;
        x->owner = late;
        x->next = gen->late_indexes;
        gen->late_indexes = late->index = x;
        known = NULL; /* add all chunks */
    }
    assert(x->owner == late); /* invariant 7 */
    if (x->broken) return;
    for (const struct hchunk *c = past->sealed; c != known && !x->broken; c = c->next)
        x->broken = !add_chunk(gen, x, c);
    if (x->broken) index_empty(gen, x);
}

/* Returns the next chunk that may hold `t_ms`; *at begins with TABLE_START. NULL after the last. */
static const struct hchunk *
late_index_next(const struct gen *gen, const struct late *late, int64_t t_ms, uint32_t *at)
{
    uint32_t chunk;
    const struct late_index *x = late->index;
    assert(!x->broken); /* the caller looked */
    return table_next(&x->times, tag_of(gen, t_ms), at, &chunk) ? x->chunks[chunk] : NULL;
}

/* Drops all indexes of the generation: chunks were undone. They are made again when needed. */
static void
late_indexes_drop(struct gen *gen)
{
    for (struct late_index *x = gen->late_indexes, *next; x != NULL; x = next) {
        next = x->next;
        assert(x->owner->index == x); /* invariant 7 */
        x->owner->index = NULL;
        index_empty(gen, x);
        mem_free(gen->budget, x, sizeof *x);
    }
    gen->late_indexes = NULL;
}

/*
 * A series that stays out of order gets a larger buffer, up to 1/8 of its samples sealed before:
 * the more samples a run of chunks has, the fewer runs overlap and must be searched for the next
 * sample.
 */
enum { LATE_FIRST = 4, LATE_MIN = 32, LATE_MAX = 2048, LATE_SHARE = 8 };
#define LATE_GROUPS_BACK (1u << 30) /* no view is that old */

/* The size of a copy in an arena, whose arrays may have gaps between them. */
static size_t
histogram_bytes_max(const struct histogram *h)
{
    return hchunk_histogram_bytes(h) + 64;
}

/* --- presence of samples ---------------------------------------------------------------------- */

bool
sample_value_is(const struct sample_value *value, enum sample_kind kind, uint64_t bits,
                const struct histogram *h)
{
    if (kind != value->kind) return false;
    return kind == SAMPLE_FLOAT ? bits == value->bits : histogram_equal(h, value->histogram);
}

/* The sample found at a time, compared with another, and the epoch in which it came. */
struct gen_finding {
    enum presence presence;
    uint32_t epoch;
};

/* The series in the generation before. False if it cannot have samples there. */
static bool
id_before(const struct gen *gen, const struct series *series, uint32_t *ret_id)
{
    if (gen->before == NULL) return false;
    bool shared = gen->before->registry == gen->registry;
    *ret_id = shared ? series->id : series->before_plus_1 - 1;
    return shared || series->before_plus_1 != 0;
}

/* Returns the series in the previous generation. NULL if it cannot have samples there. */
static const struct gen_series *
gen_before(const struct gen *gen, const struct series *series)
{
    uint32_t id;
    return id_before(gen, series, &id) ? gen_series(gen->before, id) : NULL;
}

static void
gen_judge(struct gen_finding *f, const struct sample_value *value, enum sample_kind kind,
          uint64_t bits, const struct histogram *h, uint32_t epoch)
{
    f->presence = sample_value_is(value, kind, bits, h) ? PRESENT_SAME : PRESENT_OTHER;
    f->epoch = epoch;
}

static enum err
chunk_presence(const struct hchunk_view *view, const struct chunk_marks *marks, int64_t t_ms,
               const struct sample_value *value, struct arena *scratch, struct gen_finding *f)
{
    uint32_t index;
    uint64_t bits = 0;
    struct histogram h;
    bool compare = view->kind == value->kind;
    enum err e = hchunk_find(view, t_ms, scratch, &index, &bits, compare ? &h : NULL);
    if (e || index == view->count) return e;
    uint32_t epoch = hchunk_epoch(index, marks->count, marks->tag, marks->now, marks->before);
    gen_judge(f, value, view->kind, bits, &h, epoch);
    return OK;
}

static enum err
open_presence(const struct hchunk_open *o, int64_t t_ms, const struct sample_value *value,
              struct arena *scratch, struct gen_finding *f)
{
    if (o->count == 0 || t_ms > o->last_ms || t_ms < hchunk_first_ms(o)) return OK;
    if (t_ms == o->last_ms) { /* the usual repetition */
        bool is_float = o->kind == SAMPLE_FLOAT;
        gen_judge(f, value, (enum sample_kind)o->kind, is_float ? hchunk_last_bits(o) : 0,
                  is_float ? NULL : o->extra->last_histogram, o->tag);
        return OK;
    }
    struct hchunk_view view = hchunk_open_view(o);
    struct chunk_marks marks = hchunk_open_marks(o);
    return chunk_presence(&view, &marks, t_ms, value, scratch, f);
}

static enum err
sealed_chunks_presence(const struct gen *gen, const struct gen_past *past, int64_t t_ms,
                       const struct sample_value *value, struct arena *scratch,
                       struct gen_finding *f)
{
    enum err e = OK;
    uint32_t at = TABLE_START;
    uint64_t work = 0;
    bool by_index = past->late != NULL && past->late->index != NULL && !past->late->index->broken;
    const struct hchunk *c = by_index ? late_index_next(gen, past->late, t_ms, &at) : past->sealed;
    while (c != NULL && e == OK && f->presence == PRESENT_NOT) {
        bool inside = t_ms >= c->min_ms && t_ms <= c->max_ms;
        work += inside ? LATE_PASSED_BY : 1;
        if (inside) {
            struct hchunk_view view = hchunk_sealed_view(c);
            struct chunk_marks marks = hchunk_sealed_marks(c);
            e = chunk_presence(&view, &marks, t_ms, value, scratch, f);
        }
        c = by_index ? late_index_next(gen, past->late, t_ms, &at) : c->next;
    }
    if (past->late != NULL) past->late->work += work;
    return e;
}

static enum err
one_presence(const struct gen *gen, const struct gen_series *s, int64_t t_ms,
             const struct sample_value *value, struct arena *scratch, struct gen_finding *f)
{
    enum err e = open_presence(&s->open, t_ms, value, scratch, f);
    if (e || f->presence != PRESENT_NOT || s->past == NULL) return e;
    const struct late *late = s->past->late;
    uint32_t at = late == NULL ? 0 : late_from(late, t_ms);
    if (late != NULL && at < late->count && late->samples[at].t_ms == t_ms) {
        const struct late_sample *l = &late->samples[at];
        enum sample_kind kind = l->histogram == NULL ? SAMPLE_FLOAT : l->histogram->kind;
        gen_judge(f, value, kind, l->bits, l->histogram, l->epoch);
        return OK;
    }
    return sealed_chunks_presence(gen, s->past, t_ms, value, scratch, f);
}

enum err
gen_presence(const struct gen *gen, const struct series *series, int64_t t_ms,
             const struct sample_value *value, struct arena *scratch, enum presence *ret_presence,
             uint32_t *ret_epoch)
{
    struct gen_finding found = {PRESENT_NOT, 0};
    const struct gen_series *s = gen_series(gen, series->id);
    if (s != NULL && t_ms <= s->open.last_ms) {
        enum err e = one_presence(gen, s, t_ms, value, scratch, &found);
        if (e) return e;
    }
    const struct gen_series *before = gen_before(gen, series);
    if (found.presence == PRESENT_NOT && before != NULL && t_ms <= before->open.last_ms) {
        enum err e = one_presence(gen->before, before, t_ms, value, scratch, &found);
        if (e) return e;
        found.epoch = 0; /* samples of a frozen generation are durable */
    }
    *ret_presence = found.presence;
    *ret_epoch = found.epoch;
    return OK;
}

size_t
gen_presence_reserve(const struct gen *gen, const struct histogram *more)
{
    size_t bytes = gen->histogram_bytes_max;
    if (gen->before != NULL && gen->before->histogram_bytes_max > bytes)
        bytes = gen->before->histogram_bytes_max;
    if (more != NULL && histogram_bytes_max(more) > bytes) bytes = histogram_bytes_max(more);
    return bytes;
}

/* --- appending -------------------------------------------------------------------------------- */

static enum err
gen_put_value(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms, int64_t start_ms,
              const struct sample_value *v, uint32_t epoch)
{
    return v->kind == SAMPLE_FLOAT
               ? hchunk_put_float(o, gmem, t_ms, v->bits, start_ms, epoch)
               : hchunk_put_histogram(o, gmem, t_ms, v->histogram, start_ms, epoch);
}

static enum err
past_get(struct gen *gen, struct gen_series *s)
{
    if (s->past != NULL) return OK;
    s->past = gmem_alloc(&gen->gmem, sizeof *s->past);
    if (s->past == NULL) return ERR_NOMEM;
    *s->past = (struct gen_past){0};
    return OK;
}

static enum err
seal(struct gen *gen, struct gen_series *s)
{
    struct hchunk *c;
    enum err e = past_get(gen, s);
    if (e == OK) e = hchunk_seal(&s->open, &gen->gmem, &c);
    if (e) return e;
    c->next = s->past->sealed;
    s->past->sealed = c;
    late_index_sealed(gen, s->past, c->next);
    return OK;
}

/* Appends a sample to the open chunk, which is sealed first if it cannot take the sample. */
static enum err
put_in_order(struct gen *gen, struct gen_series *s, int64_t t_ms, int64_t start_ms,
             const struct sample_value *v, uint32_t epoch)
{
    enum err e = OK;
    if (!hchunk_takes(&s->open, v->kind, t_ms)) e = seal(gen, s);
    if (gen->views != NULL) {
        view_notes_append(&gen->notes, gen->before == NULL ? NULL : &gen->before->notes, gen->views,
                          s, &s->open, epoch);
    }
    if (e == OK) e = gen_put_value(&s->open, &gen->gmem, t_ms, start_ms, v, epoch);
    if (e == ERR_AGAIN) {
        e = seal(gen, s);
        if (e == OK) e = gen_put_value(&s->open, &gen->gmem, t_ms, start_ms, v, epoch);
    }
    return e;
}

static struct sample_value
late_value(const struct late_sample *l)
{
    return (struct sample_value){
        .kind = l->histogram == NULL ? SAMPLE_FLOAT : l->histogram->kind,
        .bits = l->bits,
        .histogram = l->histogram,
    };
}

/* The epoch that a late sample is sealed with: its own, if that is pending; else that of the next
 * view, at the latest the durable one. */
static uint32_t
late_group(const struct gen *gen, const struct late_sample *l, uint32_t durable_epoch)
{
    uint32_t next;
    if ((int32_t)(l->epoch - durable_epoch) > 0) return l->epoch;
    bool looked_at = gen->views != NULL && views_next(gen->views, l->epoch, &next);
    return looked_at && (int32_t)(next - durable_epoch) < 0 ? next : durable_epoch;
}

/* Chunks being made of a late buffer, one open for each kind. */
struct sealing {
    struct gen *gen;
    struct hchunk *list; /* finished chunks, before those that the series had */
    uint32_t sealed;     /* samples in finished chunks */
    struct hchunk_open open[SAMPLE_KIND_COUNT];
    /* Bytes of open[SAMPLE_FLOAT]. */
    uint8_t float_bytes[HCHUNK_SAMPLES_MAX * HCHUNK_FLOAT_BYTES_MAX];
};

static void
sealing_clear(struct sealing *x, unsigned kind)
{
    if (kind != SAMPLE_FLOAT) hchunk_drop(&x->open[kind], &x->gen->gmem);
    x->open[kind] = (struct hchunk_open){0};
    if (kind != SAMPLE_FLOAT) return;
    x->open[kind].bytes = x->float_bytes;
    x->open[kind].capacity_bytes = sizeof x->float_bytes;
}

static enum err
sealing_end(struct sealing *x, unsigned kind)
{
    if (x->open[kind].count == 0) return OK;
    struct hchunk *c;
    enum err e = hchunk_seal_copy(&x->open[kind], &x->gen->gmem, &c);
    if (e) return e;
    c->next = x->list;
    x->list = c;
    x->sealed += c->count;
    sealing_clear(x, kind);
    return OK;
}

static enum err
sealing_put(struct sealing *x, const struct late_sample *l, uint32_t epoch)
{
    struct sample_value v = late_value(l);
    struct hchunk_open *o = &x->open[v.kind];
    enum err e = OK;
    if (!hchunk_takes(o, v.kind, l->t_ms)) e = sealing_end(x, v.kind);
    if (e == OK) e = gen_put_value(o, &x->gen->gmem, l->t_ms, l->start_ms, &v, epoch);
    if (e != ERR_AGAIN) return e;
    e = sealing_end(x, v.kind);
    return e ? e : gen_put_value(o, &x->gen->gmem, l->t_ms, l->start_ms, &v, epoch);
}

/* Moves *group on to the next one that late samples have. False: *group was the last. */
static bool
late_next_group(const struct gen *gen, const struct late *late, uint32_t durable_epoch,
                uint32_t *group)
{
    bool found = false;
    uint32_t after = *group;
    for (uint32_t i = 0; i < late->count; i++) {
        uint32_t g = late_group(gen, &late->samples[i], durable_epoch);
        if ((int32_t)(g - after) <= 0 || (found && (int32_t)(g - *group) >= 0)) continue;
        *group = g;
        found = true;
    }
    return found;
}

/*
 * Turns the late buffer into sealed chunks: a run for each group of epochs, so that whole chunks
 * appear and vanish.
 */
static enum err
late_seal(struct gen *gen, struct gen_past *past, uint32_t durable_epoch)
{
    struct sealing x;
    x.gen = gen;
    x.list = past->sealed;
    x.sealed = 0;
    memset(x.open, 0, sizeof x.open);
    for (unsigned k = 0; k < SAMPLE_KIND_COUNT; k++)
        sealing_clear(&x, k);
    uint32_t group = durable_epoch - LATE_GROUPS_BACK;
    enum err e = OK;
    while (e == OK && late_next_group(gen, past->late, durable_epoch, &group)) {
        /* Makes chunks of the samples of one group. */
        for (uint32_t i = 0; i < past->late->count && e == OK; i++) {
            if (late_group(x.gen, &past->late->samples[i], durable_epoch) != group) continue;
            e = sealing_put(&x, &past->late->samples[i], group);
        }
        for (unsigned k = 0; k < SAMPLE_KIND_COUNT && e == OK; k++)
            e = sealing_end(&x, k);
    }
    if (e) {
        for (unsigned k = 0; k < SAMPLE_KIND_COUNT; k++)
            sealing_clear(&x, k);
        while (x.list != past->sealed) { /* no reader has seen these chunks */
            struct hchunk *c = x.list;
            x.list = c->next;
            gmem_free(&gen->gmem, c, sizeof *c + c->size_bytes);
        }
        return e;
    }
    struct late *late = past->late;
    assert(x.sealed == late->count); /* invariant 6 */
    for (uint32_t i = 0; i < late->count; i++) {
        gmem_free(&gen->gmem, (void *)(uintptr_t)late->samples[i].histogram,
                  late->samples[i].histogram_bytes);
    }
    late->sealed_count += late->count;
    late->count = 0;
    late->histogram_reserve = 0;
    const struct hchunk *known = past->sealed;
    past->sealed = x.list;
    late_index_sealed(gen, past, known);
    return OK;
}

static uint32_t
late_limit(const struct late *late)
{
    uint64_t share = late->sealed_count / LATE_SHARE;
    return share < LATE_MIN ? LATE_MIN : share > LATE_MAX ? LATE_MAX : (uint32_t)share;
}

static enum err
late_room(struct gen *gen, struct gen_past *past, uint32_t durable_epoch)
{
    if (past->late == NULL) {
        past->late = gmem_alloc(&gen->gmem, sizeof *past->late);
        if (past->late == NULL) return ERR_NOMEM;
        *past->late = (struct late){0};
    }
    struct late *late = past->late;
    if (late->count >= late_limit(late)) return late_seal(gen, past, durable_epoch);
    if (late->count < late->capacity) return OK;
    uint32_t capacity = late->capacity == 0 ? LATE_FIRST : late->capacity * 2;
    struct late_sample *samples =
        gmem_grow(&gen->gmem, late->samples, late->capacity * sizeof *samples,
                  late->count * sizeof *samples, capacity * sizeof *samples);
    if (samples == NULL) return ERR_NOMEM;
    late->samples = samples;
    late->capacity = capacity;
    return OK;
}

static size_t
seal_reserve(const struct histogram *h)
{
    static const struct hchunk_open none;
    return h == NULL ? 0 : 4 * hchunk_histogram_reserve(&none, h);
}

static enum err
late_insert(struct gen *gen, struct gen_series *s, int64_t t_ms, int64_t start_ms,
            const struct sample_value *v, uint32_t epoch, uint32_t durable_epoch)
{
    enum err e = past_get(gen, s);
    if (e == OK) e = late_room(gen, s->past, durable_epoch);
    if (e) return e;
    struct late_sample l = {.t_ms = t_ms, .start_ms = start_ms, .bits = v->bits, .epoch = epoch};
    if (v->kind != SAMPLE_FLOAT) {
        l.histogram = hchunk_keep_histogram(&gen->gmem, v->histogram);
        if (l.histogram == NULL) return ERR_NOMEM;
        l.histogram_bytes = (uint32_t)hchunk_histogram_bytes(v->histogram);
    }
    struct late *late = s->past->late;
    uint32_t at = late_from(late, t_ms);
    assert(t_ms <= s->open.last_ms);      /* invariant 1 */
    assert(late->count < late->capacity); /* invariant 2 */
    memmove(late->samples + at + 1, late->samples + at, (late->count - at) * sizeof l);
    late->samples[at] = l;
    late->count++;
    assert(at == 0 || late->samples[at - 1].t_ms <= t_ms); /* invariant 2 */
    late->histogram_reserve += seal_reserve(l.histogram);
    return OK;
}

/*
 * A buffer of k late samples that n more join may grow to less than 2 (k + n) of them, in steps
 * that take twice that together; when it is sealed each float takes at most HCHUNK_FLOAT_BYTES_MAX
 * and a quarter. The caller counts the n, with more than that for each.
 */
static size_t
late_reserve(const struct late *late, uint32_t count)
{
    const size_t seal_bytes = HCHUNK_FLOAT_BYTES_MAX * 5 / 4 + GMEM_STEP;
    _Static_assert(4 * sizeof(struct late_sample) + HCHUNK_FLOAT_BYTES_MAX * 5 / 4 + GMEM_STEP <=
                       6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk),
                   "gen.h: what gen_append_reserve() promises");
    size_t bytes = 0;
    if (late->count + count > late->capacity) bytes += late->count * 4 * sizeof(struct late_sample);
    if (late->count + count > late_limit(late))
        bytes += late->count * seal_bytes + late->histogram_reserve;
    return bytes;
}

size_t
gen_append_reserve(const struct gen_series *series, const struct sample_value *value,
                   uint32_t count)
{
    size_t bytes = value->kind == SAMPLE_FLOAT
                       ? hchunk_float_reserve(&series->open)
                       : hchunk_histogram_reserve(&series->open, value->histogram) +
                             histogram_bytes_max(value->histogram);
    bytes += 1024;
    if (series->past == NULL || series->past->late == NULL) return bytes;
    return bytes + late_reserve(series->past->late, count);
}

enum err
gen_append(struct gen *gen, struct gen_series *s, int64_t t_ms, int64_t start_ms,
           const struct sample_value *v, uint32_t epoch, uint32_t durable_epoch)
{
    bool first = s->open.count == 0 && gen_series_is_empty(s);
    enum err e = t_ms > s->open.last_ms
                     ? put_in_order(gen, s, t_ms, start_ms, v, epoch)
                     : late_insert(gen, s, t_ms, start_ms, v, epoch, durable_epoch);
    if (e) return e;
    gen->series_count += first;
    if (t_ms < gen->min_ms) gen->min_ms = t_ms;
    if (t_ms > gen->max_ms) gen->max_ms = t_ms;
    if (v->kind != SAMPLE_FLOAT && histogram_bytes_max(v->histogram) > gen->histogram_bytes_max)
        gen->histogram_bytes_max = histogram_bytes_max(v->histogram);
    gen->sample_count[ledger_kind_of(v->kind)]++;
    return OK;
}

/* --- taking back ------------------------------------------------------------------------------ */

static void
uncount(struct gen *gen, enum sample_kind kind, uint32_t count)
{
    uint64_t *total = &gen->sample_count[ledger_kind_of(kind)];
    assert(*total >= count); /* invariant 3 */
    *total -= count;
}

static enum err
undo_open(struct gen *gen, struct hchunk_open *o, uint32_t durable_epoch, struct arena *scratch)
{
    uint32_t keep =
        hchunk_visible(o->count, o->tag, o->pending_now, o->pending_before, durable_epoch);
    if (keep == o->count) return OK;
    enum sample_kind kind = (enum sample_kind)o->kind;
    uint32_t count = o->count;
    if (keep == 0) {
        hchunk_drop(o, &gen->gmem);
    } else {
        enum err e = hchunk_cut_open(o, keep, durable_epoch, scratch);
        if (e) return e;
    }
    uncount(gen, kind, count - keep);
    return OK;
}

static void
undo_late(struct gen *gen, struct late *late, uint32_t durable_epoch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; late != NULL && i < late->count; i++) {
        struct late_sample *l = &late->samples[i];
        if ((int32_t)(l->epoch - durable_epoch) <= 0) {
            late->samples[kept++] = *l;
            continue;
        }
        uncount(gen, late_value(l).kind, 1);
        late->histogram_reserve -= seal_reserve(l->histogram);
        gmem_free(&gen->gmem, (void *)(uintptr_t)l->histogram, l->histogram_bytes);
    }
    if (late == NULL) return;
    late->count = kept;
    assert(kept > 0 || late->histogram_reserve == 0); /* it is the sum over the samples */
}

static enum err
undo_series(struct gen *gen, uint32_t id, uint32_t durable_epoch, struct arena *scratch)
{
    struct gen_series *s = gen_series(gen, id);
    if (s == NULL || gen_series_is_empty(s)) return OK;
    enum err e = undo_open(gen, &s->open, durable_epoch, scratch);
    if (e) return e;
    if (s->past != NULL) {
        /* A chunk that is taken out keeps its memory: readers may be reading it. */
        struct hchunk **link = &s->past->sealed;
        while (*link != NULL) {
            struct hchunk *c = *link;
            uint32_t keep =
                hchunk_visible(c->count, c->tag, c->pending_now, c->pending_before, durable_epoch);
            uncount(gen, (enum sample_kind)c->kind, c->count - keep);
            if (keep == 0) {
                *link = c->next;
                continue;
            }
            if (keep < c->count) hchunk_cut_sealed(c, keep, durable_epoch);
            link = &c->next;
        }
        undo_late(gen, s->past->late, durable_epoch);
    }
    if (s->open.count == 0) { /* else later samples are gone, too */
        const struct gen_series *before = gen_before(gen, registry_series(gen->registry, id));
        const struct late *late = s->past == NULL ? NULL : s->past->late;
        const struct hchunk *c = s->past == NULL ? NULL : s->past->sealed;
        int64_t last_ms = before == NULL ? INT64_MIN : before->open.last_ms;
        for (; c != NULL; c = c->next)
            if (c->max_ms > last_ms) last_ms = c->max_ms;
        if (late != NULL && late->count > 0 && late->samples[late->count - 1].t_ms > last_ms)
            last_ms = late->samples[late->count - 1].t_ms;
        s->open.last_ms = last_ms; /* the newest time that is left */
    }
    if (!gen_series_is_empty(s)) return OK;
    assert(gen->series_count > 0); /* invariant 4 */
    gen->series_count--;
    return OK;
}

enum err
gen_undo(struct gen *gen, uint32_t durable_epoch)
{
    struct arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    late_indexes_drop(gen); /* they name chunks that go */
    enum err e = OK;
    for (uint32_t id = 0; id < gen->series.count && e == OK; id++) {
        arena_reset(&scratch);
        e = undo_series(gen, id, durable_epoch, &scratch);
    }
    for (uint32_t i = 0; i < gen->exemplars.count && e == OK; i++) {
        struct gen_exemplar *x = gen_exemplar(gen, i);
        if (x->undone || (int32_t)(x->epoch - durable_epoch) <= 0) continue;
        x->undone = true;
        assert(gen->sample_count[LEDGER_EXEMPLAR] > 0); /* invariant 3 */
        gen->sample_count[LEDGER_EXEMPLAR]--;
    }
    arena_fini(&scratch);
    return e;
}

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
    for (uint32_t i = 0; i < gen->exemplars.count; i++)
        counts[LEDGER_EXEMPLAR] += !gen_exemplar(gen, i)->undone;
    assert(series_count == gen->series_count); /* invariant 4 */
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        assert(counts[k] == gen->sample_count[k]); /* invariant 3 */
    gmem_validate(&gen->gmem);
    registry_validate(gen->registry);
}

/* --- series ----------------------------------------------------------------------------------- */

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
        gen_open_visible(gen, s, epoch) > 0)
        return true;
    if (s->past == NULL) return false;
    for (const struct hchunk *c = s->past->sealed; c != NULL; c = c->next)
        if (c->max_ms >= min_ms && c->min_ms <= max_ms && gen_sealed_visible(gen, s, c, epoch) > 0)
            return true;
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
                        bytes_of(like->labels, like->labels_size)))
            return x;
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
