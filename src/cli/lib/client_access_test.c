/* client_access_test.c - URLs with users, and files of client settings. */
#include "cli/lib/client_access.h"

#include "lib/terminal.h"
#include "lib/test_dir.h"
#include "lib/texts.h"

#include <sys/wait.h>

static struct client_access *client;
static const char *const *lines;
static struct why why;

static enum err
open_url(const char *url, const char *config_file)
{
    const struct client_access_options options = {"--url", url, config_file};
    why = (struct why){""};
    client = NULL;
    return client_access_new(&options, &client, &why);
}

/* Writes the file test_path. */
static const char *
write_file(const char *text)
{
    write_text_file(test_path, text);
    return test_path;
}

static void
check_lines(const char *url, const char *config_file, const char *first, const char *second)
{
    assert_int_equal(open_url(url, config_file), OK);
    assert_int_equal(client_access_headers(client, &lines, &why), OK);
    if (first == NULL) {
        assert_null(lines[0]);
    } else {
        assert_string_equal(lines[0], first);
        if (second == NULL)
            assert_null(lines[1]);
        else
            assert_string_equal(lines[1], second);
    }
    client_access_free(client);
}

static void
check_refused(const char *url, const char *config_file, const char *expected)
{
    assert_int_equal(open_url(url, config_file), ERR_INPUT);
    assert_string_equal(why.text, expected);
    assert_null(client);
}

UNIT_TEST(test_a_url_is_shown_without_its_user_and_password)
{
    static const struct {
        const char *url, *name, *for_requests;
    } cases[] = {
        {"http://h:1/p?a=b@c", "http://h:1/p?a=b@c", NULL},
        {"https://u:hush@h:1", "https://h:1", NULL},
        {"https://u:hu%40sh@[::1]:1/a@b", "https://[::1]:1/a@b", NULL},
        {"https://u:hu@sh@h/", "https://h/", "https://h"},
        {"http://h/p//", "http://h/p//", "http://h/p"},
        {"unix:/run/f.sock", "unix:/run/f.sock", "http://localhost"},
        {"unix:at@home", "unix:at@home", "http://localhost"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(client_url_is(cases[i].url));
        assert_int_equal(open_url(cases[i].url, NULL), OK);
        assert_string_equal(client_access_name(client), cases[i].name);
        const char *url = cases[i].for_requests;
        assert_string_equal(client_access_url(client), url == NULL ? cases[i].name : url);
        client_access_free(client);
    }
    assert_false(client_url_is("local"));
    assert_false(client_url_is("unixes"));
}

UNIT_TEST(test_a_page_is_below_the_url_unless_the_url_is_that_of_a_page)
{
    static const struct {
        const char *url, *page;
    } cases[] = {
        {"http://h", "http://h/api/v1/read"},
        {"http://h/", "http://h/api/v1/read"},
        {"http://h/prefix", "http://h/prefix/api/v1/read"},
        {"http://h/a/b/", "http://h/a/b/api/v1/read"},
        {"http://h/a/api/v1/read?level=raw", "http://h/a/api/v1/read?level=raw"},
        {"http://h/api/v1/push", "http://h/api/v1/push"},
    };
    char page[CLIENT_URL_BYTES], text[CLIENT_URL_BYTES] = "http://";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(client_url_of_page("--url", cases[i].url, "/api/v1/read", page, &why), OK);
        assert_string_equal(page, cases[i].page);
    }
    memset(text + 7, 'h', sizeof text - 8);
    assert_int_equal(client_url_of_page("--url", text, "/api/v1/read", page, &why), ERR_INPUT);
    assert_string_equal(why.text, "--url: URL is too long");
}

UNIT_TEST(test_an_invalid_url_is_refused_without_its_password)
{
    check_refused("host:9201", NULL,
                  "--url: expected a URL, http://, https:// or unix:PATH, got 'host:9201'; did you "
                  "mean http://host:9201?");
    check_refused("ftp://h", NULL,
                  "--url: expected a URL, http://, https:// or unix:PATH, got 'ftp://h'");
    check_refused("me:hush@host", NULL, "--url: expected a URL, http://, https:// or unix:PATH");
    check_refused("http://:hush@host", NULL, "--url: the user name is empty");
    check_refused("http://u%3av:hush@host", NULL, "--url: invalid user name");
    check_refused("http://u:hush%0@host", NULL, "--url: invalid password");
    check_refused("http://u:hush%0a@host", NULL, "--url: invalid password");
    check_refused("unix:", NULL, "--url: expected unix:PATH with a path of 1 to 107 bytes");
    char text[CLIENT_URL_BYTES + 20] = "http://u:";
    memset(text + 9, 'p', CLIENT_URL_BYTES);
    check_refused(text, NULL, "--url: URL is too long");
}

UNIT_TEST(test_the_user_of_the_url_becomes_a_header)
{
    check_lines("http://host", NULL, NULL, NULL);
    /* RFC 7617, section 2 */
    check_lines("https://Aladdin:open%20sesame@host", NULL,
                "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", NULL);
    check_lines("https://u:@host", NULL, "Authorization: Basic dTo=", NULL);
    /* u:${HOME} */
    check_lines("https://u:${HOME}@host", NULL, "Authorization: Basic dToke0hPTUV9", NULL);
}

UNIT_TEST(test_the_file_gives_headers_and_the_password_of_the_user)
{
    check_lines("http://h", write_file("authorization: {credentials: abc}\n"),
                "Authorization: Bearer abc", NULL);
    check_lines("http://h",
                write_file("http_headers: {X-A: {values: [b]}}\n"
                           "basic_auth: {username: u, password: p}\n"),
                "X-A: b", "Authorization: Basic dTpw");
    check_lines("http://u@h", write_file("basic_auth: {username: u, password: p}\n"),
                "Authorization: Basic dTpw", NULL);
    check_lines("http://u:p@h", write_file("http_headers: {X-A: {values: [b]}}\n"), "X-A: b",
                "Authorization: Basic dTpw");
}

UNIT_TEST(test_a_user_in_both_the_url_and_the_file_is_refused)
{
    char expected[300];
    static const char *const texts[] = {
        "basic_auth: {username: other, password: hush}\n",
        "authorization: {credentials: hush}\n",
        "oauth2: {client_id: a, client_secret: hush, token_url: 'http://h'}\n",
        "http_headers: {authorization: {secrets: [hush]}}\n",
    };
    static const char *const keys[] = {"basic_auth", "authorization", "oauth2",
                                       "http_headers: Authorization"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(expected, sizeof expected,
                 "--url names a user, and %s has '%s': remove one of them", test_path, keys[i]);
        check_refused("http://u@h", write_file(texts[i]), expected);
        check_refused("http://u:hush@h", test_path, expected);
    }
}

UNIT_TEST(test_a_secret_that_is_missing_is_named_with_its_file)
{
    char expected[400];
    write_file("authorization: {credentials_file: /nowhere/token}\n");
    assert_int_equal(open_url("http://h", test_path), OK);
    assert_int_equal(client_access_headers(client, &lines, &why), ERR_MISSING);
    snprintf(expected, sizeof expected,
             "%s: authorization: cannot open /nowhere/token: No such file or directory", test_path);
    assert_string_equal(why.text, expected);
    client_access_free(client);
}

UNIT_TEST(test_a_source_or_destination_gets_the_same_credentials)
{
    struct http_settings http = {.proxy_url = NULL};
    struct basic_auth_settings basic = {.username = NULL};
    struct authorization_settings authorization = {.type = NULL};
    struct oauth2_settings oauth2 = {.client_id = NULL};
    write_file("tls_config: {ca_file: /ca}\nhttp_headers: {X-A: {values: [b]}}\n");
    assert_int_equal(open_url("https://u:p@h", test_path), OK);
    client_access_copy(client, &http, &basic, &authorization, &oauth2);
    assert_string_equal(http.tls.ca_file, "/ca");
    assert_int_equal(http.headers.count, 2);
    assert_string_equal(http.headers.items[1].name, "Authorization");
    assert_string_equal(http.headers.items[1].value.text, "Basic dTpw");
    assert_null(basic.username);
    client_access_free(client);
    assert_int_equal(
        open_url("https://h", write_file("basic_auth: {username: u, password_file: p}\n")), OK);
    client_access_copy(client, &http, &basic, &authorization, &oauth2);
    assert_int_equal(http.headers.count, 0);
    assert_string_equal(basic.username, "u");
    assert_non_null(basic.password.file);
    client_access_free(client);
}

UNIT_TEST(test_requests_get_tls_proxy_and_socket)
{
    struct http_client_options http = {.target = NULL};
    write_file("tls_config: {ca_file: /ca, server_name: n}\nproxy_url: 'http://proxy:1'\n");
    assert_int_equal(setenv("SSL_CERT_FILE", "/system", 1), 0);
    assert_int_equal(open_url("https://h", test_path), OK);
    client_access_http(client, &http);
    assert_string_equal(http.target->ca_file, "/ca");
    assert_string_equal(http.target->server_name, "n");
    assert_string_equal(http.target->proxy_url, "http://proxy:1");
    assert_null(http.target->unix_path);
    client_access_free(client);
    assert_int_equal(open_url("unix:/run/f.sock", NULL), OK);
    client_access_http(client, &http);
    assert_string_equal(http.target->unix_path, "/run/f.sock");
    assert_string_equal(http.target->ca_file, "/system");
    client_access_free(client);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    assert_int_equal(open_url("https://h", NULL), OK);
    client_access_http(client, &http);
    assert_null(http.target->ca_file);
    client_access_free(client);
}

/* --- the terminal ----------------------------------------------------------------------------- */

static int
ask(void *url)
{
    enum err e = open_url(url, NULL);
    if (e == OK) e = client_access_headers(client, &lines, &why);
    if (e == OK && strcmp(lines[0], "Authorization: Basic dTpodXNo") != 0) return 100;
    client_access_free(client);
    return (int)e;
}

UNIT_TEST(test_the_password_of_a_user_is_asked_for_on_the_terminal)
{
    char url[] = "https://u@host:1";
    struct terminal t;
    terminal_begin(&t, ask, url);
    terminal_await(&t, "Password of u at https://host:1: ");
    terminal_type(&t, "hush\n");
    assert_int_equal(terminal_end(&t), OK);
    assert_null(strstr(t.screen, "hush"));
}

UNIT_TEST(test_without_a_terminal_a_missing_password_is_an_error)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setsid();
        enum err e = open_url("http://u@host", NULL);
        bool named = strstr(why.text, "use --http.config.file") != NULL;
        _exit(named ? (int)e : 100);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), ERR_UNSUPPORTED);
}

#define WITH_FILE(f) cmocka_unit_test_setup_teardown(f, test_dir_make, test_dir_remove)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_url_is_shown_without_its_user_and_password),
        cmocka_unit_test(test_a_page_is_below_the_url_unless_the_url_is_that_of_a_page),
        cmocka_unit_test(test_an_invalid_url_is_refused_without_its_password),
        cmocka_unit_test(test_the_user_of_the_url_becomes_a_header),
        WITH_FILE(test_the_file_gives_headers_and_the_password_of_the_user),
        WITH_FILE(test_a_user_in_both_the_url_and_the_file_is_refused),
        WITH_FILE(test_a_secret_that_is_missing_is_named_with_its_file),
        WITH_FILE(test_a_source_or_destination_gets_the_same_credentials),
        WITH_FILE(test_requests_get_tls_proxy_and_socket),
        cmocka_unit_test(test_the_password_of_a_user_is_asked_for_on_the_terminal),
        cmocka_unit_test(test_without_a_terminal_a_missing_password_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
