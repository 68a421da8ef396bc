/* checkpoint_copy.h - a checkpoint of a list of records, and of what a reader gives. For tests
 * and fuzzing. */
#ifndef LIB_CHECKPOINT_COPY_H
#define LIB_CHECKPOINT_COPY_H

#include "rules/schedule/checkpoint.h"

/* Into an empty buffer. */
MUST_CHECK enum err checkpoint_of_records(const struct checkpoint_head *head,
                                          const struct checkpoint_record *records, size_t count,
                                          struct buf *to, struct why *why);

/* Writes all records of an open reader again. */
MUST_CHECK enum err checkpoint_copy(struct checkpoint_reader *from, struct buf *to);

#endif
