/*
 * tsdb_claim_testing.h - a machine for each test, single samples, and what must be seen of them at
 * every stage of their way. For tests only.
 */
#ifndef TSDB_TSDB_CLAIM_TESTING_H
#define TSDB_TSDB_CLAIM_TESTING_H

#include "lib/tsdb_machine.h"

static struct machine m;

static inline int
setup(void **state)
{
    (void)state;
    machine_init(&m, 1);
    machine_must_open(&m);
    return 0;
}

static inline int
teardown(void **state)
{
    if (machine_seed >= 0) machine_fini(&m);
    return tell_seed(state);
}

#define T0 (SIM_BEGIN - 60 * MINUTE_MS)

/* One series with one float. */
static inline enum err
send_float(const char *tenant, const char *labels, int64_t t_ms, double value)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_float(&rq, t_ms, double_bits(value), 0);
    enum err e = machine_send(&m, tenant, &rq);
    rq_fini(&rq);
    return e;
}

static inline void
must_send_float(const char *tenant, const char *labels, int64_t t_ms, double value)
{
    must(send_float(tenant, labels, t_ms, value));
    assert_int_equal(m.result.rejected_total, 0);
}

static inline void
expect_result(uint64_t written, uint64_t rejected)
{
    uint64_t got = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        got += m.result.written[k];
    }
    if (got != written || m.result.rejected_total != rejected) print_error("%s\n", m.result.text);
    assert_int_equal(got, written);
    assert_int_equal(m.result.rejected_total, rejected);
    machine_ledger(&m, NULL);
}

/* The same lines before and after everything that may happen to them on their way down. */
static inline void
expect_at_every_stage(const char *tenant, const char *lines)
{
    expect_all(&m, tenant, lines);
    machine_verified_restart(&m);
    expect_all(&m, tenant, lines);
    tsdb_want_cut(m.db);
    machine_commit(&m);
    assert_true(tsdb_has_frozen(m.db));
    expect_all(&m, tenant, lines);
    must(tsdb_flush(m.db, &m.why));
    expect_all(&m, tenant, lines);
    assert_true(tsdb_is_flushed(m.db));
    machine_verified_restart(&m);
    expect_all(&m, tenant, lines);
}

#define claim(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
