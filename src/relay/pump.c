/*
 * pump.c - moves items from the feed, and dead letters that are sent again, into the lanes: record
 * by record, item by item, until a lane has no room. The item that had no room is the first one of
 * the next call, so that the order is kept.
 *
 * Invariants:
 * 1. An item is passed in the feed exactly when it is in a call or settled in the window.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum {
    ITEMS_AT_ONCE = 32 * 1024, /* items of one call, so that responses do not wait */
    LETTERS_AT_ONCE = 4096,
};

/* --- records ---------------------------------------------------------------------------------- */

/* Counts the lost items of the log before the record that was read. False if that must be repeated.
 */
static bool
count_lost(struct relay *r)
{
    const struct chunk *c = r->feed.chunk;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        if (c->lost[kind] == 0) continue;
        if (account_lost(&r->account, c, kind) != OK) return false;
        feed_hole_counted(&r->feed, kind);
    }
    return true;
}

/* True if no item before a hole is open, or does not matter, without a store: invariant 7 of
 * account.c. */
static bool
is_settled(struct relay *r)
{
    if (r->context.options.tsdb == NULL) return true;
    window_saved_cursor(r->window, NULL); /* removes settled records */
    return window_records(r->window) == 0;
}

/*
 * Handles a hole of the log before the record that is read next, or was read. That record is opened
 * only after the store has given the items of the hole (catch_up.c), or they were counted as lost.
 * False if it has to wait.
 */
static bool
pass_hole(struct relay *r)
{
    struct feed *f = &r->feed;
    if (f->hole.begin_pos == 0) return true;
    if (feed_wait_at_hole(f)) return false;
    if (!f->is_read) return true; /* the next record shows what is lost */
    return is_settled(r) && account_is_ahead(&r->account, f->chunk) && count_lost(r);
}

static void
note_unread(struct relay *r, enum err e, const struct why *why)
{
    if (e == ERR_MISSING) return; /* catch_up() handles it */
    breaker_failed(&r->breaker, "read the next samples", "storage", why->text);
}

/* Opens the next chunk. False if there is none now, or it has to wait. */
static bool
next_chunk(struct relay *r)
{
    struct feed *f = &r->feed;
    struct why why = {""};
    uint64_t record;
    enum err e = feed_read(f, &why);
    if (e == ERR_AGAIN) return false;
    if (e == ERR_CORRUPT && !feed_reads_store(f)) {
        log_error("relay: cannot read part of the log, skipping it",
                  KV("destination", r->context.settings->name), KV("error", &why));
        return pass_hole(r);
    }
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    if (!feed_reads_store(f) && !pass_hole(r)) return false;
    if (window_push(r->window, f->chunk, &record) != OK) return false;
    feed_open_chunk(f, record);
    feed_note_untaken(f, account_chunk(&r->account));
    return true;
}

/* --- items ------------------------------------------------------------------------------------ */

/* Settles the next `count` items without handing them to a lane. */
static enum err
settle_next(struct relay *r, uint32_t count, unsigned fate)
{
    const struct feed *f = &r->feed;
    assert(count <= f->count - f->next);
    return window_settle(r->window, f->record, f->next, count, (uint8_t)fate);
}

/* Does the same, and passes the items. */
static bool
pass_over(struct relay *r, uint32_t count, unsigned fate)
{
    if (settle_next(r, count, fate) != OK) return false;
    feed_pass(&r->feed, count);
    return true;
}

/* Hands on the next item. False if it has to wait. */
static bool
hand_on(struct relay *r)
{
    struct feed *f = &r->feed;
    struct why why = {""};
    struct item item;
    enum err e = feed_item(f, &item, &why);
    if (e == ERR_CORRUPT)
        return !feed_wait_at_damage(f, &why) && pass_over(r, 1, FATE_DROPPED + DROP_DAMAGED);
    if (e) {
        note_unread(r, e, &why);
        return false;
    }
    struct call_item at = {.record = f->record, .index = f->next, .count = 1};
    switch (lanes_offer(&r->lanes, &item, &at, &why)) {
    case LANE_TOOK:
        break;
    case LANE_UNFIT:
        e = settle_bury(&r->settling, &at, &item, BURY_UNREPRESENTABLE, "unrepresentable",
                        why.text);
        break;
    case LANE_TOO_OLD:
        e = settle_item(&r->settling, &at, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION);
        break;
    default:
        return false;
    }
    if (e) return false;
    feed_pass(f, 1); /* invariant 1 */
    return true;
}

bool
pump_items(struct relay *r)
{
    struct feed *f = &r->feed;
    const struct relay_state *s = &r->state;
    for (uint32_t items = 0; items < ITEMS_AT_ONCE && f->hole_pos == 0; items++) {
        while (f->next == f->count) {
            if (!next_chunk(r)) return false;
        }
        if (f->over > 0) {
            if (!pass_over(r, f->over, FATE_PASSED)) return false;
            continue;
        }
        uint32_t unwanted = feed_count_alike(f, false);
        if (unwanted > 0) {
            if (settle_next(r, unwanted, FATE_NOT_TAKEN) != OK) return false;
            feed_pass_untaken(f, unwanted);
            continue;
        }
        if (!feed_reads_store(f) && f->chunk->pos < s->drop_pos) {
            uint32_t dropped = feed_count_alike(f, true);
            if (!pass_over(r, dropped, FATE_DROPPED + s->drop_reason)) return false;
            continue;
        }
        if (!hand_on(r)) return false;
    }
    return f->hole_pos == 0;
}

/* --- letters ---------------------------------------------------------------------------------- */

void
pump_letters(struct relay *r)
{
    struct letters *l = &r->letters;
    for (unsigned i = 0; i < LETTERS_AT_ONCE; i++) {
        struct dead_letter letter;
        struct call_item at = {.record = REPLAY_RECORD, .count = 1};
        struct why why = {""};
        if (letters_replay_next(l, &letter, &at.index, &why) != OK) return;
        enum lane_offer offer = lanes_offer(&r->lanes, &letter.item, &at, &why);
        assert(offer != LANE_TOO_OLD); /* only samples of the store may be */
        if (offer == LANE_FULL) return;
        enum err e = OK;
        if (offer == LANE_UNFIT)
            e = settle_bury(&r->settling, &at, &letter.item, BURY_UNREPRESENTABLE,
                            "unrepresentable", why.text);
        if (e) return;
        letters_replay_handed_on(l);
    }
}
