/*
 * ledger.h - the equation that proves that nothing is lost: what became of everything received.
 * Format and meaning: docs/format/ledger.md.
 */
#ifndef MODEL_LEDGER_H
#define MODEL_LEDGER_H

#include "base/buf.h"
#include "model/sample.h"

enum ledger_field {
    LEDGER_RECEIVED = 0,
    LEDGER_ACCEPTED = 1,
    LEDGER_DUPLICATE = 2,
    LEDGER_SUPERSEDED = 3,
    LEDGER_EXPIRED = 4,
    LEDGER_DELETED = 5,
    LEDGER_DAMAGED = 6,
    LEDGER_PASSED_ON = 7, /* kept by no store: it was for destinations */
    LEDGER_REJECTED = 16, /* + enum reject */
    LEDGER_FIELD_COUNT = LEDGER_REJECTED + REJECT_COUNT
};

/* Version 1 knows no reason after REJECT_SERIES_LIMIT. */
enum { LEDGER_VERSION = 2, LEDGER_VERSION_MIN = 1 };

/* One tenant's totals, or increments to them. */
struct ledger {
    uint64_t count[LEDGER_KIND_COUNT][LEDGER_FIELD_COUNT];
    uint64_t stored[LEDGER_KIND_COUNT];
    uint64_t pending[LEDGER_KIND_COUNT]; /* as the head counts them; never written */
};

/* What has to be pending: accepted - stored - what left the store by other ways. */
uint64_t ledger_should_pend(const struct ledger *ledger, enum ledger_kind kind);
/*
 * received - the sum of its fates, with pending as counted: 0, or something was lost or miscounted
 * (above 0), or counted that never came (below).
 */
#define LEDGER_DIFFERENCE_NAME "firekeep_ledger_difference"
#define LEDGER_DIFFERENCE_HELP                                                                    \
    "Items received minus the items whose outcome was counted. Any value but 0 means that items " \
    "were lost or miscounted."
#define LEDGER_DIFFERENCE_TO_DO \
    "run firekeep verify on a snapshot, or on the directory after stopping the server"
int64_t ledger_difference(const struct ledger *ledger, enum ledger_kind kind);
uint64_t ledger_rejected(const struct ledger *ledger, enum ledger_kind kind);
/* Whether received equals the sum of its fates. */
bool ledger_balances(const struct ledger *ledger);
bool ledger_is_zero(const struct ledger *ledger);
/* The least version that has all of it: programs of version 1 read what has nothing new. */
unsigned ledger_version(const struct ledger *ledger);
void ledger_add(struct ledger *to, const struct ledger *change);
void ledger_subtract(struct ledger *from, const struct ledger *change);

/* Sparse: varint count, then (u8 kind, u8 field, varint). `stored` is field 255. */
void ledger_put(struct buf *to, const struct ledger *ledger);
/* Adds what was put. ERR_CORRUPT. Unknown fields are an error: they would unbalance it. */
MUST_CHECK enum err ledger_get(struct cursor *from, struct ledger *add_to);

#endif
