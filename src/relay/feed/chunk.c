/* chunk.c - see chunk.h. */
#include "relay/feed/chunk.h"

#include "base/hash/hash.h"

enum { CHUNK_BYTES_MAX = 256 * 1024 * 1024, CHUNK_KEEP_BYTES = 256 * 1024 };

void
chunk_init(struct chunk *chunk, struct budget *memory)
{
    *chunk = (struct chunk){0};
    arena_init(&chunk->arena, memory, CHUNK_BYTES_MAX, 0);
}

void
chunk_fini(struct chunk *chunk)
{
    arena_fini(&chunk->arena);
}

void
chunk_clear(struct chunk *chunk)
{
    struct arena arena = chunk->arena;
    arena_reset_to(&arena, CHUNK_KEEP_BYTES);
    *chunk = (struct chunk){.arena = arena};
}

void *
chunk_more(struct chunk *chunk, void *array, uint32_t count, size_t size)
{
    return arena_push(&chunk->arena, array, count, size);
}

uint64_t
chunk_ref(const struct chunk *c, uint32_t i)
{
    if (c->kind == ITEM_FLOAT) return c->floats.refs[i];
    return c->kind == ITEM_HISTOGRAM ? c->histograms[i].ref : c->exemplars[i].ref;
}

void
chunk_item(const struct chunk *c, uint32_t i, struct item *item)
{
    *item = (struct item){
        .kind = c->kind,
        .pos = chunk_item_pos(c, i),
        .index = chunk_item_index(c, i),
        .arrival_ms = c->realtime_ms,
    };
    switch (c->kind) {
    case ITEM_FLOAT:
        item->t_ms = (int64_t)c->floats.times[i];
        item->start_ms = c->floats.starts == NULL ? 0 : (int64_t)c->floats.starts[i];
        item->bits = c->floats.bits[i];
        break;
    case ITEM_HISTOGRAM:
        item->t_ms = c->histograms[i].t_ms;
        item->start_ms = c->histograms[i].start_ms;
        item->histogram = &c->histograms[i].h;
        break;
    case ITEM_EXEMPLAR:
        item->t_ms = c->exemplars[i].t_ms;
        item->bits = c->exemplars[i].bits;
        item->exemplar_labels = c->exemplars[i].labels;
        break;
    default:
        item->tenant = c->tenant;
        item->family = c->families[i].family;
        item->family_type = c->families[i].type;
        item->help = c->families[i].help;
        item->unit = c->families[i].unit;
        item->series_hash = hash_bytes(item->family, hash_bytes(c->tenant, 0));
        return;
    }
    if (!c->filled) return;
    const struct chunk_series *series = &c->series[chunk_ref(c, i)];
    item->tenant = c->tenant;
    item->labels = series->labels;
    item->series_hash = series->hash;
}
