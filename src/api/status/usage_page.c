/* usage_page.c - how often the metrics of a tenant were asked for, and by whom. */
#include <inttypes.h>
#include <stdlib.h>

#include "api/status/pages.h"
#include "base/text/time_text.h"
#include "model/usage.h"

enum { METRICS_SHOWN = 1000, METRICS_SHOWN_MAX = 100000 };

static void
put_time(struct json *j, const char *name, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    json_key(j, name);
    json_put_raw(j, bytes_of(text, time_print_seconds(t_ms, text)));
}

static void
put_metric(struct json *j, const struct metric_usage *m)
{
    json_object_open(j);
    json_member_bytes(j, "metric", m->metric);
    json_member_uint(j, "queries", m->counts[USAGE_QUERY]);
    json_member_uint(j, "rules", m->counts[USAGE_RULE]);
    json_member_uint(j, "lookups", m->counts[USAGE_LOOKUP]);
    put_time(j, "last", m->last_ms);
    json_object_close(j);
}

/* Writes the metrics, or only the one of this name, unless it is NULL. */
static void
put_list(struct json *j, const struct usage_list *list, const char *metric, uint32_t limit)
{
    uint32_t shown = 0, left_off = 0;
    json_object_open(j);
    put_time(j, "begun", list->begun_ms);
    put_time(j, "since", list->since_ms);
    json_member_bool(j, "exact", list->since_ms == list->begun_ms);
    json_member_array(j, "metrics");
    for (uint32_t i = 0; i < list->count; i++) {
        const struct metric_usage *m = &list->metrics[i];
        if (metric != NULL && !bytes_equal_text(m->metric, metric)) continue;
        if (shown < limit) {
            put_metric(j, m);
            shown++;
        } else {
            left_off++;
        }
    }
    json_array_close(j);
    json_member_uint(j, "leftOff", left_off);
    json_object_close(j);
}

enum err
metric_usage_page(struct json_page *p)
{
    const char *metric = http_argument(p->request, "metric");
    int64_t limit = METRICS_SHOWN;
    if (page_number(p, "limit", &limit) || limit < 1) {
        return why_set(&p->why, ERR_INPUT, "limit must be a positive number");
    }
    if (limit > METRICS_SHOWN_MAX) {
        return why_set(&p->why, ERR_INPUT, "limit must not exceed %d", METRICS_SHOWN_MAX);
    }
    struct usage_list list;
    struct arena arena;
    arena_init(&arena, &p->api->page_budget, 0, 0);
    enum err e = usage_list(p->api->options.usage, p->tenant, &arena, &list);
    if (e == OK) put_list(p->j, &list, metric, (uint32_t)limit);
    arena_fini(&arena);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}
