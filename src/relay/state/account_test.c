/*
 * account_test.c - the counts of items that a destination has taken, of each kind: items queued in
 * the log while it is stopped come from the store later, and items that the store lost meanwhile
 * are counted under the reason of the loss.
 */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"

enum { BUDGET_BYTES = 16 * 1024 };

#define LOG_DIR  STORE_DIR "/wal"
#define LOG_NAME "0000000000000001.wal"

/* --- a destination that takes whatever there is ----------------------------------------------- */

static uint64_t sent[ITEM_KIND_COUNT], arrived[ITEM_KIND_COUNT];

static enum err
any_init(struct writer *w, struct why *why)
{
    enum err e = fake_init(w, why);
    w->base.limits.takes_metadata = true;
    return e;
}

static enum writer_add
any_add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
        struct why *why)
{
    (void)w;
    (void)why;
    if (c->count == CALL_MAX) return WRITER_FULL;
    *ret_entry = c->count;
    c->numbers[c->count++] = item->kind;
    return WRITER_ADDED;
}

static void
any_begin(struct writer *writer, struct writer_call *c, struct writer_step *step)
{
    struct world *w = writer->w;
    w->calls++;
    if (world_happens(w, w->moods.retry)) {
        fake_say(step, VERDICT_RETRY, "timeout");
        return;
    }
    for (uint32_t i = 0; i < c->count; i++)
        arrived[c->numbers[i]]++;
    fake_say(step, VERDICT_DELIVERED, "");
}

static struct writer_class any_writer;

static void
begin(struct world *w, uint64_t seed)
{
    any_writer = fake_writer;
    any_writer.init = any_init;
    any_writer.add = any_add;
    any_writer.begin = any_begin;
    memset(arrived, 0, sizeof arrived);
    memset(sent, 0, sizeof sent);
    world_init(w, seed);
    w->writer = &any_writer;
}

/* --- sent items ------------------------------------------------------------------------------- */

/* Half of it expires with a retention of two days. */
#define KEPT_MS (2 * DAY_MS)
static const int64_t T_OLD = SIM_BEGIN - 5 * DAY_MS, T_NEW = SIM_BEGIN - 2 * 3600 * 1000;

/* This many items of each kind for a series of this name, one per second. */
struct some {
    const char *name;
    uint32_t of[ITEM_KIND_COUNT];
    int64_t from_ms;
    uint32_t variant; /* number among items of the same time */
};

static void
put_some(const struct some *x, struct rq *rq)
{
    char labels[64];
    struct rng rng = {shifted_seed(17)};
    snprintf(labels, sizeof labels, "__name__=f,name=%s", x->name);
    rq_series(rq, labels);
    for (uint32_t i = 0; i < x->of[ITEM_FLOAT]; i++)
        rq_float(rq, x->from_ms + i * 1000, double_bits(i * 1.7 + x->variant), 0);
    for (uint32_t i = 0; i < x->of[ITEM_EXEMPLAR]; i++)
        rq_exemplar(rq, x->from_ms + i * 1000, double_bits(i * 3.1), "trace_id=abc");
    snprintf(labels, sizeof labels, "__name__=h,name=%s", x->name);
    rq_series(rq, labels);
    for (uint32_t i = 0; i < x->of[ITEM_HISTOGRAM]; i++) {
        struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 1 + x->variant};
        h.zero_count = h.count;
        h.sum_bits = double_bits(rng_below(&rng, 100));
        rq_histogram(rq, x->from_ms + i * 1000, &h, 0);
    }
    for (uint32_t i = 0; i < x->of[ITEM_METADATA]; i++) {
        char family[32];
        snprintf(family, sizeof family, "m%u", i);
        rq_metadata(rq, METRIC_GAUGE, family, x->from_ms == T_NEW ? "first" : "then", "");
    }
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        sent[kind] += x->of[kind];
}

static void
send_some(struct world *w, const struct some *x, unsigned count)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (unsigned i = 0; i < count; i++)
        put_some(&x[i], &rq);
    must(machine_send(&w->m, "anonymous", &rq));
    assert_int_equal(w->m.result.rejected_total, 0);
    machine_commit(&w->m);
    rq_fini(&rq);
}

/* --- losing ----------------------------------------------------------------------------------- */

static void
delete_series(struct world *w, const char *selector_text, int64_t max_ms)
{
    struct selector selector;
    struct tsdb_deletion deleted;
    must(selector_parse(text(selector_text), &selector, &w->m.why));
    must(tsdb_delete(w->m.db, text("anonymous"), &selector, 1, INT64_MIN, max_ms, &deleted,
                     &w->m.why));
}

static void
merge_all(struct world *w)
{
    struct tsdb_merge_options merge = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result merged = {.input_count = 1};
    while (merged.input_count > 0)
        must(tsdb_merge(w->m.db, &merge, &merged, &w->m.why));
}

static void
retain(struct world *w, int64_t ms)
{
    w->m.limits.retention_ms = ms;
    tsdb_set_limits(w->m.db, &w->m.limits);
}

static void
settle_all(struct world *w)
{
    for (unsigned i = 0; i < 20000; i++) {
        world_turn(w, 1);
        struct relay_status s = world_status(w);
        uint64_t open = 0;
        for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
            open += s.fates.count[kind][FATE_OPEN];
        if (i > 30 && open == 0 && s.behind_bytes == 0) return;
    }
    fail_msg("never settled: %s", world_status(w).error);
}

/* Checks the fates; the store reports those of floats and histograms only together. */
static void
expect(const struct relay_status *s, unsigned reason, uint64_t samples, uint64_t exemplars)
{
    unsigned fate = FATE_DROPPED + reason;
    uint64_t floats = s->fates.count[ITEM_FLOAT][fate];
    assert_int_equal(floats + s->fates.count[ITEM_HISTOGRAM][fate], samples);
    assert_int_equal(s->fates.count[ITEM_EXEMPLAR][fate], exemplars);
}

/* Sends so much that queued items must come from the store. */
static void
leave_log(struct world *w)
{
    for (unsigned i = 0; i < 200 && w->fills == 0; i++) {
        char name[32];
        snprintf(name, sizeof name, "more%u", i);
        send_some(w, &(struct some){name, {100}, T_NEW, i}, 1);
        machine_flush(&w->m);
        world_turn(w, 50);
    }
    assert_int_equal(w->fills, 1);
}

static void
lose_while_it_stands_still(struct world *w, bool merged)
{
    begin(w, 1);
    w->settings.log_budget_bytes = BUDGET_BYTES;
    world_open(w);
    /* These are lost earlier, and do not count as lost later. */
    const struct some before[] = {
        {"keep", {50, 50, 50, 5}, T_NEW, 0},
        {"gone", {40, 41, 42}, T_NEW, 0},
        {"dup", {3, 4, 5}, T_NEW, 0},
        {"old", {20, 21, 22}, T_OLD, 0},
    };
    send_some(w, before, 4);
    machine_flush(&w->m);
    send_some(w, &(struct some){"dup", {3, 4, 5}, T_NEW, 1}, 1);
    machine_flush(&w->m);
    settle_all(w);
    delete_series(w, "{name=\"gone\"}", INT64_MAX);
    retain(w, KEPT_MS);
    merge_all(w);
    retain(w, 365 * DAY_MS);
    send_some(w, &(struct some){"keep", {1}, T_NEW - 1000, 0}, 1);
    machine_flush(&w->m); /* else the store sends it once more */
    settle_all(w);
    world_turn(w, 30);
    struct tsdb_gone samples, exemplars;
    tsdb_gone(w->m.db, &samples, &exemplars);
    assert_int_equal(samples.deleted, 81);
    assert_int_equal(samples.superseded, 7);
    assert_int_equal(samples.expired, 41);
    assert_int_equal(exemplars.deleted, 42);
    assert_int_equal(exemplars.superseded, 5);
    assert_int_equal(exemplars.expired, 22);

    relay_wish(w->relay, true);
    world_turn(w, 2);
    const struct some later[] = {
        {"keep", {50, 50, 50, 5}, T_NEW + 100000, 0},
        {"del", {15, 16, 17}, T_NEW, 0},
        {"half", {10, 10, 10}, T_NEW, 0},
        {"twice", {11, 12, 13}, T_NEW, 0},
        {"late", {7, 8, 9}, T_OLD, 0},
    };
    send_some(w, later, 5);
    send_some(w, &(struct some){"keep", {0, 0, 0, 2}, T_NEW, 0}, 1); /* two families again */
    machine_flush(&w->m);
    send_some(w, &(struct some){"twice", {11, 12, 13}, T_NEW, 1}, 1);
    leave_log(w);
    delete_series(w, "{name=\"del\"}", INT64_MAX);
    delete_series(w, "{name=\"half\"}", T_NEW + 3999);
    retain(w, KEPT_MS);
    if (merged) merge_all(w);
    relay_wish(w->relay, false);
    settle_all(w);
    for (unsigned again = 0; again < 2; again++) {
        struct relay_status s = world_status(w);
        /* Expired items are sent unless a merge has removed them. */
        expect(&s, DROP_DELETED, 15 + 16 + 2 * 4, 17 + 4);
        expect(&s, DROP_SUPERSEDED, 11 + 12, 13);
        expect(&s, DROP_EXPIRED, merged ? 7 + 8 : 0, merged ? 9 : 0);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            uint64_t lost = 15 + 4 + 11 + 2 * kind + (merged ? 7 + kind : 0);
            assert_int_equal(s.taken[kind], sent[kind]);
            assert_int_equal(arrived[kind], sent[kind] - lost);
        }
        /* Items queued in the log are superseded by what the store sends of each family. */
        assert_int_equal(s.fates.count[ITEM_METADATA][FATE_DROPPED + DROP_SUPERSEDED], 7);
        assert_int_equal(arrived[ITEM_METADATA], 10);
        assert_int_equal(s.taken[ITEM_METADATA], 17);
        world_turn(w, 30);
        world_crash(w);
        world_turn(w, 30);
    }
    world_fini(w);
}

UNIT_TEST(test_items_that_the_store_lost_are_dropped_for_its_reason)
{
    lose_while_it_stands_still(&the_world, true);
}

UNIT_TEST(test_samples_left_out_by_the_store_are_dropped_for_its_reason)
{
    lose_while_it_stands_still(&the_world, false);
}

UNIT_TEST(test_expired_items_of_one_kind_explain_no_loss_of_another)
{
    struct world *w = &the_world;
    begin(w, 1);
    w->settings.log_budget_bytes = BUDGET_BYTES;
    world_open(w);
    relay_wish(w->relay, true);
    world_turn(w, 2);
    send_some(w, &(struct some){"late", {7}, T_OLD}, 1);
    send_some(w, &(struct some){"twice", {0, 12}, T_NEW}, 1);
    machine_flush(&w->m);
    send_some(w, &(struct some){"twice", {0, 12}, T_NEW, 1}, 1);
    leave_log(w);
    retain(w, KEPT_MS);
    merge_all(w);
    relay_wish(w->relay, false);
    settle_all(w);
    struct relay_status s = world_status(w);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_EXPIRED], 7);
    assert_int_equal(s.fates.count[ITEM_HISTOGRAM][FATE_DROPPED + DROP_SUPERSEDED], 12);
    assert_int_equal(fates_dropped(&s.fates, ITEM_FLOAT), 7);
    assert_int_equal(fates_dropped(&s.fates, ITEM_HISTOGRAM), 12);
    world_fini(w);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* Sends and damages a record of this many items of a kind; records from the one of series `behind`
 * on are readable. */
static void
lose_some(struct world *w, enum item_kind kind, uint32_t count, const char *name,
          const char *behind)
{
    static const enum wal_type types[] = {WAL_FLOATS, WAL_HISTOGRAMS, WAL_EXEMPLARS};
    struct some lost = {name, {0}, T_NEW};
    uint64_t pos = wal_end(tsdb_wal(w->m.db));
    lost.of[kind] = count;
    send_some(w, &lost, 1);
    send_some(w, &(struct some){behind, {3, 3, 3}, T_NEW}, 1);
    world_spoil_log(w, pos, types[kind], 1);
}

/* Checks that this many items of a kind are dropped as damaged, that all others are delivered, and
 * that this stays so. */
static void
expect_damaged(struct world *w, enum item_kind kind, uint64_t count)
{
    for (unsigned again = 0; again < 2; again++) {
        world_turn(w, 30);
        struct relay_status s = world_status(w);
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            uint64_t damaged = k == kind ? count : 0;
            assert_int_equal(s.fates.count[k][FATE_DROPPED + DROP_DAMAGED], damaged);
            assert_int_equal(fates_dropped(&s.fates, k), damaged);
            assert_int_equal(s.taken[k], sent[k]);
            assert_int_equal(s.fates.count[k][FATE_DELIVERED], sent[k] - damaged);
        }
        world_crash(w);
    }
}

/* Loses items in the log and in the store. `apart`: readable items are between those that the store
 * lost and those that only the log lost. If not, all of these are read from the store, whose part
 * begins with three items that were delivered: they count as three of the lost ones. */
static void
lose_in_log_and_store(struct world *w, enum item_kind kind, bool apart)
{
    bool filled = false;
    begin(w, 1);
    world_open(w);
    send_some(w, &(struct some){"keep", {3, 3, 3}, T_NEW}, 1);
    settle_all(w);
    relay_wish(w->relay, true);
    world_turn(w, 30);
    lose_some(w, kind, 6, "lost", apart ? "more" : "keep");
    for (unsigned k = 0; k < LEDGER_KIND_COUNT && !apart; k++)
        sent[k] -= 3; /* duplicates are not new */
    world_crash(w);   /* the head no longer has it */
    lose_some(w, kind, 9, "there", "last");
    relay_wish(w->relay, false);
    for (unsigned i = 0; i < 200; i++) {
        world_turn(w, 1);
        if (tsdb_flush_due(w->m.db)) machine_flush(&w->m);
        if (filled || w->fills == 0) continue;
        filled = true;
        lose_some(w, kind, 4, "later", "end");
    }
    settle_all(w);
    assert_true(filled);
    expect_damaged(w, kind, apart ? 6 : 6 - 3);
    world_fini(w);
}

UNIT_TEST(test_a_loss_of_the_store_explains_one_position_of_the_log_only)
{
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        lose_in_log_and_store(&the_world, kind, true);
        lose_in_log_and_store(&the_world, kind, false);
    }
}

/* Reading had not reached the position before the log was left. */
UNIT_TEST(test_lost_samples_that_the_store_lacks_are_dropped_as_damaged)
{
    struct world *w = &the_world;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        begin(w, 1);
        w->settings.log_budget_bytes = BUDGET_BYTES;
        world_open(w);
        send_some(w, &(struct some){"keep", {3, 3, 3}, T_NEW}, 1);
        machine_flush(&w->m); /* else the store sends it once more */
        settle_all(w);
        relay_wish(w->relay, true);
        world_turn(w, 30);
        lose_some(w, kind, 6, "lost", "more");
        world_crash(w);
        leave_log(w);
        relay_wish(w->relay, false);
        settle_all(w);
        expect_damaged(w, kind, 6);
        world_fini(w);
    }
}

UNIT_TEST(test_a_place_that_is_waited_for_is_found_again_after_a_crash)
{
    struct world *w = &the_world;
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        begin(w, 1);
        world_open(w);
        send_some(w, &(struct some){"keep", {3, 3, 3}, T_NEW}, 1);
        settle_all(w);
        lose_some(w, kind, 6, "lost", "more");
        send_some(w, &(struct some){"last", {3, 3, 3}, T_NEW}, 1);
        relay_wish(w->relay, false); /* so that it is saved */
        world_turn(w, 50);
        world_crash(w);
        settle_all(w);
        expect_damaged(w, kind, 6);
        world_fini(w);
    }
}

static void
begin_without_store(struct world *w, uint64_t seed)
{
    begin(w, seed);
    w->without_store = true;
    machine_close(&w->m);
    w->m.options.log_only = true;
    machine_must_open(&w->m);
    world_open(w);
}

/* Items that were counted ahead, and cannot be read later, were taken already. */
UNIT_TEST(test_items_damaged_after_they_were_counted_are_taken_once)
{
    struct world *w = &the_world;
    static const enum wal_type types[] = {WAL_FLOATS, WAL_HISTOGRAMS, WAL_EXEMPLARS};
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        begin_without_store(w, 1);
        relay_wish(w->relay, true);
        world_turn(w, 2);
        send_some(w, &(struct some){"keep", {3, 3, 3}, T_NEW}, 1);
        lose_some(w, kind, 6, "lost", "more");
        uint64_t pos = wal_end(tsdb_wal(w->m.db));
        struct some later = {"later", {0}, T_NEW};
        later.of[kind] = 9;
        send_some(w, &later, 1);
        send_some(w, &(struct some){"end", {2000, 3, 3}, T_NEW}, 1);
        send_some(w, &(struct some){"last", {3, 3, 3}, T_NEW}, 1);
        for (unsigned i = 0; i < 100 && world_status(w).taken[kind] == 0; i++)
            world_turn(w, 1);
        assert_int_equal(world_status(w).taken[kind], sent[kind] - 6);
        world_spoil_log(w, pos, types[kind], 1);
        relay_wish(w->relay, false);
        w->moods = (struct moods){.retry = 100}; /* reading stops at `end` */
        world_turn(w, 20);
        w->moods = (struct moods){0};
        settle_all(w);
        struct relay_status s = world_status(w);
        assert_int_equal(s.fates.count[kind][FATE_DROPPED + DROP_DAMAGED], 6 + 9);
        assert_int_equal(s.fates.count[kind][FATE_DELIVERED], sent[kind] - 6 - 9);
        assert_int_equal(s.taken[kind], sent[kind]);
        world_fini(w);
    }
}

/* Memory for the window may run out between one kind and the next. */
UNIT_TEST(test_unreadable_items_are_counted_once_even_if_memory_is_short)
{
    struct world *w = &the_world;
    for (unsigned records = 60; records < 66; records++) {
        for (uint64_t nth = 1; nth < 12; nth++) {
            begin_without_store(w, 1);
            w->moods = (struct moods){.retry = 100};
            for (unsigned i = 0; i < records; i++)
                send_some(w, &(struct some){"keep", {1}, T_NEW + 1000 * i}, 1);
            world_turn(w, 2);
            uint64_t pos = wal_end(tsdb_wal(w->m.db));
            send_some(w, &(struct some){"lost", {6, 5, 0}, T_NEW}, 1);
            send_some(w, &(struct some){"end", {3, 3, 3}, T_NEW}, 1);
            world_spoil_log(w, pos, WAL_FLOATS, 1);
            world_spoil_log(w, pos, WAL_HISTOGRAMS, 1);
            mem_fail_nth(nth, false);
            world_turn(w, 1);
            mem_fail_nth(0, false);
            w->moods = (struct moods){0};
            settle_all(w);
            struct relay_status s = world_status(w);
            assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_DROPPED + DROP_DAMAGED], 6);
            assert_int_equal(s.fates.count[ITEM_HISTOGRAM][FATE_DROPPED + DROP_DAMAGED], 5);
            assert_int_equal(s.taken[ITEM_FLOAT], sent[ITEM_FLOAT]);
            assert_int_equal(s.taken[ITEM_HISTOGRAM], sent[ITEM_HISTOGRAM]);
            world_fini(w);
        }
    }
}

/* A superseded item explains one missing item, of any kind. */
UNIT_TEST(test_items_that_the_store_lost_to_damage_are_dropped_as_damaged)
{
    struct world *w = &the_world;
    uint64_t damaged = 0;
    for (uint64_t offset = 0, more = 1; more; offset += 10) {
        begin(w, 1);
        w->settings.log_budget_bytes = BUDGET_BYTES;
        world_open(w);
        relay_wish(w->relay, true);
        world_turn(w, 2);
        send_some(w, &(struct some){"once", {0, 300}, T_NEW}, 1);
        machine_flush(&w->m);
        send_some(w, &(struct some){"twice", {11}, T_NEW}, 1);
        machine_flush(&w->m);
        send_some(w, &(struct some){"twice", {11}, T_NEW, 1}, 1);
        leave_log(w);
        static const char part[] = STORE_DIR "/parts/0000000000000001/part";
        more = sim_env_damage(w->m.sim, part, offset) == OK;
        relay_wish(w->relay, false);
        settle_all(w);
        struct relay_status s = world_status(w);
        uint64_t superseded = 0;
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            const uint64_t *fates = s.fates.count[kind];
            superseded += fates[FATE_DROPPED + DROP_SUPERSEDED];
            damaged += fates[FATE_DROPPED + DROP_DAMAGED];
            assert_int_equal(s.taken[kind], sent[kind]);
            assert_int_equal(fates_settled(&s.fates, kind), sent[kind]);
            assert_int_equal(fates[FATE_DELIVERED], arrived[kind]);
        }
        assert_int_equal(superseded, 11);
        world_fini(w);
    }
    assert_true(damaged > 300);
}

/* Reading stops inside a record, of which half is not selected. */
UNIT_TEST(test_unselected_items_are_not_queued)
{
    struct world *w = &the_world;
    static const char *selectors[] = {"{name=\"wanted\"}"};
    begin(w, 1);
    w->settings.select = (struct text_list){selectors, 1};
    w->moods = (struct moods){.retry = 100};
    world_open(w);
    const struct some all[] = {
        {"other", {2500}, T_NEW}, {"wanted", {2500}, T_NEW}, {"another", {2500}, T_NEW}};
    send_some(w, all, 3);
    world_turn(w, 20);
    struct relay_status s = world_status(w);
    assert_int_equal(s.taken[ITEM_FLOAT], 2500);
    assert_int_equal(s.fates.count[ITEM_FLOAT][FATE_OPEN], 2500);
    w->moods = (struct moods){0};
    settle_all(w);
    assert_int_equal(world_status(w).fates.count[ITEM_FLOAT][FATE_DELIVERED], 2500);
    world_fini(w);
}

/* --- queued items that are lost --------------------------------------------------------------- */

/* Lets calls of the first items fail; later items are counted ahead, and saved so. */
static void
hold_up(struct world *w)
{
    w->moods = (struct moods){.retry = 100};
    send_some(w, &(struct some){"first", {7000}, T_NEW}, 1);
    world_turn(w, 30);
}

static void
turn_until_counted(struct world *w)
{
    for (unsigned i = 0; i < 2000; i++) {
        world_turn(w, 1);
        if (memcmp(world_state(w).counted, sent, sizeof sent) == 0) return;
    }
    fail_msg("what waits was never counted");
}

/* Checks, while it is held up, that this many of each kind are dropped; all others are queued, and
 * delivered later. */
static void
expect_dropped(struct world *w, enum drop reason, const uint32_t dropped[ITEM_KIND_COUNT])
{
    for (unsigned again = 0; again < 3; again++) {
        if (again == 2) w->moods = (struct moods){0};
        if (again == 2) settle_all(w);
        world_turn(w, 200);
        struct relay_status s = world_status(w);
        for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
            const uint64_t *fates = s.fates.count[kind];
            assert_int_equal(fates[FATE_DROPPED + reason], dropped[kind]);
            assert_int_equal(s.taken[kind], sent[kind]);
            assert_int_equal(fates[again == 2 ? FATE_DELIVERED : FATE_OPEN],
                             sent[kind] - dropped[kind]);
        }
        if (again == 0) world_crash(w);
    }
}

UNIT_TEST(test_items_that_are_no_longer_selected_are_dropped)
{
    struct world *w = &the_world;
    static const char *selectors[] = {"{name=~\"first|keep|news\"}"};
    const struct some other = {"other", {20, 21, 22}, T_NEW};
    begin(w, 1);
    world_open(w);
    hold_up(w);
    send_some(w, &(struct some){"keep", {4, 4, 4}, T_NEW}, 1);
    send_some(w, &other, 1);
    turn_until_counted(w);
    world_crash_closed(w);
    w->settings.select = (struct text_list){selectors, 1};
    send_some(w, &(struct some){"news", {5, 5, 5}, T_NEW}, 1);
    world_open(w);
    expect_dropped(w, DROP_BY_OPERATOR, other.of);
    world_fini(w);
}

static struct bytes
read_log(struct world *w, struct buf *to)
{
    struct file file;
    uint64_t size;
    must(file_open(w->m.env, LOG_DIR "/" LOG_NAME, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    buf_clear(to);
    assert_true(buf_reserve(to, size));
    must(file_read_at(&file, to->at, size, 0, NULL));
    to->size = size;
    must(file_close(&file));
    return buf_bytes(to);
}

/* There is no store, so the samples are nowhere else. */
UNIT_TEST(test_samples_that_an_older_log_lacks_are_dropped)
{
    struct world *w = &the_world;
    struct buf copy;
    const struct some lost = {"lost", {20, 21, 22}, T_NEW};
    buf_init(&copy, NULL, 1 << 26);
    begin_without_store(w, 1);
    hold_up(w);
    send_some(w, &(struct some){"keep", {4, 4, 4}, T_NEW}, 1);
    struct bytes older = read_log(w, &copy);
    send_some(w, &lost, 1);
    turn_until_counted(w);
    world_remove(w);
    machine_close(&w->m);
    must(env_write_whole(w->m.env, LOG_DIR, LOG_NAME, older, &w->m.why));
    machine_must_open(&w->m);
    send_some(w, &(struct some){"news", {5, 5, 5}, T_NEW}, 1);
    world_open(w);
    expect_dropped(w, DROP_DAMAGED, lost.of);
    buf_fini(&copy);
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_items_that_the_store_lost_are_dropped_for_its_reason,
                                  tell_seed),
        cmocka_unit_test_teardown(test_samples_left_out_by_the_store_are_dropped_for_its_reason,
                                  tell_seed),
        cmocka_unit_test_teardown(test_expired_items_of_one_kind_explain_no_loss_of_another,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_loss_of_the_store_explains_one_position_of_the_log_only,
                                  tell_seed),
        cmocka_unit_test_teardown(test_items_damaged_after_they_were_counted_are_taken_once,
                                  tell_seed),
        cmocka_unit_test_teardown(test_unreadable_items_are_counted_once_even_if_memory_is_short,
                                  tell_seed),
        cmocka_unit_test_teardown(test_unselected_items_are_not_queued, tell_seed),
        cmocka_unit_test_teardown(test_items_that_the_store_lost_to_damage_are_dropped_as_damaged,
                                  tell_seed),
        cmocka_unit_test_teardown(test_lost_samples_that_the_store_lacks_are_dropped_as_damaged,
                                  tell_seed),
        cmocka_unit_test_teardown(test_a_place_that_is_waited_for_is_found_again_after_a_crash,
                                  tell_seed),
        cmocka_unit_test_teardown(test_items_that_are_no_longer_selected_are_dropped, tell_seed),
        cmocka_unit_test_teardown(test_samples_that_an_older_log_lacks_are_dropped, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
