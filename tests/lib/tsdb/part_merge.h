/*
 * part_merge.h - random parts that overlap in every way, a simple model of their merge, and a
 * reader that compares the merged part with it. For tests.
 *
 * A world has up to INPUTS_MAX parts on a simulated device. A test changes w->contents and writes
 * the part again, or changes the options that merge_world_options() returns, before it merges.
 */
#ifndef LIB_TSDB_PART_MERGE_H
#define LIB_TSDB_PART_MERGE_H

#include "lib/test.h"
#include "lib/tsdb/random_part.h"
#include "model/histogram.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/merge/parts.h"

enum {
    INPUTS_MAX = 8,
    DELETIONS_MAX = 3,
    POOL = 4, /* histograms of each kind */
    STEP_MS = 15000,
    CACHE_BYTES = 8 << 20,
    OUTPUT = 0x100, /* number of the part written; inputs are 1, 2, ... */
};

#define BASE_MS 1700000000000LL

struct merge_world_shape {
    uint32_t inputs;
    uint32_t tenants;
    uint32_t series;  /* limit per tenant */
    uint32_t samples; /* limit per series in one input */
    bool plain;       /* floats and nothing else */
};

struct merge_world {
    uint64_t seed;
    struct rng r;
    struct sim_env *sim;
    struct fault_env *fault;
    struct env *env;
    struct budget budget;
    struct budget cache_budget;
    struct page_cache *cache;
    struct arena arena;
    struct histogram pool[2][POOL];
    struct merge_world_shape shape;
    struct content contents[INPUTS_MAX];
    struct part *parts[INPUTS_MAX];
    struct part_merge_input inputs[INPUTS_MAX];
    struct part_deletion deletions[INPUTS_MAX][DELETIONS_MAX];
};

/* --- making ----------------------------------------------------------------------------------- */

/* Makes a world without parts; with random parts. */
void merge_world_machine(struct merge_world *w, uint64_t seed);
void merge_world_init(struct merge_world *w, uint64_t seed, struct merge_world_shape shape);
void merge_world_fini(struct merge_world *w);

/* Writes w->contents[input] as a part and opens it as w->parts[input]. */
void merge_world_write(struct merge_world *w, uint32_t input);

/* Returns a random time in or near the inputs, and a random range of such times. */
int64_t merge_world_time(struct merge_world *w);
struct time_range merge_world_range(struct merge_world *w);

/* Adds random deletions to the inputs. */
void merge_world_delete(struct merge_world *w);

/* Returns options that merge all inputs into the part OUTPUT; views of the world. */
struct part_merge_options merge_world_options(struct merge_world *w);

/* --- the model -------------------------------------------------------------------------------- */

struct merge_model {
    struct content want;
    struct part_merge_counts *counts; /* one per tenant, including tenants without any */
    struct part_merge_counts *count;  /* counts of the current tenant */
    const struct part_merge_options *options;
    struct merge_world *world;
};

/* Computes the result that the merge should have. `want` uses memory of the world's contents. */
void merge_model_init(struct merge_model *m, struct merge_world *w,
                      const struct part_merge_options *options);

void merge_model_fini(struct merge_model *m);

/* --- reading ---------------------------------------------------------------------------------- */

/* Checks that the part is undamaged and has exactly the content `want`, to the bit. */
void check_part(struct merge_world *w, uint64_t number, const struct content *want);

/* Checks the counts of a merge, one for each tenant that has any. */
void check_counts(const struct merge_model *m, const struct part_merge_counts *counts,
                  uint32_t count);

/* --- merging ---------------------------------------------------------------------------------- */

/* The result of a merge; counts are sums over the tenants. */
struct merge_outcome {
    enum err e;
    uint32_t input; /* the damaged input, with ERR_CORRUPT */
    struct part_info info;
    uint64_t counted[LEDGER_KIND_COUNT];
    uint32_t steps;
    struct why why;
};

/* Merges, `samples` per step. Compares the counts with those of `model` unless it is NULL. */
struct merge_outcome merge_world_merge(const struct part_merge_options *options, uint64_t samples,
                                       const struct merge_model *model);

/* Merges, and checks the part against the model. */
struct merge_outcome merge_world_merge_and_check(struct merge_world *w,
                                                 const struct part_merge_options *options,
                                                 uint64_t samples);

/* Prints the seed of the world that was merged last; a teardown. */
int merge_world_print_seed(void **state);

#endif
