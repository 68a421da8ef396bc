/*
 * begin.c - where a destination begins: where its state says; if it is new, where its settings say;
 * and if its state cannot be read, where an operator says (reset.h), or nowhere. To guess would be
 * to lose what waits, or to send all of it again.
 */
#include <inttypes.h>

#include "base/log.h"
#include "relay/letters_found.h"
#include "relay/relay_private.h"
#include "relay/reset.h"

/* What another type has learnt means something else to this one. */
static void
take_state(struct relay *r)
{
    struct relay_state *s = &r->state;
    if (s->destination_known && s->type != r->settings->type) s->writer = bytes_of(NULL, 0);
    s->destination_known = true;
    s->type = r->settings->type;
    s->place = destination_place_hash(r->settings);
}

/* Where a destination without a state begins. */
static void
first_state(struct relay *r, enum destination_start start, int64_t start_ms)
{
    struct relay_state *s = &r->state;
    uint64_t store_pos = r->options.tsdb == NULL ? 0 : tsdb_store_pos(r->options.tsdb);
    s->cursor = (struct relay_cursor){.pos = 0}; /* the oldest of the log */
    if (start == START_NOW) s->cursor.pos = guard_begin_pos(r->options.guard);
    if (start == START_TIME) {
        s->begin_ms = start_ms;
        s->begin_pos = guard_begin_pos(r->options.guard);
    }
    if (start == START_NOW || store_pos == 0) return;
    s->fill = (struct relay_fill){
        .active = true, .to_pos = catch_up_end(r, 0), .since_ms = env_realtime_ms(r->options.env)};
    s->cursor.pos = fill_first_pos(++s->fill_count);
}

/* Copies what the state has views of. */
static enum err
keep_texts(struct relay *r)
{
    buf_clear(&r->writer_state);
    buf_clear(&r->place);
    buf_put_bytes(&r->writer_state, r->state.writer);
    buf_put_bytes(&r->place, r->state.fill.place);
    r->state.writer = buf_bytes(&r->writer_state);
    r->state.fill.place = buf_bytes(&r->place);
    enum err e = buf_error(&r->writer_state);
    return e ? e : buf_error(&r->place);
}

/* --- a state that cannot be read -------------------------------------------------------------- */

static enum err
explain(const struct relay *r, enum err cause, struct why *why)
{
    struct why reason = *why;
    return why_set(why, cause,
                   "%s; the log from position %" PRIu64
                   " on is kept until you decide where to go on: firekeep destinations reset %s "
                   "--from=previous|oldest|now|TIME",
                   reason.text, relay_guard_pos(r->options.guard), r->settings->name);
}

/*
 * What was sent before may be sent again in other calls: a number of fills that never was keeps
 * what writers name after it apart.
 */
static void
begin_anew(struct relay *r, const struct reset *reset, bool knows_previous)
{
    struct relay_state *s = &r->state;
    uint64_t end_pos = wal_end(r->options.wal);
    if (!knows_previous) s->fill_count = (uint32_t)(env_realtime_ms(r->options.env) / 60000);
    s->fill_count++;
    if (reset->from == RESET_PREVIOUS) {
        if (s->begin_pos == 0) s->begin_ms = INT64_MIN;
        s->begin_pos = end_pos;
        return;
    }
    if (reset->from == RESET_NOW && knows_previous && !s->fill.active) {
        s->drop_pos = end_pos; /* read, counted, and not handed on */
        s->drop_reason = DROP_BY_OPERATOR;
        return;
    }
    s->fill = (struct relay_fill){.active = false};
    s->expected = (struct relay_expected){.until_pos = 0};
    s->drop_pos = 0;
    s->log_count.known = false;
    static const enum destination_start starts[] = {
        [RESET_NOW] = START_NOW, [RESET_OLDEST] = START_BEGINNING, [RESET_TIME] = START_TIME};
    first_state(r, starts[reset->from], reset->from_ms);
    if (reset->from == RESET_NOW) s->cursor.pos = end_pos;
    if (reset->from == RESET_OLDEST) s->begin_ms = INT64_MIN;
    s->begin_pos = end_pos;
}

/* Letters that do not come by again. */
struct letters_before {
    const struct relay_state *state;
    uint64_t count[ITEM_KIND_COUNT];
};

static enum err
count_letter(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    (void)state;
    struct letters_before *x = context;
    if (letters_count_has(x->state, letter)) x->count[letter->item.kind]++;
    return OK;
}

/* The account has the letters that are there, whatever it had. */
static enum err
count_letters(struct relay *r, struct why *why)
{
    struct relay_state *s = &r->state;
    struct letters_before before = {.state = s};
    enum err e = dead_letters_each(r->options.env, r->dir, r->options.memory, count_letter, &before,
                                   NULL, why);
    if (e && e != ERR_MISSING) return e;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->fates.count[kind][FATE_DEAD_LETTERED] = before.count[kind];
        s->taken[kind] = s->counted[kind] = fates_settled(&s->fates, kind);
    }
    s->letters = (struct letters_mark){.known = false}; /* those that there are */
    return OK;
}

/* As an operator decided; `why` says what cannot be read. */
static enum err
reset_state(struct relay *r, enum err cause, struct why *why)
{
    struct env *env = r->options.env;
    struct reset reset;
    struct why decision = {""};
    enum err e = reset_read(env, r->dir, &reset, &decision);
    if (e == ERR_MISSING) return explain(r, cause, why);
    if (e) return why_set(why, e, "%s", decision.text);
    e = relay_state_read_previous(env, r->dir, &r->scratch, &r->state, &decision);
    bool known = e == OK;
    struct relay_state before = r->state;
    if (!known && reset.from == RESET_PREVIOUS) {
        return why_set(why, e, "the state cannot be reset to the one before it: %s", decision.text);
    }
    if (!known) r->state = (struct relay_state){.wish = RELAY_WISH_NONE};
    take_state(r);
    begin_anew(r, &reset, known);
    e = keep_texts(r);
    if (e == OK) e = count_letters(r, why);
    if (e == OK) e = relay_state_put_aside(env, r->dir, why);
    memcpy(r->state.log_id, wal_log_id(r->options.wal), sizeof r->state.log_id);
    if (known) shown_keep_taken(&r->state, &before);
    if (e == OK) e = relay_state_put(r, &r->state, why);
    if (e == OK) e = reset_remove(env, r->dir, why);
    if (e) return e;
    log_warn("relay: destination reset as decided by the operator",
             KV("destination", r->settings->name), KV("from", reset_word(reset.from)),
             KV("position", r->state.cursor.pos), KV("account_kept", known));
    return OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* A restored log may end before what this destination has taken of the one it was copied from. */
static void
fit_to_log(struct relay *r)
{
    uint64_t end_pos = wal_end(r->options.wal);
    if (is_fill_pos(r->state.cursor.pos) || r->state.cursor.pos <= end_pos) return;
    log_warn("relay: the log ends before the position of this destination, probably because it was "
             "restored from a copy; going on at the end of the log",
             KV("destination", r->settings->name), KV("position", r->state.cursor.pos),
             KV("end", end_pos));
    r->state.cursor = (struct relay_cursor){.pos = end_pos};
    r->state.log_count.known = false;
}

enum err
relay_load_state(struct relay *r, struct why *why)
{
    struct env *env = r->options.env;
    enum err e = ERR_MISSING;
    if (!r->settings->dry_run) e = relay_state_read(env, r->dir, &r->scratch, &r->state, why);
    if (e == ERR_CORRUPT) return reset_state(r, e, why);
    if (e && e != ERR_MISSING) return e;
    bool is_new = e == ERR_MISSING;
    take_state(r);
    if (is_new) first_state(r, r->settings->start, r->settings->start_ms);
    memcpy(r->state.log_id, wal_log_id(r->options.wal), sizeof r->state.log_id);
    fit_to_log(r);
    e = keep_texts(r);
    if (e || r->settings->dry_run) return e;
    if (is_new) {
        return relay_state_make(env, r->options.dir, r->settings->name, &r->scratch, &r->state,
                                why);
    }
    err_ignore(reset_remove(env, r->dir, NULL), "a readable state needs no decision");
    return OK;
}
