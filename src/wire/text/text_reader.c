/* text_reader.c - the common part of all forms: the memory of a line, and the detection of a file's
 * form. */
#include "wire/json/json_scan.h"
#include "wire/text/text_reader_private.h"

enum {
    LABELS_BYTES_MAX = 65536 * (int)sizeof(struct label),
    SAMPLES_BYTES_MAX = 512 << 20, /* more than a line of 64 MiB can have */
    EXEMPLARS_BYTES_MAX = 65536 * (int)sizeof(struct text_exemplar),
    METADATA_BYTES_MAX = 1 << 20,
    COLUMNS_BYTES_MAX = 1 << 20
};

#define BUF(member) offsetof(struct text_reader, member)
static const struct {
    size_t at; /* in struct text_reader */
    uint32_t bytes_max;
    bool is_kept; /* from line to line */
} bufs[] = {
    {BUF(labels), LABELS_BYTES_MAX, false},        {BUF(exemplar_labels), LABELS_BYTES_MAX, false},
    {BUF(times), SAMPLES_BYTES_MAX, false},        {BUF(values), SAMPLES_BYTES_MAX, false},
    {BUF(exemplars), EXEMPLARS_BYTES_MAX, false},  {BUF(family), METADATA_BYTES_MAX, true},
    {BUF(help), METADATA_BYTES_MAX, true},         {BUF(unit), METADATA_BYTES_MAX, true},
    {BUF(done_family), METADATA_BYTES_MAX, false}, {BUF(done_help), METADATA_BYTES_MAX, false},
    {BUF(done_unit), METADATA_BYTES_MAX, false},   {BUF(columns), COLUMNS_BYTES_MAX, true},
    {BUF(column_names), COLUMNS_BYTES_MAX, true},
};
enum { BUF_COUNT = sizeof bufs / sizeof *bufs };

static struct buf *
buf_number(struct text_reader *r, unsigned i)
{
    return (struct buf *)(void *)((uint8_t *)r + bufs[i].at);
}

enum err
text_reader_new(const struct text_reader_options *options, struct text_reader **ret_reader)
{
    struct budget *budget = options->budget;
    struct text_reader *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->options = *options;
    arena_init(&r->arena, budget, 2 * (uint64_t)TEXT_LINE_BYTES_MAX, 0);
    for (unsigned i = 0; i < BUF_COUNT; i++)
        buf_init(buf_number(r, i), budget, bufs[i].bytes_max);
    *ret_reader = r;
    return OK;
}

void
text_reader_free(struct text_reader *r)
{
    if (r == NULL) return;
    for (unsigned i = 0; i < BUF_COUNT; i++)
        buf_fini(buf_number(r, i));
    arena_fini(&r->arena);
    mem_free(r->options.budget, r, sizeof *r);
}

void
text_put_label(struct buf *labels, struct bytes name, struct bytes value)
{
    struct label label = {name, value};
    buf_put(labels, &label, sizeof label);
}

void
text_put_sample(struct text_reader *r, int64_t t_ms, uint64_t bits)
{
    buf_put(&r->times, &t_ms, sizeof t_ms);
    buf_put(&r->values, &bits, sizeof bits);
}

void
text_put_exemplar(struct text_reader *r, uint32_t label_count, int64_t t_ms, uint64_t bits)
{
    struct text_exemplar exemplar = {.label_count = label_count, .bits = bits, .t_ms = t_ms};
    buf_put(&r->exemplars, &exemplar, sizeof exemplar);
}

void
text_note_time(struct text_reader *r, struct bytes column, int64_t t_ms)
{
    if (t_ms >= TEXT_EARLY_MS) return;
    r->early_column = column;
    r->early_ms = t_ms;
}

static void
begin_line(struct text_reader *r, struct text_item *item)
{
    *item = (struct text_item){0};
    r->early_column = bytes_of(NULL, 0);
    arena_reset(&r->arena);
    for (unsigned i = 0; i < BUF_COUNT; i++)
        if (!bufs[i].is_kept) buf_clear(buf_number(r, i));
}

static enum err
read_line(struct text_reader *r, struct bytes line, struct text_item *item, struct why *why)
{
    switch (r->options.format) {
    case TEXT_OPENMETRICS:
    case TEXT_PROMETHEUS:
        return exposition_line(r, line, item, why);
    case TEXT_JSON_LINES:
        return json_lines_line(r, line, item, why);
    case TEXT_NDJSON:
        return ndjson_line(r, line, item, why);
    case TEXT_CSV:
    case TEXT_FORMAT_COUNT:
        break;
    }
    return csv_line(r, line, item, why);
}

static bool
text_reader_is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.at[i] != ' ' && line.at[i] != '\t') return false;
    return true;
}

enum err
text_reader_line(struct text_reader *r, struct bytes line, struct text_item *ret_item,
                 struct why *why)
{
    struct text_item item;
    begin_line(r, &item);
    if (line.size > 0 && line.at[line.size - 1] == '\r') line.size--;
    *ret_item = item;
    if (text_reader_is_blank(line)) return OK;
    enum err e = read_line(r, line, &item, why);
    enum err memory = OK; /* takes precedence */
    for (unsigned i = 0; i < BUF_COUNT; i++)
        memory = err_first(memory, buf_error(buf_number(r, i)));
    if (memory) {
        e = why_set(why, memory, "not enough memory for the line");
        r->has_family = false;
        buf_clear(&r->family);
        buf_clear(&r->help);
        buf_clear(&r->unit);
    }
    if (e) return e;
    item.labels = (struct label *)(void *)r->labels.at;
    item.label_count = (uint32_t)(r->labels.size / sizeof(struct label));
    item.times_ms = (const int64_t *)(const void *)r->times.at;
    item.bits = (const uint64_t *)(const void *)r->values.at;
    item.sample_count = (uint32_t)(r->times.size / sizeof(int64_t));
    if (item.label_count > 0) { /* else there is no sample */
        item.early_column = r->early_column;
        item.early_ms = r->early_ms;
    }
    item.exemplars = (struct text_exemplar *)(void *)r->exemplars.at;
    item.exemplar_count = (uint32_t)(r->exemplars.size / sizeof *item.exemplars);
    struct label *labels = (struct label *)(void *)r->exemplar_labels.at;
    for (uint32_t i = 0; i < item.exemplar_count; i++) {
        item.exemplars[i].labels = labels;
        if (labels != NULL) labels += item.exemplars[i].label_count;
    }
    *ret_item = item;
    return OK;
}

enum err
text_reader_last_line(struct text_reader *r, struct bytes line, struct text_item *ret_item,
                      struct why *why)
{
    enum text_format format = r->options.format;
    bool closes = format == TEXT_JSON_LINES || format == TEXT_NDJSON ||
                  (format == TEXT_OPENMETRICS && bytes_equal_text(line, "# EOF"));
    if (closes || text_reader_is_blank(line)) return text_reader_line(r, line, ret_item, why);
    return why_set(why, ERR_INPUT,
                   "the last line has no line feed and may be cut short; add one if the line is "
                   "complete");
}

enum err
text_reader_skip(struct text_reader *r, struct bytes line, struct why *why)
{
    struct text_item item;
    bool exposition = r->options.format == TEXT_OPENMETRICS || r->options.format == TEXT_PROMETHEUS;
    bool comment = exposition && line.size > 0 && line.at[0] == '#';
    bool header = r->options.format == TEXT_CSV && !csv_has_columns(r);
    return comment || header ? text_reader_line(r, line, &item, why) : OK;
}

enum err
text_reader_end(struct text_reader *r, struct text_item *ret_item, struct why *why)
{
    begin_line(r, ret_item);
    return exposition_end(r, ret_item, why);
}

/* --- formats ---------------------------------------------------------------------------------- */

static const char *const words[TEXT_FORMAT_COUNT] = {"openmetrics", "prometheus", "jsonl", "ndjson",
                                                     "csv"};

const char *
text_format_word(enum text_format format)
{
    return words[format];
}

bool
text_format_parse(const char *word, enum text_format *ret_format)
{
    for (unsigned i = 0; i < TEXT_FORMAT_COUNT; i++) {
        if (strcmp(word, words[i]) != 0) continue;
        *ret_format = (enum text_format)i;
        return true;
    }
    return false;
}

static bool
contains(struct bytes text, const char *word)
{
    return text.size > 0 && memmem(text.at, text.size, word, strlen(word)) != NULL;
}

/* Distinguishes the two forms: present-day milliseconds have more than 11 digits, seconds fewer. */
static enum text_format
guess_exposition(struct bytes head)
{
    struct cursor c = cursor_of(head);
    if (contains(head, "# EOF") || contains(head, "# UNIT ")) return TEXT_OPENMETRICS;
    while (c.at != c.end) {
        const uint8_t *feed = memchr(c.at, '\n', cursor_left(&c));
        const uint8_t *end = feed == NULL ? c.end : feed;
        const uint8_t *exemplar = memmem(c.at, (size_t)(end - c.at), " # {", 4);
        if (exemplar != NULL && *c.at != '#') return TEXT_OPENMETRICS;
        const uint8_t *blank = end > c.at ? memrchr(c.at, ' ', (size_t)(end - c.at)) : NULL;
        if (feed != NULL && *c.at != '#' && blank != NULL) {
            struct bytes last = {blank + 1, (size_t)(end - blank - 1)};
            const uint8_t *before = memrchr(c.at, ' ', (size_t)(blank - c.at));
            bool three = before != NULL && memchr(before, '}', (size_t)(blank - before)) == NULL;
            if (three && contains(last, ".")) return TEXT_OPENMETRICS;
            if (three && last.size <= 11) return TEXT_OPENMETRICS;
            if (three) return TEXT_PROMETHEUS;
        }
        if (feed == NULL) break;
        c.at = feed + 1;
    }
    return TEXT_PROMETHEUS;
}

/* A brace, a text and a colon: exposition lines do not begin like that. */
static bool
begins_object(struct bytes head)
{
    size_t i = 1;
    while (i < head.size && (head.at[i] == ' ' || head.at[i] == '\t'))
        i++;
    if (i == head.size || head.at[i] != '"') return false;
    const uint8_t *close = memchr(head.at + i + 1, '"', head.size - i - 1);
    if (close == NULL) return false;
    i = (size_t)(close - head.at) + 1;
    while (i < head.size && (head.at[i] == ' ' || head.at[i] == '\t'))
        i++;
    return i < head.size && head.at[i] == ':';
}

bool
text_format_guess(struct bytes head, enum text_format *ret_format)
{
    size_t skip = 0;
    while (skip < head.size && strchr(" \t\r\n", head.at[skip]) != NULL && head.at[skip] != 0)
        skip++;
    head = bytes_of(head.at + skip, head.size - skip);
    if (head.size == 0 || memchr(head.at, 0, head.size) != NULL) return false;
    if (head.at[0] == '{' && begins_object(head)) {
        struct json_objects objects = {0};
        struct bytes first = bytes_of(head.at, json_objects_end(&objects, head));
        bool whole = contains(first, "\"metric\"") || contains(first, "\"timestamps\"");
        *ret_format = whole ? TEXT_JSON_LINES : TEXT_NDJSON;
        return true;
    }
    const uint8_t *feed = memchr(head.at, '\n', head.size);
    struct bytes line = {head.at, feed == NULL ? head.size : (size_t)(feed - head.at)};
    *ret_format = csv_is_header(line) ? TEXT_CSV : guess_exposition(head);
    return true;
}
