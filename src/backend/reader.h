/*
 * reader.h - what a type of source has to be: an answerer (model/select.h) over another system.
 *
 * It answers for the series and times that it is asked for, in label order and time order, with the
 * source's external labels on each series: they win over its own labels, and come before series are
 * put in order, since a label more can move a series. It is never asked about external labels:
 * views/source.h resolves matchers on them, asks for nothing outside of the source's times, tenants
 * and selectors, counts, and filters what comes again; so a reader may give more series than it was
 * asked for, but nothing that its store does not have. It is asked of one set of matchers at a
 * time, or of none: for all series.
 *
 * Names, values and series come in any order and as often as they like; of names and values those
 * of external labels are not among them. What it cannot look up (without matchers, with them) is
 * ERR_UNSUPPORTED, without words: then it is found out of the series, or of samples.
 *
 * All that is asked of a view is asked of the other system anew: what comes there meanwhile may be
 * seen by the later ones.
 *
 * Errors: ERR_AGAIN: it could not be asked now; ERR_IO: it refuses, or is set up wrongly;
 * ERR_CORRUPT: its answer cannot be right; ERR_LIMIT: more than the source may give;
 * ERR_UNSUPPORTED: its answer is not in a form that can be read. Where a request failed, it is said
 * how (model/trouble.h).
 *
 * Threads: as select.h says.
 */
#ifndef BACKEND_READER_H
#define BACKEND_READER_H

#include <stdatomic.h>

#include "backend/source_settings.h"
#include "model/select.h"
#include "model/trouble.h"
#include "net/http_pull.h"

/* What a source did since it is there; relaxed: statistics. */
struct source_counts {
    _Atomic uint64_t requests;
    _Atomic uint64_t requests_ns; /* from a request until its answer begins */
    _Atomic uint64_t repeats;     /* of these, those that were one more try */
    _Atomic uint64_t bytes;       /* of answers, as they come */

    /* Of stores of objects; others have none. */
    _Atomic uint64_t listings;        /* requests that list */
    _Atomic uint64_t objects_read;    /* whole, or in part */
    _Atomic uint64_t objects_skipped; /* since what is known of them says that nothing is wanted */
    _Atomic uint64_t junk_lines;

    _Atomic uint64_t scanned_bytes; /* of stores that bill them */

    /* Of the cache: objects, or answers. */
    _Atomic uint64_t cache_hits;
    _Atomic uint64_t cache_misses;
};

struct reader_options {
    struct env *env;
    struct budget *memory;                  /* of what lasts; a question has its own */
    const struct source_settings *settings; /* outlive the reader, as do the next two */
    struct http_puller *puller;
    struct source_counts *counts;
};

/* ERR_NOMEM; ERR_INPUT, ERR_MISSING: the settings are not enough. */
MUST_CHECK enum err reader_new(const struct reader_options *options, struct answerer **ret_answerer,
                               struct why *why);

/* The types. */
enum err archive_reader_new(const struct reader_options *options, struct answerer **ret_answerer,
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

/* What views and readers of all types have in common: no exemplars, no metadata, and samples of any
 * time, as far as is known. */
enum err reader_no_exemplars(struct view *view, const struct query_request *request,
                             const struct exemplar_sink *to, struct why *why);
enum err reader_no_metadata(struct view *view, const struct query_request *request,
                            struct bytes family,
                            enum err (*each)(void *context, const struct metadata *metadata),
                            void *context, struct why *why);
void reader_any_time(struct answerer *answerer, int64_t *ret_min_ms, int64_t *ret_max_ms);

#endif
