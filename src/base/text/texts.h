/* texts.h - lists of texts, as settings have them. Texts are NUL-terminated; their owner says how
 * long they live. */
#ifndef BASE_TEXT_TEXTS_H
#define BASE_TEXT_TEXTS_H

#include <stdint.h>

struct text_list {
    const char **items;
    uint32_t count;
};

struct named_text {
    const char *name;
    const char *value;
};
struct named_texts {
    struct named_text *items;
    uint32_t count;
};

#endif
