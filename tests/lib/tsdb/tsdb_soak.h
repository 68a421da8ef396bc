/*
 * tsdb_soak.h - a model of a store over days, for thousands of series and millions of samples, and
 * the comparison of its answers with the model. For tests.
 *
 * A mark is one time of one series. Values are not kept: they follow from series, time and a code,
 * one of eight with which the time may have been sent. A mark has
 *
 *   may    codes of which one may be read; the first arrival wins, so it never changes once seen
 *   must   one of them has to be read: it was acknowledged
 *   sent   all codes ever sent; where a part is dropped, a later arrival may come to light
 *
 * A reading narrows `may` to what it saw. Marks that expired, or whose fate a crash has hidden,
 * lose their `must` until they are seen again; what is deleted is forgotten as if never sent.
 */
#ifndef LIB_TSDB_TSDB_SOAK_H
#define LIB_TSDB_TSDB_SOAK_H

#include "base/hash/hash.h"
#include "lib/tsdb/tsdb_machine.h"
#include "tsdb/store/store.h"

#define HOUR_MS (60 * MINUTE_MS)

/* Bits of a code. */
enum { CODE_PLAIN = 0, CODE_OTHER = 1, CODE_OTHER_KIND = 2, CODE_STALE = 3, CODE_START = 4 };

enum metric_class { CONSTANT, COUNTER, GAUGE, NOISE, HISTOGRAM_OF_INTS, HISTOGRAM_OF_FLOATS };

enum what { SAMPLES, EXEMPLARS, WHAT_COUNT };

enum { SOAK_TENANTS = 3, SOAK_BUCKETS = 6, SOAK_HELPS = 8 };

extern const char *const soak_tenants[SOAK_TENANTS];

struct soak_metric {
    const char *name;
    enum metric_class class;
    const char *more; /* labels */
};

enum { SOAK_METRICS = 17 };

extern const struct soak_metric soak_metrics[SOAK_METRICS];

struct mark {
    int64_t t_ms;
    uint32_t gen; /* the generation of the head that took it last */
    uint8_t may;
    uint8_t sent;
    bool must;
    bool pending;
};

struct marks {
    struct mark *at;
    uint32_t count;
    uint32_t capacity;
};

struct soak_series {
    uint32_t tenant;
    enum metric_class class;
    uint64_t seed;
    uint64_t hash;
    uint32_t reading; /* number of the last reading that saw it */
    char text[200];   /* labels as in requests */
    struct bytes labels;
    struct marks marks[WHAT_COUNT];
};

struct soak_item {
    uint32_t series;
    uint8_t what;
    uint8_t code;
    int64_t t_ms;
};

/* A request of one tenant; items of one series follow each other. */
struct soak_request {
    uint32_t tenant;
    enum rw_version version;
    struct soak_item *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t help; /* 1 + number of its metadata; 0: none */
};

struct soak {
    struct machine m;
    struct rng rng;
    uint64_t step; /* for messages of failures */
    struct soak_series *series;
    uint32_t series_count;
    uint32_t series_capacity;
    uint32_t *table; /* open hash table of series: 0: free, else 1 + number */
    uint32_t table_size;
    struct buf names; /* canonical labels of a new series */
    struct arena arena;
    struct soak_item *pending;
    uint32_t pending_count;
    uint32_t pending_capacity;
    uint64_t wait_epoch; /* the highest epoch of a pending item */
    uint32_t gen;
    uint32_t reading;
    uint64_t durable;
    int64_t expired_ms; /* merges may have dropped samples before it */
    bool frozen;
    bool doubt;   /* stored samples may become visible only after a commit or a restart */
    bool limited; /* new series may be refused */
    /* Metadata: help texts that each tenant's families may have; bits. */
    uint8_t helps[SOAK_TENANTS][SOAK_METRICS];
    uint8_t helps_sent[SOAK_TENANTS];
    bool helps_must[SOAK_TENANTS];
    uint8_t helps_pending[SOAK_TENANTS]; /* 1 + number */
    uint64_t acked, narrowed, read, refused, no_memory;
};

#define soak_fail(x, ...)                                              \
    do {                                                               \
        print_error("seed %lld, step %llu: ", (long long)machine_seed, \
                    (unsigned long long)(x)->step);                    \
        fail_msg(__VA_ARGS__);                                         \
    } while (0)

/* Fails the test with seed and step, naming `what`, unless `e` is OK. */
void soak_must(struct soak *x, enum err e, const char *what);

/* --- values ----------------------------------------------------------------------------------- */

/* --- series and marks ------------------------------------------------------------------------- */

void soak_init(struct soak *x, uint64_t seed);
void soak_fini(struct soak *x);

/* Returns the number of the series with the labels "name=value,...", which is made if it is new. */
uint32_t soak_series_of(struct soak *x, uint32_t tenant, const char *given,
                        enum metric_class class);

/* Returns the number of the first mark at or after a time. */
uint32_t marks_from(const struct marks *m, int64_t t_ms);

/* --- sending ---------------------------------------------------------------------------------- */

/* Adds an item to a request; sends the request, and checks the verdict. */
void soak_add(struct soak_request *r, uint32_t series, enum what what, int64_t t_ms, uint8_t code);
enum err soak_send(struct soak *x, const struct soak_request *r);

/* --- commits, flushes, deaths ----------------------------------------------------------------- */

/* Commits; the second must succeed. */
enum err soak_try_commit(struct soak *x);
void soak_commit(struct soak *x);

/* Flushes all of the head. */
void soak_flush(struct soak *x);

/* Notes that samples of that time may have been dropped, or replaced by later ones. */
void soak_forget(struct soak *x, int64_t min_ms, int64_t max_ms);

/* Notes before each merge that samples older than the retention may be dropped. */
void soak_may_expire(struct soak *x);

/* Notes that the process ended and the store is freed. */
void soak_died(struct soak *x);

/* --- reading ---------------------------------------------------------------------------------- */

/* Says whether the matchers select a series. */
bool soak_selects(const struct soak_series *s, struct matcher *const *matchers, uint32_t count);

/* Queries samples or exemplars and checks the answer. With `adopt`, missing values are gone for
 * good. */
void soak_ask(struct soak *x, enum what what, uint32_t tenant, const struct matcher_text *matchers,
              uint32_t count, int64_t min_ms, int64_t max_ms, bool adopt);

/* Reads everything and checks it. After a restart, missing values are gone for good. */
void soak_look(struct soak *x, bool restarted);

#endif
