/* merged_test.c - several views read as one, over random series in memory. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/labels.h"
#include "views/stack.h"

enum { VIEWS_MAX = 4, SERIES_MAX = 6, SAMPLES_MAX = 120, BATCH_MAX = 40 };

/* --- a view of what it was given -------------------------------------------------------------- */

struct given_sample {
    int64_t t_ms;
    uint64_t bits; /* bits of a float, or number of a histogram */
    bool is_histogram;
};

struct given_series {
    bool is_there;
    uint32_t count;
    struct given_sample samples[SAMPLES_MAX];
};

struct given {
    struct view view; /* first */
    struct given_series series[SERIES_MAX];
    struct rng rng; /* draws the sizes of batches */
    bool concerns;
    bool has_starts;
    const char *warning; /* may be NULL */
    enum err error;
    unsigned questions, sets;
    struct query_request last;
};

static const char *const names[SERIES_MAX] = {"", "a", "b", "b\1x", "c", "zz"};

static struct bytes
labels_of(unsigned series, uint8_t *room)
{
    struct buf to = {.at = room, .capacity = 64, .limit = 64};
    if (series > 0)
        labels_put(&to, (struct label){bytes_of_text("l"), bytes_of_text(names[series])});
    return buf_bytes(&to);
}

struct given_set {
    struct series_set set; /* first */
    struct given *of;
    unsigned next; /* next series */
    const struct given_series *at;
    uint32_t sample;
    uint8_t room[64];
    int64_t times_ms[BATCH_MAX], starts_ms[BATCH_MAX];
    uint64_t bits[BATCH_MAX];
    struct histogram histograms[BATCH_MAX];
};

static enum err
given_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    (void)why;
    while (s->next < SERIES_MAX && !s->of->series[s->next].is_there)
        s->next++;
    *ret_labels = bytes_of(NULL, 0);
    if (s->next == SERIES_MAX) return OK;
    s->at = &s->of->series[s->next];
    s->sample = 0;
    *ret_labels = labels_of(s->next++, s->room);
    return OK;
}

static enum err
given_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct given_set *s = (struct given_set *)set;
    (void)why;
    uint32_t count = 0, most = 1 + (uint32_t)rng_below(&s->of->rng, BATCH_MAX);
    bool is_histogram = s->sample < s->at->count && s->at->samples[s->sample].is_histogram;
    for (; count < most && s->sample < s->at->count; count++, s->sample++) {
        const struct given_sample *x = &s->at->samples[s->sample];
        if (x->is_histogram != is_histogram) break;
        s->times_ms[count] = x->t_ms;
        s->starts_ms[count] = x->t_ms / 2;
        s->bits[count] = x->bits;
        s->histograms[count] = (struct histogram){.sum_bits = x->bits};
    }
    *ret = (struct sample_batch){.kind = is_histogram ? SAMPLE_HISTOGRAM_INT : SAMPLE_FLOAT,
                                 .count = count,
                                 .times_ms = s->times_ms,
                                 .value_bits = is_histogram ? NULL : s->bits,
                                 .histograms = is_histogram ? s->histograms : NULL,
                                 .starts_ms = s->of->has_starts ? s->starts_ms : NULL};
    return OK;
}

static const char *
given_warning(struct series_set *set, uint32_t index)
{
    return index == 0 ? ((struct given_set *)set)->of->warning : NULL;
}

static void
given_set_free(struct series_set *set)
{
    ((struct given_set *)set)->of->sets--;
    free(set);
}

static enum err
note(struct given *g, const struct query_request *request, struct why *why)
{
    g->questions++;
    g->last = *request;
    return g->error ? why_set(why, g->error, "as told") : OK;
}

static enum err
given_select(struct view *view, const struct query_request *request, struct series_set **ret,
             struct why *why)
{
    static const struct series_set_ops ops = {
        .next = given_next, .batch = given_batch, .warning = given_warning, .free = given_set_free};
    struct given *g = (struct given *)view;
    enum err e = note(g, request, why);
    if (e) return e;
    struct given_set *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->set.ops = &ops;
    s->of = g;
    g->sets++;
    *ret = &s->set;
    return OK;
}

static enum err
given_look_up(struct view *view, enum lookup_kind kind, const struct query_request *request,
              struct bytes name, const struct text_sink *to, struct why *why)
{
    struct given *g = (struct given *)view;
    uint8_t room[64];
    assert_true(bytes_equal_text(name, kind == LOOKUP_VALUES ? "l" : ""));
    enum err e = note(g, request, why);
    for (unsigned i = 0; i < SERIES_MAX && e == OK; i++) {
        if (!g->series[i].is_there) continue;
        e = to->each(to->context,
                     kind == LOOKUP_SERIES ? labels_of(i, room) : bytes_of_text(names[i]));
    }
    if (e == OK && g->warning != NULL) e = to->warning(to->context, g->warning);
    return e;
}

static enum err
given_exemplars(struct view *view, const struct query_request *request,
                const struct exemplar_sink *to, struct why *why)
{
    struct given *g = (struct given *)view;
    uint8_t room[64];
    enum err e = note(g, request, why);
    for (unsigned i = 0; i < SERIES_MAX && e == OK; i++) {
        const struct given_series *s = &g->series[i];
        for (uint32_t k = 0; s->is_there && k < s->count && e == OK; k += 10) {
            struct exemplar x = {.series_labels = labels_of(i, room),
                                 .value_bits = s->samples[k].bits,
                                 .t_ms = s->samples[k].t_ms};
            e = to->each(to->context, &x);
        }
    }
    return e;
}

static enum err
given_metadata(struct view *view, const struct query_request *request, struct bytes family,
               enum err (*each)(void *context, const struct metadata *metadata), void *context,
               struct why *why)
{
    struct given *g = (struct given *)view;
    struct metadata m = {.family = bytes_of_text("f"), .help = bytes_of_text("same")};
    assert_true(bytes_equal_text(family, "f"));
    enum err e = note(g, request, why);
    if (e == OK) e = each(context, &m);
    m.help = bytes_of_text(g->has_starts ? "starts" : "none");
    return e ? e : each(context, &m);
}

static bool
given_concerns(const struct view *view, const struct query_request *request)
{
    (void)request;
    return ((const struct given *)view)->concerns;
}

static void
given_free(struct view *view)
{
    ((struct given *)view)->view.ops = NULL; /* the view seems not to exist */
}

static const struct view_ops given_ops = {
    .select = given_select,
    .exemplars = given_exemplars,
    .metadata = given_metadata,
    .look_up = given_look_up,
    .concerns = given_concerns,
    .free = given_free,
};

/* Makes dense times, so that many are the same; histograms and floats alternate now and then. */
static void
fill_series(struct given_series *s, struct rng *rng)
{
    int64_t t_ms = (int64_t)rng_below(rng, 20), step = 1 + (int64_t)rng_below(rng, 4);
    bool is_histogram = false;
    s->is_there = rng_below(rng, 3) > 0;
    s->count = (uint32_t)rng_below(rng, SAMPLES_MAX);
    for (uint32_t i = 0; i < s->count; i++) {
        if (rng_below(rng, 30) == 0) is_histogram = !is_histogram;
        if (rng_below(rng, 25) == 0) t_ms += 60; /* a gap, which others fill with long runs */
        s->samples[i] = (struct given_sample){t_ms, rng_next(rng), is_histogram};
        t_ms += 1 + (int64_t)rng_below(rng, (uint64_t)step);
    }
}

struct rig {
    struct given given[VIEWS_MAX];
    struct view *views[VIEWS_MAX];
    uint32_t count;
    struct view *merged;
};

static void
rig_new(struct rig *g, uint32_t count, uint64_t seed)
{
    struct rng rng = {seed};
    memset(g, 0, sizeof *g);
    g->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct given *x = &g->given[i];
        x->view.ops = &given_ops;
        x->rng.state = seed + i;
        x->concerns = true;
        x->has_starts = rng_below(&rng, 2) == 0;
        for (unsigned k = 0; k < SERIES_MAX; k++)
            fill_series(&x->series[k], &rng);
        g->views[i] = &x->view;
    }
    assert_int_equal(merged_view_new(g->views, count, NULL, &g->merged, NULL), OK);
}

static void
rig_free(struct rig *g)
{
    view_free(g->merged);
    for (uint32_t i = 0; i < g->count; i++) {
        assert_null(g->given[i].view.ops);
        assert_int_equal(g->given[i].sets, 0);
    }
}

/* --- model ------------------------------------------------------------------------------------ */

/* Returns the sample of a time, from the first view that has one. */
static const struct given_sample *
sample_at(const struct rig *g, unsigned series, int64_t t_ms, uint32_t *ret_view)
{
    for (*ret_view = 0; *ret_view < g->count; ++*ret_view) {
        const struct given_series *s = &g->given[*ret_view].series[series];
        for (uint32_t i = 0; s->is_there && i < s->count; i++)
            if (s->samples[i].t_ms == t_ms) return &s->samples[i];
    }
    return NULL;
}

static bool
anyone_has(const struct rig *g, unsigned series)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->given[i].series[series].is_there) return true;
    return false;
}

/* Checks the current sample of a batch, and all times between the one before and it. */
static void
check_sample(const struct rig *g, unsigned series, const struct sample_batch *b, uint32_t i,
             int64_t *next_ms)
{
    uint32_t from;
    for (; *next_ms < b->times_ms[i]; ++*next_ms)
        assert_null(sample_at(g, series, *next_ms, &from));
    const struct given_sample *x = sample_at(g, series, b->times_ms[i], &from);
    assert_non_null(x);
    assert_int_equal(x->is_histogram, b->kind != SAMPLE_FLOAT);
    assert_true(x->bits == (x->is_histogram ? b->histograms[i].sum_bits : b->value_bits[i]));
    int64_t start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
    assert_int_equal(start_ms, g->given[from].has_starts ? x->t_ms / 2 : 0);
    *next_ms = b->times_ms[i] + 1;
}

static void
check_series(const struct rig *g, unsigned series, struct series_set *set)
{
    struct sample_batch b;
    int64_t next_ms = 0;
    uint32_t from;
    for (;;) {
        assert_int_equal(series_set_batch(set, &b, NULL), OK);
        if (b.count == 0) break;
        for (uint32_t i = 0; i < b.count; i++)
            check_sample(g, series, &b, i, &next_ms);
    }
    for (; next_ms < 20000; next_ms++)
        assert_null(sample_at(g, series, next_ms, &from));
}

UNIT_TEST(test_samples_of_all_come_once_and_the_first_listed_wins)
{
    struct query_request request = {.max_ms = 100000};
    for (uint64_t seed = 0; seed < 60; seed++) {
        static struct rig g;
        struct series_set *set;
        struct bytes labels;
        uint8_t room[64];
        rig_new(&g, 1 + (uint32_t)(seed % VIEWS_MAX), seed);
        assert_int_equal(view_select(g.merged, &request, &set, NULL), OK);
        for (unsigned series = 0; series < SERIES_MAX; series++) {
            if (!anyone_has(&g, series)) continue;
            assert_int_equal(series_set_next(set, &labels, NULL), OK);
            assert_non_null(labels.at);
            assert_true(bytes_equal(labels, labels_of(series, room)));
            if (seed % 5 != 4 || series % 2 == 0) check_series(&g, series, set);
        }
        assert_int_equal(series_set_next(set, &labels, NULL), OK);
        assert_null(labels.at);
        series_set_free(set);
        rig_free(&g);
    }
}

/* --- texts, exemplars, metadata --------------------------------------------------------------- */

struct texts {
    unsigned count, warnings;
    uint8_t room[SERIES_MAX * VIEWS_MAX][64];
    size_t sizes[SERIES_MAX * VIEWS_MAX];
};

static enum err
keep_text(void *context, struct bytes text)
{
    struct texts *t = context;
    memcpy(t->room[t->count], text.at, text.size);
    t->sizes[t->count++] = text.size;
    return OK;
}

static enum err
count_warning(void *context, const char *sentence)
{
    assert_string_equal(sentence, "half of it is gone");
    ((struct texts *)context)->warnings++;
    return OK;
}

UNIT_TEST(test_texts_of_all_come_once_in_order)
{
    static struct rig g;
    for (unsigned what = 0; what < 3; what++) {
        struct query_request request = {.max_ms = 1};
        struct texts got = {0};
        struct text_sink to = {keep_text, &got, count_warning};
        rig_new(&g, 3, what);
        g.given[1].warning = "half of it is gone";
        enum err e = what == 0 ? view_label_names(g.merged, &request, &to, NULL)
                     : what == 1
                         ? view_label_values(g.merged, &request, bytes_of_text("l"), &to, NULL)
                         : view_series(g.merged, &request, &to, NULL);
        assert_int_equal(e, OK);
        assert_int_equal(got.warnings, 1);
        unsigned at = 0;
        for (unsigned series = 0; series < SERIES_MAX; series++) {
            uint8_t room[64];
            if (!anyone_has(&g, series)) continue;
            struct bytes want = what == 2 ? labels_of(series, room) : bytes_of_text(names[series]);
            assert_true(bytes_equal(want, bytes_of(got.room[at], got.sizes[at])));
            at++;
        }
        assert_int_equal(at, got.count);
        got.count = 0;
        request.hints.limit = 1;
        assert_int_equal(view_series(g.merged, &request, &to, NULL), OK);
        assert_int_equal(got.count, 2); /* the second one shows that there are more */
        rig_free(&g);
    }
}

struct exemplars {
    unsigned count;
    struct exemplar last;
    uint8_t room[64];
};

static enum err
check_exemplar(void *context, const struct exemplar *x)
{
    struct exemplars *all = context;
    if (all->count++ > 0) {
        int order = labels_compare(all->last.series_labels, x->series_labels);
        assert_true(order < 0 || (order == 0 && exemplar_compare(&all->last, x) < 0));
    }
    all->last = *x;
    memcpy(all->room, x->series_labels.at, x->series_labels.size);
    all->last.series_labels = bytes_of(all->room, x->series_labels.size);
    return OK;
}

static enum err
keep_help(void *context, const struct metadata *m)
{
    char *helps = context;
    snprintf(helps + strlen(helps), 40, "%.*s ", (int)m->help.size, (const char *)m->help.at);
    return OK;
}

UNIT_TEST(test_exemplars_and_metadata_that_are_the_same_come_once)
{
    static struct rig g;
    struct query_request request = {.max_ms = 1};
    struct exemplars alone = {0}, all = {0};
    char helps[200] = "";
    rig_new(&g, 2, 1);
    struct exemplar_sink one = {.each = check_exemplar, .context = &alone};
    struct exemplar_sink both = {.each = check_exemplar, .context = &all};
    memcpy(g.given[1].series, g.given[0].series, sizeof g.given[0].series);
    assert_int_equal(view_exemplars(&g.given[0].view, &request, &one, NULL), OK);
    assert_int_equal(view_exemplars(g.merged, &request, &both, NULL), OK);
    assert_true(alone.count > 10);
    assert_int_equal(all.count, alone.count);
    g.given[0].has_starts = true;
    g.given[1].has_starts = false;
    assert_int_equal(view_metadata(g.merged, &request, bytes_of_text("f"), keep_help, helps, NULL),
                     OK);
    assert_string_equal(helps, "same starts none ");
    rig_free(&g);
}

/* --- views that are asked, and errors --------------------------------------------------------- */

UNIT_TEST(test_one_that_is_concerned_alone_gets_all_hints)
{
    static struct rig g;
    struct query_request request = {.max_ms = 1, .kind = SELECT_CHUNKS};
    struct series_set *set;
    request.hints.summaries = SUMMARY_COUNT;
    request.hints.shard_count = 3;
    rig_new(&g, 3, 1);
    g.given[0].concerns = g.given[2].concerns = false;
    assert_int_equal(view_select(g.merged, &request, &set, NULL), OK);
    series_set_free(set);
    assert_int_equal(g.given[0].questions + g.given[2].questions, 0);
    assert_int_equal(g.given[1].last.hints.summaries, SUMMARY_COUNT);
    assert_int_equal(g.given[1].last.kind, SELECT_CHUNKS);
    g.given[0].concerns = true;
    assert_int_equal(view_select(g.merged, &request, &set, NULL), OK);
    series_set_free(set);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(g.given[i].last.hints.summaries, 0);
        assert_int_equal(g.given[i].last.hints.shard_count, 3);
        assert_int_equal(g.given[i].last.kind, SELECT_SAMPLES);
    }
    g.given[0].concerns = g.given[1].concerns = false;
    assert_int_equal(view_select(g.merged, &request, &set, NULL), OK);
    series_set_free(set);
    assert_int_equal(g.given[0].questions, 2); /* one of them must be asked to find nothing */
    assert_int_equal(g.given[2].questions, 0);
    rig_free(&g);
}

UNIT_TEST(test_an_error_of_one_is_that_of_the_answer_and_warnings_add_up)
{
    static struct rig g;
    struct query_request request = {.max_ms = 1};
    struct series_set *set;
    struct texts got = {0};
    struct text_sink to = {keep_text, &got, count_warning};
    struct why why;
    rig_new(&g, 3, 1);
    g.given[1].warning = g.given[2].warning = "half of it is gone";
    assert_int_equal(view_select(g.merged, &request, &set, &why), OK);
    assert_string_equal(series_set_warning(set, 1), "half of it is gone");
    assert_null(series_set_warning(set, 2));
    series_set_free(set);
    g.given[2].error = ERR_AGAIN;
    assert_int_equal(view_select(g.merged, &request, &set, &why), ERR_AGAIN);
    assert_string_equal(why.text, "as told");
    assert_int_equal(view_series(g.merged, &request, &to, &why), ERR_AGAIN);
    assert_int_equal(got.count, 0);
    rig_free(&g);
}

UNIT_TEST(test_sets_are_freed_if_there_is_no_memory_to_merge_them)
{
    static struct rig g;
    struct budget budget;
    struct query_control control = {.budget = &budget};
    struct query_request request = {.max_ms = 1, .control = &control};
    struct series_set *set;
    struct why why;
    rig_new(&g, 3, 1);
    budget_init(&budget, "test", 1, NULL);
    assert_int_equal(view_select(g.merged, &request, &set, &why), ERR_NOMEM);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(g.given[i].questions, 1);
        assert_int_equal(g.given[i].sets, 0);
    }
    rig_free(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_of_all_come_once_and_the_first_listed_wins),
        cmocka_unit_test(test_texts_of_all_come_once_in_order),
        cmocka_unit_test(test_exemplars_and_metadata_that_are_the_same_come_once),
        cmocka_unit_test(test_one_that_is_concerned_alone_gets_all_hints),
        cmocka_unit_test(test_an_error_of_one_is_that_of_the_answer_and_warnings_add_up),
        cmocka_unit_test(test_sets_are_freed_if_there_is_no_memory_to_merge_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
