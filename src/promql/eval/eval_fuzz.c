/*
 * eval_fuzz.c - random expressions over random series: the input chooses both, or its first line is
 * the expression. Every evaluation ends, and frees its memory. An expression with an answer has the
 * same one
 * - when series are read in three shards;
 * - when no selector gets the matchers of others;
 * - when the expression is printed and read again, except positions;
 * - over a range, at any step, as at that time alone.
 * All of this also holds where the samples are downsampled.
 *
 * SHOW=1 prints the expressions.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "lib/promql/random_store.h"
#include "lib/views/rolled_view.h"
#include "promql/parse/tree.h"
#include "promql/promql.h"
#include "sys/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    BYTES_MAX = 64 << 20, /* memory of a query */
    HELD_MAX = 1 << 17,
    SAMPLES_MAX = 1 << 18,
    CHECKS_MAX = 16, /* the query ends after reading the clock this often */
    STEPS_MAX = 24,
};

#define FAR_MS (INT64_MAX / 2)

struct asked {
    struct random_store store;
    struct view *view; /* of the store, or with its samples downsampled */
    struct rolled_levels levels;
    struct promql_options options;
    struct buf text;
    uint32_t step; /* a step of the range */
};

struct answered {
    struct budget budget;
    struct query_control control;
    struct promql_result *result;
    enum err e;
    struct buf json; /* the whole answer */
    struct buf notes;
    uint64_t samples;
};

enum { NOTES_MAX = 11 }; /* limit for each kind, with the sentence that counts the others */
struct notes_found {
    struct buf items[NOTES_MAX];
    uint32_t count;
};

/* --- a clock that counts how often it is looked at -------------------------------------------- */

static int64_t now_ns;

static int64_t
look_at_clock(struct env *env)
{
    (void)env;
    return ++now_ns;
}

/* --- queries ---------------------------------------------------------------------------------- */

static int64_t
saturated_add(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return b < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static void
choose_times(struct choices *c, struct promql_options *o)
{
    static const int64_t steps_ms[] = {15000, 60000, 1, 7777, 300000, 86400000, 3600000, 1000};
    static const int64_t lookbacks_ms[] = {300000, 300000, 1, 60000, 86400000, 9223372036854};
    static const int64_t bases_ms[] = {0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       0,
                                       -STORE_BASE_MS,
                                       INT64_MAX / 2,
                                       INT64_MIN / 2,
                                       INT64_MAX,
                                       INT64_MIN};
    o->first_ms = saturated_add(choose_text(c, bases_ms), STORE_BASE_MS);
    o->first_ms = saturated_add(o->first_ms, (int64_t)choose(c, 65536) * 20);
    o->step_ms = choose_text(c, steps_ms);
    o->lookback_ms = choose_text(c, lookbacks_ms);
    o->last_ms = saturated_add(o->first_ms, o->step_ms * choose(c, STEPS_MAX));
    o->subquery_step_ms = 60000;
}

static void
keep_store(struct view *view)
{
    (void)view;
}

static void
choose_levels(struct choices *c, struct rolled_levels *levels)
{
    levels->seed = choose(c, 256);
    levels->coarse_until_ms = STORE_BASE_MS + (int64_t)choose(c, 256) * 10000;
    levels->fine_until_ms = levels->coarse_until_ms + (int64_t)choose(c, 256) * 10000;
    levels->whole = choose(c, 2) == 1;
    levels->keeps_correction = choose(c, 2) == 0;
}

static void
asked_init(struct asked *a, const uint8_t *data, size_t size)
{
    static const struct view_ops ops = {.select = random_store_select, .free = keep_store};
    struct choices c = {data, data + size};
    memset(a, 0, sizeof *a);
    buf_init(&a->text, NULL, 1 << 20);
    bool is_text = choose(&c, 32) == 31;
    a->options.tenant = bytes_of_text("a");
    a->options.features = promql_features_of(choose(&c, 8));
    a->step = choose(&c, STEPS_MAX);
    choose_times(&c, &a->options);
    if (is_text) {
        const uint8_t *end = memchr(c.at, '\n', (size_t)(c.end - c.at));
        if (end == NULL) end = c.end;
        buf_put(&a->text, c.at, (size_t)(end - c.at));
        c.at = end;
    } else {
        /* The choices of the store come first and are few, so that more bytes make a longer
         * expression. */
        struct choices stored = {c.end - (c.end - c.at) / 2, c.end};
        c.end = stored.at;
        put_expression(&c, &a->text);
        c = stored;
    }
    random_store_init(&a->store, &c, &ops);
    choose_levels(&c, &a->levels);
    a->view = &a->store.view;
    if (getenv("SHOW") != NULL) printf("%.*s\n", (int)a->text.size, (const char *)a->text.at);
}

static void
asked_fini(struct asked *a)
{
    buf_fini(&a->text);
    random_store_fini(&a->store);
}

/* --- answers ---------------------------------------------------------------------------------- */

static enum err
no_piece(void *context)
{
    (void)context;
    return OK;
}

static void
put_note(void *context, struct bytes sentence)
{
    struct notes_found *to = context;
    if (to->count == NOTES_MAX) return;
    struct buf *note = &to->items[to->count++];
    buf_init(note, NULL, 1 << 20);
    buf_put_bytes(note, sentence);
    buf_put_u8(note, '\n');
}

static int
compare_notes(const void *a, const void *b)
{
    return bytes_compare(buf_bytes(a), buf_bytes(b));
}

/* Appends the notes in a fixed order, as shards may change theirs. */
static void
put_notes(struct answered *r, enum promql_note kind)
{
    struct notes_found found = {.count = 0};
    struct why why;
    enum err e = promql_answer_notes(r->result, kind, false, NULL, put_note, &found, &why);
    assert(e == OK);
    qsort(found.items, found.count, sizeof *found.items, compare_notes);
    for (uint32_t i = 0; i < found.count; i++) {
        /* Notes after the first ten are only counted. */
        if (found.count < NOTES_MAX) buf_put_bytes(&r->notes, buf_bytes(&found.items[i]));
        buf_fini(&found.items[i]);
    }
}

static void
put_answer(struct answered *r, const struct promql_options *options)
{
    struct json json;
    struct promql_answer answer = {
        .result = r->result, .t_ms = options->first_ms, .to = &json, .piece = no_piece};
    json_init(&json, &r->json);
    json_object_open(&json);
    enum err e = promql_answer_put(&answer);
    assert(e == OK);
    json_object_close(&json);
    put_notes(r, PROMQL_WARNING);
    put_notes(r, PROMQL_INFO);
    r->samples = promql_samples(r->result);
}

/* Evaluates. The caller ends the answer with answered_fini(), before it frees the tree. */
static void
ask(struct asked *a, const struct promql_tree *tree, const struct promql_options *wanted,
    struct answered *ret)
{
    static const struct env_ops clock_ops = {.monotonic_ns = look_at_clock};
    static struct env clock = {&clock_ops};
    struct promql_options options = *wanted;
    struct buf error;
    struct why why = {""};
    now_ns = 0;
    memset(ret, 0, sizeof *ret);
    budget_init(&ret->budget, "query", BYTES_MAX, NULL);
    buf_init(&error, &ret->budget, 1 << 20);
    buf_init(&ret->json, NULL, (size_t)1 << 30);
    buf_init(&ret->notes, NULL, 1 << 20);
    ret->control = (struct query_control){.env = &clock,
                                          .deadline_ns = CHECKS_MAX,
                                          .budget = &ret->budget,
                                          .samples_max = SAMPLES_MAX};
    options.control = &ret->control;
    options.budget = &ret->budget;
    options.held_max = HELD_MAX;
    ret->e = promql_run(tree, a->view, &options, &ret->result, &error, &why);
    if (error.size > 0) {
        buf_put_bytes(&ret->notes, buf_bytes(&error));
    } else if (ret->e) {
        assert(why.text[0] != '\0');
        buf_put_text(&ret->notes, why.text);
    }
    assert(ret->e == OK || ret->e == ERR_INPUT || ret->e == ERR_LIMIT || ret->e == ERR_NOMEM ||
           ret->e == ERR_CANCELED);
    buf_fini(&error);
}

/* Evaluates the same with the answer as text, which the result no longer has. */
static void
ask_for_text(struct asked *a, const struct promql_tree *tree, const struct promql_options *options,
             struct answered *ret)
{
    ask(a, tree, options, ret);
    if (ret->e == OK) put_answer(ret, options);
}

static void
answered_fini(struct answered *r)
{
    promql_result_free(r->result);
    assert(budget_used(&r->budget) == 0);
    buf_fini(&r->json);
    buf_fini(&r->notes);
}

static bool
contains(const struct buf *text, const char *what)
{
    return text->size > 0 && memmem(text->at, text->size, what, strlen(what)) != NULL;
}

/* Says whether the error depends on the run and not on the expression. */
static bool
met_limit(const struct answered *r)
{
    return (r->e != OK && r->e != ERR_INPUT) || contains(&r->notes, "query.max_samples");
}

static void
fail(const struct asked *a, const char *what, const struct answered *x, const struct answered *y)
{
    fprintf(stderr, "%s: %.*s\n%lld..%lld step %lld\n", what, (int)a->text.size,
            (const char *)a->text.at, (long long)a->options.first_ms, (long long)a->options.last_ms,
            (long long)a->options.step_ms);
    const struct answered *both[] = {x, y};
    for (unsigned i = 0; i < 2; i++) {
        fprintf(stderr, "%s: %.*s\n%.*s\n", err_word(both[i]->e), (int)both[i]->json.size,
                (const char *)both[i]->json.at, (int)both[i]->notes.size,
                (const char *)both[i]->notes.at);
    }
    abort();
}

static void
check_same(const struct asked *a, const char *what, const struct answered *x,
           const struct answered *y, bool notes)
{
    if (met_limit(x) || met_limit(y)) return;
    if (x->e != y->e ||
        (x->e == OK && (!bytes_equal(buf_bytes(&x->json), buf_bytes(&y->json)) ||
                        (notes && !bytes_equal(buf_bytes(&x->notes), buf_bytes(&y->notes))))))
        fail(a, what, x, y);
}

static void
check_same_samples(const struct asked *a, const char *what, const struct answered *x,
                   const struct answered *y)
{
    if (!met_limit(x) && !met_limit(y) && x->samples != y->samples) fail(a, what, x, y);
}

/* --- comparisons ------------------------------------------------------------------------------ */

static void
check_in_shards(struct asked *a, const struct promql_tree *tree,
                const struct promql_options *options, const struct answered *plain)
{
    struct answered other;
    struct promql_options sharded = *options;
    sharded.shards = 3;
    ask_for_text(a, tree, &sharded, &other);
    check_same(a, "in shards", plain, &other, true);
    check_same_samples(a, "in shards", plain, &other);
    answered_fini(&other);
}

static void
check_counted(struct asked *a, const struct promql_tree *tree, const struct promql_options *options,
              const struct answered *plain)
{
    struct answered other;
    struct promql_options counting = *options;
    counting.counts = true;
    ask_for_text(a, tree, &counting, &other);
    /* A series that need not be read has an info if it is downsampled. */
    check_same(a, "counted", plain, &other, a->view == &a->store.view);
    answered_fini(&other);
}

static void
check_printed(struct asked *a, const struct promql_tree *tree, const struct promql_options *options,
              const struct answered *plain)
{
    struct answered other;
    struct promql_tree *again;
    struct buf lines, error;
    buf_init(&lines, NULL, BYTES_MAX);
    buf_init(&error, NULL, BYTES_MAX);
    tree_print_pretty(tree->root, &lines);
    enum err e = promql_parse(buf_bytes(&lines), NULL, NULL, &again, &error);
    assert(e == OK);
    ask_for_text(a, again, options, &other);
    check_same(a, "printed", plain, &other, false);
    check_same_samples(a, "printed", plain, &other);
    answered_fini(&other);
    promql_free(again);
    buf_fini(&lines);
    buf_fini(&error);
}

/* Says whether the expression chooses by the order of series, which it sorts at one time. */
static bool
is_of_order(const struct asked *a)
{
    static const char *const words[] = {"topk", "bottomk", "limitk", "sort"};
    unsigned count = 0;
    for (size_t at = 0; at < a->text.size; at++) {
        for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
            size_t size = strlen(words[i]);
            count += a->text.size - at >= size &&
                     strncasecmp((const char *)a->text.at + at, words[i], size) == 0;
        }
    }
    return count > 1;
}

/* Says whether the value depends on the start or the end of the range. */
static bool
is_of_range(const struct asked *a)
{
    const struct buf *text = &a->text;
    /* time_before() does not move windows beyond this time. */
    if (a->options.first_ms < -FAR_MS || a->options.last_ms > FAR_MS) return true;
    static const char *const words[] = {"start", "end", "range", "step",
                                        "START", "END", "RANGE", "STEP"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (contains(text, words[i])) return true;
    return false;
}

/* Compares with a tolerance: a sliding window adds in another order. */
static bool
nearly(double a, double b)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    return a == b || fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b));
}

static bool
same_sides(const struct fhist *a, const struct fhist *b)
{
    uint32_t n = fhist_bucket_count(a), m = fhist_bucket_count(b), i = 0, k = 0;
    for (;;) {
        while (i < n && fhist_bucket(a, i).count == 0)
            i++;
        while (k < m && fhist_bucket(b, k).count == 0)
            k++;
        if (i == n || k == m) return i == n && k == m;
        struct fhist_bucket x = fhist_bucket(a, i++), y = fhist_bucket(b, k++);
        if (!nearly(x.lower, y.lower) || !nearly(x.upper, y.upper) || !nearly(x.count, y.count))
            return false;
    }
}

static bool
same_points(const struct promql_point *a, const struct promql_point *b)
{
    if (a->t_ms != b->t_ms || (a->histogram != NULL) != (b->histogram != NULL)) return false;
    if (a->histogram == NULL) return nearly(a->value, b->value);
    return nearly(a->histogram->count, b->histogram->count) &&
           nearly(a->histogram->sum, b->histogram->sum) && same_sides(a->histogram, b->histogram);
}

/* Finds the point at a time of the last returned series. */
static bool
point_at(struct promql_result *result, int64_t t_ms, struct promql_point *ret)
{
    for (unsigned histograms = 0; histograms < 2; histograms++) {
        while (promql_next_point(result, histograms, ret))
            if (ret->t_ms == t_ms) return true;
    }
    return false;
}

struct shown_point {
    struct bytes labels;
    struct promql_point point;
};

static int
compare_shown(const void *a, const void *b)
{
    const struct shown_point *x = a, *y = b;
    return labels_compare(x->labels, y->labels);
}

/* Returns all points at a time, in the order of labels; the caller calls free(). */
static struct shown_point *
points_at(struct promql_result *result, int64_t t_ms, uint32_t *ret_count)
{
    struct shown_point *list = calloc(promql_series_count(result) + 1, sizeof *list);
    struct bytes labels;
    assert(list != NULL);
    *ret_count = 0;
    while (promql_next_series(result, &labels)) {
        struct shown_point *x = &list[*ret_count];
        x->labels = labels;
        *ret_count += point_at(result, t_ms, &x->point);
    }
    qsort(list, *ret_count, sizeof *list, compare_shown);
    for (uint32_t i = 1; i < *ret_count; i++)
        assert(labels_compare(list[i - 1].labels, list[i].labels) < 0);
    return list;
}

static void
print_points(const struct shown_point *list, uint32_t count)
{
    struct buf line;
    buf_init(&line, NULL, BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        labels_print(&line, list[i].labels);
        buf_printf(&line, " %.17g ", list[i].point.value);
        if (list[i].point.histogram != NULL) fhist_print(list[i].point.histogram, &line);
        buf_put_u8(&line, '\n');
    }
    fprintf(stderr, "%.*s\n", (int)line.size, (const char *)line.at);
    buf_fini(&line);
}

static void
compare_points(const struct asked *a, struct answered *range, struct answered *once, int64_t t_ms)
{
    uint32_t n, m;
    struct shown_point *x = points_at(range->result, t_ms, &n);
    struct shown_point *y = points_at(once->result, t_ms, &m);
    bool same = n == m;
    for (uint32_t i = 0; i < n && same; i++)
        same = bytes_equal(x[i].labels, y[i].labels) && same_points(&x[i].point, &y[i].point);
    if (!same) {
        print_points(x, n);
        print_points(y, m);
        fail(a, "at once", range, once);
    }
    free(x);
    free(y);
}

static void
check_at_once(struct asked *a, const struct promql_tree *tree)
{
    struct answered range, once;
    struct promql_options at = a->options;
    uint64_t steps = ((uint64_t)at.last_ms - (uint64_t)at.first_ms) / (uint64_t)at.step_ms;
    at.first_ms += (int64_t)(a->step % (steps + 1)) * at.step_ms;
    at.step_ms = 0;
    ask(a, tree, &a->options, &range);
    ask(a, tree, &at, &once);
    if (range.e == OK && !met_limit(&once)) {
        if (once.e) fail(a, "at once", &range, &once);
        compare_points(a, &range, &once, at.first_ms);
    }
    answered_fini(&range);
    answered_fini(&once);
}

static void
check(struct asked *a, const struct promql_tree *tree)
{
    struct answered plain, range;
    struct promql_options once = a->options;
    struct buf error;
    buf_init(&error, NULL, 1 << 20);
    once.step_ms = 0;
    ask_for_text(a, tree, &once, &plain);
    check_in_shards(a, tree, &once, &plain);
    check_counted(a, tree, &once, &plain);
    check_printed(a, tree, &once, &plain);
    answered_fini(&plain);
    if (promql_has_range(tree, &error)) {
        ask_for_text(a, tree, &a->options, &range);
        check_in_shards(a, tree, &a->options, &range);
        check_counted(a, tree, &a->options, &range);
        if (range.e == OK && !is_of_range(a) && !is_of_order(a)) check_at_once(a, tree);
        answered_fini(&range);
    }
    buf_fini(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct asked asked;
    struct promql_tree *tree;
    struct buf error;
    buf_init(&error, NULL, BYTES_MAX);
    asked_init(&asked, data, size);
    if (promql_parse(buf_bytes(&asked.text), NULL, NULL, &tree, &error) == OK) {
        check(&asked, tree);
        asked.view = rolled_view_new(asked.view, &asked.levels);
        check(&asked, tree);
        view_free(asked.view);
        promql_free(tree);
    } else if (getenv("SHOW") != NULL) {
        printf("%.*s\n", (int)error.size, (const char *)error.at);
    }
    asked_fini(&asked);
    buf_fini(&error);
    return 0;
}
