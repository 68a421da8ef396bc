/*
 * rule_unit.c - see rule_unit.h. All groups are evaluated, one after the other, at each multiple of
 * the evaluation interval, whatever their own intervals are. Before each step, samples up to its
 * time are stored, so that queries after the last step see no newer ones.
 */
#include "cli/rules/rule_unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/quote.h"
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

/* --- the series of the test ------------------------------------------------------------------- */

/* As in promtool, the series are the lines of one text, and the last of duplicates counts. */

/* Returns the reason why a series with these labels cannot be stored, or NULL. */
static const char *
input_build_labels(struct testing *t, const struct notation_metric *metric, struct buf *to)
{
    static const struct labels_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct buf sentence;
    for (uint32_t i = 1; i < metric->count; i++) {
        struct bytes name = metric->labels[i].name;
        if (!bytes_equal(name, metric->labels[i - 1].name)) continue;
        buf_init(&sentence, t->memory, TEST_TEXT_BYTES_MAX);
        buf_printf(&sentence, "label name \"%.*s\" is not unique: invalid sample", (int)name.size,
                   (const char *)name.at);
        buf_put_u8(&sentence, 0);
        struct bytes copy = arena_copy(&t->arena, buf_bytes(&sentence));
        buf_fini(&sentence);
        return copy.at == NULL ? "label name is not unique" : (const char *)copy.at;
    }
    enum reject verdict = labels_build(metric->labels, metric->count, &limits, to);
    if (verdict == REJECT_EMPTY_LABELS) return "empty labelset: invalid sample";
    if (verdict == REJECT_BAD_UTF8) return "labels are not valid UTF-8: invalid sample";
    return verdict == REJECT_NONE ? NULL : reject_word(verdict);
}

static enum err
add_input(struct testing *t, const struct notation *notation)
{
    struct buf labels;
    buf_init(&labels, t->memory, NOTATION_BYTES_MAX);
    const char *refused = input_build_labels(t, &notation->metric, &labels);
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
    while (line.size > 0 && strchr(blanks, line.at[0]) != NULL)
        line = bytes_of(line.at + 1, line.size - 1);
    while (line.size > 0 && strchr(blanks, line.at[line.size - 1]) != NULL)
        line.size--;
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

/* Reads the series. A series that cannot be parsed is a failure, and *ret_fine is false. */
static MUST_CHECK enum err
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
    for (uint32_t i = 0; i < t->input_count; i++)
        t->inputs[i].walk = notation_begin(&t->inputs[i].notation, &t->arena);
    return OK;
}

/* --- storing them ----------------------------------------------------------------------------- */

struct due_sample {
    const struct test_input *input;
    struct memory_sample sample;
};
struct due_samples {
    struct due_sample *items;
    uint32_t count;
};

static void
put_sample_number(struct buf *to, uint64_t bits)
{
    char text[NUMBER_TEXT_BYTES];
    buf_put(to, text, number_print_sentence(bits, text));
}

/* Uses the words of Prometheus, which does not mention the time, or a histogram, in some cases. */
static void
put_refusal(struct buf *to, enum memory_verdict verdict, const struct memory_sample *sample,
            const struct memory_sample *last)
{
    if (verdict == MEMORY_LATE) {
        buf_put_text(to, "out of order sample");
        return;
    }
    buf_put_text(to, "duplicate sample for timestamp");
    if (sample->t_ms == 0 || sample->histogram != NULL) return;
    buf_printf(to, " %lld; overrides not allowed: existing ", (long long)sample->t_ms);
    if (last->histogram != NULL)
        buf_put_text(to, "is a histogram");
    else
        put_sample_number(to, last->bits);
    buf_put_text(to, ", new value ");
    put_sample_number(to, sample->bits);
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
    struct memory_sample last;
    struct why why = {""};
    if (due->input->refused != NULL) {
        buf_put_text(&t->refusal, due->input->refused);
    } else if (due->sample.histogram != NULL && histogram_check(due->sample.histogram, &why)) {
        buf_put_text(&t->refusal, why.text);
    } else {
        enum memory_verdict verdict =
            memory_store_judge(t->store, due->input->labels, &due->sample, &last);
        if (verdict != MEMORY_TAKEN) put_refusal(&t->refusal, verdict, &due->sample, &last);
    }
    return t->refusal.size > 0;
}

/* Stores the samples up to a time. If the store refuses one, none is stored, and that is a
 * failure. */
static MUST_CHECK enum err
input_until(struct testing *t, int64_t until_ms)
{
    struct due_samples due = {NULL};
    enum err e = OK;
    arena_reset(&t->scratch);
    for (uint32_t i = 0; e == OK && i < t->input_count && !t->input_refused; i++)
        e = find_due(t, &t->inputs[i], until_ms, &due);
    for (uint32_t i = 0; e == OK && i < due.count && !t->input_refused; i++)
        t->input_refused = is_refused(t, &due.items[i]);
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
    struct memory_sample last;
    struct why why = {""};
    struct buf sentence = {.at = (uint8_t *)ret->text,
                           .capacity = sizeof ret->text - 1,
                           .limit = sizeof ret->text - 1};
    if (sample->histogram != NULL && histogram_check(sample->histogram, &why)) {
        buf_put_cut(&sentence, bytes_of_text(why.text));
    } else {
        enum err e = memory_store_add(t->store, labels, sample, &verdict, &last);
        if (e) return e;
        bool is_stale = sample->histogram == NULL && sample->bits == STALE_NAN_BITS;
        if (verdict == MEMORY_TAKEN || is_stale) return OK;
        put_refusal(&sentence, verdict, sample, &last);
    }
    ret->text[sentence.size] = '\0';
    ret->rejected++;
    return OK;
}

/* Stores results of a rule, as described by struct rules_host. */
static MUST_CHECK enum err
input_write(void *context, struct bytes tenant, struct bytes message, struct rules_written *ret,
            struct why *why)
{
    struct testing *t = context;
    (void)tenant;
    struct rw_request *request = &t->decoded;
    enum err e = rw_decode(request, RW_V1, message, 0, why);
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

/* --- texts ------------------------------------------------------------------------------------ */

/* They are those of promtool. */
#define INDENT "            " /* begins all lines of a failure except the first */

/* Labels or annotations, by name. Values may be empty, and expected labels may have duplicate
 * names. */
struct label_list {
    const struct label *items;
    uint32_t count;
};
struct fired_alert {
    struct label_list labels, annotations;
};

static int
label_lists_compare(const struct label_list *a, const struct label_list *b)
{
    uint32_t count = a->count < b->count ? a->count : b->count;
    for (uint32_t i = 0; i < count; i++) {
        int order = bytes_compare(a->items[i].name, b->items[i].name);
        if (order == 0) order = bytes_compare(a->items[i].value, b->items[i].value);
        if (order != 0) return order;
    }
    return (a->count > b->count) - (a->count < b->count);
}

void
put_duration(struct buf *to, int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    buf_put_text(to, time_print_duration(ms, text));
}

void
put_go_duration(struct buf *to, int64_t ms)
{
    long long seconds = ms / 1000, fraction = ms % 1000;
    if (ms > 0 && ms < 1000) {
        buf_printf(to, "%lldms", fraction);
        return;
    }
    if (seconds >= 3600) buf_printf(to, "%lldh", seconds / 3600);
    if (seconds >= 60) buf_printf(to, "%lldm", seconds / 60 % 60);
    buf_printf(to, "%lld", seconds % 60);
    if (fraction > 0) {
        char digits[8];
        int size = snprintf(digits, sizeof digits, ".%03lld", fraction);
        while (digits[size - 1] == '0')
            size--;
        buf_put(to, digits, (size_t)size);
    }
    buf_put_u8(to, 's');
}

void
put_scientific(struct buf *to, double value)
{
    char text[48], word[NUMBER_TEXT_BYTES];
    if (!isfinite(value)) {
        buf_put(to, word, number_print(double_bits(value), word));
        return;
    }
    int digits = 0;
    do {
        snprintf(text, sizeof text, "%.*E", digits++, value);
    } while (strtod(text, NULL) != value);
    buf_put_text(to, text);
}

static void
put_label_list(struct buf *to, const struct label_list *list)
{
    buf_put_u8(to, '{');
    for (uint32_t i = 0; i < list->count; i++) {
        if (i > 0) buf_put_text(to, ", ");
        label_print(to, &list->items[i], "=");
    }
    buf_put_u8(to, '}');
}

static void
put_alerts(struct buf *to, const struct fired_alert *alerts, uint32_t count)
{
    buf_put_u8(to, '[');
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(to, "%s\n" INDENT "%u:\n" INDENT "  Labels:", i > 0 ? "," : "", i);
        put_label_list(to, &alerts[i].labels);
        buf_put_text(to, "\n" INDENT "  Annotations:");
        put_label_list(to, &alerts[i].annotations);
    }
    buf_put_text(to, count == 0 ? "]" : "\n" INDENT "]");
}

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
    while (labels_next(&c, &items[count]))
        count++;
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
            if (text->rules[k].kind != RULE_ALERTING || strcmp(text->rules[k].name, name) != 0)
                continue;
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

/* Compares the alerts that fire now. */
static MUST_CHECK enum err
compare_alerts(struct testing *t, const struct rule_test_alerts *x)
{
    struct firing got = {.t = t};
    struct fired_alert *expected;
    arena_reset(&t->scratch);
    enum err e = find_firing(t, x->alertname, &got);
    if (e == OK) e = list_expected(t, x, &expected);
    if (e) return e;
    bool same = got.count == x->expected.count;
    for (uint32_t i = 0; same && i < got.count; i++)
        same = compare_fired(&got.alerts[i], &expected[i]) == 0;
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
        if (!promql_next_point(result, false, &point) && !promql_next_point(result, true, &point))
            continue;
        e = list_of_labels(t, labels, &sample.labels);
        if (e == OK && point.histogram != NULL)
            e = print_histogram(t, point.histogram, &sample.histogram);
        else
            sample.value = point.value;
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
    for (uint32_t i = 0; i < notation.item_count; i++)
        if (__builtin_add_overflow(count, notation.items[i].count, &count)) count = UINT64_MAX;
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
        if (e == OK && from->histogram[0] != '\0')
            e = read_expected_histogram(t, from->histogram, &sample.histogram, &error);
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

static MUST_CHECK enum err
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
    promql_result_free(q.result);
    promql_free(q.tree);
    view_free(q.view);
    if (e == OK) e = list_wanted(t, x, &wanted);
    if (e == ERR_INPUT) return testing_fail(t);
    if (e) return e;
    if (got.count > 1) qsort(got.items, got.count, sizeof *got.items, compare_samples);
    if (wanted.count > 1) qsort(wanted.items, wanted.count, sizeof *wanted.items, compare_samples);
    bool same = wanted.count == got.count;
    for (uint32_t i = 0; same && i < got.count; i++) {
        const struct compared_sample *a = &wanted.items[i], *b = &got.items[i];
        same = label_lists_compare(&a->labels, &b->labels) == 0 &&
               same_number(t, a->value, b->value) && bytes_equal(a->histogram, b->histogram);
    }
    if (same) {
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
        .write = input_write,
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
        put_go_duration(&t->text, since_ms);
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

static int64_t
last_time(const struct rule_test *test)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < test->alerts.count; i++)
        if (test->alerts.items[i].at_ms > last) last = test->alerts.items[i].at_ms;
    for (uint32_t i = 0; i < test->expressions.count; i++)
        if (test->expressions.items[i].at_ms > last) last = test->expressions.items[i].at_ms;
    return last;
}

/* *ret_fine false: rules failed, and the test ends. */
static enum err
run_steps(struct testing *t, bool *ret_fine)
{
    uint32_t count = t->test->alerts.count;
    const struct rule_test_alerts **alerts = arena_alloc(&t->arena, (count + 1) * sizeof *alerts);
    int64_t interval_ms = t->options->evaluation_interval_ms, last_ms = last_time(t->test);
    uint32_t next = 0;
    enum err e = OK;
    if (alerts == NULL) return testing_no_memory(t);
    for (uint32_t i = 0; i < count; i++)
        alerts[i] = &t->test->alerts.items[i];
    if (count > 1) qsort(alerts, count, sizeof *alerts, compare_alert_times);
    *ret_fine = true;
    for (int64_t ms = 0; e == OK && ms <= last_ms; ms += interval_ms) {
        e = unit_step(t, ms, ret_fine);
        if (e || !*ret_fine) break;
        for (; e == OK && next < count && alerts[next]->at_ms < ms + interval_ms; next++)
            e = compare_alerts(t, alerts[next]);
    }
    return e;
}

/* --- the test --------------------------------------------------------------------------------- */

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
    /* Invalid rule files are failures. */
    for (uint32_t i = 0; e == OK && fine && i < t->options->wrong.count; i++) {
        buf_put_text(&t->text, t->options->wrong.items[i]);
        e = testing_fail(t);
    }
    fine &= t->options->wrong.count == 0;
    if (e == OK && fine) e = begin_terms(t);
    if (e == OK && fine) e = begin_groups(t);
    if (e == OK && fine) e = check_names(t, &fine);
    if (e == OK && fine) e = check_times(t, &fine);
    if (e == OK && fine) e = run_steps(t, &fine);
    for (uint32_t i = 0; e == OK && fine && i < t->test->expressions.count; i++)
        e = compare_expression(t, &t->test->expressions.items[i]);
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
    buf_init(&t.refusal, t.memory, TEST_TEXT_BYTES_MAX);
    enum err e = unit_run(&t);
    for (uint32_t i = 0; i < t.group_count; i++)
        group_free(t.groups[i]);
    rw_request_fini(&t.decoded);
    memory_store_free(t.store);
    buf_fini(&t.refusal);
    buf_fini(&t.text);
    arena_fini(&t.scratch);
    arena_fini(&t.arena);
    return e;
}
