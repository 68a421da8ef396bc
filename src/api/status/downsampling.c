/* downsampling.c - what rules of downsampling would replace, with --web.enable-admin-api. */
#include "api/answer.h"
#include "api/status/status.h"
#include "model/series_rules.h"

enum { PLAN_BYTES_MAX = 4 * 1024 * 1024 };

static void
put_level(struct json *j, const struct tsdb_level *level, const struct series_rule *rule,
          const struct tsdb_level_survey *s)
{
    put_series_rule(j, rule);
    json_member_uint(j, "afterSeconds", (uint64_t)rule->age_ms / 1000);
    json_member_uint(j, "resolutionSeconds", (uint64_t)level->resolution_ms / 1000);
    json_member_uint(j, "series", s->series);
    json_member_uint(j, "samples", s->samples);
    json_member_uint(j, "keptSamples", s->kept_samples);
    json_member_uint(j, "windows", s->windows);
    json_member_uint(j, "bytes", s->bytes);
    json_member_uint(j, "bytesAfter", s->bytes_after);
    json_object_close(j);
}

static enum err
put_plan(struct api *api, struct http_request *request, const struct tsdb_limits *limits,
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
    json_object_open(j);
    json_member_array(j, "rules");
    for (uint32_t i = 0, n = 0; i < limits->level_count && e == OK; i++) {
        const struct tsdb_level *level = &limits->levels[i];
        for (uint32_t k = 0; k < series_rules_count(level->rules); k++) {
            put_level(j, level, series_rules_at(level->rules, k), &list[n++]);
        }
    }
    json_array_close(j);
    json_object_close(j);
    arena_fini(&arena);
    return e;
}

/* Tells what the rules of the configuration in the body would replace; nothing changes. */
void
downsampling_plan_run(struct api *api, struct http_request *request)
{
    struct json j;
    struct buf text;
    struct why why = {""};
    struct tsdb_limits limits = {.level_count = 0};
    buf_init(&text, &api->page_budget, PLAN_BYTES_MAX);
    success_begin(&j, &text);
    enum err e =
        api->options.downsampling_levels(api->options.context, http_body(request), &limits, &why);
    if (e == OK) e = put_plan(api, request, &limits, &j, &why);
    if (e == OK) json_object_close(&j);
    if (e == OK) e = why_set(&why, buf_error(&text), "not enough memory for the answer");
    if (e)
        reply_problem_of(request, FOR_ANYTHING, e, &why);
    else
        reply_json(request, 200, &text);
    for (uint32_t i = 0; i < limits.level_count; i++) {
        series_rules_unref(limits.levels[i].rules);
    }
    buf_fini(&text);
}
