/*
 * save.c - makes settled items durable: builds the next state from what the parts know, writes it,
 * and replaces r->state by it. At most once per second, but at once if a lane waits for it.
 *
 * r->state is durable, except for what was changed since and the next state will say (see
 * relay_private.h). In a dry run it is never written.
 *
 * Invariants:
 * 1. During a run the cursor does not move back.
 * 2. The fates of items after the cursor are those of the window without those before the cursor.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "relay/relay_private.h"
#include "relay/state/guard.h"

/* Notes what the store has lost, while the log is followed and nothing of it is expected. */
static void
note_gone(const struct relay *r, struct relay_state *s)
{
    const struct relay_options *o = &r->context.options;
    if (feed_reads_store(&r->feed) || o->tsdb == NULL || r->account.ahead.lasting) return;
    tsdb_gone(o->tsdb, &s->gone, &s->gone_exemplars);
    bool waits = r->feed.hole_pos > 0 || r->feed.reload_pos > 0;
    if (!waits && feed_read_pos(&r->feed) >= wal_end(o->wal)) return;
    /* Items of the log that were not read may be among those that the store lost. */
    s->gone.damaged = r->state.gone.damaged;
    s->gone_exemplars.damaged = r->state.gone_exemplars.damaged;
}

/* Builds the next state; its bytes are in next_writer and next_place. */
static enum err
next_state(struct relay *r, struct relay_state *ret_state, struct why *why)
{
    struct fates before;
    struct relay_state *s = ret_state;
    account_found(&r->account, &r->state);
    *s = r->state;
    s->cursor = window_saved_cursor(r->window, &before);
    assert(s->cursor.pos >= r->state.cursor.pos); /* invariant 1 */
    s->fates = r->account.base;
    fates_add(&s->fates, &before);
    const struct fates *all = window_fates(r->window);
    memset(&s->ahead, 0, sizeof s->ahead);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->taken[kind] = account_taken_before(&r->account, kind);
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            assert(before.count[kind][fate] <= all->count[kind][fate]); /* invariant 2 */
            if (!fate_is_term(fate)) continue;
            s->ahead.count[kind][fate] = all->count[kind][fate] - before.count[kind][fate];
        }
    }
    account_expected(&r->account, &before, &s->expected);
    account_remember(&r->account, s);
    if (feed_reads_log(&r->feed)) { /* else the count is still that of the cursor */
        s->log_count = feed_read_count(&r->feed);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            s->log_count.of[kind] -= window_held(r->window, kind);
        }
    }
    note_gone(r, s);
    buf_clear(&r->saving.next_letters);
    letter_list_put(&r->letters.list, &r->saving.next_letters);
    s->letters = buf_bytes(&r->saving.next_letters);
    enum err e = buf_error(&r->saving.next_letters);
    if (e) return why_set(why, e, "not enough memory for the state");
    e = saving_ask_writer(&r->saving, r->writer, why);
    s->writer = buf_bytes(&r->saving.next_writer);
    if (e || !feed_reads_store(&r->feed)) return e;
    return saving_ask_place(&r->saving, &r->feed, s, why);
}

enum err
relay_save(struct relay *r, struct why *why)
{
    const struct writer_class *class = r->context.class;
    struct relay_state state;
    struct saving *saving = &r->saving;
    assert(r->phase != RUN_NONE);
    enum err e = letters_write(&r->letters, window_saved_cursor(r->window, NULL), why);
    if (e == OK) e = next_state(r, &state, why);
    if (e == OK) shown_keep(&state, &r->state);
    if (e == OK) e = saving_put(saving, &state, why);
    if (e) return e;
    bool lanes_wait = saving->need == SAVE_NOW;
    r->state = state;
    saving_done(saving, &r->state);
    letters_saved(&r->letters);
    watch_letters_saved(r);
    account_saved(&r->account, &r->state);
    /* Nothing before the cursor is needed any more. */
    guard_follow(r->context.options.guard, &r->state);
    feed_forget(&r->feed, r->state.cursor.pos, window_segment(r->window));
    e = class->saved == NULL ? OK : class->saved(r->writer, why);
    if (e == OK)
        lanes_saved(&r->lanes);
    else if (lanes_wait)
        save_want(saving, SAVE_NOW);
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
    struct env *env = r->context.options.env;
    char parent[256];
    const char *slash = strrchr(r->context.options.dir, '/');
    snprintf(parent, sizeof parent, "%.*s",
             slash == NULL ? 1 : (int)(slash - r->context.options.dir),
             slash == NULL ? "." : r->context.options.dir);
    log_error(
        "relay: the state of a destination was removed while the server runs, writing it again",
        KV("destination", r->context.settings->name));
    enum err e = env_mkdir(env, r->context.options.dir, why);
    if (e == OK) e = env_syncdir(env, parent, why);
    if (e == OK) e = env_mkdir(env, r->context.dir, why);
    return e ? e : env_syncdir(env, r->context.options.dir, why);
}

/* Moves the cursor past records of the log that have nothing for this destination. */
static void
skip_ahead(struct relay *r)
{
    uint64_t pos = feed_given_pos(&r->feed);
    if (window_records(r->window) > 0 || pos <= r->state.cursor.pos) return;
    window_skip(r->window, (struct relay_cursor){.pos = pos});
}

/* True if the cursor, the counts or anything else has changed that the next state says. */
static bool
has_news(struct relay *r)
{
    const struct relay_cursor *saved = &r->state.cursor;
    struct relay_cursor cursor = window_saved_cursor(r->window, NULL);
    uint64_t counted[ITEM_KIND_COUNT];
    account_counted(&r->account, &r->state, counted);
    return cursor.pos != saved->pos || cursor.index != saved->index ||
           memcmp(counted, r->state.counted, sizeof counted) != 0 || saving_has_news(&r->saving);
}

void
save_if_due(struct relay *r)
{
    const struct relay_context *c = &r->context;
    struct why why = {""}, letters_why = {""};
    skip_ahead(r);
    if (!saving_is_due(&r->saving)) return;
    watch_take_letters(r);
    enum err e = letters_tend(&r->letters, &letters_why);
    if (e) breaker_failed(&r->breaker, "update dead letters", "dead_letters", letters_why.text);
    e = c->class->tend == NULL ? OK : c->class->tend(r->writer, false, &why);
    if (e == OK) e = saving_ask_writer(&r->saving, r->writer, &why);
    bool removed = !c->settings->dry_run && relay_state_is_missing(c->options.env, c->dir);
    if (e == OK && removed) e = make_dirs_again(r, &why);
    if (e == OK) account_found(&r->account, &r->state);
    if (e == OK && (removed || has_news(r))) e = relay_save(r, &why);
    if (e) breaker_failed(&r->breaker, "save the state", "state", why.text);
}
