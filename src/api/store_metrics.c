/* store_metrics.c - the store's numbers for /metrics: the ledger, log, head, parts, memory, HTTP.
 */
#include "api/internal.h"

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

/* --- the ledger ------------------------------------------------------------------------------- */

enum { IN_PARTS = LEDGER_FIELD_COUNT, PENDING };

static const struct {
    struct metric_family family;
    unsigned field; /* of the ledger's counts, or one of the two above */
} ledger_numbers[] = {
    {{"firekeep_samples_received_total", "Samples and exemplars received, by kind.", COUNTER},
     LEDGER_RECEIVED},
    {{"firekeep_samples_stored", "Samples and exemplars in parts, by kind.", GAUGE}, IN_PARTS},
    {{"firekeep_samples_pending", "Samples and exemplars in log and head only, by kind.", GAUGE},
     PENDING},
    {{"firekeep_samples_duplicate_total", "Received again with the same value.", COUNTER},
     LEDGER_DUPLICATE},
    {{"firekeep_samples_superseded_total", "Lost against an earlier arrival.", COUNTER},
     LEDGER_SUPERSEDED},
    {{"firekeep_samples_expired_total", "Beyond retention.", COUNTER}, LEDGER_EXPIRED},
    {{"firekeep_samples_deleted_total", "Deleted on request.", COUNTER}, LEDGER_DELETED},
    {{"firekeep_samples_damaged_total", "Lost to damage on disk.", COUNTER}, LEDGER_DAMAGED},
    {{"firekeep_samples_passed_on_total", "Kept by no store: for destinations only.", COUNTER},
     LEDGER_PASSED_ON},
};

static const struct metric_family rejected_family = {
    "firekeep_samples_rejected_total", "Samples and exemplars refused, by kind and reason.",
    COUNTER};
static const struct metric_family difference_family = {LEDGER_DIFFERENCE_NAME,
                                                       LEDGER_DIFFERENCE_HELP, GAUGE};

struct ledger_sink {
    struct metric_sink *sink;
    bool zeros; /* of many tenants only what is not zero: each has 60 lines otherwise */
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
        if (difference != 0 || to->zeros) {
            metric_put_double(sink, &difference_family, pairs, 2, (double)difference);
        }
        for (unsigned r = 1; r < REJECT_COUNT; r++) {
            uint64_t count = l->count[k][LEDGER_REJECTED + r];
            if (count == 0 && !to->zeros) continue;
            pairs[2] = (struct metric_pair){"reason", bytes_of_text(reject_word((enum reject)r))};
            metric_put_u64(sink, &rejected_family, pairs, 3, count);
        }
    }
}

/* --- the rest --------------------------------------------------------------------------------- */

static void
put_wal(struct metric_sink *s, const struct wal_stats *w)
{
    put(s, "firekeep_wal_commits_total", COUNTER, "Commits of the write-ahead log.",
        w->commits_total);
    put(s, "firekeep_wal_commit_bytes_total", COUNTER, "Bytes committed to the log.",
        w->commit_bytes_total);
    put(s, "firekeep_wal_failures_total", COUNTER, "Commits that failed.", w->failures_total);
    put(s, "firekeep_wal_down", GAUGE, "1 while the log cannot be written.", w->down);
    put(s, "firekeep_wal_over_budget", GAUGE, "1 while the log has reached its budget.",
        w->over_budget);
    put(s, "firekeep_wal_segments", GAUGE, "Segments of the log.", w->segment_count);
    put(s, "firekeep_wal_bytes", GAUGE, "Bytes of all segments of the log.", w->segment_bytes);
    put(s, "firekeep_wal_begin_position", GAUGE, "The oldest position in the log.", w->begin_pos);
    put(s, "firekeep_wal_end_position", GAUGE, "The position behind the last commit.", w->end_pos);
    put(s, "firekeep_wal_readers", GAUGE, "Readers that follow the log.", w->readers);
    put(s, "firekeep_wal_readers_behind", GAUGE, "Readers for whom the log went on without.",
        w->readers_behind);
    put(s, "firekeep_wal_segments_made_total", COUNTER, "Segments begun.", w->segments_made_total);
    put(s, "firekeep_wal_segments_recycled_total", COUNTER, "Segments used again.",
        w->segments_recycled_total);
}

static void
put_store(struct metric_sink *s, const struct tsdb_stats *t)
{
    put(s, "firekeep_head_series", GAUGE, "Series in the head.", t->head_series);
    put(s, "firekeep_head_known_series", GAUGE, "Series whose labels the head knows.",
        t->known_series);
    put(s, "firekeep_head_samples", GAUGE, "Floats and histograms in the head.", t->head_samples);
    put(s, "firekeep_head_exemplars", GAUGE, "Exemplars in the head.", t->head_exemplars);
    put(s, "firekeep_head_frozen_series", GAUGE, "Series of the generation being flushed.",
        t->frozen_series);
    put(s, "firekeep_views", GAUGE, "Moments of the store that queries look at.", t->views);
    static const struct metric_family oldest = {
        "firekeep_views_oldest_seconds",
        "How long the oldest of them has been looked at: it keeps memory and files.", GAUGE};
    metric_put_double(s, &oldest, NULL, 0, (double)t->view_oldest_ns / 1e9);
    put(s, "firekeep_parts", GAUGE, "Live parts.", t->parts);
    put(s, "firekeep_parts_left_alone", GAUGE,
        "Live parts that are not merged because they are damaged.", t->parts_left_alone);
    put(s, "firekeep_parts_set_aside", GAUGE,
        "Parts that were missing or could not be opened at the start.", t->parts_set_aside);
    put(s, "firekeep_damaged_pages_total", COUNTER,
        "Pages of parts found damaged since the start, each once.", t->pages_damaged);
    put(s, "firekeep_part_bytes", GAUGE, "Bytes of live parts.", t->part_bytes);
    put(s, "firekeep_part_samples", GAUGE, "Floats and histograms in live parts.", t->part_samples);
    put(s, "firekeep_part_exemplars", GAUGE, "Exemplars in live parts.", t->part_exemplars);
    put(s, "firekeep_flushes_total", COUNTER, "Generations written as parts.", t->flushes_total);
    put(s, "firekeep_flush_failures_total", COUNTER, "Flushes that failed and were repeated.",
        t->flush_failures_total);
    put(s, "firekeep_merges_total", COUNTER, "Merges of parts.", t->merges_total);
    put(s, "firekeep_merge_failures_total", COUNTER, "Merges that failed.",
        t->merge_failures_total);
    put(s, "firekeep_merge_written_bytes_total", COUNTER, "Bytes of parts written by merges.",
        t->merge_bytes_total);
    put(s, "firekeep_tombstones", GAUGE, "Deletions of which parts still hold something.",
        t->tombstones);
    put(s, "firekeep_undone_commits_total", COUNTER, "Commits taken back after a failure.",
        t->undone_epochs_total);
    put(s, "firekeep_store_position", GAUGE, "Up to here parts hold everything of the log.",
        t->store_pos);
    put(s, "firekeep_page_cache_hits_total", COUNTER, "Pages found in the cache.", t->cache_hits);
    put(s, "firekeep_page_cache_misses_total", COUNTER, "Pages read from disk.", t->cache_misses);
    put(s, "firekeep_page_cache_bytes", GAUGE, "Bytes of cached pages.", t->cache_bytes);
    put(s, "firekeep_disk_free_bytes", GAUGE, "Free bytes where the store is.", t->free_bytes);
    put(s, "firekeep_disk_low", GAUGE, "1 while writes are refused for want of space.",
        t->disk_low);
    put(s, "firekeep_clock_suspect", GAUGE, "1 while the system clock is not believed.",
        t->clock_suspect);
    put(s, "firekeep_tenants", GAUGE, "Tenants known.", t->tenants);
    if (t->newest_ms != INT64_MIN) {
        static const struct metric_family newest = {"firekeep_newest_sample_timestamp_seconds",
                                                    "Time of the newest sample.", GAUGE};
        metric_put_double(s, &newest, NULL, 0, (double)t->newest_ms / 1000.0);
    }
}

static void
put_metadata(struct metric_sink *sink, const struct tsdb_stats *t)
{
    static const struct metric_family family = {
        "firekeep_metadata_rejected_total",
        "Metadata that was not kept, by reason; label_limit: too many metrics.", COUNTER};
    for (unsigned r = 1; r <= REJECT_BAD_REFERENCE; r++) {
        if (r == REJECT_DUPLICATE_LABEL) continue;
        struct metric_pair pair = {"reason", bytes_of_text(reject_word((enum reject)r))};
        metric_put_u64(sink, &family, &pair, 1, t->metadata_rejected[r]);
    }
}

static void
put_http(struct metric_sink *s, const struct http_stats *h)
{
    static const char *const classes[6] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    static const struct metric_family answers = {"firekeep_http_answers_total",
                                                 "Answers by class of status.", COUNTER};
    put(s, "firekeep_http_connections", GAUGE, "Open connections.", h->connections_now);
    put(s, "firekeep_http_connections_total", COUNTER, "Connections accepted.",
        h->connections_total);
    put(s, "firekeep_http_connections_refused_total", COUNTER,
        "Connections beyond the limit: answered 503, or reset while they send.",
        h->connections_refused);
    put(s, "firekeep_http_requests_total", COUNTER, "Requests.", h->requests_total);
    put(s, "firekeep_http_body_bytes_total", COUNTER, "Bytes of request bodies.", h->body_bytes);
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
        "firekeep_http_timeouts_total", "Connections cut because a deadline passed.", COUNTER};
    for (unsigned i = 0; i < 4; i++) {
        struct metric_pair pair = {"phase", bytes_of_text(timeouts[i].phase)};
        metric_put_u64(s, &family, &pair, 1, timeouts[i].count);
    }
}

static void
put_budget(void *context, const struct budget *b)
{
    struct metric_sink *s = context;
    static const struct metric_family used = {"firekeep_memory_bytes", "Memory drawn on a budget.",
                                              GAUGE};
    static const struct metric_family peak = {"firekeep_memory_peak_bytes",
                                              "The most that was ever drawn on a budget.", GAUGE};
    static const struct metric_family limit = {
        "firekeep_memory_limit_bytes", "What a budget allows; 0: no limit of its own.", GAUGE};
    static const struct metric_family refused = {"firekeep_memory_refused_total",
                                                 "Allocations refused by a budget.", COUNTER};
    struct metric_pair pair = {"budget", bytes_of_text(b->name)};
    metric_put_u64(s, &used, &pair, 1, budget_used(b));
    metric_put_u64(s, &peak, &pair, 1, b->peak_bytes);
    metric_put_u64(s, &limit, &pair, 1, b->limit_bytes);
    metric_put_u64(s, &refused, &pair, 1, b->refused_count);
}

void
store_metrics(struct metric_sink *sink, void *context)
{
    struct api *api = context;
    struct tsdb_stats t;
    tsdb_stats(api->options.tsdb, &t);
    put_wal(sink, &t.wal);
    put_store(sink, &t);
    put_metadata(sink, &t);
    struct ledger_sink ledgers = {sink, t.tenants <= TENANTS_WITH_ZEROS};
    tsdb_ledgers(api->options.tsdb, put_ledger, &ledgers);
    for (const struct budget *b = api->options.memory; b != NULL; b = b->parent) {
        put_budget(sink, b);
    }
    put_budget(sink, &api->write_budget);
    put_budget(sink, &api->read_budget);
    tsdb_budgets(api->options.tsdb, put_budget, sink);
    struct http_server *server = atomic_load_explicit(&api->server, memory_order_acquire);
    if (server != NULL) {
        struct http_stats h;
        http_server_stats(server, &h);
        put_http(sink, &h);
    }
    struct metric_family build = {"firekeep_build_info", "Always 1; the version is a label.",
                                  GAUGE};
    struct metric_pair version = {"version", bytes_of_text(api->options.version)};
    metric_put_u64(sink, &build, &version, 1, 1);
    lock_take(&api->lock);
    uint64_t waiting = api->waiting_count;
    uint64_t jobs = api->queues[QUEUE_READS].waiting, running = api->queues[QUEUE_READS].running;
    lock_drop(&api->lock);
    put(sink, "firekeep_write_requests_waiting", GAUGE, "Requests that wait for a commit.",
        waiting);
    put(sink, "firekeep_queries_waiting", GAUGE, "Reads that wait for a query thread.", jobs);
    put(sink, "firekeep_queries_running", GAUGE, "Reads on query threads.", running);
}
