/* json_test.c - the JSON writer: separators, numbers, escaped strings. */
#include "lib/test.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text/json.h"
#include "base/text/utf8.h"

static void
check_text(struct buf *buf, const char *expected)
{
    assert_int_equal(buf_error(buf), OK);
    assert_int_equal(buf->size, strlen(expected));
    assert_memory_equal(buf->at, expected, buf->size);
}

UNIT_TEST(test_commas_and_colons_are_put_by_the_writer)
{
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    struct json json;
    json_init(&json, &buf);
    json_object_open(&json);
    json_key(&json, "a");
    json_array_open(&json);
    json_put_int(&json, -1);
    json_array_open(&json);
    json_array_close(&json);
    json_object_open(&json);
    json_object_close(&json);
    json_array_close(&json);
    json_key(&json, "b");
    json_object_open(&json);
    json_key(&json, "c");
    json_put_null(&json);
    json_object_close(&json);
    json_key_bytes(&json, bytes_of_text("d\""));
    json_put_bool(&json, true);
    json_key(&json, "e");
    json_put_raw(&json, bytes_of_text("1.5e3"));
    assert_false(json.done);
    json_object_close(&json);
    assert_true(json.done);
    check_text(&buf, "{\"a\":[-1,[],{}],\"b\":{\"c\":null},\"d\\\"\":true,\"e\":1.5e3}");
    buf_fini(&buf);
}

UNIT_TEST(test_integers_print_to_their_ends)
{
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    struct json json;
    json_init(&json, &buf);
    json_array_open(&json);
    json_put_int(&json, 0);
    json_put_int(&json, INT64_MIN);
    json_put_int(&json, INT64_MAX);
    json_put_uint(&json, UINT64_MAX);
    json_array_close(&json);
    check_text(&buf, "[0,-9223372036854775808,9223372036854775807,18446744073709551615]");
    buf_fini(&buf);
}

static void
check_string(struct bytes text, const char *expected)
{
    struct buf buf;
    buf_init(&buf, NULL, 65536);
    json_print_string(&buf, text);
    check_text(&buf, expected);
    buf_fini(&buf);
}

UNIT_TEST(test_strings_are_escaped)
{
    check_string(bytes_of_text(""), "\"\"");
    check_string((struct bytes){NULL, 0}, "\"\"");
    check_string(bytes_of_text("a\"b\\c\n\r\t\x01\x1f/"),
                 "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f/\"");
    check_string(bytes_of("\0x", 2), "\"\\u0000x\"");
    check_string(bytes_of_text("0123456789\x7f"), "\"0123456789\x7f\"");
    check_string(bytes_of_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\xa5"),
                 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\xa5\"");
}

UNIT_TEST(test_bytes_that_are_not_utf8_become_replacement_characters)
{
    check_string(bytes_of_text("a\xff"), "\"a" UTF8_REPLACEMENT "\"");
    check_string(bytes_of_text("\xc3"), "\"" UTF8_REPLACEMENT "\"");
    check_string(bytes_of_text("\xc0\x80"), "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT "\"");
    check_string(bytes_of_text("\xe2\x82z"), "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT "z\"");
}

UNIT_TEST(test_an_inexact_string_is_reported)
{
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    assert_true(json_print_string(&buf, bytes_of_text("plain, and \"\n\xc3\xbc")));
    assert_false(json_print_string(&buf, bytes_of_text("plain, and then \xff")));
    assert_false(json_print_string(&buf, bytes_of_text("\xc3")));
    buf_fini(&buf);
}

UNIT_TEST(test_bytes_that_are_not_utf8_can_be_kept)
{
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    json_print_bytes(&buf, bytes_of_text("a\xff\n\xc3\xbc\xe2\x82z\xc3"));
    buf_put_u8(&buf, 0);
    assert_string_equal((const char *)buf.at, "\"a\xff\\n\xc3\xbc\xe2\x82z\xc3\"");
    buf_fini(&buf);
}

/* Checks that another JSON reader returns a text of `size` bytes with one special byte. */
static void
check_special(unsigned special, size_t place, size_t size)
{
    uint8_t text[24];
    struct buf buf;
    memset(text, 'x', sizeof text);
    text[place] = (uint8_t)special;
    buf_init(&buf, NULL, 4096);
    json_print_string(&buf, bytes_of(text, size));
    json_t *read = json_loadb((const char *)buf.at, buf.size, JSON_DECODE_ANY, NULL);
    assert_non_null(read);
    const char *back = json_string_value(read);
    if (special < 0x80) {
        assert_int_equal(json_string_length(read), size);
        assert_memory_equal(back, text, size);
    } else {
        assert_int_equal(json_string_length(read), size + 2);
        assert_memory_equal(back + place, UTF8_REPLACEMENT, 3);
    }
    json_decref(read);
    buf_fini(&buf);
}

/* Steps of eight or four bytes must not skip a special byte. */
UNIT_TEST(test_special_bytes_are_found_at_any_place)
{
    for (unsigned special = 1; special < 256; special++) {
        for (size_t size = 1; size <= 24; size++)
            for (size_t place = 0; place < size; place++)
                check_special(special, place, size);
    }
}

UNIT_TEST(test_deepest_nesting_is_written)
{
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    struct json json;
    json_init(&json, &buf);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_open(&json);
    for (unsigned i = 0; i < JSON_DEPTH_MAX; i++)
        json_array_close(&json);
    assert_true(json.done);
    assert_int_equal(buf.size, 2 * JSON_DEPTH_MAX);
    buf_fini(&buf);
}

UNIT_TEST(test_full_buffer_shows_as_error_and_nothing_else)
{
    struct buf buf;
    buf_init(&buf, NULL, 8);
    struct json json;
    json_init(&json, &buf);
    json_array_open(&json);
    json_put_text(&json, "much too long for it");
    json_put_uint(&json, 1);
    json_array_close(&json);
    assert_true(json.done);
    assert_int_equal(buf_error(&buf), ERR_LIMIT);
    buf_fini(&buf);
}

static void
misuse_value_without_key(struct json *json)
{
    json_object_open(json);
    json_put_int(json, 1);
}

static void
misuse_key_in_array(struct json *json)
{
    json_array_open(json);
    json_key(json, "a");
}

static void
misuse_two_keys(struct json *json)
{
    json_object_open(json);
    json_key(json, "a");
    json_key(json, "b");
}

static void
misuse_key_at_top(struct json *json)
{
    json_key(json, "a");
}

static void
misuse_wrong_close(struct json *json)
{
    json_object_open(json);
    json_array_close(json);
}

static void
misuse_close_of_nothing(struct json *json)
{
    json_array_close(json);
}

static void
misuse_close_after_key(struct json *json)
{
    json_object_open(json);
    json_key(json, "a");
    json_object_close(json);
}

static void
misuse_second_document(struct json *json)
{
    json_put_null(json);
    json_put_null(json);
}

static void
misuse_too_deep(struct json *json)
{
    for (unsigned i = 0; i <= JSON_DEPTH_MAX; i++)
        json_array_open(json);
}

UNIT_TEST(test_misuse_is_stopped_by_an_assertion)
{
    static void (*const misuses[])(struct json *) = {
        misuse_value_without_key, misuse_key_in_array,    misuse_two_keys,
        misuse_key_at_top,        misuse_wrong_close,     misuse_close_of_nothing,
        misuse_close_after_key,   misuse_second_document, misuse_too_deep,
    };
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            close(2);
            struct buf buf;
            buf_init(&buf, NULL, 4096);
            struct json json;
            json_init(&json, &buf);
            misuses[i](&json);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commas_and_colons_are_put_by_the_writer),
        cmocka_unit_test(test_integers_print_to_their_ends),
        cmocka_unit_test(test_strings_are_escaped),
        cmocka_unit_test(test_bytes_that_are_not_utf8_become_replacement_characters),
        cmocka_unit_test(test_an_inexact_string_is_reported),
        cmocka_unit_test(test_bytes_that_are_not_utf8_can_be_kept),
        cmocka_unit_test(test_special_bytes_are_found_at_any_place),
        cmocka_unit_test(test_deepest_nesting_is_written),
        cmocka_unit_test(test_full_buffer_shows_as_error_and_nothing_else),
        cmocka_unit_test(test_misuse_is_stopped_by_an_assertion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
