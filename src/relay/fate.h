/*
 * fate.h - what became of what a destination took from the log, and how often. For each kind
 *
 *     taken = delivered + dead-lettered + dropped{reason} + queued
 */
#ifndef RELAY_FATE_H
#define RELAY_FATE_H

#include "backend/item.h"
#include "base/buf.h"

/* The numbers are stored: docs/format/relay.md. */
enum fate {
    FATE_OPEN = 0,      /* queued */
    FATE_PASSED = 1,    /* counted before a restart */
    FATE_NOT_TAKEN = 2, /* the destination does not want it */
    FATE_DELIVERED = 3,
    FATE_DEAD_LETTERED = 4,
    FATE_REPLAYING = 5, /* a letter that is sent again: counted with the letters; never stored */
    FATE_REPEATED = 6,  /* delivered, though it had been counted: the store gave it once more */
    FATE_SEEN = 7,      /* a letter that is still there, while those are looked for; never stored */
    FATE_SEEN_REPLAYING = 8,
    FATE_DROPPED = 16, /* + enum drop */
};

enum drop {
    DROP_UNREPRESENTABLE,
    DROP_DAMAGED, /* its series cannot be read any more */
    DROP_LOG_BUDGET,
    DROP_DEAD_LETTERS_FULL,
    DROP_DELETED,
    DROP_EXPIRED,
    DROP_SUPERSEDED,
    DROP_OUTSIDE_TABLE_RETENTION,
    DROP_BY_OPERATOR,
    DROP_COUNT,
};

enum { FATE_COUNT = FATE_DROPPED + DROP_COUNT };

/* "float", "histogram", "exemplar", "metadata" */
const char *item_kind_word(enum item_kind kind);
/* "unrepresentable", ... */
const char *drop_word(enum drop reason);

/* Increments or totals. */
struct fates {
    uint64_t count[ITEM_KIND_COUNT][FATE_COUNT];
};

/* What counters show of an account: save.c. */
struct relay_shown {
    struct fates fates; /* FATE_OPEN: what is not settled in a durable state */
    uint64_t taken[ITEM_KIND_COUNT];
    uint64_t again[ITEM_KIND_COUNT]; /* of those taken: once more */
};

void fates_add(struct fates *to, const struct fates *change);
/* What was settled: all but FATE_OPEN, FATE_PASSED, FATE_NOT_TAKEN. */
uint64_t fates_settled(const struct fates *fates, enum item_kind kind);
/* One of those. */
bool fate_is_term(unsigned fate);
uint64_t fates_dropped(const struct fates *fates, enum item_kind kind);

/* Sparse, as it stands in a destination's state: docs/format/relay.md. */
void fates_put(struct buf *to, const struct fates *fates);
/* Adds what was put. ERR_CORRUPT. */
MUST_CHECK enum err fates_get(struct cursor *from, struct fates *add_to);

#endif
