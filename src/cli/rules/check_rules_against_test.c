/* check_rules_against_test.c - what a file would change about rules and Alertmanagers is printed, a
 * line for each, and nothing else. */
#include "cli/rules/check_rules.h"
#include "lib/cli_run.h"
#include "lib/config/config_lists.h"

static struct config_lists file, server;

static int
compare(int argc, char **argv)
{
    (void)argc, (void)argv;
    check_rules_against(&file, &server.rules, &server.alerting);
    return 0;
}

/* Compares two texts, and expects these lines. */
static void
check(bool tenancy, const char *of_server, const char *of_file, const char *wanted)
{
    static const struct command command = {"compare", "", "compare", compare};
    static const struct command *const commands[] = {&command, NULL};
    static const char *const words[] = {"compare", NULL};
    struct settings settings = settings_with_tenancy(tenancy);
    struct why why = {""};
    enum err e = config_lists_yaml("s", bytes_of_text(of_server), &settings, &server, &why);
    if (e == OK) e = config_lists_yaml("f", bytes_of_text(of_file), &settings, &file, &why);
    if (e) fail_msg("%s", why.text);
    assert_int_equal(cli_run_into(cli_memory_file(), commands, words), 0);
    assert_string_equal(cli_out, wanted);
    config_lists_free(&file);
    config_lists_free(&server);
}

UNIT_TEST(test_rule_files_are_those_of_their_tenants)
{
    check(true, "tenants: {one: {rule_files: [a.yml, b.yml]}, gone: {rule_files: [d.yml]}}",
          "tenants: {one: {rule_files: [b.yml, c.yml]}, two: {rule_files: [b.yml]}}",
          "tenant 'one': rule file 'a.yml': not in the file: its rules are no longer evaluated\n"
          "tenant 'gone': rule file 'd.yml': not in the file: its rules are no longer evaluated\n"
          "tenant 'one': rule file 'c.yml': new\n"
          "tenant 'two': rule file 'b.yml': new\n");
    check(false, "rule_files: [a.yml, b.yml]", "rule_files: [b.yml, c.yml]",
          "rule file 'a.yml': not in the file: its rules are no longer evaluated\n"
          "rule file 'c.yml': new\n");
}

UNIT_TEST(test_any_difference_of_external_labels_is_a_change)
{
    static const char base[] = "global: {external_labels: {a: b, c: d}}";
    static const char *const others[] = {
        "global: {external_labels: {a: b}}",
        "global: {external_labels: {a: b, c: e}}",
        "global: {external_labels: {a: b, e: d}}",
    };
    check(false, base, base, "");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        check(false, base, others[i], "external_labels: changes\n");
    }
}

UNIT_TEST(test_an_alertmanager_is_known_by_its_first_member)
{
    check(false,
          "alerting: {alertmanagers: [{static_configs: [{targets: ['a:1', 'b:1']}]},"
          " {dns_sd_configs: [{names: [c], type: A, port: 1}]},"
          " {file_sd_configs: [{files: [d.json]}]}, {http_sd_configs: [{url: 'http://e/'}]}]}",
          "alerting: {alertmanagers: [{static_configs: [{targets: ['a:1', 'x:1']}]},"
          " {dns_sd_configs: [{names: [c], type: A, port: 2}]},"
          " {file_sd_configs: [{files: [y.json]}]}, {http_sd_configs: [{url: 'http://e/'}]}]}",
          "Alertmanager 'd.json': not in the file: it is no longer sent alerts\n"
          "Alertmanager 'a:1': changes\n"
          "Alertmanager 'c': changes\n"
          "Alertmanager 'y.json': new\n");
}

UNIT_TEST(test_settings_of_all_alertmanagers_are_compared)
{
    static const char drop[] =
        "alerting: {alert_relabel_configs: [{action: labeldrop, regex: replica}]}";
    check(true, "alerting: {tenant_label: t}", "alerting: {tenant_label: u}",
          "tenant_label of alerts: changes\n");
    check(true, "alerting: {tenant_label: t}", "alerting: {tenant_label: t}", "");
    check(false, drop, "alerting: {}", "alert_relabel_configs: changes\n");
    check(false, drop, drop, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule_files_are_those_of_their_tenants),
        cmocka_unit_test(test_any_difference_of_external_labels_is_a_change),
        cmocka_unit_test(test_an_alertmanager_is_known_by_its_first_member),
        cmocka_unit_test(test_settings_of_all_alertmanagers_are_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
