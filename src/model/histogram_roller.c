/* histogram_roller.c - see histogram_roller.h. */
#include "model/histogram_roller.h"

/* Frees the arena, whose blocks begin small again. */
static void
arena_restart(struct arena *arena)
{
    struct budget *budget = arena->budget;
    arena_fini(arena);
    arena_init(arena, budget, 0, 0);
}

void
histogram_roller_init(struct histogram_roller *roller, struct budget *budget)
{
    *roller = (struct histogram_roller){.current = 0};
    for (unsigned i = 0; i < 2; i++) {
        arena_init(&roller->arenas[i], budget, 0, 0);
    }
}

void
histogram_roller_fini(struct histogram_roller *roller)
{
    for (unsigned i = 0; i < 2; i++) {
        arena_fini(&roller->arenas[i]);
    }
}

void
histogram_roller_clear(struct histogram_roller *roller)
{
    roller->rollup = (struct histogram_rollup){.count = 0};
    for (unsigned i = 0; i < 2; i++) {
        arena_restart(&roller->arenas[i]);
    }
}

/* Copies the rollup to the other arena if much was left behind in this one. */
static enum err
drop_rest(struct histogram_roller *r)
{
    struct arena *from = &r->arenas[r->current], *to = &r->arenas[1 - r->current];
    struct histogram_rollup kept;
    if (from->used_bytes < HISTOGRAM_ROLLER_BYTES) return OK;
    if (histogram_rollup_copy(to, &r->rollup, &kept)) return ERR_NOMEM;
    r->rollup = kept;
    r->current = 1 - r->current;
    arena_restart(from);
    return OK;
}

enum err
histogram_roller_add(struct histogram_roller *r, int64_t t_ms, const struct histogram *h)
{
    struct arena *arena = &r->arenas[r->current];
    struct histogram_rollup one;
    enum err e = histogram_rollup_of_sample(arena, t_ms, h, &one);
    if (e == OK) e = histogram_rollup_join(arena, &r->rollup, &one);
    return e ? e : drop_rest(r);
}

enum err
histogram_roller_add_rollup(struct histogram_roller *r, const struct histogram_rollup *later)
{
    struct arena *arena = &r->arenas[r->current];
    struct histogram_rollup copy;
    enum err e = histogram_rollup_copy(arena, later, &copy);
    if (e == OK) e = histogram_rollup_join(arena, &r->rollup, &copy);
    return e ? e : drop_rest(r);
}
