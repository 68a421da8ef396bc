/* ledger.c - the equation, and its sparse form on disk. */
#include "model/ledger.h"

enum { FIELD_STORED = 255 };

_Static_assert(REJECT_EMPTY_LABELS == 1 && REJECT_BAD_REFERENCE == 7 && REJECT_SERIES_LIMIT == 12,
               "docs/format/ledger.md: reasons are stored, new ones go behind");
_Static_assert(REJECT_MISSING_NAME == 13 && REJECT_COUNT == 14,
               "docs/format/ledger.md: a reason more is a version more, see ledger_version()");

uint64_t
ledger_rejected(const struct ledger *ledger, enum ledger_kind kind)
{
    uint64_t sum = 0;
    for (unsigned r = 0; r < REJECT_COUNT; r++)
        sum += ledger->count[kind][LEDGER_REJECTED + r];
    return sum;
}

/* Items that were accepted and are neither stored nor pending. */
static uint64_t
gone(const uint64_t *c)
{
    return c[LEDGER_SUPERSEDED] + c[LEDGER_EXPIRED] + c[LEDGER_DELETED] + c[LEDGER_DAMAGED] +
           c[LEDGER_PASSED_ON] + c[LEDGER_DOWNSAMPLED] + c[LEDGER_SUPERSEDED_BY_WINDOW] +
           c[LEDGER_MISSED_BY_WINDOW];
}

uint64_t
ledger_should_pend(const struct ledger *ledger, enum ledger_kind kind)
{
    const uint64_t *c = ledger->count[kind];
    return c[LEDGER_ACCEPTED] - ledger->stored[kind] - gone(c);
}

int64_t
ledger_difference(const struct ledger *ledger, enum ledger_kind kind)
{
    const uint64_t *c = ledger->count[kind];
    uint64_t fates = ledger->stored[kind] + ledger->pending[kind] + c[LEDGER_DUPLICATE] +
                     ledger_rejected(ledger, kind) + gone(c);
    return (int64_t)(c[LEDGER_RECEIVED] - fates);
}

bool
ledger_balances(const struct ledger *ledger)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        const uint64_t *c = ledger->count[k];
        uint64_t left =
            c[LEDGER_ACCEPTED] + c[LEDGER_DUPLICATE] + ledger_rejected(ledger, (enum ledger_kind)k);
        if (c[LEDGER_RECEIVED] != left) return false;
        if (ledger->stored[k] + gone(c) > c[LEDGER_ACCEPTED]) return false;
    }
    return true;
}

bool
ledger_is_zero(const struct ledger *ledger)
{
    static const struct ledger zero;
    return memcmp(ledger, &zero, sizeof zero) == 0;
}

unsigned
ledger_version(const struct ledger *ledger)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned r = REJECT_SERIES_LIMIT + 1; r < REJECT_COUNT; r++)
            if (ledger->count[k][LEDGER_REJECTED + r] != 0) return LEDGER_VERSION;
    }
    return LEDGER_VERSION_MIN;
}

/* `sign` is 1 or, modulo 2^64, -1. */
static void
add_times(struct ledger *to, const struct ledger *change, uint64_t sign)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++)
            to->count[k][f] += sign * change->count[k][f];
        to->stored[k] += sign * change->stored[k];
        to->pending[k] += sign * change->pending[k];
    }
}

void
ledger_add(struct ledger *to, const struct ledger *change)
{
    add_times(to, change, 1);
}

void
ledger_subtract(struct ledger *from, const struct ledger *change)
{
    add_times(from, change, UINT64_MAX);
}

static void
put_one(struct buf *to, unsigned kind, unsigned field, uint64_t value)
{
    buf_put_u8(to, (uint8_t)kind);
    buf_put_u8(to, (uint8_t)field);
    buf_put_varint(to, value);
}

void
ledger_put(struct buf *to, const struct ledger *ledger)
{
    uint32_t count = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++)
            count += ledger->count[k][f] != 0;
        count += ledger->stored[k] != 0;
    }
    buf_put_varint(to, count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++)
            if (ledger->count[k][f] != 0) put_one(to, k, f, ledger->count[k][f]);
        if (ledger->stored[k] != 0) put_one(to, k, FIELD_STORED, ledger->stored[k]);
    }
}

enum err
ledger_get(struct cursor *from, struct ledger *add_to)
{
    uint64_t count = cursor_varint(from);
    for (uint64_t i = 0; i < count && !from->bad; i++) {
        uint8_t kind = cursor_u8(from);
        uint8_t field = cursor_u8(from);
        uint64_t value = cursor_varint(from);
        if (from->bad || kind >= LEDGER_KIND_COUNT) return ERR_CORRUPT;
        if (field == FIELD_STORED)
            add_to->stored[kind] += value;
        else if (field < LEDGER_FIELD_COUNT)
            add_to->count[kind][field] += value;
        else
            return ERR_CORRUPT;
    }
    return from->bad ? ERR_CORRUPT : OK;
}
