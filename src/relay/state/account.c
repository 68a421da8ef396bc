/*
 * account.c - see account.h, which has the equation.
 *
 * Each side of it is counted where it happens. `taken` grows when an item is read for the first
 * time, by the reader or ahead of it; the fates grow when an item is settled (window.c); `queued`
 * has the open items of the window and those that were counted ahead. So the equation can fail, and
 * a difference shows a bug or damage.
 *
 * The log's own totals (log_items.c) show whether it was read completely: items that they count and
 * that could not be read are lost. The store may have them, if there is one.
 *
 * An item after the cursor has one owner at each moment: the window, from the reading of its record
 * on; before that the count of the reader ahead, or its margin if the record could not be read.
 * Items of a hole that the store lacks go from count and margin to the fates, as dropped, when the
 * cursor passes the hole; all others stay in count and margin until they come from the store, or
 * the count is closed.
 *
 * Items after the reading position are counted by a second reader of the log, which reads ahead. It
 * starts when the relay has lagged for a moment, or is paused, and ends when the relay has caught
 * up with it: then all items that it counted were read.
 *
 * If the log is given up meanwhile and the rest is read from the store, the count outlives
 * restarts. The remainder when the log is reached again is the number of items that the store no
 * longer had.
 *
 * Holes are parts of the log that cannot be read. The store knows which bytes of the log it could
 * not read either when it was opened (tsdb_lacks()): items there are counted as lost, and reading
 * goes on. At any other hole reading waits until parts reach beyond it, and everything from the
 * cursor on is read from parts (catch_up.c). The reader ahead passes over holes, and adds the
 * number of their items to the margin: at most so many items may come that it has not counted. Once
 * damage was met, what remains of the count when it is closed is lost to damage (`log_lost` of the
 * state); without damage the store's account must explain it.
 *
 * The equation is not asserted as an invariant, because damage breaks it. Invariants:
 * 1. A reader ahead exists only while the log can be counted: `blind` excludes it.
 * 2. A chunk adds at most its wanted items: `news` is at most `wanted`, and the number counted in
 *    advance falls by the rest.
 * 3. A lost item is either new or was counted in advance, never both.
 * 4. An item before ahead.pos is counted once: if it was read then, in ahead.count, else in the
 *    margin, at the latest when the end of the log is reached (whole_pos <= pos). So the log is
 *    left only if whole_pos is not before the end of the parts, and items are counted as lost only
 *    when nothing, or all up to them, is counted in advance.
 * 5. The count is closed only when reading has passed all holes before its end.
 * 6. With a store, items are counted as lost only while no earlier item is open: the cursor passes
 *    them at once, so a run that begins from an earlier state meets all of the hole again.
 */
#include "relay/state/account.h"

#include <assert.h>

#include "base/log.h"

enum { READ_AHEAD_AFTER_MS = 1000, READ_AHEAD_AT_ONCE_MS = 5, READ_AHEAD_CACHE_BYTES = 64 * 1024 };

void
account_init(struct account *account, const struct relay_context *context, struct feed *feed,
             struct saving *saving)
{
    *account = (struct account){.context = context, .feed = feed, .saving = saving};
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Counts items that are taken for the first time, at `pos` of the log, or 0 for the store's. */
static void
take_news(struct account *account, unsigned kind, uint64_t count, uint64_t pos)
{
    account->taken[kind] += count;
    if (pos >= account->known_pos) account->taken_since[kind] += count;
}

static uint64_t
take_part(uint64_t *left, uint64_t most)
{
    uint64_t n = *left < most ? *left : most;
    *left -= n;
    return n;
}

uint32_t
account_chunk(struct account *account)
{
    const struct feed *feed = account->feed;
    const struct chunk *c = feed->chunk;
    struct read_ahead *a = &account->ahead;
    uint32_t from = feed->next + feed->over;
    uint32_t wanted = feed_count_wanted(feed, c, from, NULL), news = wanted;
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
        window_note_taken(account->window, wanted, more - news);
        account->fed[c->kind] += wanted - (more - news);
    } else {
        window_note_taken(account->window, wanted, 0);
        account->fed[c->kind] += wanted;
    }
    take_news(account, c->kind, news, c->filled ? 0 : c->pos);
    return c->count - from - wanted;
}

bool
account_is_ahead(const struct account *account, const struct chunk *c)
{
    const struct read_ahead *a = &account->ahead;
    return a->pos == 0 || a->blind || a->pos > c->pos;
}

bool
account_knows(const struct account *account, uint64_t pos)
{
    const struct read_ahead *a = &account->ahead;
    assert(a->whole_pos <= a->pos); /* invariant 4 */
    return a->blind || feed_read_pos(account->feed) >= pos || a->whole_pos >= pos;
}

/*
 * The items are gone; it is unknown whether the destination wanted all of them. Items that the
 * reader ahead could not read either are in no count so far.
 */
enum err
account_lost(struct account *account, const struct chunk *c, unsigned kind)
{
    struct read_ahead *a = &account->ahead;
    assert(account_is_ahead(account, c)); /* invariant 4 */
    for (unsigned k = 0; k < ITEM_KIND_COUNT && account->context->options.tsdb != NULL; k++)
        assert(account->window->open[k] == 0); /* invariant 6 */
    /* Before the first record that is read, the log has removed its oldest ones. */
    bool oldest = account->feed->state == FEED_OLDEST;
    enum drop reason = oldest ? DROP_LOG_BUDGET : DROP_DAMAGED;
    uint64_t lost = c->lost[kind], news = lost;
    enum err e = window_push_lost(account->window, c->pos, c->segment, kind, lost,
                                  (uint8_t)(FATE_DROPPED + reason));
    if (e) return e;
    if (c->pos < a->pos) {
        uint64_t ahead = a->count[kind] > 0 ? (uint64_t)a->count[kind] : 0;
        uint64_t least = lost > ahead ? lost - ahead : 0;
        news = a->margin[kind] == UINT64_MAX ? least : take_part(&a->margin[kind], lost);
        if (news < least) news = least; /* repeats of the store may have used up the margin */
        a->count[kind] -= (int64_t)(lost - news);
    }
    assert(news <= lost); /* invariant 3 */
    take_news(account, kind, news, oldest ? 0 : account->feed->hole.begin_pos);
    account->fed[kind] += lost;
    save_want(account->saving, SAVE_SOON);
    log_error("relay: part of the log is damaged or missing, its samples are lost for this "
              "destination",
              KV("destination", account->context->settings->name),
              KV("kind", ledger_kind_word(kind)), KV("items", lost), KV("before_position", c->pos),
              KV("dropped_as", drop_word(reason)));
    return OK;
}

/* Open items; below 0 by the number of repeats that became dead letters and were counted twice. */
static int64_t
queued(const struct account *account, enum item_kind kind)
{
    uint64_t open = account->window->open[kind];
    /* A chunk that was handed on completely may be gone already. */
    const struct feed *feed = account->feed;
    bool begun = feed->chunk != NULL && feed->next < feed->count;
    if (begun && feed->chunk->kind == kind) open -= feed->untaken;
    int64_t ahead = account->ahead.count[kind] > 0 ? account->ahead.count[kind] : 0;
    return (int64_t)(open - account->window->repeats_open[kind]) + ahead;
}

uint64_t
account_queued(const struct account *account, enum item_kind kind)
{
    int64_t count = queued(account, kind);
    return count > 0 ? (uint64_t)count : 0;
}

uint64_t
account_taken(const struct account *account, enum item_kind kind)
{
    int64_t count = queued(account, kind);
    return count < 0 ? account->taken[kind] + (uint64_t)-count : account->taken[kind];
}

int64_t
account_difference(const struct account *account, enum item_kind kind)
{
    struct fates fates = account->base;
    fates_add(&fates, &account->window->all);
    uint64_t settled = fates_settled(&fates, kind);
    return (int64_t)(account_taken(account, kind) - settled - account_queued(account, kind));
}

uint64_t
account_taken_before(const struct account *account, enum item_kind kind)
{
    return account->base_taken[kind] + window_taken_before(account->window, kind);
}

/* --- reading ahead ---------------------------------------------------------------------------- */

static void
read_ahead_end(struct account *account)
{
    log_items_close(account->ahead.log);
    account->ahead.log = NULL;
}

/* Forgets the count of items ahead. */
static void
forget(struct account *account)
{
    read_ahead_end(account);
    account->ahead.pos = account->ahead.whole_pos = 0;
    account->ahead.lasting = account->ahead.blind = account->ahead.met_damage = false;
    memset(account->ahead.count, 0, sizeof account->ahead.count);
    memset(account->ahead.margin, 0, sizeof account->ahead.margin);
}

static enum err
read_ahead_begin(struct account *account, const struct relay_state *state)
{
    struct read_ahead *a = &account->ahead;
    const struct feed *feed = account->feed;
    const struct relay_context *c = account->context;
    assert(!a->blind); /* invariant 1 */
    struct log_items_options options = {
        .wal = c->options.wal,
        .name = c->settings->name,
        .selection = c->selection,
        .memory = c->options.memory,
        .cache_bytes = READ_AHEAD_CACHE_BYTES,
    };
    uint64_t pos = a->pos;
    if (pos == 0) pos = feed_reads_store(feed) ? state->fill.to_pos : feed_read_pos(feed);
    if (a->pos != 0) options.begin = a->log_count;
    if (a->pos == 0 && !feed_reads_store(feed)) options.begin = feed_read_count(feed);
    enum err e = log_items_open(&options, pos, &a->log, NULL);
    if (e != OK) return e;
    a->pos = pos;
    a->log_count = options.begin;
    return OK;
}

/* Notes the position up to which items are counted. */
static void
note_pos(struct read_ahead *a, uint64_t pos)
{
    a->pos = pos;
    a->log_count = *log_items_count(a->log);
}

void
account_saved(struct account *account, const struct relay_state *state)
{
    struct read_ahead *a = &account->ahead;
    if (a->log == NULL || !a->lasting) return;
    log_items_pass(a->log, state->expected.until_pos, a->chunk.segment);
}

bool
account_read_ahead(struct account *account, const struct relay_state *state, bool is_paused)
{
    struct read_ahead *a = &account->ahead;
    const struct feed *feed = account->feed;
    int64_t now_ns = relay_now_ns(account->context);
    int64_t end_ns = now_ns + READ_AHEAD_AT_ONCE_MS * NS_PER_MS;
    if (feed->state == FEED_GONE && !a->lasting) return false; /* its start is unknown */
    if (a->blind) return false;
    if (a->log == NULL) { /* begins now if the relay has lagged for a while, or is paused */
        bool more = !feed_reads_log(feed) || feed->hole.begin_pos != 0 ||
                    wal_end(account->context->options.wal) > log_items_pos(feed->log);
        if (!more || a->behind_ns == 0) a->behind_ns = more ? now_ns : 0;
        bool lags = now_ns - a->behind_ns >= READ_AHEAD_AFTER_MS * NS_PER_MS;
        if (!more || (!is_paused && !lags)) return false;
    }
    enum err e = a->log == NULL ? read_ahead_begin(account, state) : OK;
    while (e == OK || e == ERR_CORRUPT) {
        e = log_items_next(a->log, &a->chunk, NULL);
        bool damaged = e == ERR_CORRUPT && log_items_pos(a->log) > a->pos;
        a->met_damage |= damaged;
        if (damaged && !log_items_count(a->log)->known)
            memset(a->margin, 0xff, sizeof a->margin); /* no totals will show what is lost */
        if (e == OK) {
            uint32_t from = feed_settled_before(feed, &a->chunk);
            uint32_t wanted = feed_count_wanted(feed, &a->chunk, from, a->log);
            /* Adds the lost items before a chunk, which are in no count so far. */
            for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
                if (account->ahead.margin[kind] != UINT64_MAX)
                    account->ahead.margin[kind] += a->chunk.lost[kind];
            a->count[a->chunk.kind] += wanted;
            take_news(account, a->chunk.kind, wanted, a->chunk.pos);
            note_pos(a, a->chunk.end_pos);
            if (a->lasting)
                save_want(account->saving,
                          SAVE_SOON); /* the log keeps what is counted until the count is saved */
            else
                log_items_pass(a->log, a->chunk.pos, a->chunk.segment);
        }
        if (relay_now_ns(account->context) >= end_ns) break;
    }
    if (e == ERR_AGAIN) { /* the end of the log */
        struct wal_stats log;
        note_pos(a, log_items_pos(a->log));
        wal_stats(account->context->options.wal, &log);
        /* No record after damage there shows how much is lost; the log's totals do. Without a store
         * the next record does. */
        if (account->context->options.tsdb == NULL || a->pos < log.end_pos) return false;
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && a->log_count.known; kind++) {
            uint64_t total = log.totals[kind], count = a->log_count.of[kind];
            if (total > count && a->margin[kind] != UINT64_MAX) a->margin[kind] += total - count;
        }
        log_items_pass_lost(a->log, log.totals);
        note_pos(a, a->pos);
        a->whole_pos = a->pos;
    }
    if (e == ERR_MISSING) { /* the log was deleted meanwhile: counted items are still queued */
        read_ahead_end(account);
        a->blind = true;
        log_warn("relay: log segments were deleted before all of their samples were counted, the "
                 "number of queued samples is too low until they are delivered",
                 KV("destination", account->context->settings->name), KV("counted_until", a->pos));
    }
    return e == OK || e == ERR_CORRUPT;
}

/* --- differences of the account --------------------------------------------------------------- */

/*
 * The number of items that the store has lost since the log was followed last: items it counts as
 * gone, and items that were found missing while it was read. This may be too many, never too few:
 * items that it does not explain are lost for another reason, and stay a difference.
 */
static void
lost_since(const struct account *account, const struct relay_state *state,
           struct tsdb_gone *ret_samples, struct tsdb_gone *ret_exemplars)
{
    const struct samples_left_out *met = &state->left_out;
    *ret_samples = *ret_exemplars = (struct tsdb_gone){0};
    struct tsdb *tsdb = account->context->options.tsdb;
    if (tsdb == NULL || !account->ahead.lasting) return;
    const struct tsdb_gone *s = &state->gone, *x = &state->gone_exemplars;
    tsdb_gone(tsdb, ret_samples, ret_exemplars);
    ret_samples->deleted += met->deleted - s->deleted;
    ret_samples->expired -= s->expired;
    ret_samples->superseded += met->superseded - s->superseded;
    ret_samples->damaged -= s->damaged;
    ret_exemplars->deleted += met->exemplars_deleted - x->deleted;
    ret_exemplars->expired -= x->expired;
    ret_exemplars->superseded += met->exemplars_superseded - x->superseded;
    ret_exemplars->damaged -= x->damaged;
}

static void
account_missing(struct account *account, const struct relay_state *state, enum item_kind kind,
                uint64_t missing, struct tsdb_gone *lost)
{
    uint64_t *fates = account->base.count[kind], before = missing;
    uint64_t deleted = take_part(&missing, lost->deleted);
    uint64_t expired = take_part(&missing, lost->expired);
    uint64_t superseded = take_part(&missing, lost->superseded);
    bool lost_more = account->found_damage || account->ahead.met_damage || state->log_lost;
    uint64_t damaged = take_part(&missing, lost_more ? missing : lost->damaged);
    lost->deleted -= deleted;
    lost->expired -= expired;
    lost->superseded -= superseded;
    take_part(&lost->damaged, damaged);
    fates[FATE_DROPPED + DROP_DELETED] += deleted;
    fates[FATE_DROPPED + DROP_EXPIRED] += expired;
    fates[FATE_DROPPED + DROP_SUPERSEDED] += superseded;
    fates[FATE_DROPPED + DROP_DAMAGED] += damaged;
    account->base_taken[kind] += before;
    log_at(damaged + missing > 0 ? LOG_ERROR : LOG_WARN,
           "relay: queued samples are no longer in the store",
           KV("destination", account->context->settings->name), KV("items", before),
           KV("deleted", deleted), KV("expired", expired), KV("superseded", superseded),
           KV("damaged", damaged), KV("unexplained", missing));
}

/* True if the log had accepted more items at `end` than those up to `count`: it has lost them at
 * its end, and the next record shows how many. */
static bool
is_short_of(const struct log_count *count, const struct log_count *end)
{
    bool is_short = false;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && count->known && end->known; kind++)
        is_short |= count->of[kind] < end->of[kind];
    return is_short;
}

void
account_close(struct account *account, struct relay_state *state)
{
    struct read_ahead *a = &account->ahead;
    const struct feed *feed = account->feed;
    /* Invariant 5: reading has reached the end of the count, and misses nothing before it. */
    if (a->pos == 0 || !feed_reads_log(feed) || feed_read_pos(feed) < a->pos) return;
    if (feed->hole.begin_pos != 0 && feed->hole.begin_pos < a->pos) return;
    struct log_count count = feed_read_count(feed);
    bool waits = a->lasting && account->context->options.tsdb != NULL;
    if (waits && is_short_of(&count, &a->log_count)) return;
    struct tsdb_gone samples, exemplars;
    lost_since(account, state, &samples, &exemplars);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        struct tsdb_gone *lost = kind == ITEM_EXEMPLAR ? &exemplars : &samples;
        if (a->count[kind] > 0)
            account_missing(account, state, kind, (uint64_t)a->count[kind], lost);
        /* Items that could not be read from the log and did not come from the store either. */
        uint64_t most = a->margin[kind];
        if (!a->lasting || most == 0 || most == UINT64_MAX) continue;
        bool all = destination_takes_all(account->context->settings); /* else perhaps none */
        log_error("relay: part of the log is damaged, and its samples are not in the store either",
                  KV("destination", account->context->settings->name), KV("items_at_most", most),
                  KV("counted_as_dropped", all));
        if (!all) continue;
        account->taken[kind] += most;
        account->base_taken[kind] += most;
        account->base.count[kind][FATE_DROPPED + DROP_DAMAGED] += most;
    }
    if (a->lasting) save_want(account->saving, SAVE_SOON);
    account->found_damage = state->log_lost = false;
    state->left_out = (struct samples_left_out){0};
    forget(account);
}

void
account_move(struct account *account, enum item_kind kind, unsigned from, unsigned to,
             uint64_t count)
{
    account->base.count[kind][from] -= count;
    account->base.count[kind][to] += count;
}

/* --- restarts --------------------------------------------------------------------------------- */

void
account_expected(const struct account *account, const struct fates *before,
                 struct relay_expected *ret_expected)
{
    const struct read_ahead *a = &account->ahead;
    *ret_expected = (struct relay_expected){.until_pos = a->lasting ? a->pos : 0};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && a->lasting; kind++) {
        uint64_t settled = fates_settled(before, kind);
        uint64_t pending = account->fed[kind] - settled;
        ret_expected->count[kind] = a->count[kind] + (int64_t)pending;
        ret_expected->margin[kind] = a->margin[kind];
    }
    if (a->lasting) ret_expected->log_count = a->log_count;
    ret_expected->selection = destination_selection_hash(account->context->settings);
}

void
account_widen(const struct log_count *to, struct log_count *count, uint64_t margin[ITEM_KIND_COUNT])
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        if (!to->known || !count->known || to->of[kind] < count->of[kind])
            margin[kind] = UINT64_MAX;
        else if (margin[kind] != UINT64_MAX)
            margin[kind] += to->of[kind] - count->of[kind];
    *count = *to;
}

void
account_leave(struct account *account, const struct fates *before, struct relay_state *next)
{
    struct read_ahead *a = &account->ahead;
    uint64_t read_pos = feed_read_pos(account->feed), to_pos = next->fill.to_pos;
    uint64_t counted_pos = a->pos > read_pos ? a->pos : read_pos;
    if (read_pos > a->pos) a->log_count = feed_read_count(account->feed);
    if (counted_pos < to_pos)
        account_widen(&next->log_count, &a->log_count, a->margin);
    else if ((account->feed->state == FEED_GONE && !a->lasting) || a->blind)
        memset(a->margin, 0xff, sizeof a->margin); /* an unknown number may come in addition */
    a->lasting = true;
    a->met_damage |= account->feed->hole_pos > 0 || account->feed->reload_pos > 0;
    next->log_lost |= a->met_damage;
    a->pos = counted_pos > to_pos ? counted_pos : to_pos;
    account_expected(account, before, &next->expected);
    /* Queued metadata is superseded: the store gives the newest of each family. */
    uint64_t waits =
        account_taken(account, ITEM_METADATA) - account_taken_before(account, ITEM_METADATA);
    next->taken[ITEM_METADATA] += waits;
    next->fates.count[ITEM_METADATA][FATE_DROPPED + DROP_SUPERSEDED] += waits;
    next->expected.count[ITEM_METADATA] = 0;
    next->expected.margin[ITEM_METADATA] = UINT64_MAX;
}

/* The position of the log up to which all items were read or counted, and their number. */
static uint64_t
known_pos(const struct account *account, struct log_count *ret_count)
{
    const struct read_ahead *a = &account->ahead;
    uint64_t read_pos = feed_reads_log(account->feed) ? feed_read_pos(account->feed) : 0;
    bool ahead = a->pos > read_pos || !feed_reads_log(account->feed);
    *ret_count = ahead ? a->log_count : feed_read_count(account->feed);
    return ahead ? a->pos : read_pos;
}

/* True if all that the log had at the start of the run was read, was counted, or is lost. */
static bool
knows_all(struct account *account)
{
    struct log_count count;
    struct feed *feed = account->feed;
    if (known_pos(account, &count) < account->whole_from_pos) return false;
    if (feed->hole_pos > 0 || feed->hole.begin_pos != 0) return false;
    if (!is_short_of(&count, &account->whole_count)) return true;
    if (account->context->options.tsdb != NULL || !feed_reads_log(feed)) return false;
    if (feed_read_pos(feed) < account->whole_from_pos) return false;
    /* Without a store there is nothing to wait for. */
    log_items_pass_lost(feed->log, account->whole_count.of);
    if (account->ahead.log != NULL)
        log_items_pass_lost(account->ahead.log, account->whole_count.of);
    return true;
}

/*
 * Some items that the log cannot give may come from the store. Items that the state has counted and
 * this run has not are no longer selected, if the settings have changed, or were lost with the log.
 */
void
account_found(struct account *account, const struct relay_state *state)
{
    if (account->is_whole || !knows_all(account)) return;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        if (account->ahead.margin[kind] != 0) return; /* more items may come, or be lost */
    account->is_whole = true;
    bool same = state->counted_pos == 0 ||
                state->selection == destination_selection_hash(account->context->settings);
    uint8_t fate = FATE_DROPPED + (same ? DROP_DAMAGED : DROP_BY_OPERATOR);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t found = account_taken(account, kind) - account->taken_since[kind];
        if (account->ahead.margin[kind] != 0 || found >= account->known[kind]) continue;
        uint64_t lost = account->known[kind] - found;
        account->taken[kind] += lost;
        account->base_taken[kind] += lost;
        account->base.count[kind][fate] += lost;
        save_want(account->saving, SAVE_SOON);
        if (same) {
            log_error("relay: queued samples are no longer in the log (removed, or restored "
                      "from an older copy), counting them as dropped",
                      KV("destination", account->context->settings->name),
                      KV("kind", item_kind_word(kind)), KV("items", lost));
        } else {
            log_warn("relay: queued samples are no longer selected, counting them as dropped",
                     KV("destination", account->context->settings->name),
                     KV("kind", item_kind_word(kind)), KV("items", lost));
        }
    }
}

void
account_counted(const struct account *account, const struct relay_state *state,
                uint64_t ret_counted[ITEM_KIND_COUNT])
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t taken = account_taken(account, kind), before = state->counted[kind];
        bool is_whole = account->is_whole && account->ahead.margin[kind] == 0;
        ret_counted[kind] = is_whole || taken > before ? taken : before;
    }
}

void
account_remember(const struct account *account, struct relay_state *next)
{
    struct wal_stats log;
    wal_stats(account->context->options.wal, &log);
    next->log_lost |= account->ahead.lasting && account->ahead.met_damage;
    account_counted(account, next, next->counted);
    next->log_totals.known = true;
    memcpy(next->log_totals.of, log.totals, sizeof log.totals);
    /* The state's count goes further than this run's, or less far. */
    struct log_count count;
    uint64_t pos = known_pos(account, &count), before_pos = next->counted_pos;
    if (account->is_whole || (before_pos != 0 && before_pos < pos)) next->counted_pos = pos;
    if (account->is_whole) next->selection = destination_selection_hash(account->context->settings);
}

void
account_begin(struct account *account, const struct relay_state *state, struct window *window)
{
    const struct relay_expected *expected = &state->expected;
    struct wal_stats log;
    account->window = window;
    account->base = state->fates;
    wal_stats(account->context->options.wal, &log);
    account->whole_from_pos = log.end_pos;
    account->whole_count.known = true;
    memcpy(account->whole_count.of, log.totals, sizeof log.totals);
    memcpy(account->known, state->counted, sizeof account->known);
    account->known_pos = state->counted_pos != 0 ? state->counted_pos : log.next_pos;
    chunk_init(&account->ahead.chunk, account->context->options.memory);
    memcpy(account->taken, state->taken, sizeof account->taken);
    memcpy(account->base_taken, state->taken, sizeof account->base_taken);
    if (expected->until_pos == 0) return;
    /* The count was made for another selection. */
    if (expected->selection != destination_selection_hash(account->context->settings)) return;
    account->ahead.pos = expected->until_pos;
    account->ahead.lasting = true;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        if (expected->count[kind] > 0) account->ahead.count[kind] = expected->count[kind];
        account->taken[kind] += (uint64_t)account->ahead.count[kind];
        account->ahead.margin[kind] = expected->margin[kind];
    }
    account->ahead.log_count = expected->log_count;
    err_ignore(read_ahead_begin(account, state),
               "tried again later; begun now so that it holds the log");
}

void
account_end(struct account *account)
{
    bool found_damage = account->found_damage || feed_found_damage(account->feed);
    forget(account);
    chunk_fini(&account->ahead.chunk);
    account_init(account, account->context, account->feed, account->saving);
    account->found_damage = found_damage;
}
