/* function_settings_test.c - the configuration that an environment means, and what is missing. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/lambda/lambda.h"
#include "config/config.h"
#include "config/lists/lists.h"

enum { VARIABLES_MAX = 12 };

/* "NAME=VALUE"; NULL after the last. */
static char *variables[VARIABLES_MAX];

static char *
variable(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < VARIABLES_MAX && variables[i] != NULL; i++)
        if (strncmp(variables[i], name, size) == 0 && variables[i][size] == '=')
            return variables[i] + size + 1;
    return NULL;
}

/* Sets the words of a text as variables; it is changed. */
static void
set(char *text)
{
    memset(variables, 0, sizeof variables);
    size_t count = 0;
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        variables[count++] = word;
}

static void
check_config(const char *environment, const char *expected)
{
    char *text = strdup(environment);
    struct settings settings;
    struct config_lists lists;
    struct why why = {""};
    struct buf to;
    set(text);
    buf_init(&to, NULL, 10000);
    assert_int_equal(function_settings_put(variable, &to, &why), OK);
    settings_default(&settings);
    assert_int_equal(settings_yaml(&settings, "f", buf_bytes(&to), &why), OK);
    assert_int_equal(config_lists_yaml("f", buf_bytes(&to), &settings, &lists, &why), OK);
    assert_int_equal(lists.destinations.count, 1);
    assert_int_equal(lists.access.given.listeners.count, 1);
    config_lists_free(&lists);
    buf_put_u8(&to, '\0');
    const char *rest = strstr((const char *)to.at, "allow: [write, read]\n");
    assert_non_null(rest);
    assert_string_equal(rest + strlen("allow: [write, read]\n"), expected);
    buf_fini(&to);
    free(text);
}

static void
check_refused(const char *environment, const char *reason)
{
    char *text = strdup(environment);
    struct why why = {""};
    struct buf to;
    set(text);
    buf_init(&to, NULL, 10000);
    assert_int_equal(function_settings_put(variable, &to, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, reason));
    buf_fini(&to);
    free(text);
}

UNIT_TEST(test_environment_of_the_old_connector_means_timestream)
{
    check_config("default_database=d default_table=t AWS_REGION=eu-west-1 log_level=warn "
                 "enable_sigv4_auth=true max_read_retries=3 enable_logging=true",
                 "log:\n  level: \"warn\"\n"
                 "destinations:\n- name: timestream\n  type: timestream\n"
                 "  database: \"d\"\n  table: \"t\"\n  region: \"eu-west-1\"\n"
                 "sources:\n- use: timestream\n");
}

UNIT_TEST(test_streams_are_destinations_and_the_archive_is_a_source)
{
    check_config("destination=kinesis stream=s AWS_REGION=eu-west-1 region=us-east-1",
                 "destinations:\n- name: kinesis\n  type: kinesis\n"
                 "  stream: \"s\"\n  region: \"us-east-1\"\n");
    check_config("destination=firehose stream=s bucket=b-one prefix=p/ region=us-east-1",
                 "destinations:\n- name: firehose\n  type: firehose\n"
                 "  delivery_stream: \"s\"\n  region: \"us-east-1\"\n"
                 "sources:\n- name: archive\n  type: archive\n"
                 "  bucket: \"b-one\"\n  prefix: \"p/\"\n  region: \"us-east-1\"\n"
                 "  cache:\n    path: \"/tmp/firekeep-archive\"\n    max_bytes: 256MiB\n");
}

UNIT_TEST(test_without_iam_a_user_is_required)
{
    check_refused("default_database=d default_table=t region=a enable_sigv4_auth=false",
                  "enable_sigv4_auth is false, so anyone can call the function: the environment "
                  "variable basic_auth_user is missing");
    check_config("default_database=d default_table=t region=us-east-1 enable_sigv4_auth=false "
                 "basic_auth_user=prom basic_auth_password_hash="
                 "$2b$10$K0PDlXKbhjZsgUPdpyLKLOFZ1NkJFvr8h8pQ9u1r5l2v1vW7yWQnO",
                 "users:\n- name: \"prom\"\n  password: "
                 "\"$2b$10$K0PDlXKbhjZsgUPdpyLKLOFZ1NkJFvr8h8pQ9u1r5l2v1vW7yWQnO\"\n"
                 "  permissions: [write, read]\n"
                 "destinations:\n- name: timestream\n  type: timestream\n"
                 "  database: \"d\"\n  table: \"t\"\n  region: \"us-east-1\"\n"
                 "sources:\n- use: timestream\n");
}

UNIT_TEST(test_other_words_for_false_require_a_user_too)
{
    static const char *const no[] = {"False", "FALSE", "f", "F", "0"}, *const yes[] = {"True", "1"};
    char text[100];
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        snprintf(text, sizeof text, "default_database=d default_table=t enable_sigv4_auth=%s",
                 no[i]);
        check_refused(text, "the environment variable basic_auth_user is missing");
    }
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        snprintf(text, sizeof text,
                 "destination=kinesis stream=s region=us-east-1 "
                 "enable_sigv4_auth=%s",
                 yes[i]);
        check_config(text, "destinations:\n- name: kinesis\n  type: kinesis\n"
                           "  stream: \"s\"\n  region: \"us-east-1\"\n");
    }
    check_refused("default_database=d default_table=t enable_sigv4_auth=no",
                  "enable_sigv4_auth must be true or false, not 'no'");
}

UNIT_TEST(test_missing_variable_is_named)
{
    check_refused("default_table=t", "the environment variable default_database is missing");
    check_refused("destination=kinesis", "variable stream is missing");
    check_refused("destination=firehose stream=s", "variable bucket is missing");
    check_refused("destination=s3", "must be timestream, firehose or kinesis");
}

UNIT_TEST(test_files_are_where_a_function_may_write)
{
    char none[] = "", own[] = "TMPDIR=/var/own", path[FUNCTION_PATH_BYTES], text[200];
    struct why why = {""};
    set(none);
    assert_int_equal(function_path(variable, "a", path, &why), OK);
    assert_string_equal(path, "/tmp/a");
    set(own);
    assert_int_equal(function_path(variable, "a", path, &why), OK);
    assert_string_equal(path, "/var/own/a");
    snprintf(text, sizeof text, "TMPDIR=%0106d", 0);
    set(text);
    assert_int_equal(function_path(variable, "a", path, &why), ERR_INPUT);
}

UNIT_TEST(test_memory_and_concurrency_are_lambdas)
{
    uint64_t ms;
    bool streams;
    struct why why = {""};
    char large[] = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024 AWS_LAMBDA_MAX_CONCURRENCY=8 "
                   "response_stream=true api_gateway_timeout_in_millis=10000",
         odd[] = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=x AWS_LAMBDA_MAX_CONCURRENCY=1000", none[] = "";
    set(large);
    assert_int_equal(function_memory_bytes(variable), 512 << 20);
    assert_int_equal(function_concurrency(variable), 8);
    assert_int_equal(function_streams(variable, &streams, &why), OK);
    assert_true(streams);
    assert_int_equal(function_gateway_ms(variable, &ms, &why), OK);
    assert_int_equal(ms, 10000);
    set(odd);
    assert_int_equal(function_memory_bytes(variable), 64 << 20);
    assert_int_equal(function_concurrency(variable), 64);
    set(none);
    assert_int_equal(function_concurrency(variable), 1);
    assert_int_equal(function_streams(variable, &streams, &why), OK);
    assert_false(streams);
    assert_int_equal(function_gateway_ms(variable, &ms, &why), OK);
    assert_int_equal(ms, 0);
}

UNIT_TEST(test_words_and_times_that_are_not_understood_are_named)
{
    char wrong[] = "response_stream=yes api_gateway_timeout_in_millis=30s",
         zero[] = "api_gateway_timeout_in_millis=0";
    uint64_t ms;
    bool streams;
    struct why why = {""};
    set(wrong);
    assert_int_equal(function_streams(variable, &streams, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "response_stream must be true or false, not 'yes'"));
    assert_int_equal(function_gateway_ms(variable, &ms, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "must be a number of milliseconds, not '30s'"));
    set(zero);
    assert_int_equal(function_gateway_ms(variable, &ms, &why), ERR_INPUT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment_of_the_old_connector_means_timestream),
        cmocka_unit_test(test_streams_are_destinations_and_the_archive_is_a_source),
        cmocka_unit_test(test_without_iam_a_user_is_required),
        cmocka_unit_test(test_other_words_for_false_require_a_user_too),
        cmocka_unit_test(test_missing_variable_is_named),
        cmocka_unit_test(test_files_are_where_a_function_may_write),
        cmocka_unit_test(test_memory_and_concurrency_are_lambdas),
        cmocka_unit_test(test_words_and_times_that_are_not_understood_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
