/* item_ndjson_test.c - lines of each kind of item; a line that does not fit leaves nothing. */
#include "lib/test.h"

#include "backend/common/pack.h"
#include "model/labels.h"

static struct buf labels, trace, line;

static int
setup(void **state)
{
    (void)state;
    buf_init(&labels, NULL, 1000);
    buf_init(&trace, NULL, 1000);
    buf_init(&line, NULL, 1000);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    labels_put(&trace, (struct label){bytes_of_text("trace_id"), bytes_of_text("t")});
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&labels);
    buf_fini(&trace);
    buf_fini(&line);
    return 0;
}

static void
expect_line(const struct item *item, const char *want)
{
    buf_clear(&line);
    item_ndjson_put(&line, item);
    assert_int_equal(buf_error(&line), OK);
    assert_true(bytes_equal_text(buf_bytes(&line), want));
}

UNIT_TEST(test_each_kind_has_its_line)
{
    struct histogram histogram = {.kind = SAMPLE_HISTOGRAM_INT, .sum_bits = double_bits(1.5)};
    struct item item = {.kind = ITEM_FLOAT,
                        .labels = buf_bytes(&labels),
                        .t_ms = 5,
                        .start_ms = 3,
                        .bits = double_bits(0.25)};
    expect_line(&item, "{\"name\":\"up\",\"time\":5,\"value\":0.25,\"start_ms\":3,"
                       "\"labels\":{\"__name__\":\"up\"}}\n");
    item.start_ms = 0;
    item.kind = ITEM_EXEMPLAR;
    item.exemplar_labels = buf_bytes(&trace);
    expect_line(&item, "{\"name\":\"up\",\"time\":5,\"value\":null,\"exemplars\":[{\"labels\":"
                       "{\"trace_id\":\"t\"},\"value\":0.25,\"time\":5}],"
                       "\"labels\":{\"__name__\":\"up\"}}\n");
    item.kind = ITEM_HISTOGRAM;
    item.histogram = &histogram;
    buf_clear(&line);
    item_ndjson_put(&line, &item);
    buf_put_u8(&line, 0);
    assert_non_null(strstr((const char *)line.at, "\"value\":null,\"histogram\":{"));
    assert_non_null(strstr((const char *)line.at, "\"sum\":1.5"));
}

UNIT_TEST(test_a_line_without_room_leaves_nothing)
{
    struct item item = {.kind = ITEM_FLOAT, .labels = buf_bytes(&labels), .t_ms = 5};
    for (size_t limit = 1; limit < 70; limit++) {
        struct buf small;
        buf_init(&small, NULL, limit);
        item_ndjson_put(&small, &item);
        if (buf_error(&small) != OK) assert_int_equal(small.size, 0);
        buf_fini(&small);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_kind_has_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_without_room_leaves_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
