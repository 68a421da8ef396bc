/*
 * self_scrape.h - stores the server's own metrics, so that rules can watch it without a Prometheus:
 * the content of /metrics, at multiples of an interval, like a scrape of a Prometheus: with `up`,
 * the labels job="firekeep-self" and instance, and staleness markers for series that are no
 * longer there. A Prometheus that scrapes the server too has another job for it: the series of both
 * are not mixed.
 *
 * Threads: the one that owns the server; self_scrape_set() also the one that reloads it.
 */
#ifndef APP_SELF_SCRAPE_H
#define APP_SELF_SCRAPE_H

#include "app/own_writes.h"
#include "wire/remote/remote_write_build.h"

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
