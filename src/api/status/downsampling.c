/*
 * downsampling.c - rules of downsampling: what they have replaced and have still to replace, the
 * resolutions that parts have, and, with --web.enable-admin-api, what other rules would replace.
 */
#include "api/answer.h"
#include "api/status/pages.h"
#include "api/status/status.h"
#include "base/metric.h"
#include "base/text/time_text.h"
#include "model/series_rules.h"

/* The members that name a rule of downsampling; the object stays open. */
static void
put_rule(struct json *j, const struct series_rule *rule, int64_t resolution_ms)
{
    put_series_rule(j, rule);
    json_member_uint(j, "afterSeconds", (uint64_t)rule->age_ms / 1000);
    json_member_uint(j, "resolutionSeconds", (uint64_t)resolution_ms / 1000);
}

static void
put_survey(struct json *j, const struct tsdb_level_survey *s)
{
    json_member_uint(j, "series", s->series);
    json_member_uint(j, "samples", s->samples);
    json_member_uint(j, "keptSamples", s->kept_samples);
    json_member_uint(j, "windows", s->windows);
    json_member_uint(j, "bytes", s->bytes);
    json_member_uint(j, "bytesAfter", s->bytes_after);
    if (s->oldest_ms == INT64_MAX) return;
    put_page_time(j, "oldest", s->oldest_ms);
    put_page_time(j, "until", s->until_ms);
}

/* --- status ----------------------------------------------------------------------------------- */

void
put_resolution(void *json, const struct rollup_facts *f)
{
    struct json *j = json;
    json_object_open(j);
    json_member_uint(j, "resolutionSeconds", (uint64_t)f->resolution_ms / 1000);
    json_member_uint(j, "rows", f->rows);
    json_member_uint(j, "bytes", f->bytes);
    put_page_time(j, "from", f->time.min_ms);
    put_page_time(j, "to", f->time.max_ms);
    json_object_close(j);
}

static void
put_state(void *context, const struct tsdb_level_rule *r)
{
    struct json *j = context;
    put_rule(j, r->rule == NULL ? &series_rule_none : r->rule, r->resolution_ms);
    json_member_object(j, "replaced");
    json_member_uint(j, "samples", r->replaced_samples);
    json_member_uint(j, "windows", r->windows);
    json_member_uint(j, "savedBytes", r->saved_bytes);
    json_object_close(j);
    json_member_object(j, "due");
    put_survey(j, &r->due);
    json_object_close(j);
    json_member_uint(j, "excludedParts", r->excluded_parts);
    json_object_close(j);
}

void
put_downsampling(struct api *api, struct json *j)
{
    json_member_object(j, "downsampling");
    json_member_array(j, "rules");
    int64_t surveyed_ms = tsdb_downsampling_rules(api->options.tsdb, put_state, j);
    json_array_close(j);
    json_member_array(j, "resolutions");
    tsdb_resolutions(api->options.tsdb, put_resolution, j);
    json_array_close(j);
    if (surveyed_ms != INT64_MIN) put_page_time(j, "surveyed", surveyed_ms);
    json_object_close(j);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void
put_rule_metrics(void *context, const struct tsdb_level_rule *r)
{
    static const struct metric_family samples = {
        "firekeep_downsampling_rule_replaced_samples_total",
        "Samples that windows of each rule of downsampling replaced; match is empty for rules that "
        "the configuration has no longer.",
        METRIC_KIND_COUNTER};
    static const struct metric_family windows = {
        "firekeep_downsampling_rule_windows_total",
        "Windows that were written for each rule of downsampling, instead of samples or of finer "
        "windows.",
        METRIC_KIND_COUNTER};
    static const struct metric_family saved = {"firekeep_downsampling_rule_saved_bytes_total",
                                               "Bytes that windows of each rule of downsampling "
                                               "save, compressed, as merges estimate them.",
                                               METRIC_KIND_COUNTER};
    static const struct metric_family due_samples = {
        "firekeep_downsampling_rule_due_samples",
        "Samples that each rule of downsampling has still to replace, at the last survey.",
        METRIC_KIND_GAUGE};
    static const struct metric_family due_bytes = {
        "firekeep_downsampling_rule_due_bytes",
        "Size of what each rule of downsampling has still to replace, compressed, in bytes, at the "
        "last survey.",
        METRIC_KIND_GAUGE};
    static const struct metric_family excluded = {
        "firekeep_downsampling_rule_excluded_parts",
        "Parts to which a rule of downsampling is not applied, because their windows are neither "
        "multiples nor fractions of its own.",
        METRIC_KIND_GAUGE};
    struct rule_sink sink = {context, r->rule, r->resolution_ms};
    put_rule_metric(&sink, &samples, r->replaced_samples);
    put_rule_metric(&sink, &windows, r->windows);
    put_rule_metric(&sink, &saved, r->saved_bytes);
    if (r->rule == NULL) return;
    put_rule_metric(&sink, &due_samples, r->due.samples);
    put_rule_metric(&sink, &due_bytes, r->due.bytes);
    put_rule_metric(&sink, &excluded, r->excluded_parts);
}

static void
put_resolution_metrics(void *context, const struct rollup_facts *f)
{
    static const struct metric_family rows = {
        "firekeep_downsampled_rows",
        "Last samples of windows in parts, and staleness markers after them, by resolution.",
        METRIC_KIND_GAUGE};
    static const struct metric_family bytes = {
        "firekeep_downsampled_bytes",
        "Size of windows in parts, compressed, in bytes, by resolution.", METRIC_KIND_GAUGE};
    struct metric_sink *sink = context;
    char text[TIME_TEXT_BYTES];
    time_print_duration(f->resolution_ms, text);
    const struct metric_pair pair = {"resolution", bytes_of_text(text)};
    metric_put_u64(sink, &rows, &pair, 1, f->rows);
    metric_put_u64(sink, &bytes, &pair, 1, f->bytes);
}

void
put_downsampling_metrics(struct metric_sink *sink, struct tsdb *tsdb)
{
    tsdb_downsampling_rules(tsdb, put_rule_metrics, sink);
    tsdb_resolutions(tsdb, put_resolution_metrics, sink);
}

/* --- the plan --------------------------------------------------------------------------------- */

static enum err
survey_levels(struct api *api, struct http_request *request, const struct tsdb_limits *limits,
              struct json *j, struct why *why)
{
    struct query_control control = {.env = NULL};
    struct arena arena;
    uint32_t count = 0;
    for (uint32_t i = 0; i < limits->level_count; i++) {
        count += series_rules_count(limits->levels[i].rules);
    }
    query_control_begin(api, request, &api->read_budget, &control);
    arena_init(&arena, &api->page_budget, 0, 0);
    struct tsdb_level_survey *list = arena_alloc(&arena, (count + 1u) * sizeof *list);
    enum err e = list == NULL ? why_set(why, ERR_NOMEM, "not enough memory for a plan") : OK;
    if (e == OK && count > 0) {
        e = tsdb_downsampling_survey(api->options.tsdb, limits->levels, limits->level_count,
                                     &control, list, why);
    }
    for (uint32_t i = 0, n = 0; i < limits->level_count && e == OK; i++) {
        const struct tsdb_level *level = &limits->levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules); k++) {
            put_rule(j, series_rules_at(level->rules, k), level->resolution_ms);
            put_survey(j, &list[n++]);
            json_object_close(j);
        }
    }
    arena_fini(&arena);
    return e;
}

static enum err
put_plan(struct api *api, struct http_request *request, struct json *j, struct why *why)
{
    struct tsdb_limits limits = {.level_count = 0};
    enum err e =
        api->options.downsampling_levels(api->options.context, http_body(request), &limits, why);
    if (e == OK) e = survey_levels(api, request, &limits, j, why);
    for (uint32_t i = 0; i < limits.level_count; i++) {
        series_rules_unref(limits.levels[i].rules);
    }
    return e;
}

void
downsampling_plan_run(struct api *api, struct http_request *request)
{
    plan_of_rules_run(api, request, put_plan);
}
