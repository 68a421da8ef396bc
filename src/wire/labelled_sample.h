/* labelled_sample.h - a sample with the labels of its series, for the formats of other systems. */
#ifndef WIRE_LABELLED_SAMPLE_H
#define WIRE_LABELLED_SAMPLE_H

#include "wire/shape.h"

struct labelled_sample {
    struct bytes labels; /* canonical label bytes (model/labels.h) */
    int64_t t_ms;
    int64_t start_ms; /* 0 if not known */
    uint64_t bits;
    const struct histogram *histogram; /* NULL if the sample is a float */
};

#endif
