/* status_store_test.c - parts are shown as blocks, and all figures are those of the store. */
#include "lib/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_parts_are_shown_as_blocks)
{
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask(rig, &(struct asked){"a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204,
                                 NULL, NULL});
    machine_flush(&rig->m);
    api_ask(rig, &(struct asked){
                     "a block", HTTP_GET, "/api/v1/status/tsdb/blocks", NULL, NULL, 0, 200, JSON,
                     "{\"blocks\":[{\"ulid\":\"00000000000000000000000001\","
                     "\"minTime\":1767225600000,\"maxTime\":1767225600002,"
                     "\"stats\":{\"numSamples\":2,\"numFloatSamples\":2,"
                     "\"numHistogramSamples\":0,\"numSeries\":1,\"numChunks\":1},"
                     "\"compaction\":{\"level\":1,"
                     "\"sources\":[\"00000000000000000000000001\"]},\"version\":1}]}}"});
    api_ask(rig, &(struct asked){
                     "a head of nothing", HTTP_GET, "/api/v1/status/tsdb", NULL, NULL, 0, 200, JSON,
                     "\"minTime\":9223372036854775807,\"maxTime\":-9223372036854775808,"});
    api_rig_free(rig);
}

#define LU(x) ((unsigned long)(x))

static void
ask_page(struct api_rig *rig, const char *path, const char *fragment)
{
    api_ask(rig, &(struct asked){"a page", HTTP_GET, path, NULL, NULL, 0, 200, JSON, fragment});
}

UNIT_TEST(test_figures_of_the_store_are_shown)
{
    char text[1000];
    struct tsdb_stats s;
    struct api_rig *rig = api_rig_start(api_rig_new());
    static const struct asked write = {
        "a write", HTTP_POST, "/api/v1/write", NULL, NULL, WRITE_V1, 204, NULL, NULL};
    api_ask(rig, &write);
    machine_flush(&rig->m);
    api_ask(rig, &write);
    tsdb_stats(rig->m.db, &s);
    assert_true(s.parts == 1 && s.part_bytes > s.part_data_bytes && s.head_samples == 2);
    assert_true(s.part_data_bytes > 0 && s.part_exemplars == 1 && s.head_exemplars == 1);
    snprintf(text, sizeof text,
             "{\"log\":{\"bytes\":%lu,\"segments\":%lu},"
             "\"head\":{\"bytes\":%lu,\"samples\":2,\"exemplars\":1,\"series\":1},"
             "\"parts\":{\"parts\":1,\"samples\":2,\"exemplars\":1,\"bytes\":%lu,\"dataBytes\":%lu,"
             "\"indexBytes\":%lu},"
             "\"partitions\":[{\"from\":\"2026-01-01T00:00:00Z\",\"to\":\"2026-01-01T",
             LU(s.wal.segment_bytes), LU(s.wal.segment_count), LU(s.head_bytes), LU(s.part_bytes),
             LU(s.part_data_bytes), LU(s.part_bytes - s.part_data_bytes));
    ask_page(rig, "/api/v1/status/storage", text);
    snprintf(text, sizeof text,
             "\"parts\":1,\"samples\":2,\"exemplars\":1,\"bytes\":%lu,\"dataBytes\":%lu,"
             "\"indexBytes\":%lu}]}",
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_shown_as_blocks),
        cmocka_unit_test(test_figures_of_the_store_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
