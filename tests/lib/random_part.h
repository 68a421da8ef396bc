/*
 * random_part.h - random tenants with everything a part can hold, written and compared. For
 * tests and fuzz targets only.
 */
#ifndef LIB_RANDOM_PART_H
#define LIB_RANDOM_PART_H

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
    uint32_t series;  /* of a tenant, at most */
    uint32_t samples; /* of a series, at most */
    uint32_t values;  /* of a label, at most */
};

/* --- making ----------------------------------------------------------------------------------- */

struct bytes content_text(struct content *c, struct rng *r, const char *stem, uint64_t number);

struct bytes content_labels(struct content *c, struct rng *r, uint32_t values);

int content_by_labels(const void *a, const void *b);

uint32_t content_unique(void *items, uint32_t count, size_t size,
                        int (*compare)(const void *, const void *));

void content_pairs(struct content *c, struct content_tenant *t);

void content_make(struct content *c, uint64_t seed, struct content_size size);

void content_free(struct content *c);

/* --- writing ---------------------------------------------------------------------------------- */

enum err content_write(const struct content *c, struct env *env, struct budget *budget,
                       const char *dir, uint64_t number, int level, struct part_info *ret_info,
                       struct why *why);

#endif
