/*
 * ordered.c - see remote_read.h.
 *
 * The held series are a heap by labels; `open` is the series that chunks arrive for, wherever it
 * is. The current series are those that were taken out of the heap together, since they have the
 * same labels. Their chunks go to lanes, in which one chunk follows another in time: one lane,
 * unless chunks overlap. Samples of the lanes are merged.
 *
 * The times that a server gives for a chunk determine only its lane: if they are wrong, samples of
 * a lane do not ascend, and the response is refused.
 */
#include "backend/remote/remote_private.h"

#include <assert.h>

#include "base/array.h"
#include "model/labels.h"
#include "model/sample_merge.h"

enum { LABEL_BYTES_MAX = 64 << 20, SERIES_BYTES_MAX = 1 << 30, LANES_MAX = 64 };

struct held_chunk {
    enum chunk_type type;
    size_t at, size; /* position in the data */
    int64_t min_ms, max_ms;
};

struct ordered_held {
    uint64_t number; /* in the order of arrival */
    struct buf labels;
    struct buf data;
    struct held_chunk *chunks;
    uint32_t count, capacity;
    uint32_t in_lanes; /* number of chunks that have a lane */
};

/* A chunk in a lane. */
struct ordered_turn {
    const struct ordered_held *series;
    uint32_t chunk;
};

struct ordered_lane {
    struct ordered *of;
    struct rr_decoder *decoder;
    struct ordered_turn *turns;
    uint32_t count, capacity;
    uint32_t next;
    bool any;         /* the lane has chunks so far */
    int64_t last_ms;  /* time of the last chunk, according to the server */
    bool gave;        /* the lane gave samples so far */
    int64_t given_ms; /* time of the last such sample */
};

struct ordered {
    struct ordered_options options;
    struct ordered_held **heap;
    size_t held_count, held_capacity;
    size_t held_bytes; /* bytes of the heap and the current series */
    uint64_t series_count;
    struct ordered_held *open; /* NULL if there is none */
    bool over;

    struct ordered_held **current; /* in the order of arrival */
    uint32_t current_count, current_capacity;
    struct buf given; /* their labels; kept to compare the next series */
    bool any;         /* there is a current series */
    struct ordered_lane *lanes[LANES_MAX];
    uint32_t lane_count;  /* lanes in use for these series */
    bool lanes_are_fixed; /* samples were given, so chunks keep their lanes */
    struct sample_merge samples;
};

static size_t
held_size(const struct ordered_held *h)
{
    return sizeof *h + h->labels.capacity + h->data.capacity + h->capacity * sizeof *h->chunks;
}

static void
held_free(struct ordered *o, struct ordered_held *h)
{
    if (h == NULL) return;
    if (o->open == h) o->open = NULL;
    buf_fini(&h->labels);
    buf_fini(&h->data);
    array_free(o->options.budget, h->chunks, h->capacity);
    mem_free(o->options.budget, h, sizeof *h);
}

static int
held_compare(const struct ordered_held *a, const struct ordered_held *b)
{
    int order = labels_compare(buf_bytes(&a->labels), buf_bytes(&b->labels));
    return order != 0 ? order : (a->number > b->number) - (a->number < b->number);
}

/* --- series and chunks that arrive ------------------------------------------------------------ */

static enum err
begin_series(struct ordered *o, struct bytes fields, struct why *why)
{
    struct ordered_held *h = mem_new(o->options.budget, sizeof *h);
    o->open = NULL;
    if (h == NULL) return fetch_no_memory(why);
    buf_init(&h->labels, o->options.budget, LABEL_BYTES_MAX);
    buf_init(&h->data, o->options.budget, SERIES_BYTES_MAX);
    h->number = o->series_count++;
    enum err e = final_labels_put(&o->options.external, fields, &h->labels, why);
    if (e == OK && o->any && labels_compare(buf_bytes(&h->labels), buf_bytes(&o->given)) <= 0) {
        e = why_set(why, ERR_UNSUPPORTED,
                    "series are not in label order, and too many to put them in order");
    }
    if (e == OK &&
        !array_reserve(o->options.budget, &o->heap, &o->held_capacity, o->held_count + 1))
        e = fetch_no_memory(why);
    if (e) {
        held_free(o, h);
        return e;
    }
    heap_up(o->heap, o->held_count, h, held_compare(*a, *b) < 0);
    o->held_count++;
    o->held_bytes += held_size(h);
    o->open = h;
    return OK;
}

static enum err
add_chunk(struct ordered *o, const struct rr_piece *piece, struct why *why)
{
    struct ordered_held *h = o->open;
    if (h == NULL) return why_set(why, ERR_CORRUPT, "a chunk without a series");
    size_t before = held_size(h);
    if (!array_reserve(o->options.budget, &h->chunks, &h->capacity, h->count + 1))
        return fetch_no_memory(why);
    h->chunks[h->count++] = (struct held_chunk){.type = piece->type,
                                                .at = h->data.size,
                                                .size = piece->chunk.size,
                                                .min_ms = piece->min_ms,
                                                .max_ms = piece->max_ms};
    buf_put_bytes(&h->data, piece->chunk);
    o->held_bytes += held_size(h) - before;
    return buf_error(&h->data) ? fetch_no_memory(why) : OK;
}

static enum err
take_piece(struct ordered *o, struct why *why)
{
    struct rr_piece piece = {.kind = RR_PIECE_NONE};
    enum err e = o->options.pull(o->options.context, &piece, why);
    if (e) return e;
    switch (piece.kind) {
    case RR_PIECE_SERIES:
        return begin_series(o, piece.labels, why);
    case RR_PIECE_CHUNK:
        return add_chunk(o, &piece, why);
    default:
        o->open = NULL;
        o->over = true;
        return OK;
    }
}

/* --- series ----------------------------------------------------------------------------------- */

static struct ordered_held *
take_least(struct ordered *o)
{
    struct ordered_held *least = o->heap[0];
    struct ordered_held *last = o->heap[--o->held_count];
    if (o->held_count > 0) heap_down(o->heap, o->held_count, 0, last, held_compare(*a, *b) < 0);
    return least;
}

static void
drop_current(struct ordered *o)
{
    for (uint32_t i = 0; i < o->current_count; i++) {
        o->held_bytes -= held_size(o->current[i]);
        held_free(o, o->current[i]);
    }
    o->current_count = 0;
    for (uint32_t i = 0; i < o->lane_count; i++) {
        struct ordered_lane *lane = o->lanes[i];
        lane->count = lane->next = 0;
        lane->any = lane->gave = false;
    }
    o->lane_count = 0;
    o->lanes_are_fixed = false;
    sample_merge_clear(&o->samples);
}

/* Skips the rest of a series that is still arriving. */
static enum err
pass_open(struct ordered *o, struct why *why)
{
    bool is_current = false;
    for (uint32_t i = 0; i < o->current_count; i++)
        is_current |= o->current[i] == o->open;
    while (is_current && o->open != NULL) {
        struct ordered_held *h = o->open;
        o->held_bytes -= held_size(h);
        buf_clear(&h->data);
        h->count = 0;
        o->held_bytes += held_size(h);
        enum err e = take_piece(o, why);
        if (e) return e;
        is_current = o->open == h;
    }
    return OK;
}

enum err
ordered_next(struct ordered *o, struct bytes *ret_labels, struct why *why)
{
    *ret_labels = bytes_of(NULL, 0);
    enum err e = pass_open(o, why);
    if (e) return e;
    drop_current(o);
    while (!o->over && (o->held_count == 0 || o->held_bytes < o->options.window_bytes)) {
        e = take_piece(o, why);
        if (e) return e;
    }
    if (o->held_count == 0) return OK;
    buf_clear(&o->given);
    buf_put_bytes(&o->given, buf_bytes(&o->heap[0]->labels));
    if (buf_error(&o->given)) return fetch_no_memory(why);
    o->any = true;
    while (o->held_count > 0 && bytes_equal(buf_bytes(&o->heap[0]->labels), buf_bytes(&o->given))) {
        if (!array_reserve(o->options.budget, &o->current, &o->current_capacity,
                           o->current_count + 1))
            return fetch_no_memory(why);
        o->current[o->current_count++] = take_least(o);
    }
    *ret_labels = buf_bytes(&o->given);
    if (ret_labels->size == 0) *ret_labels = bytes_of("", 0); /* a series without labels */
    return OK;
}

/* --- lanes ------------------------------------------------------------------------------------ */

static enum err
add_lane(struct ordered *o, struct ordered_lane **ret_lane, struct why *why)
{
    if (o->lanes_are_fixed || o->lane_count == LANES_MAX)
        return why_set(why, ERR_UNSUPPORTED, "too many chunks of a series overlap");
    struct ordered_lane **lane = &o->lanes[o->lane_count];
    if (*lane == NULL) {
        *lane = mem_new(o->options.budget, sizeof **lane);
        if (*lane == NULL) return fetch_no_memory(why);
        (*lane)->of = o;
    }
    if ((*lane)->decoder == NULL && rr_decoder_new(o->options.budget, &(*lane)->decoder))
        return fetch_no_memory(why);
    if (sample_merge_add(&o->samples, *lane)) return fetch_no_memory(why);
    o->lane_count++;
    *ret_lane = *lane;
    return OK;
}

static enum err
put_in_lane(struct ordered *o, const struct ordered_held *series, uint32_t chunk, struct why *why)
{
    const struct held_chunk *c = &series->chunks[chunk];
    struct ordered_lane *lane = NULL;
    for (uint32_t i = 0; i < o->lane_count && lane == NULL; i++) {
        struct ordered_lane *it = o->lanes[i];
        if (!it->any || it->last_ms < c->min_ms) lane = it;
    }
    enum err e = lane == NULL ? add_lane(o, &lane, why) : OK;
    if (e) return e;
    if (!array_reserve(o->options.budget, &lane->turns, &lane->capacity, lane->count + 1))
        return fetch_no_memory(why);
    lane->turns[lane->count++] = (struct ordered_turn){series, chunk};
    lane->any = true;
    lane->last_ms = c->max_ms;
    return OK;
}

static enum err
fill_lanes(struct ordered *o, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < o->current_count && e == OK; i++) {
        struct ordered_held *h = o->current[i];
        while (e == OK && h->in_lanes < h->count)
            e = put_in_lane(o, h, h->in_lanes++, why);
    }
    return e;
}

/* Frees chunks that all lanes have read, in a series that is still arriving. */
static void
forget_given(struct ordered *o)
{
    struct ordered_held *h = o->open;
    for (uint32_t i = 0; i < o->lane_count; i++)
        if (o->lanes[i]->next < o->lanes[i]->count) return;
    for (uint32_t i = 0; i < o->lane_count; i++)
        o->lanes[i]->next = o->lanes[i]->count = 0;
    o->held_bytes -= held_size(h);
    buf_clear(&h->data);
    h->count = h->in_lanes = 0;
    o->held_bytes += held_size(h);
}

/* True if the last part of the current series is still arriving. */
static bool
is_coming(const struct ordered *o)
{
    return o->open != NULL && o->current_count > 0 && o->current[o->current_count - 1] == o->open;
}

static enum err
lane_decode(struct ordered_lane *lane, struct rr_decoded *ret, struct why *why)
{
    struct ordered *o = lane->of;
    const struct ordered_turn *turn = &lane->turns[lane->next++];
    const struct held_chunk *c = &turn->series->chunks[turn->chunk];
    struct bytes data = {NULL, 0};
    if (c->size > 0) data = bytes_of(turn->series->data.at + c->at, c->size);
    enum err e = rr_decode_chunk(lane->decoder, c->type, data, o->options.min_ms, o->options.max_ms,
                                 ret, why);
    if (e || ret->count == 0) return e;
    if (lane->gave && ret->times_ms[0] <= lane->given_ms)
        return why_set(why, ERR_CORRUPT, "chunks have other times than the server says");
    lane->gave = true;
    lane->given_ms = ret->times_ms[ret->count - 1];
    return OK;
}

static enum err
lane_batch(void *from, struct sample_batch *ret_batch, struct why *why)
{
    struct ordered_lane *lane = from;
    struct ordered *o = lane->of;
    struct rr_decoded d = {.count = 0};
    enum err e = OK;
    *ret_batch = (struct sample_batch){.count = 0};
    while (e == OK && d.count == 0) {
        if (lane->next < lane->count) {
            e = lane_decode(lane, &d, why);
        } else if (is_coming(o)) {
            forget_given(o);
            e = take_piece(o, why);
            if (e == OK) e = fill_lanes(o, why);
        } else {
            return OK;
        }
    }
    if (e) return e;
    *ret_batch = (struct sample_batch){
        .kind = d.histograms == NULL ? SAMPLE_FLOAT : d.histograms[0].kind,
        .count = d.count,
        .times_ms = d.times_ms,
        .value_bits = d.histograms == NULL ? d.bits : NULL,
        .histograms = d.histograms,
    };
    return OK;
}

enum err
ordered_batch(struct ordered *o, struct sample_batch *ret_batch, struct why *why)
{
    *ret_batch = (struct sample_batch){.count = 0};
    if (!o->lanes_are_fixed) {
        enum err e = fill_lanes(o, why);
        /* The first chunk makes a lane for a series that is arriving. */
        while (e == OK && o->lane_count == 0 && is_coming(o)) {
            e = take_piece(o, why);
            if (e == OK) e = fill_lanes(o, why);
        }
        if (e) return e;
        o->lanes_are_fixed = true;
    }
    return o->lane_count == 0 ? OK : sample_merge_batch(&o->samples, ret_batch, why);
}

/* --- the set ---------------------------------------------------------------------------------- */

enum err
ordered_new(const struct ordered_options *options, struct ordered **ret_ordered)
{
    struct ordered *o = mem_new(options->budget, sizeof *o);
    if (o == NULL) return ERR_NOMEM;
    o->options = *options;
    buf_init(&o->given, options->budget, LABEL_BYTES_MAX);
    sample_merge_init(&o->samples, lane_batch, options->budget);
    *ret_ordered = o;
    return OK;
}

void
ordered_free(struct ordered *o)
{
    if (o == NULL) return;
    struct budget *budget = o->options.budget;
    drop_current(o);
    while (o->held_count > 0)
        held_free(o, take_least(o));
    for (uint32_t i = 0; i < LANES_MAX && o->lanes[i] != NULL; i++) {
        rr_decoder_free(o->lanes[i]->decoder);
        array_free(budget, o->lanes[i]->turns, o->lanes[i]->capacity);
        mem_free(budget, o->lanes[i], sizeof *o->lanes[i]);
    }
    array_free(budget, o->heap, o->held_capacity);
    array_free(budget, o->current, o->current_capacity);
    buf_fini(&o->given);
    sample_merge_fini(&o->samples);
    mem_free(budget, o, sizeof *o);
}
