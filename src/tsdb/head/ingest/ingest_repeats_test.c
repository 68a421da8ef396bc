/*
 * ingest_repeats_test.c - samples that are sent again while a part has them and the head has
 * another value at their time.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"
#include "model/selector.h"

static uint64_t
counted(enum ledger_field field)
{
    struct ledger l = machine_ledger(&machine, "anonymous");
    return l.count[LEDGER_FLOAT][field] + l.count[LEDGER_HISTOGRAM][field];
}

/* Stores 1 in a part and 2 in the head at the same time. */
static void
part_and_head_differ(void)
{
    must(send_float("anonymous", "__name__=up", T0, 1));
    machine_flush(&machine);
    must(send_float("anonymous", "__name__=up", T0, 2));
    expect_result(1, 0);
}

UNIT_TEST(test_a_repeat_of_a_sample_in_a_part_is_always_a_duplicate)
{
    char lines[100];
    snprintf(lines, sizeof lines, "{__name__=\"up\"} %lld 1\n", (long long)T0);
    part_and_head_differ();
    for (int i = 0; i < 3; i++) { /* 2 is pending, durable, frozen */
        must(send_float("anonymous", "__name__=up", T0, 1));
        expect_result(1, 0);
        must(send_float("anonymous", "__name__=up", T0, 3));
        expect_result(0, 1);
        must(send_float("anonymous", "__name__=up", T0, 2)); /* its sender got an acknowledgement */
        expect_result(1, 0);
        if (i == 1) tsdb_want_cut(machine.db);
        machine_commit(&machine);
        expect_all(&machine, "anonymous", lines);
    }
    assert_true(tsdb_has_frozen(machine.db));
    must(tsdb_flush(machine.db, &machine.why));
    expect_at_every_stage("anonymous", lines);
    assert_int_equal(counted(LEDGER_RECEIVED), 11);
    assert_int_equal(counted(LEDGER_ACCEPTED), 2);
    assert_int_equal(counted(LEDGER_DUPLICATE), 6);
    assert_int_equal(counted(LEDGER_REJECTED + REJECT_CONFLICT), 3);
}

UNIT_TEST(test_the_sample_from_the_head_loses_when_parts_are_merged)
{
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    part_and_head_differ();
    must(send_float("anonymous", "__name__=up", T0, 1));
    expect_result(1, 0);
    machine_flush(&machine);
    must(tsdb_merge(machine.db, &options, &result, &machine.why));
    assert_int_equal(result.input_count, 2);
    assert_int_equal(counted(LEDGER_RECEIVED), 3);
    assert_int_equal(counted(LEDGER_DUPLICATE), 1);
    assert_int_equal(counted(LEDGER_SUPERSEDED), 1);
    struct ledger l = machine_ledger(&machine, "anonymous");
    assert_int_equal(l.stored[LEDGER_FLOAT], 1);
}

UNIT_TEST(test_the_first_of_two_parts_says_what_is_a_repeat)
{
    part_and_head_differ();
    machine_flush(&machine);
    must(send_float("anonymous", "__name__=up", T0, 3));
    expect_result(1, 0);
    must(send_float("anonymous", "__name__=up", T0, 2)); /* it lost against 1 */
    expect_result(0, 1);
    must(send_float("anonymous", "__name__=up", T0, 1));
    expect_result(1, 0);
}

UNIT_TEST(test_a_sample_deleted_from_a_part_is_not_a_repeat)
{
    struct selector selector = {.count = 1};
    struct tsdb_deletion deletion;
    must(send_float("anonymous", "__name__=up", T0, 1));
    machine_flush(&machine);
    must(matcher_new(MATCH_EQUAL, text("__name__"), text("up"), NULL, &selector.matchers[0], NULL));
    must(tsdb_delete(machine.db, text("anonymous"), &selector, 1, T0, T0, &deletion, &machine.why));
    must(send_float("anonymous", "__name__=up", T0, 2));
    expect_result(1, 0);
    must(send_float("anonymous", "__name__=up", T0, 1));
    expect_result(0, 1);
}

/* Sends floats and histograms of several series; `change` selects those that differ. */
static void
send_mixed(unsigned change)
{
    struct rq rq;
    char labels[50];
    rq_init(&rq, change % 2 == 0 ? RW_V1 : RW_V2);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(labels, sizeof labels, "__name__=mixed,i=%u%s", i, i % 3 == 0 ? ",x=y" : "");
        rq_series(&rq, labels);
        for (unsigned k = 0; k < 20; k++) {
            bool changed = (i + k) % 4 == change;
            struct histogram h = {.kind =
                                      i % 5 == 1 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT,
                                  .sum_bits = double_bits(k + changed)};
            if (i % 5 == 1 || i % 5 == 2)
                rq_histogram(&rq, T0 + 1000 * k, &h, 0);
            else
                rq_float(&rq, T0 + 1000 * k, double_bits(i + k + changed), 0);
        }
    }
    must(machine_send(&machine, "anonymous", &rq));
    rq_fini(&rq);
}

UNIT_TEST(test_repeats_among_conflicts_are_distinguished)
{
    send_mixed(4); /* none differs */
    expect_result(800, 0);
    send_mixed(0);
    expect_result(600, 200);
    machine_flush(&machine);
    send_mixed(0);
    expect_result(800, 0); /* 200 of them are other values, which the head does not know */
    send_mixed(1);
    expect_result(600, 200);
    send_mixed(4);
    expect_result(800, 0);
    machine_commit(&machine);
    assert_non_null(
        strstr((send_mixed(1), machine.result.text), "refused: 200 conflict; conflict at "));
    machine_ledger(&machine, "anonymous");
}

/* Damage may make a repeat look like a conflict, never a conflict like a repeat. */
UNIT_TEST(test_no_flipped_byte_of_a_part_makes_a_conflict_a_repeat)
{
    static const char path[] = STORE_DIR "/parts/0000000000000001/part";
    struct file file;
    uint64_t size;
    unsigned unknown = 0;
    part_and_head_differ();
    machine_commit(&machine);
    must(file_open(machine.env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    for (uint64_t at = 0; at < size; at++) {
        uint8_t byte, wrong;
        must(file_open(machine.env, path, FILE_UPDATE, &file, NULL));
        must(file_read_at(&file, &byte, 1, at, NULL));
        wrong = byte ^ (uint8_t)(1u << at % 8);
        must(file_write_at(&file, bytes_of(&wrong, 1), at, NULL));
        machine_close(&machine);
        if (machine_open(&machine) == OK && machine.opening.parts_set_aside == 0) {
            must(send_float("anonymous", "__name__=up", T0, 1));
            unknown += machine.result.rejected_total > 0;
            must(send_float("anonymous", "__name__=up", T0, 3));
            expect_result(0, 1);
        }
        if (machine.opening.parts_set_aside > 0) {
            must(env_rename(machine.env, STORE_DIR "/parts/0000000000000001.damaged",
                            STORE_DIR "/parts/0000000000000001", NULL));
        }
        must(file_write_at(&file, bytes_of(&byte, 1), at, NULL));
        must(file_close(&file));
        machine_restart(&machine);
        assert_int_equal(machine.opening.parts_set_aside, 0);
    }
    assert_true(unknown > 0);
    must(send_float("anonymous", "__name__=up", T0, 1));
    expect_result(1, 0);
}

/* Begins the same request in two steps, as the server does. */
static enum err
begin_float(double value, struct tsdb_undecided **ret_undecided)
{
    struct rq rq;
    static struct buf message; /* lives as long as the request */
    buf_fini(&message);
    buf_init(&message, NULL, 1 << 20);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=up");
    rq_float(&rq, T0, double_bits(value), 0);
    rq_close(&rq);
    buf_put_bytes(&message, buf_bytes(&rq.out));
    rq_fini(&rq);
    machine.request.keys = tsdb_fingerprint_keys(machine.db);
    must(rw_decode(&machine.request, RW_V1, buf_bytes(&message), tsdb_hash_seed(machine.db),
                   &machine.why));
    return tsdb_ingest_begin(machine.db, text("anonymous"), &machine.request, &machine.result,
                             ret_undecided, &machine.why);
}

UNIT_TEST(test_the_disk_is_read_only_in_the_second_step)
{
    struct tsdb_undecided *undecided;
    part_and_head_differ();
    machine_commit(&machine);
    machine_restart(&machine); /* the cache is empty */
    uint64_t calls = fault_env_calls(machine.fe, FAULT_EIO);
    must(begin_float(1, &undecided));
    assert_non_null(undecided);
    expect_result(0, 0);
    assert_int_equal(fault_env_calls(machine.fe, FAULT_EIO), calls);
    must(tsdb_ingest_end(undecided, INT64_MAX, &machine.result, &machine.why));
    assert_true(fault_env_calls(machine.fe, FAULT_EIO) > calls);
    expect_result(1, 0);
}

UNIT_TEST(test_a_repeat_is_a_conflict_without_time_to_look_it_up)
{
    struct tsdb_undecided *undecided;
    part_and_head_differ();
    must(begin_float(1, &undecided));
    uint64_t calls = fault_env_calls(machine.fe, FAULT_EIO);
    must(tsdb_ingest_end(undecided, env_monotonic_ns(machine.env), &machine.result, &machine.why));
    assert_int_equal(fault_env_calls(machine.fe, FAULT_EIO), calls);
    expect_result(0, 1);
    assert_non_null(strstr(machine.result.text, "refused: 1 conflict; conflict at "));
}

UNIT_TEST(test_a_disk_that_cannot_be_read_makes_a_repeat_a_conflict)
{
    part_and_head_differ();
    machine_commit(&machine);
    for (uint64_t nth = 1;; nth++) {
        machine_restart(&machine);
        fault_env_arm(machine.fe, (struct fault){FAULT_EIO, nth, true});
        must(send_float("anonymous", "__name__=up", T0, 1));
        bool fired = fault_env_fired(machine.fe);
        fault_env_disarm(machine.fe);
        expect_result(!fired, fired);
        if (!fired) break;
    }
}

UNIT_TEST(test_a_repeat_is_recognized_after_a_failed_allocation)
{
    uint64_t nth = 1;
    part_and_head_differ();
    machine_commit(&machine);
    for (;; nth++) {
        machine_restart(&machine);
        memory_arm(&machine, nth, false);
        enum err e = send_float("anonymous", "__name__=up", T0, 1);
        bool failed = machine.memory_failed;
        memory_arm(&machine, 0, false);
        machine_ledger(&machine, NULL);
        if (e != OK) assert_int_equal(e, ERR_NOMEM);
        if (!failed) break;
    }
    assert_true(nth > 5);
    expect_result(1, 0);
}

UNIT_TEST(test_a_conflict_that_no_part_can_contain_is_refused_at_once)
{
    struct tsdb_undecided *undecided;
    must(begin_float(1, &undecided));
    assert_null(undecided);
    must(begin_float(2, &undecided)); /* there are no parts */
    assert_null(undecided);
    expect_result(0, 1);
    machine_commit(&machine);
    must(send_float("anonymous", "__name__=up", T0 - 1, 1));
    must(send_float("other", "__name__=up", T0, 2));
    machine_flush(&machine);
    must(send_float("anonymous", "__name__=up", T0 + 1, 1));
    must(send_float("anonymous", "__name__=up", T0 + 1, 2)); /* no part has that time */
    expect_result(0, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_a_repeat_of_a_sample_in_a_part_is_always_a_duplicate),
        claim(test_the_sample_from_the_head_loses_when_parts_are_merged),
        claim(test_the_first_of_two_parts_says_what_is_a_repeat),
        claim(test_a_sample_deleted_from_a_part_is_not_a_repeat),
        claim(test_repeats_among_conflicts_are_distinguished),
        claim(test_no_flipped_byte_of_a_part_makes_a_conflict_a_repeat),
        claim(test_the_disk_is_read_only_in_the_second_step),
        claim(test_a_repeat_is_a_conflict_without_time_to_look_it_up),
        claim(test_a_disk_that_cannot_be_read_makes_a_repeat_a_conflict),
        claim(test_a_repeat_is_recognized_after_a_failed_allocation),
        claim(test_a_conflict_that_no_part_can_contain_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
