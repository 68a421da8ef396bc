/* rule_unit_compare.c - compares expected alerts and results of expressions with the actual
 * ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/quote.h"
#include "cli/rules/rule_unit_private.h"
#include "model/labels.h"

/* --- labels ----------------------------------------------------------------------------------- */

/* Makes a list in `scratch`. */
static enum err
list_of_labels(struct testing *t, struct bytes labels, struct label_list *ret)
{
    uint32_t count = 0;
    struct bytes copy = arena_copy(&t->scratch, labels);
    struct label *items = arena_alloc(&t->scratch, (labels_count(labels) + 1) * sizeof *items);
    if (items == NULL || (copy.at == NULL && labels.size > 0)) return testing_no_memory(t);
    struct cursor c = cursor_of(copy);
    while (labels_next(&c, &items[count])) {
        count++;
    }
    *ret = (struct label_list){items, count};
    return OK;
}

/* Does the same from texts, by name, and `alertname` if it is not NULL. */
static enum err
list_of_texts(struct testing *t, const struct named_texts *texts, const char *alertname,
              struct label_list *ret)
{
    static const char name[] = "alertname";
    uint32_t count = 0;
    bool is_due = alertname != NULL;
    struct label *items = arena_alloc(&t->scratch, (texts->count + 1) * sizeof *items);
    if (items == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < texts->count || is_due; i++) {
        int order = !is_due ? 1 : i == texts->count ? -1 : strcmp(name, texts->items[i].name);
        if (order <= 0) {
            items[count++] = (struct label){bytes_of_text(name), bytes_of_text(alertname)};
            is_due = false;
        }
        if (order == 0 || i == texts->count) continue;
        items[count++] = (struct label){bytes_of_text(texts->items[i].name),
                                        bytes_of_text(texts->items[i].value)};
    }
    *ret = (struct label_list){items, count};
    return OK;
}

/* --- alerts ----------------------------------------------------------------------------------- */

struct firing {
    struct testing *t;
    struct fired_alert *alerts;
    uint32_t count;
    enum err failed;
};

static void
take_alert(void *context, const struct alert *alert)
{
    struct firing *f = context;
    struct testing *t = f->t;
    if (alert->state != ALERT_FIRING || f->failed) return;
    struct fired_alert *alerts = arena_push(&t->scratch, f->alerts, f->count, sizeof *alerts);
    if (alerts == NULL) {
        f->failed = testing_no_memory(t);
        return;
    }
    f->alerts = alerts;
    struct fired_alert *one = &alerts[f->count++];
    one->annotations = (struct label_list){alert->annotations->items, alert->annotations->count};
    f->failed = list_of_labels(t, alert->labels, &one->labels);
}

static int
compare_fired(const void *a, const void *b)
{
    const struct fired_alert *x = a, *y = b;
    int order = label_lists_compare(&x->labels, &y->labels);
    return order != 0 ? order : label_lists_compare(&x->annotations, &y->annotations);
}

static void
sort_fired(struct fired_alert *alerts, uint32_t count)
{
    if (count > 1) qsort(alerts, count, sizeof *alerts, compare_fired);
}

/* Finds the firing alerts of all rules with that name. */
static enum err
find_firing(struct testing *t, const char *name, struct firing *f)
{
    for (uint32_t i = 0; i < t->group_count; i++) {
        const struct rule_group *text = &t->groups[i]->text;
        for (uint32_t k = 0; k < text->rule_count; k++) {
            if (text->rules[k].kind != RULE_ALERTING || strcmp(text->rules[k].name, name) != 0) {
                continue;
            }
            group_each_alert(t->groups[i], k, take_alert, f);
            if (f->failed) return f->failed;
        }
    }
    sort_fired(f->alerts, f->count);
    return OK;
}

static enum err
list_expected(struct testing *t, const struct rule_test_alerts *x, struct fired_alert **ret)
{
    uint32_t count = x->expected.count;
    struct fired_alert *alerts = arena_alloc(&t->scratch, (count + 1) * sizeof *alerts);
    enum err e = alerts == NULL ? testing_no_memory(t) : OK;
    for (uint32_t i = 0; e == OK && i < count; i++) {
        const struct rule_test_alert *from = &x->expected.items[i];
        e = list_of_texts(t, &from->labels, x->alertname, &alerts[i].labels);
        if (e == OK) e = list_of_texts(t, &from->annotations, NULL, &alerts[i].annotations);
    }
    if (e == OK) sort_fired(alerts, count);
    *ret = alerts;
    return e;
}

enum err
compare_alerts(struct testing *t, const struct rule_test_alerts *x)
{
    struct firing got = {.t = t};
    struct fired_alert *expected;
    arena_reset(&t->scratch);
    enum err e = find_firing(t, x->alertname, &got);
    if (e == OK) e = list_expected(t, x, &expected);
    if (e) return e;
    bool same = got.count == x->expected.count;
    for (uint32_t i = 0; same && i < got.count; i++) {
        same = compare_fired(&got.alerts[i], &expected[i]) == 0;
    }
    if (same) return OK;
    if (t->test->name[0] != '\0') buf_printf(&t->text, "    name: %s,\n", t->test->name);
    buf_printf(&t->text, "    alertname: %s, time: ", x->alertname);
    put_duration(&t->text, x->at_ms);
    buf_put_text(&t->text, ", \n        exp:");
    put_alerts(&t->text, expected, x->expected.count);
    buf_put_text(&t->text, ", \n        got:");
    put_alerts(&t->text, got.alerts, got.count);
    return testing_fail(t);
}

/* --- expressions ------------------------------------------------------------------------------ */

/* A query and its results. */
struct unit_query {
    struct promql_tree *tree;
    struct view *view;
    struct promql_result *result;
};

static void
query_end(struct unit_query *q)
{
    promql_result_free(q->result);
    promql_free(q->tree);
    view_free(q->view);
}

/* Runs a query. ERR_INPUT: the failure's text is complete. query_end() is required in any case. */
static enum err
query(struct testing *t, struct bytes expression, int64_t at_ms, struct unit_query *q)
{
    struct buf error;
    struct promql_options options = {
        .first_ms = at_ms,
        .last_ms = at_ms,
        .lookback_ms = LOOKBACK_MS,
        .subquery_step_ms = t->options->evaluation_interval_ms,
        .features = t->options->features,
        .budget = t->memory,
    };
    *q = (struct unit_query){.tree = NULL};
    buf_init(&error, t->memory, TEST_TEXT_BYTES_MAX);
    enum err e = promql_parse(expression, t->memory, NULL, &q->tree, &error);
    if (e == OK && !promql_has_durations(q->tree, &options, &error)) e = ERR_INPUT;
    if (e == OK) e = memory_store_open(t->store, NULL, &q->view, t->why);
    if (e == OK) e = promql_run(q->tree, q->view, &options, &q->result, &error, t->why);
    if (e && e != ERR_NOMEM) {
        struct bytes sentence = buf_bytes(&error);
        if (sentence.size == 0) sentence = bytes_of_text(why_text(t->why, e));
        buf_put_bytes(&t->text, sentence);
        e = ERR_INPUT;
    }
    if (e == ERR_NOMEM) e = testing_no_memory(t);
    buf_fini(&error);
    return e;
}

struct compared_sample {
    struct label_list labels;
    double value;
    struct bytes histogram; /* as text; `at` NULL: a float */
};
struct compared_samples {
    struct compared_sample *items;
    uint32_t count;
};

static int
compare_samples(const void *a, const void *b)
{
    const struct compared_sample *x = a, *y = b;
    return label_lists_compare(&x->labels, &y->labels);
}

/* Writes a histogram as text into `scratch`. */
static enum err
print_histogram(struct testing *t, const struct fhist *h, struct bytes *ret)
{
    struct buf text;
    buf_init(&text, t->memory, TEST_TEXT_BYTES_MAX);
    notation_put_histogram(h, &text);
    *ret = arena_copy(&t->scratch, buf_bytes(&text));
    enum err e = buf_error(&text) || ret->at == NULL ? testing_no_memory(t) : OK;
    buf_fini(&text);
    return e;
}

static enum err
add_sample(struct testing *t, struct compared_samples *to, const struct compared_sample *sample)
{
    struct compared_sample *items = arena_push(&t->scratch, to->items, to->count, sizeof *items);
    if (items == NULL) return testing_no_memory(t);
    to->items = items;
    items[to->count++] = *sample;
    return OK;
}

static enum err
list_got(struct testing *t, struct promql_result *result, struct compared_samples *ret)
{
    struct bytes labels;
    struct promql_point point;
    enum err e = OK;
    enum promql_type type = promql_result_type(result);
    if (type != PROMQL_VECTOR && type != PROMQL_SCALAR) {
        buf_put_text(&t->text, "rule result is not a vector or scalar");
        return ERR_INPUT;
    }
    while (e == OK && promql_next_series(result, &labels)) {
        struct compared_sample sample = {.value = 0};
        if (!promql_next_point(result, false, &point) && !promql_next_point(result, true, &point)) {
            continue;
        }
        e = list_of_labels(t, labels, &sample.labels);
        if (e == OK && point.histogram != NULL) {
            e = print_histogram(t, point.histogram, &sample.histogram);
        } else {
            sample.value = point.value;
        }
        if (e == OK) e = add_sample(t, ret, &sample);
    }
    return e;
}

/* Reads an expected histogram. ERR_INPUT: `error` describes the error. */
static enum err
read_expected_histogram(struct testing *t, const char *text, struct bytes *ret, struct buf *error)
{
    struct notation notation;
    struct notation_value value;
    bool more;
    struct buf series;
    uint64_t count = 0;
    buf_init(&series, t->memory, TEST_TEXT_BYTES_MAX);
    buf_printf(&series, "{} %s", text);
    struct bytes copy = arena_copy(&t->scratch, buf_bytes(&series));
    enum err e = copy.at == NULL ? ERR_NOMEM : OK;
    buf_fini(&series);
    if (e == OK) e = notation_parse(copy, 1, &t->scratch, &notation, error);
    if (e) return e;
    for (uint32_t i = 0; i < notation.item_count; i++) {
        if (__builtin_add_overflow(count, notation.items[i].count, &count)) count = UINT64_MAX;
    }
    if (count != 1) {
        buf_printf(error, "expected 1 value, got %llu", (unsigned long long)count);
        return ERR_INPUT;
    }
    struct notation_walk walk = notation_begin(&notation, &t->scratch);
    e = notation_next(&walk, &value, &more);
    if (e) return e;
    if (value.kind == NOTATION_HISTOGRAM) return print_histogram(t, value.histogram, ret);
    buf_put_text(error, "expected histogram, got ");
    double number = bits_double(value.bits);
    if (value.kind == NOTATION_NONE)
        buf_put_u8(error, '_');
    else if (isfinite(number))
        buf_printf(error, "%f", number);
    else
        put_scientific(error, number); /* Inf, NaN */
    return ERR_INPUT;
}

static enum err
list_wanted(struct testing *t, const struct rule_test_expression *x, struct compared_samples *ret)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < x->expected.count; i++) {
        const struct rule_test_sample *from = &x->expected.items[i];
        struct compared_sample sample = {.value = bits_double(from->bits)};
        struct notation_metric metric = {.count = 0};
        struct buf error;
        buf_init(&error, t->memory, TEST_TEXT_BYTES_MAX);
        e = notation_parse_metric(bytes_of_text(from->labels), &t->scratch, &metric, &error);
        sample.labels = (struct label_list){metric.labels, metric.count};
        if (e == OK && from->histogram[0] != '\0') {
            e = read_expected_histogram(t, from->histogram, &sample.histogram, &error);
        }
        if (e == ERR_INPUT || e == ERR_LIMIT) {
            e = ERR_INPUT;
            buf_put_text(&t->text, "labels ");
            quote_text(&t->text, bytes_of_text(from->labels));
            buf_put_text(&t->text, ": ");
            buf_put_bytes(&t->text, buf_bytes(&error));
        } else if (e) {
            e = testing_no_memory(t);
        }
        buf_fini(&error);
        if (e == OK) e = add_sample(t, ret, &sample);
    }
    return e;
}

/* Unlike other values, NaN never equals itself, as in promtool. */
static bool
same_number(const struct testing *t, double x, double y)
{
    if (x == y) return true;
    return t->options->fuzzy_compare &&
           (nextafter(x, -INFINITY) == y || nextafter(x, INFINITY) == y);
}

static bool
same_samples(const struct testing *t, const struct compared_samples *a,
             const struct compared_samples *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++) {
        const struct compared_sample *x = &a->items[i], *y = &b->items[i];
        same = label_lists_compare(&x->labels, &y->labels) == 0 &&
               same_number(t, x->value, y->value) && bytes_equal(x->histogram, y->histogram);
    }
    return same;
}

static void
put_samples(struct buf *to, const struct compared_samples *samples)
{
    if (samples->count == 0) buf_put_text(to, "nil");
    for (uint32_t i = 0; i < samples->count; i++) {
        const struct compared_sample *s = &samples->items[i];
        if (i > 0) buf_put_text(to, ", ");
        put_label_list(to, &s->labels);
        buf_put_u8(to, ' ');
        if (s->histogram.at != NULL)
            buf_put_bytes(to, s->histogram);
        else
            put_scientific(to, s->value);
    }
}

enum err
compare_expression(struct testing *t, const struct rule_test_expression *x)
{
    struct unit_query q;
    struct compared_samples got = {NULL}, wanted = {NULL};
    arena_reset(&t->scratch);
    buf_put_text(&t->text, "    expr: ");
    quote_text(&t->text, bytes_of_text(x->expression));
    buf_put_text(&t->text, ", time: ");
    put_duration(&t->text, x->at_ms);
    buf_put_u8(&t->text, ',');
    size_t begin = t->text.size;
    buf_put_text(&t->text, " err: ");
    enum err e = query(t, bytes_of_text(x->expression), t->test->start_ms + x->at_ms, &q);
    if (e == OK) e = list_got(t, q.result, &got);
    query_end(&q);
    if (e == OK) e = list_wanted(t, x, &wanted);
    if (e == ERR_INPUT) return testing_fail(t);
    if (e) return e;
    if (got.count > 1) qsort(got.items, got.count, sizeof *got.items, compare_samples);
    if (wanted.count > 1) qsort(wanted.items, wanted.count, sizeof *wanted.items, compare_samples);
    if (same_samples(t, &wanted, &got)) {
        buf_clear(&t->text);
        return OK;
    }
    if (buf_error(&t->text) == OK) t->text.size = begin;
    buf_put_text(&t->text, "\n        exp: ");
    put_samples(&t->text, &wanted);
    buf_put_text(&t->text, "\n        got: ");
    put_samples(&t->text, &got);
    return testing_fail(t);
}
