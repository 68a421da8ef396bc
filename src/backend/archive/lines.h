/*
 * lines.h - the samples of an object's text: one NDJSON object per line (wire/json/ndjson_line.h),
 * as we and others write it, or without line feeds between them, as Firehose joins them: each
 * counts as a line then.
 *
 * A line that cannot be read is junk: it is counted, and changes nothing for those after it.
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
    ARCHIVE_LINE_BYTES_MAX = 4 << 20, /* a longer one is junk */
    ARCHIVE_TEXTS_MAX = 256 * 1024,   /* that are remembered */
};

/* Who is told. An error ends the reading, and is returned. */
struct archive_line_sink {
    /* Labels that were not seen before, or since archive_lines_forget(), in any order and with room
     * for FINAL_LABELS_MAX; gives them a number. ERR_CORRUPT, ERR_LIMIT: they cannot be the labels
     * of a series; the line is junk then. */
    enum err (*labels)(void *context, struct label *labels, uint32_t count, uint32_t *ret_number,
                       struct why *why);
    /* Whether a sample of such labels and time is to be given; else its value is not looked at. */
    bool (*wants)(void *context, uint32_t number, int64_t t_ms);
    enum err (*number)(void *context, uint32_t number, int64_t t_ms, uint64_t bits,
                       int64_t start_ms, struct why *why);
    enum err (*histogram)(void *context, uint32_t number, int64_t t_ms,
                          const struct histogram *histogram, int64_t start_ms, struct why *why);
    /* More labels than can be remembered: what numbers stood for is forgotten. */
    void (*forget)(void *context);
    /* `why` says what is wrong with it. */
    enum err (*junk)(void *context, uint64_t line, const struct why *why);
    void *context;
};

struct archive_lines;
/* ERR_NOMEM. */
MUST_CHECK enum err archive_lines_new(struct budget *budget, uint64_t seed,
                                      const struct archive_line_sink *sink,
                                      struct archive_lines **ret_lines);
void archive_lines_free(struct archive_lines *lines);

/* Another text begins; its lines are counted from 1. */
void archive_lines_begin(struct archive_lines *lines);
MUST_CHECK enum err archive_lines_give(struct archive_lines *lines, struct bytes text,
                                       struct why *why);
/* The text has ended, with a line feed or without. */
MUST_CHECK enum err archive_lines_end(struct archive_lines *lines, struct why *why);
/* Whether what was given ended with a line. */
bool archive_lines_is_between(const struct archive_lines *lines);
/* Numbers of labels are no longer used. */
void archive_lines_forget(struct archive_lines *lines);

#endif
