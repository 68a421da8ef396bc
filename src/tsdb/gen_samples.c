/*
 * gen_samples.c - samples of a generation: is it there already, append, take back.
 *
 * A sample newer than all of the open chunk goes there. Any other waits in the series' late buffer,
 * sorted by time; a full buffer becomes sealed chunks. Chunks may overlap: readers merge them.
 */
#include <assert.h>

#include "tsdb/gen.h"

enum { LATE_MAX = 128 };

static size_t
histogram_bytes_max(const struct histogram *h)
{
    return sizeof *h +
           sizeof(struct hist_span) * (h->positive.span_count + h->negative.span_count) +
           8 * ((size_t)h->positive.bucket_count + h->negative.bucket_count + h->custom_count) + 64;
}

/* --- is it there?
 * ------------------------------------------------------------------------------------ */

static bool
same_value(const struct sample_value *value, enum sample_kind kind, uint64_t bits,
           const struct histogram *h)
{
    if (kind != value->kind) return false;
    return kind == SAMPLE_FLOAT ? bits == value->bits : histogram_equal(h, value->histogram);
}

static enum err
chunk_presence(enum sample_kind kind, struct bytes bytes, uint32_t count, int64_t t_ms,
               const struct sample_value *value, struct arena *scratch, enum presence *ret)
{
    struct hchunk_samples *s = arena_alloc(scratch, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    enum err e = hchunk_read(kind, bytes, count, scratch, s);
    if (e) return e;
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (s->times_ms[middle] < t_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == count || s->times_ms[low] != t_ms) return OK;
    *ret =
        same_value(value, kind, s->bits[low], &s->histograms[low]) ? PRESENT_SAME : PRESENT_OTHER;
    return OK;
}

/* The place of the first late sample at or behind t. */
static uint32_t
late_find(const struct late *late, int64_t t_ms)
{
    uint32_t low = 0, high = late == NULL ? 0 : late->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (late->samples[middle].t_ms < t_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum err
open_presence(const struct hchunk_open *o, int64_t t_ms, const struct sample_value *value,
              struct arena *scratch, enum presence *ret, uint32_t *ret_epoch)
{
    if (o->count == 0 || t_ms < o->first_ms || t_ms > o->last_ms) return OK;
    *ret_epoch = o->tag;
    if (t_ms == o->last_ms) { /* the usual repetition */
        *ret = same_value(value, (enum sample_kind)o->kind, o->last_bits, o->last_histogram)
                   ? PRESENT_SAME
                   : PRESENT_OTHER;
        return OK;
    }
    return chunk_presence((enum sample_kind)o->kind, bytes_of(o->bytes, o->size_bytes), o->count,
                          t_ms, value, scratch, ret);
}

static enum err
one_presence(const struct series *s, int64_t t_ms, const struct sample_value *value,
             struct arena *scratch, enum presence *ret, uint32_t *ret_epoch)
{
    enum err e = open_presence(&s->open, t_ms, value, scratch, ret, ret_epoch);
    if (e || *ret != PRESENT_NOT) return e;
    uint32_t at = late_find(s->late, t_ms);
    if (s->late != NULL && at < s->late->count && s->late->samples[at].t_ms == t_ms) {
        const struct late_sample *l = &s->late->samples[at];
        enum sample_kind kind = l->histogram == NULL ? SAMPLE_FLOAT : l->histogram->kind;
        *ret = same_value(value, kind, l->bits, l->histogram) ? PRESENT_SAME : PRESENT_OTHER;
        *ret_epoch = l->epoch;
        return OK;
    }
    for (const struct hchunk *c = s->sealed; c != NULL; c = c->next) {
        if (t_ms < c->min_ms || t_ms > c->max_ms) continue;
        *ret_epoch = c->tag;
        e = chunk_presence((enum sample_kind)c->kind, bytes_of(c->bytes, c->size_bytes), c->count,
                           t_ms, value, scratch, ret);
        if (e || *ret != PRESENT_NOT) return e;
    }
    return OK;
}

enum err
series_presence(const struct gen *gen, const struct series *series, int64_t t_ms,
                const struct sample_value *value, struct arena *scratch,
                enum presence *ret_presence, uint32_t *ret_epoch)
{
    enum presence found = PRESENT_NOT;
    uint32_t epoch = 0;
    enum err e = OK;
    if (t_ms <= series->max_ms) {
        e = one_presence(series, t_ms, value, scratch, &found, &epoch);
        if (e == OK && found == PRESENT_NOT && gen->before != NULL && series->before != NULL) {
            e = one_presence(series->before, t_ms, value, scratch, &found, &epoch);
            epoch = 0; /* a frozen generation is durable */
        }
    }
    if (e) return e;
    *ret_presence = found;
    *ret_epoch = found == PRESENT_NOT ? 0 : epoch;
    return OK;
}

/* --- appending
 * --------------------------------------------------------------------------------------- */

static enum err
put_value(struct hchunk_open *o, struct gmem *gmem, int64_t t_ms, int64_t start_ms,
          const struct sample_value *v, uint32_t epoch)
{
    return v->kind == SAMPLE_FLOAT
               ? hchunk_put_float(o, gmem, t_ms, v->bits, start_ms, epoch)
               : hchunk_put_histogram(o, gmem, t_ms, v->histogram, start_ms, epoch);
}

static enum err
seal_onto(struct hchunk_open *o, struct gmem *gmem, struct hchunk **list)
{
    struct hchunk *c;
    enum err e = hchunk_seal(o, gmem, &c);
    if (e) return e;
    c->next = *list;
    *list = c;
    return OK;
}

/* Puts a sample behind the last one of `o`, sealing it first where it must be. */
static enum err
put_or_seal(struct hchunk_open *o, struct gmem *gmem, struct hchunk **list, int64_t t_ms,
            int64_t start_ms, const struct sample_value *v, uint32_t epoch)
{
    enum err e = OK;
    if (!hchunk_takes(o, v->kind, t_ms)) e = seal_onto(o, gmem, list);
    if (e == OK) e = put_value(o, gmem, t_ms, start_ms, v, epoch);
    if (e == ERR_AGAIN) {
        e = seal_onto(o, gmem, list);
        if (e == OK) e = put_value(o, gmem, t_ms, start_ms, v, epoch);
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

/* Which group of epochs a late sample is sealed with: durable ones together, others by epoch. */
static uint32_t
late_group(const struct late_sample *l, uint32_t durable_epoch)
{
    return (int32_t)(l->epoch - durable_epoch) <= 0 ? durable_epoch : l->epoch;
}

/*
 * Turns the late buffer into sealed chunks: one run for the durable samples and one for each epoch
 * on its way, so that whole chunks appear and vanish.
 */
static enum err
late_seal(struct gen *gen, struct series *s, uint32_t durable_epoch)
{
    struct late *late = s->late;
    struct hchunk *list = s->sealed;
    struct hchunk_open o = {0};
    for (uint32_t ahead = 0; ahead <= 2; ahead++) {
        uint32_t group = durable_epoch + ahead;
        for (uint32_t i = 0; i < late->count; i++) {
            const struct late_sample *l = &late->samples[i];
            if (late_group(l, durable_epoch) != group) continue;
            struct sample_value v = late_value(l);
            enum err e = put_or_seal(&o, &gen->gmem, &list, l->t_ms, l->start_ms, &v, group);
            if (e) return e;
        }
        if (o.count == 0) continue;
        enum err e = seal_onto(&o, &gen->gmem, &list);
        if (e) return e;
    }
    for (uint32_t i = 0; i < late->count; i++) {
        gmem_free(&gen->gmem, (void *)(uintptr_t)late->samples[i].histogram,
                  late->samples[i].histogram_bytes);
    }
    late->count = 0;
    s->sealed = list;
    return OK;
}

static enum err
late_room(struct gen *gen, struct series *s, uint32_t durable_epoch)
{
    if (s->late == NULL) {
        s->late = gmem_alloc(&gen->gmem, sizeof *s->late);
        if (s->late == NULL) return ERR_NOMEM;
        *s->late = (struct late){0};
    }
    struct late *late = s->late;
    if (late->count < late->capacity) return OK;
    if (late->count >= LATE_MAX) return late_seal(gen, s, durable_epoch);
    uint32_t capacity = late->capacity == 0 ? 4 : late->capacity * 2;
    struct late_sample *samples =
        gmem_grow(&gen->gmem, late->samples, late->capacity * sizeof *samples,
                  late->count * sizeof *samples, capacity * sizeof *samples);
    if (samples == NULL) return ERR_NOMEM;
    late->samples = samples;
    late->capacity = capacity;
    return OK;
}

/* A copy with its arrays in the same piece. */
static enum err
late_keep_histogram(struct gen *gen, const struct histogram *h, struct late_sample *l)
{
    uint32_t bytes = (uint32_t)histogram_bytes_max(h);
    uint8_t *piece = gmem_alloc(&gen->gmem, bytes);
    if (piece == NULL) return ERR_NOMEM;
    struct arena in_piece = {.at = piece + sizeof *h, .end = piece + bytes, .limit_bytes = 1};
    struct histogram copy;
    enum err e = histogram_copy(h, &in_piece, &copy);
    assert(e == OK && in_piece.blocks == NULL);
    memcpy(piece, &copy, sizeof copy);
    l->histogram = (const struct histogram *)piece;
    l->histogram_bytes = bytes;
    return OK;
}

static enum err
late_insert(struct gen *gen, struct series *s, int64_t t_ms, int64_t start_ms,
            const struct sample_value *v, uint32_t epoch, uint32_t durable_epoch)
{
    enum err e = late_room(gen, s, durable_epoch);
    if (e) return e;
    struct late_sample l = {.t_ms = t_ms, .start_ms = start_ms, .bits = v->bits, .epoch = epoch};
    if (v->kind != SAMPLE_FLOAT) e = late_keep_histogram(gen, v->histogram, &l);
    if (e) return e;
    struct late *late = s->late;
    uint32_t at = late_find(late, t_ms);
    memmove(late->samples + at + 1, late->samples + at, (late->count - at) * sizeof l);
    late->samples[at] = l;
    late->count++;
    return OK;
}

size_t
series_append_reserve(const struct series *series, const struct sample_value *value)
{
    size_t bytes = value->kind == SAMPLE_FLOAT
                       ? hchunk_float_reserve(&series->open)
                       : hchunk_histogram_reserve(&series->open, value->histogram) +
                             histogram_bytes_max(value->histogram);
    const struct late *late = series->late;
    bytes += 2 * (sizeof *late + 2 * LATE_MAX * sizeof(struct late_sample));
    if (late == NULL || late->count < LATE_MAX) return bytes;
    static const struct hchunk_open none;
    for (uint32_t i = 0; i < late->count; i++) {
        const struct histogram *h = late->samples[i].histogram;
        bytes += h == NULL ? 3 * HCHUNK_FLOAT_BYTES_MAX : 3 * hchunk_histogram_reserve(&none, h);
    }
    return bytes + 4 * 1024;
}

enum err
series_append(struct gen *gen, struct series *s, int64_t t_ms, int64_t start_ms,
              const struct sample_value *v, uint32_t epoch, uint32_t durable_epoch)
{
    bool in_order = s->open.count == 0 || t_ms > s->open.last_ms;
    enum err e = in_order ? put_or_seal(&s->open, &gen->gmem, &s->sealed, t_ms, start_ms, v, epoch)
                          : late_insert(gen, s, t_ms, start_ms, v, epoch, durable_epoch);
    if (e) return e;
    if (t_ms > s->max_ms) s->max_ms = t_ms;
    gen->sample_count[ledger_kind_of(v->kind)]++;
    return OK;
}

/* --- taking back
 * -------------------------------------------------------------------------------------- */

static void
uncount(struct gen *gen, enum sample_kind kind, uint32_t count)
{
    gen->sample_count[ledger_kind_of(kind)] -= count;
}

/* A chunk like the given bytes, but only of its first `keep` samples. */
static enum err
rebuild(struct gen *gen, enum sample_kind kind, struct bytes bytes, uint32_t keep,
        struct hchunk_samples *scratch, struct arena *arena, uint32_t epoch,
        struct hchunk_open *ret_open)
{
    struct hchunk_open o = {0};
    enum err e = hchunk_read(kind, bytes, keep, arena, scratch);
    for (uint32_t i = 0; i < keep && e == OK; i++) {
        struct sample_value v = {kind, scratch->bits[i], &scratch->histograms[i]};
        e = put_value(&o, &gen->gmem, scratch->times_ms[i], scratch->starts_ms[i], &v, epoch);
    }
    if (e) {
        hchunk_drop(&o, &gen->gmem);
        return e;
    }
    *ret_open = o;
    return OK;
}

static enum err
undo_open(struct gen *gen, struct series *s, uint32_t durable_epoch, struct hchunk_samples *scratch,
          struct arena *arena)
{
    struct hchunk_open *o = &s->open;
    uint32_t keep =
        hchunk_visible(o->count, o->tag, o->pending_now, o->pending_before, durable_epoch);
    if (keep == o->count) return OK;
    struct hchunk_open smaller = {0};
    enum err e = rebuild(gen, (enum sample_kind)o->kind, bytes_of(o->bytes, o->size_bytes), keep,
                         scratch, arena, durable_epoch, &smaller);
    if (e) return e;
    uncount(gen, (enum sample_kind)o->kind, o->count - keep);
    hchunk_drop(o, &gen->gmem);
    *o = smaller;
    return OK;
}

/* Readers may still look at the old chunk: it stays where it is. */
static enum err
undo_sealed(struct gen *gen, struct hchunk **link, uint32_t durable_epoch,
            struct hchunk_samples *scratch, struct arena *arena)
{
    struct hchunk *c = *link;
    uint32_t keep =
        hchunk_visible(c->count, c->tag, c->pending_now, c->pending_before, durable_epoch);
    if (keep == c->count) return OK;
    struct hchunk *smaller = NULL;
    if (keep > 0) {
        struct hchunk_open o = {0};
        enum err e = rebuild(gen, (enum sample_kind)c->kind, bytes_of(c->bytes, c->size_bytes),
                             keep, scratch, arena, durable_epoch, &o);
        if (e == OK) e = hchunk_seal(&o, &gen->gmem, &smaller);
        if (e) return e;
        smaller->next = c->next;
    }
    uncount(gen, (enum sample_kind)c->kind, c->count - keep);
    *link = smaller != NULL ? smaller : c->next;
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
        gmem_free(&gen->gmem, (void *)(uintptr_t)l->histogram, l->histogram_bytes);
    }
    if (late != NULL) late->count = kept;
}

static void
find_max(const struct gen *gen, struct series *s)
{
    s->max_ms = gen->before != NULL && s->before != NULL ? s->before->max_ms : INT64_MIN;
    if (s->open.count > 0 && s->open.last_ms > s->max_ms) s->max_ms = s->open.last_ms;
    for (const struct hchunk *c = s->sealed; c != NULL; c = c->next) {
        if (c->max_ms > s->max_ms) s->max_ms = c->max_ms;
    }
    if (s->late != NULL && s->late->count > 0) {
        int64_t last = s->late->samples[s->late->count - 1].t_ms;
        if (last > s->max_ms) s->max_ms = last;
    }
}

static enum err
undo_series(struct gen *gen, struct series *s, uint32_t durable_epoch,
            struct hchunk_samples *scratch, struct arena *arena)
{
    arena_reset(arena);
    enum err e = undo_open(gen, s, durable_epoch, scratch, arena);
    for (struct hchunk **link = &s->sealed; e == OK && *link != NULL;) {
        struct hchunk *before = *link;
        e = undo_sealed(gen, link, durable_epoch, scratch, arena);
        if (e == OK && *link == before)
            link = &before->next;
        else if (e == OK && *link != before->next)
            link = &(*link)->next;
    }
    if (e) return e;
    undo_late(gen, s->late, durable_epoch);
    find_max(gen, s);
    return OK;
}

enum err
gen_undo(struct gen *gen, uint32_t durable_epoch)
{
    struct hchunk_samples *scratch = mem_alloc(NULL, sizeof *scratch);
    if (scratch == NULL) return ERR_NOMEM;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum err e = OK;
    for (uint32_t i = 0; i < gen->series.count && e == OK; i++) {
        e = undo_series(gen, gen_series(gen, i), durable_epoch, scratch, &arena);
    }
    for (uint32_t i = 0; i < gen->exemplars.count && e == OK; i++) {
        struct gen_exemplar *x = gen_exemplar(gen, i);
        if (x->undone || (int32_t)(x->epoch - durable_epoch) <= 0) continue;
        x->undone = true;
        gen->sample_count[LEDGER_EXEMPLAR]--;
    }
    arena_fini(&arena);
    mem_free(NULL, scratch, sizeof *scratch);
    return e;
}
