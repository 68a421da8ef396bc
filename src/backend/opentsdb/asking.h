/*
 * asking.h - one request of a source to OpenTSDB after another, and what their answers are. Private
 * to backend/opentsdb.
 *
 *     opentsdb_ask_begin(&a, "/api/query");
 *     ... a.body ...
 *     opentsdb_ask_series(&a, ...), or opentsdb_ask_names(&a, ...)
 *
 * Threads: one.
 */
#ifndef BACKEND_OPENTSDB_ASKING_H
#define BACKEND_OPENTSDB_ASKING_H

#include "backend/fetch/fetch.h"
#include "backend/opentsdb/answer.h"

/* OpenTSDB with its default settings refuses larger bodies: "Chunked request not supported". */
enum { OPENTSDB_BODY_BYTES = 8000 };

struct opentsdb_ask {
    const struct source_settings *settings;
    struct fetch_session *session;
    struct query_control *control;
    struct fetch *fetch; /* NULL: nothing is open */
    struct buf url, body;
    struct json_pieces pieces;
    struct arena scratch;
    /* After ERR_MISSING: what the server does not know. */
    enum opentsdb_refusal refusal;
    struct buf unknown;
};

void opentsdb_ask_init(struct opentsdb_ask *a, const struct source_settings *settings,
                       struct fetch_session *session, struct query_control *control,
                       struct budget *budget);
void opentsdb_ask_fini(struct opentsdb_ask *a);

/* Ends what was asked before. */
void opentsdb_ask_begin(struct opentsdb_ask *a, const char *path);
void opentsdb_ask_param(struct opentsdb_ask *a, const char *name, struct bytes value);

/*
 * Sends it and reads the whole answer; nothing is open afterwards. ERR_MISSING: the server does not
 * know a name in it, see above; ERR_FULL: the answer is more than it permits, or a sink says so;
 * errors of fetch.h and of the sink.
 */
MUST_CHECK enum err opentsdb_ask_series(struct opentsdb_ask *a, const struct opentsdb_sink *to,
                                        struct why *why);
MUST_CHECK enum err opentsdb_ask_names(struct opentsdb_ask *a,
                                       enum err (*name)(void *context, struct bytes name,
                                                        struct why *why),
                                       void *context, struct why *why);

#endif
