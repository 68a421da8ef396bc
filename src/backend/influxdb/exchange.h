/*
 * exchange.h - one request of a question to InfluxDB after another, and its response record by
 * record as it arrives. Private to backend/influxdb.
 *
 * Threads: one.
 */
#ifndef BACKEND_INFLUXDB_EXCHANGE_H
#define BACKEND_INFLUXDB_EXCHANGE_H

#include "backend/fetch/exchange.h"
#include "backend/fetch/fetch_reader.h"

struct influx_exchange {
    struct fetch_exchange base; /* first */
    struct buf authorization;
    const char *headers[4];
    bool answered;
    bool ended;
    struct buf rest;    /* the start of a record, of earlier pieces */
    struct bytes piece; /* the unread rest of the last piece */
};

void influx_exchange_init(struct influx_exchange *x, struct fetch_question *q);
void influx_exchange_fini(struct influx_exchange *x);

/* Ends the request before; empties the body; begins the URL with a path. */
void influx_exchange_begin(struct influx_exchange *x, const char *path);
/* Adds a parameter to the URL, unless `value` is NULL. */
void influx_exchange_param(struct influx_exchange *x, const char *name, const char *value);
/* POSTs the body, and waits for no response. `headers` stay: at most two, then NULL. */
MUST_CHECK enum err influx_exchange_send(struct influx_exchange *x, const char *const *headers,
                                         struct why *why);
/*
 * The next record without the line feed that ends it, a view until the next call; `at` is NULL
 * after the last. ERR_CORRUPT: the record is too long, or the last one has no end; errors of
 * fetch_exchange_await() and fetch_read().
 */
MUST_CHECK enum err influx_exchange_record(struct influx_exchange *x, struct bytes *ret_record,
                                           struct why *why);
/* Gives up what was not read. */
void influx_exchange_end(struct influx_exchange *x);

#endif
