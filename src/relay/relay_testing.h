/*
 * relay_testing.h - a whole relay on a simulated machine, with a destination that says what it
 * likes. For tests only.
 */
#ifndef RELAY_RELAY_TESTING_H
#define RELAY_RELAY_TESTING_H

#include <inttypes.h>

#include "lib/tsdb_machine.h"

#include "model/labels.h"
#include "model/selector.h"
#include "relay/dead_letters_ask.h"
#include "relay/relay.h"
#include "relay/seed_testing.h"
#include "relay/state.h"
#include "tsdb/tsdb.h"

enum { SERIES = 40, SAMPLES_MAX = 60000, CALL_MAX = 4096 };

/* What was logged, sample by sample; its number is its value. */
struct sent {
    uint32_t series;
    uint32_t before; /* the sample of the same series before it; UINT32_MAX: none */
    bool poison;     /* the destination refuses it for good */
    bool delivered;
    bool written; /* to a file that is cut after a crash, until the state is saved */
    bool dead;
    bool refused; /* with its call, which is not to be sent again */
    uint32_t times;
};

/* What the destination does with a call. */
struct moods {
    unsigned retry, throttle, mixed, too_large, again, blocked, unprepared; /* out of 100 */
};

struct world {
    struct machine m;
    struct rng rng;
    struct sent sent[SAMPLES_MAX];
    uint32_t count;
    uint32_t last[SERIES];
    uint32_t from; /* samples before it were logged when there was no destination */
    struct destination_settings settings;
    struct relay_options options;
    struct budget memory;
    const struct writer_class *writer; /* NULL: fake_writer */
    struct relay *relay;               /* NULL: not open */
    struct moods moods;
    struct relay_shown shown; /* the last */
    bool forgets_shown;       /* what remembered it was lost */
    bool without_store;
    bool drops;                /* it may give up the oldest */
    struct relay_guard *guard; /* NULL: none yet */
    bool may_repeat;           /* the store may, as its parts reach beyond what is missing */
    void (*on_saved)(struct world *w); /* the state is durable; NULL: nothing happens then */
    bool saves_first;                  /* a call is sent once the state is saved */
    bool writes_files;                 /* what arrived counts when it is saved */
    bool names_nobody;                 /* a refusal does not say who is refused, */
    bool tells_how_many;               /* but how many are, */
    bool names_metric;                 /* and the metric of the first one; */
    bool tells_of_all;                 /* and if it is all of them */
    bool never_again;                  /* nothing of a refused call is to be sent again */
    uint32_t named;                    /* the metric */
    bool one_of_a_series;
    bool one_lane; /* a call is begun only when the one before is settled; */
    bool joins;    /* and of its items none is judged by itself */
    const struct writer_call *begun;
    uint32_t takes_from; /* of the store: samples before it are too old for the destination, */
    bool has_learnt;     /* which it does not know at first */
    uint32_t fills;      /* that the writer was told of when it was made last */
    bool needs_keys;     /* before any call, which are got with this verdict */
    enum writer_verdict keys_verdict;
    bool is_checked; /* at the start, with this verdict */
    enum writer_verdict check_verdict;
    uint32_t checks;
    uint32_t bytes_max;   /* a larger call is too large */
    bool holds_first;     /* a call of the first sample of all fails; the cursor stands */
    uint32_t fails_each;  /* so manieth call fails, and is not stored; 0: none */
    bool throttles_parts; /* a throttled call says nothing of others */
    int64_t asks_ms;      /* so long it wants to be left alone when it throttles */
    uint32_t calls;
    uint32_t calls_failed; /* of them, without an answer about the samples */
    uint32_t calls_mixed;  /* of which something is to be sent again */
    uint64_t repeated;
    uint64_t letters; /* on disk */
};

static struct world *world; /* the writer's */

/* --- the destination -------------------------------------------------------------------------- */

struct writer {
    struct writer_base base;
    struct world *w;
};

struct writer_call {
    uint32_t numbers[CALL_MAX];
    uint32_t count;
    enum writer_verdict verdicts[CALL_MAX];
    bool has_too_old;
    bool saves; /* it was told to */
};

static inline enum err
fake_init(struct writer *w, struct why *why)
{
    (void)why;
    w->w = world;
    w->base.limits = (struct writer_limits){
        .one_of_a_series = world->one_of_a_series,
        .one_lane = world->one_lane,
        .throttles_parts = world->throttles_parts,
        .start_check = world->is_checked,
        .concurrency = 3,
        .samples = 200,
        .bytes = 1 << 20,
        .samples_max = CALL_MAX,
        .bytes_max = 1 << 20,
    };
    world->fills = w->base.options.fills;
    for (uint32_t i = 0; i < world->count; i++) {
        world->sent[i].written = false;
    }
    return OK;
}

static inline void
fake_fini(struct writer *w)
{
    (void)w;
}

static inline enum err
fake_call_init(struct writer *w, struct writer_call *c)
{
    (void)w;
    (void)c;
    return OK;
}

static inline void
fake_call_fini(struct writer *w, struct writer_call *c)
{
    if (w->w->begun == c) w->w->begun = NULL;
}

static inline void
fake_call_clear(struct writer *w, struct writer_call *c)
{
    if (w->w->begun == c) w->w->begun = NULL;
    c->count = 0;
    c->has_too_old = c->saves = false;
}

static inline enum writer_add
fake_add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
         struct why *why)
{
    assert_int_equal(item->kind, ITEM_FLOAT);
    uint32_t number = (uint32_t)bits_double(item->bits);
    char series[32];
    snprintf(series, sizeof series, "s%u", w->w->sent[number].series);
    assert_true(bytes_equal_text(labels_get(item->labels, text("name")), series));
    bool too_old = is_fill_pos(item->pos) && number < w->w->takes_from;
    if (too_old && w->w->has_learnt) return WRITER_TOO_OLD;
    if (number % 1000 == 999 && !too_old) {
        err_ignore(why_set(why, ERR_INPUT, "no form for it"), "the verdict says it");
        return WRITER_UNFIT;
    }
    if (c->count == CALL_MAX) return WRITER_FULL;
    c->has_too_old |= too_old;
    *ret_entry = w->w->joins ? 0 : c->count;
    c->numbers[c->count++] = number;
    return WRITER_ADDED;
}

static inline uint64_t
fake_bytes(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return 100 * (uint64_t)c->count;
}

static inline uint64_t
fake_units(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return c->count;
}

static inline uint32_t
metric_of(uint32_t series)
{
    return series % 7;
}

/* A sample has arrived: all before it of its series have, or never will. */
static inline void
arrive(struct world *w, uint32_t number)
{
    struct sent *s = &w->sent[number];
    assert_true(number < w->count);
    assert_false(s->poison);
    for (uint32_t i = s->before; i != UINT32_MAX && i >= w->from; i = w->sent[i].before) {
        const struct sent *b = &w->sent[i];
        if (w->drops || b->delivered || b->written || b->poison || b->dead || i % 1000 == 999)
            continue;
        if (i < w->takes_from || b->refused) continue;
        fail_msg("sample %u of series %u came before %u", number, s->series, i);
    }
    w->repeated += s->delivered;
    s->written = w->writes_files;
    s->delivered |= !w->writes_files;
    s->times++;
}

static inline bool
happens(struct world *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

static inline void
say(struct writer_step *step, enum writer_verdict verdict, const char *reason)
{
    step->next = WRITER_DONE;
    step->verdict = verdict;
    snprintf(step->reason, sizeof step->reason, "%s", reason);
    snprintf(step->answer, sizeof step->answer, "it said %s", reason);
}

/* Each record by itself: stored, refused, or again later. */
static inline void
mix(struct world *w, struct writer_call *c, struct writer_step *step)
{
    bool any_later = false;
    for (uint32_t i = 0; i < c->count; i++) {
        bool later = happens(w, 20);
        if (w->sent[c->numbers[i]].poison)
            c->verdicts[i] = VERDICT_DEAD;
        else
            c->verdicts[i] = later ? VERDICT_RETRY : VERDICT_DELIVERED;
        any_later |= c->verdicts[i] == VERDICT_RETRY;
        if (c->verdicts[i] == VERDICT_DELIVERED) arrive(w, c->numbers[i]);
    }
    w->calls_mixed += any_later;
    say(step, VERDICT_MIXED, "partly");
}

/* Some are refused. */
static inline void
refuse(struct world *w, const struct writer_call *c, struct writer_step *step)
{
    uint32_t bad = 0, first = UINT32_MAX;
    for (uint32_t i = 0; i < c->count; i++) {
        bad += w->sent[c->numbers[i]].poison;
        if (first == UINT32_MAX && w->sent[c->numbers[i]].poison) first = c->numbers[i];
    }
    bool all = w->tells_of_all && bad == c->count;
    say(step, all ? VERDICT_DEAD : VERDICT_SOME_DEAD, "bad");
    if (w->tells_how_many) step->refused = bad;
    for (uint32_t i = 0; i < c->count && w->never_again; i++) {
        w->sent[c->numbers[i]].refused = true;
    }
    if (w->never_again) step->verdict = VERDICT_DEAD_CALL;
    if (!w->names_metric) return;
    step->hint = HINT_NAMED;
    w->named = metric_of(w->sent[first].series);
}

static inline enum writer_blame
fake_blames(struct writer *w, const struct item *item)
{
    char metric[32];
    snprintf(metric, sizeof metric, "m%u", w->w->named);
    bool named = bytes_equal_text(labels_get(item->labels, text("__name__")), metric);
    return named ? BLAMES_METRIC : BLAMES_NOT;
}

static inline void
fake_begin(struct writer *writer, struct writer_call *c, struct writer_step *step)
{
    struct world *w = writer->w;
    const struct moods *m = &w->moods;
    assert_true(c->count > 0);
    if (c->has_too_old) {
        w->has_learnt = true;
        say(step, VERDICT_REBUILD, "too_old");
        return;
    }
    if (w->saves_first && !c->saves) {
        c->saves = true;
        step->next = WRITER_SAVE;
        return;
    }
    w->calls++;
    if (w->one_lane && w->begun != NULL) assert_ptr_equal(w->begun, c);
    w->begun = c;
    bool poisoned = false, held = false;
    for (uint32_t i = 0; i < c->count; i++) {
        held |= w->holds_first && c->numbers[i] == 0;
        poisoned |= w->sent[c->numbers[i]].poison;
        assert_false(w->sent[c->numbers[i]].refused);
    }
    if (w->bytes_max > 0 && 100 * c->count > w->bytes_max) {
        say(step, VERDICT_TOO_LARGE, "too_large");
    } else if (held) {
        say(step, VERDICT_RETRY, "held");
    } else if (w->fails_each > 0 && w->calls % w->fails_each == 0) {
        w->calls_failed++;
        say(step, VERDICT_RETRY, "unavailable");
    } else if (happens(w, m->retry)) {
        w->calls_failed++;
        bool stored = happens(w, 50) && !poisoned; /* and the answer was lost */
        for (uint32_t i = 0; i < c->count && stored; i++) {
            arrive(w, c->numbers[i]);
        }
        say(step, VERDICT_RETRY, "timeout");
    } else if (happens(w, m->throttle)) {
        say(step, VERDICT_THROTTLED, "throttled");
        step->wait_ms = w->asks_ms;
    } else if (happens(w, m->blocked)) {
        say(step, VERDICT_BLOCKED, "forbidden");
    } else if (happens(w, m->unprepared)) {
        say(step, VERDICT_UNPREPARED, "unauthorized");
    } else if (happens(w, m->again)) {
        say(step, happens(w, 50) ? VERDICT_AGAIN : VERDICT_REBUILD, "learnt");
    } else if ((poisoned && !w->names_nobody) || happens(w, m->mixed)) {
        mix(w, c, step);
    } else if (poisoned) {
        refuse(w, c, step);
    } else {
        for (uint32_t i = 0; i < c->count; i++) {
            arrive(w, c->numbers[i]);
        }
        say(step, VERDICT_DELIVERED, "");
    }
}

static inline void
fake_entry(const struct writer *w, const struct writer_call *c, uint32_t entry,
           struct writer_entry *ret_entry)
{
    (void)w;
    assert_true(entry < c->count);
    *ret_entry = (struct writer_entry){.verdict = c->verdicts[entry]};
    if (c->verdicts[entry] == VERDICT_DEAD) {
        snprintf(ret_entry->reason, sizeof ret_entry->reason, "bad");
    }
}

static inline bool
fake_need_prepare(struct writer *w)
{
    return w->w->needs_keys;
}

static inline void
fake_prepare(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    assert_null(answer);
    say(step, w->w->keys_verdict, "keys");
    if (step->verdict == VERDICT_DELIVERED) w->w->needs_keys = false;
}

static inline bool
fake_check(struct writer *w, uint32_t number, const struct http_call_answer *answer,
           struct writer_step *step, char what[WRITER_ANSWER_BYTES])
{
    assert_int_equal(number, 0);
    assert_null(answer);
    snprintf(what, WRITER_ANSWER_BYTES, "a check");
    w->w->checks++;
    say(step, w->w->check_verdict, "http_401");
    return true;
}

static inline enum err
fake_saved(struct writer *w, struct why *why)
{
    (void)why;
    for (uint32_t i = 0; i < w->w->count; i++) {
        struct sent *sent = &w->w->sent[i];
        sent->delivered |= sent->written;
        sent->written = false;
    }
    if (w->w->on_saved != NULL) w->w->on_saved(w->w);
    return OK;
}

static const struct writer_class fake_writer = {
    .type = DESTINATION_REMOTE_WRITE,
    .writer_bytes = sizeof(struct writer),
    .call_bytes = sizeof(struct writer_call),
    .init = fake_init,
    .fini = fake_fini,
    .call_init = fake_call_init,
    .call_fini = fake_call_fini,
    .call_clear = fake_call_clear,
    .add = fake_add,
    .bytes = fake_bytes,
    .units = fake_units,
    .begin = fake_begin,
    .blames = fake_blames,
    .entry = fake_entry,
    .need_prepare = fake_need_prepare,
    .prepare = fake_prepare,
    .check = fake_check,
    .saved = fake_saved,
};

/* --- the world -------------------------------------------------------------------------------- */

static inline void
world_init(struct world *w, uint64_t seed)
{
    seed = shifted_seed(seed);
    memset(w, 0, sizeof *w);
    world = w;
    machine_init(&w->m, seed);
    w->rng = (struct rng){seed};
    memset(w->last, 0xff, sizeof w->last);
    budget_init(&w->memory, "relay", 0, NULL);
    w->settings = (struct destination_settings){
        .name = "there",
        .type = DESTINATION_REMOTE_WRITE,
        .batch = {.max_age_ms = 5000},
        .retry = {.min_backoff_ms = 100, .max_backoff_ms = 10000},
        .dead_letters_max_bytes = 64 << 20,
        .log_budget_bytes = 1 << 30,
    };
    machine_must_open(&w->m);
    must(env_mkdir(w->m.env, "relay", NULL));
    must(env_syncdir(w->m.env, ".", NULL));
}

static inline void
world_options(struct world *w)
{
    w->options = (struct relay_options){
        .env = w->m.env,
        .wal = tsdb_wal(w->m.db),
        .tsdb = w->without_store ? NULL : w->m.db,
        .dir = "relay",
        .memory = &w->memory,
        .settings = &w->settings,
        .writer = w->writer == NULL ? &fake_writer : w->writer,
        .instance = "00112233",
        .user_agent = "test",
        .guard = w->guard,
        .epoch_ms = w->options.epoch_ms,
        .epoch_ns = w->options.epoch_ns,
    };
}

static inline void
relay_must_open(struct world *w)
{
    world_options(w);
    if (w->guard == NULL) must(relay_guard_new(&w->options, NULL, &w->guard, &w->m.why));
    w->options.guard = w->guard;
    enum err e = relay_open(&w->options, &w->relay, &w->m.why);
    if (e) print_error("relay_open: %s: %s\n", err_word(e), w->m.why.text);
    must(e);
}

/* There is no destination any more. */
static inline void
world_unname(struct world *w)
{
    relay_free(w->relay);
    relay_guard_free(w->guard);
    w->relay = NULL;
    w->guard = NULL;
}

static inline void
world_fini(struct world *w)
{
    world_unname(w);
    assert_int_equal(budget_used(&w->memory), 0);
    machine_fini(&w->m);
}

/* A second after the other, over some windows of time. */
static inline int64_t
sent_ms(uint32_t number)
{
    return SIM_BEGIN - DAY_MS + 1000 * (int64_t)number;
}

/* A request of one sample for some series, at times that mostly rise. */
static inline void
log_some(struct world *w, uint32_t samples, unsigned poison_percent)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    uint32_t begin = w->count;
    for (uint32_t i = 0; i < samples && w->count < SAMPLES_MAX; i++) {
        uint32_t series = (uint32_t)rng_below(&w->rng, SERIES), number = w->count++;
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m%u,name=s%u", metric_of(series), series);
        w->sent[number] = (struct sent){
            .series = series,
            .before = w->last[series],
            .poison = happens(w, poison_percent),
        };
        w->last[series] = number;
        rq_series(&rq, labels);
        rq_float(&rq, sent_ms(number), double_bits(number), 0);
    }
    must(machine_send(&w->m, "anonymous", &rq));
    assert_int_equal(w->m.result.written[LEDGER_FLOAT], w->count - begin);
    machine_commit(&w->m);
    rq_fini(&rq);
}

static inline struct relay_status
status_of(struct world *w)
{
    struct relay_status s;
    relay_status(w->relay, &s);
    return s;
}

/* Without the texts in it. */
static inline struct relay_state
state_on_disk(struct world *w)
{
    struct buf memory;
    struct relay_state state;
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_read(w->m.env, "relay/there", &memory, &state, &w->m.why));
    buf_fini(&memory);
    return state;
}

/* The equation holds of what counters show as well, and none of them goes down. */
static inline void
check_shown(struct world *w)
{
    struct relay_status status = status_of(w);
    const struct relay_shown *s = &status.shown;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && !w->forgets_shown; kind++) {
        const uint64_t *is = s->fates.count[kind], *was = w->shown.fates.count[kind];
        for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
            if (is[fate] >= was[fate] || fate == FATE_REPLAYING || fate == FATE_REPEATED) continue;
            fail_msg("fate %u of kind %u went from %" PRIu64 " to %" PRIu64, fate, kind, was[fate],
                     is[fate]);
        }
        if (s->taken[kind] != fates_settled(&s->fates, kind) + is[FATE_OPEN]) {
            fail_msg("taken %" PRIu64 " of kind %u, settled %" PRIu64 ", queued %" PRIu64,
                     s->taken[kind], kind, fates_settled(&s->fates, kind), is[FATE_OPEN]);
        }
        if (s->taken[kind] < w->shown.taken[kind]) {
            fail_msg("taken of kind %u went from %" PRIu64 " to %" PRIu64, kind,
                     w->shown.taken[kind], s->taken[kind]);
        }
        w->shown.taken[kind] = s->taken[kind];
    }
    w->shown.fates = s->fates;
}

static inline void
turn(struct world *w, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        int wait_ms = relay_step(w->relay);
        struct relay_status s = status_of(w);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            if (s.difference[kind] == 0) continue;
            fail_msg("a difference of %lld of kind %u", (long long)s.difference[kind], kind);
        }
        check_shown(w);
        sim_env_advance_ns(w->m.sim, (int64_t)(wait_ms > 0 ? wait_ms : 1) * NS_PER_MS);
    }
}

/* Power goes, and comes back. */
static inline void
crash_and_open_nothing(struct world *w)
{
    world_unname(w);
    machine_close(&w->m);
    sim_env_power_loss(w->m.sim);
    machine_must_open(&w->m);
}

static inline void
crash(struct world *w)
{
    crash_and_open_nothing(w);
    relay_must_open(w);
}

static inline bool
all_settled(struct world *w)
{
    struct relay_status s = status_of(w);
    return s.behind_bytes == 0 && s.fates.count[ITEM_FLOAT][FATE_OPEN] == 0;
}

static inline void
turn_until_settled(struct world *w)
{
    for (unsigned i = 0; i < 200000; i++) {
        turn(w, 1);
        if (all_settled(w)) return;
    }
    struct relay_status s = status_of(w);
    fail_msg("never settled: state %s, error %s, %llu bytes behind", relay_state_text(s.state),
             s.error, (unsigned long long)s.behind_bytes);
}

static inline enum err
note_dead(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    struct world *w = context;
    uint32_t number = (uint32_t)bits_double(letter->item.bits);
    assert_int_equal(state, DEAD_LETTER_KEPT);
    assert_true(number < w->count);
    if (!w->may_repeat) assert_false(w->sent[number].dead); /* each once */
    w->sent[number].dead = true;
    w->letters++;
    return OK;
}

/* Everything is where it belongs, and counted. */
static inline void
check_account(struct world *w)
{
    uint64_t delivered = 0, dead = 0;
    w->letters = 0;
    turn(w, 30); /* until it is saved: dead letters are then on disk */
    enum err e = dead_letters_each(w->m.env, "relay/there", NULL, note_dead, w, NULL, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    for (uint32_t i = w->from; i < w->count; i++) {
        const struct sent *s = &w->sent[i];
        bool too_old = i < w->takes_from, poison = w->never_again ? s->refused : s->poison;
        bool refused = !too_old && (poison || i % 1000 == 999);
        if (too_old && !s->dead && !s->delivered) continue;
        if (s->dead != refused || s->delivered == refused) {
            fail_msg("sample %u: refused %d, dead %d, delivered %d", i, refused, s->dead,
                     s->delivered);
        }
        delivered += s->delivered;
        dead += s->dead;
    }
    struct relay_status s = status_of(w);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    if (!w->may_repeat) assert_int_equal(s.repeats_total, 0);
    assert_int_equal(fates[FATE_DEAD_LETTERED], w->letters);
    /* A repeat that is refused is a letter of its own; which items are repeats nobody knows. */
    uint64_t again = w->may_repeat ? s.repeats_total + w->letters - dead : 0;
    assert_in_range(fates[FATE_DELIVERED] + w->letters, delivered + dead, delivered + dead + again);
    assert_int_equal(fates[FATE_OPEN], 0);
    assert_int_equal(fates[FATE_DROPPED + DROP_OUTSIDE_TABLE_RETENTION], w->takes_from);
    assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), w->takes_from);
    assert_in_range(s.taken[ITEM_FLOAT], w->count - w->from, w->count - w->from + again);
    assert_int_equal(s.difference[ITEM_FLOAT], 0);
}

/* --- damage ----------------------------------------------------------------------------------- */

struct place {
    uint64_t pos;
    uint64_t segment;
    uint64_t base_pos;
};

static inline enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct place *p = context;
    if (info->number == p->segment) p->base_pos = info->base_pos;
    return OK;
}

/* Damages the next records of this type from a position on. Returns the samples in them. */
static inline uint32_t
spoil_log(struct world *w, uint64_t from_pos, enum wal_type type, unsigned records)
{
    struct wal_reader *reader;
    struct wal_record record;
    uint32_t samples = 0;
    must(wal_reader_open(tsdb_wal(w->m.db), "spoiler", from_pos, &reader, &w->m.why));
    while (records > 0) {
        enum err e = wal_reader_next(reader, &record, &w->m.why);
        if (e == ERR_CORRUPT) continue; /* before it, where all is read for the series */
        must(e);
        if (record.type != type || record.pos < from_pos) continue;
        records--;
        if (type == WAL_FLOATS) {
            struct arena arena;
            struct record_columns floats;
            arena_init(&arena, NULL, 1 << 24, 0);
            must(record_unpack_floats(record.payload, &arena, &floats));
            samples += (uint32_t)floats.count;
            arena_fini(&arena);
        }
        struct place place = {.pos = record.pos, .segment = record.segment};
        char path[64];
        struct file file;
        uint8_t bad[4] = {0xa5, 0x5a, 0xa5, 0x5a};
        must(wal_segments(w->m.env, STORE_DIR "/wal", NULL, note_segment, &place, &w->m.why));
        snprintf(path, sizeof path, STORE_DIR "/wal/%016" PRIx64 ".wal", place.segment);
        must(file_open(w->m.env, path, FILE_UPDATE, &file, &w->m.why));
        uint64_t offset = WAL_SEGMENT_HEADER_BYTES + place.pos - place.base_pos + 17;
        must(file_write_at(&file, bytes_of(bad, sizeof bad), offset, &w->m.why));
        must(file_datasync(&file, &w->m.why));
        file_close(&file);
    }
    wal_reader_close(reader);
    return samples;
}

static struct world the_world;

#endif
