/*
 * codec_fuzz.c - reads arbitrary bytes as an encoding, within bounds, and encodes the result again;
 * takes arbitrary bytes as values, which must come back bit for bit.
 */
#include <assert.h>
#include <stdlib.h>

#include "tsdb/codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum use { DECODE_FLOATS, DECODE_TIMES, DECODE_INTEGERS, ENCODE_FLOATS, ENCODE_TIMES, USE_COUNT };

static struct codec_scratch *scratch;
static uint64_t values[CODEC_SAMPLES_MAX], again[CODEC_SAMPLES_MAX];

/* Copies the bytes with exactly the slack that decoders may read. */
static uint8_t *
with_slack(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + CODEC_SLACK);
    assert(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    memset(copy + size, 0x5a, CODEC_SLACK);
    return copy;
}

static enum err
decode(bool times, struct bytes encoded, uint32_t count, uint64_t *ret)
{
    if (!times) return codec_float_decode_from(encoded, 0, count, ret);
    struct cursor cursor = cursor_of(encoded);
    enum err e = codec_int_decode(&cursor, count, (int64_t *)ret);
    return e == OK && cursor_left(&cursor) > 0 ? ERR_CORRUPT : e;
}

static void
check_some(struct bytes encoded, uint32_t count)
{
    uint32_t from = (uint32_t)(values[0] % count);
    uint32_t until = from + 1 + (uint32_t)(values[count - 1] % (count - from));
    memset(again, 0x33, sizeof again);
    enum err e = codec_float_decode_some(encoded, 0, count, from, until, again);
    assert(e == OK);
    assert(memcmp(values + from, again + from, (until - from) * sizeof *values) == 0);
}

static void
check_comes_back(bool times, uint32_t count)
{
    struct buf out;
    buf_init(&out, NULL, 1 << 20);
    if (times)
        codec_times_encode(scratch, (const int64_t *)values, count, &out);
    else
        codec_float_encode(scratch, values, count, &out);
    assert(buf_error(&out) == OK);
    uint8_t *copy = with_slack(out.at, out.size);
    enum err e = decode(times, bytes_of(copy, out.size), count, again);
    assert(e == OK);
    assert(memcmp(values, again, count * sizeof *values) == 0);
    if (!times) check_some(bytes_of(copy, out.size), count);
    free(copy);
    buf_fini(&out);
}

/* Makes the values: words of the input, repeated with a step until there are enough. */
static void
values_from(const uint8_t *data, size_t size, uint32_t count, uint64_t step)
{
    size_t words = size / 8;
    for (uint32_t i = 0; i < count; i++)
        values[i] = words == 0 ? i * step : load_le64(data + i % words * 8) + i / words * step;
}

/* Checks that a decimal view equals the value, at the hint or at the least exponent. */
static void
check_decimal(uint64_t bits, unsigned hint)
{
    unsigned e, least;
    int64_t k;
    if (!codec_decimal(bits, hint, &e, &k)) return;
    assert(codec_decimal_bits(e, k) == bits);
    assert(k < INT64_C(1) << 53 && k > -(INT64_C(1) << 53));
    bool found = codec_decimal(bits, 0, &least, &k);
    assert(found);
    assert(e == hint || e == least);
    assert(e >= least);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (scratch == NULL && codec_scratch_new(NULL, &scratch) != OK) return 0;
    if (size < 4) return 0;
    enum use use = data[0] % USE_COUNT;
    uint32_t count = load_le16(data + 1) % (CODEC_SAMPLES_MAX + 2); /* also 0, and too many */
    uint64_t step = data[3];
    data += 4;
    size -= 4;
    if (use == ENCODE_FLOATS || use == ENCODE_TIMES) {
        if (count == 0 || count > CODEC_SAMPLES_MAX) return 0;
        values_from(data, size, count, step);
        check_comes_back(use == ENCODE_TIMES, count);
        for (uint32_t i = 0; i < count && i < 64; i++)
            check_decimal(values[i], i % 12);
        return 0;
    }
    uint8_t *copy = with_slack(data, size);
    enum err e;
    if (use == DECODE_INTEGERS) {
        struct cursor cursor = cursor_of(bytes_of(copy, size));
        e = codec_int_decode(&cursor, count, (int64_t *)values);
        assert(e != OK || cursor_left(&cursor) <= size);
    } else {
        e = decode(use == DECODE_TIMES, bytes_of(copy, size), count, values);
    }
    assert(e == OK || e == ERR_CORRUPT);
    if (e == OK) check_comes_back(use != DECODE_FLOATS, count);
    free(copy);
    return 0;
}
