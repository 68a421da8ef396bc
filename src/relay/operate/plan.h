/*
 * plan.h - what a destination would be given of what a store holds, and what it would cost: the
 * samples go through its writer as real ones do, and nothing is sent or written.
 *
 * They come in the order of time, as if each had arrived when it was taken; time is that of the
 * samples. So calls are about those of a destination that keeps up, and not of one that is filled,
 * which is given series by series.
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
    struct tsdb *tsdb;         /* whose tenants; may be read only */
    struct answerer *answerer; /* what they have */
    struct budget *memory;
    const struct destination_settings *settings;
    const struct writer_class *writer;
    uint32_t shards; /* of a stream, which is not asked how many it has. 0: one */
    int64_t from_ms; /* both inclusive */
    int64_t to_ms;
    const atomic_bool *stop; /* NULL: it is never stopped */
};

/* A series with a time, as PromQL has it; of metadata the family's name, which has none. */
struct plan_example {
    char text[PLAN_EXAMPLE_BYTES];
    bool has_time;
    int64_t t_ms;
};

/* What has no form there, for one reason. */
struct plan_dead {
    char why[PLAN_TEXT_BYTES]; /* of the first of them */
    uint64_t count[ITEM_KIND_COUNT];
    struct plan_example example;
};

/* What is written in another form, of one kind. */
struct plan_mapped {
    uint64_t samples;
    struct plan_example example;
};

struct plan {
    uint64_t seen;                   /* samples of the store, wanted or not */
    uint64_t taken[ITEM_KIND_COUNT]; /* wanted */
    uint64_t dead_total[ITEM_KIND_COUNT];
    uint64_t series;           /* wanted, as many as there are at a time, at most */
    int64_t first_ms, last_ms; /* of what is wanted; nothing is if `taken` are 0 */
    uint64_t calls;
    uint64_t bytes; /* of the bodies */
    bool bytes_are_exact;
    const char *unit; /* NULL: nothing is billed; of the writer's */
    uint64_t units;
    struct plan_dead dead[PLAN_DEAD_MAX];
    uint32_t dead_count;
    uint64_t dead_others; /* for reasons that found no room */
    struct plan_mapped mapped[PLAN_MAPPED_COUNT];
    uint64_t damaged;                /* places of the store that could not be read */
    char damage[PLAN_EXAMPLE_BYTES]; /* the first of them */
};

/* ERR_INPUT and others of the writer's init(): settings that cannot be; ERR_NOMEM; ERR_CANCELED:
 * stopped; errors of the store. */
MUST_CHECK enum err plan_run(const struct plan_options *options, struct plan *ret_plan,
                             struct why *why);

/* What a kind of mapping is of, in words; the bits of enum writer_mapped in their order. */
const char *plan_mapped_word(uint32_t kind);

#endif
