/*
 * account.c - counts what a destination has taken: all items of the log that it wants, whether they
 * were read or not.
 *
 *     taken = delivered + dead-lettered + dropped{reason} + queued
 *
 * Each side is counted where it happens. `taken` grows when an item is read for the first time, by
 * the reader or ahead of it; the fates grow when an item is settled (window.c); `queued` is what is
 * open in the window, and what was counted ahead. So the equation can fail, and a difference is an
 * alarm.
 *
 * The log's own totals (log_items.c) show whether it was read completely: items that they count and
 * that could not be read are lost. The store may have them, if there is one.
 *
 * Items after the reading position are counted by a second reader of the log, which reads ahead. It
 * starts when the relay has been behind for a moment, or is paused, and ends when the relay has
 * caught up with it: then all that it counted was read.
 *
 * If the log is given up meanwhile and the rest is read from the store, the count outlives
 * restarts. What is left of it when the log is reached again is what the store no longer had.
 *
 * The equation is no invariant to assert, because damage breaks it. Invariants:
 * 1. A reader ahead exists only while the log can be counted: `blind` excludes it.
 * 2. Reading a chunk takes at most what it wants: `news` is at most `wanted`, and what is counted
 * in advance falls by the rest.
 * 3. A lost item is either new or was counted in advance, never both.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum { READ_AHEAD_AFTER_MS = 1000, READ_AHEAD_AT_ONCE_MS = 5, READ_AHEAD_CACHE_BYTES = 64 * 1024 };

static uint32_t
count_wanted(struct relay *r, const struct chunk *c, uint32_t from, struct log_items *log)
{
    uint32_t wanted = 0;
    for (uint32_t i = from; i < c->count; i++) {
        wanted += relay_takes(r, c, i, log);
    }
    return wanted;
}

/* Counts items that are taken for the first time, at `pos` of the log, or 0 for the store's. */
static void
take_news(struct relay *r, unsigned kind, uint64_t count, uint64_t pos)
{
    r->account.taken[kind] += count;
    if (pos >= r->account.known_pos) r->account.taken_since[kind] += count;
}

static uint64_t
take_part(uint64_t *left, uint64_t most)
{
    uint64_t n = *left < most ? *left : most;
    *left -= n;
    return n;
}

uint32_t
account_chunk(struct relay *r)
{
    const struct chunk *c = r->feed.chunk;
    struct read_ahead *a = &r->account.ahead;
    uint32_t from = r->feed.next + r->feed.over;
    uint32_t wanted = count_wanted(r, c, from, r->feed.log), news = wanted;
    bool counted = c->filled ? a->lasting : c->pos < a->pos;
    if (counted) {
        int64_t known = a->count[c->kind] < 0 ? 0 : a->count[c->kind];
        uint32_t more = known >= wanted ? 0 : wanted - (uint32_t)known;
        a->count[c->kind] = known - (int64_t)(wanted - more);
        assert(a->count[c->kind] >= 0); /* invariant 2 */
        news = more;
        /* Store and log are counted together, so repeats show only when the count is used up: they
         * are what exceeds the margin. */
        uint64_t *margin = &a->margin[c->kind];
        if (a->lasting && *margin < more) news = (uint32_t)*margin;
        if (a->lasting && *margin != UINT64_MAX) *margin -= news;
        assert(news <= more);
        assert(more <= wanted); /* invariant 2 */
        window_note_taken(r->window, wanted, more - news);
        r->account.fed[c->kind] += wanted - (more - news);
    } else {
        window_note_taken(r->window, wanted, 0);
        r->account.fed[c->kind] += wanted;
    }
    take_news(r, c->kind, news, c->filled ? 0 : c->pos);
    return c->count - from - wanted;
}

/* Adds the lost items before a chunk, which are in no count so far. */
static void
add_margin(struct relay *r, const struct chunk *c)
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        if (r->account.ahead.margin[kind] != UINT64_MAX)
            r->account.ahead.margin[kind] += c->lost[kind];
    }
}

/* Marks losses of the store as known, so that they explain no other difference. */
static void
note_lost_in_store(struct relay_state *state, const uint64_t lost[LEDGER_KIND_COUNT])
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        if (kind == LEDGER_EXEMPLAR)
            state->gone_exemplars.damaged += lost[kind];
        else
            state->gone.damaged += lost[kind];
    }
}

bool
account_hole(struct relay *r, const struct chunk *c)
{
    struct read_ahead *a = &r->account.ahead;
    /* The number of these that the store has lost too: at most what it counts and is unexplained.
     */
    uint64_t lost[LEDGER_KIND_COUNT];
    struct tsdb_gone samples, exemplars;
    tsdb_gone(r->options.tsdb, &samples, &exemplars);
    uint64_t left[] = {samples.damaged - r->state.gone.damaged,
                       exemplars.damaged - r->state.gone_exemplars.damaged};
    bool stored = c->pos <= tsdb_replayed_pos(r->options.tsdb);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        lost[kind] = stored ? 0 : take_part(&left[kind == LEDGER_EXEMPLAR], c->lost[kind]);
    }
    bool may_have = stored || c->pos > tsdb_opened_pos(r->options.tsdb);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        may_have |= lost[kind] < c->lost[kind];
    }
    if (!may_have) {
        note_lost_in_store(&r->state, lost);
        return false;
    }
    if (c->pos >= a->pos) add_margin(r, c);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        if (a->margin[kind] != UINT64_MAX) take_part(&a->margin[kind], lost[kind]);
    }
    memcpy(r->account.hole_lost, lost, sizeof r->account.hole_lost);
    return true;
}

/*
 * Without a store the items are gone; it is unknown whether the destination wanted all of them.
 * Items that the reader ahead could not read either are in no count so far.
 */
enum err
account_lost(struct relay *r, struct chunk *c)
{
    struct read_ahead *a = &r->account.ahead;
    /* Before the first record that is read, the log has removed its oldest ones. */
    enum drop reason = r->feed.state == FEED_OLDEST ? DROP_LOG_BUDGET : DROP_DAMAGED;
    uint8_t fate = FATE_DROPPED + reason;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        uint64_t lost = c->lost[kind];
        if (lost == 0) continue;
        enum err e = window_push_lost(r->window, c->pos, c->segment, kind, lost, fate);
        if (e) return e;
        c->lost[kind] = 0;
        uint64_t news = lost;
        if (c->pos < a->pos) {
            /* With an unlimited margin, items that come without having been counted are news then.
             */
            bool endless = a->margin[kind] == UINT64_MAX;
            news = endless ? 0 : take_part(&a->margin[kind], lost);
        }
        /* Repeats that the store gave may have used up the margin. */
        uint64_t ahead = a->count[kind] > 0 ? (uint64_t)a->count[kind] : 0;
        if (lost - news > ahead) news = lost - ahead;
        assert(news <= lost);
        assert(lost - news <= ahead); /* invariant 3 */
        a->count[kind] -= (int64_t)(lost - news);
        take_news(r, kind, news, 0);
        r->account.fed[kind] += lost;
        save_want(r, SAVE_SOON);
        log_error("relay: part of the log is damaged or missing, its samples are lost for this "
                  "destination",
                  KV("destination", r->settings->name), KV("kind", ledger_kind_word(kind)),
                  KV("items", lost), KV("before_position", c->pos),
                  KV("dropped_as", drop_word(reason)));
    }
    return OK;
}

/* Open items; below 0 by the number of repeats that became dead letters and were counted twice. */
static int64_t
queued(const struct relay *r, enum item_kind kind)
{
    uint64_t open = window_open(r->window, kind);
    /* A chunk that was handed on completely may be gone already. */
    bool begun = r->feed.chunk != NULL && r->feed.next < r->feed.count;
    if (begun && r->feed.chunk->kind == kind) open -= r->feed.untaken;
    int64_t ahead = r->account.ahead.count[kind] > 0 ? r->account.ahead.count[kind] : 0;
    return (int64_t)(open - window_repeats_open(r->window, kind)) + ahead;
}

uint64_t
account_queued(const struct relay *r, enum item_kind kind)
{
    int64_t count = queued(r, kind);
    return count > 0 ? (uint64_t)count : 0;
}

uint64_t
account_taken(const struct relay *r, enum item_kind kind)
{
    int64_t count = queued(r, kind);
    return count < 0 ? r->account.taken[kind] + (uint64_t)-count : r->account.taken[kind];
}

int64_t
account_difference(const struct relay *r, enum item_kind kind)
{
    struct fates fates = r->account.base;
    fates_add(&fates, window_fates(r->window));
    uint64_t settled = fates_settled(&fates, kind) + r->account.replaying[kind];
    return (int64_t)(account_taken(r, kind) - settled - account_queued(r, kind));
}

uint64_t
account_taken_before(const struct relay *r, enum item_kind kind)
{
    return r->account.base_taken[kind] + window_taken_before(r->window, kind);
}

/* --- reading ahead ---------------------------------------------------------------------------- */

static void
read_ahead_end(struct relay *r)
{
    log_items_close(r->account.ahead.log);
    r->account.ahead.log = NULL;
}

/* Forgets the count of items ahead. */
static void
forget(struct relay *r)
{
    read_ahead_end(r);
    r->account.ahead.pos = 0;
    r->account.ahead.lasting = r->account.ahead.blind = false;
    memset(r->account.ahead.count, 0, sizeof r->account.ahead.count);
    memset(r->account.ahead.margin, 0, sizeof r->account.ahead.margin);
}

static enum err
read_ahead_begin(struct relay *r)
{
    struct read_ahead *a = &r->account.ahead;
    assert(!a->blind); /* invariant 1 */
    struct log_items_options options = {
        .wal = r->options.wal,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .cache_bytes = READ_AHEAD_CACHE_BYTES,
    };
    uint64_t pos = a->pos;
    if (pos == 0) pos = r->feed.fill != NULL ? r->state.fill.to_pos : relay_read_pos(r);
    if (a->pos == 0 && r->feed.fill == NULL) options.begin = relay_read_count(r);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && r->feed.hole_pos == pos; kind++) {
        options.begin.of[kind] += r->feed.log_chunk.lost[kind]; /* they are in the margin */
    }
    enum err e = log_items_open(&options, pos, &a->log, NULL);
    if (e == OK) a->pos = pos;
    return e;
}

void
account_saved(struct relay *r)
{
    struct read_ahead *a = &r->account.ahead;
    if (a->log == NULL || !a->lasting) return;
    log_items_pass(a->log, r->state.expected.until_pos, a->chunk.segment);
}

bool
account_read_ahead(struct relay *r)
{
    struct read_ahead *a = &r->account.ahead;
    int64_t now_ns = relay_now_ns(r), end_ns = now_ns + READ_AHEAD_AT_ONCE_MS * NS_PER_MS;
    if (r->feed.state == FEED_GONE && !a->lasting) return false; /* its begin is unknown */
    if (a->blind) return false;
    if (a->log == NULL) {
        bool more = r->feed.log == NULL || wal_end(r->options.wal) > log_items_pos(r->feed.log);
        if (!more || a->behind_ns == 0) a->behind_ns = more ? now_ns : 0;
        bool is_behind = now_ns - a->behind_ns >= READ_AHEAD_AFTER_MS * NS_PER_MS;
        if (!more || (!relay_is_paused(r) && !is_behind)) return false;
    }
    enum err e = a->log == NULL ? read_ahead_begin(r) : OK;
    while (e == OK || e == ERR_CORRUPT) {
        e = log_items_next(a->log, &a->chunk, NULL);
        if (e == OK) {
            uint32_t from = relay_settled_before(r, &a->chunk);
            uint32_t wanted = count_wanted(r, &a->chunk, from, a->log);
            add_margin(r, &a->chunk);
            a->count[a->chunk.kind] += wanted;
            take_news(r, a->chunk.kind, wanted, a->chunk.pos);
            a->pos = a->chunk.end_pos;
            if (a->lasting)
                save_want(r, SAVE_SOON); /* the log is held until the count is saved */
            else
                log_items_pass(a->log, a->chunk.pos, a->chunk.segment);
        }
        if (relay_now_ns(r) >= end_ns) break;
    }
    if (e == ERR_AGAIN) a->pos = log_items_pos(a->log);
    if (e == ERR_MISSING) { /* the log was deleted meanwhile: what was counted is still queued */
        read_ahead_end(r);
        a->blind = true;
        log_warn("relay: log segments were deleted before all of their samples were counted, the "
                 "number of queued samples is too low until they are delivered",
                 KV("destination", r->settings->name), KV("counted_until", a->pos));
    }
    return e == OK || e == ERR_CORRUPT;
}

/* --- the end ---------------------------------------------------------------------------------- */

/*
 * The number of items that the store has lost since the log was followed last: items it counts as
 * gone, and items that were found missing while it was read. This may be too many, never too few:
 * items that it does not explain are lost for another reason, and stay a difference.
 */
static void
lost_since(struct relay *r, struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars)
{
    const struct samples_left_out *met = &r->state.left_out;
    *ret_samples = *ret_exemplars = (struct tsdb_gone){0};
    if (r->options.tsdb == NULL || !r->account.ahead.lasting) return;
    const struct tsdb_gone *s = &r->state.gone, *x = &r->state.gone_exemplars;
    tsdb_gone(r->options.tsdb, ret_samples, ret_exemplars);
    ret_samples->deleted += met->deleted - s->deleted;
    ret_samples->expired -= s->expired;
    ret_samples->superseded += met->beaten - s->superseded;
    ret_samples->damaged -= s->damaged;
    ret_exemplars->deleted += met->exemplars_deleted - x->deleted;
    ret_exemplars->expired -= x->expired;
    ret_exemplars->superseded += met->exemplars_beaten - x->superseded;
    ret_exemplars->damaged -= x->damaged;
}

static void
account_missing(struct relay *r, enum item_kind kind, uint64_t missing, struct tsdb_gone *lost)
{
    uint64_t *fates = r->account.base.count[kind], before = missing;
    uint64_t deleted = take_part(&missing, lost->deleted);
    uint64_t expired = take_part(&missing, lost->expired);
    uint64_t superseded = take_part(&missing, lost->superseded);
    bool lost_more = r->account.met_damage || r->state.log_lost;
    uint64_t damaged = take_part(&missing, lost_more ? missing : lost->damaged);
    lost->deleted -= deleted;
    lost->expired -= expired;
    lost->superseded -= superseded;
    take_part(&lost->damaged, damaged);
    fates[FATE_DROPPED + DROP_DELETED] += deleted;
    fates[FATE_DROPPED + DROP_EXPIRED] += expired;
    fates[FATE_DROPPED + DROP_SUPERSEDED] += superseded;
    fates[FATE_DROPPED + DROP_DAMAGED] += damaged;
    r->account.base_taken[kind] += before;
    log_at(damaged + missing > 0 ? LOG_ERROR : LOG_WARN,
           "relay: queued samples are no longer in the store", KV("destination", r->settings->name),
           KV("items", before), KV("deleted", deleted), KV("expired", expired),
           KV("superseded", superseded), KV("damaged", damaged), KV("unexplained", missing));
}

/* Accounts for items that could not be read from the log and did not come from the store either. */
static void
account_margin(struct relay *r, enum item_kind kind)
{
    uint64_t lost = r->account.ahead.margin[kind];
    if (lost == 0 || lost == UINT64_MAX) return;
    bool all = destination_takes_all(r->settings); /* otherwise it may have wanted none of them */
    log_error("relay: part of the log is damaged, and its samples are not in the store either",
              KV("destination", r->settings->name), KV("items_at_most", lost),
              KV("counted_as_dropped", all));
    if (!all) return;
    r->account.taken[kind] += lost;
    r->account.base_taken[kind] += lost;
    r->account.base.count[kind][FATE_DROPPED + DROP_DAMAGED] += lost;
}

void
account_close(struct relay *r)
{
    struct read_ahead *a = &r->account.ahead;
    if (a->pos == 0 || r->feed.log == NULL || r->feed.hole_pos > 0 || relay_read_pos(r) < a->pos)
        return;
    struct tsdb_gone samples, exemplars;
    lost_since(r, &samples, &exemplars);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        struct tsdb_gone *lost = kind == ITEM_EXEMPLAR ? &exemplars : &samples;
        if (a->count[kind] > 0) account_missing(r, kind, (uint64_t)a->count[kind], lost);
        if (a->lasting) account_margin(r, kind);
    }
    if (a->lasting) save_want(r, SAVE_SOON);
    r->account.met_damage = r->state.log_lost = false;
    r->state.left_out = (struct samples_left_out){0};
    forget(r);
}

/* --- restarts --------------------------------------------------------------------------------- */

void
account_expected(const struct relay *r, const struct fates *before,
                 struct relay_expected *ret_expected)
{
    const struct read_ahead *a = &r->account.ahead;
    *ret_expected = (struct relay_expected){.until_pos = a->lasting ? a->pos : 0};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && a->lasting; kind++) {
        uint64_t settled = fates_settled(before, kind) + before->count[kind][FATE_REPLAYING];
        uint64_t pending = r->account.fed[kind] - settled;
        ret_expected->count[kind] = a->count[kind] + (int64_t)pending;
        ret_expected->margin[kind] = a->margin[kind];
    }
    ret_expected->selection = destination_selection_hash(r->settings);
}

void
account_leave(struct relay *r, const struct fates *before, struct relay_state *next)
{
    struct read_ahead *a = &r->account.ahead;
    uint64_t read_pos = relay_read_pos(r), to_pos = next->fill.to_pos;
    uint64_t counted_pos = a->pos > read_pos ? a->pos : read_pos;
    bool whole = (r->feed.state != FEED_GONE || a->lasting) && !a->blind;
    if (!whole || counted_pos < to_pos) { /* an unknown number may come in addition */
        memset(a->margin, 0xff, sizeof a->margin);
    }
    a->lasting = true;
    a->pos = counted_pos > to_pos ? counted_pos : to_pos;
    account_expected(r, before, &next->expected);
    note_lost_in_store(next, r->account.hole_lost);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        uint64_t lost = r->account.hole_lost[kind];
        next->taken[kind] += lost;
        /* The state's count may be higher; then it includes them. */
        uint64_t counted = account_taken(r, kind) + lost;
        if (lost > 0 && next->counted[kind] < counted) next->counted[kind] = counted;
        next->fates.count[kind][FATE_DROPPED + DROP_DAMAGED] += lost;
    }
    /* Queued metadata is superseded: the store gives the newest of each family. */
    uint64_t waits = account_taken(r, ITEM_METADATA) - account_taken_before(r, ITEM_METADATA);
    next->taken[ITEM_METADATA] += waits;
    next->fates.count[ITEM_METADATA][FATE_DROPPED + DROP_SUPERSEDED] += waits;
    next->expected.count[ITEM_METADATA] = 0;
    next->expected.margin[ITEM_METADATA] = UINT64_MAX;
}

/* The position of the log up to which all items were read or counted. */
static uint64_t
known_pos(const struct relay *r)
{
    uint64_t read_pos = r->feed.fill == NULL ? relay_read_pos(r) : 0;
    return r->account.ahead.pos > read_pos ? r->account.ahead.pos : read_pos;
}

/*
 * The log may have lost its last commits. With a store, the next record shows them as a hole that
 * is then read from the store; without one there is nothing to wait for. True if the loss will be
 * known later.
 */
static bool
waits_for_end(struct relay *r)
{
    struct read_ahead *a = &r->account.ahead;
    struct wal_stats log;
    if (r->feed.log == NULL) return false;
    wal_stats(r->options.wal, &log);
    bool ahead = a->log != NULL && a->pos > relay_read_pos(r);
    uint64_t pos = ahead ? a->pos : relay_read_pos(r);
    struct log_count count = ahead ? *log_items_count(a->log) : relay_read_count(r);
    bool missing = false;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        missing |= log.totals[kind] > count.of[kind];
    if (!missing || !count.known || pos < log.end_pos) return false;
    if (r->options.tsdb != NULL) return true;
    if (relay_read_pos(r) < log.end_pos) return true; /* the rest of the log is read first */
    log_items_pass_lost(r->feed.log, log.totals);
    if (a->log != NULL) log_items_pass_lost(a->log, log.totals);
    return false;
}

/*
 * Some items that the log cannot give may come from the store. Items that the state has counted and
 * this run has not are no longer selected, if the settings have changed, or were lost with the log.
 */
void
account_found(struct relay *r)
{
    if (r->account.is_whole || known_pos(r) < r->account.whole_from_pos) return;
    if (r->feed.hole_pos > 0 || waits_for_end(r)) return;
    r->account.is_whole = true;
    bool same =
        r->state.counted_pos == 0 || r->state.selection == destination_selection_hash(r->settings);
    uint8_t fate = FATE_DROPPED + (same ? DROP_DAMAGED : DROP_BY_OPERATOR);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t found = account_taken(r, kind) - r->account.taken_since[kind];
        if (r->account.ahead.margin[kind] != 0 || found >= r->account.known[kind]) continue;
        uint64_t lost = r->account.known[kind] - found;
        r->account.taken[kind] += lost;
        r->account.base_taken[kind] += lost;
        r->account.base.count[kind][fate] += lost;
        save_want(r, SAVE_SOON);
        if (same) {
            log_error("relay: queued samples are no longer in the log (removed, or restored "
                      "from an older copy), counting them as dropped",
                      KV("destination", r->settings->name), KV("kind", item_kind_word(kind)),
                      KV("items", lost));
        } else {
            log_warn("relay: queued samples are no longer selected, counting them as dropped",
                     KV("destination", r->settings->name), KV("kind", item_kind_word(kind)),
                     KV("items", lost));
        }
    }
}

void
account_counted(const struct relay *r, uint64_t ret_counted[ITEM_KIND_COUNT])
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t taken = account_taken(r, kind), before = r->state.counted[kind];
        bool is_whole = r->account.is_whole && r->account.ahead.margin[kind] == 0;
        ret_counted[kind] = is_whole || taken > before ? taken : before;
    }
}

void
account_remember(const struct relay *r, struct relay_state *next)
{
    struct wal_stats log;
    wal_stats(r->options.wal, &log);
    account_counted(r, next->counted);
    next->log_totals.known = true;
    memcpy(next->log_totals.of, log.totals, sizeof log.totals);
    /* The state's count goes further than this run's, or less far. */
    uint64_t pos = known_pos(r), before_pos = r->state.counted_pos;
    if (r->account.is_whole || (before_pos != 0 && before_pos < pos)) next->counted_pos = pos;
    if (r->account.is_whole) next->selection = destination_selection_hash(r->settings);
}

void
account_begin(struct relay *r)
{
    const struct relay_expected *expected = &r->state.expected;
    r->account.base = r->state.fates;
    r->account.whole_from_pos = r->account.known_pos = wal_end(r->options.wal);
    memcpy(r->account.known, r->state.counted, sizeof r->account.known);
    if (r->state.counted_pos != 0 && r->state.counted_pos < r->account.known_pos) {
        r->account.known_pos = r->state.counted_pos;
    }
    chunk_init(&r->account.ahead.chunk, r->options.memory);
    memcpy(r->account.taken, r->state.taken, sizeof r->account.taken);
    memcpy(r->account.base_taken, r->state.taken, sizeof r->account.base_taken);
    if (expected->until_pos == 0) return;
    /* The count was made for another selection. */
    if (expected->selection != destination_selection_hash(r->settings)) return;
    r->account.ahead.pos = expected->until_pos;
    r->account.ahead.lasting = true;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        if (expected->count[kind] > 0) r->account.ahead.count[kind] = expected->count[kind];
        r->account.taken[kind] += (uint64_t)r->account.ahead.count[kind];
        r->account.ahead.margin[kind] = expected->margin[kind];
    }
    err_ignore(read_ahead_begin(r), "tried again later; begun now so that it holds the log");
}

void
account_end(struct relay *r)
{
    bool met_damage = r->account.met_damage;
    if (r->feed.fill != NULL) {
        met_damage |= fill_met_damage(r->feed.fill);
        fill_left_out(r->feed.fill, &r->state.left_out);
    }
    forget(r);
    chunk_fini(&r->account.ahead.chunk);
    r->account = (struct account){.met_damage = met_damage};
}
