/*
 * text_order.c - sorts texts by the eight bytes after their common prefix, as a number; those with
 * equal bytes by the next eight, and few texts, or texts that end there, by comparing.
 */
#include "tsdb/head/text_order.h"

#include "base/array.h"

/* --- by a number ------------------------------------------------------------------------------ */

enum { RADIX_WORTH = 2048 };

void
order_by_key(struct order_key *keys, struct order_key *spare, uint32_t count)
{
    void *sorted = radix_sort(keys, spare, count, sizeof *keys, 0, RADIX_WORTH);
    if (sorted != keys) memcpy(keys, sorted, count * sizeof *keys);
}

/* --- by texts --------------------------------------------------------------------------------- */

enum { KEYS_WORTH = 32, DEPTH_MAX = 16 };

static struct bytes
text_order_at(const struct order_texts *x, const struct order_key *key)
{
    return x->text_of(x->context, key->id);
}

static int
by_text(const void *a, const void *b, void *texts)
{
    return bytes_compare(text_order_at(texts, a), text_order_at(texts, b));
}

/* The next eight bytes as a number; a shorter text is filled up with zeros, and then compared. */
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
        qsort_r(keys, count, sizeof *keys, by_text, (void *)(uintptr_t)x);
        return;
    }
    struct bytes first = text_order_at(x, &keys[0]);
    size_t start = first.size;
    for (uint32_t i = 1; i < count; i++) {
        struct bytes text = text_order_at(x, &keys[i]);
        size_t at = from, most = text.size < start ? text.size : start;
        while (at < most && text.at[at] == first.at[at]) {
            at++;
        }
        start = at;
    }
    for (uint32_t i = 0; i < count; i++) {
        keys[i].key = eight_from(text_order_at(x, &keys[i]), start);
    }
    order_by_key(keys, spare, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && keys[i + run].key == keys[i].key; run++) {
        }
        bool go_on = run >= KEYS_WORTH;
        for (uint32_t k = i; k < i + run && go_on; k++) {
            go_on = text_order_at(x, &keys[k]).size > start + 8;
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
