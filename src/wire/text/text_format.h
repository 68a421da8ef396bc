/*
 * text_format.h - reads samples from the text forms that import accepts, line by line:
 *
 *     TEXT_OPENMETRICS   OpenMetrics 1.0 text: Unix seconds, exemplars, "# EOF" at the end
 *     TEXT_PROMETHEUS    Prometheus text 0.0.4: Unix milliseconds
 *     TEXT_JSON_LINES    {"metric":{"__name__":"up"},"values":[1],"timestamps":[1700000000000]}
 *     TEXT_NDJSON        {"name":"up","time":1700000000000,"value":1,"labels":{"job":"x"}}
 *     TEXT_CSV           a first line with column names
 *
 * A line is the text between two line feeds (in CSV a record, whose quoted fields may hold line
 * feeds). Each line gives one item, which may be empty. A bad line does not affect the lines after
 * it. model/labels.h judges the labels (order, duplicate names, UTF-8). Description of the forms:
 * docs/import-export.md.
 */
#ifndef WIRE_TEXT_TEXT_FORMAT_H
#define WIRE_TEXT_TEXT_FORMAT_H

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
    TEXT_LINE_BYTES_MAX = 64 << 20, /* limit of a line in every form */
    TEXT_CSV_BYTES_MAX = 1 << 20,   /* limit of a CSV record: bounds the cost of a lost quote */
    TEXT_CSV_COLUMNS_MAX = 1024
};
#define TEXT_EARLY_MS 315532800000 /* 1980 */

struct text_exemplar {
    struct label *labels;
    uint32_t label_count;
    uint64_t bits;
    int64_t t_ms; /* time of the exemplar, else of the sample */
};

/* All pointers are views of the line or of the reader, and end with its next call. */
struct text_item {
    /* Samples of one series; label_count is 0 without a series. Floats, or one histogram, or only
     * exemplars. */
    struct label *labels; /* unsorted, "__name__" included; may be sorted in place */
    uint32_t label_count;
    uint32_t sample_count;
    const int64_t *times_ms;
    const uint64_t *bits;
    const struct histogram *histogram; /* NULL without a histogram; not validated */
    int64_t histogram_ms;
    int64_t start_ms; /* start time of the one float or histogram; 0 if not known */
    struct text_exemplar *exemplars;
    uint32_t exemplar_count;

    /* Metadata of a metric family, set when the family is complete. */
    bool has_metadata;
    struct bytes family;
    enum metric_type type;
    struct bytes help;
    struct bytes unit;

    /* The column or member with a time before 1980 that was read as Unix milliseconds because it
     * does not name its unit, and the time; `at` is NULL if all times are later. */
    struct bytes early_column;
    int64_t early_ms;

    bool junk; /* NDJSON: a row that an archive wrote for a series without samples */
};

struct text_reader_options {
    enum text_format format;
    bool has_time; /* time_ms is set; else a sample without a time is an error */
    int64_t time_ms;
    struct budget *budget;
};

struct text_reader;
/* ERR_NOMEM. */
MUST_CHECK enum err text_reader_new(const struct text_reader_options *options,
                                    struct text_reader **ret_reader);
void text_reader_free(struct text_reader *reader);

/* `line`: without its line feed; borrowed until the next call. ERR_INPUT: a bad line, see `why`;
 * ERR_LIMIT: too much in one line; ERR_NOMEM. */
MUST_CHECK enum err text_reader_line(struct text_reader *reader, struct bytes line,
                                     struct text_item *ret_item, struct why *why);
/* Reads a last line without a line feed, which may be truncated. ERR_INPUT also if its form does
 * not prove that it is complete, as the end of a JSON object and "# EOF" do. */
MUST_CHECK enum err text_reader_last_line(struct text_reader *reader, struct bytes line,
                                          struct text_item *ret_item, struct why *why);
/* Skips a line that an earlier run imported: keeps only the state that later lines need (the
 * columns of CSV, the current family, whether "# EOF" was read). */
MUST_CHECK enum err text_reader_skip(struct text_reader *reader, struct bytes line,
                                     struct why *why);
/* Ends the input and returns the last metadata. ERR_INPUT: the end mark of the form is missing. */
MUST_CHECK enum err text_reader_end(struct text_reader *reader, struct text_item *ret_item,
                                    struct why *why);

/* Returns "openmetrics", "prometheus", "jsonl", "ndjson" or "csv". */
const char *text_format_word(enum text_format format);
bool text_format_parse(const char *word, enum text_format *ret_format);

/* Guesses the form from the first bytes of a file. False: none matches. */
bool text_format_guess(struct bytes head, enum text_format *ret_format);

/* --- writing ---------------------------------------------------------------------------------- */

/*
 * Writes samples in the forms that text_format.h reads, series by series.
 *
 * JSON lines, NDJSON and CSV carry every bit of a float. OpenMetrics and Prometheus text have only
 * one NaN: staleness markers are left out, and other NaNs lose their payload. Only NDJSON
 * (sample_json.h) carries native histograms. All omissions and changes are counted.
 */

enum { TEXT_JSON_SAMPLES_MAX = 8192 }; /* limit of a line in JSON lines */

struct text_writer_counts {
    uint64_t series;
    uint64_t samples;
    uint64_t histograms;
    uint64_t histograms_left_out;
    uint64_t stale_left_out;
    uint64_t nan_altered;
};

struct text_writer;
/* ERR_NOMEM. */
MUST_CHECK enum err text_writer_new(enum text_format format, struct budget *budget,
                                    struct text_writer **ret_writer);
void text_writer_free(struct text_writer *writer);

/* All append to `to`, which reports out of memory; the caller may send and clear it between two
 * calls. Order: begin, then for each series series, floats and histograms, series_end; end.
 * ERR_NOMEM, ERR_LIMIT: the writer's own memory; the call wrote nothing. */
void text_writer_begin(struct text_writer *writer, struct buf *to);
/* `labels`: canonical label bytes (model/labels.h). */
MUST_CHECK enum err text_writer_series(struct text_writer *writer, struct bytes labels);
void text_writer_floats(struct text_writer *writer, uint32_t count, const int64_t *times_ms,
                        const uint64_t *bits, struct buf *to);
void text_writer_histogram(struct text_writer *writer, int64_t t_ms, const struct histogram *h,
                           struct buf *to);
/* Writes a CSV value that is not a number. It is not counted. */
void text_writer_text(struct text_writer *writer, int64_t t_ms, struct bytes text, struct buf *to);
void text_writer_series_end(struct text_writer *writer, struct buf *to);
void text_writer_end(struct text_writer *writer, struct buf *to);

/* Writes a text in double quotes as in the two text formats of Prometheus: with \\, \" and
 * . */
void text_put_escaped(struct buf *to, struct bytes text);

/* Counts of everything written so far, and of what the format cannot express. */
struct text_writer_counts text_writer_counts(const struct text_writer *writer);

#endif
