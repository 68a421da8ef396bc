/*
 * series_rules.c - rules of retention and of downsampling: what they have done and have still to
 * do, the resolutions that parts have, and, with --web.enable-admin-api, what other rules would do.
 */
#include "api/routes.h"

#include <stddef.h>

#include "api/status/pages.h"
#include "base/metric.h"
#include "base/text/time_text.h"
#include "model/series_rules.h"

enum { LABEL_BYTES_MAX = 512 };

/* Stands for all rules that are no longer configured. */
static const struct series_rule no_rule = {"", NULL, 0, 0};

/* Opens an object with the members that name a rule. */
static void
put_rule(struct json *j, const struct series_rule *rule, bool downsamples, int64_t resolution_ms)
{
    json_object_open(j);
    json_member_text(j, "match", rule->match);
    json_member_array(j, "tenants");
    for (uint32_t i = 0; i < rule->tenant_count; i++)
        json_put_text(j, rule->tenants[i]);
    json_array_close(j);
    json_member_uint(j, downsamples ? "afterSeconds" : "timeSeconds",
                     (uint64_t)rule->age_ms / 1000);
    if (downsamples) json_member_uint(j, "resolutionSeconds", (uint64_t)resolution_ms / 1000);
}

static void
put_survey(struct json *j, const struct series_cost *found)
{
    json_members(j, JSON("series", found->series), JSON("samples", found->samples),
                 JSON("bytes", found->bytes));
}

/* --- status ----------------------------------------------------------------------------------- */

/* The rules of one kind. */
struct rules_put {
    struct json *j;
    bool downsamples;
};

static void
put_state(void *context, const struct tsdb_rule *r)
{
    const struct rules_put *to = context;
    struct json *j = to->j;
    if (r->downsamples != to->downsamples) return;
    put_rule(j, r->rule == NULL ? &no_rule : r->rule, r->downsamples, r->resolution_ms);
    json_member_object(j, r->downsamples ? "replaced" : "removed");
    json_member_uint(j, "samples", r->samples);
    if (r->downsamples) {
        json_members(j, JSON("windows", r->windows), JSON("savedBytes", r->bytes));
    } else {
        json_members(j, JSON("exemplars", r->exemplars), JSON("series", r->series),
                     JSON("bytes", r->bytes));
    }
    json_object_close(j);
    json_member_object(j, r->downsamples ? "due" : "expired");
    put_survey(j, &r->left);
    json_object_close(j);
    if (r->downsamples) json_member_uint(j, "excludedParts", r->excluded_parts);
    json_object_close(j);
}

static struct tsdb_rules_state
put_states(struct api *api, struct json *j, bool downsamples)
{
    struct rules_put to = {j, downsamples};
    struct tsdb_rules_state state;
    json_member_array(j, "rules");
    tsdb_rules(api->options.tsdb, &state, put_state, &to);
    json_array_close(j);
    if (state.surveyed_ms != INT64_MIN) put_page_time(j, "surveyed", state.surveyed_ms);
    return state;
}

void
put_resolution(void *json, const struct rollup_facts *f)
{
    struct json *j = json;
    json_object_open(j);
    json_members(j, JSON("resolutionSeconds", (uint64_t)f->resolution_ms / 1000),
                 JSON("rows", f->rows), JSON("bytes", f->bytes));
    put_page_time(j, "from", f->time.min_ms);
    put_page_time(j, "to", f->time.max_ms);
    json_object_close(j);
}

void
put_series_rules(struct api *api, struct json *j)
{
    json_member_object(j, "retention");
    struct tsdb_rules_state state = put_states(api, j, false);
    json_member_uint(j, "graceLeftSeconds", (uint64_t)(state.grace_left_ms + 999) / 1000);
    json_object_close(j);
    json_member_object(j, "downsampling");
    put_states(api, j, true);
    json_member_array(j, "resolutions");
    tsdb_resolutions(api->options.tsdb, put_resolution, j);
    json_array_close(j);
    json_object_close(j);
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* Puts a metric with the labels of a rule. */
static void
put_rule_metric(struct metric_sink *sink, const struct metric_family *family,
                const struct tsdb_rule *r, uint64_t value)
{
    const struct series_rule *rule = r->rule == NULL ? &no_rule : r->rule;
    char resolution[TIME_TEXT_BYTES] = "";
    struct buf tenants;
    buf_init(&tenants, NULL, LABEL_BYTES_MAX);
    series_rule_put_tenants(rule, &tenants);
    if (r->resolution_ms > 0) time_print_duration(r->resolution_ms, resolution);
    const struct metric_pair pairs[3] = {{"match", bytes_of_text(rule->match)},
                                         {"tenants", buf_bytes(&tenants)},
                                         {"resolution", bytes_of_text(resolution)}};
    metric_put_u64(sink, family, pairs, r->downsamples ? 3 : 2, value);
    buf_fini(&tenants);
}

#define OF(downsamples, is_left, member, name, help, kind)        \
    {                                                             \
        downsamples, is_left, offsetof(struct tsdb_rule, member), \
        {                                                         \
            name, help, kind                                      \
        }                                                         \
    }
static const struct {
    bool downsamples;
    bool is_left;  /* for rules that are configured */
    size_t offset; /* of a uint64_t */
    struct metric_family family;
} rule_metrics[] = {
    OF(false, false, samples, "firekeep_retention_rule_removed_samples_total",
       "Samples and exemplars removed by each rule of retention; match is empty for rules that the "
       "configuration has no longer.",
       METRIC_KIND_COUNTER),
    OF(false, false, series, "firekeep_retention_rule_removed_series_total",
       "Series of which each rule of retention left nothing in a part, counted for each part.",
       METRIC_KIND_COUNTER),
    OF(false, false, bytes, "firekeep_retention_rule_removed_bytes_total",
       "Size of the samples that each rule of retention removed, compressed, in bytes.",
       METRIC_KIND_COUNTER),
    OF(false, true, left.samples, "firekeep_retention_rule_expired_samples",
       "Samples past each rule of retention that are still on disk, at the last survey.",
       METRIC_KIND_GAUGE),
    OF(false, true, left.series, "firekeep_retention_rule_expired_series",
       "Series with samples past each rule of retention that are still on disk, at the last "
       "survey.",
       METRIC_KIND_GAUGE),
    OF(false, true, left.bytes, "firekeep_retention_rule_expired_bytes",
       "Size of samples past each rule of retention that are still on disk, compressed, in bytes, "
       "at the last survey.",
       METRIC_KIND_GAUGE),
    OF(true, false, samples, "firekeep_downsampling_rule_replaced_samples_total",
       "Samples that windows of each rule of downsampling replaced; match is empty for rules that "
       "the configuration has no longer.",
       METRIC_KIND_COUNTER),
    OF(true, false, windows, "firekeep_downsampling_rule_windows_total",
       "Windows that were written for each rule of downsampling, instead of samples or of finer "
       "windows.",
       METRIC_KIND_COUNTER),
    OF(true, false, bytes, "firekeep_downsampling_rule_saved_bytes_total",
       "Bytes that windows of each rule of downsampling save, compressed, as merges estimate them.",
       METRIC_KIND_COUNTER),
    OF(true, true, left.samples, "firekeep_downsampling_rule_due_samples",
       "Samples that are old enough for each rule of downsampling and not replaced, at the last "
       "survey.",
       METRIC_KIND_GAUGE),
    OF(true, true, left.bytes, "firekeep_downsampling_rule_due_bytes",
       "Size of samples and finer windows that are old enough for each rule of downsampling and "
       "not replaced, compressed, in bytes, at the last survey.",
       METRIC_KIND_GAUGE),
    OF(true, true, excluded_parts, "firekeep_downsampling_rule_excluded_parts",
       "Parts to which a rule of downsampling is not applied, because their windows are neither "
       "multiples nor fractions of its own.",
       METRIC_KIND_GAUGE),
};

static void
put_rule_metrics(void *sink, const struct tsdb_rule *rule)
{
    struct tsdb_rule r = *rule;
    if (!r.downsamples) r.samples += r.exemplars;
    for (size_t i = 0; i < sizeof rule_metrics / sizeof *rule_metrics; i++) {
        const void *at = (const char *)&r + rule_metrics[i].offset;
        if (rule_metrics[i].downsamples != r.downsamples) continue;
        if (rule_metrics[i].is_left && r.rule == NULL) continue;
        put_rule_metric(sink, &rule_metrics[i].family, &r, *(const uint64_t *)at);
    }
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
put_series_rule_metrics(struct metric_sink *sink, struct tsdb *tsdb)
{
    struct tsdb_rules_state state;
    tsdb_rules(tsdb, &state, put_rule_metrics, sink);
    metric_put_one(
        sink, "firekeep_retention_grace_left_seconds", METRIC_KIND_GAUGE,
        "Time for which rules of retention that were replaced still protect samples, in seconds.",
        (double)state.grace_left_ms / 1000);
    tsdb_resolutions(tsdb, put_resolution_metrics, sink);
}

/* --- the plan --------------------------------------------------------------------------------- */

static enum err
put_plan(struct json_page *p, const struct tsdb_limits *limits)
{
    struct query_control control = {.env = NULL};
    struct arena arena;
    uint32_t count = tsdb_limits_rule_count(limits);
    query_control_begin(p->api, p->request, &p->api->read_budget, &control);
    arena_init(&arena, &p->api->page_budget, 0, 0);
    struct series_cost *list = arena_alloc(&arena, (count + 1u) * sizeof *list);
    enum err e = list == NULL ? why_set(&p->why, ERR_NOMEM, "not enough memory for a plan") : OK;
    if (e == OK) e = tsdb_rules_survey(p->api->options.tsdb, limits, &control, list, &p->why);
    for (uint32_t i = 0; i < count && e == OK; i++) {
        int64_t resolution_ms;
        const struct series_rule *rule = tsdb_limits_rule(limits, i, &resolution_ms);
        put_rule(p->j, rule, resolution_ms > 0, resolution_ms);
        put_survey(p->j, &list[i]);
        json_object_close(p->j);
    }
    arena_fini(&arena);
    return e;
}

void
plan_run(struct api *api, struct http_request *request)
{
    struct json_page p;
    struct tsdb_limits limits = {.level_count = 0};
    struct tsdb_stats stats;
    json_page_begin(&p, api, request);
    json_object_open(p.j);
    json_member_array(p.j, "rules");
    enum err e = api->options.plan_rules(api->options.context, http_body(request), &limits, &p.why);
    if (e == OK) e = put_plan(&p, &limits);
    tsdb_limits_drop_rules(&limits);
    json_array_close(p.j);
    tsdb_stats(api->options.tsdb, &stats);
    if (stats.retention_now_ms != INT64_MIN) put_page_time(p.j, "now", stats.retention_now_ms);
    json_object_close(p.j);
    json_page_send(&p, FOR_ANYTHING, e);
}
