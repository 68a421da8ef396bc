/*
 * status_store.c - pages about the store: status/tsdb and status/tsdb/blocks like Prometheus',
 * status/storage by partitions, status/tsdb/bytes by metric and label.
 */
#include "api/routes.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/request/read_request.h"
#include "api/status/pages.h"
#include "model/selector.h"
#include "tsdb/tsdb_bucket.h"

enum { TOP_COUNT = 10, TOP_COUNT_MAX = 10000, ULID_BYTES = 26 };

/* --- tsdb ------------------------------------------------------------------------------------- */

static void
put_top(struct json *j, const char *key, const struct tsdb_top *top, enum tsdb_ranking ranking)
{
    json_member_array(j, key);
    for (uint32_t i = 0; i < top->counts[ranking]; i++) {
        json_put_object(j, JSON("name", top->items[ranking][i].name),
                        JSON("value", top->items[ranking][i].count));
    }
    json_array_close(j);
}

enum err
tsdb_page(struct json_page *p)
{
    struct json *j = p->j;
    struct tsdb_stats s;
    struct tsdb_top top;
    struct arena arena;
    int64_t limit = TOP_COUNT;
    if (page_number(p, "limit", &limit) || limit < 1)
        return why_set(&p->why, ERR_INPUT, "limit must be a positive number");
    if (limit > TOP_COUNT_MAX)
        return why_set(&p->why, ERR_INPUT, "limit must not exceed %d", TOP_COUNT_MAX);
    tsdb_stats(p->api->options.tsdb, &s);
    arena_init(&arena, &p->api->page_budget, 0, 0);
    enum err e = tsdb_top(p->api->options.tsdb, p->tenant, &arena, (uint32_t)limit, &top);
    if (e == OK) {
        json_object_open(j);
        /* Writes Prometheus' members first; each series in memory counts as one chunk. */
        json_key(j, "headStats");
        json_put_object(j, JSON("numSeries", s.head_series), JSON("numLabelPairs", top.pairs),
                        JSON("chunkCount", s.head_series + s.frozen_series),
                        JSON("minTime", s.head_min_ms), JSON("maxTime", s.head_max_ms),
                        JSON("numKnownSeries", s.known_series), JSON("numSamples", s.head_samples),
                        JSON("numExemplars", s.head_exemplars), JSON("bytes", s.head_bytes));
        put_top(j, "seriesCountByMetricName", &top, TSDB_METRICS_BY_SERIES);
        put_top(j, "labelValueCountByLabelName", &top, TSDB_NAMES_BY_VALUES);
        put_top(j, "memoryInBytesByLabelName", &top, TSDB_NAMES_BY_BYTES);
        put_top(j, "seriesCountByLabelValuePair", &top, TSDB_PAIRS_BY_SERIES);
        json_key(j, "partStats");
        json_put_object(j, JSON("numParts", s.parts), JSON("numSeriesOfAllParts", s.part_series),
                        JSON("numSamples", s.part_samples), JSON("numExemplars", s.part_exemplars),
                        JSON("bytes", s.part_bytes),
                        JSON("minTime", s.oldest_ms == INT64_MAX ? 0 : s.oldest_ms));
        json_object_close(j);
    }
    arena_fini(&arena);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Prints the number of a part as a ULID, 128 bits in Crockford's base 32. */
static void
print_ulid(uint64_t number, char to[ULID_BYTES + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for (unsigned i = 0; i < ULID_BYTES; i++) {
        unsigned shift = 5 * (ULID_BYTES - 1 - i);
        to[i] = digits[shift < 64 ? number >> shift & 31 : 0];
    }
    to[ULID_BYTES] = '\0';
}

static void
put_block(void *context, const struct part_info *part)
{
    struct json *j = context;
    char ulid[ULID_BYTES + 1];
    bool any = part->time.min_ms <= part->time.max_ms;
    print_ulid(part->number, ulid);
    json_object_open(j);
    json_members(j, JSON("ulid", ulid), JSON("minTime", any ? part->time.min_ms : 0));
    /* maxTime of a block is the first moment after it. */
    json_member_int(j, "maxTime", any && part->time.max_ms < INT64_MAX ? part->time.max_ms + 1 : 0);
    json_member_object(j, "stats");
    const uint64_t *samples = part->sample_count;
    json_members(j, JSON("numSamples", samples[LEDGER_FLOAT] + samples[LEDGER_HISTOGRAM]),
                 JSON("numFloatSamples", samples[LEDGER_FLOAT]),
                 JSON("numHistogramSamples", samples[LEDGER_HISTOGRAM]),
                 JSON("numSeries", part->series_count), JSON("numChunks", part->block_count));
    json_object_close(j);
    json_member_object(j, "compaction");
    json_member_uint(j, "level", 1);
    json_member_array(j, "sources");
    json_put_text(j, ulid);
    json_array_close(j);
    json_object_close(j);
    json_member_uint(j, "version", 1);
    json_object_close(j);
}

enum err
tsdb_blocks_page(struct json_page *p)
{
    json_object_open(p->j);
    json_member_array(p->j, "blocks");
    tsdb_parts(p->api->options.tsdb, put_block, p->j);
    json_array_close(p->j);
    json_object_close(p->j);
    return OK;
}

/* --- storage ---------------------------------------------------------------------------------- */

static void
put_partition(void *context, const struct tsdb_partition *p)
{
    struct json *j = context;
    json_object_open(j);
    put_page_time(j, "from", p->time.min_ms);
    put_page_time(j, "to", p->time.max_ms);
    json_members(j, JSON("parts", p->parts), JSON("samples", p->samples),
                 JSON("exemplars", p->exemplars), JSON("bytes", p->data_bytes + p->index_bytes),
                 JSON("dataBytes", p->data_bytes), JSON("indexBytes", p->index_bytes));
    json_member_array(j, "resolutions");
    for (uint32_t i = 0; i < p->resolution_count; i++)
        put_resolution(j, &p->resolutions[i]);
    json_array_close(j);
    json_object_close(j);
}

/* Writes the merge that runs; the store runs one at a time. */
static void
put_merges(struct json *j, const struct tsdb_merge_now *m)
{
    json_member_array(j, "merges");
    if (m->parts > 0) {
        json_object_open(j);
        put_page_time(j, "since", m->since_ms);
        json_members(j, JSON("parts", m->parts), JSON("samples", m->samples),
                     JSON("bytes", m->bytes), JSON("level", m->level));
        put_page_time(j, "from", m->time.min_ms);
        put_page_time(j, "to", m->time.max_ms);
        json_members(j, JSON("outputs", m->outputs), JSON("outputsDone", m->outputs_done));
        json_object_close(j);
    }
    json_array_close(j);
}

/* Prints what the bucket of object_storage has. */
static void
put_bucket(struct json *j, struct tsdb *tsdb)
{
    struct tsdb_bucket_stats s;
    if (!tsdb_bucket_stats(tsdb, &s)) return;
    json_member_object(j, "bucket");
    json_members(j,
                 JSON("state", s.is_stopped   ? "stopped"
                               : s.is_failing ? "failing"
                                              : "written"),
                 JSON("number", s.number), JSON("parts", s.parts), JSON("bytes", s.bytes),
                 JSON("onlyThere", s.remote_parts), JSON("completePosition", s.complete_pos),
                 JSON("behindBytes", s.behind_bytes), JSON("requests", s.requests_total),
                 JSON("readBytes", s.read_bytes_total));
    if (s.complete_ms != INT64_MIN) put_page_time(j, "completeTime", s.complete_ms);
    json_object_close(j);
}

enum err
storage_page(struct json_page *p)
{
    struct json *j = p->j;
    struct tsdb_stats s;
    tsdb_stats(p->api->options.tsdb, &s);
    json_object_open(j);
    json_key(j, "log");
    json_put_object(j, JSON("bytes", s.wal.segment_bytes), JSON("segments", s.wal.segment_count));
    json_key(j, "head");
    json_put_object(j, JSON("bytes", s.head_bytes), JSON("samples", s.head_samples),
                    JSON("exemplars", s.head_exemplars), JSON("series", s.head_series));
    json_key(j, "parts");
    json_put_object(j, JSON("parts", s.parts), JSON("samples", s.part_samples),
                    JSON("exemplars", s.part_exemplars), JSON("bytes", s.part_bytes),
                    JSON("dataBytes", s.part_data_bytes),
                    JSON("indexBytes", s.part_bytes - s.part_data_bytes));
    put_bucket(j, p->api->options.tsdb);
    json_member_array(j, "partitions");
    enum err e = tsdb_partitions(p->api->options.tsdb, put_partition, j);
    json_array_close(j);
    put_merges(j, &s.merge_now);
    put_series_rules(p->api, j);
    json_object_close(j);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}

/* --- sizes ------------------------------------------------------------------------------------ */

enum { SIZES_DEFAULT = 10, SIZES_MAX = 10000, SIZES_BYTES_MAX = 256 * 1024 * 1024 };

static void
put_sizes(struct json *j, const char *key, const struct tsdb_sizes *s, enum tsdb_size_kind kind)
{
    json_member_array(j, key);
    for (uint32_t i = 0; i < s->counts[kind]; i++) {
        const struct tsdb_size *x = &s->items[kind][i];
        json_object_open(j);
        if (kind != TSDB_SIZE_METRIC) json_member_bytes(j, "name", x->name);
        if (kind != TSDB_SIZE_NAME) json_member_bytes(j, "value", x->value);
        json_members(j, JSON("bytes", x->bytes), JSON("samples", x->samples));
        json_object_close(j);
    }
    json_array_close(j);
}

static enum err
put_all_sizes(struct json_page *p, const struct tsdb_sizes *s)
{
    struct json *j = p->j;
    char share[32];
    double read = s->rows == 0 ? 1 : (double)s->rows_read / (double)s->rows;
    snprintf(share, sizeof share, "%.6g", read);
    json_object_open(j);
    json_member_bool(j, "exact", s->exact);
    json_key(j, "shareRead");
    json_put_raw(j, bytes_of_text(share));
    json_members(j, JSON("bytes", s->bytes), JSON("samples", s->samples));
    put_sizes(j, "metrics", s, TSDB_SIZE_METRIC);
    put_sizes(j, "labelNames", s, TSDB_SIZE_NAME);
    put_sizes(j, "labelPairs", s, TSDB_SIZE_PAIR);
    json_object_close(j);
    return OK;
}

/* Reads the times and the selector, of which there is at most one. */
static enum err
read_sizes_arguments(struct json_page *p, struct form *form, struct query_request *asked,
                     struct selector *selector)
{
    struct buf error;
    buf_init(&error, NULL, SENTENCE_BYTES_MAX);
    enum err e = form_read(p->request, &p->api->page_budget, form, &p->why);
    if (e == OK) e = form_check_query(form, &p->why);
    const char *match = e ? NULL : form_nth(form, "match[]", 0);
    if (match != NULL && form_nth(form, "match[]", 1) != NULL)
        e = why_set(&p->why, ERR_INPUT, "only one match[] is possible here");
    if (e == OK) e = form_time(form, "start", &asked->min_ms, &error);
    if (e == OK) e = form_time(form, "end", &asked->max_ms, &error);
    if (error.size > 0) why_set(&p->why, e, "%.*s", (int)error.size, (const char *)error.at);
    buf_fini(&error);
    if (e == OK && match != NULL) e = selector_parse(bytes_of_text(match), selector, &p->why);
    return e;
}

enum err
tsdb_bytes_page(struct json_page *p)
{
    struct query_control control = {.env = NULL};
    struct query_request asked = {.tenant = p->tenant,
                                  .min_ms = INT64_MIN,
                                  .max_ms = INT64_MAX,
                                  .control = &control,
                                  .budget = &p->api->read_budget};
    struct selector selector = {.count = 0};
    struct tsdb_sizes sizes;
    struct arena arena;
    struct form form;
    int64_t limit = SIZES_DEFAULT;
    enum err e = page_number(p, "limit", &limit);
    if (e) return e;
    if (limit < 1 || limit > SIZES_MAX)
        return why_set(&p->why, ERR_INPUT, "limit must be between 1 and %d", SIZES_MAX);
    e = read_sizes_arguments(p, &form, &asked, &selector);
    struct matcher_set set = {selector.matchers, selector.count};
    asked.sets = &set;
    asked.set_count = e == OK && selector.count > 0;
    query_control_begin(p->api, p->request, &p->api->read_budget, &control);
    arena_init(&arena, &p->api->read_budget, SIZES_BYTES_MAX, 0);
    if (e == OK) {
        const struct tsdb_sizes_options options = {TSDB_SIZES_ROWS_MAX, (uint32_t)limit};
        e = tsdb_sizes(p->api->options.tsdb, &asked, &options, &arena, &sizes, &p->why);
    }
    if (e == OK) e = put_all_sizes(p, &sizes);
    arena_fini(&arena);
    selector_fini(&selector);
    form_fini(&form);
    return e;
}
