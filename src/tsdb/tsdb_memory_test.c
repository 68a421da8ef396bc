/* tsdb_memory_test.c - a store with little memory: what flushes and merges need is there. */
#include "model/selector.h"
#include "tsdb/tsdb_testing.h"

#define MIB UINT64_C(1048576)
#define T0  (SIM_BEGIN - 30 * DAY_MS)

static struct machine m;
static struct budget process, foreground;
static uint64_t next_series;

/* As config/store_options.c shares out 64 MiB. */
static int
begin(void **state)
{
    (void)state;
    machine_init(&m, 1);
    budget_init(&process, "process", 64 * MIB, NULL);
    budget_init(&foreground, "foreground", 29 * MIB, &process);
    m.options.memory = &foreground;
    m.options.background = &process;
    m.options.head_bytes_max = 24 * MIB;
    m.options.cache_bytes = 8 * MIB;
    m.options.flush_bytes = 13 * MIB;
    m.options.merge_bytes = 12 * MIB;
    m.options.tenants_max = 2000;
    m.limits.max_future_ms = 1000 * DAY_MS;
    next_series = 0;
    machine_must_open(&m);
    return 0;
}

static int
end(void **state)
{
    machine_fini(&m);
    assert_int_equal(budget_used(&process), 0);
    return tell_seed(state);
}

static const struct budget *found;

static void
take_if_named(void *context, const struct budget *b)
{
    if (strcmp(b->name, context) == 0) found = b;
}

static uint64_t
peak_of(const char *name)
{
    char copy[16];
    snprintf(copy, sizeof copy, "%s", name);
    tsdb_budgets(m.db, take_if_named, copy);
    return atomic_load(&found->peak_bytes);
}

/* New series with a label value of their own. ERR_NOMEM: the head takes no more. */
static enum err
send_new(const char *tenant, uint32_t count, int64_t t_ms, bool exemplars)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (uint32_t i = 0; i < count; i++, next_series++) {
        char labels[100];
        snprintf(labels, sizeof labels, "__name__=a,i=%llx,z=%u",
                 (unsigned long long)(next_series * 0x9e3779b97f4a7c15u),
                 (unsigned)(next_series % 3));
        rq_series(&rq, labels);
        rq_float(&rq, t_ms, double_bits(1), 0);
        for (unsigned x = 0; exemplars && x < 50; x++) {
            rq_exemplar(&rq, t_ms + x, x, "t=a");
        }
    }
    enum err e = machine_send(&m, tenant, &rq);
    rq_fini(&rq);
    return e;
}

static void
fill_head(const char *tenant, bool exemplars)
{
    enum err e = OK;
    for (unsigned n = 0; e == OK; n++) {
        e = send_new(tenant, exemplars ? 100 : 1000, T0, exemplars);
        if (n % 4 == 3) machine_commit(&m);
    }
    assert_int_equal(e, ERR_NOMEM);
    machine_commit(&m);
}

static void
test_a_full_head_is_flushed_while_requests_take_the_rest(void **state)
{
    (void)state;
    for (unsigned exemplars = 0; exemplars < 2; exemplars++) {
        fill_head("anonymous", exemplars);
        uint64_t rest = 29 * MIB - budget_used(&foreground);
        must(budget_take(&foreground, rest));
        tsdb_want_cut(m.db);
        while (tsdb_commit(m.db, &m.why) != OK || !tsdb_has_frozen(m.db)) {
            budget_give(&foreground, 64 * 1024); /* a new generation begins in the foreground */
            rest -= 64 * 1024;
            tsdb_want_cut(m.db);
        }
        enum err e = tsdb_flush(m.db, &m.why);
        if (e) fail_msg("%s", m.why.text);
        budget_give(&foreground, rest);
        print_message("%llu series, flush: %llu KiB at most\n", (unsigned long long)next_series,
                      (unsigned long long)peak_of("flush") / 1024);
        assert_true(peak_of("flush") <= m.options.flush_bytes);
    }
    machine_verified_restart(&m);
}

static uint64_t
part_count(void)
{
    struct tsdb_stats s;
    tsdb_stats(m.db, &s);
    return s.parts;
}

static void
merge(enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r;
    do {
        enum err e = tsdb_merge(m.db, &options, &r, &m.why);
        if (e) fail_msg("%s", m.why.text);
    } while (r.input_count > 0);
    assert_true(peak_of("merge") <= m.options.merge_bytes);
}

static void
test_no_merge_needs_more_memory_than_there_is(void **state)
{
    (void)state;
    uint64_t most = 0;
    for (unsigned flush = 0; flush < 40; flush++) {
        for (unsigned n = 0; n < 20; n++) {
            must(send_new("anonymous", 1000, T0 + flush, false));
        }
        machine_flush(&m);
        merge(TSDB_MERGE_DUE);
        if (part_count() > most) most = part_count();
    }
    uint64_t settled = part_count();
    merge(TSDB_MERGE_FULL);
    print_message("%llu series: %llu parts at most, %llu then, %llu after a full merge\n",
                  (unsigned long long)next_series, (unsigned long long)most,
                  (unsigned long long)settled, (unsigned long long)part_count());
    assert_in_range(settled, 2, 20);
    assert_in_range(part_count(), 2, settled);
    machine_verified_restart(&m);
}

static void
delete_a_third(void)
{
    struct selector selector;
    struct tsdb_deletion deletion;
    must(selector_parse(text("{z=\"1\"}"), &selector, NULL));
    must(tsdb_delete(m.db, text("anonymous"), &selector, T0, T0 + 20, &deletion, &m.why));
    assert_int_equal(deletion.samples, next_series / 3);
    merge(TSDB_MERGE_CLEAN);
    assert_int_equal(machine_ledger(&m, "anonymous").count[LEDGER_FLOAT][LEDGER_DELETED],
                     next_series / 3);
}

static void
test_deletions_are_cleaned_from_parts_that_stay_apart(void **state)
{
    (void)state;
    for (unsigned flush = 0; flush < 20; flush++) {
        for (unsigned n = 0; n < 30; n++) {
            must(send_new("anonymous", 1000, T0 + flush, false));
        }
        machine_flush(&m);
        merge(TSDB_MERGE_DUE);
    }
    assert_true(part_count() > 1);
    delete_a_third();
    machine_verified_restart(&m);
}

/* It was made when there was more memory. */
static void
test_deletions_are_cleaned_from_a_part_that_is_too_large_to_be_merged(void **state)
{
    (void)state;
    struct tsdb_merge_options full = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result r;
    for (unsigned flush = 0; flush < 20; flush++) {
        for (unsigned n = 0; n < 30; n++) {
            must(send_new("anonymous", 1000, T0 + flush, false));
        }
        machine_flush(&m);
    }
    m.options.merge_bytes = 0;
    machine_restart(&m);
    must(tsdb_merge(m.db, &full, &r, &m.why));
    assert_int_equal(part_count(), 1);
    m.options.merge_bytes = 12 * MIB;
    machine_restart(&m);
    must(send_new("anonymous", 3, T0, false));
    machine_flush(&m);
    merge(TSDB_MERGE_FULL);
    assert_int_equal(part_count(), 2); /* it stays as it is */
    delete_a_third();
    machine_verified_restart(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_full_head_is_flushed_while_requests_take_the_rest,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_no_merge_needs_more_memory_than_there_is, begin, end),
        cmocka_unit_test_setup_teardown(test_deletions_are_cleaned_from_parts_that_stay_apart,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            test_deletions_are_cleaned_from_a_part_that_is_too_large_to_be_merged, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
