/*
 * status_store.c - pages about the store: status/tsdb and status/tsdb/blocks like Prometheus',
 * status/storage by partitions.
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/status/pages.h"

enum { TOP_COUNT = 10, TOP_COUNT_MAX = 10000, ULID_BYTES = 26 };

/* --- tsdb ------------------------------------------------------------------------------------- */

static void
put_top(struct json *j, const char *key, const struct tsdb_top *top, enum tsdb_ranking ranking)
{
    json_member_array(j, key);
    for (uint32_t i = 0; i < top->counts[ranking]; i++) {
        json_object_open(j);
        json_member_bytes(j, "name", top->items[ranking][i].name);
        json_member_uint(j, "value", top->items[ranking][i].count);
        json_object_close(j);
    }
    json_array_close(j);
}

/* Writes Prometheus' members first; each series in memory counts as one chunk. */
static void
put_head(struct json *j, const struct tsdb_stats *s, const struct tsdb_top *top)
{
    json_member_object(j, "headStats");
    json_member_uint(j, "numSeries", s->head_series);
    json_member_uint(j, "numLabelPairs", top->pairs);
    json_member_uint(j, "chunkCount", s->head_series + s->frozen_series);
    json_member_int(j, "minTime", s->head_min_ms);
    json_member_int(j, "maxTime", s->head_max_ms);
    json_member_uint(j, "numKnownSeries", s->known_series);
    json_member_uint(j, "numSamples", s->head_samples);
    json_member_uint(j, "numExemplars", s->head_exemplars);
    json_member_uint(j, "bytes", s->head_bytes);
    json_object_close(j);
}

enum err
tsdb_page(struct status_page *p)
{
    struct json *j = p->j;
    struct tsdb_stats s;
    struct tsdb_top top;
    struct arena arena;
    int64_t limit = TOP_COUNT;
    if (page_number(p, "limit", &limit) || limit < 1) {
        return why_set(&p->why, ERR_INPUT, "limit must be a positive number");
    }
    if (limit > TOP_COUNT_MAX) {
        return why_set(&p->why, ERR_INPUT, "limit must not exceed %d", TOP_COUNT_MAX);
    }
    tsdb_stats(p->api->options.tsdb, &s);
    arena_init(&arena, &p->api->page_budget, 0, 0);
    enum err e = tsdb_top(p->api->options.tsdb, p->tenant, &arena, (uint32_t)limit, &top);
    if (e == OK) {
        json_object_open(j);
        put_head(j, &s, &top);
        put_top(j, "seriesCountByMetricName", &top, TSDB_METRICS_BY_SERIES);
        put_top(j, "labelValueCountByLabelName", &top, TSDB_NAMES_BY_VALUES);
        put_top(j, "memoryInBytesByLabelName", &top, TSDB_NAMES_BY_BYTES);
        put_top(j, "seriesCountByLabelValuePair", &top, TSDB_PAIRS_BY_SERIES);
        json_member_object(j, "partStats");
        json_member_uint(j, "numParts", s.parts);
        json_member_uint(j, "numSeriesOfAllParts", s.part_series);
        json_member_uint(j, "numSamples", s.part_samples);
        json_member_uint(j, "numExemplars", s.part_exemplars);
        json_member_uint(j, "bytes", s.part_bytes);
        json_member_int(j, "minTime", s.oldest_ms == INT64_MAX ? 0 : s.oldest_ms);
        json_object_close(j);
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
put_block(void *context, const struct tsdb_part *part)
{
    struct json *j = context;
    char ulid[ULID_BYTES + 1];
    bool any = part->time.min_ms <= part->time.max_ms;
    print_ulid(part->number, ulid);
    json_object_open(j);
    json_member_text(j, "ulid", ulid);
    json_member_int(j, "minTime", any ? part->time.min_ms : 0);
    /* maxTime of a block is the first moment after it. */
    json_member_int(j, "maxTime", any && part->time.max_ms < INT64_MAX ? part->time.max_ms + 1 : 0);
    json_member_object(j, "stats");
    json_member_uint(j, "numSamples", part->floats + part->histograms);
    json_member_uint(j, "numFloatSamples", part->floats);
    json_member_uint(j, "numHistogramSamples", part->histograms);
    json_member_uint(j, "numSeries", part->series);
    json_member_uint(j, "numChunks", part->blocks);
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
tsdb_blocks_page(struct status_page *p)
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
    char from[PAGE_TIME_BYTES], to[PAGE_TIME_BYTES];
    page_time(p->time.min_ms, from);
    page_time(p->time.max_ms, to);
    json_object_open(j);
    json_member_text(j, "from", from);
    json_member_text(j, "to", to);
    json_member_uint(j, "parts", p->parts);
    json_member_uint(j, "samples", p->samples);
    json_member_uint(j, "exemplars", p->exemplars);
    json_member_uint(j, "bytes", p->data_bytes + p->index_bytes);
    json_member_uint(j, "dataBytes", p->data_bytes);
    json_member_uint(j, "indexBytes", p->index_bytes);
    json_object_close(j);
}

enum err
storage_page(struct status_page *p)
{
    struct json *j = p->j;
    struct tsdb_stats s;
    tsdb_stats(p->api->options.tsdb, &s);
    json_object_open(j);
    json_member_object(j, "log");
    json_member_uint(j, "bytes", s.wal.segment_bytes);
    json_member_uint(j, "segments", s.wal.segment_count);
    json_object_close(j);
    json_member_object(j, "head");
    json_member_uint(j, "bytes", s.head_bytes);
    json_member_uint(j, "samples", s.head_samples);
    json_member_uint(j, "exemplars", s.head_exemplars);
    json_member_uint(j, "series", s.head_series);
    json_object_close(j);
    json_member_object(j, "parts");
    json_member_uint(j, "parts", s.parts);
    json_member_uint(j, "samples", s.part_samples);
    json_member_uint(j, "exemplars", s.part_exemplars);
    json_member_uint(j, "bytes", s.part_bytes);
    json_member_uint(j, "dataBytes", s.part_data_bytes);
    json_member_uint(j, "indexBytes", s.part_bytes - s.part_data_bytes);
    json_object_close(j);
    json_member_array(j, "partitions");
    enum err e = tsdb_partitions(p->api->options.tsdb, put_partition, j);
    json_array_close(j);
    json_object_close(j);
    return e ? why_set(&p->why, e, "not enough memory for the page") : OK;
}
