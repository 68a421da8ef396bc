/*
 * rule_unit_input.c - writes into the memory of a test: the series that it defines, and what rules
 * record. As in promtool, the series are the lines of one text, and the last of duplicates counts.
 */
#include <stdlib.h>

#include "base/text/quote.h"
#include "cli/rules/rule_unit_private.h"
#include "model/labels.h"
#include "wire/number.h"

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

/* --- reading ---------------------------------------------------------------------------------- */

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

enum err
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

enum err
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

enum err
input_write(struct testing *t, struct bytes message, struct rules_written *ret, struct why *why)
{
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
