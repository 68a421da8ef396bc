/*
 * text_order.c - texts are sorted by the eight bytes that come after what all begin with, as a
 * number; those that share these by what comes next, and few ones, or such as end there, by
 * comparing.
 */
#include "tsdb/head/text_order.h"

#include <stdlib.h>
#include <string.h>

/* --- by a number ------------------------------------------------------------------------------ */

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, RADIX_WORTH = 2048 };

static int
by_key(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static void
radix_pass(const struct order_key *from, struct order_key *to, uint32_t count, unsigned shift)
{
    uint32_t starts[RADIX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        starts[from[i].key >> shift & (RADIX - 1)]++;
    }
    for (uint32_t b = 0, at = 0; b < RADIX; b++) {
        uint32_t size = starts[b];
        starts[b] = at;
        at += size;
    }
    for (uint32_t i = 0; i < count; i++) {
        to[starts[from[i].key >> shift & (RADIX - 1)]++] = from[i];
    }
}

void
order_by_key(struct order_key *keys, struct order_key *spare, uint32_t count)
{
    if (count < RADIX_WORTH) {
        qsort(keys, count, sizeof *keys, by_key);
        return;
    }
    struct order_key *a = keys, *b = spare;
    uint64_t differ = 0;
    for (uint32_t i = 1; i < count; i++) {
        differ |= a[i].key ^ a[0].key;
    }
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        if ((differ >> shift & (RADIX - 1)) == 0) continue;
        radix_pass(a, b, count, shift);
        struct order_key *swap = a;
        a = b;
        b = swap;
    }
    if (a != keys) memcpy(keys, a, count * sizeof *a);
}

/* --- by texts --------------------------------------------------------------------------------- */

enum { KEYS_WORTH = 32, DEPTH_MAX = 16 };

static struct bytes
text_at(const struct order_texts *x, const struct order_key *key)
{
    return x->text_of(x->context, key->id);
}

static _Thread_local const struct order_texts *sorting; /* qsort takes no context */

static int
by_text(const void *a, const void *b)
{
    return bytes_compare(text_at(sorting, a), text_at(sorting, b));
}

/* What is shorter is filled up with zeros: such texts are compared. */
static uint64_t
eight_from(struct bytes text, size_t at)
{
    uint8_t bytes[8] = {0};
    size_t left = text.size - at;
    memcpy(bytes, text.at + at, left < sizeof bytes ? left : sizeof bytes);
    return __builtin_bswap64(load_le64(bytes));
}

/* The bytes before `from` are equal in all of them. */
static void
sort_from(const struct order_texts *x, struct order_key *keys, struct order_key *spare,
          uint32_t count, size_t from, unsigned depth)
{
    if (count < KEYS_WORTH || depth == DEPTH_MAX) {
        sorting = x;
        qsort(keys, count, sizeof *keys, by_text);
        return;
    }
    struct bytes first = text_at(x, &keys[0]);
    size_t start = first.size;
    for (uint32_t i = 1; i < count; i++) {
        struct bytes text = text_at(x, &keys[i]);
        size_t at = from, most = text.size < start ? text.size : start;
        while (at < most && text.at[at] == first.at[at]) {
            at++;
        }
        start = at;
    }
    for (uint32_t i = 0; i < count; i++) {
        keys[i].key = eight_from(text_at(x, &keys[i]), start);
    }
    order_by_key(keys, spare, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && keys[i + run].key == keys[i].key; run++) {
        }
        bool go_on = run >= KEYS_WORTH;
        for (uint32_t k = i; k < i + run && go_on; k++) {
            go_on = text_at(x, &keys[k]).size > start + 8;
        }
        if (run > 1)
            sort_from(x, keys + i, spare + i, run, start + 8, go_on ? depth + 1 : DEPTH_MAX);
    }
}

void
order_by_text(const struct order_texts *texts, struct order_key *keys, struct order_key *spare,
              uint32_t count)
{
    if (count > 1) sort_from(texts, keys, spare, count, 0, 0);
}
