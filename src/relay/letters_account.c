/*
 * letters_account.c - keeps the account of a destination and its dead letters consistent, which are
 * stored apart: changes of letters after the state was written are added when the letters are
 * opened, and letters that are lost or back are counted and logged.
 *
 * Invariants:
 * 1. account.replaying is at least the number of letters that the relay is sending again. Damage
 *    makes it larger until letters_tend() counts what is lost.
 * 2. Between calls, no item of the window is FATE_SEEN or FATE_SEEN_REPLAYING.
 */
#include <assert.h>

#include "base/log.h"
#include "relay/letters/letters_found.h"
#include "relay/relay_private.h"

/* --- opening ---------------------------------------------------------------------------------- */

static void
log_account(const struct relay *r, const struct letters_found *found,
            const struct letters_account *a)
{
    uint64_t lost = kinds_sum(a->lost), back = kinds_sum(a->back);
    /* Each place is logged by itself: as an error if letters are lost with it, or back. */
    char dir[sizeof r->dir + 16], text[DEAD_LETTERS_TEXT_BYTES];
    err_ignore(path_join(dir, sizeof dir, r->dir, LETTER_FILES_DIR), "it fits");
    for (uint32_t i = 0; i < found->first_count; i++) {
        letter_damage_print(&found->first[i], dir, text);
        if (a->differs) {
            log_error("relay: a dead letter file is damaged", KV("destination", r->settings->name),
                      KV("place", text));
        } else {
            log_warn("relay: a dead letter file is damaged, no further dead letters are lost",
                     KV("destination", r->settings->name), KV("place", text));
        }
    }
    if (!a->differs) return;
    log_error("relay: dead letters are lost, counting them as dropped and canceling replays",
              KV("destination", r->settings->name), KV("letters", lost),
              KV("damaged_places", found->damaged));
    if (back == 0) return;
    log_error("relay: dead letters that had been removed are back, counting them as taken again; "
              "they may have been delivered: replay or drop them",
              KV("destination", r->settings->name), KV("back", back));
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
    struct relay *r = context;
    uint8_t from = move == LETTER_AGAIN_FULL ? FATE_REPLAYING : FATE_DEAD_LETTERED;
    return window_change(r->window, letter->pos, letter->index, from, to[move], ret_counted);
}

/* Letters of items that are read again are revoked: such an item may become a letter again, or be
 * delivered. */
enum err
relay_open_letters(struct relay *r, struct why *why)
{
    struct relay_state state = r->state;
    bool dry = r->settings->dry_run, is_known = true;
    if (dry) { /* a dry run has no state of its own */
        is_known = relay_state_read(r->options.env, r->dir, &r->saving.scratch, &state, NULL) == OK;
    } else if (state.cursor.pos == 0) { /* the oldest of the log */
        struct wal_stats stats;
        wal_stats(r->options.wal, &stats);
        state.cursor.pos = stats.begin_pos;
    }
    struct letters_known known = relay_state_letters(&state);
    struct dead_letters_options options = {
        .env = r->options.env,
        .dir = r->dir,
        .known = is_known ? &known : NULL,
        .memory = r->options.memory,
        .max_bytes = r->settings->dead_letters_max_bytes,
        .max_age_ms = r->settings->dead_letters_max_age_ms,
        .moves = letter_moves,
        .context = r,
    };
    enum err e = dead_letters_open(&options, &r->letters, why);
    if (e == OK && !dry) e = dead_letters_revoke_known(r->letters, why);
    if (e) return e;
    if (!dry) {
        const struct letters_account *account = dead_letters_account(r->letters);
        log_account(r, dead_letters_found(r->letters), account);
        /* Changes the fates of items before the run. */
        bool changed = account->differs;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            uint64_t *count = r->account.base.count[kind];
            changed |= count[FATE_DEAD_LETTERED] != account->dead_lettered[kind];
            count[FATE_DEAD_LETTERED] = account->dead_lettered[kind];
            count[FATE_DELIVERED] += account->delivered[kind];
            count[FATE_DROPPED + DROP_BY_OPERATOR] += account->dropped[kind];
            count[FATE_DROPPED + DROP_DEAD_LETTERS_FULL] += account->dropped_full[kind];
            count[FATE_DROPPED + DROP_DAMAGED] += account->lost[kind];
            r->account.base_taken[kind] += account->taken[kind];
            r->account.taken[kind] += account->taken[kind];
        }
        if (changed) save_want(r, SAVE_SOON);
    }
    struct dead_letters_counts counts;
    dead_letters_counts(r->letters, &counts);
    memcpy(r->account.replaying, counts.replaying, sizeof r->account.replaying);
    return OK;
}

/* --- what a state says of them ---------------------------------------------------------------- */

/* Letters of items after the cursor are left out: the items are read again, and queued then. */
void
letters_remember(struct relay *r, const struct fates *before, struct letters_mark *ret_mark)
{
    const struct fates *all = window_fates(r->window);
    dead_letters_mark(r->letters, ret_mark);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t ahead = all->count[kind][FATE_REPLAYING] - before->count[kind][FATE_REPLAYING];
        ret_mark->replaying[kind] = r->account.replaying[kind] - ahead;
    }
}

void
letters_taken_back(struct relay *r, struct letters_mark *ret_mark)
{
    dead_letters_mark(r->letters, ret_mark);
    memcpy(ret_mark->replaying, r->account.replaying, sizeof ret_mark->replaying);
}

/* --- what moves ------------------------------------------------------------------------------- */

/* Logs what dead_letters_tend() found, and counts lost letters. */
static void
letters_tended(struct relay *r, const struct dead_letters_moved *moved)
{
    uint64_t lost = kinds_sum(moved->lost);
    if (lost > 0) {
        log_error("relay: cannot read dead letters, counting them as dropped",
                  KV("destination", r->settings->name), KV("letters", lost),
                  KV("place", moved->lost_at));
    }
    if (moved->called_off > 0) {
        log_warn(
            "relay: replays canceled, samples that were being sent again are dead letters again",
            KV("destination", r->settings->name), KV("letters", moved->called_off));
    }
    if (moved->requests_damaged > 0) {
        log_error("relay: discarding a damaged request for dead letters; send the request again",
                  KV("destination", r->settings->name), KV("requests", moved->requests_damaged));
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        r->account.base.count[kind][FATE_DROPPED + DROP_DAMAGED] +=
            moved->lost[kind] - moved->counted_lost[kind];
    }
    if (lost > 0 || moved->called_off > 0 || moved->waits) save_want(r, SAVE_SOON);
}

static enum err
note_seen(void *context, const struct dead_letter *letter, bool kept)
{
    struct relay *r = context;
    bool there;
    return window_change(r->window, letter->pos, letter->index,
                         kept ? FATE_DEAD_LETTERED : FATE_REPLAYING,
                         kept ? FATE_SEEN : FATE_SEEN_REPLAYING, &there);
}

/*
 * The item of a letter that cannot be read is unknown. Lost letters of items in the window are
 * found by marking the items of all letters that can be read. After an error none is taken as lost.
 */
static void
count_lost(struct relay *r, struct dead_letters_moved *moved)
{
    uint64_t none[ITEM_KIND_COUNT] = {0};
    uint64_t kept[ITEM_KIND_COUNT] = {0}, again[ITEM_KIND_COUNT] = {0};
    if (kinds_sum(moved->lost) == 0) return;
    if (dead_letters_each_alive(r->letters, note_seen, r, NULL) == OK) {
        window_change_all(r->window, FATE_DEAD_LETTERED, FATE_DROPPED + DROP_DAMAGED, kept);
        window_change_all(r->window, FATE_REPLAYING, FATE_DROPPED + DROP_DAMAGED, again);
    }
    window_change_all(r->window, FATE_SEEN, FATE_DEAD_LETTERED, none);
    window_change_all(r->window, FATE_SEEN_REPLAYING, FATE_REPLAYING, none);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
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
count_moved(struct relay *r, const struct dead_letters_moved *moved)
{
    struct dead_letters_counts counts;
    dead_letters_counts(r->letters, &counts);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t *count = r->account.base.count[kind], full = moved->dropped_full[kind];
        uint64_t were = r->account.replaying[kind] + moved->replaying[kind];
        uint64_t replays_lost = were - counts.replaying[kind];
        r->account.replaying[kind] = counts.replaying[kind];
        count[FATE_DEAD_LETTERED] -= moved->replaying[kind] + moved->dropped[kind] -
                                     moved->counted[kind] + full + moved->lost[kind] - replays_lost;
        count[FATE_DROPPED + DROP_BY_OPERATOR] +=
            moved->dropped[kind] - moved->counted_dropped[kind];
        count[FATE_DROPPED + DROP_DEAD_LETTERS_FULL] += full - moved->counted_full[kind];
        if (moved->replaying[kind] + moved->dropped[kind] + full > 0) save_want(r, SAVE_SOON);
        if (full == 0) continue;
        log_error("relay: oldest dead letters removed: dead_letters.max_bytes or "
                  "dead_letters.max_age is reached",
                  KV("destination", r->settings->name), KV("letters", full));
    }
}

/*
 * Unix time, but not later than the time at which the process began plus the time since: letters do
 * not become old by a clock that jumps ahead. A clock that is set back makes them younger.
 */
static int64_t
steady_now_ms(const struct relay *r)
{
    const struct relay_options *o = &r->options;
    int64_t now_ms = env_realtime_ms(o->env);
    int64_t most_ms = o->epoch_ms + (env_monotonic_ns(o->env) - o->epoch_ns) / NS_PER_MS;
    return now_ms < most_ms ? now_ms : most_ms;
}

void
letters_tend(struct relay *r)
{
    struct dead_letters_moved moved;
    struct why why = {""};
    memset(&moved, 0, sizeof moved);
    enum err e = dead_letters_tend(r->letters, steady_now_ms(r), &moved, &why);
    count_lost(r, &moved);
    count_moved(r, &moved);
    letters_tended(r, &moved);
    if (e) obstacle_failed(&r->obstacle, "update dead letters", "dead_letters", why.text);
}

/* Changes the fate in the window if the item is in it, else in the account. */
void
letters_replayed(struct relay *r, const struct replay_id *id, uint8_t fate)
{
    bool there;
    enum err e = window_change(r->window, id->pos, id->index, FATE_REPLAYING, fate, &there);
    assert(e == OK); /* the change to FATE_REPLAYING allocated the memory */
    assert(r->account.replaying[id->kind] > 0); /* invariant 1 */
    if (!there) r->account.base.count[id->kind][fate]++;
    r->account.replaying[id->kind]--;
}
