/*
 * plan.h - counts the samples of a store that a destination would receive, and the requests and
 * bytes that it would take: the samples go through its writer as real ones do, and nothing is sent
 * or written.
 *
 * Samples come in the order of their times, as if each had arrived at its time. So calls are about
 * those of a destination that keeps up with the log; one that reads the store is sent series by
 * series.
 *
 * Threads: one.
 */
#ifndef RELAY_OPERATE_PLAN_H
#define RELAY_OPERATE_PLAN_H

#include <stdatomic.h>

#include "backend/writer.h"
#include "tsdb/tsdb.h"

enum {
    PLAN_DEAD_MAX = 16,
    PLAN_TEXT_BYTES = 200,
    PLAN_EXAMPLE_BYTES = 400,
    PLAN_MAPPED_COUNT = 5, /* enum writer_mapped */
};

struct plan_options {
    struct env *env;
    struct tsdb *tsdb;         /* lists the tenants; may be read-only */
    struct answerer *answerer; /* gives their samples */
    struct budget *memory;
    const struct destination_settings *settings;
    const struct writer_class *writer;
    uint32_t shards; /* shards of a stream, which are not looked up; 0 for one */
    int64_t from_ms; /* Unix time; both inclusive */
    int64_t to_ms;
    const atomic_bool *stop; /* ends the plan when set; may be NULL */
    int64_t deadline_ns;     /* monotonic time at which the plan ends with an error; 0: none */
};

/* A series, as PromQL writes it, and a time; for metadata the family's name without a time. */
struct plan_example {
    char text[PLAN_EXAMPLE_BYTES];
    bool has_time;
    int64_t t_ms;
};

/* Items that the destination cannot represent, for one reason. */
struct plan_dead {
    char why[PLAN_TEXT_BYTES]; /* the reason of the first item */
    uint64_t count[ITEM_KIND_COUNT];
    struct plan_example example;
};

/* Samples that are written in another form, for one kind of mapping. */
struct plan_mapped {
    uint64_t samples;
    struct plan_example example;
};

struct plan {
    uint64_t seen;                   /* samples of the store, wanted or not */
    uint64_t taken[ITEM_KIND_COUNT]; /* wanted items */
    uint64_t dead_total[ITEM_KIND_COUNT];
    uint64_t series;           /* the largest number of wanted series at a time */
    int64_t first_ms, last_ms; /* times of wanted items; not set if `taken` is 0 */
    uint64_t calls;
    uint64_t bytes; /* bytes of the bodies */
    bool bytes_are_exact;
    const char *unit; /* the writer's unit of billing; NULL if nothing is billed */
    uint64_t units;
    struct plan_dead dead[PLAN_DEAD_MAX];
    uint32_t dead_count;
    uint64_t dead_others; /* items whose reasons did not fit into `dead` */
    struct plan_mapped mapped[PLAN_MAPPED_COUNT];
    uint64_t damaged;                /* damaged places of the store */
    char damage[PLAN_EXAMPLE_BYTES]; /* describes the first of them */
};

/* ERR_INPUT: invalid settings; other errors of the writer's init() and of the store; ERR_NOMEM;
 * ERR_CANCELED: stopped. */
MUST_CHECK enum err plan_run(const struct plan_options *options, struct plan *ret_plan,
                             struct why *why);

/* "metric names", ...: the things that a mapping of this kind, a bit number of enum writer_mapped,
 * changes. */
const char *plan_mapped_word(uint32_t kind);

#endif
