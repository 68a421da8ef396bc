/*
 * self_scrape.h - the server's own metrics in its own store, so that rules can watch it without a
 * Prometheus: the content of /metrics, at multiples of an interval, as a Prometheus would have
 * scraped it: with `up`, the labels job="firekeep" and instance, and staleness markers for series
 * that are no more.
 *
 * Threads: the one that owns the server; self_scrape_set() also one that reloads it.
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

/* Off until it is set. ERR_NOMEM; ERR_AGAIN: no thread. */
MUST_CHECK enum err self_scrape_start(const struct self_scrape_options *options,
                                      struct self_scrape **ret_scrape, struct why *why);
/* 0: off. */
void self_scrape_set(struct self_scrape *scrape, int64_t interval_ms);
/* NULL is fine. */
void self_scrape_free(struct self_scrape *scrape);

/* The label `instance` of a server that listens there, HOST:PORT; a host of "" is all addresses. */
void self_scrape_name(const char *host, unsigned port, char *to, size_t to_size);
/*
 * Puts the samples of a text of metric_collect() into a message, all at one time, with two labels
 * more, and the labels of each series into `seen`. ERR_INPUT: it is no such text; ERR_NOMEM.
 */
MUST_CHECK enum err self_scrape_put(struct bytes text, const char *instance, int64_t t_ms,
                                    struct rw_build *build, struct kept_series *seen,
                                    uint64_t *ret_samples);

#endif
