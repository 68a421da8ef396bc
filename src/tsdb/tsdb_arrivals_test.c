/*
 * tsdb_arrivals_test.c - arrival times of senders' requests: which requests count, which samples
 * are recent, and which are late.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_claim.h"

#define GAP ((struct time_range){SIM_BEGIN - 20 * MINUTE_MS, SIM_BEGIN - 10 * MINUTE_MS})

static int64_t
now_ns(void)
{
    return env_monotonic_ns(machine.env);
}

/* Sends a sample at a unique time, which identifies the request. */
static void
send_at(const char *tenant, int64_t t_ms)
{
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    err_ignore(send_float(tenant, "__name__=m", t_ms, 1), "refused ones are noted, too");
}

static bool
is_recent(int64_t t_ms)
{
    send_at("a", t_ms);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).sent_ms, env_realtime_ms(machine.env));
    return tsdb_arrivals(machine.db, text("a")).recent_ns == now_ns();
}

static bool
is_late(int64_t t_ms)
{
    send_at("a", t_ms);
    return tsdb_arrivals(machine.db, text("a")).late_ns == now_ns();
}

static void
expect_no_arrivals(const char *tenant)
{
    struct tsdb_arrivals arrivals = tsdb_arrivals(machine.db, text(tenant));
    assert_int_equal(arrivals.recent_ns, 0);
    assert_int_equal(arrivals.late_ns, 0);
    assert_int_equal(arrivals.sent_ms, 0);
}

/* Sends `rq`, which has a recent sample and a late one. */
static void
expect_arrival(struct rq *rq, bool is_one)
{
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    must(machine_send(&machine, "a", rq));
    rq_fini(rq);
    struct tsdb_arrivals arrivals = tsdb_arrivals(machine.db, text("a"));
    assert_int_equal(arrivals.recent_ns, is_one ? now_ns() : 0);
    assert_int_equal(arrivals.late_ns, is_one ? now_ns() : 0);
    assert_int_equal(arrivals.sent_ms, is_one ? env_realtime_ms(machine.env) : 0);
}

/* --- recent and late -------------------------------------------------------------------------- */

UNIT_TEST(test_a_sample_at_most_a_minute_old_or_ahead_of_the_clock_is_recent)
{
    assert_true(is_recent(env_realtime_ms(machine.env)));
    /* one millisecond passes */
    assert_true(is_recent(env_realtime_ms(machine.env) + 1 - MINUTE_MS));
    assert_false(is_recent(env_realtime_ms(machine.env) - MINUTE_MS));
    assert_true(is_recent(env_realtime_ms(machine.env) + MINUTE_MS));
    assert_true(is_recent(env_realtime_ms(machine.env) + DAY_MS));
    assert_int_equal(machine.result.rejected_for[REJECT_TOO_FAR_IN_FUTURE], 1);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, 0);
}

UNIT_TEST(test_a_sample_in_the_range_that_is_watched_is_late)
{
    assert_false(is_late(GAP.min_ms));
    tsdb_watch_arrivals(machine.db, GAP);
    assert_false(is_late(GAP.min_ms - 1));
    assert_true(is_late(GAP.min_ms));
    assert_true(is_late(GAP.max_ms));
    assert_false(is_late(GAP.max_ms + 1));
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).recent_ns, 0);
    int64_t late_ns = tsdb_arrivals(machine.db, text("a")).late_ns;
    tsdb_watch_arrivals(machine.db, (struct time_range){INT64_MAX, INT64_MIN});
    assert_false(is_late(GAP.min_ms));
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, late_ns);
}

/* Series that are always late do not hide the arrival of others. */
UNIT_TEST(test_a_request_with_samples_on_both_sides_of_the_range_is_not_late)
{
    struct rq rq;
    tsdb_watch_arrivals(machine.db, GAP);
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    rq_float(&rq, GAP.min_ms - 1, double_bits(1), 0);
    rq_float(&rq, GAP.max_ms + 1, double_bits(1), 0);
    must(machine_send(&machine, "a", &rq));
    rq_fini(&rq);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, 0);
}

UNIT_TEST(test_each_tenant_has_arrivals_of_its_own)
{
    tsdb_watch_arrivals(machine.db, GAP);
    expect_no_arrivals("a");
    send_at("a", GAP.min_ms);
    int64_t first_ns = now_ns();
    expect_no_arrivals("b");
    send_at("b", GAP.max_ms);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, first_ns);
    assert_int_equal(tsdb_arrivals(machine.db, text("b")).late_ns, now_ns());
}

/* --- requests that count ---------------------------------------------------------------------- */

UNIT_TEST(test_a_request_counts_if_its_samples_are_stored_already_or_refused)
{
    int64_t too_old_ms = SIM_BEGIN - 2 * machine.limits.retention_ms;
    tsdb_watch_arrivals(machine.db, (struct time_range){too_old_ms, GAP.max_ms});
    must_send_float("a", "__name__=m", SIM_BEGIN, 1);
    assert_true(is_late(GAP.min_ms));
    assert_true(is_late(GAP.min_ms)); /* again */
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    must(send_float("a", "__name__=m", GAP.min_ms, 2));
    assert_int_equal(machine.result.rejected_for[REJECT_CONFLICT], 1);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, now_ns());
    assert_true(is_late(too_old_ms));
    assert_int_equal(machine.result.rejected_for[REJECT_TOO_OLD], 1);
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    must(send_float("a", "__name__=", GAP.min_ms, 1));
    assert_int_equal(machine.result.rejected_for[REJECT_EMPTY_LABELS], 1);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, now_ns());
}

/* The sender repeats it. */
UNIT_TEST(test_a_request_counts_if_there_is_no_memory_for_it)
{
    tsdb_watch_arrivals(machine.db, GAP);
    must_send_float("a", "__name__=m", SIM_BEGIN, 1);
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    memory_arm(&machine, 1, true);
    assert_int_equal(send_float("a", "__name__=other", GAP.min_ms, 1), ERR_NOMEM);
    memory_arm(&machine, 0, false);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, now_ns());
}

UNIT_TEST(test_floats_and_histograms_count_and_exemplars_and_metadata_do_not)
{
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    for (unsigned version = RW_V1; version <= RW_V2; version++) {
        struct rq rq;
        tsdb_watch_arrivals(machine.db, GAP);
        rq_init(&rq, version);
        rq_series(&rq, "__name__=m");
        rq_exemplar(&rq, SIM_BEGIN, double_bits(1), "trace=1");
        rq_exemplar(&rq, GAP.min_ms, double_bits(1), "trace=2");
        rq_metadata(&rq, METRIC_GAUGE, "m", "help", "");
        expect_arrival(&rq, false);
        rq_init(&rq, version);
        rq_series(&rq, "__name__=m");
        rq_float(&rq, GAP.min_ms, double_bits(1), 0);
        rq_float(&rq, SIM_BEGIN, double_bits(1), 0);
        expect_arrival(&rq, true);
        rq_init(&rq, version);
        rq_series(&rq, "__name__=h");
        rq_histogram(&rq, GAP.min_ms, &h, 0);
        rq_histogram(&rq, SIM_BEGIN, &h, 0);
        expect_arrival(&rq, true);
        machine_close(&machine); /* all is in parts, and the log is empty */
        machine_must_open(&machine);
        expect_no_arrivals("a");
    }
}

UNIT_TEST(test_samples_that_the_server_writes_itself_do_not_count)
{
    tsdb_watch_arrivals(machine.db, GAP);
    machine.writes_itself = true;
    send_at("a", GAP.min_ms);
    send_at("a", SIM_BEGIN);
    machine.writes_itself = false;
    expect_result(1, 0);
    expect_no_arrivals("a");
}

/* Decoding does not check its labels, see rw_decode_unchecked(). */
UNIT_TEST(test_a_malformed_message_does_not_count)
{
    static const uint8_t cut[] = {0x0a, 6, 0x0a, 1, 'a', 0x12, 9, 'b'}; /* a label */
    struct rq rq;
    tsdb_watch_arrivals(machine.db, GAP);
    must_send_float("a", "__name__=m", GAP.min_ms, 1);
    struct tsdb_arrivals before = tsdb_arrivals(machine.db, text("a"));
    rq_init(&rq, RW_V1);
    rq.in_series = true;
    buf_put(&rq.item, cut, sizeof cut);
    rq_float(&rq, GAP.min_ms, double_bits(1), 0);
    rq_close(&rq);
    sim_env_advance_ns(machine.sim, NS_PER_MS);
    machine.request.keys = tsdb_fingerprint_keys(machine.db);
    must(rw_decode_unchecked(&machine.request, RW_V1, buf_bytes(&rq.out),
                             tsdb_hash_seed(machine.db), &machine.why));
    assert_int_equal(machine.request.series_count, 1);
    assert_int_equal(
        tsdb_ingest(machine.db, text("a"), &machine.request, &machine.result, &machine.why),
        ERR_INPUT);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).late_ns, before.late_ns);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).sent_ms, before.sent_ms);
    rq_fini(&rq);
}

/* A checkpoint of rules may be older than the log. */
UNIT_TEST(test_after_a_crash_the_log_says_when_a_sender_last_wrote)
{
    send_at("a", SIM_BEGIN);
    must(tsdb_commit(machine.db, &machine.why));
    int64_t sent_ms = env_realtime_ms(machine.env);
    sim_env_advance_ns(machine.sim, NS_PER_S);
    machine.writes_itself = true;
    send_at("a", SIM_BEGIN + 1);
    send_at("b", SIM_BEGIN);
    send_at("b", SIM_BEGIN); /* it is stored already */
    machine.writes_itself = false;
    must(tsdb_commit(machine.db, &machine.why));
    sim_env_power_loss(machine.sim);
    tsdb_free(machine.db);
    machine_must_open(&machine);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).sent_ms, sent_ms);
    assert_int_equal(tsdb_arrivals(machine.db, text("a")).recent_ns, 0);
    expect_no_arrivals("b");
}

UNIT_TEST(test_a_store_of_the_log_alone_notes_arrivals_too)
{
    machine_close(&machine);
    machine.options.log_only = true;
    machine_must_open(&machine);
    tsdb_watch_arrivals(machine.db, GAP);
    assert_true(is_late(GAP.min_ms));
    assert_true(is_recent(SIM_BEGIN));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        claim(test_a_sample_at_most_a_minute_old_or_ahead_of_the_clock_is_recent),
        claim(test_a_sample_in_the_range_that_is_watched_is_late),
        claim(test_a_request_with_samples_on_both_sides_of_the_range_is_not_late),
        claim(test_each_tenant_has_arrivals_of_its_own),
        claim(test_a_request_counts_if_its_samples_are_stored_already_or_refused),
        claim(test_a_request_counts_if_there_is_no_memory_for_it),
        claim(test_floats_and_histograms_count_and_exemplars_and_metadata_do_not),
        claim(test_samples_that_the_server_writes_itself_do_not_count),
        claim(test_a_malformed_message_does_not_count),
        claim(test_after_a_crash_the_log_says_when_a_sender_last_wrote),
        claim(test_a_store_of_the_log_alone_notes_arrivals_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
