/*
 * text_writer.h - writes samples in the forms that text_reader.h reads, series by series.
 *
 * JSON lines, NDJSON and CSV carry every bit of a float. OpenMetrics and Prometheus text have only
 * one NaN: staleness markers are left out, and other NaNs lose their payload. Only NDJSON
 * (ndjson_line.h) carries native histograms. All omissions and changes are counted.
 */
#ifndef WIRE_TEXT_TEXT_WRITER_H
#define WIRE_TEXT_TEXT_WRITER_H

#include "wire/text/text_reader.h"

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
