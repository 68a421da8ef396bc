/* retention.c - `firekeep retention plan FILE`: what the rules of retention of a configuration
 * would remove from a server or from a storage directory. */
#include "base/text/time_text.h"
#include "cli/commands.h"
#include "cli/plan.h"
#include "config/config_check.h"

static const char notes[] =
    "\nShows for each rule of retention.rules in FILE, a configuration of Firekeep, and for\n"
    "retention.time, what is past it: series, samples, how many of these queries still return,\n"
    "compressed bytes, and the oldest sample. Nothing changes. Numbers of samples and bytes are\n"
    "estimated where a block also has younger samples. A server needs --web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or FILE is invalid; 2 wrong usage.\n";

static void
report_rule(struct report *r, const struct series_rule *rule, const struct tsdb_rule_survey *s)
{
    char tenants[PLAN_TENANTS_BYTES], time[TIME_TEXT_BYTES];
    rule_plan_tenants(rule, tenants);
    time_print_duration(rule->age_ms, time);
    report_row(r, value_text(rule->match), value_text(tenants), value_text(time),
               value_count(s->series), value_count(s->samples), value_count(s->shown_samples),
               value_size(s->bytes),
               s->oldest_ms == INT64_MAX ? value_none() : value_time(s->oldest_ms));
}

static enum err
read_rules(struct rule_plan *a, struct why *why)
{
    return config_retention_rules(a->file, buf_bytes(&a->text), 0, NULL, &a->rules, why);
}

static enum err
survey(struct rule_plan *a, struct tsdb *tsdb, struct query_control *control, struct why *why)
{
    uint32_t count = series_rules_count(a->rules);
    a->surveys_bytes = (count + 1u) * sizeof(struct tsdb_rule_survey);
    a->surveys = mem_new(&a->memory, a->surveys_bytes);
    if (a->surveys == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    return count == 0 ? OK : tsdb_retention_survey(tsdb, a->rules, control, a->surveys, why);
}

static void
report_rules(struct rule_plan *a, struct report *report)
{
    const struct tsdb_rule_survey *list = a->surveys;
    for (uint32_t i = 0; i < series_rules_count(a->rules); i++) {
        report_rule(report, series_rules_at(a->rules, i), &list[i]);
    }
}

static void
fini(struct rule_plan *a)
{
    mem_free(&a->memory, a->surveys, a->surveys_bytes);
    series_rules_unref(a->rules);
}

static void
report_answer(struct report *r, const json_t *x)
{
    static const char *tenants[PLAN_TENANTS_MAX];
    struct series_rule rule;
    rule_plan_rule(x, &rule, tenants);
    rule.age_ms = (int64_t)(rule_plan_number(x, "timeSeconds") * 1000);
    struct tsdb_rule_survey s = {.series = rule_plan_number(x, "series"),
                                 .samples = rule_plan_number(x, "samples"),
                                 .shown_samples = rule_plan_number(x, "shownSamples"),
                                 .bytes = rule_plan_number(x, "bytes"),
                                 .oldest_ms = INT64_MAX};
    int64_t ms;
    struct bytes oldest = json_tree_text(json_object_get(x, "oldest"));
    if (oldest.at != NULL && time_parse_rfc3339(oldest, &ms)) s.oldest_ms = ms;
    report_rule(r, &rule, &s);
}

static const struct rule_plan_kind kind = {
    .command = "retention",
    .route = "retention_plan",
    .columns = "match|tenants|time|series|samples|shownSamples=still shown|bytes|oldest",
    .read = read_rules,
    .survey = survey,
    .report = report_rules,
    .fini = fini,
    .report_answer = report_answer,
};

static int
run_retention(int argc, char **argv)
{
    return rule_plan_run(&kind, argc, argv);
}

const struct command command_retention = {
    "retention",   "plan [flags] FILE", "show what rules of retention would remove",
    run_retention, rule_plan_flags,     notes};
