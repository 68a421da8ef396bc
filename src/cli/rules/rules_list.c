/* rules_list.c - `firekeep rules list`: prints a server's answer at /api/v1/rules as a table. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/rules/rules_private.h"
#include "sys/env.h"

enum { ANSWER_BYTES_MAX = 256 << 20 };

static const char *
json_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static void
put_rule(struct report *report, const json_t *group, const json_t *rule)
{
    bool alerts = strcmp(json_text_of(rule, "type"), "alerting") == 0;
    struct report_value last = value_json(rule, "lastEvaluation", VALUE_TIME);
    double seconds = json_number_value(json_object_get(rule, "evaluationTime"));
    report_row(report, value_json(group, "file", VALUE_TEXT), value_json(group, "name", VALUE_TEXT),
               value_json(rule, "name", VALUE_TEXT), value_json(rule, "type", VALUE_TEXT),
               value_json(rule, "health", VALUE_TEXT),
               alerts ? value_json(rule, "state", VALUE_TEXT) : value_none(),
               (int64_t)last.count > 0 ? last : value_none(), /* of the year 1: never */
               value_count((uint64_t)llround(seconds * 1000)),
               value_json(rule, "lastError", VALUE_TEXT));
}

static void
put_groups(struct report *report, json_t *groups, const struct rules_command *a)
{
    json_t *group, *rule;
    size_t i, k;
    report_table(report, "rules", NULL,
                 "file=File|group=Group|rule=Rule|type=Type|health=Health|state=State|"
                 "lastEvaluation=Last evaluation|evaluationMs=ms|lastError=Error");
    json_array_foreach(groups, i, group)
    {
        if (!rules_is_wanted(a, json_text_of(group, "file"), json_text_of(group, "name"))) continue;
        json_array_foreach(json_object_get(group, "rules"), k, rule)
        {
            put_rule(report, group, rule);
        }
    }
    report_table_end(report, 0);
}

static bool
has_called(void *context, const char *wanted)
{
    json_t *groups = context, *group;
    size_t i;
    json_array_foreach(groups, i, group)
    {
        if (rules_is_called(wanted, json_text_of(group, "file"), json_text_of(group, "name")))
            return true;
    }
    return false;
}

static enum err
print(const struct rules_command *a, const char *name, json_t *groups, struct why *why)
{
    struct report *report = NULL;
    enum report_form form = a->form < 0 ? REPORT_TEXT : (enum report_form)a->form;
    enum err e = rules_check_wanted(a, has_called, groups, why);
    if (e) return e;
    e = report_new(form, stdout, NULL, &report);
    if (e) return why_set(why, e, "not enough memory for the report");
    if (form == REPORT_TEXT && json_array_size(groups) == 0) {
        fprintf(stderr, "%s evaluates no rules%s%s\n", name,
                a->target.tenant == NULL ? "" : " of tenant ",
                a->target.tenant == NULL ? "" : a->target.tenant);
    }
    put_groups(report, groups, a);
    e = report_end(report);
    report_free(report);
    return e ? why_set(why, e, "the report is incomplete: not enough memory") : OK;
}

enum err
rules_list(struct rules_command *a, struct target *target, struct why *why)
{
    struct buf text;
    unsigned status = 0;
    buf_init(&text, &a->memory, ANSWER_BYTES_MAX);
    enum err e = target_fetch(target, "/api/v1/rules?exclude_alerts=true", &text, &status, why);
    json_t *answer = NULL;
    if (e == OK) answer = json_loadb((const char *)text.at, text.size, 0, NULL);
    json_t *groups = json_object_get(json_object_get(answer, "data"), "groups");
    if (e == OK && status / 100 != 2) {
        e = ERR_UNSUPPORTED;
    } else if (e == OK && !json_is_array(groups)) {
        e = why_set(why, ERR_UNSUPPORTED, "%s/api/v1/rules: not the answer of a Prometheus",
                    target->name);
    }
    if (e == OK) e = print(a, target->name, groups, why);
    json_decref(answer);
    buf_fini(&text);
    return e;
}
