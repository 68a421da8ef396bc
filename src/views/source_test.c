/* source_test.c - another system as a source, over a reader of random series that obeys the
 * request, or does not. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/labels.h"
#include "model/permitted.h"
#include "views/stack.h"

enum { SERIES_MAX = 24, NAMES = 5, SETS_MAX = 3, MATCHERS_MAX = 3 };

static const char *const names[NAMES] = {"__name__", "a", "b", "e", "x"};
static const char *const values[] = {"", "u", "v", "w"};
static const char *const patterns[] = {"", "u", "v|w", ".*", ".+", "u?", "[^v]*"};

/* --- a reader --------------------------------------------------------------------------------- */

struct series {
    const char *values[NAMES]; /* in the other system */
    uint8_t room[256];         /* labels with external ones */
    struct bytes labels;
    int64_t t_ms; /* time of its sample */
};

struct reader {
    struct answerer answerer; /* first */
    struct series series[SERIES_MAX];
    uint32_t count;
    bool obeys;    /* it filters itself */
    bool looks_up; /* it has names, values and series */
    const struct source_options *options;
    int64_t min_ms, max_ms; /* the range that it may be asked for */
    enum err error;
    uint32_t error_after; /* number of series before the error */
    unsigned questions, views, sets, holds;
    unsigned failures; /* reported failures */
    struct why failure;
};

struct reader_view {
    struct view view; /* first */
    struct reader *of;
};

struct reader_set {
    struct series_set set; /* first */
    struct reader *of;
    struct query_request request;
    uint32_t next, given;
    const struct series *last;
    bool drained;
};

static bool
own_labels_match(const struct series *s, const struct query_request *r)
{
    for (uint32_t i = 0; i < r->set_count; i++) {
        bool all = true;
        for (uint32_t k = 0; k < r->sets[i].count; k++) {
            const struct matcher *m = r->sets[i].matchers[k];
            struct bytes value = {NULL, 0};
            for (unsigned n = 0; n < NAMES; n++)
                if (bytes_equal_text(matcher_name(m), names[n]))
                    value = bytes_of_text(s->values[n]);
            all = all && matcher_matches(m, value);
        }
        if (all) return true;
    }
    return r->set_count == 0;
}

/* Checks the requests that readers rely on. */
static void
check_question(struct reader *reader, const struct query_request *r)
{
    const struct source_limits *x = &reader->options->limits;
    reader->questions++;
    assert_true(r->set_count <= 1);
    assert_true(r->min_ms >= reader->min_ms && r->max_ms <= reader->max_ms);
    assert_true(r->hints.shard_count < 2 && r->hints.from_labels.size == 0);
    assert_int_equal(r->hints.summaries, 0);
    assert_true(r->kind == SELECT_SAMPLES || r->kind == SELECT_TIMES);
    for (uint32_t k = 0; r->set_count > 0 && k < r->sets[0].count; k++) {
        for (uint32_t i = 0; i < x->external_count; i++) {
            assert_false(
                bytes_equal(matcher_name(r->sets[0].matchers[k]), x->external_labels[i].name));
        }
    }
}

static bool
is_given(const struct reader *reader, const struct series *s, const struct query_request *r)
{
    bool in_time = s->t_ms >= r->min_ms && s->t_ms <= r->max_ms;
    return in_time && (!reader->obeys || own_labels_match(s, r));
}

static enum err
reader_next(struct series_set *set, struct bytes *ret_labels, struct why *why)
{
    struct reader_set *s = (struct reader_set *)set;
    struct reader *reader = s->of;
    *ret_labels = bytes_of(NULL, 0);
    if (reader->error && s->given == reader->error_after)
        return why_set(why, reader->error, "as told");
    /* External labels make some series the same; the first is returned. */
    while (s->next < reader->count) {
        const struct series *at = &reader->series[s->next++];
        if (!is_given(reader, at, &s->request)) continue;
        if (s->last != NULL && bytes_equal(s->last->labels, at->labels)) continue;
        s->last = at;
        *ret_labels = at->labels.size == 0 ? bytes_of("", 0) : at->labels;
        s->given++;
        s->drained = false;
        return OK;
    }
    return OK;
}

static enum err
reader_batch(struct series_set *set, struct sample_batch *ret, struct why *why)
{
    struct reader_set *s = (struct reader_set *)set;
    static const uint64_t bits = 7;
    (void)why;
    *ret = (struct sample_batch){.count = s->drained ? 0 : 1,
                                 .times_ms = &s->of->series[s->next - 1].t_ms,
                                 .value_bits = &bits};
    s->drained = true;
    return OK;
}

static const char *
reader_warning(struct series_set *set, uint32_t index)
{
    (void)set;
    return index == 0 ? "a word from the reader" : NULL;
}

static void
reader_set_free(struct series_set *set)
{
    ((struct reader_set *)set)->of->sets--;
    free(set);
}

static enum err
reader_select(struct view *view, const struct query_request *r, struct series_set **ret,
              struct why *why)
{
    static const struct series_set_ops ops = {.next = reader_next,
                                              .batch = reader_batch,
                                              .warning = reader_warning,
                                              .free = reader_set_free};
    struct reader *reader = ((struct reader_view *)view)->of;
    check_question(reader, r);
    if (reader->error && reader->error_after == UINT32_MAX)
        return why_set(why, reader->error, "as told");
    struct reader_set *s = calloc(1, sizeof *s);
    s->set.ops = &ops;
    s->of = reader;
    s->request = *r;
    /* The request ends with the call, but its matchers live on. */
    enum {
        KEPT_MAX = 3 * MATCHERS_MAX
    }; /* of the question, of `select` and of what is permitted */
    static struct matcher *kept[SERIES_MAX][KEPT_MAX];
    static struct matcher_set sets[SERIES_MAX];
    static unsigned turn;
    struct matcher_set *mine = &sets[turn % SERIES_MAX];
    if (r->set_count > 0) {
        mine->matchers = kept[turn % SERIES_MAX];
        mine->count = r->sets[0].count;
        assert_true(mine->count <= KEPT_MAX);
        for (uint32_t i = 0; i < mine->count; i++)
            kept[turn % SERIES_MAX][i] = r->sets[0].matchers[i];
        s->request.sets = mine;
        turn++;
    }
    reader->sets++;
    *ret = &s->set;
    return OK;
}

static enum err
reader_look_up(struct view *view, enum lookup_kind kind, const struct query_request *r,
               struct bytes name, const struct text_sink *to, struct why *why)
{
    struct reader *reader = ((struct reader_view *)view)->of;
    enum err e = OK;
    check_question(reader, r);
    if (!reader->looks_up || (!reader->obeys && kind != LOOKUP_SERIES)) return ERR_UNSUPPORTED;
    if (reader->error) return why_set(why, reader->error, "as told");
    for (uint32_t i = reader->count; e == OK && i-- > 0;) { /* in any order */
        const struct series *s = &reader->series[i];
        if (!is_given(reader, s, r)) continue;
        for (unsigned n = 0; kind == LOOKUP_NAMES && n < NAMES && e == OK; n++)
            if (s->values[n][0] != 0) e = to->each(to->context, bytes_of_text(names[n]));
        for (unsigned n = 0; kind == LOOKUP_VALUES && n < NAMES && e == OK; n++) {
            if (!bytes_equal_text(name, names[n]) || s->values[n][0] == 0) continue;
            e = to->each(to->context, bytes_of_text(s->values[n]));
        }
        if (kind == LOOKUP_SERIES) e = to->each(to->context, s->labels);
    }
    return e;
}

static void
reader_view_free(struct view *view)
{
    ((struct reader_view *)view)->of->views--;
    free(view);
}

static enum err
reader_open(struct answerer *answerer, struct query_control *control, struct view **ret,
            struct why *why)
{
    static const struct view_ops ops = {
        .select = reader_select, .look_up = reader_look_up, .free = reader_view_free};
    (void)control, (void)why;
    struct reader_view *v = calloc(1, sizeof *v);
    v->view.ops = &ops;
    v->of = (struct reader *)answerer;
    v->of->views++;
    *ret = &v->view;
    return OK;
}

static void
hold(void *owner)
{
    ((struct reader *)owner)->holds++;
}

static void
release(void *owner)
{
    ((struct reader *)owner)->holds--;
}

static void
note_failure(void *owner, enum err e, const struct why *why)
{
    struct reader *reader = owner;
    assert_true(e != OK && e != ERR_CANCELED && e != ERR_NOMEM);
    reader->failures++;
    reader->failure = *why;
}

/* --- requests --------------------------------------------------------------------------------- */

struct rig {
    struct rng rng;
    struct reader reader;
    struct source_options options;
    struct source_tally tally;
    struct label external[2];
    struct matcher *matchers[64];
    uint32_t matcher_count;
    struct matcher *lists[2 * SETS_MAX][MATCHERS_MAX];
    struct matcher_set sets[SETS_MAX], select[SETS_MAX];
    uint32_t set_count;
    struct query_control control;
    struct view *view;
    struct query_request request;
};

static struct matcher *
random_matcher(struct rig *g)
{
    struct why why;
    struct matcher *m;
    enum matcher_type type = (enum matcher_type)rng_below(&g->rng, 4);
    const char *text =
        type < MATCH_REGEX ? values[rng_below(&g->rng, 4)] : patterns[rng_below(&g->rng, 7)];
    assert_int_equal(matcher_new(type, bytes_of_text(names[rng_below(&g->rng, NAMES)]),
                                 bytes_of_text(text), NULL, &m, &why),
                     OK);
    g->matchers[g->matcher_count++] = m;
    return m;
}

static uint32_t
random_sets(struct rig *g, struct matcher_set *to, struct matcher *(*lists)[MATCHERS_MAX])
{
    uint32_t count = (uint32_t)rng_below(&g->rng, SETS_MAX + 1);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = (struct matcher_set){lists[i], (uint32_t)rng_below(&g->rng, MATCHERS_MAX + 1)};
        for (uint32_t k = 0; k < to[i].count; k++)
            lists[i][k] = random_matcher(g);
    }
    return count;
}

static void
finish_labels(struct rig *g, struct series *s)
{
    struct buf to = {.at = s->room, .capacity = sizeof s->room, .limit = sizeof s->room};
    for (unsigned n = 0; n < NAMES; n++) {
        struct label label = {bytes_of_text(names[n]), bytes_of_text(s->values[n])};
        for (uint32_t i = 0; i < g->options.limits.external_count; i++)
            if (bytes_equal(g->external[i].name, label.name)) label.value = g->external[i].value;
        if (label.value.size > 0) labels_put(&to, label);
    }
    s->labels = buf_bytes(&to);
}

static int
compare_series(const void *a, const void *b)
{
    /* Their labels are inside them, and move with them. */
    const struct series *x = a, *y = b;
    return labels_compare(bytes_of(x->room, x->labels.size), bytes_of(y->room, y->labels.size));
}

static void
rig_begin(struct rig *g, uint64_t seed)
{
    memset(g, 0, sizeof *g);
    g->rng.state = seed;
    struct reader *reader = &g->reader;
    reader->answerer.name = "far";
    static const struct answerer_ops ops = {.open = reader_open};
    reader->answerer.ops = &ops;
    reader->options = &g->options;
    reader->obeys = rng_below(&g->rng, 2) == 0;
    reader->looks_up = rng_below(&g->rng, 2) == 0;
    reader->min_ms = 3;
    reader->max_ms = 90;
    g->options = (struct source_options){.reader = &reader->answerer,
                                         .tally = &g->tally,
                                         .failed = note_failure,
                                         .hold = hold,
                                         .release = release,
                                         .owner = reader};
    struct source_limits *x = &g->options.limits;
    x->name = "far";
    x->external_labels = g->external;
    x->external_count = (uint32_t)rng_below(&g->rng, 3);
    g->external[0] = (struct label){bytes_of_text("e"), bytes_of_text("u")};
    g->external[1] = (struct label){bytes_of_text("b"), bytes_of_text("w")};
    x->select = g->select;
    x->select_count = random_sets(g, g->select, g->lists + SETS_MAX);
    g->set_count = random_sets(g, g->sets, g->lists);
    reader->count = (uint32_t)rng_below(&g->rng, SERIES_MAX);
    for (uint32_t i = 0; i < reader->count; i++) {
        struct series *s = &reader->series[i];
        for (unsigned n = 0; n < NAMES; n++)
            s->values[n] = values[rng_below(&g->rng, 4)];
        s->t_ms = (int64_t)rng_below(&g->rng, 100);
        finish_labels(g, s);
    }
    qsort(reader->series, reader->count, sizeof *reader->series, compare_series);
    for (uint32_t i = 0; i < reader->count; i++)
        reader->series[i].labels.at = reader->series[i].room;
    struct why why;
    assert_int_equal(
        source_view_open(&g->options, reader->min_ms, reader->max_ms, &g->control, &g->view, &why),
        OK);
    g->request = (struct query_request){.tenant = bytes_of_text("t"),
                                        .sets = g->sets,
                                        .set_count = g->set_count,
                                        .min_ms = 0,
                                        .max_ms = 80,
                                        .control = &g->control};
}

static void
rig_end(struct rig *g)
{
    view_free(g->view);
    assert_int_equal(g->reader.views, 0);
    assert_int_equal(g->reader.sets, 0);
    assert_int_equal(g->reader.holds, 0);
    for (uint32_t i = 0; i < g->matcher_count; i++)
        matcher_free(g->matchers[i]);
}

/* --- model ------------------------------------------------------------------------------------ */

static bool
any_set_matches(const struct matcher_set *sets, uint32_t count, struct bytes labels)
{
    for (uint32_t i = 0; i < count; i++) {
        bool all = true;
        for (uint32_t k = 0; k < sets[i].count; k++) {
            const struct matcher *m = sets[i].matchers[k];
            all = all && matcher_matches(m, labels_get(labels, matcher_name(m)));
        }
        if (all) return true;
    }
    return count == 0;
}

static bool
is_right(const struct rig *g, const struct series *s)
{
    const struct source_limits *x = &g->options.limits;
    return s->t_ms >= 3 && s->t_ms <= 80 && any_set_matches(g->sets, g->set_count, s->labels) &&
           any_set_matches(x->select, x->select_count, s->labels);
}

/* Returns the labels of the next matching series; `at` NULL: there are no more. */
static struct bytes
next_right(const struct rig *g, uint32_t *at)
{
    while (*at < g->reader.count) {
        const struct series *s = &g->reader.series[(*at)++];
        if (!is_right(g, s)) continue;
        while (*at < g->reader.count && bytes_equal(g->reader.series[*at].labels, s->labels))
            (*at)++;
        return s->labels.size == 0 ? bytes_of("", 0) : s->labels;
    }
    return bytes_of(NULL, 0);
}

/* Counts the series of different labels that a reader has in the time of the question. */
static uint32_t
count_in_time(const struct rig *g)
{
    const struct series *last = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->reader.count; i++) {
        const struct series *s = &g->reader.series[i];
        if (s->t_ms < 3 || s->t_ms > 80) continue;
        count += last == NULL || !bytes_equal(last->labels, s->labels);
        last = s;
    }
    return count;
}

/* A question returned so many series, each with one sample, and is the only one. */
static void
check_tally(const struct rig *g, uint32_t given)
{
    bool asked = g->reader.questions > 0;
    assert_int_equal(g->tally.questions, asked);
    assert_int_equal(g->tally.series, given);
    assert_int_equal(g->tally.samples, given);
    assert_int_equal(g->tally.failed, 0);
    if (asked && !g->reader.obeys) assert_int_equal(g->tally.filtered, count_in_time(g) - given);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_series_are_those_of_the_question_whatever_the_reader_filters)
{
    static struct rig g;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct series_set *set;
        struct why why;
        uint32_t at = 0, given = 0;
        rig_begin(&g, seed);
        assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
        view_free(g.view); /* a set goes on without it */
        for (;; given++) {
            struct bytes labels = bytes_of_text("not set"), wanted = next_right(&g, &at);
            struct sample_batch batch;
            assert_int_equal(series_set_next(set, &labels, &why), OK);
            if ((labels.at == NULL) != (wanted.at == NULL) || !bytes_equal(labels, wanted))
                fail_msg("seed %u", (unsigned)seed);
            if (labels.at == NULL) break;
            assert_int_equal(series_set_batch(set, &batch, &why), OK);
            assert_int_equal(batch.count, 1);
        }
        check_tally(&g, given);
        series_set_free(set);
        g.view = NULL;
        rig_end(&g);
    }
}

/* Returns the next matching series that is permitted. */
static struct bytes
next_permitted(const struct rig *g, const struct permitted *permitted, uint32_t *at)
{
    struct bytes labels;
    do {
        labels = next_right(g, at);
    } while (labels.at != NULL && !permitted_has(permitted, labels));
    return labels;
}

UNIT_TEST(test_a_restricted_source_returns_permitted_series_only)
{
    static struct rig g;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct series_set *set;
        struct bytes labels = bytes_of("", 0);
        struct why why;
        uint32_t at = 0;
        rig_begin(&g, seed);
        struct matcher *one[] = {random_matcher(&g)}, *two[] = {random_matcher(&g)};
        struct matcher_set sets[] = {{one, 1}, {two, 1}};
        struct permitted permitted = {{{sets, 2}}, 1};
        assert_int_equal(permitted_view_new(g.view, &permitted, NULL, &g.view, &why), OK);
        assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
        while (labels.at != NULL) {
            struct bytes wanted = next_permitted(&g, &permitted, &at);
            assert_int_equal(series_set_next(set, &labels, &why), OK);
            if ((labels.at == NULL) != (wanted.at == NULL) || !bytes_equal(labels, wanted))
                fail_msg("seed %u", (unsigned)seed);
        }
        series_set_free(set);
        rig_end(&g);
    }
}

struct heard {
    struct bytes texts[SERIES_MAX * NAMES];
    uint8_t room[SERIES_MAX * 256];
    size_t used;
    uint32_t count;
    char warning[200];
};

static enum err
hear(void *context, struct bytes text)
{
    struct heard *h = context;
    memcpy(h->room + h->used, text.at, text.size);
    h->texts[h->count++] = bytes_of(h->room + h->used, text.size);
    h->used += text.size;
    return OK;
}

static enum err
hear_warning(void *context, const char *sentence)
{
    snprintf(((struct heard *)context)->warning, 200, "%s", sentence);
    return OK;
}

static void
check_names(const struct rig *g, const struct heard *h, uint64_t seed)
{
    uint32_t at = 0;
    for (unsigned n = 0; n < NAMES; n++) {
        bool any = false;
        for (uint32_t i = 0; i < g->reader.count; i++) {
            const struct series *s = &g->reader.series[i];
            any |= is_right(g, s) && labels_get(s->labels, bytes_of_text(names[n])).size > 0;
        }
        bool heard = at < h->count && bytes_equal_text(h->texts[at], names[n]);
        if (heard != any) fail_msg("seed %u: name %s", (unsigned)seed, names[n]);
        at += heard;
    }
    assert_int_equal(at, h->count);
}

static void
check_values(const struct rig *g, const struct heard *h, const char *name, uint64_t seed)
{
    uint32_t at = 0;
    for (unsigned v = 1; v < 4; v++) {
        bool any = false;
        for (uint32_t i = 0; i < g->reader.count; i++) {
            const struct series *s = &g->reader.series[i];
            any |= is_right(g, s) &&
                   bytes_equal_text(labels_get(s->labels, bytes_of_text(name)), values[v]);
        }
        bool heard = at < h->count && bytes_equal_text(h->texts[at], values[v]);
        if (heard != any) fail_msg("seed %u: value %s of %s", (unsigned)seed, values[v], name);
        at += heard;
    }
    assert_int_equal(at, h->count);
}

/* A look-up of series counts those that do not match, once for each question to the reader. */
static void
check_filtered(const struct rig *g, uint64_t filtered, uint32_t questions)
{
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < g->reader.count; i++) {
        const struct series *s = &g->reader.series[i];
        wrong += s->t_ms >= 3 && s->t_ms <= 80 && !is_right(g, s);
    }
    if (g->reader.looks_up && !g->reader.obeys) assert_int_equal(filtered, wrong * questions);
}

UNIT_TEST(test_names_values_and_series_are_those_of_the_question)
{
    static struct rig g;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct why why;
        static struct heard h;
        struct text_sink to = {hear, &h, hear_warning};
        rig_begin(&g, seed);
        h.count = 0, h.used = 0, h.warning[0] = 0;
        assert_int_equal(view_label_names(g.view, &g.request, &to, &why), OK);
        check_names(&g, &h, seed);
        bool reads = !g.reader.looks_up && g.reader.questions > 0; /* samples */
        assert_string_equal(h.warning, reads ? "a word from the reader" : "");
        for (unsigned n = 0; n < NAMES; n++) {
            h.count = 0, h.used = 0;
            assert_int_equal(
                view_label_values(g.view, &g.request, bytes_of_text(names[n]), &to, &why), OK);
            check_values(&g, &h, names[n], seed);
        }
        h.count = 0, h.used = 0;
        uint64_t filtered = g.tally.filtered;
        uint32_t questions = g.reader.questions, at = 0;
        assert_int_equal(view_series(g.view, &g.request, &to, &why), OK);
        check_filtered(&g, g.tally.filtered - filtered, g.reader.questions - questions);
        for (uint32_t i = 0; i < h.count; i++)
            assert_true(bytes_equal(h.texts[i], next_right(&g, &at)));
        assert_null(next_right(&g, &at).at);
        rig_end(&g);
    }
}

UNIT_TEST(test_shards_are_parts_of_the_whole)
{
    static struct rig g;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint32_t at = 0, right = 0, given = 0;
        struct why why;
        rig_begin(&g, seed);
        while (next_right(&g, &at).at != NULL)
            right++;
        g.request.hints.shard_count = 3;
        for (g.request.hints.shard = 0; g.request.hints.shard < 3; g.request.hints.shard++) {
            struct series_set *set;
            struct bytes labels;
            assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
            for (;; given++) {
                assert_int_equal(series_set_next(set, &labels, &why), OK);
                if (labels.at == NULL) break;
                assert_int_equal(shard_of_labels(labels, 3), g.request.hints.shard);
            }
            series_set_free(set);
        }
        assert_int_equal(given, right);
        rig_end(&g);
    }
}

/* Each series in turn is the first of the requested ones. */
UNIT_TEST(test_series_from_given_labels_on_are_those_of_the_whole)
{
    static struct rig g;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct why why;
        rig_begin(&g, seed);
        for (uint32_t from = 0; from < g.reader.count; from++) {
            struct series_set *set;
            struct bytes labels, wanted;
            uint32_t at = 0;
            g.request.hints.from_labels = g.reader.series[from].labels;
            assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
            do {
                do {
                    wanted = next_right(&g, &at);
                } while (wanted.at != NULL &&
                         labels_compare(wanted, g.request.hints.from_labels) < 0);
                assert_int_equal(series_set_next(set, &labels, &why), OK);
                assert_int_equal(labels.at == NULL, wanted.at == NULL);
                if (wanted.at != NULL) assert_true(bytes_equal(labels, wanted));
            } while (wanted.at != NULL);
            series_set_free(set);
        }
        rig_end(&g);
    }
}

/* Begins a rig with all series, which fails with `error` after `after` series. */
static void
rig_begin_failing(struct rig *g, enum err error, uint32_t after)
{
    rig_begin(g, 4711);
    g->reader.count = 0;
    for (unsigned v = 1; v < 4; v++) {
        struct series *s = &g->reader.series[g->reader.count++];
        for (unsigned n = 0; n < NAMES; n++)
            s->values[n] = n == 1 ? values[v] : "";
        s->t_ms = 50;
        g->options.limits.external_count = 0;
        finish_labels(g, s);
    }
    g->options.limits.select_count = 0;
    g->request.set_count = g->set_count = 0;
    g->reader.error = error;
    g->reader.error_after = after;
}

static enum err
drain(struct series_set *set, uint32_t *ret_series, struct why *why)
{
    struct bytes labels;
    struct sample_batch batch;
    enum err e = series_set_next(set, &labels, why);
    for (*ret_series = 0; e == OK && labels.at != NULL; ++*ret_series) {
        e = series_set_batch(set, &batch, why);
        if (e == OK) e = series_set_next(set, &labels, why);
    }
    return e;
}

UNIT_TEST(test_a_failure_is_named_and_fails_the_answer)
{
    static struct rig g;
    struct why why;
    struct series_set *set;
    uint32_t series;
    rig_begin_failing(&g, ERR_AGAIN, 2);
    g.request.shows_warnings = true;
    assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
    assert_int_equal(drain(set, &series, &why), ERR_AGAIN);
    assert_string_equal(why.text, "source far: as told");
    series_set_free(set);
    assert_int_equal(g.tally.failed, 1);
    assert_int_equal(g.tally.excused, 0);
    assert_int_equal(g.reader.failures, 1);
    assert_string_equal(g.reader.failure.text, "as told");
    rig_end(&g);
}

UNIT_TEST(test_a_failing_optional_source_is_a_warning_if_callers_accept_warnings)
{
    static const enum err excused[] = {ERR_AGAIN, ERR_IO, ERR_CORRUPT, ERR_UNSUPPORTED};
    static struct rig g;
    static struct heard h;
    struct why why;
    struct series_set *set;
    uint32_t series;
    for (unsigned i = 0; i < 8; i++) {
        bool at_once = i % 2 == 1;
        rig_begin_failing(&g, excused[i / 2], at_once ? UINT32_MAX : 2);
        g.options.limits.may_fail = true;
        assert_int_equal(view_select(g.view, &g.request, &set, &why),
                         at_once ? excused[i / 2] : OK);
        if (!at_once) {
            assert_int_equal(drain(set, &series, &why), excused[i / 2]);
            series_set_free(set);
        }
        g.request.shows_warnings = true;
        assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
        assert_int_equal(drain(set, &series, &why), OK);
        assert_int_equal(series, at_once ? 0 : 2);
        assert_string_equal(series_set_warning(set, 0), "source far: as told");
        series_set_free(set);
        assert_int_equal(view_select(g.view, &g.request, &set, NULL), OK);
        assert_int_equal(drain(set, &series, NULL), OK);
        series_set_free(set);
        g.reader.looks_up = g.reader.obeys = true;
        struct text_sink to = {hear, &h, hear_warning};
        h.warning[0] = 0;
        if (excused[i / 2] != ERR_UNSUPPORTED) {
            assert_int_equal(view_series(g.view, &g.request, &to, &why), OK);
            assert_string_equal(h.warning, "source far: as told");
        }
        assert_int_equal(g.reader.failures, g.tally.failed);
        assert_int_equal(g.tally.failed, g.tally.excused + 1); /* the first one is not excused */
        assert_true(g.reader.failures >= 2);
        rig_end(&g);
    }
}

UNIT_TEST(test_an_error_that_ends_the_query_is_never_excused)
{
    static const enum err ends[] = {ERR_CANCELED, ERR_NOMEM, ERR_LIMIT};
    static struct rig g;
    struct why why;
    struct series_set *set;
    uint32_t series;
    for (unsigned i = 0; i < 3; i++) {
        rig_begin_failing(&g, ends[i], 1);
        g.options.limits.may_fail = g.request.shows_warnings = true;
        assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
        assert_int_equal(drain(set, &series, &why), ends[i]);
        series_set_free(set);
        rig_end(&g);
    }
}

UNIT_TEST(test_a_view_gives_at_most_max_samples)
{
    static struct rig g;
    struct why why;
    struct series_set *set;
    uint32_t series;
    rig_begin_failing(&g, OK, 0);
    g.options.limits.samples_max = 3;
    assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
    assert_int_equal(drain(set, &series, &why), OK);
    assert_int_equal(series, 3);
    series_set_free(set);
    assert_int_equal(view_select(g.view, &g.request, &set, &why), OK);
    assert_int_equal(drain(set, &series, &why), ERR_LIMIT);
    assert_string_equal(why.text, "source far: the query reads more than 3 samples (max_samples)");
    series_set_free(set);
    rig_end(&g);
}

UNIT_TEST(test_a_source_that_a_question_does_not_concern_is_not_asked)
{
    static struct rig g;
    struct why why;
    struct matcher *other;
    struct series_set *set;
    uint32_t series;
    rig_begin_failing(&g, OK, 0);
    assert_int_equal(
        matcher_new(MATCH_EQUAL, bytes_of_text("e"), bytes_of_text("w"), NULL, &other, &why), OK);
    struct matcher_set set_of_other = {&other, 1};
    struct bytes tenant = bytes_of_text("someone");
    struct query_request late = g.request, early = g.request, wrong = g.request, stored = g.request;
    late.min_ms = 91, late.max_ms = 100;
    early.min_ms = 0, early.max_ms = 2;
    wrong.sets = &set_of_other, wrong.set_count = 1;
    stored.stored = true;
    assert_true(view_concerns(g.view, &g.request));
    assert_true(view_concerns(g.view, &wrong)); /* "e" may still be any label */
    g.options.limits.external_count = 1;
    const struct query_request *others[] = {&late, &early, &wrong, &stored};
    for (unsigned i = 0; i < 4; i++) {
        assert_false(view_concerns(g.view, others[i]));
        assert_int_equal(view_select(g.view, others[i], &set, &why), OK);
        assert_int_equal(drain(set, &series, &why), OK);
        assert_int_equal(series, 0);
        series_set_free(set);
    }
    g.options.limits.tenants = &tenant;
    g.options.limits.tenant_count = 1;
    assert_false(view_concerns(g.view, &g.request));
    g.request.tenant = tenant;
    assert_true(view_concerns(g.view, &g.request));
    assert_int_equal(g.reader.questions, 0);
    matcher_free(other);
    rig_end(&g);
}

UNIT_TEST(test_a_source_is_not_asked_for_what_its_select_excludes)
{
    static const struct {
        enum matcher_type type;
        const char *pattern;
    } matchers[] = {{MATCH_EQUAL, "x"},    {MATCH_EQUAL, "y"},     {MATCH_NOT_EQUAL, "y"},
                    {MATCH_REGEX, "x|z"},  {MATCH_NOT_REGEX, "z"}, {MATCH_EQUAL, ""},
                    {MATCH_NOT_EQUAL, ""}, {MATCH_REGEX, ".*"}};
    enum { COUNT = sizeof matchers / sizeof *matchers };
    static const char *const job[] = {"", "x", "y", "z", "other"};
    static struct rig g;
    struct matcher *m[COUNT];
    struct why why;
    rig_begin_failing(&g, OK, 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(matcher_new(matchers[i].type, bytes_of_text("job"),
                                     bytes_of_text(matchers[i].pattern), NULL, &m[i], &why),
                         OK);
    }
    for (int i = 0; i < COUNT * COUNT; i++) {
        struct matcher *asked = m[i / COUNT], *own = m[i % COUNT];
        const struct matcher_set sets[] = {{&asked, 1}, {&own, 1}};
        bool any = false, is_exact = matchers[i / COUNT].type == MATCH_EQUAL ||
                                     matchers[i % COUNT].type == MATCH_EQUAL;
        for (int k = 0; k < 5; k++) {
            struct bytes value = bytes_of_text(job[k]);
            any = any || (matcher_matches(asked, value) && matcher_matches(own, value));
        }
        g.options.limits.select = &sets[1];
        g.options.limits.select_count = 1;
        g.request.sets = &sets[0];
        g.request.set_count = 1;
        assert_true(view_concerns(g.view, &g.request) == (any || !is_exact));
    }
    for (int i = 0; i < COUNT; i++)
        matcher_free(m[i]);
    rig_end(&g);
}

UNIT_TEST(test_any_allocation_may_fail)
{
    static struct rig g;
    static struct heard h;
    for (uint64_t nth = 1;; nth++) {
        struct why why;
        struct series_set *set = NULL;
        uint32_t series;
        struct text_sink to = {hear, &h, hear_warning};
        rig_begin(&g, 12);
        h.count = 0, h.used = 0;
        view_free(g.view);
        g.view = NULL;
        mem_fail_nth(nth, false);
        enum err e = source_view_open(&g.options, 3, 90, &g.control, &g.view, &why);
        if (e == OK) e = view_select(g.view, &g.request, &set, &why);
        if (e == OK) e = drain(set, &series, &why);
        if (e == OK) e = view_label_names(g.view, &g.request, &to, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        series_set_free(set);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (g.view == NULL)
            assert_int_equal(source_view_open(&g.options, 3, 90, NULL, &g.view, &why), OK);
        rig_end(&g);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_are_those_of_the_question_whatever_the_reader_filters),
        cmocka_unit_test(test_a_restricted_source_returns_permitted_series_only),
        cmocka_unit_test(test_names_values_and_series_are_those_of_the_question),
        cmocka_unit_test(test_shards_are_parts_of_the_whole),
        cmocka_unit_test(test_series_from_given_labels_on_are_those_of_the_whole),
        cmocka_unit_test(test_a_failure_is_named_and_fails_the_answer),
        cmocka_unit_test(test_a_failing_optional_source_is_a_warning_if_callers_accept_warnings),
        cmocka_unit_test(test_an_error_that_ends_the_query_is_never_excused),
        cmocka_unit_test(test_a_view_gives_at_most_max_samples),
        cmocka_unit_test(test_a_source_that_a_question_does_not_concern_is_not_asked),
        cmocka_unit_test(test_a_source_is_not_asked_for_what_its_select_excludes),
        cmocka_unit_test(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
