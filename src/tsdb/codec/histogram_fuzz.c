/* histogram_fuzz.c - reads arbitrary bytes as a block of histograms, within bounds and memory, and
 * encodes the result again, which must come back. */
#include <assert.h>
#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct codec_scratch *scratch;
static struct histogram first[CODEC_SAMPLES_MAX], second[CODEC_SAMPLES_MAX];

static uint8_t *
with_slack(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + CODEC_SLACK);
    assert(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    memset(copy + size, 0x5a, CODEC_SLACK);
    return copy;
}

static void
check_side(const struct hist_buckets *a, const struct hist_buckets *b)
{
    size_t bytes = a->bucket_count * sizeof(uint64_t);
    if (bytes == 0) return;
    const void *x = a->deltas != NULL ? (const void *)a->deltas : a->counts;
    const void *y = b->deltas != NULL ? (const void *)b->deltas : b->counts;
    assert(memcmp(x, y, bytes) == 0);
}

static void
check_comes_back(uint32_t count)
{
    struct buf out;
    buf_init(&out, NULL, 64 << 20);
    codec_histogram_encode(scratch, first, count, &out);
    assert(buf_error(&out) == OK);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    uint8_t *copy = with_slack(out.at, out.size);
    enum err e = codec_histogram_decode(bytes_of(copy, out.size), count, &arena, second);
    assert(e == OK);
    for (uint32_t i = 0; i < count; i++) {
        const struct histogram *a = &first[i], *b = &second[i];
        assert(histogram_same_layout(a, b));
        assert(a->reset_hint == b->reset_hint);
        assert(a->sum_bits == b->sum_bits);
        assert(a->count == b->count);
        assert(a->zero_count == b->zero_count);
        check_side(&a->positive, &b->positive);
        check_side(&a->negative, &b->negative);
    }
    free(copy);
    arena_fini(&arena);
    buf_fini(&out);
}

static void
check_column(const struct hist_column *a, const struct hist_column *b)
{
    assert(a->first == b->first);
    assert(a->step_count == b->step_count);
    if (a->step_count == 0) return;
    assert(memcmp(a->rows, b->rows, a->step_count * sizeof *a->rows) == 0);
    assert(memcmp(a->steps, b->steps, a->step_count * sizeof *a->steps) == 0);
}

/* Checks that reading by columns gives the same, or is refused as well. */
static void
check_columns(struct bytes encoded, uint32_t count, enum err expected)
{
    struct hist_columns c;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    enum err e = codec_histogram_columns(encoded, count, &arena, &c);
    assert(e == expected);
    if (e == OK) {
        struct hist_columns right = columns_of(&arena, first, count);
        assert(histogram_same_layout(&right.layout, &c.layout));
        for (uint32_t i = 0; i < count; i++)
            assert((c.hints == NULL ? c.hint : c.hints[i]) == first[i].reset_hint);
        check_column(&right.sum, &c.sum);
        check_column(&right.zero_count, &c.zero_count);
        check_column(&right.count, &c.count);
        uint32_t buckets = first->positive.bucket_count + first->negative.bucket_count;
        for (uint32_t i = 0; i < buckets; i++)
            check_column(&right.buckets[i], &c.buckets[i]);
    }
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (scratch == NULL && codec_scratch_new(NULL, &scratch) != OK) return 0;
    if (size < 2) return 0;
    uint32_t count = load_le16(data) % (CODEC_SAMPLES_MAX + 2); /* also 0, and too many */
    uint8_t *copy = with_slack(data + 2, size - 2);
    struct arena arena;
    arena_init(&arena, NULL, 32 << 20, 0);
    enum err e = codec_histogram_decode(bytes_of(copy, size - 2), count, &arena, first);
    assert(e == OK || e == ERR_CORRUPT);
    check_columns(bytes_of(copy, size - 2), count, e);
    if (e == OK) check_comes_back(count);
    arena_fini(&arena);
    free(copy);
    return 0;
}
