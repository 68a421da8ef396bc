/*
 * rollups_fuzz.c - reads arbitrary bytes as the rollups of arbitrary rows; what can be read is
 * valid and comes back from its own encoding. Takes arbitrary samples, whose rollups must come
 * back.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "tsdb/codec/rollups.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 512, SAMPLE_BYTES = 10 };

static struct codec_scratch *scratch;
static int64_t times_ms[ROWS_MAX];
static uint64_t bits[ROWS_MAX];
static struct rollup rollups[ROWS_MAX], again[ROWS_MAX];

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
decode(struct bytes first_times, struct bytes encoded, int64_t resolution_ms, enum rollup_use use,
       uint32_t rows, struct rollup *ret, uint32_t *ret_count)
{
    uint8_t *firsts = with_slack(first_times), *rest = with_slack(encoded);
    enum err e =
        codec_rollups_decode(bytes_of(firsts, first_times.size), bytes_of(rest, encoded.size),
                             resolution_ms, use, times_ms, bits, rows, ret, ret_count);
    free(firsts);
    free(rest);
    return e;
}

/* Compares all that is kept to the bit. */
static void
check_same(const struct rollup *a, const struct rollup *b)
{
    assert(a->count == b->count && a->is_stale == b->is_stale);
    assert(!a->is_stale || a->stale_ms == b->stale_ms);
    if (a->count == 0) return;
    assert(a->first_ms == b->first_ms && a->last_ms == b->last_ms);
    assert(a->nan_count == b->nan_count && a->resets == b->resets && a->changes == b->changes);
    assert(a->first_bits == b->first_bits && a->last_bits == b->last_bits);
    if (a->nan_count == a->count) return;
    assert(double_bits(a->least) == double_bits(b->least));
    assert(double_bits(a->greatest) == double_bits(b->greatest));
}

static void
check_comes_back(uint32_t count, int64_t resolution_ms)
{
    struct buf first_times, out;
    uint32_t count_again;
    buf_init(&first_times, NULL, 1 << 20);
    buf_init(&out, NULL, 1 << 20);
    uint32_t rows = rollup_rows(rollups, count, times_ms, bits);
    codec_rollups_encode_times(scratch, rollups, count, resolution_ms, &first_times);
    codec_rollups_encode(scratch, rollups, count, &out);
    assert(buf_error(&first_times) == OK && buf_error(&out) == OK);
    enum err e = decode(buf_bytes(&first_times), buf_bytes(&out), resolution_ms, ROLLUP_WHOLE, rows,
                        again, &count_again);
    assert(e == OK && count_again == count);
    for (uint32_t i = 0; i < count; i++)
        check_same(&rollups[i], &again[i]);
    buf_fini(&first_times);
    buf_fini(&out);
}

/* Adds samples, each of which has a distance and a value, and rolls them up. */
static void
roll_up(struct cursor *cursor, int64_t resolution_ms)
{
    int64_t t_ms = 0, end = INT64_MIN;
    uint32_t count = 0;
    while (cursor_left(cursor) >= SAMPLE_BYTES && count < ROWS_MAX / 2) {
        t_ms += 1 + load_le16(cursor_bytes(cursor, 2).at);
        struct rollup sample = rollup_of_sample(t_ms, cursor_le64(cursor));
        int64_t own_end = rollup_window_end(t_ms, resolution_ms);
        if (own_end == end)
            rollup_join(&rollups[count - 1], &sample);
        else
            rollups[count++] = sample;
        end = own_end;
    }
    if (count > 0) check_comes_back(count, resolution_ms);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (scratch == NULL && codec_scratch_new(NULL, &scratch) != OK) return 0;
    struct cursor cursor = cursor_of(bytes_of(data, size));
    bool is_encoding = cursor_u8(&cursor) % 2 == 0;
    int64_t resolution_ms = 1 + (int64_t)cursor_varint(&cursor) % INT64_MAX;
    if (cursor.bad || resolution_ms <= 0) return 0;
    if (!is_encoding) {
        roll_up(&cursor, resolution_ms);
        return 0;
    }
    uint32_t rows = cursor_u8(&cursor);
    int64_t t_ms = cursor_zigzag(&cursor) / 2;
    for (uint32_t i = 0; i < rows; i++) {
        t_ms += (int64_t)(cursor_varint(&cursor) % (UINT64_C(1) << 50));
        times_ms[i] = t_ms;
        unsigned value = cursor_u8(&cursor);
        bits[i] = value == 1   ? STALE_NAN_BITS
                  : value == 2 ? cursor_le64(&cursor)
                               : double_bits(value);
    }
    struct bytes first_times = cursor_bytes(&cursor, cursor_u8(&cursor));
    if (cursor.bad) return 0;
    uint32_t count;
    struct bytes rest = bytes_of(cursor.at, cursor_left(&cursor));
    enum err e = OK;
    for (unsigned use = ROLLUP_WHOLE; use > ROLLUP_NONE; use--) {
        enum err used =
            decode(first_times, rest, resolution_ms, (enum rollup_use)use, rows, again, &count);
        assert(used == OK || used == ERR_CORRUPT);
        if (use == ROLLUP_WHOLE) e = used;
        if (use == ROLLUP_WHOLE) memcpy(rollups, again, sizeof rollups);
        assert(e || used == OK);
        for (uint32_t i = 0; i < count && used == OK; i++)
            assert(rollup_is_valid(&again[i]));
    }
    if (e == OK) check_comes_back(count, resolution_ms);
    return 0;
}
