/*
 * write_items.h - the items of a write request, copied out of it, as destinations get them. What
 * the limits of labels and times refuse is not among them.
 *
 * Threads: one makes them; then they are immutable.
 */
#ifndef RELAY_QUEUE_WRITE_ITEMS_H
#define RELAY_QUEUE_WRITE_ITEMS_H

#include "backend/item.h"
#include "tsdb/tsdb.h"

struct queued_series {
    struct bytes labels; /* canonical, as they were received */
    uint64_t hash;       /* hash of tenant and labels */
};

struct queued_item {
    int64_t t_ms;
    int64_t start_ms;
    uint64_t bits;
    /* By kind: struct histogram, the struct bytes of an exemplar's labels, struct metadata. */
    const void *more;
    uint32_t series;
    uint8_t kind; /* enum item_kind */
};

struct write_items {
    struct arena arena; /* has all of the rest, but not the struct */
    struct bytes tenant;
    struct queued_series *series;
    uint32_t series_count;
    struct queued_item *items;
    uint32_t count;
    uint64_t count_of[ITEM_KIND_COUNT];
    uint64_t rejected[LEDGER_KIND_COUNT][REJECT_COUNT]; /* refused items, which are not here */
    int64_t arrival_ms;                                 /* Unix time */
};

/* The limits that decide what is refused. */
struct write_rules {
    struct labels_limits labels;
    enum name_rule require_name;
    int64_t max_future_ms;
};

/*
 * Copies the items of a request whose labels were checked by rw_decode(). `ret_result` counts them
 * as written, and what the rules refuse as rejected, with a text. ERR_NOMEM: also where the arena's
 * limit of `bytes_max` is reached; the items must be freed also then.
 */
MUST_CHECK enum err write_items_init(struct write_items *items, struct budget *memory,
                                     uint64_t bytes_max, const struct write_rules *rules,
                                     int64_t now_ms, struct bytes tenant,
                                     const struct rw_request *request,
                                     struct ingest_result *ret_result);
/* Adds to a ledger what it is to count once the write is answered: its items as passed on. */
void write_items_count(const struct write_items *items, struct ledger *add_to);
void write_items_fini(struct write_items *items);

/* Gives item `i` with the labels that it was received with; views of the items. */
void write_items_item(const struct write_items *items, uint32_t i, struct item *ret_item);

#endif
