/*
 * gen_test.c - compares generations with a model, a table of accepted samples with their epochs,
 * for any order of samples, any failing epoch and any refused allocation.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "tsdb/head/gen.h"
#include "tsdb/read/interleave.h"

enum { SERIES = 10, SAMPLES = 6000, EXEMPLARS = 400, PATTERNS = 6 };

struct model_sample {
    int64_t t_ms;
    int64_t start_ms;
    struct sample_value value;
    uint32_t epoch;
};

struct model_exemplar {
    uint32_t series;
    int64_t t_ms;
    uint64_t bits;
    uint32_t epoch;
};

/* The model of one generation. */
struct model {
    struct model_sample *samples[SERIES]; /* by time */
    uint32_t count[SERIES];
    struct model_exemplar exemplars[EXEMPLARS];
    uint32_t exemplar_count;
};

struct world {
    uint64_t seed;
    struct rng r;
    struct arena arena; /* histograms of the model */
    struct budget budget;
    struct registry *registry; /* registry of the active generation */
    bool made[SERIES];         /* says which series are in it */
    struct gen *gen;
    struct gen *frozen;
    struct model *now;
    struct model *before; /* the frozen generation; NULL if there is none */
    uint32_t durable;
    uint32_t epoch;
    unsigned patterns[SERIES];
    bool with_histograms[SERIES];
    int64_t last_ms[SERIES];
    bool memory_fails;
    uint64_t refused;
};

static struct model *
model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    for (unsigned i = 0; i < SERIES; i++) {
        m->samples[i] = calloc(SAMPLES, sizeof *m->samples[i]);
        assert_non_null(m->samples[i]);
    }
    return m;
}

static void
model_free(struct model *m)
{
    if (m == NULL) return;
    for (unsigned i = 0; i < SERIES; i++)
        free(m->samples[i]);
    free(m);
}

static uint32_t
model_find(const struct model *m, unsigned series, int64_t t_ms)
{
    uint32_t low = 0, high = m->count[series];
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->samples[series][middle].t_ms < t_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct model_sample *
model_at(const struct model *m, unsigned series, int64_t t_ms)
{
    if (m == NULL) return NULL;
    uint32_t at = model_find(m, series, t_ms);
    const struct model_sample *s = &m->samples[series][at];
    return at < m->count[series] && s->t_ms == t_ms ? s : NULL;
}

static void
model_insert(struct model *m, unsigned series, struct model_sample sample)
{
    uint32_t at = model_find(m, series, sample.t_ms);
    struct model_sample *s = m->samples[series];
    assert_true(m->count[series] < SAMPLES);
    memmove(s + at + 1, s + at, (m->count[series] - at) * sizeof *s);
    s[at] = sample;
    m->count[series]++;
}

static void
model_undo(struct model *m, uint32_t durable)
{
    for (unsigned i = 0; i < SERIES; i++) {
        uint32_t kept = 0;
        for (uint32_t j = 0; j < m->count[i]; j++)
            if (m->samples[i][j].epoch <= durable) m->samples[i][kept++] = m->samples[i][j];
        m->count[i] = kept;
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->exemplar_count; i++)
        if (m->exemplars[i].epoch <= durable) m->exemplars[kept++] = m->exemplars[i];
    m->exemplar_count = kept;
}

/* --- the world -------------------------------------------------------------------------------- */

static struct bytes
labels_of(unsigned series, uint8_t *room)
{
    struct buf to = {.at = room, .capacity = 200, .limit = 200};
    char text[32];
    snprintf(text, sizeof text, "m%u", series / 3);
    labels_put(&to, (struct label){bytes_of_text("__name__"), bytes_of_text(text)});
    snprintf(text, sizeof text, "i%u", series);
    labels_put(&to, (struct label){bytes_of_text("instance"), bytes_of_text(text)});
    if (series % 2 == 0) labels_put(&to, (struct label){bytes_of_text("job"), bytes_of_text("x")});
    assert_int_equal(buf_error(&to), OK);
    return buf_bytes(&to);
}

/* Returns the tenant; tenants 0 and 1 have series with the same labels. */
static uint32_t
tenant_of(unsigned series)
{
    return series == SERIES - 1 ? 1 : 0;
}

static struct bytes
series_key(unsigned series, uint8_t *room)
{
    return labels_of(series == SERIES - 1 ? 0 : series, room);
}

static void
world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .r = {seed}, .durable = 10, .epoch = 11};
    arena_init(&w->arena, NULL, 0, 0);
    budget_init(&w->budget, "head", 0, NULL);
    assert_int_equal(registry_new(&w->budget, 100, 42, &w->registry), OK);
    assert_int_equal(gen_new(&w->budget, 1, w->registry, NULL, &w->gen), OK);
    w->now = model_new();
    for (unsigned i = 0; i < SERIES; i++) {
        w->patterns[i] = (unsigned)rng_below(&w->r, PATTERNS);
        w->with_histograms[i] = rng_below(&w->r, 3) == 0;
        w->last_ms[i] = 1000000;
    }
}

static void
world_fini(struct world *w)
{
    mem_fail_nth(0, false);
    gen_unref(w->gen);
    gen_unref(w->frozen);
    registry_unref(w->registry);
    model_free(w->now);
    model_free(w->before);
    arena_fini(&w->arena);
    assert_int_equal(budget_used(&w->budget), 0);
}

static void
arm(struct world *w)
{
    if (w->memory_fails && rng_below(&w->r, 2) == 0) mem_fail_nth(1 + rng_below(&w->r, 3), false);
}

/* Returns true if the test refused the memory. */
static bool
refused(struct world *w, enum err e)
{
    bool fired = mem_fail_fired();
    mem_fail_nth(0, false);
    if (e == OK) return false;
    if (e != ERR_NOMEM || !fired) fail_msg("seed %u: %s", (unsigned)w->seed, err_word(e));
    w->refused++;
    return true;
}

/* Returns NULL if memory is refused. */
static struct series *
world_series(struct world *w, unsigned i)
{
    uint8_t room[200];
    struct bytes labels = series_key(i, room);
    struct series *s = registry_find_labels(w->registry, tenant_of(i), labels);
    if ((s != NULL) != w->made[i]) fail_msg("seed %u: series %u", (unsigned)w->seed, i);
    if (s != NULL) return s;
    arm(w);
    enum err e = registry_add(w->registry, tenant_of(i), labels, &s);
    if (refused(w, e)) return NULL;
    w->made[i] = true;
    const struct gen *before = w->gen->before;
    if (before != NULL && before->registry != w->registry) {
        const struct series *old = registry_find_labels(before->registry, tenant_of(i), labels);
        assert_true(old != NULL || w->before->count[i] == 0);
        if (old != NULL) s->before_plus_1 = old->id + 1;
    }
    return s;
}

static int64_t
random_time(struct world *w, unsigned i)
{
    struct rng *r = &w->r;
    switch (w->patterns[i]) {
    case 0:
        return w->last_ms[i] += 15000;
    case 1:
        return w->last_ms[i] -= 15000;
    case 2: /* mostly forward, some late, some repeated */
        w->last_ms[i] += 1000;
        return w->last_ms[i] - (int64_t)(rng_below(r, 4) == 0 ? 1000 * rng_below(r, 20) : 0);
    case 3:
        return (int64_t)rng_below(r, 5000);
    case 4:
        return (int64_t)rng_next(r);
    default: /* blocks of two alternating streams */
        w->last_ms[i] += 10;
        return w->last_ms[i] / 1000 % 2 == 0 ? w->last_ms[i] : w->last_ms[i] - 10000000;
    }
}

static struct sample_value
random_sample(struct world *w, unsigned i)
{
    struct rng *r = &w->r;
    struct sample_value v = {SAMPLE_FLOAT, 0, NULL};
    if (!w->with_histograms[i] || rng_below(r, 2) == 0) {
        v.bits = random_value(r, rng_below(r, 2) == 0 ? 8 : 10, double_bits(3));
        return v;
    }
    struct histogram *h = arena_new(&w->arena, sizeof *h);
    v.kind = rng_below(r, 3) == 0 ? SAMPLE_HISTOGRAM_FLOAT : SAMPLE_HISTOGRAM_INT;
    struct rng few = {rng_below(r, 4)};
    do {
        *h = random_histogram(&few, &w->arena, v.kind);
    } while (histogram_check(h, NULL) != OK);
    v.histogram = h;
    return v;
}

static bool
same_value(const struct sample_value *a, const struct sample_value *b)
{
    if (a->kind != b->kind) return false;
    return a->kind == SAMPLE_FLOAT ? a->bits == b->bits
                                   : histogram_equal(a->histogram, b->histogram);
}

static void
check_presence(struct world *w, unsigned i, const struct series *s, int64_t t_ms,
               const struct sample_value *v, enum presence *ret)
{
    const struct model_sample *old = model_at(w->now, i, t_ms);
    bool frozen = old == NULL;
    if (frozen && w->gen->before != NULL) old = model_at(w->before, i, t_ms);
    struct arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    uint32_t epoch;
    if (v->kind != SAMPLE_FLOAT) { /* floats need none */
        assert_non_null(arena_alloc(&scratch, 8 + gen_presence_reserve(w->gen, NULL)));
        arena_reset(&scratch);
    }
    mem_fail_nth(1, true);
    enum err e = gen_presence(w->gen, s, t_ms, v, &scratch, ret, &epoch);
    mem_fail_nth(0, false);
    arena_fini(&scratch);
    assert_int_equal(e, OK);
    enum presence want = old == NULL                  ? PRESENT_NOT
                         : same_value(&old->value, v) ? PRESENT_SAME
                                                      : PRESENT_OTHER;
    if (*ret != want) fail_msg("seed %u: series %u: %d", (unsigned)w->seed, i, *ret);
    if (old == NULL) return;
    if (frozen) assert_int_equal(epoch, 0);
    if (!frozen && old->epoch > w->durable) assert_int_equal(epoch, old->epoch);
    if (!frozen && old->epoch <= w->durable) assert_true(epoch <= w->durable);
}

static void
do_sample(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->r, SERIES);
    struct series *s = world_series(w, i);
    if (s == NULL || w->now->count[i] == SAMPLES) return;
    int64_t t = random_time(w, i);
    struct sample_value v = random_sample(w, i);
    if (rng_below(&w->r, 10) == 0 && w->now->count[i] > 0) { /* repeats a sample */
        const struct model_sample *old = &w->now->samples[i][rng_below(&w->r, w->now->count[i])];
        t = old->t_ms;
        if (rng_below(&w->r, 2) == 0) v = old->value;
    }
    enum presence presence;
    check_presence(w, i, s, t, &v, &presence);
    if (presence != PRESENT_NOT) return;
    int64_t start = rng_below(&w->r, 4) == 0 && t > 0 ? t - 5000 : 0;
    struct gen_series *samples;
    if (w->memory_fails) arm(w);
    enum err e = gen_series_get(w->gen, s, &samples);
    if (refused(w, e)) return;
    if (!w->memory_fails) { /* the reservation is enough */
        assert_int_equal(gmem_reserve(&w->gen->gmem, gen_append_reserve(samples, &v, 1)), OK);
        mem_fail_nth(1, true);
    } else {
        arm(w);
    }
    e = gen_append(w->gen, samples, t, start, &v, w->epoch, w->durable);
    if (!w->memory_fails) {
        mem_fail_nth(0, false);
        assert_int_equal(e, OK);
    } else if (refused(w, e)) {
        return;
    }
    model_insert(w->now, i, (struct model_sample){t, start, v, w->epoch});
}

static bool
has_exemplar(const struct model *m, const struct model_exemplar *x, uint32_t *ret_epoch)
{
    for (uint32_t i = 0; m != NULL && i < m->exemplar_count; i++) {
        const struct model_exemplar *y = &m->exemplars[i];
        if (y->series != x->series || y->t_ms != x->t_ms || y->bits != x->bits) continue;
        *ret_epoch = y->epoch;
        return true;
    }
    return false;
}

static void
do_exemplar(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->r, SERIES);
    struct series *s = world_series(w, i);
    if (s == NULL || w->now->exemplar_count == EXEMPLARS) return;
    struct model_exemplar x = {i, (int64_t)rng_below(&w->r, 50), rng_below(&w->r, 3), w->epoch};
    uint32_t epoch = 77, want = 77;
    arm(w);
    enum err e = gen_add_exemplar(w->gen, s, x.t_ms, x.bits, bytes_of(NULL, 0), w->epoch, &epoch);
    if (e != ERR_AGAIN && refused(w, e)) return;
    mem_fail_nth(0, false);
    bool there = has_exemplar(w->now, &x, &want);
    if (!there && w->gen->before != NULL) {
        there = has_exemplar(w->before, &x, &want);
        want = 0;
    }
    assert_int_equal(e, there ? ERR_AGAIN : OK);
    if (there)
        assert_int_equal(epoch, want);
    else
        w->now->exemplars[w->now->exemplar_count++] = x;
}

/* --- comparing -------------------------------------------------------------------------------- */

static void
check_series(struct world *w, struct interleave *m, unsigned i, uint32_t durable)
{
    uint8_t room[200];
    struct series *s = registry_find_labels(w->registry, tenant_of(i), series_key(i, room));
    const struct gen_series *samples = s == NULL ? NULL : gen_series(w->gen, s->id);
    assert_true(samples != NULL || w->now->count[i] == 0);
    if (samples == NULL) return;
    assert_int_equal(gen_series_is_empty(samples), w->now->count[i] == 0);
    interleave_reset(m, INT64_MIN, INT64_MAX, false);
    assert_int_equal(interleave_add_series(m, w->gen, samples, durable, 0), OK);
    interleave_begin(m);
    uint32_t at = 0;
    for (;;) {
        struct sample_batch batch;
        assert_int_equal(interleave_next(m, &batch, NULL), OK);
        if (batch.count == 0) break;
        for (uint32_t j = 0; j < batch.count; j++, at++) {
            while (at < w->now->count[i] && w->now->samples[i][at].epoch > durable)
                at++;
            const struct model_sample *want = &w->now->samples[i][at];
            struct sample_value got = {batch.kind, 0, NULL};
            if (batch.kind == SAMPLE_FLOAT)
                got.bits = batch.value_bits[j];
            else
                got.histogram = &batch.histograms[j];
            int64_t start = batch.starts_ms == NULL ? 0 : batch.starts_ms[j];
            if (at >= w->now->count[i] || batch.times_ms[j] != want->t_ms ||
                start != want->start_ms || !same_value(&got, &want->value))
                fail_msg("seed %u: series %u, sample %u", (unsigned)w->seed, i, at);
        }
    }
    while (at < w->now->count[i] && w->now->samples[i][at].epoch > durable)
        at++;
    if (at != w->now->count[i]) fail_msg("seed %u: series %u ends", (unsigned)w->seed, i);
    assert_int_equal(m->superseded_count[LEDGER_FLOAT] + m->duplicate_count[LEDGER_FLOAT], 0);
}

static void
check_counts(const struct world *w)
{
    uint64_t want[LEDGER_KIND_COUNT] = {0};
    want[LEDGER_EXEMPLAR] = w->now->exemplar_count;
    uint32_t series = 0;
    for (unsigned i = 0; i < SERIES; i++) {
        series += w->now->count[i] > 0;
        for (uint32_t j = 0; j < w->now->count[i]; j++)
            want[ledger_kind_of(w->now->samples[i][j].value.kind)]++;
    }
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        assert_int_equal(w->gen->sample_count[k], want[k]);
    assert_int_equal(w->gen->series_count, series);
    uint32_t exemplars = 0;
    for (uint32_t i = 0; i < w->gen->exemplars.count; i++)
        exemplars += !gen_exemplar(w->gen, i)->undone;
    assert_int_equal(exemplars, w->now->exemplar_count);
    gen_validate(w->gen);
    if (w->frozen != NULL) gen_validate(w->frozen);
}

static void
check_all(struct world *w)
{
    struct interleave m;
    interleave_init(&m, NULL, NULL);
    for (unsigned i = 0; i < SERIES; i++) {
        check_series(w, &m, i, w->durable);
        check_series(w, &m, i, w->epoch);
    }
    interleave_fini(&m);
    check_counts(w);
}

/* --- epochs and generations ------------------------------------------------------------------- */

static void
do_epoch(struct world *w)
{
    if (rng_below(&w->r, 2) == 0) {
        if (w->epoch < w->durable + 2) w->epoch++;
        return;
    }
    w->durable++;
    if (w->epoch == w->durable) w->epoch++;
}

static void
do_undo(struct world *w)
{
    uint64_t used = budget_used(&w->budget);
    assert_int_equal(gen_undo(w->gen, w->durable), OK);
    assert_true(budget_used(&w->budget) <= used);
    model_undo(w->now, w->durable);
    w->epoch = w->durable + 1;
}

static void
do_freeze(struct world *w)
{
    gen_unref(w->frozen);
    model_free(w->before);
    w->frozen = w->gen;
    w->before = w->now;
    w->durable = w->epoch;
    w->epoch++;
    w->now = model_new();
    if (rng_below(&w->r, 2) == 0) { /* else its series continue */
        registry_unref(w->registry);
        assert_int_equal(registry_new(&w->budget, 1000, 42, &w->registry), OK);
        memset(w->made, 0, sizeof w->made);
    }
    assert_int_equal(gen_new(&w->budget, 2, w->registry, NULL, &w->gen), OK);
    w->gen->before = w->frozen;
}

static void
do_flushed(struct world *w)
{
    w->gen->before = NULL;
    gen_unref(w->frozen);
    w->frozen = NULL;
    model_free(w->before);
    w->before = NULL;
}

static void
run(uint64_t seed, unsigned steps, bool memory_fails)
{
    struct world w;
    world_init(&w, seed);
    w.memory_fails = memory_fails;
    for (unsigned i = 0; i < steps; i++) {
        uint64_t dice = rng_below(&w.r, 2000);
        if (dice < 60)
            do_epoch(&w);
        else if (dice < 70)
            do_undo(&w);
        else if (dice < 100)
            do_exemplar(&w);
        else if (dice == 100)
            do_freeze(&w);
        else if (dice == 101 && w.frozen != NULL)
            do_flushed(&w);
        else
            do_sample(&w);
        if (dice % 500 == 3) check_all(&w);
    }
    check_all(&w);
    do_undo(&w);
    check_all(&w);
    if (memory_fails) assert_true(w.refused > 0);
    world_fini(&w);
}

UNIT_TEST(test_a_generation_holds_what_its_model_holds)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        run(seed, 6000, false);
}

UNIT_TEST(test_memory_refused_anywhere_loses_and_invents_nothing)
{
    for (uint64_t seed = 100; seed < 112; seed++)
        run(seed, 4000, true);
}

/* A generation with one series. */
struct one {
    struct registry *registry;
    struct gen *gen;
    struct series *series;
    struct gen_series *samples;
};

static void
one_init(struct one *o, struct budget *budget)
{
    uint8_t room[200];
    assert_int_equal(registry_new(budget, 1, 42, &o->registry), OK);
    assert_int_equal(gen_new(budget, 1, o->registry, NULL, &o->gen), OK);
    assert_int_equal(registry_add(o->registry, 0, labels_of(1, room), &o->series), OK);
    assert_int_equal(gen_series_get(o->gen, o->series, &o->samples), OK);
}

static void
one_fini(struct one *o)
{
    gen_unref(o->gen);
    registry_unref(o->registry);
}

/* One request may bring many samples of a series, for which one reservation is enough, as
 * gen.h says. */
UNIT_TEST(test_a_reservation_covers_a_row_of_floats)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng r = {seed};
        struct one o;
        one_init(&o, NULL);
        for (unsigned round = 0; round < 12; round++) {
            uint32_t n = 1 + (uint32_t)rng_below(&r, (uint64_t)1 << rng_below(&r, 11));
            struct sample_value v = {SAMPLE_FLOAT, 0, NULL};
            size_t each = 6 * HCHUNK_FLOAT_BYTES_MAX + sizeof(struct hchunk);
            assert_int_equal(
                gmem_reserve(&o.gen->gmem, gen_append_reserve(o.samples, &v, n) + n * each), OK);
            uint64_t mix = rng_below(&r, 3);
            mem_fail_nth(1, true);
            for (uint32_t i = 0; i < n; i++) {
                /* Tokens are as wide as possible. */
                bool none = o.samples->past == NULL || o.samples->past->late == NULL;
                int64_t t = mix == 0 ? -(int64_t)(none ? 0 : o.samples->past->late->count) -
                                           (int64_t)rng_below(&r, 1u << 30) * 1000
                                     : (int64_t)(rng_next(&r) >> (mix == 1 ? 1 : 30));
                v.bits = rng_next(&r);
                uint32_t epoch;
                enum presence p;
                enum err e = gen_presence(o.gen, o.series, t, &v, NULL, &p, &epoch);
                if (e != OK || p != PRESENT_NOT) continue;
                int64_t start = (int64_t)rng_next(&r);
                if (gen_append(o.gen, o.samples, t, start, &v, 11, 10) != OK) {
                    mem_fail_nth(0, false);
                    fail_msg("seed %u round %u: sample %u of %u", (unsigned)seed, round, i, n);
                }
            }
            mem_fail_nth(0, false);
        }
        one_fini(&o);
    }
}

UNIT_TEST(test_a_small_generation_is_small)
{
    struct budget budget;
    budget_init(&budget, "head", 0, NULL);
    struct one o;
    one_init(&o, &budget);
    struct sample_value v = {SAMPLE_FLOAT, 1, NULL};
    assert_int_equal(gen_append(o.gen, o.samples, 1, 0, &v, 1, 0), OK);
    assert_true(budget_used(&budget) <= 96 * 1024);
    one_fini(&o);
    assert_int_equal(budget_used(&budget), 0);
}

/* Samples are found with and without an index, after a failed commit, and when they
 * are repeated. */
UNIT_TEST(test_samples_sent_in_random_order_are_found_again)
{
    enum { COUNT = 20000, FAILED = 4000 };
    for (unsigned no_memory = 0; no_memory < 2; no_memory++) {
        struct budget budget;
        struct one o;
        budget_init(&budget, "head", 0, NULL);
        one_init(&o, &budget);
        for (uint64_t i = 0; i < COUNT + FAILED; i++) {
            /* A multiplication by an odd number runs through all residues, in no order. */
            int64_t t = (int64_t)(i * 40503 % 65536);
            struct sample_value v = {SAMPLE_FLOAT, (uint64_t)t, NULL};
            uint32_t epoch, at = i < COUNT ? 1 : 2;
            enum presence p;
            if (no_memory) budget.limit_bytes = budget_used(&budget) + 16 * 1024;
            assert_int_equal(gen_presence(o.gen, o.series, t, &v, NULL, &p, &epoch), OK);
            assert_int_equal(p, PRESENT_NOT);
            enum err e = gen_append(o.gen, o.samples, t, 0, &v, at, i < COUNT ? at : 1);
            if (e == ERR_NOMEM) {
                assert_true(no_memory);
                budget.limit_bytes = 0;
                e = gen_append(o.gen, o.samples, t, 0, &v, at, i < COUNT ? at : 1);
            }
            assert_int_equal(e, OK);
        }
        assert_int_equal(gen_undo(o.gen, 1), OK);
        assert_int_equal(o.gen->sample_count[LEDGER_FLOAT], COUNT);
        budget.limit_bytes = 0;
        for (uint64_t i = 0; i < COUNT + FAILED; i++) {
            int64_t t = (int64_t)(i * 40503 % 65536);
            struct sample_value v = {SAMPLE_FLOAT, (uint64_t)t + i % 2, NULL};
            uint32_t epoch;
            enum presence p, want = i >= COUNT ? PRESENT_NOT : i % 2 ? PRESENT_OTHER : PRESENT_SAME;
            assert_int_equal(gen_presence(o.gen, o.series, t, &v, NULL, &p, &epoch), OK);
            assert_int_equal(p, want);
        }
        one_fini(&o);
        assert_int_equal(budget_used(&budget), 0);
    }
}

/* Random order in one series is a sender's worst case, whose cost must stay bounded. */
UNIT_TEST(test_random_order_does_not_become_quadratic)
{
    struct one o;
    struct rng r = {1};
    uint64_t chunks = 0, added = 0;
    one_init(&o, NULL);
    for (unsigned i = 0; i < 300000; i++) {
        struct sample_value v = {SAMPLE_FLOAT, i, NULL};
        uint32_t epoch;
        enum presence p;
        int64_t t = (int64_t)rng_below(&r, 1u << 30);
        assert_int_equal(gen_presence(o.gen, o.series, t, &v, NULL, &p, &epoch), OK);
        if (p != PRESENT_NOT) continue;
        assert_int_equal(gen_append(o.gen, o.samples, t, 0, &v, 1, 1), OK);
        added++;
    }
    int64_t middle = 1 << 29;
    for (const struct hchunk *c = o.samples->past->sealed; c != NULL; c = c->next)
        chunks += c->min_ms <= middle && c->max_ms >= middle;
    assert_int_equal(o.gen->sample_count[LEDGER_FLOAT], added);
    assert_in_range(chunks, 1, 200);
    assert_in_range(o.samples->past->late->work, 1, 100 * added); /* chunks looked into, times 16 */
    one_fini(&o);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_generation_holds_what_its_model_holds),
        cmocka_unit_test(test_memory_refused_anywhere_loses_and_invents_nothing),
        cmocka_unit_test(test_a_reservation_covers_a_row_of_floats),
        cmocka_unit_test(test_a_small_generation_is_small),
        cmocka_unit_test(test_samples_sent_in_random_order_are_found_again),
        cmocka_unit_test(test_random_order_does_not_become_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
