/*
 * remote_private.h - shared by the files of the source type remote_read. Source:
 * src/wire/README.md. Private to backend/remote.
 *
 * Samples come by remote read, as streamed chunks if the server supports them; names, values and
 * series by the Prometheus API below `labels_url`, if it is set.
 *
 * Threads: one, that of the question or call.
 */
#ifndef BACKEND_REMOTE_REMOTE_PRIVATE_H
#define BACKEND_REMOTE_REMOTE_PRIVATE_H

#include "backend/common/http_common.h"
#include "backend/fetch/fetch_reader.h"
#include "base/buf.h"
#include "base/text/texts.h"
#include "model/matcher.h"
#include "model/select.h"
#include "wire/remote/remote_read.h"
#include "wire/remote/remote_write.h"

/* Matchers in a form that all servers read in the same way. */

/* The pattern of a matcher for a server. Prometheus before 3.0, and servers built upon it, put a
 * regex between ^(?: and )$: there a dot does not match a line feed, and after an open \Q the end
 * is read as text. So the pattern has a flag and an \E where they matter; other servers read it in
 * the same way. A view of the matcher, or in `arena`; `at` is NULL without memory. */
struct bytes remote_pattern(const struct matcher *matcher, struct arena *arena);

/*
 * Appends a request for the samples between two times, compressed: with at most RR_MATCHERS_MAX of
 * the matchers, or one that matches everything. Memory is of the budget of `to`. ERR_NOMEM,
 * ERR_LIMIT: it is too large.
 */
MUST_CHECK enum err remote_request_put(struct buf *to, struct matcher *const *matchers,
                                       uint32_t count, int64_t min_ms, int64_t max_ms,
                                       bool streamed, bool samples, struct why *why);

/*
 * The series of a response in the form SAMPLES, which is in memory as a whole: read them from
 * `blocks`, which sorts them and merges a series that occurs more than once.
 *
 * Memory: the answer, uncompressed, and that of blocks.
 */

enum { SAMPLED_BYTES_MAX = 1 << 30 }; /* limit of an uncompressed response */

struct sampled_options {
    struct budget *budget;
    int64_t min_ms, max_ms; /* samples of other times are left out */
    struct external_labels external;
};

struct sampled {
    struct budget *budget;
    struct buf answer;         /* uncompressed */
    struct rw_request request; /* the series that is decoded */
    struct series_blocks *blocks;
};
/* `answer` is the compressed response; copied. ERR_CORRUPT: it is not a response to one query;
 * ERR_LIMIT: it is too large; ERR_NOMEM. Errors of `blocks`: ERR_CORRUPT, and its own. */
MUST_CHECK enum err sampled_new(const struct sampled_options *options, struct bytes answer,
                                struct sampled **ret_sampled, struct why *why);
void sampled_free(struct sampled *sampled);

/*
 * The series of a streamed response in label order, whatever order they arrive in.
 *
 * Series are held, with their encoded chunks, until the window is full or the response ends; then
 * the least of them is given. So a response that fits into the window is sorted here. A larger one
 * must be in order, except for displacements within the window: labels that a server adds to all
 * its series move some of them, not far.
 *
 * A series that occurs more than once, or whose chunks overlap, becomes one series with each time
 * once, with one of its values. A series larger than the window is given while it arrives, and must
 * be in order.
 */

enum { ORDERED_WINDOW_BYTES = 8 << 20 };

struct ordered_options {
    struct budget *budget;
    size_t window_bytes;
    int64_t min_ms, max_ms; /* samples of other times are left out */
    struct external_labels external;
    /* Gets the next series or chunk; a piece of kind none at the end of the response. */
    enum err (*pull)(void *context, struct rr_piece *ret_piece, struct why *why);
    void *context;
};

struct ordered;
/* `options` is copied. ERR_NOMEM. */
MUST_CHECK enum err ordered_new(const struct ordered_options *options,
                                struct ordered **ret_ordered);
void ordered_free(struct ordered *ordered);
/* As series_set_next() and series_set_batch(); labels live until the next series. ERR_UNSUPPORTED:
 * series are too far out of order; ERR_CORRUPT: invalid labels or chunks; errors of `pull`. */
MUST_CHECK enum err ordered_next(struct ordered *ordered, struct bytes *ret_labels,
                                 struct why *why);
MUST_CHECK enum err ordered_batch(struct ordered *ordered, struct sample_batch *ret_batch,
                                  struct why *why);

/*
 * Responses of the Prometheus API to look-ups: names, values, series.
 *
 * Threads: any.
 */

enum api_list { API_TEXTS, API_SERIES };

/* Gives `to` the items of {"status":"success","data":[...],"warnings":[...]} in order: texts that
 * are not empty, or the final labels of series; and the warnings. Memory is charged to `budget`.
 * ERR_CORRUPT: it is not such a response; the items before the damage were given. ERR_LIMIT: a
 * series has too many labels; ERR_NOMEM; errors of `to`. */
MUST_CHECK enum err api_list_read(struct bytes answer, enum api_list list,
                                  const struct external_labels *external, struct budget *budget,
                                  const struct text_sink *to, struct why *why);

/* Puts a server's text into *ret_sentence, as one line. */
void api_sentence(struct bytes text, struct why *ret_sentence);

enum { REMOTE_URL_BYTES = 4096 };

struct remote_reader {
    struct fetch_reader base;           /* first */
    char labels_base[REMOTE_URL_BYTES]; /* URL of the API; "" if there is none */
};

struct remote_question {
    struct fetch_question base; /* first */
    struct fetch_exchange exchange;
    struct buf tenant; /* header */
    const char *headers[9];
    char beyond[80];   /* header */
    struct buf answer; /* response to a look-up */

    bool answered;
    struct rr_client *client; /* client of a streamed response */
    struct ordered *ordered;
    struct sampled *sampled; /* series of a response with samples */
    bool ended;              /* the client has all of the response */
    struct warnings warnings;
};

/* Headers of each request for samples. */
#define REMOTE_READ_HEADERS                                                                        \
    "Content-Encoding: snappy", "Content-Type: application/x-protobuf", "Accept-Encoding: snappy", \
        "X-Prometheus-Remote-Read-Version: 0.1.0"

/* M3 leaves series out of results above its limits, unless the request has the first header, and
 * then says so in the second header, whose value is `limited`. ERR_LIMIT: it left out series. */
#define REMOTE_EXHAUSTIVE "M3-Limit-Require-Exhaustive: true"
#define REMOTE_LIMITED    "M3-Results-Limited"
MUST_CHECK enum err remote_expect_all(struct fetch *fetch, const char *limited, struct why *why);

/* Adds the header of the tenant to the `count` headers of q->headers, if the source has one. */
MUST_CHECK enum err remote_tenant_header(struct remote_question *q, unsigned *count,
                                         struct why *why);

/* Look-ups by the API, as in struct fetch_type. */
enum err remote_label_names(struct fetch_question *base, struct why *why);
enum err remote_label_values(struct fetch_question *base, struct why *why);
enum err remote_series(struct fetch_question *base, struct why *why);

/* --- remote_write.c: metadata kept for the series of 2.0, which carry it themselves ----------- */

struct families;
struct sent_family {
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};
MUST_CHECK enum err families_new(struct budget *memory, struct families **ret_families);
void families_free(struct families *families);
/* Stores the metadata of a family, and replaces the old. ERR_LIMIT: there is no room for another
 * family; ERR_NOMEM. */
MUST_CHECK enum err families_put(struct families *families, struct bytes tenant, struct bytes name,
                                 const struct sent_family *family);
/* Finds metadata by the name of a metric: the family itself, or one of its series ("_total",
 * "_bucket", ...). */
bool families_find(const struct families *families, struct bytes tenant, struct bytes metric,
                   struct sent_family *ret_family);

#endif
