/*
 * series_trace_test.c - the limit that catches a series, the rules of a text, and the labels that
 * each destination gets.
 *
 * It defines relays_borrow() and relays_return(), so that destinations have no threads.
 */
#include "app/server_private.h"

#include "base/text/json.h"
#include "config/lists/lists.h"
#include "lib/config/settings_rig.h"
#include "lib/label_text.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/labels.h"
#include "relay/feed/selection.h"

static struct destinations configured;
static struct settings settings;
static struct machine m;
static struct why why;
static char answer[1 << 16];
static const char *tenant;

struct destinations *
relays_borrow(struct relays *relays)
{
    (void)relays;
    return &configured;
}

void
relays_return(struct destinations *borrowed)
{
    assert_ptr_equal(borrowed, &configured);
}

static int
begin(void **state)
{
    (void)state;
    settings = settings_defaults();
    tenant = "anonymous";
    machine_init(&m, 1);
    machine_must_open(&m);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    destinations_free(&configured);
    machine_fini(&m);
    return 0;
}

static enum err
trace(const char *series, const char *rules)
{
    const struct series_trace_options options = {.tsdb = m.db, .settings = &settings};
    const struct series_question question = {.tenant = bytes_of_text(tenant),
                                             .series = bytes_of_text(series),
                                             .rules = bytes_of_text(rules),
                                             .memory = &m.memory};
    struct buf text;
    struct json json;
    buf_init(&text, NULL, sizeof answer);
    json_init(&json, &text);
    why.text[0] = '\0';
    enum err e = series_trace(&options, &question, &json, &why);
    if (e == OK) snprintf(answer, sizeof answer, "%.*s", (int)text.size, (const char *)text.at);
    buf_fini(&text);
    return e;
}

static void
expect_parts(const char *series, const char *rules, const char *const parts[])
{
    must(trace(series, rules));
    for (; *parts != NULL; parts++)
        if (strstr(answer, *parts) == NULL) fail_msg("%s is not in %s", *parts, answer);
}
#define expect(series, rules, ...) \
    expect_parts(series, rules, (const char *const[]){__VA_ARGS__, NULL})

UNIT_TEST(test_the_limit_that_catches_a_series_is_named)
{
    settings.write_max_labels = 3;
    settings.write_max_name_bytes = 10;
    settings.write_max_value_bytes = 5;
    expect(
        "up{job=\"a\"}", "",
        "{\"write\":{\"checks\":[{\"setting\":\"write.max_labels\",\"limit\":3,\"value\":2,"
        "\"ok\":true},{\"setting\":\"write.max_name_bytes\",\"limit\":10,\"value\":8,\"ok\":true},"
        "{\"setting\":\"write.max_value_bytes\",\"limit\":5,\"value\":2,\"ok\":true}",
        "\"reason\":\"\"},\"series\":\"up{job=\\\"a\\\"}\",\"destinations\":[]}");
    expect("up{a=\"1\",b=\"2\",c=\"3\"}", "",
           "\"write.max_labels\",\"limit\":3,\"value\":4,\"ok\":false}", "\"series\":null}");
    expect("up{job=\"longer\"}", "",
           "\"write.max_value_bytes\",\"limit\":5,\"value\":6,\"ok\":false}", "\"series\":null}");
    expect("{a_long_name=\"1\"}", "",
           "\"write.max_name_bytes\",\"limit\":10,\"value\":11,\"ok\":false}", "\"series\":null}");
    assert_null(strstr(answer, "\"reason\":\"\""));
    assert_null(strstr(answer, "\"destinations\""));
}

UNIT_TEST(test_limits_of_series_have_the_present_numbers)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=up,job=a");
    rq_float(&rq, SIM_BEGIN, 1, 0);
    rq_series(&rq, "__name__=up,job=b");
    rq_float(&rq, SIM_BEGIN, 1, 0);
    rq_series(&rq, "__name__=down,job=b");
    rq_float(&rq, SIM_BEGIN, 1, 0);
    rq_series(&rq, "job=without_name");
    rq_float(&rq, SIM_BEGIN, 1, 0);
    must(machine_send(&m, "anonymous", &rq));
    machine_commit(&m);
    settings.write_max_series = 5;
    settings.write_max_series_per_metric = 2;
    expect("up{job=\"c\"}", "", "\"write.max_series\",\"limit\":5,\"value\":4,\"ok\":true}",
           "\"write.max_series_per_metric\",\"limit\":2,\"value\":2,\"ok\":false}");
    expect("down{job=\"c\"}", "",
           "\"write.max_series_per_metric\",\"limit\":2,\"value\":1,\"ok\":true}");
}

UNIT_TEST(test_rules_of_a_text_are_applied_step_by_step)
{
    expect(
        "up{job=\"a\",pod=\"x\"}",
        "write_relabel_configs:\n"
        "- {action: labeldrop, regex: pod}\n"
        "- {source_labels: [job], regex: a, action: drop}\n",
        "\"rules\":{\"steps\":[{\"step\":\"relabel\",\"number\":1,\"rule\":\"labeldrop regex=pod\","
        "\"series\":\"up{job=\\\"a\\\"}\"},",
        "\"number\":2,\"rule\":\"drop source_labels=job", "\"series\":null}],\"series\":null}");
    must(trace("up", ""));
    assert_null(strstr(answer, "\"rules\""));
    assert_int_equal(trace("up", "relabel:\n- {action: labeldorp}\n"), ERR_INPUT);
    assert_non_null(strstr(why.text, "labeldorp"));
}

UNIT_TEST(test_each_destination_shows_its_steps_and_labels)
{
    static const char yaml[] =
        "destinations:\n"
        "- {name: all, type: file, path: /x, external_labels: {site: one},\n"
        "   relabel: [{action: labeldrop, regex: pod}]}\n"
        "- {name: some, type: file, path: /y, select: ['down', '{job=\"b\"}']}\n";
    must(destinations_yaml("file", bytes_of_text(yaml), &settings, &configured, &why));
    expect("up{job=\"a\",pod=\"x\"}", "", "{\"name\":\"all\",\"type\":\"file\",\"steps\":[",
           "{\"step\":\"external_labels\",\"number\":0,", "{\"step\":\"relabel\",\"number\":1,",
           "],\"series\":\"up{job=\\\"a\\\", site=\\\"one\\\"}\"}",
           "{\"name\":\"some\",\"type\":\"file\",\"steps\":[{\"step\":\"select\",\"number\":0,"
           "\"series\":null}],\"series\":null}]}");
    expect("up{job=\"b\"}", "",
           "{\"step\":\"select\",\"number\":2,\"rule\":\"{job=\\\"b\\\"}\","
           "\"series\":\"up{job=\\\"b\\\"}\"}");
}

/* Expects these steps, as "select 2; relabel 1; ", and after them what the relay makes of the
 * series. */
static void
expect_steps(const char *of_tenant, const char *series, const char *labels, const char *expected)
{
    struct arena arena;
    struct selection *selection;
    struct bytes selected;
    struct buf steps, text, end;
    struct json json;
    char key[32];
    unsigned number;
    tenant = of_tenant;
    must(trace(series, ""));
    arena_init(&arena, NULL, 0, 0);
    buf_init(&steps, NULL, 1 << 16);
    buf_init(&text, NULL, 1 << 16);
    buf_init(&end, NULL, 1 << 16);
    for (const char *at = answer; (at = strstr(at, "{\"step\":")) != NULL; at++) {
        assert_int_equal(sscanf(at, "{\"step\":\"%31[a-z_]\",\"number\":%u", key, &number), 2);
        buf_printf(&steps, "%s %u; ", key, number);
    }
    buf_put_u8(&steps, '\0');
    assert_string_equal((const char *)steps.at, expected);
    must(selection_new(&configured.items[0], &selection, &why));
    must(selection_apply(selection, bytes_of_text(tenant), labels_of_text(labels, &arena), &arena,
                         &selected));
    json_init(&json, &end);
    buf_put_text(&end, "],\"series\":");
    if (selected.size > 0) labels_print_selector(&text, selected);
    if (selected.size > 0)
        json_put_bytes(&json, buf_bytes(&text));
    else
        buf_put_text(&end, "null");
    buf_put_u8(&end, '\0');
    if (strstr(answer, (const char *)end.at) == NULL)
        fail_msg("%s is not in %s", (const char *)end.at, answer);
    selection_free(selection);
    buf_fini(&steps);
    buf_fini(&text);
    buf_fini(&end);
    arena_fini(&arena);
}

UNIT_TEST(test_a_trace_has_each_step_and_ends_like_the_selection)
{
    static const char yaml[] =
        "destinations:\n"
        "- {name: x, type: file, path: /x, tenants: [a, b], select: [up, '{job=\"x\"}'],\n"
        "   external_labels: {site: one}, tenant_label: tenant,\n"
        "   relabel: [{source_labels: [job], target_label: was},\n"
        "             {source_labels: [job], regex: bad, action: drop},\n"
        "             {regex: job, action: labeldrop}]}\n";
    settings.tenancy_enabled = true;
    if (destinations_yaml("file", bytes_of_text(yaml), &settings, &configured, &why))
        fail_msg("%s", why.text);
    expect_steps("c", "up{job=\"x\"}", "__name__=up job=x", "tenants 0; ");
    expect_steps("a", "down{job=\"y\"}", "__name__=down job=y", "tenants 0; select 0; ");
    expect_steps("a", "up{job=\"bad\"}", "__name__=up job=bad",
                 "tenants 0; select 1; external_labels 0; relabel 1; relabel 2; ");
    expect_steps("b", "down{job=\"x\"}", "__name__=down job=x",
                 "tenants 0; select 2; external_labels 0; relabel 1; relabel 2; relabel 3; "
                 "tenant_label 0; ");
}

UNIT_TEST(test_a_pattern_is_not_a_series)
{
    static const char *const texts[] = {"up{job=~\"a.*\"}", "up{job!=\"a\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(trace(texts[i], ""), ERR_INPUT);
        assert_non_null(strstr(why.text, "whose labels have values, not patterns"));
    }
    assert_int_equal(trace("up{", ""), ERR_INPUT);
    assert_int_equal(strncmp(why.text, "series: ", 8), 0);
}

#define test_of(function) cmocka_unit_test_setup_teardown(function, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_of(test_the_limit_that_catches_a_series_is_named),
        test_of(test_limits_of_series_have_the_present_numbers),
        test_of(test_rules_of_a_text_are_applied_step_by_step),
        test_of(test_each_destination_shows_its_steps_and_labels),
        test_of(test_a_trace_has_each_step_and_ends_like_the_selection),
        test_of(test_a_pattern_is_not_a_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
