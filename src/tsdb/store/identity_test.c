/* identity_test.c - a directory keeps its id, and no copy of it has the same one. */
#include "lib/test.h"

#include <stdlib.h>

#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/store/store.h"

#define must(call) assert_int_equal((call), OK)

static const uint8_t LOG[WAL_LOG_ID_BYTES] = {1, 2, 3};
static const uint8_t OTHER_LOG[WAL_LOG_ID_BYTES] = {1, 2, 4};
static const char *const FILES[] = {"IDENTITY", "WITNESS.0", "WITNESS.1"};
enum { FILE_COUNT = 3 };

struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct identity identity;
    struct why why;
};

static void
rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    must(env_mkdir(rig->env, "db", NULL));
    must(env_syncdir(rig->env, "/", NULL));
}

static void
rig_fini(struct rig *rig)
{
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

static struct identity_log
log_reached(uint64_t end_pos)
{
    return (struct identity_log){.id = LOG, .end_pos = end_pos};
}

static enum tsdb_identity
open_at(struct rig *rig, const char *dir, uint64_t end_pos)
{
    rig->why.text[0] = '\0';
    must(identity_open(&rig->identity, rig->env, dir, log_reached(end_pos), &rig->why));
    return rig->identity.finding;
}

static void
expect_finding(struct rig *rig, const char *dir, uint64_t end_pos, enum tsdb_identity want)
{
    enum tsdb_identity is = open_at(rig, dir, end_pos);
    if (is != want) fail_msg("finding %d instead of %d: %s", is, want, rig->why.text);
}

static enum err
renew_at(struct rig *rig, uint64_t end_pos)
{
    sim_env_advance_ns(rig->sim, IDENTITY_RENEW_MS * NS_PER_MS);
    return identity_renew(&rig->identity, log_reached(end_pos), &rig->why);
}

static bool
has_id(const struct rig *rig, const uint8_t *id)
{
    return memcmp(rig->identity.id, id, IDENTITY_BYTES) == 0;
}

static void
keep_id(const struct rig *rig, uint8_t *to)
{
    memcpy(to, rig->identity.id, IDENTITY_BYTES);
}

/* --- copying ---------------------------------------------------------------------------------- */

enum how { HOW_NEW_FILES, HOW_IN_PLACE };

/* Copies a file as cp does; a missing file is skipped. */
static void
copy_file(struct rig *rig, const char *from, const char *to, const char *name, enum how how)
{
    char path[64], target[64];
    uint8_t bytes[512];
    size_t size;
    struct file file;
    must(path_join(path, sizeof path, from, name));
    must(path_join(target, sizeof target, to, name));
    if (file_open(rig->env, path, FILE_READ, &file, NULL) != OK) return;
    must(file_read_some(&file, bytes, sizeof bytes, 0, &size, NULL));
    must(file_close(&file));
    if (how == HOW_NEW_FILES) must(env_unlink(rig->env, target, NULL));
    must(file_open(rig->env, target, FILE_REPLACE, &file, NULL));
    must(file_write_at(&file, bytes_of(bytes, size), 0, NULL));
    must(file_close(&file));
}

static void
copy_all(struct rig *rig, const char *from, const char *to, enum how how)
{
    must(env_mkdir(rig->env, to, NULL));
    for (unsigned i = 0; i < FILE_COUNT; i++)
        copy_file(rig, from, to, FILES[i], how);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_the_same_directory_has_the_same_id)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES];
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    keep_id(&rig, id);
    for (uint64_t pos = 100; pos < 1000; pos += 100) {
        expect_finding(&rig, "db", pos, TSDB_IDENTITY_SAME);
        must(renew_at(&rig, pos + 10));
        must(renew_at(&rig, pos + 20));
        sim_env_kill(rig.sim);
    }
    must(env_rename(rig.env, "db", "moved", NULL));
    expect_finding(&rig, "moved", 1000, TSDB_IDENTITY_SAME);
    assert_true(has_id(&rig, id));
    rig_fini(&rig);
}

UNIT_TEST(test_a_log_that_still_has_no_segment_is_the_same_log)
{
    struct rig rig;
    rig_init(&rig, 1);
    struct identity_log none = {.id = NULL, .end_pos = 100};
    must(identity_open(&rig.identity, rig.env, "db", none, &rig.why));
    must(identity_open(&rig.identity, rig.env, "db", none, &rig.why));
    assert_int_equal(rig.identity.finding, TSDB_IDENTITY_SAME);
    expect_finding(&rig, "db", 200, TSDB_IDENTITY_SAME);
    must(identity_open(&rig.identity, rig.env, "db", none, &rig.why));
    assert_int_equal(rig.identity.finding, TSDB_IDENTITY_CHANGED); /* its files were removed */
    rig_fini(&rig);
}

UNIT_TEST(test_a_copy_has_an_id_of_its_own)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES], other[IDENTITY_BYTES];
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    keep_id(&rig, id);
    copy_all(&rig, "db", "copy", HOW_NEW_FILES);
    expect_finding(&rig, "copy", 100, TSDB_IDENTITY_CHANGED);
    assert_false(has_id(&rig, id));
    keep_id(&rig, other);
    expect_finding(&rig, "copy", 100, TSDB_IDENTITY_SAME);
    assert_true(has_id(&rig, other));
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_SAME);
    assert_true(has_id(&rig, id));
    rig_fini(&rig);
}

UNIT_TEST(test_an_older_copy_written_over_the_directory_is_recognised)
{
    for (unsigned which = 1; which < 1 << FILE_COUNT; which++) {
        for (enum how how = HOW_NEW_FILES; how <= HOW_IN_PLACE; how++) {
            for (unsigned renewals = 0; renewals < 4; renewals++) {
                struct rig rig;
                uint8_t id[IDENTITY_BYTES];
                rig_init(&rig, 1);
                expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
                keep_id(&rig, id);
                copy_all(&rig, "db", "copy", HOW_NEW_FILES);
                /* The server was restarted, or went on. */
                if (renewals % 2 == 0) expect_finding(&rig, "db", 110, TSDB_IDENTITY_SAME);
                for (unsigned i = 0; i < renewals; i++)
                    must(renew_at(&rig, 120 + i));
                for (unsigned i = 0; i < FILE_COUNT; i++)
                    if (which >> i & 1) copy_file(&rig, "copy", "db", FILES[i], how);
                /* The log is the copy's, whichever other files are. */
                expect_finding(&rig, "db", 100, TSDB_IDENTITY_CHANGED);
                assert_false(has_id(&rig, id));
                rig_fini(&rig);
            }
        }
    }
}

UNIT_TEST(test_a_log_that_is_older_or_another_one_is_recognised)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES];
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    keep_id(&rig, id);
    must(renew_at(&rig, 200));
    expect_finding(&rig, "db", 199, TSDB_IDENTITY_CHANGED);
    assert_non_null(strstr(rig.why.text, "its log ends at position 199, but had reached 200"));
    assert_false(has_id(&rig, id));
    struct identity_log other = {.id = OTHER_LOG, .end_pos = 300};
    must(identity_open(&rig.identity, rig.env, "db", other, &rig.why));
    assert_int_equal(rig.identity.finding, TSDB_IDENTITY_CHANGED);
    rig_fini(&rig);
}

UNIT_TEST(test_hard_links_to_a_directory_are_a_copy)
{
    for (unsigned renewals = 0; renewals < 3; renewals++) {
        struct rig rig;
        uint8_t id[IDENTITY_BYTES];
        rig_init(&rig, 1);
        expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
        keep_id(&rig, id);
        must(env_mkdir(rig.env, "links", NULL));
        for (unsigned i = 0; i < FILE_COUNT; i++) {
            char from[64], to[64];
            must(path_join(from, sizeof from, "db", FILES[i]));
            must(path_join(to, sizeof to, "links", FILES[i]));
            enum err e = env_link(rig.env, from, to, NULL);
            assert_true(e == OK || e == ERR_MISSING);
        }
        for (unsigned i = 0; i < renewals; i++)
            must(renew_at(&rig, 120 + i));
        expect_finding(&rig, "links", 200, TSDB_IDENTITY_CHANGED);
        assert_false(has_id(&rig, id));
        rig_fini(&rig);
    }
}

/* A new owner or other permissions change only the time of the last change. */
UNIT_TEST(test_a_directory_that_was_touched_is_the_same)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES];
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    keep_id(&rig, id);
    for (unsigned i = 0; i < FILE_COUNT; i++) {
        char path[64];
        must(path_join(path, sizeof path, "db", FILES[i]));
        if (env_link(rig.env, path, "db/other", NULL) != OK) continue;
        must(env_unlink(rig.env, "db/other", NULL));
    }
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_SAME);
    assert_true(has_id(&rig, id));
    rig_fini(&rig);
}

UNIT_TEST(test_a_damaged_identity_is_not_believed_and_a_newer_one_is_left_alone)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES];
    struct file file;
    uint64_t size = 0;
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    must(file_open(rig.env, "db/IDENTITY", FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    for (uint64_t at = 0; at < size; at++) {
        must(env_remove_tree(rig.env, "db", NULL));
        must(env_mkdir(rig.env, "db", NULL));
        open_at(&rig, "db", 100);
        keep_id(&rig, id);
        must(identity_check(rig.env, "db", NULL));
        must(sim_env_damage(rig.sim, "db/IDENTITY", at));
        enum err e = identity_check(rig.env, "db", NULL);
        assert_true(e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
        enum tsdb_identity finding = open_at(&rig, "db", 100);
        if (e == ERR_CORRUPT) assert_int_equal(finding, TSDB_IDENTITY_CHANGED);
        if (e == ERR_UNSUPPORTED) assert_int_equal(finding, TSDB_IDENTITY_UNKEPT);
        if (e == ERR_UNSUPPORTED) assert_int_equal(identity_check(rig.env, "db", NULL), e);
        assert_false(has_id(&rig, id));
    }
    rig_fini(&rig);
}

/* Makes all calls of a run, until one fails. */
static void
run_until_fault(struct rig *rig, uint64_t end_pos)
{
    struct why why = {""};
    if (identity_open(&rig->identity, rig->env, "db", log_reached(end_pos), &why) != OK) return;
    for (unsigned i = 1; i <= 4; i++) {
        enum err e = renew_at(rig, end_pos + i);
        if (e) err_ignore(e, "it is tried again");
    }
}

/*
 * After a crash at any call the directory has its id or a new one; an older copy put in its place
 * never has its id.
 */
UNIT_TEST(test_after_a_crash_at_any_call_no_older_copy_has_the_id)
{
    for (unsigned forever = 0; forever < 2; forever++) {
        for (unsigned ending = 0; ending < 2; ending++) {
            for (uint64_t nth = 1;; nth++) {
                struct rig rig;
                uint8_t id[IDENTITY_BYTES];
                rig_init(&rig, nth);
                expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
                keep_id(&rig, id);
                copy_all(&rig, "db", "copy", HOW_NEW_FILES);
                fault_env_arm(rig.fe, (struct fault){FAULT_EIO, nth, forever});
                run_until_fault(&rig, 110);
                bool fired = fault_env_fired(rig.fe);
                bool used = has_id(&rig, id);
                fault_env_disarm(rig.fe);
                if (ending == 0)
                    sim_env_kill(rig.sim);
                else
                    sim_env_power_loss(rig.sim);
                if (used) { /* names were given under this id: the copy must not have it */
                    for (unsigned i = 0; i < FILE_COUNT; i++)
                        copy_file(&rig, "copy", "db", FILES[i], nth % 2 ? HOW_IN_PLACE : 0);
                    expect_finding(&rig, "db", 100, TSDB_IDENTITY_CHANGED);
                    assert_false(has_id(&rig, id));
                } else {
                    open_at(&rig, "db", 120);
                }
                rig_fini(&rig);
                if (!fired) break;
            }
        }
    }
}

/* A step that failed is done by the next run, and the directory is recognized all the time. */
UNIT_TEST(test_a_renewal_that_fails_leaves_the_directory_known)
{
    for (uint64_t nth = 1;; nth++) {
        struct rig rig;
        uint8_t id[IDENTITY_BYTES];
        rig_init(&rig, nth);
        expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
        keep_id(&rig, id);
        must(renew_at(&rig, 110));
        fault_env_arm(rig.fe, (struct fault){FAULT_ENOSPC, nth, true});
        err_ignore(renew_at(&rig, 120), "the disk is full");
        bool fired = fault_env_fired(rig.fe);
        fault_env_disarm(rig.fe);
        sim_env_kill(rig.sim);
        expect_finding(&rig, "db", 130, TSDB_IDENTITY_SAME);
        assert_true(has_id(&rig, id));
        rig_fini(&rig);
        if (!fired) break;
    }
}

UNIT_TEST(test_where_nothing_can_be_written_the_id_is_of_this_run_only)
{
    struct rig rig;
    uint8_t id[IDENTITY_BYTES], other[IDENTITY_BYTES];
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    keep_id(&rig, id);
    fault_env_arm(rig.fe, (struct fault){FAULT_ENOSPC, 1, true});
    expect_finding(&rig, "db", 110, TSDB_IDENTITY_UNKEPT);
    assert_false(has_id(&rig, id));
    keep_id(&rig, other);
    assert_true(rig.why.text[0] != '\0');
    must(renew_at(&rig, 120));
    fault_env_disarm(rig.fe);
    open_at(&rig, "db", 130);
    assert_false(has_id(&rig, other));
    rig_fini(&rig);
}

/* The log ends before the position and the totals of the last renewal. The log goes on from the
 * totals, so the next start, which finds the end lost as well, counts nothing again. */
UNIT_TEST(test_a_lost_end_of_the_log_is_counted_once)
{
    struct rig rig;
    struct wal_damage damage = {.end_pos = 150, .totals = {[LEDGER_FLOAT] = 4}};
    struct identity_log log = log_reached(200);
    rig_init(&rig, 1);
    expect_finding(&rig, "db", 100, TSDB_IDENTITY_FIRST);
    log.totals[LEDGER_FLOAT] = 10;
    sim_env_advance_ns(rig.sim, IDENTITY_RENEW_MS * NS_PER_MS);
    must(identity_renew(&rig.identity, log, &rig.why));
    memcpy(damage.log_id, LOG, sizeof LOG);
    identity_note_lost_end(rig.env, "db", 100, NULL, &damage);
    assert_int_equal(damage.places, 1);
    assert_int_equal(damage.bytes, 50);
    assert_int_equal(damage.samples[LEDGER_FLOAT], 6);
    assert_int_equal(damage.totals[LEDGER_FLOAT], 10);
    identity_note_lost_end(rig.env, "db", 200, damage.totals, &damage);
    assert_int_equal(damage.places, 1);
    assert_int_equal(damage.samples[LEDGER_FLOAT], 6);
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_directory_has_the_same_id),
        cmocka_unit_test(test_a_log_that_still_has_no_segment_is_the_same_log),
        cmocka_unit_test(test_a_copy_has_an_id_of_its_own),
        cmocka_unit_test(test_an_older_copy_written_over_the_directory_is_recognised),
        cmocka_unit_test(test_a_log_that_is_older_or_another_one_is_recognised),
        cmocka_unit_test(test_hard_links_to_a_directory_are_a_copy),
        cmocka_unit_test(test_a_directory_that_was_touched_is_the_same),
        cmocka_unit_test(test_a_damaged_identity_is_not_believed_and_a_newer_one_is_left_alone),
        cmocka_unit_test(test_after_a_crash_at_any_call_no_older_copy_has_the_id),
        cmocka_unit_test(test_a_renewal_that_fails_leaves_the_directory_known),
        cmocka_unit_test(test_where_nothing_can_be_written_the_id_is_of_this_run_only),
        cmocka_unit_test(test_a_lost_end_of_the_log_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
