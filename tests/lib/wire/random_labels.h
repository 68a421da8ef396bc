/*
 * random_labels.h - random canonical label bytes, from a seed. For tests and fuzz targets
 * only.
 */
#ifndef LIB_WIRE_RANDOM_LABELS_H
#define LIB_WIRE_RANDOM_LABELS_H

#include <stdlib.h>

#include "base/buf.h"
#include "lib/random.h"
#include "wire/shape.h"

enum { RANDOM_LABELS_MAX = 12, RANDOM_TEXT_CHARACTERS = 40 };

/* Alphabets of names and values. */
enum random_class {
    RANDOM_PLAIN,   /* legal names of Prometheus */
    RANDOM_SPECIAL, /* characters that some format escapes */
    RANDOM_UTF8,
    RANDOM_BYTES, /* anything, UTF-8 or not */
    RANDOM_CLASS_COUNT
};

struct random_text {
    uint8_t at[RANDOM_TEXT_CHARACTERS * 4];
};

struct bytes random_text(struct rng *r, enum random_class class, struct random_text *memory);

void test_put_label(struct buf *to, struct bytes name, struct bytes value);

void test_put_texts(struct buf *to, const char *name, const char *value);

/* Writes the canonical bytes of labels that are given in any order, each name once. */
void test_put_labels(struct buf *to, struct label *labels, uint32_t count);

/* Appends labels; names are unique and in order. Most sets have a metric name. */
void random_labels(struct rng *r, enum random_class class, struct buf *to);

#endif
