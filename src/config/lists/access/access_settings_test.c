/* access_settings_test.c - the file for web.config.file, its keys in the configuration file,
 * listeners. */
#include "lib/test.h"

#include <stdio.h>
#include <unistd.h>

#include "config/lists/access/access_keys.h"
#include "config/lists/lists.h"
#include "config/schema/text.h"
#include "lib/config/access_rig.h"
#include "lib/config/config_lists.h"
#include "lib/failing_memory.h"

/* --- reading ---------------------------------------------------------------------------------- */

static const char whole_web[] =
    "tls_server_config:\n"
    "  cert_file: server.crt\n"
    "  key_file: /etc/ssl/server.key\n"
    "  client_auth_type: RequireAndVerifyClientCert\n"
    "  client_ca_file: ../ca.crt\n"
    "  client_allowed_sans: [a.example.org, 10.0.0.1]\n"
    "  min_version: TLS11\n"
    "  max_version: TLS12\n"
    "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]\n"
    "  prefer_server_cipher_suites: false\n"
    "  curve_preferences: [CurveP256, X25519]\n"
    "http_server_config:\n"
    "  http2: false\n"
    "  headers:\n"
    "    Strict-Transport-Security: max-age=31536000\n"
    "    X-Frame-Options: deny\n"
    "    X-XSS-Protection: ''\n"
    "    X-Content-Type-Options: nosniff\n"
    "    Content-Security-Policy: default-src 'self'\n"
    "basic_auth_users:\n"
    "  alice: " BCRYPT "\n"
    "  bob: " YESCRYPT "\n"
    "rate_limit:\n"
    "  interval: 1.5ms\n"
    "  burst: 20\n";

static const char whole_inline[] = "tls_server_config:\n"
                                   "  cert: |\n"
                                   "    -----BEGIN CERTIFICATE-----\n"
                                   "    AAAA\n"
                                   "  key: |\n"
                                   "    -----BEGIN PRIVATE KEY-----\n"
                                   "  client_auth_type: VerifyClientCertIfGiven\n"
                                   "  client_ca: \"CA\\n\"\n";

static const char whole_config[] =
    "web: {listen_address: [':9201', 'unix:/run/all.sock']}\n"
    "tls_server_config: {cert_file: c.pem, key_file: k.pem}\n"
    "http_server_config: {headers: {X-Frame-Options: sameorigin}}\n"
    "rate_limit: {interval: 1s, burst: 1}\n"
    "basic_auth_users: {alice: '" BCRYPT "', carol: '" BCRYPT "'}\n"
    "listeners:\n"
    "- address: 0.0.0.0:9202\n"
    "  allow: [write]\n"
    "- {address: 'unix:/run/own.sock', mode: 0600, tls_server_config: {}}\n"
    "- {address: 'unix:/run/two.sock', allow: 'read,metrics'}\n"
    "- address: fd://web\n"
    "  tls_server_config: {cert_file: own.pem, key_file: own.key, max_version: TLS12}\n"
    "users:\n"
    "- name: alice\n"
    "  permissions: [read]\n";

static void
check_web_tls(const struct tls_server_settings *tls)
{
    assert_true(tls->is_set);
    assert_true(tls->given);
    assert_string_equal(tls->cert_file, "/etc/web/server.crt");
    assert_string_equal(tls->key_file, "/etc/ssl/server.key");
    assert_string_equal(tls->client_ca_file, "/etc/ca.crt");
    assert_null(tls->cert);
    assert_null(tls->key);
    assert_int_equal(tls->client_auth, TLS_CLIENT_REQUIRE);
    assert_int_equal(tls->client_allowed_sans.count, 2);
    assert_string_equal(tls->client_allowed_sans.items[1], "10.0.0.1");
    assert_int_equal(tls->min_version, TLS_VERSION_11);
    assert_int_equal(tls->max_version, TLS_VERSION_12);
    assert_int_equal(tls->cipher_suites.count, 2);
    assert_string_equal(tls->cipher_suites.items[1], "TLS_RSA_WITH_AES_128_CBC_SHA");
    assert_int_equal(tls->curve_preferences.count, 2);
    assert_false(tls->prefer_server_cipher_suites);
}

#define must(call) assert_int_equal((call), OK)

UNIT_TEST(test_every_key_of_a_web_file_is_read)
{
    struct access_settings access = read_access("", "/etc/web/web.yml", whole_web);
    check_web_tls(&access.tls);
    assert_false(access.http.http2);
    assert_int_equal(access.http.headers.count, 4);
    assert_string_equal(access.http.headers.items[2].name, "X-Content-Type-Options");
    assert_string_equal(access.http.headers.items[3].value, "default-src 'self'");
    assert_true(access.http.rate_interval_ns == 1500000);
    assert_int_equal(access.http.rate_burst, 20);
    assert_int_equal(access.users.count, 2);
    assert_string_equal(access.users.items[0].name, "alice");
    assert_string_equal(access.users.items[0].password, BCRYPT);
    assert_int_equal(access.users.items[0].permissions, PERMISSIONS_ALL);
    assert_int_equal(access.users.items[0].tenants.count, 0);
    assert_int_equal(access.users.items[0].line, 0);
    assert_int_equal(access.listeners.count, 1);
    assert_string_equal(access.listeners.items[0].address, "127.0.0.1:9201");
    assert_int_equal(access.listeners.items[0].kind, LISTENER_TCP);
    assert_int_equal(access.listeners.items[0].allow, PERMISSIONS_ALL);
    check_web_tls(&access.listeners.items[0].tls);
    access_settings_free(&access);
}

UNIT_TEST(test_certificates_may_be_in_the_file_itself)
{
    struct access_settings access = read_access("", "web.yml", whole_inline);
    assert_true(access.tls.given);
    assert_string_equal(access.tls.cert, "-----BEGIN CERTIFICATE-----\nAAAA\n");
    assert_string_equal(access.tls.key, "-----BEGIN PRIVATE KEY-----\n");
    assert_string_equal(access.tls.client_ca, "CA\n");
    assert_null(access.tls.cert_file);
    assert_int_equal(access.tls.client_auth, TLS_CLIENT_VERIFY_IF_GIVEN);
    assert_int_equal(access.tls.min_version, TLS_VERSION_12);
    assert_int_equal(access.tls.max_version, TLS_VERSION_13);
    assert_true(access.tls.prefer_server_cipher_suites);
    access_settings_free(&access);
}

UNIT_TEST(test_blank_keys_and_words_are_read_as_prometheus_does)
{
    struct access_settings access = read_access(
        "", "w.yml",
        "tls_server_config: {cert_file: c, key_file: k, cert: '', key: , client_ca_file: \"\", "
        "client_ca: , client_auth_type: '', min_version: , max_version: , "
        "prefer_server_cipher_suites: no}\n"
        "http_server_config: {http2: False}\n");
    assert_string_equal(access.tls.cert_file, "c");
    assert_null(access.tls.cert);
    assert_null(access.tls.client_ca_file);
    assert_int_equal(access.tls.client_auth, TLS_CLIENT_NONE);
    assert_int_equal(access.tls.min_version, TLS_VERSION_12);
    assert_false(access.tls.prefer_server_cipher_suites);
    assert_false(access.http.http2);
    access_settings_free(&access);
    check_web_error("tls_server_config: {cert_file: '', key_file: ''}\n",
                    "w.yml:1:32: tls_server_config.cert_file: must not be empty");
    check_web_error("tls_server_config: {cert_file: c, key_file: k, "
                    "prefer_server_cipher_suites: maybe}\n",
                    "w.yml:1:77: tls_server_config.prefer_server_cipher_suites: expected true or "
                    "false, got 'maybe'");
}

UNIT_TEST(test_a_file_without_keys_means_clear_text_for_everybody)
{
    static const char *const texts[] = {
        "",
        "# nothing\n",
        "tls_server_config: {}\n",
        "{tls_server_config: , http_server_config: , basic_auth_users: , rate_limit: }\n",
        "~\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct access_settings access = read_access("", "web.yml", texts[i]);
        assert_false(access.tls.given);
        assert_true(access.http.http2);
        assert_true(access.http.rate_interval_ns == 0);
        assert_int_equal(access.http.headers.count, 0);
        assert_int_equal(access.users.count, 0);
        assert_int_equal(access.listeners.count, 1);
        check_warnings(&access, "");
        access_settings_free(&access);
    }
    struct access_settings access = read_access("log: {level: debug}\n", NULL, NULL);
    assert_false(access.tls.given);
    assert_int_equal(access.tls.min_version, TLS_VERSION_12);
    assert_true(access.http.http2);
    access_settings_free(&access);
    access_settings_free(NULL);
}

UNIT_TEST(test_listeners_have_the_tls_of_all_unless_they_have_their_own)
{
    struct access_settings access =
        read_access_from("/etc/fk/firekeep.yml", whole_config, NULL, NULL);
    const struct listener_settings *l = access.listeners.items;
    assert_int_equal(access.listeners.count, 6);
    assert_string_equal(l[0].address, ":9201");
    assert_string_equal(l[0].tls.cert_file, "/etc/fk/c.pem");
    assert_int_equal(l[1].kind, LISTENER_UNIX);
    assert_string_equal(l[1].place, "/run/all.sock");
    assert_int_equal(l[1].mode, 0660);
    assert_string_equal(l[2].address, "0.0.0.0:9202");
    assert_string_equal(l[2].place, "0.0.0.0:9202");
    assert_int_equal(l[2].line, 7);
    assert_int_equal(l[2].mode, 0);
    assert_int_equal(l[2].allow, PERMISSION_WRITE);
    assert_string_equal(l[2].tls.cert_file, "/etc/fk/c.pem");
    assert_int_equal(l[3].mode, 0600);
    assert_false(l[3].tls.given);
    assert_int_equal(l[3].allow, PERMISSIONS_ALL);
    assert_int_equal(l[4].mode, 0660);
    assert_int_equal(l[4].allow, PERMISSION_READ | PERMISSION_METRICS);
    assert_true(l[4].tls.given);
    assert_int_equal(l[5].kind, LISTENER_FD);
    assert_string_equal(l[5].place, "web");
    assert_string_equal(l[5].tls.key_file, "/etc/fk/own.key");
    assert_int_equal(l[5].tls.max_version, TLS_VERSION_12);
    assert_int_equal(access.users.count, 2);
    assert_string_equal(access.users.items[0].password, BCRYPT);
    assert_int_equal(access.users.items[0].permissions, PERMISSION_READ);
    assert_string_equal(access.users.items[1].name, "carol");
    access_settings_free(&access);
}

UNIT_TEST(test_each_file_gives_the_keys_that_it_has)
{
    struct access_settings access =
        read_access_from("/fk/f.yml",
                         "tls_server_config: {cert_file: c, key_file: k}\n"
                         "rate_limit: {interval: 2s, burst: 3}\n"
                         "users: [{name: a, permissions: [read]}]\n",
                         "/web/w.yml",
                         "http_server_config: {headers: {X-Frame-Options: deny}}\n"
                         "basic_auth_users: {a: '" BCRYPT "'}\n");
    assert_string_equal(access.tls.cert_file, "/fk/c");
    assert_string_equal(access.listeners.items[0].tls.cert_file, "/fk/c");
    assert_int_equal(access.http.headers.count, 1);
    assert_true(access.http.http2);
    assert_true(access.http.rate_interval_ns == 2000000000);
    assert_int_equal(access.users.count, 1);
    assert_string_equal(access.users.items[0].password, BCRYPT);
    assert_int_equal(access.users.items[0].permissions, PERMISSION_READ);
    access_settings_free(&access);
}

UNIT_TEST(test_intervals_are_written_as_in_go)
{
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {{"0", 0},
                 {"0s", 0},
                 {"7ns", 7},
                 {"250us", 250000},
                 {"2\u00b5s", 2000},
                 {"2\u03bcs", 2000},
                 {"1.5s", 1500000000},
                 {".5ms", 500000},
                 {"1m30s", 90000000000},
                 {"24h", 86400000000000}};
    char text[100];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "rate_limit: {interval: %s, burst: 1}\n", cases[i].text);
        struct access_settings access = read_access("", "w.yml", text);
        assert_true(access.http.rate_interval_ns == cases[i].ns);
        access_settings_free(&access);
    }
    static const char *const bad[] = {"5",
                                      "s",
                                      "1",
                                      "1 s",
                                      "-1s",
                                      "25h",
                                      "1d",
                                      "1.",
                                      "1.s.",
                                      "''",
                                      "1sx",
                                      "''",
                                      "99999999999999999999s",
                                      "1s s",
                                      "24h1ns"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "rate_limit: {interval: %s, burst: 1}\n", bad[i]);
        check_web_refused(text);
    }
    check_web_error("rate_limit: {interval: 1d, burst: 1}\n",
                    "w.yml:1:24: rate_limit.interval: expected a duration of at most 24h, such as "
                    "10ms or 1.5s, got '1d'");
}

UNIT_TEST(test_the_older_name_of_a_client_auth_type_is_read)
{
    struct access_settings access =
        read_access("", "w.yml",
                    "tls_server_config: {cert_file: c, key_file: k, client_auth_type: "
                    "RequireClientCert, client_allowed_sans: [a]}\n");
    assert_int_equal(access.tls.client_auth, TLS_CLIENT_REQUIRE_ANY);
    access_settings_free(&access);
    static const char *const words[] = {"NoClientCert", "RequestClientCert", "RequireAnyClientCert",
                                        "VerifyClientCertIfGiven"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char text[120];
        snprintf(text, sizeof text,
                 "tls_server_config: {cert_file: c, key_file: k, client_auth_type: %s}\n",
                 words[i]);
        access = read_access("", "w.yml", text);
        assert_int_equal(access.tls.client_auth, i);
        access_settings_free(&access);
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

UNIT_TEST(test_mistakes_in_a_web_file_name_their_place)
{
    check_web_error("tls_sever_config: {}\n",
                    "w.yml:1:1: unknown key 'tls_sever_config'; did you mean 'tls_server_config'?");
    check_web_error("cert_file: a\n",
                    "w.yml:1:1: unknown key 'cert_file'; did you mean 'cert_file' "
                    "below 'tls_server_config:'?");
    check_web_error("- a\n", "w.yml:1:1: expected keys such as 'tls_server_config:', got a list");
    check_web_error("auth_excluded_paths: [/]\n",
                    "w.yml:1:1: 'auth_excluded_paths' is not supported: only /-/healthy and "
                    "/-/ready are open; remove it");
    check_web_error("users: []\n",
                    "w.yml:1:1: 'users' is a key of the configuration file; move it there");
    check_web_error("web: {}\n", "w.yml:1:1: unknown key 'web'");
    check_web_error("tls_server_config: x\n",
                    "w.yml:1:20: 'tls_server_config' expects keys below it such as 'cert_file:', "
                    "got a value");
    check_web_error("http_server_config: {http2: maybe}\n",
                    "w.yml:1:29: http_server_config.http2: expected true or false, got 'maybe'");
    check_web_error("http_server_config: {headers: {X-Frame-Option: deny}}\n",
                    "w.yml:1:32: http_server_config.headers: header 'X-Frame-Option' cannot be "
                    "configured; did you mean 'X-Frame-Options'?");
    check_web_error("http_server_config: {headers: {X-Frame-Options: DENY}}\n",
                    "w.yml:1:31: http_server_config.headers: X-Frame-Options: expected deny or "
                    "sameorigin, got 'DENY'");
    check_web_error("http_server_config: {headers: {X-Content-Type-Options: a}}\n",
                    "w.yml:1:31: http_server_config.headers: X-Content-Type-Options: expected "
                    "nosniff, got 'a'");
    check_web_error("rate_limit: {interval: 1s}\n",
                    "w.yml:1:13: rate_limit.burst: must be at least 1: with 0, no request is "
                    "answered");
    check_web_error("basic_auth_users: {a: hush}\n",
                    "w.yml:1:23: basic_auth_users: unknown kind of password hash: expected bcrypt "
                    "($2a$, $2b$, $2y$), scrypt ($7$) or yescrypt ($y$)");
    check_web_error("basic_auth_users: {'a:b': '" BCRYPT "'}\n",
                    "w.yml:1:20: basic_auth_users: expected a name in UTF-8 without ':', got "
                    "'a:b'");
    check_web_error("basic_auth_users: hush\n",
                    "w.yml:1:19: basic_auth_users: expected a mapping, got a value");
    check_web_error("basic_auth_users:\n  a: '" BCRYPT "'\n  a: '" BCRYPT "'\n",
                    "w.yml:3:3: basic_auth_users: duplicate key 'a', first given on line 2");
}

#define CERT "cert_file: c, key_file: k, "

UNIT_TEST(test_mistakes_in_tls_name_their_place)
{
    static const struct {
        const char *keys, *expected;
    } cases[] = {
        {"cert_file: c", "1:21: 'cert_file' requires 'key_file'"},
        {"key: k", "1:21: 'key' requires 'cert_file'"},
        {"cert_file: c, key_file: k, cert: x",
         "1:48: 'cert' and 'cert_file' cannot be used together; 'cert_file' is on line 1"},
        {"cert_file: c, key_file: k, key: hush",
         "1:48: 'key' and 'key_file' cannot be used together; 'key_file' is on line 1"},
        {"cert_file: ''", "1:32: tls_server_config.cert_file: must not be empty"},
        {CERT "key_file: k", "1:48: duplicate key 'key_file', first given on line 1"},
        {CERT "client_auth_type: requireany",
         "1:66: tls_server_config.client_auth_type: expected one of NoClientCert, "
         "RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, "
         "RequireAndVerifyClientCert, RequireClientCert, got 'requireany'"},
        {CERT "client_auth_type: RequireAndVerifyClientCert",
         "1:66: tls_server_config.client_auth_type: RequireAndVerifyClientCert requires "
         "'client_ca_file'"},
        {CERT "client_ca_file: c",
         "1:64: tls_server_config.client_ca_file: requires 'client_auth_type': clients are not "
         "asked for certificates"},
        {CERT "client_ca: c, client_auth_type: NoClientCert",
         "1:59: tls_server_config.client_ca: requires 'client_auth_type': clients are not asked "
         "for certificates"},
        {"client_ca_file: c",
         "1:37: tls_server_config.client_ca_file: requires 'cert_file' and 'key_file'"},
        {"client_auth_type: RequestClientCert",
         "1:39: tls_server_config.client_auth_type: requires 'cert_file' and 'key_file'"},
        {CERT "client_ca_file: c, client_auth_type: VerifyClientCertIfGiven, "
              "client_allowed_sans: [a]",
         "1:131: tls_server_config.client_allowed_sans: requires client_auth_type "
         "RequireAndVerifyClientCert (or RequireAnyClientCert): other types let clients come "
         "without a certificate"},
        {CERT "client_allowed_sans: []",
         "1:69: tls_server_config.client_allowed_sans: must not be empty"},
        {CERT "min_version: TLS9",
         "1:61: tls_server_config.min_version: expected one of TLS10, TLS11, TLS12, TLS13, got "
         "'TLS9'"},
        {CERT "min_version: TLS13, max_version: TLS12",
         "1:81: tls_server_config.max_version: is older than min_version"},
        {CERT "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265]",
         "1:64: tls_server_config.cipher_suites: expected the name of a cipher suite in Go, got "
         "'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265'; did you mean "
         "'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'?"},
        {CERT "cipher_suites: TLS_AES_128_GCM_SHA256",
         "1:63: tls_server_config.cipher_suites: expected a list, got 'TLS_AES_128_GCM_SHA256'"},
        {CERT "cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12",
         "1:63: tls_server_config.cipher_suites: no cipher suite can be used with the allowed "
         "versions"},
        {CERT "curve_preferences: [P256]",
         "1:68: tls_server_config.curve_preferences: expected the name of a curve in Go, got "
         "'P256'"},
        {"ca_file: a", "1:21: unknown key 'ca_file' in 'tls_server_config'; did you mean "
                       "'cert_file'?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300], expected[400];
        snprintf(text, sizeof text, "tls_server_config: {%s}\n", cases[i].keys);
        snprintf(expected, sizeof expected, "w.yml:%s", cases[i].expected);
        check_web_error(text, expected);
        snprintf(expected, sizeof expected, "f.yml:%s", cases[i].expected);
        check_access_error(text, expected);
    }
}

UNIT_TEST(test_a_key_in_both_files_is_refused_with_both_names)
{
    static const char *const keys[] = {"tls_server_config: {}", "http_server_config: {}",
                                       "basic_auth_users: {}", "rate_limit: {}"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char config[100], web[100], expected[200];
        snprintf(config, sizeof config, "\n%s\n", keys[i]);
        snprintf(web, sizeof web, "\n\n%s\n", keys[i]);
        snprintf(expected, sizeof expected,
                 "w.yml:3:%zu: %.*s: is also on line 2 of f.yml; remove one of them",
                 strcspn(keys[i], ":") + 3, (int)strcspn(keys[i], ":"), keys[i]);
        check_both_error(config, web, expected);
    }
}

/* web.listen_address has one address by default. */
static void
check_too_many_listeners(void)
{
    char text[64 * 32] = "listeners:\n";
    for (int i = 0; i < 64; i++) {
        size_t size = strlen(text);
        snprintf(text + size, sizeof text - size, "- {address: ':%d'}\n", i + 1);
    }
    check_access_error(text, "f.yml: at most 64 listeners are allowed, those of web.listen_address "
                             "included");
}

UNIT_TEST(test_mistakes_in_listeners_name_their_place)
{
    check_access_error("listeners: [{allow: [read]}]\n",
                       "f.yml:1:13: listeners requires 'address', address to listen on");
    check_access_error("listeners: [{address: 9202}]\n",
                       "f.yml:1:23: listeners.address: expected HOST:PORT, got '9202'");
    check_access_error("listeners: [{address: ':1', allow: [delete]}]\n",
                       "f.yml:1:37: listeners.allow: expected any of write, read, rules, admin, "
                       "metrics, got 'delete'");
    check_access_error("listeners: [{address: ':1', allow: []}]\n",
                       "f.yml:1:36: listeners.allow: must not be empty");
    check_access_error("listeners: [{address: ':1', mode: 0660}]\n",
                       "f.yml:1:35: listeners.mode: is only valid for unix:PATH");
    check_access_error("listeners: [{address: 'unix:a', mode: 660x}]\n",
                       "f.yml:1:39: listeners.mode: expected an octal number such as 0660, got "
                       "'660x'");
    static const char *const modes[] = {"1660", "0", "00", "000", "0680", "0o660", "rw", "00660"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char text[100];
        snprintf(text, sizeof text, "listeners: [{address: 'unix:a', mode: %s}]\n", modes[i]);
        check_access_refused(text);
    }
    check_access_error("listeners:\n- {address: ':1'}\n- {address: ':1'}\n",
                       "f.yml:3:13: listeners.address: the listener on line 2 has the same "
                       "address");
    check_access_error("listeners: [{address: '127.0.0.1:9201'}]\n",
                       "f.yml:1:23: listeners.address: 127.0.0.1:9201 is also in "
                       "web.listen_address; set that to [] if there are only these listeners");
    check_access_error("listeners: [{address: ':1', tls_server_config: }]\n",
                       "f.yml:1:48: 'listeners.tls_server_config' expects keys below it such as "
                       "'cert_file:', got nothing");
    check_access_error("web: {listen_address: []}\n",
                       "f.yml: the server needs an address: set web.listen_address or 'listeners'");
    check_too_many_listeners();
    struct access_settings access = read_access(
        "web: {listen_address: []}\nlisteners: [{address: '127.0.0.1:9201'}]\n", NULL, NULL);
    assert_int_equal(access.listeners.count, 1);
    access_settings_free(&access);
}

static struct access_settings
complete(const struct settings *s)
{
    static const char text[] = "users: [{name: a, permissions: [read], "
                               "access_keys: [{id: AKIDEXAMPLE, secret_file: x}]}]\n";
    struct access_settings access;
    must(access_settings_yaml("f.yml", bytes_of_text(text), s, &access, NULL));
    must(access_settings_complete(&access, s, NULL));
    return access;
}

UNIT_TEST(test_a_web_file_that_cannot_be_read_is_reported)
{
    struct settings s = settings_with_tenancy(false);
    struct access_settings access = {.file_name = ""};
    struct why why = {""};
    snprintf(s.web_config_file, sizeof s.web_config_file, "%s", "/nowhere/web.yml");
    assert_int_equal(access_settings_complete(&access, &s, &why), ERR_MISSING);
    assert_string_equal(why.text,
                        "web.config_file: cannot open /nowhere/web.yml: No such file or directory");
    snprintf(s.web_config_file, sizeof s.web_config_file, "%s", "/dev/zero");
    assert_int_equal(access_settings_complete(&access, &s, &why), ERR_LIMIT);
    char path[] = "/tmp/firekeep-access-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "rate_limit: {burst: 2}\n", 23), 23);
    close(fd);
    snprintf(s.web_config_file, sizeof s.web_config_file, "%s", path);
    assert_int_equal(access_settings_complete(&access, &s, &why), OK);
    assert_int_equal(access.http.rate_burst, 2);
    unlink(path);
    access_settings_free(&access);
}

UNIT_TEST(test_users_have_the_settings_of_signed_requests_and_differ_by_them)
{
    struct settings s = settings_with_tenancy(false);
    struct access_settings plain = complete(&s);
    assert_int_equal(plain.users.signing.services.count, 2);
    assert_string_equal(plain.users.signing.services.items[1], "execute-api");
    assert_null(plain.users.signing.region);
    assert_null(plain.users.signing.host);
    assert_false(plain.users.signing.unsigned_payload);
    for (int i = 0; i < 4; i++) {
        struct settings other = s;
        if (i == 0) snprintf(other.auth_sigv4_services, sizeof other.auth_sigv4_services, "a,b");
        if (i == 1) snprintf(other.auth_sigv4_region, sizeof other.auth_sigv4_region, "r");
        if (i == 2) snprintf(other.auth_sigv4_host, sizeof other.auth_sigv4_host, "h:1");
        if (i == 3) other.auth_sigv4_unsigned_payload = true;
        struct access_settings access = complete(&other), again = complete(&other);
        const struct signing_settings *signing = &access.users.signing;
        if (i == 0) assert_string_equal(signing->services.items[0], "a");
        if (i == 1) assert_string_equal(signing->region, "r");
        if (i == 2) assert_string_equal(signing->host, "h:1");
        assert_int_equal(signing->unsigned_payload, i == 3);
        assert_false(access_users_equal(&plain.users, &access.users));
        assert_true(access_users_equal(&again.users, &access.users));
        access_settings_free(&access);
        access_settings_free(&again);
    }
    access_settings_free(&plain);
}

/* --- warnings --------------------------------------------------------------------------------- */

UNIT_TEST(test_weak_settings_are_warned_of)
{
    struct access_settings access = read_access(
        "listeners:\n"
        "- {address: ':1', tls_server_config: {min_version: TLS13}}\n"
        "- {address: ':2', tls_server_config: {cert_file: c, key_file: k, client_auth_type: "
        "RequireAnyClientCert, client_allowed_sans: [a], cipher_suites: "
        "[TLS_RSA_WITH_AES_128_CBC_SHA], max_version: TLS12}}\n"
        "- {address: ':3', tls_server_config: {cert_file: c, key_file: k, client_auth_type: "
        "VerifyClientCertIfGiven}}\n"
        "users: [{name: a, permissions: [read], client_certificate: CN=a}]\n",
        "w.yml",
        "tls_server_config: {cert_file: c, key_file: k, curve_preferences: [X25519MLKEM768, "
        "X25519]}\n");
    check_warnings(&access,
                   "tls_server_config: X25519MLKEM768 is not supported and is ignored\n"
                   "the listener on line 2: there is no certificate, and so no TLS\n"
                   "the listener on line 3: client_allowed_sans does not protect with "
                   "RequireAnyClientCert, because such certificates are not verified\n"
                   "the listener on line 3: TLS_RSA_WITH_AES_128_CBC_SHA has no forward secrecy\n"
                   "the listener on line 4: without client_ca_file, clients with a certificate are "
                   "refused\n"
                   "user 'a': client_certificate has no effect, because no listener verifies "
                   "client certificates\n");
    access_settings_free(&access);
    access =
        read_access("users: [{name: a, permissions: [read], client_certificate: CN=a}]\n", "w.yml",
                    "tls_server_config: {cert_file: c, key_file: k, client_ca_file: d, "
                    "client_auth_type: VerifyClientCertIfGiven}\n");
    check_warnings(&access, "");
    access_settings_free(&access);
}

UNIT_TEST(test_keys_of_tokens_that_come_over_http_are_warned_of)
{
    static const char warning[] = "user 'a': the keys of jwt are fetched over http: whoever can "
                                  "change the response can sign tokens; use https\n";
    static const struct {
        const char *jwt;
        bool is_warned;
    } cases[] = {
        {"issuer: 'https://h'", false},
        {"issuer: 'http://h'", true},
        {"issuer: 'HTTP://h/a'", true},
        {"issuer: 'http://h', jwks_file: f", false},
        {"issuer: 'http://h', jwks_url: 'https://k'", false},
        {"issuer: 'https://h', jwks_url: 'http://k'", true},
        {"issuer: 'http://localhost'", false},
        {"issuer: 'http://127.0.0.1:1/a'", false},
        {"issuer: 'http://[::1]/a'", false},
        {"issuer: 'http://localhost.example.org'", true},
        {"issuer: 'http://127.0.0.1.example.org'", true},
    };
    char text[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "users: [{name: a, permissions: [read], jwt: {audience: [a], %s}}]\n",
                 cases[i].jwt);
        struct access_settings access = read_access(text, NULL, NULL);
        check_warnings(&access, cases[i].is_warned ? warning : "");
        access_settings_free(&access);
    }
}

/* --- printing and comparing ------------------------------------------------------------------- */

UNIT_TEST(test_printed_keys_have_the_form_of_the_file_without_secrets)
{
    struct access_settings access = read_access_from(
        "/etc/f.yml",
        "tls_server_config: {cert: \"PUBLIC\\n\", key: hush}\n"
        "rate_limit: {interval: 1500us, burst: 2}\n"
        "basic_auth_users: {alice: '" BCRYPT "'}\n"
        "listeners: [{address: ':1'}, {address: 'unix:a', tls_server_config: {}}]\n",
        "w.yml", "http_server_config: {headers: {X-Frame-Options: deny}}\n");
    check_printed(&access, "tls_server_config:\n"
                           "    cert: \"PUBLIC\\u000a\"\n"
                           "    key: <secret>\n"
                           "    client_auth_type: NoClientCert\n"
                           "    min_version: TLS12\n"
                           "    max_version: TLS13\n"
                           "    prefer_server_cipher_suites: true\n"
                           "basic_auth_users:\n"
                           "    \"alice\": <secret>\n"
                           "rate_limit:\n"
                           "    interval: 1500us\n"
                           "    burst: 2\n"
                           "listeners:\n"
                           "    - address: \":1\"\n"
                           "      allow: [write,read,rules,admin,metrics]\n"
                           "    - address: \"unix:a\"\n"
                           "      tls_server_config:\n"
                           "          client_auth_type: NoClientCert\n"
                           "          min_version: TLS12\n"
                           "          max_version: TLS13\n"
                           "          prefer_server_cipher_suites: true\n"
                           "      allow: [write,read,rules,admin,metrics]\n"
                           "      mode: 0660\n");
    access_settings_free(&access);
}

UNIT_TEST(test_printed_keys_read_back_equal)
{
    struct settings s = settings_with_tenancy(false);
    snprintf(s.web_listen_address, sizeof s.web_listen_address, "%s", ":9201");
    struct access_settings access = read_access_from(
        "/etc/f.yml",
        "web: {listen_address: ':9201'}\n"
        "tls_server_config: {cert_file: c, key_file: k, cipher_suites: [TLS_AES_128_GCM_SHA256]}\n"
        "http_server_config: {http2: false, headers: {X-Frame-Options: deny, X-XSS-Protection: "
        "''}}\n"
        "rate_limit: {interval: 1500us, burst: 2}\n"
        "listeners: [{address: ':1'}, {address: 'unix:a', tls_server_config: {}}, {address: "
        "'fd://b', tls_server_config: {cert_file: c, key_file: k}}]\n",
        NULL, NULL);
    struct access_settings again = {.file_name = ""};
    struct why why = {""};
    struct buf printed;
    buf_init(&printed, NULL, 1 << 16);
    access_settings_print_yaml(&access, &printed);
    enum err e = access_settings_yaml("/p.yml", buf_bytes(&printed), &s, &again, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    assert_int_equal(access_settings_merge(&again, &s, NULL, bytes_of("", 0), &why), OK);
    assert_string_equal(why.text, "");
    assert_true(access_settings_equal(&access, &again));
    buf_fini(&printed);
    access_settings_free(&access);
    access_settings_free(&again);
}

UNIT_TEST(test_settings_differ_if_any_key_differs)
{
    static const char *const texts[] = {
        "",
        "tls_server_config: {cert_file: c, key_file: k}\n",
        "tls_server_config: {cert_file: c, key_file: l}\n",
        "tls_server_config: {cert: c, key: k}\n",
        "tls_server_config: {cert: c, key: l}\n",
        "tls_server_config: {cert_file: c, key_file: k, min_version: TLS13}\n",
        "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequestClientCert}\n",
        "tls_server_config: {cert_file: c, key_file: k, curve_preferences: [X25519]}\n",
        "http_server_config: {headers: {X-Frame-Options: deny}}\n",
        "http_server_config: {headers: {X-Frame-Options: sameorigin}}\n",
        "http_server_config: {http2: false}\n",
        "rate_limit: {interval: 1s, burst: 1}\n",
        "rate_limit: {interval: 1s, burst: 2}\n",
        "rate_limit: {interval: 2s, burst: 2}\n",
        "basic_auth_users: {a: '" BCRYPT "'}\n",
        "basic_auth_users: {a: '" YESCRYPT "'}\n",
        "basic_auth_users: {b: '" YESCRYPT "'}\n",
        "basic_auth_users: {a: '" BCRYPT "'}\nusers: [{name: a, permissions: [read]}]\n",
        "basic_auth_users: {a: '" BCRYPT "'}\nusers: [{name: a, permissions: [write]}]\n",
        "listeners: [{address: ':1'}]\n",
        "listeners: [{address: ':2'}]\n",
        "listeners: [{address: ':1', allow: [read]}]\n",
        "listeners: [{address: 'unix:a'}]\n",
        "listeners: [{address: 'unix:a', mode: 0600}]\n",
        "listeners: [{address: ':1', tls_server_config: {cert_file: c, key_file: k}}]\n",
    };
    enum { COUNT = sizeof texts / sizeof *texts };
    struct access_settings all[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        all[i] = read_access(texts[i], NULL, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        struct access_settings again = read_access(texts[i], NULL, NULL);
        for (size_t k = 0; k < COUNT; k++)
            if (access_settings_equal(&again, &all[k]) != (i == k))
                fail_msg("%s and %s", texts[i], texts[k]);
        access_settings_free(&again);
    }
    for (size_t i = 0; i < COUNT; i++)
        access_settings_free(&all[i]);
}

UNIT_TEST(test_a_reload_keeps_addresses_and_where_there_is_tls)
{
    static const struct {
        const char *next, *expected;
    } cases[] = {
        {"listeners: [{address: ':1', allow: [read]}]\n", ""},
        {"listeners: [{address: ':1', tls_server_config: {min_version: TLS13}}]\n", ""},
        {"listeners: [{address: ':2'}]\n",
         "the addresses in 'listeners' can only be changed by a restart"},
        {"", "the addresses in 'listeners' can only be changed by a restart"},
        {"listeners: [{address: ':1', tls_server_config: {cert_file: c, key_file: k}}]\n",
         ":1: TLS can only be turned on or off by a restart"},
    };
    struct access_settings now = read_access("listeners: [{address: ':1'}]\n", NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct access_settings next = read_access(cases[i].next, NULL, NULL);
        struct why why = {""};
        enum err e = access_settings_check_reload(&now, &next, &why);
        assert_string_equal(why.text, cases[i].expected);
        assert_int_equal(e, cases[i].expected[0] == '\0' ? OK : ERR_INPUT);
        access_settings_free(&next);
    }
    access_settings_free(&now);
}

UNIT_TEST(test_a_reload_does_not_remove_the_last_user)
{
    struct access_settings some = read_access("", "w.yml", "basic_auth_users: {a: '" BCRYPT "'}"),
                           others = read_access("users: [{name: b, permissions: [read], "
                                                "client_certificate: CN=b}]\n",
                                                NULL, NULL),
                           none = read_access("", "w.yml", "");
    struct why why = {""};
    assert_int_equal(access_settings_check_reload(&some, &none, &why), ERR_INPUT);
    assert_string_equal(why.text, "there are no users any more, so that everyone could do "
                                  "everything: this requires a restart");
    assert_int_equal(access_settings_check_reload(&some, &others, NULL), OK);
    assert_int_equal(access_settings_check_reload(&none, &some, NULL), OK);
    access_settings_free(&some);
    access_settings_free(&others);
    access_settings_free(&none);
}

static enum err
read_once(void)
{
    struct settings s = settings_with_tenancy(false);
    struct access_settings access = {.file_name = ""};
    struct why why = {""};
    struct bytes config = bytes_of_text("listeners: [{address: ':1'}]\n"
                                        "users: [{name: alice, permissions: [read]}]\n");
    enum err e = access_settings_yaml("f.yml", config, &s, &access, &why);
    if (e == OK) e = access_settings_merge(&access, &s, "w.yml", bytes_of_text(whole_web), &why);
    assert_true((e == OK) == (why.text[0] == '\0'));
    access_settings_free(&access);
    return e;
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    fail_each_allocation(read_once);
}

/* --- tables ----------------------------------------------------------------------------------- */

UNIT_TEST(test_tables_are_well_formed)
{
    static const struct list_text texts[] = {
        {whole_web, false}, {whole_inline, false}, {whole_config, false}};
    check_rows(&web_file_schema, 1, texts, 3);
    check_rows(&listener_schema, 1, texts, 3);
}

UNIT_TEST(test_the_examples_of_listeners_and_tls_can_be_used)
{
    static const char *const names[] = {"tls_server_config", "listeners"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = example_list(names[i]);
        struct access_settings access = read_access(text, NULL, NULL);
        assert_true(i == 0 ? access.tls.given : access.listeners.count > 1);
        access_settings_free(&access);
        free(text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_of_a_web_file_is_read),
        cmocka_unit_test(test_certificates_may_be_in_the_file_itself),
        cmocka_unit_test(test_blank_keys_and_words_are_read_as_prometheus_does),
        cmocka_unit_test(test_a_file_without_keys_means_clear_text_for_everybody),
        cmocka_unit_test(test_listeners_have_the_tls_of_all_unless_they_have_their_own),
        cmocka_unit_test(test_each_file_gives_the_keys_that_it_has),
        cmocka_unit_test(test_intervals_are_written_as_in_go),
        cmocka_unit_test(test_the_older_name_of_a_client_auth_type_is_read),
        cmocka_unit_test(test_mistakes_in_a_web_file_name_their_place),
        cmocka_unit_test(test_mistakes_in_tls_name_their_place),
        cmocka_unit_test(test_a_key_in_both_files_is_refused_with_both_names),
        cmocka_unit_test(test_mistakes_in_listeners_name_their_place),
        cmocka_unit_test(test_a_web_file_that_cannot_be_read_is_reported),
        cmocka_unit_test(test_users_have_the_settings_of_signed_requests_and_differ_by_them),
        cmocka_unit_test(test_weak_settings_are_warned_of),
        cmocka_unit_test(test_keys_of_tokens_that_come_over_http_are_warned_of),
        cmocka_unit_test(test_printed_keys_have_the_form_of_the_file_without_secrets),
        cmocka_unit_test(test_printed_keys_read_back_equal),
        cmocka_unit_test(test_settings_differ_if_any_key_differs),
        cmocka_unit_test(test_a_reload_keeps_addresses_and_where_there_is_tls),
        cmocka_unit_test(test_a_reload_does_not_remove_the_last_user),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_tables_are_well_formed),
        cmocka_unit_test(test_the_examples_of_listeners_and_tls_can_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
