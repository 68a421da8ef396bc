/*
 * lines.h - the samples of an object's text: one NDJSON object per line (wire/json/ndjson_line.h),
 * as Firekeep and others write it, or without line feeds between them, as Firehose joins them: then
 * each object counts as a line.
 *
 * A line that cannot be read is junk: it is counted, and the lines after it are read.
 *
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_LINES_H
#define BACKEND_ARCHIVE_LINES_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "wire/shape.h"

enum {
    ARCHIVE_LINE_BYTES_MAX = 4 << 20, /* a longer line is junk */
    ARCHIVE_TEXTS_MAX = 256 * 1024,   /* label texts that are remembered */
};

/* Receives samples. An error ends the reading, and is returned. */
struct archive_line_sink {
    /* Gives a number to labels that are new since archive_lines_forget(), in any order and with
     * room for FINAL_LABELS_MAX. ERR_CORRUPT, ERR_LIMIT: they cannot be the labels of a series; the
     * line is junk. */
    enum err (*labels)(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
                       struct why *why);
    /* True if a sample with such labels and time is needed; otherwise its value is not read. */
    bool (*wants)(void *context, uint32_t number, int64_t t_ms);
    enum err (*number)(void *context, uint32_t number, int64_t t_ms, uint64_t bits,
                       int64_t start_ms, struct why *why);
    /* ERR_INPUT: it is not valid; the line is junk. */
    enum err (*histogram)(void *context, uint32_t number, int64_t t_ms,
                          const struct histogram *histogram, int64_t start_ms, struct why *why);
    /* There are more labels than can be remembered: all numbers become invalid. */
    void (*forget)(void *context);
    /* `why` has the reason. */
    enum err (*junk)(void *context, uint64_t line, const struct why *why);
    void *context;
};

struct archive_lines;
/* ERR_NOMEM. */
MUST_CHECK enum err archive_lines_new(struct budget *budget, uint64_t seed,
                                      const struct archive_line_sink *sink,
                                      struct archive_lines **ret_lines);
void archive_lines_free(struct archive_lines *lines);

/* Begins a text; its lines are counted from 1. */
void archive_lines_begin(struct archive_lines *lines);
MUST_CHECK enum err archive_lines_give(struct archive_lines *lines, struct bytes text,
                                       struct why *why);
/* Ends the text, which need not end in a line feed. */
MUST_CHECK enum err archive_lines_end(struct archive_lines *lines, struct why *why);
/* True if the text so far ended with a line. */
bool archive_lines_is_between(const struct archive_lines *lines);
/* Makes all numbers of labels invalid. */
void archive_lines_forget(struct archive_lines *lines);

#endif
