/*
 * fault_test.c - faults hit exactly the calls they name, and the promises of env.h hold through
 * every one of them, followed by a power loss.
 */
#include "lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

/* A simulated machine and the env that makes it fail. */
struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
};

static int64_t seed_at_work = -1; /* seed of the machine that is still in use */

static struct rig
rig_make(uint64_t seed)
{
    struct rig rig;
    seed_at_work = (int64_t)seed;
    must(sim_env_new(seed, &rig.sim));
    must(fault_env_new(sim_env_env(rig.sim), &rig.fe));
    rig.env = fault_env_env(rig.fe);
    return rig;
}

static void
rig_free(struct rig *rig)
{
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
    seed_at_work = -1;
}

/* Frees the machine that a failed test left. Runs after each test. */
static int
tell_seed(void **state)
{
    (void)state;
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

static void
arm(struct rig *rig, enum fault_kind kind, uint64_t nth, bool forever)
{
    fault_env_arm(rig->fe, (struct fault){kind, nth, forever});
}

/* Returns the contents as text in a buffer of this function; NULL if the file is missing. */
static const char *
content(struct env *env, const char *path)
{
    static char text[16384];
    struct file file;
    enum err e = file_open(env, path, FILE_READ, &file, NULL);
    if (e == ERR_MISSING) return NULL;
    must(e);
    size_t size;
    must(file_read_some(&file, text, sizeof text - 1, 0, &size, NULL));
    text[size] = '\0';
    must(file_close(&file));
    return text;
}

UNIT_TEST(test_nth_call_fails_once_or_for_ever_and_calls_are_counted)
{
    for (int forever = 0; forever <= 1; forever++) {
        struct rig rig = rig_make(1);
        arm(&rig, FAULT_EIO, 3, forever != 0);
        must(env_mkdir(rig.env, "a", NULL));
        must(env_mkdir(rig.env, "b", NULL));
        assert_false(fault_env_fired(rig.fe));
        assert_int_equal(env_mkdir(rig.env, "c", NULL), ERR_IO);
        assert_true(fault_env_fired(rig.fe));
        assert_int_equal(env_mkdir(rig.env, "c", NULL), forever ? ERR_IO : OK);
        fault_env_disarm(rig.fe);
        assert_true(fault_env_fired(rig.fe));
        must(env_mkdir(rig.env, "e", NULL));
        assert_int_equal(fault_env_calls(rig.fe, FAULT_EIO), 5);
        assert_int_equal(fault_env_calls(rig.fe, FAULT_ENOSPC), 5);
        assert_int_equal(fault_env_calls(rig.fe, FAULT_SYNC), 0);
        rig_free(&rig);
    }
}

static int
no_name(void *context, const char *name, bool is_dir)
{
    (void)context;
    (void)name;
    (void)is_dir;
    return 0;
}

/* Makes each raw call once, on an existing file and directory; 0 <= which < CALL_COUNT. */
enum { CALL_COUNT = 23 };

static int64_t
make_call(struct env *env, unsigned which, int *file)
{
    const struct env_ops *ops = env->ops;
    uint64_t a, b;
    struct file_facts facts;
    char text[4];
    struct env_thread *thread;
    switch (which) {
    case 0:
        return *file = ops->open(env, "f", FILE_UPDATE);
    case 1:
        return *file = ops->open(env, "f", FILE_REPLACE);
    case 2:
        return ops->close(env, *file);
    case 3:
        return ops->pread(env, *file, text, 4, 0);
    case 4:
        return ops->pread(env, *file, text, 1, 0);
    case 5:
        return ops->pwrite(env, *file, "text", 4, 0);
    case 6:
        return ops->pwrite(env, *file, "t", 1, 0);
    case 7:
        return ops->datasync(env, *file);
    case 8:
        return ops->sync(env, *file);
    case 9:
        return ops->truncate(env, *file, 4);
    case 10:
        return ops->size(env, *file);
    case 11:
        return ops->lock(env, *file);
    case 12:
        return ops->rename(env, "f", "g");
    case 13:
        return ops->link(env, "f", "g");
    case 14:
        return ops->unlink(env, "f");
    case 15:
        return ops->mkdir(env, "e");
    case 16:
        return ops->rmdir(env, "d");
    case 17:
        return ops->syncdir(env, "d");
    case 18:
        return ops->listdir(env, "d", no_name, NULL);
    case 19:
        return ops->space(env, "d", &a, &b);
    case 20:
        return ops->random(env, text, 4);
    case 21:
        return ops->facts(env, "d", &facts);
    default:
        return ops->thread_start(env, "t", NULL, NULL, &thread);
    }
}

UNIT_TEST(test_each_kind_hits_the_calls_it_is_for)
{
    /* The faults that hit each call, in the order of make_call(): E(IO), N(OSPC), I(NTR), S(HORT),
     * T(ORN), Y(SYNC), H for THREAD. */
    static const char *const hit_by[CALL_COUNT] = {
        "EI",  "ENI", "EI", "EIS", "EI", "ENIST", "ENIT", "ENIY", "ENIY", "ENI", "EI", "EI",
        "ENI", "ENI", "EI", "ENI", "EI", "ENIY",  "EI",   "EI",   "EI",   "EI",  "H",
    };
    static const char letters[FAULT_KIND_COUNT + 1] = "ENISTYH";
    static const int64_t results[] = {-EIO, -ENOSPC, -EINTR, 2, -EIO, -EIO, -EAGAIN};
    for (unsigned which = 0; which < CALL_COUNT; which++) {
        for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++) {
            struct rig rig = rig_make(1);
            int file = rig.env->ops->open(rig.env, "f", FILE_CREATE);
            assert_int_equal(rig.env->ops->pwrite(rig.env, file, "0123", 4, 0), 4);
            must(env_mkdir(rig.env, "d", NULL));
            bool expected = strchr(hit_by[which], letters[kind]) != NULL;
            arm(&rig, (enum fault_kind)kind, 1, false);
            int64_t result = make_call(rig.env, which, &file);
            if (fault_env_fired(rig.fe) != expected)
                fail_msg("call %u, kind %c: fired is %d", which, letters[kind], !expected);
            if (expected)
                assert_int_equal(result, results[kind]);
            else if (which != CALL_COUNT - 1)
                assert_true(result >= 0);
            else
                assert_int_equal(result, -ENOSYS);
            rig_free(&rig);
        }
    }
}

UNIT_TEST(test_failed_call_has_done_nothing_but_closing)
{
    struct rig rig = rig_make(1);
    struct file file;
    must(file_open(rig.env, "f", FILE_CREATE, &file, NULL));
    must(file_write_at(&file, bytes_of_text("12345678"), 0, NULL));
    arm(&rig, FAULT_EIO, 1, true);
    assert_int_equal(file_write_at(&file, bytes_of_text("xxxxxxxx"), 0, NULL), ERR_IO);
    assert_int_equal(file_truncate(&file, 1, NULL), ERR_IO);
    assert_int_equal(env_unlink(rig.env, "f", NULL), ERR_IO);
    assert_int_equal(env_rename(rig.env, "f", "g", NULL), ERR_IO);
    fault_env_disarm(rig.fe);
    assert_string_equal(content(rig.env, "f"), "12345678");
    arm(&rig, FAULT_TORN, 1, false);
    assert_int_equal(file_write_at(&file, bytes_of_text("abcdefgh"), 0, NULL), ERR_IO);
    assert_string_equal(content(rig.env, "f"), "abcd5678");
    int handle = file.handle;
    arm(&rig, FAULT_EIO, 1, false);
    assert_int_equal(file_close(&file), ERR_IO);
    assert_int_equal(rig.env->ops->close(rig.env, handle), -EBADF);
    must(file_close(&file));
    rig_free(&rig);
}

UNIT_TEST(test_wrappers_hide_interruptions_and_short_transfers)
{
    static const enum fault_kind kinds[] = {FAULT_EINTR, FAULT_SHORT};
    for (unsigned k = 0; k < 2; k++) {
        struct rig rig = rig_make(k);
        uint8_t random[10], long_text[9000], got[9000];
        uint64_t size, free_bytes, total_bytes;
        struct file file;
        memset(long_text, 'x', sizeof long_text);
        arm(&rig, kinds[k], 1, true);
        must(env_mkdir(rig.env, "d", NULL));
        must(file_open(rig.env, "d/f", FILE_CREATE, &file, NULL));
        must(file_write_at(&file, bytes_of(long_text, sizeof long_text), 5, NULL));
        must(file_read_at(&file, got, sizeof got, 5, NULL));
        assert_memory_equal(got, long_text, sizeof got);
        must(file_datasync(&file, NULL));
        must(file_sync(&file, NULL));
        must(file_truncate(&file, 7, NULL));
        must(file_size(&file, &size, NULL));
        assert_int_equal(size, 7);
        must(file_lock(&file, NULL));
        must(file_close(&file));
        must(env_link(rig.env, "d/f", "d/g", NULL));
        must(env_rename(rig.env, "d/f", "d/h", NULL));
        must(env_unlink(rig.env, "d/g", NULL));
        must(env_syncdir(rig.env, "d", NULL));
        must(env_space(rig.env, "d", &free_bytes, &total_bytes, NULL));
        must(env_random(rig.env, random, sizeof random));
        must(env_write_whole(rig.env, "d", "w", bytes_of_text("whole"), NULL));
        assert_string_equal(content(rig.env, "d/w"), "whole");
        must(env_remove_tree(rig.env, "d", NULL));
        assert_int_equal(env_rmdir(rig.env, "d", NULL), ERR_MISSING);
        assert_true(fault_env_fired(rig.fe));
        rig_free(&rig);
    }
}

UNIT_TEST(test_a_later_sync_does_not_save_data_that_a_failed_one_lost)
{
    enum { SEEDS = 100 };
    static const enum fault_kind kinds[] = {FAULT_SYNC, FAULT_EIO, FAULT_ENOSPC};
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_make(seed);
        struct file file;
        bool rewritten = seed % 2 == 0;
        must(env_write_whole(rig.env, "/", "f", bytes_of_text("old"), NULL));
        must(file_open(rig.env, "f", FILE_UPDATE, &file, NULL));
        must(file_write_at(&file, bytes_of_text("new"), 0, NULL));
        arm(&rig, kinds[seed % 3], 1, false);
        assert_true(file_datasync(&file, NULL) != OK);
        must(file_datasync(&file, NULL)); /* the kernel reports a failure once */
        assert_string_equal(content(rig.env, "f"), "new");
        if (rewritten) {
            must(file_write_at(&file, bytes_of_text("n"), 0, NULL));
            must(file_datasync(&file, NULL));
        }
        sim_env_power_loss(rig.sim);
        const char *text = content(rig.env, "f");
        assert_true(strcmp(text, "new") == 0 || strcmp(text, "old") == 0);
        if (rewritten) assert_string_equal(text, "new");
        lost += strcmp(text, "old") == 0;
        rig_free(&rig);
    }
    assert_true(lost > SEEDS / 8);
}

UNIT_TEST(test_a_name_lost_by_a_failed_directory_sync_needs_another_change)
{
    enum { SEEDS = 100 };
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig = rig_make(seed);
        bool changed = seed % 2 == 0;
        must(env_mkdir(rig.env, "d", NULL));
        arm(&rig, FAULT_SYNC, 1, false);
        assert_int_equal(env_syncdir(rig.env, "/", NULL), ERR_IO);
        must(env_syncdir(rig.env, "/", NULL));
        if (changed) {
            must(env_mkdir(rig.env, "e", NULL));
            must(env_syncdir(rig.env, "/", NULL));
        }
        sim_env_power_loss(rig.sim);
        enum err e = env_syncdir(rig.env, "d", NULL);
        if (changed) must(e);
        lost += e == ERR_MISSING;
        rig_free(&rig);
    }
    assert_true(lost > SEEDS / 8);
}

/* --- the promise of env_write_whole(), at every point where it can stop ----------------------- */

/* Makes a text longer than two pages, so that pages can be lost one by one. */
static void
fill_text(char *text, size_t size, char c)
{
    memset(text, c, size - 1);
    text[size - 1] = '\0';
}

/* Replaces the file like a writer without the care of env_write_whole(). */
static enum err
write_in_place(struct env *env, const char *dir, const char *name, struct bytes content_now,
               struct why *why)
{
    struct file file;
    (void)dir;
    enum err e = file_open(env, name, FILE_REPLACE, &file, why);
    if (e) return e;
    e = file_write_at(&file, content_now, 0, why);
    if (e == OK) e = file_datasync(&file, why);
    return err_first(e, file_close(&file));
}

static enum err
write_beside_without_sync(struct env *env, const char *dir, const char *name,
                          struct bytes content_now, struct why *why)
{
    struct file file;
    enum err e = file_open(env, "beside", FILE_REPLACE, &file, why);
    if (e) return e;
    e = file_write_at(&file, content_now, 0, why);
    e = err_first(e, file_close(&file));
    if (e == OK) e = env_rename(env, "beside", name, why);
    if (e == OK) e = env_syncdir(env, dir, why);
    return e;
}

typedef enum err writer(struct env *env, const char *dir, const char *name,
                        struct bytes content_now, struct why *why);

struct crash {
    enum fault_kind kind;
    bool forever;
    bool had_old;
    uint64_t seed;
};

/* Lets `write` fail at the n-th call, then cuts the power. Says whether the file then has all of
 * the old or all of the new content; `ret_fired` is false if n was beyond the end. */
static bool
survives(writer *write, struct crash crash, uint64_t nth, bool *ret_fired)
{
    char old_text[9000], new_text[10000];
    fill_text(old_text, sizeof old_text, 'o');
    fill_text(new_text, sizeof new_text, 'n');
    struct rig rig = rig_make(crash.seed);
    if (crash.had_old) must(env_write_whole(rig.env, "/", "f", bytes_of_text(old_text), NULL));
    if (crash.seed % 3 == 0) /* left over by an earlier crash */
        must(env_write_whole(rig.env, "/", "f.tmp", bytes_of_text("remains"), NULL));
    arm(&rig, crash.kind, nth, crash.forever);
    enum err e = write(rig.env, "/", "f", bytes_of_text(new_text), NULL);
    *ret_fired = fault_env_fired(rig.fe);
    fault_env_disarm(rig.fe);
    bool good = *ret_fired || e == OK;
    if (crash.seed % 2 == 0 && e != OK) { /* an error may be followed by a second attempt */
        good = good && write(rig.env, "/", "f", bytes_of_text(new_text), NULL) == OK;
        e = OK;
    }
    sim_env_power_loss(rig.sim);
    const char *found = content(rig.env, "f");
    bool is_new = found != NULL && strcmp(found, new_text) == 0;
    bool is_old = crash.had_old ? found != NULL && strcmp(found, old_text) == 0 : found == NULL;
    good = good && (is_new || (is_old && e != OK));
    rig_free(&rig);
    return good;
}

/* Returns the number of runs that ended badly; prints them with `tell`. */
static unsigned
count_failures(writer *write, uint64_t seed_count, bool tell, uint64_t *ret_point_count)
{
    static const enum fault_kind kinds[] = {FAULT_EIO,   FAULT_ENOSPC, FAULT_EINTR,
                                            FAULT_SHORT, FAULT_TORN,   FAULT_SYNC};
    unsigned failures = 0;
    uint64_t point_count = 0;
    for (uint64_t seed = 0; seed < seed_count; seed++) {
        for (unsigned i = 0; i < 4 * sizeof kinds / sizeof kinds[0]; i++) {
            struct crash crash = {kinds[i / 4], (i & 1) != 0, (i & 2) != 0, seed};
            bool fired = true;
            for (uint64_t nth = 1; fired; nth++) {
                point_count++;
                if (survives(write, crash, nth, &fired)) continue;
                failures++;
                if (!tell) continue;
                print_error("kind %d, forever %d, had old %d, seed %llu, call %llu\n",
                            (int)crash.kind, crash.forever, crash.had_old, (unsigned long long)seed,
                            (unsigned long long)nth);
            }
        }
    }
    *ret_point_count = point_count;
    return failures;
}

UNIT_TEST(test_whole_file_is_old_or_new_after_power_loss_at_every_call)
{
    uint64_t point_count;
    assert_int_equal(count_failures(env_write_whole, 100, true, &point_count), 0);
    assert_true(point_count > 5000);
}

UNIT_TEST(test_the_same_loop_finds_careless_writers)
{
    uint64_t point_count;
    assert_true(count_failures(write_in_place, 10, false, &point_count) > 10);
    assert_true(count_failures(write_beside_without_sync, 10, false, &point_count) > 10);
}

UNIT_TEST(test_failed_attempt_leaves_no_temporary_file)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig = rig_make(nth);
        arm(&rig, FAULT_EIO, nth, false);
        enum err e = env_write_whole(rig.env, "/", "f", bytes_of_text("new"), NULL);
        fired = fault_env_fired(rig.fe);
        assert_int_equal(e, fired ? ERR_IO : OK);
        fault_env_disarm(rig.fe);
        assert_null(content(rig.env, "f.tmp"));
        rig_free(&rig);
    }
}

/* --- the promise of env_remove_tree() --------------------------------------------------------- */

static void
plant_tree(struct env *env)
{
    must(env_mkdir(env, "t", NULL));
    must(env_mkdir(env, "t/sub", NULL));
    must(env_mkdir(env, "near", NULL));
    must(env_write_whole(env, "t", "a", bytes_of_text("a"), NULL));
    must(env_write_whole(env, "t", "b", bytes_of_text("b"), NULL));
    must(env_write_whole(env, "t/sub", "c", bytes_of_text("c"), NULL));
    must(env_write_whole(env, "near", "n", bytes_of_text("n"), NULL));
    must(env_syncdir(env, "/", NULL));
}

UNIT_TEST(test_tree_removal_is_finished_by_repeating_it_after_any_crash)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct rig rig = rig_make(seed);
            plant_tree(rig.env);
            arm(&rig, FAULT_EIO, nth, true);
            enum err e = env_remove_tree(rig.env, "t", NULL);
            fired = fault_env_fired(rig.fe);
            assert_int_equal(e, fired ? ERR_IO : OK);
            fault_env_disarm(rig.fe);
            if (seed % 2 == 0) sim_env_power_loss(rig.sim);
            if (seed % 2 == 1) sim_env_kill(rig.sim);
            must(env_remove_tree(rig.env, "t", NULL));
            must(env_remove_tree(rig.env, "t", NULL));
            must(env_syncdir(rig.env, "/", NULL));
            sim_env_power_loss(rig.sim);
            assert_int_equal(env_syncdir(rig.env, "t", NULL), ERR_MISSING);
            assert_string_equal(content(rig.env, "near/n"), "n");
            rig_free(&rig);
        }
    }
}

/* --- time, space, threads --------------------------------------------------------------------- */

UNIT_TEST(test_clock_space_and_sync_time_are_what_the_test_says)
{
    struct rig rig = rig_make(1);
    uint64_t free_bytes, total_bytes;
    int64_t now_ms = env_realtime_ms(rig.env);
    fault_env_shift_clock(rig.fe, -3600 * 1000);
    assert_int_equal(env_realtime_ms(rig.env), now_ms - 3600 * 1000);
    assert_int_equal(env_monotonic_ns(rig.env), NS_PER_S);
    fault_env_set_free(rig.fe, 17);
    must(env_space(rig.env, "/", &free_bytes, &total_bytes, NULL));
    assert_int_equal(free_bytes, 17);
    assert_int_equal(total_bytes, 1 << 30);
    fault_env_set_free(rig.fe, UINT64_MAX);
    must(env_space(rig.env, "/", &free_bytes, &total_bytes, NULL));
    assert_int_equal(free_bytes, 1 << 30);

    struct file file;
    must(file_open(rig.env, "f", FILE_CREATE, &file, NULL));
    fault_env_slow_sync(rig.fe, 2 * NS_PER_MS);
    int64_t before_ns = env_monotonic_ns(env_real());
    must(file_datasync(&file, NULL));
    must(file_sync(&file, NULL));
    assert_true(env_monotonic_ns(env_real()) - before_ns >= 4 * NS_PER_MS);
    rig_free(&rig);
}

static void
set_flag(void *argument)
{
    *(bool *)argument = true;
}

UNIT_TEST(test_only_thread_starts_fail_when_asked_to)
{
    struct fault_env *fe;
    must(fault_env_new(env_real(), &fe));
    struct env *env = fault_env_env(fe);
    struct env_thread *thread;
    bool flag = false;
    fault_env_arm(fe, (struct fault){FAULT_THREAD, 1, false});
    assert_int_equal(env_thread_start(env, "refused", set_flag, &flag, &thread), ERR_AGAIN);
    assert_false(flag);
    must(env_thread_start(env, "allowed", set_flag, &flag, &thread));
    env_thread_join(env, thread);
    assert_true(flag);
    fault_env_free(fe);
}

static void *
count_failed_calls(void *argument)
{
    struct rig *rig = argument;
    uintptr_t failed = 0;
    for (int i = 0; i < 1000; i++)
        failed += env_syncdir(rig->env, "/", NULL) != OK;
    return (void *)failed;
}

UNIT_TEST(test_one_fault_hits_one_thread)
{
    struct rig rig = rig_make(1);
    arm(&rig, FAULT_SYNC, 2000, false);
    pthread_t threads[4];
    uintptr_t failed_count = 0;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_failed_calls, &rig), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        failed_count += (uintptr_t)failed;
    }
    assert_int_equal(failed_count, 1);
    assert_int_equal(fault_env_calls(rig.fe, FAULT_SYNC), 4000);
    rig_free(&rig);
}

#define seeded(test) cmocka_unit_test_teardown(test, tell_seed)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        seeded(test_nth_call_fails_once_or_for_ever_and_calls_are_counted),
        seeded(test_each_kind_hits_the_calls_it_is_for),
        seeded(test_failed_call_has_done_nothing_but_closing),
        seeded(test_wrappers_hide_interruptions_and_short_transfers),
        seeded(test_a_later_sync_does_not_save_data_that_a_failed_one_lost),
        seeded(test_a_name_lost_by_a_failed_directory_sync_needs_another_change),
        seeded(test_whole_file_is_old_or_new_after_power_loss_at_every_call),
        seeded(test_the_same_loop_finds_careless_writers),
        seeded(test_failed_attempt_leaves_no_temporary_file),
        seeded(test_tree_removal_is_finished_by_repeating_it_after_any_crash),
        seeded(test_clock_space_and_sync_time_are_what_the_test_says),
        seeded(test_only_thread_starts_fail_when_asked_to),
        seeded(test_one_fault_hits_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
