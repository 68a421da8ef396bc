/* status_store_test.c - parts are shown as blocks, and all figures are those of the store. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_parts_are_shown_as_blocks)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask(rig, &(struct asked){"a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204,
                                 NULL, NULL});
    machine_flush(&rig->m);
    api_ask(rig,
            &(struct asked){"a block", HTTP_GET, "/api/v1/status/tsdb/blocks", NULL, NULL, 0, 200,
                            JSON_TYPE,
                            "{\"blocks\":[{\"ulid\":\"00000000000000000000000001\","
                            "\"minTime\":1767225600000,\"maxTime\":1767225600002,"
                            "\"stats\":{\"numSamples\":2,\"numFloatSamples\":2,"
                            "\"numHistogramSamples\":0,\"numSeries\":1,\"numChunks\":1},"
                            "\"compaction\":{\"level\":1,"
                            "\"sources\":[\"00000000000000000000000001\"]},\"version\":1}]}}"});
    api_ask(rig,
            &(struct asked){"a head of nothing", HTTP_GET, "/api/v1/status/tsdb", NULL, NULL, 0,
                            200, JSON_TYPE,
                            "\"minTime\":9223372036854775807,\"maxTime\":-9223372036854775808,"});
    api_rig_free(rig);
}

#define LU(x) ((unsigned long)(x))

static void
ask_page(struct api_rig *rig, const char *path, const char *fragment)
{
    api_ask(rig,
            &(struct asked){"a page", HTTP_GET, path, NULL, NULL, 0, 200, JSON_TYPE, fragment});
}

/* Writes the same samples before and after a flush. */
static struct api_rig *
write_twice(struct tsdb_stats *ret_stats)
{
    static const struct asked write = {
        "a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204, NULL, NULL};
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask(rig, &write);
    machine_flush(&rig->m);
    api_ask(rig, &write);
    tsdb_stats(rig->m.db, ret_stats);
    return rig;
}

UNIT_TEST(test_bytes_are_shown_by_metric_and_label)
{
    struct tsdb_stats s;
    struct api_rig *rig = write_twice(&s);
    ask_page(rig, "/api/v1/status/tsdb/bytes",
             "\"data\":{\"exact\":true,\"shareRead\":1,\"bytes\":");
    ask_page(rig, "/api/v1/status/tsdb/bytes", "\"samples\":2,\"metrics\":[{\"value\":\"up\",");
    ask_page(rig, "/api/v1/status/tsdb/bytes", "\"labelNames\":[{\"name\":\"__name__\",\"bytes\":");
    ask_page(rig, "/api/v1/status/tsdb/bytes?match[]=down",
             "\"bytes\":0,\"samples\":0,\"metrics\":[],");
    api_rig_free(rig);
}

UNIT_TEST(test_figures_of_the_store_are_shown)
{
    char text[1000];
    struct tsdb_stats s;
    struct api_rig *rig = write_twice(&s);
    assert_true(s.parts == 1 && s.part_bytes > s.part_data_bytes && s.head_samples == 2);
    assert_true(s.part_data_bytes > 0 && s.part_exemplars == 1 && s.head_exemplars == 1);
    snprintf(text, sizeof text,
             "{\"log\":{\"bytes\":%lu,\"segments\":%lu},"
             "\"head\":{\"bytes\":%lu,\"samples\":2,\"exemplars\":1,\"series\":1},"
             "\"parts\":{\"parts\":1,\"samples\":2,\"exemplars\":1,\"bytes\":%lu,\"dataBytes\":%lu,"
             "\"indexBytes\":%lu},"
             "\"partitions\":[{\"from\":\"2025-12-31T00:00:00Z\",\"to\":\"2026-01-01T00:00:00Z\",",
             LU(s.wal.segment_bytes), LU(s.wal.segment_count), LU(s.head_bytes), LU(s.part_bytes),
             LU(s.part_data_bytes), LU(s.part_bytes - s.part_data_bytes));
    ask_page(rig, "/api/v1/status/storage", text);
    snprintf(text, sizeof text,
             "\"parts\":1,\"samples\":2,\"exemplars\":1,\"bytes\":%lu,\"dataBytes\":%lu,"
             "\"indexBytes\":%lu,\"resolutions\":[]}],\"merges\":[],",
             LU(s.part_bytes), LU(s.part_data_bytes), LU(s.part_bytes - s.part_data_bytes));
    ask_page(rig, "/api/v1/status/storage", text);
    snprintf(text, sizeof text,
             "\"numKnownSeries\":1,\"numSamples\":2,\"numExemplars\":1,\"bytes\":%lu},",
             LU(s.head_bytes));
    ask_page(rig, "/api/v1/status/tsdb", text);
    snprintf(text, sizeof text,
             "\"partStats\":{\"numParts\":1,\"numSeriesOfAllParts\":1,\"numSamples\":2,"
             "\"numExemplars\":1,\"bytes\":%lu,\"minTime\":1767225600000}",
             LU(s.part_bytes));
    ask_page(rig, "/api/v1/status/tsdb", text);
    snprintf(text, sizeof text,
             "\"timeSeriesCount\":1,\"tenants\":1,\"parts\":1,\"partBytes\":%lu,"
             "\"walSegments\":%lu,\"walBytes\":%lu}",
             LU(s.part_bytes), LU(s.wal.segment_count), LU(s.wal.segment_bytes));
    ask_page(rig, "/api/v1/status/runtimeinfo", text);
    api_rig_free(rig);
}

enum { MERGED_SAMPLES = 70000 }; /* a merge asks at least once before it has written them */

static bool
see_merge(void *context)
{
    struct api_rig *rig = context;
    char text[256];
    struct tsdb_stats s;
    tsdb_stats(rig->m.db, &s);
    snprintf(text, sizeof text,
             "\"merges\":[{\"since\":\"2026-01-01T00:00:00Z\",\"parts\":2,\"samples\":%d,"
             "\"bytes\":%lu,\"level\":3,\"from\":\"2026-01-01T00:00:00Z\",\"to\":\"2026-01-01T",
             MERGED_SAMPLES, LU(s.part_bytes));
    ask_page(rig, "/api/v1/status/storage", text);
    ask_page(rig, "/api/v1/status/storage", "\"outputs\":1,\"outputsDone\":0}],");
    return false;
}

UNIT_TEST(test_a_merge_is_shown_while_it_runs)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    struct tsdb_merge_result result;
    struct why why;
    for (unsigned part = 0; part < 2; part++) {
        struct rq rq;
        rq_init(&rq, RW_V1);
        rq_series(&rq, "__name__=up");
        for (int i = 0; i < MERGED_SAMPLES / 2; i++)
            rq_float(&rq, SIM_BEGIN + 1 + part * MINUTE_MS + i, (uint64_t)i, 0);
        must(machine_send(&rig->m, "anonymous", &rq));
        machine_commit(&rig->m);
        machine_flush(&rig->m);
    }
    const struct tsdb_merge_options options = {
        .mode = TSDB_MERGE_FULL, .go_on = see_merge, .context = rig};
    assert_int_equal(tsdb_merge(rig->m.db, &options, &result, &why), ERR_CANCELED);
    ask_page(rig, "/api/v1/status/storage", "\"merges\":[],");
    api_rig_free(rig);
}

/* Checks lines `NAME VALUE` of /metrics. */
UNIT_TEST(test_metrics_of_the_store_are_its_figures)
{
    struct tsdb_stats s;
    struct http_request r;
    struct api_rig *rig = write_twice(&s);
    const struct {
        const char *name;
        uint64_t value;
    } metrics[] = {
        {"wal_commits_total", s.wal.commits_total},
        {"wal_commit_bytes_total", s.wal.commit_bytes_total},
        {"wal_failures_total", 0},
        {"wal_down", 0},
        {"wal_over_budget", 0},
        {"wal_segments", s.wal.segment_count},
        {"wal_bytes", s.wal.segment_bytes},
        {"wal_begin_position", s.wal.begin_pos},
        {"wal_end_position", s.wal.end_pos},
        {"wal_readers", 0},
        {"wal_readers_behind", 0},
        {"wal_segments_made_total", s.wal.segments_made_total},
        {"wal_segments_recycled_total", s.wal.segments_recycled_total},
        {"head_series", 1},
        {"head_known_series", 1},
        {"head_samples", 2},
        {"head_exemplars", 1},
        {"head_frozen_series", 0},
        {"views", 0},
        {"views_oldest_seconds", 0},
        {"views_lost_total", 0},
        {"parts", 1},
        {"parts_left_alone", 0},
        {"parts_removed", 0},
        {"parts_set_aside", 0},
        {"damaged_pages_total", 0},
        {"part_bytes", s.part_bytes},
        {"part_samples", 2},
        {"part_exemplars", 1},
        {"flushes_total", 1},
        {"flush_failures_total", 0},
        {"merges_total", 0},
        {"merge_failures_total", 0},
        {"merge_written_bytes_total", 0},
        {"tombstones", 0},
        {"undone_commits_total", 0},
        {"store_position", s.store_pos},
        {"page_cache_hits_total", s.cache_hits},
        {"page_cache_misses_total", s.cache_misses},
        {"page_cache_bytes", s.cache_bytes},
        {"disk_free_bytes", s.free_bytes},
        {"disk_low", 0},
        {"clock_suspect", 0},
        {"tenants", 1},
        {"write_requests_waiting", 0},
        {"reads_waiting", 0},
        {"reads_running", 0},
        {"queries_waiting", 0},
        {"queries_running", 0},
        {"query_cache_requests_total", 0},
        {"query_cache_hits_total", 0},
        {"query_cache_steps_requested_total", 0},
        {"query_cache_steps_hit_total", 0},
        {"query_cache_evictions_total", 0},
        {"query_cache_results", 0},
        {"query_cache_bytes", 0},
    };
    api_rig_ask(rig, &r, HTTP_GET, "/metrics", NULL, bytes_of("", 0));
    const char *page = http_double_text(&r);
    for (unsigned i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        char line[128];
        snprintf(line, sizeof line, "\nfirekeep_%s %lu\n", metrics[i].name, LU(metrics[i].value));
        if (strstr(page, line) == NULL) fail_msg("not in /metrics:%s", line);
    }
    assert_non_null(strstr(page, "\nfirekeep_newest_sample_timestamp_seconds 1767225600"));
    assert_non_null(strstr(page, "\nfirekeep_build_info{version=\"1.2.3\"} 1\n"));
    buf_fini(&r.text);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_shown_as_blocks),
        cmocka_unit_test(test_bytes_are_shown_by_metric_and_label),
        cmocka_unit_test(test_figures_of_the_store_are_shown),
        cmocka_unit_test(test_a_merge_is_shown_while_it_runs),
        cmocka_unit_test(test_metrics_of_the_store_are_its_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
