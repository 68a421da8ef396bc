/* remote_write_memory_test.c - memory of decoded requests. */
#include "lib/test.h"
#include "lib/wire/remote_write_text.h"

/* Appends a request of `count` ordinary series, as text. */
static void
put_series_text(struct buf *to, enum rw_version version, unsigned count)
{
    if (version == RW_V2) buf_put_text(to, SYMBOLS);
    for (unsigned i = 0; i < count; i++) {
        if (version == RW_V1) {
            buf_printf(
                to,
                "0a{0a{0a{'__name__'}12{'up'}} 12{09 #%u 10 =1700000000000} "
                "0a{0a{'i'}12{'%u'}} 1a{0a{0a{'t'}12{'x'}}} 22{08 02 5a{10 03} 62{02 02 03}}}",
                i, i);
        } else {
            buf_printf(to,
                       "2a{0a{01 02 03 04} 12{09 #%u 10 =1700000000000} 22{0a{01 02}} "
                       "1a{08 02 5a{10 03} 62{02 02 03}} 2a{08 01}}",
                       i);
        }
    }
    buf_put_u8(to, 0);
}

UNIT_TEST(test_steady_state_allocates_nothing)
{
    struct buf text;
    buf_init(&text, NULL, 4 << 20);
    for (int version = RW_V1; version <= RW_V2; version++) {
        buf_clear(&text);
        put_series_text(&text, (enum rw_version)version, 3000);
        for (int round = 0; round < 4; round++) {
            rw_accept((enum rw_version)version, (const char *)text.at);
            rw_request_clear(&decoded);
        }
        struct bytes m = rw_message;
        uint64_t held = budget_used(&rw_budget);
        mem_fail_nth(1, true);
        enum err e = rw_decode(&decoded, (enum rw_version)version, m, SEED, NULL);
        mem_fail_nth(0, false);
        assert_int_equal(e, OK);
        assert_int_equal(decoded.series_count, 3000);
        assert_int_equal(budget_used(&rw_budget), held);
    }
    buf_fini(&text);
}

UNIT_TEST(test_a_cleared_request_keeps_bounded_memory)
{
    struct buf text;
    buf_init(&text, NULL, 64 << 20);
    put_series_text(&text, RW_V2, 60000);
    rw_accept(RW_V2, (const char *)text.at);
    assert_true(budget_used(&rw_budget) > 2 * RW_KEEP_BYTES);
    rw_request_clear(&decoded);
    assert_true(budget_used(&rw_budget) <= 2 * RW_KEEP_BYTES + 4096);
    assert_int_equal(decoded.series_count, 0);
    rw_accept(RW_V2, SYMBOLS "2a{0a{01 02}}");
    buf_fini(&text);
}

UNIT_TEST(test_every_allocation_may_fail)
{
    struct buf text;
    buf_init(&text, NULL, 4 << 20);
    for (int version = RW_V1; version <= RW_V2; version++) {
        for (int forever = 0; forever < 2; forever++) {
            buf_clear(&text);
            put_series_text(&text, (enum rw_version)version, 600);
            struct bytes m = rw_message_of((const char *)text.at);
            uint64_t nth = 0;
            for (bool fired = true; fired;) {
                struct budget own;
                budget_init(&own, "own", 0, NULL);
                struct rw_request r = {0};
                mem_fail_nth(++nth, forever != 0);
                enum err e = rw_request_init(&r, &own);
                if (e == OK) e = rw_decode(&r, (enum rw_version)version, m, SEED, NULL);
                fired = mem_fail_fired();
                mem_fail_nth(0, false);
                assert_int_equal(e, fired ? ERR_NOMEM : OK);
                assert_int_equal(r.series_count, fired ? 0 : 600);
                if (fired && r.memory != NULL) {
                    assert_int_equal(rw_decode(&r, (enum rw_version)version, m, SEED, NULL), OK);
                    rw_request_validate(&r);
                }
                rw_request_fini(&r);
                assert_int_equal(budget_used(&own), 0);
            }
            assert_true(nth > 20);
        }
    }
    buf_fini(&text);
}

UNIT_TEST(test_budget_is_a_ceiling)
{
    struct buf text;
    buf_init(&text, NULL, 4 << 20);
    put_series_text(&text, RW_V1, 3000);
    struct bytes m = rw_message_of((const char *)text.at);
    struct budget small;
    budget_init(&small, "small", 200000, NULL);
    struct rw_request r;
    assert_int_equal(rw_request_init(&r, &small), OK);
    struct why why;
    assert_int_equal(rw_decode(&r, RW_V1, m, SEED, &why), ERR_NOMEM);
    assert_int_equal(r.series_count, 0);
    rw_request_fini(&r);
    assert_int_equal(budget_used(&small), 0);
    buf_fini(&text);
}

UNIT_TEST(test_messages_of_empty_parts_are_refused_as_too_large)
{
    enum { PAIRS = 1 << 20 };
    uint8_t *many = malloc(PAIRS * 2 + 16);
    assert_non_null(many);
    static const struct {
        enum rw_version version;
        uint8_t tag;       /* tag of an empty message in the request, */
        uint8_t inner_tag; /* or in its only series */
        enum err expected;
    } cases[] = {
        {RW_V1, 0x0a, 0, ERR_LIMIT},    /* series: 96 bytes for two */
        {RW_V1, 0x0a, 0x22, ERR_LIMIT}, /* histograms: 152 */
        {RW_V1, 0x1a, 0, ERR_LIMIT},    /* metadata: 56 */
        {RW_V2, 0x22, 0, OK},           /* symbols: 24 */
        {RW_V1, 0x0a, 0x12, OK},        /* samples: 24 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 0;
        if (cases[i].inner_tag != 0) {
            many[at++] = cases[i].tag;
            at += varint_put(many + at, PAIRS * 2);
        }
        for (size_t k = 0; k < PAIRS; k++) {
            many[at++] = cases[i].inner_tag != 0 ? cases[i].inner_tag : cases[i].tag;
            many[at++] = 0;
        }
        struct budget own;
        budget_init(&own, "own", 0, NULL);
        struct rw_request r;
        assert_int_equal(rw_request_init(&r, &own), OK);
        assert_int_equal(rw_decode(&r, cases[i].version, bytes_of(many, at), SEED, NULL),
                         cases[i].expected);
        uint64_t peak = atomic_load(&own.peak_bytes);
        assert_true(peak <= 2 * (RW_KEEP_BYTES + (uint64_t)RW_AMPLIFICATION_MAX * at) + 4096);
        rw_request_fini(&r);
        assert_int_equal(budget_used(&own), 0);
    }
    free(many);
}

UNIT_TEST(test_every_truncation_is_refused_or_ends_at_a_field)
{
    struct buf text;
    buf_init(&text, NULL, 4 << 20);
    for (int version = RW_V1; version <= RW_V2; version++) {
        buf_clear(&text);
        put_series_text(&text, (enum rw_version)version, 3);
        struct bytes whole = rw_message_of((const char *)text.at);
        for (size_t size = 0; size < whole.size; size++) {
            uint8_t *cut = malloc(size == 0 ? 1 : size);
            assert_non_null(cut);
            memcpy(cut, whole.at, size);
            struct why why;
            enum err e =
                rw_decode(&decoded, (enum rw_version)version, bytes_of(cut, size), SEED, &why);
            if (e == OK)
                rw_request_validate(&decoded);
            else
                assert_int_equal(e, ERR_INPUT);
            rw_request_clear(&decoded);
            free(cut);
        }
    }
    buf_fini(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steady_state_allocates_nothing),
        cmocka_unit_test(test_a_cleared_request_keeps_bounded_memory),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_budget_is_a_ceiling),
        cmocka_unit_test(test_messages_of_empty_parts_are_refused_as_too_large),
        cmocka_unit_test(test_every_truncation_is_refused_or_ends_at_a_field),
    };
    return rw_test_run(tests);
}
