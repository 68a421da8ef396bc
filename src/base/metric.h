/*
 * metric.h - the process' numbers, as /metrics shows them: counters, histograms, and
 * collectors for numbers that live elsewhere, gauges above all.
 *
 *     static struct metric_counter refused = {
 *         .name = "firekeep_http_refused_total", .help = "Requests refused for want of memory.",
 *         .labels = {{"route", "write"}}};
 *     metric_register_counter(&refused);    once, at start
 *     metric_inc(&refused);                 anywhere, any thread
 *
 * A metric is a static variable of the module that counts. Metrics of one name form a family; they
 * may be registered from different files, but must agree in kind, and differ in their labels.
 * Names, help and labels are static texts; a counter's name ends in _total. Registering something
 * again does nothing.
 *
 * Threads: everything here from any thread. Values are relaxed atomics: they order nothing, and a
 * scrape sees each of them at a moment of its own.
 */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stdatomic.h>

#include "base/text/json.h"

#define METRIC_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { METRIC_LABELS_MAX = 3, METRIC_BOUNDS_MAX = 24 };

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };

/* Ends at the first NULL name. */
struct metric_label {
    const char *name;
    const char *value;
};

/* Belongs to metric.c. Zeroed: not registered. */
struct metric_link {
    _Atomic(struct metric_link *) next;
    int what;
    bool registered;
};

struct metric_counter {
    const char *name, *help;
    struct metric_label labels[METRIC_LABELS_MAX];
    _Atomic uint64_t value;
    struct metric_link link;
};

struct metric_histogram {
    const char *name, *help;
    struct metric_label labels[METRIC_LABELS_MAX];
    const uint64_t *bounds; /* inclusive upper bounds, rising; +Inf is added */
    unsigned bound_count;   /* 1..METRIC_BOUNDS_MAX */
    uint64_t per_unit;      /* recorded values are divided by it when printed; 0 means 1 */
    _Atomic uint64_t buckets[METRIC_BOUNDS_MAX + 1]; /* each alone, not added up */
    _Atomic uint64_t sum;
    struct metric_link link;
};

/* METRIC_LATENCY initializes a metric_histogram: recorded in nanoseconds, shown in seconds, 100 us
 * to 60 s. */
enum { METRIC_LATENCY_BOUNDS = 18 };
extern const uint64_t metric_latency_bounds_ns[METRIC_LATENCY_BOUNDS];
#define METRIC_LATENCY \
    .bounds = metric_latency_bounds_ns, .bound_count = METRIC_LATENCY_BOUNDS, .per_unit = 1000000000

/* Prints samples at scrape time. No lock that ranks at or above LOCK_RANK_API is held, and one
 * scrape runs at a time; it must not register or collect. */
struct metric_sink;
struct metric_collector {
    void (*collect)(struct metric_sink *sink, void *context);
    void *context;
    struct metric_link link;
};

/* Adds a metric to those of /metrics; its memory stays in use until the process ends, or for a
 * collector until metric_unregister(). Any thread. */
void metric_register_counter(struct metric_counter *counter);
void metric_register_histogram(struct metric_histogram *histogram);
void metric_register_collector(struct metric_collector *collector);
/* For collectors that end before the process does: metric_unregister(&collector->link). Waits for a
 * running scrape, so the caller holds no lock that its callbacks take. Does nothing if it was not
 * registered. */
void metric_unregister(struct metric_link *link);
/* For tests: forgets all registrations and sets their values to zero. */
void metric_reset_all(void);

static inline void
metric_add(struct metric_counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}

static inline void
metric_inc(struct metric_counter *counter)
{
    metric_add(counter, 1);
}

static inline uint64_t
metric_value(const struct metric_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* In units of the bounds: nanoseconds with METRIC_LATENCY. */
void metric_record(struct metric_histogram *histogram, uint64_t value);

/* --- for collectors --------------------------------------------------------------------------- */

/* A static description; for histograms there is metric_put_histogram(). */
struct metric_family {
    const char *name, *help;
    enum metric_kind kind;
};

/* The value may come from outside: bytes that are not UTF-8 are printed as U+FFFD. */
struct metric_pair {
    const char *name;
    struct bytes value;
};

/* One sample. `pairs` are read at once and may be NULL with `count` 0. */
void metric_put_u64(struct metric_sink *sink, const struct metric_family *family,
                    const struct metric_pair *pairs, size_t count, uint64_t value);
void metric_put_double(struct metric_sink *sink, const struct metric_family *family,
                       const struct metric_pair *pairs, size_t count, double value);
/* The only sample of a family. */
void metric_put_one(struct metric_sink *sink, const char *name, enum metric_kind kind,
                    const char *help, double value);
/* A histogram that is not registered, with all its samples; its texts are read at once, but for
 * name and help, which are static. */
void metric_put_histogram(struct metric_sink *sink, const struct metric_histogram *histogram);

/* Prints use, peak, limit and refusals of a budget: firekeep_memory_... */
void metric_put_budget(struct metric_sink *sink, const struct budget *budget);

/* --- for /metrics ----------------------------------------------------------------------------- */

/*
 * Appends everything in Prometheus' text format 0.0.4: families in order of their names, samples of
 * a family in order of registration. On error (see buf_error()) nothing was appended: ERR_NOMEM, or
 * ERR_LIMIT when `to` is too small.
 */
void metric_collect(struct buf *to);
/*
 * Puts an array of the same families, of those whose names are `wanted`, each as ProtoJSON has an
 * io.prometheus.client.MetricFamily. Errors show in the writer's buffer.
 */
void metric_collect_json(struct json *to, bool (*wanted)(void *context, const char *name),
                         void *context);

#endif
