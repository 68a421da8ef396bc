/*
 * literals.c - see literals.h. Values are looked up in a table of hashes.
 *
 * Where case does not matter, or items have dots for any character, items are ASCII (pattern.c says
 * nothing else of such regexes), and the value is made simple first: one byte for each character,
 * in lower case if case does not matter. Then, for each place that the dots of items of its size
 * have ("10.0.0.1:9100" has bytes 2, 4 and 6), it is looked up with PATTERN_WILD at these bytes.
 * Lists of addresses with unescaped dots have a few such places for each size.
 */
#include "model/regex/literals.h"

#include "base/hash/hash.h"
#include "base/text/utf8.h"

enum {
    LINEAR_MAX = 4, /* a set of so many is compared one by one */
    SIZE_BITS_MAX = 63,
    SHAPES_MAX = 64,
    OTHER = 0x80, /* a character that no item has: items are ASCII */
};

struct literal_shape {
    size_t size;
    uint64_t wild; /* bit n: byte n */
};

static uint64_t
size_bit(size_t size)
{
    return (uint64_t)1 << (size < SIZE_BITS_MAX ? size : SIZE_BITS_MAX);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static bool
look_up(const struct literals *set, struct bytes value)
{
    if (set->slots == NULL) {
        for (uint32_t i = 0; i < set->count; i++) {
            if (bytes_equal(set->items[i], value)) return true;
        }
        return false;
    }
    for (uint64_t at = hash_bytes(value, 0);; at++) {
        uint32_t slot = set->slots[at & set->slot_mask];
        if (slot == 0) return false;
        if (bytes_equal(set->items[slot - 1], value)) return true;
    }
}

/* Makes a value simple. False: no item can equal it. Unicode folds two more characters to letters
 * of ASCII. */
static bool
simplify(struct bytes value, bool folds, uint8_t to[PATTERN_SIMPLE_BYTES_MAX], size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0, step; i < value.size; i += step) {
        step = utf8_step(value.at + i, value.size - i);
        if (step == 0 || size == PATTERN_SIMPLE_BYTES_MAX) return false;
        uint32_t c = utf8_get(value.at + i, step);
        if (folds && c >= 'A' && c <= 'Z') c |= 0x20;
        if (folds && c == 0x212a) c = 'k'; /* the sign for Kelvin */
        if (folds && c == 0x17f) c = 's';  /* the long s */
        to[size++] = c < 0x80 ? (uint8_t)c : OTHER;
    }
    *ret_size = size;
    return true;
}

bool
literals_have(const struct literals *set, struct bytes value)
{
    uint8_t simple[PATTERN_SIMPLE_BYTES_MAX], masked[PATTERN_SIMPLE_BYTES_MAX];
    size_t size;
    if (!set->folds && set->shape_count == 0) {
        return (set->sizes & size_bit(value.size)) != 0 && look_up(set, value);
    }
    if (!simplify(value, set->folds, simple, &size)) return false;
    if ((set->sizes & size_bit(size)) == 0) return false;
    if (set->shape_count == 0) return look_up(set, bytes_of(simple, size));
    for (uint32_t i = 0; i < set->shape_count; i++) {
        if (set->shapes[i].size != size) continue;
        memcpy(masked, simple, size);
        for (uint64_t wild = set->shapes[i].wild; wild != 0; wild &= wild - 1) {
            masked[__builtin_ctzll(wild)] = PATTERN_WILD;
        }
        if (look_up(set, bytes_of(masked, size))) return true;
    }
    return false;
}

bool
literals_capture(const struct literals *set, struct bytes text, struct re2_capture *captures)
{
    if (!literals_have(set, text)) return false;
    for (uint32_t i = 0; i <= set->groups; i++) {
        captures[i] = (struct re2_capture){.at = text.at, .size = text.size};
    }
    return true;
}

uint64_t
literals_work(const struct literals *set)
{
    enum { LOOK_UP_NS = 64 };
    return LOOK_UP_NS * (1 + (uint64_t)set->folds + set->shape_count);
}

/* --- making ----------------------------------------------------------------------------------- */

/* Copies the items and their text from the arena of the pattern's reader. */
static enum err
keep_items(struct literals *set, const struct pattern *p, struct arena *arena)
{
    struct bytes *kept = arena_alloc(arena, p->head_count * sizeof *kept);
    if (kept == NULL) return ERR_NOMEM;
    size_t size_bytes = 0;
    for (uint32_t i = 0; i < p->head_count; i++) {
        size_bytes += p->heads[i].size;
    }
    uint8_t *text = arena_alloc(arena, size_bytes + 1);
    if (text == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < p->head_count; i++) {
        kept[i] = bytes_of(text, p->heads[i].size);
        if (p->heads[i].size > 0) memcpy(text, p->heads[i].at, p->heads[i].size);
        text += p->heads[i].size;
        set->sizes |= size_bit(p->heads[i].size);
    }
    set->items = kept;
    return OK;
}

/* Fills the table, which is at most half full. */
static enum err
fill_slots(struct literals *set, uint32_t count, struct arena *arena)
{
    if (count <= LINEAR_MAX) return OK;
    uint32_t slot_count = 16;
    while (slot_count < 2 * count) {
        slot_count *= 2;
    }
    set->slots = arena_new(arena, slot_count * sizeof *set->slots);
    if (set->slots == NULL) return ERR_NOMEM;
    set->slot_mask = slot_count - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = hash_bytes(set->items[i], 0);
        while (set->slots[at & set->slot_mask] != 0) {
            at++;
        }
        set->slots[at & set->slot_mask] = i + 1;
    }
    return OK;
}

static struct literal_shape
shape_of(struct bytes item)
{
    struct literal_shape shape = {.size = item.size};
    for (size_t i = 0; i < item.size; i++) {
        if (item.at[i] == PATTERN_WILD) shape.wild |= (uint64_t)1 << i; /* i < 64: see pattern.c */
    }
    return shape;
}

/* False: too many shapes, or no memory. */
static bool
find_shapes(struct literals *set, const struct pattern *p, struct arena *arena, enum err *ret)
{
    *ret = OK;
    if (!p->has_wild) return true;
    set->shapes = arena_alloc(arena, SHAPES_MAX * sizeof *set->shapes);
    if (set->shapes == NULL) *ret = ERR_NOMEM;
    for (uint32_t i = 0; i < p->head_count && *ret == OK; i++) {
        struct literal_shape shape = shape_of(p->heads[i]);
        uint32_t at = 0;
        while (at < set->shape_count &&
               (set->shapes[at].size != shape.size || set->shapes[at].wild != shape.wild)) {
            at++;
        }
        if (at == SHAPES_MAX) return false;
        if (at == set->shape_count) set->shapes[set->shape_count++] = shape;
    }
    return *ret == OK;
}

enum err
literals_init(struct literals *set, const struct pattern *p, struct arena *arena)
{
    enum err e;
    *set = (struct literals){.folds = p->folds, .groups = p->groups};
    if (p->tail != TAIL_NONE || p->inner.size > 0) return OK;
    if (!find_shapes(set, p, arena, &e)) return e;
    e = keep_items(set, p, arena);
    if (e == OK) e = fill_slots(set, p->head_count, arena);
    if (e == OK) set->count = p->head_count;
    return e;
}

enum err
literals_read(struct literals *set, struct bytes regex, struct arena *arena, struct budget *budget)
{
    struct arena scratch;
    struct pattern p = {.tail = TAIL_UNKNOWN};
    *set = (struct literals){.count = 0};
    if (!utf8_valid(regex)) return OK;
    arena_init(&scratch, budget, 0, 1024);
    enum err e = pattern_read(regex, &scratch, &p);
    if (e == OK && (p.groups == 0 || p.group_is_all)) e = literals_init(set, &p, arena);
    arena_fini(&scratch);
    return e;
}
