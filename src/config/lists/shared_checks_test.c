/*
 * shared_checks_test.c - rules shared by destinations and sources: names, buckets, URLs, headers,
 * tenants.
 */
#include "lib/test.h"

#include "lib/config/config_destinations.h"

UNIT_TEST(test_names_are_plain_and_short)
{
    static const char rule[] =
        "name: expected letters, digits, '-', '_' and '.', not beginning with '.', got";
    static const char *const bad[] = {".a", "a b", "a/b", "\xc3\xa9", "a:b", "..", "a%"};
    char text[200], expected[200], name[66] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "destinations:\n- {name: '%s', type: file, path: /x}\n",
                 bad[i]);
        snprintf(expected, sizeof expected, "f.yml:2:10: %s '%s'", rule, bad[i]);
        check_error(text, expected);
    }
    memset(name, 'n', 65);
    snprintf(text, sizeof text, "destinations:\n- {name: %s, type: file, path: /x}\n", name);
    check_error(text, "f.yml:2:10: name: must be at most 64 bytes, got 65");
    name[64] = 0;
    snprintf(text, sizeof text, "destinations:\n- {name: %s, type: file, path: /x}\n", name);
    check_fine(text, false);
}

UNIT_TEST(test_a_bucket_has_a_name_that_hosts_and_paths_can_have)
{
    static const char *const bad[] = {"ab", "a/b", "..x", "a b c", "arn:aws:s3:::x"};
    char text[400], expected[200], name[257] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "destinations:\n- {name: a, type: s3, bucket: '%s'}\n", bad[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:2:31: bucket: expected a bucket: 3 to 255 letters, digits, '.', '-' and "
                 "'_', got '%s'",
                 bad[i]);
        check_error(text, expected);
    }
    memset(name, 'n', 255);
    snprintf(text, sizeof text, "destinations:\n- {name: a, type: s3, bucket: %s}\n", name);
    check_fine(text, false);
}

UNIT_TEST(test_urls_are_http_with_a_host_and_without_secrets)
{
    static const char rule[] =
        "url: expected a URL that begins with http:// or https:// and has a host";
    static const struct {
        const char *url;
        bool shown;
    } bad[] = {{"h", true},
               {"ftp://h/", true},
               {"http:/h", true},
               {"http://", true},
               {"https:///x", true},
               {"http://h:port/", true},
               {"http://h:99999/", true},
               {"http://a b/", true},
               {"http://[::1/", true},
               {"u:hush@h", false},
               {"ftp://u:hush@h", false},
               {"http://u:hush@", false}};
    char text[200], expected[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "destinations:\n- {name: a, type: opentsdb, url: '%s'}\n",
                 bad[i].url);
        snprintf(expected, sizeof expected, "f.yml:2:34: %s%s%s%s", rule,
                 bad[i].shown ? ", got '" : "", bad[i].shown ? bad[i].url : "",
                 bad[i].shown ? "'" : "");
        check_error(text, expected);
    }
    check_error("destinations:\n- {name: a, type: opentsdb, url: 'http://u:hush@h'}\n",
                "f.yml:2:34: url: must not contain a user name or password; use basic_auth");
    check_error("destinations:\n- {name: a, type: opentsdb, url: 'http://u@h'}\n",
                "f.yml:2:34: url: must not contain a user name or password; use basic_auth");
    check_error("destinations:\n- {name: a, type: opentsdb, url: 'http://h/#x'}\n",
                "f.yml:2:34: url: must not contain a fragment ('#...')");
    check_error(S3_6 "  endpoint: http://u:hush@h\n",
                "f.yml:6:13: endpoint: must not contain a user name or password");
    check_error(S3_6 "  proxy_url: socks5://h\n",
                "f.yml:6:14: proxy_url: expected a URL that begins with http:// or https:// and "
                "has a host, got 'socks5://h'");
    static const char *const good[] = {"http://h",         "https://h:1/p?q=1",
                                       "HTTP://h",         "http://[::1]:80/p",
                                       "http://127.0.0.1", "http://h_1/a%20b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "destinations:\n- {name: a, type: opentsdb, url: '%s'}\n",
                 good[i]);
        check_fine(text, false);
    }
    check_fine(S3_6 "  proxy_url: ''\n", false);
    check_fine(S3_6 "  proxy_url: http://u:hush%40@h:3128\n", false);
    check_fine(S3_6 "  proxy_url: https://u@h\n", false);
    check_error(S3_6 "  proxy_url: socks5://u:hush@h\n",
                "f.yml:6:14: proxy_url: expected a URL that begins with http:// or https:// and "
                "has a host");
}

UNIT_TEST(test_a_prefix_that_paths_of_urls_cannot_have_is_refused)
{
    static const char *const bad[] = {"./", "../", "a/../b/", "a/./", "a/../b", "${tenant}/../"},
                             *const good[] = {".",    "..",         "a/..", ".a/",  "a../b/",
                                              ".../", "${tenant}/", "/",    "a//b/"};
    char text[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, S3_6 "  prefix: '%s'\n", bad[i]);
        check_error(text, "f.yml:6:11: prefix: must not contain the names '.' and '..'");
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, S3_6 "  prefix: '%s'\n", good[i]);
        check_fine(text, false);
    }
}

UNIT_TEST(test_headers_that_are_ours_are_refused)
{
    static const char *const ours[] = {"Host",
                                       "content-length",
                                       "Content-Type",
                                       "X-Amz-Target",
                                       "Content-Encoding",
                                       "User-Agent",
                                       "Connection",
                                       "Transfer-Encoding",
                                       "x-amz-",
                                       "X-Prometheus-Remote-Write-Version"};
    char text[200], expected[200];
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        snprintf(text, sizeof text, OPENTSDB_5 "  headers: {%s: v}\n", ours[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:5:13: headers: header '%s' is set by Firekeep and cannot be changed",
                 ours[i]);
        check_error(text, expected);
    }
    check_error(OPENTSDB_5 "  headers: {'a b': v}\n",
                "f.yml:5:13: headers: expected a header name, got 'a b'");
    check_error(OPENTSDB_5 "  headers: {a: \"hush\\r\"}\n",
                "f.yml:5:16: headers: must not contain control characters");
    check_error(OPENTSDB_5 "  headers: {x-a: v, X-A: v}\n",
                "f.yml:5:12: headers: x-a and X-A are the same header");
    check_error(REMOTE_WRITE_5 "  headers: {authorization: v}\n  sigv4: {}\n",
                "f.yml:5:12: headers: header authorization is set by sigv4");
    check_error(INFLUXDB_5 "  headers: {Authorization: v}\n  version: 1\n  database: d\n"
                           "  token_file: t\n",
                "f.yml:5:12: headers: header Authorization is set by token_file");
    check_error(CLICKHOUSE_6 "  headers: {Authorization: v}\n  authorization: {credentials: c}\n",
                "f.yml:6:12: headers: header Authorization is set by authorization");
    check_error(S3_6 "  headers: {Authorization: v}\n",
                "f.yml:6:12: headers: header Authorization is set by the request signature");
    check_error(REMOTE_WRITE_5 "  headers: {X-Tenant: v}\n  tenant_header: x-tenant\n",
                "f.yml:5:12: headers: header X-Tenant is set by tenant_header");
    check_error(REMOTE_WRITE_5 "  tenant_header: Authorization\n  basic_auth: {username: u}\n",
                "f.yml:5:18: tenant_header: header Authorization is set by basic_auth");
    check_error(
        REMOTE_WRITE_5 "  tenant_header: Host\n",
        "f.yml:5:18: tenant_header: header 'Host' is set by Firekeep and cannot be changed");
    check_fine(OPENTSDB_5 "  headers: {Authorization: v}\n", false);
}

UNIT_TEST(test_without_tenancy_only_anonymous_can_be_named)
{
    static const char expected[] =
        "f.yml:5:12: tenants: tenancy.enabled is false: expected [anonymous] or all";
    check_error(FILE_5 "  tenants: [one]\n", expected);
    check_error(FILE_5 "  tenants: [anonymous, one]\n", expected);
    check_fine(FILE_5 "  tenants: [anonymous]\n", false);
    check_fine(FILE_5 "  tenants: all\n", false);
    check_fine(FILE_5 "  tenants: []\n", false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_plain_and_short),
        cmocka_unit_test(test_a_bucket_has_a_name_that_hosts_and_paths_can_have),
        cmocka_unit_test(test_urls_are_http_with_a_host_and_without_secrets),
        cmocka_unit_test(test_a_prefix_that_paths_of_urls_cannot_have_is_refused),
        cmocka_unit_test(test_headers_that_are_ours_are_refused),
        cmocka_unit_test(test_without_tenancy_only_anonymous_can_be_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
