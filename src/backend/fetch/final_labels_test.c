/* final_labels_test.c - labels of a source's series: its own, added ones, and replaced ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/fetch/fetch_reader.h"
#include "lib/test.h"
#include "lib/wire/random_labels.h"

static struct named_text items[3];
static const struct named_texts texts = {items, 3};
static const struct external_labels external = {&texts};
static struct why why;

static int
setup(void **state)
{
    (void)state;
    items[0] = (struct named_text){"dc", "one"};
    items[1] = (struct named_text){"zone", "z"};
    items[2] = (struct named_text){"gone", ""};
    why = (struct why){""};
    return 0;
}

/* Compares with `labels`, written as in PromQL. */
static void
expect(const struct buf *to, const char *labels)
{
    struct buf text;
    buf_init(&text, NULL, 4096);
    assert_true(labels_valid(buf_bytes(to)));
    labels_print(&text, buf_bytes(to));
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, labels);
    buf_fini(&text);
}

UNIT_TEST(test_external_labels_replace_labels_and_are_sorted)
{
    struct buf fields, to;
    buf_init(&fields, NULL, 4096);
    buf_init(&to, NULL, 4096);
    test_put_texts(&fields, "job", "x");
    test_put_texts(&fields, "dc", "two");
    test_put_texts(&fields, "gone", "g");
    test_put_texts(&fields, "none", "");
    test_put_texts(&fields, "__name__", "up");
    assert_int_equal(final_labels_put(&external, buf_bytes(&fields), &to, &why), OK);
    expect(&to, "{__name__=\"up\", dc=\"one\", job=\"x\", zone=\"z\"}");
    buf_fini(&fields);
    buf_fini(&to);
}

UNIT_TEST(test_a_series_may_have_no_labels)
{
    static const struct named_texts none = {NULL, 0}, nothing = {items + 2, 1};
    const struct named_texts *const cases[] = {&none, &nothing};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf fields, to;
        const struct external_labels it = {cases[i]};
        buf_init(&fields, NULL, 4096);
        buf_init(&to, NULL, 4096);
        assert_int_equal(final_labels_put(&it, buf_bytes(&fields), &to, &why), OK);
        test_put_texts(&fields, "none", "");
        if (i == 1) test_put_texts(&fields, "gone", "g");
        assert_int_equal(final_labels_put(&it, buf_bytes(&fields), &to, &why), OK);
        assert_int_equal(to.size, 0);
        buf_fini(&fields);
        buf_fini(&to);
    }
}

UNIT_TEST(test_invalid_labels_are_refused_and_nothing_is_written)
{
    static const uint8_t other_field[] = {0x12, 1, 'a'}, cut[] = {0x0a, 9, 0x0a, 1, 'a'},
                         cut_inside[] = {0x0a, 4, 0x0a, 9, 'a', 'b'};
    struct buf twice, odd, nameless, many, to;
    buf_init(&twice, NULL, 4096);
    buf_init(&odd, NULL, 4096);
    buf_init(&nameless, NULL, 4096);
    buf_init(&many, NULL, 1 << 20);
    buf_init(&to, NULL, 1 << 20);
    test_put_texts(&twice, "a", "1");
    test_put_texts(&twice, "a", "2");
    test_put_texts(&odd, "a", "\xff");
    test_put_texts(&nameless, "", "1");
    const struct bytes bad[] = {
        bytes_of(other_field, sizeof other_field),
        bytes_of(cut, sizeof cut),
        bytes_of(cut_inside, sizeof cut_inside),
        buf_bytes(&twice),
        buf_bytes(&odd),
        buf_bytes(&nameless),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why.text[0] = '\0';
        assert_int_equal(final_labels_put(&external, bad[i], &to, &why), ERR_CORRUPT);
        assert_true(why.text[0] != '\0');
        assert_int_equal(to.size, 0);
    }
    for (unsigned i = 0; i <= FINAL_LABELS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", i);
        enum err e = final_labels_put(&external, buf_bytes(&many), &to, &why);
        assert_int_equal(e, i <= FINAL_LABELS_MAX - texts.count ? OK : ERR_LIMIT);
        buf_clear(&to);
        test_put_texts(&many, name, "1");
    }
    assert_int_equal(final_labels_put(&external, buf_bytes(&many), &to, &why), ERR_LIMIT);
    buf_fini(&twice);
    buf_fini(&odd);
    buf_fini(&nameless);
    buf_fini(&many);
    buf_fini(&to);
}

UNIT_TEST(test_without_memory_there_are_words)
{
    struct buf fields, to;
    buf_init(&fields, NULL, 4096);
    buf_init(&to, NULL, 4096);
    test_put_texts(&fields, "job", "x");
    mem_fail_nth(1, false);
    assert_int_equal(final_labels_put(&external, buf_bytes(&fields), &to, &why), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_true(why.text[0] != '\0');
    buf_fini(&fields);
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_external_labels_replace_labels_and_are_sorted, setup),
        cmocka_unit_test_setup(test_a_series_may_have_no_labels, setup),
        cmocka_unit_test_setup(test_invalid_labels_are_refused_and_nothing_is_written, setup),
        cmocka_unit_test_setup(test_without_memory_there_are_words, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
