/* writer_test.c - items that each destination writes in another form, sizes of planned calls, which
 * are those of sent ones, and messages about answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/common/pack.h"
#include "lib/backend/writer_rig.h"
#include "lib/test.h"

enum {
    METRIC = WRITER_MAPPED_METRIC,
    NAME = WRITER_MAPPED_LABEL_NAME,
    VALUE = WRITER_MAPPED_LABEL_VALUE,
};

static struct writer_rig rig;

/* Makes the settings of a destination of the class. */
static void
settle(const struct writer_class *class)
{
    rig_init(&rig, class);
    switch (class->type) {
    case DESTINATION_CLICKHOUSE:
        rig.settings.u.clickhouse =
            (struct clickhouse_settings){.url = "http://h", .database = "d", .table = "t"};
        break;
    case DESTINATION_INFLUXDB:
        rig.settings.u.influxdb =
            (struct influxdb_settings){.url = "http://h", .version = INFLUXDB_1, .database = "d"};
        break;
    case DESTINATION_OPENTSDB:
        rig.settings.u.opentsdb =
            (struct opentsdb_settings){.url = "http://h", .max_tags = 8, .max_body = 4096};
        break;
    case DESTINATION_TIMESTREAM:
        rig.settings.aws = (struct aws_settings){.region = "eu-west-1"};
        rig.settings.u.timestream = (struct timestream_settings){
            .database = "d", .table = "t", .write_endpoint = "http://h"};
        break;
    default:
        rig.settings.u.remote_write =
            (struct remote_write_settings){.url = "http://h", .protobuf_message = REMOTE_WRITE_V2};
        break;
    }
}

static void
begin(const struct writer_class *class)
{
    settle(class);
    rig_open(&rig);
}

UNIT_TEST(test_a_writer_without_all_of_its_memory_is_not_opened)
{
    const struct writer_class *const classes[] = {&influxdb_writer, &opentsdb_writer,
                                                  &timestream_writer, &clickhouse_writer,
                                                  &remote_write_writer};
    for (unsigned k = 0; k < sizeof classes / sizeof *classes; k++) {
        for (uint64_t nth = 1;; nth++) {
            settle(classes[k]);
            mem_fail_nth(nth, false);
            struct writer_options options = {.env = sim_env_env(rig.sim),
                                             .memory = &rig.memory,
                                             .settings = &rig.settings,
                                             .instance = "0123456789abcdef"};
            enum err e = writer_new(rig.class, &options, &rig.writer, &rig.why);
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (e != (fired ? ERR_NOMEM : OK)) fail_msg("class %u, %u: %d", k, (unsigned)nth, e);
            if (fired) assert_string_equal(rig.why.text, "not enough memory for a destination");
            rig_fini(&rig);
            if (!fired) break;
        }
    }
}

UNIT_TEST(test_names_are_mapped_where_the_destination_cannot_have_them)
{
    static const struct {
        const char *metric, *name, *value;
        unsigned influxdb, opentsdb, timestream; /* ClickHouse writes them all unchanged */
    } cases[] = {
        {"up", "job", "x", 0, 0, 0},
        {"a:b", "job", "x", 0, METRIC, METRIC},
        {"a_b", "job", "x_y", 0, METRIC | VALUE, 0},
        {"up", "time", "x", NAME, 0, NAME},
        {"up", "job", "two\nlines", VALUE, VALUE, 0},
        {"_up", "job", "C:\\", METRIC | VALUE, METRIC | VALUE, 0},
    };
    const struct writer_class *const classes[] = {&influxdb_writer, &opentsdb_writer,
                                                  &timestream_writer, &clickhouse_writer};
    for (unsigned k = 0; k < sizeof classes / sizeof *classes; k++) {
        begin(classes[k]);
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct item item =
                rig_item(&rig, "__name__", cases[i].metric, cases[i].name, cases[i].value, NULL);
            const unsigned want[] = {cases[i].influxdb, cases[i].opentsdb, cases[i].timestream, 0};
            unsigned got = writer_mapped_parts(rig.class, rig.writer, &item);
            if (got != want[k]) fail_msg("class %u, case %u: %u, not %u", k, i, got, want[k]);
        }
        rig_fini(&rig);
    }
}

UNIT_TEST(test_values_are_mapped_where_there_is_a_form_for_them)
{
    struct histogram histogram = {.kind = SAMPLE_HISTOGRAM_INT};
    begin(&influxdb_writer);
    struct item item = rig_item(&rig, "__name__", "up", NULL);
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), 0);
    item.bits = STALE_NAN_BITS;
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), WRITER_MAPPED_FLOAT);
    item.kind = ITEM_EXEMPLAR;
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), 0);
    item.kind = ITEM_HISTOGRAM;
    item.histogram = &histogram;
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), WRITER_MAPPED_HISTOGRAM);
    rig_fini(&rig);
    begin(&clickhouse_writer);
    item = rig_item(&rig, "__name__", "up", NULL);
    item.kind = ITEM_HISTOGRAM;
    item.histogram = &histogram;
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), WRITER_MAPPED_HISTOGRAM);
    item.kind = ITEM_FLOAT;
    item.bits = STALE_NAN_BITS;
    assert_int_equal(writer_mapped_parts(rig.class, rig.writer, &item), 0);
    rig_fini(&rig);
}

UNIT_TEST(test_a_line_of_ndjson_maps_only_invalid_utf8_and_nan)
{
    const struct writer_class class = {.maps = item_ndjson_maps};
    struct writer_base writer = {.limits.mapped = ITEM_NDJSON_MAPPED};
    struct writer *w = (struct writer *)&writer;
    begin(&influxdb_writer); /* for items */
    struct item item = rig_item(&rig, "__name__", "a:b", "time", "two\nlines", NULL);
    assert_int_equal(writer_mapped_parts(&class, w, &item), 0);
    item.bits = STALE_NAN_BITS;
    assert_int_equal(writer_mapped_parts(&class, w, &item), WRITER_MAPPED_FLOAT);
    item = rig_item(&rig, "__name__", "up", "job", "\xff", NULL);
    assert_int_equal(writer_mapped_parts(&class, w, &item), VALUE);
    item = rig_item(&rig, "__name__", "\xff", NULL);
    assert_int_equal(writer_mapped_parts(&class, w, &item), METRIC);
    rig_fini(&rig);
}

UNIT_TEST(test_an_answer_is_shortened_to_one_line_of_whole_characters)
{
    static const struct {
        const char *answered, *line;
    } rows[] = {
        {"", ""},
        {"gone", "gone"},
        {"\r\n two\n\tlines \x7f\r\n", "two lines"},
        {" \n", ""},
        {"caf\xc3\xa9\n", "caf\xc3\xa9"},
        {"caf\xc3", "caf"},
        {"\xff no UTF-8 \xe9\n", "? no UTF-8 ?"},
    };
    struct writer_step step;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        step_answer(&step, bytes_of_text(rows[i].answered));
        assert_string_equal(step.answer, rows[i].line);
    }
    char text[WRITER_ANSWER_BYTES + 9];
    memset(text, 'x', sizeof text);
    memcpy(text + WRITER_ANSWER_BYTES - 2, "\xc3\xa9", 2); /* the line ends in the middle of it */
    step_answer(&step, bytes_of(text, sizeof text));
    assert_int_equal(strlen(step.answer), WRITER_ANSWER_BYTES - 2);
    assert_int_equal(step.answer[WRITER_ANSWER_BYTES - 3], 'x');
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_writer_without_all_of_its_memory_is_not_opened),
        cmocka_unit_test(test_names_are_mapped_where_the_destination_cannot_have_them),
        cmocka_unit_test(test_values_are_mapped_where_there_is_a_form_for_them),
        cmocka_unit_test(test_a_line_of_ndjson_maps_only_invalid_utf8_and_nan),
        cmocka_unit_test(test_an_answer_is_shortened_to_one_line_of_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
