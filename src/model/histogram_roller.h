/*
 * histogram_roller.h - makes the rollup of many native histograms in little memory: what joining
 * leaves behind is dropped from time to time.
 */
#ifndef MODEL_HISTOGRAM_ROLLER_H
#define MODEL_HISTOGRAM_ROLLER_H

#include "model/histogram_rollup.h"

enum { HISTOGRAM_ROLLER_BYTES = 128 * 1024 }; /* of an arena that is not dropped */

struct histogram_roller {
    struct histogram_rollup rollup; /* a count of 0 and not stale: empty */
    struct arena arenas[2];
    unsigned current; /* the arena that has the rollup */
};

/* Begins with an empty rollup. The budget outlives the roller. */
void histogram_roller_init(struct histogram_roller *roller, struct budget *budget);
void histogram_roller_fini(struct histogram_roller *roller);
/* Begins again with an empty rollup. */
void histogram_roller_clear(struct histogram_roller *roller);

/* Add later samples, which are copied. ERR_NOMEM: the rollup is invalid. */
MUST_CHECK enum err histogram_roller_add(struct histogram_roller *roller, int64_t t_ms,
                                         const struct histogram *h);
MUST_CHECK enum err histogram_roller_add_rollup(struct histogram_roller *roller,
                                                const struct histogram_rollup *later);

#endif
