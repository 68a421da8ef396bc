/* texts.c - see texts.h. */
#include "base/text/texts.h"

#include <string.h>

#include "base/mem.h"

bool
text_copy(struct arena *arena, const char *from, const char **ret)
{
    *ret = from;
    if (from == NULL) return true;
    *ret = (const char *)arena_copy(arena, bytes_of(from, strlen(from) + 1)).at;
    return *ret != NULL;
}

bool
text_list_copy(struct arena *arena, const struct text_list *from, struct text_list *ret)
{
    *ret = (struct text_list){NULL, 0};
    if (from->count == 0) return true;
    ret->items = arena_new(arena, from->count * sizeof *ret->items);
    bool fits = ret->items != NULL;
    for (uint32_t i = 0; i < from->count && fits; i++) {
        fits = text_copy(arena, from->items[i], &ret->items[i]);
    }
    ret->count = fits ? from->count : 0;
    return fits;
}

bool
named_texts_copy(struct arena *arena, const struct named_texts *from, struct named_texts *ret)
{
    *ret = (struct named_texts){NULL, 0};
    if (from->count == 0) return true;
    ret->items = arena_new(arena, from->count * sizeof *ret->items);
    bool fits = ret->items != NULL;
    for (uint32_t i = 0; i < from->count && fits; i++) {
        fits = text_copy(arena, from->items[i].name, &ret->items[i].name) &&
               text_copy(arena, from->items[i].value, &ret->items[i].value);
    }
    ret->count = fits ? from->count : 0;
    return fits;
}
