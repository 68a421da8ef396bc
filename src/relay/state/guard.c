/*
 * guard.c - see state.h.
 *
 * The log is held by a reader of it that never reads. It holds from a position on; to hold from an
 * earlier one, another reader is opened before this one is closed.
 *
 * A state that cannot be read says nothing, so all of the log that may be needed is held: from the
 * position of the state before it, else from where the guard of the previous settings held, else
 * from the oldest record.
 *
 * held_pos is not after what the destination's durable state needs: it moves only to the position
 * of such a state, or where the destination gives up the log.
 *
 * Invariants:
 * 1. From the end of relay_guard_new() on, the log is held.
 * 2. Borders exist as a pair, or not at all.
 */
#include "relay/state/state.h"

#include <assert.h>
#include <stdatomic.h>

/* The borders are at the start and the end of what is read from the store. */
enum { BORDER_FROM, BORDER_TO, BORDER_COUNT };
struct borders {
    struct tsdb *tsdb; /* NULL if there are no borders */
    uint32_t at[BORDER_COUNT];
    uint64_t pos[BORDER_COUNT];
};

struct relay_guard {
    struct wal *wal;
    struct budget *memory;
    const char *name;
    struct borders borders;
    struct wal_reader *hold;
    _Atomic uint64_t held_pos; /* relaxed: a reader of an older value holds more than needed */
    uint64_t begin_pos;        /* end of the log when the destination was configured */
    bool fixed; /* for a dry run: holds from the state on disk, with which delivery resumes */
};

/* --- borders ---------------------------------------------------------------------------------- */

void
guard_set_borders(struct relay_guard *g, uint64_t from_pos, uint64_t to_pos)
{
    struct borders *b = &g->borders;
    const uint64_t pos[BORDER_COUNT] = {from_pos, to_pos};
    assert(b->tsdb == NULL || b->at[BORDER_FROM] != b->at[BORDER_TO]); /* invariant 2 */
    for (unsigned i = 0; i < BORDER_COUNT && b->tsdb != NULL; i++) {
        if (b->pos[i] == pos[i]) continue;
        tsdb_border_set(b->tsdb, b->at[i], pos[i]);
        b->pos[i] = pos[i];
    }
}

/* --- the log ---------------------------------------------------------------------------------- */

/* Holds the log from `pos` on. If memory for that is refused, the hold stays where it was. */
static enum err
hold_from(struct relay_guard *g, uint64_t pos)
{
    uint64_t held_pos = relay_guard_pos(g);
    if (g->hold != NULL && pos >= held_pos) {
        if (pos > held_pos) wal_reader_pass(g->hold, pos);
    } else {
        struct wal_reader *hold;
        enum err e = wal_reader_open(g->wal, g->name, pos, &hold, NULL);
        if (e) return e;
        wal_reader_close(g->hold);
        g->hold = hold;
        pos = wal_reader_pos(hold); /* position 0 selects the oldest record */
    }
    assert(g->hold != NULL); /* invariant 1 */
    atomic_store_explicit(&g->held_pos, pos, memory_order_relaxed);
    return OK;
}

static uint64_t
state_pos(const struct relay_state *state)
{
    return state->fill.active ? state->fill.to_pos : state->cursor.pos;
}

void
guard_follow(struct relay_guard *g, const struct relay_state *state)
{
    if (g->fixed) return;
    if (state->fill.active)
        guard_set_borders(g, state->fill.from_pos, state->fill.to_pos);
    else
        guard_set_borders(g, state->cursor.pos, 0);
    err_ignore(hold_from(g, state_pos(state)), "the relay's own reader holds the log too");
}

void
guard_let_go(struct relay_guard *g)
{
    assert(g->hold != NULL); /* invariant 1 */
    err_ignore(hold_from(g, wal_end(g->wal)), "moving forward cannot fail");
}

/* --- the guard -------------------------------------------------------------------------------- */

/* Holds the log for a new guard. */
static enum err
first_hold(struct relay_guard *g, const struct relay_options *o, const struct relay_guard *before)
{
    char dir[RELAY_DIR_BYTES];
    struct buf memory;
    struct relay_state state;
    uint64_t pos = before == NULL ? 0 : relay_guard_pos(before);
    enum err e = path_join(dir, sizeof dir, o->dir, o->settings->name);
    if (e) return e;
    buf_init(&memory, o->memory, RELAY_STATE_BYTES_MAX);
    e = relay_state_read_own(o->env, dir, o->settings, &memory, &state, NULL);
    bool is_new = e == ERR_MISSING;
    if (e && !is_new) {
        e = relay_state_read_previous(o->env, dir, &memory, &state, NULL);
        if (e == OK && relay_state_is_foreign(&state, o->settings)) e = ERR_CORRUPT;
    }
    if (e == OK) guard_follow(g, &state);
    if (e == OK && before == NULL) pos = state_pos(&state);
    if (is_new && (o->settings->start == START_NOW || o->settings->dry_run)) pos = g->begin_pos;
    g->fixed = e == OK && o->settings->dry_run;
    buf_fini(&memory);
    return hold_from(g, pos);
}

enum err
relay_guard_new(const struct relay_options *o, const struct relay_guard *before,
                struct relay_guard **ret_guard, struct why *why)
{
    struct relay_guard *g = mem_new(o->memory, sizeof *g);
    if (g == NULL)
        return why_set(why, ERR_NOMEM, "not enough memory for destination %s", o->settings->name);
    g->wal = o->wal;
    g->memory = o->memory;
    g->name = o->settings->name;
    g->begin_pos = before == NULL ? wal_end(o->wal) : before->begin_pos;
    struct borders *b = &g->borders;
    enum err e = o->tsdb == NULL ? OK : tsdb_border_new(o->tsdb, &b->at[BORDER_FROM]);
    if (e == OK && o->tsdb != NULL) {
        e = tsdb_border_new(o->tsdb, &b->at[BORDER_TO]);
        if (e)
            tsdb_border_free(o->tsdb, b->at[BORDER_FROM]);
        else
            b->tsdb = o->tsdb; /* invariant 2 */
    }
    if (e == OK) e = first_hold(g, o, before);
    if (e) {
        relay_guard_free(g);
        return why_set(why, e, "cannot keep the log for destination %s: %s", o->settings->name,
                       err_word(e));
    }
    assert(g->hold != NULL); /* invariant 1 */
    *ret_guard = g;
    return OK;
}

void
relay_guard_free(struct relay_guard *g)
{
    if (g == NULL) return;
    if (g->borders.tsdb != NULL) {
        tsdb_border_free(g->borders.tsdb, g->borders.at[BORDER_FROM]);
        tsdb_border_free(g->borders.tsdb, g->borders.at[BORDER_TO]);
    }
    wal_reader_close(g->hold);
    mem_free(g->memory, g, sizeof *g);
}

uint64_t
relay_guard_pos(const struct relay_guard *g)
{
    return atomic_load_explicit(&g->held_pos, memory_order_relaxed);
}

uint64_t
guard_begin_pos(const struct relay_guard *g)
{
    return g->begin_pos;
}
