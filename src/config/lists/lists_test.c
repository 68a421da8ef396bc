/* lists_test.c - all errors of a configuration file, as `firekeep check` collects them. */
#include "lib/test.h"

#include <stdio.h>

#include "config/lists/lists.h"
#include "wire/yaml/yaml_reader.h"

static struct yaml_errors errors;

/* Returns the first error of a file, as a server does, or collects all errors. */
static enum err
read_all(struct bytes text, struct yaml_errors *collected, struct why *why)
{
    struct settings settings;
    struct config_lists lists = {.destinations = {NULL}};
    settings_default(&settings);
    why->text[0] = '\0';
    if (collected != NULL) *collected = (struct yaml_errors){0};
    reader_collect(collected);
    enum err e = settings_yaml(&settings, "f", text, why);
    if (reader_goes_on(e)) {
        struct why other = {""};
        enum err more = config_lists_yaml("f", text, &settings, &lists, &other);
        if (more == OK) config_lists_free(&lists);
        if (e == OK) *why = other;
        e = err_first(e, more);
    }
    reader_collect(NULL);
    return e;
}

/* Checks the errors; `expected` has the sentences, each with a newline after it. */
static void
check_errors(const char *text, const char *expected)
{
    char found[16384] = "";
    struct why why;
    assert_int_equal(read_all(bytes_of_text(text), &errors, &why), ERR_INPUT);
    for (uint32_t i = 0; i < errors.count && i < YAML_ERRORS_MAX; i++) {
        strcat(found, errors.items[i].why.text);
        strcat(found, "\n");
    }
    assert_string_equal(found, expected);
}

UNIT_TEST(test_relative_paths_begin_at_the_directory_of_the_file)
{
    static const char text[] =
        "destinations:\n"
        "- {name: a, type: remote_write, url: 'https://h', tls_config: {ca_file: ca.pem}}\n"
        "- {name: b, type: remote_write, url: 'https://h', basic_auth: {username: u, "
        "password_file: /s/b}}\n"
        "sources: [{name: c, type: remote_read, url: 'https://h', authorization: "
        "{credentials_file: ../c}}]\n";
    struct settings settings;
    struct config_lists lists;
    struct buf yaml;
    settings_default(&settings);
    assert_int_equal(
        config_lists_yaml("/etc/f/f.yml", bytes_of_text(text), &settings, &lists, NULL), OK);
    buf_init(&yaml, NULL, 1 << 16);
    destinations_print_yaml(&lists.destinations, &yaml);
    sources_print_yaml(&lists.sources, &yaml);
    buf_put_u8(&yaml, '\0');
    assert_non_null(strstr((const char *)yaml.at, "ca_file: \"/etc/f/ca.pem\""));
    assert_non_null(strstr((const char *)yaml.at, "password_file: \"/s/b\""));
    assert_non_null(strstr((const char *)yaml.at, "credentials_file: \"/etc/c\""));
    buf_fini(&yaml);
    config_lists_free(&lists);
}

static const char broken[] = "sources:\n"
                             "  - use: nothing\n"
                             "  - {name: s, type: remote_read, url: 'http://x', frob: {a: [1]}}\n"
                             "web:\n"
                             "  listen_adress: [1, {a: 2}]\n"
                             "  max_connections: many\n"
                             "  workers: {a: 1}\n"
                             "retention: 5\n"
                             "write: {max_labels: 5, max_labels: 6}\n"
                             "destinations:\n"
                             "  - {name: a, type: file, path: /x, bogus: 1, tenants: [x, {y: 1}]}\n"
                             "  - {name: b, type: nosuch, path: /y}\n"
                             "  - just text\n"
                             "  - {type: file, path: /z}\n"
                             "  - {name: a, type: file, path: /z}\n"
                             "alerting:\n"
                             "  alertmanagers:\n"
                             "    - {path_prefix: /, timeot: 2}\n"
                             "    - {scheme: ftp}\n"
                             "rule_files: 7\n"
                             "global: {external_labels: {a: b, '': c}}\n";

UNIT_TEST(test_all_errors_are_found_in_the_order_of_their_places)
{
    check_errors(
        broken,
        "f:3:51: unknown key 'frob' in 'sources'\n"
        "f:5:3: unknown key 'listen_adress' in 'web'; did you mean 'listen_address'?\n"
        "f:6:20: web.max_connections: expected a whole number, got 'many'\n"
        "f:7:12: web.workers: expected a whole number, got a mapping\n"
        "f:8:12: 'retention' expects keys below it such as 'time:', got a value\n"
        "f:9:24: duplicate key 'max_labels', first given on line 9\n"
        "f:11:37: unknown key 'bogus' in 'destinations'\n"
        "f:11:60: tenants: expected a tenant, got a mapping\n"
        "f:12:21: type: expected one of clickhouse, file, firehose, influxdb, kinesis, opentsdb, "
        "remote_write, s3, timestream, got 'nosuch'\n"
        "f:13:5: expected a destination with keys such as 'name:', got 'just text'\n"
        "f:14:5: type file requires 'name', unique name, used in metrics, commands and on disk\n"
        "f:15:12: name: the destination on line 11 already has the name 'a'\n"
        "f:18:24: unknown key 'timeot' in 'alerting.alertmanagers'; did you mean 'timeout'?\n"
        "f:19:16: alerting.alertmanagers.scheme: expected http or https, got 'ftp'\n"
        "f:20:13: rule_files: expected a list, got '7'\n"
        "f:21:34: global.external_labels: must not be empty\n");
}

UNIT_TEST(test_a_consequence_of_a_wrong_value_is_not_reported)
{
    /* The name is used already, the type is unknown, the source's destination has an error
     * of its own. */
    check_errors("destinations:\n"
                 "  - {name: '', type: file, path: /x}\n"
                 "  - {name: b, type: [file], paths: /y}\n"
                 "sources: [{use: b}]\n",
                 "f:2:12: name: must not be empty\n"
                 "f:3:21: type: expected one of clickhouse, file, firehose, influxdb, kinesis, "
                 "opentsdb, remote_write, s3, timestream, got a list\n");
    check_errors("tenancy: {enabled: true, header: ''}\n"
                 "destinations: [{name: a, type: file, path: '/x/{tenant}', tenants: [b]}]\n",
                 "f:1:26: unknown key 'header' in 'tenancy'\n");
}

UNIT_TEST(test_invalid_yaml_ends_the_errors)
{
    check_errors("web: {workers: x}\n"
                 "rule_files: 1\n"
                 "write: [\n"
                 "log: {level: y}\n",
                 "f:1:16: web.workers: expected a whole number, got 'x'\n"
                 "f:2:13: rule_files: expected a list, got '1'\n"
                 "f:3:8: 'write' expects keys below it such as 'max_future:', got a list\n"
                 "f:5:1: while parsing a flow sequence did not find expected ',' or ']'\n");
}

UNIT_TEST(test_the_first_twenty_errors_are_kept_and_all_are_counted)
{
    char text[4096] = "alerting: {x: 1}\n";
    struct why why;
    for (int i = 1; i < 50; i++)
        sprintf(text + strlen(text), "x%d: [{a: 1}]\n", i);
    strcat(text, "destinations: 1\n");
    assert_int_equal(read_all(bytes_of_text(text), &errors, &why), ERR_INPUT);
    assert_int_equal(errors.count, 51);
    reader_collect(&errors);
    reader_note("f", &why); /* the returned error is among them */
    reader_collect(NULL);
    assert_int_equal(errors.count, 51);
    for (uint32_t i = 0; i < YAML_ERRORS_MAX; i++)
        assert_int_equal(errors.items[i].line, i + 1);
}

/* Checks the file with a line left out, or cut, or with another character in it. */
static void
check_variant(struct bytes text)
{
    struct why why, ignored;
    enum err e = read_all(text, NULL, &why);
    assert_int_equal(read_all(text, &errors, &ignored), e);
    assert_true((errors.count == 0) == (e == OK));
    bool found = e == OK;
    for (uint32_t i = 0; i < errors.count && i < YAML_ERRORS_MAX; i++)
        found |= strcmp(errors.items[i].why.text, why.text) == 0;
    if (!found) fail_msg("'%s' is not collected for: %.*s", why.text, (int)text.size, text.at);
}

UNIT_TEST(test_the_error_that_a_server_reports_is_always_among_them)
{
    static const char others[] = " :-[]{}'\"#&*!\n\t1";
    char text[sizeof broken];
    for (size_t from = 0; from < sizeof broken - 1;) {
        size_t size = strcspn(broken + from, "\n") + 1;
        memcpy(text, broken, from);
        memcpy(text + from, broken + from + size, sizeof broken - 1 - from - size);
        check_variant(bytes_of(text, sizeof broken - 1 - size));
        check_variant(bytes_of(broken, from));
        from += size;
    }
    for (size_t at = 0; at < sizeof broken - 1; at++) {
        for (const char *c = others; *c != '\0'; c++) {
            memcpy(text, broken, sizeof broken);
            text[at] = *c;
            check_variant(bytes_of(text, sizeof broken - 1));
        }
    }
}

static void
check_with_ack(enum wal_ack_level ack, const char *text, const char *expected)
{
    struct settings settings;
    struct config_lists lists;
    struct why why = {""};
    settings_default(&settings);
    assert_int_equal(settings_yaml(&settings, "f", bytes_of_text(text), &why), OK);
    assert_int_equal(config_lists_yaml("f", bytes_of_text(text), &settings, &lists, &why), OK);
    settings.wal_ack = ack;
    enum err e = config_lists_check(&lists, &settings, &why);
    assert_int_equal(e, expected == NULL ? OK : ERR_INPUT);
    if (expected != NULL) assert_non_null(strstr(why.text, expected));
    config_lists_free(&lists);
}

UNIT_TEST(test_without_a_store_nothing_is_downsampled)
{
    static const char list[] = "downsampling: [{match: '{}', after: 2d, resolution: 5m}]\n";
    char text[200];
    check_with_ack(ACK_FSYNC, list, NULL);
    snprintf(text, sizeof text, "storage: {mode: none}\n%s", list);
    check_with_ack(ACK_FSYNC, text, "downsampling requires storage.mode=local");
}

/* Checks what a file with these keys is refused for, with wal.ack=destination. */
static void
check_unlogged(const char *text, const char *expected)
{
    check_with_ack(ACK_DESTINATION, text, expected);
}

UNIT_TEST(test_without_a_log_nothing_may_wait_for_later)
{
    check_unlogged("destinations: [{name: a, type: remote_write, url: 'http://h'}]\n", NULL);
    check_unlogged("rule_files: [a.yml]\n", "rules cannot be evaluated with wal.ack=destination");
    check_unlogged("rules: {api: true}\n", "rules cannot be evaluated");
    check_unlogged("self_scrape: {interval: 1m}\n", "self-scrape.interval cannot be set");
    check_unlogged("destinations: [{name: a, type: file, path: /x}]\n",
                   "destination a: type file cannot be used with wal.ack=destination");
    check_unlogged("destinations: [{name: a, type: s3, bucket: bucket, region: r}]\n",
                   "type s3 cannot");
    check_unlogged(
        "destinations: [{name: a, type: remote_write, url: 'http://h', dry_run: true}]\n",
        "dry_run cannot");
    check_unlogged("destinations: [{name: a, type: remote_write, url: 'http://h', retry: "
                   "{give_up_after: 1h}}]\n",
                   "retry.give_up_after cannot");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_relative_paths_begin_at_the_directory_of_the_file),
        cmocka_unit_test(test_all_errors_are_found_in_the_order_of_their_places),
        cmocka_unit_test(test_a_consequence_of_a_wrong_value_is_not_reported),
        cmocka_unit_test(test_invalid_yaml_ends_the_errors),
        cmocka_unit_test(test_the_first_twenty_errors_are_kept_and_all_are_counted),
        cmocka_unit_test(test_the_error_that_a_server_reports_is_always_among_them),
        cmocka_unit_test(test_without_a_store_nothing_is_downsampled),
        cmocka_unit_test(test_without_a_log_nothing_may_wait_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
