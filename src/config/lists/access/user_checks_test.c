/* user_checks_test.c - the list users. */
#include "lib/test.h"

#include <stdio.h>

#include "config/lists/access/access_keys.h"
#include "config/lists/lists.h"
#include "lib/config/access_rig.h"
#include "lib/config/config_lists.h"
#include "lib/failing_memory.h"

#define TENANCY "tenancy: {enabled: true}\n"
#define TOKEN   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
#define TOKEN_2 "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char whole[] =
    TENANCY "users:\n"
            "- name: all\n"
            "  password: " BCRYPT "\n"
            "  tokens: [" TOKEN ", " TOKEN_2 "]\n"
            "  client_certificate: CN=all,O=example\n"
            "  iam_callers: ['arn:aws:iam::1:user/a', 'arn:b/*']\n"
            "  access_keys:\n"
            "  - {id: AKIA1, secret_file: secret, session_token_file: /etc/token}\n"
            "  - {id: AKIA2, secret_file: ../two}\n"
            "  jwt:\n"
            "    issuer: https://issuer.example.org\n"
            "    audience: [firekeep, other]\n"
            "    ca_file: ca.pem\n"
            "    claims: {team: a, role: metrics}\n"
            "    tenant_claim: tenants\n"
            "    permissions_claim: roles\n"
            "  permissions: [write, read]\n"
            "  tenants: [team-a]\n"
            "  tenant_header: ignore\n"
            "  read_matchers: ['{team=\"a\"}', 'up{job=~\"b.*\"}']\n"
            "  write_labels: {team: a}\n"
            "- name: file\n"
            "  jwt: {jwks_file: keys.json, issuer: any-text, audience: [a]}\n"
            "  permissions: read,metrics\n"
            "- name: url\n"
            "  jwt: {jwks_url: 'https://h/keys', audience: [a]}\n"
            "  permissions: [rules]\n"
            "  tenants: [team-*, '*-b']\n";

UNIT_TEST(test_every_key_of_a_user_is_read)
{
    struct access_settings access = read_access_from("/etc/fk/f.yml", whole, NULL, NULL);
    assert_int_equal(access.users.count, 3);
    const struct user_settings *u = access.users.items;
    assert_string_equal(u->name, "all");
    assert_int_equal(u->line, 3);
    assert_int_equal(u->column, 3);
    assert_string_equal(u->password, BCRYPT);
    assert_int_equal(u->tokens.count, 2);
    assert_string_equal(u->tokens.items[0],
                        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_string_equal(u->client_certificate, "CN=all,O=example");
    assert_int_equal(u->iam_callers.count, 2);
    assert_string_equal(u->iam_callers.items[1], "arn:b/*");
    assert_int_equal(u->access_key_count, 2);
    assert_string_equal(u->access_keys[0].id, "AKIA1");
    assert_string_equal(u->access_keys[0].secret_file, "/etc/fk/secret");
    assert_string_equal(u->access_keys[0].session_token_file, "/etc/token");
    assert_string_equal(u->access_keys[1].secret_file, "/etc/two");
    assert_null(u->access_keys[1].session_token_file);
    assert_true(u->jwt.given);
    assert_string_equal(u->jwt.issuer, "https://issuer.example.org");
    assert_string_equal(u->jwt.ca_file, "/etc/fk/ca.pem");
    assert_int_equal(u->jwt.audience.count, 2);
    assert_int_equal(u->jwt.claims.count, 2);
    assert_string_equal(u->jwt.claims.items[1].value, "metrics");
    assert_string_equal(u->jwt.tenant_claim, "tenants");
    assert_string_equal(u->jwt.permissions_claim, "roles");
    assert_int_equal(u->permissions, PERMISSION_WRITE | PERMISSION_READ);
    assert_int_equal(u->tenants.count, 1);
    assert_int_equal(u->tenant_header, TENANT_HEADER_IGNORE);
    assert_int_equal(u->read_matchers.count, 2);
    assert_string_equal(u->read_matchers.items[0], "{team=\"a\"}");
    assert_string_equal(u->write_labels.items[0].value, "a");
    assert_string_equal(u[1].jwt.jwks_file, "/etc/fk/keys.json");
    assert_int_equal(u[1].permissions, PERMISSION_READ | PERMISSION_METRICS);
    assert_int_equal(u[1].tenant_header, TENANT_HEADER_CHECK);
    assert_string_equal(u[2].jwt.jwks_url, "https://h/keys");
    assert_false(u[2].jwt.permissions_claim != NULL);
    assert_int_equal(u[2].tenants.count, 2);
    access_settings_free(&access);
}

/* Checks the error of a user with a password and the permission to read, who has these keys, too.
 */
static void
check_user_error(const char *keys, const char *expected)
{
    char text[600], whole_expected[600];
    snprintf(text, sizeof text,
             TENANCY "users:\n- {name: a, password: '" BCRYPT "', permissions: [read],\n   %s}\n",
             keys);
    snprintf(whole_expected, sizeof whole_expected, "f.yml:%s", expected == NULL ? "" : expected);
    if (expected == NULL)
        check_access_refused(text);
    else
        check_access_error(text, whole_expected);
}

UNIT_TEST(test_mistakes_in_users_name_their_place)
{
    check_access_error("users: [{password: '" BCRYPT "', permissions: [read]}]\n",
                       "f.yml:1:9: users requires 'name', unique name, for signing in with a "
                       "password and for logs");
    check_access_error("users: [{name: a, password: '" BCRYPT "'}]\n",
                       "f.yml:1:9: users requires 'permissions', what the user may do");
    check_access_error("users: [{name: 'a:b', password: '" BCRYPT "', permissions: [read]}]\n",
                       "f.yml:1:16: users.name: expected a name in UTF-8 without ':', got 'a:b'");
    check_access_error("users: [{name: a, permissions: [], tokens: [" TOKEN "]}]\n",
                       "f.yml:1:32: users.permissions: must not be empty");
    check_access_error("users: [{name: a, permissions: [all], tokens: [" TOKEN "]}]\n",
                       "f.yml:1:33: users.permissions: expected any of write, read, rules, admin, "
                       "metrics, got 'all'");
    check_access_error("users: [{name: a, permissions: [read]}]\n",
                       "f.yml:1:9: users: user 'a' cannot sign in: it requires 'password', "
                       "'tokens', 'client_certificate', 'iam_callers', 'access_keys' or 'jwt'");
    check_access_error("users: [{name: a, permissions: [read], tokens: []}]\n",
                       "f.yml:1:9: users: user 'a' cannot sign in: it requires 'password', "
                       "'tokens', 'client_certificate', 'iam_callers', 'access_keys' or 'jwt'");
    check_access_error("users: [a]\n",
                       "f.yml:1:9: 'users' expects keys below it such as 'name:', got a value");
    check_user_error("tokens: hush", "4:12: users.tokens: expected a list, got a value");
    check_user_error("tokens: [hush]", "4:13: users.tokens: expected the SHA-256 of a token, 64 "
                                       "hexadecimal digits, and not a token");
    check_user_error("tokens: [" TOKEN "0]",
                     "4:13: users.tokens: expected the SHA-256 of a token, 64 hexadecimal digits, "
                     "and not a token");
    check_user_error("access_keys: [{secret_file: a}]",
                     "4:18: users.access_keys requires 'id', access key ID");
    check_user_error("access_keys: [{id: a}]", "4:18: users.access_keys requires 'secret_file', "
                                               "file that contains the secret access key");
    check_user_error("access_keys: [{id: a/b, secret_file: a}]",
                     "4:23: users.access_keys.id: expected letters, digits, '-', '_' and '.', got "
                     "'a/b'");
    check_user_error("read_matchers: ['{a=']",
                     "4:20: users.read_matchers: invalid selector: expected a quoted string at "
                     "character 4");
    check_user_error("read_matchers: ['{}']", "4:20: users.read_matchers: selector matches every "
                                              "series; to permit all, remove the key");
    check_user_error("write_labels: {__name__: a}",
                     "4:19: users.write_labels: __name__ is reserved for the metric name");
    check_user_error("write_labels: {a: ''}", "4:22: users.write_labels: must not be empty");
    check_user_error("tenants: [a/b]", NULL);
    check_user_error("tenants: ['a/*']",
                     "4:14: users.tenants: expected a tenant name, in which * stands for any text, "
                     "got 'a/*'");
    check_user_error("tenants: [a, a]", "4:17: users.tenants: duplicate entry 'a'");
}

UNIT_TEST(test_restrictions_without_items_are_refused)
{
    check_user_error("tenants: []", "4:13: users.tenants: must not be empty; without the key, the "
                                    "user may name all tenants");
    check_user_error("read_matchers: []", "4:19: users.read_matchers: must not be empty; without "
                                          "the key, the user may read all series");
    check_user_error("read_matchers: null", "4:19: users.read_matchers: must not be empty; "
                                            "without the key, the user may read all series");
    check_user_error("write_labels: {}", "4:18: users.write_labels: must not be empty; without "
                                         "the key, labels are written as they are sent");
    check_user_error("jwt: {jwks_file: a, audience: [a], claims: {}}",
                     "4:47: users.jwt.claims: must not be empty; without the key, all tokens for "
                     "the audience are accepted");
    check_access_error("users: []\n", "f.yml:1:8: users: must not be empty; remove the key if "
                                      "everyone may do everything");
    check_access_error("users:\n", "f.yml:1:7: users: must not be empty; remove the key if "
                                   "everyone may do everything");
}

UNIT_TEST(test_read_matchers_may_match_series_without_the_label)
{
    struct access_settings access =
        read_access("users: [{name: a, tokens: [" TOKEN "], permissions: [read], read_matchers: "
                    "['{team!=\"b\"}', '{team=\"\"}']}]\n",
                    NULL, NULL);
    assert_int_equal(access.users.items[0].read_matchers.count, 2);
    access_settings_free(&access);
}

UNIT_TEST(test_mistakes_in_jwt_name_their_place)
{
    check_user_error("jwt: {audience: [a]}",
                     "4:9: users.jwt: requires 'issuer', 'jwks_file' or 'jwks_url'");
    check_user_error("jwt: {issuer: 'https://h'}", "4:9: users.jwt requires 'audience', audiences "
                                                   "of which a token must name one");
    check_user_error("jwt: {issuer: 'https://h', audience: []}",
                     "4:41: users.jwt.audience: must name at least one audience");
    check_user_error("jwt: {issuer: h, audience: [a]}",
                     "4:18: users.jwt.issuer: expected a URL that begins with http:// or https:// "
                     "and has a host, got 'h'");
    check_user_error("jwt: {issuer: 'https://h?a=b', audience: [a]}",
                     "4:18: users.jwt.issuer: must not contain a query: it is discovered");
    check_user_error("jwt: {jwks_file: a, jwks_url: 'https://h', audience: [a]}",
                     "4:24: 'jwks_url' and 'jwks_file' cannot be used together; 'jwks_file' is on "
                     "line 4");
    check_user_error("jwt: {jwks_file: a, ca_file: b, audience: [a]}",
                     "4:33: users.jwt.ca_file: has no effect with 'jwks_file'; remove it");
    check_user_error("jwt: {jwks_url: 'ftp://h', audience: [a]}",
                     "4:20: users.jwt.jwks_url: expected a URL that begins with http:// or "
                     "https:// and has a host, got 'ftp://h'");
}

UNIT_TEST(test_permissions_that_cannot_be_combined_are_refused)
{
    static const struct {
        const char *keys, *expected;
    } cases[] = {
        {"permissions: [admin], tenants: [a]",
         "admin is a permission for the whole server, and cannot be combined with tenants"},
        {"permissions: [read, metrics], tenants: ['*']",
         "metrics is a permission for the whole server, and cannot be combined with tenants"},
        {"permissions: [metrics], read_matchers: [up]",
         "metrics is a permission for the whole server, and cannot be combined with "
         "read_matchers"},
        {"permissions: [admin], jwt: {jwks_file: a, audience: [a], tenant_claim: t}",
         "admin is a permission for the whole server, and cannot be combined with "
         "jwt.tenant_claim"},
        {"permissions: [rules], read_matchers: [up]",
         "rules cannot be combined with read_matchers: a rule reads and writes all series"},
        {"permissions: [write, rules], write_labels: {a: b}",
         "rules cannot be combined with write_labels: a rule reads and writes all series"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400], expected[300];
        snprintf(text, sizeof text, TENANCY "users:\n- {name: a, tokens: [" TOKEN "], %s}\n",
                 cases[i].keys);
        snprintf(expected, sizeof expected, "f.yml:3:102: users.permissions: %s",
                 cases[i].expected);
        check_access_error(text, expected);
    }
    struct access_settings access =
        read_access("users: [{name: a, tokens: [" TOKEN "], permissions: [admin, write, metrics], "
                    "write_labels: {a: b}}]\n",
                    NULL, NULL);
    access_settings_free(&access);
}

UNIT_TEST(test_a_fixed_tenant_is_exactly_one)
{
    check_user_error("tenant_header: ignore",
                     "4:19: users.tenant_header: ignore requires one entry in 'tenants', which is "
                     "not a pattern");
    check_user_error("tenant_header: ignore, tenants: [a, b]",
                     "4:19: users.tenant_header: ignore requires one entry in 'tenants', which is "
                     "not a pattern");
    check_user_error("tenant_header: ignore, tenants: ['a*']",
                     "4:19: users.tenant_header: ignore requires one entry in 'tenants', which is "
                     "not a pattern");
    check_user_error("tenant_header: no", "4:19: users.tenant_header: expected one of check, "
                                          "ignore, got 'no'");
    check_access_error("users: [{name: a, tokens: [" TOKEN "], permissions: [read], tenants: "
                       "[a]}]\n",
                       "f.yml:1:125: users.tenants: requires tenancy.enabled: true");
    check_access_error("users: [{name: a, permissions: [read], jwt: {jwks_file: a, audience: [a], "
                       "tenant_claim: t}}]\n",
                       "f.yml:1:45: users.jwt: tenant_claim requires tenancy.enabled: true");
}

UNIT_TEST(test_a_name_token_or_key_belongs_to_one_user_only)
{
    static const struct {
        const char *first, *second, *expected;
    } cases[] = {
        {"name: a, tokens: [" TOKEN "]", "name: a, tokens: [" TOKEN_2 "]",
         "3:10: users.name: the user on line 2 has the same name"},
        {"name: a, tokens: [" TOKEN "]",
         "name: b, tokens: [0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef]",
         "3:21: users.tokens: the user on line 2 has one of these tokens"},
        {"name: a, client_certificate: c", "name: b, client_certificate: c",
         "3:33: users.client_certificate: the user on line 2 has the same certificate"},
        {"name: a, access_keys: [{id: i, secret_file: f}]",
         "name: b, access_keys: [{id: i, secret_file: g}]",
         "3:32: users.access_keys.id: the access key on line 2 has the same ID"},
        {"name: a, tokens: [" TOKEN "]", "name: b, tokens: [" TOKEN_2 ", " TOKEN_2 "]",
         "3:21: users.tokens: a token is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600], expected[200];
        snprintf(text, sizeof text,
                 "users:\n- {%s, permissions: [read]}\n- {%s, permissions: [read]}\n",
                 cases[i].first, cases[i].second);
        snprintf(expected, sizeof expected, "f.yml:%s", cases[i].expected);
        check_access_error(text, expected);
    }
    /* A name may equal an access key ID. */
    struct access_settings access =
        read_access("users: [{name: a, access_keys: [{id: a, secret_file: f}], "
                    "client_certificate: a, permissions: [read]}]\n",
                    NULL, NULL);
    access_settings_free(&access);
}

UNIT_TEST(test_a_password_comes_from_one_of_the_two_lists)
{
    struct access_settings access = read_access(
        "users: [{name: b, permissions: [read]}, {name: c, permissions: [write], tokens: [" TOKEN
        "]}]\n",
        "w.yml", "basic_auth_users: {a: '" BCRYPT "', b: '" YESCRYPT "'}\n");
    assert_int_equal(access.users.count, 3);
    assert_string_equal(access.users.items[0].name, "b");
    assert_string_equal(access.users.items[0].password, YESCRYPT);
    assert_int_equal(access.users.items[0].permissions, PERMISSION_READ);
    assert_null(access.users.items[1].password);
    assert_string_equal(access.users.items[2].name, "a");
    assert_int_equal(access.users.items[2].permissions, PERMISSIONS_ALL);
    access_settings_free(&access);
    check_both_error("\nusers: [{name: b, permissions: [read], password: '" BCRYPT "'}]\n",
                     "basic_auth_users: {b: '" YESCRYPT "'}\n",
                     "f.yml:2:9: users: user 'b' has a password here and in basic_auth_users; "
                     "remove one of them");
}

UNIT_TEST(test_hashes_have_one_of_three_forms)
{
    static const char *const good[] = {
        BCRYPT,
        YESCRYPT,
        "$2a$04$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2b$16$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$7$CU..../....2Q9obwLhin8qvQl6sisAO/$sgH4i/Dh4bRfGCkCHfmIkB8bX7tOQ0.aqKQ8bmD8oA4",
        "$y$j9T$saltsaltsalt$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ",
    };
    static const char *const bad[] = {
        "",
        "hush",
        "$2y$10$abc",
        "$2x$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2y$1x$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ0123!",
        "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "$6$saltsalt$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ",
        "$y$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ",
        "$y$j9T$salt$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOP",
        "$7$a b$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ",
        "$7$",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct why why = {""};
        if (check_password_hash(good[i], &why) != OK) fail_msg("%s is refused", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct why why = {""};
        assert_int_equal(check_password_hash(bad[i], &why), ERR_INPUT);
        if (bad[i][0] != '\0' && strlen(bad[i]) > 3) assert_null(strstr(why.text, bad[i]));
    }
}

UNIT_TEST(test_hashes_that_cannot_be_checked_are_refused)
{
    static const struct {
        const char *hash;
        enum err error;
    } cases[] = {
        {"$2b$31$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234", ERR_LIMIT},
        {"$2b$17$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234", ERR_LIMIT},
        {"$2b$03$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234", ERR_INPUT},
        {"$y$i9T$saltsaltsalt$ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ", ERR_INPUT},
        {"$7$zU..../....2Q9obwLhin8qvQl6sisAO/$sgH4i/Dh4bRfGCkCHfmIkB8bX7tOQ0.aqKQ8bmD8oA4",
         ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct why why = {""};
        enum err e = check_password_hash(cases[i].hash, &why);
        if (e != cases[i].error) fail_msg("%s: %s: %s", cases[i].hash, err_word(e), why.text);
        assert_true(why.text[0] != '\0');
        assert_null(strstr(why.text, cases[i].hash + 7));
    }
    struct settings settings;
    struct access_settings access;
    struct why why = {""};
    settings_default(&settings);
    enum err e = access_settings_yaml(
        "f.yml",
        bytes_of_text("users: [{name: b, permissions: [read], password: "
                      "'$2b$31$......................ABCDEFGHIJKLMNOPQRSTUVWXYZ01234'}]\n"),
        &settings, &access, &why);
    assert_int_equal(e, ERR_LIMIT);
    assert_string_equal(why.text,
                        "f.yml:1:50: users.password: the bcrypt cost is 31, expected 4 to 16");
}

UNIT_TEST(test_users_are_printed_without_secrets)
{
    struct access_settings access = read_access_from("/etc/f.yml", whole, NULL, NULL);
    check_printed(&access, "users:\n"
                           "    - name: \"all\"\n"
                           "      password: <secret>\n"
                           "      tokens:\n"
                           "          - <secret>\n"
                           "          - <secret>\n"
                           "      client_certificate: \"CN=all,O=example\"\n"
                           "      iam_callers:\n"
                           "          - \"arn:aws:iam::1:user/a\"\n"
                           "          - \"arn:b/*\"\n"
                           "      access_keys:\n"
                           "          - id: \"AKIA1\"\n"
                           "            secret_file: \"/etc/secret\"\n"
                           "            session_token_file: \"/etc/token\"\n"
                           "          - id: \"AKIA2\"\n"
                           "            secret_file: \"/two\"\n"
                           "      jwt:\n"
                           "          issuer: \"https://issuer.example.org\"\n"
                           "          ca_file: \"/etc/ca.pem\"\n"
                           "          audience:\n"
                           "              - \"firekeep\"\n"
                           "              - \"other\"\n"
                           "          claims:\n"
                           "              \"team\": \"a\"\n"
                           "              \"role\": \"metrics\"\n"
                           "          tenant_claim: \"tenants\"\n"
                           "          permissions_claim: \"roles\"\n"
                           "      permissions: [write,read]\n"
                           "      tenants:\n"
                           "          - \"team-a\"\n"
                           "      tenant_header: ignore\n"
                           "      read_matchers:\n"
                           "          - \"{team=\\\"a\\\"}\"\n"
                           "          - \"up{job=~\\\"b.*\\\"}\"\n"
                           "      write_labels:\n"
                           "          \"team\": \"a\"\n"
                           "    - name: \"file\"\n"
                           "      jwt:\n"
                           "          issuer: \"any-text\"\n"
                           "          jwks_file: \"/etc/keys.json\"\n"
                           "          audience:\n"
                           "              - \"a\"\n"
                           "      permissions: [read,metrics]\n"
                           "      tenant_header: check\n"
                           "    - name: \"url\"\n"
                           "      jwt:\n"
                           "          jwks_url: \"https://h/keys\"\n"
                           "          audience:\n"
                           "              - \"a\"\n"
                           "      permissions: [rules]\n"
                           "      tenants:\n"
                           "          - \"team-*\"\n"
                           "          - \"*-b\"\n"
                           "      tenant_header: check\n");
    access_settings_free(&access);
}

UNIT_TEST(test_users_differ_if_any_key_differs)
{
    static const char *const keys[] = {
        "permissions: [read]",
        "permissions: [write]",
        "permissions: [read], password: '" BCRYPT "'",
        "permissions: [read], password: '" YESCRYPT "'",
        "permissions: [read], client_certificate: a",
        "permissions: [read], iam_callers: [a]",
        "permissions: [read], tokens: [" TOKEN_2 "]",
        "permissions: [read], access_keys: [{id: a, secret_file: f}]",
        "permissions: [read], access_keys: [{id: b, secret_file: f}]",
        "permissions: [read], access_keys: [{id: b, secret_file: g}]",
        "permissions: [read], jwt: {jwks_file: a, audience: [a]}",
        "permissions: [read], jwt: {jwks_file: a, audience: [b]}",
        "permissions: [read], jwt: {jwks_file: a, audience: [a], claims: {a: b}}",
        "permissions: [read], tenants: [a]",
        "permissions: [read], tenants: [a], tenant_header: ignore",
        "permissions: [read], read_matchers: [up]",
        "permissions: [read], write_labels: {a: b}",
        "permissions: [read], write_labels: {a: c}",
    };
    enum { COUNT = sizeof keys / sizeof *keys };
    struct access_settings all[COUNT];
    char text[400];
    for (size_t i = 0; i < COUNT; i++) {
        const char *token = strstr(keys[i], "tokens") == NULL ? ", tokens: [" TOKEN "]" : "";
        snprintf(text, sizeof text, TENANCY "users: [{name: a, %s%s}]\n", keys[i], token);
        all[i] = read_access(text, NULL, NULL);
        snprintf(text, sizeof text, TENANCY "\n\nusers:\n  - {name: a, %s%s}\n", keys[i], token);
        struct access_settings lower = read_access(text, NULL, NULL);
        assert_true(access_users_equal(&all[i].users, &lower.users));
        for (size_t k = 0; k < i; k++)
            if (access_users_equal(&all[i].users, &all[k].users))
                fail_msg("%s equals %s", keys[i], keys[k]);
        access_settings_free(&lower);
    }
    for (size_t i = 0; i < COUNT; i++)
        access_settings_free(&all[i]);
}

UNIT_TEST(test_many_users_are_read)
{
    enum { COUNT = 5000 };
    struct buf text;
    buf_init(&text, NULL, CONFIG_BYTES_MAX);
    buf_put_text(&text, "users:\n");
    for (unsigned i = 0; i < COUNT; i++)
        buf_printf(&text, "- {name: user-%u, permissions: [read], tokens: [%064x]}\n", i, i);
    buf_put_u8(&text, '\0');
    assert_int_equal(buf_error(&text), OK);
    struct access_settings access = read_access((const char *)text.at, NULL, NULL);
    assert_int_equal(access.users.count, COUNT);
    assert_string_equal(access.users.items[COUNT - 1].name, "user-4999");
    access_settings_free(&access);
    buf_fini(&text);
}

static enum err
read_once(void)
{
    struct settings s = settings_with_tenancy(true);
    struct access_settings access = {.file_name = ""};
    struct why why = {""};
    enum err e = access_settings_yaml("f.yml", bytes_of_text(whole), &s, &access, &why);
    if (e == OK) e = access_settings_merge(&access, &s, NULL, bytes_of("", 0), &why);
    assert_true((e == OK) == (why.text[0] == '\0'));
    access_settings_free(&access);
    return e;
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    fail_each_allocation(read_once);
}

UNIT_TEST(test_the_table_is_well_formed_and_the_example_can_be_used)
{
    static const struct list_text texts[] = {{whole, true}};
    check_rows(&user_schema, 1, texts, 1);
    char *text = example_list("users");
    char with_tenancy[8192];
    snprintf(with_tenancy, sizeof with_tenancy, TENANCY "%s", text);
    struct access_settings access = read_access(with_tenancy, NULL, NULL);
    assert_true(access.users.count > 1);
    access_settings_free(&access);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_of_a_user_is_read),
        cmocka_unit_test(test_mistakes_in_users_name_their_place),
        cmocka_unit_test(test_restrictions_without_items_are_refused),
        cmocka_unit_test(test_read_matchers_may_match_series_without_the_label),
        cmocka_unit_test(test_mistakes_in_jwt_name_their_place),
        cmocka_unit_test(test_permissions_that_cannot_be_combined_are_refused),
        cmocka_unit_test(test_a_fixed_tenant_is_exactly_one),
        cmocka_unit_test(test_a_name_token_or_key_belongs_to_one_user_only),
        cmocka_unit_test(test_a_password_comes_from_one_of_the_two_lists),
        cmocka_unit_test(test_hashes_have_one_of_three_forms),
        cmocka_unit_test(test_hashes_that_cannot_be_checked_are_refused),
        cmocka_unit_test(test_users_are_printed_without_secrets),
        cmocka_unit_test(test_users_differ_if_any_key_differs),
        cmocka_unit_test(test_many_users_are_read),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_the_table_is_well_formed_and_the_example_can_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
