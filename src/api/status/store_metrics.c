/* store_metrics.c - metrics of ledger, log, head, parts, memory and HTTP. */
#include "api/routes.h"

#include "api/status/pages.h"
#include "model/usage.h"

#define COUNTER METRIC_KIND_COUNTER
#define GAUGE   METRIC_KIND_GAUGE

enum { TENANTS_WITH_ZEROS = 100 };

static void
put(struct metric_sink *sink, const char *name, enum metric_kind kind, const char *help,
    uint64_t value)
{
    struct metric_family family = {name, help, kind};
    metric_put_u64(sink, &family, NULL, 0, value);
}

/* --- results of queries ----------------------------------------------------------------------- */

static void
put_results(struct api *api, struct metric_sink *sink)
{
    struct promql_cache_facts f = promql_cache_look(api->results);
    put(sink, "firekeep_query_cache_requests_total", COUNTER,
        "Range queries that looked for an earlier result.", f.queries);
    put(sink, "firekeep_query_cache_hits_total", COUNTER,
        "Range queries of which steps were in an earlier result.", f.hits);
    put(sink, "firekeep_query_cache_steps_requested_total", COUNTER,
        "Steps of the range queries that looked for an earlier result.", f.steps);
    put(sink, "firekeep_query_cache_steps_hit_total", COUNTER,
        "Steps of range queries that were in an earlier result and did not have to be evaluated.",
        f.steps_kept);
    put(sink, "firekeep_query_cache_evictions_total", COUNTER,
        "Results that were removed to make room for others.", f.evicted);
    put(sink, "firekeep_query_cache_results", GAUGE, "Results of range queries in memory.",
        f.entries);
    put(sink, "firekeep_query_cache_bytes", GAUGE,
        "Memory taken by results of range queries, in bytes.", f.bytes);
}

/* --- the ledger ------------------------------------------------------------------------------- */

enum { IN_PARTS = LEDGER_FIELD_COUNT, PENDING };

static const struct {
    struct metric_family family;
    unsigned field; /* field of the ledger's counts, IN_PARTS or PENDING */
} ledger_numbers[] = {
    {{"firekeep_samples_received_total", "Samples and exemplars received, by kind.", COUNTER},
     LEDGER_RECEIVED},
    {{"firekeep_samples_stored", "Samples and exemplars stored in parts, by kind.", GAUGE},
     IN_PARTS},
    {{"firekeep_samples_pending",
      "Samples and exemplars in the write-ahead log and head that are not yet in a part, by kind.",
      GAUGE},
     PENDING},
    {{"firekeep_samples_duplicate_total",
      "Samples and exemplars received again with the same value, by kind.", COUNTER},
     LEDGER_DUPLICATE},
    {{"firekeep_samples_superseded_total",
      "Samples and exemplars discarded because another value arrived first for their time, by "
      "kind.",
      COUNTER},
     LEDGER_SUPERSEDED},
    {{"firekeep_samples_superseded_by_windows_total",
      "Samples discarded because a rollup of their time was made before and has them, by kind.",
      COUNTER},
     LEDGER_SUPERSEDED_BY_WINDOW},
    {{"firekeep_samples_missed_by_windows_total",
      "Samples lost because a rollup of their time was made before they came, by kind.", COUNTER},
     LEDGER_MISSED_BY_WINDOW},
    {{"firekeep_samples_expired_total", "Samples and exemplars removed by retention, by kind.",
      COUNTER},
     LEDGER_EXPIRED},
    {{"firekeep_samples_deleted_total", "Samples and exemplars deleted on request, by kind.",
      COUNTER},
     LEDGER_DELETED},
    {{"firekeep_samples_damaged_total", "Samples and exemplars lost to damage on disk, by kind.",
      COUNTER},
     LEDGER_DAMAGED},
    {{"firekeep_samples_passed_on_total",
      "Samples and exemplars passed on to destinations without being stored, by kind.", COUNTER},
     LEDGER_PASSED_ON},
    {{"firekeep_samples_downsampled_total", "Samples that merges replaced by rollups, by kind.",
      COUNTER},
     LEDGER_DOWNSAMPLED},
};

static const struct metric_family rejected_family = {
    "firekeep_samples_rejected_total", "Samples and exemplars refused, by kind and reason.",
    COUNTER};
static const struct metric_family metadata_family = {
    "firekeep_metadata_rejected_total",
    "Metadata entries refused, by reason; label_limit means too many metrics.", COUNTER};
static const struct metric_family difference_family = {LEDGER_DIFFERENCE_NAME,
                                                       LEDGER_DIFFERENCE_HELP, GAUGE};

struct ledger_sink {
    struct metric_sink *sink;
    bool zeros; /* false if there are many tenants, each of which has 60 lines with zeros */
};

static void
put_ledger(void *context, struct bytes tenant, const struct ledger *l)
{
    const struct ledger_sink *to = context;
    struct metric_sink *sink = to->sink;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        struct metric_pair pairs[3] = {
            {"tenant", tenant},
            {"kind", bytes_of_text(ledger_kind_word((enum ledger_kind)k))},
        };
        for (unsigned i = 0; i < sizeof ledger_numbers / sizeof *ledger_numbers; i++) {
            unsigned field = ledger_numbers[i].field;
            uint64_t value = field == IN_PARTS  ? l->stored[k]
                             : field == PENDING ? l->pending[k]
                                                : l->count[k][field];
            if (value == 0 && !to->zeros) continue;
            metric_put_u64(sink, &ledger_numbers[i].family, pairs, 2, value);
        }
        int64_t difference = ledger_difference(l, (enum ledger_kind)k);
        if (difference != 0 || to->zeros)
            metric_put_double(sink, &difference_family, pairs, 2, (double)difference);
        for (unsigned r = 1; r < REJECT_COUNT; r++) {
            uint64_t count = l->count[k][LEDGER_REJECTED + r];
            if (count == 0 && !to->zeros) continue;
            pairs[2] = (struct metric_pair){"reason", bytes_of_text(reject_word((enum reject)r))};
            metric_put_u64(sink, &rejected_family, pairs, 3, count);
        }
    }
}

/* --- log, store, HTTP and memory -------------------------------------------------------------- */

static void
put_wal(struct metric_sink *s, const struct wal_stats *w)
{
    put(s, "firekeep_wal_commits_total", COUNTER, "Commits to the write-ahead log.",
        w->commits_total);
    put(s, "firekeep_wal_commit_bytes_total", COUNTER, "Bytes committed to the write-ahead log.",
        w->commit_bytes_total);
    put(s, "firekeep_wal_failures_total", COUNTER, "Commits to the write-ahead log that failed.",
        w->failures_total);
    put(s, "firekeep_wal_down", GAUGE, "1 while the write-ahead log cannot be written, else 0.",
        w->down);
    put(s, "firekeep_wal_over_budget", GAUGE,
        "1 while the write-ahead log has reached wal.budget, else 0.", w->over_budget);
    put(s, "firekeep_wal_segments", GAUGE, "Segments of the write-ahead log.", w->segment_count);
    put(s, "firekeep_wal_bytes", GAUGE, "Size of all segments of the write-ahead log, in bytes.",
        w->segment_bytes);
    put(s, "firekeep_wal_begin_position", GAUGE, "Oldest position in the write-ahead log.",
        w->begin_pos);
    put(s, "firekeep_wal_end_position", GAUGE,
        "Position after the last commit in the write-ahead log.", w->end_pos);
    put(s, "firekeep_wal_readers", GAUGE, "Readers that follow the write-ahead log.", w->readers);
    put(s, "firekeep_wal_readers_behind", GAUGE,
        "Readers whose position in the write-ahead log was removed.", w->readers_behind);
    put(s, "firekeep_wal_segments_made_total", COUNTER, "Segments of the write-ahead log started.",
        w->segments_made_total);
    put(s, "firekeep_wal_segments_recycled_total", COUNTER,
        "Segments of the write-ahead log reused.", w->segments_recycled_total);
}

static void
put_store(struct metric_sink *s, const struct tsdb_stats *t)
{
    put(s, "firekeep_head_series", GAUGE, "Series with samples in the head.", t->head_series);
    put(s, "firekeep_head_known_series", GAUGE,
        "Series whose labels are in the head, with or without samples.", t->known_series);
    put(s, "firekeep_head_samples", GAUGE, "Float samples and native histograms in the head.",
        t->head_samples);
    put(s, "firekeep_head_exemplars", GAUGE, "Exemplars in the head.", t->head_exemplars);
    put(s, "firekeep_head_frozen_series", GAUGE, "Series of the head that are being flushed.",
        t->frozen_series);
    put(s, "firekeep_views", GAUGE, "Views of the store in use by queries.", t->views);
    metric_put_one(s, "firekeep_views_oldest_seconds", GAUGE,
                   "Age of the oldest view in use by a query, in seconds; a view keeps memory and "
                   "files from being freed.",
                   (double)t->view_oldest_ns / 1e9);
    put(s, "firekeep_views_lost_total", COUNTER,
        "Views of queries that were ended because they were held for too long, or because a commit "
        "failed.",
        t->views_lost_total);
    put(s, "firekeep_parts", GAUGE, "Live parts.", t->parts);
    put(s, "firekeep_parts_left_alone", GAUGE,
        "Live parts that are not merged because they are damaged.", t->parts_left_alone);
    put(s, "firekeep_parts_removed", GAUGE,
        "Live parts whose file was removed while the server runs; they can be read until the "
        "server stops.",
        t->parts_removed);
    put(s, "firekeep_parts_set_aside", GAUGE,
        "Parts that were missing or could not be opened at startup.", t->parts_set_aside);
    put(s, "firekeep_damaged_pages_total", COUNTER,
        "Damaged pages of parts found since startup, each counted once.", t->pages_damaged);
    put(s, "firekeep_part_bytes", GAUGE, "Size of live parts, in bytes.", t->part_bytes);
    put(s, "firekeep_part_samples", GAUGE, "Float samples and native histograms in live parts.",
        t->part_samples);
    put(s, "firekeep_part_exemplars", GAUGE, "Exemplars in live parts.", t->part_exemplars);
    put(s, "firekeep_flushes_total", COUNTER, "Flushes of the head to a part.", t->flushes_total);
    put(s, "firekeep_flush_failures_total", COUNTER,
        "Flushes of the head that failed and were retried.", t->flush_failures_total);
    put(s, "firekeep_merges_total", COUNTER, "Merges of parts.", t->merges_total);
    put(s, "firekeep_merge_failures_total", COUNTER, "Merges that failed.",
        t->merge_failures_total);
    put(s, "firekeep_merge_written_bytes_total", COUNTER, "Bytes written by merges.",
        t->merge_bytes_total);
    put(s, "firekeep_tombstones", GAUGE, "Tombstones not yet applied to all parts.", t->tombstones);
    put(s, "firekeep_undone_commits_total", COUNTER, "Commits rolled back after a failed write.",
        t->undone_epochs_total);
    put(s, "firekeep_store_position", GAUGE,
        "Position in the write-ahead log before which everything is in parts.", t->store_pos);
    put(s, "firekeep_page_cache_hits_total", COUNTER, "Pages found in the page cache.",
        t->cache_hits);
    put(s, "firekeep_page_cache_misses_total", COUNTER,
        "Pages read from disk because they were not in the page cache.", t->cache_misses);
    put(s, "firekeep_page_cache_bytes", GAUGE, "Size of the page cache, in bytes.", t->cache_bytes);
    put(s, "firekeep_disk_free_bytes", GAUGE,
        "Free space on the disk of the storage directory, in bytes.", t->free_bytes);
    put(s, "firekeep_disk_low", GAUGE,
        "1 while writes are refused because the disk is nearly full, else 0.", t->disk_low);
    put(s, "firekeep_clock_suspect", GAUGE,
        "1 while the system clock is earlier than the newest sample of a sender by more than "
        "write.max_future, or than this release, or an hour off the clock of the bucket, else 0.",
        t->clock != TSDB_CLOCK_GOOD);
    put(s, "firekeep_tenants", GAUGE, "Known tenants.", t->tenants);
    if (t->newest_ms != INT64_MIN) {
        metric_put_one(s, "firekeep_newest_sample_timestamp_seconds", GAUGE,
                       "Unix time of the newest sample of a sender, in seconds.",
                       (double)t->newest_ms / 1000.0);
    }
}

static void
put_http(struct metric_sink *s, const struct http_stats *h)
{
    static const char *const classes[6] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    static const struct metric_family answers = {"firekeep_http_answers_total",
                                                 "HTTP responses, by status class.", COUNTER};
    put(s, "firekeep_http_connections", GAUGE, "Open HTTP connections.", h->connections_now);
    put(s, "firekeep_http_connections_total", COUNTER, "HTTP connections accepted.",
        h->connections_total);
    put(s, "firekeep_http_connections_refused_total", COUNTER,
        "HTTP connections above web.max-connections, answered with 503 or reset.",
        h->connections_refused);
    put(s, "firekeep_http_connections_displaced_total", COUNTER,
        "HTTP connections without verified credentials that were closed for new ones, beyond "
        "web.max-connections.",
        h->connections_displaced);
    put(s, "firekeep_http_requests_total", COUNTER, "HTTP requests.", h->requests_total);
    put(s, "firekeep_http_body_bytes_total", COUNTER, "Bytes received in HTTP request bodies.",
        h->body_bytes);
    for (unsigned i = 2; i < 6; i++) {
        struct metric_pair pair = {"class", bytes_of_text(classes[i])};
        metric_put_u64(s, &answers, &pair, 1, h->requests_by_class[i]);
    }
    const struct {
        const char *phase;
        uint64_t count;
    } timeouts[] = {{"header", h->timeouts_header},
                    {"body", h->timeouts_body},
                    {"idle", h->timeouts_idle},
                    {"send", h->timeouts_send}};
    static const struct metric_family family = {
        "firekeep_http_timeouts_total", "HTTP connections closed by a timeout, by phase.", COUNTER};
    for (unsigned i = 0; i < 4; i++) {
        struct metric_pair pair = {"phase", bytes_of_text(timeouts[i].phase)};
        metric_put_u64(s, &family, &pair, 1, timeouts[i].count);
    }
}

static void
put_budget(void *context, const struct budget *budget)
{
    metric_put_budget(context, budget);
}

void
store_metrics(struct metric_sink *sink, void *context)
{
    struct api *api = context;
    struct tsdb_stats t;
    tsdb_stats(api->options.tsdb, &t);
    put_wal(sink, &t.wal);
    put_store(sink, &t);
    put_series_rule_metrics(sink, api->options.tsdb);
    for (unsigned r = 1; r <= REJECT_BAD_REFERENCE; r++) {
        if (r == REJECT_DUPLICATE_LABEL) continue;
        struct metric_pair pair = {"reason", bytes_of_text(reject_word((enum reject)r))};
        metric_put_u64(sink, &metadata_family, &pair, 1, t.metadata_rejected[r]);
    }
    struct ledger_sink ledgers = {sink, t.tenants <= TENANTS_WITH_ZEROS};
    tsdb_ledgers(api->options.tsdb, put_ledger, &ledgers);
    for (const struct budget *b = api->options.memory; b != NULL; b = b->parent)
        put_budget(sink, b);
    put_budget(sink, &api->write_budget);
    put_budget(sink, &api->read_budget);
    put_budget(sink, &api->page_budget);
    put_budget(sink, usage_budget(api->options.usage));
    put_results(api, sink);
    tsdb_budgets(api->options.tsdb, put_budget, sink);
    struct http_server *server = atomic_load_explicit(&api->server, memory_order_acquire);
    if (server != NULL) {
        struct http_stats h;
        http_server_stats(server, &h);
        put_http(sink, &h);
    }
    struct metric_family build = {
        "firekeep_build_info", "Build information; always 1, with the version as a label.", GAUGE};
    struct metric_pair version = {"version", bytes_of_text(api->options.version)};
    metric_put_u64(sink, &build, &version, 1, 1);
    uint64_t waiting = writes_committing(api);
    lock_take(&api->lock);
    struct queue_load reads = queue_load_locked(api, QUEUE_READS);
    struct queue_load queries = queue_load_locked(api, QUEUE_QUERIES);
    lock_drop(&api->lock);
    put(sink, "firekeep_write_requests_waiting", GAUGE, "Write requests waiting for a commit.",
        waiting);
    put(sink, "firekeep_reads_waiting", GAUGE,
        "Remote reads and look-ups waiting for their turn: see read.max_concurrent.",
        reads.waiting);
    put(sink, "firekeep_reads_running", GAUGE, "Remote reads and look-ups being answered.",
        reads.running);
    put(sink, "firekeep_queries_waiting", GAUGE,
        "PromQL queries waiting for their turn: see query.max_concurrent.", queries.waiting);
    put(sink, "firekeep_queries_running", GAUGE, "PromQL queries being answered.", queries.running);
}
