/* labels_test.c - byte form, validity, order and text of labels. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text/utf8.h"
#include "model/labels.h"

static const struct labels_limits generous = {1000, 100000, 100000};

static struct label
label_of(const char *name, const char *value)
{
    return (struct label){bytes_of_text(name), bytes_of_text(value)};
}

/* Returns canonical labels of "name", "value", ... in the order given; freed with buf_fini(). */
static struct buf
canonical(const char *const *pairs)
{
    struct buf buf;
    buf_init(&buf, NULL, 1 << 20);
    for (; *pairs != NULL; pairs += 2)
        labels_put(&buf, label_of(pairs[0], pairs[1]));
    return buf;
}

#define LABELS(...) canonical((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1du;
}

UNIT_TEST(test_byte_form_is_that_of_remote_write)
{
    struct buf buf = LABELS("a", "b", "job", "xyz");
    static const char expected[] = "\x0a\x06\x0a\x01"
                                   "a\x12\x01"
                                   "b\x0a\x0a\x0a\x03"
                                   "job\x12\x03xyz";
    assert_int_equal(buf.size, sizeof expected - 1);
    assert_memory_equal(buf.at, expected, buf.size);
    assert_true(labels_valid(buf_bytes(&buf)));
    buf_fini(&buf);
}

UNIT_TEST(test_put_size_is_what_put_writes)
{
    static char text[40000];
    memset(text, 'v', sizeof text);
    static const size_t sizes[] = {0, 1, 60, 61, 62, 100, 120, 127, 128, 129, 16383, 16384, 40000};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        for (size_t v = 0; v < sizeof sizes / sizeof *sizes; v++) {
            struct label label = {bytes_of(text, sizes[n]), bytes_of(text, sizes[v])};
            struct buf buf;
            buf_init(&buf, NULL, labels_put_size(label)); /* it fits exactly */
            labels_put(&buf, label);
            assert_int_equal(buf_error(&buf), OK);
            assert_int_equal(buf.size, labels_put_size(label));
            struct cursor c = cursor_of(buf_bytes(&buf));
            struct label back;
            assert_true(labels_next(&c, &back));
            assert_true(bytes_equal(back.name, label.name));
            assert_true(bytes_equal(back.value, label.value));
            assert_false(labels_next(&c, &back));
            assert_false(c.bad);
            buf_fini(&buf);
        }
    }
}

static void
check_valid(const char *at, size_t size, bool expected)
{
    assert_int_equal(labels_valid(bytes_of(at, size)), expected);
}
#define CHECK_VALID(text, expected) check_valid((text), sizeof(text) - 1, (expected))

UNIT_TEST(test_only_whole_well_formed_labels_are_valid)
{
    CHECK_VALID("", true);
    CHECK_VALID("\x0a\x06\x0a\x01x\x12\x01y", true);
    /* The tags of label, name and value are wrong in turn. */
    CHECK_VALID("\x12\x06\x0a\x01x\x12\x01y", false);
    CHECK_VALID("\x0a\x06\x12\x01x\x12\x01y", false);
    CHECK_VALID("\x0a\x06\x0a\x01x\x0a\x01y", false);
    /* Lengths do not fit, bytes are left over, bytes are missing. */
    CHECK_VALID("\x0a\x05\x0a\x01x\x12\x01y", false);
    CHECK_VALID("\x0a\x07\x0a\x01x\x12\x01y", false);
    CHECK_VALID("\x0a\x07\x0a\x01x\x12\x01yz", false);
    CHECK_VALID("\x0a\x03\x0a\x01x", false);
    CHECK_VALID("\x0a", false);
    CHECK_VALID("\x0a\x00", false);
    /* Empty name, empty value. */
    CHECK_VALID("\x0a\x05\x0a\x00\x12\x01y", false);
    CHECK_VALID("\x0a\x05\x0a\x01x\x12\x00", false);
}

UNIT_TEST(test_only_ordered_labels_in_minimal_form_are_valid)
{
    /* Varints are longer than needed: of the label, the name, the value. */
    CHECK_VALID("\x0a\x86\x00\x0a\x01x\x12\x01y", false);
    CHECK_VALID("\x0a\x07\x0a\x81\x00x\x12\x01y", false);
    CHECK_VALID("\x0a\x07\x0a\x01x\x12\x81\x00y", false);
    /* Labels are in order, out of order, repeated. */
    CHECK_VALID("\x0a\x06\x0a\x01x\x12\x01y\x0a\x06\x0a\x01y\x12\x01x", true);
    CHECK_VALID("\x0a\x06\x0a\x01y\x12\x01y\x0a\x06\x0a\x01x\x12\x01x", false);
    CHECK_VALID("\x0a\x06\x0a\x01x\x12\x01x\x0a\x06\x0a\x01x\x12\x01y", false);
    /* Names are unsigned bytes. */
    CHECK_VALID("\x0a\x06\x0a\x01x\x12\x01x\x0a\x06\x0a\x01\xc3\x12\x01y", true);
}

UNIT_TEST(test_malformed_bytes_set_bad_and_end)
{
    struct cursor c = cursor_of(bytes_of("\x0a\x06\x0a\x01"
                                         "a\x12\x01"
                                         "b\x0a\x7f",
                                         10));
    struct label label;
    assert_true(labels_next(&c, &label));
    assert_false(c.bad);
    assert_false(labels_next(&c, &label));
    assert_true(c.bad);
    assert_false(labels_next(&c, &label));
}

static int
sign(int v)
{
    return (v > 0) - (v < 0);
}

/* Compares by definition, label by label. */
static int
compare_plainly(struct bytes a, struct bytes b)
{
    struct cursor ca = cursor_of(a), cb = cursor_of(b);
    struct label la, lb;
    for (;;) {
        bool more_a = labels_next(&ca, &la), more_b = labels_next(&cb, &lb);
        if (!more_a || !more_b) return (int)more_a - (int)more_b;
        int order = bytes_compare(la.name, lb.name);
        if (order == 0) order = bytes_compare(la.value, lb.value);
        if (order != 0) return order;
    }
}

UNIT_TEST(test_order_is_by_name_then_value_and_prefix_first)
{
    /* The sets ascend. The third and fourth show that the order is not that of the
     * encoded bytes. */
    struct buf sets[] = {
        LABELS(),
        LABELS("a", "1"),
        LABELS("a", "1", "b", "1"),
        LABELS("a", "10"),
        LABELS("a", "2"),
        LABELS("aa", "1"),
        LABELS("b", "1"),
        LABELS("b", "long long long long long long long long long long value 1"),
        LABELS("b", "long long long long long long long long long long value 1", "c", "1"),
        LABELS("b", "long long long long long long long long long long value 2"),
        LABELS("b", "z"),
    };
    enum { COUNT = sizeof sets / sizeof *sets };
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            int order = labels_compare(buf_bytes(&sets[i]), buf_bytes(&sets[j]));
            assert_int_equal(sign(order), (i > j) - (i < j));
        }
    }
    for (int i = 0; i < COUNT; i++)
        buf_fini(&sets[i]);
}

static void
random_labels(uint64_t *seed, struct buf *to)
{
    static const char *const names[] = {"a", "aa", "ab", "b", "long_label_name_1", "long_label_z"};
    buf_clear(to);
    for (size_t i = 0; i < 6; i++) {
        if (random_next(seed) % 3 == 0) continue;
        char value[200];
        size_t size = random_next(seed) % 4 == 0 ? 1 + random_next(seed) % 199 : 1;
        memset(value, 'v', sizeof value);
        value[size - 1] = (char)('a' + random_next(seed) % 2);
        labels_put(to, (struct label){bytes_of_text(names[i]), bytes_of(value, size)});
    }
}

UNIT_TEST(test_order_agrees_with_its_definition_on_random_sets)
{
    uint64_t seed = 20240229;
    struct buf a, b;
    buf_init(&a, NULL, 1 << 16);
    buf_init(&b, NULL, 1 << 16);
    for (int i = 0; i < 20000; i++) {
        random_labels(&seed, &a);
        random_labels(&seed, &b);
        int expected = compare_plainly(buf_bytes(&a), buf_bytes(&b));
        assert_int_equal(sign(labels_compare(buf_bytes(&a), buf_bytes(&b))), sign(expected));
    }
    buf_fini(&a);
    buf_fini(&b);
}

UNIT_TEST(test_get_finds_value_or_empty)
{
    struct buf buf = LABELS("__name__", "up", "instance", "h:1", "job", "x");
    struct bytes labels = buf_bytes(&buf);
    assert_true(bytes_equal_text(labels_get(labels, bytes_of_text("__name__")), "up"));
    assert_true(bytes_equal_text(labels_get(labels, bytes_of_text("job")), "x"));
    assert_int_equal(labels_get(labels, bytes_of_text("a")).size, 0);
    assert_int_equal(labels_get(labels, bytes_of_text("zone")).size, 0);
    assert_int_equal(labels_get(labels, bytes_of_text("jo")).size, 0);
    assert_int_equal(labels_get((struct bytes){NULL, 0}, bytes_of_text("a")).size, 0);
    assert_int_equal(labels_count(labels), 3);
    assert_int_equal(labels_count((struct bytes){NULL, 0}), 0);
    buf_fini(&buf);
}

static void
check_build(struct label *given, uint32_t count, const struct labels_limits *limits,
            enum reject expected)
{
    struct buf buf;
    buf_init(&buf, NULL, 1 << 20);
    buf_put_text(&buf, "before");
    assert_int_equal(labels_build(given, count, limits, &buf), expected);
    if (expected != REJECT_NONE)
        assert_int_equal(buf.size, 6);
    else
        assert_true(labels_valid(bytes_of(buf.at + 6, buf.size - 6)));
    buf_fini(&buf);
}
#define CHECK_BUILD(limits, expected, ...)                                     \
    do {                                                                       \
        struct label given_[] = {__VA_ARGS__};                                 \
        check_build(given_, sizeof given_ / sizeof *given_, limits, expected); \
    } while (0)

UNIT_TEST(test_build_sorts_and_drops_empty_values)
{
    struct label given[] = {label_of("job", "x"), label_of("zero", ""), label_of("__name__", "up"),
                            label_of("instance", "h")};
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    assert_int_equal(labels_build(given, 4, &generous, &buf), REJECT_NONE);
    struct buf expected = LABELS("__name__", "up", "instance", "h", "job", "x");
    assert_true(bytes_equal(buf_bytes(&buf), buf_bytes(&expected)));
    buf_fini(&buf);
    buf_fini(&expected);
}

UNIT_TEST(test_build_names_each_reason)
{
    struct labels_limits tight = {2, 4, 5};
    CHECK_BUILD(&generous, REJECT_EMPTY_LABELS, label_of("a", ""));
    check_build(NULL, 0, &generous, REJECT_EMPTY_LABELS);
    CHECK_BUILD(&generous, REJECT_EMPTY_LABELS, label_of("a", "x"), label_of("", "x"));
    CHECK_BUILD(&generous, REJECT_DUPLICATE_LABEL, label_of("a", "x"), label_of("b", "x"),
                label_of("a", "y"));
    CHECK_BUILD(&generous, REJECT_DUPLICATE_LABEL, label_of("a", "x"), label_of("a", "x"));
    CHECK_BUILD(&generous, REJECT_NONE, label_of("a", "x"), label_of("a", ""));
    CHECK_BUILD(&generous, REJECT_BAD_UTF8, label_of("a", "\xff"));
    CHECK_BUILD(&generous, REJECT_BAD_UTF8, label_of("\xc3", "x"));
    CHECK_BUILD(&generous, REJECT_NONE, label_of("\xc3\xbc", "\xf0\x9f\x94\xa5"));
    CHECK_BUILD(&tight, REJECT_NONE, label_of("abcd", "12345"), label_of("b", "x"));
    CHECK_BUILD(&tight, REJECT_LABEL_LIMIT, label_of("a", "x"), label_of("b", "x"),
                label_of("c", "x"));
    CHECK_BUILD(&tight, REJECT_NONE, label_of("a", "x"), label_of("b", "x"), label_of("c", ""));
    CHECK_BUILD(&tight, REJECT_NAME_TOO_LONG, label_of("abcde", "x"));
    CHECK_BUILD(&tight, REJECT_VALUE_TOO_LONG, label_of("a", "123456"));
}

UNIT_TEST(test_build_gives_the_first_reason_of_the_enum)
{
    struct labels_limits tight = {2, 4, 5};
    struct label empty_name = label_of("", "x"), twice = label_of("dup", "x");
    struct label bad = label_of("bad", "\xff"), long_name = label_of("long_name", "x");
    struct label long_value = label_of("v", "long value");
    CHECK_BUILD(&tight, REJECT_EMPTY_LABELS, long_value, long_name, bad, twice, twice, empty_name);
    CHECK_BUILD(&tight, REJECT_DUPLICATE_LABEL, long_value, long_name, bad, twice, twice);
    CHECK_BUILD(&tight, REJECT_BAD_UTF8, long_value, long_name, bad);
    CHECK_BUILD(&tight, REJECT_LABEL_LIMIT, long_value, long_name, twice);
    CHECK_BUILD(&tight, REJECT_NAME_TOO_LONG, long_value, long_name);
}

UNIT_TEST(test_build_of_many_unsorted_labels_sorts_them)
{
    enum { COUNT = 5000 };
    static struct label given[COUNT];
    static char names[COUNT][16];
    struct labels_limits wide = {COUNT, 100, 100};
    for (int order = 0; order < 3; order++) { /* ascending, descending, shuffled */
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned n = order == 0 ? i : order == 1 ? COUNT - 1 - i : i * 1999 % COUNT;
            snprintf(names[i], sizeof names[i], "l%05u", n);
            given[i] = (struct label){bytes_of_text(names[i]), bytes_of_text("v")};
        }
        struct buf buf;
        buf_init(&buf, NULL, 1 << 20);
        assert_int_equal(labels_build(given, COUNT, &wide, &buf), REJECT_NONE);
        assert_true(labels_valid(buf_bytes(&buf)));
        assert_int_equal(labels_count(buf_bytes(&buf)), COUNT);
        given[7] = given[4000];
        assert_int_equal(labels_build(given, COUNT, &wide, &buf), REJECT_DUPLICATE_LABEL);
        buf_fini(&buf);
    }
}

/* A hundred thousand references to one value of a megabyte: must be refused without reading. */
UNIT_TEST(test_build_of_monstrous_sets_meets_the_limits_first)
{
    enum { COUNT = 100000, VALUE_BYTES = 1 << 20 };
    char *value = malloc(VALUE_BYTES);
    struct label *given = malloc(COUNT * sizeof *given);
    assert_non_null(value);
    assert_non_null(given);
    memset(value, 'v', VALUE_BYTES);
    for (unsigned i = 0; i < COUNT; i++)
        given[i] = (struct label){bytes_of(value, VALUE_BYTES), bytes_of(value, VALUE_BYTES)};
    check_build(given, COUNT, &(struct labels_limits){64, 1024, 4096}, REJECT_LABEL_LIMIT);
    check_build(given, 2, &(struct labels_limits){64, 1024, 4096}, REJECT_NAME_TOO_LONG);
    given[0].name = bytes_of_text("a");
    check_build(given, 1, &(struct labels_limits){64, 1024, 4096}, REJECT_VALUE_TOO_LONG);
    free(given);
    free(value);
}

UNIT_TEST(test_build_without_memory_leaves_the_buffer_alone)
{
    struct label given[] = {label_of("b", "x"), label_of("a", "x")};
    struct buf buf;
    buf_init(&buf, NULL, 4096);
    mem_fail_nth(1, false);
    assert_int_equal(labels_build(given, 2, &generous, &buf), REJECT_NONE);
    mem_fail_nth(0, false);
    assert_int_equal(buf_error(&buf), ERR_NOMEM);
    assert_int_equal(buf.size, 0);
    buf_fini(&buf);

    buf_init(&buf, NULL, 15); /* two labels need 16 */
    assert_int_equal(labels_build(given, 2, &generous, &buf), REJECT_NONE);
    assert_int_equal(buf_error(&buf), ERR_LIMIT);
    assert_int_equal(buf.size, 0);
    buf_fini(&buf);
}

static void
check_utf8(const char *text, bool expected)
{
    /* Each is checked alone, and after enough ASCII for both the fast loop and its end
     * to reach it. */
    for (size_t pad = 0; pad < 20; pad++) {
        char padded[64];
        memset(padded, 'x', pad);
        size_t size = strlen(text);
        memcpy(padded + pad, text, size);
        memset(padded + pad + size, 'y', pad);
        assert_int_equal(utf8_valid(bytes_of(padded, pad + size)), expected);
        assert_int_equal(utf8_valid(bytes_of(padded, pad + size + pad)), expected);
    }
}

UNIT_TEST(test_utf8_is_that_of_rfc_3629)
{
    check_utf8("", true);
    check_utf8("plain \x01\x7f", true);
    check_utf8("\xc2\x80", true);
    check_utf8("\xdf\xbf", true);
    check_utf8("\xe0\xa0\x80", true);
    check_utf8("\xed\x9f\xbf", true);
    check_utf8("\xee\x80\x80", true);
    check_utf8("\xef\xbf\xbf", true);
    check_utf8("\xf0\x90\x80\x80", true);
    check_utf8("\xf4\x8f\xbf\xbf", true);
    check_utf8("\x80", false);
    check_utf8("\xbf", false);
    check_utf8("\xc0\x80", false); /* overlong */
    check_utf8("\xc1\xbf", false);
    check_utf8("\xe0\x9f\xbf", false);
    check_utf8("\xf0\x8f\xbf\xbf", false);
    check_utf8("\xed\xa0\x80", false); /* a surrogate */
    check_utf8("\xed\xbf\xbf", false);
    check_utf8("\xf4\x90\x80\x80", false); /* above U+10FFFF */
    check_utf8("\xf5\x80\x80\x80", false);
    check_utf8("\xff", false);
    check_utf8("\xc2", false); /* cut off */
    check_utf8("\xe2\x82", false);
    check_utf8("\xf0\x9f\x94", false);
    check_utf8("\xe2\x28\xa1", false);
    check_utf8("\xf0\x9f\x28\xa5", false);
}

/* By the arithmetic of the encoding, every scalar value is valid and every surrogate is not. */
UNIT_TEST(test_utf8_takes_every_scalar_value_and_no_surrogate)
{
    for (uint32_t u = 0x80; u < 0x110000; u++) {
        uint8_t text[4];
        size_t n = u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
        for (size_t i = n; i-- > 1;)
            text[i] = (uint8_t)(0x80 | ((u >> (6 * (n - 1 - i))) & 0x3f));
        text[0] = (uint8_t)((0xf00 >> n) | (u >> (6 * (n - 1))));
        bool surrogate = u >= 0xd800 && u < 0xe000;
        if (utf8_step(text, n) != (surrogate ? 0 : n)) fail_msg("U+%04X", u);
        if (utf8_step(text, n - 1) != 0) fail_msg("U+%04X cut off", u);
    }
}

static void
check_print(struct buf labels, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 4096);
    labels_print(&text, buf_bytes(&labels));
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    buf_fini(&labels);
}

UNIT_TEST(test_print_quotes_what_promql_would)
{
    check_print(LABELS(), "{}");
    check_print(LABELS("__name__", "up", "job", "x"), "{__name__=\"up\", job=\"x\"}");
    check_print(LABELS("a", "q\"b\\n\n\r\t\x01\x7f"), "{a=\"q\\\"b\\\\n\\n\\r\\t\\x01\\x7f\"}");
    check_print(LABELS("a", "\a\v\xc2\xa0"), "{a=\"\\a\\v\\u00a0\"}"); /* Go prints the same */
    check_print(LABELS("9a", "x", "http.status", "200"), "{\"9a\"=\"x\", \"http.status\"=\"200\"}");
    check_print(LABELS("hidden", "a\u202eb\u200b\u2010"), "{hidden=\"a\\u202eb\\u200b\u2010\"}");
    check_print(LABELS("u", "gr\xc3\xbc\xc3\x9f\xc2\x85\xff"),
                "{u=\"gr\xc3\xbc\xc3\x9f\\u0085\\xff\"}");
}

static void
check_selector(struct buf labels, const char *expected)
{
    struct buf text;
    buf_init(&text, NULL, 4096);
    labels_print_selector(&text, buf_bytes(&labels));
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, expected);
    buf_fini(&text);
    buf_fini(&labels);
}

UNIT_TEST(test_a_selector_prints_a_valid_name_before_its_braces)
{
    check_selector(LABELS(), "{}");
    check_selector(LABELS("__name__", "a:up"), "a:up");
    check_selector(LABELS("__name__", "up", "job", "x\"y", "z", "1"),
                   "up{job=\"x\\\"y\", z=\"1\"}");
    check_selector(LABELS("A", "1", "__name__", "my.up"), "{\"my.up\", A=\"1\"}");
    check_selector(LABELS("__name__", "my up"), "{\"my up\"}");
    check_selector(LABELS("a b", "1"), "{\"a b\"=\"1\"}");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_form_is_that_of_remote_write),
        cmocka_unit_test(test_put_size_is_what_put_writes),
        cmocka_unit_test(test_only_whole_well_formed_labels_are_valid),
        cmocka_unit_test(test_only_ordered_labels_in_minimal_form_are_valid),
        cmocka_unit_test(test_malformed_bytes_set_bad_and_end),
        cmocka_unit_test(test_order_is_by_name_then_value_and_prefix_first),
        cmocka_unit_test(test_order_agrees_with_its_definition_on_random_sets),
        cmocka_unit_test(test_get_finds_value_or_empty),
        cmocka_unit_test(test_build_sorts_and_drops_empty_values),
        cmocka_unit_test(test_build_names_each_reason),
        cmocka_unit_test(test_build_gives_the_first_reason_of_the_enum),
        cmocka_unit_test(test_build_of_many_unsorted_labels_sorts_them),
        cmocka_unit_test(test_build_of_monstrous_sets_meets_the_limits_first),
        cmocka_unit_test(test_build_without_memory_leaves_the_buffer_alone),
        cmocka_unit_test(test_utf8_is_that_of_rfc_3629),
        cmocka_unit_test(test_utf8_takes_every_scalar_value_and_no_surrogate),
        cmocka_unit_test(test_print_quotes_what_promql_would),
        cmocka_unit_test(test_a_selector_prints_a_valid_name_before_its_braces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
