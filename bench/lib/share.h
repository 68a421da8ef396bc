/*
 * share.h - one connection's share of a load: its series, and the requests made of them.
 * A share belongs to one thread at a time.
 */
#ifndef BENCH_LIB_SHARE_H
#define BENCH_LIB_SHARE_H

#include "lib/fleet.h"

enum { LATE_SCRAPES = 40 };

/* The whole load. Scrapes are counted from 0, at `start_ms`. */
struct shape {
    uint64_t series, batch, connections, seed, version;
    uint64_t interval_ms;
    uint64_t skip; /* the first scrape that is sent */
    uint64_t end;  /* the scrape after the last one */
    int64_t start_ms;
    double churn; /* percent of the series replaced in an hour */
    double late;  /* percent of the samples that are sent late */
};

struct request {
    uint64_t at; /* position in the share's `store` */
    uint32_t size;
    uint32_t samples;
    uint64_t scrape;
};

/* A sample that is sent with a later scrape. */
struct held {
    struct bytes labels; /* labels of the instance that made it */
    uint64_t bits;
    int64_t t_ms;
};

struct held_list {
    struct held *at;
    uint32_t count, capacity;
};

struct share {
    const struct shape *o;
    struct active *active; /* all series; its own are first, first + connections, ... */
    uint64_t first;
    uint64_t own;
    struct held_list held[LATE_SCRAPES + 1]; /* by the scrape they are sent with */

    struct request *requests; /* requests of the window */
    uint64_t request_count, request_capacity;
    struct buf store; /* their bodies */

    struct buf message, series, scratch;
    uint32_t *local;    /* 2.0: index in this request's symbols, by the slot of the symbol */
    struct bytes *slot; /* 2.0: the texts */
};

/* `active` has the series of all shares; `o` is borrowed. Advances the series to the first
 * scrape sent. */
void share_init(struct share *s, const struct shape *o, struct active *active, uint64_t first);
/* Makes the requests of the scrapes from..to-1 and frees those before. Windows follow
 * each other. */
void share_make(struct share *s, uint64_t from, uint64_t to);

#endif
