/* label_text_test.c - labels from texts: those that the destination wrote are returned exactly;
 * those of other writers are read or refused. */
#include "lib/test.h"

#include "backend/clickhouse/clickhouse_reader.h"
#include "lib/wire/random_labels.h"
#include "wire/point/clickhouse_row.h"

enum { ROOM = 1 << 20, ROUNDS = 3000 };

static void
read_back(struct bytes labels, struct bytes text, struct buf *to)
{
    static const struct named_texts none = {NULL, 0};
    struct label read[FINAL_LABELS_MAX];
    struct arena arena;
    struct why why = {""};
    uint32_t count;
    arena_init(&arena, NULL, ROOM, 0);
    struct bytes metric = labels_get(labels, bytes_of_text("__name__"));
    assert_int_equal(label_text_read(metric, text, &arena, read, &count, &why), OK);
    assert_int_equal(final_labels_build(&(struct external_labels){&none}, read, count, to, &why),
                     OK);
    arena_fini(&arena);
}

/* Returns any bytes. */
static struct bytes
hostile_text(struct rng *rng, uint8_t *room, size_t max)
{
    static const char usual[] = "\"\\{},:\n\t\x01\x1f ax";
    size_t size = 1 + (size_t)rng_below(rng, max);
    for (size_t i = 0; i < size; i++) {
        bool any = rng_below(rng, 3) == 0;
        room[i] = any ? (uint8_t)rng_next(rng) : (uint8_t)usual[rng_below(rng, sizeof usual - 1)];
    }
    return bytes_of(room, size);
}

UNIT_TEST(test_labels_that_the_destination_wrote_read_back)
{
    struct rng rng = {.state = 1};
    struct buf labels, text, back;
    buf_init(&labels, NULL, ROOM);
    buf_init(&text, NULL, ROOM);
    buf_init(&back, NULL, ROOM);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t room[8][16];
        struct label given[4];
        struct labels_limits none = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 4);
        for (uint32_t i = 0; i < count; i++) {
            given[i] = (struct label){hostile_text(&rng, room[2 * i], 16),
                                      hostile_text(&rng, room[2 * i + 1], 16)};
        }
        if (rng_below(&rng, 2) == 0) given[0].name = bytes_of_text("__name__");
        buf_clear(&labels);
        buf_clear(&text);
        buf_clear(&back);
        if (labels_build(given, count, &none, &labels) != REJECT_NONE) continue;
        clickhouse_labels_put(&text, buf_bytes(&labels));
        read_back(buf_bytes(&labels), buf_bytes(&text), &back);
        assert_true(bytes_equal(buf_bytes(&labels), buf_bytes(&back)));
    }
    buf_fini(&labels);
    buf_fini(&text);
    buf_fini(&back);
}

static void
check(const char *text, enum err expected, const char *labels)
{
    struct label read[FINAL_LABELS_MAX];
    struct arena arena;
    struct why why = {""};
    struct buf to;
    uint32_t count;
    arena_init(&arena, NULL, ROOM, 0);
    buf_init(&to, NULL, ROOM);
    enum err e =
        label_text_read(bytes_of_text("up"), bytes_of_text(text), &arena, read, &count, &why);
    assert_int_equal(e, expected);
    if (e) {
        assert_non_null(strstr(why.text, labels));
    } else {
        for (uint32_t i = 0; i < count; i++) {
            buf_printf(&to, "%.*s=%.*s;", (int)read[i].name.size, read[i].name.at,
                       (int)read[i].value.size, read[i].value.at);
        }
        buf_put_u8(&to, 0);
        assert_string_equal((const char *)to.at, labels);
    }
    buf_fini(&to);
    arena_fini(&arena);
}

UNIT_TEST(test_objects_of_others_are_read_and_other_values_refused)
{
    check("", OK, "__name__=up;");
    check("{}", OK, "__name__=up;");
    check(" { \"b\" : \"x\" , \"a\":\"\\u00e9\" } ", OK, "__name__=up;b=x;a=\xc3\xa9;");
    check("{\"__name__\":\"other\",\"code\":200,\"ok\":true,\"no\":null,\"empty\":\"\"}", OK,
          "__name__=up;code=200;ok=true;");
    check("{\"a\":{}}", ERR_CORRUPT, "object or an array");
    check("{\"a\":\"x\"", ERR_CORRUPT, "cannot be read");
    check("{\"a\":\"x\"}y", ERR_CORRUPT, "cannot be read");
    check("{'a':'x'}", ERR_CORRUPT, "cannot be read");
    check("up", ERR_CORRUPT, "cannot be read");
}

UNIT_TEST(test_more_labels_than_a_series_may_have_are_an_error)
{
    struct buf text;
    buf_init(&text, NULL, ROOM);
    for (int i = 0; i < FINAL_LABELS_MAX; i++)
        buf_printf(&text, "%c\"l%d\":\"x\"", i == 0 ? '{' : ',', i);
    buf_put(&text, "}", 2);
    check((const char *)text.at, ERR_LIMIT, "more than 1024 labels");
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_that_the_destination_wrote_read_back),
        cmocka_unit_test(test_objects_of_others_are_read_and_other_values_refused),
        cmocka_unit_test(test_more_labels_than_a_series_may_have_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
