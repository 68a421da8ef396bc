/* alerting_test.c - the section alerting. */
#include "lib/test.h"

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"
#include "lib/failing_memory.h"

/* One Alertmanager, after which a test adds lines; those begin with line 4. */
#define ONE_4 "alerting:\n  alertmanagers:\n  - static_configs: [{targets: ['h:9093']}]\n"

static struct alerting
read_from(const char *file_name, const char *text)
{
    struct settings s = settings_with_tenancy(false), again = s;
    struct alerting alerting = {NULL};
    struct why why = {""};
    enum err e = settings_yaml(&again, file_name, bytes_of_text(text), &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    e = alerting_yaml(file_name, bytes_of_text(text), &s, &alerting, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return alerting;
}

static struct alerting
read_alerting(const char *text)
{
    return read_from("f.yml", text);
}

static void
check_fine(const char *text)
{
    struct alerting alerting = read_alerting(text);
    alerting_free(&alerting);
}

static void
check_error(const char *text, const char *expected)
{
    struct settings s = settings_with_tenancy(false);
    struct alerting alerting = {.count = 7};
    struct why why = {""};
    enum err e = alerting_yaml("f.yml", bytes_of_text(text), &s, &alerting, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(alerting.count, 7);
    assert_int_equal(alerting_yaml("f.yml", bytes_of_text(text), &s, &alerting, NULL), ERR_INPUT);
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char whole[] =
    "log: {level: debug}\n"
    "alerting:\n"
    "  queue_capacity: 20000\n"
    "  batch_size: 64\n"
    "  alert_relabel_configs:\n"
    "  - {action: labeldrop, regex: replica}\n"
    "  - {source_labels: [severity], regex: info, action: drop}\n"
    "  alertmanagers:\n"
    "  - scheme: https\n"
    "    path_prefix: /alertmanager\n"
    "    api_version: v2\n"
    "    timeout: 5s\n"
    "    static_configs:\n"
    "    - targets: ['a:9093', 'b']\n"
    "      labels: {site: one, empty: ''}\n"
    "    - {}\n"
    "    dns_sd_configs:\n"
    "    - names: [_am._tcp.example.org]\n"
    "    - {names: [am.example.org, am2], type: aaaa, port: 9093, refresh_interval: 1m}\n"
    "    file_sd_configs:\n"
    "    - {files: [am/*.json, /etc/am.yml], refresh_interval: 10s}\n"
    "    http_sd_configs:\n"
    "    - url: https://h/targets?a=b\n"
    "      refresh_interval: 2m\n"
    "      proxy_url: http://u:hush2@proxy:3128\n"
    "      no_proxy: localhost\n"
    "      tls_config: {ca_file: /ca}\n"
    "      authorization: {credentials: hush3}\n"
    "      http_headers: {X-Scope: {secrets: [hush4]}}\n"
    "    - {url: 'http://h', basic_auth: {username: u, password: hush5}}\n"
    "    - url: http://h\n"
    "      oauth2: {client_id: c, client_secret: hush6, token_url: 'http://t', scopes: [s],\n"
    "               endpoint_params: {p: hush7}}\n"
    "    relabel_configs:\n"
    "    - {source_labels: [__address__], separator: '', regex: 'a:.*', target_label: x,\n"
    "       replacement: y, action: replace}\n"
    "    - {source_labels: [x], modulus: 7, target_label: h, action: hashmod}\n"
    "    alert_relabel_configs: [{target_label: am, replacement: one}]\n"
    "    tls_config: {ca_file: /ca, cert_file: /c, key_file: /k, server_name: s,\n"
    "                 min_version: TLS12, max_version: TLS13, insecure_skip_verify: true}\n"
    "    proxy_url: http://proxy:3128\n"
    "    no_proxy: 127.0.0.1\n"
    "    http_headers:\n"
    "      X-One: {values: [a, b], secrets: [hush1], files: [/etc/x]}\n"
    "      X-Two: {files: [/etc/y]}\n"
    "    basic_auth: {username: u, password_file: /p}\n"
    "  - static_configs: [{targets: [c]}]\n"
    "    sigv4: {region: eu-west-1, access_key: hush8, secret_key: hush9, profile: p,\n"
    "            role_arn: r, external_id: e, session_token: hush10, service_name: aps}\n"
    "  - authorization: {type: Token, credentials_file: /t}\n"
    "  - basic_auth: {username_file: /u, password: hush11}\n"
    "  - oauth2: {client_id: c, client_secret_file: /s, token_url: 'http://t'}\n"
    "  - sigv4: {access_key_file: /a, secret_key_file: /b, session_token_file: /c}\n"
    "  tenant_label: team\n";

static void
check_discovery(const struct alertmanager_settings *a)
{
    assert_int_equal(a->static_count, 2);
    assert_int_equal(a->static_configs[0].targets.count, 2);
    assert_string_equal(a->static_configs[0].targets.items[0], "a:9093");
    assert_int_equal(a->static_configs[0].labels.count, 2);
    assert_string_equal(a->static_configs[0].labels.items[1].value, "");
    assert_int_equal(a->static_configs[1].targets.count, 0);
    assert_int_equal(a->dns_count, 2);
    assert_string_equal(a->dns_configs[0].names.items[0], "_am._tcp.example.org");
    assert_int_equal(a->dns_configs[0].type, DNS_SRV);
    assert_int_equal(a->dns_configs[0].refresh_ms, 30000);
    assert_int_equal(a->dns_configs[1].names.count, 2);
    assert_int_equal(a->dns_configs[1].type, DNS_AAAA);
    assert_int_equal(a->dns_configs[1].port, 9093);
    assert_int_equal(a->dns_configs[1].refresh_ms, 60000);
    assert_int_equal(a->file_count, 1);
    assert_int_equal(a->file_configs[0].files.count, 2);
    assert_string_equal(a->file_configs[0].files.items[0], "/etc/firekeep/am/*.json");
    assert_string_equal(a->file_configs[0].files.items[1], "/etc/am.yml");
    assert_int_equal(a->file_configs[0].refresh_ms, 10000);
    assert_int_equal(a->http_count, 3);
    const struct http_members *h = a->http_configs;
    assert_string_equal(h[0].url, "https://h/targets?a=b");
    assert_int_equal(h[0].refresh_ms, 120000);
    assert_string_equal(h[0].http.proxy_url, "http://u:hush2@proxy:3128");
    assert_string_equal(h[0].http.no_proxy, "localhost");
    assert_string_equal(h[0].http.tls.ca_file, "/ca");
    assert_string_equal(h[0].authorization.credentials.text, "hush3");
    assert_int_equal(h[0].http.headers.count, 1);
    assert_string_equal(h[0].http.headers.items[0].value.text, "hush4");
    assert_int_equal(h[1].refresh_ms, 60000);
    assert_string_equal(h[1].basic_auth.password.text, "hush5");
    assert_string_equal(h[2].oauth2.client_secret.text, "hush6");
}

static void
check_headers(const struct alertmanager_settings *a)
{
    static const struct {
        const char *name, *text, *file;
    } expected[] = {{"X-One", "a", NULL},
                    {"X-One", "b", NULL},
                    {"X-One", "hush1", NULL},
                    {"X-One", NULL, "/etc/x"},
                    {"X-Two", NULL, "/etc/y"}};
    assert_int_equal(a->http_headers.count, 2);
    assert_int_equal(a->http.headers.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        const struct named_secret *header = &a->http.headers.items[i];
        assert_string_equal(header->name, expected[i].name);
        if (expected[i].text != NULL) {
            assert_string_equal(header->value.text, expected[i].text);
            assert_null(header->value.file);
        } else {
            assert_string_equal(header->value.file, expected[i].file);
            assert_null(header->value.text);
        }
    }
}

UNIT_TEST(test_every_key_is_read)
{
    struct alerting alerting = read_from("/etc/firekeep/firekeep.yml", whole);
    assert_string_equal(alerting.tenant_label, "team");
    assert_int_equal(alerting.alert_relabel_count, 2);
    assert_int_equal(alerting.alert_relabel[0].action, RELABEL_LABELDROP);
    assert_int_equal(alerting.alert_relabel[1].action, RELABEL_DROP);
    assert_int_equal(alerting.count, 6);
    const struct alertmanager_settings *a = alerting.items;
    assert_int_equal(a->line, 9);
    assert_int_equal(a[1].line, 47);
    assert_string_equal(a->scheme, "https");
    assert_string_equal(a->path_prefix, "/alertmanager");
    assert_string_equal(a->api_version, "v2");
    assert_int_equal(a->timeout_ms, 5000);
    check_discovery(a);
    check_headers(a);
    assert_int_equal(a->relabel_count, 2);
    assert_int_equal(a->relabel[1].modulus, 7);
    assert_int_equal(a->alert_relabel_count, 1);
    assert_string_equal(a->http.tls.max_version, "TLS13");
    assert_true(a->http.tls.insecure_skip_verify);
    assert_string_equal(a->http.proxy_url, "http://proxy:3128");
    assert_string_equal(a->basic_auth.password.file, "/p");
    assert_true(a[1].sigv4.given);
    assert_string_equal(a[1].sigv4.aws.region, "eu-west-1");
    assert_false(a[2].sigv4.given);
    assert_string_equal(a[2].authorization.type, "Token");
    assert_string_equal(a[3].basic_auth.username_file, "/u");
    assert_string_equal(a[4].oauth2.client_secret.file, "/s");
    assert_string_equal(a[5].sigv4.aws.access_key.file, "/a");
    alerting_free(&alerting);
}

UNIT_TEST(test_relative_paths_begin_at_the_directory_of_the_file)
{
    struct alerting alerting =
        read_from("/etc/firekeep/f.yml",
                  "alerting:\n"
                  "  alertmanagers:\n"
                  "  - tls_config: {ca_file: ca.pem, cert_file: tls/c.pem, key_file: ../k.pem}\n"
                  "    basic_auth: {username_file: user, password_file: password}\n"
                  "    http_headers: {X-One: {files: [one, /two]}}\n"
                  "    http_sd_configs:\n"
                  "    - {url: 'http://h', tls_config: {ca_file: ca2.pem}, authorization: "
                  "{credentials_file: t}}\n"
                  "  - oauth2: {client_id: c, client_secret_file: s, token_url: 'http://t',\n"
                  "             tls_config: {ca_file: ca3.pem}}\n"
                  "  - sigv4: {access_key_file: a, secret_key_file: b, session_token_file: c}\n");
    const struct alertmanager_settings *a = &alerting.items[0];
    assert_string_equal(a->http.tls.ca_file, "/etc/firekeep/ca.pem");
    assert_string_equal(a->http.tls.cert_file, "/etc/firekeep/tls/c.pem");
    assert_string_equal(a->http.tls.key_file, "/etc/k.pem");
    assert_string_equal(a->basic_auth.username_file, "/etc/firekeep/user");
    assert_string_equal(a->basic_auth.password.file, "/etc/firekeep/password");
    assert_string_equal(a->http.headers.items[0].value.file, "/etc/firekeep/one");
    assert_string_equal(a->http.headers.items[1].value.file, "/two");
    assert_string_equal(a->http_configs[0].http.tls.ca_file, "/etc/firekeep/ca2.pem");
    assert_string_equal(a->http_configs[0].authorization.credentials.file, "/etc/firekeep/t");
    assert_string_equal(alerting.items[1].oauth2.client_secret.file, "/etc/firekeep/s");
    assert_string_equal(alerting.items[1].oauth2.http.tls.ca_file, "/etc/firekeep/ca3.pem");
    assert_string_equal(alerting.items[2].sigv4.aws.access_key.file, "/etc/firekeep/a");
    assert_string_equal(alerting.items[2].sigv4.aws.secret_key.file, "/etc/firekeep/b");
    assert_string_equal(alerting.items[2].sigv4.aws.session_token.file, "/etc/firekeep/c");
    alerting_free(&alerting);
}

UNIT_TEST(test_defaults_are_those_of_prometheus)
{
    struct alerting alerting = read_alerting(ONE_4);
    assert_int_equal(alerting.count, 1);
    const struct alertmanager_settings *a = alerting.items;
    assert_int_equal(a->line, 3);
    assert_string_equal(a->scheme, "http");
    assert_string_equal(a->path_prefix, "/");
    assert_string_equal(a->api_version, "v2");
    assert_int_equal(a->timeout_ms, 10000);
    assert_int_equal(a->dns_count + a->file_count + a->http_count, 0);
    assert_int_equal(a->http.headers.count, 0);
    assert_null(a->http.proxy_url);
    assert_false(a->sigv4.given);
    alerting_free(&alerting);
}

UNIT_TEST(test_a_text_without_alertmanagers_has_none)
{
    static const char *const texts[] = {"", "log: {}\n", "alerting: {}\n",
                                        "alerting: {batch_size: 5}\n",
                                        "alerting: {alertmanagers: []}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct alerting alerting = read_alerting(texts[i]);
        assert_int_equal(alerting.count, 0);
        assert_null(alerting.arena);
        alerting_free(&alerting);
    }
    alerting_free(NULL);
}

/* --- errors ----------------------------------------------------------------------------------- */

UNIT_TEST(test_mistakes_name_their_place)
{
    check_error("alerting: {tenant_label: alertname}\n",
                "f.yml:1:26: alerting.tenant_label: alertname is the name of the alert");
    check_error("alerting: {alertmanagers: 5}\n",
                "f.yml:1:27: alerting.alertmanagers: expected a list, got '5'");
    check_error("alerting:\n  alertmanagers:\n  - h:9093\n",
                "f.yml:3:5: 'alerting.alertmanagers' expects keys below it such as "
                "'static_configs:', got a value");
    check_error(ONE_4 "    timout: 5s\n",
                "f.yml:4:5: unknown key 'timout' in 'alerting.alertmanagers'; did you mean "
                "'timeout'?");
    check_error(ONE_4 "    targets: [a]\n",
                "f.yml:4:5: unknown key 'targets' in 'alerting.alertmanagers'; did you mean "
                "'targets' below 'static_configs:'?");
    check_error(ONE_4 "    scheme: ftp\n",
                "f.yml:4:13: alerting.alertmanagers.scheme: expected http or https, got 'ftp'");
    check_error(ONE_4 "    scheme: http\n    scheme: http\n",
                "f.yml:5:5: duplicate key 'scheme', first given on line 4");
    check_error(ONE_4 "    timeout: 2h\n", "f.yml:4:14: alerting.alertmanagers.timeout: must be "
                                           "between 1ms and 1h, got 2h");
    check_error(ONE_4 "    scheme: ''\n",
                "f.yml:4:13: alerting.alertmanagers.scheme: must not be empty");
    check_fine("alerting:\n# alertmanagers:\nglobal:\n");
    check_fine(ONE_4 "    path_prefix: ''\n");
    check_error("alerting:\n  alert_relabel_configs:\n  - {action: drop, regex: '('}\n",
                "f.yml:3:27: alerting.alert_relabel_configs.regex: invalid regex: missing ): (");
    check_error(ONE_4 "    relabel_configs: [{action: replace}]\n",
                "f.yml:4:23: alerting.alertmanagers.relabel_configs: action replace requires "
                "target_label");
    check_error(ONE_4 "    alert_relabel_configs: [{action: rename}]\n",
                "f.yml:4:38: alerting.alertmanagers.alert_relabel_configs.action: expected one of "
                "replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, "
                "labelkeep, lowercase, uppercase, got 'rename'");
}

UNIT_TEST(test_mistakes_in_discoveries_name_their_place)
{
    check_error("alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: [http://h]\n",
                "f.yml:4:17: alerting.alertmanagers.static_configs.targets: expected HOST:PORT, "
                "without a scheme, path or query, got 'http://h'");
    check_error("alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: ['h:1?x']\n",
                "f.yml:4:17: alerting.alertmanagers.static_configs.targets: expected HOST:PORT, "
                "without a scheme, path or query, got 'h:1?x'");
    check_error("alerting:\n  alertmanagers:\n  - static_configs:\n    - targets: ['u:pw@h:1']\n",
                "f.yml:4:17: alerting.alertmanagers.static_configs.targets: expected HOST:PORT, "
                "without a user or password: use basic_auth");
    check_error(ONE_4 "    dns_sd_configs: [{port: 5}]\n",
                "f.yml:4:22: alerting.alertmanagers.dns_sd_configs requires 'names', names to look "
                "up");
    check_error(ONE_4 "    dns_sd_configs: [{names: []}]\n",
                "f.yml:4:30: alerting.alertmanagers.dns_sd_configs.names: must name at least one "
                "domain");
    check_error(ONE_4 "    dns_sd_configs: [{names: [a], type: A}]\n",
                "f.yml:4:22: alerting.alertmanagers.dns_sd_configs: requires 'port' with any type "
                "but SRV");
    check_error(ONE_4 "    dns_sd_configs: [{names: [a], type: TXT}]\n",
                "f.yml:4:41: alerting.alertmanagers.dns_sd_configs.type: expected one of SRV, A, "
                "AAAA, MX, NS, got 'TXT'");
    check_error(ONE_4 "    dns_sd_configs: [{names: [a], type: A, port: 0}]\n",
                "f.yml:4:50: alerting.alertmanagers.dns_sd_configs.port: must be between 1 and "
                "65535, got 0");
    check_error(ONE_4 "    file_sd_configs: [{refresh_interval: 1m}]\n",
                "f.yml:4:23: alerting.alertmanagers.file_sd_configs requires 'files', JSON or YAML "
                "files with lists of targets, with wildcards in the name of the file");
    check_error(ONE_4 "    file_sd_configs: [{files: []}]\n",
                "f.yml:4:31: alerting.alertmanagers.file_sd_configs.files: must name at least one "
                "file");
    check_error(ONE_4 "    file_sd_configs: [{files: [a.txt]}]\n",
                "f.yml:4:32: alerting.alertmanagers.file_sd_configs.files: expected a path or "
                "pattern that ends with .json, .yml or .yaml, got 'a.txt'");
    check_error(ONE_4 "    file_sd_configs: [{files: ['*/a.yml']}]\n",
                "f.yml:4:32: alerting.alertmanagers.file_sd_configs.files: wildcards are only "
                "allowed after the last '/'");
    check_error(ONE_4 "    http_sd_configs: [{}]\n",
                "f.yml:4:23: alerting.alertmanagers.http_sd_configs requires 'url', URL that "
                "answers with a JSON list of targets");
    check_error(ONE_4 "    http_sd_configs: [{url: h}]\n",
                "f.yml:4:29: alerting.alertmanagers.http_sd_configs.url: expected a URL that "
                "begins with http:// or https:// and has a host, got 'h'");
    check_error(ONE_4 "    http_sd_configs: [{url: 'http://h', oauth2: {tls_config: {x: y}}}]\n",
                "f.yml:4:63: unknown key 'x' in "
                "'alerting.alertmanagers.http_sd_configs.oauth2.tls_config'");
}

UNIT_TEST(test_one_way_to_log_in_is_enough)
{
    check_error(ONE_4 "    basic_auth: {username: u}\n    sigv4: {}\n",
                "f.yml:5:5: 'sigv4' and 'basic_auth' cannot be used together; 'basic_auth' is on "
                "line 4");
    check_error(ONE_4 "    oauth2: {client_id: c, client_secret: s, token_url: 'http://t'}\n"
                      "    authorization: {credentials: c}\n",
                "f.yml:5:5: 'authorization' and 'oauth2' cannot be used together; 'oauth2' is on "
                "line 4");
    check_error(ONE_4 "    authorization: {credentials: c}\n"
                      "    http_headers: {authorization: {values: [a]}}\n",
                "f.yml:5:19: alerting.alertmanagers.http_headers: header authorization is set by "
                "authorization");
    check_fine(ONE_4 "    http_headers: {Authorization: {secrets: [a]}}\n");
}

UNIT_TEST(test_mistakes_in_headers_name_their_place)
{
    check_error(ONE_4 "    http_headers: [a]\n",
                "f.yml:4:19: alerting.alertmanagers.http_headers: expected a mapping, got a list");
    check_error(ONE_4 "    http_headers: {X-A: secret}\n",
                "f.yml:4:25: 'alerting.alertmanagers.http_headers' expects keys below it such as "
                "'values:', got a value");
    check_error(ONE_4 "    http_headers: {X-A: {value: [a]}}\n",
                "f.yml:4:26: unknown key 'value' in 'alerting.alertmanagers.http_headers'; did "
                "you mean 'values'?");
    check_error(ONE_4 "    http_headers: {X-A: {}}\n",
                "f.yml:4:19: alerting.alertmanagers.http_headers: header X-A requires 'values', "
                "'secrets' or 'files'");
    check_error(ONE_4 "    http_headers: {'a b': {values: [a]}}\n",
                "f.yml:4:20: alerting.alertmanagers.http_headers: expected a header name, got "
                "'a b'");
    check_error(ONE_4 "    http_headers: {Content-Type: {values: [a]}}\n",
                "f.yml:4:20: alerting.alertmanagers.http_headers: header 'Content-Type' is set by "
                "Firekeep and cannot be changed");
    check_error(ONE_4 "    http_headers: {X-A: {values: [a]}, x-a: {values: [b]}}\n",
                "f.yml:4:19: alerting.alertmanagers.http_headers: X-A and x-a are the same header");
    check_error(ONE_4 "    http_headers: {X-A: {secrets: [\"hush\\r\\n\"]}}\n",
                "f.yml:4:36: alerting.alertmanagers.http_headers.secrets: must not contain control "
                "characters");
    char *text = repeated(ONE_4 "    http_headers: {X-A: {values: [", "v#, ", 16,
                          "]}, X-B: {files: [/x]}}\n");
    check_error(text, "f.yml:4:19: alerting.alertmanagers.http_headers: at most 16 values are "
                      "allowed");
    free(text);
}

UNIT_TEST(test_each_unsupported_discovery_of_prometheus_is_refused_by_name)
{
    static const char *const discoveries[] = {
        "azure",     "consul",   "digitalocean", "docker",    "dockerswarm", "ec2",
        "eureka",    "gce",      "hetzner",      "ionos",     "kubernetes",  "kuma",
        "lightsail", "linode",   "marathon",     "nerve",     "nomad",       "openstack",
        "ovhcloud",  "puppetdb", "scaleway",     "serverset", "stackit",     "triton",
        "uyuni",     "vultr",
    };
    char text[300], expected[300];
    for (size_t i = 0; i < sizeof discoveries / sizeof *discoveries; i++) {
        snprintf(text, sizeof text, ONE_4 "    %s_sd_configs: [{}]\n", discoveries[i]);
        snprintf(expected, sizeof expected,
                 "f.yml:4:5: '%s_sd_configs' is not supported; use dns_sd_configs, file_sd_configs "
                 "or http_sd_configs",
                 discoveries[i]);
        check_error(text, expected);
    }
    check_error(ONE_4 "    api_version: v1\n",
                "f.yml:4:18: alerting.alertmanagers.api_version: v1 is not supported: Alertmanager "
                "has v2 since version 0.16, and no v1 since 0.27; use v2");
    check_error(ONE_4 "    api_version: v3\n",
                "f.yml:4:18: alerting.alertmanagers.api_version: expected v2, got 'v3'");
    check_error(ONE_4 "    bearer_token: hush\n",
                "f.yml:4:5: 'bearer_token' is not supported; use 'authorization' with "
                "'credentials'");
    check_error(ONE_4 "    follow_redirects: false\n",
                "f.yml:4:5: 'follow_redirects' is not supported: redirects are never followed; "
                "remove it");
    check_error(ONE_4 "    http_config: {basic_auth: {username: u}}\n",
                "f.yml:4:5: 'http_config' is a key of Thanos: put what is below it beside "
                "'static_configs'");
    check_error(ONE_4 "    http_sd_configs: [{url: 'http://h', enable_http2: false}]\n",
                "f.yml:4:41: 'enable_http2' is not supported: requests use HTTP/1.1; remove it");
    check_error(ONE_4 "    tls_config: {ca: '-----BEGIN CERTIFICATE-----'}\n",
                "f.yml:4:18: 'ca' is not supported; write the certificates to a file, and use "
                "'ca_file'");
}

UNIT_TEST(test_lists_are_bounded)
{
    char *text = repeated("alerting:\n  alertmanagers:\n", "  - {path_prefix: /a#}\n", 64, "");
    check_fine(text);
    free(text);
    text = repeated("alerting:\n  alertmanagers:\n", "  - {path_prefix: /a#}\n", 65, "");
    check_error(text, "f.yml:67:5: alerting.alertmanagers: at most 64 entries are allowed");
    free(text);
    text = repeated("alerting:\n  alertmanagers:\n  - static_configs:\n    - targets:\n",
                    "      - h#\n", 1001, "");
    check_error(text, "f.yml:1005:9: alerting.alertmanagers.static_configs.targets: at most 1000 "
                      "entries are allowed");
    free(text);
}

/* --- results ---------------------------------------------------------------------------------- */

static void
print_whole(const struct alerting *alerting, struct buf *to)
{
    struct settings settings = settings_with_tenancy(false);
    buf_init(to, NULL, 1 << 20);
    settings_print_yaml(&settings, NULL, alerting, NULL, to);
    buf_put_u8(to, '\0');
    assert_int_equal(buf_error(to), OK);
}

UNIT_TEST(test_printed_settings_read_back_equal_except_for_secrets)
{
    const char *const texts[] = {whole, ONE_4, "", "alerting: {alertmanagers: [{}]}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct alerting alerting = read_alerting(texts[i]);
        struct buf printed, printed_again;
        print_whole(&alerting, &printed);
        assert_null(strstr((const char *)printed.at, "hush"));
        struct alerting again = read_alerting((const char *)printed.at);
        print_whole(&again, &printed_again);
        assert_string_equal((const char *)printed.at, (const char *)printed_again.at);
        assert_int_equal(alerting.count, again.count);
        if (i > 0) assert_true(schema_equal(&alerting_schema, 0, &alerting, &again));
        alerting_free(&again);
        alerting_free(&alerting);
        buf_fini(&printed);
        buf_fini(&printed_again);
    }
}

UNIT_TEST(test_printed_settings_have_the_form_of_the_file)
{
    struct alerting alerting =
        read_alerting("alerting:\n"
                      "  alertmanagers:\n"
                      "  - static_configs: [{}]\n"
                      "    dns_sd_configs: [{names: [a], type: ns, port: 5}]\n"
                      "    file_sd_configs: [{files: [x/a.yml]}]\n"
                      "    http_headers: {X-A: {values: [b], secrets: [c, d], files: [/e]}}\n");
    struct buf printed;
    buf_init(&printed, NULL, 1 << 16);
    alerting_print_yaml(&alerting, &printed);
    buf_put_u8(&printed, '\0');
    assert_string_equal((const char *)printed.at, "    alertmanagers:\n"
                                                  "        - static_configs:\n"
                                                  "              - {}\n"
                                                  "          dns_sd_configs:\n"
                                                  "              - names:\n"
                                                  "                    - \"a\"\n"
                                                  "                type: NS\n"
                                                  "                port: 5\n"
                                                  "                refresh_interval: 30s\n"
                                                  "          file_sd_configs:\n"
                                                  "              - files:\n"
                                                  "                    - \"x/a.yml\"\n"
                                                  "                refresh_interval: 5m\n"
                                                  "          scheme: \"http\"\n"
                                                  "          path_prefix: \"/\"\n"
                                                  "          api_version: \"v2\"\n"
                                                  "          timeout: 10s\n"
                                                  "          http_headers:\n"
                                                  "              \"X-A\":\n"
                                                  "                  values:\n"
                                                  "                      - \"b\"\n"
                                                  "                  secrets:\n"
                                                  "                      - <secret>\n"
                                                  "                      - <secret>\n"
                                                  "                  files:\n"
                                                  "                      - \"/e\"\n");
    alerting_free(&alerting);
    buf_fini(&printed);
}

UNIT_TEST(test_configs_differ_if_any_key_differs)
{
    static const char *const keys[] = {
        "scheme: http",
        "scheme: https",
        "path_prefix: /a",
        "timeout: 9s",
        "static_configs: [{targets: [a]}]",
        "static_configs: [{targets: [b]}]",
        "static_configs: [{targets: [a]}, {targets: [a]}]",
        "static_configs: [{targets: [a], labels: {b: c}}]",
        "dns_sd_configs: [{names: [a]}]",
        "dns_sd_configs: [{names: [a], type: A, port: 1}]",
        "dns_sd_configs: [{names: [a], type: A, port: 2}]",
        "dns_sd_configs: [{names: [a], refresh_interval: 31s}]",
        "file_sd_configs: [{files: [a.yml]}]",
        "file_sd_configs: [{files: [b.yml]}]",
        "http_sd_configs: [{url: 'http://a'}]",
        "http_sd_configs: [{url: 'http://b'}]",
        "http_sd_configs: [{url: 'http://a', basic_auth: {username: u, password: p}}]",
        "http_sd_configs: [{url: 'http://a', basic_auth: {username: u, password: q}}]",
        "relabel_configs: [{action: drop}]",
        "alert_relabel_configs: [{action: drop}]",
        "http_headers: {A: {values: [a]}}",
        "http_headers: {A: {secrets: [a]}}",
        "http_headers: {A: {secrets: [b]}}",
        "http_headers: {B: {secrets: [b]}}",
        "http_headers: {A: {files: [a]}}",
        "sigv4: {}",
        "authorization: {credentials: a}",
        "authorization: {credentials: b}",
        "authorization: {credentials_file: b}",
        "oauth2: {client_id: c, client_secret: s, token_url: 'http://t'}",
        "tls_config: {ca_file: a}",
        "proxy_url: http://p",
        "proxy_url: ''",
    };
    enum { COUNT = sizeof keys / sizeof *keys };
    struct alerting all[COUNT];
    char text[300];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "alerting:\n  alertmanagers:\n  - %s\n", keys[i]);
        all[i] = read_alerting(text);
        snprintf(text, sizeof text, "\n\nalerting:\n  alertmanagers:\n  -\n    %s\n", keys[i]);
        struct alerting lower = read_alerting(text);
        assert_int_not_equal(all[i].items[0].line, lower.items[0].line);
        assert_true(all[i].items[0].hash == lower.items[0].hash);
        assert_true(schema_equal(&alerting_schema, 0, &all[i], &lower));
        alerting_free(&lower);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < i; k++) {
            if (schema_equal(&alerting_schema, 0, &all[i], &all[k]))
                fail_msg("%s equals %s", keys[i], keys[k]);
            assert_true(all[i].items[0].hash != all[k].items[0].hash);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        alerting_free(&all[i]);
}

static enum err
read_once(void)
{
    struct settings s = settings_with_tenancy(false);
    struct alerting alerting = {NULL};
    struct why why = {""};
    enum err e = alerting_yaml("f.yml", bytes_of_text(whole), &s, &alerting, &why);
    assert_true((e == OK) == (why.text[0] == '\0'));
    alerting_free(&alerting);
    return e;
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    fail_each_allocation(read_once);
}

UNIT_TEST(test_tables_are_well_formed)
{
    static const struct list_text texts[] = {{whole, false}};
    check_rows(&alerting_root_schema, 1, texts, 1);
}

UNIT_TEST(test_the_example_can_be_used)
{
    char *text = read_source_file("docs/firekeep.example.yml");
    char *from = strstr(text, "\nalerting:\n");
    assert_non_null(from);
    /* A user removes the '#' of the keys that are not settings. */
    char *end = strstr(from + 1, "\n\n"), *to = from;
    for (char *p = from; p < end; p++) {
        bool is_key = p[0] == '\n' && (p[6] != ' ' || strncmp(p + 6, "    ", 4) == 0);
        if (is_key && strncmp(p, "\n    #", 6) == 0) {
            memcpy(to, "\n    ", 5);
            to += 5;
            p += 5;
        } else {
            *to++ = *p;
        }
    }
    memcpy(to, "\n", 2);
    struct alerting alerting = read_alerting(from);
    assert_true(alerting.count > 0);
    alerting_free(&alerting);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_relative_paths_begin_at_the_directory_of_the_file),
        cmocka_unit_test(test_defaults_are_those_of_prometheus),
        cmocka_unit_test(test_a_text_without_alertmanagers_has_none),
        cmocka_unit_test(test_mistakes_name_their_place),
        cmocka_unit_test(test_mistakes_in_discoveries_name_their_place),
        cmocka_unit_test(test_one_way_to_log_in_is_enough),
        cmocka_unit_test(test_mistakes_in_headers_name_their_place),
        cmocka_unit_test(test_each_unsupported_discovery_of_prometheus_is_refused_by_name),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_printed_settings_read_back_equal_except_for_secrets),
        cmocka_unit_test(test_printed_settings_have_the_form_of_the_file),
        cmocka_unit_test(test_configs_differ_if_any_key_differs),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_tables_are_well_formed),
        cmocka_unit_test(test_the_example_can_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
