/*
 * random_part.h - random tenants with everything that a part can hold, from a seed, and parts
 * written of them. For tests and fuzzers. All of a content lies in its arena.
 */
#ifndef LIB_TSDB_RANDOM_PART_H
#define LIB_TSDB_RANDOM_PART_H

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "model/labels.h"
#include "tsdb/part/part.h"

struct content_sample {
    int64_t t_ms;
    int64_t start_ms;
    enum sample_kind kind;
    uint64_t bits;
    struct histogram histogram;
};

struct content_series {
    struct bytes labels;
    uint32_t *pairs;
    uint32_t pair_count;
    struct content_sample *samples;
    uint32_t sample_count;
};

struct content_exemplar {
    uint32_t series;
    int64_t t_ms;
    uint64_t bits;
    struct bytes labels;
};

struct content_tenant {
    struct bytes name;
    struct label *pairs; /* sorted, unique */
    uint32_t pair_count;
    struct content_series *series; /* in label order */
    uint32_t series_count;
    struct content_exemplar *exemplars;
    uint32_t exemplar_count;
    struct metadata *metadata;
    uint32_t metadata_count;
};

struct content {
    struct arena arena;
    struct content_tenant *tenants;
    uint32_t tenant_count;
};

struct content_size {
    uint32_t tenants;
    uint32_t series;  /* limit per tenant */
    uint32_t samples; /* limit per series */
    uint32_t values;  /* limit per label */
};

/* --- making ----------------------------------------------------------------------------------- */

/* Returns the text of stem and number, and rarely a very long one. */
struct bytes content_text(struct content *c, struct rng *r, const char *stem, uint64_t number);

/* Returns canonical labels with up to `values` values of a name. */
struct bytes content_labels(struct content *c, struct rng *r, uint32_t values);

/* Compares two struct content_series, for qsort(). */
int content_by_labels(const void *a, const void *b);

/* Sorts the items and removes those that are equal to another; returns how many are left. */
uint32_t content_unique(void *items, uint32_t count, size_t size,
                        int (*compare)(const void *, const void *));

/* Makes the pairs of a tenant whose series have their labels. */
void content_pairs(struct content *c, struct content_tenant *t);

/* Makes a random content; frees it. */
void content_make(struct content *c, uint64_t seed, struct content_size size);
void content_free(struct content *c);

/* Writes the content as part `number` into a directory. */
enum err content_write(const struct content *c, struct env *env, struct budget *budget,
                       const char *dir, uint64_t number, int level, struct part_info *ret_info,
                       struct why *why);

#endif
