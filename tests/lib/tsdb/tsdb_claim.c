/* tsdb_claim.c - see tsdb_claim.h. */
#include "lib/tsdb/tsdb_claim.h"

struct machine machine;

int
claim_setup(void **state)
{
    (void)state;
    machine_init(&machine, 1);
    machine_must_open(&machine);
    return 0;
}

int
claim_teardown(void **state)
{
    if (machine_seed >= 0) machine_fini(&machine);
    return tell_seed(state);
}

enum err
send_float(const char *tenant, const char *labels, int64_t t_ms, double value)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_float(&rq, t_ms, double_bits(value), 0);
    enum err e = machine_send(&machine, tenant, &rq);
    rq_fini(&rq);
    return e;
}

void
must_send_float(const char *tenant, const char *labels, int64_t t_ms, double value)
{
    must(send_float(tenant, labels, t_ms, value));
    assert_int_equal(machine.result.rejected_total, 0);
}

void
expect_result(uint64_t written, uint64_t rejected)
{
    uint64_t got = 0;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        got += machine.result.written[k];
    if (got != written || machine.result.rejected_total != rejected)
        print_error("%s\n", machine.result.text);
    assert_int_equal(got, written);
    assert_int_equal(machine.result.rejected_total, rejected);
    machine_ledger(&machine, NULL);
}

void
expect_at_every_stage(const char *tenant, const char *lines)
{
    expect_all(&machine, tenant, lines);
    machine_verified_restart(&machine);
    expect_all(&machine, tenant, lines);
    tsdb_want_cut(machine.db);
    machine_commit(&machine);
    assert_true(tsdb_has_frozen(machine.db));
    expect_all(&machine, tenant, lines);
    must(tsdb_flush(machine.db, &machine.why));
    expect_all(&machine, tenant, lines);
    assert_true(tsdb_is_flushed(machine.db));
    machine_verified_restart(&machine);
    expect_all(&machine, tenant, lines);
}
