/* checkpoint_copy.h - checkpoints of a list of records, and of another checkpoint. For tests. */
#ifndef LIB_CHECKPOINT_COPY_H
#define LIB_CHECKPOINT_COPY_H

#include "rules/schedule/checkpoint.h"

/* Writes a checkpoint of the records to an empty buffer. */
MUST_CHECK enum err checkpoint_of_records(const struct checkpoint_head *head,
                                          const struct checkpoint_record *records, size_t count,
                                          struct buf *to, struct why *why);

/* Writes a checkpoint of the records that an open reader returns. */
MUST_CHECK enum err checkpoint_copy(struct checkpoint_reader *from, struct buf *to);

#endif
