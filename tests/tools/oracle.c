/*
 * oracle.c - the canonical form of oracle.h: a tree of series, their samples, and matchers.
 *
 * Series live in a tsearch(3) tree keyed by their labels, so walking it is label order. Labels and
 * texts are copied into one arena that is freed whole; samples are plain arrays that double.
 */
#include "oracle_private.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash/hash.h"

enum { FOUND_MAX = 1 << 13 };

void
oracle_need(bool got)
{
    if (got) return;
    fputs("out of memory\n", stderr);
    exit(2);
}

void *
oracle_must(void *memory)
{
    oracle_need(memory != NULL);
    return memory;
}

void
oracle_init(struct oracle_set *set, const struct oracle_options *options)
{
    *set = (struct oracle_set){.options = options};
    arena_init(&set->arena, NULL, 0, 1 << 20);
    set->found = oracle_must(calloc(FOUND_MAX, sizeof *set->found));
}

static void
series_free(void *node)
{
    struct oracle_series *series = node;
    free(series->samples);
    free(series->histograms);
}

void
oracle_fini(struct oracle_set *set)
{
    tdestroy(set->tree, series_free);
    free(set->series);
    free(set->found);
    arena_fini(&set->arena);
    *set = (struct oracle_set){0};
}

/* Counts a breach of the protocol and keeps the words of the first. */
void
oracle_fault(struct oracle_set *set, const struct oracle_series *series, const char *what)
{
    if (set->faults++ > 0) return;
    struct buf text;
    buf_init(&text, NULL, sizeof set->first_fault - 1);
    buf_put_text(&text, what);
    if (series != NULL) {
        buf_put_text(&text, ": ");
        oracle_put_labels(series, &text);
    }
    snprintf(set->first_fault, sizeof set->first_fault, "%.*s", (int)text.size,
             (const char *)oracle_must(text.at));
    buf_fini(&text);
}

/* --- labels ----------------------------------------------------------------------------------- */

static int
label_compare(const struct oracle_label *a, const struct oracle_label *b)
{
    int order = bytes_compare(a->name, b->name);
    return order != 0 ? order : bytes_compare(a->value, b->value);
}

static int
label_compare_any(const void *a, const void *b)
{
    return label_compare(a, b);
}

int
oracle_series_compare(const struct oracle_series *a, const struct oracle_series *b)
{
    for (size_t i = 0; i < a->label_count && i < b->label_count; i++) {
        int order = label_compare(&a->labels[i], &b->labels[i]);
        if (order != 0) return order;
    }
    return (a->label_count > b->label_count) - (a->label_count < b->label_count);
}

static int
series_compare_any(const void *a, const void *b)
{
    return oracle_series_compare(a, b);
}

static void
put_quoted(struct buf *to, struct bytes text)
{
    buf_put_u8(to, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == '"' || c == '\\') {
            buf_put_u8(to, '\\');
            buf_put_u8(to, c);
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(to, "\\x%02x", c);
        } else {
            buf_put_u8(to, c);
        }
    }
    buf_put_u8(to, '"');
}

void
oracle_put_labels(const struct oracle_series *series, struct buf *to)
{
    buf_put_u8(to, '{');
    for (size_t i = 0; i < series->label_count; i++) {
        if (i > 0) buf_put_u8(to, ',');
        buf_put_bytes(to, series->labels[i].name);
        buf_put_u8(to, '=');
        put_quoted(to, series->labels[i].value);
    }
    buf_put_u8(to, '}');
}

static bool
label_is_ignored(const struct oracle_options *options, struct bytes name)
{
    for (size_t i = 0; i < options->ignored_count; i++)
        if (bytes_equal_text(name, options->ignored_labels[i])) return true;
    return false;
}

static struct bytes
copy_bytes(struct oracle_set *set, struct bytes from)
{
    if (from.size == 0) return (struct bytes){(const uint8_t *)"", 0};
    struct bytes copy = arena_copy(&set->arena, from);
    oracle_need(copy.at != NULL);
    return copy;
}

/* Sorts `labels` in place and drops the ignored and the empty ones; returns how many stay. */
static size_t
labels_canonical(const struct oracle_options *options, struct oracle_label *labels, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (labels[i].value.size == 0 || label_is_ignored(options, labels[i].name)) continue;
        labels[kept++] = labels[i];
    }
    if (kept > 1) qsort(labels, kept, sizeof *labels, label_compare_any);
    return kept;
}

static size_t
found_slot(const struct oracle_series *key)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < key->label_count; i++)
        hash = hash_bytes(key->labels[i].value, hash);
    return hash % FOUND_MAX;
}

struct oracle_series *
oracle_find_series(struct oracle_set *set, struct oracle_label *labels, size_t count)
{
    struct oracle_series key = {
        .labels = labels,
        .label_count = labels_canonical(set->options, labels, count),
    };
    size_t slot = found_slot(&key);
    if (set->found[slot] != NULL && oracle_series_compare(set->found[slot], &key) == 0)
        return set->found[slot];
    struct oracle_series **found = tfind(&key, &set->tree, series_compare_any);
    if (found != NULL) return set->found[slot] = *found;

    struct oracle_series *series = oracle_must(arena_new(&set->arena, sizeof *series));
    size_t size = (key.label_count + 1) * sizeof *key.labels;
    struct oracle_label *copy = oracle_must(arena_new(&set->arena, size));
    for (size_t i = 0; i < key.label_count; i++) {
        copy[i].name = copy_bytes(set, key.labels[i].name);
        copy[i].value = copy_bytes(set, key.labels[i].value);
    }
    series->labels = copy;
    series->label_count = key.label_count;
    oracle_must(tsearch(series, &set->tree, series_compare_any));
    set->series_count++;
    return series;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Returns the array, with room for one more item. */
static void *
grown(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) return items;
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    return oracle_must(reallocarray(items, *capacity, item_size));
}

void
oracle_add_sample(struct oracle_set *set, struct oracle_series *series, int64_t t_ms, uint64_t bits)
{
    series->samples = grown(series->samples, series->sample_count, &series->sample_capacity,
                            sizeof *series->samples);
    series->samples[series->sample_count++] = (struct oracle_sample){t_ms, set->arrivals++, bits};
}

void
oracle_add_histogram(struct oracle_set *set, struct oracle_series *series, int64_t t_ms,
                     struct bytes text)
{
    series->histograms = grown(series->histograms, series->histogram_count,
                               &series->histogram_capacity, sizeof *series->histograms);
    series->histograms[series->histogram_count++] =
        (struct oracle_histogram){t_ms, set->arrivals++, copy_bytes(set, text)};
}

static int
order_of(int64_t a_t_ms, uint64_t a_arrival, int64_t b_t_ms, uint64_t b_arrival)
{
    if (a_t_ms != b_t_ms) return a_t_ms < b_t_ms ? -1 : 1;
    return (a_arrival > b_arrival) - (a_arrival < b_arrival);
}

static int
sample_compare_any(const void *left, const void *right)
{
    const struct oracle_sample *a = left;
    const struct oracle_sample *b = right;
    return order_of(a->t_ms, a->arrival, b->t_ms, b->arrival);
}

static int
histogram_compare_any(const void *left, const void *right)
{
    const struct oracle_histogram *a = left;
    const struct oracle_histogram *b = right;
    return order_of(a->t_ms, a->arrival, b->t_ms, b->arrival);
}

/* Sorts the samples and keeps the first arrival at each time, of floats and histograms together. */
static void
series_settle(struct oracle_series *series)
{
    struct oracle_sample *samples = series->samples;
    struct oracle_histogram *histograms = series->histograms;
    size_t sample_total = series->sample_count;
    size_t histogram_total = series->histogram_count;
    if (sample_total > 1) qsort(samples, sample_total, sizeof *samples, sample_compare_any);
    if (histogram_total > 1)
        qsort(histograms, histogram_total, sizeof *histograms, histogram_compare_any);
    size_t s = 0;
    size_t h = 0;
    series->sample_count = series->histogram_count = 0;
    bool any = false;
    int64_t last_t_ms = 0;
    while (s < sample_total || h < histogram_total) {
        bool float_next =
            h == histogram_total ||
            (s < sample_total && order_of(samples[s].t_ms, samples[s].arrival, histograms[h].t_ms,
                                          histograms[h].arrival) < 0);
        int64_t t_ms = float_next ? samples[s].t_ms : histograms[h].t_ms;
        bool first = !any || t_ms != last_t_ms;
        if (float_next) {
            if (first) samples[series->sample_count++] = samples[s];
            s++;
        } else {
            if (first) histograms[series->histogram_count++] = histograms[h];
            h++;
        }
        any = true;
        last_t_ms = t_ms;
    }
}

static void
collect(const void *node, VISIT visit, void *context)
{
    struct oracle_set *set = context;
    if (visit != postorder && visit != leaf) return;
    struct oracle_series *series = *(struct oracle_series *const *)node;
    set->repeats += series->sample_count + series->histogram_count;
    series_settle(series);
    set->repeats -= series->sample_count + series->histogram_count;
    if (series->sample_count + series->histogram_count == 0) return;
    set->series[set->series_count++] = series;
    set->sample_count += series->sample_count;
    set->histogram_count += series->histogram_count;
}

void
oracle_finish(struct oracle_set *set)
{
    set->series = oracle_must(calloc(set->series_count + 1, sizeof *set->series));
    set->series_count = 0;
    twalk_r(set->tree, collect, set);
}

/* --- matchers --------------------------------------------------------------------------------- */

bool
oracle_labels_match(const struct oracle_options *options, const struct oracle_label *labels,
                    size_t count)
{
    for (size_t m = 0; m < options->matcher_count; m++) {
        const struct oracle_matcher *matcher = &options->matchers[m];
        struct bytes value = {NULL, 0};
        for (size_t i = 0; i < count; i++)
            if (bytes_equal(labels[i].name, matcher->name)) value = labels[i].value;
        bool equal = bytes_equal(value, matcher->value);
        if (equal != (matcher->type == ORACLE_EQ)) return false;
    }
    return true;
}

static const char *
skip_spaces(const char *at)
{
    return at + strspn(at, " \t\n");
}

/* Reads a quoted value from `at`, which is at its quote. NULL: not well-formed. */
static const char *
parse_value(const char *at, struct arena *arena, struct bytes *ret_value)
{
    char *out = oracle_must(arena_alloc(arena, strlen(at) + 1));
    size_t size = 0;
    at++;
    for (; *at != '"'; at++) {
        char c = *at;
        if (c == '\\') {
            c = *++at;
            if (c == 'n') c = '\n';
        }
        if (*at == '\0') return NULL;
        out[size++] = c;
    }
    *ret_value = bytes_of(out, size);
    return at + 1;
}

/* Reads one matcher; NULL: not well-formed. */
static const char *
parse_matcher(const char *at, struct arena *arena, struct oracle_matcher *ret_matcher)
{
    static const struct {
        const char *text;
        enum oracle_match_type type;
    } operators[] = {{"=~", ORACLE_RE}, {"!~", ORACLE_NRE}, {"!=", ORACLE_NEQ}, {"=", ORACLE_EQ}};
    size_t name_size = strcspn(at, "=!~\", \t\n}");
    ret_matcher->name = bytes_of(at, name_size);
    if (name_size == 0) return NULL;
    at = skip_spaces(at + name_size);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t size = strlen(operators[i].text);
        if (strncmp(at, operators[i].text, size) != 0) continue;
        ret_matcher->type = operators[i].type;
        at = skip_spaces(at + size);
        return *at == '"' ? parse_value(at, arena, &ret_matcher->value) : NULL;
    }
    return NULL;
}

enum err
oracle_parse_matchers(const char *text, struct arena *arena, struct oracle_options *options,
                      struct why *why)
{
    const char *at = skip_spaces(text);
    if (*at++ != '{') return why_set(why, ERR_INPUT, "matchers must begin with '{': %s", text);
    at = skip_spaces(at);
    while (*at != '}') {
        if (options->matcher_count == ORACLE_MATCHERS_MAX)
            return why_set(why, ERR_INPUT, "more than %d matchers", ORACLE_MATCHERS_MAX);
        at = parse_matcher(at, arena, &options->matchers[options->matcher_count]);
        if (at == NULL) return why_set(why, ERR_INPUT, "want {name=\"value\",...}, got %s", text);
        options->matcher_count++;
        at = skip_spaces(at);
        if (*at == ',')
            at = skip_spaces(at + 1);
        else if (*at != '}')
            return why_set(why, ERR_INPUT, "want ',' or '}' after a matcher in %s", text);
    }
    if (*skip_spaces(at + 1) != '\0')
        return why_set(why, ERR_INPUT, "text after the matchers: %s", text);
    return OK;
}
