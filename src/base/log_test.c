/* log_test.c - log lines in logfmt and JSON: quoting, limits, levels. */
#include "lib/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text/utf8.h"

/* Lines go to a pipe while a test runs. */
static int pipe_ends[2];

static int
listen_to_log(void **state)
{
    (void)state;
    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    log_to_fd(pipe_ends[1]);
    log_configure(LOG_INFO, LOG_LOGFMT);
    return 0;
}

static int
stop_listening(void **state)
{
    (void)state;
    log_to_fd(2);
    log_configure(LOG_INFO, LOG_LOGFMT);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* Returns all lines since the last call, in a buffer of this function. */
static const char *
logged(void)
{
    static char text[60000];
    ssize_t got = read(pipe_ends[0], text, sizeof text - 1);
    text[got < 0 ? 0 : got] = '\0';
    return text;
}

/* Returns the text after the time stamp, whose form is checked. */
static const char *
logged_after_time(void)
{
    const char *line = logged();
    int year, month, day, hour, minute, second, ms, used = -1;
    sscanf(line, "ts=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute, &second,
           &ms, &used);
    if (used != 27) fail_msg("no time stamp: %s", line);
    return line + used;
}

UNIT_TEST(test_logfmt_quotes_only_what_needs_it)
{
    const char *nothing = NULL;
    log_info("plain words", KV("a", "simple"), KV("b", "two words"), KV("c", "k=v"),
             KV("d", "say \"x\\y\""), KV("e", ""), KV("f", nothing));
    assert_string_equal(logged_after_time(),
                        " level=info msg=\"plain words\" a=simple b=\"two words\" c=\"k=v\""
                        " d=\"say \\\"x\\\\y\\\"\" e=\"\" f=\"\"\n");
    log_warn("word");
    assert_string_equal(logged_after_time(), " level=warn msg=word\n");
}

UNIT_TEST(test_numbers_keep_their_sign_and_kind)
{
    log_error("n", KV("a", -5), KV("b", UINT64_MAX), KV("c", INT64_MIN), KV("d", 0.25),
              KV("e", true), KV("f", (uint16_t)7), KV("g", (double)INFINITY), KV("h", 1e300));
    assert_string_equal(logged_after_time(),
                        " level=error msg=n a=-5 b=18446744073709551615 c=-9223372036854775808"
                        " d=0.25 e=1 f=7 g=inf h=1e+300\n");
    struct why why = {"open /x: No such file"};
    log_info("n", KV("why", &why), KV("bytes", bytes_of("a\0b", 3)));
    assert_string_equal(logged_after_time(),
                        " level=info msg=n why=\"open /x: No such file\" bytes=\"a\\u0000b\"\n");
}

UNIT_TEST(test_nothing_from_outside_can_forge_a_line_or_a_field)
{
    log_info("m", KV("user", "x\nts=0 level=error msg=forged"));
    assert_string_equal(logged_after_time(),
                        " level=info msg=m user=\"x\\nts=0 level=error msg=forged\"\n");
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        log_configure(LOG_INFO, (enum log_format)format);
        log_info("m", KV("all", bytes_of(all, sizeof all)));
        const char *line = logged();
        size_t size = strlen(line);
        assert_true(size > 256);
        for (size_t i = 0; i + 1 < size; i++)
            assert_true(line[i] >= ' ' && line[i] < 0x7f); /* not valid in UTF-8 */
        assert_int_equal(line[size - 1], '\n');
    }
}

/* Checks the value that a reader of JSON gets. */
static void
check_json_value(struct bytes given, const char *wanted)
{
    log_configure(LOG_INFO, LOG_JSON);
    log_info("m", KV("v", given));
    json_t *line = json_loads(logged(), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "v")), wanted);
    json_decref(line);
    log_configure(LOG_INFO, LOG_LOGFMT);
}

UNIT_TEST(test_utf8_stays_as_it_is)
{
    static const char *const texts[] = {"gr\303\266\303\237e", "\xe6\x97\xa5\xe6\x9c\xac",
                                        "\xf0\x9f\x94\xa5"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        char wanted[64];
        log_info("m", KV("v", texts[i]));
        snprintf(wanted, sizeof wanted, " level=info msg=m v=%s\n", texts[i]);
        assert_string_equal(logged_after_time(), wanted);
        check_json_value(bytes_of_text(texts[i]), texts[i]);
    }
    log_info("m", KV("v", "gr\xc3\xb6\xc3\x9f"
                          "er als"));
    assert_string_equal(logged_after_time(), " level=info msg=m v=\"gr\xc3\xb6\xc3\x9f"
                                             "er als\"\n");
}

UNIT_TEST(test_bytes_that_are_not_utf8_are_replaced_one_by_one)
{
    static const struct {
        const char *given, *logfmt, *read;
    } cases[] = {
        {"a\xff"
         "b",
         "a\\ufffdb", "a" UTF8_REPLACEMENT "b"},
        {"\xc3", "\\ufffd", UTF8_REPLACEMENT}, /* cut off */
        {"\xc3\xa4\xa4", "\xc3\xa4\\ufffd", "\xc3\xa4" UTF8_REPLACEMENT},
        {"\xc0\x80", "\\ufffd\\ufffd", UTF8_REPLACEMENT UTF8_REPLACEMENT}, /* overlong NUL */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd",
         UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT}, /* a surrogate */
        {"\xc2\x9b"
         "31m",
         "\\u009b31m",
         "\xc2\x9b"
         "31m"}, /* a terminal would obey it */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[64];
        log_info("m", KV("v", cases[i].given));
        snprintf(wanted, sizeof wanted, " level=info msg=m v=\"%s\"\n", cases[i].logfmt);
        assert_string_equal(logged_after_time(), wanted);
        check_json_value(bytes_of_text(cases[i].given), cases[i].read);
    }
}

UNIT_TEST(test_a_long_value_is_not_cut_within_a_character)
{
    for (size_t before = 0; before < 4; before++) {
        char value[LOG_VALUE_BYTES_MAX + 8] = "", wanted[LOG_VALUE_BYTES_MAX + 8];
        memset(value, 'x', LOG_VALUE_BYTES_MAX - before);
        strcat(value, "\xf0\x9f\x94\xa5");
        snprintf(wanted, sizeof wanted, "%.*s%s", (int)(LOG_VALUE_BYTES_MAX - before), value,
                 "...");
        check_json_value(bytes_of_text(value), wanted);
    }
}

UNIT_TEST(test_json_lines_are_json_whatever_is_in_them)
{
    log_configure(LOG_INFO, LOG_JSON);
    log_info("a \"message\"", KV("text", "tab\there"), KV("raw", bytes_of("\xff\x00", 2)),
             KV("n", -3), KV("nan", (double)NAN), KV("empty", ""));
    json_error_t error;
    json_t *line = json_loads(logged(), JSON_ALLOW_NUL, &error);
    if (line == NULL) fail_msg("%s", error.text);
    assert_int_equal(json_object_size(line), 8);
    assert_int_equal(json_string_length(json_object_get(line, "ts")), 24);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
    assert_string_equal(json_string_value(json_object_get(line, "msg")), "a \"message\"");
    assert_string_equal(json_string_value(json_object_get(line, "text")), "tab\there");
    const json_t *raw = json_object_get(line, "raw");
    assert_int_equal(json_string_length(raw), 4); /* U+FFFD, then NUL */
    assert_memory_equal(json_string_value(raw), "\xef\xbf\xbd\x00", 4);
    assert_int_equal(json_integer_value(json_object_get(line, "n")), -3);
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_string_equal(json_string_value(json_object_get(line, "empty")), "");
    json_decref(line);
}

UNIT_TEST(test_long_values_and_lines_are_cut_and_stay_well_formed)
{
    char text[LOG_VALUE_BYTES_MAX + 100], worst[LOG_VALUE_BYTES_MAX];
    memset(text, 'x', sizeof text);
    memset(worst, 0xff, sizeof worst); /* six bytes each when escaped */
    struct bytes bad = bytes_of(worst, sizeof worst);
    log_info("m", KV("long", bytes_of(text, sizeof text)), KV("after", 1));
    const char *line = logged_after_time();
    assert_int_equal(strspn(strstr(line, "long=") + 5, "x"), LOG_VALUE_BYTES_MAX);
    assert_non_null(strstr(line, "x... after=1\n"));

    size_t longest = 0;
    log_configure(LOG_INFO, LOG_JSON);
    for (size_t size = 0; size <= LOG_VALUE_BYTES_MAX; size++) {
        log_info("m", KV("a", bytes_of(text, size)), KV("b", bad), KV("c", bad), KV("d", bad),
                 KV("last", "short"));
        const char *json = logged();
        assert_true(strlen(json) <= LOG_LINE_BYTES_MAX);
        json_t *object = json_loads(json, 0, NULL);
        assert_non_null(object);
        /* A field that does not fit is left out whole; a later one that fits is included. */
        assert_int_equal(json_string_length(json_object_get(object, "a")), size);
        assert_int_equal(json_string_length(json_object_get(object, "b")), 3 * LOG_VALUE_BYTES_MAX);
        assert_null(json_object_get(object, "c"));
        assert_null(json_object_get(object, "d"));
        assert_string_equal(json_string_value(json_object_get(object, "last")), "short");
        json_decref(object);

        log_info("m", KV("a", bytes_of(text, size)), KV("b", bad),
                 KV("c", bytes_of(text, LOG_VALUE_BYTES_MAX - 24)), KV("last", "short"));
        json = logged();
        assert_true(strlen(json) <= LOG_LINE_BYTES_MAX);
        longest = strlen(json) > longest ? strlen(json) : longest;
        object = json_loads(json, 0, NULL);
        assert_non_null(object);
        json_decref(object);
    }
    assert_true(longest > LOG_LINE_BYTES_MAX - 24); /* the limit itself was reached */
}

UNIT_TEST(test_levels_below_the_configured_one_cost_nothing_and_count_nothing)
{
    log_configure(LOG_WARN, LOG_LOGFMT);
    uint64_t infos = log_count(LOG_INFO), warns = log_count(LOG_WARN);
    int evaluated = 0;
    log_info("m", KV("n", ++evaluated));
    assert_int_equal(evaluated, 0);
    assert_string_equal(logged(), "");
    log_warn("m", KV("n", ++evaluated));
    assert_int_equal(evaluated, 1);
    assert_non_null(strstr(logged(), "level=warn"));
    assert_int_equal(log_count(LOG_INFO), infos);
    assert_int_equal(log_count(LOG_WARN), warns + 1);
    log_to_fd(-1);
    log_error("muted");
    assert_string_equal(logged(), "");
}

UNIT_TEST(test_gate_opens_once_per_interval_and_counts_what_it_held_back)
{
    struct log_gate gate = {0};
    uint64_t held_back = 99;
    assert_true(log_often(&gate, 1000, 500, &held_back));
    assert_int_equal(held_back, 0);
    assert_false(log_often(&gate, 1000, 500, &held_back));
    assert_false(log_often(&gate, 1499, 500, &held_back));
    assert_true(log_often(&gate, 1500, 500, &held_back));
    assert_int_equal(held_back, 2);
    assert_true(log_often(&gate, 9000, 500, &held_back));
    assert_int_equal(held_back, 0);
}

struct gate_users {
    struct log_gate gate;
    _Atomic uint64_t opened;
    _Atomic uint64_t held_back;
};

static void *
use_gate(void *argument)
{
    struct gate_users *users = argument;
    for (int64_t now = 1; now <= 10000; now++) {
        uint64_t held_back;
        if (!log_often(&users->gate, now, 100, &held_back)) continue;
        users->opened++;
        users->held_back += held_back;
    }
    return NULL;
}

UNIT_TEST(test_gate_loses_no_count_between_threads)
{
    struct gate_users users = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_gate, &users), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    uint64_t held_back;
    assert_true(log_often(&users.gate, 1 << 20, 100, &held_back));
    assert_int_equal(users.opened + users.held_back + held_back, 4 * 10000);
    assert_true(users.opened >= 100);
}

#define heard(test) cmocka_unit_test_setup_teardown(test, listen_to_log, stop_listening)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        heard(test_logfmt_quotes_only_what_needs_it),
        heard(test_numbers_keep_their_sign_and_kind),
        heard(test_nothing_from_outside_can_forge_a_line_or_a_field),
        heard(test_utf8_stays_as_it_is),
        heard(test_bytes_that_are_not_utf8_are_replaced_one_by_one),
        heard(test_a_long_value_is_not_cut_within_a_character),
        heard(test_json_lines_are_json_whatever_is_in_them),
        heard(test_long_values_and_lines_are_cut_and_stay_well_formed),
        heard(test_levels_below_the_configured_one_cost_nothing_and_count_nothing),
        cmocka_unit_test(test_gate_opens_once_per_interval_and_counts_what_it_held_back),
        cmocka_unit_test(test_gate_loses_no_count_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
