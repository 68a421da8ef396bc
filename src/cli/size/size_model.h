/* size_model.h - predicts disk, memory and CPU of a server from the load that it is to take. */
#ifndef CLI_SIZE_SIZE_MODEL_H
#define CLI_SIZE_SIZE_MODEL_H

#include <stdint.h>

/* All of it is positive or zero, and finite. */
struct size_load {
    double series;     /* active at a time */
    double interval_s; /* between two samples of a series; above 0 */
    double retention_s;
    double churn; /* part of the series that others replace within an hour */
    double late;  /* part of the samples that arrive after later ones of their series */
};

struct size_prediction {
    double samples_per_s;
    double new_series_per_s;
    double samples_kept;
    double series_kept; /* a series that was active in two parts counts once */
    double head_samples;
    double parts_bytes; /* with their indexes, merged */
    double log_bytes;   /* at most */
    double merge_bytes; /* at most, while the largest merge writes a part beside those that it
                           replaces */
    double rss_bytes;   /* at most, without queries, rules and destinations */
    double cpu_s_per_million_samples;
    double cores; /* the same per second */
};

void size_predict(const struct size_load *load, struct size_prediction *ret);

#endif
