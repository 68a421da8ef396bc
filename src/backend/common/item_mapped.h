/* item_mapped.h - what of an item a destination writes in another form; for a writer's mapped(). */
#ifndef BACKEND_COMMON_ITEM_MAPPED_H
#define BACKEND_COMMON_ITEM_MAPPED_H

#include "backend/writer.h"

/* Whether a text of this role, one of the first three of enum writer_mapped, is. */
typedef bool item_text_mapped(void *context, enum writer_mapped role, struct bytes text);

/* `forms`: which of WRITER_MAPPED_FLOAT and _HISTOGRAM the destination has a form for. */
unsigned item_mapped(const struct item *item, item_text_mapped *is_mapped, void *context,
                     unsigned forms);

#endif
