/* rule_settings_test.c - the section rules, and external labels. */
#include "lib/test.h"

#include "config/lists/lists.h"
#include "lib/config/config_lists.h"

/* Returns the rules of a valid text; free them with rule_settings_free(). */
static struct rule_settings
read_rules_of(const char *file_name, const char *text, bool tenancy)
{
    struct settings s = settings_with_tenancy(tenancy), again = s;
    struct rule_settings rules = {NULL};
    struct why why = {""};
    assert_int_equal(settings_yaml(&again, file_name, bytes_of_text(text), &why), OK);
    enum err e = rule_settings_yaml(file_name, bytes_of_text(text), &s, &rules, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    return rules;
}

static struct rule_settings
read_rules(const char *text, bool tenancy)
{
    return read_rules_of("f.yml", text, tenancy);
}

static void
check_error_with(const char *text, bool tenancy, const char *expected)
{
    struct settings s = settings_with_tenancy(tenancy);
    struct rule_settings rules = {.tenant_count = 7};
    struct why why = {""};
    enum err e = rule_settings_yaml("f.yml", bytes_of_text(text), &s, &rules, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_int_equal(rules.tenant_count, 7);
    assert_int_equal(rule_settings_yaml("f.yml", bytes_of_text(text), &s, &rules, NULL), ERR_INPUT);
}

static void
check_error(const char *text, const char *expected)
{
    check_error_with(text, false, expected);
}

static const char whole[] = "log: {level: debug}\n"
                            "rule_files:\n"
                            "- rules/*.yml\n"
                            "- /etc/more.yml\n"
                            "global:\n"
                            "  evaluation_interval: 15s\n"
                            "  external_labels:\n"
                            "    site: one\n"
                            "    \"über\": \"a\\tb\"\n"
                            "    cluster: ${CLUSTER}\n";

static const char whole_of_tenants[] = "log: {}\n"
                                       "tenants:\n"
                                       "  one: {rule_files: [a.yml, b.yml]}\n"
                                       "  two: {}\n"
                                       "  a-third: {rule_files: ['c?.yml']}\n";

UNIT_TEST(test_every_key_is_read)
{
    unsetenv("CLUSTER");
    struct rule_settings rules = read_rules_of("/etc/firekeep/firekeep.yml", whole, false);
    assert_int_equal(rules.tenant_count, 1);
    assert_string_equal(rules.tenants[0].tenant, "");
    assert_int_equal(rules.tenants[0].files.count, 2);
    assert_string_equal(rules.tenants[0].files.items[0], "/etc/firekeep/rules/*.yml");
    assert_string_equal(rules.tenants[0].files.items[1], "/etc/more.yml");
    assert_int_equal(rules.given_labels.count, 3);
    assert_string_equal(rules.given_labels.items[0].name, "cluster");
    assert_string_equal(rules.given_labels.items[0].value, "${CLUSTER}");
    assert_int_equal(rules.external_labels.count, 2); /* the other one is empty */
    assert_string_equal(rules.external_labels.items[0].name, "site");
    assert_string_equal(rules.external_labels.items[0].value, "one");
    assert_string_equal(rules.external_labels.items[1].name, "über");
    assert_string_equal(rules.external_labels.items[1].value, "a\tb");
    rule_settings_free(&rules);
}

static void
check_label(const char *given, const char *expected, const char *unset)
{
    char text[256];
    snprintf(text, sizeof text, "global:\n  external_labels: {l: '%s'}\n", given);
    struct rule_settings rules = read_rules(text, false);
    assert_int_equal(rules.external_labels.count, expected == NULL ? 0 : 1);
    if (expected != NULL) assert_string_equal(rules.external_labels.items[0].value, expected);
    assert_string_equal(rules.unset_variable == NULL ? "" : rules.unset_variable, unset);
    rule_settings_free(&rules);
}

UNIT_TEST(test_variables_in_external_labels_are_expanded_as_by_prometheus)
{
    setenv("ONE", "1 $TWO", true);
    setenv("TWO_b", "two", true);
    setenv("EMPTY", "", true);
    setenv("é", "accent", true);
    unsetenv("NONE");
    check_label("a${ONE}b", "a1 $TWOb", ""); /* expanded once */
    check_label("$TWO_b-x", "two-x", "");
    check_label("$TWO_b$ONE", "two1 $TWO", "");
    check_label("${é}", "accent", "");
    check_label("a $$ONE $${ONE}", "a $ONE ${ONE}", "");
    check_label("$", "$", "");
    check_label("$.a$ b$", "$.a$ b$", "");
    check_label("a${}b", "ab", "");
    check_label("a${ONE", "aONE", "");
    check_label("a$1ONE", "aONE", "1");
    check_label("a${NONE}${NO}", "a", "NONE");
    check_label("$EMPTY", NULL, "EMPTY");
}

UNIT_TEST(test_the_value_of_a_variable_has_to_be_a_valid_label)
{
    static char value[16384];
    memset(value, 'a', sizeof value - 1);
    setenv("LONG", value, true);
    check_error("global: {external_labels: {l: 'bb$LONG'}}\n",
                "f.yml: global.external_labels: l is not UTF-8 or longer than 16384 bytes with the "
                "environment variables of its value");
    setenv("LONG", "\xff", true);
    check_error("global: {external_labels: {l: $LONG}}\n",
                "f.yml: global.external_labels: l is not UTF-8 or longer than 16384 bytes with the "
                "environment variables of its value");
    struct rule_settings rules;
    value[sizeof value - 1] = '\0';
    setenv("LONG", value, true);
    rules = read_rules("global: {external_labels: {l: 'b$LONG'}}\n", false);
    assert_int_equal(strlen(rules.external_labels.items[0].value), 16384);
    rule_settings_free(&rules);
}

UNIT_TEST(test_each_tenant_has_its_own_files)
{
    struct rule_settings rules = read_rules(whole_of_tenants, true);
    assert_int_equal(rules.tenant_count, 3);
    assert_string_equal(rules.tenants[0].tenant, "one");
    assert_int_equal(rules.tenants[0].files.count, 2);
    assert_string_equal(rules.tenants[0].files.items[1], "b.yml");
    assert_string_equal(rules.tenants[1].tenant, "two");
    assert_int_equal(rules.tenants[1].files.count, 0);
    assert_string_equal(rules.tenants[2].tenant, "a-third");
    assert_string_equal(rules.tenants[2].files.items[0], "c?.yml");
    rule_settings_free(&rules);
}

UNIT_TEST(test_a_text_without_rules_has_none)
{
    static const char *const texts[] = {"",
                                        "# nothing\n",
                                        "log: {level: debug}\n",
                                        "global: {}\n",
                                        "rule_files: []\n",
                                        "global: {external_labels: {}}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rule_settings rules = read_rules(texts[i], false);
        assert_int_equal(rules.tenant_count, 0);
        assert_int_equal(rules.external_labels.count, 0);
        assert_null(rules.arena);
        rule_settings_free(&rules);
    }
    rule_settings_free(NULL);
}

UNIT_TEST(test_tenancy_decides_where_rule_files_are_set)
{
    check_error_with("log: {}\nrule_files: [a.yml]\n", true,
                     "f.yml:2:13: rule_files: tenancy.enabled is true: write it below the name of "
                     "each tenant, as 'tenants: {NAME: {rule_files: [...]}}'");
    check_error_with("tenants: {a: {rule_files: [a.yml]}}\n", false,
                     "f.yml:1:10: tenants: tenancy.enabled is false: use 'rule_files' instead");
}

UNIT_TEST(test_mistakes_name_their_place)
{
    char text[400], name[160], expected[200];
    check_error("rule_files: a.yml\n", "f.yml:1:13: rule_files: expected a list, got 'a.yml'");
    check_error("rule_files: [[a]]\n",
                "f.yml:1:14: rule_files: expected a path or pattern, got a list");
    check_error("rule_files:\n- a.yml\n-\n",
                "f.yml:3:2: rule_files: expected a path or pattern, got nothing");
    check_error("rule_files: ['']\n", "f.yml:1:14: rule_files: must not be empty");
    check_error("rule_files: [a, 'x/*/b']\n",
                "f.yml:1:17: rule_files: wildcards are only allowed after the last '/'");
    check_error("rule_files: [rules/]\n",
                "f.yml:1:14: rule_files: must end with the name of a file");
    check_error("rule_files: [\"a\\tb\"]\n",
                "f.yml:1:14: rule_files: must not contain control characters");
    check_error_with("tenants: [a]\n", true, "f.yml:1:10: tenants: expected a mapping, got a list");
    check_error_with("tenants: {a: [b]}\n", true,
                     "f.yml:1:14: 'tenants' expects keys below it such as 'rule_files:', got a "
                     "list");
    check_error_with(
        "tenants:\n  a:\n", true,
        "f.yml:2:5: 'tenants' expects keys below it such as 'rule_files:', got nothing");
    check_error_with("tenants:\n  a: {}\n  b: {}\n  a: {}\n", true,
                     "f.yml:4:3: tenants: duplicate key 'a', first given on line 2");
    check_error_with("tenants:\n  a: {rulefiles: []}\n", true,
                     "f.yml:2:7: unknown key 'rulefiles' in 'tenants'; did you mean 'rule_files'?");
    check_error_with("tenants:\n  a: {rule_files: [/*/x]}\n", true,
                     "f.yml:2:20: tenants.rule_files: wildcards are only allowed after the last "
                     "'/'");
    check_error_with("tenants:\n  a/b: {}\n", true,
                     "f.yml:2:3: tenants: expected a tenant name of at most 150 letters, digits "
                     "and ! - _ . * ' ( ), got 'a/b'");
    memset(name, 'x', 151);
    name[151] = '\0';
    snprintf(text, sizeof text, "tenants:\n  %s: {}\n", name);
    snprintf(expected, sizeof expected,
             "f.yml:2:3: tenants: a name must be at most 150 bytes, got 151");
    check_error_with(text, true, expected);
    check_error("global:\n  external_labels: [a]\n",
                "f.yml:2:20: global.external_labels: expected a mapping, got a list");
    check_error("global:\n  external_labels: {a: }\n",
                "f.yml:2:24: global.external_labels: expected text, got nothing");
    check_error("global:\n  external_labels: {a: ''}\n",
                "f.yml:2:24: global.external_labels: must not be empty");
    check_error("global:\n  external_labels: {'': a}\n",
                "f.yml:2:21: global.external_labels: must not be empty");
    check_error("global:\n  external_labels: {__name__: a}\n",
                "f.yml:2:21: global.external_labels: __name__ is reserved for the metric name");
    check_error("global:\n  external_labels:\n    a: b\n    a: c\n",
                "f.yml:4:5: global.external_labels: duplicate key 'a', first given on line 3");
}

/* True if both are printed as the same. */
static bool
rule_settings_equal(const struct rule_settings *a, const struct rule_settings *b)
{
    struct buf one, other;
    buf_init(&one, NULL, CONFIG_BYTES_MAX * 8);
    buf_init(&other, NULL, CONFIG_BYTES_MAX * 8);
    rule_settings_print_yaml(a, &one);
    rule_settings_print_global(a, &one);
    rule_settings_print_yaml(b, &other);
    rule_settings_print_global(b, &other);
    bool same = bytes_equal(buf_bytes(&one), buf_bytes(&other));
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

UNIT_TEST(test_printed_settings_read_back_equal)
{
    static const struct {
        const char *text;
        bool tenancy;
    } texts[] = {{whole, false}, {whole_of_tenants, true}, {"", false}, {"tenants: {}\n", true}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rule_settings rules = read_rules(texts[i].text, texts[i].tenancy);
        struct settings settings = settings_with_tenancy(texts[i].tenancy);
        struct buf printed;
        buf_init(&printed, NULL, 1 << 16);
        settings_print_yaml(&settings, &rules, NULL, NULL, &printed);
        buf_put_u8(&printed, '\0');
        assert_int_equal(buf_error(&printed), OK);
        struct rule_settings again = read_rules((const char *)printed.at, texts[i].tenancy);
        assert_true(rule_settings_equal(&rules, &again));
        rule_settings_free(&again);
        rule_settings_free(&rules);
        buf_fini(&printed);
    }
}

UNIT_TEST(test_printed_settings_are_at_the_place_of_the_file)
{
    struct rule_settings rules = read_rules(whole_of_tenants, true);
    struct buf printed;
    buf_init(&printed, NULL, 1 << 16);
    rule_settings_print_yaml(&rules, &printed);
    rule_settings_print_global(&rules, &printed);
    buf_put_u8(&printed, '\0');
    assert_string_equal((const char *)printed.at, "tenants:\n"
                                                  "    \"one\":\n"
                                                  "        rule_files:\n"
                                                  "            - \"a.yml\"\n"
                                                  "            - \"b.yml\"\n"
                                                  "    \"two\": {}\n"
                                                  "    \"a-third\":\n"
                                                  "        rule_files:\n"
                                                  "            - \"c?.yml\"\n");
    rule_settings_free(&rules);
    rules = read_rules(whole, false);
    buf_clear(&printed);
    rule_settings_print_yaml(&rules, &printed);
    buf_put_text(&printed, "global:\n");
    rule_settings_print_global(&rules, &printed);
    buf_put_u8(&printed, '\0');
    assert_string_equal((const char *)printed.at, "rule_files:\n"
                                                  "    - \"rules/*.yml\"\n"
                                                  "    - \"/etc/more.yml\"\n"
                                                  "global:\n"
                                                  "    external_labels:\n"
                                                  "        \"cluster\": \"${CLUSTER}\"\n"
                                                  "        \"site\": \"one\"\n"
                                                  "        \"über\": \"a\\u0009b\"\n");
    rule_settings_free(&rules);
    buf_fini(&printed);
}

UNIT_TEST(test_each_difference_counts)
{
    static const char *const texts[] = {
        "tenants: {a: {rule_files: [b]}}\n",
        "tenants: {b: {rule_files: [b]}}\n",
        "tenants: {a: {rule_files: [c]}}\n",
        "tenants: {a: {rule_files: [b, c]}}\n",
        "tenants: {a: {rule_files: [b]}, c: {}}\n",
        "tenants: {a: {rule_files: [b]}}\nglobal: {external_labels: {a: b}}\n",
        "tenants: {a: {rule_files: [b]}}\nglobal: {external_labels: {a: c}}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rule_settings a = read_rules(texts[i], true);
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
            struct rule_settings b = read_rules(texts[k], true);
            assert_int_equal(rule_settings_equal(&a, &b), i == k);
            rule_settings_free(&b);
        }
        rule_settings_free(&a);
    }
}

UNIT_TEST(test_each_refused_allocation_is_reported)
{
    const char *const texts[] = {whole, whole_of_tenants};
    for (int i = 0; i < 2; i++) {
        struct settings s = settings_with_tenancy(i == 1);
        for (uint64_t nth = 1;; nth++) {
            struct rule_settings rules = {NULL};
            struct why why = {""};
            mem_fail_nth(nth, false);
            enum err e = rule_settings_yaml("f.yml", bytes_of_text(texts[i]), &s, &rules, &why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            rule_settings_free(&rules);
            if (!fired) {
                assert_int_equal(e, OK);
                break;
            }
            assert_int_equal(e, ERR_NOMEM);
            assert_string_equal(why.text, "f.yml: not enough memory");
        }
    }
}

UNIT_TEST(test_tables_are_well_formed)
{
    static const struct list_text texts[] = {{whole, false}, {whole_of_tenants, true}};
    check_rows(&rules_root_schema, 1, texts, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key_is_read),
        cmocka_unit_test(test_variables_in_external_labels_are_expanded_as_by_prometheus),
        cmocka_unit_test(test_the_value_of_a_variable_has_to_be_a_valid_label),
        cmocka_unit_test(test_each_tenant_has_its_own_files),
        cmocka_unit_test(test_a_text_without_rules_has_none),
        cmocka_unit_test(test_tenancy_decides_where_rule_files_are_set),
        cmocka_unit_test(test_mistakes_name_their_place),
        cmocka_unit_test(test_printed_settings_read_back_equal),
        cmocka_unit_test(test_printed_settings_are_at_the_place_of_the_file),
        cmocka_unit_test(test_each_difference_counts),
        cmocka_unit_test(test_each_refused_allocation_is_reported),
        cmocka_unit_test(test_tables_are_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
