/* pages_test.c - the document and the files of the web page, as a browser asks for them. */
#include "api/routes.h"

#include "lib/api/api_asked.h"
#include "lib/test.h"

#define HTML "text/html; charset=utf-8"

/* Finds the first file whose path begins so. */
static const struct web_asset *
asset_of(const char *begin)
{
    for (const struct web_asset *a = web_assets; a < web_assets_end; a++)
        if (strncmp(a->path, begin, strlen(begin)) == 0) return a;
    fail_msg("no file begins with %s", begin);
    return NULL;
}

UNIT_TEST(test_files_are_in_the_order_of_their_paths)
{
    for (const struct web_asset *a = web_assets + 1; a < web_assets_end; a++)
        assert_true(strcmp(a[-1].path, a->path) < 0);
}

UNIT_TEST(test_each_page_has_the_document_and_its_policy)
{
    static const char *const paths[] = {"/query",
                                        "/graph",
                                        "/explore",
                                        "/alerts",
                                        "/rules",
                                        "/keep",
                                        "/status",
                                        "/tsdb-status",
                                        "/destinations",
                                        "/sources",
                                        "/targets",
                                        "/queries",
                                        "/tenants",
                                        "/config",
                                        "/flags",
                                        "/dashboards",
                                        "/tools",
                                        "/service-discovery",
                                        "/alertmanager-discovery",
                                        "/discovered-alertmanagers"};
    struct api_rig *rig = api_rig_new();
    api_rig_start(rig);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct asked c = {paths[i],
                          HTTP_GET,
                          paths[i],
                          NULL,
                          NULL,
                          0,
                          200,
                          HTML,
                          "\x1f\x8b",
                          "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                          "style-src 'self'; "};
        api_ask(rig, &c);
        c.header = "Cache-Control: no-cache\n";
        api_ask(rig, &c);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_a_file_is_kept_for_ever_and_sent_once)
{
    const struct web_asset *script = asset_of("/assets/page-");
    char tag[64], other[64], list[64];
    snprintf(tag, sizeof tag, "If-None-Match: %s", script->etag);
    snprintf(list, sizeof list, "If-None-Match: \"x\", %s", script->etag);
    snprintf(other, sizeof other, "If-None-Match: \"x\"");
    const struct asked cases[] = {
        {"the file", HTTP_GET, script->path, NULL, NULL, 0, 200, script->content_type, "\x1f\x8b",
         "Cache-Control: public, max-age=31536000, immutable\n"},
        {"its tag", HTTP_GET, script->path, tag, NULL, 0, 304, NULL, NULL, script->etag},
        {"one of several tags", HTTP_GET, script->path, list, NULL, 0, 304, NULL, NULL, "ETag: "},
        {"any tag", HTTP_GET, script->path, "If-None-Match: *", NULL, 0, 304, NULL, NULL, "ETag: "},
        {"another tag", HTTP_GET, script->path, other, NULL, 0, 200, script->content_type,
         "\x1f\x8b"},
        {"another file", HTTP_GET, "/assets/page-.js", NULL, NULL, 0, 404, TEXT, "not found"},
        {"the folder", HTTP_GET, "/assets/", NULL, NULL, 0, 404, TEXT, "not found"},
    };
    struct api_rig *rig = api_rig_new();
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

UNIT_TEST(test_the_root_leads_browsers_to_the_page)
{
    static const struct asked cases[] = {
        {"a browser", HTTP_GET, "/keep/it/", "Accept: text/html,*/*;q=0.8", NULL, 0, 302, NULL,
         NULL, "Location: query\n"},
        {"without the slash", HTTP_GET, "/keep/it", "Accept: text/html", NULL, 0, 302, NULL, NULL,
         "Location: /keep/it/\n"},
        {"curl", HTTP_GET, "/keep/it/", "Accept: */*", NULL, 0, 200, TEXT, "Below /keep/it/:\n"},
        {"the document", HTTP_GET, "/keep/it/query", NULL, NULL, 0, 200, HTML, "\x1f\x8b"},
        {"a file", HTTP_GET, "/keep/it/assets/licences.txt", NULL, NULL, 0, 200, TEXT, "\x1f\x8b"},
    };
    struct api_rig *rig = api_rig_new();
    rig->options.route_prefix = "/keep/it";
    api_rig_start(rig);
    api_ask_all(rig, cases);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_in_the_order_of_their_paths),
        cmocka_unit_test(test_each_page_has_the_document_and_its_policy),
        cmocka_unit_test(test_a_file_is_kept_for_ever_and_sent_once),
        cmocka_unit_test(test_the_root_leads_browsers_to_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
