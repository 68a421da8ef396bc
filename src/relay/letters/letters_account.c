/*
 * letters_account.c - keeps the account of a destination and its dead letters consistent, which are
 * stored apart: changes of letters after the state was written are added when the letters are
 * opened, and letters that are lost or back are counted and logged.
 *
 * Invariants (see also account.c):
 * 1. Between calls, no item of the window is FATE_SEEN or FATE_SEEN_REPLAYING.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/letters/letters.h"
#include "relay/letters/letters_found.h"
#include "relay/state/directory.h"

void
letters_init(struct letters *l, const struct relay_context *context, struct account *account,
             struct saving *saving)
{
    *l = (struct letters){.context = context, .account = account, .saving = saving};
}

/* --- opening ---------------------------------------------------------------------------------- */

static void
log_account(const struct letters *l, const struct letters_found *found,
            const struct letters_account *a)
{
    uint64_t lost = kinds_sum(a->lost), back = kinds_sum(a->back);
    /* Each place is logged by itself: as an error if letters are lost with it, or back. */
    char dir[sizeof l->context->dir + 16], text[DEAD_LETTERS_TEXT_BYTES];
    err_ignore(path_join(dir, sizeof dir, l->context->dir, RELAY_LETTERS_NAME), "it fits");
    for (uint32_t i = 0; i < found->first_count; i++) {
        letter_damage_print(&found->first[i], dir, text);
        if (a->differs) {
            log_error("relay: a dead letter file is damaged",
                      KV("destination", l->context->settings->name), KV("place", text));
        } else {
            log_warn("relay: a dead letter file is damaged, no further dead letters are lost",
                     KV("destination", l->context->settings->name), KV("place", text));
        }
    }
    if (!a->differs) return;
    log_error("relay: dead letters are lost, counting them as dropped and canceling replays",
              KV("destination", l->context->settings->name), KV("letters", lost),
              KV("damaged_places", found->damaged));
    if (back == 0) return;
    log_error("relay: dead letters that had been removed are back, counting them as taken again; "
              "they may have been delivered: replay or drop them",
              KV("destination", l->context->settings->name), KV("back", back));
}

/* Items after the saved cursor are read again after a restart, whatever their fate: only the window
 * counts them. */
static enum err
letter_moves(void *context, const struct dead_letter *letter, enum letter_move move,
             bool *ret_counted)
{
    static const uint8_t to[] = {
        [LETTER_AGAIN] = FATE_REPLAYING,
        [LETTER_DROPPED] = FATE_DROPPED + DROP_BY_OPERATOR,
        [LETTER_FULL] = FATE_DROPPED + DROP_DEAD_LETTERS_FULL,
        [LETTER_AGAIN_FULL] = FATE_DROPPED + DROP_DEAD_LETTERS_FULL,
    };
    struct letters *l = context;
    uint8_t from = move == LETTER_AGAIN_FULL ? FATE_REPLAYING : FATE_DEAD_LETTERED;
    return window_change(l->window, letter->pos, letter->index, from, to[move], ret_counted);
}

/* Enters what the files say into the account, into the fates of items before the run. */
static void
enter_account(struct letters *l)
{
    const struct letters_account *found = dead_letters_account(l->files);
    struct account *account = l->account;
    log_account(l, dead_letters_found(l->files), found);
    bool changed = found->differs;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t letters = found->dead_lettered[kind];
        changed |= account_recount(account, kind, FATE_DEAD_LETTERED, letters);
        account_count(account, kind, FATE_DELIVERED, found->delivered[kind]);
        account_count(account, kind, FATE_DROPPED + DROP_BY_OPERATOR, found->dropped[kind]);
        account_count(account, kind, FATE_DROPPED + DROP_DEAD_LETTERS_FULL,
                      found->dropped_full[kind]);
        account_count(account, kind, FATE_DROPPED + DROP_DAMAGED, found->lost[kind]);
        account_take_again(account, kind, found->taken[kind]);
    }
    if (changed) save_want(l->saving, SAVE_SOON);
}

/* Letters of items that are read again are revoked: such an item may become a letter again, or be
 * delivered. */
static enum err
open_files(struct letters *l, const struct relay_state *own, struct why *why)
{
    const struct relay_context *c = l->context;
    struct relay_state state = *own;
    bool dry = c->settings->dry_run, is_known = true;
    if (dry) { /* a dry run has no state of its own */
        struct buf *scratch = &l->saving->scratch;
        is_known = relay_state_read(c->options.env, c->dir, scratch, &state, NULL) == OK;
    } else if (state.cursor.pos == 0) { /* the oldest of the log */
        struct wal_stats stats;
        wal_stats(c->options.wal, &stats);
        state.cursor.pos = stats.begin_pos;
    }
    struct letters_known known = relay_state_letters(&state);
    struct dead_letters_options options = {
        .env = c->options.env,
        .dir = c->dir,
        .known = is_known ? &known : NULL,
        .memory = c->options.memory,
        .max_bytes = c->settings->dead_letters_max_bytes,
        .max_age_ms = c->settings->dead_letters_max_age_ms,
        .moves = letter_moves,
        .context = l,
    };
    enum err e = dead_letters_open(&options, &l->files, why);
    if (e == OK && !dry) e = dead_letters_revoke_known(l->files, why);
    if (e) return e;
    if (!dry) enter_account(l);
    struct dead_letters_counts counts;
    dead_letters_counts(l->files, &counts);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        account_set_replaying(l->account, kind, counts.replaying[kind]);
    }
    return OK;
}

enum err
letters_begin(struct letters *l, const struct relay_state *state, struct window *window,
              struct why *why)
{
    l->window = window;
    return open_files(l, state, why);
}

void
letters_end(struct letters *l)
{
    letters_replay_end(l);
    dead_letters_free(l->files);
    l->files = NULL;
    l->window = NULL;
}

/* --- the saved state -------------------------------------------------------------------------- */

/* Letters of items after the cursor are left out: the items are read again, and queued then. */
void
letters_remember(const struct letters *l, const struct fates *before, struct letters_mark *ret_mark)
{
    const struct fates *all = window_fates(l->window);
    dead_letters_mark(l->files, ret_mark);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t ahead = all->count[kind][FATE_REPLAYING] - before->count[kind][FATE_REPLAYING];
        ret_mark->replaying[kind] = l->account->replaying[kind] - ahead;
    }
}

enum err
letters_take_back(struct letters *l, struct relay_state *state, struct why *why)
{
    dead_letters_free(l->files);
    l->files = NULL;
    enum err e = open_files(l, state, why);
    if (e == OK) e = dead_letters_sync(l->files, why);
    if (e) return e;
    dead_letters_mark(l->files, &state->letters);
    memcpy(state->letters.replaying, l->account->replaying, sizeof state->letters.replaying);
    return OK;
}

/* --- moved and lost letters ------------------------------------------------------------------- */

/* Logs what dead_letters_tend() found, and counts lost letters. */
static void
letters_tended(struct letters *l, const struct dead_letters_moved *moved)
{
    uint64_t lost = kinds_sum(moved->lost);
    if (lost > 0) {
        log_error("relay: cannot read dead letters, counting them as dropped",
                  KV("destination", l->context->settings->name), KV("letters", lost),
                  KV("place", moved->lost_at));
    }
    if (moved->called_off > 0) {
        log_warn(
            "relay: replays canceled, samples that were being sent again are dead letters again",
            KV("destination", l->context->settings->name), KV("letters", moved->called_off));
    }
    if (moved->requests_damaged > 0) {
        log_error("relay: discarding a damaged request for dead letters; send the request again",
                  KV("destination", l->context->settings->name),
                  KV("requests", moved->requests_damaged));
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        account_count(l->account, kind, FATE_DROPPED + DROP_DAMAGED,
                      moved->lost[kind] - moved->counted_lost[kind]);
    }
    if (lost > 0 || moved->called_off > 0 || moved->waits) save_want(l->saving, SAVE_SOON);
}

static enum err
note_seen(void *context, const struct dead_letter *letter, bool kept)
{
    struct letters *l = context;
    bool there;
    return window_change(l->window, letter->pos, letter->index,
                         kept ? FATE_DEAD_LETTERED : FATE_REPLAYING,
                         kept ? FATE_SEEN : FATE_SEEN_REPLAYING, &there);
}

/*
 * The item of a letter that cannot be read is unknown. Lost letters of items in the window are
 * found by marking the items of all letters that can be read. After an error none is taken as lost.
 */
static void
count_lost(struct letters *l, struct dead_letters_moved *moved)
{
    uint64_t none[ITEM_KIND_COUNT] = {0};
    uint64_t kept[ITEM_KIND_COUNT] = {0}, again[ITEM_KIND_COUNT] = {0};
    if (kinds_sum(moved->lost) == 0) return;
    if (dead_letters_each_alive(l->files, note_seen, l, NULL) == OK) {
        window_change_all(l->window, FATE_DEAD_LETTERED, FATE_DROPPED + DROP_DAMAGED, kept);
        window_change_all(l->window, FATE_REPLAYING, FATE_DROPPED + DROP_DAMAGED, again);
    }
    window_change_all(l->window, FATE_SEEN, FATE_DEAD_LETTERED, none);
    window_change_all(l->window, FATE_SEEN_REPLAYING, FATE_REPLAYING, none);
    const struct fates *fates = window_fates(l->window);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        assert(fates->count[kind][FATE_SEEN] == 0);           /* invariant 1 */
        assert(fates->count[kind][FATE_SEEN_REPLAYING] == 0); /* invariant 1 */
        moved->counted[kind] += kept[kind];
        moved->counted_lost[kind] += kept[kind] + again[kind];
    }
}

/*
 * Changes the account as operator, budget and age decided about letters, and for lost ones. Some
 * that were dropped for the budget, or are lost, may have been replaying: the remaining number of
 * those is known.
 */
static void
count_moved(struct letters *l, const struct dead_letters_moved *moved)
{
    struct account *account = l->account;
    struct dead_letters_counts counts;
    dead_letters_counts(l->files, &counts);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t full = moved->dropped_full[kind];
        uint64_t were = account->replaying[kind] + moved->replaying[kind];
        uint64_t replays_lost = were - counts.replaying[kind];
        account_set_replaying(account, kind, counts.replaying[kind]);
        account_uncount(account, kind, FATE_DEAD_LETTERED,
                        moved->replaying[kind] + moved->dropped[kind] - moved->counted[kind] +
                            full + moved->lost[kind] - replays_lost);
        account_count(account, kind, FATE_DROPPED + DROP_BY_OPERATOR,
                      moved->dropped[kind] - moved->counted_dropped[kind]);
        account_count(account, kind, FATE_DROPPED + DROP_DEAD_LETTERS_FULL,
                      full - moved->counted_full[kind]);
        if (moved->replaying[kind] + moved->dropped[kind] + full > 0)
            save_want(l->saving, SAVE_SOON);
        if (full == 0) continue;
        log_error("relay: oldest dead letters removed: dead_letters.max_bytes or "
                  "dead_letters.max_age is reached",
                  KV("destination", l->context->settings->name), KV("letters", full));
    }
}

/*
 * Unix time, but not later than the time at which the process began plus the time since: letters do
 * not become old by a clock that jumps ahead. A clock that is set back makes them younger.
 */
static int64_t
steady_now_ms(const struct letters *l)
{
    const struct relay_options *o = &l->context->options;
    int64_t now_ms = env_realtime_ms(o->env);
    int64_t most_ms = o->epoch_ms + (env_monotonic_ns(o->env) - o->epoch_ns) / NS_PER_MS;
    return now_ms < most_ms ? now_ms : most_ms;
}

enum err
letters_tend(struct letters *l, struct why *why)
{
    struct dead_letters_moved moved;
    memset(&moved, 0, sizeof moved);
    enum err e = dead_letters_tend(l->files, steady_now_ms(l), &moved, why);
    count_lost(l, &moved);
    count_moved(l, &moved);
    letters_tended(l, &moved);
    return e;
}

/* Changes the fate in the window if the item is in it, else in the account. */
void
letters_replayed(struct letters *l, const struct replay_id *id, uint8_t fate)
{
    bool there;
    enum err e = window_change(l->window, id->pos, id->index, FATE_REPLAYING, fate, &there);
    assert(e == OK); /* the change to FATE_REPLAYING allocated the memory */
    account_replayed(l->account, id->kind, fate, there);
}
