/* tsdb_bucket_test.c - parts reach the bucket, its catalog says what the store has, whatever
 * fails, and two writers of one chain do not mix. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/random.h"
#include "lib/test.h"
#include "lib/tsdb/tsdb_bucket_rig.h"
#include "lib/tsdb/tsdb_claim.h"
#include "tsdb/store/bucket.h"
#include "tsdb/store/catalog.h"
#include "tsdb/store/store.h"

static struct sim_objects sim;
static struct bucket_rig rig;

static void
begin(void)
{
    rig = (struct bucket_rig){.machine = &machine, .objects = &sim};
    sim_objects_init(&sim);
    machine_close(&machine); /* the store knows the bucket from its start */
    bucket_rig_open(&rig);
}

static void
close_bucket(void)
{
    tsdb_bucket_free(rig.bucket);
    rig.bucket = NULL;
}

static void
end_bucket(void)
{
    close_bucket();
    sim_objects_fini(&sim);
}

static void
send_part(const char *series, int64_t t_ms, double value)
{
    bucket_rig_send(&rig, series, t_ms, value);
}

static void
merge_all(enum tsdb_merge_mode mode)
{
    must(bucket_rig_merge(&rig, mode));
}

UNIT_TEST(test_parts_and_the_catalog_follow_the_store)
{
    begin();
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    for (int i = 0; i < 5; i++) {
        send_part("__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&rig);
        bucket_rig_expect_catalog(&rig);
    }
    merge_all(TSDB_MERGE_FULL);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    bucket_rig_restart(&rig);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

UNIT_TEST(test_many_deltas_leave_two_bases)
{
    begin();
    for (int i = 0; i < 200; i++) {
        send_part("__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&rig);
        if (i % 20 == 19) merge_all(TSDB_MERGE_FULL);
    }
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_BASES), 2);
    end_bucket();
}

UNIT_TEST(test_objects_go_when_they_were_unnamed_for_the_grace)
{
    begin();
    for (int i = 0; i < 3; i++)
        send_part("__name__=m,x=1", T0 + i * 1000, i);
    bucket_rig_run_all(&rig);
    merge_all(TSDB_MERGE_FULL);
    bucket_rig_run_all(&rig);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 4);
    bucket_rig_pass(&rig, 2 * 3600 * 1000); /* now they are known to be unnamed */
    bucket_rig_pass(&rig, DAY_MS - 3600 * 1000);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 4);
    bucket_rig_restart(&rig); /* which forgets nothing */
    bucket_rig_run_all(&rig);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 4);
    bucket_rig_pass(&rig, 3600 * 1000);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 1);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

static uint64_t
count_remote_parts(void)
{
    return bucket_rig_stats(&rig).remote_parts;
}

/* Parts leave the directory when they are this old. */
static void
begin_keeping(int64_t ms)
{
    close_bucket();
    rig.keep_ms = ms;
    bucket_rig_open(&rig);
}

UNIT_TEST(test_parts_that_are_only_in_the_bucket_answer)
{
    static const char two[] = "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
                              "{__name__=\"m\", x=\"2\"} 1767222000000 2\n";
    begin();
    begin_keeping(1);
    must_send_float("a", "__name__=m,x=1", T0, 1);
    send_part("__name__=m,x=2", T0, 2);
    bucket_rig_run_all(&rig);
    assert_int_equal(count_remote_parts(), 1);
    bucket_rig_expect_catalog(&rig);
    expect_all(&machine, "a", two);
    bucket_rig_restart(&rig);
    assert_int_equal(count_remote_parts(), 1);
    expect_all(&machine, "a", two);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

UNIT_TEST(test_merges_read_and_replace_parts_in_the_bucket)
{
    begin();
    begin_keeping(1);
    for (int i = 0; i < 3; i++) {
        send_part("__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&rig);
    }
    assert_int_equal(count_remote_parts(), 3);
    (void)bucket_rig_delete(&rig, "m{x='2'}");
    merge_all(TSDB_MERGE_FULL);
    assert_int_equal(count_remote_parts(), 0);
    bucket_rig_run_all(&rig);
    assert_int_equal(count_remote_parts(), 1);
    bucket_rig_expect_catalog(&rig);
    send_part("__name__=m,x=1", T0 - 1000, 7); /* late */
    merge_all(TSDB_MERGE_FULL);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    bucket_rig_restart(&rig);
    expect_all(&machine, "a",
               "{__name__=\"m\", x=\"1\"} 1767221999000 7\n"
               "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
               "{__name__=\"m\", x=\"1\"} 1767222001000 1\n"
               "{__name__=\"m\", x=\"1\"} 1767222002000 2\n");
    end_bucket();
}

UNIT_TEST(test_a_bucket_that_is_away_fails_queries_and_stops_no_writes)
{
    struct question q;
    begin();
    begin_keeping(1);
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    bucket_rig_restart(&rig);
    question_init(&q, "a", every_series, 1, INT64_MIN, INT64_MAX);
    sim.is_away = true;
    assert_int_equal(machine_select(&machine, &q, NULL, NULL), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "bucket"));
    question_fini(&q);
    send_part("__name__=m,x=1", T0 + 1000, 2);
    assert_int_equal(bucket_rig_merge(&rig, TSDB_MERGE_FULL), ERR_AGAIN);
    send_part("__name__=m,x=1", T0 + 2000, 3);
    must(bucket_rig_merge(&rig, TSDB_MERGE_FULL)); /* of parts that are here */
    sim.is_away = false;
    expect_all(&machine, "a",
               "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
               "{__name__=\"m\", x=\"1\"} 1767222001000 2\n"
               "{__name__=\"m\", x=\"1\"} 1767222002000 3\n");
    end_bucket();
}

/* Flips a bit of the object of the only part; again, and it is as before. */
static void
flip_object(void)
{
    struct sim_object *object = NULL;
    for (size_t i = 0; i < sim.count; i++)
        if (strncmp(sim.items[i].key, CATALOG_PARTS, sizeof CATALOG_PARTS - 1) == 0)
            object = &sim.items[i];
    assert_non_null(object);
    object->at[object->size / 2] ^= 1;
}

UNIT_TEST(test_a_part_whose_object_is_not_whole_stays)
{
    begin();
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    flip_object();
    begin_keeping(1);
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    assert_int_equal(bucket_rig_run(&rig), ERR_AGAIN);
    assert_int_equal(count_remote_parts(), 0);
    flip_object();
    bucket_rig_run_all(&rig);
    assert_int_equal(count_remote_parts(), 1);
    end_bucket();
}

UNIT_TEST(test_a_rule_that_removes_objects_keeps_parts_in_the_directory)
{
    begin();
    sim.rule = "removes objects after 30 days";
    begin_keeping(1);
    send_part("__name__=m,x=1", T0, 1);
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    assert_int_equal(bucket_rig_run(&rig), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "after 30 days"));
    assert_int_equal(count_remote_parts(), 0);
    sim.rule = NULL;
    bucket_rig_run_all(&rig);
    assert_int_equal(count_remote_parts(), 1);
    end_bucket();
}

static enum deletion_in_bucket
deletion_state(uint64_t id)
{
    return bucket_deletion(rig.bucket, id);
}

static uint32_t
catalogued_tombstones(void)
{
    struct arena arena;
    struct catalog c;
    uint64_t checksum;
    arena_init(&arena, NULL, 0, 0);
    must(catalog_load(&sim.objects, 0, &arena, &c, &checksum, &machine.why));
    uint32_t count = c.state.tombstone_count;
    arena_fini(&arena);
    return count;
}

UNIT_TEST(test_a_deletion_is_in_the_catalog_at_once_and_as_long_as_its_parts_are)
{
    enum tsdb_bucket_did did;
    machine.limits.deletion_hold_ms = DAY_MS;
    tsdb_set_limits(machine.db, &machine.limits);
    begin();
    must_send_float("a", "__name__=m,x=1", T0, 0);
    send_part("__name__=m,x=2", T0, 2);
    bucket_rig_run_all(&rig);
    uint64_t undone = bucket_rig_delete(&rig, "m{x='2'}");
    assert_int_equal(deletion_state(undone), BUCKET_PENDING);
    must(tsdb_bucket_step(rig.bucket, &did, &machine.why)); /* without waiting for a minute */
    assert_int_equal(deletion_state(undone), BUCKET_HIDES);
    assert_int_equal(did, TSDB_BUCKET_NAMED);
    assert_int_equal(catalogued_tombstones(), 1);
    must(tsdb_undelete(machine.db, text("a"), undone, &machine.why));
    must(tsdb_bucket_step(rig.bucket, &did, &machine.why));
    assert_int_equal(catalogued_tombstones(), 0);
    uint64_t final = bucket_rig_delete(&rig, "m{x='1'}");
    must(tsdb_bucket_step(rig.bucket, &did, &machine.why));
    merge_all(TSDB_MERGE_CLEAN);
    /* the parts of the bucket still have the samples */
    sim.requests = 0;
    sim.fails_at = 1;
    sim.failure = SIM_FAILS_BEFORE;
    (void)bucket_rig_run(&rig);
    assert_int_equal(catalogued_tombstones(), 1);
    bucket_rig_run_all(&rig);
    assert_int_equal(catalogued_tombstones(), 0);
    bucket_rig_expect_catalog(&rig);
    assert_int_equal(deletion_state(final), BUCKET_HIDES);
    bucket_rig_pass(&rig, 2 * 3600 * 1000); /* the old part is known to be unnamed */
    bucket_rig_restart(&rig);
    assert_int_equal(deletion_state(final), BUCKET_HIDES);
    bucket_rig_pass(&rig, DAY_MS);
    assert_int_equal(deletion_state(final), BUCKET_DONE);
    sim.has_versions = true;
    send_part("__name__=m,x=3", T0, 3);
    bucket_rig_run_all(&rig);
    assert_int_equal(deletion_state(final), BUCKET_VERSIONS);
    end_bucket();
}

static enum err
take_snapshot(char name[SNAPSHOT_NAME_BYTES])
{
    return tsdb_snapshot(machine.db, NULL, true, NULL, NULL, name, &machine.why);
}

UNIT_TEST(test_a_snapshot_with_the_bucket_has_all_parts_or_fails)
{
    char name[SNAPSHOT_NAME_BYTES], path[300];
    struct file_facts facts;
    begin();
    begin_keeping(1);
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    assert_int_equal(count_remote_parts(), 1);
    const struct part_info *info = part_info(machine.db->live.version->parts[0]);
    must(take_snapshot(name));
    snprintf(path, sizeof path, STORE_DIR "/snapshots/%s/parts/%016" PRIx64 "/part", name,
             info->number);
    must(env_facts(machine.env, path, &facts, &machine.why));
    assert_int_equal(facts.size_bytes, info->file_bytes);
    snprintf(path, sizeof path, STORE_DIR "/snapshots/%s/CATALOG", name);
    assert_int_equal(env_facts(machine.env, path, &facts, NULL), ERR_MISSING);
    sim.is_away = true;
    assert_int_equal(take_snapshot(name), ERR_AGAIN);
    sim.is_away = false;
    const char *key = part_key(machine.db->live.version->parts[0]);
    must(sim.objects.ops->remove(&sim.objects, key, &machine.why));
    assert_int_equal(take_snapshot(name), ERR_IO);
    assert_non_null(strstr(machine.why.text, "lacks parts/"));
    end_bucket();
}

UNIT_TEST(test_cleaning_of_parts_in_the_bucket_leaves_room_on_the_disk)
{
    begin();
    begin_keeping(1);
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    (void)bucket_rig_delete(&rig, "m{x='1'}");
    bucket_rig_run_all(&rig);
    fault_env_set_free(machine.fe, machine.options.min_free_bytes + 1);
    assert_int_equal(bucket_rig_merge(&rig, TSDB_MERGE_CLEAN), ERR_AGAIN);
    assert_non_null(strstr(machine.why.text, "no room"));
    assert_int_equal(count_remote_parts(), 1);
    fault_env_set_free(machine.fe, UINT64_MAX);
    merge_all(TSDB_MERGE_CLEAN);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

UNIT_TEST(test_clocks_that_differ_suspend_retention_and_the_sweep)
{
    struct tsdb_stats stats;
    begin();
    for (int i = 0; i < 3; i++)
        send_part("__name__=m,x=1", T0 + i * 1000, i);
    bucket_rig_run_all(&rig);
    merge_all(TSDB_MERGE_FULL);
    bucket_rig_run_all(&rig);
    sim_objects_pass(&sim, sim.now_ms + (int64_t)365 * DAY_MS);
    for (int i = 0; i < 3; i++) {
        sim_env_advance_ns(machine.sim, 2 * 3600 * NS_PER_S);
        bucket_rig_run_all(&rig);
    }
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.clock, TSDB_CLOCK_NOT_BUCKETS);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 4);
    sim_env_set_realtime_ms(machine.sim, sim.now_ms);
    bucket_rig_pass(&rig, 2 * 3600 * 1000);
    tsdb_stats(machine.db, &stats);
    assert_int_equal(stats.clock, TSDB_CLOCK_GOOD);
    bucket_rig_pass(&rig, DAY_MS);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 1);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

/* A life of a store and its bucket, in which request number `at` fails, and restarts follow. */
static bool
live(uint64_t at, enum sim_failure failure, bool restarts)
{
    enum err e;
    sim.requests = 0;
    sim.fails_at = at;
    sim.failure = failure;
    for (int i = 0; i < 4; i++) {
        send_part(i % 2 == 0 ? "__name__=m,x=1" : "__name__=m,x=2", T0 + i * 1000, i);
        e = i == 2 ? bucket_rig_merge(&rig, TSDB_MERGE_FULL) : OK;
        if (e) assert_int_equal(e, ERR_AGAIN);
        if (i == 3) (void)bucket_rig_delete(&rig, "m{x='1'}");
        e = bucket_rig_run(&rig);
        if (e) assert_int_equal(e, ERR_AGAIN);
        if (e && restarts) bucket_rig_restart(&rig);
        sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    }
    bool failed = sim.requests >= at;
    sim.fails_at = 0;
    bucket_rig_run_all(&rig);
    bucket_rig_run_all(&rig);
    bucket_rig_pass(&rig, 2 * sim.late_ms);
    bucket_rig_expect_catalog(&rig);
    bucket_rig_pass(&rig, 2 * 3600 * 1000);
    bucket_rig_pass(&rig, DAY_MS);
    bucket_rig_expect_catalog(&rig);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), machine.db->live.version->part_count);
    return failed;
}

UNIT_TEST(test_no_failed_request_makes_the_catalog_differ_from_the_store)
{
    for (unsigned failure = 0; failure < SIM_FAILURES; failure++) {
        for (unsigned way = 0; way < 4; way++) {
            bool failed = true;
            for (uint64_t at = 1; failed; at++) {
                machine_fini(&machine);
                machine_init(&machine, 77 + at);
                machine_must_open(&machine);
                begin();
                if (way >= 2) begin_keeping(1);
                failed = live(at, failure, way % 2 == 1);
                end_bucket();
            }
        }
    }
}

UNIT_TEST(test_someone_elses_delta_stops_the_writer)
{
    struct tsdb_bucket_stats stats;
    char key[OBJECT_KEY_BYTES];
    begin();
    send_part("__name__=m,x=1", T0, 0);
    bucket_rig_run_all(&rig);
    assert_true(tsdb_bucket_stats(machine.db, &stats));
    catalog_delta_key(stats.number + 1, key);
    must(sim.objects.ops->put(&sim.objects, key, bytes_of_text("other"), true, NULL, &machine.why));
    send_part("__name__=m,x=1", T0 + 1000, 1);
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "did not write"));
    assert_true(tsdb_bucket_stats(machine.db, &stats));
    assert_true(stats.is_stopped);
    size_t objects = sim.count;
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_int_equal(sim.count, objects);
    send_part("__name__=m,x=1", T0 + 2000, 2); /* the store goes on */
    end_bucket();
}

UNIT_TEST(test_an_emptied_bucket_stops_the_writer)
{
    begin();
    send_part("__name__=m,x=1", T0, 0);
    bucket_rig_run_all(&rig);
    sim_objects_fini(&sim);
    sim_objects_init(&sim);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "is missing"));
    end_bucket();
}

UNIT_TEST(test_a_bucket_that_ignores_conditions_needs_a_single_writer)
{
    begin();
    sim.no_conditions = true;
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "single_writer"));
    close_bucket();
    rig.single_writer = true;
    bucket_rig_open(&rig);
    send_part("__name__=m,x=1", T0, 0);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

/* --- other directories ------------------------------------------------------------------------ */

static void
open_dir(const char *dir)
{
    machine.options.dir = dir;
    machine_must_open(&machine);
    bucket_rig_open(&rig);
}

static void
close_dir(void)
{
    close_bucket();
    machine_close(&machine);
}

static enum err
take(const char *dir)
{
    uint64_t number;
    return tsdb_bucket_take(machine.env, &sim.objects, dir, &machine.memory, &number, &machine.why);
}

static void
adopt(const char *dir, uint64_t beyond)
{
    struct tsdb_bucket_summary s;
    struct tsdb_report report;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    must(tsdb_bucket_adopt(machine.env, &sim.objects, dir, &machine.memory, &s, &machine.why));
    assert_int_equal(s.beyond, beyond);
    must(tsdb_verify(machine.env, dir, say_line, &said, &report, &machine.why));
    assert_true(report.ledger_balances);
    buf_fini(&said);
}

UNIT_TEST(test_an_adopted_bucket_is_the_store_again)
{
    begin();
    send_part("__name__=m,x=1", T0, 1);
    send_part("__name__=m,x=2", T0, 2);
    (void)bucket_rig_delete(&rig, "m{x='2'}");
    bucket_rig_run_all(&rig);
    must_send_float("a", "__name__=m,x=3", T0, 3); /* in the log only */
    machine_commit(&machine);
    (void)bucket_rig_delete(&rig, "m{x='4'}"); /* so that the catalog knows that it was there */
    bucket_rig_run_all(&rig);
    close_dir();
    adopt("/adopted", 1);
    open_dir("/adopted");
    expect_all(&machine, "a", "{__name__=\"m\", x=\"1\"} 1767222000000 1\n");
    assert_int_equal(machine_ledger(&machine, "a").count[LEDGER_FLOAT][LEDGER_DAMAGED], 1);
    must_send_float("a", "__name__=m,x=2", T0 + 1000, 5); /* after the deletion */
    machine_commit(&machine);
    machine_flush(&machine);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    merge_all(TSDB_MERGE_CLEAN);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    expect_all(
        &machine, "a",
        "{__name__=\"m\", x=\"1\"} 1767222000000 1\n{__name__=\"m\", x=\"2\"} 1767222001000 5\n");
    close_dir();
    open_dir(STORE_DIR); /* the writer of before comes back */
    send_part("__name__=m,x=1", T0 + 1000, 1);
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "did not write"));
    close_dir();
    assert_int_equal(take(STORE_DIR), ERR_INPUT); /* it lacks what the other has written */
    assert_non_null(strstr(machine.why.text, "adopt"));
    sim_objects_fini(&sim);
}

static void
forget_identity(void)
{
    static const char *const names[] = {STORE_DIR "/WITNESS.0", STORE_DIR "/WITNESS.1"};
    for (unsigned i = 0; i < 2; i++)
        err_ignore(env_unlink(machine.env, names[i], NULL), "one of them is there");
}

UNIT_TEST(test_a_copy_writes_nothing_until_it_is_taken)
{
    begin();
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    size_t objects = sim.count;
    close_dir();
    forget_identity();
    open_dir(STORE_DIR);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    assert_non_null(strstr(machine.why.text, "take"));
    assert_int_equal(sim.count, objects);
    assert_int_equal(take(STORE_DIR), ERR_AGAIN); /* a server has it */
    close_dir();
    must(take(STORE_DIR));
    open_dir(STORE_DIR);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

UNIT_TEST(test_take_passes_over_openings_only)
{
    begin();
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    close_dir();
    adopt("/restored", 0); /* a test beside production: it opens, and writes nothing */
    open_dir(STORE_DIR);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    assert_int_equal(bucket_rig_run(&rig), ERR_INPUT);
    close_dir();
    must(take(STORE_DIR));
    open_dir(STORE_DIR);
    bucket_rig_run_all(&rig);
    bucket_rig_expect_catalog(&rig);
    end_bucket();
}

UNIT_TEST(test_a_damaged_object_is_found)
{
    struct tsdb_bucket_verdict verdict;
    struct buf said;
    begin();
    send_part("__name__=m,x=1", T0, 1);
    send_part("__name__=m,x=1", T0 + 1000, 1);
    bucket_rig_run_all(&rig);
    close_dir();
    buf_init(&said, NULL, 1 << 20);
    must(tsdb_bucket_verify(&sim.objects, &machine.memory, true, say_line, &said, &verdict,
                            &machine.why));
    assert_int_equal(verdict.parts, 2);
    assert_int_equal(verdict.unnamed, 0);
    struct sim_object *damaged = NULL;
    for (size_t i = 0; i < sim.count; i++)
        if (strncmp(sim.items[i].key, CATALOG_PARTS, sizeof CATALOG_PARTS - 1) == 0)
            damaged = &sim.items[i];
    damaged->at[damaged->size / 2] ^= 1;
    assert_int_equal(tsdb_bucket_verify(&sim.objects, &machine.memory, true, say_line, &said,
                                        &verdict, &machine.why),
                     ERR_CORRUPT);
    assert_int_equal(verdict.bad, 1);
    buf_fini(&said);
    sim_objects_fini(&sim);
}

/* --- readers ---------------------------------------------------------------------------------- */

static struct tsdb_bucket_reader *
open_reader(void)
{
    struct tsdb_bucket_reader *reader;
    const struct tsdb_bucket_reader_options options = {machine.env, &sim.objects, NULL, 1 << 20};
    must(tsdb_bucket_reader_new(&options, &reader, &machine.why));
    return reader;
}

/* Checks that the reader's samples and those that the writer has beyond them are the writer's.
 * False: the writer says that it has more. */
static bool
reader_agrees(struct tsdb_bucket_reader *reader)
{
    static struct reading all, together;
    struct view *view, *own = machine_view(&machine);
    struct bucket_mark mark;
    all.count = together.count = 0;
    must(tsdb_bucket_reader_view(reader, true, NULL, &view, &mark, &machine.why));
    enum err e = reading_add(&together, own, &mark, &machine.why);
    if (e == OK) {
        must(reading_add(&together, view, NULL, &machine.why));
        must(reading_add(&all, own, NULL, &machine.why));
        reading_expect_same(&together, &all);
    } else {
        assert_int_equal(e, ERR_MISSING);
    }
    view_free(view);
    view_free(own);
    return e == OK;
}

UNIT_TEST(test_a_reader_and_what_lies_beyond_are_the_store)
{
    machine.limits.deletion_hold_ms = 60 * 1000;
    begin();
    begin_keeping(1);
    bucket_rig_run_all(&rig);
    struct tsdb_bucket_reader *reader = open_reader();
    struct rng random = {7};
    uint64_t agreed = 0, undone = 0;
    for (int i = 0; i < 400; i++) {
        unsigned what = (unsigned)rng_below(&random, 10);
        if (what < 5) {
            int64_t t_ms = T0 - (int64_t)rng_below(&random, 10) * 3600000 + i;
            must_send_float("a", i % 2 == 0 ? "__name__=m,x=1" : "__name__=m,x=2", t_ms, i);
            machine_commit(&machine);
            if (what < 3) machine_flush(&machine);
        } else if (what == 5) {
            merge_all(rng_below(&random, 2) == 0 ? TSDB_MERGE_FULL : TSDB_MERGE_CLEAN);
            sim_objects_pass(&sim, sim.now_ms + sim.late_ms / 4);
        } else if (what == 6) {
            uint64_t id = bucket_rig_delete(&rig, i % 2 == 0 ? "m{x='1'}" : "m{x='2'}");
            if (id != 0 && rng_below(&random, 2) == 0)
                undone += tsdb_undelete(machine.db, text("a"), id, &machine.why) == OK;
        } else if (what == 7) {
            bucket_rig_restart(&rig);
        } else {
            if (what == 9) sim.fails_at = sim.requests + 1 + rng_below(&random, 8);
            sim.failure = (enum sim_failure)rng_below(&random, SIM_FAILURES);
            enum err e = bucket_rig_run(&rig);
            if (e) assert_int_equal(e, ERR_AGAIN);
            sim.fails_at = 0;
            if (what == 8) sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
        }
        agreed += reader_agrees(reader);
    }
    assert_in_range(agreed, 100, 399);
    assert_true(undone > 0);
    bucket_rig_run_all(&rig);
    assert_true(reader_agrees(reader));
    tsdb_bucket_reader_free(reader);
    end_bucket();
}

UNIT_TEST(test_a_reader_that_was_asleep_follows_the_chain)
{
    begin();
    send_part("__name__=m,x=1", T0, 0);
    bucket_rig_run_all(&rig);
    struct tsdb_bucket_reader *reader = open_reader();
    assert_true(reader_agrees(reader));
    for (int i = 1; i < 200; i++) { /* the bases of before are gone then */
        send_part("__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&rig);
    }
    assert_true(reader_agrees(reader));
    tsdb_bucket_reader_free(reader);
    end_bucket();
}

UNIT_TEST(test_a_reader_of_another_writer_is_refused)
{
    begin();
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    close_dir();
    adopt("/adopted", 0);
    open_dir("/adopted");
    bucket_rig_run_all(&rig);
    struct tsdb_bucket_reader *reader = open_reader();
    assert_true(reader_agrees(reader));
    close_dir();
    open_dir(STORE_DIR); /* the writer of before has not noticed yet */
    assert_false(reader_agrees(reader));
    tsdb_bucket_reader_free(reader);
    end_bucket();
}

UNIT_TEST(test_a_reader_notices_that_the_bucket_is_another_one)
{
    struct view *view;
    struct bucket_mark mark;
    begin();
    send_part("__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&rig);
    struct tsdb_bucket_reader *reader = open_reader();
    assert_true(reader_agrees(reader));
    while (sim.count > 0)
        must(sim.objects.ops->remove(&sim.objects, sim.items[0].key, &machine.why));
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    enum err e = tsdb_bucket_reader_view(reader, false, NULL, &view, &mark, &machine.why);
    assert_int_equal(e, ERR_IO);
    assert_non_null(strstr(machine.why.text, "no catalog"));
    tsdb_bucket_reader_free(reader);
    end_bucket();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_parts_and_the_catalog_follow_the_store),
        claim(test_many_deltas_leave_two_bases),
        claim(test_parts_that_are_only_in_the_bucket_answer),
        claim(test_merges_read_and_replace_parts_in_the_bucket),
        claim(test_a_bucket_that_is_away_fails_queries_and_stops_no_writes),
        claim(test_a_part_whose_object_is_not_whole_stays),
        claim(test_a_rule_that_removes_objects_keeps_parts_in_the_directory),
        claim(test_objects_go_when_they_were_unnamed_for_the_grace),
        claim(test_a_deletion_is_in_the_catalog_at_once_and_as_long_as_its_parts_are),
        claim(test_a_snapshot_with_the_bucket_has_all_parts_or_fails),
        claim(test_cleaning_of_parts_in_the_bucket_leaves_room_on_the_disk),
        claim(test_clocks_that_differ_suspend_retention_and_the_sweep),
        claim(test_no_failed_request_makes_the_catalog_differ_from_the_store),
        claim(test_someone_elses_delta_stops_the_writer),
        claim(test_an_emptied_bucket_stops_the_writer),
        claim(test_a_bucket_that_ignores_conditions_needs_a_single_writer),
        claim(test_an_adopted_bucket_is_the_store_again),
        claim(test_a_copy_writes_nothing_until_it_is_taken),
        claim(test_take_passes_over_openings_only),
        claim(test_a_damaged_object_is_found),
        claim(test_a_reader_and_what_lies_beyond_are_the_store),
        claim(test_a_reader_that_was_asleep_follows_the_chain),
        claim(test_a_reader_of_another_writer_is_refused),
        claim(test_a_reader_notices_that_the_bucket_is_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
