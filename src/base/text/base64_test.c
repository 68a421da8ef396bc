/* base64_test.c - the examples of RFC 4648, all lengths in both directions, and refusals of a
 * strict decoder. */
#include "lib/test.h"

#include "base/text/base64.h"

UNIT_TEST(test_the_examples_of_the_specification)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xef\xbe", "/+++"}};
    struct buf text, back;
    buf_init(&text, NULL, 100);
    buf_init(&back, NULL, 100);
    for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        buf_clear(&text);
        buf_clear(&back);
        base64_put(&text, bytes_of_text(pairs[i][0]));
        assert_true(bytes_equal_text(buf_bytes(&text), pairs[i][1]));
        assert_int_equal(base64_get(buf_bytes(&text), &back), OK);
        assert_true(bytes_equal_text(buf_bytes(&back), pairs[i][0]));
    }
    buf_fini(&text);
    buf_fini(&back);
}

UNIT_TEST(test_every_byte_at_every_place_comes_back)
{
    struct buf text, back;
    buf_init(&text, NULL, 1000);
    buf_init(&back, NULL, 1000);
    for (unsigned size = 1; size < 300; size++) {
        uint8_t from[300];
        for (unsigned i = 0; i < size; i++)
            from[i] = (uint8_t)(i * 167 + size * 13);
        buf_clear(&text);
        buf_clear(&back);
        buf_put_u8(&text, '>');
        buf_put_u8(&back, '>');
        base64_put(&text, bytes_of(from, size));
        assert_int_equal(text.size, 1 + base64_size(size));
        assert_int_equal(base64_get(bytes_of(text.at + 1, text.size - 1), &back), OK);
        assert_int_equal(back.size, 1 + size);
        assert_memory_equal(back.at + 1, from, size);
    }
    buf_fini(&text);
    buf_fini(&back);
}

UNIT_TEST(test_this_machine_writes_what_every_machine_does)
{
    enum { BYTES = 5000 };
    static uint8_t from[BYTES];
    uint64_t random = 1;
    struct buf here, anywhere;
    for (unsigned i = 0; i < BYTES; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        from[i] = (uint8_t)(random >> 56);
    }
    buf_init(&here, NULL, 2 * BYTES);
    buf_init(&anywhere, NULL, 2 * BYTES);
    for (unsigned size = 0; size <= BYTES; size += size < 200 ? 1 : 97) {
        buf_clear(&here);
        buf_clear(&anywhere);
        base64_put(&here, bytes_of(from + BYTES - size, size)); /* bytes after it are not read */
        for (unsigned at = 0; at < size; at += 24) {            /* too short for vectors */
            unsigned some = size - at < 24 ? size - at : 24;
            base64_put(&anywhere, bytes_of(from + BYTES - size + at, some));
        }
        assert_true(bytes_equal(buf_bytes(&here), buf_bytes(&anywhere)));
    }
    buf_fini(&here);
    buf_fini(&anywhere);
}

UNIT_TEST(test_invalid_base64_is_refused)
{
    static const char *const bad[] = {
        "Z",      "Zg",       "Zg=",  "Zh==",     "Zm9=",     "====",           "Z===", "Zg==Zg==",
        "Zm9v\n", "Zm9vYg =", "Zm-_", "Zm9vZ*9v", "Zm9v=m9v", "Zm9vZm\xc3\xa9", "=m9v"};
    struct buf back;
    buf_init(&back, NULL, 100);
    buf_put_u8(&back, 'x');
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (base64_get(bytes_of_text(bad[i]), &back) != ERR_INPUT) fail_msg("%s", bad[i]);
        assert_int_equal(back.size, 1);
    }
    buf_fini(&back);
}

UNIT_TEST(test_a_full_buffer_is_left_as_it_is)
{
    struct buf small;
    buf_init(&small, NULL, 7);
    base64_put(&small, bytes_of_text("foob"));
    assert_int_equal(buf_error(&small), ERR_LIMIT);
    assert_int_equal(small.size, 0);
    buf_clear(&small);
    assert_int_equal(base64_get(bytes_of_text("Zm9vYmFyZm9v"), &small), ERR_LIMIT);
    assert_int_equal(small.size, 0);
    buf_fini(&small);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_examples_of_the_specification),
        cmocka_unit_test(test_every_byte_at_every_place_comes_back),
        cmocka_unit_test(test_this_machine_writes_what_every_machine_does),
        cmocka_unit_test(test_invalid_base64_is_refused),
        cmocka_unit_test(test_a_full_buffer_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
