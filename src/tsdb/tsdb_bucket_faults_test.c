/* tsdb_bucket_faults_test.c - several directories and one bucket, volumes that are copied or rolled
 * back, clocks that are wrong and requests that come late: nothing that is named is lost. */
#include <inttypes.h>
#include <stdio.h>

#include "lib/tsdb/tsdb_bucket_rig.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/trouble.h"
#include "tsdb/store/bucket.h"
#include "tsdb/store/store.h"

#define HOUR_MS (60 * MINUTE_MS)

static struct sim_objects sim;
static struct machine second_machine;
static struct bucket_rig one = {.machine = &machine, .objects = &sim};
static struct bucket_rig two = {.machine = &second_machine, .objects = &sim};

static void
begin(int64_t keep_ms)
{
    one.keep_ms = two.keep_ms = keep_ms;
    sim_objects_init(&sim);
    machine_close(&machine); /* the store knows the bucket from its start */
    bucket_rig_open(&one);
}

/* Begins again, on another machine. */
static void
begin_again(uint64_t seed, int64_t keep_ms)
{
    machine_fini(&machine);
    machine_init(&machine, seed);
    machine_must_open(&machine);
    begin(keep_ms);
}

static void
end(void)
{
    bucket_rig_close(&one);
    sim_objects_fini(&sim);
}

static void
fail_request(uint64_t at, enum sim_failure failure)
{
    sim.requests = 0;
    sim.fails_at = at;
    sim.failure = failure;
}

/* Returns a hash of all that the bucket has, but for uploads of the writer, which nothing names. */
static uint64_t
hash_of_bucket(const struct bucket_rig *rig)
{
    char own[OBJECT_KEY_BYTES];
    uint64_t hash = 0;
    snprintf(own, sizeof own, CATALOG_PARTS "%016" PRIx64 "/", rig->bucket->session);
    for (size_t i = 0; i < sim.count; i++) {
        const struct sim_object *o = &sim.items[i];
        if (strncmp(o->key, own, strlen(own)) == 0) continue;
        hash = hash_mix(hash, hash_bytes(bytes_of_text(o->key), 1));
        hash = hash_mix(hash, hash_bytes(bytes_of(o->at, o->size), 2));
    }
    return hash;
}

static void
read_all(struct bucket_rig *rig, struct reading *to)
{
    struct view *view = machine_view(rig->machine);
    to->count = 0;
    must(reading_add(to, view, NULL, &rig->machine->why));
    view_free(view);
}

/* The writer finds that it is not the writer any more, before it names or removes anything, and
 * takes samples and answers all the same. It may have sent one part before it looked. */
static void
expect_stopped(struct bucket_rig *rig, int64_t t_ms)
{
    static struct reading before, after;
    uint64_t hash = hash_of_bucket(rig);
    size_t objects = sim.count;
    read_all(rig, &before);
    sim_env_advance_ns(rig->machine->sim, 2 * HOUR_MS * NS_PER_MS);
    assert_int_equal(bucket_rig_run(rig), ERR_INPUT);
    assert_true(bucket_rig_stats(rig).is_stopped);
    assert_in_range(sim.count, objects, objects + 1);
    objects = sim.count;
    bucket_rig_send(rig, "__name__=m,x=local", t_ms, 1);
    must(bucket_rig_merge(rig, TSDB_MERGE_FULL));
    sim_env_advance_ns(rig->machine->sim, DAY_MS * NS_PER_MS);
    assert_int_equal(bucket_rig_run(rig), ERR_INPUT);
    assert_int_equal(sim.count, objects);
    assert_true(hash_of_bucket(rig) == hash);
    read_all(rig, &after);
    assert_int_equal(after.count, before.count + 1);
    (void)machine_ledger(rig->machine, "a");
}

/* All objects that the catalog names are there and whole. */
static void
expect_whole(void)
{
    struct tsdb_bucket_verdict verdict;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    must(tsdb_bucket_verify(&sim.objects, NULL, true, say_line, &said, &verdict, &machine.why));
    buf_fini(&said);
}

/* Adopts the bucket on a second machine. Returns how many samples the first has beyond. */
static uint64_t
adopt_at_two(uint64_t seed)
{
    struct tsdb_bucket_summary s;
    struct machine *m = &second_machine;
    bucket_rig_init(&two, seed);
    sim_env_set_realtime_ms(m->sim, sim.now_ms);
    must(tsdb_bucket_adopt(m->env, &sim.objects, STORE_DIR, &m->memory, &s, &m->why));
    must(machine_verify(m, true));
    m->limits = machine.limits;
    bucket_rig_open(&two);
    return s.beyond;
}

/* The sweep has looked, and removes what it found unnamed. */
static void
sweep(struct bucket_rig *rig)
{
    bucket_rig_pass(rig, 2 * HOUR_MS);
    bucket_rig_pass(rig, DAY_MS);
}

/* --- two writers ------------------------------------------------------------------------------ */

/* Three parts, a deletion and a merge, in which request number `at` fails; true if it did. */
static bool
live_until(uint64_t at, enum sim_failure failure)
{
    enum err e = OK;
    fail_request(at, failure);
    for (int i = 0; i < 3 && e == OK; i++) {
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
        if (i == 2) (void)bucket_rig_delete(&one, "m{x='1'}");
        if (i == 2) must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        if (i == 2) bucket_rig_send(&one, "__name__=m,x=2", T0, 7);
        e = bucket_rig_run(&one);
        sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
        if (e == OK) e = bucket_rig_run(&one);
    }
    bool failed = sim.requests >= at;
    sim.fails_at = 0;
    return failed;
}

UNIT_TEST(test_a_writer_asleep_over_the_sweep_of_another_writes_nothing_after)
{
    for (unsigned failure = 0; failure < SIM_FAILURES; failure++) {
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            begin_again(at, 0);
            failed = live_until(at, failure); /* and is suspended */
            if (sim_objects_find(&sim, "catalog/00000000000000000001") == NULL) {
                end();
                continue;
            }
            (void)adopt_at_two(1000 + at);
            bucket_rig_send(&two, "__name__=m,x=3", T0, 3);
            bucket_rig_run_all(&two);
            must(bucket_rig_merge(&two, TSDB_MERGE_FULL));
            bucket_rig_run_all(&two);
            sweep(&two);
            assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 1);
            sim_env_advance_ns(machine.sim, 2 * DAY_MS * NS_PER_MS);
            expect_stopped(&one, T0 + 5000);
            expect_whole();
            bucket_rig_run_all(&two);
            bucket_rig_expect_catalog(&two);
            bucket_rig_fini(&two);
            end();
        }
    }
}

UNIT_TEST(test_a_writer_whose_remote_parts_were_swept_merges_those_that_are_here)
{
    begin(1);
    for (int i = 0; i < 3; i++) {
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&one);
    }
    assert_int_equal(bucket_rig_stats(&one).remote_parts, 3);
    (void)adopt_at_two(5);
    bucket_rig_run_all(&two);
    must(bucket_rig_merge(&two, TSDB_MERGE_FULL));
    bucket_rig_run_all(&two);
    sweep(&two);
    bucket_rig_send(&one, "__name__=m,x=2", T0, 1);
    bucket_rig_send(&one, "__name__=m,x=2", T0 + 1000, 1);
    assert_int_equal(bucket_rig_merge(&one, TSDB_MERGE_FULL), ERR_IO); /* it has not noticed */
    must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
    assert_int_equal(machine.db->live.version->part_count, 3 + 1);
    sim_env_advance_ns(machine.sim, 2 * HOUR_MS * NS_PER_MS);
    assert_int_equal(bucket_rig_run(&one), ERR_INPUT);
    bucket_rig_send(&one, "__name__=m,x=2", T0 + 2000, 1);
    must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
    (void)machine_ledger(&machine, "a");
    bucket_rig_fini(&two);
    end();
}

UNIT_TEST(test_of_two_copies_of_a_volume_one_goes_on_and_nothing_is_lost)
{
    for (unsigned failure = 0; failure < SIM_FAILURES; failure++) {
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            begin_again(at, 0);
            bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
            if (at % 2 == 0) bucket_rig_run_all(&one); /* else neither has opened it so far */
            sim.refused = at % 4 < 2 ? CATALOG_DELTAS : NULL; /* both have the same pending delta */
            bucket_rig_send(&one, "__name__=m,x=1", T0 + 500, 1);
            sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
            enum err pending = bucket_rig_run(&one);
            assert_int_equal(pending, sim.refused == NULL ? OK : ERR_AGAIN);
            sim.refused = NULL;
            bucket_rig_copy(&one, &two, 1000 + at);
            bucket_rig_restart(&one);
            bucket_rig_open(&two);
            fail_request(at / 2 + 1, failure);
            bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 2);
            bucket_rig_send(&two, "__name__=m,x=2", T0 + 1000, 3);
            enum err e = bucket_rig_run(&one); /* the other may come between */
            failed = sim.requests >= sim.fails_at || at % 2 == 1;
            sim.fails_at = 0;
            enum err f = bucket_rig_run(&two);
            if (e != ERR_INPUT) e = bucket_rig_run(&one);
            assert_true((e == OK && f == ERR_INPUT) || (e == ERR_INPUT && f == OK));
            struct bucket_rig *first = e == OK ? &one : &two, *last = e == OK ? &two : &one;
            bucket_rig_run_all(first);
            sweep(first);
            expect_stopped(last, T0 + 5000);
            bucket_rig_run_all(first);
            bucket_rig_expect_catalog(first);
            expect_whole();
            bucket_rig_fini(&two);
            end();
        }
    }
}

UNIT_TEST(test_a_volume_that_was_rolled_back_overwrites_nothing)
{
    for (uint64_t at = 0; at < 12; at++) { /* at 0 nothing fails */
        struct sim_env *copy;
        uint64_t number;
        begin_again(40 + at, 0);
        bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
        bucket_rig_run_all(&one);
        bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 2);
        fail_request(at, SIM_FAILS_BEFORE); /* so that the copy may have a pending delta */
        err_ignore(bucket_rig_run(&one), "it is repeated");
        sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
        err_ignore(bucket_rig_run(&one), "it is repeated");
        sim.fails_at = 0;
        must(sim_env_copy(machine.sim, 5, &copy));
        for (int i = 2; i < 5; i++)
            bucket_rig_send(&one, "__name__=m,x=2", T0 + i * 1000, i);
        (void)bucket_rig_delete(&one, "m{x='1'}");
        bucket_rig_run_all(&one);
        must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        bucket_rig_run_all(&one);
        bucket_rig_roll_back(&one, copy);
        expect_all(&machine, "a",
                   "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
                   "{__name__=\"m\", x=\"1\"} 1767222001000 2\n");
        expect_stopped(&one, T0 + 9000);
        assert_non_null(strstr(machine.why.text, "did not write"));
        expect_whole();
        bucket_rig_close(&one);
        assert_int_equal(tsdb_bucket_take(machine.env, &sim.objects, STORE_DIR, &machine.memory,
                                          &number, &machine.why),
                         ERR_INPUT);
        sim_objects_fini(&sim);
    }
}

UNIT_TEST(test_a_writer_that_was_adopted_has_all_that_the_new_one_lacks)
{
    static struct reading all, together;
    for (int64_t keep_ms = 0; keep_ms < 2; keep_ms++) { /* with 1 nothing stays in directories */
        begin_again(70, keep_ms);
        bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
        bucket_rig_send(&one, "__name__=m,x=2", T0, 2);
        bucket_rig_run_all(&one);
        bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 3); /* in a part that is not uploaded */
        bucket_rig_log(&one, "__name__=m,x=3", T0 - HOUR_MS, 4);
        (void)bucket_rig_delete(&one, "m{x='4'}"); /* the catalog knows how much there is */
        must(bucket_rig_run(&one));
        const struct tsdb_bucket_stats known = bucket_rig_stats(&one);
        const struct bucket_mark mark = {one.bucket->session, known.number, known.complete_pos};
        assert_int_equal(adopt_at_two(7), 2);
        struct ledger ledger = machine_ledger(&second_machine, "a");
        assert_int_equal(ledger.count[LEDGER_FLOAT][LEDGER_DAMAGED], 2);
        bucket_rig_run_all(&two);
        bucket_rig_log(&one, "__name__=m,x=1", T0 + 2000, 5); /* it lives, and returns */
        bucket_rig_send(&one, "__name__=m,x=5", T0 - 2 * HOUR_MS, 6);
        expect_stopped(&one, T0 + 3000);
        read_all(&one, &all);
        must(bucket_rig_merge(&two, TSDB_MERGE_FULL));
        bucket_rig_run_all(&two);
        sweep(&two);
        read_all(&two, &together);
        struct view *own = machine_view(&machine);
        size_t adopted = together.count;
        must(reading_add(&together, own, &mark, &machine.why));
        view_free(own);
        assert_int_equal(together.count - adopted, 5); /* none of those that the other has */
        reading_expect_same(&all, &together);
        bucket_rig_send(&two, "__name__=m,x=6", T0, 7);
        bucket_rig_run_all(&two);
        bucket_rig_expect_catalog(&two);
        bucket_rig_send(&one, "__name__=m,x=6", T0, 7);
        must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        bucket_rig_restart(&one);
        (void)machine_ledger(&machine, "a");
        bucket_rig_fini(&two);
        end();
    }
}

/* Makes the other volume one whose files were copied. */
static void
forget_witnesses(struct machine *m)
{
    static const char *const names[] = {STORE_DIR "/WITNESS.0", STORE_DIR "/WITNESS.1"};
    for (unsigned i = 0; i < 2; i++)
        err_ignore(env_unlink(m->env, names[i], NULL), "one of them is there");
}

static enum err
take(struct bucket_rig *rig)
{
    struct machine *m = rig->machine;
    uint64_t number;
    return tsdb_bucket_take(m->env, &sim.objects, STORE_DIR, &m->memory, &number, &m->why);
}

UNIT_TEST(test_a_restored_copy_beside_production_is_the_writer_only_once_taken)
{
    begin(0);
    bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
    bucket_rig_run_all(&one);
    bucket_rig_copy(&one, &two, 9);
    forget_witnesses(&second_machine);
    bucket_rig_open(&two);
    expect_stopped(&two, T0 + 1000);
    assert_non_null(strstr(second_machine.why.text, "did not write"));
    bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 2);
    bucket_rig_run_all(&one); /* it has not noticed */
    bucket_rig_expect_catalog(&one);
    bucket_rig_close(&two);
    assert_int_equal(take(&two), ERR_INPUT); /* the copy lacks that part */
    bucket_rig_fini(&two);

    bucket_rig_close(&one);
    bucket_rig_copy(&one, &two, 10);
    forget_witnesses(&second_machine);
    bucket_rig_open(&one);
    bucket_rig_run_all(&one);
    must(take(&two)); /* there is an opening only that it has not seen */
    bucket_rig_open(&two);
    must(bucket_rig_run(&two));
    expect_stopped(&one, T0 + 2000);
    bucket_rig_close(&one);
    must(take(&one));
    bucket_rig_open(&one);
    bucket_rig_run_all(&one);
    bucket_rig_expect_catalog(&one);
    expect_stopped(&two, T0 + 3000);
    bucket_rig_close(&two);
    assert_int_equal(take(&two), ERR_INPUT);
    bucket_rig_fini(&two);
    end();
}

/* --- what a bucket does ------------------------------------------------------------------------
 */

/* Lets the sweep begin, with a request that fails, and then all be well. True if there was one. */
static bool
sweep_failing(uint64_t at, enum sim_failure failure)
{
    for (int i = 0; i < 3; i++)
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
    bucket_rig_run_all(&one);
    must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
    bucket_rig_pass(&one, 2 * HOUR_MS);
    bucket_rig_send(&one, "__name__=m,x=2", T0, 7); /* an upload beside the sweep */
    sim_objects_pass(&sim, sim.now_ms + DAY_MS);
    sim_env_advance_ns(machine.sim, DAY_MS * NS_PER_MS);
    fail_request(at, failure);
    enum err e = bucket_rig_run(&one);
    if (e) assert_int_equal(e, ERR_AGAIN);
    bool failed = sim.requests >= at;
    sim.fails_at = 0;
    return failed;
}

UNIT_TEST(test_requests_of_a_sweep_that_fail_or_come_late_remove_nothing_live)
{
    for (unsigned failure = 0; failure < SIM_FAILURES; failure++) {
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            begin_again(at, at % 2); /* every second one keeps nothing in the directory */
            failed = sweep_failing(at, failure);
            bucket_rig_run_all(&one);
            bucket_rig_expect_catalog(&one);
            must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
            bucket_rig_run_all(&one);
            bucket_rig_pass(&one, HOUR_MS); /* what is late comes now */
            bucket_rig_expect_catalog(&one);
            expect_whole();
            sweep(&one);
            bucket_rig_expect_catalog(&one);
            expect_whole();
            assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), 1);
            end();
        }
    }
}

/* Reads the pending delta. */
static struct bytes
intent_of(struct machine *m, struct arena *arena)
{
    struct catalog_file file;
    must(catalog_file_read(m->env, STORE_DIR, arena, &file, &m->why));
    return file.intent;
}

UNIT_TEST(test_a_delta_that_cannot_be_written_waits_unchanged_and_all_goes_on)
{
    struct arena arena;
    char key[OBJECT_KEY_BYTES];
    arena_init(&arena, NULL, 0, 0);
    begin(1);
    bucket_rig_send(&one, "__name__=m,x=1", T0, 0);
    bucket_rig_run_all(&one);
    catalog_delta_key(bucket_rig_stats(&one).number + 1, key);
    sim.refused = key;
    bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 1);
    sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
    assert_int_equal(bucket_rig_run(&one), ERR_AGAIN);
    struct bytes intent = intent_of(&machine, &arena);
    assert_true(intent.size > 0);
    for (int i = 2; i < 8; i++) {
        bucket_rig_send(&one, i % 2 == 0 ? "__name__=m,x=1" : "__name__=m,x=2", T0 + i * 1000, i);
        if (i == 3) (void)bucket_rig_delete(&one, "m{x='2'}");
        if (i % 2 == 0) must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        sim_env_advance_ns(machine.sim, HOUR_MS * NS_PER_MS);
        assert_int_equal(bucket_rig_run(&one), ERR_AGAIN);
        if (i % 3 == 0) bucket_rig_restart(&one);
        assert_true(bytes_equal(intent_of(&machine, &arena), intent));
        /* It was in the catalog before, until a merge has replaced it. */
        assert_int_equal(bucket_rig_stats(&one).remote_parts, 0);
    }
    static const char all[] = "{__name__=\"m\", x=\"1\"} 1767222000000 0\n"
                              "{__name__=\"m\", x=\"1\"} 1767222001000 1\n"
                              "{__name__=\"m\", x=\"1\"} 1767222002000 2\n"
                              "{__name__=\"m\", x=\"1\"} 1767222004000 4\n"
                              "{__name__=\"m\", x=\"1\"} 1767222006000 6\n"
                              "{__name__=\"m\", x=\"2\"} 1767222005000 5\n"
                              "{__name__=\"m\", x=\"2\"} 1767222007000 7\n";
    expect_all(&machine, "a", all);
    sim.refused = NULL;
    bucket_rig_run_all(&one);
    bucket_rig_run_all(&one);
    const struct sim_object *written = sim_objects_find(&sim, key);
    assert_non_null(written);
    assert_true(bytes_equal(bytes_of(written->at, written->size), intent));
    bucket_rig_expect_catalog(&one);
    expect_all(&machine, "a", all);
    sweep(&one);
    expect_whole();
    arena_fini(&arena);
    end();
}

UNIT_TEST(test_clocks_a_year_off_lose_nothing_and_bring_nothing_back)
{
    static const char all[] = "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
                              "{__name__=\"m\", x=\"3\"} 1767222000000 3\n";
    static const int64_t off_ms[] = {366 * DAY_MS, -366 * DAY_MS};
    for (unsigned i = 0; i < 2; i++) {
        begin_again(20 + i, 30 * DAY_MS);
        bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
        bucket_rig_send(&one, "__name__=m,x=2", T0, 2);
        bucket_rig_send(&one, "__name__=m,x=3", T0, 3);
        (void)bucket_rig_delete(&one, "m{x='2'}");
        bucket_rig_run_all(&one);
        must(bucket_rig_merge(&one, TSDB_MERGE_CLEAN));
        bucket_rig_run_all(&one);
        sim_env_set_realtime_ms(machine.sim, SIM_BEGIN + off_ms[i]);
        bucket_rig_pass(&one, 2 * HOUR_MS); /* it finds what is unnamed */
        sim_env_advance_ns(machine.sim, 3 * DAY_MS * NS_PER_MS);
        bucket_rig_run_all(&one);
        size_t unswept = bucket_rig_count(&sim, CATALOG_PARTS);
        assert_true(unswept > bucket_rig_stats(&one).parts);
        sim_env_set_realtime_ms(machine.sim, SIM_BEGIN - off_ms[i]);
        sim_env_advance_ns(machine.sim, 3 * DAY_MS * NS_PER_MS);
        bucket_rig_restart(&one);
        must(tsdb_maintain(machine.db, &machine.why));
        bucket_rig_run_all(&one);
        must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        bucket_rig_run_all(&one);
        assert_true(bucket_rig_count(&sim, CATALOG_PARTS) >= unswept); /* the bucket's grace */
        expect_all(&machine, "a", all);
        bucket_rig_expect_catalog(&one);
        (void)adopt_at_two(30 + i); /* at the right time */
        expect_all(&second_machine, "a", all);
        sweep(&two);
        assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), bucket_rig_stats(&two).parts);
        expect_whole();
        expect_all(&second_machine, "a", all);
        bucket_rig_fini(&two);
        end();
    }
}

UNIT_TEST(test_a_catalog_is_read_without_bases_that_are_removed_meanwhile)
{
    struct tsdb_bucket_summary s;
    char key[OBJECT_KEY_BYTES];
    begin(0);
    for (int i = 0; i < 140; i++) {
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&one);
    }
    assert_int_equal(bucket_rig_count(&sim, CATALOG_BASES), 2);
    catalog_base_key(128, key);
    sim.vanishes = key; /* after the list of bases */
    must(tsdb_bucket_read(&sim.objects, NULL, NULL, NULL, &s, &machine.why));
    assert_int_equal(s.number, bucket_rig_stats(&one).number);
    assert_int_equal(s.parts, 140);
    sim.vanishes = CATALOG_BASES;
    must(tsdb_bucket_read(&sim.objects, NULL, NULL, NULL, &s, &machine.why));
    assert_int_equal(s.parts, 140);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_BASES), 0);
    must(tsdb_bucket_read(&sim.objects, NULL, NULL, NULL, &s, &machine.why)); /* from number 1 */
    assert_int_equal(s.parts, 140);
    end();
}

UNIT_TEST(test_lists_that_lack_new_objects_hide_nothing)
{
    static struct reading before, after;
    begin(1);
    sim.lists_lag = true;
    for (int i = 0; i < 140; i++) {
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_run_all(&one);
        if (i % 50 == 49) must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
        if (i % 50 == 49) sweep(&one);
        if (i == 70) sim_objects_settle(&sim);
    }
    bucket_rig_run_all(&one);
    bucket_rig_expect_catalog(&one);
    read_all(&one, &before);
    bucket_rig_close(&one);
    assert_int_equal(adopt_at_two(3), 0);
    read_all(&two, &after);
    reading_expect_same(&before, &after);
    sim.lists_lag = false;
    sim_objects_settle(&sim);
    sweep(&two);
    assert_int_equal(bucket_rig_count(&sim, CATALOG_PARTS), bucket_rig_stats(&two).parts);
    expect_whole();
    bucket_rig_fini(&two);
    sim_objects_fini(&sim);
}

/* --- after a loss of the disk -------------------------------------------------------------------
 */

UNIT_TEST(test_an_undone_deletion_hides_nothing_from_who_adopts)
{
    static const char both[] = "{__name__=\"m\", x=\"1\"} 1767222000000 1\n"
                               "{__name__=\"m\", x=\"1\"} 1767222001000 2\n";
    for (unsigned named = 0; named < 2; named++) {
        begin_again(60 + named, 0);
        machine.limits.deletion_hold_ms = 10 * DAY_MS;
        tsdb_set_limits(machine.db, &machine.limits);
        enum tsdb_bucket_did did;
        bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
        bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 2);
        bucket_rig_run_all(&one);
        uint64_t id = bucket_rig_delete(&one, "m{x='1'}");
        must(bucket_rig_run(&one));
        uint64_t number = bucket_rig_stats(&one).number;
        must(tsdb_undelete(machine.db, text("a"), id, &machine.why));
        if (named) { /* at once, also while the catalog has parts that a merge has replaced */
            must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
            must(tsdb_bucket_step(one.bucket, &did, &machine.why));
            assert_int_equal(bucket_rig_stats(&one).number, number + 1);
        }
        bucket_rig_close(&one);
        (void)adopt_at_two(70);
        if (!named) { /* the newest that the bucket knows, and it can be undone there */
            expect_all(&second_machine, "a", "");
            must(tsdb_undelete(second_machine.db, text("a"), id, &second_machine.why));
        }
        expect_all(&second_machine, "a", both);
        must(bucket_rig_merge(&two, TSDB_MERGE_CLEAN));
        bucket_rig_run_all(&two);
        bucket_rig_expect_catalog(&two);
        expect_all(&second_machine, "a", both);
        bucket_rig_fini(&two);
        sim_objects_fini(&sim);
    }
}

UNIT_TEST(test_a_disk_lost_while_remote_parts_are_merged_loses_nothing_named)
{
    static struct reading all, adopted;
    for (unsigned failure = 0; failure < SIM_FAILURES; failure++) {
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            begin_again(at, 1);
            for (int i = 0; i < 4; i++) {
                bucket_rig_send(&one, i % 2 == 0 ? "__name__=m,x=1" : "__name__=m,x=2",
                                T0 + i * 1000, i);
                bucket_rig_run_all(&one);
            }
            assert_int_equal(bucket_rig_stats(&one).remote_parts, 4);
            read_all(&one, &all);
            fail_request(at, failure);
            enum err e = bucket_rig_merge(&one, TSDB_MERGE_FULL);
            if (e == OK) e = bucket_rig_run(&one);
            sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
            if (e == OK) e = bucket_rig_run(&one);
            failed = sim.requests >= at;
            sim.fails_at = 0;
            bucket_rig_close(&one);
            assert_int_equal(adopt_at_two(1000 + at), 0);
            read_all(&two, &adopted);
            reading_expect_same(&adopted, &all);
            bucket_rig_run_all(&two);
            sweep(&two);
            bucket_rig_expect_catalog(&two);
            expect_whole();
            read_all(&two, &adopted);
            reading_expect_same(&adopted, &all);
            bucket_rig_fini(&two);
            sim_objects_fini(&sim);
        }
    }
}

UNIT_TEST(test_power_lost_at_any_write_for_the_bucket_loses_nothing)
{
    static struct reading before, after;
    for (int64_t keep_ms = 0; keep_ms < 2; keep_ms++) {
        bool fired = true;
        for (uint64_t at = 1; fired; at++) {
            begin_again(at, keep_ms);
            bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
            bucket_rig_run_all(&one);
            bucket_rig_send(&one, "__name__=m,x=2", T0, 2);
            bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 3);
            (void)bucket_rig_delete(&one, "m{x='2'}");
            read_all(&one, &before);
            fault_env_arm(machine.fe, (struct fault){FAULT_EIO, at, true});
            enum err e = bucket_rig_run(&one);
            sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
            if (e == OK) e = bucket_rig_run(&one);
            fired = fault_env_fired(machine.fe);
            assert_true(fired || e == OK);
            bucket_rig_close(&one);
            sim_env_power_loss(machine.sim);
            fault_env_disarm(machine.fe);
            must(machine_verify(&machine, true));
            bucket_rig_open(&one);
            bucket_rig_run_all(&one);
            bucket_rig_expect_catalog(&one);
            read_all(&one, &after);
            reading_expect_same(&before, &after);
            sweep(&one);
            bucket_rig_expect_catalog(&one);
            expect_whole();
            end();
        }
    }
}

/* --- readers ---------------------------------------------------------------------------------- */

static struct tsdb_bucket_reader *
open_reader(struct env *env, struct sim_objects *objects)
{
    struct tsdb_bucket_reader *reader;
    const struct tsdb_bucket_reader_options options = {env, &objects->objects, NULL, 1 << 20};
    must(tsdb_bucket_reader_new(&options, &reader, &machine.why));
    return reader;
}

static enum err
ask(struct tsdb_bucket_reader *reader, struct reading *to)
{
    struct view *view;
    struct bucket_mark mark;
    to->count = 0;
    must(tsdb_bucket_reader_view(reader, false, NULL, &view, &mark, &machine.why));
    enum err e = reading_add(to, view, NULL, &machine.why);
    view_free(view);
    return e;
}

UNIT_TEST(test_readers_of_two_prefixes_share_a_cache_and_no_answers)
{
    static struct sim_objects other;
    static struct reading expected, answer;
    static _Atomic uint64_t hits;
    struct object_cache *cache;
    sim_objects_init(&other);
    two.objects = &other;
    begin(0);
    bucket_rig_init(&two, 2);
    bucket_rig_open(&two);
    must(object_cache_open(machine.env, "/cache", 8 << 20, NULL, &hits, &cache, &machine.why));
    sim.objects.cache = other.objects.cache = cache;
    for (int i = 0; i < 3; i++) {
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
        bucket_rig_send(&two, "__name__=m,x=1", T0 + i * 1000, 10 + i);
        bucket_rig_run_all(&one);
        bucket_rig_run_all(&two);
    }
    for (int round = 0; round < 2; round++) { /* in the second the cache has all */
        struct tsdb_bucket_reader *a = open_reader(machine.env, &sim),
                                  *b = open_reader(machine.env, &other);
        must(ask(a, &answer));
        read_all(&one, &expected);
        reading_expect_same(&answer, &expected);
        must(ask(b, &answer));
        read_all(&two, &expected);
        reading_expect_same(&answer, &expected);
        tsdb_bucket_reader_free(a);
        tsdb_bucket_reader_free(b);
    }
    assert_true(hits >= 6);
    bucket_rig_fini(&two);
    two.objects = &sim;
    object_cache_close(cache);
    sim_objects_fini(&other);
    end();
}

UNIT_TEST(test_a_reader_whose_objects_were_swept_answers_with_the_next_view)
{
    static struct reading expected, answer;
    begin(0);
    for (int i = 0; i < 3; i++)
        bucket_rig_send(&one, "__name__=m,x=1", T0 + i * 1000, i);
    bucket_rig_run_all(&one);
    bucket_rig_init(&two, 2); /* the machine of the reader, for which no time passes */
    struct tsdb_bucket_reader *reader = open_reader(second_machine.env, &sim);
    struct view *older;
    struct bucket_mark mark;
    must(tsdb_bucket_reader_view(reader, true, NULL, &older, &mark, &machine.why));
    must(bucket_rig_merge(&one, TSDB_MERGE_FULL));
    bucket_rig_run_all(&one);
    sweep(&one);
    machine.why = (struct why){""};
    answer.count = 0;
    assert_int_equal(reading_add(&answer, older, NULL, &machine.why), ERR_IO);
    assert_int_equal(machine.why.trouble, TROUBLE_GONE);
    view_free(older);
    must(ask(reader, &answer));
    read_all(&one, &expected);
    reading_expect_same(&answer, &expected);
    tsdb_bucket_reader_free(reader);
    bucket_rig_fini(&two);
    end();
}

/* Removes what was written since: the bucket is an older copy of itself. */
static void
restore_bucket(int64_t to_ms)
{
    size_t i = 0;
    while (i < sim.count)
        if (sim.items[i].written_ms > to_ms)
            must(sim.objects.ops->remove(&sim.objects, sim.items[i].key, &machine.why));
        else
            i++;
}

UNIT_TEST(test_a_reader_of_a_bucket_that_was_restored_shows_what_it_has)
{
    static struct reading expected, answer;
    for (unsigned other = 0; other < 2; other++) { /* it has another part of the same number */
        begin_again(80 + other, 0);
        bucket_rig_send(&one, "__name__=m,x=1", T0, 1);
        bucket_rig_run_all(&one);
        int64_t saved_ms = sim.now_ms;
        sim_objects_pass(&sim, saved_ms + HOUR_MS);
        bucket_rig_send(&one, "__name__=m,x=1", T0 + 1000, 2);
        bucket_rig_run_all(&one);
        (void)bucket_rig_delete(&one, "m{x='7'}");
        bucket_rig_run_all(&one);
        struct tsdb_bucket_reader *reader = open_reader(machine.env, &sim);
        must(ask(reader, &answer));
        assert_int_equal(answer.count, 2);
        restore_bucket(saved_ms);
        (void)adopt_at_two(8);
        if (other) bucket_rig_send(&two, "__name__=m,x=1", T0 + 1000, 3);
        bucket_rig_run_all(&two);
        sim_env_advance_ns(machine.sim, 61 * NS_PER_S);
        must(ask(reader, &answer));
        read_all(&two, &expected);
        reading_expect_same(&answer, &expected);
        expect_stopped(&one, T0 + 5000);
        tsdb_bucket_reader_free(reader);
        bucket_rig_fini(&two);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_a_writer_asleep_over_the_sweep_of_another_writes_nothing_after),
        claim(test_a_writer_whose_remote_parts_were_swept_merges_those_that_are_here),
        claim(test_of_two_copies_of_a_volume_one_goes_on_and_nothing_is_lost),
        claim(test_a_volume_that_was_rolled_back_overwrites_nothing),
        claim(test_a_writer_that_was_adopted_has_all_that_the_new_one_lacks),
        claim(test_a_restored_copy_beside_production_is_the_writer_only_once_taken),
        claim(test_requests_of_a_sweep_that_fail_or_come_late_remove_nothing_live),
        claim(test_a_delta_that_cannot_be_written_waits_unchanged_and_all_goes_on),
        claim(test_clocks_a_year_off_lose_nothing_and_bring_nothing_back),
        claim(test_a_catalog_is_read_without_bases_that_are_removed_meanwhile),
        claim(test_an_undone_deletion_hides_nothing_from_who_adopts),
        claim(test_a_disk_lost_while_remote_parts_are_merged_loses_nothing_named),
        claim(test_lists_that_lack_new_objects_hide_nothing),
        claim(test_power_lost_at_any_write_for_the_bucket_loses_nothing),
        claim(test_readers_of_two_prefixes_share_a_cache_and_no_answers),
        claim(test_a_reader_of_a_bucket_that_was_restored_shows_what_it_has),
        claim(test_a_reader_whose_objects_were_swept_answers_with_the_next_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
