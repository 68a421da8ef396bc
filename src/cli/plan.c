/* plan.c - `firekeep plan FILE`: what the rules of retention and downsampling of a configuration
 * would change in a server or in a storage directory. */
#include <stdio.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "config/config_check.h"
#include "model/select.h"
#include "model/series_rules.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"
#include "wire/json/json_tree.h"

#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)

enum { TENANTS_BYTES = 1024, TENANTS_MAX = 1000, DAY_MS = 86400 * 1000 };

struct plan {
    /* Command line. */
    const char *url, *http_config_file, *storage;
    int form; /* -1: not given */

    struct budget memory;
    struct buf text; /* the content of the file */
    struct report *report;
    int64_t now_ms; /* that ages count back from; INT64_MIN: not known */
};

static const struct flag plan_flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct plan, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct plan, http_config_file),
    {"storage.path", 0, FLAG_TEXT, offsetof(struct plan, storage), "DIRECTORY",
     "instead of a server: storage directory of a stopped server"},
    REPORT_FLAG(struct plan),
    {0},
};

static const char plan_notes[] =
    "\nShows for each rule of retention.rules in FILE, a configuration of Firekeep, for\n"
    "retention.time, and for each rule of downsampling the series, samples and compressed bytes\n"
    "that are old enough for it and stored. Retention removes them; windows replace those of\n"
    "downsampling, unless that saves less than half of the bytes. Nothing changes. Numbers of\n"
    "samples and bytes are estimated where a block also has younger samples. A server needs\n"
    "--web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or FILE is invalid; 2 wrong usage.\n";

static void
report_rule(struct report *r, const struct series_rule *rule, int64_t resolution_ms,
            const struct series_cost *found)
{
    char tenants[TENANTS_BYTES] = "all", age[TIME_TEXT_BYTES], resolution[TIME_TEXT_BYTES];
    size_t size = 0;
    for (uint32_t i = 0; i < rule->tenant_count && size < sizeof tenants; i++) {
        size += (size_t)snprintf(tenants + size, sizeof tenants - size, "%s%s", i == 0 ? "" : ",",
                                 rule->tenants[i]);
    }
    time_print_duration(rule->age_ms, age);
    time_print_duration(resolution_ms, resolution);
    report_row(r, value_text(resolution_ms > 0 ? "downsampling" : "retention"),
               value_text(rule->match), value_text(tenants), value_text(age),
               resolution_ms > 0 ? value_text(resolution) : value_none(),
               value_count(found->series), value_count(found->samples), value_size(found->bytes));
}

static enum err
survey_directory(struct plan *a, const char *file, struct why *why)
{
    struct target *target = NULL;
    struct target_options options = {.storage = a->storage, .partial = true};
    struct query_control control = {.env = env_real()};
    struct tsdb_limits limits = {.level_count = 0};
    struct tsdb_stats stats;
    struct series_cost *list = NULL;
    uint32_t count = 0;
    enum err e = config_plan_rules(file, buf_bytes(&a->text), 0, NULL, &limits, why);
    if (e == OK) e = target_open(&options, &target, why);
    if (e == OK) {
        count = tsdb_limits_rule_count(&limits);
        list = mem_new(&a->memory, (count + 1u) * sizeof *list);
        if (list == NULL) e = why_set(why, ERR_NOMEM, "not enough memory for a plan");
    }
    if (e == OK) e = tsdb_rules_survey(target->store, &limits, &control, list, why);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        int64_t resolution_ms;
        const struct series_rule *rule = tsdb_limits_rule(&limits, i, &resolution_ms);
        report_rule(a->report, rule, resolution_ms, &list[i]);
    }
    if (e == OK) {
        tsdb_stats(target->store, &stats);
        a->now_ms = stats.retention_now_ms;
    }
    mem_free(&a->memory, list, (count + 1u) * sizeof *list);
    target_free(target);
    tsdb_limits_drop_rules(&limits);
    return e;
}

/* --- a server --------------------------------------------------------------------------------- */

/* Returns 0 for what is no number above it. */
static uint64_t
number_of(const json_t *rule, const char *key)
{
    const json_t *value = json_object_get(rule, key);
    return json_is_integer(value) && json_integer_value(value) > 0
               ? (uint64_t)json_integer_value(value)
               : 0;
}

static int64_t
milliseconds_of(const json_t *rule, const char *key)
{
    uint64_t s = number_of(rule, key);
    return s < INT64_MAX / 1000 ? (int64_t)s * 1000 : INT64_MAX;
}

static void
report_answer(struct report *r, const json_t *x)
{
    const char *tenants[TENANTS_MAX];
    const json_t *list = json_object_get(x, "tenants");
    const char *match = json_string_value(json_object_get(x, "match"));
    int64_t resolution_ms = milliseconds_of(x, "resolutionSeconds");
    int64_t age_ms = milliseconds_of(x, resolution_ms > 0 ? "afterSeconds" : "timeSeconds");
    struct series_cost found = {.series = number_of(x, "series"),
                                .samples = number_of(x, "samples"),
                                .bytes = number_of(x, "bytes")};
    struct series_rule rule = {match == NULL ? "" : match, tenants, 0, age_ms};
    for (size_t i = 0; i < json_array_size(list) && i < TENANTS_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        tenants[rule.tenant_count++] = name == NULL ? "" : name;
    }
    report_rule(r, &rule, resolution_ms, &found);
}

static enum err
plan_ask_server(struct plan *a, struct why *why)
{
    struct json_tree json;
    const json_t *data;
    struct client_call call = {
        .url = a->url,
        .config_file = a->http_config_file,
        .path = "/api/v1/admin/tsdb/plan",
        .header = "Content-Type: application/yaml",
        .body = buf_bytes(&a->text),
    };
    enum err e = client_call_json(&call, &a->memory, &json, &data, why);
    if (e) return e;
    const json_t *rules = json_object_get(data, "rules");
    struct bytes now = json_tree_text(json_object_get(data, "now"));
    if (!json_is_array(rules))
        e = why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    if (now.at == NULL || !time_parse_rfc3339(now, &a->now_ms)) a->now_ms = INT64_MIN;
    for (size_t i = 0; i < json_array_size(rules); i++)
        report_answer(a->report, json_array_get(rules, i));
    json_tree_fini(&json);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

static enum err
report_plan(struct plan *a, const char *file, struct why *why)
{
    enum err e = report_new(a->form, stdout, &a->memory, &a->report, why);
    if (e) return e;
    report_table(a->report, "rules", NULL,
                 "rule|match|tenants|age|resolution|series|samples|bytes");
    e = a->storage != NULL ? survey_directory(a, file, why) : plan_ask_server(a, why);
    if (e == OK) {
        report_table_end(a->report, 0);
        e = report_end(a->report, why);
    }
    report_free(a->report);
    return e;
}

static int
run_plan(int argc, char **argv)
{
    struct plan a = {.form = -1, .now_ms = INT64_MIN};
    struct why why = {""};
    int count = 0;
    budget_init(&a.memory, "plan", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(plan_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) e = why_set(&why, ERR_INPUT, "expected one FILE");
    if (e == OK && a.storage != NULL && a.url != NULL)
        e = why_set(&why, ERR_INPUT, "--url and --storage.path exclude each other");
    if (e == OK && a.storage == NULL) e = target_settle_url(&a.url, &why);
    if (e) return cli_usage_error("plan", "%s", why.text);
    e = config_read(argv[1], CONFIG_BYTES_MAX, &a.text, &why);
    if (e == OK) e = report_plan(&a, argv[1], &why);
    /* Rules concern less than they will if ages count back from a time long before the clock. */
    if (e == OK && a.now_ms != INT64_MIN && a.now_ms <= env_realtime_ms(env_real()) - DAY_MS) {
        char now[TIME_TEXT_BYTES];
        fprintf(stderr, "note: ages count back from %s, as those of retention.time do\n",
                time_print(a.now_ms, now));
    }
    buf_fini(&a.text);
    return e ? cli_failed("plan", e, &why) : EXIT_DONE;
}

const struct command command_plan = {
    "plan",   "[flags] FILE", "show what rules of retention and downsampling would change",
    run_plan, plan_flags,     plan_notes};
