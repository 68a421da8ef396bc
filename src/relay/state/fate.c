/* fate.c - see fate.h. */
#include "relay/state/fate.h"

#include <assert.h>

const char *
item_kind_word(enum item_kind kind)
{
    static const char *const words[ITEM_KIND_COUNT] = {
        [ITEM_FLOAT] = "float",
        [ITEM_HISTOGRAM] = "histogram",
        [ITEM_EXEMPLAR] = "exemplar",
        [ITEM_METADATA] = "metadata",
    };
    assert(kind < ITEM_KIND_COUNT);
    return words[kind];
}

const char *
drop_word(enum drop reason)
{
    static const char *const words[DROP_COUNT] = {
        [DROP_UNREPRESENTABLE] = "unrepresentable",
        [DROP_DAMAGED] = "damaged",
        [DROP_LOG_BUDGET] = "log_budget",
        [DROP_DEAD_LETTERS_FULL] = "dead_letters_full",
        [DROP_DELETED] = "deleted",
        [DROP_EXPIRED] = "expired",
        [DROP_SUPERSEDED] = "superseded",
        [DROP_OUTSIDE_TABLE_RETENTION] = "outside_table_retention",
        [DROP_BY_OPERATOR] = "operator",
        [DROP_REFUSED] = "refused",
        [DROP_WITHDRAWN] = "withdrawn",
    };
    assert(reason < DROP_COUNT);
    return words[reason];
}

void
fates_add(struct fates *to, const struct fates *change)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            to->count[kind][fate] += change->count[kind][fate];
        }
    }
}

uint64_t
fates_dropped(const struct fates *fates, enum item_kind kind)
{
    uint64_t sum = 0;
    for (unsigned reason = 0; reason < DROP_COUNT; reason++) {
        sum += fates->count[kind][FATE_DROPPED + reason];
    }
    return sum;
}

bool
fate_is_term(unsigned fate)
{
    return fate == FATE_DELIVERED || fate == FATE_DEAD_LETTERED || fate >= FATE_DROPPED;
}

uint64_t
fates_settled(const struct fates *fates, enum item_kind kind)
{
    return fates->count[kind][FATE_DELIVERED] + fates->count[kind][FATE_DEAD_LETTERED] +
           fates_dropped(fates, kind);
}

void
fates_put(struct buf *to, const struct fates *fates)
{
    uint64_t count = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
            count += fates->count[kind][fate] > 0;
        }
    }
    buf_put_varint(to, count);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
            if (fates->count[kind][fate] == 0) continue;
            buf_put_u8(to, (uint8_t)kind);
            buf_put_u8(to, (uint8_t)fate);
            buf_put_varint(to, fates->count[kind][fate]);
        }
    }
}

enum err
fates_get(struct cursor *from, struct fates *add_to)
{
    uint64_t count = cursor_varint(from);
    for (uint64_t i = 0; i < count && !from->bad; i++) {
        uint8_t kind = cursor_u8(from), fate = cursor_u8(from);
        uint64_t n = cursor_varint(from);
        if (from->bad || kind >= ITEM_KIND_COUNT || fate < FATE_DELIVERED || fate >= FATE_COUNT) {
            return ERR_CORRUPT;
        }
        add_to->count[kind][fate] += n;
    }
    return from->bad ? ERR_CORRUPT : OK;
}
