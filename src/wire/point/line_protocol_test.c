/* line_protocol_test.c - lines byte by byte; and both ways in which InfluxDB has read backslashes
 * return the labels. */
#include "lib/test.h"

#include <stdio.h>

#include "lib/wire/put_text.h"
#include "lib/wire/random_labels.h"
#include "wire/json/sample_json.h"
#include "wire/number.h"
#include "wire/point/line_protocol.h"

static void
check_point(const struct labelled_sample *point, const char *expected)
{
    struct buf line;
    struct why why = {""};
    buf_init(&line, NULL, 1 << 20);
    buf_put_text(&line, ">");
    enum err e = line_protocol_put(&line, point, &why);
    expect_put(&line, e, &why, expected);
}

/* Checks a series of one label besides its name. */
static void
check_label(const char *metric, const char *name, const char *value, const char *expected)
{
    struct buf labels;
    buf_init(&labels, NULL, 1 << 20);
    if (metric != NULL) test_put_texts(&labels, "__name__", metric);
    if (name != NULL) test_put_texts(&labels, name, value);
    struct labelled_sample point = {
        .labels = buf_bytes(&labels), .t_ms = 5, .bits = double_bits(1)};
    check_point(&point, expected);
    buf_fini(&labels);
}

UNIT_TEST(test_labels_are_tags)
{
    check_label("up", NULL, NULL, "up,__name__=up value=1 5\n");
    check_label("up", "job", "x", "up,__name__=up,job=x value=1 5\n");
    check_label("a:b", "p", "a, b=c", "a:b,__name__=a:b,p=a\\,\\ b\\=c value=1 5\n");
    check_label("my metric,x", "l.x", "\xc3\xa9",
                "my\\ metric\\,x,__name__=my\\ metric\\,x,l.x=\xc3\xa9 value=1 5\n");
    check_label("up", "p", "C:\\Dir\\\"f\"", "up,__name__=up,p=C:\\Dir\\\"f\" value=1 5\n");
    check_label("up", "p", "~x%", "up,__name__=up,p=~x% value=1 5\n");
}

UNIT_TEST(test_a_value_that_is_not_valid_in_a_tag_is_encoded)
{
    check_label("up", "p", "a\nb %", "up,__name__=up,p=~%a%0Ab%20%25 value=1 5\n");
    check_label("up", "p", "C:\\", "up,__name__=up,p=~%C:%5C value=1 5\n");
    check_label("up", "p", "a\\,b", "up,__name__=up,p=~%a%5C%2Cb value=1 5\n");
    check_label("up", "p", "a\\\\b", "up,__name__=up,p=~%a%5C%5Cb value=1 5\n");
    check_label("up", "p", "~%", "up,__name__=up,p=~%~%25 value=1 5\n");
    check_label("up", "p", "\xc3\xa9\xff", "up,__name__=up,p=~%\xc3\xa9%FF value=1 5\n");
    check_label("up", "time", "1", "up,__name__=up,~%time=1 value=1 5\n");
    check_label("up", "value", "1", "up,__name__=up,~%value=1 value=1 5\n");
    check_label("up", "_field", "1", "up,__name__=up,~%_field=1 value=1 5\n");
    check_label("_up", NULL, NULL, "~%_up,__name__=_up value=1 5\n");
    check_label("#up", NULL, NULL, "~%#up,__name__=#up value=1 5\n");
    check_label("a=b", NULL, NULL, "~%a%3Db,__name__=a\\=b value=1 5\n");
    check_label(NULL, "p", "1", "~%,p=1 value=1 5\n");
}

UNIT_TEST(test_values_are_exact)
{
    static const struct {
        uint64_t bits;
        const char *line;
    } cases[] = {{0, "a,__name__=a value=0 -5\n"},
                 {0x8000000000000000u, "a,__name__=a value=-0.0 -5\n"},
                 {0x3fb999999999999au, "a,__name__=a value=0.1 -5\n"},
                 {1, "a,__name__=a value=5e-324 -5\n"},
                 {STALE_NAN_BITS, "a,__name__=a bits=\"7ff0000000000002\" -5\n"},
                 {0xfff0000000000000u, "a,__name__=a bits=\"fff0000000000000\" -5\n"}};
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "a");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct labelled_sample point = {
            .labels = buf_bytes(&labels), .t_ms = -5, .bits = cases[i].bits};
        check_point(&point, cases[i].line);
    }
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3, .sum_bits = STALE_NAN_BITS};
    struct labelled_sample point = {.labels = buf_bytes(&labels), .t_ms = 5, .histogram = &h};
    check_point(
        &point,
        "a,__name__=a histogram=\"{\\\"count_int\\\":3,\\\"sum\\\":\\\"7ff0000000000002\\\","
        "\\\"schema\\\":0,\\\"zero_threshold\\\":0,\\\"zero_count_int\\\":0}\" 5\n");
    buf_fini(&labels);
}

UNIT_TEST(test_times_are_in_milliseconds)
{
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "a");
    struct labelled_sample point = {.labels = buf_bytes(&labels), .t_ms = -1700000000123};
    check_point(&point, "a,__name__=a value=0 -1700000000123\n");
    point.t_ms = LINE_TIME_MS_MAX;
    check_point(&point, "a,__name__=a value=0 9223372036854\n");
    point.t_ms++;
    check_point(&point, NULL);
    point.t_ms = INT64_MIN;
    check_point(&point, NULL);
    buf_fini(&labels);
}

UNIT_TEST(test_a_point_that_is_too_large_is_unfit)
{
    struct buf labels;
    static char large[LINE_KEY_BYTES_MAX];
    static uint64_t bounds[LINE_TEXT_BYTES_MAX / 2];
    memset(large, 'x', sizeof large - 1);
    check_label("up", "p", large, NULL);
    buf_init(&labels, NULL, 1 << 20);
    test_put_texts(&labels, "__name__", "a");
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT, .custom_bits = bounds, .custom_count = 32000};
    struct labelled_sample point = {.labels = buf_bytes(&labels), .histogram = &h};
    struct buf line;
    struct why why;
    buf_init(&line, NULL, 1 << 20);
    assert_int_equal(line_protocol_put(&line, &point, &why), OK);
    buf_clear(&line);
    h.custom_count = 32760;
    assert_int_equal(line_protocol_put(&line, &point, &why), ERR_INPUT);
    assert_int_equal(line.size, 0);
    buf_fini(&line);
    buf_fini(&labels);
}

UNIT_TEST(test_a_line_that_does_not_fit_leaves_nothing)
{
    struct buf labels, small;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT};
    buf_init(&labels, NULL, 4096);
    test_put_texts(&labels, "__name__", "a b");
    struct labelled_sample point = {.labels = buf_bytes(&labels), .histogram = &h};
    for (size_t limit = 1;; limit++) {
        buf_init(&small, NULL, limit);
        enum err e = line_protocol_put(&small, &point, NULL);
        size_t size = small.size;
        buf_fini(&small);
        if (e == OK) {
            assert_int_equal(size, limit);
            break;
        }
        assert_int_equal(e, ERR_LIMIT);
        assert_int_equal(size, 0);
    }
    buf_fini(&labels);
}

/* --- reading as InfluxDB does ----------------------------------------------------------------- */

/* The two readings of a backslash: it hides any byte after it from the search for the end (the
 * older one), or only bytes that it can escape. */
enum reading { HIDES_ANY, HIDES_SPECIAL, READINGS };

static bool
is_special(uint8_t c)
{
    return c == ',' || c == '=' || c == ' ';
}

/* Reads up to one of `ends`, which is not consumed; unescapes into `to`. */
static void
read_part(struct cursor *c, const char *ends, enum reading reading, struct buf *to)
{
    const uint8_t *from = c->at;
    while (c->at != c->end && strchr(ends, *c->at) == NULL) {
        bool hides =
            *c->at == '\\' && c->end - c->at > 1 && (reading == HIDES_ANY || is_special(c->at[1]));
        c->at += hides ? 2 : 1;
    }
    for (const uint8_t *p = from; p < c->at; p++) {
        if (*p == '\\' && p + 1 < c->at && is_special(p[1])) p++;
        buf_put_u8(to, *p);
    }
}

static void
take(struct cursor *c, char wanted)
{
    assert_true(c->at != c->end && *c->at == (uint8_t)wanted);
    c->at++;
}

static struct bytes
read_decoded(struct cursor *c, const char *ends, enum reading reading, struct buf *memory)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    read_part(c, ends, reading, &text);
    assert_true(text.size > 0);
    size_t before = memory->size;
    assert_int_equal(line_text_decode(memory, buf_bytes(&text)), OK);
    buf_fini(&text);
    return bytes_of(memory->at + before, memory->size - before);
}

/* Reads the tags as canonical bytes; `c` is at the field then. */
static void
read_key(struct cursor *c, enum reading reading, struct buf *labels)
{
    struct label tags[RANDOM_LABELS_MAX];
    struct buf memory;
    uint32_t count = 0;
    struct bytes name = {NULL, 0};
    buf_init(&memory, NULL, 1 << 20);
    assert_true(buf_reserve(&memory, 1 << 16)); /* its content does not move */
    assert_true(*c->at != '#');
    struct bytes measurement = read_decoded(c, ", ", reading, &memory);
    while (*c->at == ',') {
        c->at++;
        tags[count].name = read_decoded(c, "=", reading, &memory);
        take(c, '=');
        tags[count].value = read_decoded(c, ", ", reading, &memory);
        if (bytes_equal_text(tags[count].name, "__name__")) name = tags[count].value;
        count++;
    }
    take(c, ' ');
    assert_true(bytes_equal(measurement, name));
    test_put_labels(labels, tags, count);
    buf_fini(&memory);
}

UNIT_TEST(test_labels_come_back_however_backslashes_are_read)
{
    struct rng r = {11};
    struct buf labels, line, back;
    buf_init(&labels, NULL, 1 << 20);
    buf_init(&line, NULL, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        buf_clear(&labels);
        buf_clear(&line);
        random_labels(&r, (enum random_class)(i % RANDOM_CLASS_COUNT), &labels);
        struct labelled_sample point = {
            .labels = buf_bytes(&labels), .t_ms = i, .bits = double_bits(i)};
        assert_int_equal(line_protocol_put(&line, &point, NULL), OK);
        assert_ptr_equal(memchr(line.at, '\n', line.size), line.at + line.size - 1);
        for (unsigned reading = 0; reading < READINGS; reading++) {
            struct cursor c = cursor_of(buf_bytes(&line));
            char expected[64];
            buf_init(&back, NULL, 1 << 20);
            read_key(&c, (enum reading)reading, &back);
            if (!bytes_equal(buf_bytes(&back), buf_bytes(&labels)))
                fail_msg("%d: %.*s", i, (int)line.size, (const char *)line.at);
            snprintf(expected, sizeof expected, "value=%d %d\n", i, i);
            assert_true(bytes_equal_text(bytes_of(c.at, cursor_left(&c)), expected));
            buf_fini(&back);
        }
    }
    buf_fini(&labels);
    buf_fini(&line);
}

UNIT_TEST(test_histograms_come_back)
{
    struct rng r = {12};
    struct arena arena;
    struct buf labels, line, text;
    arena_init(&arena, NULL, 0, 0);
    buf_init(&labels, NULL, 4096);
    buf_init(&line, NULL, 1 << 20);
    buf_init(&text, NULL, 1 << 20);
    test_put_texts(&labels, "__name__", "h");
    for (int i = 0; i < 2000; i++) {
        buf_clear(&line);
        buf_clear(&text);
        arena_reset(&arena);
        struct histogram back,
            h = random_histogram(&r, &arena,
                                 i % 2 == 0 ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT);
        struct labelled_sample point = {.labels = buf_bytes(&labels), .histogram = &h};
        assert_int_equal(line_protocol_put(&line, &point, NULL), OK);
        size_t skip = strlen("h,__name__=h histogram=\""), tail = strlen("\" 0\n");
        for (size_t at = skip; at < line.size - tail; at++) {
            if (line.at[at] == '\\') at++;
            buf_put_u8(&text, line.at[at]);
        }
        struct scan s = scan_of(buf_bytes(&text), &arena);
        histogram_json_scan(&s, &back);
        scan_end(&s);
        assert_null(s.bad);
        assert_true(same_histogram_all(&h, &back));
    }
    arena_fini(&arena);
    buf_fini(&labels);
    buf_fini(&line);
    buf_fini(&text);
}

UNIT_TEST(test_codes_that_are_not_ours_are_refused)
{
    static const char *const bad[] = {"~%%", "~%a%", "~%a%4", "~%a%4g", "~%%%41"};
    struct buf to;
    buf_init(&to, NULL, 100);
    buf_put_u8(&to, 'x');
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(line_text_decode(&to, bytes_of_text(bad[i])), ERR_INPUT);
        assert_int_equal(to.size, 1);
    }
    assert_int_equal(line_text_decode(&to, bytes_of_text("%zz")), OK);
    assert_int_equal(line_text_decode(&to, bytes_of_text("~%%7e")), OK);
    assert_true(bytes_equal_text(buf_bytes(&to), "x%zz~"));
    buf_fini(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_tags),
        cmocka_unit_test(test_a_value_that_is_not_valid_in_a_tag_is_encoded),
        cmocka_unit_test(test_values_are_exact),
        cmocka_unit_test(test_times_are_in_milliseconds),
        cmocka_unit_test(test_a_point_that_is_too_large_is_unfit),
        cmocka_unit_test(test_a_line_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_labels_come_back_however_backslashes_are_read),
        cmocka_unit_test(test_histograms_come_back),
        cmocka_unit_test(test_codes_that_are_not_ours_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
