/*
 * remote_write_test.c - messages written by hand, each for one rule of the specifications.
 * remote_write_oracle_test.c compares arbitrary messages with protobuf-c.
 */
#include "base/hash/hash.h"
#include "lib/test.h"
#include "lib/wire/remote_write_text.h"

/* Returns the labels of a series as "name=value;name=value;". */
static const char *
labels_text(uint32_t series)
{
    static char text[1000];
    size_t at = 0;
    text[0] = '\0';
    struct rw_label_walk walk = rw_labels(&decoded, &decoded.series[series]);
    for (struct label l; rw_label_next(&walk, &l);) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s;", (int)l.name.size,
                               l.name.at == NULL ? "" : (const char *)l.name.at, (int)l.value.size,
                               l.value.at == NULL ? "" : (const char *)l.value.at);
    }
    return text;
}

static void
expect_float(uint32_t index, double value, int64_t t_ms, int64_t start_ms)
{
    assert_true(index < decoded.float_count);
    assert_int_equal(decoded.floats[index].bits, double_bits(value));
    assert_int_equal(decoded.floats[index].t_ms, t_ms);
    assert_int_equal(decoded.floats[index].start_ms, start_ms);
}

static void
expect_text(struct bytes b, const char *text)
{
    assert_true(bytes_equal_text(b, text));
}

/* --- 1.0 -------------------------------------------------------------------------------------- */

UNIT_TEST(test_v1_canonical_request)
{
    rw_accept(RW_V1,
              "0a{ 0a{0a{'__name__'}12{'up'}} 0a{0a{'job'}12{'a'}} 12{09 #1.5 10 =1700000000123} }"
              "0a{ 0a{0a{'__name__'}12{'up'}} 0a{0a{'job'}12{'b'}} 12{10 =1700000000124} "
              "    12{09 #-1 10 =1700000015124} }");
    assert_int_equal(decoded.series_count, 2);
    assert_string_equal(labels_text(0), "__name__=up;job=a;");
    assert_string_equal(labels_text(1), "__name__=up;job=b;");
    assert_int_equal(decoded.float_count, 3);
    expect_float(0, 1.5, 1700000000123, 0);
    expect_float(1, 0, 1700000000124, 0);
    expect_float(2, -1, 1700000015124, 0);
    assert_int_equal(decoded.series[1].floats.first, 1);
    assert_int_equal(decoded.series[1].floats.count, 2);

    struct bytes view = decoded.series[0].label_bytes;
    assert_ptr_equal(view.at, rw_message.at + 2);
    assert_int_equal(rw_series_key(&decoded, &decoded.series[0]), hash_bytes(view, SEED));
    assert_true(rw_series_key(&decoded, &decoded.series[0]) !=
                rw_series_key(&decoded, &decoded.series[1]));
}

UNIT_TEST(test_v1_empty_messages_are_empty_not_wrong)
{
    rw_accept(RW_V1, "");
    assert_int_equal(decoded.series_count, 0);
    rw_accept(RW_V1, "0a{} 1a{} 0a{0a{} 12{} 1a{} 22{}}");
    assert_int_equal(decoded.series_count, 2);
    assert_int_equal(decoded.metadata_count, 1);
    assert_string_equal(labels_text(0), "");
    assert_string_equal(labels_text(1), "=;");
    expect_float(0, 0, 0, 0);
    assert_int_equal(decoded.exemplar_count, 1);
    assert_int_equal(decoded.histogram_count, 1);
    assert_true(decoded.histograms[0].malformed);
    assert_int_equal(rw_decode(&decoded, RW_V1, (struct bytes){0}, SEED, NULL), OK);
    assert_int_equal(rw_decode(&decoded, RW_V2, (struct bytes){0}, SEED, NULL), OK);
}

UNIT_TEST(test_v1_labels_in_every_legal_shape)
{
    static const struct {
        const char *label;
        const char *expected;
    } cases[] = {
        {"0a{0a{'n'}12{'v'}}", "n=v;"},
        {"0a{12{'v'}0a{'n'}}", "n=v;"},
        {"0a{0a{'n'}}", "n=;"},
        {"0a{12{'v'}}", "=v;"},
        {"0a{0a{'n'}12{}}", "n=;"},
        {"0a{0a{}12{'v'}}", "=v;"},
        {"0a{0a{'x'}0a{'n'}12{'w'}12{'v'}}", "n=v;"},
        {"0a{0a{'n'}12{'v'}0a{}}", "=v;"},
        {"0a{0a{'n'}18 07 12{'v'} 25 01 02 03 04 29 #1 32{'x'}}", "n=v;"},
        {"8a 00{0a{'n'}12{'v'}}", "n=v;"},
        {"0a 86 00 0a{'n'}12{'v'}", "n=v;"},
        {"0a{0a 81 00 'n' 12{'v'}}", "n=v;"},
        {"0a{8a 80 00 {'n'} 12{'v'}}", "n=v;"},
        {"0a{0a{'n'}12{'v'}} 0a{0a{'m'}12{'w'}}", "n=v;m=w;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "0a{ %s 12{10 =5} }", cases[i].label);
        rw_accept(RW_V1, text);
        assert_string_equal(labels_text(0), cases[i].expected);
        expect_float(0, 0, 5, 0);
    }
}

UNIT_TEST(test_v1_long_labels_pass_the_short_reader)
{
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    static const size_t sizes[] = {0,   1,   60,  61,  119, 120, 121,  122,
                                   123, 124, 127, 128, 130, 300, 16384};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int on_name = 0; on_name < 2; on_name++) {
            buf_clear(&text);
            buf_printf(&text, "0a{ 0a{0a{'a'}12{'b'}} 0a{0a{'n%0*d'} 12{'v%0*d'}} 12{10 01} }",
                       on_name ? (int)sizes[i] : 1, 0, on_name ? 1 : (int)sizes[i], 0);
            buf_put_u8(&text, 0);
            rw_accept(RW_V1, (const char *)text.at);
            struct rw_label_walk walk = rw_labels(&decoded, &decoded.series[0]);
            struct label label;
            assert_true(rw_label_next(&walk, &label));
            assert_true(rw_label_next(&walk, &label));
            size_t expected = sizes[i] == 0 ? 1 : sizes[i];
            assert_int_equal((on_name ? label.name : label.value).size, 1 + expected);
            assert_false(rw_label_next(&walk, &label));
            assert_int_equal(decoded.float_count, 1);
        }
    }
    buf_fini(&text);
}

UNIT_TEST(test_v1_malformed_labels_refuse_the_request)
{
    static const char *const bad[] = {
        "0a 05 0a 01 'n' 12 02",     /* value reaches past the label */
        "0a 06 0a 01 'n' 12 02 'v'", /* the same, followed by bytes of the next field */
        "0a 06 0a 7f 'n' 12 01 'v'", /* the name reaches past the label */
        "0a 06 0a 03 'n' 12 01 'v'", /* the name swallows the value's tag */
        "0a 06 08 01 'n' 12 01 'v'", /* name as a varint, then nonsense */
        "0a{08 01}",                 /* name of the wrong wire type */
        "0a{0a{'n'}15 00 00 00 00}", /* value of the wrong wire type */
        "0a{0a{'n'}12}",             /* without a length */
        "0a{0a ff ff ff ff 0f 'n'}", /* 4 GiB */
        "0a{0a{'n'}1b}",             /* a group without an end */
        "0a{0a{'n'}1b 24}",          /* a group with another field's end */
        "0a{0b 0c}",                 /* the name as a group */
        "0a{0a{'n'}00 00}",          /* field number 0 */
        "0a ff ff ff ff 0f",         /* the label itself is 4 GiB */
        "0a 7f 0a{'n'}12{'v'}",      /* the label reaches past the series */
        "0a",                        /* the message ends after the tag */
        "08 01",                     /* labels of the wrong wire type */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(text, sizeof text, "0a{ 0a{0a{'a'}12{'b'}} %s }", bad[i]);
        rw_refuse(RW_V1, text);
        snprintf(text, sizeof text, "0a{ 0a{0a{'a'}12{'b'}} 12{10 01} 1a{ %s } }", bad[i]);
        rw_refuse(RW_V1, text);
    }
}

UNIT_TEST(test_v1_scattered_labels_are_gathered)
{
    rw_accept(RW_V1, "0a{ 0a{0a{'a'}12{'1'}} 0a{0a{'b'}12{'2'}} 12{10 =5} 0a{0a{'c'}12{'3'}} }"
                     "0a{ 12{10 =6} 0a{0a{'a'}12{'1'}} 0a{0a{'b'}12{'2'}} 0a{0a{'c'}12{'3'}} }"
                     "0a{ 0a{0a{'a'}12{'1'}} 50 01 0a{0a{'b'}12{'2'}} 52{'x'} 0a{0a{'c'}12{'3'}} }"
                     "0a{ 0a{0a{'a'}12{'1'}} 50 01 }");
    assert_string_equal(labels_text(0), "a=1;b=2;c=3;");
    assert_string_equal(labels_text(1), "a=1;b=2;c=3;");
    assert_string_equal(labels_text(2), "a=1;b=2;c=3;");
    assert_string_equal(labels_text(3), "a=1;");
    for (uint32_t i = 1; i < 3; i++) {
        assert_true(bytes_equal(decoded.series[0].label_bytes, decoded.series[i].label_bytes));
        assert_int_equal(rw_series_key(&decoded, &decoded.series[0]),
                         rw_series_key(&decoded, &decoded.series[i]));
    }
    assert_int_equal(decoded.float_count, 2);
    expect_float(0, 0, 5, 0);
}

UNIT_TEST(test_samples_in_every_legal_shape)
{
    static const struct {
        const char *sample;
        double value;
        int64_t t_ms;
    } cases[] = {
        {"09 #2.5 10 =1700000000000", 2.5, 1700000000000},
        {"10 =1700000000000", 0, 1700000000000},
        {"10 =1700000000000 09 #2.5", 2.5, 1700000000000},
        {"09 #2.5", 2.5, 0},
        {"", 0, 0},
        {"09 #2.5 10 =-1", 2.5, -1},
        {"10 =-9223372036854775808", 0, INT64_MIN},
        {"10 =9223372036854775807", 0, INT64_MAX},
        {"10 =34359738367", 0, 34359738367},     /* the last of five bytes */
        {"10 =34359738368", 0, 34359738368},     /* the first of six */
        {"10 =4398046511103", 0, 4398046511103}, /* the last of six */
        {"10 =4398046511104", 0, 4398046511104}, /* the first of seven */
        {"09 #2.5 10 =34359738367", 2.5, 34359738367},
        {"09 #2.5 10 =34359738368", 2.5, 34359738368},
        {"09 #2.5 10 =4398046511103", 2.5, 4398046511103},
        {"09 #2.5 10 =4398046511104", 2.5, 4398046511104},
        {"10 80 80 80 80 80 00", 0, 0}, /* six bytes, longer than needed */
        {"10 81 82 83 84 85 06", 0, 1 | 2 << 7 | 3 << 14 | 4 << 21 | 5ll << 28 | 6ll << 35},
        {"09 #1 10 01 09 #2 10 02", 2, 2}, /* the last wins */
        {"09 #1 10 01 20 07 2a{'x'} 35 'abcd'", 1, 1},
        {"09 #1 10 01 09 #0 10 00", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        int64_t t_ms = cases[i].t_ms;
        snprintf(text, sizeof text, "0a{ 12{%s} 12{10 =77} }", cases[i].sample);
        rw_accept(RW_V1, text);
        expect_float(0, cases[i].value, t_ms, 0);
        expect_float(1, 0, 77, 0);
        snprintf(text, sizeof text, "2a{ 12{%s} 12{10 =77 18 =70} }", cases[i].sample);
        rw_accept(RW_V2, text);
        expect_float(0, cases[i].value, t_ms, 0);
        expect_float(1, 0, 77, 70);
        snprintf(text, sizeof text, "2a{ 12{%s 18 =-5} }", cases[i].sample);
        rw_accept(RW_V2, text);
        expect_float(0, cases[i].value, t_ms, -5);
        snprintf(text, sizeof text, "0a{ 12{%s} }", cases[i].sample); /* at the very end */
        rw_accept(RW_V1, text);
        expect_float(0, cases[i].value, t_ms, 0);
    }
    rw_accept(RW_V1, "0a{ 12{10 =77 18 =70} }"); /* 1.0 does not know field 3 */
    expect_float(0, 0, 77, 0);
}

UNIT_TEST(test_value_bits_survive)
{
    rw_accept(RW_V1, "0a{ 12{09 02 00 00 00 00 00 f0 7f 10 =1700000000000}"
                     "    12{09 01 00 00 00 00 00 f8 7f 10 =1700000000000}"
                     "    12{09 00 00 00 00 00 00 00 80 10 =1700000000000}"
                     "    12{09 01 00 00 00 00 00 00 00 10 =1} }");
    assert_int_equal(decoded.floats[0].bits, STALE_NAN_BITS);
    assert_int_equal(decoded.floats[1].bits, NORMAL_NAN_BITS);
    assert_int_equal(decoded.floats[2].bits, 1ull << 63);
    assert_int_equal(decoded.floats[3].bits, 1);
}

UNIT_TEST(test_malformed_samples_refuse_the_request)
{
    static const char *const bad[] = {
        "12 10 09 00 00 00",                       /* truncated */
        "12 07 10 80 80 80 80 80",                 /* the time is cut by the end */
        "12 07 10 80 80 80 80 80 80",              /* the time is cut by the sample's end */
        "12{10 ff ff ff ff ff ff ff ff ff 02}",    /* 65 bits */
        "12{10 80 80 80 80 80 80 80 80 80 80 00}", /* eleven bytes */
        "12{0d 00 00 00 00}",                      /* value as a float */
        "12{08 01}",                               /* value as a varint */
        "12{11 #1}",                               /* time as a double */
        "12{12{'x'}}",                             /* time as bytes */
        "12{09 00}",                               /* value cut */
        "12{03}",                                  /* a group of field 0 */
        "12{0b 0c}",                               /* the value as a group */
        "12{2b}",                                  /* a group without an end */
        "12{07}",                                  /* an unknown wire type */
        "10 01",                                   /* samples as a varint */
        "12 ff ff ff ff 0f",                       /* 4 GiB */
        "12 ff ff ff ff ff ff ff ff ff 01",        /* 2^64 - 1 */
        "12",                                      /* the message ends after the tag */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[200];
        snprintf(text, sizeof text, "0a{ 12{10 01} %s }", bad[i]);
        rw_refuse(RW_V1, text);
        snprintf(text, sizeof text, "2a{ 12{10 01} %s }", bad[i]);
        rw_refuse(RW_V2, text);
    }
    rw_refuse(RW_V2, "2a{ 12{19 #1} }"); /* start time as a double */
}

UNIT_TEST(test_v1_exemplars_have_labels_of_their_own)
{
    rw_accept(RW_V1, "0a{ 0a{0a{'a'}12{'b'}}"
                     " 1a{ 0a{0a{'trace'}12{'x1'}} 0a{12{'y'}} 11 #0.5 18 =-3 }"
                     " 1a{ 18 =4 0a{0a{'trace'}12{'x2'}} } 1a{} }"
                     "0a{ 1a{ 11 #1 11 #2 18 01 18 02 0a{} } }");
    assert_int_equal(decoded.exemplar_count, 4);
    const struct rw_exemplar *x = decoded.exemplars;
    assert_int_equal(x[0].bits, double_bits(0.5));
    assert_int_equal(x[0].t_ms, -3);
    assert_int_equal(x[0].label_count, 2);
    expect_text(decoded.labels[x[0].label_first].name, "trace");
    expect_text(decoded.labels[x[0].label_first].value, "x1");
    expect_text(decoded.labels[x[0].label_first + 1].name, "");
    expect_text(decoded.labels[x[0].label_first + 1].value, "y");
    assert_int_equal(x[1].label_count, 1);
    expect_text(decoded.labels[x[1].label_first].value, "x2");
    assert_int_equal(x[2].label_count, 0);
    assert_int_equal(x[3].bits, double_bits(2));
    assert_int_equal(x[3].t_ms, 2);
    assert_int_equal(x[3].label_count, 1);
    assert_int_equal(decoded.series[0].exemplars.count, 3);
    assert_int_equal(decoded.series[1].exemplars.first, 3);
    rw_refuse(RW_V1, "0a{ 1a{ 10 01 } }");
    rw_refuse(RW_V1, "0a{ 1a{ 19 #1 } }");
    rw_refuse(RW_V1, "0a{ 1a{ 08 01 } }");
}

UNIT_TEST(test_v1_metadata)
{
    rw_accept(RW_V1, "1a{ 08 02 12{'up'} 22{'Is it up?'} 2a{'bool'} }"
                     "1a{ 08 =99 12{'x'} 12{'y'} 1a{'skipped'} 08 =-1 }");
    assert_int_equal(decoded.metadata_count, 2);
    assert_int_equal(decoded.metadata[0].type, METRIC_GAUGE);
    expect_text(decoded.metadata[0].family, "up");
    expect_text(decoded.metadata[0].help, "Is it up?");
    expect_text(decoded.metadata[0].unit, "bool");
    assert_int_equal(decoded.metadata[1].type, METRIC_UNKNOWN);
    expect_text(decoded.metadata[1].family, "y");
    rw_refuse(RW_V1, "1a{ 0a{} }");
    rw_refuse(RW_V1, "1a{ 10 01 }");
    rw_refuse(RW_V1, "18 01");
    rw_refuse(RW_V1, "1a 02 12 01");
}

UNIT_TEST(test_unknown_fields_are_skipped_at_every_level)
{
    rw_accept(RW_V1,
              "10 01 0a{ 28 01 0a{0a{'a'}12{'b'}} 12{10 01} 2d 00 00 00 00 } 21 #1 12{'source'}"
              "fa ff ff ff 0f{'far'} 1a{ 18 01 }");
    assert_int_equal(decoded.series_count, 1);
    assert_string_equal(labels_text(0), "a=b;");
    rw_accept(RW_V2, "0a{0a{}} 10 01 1d 00 00 00 00 22{} 2a{ 30 =5 32{} 12{10 01} } 31 #1");
    assert_int_equal(decoded.series_count, 1);
    assert_int_equal(decoded.symbol_count, 1);
    rw_accept(
        RW_V1,
        "13 14 0a{ 2b 08 01 2c 0a{0a{'a'} 1b 0a{'z'} 1c 12{'b'}} 12{1b 1c 10 01} } 13 2b 2c 14");
    assert_int_equal(decoded.series_count, 1);
    assert_int_equal(decoded.float_count, 1);
    assert_string_equal(labels_text(0), "a=b;");
    rw_accept(RW_V2, "13 14 22{} 2a{ 33 34 12{23 24 10 01} } 33 3b 3c 34");
    assert_int_equal(decoded.series_count, 1);
    assert_int_equal(decoded.float_count, 1);
    rw_refuse(RW_V1, "13 1c");
    rw_refuse(RW_V2, "13");
    rw_refuse(RW_V1, "02{}");
    rw_refuse(RW_V2, "02{}");
    rw_refuse(RW_V1, "08 01");
    rw_refuse(RW_V2, "20 01");
    rw_refuse(RW_V2, "28 01");
    rw_refuse(RW_V1, "0a ff ff ff ff 0f");
    rw_refuse(RW_V2, "22 ff ff ff ff 0f");
    rw_refuse(RW_V2, "2a ff ff ff ff 0f");
}

/* --- 2.0 -------------------------------------------------------------------------------------- */

UNIT_TEST(test_v2_canonical_request)
{
    rw_accept(RW_V2,
              SYMBOLS "2a{ 0a{01 02 03 04} 12{09 #1.5 10 =1700000000123} 2a{08 02 18 05 20 06} }"
                      "2a{ 0a{01 02} 12{10 =1700000000124 18 =1700000000000} 2a{} }"
                      "2a{ 0a{01 02 03 04} }");
    assert_int_equal(decoded.symbol_count, 7);
    assert_int_equal(decoded.series_count, 3);
    assert_string_equal(labels_text(0), "__name__=up;job=a;");
    assert_string_equal(labels_text(1), "__name__=up;");
    expect_float(0, 1.5, 1700000000123, 0);
    expect_float(1, 0, 1700000000124, 1700000000000);
    const struct rw_series *s = decoded.series;
    /* An empty message says nothing: Prometheus sends it where it knows no type. */
    assert_true(s[0].has_metadata && !s[1].has_metadata && !s[2].has_metadata);
    assert_int_equal(s[0].type, METRIC_GAUGE);
    expect_text(s[0].help, "Is it up?");
    expect_text(s[0].unit, "bool");
    assert_int_equal(rw_series_key(&decoded, &s[0]), rw_series_key(&decoded, &s[2]));
    assert_true(rw_series_key(&decoded, &s[0]) != rw_series_key(&decoded, &s[1]));
    assert_true(fingerprint_equal(s[0].print, s[2].print));
    assert_false(fingerprint_equal(s[0].print, s[1].print));
}

UNIT_TEST(test_v2_keys_follow_texts_not_their_numbers)
{
    rw_accept(RW_V2, "22{} 22{'a'} 22{'b'} 22{'c'} 22{'d'} 2a{0a{01 02 03 04}} 2a{0a{03 04 01 02}}"
                     "2a{0a{02 01 03 04}} 2a{0a{01 02}} 2a{} 2a{0a{00 00}}");
    uint64_t first = rw_series_key(&decoded, &decoded.series[0]);
    for (uint32_t i = 1; i < decoded.series_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            assert_true(rw_series_key(&decoded, &decoded.series[i]) !=
                        rw_series_key(&decoded, &decoded.series[k]));
        }
    }
    rw_accept(RW_V2, "22{} 22{'d'} 22{'c'} 22{'b'} 22{'x'} 22{'a'} 2a{0a{05 03 02 01}}");
    assert_int_equal(rw_series_key(&decoded, &decoded.series[0]), first);
    struct bytes m = rw_message;
    assert_int_equal(rw_decode(&decoded, RW_V2, m, SEED + 1, NULL), OK);
    assert_true(rw_series_key(&decoded, &decoded.series[0]) != first);
}

UNIT_TEST(test_v2_references_in_every_legal_shape)
{
    static const char *const shapes[] = {
        "0a{01 02 03 04}",
        "08 01 08 02 08 03 08 04",
        "0a{01} 0a{} 0a{02 03 04}",
        "08 01 0a{02 03} 12{} 08 04",
        "0a{81 00 82 80 00 03 84 80 80 80 00}",
        "0a{81 80 80 80 10 02 03 =4294967300}", /* 2^32 + 1, + 4: the lower half counts */
        "2a{} 0a{01 02} 30 01 0a{03 04}",
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char text[300];
        snprintf(text, sizeof text, SYMBOLS "2a{0a{03 04}} 2a{ %s } 2a{0a{01 02}}", shapes[i]);
        rw_accept(RW_V2, text);
        assert_string_equal(labels_text(0), "job=a;");
        assert_string_equal(labels_text(1), "__name__=up;job=a;");
        assert_string_equal(labels_text(2), "__name__=up;");
    }
}

UNIT_TEST(test_v2_bad_references_mark_the_series_only)
{
    static const char *const bad[] = {
        "0a{01}", "0a{01 02 03}", "0a{01 07}", "0a{07 01}", "0a{01 02 ff ff ff ff 0f 01}", "08 01",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 SYMBOLS "2a{0a{03 04}} 2a{ %s 12{10 01} } 2a{0a{01 02} 12{10 02}}", bad[i]);
        rw_accept(RW_V2, text);
        assert_true(decoded.series[1].bad_reference);
        assert_int_equal(decoded.series[1].refs.count, 0);
        assert_int_equal(decoded.series[1].floats.count, 1);
        assert_string_equal(labels_text(1), "");
        assert_string_equal(labels_text(2), "__name__=up;");
        assert_false(decoded.series[2].bad_reference);
    }
    rw_accept(RW_V2, "2a{0a{00 00}}"); /* without any symbol */
    assert_true(decoded.series[0].bad_reference);
    /* a first symbol that is not empty is not an error here */
    rw_accept(RW_V2, "22{'x'} 2a{0a{00 00}}");
    assert_string_equal(labels_text(0), "x=x;");
}

UNIT_TEST(test_v2_malformed_references_refuse_the_request)
{
    rw_refuse(RW_V2, SYMBOLS "2a{ 0a{01 80} }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 0a{01 ff ff ff ff ff ff ff ff ff 02} }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 0d 00 00 00 00 }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 0a 05 01 }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 08 }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 22{ 0a{80} } }");
    rw_refuse(RW_V2, SYMBOLS "2a{ 22{ 0d 00 00 00 00 } }");
}

UNIT_TEST(test_v2_symbols_may_follow_the_series)
{
    rw_accept(RW_V2, "2a{ 0a{01 02} 12{10 01} 22{0a{03 04}} 2a{18 05} } 22{} 22{'__name__'} "
                     "2a{ 0a{01 02 03 04} 1a{08 05} } 22{'up'} 22{'job'} 22{'a'} 22{'help'}");
    assert_int_equal(decoded.series_count, 2);
    assert_int_equal(decoded.symbol_count, 6);
    assert_string_equal(labels_text(0), "__name__=up;");
    assert_string_equal(labels_text(1), "__name__=up;job=a;");
    expect_text(decoded.series[0].help, "help");
    assert_int_equal(decoded.exemplars[0].label_count, 1);
    expect_text(decoded.labels[0].name, "job");
    assert_int_equal(decoded.float_count, 1);
    assert_int_equal(decoded.histogram_count, 1);
    rw_refuse(RW_V2, "2a{} 22{} 2a{ 08 }");
    rw_refuse(RW_V2, "2a{} 22{} 22 05");
    rw_refuse(RW_V2, "2a{} 22 05");
}

UNIT_TEST(test_v2_exemplars_refer_to_symbols)
{
    rw_accept(RW_V2, SYMBOLS "2a{ 22{0a{03 04} 11 #0.5 18 =9} 22{08 01 08 02 0a{03 04}} 22{0a{03}}"
                             "    22{0a{03 07}} 22{18 =-1} 0a{01 02} }");
    const struct rw_exemplar *x = decoded.exemplars;
    assert_int_equal(decoded.exemplar_count, 5);
    assert_int_equal(x[0].label_count, 1);
    assert_int_equal(x[0].t_ms, 9);
    assert_int_equal(x[0].bits, double_bits(0.5));
    expect_text(decoded.labels[x[0].label_first].name, "job");
    assert_int_equal(x[1].label_count, 2);
    expect_text(decoded.labels[x[1].label_first].value, "up");
    assert_true(x[2].bad_reference && x[3].bad_reference && !x[4].bad_reference);
    assert_int_equal(x[2].label_count + x[3].label_count, 0);
    assert_int_equal(x[4].t_ms, -1);
    assert_string_equal(labels_text(0), "__name__=up;");
}

UNIT_TEST(test_v2_metadata_occurrences_merge)
{
    rw_accept(RW_V2, SYMBOLS "2a{ 2a{08 01 18 05} 2a{20 06} 2a{} }"
                             "2a{ 2a{08 01 18 05} 2a{08 03 18 06} 2a{18 00} }"
                             "2a{ 2a{08 =8 18 =7} } 2a{ 2a{20 =4294967295 18 05} }");
    const struct rw_series *s = decoded.series;
    assert_int_equal(s[0].type, METRIC_COUNTER);
    expect_text(s[0].help, "Is it up?");
    expect_text(s[0].unit, "bool");
    assert_int_equal(s[1].type, METRIC_HISTOGRAM);
    expect_text(s[1].help, "");
    assert_false(s[1].bad_metadata);
    assert_int_equal(s[2].type, METRIC_UNKNOWN);
    assert_true(s[2].bad_metadata);
    expect_text(s[2].help, "");
    assert_true(s[3].bad_metadata);
    expect_text(s[3].help, "Is it up?");
    expect_text(s[3].unit, "");
    rw_refuse(RW_V2, "2a{ 2a{0a{}} }");
    rw_refuse(RW_V2, "2a{ 2a{1a{}} }");
    rw_refuse(RW_V2, "2a{ 2a 05 }");
}

UNIT_TEST(test_the_sentence_names_the_place)
{
    struct bytes m = rw_message_of("0a{ 12{10 01} } 0a{ 12{10} }");
    struct why why;
    assert_int_equal(rw_decode(&decoded, RW_V1, m, SEED, &why), ERR_INPUT);
    assert_string_equal(why.text, "remote write 1.0: malformed protobuf in the field at byte 6 of "
                                  "11 (series 2)");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1_canonical_request),
        cmocka_unit_test(test_v1_empty_messages_are_empty_not_wrong),
        cmocka_unit_test(test_v1_labels_in_every_legal_shape),
        cmocka_unit_test(test_v1_long_labels_pass_the_short_reader),
        cmocka_unit_test(test_v1_malformed_labels_refuse_the_request),
        cmocka_unit_test(test_v1_scattered_labels_are_gathered),
        cmocka_unit_test(test_samples_in_every_legal_shape),
        cmocka_unit_test(test_value_bits_survive),
        cmocka_unit_test(test_malformed_samples_refuse_the_request),
        cmocka_unit_test(test_v1_exemplars_have_labels_of_their_own),
        cmocka_unit_test(test_v1_metadata),
        cmocka_unit_test(test_unknown_fields_are_skipped_at_every_level),
        cmocka_unit_test(test_v2_canonical_request),
        cmocka_unit_test(test_v2_keys_follow_texts_not_their_numbers),
        cmocka_unit_test(test_v2_references_in_every_legal_shape),
        cmocka_unit_test(test_v2_bad_references_mark_the_series_only),
        cmocka_unit_test(test_v2_malformed_references_refuse_the_request),
        cmocka_unit_test(test_v2_symbols_may_follow_the_series),
        cmocka_unit_test(test_v2_exemplars_refer_to_symbols),
        cmocka_unit_test(test_v2_metadata_occurrences_merge),
        cmocka_unit_test(test_the_sentence_names_the_place),
    };
    return rw_test_run(tests);
}
