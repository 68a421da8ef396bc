/*
 * write_blocks.c - makes blocks of at most 8192 samples of a series, and puts them into pages. A
 * page's offset is known when it is written: until then a place names it by its running number.
 * Invariants are in write.c.
 *
 * Time columns are shared: a column equal to one written before, by a 128-bit hash under a secret
 * seed and its count, is referred to instead of written again. Each is remembered twice, by its
 * times and by its encoded bytes, so that copied blocks share with those made here.
 */
#include <assert.h>

#include "base/array.h"
#include "tsdb/codec/codec.h"
#include "tsdb/codec/rollups.h"
#include "tsdb/part/write/writer.h"

enum { HISTOGRAM_WORDS_MAX = 64 * 1024, HISTOGRAMS_FIRST = 64 };

/* --- times and values: pages whose offsets come later ----------------------------------------- */

enum err
part_placed_flush(struct part_writer *w, struct page_filling *f, struct buf *offsets,
                  struct why *why)
{
    if (f->payload.size == 0) return OK;
    uint64_t offset;
    enum err e = part_filling_flush(w, f, &offset, why);
    if (e) return e;
    buf_put_le64(offsets, offset);
    return buf_error(offsets);
}

/*
 * Puts encoded bytes into a page; the place names the page by its running number until it has an
 * offset.
 */
static enum err
blocks_place(struct part_writer *w, struct page_filling *f, struct buf *offsets,
             struct bytes encoded, struct page_place *ret_place, struct why *why)
{
    if (part_filling_full(w, f, encoded.size)) {
        enum err e = part_placed_flush(w, f, offsets, why);
        if (e) return e;
    }
    *ret_place = (struct page_place){
        .page = offsets->size / 8,
        .at = (uint32_t)f->payload.size,
        .size = (uint32_t)encoded.size,
    };
    buf_put_bytes(&f->payload, encoded);
    return buf_error(&f->payload);
}

static enum err
columns_resize(struct part_writer *w, uint32_t capacity)
{
    struct written_column *grown = mem_new(w->budget, capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < w->column_capacity && w->column_count > 0; i++) {
        const struct written_column *c = &w->columns[i];
        if (c->count == 0) continue;
        uint32_t at = (uint32_t)c->hash.low64 & (capacity - 1);
        while (grown[at].count != 0)
            at = (at + 1) & (capacity - 1);
        grown[at] = *c;
    }
    mem_free(w->budget, w->columns, w->column_capacity * sizeof *grown);
    w->columns = grown;
    w->column_capacity = capacity;
    return OK;
}

enum err
part_columns_begin(struct part_writer *w)
{
    return columns_resize(w, COLUMNS_FIRST);
}

enum err
part_columns_clear(struct part_writer *w)
{
    if (w->column_count == 0) return OK;
    w->column_count = 0;
    if (w->column_capacity > COLUMNS_FIRST) return columns_resize(w, COLUMNS_FIRST);
    memset(w->columns, 0, w->column_capacity * sizeof *w->columns);
    return OK;
}

/* The column with this hash, or the place in the table where it goes. */
static struct written_column *
column_find(struct part_writer *w, XXH128_hash_t hash, uint32_t count)
{
    uint32_t at = (uint32_t)hash.low64 & (w->column_capacity - 1);
    for (; w->columns[at].count != 0; at = (at + 1) & (w->column_capacity - 1)) {
        const struct written_column *c = &w->columns[at];
        if (c->count == count && XXH128_isEqual(c->hash, hash)) break;
    }
    return &w->columns[at];
}

static void
column_set(struct part_writer *w, struct written_column *c, struct written_column value)
{
    assert(c->count == 0);
    *c = value;
    w->column_count++;
    assert(w->column_count < w->column_capacity); /* invariant 5 */
}

/* Places an encoded column, of a copied block or a new one. */
static enum err
place_column(struct part_writer *w, struct bytes encoded, uint32_t count,
             struct page_place *ret_place, struct why *why)
{
    /* Makes room for a column. Old columns may be forgotten: series that share one come together.
     */
    if (w->column_count >= w->column_capacity / 2) {
        uint32_t more = w->column_capacity * 2;
        bool fits = more <= COLUMNS_MAX && more * sizeof *w->columns * 3 / 2 <= w->memory_bytes / 4;
        enum err e = fits ? columns_resize(w, more) : part_columns_clear(w);
        if (e) return e;
    }
    XXH128_hash_t hash = XXH3_128bits_withSeed(encoded.at, encoded.size, ~w->seed);
    struct written_column *c = column_find(w, hash, count);
    if (c->count != 0) {
        *ret_place = c->place;
        return OK;
    }
    enum err e = blocks_place(w, &w->times, &w->times_offsets, encoded, ret_place, why);
    if (e == OK) column_set(w, c, (struct written_column){hash, count, *ret_place});
    return e;
}

static enum err
place_times(struct part_writer *w, struct page_place *ret_place, struct why *why)
{
    uint32_t count = w->sample_count;
    XXH128_hash_t hash = XXH3_128bits_withSeed(w->sample_times, count * 8u, w->seed);
    if (w->first_times.size > 0) { /* those of their rollups */
        XXH128_hash_t first =
            XXH3_128bits_withSeed(w->first_times.at, w->first_times.size, w->seed);
        hash = (XXH128_hash_t){hash.low64 + first.high64, hash.high64 + first.low64};
    }
    const struct written_column *known = column_find(w, hash, count);
    if (known->count != 0) {
        *ret_place = known->place;
        return OK;
    }
    buf_clear(&w->encoded);
    codec_times_encode(w->scratch, w->sample_times, count, &w->encoded);
    buf_put_bytes(&w->encoded, buf_bytes(&w->first_times));
    if (buf_error(&w->encoded)) return buf_error(&w->encoded);
    enum err e = place_column(w, buf_bytes(&w->encoded), count, ret_place, why);
    if (e) return e;
    /* place_column() made room in the table, which is at most half full. */
    column_set(w, column_find(w, hash, count), (struct written_column){hash, count, *ret_place});
    return OK;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/*
 * Encodes the values of the first samples. If they are too large for one block, half of the samples
 * are taken, and so on: the others stay in the sample arrays.
 */
static enum err
cut_block(struct part_writer *w, uint32_t *ret_count)
{
    uint32_t count = w->sample_count;
    for (;;) {
        buf_clear(&w->encoded);
        if (w->kind == SAMPLE_FLOAT)
            codec_float_encode_from(w->scratch, w->sample_bits, count, &w->origin, &w->encoded);
        else
            codec_histogram_encode(w->scratch, w->sample_histograms, count, &w->encoded);
        enum err e = buf_error(&w->encoded);
        if (e) return e;
        if (w->encoded.size <= BLOCK_BYTES_MAX || count == 1) break;
        count = (count + 1) / 2;
    }
    *ret_count = count;
    return OK;
}

static void
drop_front(struct part_writer *w, uint32_t count)
{
    uint32_t left = w->sample_count - count;
    memmove(w->sample_times, w->sample_times + count, left * sizeof *w->sample_times);
    memmove(w->sample_bits, w->sample_bits + count, left * sizeof *w->sample_bits);
    memmove(w->sample_starts, w->sample_starts + count, left * sizeof *w->sample_starts);
    if (w->kind != SAMPLE_FLOAT) {
        memmove(w->sample_histograms, w->sample_histograms + count,
                left * sizeof *w->sample_histograms);
    }
    w->sample_count = left;
    if (left > 0) return;
    w->has_starts = false;
    arena_reset(&w->histogram_arena);
}

static enum err
block_add(struct part_writer *w, const struct block_ref *ref)
{
    struct time_range span = block_span(ref);
    buf_put(&w->blocks, ref, sizeof *ref);
    w->info.block_count++;
    if (span.min_ms < w->info.time.min_ms) w->info.time.min_ms = span.min_ms;
    if (span.max_ms > w->info.time.max_ms) w->info.time.max_ms = span.max_ms;
    if (ref->resolution_ms > 0) part_note_rollups(&w->info, ref);
    return buf_error(&w->blocks);
}

/* The rollups whose rows are the samples that wait. */
struct rollups_to_write {
    int64_t resolution_ms; /* 0: the samples are no rows */
    const struct rollup *floats;
    const struct histogram_rollup *histograms; /* of each row one; NULL: all rows are markers */
    uint32_t count;                            /* of floats */
};

/* Encodes and places what the first `rows` rows and first times do not say of their rollups. */
static enum err
place_rollups(struct part_writer *w, const struct rollups_to_write *rollups, uint32_t rows,
              struct block_ref *ref, struct why *why)
{
    enum err e = OK;
    buf_clear(&w->encoded);
    if (w->kind == SAMPLE_FLOAT) {
        codec_rollups_encode(w->scratch, rollups->floats, rollups->count, &w->encoded);
    } else if (rollups->histograms != NULL) {
        e = codec_histogram_rollups_encode(w->scratch, &w->histogram_arena, rollups->histograms,
                                           rows, &w->encoded);
    }
    if (e == OK) e = buf_error(&w->encoded);
    if (e) return e;
    return blocks_place(w, &w->values, &w->values_offsets, buf_bytes(&w->encoded), &ref->rollups,
                        why);
}

/* Writes one block of the first samples that wait; others may be left, but not rows of floats. */
static enum err
block_out(struct part_writer *w, const struct rollups_to_write *rollups, struct why *why)
{
    uint32_t count = 0, all = w->sample_count;
    struct block_ref ref = {.resolution_ms = rollups->resolution_ms};
    enum err e = cut_block(w, &count);
    ref.codec = w->kind == SAMPLE_FLOAT ? CODEC_FLOAT_V1 : part_codec_of(w->kind);
    ref.scale = SCALE_NONE;
    if (e == OK && ref.codec == CODEC_FLOAT_V1) {
        /* The shape says how the values are encoded; a constant has no bytes in a page. */
        struct codec_shape shape = codec_float_shape(buf_bytes(&w->encoded));
        if (shape.is_decimal) ref.scale = shape.e;
        ref.is_constant = shape.is_constant;
        ref.k = shape.is_constant ? shape.k : w->origin;
    }
    if (e == OK && !ref.is_constant) {
        e = blocks_place(w, &w->values, &w->values_offsets, buf_bytes(&w->encoded), &ref.values,
                         why);
    }
    if (e) return e;
    assert(count > 0);    /* invariant 4 */
    assert(count <= all); /* invariant 4 */
    w->sample_count = count;
    /* Encodes the first times of the rollups of the first `rows` rows. */
    buf_clear(&w->first_times);
    if (rollups->floats != NULL) {
        codec_rollups_encode_times(w->scratch, rollups->floats, rollups->count,
                                   rollups->resolution_ms, &w->first_times);
    } else if (rollups->histograms != NULL) {
        e = codec_histogram_rollups_encode_times(w->scratch, &w->histogram_arena,
                                                 rollups->histograms, count, rollups->resolution_ms,
                                                 &w->first_times);
    }
    e = e ? e : buf_error(&w->first_times);
    if (e == OK) e = place_times(w, &ref.times, why);
    if (e == OK && w->has_starts) {
        buf_clear(&w->encoded);
        codec_int_encode(w->scratch, w->sample_starts, count, &w->encoded);
        e = buf_error(&w->encoded);
        if (e == OK)
            e = blocks_place(w, &w->values, &w->values_offsets, buf_bytes(&w->encoded), &ref.starts,
                             why);
    }
    if (e == OK && ref.resolution_ms > 0) e = place_rollups(w, rollups, count, &ref, why);
    w->sample_count = all;
    if (e) return e;
    ref.has_starts = w->has_starts;
    ref.count = count;
    ref.min_ms = w->sample_times[0];
    ref.max_ms = w->sample_times[count - 1];
    ref.has_stats = true;
    if (w->kind == SAMPLE_FLOAT)
        codec_float_stats(w->sample_bits, count, &ref.stats);
    else
        for (uint32_t i = 0; i < count; i++)
            ref.stats.number_count += w->sample_histograms[i].sum_bits != STALE_NAN_BITS;
    drop_front(w, count);
    return block_add(w, &ref);
}

enum err
part_blocks_out(struct part_writer *w, struct why *why)
{
    const struct rollups_to_write none = {.resolution_ms = 0};
    while (w->sample_count > 0) {
        enum err e = block_out(w, &none, why);
        if (e) return e;
    }
    return OK;
}

static bool
fits_block(const struct part_writer *w, enum sample_kind kind, const struct histogram *h)
{
    if (w->sample_count == 0) return true;
    if (w->sample_count == CODEC_SAMPLES_MAX || w->kind != kind) return false;
    if (kind == SAMPLE_FLOAT) return true;
    return histogram_same_layout(&w->sample_histograms[0], h) &&
           codec_histogram_fits(h, w->sample_count + 1) &&
           /* Words of memory that a histogram takes until its block is written. */
           (w->sample_count + 1) *
                   (16 + (uint64_t)h->positive.bucket_count + h->negative.bucket_count +
                    h->positive.span_count + h->negative.span_count + h->custom_count) <=
               HISTOGRAM_WORDS_MAX;
}

/* Makes room for `count` histograms in all: few blocks have as many as they may. */
static enum err
histograms_room(struct part_writer *w, uint32_t count)
{
    if (count > w->histogram_capacity && count < HISTOGRAMS_FIRST) count = HISTOGRAMS_FIRST;
    bool room = array_reserve(w->budget, &w->sample_histograms, &w->histogram_capacity, count);
    return room ? OK : ERR_NOMEM;
}

static void
take_times(struct part_writer *w, const struct sample_batch *batch, uint32_t from, uint32_t count)
{
    const int64_t *times = batch->times_ms + from;
    int64_t *starts = w->sample_starts + w->sample_count;
    size_t bytes = count * sizeof *times;
    bool ascends = !w->has_last || times[0] > w->last_ms;
    for (uint32_t i = 1; i < count; i++)
        ascends &= times[i] > times[i - 1];
    assert(ascends);                                      /* invariant 1 */
    assert(count <= CODEC_SAMPLES_MAX - w->sample_count); /* invariant 4 */
    memcpy(w->sample_times + w->sample_count, times, bytes);
    if (batch->starts_ms == NULL) {
        memset(starts, 0, bytes);
    } else {
        memcpy(starts, batch->starts_ms + from, bytes);
        for (uint32_t i = 0; i < count && !w->has_starts; i++)
            w->has_starts = starts[i] != 0;
    }
    w->has_last = true;
    w->last_ms = times[count - 1];
    w->sample_count += count;
}

enum err
part_write_samples(struct part_writer *w, const struct sample_batch *batch, struct why *why)
{
    assert(w->in_series);
    assert(!w->finished); /* invariant 6 */
    bool floats = batch->kind == SAMPLE_FLOAT;
    for (uint32_t i = 0, taken = 1; i < batch->count; i += taken) {
        const struct histogram *h = floats ? NULL : &batch->histograms[i];
        enum err e = fits_block(w, batch->kind, h) ? OK : part_blocks_out(w, why);
        uint32_t n = w->sample_count;
        if (e == OK && floats) { /* as many as the block has room for */
            taken = batch->count - i;
            if (taken > CODEC_SAMPLES_MAX - n) taken = CODEC_SAMPLES_MAX - n;
            memcpy(w->sample_bits + n, batch->value_bits + i, taken * sizeof *w->sample_bits);
        } else if (e == OK) {
            e = histograms_room(w, n + 1);
            /* A full arena means that memory is short; ERR_LIMIT would say that an item is too
             * large. */
            if (e == OK && histogram_copy(h, &w->histogram_arena, &w->sample_histograms[n]))
                e = ERR_NOMEM;
        }
        if (e) return part_write_error(w, e, why);
        w->kind = batch->kind;
        take_times(w, batch, i, taken);
    }
    w->tenant.sample_count[ledger_kind_of(batch->kind)] += batch->count;
    return OK;
}

/* ERR_LIMIT: the part has no room for another resolution. */
static enum err
check_resolution(struct part_writer *w, int64_t resolution_ms)
{
    struct part_info *i = &w->info;
    bool fits = i->resolution_count < PART_RESOLUTIONS_MAX ||
                rollup_facts_find(i->resolutions, i->resolution_count, resolution_ms) != NULL;
    return fits ? OK : ERR_LIMIT;
}

/* Counts the samples that wait as rows. */
static void
note_rows(struct part_writer *w)
{
    assert(!w->has_last || w->sample_times[0] > w->last_ms); /* invariant 1 */
    w->has_last = true;
    w->last_ms = w->sample_times[w->sample_count - 1];
    w->tenant.rollup_rows += w->sample_count;
}

enum err
part_write_rollups(struct part_writer *w, const struct rollup *rollups, uint32_t count,
                   int64_t resolution_ms, struct why *why)
{
    _Static_assert(2 * BLOCK_ROLLUPS_MAX <= CODEC_SAMPLES_MAX, "rows fit a block");
    _Static_assert(2 * BLOCK_ROLLUPS_MAX * 9 <= BLOCK_BYTES_MAX, "and are never cut");
    assert(count > 0 && count <= BLOCK_ROLLUPS_MAX);
    struct rollups_to_write these = {
        .resolution_ms = resolution_ms, .floats = rollups, .count = count};
    assert(w->in_series);
    assert(!w->finished);                 /* invariant 6 */
    enum err e = part_blocks_out(w, why); /* those that wait, as blocks of their own */
    if (e == OK) e = check_resolution(w, resolution_ms);
    if (e) return part_write_error(w, e, why);
    w->kind = SAMPLE_FLOAT;
    w->sample_count = rollup_rows(rollups, count, w->sample_times, w->sample_bits);
    note_rows(w);
    e = block_out(w, &these, why);
    assert(e || w->sample_count == 0);
    return part_write_error(w, e, why);
}

/* Takes the last samples of the first windows as rows of one block: up to the first marker. */
static uint32_t
take_lasts(struct part_writer *w, const struct histogram_rollup *rollups, uint32_t count)
{
    uint32_t n = 0;
    for (bool ended = false; n < count && !ended; n++) {
        const struct histogram_rollup *r = &rollups[n];
        if (r->count == 0 || !fits_block(w, r->last.kind, &r->last)) break;
        w->kind = r->last.kind;
        w->sample_times[w->sample_count] = r->last_ms;
        w->sample_histograms[w->sample_count++] = r->last;
        ended = r->is_stale;
    }
    return n;
}

enum err
part_write_histogram_rollups(struct part_writer *w, const struct histogram_rollup *rollups,
                             uint32_t count, int64_t resolution_ms, struct why *why)
{
    assert(w->in_series);
    assert(!w->finished);                 /* invariant 6 */
    enum err e = part_blocks_out(w, why); /* those that wait, as blocks of their own */
    if (e == OK) e = check_resolution(w, resolution_ms);
    if (e == OK) e = histograms_room(w, count < CODEC_SAMPLES_MAX ? count : CODEC_SAMPLES_MAX);
    for (uint32_t i = 0; i < count && e == OK;) {
        uint32_t taken = take_lasts(w, rollups + i, count - i);
        /* Writes the rows that were taken, as one block or, where they are too large, several. */
        const struct histogram_rollup *next = rollups + i;
        if (w->sample_count > 0) note_rows(w);
        while (w->sample_count > 0 && e == OK) {
            uint32_t left = w->sample_count;
            struct rollups_to_write these = {.resolution_ms = resolution_ms, .histograms = next};
            e = block_out(w, &these, why);
            next += left - w->sample_count;
        }
        i += taken;
        const struct histogram_rollup *ended = taken > 0 ? &rollups[i - 1] : &rollups[i++];
        if (e == OK && ended->is_stale) {
            /* Writes a block of one marker, which has another layout than the histogram before. */
            struct rollups_to_write none = {.resolution_ms = resolution_ms};
            w->kind = ended->last.kind;
            w->sample_times[0] = ended->stale_ms;
            w->sample_histograms[0] =
                (struct histogram){.kind = ended->last.kind, .sum_bits = STALE_NAN_BITS};
            w->sample_count = 1;
            note_rows(w);
            e = block_out(w, &none, why);
        }
    }
    return part_write_error(w, e, why);
}

enum err
part_write_block(struct part_writer *w, const struct block_ref *block,
                 const struct block_bytes *bytes, struct why *why)
{
    assert(w->in_series);
    assert(!w->finished);                               /* invariant 6 */
    assert(!w->has_last || block->min_ms > w->last_ms); /* invariant 1 */
    struct block_ref ref = *block;
    enum err e = part_blocks_out(w, why);
    assert(e || w->sample_count == 0);
    if (e == OK && !ref.is_constant)
        e = blocks_place(w, &w->values, &w->values_offsets, bytes->values, &ref.values, why);
    if (e == OK) e = place_column(w, bytes->times, ref.count, &ref.times, why);
    if (e == OK && block_has_third(&ref))
        e = blocks_place(w, &w->values, &w->values_offsets, bytes->third, &ref.starts, why);
    if (e == OK && ref.resolution_ms > 0) e = check_resolution(w, ref.resolution_ms);
    if (e == OK) e = block_add(w, &ref);
    if (e) return part_write_error(w, e, why);
    w->has_last = true;
    w->last_ms = ref.max_ms;
    w->tenant.sample_count[ledger_kind_of(block_kind(&ref))] += block_samples(&ref);
    if (ref.resolution_ms > 0) w->tenant.rollup_rows += ref.count;
    return OK;
}
