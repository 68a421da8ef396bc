/* tsdb_undelete_test.c - deletions that are held can be undone, whatever happens meanwhile; their
 * receipts are true. LONG=1 runs more. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/random.h"
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/store/store.h"

#define HOUR_MS INT64_C(3600000)

static bool
is_long(void)
{
    return getenv("LONG") != NULL;
}

static void
hold_deletions(int64_t hold_ms)
{
    machine.limits.deletion_hold_ms = hold_ms;
    tsdb_set_limits(machine.db, &machine.limits);
}

static struct tsdb_deletion
delete_series(const char *selector_text, int64_t min_ms, int64_t max_ms)
{
    struct selector selector;
    struct tsdb_deletion d;
    must(selector_parse(text(selector_text), &selector, &machine.why));
    must(tsdb_delete(machine.db, text("a"), &selector, 1, min_ms, max_ms, &d, &machine.why));
    return d;
}

/* Makes a deletion of m{x="FIRST"} and each of the next, in one step. */
static enum err
delete_many(unsigned first, uint32_t count, struct tsdb_deletion *made)
{
    static struct selector selectors[DELETIONS_KEPT_MAX];
    for (uint32_t i = 0; i < count; i++) {
        char chosen[32];
        snprintf(chosen, sizeof chosen, "m{x=~'%u|0'}", first + i);
        must(selector_parse(text(chosen), &selectors[i], &machine.why));
    }
    return tsdb_delete(machine.db, text("a"), selectors, count, INT64_MIN, INT64_MAX, made,
                       &machine.why);
}

static void
merge_all(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    do {
        must(tsdb_merge(machine.db, &options, &r, &machine.why));
    } while (r.input_count > 0);
}

static void
send_part(const char *series, int64_t t_ms, double value)
{
    must_send_float("a", series, t_ms, value);
    machine_commit(&machine);
    machine_flush(&machine);
}

/* The receipt of that number; its texts are not valid any more. */
static struct tsdb_receipt
receipt(uint64_t id)
{
    struct arena arena;
    struct tsdb_receipt *list, found = {.id = 0};
    uint32_t count;
    arena_init(&arena, NULL, 0, 0);
    must(tsdb_deletions(machine.db, text("a"), &arena, &list, &count, &machine.why));
    for (uint32_t i = 0; i < count; i++)
        if (list[i].id == id) found = list[i];
    arena_fini(&arena);
    assert_int_equal(found.id, id);
    return found;
}

static uint64_t
hidden(uint64_t id)
{
    struct tsdb_deletion found;
    must(tsdb_deletion_hidden(machine.db, id, NULL, &found, &machine.why));
    return found.samples;
}

static void
undelete(uint64_t id)
{
    must(tsdb_undelete(machine.db, text("a"), id, &machine.why));
}

static const char all_three[] = "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
                                "{__name__=\"m\", x=\"1\"} 1767222001000 1\n"
                                "{__name__=\"m\", x=\"2\"} 1767222000000 2\n";

UNIT_TEST(test_a_merge_keeps_hidden_samples_until_the_hold_ends)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    send_part("__name__=m,x=2", T0, 2);
    struct tsdb_deletion d = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    assert_int_equal(d.samples, 2);
    merge_all(TSDB_MERGE_FULL);
    machine_verified_restart(&machine);
    struct tsdb_receipt r = receipt(d.id);
    assert_int_equal(r.state, DELETION_HELD);
    assert_int_equal(r.series, 1);
    assert_int_equal(r.parts, 1);
    assert_int_equal(hidden(d.id), 2);
    assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 3);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"2\"} 1767222000000 2\n");
    undelete(d.id);
    expect_all(&machine, "a", all_three);
    assert_int_equal(tsdb_undelete(machine.db, text("a"), d.id, &machine.why), ERR_INPUT);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", all_three);
    assert_int_equal(receipt(d.id).state, DELETION_UNDONE);
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DELETED], 0);
}

UNIT_TEST(test_after_the_hold_a_deletion_is_final_and_merges_remove_it)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=2", T0, 2);
    struct tsdb_deletion d = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    sim_env_advance_ns(machine.sim, 25 * HOUR_MS * 1000000);
    assert_int_equal(receipt(d.id).state, DELETION_FINAL);
    assert_int_equal(tsdb_undelete(machine.db, text("a"), d.id, &machine.why), ERR_INPUT);
    /* a longer hold does not make it uncertain again */
    hold_deletions(48 * HOUR_MS);
    assert_int_equal(tsdb_undelete(machine.db, text("a"), d.id, &machine.why), ERR_INPUT);
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(receipt(d.id).state, DELETION_DONE);
    assert_int_equal(hidden(d.id), 0);
    assert_int_equal(receipt(d.id).selected, 1);
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DELETED], 1);
    machine_verified_restart(&machine);
    assert_int_equal(receipt(d.id).state, DELETION_DONE);
}

UNIT_TEST(test_samples_after_a_held_deletion_stay_visible_through_merges)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m", T0, 1);
    struct tsdb_deletion d = delete_series("m", INT64_MIN, INT64_MAX);
    send_part("__name__=m", T0, 2);
    send_part("__name__=m", T0 + 1, 3);
    merge_all(TSDB_MERGE_FULL);
    static const char later[] = "{__name__=\"m\"} 1767222000000 2\n"
                                "{__name__=\"m\"} 1767222000001 3\n";
    expect_all(&machine, "a", later);
    machine_verified_restart(&machine);
    expect_all(&machine, "a", later);
    undelete(d.id); /* the first arrival wins again */
    expect_all(&machine, "a",
               "{__name__=\"m\"} 1767222000000 1\n{__name__=\"m\"} 1767222000001 3\n");
    merge_all(TSDB_MERGE_FULL);
    struct ledger l = machine_ledger(&machine, "a");
    assert_int_equal(l.stored[LEDGER_FLOAT], 2);
    assert_int_equal(l.count[LEDGER_FLOAT][LEDGER_SUPERSEDED], 1);
}

UNIT_TEST(test_of_two_overlapping_deletions_one_can_be_undone)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    send_part("__name__=m,x=2", T0, 2);
    struct tsdb_deletion one = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    struct tsdb_deletion two = delete_series("m", T0, T0), same = delete_series("m", T0, T0);
    assert_int_equal(two.samples, 1);
    assert_int_equal(receipt(two.id).selected, 2);
    assert_int_equal(same.samples, 0);
    undelete(one.id);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
    assert_int_equal(hidden(two.id), 2);
    undelete(two.id);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
    undelete(same.id);
    expect_all(&machine, "a", all_three);
}

UNIT_TEST(test_a_clock_that_jumps_ahead_ends_no_hold_before_a_restart)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    uint64_t one = delete_series("m", T0, T0).id, two = delete_series("m", T0, T0).id;
    sim_env_set_realtime_ms(machine.sim, env_realtime_ms(machine.env) + 25 * HOUR_MS);
    assert_int_equal(receipt(one).state, DELETION_HELD);
    undelete(one);
    sim_env_advance_ns(machine.sim, 23 * HOUR_MS * NS_PER_MS);
    assert_int_equal(receipt(two).state, DELETION_HELD);
    machine_verified_restart(&machine);
    assert_int_equal(receipt(two).state, DELETION_FINAL);
}

UNIT_TEST(test_a_hold_lasts_to_its_last_millisecond)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    uint64_t id = delete_series("m", T0, T0).id;
    sim_env_advance_ns(machine.sim, 24 * HOUR_MS * NS_PER_MS);
    assert_int_equal(receipt(id).state, DELETION_HELD);
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    assert_int_equal(receipt(id).state, DELETION_FINAL);
}

/* Held until its own time comes, it would fill the disk for years. */
UNIT_TEST(test_a_deletion_made_while_the_clock_was_far_ahead_is_not_held)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    int64_t now_ms = env_realtime_ms(machine.env);
    sim_env_set_realtime_ms(machine.sim, now_ms + 24 * HOUR_MS);
    uint64_t near = delete_series("m", T0, T0).id;
    sim_env_set_realtime_ms(machine.sim, now_ms + 24 * HOUR_MS + 1);
    uint64_t far = delete_series("m", T0, T0).id;
    sim_env_set_realtime_ms(machine.sim, now_ms);
    assert_int_equal(receipt(near).state, DELETION_HELD);
    undelete(near);
    assert_int_equal(receipt(far).state, DELETION_FINAL);
}

UNIT_TEST(test_a_clock_that_is_behind_at_the_start_prolongs_no_hold)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    int64_t now_ms = env_realtime_ms(machine.env);
    sim_env_set_realtime_ms(machine.sim, now_ms - 48 * HOUR_MS);
    machine_verified_restart(&machine);
    sim_env_set_realtime_ms(machine.sim, now_ms);
    uint64_t id = delete_series("m", T0, T0).id;
    sim_env_advance_ns(machine.sim, 23 * HOUR_MS * NS_PER_MS);
    assert_int_equal(receipt(id).state, DELETION_HELD);
    sim_env_advance_ns(machine.sim, 2 * HOUR_MS * NS_PER_MS);
    assert_int_equal(receipt(id).state, DELETION_FINAL);
}

UNIT_TEST(test_cleaning_ends_the_hold)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    struct tsdb_deletion d = delete_series("m", INT64_MIN, INT64_MAX);
    merge_all(TSDB_MERGE_CLEAN);
    assert_int_equal(tsdb_undelete(machine.db, text("a"), d.id, &machine.why), ERR_INPUT);
    assert_int_equal(receipt(d.id).state, DELETION_DONE);
}

UNIT_TEST(test_cleaning_ends_no_hold_of_later_deletions)
{
    struct tsdb_stats stats;
    struct tsdb_merge_result r;
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=2", T0, 2);
    struct tsdb_deletion one = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    tsdb_stats(machine.db, &stats);
    struct tsdb_deletion two = delete_series("m{x='2'}", INT64_MIN, INT64_MAX);
    const struct tsdb_merge_options options = {.mode = TSDB_MERGE_CLEAN,
                                               .held_from = stats.last_deletion + 1};
    do {
        must(tsdb_merge(machine.db, &options, &r, &machine.why));
    } while (r.input_count > 0);
    assert_int_equal(receipt(one.id).state, DELETION_DONE);
    undelete(two.id);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"2\"} 1767222000000 2\n");
}

UNIT_TEST(test_cleaning_before_the_first_deletion_ends_no_hold)
{
    struct tsdb_stats stats;
    struct tsdb_merge_result r;
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m,x=1", T0, 0);
    tsdb_stats(machine.db, &stats);
    struct tsdb_deletion d = delete_series("m", INT64_MIN, INT64_MAX);
    const struct tsdb_merge_options options = {.mode = TSDB_MERGE_CLEAN,
                                               .held_from = stats.last_deletion + 1};
    must(tsdb_merge(machine.db, &options, &r, &machine.why));
    assert_int_equal(r.input_count, 0);
    undelete(d.id);
}

UNIT_TEST(test_a_snapshot_keeps_what_a_deletion_hides)
{
    char name[SNAPSHOT_NAME_BYTES];
    send_part("__name__=m,x=1", T0, 0);
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    struct tsdb_deletion d = delete_series("m", INT64_MIN, INT64_MAX);
    merge_all(TSDB_MERGE_CLEAN);
    assert_int_equal(receipt(d.id).parts, 0);
    assert_int_equal(receipt(d.id).snapshots, 1);
    must(tsdb_snapshot_delete(machine.db, name, &machine.why));
    assert_int_equal(receipt(d.id).snapshots, 0);
}

UNIT_TEST(test_a_damaged_snapshot_may_have_what_a_deletion_hides)
{
    char name[SNAPSHOT_NAME_BYTES], path[300];
    struct file file;
    send_part("__name__=m,x=1", T0, 0);
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    struct tsdb_deletion d = delete_series("m", T0 + 1000, INT64_MAX);
    d = delete_series("m", T0, T0 + 1000);
    snprintf(path, sizeof path, STORE_DIR "/snapshots/%s/MANIFEST", name);
    must(file_open(machine.env, path, FILE_REPLACE, &file, &machine.why));
    must(file_close(&file));
    assert_int_equal(receipt(d.id).snapshots, 1);
}

UNIT_TEST(test_another_tenant_neither_sees_nor_undoes_a_deletion)
{
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m", T0, 1);
    struct tsdb_deletion d = delete_series("m", INT64_MIN, INT64_MAX);
    assert_int_equal(tsdb_undelete(machine.db, text("b"), d.id, &machine.why), ERR_MISSING);
    assert_int_equal(tsdb_undelete(machine.db, text("a"), d.id + 1, &machine.why), ERR_MISSING);
}

UNIT_TEST(test_deletions_that_can_be_undone_are_limited)
{
    struct selector selector;
    struct tsdb_deletion d;
    hold_deletions(24 * HOUR_MS);
    send_part("__name__=m", T0, 1);
    for (int i = 0; i < DELETIONS_KEPT_MAX; i++)
        d = delete_series("m", INT64_MIN, INT64_MAX);
    must(selector_parse(text("m"), &selector, &machine.why));
    assert_int_equal(
        tsdb_delete(machine.db, text("a"), &selector, 1, INT64_MIN, INT64_MAX, &d, &machine.why),
        ERR_LIMIT);
    undelete(7); /* its receipt makes room */
    uint64_t last = delete_series("m", INT64_MIN, INT64_MAX).id;
    machine_verified_restart(&machine);
    assert_int_equal(receipt(last).state, DELETION_HELD);
}

UNIT_TEST(test_deletions_made_together_count_each_sample_once)
{
    struct tsdb_deletion made[3];
    hold_deletions(24 * HOUR_MS);
    for (int x = 0; x < 4; x++) {
        char series[32];
        snprintf(series, sizeof series, "__name__=m,x=%d", x);
        send_part(series, T0, x);
    }
    must(delete_many(2, 3, made)); /* of 2 and 0, 3 and 0, 4 and 0 */
    machine_verified_restart(&machine);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222000000 1\n");
    for (unsigned i = 0; i < 3; i++) {
        struct tsdb_receipt r = receipt(made[i].id);
        assert_int_equal(made[i].id, made[0].id + i);
        assert_int_equal(made[i].samples, 2 - i);
        assert_int_equal(r.samples, 2 - i);
        assert_int_equal(r.selected, i < 2 ? 2 : 1);
    }
    undelete(made[0].id);
    expect_all(&machine, "a",
               "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
               "{__name__=\"m\", x=\"2\"} 1767222000000 2\n");
}

/* At either limit, and on a full disk, none of several deletions is made. */
UNIT_TEST(test_several_deletions_are_made_as_a_whole_or_not_at_all)
{
    static const struct {
        int64_t hold_ms;
        uint32_t before, refused, fitting; /* numbers of deletions */
        bool disk_is_full;
        enum err error;
    } cases[] = {
        {24 * HOUR_MS, 200, 57, 56, false, ERR_LIMIT},
        {24 * HOUR_MS, 0, 2, 256, true, ERR_FULL},
        {0, DELETIONS_WAITING_MAX - 100, 101, 100, false, ERR_AGAIN},
        {0, 256, 2, 256, true, ERR_FULL},
        {24 * HOUR_MS, 256, 1, 0, false, ERR_LIMIT},
    };
    static struct tsdb_deletion made[DELETIONS_KEPT_MAX];
    for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
        if (cases[c].before > DELETIONS_KEPT_MAX && !is_long()) continue;
        hold_deletions(0);
        merge_all(TSDB_MERGE_CLEAN);
        hold_deletions(cases[c].hold_ms);
        send_part("__name__=m,x=77777", T0 + c, 1);
        for (uint32_t left = cases[c].before, now; left > 0; left -= now) {
            now = left < DELETIONS_KEPT_MAX ? left : DELETIONS_KEPT_MAX;
            must(delete_many(1, now, made));
        }
        uint64_t last = machine.db->live.version->tombstones->last_id;
        if (cases[c].disk_is_full)
            sim_env_set_capacity(machine.sim, tree_sum_of(machine.env, STORE_DIR).bytes);
        assert_int_equal(delete_many(77777, cases[c].refused, made), cases[c].error);
        sim_env_set_capacity(machine.sim, UINT64_MAX);
        assert_int_equal(made[0].id, 0);
        machine_verified_restart(&machine);
        assert_int_equal(machine_ledger(&machine, "a").stored[LEDGER_FLOAT], 1);
        assert_int_equal(machine.db->live.version->tombstones->last_id, last);
        if (cases[c].fitting == 0) break;
        must(delete_many(77777, cases[c].fitting, made));
        assert_int_equal(made[0].samples, 1);
        expect_all(&machine, "a", "");
    }
}

static const struct env_ops *ops_of_machine;

/* Reads a page, the first time with a flush of a new sample before it. */
static ssize_t
flush_and_read(struct env *env, int file, void *to, size_t size, uint64_t offset)
{
    env->ops = ops_of_machine;
    send_part("__name__=m,x=1", T0 + 1000, 1);
    return env->ops->pread(env, file, to, size, offset);
}

static ssize_t
merge_and_read(struct env *env, int file, void *to, size_t size, uint64_t offset)
{
    ssize_t result = flush_and_read(env, file, to, size, offset);
    merge_all(TSDB_MERGE_FULL);
    return result;
}

/* Deletes the series x=1 while its first page is read that way. */
static struct tsdb_deletion
delete_meanwhile(ssize_t (*pread)(struct env *env, int file, void *to, size_t size,
                                  uint64_t offset))
{
    send_part("__name__=m,x=1", T0, 0);
    machine_verified_restart(&machine);
    ops_of_machine = machine.env->ops;
    struct env_ops ops = *ops_of_machine;
    ops.pread = pread;
    machine.env->ops = &ops;
    struct tsdb_deletion d = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    assert_ptr_equal(machine.env->ops, ops_of_machine); /* it has read */
    assert_int_equal(d.samples, 1);
    return d;
}

UNIT_TEST(test_samples_that_are_flushed_during_a_deletion_are_not_deleted)
{
    hold_deletions(24 * HOUR_MS);
    struct tsdb_deletion d = delete_meanwhile(flush_and_read);
    assert_int_equal(hidden(d.id), 1);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
    merge_all(TSDB_MERGE_FULL);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
    machine_verified_restart(&machine);
    merge_all(TSDB_MERGE_CLEAN);
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DELETED], 1);
}

UNIT_TEST(test_a_deletion_during_a_merge_hides_what_it_joined_until_undone)
{
    hold_deletions(24 * HOUR_MS);
    struct tsdb_deletion d = delete_meanwhile(merge_and_read);
    assert_int_equal(hidden(d.id), 2);
    expect_all(&machine, "a", "");
    machine_verified_restart(&machine);
    undelete(d.id);
    expect_all(&machine, "a",
               "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
               "{__name__=\"m\", x=\"1\"} 1767222001000 1\n");
}

UNIT_TEST(test_a_part_without_room_for_its_copy_is_cleaned_later)
{
    hold_deletions(0);
    send_part("__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=2", T0, 2);
    merge_all(TSDB_MERGE_FULL);
    struct tsdb_deletion d = delete_series("m{x='1'}", INT64_MIN, INT64_MAX);
    sim_env_advance_ns(machine.sim, 3 * HOUR_MS * NS_PER_MS);
    sim_env_set_capacity(machine.sim, tree_sum_of(machine.env, STORE_DIR).bytes);
    err_ignore(tsdb_maintain(machine.db, &machine.why), "the disk is full");
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(hidden(d.id), 1);
    sim_env_set_capacity(machine.sim, UINT64_MAX);
    must(tsdb_maintain(machine.db, &machine.why));
    merge_all(TSDB_MERGE_DUE);
    assert_int_equal(receipt(d.id).state, DELETION_DONE);
}

/* --- against a model -------------------------------------------------------------------------- */

enum { SERIES = 3, SLOTS = 8, LIFE_STEPS = 60, LIVES = 30, LONG_LIVES = 20000 };
enum { MADE_MAX = LIFE_STEPS, HOLD_HOURS = 24 };

struct made {
    uint64_t id;
    uint32_t series; /* bits */
    int from, to;    /* slots */
    int64_t made_ms;
    bool undone;
    bool can_be_final; /* its hold has ended by some clock, or tombstones were cleaned */
};

/* Each series and slot gets at most one sample, so the model needs no rule about duplicates. */
struct life {
    struct rng rng;
    int64_t sent[SERIES][SLOTS]; /* number of deletions made before it came; -1: none */
    struct made made[MADE_MAX];
    int made_count;
    int cleaned;   /* deletions before this one were, and are final */
    bool set_back; /* the clock was */
};

static uint32_t
below(struct life *l, uint32_t n)
{
    return (uint32_t)rng_below(&l->rng, n);
}

static bool
is_visible(const struct life *l, int series, int slot)
{
    if (l->sent[series][slot] < 0) return false;
    for (int i = (int)l->sent[series][slot]; i < l->made_count; i++) {
        const struct made *m = &l->made[i];
        bool hides = (m->series >> series & 1) != 0 && slot >= m->from && slot <= m->to;
        if (hides && !m->undone) return false;
    }
    return true;
}

static void
expect_model(const struct life *l)
{
    char said[SERIES * SLOTS * 60] = "";
    size_t size = 0;
    for (int s = 0; s < SERIES; s++) {
        for (int i = 0; i < SLOTS; i++) {
            if (!is_visible(l, s, i)) continue;
            size +=
                (size_t)snprintf(said + size, sizeof said - size,
                                 "{__name__=\"m\", x=\"%d\"} %lld %d\n", s, (long long)(T0 + i), i);
        }
    }
    expect_all(&machine, "a", said);
}

static uint64_t
selected_by(const struct life *l, int which)
{
    const struct made *m = &l->made[which];
    uint64_t count = 0;
    for (int s = 0; s < SERIES; s++)
        for (int i = m->from; i <= m->to && i < SLOTS; i++)
            count += (m->series >> s & 1) != 0 && l->sent[s][i] >= 0 && l->sent[s][i] <= which;
    return count;
}

/* As long as no deletion is final, all samples that one selects are on disk. */
static void
expect_receipts(const struct life *l)
{
    bool none_final = true;
    for (int i = 0; i < l->made_count; i++)
        none_final &= !l->made[i].can_be_final;
    for (int i = 0; i < l->made_count; i++) {
        const struct made *m = &l->made[i];
        struct tsdb_receipt r = receipt(m->id);
        assert_true((r.state == DELETION_UNDONE) == m->undone);
        assert_true(r.samples <= r.selected);
        if (!none_final) continue;
        assert_int_equal(r.selected, selected_by(l, i));
        if (m->undone) continue;
        assert_int_equal(r.state, DELETION_HELD);
        assert_int_equal(hidden(m->id), r.selected);
    }
}

static bool
has_ended(int64_t made_ms, int64_t now_ms)
{
    return now_ms > made_ms + HOLD_HOURS * HOUR_MS || made_ms > now_ms + HOLD_HOURS * HOUR_MS;
}

/* Lets time pass, or sets the clock, at times before the samples. */
static void
step_clock(struct life *l)
{
    int64_t now = env_realtime_ms(machine.env), hours = below(l, 3) > 0 ? 3 : 60;
    int64_t by_ms = 1 + below(l, (uint32_t)(hours * HOUR_MS));
    if (below(l, 3) > 0) {
        sim_env_advance_ns(machine.sim, by_ms * NS_PER_MS);
    } else {
        sim_env_set_realtime_ms(machine.sim, now - by_ms);
        l->set_back = true;
    }
    now = env_realtime_ms(machine.env);
    for (int i = 0; i < l->made_count; i++)
        l->made[i].can_be_final |= has_ended(l->made[i].made_ms, now);
}

/* A snapshot, which keeps parts that merges replace. */
static void
step_snapshot(struct life *l)
{
    char name[SNAPSHOT_NAME_BYTES];
    machine_flush(&machine);
    must(tsdb_snapshot(machine.db, NULL, false, NULL, NULL, name, &machine.why));
    if (below(l, 2) == 0) must(tsdb_snapshot_delete(machine.db, name, &machine.why));
}

static void
step_send(struct life *l)
{
    char series[40];
    uint32_t s = below(l, SERIES), slot = below(l, SLOTS);
    bool too_early = env_realtime_ms(machine.env) < T0; /* then the samples are refused */
    if (l->sent[s][slot] >= 0 || too_early) return;
    snprintf(series, sizeof series, "__name__=m,x=%u", s);
    must_send_float("a", series, T0 + slot, slot);
    machine_commit(&machine);
    l->sent[s][slot] = l->made_count;
}

static void
step_delete(struct life *l)
{
    static const char *const selectors[] = {"m{x='0'}", "m{x='1'}", "m{x=~'0|2'}", "m"};
    static const uint32_t bits[] = {1, 2, 5, 7};
    uint32_t which = below(l, 4);
    struct made m = {.series = bits[which], .from = (int)below(l, SLOTS)};
    m.to = m.from + (int)below(l, SLOTS);
    machine_flush(&machine);
    m.made_ms = env_realtime_ms(machine.env);
    m.id = delete_series(selectors[which], T0 + m.from, T0 + m.to).id;
    if (m.id != 0) l->made[l->made_count++] = m;
}

static void
step_undelete(struct life *l)
{
    if (l->made_count == 0) return;
    uint32_t i = below(l, (uint32_t)l->made_count);
    struct made *m = &l->made[i];
    enum err e = tsdb_undelete(machine.db, text("a"), m->id, &machine.why);
    if (e) {
        bool may = m->undone || m->can_be_final || receipt(m->id).state == DELETION_DONE;
        assert_true(may);
        return;
    }
    assert_false(m->undone);
    assert_false((int)i < l->cleaned || (m->can_be_final && !l->set_back));
    m->undone = true;
}

static void
step_die(struct life *l)
{
    fault_env_disarm(machine.fe);
    if (below(l, 2) == 0)
        sim_env_power_loss(machine.sim);
    else
        sim_env_kill(machine.sim);
    machine_close(&machine);
    machine_must_open(&machine);
    if (below(l, 4) == 0) machine_verified_restart(&machine);
}

static void
arm(struct life *l)
{
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_TORN, FAULT_SYNC, FAULT_ENOSPC};
    fault_env_arm(machine.fe, (struct fault){kinds[below(l, 4)], 1 + below(l, 12), true});
}

/* The number of the last deletion that has a receipt; 0: none. */
static uint64_t
last_receipt(void)
{
    struct arena arena;
    struct tsdb_receipt *list;
    uint32_t count;
    arena_init(&arena, NULL, 0, 0);
    must(tsdb_deletions(machine.db, text("a"), &arena, &list, &count, &machine.why));
    uint64_t last = count == 0 ? 0 : list[count - 1].id;
    arena_fini(&arena);
    return last;
}

/* Dies at any call of a deletion, which has happened if it has a receipt. */
static void
step_die_deleting(struct life *l)
{
    struct selector selector;
    struct tsdb_deletion d;
    struct made m = {.series = 7, .from = (int)below(l, SLOTS), .to = SLOTS};
    m.made_ms = env_realtime_ms(machine.env);
    machine_flush(&machine);
    uint64_t before = last_receipt();
    must(selector_parse(text("m"), &selector, &machine.why));
    arm(l);
    err_ignore(
        tsdb_delete(machine.db, text("a"), &selector, 1, T0 + m.from, T0 + m.to, &d, &machine.why),
        "its receipt says it");
    step_die(l);
    m.id = last_receipt();
    if (m.id != before) l->made[l->made_count++] = m;
}

/* Dies at any call while it undoes a deletion. */
static void
step_die_undoing(struct life *l)
{
    if (l->made_count == 0) return;
    struct made *m = &l->made[below(l, (uint32_t)l->made_count)];
    arm(l);
    err_ignore(tsdb_undelete(machine.db, text("a"), m->id, &machine.why), "its receipt says it");
    step_die(l);
    m->undone = receipt(m->id).state == DELETION_UNDONE;
}

static void
step_die_merging(struct life *l)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    machine_flush(&machine);
    arm(l);
    err_ignore(tsdb_merge(machine.db, &options, &r, &machine.why), "it is found out");
    step_die(l);
}

static void
live_on(struct life *l)
{
    for (int i = 0; i < LIFE_STEPS; i++) {
        switch (below(l, 16)) {
        case 0:
            step_delete(l);
            break;
        case 1:
            step_undelete(l);
            break;
        case 2:
            step_die(l);
            break;
        case 3:
            machine_flush(&machine);
            merge_all(TSDB_MERGE_FULL);
            break;
        case 4:
            if (below(l, 4) > 0) break;
            merge_all(TSDB_MERGE_CLEAN);
            for (int m = 0; m < l->made_count; m++)
                l->made[m].can_be_final = true;
            l->cleaned = l->made_count;
            break;
        case 5:
            step_die_deleting(l);
            break;
        case 6:
            step_die_undoing(l);
            break;
        case 7:
            step_die_merging(l);
            break;
        case 8:
            step_clock(l);
            break;
        case 9:
            step_snapshot(l);
            break;
        default:
            step_send(l);
        }
        expect_model(l);
        if (below(l, 4) == 0) expect_receipts(l);
    }
}

UNIT_TEST(test_deletions_and_their_undoing_follow_a_model_through_kills)
{
    uint64_t lives = is_long() ? LONG_LIVES : LIVES;
    for (uint64_t seed = 1; seed <= lives; seed++) {
        struct life l = {.rng = {seed}};
        machine_init(&machine, seed);
        machine.limits.deletion_hold_ms = HOLD_HOURS * HOUR_MS;
        machine_must_open(&machine);
        memset(l.sent, -1, sizeof l.sent);
        live_on(&l);
        machine_flush(&machine);
        machine_verified_restart(&machine);
        expect_model(&l);
        machine_fini(&machine);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_a_merge_keeps_hidden_samples_until_the_hold_ends),
        claim(test_after_the_hold_a_deletion_is_final_and_merges_remove_it),
        claim(test_samples_after_a_held_deletion_stay_visible_through_merges),
        claim(test_of_two_overlapping_deletions_one_can_be_undone),
        claim(test_a_clock_that_jumps_ahead_ends_no_hold_before_a_restart),
        claim(test_a_hold_lasts_to_its_last_millisecond),
        claim(test_a_deletion_made_while_the_clock_was_far_ahead_is_not_held),
        claim(test_a_clock_that_is_behind_at_the_start_prolongs_no_hold),
        claim(test_cleaning_ends_the_hold),
        claim(test_cleaning_ends_no_hold_of_later_deletions),
        claim(test_cleaning_before_the_first_deletion_ends_no_hold),
        claim(test_a_snapshot_keeps_what_a_deletion_hides),
        claim(test_a_damaged_snapshot_may_have_what_a_deletion_hides),
        claim(test_another_tenant_neither_sees_nor_undoes_a_deletion),
        claim(test_deletions_that_can_be_undone_are_limited),
        claim(test_deletions_made_together_count_each_sample_once),
        claim(test_several_deletions_are_made_as_a_whole_or_not_at_all),
        claim(test_samples_that_are_flushed_during_a_deletion_are_not_deleted),
        claim(test_a_deletion_during_a_merge_hides_what_it_joined_until_undone),
        claim(test_a_part_without_room_for_its_copy_is_cleaned_later),
        cmocka_unit_test(test_deletions_and_their_undoing_follow_a_model_through_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
