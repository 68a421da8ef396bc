/* series_rules_test.c - rules of retention and levels in the status and in plans. */
#include "lib/api/api_asked.h"
#include "lib/api/api_rig.h"
#include "lib/test.h"
#include "model/series_rules.h"

#define YAML "Content-Type: application/yaml"

static const char *const tenants[] = {"anonymous", "b"};
static const struct series_rule up_2d[] = {{"{__name__=\"up\"}", tenants, 2, 2 * DAY_MS}};

/* Takes the text for the selector of a rule of retention and of a level. */
static enum err
rules_of_text(void *context, struct bytes text, struct tsdb_limits *ret_limits, struct why *why)
{
    char match[100];
    (void)context;
    snprintf(match, sizeof match, "%.*s", (int)text.size, (const char *)text.at);
    const struct series_rule rule = {match, NULL, 0, DAY_MS};
    struct tsdb_level *level = &ret_limits->levels[0];
    level->resolution_ms = 6 * 60 * MINUTE_MS;
    enum err e = series_rules_new(&rule, 1, NULL, &level->rules, why);
    if (e) return e;
    ret_limits->level_count = 1;
    ret_limits->retention_rules = series_rules_ref(level->rules);
    return OK;
}

static void
ask(struct api_rig *rig, const char *path, const char *body, unsigned status, const char *fragment)
{
    api_ask(rig, &(struct asked){"retention", body == NULL ? HTTP_GET : HTTP_POST, path,
                                 body == NULL ? NULL : YAML, body, 0, status, JSON_TYPE, fragment});
}

/* A sample for each of four days. */
static struct api_rig *
begin(void)
{
    struct api_rig *rig = api_rig_new();
    rig->options.plan_rules = rules_of_text;
    api_rig_start(rig);
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=up");
    for (int64_t i = 3; i >= 0; i--)
        rq_float(&rq, SIM_BEGIN - i * DAY_MS, 0, 0);
    must(machine_send(&rig->m, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&rig->m);
    machine_flush(&rig->m);
    return rig;
}

UNIT_TEST(test_a_plan_has_what_each_rule_would_remove_or_replace)
{
    struct api_rig *rig = begin();
    ask(rig, "/api/v1/admin/tsdb/plan", "{__name__=\"up\"}", 200,
        "{\"rules\":[{\"match\":\"{__name__=\\\"up\\\"}\",\"tenants\":[],\"timeSeconds\":86400,"
        "\"series\":1,\"samples\":2,\"bytes\":");
    ask(rig, "/api/v1/admin/tsdb/plan", "{__name__=\"up\"}", 200,
        ",{\"match\":\"{__name__=\\\"up\\\"}\",\"tenants\":[],\"afterSeconds\":86400,"
        "\"resolutionSeconds\":21600,\"series\":1,\"samples\":3,\"bytes\":");
    ask(rig, "/api/v1/admin/tsdb/plan", "{__name__=\"up\"}", 200,
        "}],\"now\":\"2026-01-01T00:00:00Z\"}");
    ask(rig, "/api/v1/admin/tsdb/plan", "down", 200, "\"series\":0,\"samples\":0");
    ask(rig, "/api/v1/admin/tsdb/plan", "{", 400, "\"errorType\":\"bad_data\"");
    api_rig_free(rig);
}

UNIT_TEST(test_the_status_has_what_rules_removed_and_have_to_remove)
{
    struct api_rig *rig = begin();
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    struct tsdb_limits limits = rig->m.limits;
    struct why why;
    bool changed;
    must(series_rules_new(up_2d, 1, NULL, &limits.retention_rules, &why));
    tsdb_set_limits(rig->m.db, &limits);
    must(tsdb_rules_look(rig->m.db, NULL, &changed, &why));
    assert_true(changed);
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"tenants\":[\"anonymous\",\"b\"],\"timeSeconds\":172800,\"removed\":{\"samples\":0,"
        "\"exemplars\":0,\"series\":0,\"bytes\":0},\"expired\":{\"series\":1,\"samples\":1,"
        "\"bytes\":");
    ask(rig, "/api/v1/status/storage", NULL, 200, "}}],\"surveyed\":\"2026-01-01T00:00:0");
    ask(rig, "/api/v1/status/storage", NULL, 200, "\"graceLeftSeconds\":0},");
    must(tsdb_merge(rig->m.db, &options, &result, &why));
    ask(rig, "/api/v1/status/storage", NULL, 200, "\"removed\":{\"samples\":1,");
    series_rules_unref(limits.retention_rules);
    limits.retention_rules = NULL;
    tsdb_set_limits(rig->m.db, &limits);
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"rules\":[{\"match\":\"\",\"tenants\":[],\"timeSeconds\":0,\"removed\":{\"samples\":1,");
    api_rig_free(rig);
}

/* A sample for each minute of two days, of which one is downsampled. */
UNIT_TEST(test_the_status_has_what_levels_replaced_and_have_to_replace)
{
    struct api_rig *rig = begin();
    struct tsdb_merge_options options = {.mode = TSDB_MERGE_FULL};
    struct tsdb_merge_result result;
    struct tsdb_limits limits = rig->m.limits;
    struct why why;
    bool changed;
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=g");
    for (int64_t i = 2879; i >= 0; i--)
        rq_float(&rq, SIM_BEGIN - i * MINUTE_MS, double_bits((double)(i % 7)), 0);
    must(machine_send(&rig->m, "anonymous", &rq));
    rq_fini(&rq);
    machine_commit(&rig->m);
    machine_flush(&rig->m);
    must(rules_of_text(NULL, bytes_of_text("{__name__=\"g\"}"), &limits, &why));
    series_rules_unref(limits.retention_rules);
    limits.retention_rules = NULL;
    tsdb_set_limits(rig->m.db, &limits);
    must(tsdb_rules_look(rig->m.db, NULL, &changed, &why));
    assert_true(changed);
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"afterSeconds\":86400,\"resolutionSeconds\":21600,\"replaced\":{\"samples\":0,"
        "\"windows\":0,\"savedBytes\":0},\"due\":{\"series\":1,\"samples\":1440,");
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"excludedParts\":0}],\"surveyed\":\"2026-01-01T00:00:0");
    must(tsdb_merge(rig->m.db, &options, &result, &why));
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"replaced\":{\"samples\":1440,\"windows\":4,\"savedBytes\":");
    ask(rig, "/api/v1/status/storage", NULL, 200, /* of a partition */
        "\"resolutions\":[{\"resolutionSeconds\":21600,\"rows\":4,\"bytes\":");
    ask(rig, "/api/v1/status/storage", NULL, 200, /* of all */
        "\"from\":\"2025-12-30T00:00:00Z\",\"to\":\"2025-12-31T00:00:00Z\"}]}");
    series_rules_unref(limits.levels[0].rules);
    limits.level_count = 0;
    tsdb_set_limits(rig->m.db, &limits);
    ask(rig, "/api/v1/status/storage", NULL, 200,
        "\"afterSeconds\":0,\"resolutionSeconds\":0,\"replaced\":{\"samples\":1440,");
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_has_what_each_rule_would_remove_or_replace),
        cmocka_unit_test(test_the_status_has_what_rules_removed_and_have_to_remove),
        cmocka_unit_test(test_the_status_has_what_levels_replaced_and_have_to_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
