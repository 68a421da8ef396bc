/* interleave_test.c - compares chunks and late samples, interleaved, with a sorted list.
 * part_test.c tests blocks of parts. */
#include "lib/test.h"

#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/read/interleave.h"

enum { ORDERS_MAX = 6, SAMPLES_MAX = 3000, KEPT_HISTOGRAMS = 5, HIDDEN_MAX = 3 };

struct one {
    int64_t t_ms;
    int64_t start_ms;
    uint32_t order;
    enum sample_kind kind;
    uint64_t bits;
    const struct histogram *histogram;
};

struct rig {
    uint64_t seed;
    struct rng r;
    struct arena arena;
    struct gmem gmem;
    struct histogram histograms[2][KEPT_HISTOGRAMS];
    struct one all[ORDERS_MAX * SAMPLES_MAX];
    uint32_t count;
    struct interleave interleave;
    struct budget budget;
    struct time_range hidden[ORDERS_MAX][HIDDEN_MAX]; /* hidden ranges of each order */
    uint32_t hidden_count[ORDERS_MAX];
    int64_t expired_before_ms;
};

static struct rig *
rig_new(uint64_t seed)
{
    struct rig *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->seed = seed;
    g->r.state = seed;
    g->expired_before_ms = INT64_MIN;
    arena_init(&g->arena, NULL, 0, 0);
    gmem_init(&g->gmem, NULL);
    budget_init(&g->budget, "query", 0, NULL);
    interleave_init(&g->interleave, &g->budget, NULL);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < KEPT_HISTOGRAMS; i++) {
            struct histogram *h = &g->histograms[k][i];
            do {
                *h = random_histogram(&g->r, &g->arena, (enum sample_kind)(k + 1));
            } while (histogram_check(h, NULL) != OK);
        }
    }
    return g;
}

static void
rig_free(struct rig *g)
{
    interleave_fini(&g->interleave);
    assert_int_equal(budget_used(&g->budget), 0);
    gmem_fini(&g->gmem);
    arena_fini(&g->arena);
    free(g);
}

static struct one
random_one(struct rig *g, int64_t t, uint32_t order, bool histograms)
{
    struct rng *r = &g->r;
    struct one x = {.t_ms = t, .order = order, .bits = double_bits((double)rng_below(r, 3))};
    if (rng_below(r, 5) == 0 && t > 0) x.start_ms = t - 3;
    if (!histograms || rng_below(r, 20) > 3) return x;
    unsigned kind = (unsigned)rng_below(r, 2);
    x.kind = (enum sample_kind)(kind + 1);
    x.histogram = &g->histograms[kind][rng_below(r, KEPT_HISTOGRAMS)];
    return x;
}

static enum err
put_one(struct rig *g, struct hchunk_open *o, const struct one *x)
{
    return x->kind == SAMPLE_FLOAT
               ? hchunk_put_float(o, &g->gmem, x->t_ms, x->bits, x->start_ms, 1)
               : hchunk_put_histogram(o, &g->gmem, x->t_ms, x->histogram, x->start_ms, 1);
}

static void
add_chunk(struct rig *g, struct hchunk_open *o, uint32_t order)
{
    if (o->count == 0) return;
    struct hchunk *c;
    assert_int_equal(hchunk_seal(o, &g->gmem, &c), OK);
    struct interleave_item *item = interleave_add(&g->interleave);
    assert_non_null(item);
    *item = (struct interleave_item){
        .min_ms = c->min_ms,
        .max_ms = c->max_ms,
        .order = order,
        .type = PIECE_CHUNK,
        .kind = c->kind,
        .count = c->count,
        .chunk = bytes_of(c->bytes, c->size_bytes),
    };
}

static void
add_late(struct rig *g, const struct one *samples, uint32_t count)
{
    if (count == 0) return;
    struct late_sample *late = arena_new(&g->arena, count * sizeof *late);
    for (uint32_t i = 0; i < count; i++) {
        late[i] = (struct late_sample){
            samples[i].t_ms, samples[i].start_ms, samples[i].bits, samples[i].histogram, 0, 1};
    }
    struct interleave_item *item = interleave_add(&g->interleave);
    assert_non_null(item);
    *item = (struct interleave_item){
        .min_ms = samples[0].t_ms,
        .max_ms = samples[count - 1].t_ms,
        .order = samples[0].order,
        .type = PIECE_LATE,
        .count = count,
        .late = late,
    };
}

/* Distributes ascending samples of one order over items that may overlap. */
static void
add_items(struct rig *g, const struct one *samples, uint32_t count)
{
    uint32_t ways = 1 + (uint32_t)rng_below(&g->r, 4);
    struct one *own = malloc((count + 1) * sizeof *own);
    for (uint32_t way = 0; way < ways; way++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t mix = ((uint64_t)samples[i].t_ms + g->seed) * 0x9e3779b97f4a7c15u;
            if ((mix >> 40) % ways == way) own[n++] = samples[i];
        }
        if (n < 300 && rng_below(&g->r, 2) == 0) {
            add_late(g, own, n);
            continue;
        }
        struct hchunk_open o = {0};
        uint32_t longest = 1 + (uint32_t)rng_below(&g->r, HCHUNK_SAMPLES_MAX);
        for (uint32_t i = 0; i < n; i++) {
            if (o.count >= longest || !hchunk_takes(&o, own[i].kind, own[i].t_ms))
                add_chunk(g, &o, own[i].order);
            enum err e = put_one(g, &o, &own[i]);
            if (e == ERR_AGAIN) {
                add_chunk(g, &o, own[i].order);
                e = put_one(g, &o, &own[i]);
            }
            assert_int_equal(e, OK);
        }
        add_chunk(g, &o, samples[0].order);
    }
    free(own);
}

static void
add_order(struct rig *g, uint32_t order, uint32_t count, bool histograms)
{
    struct one *first = &g->all[g->count];
    int64_t t = rng_below(&g->r, 10) == 0 ? INT64_MIN : (int64_t)rng_below(&g->r, 200) * 10;
    uint64_t gap = 1 + rng_below(&g->r, 4), n = 0;
    for (; n < count; n++) {
        first[n] = random_one(g, t, order, histograms);
        if (rng_below(&g->r, 500) == 0) t = (int64_t)((uint64_t)t + rng_below(&g->r, 2000) * 10);
        t = (int64_t)((uint64_t)t + 10 * (1 + rng_below(&g->r, gap)));
    }
    g->count += n;
    if (n > 0) add_items(g, first, (uint32_t)n);
}

static int
by_time_order(const void *a, const void *b)
{
    const struct one *x = a, *y = b;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static bool
same_value(const struct one *a, const struct one *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == SAMPLE_FLOAT ? a->bits == b->bits
                                   : histogram_equal(a->histogram, b->histogram);
}

struct losses {
    uint64_t duplicates[LEDGER_KIND_COUNT];
    uint64_t superseded[LEDGER_KIND_COUNT];
    uint64_t deleted[LEDGER_KIND_COUNT];
    uint64_t expired[LEDGER_KIND_COUNT];
};

/* Keeps the winners within the range. */
static void
model_merge(struct rig *g, int64_t min_ms, int64_t max_ms, struct losses *ret)
{
    uint32_t kept = 0;
    *ret = (struct losses){0};
    qsort(g->all, g->count, sizeof *g->all, by_time_order);
    for (uint32_t i = 0; i < g->count; i++) {
        const struct one *x = &g->all[i];
        if (x->t_ms < min_ms || x->t_ms > max_ms) continue;
        bool hidden = false;
        for (uint32_t h = 0; h < g->hidden_count[x->order]; h++) {
            const struct time_range *range = &g->hidden[x->order][h];
            hidden |= x->t_ms >= range->min_ms && x->t_ms <= range->max_ms;
        }
        if (hidden || x->t_ms < g->expired_before_ms) {
            (hidden ? ret->deleted : ret->expired)[ledger_kind_of(x->kind)]++;
            continue;
        }
        if (kept > 0 && g->all[kept - 1].t_ms == x->t_ms) {
            uint64_t *lost = same_value(x, &g->all[kept - 1]) ? ret->duplicates : ret->superseded;
            lost[ledger_kind_of(x->kind)]++;
            continue;
        }
        g->all[kept++] = *x;
    }
    g->count = kept;
}

static void
check_batch(const struct rig *g, const struct sample_batch *b, uint32_t at)
{
    for (uint32_t i = 0; i < b->count; i++, at++) {
        const struct one *want = &g->all[at];
        struct one got = {.t_ms = b->times_ms[i], .kind = b->kind};
        if (b->kind == SAMPLE_FLOAT)
            got.bits = b->value_bits[i];
        else
            got.histogram = &b->histograms[i];
        got.start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        if (at >= g->count || got.t_ms != want->t_ms || got.start_ms != want->start_ms ||
            !same_value(&got, want))
            fail_msg("seed %u: sample %u", (unsigned)g->seed, at);
    }
}

static void
check_merge(struct rig *g, const struct losses *lost)
{
    uint32_t at = 0;
    for (;;) {
        struct sample_batch b;
        assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
        if (b.count == 0) break;
        check_batch(g, &b, at);
        at += b.count;
    }
    if (at != g->count) fail_msg("seed %u: %u of %u", (unsigned)g->seed, at, g->count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        assert_int_equal(g->interleave.duplicate_count[k], lost->duplicates[k]);
        assert_int_equal(g->interleave.superseded_count[k], lost->superseded[k]);
        assert_int_equal(g->interleave.deleted_count[k], lost->deleted[k]);
        assert_int_equal(g->interleave.expired_count[k], lost->expired[k]);
    }
    struct sample_batch b;
    assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK); /* stays at the end */
    assert_int_equal(b.count, 0);
}

static void
random_items(struct rig *g, int64_t min_ms, int64_t max_ms)
{
    interleave_reset(&g->interleave, min_ms, max_ms, false);
    uint32_t orders = 1 + (uint32_t)rng_below(&g->r, ORDERS_MAX);
    bool histograms = rng_below(&g->r, 3) == 0;
    for (uint32_t i = 0; i < orders; i++) {
        uint32_t count = (uint32_t)rng_below(&g->r, rng_below(&g->r, 3) == 0 ? SAMPLES_MAX : 100);
        add_order(g, i, count, histograms);
    }
    interleave_begin(&g->interleave);
}

UNIT_TEST(test_the_first_arrival_wins_and_losers_are_counted)
{
    for (uint64_t seed = 1; seed <= 250; seed++) {
        struct rig *g = rig_new(seed);
        int64_t min = INT64_MIN, max = INT64_MAX;
        if (rng_below(&g->r, 2) == 0) {
            min = (int64_t)rng_below(&g->r, 30000);
            max = min + (int64_t)rng_below(&g->r, 30000);
        }
        struct losses lost;
        random_items(g, min, max);
        model_merge(g, min, max, &lost);
        check_merge(g, &lost);
        rig_free(g);
    }
}

/* Hides ranges of some orders, and lets some time expire. */
static void
hide_some(struct rig *g)
{
    for (uint32_t order = 0; order < ORDERS_MAX; order++) {
        g->hidden_count[order] = (uint32_t)rng_below(&g->r, HIDDEN_MAX + 1);
        for (uint32_t i = 0; i < g->hidden_count[order]; i++) {
            int64_t from = (int64_t)rng_below(&g->r, 40000) - 1000;
            g->hidden[order][i] =
                (struct time_range){from, from + (int64_t)rng_below(&g->r, 10000)};
        }
    }
    if (rng_below(&g->r, 2) == 0) g->expired_before_ms = (int64_t)rng_below(&g->r, 10000);
    g->interleave.expired_before_ms = g->expired_before_ms;
    for (uint32_t i = 0; i < g->interleave.item_count; i++) {
        struct interleave_item *item = &g->interleave.items[i];
        item->hidden = g->hidden[item->order];
        item->hidden_count = g->hidden_count[item->order];
    }
}

UNIT_TEST(test_a_deleted_or_expired_sample_does_not_win)
{
    for (uint64_t seed = 301; seed <= 450; seed++) {
        struct rig *g = rig_new(seed);
        int64_t min = INT64_MIN, max = INT64_MAX;
        if (rng_below(&g->r, 2) == 0) {
            min = (int64_t)rng_below(&g->r, 10000);
            max = min + (int64_t)rng_below(&g->r, 30000);
        }
        struct losses lost;
        random_items(g, min, max);
        hide_some(g);
        model_merge(g, min, max, &lost);
        check_merge(g, &lost);
        rig_free(g);
    }
}

/* An error loses nothing: the next call continues at the same position. */
UNIT_TEST(test_memory_refused_anywhere_loses_nothing)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig *g = rig_new(seed);
        struct losses lost;
        random_items(g, INT64_MIN, INT64_MAX);
        model_merge(g, INT64_MIN, INT64_MAX, &lost);
        uint32_t at = 0;
        for (uint64_t nth = 1;; nth++) {
            struct sample_batch b;
            struct why why = {""};
            mem_fail_nth(1 + nth % 4, false);
            enum err e = interleave_next(&g->interleave, &b, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (e) {
                assert_int_equal(e, ERR_NOMEM);
                assert_true(fired);
                assert_string_not_equal(why.text, "");
                continue;
            }
            if (b.count == 0) break;
            check_batch(g, &b, at);
            at += b.count;
        }
        assert_int_equal(at, g->count);
        assert_int_equal(g->interleave.superseded_count[0], lost.superseded[0]);
        rig_free(g);
    }
}

UNIT_TEST(test_one_is_used_for_one_series_after_another)
{
    struct rig *g = rig_new(77);
    for (unsigned i = 0; i < 40; i++) {
        struct losses lost;
        g->count = 0;
        memset(g->interleave.duplicate_count, 0, sizeof g->interleave.duplicate_count);
        memset(g->interleave.superseded_count, 0, sizeof g->interleave.superseded_count);
        random_items(g, INT64_MIN, INT64_MAX);
        model_merge(g, INT64_MIN, INT64_MAX, &lost);
        if (i % 3 == 0) { /* some merges are not read to the end */
            struct sample_batch b;
            assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
            continue;
        }
        check_merge(g, &lost);
    }
    rig_free(g);
}

UNIT_TEST(test_memory_is_bounded_by_overlapping_chunks)
{
    struct rig *g = rig_new(5);
    /* The series has one sample, as most in a wide select. */
    interleave_reset(&g->interleave, INT64_MIN, INT64_MAX, false);
    struct one x = random_one(g, 10, 0, false);
    struct hchunk_open o = {0};
    assert_int_equal(put_one(g, &o, &x), OK);
    add_chunk(g, &o, 0);
    interleave_begin(&g->interleave);
    struct sample_batch b;
    assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
    assert_int_equal(b.count, 1);
    assert_true(budget_used(&g->budget) < 4 * 1024);

    /* The series is long, chunk after chunk: at most two are decoded at a time. */
    interleave_reset(&g->interleave, INT64_MIN, INT64_MAX, false);
    for (unsigned i = 0; i < 200000; i++) {
        x = random_one(g, i, 0, false);
        if (!hchunk_takes(&o, SAMPLE_FLOAT, i)) add_chunk(g, &o, 0);
        assert_int_equal(put_one(g, &o, &x), OK);
    }
    add_chunk(g, &o, 0);
    uint64_t items = budget_used(&g->budget);
    interleave_begin(&g->interleave);
    uint32_t got = 0;
    for (;;) {
        assert_int_equal(interleave_next(&g->interleave, &b, NULL), OK);
        if (b.count == 0) break;
        got += b.count;
    }
    assert_int_equal(got, 200000);
    assert_true(g->budget.peak_bytes < items + 64 * 1024);
    rig_free(g);
}

UNIT_TEST(test_a_cancelled_query_ends)
{
    struct rig *g = rig_new(3);
    struct query_control control = {0};
    atomic_store(&control.canceled, "query canceled: by the test");
    g->interleave.control = &control;
    random_items(g, INT64_MIN, INT64_MAX);
    struct sample_batch b;
    assert_int_equal(interleave_next(&g->interleave, &b, NULL), ERR_CANCELED);
    rig_free(g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_arrival_wins_and_losers_are_counted),
        cmocka_unit_test(test_a_deleted_or_expired_sample_does_not_win),
        cmocka_unit_test(test_memory_refused_anywhere_loses_nothing),
        cmocka_unit_test(test_one_is_used_for_one_series_after_another),
        cmocka_unit_test(test_memory_is_bounded_by_overlapping_chunks),
        cmocka_unit_test(test_a_cancelled_query_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
