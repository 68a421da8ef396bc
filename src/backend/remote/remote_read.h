/*
 * remote_read.h - what the files of the source type remote_read share. Source:
 * docs/protocols-read.md. Private to backend/remote.
 *
 * Samples come by remote read, as streamed chunks where the server knows them; names, values and
 * series by the Prometheus API below `labels_url`, if there is one.
 */
#ifndef BACKEND_REMOTE_REMOTE_READ_H
#define BACKEND_REMOTE_REMOTE_READ_H

#include "backend/common/final_labels.h"
#include "backend/fetch/fetch.h"

enum { REMOTE_URL_BYTES = 4096 };

struct remote_reader {
    struct answerer answerer; /* first: it is handed out */
    struct reader_options options;
    struct external_labels external;
    struct fetcher *fetcher;
    char labels_base[REMOTE_URL_BYTES]; /* "": there is no such API */
};

/* M3 leaves series out of answers that are above its limits, unless it is asked not to; and says
 * so in a header, of which the value is `limited`. ERR_LIMIT: it did. */
#define REMOTE_EXHAUSTIVE "M3-Limit-Require-Exhaustive: true"
#define REMOTE_LIMITED    "M3-Results-Limited"
MUST_CHECK enum err remote_expect_all(struct fetch *fetch, const char *limited, struct why *why);

/* "Name: value" of the tenant; `at` is NUL-terminated; empty: the source does not want it. */
MUST_CHECK enum err remote_tenant_header(const struct remote_reader *reader, struct bytes tenant,
                                         struct buf *to, struct why *why);

/* As struct view_ops has them, by the API. ERR_UNSUPPORTED: it cannot be asked this. */
enum err remote_label_names(struct view *view, const struct query_request *request,
                            const struct text_sink *to, struct why *why);
enum err remote_label_values(struct view *view, const struct query_request *request,
                             struct bytes name, const struct text_sink *to, struct why *why);
enum err remote_series(struct view *view, const struct query_request *request,
                       const struct text_sink *to, struct why *why);

#endif
