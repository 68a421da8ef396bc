/* checkpoint_testing.h - a checkpoint of a list of records, and of what a reader gives. For tests
 * and fuzzing. */
#ifndef RULES_SCHEDULE_CHECKPOINT_TESTING_H
#define RULES_SCHEDULE_CHECKPOINT_TESTING_H

#include "rules/schedule/checkpoint.h"

/* Into an empty buffer. */
MUST_CHECK static inline enum err
checkpoint_testing_encode(const struct checkpoint_head *head,
                          const struct checkpoint_record *records, size_t count, struct buf *to,
                          struct why *why)
{
    struct checkpoint_writer w;
    checkpoint_begin(&w, head, to);
    for (size_t i = 0; i < count; i++) {
        checkpoint_put(&w, &records[i]);
    }
    return checkpoint_end(&w, why);
}

/* Writes all records of an open reader again. */
MUST_CHECK static inline enum err
checkpoint_testing_again(struct checkpoint_reader *from, struct buf *to)
{
    struct checkpoint_writer w;
    struct checkpoint_record record;
    checkpoint_begin(&w, &from->head, to);
    while (checkpoint_next(from, &record)) {
        checkpoint_put(&w, &record);
    }
    return checkpoint_end(&w, NULL);
}

#endif
