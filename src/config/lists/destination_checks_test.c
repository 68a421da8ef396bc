/* destination_checks_test.c - rules that the values of destinations must follow. */
#include "lib/test.h"

#include "lib/config/config_destinations.h"

UNIT_TEST(test_selectors_and_rules_are_tried)
{
    check_error(FILE_5 "  select: [up, 'up{']\n",
                "f.yml:5:16: select: invalid selector: expected a label name at character 4");
    check_error(FILE_5 "  select: ['{a=~\"(\"}']\n",
                "f.yml:5:12: select: invalid regex: missing ): (");
    check_error(FILE_5 "  relabel:\n  - action: drop\n    regex: '('\n",
                "f.yml:7:12: relabel.regex: invalid regex: missing ): (");
    check_error(FILE_5 "  relabel:\n  - action: replace\n",
                "f.yml:6:5: relabel: action replace requires target_label");
    check_error(FILE_5 "  relabel:\n  - action: drop\n  - {action: labeldrop, modulus: 5}\n",
                "f.yml:7:5: relabel: action labeldrop allows only regex");
    check_error(FILE_5 "  relabel:\n  - {action: keepequal, target_label: a, regex: b}\n",
                "f.yml:6:5: relabel: action keepequal allows only source_labels and target_label");
    check_error(
        FILE_5 "  relabel: [{action: rename}]\n",
        "f.yml:5:22: relabel.action: expected one of replace, keep, drop, keepequal, dropequal, "
        "hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase, got 'rename'");
    check_error(FILE_5 "  relabel: [{action: hashmod, target_label: a, modulus: 0}]\n",
                "f.yml:5:57: relabel.modulus: must be between 1 and 18446744073709551615, got 0");
}

UNIT_TEST(test_templates_regions_and_tenants_are_checked)
{
    static const char rule[] = "expected a name and '}' after each '${', got";
    static const char *const bad[] = {"${", "a${}", "${a", "${a}${b", "${{a}}"};
    char text[200], expected[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, S3_6 "  prefix: '%s'\n", bad[i]);
        snprintf(expected, sizeof expected, "f.yml:6:11: prefix: %s '%s'", rule, bad[i]);
        check_error(text, expected);
    }
    check_fine(S3_6 "  prefix: 'a$b/${tenant}/$${tenant}'\n", false);
    check_error(S3_6 "  prefix: '${tenant}/${job}/'\n",
                "f.yml:6:11: prefix: only ${tenant} can be used here, got '${job}/'");
    check_error(S3_6 "  tenant_label: __name__\n",
                "f.yml:6:17: tenant_label: __name__ is reserved for the metric name");
    check_fine(S3_6 "  prefix: ''\n", false);
    check_error("destinations:\n- {name: a, type: s3, bucket: bbb, region: a/b}\n",
                "f.yml:2:44: region: expected a region such as eu-west-1, got 'a/b'");
    check_error(
        "destinations:\n- {name: a, type: kinesis, format: ndjson, region: a, stream: 'b '}\n",
        "f.yml:2:63: stream: expected 1 to 128 letters, digits, '_', '.' and '-', or an "
        "ARN, got 'b '");
    check_fine("destinations:\n- {name: a, type: kinesis, format: ndjson, region: a,\n"
               "   stream: 'arn:aws:kinesis:eu-west-1:1:stream/b_c'}\n",
               false);
    check_error("destinations:\n- {name: a, type: firehose, region: a, delivery_stream: '\"b\"'}\n",
                "f.yml:2:57: delivery_stream: expected 1 to 64 letters, digits, '_', '.' and '-', "
                "got '\"b\"'");
    check_error_with(FILE_5 "  tenants: [a/b]\n", true,
                     "f.yml:5:13: tenants: expected a tenant name of at most 150 letters, digits "
                     "and ! - _ . * ' ( ), got 'a/b'");
    check_error_with(FILE_5 "  tenants: ['..']\n", true,
                     "f.yml:5:13: tenants: expected a tenant name of at most 150 letters, digits "
                     "and ! - _ . * ' ( ), got '..'");
}

UNIT_TEST(test_influxdb_takes_the_keys_of_its_version)
{
    check_error(INFLUXDB_5 "  version: 1\n  database: d\n  org: o\n",
                "f.yml:7:8: org: is only valid for version 2, not 1");
    check_error(INFLUXDB_5 "  version: 3\n  database: d\n  bucket: o\n",
                "f.yml:7:11: bucket: is only valid for version 2, not 3");
    check_error(INFLUXDB_5 "  version: 3\n  database: d\n  retention_policy: o\n",
                "f.yml:7:21: retention_policy: is only valid for version 1, not 3");
    check_error(INFLUXDB_5 "  version: 2\n  database: d\n  org: o\n  bucket: bbb\n",
                "f.yml:6:13: database: is only valid for versions 1 and 3, not 2");
}

UNIT_TEST(test_with_tenancy_a_destination_names_its_tenants)
{
    check_error_with(
        FILE_5, true,
        "f.yml:2:3: tenancy.enabled is true: type file requires 'tenants', a list or all");
    check_fine(FILE_5 "  tenants: [one]\n", true);
    check_error_with(FILE_5 "  tenants: [all, one]\n", true,
                     "f.yml:5:12: tenants: all cannot be combined with other tenants");
    static const struct {
        const char *text, *place, *otherwise;
    } cases[] = {
        {FILE_5, "5", ", or ${tenant} in path"},
        {S3_6, "6", ", or ${tenant} in prefix"},
        {REMOTE_WRITE_5, "5", " or tenant_header"},
        {TIMESTREAM_7, "7", ", or ${tenant} in database or table"},
        {OPENTSDB_5, "5", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const char *const several[] = {"all", "[one, two]", "[all]"};
        for (size_t j = 0; j < sizeof several / sizeof *several; j++) {
            char text[300], expected[300];
            snprintf(text, sizeof text, "%s  tenants: %s\n", cases[i].text, several[j]);
            snprintf(
                expected, sizeof expected,
                "f.yml:%s:12: tenants: several tenants cannot be distinguished at the destination: "
                "set tenant_label%s",
                cases[i].place, cases[i].otherwise);
            check_error_with(text, true, expected);
            snprintf(text, sizeof text, "%s  tenants: %s\n  tenant_label: t\n", cases[i].text,
                     several[j]);
            check_fine(text, true);
        }
    }
    check_fine(REMOTE_WRITE_5 "  tenants: all\n  tenant_header: X\n", true);
    check_fine(S3_6 "  tenants: all\n  prefix: 'x/${tenant}'\n", true);
    check_fine("destinations:\n- {name: a, type: file, path: '/${tenant}', tenants: all}\n", true);
    check_fine("destinations:\n- {name: a, type: timestream, region: r, database: '${tenant}',"
               " table: t, tenants: all}\n",
               true);
    check_fine("destinations:\n- {name: a, type: timestream, region: r, database: d,"
               " table: '${tenant}', tenants: all}\n",
               true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selectors_and_rules_are_tried),
        cmocka_unit_test(test_templates_regions_and_tenants_are_checked),
        cmocka_unit_test(test_influxdb_takes_the_keys_of_its_version),
        cmocka_unit_test(test_with_tenancy_a_destination_names_its_tenants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
