/*
 * source.h - a source: the interface of its type, its reader, and the options that views/stack.h
 * needs to query it.
 */
#ifndef BACKEND_SOURCE_H
#define BACKEND_SOURCE_H

#include <stdatomic.h>

#include "backend/source_settings.h"
#include "model/select.h"
#include "model/selector.h"
#include "model/trouble.h"
#include "net/http_pull.h"
#include "views/stack.h"

/*
 * The reader of a type of source: an answerer (model/select.h) over another system.
 *
 * It returns the requested series and times, in label order and time order, with the source's
 * external labels on each series: they replace labels of the same name, and are added before series
 * are sorted, because a label may change the order. It never gets matchers on external labels:
 * views/stack.h resolves these, limits requests to the source's times, tenants and selectors,
 * counts, and filters results again; so a reader may return more series than requested, but only
 * data of its store. A request has one set of matchers, or none for all series.
 *
 * Names, values and series may have any order and duplicates; names and values exclude those of
 * external labels. A look-up that is not possible (without matchers, or with them) returns
 * ERR_UNSUPPORTED without a sentence: then the result is derived from series, or from samples.
 *
 * Each request to a view is a new request to the other system: later ones may see new data.
 *
 * Errors: ERR_AGAIN: temporarily unavailable; ERR_IO: it refuses, or is configured wrongly;
 * ERR_CORRUPT: its answer is invalid; ERR_LIMIT: more than the source's limits; ERR_UNSUPPORTED:
 * the format of its answer is unknown. A failed request is described (model/trouble.h).
 *
 * Threads: as in select.h.
 */

/* Counts of a source since it was made; relaxed: statistics. */
struct source_counts {
    _Atomic uint64_t requests;
    _Atomic uint64_t requests_ns; /* time until answers begin */
    _Atomic uint64_t repeats;     /* requests that were retries */
    _Atomic uint64_t bytes;       /* bytes of answers, as received */

    /* For object stores only. */
    _Atomic uint64_t listings;        /* requests for lists */
    _Atomic uint64_t objects_read;    /* completely or in part */
    _Atomic uint64_t objects_skipped; /* not read because the index shows nothing wanted */
    _Atomic uint64_t junk_lines;

    _Atomic uint64_t scanned_bytes; /* for stores that bill them */

    /* The cache of objects or answers. */
    _Atomic uint64_t cache_hits;
    _Atomic uint64_t cache_misses;
};

struct reader_options {
    struct env *env;
    struct budget *memory;                  /* for permanent memory; a query has its own */
    const struct source_settings *settings; /* outlives the reader, as do the next two */
    struct http_puller *puller;
    struct source_counts *counts;
};

/* ERR_NOMEM; ERR_INPUT, ERR_MISSING: incomplete settings. */
MUST_CHECK enum err reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                               struct why *why);

/* The types of sources. */
enum err archive_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                            struct why *why);
enum err bucket_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                           struct why *why);
enum err clickhouse_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                               struct why *why);
enum err influxdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                             struct why *why);
enum err opentsdb_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                             struct why *why);
enum err remote_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                           struct why *why);
enum err timestream_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                               struct why *why);

/* The range of a system that does not report its own: samples of any time. */
void reader_any_time(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms);

/* One thread makes and ends a source; any may query it. */
struct source {
    /* For source_view_open(). The caller sets tally and owner before source_init(). */
    struct source_options options;
    const struct source_settings *settings;
    struct arena arena;
    /* In the arena: the options refer to them. */
    struct selector *selectors;
    struct matcher_set *select;
    struct label *external_labels;
    struct bytes *tenants;
};

/* source_fini() is required even after an error. Errors of reader_new() and of selectors, with
 * their names. */
MUST_CHECK enum err source_init(struct source *source, const struct reader_options *options,
                                struct why *why);
/* No view may be open. Accepts zeroed memory. */
void source_fini(struct source *source);

#endif
