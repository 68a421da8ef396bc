/* checkpoint_copy.c - see checkpoint_copy.h. */
#include "lib/checkpoint_copy.h"

enum err
checkpoint_of_records(const struct checkpoint_head *head, const struct checkpoint_record *records,
                      size_t count, struct buf *to, struct why *why)
{
    struct checkpoint_writer w;
    checkpoint_begin(&w, head, to);
    for (size_t i = 0; i < count; i++)
        checkpoint_put(&w, &records[i]);
    return checkpoint_end(&w, why);
}

enum err
checkpoint_copy(struct checkpoint_reader *from, struct buf *to)
{
    struct checkpoint_writer w;
    struct checkpoint_record record;
    checkpoint_begin(&w, &from->head, to);
    while (checkpoint_next(from, &record))
        checkpoint_put(&w, &record);
    return checkpoint_end(&w, NULL);
}
