/* ledger.h - the account of everything received and its fates, which proves that nothing is lost.
 * Format and meaning: docs/format/ledger.md. */
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
    LEDGER_PASSED_ON = 7,            /* not stored here: only for destinations */
    LEDGER_DOWNSAMPLED = 8,          /* a level of rollups replaced it */
    LEDGER_SUPERSEDED_BY_WINDOW = 9, /* it came after a rollup of its time, which has it */
    LEDGER_MISSED_BY_WINDOW = 10,    /* it came after a rollup of its time, which lacks it */
    LEDGER_REJECTED = 16,            /* + enum reject */
    LEDGER_FIELD_COUNT = LEDGER_REJECTED + REJECT_COUNT
};

/* Version 1 has no reason after REJECT_SERIES_LIMIT. */
enum { LEDGER_VERSION = 2, LEDGER_VERSION_MIN = 1 };

/* The totals of one tenant, or increments to them. */
struct ledger {
    uint64_t count[LEDGER_KIND_COUNT][LEDGER_FIELD_COUNT];
    uint64_t stored[LEDGER_KIND_COUNT];
    uint64_t pending[LEDGER_KIND_COUNT]; /* as counted by the head; never written */
};

/* Returns what must be pending: accepted - stored - what left the store by other ways. */
uint64_t ledger_should_pend(const struct ledger *ledger, enum ledger_kind kind);
/* Returns received - the sum of its fates, with pending as counted by the head: 0; above 0 if
 * something was lost or miscounted, below if something was counted that never came. */
#define LEDGER_DIFFERENCE_NAME "firekeep_ledger_difference"
#define LEDGER_DIFFERENCE_HELP                                                                    \
    "Items received minus the items whose outcome was counted. Any value but 0 means that items " \
    "were lost or miscounted."
#define LEDGER_DIFFERENCE_TO_DO \
    "run firekeep verify on a snapshot, or on the directory after stopping the server"
/* Returns items received minus the sum of their fates: 0 if the ledger balances. */
int64_t ledger_difference(const struct ledger *ledger, enum ledger_kind kind);
/* Returns the sum over all reasons. */
uint64_t ledger_rejected(const struct ledger *ledger, enum ledger_kind kind);
/* True if received equals the sum of its fates. */
bool ledger_balances(const struct ledger *ledger);
bool ledger_is_zero(const struct ledger *ledger);
/* Returns the lowest version that can store it: programs of version 1 read ledgers without new
 * reasons. */
unsigned ledger_version(const struct ledger *ledger);
/* Adds a change to all counts, or takes it off them. */
void ledger_add(struct ledger *to, const struct ledger *change);
void ledger_subtract(struct ledger *from, const struct ledger *change);

/* Appends the sparse form: varint count, then (u8 kind, u8 field, varint). `stored` is field 255.
 */
void ledger_put(struct buf *to, const struct ledger *ledger);
/* Reads this form and adds it. ERR_CORRUPT, also for unknown fields: they would unbalance the
 * ledger. */
MUST_CHECK enum err ledger_get(struct cursor *from, struct ledger *add_to);

#endif
