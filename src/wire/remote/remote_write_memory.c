/* remote_write_memory.c - arrays that grow by half, counted against the limit of the message. */
#include "wire/remote/remote_write_memory.h"

/* A reset arena keeps a block of this size; doubling adds larger ones. */
enum { ARENA_FIRST_BLOCK_BYTES = 64 << 10, ARRAY_FIRST_BYTES = 4096, ARENA_SLACK_BYTES = 1 << 20 };

static const uint32_t item_bytes[RW_ARRAY_COUNT] = {
    [RW_SERIES] = sizeof(struct rw_series),
    [RW_FLOATS] = sizeof(struct rw_float),
    [RW_HISTOGRAMS] = sizeof(struct rw_histogram),
    [RW_EXEMPLARS] = sizeof(struct rw_exemplar),
    [RW_METADATA] = sizeof(struct rw_metadata),
    [RW_SYMBOLS] = sizeof(struct bytes),
    [RW_SYMBOL_PRINTS] = sizeof(struct fingerprint),
    [RW_REFS] = sizeof(uint32_t),
    [RW_LABELS] = sizeof(struct label),
    [RW_EXEMPLAR_REFS] = sizeof(uint32_t),
};

_Static_assert(sizeof(struct rw_series) == 104, "remote_write.h states the amplification");
_Static_assert(sizeof(struct rw_histogram) == 152, "remote_write.h states the amplification");

enum err
rw_request_init(struct rw_request *request, struct budget *budget)
{
    *request = (struct rw_request){.version = RW_V1};
    struct rw_memory *m = mem_new(budget, sizeof *m);
    if (m == NULL) return ERR_NOMEM;
    m->budget = budget;
    arena_init(&m->arena, budget, 0, ARENA_FIRST_BLOCK_BYTES);
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++) {
        m->arrays[i].item_bytes = item_bytes[i];
    }
    request->memory = m;
    return OK;
}

void
rw_memory_empty(struct rw_memory *m)
{
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++) {
        m->arrays[i].count = 0;
    }
    arena_reset(&m->arena);
}

static void
free_arrays(struct rw_memory *m)
{
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++) {
        struct rw_array *array = &m->arrays[i];
        mem_free(m->budget, array->at, (size_t)array->capacity * array->item_bytes);
        array->at = NULL;
        array->count = array->capacity = 0;
    }
    m->held_bytes = 0;
}

void
rw_request_clear(struct rw_request *request)
{
    struct rw_memory *m = request->memory;
    *request = (struct rw_request){.version = request->version, .memory = m, .keys = request->keys};
    rw_memory_empty(m);
    if (m->held_bytes > RW_KEEP_BYTES) free_arrays(m);
    if (m->arena.used_bytes > RW_KEEP_BYTES) arena_fini(&m->arena);
}

void
rw_request_fini(struct rw_request *request)
{
    struct rw_memory *m = request->memory;
    if (m == NULL) return;
    free_arrays(m);
    arena_fini(&m->arena);
    mem_free(m->budget, m, sizeof *m);
    *request = (struct rw_request){0};
}

bool
rw_array_grow(struct rw_memory *m, struct rw_array *array, uint32_t more)
{
    uint64_t need = (uint64_t)array->count + more;
    uint64_t capacity = array->capacity + array->capacity / 2;
    if (capacity < need) capacity = need;
    if (capacity < ARRAY_FIRST_BYTES / array->item_bytes) {
        capacity = ARRAY_FIRST_BYTES / array->item_bytes;
    }
    uint64_t old_bytes = (uint64_t)array->capacity * array->item_bytes;
    uint64_t new_bytes = capacity * array->item_bytes;
    if (capacity > UINT32_MAX || m->held_bytes - old_bytes + new_bytes > m->limit_bytes) {
        m->refused = ERR_LIMIT;
        return false;
    }
    void *at = mem_resize(m->budget, array->at, old_bytes, new_bytes);
    if (at == NULL) {
        m->refused = ERR_NOMEM;
        return false;
    }
    array->at = at;
    array->capacity = (uint32_t)capacity;
    m->held_bytes += new_bytes - old_bytes;
    return true;
}

void *
rw_arena_alloc(struct rw_memory *m, size_t size_bytes)
{
    void *at = arena_alloc(&m->arena, size_bytes);
    if (at != NULL) return at;
    /* The arena does not report which of its two limits was reached. */
    uint64_t left = m->arena.limit_bytes - m->arena.used_bytes;
    m->refused = left < size_bytes + ARENA_SLACK_BYTES ? ERR_LIMIT : ERR_NOMEM;
    return NULL;
}
