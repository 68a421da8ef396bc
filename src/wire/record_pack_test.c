/* record_pack_test.c - blocks of snappy that record_pack() writes. */
#include "lib/test.h"

#include <snappy-c.h>
#include <stdlib.h>

#include "lib/random.h"
#include "wire/snappy.h"

/* Packs `size` bytes of `raw`, which has slack after them, and lets libsnappy unpack the result. */
static size_t
check_pack(const uint8_t *raw, size_t size, size_t record_bytes)
{
    /* It has exactly the promised size, so that a sanitizer sees writes after it. */
    uint8_t *packed = malloc(VARINT_SIZE_MAX + size + RECORD_PACK_OVERHEAD);
    uint8_t *copy = malloc(size + RECORD_PACK_SLACK);
    char *unpacked = malloc(size + 1);
    assert_true(packed != NULL && copy != NULL && unpacked != NULL);
    memcpy(copy, raw, size);
    memset(copy + size, 0xee, RECORD_PACK_SLACK);
    size_t prefix = varint_put(packed, size);
    memmove(packed + VARINT_SIZE_MAX - prefix, packed, prefix);
    const uint8_t *begin = packed + VARINT_SIZE_MAX - prefix;
    size_t packed_size = record_pack(packed + VARINT_SIZE_MAX, bytes_of(copy, size), record_bytes);
    assert_true(packed_size <= size + 3);
    size_t unpacked_size = size;
    assert_int_equal(
        snappy_uncompress((const char *)begin, prefix + packed_size, unpacked, &unpacked_size),
        SNAPPY_OK);
    assert_int_equal(unpacked_size, size);
    assert_memory_equal(unpacked, raw, size);
    free(unpacked);
    free(copy);
    free(packed);
    return packed_size;
}

UNIT_TEST(test_any_records_of_any_size_come_back)
{
    uint8_t *raw = calloc(1, RECORD_PACK_BYTES_MAX);
    assert_non_null(raw);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r = {seed};
        static const size_t records[] = {1, 2, 7, 8, 9, 18, 18, 18, 100, 2047};
        size_t record = records[rng_below(&r, 10)];
        size_t size = rng_below(&r, 4000);
        uint64_t change = 1 + rng_below(&r, 60); /* a byte changes every so often */
        for (size_t i = 0; i < size; i++) {
            bool same = i >= record && rng_below(&r, change) > 0;
            raw[i] = same ? raw[i - record] : (uint8_t)rng_next(&r);
        }
        check_pack(raw, size, record);
    }
    free(raw);
}

UNIT_TEST(test_runs_and_noise_of_every_length_come_back)
{
    uint8_t raw[700] = {0};
    struct rng r = {9};
    for (size_t noise = 0; noise < 300; noise += 1 + noise / 20) {
        for (size_t run = 0; run < 300; run += 1 + run / 70) {
            for (size_t i = 0; i < sizeof raw; i++)
                raw[i] = i < 40 || i >= 40 + noise ? (uint8_t)(i % 18) : (uint8_t)rng_next(&r);
            check_pack(raw, 40 + noise + run, 18);
        }
    }
}

UNIT_TEST(test_whole_pieces_of_sameness_or_noise_come_back)
{
    uint8_t *raw = calloc(1, RECORD_PACK_BYTES_MAX);
    assert_non_null(raw);
    assert_true(check_pack(raw, RECORD_PACK_BYTES_MAX, 18) < RECORD_PACK_BYTES_MAX / 20);
    struct rng r = {4};
    for (size_t i = 0; i < RECORD_PACK_BYTES_MAX; i++)
        raw[i] = (uint8_t)rng_next(&r);
    check_pack(raw, RECORD_PACK_BYTES_MAX, 18);
    free(raw);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_records_of_any_size_come_back),
        cmocka_unit_test(test_runs_and_noise_of_every_length_come_back),
        cmocka_unit_test(test_whole_pieces_of_sameness_or_noise_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
