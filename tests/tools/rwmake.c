/*
 * rwmake.c - makes a capture from text: the smallest way for a test to write exactly these samples.
 *
 * A line is NAME{label="value",...} VALUE T_MS and becomes a series with one sample. VALUE is a
 * number, or 0x and 16 hex digits: the bits. A line of `---` begins the next request; `#` a
 * comment.
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
    "  NAME{label=\"value\",...} VALUE T_MS   a sample; VALUE may be 0x and 16 hex digits\n"
    "  ---                                  begins the next request\n"
    "exit status: 0 written, 2 error (with the line's number)\n";

enum { SERIES_MAX = 10000 };

/* Everything made from the text: it all lives until the end. */
static struct arena arena;

struct line {
    struct oracle_label labels[ORACLE_MATCHERS_MAX + 1];
    size_t label_count;
    uint64_t bits;
    int64_t t_ms;
};

static int
label_compare_any(const void *left, const void *right)
{
    const struct oracle_label *a = left;
    const struct oracle_label *b = right;
    return bytes_compare(a->name, b->name);
}

static bool
parse_value(const char *text, uint64_t *ret_bits)
{
    char *end;
    errno = 0;
    if (strncmp(text, "0x", 2) == 0 && strlen(text) == 18) {
        *ret_bits = strtoull(text, &end, 16);
    } else {
        *ret_bits = double_bits(strtod(text, &end));
    }
    return *text != '\0' && *end == '\0';
}

/* Cuts the last word off `text`; NULL if there is only one. */
static char *
last_word(char *text)
{
    char *space = strrchr(text, ' ');
    if (space == NULL) return NULL;
    *space = '\0';
    return space + 1;
}

/* `text`, which is in the arena, is cut up; labels are views into it. */
static enum err
parse_line(char *text, struct line *ret_line, struct why *why)
{
    struct line line = {.label_count = 0};
    char *end = NULL;
    char *time = last_word(text);
    char *value = time == NULL ? NULL : last_word(text);
    if (value == NULL) return why_set(why, ERR_INPUT, "want NAME{...} VALUE T_MS");
    line.t_ms = strtoll(time, &end, 10);
    if (*time == '\0' || *end != '\0') return why_set(why, ERR_INPUT, "no time: %s", time);
    if (!parse_value(value, &line.bits)) return why_set(why, ERR_INPUT, "no value: %s", value);

    size_t name_size = strcspn(text, "{");
    struct oracle_options options = {.matcher_count = 0};
    if (text[name_size] == '{') {
        enum err e = oracle_parse_matchers(text + name_size, &arena, &options, why);
        if (e) return e;
    }
    for (size_t i = 0; i < options.matcher_count; i++) {
        if (options.matchers[i].type != ORACLE_EQ) return why_set(why, ERR_INPUT, "only = here");
        line.labels[line.label_count++] =
            (struct oracle_label){options.matchers[i].name, options.matchers[i].value};
    }
    if (name_size > 0) {
        line.labels[line.label_count++] =
            (struct oracle_label){bytes_of_text("__name__"), bytes_of(text, name_size)};
    }
    qsort(line.labels, line.label_count, sizeof *line.labels, label_compare_any);
    *ret_line = line;
    return OK;
}

/* --- one request ------------------------------------------------------------------------------ */

static ProtobufCBinaryData
binary_of(struct bytes b)
{
    return (ProtobufCBinaryData){b.size, (uint8_t *)(uintptr_t)b.at};
}

static void *
zeroed(size_t count, size_t size)
{
    return oracle_must(arena_new(&arena, (count + 1) * size));
}

static Cmp__Sample **
samples_of(const struct line *line)
{
    Cmp__Sample *sample = zeroed(1, sizeof *sample);
    Cmp__Sample **list = zeroed(1, sizeof *list);
    cmp__sample__init(sample);
    sample->value = line->bits;
    sample->timestamp = line->t_ms;
    list[0] = sample;
    return list;
}

static void
put_request_1(const struct line *lines, size_t count, struct buf *to)
{
    Cmp__WriteRequest request = CMP__WRITE_REQUEST__INIT;
    request.timeseries = zeroed(count, sizeof *request.timeseries);
    request.n_timeseries = count;
    for (size_t i = 0; i < count; i++) {
        Cmp__TimeSeries *series = zeroed(1, sizeof *series);
        cmp__time_series__init(series);
        series->n_labels = lines[i].label_count;
        series->labels = zeroed(series->n_labels, sizeof *series->labels);
        for (size_t l = 0; l < series->n_labels; l++) {
            series->labels[l] = zeroed(1, sizeof **series->labels);
            cmp__label__init(series->labels[l]);
            series->labels[l]->name = binary_of(lines[i].labels[l].name);
            series->labels[l]->value = binary_of(lines[i].labels[l].value);
        }
        series->n_samples = 1;
        series->samples = samples_of(&lines[i]);
        request.timeseries[i] = series;
    }
    oracle_need(buf_reserve(to, cmp__write_request__get_packed_size(&request)));
    to->size += cmp__write_request__pack(&request, to->at + to->size);
}

/* The reference of a symbol, added if it is new. */
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
put_request_2(const struct line *lines, size_t count, struct buf *to)
{
    Cmp__RequestV2 request = CMP__REQUEST_V2__INIT;
    size_t symbols_max = 1;
    for (size_t i = 0; i < count; i++)
        symbols_max += 2 * lines[i].label_count;
    request.symbols = zeroed(symbols_max, sizeof *request.symbols);
    request.timeseries = zeroed(count, sizeof *request.timeseries);
    request.n_timeseries = count;
    symbol_of(&request, bytes_of("", 0));
    for (size_t i = 0; i < count; i++) {
        Cmp__TimeSeriesV2 *series = zeroed(1, sizeof *series);
        cmp__time_series_v2__init(series);
        series->labels_refs = zeroed(2 * lines[i].label_count, sizeof *series->labels_refs);
        for (size_t l = 0; l < lines[i].label_count; l++) {
            uint32_t *refs = &series->labels_refs[series->n_labels_refs];
            refs[0] = symbol_of(&request, lines[i].labels[l].name);
            refs[1] = symbol_of(&request, lines[i].labels[l].value);
            series->n_labels_refs += 2;
        }
        series->n_samples = 1;
        series->samples = samples_of(&lines[i]);
        request.timeseries[i] = series;
    }
    oracle_need(buf_reserve(to, cmp__request_v2__get_packed_size(&request)));
    to->size += cmp__request_v2__pack(&request, to->at + to->size);
}

static void
write_record(int version, const struct line *lines, size_t count)
{
    struct buf message;
    buf_init(&message, NULL, (size_t)1 << 30);
    if (version == 2) {
        put_request_2(lines, count, &message);
    } else {
        put_request_1(lines, count, &message);
    }
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
    struct line *lines = zeroed(SERIES_MAX, sizeof *lines);
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
            count = 0;
            continue;
        }
        struct why why;
        if (count == SERIES_MAX) refuse(number, "too many lines for one request");
        char *text = oracle_must(arena_alloc(&arena, (size_t)size + 1));
        memcpy(text, input, (size_t)size + 1);
        if (parse_line(text, &lines[count], &why)) refuse(number, why.text);
        count++;
    }
    free(input);
    if (count > 0) write_record(version, lines, count);
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
