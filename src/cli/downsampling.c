/* downsampling.c - `firekeep downsampling plan FILE`: what the rules of downsampling of a
 * configuration would replace in a server or in a storage directory. */
#include "base/text/time_text.h"
#include "cli/commands.h"
#include "cli/plan.h"
#include "config/config_check.h"

static const char notes[] =
    "\nShows for each rule of downsampling in FILE, a configuration of Firekeep, what it would\n"
    "replace: series, samples, windows that come of them, compressed bytes before and after, and\n"
    "samples that are old enough but stay, because windows would take more than half of their\n"
    "bytes. Nothing changes. Numbers are estimated from about 1000 blocks that are rolled up.\n"
    "A server needs --web.enable-admin-api.\n"
    "\nExit status: 0 done; 1 it failed, or FILE is invalid; 2 wrong usage.\n";

static void
report_rule(struct report *r, const struct series_rule *rule, int64_t resolution_ms,
            const struct tsdb_level_survey *s)
{
    char tenants[PLAN_TENANTS_BYTES], after[TIME_TEXT_BYTES], resolution[TIME_TEXT_BYTES];
    rule_plan_tenants(rule, tenants);
    time_print_duration(rule->age_ms, after);
    time_print_duration(resolution_ms, resolution);
    report_row(r, value_text(rule->match), value_text(tenants), value_text(after),
               value_text(resolution), value_count(s->series), value_count(s->samples),
               value_count(s->kept_samples), value_count(s->windows), value_size(s->bytes),
               value_size(s->bytes_after));
}

static enum err
read_levels(struct rule_plan *a, struct why *why)
{
    return config_downsampling_levels(a->file, buf_bytes(&a->text), 0, NULL, &a->limits, why);
}

static enum err
survey(struct rule_plan *a, struct tsdb *tsdb, struct query_control *control, struct why *why)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < a->limits.level_count; i++) {
        count += series_rules_count(a->limits.levels[i].rules);
    }
    a->surveys_bytes = (count + 1u) * sizeof(struct tsdb_level_survey);
    a->surveys = mem_new(&a->memory, a->surveys_bytes);
    if (a->surveys == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a plan");
    if (count == 0) return OK;
    return tsdb_downsampling_survey(tsdb, a->limits.levels, a->limits.level_count, control,
                                    a->surveys, why);
}

static void
report_rules(struct rule_plan *a, struct report *report)
{
    const struct tsdb_level_survey *list = a->surveys;
    for (uint32_t i = 0, n = 0; i < a->limits.level_count; i++) {
        const struct tsdb_level *level = &a->limits.levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules); k++) {
            report_rule(report, series_rules_at(level->rules, k), level->resolution_ms, &list[n++]);
        }
    }
}

static void
fini(struct rule_plan *a)
{
    mem_free(&a->memory, a->surveys, a->surveys_bytes);
    for (uint32_t i = 0; i < a->limits.level_count; i++) {
        series_rules_unref(a->limits.levels[i].rules);
    }
}

static void
report_answer(struct report *r, const json_t *x)
{
    static const char *tenants[PLAN_TENANTS_MAX];
    struct series_rule rule;
    rule_plan_rule(x, &rule, tenants);
    rule.age_ms = (int64_t)(rule_plan_number(x, "afterSeconds") * 1000);
    struct tsdb_level_survey s = {.series = rule_plan_number(x, "series"),
                                  .samples = rule_plan_number(x, "samples"),
                                  .kept_samples = rule_plan_number(x, "keptSamples"),
                                  .windows = rule_plan_number(x, "windows"),
                                  .bytes = rule_plan_number(x, "bytes"),
                                  .bytes_after = rule_plan_number(x, "bytesAfter")};
    report_rule(r, &rule, (int64_t)(rule_plan_number(x, "resolutionSeconds") * 1000), &s);
}

static const struct rule_plan_kind kind = {
    .command = "downsampling",
    .route = "downsampling_plan",
    .columns = "match|tenants|after|resolution|series|samples|keptSamples=samples that stay|"
               "windows|bytes|bytesAfter=bytes after",
    .read = read_levels,
    .survey = survey,
    .report = report_rules,
    .fini = fini,
    .report_answer = report_answer,
};

static int
run_downsampling(int argc, char **argv)
{
    return rule_plan_run(&kind, argc, argv);
}

const struct command command_downsampling = {
    "downsampling",   "plan [flags] FILE", "show what rules of downsampling would replace",
    run_downsampling, rule_plan_flags,     notes};
