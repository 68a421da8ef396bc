/* targets.c - lists of targets, see discovery.h. */
#include "notify/discovery/discovery.h"

#include <assert.h>

void
targets_init(struct targets *t, struct budget *memory)
{
    *t = (struct targets){.count = 0};
    arena_init(&t->arena, memory, TARGETS_BYTES_MAX, 0);
}

void
targets_fini(struct targets *t)
{
    arena_fini(&t->arena);
    t->items = NULL;
    t->count = 0;
}

enum err
targets_add(struct targets *t, struct label *labels, uint32_t count, struct why *why)
{
    static const struct labels_limits limits = {TARGETS_LABELS_MAX, UINT32_MAX, UINT32_MAX};
    struct buf text;
    assert(t->count <= TARGETS_MAX);
    if (t->count == TARGETS_MAX) {
        return why_set(why, ERR_LIMIT, "more than %d targets", TARGETS_MAX);
    }
    buf_init(&text, t->arena.budget, TARGETS_BYTES_MAX);
    enum reject reject = labels_build(labels, count, &limits, &text);
    enum err e = buf_error(&text);
    if (e == OK && reject != REJECT_NONE) {
        e = why_set(why, ERR_INPUT, "a target has invalid labels: %s", reject_word(reject));
    }
    struct bytes *items = e ? NULL : arena_push(&t->arena, t->items, t->count, sizeof *items);
    struct bytes copy = items == NULL ? bytes_of(NULL, 0) : arena_copy(&t->arena, buf_bytes(&text));
    buf_fini(&text);
    if (items != NULL) t->items = items;
    if (e == ERR_INPUT) return e;
    if (copy.at == NULL) {
        return why_set(why, ERR_NOMEM, "not enough memory for targets, or more than %d MiB of them",
                       TARGETS_BYTES_MAX >> 20);
    }
    items[t->count++] = copy;
    return OK;
}
