/* targets_test.c - no targets exist here, and invalid requests about them are refused. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

UNIT_TEST(test_there_are_no_targets_rules_and_alerts)
{
    static const struct asked cases[] = {
        {"rules", HTTP_GET,
         "/api/v1/rules?type=ALERT&exclude_alerts=True&group_limit=2147483647&match[]=up"
         "&rule_name[]=a&file[]=b",
         NULL, NULL, 0, 200, JSON_TYPE, "{\"status\":\"success\",\"data\":{\"groups\":[]}}"},
        {"alerts", HTTP_GET, "/api/v1/alerts", NULL, NULL, 0, 200, JSON_TYPE, "{\"alerts\":[]}"},
        {"Alertmanagers", HTTP_GET, "/api/v1/alertmanagers", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"},
        {"targets", HTTP_GET, "/api/v1/targets?scrapePool=a", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"},
        {"active ones", HTTP_GET, "/api/v1/targets?state=ACTIVE", NULL, NULL, 0, 200, JSON_TYPE,
         "\"droppedTargetCounts\":null}"},
        {"metadata", HTTP_GET, "/api/v1/targets/metadata?limit=-1&match_target={}", NULL, NULL, 0,
         200, JSON_TYPE, "\"data\":[]}"},
        {"pools", HTTP_GET, "/api/v1/scrape_pools", NULL, NULL, 0, 200, JSON_TYPE,
         "{\"scrapePools\":[]}"},
        {"notifications", HTTP_GET, "/api/v1/notifications", NULL, NULL, 0, 200, JSON_TYPE,
         "\"data\":[]}"},
        {"a stream of them", HTTP_GET, "/api/v1/notifications/live", NULL, NULL, 0, 204, NULL,
         NULL},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

#define BAD(text) "\"errorType\":\"bad_data\",\"error\":\"" text "\"}"

UNIT_TEST(test_wrong_questions_about_them_are_refused)
{
    static const struct asked cases[] = {
        {"no selector", HTTP_GET, "/api/v1/rules?match[]={&type=x", NULL, NULL, 0, 400, JSON_TYPE,
         BAD("1:2: parse error: unexpected end of input inside braces")},
        {"a selector of all", HTTP_GET, "/api/v1/rules?match[]={}", NULL, NULL, 0, 400, JSON_TYPE,
         BAD("match[] must contain at least one non-empty matcher")},
        {"no type", HTTP_GET, "/api/v1/rules?type=X&exclude_alerts=x", NULL, NULL, 0, 400,
         JSON_TYPE, BAD("invalid parameter \\\"type\\\": not supported value \\\"x\\\"")},
        {"neither yes nor no", HTTP_GET, "/api/v1/rules?exclude_alerts=Maybe&group_limit=x", NULL,
         NULL, 0, 400, JSON_TYPE,
         BAD("invalid parameter \\\"exclude_alerts\\\": error converting exclude_alerts: "
             "strconv.ParseBool: parsing \\\"maybe\\\": invalid syntax")},
        {"a page of no size", HTTP_GET, "/api/v1/rules?group_limit=0", NULL, NULL, 0, 400,
         JSON_TYPE,
         BAD("invalid parameter \\\"group_limit\\\": group_limit needs to be greater than 0")},
        {"a page without bounds", HTTP_GET, "/api/v1/rules?group_limit=2147483648", NULL, NULL, 0,
         400, JSON_TYPE,
         BAD("invalid parameter \\\"group_limit\\\": group_limit needs to be a valid number: "
             "strconv.ParseInt: parsing \\\"2147483648\\\": value out of range")},
        {"the next of no pages", HTTP_GET, "/api/v1/rules?group_next_token=x", NULL, NULL, 0, 400,
         JSON_TYPE, "group_limit needs to be present in order to paginate over the groups"},
        {"a page that is not", HTTP_GET, "/api/v1/rules?group_next_token=x&group_limit=1", NULL,
         NULL, 0, 400, JSON_TYPE,
         BAD("invalid parameter \\\"group_next_token\\\": invalid group_next_token 'x'. were rule "
             "groups changed?")},
        {"no limit", HTTP_GET, "/api/v1/targets/metadata?limit=x&match_target={", NULL, NULL, 0,
         400, JSON_TYPE, BAD("limit must be a number")},
        {"no selector", HTTP_GET, "/api/v1/targets/metadata?match_target={", NULL, NULL, 0, 400,
         JSON_TYPE,
         BAD("invalid parameter \\\"match_target\\\": 1:2: parse error: unexpected end of input "
             "inside braces")},
        {"no pool", HTTP_GET, "/api/v1/targets/relabel_steps?labels={}", NULL, NULL, 0, 400,
         JSON_TYPE, BAD("no scrapePool parameter provided")},
        {"no labels", HTTP_GET, "/api/v1/targets/relabel_steps?scrapePool=a", NULL, NULL, 0, 400,
         JSON_TYPE, BAD("no labels parameter provided")},
        {"a pool that is not", HTTP_GET, "/api/v1/targets/relabel_steps?scrapePool=a&labels={}",
         NULL, NULL, 0, 400, JSON_TYPE,
         BAD("error retrieving scrape config: scrape pool \\\"a\\\" not found")},
    };
    struct api_rig *rig = api_rig_start(api_rig_new());
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_are_no_targets_rules_and_alerts),
        cmocka_unit_test(test_wrong_questions_about_them_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
