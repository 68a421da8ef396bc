/* replica_merge_test.c - merges samples of replicas into one series, and compares the result with a
 * simple model of the rules. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "views/replica_merge.h"

enum { REPLICAS_MAX = 4, SAMPLES_MAX = 400, BATCH_MAX = 30 };

/* --- replicas of what they were given --------------------------------------------------------- */

struct written {
    int64_t t_ms;
    double value; /* count, for a histogram */
    bool is_histogram;
    bool is_marker;
    enum reset_hint hint;
};

struct given {
    uint32_t count;
    struct written samples[SAMPLES_MAX];
    /* State of a set of series. */
    uint32_t next, batch_max, asked;
    struct rng rng;
    int64_t times_ms[BATCH_MAX], starts_ms[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    struct histogram histograms[BATCH_MAX];
    int64_t deltas[BATCH_MAX]; /* counts of the single bucket */
};

static const struct hist_span one_bucket = {0, 1};

static struct histogram
histogram_of(const struct written *w, int64_t *delta)
{
    *delta = (int64_t)w->value;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .reset_hint = w->hint,
                          .count = (uint64_t)w->value,
                          .positive = {&one_bucket, 1, 1, delta, NULL}};
    return w->is_marker ? stale_histogram(SAMPLE_HISTOGRAM_INT) : h;
}

static uint64_t
bits_of(const struct written *w)
{
    return w->is_marker ? STALE_NAN_BITS : double_bits(w->value);
}

static enum err
give_batch(void *from, struct sample_batch *ret, struct why *why)
{
    struct given *g = from;
    g->asked++;
    uint32_t n = 0, most = 1 + (uint32_t)rng_below(&g->rng, g->batch_max);
    (void)why;
    memset(g->bits, 0x55, sizeof g->bits); /* views are valid until the next call */
    memset(g->times_ms, 0x55, sizeof g->times_ms);
    memset(g->histograms, 0x55, sizeof g->histograms);
    memset(g->deltas, 0x55, sizeof g->deltas);
    bool histograms = g->next < g->count && g->samples[g->next].is_histogram;
    for (; n < most && g->next < g->count; n++, g->next++) {
        const struct written *w = &g->samples[g->next];
        if (w->is_histogram != histograms) break;
        g->times_ms[n] = w->t_ms;
        g->starts_ms[n] = w->t_ms / 3;
        g->bits[n] = bits_of(w);
        g->histograms[n] = histogram_of(w, &g->deltas[n]);
    }
    *ret = (struct sample_batch){.kind = histograms ? SAMPLE_HISTOGRAM_INT : SAMPLE_FLOAT,
                                 .count = n,
                                 .times_ms = g->times_ms,
                                 .value_bits = histograms ? NULL : g->bits,
                                 .histograms = histograms ? g->histograms : NULL,
                                 .starts_ms = g->starts_ms};
    return OK;
}

struct rig {
    struct given replicas[REPLICAS_MAX];
    uint32_t count;
    int64_t min_ms, max_ms;
    struct written got[REPLICAS_MAX * SAMPLES_MAX]; /* the result */
    uint32_t got_count;
};

static void
add(struct rig *g, uint32_t replica, int64_t t_ms, double value)
{
    struct given *r = &g->replicas[replica];
    assert_true(r->count < SAMPLES_MAX);
    r->samples[r->count++] = (struct written){.t_ms = t_ms, .value = value};
    if (replica >= g->count) g->count = replica + 1;
    if (t_ms > g->max_ms) g->max_ms = t_ms;
}

static void
add_marker(struct rig *g, uint32_t replica, int64_t t_ms)
{
    add(g, replica, t_ms, 0);
    g->replicas[replica].samples[g->replicas[replica].count - 1].is_marker = true;
}

static void
take(struct rig *g, const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        struct written *w = &g->got[g->got_count++];
        *w = (struct written){.t_ms = b->times_ms[i], .is_histogram = b->kind != SAMPLE_FLOAT};
        assert_int_equal(b->starts_ms[i], b->times_ms[i] / 3);
        if (w->is_histogram) {
            const struct histogram *h = &b->histograms[i];
            w->is_marker = h->sum_bits == STALE_NAN_BITS;
            w->value = (double)h->count;
            w->hint = h->reset_hint;
            if (!w->is_marker) assert_true(*h->positive.deltas == (int64_t)h->count);
        } else {
            w->is_marker = b->value_bits[i] == STALE_NAN_BITS;
            w->value = w->is_marker ? 0 : bits_double(b->value_bits[i]);
        }
    }
}

static enum err
run(struct rig *g, uint64_t seed, uint32_t batch_max, bool times_only, struct budget *budget)
{
    struct query_request request = {.min_ms = g->min_ms,
                                    .max_ms = g->max_ms,
                                    .kind = times_only ? SELECT_TIMES : SELECT_SAMPLES};
    struct replica_merge m;
    struct sample_batch b;
    struct why why;
    g->got_count = 0;
    replica_merge_init(&m, give_batch, &request, budget);
    enum err e = OK;
    /* the second time as if it were the next series */
    for (unsigned again = 0; again < 2 && e == OK; again++) {
        replica_merge_clear(&m);
        g->got_count = 0;
        for (uint32_t i = 0; i < g->count && e == OK; i++) {
            struct given *r = &g->replicas[i];
            r->next = r->asked = 0;
            r->batch_max = batch_max;
            r->rng.state = seed + i;
            e = replica_merge_add(&m, r);
        }
        do {
            if (e == OK) e = replica_merge_batch(&m, &b, &why);
            if (e == OK) take(g, &b);
        } while (e == OK && b.count > 0);
    }
    replica_merge_fini(&m);
    return e;
}

static void
must_give(struct rig *g, uint32_t count, const int64_t *times_ms)
{
    for (uint32_t batch_max = 1; batch_max <= BATCH_MAX; batch_max += 7) {
        assert_int_equal(run(g, batch_max, batch_max, false, NULL), OK);
        for (uint32_t i = 0; i < count && i < g->got_count; i++) {
            int64_t t_ms = g->got[i].is_marker ? -g->got[i].t_ms : g->got[i].t_ms;
            if (t_ms != times_ms[i]) print_error("sample %u\n", i);
            assert_int_equal(t_ms, times_ms[i]);
        }
        assert_int_equal(g->got_count, count);
    }
}
/* Checks the times of the result; those of markers are negative. */
#define MUST_GIVE(rig, ...)                                            \
    must_give(rig, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), \
              (const int64_t[]){__VA_ARGS__})

/* --- the rules -------------------------------------------------------------------------------- */

/* The rules of the header, with all samples known. */
struct model {
    const struct rig *of;
    uint32_t at[REPLICAS_MAX]; /* the next sample of each replica */
    int current, last;         /* -1: none */
    int64_t last_ms;
    bool ended, chosen, changed;
    uint64_t wary_ms;
    const struct written *value;
    bool may_be_new;
    struct written want[REPLICAS_MAX * SAMPLES_MAX];
    uint32_t want_count;
};

static const struct written *
sample(const struct model *m, int r, uint32_t further)
{
    const struct given *g = &m->of->replicas[r];
    uint32_t i = m->at[r] + further;
    return i < g->count ? &g->samples[i] : NULL;
}

static int
compare_gaps(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Returns the interval; 0: not known. */
static uint64_t
interval(const struct model *m, int r)
{
    const struct written *s = m->of->replicas[r].samples;
    uint64_t gaps[REPLICA_GAPS];
    uint32_t count = 0;
    for (uint32_t i = m->at[r]; i-- > 1 && count < REPLICA_GAPS;) {
        if (s[i].is_marker || s[i - 1].is_marker) continue;
        gaps[count++] = (uint64_t)(s[i].t_ms - s[i - 1].t_ms);
    }
    qsort(gaps, count, sizeof *gaps, compare_gaps);
    return count == 0 ? 0 : gaps[(count - 1) / 2];
}

static void
pass(struct model *m, int r, int64_t until_ms)
{
    while (m->last >= 0 && sample(m, r, 0) != NULL && sample(m, r, 0)->t_ms <= until_ms)
        m->at[r]++;
}

static void
pass_markers(struct model *m, int r, int64_t until_ms)
{
    const struct written *s;
    while ((s = sample(m, r, 0)) != NULL && s->is_marker && s->t_ms <= until_ms)
        m->at[r]++;
}

static bool
is_earlier(const struct model *m, int r, int than)
{
    return than < 0 || sample(m, r, 0)->t_ms < sample(m, than, 0)->t_ms;
}

static void
change(struct model *m, int to)
{
    m->current = to;
    m->chosen = true;
    if (m->last < 0 || m->last == to) return;
    uint64_t a = interval(m, m->last), b = interval(m, to);
    if (a == 0 && b == 0) {
        const struct written *second = sample(m, to, 1);
        b = second == NULL ? UINT64_MAX : (uint64_t)(second->t_ms - sample(m, to, 0)->t_ms);
    }
    m->wary_ms = a > b ? a : b;
    m->changed = true;
}

static int
first_one(const struct model *m)
{
    int earliest = -1;
    for (int r = 0; r < (int)m->of->count; r++)
        if (sample(m, r, 0) != NULL && is_earlier(m, r, earliest)) earliest = r;
    for (int r = 0; earliest >= 0 && r < (int)m->of->count; r++) {
        const struct written *a = sample(m, r, 0), *b = sample(m, r, 1);
        if (a == NULL) continue;
        int64_t late_ms = a->t_ms - sample(m, earliest, 0)->t_ms;
        if (late_ms == 0 || (b != NULL && late_ms <= b->t_ms - a->t_ms)) return r;
    }
    return -1;
}

static int
next_life(struct model *m)
{
    int earliest = -1;
    for (int r = 0; r < (int)m->of->count; r++) {
        pass(m, r, m->last_ms);
        pass_markers(m, r, INT64_MAX);
        if (sample(m, r, 0) != NULL && is_earlier(m, r, earliest)) earliest = r;
    }
    return earliest;
}

static int
fills_gap(struct model *m)
{
    const struct written *next = sample(m, m->current, 0);
    int64_t until_ms = next == NULL ? m->of->max_ms + 1 : next->t_ms, from_ms = m->last_ms;
    uint64_t known = interval(m, m->current);
    int earliest = -1, alive = -1;
    const struct written *second = next == NULL ? NULL : sample(m, m->current, 1);
    if (known == 0 && second != NULL) known = (uint64_t)(second->t_ms - next->t_ms);
    if (known > 0 && (uint64_t)(until_ms - from_ms) <= 2 * known) return -1;
    if (known > FILLED_INTERVAL_MS_MAX) from_ms += 2 * (int64_t)known;
    for (int r = 0; r < (int)m->of->count; r++) {
        if (r == m->current) continue;
        pass(m, r, from_ms);
        const struct written *a = sample(m, r, 0), *b = sample(m, r, 1);
        if (a == NULL || a->t_ms >= until_ms) continue;
        if (known == 0 && next != NULL && (b == NULL || b->t_ms >= until_ms)) continue;
        if (is_earlier(m, r, earliest)) earliest = r;
        if (!a->is_marker && is_earlier(m, r, alive)) alive = r;
    }
    bool soon =
        known > 0 && alive >= 0 && (uint64_t)(sample(m, alive, 0)->t_ms - m->last_ms) <= 2 * known;
    return soon ? alive : earliest;
}

static int
outlives_marker(struct model *m)
{
    int64_t marker_ms = sample(m, m->current, 0)->t_ms;
    int earliest = -1;
    for (int r = 0; r < (int)m->of->count; r++) {
        if (r == m->current) continue;
        pass(m, r, m->last_ms);
        pass_markers(m, r, marker_ms);
        const struct written *a = sample(m, r, 0);
        if (a != NULL && a->t_ms <= marker_ms && is_earlier(m, r, earliest)) earliest = r;
    }
    return earliest;
}

static bool
is_wary_of(const struct model *m, const struct written *s, bool times_only)
{
    return m->changed && m->value != NULL && s->is_histogram == m->value->is_histogram &&
           !(times_only && !s->is_histogram) && s->hint != RESET_GAUGE &&
           m->value->hint != RESET_GAUGE && (m->may_be_new || s->value < m->value->value) &&
           (uint64_t)(s->t_ms - m->value->t_ms) < m->wary_ms;
}

static void
run_model(struct model *m, const struct rig *of, bool times_only)
{
    *m = (struct model){.of = of, .current = -1, .last = -1};
    for (;;) {
        if (m->current < 0) {
            int r = m->ended ? next_life(m) : first_one(m);
            m->ended = false;
            if (r < 0) return;
            change(m, r);
        }
        int other = m->chosen ? -1 : fills_gap(m);
        const struct written *s = sample(m, m->current, 0);
        if (other < 0 && s == NULL) return;
        if (other < 0 && s->is_marker) other = outlives_marker(m);
        if (other >= 0) {
            change(m, other);
            continue;
        }
        m->at[m->current]++;
        m->chosen = false;
        if (!s->is_marker && is_wary_of(m, s, times_only)) continue;
        struct written *w = &m->want[m->want_count++];
        *w = *s;
        if (m->changed && s->is_histogram && s->hint != RESET_GAUGE) w->hint = RESET_UNKNOWN;
        m->changed = false;
        if (!s->is_marker) {
            m->may_be_new = m->last != m->current || m->value == NULL ||
                            m->value->is_histogram != s->is_histogram || s->value < m->value->value;
            m->value = s;
        }
        m->last = m->current;
        m->last_ms = s->t_ms;
        m->ended = s->is_marker;
        if (s->is_marker) m->current = -1;
    }
}

/* Fills it like a Prometheus that scrapes with some trouble. */
static void
fill(struct given *g, struct rng *rng, int64_t interval_ms)
{
    int64_t t_ms = (int64_t)rng_below(rng, 4 * (uint64_t)interval_ms);
    double value = (double)rng_below(rng, 100);
    uint64_t trouble = 3 + rng_below(rng, 40);
    bool histogram = rng_below(rng, 3) == 0;
    g->count = 0;
    uint32_t count = (uint32_t)rng_below(rng, rng_below(rng, 4) == 0 ? 4 : SAMPLES_MAX);
    while (g->count < count) {
        struct written *w = &g->samples[g->count++];
        *w = (struct written){.t_ms = t_ms, .value = value, .is_histogram = histogram};
        if (histogram && rng_below(rng, 4) == 0) w->hint = (enum reset_hint)rng_below(rng, 4);
        value += (double)rng_below(rng, 10);
        t_ms += rng_below(rng, 3) == 0 ? 1 + (int64_t)rng_below(rng, 2 * (uint64_t)interval_ms)
                                       : interval_ms;
        if (rng_below(rng, trouble) > 0) continue;
        switch (rng_below(rng, 4)) {
        case 0:
            t_ms += (int64_t)rng_below(rng, 20) * interval_ms;
            break;
        case 1:
            w->is_marker = true;
            w->value = 0;
            break;
        case 2:
            value = 0;
            break;
        default:
            histogram = !histogram;
            break;
        }
    }
}

static void
check_all(const struct rig *g, const struct model *m, uint64_t seed)
{
    uint32_t i = 0;
    while (i < g->got_count && i < m->want_count) {
        const struct written *a = &g->got[i], *b = &m->want[i];
        if (a->t_ms != b->t_ms || a->is_marker != b->is_marker || a->value != b->value ||
            a->is_histogram != b->is_histogram || (!a->is_marker && a->hint != b->hint))
            break;
        i++;
    }
    if (i < g->got_count || i < m->want_count) print_error("seed %ju, sample %u\n", seed, i);
    assert_int_equal(i, g->got_count);
    assert_int_equal(i, m->want_count);
}

UNIT_TEST(test_all_rules_hold_however_samples_come_in_batches)
{
    static struct rig g;
    static struct model m;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        struct rng rng = {seed};
        int64_t interval_ms = rng_below(&rng, 8) == 0
                                  ? FILLED_INTERVAL_MS_MAX - 1000 + (int64_t)rng_below(&rng, 2000)
                                  : 1 + (int64_t)rng_below(&rng, 60);
        bool times_only = rng_below(&rng, 8) == 0;
        g.count = 2 + (uint32_t)rng_below(&rng, REPLICAS_MAX - 1);
        g.max_ms = 0;
        g.min_ms = -(int64_t)rng_below(&rng, 40);
        for (uint32_t i = 0; i < g.count; i++) {
            struct given *r = &g.replicas[i];
            fill(r, &rng, interval_ms);
            if (r->count > 0 && r->samples[r->count - 1].t_ms > g.max_ms)
                g.max_ms = r->samples[r->count - 1].t_ms;
        }
        g.max_ms += (int64_t)rng_below(&rng, 4 * (uint64_t)interval_ms);
        run_model(&m, &g, times_only);
        uint32_t batch_max = 1 + (uint32_t)rng_below(&rng, BATCH_MAX);
        assert_int_equal(run(&g, seed, batch_max, times_only, NULL), OK);
        check_all(&g, &m, seed);
    }
}

/* --- results ---------------------------------------------------------------------------------- */

UNIT_TEST(test_the_first_replica_is_given_alone_while_it_is_alive)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 150; t += 15) {
        if (t != 60) add(&g, 0, 105 + t, 1); /* one scrape is missed */
        add(&g, 1, 100 + t, 2);
    }
    MUST_GIVE(&g, 105, 120, 135, 150, 180, 195, 210, 225, 240);
}

UNIT_TEST(test_other_replicas_are_not_read_if_the_first_has_samples_at_once)
{
    static struct rig g;
    for (int64_t begin_ms = 85; begin_ms <= 110; begin_ms += 5) {
        g = (struct rig){.min_ms = begin_ms};
        for (int64_t t = 0; t < 150; t += 15) {
            add(&g, 0, 110 + t, 1);
            add(&g, 1, 110 + t, 1);
        }
        MUST_GIVE(&g, 110, 125, 140, 155, 170, 185, 200, 215, 230, 245);
        assert_int_equal(g.replicas[1].asked > 0, begin_ms < 95);
    }
}

UNIT_TEST(test_another_replica_fills_silence_and_the_first_stays_replaced)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 300; t += 15) {
        if (t < 60 || t > 120) add(&g, 0, 100 + t, 1);
        add(&g, 1, 107 + t, 1);
    }
    MUST_GIVE(&g, 100, 115, 130, 145, 152, 167, 182, 197, 212, 227, 242, 257, 272, 287, 302, 317,
              332, 347, 362, 377, 392);
}

UNIT_TEST(test_the_end_of_the_time_is_a_silence_after_two_intervals)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 90; t += 15) {
        if (t < 60) add(&g, 0, 100 + t, 1);
        add(&g, 1, 107 + t, 1);
    }
    g.max_ms = 174;
    MUST_GIVE(&g, 100, 115, 130, 145);
    g.max_ms = 175;
    MUST_GIVE(&g, 100, 115, 130, 145, 152, 167, 182);
}

UNIT_TEST(test_a_replica_with_one_sample_does_not_hide_another)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    add(&g, 0, 100, 1);
    for (int64_t t = 0; t < 60; t += 15)
        add(&g, 1, 101 + t, 1);
    MUST_GIVE(&g, 100, 116, 131, 146); /* for a single value it is unknown whether it is new */
    add(&g, 0, 500, 1);
    add(&g, 0, 515, 1);
    MUST_GIVE(&g, 100, 116, 131, 146, 500, 515);
}

UNIT_TEST(test_a_series_ends_when_no_replica_sees_it_any_more)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 60; t += 15) {
        add(&g, 0, 100 + t, 1);
        add(&g, 1, 107 + t, 1);
    }
    add_marker(&g, 0, 160);
    add(&g, 1, 167, 1); /* it still has the series */
    add_marker(&g, 1, 182);
    add(&g, 0, 190, 1); /* and it returns */
    add(&g, 1, 197, 1);
    add(&g, 0, 205, 1);
    MUST_GIVE(&g, 100, 115, 130, 145, 152, 167, -182, 190, 205);
}

UNIT_TEST(test_where_all_are_gone_the_first_marker_is_given)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 60; t += 15) {
        add(&g, 0, 100 + t, 1);
        add(&g, 1, 93 + t, 1);
    }
    add_marker(&g, 0, 160);
    add_marker(&g, 1, 153);
    MUST_GIVE(&g, 100, 115, 130, 145, -160);
}

/* Returns the increase that rate() computes. */
static double
increase(const struct rig *g)
{
    double sum = 0;
    for (uint32_t i = 1; i < g->got_count; i++) {
        double before = g->got[i - 1].value, now = g->got[i].value;
        sum += now < before ? now : now - before;
    }
    return sum;
}

/*
 * A counter that rises by one each ms, and is reset at times. A replica reads it some time after
 * the one it gives, at most an interval later. They die and come back.
 */
static void
scrape(struct rig *g, uint32_t replica, struct rng *rng, const int64_t *resets,
       uint32_t reset_count)
{
    int64_t interval_ms = 1000, phase_ms = (int64_t)rng_below(rng, 1000);
    bool dead = false;
    for (int64_t t = 10000 + phase_ms; t < 200000; t += interval_ms) {
        if (rng_below(rng, 20) == 0) dead = !dead;
        if (dead) continue;
        int64_t read_ms = t + (int64_t)rng_below(rng, (uint64_t)interval_ms), since_ms = 0;
        for (uint32_t i = 0; i < reset_count && resets[i] <= read_ms; i++)
            since_ms = resets[i];
        add(g, replica, t, (double)(read_ms - since_ms));
    }
}

UNIT_TEST(test_a_counter_has_no_resets_but_its_own)
{
    static struct rig g;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct rng rng = {seed};
        int64_t resets[3];
        uint32_t reset_count = seed % 2 == 0 ? 0 : 3;
        g = (struct rig){.count = 0};
        for (uint32_t i = 0; i < reset_count; i++)
            resets[i] = 40000 + (int64_t)i * 50000 + (int64_t)rng_below(&rng, 20000);
        for (uint32_t i = 0; i < 3; i++)
            scrape(&g, i, &rng, resets, reset_count);
        assert_int_equal(run(&g, seed, BATCH_MAX, false, NULL), OK);
        if (g.got_count == 0) continue;
        uint32_t falls = 0;
        for (uint32_t i = 1; i < g.got_count; i++)
            falls += g.got[i].value < g.got[i - 1].value;
        assert_true(falls <= reset_count);
        /* The result is never more than the real increase; only increases between scrapes
         * are missing. */
        double most = 200000 + 1000 - g.got[0].value;
        assert_true(increase(&g) <= most);
        if (reset_count == 0)
            assert_true(increase(&g) == g.got[g.got_count - 1].value - g.got[0].value);
    }
}

UNIT_TEST(test_a_reset_at_a_change_is_seen_with_all_that_was_counted_since)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 150; t += 15) {
        if (t < 45) add(&g, 0, 100 + t, 1000 + (double)t);
        if (t < 30) add(&g, 1, 101 + t, 1001 + (double)t);
        if (t >= 30) add(&g, 1, 101 + t, (double)t - 20); /* reset at 30 */
    }
    MUST_GIVE(&g, 100, 115, 130, 146, 161, 176, 191, 206, 221, 236);
    assert_true(increase(&g) == 30 + 115);
}

UNIT_TEST(test_the_hint_of_a_histogram_after_a_change_is_not_the_other_replicas)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 150; t += 15) {
        if (t < 60) add(&g, 0, 100 + t, 5);
        add(&g, 1, 107 + t, 7);
    }
    for (uint32_t r = 0; r < 2; r++) {
        for (uint32_t i = 0; i < g.replicas[r].count; i++) {
            g.replicas[r].samples[i].is_histogram = true;
            g.replicas[r].samples[i].hint = RESET_NO;
        }
    }
    MUST_GIVE(&g, 100, 115, 130, 145, 152, 167, 182, 197, 212, 227, 242);
    for (uint32_t i = 0; i < g.got_count; i++)
        assert_int_equal(g.got[i].hint, g.got[i].t_ms == 152 ? RESET_UNKNOWN : RESET_NO);
}

UNIT_TEST(test_times_may_be_any)
{
    static struct rig g;
    g = (struct rig){.count = 0};
    g.min_ms = INT64_MIN;
    g.max_ms = INT64_MAX;
    add(&g, 0, INT64_MIN, 1);
    add(&g, 0, INT64_MIN + 1, 1);
    add(&g, 0, INT64_MAX, 1);
    add(&g, 1, INT64_MIN, 1);
    add(&g, 1, 0, 1);
    add(&g, 1, INT64_MAX - 1, 1);
    /* The second replica is silent until 0, and its next sample too far away to be judged
     * by one gap. */
    assert_int_equal(run(&g, 1, 1, false, NULL), OK);
    for (uint32_t i = 1; i < g.got_count; i++)
        assert_true(g.got[i - 1].t_ms < g.got[i].t_ms);
    assert_int_equal(g.got[0].t_ms, INT64_MIN);
}

UNIT_TEST(test_a_failed_allocation_is_an_error)
{
    static struct rig g;
    struct budget budget;
    g = (struct rig){.count = 0};
    for (int64_t t = 0; t < 40; t += 15) {
        add(&g, 0, 110 + t, 5);
        add(&g, 1, 107 + t, 7);
        g.replicas[0].samples[g.replicas[0].count - 1].is_histogram = true;
        g.replicas[1].samples[g.replicas[1].count - 1].is_histogram = true;
    }
    for (uint64_t nth = 1;; nth++) {
        budget_init(&budget, "query", 0, NULL);
        mem_fail_nth(nth, false);
        enum err e = run(&g, 1, 1, false, &budget);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&budget), 0);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) {
            assert_true(nth > 2);
            break;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_rules_hold_however_samples_come_in_batches),
        cmocka_unit_test(test_the_first_replica_is_given_alone_while_it_is_alive),
        cmocka_unit_test(test_other_replicas_are_not_read_if_the_first_has_samples_at_once),
        cmocka_unit_test(test_another_replica_fills_silence_and_the_first_stays_replaced),
        cmocka_unit_test(test_the_end_of_the_time_is_a_silence_after_two_intervals),
        cmocka_unit_test(test_a_replica_with_one_sample_does_not_hide_another),
        cmocka_unit_test(test_a_series_ends_when_no_replica_sees_it_any_more),
        cmocka_unit_test(test_where_all_are_gone_the_first_marker_is_given),
        cmocka_unit_test(test_a_counter_has_no_resets_but_its_own),
        cmocka_unit_test(test_a_reset_at_a_change_is_seen_with_all_that_was_counted_since),
        cmocka_unit_test(test_the_hint_of_a_histogram_after_a_change_is_not_the_other_replicas),
        cmocka_unit_test(test_times_may_be_any),
        cmocka_unit_test(test_a_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
