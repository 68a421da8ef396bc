/* answer_test.c - answers in the form that gateways read, and their limit. */
#include "lib/test.h"

#include <stdlib.h>

#include "app/lambda/lambda.h"

static void
check_answer(unsigned status, const struct answer_header *headers, struct bytes body,
             const char *expected)
{
    struct gateway_answer answer = {status, headers, body};
    struct buf to;
    buf_init(&to, NULL, ANSWER_BYTES_MAX);
    assert_int_equal(answer_put(&answer, &to), OK);
    assert_true(bytes_equal_text(buf_bytes(&to), expected));
    buf_fini(&to);
}

UNIT_TEST(test_text_is_passed_as_it_is_and_other_bodies_as_base64)
{
    static const struct answer_header text[] = {{"Content-Type", "application/json"}, {NULL, NULL}};
    static const struct answer_header zipped[] = {
        {"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}, {NULL, NULL}};
    static const struct answer_header binary[] = {
        {"Content-Type", "application/x-protobuf"}, {"Content-Encoding", ""}, {NULL, NULL}};
    check_answer(200, text, bytes_of_text("{\"a\":\"\xc3\xa4\"}"),
                 "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\"},"
                 "\"isBase64Encoded\":false,\"body\":\"{\\\"a\\\":\\\"\xc3\xa4\\\"}\"}");
    check_answer(200, text, bytes_of("\xff", 1),
                 "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\"},"
                 "\"isBase64Encoded\":true,\"body\":\"/w==\"}");
    check_answer(200, zipped, bytes_of_text("a"),
                 "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"application/json\","
                 "\"Content-Encoding\":\"gzip\"},\"isBase64Encoded\":true,\"body\":\"YQ==\"}");
    check_answer(204, binary, bytes_of(NULL, 0),
                 "{\"statusCode\":204,\"headers\":{\"Content-Type\":\"application/x-protobuf\"},"
                 "\"isBase64Encoded\":true,\"body\":\"\"}");
}

UNIT_TEST(test_refusal_to_come_back_has_a_time)
{
    struct gateway_answer later = answer_of_text(503, "later"), never = answer_of_text(400, "no");
    assert_string_equal(later.headers[1].name, "Retry-After");
    assert_null(never.headers[1].name);
}

static enum err
put_sized(const char *type, size_t size, uint8_t byte, size_t *ret_size)
{
    const struct answer_header headers[] = {{"Content-Type", type}, {NULL, NULL}};
    uint8_t *body = malloc(size);
    struct buf to;
    assert_non_null(body);
    memset(body, byte, size);
    struct gateway_answer answer = {200, headers, bytes_of(body, size)};
    buf_init(&to, NULL, 4 * ANSWER_BYTES_MAX);
    enum err e = answer_put(&answer, &to);
    *ret_size = to.size;
    assert_int_equal(buf_error(&to), OK);
    buf_fini(&to);
    free(body);
    return e;
}

UNIT_TEST(test_answer_above_the_limit_is_not_made)
{
    enum { BINARY = ANSWER_BYTES_MAX / 4 * 3 - 300 };
    size_t size;
    assert_int_equal(put_sized("application/x-protobuf", BINARY, 'a', &size), OK);
    assert_true(size <= ANSWER_BYTES_MAX);
    assert_int_equal(put_sized("application/x-protobuf", BINARY + 300, 'a', &size), ERR_LIMIT);
    assert_int_equal(size, 0);
    assert_int_equal(put_sized("text/plain", ANSWER_BYTES_MAX - 300, 'a', &size), OK);
    assert_int_equal(put_sized("text/plain", ANSWER_BYTES_MAX / 2, '"', &size), ERR_LIMIT);
    assert_int_equal(size, 0);
    assert_int_equal(put_sized("text/plain", ANSWER_BYTES_MAX + 1, 'a', &size), ERR_LIMIT);
}

UNIT_TEST(test_prelude_of_a_stream_ends_with_eight_nuls)
{
    static const char expected[] =
        "{\"statusCode\":200,\"headers\":{\"Content-Type\":\"text/plain\"}}\0\0\0\0\0\0\0";
    static const struct answer_header headers[] = {{"Content-Type", "text/plain"}, {NULL, NULL}};
    struct gateway_answer answer = {200, headers, bytes_of(NULL, 0)};
    struct buf to;
    buf_init(&to, NULL, 1000);
    answer_put_prelude(&answer, &to);
    assert_true(bytes_equal(buf_bytes(&to), bytes_of(expected, sizeof expected)));
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_passed_as_it_is_and_other_bodies_as_base64),
        cmocka_unit_test(test_refusal_to_come_back_has_a_time),
        cmocka_unit_test(test_answer_above_the_limit_is_not_made),
        cmocka_unit_test(test_prelude_of_a_stream_ends_with_eight_nuls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
