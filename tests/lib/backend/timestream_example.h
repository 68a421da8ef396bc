/*
 * timestream_example.h - a table of Timestream with its columns, and a question about it. For
 * tests.
 */
#ifndef LIB_BACKEND_TIMESTREAM_EXAMPLE_H
#define LIB_BACKEND_TIMESTREAM_EXAMPLE_H

#include "lib/test.h"

#include "backend/timestream/timestream_reader.h"
#include "model/selector.h"

struct timestream_example {
    struct source_settings settings;
    struct timestream_reader reader;
    struct budget budget; /* of the question; nothing is left of it at the end */
    struct timestream_question q;
    struct selector selector;
    struct buf kept;
    struct why why;
};

enum err timestream_example_init(struct timestream_example *t, enum timestream_schema schema,
                                 const char *const *dimensions, const char *selector);
void timestream_example_fini(struct timestream_example *t);

#endif
