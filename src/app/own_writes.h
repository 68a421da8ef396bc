/*
 * own_writes.h - stores samples that the server makes itself (results of rules, its own metrics)
 * like samples of a sender. Destinations get them, too. And the thread that stores its metrics.
 *
 * Threads: own_writes_new() and own_writes_free() are for the thread that owns the server,
 * own_committed() is for the commit thread; the others are for any.
 */
#ifndef APP_OWN_WRITES_H
#define APP_OWN_WRITES_H

#include "app/keeper.h"
#include "rules/group/group.h"
#include "wire/remote/remote_write_build.h"

struct own_writes;
struct own_writes_options {
    struct env *env;
    struct tsdb *tsdb;
    struct budget *memory;
    struct keeper *keeper;
    /* See struct api_options. */
    const char *(*holds_writes)(void *context);
    bool (*takes_writes)(void *context);
    void *context;
};

/* ERR_NOMEM. */
MUST_CHECK enum err own_writes_new(const struct own_writes_options *options,
                                   struct own_writes **ret_writes);
/* NULL is fine. */
void own_writes_free(struct own_writes *writes);

/*  Stores a remote write 1.0 message of a tenant, except samples that are refused. After an error
 * nothing of it is stored. ERR_UNSUPPORTED: the server has neither a store nor a destination;
 * ERR_AGAIN, ERR_NOMEM. */
MUST_CHECK enum err own_write(struct own_writes *writes, struct bytes tenant, struct bytes message,
                              struct rules_written *ret, struct why *why);
/* Stores a request that was decoded with all checks, as own_write(). `origin`: of its times. */
MUST_CHECK enum err own_store(struct own_writes *writes, enum tsdb_origin origin,
                              struct bytes tenant, const struct rw_request *request,
                              struct rules_written *ret, struct why *why);
/* Waits until the message with this ticket, and all before, is durable. ERR_AGAIN: the commit
 * failed, and nothing of the message is durable. ERR_CANCELED: the disk hangs; the message may be
 * durable, then or later. */
MUST_CHECK enum err own_settle(struct own_writes *writes, uint64_t ticket, struct why *why);
/* Waits until all settled messages are on stable storage, whatever wal.ack is: keeper_sync(). */
MUST_CHECK enum err own_sync(struct own_writes *writes, struct why *why);
/* Returns the reason why writes are refused now, also those of senders; NULL if they are not. */
const char *own_refuses(struct own_writes *writes);
/* Call after each commit of the store. Accepts NULL. */
void own_committed(struct own_writes *writes);

/* --- the self-scrape -------------------------------------------------------------------------- */

/*
 * Stores the server's own metrics, so that rules can watch it without a Prometheus: the content of
 * /metrics, at multiples of an interval, like a scrape of a Prometheus: with `up`, the labels
 * job="firekeep-self" and instance, and staleness markers for series that are no longer there. A
 * Prometheus that scrapes the server too has another job for it: the series of both are not mixed.
 *
 * Threads: the one that owns the server; self_scrape_set() also the one that reloads it.
 */
struct self_scrape;
struct self_scrape_options {
    struct env *env;
    struct budget *memory;
    struct own_writes *writes;
    const char *instance; /* "host:port"; outlives it */
};

/* Begins with interval 0. ERR_NOMEM; ERR_AGAIN: the thread cannot be started. */
MUST_CHECK enum err self_scrape_start(const struct self_scrape_options *options,
                                      struct self_scrape **ret_scrape, struct why *why);
/* `interval_ms` 0 turns the self-scrape off. */
void self_scrape_set(struct self_scrape *scrape, int64_t interval_ms);
/* NULL is fine. */
void self_scrape_free(struct self_scrape *scrape);

/* Prints the label `instance` of a server that listens on HOST:PORT; a host of "" means all
 * addresses. */
void self_scrape_name(const char *host, unsigned port, char *to, size_t to_size);
/* Adds the samples of a text of metric_collect() to a message, all with one time and two more
 * labels, and the labels of each series to `seen`; appends the metadata to a 1.0 message.
 * ERR_INPUT: the text is invalid; ERR_NOMEM. */
MUST_CHECK enum err self_scrape_put(struct bytes text, const char *instance, int64_t t_ms,
                                    struct rw_build *build, struct kept_series *seen,
                                    struct buf *metadata, uint64_t *ret_samples);

#endif
