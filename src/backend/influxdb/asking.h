/*
 * asking.h - one request to an InfluxDB, and its answer record by record as it comes. Private to
 * backend/influxdb.
 *
 * Threads: one.
 */
#ifndef BACKEND_INFLUXDB_ASKING_H
#define BACKEND_INFLUXDB_ASKING_H

#include "backend/fetch/fetch.h"

struct influx_ask {
    const struct source_settings *settings;
    struct fetch_session *session;
    struct query_control *control;
    struct buf url;
    struct buf body;
    struct buf authorization;
    const char *headers[4];
    struct fetch *fetch;
    bool answered;
    bool ended;
    struct buf rest;    /* the begin of a record, of pieces before */
    struct bytes piece; /* what of the last one is not read */
};

void influx_ask_init(struct influx_ask *ask, const struct source_settings *settings,
                     struct fetch_session *session, struct query_control *control,
                     struct budget *budget);
void influx_ask_fini(struct influx_ask *ask);

/* Before the request: empties `body`, begins `url` with a path; parameters follow. NULL: without.
 */
void influx_ask_begin(struct influx_ask *ask, const char *path);
void influx_ask_param(struct influx_ask *ask, const char *name, const char *value);
/* POSTs the body, and waits for nothing. `headers` stay: at most two, then NULL. */
MUST_CHECK enum err influx_ask_send(struct influx_ask *ask, const char *const *headers,
                                    struct why *why);
/*
 * The next record without the line feed that ends it; `at` NULL: the answer is over. A view until
 * the next call. `quoted`: a line feed between double quotes is part of the record. ERR_LIMIT: it
 * is too long; ERR_CORRUPT: the last one has no end; errors of fetch_await(), fetch_expect_ok() and
 * fetch_read().
 */
MUST_CHECK enum err influx_ask_record(struct influx_ask *ask, bool quoted, struct bytes *ret_record,
                                      struct why *why);
/* That the answer is damaged, or says no, as `why` says already: returns `e`. */
enum err influx_ask_failed(struct influx_ask *ask, enum err e, struct why *why);
/* What was not read is given up. */
void influx_ask_end(struct influx_ask *ask);

#endif
