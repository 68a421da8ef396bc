/*
 * run.c - what is at work between two states: writer, lanes, window, and what is read. A run can
 * end and another one begin with what the state says, as after a restart.
 */
#include <stddef.h>

#include "base/hash.h"
#include "base/log.h"
#include "relay/relay_private.h"

static const size_t LABEL_CACHE_BYTES = 2 * 1024 * 1024;
static const uint64_t QUEUED_BYTES = 1024 * 1024;
static const size_t FILL_KEPT_BYTES = 4 * 1024 * 1024;
static const int64_t FILL_WINDOW_MS = 6 * 3600 * 1000;
/* Of most series no more than one sample: a call that may hold one of each takes many of them. */
static const int64_t FILL_MOMENT_MS = 10 * 1000;

/* --- the state -------------------------------------------------------------------------------- */

enum err
relay_state_put(struct relay *r, const struct relay_state *state, struct why *why)
{
    if (r->settings->dry_run) return OK;
    return relay_state_write(r->options.env, r->dir, &r->scratch, state, why);
}

struct relay_cursor
relay_cursor(struct relay *r, struct fates *ret_before)
{
    struct relay_cursor cursor;
    window_cursor(r->window, &cursor, ret_before);
    if (is_fill_pos(cursor.pos)) cursor = (struct relay_cursor){.pos = cursor.pos + cursor.index};
    return cursor;
}

enum err
relay_ask_writer(struct relay *r, struct why *why)
{
    buf_clear(&r->next_writer_state);
    if (r->class->save != NULL) r->class->save(r->writer, &r->next_writer_state);
    enum err e = buf_error(&r->next_writer_state);
    return e ? why_set(why, e, "no memory for the state") : OK;
}

void
relay_identity(const struct relay *r, uint64_t record, uint32_t index, uint64_t *ret_pos,
               uint32_t *ret_index)
{
    *ret_pos = window_place(r->window, record).pos;
    *ret_index = index;
    if (!is_fill_pos(*ret_pos)) return;
    *ret_pos += index;
    *ret_index = 0;
}

/* As long as something of the log was not read, it may be what the store lost by damage, too. */
static void
note_gone(struct relay *r, struct relay_state *s)
{
    uint64_t damaged = s->gone.damaged, exemplars_damaged = s->gone_exemplars.damaged;
    tsdb_gone(r->options.tsdb, &s->gone, &s->gone_exemplars);
    if (relay_read_pos(r) >= wal_end(r->options.wal)) return;
    s->gone.damaged = damaged;
    s->gone_exemplars.damaged = exemplars_damaged;
}

/* What was taken, and what the log had accepted, up to the cursor. */
static void
note_counts(struct relay *r, struct relay_state *s)
{
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->taken[kind] = account_taken_before(r, kind);
    }
    account_remember(r, s);
    if (r->source == NULL) return; /* nothing was read: the state's is still that of the cursor */
    s->log_count = relay_read_count(r);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        s->log_count.of[kind] -= window_held(r->window, kind);
    }
}

/* What is settled behind the cursor; `before`: what is so before it. */
static void
note_ahead(const struct relay *r, const struct fates *before, struct fates *ret_ahead)
{
    const struct fates *all = window_fates(r->window);
    memset(ret_ahead, 0, sizeof *ret_ahead);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        for (unsigned fate = 0; fate < FATE_COUNT; fate++) {
            if (!fate_is_term(fate)) continue;
            ret_ahead->count[kind][fate] = all->count[kind][fate] - before->count[kind][fate];
        }
    }
}

/* What the state is to be, its texts in buffers of their own. */
static enum err
next_state(struct relay *r, struct relay_state *ret_state, struct why *why)
{
    struct fates before;
    struct relay_state *s = ret_state;
    account_found(r);
    *s = r->state;
    s->cursor = relay_cursor(r, &before);
    s->fates = r->base;
    fates_add(&s->fates, &before);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        s->fates.count[kind][FATE_REPLAYING] = 0;
    }
    note_ahead(r, &before, &s->ahead);
    account_expected(r, &before, &s->expected);
    note_counts(r, s);
    if (r->fill == NULL && r->options.tsdb != NULL && !r->ahead.lasting) {
        note_gone(r, s);
    }
    letters_remember(r, &before, &s->letters);
    enum err e = relay_ask_writer(r, why);
    s->writer = buf_bytes(&r->next_writer_state);
    if (e || r->fill == NULL) return e;
    buf_clear(&r->next_place);
    e = fill_place(r->fill, s->cursor.pos, &r->next_place, why);
    s->fill.place = buf_bytes(&r->next_place);
    if (e == ERR_CORRUPT) r->restart = true; /* it is not there as it was */
    return e;
}

static void
swap(struct buf *a, struct buf *b)
{
    struct buf was = *a;
    *a = *b;
    *b = was;
}

/* What is before the cursor is needed no more. */
static void
pass(struct relay *r)
{
    uint64_t pos = r->state.cursor.pos, segment = window_segment(r->window);
    guard_follow(r->options.guard, &r->state);
    if (r->fill != NULL) fill_pass(r->fill, pos);
    if (r->source != NULL)
        source_pass(r->source, pos, segment != 0 ? segment : r->log_chunk.segment);
}

enum err
relay_save(struct relay *r, struct why *why)
{
    struct relay_state state;
    enum err e = dead_letters_sync(r->letters, why);
    if (e == OK) e = next_state(r, &state, why);
    if (e == OK) shown_keep(&state, &r->state);
    if (e == OK) e = relay_state_put(r, &state, why);
    if (e) return e;
    r->state = state;
    swap(&r->writer_state, &r->next_writer_state);
    if (r->fill != NULL) swap(&r->place, &r->next_place);
    r->writer_state_hash = hash_bytes(state.writer, 0);
    r->dirty = false;
    if (!r->settings->dry_run) dead_letters_saved(r->letters);
    replay_saved(r);
    account_saved(r);
    pass(r);
    return r->class->saved == NULL ? OK : r->class->saved(r->writer, why);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* 0: none of its own. */
static uint64_t
memory_limit(const struct relay *r)
{
    return atomic_load_explicit(&r->options.memory->limit_bytes, memory_order_relaxed);
}

static size_t
label_cache_bytes(const struct relay *r)
{
    uint64_t limit = memory_limit(r);
    bool scarce = limit > 0 && limit / 8 < LABEL_CACHE_BYTES;
    return scarce ? (size_t)(limit / 8) : LABEL_CACHE_BYTES;
}

static enum err
open_writer(struct relay *r, struct why *why)
{
    struct writer_options options = {
        .env = r->options.env,
        .memory = r->options.memory,
        .settings = r->settings,
        .dir = r->dir,
        .instance = r->options.instance,
        .saved = r->state.writer,
        .fills = r->state.fill_count,
        .again_pos = r->state.fill_count > 0 ? r->state.begin_pos : 0,
    };
    enum err e = r->class->create(&options, &r->writer, why);
    if (e) return e;
    r->limits = r->class->limits(r->writer);
    struct call_bounds bounds = call_bounds_of(&r->limits, r->settings);
    call_bounds_fit(&bounds, memory_limit(r));
    r->samples_max = bounds.samples;
    r->bytes_max = bounds.bytes;
    r->age_max_ms = bounds.age_ms;
    r->concurrency = bounds.lanes;
    while (r->lane_count < r->concurrency) {
        e = lane_init(r, &r->lanes[r->lane_count++]);
        if (e) return e;
    }
    throttle_init(&r->throttle, r->concurrency, relay_now_ns(r));
    r->queued_bytes_max = QUEUED_BYTES;
    if (memory_limit(r) > 0 && memory_limit(r) / 16 < QUEUED_BYTES) {
        r->queued_bytes_max = memory_limit(r) / 16;
    }
    return lane_init(r, &r->replay);
}

static enum err
open_source(struct relay *r, struct why *why)
{
    struct source_options options = {
        .wal = r->options.wal,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .cache_bytes = label_cache_bytes(r),
        .begin = r->state.log_count,
    };
    enum err e = source_open(&options, r->state.cursor.pos, &r->source, why);
    r->from_oldest = r->state.cursor.pos == 0;
    if (e == OK && r->from_oldest) r->state.cursor.pos = source_pos(r->source);
    r->gone = e == ERR_MISSING;
    return r->gone ? OK : e;
}

static enum err
open_fill(struct relay *r, struct why *why)
{
    const struct relay_fill *fill = &r->state.fill;
    if (r->options.tsdb == NULL) {
        return why_set(why, ERR_INPUT, "the store it was reading is not there in this mode");
    }
    bool all = r->state.begin_pos <= fill->from_pos;
    struct fill_options options = {
        .env = r->options.env,
        .tsdb = r->options.tsdb,
        .name = r->settings->name,
        .selection = r->selection,
        .memory = r->options.memory,
        .stretch = {fill->from_pos, fill->to_pos},
        .min_ms = all ? INT64_MIN : r->state.begin_ms,
        .window_ms = r->limits.one_of_a_series ? FILL_MOMENT_MS : FILL_WINDOW_MS,
        .takes_metadata = r->limits.takes_metadata,
        .kept_bytes = FILL_KEPT_BYTES,
    };
    enum err e = fill_open(&options, r->state.cursor.pos, fill->place, &r->fill, why);
    return e;
}

/* What is not behind the saved cursor comes by again after a restart, whatever became of it: only
 * the window counts it. */
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

/* What is known of letters when they are opened. A dry run has no state of its own. */
static bool
known_of_letters(struct relay *r, struct relay_state *ret_state)
{
    if (r->settings->dry_run) {
        return relay_state_read(r->options.env, r->dir, &r->scratch, ret_state, NULL) == OK;
    }
    *ret_state = r->state;
    if (ret_state->cursor.pos == 0) { /* the oldest of the log */
        struct wal_stats stats;
        wal_stats(r->options.wal, &stats);
        ret_state->cursor.pos = stats.begin_pos;
    }
    return true;
}

/* Letters of what comes by again are none any more: it may be one again, or arrive. */
enum err
relay_open_letters(struct relay *r, struct why *why)
{
    struct relay_state known;
    bool is_known = known_of_letters(r, &known);
    struct relay_cursor cursor = r->settings->dry_run ? r->state.cursor : known.cursor;
    struct dead_letters_options options = {
        .env = r->options.env,
        .dir = r->dir,
        .state = is_known ? &known : NULL,
        .memory = r->options.memory,
        .max_bytes = r->settings->dead_letters_max_bytes,
        .max_age_ms = r->settings->dead_letters_max_age_ms,
        .moves = letter_moves,
        .context = r,
    };
    enum err e = dead_letters_open(&options, cursor.pos, cursor.index, &r->letters, why);
    if (e == OK && !r->settings->dry_run) e = dead_letters_revoke_known(r->letters, why);
    if (e) return e;
    letters_opened(r);
    struct dead_letters_counts counts;
    dead_letters_counts(r->letters, &counts);
    memcpy(r->replaying, counts.replaying, sizeof r->replaying);
    return OK;
}

void
relay_end_run(struct relay *r)
{
    for (uint32_t i = 0; i < r->concurrency && r->writer != NULL; i++) {
        lane_fini(r, &r->lanes[i]);
    }
    if (r->writer != NULL) {
        lane_fini(r, &r->replay);
        r->class->destroy(r->writer);
    }
    mem_free(r->options.memory, r->replay_ids, r->replay_capacity * sizeof *r->replay_ids);
    mem_free(r->options.memory, r->arrived, r->arrived_capacity * sizeof *r->arrived);
    window_free(r->window);
    suspects_fini(&r->suspects, r->options.memory);
    account_end(r);
    source_close(r->source);
    if (r->fill != NULL) {
        r->met_damage |= fill_met_damage(r->fill);
        fill_left_out(r->fill, &r->state.left_out);
    }
    fill_close(r->fill);
    dead_letters_free(r->letters);
    chunk_fini(&r->log_chunk);
    chunk_fini(&r->read_again);
    size_t begin = offsetof(struct relay, running), end = offsetof(struct relay, run_end);
    memset((char *)r + begin, 0, end - begin);
}

enum err
relay_begin_run(struct relay *r, struct why *why)
{
    guard_follow(r->options.guard, &r->state);
    r->running = true;
    r->base = r->state.fates;
    chunk_init(&r->log_chunk, r->options.memory);
    chunk_init(&r->read_again, r->options.memory);
    account_begin(r);
    enum err e = relay_open_letters(r, why);
    if (e == OK) e = open_writer(r, why);
    if (e == OK) e = r->state.fill.active ? open_fill(r, why) : open_source(r, why);
    r->run_from = r->state.cursor;
    if (e == OK) e = window_new(r->options.memory, r->run_from, &r->window);
    if (e) relay_end_run(r);
    return e;
}

void
relay_run_again(struct relay *r)
{
    relay_end_run(r);
    r->run_again_ns = 0;
}
