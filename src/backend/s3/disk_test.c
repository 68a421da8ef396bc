/* disk_test.c - a full disk, a failing disk, and a lack of memory each cost only
 * another attempt. */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/s3_rig.h"

/* --- the disk --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_full_disk_is_waited_for)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 9);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    fault_env_arm(rig.fe, (struct fault){FAULT_ENOSPC, 1, true});
    s3_rig_begin(&rig);
    s3_rig_expect_done(&rig, VERDICT_RETRY, "disk_full");
    s3_rig_begin(&rig);
    s3_rig_expect_done(&rig, VERDICT_RETRY, "disk_full");
    fault_env_disarm(rig.fe);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_body(&rig, LINE("1700000000100", "100"));
    s3_rig_fini(&rig);
}

UNIT_TEST(test_a_call_that_the_disk_cannot_take_is_full)
{
    struct s3_rig rig;
    uint32_t i = 0;
    s3_rig_init(&rig, 9);
    s3_rig_open(&rig);
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, true});
    while (s3_rig_add(&rig, 100 + i, 0) == WRITER_ADDED)
        assert_true(++i < 100000);
    assert_int_equal(s3_rig_add(&rig, 100 + i, 0), WRITER_FULL);
    fault_env_disarm(rig.fe);
    s3_rig_must_add(&rig, 100 + i, 0);
    s3_rig_fini(&rig);
}

/* Each call fails once in turn: the object arrives whole in the end. */
UNIT_TEST(test_any_failure_of_the_disk_costs_another_attempt_only)
{
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_TORN, FAULT_SYNC, FAULT_SHORT};
    for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        for (unsigned nth = 1;; nth++) {
            struct s3_rig rig;
            s3_rig_init(&rig, nth);
            s3_rig_open(&rig);
            s3_rig_prepare(&rig);
            fault_env_arm(rig.fe, (struct fault){kinds[kind], nth, false});
            unsigned tries = 0;
            s3_rig_must_add(&rig, 100, 0);
            s3_rig_must_add(&rig, 101, 0);
            s3_rig_begin(&rig);
            while (rig.step.next != WRITER_SEND) {
                assert_true(++tries < 20);
                if (rig.step.next == WRITER_DONE && rig.step.verdict == VERDICT_REBUILD) {
                    s3_writer.call_clear(rig.writer, rig.call);
                    s3_rig_must_add(&rig, 100, 0);
                    s3_rig_must_add(&rig, 101, 0);
                } else if (rig.step.next == WRITER_DONE) {
                    assert_int_equal(rig.step.verdict, VERDICT_RETRY);
                } else {
                    buf_clear(&rig.saved);
                    s3_writer.save(rig.writer, &rig.saved);
                    if (s3_writer.saved(rig.writer, &rig.why) != OK)
                        must(s3_writer.saved(rig.writer, &rig.why));
                }
                s3_rig_begin(&rig);
            }
            bool fired = fault_env_fired(rig.fe);
            fault_env_disarm(rig.fe);
            s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-101.0.ndjson");
            s3_rig_expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "101"));
            /* It is durable: after a crash now, the same object is sent. */
            s3_rig_crash(&rig);
            s3_rig_prepare(&rig);
            s3_rig_must_add(&rig, 100, 0);
            s3_rig_begin(&rig);
            s3_rig_expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "101"));
            s3_rig_fini(&rig);
            if (!fired) break;
        }
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

UNIT_TEST(test_any_refused_allocation_is_survived)
{
    for (uint64_t nth = 1;; nth++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 15);
        rig.settings.u.s3.compression = COMPRESSION_ZSTD;
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        mem_fail_nth(nth, false);
        unsigned tries = 0;
        for (uint32_t i = 0; i < 3;) {
            enum writer_add added = s3_rig_add(&rig, 100 + i, 0);
            i += added == WRITER_ADDED;
            assert_true(added == WRITER_ADDED || added == WRITER_NO_MEMORY);
            assert_true(++tries < 20);
        }
        s3_rig_begin(&rig);
        while (rig.step.next != WRITER_SEND) {
            assert_true(++tries < 20);
            if (rig.step.next == WRITER_DONE) assert_int_equal(rig.step.verdict, VERDICT_RETRY);
            s3_rig_begin(&rig);
        }
        s3_rig_answer(&rig, 200, "");
        while (rig.step.next != WRITER_SEND) {
            assert_true(++tries < 20);
            s3_rig_begin(&rig);
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_rig_fini(&rig);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_disk_is_waited_for),
        cmocka_unit_test(test_a_call_that_the_disk_cannot_take_is_full),
        cmocka_unit_test(test_any_failure_of_the_disk_costs_another_attempt_only),
        cmocka_unit_test(test_any_refused_allocation_is_survived),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
