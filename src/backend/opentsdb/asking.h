/*
 * asking.h - one request of a question to OpenTSDB after another, and its response. Private to
 * backend/opentsdb.
 *
 *     opentsdb_ask_begin(&a, "/api/query");
 *     ... a.base.body ...
 *     opentsdb_ask_series(&a, ...), or opentsdb_ask_names(&a, ...)
 *
 * Threads: one.
 */
#ifndef BACKEND_OPENTSDB_ASKING_H
#define BACKEND_OPENTSDB_ASKING_H

#include "backend/fetch/fetch_reader.h"
#include "backend/opentsdb/answer.h"

/* OpenTSDB refuses larger bodies by default: "Chunked request not supported". */
enum { OPENTSDB_BODY_BYTES = 8000 };

struct opentsdb_ask {
    struct fetch_ask base; /* first */
    struct json_pieces pieces;
    /* After ERR_MISSING: the name that the server does not know, and its kind. */
    enum opentsdb_refusal refusal;
    struct buf unknown;
};

void opentsdb_ask_init(struct opentsdb_ask *a, struct fetch_question *q);
void opentsdb_ask_fini(struct opentsdb_ask *a);

/* Ends the request before. */
void opentsdb_ask_begin(struct opentsdb_ask *a, const char *path);

/*
 * Sends the request and reads the whole response; nothing is open afterwards. ERR_MISSING: the
 * server does not know a name in it, see above; ERR_FULL: the response is larger than the server
 * permits, or the sink returned it; errors of fetch.h and of the sink.
 */
MUST_CHECK enum err opentsdb_ask_series(struct opentsdb_ask *a, const struct opentsdb_sink *to,
                                        struct why *why);
MUST_CHECK enum err opentsdb_ask_names(struct opentsdb_ask *a,
                                       enum err (*name)(void *context, struct bytes name,
                                                        struct why *why),
                                       void *context, struct why *why);

#endif
