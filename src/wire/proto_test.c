/* proto_test.c - reading fields of protobuf. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/wire/proto_text.h"
#include "wire/proto.h"

/* One message at a time, in memory of exactly its size, so that a sanitizer sees reads
 * after its end. */
static struct buf text;
static uint8_t *message;

static struct cursor
cursor_on(const char *from)
{
    buf_clear(&text);
    proto_text(&text, from);
    free(message);
    message = malloc(text.size == 0 ? 1 : text.size);
    assert_non_null(message);
    if (text.size > 0) memcpy(message, text.at, text.size);
    return cursor_of(bytes_of(message, text.size));
}

UNIT_TEST(test_tags_give_field_and_wire_type)
{
    struct cursor c = cursor_on("08 92 01 fd ff ff ff 0f");
    assert_int_equal(proto_tag(&c), PROTO_TAG(1, PROTO_VARINT));
    assert_int_equal(proto_tag(&c), PROTO_TAG(18, PROTO_BYTES));
    assert_int_equal(proto_tag(&c), PROTO_TAG(0x1fffffff, PROTO_FIXED32));
    assert_int_equal(proto_tag(&c), 0);
    assert_false(c.bad);
}

UNIT_TEST(test_bad_tags_are_refused)
{
    static const char *const bad[] = {
        "00",                /* field number 0 */
        "02 00",             /* the same, as bytes */
        "80 00",             /* the same, in two bytes */
        "88",                /* truncated */
        "88 80 80 80 80 00", /* six bytes */
        "88 80 80 80 10",    /* beyond 32 bits */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cursor c = cursor_on(bad[i]);
        assert_int_equal(proto_tag(&c), 0);
        assert_true(c.bad);
        assert_ptr_equal(c.at, c.end);
    }
}

UNIT_TEST(test_lengths_beyond_the_end_are_refused)
{
    static const char *const bad[] = {
        "01",                            /* one byte, which is missing */
        "ff ff ff ff 0f 'abc'",          /* 4 GiB */
        "ff ff ff ff ff ff ff ff ff 01", /* 2^64 - 1 */
        "ff ff ff ff 1f 'abc'",          /* beyond 32 bits */
        "80",                            /* truncated */
        "",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cursor c = cursor_on(bad[i]);
        struct bytes b = proto_bytes(&c);
        assert_int_equal(b.size, 0);
        assert_true(c.bad);
    }
    struct cursor c = cursor_on("{'abc'} 83 80 00 'def' 00");
    assert_true(bytes_equal_text(proto_bytes(&c), "abc"));
    assert_true(bytes_equal_text(proto_bytes(&c), "def"));
    assert_int_equal(proto_bytes(&c).size, 0);
    assert_false(c.bad);
}

UNIT_TEST(test_numbers_are_read_as_their_types_say)
{
    struct cursor c = cursor_on("=-1 ~-53 =4294967301 =-7 ~9223372036854775807");
    assert_int_equal(proto_int64(&c), -1);
    assert_int_equal(proto_sint32(&c), -53);
    assert_int_equal(proto_uint32(&c), 5); /* 2^32 + 5: the lower half counts */
    assert_int_equal((int32_t)proto_uint32(&c), -7);
    assert_int_equal(cursor_zigzag(&c), INT64_MAX);
    assert_false(c.bad);

    c = cursor_on("ff ff ff ff ff ff ff ff ff 02"); /* 65 bits */
    assert_int_equal(cursor_varint(&c), 0);
    assert_true(c.bad);
}

UNIT_TEST(test_unknown_fields_are_skipped_whatever_their_type)
{
    struct cursor c = cursor_on("08 =-1 11 #1.5 1a{'abc'} 25 01 02 03 04 28 07");
    for (int i = 0; i < 4; i++) {
        uint32_t tag = proto_tag(&c);
        assert_int_not_equal(tag, 0);
        proto_skip(&c, tag, PROTO_KNOWN(5));
        assert_false(c.bad);
    }
    assert_int_equal(proto_tag(&c), PROTO_TAG(5, PROTO_VARINT));
    assert_int_equal(cursor_varint(&c), 7);
}

/* Says whether the field is skipped, after which 28 07 follows. */
static bool
is_skipped(const char *field)
{
    char with[4096];
    snprintf(with, sizeof with, "%s 28 07", field);
    struct cursor c = cursor_on(with);
    proto_skip(&c, proto_tag(&c), PROTO_KNOWN(5));
    if (c.bad) return false;
    assert_int_equal(proto_tag(&c), PROTO_TAG(5, PROTO_VARINT));
    assert_int_equal(cursor_varint(&c), 7);
    return true;
}

UNIT_TEST(test_groups_are_skipped_with_what_is_in_them)
{
    static const char *const good[] = {
        "0b 0c",
        "0b 08 =-1 11 #1.5 1a{'abc'} 25 01 02 03 04 0c",
        "0b 28 07 0c",             /* fields known outside are not known in it */
        "0b 0b 0c 0c",             /* one in the other, of one field */
        "0b 13 1b 1c 14 0c",       /* three in each other */
        "83 7d 9b 7d 9c 7d 84 7d", /* field numbers of two bytes */
        "0b 1a{0c} 0c",            /* an end inside of bytes does not count */
        "0b 13 14 13 14 0a{'x'} 1b 1c 0c",
    };
    static const char *const bad[] = {
        "0b",          /* without an end */
        "0b 13 0c 14", /* crossed */
        "0b 14",       /* another field's end */
        "0b 13 14",    /* the outer one has none */
        "0c",          /* only an end */
        "0b 00 0c",    /* field number 0 */
        "0b 04",       /* the end of field 0 */
        "0b 1a 03 61", /* cut short */
        "0b 1a 7f 0c", /* a length beyond the end */
        "0b 0e 0c",    /* a type that does not exist */
        "0b 80",       /* no tag */
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!is_skipped(good[i])) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (is_skipped(bad[i])) fail_msg("skipped: %s", bad[i]);
}

UNIT_TEST(test_groups_lie_in_a_bounded_number_of_others)
{
    for (unsigned depth = PROTO_GROUPS_MAX - 1; depth <= PROTO_GROUPS_MAX + 1; depth++) {
        char nested[2048] = "";
        for (unsigned i = 0; i < depth; i++)
            strcat(nested, "0b ");
        for (unsigned i = 0; i < depth; i++)
            strcat(nested, "0c ");
        assert_int_equal(is_skipped(nested), depth <= PROTO_GROUPS_MAX);
    }
}

UNIT_TEST(test_known_fields_of_a_wrong_type_are_refused)
{
    static const char *const bad[] = {"0c", "0e", "0f", "09 01", "0d 01", "0a 01", "08"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cursor c = cursor_on(bad[i]);
        uint32_t tag = proto_tag(&c);
        proto_skip(&c, tag, 0);
        assert_true(c.bad);
    }
    struct cursor c = cursor_on("08 01");
    proto_skip(&c, proto_tag(&c), PROTO_KNOWN(1));
    assert_true(c.bad);
    c = cursor_on("0b 0c"); /* a group, too */
    proto_skip(&c, proto_tag(&c), PROTO_KNOWN(1));
    assert_true(c.bad);
    c = cursor_on("80 04 01"); /* field 64 is not bit 0 */
    proto_skip(&c, proto_tag(&c), 1);
    assert_false(c.bad);
}

UNIT_TEST(test_packed_count_is_the_number_of_complete_varints)
{
    struct cursor c = cursor_on("00 7f 80 01 ff ff 01 02 03 04 05 =-1 06 80 80");
    struct bytes all = bytes_of(c.at, cursor_left(&c));
    for (size_t size = 0; size <= all.size; size++) {
        uint32_t expected = 0;
        for (size_t i = 0; i < size; i++)
            expected += all.at[i] < 0x80;
        assert_int_equal(proto_packed_count(bytes_of(all.at, size)), expected);
    }
}

static int
free_message(void **state)
{
    (void)state;
    free(message);
    buf_fini(&text);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_give_field_and_wire_type),
        cmocka_unit_test(test_bad_tags_are_refused),
        cmocka_unit_test(test_lengths_beyond_the_end_are_refused),
        cmocka_unit_test(test_numbers_are_read_as_their_types_say),
        cmocka_unit_test(test_unknown_fields_are_skipped_whatever_their_type),
        cmocka_unit_test(test_groups_are_skipped_with_what_is_in_them),
        cmocka_unit_test(test_groups_lie_in_a_bounded_number_of_others),
        cmocka_unit_test(test_known_fields_of_a_wrong_type_are_refused),
        cmocka_unit_test(test_packed_count_is_the_number_of_complete_varints),
    };
    buf_init(&text, NULL, 1 << 20);
    return cmocka_run_group_tests(tests, NULL, free_message);
}
