/* plan.c - `firekeep ... plan FILE`: what rules of a configuration would change in a server or in a
 * storage directory. */
#include "cli/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/client_call.h"
#include "cli/lib/target/target.h"
#include "config/config.h"
#include "model/select.h"
#include "sys/env.h"

#define ANSWER_BYTES_MAX ((uint64_t)8 << 20)
#define MEMORY_BYTES_MAX ((uint64_t)256 << 20)

enum { VALUES_MAX = 65536, DAY_MS = 86400 * 1000 };

const struct flag rule_plan_flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct rule_plan, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct rule_plan, http_config_file),
    {"storage.path", 0, FLAG_TEXT, offsetof(struct rule_plan, storage), "DIRECTORY",
     "instead of a server: storage directory of a stopped server"},
    {"format", 0, FLAG_CHOICE, offsetof(struct rule_plan, form), "FORM",
     "text or json (default text)", report_forms},
    {0},
};

/* --- the report ------------------------------------------------------------------------------- */

static enum err
begin_report(struct rule_plan *a, struct report **ret_report)
{
    enum report_form form = a->form < 0 ? REPORT_TEXT : (enum report_form)a->form;
    enum err e = report_new(form, stdout, &a->memory, ret_report);
    if (e == OK) report_table(*ret_report, "rules", NULL, a->kind->columns);
    return e;
}

static enum err
end_report(struct report *r, struct why *why)
{
    report_table_end(r, 0);
    enum err e = report_end(r);
    report_free(r);
    return e ? why_set(why, e, "not enough memory for the report") : OK;
}

void
rule_plan_tenants(const struct series_rule *rule, char text[PLAN_TENANTS_BYTES])
{
    size_t size = 0;
    snprintf(text, PLAN_TENANTS_BYTES, "all");
    for (uint32_t i = 0; i < rule->tenant_count && size < PLAN_TENANTS_BYTES; i++) {
        size += (size_t)snprintf(text + size, PLAN_TENANTS_BYTES - size, "%s%s", i == 0 ? "" : ",",
                                 rule->tenants[i]);
    }
}

/* Notes a time that ages count back from and that is long before the clock, so that rules concern
 * less than they will. */
static void
note_now(const struct rule_plan *a)
{
    char text[TIME_TEXT_BYTES];
    if (a->now_ms == INT64_MIN || a->now_ms > env_realtime_ms(env_real()) - DAY_MS) return;
    fprintf(stderr, "note: ages count back from %s, as those of retention.time do\n",
            time_print(a->now_ms, text));
}

/* --- a directory ------------------------------------------------------------------------------ */

static enum err
look_at_directory(struct rule_plan *a, struct why *why)
{
    struct target *target = NULL;
    struct target_options options = {.storage = a->storage, .partial = true};
    struct query_control control = {.env = env_real()};
    struct report *report;
    enum err e = a->kind->read(a, why);
    if (e == OK) e = target_open(&options, &target, why);
    if (e == OK) e = a->kind->survey(a, target_store(target), &control, why);
    if (e == OK) {
        struct tsdb_stats stats;
        tsdb_stats(target_store(target), &stats);
        a->now_ms = stats.retention_now_ms;
        e = begin_report(a, &report);
        if (e) why_set(why, e, "not enough memory for the report");
    }
    if (e == OK) {
        a->kind->report(a, report);
        e = end_report(report, why);
    }
    target_free(target);
    a->kind->fini(a);
    return e;
}

/* --- a server --------------------------------------------------------------------------------- */

uint64_t
rule_plan_number(const json_t *rule, const char *key)
{
    const json_t *value = json_object_get(rule, key);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
}

void
rule_plan_rule(const json_t *x, struct series_rule *ret_rule, const char *tenants[PLAN_TENANTS_MAX])
{
    const json_t *list = json_object_get(x, "tenants");
    const char *match = json_string_value(json_object_get(x, "match"));
    *ret_rule = (struct series_rule){.match = match == NULL ? "" : match, .tenants = tenants};
    for (size_t i = 0; i < json_array_size(list) && i < PLAN_TENANTS_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        tenants[ret_rule->tenant_count++] = name == NULL ? "" : name;
    }
}

/* Prints the answer of the API. ERR_UNSUPPORTED: the text is not such an answer. */
static enum err
print(struct rule_plan *a, struct bytes text, struct why *why)
{
    struct json_tree json;
    struct report *report;
    struct why reason = {""};
    enum err e = json_tree_read(&a->memory, text, VALUES_MAX, &json, &reason);
    if (e) return why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    const json_t *rules = json_object_get(json_object_get(json.root, "data"), "rules");
    if (!json_is_array(rules)) {
        json_tree_fini(&json);
        return why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    }
    e = begin_report(a, &report);
    if (e) {
        why_set(why, e, "not enough memory for the report");
    } else {
        for (size_t i = 0; i < json_array_size(rules); i++) {
            a->kind->report_answer(report, json_array_get(rules, i));
        }
        e = end_report(report, why);
    }
    struct bytes now = json_tree_text(json_object_get(json_object_get(json.root, "data"), "now"));
    if (now.at == NULL || !time_parse_rfc3339(now, &a->now_ms)) a->now_ms = INT64_MIN;
    json_tree_fini(&json);
    return e;
}

static enum err
ask_server(struct rule_plan *a, struct why *why)
{
    char path[128];
    struct buf text;
    struct client_call call = {
        .url = a->url,
        .config_file = a->http_config_file,
        .path = path,
        .header = "Content-Type: application/yaml",
        .body = buf_bytes(&a->text),
    };
    snprintf(path, sizeof path, "/api/v1/admin/tsdb/%s", a->kind->route);
    buf_init(&text, &a->memory, ANSWER_BYTES_MAX);
    enum err e = client_call(&call, &text, why);
    if (e == OK) e = print(a, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

int
rule_plan_run(const struct rule_plan_kind *kind, int argc, char **argv)
{
    struct rule_plan a = {.form = -1, .kind = kind, .now_ms = INT64_MIN};
    struct why why = {""};
    int count = 0;
    budget_init(&a.memory, kind->command, MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(rule_plan_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK && (count != 2 || strcmp(argv[1], "plan") != 0))
        e = why_set(&why, ERR_INPUT, "expected 'plan' and one FILE");
    if (e == OK && a.storage != NULL && a.url != NULL)
        e = why_set(&why, ERR_INPUT, "--url and --storage.path exclude each other");
    if (e == OK && a.storage == NULL) e = target_settle_url(&a.url, &why);
    if (e) return cli_usage_error(kind->command, "%s", why.text);
    a.file = argv[2];
    e = config_read(a.file, CONFIG_BYTES_MAX, &a.text, &why);
    if (e == OK) e = a.storage != NULL ? look_at_directory(&a, &why) : ask_server(&a, &why);
    if (e == OK) note_now(&a);
    buf_fini(&a.text);
    return e ? cli_failed(kind->command, e, &why) : EXIT_DONE;
}
