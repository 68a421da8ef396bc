/* rows_test.c - rows in pieces of any size, answers that end early, and the last row. */
#include "lib/test.h"

#include "backend/clickhouse/clickhouse_reader.h"
#include "lib/backend/clickhouse_rows.h"
#include "lib/backend/pieces.h"

enum { ROOM = 1 << 20 };

static struct buf answer, numbers;
static struct rows rows;
static struct pieces feed;

static int
setup(void **state)
{
    (void)state;
    buf_init(&answer, NULL, ROOM);
    buf_init(&numbers, NULL, ROOM);
    rows_init(&rows, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&answer);
    buf_fini(&numbers);
    rows_fini(&rows);
    return 0;
}

/* Makes two rows of a text, a number, an array and texts, and the last one. */
static void
make_answer(void)
{
    static const uint64_t some[] = {1, UINT64_MAX, 3};
    buf_clear(&answer);
    for (int i = 0; i < 2; i++) {
        buf_put_u8(&answer, 0);
        put_row_text(&answer, i == 0 ? "first" : "");
        buf_put_le64(&answer, 7);
        put_row_numbers(&answer, i == 0 ? 3 : 0, some);
        buf_put_varint(&answer, 2);
        put_row_text(&answer, "x");
        put_row_text(&answer, "\n\x01\x02");
    }
    static const uint8_t last[] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    buf_put(&answer, last, sizeof last);
}

static void
begin(struct bytes body, size_t piece, enum err end)
{
    feed = (struct pieces){body, piece, end};
    rows_begin(&rows, "tnNT", pieces_next, &feed);
}

/* Returns the number of rows. */
static unsigned
read_rows(void)
{
    unsigned count = 0;
    while (rows_next(&rows)) {
        struct bytes text = rows_text(&rows);
        bool first = count == 0;
        if (text.size > 0) assert_true(first && bytes_equal_text(text, "first"));
        uint64_t seven = rows_number(&rows);
        uint32_t some = rows_numbers(&rows, 3, &numbers);
        uint32_t texts = rows_count(&rows, 2);
        if (rows.failed) break;
        assert_int_equal(seven, 7);
        assert_in_range(some, 0, first ? 3 : 0);
        if (some == 3) assert_true(load_le64(numbers.at + 8) == UINT64_MAX);
        for (uint32_t i = 0; i < texts; i++) {
            text = rows_text(&rows);
            if (rows.failed == OK) assert_int_equal(text.size, i == 0 ? 1 : 3);
        }
        if (rows.failed) break;
        count++;
    }
    return count;
}

UNIT_TEST(test_rows_come_in_pieces_of_any_size)
{
    make_answer();
    for (size_t piece = 1; piece <= answer.size; piece++) {
        begin(buf_bytes(&answer), piece, OK);
        assert_int_equal(read_rows(), 2);
        assert_int_equal(rows.failed, OK);
    }
}

UNIT_TEST(test_an_answer_without_its_last_row_is_damaged)
{
    make_answer();
    for (size_t size = 0; size < answer.size; size++) {
        begin(bytes_of(answer.at, size), 5, OK);
        assert_in_range(read_rows(), 0, 2);
        assert_int_equal(rows.failed, ERR_CORRUPT);
        assert_string_equal(rows.why.text, "the response ends before its last row");
        begin(bytes_of(answer.at, size), 5, ERR_AGAIN);
        (void)read_rows();
        assert_int_equal(rows.failed, ERR_AGAIN);
        assert_string_equal(rows.why.text, "it broke off");
    }
}

UNIT_TEST(test_nothing_may_follow_the_last_row)
{
    make_answer();
    buf_put_u8(&answer, 0);
    for (size_t piece = answer.size - 1; piece <= answer.size; piece++) {
        begin(buf_bytes(&answer), piece, OK);
        assert_int_equal(read_rows(), 2);
        assert_int_equal(rows.failed, ERR_CORRUPT);
    }
}

UNIT_TEST(test_lengths_are_limited_before_anything_is_allocated)
{
    static const struct {
        const char *text;
        size_t size;
        enum err expected;
    } cases[] = {
        {"\0\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10, ERR_CORRUPT},     /* length of a text */
        {"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, ERR_CORRUPT}, /* not a valid length */
        {"\0\0"
         "12345678\4",
         11, ERR_FULL},
        {"\0\0"
         "12345678\xff\xff\xff\x7f",
         14, ERR_CORRUPT},
        {"\0\0"
         "12345678\0\3",
         12, ERR_FULL},
        {"Code: 1", 7, ERR_CORRUPT},
        {"\1\0"
         "12345678\1\0",
         12, ERR_CORRUPT}, /* a last row with content */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(bytes_of(cases[i].text, cases[i].size), 100, OK);
        assert_int_equal(read_rows(), 0);
        assert_int_equal(rows.failed, cases[i].expected);
        assert_true(rows.rest.capacity < 4096);
    }
}

UNIT_TEST(test_the_tail_is_the_end_of_what_came)
{
    for (size_t piece = 1; piece < 3 * ROWS_TAIL_BYTES; piece = 2 * piece + 1) {
        buf_clear(&answer);
        for (size_t i = 0; i < 2 * ROWS_TAIL_BYTES + 17; i++)
            buf_put_u8(&answer, (uint8_t)('A' + i % 23));
        begin(buf_bytes(&answer), piece, OK);
        assert_int_equal(read_rows(), 0);
        rows_drain(&rows);
        assert_int_equal(rows.failed, ERR_CORRUPT);
        assert_int_equal(rows.tail_size, ROWS_TAIL_BYTES);
        assert_memory_equal(rows.tail, answer.at + answer.size - ROWS_TAIL_BYTES, ROWS_TAIL_BYTES);
    }
}

UNIT_TEST(test_an_endless_answer_is_not_drained_to_its_end)
{
    buf_clear(&answer);
    while (answer.size < 4 * ROWS_DRAIN_BYTES)
        buf_put_text(&answer, "junk");
    begin(buf_bytes(&answer), 1000, OK);
    assert_int_equal(read_rows(), 0);
    rows_drain(&rows);
    assert_true(feed.left.size > 2 * ROWS_DRAIN_BYTES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_come_in_pieces_of_any_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_without_its_last_row_is_damaged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nothing_may_follow_the_last_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lengths_are_limited_before_anything_is_allocated,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_tail_is_the_end_of_what_came, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_endless_answer_is_not_drained_to_its_end, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
