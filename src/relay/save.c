/*
 * save.c - makes settled items durable: builds the next state from what the parts know, writes it,
 * and replaces r->state by it. At most once per second, but at once if a lane waits for it.
 *
 * Invariants:
 * 1. r->state is durable, except for what was changed since and the next state will say (see
 *    relay_private.h). In a dry run it is never written.
 * 2. state.writer and state.fill.place are views of saving.writer and saving.place.
 * 3. During a run the cursor does not move back.
 * 4. The fates of items after the cursor are those of the window without those before the cursor.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "relay/relay_private.h"

enum { SAVE_MS = 1000, WRITER_STATE_BYTES_MAX = 512 * 1024 };

void
save_init(struct relay *r)
{
    struct saving *s = &r->saving;
    buf_init(&s->writer, r->options.memory, WRITER_STATE_BYTES_MAX);
    buf_init(&s->next_writer, r->options.memory, WRITER_STATE_BYTES_MAX);
    buf_init(&s->place, r->options.memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->next_place, r->options.memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->scratch, r->options.memory, RELAY_STATE_BYTES_MAX);
}

void
save_fini(struct relay *r)
{
    buf_fini(&r->saving.writer);
    buf_fini(&r->saving.next_writer);
    buf_fini(&r->saving.place);
    buf_fini(&r->saving.next_place);
    buf_fini(&r->saving.scratch);
}

enum err
save_keep_texts(struct relay *r)
{
    buf_clear(&r->saving.writer);
    buf_clear(&r->saving.place);
    buf_put_bytes(&r->saving.writer, r->state.writer);
    buf_put_bytes(&r->saving.place, r->state.fill.place);
    r->state.writer = buf_bytes(&r->saving.writer);
    r->state.fill.place = buf_bytes(&r->saving.place);
    enum err e = buf_error(&r->saving.writer);
    return e ? e : buf_error(&r->saving.place);
}

void
save_want(struct relay *r, enum save_need need)
{
    if (need > r->saving.need) r->saving.need = need;
}

/* --- what is shown ---------------------------------------------------------------------------- */

/*
 * Counters show the account of a durable state, so that they never decrease, even after a crash.
 *
 * The account says what an item is now, so its terms may decrease: a dead letter that is sent again
 * is no longer one. A monitoring system would take a lower counter for a restart of the process. So
 * `beside` keeps what leaves a term, and the item counts as taken once more with its next fate: the
 * equation holds, and every change is visible.
 *
 * Counters include items that are settled after the cursor, which may not move for long, as while
 * one call is throttled. After a restart these items are read again, and leave their terms.
 */

/* A term of the account, with items after the cursor. */
static uint64_t
term(const struct relay_state *s, unsigned kind, unsigned fate)
{
    return s->fates.count[kind][fate] + s->ahead.count[kind][fate];
}

/* Repeats are not a term of the account, and only increase. A state of an older version may have a
 * negative term before the cursor, where letters after it were removed for want of space; together
 * with the items after the cursor the term is never negative. */
static void
shown_keep(struct relay_state *next, const struct relay_state *before)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            int64_t left = (int64_t)(term(before, kind, fate) - term(next, kind, fate));
            if (fate_is_term(fate) && left > 0) next->beside.count[kind][fate] += (uint64_t)left;
        }
    }
}

void
shown_keep_taken(struct relay_state *next, const struct relay_state *before)
{
    memset(&next->ahead, 0, sizeof next->ahead);
    shown_keep(next, before);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        uint64_t again = fates_settled(&next->beside, kind) - fates_settled(&before->beside, kind);
        uint64_t counted = before->counted[kind] > again ? before->counted[kind] - again : 0;
        if (next->counted[kind] < counted) next->counted[kind] = counted;
    }
}

/* --- states ----------------------------------------------------------------------------------- */

enum err
relay_state_put(struct relay *r, const struct relay_state *state, struct why *why)
{
    if (r->settings->dry_run) return OK;
    return relay_state_write(r->options.env, r->dir, &r->saving.scratch, state, why);
}

struct relay_cursor
relay_cursor(struct relay *r, struct fates *ret_before)
{
    struct relay_cursor cursor;
    window_cursor(r->window, &cursor, ret_before);
    if (is_fill_pos(cursor.pos)) cursor = (struct relay_cursor){.pos = cursor.pos + cursor.index};
    return cursor;
}

/* Puts the writer's state into next_writer. */
static enum err
ask_writer(struct relay *r, struct why *why)
{
    buf_clear(&r->saving.next_writer);
    if (r->class->save != NULL) r->class->save(r->writer, &r->saving.next_writer);
    enum err e = buf_error(&r->saving.next_writer);
    return e ? why_set(why, e, "not enough memory for the state") : OK;
}

/* Builds the next state; its bytes are in next_writer and next_place. */
static enum err
next_state(struct relay *r, struct relay_state *ret_state, struct why *why)
{
    struct fates before;
    struct relay_state *s = ret_state;
    account_found(r);
    *s = r->state;
    s->cursor = relay_cursor(r, &before);
    assert(s->cursor.pos >= r->state.cursor.pos); /* invariant 3 */
    s->fates = r->account.base;
    fates_add(&s->fates, &before);
    const struct fates *all = window_fates(r->window);
    memset(&s->ahead, 0, sizeof s->ahead);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->fates.count[kind][FATE_REPLAYING] = 0;
        s->taken[kind] = account_taken_before(r, kind);
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            assert(before.count[kind][fate] <= all->count[kind][fate]); /* invariant 4 */
            if (!fate_is_term(fate)) continue;
            s->ahead.count[kind][fate] = all->count[kind][fate] - before.count[kind][fate];
        }
    }
    account_expected(r, &before, &s->expected);
    account_remember(r, s);
    if (r->feed.log != NULL) { /* else nothing was read, and the state's count is the cursor's */
        s->log_count = relay_read_count(r);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            s->log_count.of[kind] -= window_held(r->window, kind);
        }
    }
    if (r->feed.fill == NULL && r->options.tsdb != NULL && !r->account.ahead.lasting) {
        tsdb_gone(r->options.tsdb, &s->gone, &s->gone_exemplars);
        if (relay_read_pos(r) < wal_end(r->options.wal)) {
            /* Items of the log that were not read may be among those that the store lost. */
            s->gone.damaged = r->state.gone.damaged;
            s->gone_exemplars.damaged = r->state.gone_exemplars.damaged;
        }
    }
    letters_remember(r, &before, &s->letters);
    enum err e = ask_writer(r, why);
    s->writer = buf_bytes(&r->saving.next_writer);
    if (e || r->feed.fill == NULL) return e;
    buf_clear(&r->saving.next_place);
    e = fill_place(r->feed.fill, s->cursor.pos, &r->saving.next_place, why);
    s->fill.place = buf_bytes(&r->saving.next_place);
    if (e == ERR_CORRUPT) feed_moved(r);
    return e;
}

static void
swap(struct buf *a, struct buf *b)
{
    struct buf was = *a;
    *a = *b;
    *b = was;
}

enum err
relay_save(struct relay *r, struct why *why)
{
    struct relay_state state;
    struct saving *saving = &r->saving;
    assert(r->phase != RUN_NONE);
    enum err e = dead_letters_sync(r->letters, why);
    if (e == OK) e = next_state(r, &state, why);
    if (e == OK) shown_keep(&state, &r->state);
    if (e == OK) e = relay_state_put(r, &state, why);
    if (e) return e;
    bool lanes_wait = saving->need == SAVE_NOW;
    r->state = state;
    swap(&saving->writer, &saving->next_writer);
    if (r->feed.fill != NULL) {
        swap(&saving->place, &saving->next_place);
        assert(state.fill.place.at == saving->place.at); /* invariant 2 */
    }
    assert(state.writer.at == saving->writer.at); /* invariant 2 */
    saving->writer_hash = hash_bytes(state.writer, 0);
    saving->need = SAVE_IF_MOVED;
    if (!r->settings->dry_run) dead_letters_saved(r->letters);
    letters_replay_saved(r);
    account_saved(r);
    /* Nothing before the cursor is needed any more. */
    uint64_t segment = window_segment(r->window);
    if (segment == 0) segment = r->feed.log_chunk.segment;
    guard_follow(r->options.guard, &r->state);
    if (r->feed.fill != NULL) fill_pass(r->feed.fill, r->state.cursor.pos);
    if (r->feed.log != NULL) log_items_pass(r->feed.log, r->state.cursor.pos, segment);
    e = r->class->saved == NULL ? OK : r->class->saved(r->writer, why);
    if (e == OK)
        lanes_saved(r);
    else if (lanes_wait)
        save_want(r, SAVE_NOW);
    return e;
}

enum err
save_instead(struct relay *r, const struct relay_state *state, struct why *why)
{
    struct relay_state next = *state;
    shown_keep_taken(&next, &r->state);
    enum err e = relay_state_put(r, &next, why);
    if (e == OK) r->state = next;
    return e;
}

/*
 * Makes removed directories again. Without its state a destination would begin as a new one at the
 * next start, and forget what is queued for it. A directory without a state is safe: it keeps the
 * destination closed.
 */
static enum err
make_dirs_again(struct relay *r, struct why *why)
{
    struct env *env = r->options.env;
    char parent[256];
    const char *slash = strrchr(r->options.dir, '/');
    snprintf(parent, sizeof parent, "%.*s", slash == NULL ? 1 : (int)(slash - r->options.dir),
             slash == NULL ? "." : r->options.dir);
    log_error(
        "relay: the state of a destination was removed while the server runs, writing it again",
        KV("destination", r->settings->name));
    enum err e = env_mkdir(env, r->options.dir, why);
    if (e == OK) e = env_syncdir(env, parent, why);
    if (e == OK) e = env_mkdir(env, r->dir, why);
    return e ? e : env_syncdir(env, r->options.dir, why);
}

void
save_if_due(struct relay *r)
{
    feed_skip_ahead(r);
    int64_t now_ns = relay_now_ns(r);
    if (now_ns - r->saving.saved_ns < SAVE_MS * NS_PER_MS && r->saving.need != SAVE_NOW) return;
    r->saving.saved_ns = now_ns;
    letters_tend(r);
    struct why why = {""};
    enum err e = r->class->tend == NULL ? OK : r->class->tend(r->writer, false, &why);
    if (e == OK) e = ask_writer(r, &why);
    bool removed = !r->settings->dry_run && relay_state_is_missing(r->options.env, r->dir);
    if (e == OK && removed) e = make_dirs_again(r, &why);
    struct relay_cursor cursor = relay_cursor(r, NULL);
    uint64_t counted[ITEM_KIND_COUNT];
    if (e == OK) account_found(r);
    account_counted(r, counted);
    bool news =
        removed || cursor.pos != r->state.cursor.pos || cursor.index != r->state.cursor.index ||
        memcmp(counted, r->state.counted, sizeof counted) != 0 || r->saving.need != SAVE_IF_MOVED ||
        hash_bytes(buf_bytes(&r->saving.next_writer), 0) != r->saving.writer_hash;
    if (e == OK && news) e = relay_save(r, &why);
    if (e) obstacle_failed(&r->obstacle, "save the state", "state", why.text);
}
