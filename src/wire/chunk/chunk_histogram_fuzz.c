/*
 * chunk_histogram_fuzz.c - reads bytes as the history of a histogram: observations, new and
 * vanishing buckets, resets, hints, markers. Written one at a time and by columns, it must be read
 * back unchanged.
 */
#include <assert.h>

#include "lib/random.h"
#include "wire/chunk/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HISTOGRAMS_MAX = 600, INDEXES = 32, INDEX_FIRST = -9, BYTES_EACH = 3 };

/* The counts of existing buckets, and whether they are named. */
struct side {
    uint64_t counts[INDEXES];
    uint32_t present;
};

struct history {
    struct arena arena;
    enum sample_kind kind;
    struct side positive, negative;
    struct histogram now;
    uint32_t count;
    struct histogram h[HISTOGRAMS_MAX];
    int64_t times_ms[HISTOGRAMS_MAX];
};

static struct hist_buckets
buckets_of(struct history *x, const struct side *side, bool cut)
{
    struct hist_buckets b = {0};
    struct hist_span *spans = arena_new(&x->arena, (INDEXES + 1) * sizeof *spans);
    uint64_t *words = arena_new(&x->arena, INDEXES * sizeof *words);
    uint64_t before = 0;
    int32_t end = 0;
    for (int32_t i = 0; i < INDEXES; i++) {
        if ((side->present >> i & 1) == 0) continue;
        int32_t index = i + INDEX_FIRST;
        if (b.span_count == 0 || index != end || cut)
            spans[b.span_count++] = (struct hist_span){index - end, 0};
        spans[b.span_count - 1].length++;
        end = index + 1;
        words[b.bucket_count++] = x->kind == SAMPLE_HISTOGRAM_INT
                                      ? side->counts[i] - before
                                      : double_bits((double)side->counts[i]);
        before = side->counts[i];
    }
    b.spans = spans;
    if (x->kind == SAMPLE_HISTOGRAM_INT)
        b.deltas = (const int64_t *)words;
    else
        b.counts = words;
    return b;
}

/* Makes one step of the history. */
static void
happen(struct history *x, const uint8_t *bytes)
{
    unsigned what = bytes[0] % 12, arg = bytes[1];
    struct side *side = bytes[0] & 0x80 ? &x->negative : &x->positive;
    uint32_t bit = UINT32_C(1) << arg % INDEXES;
    bool stale = false;
    x->now.reset_hint = bytes[0] & 0x40 ? RESET_GAUGE : RESET_UNKNOWN;
    if (what < 4) side->counts[arg % INDEXES] += bytes[2];
    if (what < 5) side->present |= bit;
    if (what == 5) side->present &= ~bit;
    if (what == 6) side->counts[arg % INDEXES] = 0;
    if (what == 7) x->now.reset_hint = (enum reset_hint)(arg % 4);
    if (what == 8) x->now.schema = (int32_t)(arg % 3);
    if (what == 9) stale = true;
    if (what == 10) x->now.zero_count = arg;
    uint64_t number = (uint64_t)x->count * (bytes[2] % 4) + arg;
    struct histogram h = x->now;
    h.kind = x->kind;
    if (x->kind == SAMPLE_HISTOGRAM_FLOAT) h.zero_count = double_bits((double)x->now.zero_count);
    h.count = x->kind == SAMPLE_HISTOGRAM_INT ? number : double_bits((double)number);
    h.sum_bits = what == 11 ? double_bits((double)arg / 7) : x->now.sum_bits;
    x->now.sum_bits = h.sum_bits;
    h.positive = buckets_of(x, &x->positive, (bytes[2] & 0xf0) == 0xf0);
    h.negative = buckets_of(x, &x->negative, false);
    if (stale) h = stale_histogram(x->kind);
    x->h[x->count] = h;
    int64_t before_ms = x->count == 0 ? 0 : x->times_ms[x->count - 1];
    x->times_ms[x->count++] = before_ms + 1000 + (what == 3 ? bytes[2] : 0);
}

/* --- reading back ----------------------------------------------------------------------------- */

struct reading {
    const struct history *x;
    uint32_t at;
};

static enum err
check_sample(void *context, int64_t t_ms, uint64_t bits, const struct histogram *h)
{
    struct reading *r = context;
    (void)bits;
    assert(r->at < r->x->count);
    const struct histogram *in = &r->x->h[r->at];
    assert(t_ms == r->x->times_ms[r->at]);
    assert(same_histogram_bits(in, h));
    if (in->sum_bits != STALE_NAN_BITS) {
        assert((in->reset_hint == RESET_GAUGE) == (h->reset_hint == RESET_GAUGE));
        assert(in->reset_hint != RESET_YES || h->reset_hint == RESET_YES);
    }
    r->at++;
    return OK;
}

static enum err
check_chunk(void *context, const struct histogram_chunk *chunk, struct why *why)
{
    struct arena arena;
    (void)why;
    arena_init(&arena, NULL, 0, 0);
    enum err e = chunk_read(chunk->type, chunk->data, &arena, check_sample, context);
    assert(e == OK);
    arena_fini(&arena);
    return OK;
}

static void
write_and_check(struct history *x, size_t bytes_max, bool by_columns)
{
    struct reading r = {x, 0};
    struct histogram_chunks *chunks;
    enum err e = histogram_chunks_new(NULL, bytes_max, check_chunk, &r, &chunks);
    assert(e == OK);
    for (uint32_t from = 0, to; from < x->count; from = to) {
        to = from + 1;
        while (to < x->count && histogram_same_layout(&x->h[from], &x->h[to]))
            to++;
        if (by_columns) {
            struct hist_columns columns = columns_of(&x->arena, x->h + from, to - from);
            e = histogram_chunks_put_columns(chunks, &columns, 0, to - from, x->times_ms + from,
                                             NULL);
        } else {
            e = histogram_chunks_put(chunks, to - from, x->times_ms + from, x->h + from, NULL);
        }
        assert(e == OK);
    }
    e = histogram_chunks_end(chunks, NULL);
    assert(e == OK);
    assert(r.at == x->count);
    histogram_chunks_free(chunks);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct history x;
    if (size < 1) return 0;
    x = (struct history){.kind = data[0] & 1 ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT};
    arena_init(&x.arena, NULL, 0, 0);
    for (size_t at = 1; at + BYTES_EACH <= size && x.count < HISTOGRAMS_MAX; at += BYTES_EACH)
        happen(&x, data + at);
    size_t bytes_max = data[0] & 2 ? 100 : 1 << 16;
    write_and_check(&x, bytes_max, false);
    write_and_check(&x, bytes_max, true);
    arena_fini(&x.arena);
    return 0;
}
