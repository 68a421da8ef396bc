/* item_ndjson.h - an item as a line of NDJSON: what files, objects and streams are made of. */
#ifndef BACKEND_COMMON_ITEM_NDJSON_H
#define BACKEND_COMMON_ITEM_NDJSON_H

#include "backend/writer.h"

/*
 * Appends the line, line feed included; an exemplar is a line of its own. Not for ITEM_METADATA.
 * Out of room shows in buf_error(to); `to` is as before then.
 */
void item_ndjson_put(struct buf *to, const struct item *item);

/* What the line has in another form than the item: a writer's mapped(), which asks no writer. */
unsigned item_ndjson_mapped(struct writer *writer, const struct item *item);

#endif
