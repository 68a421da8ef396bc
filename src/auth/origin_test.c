/* origin_test.c - requests of pages of this server, and of others. */
#include "auth/origin.h"

#include "lib/test.h"

UNIT_TEST(test_an_origin_is_our_own_or_foreign)
{
    static const struct {
        const char *origin, *host, *external;
        bool foreign;
    } cases[] = {
        {NULL, "a:1", "", false},
        {"", "a:1", "", false},
        {"http://a:1", "a:1", "", false},
        {"http://A:1", "a:1", "", false},
        {"https://a:1", "a:1", "", false}, /* behind a proxy with TLS */
        {"http://a", "a:80", "", false},
        {"http://a:80", "a", "", false},
        {"https://a", "a:443", "", false},
        {"https://a", "a", "", false},
        {"http://a", "a.", "", false},
        {"http://[::1]:9", "[::1]:9", "", false},
        {"http://[::1]", "[::1]", "", false},
        {"http://a:1", "a:2", "", true},
        {"http://a", "a:443", "", true},
        {"https://a", "a:80", "", true},
        {"http://b:1", "a:1", "", true},
        {"http://a.b:1", "a:1", "", true},
        {"http://a:1.b", "a:1", "", true},
        {"http://a:1@b", "a:1", "", true},
        {"null", "a:1", "", true},
        {"null", "null", "", true},
        {"file://", "a:1", "", true},
        {"moz-extension://a:1", "a:1", "", true},
        {"a:1", "a:1", "", true},
        {"http://", "", "", true},
        {"http://:1", ":1", "", true},
        {"http://a:99999", "a:99999", "", true},
        {"http://a:x", "a:x", "", true},
        {"http://a:1", NULL, "", true},
        {"https://e.org", "a:1", "https://e.org/path", false},
        {"https://e.org:443", "a:1", "https://E.org", false},
        {"http://e.org", "a:1", "https://e.org/path", true},
        {"https://e.org:444", "a:1", "https://e.org/path", true},
        {"https://e.org", "a:1", "/path", true},
        {"https://e.org.x", "a:1", "https://e.org", true},
        {"http://a:1", "a:1", "https://e.org", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (origin_is_foreign(cases[i].origin, cases[i].host, cases[i].external) !=
            cases[i].foreign)
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
}

UNIT_TEST(test_a_host_is_our_own_or_not)
{
    static const struct {
        const char *host, *allowed, *external;
        bool own;
    } cases[] = {
        {NULL, "", "", true},
        {"127.0.0.1", "", "", true},
        {"127.0.0.1:9201", "", "", true},
        {"192.0.2.1:9201", "", "", true},
        {"[::1]:9201", "", "", true},
        {"[::1]", "", "", true},
        {"localhost", "", "", true},
        {"LocalHost:1", "", "", true},
        {"localhost.:1", "", "", true},
        {"evil.test", "", "", false},
        {"evil.test:9201", "", "", false},
        {"localhost.evil.test", "", "", false},
        {"127.0.0.1.evil.test", "", "", false},
        {"127.1", "", "", false},
        {"::1", "", "", false},
        {"[evil.test]", "", "", false},
        {"[127.0.0.1]", "", "", false},
        {"[::1", "", "", false},
        {"[::1]x", "", "", false},
        {"", "", "", false},
        {":9201", "", "", false},
        {"localhost:x", "", "", false},
        {"a.test:1", "b.test,a.test", "", true},
        {"A.test.", "a.test", "", true},
        {"a.test", "b.a.test,a.tes", "", false},
        {"e.org", "", "https://e.org/path", true},
        {"e.org:9201", "", "http://e.org:80", true},
        {"e.org", "", "/path", false},
        {"f.org", "a", "https://e.org", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (origin_host_is_own(cases[i].host, cases[i].allowed, cases[i].external) != cases[i].own)
            fail_msg("%s", cases[i].host);
}

UNIT_TEST(test_types_of_forms_are_recognized)
{
    static const char *const forms[] = {
        "application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded;charset=UTF-8",
        "multipart/form-data; boundary=x",   "text/plain",
        " text/plain ;charset=utf-8",        "text/plain,application/json",
    };
    static const char *const others[] = {
        "", "application/x-protobuf", "application/yaml", "text/plainer", "text/html", "multipart",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!origin_type_is_form(forms[i])) fail_msg("%s", forms[i]);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (origin_type_is_form(others[i])) fail_msg("%s", others[i]);
    assert_false(origin_type_is_form(NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_origin_is_our_own_or_foreign),
        cmocka_unit_test(test_a_host_is_our_own_or_not),
        cmocka_unit_test(test_types_of_forms_are_recognized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
