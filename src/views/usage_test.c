/* usage_test.c - metrics are counted for each view that asks for them, by tenant, within a limit of
 * memory. */
#include "views/usage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "lib/test.h"
#include "sys/sim.h"
#include "views/memory_store.h"

/* --- a store below the counting answerer ------------------------------------------------------ */

struct rig {
    struct answerer below; /* first: opens views of the store */
    struct memory_store *store;
    struct sim_env *sim;
    struct usage *usage;
    struct answerer *counting;
    struct query_control control;
};

static enum err
open_store(struct answerer *answerer, struct query_control *control, struct view **ret_view,
           struct why *why)
{
    return memory_store_open(((struct rig *)answerer)->store, control, ret_view, why);
}

static void
add_series(struct rig *rig, const char *name, const char *job)
{
    const struct memory_sample sample = {.t_ms = 1, .bits = double_bits(1)};
    enum memory_verdict verdict;
    struct buf labels;
    buf_init(&labels, NULL, 1 << 16);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text(job)});
    assert_int_equal(memory_store_add(rig->store, buf_bytes(&labels), &sample, &verdict, NULL), OK);
    buf_fini(&labels);
}

static void
rig_init(struct rig *rig)
{
    static const struct answerer_ops ops = {.open = open_store};
    *rig = (struct rig){.below = {.ops = &ops, .name = "store"}};
    assert_int_equal(memory_store_new(NULL, &rig->store), OK);
    add_series(rig, "load", "node");
    add_series(rig, "up", "node");
    add_series(rig, "up", "web");
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    assert_int_equal(usage_new(sim_env_env(rig->sim), 7, NULL, &rig->usage), OK);
    assert_int_equal(usage_answerer_new(rig->usage, &rig->below, &rig->counting), OK);
    rig->control.asker = ASKER_USER;
}

static void
rig_fini(struct rig *rig)
{
    rig->counting->ops->free(rig->counting);
    usage_free(rig->usage);
    memory_store_free(rig->store);
    sim_env_free(rig->sim);
}

/* --- questions -------------------------------------------------------------------------------- */

static struct view *
open_view(struct rig *rig)
{
    struct view *view;
    struct why why;
    assert_int_equal(view_open(rig->counting, &rig->control, &view, &why), OK);
    return view;
}

/* Selects series by one matcher of the name or, if it begins with "job", of the job. Returns how
 * many there are. */
static unsigned
select_by(struct view *view, const char *tenant, enum matcher_type type, const char *name,
          const char *value)
{
    struct matcher *matcher;
    struct series_set *set;
    struct bytes labels;
    struct why why;
    unsigned count = 0;
    assert_int_equal(
        matcher_new(type, bytes_of_text(name), bytes_of_text(value), NULL, &matcher, &why), OK);
    const struct matcher_set sets = {&matcher, 1};
    const struct query_request request = {.tenant = bytes_of_text(tenant),
                                          .sets = &sets,
                                          .set_count = 1,
                                          .min_ms = INT64_MIN,
                                          .max_ms = INT64_MAX};
    assert_int_equal(view_select(view, &request, &set, &why), OK);
    for (;; count++) {
        assert_int_equal(series_set_next(set, &labels, &why), OK);
        if (labels.at == NULL) break;
    }
    series_set_free(set);
    matcher_free(matcher);
    return count;
}

static void
ask_once(struct rig *rig, const char *tenant, const char *metric)
{
    struct view *view = open_view(rig);
    (void)select_by(view, tenant, MATCH_EQUAL, "__name__", metric);
    view_free(view);
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

UNIT_TEST(test_a_view_counts_each_metric_once)
{
    struct rig rig;
    rig_init(&rig);
    struct view *view = open_view(&rig);
    assert_int_equal(select_by(view, "a", MATCH_EQUAL, "__name__", "up"), 2);
    assert_int_equal(select_by(view, "a", MATCH_EQUAL, "__name__", "up"), 2);
    assert_int_equal(select_by(view, "a", MATCH_REGEX, "__name__", "u.*"), 2);
    view_free(view);
    check_usage(&rig, "a", "up 1+0+0");
    ask_once(&rig, "a", "up");
    check_usage(&rig, "a", "up 2+0+0");
    rig_fini(&rig);
}

UNIT_TEST(test_a_selector_without_a_name_counts_the_series_that_it_reads)
{
    struct rig rig;
    rig_init(&rig);
    struct view *view = open_view(&rig);
    assert_int_equal(select_by(view, "a", MATCH_EQUAL, "job", "node"), 2);
    view_free(view);
    check_usage(&rig, "a", "load 1+0+0, up 1+0+0");
    rig_fini(&rig);
}

UNIT_TEST(test_a_metric_without_series_is_counted_if_its_name_is_asked_for)
{
    struct rig rig;
    rig_init(&rig);
    ask_once(&rig, "a", "absent");
    check_usage(&rig, "a", "absent 1+0+0");
    rig_fini(&rig);
}

UNIT_TEST(test_rules_lookups_and_uncounted_questions_are_distinct)
{
    struct rig rig;
    struct why why;
    rig_init(&rig);
    rig.control.asker = ASKER_RULE;
    ask_once(&rig, "a", "up");
    rig.control.asker = ASKER_UNCOUNTED;
    ask_once(&rig, "a", "up");
    rig.control.asker = ASKER_USER;
    usage_note(rig.usage, bytes_of_text("a"), bytes_of_text("up"), USAGE_LOOKUP);
    struct view *view;
    assert_int_equal(view_open(rig.counting, NULL, &view, &why), OK);
    view_free(view);
    check_usage(&rig, "a", "up 0+1+1");
    rig_fini(&rig);
}

UNIT_TEST(test_a_tenant_sees_its_own_metrics_only)
{
    struct rig rig;
    rig_init(&rig);
    ask_once(&rig, "a", "up");
    ask_once(&rig, "b", "load");
    ask_once(&rig, "b", "load");
    check_usage(&rig, "a", "up 1+0+0");
    check_usage(&rig, "b", "load 2+0+0");
    check_usage(&rig, "c", "");
    rig_fini(&rig);
}

UNIT_TEST(test_sets_count_after_their_view_is_freed)
{
    struct rig rig;
    struct series_set *set;
    struct bytes labels;
    struct why why;
    rig_init(&rig);
    struct view *view = open_view(&rig);
    const struct query_request all = {
        .tenant = bytes_of_text("a"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    assert_int_equal(view_select(view, &all, &set, &why), OK);
    view_free(view);
    assert_int_equal(series_set_next(set, &labels, &why), OK);
    series_set_free(set);
    check_usage(&rig, "a", "load 1+0+0");
    rig_fini(&rig);
}

/* --- a full table ----------------------------------------------------------------------------- */

UNIT_TEST(test_without_memory_the_metric_unused_for_longest_is_forgotten)
{
    enum { NAMES = 400, NAME_BYTES = 20000 };
    struct rig rig;
    struct usage_list list;
    struct arena arena;
    rig_init(&rig);
    char *name = calloc(1, NAME_BYTES + 1);
    assert_non_null(name);
    memset(name, 'x', NAME_BYTES);
    usage_note(rig.usage, bytes_of_text("b"), bytes_of_text("up"), USAGE_QUERY);
    usage_note(rig.usage, bytes_of_text("a"), bytes_of_text("old"), USAGE_QUERY);
    for (int i = 0; i < NAMES; i++) {
        sim_env_advance_ns(rig.sim, NS_PER_S);
        usage_note(rig.usage, bytes_of_text("a"), bytes_of_text("used"), USAGE_QUERY);
        name[0] = (char)('0' + i / 100);
        name[1] = (char)('0' + i / 10 % 10);
        name[2] = (char)('0' + i % 10);
        usage_note(rig.usage, bytes_of_text("a"), bytes_of_text(name), USAGE_QUERY);
    }
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(usage_list(rig.usage, bytes_of_text("a"), &arena, &list), OK);
    assert_true(bytes_equal_text(list.metrics[0].metric, "used"));
    assert_int_equal(list.metrics[0].counts[USAGE_QUERY], NAMES);
    assert_true(list.count > 150 && list.count < 220); /* 4 MiB of names */
    /* All that were used since then are there. */
    assert_int_equal(list.since_ms, list.begun_ms + (NAMES - (list.count - 1)) * 1000);
    for (uint32_t i = 0; i < list.count; i++) {
        assert_true(list.metrics[i].last_ms > list.since_ms);
    }
    /* Another tenant has lost nothing. */
    assert_int_equal(usage_list(rig.usage, bytes_of_text("b"), &arena, &list), OK);
    assert_int_equal(list.since_ms, list.begun_ms);
    assert_int_equal(list.count, 1);
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
        mem_fail_nth(nth, false);
        for (int i = 0; i < 40; i++) {
            char name[] = {(char)('A' + i), 0};
            sim_env_advance_ns(rig.sim, NS_PER_S);
            usage_note(rig.usage, bytes_of_text("a"), bytes_of_text(name), USAGE_QUERY);
            used_ms[i] = env_realtime_ms(sim_env_env(rig.sim));
        }
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        arena_init(&arena, NULL, 0, 0);
        assert_int_equal(usage_list(rig.usage, bytes_of_text("a"), &arena, &list), OK);
        bool listed[40] = {false};
        for (uint32_t i = 0; i < list.count; i++) {
            listed[list.metrics[i].metric.at[0] - 'A'] = true;
        }
        for (int i = 0; i < 40; i++) {
            assert_true(listed[i] || used_ms[i] <= list.since_ms);
        }
        if (!fired) assert_int_equal(list.count, 40);
        arena_fini(&arena);
        rig_fini(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_view_counts_each_metric_once),
        cmocka_unit_test(test_a_selector_without_a_name_counts_the_series_that_it_reads),
        cmocka_unit_test(test_a_metric_without_series_is_counted_if_its_name_is_asked_for),
        cmocka_unit_test(test_rules_lookups_and_uncounted_questions_are_distinct),
        cmocka_unit_test(test_a_tenant_sees_its_own_metrics_only),
        cmocka_unit_test(test_sets_count_after_their_view_is_freed),
        cmocka_unit_test(test_an_allocation_that_fails_loses_no_metric_unsaid),
        cmocka_unit_test(test_without_memory_the_metric_unused_for_longest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
