/*
 * gather.c - see scan.h.
 *
 * Samples are kept as bytes, in chunks that grow with their series; a sample never crosses from one
 * chunk to the next:
 *
 *     u8 flags     1: a histogram; 2: start time follows; 4: the value is that before
 *     zigzag       time, less that before
 *     zigzag       start time, less that before             if the flags say so
 *     varint       the value's bits, xor those before, bytes reversed: a float, unless the flags
 *                  say that it is that before
 *     counted      a histogram, as histogram_put()
 *
 * That is 4 to 9 bytes for most floats. If there is no room left, the upper half of the series is
 * dropped, and later series that would belong there are not taken.
 */
#include "backend/archive/scan.h"

#include <stdlib.h>

#include "backend/fetch/fetch.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "model/histogram.h"
#include "model/labels.h"

enum {
    FLAG_HISTOGRAM = 1,
    FLAG_START = 2,
    FLAG_SAME = 4,
    CHUNK_BYTES_MIN = 64,
    CHUNK_BYTES_MAX = 8192,
    SAMPLE_BYTES_MAX = 1 + 3 * VARINT_SIZE_MAX,
    LABEL_BYTES_MAX = 1 << 30,
    HISTOGRAM_BYTES_MAX = 64 << 20,
    BATCH = 512,
    BATCH_HISTOGRAMS = 64,
    ARENA_BYTES_MAX = 64 << 20,
};

struct gather_chunk {
    struct gather_chunk *next;
    uint32_t size, capacity;
    uint8_t bytes[];
};

struct gathered_object {
    size_t labels_at;
    uint32_t labels_size;
    bool disordered; /* a sample was not later than the one before */
    bool is_there;   /* the series has a sample */
    int64_t last_t, last_start;
    uint64_t last_bits;
    uint64_t count;
    struct gather_chunk *first, *last;
};

/* The position of the next sample. */
struct gather_place {
    const struct gather_chunk *chunk;
    uint32_t at;
    int64_t t, start;
    uint64_t bits;
};

struct gather_held {
    int64_t t_ms, start_ms;
    uint64_t bits; /* unused for a histogram */
    const uint8_t *histogram;
    uint32_t histogram_size;
    uint32_t order;
};

struct archive_gathering {
    struct gathering_options options;
    struct buf from, bound, labels, scratch;
    struct table table;
    struct gathered_object *series;
    uint32_t count, capacity;
    size_t used; /* bytes used of bytes_max */

    bool sorted;
    uint32_t next;
    struct gathered_object *current;
    struct gather_place place;
    struct gather_held *held; /* samples of a series in disorder */
    uint64_t held_count, held_capacity, held_at;
    struct gather_held waiting; /* the next sample, of another kind than the last batch */
    bool has_waiting;
    int64_t times_ms[BATCH];
    uint64_t bits[BATCH];
    int64_t starts_ms[BATCH];
    struct histogram decoded[BATCH_HISTOGRAMS];
    struct arena arena;
};

enum err
gathering_new(const struct gathering_options *options, struct archive_gathering **ret_gathering)
{
    struct archive_gathering *g = mem_new(options->budget, sizeof *g);
    if (g == NULL) return ERR_NOMEM;
    g->options = *options;
    buf_init(&g->from, options->budget, LABEL_BYTES_MAX);
    buf_init(&g->bound, options->budget, LABEL_BYTES_MAX);
    buf_init(&g->labels, options->budget, LABEL_BYTES_MAX);
    buf_init(&g->scratch, options->budget, HISTOGRAM_BYTES_MAX);
    arena_init(&g->arena, options->budget, ARENA_BYTES_MAX, 0);
    buf_put_bytes(&g->from, options->from);
    if (buf_error(&g->from)) {
        gathering_free(g);
        return ERR_NOMEM;
    }
    *ret_gathering = g;
    return OK;
}

static void
free_chunks(struct archive_gathering *g, struct gathered_object *s)
{
    while (s->first != NULL) {
        struct gather_chunk *chunk = s->first;
        s->first = chunk->next;
        g->used -= sizeof *chunk + chunk->capacity;
        mem_free(g->options.budget, chunk, sizeof *chunk + chunk->capacity);
    }
    s->last = NULL;
}

void
gathering_free(struct archive_gathering *g)
{
    if (g == NULL) return;
    for (uint32_t i = 0; i < g->count; i++)
        free_chunks(g, &g->series[i]);
    array_free(g->options.budget, g->series, g->capacity);
    array_free(g->options.budget, g->held, g->held_capacity);
    table_fini(&g->table, g->options.budget);
    buf_fini(&g->from);
    buf_fini(&g->bound);
    buf_fini(&g->labels);
    buf_fini(&g->scratch);
    arena_fini(&g->arena);
    mem_free(g->options.budget, g, sizeof *g);
}

/* --- series ----------------------------------------------------------------------------------- */

static struct bytes
labels_of(const struct archive_gathering *g, const struct gathered_object *s)
{
    return bytes_of(g->labels.at + s->labels_at, s->labels_size);
}

static int
compare_series(const void *a, const void *b, void *gathering)
{
    return labels_compare(labels_of(gathering, a), labels_of(gathering, b));
}

static size_t
bytes_of_series(const struct gathered_object *s)
{
    size_t bytes = sizeof *s + sizeof(struct table_slot) + s->labels_size;
    for (const struct gather_chunk *c = s->first; c != NULL; c = c->next)
        bytes += sizeof *c + c->capacity;
    return bytes;
}

/* The number of sorted series that take half of the memory; at least one, and not all. */
static uint32_t
lower_half(const struct archive_gathering *g)
{
    size_t bytes = 0;
    uint32_t kept = 0;
    while (kept < g->count - 1 && (kept == 0 || bytes < g->used / 2))
        bytes += bytes_of_series(&g->series[kept++]);
    return kept;
}

/* Keeps the first `kept` of the sorted series, and compacts labels. */
static enum err
keep_series(struct archive_gathering *g, uint32_t kept)
{
    struct buf labels;
    buf_init(&labels, g->options.budget, LABEL_BYTES_MAX);
    for (uint32_t i = 0; i < kept; i++)
        buf_put_bytes(&labels, labels_of(g, &g->series[i]));
    buf_clear(&g->bound);
    buf_put_bytes(&g->bound, labels_of(g, &g->series[kept]));
    if (buf_error(&labels) || buf_error(&g->bound)) {
        buf_fini(&labels);
        return ERR_NOMEM;
    }
    for (uint32_t i = kept; i < g->count; i++) {
        free_chunks(g, &g->series[i]);
        g->used -= bytes_of_series(&g->series[i]) - g->series[i].labels_size;
    }
    g->used -= g->labels.size - labels.size;
    buf_fini(&g->labels);
    g->labels = labels;
    g->count = kept;
    table_clear(&g->table);
    size_t at = 0;
    for (uint32_t i = 0; i < kept; i++) {
        g->series[i].labels_at = at;
        at += g->series[i].labels_size;
        table_add(&g->table, hash_bytes(labels_of(g, &g->series[i]), 0), i);
    }
    return OK;
}

/* Drops the upper half of the series. ERR_LIMIT: there is only one series. */
static enum err
make_room(struct archive_gathering *g, struct why *why)
{
    if (g->count < 2) {
        return why_set(why, ERR_LIMIT,
                       "a series has too many samples to read at once: ask for a shorter time");
    }
    qsort_r(g->series, g->count, sizeof *g->series, compare_series, g);
    enum err e = keep_series(g, lower_half(g));
    if (e) return fetch_no_memory(why);
    if (g->options.forget != NULL) g->options.forget(g->options.context);
    return OK;
}

enum err
gathering_add(struct archive_gathering *g, struct bytes labels, uint32_t *ret_number)
{
    *ret_number = GATHERING_NONE;
    if (!((g->from.size == 0 || labels_compare(labels, buf_bytes(&g->from)) >= 0) &&
          (g->bound.size == 0 || labels_compare(labels, buf_bytes(&g->bound)) < 0)))
        return OK;
    uint64_t hash = hash_bytes(labels, 0);
    for (uint32_t at = TABLE_START, id; table_next(&g->table, hash, &at, &id);) {
        if (!bytes_equal(labels_of(g, &g->series[id]), labels)) continue;
        *ret_number = id;
        return OK;
    }
    if (!array_reserve(g->options.budget, &g->series, &g->capacity, g->count + 1) ||
        !table_reserve(&g->table, g->options.budget, 1))
        return ERR_NOMEM;
    struct gathered_object s = {.labels_at = g->labels.size, .labels_size = (uint32_t)labels.size};
    buf_put_bytes(&g->labels, labels);
    if (buf_error(&g->labels)) return ERR_NOMEM;
    table_add(&g->table, hash, g->count);
    *ret_number = g->count;
    g->series[g->count++] = s;
    g->used += bytes_of_series(&s);
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Makes room for `size` bytes at the end of the series. */
static uint8_t *
make_chunk(struct archive_gathering *g, struct gathered_object *s, size_t size)
{
    struct gather_chunk *last = s->last;
    if (last != NULL && last->capacity - last->size >= size) return last->bytes + last->size;
    size_t capacity = last == NULL ? CHUNK_BYTES_MIN : 2 * (size_t)last->capacity;
    if (capacity > CHUNK_BYTES_MAX) capacity = CHUNK_BYTES_MAX;
    if (capacity < size) capacity = size;
    struct gather_chunk *chunk = mem_alloc(g->options.budget, sizeof *chunk + capacity);
    if (chunk == NULL) return NULL;
    chunk->next = NULL;
    chunk->size = 0;
    chunk->capacity = (uint32_t)capacity;
    g->used += sizeof *chunk + capacity;
    if (last == NULL)
        s->first = chunk;
    else
        last->next = chunk;
    s->last = chunk;
    return chunk->bytes;
}

static enum err
append(struct archive_gathering *g, struct gathered_object *s, int64_t t_ms, uint64_t bits,
       struct bytes histogram, int64_t start_ms)
{
    uint8_t *to = make_chunk(g, s, SAMPLE_BYTES_MAX + histogram.size);
    if (to == NULL) return ERR_NOMEM;
    uint8_t *at = to + 1;
    uint8_t flags = histogram.at != NULL ? FLAG_HISTOGRAM : 0;
    at += varint_put(at, zigzag((int64_t)((uint64_t)t_ms - (uint64_t)s->last_t)));
    if (start_ms != s->last_start) {
        flags |= FLAG_START;
        at += varint_put(at, zigzag((int64_t)((uint64_t)start_ms - (uint64_t)s->last_start)));
    }
    if (histogram.at != NULL) {
        at += varint_put(at, histogram.size);
        memcpy(at, histogram.at, histogram.size);
        at += histogram.size;
    } else if (bits == s->last_bits) {
        flags |= FLAG_SAME;
    } else {
        at += varint_put(at, __builtin_bswap64(bits ^ s->last_bits));
        s->last_bits = bits;
    }
    *to = flags;
    s->last->size += (uint32_t)(at - to);
    s->disordered |= s->count > 0 && t_ms <= s->last_t;
    s->last_t = t_ms;
    s->last_start = start_ms;
    s->count++;
    return OK;
}

enum err
gathering_put(struct archive_gathering *g, uint32_t number, int64_t t_ms, uint64_t bits,
              const struct histogram *histogram, int64_t start_ms, struct why *why)
{
    struct gathered_object *s = &g->series[number];
    struct bytes packed = {NULL, 0};
    enum err e = OK;
    s->is_there = true;
    if (g->options.names_only) return g->used > g->options.bytes_max ? make_room(g, why) : OK;
    if (s->count > 0 && t_ms == s->last_t) return OK; /* a repeated time */
    if (histogram != NULL) {
        e = histogram_check(histogram, why);
        if (e) return e;
        buf_clear(&g->scratch);
        histogram_put(&g->scratch, histogram);
        e = buf_error(&g->scratch);
        packed = buf_bytes(&g->scratch);
    }
    if (e == OK) e = append(g, s, t_ms, bits, packed, start_ms);
    if (e) return fetch_no_memory(why);
    return g->used > g->options.bytes_max ? make_room(g, why) : OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct bytes
gathering_bound(const struct archive_gathering *g)
{
    return buf_bytes(&g->bound);
}

/* Reads the next sample; false after the last. */
static bool
read_held(struct gather_place *p, struct gather_held *ret)
{
    while (p->chunk != NULL && p->at == p->chunk->size) {
        p->chunk = p->chunk->next;
        p->at = 0;
    }
    if (p->chunk == NULL) return false;
    struct cursor c = cursor_of(bytes_of(p->chunk->bytes + p->at, p->chunk->size - p->at));
    size_t before = cursor_left(&c);
    uint8_t flags = cursor_u8(&c);
    *ret = (struct gather_held){.histogram = NULL};
    p->t = (int64_t)((uint64_t)p->t + (uint64_t)unzigzag(cursor_varint(&c)));
    if (flags & FLAG_START)
        p->start = (int64_t)((uint64_t)p->start + (uint64_t)unzigzag(cursor_varint(&c)));
    if (flags & FLAG_HISTOGRAM) {
        struct bytes packed = cursor_counted(&c);
        ret->histogram = packed.at;
        ret->histogram_size = (uint32_t)packed.size;
    } else if (!(flags & FLAG_SAME)) {
        p->bits ^= __builtin_bswap64(cursor_varint(&c));
    }
    p->at += (uint32_t)(before - cursor_left(&c));
    ret->t_ms = p->t;
    ret->start_ms = p->start;
    ret->bits = p->bits;
    return true;
}

static int
compare_held(const void *a, const void *b)
{
    const struct gather_held *x = a, *y = b;
    if (x->t_ms != y->t_ms) return x->t_ms < y->t_ms ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* Sorts the samples of the current series; each time is kept once. */
static enum err
put_in_order(struct archive_gathering *g, struct why *why)
{
    uint64_t count = g->current->count, kept = 0;
    struct gather_held held;
    g->held_count = 0;
    if (count > UINT32_MAX || !array_reserve(g->options.budget, &g->held, &g->held_capacity, count))
        return why_set(why, ERR_NOMEM,
                       "not enough memory for a series whose samples are unordered");
    while (read_held(&g->place, &held)) {
        held.order = (uint32_t)g->held_count;
        g->held[g->held_count++] = held;
    }
    qsort(g->held, g->held_count, sizeof *g->held, compare_held);
    for (uint64_t i = 0; i < g->held_count; i++) {
        if (kept > 0 && g->held[i].t_ms == g->held[kept - 1].t_ms) continue;
        g->held[kept++] = g->held[i];
    }
    g->held_count = kept;
    g->held_at = 0;
    return OK;
}

enum err
gathering_next(struct archive_gathering *g, struct bytes *ret_labels, struct why *why)
{
    if (!g->sorted && g->count > 0)
        qsort_r(g->series, g->count, sizeof *g->series, compare_series, g);
    g->sorted = true;
    if (g->current != NULL) free_chunks(g, g->current);
    while (g->next < g->count && !g->series[g->next].is_there)
        g->next++;
    *ret_labels = bytes_of(NULL, 0);
    g->current = NULL;
    g->has_waiting = false;
    g->held_count = 0;
    if (g->next == g->count) return OK;
    g->current = &g->series[g->next++];
    g->place = (struct gather_place){.chunk = g->current->first};
    enum err e = g->current->disordered ? put_in_order(g, why) : OK;
    if (e) return e;
    *ret_labels = labels_of(g, g->current);
    if (ret_labels->size == 0) *ret_labels = bytes_of("", 0);
    return OK;
}

static bool
next_held(struct archive_gathering *g, struct gather_held *ret)
{
    if (g->has_waiting) {
        *ret = g->waiting;
        g->has_waiting = false;
        return true;
    }
    if (!g->current->disordered) return read_held(&g->place, ret);
    if (g->held_at == g->held_count) return false;
    *ret = g->held[g->held_at++];
    return true;
}

static void
push_back(struct archive_gathering *g, const struct gather_held *held)
{
    g->waiting = *held;
    g->has_waiting = true;
}

static enum err
give_histograms(struct archive_gathering *g, struct gather_held held, struct sample_batch *ret,
                struct why *why)
{
    uint32_t n = 0;
    bool more = true;
    arena_reset(&g->arena);
    for (; more && n < BATCH_HISTOGRAMS && held.histogram != NULL; more = next_held(g, &held)) {
        struct cursor c = cursor_of(bytes_of(held.histogram, held.histogram_size));
        enum err e = histogram_get(&c, &g->arena, &g->decoded[n]);
        if (e && n == 0) return why_set(why, ERR_NOMEM, "not enough memory for a histogram");
        if (e || (n > 0 && g->decoded[n].kind != g->decoded[0].kind)) break;
        g->times_ms[n] = held.t_ms;
        g->starts_ms[n++] = held.start_ms;
    }
    if (more) push_back(g, &held);
    *ret = (struct sample_batch){.kind = g->decoded[0].kind,
                                 .count = n,
                                 .times_ms = g->times_ms,
                                 .histograms = g->decoded,
                                 .starts_ms = g->starts_ms};
    return OK;
}

enum err
gathering_batch(struct archive_gathering *g, struct sample_batch *ret, struct why *why)
{
    struct gather_held held;
    bool starts = false;
    uint32_t n = 0;
    *ret = (struct sample_batch){.count = 0};
    if (g->current == NULL || !next_held(g, &held)) return OK;
    if (held.histogram != NULL) return give_histograms(g, held, ret, why);
    bool more = true;
    for (; more && n < BATCH && held.histogram == NULL; more = next_held(g, &held)) {
        g->times_ms[n] = held.t_ms;
        g->bits[n] = held.bits;
        starts |= held.start_ms != 0;
        g->starts_ms[n++] = held.start_ms;
    }
    if (more) push_back(g, &held);
    *ret = (struct sample_batch){.kind = SAMPLE_FLOAT,
                                 .count = n,
                                 .times_ms = g->times_ms,
                                 .value_bits = g->bits,
                                 .starts_ms = starts ? g->starts_ms : NULL};
    return OK;
}
