/* sent_series.c - see sent_series.h. */
#include "lib/backend/sent_series.h"

static bool
sent_is_added(const struct sent *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->texts.count; i++)
        if (bytes_equal_text(name, s->added[i].name)) return true;
    return false;
}

/* `number` determines the labels if series must differ. */
static void
sent_make_labels(struct sent *s, struct sent_series *x, uint32_t number)
{
    static const char *const names[SENT_LABELS_MAX] = {"c", "__name__", "a", "b"};
    static const char *const values[] = {"", "1", "2"};
    struct label all[SENT_LABELS_MAX + 2];
    uint32_t first = (uint32_t)rng_below(&s->rng, SENT_LABELS_MAX), count = 0;
    for (uint32_t i = 0; i < SENT_LABELS_MAX; i++) {
        uint64_t value = s->once ? number % 3 : rng_below(&s->rng, 3);
        number /= 3;
        if (!s->once && rng_below(&s->rng, 4) == 0) continue;
        x->labels[x->label_count++] =
            (struct label){bytes_of_text(names[i]), bytes_of_text(values[value])};
    }
    for (uint32_t i = 0; i < x->label_count; i++)
        if (x->labels[i].value.size > 0) all[count++] = x->labels[i];
    test_put_labels(&x->own, all, count);
    count = 0;
    for (uint32_t i = 0; i < x->label_count; i++) {
        const struct label *l = &x->labels[(i + first) % x->label_count];
        test_put_label(&x->fields, l->name, l->value);
        if (l->value.size > 0 && !sent_is_added(s, l->name)) all[count++] = *l;
    }
    for (uint32_t i = 0; i < s->texts.count; i++) {
        all[count++] =
            (struct label){bytes_of_text(s->added[i].name), bytes_of_text(s->added[i].value)};
    }
    test_put_labels(&x->final, all, count);
}

void
sent_make_run(struct sent *s, struct sent_run *run, int64_t *from_ms)
{
    enum sample_kind kind =
        rng_below(&s->rng, 2) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    bool histograms = rng_below(&s->rng, 4) == 0;
    run->count = 1 + (uint32_t)rng_below(&s->rng, SENT_SAMPLES_MAX);
    if (histograms) run->histograms = arena_new(&s->arena, run->count * sizeof *run->histograms);
    for (uint32_t i = 0; i < run->count; i++) {
        *from_ms += 1 + (int64_t)rng_below(&s->rng, 5);
        run->times_ms[i] = *from_ms;
        run->bits[i] = rng_next(&s->rng);
        if (!histograms) continue;
        do {
            run->histograms[i] = random_histogram(&s->rng, &s->arena, kind);
        } while (histogram_check(&run->histograms[i], NULL) != OK);
    }
}

void
sent_init(struct sent *s, uint64_t seed, bool once)
{
    static const char *const added[][2] = {{"b", "x"}, {"d", "y"}, {"__name__", "z"}, {"0", "q"}};
    memset(s, 0, sizeof *s);
    s->rng.state = seed;
    s->once = once;
    arena_init(&s->arena, NULL, 0, 0);
    s->texts = (struct named_texts){s->added, once ? 0 : (uint32_t)rng_below(&s->rng, 3)};
    uint64_t first = rng_below(&s->rng, 4);
    for (uint32_t i = 0; i < s->texts.count; i++) {
        const char *const *pair = added[(first + i) % 4];
        s->added[i] = (struct named_text){pair[0], pair[1]};
    }
    s->count = (uint32_t)rng_below(&s->rng, SENT_MAX + 1);
    for (uint32_t i = 0; i < s->count; i++) {
        struct sent_series *x = &s->series[i];
        buf_init(&x->own, NULL, 4096);
        buf_init(&x->fields, NULL, 4096);
        buf_init(&x->final, NULL, 4096);
        sent_make_labels(s, x, i);
        x->run_count = (uint32_t)rng_below(&s->rng, SENT_RUNS_MAX + 1);
        int64_t from_ms = 0;
        for (uint32_t k = 0; k < x->run_count; k++) {
            if (!once && rng_below(&s->rng, 4) == 0) from_ms = (int64_t)rng_below(&s->rng, 100);
            sent_make_run(s, &x->runs[k], &from_ms);
        }
    }
    bool all = rng_below(&s->rng, 2) == 0;
    s->min_ms = all ? INT64_MIN : (int64_t)rng_below(&s->rng, 100);
    s->max_ms = all ? INT64_MAX : s->min_ms + (int64_t)rng_below(&s->rng, 300);
}

void
sent_fini(struct sent *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        buf_fini(&s->series[i].own);
        buf_fini(&s->series[i].fields);
        buf_fini(&s->series[i].final);
    }
    arena_fini(&s->arena);
}

/* --- the model -------------------------------------------------------------------------------- */

/* The least labels after `after`; `at` is NULL if there are none. */
static struct bytes
sent_next_labels(const struct sent *s, struct bytes after)
{
    struct bytes best = {NULL, 0};
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct bytes labels = buf_bytes(&s->series[i].final);
        if (after.at != NULL && labels_compare(labels, after) <= 0) continue;
        if (!any || labels_compare(labels, best) < 0) best = labels;
        any = true;
    }
    return any && best.size == 0 ? bytes_of("", 0) : best;
}

/* Finds the least time of a series from `from_ms` on; false if there is none. */
static bool
sent_next_time(const struct sent *s, struct bytes labels, int64_t from_ms, int64_t *ret_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct sent_series *x = &s->series[i];
        if (!bytes_equal(buf_bytes(&x->final), labels)) continue;
        for (uint32_t k = 0; k < x->run_count; k++) {
            for (uint32_t n = 0; n < x->runs[k].count; n++) {
                int64_t t = x->runs[k].times_ms[n];
                if (t < from_ms || t < s->min_ms || t > s->max_ms) continue;
                if (any && t >= *ret_ms) continue;
                any = true;
                *ret_ms = t;
            }
        }
    }
    return any;
}

/* True if a sample of the series at that time has this value. */
static bool
sent_has(const struct sent *s, struct bytes labels, const struct sample_batch *b, uint32_t at)
{
    bool found = false;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct sent_series *x = &s->series[i];
        if (!bytes_equal(buf_bytes(&x->final), labels)) continue;
        for (uint32_t k = 0; k < x->run_count; k++) {
            const struct sent_run *run = &x->runs[k];
            for (uint32_t n = 0; n < run->count; n++) {
                if (run->times_ms[n] != b->times_ms[at]) continue;
                if (run->histograms == NULL)
                    found |= b->kind == SAMPLE_FLOAT && b->value_bits[at] == run->bits[n];
                else if (b->kind == run->histograms[n].kind)
                    found |= histogram_equal(&b->histograms[at], &run->histograms[n]) ||
                             same_histogram_bits(&run->histograms[n], &b->histograms[at]);
            }
        }
    }
    return found;
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err
sent_check_samples(struct sent *s, const struct sent_reader *r, struct bytes labels,
                   uint64_t batches, struct why *why)
{
    int64_t from_ms = INT64_MIN, t_ms = 0;
    bool is_wrong = false; /* an error may follow, if all is read */
    for (; batches > 0; batches--) {
        struct sample_batch b;
        enum err e = r->batch(r->of, &b, why);
        if (e) return e;
        for (uint32_t i = 0; i < b.count; i++) {
            assert_true(b.times_ms[i] >= from_ms);
            assert_true(sent_next_time(s, labels, from_ms, &t_ms));
            is_wrong |= b.times_ms[i] != t_ms;
            assert_true(sent_has(s, labels, &b, i));
            from_ms = b.times_ms[i] + 1;
        }
        assert_true(s->may_refuse || !is_wrong);
        if (b.count > 0) continue;
        is_wrong |= sent_next_time(s, labels, from_ms, &t_ms);
        assert_true(s->may_refuse || !is_wrong);
        s->is_wrong |= is_wrong;
        return OK;
    }
    return OK;
}

enum err
sent_check(struct sent *s, const struct sent_reader *r, bool skips, struct why *why)
{
    struct bytes labels, expected = {NULL, 0};
    for (;;) {
        enum err e = r->next(r->of, &labels, why);
        if (e) return e;
        expected = sent_next_labels(s, expected);
        while (s->may_refuse && expected.at != NULL && !bytes_equal(labels, expected)) {
            expected = sent_next_labels(s, expected); /* a series that comes too late */
            s->is_wrong = true;
        }
        assert_int_equal(labels.at == NULL, expected.at == NULL);
        assert_true(bytes_equal(labels, expected));
        if (labels.at == NULL) {
            assert_false(s->is_wrong);
            return OK;
        }
        uint64_t batches = skips ? rng_below(&s->rng, 4) : 3;
        e = sent_check_samples(s, r, labels, batches == 3 ? UINT64_MAX : batches, why);
        if (e) return e;
    }
}
