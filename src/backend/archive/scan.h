/*
 * scan.h - one question to an archive: lists its objects, reads those that may have samples of it,
 * several ranges ahead, and sorts the series (gather.c).
 *
 *     archive_scan_new() -> archive_scan_next(), archive_scan_batch(), archive_scan_warning()
 *
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_SCAN_H
#define BACKEND_ARCHIVE_SCAN_H

#include "backend/archive/store.h"
#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "model/select.h"
#include "wire/shape.h"

/* --- lines.c ---------------------------------------------------------------------------------- */

/*
 * The samples of an object's text: one NDJSON object per line (wire/json/sample_json.h),
 * as Firekeep and others write it, or without line feeds between them, as Firehose joins them: then
 * each object counts as a line.
 *
 * A line that cannot be read is junk: it is counted, and the lines after it are read.
 */

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

/* --- gather.c --------------------------------------------------------------------------------- */

/*
 * Sorts series that arrive in any order: the first ones in label order, as many as there
 * is room for.
 *
 *     gathering_add()       each series, each of its samples, in any order
 *     gathering_bound()     the first series without room: for another pass
 *     gathering_next(), gathering_batch()
 *
 * Each time of a series is given once, with the sample that came first.
 *
 * Memory: bytes_max, and half as much more while a series whose samples came in disorder is read.
 */

struct archive_gathering;
struct gathering_options {
    struct budget *budget;
    size_t bytes_max;
    struct bytes from; /* series before it are not taken; copied; empty for all series */
    bool names_only;   /* samples are not kept, only their series */
    /* Called when numbers of series become invalid. May be NULL. */
    void (*forget)(void *context);
    void *context;
};

/* Begins an empty gathering. ERR_NOMEM. */
MUST_CHECK enum err gathering_new(const struct gathering_options *options,
                                  struct archive_gathering **ret_gathering);
void gathering_free(struct archive_gathering *gathering);

/* Adds a series, or finds its number; GATHERING_NONE if it is not taken. ERR_NOMEM. */
#define GATHERING_NONE UINT32_MAX
MUST_CHECK enum err gathering_add(struct archive_gathering *gathering, struct bytes labels,
                                  uint32_t *ret_number);
/* Adds a sample of a series, a float if `histogram` is NULL. May call forget(). ERR_INPUT: an
 * invalid histogram; ERR_LIMIT: one series has more samples than there is room for; ERR_NOMEM. */
MUST_CHECK enum err gathering_put(struct archive_gathering *gathering, uint32_t number,
                                  int64_t t_ms, uint64_t bits, const struct histogram *histogram,
                                  int64_t start_ms, struct why *why);

/* The labels from which on series are missing; empty if there are all. A view. */
struct bytes gathering_bound(const struct archive_gathering *gathering);
/* As series_set_next() and series_set_batch(), after the last sample was put. Series without
 * samples are left out. */
MUST_CHECK enum err gathering_next(struct archive_gathering *gathering, struct bytes *ret_labels,
                                   struct why *why);
MUST_CHECK enum err gathering_batch(struct archive_gathering *gathering,
                                    struct sample_batch *ret_batch, struct why *why);

/* --- about.c ---------------------------------------------------------------------------------- */

/*
 * The index of an object that was read: the times of its parts, metric names, and a
 * filter of its labels. It shows that a question needs nothing, or only parts, of the object.
 * Format: docs/format/archive_index.md.
 */

enum {
    ABOUT_PARTS_MAX = 4096,
    ABOUT_PART_BYTES_MIN = 256 * 1024,
    ABOUT_NAMES_BYTES_MAX = 64 * 1024,
    ABOUT_FILTER_BYTES_MAX = 1 << 20,
    ABOUT_BYTES_MAX = 2 << 20, /* size of the index */
};

struct about_part {
    uint64_t offset; /* start of a member, frame or line; the part ends where the next one begins */
    int64_t min_ms, max_ms; /* times of its samples; min > max without samples */
};

struct about {
    struct budget *budget;
    struct about_part *parts;
    uint32_t part_count, part_capacity;
    uint64_t *pairs; /* labels, while they are collected */
    uint32_t pair_count, pair_capacity;
    struct buf names; /* each with its length */
    bool names_cut;   /* more names were left out */
    struct buf filter;
};

void about_init(struct about *about, struct budget *budget);
void about_fini(struct about *about);

/* Begins the index of an object whose first part begins at 0. ERR_NOMEM. */
MUST_CHECK enum err about_begin(struct about *about);
static inline void
about_add_time(struct about *about, int64_t t_ms)
{
    struct about_part *p = &about->parts[about->part_count - 1];
    if (t_ms < p->min_ms) p->min_ms = t_ms;
    if (t_ms > p->max_ms) p->max_ms = t_ms;
}
/* Returns the hash of a label for the filter. */
uint64_t about_pair(struct bytes name, struct bytes value);
/* Adds a label of a series, preferably once. ERR_NOMEM. */
MUST_CHECK enum err about_add_pair(struct about *about, uint64_t pair);
void about_add_name(struct about *about, struct bytes name);
/* Ends a part where a member, frame or line begins. ERR_NOMEM. */
MUST_CHECK enum err about_cut(struct about *about, uint64_t offset);
/* Makes the filter at the end of the object. ERR_NOMEM. */
MUST_CHECK enum err about_end(struct about *about);

/* False if no series of the object can match all matchers. `set` may be NULL. */
bool about_may_have(const struct about *about, const struct matcher_set *set);

/* The object of an index. */
struct about_identity {
    struct bytes key;
    struct bytes tag;
    uint64_t size;
};
/* Appends the content of the file. Out of memory shows in buf_error(to). */
void about_put(const struct about *about, const struct about_identity *identity, struct buf *to);
/* Reads a file. ERR_CORRUPT: it is damaged, or of an older version; ERR_MISSING: it belongs to
 * another object, or other content; ERR_NOMEM. After an error the index is empty. */
MUST_CHECK enum err about_get(struct about *about, const struct about_identity *identity,
                              struct bytes file);

/* --- about.c: the cache ----------------------------------------------------------------------- */

/*
 * The indexes of objects, in a directory: a file for each, which names the object and its
 * content. Format: docs/format/archive_index.md.
 *
 * A file that cannot be read, or belongs to other content, counts as missing: whatever happens to
 * the directory, see sys/file_cache.h, at worst an object is read again.
 *
 * Threads: any.
 */

struct archive_cache;
struct archive_cache_options {
    struct env *env;
    struct budget *memory;
    const struct source_cache_settings *settings; /* outlives the cache */
    const char *archive; /* identifies the archive among others in the same directory; copied */
};
/* ERR_NOMEM. */
MUST_CHECK enum err archive_cache_new(const struct archive_cache_options *options,
                                      struct archive_cache **ret_cache);
void archive_cache_free(struct archive_cache *cache);

/* True if the index of the object is cached; then `about` is filled. */
bool archive_cache_load(struct archive_cache *cache, const struct archive_object *object,
                        struct budget *budget, struct about *about);
/* Stores the index of the object, if possible. */
void archive_cache_store(struct archive_cache *cache, const struct archive_object *object,
                         struct budget *budget, const struct about *about);

/* --- scan.c ----------------------------------------------------------------------------------- */

struct archive_scan;
struct archive_scan_options {
    struct env *env;
    struct budget *budget;
    struct archive_store *store;
    struct fetcher *fetcher;     /* sends the requests of `store` */
    struct archive_cache *cache; /* NULL without a cache */
    struct source_counts *counts;
    struct external_labels external;
    enum archive_layout layout;
    int64_t late_ms;
    bool names_only; /* only labels are needed */
};

/* `request` is copied; its sets live as long as the scan. ERR_NOMEM. */
MUST_CHECK enum err archive_scan_new(const struct archive_scan_options *options,
                                     const struct query_request *request,
                                     struct archive_scan **ret_scan, struct why *why);
void archive_scan_free(struct archive_scan *scan);

/* As those of a series set. */
MUST_CHECK enum err archive_scan_next(struct archive_scan *scan, struct bytes *ret_labels,
                                      struct why *why);
MUST_CHECK enum err archive_scan_batch(struct archive_scan *scan, struct sample_batch *ret_batch,
                                       struct why *why);
const char *archive_scan_warning(struct archive_scan *scan, uint32_t index);

#endif
