/*
 * changes.c - see head.h.
 *
 * Invariant: numbers and times of the items ascend, strictly.
 */
#include "tsdb/head/head.h"

#include <assert.h>
#include <string.h>

/* Joins the two neighbours whose distance is smallest in proportion to their age. */
static void
changes_make_room(struct changes *c)
{
    double newest = (double)c->items[c->count - 1].from_ms, best_gap = 1, best_age = 0;
    uint32_t best = 0;
    for (uint32_t i = 0; i + 2 < c->count; i++) {
        double gap = (double)c->items[i + 1].from_ms - (double)c->items[i].from_ms;
        double age = newest - (double)c->items[i + 1].from_ms;
        if (gap * best_age >= best_gap * age) continue;
        best = i;
        best_gap = gap;
        best_age = age;
    }
    c->items[best].number = c->items[best + 1].number;
    memmove(&c->items[best + 1], &c->items[best + 2], (c->count - best - 2) * sizeof c->items[0]);
    c->count--;
}

void
changes_add(struct changes *c, uint64_t number, int64_t from_ms)
{
    assert(c->count <= CHANGES_KEPT);
    assert(c->count == 0 || c->items[c->count - 1].number <= number);
    while (c->count > 0 && c->items[c->count - 1].from_ms >= from_ms) {
        c->count--;
    }
    bool is_known = c->count > 0 && c->items[c->count - 1].number == number;
    if (is_known) return; /* with an earlier time */
    assert(c->count == 0 || c->items[c->count - 1].from_ms < from_ms);
    if (c->count == CHANGES_KEPT) changes_make_room(c);
    c->items[c->count].number = number;
    c->items[c->count++].from_ms = from_ms;
}

int64_t
changes_after(const struct changes *c, uint64_t number)
{
    uint32_t i = c->count;
    while (i > 0 && c->items[i - 1].number > number) {
        i--;
    }
    return i == c->count ? INT64_MAX : c->items[i].from_ms;
}
