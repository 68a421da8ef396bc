/*
 * opentsdb_reader.h - shared by the files of the source type opentsdb. Private to backend/opentsdb.
 *
 * A question is answered in three steps: the metrics that there may be, their series in the time
 * with the number of points of each, and samples of blocks of series.
 *
 * Threads: one, that of the question.
 */
#ifndef BACKEND_OPENTSDB_OPENTSDB_READER_H
#define BACKEND_OPENTSDB_OPENTSDB_READER_H

#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/shape.h"

/*
 * Decodes the names and values that OpenTSDB stores, and finds the stored forms of
 * a text.
 *
 * A text that the destination or Prometheus' adapter would have written is decoded
 * (wire/point/opentsdb_point.h); any other text, which another program wrote, is itself. So a
 * stored text has one meaning, and a text has few stored forms, which are all searched.
 */

/* Firekeep's, the adapter's, and the text itself. */
enum { STORED_FORMS_MAX = 3 };

/* Append the decoded metric name or tag value, and tag name. ERR_NOMEM. */
MUST_CHECK enum err stored_value_get(struct buf *to, struct bytes stored);
MUST_CHECK enum err stored_tag_get(struct buf *to, struct bytes stored);

/* Gets the forms in which a non-empty metric name or tag value may be stored: views of the text, or
 * of `room`, which is cleared. ERR_NOMEM. */
MUST_CHECK enum err stored_value_forms(struct bytes text, struct buf *room,
                                       struct bytes forms[STORED_FORMS_MAX], unsigned *ret_count);

/* Returns the number of first bytes of a text that are the same in all forms. */
size_t stored_plain_size(struct bytes text);

enum { OPENTSDB_TAGS_MAX = 1024 };

/* A series as it is stored; views until its last point. */
struct opentsdb_series {
    struct bytes metric;
    struct label *tags;
    uint32_t tag_count;
    struct bytes tsuid; /* hex digits */
};

/* Receives series and points. An error of a function ends the reading and is returned. */
struct opentsdb_sink {
    enum err (*series)(void *context, const struct opentsdb_series *series, struct why *why);
    enum err (*point)(void *context, int64_t t_ms, uint64_t bits, struct why *why);
    void *context;
};

/* Reads a response of /api/query, one object for each series. `scratch` holds one series at a time.
 * ERR_CORRUPT: it is not such a response, or has aggregates; errors of the sink; ERR_NOMEM. */
MUST_CHECK enum err opentsdb_read_series(struct bytes answer, struct arena *scratch,
                                         const struct opentsdb_sink *to, struct why *why);

/* Reads a response of /api/suggest: an array of strings. Errors as above. */
MUST_CHECK enum err opentsdb_read_names(struct bytes answer, struct arena *scratch,
                                        enum err (*name)(void *context, struct bytes name,
                                                         struct why *why),
                                        void *context, struct why *why);

/* The meaning of a response that is not a 2xx. */
enum opentsdb_refusal {
    REFUSED_OTHERWISE,
    REFUSED_UNKNOWN_METRIC, /* the server does not know the name */
    REFUSED_UNKNOWN_TAG,
    REFUSED_UNKNOWN_VALUE,
    REFUSED_TOO_MUCH, /* more data, or more time, than the server permits a query */
};
/* *ret_name is a view of the body, or of `scratch`. */
enum opentsdb_refusal opentsdb_refusal_of(unsigned status, struct bytes body, struct arena *scratch,
                                          struct bytes *ret_name);

/* OpenTSDB refuses larger bodies by default: "Chunked request not supported". */
enum { OPENTSDB_BODY_BYTES = 8000 };

/* One request after another, and its response, which is held whole. */
struct opentsdb_exchange {
    struct fetch_exchange base; /* first */
    struct buf answer;
    /* After ERR_MISSING: the name that the server does not know, and its kind. */
    enum opentsdb_refusal refusal;
    struct buf unknown;
};

/* The last time of OpenTSDB: seconds of 32 bits, with room for the hour in which a query ends. */
#define OPENTSDB_TIME_MS_MAX 4291718400000

/* A metric as it is stored. */
struct opentsdb_metric {
    struct bytes stored;
    bool is_unknown; /* the server does not know it */
};

/* A series that was found. */
struct opentsdb_found {
    size_t tsuid_at, labels_at; /* in `tsuids` and `labels` of the question */
    uint32_t tsuid_size, labels_size;
    uint64_t metric_hash; /* hash of the metric's name as it is stored */
    uint64_t points;
    uint32_t number; /* number of the series in the block that is read; checked before it is used */
};

/* Unknown values that are left out of literal_or; after more, filters compare texts. */
enum { OPENTSDB_UNKNOWN_VALUES_MAX = 3 };
struct opentsdb_unknown {
    enum opentsdb_refusal what;
    struct bytes text;
};

/* A question, from the metrics to the samples. */
struct opentsdb_question {
    struct fetch_question base; /* first */
    struct opentsdb_metric *metrics;
    uint32_t metric_count, metric_capacity;
    struct opentsdb_unknown *unknown; /* names that the server does not know */
    uint32_t unknown_count, unknown_capacity;
    uint32_t unknown_values; /* unknown names that are label values */

    struct opentsdb_found *found;
    uint32_t found_count, found_capacity;
    struct table by_tsuid; /* ids are positions in `found` */
    struct buf tsuids, labels;
    uint64_t points_found, points_passed; /* points of selected series, points of others */

    struct opentsdb_exchange exchange;
    struct buf filters, room;
    bool gave_names; /* in a FETCH_NAMES: the server has a name */
};

/* --- filters.c -------------------------------------------------------------------------------- */

/* True if the server has refused a text of this kind as unknown during the question. */
bool opentsdb_is_unknown(const struct opentsdb_question *q, enum opentsdb_refusal what,
                         struct bytes text);
/* Puts the matchers that OpenTSDB can apply, as the items of an array of filters: each selects the
 * series that its matcher does, or more. *ret_none is true if no series can be selected. ERR_NOMEM.
 */
MUST_CHECK enum err opentsdb_filters_put(struct opentsdb_question *q, struct buf *to,
                                         bool *ret_none, struct why *why);

#endif
