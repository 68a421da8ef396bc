/* yaml_test.c - settings in YAML, and messages about errors. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/config/settings_rig.h"

static enum err
yaml(struct settings *settings, const char *text, struct why *why)
{
    return settings_yaml(settings, "f.yml", bytes_of_text(text), why);
}

static void
check_yaml_ok(const char *text)
{
    struct settings s = settings_defaults();
    struct why why = {""};
    enum err e = yaml(&s, text, &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
}

static void
check_yaml_bytes_error(struct bytes text, const char *expected)
{
    struct settings before = settings_defaults(), s = before;
    struct why why = {""};
    enum err e = settings_yaml(&s, "f.yml", text, &why);
    assert_string_equal(why.text, expected);
    assert_int_equal(e, ERR_INPUT);
    assert_memory_equal(&s, &before, sizeof s);
}

static void
check_yaml_error(const char *text, const char *expected)
{
    check_yaml_bytes_error(bytes_of_text(text), expected);
}

static void
check_replica_labels(const char *given, const char *expected)
{
    struct settings s = settings_defaults(), again = settings_defaults();
    char text[400];
    struct buf printed;
    snprintf(text, sizeof text, "query: {replica_labels: %s}", given);
    assert_int_equal(yaml(&s, text, NULL), OK);
    assert_string_equal(s.query_replica_labels, expected);
    buf_init(&printed, NULL, CONFIG_BYTES_MAX);
    settings_print_yaml(&s, NULL, NULL, NULL, &printed);
    assert_int_equal(settings_yaml(&again, "f.yml", buf_bytes(&printed), NULL), OK);
    assert_memory_equal(&s, &again, sizeof s);
    buf_fini(&printed);
}

UNIT_TEST(test_names_of_replica_labels_are_a_list_or_a_text_with_commas)
{
    check_replica_labels("[]", "");
    check_replica_labels("''", "");
    check_replica_labels("replica", "replica");
    check_replica_labels("[replica]", "replica");
    check_replica_labels("'a,b'", "a,b");
    check_replica_labels("[a, \"b c\", \"d\\\"e\", 'Ã¤']", "a,b c,d\"e,Ã¤");
    check_replica_labels("'1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16'",
                         "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16");
    static const char expected[] = "query.replica_labels: expected up to 16 label names with "
                                   "commas between them, each once, and not __name__, got ";
    static const char *const bad[][2] = {
        {"'a,'", "'a,'"},
        {"','", "','"},
        {"[a, a]", "'a,a'"},
        {"__name__", "'__name__'"},
        {"'1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17'",
         "'1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct settings before = settings_defaults(), s = before;
        char text[200];
        struct why why = {""};
        snprintf(text, sizeof text, "query: {replica_labels: %s}", bad[i][0]);
        assert_int_equal(yaml(&s, text, &why), ERR_INPUT);
        assert_non_null(strstr(why.text, expected));
        assert_non_null(strstr(why.text, bad[i][1]));
        assert_memory_equal(&s, &before, sizeof s);
    }
    check_yaml_error("query:\n  replica_labels: ['a,b']\n",
                     "f.yml:2:20: query.replica_labels: expected a list without empty texts and "
                     "without commas in them, got 'a,b'");
    check_yaml_error("query:\n  replica_labels: [a, '']\n",
                     "f.yml:2:23: query.replica_labels: expected a list without empty texts and "
                     "without commas in them, got ''");
    check_yaml_error("query:\n  replica_labels: [[a]]\n",
                     "f.yml:2:20: query.replica_labels: expected LABEL,..., got a list");
}

UNIT_TEST(test_yaml_sets_what_it_names_and_nothing_else)
{
    struct settings s = settings_defaults(), expected = s;
    struct why why = {""};
    enum err e = yaml(&s,
                      "# comment\n"
                      "web:\n"
                      "  listen_address: '[::1]:9201'  # quoted: [ is special\n"
                      "  enable_lifecycle: \"true\"\n"
                      "  max_connections: \"77\"\n"
                      "log: {level: debug, format: json}\n"
                      "storage:\n"
                      "  path: 9201\n"
                      "retention: {time: 1d}\n"
                      "self_scrape: {interval: 15s}\n",
                      &why);
    assert_string_equal(why.text, "");
    assert_int_equal(e, OK);
    snprintf(expected.web_listen_address, sizeof expected.web_listen_address, "[::1]:9201");
    expected.web_enable_lifecycle = true;
    expected.web_max_connections = 77;
    expected.log_level = LOG_DEBUG;
    expected.log_format = LOG_JSON;
    memset(expected.storage_path, 0, sizeof expected.storage_path);
    snprintf(expected.storage_path, sizeof expected.storage_path, "9201");
    expected.retention_time_ms = 86400000;
    expected.self_scrape_interval_ms = 15000;
    for (const struct setting *t = settings_table(); t->name != NULL; t++) {
        char want[SETTING_TEXT_BYTES];
        snprintf(want, sizeof want, "%s", setting_shown(&expected, t));
        assert_string_equal(setting_shown(&s, t), want);
    }
}

UNIT_TEST(test_yaml_without_settings_changes_nothing)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "# only a comment\n",
                                        "---\n",
                                        "--- \n...\n",
                                        "{}",
                                        "web: {}\n",
                                        "%YAML 1.1\n---\n{}\n",
                                        "\xef\xbb\xbf# a byte order mark\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct settings before = settings_defaults(), s = before;
        check_yaml_ok(texts[i]);
        assert_int_equal(yaml(&s, texts[i], NULL), OK);
        assert_memory_equal(&s, &before, sizeof s);
    }
    struct settings s = settings_defaults();
    assert_int_equal(settings_yaml(&s, "f.yml", bytes_of(NULL, 0), NULL), OK);
}

/* Editors of Windows write such files. */
UNIT_TEST(test_yaml_with_a_byte_order_mark_and_crlf_is_read_like_any_other)
{
    check_yaml_ok("\xef\xbb\xbflog:\n  level: warn\nweb:\n  enable_admin_api: true\n");
    check_yaml_ok("\xef\xbb\xbflog:\r\n  level: warn\r\nweb: {}\r\n");
    check_yaml_error("\xef\xbb\xbf"
                     "colour: red\n",
                     "f.yml:1:1: unknown key 'colour'");
    check_yaml_error("\xef\xbb\xbf\xef\xbb\xbflog: {}\nweb: {}\n",
                     "f.yml:2:1: did not find expected <document start>");
}

UNIT_TEST(test_yaml_unknown_keys_are_placed_and_explained)
{
    check_yaml_error("log: {}\n\nretension:\n  time: 1d\n",
                     "f.yml:3:1: unknown key 'retension'; did you mean 'retention'?");
    check_yaml_error("web:\n  listen-address: ':1'\n",
                     "f.yml:2:3: unknown key 'listen-address' in 'web'; did you mean "
                     "'listen_address'?");
    check_yaml_error("web:\n  lsiten_address: ':1'\n",
                     "f.yml:2:3: unknown key 'lsiten_address' in 'web'; did you mean "
                     "'listen_address'?");
    check_yaml_error("web:\n  colour: red\n", "f.yml:2:3: unknown key 'colour' in 'web'");
    check_yaml_error("colour: red\n", "f.yml:1:1: unknown key 'colour'");
    check_yaml_error("max_connections: 5\n", "f.yml:1:1: unknown key 'max_connections'; did you "
                                             "mean 'max_connections' below 'web:'?");
    check_yaml_error("config: {file: x}\n", "f.yml:1:1: 'config' can only be given as the flag "
                                            "--config.file");
    check_yaml_error("config.file: x\n", "f.yml:1:1: --config.file can only be given as a flag");
    check_yaml_error("<<: {}\n", "f.yml:1:1: unknown key '<<'");
    check_yaml_error("? [a]\n: b\n", "f.yml:1:3: expected a key, got a list");
    check_yaml_error("web:\n  ? {a: b}\n  : c\n", "f.yml:2:5: expected a key, got a mapping");
    check_yaml_error("self-scrape: {interval: 1m}\n",
                     "f.yml:1:1: unknown key 'self-scrape'; did you mean 'self_scrape'?");
    check_yaml_error(
        "self_scrape:\n  intervall: 1m\n",
        "f.yml:2:3: unknown key 'intervall' in 'self_scrape'; did you mean 'interval'?");
    check_yaml_error("self_scrape: 1m\n", "f.yml:1:14: 'self_scrape' expects keys below it such as "
                                          "'interval:', got a value");
    check_yaml_error("'': 5\n", "f.yml:1:1: unknown key ''");
    check_yaml_error("\"a\\0b\": 5\n", "f.yml:1:1: unknown key 'a\\x00b'");
}

UNIT_TEST(test_yaml_dotted_names_are_refused_in_favour_of_nested_ones)
{
    const char *advice = "as 'web:' with 'listen_address:' below it";
    char expected[200];
    snprintf(expected, sizeof expected, "f.yml:1:1: write 'web.listen-address' %s", advice);
    check_yaml_error("web.listen-address: ':1'\n", expected);
    snprintf(expected, sizeof expected, "f.yml:1:1: write 'web.listen_address' %s", advice);
    check_yaml_error("web.listen_address: ':1'\n", expected);
    snprintf(expected, sizeof expected, "f.yml:3:1: write 'web.listen_address' %s", advice);
    check_yaml_error("web:\n  listen_address: ':1'\nweb.listen_address: ':1'\n", expected);
    check_yaml_error(
        "self_scrape.interval: 1m\n",
        "f.yml:1:1: write 'self_scrape.interval' as 'self_scrape:' with 'interval:' below it");
    snprintf(expected, sizeof expected, "f.yml:2:3: write 'web.listen_address' %s", advice);
    check_yaml_error("web:\n  web.listen_address: ':1'\n", expected);
}

UNIT_TEST(test_yaml_duplicates_name_the_first_line)
{
    check_yaml_error("log:\n  level: info\n  format: json\n  level: info\n",
                     "f.yml:4:3: duplicate key 'level', first given on line 2");
    check_yaml_error("log: {}\nweb: {}\nlog: {}\n",
                     "f.yml:3:1: duplicate key 'log', first given on line 1");
    check_yaml_error("log: {level: info, \"level\": info}\n",
                     "f.yml:1:20: duplicate key 'level', first given on line 1");
}

UNIT_TEST(test_yaml_values_of_the_wrong_kind_name_what_is_expected)
{
    check_yaml_error(
        "web:\n  header_timeout: soon\n",
        "f.yml:2:19: web.header_timeout: expected a duration such as 90s or 1h30m, got 'soon'");
    check_yaml_error(
        "web:\n  header_timeout: 10\n",
        "f.yml:2:19: web.header_timeout: expected a duration such as 90s or 1h30m, got '10'");
    check_yaml_error("web:\n  max_connections: [1]\n",
                     "f.yml:2:20: web.max_connections: expected a whole number, got a list");
    check_yaml_error("web:\n  max_connections:\n    a: 1\n",
                     "f.yml:3:5: web.max_connections: expected a whole number, got a mapping");
    check_yaml_error("web:\n  max_connections: -1\n",
                     "f.yml:2:20: web.max_connections: expected a whole number, got '-1'");
    check_yaml_error("web:\n  max_connections: 0\n",
                     "f.yml:2:20: web.max_connections: must be between 1 and 65536, got 0");
    check_yaml_error("web:\n  listen_address: nowhere\n",
                     "f.yml:2:19: web.listen_address: expected HOST:PORT, got 'nowhere'");
    check_yaml_error("storage:\n  path: |\n    a\n",
                     "f.yml:2:9: storage.path: must not contain control characters, got 'a\\x0a'");
    check_yaml_error("storage:\n  path: \"a\\0b\"\n",
                     "f.yml:2:9: storage.path: must not contain control characters, got 'a\\x00b'");
    check_yaml_error(
        "web: 5\n",
        "f.yml:1:6: 'web' expects keys below it such as 'listen_address:', got a value");
    check_yaml_error(
        "web: [listen_address]\n",
        "f.yml:1:6: 'web' expects keys below it such as 'listen_address:', got a list");
    check_yaml_error("- web\n", "f.yml:1:1: expected sections such as 'web:', got a list");
    check_yaml_error("web\n", "f.yml:1:1: expected sections such as 'web:', got 'web'");
    check_yaml_error("null\n", "f.yml:1:1: expected sections such as 'web:', got nothing");
}

UNIT_TEST(test_yaml_null_is_an_empty_section_and_text_only_if_quoted)
{
    static const char *const nulls[] = {"", " ~", " null", " Null", " NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
        char text[64];
        snprintf(text, sizeof text, "log:\n  level:%s\n", nulls[i]);
        struct settings s = settings_defaults();
        struct why why = {""};
        assert_int_equal(yaml(&s, text, &why), ERR_INPUT);
        assert_non_null(
            strstr(why.text, "log.level: expected one of debug, info, warn, error, got nothing"));
        snprintf(text, sizeof text, "log:%s\n", nulls[i]);
        check_yaml_ok(text);
    }
    check_yaml_ok("storage: {path: 'null'}\n");
    check_yaml_error("storage: {path: ''}\n", "f.yml:1:17: storage.path: must not be empty");
    check_yaml_error("storage: {path: ~}\n",
                     "f.yml:1:17: storage.path: expected DIRECTORY, got nothing");
}

UNIT_TEST(test_yaml_anchors_aliases_tags_and_documents_are_refused)
{
    check_yaml_error("log: &a\n  level: info\n",
                     "f.yml:1:6: anchors (&name) are not supported here");
    check_yaml_error("log:\n  level: &a info\n",
                     "f.yml:2:10: anchors (&name) are not supported here");
    check_yaml_error("log:\n  &a level: info\n",
                     "f.yml:2:3: anchors (&name) are not supported here");
    check_yaml_error("log: *a\n", "f.yml:1:6: aliases (*name) are not supported here");
    check_yaml_error("*a : b\n", "f.yml:1:1: aliases (*name) are not supported here");
    check_yaml_error("log: !!map {}\n", "f.yml:1:6: tags (!name) are not supported here");
    check_yaml_error("log: {level: !x info}\n", "f.yml:1:14: tags (!name) are not supported here");
    check_yaml_error("&a\n", "f.yml:1:1: anchors (&name) are not supported here");
    check_yaml_error("log: {}\n---\nlog: {}\n",
                     "f.yml:2:1: a second document begins here; only one is allowed");
    check_yaml_error("---\n---\n", "f.yml:2:1: a second document begins here; only one is allowed");
}

UNIT_TEST(test_yaml_syntax_errors_carry_libyamls_words_and_the_place)
{
    check_yaml_error("log:\n\tlevel: info\n",
                     "f.yml:2:1: while scanning for the next token found character that cannot "
                     "start any token; indent with spaces, not with tabs");
    check_yaml_error("log: {level: info\n",
                     "f.yml:2:1: while parsing a flow mapping did not find expected ',' or '}'");
    check_yaml_error("log: 'x\n", "f.yml:2:1: while scanning a quoted scalar found unexpected end "
                                  "of stream");
    check_yaml_error("log:\n  level: a\xff\n", "f.yml:2:11: invalid leading UTF-8 octet");
    check_yaml_error("log:\n  level: \xc3\n", "f.yml:2:11: invalid trailing UTF-8 octet");
    check_yaml_error("# \xc3\xa9\xff\n", "f.yml:1:4: invalid leading UTF-8 octet");
    check_yaml_error("log: \x01\n", "f.yml:1:6: control characters are not allowed");
    check_yaml_bytes_error(bytes_of("a: \0", 4), "f.yml:1:4: control characters are not allowed");
    check_yaml_bytes_error(bytes_of("\xff\xfe"
                                    "a\0",
                                    4),
                           "f.yml:1:1: invalid leading UTF-8 octet");
}

UNIT_TEST(test_yaml_steps_over_lists)
{
    struct settings s = settings_defaults();
    assert_int_equal(yaml(&s,
                          "log: {level: debug}\n"
                          "destinations:\n"
                          "- {log: {level: error}, any: [thing, {goes: here}]}\n"
                          "- 5\n"
                          "tenancy: {enabled: true}\n"
                          "sources: [{log: {level: error}}]\n",
                          NULL),
                     OK);
    assert_int_equal(s.log_level, LOG_DEBUG);
    assert_true(s.tenancy_enabled);
    check_yaml_ok("destinations: 5\n");
    check_yaml_error("destinations: []\nlog: {}\ndestinations: []\n",
                     "f.yml:3:1: duplicate key 'destinations', first given on line 1");
    check_yaml_error("sources: []\nlog: {}\nsources: []\n",
                     "f.yml:3:1: duplicate key 'sources', first given on line 1");
    check_yaml_ok("rule_files: [a]\ntenants: {a: {}}\n"
                  "global: {external_labels: {a: {b: [c]}}, rule_query_offset: 5s}\n");
    check_yaml_error("global:\n  external_labels: {}\n  external_labels: {}\n",
                     "f.yml:3:3: duplicate key 'external_labels', first given on line 2");
    check_yaml_error("rule_file: []\n",
                     "f.yml:1:1: unknown key 'rule_file'; did you mean 'rule_files'?");
    check_yaml_error("global: {external-labels: {}}\n",
                     "f.yml:1:10: unknown key 'external-labels' in 'global'; did you mean "
                     "'external_labels'?");
    check_yaml_error("external_labels: {}\n", "f.yml:1:1: unknown key 'external_labels'; did you "
                                              "mean 'external_labels' below 'global:'?");
    check_yaml_error("source: []\n", "f.yml:1:1: unknown key 'source'; did you mean 'sources'?");
    check_yaml_error("destination: []\n",
                     "f.yml:1:1: unknown key 'destination'; did you mean 'destinations'?");
    check_yaml_error("destinations: [&a b]\n",
                     "f.yml:1:16: anchors (&name) are not supported here");
    check_yaml_error("destinations: [*a]\n", "f.yml:1:16: aliases (*name) are not supported here");
    check_yaml_error("destinations: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]\n",
                     "f.yml:1:31: nested too deeply");
    check_yaml_ok("destinations: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n");
}

UNIT_TEST(test_yaml_names_what_others_have_and_we_have_not)
{
    check_yaml_error("global:\n  scrape_interval: 15s\n",
                     "f.yml:2:3: 'scrape_interval' is a setting of Prometheus' scraping; Firekeep "
                     "does not scrape targets: remove it");
    check_yaml_error("log: {}\nscrape_configs: []\n",
                     "f.yml:2:1: 'scrape_configs' is a setting of Prometheus' scraping; Firekeep "
                     "does not scrape targets: remove it");
    check_yaml_error("remote_write: []\n",
                     "f.yml:1:1: 'remote_write' is a setting of Prometheus; use 'destinations'");
    check_yaml_error("global: {query_log_file: /x}\n",
                     "f.yml:1:10: 'query_log_file' is a setting of Prometheus; use 'slow_log' "
                     "below 'query:'");
    check_yaml_error("storage:\n  tsdb: {}\n", "f.yml:2:3: 'tsdb' is a setting of Prometheus that "
                                               "Firekeep does not have: remove it");
    check_yaml_error("groups: []\n", "f.yml:1:1: 'groups' belongs in a rule file: use 'firekeep "
                                     "check rules FILE', and name it in 'rule_files'");
    check_yaml_error("route: {receiver: a}\n", "f.yml:1:1: 'route' is a setting of Alertmanager: "
                                               "run one, and name it in 'alerting'");
    /* Elsewhere, these keys are unknown. */
    check_yaml_error("web: {scrape_interval: 15s}\n",
                     "f.yml:1:7: unknown key 'scrape_interval' in 'web'");
}

UNIT_TEST(test_yaml_does_not_expand_environment_variables)
{
    struct settings s = settings_defaults();
    assert_int_equal(yaml(&s, "storage:\n  path: ${HOME}/$HOME\n", NULL), OK);
    assert_string_equal(s.storage_path, "${HOME}/$HOME");
}

UNIT_TEST(test_yaml_one_byte_over_the_limit_is_refused)
{
    char *text = malloc(CONFIG_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', CONFIG_BYTES_MAX + 1);
    struct settings s = settings_defaults();
    struct why why = {""};
    assert_int_equal(settings_yaml(&s, "f.yml", bytes_of(text, CONFIG_BYTES_MAX), &why), OK);
    assert_int_equal(settings_yaml(&s, "f.yml", bytes_of(text, CONFIG_BYTES_MAX + 1), &why),
                     ERR_LIMIT);
    assert_string_equal(why.text, "f.yml: must be at most 1024 KiB");
    free(text);
}

/* They are refused before the rest is read: nesting and length cost neither stack nor time. */
UNIT_TEST(test_yaml_hostile_texts_are_refused_where_they_begin)
{
    static const char *const fills[] = {"[",  "{", "- ", "? ", "a: ", "'",
                                        "\"", "!", "&",  "%",  "a",   "log:[\n"};
    char *text = malloc(CONFIG_BYTES_MAX);
    assert_non_null(text);
    for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
        size_t size = strlen(fills[f]);
        for (size_t i = 0; i < CONFIG_BYTES_MAX; i++)
            text[i] = fills[f][i % size];
        struct settings s = settings_defaults();
        struct why why = {""};
        assert_int_equal(settings_yaml(&s, "f.yml", bytes_of(text, CONFIG_BYTES_MAX), &why),
                         ERR_INPUT);
        assert_memory_equal(why.text, "f.yml:1:", 8);
        assert_in_range(strtoul(why.text + 8, NULL, 10), 1, 5);
    }
    free(text);
}

UNIT_TEST(test_yaml_long_file_names_and_keys_keep_the_message_bounded)
{
    char name[2000], text[2000];
    memset(name, 'n', sizeof name - 1);
    memset(text, 'k', sizeof text - 1);
    name[sizeof name - 1] = text[sizeof text - 1] = 0;
    memcpy(text + 1900, ": 1", 4);
    struct settings s = settings_defaults();
    struct why why = {""};
    assert_int_equal(settings_yaml(&s, name, bytes_of_text(text), &why), ERR_INPUT);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_replica_labels_are_a_list_or_a_text_with_commas),
        cmocka_unit_test(test_yaml_sets_what_it_names_and_nothing_else),
        cmocka_unit_test(test_yaml_without_settings_changes_nothing),
        cmocka_unit_test(test_yaml_with_a_byte_order_mark_and_crlf_is_read_like_any_other),
        cmocka_unit_test(test_yaml_unknown_keys_are_placed_and_explained),
        cmocka_unit_test(test_yaml_dotted_names_are_refused_in_favour_of_nested_ones),
        cmocka_unit_test(test_yaml_duplicates_name_the_first_line),
        cmocka_unit_test(test_yaml_values_of_the_wrong_kind_name_what_is_expected),
        cmocka_unit_test(test_yaml_null_is_an_empty_section_and_text_only_if_quoted),
        cmocka_unit_test(test_yaml_anchors_aliases_tags_and_documents_are_refused),
        cmocka_unit_test(test_yaml_syntax_errors_carry_libyamls_words_and_the_place),
        cmocka_unit_test(test_yaml_steps_over_lists),
        cmocka_unit_test(test_yaml_names_what_others_have_and_we_have_not),
        cmocka_unit_test(test_yaml_does_not_expand_environment_variables),
        cmocka_unit_test(test_yaml_one_byte_over_the_limit_is_refused),
        cmocka_unit_test(test_yaml_hostile_texts_are_refused_where_they_begin),
        cmocka_unit_test(test_yaml_long_file_names_and_keys_keep_the_message_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
