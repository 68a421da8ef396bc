/*
 * series_blocks_test.c - series that are read in blocks, compared with a simple model: the result
 * is the content of the store, once, in order, for any store that refuses, mixes and repeats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/fetch/fetch_reader.h"
#include "lib/test.h"
#include "lib/wire/random_labels.h"

enum { KEYS_MAX = 40, SAMPLES_MAX = 60, LABELS_MAX = 4, ROUNDS = 1500 };

struct sample {
    int64_t t_ms, start_ms;
    uint64_t bits;
    const struct histogram *histogram; /* NULL for a float */
};

struct key {
    struct label labels[LABELS_MAX];
    uint32_t label_count;
    struct buf final; /* labels in the model */
    struct sample samples[SAMPLES_MAX];
    uint32_t count;
};

struct store {
    struct rng rng;
    struct budget budget;
    struct arena arena;
    struct named_text added[2];
    struct named_texts texts;
    struct key keys[KEYS_MAX];
    uint32_t count;
    int64_t min_ms, max_ms;
    uint32_t keys_max;
    uint64_t refuses_from; /* samples in one answer */
    bool gives_more;       /* answers exceed the request */
    bool gives_counts;     /* it states the number of samples, which may be wrong */
    bool gives_times;      /* it states the times of the first and last sample */
    uint64_t fetches;
};

static struct why why;

/* --- a store ---------------------------------------------------------------------------------- */

static void
make_labels(struct store *s, struct key *key)
{
    static const char *const names[] = {"c", "__name__", "a", "b"};
    static const char *const values[] = {"", "1", "2"};
    key->label_count = 0;
    uint32_t first = (uint32_t)rng_below(&s->rng, LABELS_MAX);
    for (uint32_t i = 0; i < LABELS_MAX; i++) {
        if (rng_below(&s->rng, 4) == 0) continue;
        key->labels[key->label_count++] =
            (struct label){bytes_of_text(names[(first + i) % LABELS_MAX]),
                           bytes_of_text(values[rng_below(&s->rng, 3)])};
    }
}

static bool
is_added(const struct store *s, struct bytes name)
{
    for (uint32_t i = 0; i < s->texts.count; i++)
        if (bytes_equal_text(name, s->added[i].name)) return true;
    return false;
}

static void
make_final(const struct store *s, struct key *key)
{
    struct label labels[LABELS_MAX + 2];
    uint32_t count = 0;
    for (uint32_t i = 0; i < key->label_count; i++) {
        const struct label *l = &key->labels[i];
        if (l->value.size > 0 && !is_added(s, l->name)) labels[count++] = *l;
    }
    for (uint32_t i = 0; i < s->texts.count; i++) {
        labels[count++] =
            (struct label){bytes_of_text(s->added[i].name), bytes_of_text(s->added[i].value)};
    }
    buf_init(&key->final, NULL, 4096);
    test_put_labels(&key->final, labels, count);
}

/* Returns a time near others, so that many are equal, or any time. */
static int64_t
random_time(struct store *s, unsigned class)
{
    uint64_t near = rng_below(&s->rng, 50);
    switch (class) {
    case 0:
        return INT64_MIN + (int64_t)near;
    case 1:
        return INT64_MAX - (int64_t)near;
    case 2:
        return (int64_t)rng_next(&s->rng);
    case 3: /* both ends of time, and times between */
        return near < 10 ? INT64_MIN : near < 20 ? INT64_MAX : (int64_t)near;
    default:
        return 1000 + (int64_t)near;
    }
}

static const struct histogram *
random_kept(struct store *s)
{
    struct histogram *h = arena_new(&s->arena, sizeof *h);
    enum sample_kind kind =
        rng_below(&s->rng, 2) == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    *h = random_histogram(&s->rng, &s->arena, kind);
    return histogram_check(h, NULL) == OK ? h : NULL;
}

static void
make_samples(struct store *s, struct key *key, unsigned class)
{
    key->count = (uint32_t)rng_below(&s->rng, rng_below(&s->rng, 4) == 0 ? 3 : SAMPLES_MAX);
    bool in_order = rng_below(&s->rng, 2) == 0 && class != 2;
    bool histograms = rng_below(&s->rng, 4) == 0;
    for (uint32_t i = 0; i < key->count; i++) {
        struct sample *x = &key->samples[i];
        *x = (struct sample){.t_ms = in_order ? 1000 + i : random_time(s, class),
                             .bits = rng_next(&s->rng),
                             .start_ms = rng_below(&s->rng, 3) == 0 ? 5 : 0};
        if (histograms && rng_below(&s->rng, 2) == 0) x->histogram = random_kept(s);
    }
}

static void
store_init(struct store *s, uint64_t seed)
{
    static const char *const added[][2] = {{"b", "x"}, {"d", "y"}, {"__name__", "z"}, {"0", "q"}};
    memset(s, 0, sizeof *s);
    s->rng.state = seed;
    struct rng *r = &s->rng;
    budget_init(&s->budget, "test", 0, NULL);
    arena_init(&s->arena, NULL, 0, 0);
    s->texts = (struct named_texts){s->added, (uint32_t)rng_below(r, 3)};
    uint64_t first = rng_below(r, 4);
    for (uint32_t i = 0; i < s->texts.count; i++) {
        const char *const *pair = added[(first + i) % 4];
        s->added[i] = (struct named_text){pair[0], pair[1]};
    }
    s->count = (uint32_t)rng_below(r, KEYS_MAX + 1);
    unsigned class = (unsigned)rng_below(r, 5);
    for (uint32_t i = 0; i < s->count; i++) {
        make_labels(s, &s->keys[i]);
        make_final(s, &s->keys[i]);
        make_samples(s, &s->keys[i], class);
    }
    bool all = rng_below(r, 2) == 0;
    int64_t a = random_time(s, class), b = random_time(s, class);
    s->min_ms = all ? INT64_MIN : a < b ? a : b;
    s->max_ms = all ? INT64_MAX : a < b ? b : a;
    s->keys_max = rng_below(r, 2) == 0 ? 1000 : KEYS_MAX;
    s->refuses_from = rng_below(r, 2) == 0 ? UINT64_MAX : 1 + rng_below(r, 100);
    s->gives_more = rng_below(r, 2) == 0;
    s->gives_counts = rng_below(r, 2) == 0;
    s->gives_times = rng_below(r, 2) == 0;
}

static void
store_fini(struct store *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        buf_fini(&s->keys[i].final);
    arena_fini(&s->arena);
    assert_int_equal(budget_used(&s->budget), 0);
}

static bool
is_in(const struct sample *x, int64_t min_ms, int64_t max_ms)
{
    return x->t_ms >= min_ms && x->t_ms <= max_ms;
}

static uint32_t
key_of(const struct series_blocks *blocks, uint32_t number)
{
    struct bytes key = series_blocks_key(blocks, number);
    uint32_t i;
    assert_int_equal(key.size, sizeof i);
    memcpy(&i, key.at, sizeof i);
    return i;
}

/* Answers with keys in a random order of turns, and the samples of each as they are stored. */
static enum err
fetch(void *context, struct series_blocks *blocks, const struct series_block *block, struct why *w)
{
    struct store *s = context;
    uint32_t at[KEYS_MAX] = {0};
    uint64_t size = 0, left = 0;
    s->fetches++;
    assert_in_range(block->count, 1, s->keys_max);
    assert_true(block->min_ms >= s->min_ms && block->max_ms <= s->max_ms);
    for (uint32_t i = 0; i < block->count; i++) {
        const struct key *key = &s->keys[key_of(blocks, block->first + i)];
        left += key->count;
        for (uint32_t k = 0; k < key->count; k++)
            size += is_in(&key->samples[k], block->min_ms, block->max_ms);
    }
    if (size >= s->refuses_from && block->min_ms < block->max_ms)
        return why_set(w, ERR_FULL, "too much");
    bool mixes = rng_below(&s->rng, 2) == 0;
    for (uint32_t i = 0; left > 0; i = mixes ? (uint32_t)rng_below(&s->rng, block->count) : i) {
        const struct key *key = &s->keys[key_of(blocks, block->first + i)];
        if (at[i] == key->count) {
            i++;
            if (mixes) i = 0;
            continue;
        }
        const struct sample *x = &key->samples[at[i]++];
        left--;
        if (!s->gives_more && !is_in(x, block->min_ms, block->max_ms)) continue;
        uint32_t number = block->first + i;
        enum err e = x->histogram == NULL
                         ? series_blocks_put_float(blocks, number, x->t_ms, x->bits, x->start_ms, w)
                         : series_blocks_put_histogram(blocks, number, x->t_ms, x->histogram,
                                                       x->start_ms, w);
        if (e) return e;
    }
    return OK;
}

/* --- the model -------------------------------------------------------------------------------- */

/* Returns the first sample of the next time, of the keys with these labels; NULL if there is none
 * after `after`. */
static const struct sample *
next_sample(const struct store *s, struct bytes labels, const struct sample *after)
{
    const struct sample *best = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct key *key = &s->keys[i];
        if (!bytes_equal(buf_bytes(&key->final), labels)) continue;
        for (uint32_t k = 0; k < key->count; k++) {
            const struct sample *x = &key->samples[k];
            if (!is_in(x, s->min_ms, s->max_ms)) continue;
            if (after != NULL && x->t_ms <= after->t_ms) continue;
            if (best == NULL || x->t_ms < best->t_ms) best = x;
        }
    }
    return best;
}

/* Returns the least labels after others; `at` is NULL if there are none. */
static struct bytes
next_labels(const struct store *s, struct bytes after)
{
    struct bytes best = {NULL, 0};
    bool any = false;
    for (uint32_t i = 0; i < s->count; i++) {
        struct bytes labels = buf_bytes(&s->keys[i].final);
        if (after.at != NULL && labels_compare(labels, after) <= 0) continue;
        if (!any || labels_compare(labels, best) < 0) best = labels;
        any = true;
    }
    return any && best.size == 0 ? bytes_of("", 0) : best;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
check_batch(const struct store *s, struct bytes labels, const struct sample_batch *b,
            const struct sample **last)
{
    for (uint32_t i = 0; i < b->count; i++) {
        const struct sample *x = *last = next_sample(s, labels, *last);
        assert_non_null(x);
        assert_true(b->times_ms[i] == x->t_ms);
        int64_t start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        assert_true(start_ms == x->start_ms);
        if (x->histogram == NULL) {
            assert_int_equal(b->kind, SAMPLE_FLOAT);
            assert_true(b->value_bits[i] == x->bits);
        } else {
            assert_int_equal(b->kind, x->histogram->kind);
            assert_true(histogram_equal(&b->histograms[i], x->histogram));
        }
    }
}

/* Reads at most `batches` batches. */
static enum err
read_samples(const struct store *s, struct series_blocks *blocks, struct bytes labels,
             uint64_t batches)
{
    const struct sample *last = NULL;
    for (; batches > 0; batches--) {
        struct sample_batch b;
        enum err e = series_blocks_batch(blocks, &b, &why);
        if (e) return e;
        check_batch(s, labels, &b, &last);
        if (b.count > 0) continue;
        assert_null(next_sample(s, labels, last));
        e = series_blocks_batch(blocks, &b, &why); /* it has ended for good */
        assert_int_equal(b.count, 0);
        return e;
    }
    return OK;
}

static void
give_times(struct store *s, struct series_blocks *blocks)
{
    int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;
    for (uint32_t i = 0; i < s->count; i++) {
        for (uint32_t k = 0; k < s->keys[i].count; k++) {
            const struct sample *x = &s->keys[i].samples[k];
            if (!is_in(x, s->min_ms, s->max_ms)) continue;
            if (x->t_ms < min_ms) min_ms = x->t_ms;
            if (x->t_ms > max_ms) max_ms = x->t_ms;
        }
    }
    if (min_ms <= max_ms) series_blocks_narrow(blocks, min_ms, max_ms);
}

static enum err
add_all(struct store *s, struct series_blocks *blocks)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct label labels[FINAL_LABELS_MAX];
        memcpy(labels, s->keys[i].labels, sizeof s->keys[i].labels);
        enum err e =
            series_blocks_add(blocks, labels, s->keys[i].label_count, bytes_of(&i, sizeof i), &why);
        if (e) return e;
        static const uint64_t counts[] = {0, 1, SERIES_BLOCKS_SAMPLES / 3, UINT64_MAX};
        if (s->gives_counts) series_blocks_expect(blocks, counts[rng_below(&s->rng, 4)]);
    }
    if (s->gives_times) give_times(s, blocks);
    return OK;
}

static enum err
read_all(struct store *s, bool skips)
{
    struct series_blocks_options options = {&s->budget,  {&s->texts}, s->min_ms, s->max_ms,
                                            s->keys_max, fetch,       s};
    struct series_blocks *blocks;
    struct bytes labels, expected = {NULL, 0};
    enum err e = series_blocks_new(&options, &blocks, &why);
    if (e) return e;
    e = add_all(s, blocks);
    while (e == OK) {
        e = series_blocks_next(blocks, &labels, &why);
        if (e) break;
        expected = next_labels(s, expected);
        assert_true((labels.at == NULL) == (expected.at == NULL));
        assert_true(bytes_equal(labels, expected));
        if (labels.at == NULL) break;
        uint64_t batches = skips ? rng_below(&s->rng, 4) : UINT64_MAX;
        e = read_samples(s, blocks, labels, batches == 3 ? UINT64_MAX : batches);
    }
    series_blocks_free(blocks);
    return e;
}

UNIT_TEST(test_each_read_returns_the_content_of_the_store)
{
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct store s;
        store_init(&s, seed);
        enum err e = read_all(&s, seed % 3 == 0);
        if (e) fail_msg("seed %llu: %s: %s", (unsigned long long)seed, err_word(e), why.text);
        store_fini(&s);
    }
}

UNIT_TEST(test_each_allocation_may_fail)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        for (uint64_t nth = 1;; nth++) {
            struct store s;
            store_init(&s, seed);
            why.text[0] = '\0';
            mem_fail_nth(nth, false);
            enum err e = read_all(&s, false);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            store_fini(&s);
            if (e != OK && e != ERR_NOMEM) fail_msg("%s: %s", err_word(e), why.text);
            if (e) assert_true(why.text[0] != '\0');
            if (!fired) break;
        }
    }
}

/* --- sizes ------------------------------------------------------------------------------------ */

struct dense {
    uint32_t keys;
    int64_t per_key; /* samples of a key, at 0, 1, ... */
    int64_t at_once; /* samples at each time */
    const struct histogram *histogram;
    bool ignores_times; /* ignores the requested times */
    bool states_all;    /* states the number of samples, and their times */
    uint64_t fetches;
};

static enum err
fetch_dense(void *context, struct series_blocks *blocks, const struct series_block *block,
            struct why *w)
{
    struct dense *d = context;
    d->fetches++;
    for (uint32_t i = 0; i < block->count; i++) {
        for (int64_t k = 0; k < d->per_key; k++) {
            int64_t t = k / d->at_once;
            if (t < block->min_ms || t > block->max_ms) {
                /* returns some samples of other times, too */
                if (!d->ignores_times && k % 1000 != 0) continue;
            }
            enum err e =
                d->histogram == NULL
                    ? series_blocks_put_float(blocks, block->first + i, t, (uint64_t)k, 0, w)
                    : series_blocks_put_histogram(blocks, block->first + i, t, d->histogram, 0, w);
            if (e) return e;
        }
    }
    return OK;
}

static enum err
read_dense(struct dense *d, int64_t max_ms, uint64_t *ret_samples)
{
    static const struct named_texts none = {NULL, 0};
    struct series_blocks_options options = {NULL, {&none}, 0, max_ms, 100, fetch_dense, d};
    struct series_blocks *blocks;
    struct bytes labels;
    *ret_samples = 0;
    d->fetches = 0;
    assert_int_equal(series_blocks_new(&options, &blocks, &why), OK);
    for (uint32_t i = 0; i < d->keys; i++) {
        char name[16];
        struct label label[FINAL_LABELS_MAX];
        snprintf(name, sizeof name, "%05u", i);
        label[0] = (struct label){bytes_of_text("a"), bytes_of_text(name)};
        assert_int_equal(series_blocks_add(blocks, label, 1, bytes_of_text(name), &why), OK);
        if (d->states_all) series_blocks_expect(blocks, (uint64_t)d->per_key);
    }
    if (d->states_all) series_blocks_narrow(blocks, 0, d->per_key - 1);
    enum err e;
    while ((e = series_blocks_next(blocks, &labels, &why)) == OK && labels.at != NULL) {
        struct sample_batch b;
        int64_t next_ms = 0;
        while ((e = series_blocks_batch(blocks, &b, &why)) == OK && b.count > 0) {
            for (uint32_t i = 0; i < b.count; i++)
                assert_int_equal(b.times_ms[i], next_ms++);
            *ret_samples += b.count;
        }
        if (e) break;
    }
    series_blocks_free(blocks);
    return e;
}

UNIT_TEST(test_blocks_that_are_too_large_are_halved)
{
    uint64_t samples;
    struct dense many = {.keys = 400, .per_key = 20000, .at_once = 1};
    assert_int_equal(read_dense(&many, 1 << 20, &samples), OK);
    assert_int_equal(samples, 400 * 20000);
    assert_true(many.fetches < 60);
    struct dense large = {.keys = 2, .per_key = 3 * SERIES_BLOCKS_SAMPLES, .at_once = 1};
    assert_int_equal(read_dense(&large, large.per_key, &samples), OK);
    assert_int_equal(samples, 2 * large.per_key);
    assert_true(large.fetches < 40);
}

UNIT_TEST(test_no_block_is_read_twice_if_its_samples_are_counted)
{
    enum { HALF = SERIES_BLOCKS_SAMPLES / 2 };
    uint64_t samples;
    struct dense many = {.keys = 50, .per_key = HALF / 10, .at_once = 1, .states_all = true};
    assert_int_equal(read_dense(&many, INT64_MAX, &samples), OK);
    assert_int_equal(samples, 50 * many.per_key);
    assert_int_equal(many.fetches, 5);
    struct dense large = {.keys = 3, .per_key = 4 * HALF - 1, .at_once = 1, .states_all = true};
    assert_int_equal(read_dense(&large, INT64_MAX, &samples), OK);
    assert_int_equal(samples, 3 * large.per_key);
    assert_int_equal(large.fetches, 12);
}

UNIT_TEST(test_histograms_of_a_block_are_bounded)
{
    struct hist_span span = {0, 2000};
    int64_t deltas[2000];
    for (int i = 0; i < 2000; i++)
        deltas[i] = i == 0 ? 1000000 : i % 2 == 0 ? -1 : 1;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    h.positive = (struct hist_buckets){&span, 1, 2000, .deltas = deltas};
    for (int64_t i = 0, count = 0; i < 2000; i++)
        h.count += (uint64_t)(count += deltas[i]);
    assert_int_equal(histogram_check(&h, &why), OK);
    uint64_t samples;
    struct dense d = {.keys = 40, .per_key = 1000, .at_once = 1, .histogram = &h};
    assert_int_equal(read_dense(&d, 1 << 20, &samples), OK);
    assert_int_equal(samples, 40 * 1000);
    assert_true(d.fetches < 16); /* 2 kB each; no block but the first is requested twice */
    struct dense all = {
        .keys = 1, .per_key = 20000, .at_once = 1, .histogram = &h, .ignores_times = true};
    assert_int_equal(read_dense(&all, 1 << 20, &samples), OK);
    assert_int_equal(samples, 20000);
}

UNIT_TEST(test_more_at_one_time_than_a_block_can_have_is_an_error)
{
    uint64_t samples;
    struct dense d = {.keys = 1,
                      .per_key = 2 * (SERIES_BLOCKS_SAMPLES + 1),
                      .at_once = SERIES_BLOCKS_SAMPLES + 1};
    assert_int_equal(read_dense(&d, 10, &samples), ERR_LIMIT);
    assert_true(why.text[0] != '\0');
}

UNIT_TEST(test_more_keys_of_one_series_than_a_request_can_name_are_an_error)
{
    struct store s;
    store_init(&s, 1);
    for (uint32_t i = 0; i < s.count; i++)
        buf_fini(&s.keys[i].final);
    s.count = 3;
    s.texts.count = 0;
    s.keys_max = 2;
    for (uint32_t i = 0; i < s.count; i++) {
        s.keys[i].label_count = 0;
        make_final(&s, &s.keys[i]);
    }
    assert_int_equal(read_all(&s, false), ERR_LIMIT);
    assert_non_null(strstr(why.text, "more than 2 series"));
    store_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_read_returns_the_content_of_the_store),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_blocks_that_are_too_large_are_halved),
        cmocka_unit_test(test_no_block_is_read_twice_if_its_samples_are_counted),
        cmocka_unit_test(test_histograms_of_a_block_are_bounded),
        cmocka_unit_test(test_more_at_one_time_than_a_block_can_have_is_an_error),
        cmocka_unit_test(test_more_keys_of_one_series_than_a_request_can_name_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
