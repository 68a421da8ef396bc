/* letter_line_test.c - every item reads back bit for bit, and no damage reads as something else. */
#include "relay/letters/letters.h"

#include "lib/test.h"

#include <string.h>

#include "model/labels.h"
#include "model/sample.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

struct texts {
    uint8_t bytes[256];
    struct buf buf;
};

static struct bytes
labels_of(struct texts *t, const char *name, const char *value, size_t value_size)
{
    t->buf = (struct buf){.at = t->bytes, .capacity = sizeof t->bytes, .limit = sizeof t->bytes};
    labels_put(&t->buf, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    labels_put(&t->buf, (struct label){bytes_of_text(name), bytes_of(value, value_size)});
    return buf_bytes(&t->buf);
}

/* Puts a letter, reads it back, and compares everything. */
static void
check(const struct dead_letter *letter)
{
    struct buf line;
    struct letter_reader *reader;
    struct dead_letter got;
    const struct item *a = &letter->item, *b = &got.item;
    buf_init(&line, NULL, LETTER_LINE_BYTES_MAX);
    letter_line_put(&line, letter);
    must(buf_error(&line));
    assert_int_equal(line.at[line.size - 1], '\n');
    assert_ptr_equal(memchr(line.at, '\n', line.size), line.at + line.size - 1);
    must(letter_reader_new(NULL, &reader));
    must(letter_reader_line(reader, buf_bytes(&line), &got));
    assert_true(bytes_equal(got.reason, letter->reason));
    assert_true(bytes_equal(got.answer, letter->answer));
    assert_int_equal(got.failed_ms, letter->failed_ms);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->pos, b->pos);
    assert_int_equal(a->index, b->index);
    assert_true(bytes_equal(a->tenant, b->tenant));
    assert_true(bytes_equal(a->labels, b->labels));
    assert_int_equal(a->t_ms, b->t_ms);
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->bits, b->bits);
    assert_true(bytes_equal(a->exemplar_labels, b->exemplar_labels));
    assert_int_equal(a->histogram == NULL, b->histogram == NULL);
    if (a->histogram != NULL) assert_true(histogram_equal(a->histogram, b->histogram));
    if (a->histogram != NULL) assert_int_equal(a->histogram->reset_hint, b->histogram->reset_hint);
    assert_true(bytes_equal(a->family, b->family));
    assert_true(bytes_equal(a->help, b->help));
    assert_true(bytes_equal(a->unit, b->unit));
    if (a->kind == ITEM_METADATA) assert_int_equal(a->family_type, b->family_type);
    /* No part of a line is a letter. */
    for (size_t size = 0; size + 1 < line.size; size++)
        assert_int_equal(letter_reader_line(reader, bytes_of(line.at, size), &got), ERR_CORRUPT);
    letter_reader_free(reader);
    buf_fini(&line);
}

static struct dead_letter
letter_of(enum item_kind kind)
{
    return (struct dead_letter){
        .item = {.kind = kind,
                 .pos = kind == ITEM_EXEMPLAR ? FILL_BIT | 7ULL << FILL_NUMBER_SHIFT | 3 : 1234567,
                 .index = 4,
                 .tenant = bytes_of_text("team-a")},
        .reason = bytes_of_text("conflict"),
        .answer = bytes_of_text("it said \"no\"\n\tand \xe2\x82\xac"),
        .failed_ms = 1767225600123,
    };
}

UNIT_TEST(test_floats_read_back_bit_for_bit)
{
    static const uint64_t bits[] = {
        0,
        1ULL << 63,
        1,
        0x3fb999999999999a,
        0x7ff0000000000000,
        0xfff0000000000000,
        NORMAL_NAN_BITS,
        STALE_NAN_BITS,
        0xfff8000000000123,
        0x7fefffffffffffff,
    };
    struct texts t;
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        struct dead_letter letter = letter_of(ITEM_FLOAT);
        letter.item.labels = labels_of(&t, "job", "x\"\\\n", 4);
        letter.item.bits = bits[i];
        letter.item.t_ms = i % 2 == 0 ? -62135596800000 : 1767225600000;
        letter.item.start_ms = i % 3 == 0 ? 0 : 77;
        check(&letter);
    }
}

UNIT_TEST(test_labels_that_are_not_text_read_back)
{
    struct texts t, x;
    struct dead_letter letter = letter_of(ITEM_FLOAT);
    letter.item.labels = labels_of(&t, "j\xff", "a\0b\xfe", 4);
    check(&letter);
    letter = letter_of(ITEM_EXEMPLAR);
    letter.item.labels = labels_of(&t, "job", "x", 1);
    letter.item.bits = STALE_NAN_BITS;
    check(&letter); /* an exemplar may have no labels */
    letter.item.exemplar_labels = labels_of(&x, "trace", "\xc3\x28", 2);
    check(&letter);
}

UNIT_TEST(test_histograms_read_back_bit_for_bit)
{
    static const struct hist_span span = {-3, 3};
    static const int64_t deltas[] = {1, 0, -1};
    static const uint64_t counts[] = {0x3ff8000000000000, 0, 0x4000000000000000};
    struct texts t;
    struct dead_letter letter = letter_of(ITEM_HISTOGRAM);
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT,
                          .reset_hint = RESET_NO,
                          .schema = 3,
                          .sum_bits = double_bits(18.4),
                          .zero_threshold_bits = double_bits(2.938735877055719e-39),
                          .count = 2,
                          .positive = {&span, 1, 3, deltas, NULL}};
    letter.item.labels = labels_of(&t, "job", "x", 1);
    letter.item.histogram = &h;
    letter.item.start_ms = 5;
    check(&letter);
    h.kind = SAMPLE_HISTOGRAM_FLOAT;
    h.count = double_bits(3.5);
    h.sum_bits = NORMAL_NAN_BITS;
    h.reset_hint = RESET_GAUGE;
    h.positive = (struct hist_buckets){&span, 1, 3, NULL, counts};
    check(&letter);
}

UNIT_TEST(test_metadata_reads_back)
{
    struct dead_letter letter = letter_of(ITEM_METADATA);
    letter.item.family = bytes_of_text("requests");
    letter.item.family_type = METRIC_COUNTER;
    letter.item.help = bytes_of_text("how \"many\"");
    check(&letter);
    letter.item.help = bytes_of_text("\xff\xfe");
    letter.item.unit = bytes_of_text("s");
    letter.answer = bytes_of_text("");
    check(&letter);
}

/* A line that is not one of ours, or has been changed, is not read. */
UNIT_TEST(test_other_lines_are_refused)
{
    static const char *const lines[] = {
        "",
        "\n",
        "{}",
        "null",
        "{\"tenant\":\"a\",\"reason\":\"b\",\"failed_ms\":1}",
        "{\"name\":\"up\",\"time\":1,\"value\":1,\"labels\":{\"__name__\":\"up\"}}",
        "{\"name\":\"up\",\"time\":1,\"value\":1,\"labels\":{\"__name__\":\"up\",\"a\":\"b\"},"
        "\"failed_ms\":\"1\"}",
        "{\"name\":\"up\",\"time\":1,\"value\":1,\"labels\":{\"__name__\":\"up\"},\"failed_ms\":1,"
        "\"failed_ms\":1}",
    };
    struct letter_reader *reader;
    struct dead_letter got;
    must(letter_reader_new(NULL, &reader));
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(letter_reader_line(reader, bytes_of_text(lines[i]), &got), ERR_CORRUPT);
    letter_reader_free(reader);
}

/* --- files ------------------------------------------------------------------------------------ */

struct counted {
    uint64_t lines;
    uint64_t first_pos;
};

static enum err
count_line(void *context, const struct dead_letter *letter, struct bytes line, bool again)
{
    struct counted *c = context;
    assert_false(again);
    assert_int_equal(line.at[line.size - 1], '\n');
    if (c->lines++ == 0) c->first_pos = letter->item.pos;
    return OK;
}

UNIT_TEST(test_a_range_of_a_file_is_read_up_to_a_torn_line)
{
    enum { LINES = 2000 };
    struct sim_env *sim;
    struct file file;
    struct texts t;
    struct buf text;
    uint64_t ends[LINES + 1] = {0};
    must(sim_env_new(1, &sim));
    struct env *env = sim_env_env(sim);
    buf_init(&text, NULL, LETTER_LINE_BYTES_MAX);
    for (uint32_t i = 0; i < LINES; i++) {
        struct dead_letter letter = letter_of(ITEM_FLOAT);
        letter.item.pos = i;
        letter.item.labels = labels_of(&t, "job", "x", 1);
        letter_line_put(&text, &letter);
        ends[i + 1] = text.size;
    }
    must(env_mkdir(env, "d", NULL));
    must(file_open(env, "d/00000001.ndjson", FILE_CREATE, &file, NULL));
    must(file_write_at(&file, bytes_of(text.at, text.size - 1), 0, NULL));
    must(file_close(&file));
    static const uint32_t cases[][3] = {{0, LINES, LINES - 1}, {0, 7, 7}, {3, 7, 4}, {5, 5, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct counted c = {0};
        const struct letter_range range = {.env = env,
                                           .dir = "d",
                                           .from = ends[cases[i][0]],
                                           .to = ends[cases[i][1]],
                                           .each = count_line,
                                           .context = &c};
        struct letter_file read = {.number = 1};
        must(letter_range_each(&range, &read, NULL));
        assert_int_equal(c.lines, cases[i][2]);
        assert_int_equal(kinds_sum(read.lines), cases[i][2]);
        if (c.lines > 0) assert_int_equal(c.first_pos, cases[i][0]);
        assert_int_equal(read.bytes, ends[cases[i][0] + cases[i][2]]);
    }
    buf_fini(&text);
    sim_env_free(sim);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats_read_back_bit_for_bit),
        cmocka_unit_test(test_labels_that_are_not_text_read_back),
        cmocka_unit_test(test_histograms_read_back_bit_for_bit),
        cmocka_unit_test(test_metadata_reads_back),
        cmocka_unit_test(test_other_lines_are_refused),
        cmocka_unit_test(test_a_range_of_a_file_is_read_up_to_a_torn_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
