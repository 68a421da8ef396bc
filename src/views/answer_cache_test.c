/* answer_cache_test.c - cached answers are those of the store, as it was a short time ago. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/labels.h"
#include "sys/sim.h"
#include "views/answer_cache.h"

enum { SERIES = 6, SAMPLES_MAX = 400, BATCH_MAX = 7 };
#define MINUTE ((int64_t)60 * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define DIR    "/cache"

static struct sim_env *sim;
static struct env *env;

/* --- a store ---------------------------------------------------------------------------------- */

struct sample {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
};

static struct store {
    struct answerer answerer; /* first */
    struct sample samples[SERIES][SAMPLES_MAX];
    uint32_t counts[SERIES];
    bool is_histogram[SERIES];
    unsigned questions;
    int64_t asked_min_ms, asked_max_ms;
    uint32_t fail_after; /* number of series; UINT32_MAX: never */
    bool warns;
} store;

struct store_set {
    struct series_set set;
    struct query_request request;
    uint32_t series, at, given;
    char name[8];
    struct buf labels;
    int64_t times[BATCH_MAX], starts[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    struct histogram histograms[BATCH_MAX];
};

static void
name_of(uint32_t series, char name[8])
{
    snprintf(name, 8, "s%u", series);
}

static bool
has_samples(uint32_t series, const struct query_request *r)
{
    for (uint32_t i = 0; i < store.counts[series]; i++) {
        int64_t t_ms = store.samples[series][i].t_ms;
        if (t_ms >= r->min_ms && t_ms <= r->max_ms) return true;
    }
    return false;
}

static enum err
store_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct store_set *s = (struct store_set *)set;
    *ret_labels = bytes_of(NULL, 0);
    if (s->given++ >= store.fail_after) return why_set(why, ERR_AGAIN, "as told");
    while (s->series < SERIES && !has_samples(s->series, &s->request))
        s->series++;
    if (s->series == SERIES) return OK;
    name_of(s->series, s->name);
    buf_clear(&s->labels);
    labels_put(&s->labels, (struct label){bytes_of_text("__name__"), bytes_of_text(s->name)});
    if (buf_error(&s->labels)) return why_set(why, ERR_NOMEM, "as told");
    *ret_labels = buf_bytes(&s->labels);
    s->series++;
    s->at = 0;
    return OK;
}

static enum err
store_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct store_set *s = (struct store_set *)set;
    uint32_t series = s->series - 1, count = 0;
    bool histogram = store.is_histogram[series];
    (void)why;
    for (; s->at < store.counts[series] && count < BATCH_MAX; s->at++) {
        const struct sample *x = &store.samples[series][s->at];
        if (x->t_ms < s->request.min_ms || x->t_ms > s->request.max_ms) continue;
        s->times[count] = x->t_ms;
        s->starts[count] = x->start_ms;
        s->bits[count] = x->bits;
        s->histograms[count] =
            (struct histogram){.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = x->bits};
        count++;
    }
    *ret = (struct sample_batch){.kind = histogram ? SAMPLE_HISTOGRAM_INT : SAMPLE_FLOAT,
                                 .count = count,
                                 .times_ms = s->times,
                                 .value_bits = histogram ? NULL : s->bits,
                                 .histograms = histogram ? s->histograms : NULL,
                                 .starts_ms = series % 3 == 0 ? NULL : s->starts};
    return OK;
}

static const char *
store_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    return store.warns && index == 0 ? "as told" : NULL;
}

static void
store_set_free(struct series_set *set)
{
    buf_fini(&((struct store_set *)set)->labels);
    free(set);
}

static enum err
store_select(struct view *view, const struct query_request *r, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = store_next, .batch = store_batch, .warning = store_warning, .free = store_set_free};
    (void)view, (void)why;
    struct store_set *s = calloc(1, sizeof *s);
    s->set.ops = &ops;
    s->request = *r;
    buf_init(&s->labels, NULL, 1000);
    store.questions++;
    store.asked_min_ms = r->min_ms;
    store.asked_max_ms = r->max_ms;
    *ret = &s->set;
    return OK;
}

static void
store_view_free(struct view *view)
{
    free(view);
}

static enum err
store_open(struct answerer *answerer, struct query_control *control, struct view **ret,
           struct why *why)
{
    static const struct view_ops ops = {.select = store_select, .free = store_view_free};
    (void)answerer, (void)control, (void)why;
    struct view *v = calloc(1, sizeof *v);
    v->ops = &ops;
    *ret = v;
    return OK;
}

static void
store_free(struct answerer *answerer)
{
    (void)answerer;
}

/* Stores samples of the last `days`, every few minutes. */
static void
fill_store(struct rng *random, int64_t now_ms, int64_t days)
{
    static const struct answerer_ops ops = {.open = store_open, .free = store_free};
    memset(&store, 0, sizeof store);
    store.answerer = (struct answerer){.ops = &ops, .name = "store", .no_exemplars = true};
    store.fail_after = UINT32_MAX;
    for (uint32_t i = 0; i < SERIES; i++) {
        int64_t t_ms = now_ms - days * DAY;
        store.is_histogram[i] = i == 2;
        for (uint32_t k = 0; k < SAMPLES_MAX; k++) {
            t_ms += 1 + (int64_t)rng_below(random, (uint64_t)(2 * days * DAY / SAMPLES_MAX));
            if (t_ms > now_ms) break;
            int64_t start_ms = rng_below(random, 2) == 0 ? 0 : t_ms - 5;
            store.samples[i][store.counts[i]++] =
                (struct sample){t_ms, start_ms, rng_next(random) >> 12};
        }
    }
}

/* --- queries ---------------------------------------------------------------------------------- */

static _Atomic uint64_t hits, misses;

static struct answerer *
open_answer_cache(uint64_t identity, int64_t max_age_ms)
{
    struct answer_cache_options options = {.env = env,
                                           .answers = &store.answerer,
                                           .store = identity,
                                           .path = DIR,
                                           .max_bytes = 8 << 20,
                                           .max_age_ms = max_age_ms,
                                           .hits = &hits,
                                           .misses = &misses};
    struct answerer *answerer;
    struct why why = {""};
    assert_int_equal(answer_cache_new(&options, &answerer, &why), OK);
    return answerer;
}

static enum err
ask(struct answerer *answerer, int64_t min_ms, int64_t max_ms, struct series_set **ret)
{
    static struct matcher *m;
    struct why why = {""};
    if (m == NULL) {
        assert_int_equal(matcher_new(MATCH_REGEX, bytes_of_text("__name__"), bytes_of_text("s.*"),
                                     NULL, &m, &why),
                         OK);
    }
    struct matcher_set set = {&m, 1};
    struct query_request r = {.sets = &set, .set_count = 1, .min_ms = min_ms, .max_ms = max_ms};
    enum err e = answerer_select(answerer, &r, ret, &why);
    if (e == OK) assert_string_equal(why.text, "");
    return e;
}

static void
check_row(const struct sample_batch *b, uint32_t row, const struct sample *x, bool histogram,
          bool starts)
{
    assert_true(b->times_ms[row] == x->t_ms);
    assert_int_equal(b->kind == SAMPLE_FLOAT, !histogram);
    assert_true((histogram ? b->histograms[row].sum_bits : b->value_bits[row]) == x->bits);
    int64_t start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[row];
    assert_true(start_ms == (starts ? x->start_ms : 0));
}

/* Reads all of it, of some series only the beginning, and compares it with the store. */
static void
check_answer(struct answerer *answerer, int64_t min_ms, int64_t max_ms, struct rng *random)
{
    struct series_set *set;
    struct bytes labels;
    struct why why = {""};
    char name[8];
    assert_int_equal(ask(answerer, min_ms, max_ms, &set), OK);
    for (uint32_t i = 0; i < SERIES; i++) {
        uint32_t at = 0;
        while (at < store.counts[i] && store.samples[i][at].t_ms < min_ms)
            at++;
        if (at == store.counts[i] || store.samples[i][at].t_ms > max_ms) continue;
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        name_of(i, name);
        assert_true(bytes_equal_text(labels_get(labels, bytes_of_text("__name__")), name));
        bool all = random == NULL || rng_below(random, 4) > 0;
        for (;;) {
            struct sample_batch b;
            assert_int_equal(series_set_batch(set, &b, &why), OK);
            for (uint32_t row = 0; row < b.count; row++) {
                assert_in_range(at, 0, store.counts[i] - 1);
                check_row(&b, row, &store.samples[i][at++], store.is_histogram[i], i % 3 != 0);
            }
            if (b.count == 0) {
                assert_true(at == store.counts[i] || store.samples[i][at].t_ms > max_ms);
                break;
            }
            if (!all) break;
        }
    }
    assert_int_equal(series_set_next(set, &labels, &why), OK);
    assert_null(labels.at);
    assert_null(series_set_warning(set, 0));
    series_set_free(set);
}

static int
set_up(void **state)
{
    (void)state;
    assert_int_equal(sim_env_new(1, &sim), OK);
    env = sim_env_env(sim);
    hits = misses = 0;
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    sim_env_free(sim);
    return 0;
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_second_question_asks_the_store_only_for_what_is_new)
{
    struct rng random = {3};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY);
    check_answer(a, now_ms - 7 * DAY, now_ms, NULL);
    assert_int_equal(store.questions, 1);
    assert_int_equal(misses, 1);
    sim_env_advance_ns(sim, 60 * 1000000000LL);
    check_answer(a, now_ms - 7 * DAY + MINUTE, now_ms + MINUTE, NULL);
    assert_int_equal(store.questions, 2);
    assert_int_equal(hits, 1);
    assert_true(store.asked_min_ms == now_ms - 10 * MINUTE);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    assert_int_equal(store.questions, 2);
    a->ops->free(a);
    a = open_answer_cache(1, DAY); /* another process asks later */
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    assert_int_equal(store.questions, 2);
    a->ops->free(a);
}

UNIT_TEST(test_another_store_s_answers_are_not_given)
{
    struct rng random = {4};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY), *b = open_answer_cache(2, DAY);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    fill_store(&random, now_ms, 7);
    check_answer(b, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    a->ops->free(a);
    b->ops->free(b);
}

/* Asks, and abandons the answer after its first series. */
static void
ask_question(struct answerer *answerer, const char *tenant, struct matcher *const *matchers,
             uint32_t count, int64_t now_ms)
{
    struct series_set *set;
    struct bytes labels;
    struct why why = {""};
    struct matcher_set sets = {matchers, count};
    struct query_request r = {.tenant = bytes_of_text(tenant),
                              .sets = &sets,
                              .set_count = 1,
                              .min_ms = now_ms - 5 * DAY,
                              .max_ms = now_ms - 2 * DAY};
    assert_int_equal(answerer_select(answerer, &r, &set, &why), OK);
    do {
        assert_int_equal(series_set_next(set, &labels, &why), OK);
    } while (labels.at != NULL);
    series_set_free(set);
}

UNIT_TEST(test_a_kept_answer_is_for_the_same_question_only)
{
    static const struct {
        const char *tenant;
        struct {
            enum matcher_type type;
            const char *name, *pattern;
        } matchers[2];
        uint32_t count;
    } questions[] = {
        {"a", {{MATCH_EQUAL, "n", "v"}}, 1},
        {"b", {{MATCH_EQUAL, "n", "v"}}, 1},
        {"", {{MATCH_EQUAL, "n", "v"}}, 1},
        {"a", {{MATCH_NOT_EQUAL, "n", "v"}}, 1},
        {"a", {{MATCH_REGEX, "n", "v"}}, 1},
        {"a", {{MATCH_NOT_REGEX, "n", "v"}}, 1},
        {"a", {{MATCH_EQUAL, "m", "v"}}, 1},
        {"a", {{MATCH_EQUAL, "n", "w"}}, 1},
        {"a", {{MATCH_EQUAL, "nv", ""}}, 1},
        {"an", {{MATCH_EQUAL, "v", "v"}}, 1},
        {"a", {{MATCH_EQUAL, "n", "v"}, {MATCH_EQUAL, "o", "v"}}, 2},
        {"a", {{MATCH_EQUAL, "n", "v"}, {MATCH_EQUAL, "n", "v"}}, 2},
        {"a", {{MATCH_EQUAL, "n", "v"}}, 0},
    };
    struct rng random = {4};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY);
    uint32_t count = sizeof questions / sizeof *questions;
    for (uint32_t i = 0; i < 2 * count; i++) { /* each is asked again */
        struct matcher *matchers[2] = {NULL, NULL};
        for (uint32_t k = 0; k < questions[i % count].count; k++) {
            assert_int_equal(matcher_new(questions[i % count].matchers[k].type,
                                         bytes_of_text(questions[i % count].matchers[k].name),
                                         bytes_of_text(questions[i % count].matchers[k].pattern),
                                         NULL, &matchers[k], NULL),
                             OK);
        }
        ask_question(a, questions[i % count].tenant, matchers, questions[i % count].count, now_ms);
        assert_int_equal(store.questions, i < count ? i + 1 : count);
        matcher_free(matchers[0]);
        matcher_free(matchers[1]);
    }
    a->ops->free(a);
}

UNIT_TEST(test_answers_from_lost_samples_expire_after_max_age)
{
    struct rng random = {5};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, 3 * HOUR);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    fill_store(&random, now_ms, 7);
    sim_env_advance_ns(sim, (3 * HOUR + 1) * 1000000);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    a->ops->free(a);
}

UNIT_TEST(test_young_samples_are_believed_no_longer_than_they_were_old)
{
    struct rng random = {6};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 1);
    struct answerer *a = open_answer_cache(1, DAY);
    check_answer(a, now_ms - 10 * HOUR, now_ms - HOUR, NULL);
    fill_store(&random, now_ms, 1);
    sim_env_advance_ns(sim, (HOUR + 1) * 1000000);
    check_answer(a, now_ms - 10 * HOUR, now_ms - HOUR, NULL);
    assert_int_equal(store.questions, 1);
    a->ops->free(a);
}

UNIT_TEST(test_an_answer_that_failed_or_lacks_something_is_not_kept)
{
    struct rng random = {7};
    int64_t now_ms = env_realtime_ms(env);
    struct series_set *set;
    struct bytes labels = {NULL, 0};
    struct why why = {""};
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY);
    for (unsigned round = 0; round < 3; round++) {
        store.fail_after = round == 0 ? 3 : UINT32_MAX;
        store.warns = round == 1;
        assert_int_equal(ask(a, now_ms - 5 * DAY, now_ms - 2 * DAY, &set), OK);
        enum err e = OK;
        for (unsigned i = 0; e == OK && (i == 0 || labels.at != NULL); i++) {
            if (round == 2 && i == 2) break; /* the client left */
            e = series_set_next(set, &labels, &why);
        }
        assert_int_equal(e, round == 0 ? ERR_AGAIN : OK);
        series_set_free(set);
    }
    store.warns = false;
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    assert_int_equal(hits, 0);
    assert_int_equal(store.questions, 4);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    assert_int_equal(store.questions, 4);
    a->ops->free(a);
}

UNIT_TEST(test_all_times_at_once_can_be_asked_for)
{
    struct rng random = {8};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY);
    for (unsigned i = 0; i < 3; i++) {
        check_answer(a, INT64_MIN, INT64_MAX, NULL);
        check_answer(a, INT64_MIN, now_ms - DAY, NULL);
        check_answer(a, now_ms - 3 * DAY, INT64_MAX, NULL);
    }
    a->ops->free(a);
}

/* --- changes of the directory ----------------------------------------------------------------- */

struct finding {
    char path[FILE_PATH_BYTES];
    uint64_t wanted, seen;
    char dir[FILE_PATH_BYTES];
};

static enum err
visit(void *context, const char *name, bool is_dir)
{
    struct finding *f = context;
    (void)is_dir;
    if (f->seen++ != f->wanted) return OK;
    assert_int_equal(path_join(f->path, sizeof f->path, f->dir, name), OK);
    return OK;
}

/* Finds any file of the directory; returns false if there is none. */
static bool
find_file(struct rng *random, struct finding *f)
{
    for (unsigned tries = 0; tries < 600; tries++) {
        snprintf(f->dir, sizeof f->dir, DIR "/%02x", (unsigned)rng_below(random, 256));
        f->seen = 0;
        f->wanted = rng_below(random, 3);
        f->path[0] = 0;
        enum err e = env_listdir(env, f->dir, visit, f, NULL);
        if (e == OK && f->path[0] != 0) return true;
    }
    return false;
}

static void
do_something(struct rng *random)
{
    struct finding f;
    switch (rng_below(random, 8)) {
    case 0:
        if (find_file(random, &f)) {
            err_ignore(sim_env_damage(sim, f.path, rng_below(random, 300)), "it may be short");
        }
        break;
    case 1:
        if (find_file(random, &f)) assert_int_equal(env_unlink(env, f.path, NULL), OK);
        break;
    case 2:
        assert_int_equal(env_remove_tree(env, DIR, NULL), OK);
        break;
    case 3:
        sim_env_power_loss(sim);
        break;
    case 4:
        sim_env_set_capacity(sim, rng_below(random, 2) == 0 ? 1 << 30 : 64 * 1024);
        break;
    default:
        break;
    }
}

UNIT_TEST(test_whatever_becomes_of_the_directory_no_answer_is_wrong)
{
    struct rng random = {9};
    int64_t begin_ms = env_realtime_ms(env);
    fill_store(&random, begin_ms + 2 * DAY, 40);
    struct answerer *a = open_answer_cache(1, 2 * DAY), *b = open_answer_cache(1, 2 * DAY);
    for (unsigned i = 0; i < 3000; i++) {
        int64_t now_ms = env_realtime_ms(env), scale = rng_below(&random, 3) == 0 ? DAY : HOUR;
        int64_t max_ms = now_ms - (int64_t)rng_below(&random, 20) * scale;
        int64_t min_ms = max_ms - (int64_t)rng_below(&random, 300) * scale / 10;
        do_something(&random);
        check_answer(i % 2 == 0 ? a : b, min_ms, max_ms, &random);
        sim_env_advance_ns(sim, (int64_t)rng_below(&random, 50) * 1000000000);
    }
    assert_true(hits > 100);
    a->ops->free(a);
    b->ops->free(b);
}

UNIT_TEST(test_an_older_copy_of_the_directory_is_believed_no_longer)
{
    struct rng random = {10};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, 3 * HOUR);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    fill_store(&random, now_ms, 7);
    /* The files are those after the question, at a later time; and with a clock that
     * was set back. */
    sim_env_set_realtime_ms(sim, now_ms + 4 * HOUR);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    fill_store(&random, now_ms, 7);
    sim_env_set_realtime_ms(sim, now_ms - HOUR);
    check_answer(a, now_ms - 5 * DAY, now_ms - 2 * DAY, NULL);
    a->ops->free(a);
}

/* Reads all series; counts their samples. */
static enum err
count_samples(struct answerer *answerer, int64_t min_ms, int64_t max_ms, uint64_t *ret_samples)
{
    struct series_set *set;
    struct why why = {""};
    enum err e = ask(answerer, min_ms, max_ms, &set);
    *ret_samples = 0;
    if (e) return e;
    for (;;) {
        struct bytes labels;
        struct sample_batch b = {.count = 1};
        e = series_set_next(set, &labels, &why);
        if (e || labels.at == NULL) break;
        while (e == OK && b.count > 0) {
            e = series_set_batch(set, &b, &why);
            if (e == OK) *ret_samples += b.count;
        }
        if (e) break;
    }
    series_set_free(set);
    return e;
}

UNIT_TEST(test_without_memory_an_answer_is_an_error_or_whole)
{
    struct rng random = {11};
    int64_t now_ms = env_realtime_ms(env);
    fill_store(&random, now_ms, 7);
    struct answerer *a = open_answer_cache(1, DAY);
    uint64_t samples, wanted;
    for (unsigned kept = 0; kept < 2; kept++) {
        assert_int_equal(count_samples(a, now_ms - 5 * DAY, now_ms, &wanted), OK);
        for (uint64_t nth = 1;; nth++) {
            if (!kept) assert_int_equal(env_remove_tree(env, DIR, NULL), OK);
            mem_fail_nth(nth, false);
            enum err e = count_samples(a, now_ms - 5 * DAY, now_ms, &samples);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (e != OK) assert_int_equal(e, ERR_NOMEM);
            if (e == OK) assert_int_equal(samples, wanted);
            check_answer(a, now_ms - 5 * DAY, now_ms, NULL);
            if (!fired) break;
        }
    }
    a->ops->free(a);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_second_question_asks_the_store_only_for_what_is_new),
        TEST(test_another_store_s_answers_are_not_given),
        TEST(test_a_kept_answer_is_for_the_same_question_only),
        TEST(test_answers_from_lost_samples_expire_after_max_age),
        TEST(test_young_samples_are_believed_no_longer_than_they_were_old),
        TEST(test_an_answer_that_failed_or_lacks_something_is_not_kept),
        TEST(test_all_times_at_once_can_be_asked_for),
        TEST(test_whatever_becomes_of_the_directory_no_answer_is_wrong),
        TEST(test_an_older_copy_of_the_directory_is_believed_no_longer),
        TEST(test_without_memory_an_answer_is_an_error_or_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
