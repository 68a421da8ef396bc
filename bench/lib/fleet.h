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

/* A series of a classic histogram sees the same observations as the others of it. */
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
    double *places;   /* of each value k, or the value if real; NaN: no finite one */
    double low, high; /* of them */
    uint32_t alike;   /* series that draw the same steps: the index of the first of them */
    bool numbered;    /* # in its labels stands for the number of the copy */
    enum observing observing;
    double bound_s, median_s; /* of observations */
};

struct active {
    const struct model *like;
    uint32_t copy;
    uint32_t generation; /* how often churn replaced it */
    uint64_t random;
    double now; /* k, or the value if real */
    uint64_t offset_ms;
    uint64_t target;     /* equal for all series of a target */
    struct bytes labels; /* live on when it is replaced: late samples have them */
};

/* Zeroed memory is an empty one. */
struct fleet {
    struct model *models;
    uint32_t count;
    uint32_t capacity;
    uint32_t *table; /* by key: index + 1 */
    uint64_t table_size;
};

/* Reads a capture of remote write 1.0 and keeps the series that are long enough, by target. */
void fleet_read(struct fleet *f, const char *path);
/* Puts one field of `labels`. */
void label_put(struct buf *to, struct label l);
/* So many active series, copies of the models in turn. Lives as long as the process. */
struct active *fleet_multiply(const struct fleet *f, uint64_t series, uint64_t seed,
                              uint64_t interval_ms);
/* The bits of its next value. Never periodic: steps are drawn from 2^64 states. */
uint64_t active_next(struct active *a);
/* Churn: it comes back as another instance, or restarted. */
void active_replace(struct active *a, uint64_t seed, uint64_t number, struct buf *scratch);

/* Steps through `labels` fields of remote write 1.0. */
bool label_next(struct cursor *c, struct label *ret);

#endif
