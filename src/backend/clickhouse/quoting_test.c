/* quoting_test.c - literals and names end where they should, whatever text they contain. */
#include "lib/test.h"

#include "backend/clickhouse/clickhouse.h"
#include "lib/random.h"

enum { ROOM = 1 << 16, ROUNDS = 5000 };

/* Reads a literal like ClickHouse, from its opening quote on; returns the bytes it took, 0 if it
 * does not end. */
static size_t
unquote(struct bytes text, char quote, struct buf *to)
{
    for (size_t i = 1; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c == 0) return 0; /* some versions stop at it */
        if (c == (uint8_t)quote) return i + 1;
        if (c == '\\') {
            if (++i == text.size) return 0;
            c = text.at[i] == '0' ? 0 : text.at[i];
            if (c != 0 && c != '\\' && c != (uint8_t)quote) return 0;
        }
        buf_put_u8(to, c);
    }
    return 0;
}

static void
check(struct bytes text, char quote)
{
    struct buf quoted, back;
    buf_init(&quoted, NULL, ROOM);
    buf_init(&back, NULL, ROOM);
    clickhouse_quoted_put(&quoted, quote, text);
    assert_int_equal(unquote(buf_bytes(&quoted), quote, &back), quoted.size);
    assert_true(bytes_equal(buf_bytes(&back), text));
    buf_fini(&quoted);
    buf_fini(&back);
}

UNIT_TEST(test_hostile_texts_stay_within_their_quotes)
{
    static const char *const corpus[] = {
        "",
        "'",
        "`",
        "\\",
        "\\'",
        "\\\\'",
        "''",
        "' OR 1 = 1 --",
        "'); DROP TABLE samples; --",
        "x' UNION ALL SELECT 0, password, '' FROM system.users --",
        "`; DROP TABLE t",
        "\n-- ",
        "/*",
        "*/",
        "{a:String}",
        "\\x27",
        "\\u0027",
        "%27",
        "\xe2\x80\x99",
        "\xff\xfe'",
    };
    for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++) {
        check(bytes_of_text(corpus[i]), '\'');
        check(bytes_of_text(corpus[i]), '`');
    }
    check(bytes_of("a\0'b", 4), '\'');
}

UNIT_TEST(test_any_bytes_come_back_out_of_their_quotes)
{
    struct rng rng = {.state = 1};
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t text[24];
        size_t size = (size_t)rng_below(&rng, sizeof text);
        for (size_t i = 0; i < size; i++) {
            text[i] = rng_below(&rng, 2) == 0 ? (uint8_t) "'`\\0"[rng_below(&rng, 4)]
                                              : (uint8_t)rng_next(&rng);
        }
        check(bytes_of(text, size), rng_below(&rng, 2) == 0 ? '\'' : '`');
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_texts_stay_within_their_quotes),
        cmocka_unit_test(test_any_bytes_come_back_out_of_their_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
