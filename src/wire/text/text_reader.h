/*
 * text_reader.h - reads samples from the text forms that import takes, a line at a time:
 *
 *     TEXT_OPENMETRICS   OpenMetrics 1.0 text: Unix seconds, exemplars, "# EOF" at the end
 *     TEXT_PROMETHEUS    Prometheus text 0.0.4: Unix milliseconds
 *     TEXT_JSON_LINES    {"metric":{"__name__":"up"},"values":[1],"timestamps":[1700000000000]}
 *     TEXT_NDJSON        {"name":"up","time":1700000000000,"value":1,"labels":{"job":"x"}}
 *     TEXT_CSV           a first line with column names
 *
 * A line is what stands between two line feeds (of CSV a record, whose quoted fields may hold line
 * feeds). Each gives one item, which may be empty. A bad line changes nothing for those after it.
 * What the labels are worth (order, names twice, UTF-8) is for model/labels.h to say.
 * The forms in detail: docs/import-export.md.
 */
#ifndef WIRE_TEXT_TEXT_READER_H
#define WIRE_TEXT_TEXT_READER_H

#include "base/buf.h"
#include "wire/shape.h"

enum text_format {
    TEXT_OPENMETRICS,
    TEXT_PROMETHEUS,
    TEXT_JSON_LINES,
    TEXT_NDJSON,
    TEXT_CSV,
    TEXT_FORMAT_COUNT
};

enum {
    TEXT_LINE_BYTES_MAX = 64 << 20, /* of all forms: what a caller may hold of a line */
    TEXT_CSV_BYTES_MAX = 1 << 20,   /* of a CSV record, so that a lost quote costs no more */
    TEXT_CSV_COLUMNS_MAX = 1024
};
#define TEXT_EARLY_MS 315532800000 /* 1980 */

struct text_exemplar {
    struct label *labels;
    uint32_t label_count;
    uint64_t bits;
    int64_t t_ms; /* that of the sample, if it has none of its own */
};

/* All pointers are views of the line or of the reader, and end with its next call. */
struct text_item {
    /* Samples of one series; label_count 0: none. They are floats, or one histogram, or nothing but
     * exemplars. */
    struct label *labels; /* as they stand there, "__name__" among them; may be sorted in place */
    uint32_t label_count;
    uint32_t sample_count;
    const int64_t *times_ms;
    const uint64_t *bits;
    const struct histogram *histogram; /* NULL: none. Whether it is right was not looked at */
    int64_t histogram_ms;
    int64_t start_ms; /* of the one float or histogram; 0: not known */
    struct text_exemplar *exemplars;
    uint32_t exemplar_count;

    /* What is known of a metric family, once all of it has been read. */
    bool has_metadata;
    struct bytes family;
    enum metric_type type;
    struct bytes help;
    struct bytes unit;

    /* The column or member with a time before 1980 that was read as Unix milliseconds because it
     * does not name its unit, and the time; `at` NULL: there is no such time. */
    struct bytes early_column;
    int64_t early_ms;

    bool junk; /* NDJSON: a row that an archive wrote for a series without samples */
};

struct text_reader_options {
    enum text_format format;
    bool has_time; /* else a sample without a time is an error */
    int64_t time_ms;
    struct budget *budget;
};

struct text_reader;
MUST_CHECK enum err text_reader_new(const struct text_reader_options *options,
                                    struct text_reader **ret_reader);
void text_reader_free(struct text_reader *reader);

/*
 * `line`: without its line feed; borrowed until the next call. ERR_INPUT: a bad line, `why` says
 * what is wrong; ERR_LIMIT: too much in one line; ERR_NOMEM.
 */
MUST_CHECK enum err text_reader_line(struct text_reader *reader, struct bytes line,
                                     struct text_item *ret_item, struct why *why);
/*
 * The same for a last line without a line feed, which may be cut short. ERR_INPUT also: its form
 * does not show that it is whole, as the end of a JSON object and "# EOF" do.
 */
MUST_CHECK enum err text_reader_last_line(struct text_reader *reader, struct bytes line,
                                          struct text_item *ret_item, struct why *why);
/*
 * A line that was dealt with by an earlier run: only what later lines depend on is taken from it
 * (the columns of CSV, the family at hand, whether the end was there).
 */
MUST_CHECK enum err text_reader_skip(struct text_reader *reader, struct bytes line,
                                     struct why *why);
/* No more lines: the last metadata. ERR_INPUT: the form has an end, and that was not there. */
MUST_CHECK enum err text_reader_end(struct text_reader *reader, struct text_item *ret_item,
                                    struct why *why);

/* "openmetrics", "prometheus", "jsonl", "ndjson", "csv". */
const char *text_format_word(enum text_format format);
bool text_format_parse(const char *word, enum text_format *ret_format);

/* What the first bytes of a file look like. False: like none of these. */
bool text_format_guess(struct bytes head, enum text_format *ret_format);

#endif
