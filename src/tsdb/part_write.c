/*
 * part_write.c - writes a part front to back. Blocks and time columns go out as their pages fill,
 * rows point at them; what belongs to a whole tenant (label values, postings) is gathered in memory
 * until it is complete.
 *
 * Time columns are shared: a column equal to one written before, by a 128-bit hash under a secret
 * seed and its count, is referred to instead of written again.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "tsdb/codec_histogram.h"
#include "tsdb/part.h"
#include "tsdb/part_format.h"

enum err
part_path(char *to, size_t to_size, const char *parts_dir, uint64_t number)
{
    int n = snprintf(to, to_size, "%s/%016" PRIx64, parts_dir, number);
    return n > 0 && (size_t)n < to_size ? OK : ERR_LIMIT;
}

/* A page being filled with items of one kind. */
struct filling {
    enum page_kind kind;
    struct buf payload;
};

/* Items placed in a page that has no offset yet are remembered until it is written. */
struct column {
    XXH128_hash_t hash;
    uint32_t count;
    struct page_place place;
};

struct block {
    struct block_ref ref;
};

struct directory {
    struct buf entries;
    uint32_t count;
    uint32_t last_number;
    uint64_t last_offset;
};

struct part_writer {
    struct env *env;
    struct budget *budget;
    char dir[200];
    char parts_dir[200];
    struct page_writer pages;
    struct codec_scratch *scratch;
    struct part_info info;
    uint64_t seed;

    struct filling times;
    struct filling values;
    struct filling rows;
    struct filling label_values;
    struct filling postings;
    struct filling exemplars;
    struct directory rows_dir;
    struct directory values_dir;
    struct directory postings_dir;
    struct directory exemplars_dir;

    struct column *columns; /* open addressing */
    uint32_t column_capacity;
    uint32_t column_count;

    /* The tenant being written. */
    struct part_tenant tenant;
    struct buf tenants; /* root entries of those done */
    uint32_t tenant_count;
    struct buf names;
    uint32_t name_count;
    struct buf last_name;
    struct buf last_value;
    uint32_t name_pairs;
    uint32_t page_values; /* label values in the page being filled */
    struct buf restarts;
    struct buf row_pairs; /* u32 pair numbers of all rows of the tenant */
    struct buf row_ends;  /* u32: where each row's pairs end */
    struct buf metadata;
    uint32_t metadata_count;

    /* The series being written. */
    bool in_series;
    uint32_t pair_count;
    struct buf blocks; /* struct block_ref */
    enum sample_kind kind;
    uint32_t sample_count;
    bool has_starts;
    int64_t *sample_times;
    uint64_t *sample_bits;
    int64_t *sample_starts;
    struct histogram *sample_histograms;
    struct arena histogram_arena;
    struct buf encoded;

    /* Rows wait for the pages their blocks lie in. */
    struct buf waiting;  /* struct waiting_row, then its pairs and blocks */
    uint64_t times_page; /* provisional page number of the page being filled */
    uint64_t values_page;
    struct buf times_offsets; /* u64 offset of each provisional page */
    struct buf values_offsets;
    int64_t row_last_ms;
    uint64_t row_times;
    uint64_t row_values;
    uint32_t row_last_pairs;
    uint32_t rows_in_page;
    uint32_t rows_written;

    /* Exemplars. */
    uint32_t exemplar_series;
    uint32_t exemplar_count;
};

/* --- small things
 * --------------------------------------------------------------------------------- */

static void
filling_init(struct part_writer *w, struct filling *f, enum page_kind kind)
{
    f->kind = kind;
    buf_init(&f->payload, w->budget, PAGE_BYTES_MAX);
}

static void
directory_add(struct directory *d, uint32_t number, uint64_t offset)
{
    buf_put_varint(&d->entries, number - d->last_number);
    buf_put_varint(&d->entries, offset - d->last_offset);
    d->last_number = number;
    d->last_offset = offset;
    d->count++;
}

/* Writes a page out if it holds something. */
static enum err
filling_flush(struct part_writer *w, struct filling *f, uint64_t *ret_offset, struct why *why)
{
    if (buf_error(&f->payload)) return buf_error(&f->payload);
    enum err e = page_write(&w->pages, f->kind, buf_bytes(&f->payload), ret_offset, why);
    buf_clear(&f->payload);
    return e;
}

/* Would an item of `size` bytes make the page too large? */
static bool
filling_full(const struct filling *f, size_t size)
{
    return f->payload.size > 0 && f->payload.size + size > PAGE_TARGET_BYTES;
}

/* --- times and values: pages whose offsets come later
 * ---------------------------------------------- */

static enum err
flush_placed(struct part_writer *w, struct filling *f, struct buf *offsets, struct why *why)
{
    if (f->payload.size == 0) return OK;
    uint64_t offset;
    enum err e = filling_flush(w, f, &offset, why);
    if (e) return e;
    buf_put_le64(offsets, offset);
    return buf_error(offsets);
}

/* Puts encoded bytes into a page; the place names the page by its running number for now. */
static enum err
place(struct part_writer *w, struct filling *f, struct buf *offsets, struct bytes encoded,
      struct page_place *ret_place, struct why *why)
{
    if (filling_full(f, encoded.size)) {
        enum err e = flush_placed(w, f, offsets, why);
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
columns_grow(struct part_writer *w)
{
    uint32_t capacity = w->column_capacity == 0 ? 1024 : w->column_capacity * 2;
    struct column *grown = mem_new(w->budget, capacity * sizeof *grown);
    if (grown == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < w->column_capacity; i++) {
        const struct column *c = &w->columns[i];
        if (c->count == 0) continue;
        uint32_t at = (uint32_t)c->hash.low64 & (capacity - 1);
        while (grown[at].count != 0) {
            at = (at + 1) & (capacity - 1);
        }
        grown[at] = *c;
    }
    mem_free(w->budget, w->columns, w->column_capacity * sizeof *grown);
    w->columns = grown;
    w->column_capacity = capacity;
    return OK;
}

static enum err
place_times(struct part_writer *w, struct page_place *ret_place, struct why *why)
{
    if (w->column_count >= w->column_capacity / 2) {
        enum err e = columns_grow(w);
        if (e) return e;
    }
    XXH128_hash_t hash = XXH3_128bits_withSeed(w->sample_times, w->sample_count * 8u, w->seed);
    uint32_t at = (uint32_t)hash.low64 & (w->column_capacity - 1);
    for (; w->columns[at].count != 0; at = (at + 1) & (w->column_capacity - 1)) {
        const struct column *c = &w->columns[at];
        if (c->count != w->sample_count || !XXH128_isEqual(c->hash, hash)) continue;
        *ret_place = c->place;
        return OK;
    }
    buf_clear(&w->encoded);
    codec_times_encode(w->scratch, w->sample_times, w->sample_count, &w->encoded);
    if (buf_error(&w->encoded)) return buf_error(&w->encoded);
    enum err e = place(w, &w->times, &w->times_offsets, buf_bytes(&w->encoded), ret_place, why);
    if (e) return e;
    w->columns[at] = (struct column){hash, w->sample_count, *ret_place};
    w->column_count++;
    return OK;
}

/* --- blocks
 * ------------------------------------------------------------------------------------------ */

static enum err
encode_values(struct part_writer *w, uint32_t first, uint32_t count)
{
    buf_clear(&w->encoded);
    if (w->kind == SAMPLE_FLOAT) {
        codec_float_encode(w->scratch, w->sample_bits + first, count, &w->encoded);
    } else {
        codec_histogram_encode(w->scratch, w->sample_histograms + first, count, &w->encoded);
    }
    return buf_error(&w->encoded);
}

/*
 * Values that turn out too large for one block leave with half the samples, and so on: the rest
 * stays in the sample arrays.
 */
static enum err
cut_block(struct part_writer *w, uint32_t *ret_count)
{
    uint32_t count = w->sample_count;
    for (;;) {
        enum err e = encode_values(w, 0, count);
        if (e) return e;
        if (w->encoded.size <= BLOCK_BYTES_MAX || count == 1) break;
        count = (count + 1) / 2;
    }
    *ret_count = count;
    return OK;
}

static enum err
place_starts(struct part_writer *w, struct page_place *ret_place, struct why *why)
{
    buf_clear(&w->encoded);
    codec_int_encode(w->scratch, w->sample_starts, w->sample_count, &w->encoded);
    if (buf_error(&w->encoded)) return buf_error(&w->encoded);
    return place(w, &w->values, &w->values_offsets, buf_bytes(&w->encoded), ret_place, why);
}

static void
drop_front(struct part_writer *w, uint32_t count)
{
    uint32_t left = w->sample_count - count;
    memmove(w->sample_times, w->sample_times + count, left * sizeof *w->sample_times);
    memmove(w->sample_bits, w->sample_bits + count, left * sizeof *w->sample_bits);
    memmove(w->sample_starts, w->sample_starts + count, left * sizeof *w->sample_starts);
    memmove(w->sample_histograms, w->sample_histograms + count,
            left * sizeof *w->sample_histograms);
    w->sample_count = left;
    if (left > 0) return;
    w->has_starts = false;
    arena_reset(&w->histogram_arena);
}

/* Writes one block of the first samples that wait; more may be left. */
static enum err
block_out(struct part_writer *w, struct why *why)
{
    uint32_t count, all = w->sample_count;
    struct block_ref ref = {0};
    enum err e = cut_block(w, &count);
    if (e == OK) {
        e = place(w, &w->values, &w->values_offsets, buf_bytes(&w->encoded), &ref.values, why);
    }
    if (e) return e;
    w->sample_count = count;
    e = place_times(w, &ref.times, why);
    if (e == OK && w->has_starts) e = place_starts(w, &ref.starts, why);
    w->sample_count = all;
    if (e) return e;
    ref.codec = w->kind == SAMPLE_FLOAT ? CODEC_FLOAT_V1 : part_codec_of(w->kind);
    ref.has_starts = w->has_starts;
    ref.count = count;
    ref.min_ms = w->sample_times[0];
    ref.max_ms = w->sample_times[count - 1];
    if (w->kind == SAMPLE_FLOAT) {
        ref.has_stats = true;
        codec_float_stats(w->sample_bits, count, &ref.stats);
    }
    buf_put(&w->blocks, &ref, sizeof ref);
    w->info.block_count++;
    if (ref.min_ms < w->info.min_ms) w->info.min_ms = ref.min_ms;
    if (ref.max_ms > w->info.max_ms) w->info.max_ms = ref.max_ms;
    drop_front(w, count);
    return buf_error(&w->blocks);
}

static enum err
blocks_out(struct part_writer *w, struct why *why)
{
    while (w->sample_count > 0) {
        enum err e = block_out(w, why);
        if (e) return e;
    }
    return OK;
}

static bool
fits_block(struct part_writer *w, enum sample_kind kind, const struct histogram *h)
{
    if (w->sample_count == 0) return true;
    if (w->sample_count == CODEC_SAMPLES_MAX || w->kind != kind) return false;
    if (kind == SAMPLE_FLOAT) return true;
    return histogram_same_layout(&w->sample_histograms[0], h) &&
           codec_histogram_fits(h, w->sample_count + 1) &&
           (uint64_t)(w->sample_count + 1) *
                   (h->positive.bucket_count + h->negative.bucket_count + 3) <=
               BLOCK_BYTES_MAX;
}

enum err
part_write_samples(struct part_writer *w, const struct sample_batch *batch, struct why *why)
{
    assert(w->in_series);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct histogram *h = batch->kind == SAMPLE_FLOAT ? NULL : &batch->histograms[i];
        enum err e = OK;
        if (!fits_block(w, batch->kind, h)) e = blocks_out(w, why);
        if (e) return e;
        uint32_t n = w->sample_count;
        if (h != NULL) {
            e = histogram_copy(h, &w->histogram_arena, &w->sample_histograms[n]);
            if (e) return e;
        } else {
            w->sample_bits[n] = batch->value_bits[i];
        }
        w->kind = batch->kind;
        w->sample_times[n] = batch->times_ms[i];
        w->sample_starts[n] = batch->starts_ms == NULL ? 0 : batch->starts_ms[i];
        w->has_starts |= w->sample_starts[n] != 0;
        w->sample_count++;
    }
    w->tenant.sample_count[ledger_kind_of(batch->kind)] += batch->count;
    return OK;
}

/* --- rows
 * ---------------------------------------------------------------------------------------------- */

struct waiting_row {
    uint32_t pair_count;
    uint32_t block_count;
};

/* Turns a running page number into the offset it got. */
static void
resolve(struct page_place *place, const struct buf *offsets)
{
    assert(place->page < offsets->size / 8);
    place->page = load_le64(offsets->at + place->page * 8);
}

static void
put_place(struct buf *to, const struct page_place *place, uint64_t *last_page)
{
    buf_put_zigzag(to, (int64_t)(place->page - *last_page));
    buf_put_varint(to, place->at);
    buf_put_varint(to, place->size);
    *last_page = place->page;
}

static void
put_stats(struct buf *to, const struct codec_stats *stats)
{
    uint64_t min = double_bits(stats->min), max = double_bits(stats->max);
    buf_put_le64(to, min);
    buf_put_varint(to, __builtin_bswap64(max ^ min));
    buf_put_le64(to, double_bits(stats->sum));
    buf_put_varint(to, stats->number_count);
}

static void
put_block(struct part_writer *w, struct buf *to, const struct block_ref *b)
{
    buf_put_u8(to, b->codec);
    buf_put_u8(to, (uint8_t)((b->has_starts ? 1 : 0) | (b->has_stats ? 2 : 0)));
    buf_put_varint(to, b->count);
    buf_put_zigzag(to, (int64_t)((uint64_t)b->min_ms - (uint64_t)w->row_last_ms));
    buf_put_varint(to, (uint64_t)b->max_ms - (uint64_t)b->min_ms);
    w->row_last_ms = b->min_ms;
    put_place(to, &b->times, &w->row_times);
    put_place(to, &b->values, &w->row_values);
    if (b->has_starts) put_place(to, &b->starts, &w->row_values);
    if (b->has_stats) put_stats(to, &b->stats);
}

static enum err
rows_page_out(struct part_writer *w, struct why *why)
{
    if (w->rows_in_page == 0) return OK;
    uint64_t offset;
    enum err e = filling_flush(w, &w->rows, &offset, why);
    if (e) return e;
    directory_add(&w->rows_dir, w->rows_written - w->rows_in_page, offset);
    w->rows_in_page = 0;
    w->row_last_ms = 0;
    w->row_times = w->row_values = 0;
    return OK;
}

static enum err
row_out(struct part_writer *w, const uint32_t *pairs, const struct waiting_row *row,
        struct block_ref *blocks, struct why *why)
{
    struct buf *to = &w->rows.payload;
    if (filling_full(&w->rows, row->pair_count * 2u + row->block_count * 40u)) {
        enum err e = rows_page_out(w, why);
        if (e) return e;
    }
    buf_put_varint(to, row->pair_count);
    uint32_t last = 0;
    for (uint32_t i = 0; i < row->pair_count; i++) {
        buf_put_varint(to, pairs[i] - last);
        last = pairs[i];
    }
    buf_put_varint(to, row->block_count);
    for (uint32_t i = 0; i < row->block_count; i++) {
        resolve(&blocks[i].times, &w->times_offsets);
        resolve(&blocks[i].values, &w->values_offsets);
        if (blocks[i].has_starts) resolve(&blocks[i].starts, &w->values_offsets);
        put_block(w, to, &blocks[i]);
    }
    w->rows_in_page++;
    w->rows_written++;
    return buf_error(to);
}

/* All rows that wait can go out once the pages their blocks lie in are written. */
static enum err
waiting_out(struct part_writer *w, struct why *why)
{
    enum err e = flush_placed(w, &w->times, &w->times_offsets, why);
    if (e == OK) e = flush_placed(w, &w->values, &w->values_offsets, why);
    size_t at = 0;
    while (e == OK && at < w->waiting.size) {
        struct waiting_row row;
        memcpy(&row, w->waiting.at + at, sizeof row);
        at += sizeof row;
        uint32_t *pairs = (uint32_t *)(void *)(w->waiting.at + at);
        at += (row.pair_count * sizeof *pairs + 7) & ~(size_t)7;
        struct block_ref *blocks = (struct block_ref *)(void *)(w->waiting.at + at);
        at += row.block_count * sizeof *blocks;
        e = row_out(w, pairs, &row, blocks, why);
    }
    buf_clear(&w->waiting);
    return e;
}

/* The pairs of the row being written were put at the end of row_pairs. */
static enum err
series_end(struct part_writer *w, struct why *why)
{
    if (!w->in_series) return OK;
    enum err e = blocks_out(w, why);
    if (e) return e;
    struct waiting_row row = {w->pair_count, (uint32_t)(w->blocks.size / sizeof(struct block_ref))};
    size_t pair_bytes = row.pair_count * sizeof(uint32_t);
    buf_put(&w->waiting, &row, sizeof row);
    buf_put(&w->waiting, w->row_pairs.at + w->row_pairs.size - pair_bytes, pair_bytes);
    buf_put(&w->waiting, "\0\0\0\0\0\0\0", ((pair_bytes + 7) & ~(size_t)7) - pair_bytes);
    buf_put_bytes(&w->waiting, buf_bytes(&w->blocks));
    buf_put_le32(&w->row_ends, (uint32_t)(w->row_pairs.size / sizeof(uint32_t)));
    e = err_first(buf_error(&w->waiting), buf_error(&w->row_ends));
    buf_clear(&w->blocks);
    w->in_series = false;
    if (e) return e;
    return w->waiting.size > 1024 * 1024 ? waiting_out(w, why) : OK;
}

enum err
part_write_series(struct part_writer *w, const uint32_t *pairs, uint32_t pair_count,
                  struct why *why)
{
    enum err e = series_end(w, why);
    if (e) return e;
    buf_put(&w->row_pairs, pairs, pair_count * sizeof *pairs);
    w->pair_count = pair_count;
    w->in_series = true;
    w->tenant.series_count++;
    return buf_error(&w->row_pairs);
}

/* --- labels
 * ------------------------------------------------------------------------------------------------
 */

static enum err
values_page_out(struct part_writer *w, struct why *why)
{
    if (w->page_values == 0) return OK;
    struct buf *to = &w->label_values.payload;
    buf_put_bytes(to, buf_bytes(&w->restarts));
    buf_put_le32(to, (uint32_t)(w->restarts.size / 4));
    uint64_t offset;
    enum err e = filling_flush(w, &w->label_values, &offset, why);
    if (e) return e;
    uint32_t next = w->tenant.first_pair + w->tenant.pair_count;
    directory_add(&w->values_dir, next - w->page_values, offset);
    buf_clear(&w->restarts);
    w->page_values = 0;
    return OK;
}

static enum err
name_end(struct part_writer *w)
{
    if (w->name_pairs == 0) return OK;
    buf_put_counted(&w->names, buf_bytes(&w->last_name));
    buf_put_varint(&w->names, w->name_pairs);
    w->name_count++;
    w->name_pairs = 0;
    return buf_error(&w->names);
}

static uint32_t
shared_prefix(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size, n = 0;
    while (n < most && a.at[n] == b.at[n]) {
        n++;
    }
    return (uint32_t)n;
}

enum err
part_write_pair(struct part_writer *w, struct label label, struct why *why)
{
    enum err e = OK;
    bool new_name = w->name_pairs == 0 || !bytes_equal(buf_bytes(&w->last_name), label.name);
    if (new_name) e = name_end(w);
    if (e == OK && filling_full(&w->label_values, label.value.size + w->restarts.size)) {
        e = values_page_out(w, why);
    }
    if (e) return e;
    if (new_name) {
        buf_clear(&w->last_name);
        buf_put_bytes(&w->last_name, label.name);
    }
    struct buf *to = &w->label_values.payload;
    bool restart = w->page_values % LABEL_RESTART == 0;
    if (restart) buf_put_le32(&w->restarts, (uint32_t)to->size);
    uint32_t shared =
        restart || new_name ? 0 : shared_prefix(buf_bytes(&w->last_value), label.value);
    buf_put_varint(to, shared);
    buf_put_counted(to, bytes_of(label.value.at + shared, label.value.size - shared));
    buf_clear(&w->last_value);
    buf_put_bytes(&w->last_value, label.value);
    w->page_values++;
    w->name_pairs++;
    w->tenant.pair_count++;
    e = err_first(buf_error(to), buf_error(&w->last_value));
    e = err_first(e, buf_error(&w->last_name));
    return err_first(e, buf_error(&w->restarts));
}

/* --- postings
 * -----------------------------------------------------------------------------------------------
 */

static enum err
postings_page_out(struct part_writer *w, uint32_t *first, uint32_t next, struct why *why)
{
    if (w->postings.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = filling_flush(w, &w->postings, &offset, why);
    if (e) return e;
    directory_add(&w->postings_dir, *first, offset);
    *first = next;
    return OK;
}

/* Sorts (pair, series) by counting: `starts` is where each pair's series begin in `series`. */
static void
postings_sort(const struct part_writer *w, uint32_t *starts, uint32_t *series)
{
    const uint32_t *pairs = (const uint32_t *)(const void *)w->row_pairs.at;
    const uint32_t *ends = (const uint32_t *)(const void *)w->row_ends.at;
    uint32_t rows = (uint32_t)(w->row_ends.size / 4), count = w->tenant.pair_count;
    for (uint32_t i = 0; i < w->row_pairs.size / 4; i++) {
        starts[pairs[i] + 1]++;
    }
    for (uint32_t p = 0; p < count; p++) {
        starts[p + 1] += starts[p];
    }
    for (uint32_t row = 0, i = 0; row < rows; row++) {
        for (; i < ends[row]; i++) {
            series[starts[pairs[i]]++] = row;
        }
    }
    for (uint32_t p = count; p > 0; p--) {
        starts[p] = starts[p - 1];
    }
    starts[0] = 0;
}

static enum err
postings_put(struct part_writer *w, const uint32_t *starts, const uint32_t *series, struct why *why)
{
    struct buf *to = &w->postings.payload;
    uint32_t first = w->tenant.first_pair;
    for (uint32_t p = 0; p < w->tenant.pair_count; p++) {
        uint32_t count = starts[p + 1] - starts[p], last = 0;
        if (filling_full(&w->postings, count + 2u)) {
            enum err e = postings_page_out(w, &first, w->tenant.first_pair + p, why);
            if (e) return e;
        }
        buf_put_varint(to, count);
        for (uint32_t i = starts[p]; i < starts[p + 1]; i++) {
            buf_put_varint(to, series[i] - last);
            last = series[i];
        }
    }
    if (buf_error(to)) return buf_error(to);
    return postings_page_out(w, &first, 0, why);
}

static enum err
postings_out(struct part_writer *w, struct why *why)
{
    size_t starts_bytes = ((size_t)w->tenant.pair_count + 2) * sizeof(uint32_t);
    size_t series_bytes = w->row_pairs.size;
    uint32_t *starts = mem_new(w->budget, starts_bytes);
    uint32_t *series = mem_alloc(w->budget, series_bytes);
    enum err e = starts == NULL || series == NULL ? ERR_NOMEM : OK;
    if (e == OK) {
        postings_sort(w, starts, series);
        e = postings_put(w, starts, series, why);
    }
    mem_free(w->budget, starts, starts_bytes);
    mem_free(w->budget, series, series_bytes);
    buf_clear(&w->row_pairs);
    buf_clear(&w->row_ends);
    return e;
}

/* --- exemplars and metadata
 * ------------------------------------------------------------------------------------ */

static enum err
exemplars_page_out(struct part_writer *w, struct why *why)
{
    if (w->exemplars.payload.size == 0) return OK;
    uint64_t offset;
    enum err e = filling_flush(w, &w->exemplars, &offset, why);
    if (e) return e;
    directory_add(&w->exemplars_dir, w->exemplar_count, offset);
    return OK;
}

enum err
part_write_exemplar(struct part_writer *w, uint32_t series, int64_t t_ms, uint64_t bits,
                    struct bytes labels, struct why *why)
{
    enum err e = series_end(w, why);
    if (e) return e;
    uint32_t number = w->tenant.first_series + series;
    struct buf *to = &w->exemplars.payload;
    if (filling_full(&w->exemplars, labels.size + 32)) e = exemplars_page_out(w, why);
    if (e) return e;
    if (to->size == 0) {
        w->exemplar_count = number; /* the directory names the first series of each page */
        w->exemplar_series = 0;
    }
    buf_put_varint(to, number - w->exemplar_series);
    buf_put_zigzag(to, t_ms);
    buf_put_le64(to, bits);
    buf_put_counted(to, labels);
    w->exemplar_series = number;
    w->tenant.sample_count[LEDGER_EXEMPLAR]++;
    return buf_error(to);
}

enum err
part_write_metadata(struct part_writer *w, const struct metadata *m, struct why *why)
{
    enum err e = series_end(w, why);
    if (e) return e;
    buf_put_counted(&w->metadata, m->family);
    buf_put_u8(&w->metadata, (uint8_t)m->type);
    buf_put_counted(&w->metadata, m->help);
    buf_put_counted(&w->metadata, m->unit);
    w->metadata_count++;
    return buf_error(&w->metadata);
}

/* --- tenants
 * ------------------------------------------------------------------------------------------------------
 */

/* A counted list in a page of its own. */
static enum err
list_page(struct part_writer *w, enum page_kind kind, uint32_t count, struct buf *items,
          uint64_t *ret_offset, struct why *why)
{
    buf_clear(&w->encoded);
    buf_put_varint(&w->encoded, count);
    buf_put_bytes(&w->encoded, buf_bytes(items));
    if (buf_error(&w->encoded)) return buf_error(&w->encoded);
    buf_clear(items);
    return page_write(&w->pages, kind, buf_bytes(&w->encoded), ret_offset, why);
}

static void
put_tenant(struct part_writer *w)
{
    const struct part_tenant *t = &w->tenant;
    struct buf *to = &w->tenants;
    buf_put_counted(to, t->name);
    buf_put_varint(to, t->series_count);
    buf_put_varint(to, t->pair_count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        buf_put_varint(to, t->sample_count[k]);
        w->info.sample_count[k] += t->sample_count[k];
    }
    buf_put_varint(to, t->names_page);
    buf_put_varint(to, t->names_at);
    buf_put_varint(to, t->metadata_page);
    buf_put_varint(to, t->metadata_at);
    w->tenant_count++;
}

static enum err
tenant_end(struct part_writer *w, struct why *why)
{
    struct part_tenant *t = &w->tenant;
    if (t->name.at == NULL) return OK;
    enum err e = series_end(w, why);
    if (e == OK) e = waiting_out(w, why);
    if (e == OK) e = rows_page_out(w, why);
    if (e == OK) e = name_end(w);
    if (e == OK) e = values_page_out(w, why);
    if (e == OK) e = postings_out(w, why);
    if (e == OK) e = exemplars_page_out(w, why);
    if (e == OK) e = list_page(w, PAGE_NAMES, w->name_count, &w->names, &t->names_page, why);
    if (e == OK && w->metadata_count > 0) {
        e = list_page(w, PAGE_METADATA, w->metadata_count, &w->metadata, &t->metadata_page, why);
    }
    if (e) return e;
    put_tenant(w);
    w->info.series_count += t->series_count;
    w->info.pair_count += t->pair_count;
    mem_free(w->budget, (void *)(uintptr_t)t->name.at, t->name.size);
    t->name = (struct bytes){NULL, 0};
    return buf_error(&w->tenants);
}

enum err
part_write_tenant(struct part_writer *w, struct bytes name, struct why *why)
{
    enum err e = tenant_end(w, why);
    if (e) return e;
    uint8_t *copy = mem_alloc(w->budget, name.size);
    if (copy == NULL) return ERR_NOMEM;
    memcpy(copy, name.at, name.size);
    w->tenant = (struct part_tenant){
        .name = {copy, name.size},
        .first_series = (uint32_t)w->info.series_count,
        .first_pair = (uint32_t)w->info.pair_count,
    };
    w->name_count = w->name_pairs = w->metadata_count = 0;
    /* Pages do not span tenants. */
    e = flush_placed(w, &w->times, &w->times_offsets, why);
    if (e == OK) e = flush_placed(w, &w->values, &w->values_offsets, why);
    memset(w->columns, 0, w->column_capacity * sizeof *w->columns);
    w->column_count = 0;
    return e;
}

/* --- the whole
 * -------------------------------------------------------------------------------------------------------
 */

static void
writer_buffers(struct part_writer *w)
{
    struct buf *all[] = {
        &w->tenants,
        &w->names,
        &w->last_name,
        &w->last_value,
        &w->restarts,
        &w->row_pairs,
        &w->row_ends,
        &w->metadata,
        &w->blocks,
        &w->encoded,
        &w->waiting,
        &w->times_offsets,
        &w->values_offsets,
        &w->rows_dir.entries,
        &w->values_dir.entries,
        &w->postings_dir.entries,
        &w->exemplars_dir.entries,
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        buf_init(all[i], w->budget, (size_t)1 << 32);
    }
    filling_init(w, &w->times, PAGE_TIMES);
    filling_init(w, &w->values, PAGE_VALUES);
    filling_init(w, &w->rows, PAGE_ROWS);
    filling_init(w, &w->label_values, PAGE_LABEL_VALUES);
    filling_init(w, &w->postings, PAGE_POSTINGS);
    filling_init(w, &w->exemplars, PAGE_EXEMPLARS);
}

static enum err
writer_arrays(struct part_writer *w)
{
    w->sample_times = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_times);
    w->sample_bits = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_bits);
    w->sample_starts = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_starts);
    w->sample_histograms = mem_alloc(w->budget, CODEC_SAMPLES_MAX * sizeof *w->sample_histograms);
    if (w->sample_times == NULL || w->sample_bits == NULL || w->sample_starts == NULL ||
        w->sample_histograms == NULL) {
        return ERR_NOMEM;
    }
    enum err e = columns_grow(w);
    return e ? e : codec_scratch_new(w->budget, &w->scratch);
}

static enum err
writer_begin_file(struct part_writer *w, struct why *why)
{
    char path[256];
    uint8_t header[PART_END_BYTES] = {0};
    enum err e = env_remove_tree(w->env, w->dir, NULL);
    if (e == ERR_MISSING) e = OK;
    if (e == OK) e = env_mkdir(w->env, w->dir, why);
    if (e == OK) e = path_join(path, sizeof path, w->dir, "part");
    if (e == OK) {
        e = page_writer_open(&w->pages, w->env, w->budget, path, w->info.number, why);
    }
    if (e) return e;
    part_end_pack(header, PART_HEADER_MAGIC, w->info.number, 0, 0);
    return page_write_raw(&w->pages, bytes_of(header, sizeof header), why);
}

enum err
part_writer_new(struct env *env, struct budget *budget, const char *parts_dir, uint64_t number,
                uint64_t from_pos, uint64_t to_pos, struct part_writer **ret_writer,
                struct why *why)
{
    struct part_writer *w = mem_new(budget, sizeof *w);
    if (w == NULL) return why_set(why, ERR_NOMEM, "no memory to write a part");
    w->env = env;
    w->budget = budget;
    w->pages.file = FILE_CLOSED;
    w->info = (struct part_info){
        .number = number,
        .from_pos = from_pos,
        .to_pos = to_pos,
        .min_ms = INT64_MAX,
        .max_ms = INT64_MIN,
    };
    writer_buffers(w);
    arena_init(&w->histogram_arena, budget, 0, 0);
    enum err e = part_path(w->dir, sizeof w->dir, parts_dir, number);
    if (e == OK && (size_t)snprintf(w->parts_dir, sizeof w->parts_dir, "%s", parts_dir) >=
                       sizeof w->parts_dir) {
        e = ERR_LIMIT;
    }
    if (e == OK) e = env_random(env, &w->seed, sizeof w->seed);
    if (e == OK) e = writer_arrays(w);
    if (e == OK) e = writer_begin_file(w, why);
    if (e) {
        part_writer_free(w);
        return e;
    }
    *ret_writer = w;
    return OK;
}

void
part_writer_free(struct part_writer *w)
{
    if (w == NULL) return;
    page_writer_fini(&w->pages);
    struct buf *all[] = {
        &w->tenants,
        &w->names,
        &w->last_name,
        &w->last_value,
        &w->restarts,
        &w->row_pairs,
        &w->row_ends,
        &w->metadata,
        &w->blocks,
        &w->encoded,
        &w->waiting,
        &w->times_offsets,
        &w->values_offsets,
        &w->rows_dir.entries,
        &w->values_dir.entries,
        &w->postings_dir.entries,
        &w->exemplars_dir.entries,
        &w->times.payload,
        &w->values.payload,
        &w->rows.payload,
        &w->label_values.payload,
        &w->postings.payload,
        &w->exemplars.payload,
    };
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        buf_fini(all[i]);
    }
    mem_free(w->budget, (void *)(uintptr_t)w->tenant.name.at, w->tenant.name.size);
    mem_free(w->budget, w->sample_times, CODEC_SAMPLES_MAX * sizeof *w->sample_times);
    mem_free(w->budget, w->sample_bits, CODEC_SAMPLES_MAX * sizeof *w->sample_bits);
    mem_free(w->budget, w->sample_starts, CODEC_SAMPLES_MAX * sizeof *w->sample_starts);
    mem_free(w->budget, w->sample_histograms, CODEC_SAMPLES_MAX * sizeof *w->sample_histograms);
    mem_free(w->budget, w->columns, w->column_capacity * sizeof *w->columns);
    codec_scratch_free(w->scratch);
    arena_fini(&w->histogram_arena);
    mem_free(w->budget, w, sizeof *w);
}

static enum err
directory_out(struct part_writer *w, struct directory *d, uint64_t *ret_offset, struct why *why)
{
    *ret_offset = 0;
    if (d->count == 0) return OK;
    if (buf_error(&d->entries)) return buf_error(&d->entries);
    return list_page(w, PAGE_DIRECTORY, d->count, &d->entries, ret_offset, why);
}

static enum err
root_out(struct part_writer *w, uint64_t *ret_offset, struct why *why)
{
    uint64_t rows, values, postings, exemplars;
    enum err e = directory_out(w, &w->rows_dir, &rows, why);
    if (e == OK) e = directory_out(w, &w->values_dir, &values, why);
    if (e == OK) e = directory_out(w, &w->postings_dir, &postings, why);
    if (e == OK) e = directory_out(w, &w->exemplars_dir, &exemplars, why);
    if (e) return e;
    struct buf *to = &w->encoded;
    buf_clear(to);
    buf_put_le64(to, w->info.from_pos);
    buf_put_le64(to, w->info.to_pos);
    buf_put_zigzag(to, w->info.min_ms);
    buf_put_zigzag(to, w->info.max_ms);
    buf_put_varint(to, w->info.series_count);
    buf_put_varint(to, w->info.pair_count);
    buf_put_varint(to, w->info.block_count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        buf_put_varint(to, w->info.sample_count[k]);
    }
    buf_put_varint(to, rows);
    buf_put_varint(to, values);
    buf_put_varint(to, postings);
    buf_put_varint(to, exemplars);
    buf_put_varint(to, w->tenant_count);
    buf_put_bytes(to, buf_bytes(&w->tenants));
    if (buf_error(to)) return buf_error(to);
    return page_write(&w->pages, PAGE_ROOT, buf_bytes(to), ret_offset, why);
}

static enum err
meta_json_out(struct part_writer *w, struct why *why)
{
    char text[1024];
    const struct part_info *i = &w->info;
    int n = snprintf(text, sizeof text,
                     "{\n  \"format\": \"firekeep part\",\n  \"version\": %d,\n"
                     "  \"number\": %" PRIu64 ",\n  \"log_from\": %" PRIu64
                     ",\n  \"log_to\": %" PRIu64 ",\n  \"min_time_ms\": %" PRId64
                     ",\n  \"max_time_ms\": %" PRId64 ",\n  \"tenants\": %" PRIu32
                     ",\n  \"series\": %" PRIu64 ",\n  \"blocks\": %" PRIu64
                     ",\n  \"floats\": %" PRIu64 ",\n  \"histograms\": %" PRIu64
                     ",\n  \"exemplars\": %" PRIu64 ",\n  \"bytes\": %" PRIu64 "\n}\n",
                     PART_VERSION, i->number, i->from_pos, i->to_pos, i->min_ms, i->max_ms,
                     w->tenant_count, i->series_count, i->block_count, i->sample_count[0],
                     i->sample_count[1], i->sample_count[2], i->file_bytes);
    assert(n > 0 && (size_t)n < sizeof text);
    return env_write_whole(w->env, w->dir, "meta.json", bytes_of(text, (size_t)n), why);
}

enum err
part_writer_finish(struct part_writer *w, struct part_info *ret_info, struct why *why)
{
    uint64_t root;
    uint8_t footer[PART_END_BYTES] = {0};
    enum err e = tenant_end(w, why);
    if (e == OK) e = root_out(w, &root, why);
    if (e) return e;
    w->info.file_bytes = page_writer_offset(&w->pages) + PART_END_BYTES;
    part_end_pack(footer, PART_FOOTER_MAGIC, w->info.number, root, w->info.file_bytes);
    e = page_write_raw(&w->pages, bytes_of(footer, sizeof footer), why);
    if (e == OK) e = page_writer_close(&w->pages, why);
    if (e == OK) e = meta_json_out(w, why);
    if (e == OK) e = env_syncdir(w->env, w->dir, why);
    if (e == OK) e = env_syncdir(w->env, w->parts_dir, why);
    if (e == OK) *ret_info = w->info;
    return e;
}
