/*
 * exchange.h - one request of a question to OpenTSDB after another, and its response. Private to
 * backend/opentsdb.
 *
 *     opentsdb_exchange_begin(&x, "/api/query");
 *     ... x.base.body ...
 *     opentsdb_exchange_series(&x, ...), or opentsdb_exchange_names(&x, ...)
 *
 * Threads: one.
 */
#ifndef BACKEND_OPENTSDB_EXCHANGE_H
#define BACKEND_OPENTSDB_EXCHANGE_H

#include "backend/fetch/exchange.h"
#include "backend/fetch/fetch_reader.h"
#include "backend/opentsdb/answer.h"

/* OpenTSDB refuses larger bodies by default: "Chunked request not supported". */
enum { OPENTSDB_BODY_BYTES = 8000 };

struct opentsdb_exchange {
    struct fetch_exchange base; /* first */
    struct json_pieces pieces;
    /* After ERR_MISSING: the name that the server does not know, and its kind. */
    enum opentsdb_refusal refusal;
    struct buf unknown;
};

void opentsdb_exchange_init(struct opentsdb_exchange *x, struct fetch_question *q);
void opentsdb_exchange_fini(struct opentsdb_exchange *x);

/* Ends the request before. */
void opentsdb_exchange_begin(struct opentsdb_exchange *x, const char *path);

/*
 * Sends the request and reads the whole response; nothing is open afterwards. ERR_MISSING: the
 * server does not know a name in it, see above; ERR_FULL: the response is larger than the server
 * permits, or the sink returned it; errors of fetch.h and of the sink.
 */
MUST_CHECK enum err opentsdb_exchange_series(struct opentsdb_exchange *x,
                                             const struct opentsdb_sink *to, struct why *why);
MUST_CHECK enum err opentsdb_exchange_names(struct opentsdb_exchange *x,
                                            enum err (*name)(void *context, struct bytes name,
                                                             struct why *why),
                                            void *context, struct why *why);

#endif
