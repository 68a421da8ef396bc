/*
 * chunk_histogram_layout.c - grows the layout that the histograms of a chunk share.
 */
#include "wire/chunk/chunk_histogram_private.h"

#include <assert.h>

enum {
    STEPS_MANY = 64 * 1024, /* steps of all rows: 512 KiB */
    MASK_BITS = 64,
};

enum err
room_for(struct histogram_chunks *w, struct layout_room *room, uint64_t count, size_t item_bytes)
{
    size_t size_bytes = (size_t)count * item_bytes;
    if (size_bytes <= room->size_bytes) return OK;
    uint8_t *memory = mem_resize(w->budget, room->at, room->size_bytes, size_bytes);
    if (memory == NULL) return ERR_NOMEM;
    memset(memory + room->size_bytes, 0, size_bytes - room->size_bytes);
    *room = (struct layout_room){memory, size_bytes};
    return OK;
}

void
room_free(struct histogram_chunks *w, struct layout_room *room)
{
    mem_free(w->budget, room->at, room->size_bytes);
}

/* Returns the number of rows to gather if rows have `places` places. */
static uint32_t
rows_max_of(uint64_t places)
{
    uint64_t rows = STEPS_MANY / places;
    return rows > HISTOGRAM_CHUNK_SAMPLES ? HISTOGRAM_CHUNK_SAMPLES
           : rows == 0                    ? 1
                                          : (uint32_t)rows;
}

bool
layout_has_room(const struct histogram_chunks *w, uint64_t buckets)
{
    return w->rows < rows_max_of(buckets + COLUMNS_BESIDE_BUCKETS);
}

/* Returns more places than `columns` unless that would reduce the number of rows: layouts grow. */
static uint64_t
places_for(uint64_t columns)
{
    uint64_t more = columns + columns / 2 + 8;
    return rows_max_of(more) == HISTOGRAM_CHUNK_SAMPLES ? more : columns;
}

/* Widens each row to `places` columns. */
static enum err
set_row_places(struct histogram_chunks *w, uint64_t places)
{
    uint64_t words = (places + MASK_BITS - 1) / MASK_BITS;
    uint32_t rows = rows_max_of(places);
    enum err e = room_for(w, &w->wider_steps, rows * places, sizeof *w->steps);
    if (e == OK) e = room_for(w, &w->wider_masks, rows * words, sizeof *w->masks);
    if (e == OK) e = room_for(w, &w->zeros_room, words * MASK_BITS, sizeof *w->zeros);
    if (e) return e;
    uint64_t *steps = w->wider_steps.at, *masks = w->wider_masks.at;
    for (uint32_t i = 0; i < w->rows; i++) {
        uint64_t *old_steps = w->steps + (size_t)i * w->row_places;
        uint64_t *old_mask = w->masks + (size_t)i * w->row_words;
        memcpy(steps + i * places, old_steps, w->row_places * sizeof *steps);
        memcpy(masks + i * words, old_mask, w->row_words * sizeof *masks);
        memset(old_steps, 0, w->row_places * sizeof *steps);
        memset(old_mask, 0, w->row_words * sizeof *masks);
    }
    struct layout_room swap = w->steps_room;
    w->steps_room = w->wider_steps;
    w->wider_steps = swap;
    swap = w->masks_room;
    w->masks_room = w->wider_masks;
    w->wider_masks = swap;
    w->steps = steps;
    w->masks = masks;
    w->zeros = w->zeros_room.at;
    w->row_places = (uint32_t)places;
    w->row_words = (uint32_t)words;
    w->rows_max = rows;
    return OK;
}

/* Sets the columns for the buckets of the layout and gives a place to each that has none. */
static enum err
set_columns(struct histogram_chunks *w, uint32_t positive, uint32_t negative)
{
    w->negative = COLUMN_POSITIVE + positive + 1;
    w->columns = w->negative + negative;
    w->words = (w->columns + MASK_BITS - 1) / MASK_BITS;
    enum err e = room_for(w, &w->valid_room, w->words, sizeof *w->valid);
    if (e == OK) e = room_for(w, &w->places_room, w->columns, sizeof *w->places);
    if (e == OK) e = room_for(w, &w->ordered_room, w->columns, sizeof *w->ordered);
    if (e == OK) e = room_for(w, &w->ordered_masks, 2 * (uint64_t)w->words, sizeof *w->masks);
    if (e == OK) e = room_for(w, &w->base_room, w->columns, sizeof *w->base);
    if (e == OK) e = room_for(w, &w->last_room, w->columns, sizeof *w->last);
    if (e == OK) e = room_for(w, &w->windows_room, w->columns, sizeof *w->windows);
    if (e) return e;
    w->valid = w->valid_room.at;
    w->places = w->places_room.at;
    w->ordered = w->ordered_room.at;
    w->base = w->base_room.at;
    w->last = w->last_room.at;
    w->windows = w->windows_room.at;
    memset(w->valid, 0, w->words * sizeof *w->valid);
    for (uint32_t c = COLUMN_POSITIVE; c < w->columns; c++) {
        if (c != w->negative - 1) w->valid[c / MASK_BITS] |= (uint64_t)1 << c % MASK_BITS;
    }
    return OK;
}

enum err
layout_begin(struct histogram_chunks *w, const struct histogram *h)
{
    uint32_t positive = h->positive.span_count, negative = h->negative.span_count;
    enum err e = room_for(w, &w->spans, (uint64_t)positive + negative, sizeof(struct hist_span));
    if (e == OK) e = room_for(w, &w->custom, h->custom_count, sizeof(uint64_t));
    if (e) return e;
    struct hist_span *spans = w->spans.at;
    if (positive > 0) memcpy(spans, h->positive.spans, positive * sizeof *spans);
    if (negative > 0) memcpy(spans + positive, h->negative.spans, negative * sizeof *spans);
    if (h->custom_count > 0) {
        memcpy(w->custom.at, h->custom_bits, h->custom_count * sizeof(uint64_t));
    }
    w->layout = (struct histogram){
        .kind = h->kind,
        .schema = h->schema,
        .zero_threshold_bits = h->zero_threshold_bits,
        .positive = {spans, positive, h->positive.bucket_count, NULL, NULL},
        .negative = {spans == NULL ? NULL : spans + positive, negative, h->negative.bucket_count,
                     NULL, NULL},
        .custom_bits = w->custom.at,
        .custom_count = h->custom_count,
    };
    /* No row is gathered. */
    e = set_columns(w, w->layout.positive.bucket_count, w->layout.negative.bucket_count);
    if (e == OK && (w->columns > w->row_places || w->row_places > places_for(w->columns))) {
        e = set_row_places(w, places_for(w->columns));
    }
    if (e) return e;
    for (uint32_t c = 0; c < w->columns; c++) {
        w->places[c] = w->ordered[c] = c;
    }
    w->places_used = w->columns;
    w->straight = true;
    memset(w->base, 0, w->columns * sizeof *w->base);
    memset(w->last, 0, w->columns * sizeof *w->last);
    return OK;
}

/* --- the union of two layouts ----------------------------------------------------------------- */

/* Lists the indexes of all buckets. False: they do not ascend, or exceed int32. */
static bool
list_indexes(const struct hist_buckets *side, int32_t *indexes)
{
    int64_t index = 0;
    uint32_t at = 0;
    for (uint32_t s = 0; s < side->span_count; s++) {
        index += side->spans[s].offset;
        if (at > 0 && index <= indexes[at - 1]) return false;
        for (uint32_t i = 0; i < side->spans[s].length; i++, index++) {
            if (index != (int32_t)index) return false;
            indexes[at++] = (int32_t)index;
        }
    }
    return true;
}

static void
merge_indexes(struct side_union *u, const int32_t *old, uint32_t old_count, const int32_t *new,
              uint32_t new_count)
{
    uint32_t i = 0, k = 0;
    while (i < old_count || k < new_count) {
        bool of_old = k == new_count || (i < old_count && old[i] <= new[k]);
        bool of_new = i == old_count || (k < new_count && new[k] <= old[i]);
        u->indexes[u->count] = of_old ? old[i] : new[k];
        if (of_old) u->old_at[i++] = u->count;
        if (of_new) u->new_at[k++] = u->count;
        u->count++;
    }
}

static enum err
unite_side(struct arena *arena, const struct hist_buckets *old, const struct hist_buckets *new,
           struct side_union *ret_union, bool *possible)
{
    uint64_t both = (uint64_t)old->bucket_count + new->bucket_count;
    int32_t *old_indexes = arena_alloc(arena, (both + 1) * sizeof(int32_t));
    struct side_union u = {
        .indexes = arena_alloc(arena, (both + 1) * sizeof(int32_t)),
        .old_at = arena_alloc(arena, (both + 1) * sizeof(uint32_t)),
    };
    if (old_indexes == NULL || u.indexes == NULL || u.old_at == NULL) return ERR_NOMEM;
    int32_t *new_indexes = old_indexes + old->bucket_count;
    u.new_at = u.old_at + old->bucket_count;
    if (!list_indexes(old, old_indexes) || !list_indexes(new, new_indexes)) {
        *possible = false;
        return OK;
    }
    merge_indexes(&u, old_indexes, old->bucket_count, new_indexes, new->bucket_count);
    for (uint32_t i = 1; i < u.count; i++) { /* a span's offset is an int32 */
        if ((int64_t)u.indexes[i] - u.indexes[i - 1] > INT32_MAX) *possible = false;
    }
    if (u.count > HISTOGRAM_BUCKETS_MAX) *possible = false;
    *ret_union = u;
    return OK;
}

enum err
layout_unite(struct histogram_chunks *w, const struct histogram *h, struct layout_union *ret_union)
{
    struct layout_union u = {.possible = true};
    const struct histogram *old = &w->layout;
    arena_reset(&w->scratch);
    enum err e = unite_side(&w->scratch, &old->positive, &h->positive, &u.positive, &u.possible);
    if (e == OK) {
        e = unite_side(&w->scratch, &old->negative, &h->negative, &u.negative, &u.possible);
    }
    u.wider = u.positive.count > old->positive.bucket_count ||
              u.negative.count > old->negative.bucket_count;
    *ret_union = u;
    return e;
}

/* --- widening --------------------------------------------------------------------------------- */

static uint32_t
count_spans(const struct side_union *u)
{
    uint32_t count = u->count > 0;
    for (uint32_t i = 1; i < u->count; i++) {
        count += u->indexes[i] != u->indexes[i - 1] + 1;
    }
    return count;
}

static struct hist_buckets
make_spans(const struct side_union *u, struct hist_span *spans)
{
    struct hist_buckets side = {.spans = spans, .bucket_count = u->count};
    int64_t end = 0; /* end of the last span */
    for (uint32_t i = 0; i < u->count; i++) {
        if (i == 0 || u->indexes[i] != end) {
            spans[side.span_count++] = (struct hist_span){(int32_t)(u->indexes[i] - end), 0};
        }
        spans[side.span_count - 1].length++;
        end = (int64_t)u->indexes[i] + 1;
    }
    return side;
}

/* Gives new buckets places after all others. */
static void
place_side(struct histogram_chunks *w, const struct side_union *u, const uint32_t *old_places,
           uint32_t old_count, uint32_t column)
{
    for (uint32_t i = 0, k = 0; i < u->count; i++) {
        uint32_t place;
        if (k < old_count && u->old_at[k] == i) {
            place = old_places[k++];
        } else {
            place = w->places_used++;
            w->base[place] = w->last[place] = 0;
        }
        w->places[column + i] = place;
        w->ordered[place] = column + i;
    }
}

enum err
layout_widen(struct histogram_chunks *w, const struct layout_union *u)
{
    uint32_t spans_count = count_spans(&u->positive) + count_spans(&u->negative);
    uint32_t old_positive = w->layout.positive.bucket_count;
    uint32_t old_negative = w->layout.negative.bucket_count;
    struct bytes old_places =
        arena_copy(&w->scratch, bytes_of(w->places, w->columns * sizeof *w->places));
    enum err e = old_places.at == NULL ? ERR_NOMEM : OK;
    if (e == OK) e = room_for(w, &w->spans, spans_count, sizeof(struct hist_span));
    const uint32_t *positive = (const uint32_t *)(const void *)old_places.at + COLUMN_POSITIVE;
    const uint32_t *negative = positive + old_positive + 1;
    if (e == OK) e = set_columns(w, u->positive.count, u->negative.count);
    if (e == OK && w->columns > w->row_places) e = set_row_places(w, places_for(w->columns));
    if (e) return e;
    assert(w->rows < w->rows_max);
    place_side(w, &u->positive, positive, old_positive, COLUMN_POSITIVE);
    place_side(w, &u->negative, negative, old_negative, w->negative);
    w->places[w->negative - 1] = COLUMN_BEFORE_POSITIVE;
    w->straight = false;

    struct hist_span *spans = w->spans.at;
    w->layout.positive = make_spans(&u->positive, spans);
    w->layout.negative = make_spans(&u->negative, spans + w->layout.positive.span_count);
    return OK;
}
