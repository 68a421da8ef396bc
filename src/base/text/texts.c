/* texts.c - see texts.h. */
#include "base/text/texts.h"

#include <stdlib.h>
#include <string.h>

struct bytes
text_cut(struct bytes *from, char mark)
{
    struct bytes all = *from;
    const uint8_t *at = all.size == 0 ? NULL : memchr(all.at, mark, all.size);
    *from = bytes_of(NULL, 0);
    if (at == NULL) return all;
    size_t size = (size_t)(at - all.at);
    *from = bytes_of(at + 1, all.size - size - 1);
    return bytes_of(all.at, size);
}

struct bytes
text_trim(struct bytes text)
{
    while (text.size > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = bytes_of(text.at + 1, text.size - 1);
    while (text.size > 0 && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

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
    for (uint32_t i = 0; i < from->count && fits; i++)
        fits = text_copy(arena, from->items[i], &ret->items[i]);
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

static int
compare_names(const void *a, const void *b)
{
    const struct named_text *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void
named_texts_sort(struct named_texts *texts)
{
    if (texts->count > 1) qsort(texts->items, texts->count, sizeof *texts->items, compare_names);
}

/* --- warnings --------------------------------------------------------------------------------- */

void
warnings_fini(struct warnings *w)
{
    mem_free(w->budget, w->items, WARNINGS_MAX * sizeof *w->items);
    w->items = NULL;
}

enum err
warnings_add(struct warnings *w, const struct why *why)
{
    if (w->items == NULL) w->items = mem_alloc(w->budget, WARNINGS_MAX * sizeof *w->items);
    if (w->items == NULL) return ERR_NOMEM;
    for (uint32_t i = w->count; i-- > 0;) /* mostly it equals the last one */
        if (strcmp(w->items[i].text, why->text) == 0) return OK;
    if (w->count < WARNINGS_MAX)
        w->items[w->count++] = *why;
    else
        w->more = true;
    return OK;
}

const char *
warnings_at(const struct warnings *w, uint32_t index)
{
    if (index < w->count) return w->items[index].text;
    return index == w->count && w->more ? "more places are damaged: only the first are listed"
                                        : NULL;
}
