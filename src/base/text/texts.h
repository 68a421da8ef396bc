/* texts.h - lists of texts, as settings have them. Texts are NUL-terminated; their owner says how
 * long they live. */
#ifndef BASE_TEXT_TEXTS_H
#define BASE_TEXT_TEXTS_H

#include <stdbool.h>
#include <stdint.h>

struct arena;

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

/* Copy a text or a list, which live as long as the arena then; NULL is copied as NULL. False: the
 * arena is full. */
bool text_copy(struct arena *arena, const char *from, const char **ret);
bool text_list_copy(struct arena *arena, const struct text_list *from, struct text_list *ret);
bool named_texts_copy(struct arena *arena, const struct named_texts *from, struct named_texts *ret);

#endif
