/*
 * rwmake.c - makes a capture from text: the smallest way for a test to write exactly these samples.
 *
 * A line becomes a series with one sample, histogram or exemplar, or a family's metadata; USAGE
 * says how. A value is a number, or 0x and 16 hex digits: the bits. A line of `---` begins the next
 * request; `#` a comment.
 */
#include <errno.h>
#include <getopt.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmp.pb-c.h"
#include "oracle.h"

static const char USAGE[] =
    "usage: rwmake [--version 1|2] < TEXT > FILE.rw\n"
    "  NAME{label=\"value\",...} VALUE T_MS [START_MS]    a sample; VALUE may be 0x and 16 digits\n"
    "  @histogram NAME{...} T_MS [KEY=VALUE]...          keys: kind=int or float, schema, hint,\n"
    "      start, threshold, zero, sum, count, bounds=B,B,..., and pos, neg=O:L,O:L,.../C,C,...:\n"
    "      offsets and lengths of the spans, and the counts of all buckets\n"
    "  @exemplar NAME{...} {label=\"value\",...} VALUE T_MS\n"
    "  @metadata NAME TYPE UNIT HELP...                  TYPE as a number, UNIT - for none; only "
    "1\n"
    "  ---                                               begins the next request\n"
    "exit status: 0 written, 2 error (with the line's number)\n";

enum { SERIES_MAX = 10000, LIST_MAX = 1024 };

/* Memory of everything made from the text, until the end. */
static struct arena arena;

struct labels {
    struct oracle_label *at;
    size_t count;
};

struct line {
    struct labels labels;
    struct labels exemplar_labels;
    uint64_t bits;
    int64_t t_ms;
    int64_t start_ms;
    Cmp__Histogram *histogram;     /* NULL if it has none */
    Cmp__MetricMetadata *metadata; /* NULL if it has none */
    bool is_exemplar;
};

static void *
zeroed(size_t count, size_t size)
{
    return oracle_must(arena_new(&arena, (count + 1) * size));
}

static ProtobufCBinaryData
binary_of(struct bytes b)
{
    return (ProtobufCBinaryData){b.size, (uint8_t *)(uintptr_t)b.at};
}

static int
label_compare_any(const void *left, const void *right)
{
    const struct oracle_label *a = left;
    const struct oracle_label *b = right;
    return bytes_compare(a->name, b->name);
}

/* --- words ------------------------------------------------------------------------------------ */

static bool
parse_bits(const char *text, uint64_t *ret_bits)
{
    char *end;
    errno = 0;
    if (strncmp(text, "0x", 2) == 0 && strlen(text) == 18)
        *ret_bits = strtoull(text, &end, 16);
    else
        *ret_bits = double_bits(strtod(text, &end));
    return *text != '\0' && *end == '\0';
}

static bool
parse_number(const char *text, int64_t *ret)
{
    char *end;
    *ret = strtoll(text, &end, 10);
    return *text != '\0' && *end == '\0';
}

/* Cuts the next word, which one of `ends` ends, off `*at`; NULL if there is none. */
static char *
next_word(char **at, const char *ends)
{
    char *word = *at + strspn(*at, " ");
    if (*word == '\0') return NULL;
    char *end = word + strcspn(word, ends);
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

/* Returns the position after the brace that ends the group at `at`, or NULL. */
static char *
braces_end(char *at)
{
    bool quoted = false;
    for (; *at != '\0'; at++)
        if (quoted && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (*at == '}' && !quoted)
            return at + 1;
    return NULL;
}

/* Cuts NAME{...}, either of which may be missing, off the front of `*at`. */
static enum err
take_labels(char **at, struct labels *ret, struct why *why)
{
    char *text = *at + strspn(*at, " ");
    size_t name_size = strcspn(text, "{ ");
    static struct oracle_options room; /* too large to be made for each line */
    struct oracle_options *options = &room;
    options->matcher_count = 0;
    char *end = text + name_size;
    if (*end == '{') {
        char *behind = braces_end(end);
        if (behind == NULL) return why_set(why, ERR_INPUT, "a brace is not closed");
        char *copy = oracle_must(arena_alloc(&arena, (size_t)(behind - end) + 1));
        memcpy(copy, end, (size_t)(behind - end));
        copy[behind - end] = '\0';
        enum err e = oracle_parse_matchers(copy, &arena, options, why);
        if (e) return e;
        end = behind;
    }
    ret->at = zeroed(options->matcher_count + 1, sizeof *ret->at);
    ret->count = 0;
    for (size_t i = 0; i < options->matcher_count; i++) {
        if (options->matchers[i].type != ORACLE_EQ) return why_set(why, ERR_INPUT, "only = here");
        ret->at[ret->count++] =
            (struct oracle_label){options->matchers[i].name, options->matchers[i].value};
    }
    if (name_size > 0) {
        ret->at[ret->count++] =
            (struct oracle_label){bytes_of_text("__name__"), bytes_of(text, name_size)};
    }
    qsort(ret->at, ret->count, sizeof *ret->at, label_compare_any);
    *at = end;
    return OK;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* Reads VALUE T_MS, and START_MS if there is one. */
static enum err
take_value(char *at, struct line *line, struct why *why)
{
    char *value = next_word(&at, " "), *time = next_word(&at, " "), *start = next_word(&at, " ");
    if (value == NULL || !parse_bits(value, &line->bits))
        return why_set(why, ERR_INPUT, "no value: %s", value == NULL ? "" : value);
    if (time == NULL || !parse_number(time, &line->t_ms))
        return why_set(why, ERR_INPUT, "no time: %s", time == NULL ? "" : time);
    if (start != NULL && !parse_number(start, &line->start_ms))
        return why_set(why, ERR_INPUT, "no start time: %s", start);
    return OK;
}

/* Reads the numbers of a list as bits of doubles. */
static size_t
take_list(char *text, uint64_t *to)
{
    size_t count = 0;
    for (char *word; count < LIST_MAX && (word = next_word(&text, ",")) != NULL;)
        if (!parse_bits(word, &to[count++])) return SIZE_MAX;
    return count;
}

/* The buckets of one sign, O:L,O:L,.../C,C,..., in both forms. */
struct side {
    Cmp__BucketSpan **spans;
    size_t span_count;
    int64_t *deltas;
    double *counts;
    size_t count;
};

static bool
take_side(char *text, struct side *ret)
{
    char *counts = strchr(text, '/');
    uint64_t *bits = zeroed(LIST_MAX, sizeof *bits);
    if (counts == NULL) return false;
    *counts++ = '\0';
    ret->spans = zeroed(LIST_MAX, sizeof(Cmp__BucketSpan *));
    for (char *word; ret->span_count < LIST_MAX && (word = next_word(&text, ",")) != NULL;) {
        char *length = strchr(word, ':');
        Cmp__BucketSpan *span = zeroed(1, sizeof *span);
        if (length == NULL) return false;
        cmp__bucket_span__init(span);
        span->offset = (int32_t)strtol(word, NULL, 10);
        span->length = (uint32_t)strtoul(length + 1, NULL, 10);
        ret->spans[ret->span_count++] = span;
    }
    ret->count = take_list(counts, bits);
    if (ret->count == SIZE_MAX) return false;
    ret->deltas = zeroed(ret->count, sizeof *ret->deltas);
    ret->counts = zeroed(ret->count, sizeof *ret->counts);
    int64_t before = 0;
    for (size_t i = 0; i < ret->count; i++) {
        ret->counts[i] = bits_double(bits[i]);
        ret->deltas[i] = (int64_t)ret->counts[i] - before;
        before = (int64_t)ret->counts[i];
    }
    return true;
}

struct histogram_text {
    bool is_float;
    uint64_t count;
    uint64_t zero;
    struct side positive;
    struct side negative;
};

static bool
take_key(const char *key, char *value, struct histogram_text *text, Cmp__Histogram *h)
{
    uint64_t bits = 0;
    if (strcmp(key, "kind") == 0) {
        text->is_float = strcmp(value, "float") == 0;
        return text->is_float || strcmp(value, "int") == 0;
    }
    if (strcmp(key, "pos") == 0) return take_side(value, &text->positive);
    if (strcmp(key, "neg") == 0) return take_side(value, &text->negative);
    if (strcmp(key, "bounds") == 0) {
        uint64_t *bounds = zeroed(LIST_MAX, sizeof *bounds);
        h->n_custom_values = take_list(value, bounds);
        if (h->n_custom_values == SIZE_MAX) return false;
        h->custom_values = zeroed(h->n_custom_values, sizeof *h->custom_values);
        memcpy(h->custom_values, bounds, h->n_custom_values * sizeof *bounds);
        return true;
    }
    if (!parse_bits(value, &bits)) return false;
    if (strcmp(key, "schema") == 0)
        h->schema = (int32_t)bits_double(bits);
    else if (strcmp(key, "hint") == 0)
        h->reset_hint = (int32_t)bits_double(bits);
    else if (strcmp(key, "start") == 0)
        h->start_timestamp = (int64_t)bits_double(bits);
    else if (strcmp(key, "threshold") == 0)
        memcpy(&h->zero_threshold, &bits, sizeof bits);
    else if (strcmp(key, "sum") == 0)
        memcpy(&h->sum, &bits, sizeof bits);
    else if (strcmp(key, "count") == 0)
        text->count = bits;
    else if (strcmp(key, "zero") == 0)
        text->zero = bits;
    else
        return false;
    return true;
}

/* Sets integer or double counts, once the kind is known: it may be anywhere in the line.
 */
static void
settle_counts(const struct histogram_text *text, Cmp__Histogram *h)
{
    const struct side *p = &text->positive, *n = &text->negative;
    h->positive_spans = p->spans;
    h->n_positive_spans = p->span_count;
    h->negative_spans = n->spans;
    h->n_negative_spans = n->span_count;
    if (text->is_float) {
        h->count_case = CMP__HISTOGRAM__COUNT_COUNT_FLOAT;
        h->count_float = bits_double(text->count);
        h->zero_count_case = CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT;
        h->zero_count_float = bits_double(text->zero);
        h->positive_counts = p->counts;
        h->n_positive_counts = p->count;
        h->negative_counts = n->counts;
        h->n_negative_counts = n->count;
        return;
    }
    h->count_case = CMP__HISTOGRAM__COUNT_COUNT_INT;
    h->count_int = (uint64_t)bits_double(text->count);
    h->zero_count_case = CMP__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
    h->zero_count_int = (uint64_t)bits_double(text->zero);
    h->positive_deltas = p->deltas;
    h->n_positive_deltas = p->count;
    h->negative_deltas = n->deltas;
    h->n_negative_deltas = n->count;
}

static enum err
take_histogram(char *at, struct line *line, struct why *why)
{
    struct histogram_text text = {.is_float = false};
    char *time = next_word(&at, " ");
    Cmp__Histogram *h = line->histogram = zeroed(1, sizeof *h);
    cmp__histogram__init(h);
    if (time == NULL || !parse_number(time, &h->timestamp))
        return why_set(why, ERR_INPUT, "a histogram's labels want a time behind them");
    for (char *word; (word = next_word(&at, " ")) != NULL;) {
        char *value = strchr(word, '=');
        if (value == NULL) return why_set(why, ERR_INPUT, "want KEY=VALUE: %s", word);
        *value++ = '\0';
        if (!take_key(word, value, &text, h)) return why_set(why, ERR_INPUT, "bad key: %s", word);
    }
    settle_counts(&text, h);
    return OK;
}

static enum err
take_metadata(char *at, struct line *line, struct why *why)
{
    char *name = next_word(&at, " "), *type = next_word(&at, " "), *unit = next_word(&at, " ");
    int64_t number;
    if (unit == NULL || !parse_number(type, &number))
        return why_set(why, ERR_INPUT, "want NAME TYPE UNIT HELP");
    Cmp__MetricMetadata *m = line->metadata = zeroed(1, sizeof *m);
    cmp__metric_metadata__init(m);
    m->type = (int32_t)number;
    m->metric_family_name = binary_of(bytes_of_text(name));
    m->help = binary_of(bytes_of_text(at));
    m->unit = binary_of(bytes_of_text(strcmp(unit, "-") == 0 ? "" : unit));
    return OK;
}

/* Reads a line. `text`, which is in the arena, is cut up; labels are views into it. */
static enum err
parse_line(char *text, struct line *ret_line, struct why *why)
{
    struct line line = {.bits = 0};
    char *word = text[0] == '@' ? next_word(&text, " ") : NULL;
    enum err e = OK;
    if (word != NULL && strcmp(word, "@metadata") == 0) {
        e = take_metadata(text, &line, why);
    } else {
        e = take_labels(&text, &line.labels, why);
        if (e == OK && word == NULL) {
            e = take_value(text, &line, why);
        } else if (e == OK && strcmp(word, "@histogram") == 0) {
            e = take_histogram(text, &line, why);
        } else if (e == OK && strcmp(word, "@exemplar") == 0) {
            line.is_exemplar = true;
            e = take_labels(&text, &line.exemplar_labels, why);
            if (e == OK) e = take_value(text, &line, why);
        } else if (e == OK) {
            e = why_set(why, ERR_INPUT, "no such kind of line: %s", word);
        }
    }
    if (e == OK) *ret_line = line;
    return e;
}

/* --- one request ------------------------------------------------------------------------------ */

static Cmp__Sample **
samples_of(const struct line *line)
{
    Cmp__Sample *sample = zeroed(1, sizeof *sample);
    Cmp__Sample **list = zeroed(1, sizeof *list);
    cmp__sample__init(sample);
    sample->value = line->bits;
    sample->timestamp = line->t_ms;
    sample->start_timestamp = line->start_ms;
    list[0] = sample;
    return list;
}

static Cmp__Histogram **
histograms_of(const struct line *line)
{
    Cmp__Histogram **list = zeroed(1, sizeof *list);
    list[0] = line->histogram;
    return list;
}

static void
put_labels_1(const struct labels *labels, size_t *ret_count, Cmp__Label ***ret_list)
{
    *ret_count = labels->count;
    *ret_list = zeroed(labels->count, sizeof **ret_list);
    for (size_t i = 0; i < labels->count; i++) {
        Cmp__Label *label = (*ret_list)[i] = zeroed(1, sizeof *label);
        cmp__label__init(label);
        label->name = binary_of(labels->at[i].name);
        label->value = binary_of(labels->at[i].value);
    }
}

static Cmp__TimeSeries *
series_1(const struct line *line)
{
    Cmp__TimeSeries *series = zeroed(1, sizeof *series);
    cmp__time_series__init(series);
    put_labels_1(&line->labels, &series->n_labels, &series->labels);
    if (line->is_exemplar) {
        Cmp__Exemplar *x = zeroed(1, sizeof *x);
        cmp__exemplar__init(x);
        put_labels_1(&line->exemplar_labels, &x->n_labels, &x->labels);
        memcpy(&x->value, &line->bits, sizeof line->bits);
        x->timestamp = line->t_ms;
        series->exemplars = zeroed(1, sizeof *series->exemplars);
        series->exemplars[series->n_exemplars++] = x;
    } else if (line->histogram != NULL) {
        series->n_histograms = 1;
        series->histograms = histograms_of(line);
    } else {
        series->n_samples = 1;
        series->samples = samples_of(line);
    }
    return series;
}

static void
put_request_1(const struct line *lines, size_t count, struct buf *to)
{
    Cmp__WriteRequest request = CMP__WRITE_REQUEST__INIT;
    request.timeseries = zeroed(count, sizeof *request.timeseries);
    request.metadata = zeroed(count, sizeof *request.metadata);
    for (size_t i = 0; i < count; i++)
        if (lines[i].metadata != NULL)
            request.metadata[request.n_metadata++] = lines[i].metadata;
        else
            request.timeseries[request.n_timeseries++] = series_1(&lines[i]);
    oracle_need(buf_reserve(to, cmp__write_request__get_packed_size(&request)));
    to->size += cmp__write_request__pack(&request, to->at + to->size);
}

/* Returns the reference of a symbol, added if it is new. */
static uint32_t
symbol_of(Cmp__RequestV2 *request, struct bytes text)
{
    for (size_t i = 0; i < request->n_symbols; i++) {
        struct bytes known = bytes_of(request->symbols[i].data, request->symbols[i].len);
        if (bytes_equal(known, text)) return (uint32_t)i;
    }
    request->symbols[request->n_symbols] = binary_of(text);
    return (uint32_t)request->n_symbols++;
}

static void
put_labels_2(Cmp__RequestV2 *request, const struct labels *labels, size_t *ret_count,
             uint32_t **ret_refs)
{
    *ret_refs = zeroed(2 * labels->count, sizeof **ret_refs);
    for (size_t i = 0; i < labels->count; i++) {
        (*ret_refs)[(*ret_count)++] = symbol_of(request, labels->at[i].name);
        (*ret_refs)[(*ret_count)++] = symbol_of(request, labels->at[i].value);
    }
}

static Cmp__TimeSeriesV2 *
series_2(Cmp__RequestV2 *request, const struct line *line)
{
    Cmp__TimeSeriesV2 *series = zeroed(1, sizeof *series);
    cmp__time_series_v2__init(series);
    put_labels_2(request, &line->labels, &series->n_labels_refs, &series->labels_refs);
    if (line->is_exemplar) {
        Cmp__ExemplarV2 *x = zeroed(1, sizeof *x);
        cmp__exemplar_v2__init(x);
        put_labels_2(request, &line->exemplar_labels, &x->n_labels_refs, &x->labels_refs);
        memcpy(&x->value, &line->bits, sizeof line->bits);
        x->timestamp = line->t_ms;
        series->exemplars = zeroed(1, sizeof *series->exemplars);
        series->exemplars[series->n_exemplars++] = x;
    } else if (line->histogram != NULL) {
        series->n_histograms = 1;
        series->histograms = histograms_of(line);
    } else {
        series->n_samples = 1;
        series->samples = samples_of(line);
    }
    return series;
}

static void
put_request_2(const struct line *lines, size_t count, struct buf *to)
{
    Cmp__RequestV2 request = CMP__REQUEST_V2__INIT;
    size_t symbols_max = 1;
    for (size_t i = 0; i < count; i++)
        symbols_max += 2 * (lines[i].labels.count + lines[i].exemplar_labels.count);
    request.symbols = zeroed(symbols_max, sizeof *request.symbols);
    request.timeseries = zeroed(count, sizeof *request.timeseries);
    request.n_timeseries = count;
    symbol_of(&request, bytes_of("", 0));
    for (size_t i = 0; i < count; i++)
        request.timeseries[i] = series_2(&request, &lines[i]);
    oracle_need(buf_reserve(to, cmp__request_v2__get_packed_size(&request)));
    to->size += cmp__request_v2__pack(&request, to->at + to->size);
}

static void
write_record(int version, const struct line *lines, size_t count)
{
    struct buf message;
    buf_init(&message, NULL, (size_t)1 << 30);
    if (version == 2)
        put_request_2(lines, count, &message);
    else
        put_request_1(lines, count, &message);
    size_t size = snappy_max_compressed_length(message.size);
    char *packed = oracle_must(malloc(size + 4));
    snappy_compress((const char *)message.at, message.size, packed + 4, &size);
    store_le32(packed, (uint32_t)size);
    if (fwrite(packed, 1, size + 4, stdout) != size + 4) {
        perror("rwmake: standard output");
        exit(2);
    }
    free(packed);
    buf_fini(&message);
}

static void
refuse(size_t number, const char *text)
{
    fprintf(stderr, "rwmake: line %zu: %s\n", number, text);
    exit(2);
}

static void
convert(int version)
{
    struct line *lines = oracle_must(calloc(SERIES_MAX, sizeof *lines));
    size_t count = 0;
    size_t number = 0;
    char *input = NULL;
    size_t capacity = 0;
    for (ssize_t size; (size = getline(&input, &capacity, stdin)) >= 0;) {
        number++;
        if (size > 0 && input[size - 1] == '\n') input[--size] = '\0';
        if (input[0] == '\0' || input[0] == '#') continue;
        if (strcmp(input, "---") == 0) {
            write_record(version, lines, count);
            arena_reset(&arena);
            count = 0;
            continue;
        }
        struct why why;
        if (count == SERIES_MAX) refuse(number, "too many lines for one request");
        char *text = oracle_must(arena_alloc(&arena, (size_t)size + 1));
        memcpy(text, input, (size_t)size + 1);
        if (parse_line(text, &lines[count], &why)) refuse(number, why.text);
        if (version == 2 && lines[count].metadata != NULL) refuse(number, "metadata: only in 1");
        count++;
    }
    free(input);
    if (count > 0) write_record(version, lines, count);
    free(lines);
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"version", required_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int version = 1;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(USAGE, stdout);
            return 0;
        }
        if (option != 'v' || (strcmp(optarg, "1") != 0 && strcmp(optarg, "2") != 0)) {
            fputs(USAGE, stderr);
            return 2;
        }
        version = optarg[0] - '0';
    }
    if (optind != argc) {
        fputs(USAGE, stderr);
        return 2;
    }
    arena_init(&arena, NULL, 0, 0);
    convert(version);
    arena_fini(&arena);
    if (fflush(stdout) != 0) {
        perror("rwmake: standard output");
        return 2;
    }
    return 0;
}
