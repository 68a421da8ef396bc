/* dropin_test.c - flags as other programs take them. */
#include "cli/dropin/dropin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/cli_run.h"
#include "lib/test.h"

/* Expects what becomes of words, which are separated by spaces. */
static void
expect_words(const char *given, const char *expected)
{
    static const char *const switches[] = {"firehose", "fail", NULL};
    char text[200], got[200] = "", command[] = "command";
    char *words[20] = {command};
    int count = 1;
    snprintf(text, sizeof text, "%s", given);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = word;
    count = dropin_words(count, words, switches);
    for (int i = 1; i < count; i++) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s%s", i == 1 ? "" : " ", words[i]);
    }
    assert_string_equal(got, expected);
}

UNIT_TEST(test_one_hyphen_is_as_good_as_two)
{
    expect_words("-stream-name a --region b", "--stream-name a --region b");
    expect_words("-h - -1", "-h - -1");
    expect_words("-listen-addr=:1", "--listen-addr=:1");
}

UNIT_TEST(test_a_switch_may_have_a_value)
{
    expect_words("-firehose", "--firehose");
    expect_words("-firehose=true --fail=true x", "--firehose --fail x");
    expect_words("--firehose=false a --no-fail b", "a b");
    expect_words("--firehoses=true --failure", "--firehoses=true --failure");
    expect_words("-firehose=1 --fail=T", "--firehose --fail");
    expect_words("-firehose=FALSE --fail=0 c", "c");
    expect_words("-firehose=yes", "--firehose=yes");
}

UNIT_TEST(test_texts_of_a_configuration_are_quoted)
{
    struct buf config;
    buf_init(&config, NULL, 1000);
    dropin_put(&config, "  ", "a", "b: \"c\"\n");
    dropin_put(&config, "  ", "none", NULL);
    dropin_put(&config, "  ", "empty", "");
    assert_true(bytes_equal_text(buf_bytes(&config), "  a: \"b: \\\"c\\\"\\u000a\"\n"));
    buf_fini(&config);
}

static void
expect_server(const char *url, const char *user, const char *expected)
{
    struct buf config;
    buf_init(&config, NULL, 1000);
    dropin_put_server(&config, url, user, "p");
    buf_put_u8(&config, '\0');
    assert_string_equal((const char *)config.at, expected);
    buf_fini(&config);
}

UNIT_TEST(test_a_user_in_a_url_becomes_basic_auth)
{
    expect_server("http://h:1/x@y", NULL, "  url: \"http://h:1/x@y\"\n");
    expect_server("http://u:a%40%3a%@h", "",
                  "  url: \"http://h\"\n  basic_auth:\n    username: \"u\"\n"
                  "    password: \"a@:%\"\n");
    expect_server("https://u@h/?q", NULL,
                  "  url: \"https://h/?q\"\n  basic_auth:\n    username: \"u\"\n");
    expect_server("http://u:v@h", "flag",
                  "  url: \"http://h\"\n  basic_auth:\n    username: \"flag\"\n"
                  "    password: \"p\"\n");
}

UNIT_TEST(test_durations_of_go_become_milliseconds)
{
    static const char *const cases[][2] = {{"10s", "10s"},        {"1.5s", "1500ms"},
                                           {"1m0.5s", "60500ms"}, {"2m1ms500us", "120002ms"},
                                           {"10ns", "1ms"},       {"1.5h", "5400000ms"}};
    static const char *const refused[] = {"", "10", "s", "1x", "1.2.3s", "-1s", "1s ", "9e9h"};
    struct why why = {""};
    const char *value = NULL;
    assert_int_equal(dropin_duration("t", &value, &why), OK);
    assert_null(value);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value = cases[i][0];
        assert_int_equal(dropin_duration("t", &value, &why), OK);
        assert_string_equal(value, cases[i][1]);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        value = refused[i];
        assert_int_equal(dropin_duration("t", &value, &why), ERR_INPUT);
    }
    assert_non_null(strstr(why.text, "--t: expected a duration"));
}

UNIT_TEST(test_without_a_directory_to_write_no_log_is_kept)
{
    char dir[DROPIN_DIR_BYTES], expected[100], other[] = "/tmp/dropin-test-XXXXXX";
    assert_true(dropin_find_storage("c", "/given:1", dir));
    assert_string_equal(dir, "/given:1");
    setenv("STATE_DIRECTORY", "/a:/b", 1);
    assert_true(dropin_find_storage("c", NULL, dir));
    assert_string_equal(dir, "/a");
    unsetenv("STATE_DIRECTORY");

    assert_non_null(mkdtemp(other));
    setenv("TMPDIR", other, 1);
    assert_int_equal(chdir("/proc/self"), 0);
    assert_false(dropin_find_storage("c", NULL, dir));
    snprintf(expected, sizeof expected, "%s/firekeep-c-%u", other, (unsigned)geteuid());
    assert_string_equal(dir, expected);
    assert_false(dropin_find_storage("c", NULL, dir)); /* it is there */
    assert_int_equal(chmod(expected, 0755), 0);
    assert_true(dropin_find_storage("c", NULL, dir)); /* others may have made it */
    assert_int_equal(chdir(other), 0);
    assert_true(dropin_find_storage("c", NULL, dir));
    assert_int_equal(rmdir(expected), 0);
    assert_int_equal(rmdir(other), 0);
    unsetenv("TMPDIR");
}

UNIT_TEST(test_an_empty_variable_counts_as_not_set)
{
    unsetenv("DROPIN_TEST");
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "other");
    setenv("DROPIN_TEST", "", 1);
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "other");
    setenv("DROPIN_TEST", "own", 1);
    assert_string_equal(dropin_environment("DROPIN_TEST", "other"), "own");
}

static void
expect_refused(const char *table, const char *certificate, const char *key, const char *expected)
{
    static const struct command *const commands[] = {&command_timestream_connector, NULL};
    const char *const words[] = {
        "timestream-connector", "--default-database=d", table, certificate, key, NULL};
    assert_int_equal(cli_run_child(commands, words), EXIT_USAGE);
    assert_non_null(strstr(cli_err, expected));
}

UNIT_TEST(test_an_empty_flag_of_the_connector_counts_as_not_given)
{
    expect_refused("--default-table=", "--tls-certificate=", "--tls-key=",
                   "expected --default-database and --default-table");
    expect_refused("--default-table=t", "--tls-certificate=c",
                   "--tls-key=", "expected both --tls-certificate and --tls-key");
    expect_refused("--default-table=t", "--tls-certificate=", "--tls-key=k",
                   "expected both --tls-certificate and --tls-key");
}

/* A certificate that is renewed is often another file behind the same link. */
UNIT_TEST(test_a_link_to_a_certificate_of_the_connector_stays)
{
    static const struct command *const commands[] = {&command_timestream_connector, NULL};
    static const char *const words[] = {"timestream-connector",  "--default-database=d",
                                        "--default-table=t",     "--tls-certificate=link.pem",
                                        "--tls-key=missing.key", "--storage.path=/nowhere",
                                        "--log.level=refused",   NULL};
    char dir[] = "/tmp/dropin-test-XXXXXX", expected[100];
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(symlink("/proc/version", "link.pem"), 0);
    assert_int_equal(cli_run_child(commands, words), EXIT_USAGE);
    snprintf(expected, sizeof expected, "cert_file: \"%s/link.pem\"", dir);
    assert_non_null(strstr(cli_err, expected));
    snprintf(expected, sizeof expected, "key_file: \"%s/missing.key\"", dir);
    assert_non_null(strstr(cli_err, expected));
    assert_int_equal(unlink("link.pem"), 0);
    assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_hyphen_is_as_good_as_two),
        cmocka_unit_test(test_a_switch_may_have_a_value),
        cmocka_unit_test(test_texts_of_a_configuration_are_quoted),
        cmocka_unit_test(test_a_user_in_a_url_becomes_basic_auth),
        cmocka_unit_test(test_durations_of_go_become_milliseconds),
        cmocka_unit_test(test_without_a_directory_to_write_no_log_is_kept),
        cmocka_unit_test(test_an_empty_variable_counts_as_not_set),
        cmocka_unit_test(test_an_empty_flag_of_the_connector_counts_as_not_given),
        cmocka_unit_test(test_a_link_to_a_certificate_of_the_connector_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
