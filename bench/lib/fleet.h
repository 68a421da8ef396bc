/*
 * fleet.h - series that look and behave like those of a capture, for generating load.
 * Ends the program on any error: for measuring programs only.
 */
#ifndef BENCH_LIB_FLEET_H
#define BENCH_LIB_FLEET_H

#include "base/buf.h"
#include "model/labels.h"

enum behaviour {
    CONSTANT,
    COUNTER_INT,
    GAUGE_INT,
    COUNTER_DECIMAL,
    GAUGE_DECIMAL,
    REAL,
    BEHAVIOURS
};
extern const char *const behaviour_names[BEHAVIOURS];

/* Use of observations by a series of a classic histogram, which are the same for all its series. */
enum observing {
    NO_OBSERVATIONS,
    OBSERVATIONS_BELOW, /* counts those up to a bound */
    OBSERVATIONS_SUM    /* adds them up */
};

struct model {
    struct bytes labels; /* the fields as sent */
    struct bytes instance;
    struct bytes job;
    uint64_t *bits;
    uint32_t count;
    uint32_t capacity;
    enum behaviour behaviour;
    unsigned exponent; /* integers and decimals: value = k / 10^exponent */
    bool counter;
    double scale;     /* 10^exponent; 1 if real */
    double *places;   /* for each value k, or the value if real; NaN: not finite */
    double low, high; /* bounds of the values */
    uint32_t alike;   /* index of the first of the series that draw the same steps */
    bool numbered;    /* # in its labels is replaced by the number of the copy */
    enum observing observing;
    double bound_s, median_s; /* bound and median of observations */
};

struct active {
    const struct model *like;
    uint32_t copy;
    uint32_t generation; /* number of replacements by churn */
    uint64_t random;
    double now; /* k, or the value if real */
    uint64_t offset_ms;
    uint64_t target;     /* equal for all series of a target */
    struct bytes labels; /* live on when it is replaced: late samples have them */
};

/* Zeroed memory is an empty fleet. */
struct fleet {
    struct model *models;
    uint32_t count;
    uint32_t capacity;
    uint32_t *table; /* by key: index + 1 */
    uint64_t table_size;
};

/* Reads a capture of remote write 1.0 and keeps the series that are long enough, by target. */
void fleet_read(struct fleet *f, const char *path);
/* Appends one field of `labels`. */
void label_put(struct buf *to, struct label l);
/* Returns `series` active series, copies of the models in turn. They live as long as
 * the process. */
struct active *fleet_multiply(const struct fleet *f, uint64_t series, uint64_t seed,
                              uint64_t interval_ms);
/* Returns the bits of its next value. Never periodic: steps are drawn from 2^64 states. */
uint64_t active_next(struct active *a);
/* Replaces it, as churn does: by another instance, or by a restarted one. */
void active_replace(struct active *a, uint64_t seed, uint64_t number, struct buf *scratch);

/* Steps through `labels` fields of remote write 1.0. */
bool label_next(struct cursor *c, struct label *ret);

#endif
