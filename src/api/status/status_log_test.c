/* status_log_test.c - the page about the log: filters, order, limits, errors. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

#include "base/log.h"

static const struct asked_line {
    enum log_level level;
    int64_t t_ms;
    const char *text;
} kept[] = {
    {LOG_INFO, 1767225600000, "level=info msg=\"one\""},
    {LOG_ERROR, 1767225601000, "level=error msg=two"},
    {LOG_WARN, 1767225602500, "level=warn msg=three"},
};

static void
keep_lines(void)
{
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        log_kept_put(kept[i].level, kept[i].t_ms, kept[i].text, strlen(kept[i].text));
}

#define LOG "/api/v1/status/log"
#define ONE                                                                           \
    "\"time\":\"2026-01-01T00:00:00.000Z\",\"level\":\"info\",\"line\":\"level=info " \
    "msg=\\\"one\\\"\"}"
#define TWO \
    "\"time\":\"2026-01-01T00:00:01.000Z\",\"level\":\"error\",\"line\":\"level=error msg=two\"}"
#define THREE \
    "\"time\":\"2026-01-01T00:00:02.500Z\",\"level\":\"warn\",\"line\":\"level=warn msg=three\"}"

UNIT_TEST(test_lines_are_shown_by_level_time_and_number)
{
    static const struct asked cases[] = {
        {"all", HTTP_GET, LOG, NULL, NULL, 0, 200, JSON_TYPE,
         "{\"leftOff\":0,\"lines\":[{\"number\":1," ONE ",{\"number\":2," TWO
         ",{\"number\":3," THREE "]}}"},
        {"warnings", HTTP_GET, LOG "?level=warn", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"leftOff\":0,\"lines\":[{\"number\":2," TWO ",{\"number\":3," THREE "]}}"},
        {"the newest", HTTP_GET, LOG "?limit=1", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"leftOff\":2,\"lines\":[{\"number\":3," THREE "]}}"},
        {"since", HTTP_GET, LOG "?since=2026-01-01T00:00:01Z&level=error", NULL, NULL, 0, 200,
         JSON_TYPE, "{\"leftOff\":0,\"lines\":[{\"number\":2," TWO "]}}"},
        {"none", HTTP_GET, LOG "?since=1767225603", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"leftOff\":0,\"lines\":[]}}"},
        {"no level", HTTP_GET, LOG "?level=fatal", NULL, NULL, 0, 400, JSON_TYPE,
         "level must be debug, info, warn or error"},
        {"no time", HTTP_GET, LOG "?since=x", NULL, NULL, 0, 400, JSON_TYPE,
         "since must be a time"},
        {"no number", HTTP_GET, LOG "?limit=x", NULL, NULL, 0, 400, JSON_TYPE,
         "limit must be a number"},
        {"too many", HTTP_GET, LOG "?limit=10001", NULL, NULL, 0, 400, JSON_TYPE,
         "limit must be between 1 and 10000"},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    keep_lines();
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_shown_by_level_time_and_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
