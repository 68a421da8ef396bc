/* remote_write_overwrite_test.c - labels that replace those of all series of a request. */
#include "wire/remote/remote_write.h"

#include "base/hash/hash.h"
#include "lib/failing_memory.h"
#include "lib/test.h"
#include "lib/wire/remote_write_text.h"
#include "wire/proto.h"

static struct fingerprint_keys keys;

/* Returns the canonical bytes of "name=value;name=value;". */
static struct bytes
labels_of(const char *text)
{
    static uint8_t room[1000];
    size_t at = 0;
    while (*text != '\0') {
        size_t name = strcspn(text, "="), value = strcspn(text + name + 1, ";");
        room[at++] = 0x0a;
        room[at++] = (uint8_t)(name + value + 4);
        room[at++] = 0x0a;
        room[at++] = (uint8_t)name;
        memcpy(room + at, text, name);
        at += name;
        room[at++] = 0x12;
        room[at++] = (uint8_t)value;
        memcpy(room + at, text + name + 1, value);
        at += value;
        text += name + value + 2;
    }
    return bytes_of(room, at);
}

static void
expect_labels(uint32_t series, const char *expected)
{
    char text[1000] = "";
    size_t at = 0;
    struct rw_label_walk walk = rw_labels(&decoded, &decoded.series[series]);
    for (struct label l; rw_label_next(&walk, &l);) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s;", (int)l.name.size,
                               (const char *)l.name.at, (int)l.value.size,
                               l.value.at == NULL ? "" : (const char *)l.value.at);
    }
    assert_string_equal(text, expected);
}

static uint32_t
overwrite(const char *labels)
{
    uint32_t changed = UINT32_MAX;
    assert_int_equal(rw_overwrite_labels(&decoded, labels_of(labels), &changed, NULL), OK);
    return changed;
}

UNIT_TEST(test_labels_that_were_sent_are_replaced_in_order)
{
    static const struct {
        const char *sent, *v2, *added, *expected;
        uint32_t changed;
    } cases[] = {
        {"0a{0a{'job'}12{'a'}}", "03 04", "team=a;", "job=a;team=a;", 1},
        {"0a{0a{'job'}12{'a'}}", "03 04", "a=1;", "a=1;job=a;", 1},
        {"0a{0a{'job'}12{'a'}}", "03 04", "job=b;", "job=b;", 1},
        {"0a{0a{'job'}12{'a'}}", "03 04", "job=a;", "job=a;", 0},
        {"0a{0a{'job'}12{'a'}} 0a{0a{'job'}12{'a'}}", "03 04 03 04", "job=a;", "job=a;", 1},
        {"0a{0a{'job'}12{'a'}} 0a{0a{'job'}12{'up'}}", "03 04 03 02", "job=b;", "job=b;", 1},
        {"0a{0a{'__name__'}12{'up'}} 0a{0a{'job'}12{'a'}}", "01 02 03 04", "b=1;job=b;z=2;",
         "__name__=up;b=1;job=b;z=2;", 1},
        {"0a{0a{'job'}12{}}", "03 00", "job=b;", "job=b;", 1},
        {"0a{0a{'up'}12{'a'}} 0a{0a{'job'}12{'a'}}", "02 04 03 04", "k=1;", "k=1;up=a;job=a;", 1},
        {"", "", "team=a;", "team=a;", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        snprintf(text, sizeof text, "0a{ %s 12{10 01} }", cases[i].sent);
        rw_accept(RW_V1, text);
        assert_int_equal(overwrite(cases[i].added), cases[i].changed);
        expect_labels(0, cases[i].expected);
        snprintf(text, sizeof text, SYMBOLS "2a{ 0a{%s} 12{10 01} }", cases[i].v2);
        rw_accept(RW_V2, text);
        assert_int_equal(overwrite(cases[i].added), cases[i].changed);
        expect_labels(0, cases[i].expected);
        assert_int_equal(decoded.float_count, 1);
    }
}

UNIT_TEST(test_nothing_but_labels_of_series_changes)
{
    rw_accept(RW_V1, "0a{ 0a{0a{'job'}12{'a'}} 12{09 #1 10 05} 1a{0a{0a{'team'}12{'x'}}} } "
                     "1a{08 01 12{'up'} 22{'help'}}");
    overwrite("team=a;");
    expect_labels(0, "job=a;team=a;");
    assert_int_equal(decoded.exemplar_count, 1);
    assert_true(bytes_equal_text(decoded.labels[0].value, "x"));
    assert_int_equal(decoded.metadata_count, 1);
    rw_accept(RW_V2,
              SYMBOLS "2a{0a{03 04} 22{0a{03 02}} 2a{08 02 18 05}} 2a{0a{03 09}} 2a{0a{03}}");
    assert_int_equal(overwrite("team=a;"), 1);
    expect_labels(0, "job=a;team=a;");
    assert_true(bytes_equal_text(decoded.labels[0].value, "up"));
    assert_true(bytes_equal_text(decoded.series[0].help, "Is it up?"));
    assert_true(decoded.series[1].bad_reference);
    assert_int_equal(decoded.series[1].refs.count, 0);
    assert_true(decoded.series[2].bad_reference);
}

/* The store takes series with equal fingerprints for the same. */
UNIT_TEST(test_fingerprints_are_those_of_a_sender_with_these_labels)
{
    static const char *const sent[][2] = {
        {"0a{ 0a{0a{'job'}12{'b'}} }", "0a{ 0a{0a{'job'}12{'a'}} 0a{0a{'team'}12{'a'}} }"},
        {SYMBOLS "2a{0a{03 02}}", SYMBOLS "22{'team'} 2a{0a{03 04 07 04}}"},
    };
    decoded.keys = &keys;
    for (size_t i = 0; i < sizeof keys.texts.words / sizeof *keys.texts.words; i++) {
        keys.texts.words[i] = i * UINT64_C(0x9e3779b97f4a7c15) + 1;
        keys.lists.words[i] = i * UINT64_C(0xbf58476d1ce4e5b9) + 3;
    }
    for (unsigned i = 0; i < 2; i++) {
        enum rw_version version = i == 0 ? RW_V1 : RW_V2;
        rw_accept(version, sent[i][0]);
        overwrite("job=a;team=a;");
        struct fingerprint print = decoded.series[0].print;
        uint64_t key = rw_series_key(&decoded, &decoded.series[0]);
        rw_accept(version, sent[i][1]);
        assert_true(fingerprint_equal(print, decoded.series[0].print));
        assert_int_equal(key, rw_series_key(&decoded, &decoded.series[0]));
        assert_false(fingerprint_is_none(print));
    }
    decoded.keys = NULL;
}

static enum rw_version failing_version;
static struct bytes failing_message;

static enum err
overwrite_many(void)
{
    struct budget own;
    struct rw_request request;
    uint32_t changed;
    budget_init(&own, "own", 0, NULL);
    enum err e = rw_request_init(&request, &own);
    if (e == OK) e = rw_decode(&request, failing_version, failing_message, SEED, NULL);
    if (e == OK) e = rw_overwrite_labels(&request, labels_of("team=a;"), &changed, NULL);
    assert_true(e == OK || request.series_count == 0);
    rw_request_fini(&request);
    assert_int_equal(budget_used(&own), 0);
    return e;
}

UNIT_TEST(test_any_allocation_may_fail)
{
    static const char *const series[] = {
        [RW_V1] = "0a{ 0a{0a{'job'}12{'a'}} } ", [RW_V2] = "2a{ 0a{03 04} } "};
    for (failing_version = RW_V1; failing_version <= RW_V2; failing_version++) {
        struct buf text;
        buf_init(&text, NULL, 1 << 20);
        if (failing_version == RW_V2) buf_put_text(&text, SYMBOLS);
        for (int i = 0; i < 3000; i++)
            buf_put_text(&text, series[failing_version]);
        buf_put_u8(&text, '\0');
        failing_message = rw_message_of((const char *)text.at);
        buf_fini(&text);
        fail_each_allocation(overwrite_many);
    }
}

UNIT_TEST(test_many_series_without_labels_reach_the_limit)
{
    enum { SERIES = 100000, SERIES_BYTES = 8, VALUE_BYTES = 110 };
    char value[VALUE_BYTES + 1], labels[3 * VALUE_BYTES + 20];
    struct why why;
    uint32_t changed;
    memset(value, 'x', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    snprintf(labels, sizeof labels, "a=%s;b=%s;c=%s;", value, value, value);
    uint8_t *many = malloc((size_t)SERIES * SERIES_BYTES);
    assert_non_null(many);
    for (size_t i = 0; i < SERIES; i++) /* a sample each */
        memcpy(many + SERIES_BYTES * i, "\x0a\x06\x12\x04\x10\x81\x80\x01", SERIES_BYTES);
    struct bytes message = bytes_of(many, (size_t)SERIES * SERIES_BYTES);
    assert_int_equal(rw_decode(&decoded, RW_V1, message, SEED, NULL), OK);
    assert_int_equal(rw_overwrite_labels(&decoded, labels_of(labels), &changed, &why), ERR_LIMIT);
    assert_int_equal(decoded.series_count, 0);
    free(many);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_that_were_sent_are_replaced_in_order),
        cmocka_unit_test(test_nothing_but_labels_of_series_changes),
        cmocka_unit_test(test_fingerprints_are_those_of_a_sender_with_these_labels),
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_many_series_without_labels_reach_the_limit),
    };
    return rw_test_run(tests);
}
