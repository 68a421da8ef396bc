/*
 * account.c - what a destination has taken: all it wants of the log, whether it was read yet or
 * not.
 *
 * What waits behind the point that reading has reached is counted by a second reader, the scout. It
 * sets out when the relay has been behind for a moment, and is gone when the relay has caught up
 * with it: then everything it counted has come by.
 *
 * Should the log be given up meanwhile, and the rest be had from the store, the count outlives
 * restarts, and what the store has no more is the difference when the log is reached again.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/relay_private.h"

enum { SCOUT_AFTER_MS = 1000, SCOUT_AT_ONCE_MS = 5, SCOUT_CACHE_BYTES = 64 * 1024 };

static uint32_t
count_wanted(struct relay *r, const struct chunk *c, uint32_t from, struct source *source)
{
    uint32_t wanted = 0;
    for (uint32_t i = from; i < c->count; i++) {
        wanted += relay_takes(r, c, i, source);
    }
    return wanted;
}

void
account_chunk(struct relay *r)
{
    const struct chunk *c = r->chunk;
    struct ahead *a = &r->ahead;
    uint32_t from = r->chunk_next + r->chunk_over;
    uint32_t wanted = count_wanted(r, c, from, r->source);
    r->chunk_untaken = c->count - from - wanted;
    r->fed[c->kind] += wanted;
    bool counted = c->filled ? a->lasting : c->pos < a->pos;
    if (counted) a->count[c->kind] -= wanted;
}

uint64_t
account_queued(const struct relay *r, enum item_kind kind)
{
    uint64_t queued = window_open(r->window, kind);
    /* One that is fed whole may be gone already. */
    bool begun = r->chunk != NULL && r->chunk_next < r->chunk_count;
    if (begun && r->chunk->kind == kind) queued -= r->chunk_untaken;
    return r->ahead.count[kind] > 0 ? queued + (uint64_t)r->ahead.count[kind] : queued;
}

/* --- the scout -------------------------------------------------------------------------------- */

static void
scout_end(struct relay *r)
{
    source_close(r->ahead.scout);
    r->ahead.scout = NULL;
}

/* Nothing is known of what waits. */
static void
forget(struct relay *r)
{
    scout_end(r);
    r->ahead.pos = 0;
    r->ahead.lasting = false;
    memset(r->ahead.count, 0, sizeof r->ahead.count);
}

static bool
is_behind(struct relay *r, int64_t now_ns)
{
    struct ahead *a = &r->ahead;
    bool more = r->source == NULL || wal_end(r->options.wal) > source_pos(r->source);
    if (!more) a->behind_ns = 0;
    if (more && a->behind_ns == 0) a->behind_ns = now_ns;
    return more && now_ns - a->behind_ns >= SCOUT_AFTER_MS * NS_PER_MS;
}

static enum err
scout_begin(struct relay *r)
{
    struct ahead *a = &r->ahead;
    struct source_options options = {
        .wal = r->options.wal,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .cache_bytes = SCOUT_CACHE_BYTES,
    };
    uint64_t pos = a->pos;
    if (pos == 0) pos = r->fill != NULL ? r->state.fill.to_pos : relay_read_pos(r);
    enum err e = source_open(&options, pos, &a->scout, NULL);
    if (e == OK) a->pos = pos;
    return e;
}

static void
count_ahead(struct relay *r)
{
    struct ahead *a = &r->ahead;
    uint32_t from = relay_settled_before(r, &a->chunk);
    a->count[a->chunk.kind] += count_wanted(r, &a->chunk, from, a->scout);
    a->pos = a->chunk.end_pos;
    if (a->lasting)
        r->dirty = true; /* what is saved says how far: until then the log stays */
    else
        source_pass(a->scout, a->chunk.pos, a->chunk.segment);
}

void
account_saved(struct relay *r)
{
    struct ahead *a = &r->ahead;
    if (a->scout == NULL || !a->lasting) return;
    source_pass(a->scout, r->state.expected.until_pos, a->chunk.segment);
}

bool
account_scout(struct relay *r)
{
    struct ahead *a = &r->ahead;
    int64_t now_ns = relay_now_ns(r), end_ns = now_ns + SCOUT_AT_ONCE_MS * NS_PER_MS;
    if (r->gone && !a->lasting) return false; /* from where nobody knows */
    if (a->scout == NULL && !is_behind(r, now_ns)) return false;
    enum err e = a->scout == NULL ? scout_begin(r) : OK;
    while (e == OK || e == ERR_CORRUPT) {
        e = source_next(a->scout, &a->chunk, NULL);
        if (e == OK) count_ahead(r);
        if (relay_now_ns(r) >= end_ns) break;
    }
    if (e == ERR_AGAIN) a->pos = source_pos(a->scout);
    if (e == ERR_MISSING) forget(r); /* the log went away under it */
    return e == OK || e == ERR_CORRUPT;
}

/* --- the end ---------------------------------------------------------------------------------- */

static uint64_t
take_part(uint64_t *left, uint64_t most)
{
    uint64_t n = *left < most ? *left : most;
    *left -= n;
    return n;
}

/* What the store has lost since the log was followed last, as far as it explains this. If nothing
 * of it is damaged, the rest came twice: in parts that are not merged yet, nobody has counted that.
 */
static void
account_missing(struct relay *r, enum item_kind kind, uint64_t missing, struct tsdb_gone *lost)
{
    uint64_t *fates = r->base.count[kind], before = missing;
    if (kind == ITEM_METADATA) { /* the store has the newest of each family */
        fates[FATE_DROPPED + DROP_SUPERSEDED] += missing;
        return;
    }
    uint64_t deleted = take_part(&missing, lost->deleted);
    uint64_t expired = take_part(&missing, lost->expired);
    uint64_t superseded = take_part(&missing, lost->superseded);
    lost->deleted -= deleted;
    lost->expired -= expired;
    lost->superseded -= superseded;
    fates[FATE_DROPPED + DROP_DELETED] += deleted;
    fates[FATE_DROPPED + DROP_EXPIRED] += expired;
    if (!r->met_damage) superseded += take_part(&missing, missing);
    fates[FATE_DROPPED + DROP_SUPERSEDED] += superseded;
    fates[FATE_DROPPED + DROP_DAMAGED] += missing;
    log_warn("relay: what waited for long is no more in the store",
             KV("destination", r->settings->name), KV("items", before), KV("deleted", deleted),
             KV("expired", expired), KV("superseded", superseded), KV("damaged", missing));
}

static void
lost_since(const struct relay *r, struct tsdb_gone *ret_lost)
{
    *ret_lost = (struct tsdb_gone){0, 0, 0};
    if (r->options.tsdb == NULL || !r->ahead.lasting) return;
    tsdb_gone(r->options.tsdb, ret_lost);
    ret_lost->deleted -= r->state.gone.deleted;
    ret_lost->expired -= r->state.gone.expired;
    ret_lost->superseded -= r->state.gone.superseded;
}

/*
 * What the store gave once more counts once. Mostly that was delivered; what was not is most likely
 * what a table is too young for, or was refused. Nothing is counted off below nothing.
 */
static void
account_repeats(struct relay *r, enum item_kind kind, uint64_t repeats)
{
    static const uint8_t order[] = {FATE_DELIVERED, FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION,
                                    FATE_DROPPED + DROP_UNREPRESENTABLE};
    if (kind == ITEM_FLOAT || kind == ITEM_HISTOGRAM) r->state.repeats_total += repeats;
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
        uint64_t all =
            r->base.count[kind][order[i]] + window_fates(r->window)->count[kind][order[i]];
        uint64_t part = take_part(&repeats, all);
        r->base.count[kind][order[i]] -= part;
    }
}

void
account_close(struct relay *r)
{
    struct ahead *a = &r->ahead;
    if (a->pos == 0 || r->source == NULL || r->chunk_read || relay_read_pos(r) < a->pos) return;
    struct tsdb_gone lost;
    lost_since(r, &lost);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        if (a->count[kind] > 0) account_missing(r, kind, (uint64_t)a->count[kind], &lost);
        /* Of parts that reach beyond the stretch. */
        if (a->count[kind] < 0) account_repeats(r, kind, (uint64_t)-a->count[kind]);
    }
    r->dirty |= a->lasting;
    r->met_damage = false;
    forget(r);
}

/* --- restarts --------------------------------------------------------------------------------- */

void
account_expected(const struct relay *r, const struct fates *before,
                 struct relay_expected *ret_expected)
{
    const struct ahead *a = &r->ahead;
    *ret_expected = (struct relay_expected){.until_pos = a->lasting ? a->pos : 0};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && a->lasting; kind++) {
        uint64_t settled = fates_settled(before, kind) + before->count[kind][FATE_REPLAYING];
        uint64_t under_way = r->fed[kind] - settled;
        ret_expected->count[kind] = a->count[kind] + (int64_t)under_way;
    }
    ret_expected->selection = destination_selection_hash(r->settings);
}

void
account_begin(struct relay *r)
{
    const struct relay_expected *expected = &r->state.expected;
    chunk_init(&r->ahead.chunk, r->options.memory);
    if (expected->until_pos == 0) return;
    /* Who wants other series now was not counted for. */
    if (expected->selection != destination_selection_hash(r->settings)) return;
    r->ahead.pos = expected->until_pos;
    r->ahead.lasting = true;
    memcpy(r->ahead.count, expected->count, sizeof r->ahead.count);
    err_ignore(scout_begin(r), "tried again; but it holds the log from there on");
}

void
account_end(struct relay *r)
{
    forget(r);
    chunk_fini(&r->ahead.chunk);
    memset(&r->ahead, 0, sizeof r->ahead);
}
