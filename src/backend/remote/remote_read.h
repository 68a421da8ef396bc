/*
 * remote_read.h - shared by the files of the source type remote_read. Source:
 * src/wire/README.md. Private to backend/remote.
 *
 * Samples come by remote read, as streamed chunks if the server supports them; names, values and
 * series by the Prometheus API below `labels_url`, if it is set.
 */
#ifndef BACKEND_REMOTE_REMOTE_READ_H
#define BACKEND_REMOTE_REMOTE_READ_H

#include "backend/fetch/exchange.h"
#include "backend/fetch/fetch_reader.h"
#include "base/warnings.h"

enum { REMOTE_URL_BYTES = 4096 };

struct remote_reader {
    struct fetch_reader base;           /* first */
    char labels_base[REMOTE_URL_BYTES]; /* URL of the API; "" if there is none */
};

struct remote_question {
    struct fetch_question base; /* first */
    struct fetch_exchange exchange;
    struct buf tenant; /* header */
    const char *headers[8];
    struct buf answer; /* response to a look-up */

    bool answered;
    struct rr_client *client; /* client of a streamed response */
    struct ordered *ordered;
    struct sampled *sampled; /* series of a response with samples */
    bool ended;              /* the client has all of the response */
    struct warnings warnings;
};

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

#endif
