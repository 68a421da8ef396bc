/*
 * tsdb_replay_test.c - logs that are too large for the head: replay writes parts on its way. With
 * any failure, nothing is lost, nothing is stored twice, and the ledger balances.
 *
 * STEP=n tries every n-th site only.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_scenario.h"

enum { ROUNDS = 5, SMALL_BYTES = 700 * 1024, LARGE_BYTES = 256 << 20 };

static struct model model;

static uint64_t
stride(void)
{
    const char *given = getenv("STEP");
    return given == NULL ? 31 : strtoull(given, NULL, 10);
}

/* --- many series, of a tenant of their own ---------------------------------------------------- */

enum { BULK_A_ROUND = 600 };
static const char bulk_tenant[] = "bulk";

/* Sends samples; half of the series were in the round before. */
static void
send_bulk(struct machine *m, uint32_t round)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    for (uint32_t i = 0; i < BULK_A_ROUND; i++) {
        char labels[200];
        uint32_t series = round * (BULK_A_ROUND / 2) + i;
        snprintf(labels, sizeof labels,
                 "__name__=bulk,i=%u,pad=a-value-that-is-as-long-as-those-of-containers-%u", series,
                 series);
        rq_series(&rq, labels);
        rq_float(&rq, SIM_BEGIN + round * 1000, double_bits(series), 0);
    }
    must(machine_send(m, bulk_tenant, &rq));
    rq_fini(&rq);
    must(model_commit(&model));
}

static void
see_bulk(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    uint32_t *count = context;
    char number[20];
    snprintf(number, sizeof number, "%.0f", bits_double(b->value_bits[i]));
    assert_true(bytes_equal(labels_get(labels, text("i")), text(number)));
    ++*count;
}

static void
check_bulk(struct machine *m)
{
    struct question q;
    uint32_t count = 0;
    question_init(&q, bulk_tenant, every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    must(machine_select(m, &q, see_bulk, &count));
    question_fini(&q);
    assert_int_equal(count, ROUNDS * BULK_A_ROUND);
}

/* --- a log ------------------------------------------------------------------------------------ */

/* Writes a part, deletes from it, and makes commits that are only in the log. */
static void
fill(struct machine *m)
{
    machine_must_open(m);
    model_opened(&model);
    scenario_write(&model, 0);
    scenario_flush(&model);
    scenario_delete(&model);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        scenario_write(&model, round);
        send_bulk(m, round);
    }
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_metadata(&rq, METRIC_COUNTER, "m1", "a help that is in the log only", "");
    must(machine_send(m, model_tenants[1], &rq));
    rq_fini(&rq);
    must(model_commit(&model));
}

static void
filled(struct machine *m, uint64_t seed)
{
    machine_init(m, seed);
    model_init(&model, m);
    fill(m);
    sim_env_kill(m->sim);
    machine_close(m);
    model_crashed(&model);
}

static enum err
count_metadata(void *context, const struct metadata *x)
{
    uint32_t *count = context;
    *count += bytes_equal(x->help, text("a help that is in the log only"));
    return OK;
}

/* Checks samples and metadata that the model does not know. */
static void
check_rest(struct machine *m)
{
    uint32_t count = 0;
    must(machine_metadata(m, model_tenants[1], "m1", count_metadata, &count));
    assert_int_equal(count, 1);
    check_bulk(m);
}

/* With any head size everything is stored, and the next start has nothing to replay. */
UNIT_TEST(test_replay_writes_parts_where_the_head_is_too_small)
{
    uint64_t parts_most = 0;
    for (uint64_t bytes = 512 * 1024; bytes < 8 << 20; bytes = bytes * 9 / 8) {
        struct machine m;
        filled(&m, bytes);
        m.options.head_bytes_max = bytes;
        machine_must_open(&m);
        model_opened(&model);
        uint64_t parts = m.opening.replayed_parts;
        if (parts > parts_most) parts_most = parts;
        model_compare(&model, true);
        check_rest(&m);
        machine_close(&m);
        model_crashed(&model);
        must(machine_verify(&m, true));
        machine_must_open(&m);
        model_opened(&model);
        assert_int_equal(m.opening.replayed_samples == 0, parts > 0);
        assert_int_equal(m.opening.parts_unnamed, 0);
        check_rest(&m);
        m.options.head_bytes_max = LARGE_BYTES;
        scenario_end(&model);
        model_fini(&model);
        machine_fini(&m);
    }
    assert_true(parts_most > 10);
}

static void
end_after(struct machine *m)
{
    if (m->db != NULL) machine_close(m);
    model_crashed(&model);
    machine_must_open(m);
    model_opened(&model);
    model_compare(&model, true);
    check_rest(m);
    assert_int_equal(m->opening.parts_unnamed, 0);
    assert_int_equal(m->opening.damage.places, 0);
    m->options.head_bytes_max = LARGE_BYTES;
    scenario_end(&model);
    model_fini(&model);
    machine_fini(m);
}

enum then { THEN_NOTHING, THEN_KILL, THEN_POWER_LOSS, THENS };

static bool
replay_with_fault(struct fault fault, enum then then)
{
    struct machine m;
    filled(&m, fault.nth * THENS + then);
    m.options.head_bytes_max = SMALL_BYTES;
    fault_env_arm(m.fe, fault);
    enum err e = machine_open(&m);
    bool fired = fault_env_fired(m.fe);
    fault_env_disarm(m.fe);
    if (e == OK) assert_true(m.opening.replayed_parts > 2);
    if (then == THEN_KILL) sim_env_kill(m.sim);
    if (then == THEN_POWER_LOSS) sim_env_power_loss(m.sim);
    end_after(&m);
    return fired;
}

UNIT_TEST(test_nothing_is_lost_when_any_call_of_such_a_replay_fails)
{
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_ENOSPC, FAULT_TORN, FAULT_SYNC};
    for (uint32_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (uint32_t how = 0; how < 2 * THENS; how++) {
            uint64_t nth = 1;
            while (replay_with_fault((struct fault){kinds[k], nth, how & 1}, how / 2))
                nth += stride();
            assert_true(nth > 1);
        }
    }
}

static bool
replay_without_memory(uint64_t nth, bool forever)
{
    struct machine m;
    filled(&m, nth);
    m.options.head_bytes_max = SMALL_BYTES;
    memory_arm(&m, nth, forever);
    enum err e = machine_open(&m);
    bool fired = m.memory_failed;
    memory_arm(&m, 0, false);
    assert_true(e == OK || e == ERR_NOMEM);
    end_after(&m);
    return fired;
}

UNIT_TEST(test_nothing_is_lost_when_any_allocation_of_such_a_replay_fails)
{
    for (int forever = 0; forever <= 1; forever++) {
        uint64_t nth = 1;
        while (replay_without_memory(nth, forever != 0))
            nth += stride();
        assert_true(nth > 1);
    }
}

/* --- damage ----------------------------------------------------------------------------------- */

static struct ledger
ledger_after_damage(uint64_t offset, uint64_t head_bytes, uint64_t *ret_places)
{
    struct machine m;
    filled(&m, 5);
    must(sim_env_damage(m.sim, STORE_DIR "/wal/0000000000000001.wal", offset));
    m.options.head_bytes_max = head_bytes;
    machine_must_open(&m);
    *ret_places = m.opening.damage.places;
    struct ledger both = machine_ledger(&m, model_tenants[0]);
    struct ledger other = machine_ledger(&m, model_tenants[1]);
    ledger_add(&both, &other);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        both.pending[k] += both.stored[k]; /* in the store */
        both.stored[k] = 0;
    }
    machine_close(&m);
    if (head_bytes == SMALL_BYTES) must(machine_verify(&m, true));
    model_fini(&model);
    machine_fini(&m);
    return both;
}

UNIT_TEST(test_damage_is_counted_the_same_whether_replay_writes_parts_or_not)
{
    uint64_t damaged = 0;
    for (uint64_t offset = 8192; offset < 8192 + 12000; offset += 397) {
        uint64_t places, places_small;
        struct ledger large = ledger_after_damage(offset, LARGE_BYTES, &places);
        struct ledger small = ledger_after_damage(offset, SMALL_BYTES, &places_small);
        assert_int_equal(places, places_small);
        assert_memory_equal(&large, &small, sizeof large);
        damaged += large.count[LEDGER_FLOAT][LEDGER_DAMAGED];
    }
    assert_true(damaged > 0);
}

/* --- other ways to open ----------------------------------------------------------------------- */

/* A start with the same memory as before needs no disk space, so that reads go on while the
 * disk is full. */
UNIT_TEST(test_on_a_full_disk_the_head_takes_what_memory_allows)
{
    struct machine m;
    filled(&m, 9);
    m.options.head_bytes_max = 2 * 1024 * 1024;
    fault_env_set_free(m.fe, 1024);
    machine_must_open(&m);
    model_opened(&model);
    assert_int_equal(m.opening.replayed_parts, 0);
    model_compare(&model, true);
    check_rest(&m);
    machine_close(&m);
    model_crashed(&model);
    fault_env_set_free(m.fe, UINT64_MAX);
    machine_must_open(&m);
    assert_true(m.opening.replayed_parts > 0); /* it exceeded the size of a part */
    model_opened(&model);
    end_after(&m);
}

UNIT_TEST(test_a_directory_that_is_only_read_is_replayed_into_memory)
{
    struct machine m;
    filled(&m, 7);
    m.options.head_bytes_max = SMALL_BYTES;
    m.options.read_only = true;
    machine_must_open(&m);
    model_opened(&model);
    assert_int_equal(m.opening.replayed_parts, 0);
    model_compare(&model, true);
    machine_close(&m);
    m.options.read_only = false;
    model_crashed(&model);
    end_after(&m);
}

UNIT_TEST(test_samples_that_are_not_stored_leave_a_head_that_is_too_small)
{
    struct machine m;
    machine_init(&m, 8);
    model_init(&model, &m);
    m.options.log_only = true;
    machine_must_open(&m);
    model_opened(&model);
    for (uint32_t round = 0; round <= ROUNDS; round++) {
        scenario_write(&model, round);
        send_bulk(&m, round);
    }
    struct ledger before = machine_ledger(&m, model_tenants[0]);
    struct wal_stats log;
    wal_stats(tsdb_wal(m.db), &log);
    sim_env_kill(m.sim);
    machine_close(&m);
    m.options.head_bytes_max = SMALL_BYTES;
    machine_must_open(&m);
    struct ledger after = machine_ledger(&m, model_tenants[0]);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        assert_int_equal(after.pending[k], 0);
        assert_int_equal(after.count[k][LEDGER_PASSED_ON], before.pending[k]);
    }
    assert_int_equal(m.opening.parts, 0);
    assert_int_equal(tsdb_store_pos(m.db), log.end_pos);
    machine_close(&m);
    must(machine_verify(&m, true));
    machine_must_open(&m);
    assert_int_equal(m.opening.replayed_samples, 0);
    model_fini(&model);
    machine_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_replay_writes_parts_where_the_head_is_too_small, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_any_call_of_such_a_replay_fails,
                                  tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_any_allocation_of_such_a_replay_fails,
                                  tell_seed),
        cmocka_unit_test_teardown(
            test_damage_is_counted_the_same_whether_replay_writes_parts_or_not, tell_seed),
        cmocka_unit_test_teardown(test_on_a_full_disk_the_head_takes_what_memory_allows, tell_seed),
        cmocka_unit_test_teardown(test_a_directory_that_is_only_read_is_replayed_into_memory,
                                  tell_seed),
        cmocka_unit_test_teardown(test_samples_that_are_not_stored_leave_a_head_that_is_too_small,
                                  tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
