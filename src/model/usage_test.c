/* usage_test.c - metrics are counted for each control that asks for them, by tenant, within a limit
 * of memory. */
#include "model/usage.h"

#include <stdlib.h>

#include "base/buf.h"
#include "lib/test.h"
#include "sys/sim.h"

/* --- questions -------------------------------------------------------------------------------- */

struct rig {
    struct sim_env *sim;
    struct usage *usage;
};

static void
rig_init(struct rig *rig)
{
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    assert_int_equal(usage_new(sim_env_env(rig->sim), 7, NULL, &rig->usage), OK);
}

static void
rig_fini(struct rig *rig)
{
    usage_free(rig->usage);
    sim_env_free(rig->sim);
}

/* Notes a selector with one matcher of the name. */
static void
note_matcher(struct query_control *control, const char *tenant, enum matcher_type type,
             const char *value)
{
    struct matcher *matcher;
    struct why why;
    assert_int_equal(
        matcher_new(type, bytes_of_text("__name__"), bytes_of_text(value), NULL, &matcher, &why),
        OK);
    const struct matcher_set sets = {&matcher, 1};
    const struct query_request request = {
        .tenant = bytes_of_text(tenant), .sets = &sets, .set_count = 1, .control = control};
    usage_note(&request);
    matcher_free(matcher);
}

static void
note_name(struct query_control *control, const char *tenant, const char *metric)
{
    note_matcher(control, tenant, MATCH_EQUAL, metric);
}

/* Notes a name with a control of its own. */
static void
note_once(struct rig *rig, const char *tenant, const char *metric)
{
    struct query_control control = {.usage = rig->usage};
    note_name(&control, tenant, metric);
}

/* Notes a series with a name and, unless it is NULL, the label of a tenant. */
static void
note_series(struct query_control *control, const char *tenant, const char *name, const char *label)
{
    struct buf labels;
    buf_init(&labels, NULL, 1 << 16);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    if (label != NULL)
        labels_put(&labels, (struct label){bytes_of_text("__tenant_id__"), bytes_of_text(label)});
    usage_note_series(control, bytes_of_text(tenant), buf_bytes(&labels));
    buf_fini(&labels);
}

/* Checks the list of a tenant: "up 3+0+0, load 1+0+0" are queries, rules and look-ups. */
static void
check_usage(struct rig *rig, const char *tenant, const char *expected)
{
    struct usage_list list;
    struct arena arena;
    struct buf text;
    arena_init(&arena, NULL, 0, 0);
    buf_init(&text, NULL, 1 << 16);
    assert_int_equal(usage_list(rig->usage, bytes_of_text(tenant), &arena, &list), OK);
    for (uint32_t i = 0; i < list.count; i++) {
        const struct metric_usage *m = &list.metrics[i];
        buf_printf(&text, "%s%.*s %d+%d+%d", i == 0 ? "" : ", ", (int)m->metric.size,
                   (const char *)m->metric.at, (int)m->counts[USAGE_QUERY],
                   (int)m->counts[USAGE_RULE], (int)m->counts[USAGE_LOOKUP]);
    }
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    arena_fini(&arena);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_control_counts_each_metric_once)
{
    struct rig rig;
    rig_init(&rig);
    struct query_control control = {.usage = rig.usage}, other = {.usage = rig.usage};
    note_name(&control, "a", "up");
    note_name(&control, "a", "load");
    note_name(&control, "a", "up");
    note_series(&control, "a", "up", NULL);
    check_usage(&rig, "a", "load 1+0+0, up 1+0+0");
    note_name(&other, "a", "up");
    check_usage(&rig, "a", "up 2+0+0, load 1+0+0");
    rig_fini(&rig);
}

UNIT_TEST(test_a_selector_without_a_name_counts_the_series_that_it_reads)
{
    struct rig rig;
    rig_init(&rig);
    struct query_control control = {.usage = rig.usage};
    note_matcher(&control, "a", MATCH_REGEX, "u.*");
    note_matcher(&control, "a", MATCH_NOT_EQUAL, "load");
    note_matcher(&control, "a", MATCH_EQUAL, "");
    check_usage(&rig, "a", "");
    note_series(&control, "a", "up", NULL);
    note_series(&control, "a", "up", NULL);
    note_series(&control, "a", "", NULL);
    check_usage(&rig, "a", "up 1+0+0");
    rig_fini(&rig);
}

UNIT_TEST(test_rules_lookups_and_uncounted_questions_are_distinct)
{
    struct rig rig;
    rig_init(&rig);
    struct query_control rule = {.usage = rig.usage, .usage_kind = USAGE_RULE},
                         lookup = {.usage = rig.usage, .usage_kind = USAGE_LOOKUP},
                         uncounted = {.usage = NULL};
    note_name(&rule, "a", "up");
    note_name(&lookup, "a", "up");
    note_name(&uncounted, "a", "up");
    note_name(NULL, "a", "up");
    note_series(NULL, "a", "up", NULL);
    check_usage(&rig, "a", "up 0+1+1");
    rig_fini(&rig);
}

UNIT_TEST(test_a_tenant_sees_its_own_metrics_only)
{
    struct rig rig;
    rig_init(&rig);
    note_once(&rig, "a", "up");
    note_once(&rig, "b", "load");
    note_once(&rig, "b", "load");
    note_once(&rig, "bl", "oad");
    check_usage(&rig, "a", "up 1+0+0");
    check_usage(&rig, "b", "load 2+0+0");
    check_usage(&rig, "bl", "oad 1+0+0");
    check_usage(&rig, "c", "");
    rig_fini(&rig);
}

UNIT_TEST(test_a_list_of_tenants_counts_for_each_of_them)
{
    struct rig rig;
    rig_init(&rig);
    struct query_control control = {.usage = rig.usage};
    note_name(&control, "a|b|a", "up");
    note_series(&control, "a|b", "load", "b");
    note_series(&control, "a|a", "cpu", NULL);
    check_usage(&rig, "a", "cpu 1+0+0, up 1+0+0");
    check_usage(&rig, "b", "load 1+0+0, up 1+0+0");
    check_usage(&rig, "a|b", "");
    rig_fini(&rig);
}

/* --- a full table ----------------------------------------------------------------------------- */

UNIT_TEST(test_without_memory_the_metric_unused_for_longest_is_forgotten)
{
    enum { NAMES = 400, NAME_BYTES = 160000 };
    struct rig rig;
    struct usage_list list;
    struct arena arena;
    rig_init(&rig);
    char *name = calloc(1, NAME_BYTES + 1);
    assert_non_null(name);
    memset(name, 'x', NAME_BYTES);
    note_once(&rig, "a", "old");
    for (int i = 0; i < NAMES; i++) {
        sim_env_advance_ns(rig.sim, NS_PER_S);
        note_once(&rig, "a", "used");
        name[0] = (char)('0' + i / 100);
        name[1] = (char)('0' + i / 10 % 10);
        name[2] = (char)('0' + i % 10);
        note_once(&rig, "a", name);
    }
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(usage_list(rig.usage, bytes_of_text("a"), &arena, &list), OK);
    assert_true(bytes_equal_text(list.metrics[0].metric, "used"));
    assert_int_equal(list.metrics[0].counts[USAGE_QUERY], NAMES);
    assert_true(list.count > 100 && list.count < 220); /* 32 MiB of names, or half of it */
    /* All that were used since then are there. */
    assert_int_equal(list.since_ms, list.begun_ms + (NAMES - (list.count - 1)) * 1000);
    for (uint32_t i = 0; i < list.count; i++)
        assert_true(list.metrics[i].last_ms > list.since_ms);
    arena_fini(&arena);
    free(name);
    rig_fini(&rig);
}

/* Each allocation fails in turn: a metric is listed, or the list says that it need not be complete.
 */
UNIT_TEST(test_an_allocation_that_fails_loses_no_metric_unsaid)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct rig rig;
        struct usage_list list;
        struct arena arena;
        int64_t used_ms[40];
        rig_init(&rig);
        struct buf labels;
        buf_init(&labels, NULL, 100);
        labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text("A")});
        mem_fail_nth(nth, false);
        for (int i = 0; i < 40; i++) {
            struct query_control control = {.usage = rig.usage};
            labels.at[labels.size - 1] = (uint8_t)('A' + i);
            sim_env_advance_ns(rig.sim, NS_PER_S);
            usage_note_series(&control, bytes_of_text("a"), buf_bytes(&labels));
            used_ms[i] = env_realtime_ms(sim_env_env(rig.sim));
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_init(&arena, NULL, 0, 0);
        assert_int_equal(usage_list(rig.usage, bytes_of_text("a"), &arena, &list), OK);
        bool listed[40] = {false};
        for (uint32_t i = 0; i < list.count; i++)
            listed[list.metrics[i].metric.at[0] - 'A'] = true;
        for (int i = 0; i < 40; i++)
            assert_true(listed[i] || used_ms[i] <= list.since_ms);
        if (!fired) assert_int_equal(list.count, 40);
        buf_fini(&labels);
        arena_fini(&arena);
        rig_fini(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_control_counts_each_metric_once),
        cmocka_unit_test(test_a_selector_without_a_name_counts_the_series_that_it_reads),
        cmocka_unit_test(test_rules_lookups_and_uncounted_questions_are_distinct),
        cmocka_unit_test(test_a_tenant_sees_its_own_metrics_only),
        cmocka_unit_test(test_a_list_of_tenants_counts_for_each_of_them),
        cmocka_unit_test(test_an_allocation_that_fails_loses_no_metric_unsaid),
        cmocka_unit_test(test_without_memory_the_metric_unused_for_longest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
