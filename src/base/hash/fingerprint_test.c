/* fingerprint_test.c - fingerprints of texts depend on every bit, the order, and the key. */
#include "lib/test.h"

#include "base/hash/hash.h"

static struct fingerprint_key key;

static void
fill(struct fingerprint_key *to, uint64_t seed)
{
    for (unsigned i = 0; i < sizeof to->words / sizeof *to->words; i++)
        to->words[i] = seed = hash_mix(seed, i);
}

static int
make_key(void **state)
{
    (void)state;
    fill(&key, 7);
    return 0;
}

static struct fingerprint
of(const uint8_t *at, size_t size)
{
    return fingerprint_of(&key, bytes_of(at, size));
}

UNIT_TEST(test_equal_texts_have_equal_fingerprints_wherever_they_lie)
{
    uint8_t room[600];
    for (unsigned i = 0; i < sizeof room; i++)
        room[i] = (uint8_t)(i % 16 * 17);
    for (size_t size = 0; size < 512; size++) {
        struct fingerprint f = of(room, size);
        assert_false(fingerprint_is_none(f));
        for (unsigned at = 16; at < 80; at += 16)
            assert_true(fingerprint_equal(f, of(room + at, size)));
    }
}

UNIT_TEST(test_every_bit_counts)
{
    uint8_t text[80] = {0};
    for (size_t size = 1; size <= sizeof text; size++) {
        struct fingerprint f = of(text, size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            text[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(fingerprint_equal(f, of(text, size)));
            text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

UNIT_TEST(test_a_text_and_its_beginning_differ)
{
    static const uint8_t zeros[400];
    struct fingerprint all[401];
    for (size_t size = 0; size <= sizeof zeros; size++) {
        all[size] = of(zeros, size);
        for (size_t i = 0; i < size; i++)
            assert_false(fingerprint_equal(all[i], all[size]));
    }
}

UNIT_TEST(test_parts_that_change_places_differ)
{
    const char *const texts[] = {
        "aaaaaaaabbbbbbbbccccccccdddddddd", "bbbbbbbbaaaaaaaaccccccccdddddddd",
        "ccccccccddddddddaaaaaaaabbbbbbbb", "aaaaaaaaccccccccbbbbbbbbdddddddd"};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_false(fingerprint_equal(fingerprint_of(&key, bytes_of_text(texts[i])),
                                           fingerprint_of(&key, bytes_of_text(texts[k]))));
        }
    }
}

UNIT_TEST(test_another_key_gives_other_fingerprints)
{
    struct fingerprint_key other;
    struct bytes text = bytes_of_text("a text of some length");
    fill(&other, 8);
    assert_false(fingerprint_equal(fingerprint_of(&key, text), fingerprint_of(&other, text)));
    fill(&other, 7);
    assert_true(fingerprint_equal(fingerprint_of(&key, text), fingerprint_of(&other, text)));
}

UNIT_TEST(test_a_text_that_is_too_long_has_none_and_none_equals_nothing)
{
    static uint8_t text[FINGERPRINT_BYTES_MAX + 1];
    assert_false(fingerprint_is_none(of(text, FINGERPRINT_BYTES_MAX)));
    struct fingerprint none = of(text, FINGERPRINT_BYTES_MAX + 1);
    assert_true(fingerprint_is_none(none));
    assert_false(fingerprint_equal(none, none));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_texts_have_equal_fingerprints_wherever_they_lie),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_a_text_and_its_beginning_differ),
        cmocka_unit_test(test_parts_that_change_places_differ),
        cmocka_unit_test(test_another_key_gives_other_fingerprints),
        cmocka_unit_test(test_a_text_that_is_too_long_has_none_and_none_equals_nothing),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
