/* source_targets_test.c - servers that may be sources. */
#include "lib/test.h"

#include <stdio.h>

#include "config/lists/lists.h"

static struct listener_list listeners;

static enum err
check(const char *listen, const char *external, const char *url, struct why *why)
{
    struct settings settings;
    struct source_settings item = {
        .name = "a", .line = 7, .type = SOURCE_REMOTE_READ, .u.remote_read.url = url};
    struct sources list = {.items = &item, .count = 1};
    settings_default(&settings);
    snprintf(settings.web_listen_address, sizeof settings.web_listen_address, "%s", listen);
    snprintf(settings.web_external_url, sizeof settings.web_external_url, "%s", external);
    return sources_check(&list, &settings, &listeners, why);
}

UNIT_TEST(test_a_source_that_is_the_server_itself_is_refused)
{
    static const char *const ours[][3] = {
        {"127.0.0.1:9201", "", "http://127.0.0.1:9201/api/v1/read"},
        {"127.0.0.1:9201", "", "http://localhost:9201/api/v1/read"},
        {"localhost:9201", "", "http://127.0.0.1:9201/api/v1/read"},
        {"metrics.example:80", "", "http://METRICS.example/api/v1/read"},
        {"metrics.example:443", "", "https://metrics.example/api/v1/read"},
        {":9201", "", "http://localhost:9201/read"},
        {":9201", "", "http://127.0.0.2:9201/read"},
        {"0.0.0.0:9201", "", "http://[::1]:9201/read"},
        {"[::]:9201", "", "http://127.0.0.1:9201/read"},
        {"[::1]:9201", "", "http://[::1]:9201/read"},
        {"unix:/a,10.0.0.1:1,:9201", "", "http://localhost:9201/read"},
        {":9201", "https://m.example/fk", "https://m.example/fk/api/v1/read"},
        {":9201", "https://m.example/fk/", "https://m.example:443/fk/api/v1/read"},
        {":9201", "https://m.example", "https://m.example/api/v1/read"},
    };
    static const char *const others[][3] = {
        {"127.0.0.1:9201", "", "http://127.0.0.1:9202/api/v1/read"},
        {"127.0.0.1:9201", "", "http://127.0.0.2:9201/api/v1/read"},
        {"127.0.0.1:9201", "", "http://[::1]:9201/api/v1/read"},
        {"10.0.0.1:9201", "", "http://localhost:9201/api/v1/read"},
        {"127.0.0.1:9201", "", "http://other.example:9201/api/v1/read"},
        {":9201", "", "http://other.example:9201/api/v1/read"},
        {":9201", "https://m.example/fk", "https://m.example/fks/api/v1/read"},
        {":9201", "https://m.example/fk", "https://m.example/api/v1/read"},
        {":9201", "https://m.example/fk", "http://m.example/fk/api/v1/read"},
        {":9201", "https://m.example", "https://n.example/api/v1/read"},
        {":0", "", "http://localhost/api/v1/read"},
        {"unix:/a,fd://b,:9202", "", "http://localhost:9201/read"},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        struct why why = {""};
        if (check(ours[i][0], ours[i][1], ours[i][2], &why) != ERR_INPUT)
            fail_msg("%s is not refused", ours[i][2]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct why why = {""};
        if (check(others[i][0], others[i][1], others[i][2], &why) != OK) fail_msg("%s", why.text);
    }
    struct why why = {""};
    assert_int_equal(check(":9201", "", "http://localhost:9201/read", &why), ERR_INPUT);
    assert_string_equal(why.text, "source a (line 7): url is an address of this server "
                                  "(web.listen-address); a server cannot read from itself");
}

UNIT_TEST(test_a_source_that_is_a_listener_of_the_list_is_refused)
{
    struct why why = {""};
    struct listener_settings items[] = {{.address = "unix:/a"}, {.address = "[::]:9443"}};
    listeners = (struct listener_list){items, 2};
    assert_int_equal(check(":9201", "", "https://localhost:9443/read", &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "an address of this server (listeners)"));
    assert_int_equal(check(":9201", "", "https://localhost:9444/read", &why), OK);
    listeners = (struct listener_list){NULL, 0};
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_source_that_is_the_server_itself_is_refused),
        cmocka_unit_test(test_a_source_that_is_a_listener_of_the_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
