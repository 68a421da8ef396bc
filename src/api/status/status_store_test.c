/* status_store_test.c - parts are shown as blocks. */
#include "lib/api/api_asked.h"
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

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts_are_shown_as_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
