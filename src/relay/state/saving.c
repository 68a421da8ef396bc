/*
 * saving.c - see saving.h.
 *
 * Counters show the account of a durable state, so that they never decrease, even after a crash.
 *
 * The account says what an item is now, so its terms may decrease: a dead letter that is sent again
 * is no longer one. A monitoring system would take a lower counter for a restart of the process. So
 * `beside` keeps what leaves a term, and the item counts as taken once more with its next fate: the
 * equation holds, and every change is visible.
 *
 * Counters include items that are settled after the cursor, which may not move for long, as while
 * one call is throttled. After a restart these items are read again, and leave their terms.
 *
 * Invariants:
 * 1. `writer`, `letters` and fill.place of the durable state are views of the buffers so named.
 */
#include "relay/state/saving.h"

#include <assert.h>
#include <string.h>

#include "base/hash/hash.h"

enum { SAVE_MS = 1000, WRITER_STATE_BYTES_MAX = 512 * 1024 };

void
saving_init(struct saving *s, const struct relay_context *context)
{
    struct budget *memory = context->options.memory;
    *s = (struct saving){.context = context};
    buf_init(&s->writer, memory, WRITER_STATE_BYTES_MAX);
    buf_init(&s->next_writer, memory, WRITER_STATE_BYTES_MAX);
    buf_init(&s->place, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->next_place, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->letters, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->next_letters, memory, RELAY_STATE_BYTES_MAX);
    buf_init(&s->scratch, memory, RELAY_STATE_BYTES_MAX);
}

void
saving_fini(struct saving *s)
{
    buf_fini(&s->writer);
    buf_fini(&s->next_writer);
    buf_fini(&s->place);
    buf_fini(&s->next_place);
    buf_fini(&s->letters);
    buf_fini(&s->next_letters);
    buf_fini(&s->scratch);
}

void
save_want(struct saving *s, enum save_need need)
{
    if (need > s->need) s->need = need;
}

bool
saving_is_due(struct saving *s)
{
    int64_t now_ns = relay_now_ns(s->context);
    if (now_ns - s->tried_ns < SAVE_MS * NS_PER_MS && s->need != SAVE_NOW) return false;
    s->tried_ns = now_ns;
    return true;
}

/* --- states ----------------------------------------------------------------------------------- */

enum err
saving_keep_texts(struct saving *s, struct relay_state *state)
{
    buf_clear(&s->writer);
    buf_clear(&s->place);
    buf_clear(&s->letters);
    buf_put_bytes(&s->writer, state->writer);
    buf_put_bytes(&s->place, state->fill.place);
    buf_put_bytes(&s->letters, state->letters);
    state->writer = buf_bytes(&s->writer);
    state->fill.place = buf_bytes(&s->place);
    state->letters = buf_bytes(&s->letters);
    enum err e = err_first(buf_error(&s->writer), buf_error(&s->letters));
    return e ? e : buf_error(&s->place);
}

enum err
saving_ask_writer(struct saving *s, const struct writer *writer, struct why *why)
{
    const struct writer_class *class = s->context->class;
    buf_clear(&s->next_writer);
    if (class->save != NULL) class->save(writer, &s->next_writer);
    enum err e = buf_error(&s->next_writer);
    return e ? why_set(why, e, "not enough memory for the state") : OK;
}

enum err
saving_ask_place(struct saving *s, struct feed *feed, struct relay_state *state, struct why *why)
{
    buf_clear(&s->next_place);
    enum err e = feed_place(feed, state->cursor.pos, &s->next_place, why);
    state->fill.place = buf_bytes(&s->next_place);
    return e;
}

bool
saving_has_news(const struct saving *s)
{
    return s->need != SAVE_IF_MOVED || hash_bytes(buf_bytes(&s->next_writer), 0) != s->writer_hash;
}

enum err
saving_put(struct saving *s, const struct relay_state *state, struct why *why)
{
    const struct relay_context *c = s->context;
    if (c->settings->dry_run) return OK;
    return relay_state_write(c->options.env, c->dir, &s->scratch, state, why);
}

static void
swap(struct buf *a, struct buf *b)
{
    struct buf was = *a;
    *a = *b;
    *b = was;
}

void
saving_done(struct saving *s, const struct relay_state *state)
{
    swap(&s->writer, &s->next_writer);
    swap(&s->letters, &s->next_letters);
    if (state->fill.active) {
        swap(&s->place, &s->next_place);
        assert(state->fill.place.at == s->place.at); /* invariant 1 */
    }
    assert(state->writer.at == s->writer.at);   /* invariant 1 */
    assert(state->letters.at == s->letters.at); /* invariant 1 */
    s->writer_hash = hash_bytes(state->writer, 0);
    s->need = SAVE_IF_MOVED;
}

/* --- counters that are shown ------------------------------------------------------------------ */

/* A term of the account, with items after the cursor. */
static uint64_t
term(const struct relay_state *s, unsigned kind, unsigned fate)
{
    return s->fates.count[kind][fate] + s->ahead.count[kind][fate];
}

/* Repeats are not a term of the account, and only increase. A state of an older version may have a
 * negative term before the cursor, where letters after it were removed for want of space; together
 * with the items after the cursor the term is never negative. */
void
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

enum err
save_instead(struct saving *s, struct relay_state *state, const struct relay_state *next,
             struct why *why)
{
    struct relay_state shown = *next;
    shown_keep_taken(&shown, state);
    enum err e = saving_put(s, &shown, why);
    if (e == OK) *state = shown;
    return e;
}
