/*
 * fate.h - the fates of items that a destination took, and their counts. For each kind
 *
 *     taken = delivered + dead-lettered + dropped{reason} + queued
 */
#ifndef RELAY_STATE_FATE_H
#define RELAY_STATE_FATE_H

#include "backend/item.h"
#include "base/buf.h"

/* The numbers are stored: docs/format/relay.md. */
enum fate {
    FATE_OPEN = 0,      /* queued */
    FATE_PASSED = 1,    /* settled and counted before a restart */
    FATE_NOT_TAKEN = 2, /* the destination does not want it */
    FATE_DELIVERED = 3,
    FATE_DEAD_LETTERED = 4,
    FATE_REPEATED = 6, /* settled again after it was counted: the store gave it once more */
    FATE_DROPPED = 16, /* + enum drop */
};

enum drop {
    DROP_UNREPRESENTABLE,
    DROP_DAMAGED, /* the item, or its series, cannot be read any more */
    DROP_LOG_BUDGET,
    DROP_DEAD_LETTERS_FULL,
    DROP_DELETED,
    DROP_EXPIRED,
    DROP_SUPERSEDED,
    DROP_OUTSIDE_TABLE_RETENTION,
    DROP_BY_OPERATOR,
    DROP_REFUSED,   /* refused for good, which its sender learns; never stored, as the next */
    DROP_WITHDRAWN, /* not delivered before its sender gave up */
    DROP_COUNT,
};

enum { FATE_COUNT = FATE_DROPPED + DROP_COUNT };

/* "float", "histogram", "exemplar", "metadata" */
const char *item_kind_word(enum item_kind kind);
/* "unrepresentable", ... */
const char *drop_word(enum drop reason);

/* Counts by kind and fate. */
struct fates {
    uint64_t count[ITEM_KIND_COUNT][FATE_COUNT];
};

/* The values of an account that counters show: save.c. */
struct relay_shown {
    struct fates fates; /* FATE_OPEN counts items that are not settled in a durable state */
    uint64_t taken[ITEM_KIND_COUNT];
    uint64_t again[ITEM_KIND_COUNT]; /* items counted in `taken` once more */
};

void fates_add(struct fates *to, const struct fates *change);
/* The sum of all terms of the account: of the fates for which fate_is_term(). */
uint64_t fates_settled(const struct fates *fates, enum item_kind kind);
/* True for fates that are terms of the account. */
bool fate_is_term(unsigned fate);
uint64_t fates_dropped(const struct fates *fates, enum item_kind kind);

/* Appends the counts as in a destination's state, without zeros: docs/format/relay.md. */
void fates_put(struct buf *to, const struct fates *fates);
/* Reads counts and adds them to `add_to`. ERR_CORRUPT. */
MUST_CHECK enum err fates_get(struct cursor *from, struct fates *add_to);

#endif
