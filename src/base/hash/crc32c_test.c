/* crc32c_test.c - CRC-32C, with and without the processor's instructions. */
#include "lib/test.h"

#include "base/hash/crc32c.h"

typedef uint32_t crc_function(uint32_t crc, struct bytes b);

/* "123456789" is the check value in every CRC catalogue; the others are from RFC 3720, B.4. */
static void
check_vectors(crc_function *crc)
{
    uint8_t zeros[32] = {0};
    uint8_t ones[32];
    uint8_t up[32];
    uint8_t down[32];
    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(crc(0, bytes_of(NULL, 0)), 0);
    assert_int_equal(crc(0, bytes_of_text("123456789")), 0xe3069283u);
    assert_int_equal(crc(0, bytes_of(zeros, 32)), 0x8a9136aau);
    assert_int_equal(crc(0, bytes_of(ones, 32)), 0x62a8ab43u);
    assert_int_equal(crc(0, bytes_of(up, 32)), 0x46dd794eu);
    assert_int_equal(crc(0, bytes_of(down, 32)), 0x113fdb5cu);
}

UNIT_TEST(test_crc32c_gives_the_published_values)
{
    check_vectors(crc32c);
    check_vectors(crc32c_portable);
}

UNIT_TEST(test_pieces_of_any_size_and_both_ways_give_one_sum)
{
    uint8_t data[300];
    uint64_t x = 12345;
    for (unsigned i = 0; i < sizeof data; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        data[i] = (uint8_t)(x >> 56);
    }
    for (size_t size = 0; size <= sizeof data; size++) {
        uint32_t whole = crc32c(0, bytes_of(data, size));
        assert_int_equal(whole, crc32c_portable(0, bytes_of(data, size)));
        size_t cut = size * 7 / 11;
        uint32_t first = crc32c(0, bytes_of(data, cut));
        assert_int_equal(whole, crc32c(first, bytes_of(data + cut, size - cut)));
        assert_int_equal(whole, crc32c_portable(first, bytes_of(data + cut, size - cut)));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_gives_the_published_values),
        cmocka_unit_test(test_pieces_of_any_size_and_both_ways_give_one_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
