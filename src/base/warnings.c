/* warnings.c - see warnings.h. Keeps the first sixteen sentences, each once. */
#include "base/warnings.h"

#include <string.h>

void
warnings_init(struct warnings *w, struct budget *budget)
{
    *w = (struct warnings){.budget = budget};
}

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
    for (uint32_t i = w->count; i-- > 0;) { /* mostly it equals the last one */
        if (strcmp(w->items[i].text, why->text) == 0) return OK;
    }
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
