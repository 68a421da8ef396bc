/* item_ndjson.h - an item as a sample, and as a line of NDJSON, for files, objects and streams. */
#ifndef BACKEND_COMMON_ITEM_NDJSON_H
#define BACKEND_COMMON_ITEM_NDJSON_H

#include "backend/writer.h"
#include "wire/shape.h"

/* Returns the sample that an item is; of an exemplar, its value. */
struct labelled_sample item_sample(const struct item *item);

/* Appends the line with its line feed; an exemplar is a line of its own. Not for ITEM_METADATA.
 * A lack of room shows in buf_error(to), and leaves `to` unchanged. */
void item_ndjson_put(struct buf *to, const struct item *item);

/* Returns the parts of an item that the line has in another form: a writer's mapped(), for any
 * writer. */
unsigned item_ndjson_mapped(struct writer *writer, const struct item *item);

#endif
