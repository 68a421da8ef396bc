/*
 * series_blocks.c - see fetch_reader.h.
 *
 * A block that is too large is dropped and fetched again with half the keys, and finally with one
 * key and half the time. The size of a block decides that of the next one.
 *
 * A complete block is sorted by key and time, unless its samples arrived in order. Keys with equal
 * labels form a group, which is never split between blocks; a group that does not fit into one
 * request is refused.
 */
#include "backend/fetch/fetch_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"

enum {
    TEXT_BYTES_MAX = 1 << 30,
    KEYS_FIRST = 16,
    EXPECTED_MAX = SERIES_BLOCKS_SAMPLES / 2, /* samples, by the store's counts */
    BATCH = 512,
    BATCH_HISTOGRAMS = 64,
    ARENA_BYTES_MAX = 64 << 20,
};

struct block_entry {
    size_t labels_at, labels_size;
    size_t key_at, key_size;
    uint32_t number;   /* order of addition */
    uint32_t group;    /* the first key with the same labels */
    uint32_t expected; /* the store's count of samples; UINT32_MAX: as many or more */
};

struct held_sample {
    int64_t t_ms;
    uint64_t bits; /* for a histogram: its offset in `histograms` */
    int64_t start_ms;
    uint32_t group; /* the first key with these labels */
    uint32_t key;
    uint32_t order; /* order of arrival */
    bool is_histogram;
};

struct series_blocks {
    struct series_blocks_options options;
    struct buf labels, keys;
    struct block_entry *entries;
    uint32_t count, capacity;
    bool sorted;
    bool expects; /* entries have the store's counts */

    struct series_block block; /* in memory; without keys: none */
    uint32_t keys_wanted;      /* for the next block */
    int64_t piece_ms;          /* length of the next piece of time; 0: the whole range */
    struct held_sample *samples;
    uint32_t sample_count, sample_capacity;
    bool in_order;
    struct buf histograms;

    uint32_t next;          /* the key after those of the current series */
    uint32_t current_first; /* the current series' first key */
    bool has_series;
    uint32_t at; /* next sample */
    bool gave;   /* the current series is positioned at `at` */
    int64_t times_ms[BATCH];
    uint64_t bits[BATCH];
    int64_t starts_ms[BATCH];
    struct histogram decoded[BATCH_HISTOGRAMS];
    struct arena arena;
};

/* --- keys ------------------------------------------------------------------------------------- */

enum err
series_blocks_add(struct series_blocks *b, struct label *labels, uint32_t count, struct bytes key,
                  struct why *why)
{
    assert(!b->sorted);
    if (!array_reserve(b->options.budget, &b->entries, &b->capacity, b->count + 1))
        return fetch_no_memory(why);
    struct block_entry entry = {.labels_at = b->labels.size,
                                .key_at = b->keys.size,
                                .key_size = key.size,
                                .number = b->count};
    enum err e = final_labels_build(&b->options.external, labels, count, &b->labels, why);
    if (e) return e;
    entry.labels_size = b->labels.size - entry.labels_at;
    buf_put_bytes(&b->keys, key);
    if (buf_error(&b->keys)) return fetch_no_memory(why);
    b->entries[b->count++] = entry;
    return OK;
}

void
series_blocks_expect(struct series_blocks *b, uint64_t samples)
{
    assert(b->count > 0);
    b->entries[b->count - 1].expected = samples < UINT32_MAX ? (uint32_t)samples : UINT32_MAX;
    b->expects = true;
    b->keys_wanted = b->options.keys_max;
}

void
series_blocks_narrow(struct series_blocks *b, int64_t min_ms, int64_t max_ms)
{
    assert(b->block.count == 0);
    if (min_ms > b->options.min_ms) b->options.min_ms = min_ms;
    if (max_ms < b->options.max_ms) b->options.max_ms = max_ms;
}

static struct bytes
entry_labels(const struct series_blocks *b, const struct block_entry *entry)
{
    if (entry->labels_size == 0) return bytes_of(NULL, 0);
    return bytes_of(b->labels.at + entry->labels_at, entry->labels_size);
}

struct bytes
series_blocks_key(const struct series_blocks *b, uint32_t number)
{
    const struct block_entry *entry = &b->entries[number];
    if (entry->key_size == 0) return bytes_of(NULL, 0);
    return bytes_of(b->keys.at + entry->key_at, entry->key_size);
}

static int
compare_keys(const void *a, const void *b, void *blocks)
{
    const struct block_entry *x = a, *y = b;
    int order = labels_compare(entry_labels(blocks, x), entry_labels(blocks, y));
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* Returns the number of the first key with other labels. */
static uint32_t
group_end(const struct series_blocks *b, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < b->count && b->entries[end].group == first)
        end++;
    return end;
}

/* --- a block ---------------------------------------------------------------------------------- */

/* True if a sample of the key is wanted: stores may return more than requested. */
static bool
block_wants(const struct series_blocks *b, uint32_t number, int64_t t_ms)
{
    assert(number >= b->block.first);
    assert(number - b->block.first < b->block.count);
    return t_ms >= b->block.min_ms && t_ms <= b->block.max_ms;
}

static enum err
block_put(struct series_blocks *b, struct held_sample sample, struct why *why)
{
    if (b->sample_count == SERIES_BLOCKS_SAMPLES)
        return why_set(why, ERR_FULL, "too many samples for a block");
    if (!array_reserve(b->options.budget, &b->samples, &b->sample_capacity, b->sample_count + 1))
        return fetch_no_memory(why);
    sample.order = b->sample_count;
    sample.group = b->entries[sample.key].group;
    if (b->sample_count > 0) {
        const struct held_sample *last = &b->samples[b->sample_count - 1];
        b->in_order &=
            last->group < sample.group || (last->group == sample.group && last->t_ms < sample.t_ms);
    }
    b->samples[b->sample_count++] = sample;
    return OK;
}

enum err
series_blocks_put_float(struct series_blocks *b, uint32_t number, int64_t t_ms, uint64_t bits,
                        int64_t start_ms, struct why *why)
{
    if (!block_wants(b, number, t_ms)) return OK;
    return block_put(
        b, (struct held_sample){.t_ms = t_ms, .bits = bits, .start_ms = start_ms, .key = number},
        why);
}

enum err
series_blocks_put_histogram(struct series_blocks *b, uint32_t number, int64_t t_ms,
                            const struct histogram *histogram, int64_t start_ms, struct why *why)
{
    struct held_sample sample = {.t_ms = t_ms,
                                 .bits = b->histograms.size,
                                 .start_ms = start_ms,
                                 .key = number,
                                 .is_histogram = true};
    enum err e = histogram_check(histogram, why);
    if (e || !block_wants(b, number, t_ms)) return e;
    if (b->histograms.size > SERIES_BLOCKS_HISTOGRAM_BYTES)
        return why_set(why, ERR_FULL, "too many histograms for a block");
    histogram_put(&b->histograms, histogram);
    if (buf_error(&b->histograms)) return fetch_no_memory(why);
    return block_put(b, sample, why);
}

static int
compare_held(const void *a, const void *b)
{
    const struct held_sample *x = a, *y = b;
    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void
sort_samples(struct series_blocks *b)
{
    uint32_t kept = 0;
    if (b->in_order) return;
    qsort(b->samples, b->sample_count, sizeof *b->samples, compare_held);
    for (uint32_t i = 0; i < b->sample_count; i++) {
        const struct held_sample *s = &b->samples[i], *last = &b->samples[kept - (kept > 0)];
        if (kept > 0 && s->group == last->group && s->t_ms == last->t_ms) continue;
        b->samples[kept++] = *s;
    }
    b->sample_count = kept;
}

static uint64_t
expected_of(const struct series_blocks *b, uint32_t first, uint32_t end)
{
    uint64_t samples = 0;
    for (uint32_t i = first; i < end; i++)
        samples += b->entries[i].expected;
    return samples;
}

/* Returns the next block, from that key and time on. */
static struct series_block
next_block(const struct series_blocks *b, uint32_t first, int64_t from_ms)
{
    struct series_block block = {first, group_end(b, first) - first, from_ms, b->options.max_ms};
    bool whole = b->piece_ms == 0 && from_ms == b->options.min_ms;
    uint64_t expected = whole ? expected_of(b, first, first + block.count) : 0;
    while (whole && first + block.count < b->count && block.count < b->keys_wanted) {
        uint32_t end = group_end(b, first + block.count);
        if (end - first > b->options.keys_max || end - first > b->keys_wanted) break;
        expected += expected_of(b, first + block.count, end);
        if (expected > EXPECTED_MAX) break;
        block.count = end - first;
    }
    uint64_t length =
        (uint64_t)block.max_ms - (uint64_t)from_ms; /* end minus begin, one less than the count */
    if (b->piece_ms > 0 && length >= (uint64_t)b->piece_ms)
        block.max_ms = from_ms + (b->piece_ms - 1);
    return block;
}

/* Halves the block. False: it is already one time of one group. */
static bool
shrink(struct series_blocks *b, uint32_t group)
{
    const struct series_block *block = &b->block;
    if (block->count > group) {
        b->keys_wanted = block->count / 2;
        return true;
    }
    uint64_t length = (uint64_t)block->max_ms -
                      (uint64_t)block->min_ms; /* end minus begin, one less than the count */
    uint64_t half = length / 2 + (length & 1);
    b->piece_ms = half < INT64_MAX / 4 ? (int64_t)half : INT64_MAX / 4;
    return length > 0;
}

static void
resize_next(struct series_blocks *b)
{
    if (b->sample_count > SERIES_BLOCKS_SAMPLES / 4) return;
    if (b->histograms.size > SERIES_BLOCKS_HISTOGRAM_BYTES / 4) return;
    /* If counts are known, a block was too large for another reason, so the next ones grow
     * slowly. */
    uint32_t room = b->options.keys_max - b->keys_wanted;
    uint32_t more = b->expects ? b->keys_wanted / 4 + 1 : b->keys_wanted;
    if (b->piece_ms > 0)
        b->piece_ms = b->piece_ms > INT64_MAX / 4 ? 0 : 2 * b->piece_ms;
    else
        b->keys_wanted += more < room ? more : room;
}

static enum err
load_block(struct series_blocks *b, uint32_t first, int64_t from_ms, struct why *why)
{
    uint32_t group = group_end(b, first) - first;
    if (group > b->options.keys_max) {
        return why_set(why, ERR_LIMIT, "more than %u series become one by external labels",
                       b->options.keys_max);
    }
    if (b->expects && from_ms == b->options.min_ms) {
        /* Sets the length of a series' pieces, as if its samples were evenly spread. */
        uint64_t pieces = expected_of(b, first, group_end(b, first)) / EXPECTED_MAX + 1;
        uint64_t length =
            (uint64_t)b->options.max_ms -
            (uint64_t)b->options.min_ms; /* end minus begin, one less than the count */
        uint64_t piece = length / pieces + 1;
        b->piece_ms = pieces == 1 ? 0 : piece < INT64_MAX / 4 ? (int64_t)piece : INT64_MAX / 4;
    }
    for (;;) {
        b->block = next_block(b, first, from_ms);
        b->sample_count = 0;
        b->in_order = true;
        b->at = 0;
        buf_clear(&b->histograms);
        enum err e = b->options.fetch(b->options.context, b, &b->block, why);
        if (e == OK) break;
        if (e != ERR_FULL || !shrink(b, group)) {
            b->block.count = 0;
            return e == ERR_FULL ? ERR_LIMIT : e;
        }
    }
    resize_next(b); /* including duplicates */
    sort_samples(b);
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

static void
sort_keys(struct series_blocks *b)
{
    if (b->sorted || b->count == 0) return;
    b->sorted = true;
    qsort_r(b->entries, b->count, sizeof *b->entries, compare_keys, b);
    for (uint32_t i = 0; i < b->count; i++) {
        struct block_entry *entry = &b->entries[i];
        bool same = i > 0 && bytes_equal(entry_labels(b, entry), entry_labels(b, entry - 1));
        entry->group = same ? entry[-1].group : i;
    }
}

enum err
series_blocks_next(struct series_blocks *b, struct bytes *ret_labels, struct why *why)
{
    *ret_labels = bytes_of(NULL, 0);
    (void)why;
    sort_keys(b);
    b->has_series = b->next < b->count;
    if (!b->has_series) return OK;
    b->current_first = b->next;
    b->next = group_end(b, b->current_first);
    b->gave = false;
    *ret_labels = entry_labels(b, &b->entries[b->current_first]);
    if (ret_labels->size == 0)
        *ret_labels = bytes_of("", 0); /* a series without labels is not the end */
    return OK;
}

static enum err
block_give_histograms(struct series_blocks *b, uint32_t end, struct sample_batch *ret,
                      struct why *why)
{
    enum err e = OK;
    uint32_t n = 0;
    arena_reset(&b->arena);
    for (; n < BATCH_HISTOGRAMS && b->at < end && b->samples[b->at].is_histogram; b->at++, n++) {
        const struct held_sample *s = &b->samples[b->at];
        struct cursor c =
            cursor_of(bytes_of(b->histograms.at + s->bits, b->histograms.size - (size_t)s->bits));
        e = histogram_get(&c, &b->arena, &b->decoded[n]);
        if (e) break;
        if (n > 0 && b->decoded[n].kind != b->decoded[0].kind) break;
        b->times_ms[n] = s->t_ms;
        b->starts_ms[n] = s->start_ms;
    }
    if (e && n == 0) return fetch_no_memory(why); /* otherwise the next batch has it */
    *ret = (struct sample_batch){.kind = b->decoded[0].kind,
                                 .count = n,
                                 .times_ms = b->times_ms,
                                 .histograms = b->decoded,
                                 .starts_ms = b->starts_ms};
    return OK;
}

static void
give_floats(struct series_blocks *b, uint32_t end, struct sample_batch *ret)
{
    uint32_t n = 0;
    bool starts = false;
    for (; n < BATCH && b->at < end && !b->samples[b->at].is_histogram; b->at++, n++) {
        const struct held_sample *s = &b->samples[b->at];
        b->times_ms[n] = s->t_ms;
        b->bits[n] = s->bits;
        b->starts_ms[n] = s->start_ms;
        starts |= s->start_ms != 0;
    }
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT,
                                 .count = n,
                                 .times_ms = b->times_ms,
                                 .value_bits = b->bits,
                                 .starts_ms = starts ? b->starts_ms : NULL};
}

enum err
series_blocks_batch(struct series_blocks *b, struct sample_batch *ret, struct why *why)
{
    *ret = (struct sample_batch){.count = 0};
    if (!b->has_series) return OK;
    for (;;) {
        enum err e = OK;
        if (!(b->current_first >= b->block.first &&
              b->current_first < b->block.first + b->block.count)) {
            e = load_block(b, b->current_first, b->options.min_ms, why);
            if (e) return e;
            b->gave = true;
        } else if (!b->gave) { /* skip samples of earlier series that were not read */
            b->at = search_first(i, 0u, b->sample_count, b->samples[i].group >= b->current_first);
            b->gave = true;
        }
        uint32_t end =
            search_first(i, b->at, b->sample_count, b->samples[i].group > b->current_first);
        if (b->at < end && b->samples[b->at].is_histogram)
            return block_give_histograms(b, end, ret, why);
        if (b->at < end) {
            give_floats(b, end, ret);
            return OK;
        }
        if (b->block.max_ms >= b->options.max_ms) return OK;
        e = load_block(b, b->current_first, b->block.max_ms + 1, why);
        if (e) return e;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

enum err
series_blocks_new(const struct series_blocks_options *options, struct series_blocks **ret_blocks,
                  struct why *why)
{
    struct series_blocks *b = mem_new(options->budget, sizeof *b);
    if (b == NULL) return fetch_no_memory(why);
    b->options = *options;
    b->keys_wanted = options->keys_max < KEYS_FIRST ? options->keys_max : KEYS_FIRST;
    buf_init(&b->labels, options->budget, TEXT_BYTES_MAX);
    buf_init(&b->keys, options->budget, TEXT_BYTES_MAX);
    buf_init(&b->histograms, options->budget, TEXT_BYTES_MAX);
    arena_init(&b->arena, options->budget, ARENA_BYTES_MAX, 0);
    *ret_blocks = b;
    return OK;
}

void
series_blocks_free(struct series_blocks *b)
{
    if (b == NULL) return;
    array_free(b->options.budget, b->entries, b->capacity);
    array_free(b->options.budget, b->samples, b->sample_capacity);
    buf_fini(&b->labels);
    buf_fini(&b->keys);
    buf_fini(&b->histograms);
    arena_fini(&b->arena);
    mem_free(b->options.budget, b, sizeof *b);
}
