/*
 * begin.c - chooses the position at which a destination begins: that of its state; if it is new,
 * that of its settings; and if its state cannot be read, where an operator says
 * (state/directory.h), or nowhere. A guess would lose queued items, or send all of them again.
 */
#include "relay/relay_private.h"

#include <inttypes.h>

#include "base/log.h"
#include "relay/letters/letters.h"
#include "relay/state/directory.h"
#include "relay/state/state.h"

/* Takes over a state. The writer's state of another destination type is dropped. */
static void
take_state(struct relay *r)
{
    const struct relay_context *c = &r->context;
    struct relay_state *s = &r->state;
    if (s->destination_known && s->type != c->settings->type) s->writer = bytes_of(NULL, 0);
    s->destination_known = true;
    s->type = c->settings->type;
    s->place = destination_place_hash(c->settings);
    memcpy(s->name, c->settings->name, strlen(c->settings->name) + 1);
}

/* Sets the state with which a destination without one begins. */
static void
first_state(struct relay *r, enum destination_start start, int64_t start_ms)
{
    const struct relay_options *o = &r->context.options;
    struct relay_state *s = &r->state;
    uint64_t store_pos = o->tsdb == NULL ? 0 : tsdb_store_pos(o->tsdb);
    s->cursor = (struct relay_cursor){.pos = 0}; /* the oldest of the log */
    if (start == START_NOW) s->cursor.pos = guard_begin_pos(o->guard);
    if (start == START_TIME) {
        s->begin_ms = start_ms;
        s->begin_pos = guard_begin_pos(o->guard);
    }
    if (start == START_NOW || store_pos == 0) return;
    catch_up_fill(s, 0, catch_up_end(&r->context, 0, &s->log_count), env_realtime_ms(o->env));
}

/* --- a state that cannot be read -------------------------------------------------------------- */

/*
 * Items may be sent again in other calls: a new number of fills keeps apart what writers name after
 * it.
 */
static void
begin_again(struct relay *r, const struct reset *reset, bool knows_previous)
{
    const struct relay_options *o = &r->context.options;
    struct relay_state *s = &r->state;
    uint64_t end_pos = wal_end(o->wal);
    if (!knows_previous) s->fill_count = (uint32_t)(env_realtime_ms(o->env) / 60000);
    s->fill_count++;
    if (reset->from == RESET_PREVIOUS) {
        if (s->begin_pos == 0) s->begin_ms = INT64_MIN;
        s->begin_pos = end_pos;
        return;
    }
    if (reset->from == RESET_NOW && knows_previous && !s->fill.active) {
        s->drop_pos = end_pos; /* items before it are read, counted, and dropped */
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

/* Items that were taken and are not settled. */
static uint64_t
waiting(const struct relay_state *s, unsigned kind)
{
    return s->counted[kind] > s->taken[kind] ? s->counted[kind] - s->taken[kind] : 0;
}

/* Converts what an earlier version left, if the state does not have a list of files. */
static enum err
convert_letters(struct relay *r, bool is_known, struct why *why)
{
    const struct relay_context *c = &r->context;
    struct relay_state *s = &r->state, before = *s;
    struct wal_stats log;
    wal_stats(c->options.wal, &log);
    if (s->cursor.pos == 0) s->cursor.pos = log.begin_pos; /* the oldest of the log */
    /* It happens once, and a file may be larger than the destination's share of memory. */
    enum err e = letters_old_convert(c->options.env, c->dir, NULL, s, is_known,
                                     &r->saving.next_letters, why);
    s->cursor = before.cursor;
    if (e == OK) shown_keep(s, &before);
    return e;
}

/* Makes the account include the lines that exist. Queued items that are not dead letters and are
 * not sent any more are dropped; those that are read all the same, because they are wanted from a
 * time on, are counted once more. */
static enum err
count_letters(struct relay *r, const struct relay_state *was, bool is_known, enum reset_from from,
              struct why *why)
{
    const struct relay_context *c = &r->context;
    struct relay_state *s = &r->state;
    struct buf *bytes = &r->saving.next_letters;
    struct letter_list list = {.memory = c->options.memory};
    uint64_t waits[ITEM_KIND_COUNT] = {0}, lines[ITEM_KIND_COUNT] = {0};
    /* The previous state may be older than the account was: the log has the missing items. */
    bool drops = s->drop_pos == 0 && (from == RESET_NOW || from == RESET_TIME);
    bool known = was->log_count.known && !was->fill.active && destination_takes_all(c->settings);
    struct wal_stats log;
    wal_stats(c->options.wal, &log);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && drops; kind++) {
        waits[kind] = waiting(was, kind);
        bool counted = known && kind < LEDGER_KIND_COUNT;
        if (!counted || log.totals[kind] < was->log_count.of[kind]) continue;
        uint64_t more = log.totals[kind] - was->log_count.of[kind];
        if (more > waits[kind]) waits[kind] = more;
    }
    enum err e = OK;
    bool is_old = is_known && letter_list_is_old(s->letters);
    if (!is_old && from != RESET_PREVIOUS) {
        e = letters_recount(c->options.env, c->dir, c->options.memory, &list, why);
        buf_clear(bytes);
        letter_list_put(&list, bytes);
        s->letters = buf_bytes(bytes);
        if (e == OK) e = buf_error(bytes);
        is_old = !is_known && list.count == 0;
        letter_list_fini(&list);
    }
    if (e == OK && is_old) e = convert_letters(r, is_known, why);
    if (e == OK) e = letter_list_get(&list, s->letters);
    letter_list_lines(&list, lines);
    letter_list_fini(&list);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && e == OK; kind++) {
        uint64_t had = was->fates.count[kind][FATE_DEAD_LETTERED];
        uint64_t letters = lines[kind] > had ? lines[kind] - had : 0;
        uint64_t dropped = waits[kind] > letters ? waits[kind] - letters : 0;
        s->fates.count[kind][FATE_DEAD_LETTERED] = lines[kind];
        s->fates.count[kind][FATE_DROPPED + DROP_BY_OPERATOR] += dropped;
        s->taken[kind] = s->counted[kind] = fates_settled(&s->fates, kind);
    }
    return e;
}

/* Begins as an operator decided; `why` says what cannot be read. */
static enum err
reset_state(struct relay *r, enum err cause, struct why *why)
{
    const struct relay_context *c = &r->context;
    struct env *env = c->options.env;
    struct reset reset;
    struct why decision = {""};
    enum err e = reset_read(env, c->dir, &reset, &decision);
    if (e == ERR_MISSING) {
        struct why reason = *why;
        return why_set(why, cause,
                       "%s; keeping the log from position %" PRIu64
                       " until you choose where to resume: firekeep destinations reset %s "
                       "--from=previous|oldest|now|TIME",
                       reason.text, relay_guard_pos(c->options.guard), c->settings->name);
    }
    if (e) return why_set(why, e, "%s", decision.text);
    e = relay_state_read_previous(env, c->dir, &r->saving.scratch, &r->state, &decision);
    bool known = e == OK;
    struct relay_state before = r->state;
    if (!known && reset.from == RESET_PREVIOUS)
        return why_set(why, e, "cannot reset to the previous state: %s", decision.text);
    if (!known) r->state = before = (struct relay_state){.wish = RELAY_WISH_NONE};
    take_state(r);
    begin_again(r, &reset, known);
    e = count_letters(r, &before, known, reset.from, why);
    if (e == OK) e = saving_keep_texts(&r->saving, &r->state);
    if (e == OK) e = relay_state_put_aside(env, c->dir, why);
    memcpy(r->state.log_id, wal_log_id(c->options.wal), sizeof r->state.log_id);
    if (known) shown_keep_taken(&r->state, &before);
    if (e == OK) e = saving_put(&r->saving, &r->state, why);
    if (e == OK) e = reset_remove(env, c->dir, why);
    if (e) return e;
    log_warn("relay: destination reset by the operator", KV("destination", c->settings->name),
             KV("from", reset_word(reset.from)), KV("position", r->state.cursor.pos),
             KV("account_kept", known));
    return OK;
}

/* --- the saved state at the start ------------------------------------------------------------- */

/*
 * The store may have what the log has lost: begins to read all of it from the cursor on, up to its
 * end. Queued items that do not come are lost.
 */
static bool
fill_instead(struct relay *r, const struct wal_stats *log, bool other)
{
    const struct relay_options *o = &r->context.options;
    struct relay_state *s = &r->state;
    if (o->tsdb == NULL || s->fill.active) return false;
    if (tsdb_store_pos(o->tsdb) <= s->cursor.pos) return false;
    struct relay_cursor from = s->cursor;
    uint64_t margin[ITEM_KIND_COUNT];
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        /* Items that the log accepted after the cursor, besides those that were counted: as many
         * may come in addition. */
        bool known = s->log_count.known && s->cursor.index == 0 && s->begin_pos <= s->cursor.pos;
        margin[kind] = UINT64_MAX;
        if (other || !known || kind == ITEM_METADATA) continue;
        uint64_t total = log->totals[kind], waits = waiting(s, kind);
        if (s->log_totals.known && s->log_totals.of[kind] > total) total = s->log_totals.of[kind];
        uint64_t after = total > s->log_count.of[kind] ? total - s->log_count.of[kind] : 0;
        margin[kind] = after > waits ? after - waits : 0;
    }
    uint64_t to_pos = catch_up_end(&r->context, from.pos, &s->log_count);
    catch_up_fill(s, from.pos, to_pos, env_realtime_ms(o->env));
    s->fill.again = from;
    s->expected = (struct relay_expected){
        .until_pos = to_pos > log->end_pos ? to_pos : log->end_pos,
        .log_count.known = !other,
        .selection = s->selection,
    };
    memcpy(s->expected.log_count.of, log->totals, sizeof log->totals);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->expected.count[kind] = (int64_t)waiting(s, kind);
        s->expected.margin[kind] = margin[kind];
    }
    s->left_out = (struct samples_left_out){0};
    s->log_lost = true;
    return true;
}

/* True if nothing was ever written to this log, nor to the one that the state knows, and the store
 * has nothing after the cursor, as a restored one may. A log gets a new id at each start until
 * something is written to it. */
static bool
both_are_empty(const struct relay_options *o, const struct relay_state *s,
               const struct wal_stats *log)
{
    uint64_t items = 0;
    if (o->tsdb != NULL && tsdb_store_pos(o->tsdb) > s->cursor.pos) return false;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        items += log->totals[kind] + s->log_totals.of[kind];
    return s->log_totals.known && items == 0 && !s->fill.active && s->expected.until_pos == 0 &&
           s->cursor.pos <= log->end_pos;
}

/* A log that was removed, or restored from a copy, may lack items that are queued for this
 * destination, and have others at the same positions. True if that is so, and the state says it. */
static bool
fit_to_log(struct relay *r)
{
    const struct relay_options *o = &r->context.options;
    static const uint8_t none[WAL_LOG_ID_BYTES];
    struct relay_state *s = &r->state;
    struct wal_stats log;
    wal_stats(o->wal, &log);
    bool other = memcmp(s->log_id, none, sizeof none) != 0 &&
                 memcmp(s->log_id, wal_log_id(o->wal), sizeof s->log_id) != 0;
    memcpy(s->log_id, wal_log_id(o->wal), sizeof s->log_id);
    if (other && both_are_empty(o, s, &log)) return true;
    bool less = !is_fill_pos(s->cursor.pos) && s->cursor.pos > log.end_pos;
    /* The log ends before the parts do. Reading it shows that items are missing only if the number
     * before the position is known. */
    uint64_t store_pos = o->tsdb == NULL ? 0 : tsdb_store_pos(o->tsdb);
    less |= s->log_totals.known && !s->log_count.known && log.end_pos < store_pos;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && s->log_totals.known; kind++)
        less |= log.totals[kind] < s->log_totals.of[kind];
    if (!less && !other) return false;
    uint64_t pos = s->cursor.pos;
    bool filled = fill_instead(r, &log, other);
    bool expects = s->fill.active || s->expected.until_pos > 0;
    if (expects && !filled) { /* later items of the log are in the store, or lost */
        uint64_t end_pos = log.end_pos;
        if (s->fill.active && s->fill.to_pos > end_pos) end_pos = s->fill.to_pos;
        if (s->expected.until_pos > end_pos) {
            s->expected.until_pos = end_pos;
            s->expected.log_count.known &= !other;
            /* The log goes on with these totals. Items that are expected up to there may be fewer
             * than they say. */
            struct log_count *count = &s->expected.log_count;
            for (unsigned kind = 0; kind < LEDGER_KIND_COUNT && count->known; kind++) {
                uint64_t *margin = &s->expected.margin[kind];
                if (log.totals[kind] > count->of[kind] && *margin != UINT64_MAX)
                    *margin += log.totals[kind] - count->of[kind];
                count->of[kind] = log.totals[kind];
            }
        }
        s->log_lost = true;
    }
    if (!is_fill_pos(s->cursor.pos)) {
        if (other && pos >= log.begin_pos) s->cursor = (struct relay_cursor){0};
        if (!other && pos > log.next_pos) s->cursor = (struct relay_cursor){.pos = log.next_pos};
    }
    if (!filled) s->log_count.known &= !other;
    if (!is_fill_pos(s->cursor.pos) && s->cursor.pos > log.end_pos) {
        s->log_count.known = true; /* it is before the next commit */
        memcpy(s->log_count.of, log.totals, sizeof log.totals);
    }
    if (other) s->counted_pos = log.begin_pos;
    s->log_totals.known = true; /* they go on from here: only once are they less */
    memcpy(s->log_totals.of, log.totals, sizeof log.totals);
    log_warn("relay: the log does not match the position of this destination, probably because it "
             "was removed or restored from a copy",
             KV("destination", r->context.settings->name), KV("position", pos),
             KV("log_end", log.end_pos), KV("other_log", other), KV("reading_the_store", filled));
    return true;
}

enum err
relay_load_state(struct relay *r, struct why *why)
{
    const struct relay_context *c = &r->context;
    struct env *env = c->options.env;
    enum err e = ERR_MISSING;
    if (!c->settings->dry_run)
        e = relay_state_read_own(env, c->dir, c->settings, &r->saving.scratch, &r->state, why);
    if (e == ERR_CORRUPT) return reset_state(r, e, why);
    if (e && e != ERR_MISSING) return e;
    bool is_new = e == ERR_MISSING;
    take_state(r);
    if (is_new) {
        first_state(r, c->settings->start, c->settings->start_ms);
        struct relay_state *s = &r->state;
        letter_list_put(&(struct letter_list){.number = 1}, &r->saving.next_letters);
        s->letters = buf_bytes(&r->saving.next_letters);
        struct wal_stats log;
        wal_stats(c->options.wal, &log);
        if (s->cursor.pos == log.end_pos) {
            s->log_count.known = true;
            memcpy(s->log_count.of, log.totals, sizeof log.totals);
        }
    }
    bool converts = !is_new && !c->settings->dry_run && letter_list_is_old(r->state.letters);
    e = converts ? convert_letters(r, true, why) : OK;
    if (e) return e;
    bool changed = fit_to_log(r) || converts;
    e = saving_keep_texts(&r->saving, &r->state);
    if (e || c->settings->dry_run) return e;
    if (changed && !is_new) e = saving_put(&r->saving, &r->state, why);
    if (e) return e;
    if (is_new) {
        return relay_state_make(env, c->options.dir, c->settings->name, &r->saving.scratch,
                                &r->state, why);
    }
    err_ignore(reset_remove(env, c->dir, NULL), "a readable state needs no decision");
    return OK;
}
