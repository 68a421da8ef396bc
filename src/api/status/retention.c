/*
 * retention.c - rules of retention: what they have removed and have still to remove, and, with
 * --web.enable-admin-api, what other rules would remove.
 */
#include "api/answer.h"
#include "api/status/pages.h"
#include "api/status/status.h"
#include "base/metric.h"
#include "base/text/time_text.h"
#include "model/series_rules.h"

enum { PLAN_BYTES_MAX = 4 * 1024 * 1024, LABEL_BYTES_MAX = 512 };

const struct series_rule series_rule_none = {"", NULL, 0, 0};

void
put_series_rule(struct json *j, const struct series_rule *rule)
{
    json_object_open(j);
    json_member_text(j, "match", rule->match);
    json_member_array(j, "tenants");
    for (uint32_t i = 0; i < rule->tenant_count; i++) {
        json_put_text(j, rule->tenants[i]);
    }
    json_array_close(j);
}

/* The members that name a rule of retention; the object stays open. */
static void
put_rule(struct json *j, const struct series_rule *rule)
{
    put_series_rule(j, rule);
    json_member_uint(j, "timeSeconds", (uint64_t)rule->age_ms / 1000);
}

static void
put_survey(struct json *j, const struct tsdb_rule_survey *s)
{
    json_member_uint(j, "series", s->series);
    json_member_uint(j, "samples", s->samples);
    json_member_uint(j, "shownSamples", s->shown_samples);
    json_member_uint(j, "bytes", s->bytes);
    if (s->oldest_ms != INT64_MAX) put_page_time(j, "oldest", s->oldest_ms);
}

/* --- status ----------------------------------------------------------------------------------- */

static void
put_state(void *context, const struct tsdb_rule *r)
{
    struct json *j = context;
    put_rule(j, r->rule == NULL ? &series_rule_none : r->rule);
    json_member_object(j, "removed");
    json_member_uint(j, "samples", r->removed_samples);
    json_member_uint(j, "exemplars", r->removed_exemplars);
    json_member_uint(j, "series", r->removed_series);
    json_member_uint(j, "bytes", r->removed_bytes);
    json_object_close(j);
    json_member_object(j, "expired");
    put_survey(j, &r->expired);
    json_object_close(j);
    json_object_close(j);
}

void
put_retention(struct api *api, struct json *j)
{
    json_member_object(j, "retention");
    json_member_array(j, "rules");
    struct tsdb_retention state = tsdb_retention_rules(api->options.tsdb, put_state, j);
    json_array_close(j);
    json_member_uint(j, "graceLeftSeconds", (uint64_t)(state.grace_left_ms + 999) / 1000);
    if (state.surveyed_ms != INT64_MIN) put_page_time(j, "surveyed", state.surveyed_ms);
    json_object_close(j);
}

/* --- metrics ---------------------------------------------------------------------------------- */

void
put_rule_metric(const struct rule_sink *to, const struct metric_family *family, uint64_t value)
{
    const struct series_rule *rule = to->rule == NULL ? &series_rule_none : to->rule;
    char resolution[TIME_TEXT_BYTES] = "";
    struct buf tenants;
    buf_init(&tenants, NULL, LABEL_BYTES_MAX);
    series_rule_put_tenants(rule, &tenants);
    if (to->resolution_ms > 0) time_print_duration(to->resolution_ms, resolution);
    const struct metric_pair pairs[3] = {{"match", bytes_of_text(rule->match)},
                                         {"tenants", buf_bytes(&tenants)},
                                         {"resolution", bytes_of_text(resolution)}};
    metric_put_u64(to->sink, family, pairs, to->resolution_ms == RULE_RETENTION ? 2 : 3, value);
    buf_fini(&tenants);
}

static void
put_rule_metrics(void *context, const struct tsdb_rule *r)
{
    static const struct metric_family samples = {
        "firekeep_retention_rule_removed_samples_total",
        "Samples and exemplars removed by each rule of retention; match is empty for rules that "
        "the configuration has no longer.",
        METRIC_KIND_COUNTER};
    static const struct metric_family series = {
        "firekeep_retention_rule_removed_series_total",
        "Series of which each rule of retention left nothing in a part, counted for each part.",
        METRIC_KIND_COUNTER};
    static const struct metric_family bytes = {
        "firekeep_retention_rule_removed_bytes_total",
        "Size of the samples that each rule of retention removed, compressed, in bytes.",
        METRIC_KIND_COUNTER};
    static const struct metric_family left_samples = {
        "firekeep_retention_rule_expired_samples",
        "Samples past each rule of retention that are still on disk, at the last survey.",
        METRIC_KIND_GAUGE};
    static const struct metric_family left_series = {
        "firekeep_retention_rule_expired_series",
        "Series with samples past each rule of retention that are still on disk, at the last "
        "survey.",
        METRIC_KIND_GAUGE};
    static const struct metric_family left_bytes = {
        "firekeep_retention_rule_expired_bytes",
        "Size of samples past each rule of retention that are still on disk, compressed, in bytes, "
        "at the last survey.",
        METRIC_KIND_GAUGE};
    const struct rule_sink sink = {context, r->rule, RULE_RETENTION};
    put_rule_metric(&sink, &samples, r->removed_samples + r->removed_exemplars);
    put_rule_metric(&sink, &series, r->removed_series);
    put_rule_metric(&sink, &bytes, r->removed_bytes);
    if (r->rule == NULL) return;
    put_rule_metric(&sink, &left_samples, r->expired.samples);
    put_rule_metric(&sink, &left_series, r->expired.series);
    put_rule_metric(&sink, &left_bytes, r->expired.bytes);
}

void
put_retention_metrics(struct metric_sink *sink, struct tsdb *tsdb)
{
    static const struct metric_family grace = {
        "firekeep_retention_grace_left_seconds",
        "Time for which rules of retention that were replaced still protect samples, in seconds.",
        METRIC_KIND_GAUGE};
    struct tsdb_retention state = tsdb_retention_rules(tsdb, put_rule_metrics, sink);
    metric_put_double(sink, &grace, NULL, 0, (double)state.grace_left_ms / 1000);
}

/* --- the plan --------------------------------------------------------------------------------- */

static enum err
survey_rules(struct api *api, struct http_request *request, const struct series_rules *rules,
             struct json *j, struct why *why)
{
    struct query_control control = {.env = NULL};
    struct arena arena;
    uint32_t count = series_rules_count(rules);
    query_control_begin(api, request, &api->read_budget, &control);
    arena_init(&arena, &api->page_budget, 0, 0);
    struct tsdb_rule_survey *list = arena_alloc(&arena, (count + 1u) * sizeof *list);
    enum err e = list == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a plan") : OK;
    if (e == OK && count > 0) {
        e = tsdb_retention_survey(api->options.tsdb, rules, &control, list, why);
    }
    for (uint32_t i = 0; i < count && e == OK; i++) {
        put_rule(j, series_rules_at(rules, i));
        put_survey(j, &list[i]);
        json_object_close(j);
    }
    arena_fini(&arena);
    return e;
}

static enum err
put_plan(struct api *api, struct http_request *request, struct json *j, struct why *why)
{
    struct series_rules *rules = NULL;
    enum err e =
        api->options.retention_rules(api->options.context, http_body(request), &rules, why);
    if (e == OK) e = survey_rules(api, request, rules, j, why);
    series_rules_unref(rules);
    return e;
}

/* Puts the time that ages of rules count back from, if there are samples. */
static void
put_now(struct json *j, struct tsdb *tsdb)
{
    struct tsdb_stats stats;
    tsdb_stats(tsdb, &stats);
    if (stats.retention_now_ms != INT64_MIN) put_page_time(j, "now", stats.retention_now_ms);
}

void
plan_of_rules_run(struct api *api, struct http_request *request,
                  enum err (*put_rules)(struct api *api, struct http_request *request,
                                        struct json *j, struct why *why))
{
    struct json j;
    struct buf text;
    struct why why = {""};
    buf_init(&text, &api->page_budget, PLAN_BYTES_MAX);
    success_begin(&j, &text);
    json_object_open(&j);
    json_member_array(&j, "rules");
    enum err e = put_rules(api, request, &j, &why);
    json_array_close(&j);
    put_now(&j, api->options.tsdb);
    json_object_close(&j);
    json_object_close(&j);
    if (e == OK) e = why_set(&why, buf_error(&text), "not enough memory for the answer");
    if (e)
        reply_problem_of(request, FOR_ANYTHING, e, &why);
    else
        reply_json(request, 200, &text);
    buf_fini(&text);
}

void
retention_plan_run(struct api *api, struct http_request *request)
{
    plan_of_rules_run(api, request, put_plan);
}
