/* snappy_test.c - snappy blocks: round trips, limits, damage. */
#include "lib/test.h"

#include "wire/snappy.h"

UNIT_TEST(test_blocks_come_back_as_they_went)
{
    struct buf raw, packed, back;
    buf_init(&raw, NULL, 1 << 20);
    buf_init(&packed, NULL, 2 << 20);
    buf_init(&back, NULL, 1 << 20);
    uint64_t random = 1;
    for (size_t size = 0; size < 200000; size = size * 3 + 1) {
        buf_clear(&raw);
        buf_clear(&packed);
        while (raw.size < size) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            buf_put_u8(&raw, (uint8_t)(random >> 60)); /* compressible */
        }
        assert_int_equal(snappy_pack(buf_bytes(&raw), &packed), OK);
        size_t announced;
        assert_int_equal(snappy_size(buf_bytes(&packed), size, &announced), OK);
        assert_int_equal(announced, size);
        assert_int_equal(snappy_unpack(buf_bytes(&packed), &back, NULL), OK);
        assert_true(bytes_equal(buf_bytes(&raw), buf_bytes(&back)));
    }
    buf_fini(&raw);
    buf_fini(&packed);
    buf_fini(&back);
}

UNIT_TEST(test_pack_appends)
{
    struct buf packed, back;
    buf_init(&packed, NULL, 4096);
    buf_init(&back, NULL, 4096);
    buf_put_u8(&packed, 'x');
    assert_int_equal(snappy_pack(bytes_of_text("hello"), &packed), OK);
    assert_int_equal(packed.at[0], 'x');
    assert_int_equal(snappy_unpack(bytes_of(packed.at + 1, packed.size - 1), &back, NULL), OK);
    assert_true(bytes_equal_text(buf_bytes(&back), "hello"));
    buf_fini(&packed);
    buf_fini(&back);
}

UNIT_TEST(test_length_is_judged_before_memory_is_taken)
{
    static const struct {
        const char *block;
        size_t size;
        enum err expected;
    } cases[] = {
        {"", 0, ERR_INPUT},
        {"\x80", 1, ERR_INPUT},                     /* truncated prefix */
        {"\xff\xff\xff\xff\xff\xff", 6, ERR_INPUT}, /* endless prefix */
        {"\xff\xff\xff\xff\x0f....", 9, ERR_INPUT}, /* 4 GiB from nine bytes */
        {"\xe8\x07....", 6, ERR_INPUT},             /* 1000 bytes from six */
        {"\x70....", 5, ERR_LIMIT},                 /* 112 from five is possible, but over 100 */
    };
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct buf to;
    buf_init(&to, &budget, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes block = bytes_of(cases[i].block, cases[i].size);
        struct why why = {0};
        size_t size;
        assert_int_equal(snappy_size(block, 100, &size), cases[i].expected);
        assert_int_equal(snappy_unpack(block, &to, &why), cases[i].expected);
        assert_int_not_equal(why.text[0], 0);
        assert_int_equal(budget_used(&budget), 0);
    }
    buf_fini(&to);
}

UNIT_TEST(test_every_damaged_block_is_an_error_or_has_the_announced_size)
{
    struct buf packed, back;
    buf_init(&packed, NULL, 4096);
    buf_init(&back, NULL, 4096);
    assert_int_equal(
        snappy_pack(bytes_of_text("abcabcabcabcabcabcabcabcabcabc, and some more"), &packed), OK);
    for (size_t size = 0; size < packed.size; size++) {
        assert_int_equal(snappy_unpack(bytes_of(packed.at, size), &back, NULL), ERR_INPUT);
        assert_int_equal(back.size, 0);
    }
    for (size_t bit = 0; bit < packed.size * 8; bit++) {
        packed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
        size_t announced;
        if (snappy_unpack(buf_bytes(&packed), &back, NULL) == OK) {
            assert_int_equal(snappy_size(buf_bytes(&packed), 4096, &announced), OK);
            assert_int_equal(back.size, announced);
        } else {
            assert_int_equal(back.size, 0);
        }
        packed.at[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buf_fini(&packed);
    buf_fini(&back);
}

UNIT_TEST(test_refused_memory_is_an_error_and_leaves_nothing)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    struct buf packed, back;
    buf_init(&packed, &budget, 4096);
    buf_init(&back, &budget, 4096);
    mem_fail_nth(1, false);
    assert_int_equal(snappy_pack(bytes_of_text("hello"), &packed), ERR_NOMEM);
    mem_fail_nth(0, false);
    buf_clear(&packed);
    assert_int_equal(snappy_pack(bytes_of_text("hello"), &packed), OK);
    mem_fail_nth(1, false);
    assert_int_equal(snappy_unpack(buf_bytes(&packed), &back, NULL), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_int_equal(snappy_unpack(buf_bytes(&packed), &back, NULL), OK);
    buf_fini(&packed);
    buf_fini(&back);
    assert_int_equal(budget_used(&budget), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_come_back_as_they_went),
        cmocka_unit_test(test_pack_appends),
        cmocka_unit_test(test_length_is_judged_before_memory_is_taken),
        cmocka_unit_test(test_every_damaged_block_is_an_error_or_has_the_announced_size),
        cmocka_unit_test(test_refused_memory_is_an_error_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
