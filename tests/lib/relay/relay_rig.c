/* relay_rig.c - see relay_rig.h. */
#include "lib/relay/relay_rig.h"

#include <inttypes.h>

#include "model/labels.h"
#include "relay/letters/letters.h"
#include "tsdb/tsdb.h"

struct world the_world;
static struct world *world; /* the world that the next writer belongs to */

/* --- the destination -------------------------------------------------------------------------- */

enum err
fake_init(struct writer *w, struct why *why)
{
    (void)why;
    w->w = world;
    w->base.limits = world->limits;
    world->fills = w->base.options.fills;
    for (uint32_t i = 0; i < world->count; i++)
        world->sent[i].written = false;
    return OK;
}

static void
fake_fini(struct writer *w)
{
    (void)w;
}

static enum err
fake_call_init(struct writer *w, struct writer_call *c)
{
    (void)w;
    (void)c;
    return OK;
}

static void
fake_call_fini(struct writer *w, struct writer_call *c)
{
    if (w->w->begun == c) w->w->begun = NULL;
}

static void
fake_call_clear(struct writer *w, struct writer_call *c)
{
    if (w->w->begun == c) w->w->begun = NULL;
    c->count = 0;
    c->has_too_old = c->saves = false;
}

enum writer_add
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

static uint64_t
fake_bytes(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return 100 * (uint64_t)c->count;
}

static uint64_t
fake_units(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return c->count;
}

uint32_t
world_metric_of(uint32_t series)
{
    return series % 7;
}

void
world_arrive(struct world *w, uint32_t number)
{
    struct sent *s = &w->sent[number];
    assert_true(number < w->count);
    assert_false(s->poison);
    for (uint32_t *at = &s->before; *at != UINT32_MAX && *at >= w->from;) {
        uint32_t i = *at;
        struct sent *b = &w->sent[i];
        if (b->delivered) {
            *at = b->before; /* a delivered sample stays so, and is not looked at again */
            continue;
        }
        at = &b->before;
        if (w->drops || b->written || b->poison || b->dead || i % 1000 == 999) continue;
        if (i < w->takes_from || b->refused) continue;
        fail_msg("sample %u of series %u came before %u", number, s->series, i);
    }
    w->repeated += s->delivered;
    s->written = w->writes_files;
    s->delivered |= !w->writes_files;
    s->times++;
}

bool
world_happens(struct world *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

void
fake_say(struct writer_step *step, enum writer_verdict verdict, const char *reason)
{
    step->next = WRITER_DONE;
    step->verdict = verdict;
    snprintf(step->reason, sizeof step->reason, "%s", reason);
    snprintf(step->answer, sizeof step->answer, "it said %s", reason);
}

/* Judges each record by itself: stored, refused, or to be sent again. */
static void
mix(struct world *w, struct writer_call *c, struct writer_step *step)
{
    bool any_later = false;
    for (uint32_t i = 0; i < c->count; i++) {
        bool later = world_happens(w, 20);
        if (w->sent[c->numbers[i]].poison)
            c->verdicts[i] = VERDICT_DEAD;
        else
            c->verdicts[i] = later ? VERDICT_RETRY : VERDICT_DELIVERED;
        any_later |= c->verdicts[i] == VERDICT_RETRY;
        if (c->verdicts[i] == VERDICT_DELIVERED) world_arrive(w, c->numbers[i]);
    }
    w->calls_mixed += any_later;
    fake_say(step, VERDICT_MIXED, "partly");
}

/* Refuses the call, as w->refusal says. */
static void
refuse(struct world *w, const struct writer_call *c, struct writer_step *step)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < c->count; i++)
        bad += w->sent[c->numbers[i]].poison;
    bool all = (w->refusal & REFUSAL_SAYS_ALL) && bad == c->count;
    fake_say(step, all ? VERDICT_DEAD : VERDICT_SOME_DEAD, "bad");
    if (w->refusal & REFUSAL_COUNTED) step->refused = bad;
    bool final = w->refusal & REFUSAL_FINAL;
    /* A refusal before an accepted check is not applied, so the call may be sent again. */
    bool is_proven = w->check_accepted && !w->check_is_unproven;
    bool is_applied = final && (w->limits.start_check == 0 || is_proven);
    for (uint32_t i = 0; i < c->count && is_applied; i++)
        w->sent[c->numbers[i]].refused = true;
    if (final) step->verdict = VERDICT_DEAD_CALL;
}

void
fake_begin(struct writer *writer, struct writer_call *c, struct writer_step *step)
{
    struct world *w = writer->w;
    const struct moods *m = &w->moods;
    assert_true(c->count > 0);
    if (c->has_too_old) {
        w->has_learnt = true;
        fake_say(step, VERDICT_REBUILD, "too_old");
        return;
    }
    if (w->saves_first && !c->saves) {
        c->saves = true;
        step->next = WRITER_SAVE;
        return;
    }
    w->calls++;
    if (w->limits.one_lane && w->begun != NULL) assert_ptr_equal(w->begun, c);
    w->begun = c;
    bool poisoned = false, held = false;
    for (uint32_t i = 0; i < c->count; i++) {
        held |= w->holds_first && c->numbers[i] == 0;
        poisoned |= w->sent[c->numbers[i]].poison;
        assert_false(w->sent[c->numbers[i]].refused);
    }
    if (w->bytes_max > 0 && 100 * c->count > w->bytes_max) {
        fake_say(step, VERDICT_TOO_LARGE, "too_large");
    } else if (held) {
        fake_say(step, VERDICT_RETRY, "held");
    } else if (w->fails_each > 0 && w->calls % w->fails_each == 0) {
        w->calls_failed++;
        fake_say(step, VERDICT_RETRY, "unavailable");
    } else if (world_happens(w, m->retry)) {
        w->calls_failed++;
        bool stored = world_happens(w, 50) && !poisoned; /* the response was lost */
        for (uint32_t i = 0; i < c->count && stored; i++)
            world_arrive(w, c->numbers[i]);
        fake_say(step, VERDICT_RETRY, "timeout");
    } else if (world_happens(w, m->throttle)) {
        fake_say(step, VERDICT_THROTTLED, "throttled");
        step->wait_ms = w->asks_ms;
    } else if (world_happens(w, m->blocked)) {
        fake_say(step, VERDICT_BLOCKED, "forbidden");
    } else if (world_happens(w, m->unprepared)) {
        fake_say(step, VERDICT_UNPREPARED, "unauthorized");
    } else if (world_happens(w, m->again)) {
        fake_say(step, world_happens(w, 50) ? VERDICT_AGAIN : VERDICT_REBUILD, "learnt");
    } else if ((poisoned && w->refusal == REFUSAL_BY_ENTRY) || world_happens(w, m->mixed)) {
        mix(w, c, step);
    } else if (poisoned) {
        refuse(w, c, step);
    } else {
        for (uint32_t i = 0; i < c->count; i++)
            world_arrive(w, c->numbers[i]);
        fake_say(step, VERDICT_DELIVERED, "");
    }
}

static void
fake_entry(const struct writer *w, const struct writer_call *c, uint32_t entry,
           struct writer_entry *ret_entry)
{
    (void)w;
    assert_true(entry < c->count);
    *ret_entry = (struct writer_entry){.verdict = c->verdicts[entry]};
    if (c->verdicts[entry] == VERDICT_DEAD)
        snprintf(ret_entry->reason, sizeof ret_entry->reason, "bad");
}

static bool
fake_need_prepare(struct writer *w)
{
    return w->w->needs_keys;
}

static void
fake_prepare(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    assert_null(answer);
    fake_say(step, w->w->keys_verdict, "keys");
    if (step->verdict == VERDICT_DELIVERED) w->w->needs_keys = false;
}

static bool
fake_check(struct writer *w, uint32_t number, const struct http_call_answer *answer,
           struct writer_step *step, char what[WRITER_ANSWER_BYTES])
{
    assert_int_equal(number, 0);
    assert_null(answer);
    snprintf(what, WRITER_ANSWER_BYTES, "a check");
    w->w->checks++;
    w->w->check_accepted |= w->w->check_verdict == VERDICT_DELIVERED;
    fake_say(step, w->w->check_verdict, "http_401");
    step->is_unproven = w->w->check_is_unproven;
    return true;
}

static enum err
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

const struct writer_class fake_writer = {
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
    .entry = fake_entry,
    .need_prepare = fake_need_prepare,
    .prepare = fake_prepare,
    .check = fake_check,
    .saved = fake_saved,
};

/* --- the world -------------------------------------------------------------------------------- */

void
world_init(struct world *w, uint64_t seed)
{
    seed = shifted_seed(seed);
    memset(w, 0, sizeof *w);
    world = w;
    machine_init(&w->m, seed);
    w->rng = (struct rng){seed};
    memset(w->last, 0xff, sizeof w->last);
    budget_init(&w->memory, "relay", 0, NULL);
    w->limits = (struct writer_limits){
        .concurrency = 3,
        .samples = 200,
        .bytes = 1 << 20,
        .samples_max = CALL_MAX,
        .bytes_max = 1 << 20,
    };
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

void
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

void
world_open(struct world *w)
{
    world_options(w);
    if (w->guard == NULL) must(relay_guard_new(&w->options, NULL, &w->guard, &w->m.why));
    w->options.guard = w->guard;
    enum err e = relay_open(&w->options, &w->relay, &w->m.why);
    if (e) print_error("relay_open: %s: %s\n", err_word(e), w->m.why.text);
    must(e);
}

void
world_remove(struct world *w)
{
    relay_free(w->relay);
    relay_guard_free(w->guard);
    w->relay = NULL;
    w->guard = NULL;
}

void
world_fini(struct world *w)
{
    world_remove(w);
    assert_int_equal(budget_used(&w->memory), 0);
    machine_fini(&w->m);
}

int64_t
world_sent_ms(uint32_t number)
{
    return SIM_BEGIN - DAY_MS + 1000 * (int64_t)number;
}

void
world_send(struct world *w, uint32_t samples, unsigned poison_percent)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    uint32_t begin = w->count;
    for (uint32_t i = 0; i < samples && w->count < SAMPLES_MAX; i++) {
        uint32_t series = (uint32_t)rng_below(&w->rng, SERIES), number = w->count++;
        char labels[64];
        snprintf(labels, sizeof labels, "__name__=m%u,name=s%u", world_metric_of(series), series);
        w->sent[number] = (struct sent){
            .series = series,
            .before = w->last[series],
            .poison = world_happens(w, poison_percent),
        };
        w->last[series] = number;
        rq_series(&rq, labels);
        rq_float(&rq, world_sent_ms(number), double_bits(number), 0);
    }
    must(machine_send(&w->m, "anonymous", &rq));
    assert_int_equal(w->m.result.written[LEDGER_FLOAT], w->count - begin);
    rq_fini(&rq);
}

void
world_log(struct world *w, uint32_t samples, unsigned poison_percent)
{
    world_send(w, samples, poison_percent);
    machine_commit(&w->m);
}

struct relay_status
world_status(struct world *w)
{
    struct relay_status s;
    relay_status(w->relay, &s);
    return s;
}

struct relay_state
world_state(struct world *w)
{
    struct buf memory;
    struct relay_state state;
    buf_init(&memory, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_read(w->m.env, "relay/there", &memory, &state, &w->m.why));
    buf_fini(&memory);
    return state;
}

void
world_check_shown(struct world *w)
{
    struct relay_status status = world_status(w);
    const struct relay_shown *s = &status.shown;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && !w->forgets_shown; kind++) {
        const uint64_t *is = s->fates.count[kind], *was = w->shown.fates.count[kind];
        for (unsigned fate = FATE_DELIVERED; fate < FATE_COUNT; fate++) {
            if (is[fate] >= was[fate] || fate == FATE_REPEATED) continue;
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

void
world_turn(struct world *w, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        int wait_ms = relay_step(w->relay);
        struct relay_status s = world_status(w);
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
            if (s.difference[kind] == 0) continue;
            fail_msg("a difference of %lld of kind %u", (long long)s.difference[kind], kind);
        }
        world_check_shown(w);
        sim_env_advance_ns(w->m.sim, (int64_t)(wait_ms > 0 ? wait_ms : 1) * NS_PER_MS);
    }
}

void
world_crash_closed(struct world *w)
{
    world_remove(w);
    machine_close(&w->m);
    sim_env_power_loss(w->m.sim);
    machine_must_open(&w->m);
}

void
world_crash(struct world *w)
{
    world_crash_closed(w);
    world_open(w);
}

bool
world_is_settled(struct world *w)
{
    struct relay_status s = world_status(w);
    return s.behind_bytes == 0 && s.fates.count[ITEM_FLOAT][FATE_OPEN] == 0 && s.replaying == 0;
}

void
world_turn_until_settled(struct world *w)
{
    for (unsigned i = 0; i < 200000; i++) {
        world_turn(w, 1);
        if (world_is_settled(w)) return;
    }
    struct relay_status s = world_status(w);
    fail_msg("never settled: state %s, error %s, %llu bytes behind", relay_state_text(s.state),
             s.error, (unsigned long long)s.behind_bytes);
}

uint64_t
world_decide(struct world *w, enum letters_wish wish)
{
    uint64_t number, lines = 0;
    bool done = false;
    if (w->relay == NULL) {
        enum err e = dead_letters_decide(w->m.env, "relay/there", NULL, wish, &lines, &w->m.why);
        assert_true(e == OK || e == ERR_MISSING);
        return lines;
    }
    must(relay_letters_want(w->relay, wish == LETTERS_DROP, &number, &w->m.why));
    for (unsigned i = 0; i < 10000 && !done; i++) {
        world_turn(w, 1);
        must(relay_letters_done(w->relay, number, &done, &lines, &w->m.why));
    }
    assert_true(done);
    return lines;
}

enum err
world_note_dead(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct world *w = context;
    uint32_t number = (uint32_t)bits_double(letter->item.bits);
    assert_false(again);
    (void)line;
    assert_true(number < w->count);
    if (!w->may_repeat) assert_false(w->sent[number].dead); /* each dies once */
    w->sent[number].dead = true;
    w->letters++;
    return OK;
}

void
world_check_account(struct world *w)
{
    uint64_t delivered = 0, dead = 0;
    w->letters = 0;
    world_turn(w, 30); /* until the state is saved, and dead letters are on disk */
    enum err e =
        dead_letters_each(w->m.env, "relay/there", NULL, world_note_dead, w, NULL, &w->m.why);
    assert_true(e == OK || e == ERR_MISSING);
    for (uint32_t i = w->from; i < w->count; i++) {
        const struct sent *s = &w->sent[i];
        bool too_old = i < w->takes_from,
             poison = w->refusal & REFUSAL_FINAL ? s->refused : s->poison;
        bool refused = !too_old && (poison || i % 1000 == 999);
        if (too_old && !s->dead && !s->delivered) continue;
        if (s->dead != refused || s->delivered == refused) {
            fail_msg("sample %u: refused %d, dead %d, delivered %d", i, refused, s->dead,
                     s->delivered);
        }
        delivered += s->delivered;
        dead += s->dead;
    }
    struct relay_status s = world_status(w);
    const uint64_t *fates = s.fates.count[ITEM_FLOAT];
    if (!w->may_repeat) assert_int_equal(s.repeats_total, 0);
    assert_int_equal(fates[FATE_DEAD_LETTERED], w->letters);
    /* A repeat that is refused is a letter of its own; it is unknown which items are repeats. */
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

static enum err
note_segment(void *context, const struct wal_segment_info *info)
{
    struct place *p = context;
    if (info->number == p->segment) p->base_pos = info->base_pos;
    return OK;
}

uint32_t
world_spoil_log(struct world *w, uint64_t from_pos, enum wal_type type, unsigned records)
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
