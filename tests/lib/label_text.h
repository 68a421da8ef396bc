/* label_text.h - labels from a text. */
#ifndef LIB_LABEL_TEXT_H
#define LIB_LABEL_TEXT_H

#include "base/mem.h"

/* Returns labels from "a=1 b=2", in this order; they live in the arena. */
struct bytes labels_of_text(const char *text, struct arena *arena);

#endif
