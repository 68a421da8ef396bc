/* migrated_test.c - configurations of Prometheus, and what becomes of them. */
#include "cli/migrate/migrated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/test.h"

static char text[20000], left_out[20000];

static const char *file_name = "/etc/prometheus/prometheus.yml";

static enum err
migrate(const char *prometheus, const char *retention_size)
{
    struct why why = {""};
    struct buf to, rest;
    buf_init(&to, NULL, sizeof text);
    buf_init(&rest, NULL, sizeof left_out);
    struct migrate_options options = {.file_name = file_name,
                                      .text = bytes_of_text(prometheus),
                                      .retention_size = retention_size};
    enum err e = migrate_config(&options, &to, &rest, &why);
    snprintf(text, sizeof text, "%.*s", (int)to.size, (const char *)to.at);
    snprintf(left_out, sizeof left_out, "%.*s", (int)rest.size, (const char *)rest.at);
    if (e) snprintf(text, sizeof text, "%s", why_text(&why, e));
    buf_fini(&to);
    buf_fini(&rest);
    return e;
}

static void
expect(const char *prometheus, const char *expected, const char *expected_rest)
{
    assert_int_equal(migrate(prometheus, NULL), OK);
    assert_string_equal(text, expected);
    assert_string_equal(left_out, expected_rest);
}

UNIT_TEST(test_sections_of_both_are_copied_with_absolute_paths)
{
    expect("global: {evaluation_interval: 30s, external_labels: {a: 'b: c'}}\n"
           "rule_files: [rules/*.yml, /x.yml]\n"
           "alerting: {alertmanagers: [{static_configs: [{targets: ['am:9093']}]}]}\n"
           "remote_write:\n"
           "- url: https://a/push\n"
           "  remote_timeout: 10s\n"
           "  write_relabel_configs: [{action: labeldrop, regex: x}]\n"
           "  basic_auth: {username: u, password_file: pw}\n"
           "remote_read:\n"
           "- {name: 'old one', url: http://b/api/v1/read}\n",
           "global:\n"
           "  evaluation_interval: 30s\n"
           "  external_labels:\n"
           "    a: \"b: c\"\n"
           "rule_files:\n"
           "- /etc/prometheus/rules/*.yml\n"
           "- /x.yml\n"
           "alerting:\n"
           "  alertmanagers:\n"
           "  - static_configs:\n"
           "    - targets:\n"
           "      - \"am:9093\"\n"
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"https://a/push\"\n"
           "  timeout: 10s\n"
           "  relabel:\n"
           "  - action: labeldrop\n"
           "    regex: x\n"
           "  basic_auth:\n"
           "    username: u\n"
           "    password_file: /etc/prometheus/pw\n"
           "sources:\n"
           "- name: \"old-one\"\n"
           "  type: \"remote_read\"\n"
           "  url: \"http://b/api/v1/read\"\n",
           "");
}

UNIT_TEST(test_a_key_that_is_left_out_is_named_with_its_line)
{
    expect("scrape_configs: []\n"
           "global:\n"
           "  scrape_interval: 15s\n"
           "  evaluation_interval: 1m\n"
           "remote_write:\n"
           "- url: http://a/\n"
           "  queue_config: {capacity: 5}\n"
           "  new_key: 1\n",
           "global:\n"
           "  evaluation_interval: 1m\n"
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a/\"\n",
           "line 1, scrape_configs: Prometheus goes on scraping\n"
           "line 3, scrape_interval: Prometheus goes on scraping\n"
           "line 7, queue_config: sizes, retries and concurrency are chosen by Firekeep; see batch "
           "and retry\n"
           "line 8, new_key: unknown key 'new_key' in 'destinations'\n");
}

/* Without its rule, the destination would get what the rule keeps from it. */
UNIT_TEST(test_an_item_with_a_refused_part_is_left_out_as_a_whole)
{
    expect("remote_write:\n"
           "- url: http://a/\n"
           "  write_relabel_configs: [{action: drop, source_labels: [x], regex: '('}]\n"
           "- url: http://b/\n"
           "  azuread: {cloud: AzurePublic}\n"
           "- url: http://c/\n",
           "destinations:\n"
           "- name: \"remote_write-3\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://c/\"\n",
           "line 2, remote_write: relabel.regex: invalid regex: missing ): (\n"
           "line 4, remote_write: unknown key 'azuread' in 'destinations'\n");
}

UNIT_TEST(test_a_list_of_alert_rules_is_kept_or_left_out_as_a_whole)
{
    assert_int_equal(migrate("alerting:\n"
                             "  alert_relabel_configs:\n"
                             "  - {action: labeldrop, regex: x}\n"
                             "  - {action: keep, source_labels: [a], regex: '('}\n",
                             NULL),
                     OK);
    assert_null(strstr(text, "labeldrop"));
    assert_non_null(strstr(left_out, "line 2, alert_relabel_configs: "));
}

UNIT_TEST(test_anchors_are_repeated)
{
    expect("remote_write:\n"
           "- url: http://a/\n"
           "  basic_auth: &who {username: u, password: p}\n"
           "- url: http://b/\n"
           "  basic_auth: *who\n",
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a/\"\n"
           "  basic_auth:\n"
           "    username: u\n"
           "    password: p\n"
           "- name: \"remote_write-2\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://b/\"\n"
           "  basic_auth:\n"
           "    username: u\n"
           "    password: p\n",
           "");
}

UNIT_TEST(test_keys_of_inner_mappings_are_not_those_of_the_outer)
{
    expect("remote_write:\n"
           "- {url: http://a, headers: {name: inner}}\n",
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a\"\n"
           "  headers:\n"
           "    name: inner\n",
           "");
}

UNIT_TEST(test_merge_keys_add_what_a_mapping_lacks)
{
    expect("remote_write:\n"
           "- &a {url: http://a, name: one, remote_timeout: 10s}\n"
           "- &b {<<: [{headers: {x: y}}, *a], name: two}\n"
           "- {url: http://c, <<: *b, name: three}\n"
           "global:\n"
           "  <<: {external_labels: {team: a}}\n",
           "global:\n"
           "  external_labels:\n"
           "    team: a\n"
           "destinations:\n"
           "- name: \"one\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a\"\n"
           "  timeout: 10s\n"
           "- name: \"two\"\n"
           "  type: \"remote_write\"\n"
           "  headers:\n"
           "    x: y\n"
           "  url: \"http://a\"\n"
           "  timeout: 10s\n"
           "- name: \"three\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://c\"\n"
           "  headers:\n"
           "    x: y\n"
           "  timeout: 10s\n",
           "");
    assert_int_equal(migrate("global: {<<: [{external_labels: {}}, text]}\n", NULL), ERR_INPUT);
    assert_non_null(strstr(text, "merge key"));
    assert_int_equal(migrate("global: &a {<<: *a}\n", NULL), ERR_INPUT);
}

UNIT_TEST(test_megabytes_of_prometheus_are_powers_of_1024)
{
    static const char *const cases[][2] = {
        {"50GB", "50GiB"}, {"512MB", "512MiB"}, {"100B", "100"}, {"100", "100"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[60];
        snprintf(expected, sizeof expected, "retention:\n  size: \"%s\"\n", cases[i][1]);
        assert_int_equal(migrate("{}", cases[i][0]), OK);
        assert_string_equal(text, expected);
    }
}

UNIT_TEST(test_sizes_of_retention_are_read_as_prometheus_does)
{
    static const char *const cases[][2] = {{"1.5GB", "1536MiB"},
                                           {"10GiB", "10GiB"},
                                           {"1GB512MB", "1536MiB"},
                                           {"0.5KB", "512"},
                                           {"1PB", "1PiB"}};
    static const char *const refused[] = {"",   "abc",  "10gb",   "-1GB", "1GX",
                                          "GB", "1 GB", "1..5GB", "16EB", "1G"};
    struct why why = {""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[60];
        snprintf(expected, sizeof expected, "retention:\n  size: \"%s\"\n", cases[i][1]);
        assert_int_equal(migrate("{}", cases[i][0]), OK);
        assert_string_equal(text, expected);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct migrate_options options = {.retention_size = refused[i]};
        assert_int_equal(migrate_check_flags(&options, &why), ERR_INPUT);
        options = (struct migrate_options){.retention_time = refused[i]};
        assert_int_equal(migrate_check_flags(&options, &why), ERR_INPUT);
    }
    struct migrate_options options = {.retention_time = "15d12h", .retention_size = "512MB"};
    assert_int_equal(migrate_check_flags(&options, &why), OK);
    options.retention_time = options.retention_size = "0";
    assert_int_equal(migrate_check_flags(&options, &why), OK);
}

UNIT_TEST(test_the_retention_of_the_file_comes_before_that_of_flags)
{
    assert_int_equal(migrate("storage: {tsdb: {retention: {time: 30d, size: 2GB}}}\n", "1GB"), OK);
    assert_string_equal(text, "retention:\n  time: \"30d\"\n  size: \"2GiB\"\n");
    expect("storage: {tsdb: {retention: {time: 0, size: much, percentage: 80}}}\n", "",
           "line 1, retention.time: 0 sets no limit\n"
           "line 1, retention.size: expected a size such as 512MB\n"
           "line 1, retention.percentage: Firekeep has no such setting; see `size`\n"
           "line 1, storage: except for retention, it has no use: samples of any age and exemplars "
           "are stored\n");
    expect("{storage: {tsdb: {retention: {time: 1m}}}, tracing: {}}\n", "",
           "line 1, storage: except for retention, it has no use: samples of any age and exemplars "
           "are stored\n"
           "line 1, tracing: Firekeep sends no traces\n"
           "line 1, time: retention.time: must be between 1h and 100y, got 1m\n");
}

UNIT_TEST(test_paths_of_a_pipe_begin_at_the_working_directory)
{
    char here[1000], expected[1100];
    struct why why = {""};
    struct buf to, rest;
    buf_init(&to, NULL, sizeof text);
    buf_init(&rest, NULL, sizeof left_out);
    struct migrate_options options = {.file_name = "/dev/null",
                                      .text = bytes_of_text("rule_files: [a.yml]\n")};
    assert_int_equal(migrate_config(&options, &to, &rest, &why), OK);
    assert_non_null(getcwd(here, sizeof here));
    snprintf(expected, sizeof expected, "rule_files:\n- %s/a.yml\n", here);
    assert_true(bytes_equal_text(buf_bytes(&to), expected));
    buf_fini(&to);
    buf_fini(&rest);
}

/* As in the file that Prometheus comes with, whose entries are comments. */
UNIT_TEST(test_a_key_without_a_value_is_as_good_as_none)
{
    expect("global: {evaluation_interval: 15s, external_labels: }\n"
           "rule_files:\n"
           "  # - first.yml\n"
           "remote_read: ~\n"
           "remote_write:\n"
           "- {url: http://a/, write_relabel_configs: null, basic_auth: , name: ''}\n",
           "global:\n"
           "  evaluation_interval: 15s\n"
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a/\"\n",
           "");
    expect("remote_read: {url: http://a/}\n", "", "line 1, remote_read: expected a list\n");
}

/* As in Kubernetes, where it leads to another directory after each change. */
UNIT_TEST(test_paths_begin_at_the_directory_of_a_link_to_the_file)
{
    char dir[] = "/tmp/migrated-test-XXXXXX", link[50], expected[100];
    assert_non_null(mkdtemp(dir));
    snprintf(link, sizeof link, "%s/a.yml", dir);
    assert_int_equal(symlink("/proc/version", link), 0);
    snprintf(expected, sizeof expected, "rule_files:\n- %s/b.yml\n", dir);
    file_name = link;
    expect("rule_files: [b.yml]\n", expected, "");
    assert_int_equal(chdir(dir), 0);
    file_name = "a.yml";
    expect("rule_files: [b.yml]\n", expected, "");
    file_name = "/etc/prometheus/prometheus.yml";
    assert_int_equal(unlink(link), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

UNIT_TEST(test_tokens_become_credentials)
{
    expect(
        "remote_write:\n"
        "- {url: http://a/, bearer_token: t}\n"
        "- {url: http://b/, bearer_token_file: f}\n"
        "alerting: {alertmanagers: [{bearer_token_file: /g, static_configs: [{targets: [a]}]}]}\n"
        "global: {external_labels: {bearer_token: x}}\n",
        "global:\n"
        "  external_labels:\n"
        "    bearer_token: x\n"
        "alerting:\n"
        "  alertmanagers:\n"
        "  - authorization:\n"
        "      credentials_file: /g\n"
        "    static_configs:\n"
        "    - targets:\n"
        "      - a\n"
        "destinations:\n"
        "- name: \"remote_write-1\"\n"
        "  type: \"remote_write\"\n"
        "  url: \"http://a/\"\n"
        "  authorization:\n"
        "    credentials: t\n"
        "- name: \"remote_write-2\"\n"
        "  type: \"remote_write\"\n"
        "  url: \"http://b/\"\n"
        "  authorization:\n"
        "    credentials_file: /etc/prometheus/f\n",
        "");
}

/* Prometheus takes them literally. */
UNIT_TEST(test_an_item_whose_secret_has_a_variable_is_left_out)
{
    expect("remote_write:\n"
           "- {url: http://a/, basic_auth: {username: '${u}', password: 'a$$b$c'}}\n"
           "- url: http://b/\n"
           "  bearer_token: 'x${HOME}'\n"
           "- {url: http://c/, proxy_from_environment: true}\n",
           "destinations:\n"
           "- name: \"remote_write-1\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://a/\"\n"
           "  basic_auth:\n"
           "    username: \"${u}\"\n"
           "    password: \"a$$b$c\"\n"
           "- name: \"remote_write-3\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://c/\"\n",
           "line 4, credentials: Firekeep replaces ${...} by an environment variable: name one, "
           "or a file, that has this secret\n"
           "line 5, proxy_from_environment: without proxy_url, environment variables name the "
           "proxy\n");
}

UNIT_TEST(test_headers_and_parameters_with_a_variable_are_secrets_too)
{
    expect("remote_write:\n"
           "- url: http://a/\n"
           "  headers: {X: 'a${HOME}'}\n"
           "- {url: http://b/, headers: {X: a$HOME}}\n"
           "- url: http://c/\n"
           "  oauth2: {client_id: a, client_secret: b, token_url: http://c/,\n"
           "           endpoint_params: {audience: '${HOME}'}}\n"
           "alerting:\n"
           "  alertmanagers:\n"
           "  - static_configs: [{targets: [a]}]\n"
           "    http_headers: {X: {secrets: ['${HOME}']}}\n"
           "  - static_configs: [{targets: [b]}]\n"
           "    http_headers: {X: {values: ['${HOME}']}}\n",
           "alerting:\n"
           "  alertmanagers:\n"
           "  - static_configs:\n"
           "    - targets:\n"
           "      - b\n"
           "    http_headers:\n"
           "      X:\n"
           "        values:\n"
           "        - \"${HOME}\"\n"
           "destinations:\n"
           "- name: \"remote_write-2\"\n"
           "  type: \"remote_write\"\n"
           "  url: \"http://b/\"\n"
           "  headers:\n"
           "    X: a$HOME\n",
           "line 11, secrets: Firekeep replaces ${...} by an environment variable: name one, or a "
           "file, that has this secret\n"
           "line 3, X: Firekeep replaces ${...} by an environment variable: name one, or a file, "
           "that has this secret\n"
           "line 7, audience: Firekeep replaces ${...} by an environment variable: name one, or a "
           "file, that has this secret\n");
}

UNIT_TEST(test_an_item_whose_access_needs_more_is_left_out)
{
    expect("remote_write:\n"
           "- {url: http://a/, proxy_url: http://p/, proxy_connect_header: {X: [a]}}\n"
           "- url: http://b/\n"
           "  oauth2: {client_id: a, client_secret: b, token_url: http://c/, grant_type: x}\n"
           "remote_read:\n"
           "- {url: http://c/, filter_external_labels: false}\n",
           "destinations: []\n"
           "sources:\n"
           "- name: \"remote_read-1\"\n"
           "  type: \"remote_read\"\n"
           "  url: \"http://c/\"\n",
           "line 2, remote_write: unknown key 'proxy_connect_header' in 'destinations'\n"
           "line 3, remote_write: unknown key 'grant_type' in 'oauth2'\n"
           "line 6, filter_external_labels: series keep the external labels, as those that "
           "Prometheus sends\n");
}

/* The headers may say whose samples these are. */
UNIT_TEST(test_an_item_with_headers_of_another_form_is_left_out)
{
    assert_int_equal(
        migrate("remote_write:\n"
                "- {url: http://a/, bogus: 1, http_headers: {X-Scope-OrgID: {values: [a]}}}\n"
                "- {url: http://b/, bogus: 1}\n",
                NULL),
        OK);
    assert_null(strstr(text, "http://a/"));
    assert_non_null(strstr(text, "http://b/"));
    assert_non_null(strstr(left_out, "http_headers"));
}

UNIT_TEST(test_configurations_of_other_programs_are_refused)
{
    assert_int_equal(migrate("server: {}\nmetrics: {configs: []}\n", NULL), ERR_INPUT);
    assert_non_null(strstr(text, "metrics.configs"));
    assert_int_equal(migrate("scrape_configs: []\n", NULL), OK);
}

UNIT_TEST(test_other_texts_are_refused)
{
    assert_int_equal(migrate("a: [", NULL), ERR_INPUT);
    assert_non_null(strstr(text, "prometheus.yml:"));
    assert_int_equal(migrate("- a\n", NULL), ERR_INPUT);
    assert_int_equal(migrate("", NULL), ERR_INPUT);
    assert_int_equal(migrate("alerting: {{a: b}: c}\n", NULL), ERR_INPUT);
}

/* Each mapping merges the one before it ten times. */
UNIT_TEST(test_merge_keys_that_multiply_end_at_a_limit)
{
    char bomb[2000] = "x: &a0 {a: 1}\n";
    for (int i = 1; i < 15; i++) {
        size_t used = strlen(bomb);
        snprintf(bomb + used, sizeof bomb - used,
                 "%s: &a%d {<<: [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]}\n",
                 i == 14 ? "global" : "y", i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
                 i - 1);
    }
    assert_int_equal(migrate(bomb, NULL), ERR_LIMIT);
}

/* Each level repeats the one below ten times. */
UNIT_TEST(test_anchors_that_multiply_end_at_a_limit)
{
    char bomb[2000] = "x: &a0 [1]\n";
    for (int i = 1; i < 10; i++) {
        size_t used = strlen(bomb);
        snprintf(bomb + used, sizeof bomb - used,
                 "y%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    strcat(bomb, "rule_files: *a9\n");
    assert_int_equal(migrate(bomb, NULL), ERR_LIMIT);
    assert_non_null(strstr(text, "it has too many values"));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_of_both_are_copied_with_absolute_paths),
        cmocka_unit_test(test_a_key_that_is_left_out_is_named_with_its_line),
        cmocka_unit_test(test_an_item_with_a_refused_part_is_left_out_as_a_whole),
        cmocka_unit_test(test_a_list_of_alert_rules_is_kept_or_left_out_as_a_whole),
        cmocka_unit_test(test_anchors_are_repeated),
        cmocka_unit_test(test_keys_of_inner_mappings_are_not_those_of_the_outer),
        cmocka_unit_test(test_merge_keys_add_what_a_mapping_lacks),
        cmocka_unit_test(test_megabytes_of_prometheus_are_powers_of_1024),
        cmocka_unit_test(test_sizes_of_retention_are_read_as_prometheus_does),
        cmocka_unit_test(test_the_retention_of_the_file_comes_before_that_of_flags),
        cmocka_unit_test(test_paths_of_a_pipe_begin_at_the_working_directory),
        cmocka_unit_test(test_a_key_without_a_value_is_as_good_as_none),
        cmocka_unit_test(test_paths_begin_at_the_directory_of_a_link_to_the_file),
        cmocka_unit_test(test_tokens_become_credentials),
        cmocka_unit_test(test_an_item_whose_secret_has_a_variable_is_left_out),
        cmocka_unit_test(test_headers_and_parameters_with_a_variable_are_secrets_too),
        cmocka_unit_test(test_an_item_whose_access_needs_more_is_left_out),
        cmocka_unit_test(test_an_item_with_headers_of_another_form_is_left_out),
        cmocka_unit_test(test_configurations_of_other_programs_are_refused),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_merge_keys_that_multiply_end_at_a_limit),
        cmocka_unit_test(test_anchors_that_multiply_end_at_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
