/*
 * rule_unit.c - see rule_unit.h. All groups are evaluated, one after the other, at each multiple of
 * the evaluation interval, whatever their own intervals are. Before each step, samples up to its
 * time are stored, so that queries after the last step see no newer ones. As in promtool, the
 * series of a test are the lines of one text, and the last of duplicates counts.
 *
 * Alerts and samples are compared as texts, floats as numbers.
 */
#include "cli/rules/rule_unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/quote.h"
#include "base/text/shown.h"
#include "base/text/time_text.h"
#include "model/labels.h"
#include "promql/testseries/notation.h"
#include "sys/env.h"
#include "views/memory_store.h"
#include "wire/number.h"
#include "wire/remote/remote_write.h"

enum {
    STEPS_MAX = 10000000,           /* 19 years of one step per minute */
    TEST_BYTES_MAX = 1 << 30,       /* for texts and expected results */
    TEST_TEXT_BYTES_MAX = 64 << 20, /* for a failure */
    LOOKBACK_MS = 5 * 60 * 1000
};

/* A series, and the position in its values. */
struct test_input {
    struct bytes labels; /* canonical */
    uint32_t number;     /* order in the test */
    const char *refused; /* reason why the store does not take it, or NULL */
    struct notation notation;
    struct notation_walk walk;
    int64_t t_ms; /* time of the next value */
    bool ended;
};

struct testing {
    const struct rule_unit_options *options;
    const struct rule_test *test;
    struct budget *memory;
    struct arena arena;   /* lives as long as the test */
    struct arena scratch; /* lives as long as a step or a comparison */
    struct buf text;      /* the failure being written */
    struct buf line;      /* an alert or a sample being written */
    struct why *why;

    struct memory_store *store;
    struct test_input *inputs;
    uint32_t input_count;
    bool input_refused; /* evaluation has ended */
    struct buf refusal;

    struct rw_request decoded;
    struct rules_host host;
    struct rules_terms terms;
    struct group **groups;
    uint32_t group_count;
};

static enum err
testing_no_memory(struct testing *t)
{
    const struct rule_test_place *place = &t->test->place;
    return why_set(t->why, ERR_NOMEM, "%s:%u:%u: not enough memory for the test", t->options->file,
                   place->line, place->column);
}

/* Reports the failure in `text`, and clears it. */
static enum err
testing_fail(struct testing *t)
{
    if (buf_error(&t->text)) return testing_no_memory(t);
    t->options->fail(t->options->context, buf_bytes(&t->text));
    buf_clear(&t->text);
    return OK;
}

static void
put_duration(struct buf *to, int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(to, time_print_duration(ms, text));
}

/* --- the series of a test --------------------------------------------------------------------- */

static enum err
add_input(struct testing *t, const struct notation *notation)
{
    static const struct labels_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const struct notation_metric *metric = &notation->metric;
    struct buf labels;
    buf_init(&labels, t->memory, NOTATION_BYTES_MAX);
    enum reject verdict = labels_build(metric->labels, metric->count, &limits, &labels);
    const char *refused = verdict == REJECT_NONE ? NULL : reject_word(verdict);
    if (refused != NULL) buf_clear(&labels);
    struct bytes copy = arena_copy(&t->arena, buf_bytes(&labels));
    bool lacks = buf_error(&labels) || (copy.at == NULL && labels.size > 0);
    buf_fini(&labels);
    struct test_input *inputs =
        lacks ? NULL : arena_push(&t->arena, t->inputs, t->input_count, sizeof *inputs);
    if (inputs == NULL) return testing_no_memory(t);
    t->inputs = inputs;
    inputs[t->input_count] = (struct test_input){.labels = copy,
                                                 .number = t->input_count,
                                                 .refused = refused,
                                                 .notation = *notation,
                                                 .t_ms = t->test->start_ms};
    t->input_count++;
    return OK;
}

static int
compare_inputs(const void *a, const void *b)
{
    const struct test_input *x = a, *y = b;
    int order = labels_compare(x->labels, y->labels);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* Sorts by labels, the order in which the store is fastest. */
static void
sort_inputs(struct testing *t)
{
    struct test_input *inputs = t->inputs;
    uint32_t kept = 0;
    if (t->input_count > 1) qsort(inputs, t->input_count, sizeof *inputs, compare_inputs);
    for (uint32_t i = 0; i < t->input_count; i++) {
        const struct test_input *next = i + 1 < t->input_count ? &inputs[i + 1] : NULL;
        bool is_replaced = next != NULL && inputs[i].refused == NULL && next->refused == NULL &&
                           bytes_equal(inputs[i].labels, next->labels);
        if (!is_replaced) inputs[kept++] = inputs[i];
    }
    t->input_count = kept;
}

static struct bytes
trim(struct bytes line)
{
    static const char blanks[] = " \t\n\v\f\r";
    while (line.size > 0 && strchr(blanks, line.at[0]) != NULL) {
        line = bytes_of(line.at + 1, line.size - 1);
    }
    while (line.size > 0 && strchr(blanks, line.at[line.size - 1]) != NULL) {
        line.size--;
    }
    return line;
}

struct input_reading {
    struct testing *t;
    const struct rule_test_series *series; /* the current series */
    bool ended;      /* an empty line or a comment was read: the rest is ignored */
    bool has_unread; /* something follows the end */
    bool fine;       /* false: a failure was reported */
};

static enum err
input_read_line(struct input_reading *r, struct bytes line, uint32_t number)
{
    struct testing *t = r->t;
    struct notation notation;
    struct buf error;
    buf_init(&error, t->memory, TEST_TEXT_BYTES_MAX);
    enum err e = notation_parse(line, number, &t->arena, &notation, &error);
    if (e == OK) {
        e = add_input(t, &notation);
    } else if (e == ERR_NOMEM) {
        e = testing_no_memory(t);
    } else {
        r->fine = false;
        buf_printf(&t->text, "%s:%u:%u: series %s: ", t->options->file, r->series->place.line,
                   r->series->place.column, shown_of(bytes_of_text(r->series->series)).text);
        buf_put_bytes(&t->text, buf_bytes(&error));
        e = testing_fail(t);
    }
    buf_fini(&error);
    return e;
}

/* Parses the text of a series and its values, which may have several lines. */
static enum err
parse_series(struct input_reading *r)
{
    struct testing *t = r->t;
    struct buf text;
    buf_init(&text, t->memory, TEST_BYTES_MAX);
    buf_printf(&text, "%s %s\n", r->series->series, r->series->values);
    struct bytes rest = arena_copy(&t->arena, buf_bytes(&text));
    enum err e = buf_error(&text) || rest.at == NULL ? testing_no_memory(t) : OK;
    buf_fini(&text);
    for (uint32_t number = 1; e == OK && r->fine && rest.size > 0; number++) {
        const uint8_t *end = memchr(rest.at, '\n', rest.size);
        size_t size = (size_t)(end - rest.at);
        struct bytes line = trim(bytes_of(rest.at, size));
        rest = bytes_of(end + 1, rest.size - size - 1);
        if (r->ended)
            r->has_unread |= line.size > 0;
        else if (line.size == 0 || line.at[0] == '#')
            r->ended = true;
        else
            e = input_read_line(r, line, number);
    }
    return e;
}

/* Reads the series. One that cannot be parsed is a failure, and *ret_fine is false. */
static enum err
input_begin(struct testing *t, bool *ret_fine)
{
    const struct rule_test_series_list *list = &t->test->input_series;
    struct input_reading r = {.t = t, .fine = true};
    enum err e = OK;
    for (uint32_t i = 0; e == OK && r.fine && i < list->count; i++) {
        r.series = &list->items[i];
        e = parse_series(&r);
    }
    *ret_fine = r.fine;
    if (e || !r.fine) return e;
    if (r.has_unread && t->options->warn != NULL) {
        t->options->warn(t->options->context,
                         "input_series after an empty line or a comment are ignored");
    }
    sort_inputs(t);
    for (uint32_t i = 0; i < t->input_count; i++) {
        t->inputs[i].walk = notation_begin(&t->inputs[i].notation, &t->arena);
    }
    return OK;
}

/* --- storing ---------------------------------------------------------------------------------- */

struct due_sample {
    const struct test_input *input;
    struct memory_sample sample;
};
struct due_samples {
    struct due_sample *items;
    uint32_t count;
};

static const char *
verdict_word(enum memory_verdict verdict)
{
    return verdict == MEMORY_LATE ? "out of order sample" : "duplicate sample for timestamp";
}

static enum err
add_due(struct testing *t, struct due_samples *due, const struct test_input *input,
        const struct notation_value *value)
{
    struct due_sample *items = arena_push(&t->scratch, due->items, due->count, sizeof *items);
    if (items == NULL) return testing_no_memory(t);
    due->items = items;
    struct due_sample *one = &items[due->count++];
    *one = (struct due_sample){input, {.t_ms = input->t_ms, .bits = value->bits}};
    if (value->kind != NOTATION_HISTOGRAM) return OK;
    struct histogram *h = arena_new(&t->scratch, sizeof *h);
    if (h == NULL || fhist_stored(&t->scratch, value->histogram, h)) return testing_no_memory(t);
    one->sample.histogram = h;
    return OK;
}

static enum err
find_due(struct testing *t, struct test_input *input, int64_t until_ms, struct due_samples *due)
{
    while (!input->ended && input->t_ms <= until_ms) {
        struct notation_value value;
        bool more;
        if (notation_next(&input->walk, &value, &more)) return testing_no_memory(t);
        input->ended = !more;
        if (more && value.kind != NOTATION_NONE) {
            enum err e = add_due(t, due, input, &value);
            if (e) return e;
        }
        input->t_ms +=
            t->test->interval_ms > 0 ? t->test->interval_ms : t->options->evaluation_interval_ms;
    }
    return OK;
}

/* Writes the reason into `refusal` if the store refuses the sample. */
static bool
is_refused(struct testing *t, const struct due_sample *due)
{
    struct why why = {""};
    if (due->input->refused != NULL) {
        buf_put_text(&t->refusal, due->input->refused);
    } else if (due->sample.histogram != NULL && histogram_check(due->sample.histogram, &why)) {
        buf_put_text(&t->refusal, why.text);
    } else {
        enum memory_verdict verdict =
            memory_store_judge(t->store, due->input->labels, &due->sample, NULL);
        if (verdict != MEMORY_TAKEN) buf_put_text(&t->refusal, verdict_word(verdict));
    }
    return t->refusal.size > 0;
}

/* Stores the samples up to a time. If the store refuses one, none is stored, and that is a
 * failure. */
static enum err
input_until(struct testing *t, int64_t until_ms)
{
    struct due_samples due = {NULL};
    enum err e = OK;
    arena_reset(&t->scratch);
    for (uint32_t i = 0; e == OK && i < t->input_count && !t->input_refused; i++) {
        e = find_due(t, &t->inputs[i], until_ms, &due);
    }
    for (uint32_t i = 0; e == OK && i < due.count && !t->input_refused; i++) {
        t->input_refused = is_refused(t, &due.items[i]);
    }
    if (e == OK && t->input_refused) {
        buf_put_bytes(&t->text, buf_bytes(&t->refusal));
        return testing_fail(t);
    }
    for (uint32_t i = 0; e == OK && i < due.count; i++) {
        enum memory_verdict verdict;
        e = memory_store_add(t->store, due.items[i].input->labels, &due.items[i].sample, &verdict,
                             NULL);
    }
    return e == ERR_NOMEM ? testing_no_memory(t) : e;
}

/* --- results of rules ------------------------------------------------------------------------- */

/* A refused staleness marker is not an error: another rule wrote the series meanwhile. */
static enum err
write_sample(struct testing *t, struct bytes labels, const struct memory_sample *sample,
             struct rules_written *ret)
{
    enum memory_verdict verdict;
    struct why why = {""};
    if (sample->histogram == NULL || histogram_check(sample->histogram, &why) == OK) {
        enum err e = memory_store_add(t->store, labels, sample, &verdict, NULL);
        if (e) return e;
        bool is_stale = sample->histogram == NULL && sample->bits == STALE_NAN_BITS;
        if (verdict == MEMORY_TAKEN || is_stale) return OK;
        why_set(&why, ERR_INPUT, "%s", verdict_word(verdict));
    }
    snprintf(ret->text, sizeof ret->text, "%.*s", (int)sizeof ret->text - 1, why.text);
    ret->rejected++;
    return OK;
}

static enum err
host_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
           struct why *why)
{
    struct testing *t = context;
    struct rw_request *request = &t->decoded;
    enum err e = rw_decode(request, RW_V1, message, 0, why);
    (void)tenant;
    *ret = (struct rules_written){.ticket = 0};
    for (uint32_t i = 0; e == OK && i < request->series_count; i++) {
        const struct rw_series *series = &request->series[i];
        for (uint32_t k = 0; e == OK && k < series->floats.count; k++) {
            const struct rw_float *f = &request->floats[series->floats.first + k];
            const struct memory_sample sample = {.t_ms = f->t_ms, .bits = f->bits};
            e = write_sample(t, series->label_bytes, &sample, ret);
        }
        for (uint32_t k = 0; e == OK && k < series->histograms.count; k++) {
            const struct rw_histogram *h = &request->histograms[series->histograms.first + k];
            const struct memory_sample sample = {.t_ms = h->t_ms, .histogram = &h->h};
            e = write_sample(t, series->label_bytes, &sample, ret);
        }
    }
    return e == ERR_NOMEM ? why_set(why, e, "not enough memory for the test") : e;
}

/* --- the host of groups ----------------------------------------------------------------------- */

static enum err
host_settle(void *context, uint64_t ticket, struct why *why)
{
    (void)context;
    (void)ticket;
    (void)why;
    return OK;
}

static enum err
begin_terms(struct testing *t)
{
    const struct named_texts *labels = &t->test->external_labels;
    struct label *items = arena_alloc(&t->arena, (labels->count + 1) * sizeof *items);
    if (items == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < labels->count; i++) {
        items[i] = (struct label){bytes_of_text(labels->items[i].name),
                                  bytes_of_text(labels->items[i].value)};
    }
    t->terms = (struct rules_terms){
        .open = memory_store_open,
        .open_context = t->store,
        .external_labels = items,
        .external_count = labels->count,
        .external_url = bytes_of_text(t->test->external_url),
        .lookback_ms = LOOKBACK_MS,
        .subquery_step_ms = t->options->evaluation_interval_ms,
        .features = t->options->features,
    };
    t->host = (struct rules_host){
        .env = t->options->env,
        .memory = t->memory,
        .write = host_write,
        .settle = host_settle,
        .context = t,
    };
    return OK;
}

static enum err
begin_groups(struct testing *t)
{
    uint32_t count = t->options->group_count;
    struct group_defaults defaults = {.interval_ms = t->options->evaluation_interval_ms};
    t->groups = arena_new(&t->arena, (count + 1) * sizeof(struct group *));
    if (t->groups == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < count; i++) {
        enum err e = group_new(&t->host, bytes_of(NULL, 0), t->options->groups[i], &defaults,
                               &t->groups[i], t->why);
        if (e) return e;
        t->group_count++;
    }
    return OK;
}

/* --- comparing -------------------------------------------------------------------------------- */

/* An alert or a sample. */
struct compared {
    struct bytes text; /* without the value of a float */
    double value;      /* 0 for an alert, and usually for a histogram */
    bool is_float;
};
struct compared_list {
    struct compared *items;
    uint32_t count;
};

/* Adds the text of t->line, and clears that. */
static enum err
add_compared(struct testing *t, struct compared_list *to, double value, bool is_float)
{
    struct compared *items = arena_push(&t->scratch, to->items, to->count, sizeof *items);
    struct bytes copy = arena_copy(&t->scratch, buf_bytes(&t->line));
    if (items == NULL || copy.at == NULL || buf_error(&t->line)) return testing_no_memory(t);
    buf_clear(&t->line);
    to->items = items;
    items[to->count++] = (struct compared){copy, value, is_float};
    return OK;
}

static int
compare_texts(const void *a, const void *b)
{
    return bytes_compare(((const struct compared *)a)->text, ((const struct compared *)b)->text);
}

/* Unlike other values, NaN never equals itself, as in promtool. */
static bool
same_number(const struct testing *t, double x, double y)
{
    if (x == y) return true;
    return t->options->fuzzy_compare &&
           (nextafter(x, -INFINITY) == y || nextafter(x, INFINITY) == y);
}

static void
put_compared(struct buf *to, const char *title, const struct compared_list *list)
{
    char number[NUMBER_TEXT_BYTES];
    buf_printf(to, "\n        %s: %s", title, list->count == 0 ? "nil" : "");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct compared *x = &list->items[i];
        if (i > 0) buf_put_text(to, ", ");
        buf_put_bytes(to, x->text);
        if (!x->is_float) continue;
        buf_put_u8(to, ' ');
        buf_put(to, number, number_print(double_bits(x->value), number));
    }
}

/* Sorts and compares both lists. If they differ, that is a failure with the title in t->text. */
static enum err
compare_lists(struct testing *t, struct compared_list *expected, struct compared_list *got)
{
    bool same = expected->count == got->count;
    if (expected->count > 1)
        qsort(expected->items, expected->count, sizeof *expected->items, compare_texts);
    if (got->count > 1) qsort(got->items, got->count, sizeof *got->items, compare_texts);
    for (uint32_t i = 0; same && i < got->count; i++) {
        const struct compared *x = &expected->items[i], *y = &got->items[i];
        same = bytes_equal(x->text, y->text) && same_number(t, x->value, y->value);
    }
    if (same) {
        buf_clear(&t->text);
        return OK;
    }
    put_compared(&t->text, "exp", expected);
    put_compared(&t->text, "got", got);
    return testing_fail(t);
}

static void
put_label(struct buf *to, bool is_first, struct bytes name, struct bytes value)
{
    buf_put_text(to, is_first ? "{" : ", ");
    label_print(to, &(struct label){name, value}, "=");
}

static void
put_labels(struct buf *to, const struct label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        put_label(to, i == 0, labels[i].name, labels[i].value);
    }
    buf_put_text(to, count == 0 ? "{}" : "}");
}

static void
put_canonical(struct buf *to, struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    bool any = false;
    for (; labels_next(&c, &label); any = true) {
        put_label(to, !any, label.name, label.value);
    }
    buf_put_text(to, any ? "}" : "{}");
}

/* Writes texts, which are sorted by name, and `alertname` in its place if it is not NULL. */
static void
put_texts(struct buf *to, const struct named_texts *texts, const char *alertname)
{
    static const char name[] = "alertname";
    bool is_due = alertname != NULL, any = false;
    for (uint32_t i = 0; i < texts->count || is_due; i++) {
        int order = !is_due ? 1 : i == texts->count ? -1 : strcmp(name, texts->items[i].name);
        if (order <= 0) {
            put_label(to, !any, bytes_of_text(name), bytes_of_text(alertname));
            is_due = false;
            any = true;
        }
        if (order == 0 || i == texts->count) continue;
        const struct named_text *x = &texts->items[i];
        put_label(to, !any, bytes_of_text(x->name), bytes_of_text(x->value));
        any = true;
    }
    buf_put_text(to, any ? "}" : "{}");
}

/* --- alerts ----------------------------------------------------------------------------------- */

struct firing {
    struct testing *t;
    struct compared_list list;
    enum err failed;
};

static void
take_alert(void *context, const struct alert *alert)
{
    struct firing *f = context;
    struct buf *line = &f->t->line;
    if (alert->state != ALERT_FIRING || f->failed) return;
    put_canonical(line, alert->labels);
    buf_put_u8(line, ' ');
    put_labels(line, alert->annotations->items, alert->annotations->count);
    f->failed = add_compared(f->t, &f->list, 0, false);
}

/* Compares the alerts of all rules with that name that fire now. */
static enum err
compare_alerts(struct testing *t, const struct rule_test_alerts *x)
{
    struct firing got = {.t = t};
    struct compared_list expected = {NULL};
    arena_reset(&t->scratch);
    for (uint32_t i = 0; i < t->group_count; i++) {
        const struct rule_group *text = &t->groups[i]->text;
        for (uint32_t k = 0; k < text->rule_count; k++) {
            const struct rule *rule = &text->rules[k];
            if (rule->kind == RULE_ALERTING && strcmp(rule->name, x->alertname) == 0)
                group_each_alert(t->groups[i], k, take_alert, &got);
        }
    }
    enum err e = got.failed;
    for (uint32_t i = 0; e == OK && i < x->expected.count; i++) {
        put_texts(&t->line, &x->expected.items[i].labels, x->alertname);
        buf_put_u8(&t->line, ' ');
        put_texts(&t->line, &x->expected.items[i].annotations, NULL);
        e = add_compared(t, &expected, 0, false);
    }
    if (e) return e;
    if (t->test->name[0] != '\0') buf_printf(&t->text, "    name: %s,\n", t->test->name);
    buf_printf(&t->text, "    alertname: %s, time: ", x->alertname);
    put_duration(&t->text, x->at_ms);
    buf_put_u8(&t->text, ',');
    return compare_lists(t, &expected, &got.list);
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

static enum err
list_got(struct testing *t, struct promql_result *result, struct compared_list *ret)
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
        if (!promql_next_point(result, false, &point) && !promql_next_point(result, true, &point))
            continue;
        put_canonical(&t->line, labels);
        bool is_float = point.histogram == NULL;
        if (!is_float) {
            buf_put_u8(&t->line, ' ');
            notation_put_histogram(point.histogram, &t->line);
        }
        e = add_compared(t, ret, is_float ? point.value : 0, is_float);
    }
    return e;
}

/* Writes an expected histogram into t->line. ERR_INPUT: `error` describes the error. */
static enum err
put_expected_histogram(struct testing *t, const char *text, struct buf *error)
{
    struct notation notation;
    struct notation_value value;
    bool more;
    struct buf series;
    buf_init(&series, t->memory, TEST_TEXT_BYTES_MAX);
    buf_printf(&series, "{} %s", text);
    struct bytes copy = arena_copy(&t->scratch, buf_bytes(&series));
    enum err e = copy.at == NULL ? ERR_NOMEM : OK;
    buf_fini(&series);
    if (e == OK) e = notation_parse(copy, 1, &t->scratch, &notation, error);
    if (e) return e;
    bool is_one = notation.item_count == 1 && notation.items[0].count == 1;
    struct notation_walk walk = notation_begin(&notation, &t->scratch);
    e = is_one ? notation_next(&walk, &value, &more) : OK;
    if (e) return e;
    if (!is_one || value.kind != NOTATION_HISTOGRAM) {
        buf_printf(error, "expected one histogram, got '%.200s'", text);
        return ERR_INPUT;
    }
    buf_put_u8(&t->line, ' ');
    notation_put_histogram(value.histogram, &t->line);
    return OK;
}

static enum err
list_wanted(struct testing *t, const struct rule_test_expression *x, struct compared_list *ret)
{
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < x->expected.count; i++) {
        const struct rule_test_sample *from = &x->expected.items[i];
        bool is_float = from->histogram[0] == '\0';
        struct notation_metric metric = {.count = 0};
        struct buf error;
        buf_init(&error, t->memory, TEST_TEXT_BYTES_MAX);
        e = notation_parse_metric(bytes_of_text(from->labels), &t->scratch, &metric, &error);
        if (e == OK) put_labels(&t->line, metric.labels, metric.count);
        if (e == OK && !is_float) e = put_expected_histogram(t, from->histogram, &error);
        if (e == ERR_INPUT || e == ERR_LIMIT) {
            e = ERR_INPUT;
            buf_clear(&t->line);
            buf_put_text(&t->text, "labels ");
            quote_text(&t->text, bytes_of_text(from->labels));
            buf_put_text(&t->text, ": ");
            buf_put_bytes(&t->text, buf_bytes(&error));
        } else if (e) {
            e = testing_no_memory(t);
        }
        buf_fini(&error);
        if (e == OK) e = add_compared(t, ret, bits_double(from->bits), is_float);
    }
    return e;
}

static enum err
compare_expression(struct testing *t, const struct rule_test_expression *x)
{
    struct unit_query q;
    struct compared_list got = {NULL}, wanted = {NULL};
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
    if (buf_error(&t->text) == OK) t->text.size = begin;
    return compare_lists(t, &wanted, &got);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* Reports the rules of a group that failed. */
static enum err
report_failed(struct testing *t, struct group *group, int64_t since_ms, bool *ret_any)
{
    const struct rule_group *text = &group->text;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < text->rule_count; i++) {
        struct bytes error = group_rule_error(group, i);
        if (error.size == 0) continue;
        *ret_any = true;
        buf_printf(&t->text, "    rule: %s, time: ", text->rules[i].name);
        put_duration(&t->text, since_ms);
        buf_put_text(&t->text, ", err: ");
        buf_put_bytes(&t->text, error);
        e = testing_fail(t);
    }
    return e;
}

/* *ret_fine false: rules failed, and the test ends. */
static enum err
unit_step(struct testing *t, int64_t since_ms, bool *ret_fine)
{
    int64_t at_ms = t->test->start_ms + since_ms;
    struct group_evaluation how = {.at_ns = at_ms * NS_PER_MS, .part = GROUP_ALL};
    bool failed = false;
    enum err e = input_until(t, at_ms);
    for (uint32_t i = 0; e == OK && i < t->group_count && !t->input_refused; i++) {
        struct group_outcome outcome;
        group_evaluate(t->groups[i], &t->host, &t->terms, &how, &outcome);
        e = report_failed(t, t->groups[i], since_ms, &failed);
    }
    *ret_fine = !failed;
    return e;
}

/* Orders expected alerts by time, then by their place in the file. */
static int
compare_alert_times(const void *a, const void *b)
{
    const struct rule_test_alerts *x = *(const struct rule_test_alerts *const *)a;
    const struct rule_test_alerts *y = *(const struct rule_test_alerts *const *)b;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    return (x > y) - (x < y); /* the order in the file */
}

static enum err
sort_alerts(struct testing *t, const struct rule_test_alerts ***ret)
{
    uint32_t count = t->test->alerts.count;
    const struct rule_test_alerts **order = arena_alloc(&t->arena, (count + 1) * sizeof *order);
    if (order == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < count; i++) {
        order[i] = &t->test->alerts.items[i];
    }
    if (count > 1) qsort(order, count, sizeof *order, compare_alert_times);
    *ret = order;
    return OK;
}

static int64_t
last_time(const struct rule_test *test)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < test->alerts.count; i++) {
        if (test->alerts.items[i].at_ms > last) last = test->alerts.items[i].at_ms;
    }
    for (uint32_t i = 0; i < test->expressions.count; i++) {
        if (test->expressions.items[i].at_ms > last) last = test->expressions.items[i].at_ms;
    }
    return last;
}

/* *ret_fine false: rules failed, and the test ends. */
static enum err
run_steps(struct testing *t, bool *ret_fine)
{
    const struct rule_test_alerts **alerts = NULL;
    int64_t interval_ms = t->options->evaluation_interval_ms, last_ms = last_time(t->test);
    uint32_t next = 0;
    enum err e = sort_alerts(t, &alerts);
    *ret_fine = true;
    for (int64_t ms = 0; e == OK && ms <= last_ms; ms += interval_ms) {
        e = unit_step(t, ms, ret_fine);
        if (e || !*ret_fine) break;
        for (; e == OK && next < t->test->alerts.count && alerts[next]->at_ms < ms + interval_ms;
             next++) {
            e = compare_alerts(t, alerts[next]);
        }
    }
    return e;
}

/* --- the test --------------------------------------------------------------------------------- */

/* Reports invalid rule files as failures. *ret_fine false: there were any. */
static enum err
report_wrong_files(struct testing *t, bool *ret_fine)
{
    const struct text_list *wrong = &t->options->wrong;
    enum err e = OK;
    for (uint32_t i = 0; e == OK && i < wrong->count; i++) {
        *ret_fine = false;
        buf_put_text(&t->text, wrong->items[i]);
        e = testing_fail(t);
    }
    return e;
}

/* *ret_fine false: an expected alert has no name, which is a failure. */
static enum err
check_names(struct testing *t, bool *ret_fine)
{
    for (uint32_t i = 0; i < t->test->alerts.count; i++) {
        const struct rule_test_alerts *alerts = &t->test->alerts.items[i];
        if (alerts->alertname[0] != '\0') continue;
        *ret_fine = false;
        buf_put_text(&t->text, "an item under alert_rule_test misses required attribute alertname "
                               "at eval_time ");
        put_duration(&t->text, alerts->at_ms);
        if (t->test->name[0] != '\0') buf_printf(&t->text, " (in TestGroup %s)", t->test->name);
        return testing_fail(t);
    }
    return OK;
}

/* *ret_fine false: the test has too many steps, or so late times that adding the validity of an
 * alert overflows nanoseconds. */
static enum err
check_times(struct testing *t, bool *ret_fine)
{
    const struct rule_test_place *place = &t->test->place;
    int64_t last_ms = last_time(t->test), interval_ms = t->options->evaluation_interval_ms;
    bool is_far = t->test->start_ms + last_ms > INT64_MAX / NS_PER_MS / 2;
    if (!is_far && last_ms / interval_ms <= STEPS_MAX) return OK;
    *ret_fine = false;
    buf_printf(&t->text, "%s:%u:%u: eval_time must be ", t->options->file, place->line,
               place->column);
    if (is_far) {
        buf_put_text(&t->text, "before the year 2116");
    } else {
        buf_printf(&t->text, "at most %d times evaluation_interval (", STEPS_MAX);
        put_duration(&t->text, interval_ms);
        buf_put_u8(&t->text, ')');
    }
    buf_put_text(&t->text, ", got ");
    put_duration(&t->text, last_ms);
    return testing_fail(t);
}

static enum err
unit_run(struct testing *t)
{
    bool fine = true;
    enum err e = memory_store_new(t->memory, &t->store);
    if (e == OK) e = rw_request_init(&t->decoded, t->memory);
    if (e) return testing_no_memory(t);
    e = input_begin(t, &fine);
    if (e == OK && fine) e = report_wrong_files(t, &fine);
    if (e == OK && fine) e = begin_terms(t);
    if (e == OK && fine) e = begin_groups(t);
    if (e == OK && fine) e = check_names(t, &fine);
    if (e == OK && fine) e = check_times(t, &fine);
    if (e == OK && fine) e = run_steps(t, &fine);
    for (uint32_t i = 0; e == OK && fine && i < t->test->expressions.count; i++) {
        e = compare_expression(t, &t->test->expressions.items[i]);
    }
    return e;
}

enum err
rule_unit_run(const struct rule_unit_options *options, const struct rule_test *test,
              struct why *why)
{
    struct testing t = {
        .options = options,
        .test = test,
        .memory = options->memory,
        .why = why,
    };
    arena_init(&t.arena, t.memory, TEST_BYTES_MAX, 0);
    arena_init(&t.scratch, t.memory, TEST_BYTES_MAX, 0);
    buf_init(&t.text, t.memory, TEST_TEXT_BYTES_MAX);
    buf_init(&t.line, t.memory, TEST_TEXT_BYTES_MAX);
    buf_init(&t.refusal, t.memory, TEST_TEXT_BYTES_MAX);
    enum err e = unit_run(&t);
    for (uint32_t i = 0; i < t.group_count; i++) {
        group_free(t.groups[i]);
    }
    rw_request_fini(&t.decoded);
    memory_store_free(t.store);
    buf_fini(&t.refusal);
    buf_fini(&t.line);
    buf_fini(&t.text);
    arena_fini(&t.scratch);
    arena_fini(&t.arena);
    return e;
}
