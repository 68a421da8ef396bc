/*
 * histogram_rollups_fuzz.c - reads arbitrary bytes as the rollups of rows that are a block of
 * histograms; what can be read is valid, can be joined, and comes back from its own encoding.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/histogram.h"
#include "model/rollup.h"
#include "tsdb/codec/codec.h"
#include "tsdb/codec/rollups.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 64, RESOLUTION_MS = 60000, STEP_MS = 20000 };

static struct codec_scratch *scratch;
static int64_t times_ms[2 * ROWS_MAX];
static struct histogram rows[2 * ROWS_MAX];
static struct histogram_rollup rollups[2 * ROWS_MAX], again[2 * ROWS_MAX];

static uint8_t *
with_slack(struct bytes from)
{
    uint8_t *copy = malloc(from.size + CODEC_SLACK);
    assert(copy != NULL);
    if (from.size > 0) memcpy(copy, from.at, from.size);
    memset(copy + from.size, 0x5a, CODEC_SLACK);
    return copy;
}

static enum err
decode(struct arena *arena, struct bytes first_times, struct bytes encoded, uint32_t row_count,
       struct histogram_rollup *ret, uint32_t *ret_count)
{
    uint8_t *firsts = with_slack(first_times), *rest = with_slack(encoded);
    enum err e = codec_histogram_rollups_decode(bytes_of(firsts, first_times.size),
                                                bytes_of(rest, encoded.size), RESOLUTION_MS,
                                                times_ms, rows, row_count, arena, ret, ret_count);
    free(firsts);
    free(rest);
    return e;
}

static void
check_comes_back(struct arena *arena, uint32_t count)
{
    struct buf first_times, out;
    uint32_t count_again;
    buf_init(&first_times, NULL, 1 << 20);
    buf_init(&out, NULL, 8 << 20);
    uint32_t row_count = histogram_rollup_rows(rollups, count, times_ms, rows);
    enum err e = codec_histogram_rollups_encode_times(scratch, arena, rollups, count, RESOLUTION_MS,
                                                      &first_times);
    assert(e == OK && buf_error(&first_times) == OK);
    e = codec_histogram_rollups_encode(scratch, arena, rollups, count, &out);
    assert(e == OK && buf_error(&out) == OK);
    e = decode(arena, buf_bytes(&first_times), buf_bytes(&out), row_count, again, &count_again);
    assert(e == OK && count_again == count);
    for (uint32_t i = 0; i < count; i++) {
        const struct histogram_rollup *a = &rollups[i], *b = &again[i];
        assert(a->count == b->count && a->changes == b->changes && a->resets == b->resets);
        if (a->count == 0) continue;
        assert(a->first_ms == b->first_ms && a->last_ms == b->last_ms);
        assert(same_histogram_all(&a->first, &b->first));
        assert((a->sum == NULL) == (b->sum == NULL));
    }
    buf_fini(&first_times);
    buf_fini(&out);
}

static struct histogram
valid_histogram(struct rng *rng, struct arena *arena, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(rng, arena, kind);
    } while (histogram_check(&h, NULL));
    return h;
}

/* Adds samples drawn from the input, and rolls them up while they have one layout. */
static void
roll_up(struct arena *arena, struct rng *rng)
{
    uint32_t count = 0;
    struct histogram h = valid_histogram(rng, arena, SAMPLE_HISTOGRAM_INT), layout = h;
    int64_t t_ms = 0, end = 0;
    for (uint32_t i = 0; i < 2 * ROWS_MAX; i++) {
        t_ms += STEP_MS;
        struct histogram_rollup sample;
        enum err e = histogram_rollup_of_sample(arena, t_ms, &h, &sample);
        assert(e == OK);
        int64_t own_end = rollup_window_end(t_ms, RESOLUTION_MS);
        if (own_end == end && count > 0) {
            e = histogram_rollup_join(arena, &rollups[count - 1], &sample);
            assert(e == OK);
        } else {
            rollups[count++] = sample;
        }
        end = own_end;
        struct histogram next = random_next_histogram(rng, arena, &h);
        if (histogram_check(&next, NULL) || !histogram_same_layout(&next, &layout)) break;
        h = next;
    }
    check_comes_back(arena, count);
}

/* The rows are the input's first block. */
static void
read_rollups(struct arena *arena, struct cursor *cursor)
{
    uint32_t row_count = 1 + cursor_u8(cursor) % ROWS_MAX;
    unsigned step = cursor_u8(cursor);
    struct bytes block = cursor_bytes(cursor, cursor_u8(cursor));
    if (cursor->bad) return;
    uint8_t *copy = with_slack(block);
    enum err e = codec_histogram_decode(bytes_of(copy, block.size), row_count, arena, rows);
    free(copy);
    if (e) return;
    for (uint32_t i = 0; i < row_count; i++)
        times_ms[i] = (int64_t)(i + 1) * (step + 1) * 500;
    uint32_t count;
    struct bytes first_times = cursor_bytes(cursor, cursor_u8(cursor));
    if (cursor->bad) return;
    struct bytes rest = bytes_of(cursor->at, cursor_left(cursor));
    e = decode(arena, first_times, rest, row_count, rollups, &count);
    assert(e == OK || e == ERR_CORRUPT || e == ERR_LIMIT);
    if (e) return;
    check_comes_back(arena, count);
    for (uint32_t i = 0; i < count; i++) {
        assert(histogram_rollup_is_valid(&rollups[i]));
        if (i == 0) continue;
        e = histogram_rollup_join(arena, &rollups[0], &rollups[i]);
        assert(e == OK || e == ERR_NOMEM);
        if (e) return;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct cursor cursor = cursor_of(bytes_of(data, size));
    if (scratch == NULL && codec_scratch_new(NULL, &scratch) != OK) return 0;
    arena_init(&arena, NULL, 256 << 20, 1 << 16);
    if (cursor_u8(&cursor) % 2 == 0) {
        read_rollups(&arena, &cursor);
    } else {
        struct rng rng = {cursor_le64(&cursor)};
        roll_up(&arena, &rng);
    }
    arena_fini(&arena);
    return 0;
}
