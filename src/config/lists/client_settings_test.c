/* client_settings_test.c - the file of --http.config.file. */
#include "config/lists/client_texts.h"

#include "lib/test.h"

static struct client_settings
read_client(const char *text)
{
    struct client_settings settings = {.arena = NULL};
    struct why why = {""};
    enum err e =
        client_settings_yaml("/etc/firekeep/client.yml", bytes_of_text(text), &settings, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return settings;
}

static void
check_error(const char *text, const char *expected)
{
    struct client_settings settings = {.follow_redirects = true};
    struct why why = {""};
    assert_int_equal(client_settings_yaml("f.yml", bytes_of_text(text), &settings, &why),
                     ERR_INPUT);
    assert_string_equal(why.text, expected);
    assert_true(settings.follow_redirects);
    assert_null(settings.arena);
}

UNIT_TEST(test_a_file_has_the_client_settings_of_prometheus)
{
    struct client_settings s =
        read_client("basic_auth: {username: alice, password_file: hidden/password}\n"
                    "tls_config: {ca_file: ca.pem, cert_file: c.pem, key_file: /k.pem,\n"
                    "             server_name: db, min_version: TLS12, max_version: TLS13,\n"
                    "             insecure_skip_verify: true}\n"
                    "proxy_url: http://u:hush@proxy:3128\n"
                    "no_proxy: localhost\n"
                    "http_headers: {X-One: {values: [a], secrets: [b], files: [one]}}\n"
                    "follow_redirects: true\n"
                    "enable_http2: false\n");
    assert_string_equal(s.basic_auth.username, "alice");
    assert_string_equal(s.basic_auth.password.file, "/etc/firekeep/hidden/password");
    assert_string_equal(s.http.tls.ca_file, "/etc/firekeep/ca.pem");
    assert_string_equal(s.http.tls.cert_file, "/etc/firekeep/c.pem");
    assert_string_equal(s.http.tls.key_file, "/k.pem");
    assert_string_equal(s.http.tls.server_name, "db");
    assert_string_equal(s.http.tls.min_version, "TLS12");
    assert_string_equal(s.http.tls.max_version, "TLS13");
    assert_true(s.http.tls.insecure_skip_verify);
    assert_string_equal(s.http.proxy_url, "http://u:hush@proxy:3128");
    assert_string_equal(s.http.no_proxy, "localhost");
    assert_int_equal(s.http.headers.count, 3);
    assert_string_equal(s.http.headers.items[1].name, "X-One");
    assert_string_equal(s.http.headers.items[1].value.text, "b");
    assert_string_equal(s.http.headers.items[2].value.file, "/etc/firekeep/one");
    client_settings_free(&s);
    s = read_client("authorization: {credentials_file: token}\n");
    assert_string_equal(s.authorization.type, "Bearer");
    assert_string_equal(s.authorization.credentials.file, "/etc/firekeep/token");
    client_settings_free(&s);
    s = read_client("oauth2: {client_id: c, client_secret_file: s, token_url: 'https://t'}\n");
    assert_string_equal(s.oauth2.client_secret.file, "/etc/firekeep/s");
    client_settings_free(&s);
}

UNIT_TEST(test_an_empty_file_has_the_defaults)
{
    static const char *const texts[] = {"", "# nothing\n", "{}\n", "null\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct client_settings s = read_client(texts[i]);
        assert_null(s.basic_auth.username);
        assert_null(s.http.proxy_url);
        assert_int_equal(s.http.headers.count, 0);
        client_settings_free(&s);
    }
}

UNIT_TEST(test_an_error_names_the_place_and_shows_no_secret)
{
    check_error("basic_auht: {}\n",
                "f.yml:1:1: unknown key 'basic_auht'; did you mean 'basic_auth'?");
    check_error("tls_config:\n  ca_fil: x\n",
                "f.yml:2:3: unknown key 'ca_fil' in 'tls_config'; did you mean 'ca_file'?");
    check_error(
        "basic_auth: {username: a, password: x}\nauthorization: {credentials: hush}\n",
        "f.yml:2:1: 'authorization' and 'basic_auth' cannot be used together; 'basic_auth' is "
        "on line 1");
    check_error("basic_auth: {username: a, passwort: hush}\n",
                "f.yml:1:27: unknown key 'passwort' in 'basic_auth'; did you mean 'password'?");
    check_error("basic_auth: {username: a, password: [hush]}\n",
                "f.yml:1:37: basic_auth.password: expected text, got a list");
    check_error("authorization: {type: Basic, credentials: hush}\n",
                "f.yml:1:23: authorization.type: use basic_auth for the scheme Basic");
    check_error("proxy_url: ftp://u:hush@h\n",
                "f.yml:1:12: proxy_url: expected a URL that begins with http:// or https:// and "
                "has a host");
    check_error("http_headers: {authorization: {values: [hush]}}\n"
                "authorization: {credentials: hush}\n",
                "f.yml:1:15: http_headers: header authorization is set by authorization");
    check_error("bearer_token: hush\n",
                "f.yml:1:1: 'bearer_token' is not supported; use 'authorization' with "
                "'credentials'");
    check_error("[hush]\n", "f.yml:1:1: expected keys such as 'basic_auth:', got a list");
}

UNIT_TEST(test_a_file_that_is_missing_is_named)
{
    struct client_settings settings;
    struct why why = {""};
    assert_int_equal(client_settings_read("/nowhere/client.yml", &settings, &why), ERR_MISSING);
    assert_non_null(strstr(why.text, "/nowhere/client.yml"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_has_the_client_settings_of_prometheus),
        cmocka_unit_test(test_an_empty_file_has_the_defaults),
        cmocka_unit_test(test_an_error_names_the_place_and_shows_no_secret),
        cmocka_unit_test(test_a_file_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
