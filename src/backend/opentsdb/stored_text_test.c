/* stored_text_test.c - texts stored in OpenTSDB, and the forms that a text may have there. */
#include "lib/test.h"

#include "backend/opentsdb/opentsdb_reader.h"

static void
check_get(enum err (*get)(struct buf *to, struct bytes stored), const char *stored,
          const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 1000);
    buf_put_text(&text, "!");
    assert_int_equal(get(&text, bytes_of_text(stored)), OK);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at + 1, expected);
    buf_fini(&text);
}

UNIT_TEST(test_a_text_that_an_adapter_wrote_is_decoded)
{
    check_get(stored_value_get, "node__load1", "node_load1");
    check_get(stored_value_get, "a_.9100", "a:9100");
    check_get(stored_value_get, "_C3_A9", "\xc3\xa9");
    check_get(stored_value_get, "two_0Alines", "two\nlines");
    check_get(stored_value_get, "two_Alines", "two\nlines");
    check_get(stored_tag_get, "U__my_2e_label", "my.label");
    check_get(stored_tag_get, "job", "job");
}

UNIT_TEST(test_a_text_that_no_adapter_wrote_is_unchanged)
{
    static const char *const texts[] = {"sys.cpu.user", "a_b",       "web_front", "_",
                                        "_41",          "host:9100", "_c3",       "a__b_c",
                                        "a b",          "\xc3\xa9",  "_0Ax_Ay",   ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_get(stored_value_get, texts[i], texts[i]);
    check_get(stored_tag_get, "my.label", "my.label");
    check_get(stored_tag_get, "U__job", "U__job");
}

static void
check_forms(const char *text, unsigned count, const char *const *expected)
{
    struct buf room;
    struct bytes forms[STORED_FORMS_MAX];
    unsigned got;
    buf_init(&room, NULL, 1000);
    assert_int_equal(stored_value_forms(bytes_of_text(text), &room, forms, &got), OK);
    assert_int_equal(got, count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(bytes_equal_text(forms[i], expected[i]));
        struct buf back;
        buf_init(&back, NULL, 1000);
        assert_int_equal(stored_value_get(&back, forms[i]), OK);
        assert_true(bytes_equal_text(buf_bytes(&back), text));
        buf_fini(&back);
    }
    buf_fini(&room);
}

UNIT_TEST(test_a_text_has_the_forms_that_are_read_as_it)
{
    check_forms("job", 1, (const char *const[]){"job"});
    check_forms("node_load1", 2, (const char *const[]){"node__load1", "node_load1"});
    check_forms("a:b", 2, (const char *const[]){"a_.b", "a:b"});
    check_forms("a__b", 1, (const char *const[]){"a____b"}); /* a__b is a_b */
    check_forms("\tx", 3, (const char *const[]){"_09x", "_9x", "\tx"});
    check_forms("\tA", 2, (const char *const[]){"_09A", "\tA"}); /* _9A is a byte */
}

UNIT_TEST(test_the_plain_beginning_is_the_same_in_all_forms)
{
    assert_int_equal(stored_plain_size(bytes_of_text("a-b./9_x")), 6);
    assert_int_equal(stored_plain_size(bytes_of_text(":")), 0);
    assert_int_equal(stored_plain_size(bytes_of_text("abc")), 3);
}

UNIT_TEST(test_a_failed_allocation_is_reported)
{
    for (uint64_t nth = 1;; nth++) {
        struct buf room, text;
        struct bytes forms[STORED_FORMS_MAX];
        unsigned count;
        buf_init(&room, NULL, 1000);
        buf_init(&text, NULL, 1000);
        mem_fail_nth(nth, true);
        enum err e = stored_value_forms(bytes_of_text("a_b\t"), &room, forms, &count);
        e = err_first(e, stored_value_get(&text, bytes_of_text("a__b")));
        e = err_first(e, stored_tag_get(&text, bytes_of_text("U__a_2e_b")));
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        buf_fini(&room);
        buf_fini(&text);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_that_an_adapter_wrote_is_decoded),
        cmocka_unit_test(test_a_text_that_no_adapter_wrote_is_unchanged),
        cmocka_unit_test(test_a_text_has_the_forms_that_are_read_as_it),
        cmocka_unit_test(test_the_plain_beginning_is_the_same_in_all_forms),
        cmocka_unit_test(test_a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
