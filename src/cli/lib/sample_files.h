/*
 * sample_files.h - files of samples: reads and writes them, compressed or not, and knows their
 * formats.
 *
 * Threads: one.
 */
#ifndef CLI_LIB_SAMPLE_FILES_H
#define CLI_LIB_SAMPLE_FILES_H

#include <stdatomic.h>

#include "backend/settings.h"
#include "base/buf.h"
#include "base/err.h"
#include "cli/lib/terminal.h"
#include "model/select.h"
#include "model/selector.h"
#include "wire/text/text_format.h"

/* --- input ------------------------------------------------------------------------------------ */

/* Reads a file or standard input, uncompressed if it is gzip or zstd, as lines or as pieces of a
 * known size. Memory: one line or piece, and some hundred KiB. */
enum { INPUT_HEAD_BYTES = 65536 };

struct input;

/* `path` "-" is standard input. `stop` (may be NULL): once it is set, waiting for a pipe ends
 * with ERR_CANCELED. ERR_MISSING, ERR_IO, ERR_NOMEM; ERR_INPUT: a directory. */
MUST_CHECK enum err input_open(const char *path, const atomic_bool *stop, struct input **ret_input,
                               struct why *why);
void input_free(struct input *input);

/* Views below end with the next call. */

/* Returns up to INPUT_HEAD_BYTES of the next bytes, without taking them. */
MUST_CHECK enum err input_head(struct input *input, struct bytes *ret_head, struct why *why);

/*
 * Returns the next line, without its line feed; `at` NULL after the last. ERR_LIMIT: it is longer
 * than `size_max`; it was skipped, and the next call returns the next line. ERR_CORRUPT: the
 * compressed bytes are invalid or end too early; everything before was returned.
 */
MUST_CHECK enum err input_line(struct input *input, size_t size_max, struct bytes *ret_line,
                               struct why *why);

/* Does the same for JSON: an object that follows another without a line feed is a line of its own
 * (wire/json/json_scan.h), also for the counts of lines. */
MUST_CHECK enum err input_object(struct input *input, size_t size_max, struct bytes *ret_line,
                                 struct why *why);

/* Does the same for CSV: a line feed within double quotes belongs to the record. ERR_LIMIT: the
 * quotes do not close within `size_max` bytes; only the first line was taken. */
MUST_CHECK enum err input_record(struct input *input, size_t size_max, struct bytes *ret_record,
                                 struct why *why);

/* Returns exactly `size` bytes; `at` NULL at the end. ERR_CORRUPT: fewer are left. */
MUST_CHECK enum err input_piece(struct input *input, size_t size, struct bytes *ret_piece,
                                struct why *why);

struct input_position {
    uint64_t lines;      /* taken */
    uint64_t line_begin; /* number, from 1, of the first line of the line or record just returned */
    bool line_is_last;   /* it ends with the input, without a line feed: it may be cut short */
    uint64_t read_bytes; /* of the compressed file */
    uint64_t file_bytes; /* its size; 0: not known */
};
/* Valid until input_free(). */
const struct input_position *input_position(const struct input *input);

/* --- output ----------------------------------------------------------------------------------- */

/* Writes a file or standard output, optionally compressed, with checkpoints: everything before a
 * checkpoint is durable, and everything after it can be undone. */
struct output;

/*
 * `path` NULL or "-" is standard output. A file is created, or, with `resume_bytes` > 0, cut to
 * that size and continued. ERR_INPUT: the file is shorter than that; ERR_IO, ERR_FULL, ERR_NOMEM.
 */
MUST_CHECK enum err output_open(const char *path, enum compression packing, uint64_t resume_bytes,
                                struct output **ret_output, struct why *why);
/* Drops everything that is not written. */
void output_free(struct output *output);

/* Appends bytes, through a buffer. ERR_IO, ERR_FULL, ERR_NOMEM. */
MUST_CHECK enum err output_write(struct output *output, struct bytes piece, struct why *why);

/* Makes a checkpoint: ends the compressed frame, writes everything, and makes a file durable.
 * `ret_bytes`: the size on disk, for output_back() and a later resume. */
MUST_CHECK enum err output_position(struct output *output, uint64_t *ret_bytes, struct why *why);
/* Undoes everything after that checkpoint. ERR_UNSUPPORTED: the output is not a file. */
MUST_CHECK enum err output_back(struct output *output, uint64_t bytes, struct why *why);

/* Returns the packing of a name's suffix: .gz, .zst. */
enum compression output_packing_of(const char *path);

/* --- formats and samples ---------------------------------------------------------------------- */

/* Those of text_format.h, and captures. */
enum { FORMAT_CAPTURE = TEXT_FORMAT_COUNT, FORMAT_UNKNOWN };

/* Parses a value of --format: "jsonl", "rw", ... ERR_INPUT: unknown format. */
MUST_CHECK enum err sample_format_parse(const char *word, int *ret_format, struct why *why);
/* Returns the format of a suffix, before .gz or .zst, or FORMAT_UNKNOWN. `path` may be NULL. */
int sample_format_of(const char *path);

struct sink_counts {
    uint64_t series; /* a series counts again in each slice */
    uint64_t samples;
    uint64_t histograms;
    uint64_t histograms_left_out;
    uint64_t stale_left_out;
    uint64_t nan_altered;
};

struct sample_sink;

/* `format` is one of those above; `output` is borrowed. Series that one of `skipped` selects are
 * left out. */
MUST_CHECK enum err sample_sink_new(int format, struct output *output, struct progress *progress,
                                    const struct selector *skipped, uint32_t skipped_count,
                                    struct sample_sink **ret_sink, struct why *why);
void sample_sink_free(struct sample_sink *sink);

/* Writes the header: once for an output. */
MUST_CHECK enum err sample_sink_begin(struct sample_sink *sink, struct why *why);
/* Writes a series, and its samples in the set. */
MUST_CHECK enum err sample_sink_take(struct sample_sink *sink, struct bytes labels,
                                     struct series_set *set, struct why *why);
/* Ends the last series, and passes everything to the output. */
MUST_CHECK enum err sample_sink_series_end(struct sample_sink *sink, struct why *why);
/* Writes the end, after all samples. */
MUST_CHECK enum err sample_sink_end(struct sample_sink *sink, struct why *why);

struct sink_counts sample_sink_counts(const struct sample_sink *sink);
/* Sets the values for the progress: `samples_before` count for the rate, `done` of `all` as for
 * progress_show(). */
void sample_sink_progress(struct sample_sink *sink, uint64_t samples_before, uint64_t done,
                          uint64_t all);

#endif
