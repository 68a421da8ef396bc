/* sizes_test.c - sizes by metric and label, read in whole or in part. */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"
#include "model/selector.h"

enum { SERIES = 4000, AT_ONCE = 500, ALL_ROWS = 1 << 20 };

#define T0 (SIM_BEGIN - 600 * MINUTE_MS)

static struct machine m;
static struct arena arena;

static int
setup(void **state)
{
    (void)state;
    machine_init(&m, 1);
    machine_must_open(&m);
    arena_init(&arena, NULL, 0, 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    machine_fini(&m);
    return 0;
}

/* Series of two metrics, three of four of "a", with a label of ten values and one of their own. */
static void
send(unsigned first, unsigned count, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (unsigned s = first; s < first + count; s++) {
        char labels[100];
        snprintf(labels, sizeof labels, "__name__=%s,s=%05u,ten=%u", s % 4 == 0 ? "b" : "a", s,
                 s % 10);
        rq_series(&rq, labels);
        for (unsigned i = 0; i < 10; i++)
            rq_float(&rq, t_ms + i * 15000, double_bits(s * 0.25 + i), 0);
    }
    must(machine_send(&m, "a", &rq));
    rq_fini(&rq);
    machine_commit(&m);
}

static void
send_parts(void)
{
    send(0, 100, T0);
    machine_flush(&m);
    for (unsigned s = 0; s < SERIES; s += AT_ONCE)
        send(s, AT_ONCE, T0 + 10 * MINUTE_MS);
    machine_flush(&m);
}

static struct tsdb_sizes
sizes(const char *tenant, const char *match, int64_t max_ms, uint32_t rows_max, uint32_t items_max)
{
    struct selector s = {.count = 0};
    struct query_control control = {.env = m.env};
    struct tsdb_sizes found;
    if (match != NULL) must(selector_parse(bytes_of_text(match), &s, &m.why));
    struct matcher_set set = {s.matchers, s.count};
    const struct query_request request = {.tenant = bytes_of_text(tenant),
                                          .sets = &set,
                                          .set_count = match != NULL,
                                          .min_ms = T0,
                                          .max_ms = max_ms,
                                          .control = &control};
    const struct tsdb_sizes_options options = {rows_max, items_max};
    must(tsdb_sizes(m.db, &request, &options, &arena, &found, &m.why));
    selector_fini(&s);
    return found;
}

static const struct tsdb_size *
item(const struct tsdb_sizes *s, enum tsdb_size_kind kind, const char *name, const char *value)
{
    for (uint32_t i = 0; i < s->counts[kind]; i++) {
        const struct tsdb_size *x = &s->items[kind][i];
        if (i > 0) assert_true(x->bytes <= s->items[kind][i - 1].bytes);
        if (bytes_equal_text(x->name, name) && bytes_equal_text(x->value, value)) return x;
    }
    fail_msg("no %s=%s", name, value);
    return NULL;
}

UNIT_TEST(test_few_rows_are_all_counted)
{
    send_parts();
    struct tsdb_stats stats;
    tsdb_stats(m.db, &stats);
    struct tsdb_sizes s = sizes("a", NULL, INT64_MAX, ALL_ROWS, ALL_ROWS);
    assert_true(s.exact);
    assert_int_equal(s.rows, SERIES + 100);
    assert_int_equal(s.rows_read, s.rows);
    assert_int_equal(s.samples, stats.part_samples);
    assert_true(s.bytes > 0);
    assert_int_equal(s.counts[TSDB_SIZE_METRIC], 2);
    assert_int_equal(s.counts[TSDB_SIZE_NAME], 3);
    assert_int_equal(s.counts[TSDB_SIZE_PAIR], SERIES + 10);
    const struct tsdb_size *a = item(&s, TSDB_SIZE_METRIC, "__name__", "a");
    const struct tsdb_size *b = item(&s, TSDB_SIZE_METRIC, "__name__", "b");
    assert_int_equal(a->bytes + b->bytes, s.bytes);
    assert_int_equal(b->samples, (SERIES + 100) / 4 * 10);
    assert_int_equal(item(&s, TSDB_SIZE_NAME, "ten", "")->bytes, s.bytes);
    assert_int_equal(item(&s, TSDB_SIZE_PAIR, "ten", "7")->samples, (SERIES + 100) / 10 * 10);
    assert_int_equal(item(&s, TSDB_SIZE_PAIR, "s", "00001")->samples, 20);
}

UNIT_TEST(test_a_selector_and_a_time_narrow_sizes)
{
    send_parts();
    struct tsdb_sizes s = sizes("a", "b{ten=\"4\"}", T0 + 5 * MINUTE_MS, ALL_ROWS, 3);
    assert_true(s.exact);
    assert_int_equal(s.rows, 5); /* 4, 24, 44, 64, 84 */
    assert_int_equal(s.samples, 50);
    assert_int_equal(s.counts[TSDB_SIZE_METRIC], 1);
    assert_int_equal(s.counts[TSDB_SIZE_PAIR], 3);
    assert_int_equal(sizes("nobody", NULL, INT64_MAX, ALL_ROWS, 3).rows, 0);
    assert_int_equal(sizes("a", "c", INT64_MAX, ALL_ROWS, 3).rows, 0);
}

UNIT_TEST(test_sizes_include_a_part_that_touches_the_range_with_its_last_sample)
{
    send(0, 1, T0 - 9 * 15000); /* the last one is at T0, where the range starts */
    machine_flush(&m);
    send(0, 1, T0 + MINUTE_MS);
    machine_flush(&m);
    assert_int_equal(sizes("a", NULL, T0, ALL_ROWS, 3).rows, 1);
    assert_int_equal(sizes("a", NULL, T0 + MINUTE_MS - 1, ALL_ROWS, 3).rows, 1);
    assert_int_equal(sizes("a", NULL, T0 + MINUTE_MS, ALL_ROWS, 3).rows, 2);
}

static void
flip(uint64_t at)
{
    uint8_t byte;
    struct file file;
    must(file_open(m.env, STORE_DIR "/parts/0000000000000002/part", FILE_UPDATE, &file, NULL));
    must(file_read_at(&file, &byte, 1, at, NULL));
    byte ^= 0x40;
    must(file_write_at(&file, bytes_of(&byte, 1), at, NULL));
    must(file_close(&file));
}

/* Each byte in turn of those that sizes read, in steps: what cannot be read is not in them. */
UNIT_TEST(test_sizes_without_damaged_rows_are_not_called_exact)
{
    struct tsdb_stats stats;
    send_parts();
    tsdb_stats(m.db, &stats);
    unsigned left_out = 0;
    uint64_t rows = SERIES + 100;
    for (uint64_t at = 1000; at < stats.part_bytes - 20000; at += 5000) {
        machine_close(&m);
        flip(at);
        machine_must_open(&m);
        arena_reset(&arena);
        struct query_control control = {.env = m.env};
        const struct query_request request = {
            .tenant = text("a"), .min_ms = T0, .max_ms = INT64_MAX, .control = &control};
        const struct tsdb_sizes_options options = {ALL_ROWS, ALL_ROWS};
        struct tsdb_sizes s;
        if (tsdb_sizes(m.db, &request, &options, &arena, &s, &m.why) == OK) {
            assert_int_equal(s.exact, s.samples == rows * 10);
            left_out += !s.exact;
        }
        machine_close(&m);
        flip(at);
        machine_must_open(&m);
    }
    assert_true(left_out > 0);
}

UNIT_TEST(test_many_rows_are_estimated_from_some)
{
    send_parts();
    struct tsdb_sizes all = sizes("a", NULL, INT64_MAX, ALL_ROWS, 10);
    struct tsdb_sizes s = sizes("a", NULL, INT64_MAX, 1000, 10);
    assert_false(s.exact);
    assert_int_equal(s.rows, all.rows);
    assert_in_range(s.rows_read, 900, 1000); /* all of the small part */
    assert_int_equal(s.samples, all.samples);
    assert_in_range(s.bytes, all.bytes * 9 / 10, all.bytes * 11 / 10);
    const struct tsdb_size *a = item(&s, TSDB_SIZE_METRIC, "__name__", "a");
    assert_in_range(a->bytes, all.bytes * 6 / 10, all.bytes * 9 / 10);
    assert_false(sizes("a", NULL, INT64_MAX, 0, 10).exact); /* some of each part */
}

UNIT_TEST(test_sizes_end_when_memory_or_time_does)
{
    struct tsdb_sizes found;
    struct query_control control = {.env = m.env};
    const struct query_request request = {.tenant = bytes_of_text("a"),
                                          .min_ms = INT64_MIN,
                                          .max_ms = INT64_MAX,
                                          .control = &control};
    const struct tsdb_sizes_options options = {ALL_ROWS, 10};
    struct arena small;
    send_parts();
    arena_init(&small, NULL, 64 * 1024, 0);
    assert_int_equal(tsdb_sizes(m.db, &request, &options, &small, &found, &m.why), ERR_NOMEM);
    arena_fini(&small);
    control.deadline_ns = 1;
    assert_int_equal(tsdb_sizes(m.db, &request, &options, &arena, &found, &m.why), ERR_CANCELED);
}

#define CLAIM(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(test_few_rows_are_all_counted),
        CLAIM(test_a_selector_and_a_time_narrow_sizes),
        CLAIM(test_sizes_include_a_part_that_touches_the_range_with_its_last_sample),
        CLAIM(test_sizes_without_damaged_rows_are_not_called_exact),
        CLAIM(test_many_rows_are_estimated_from_some),
        CLAIM(test_sizes_end_when_memory_or_time_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
