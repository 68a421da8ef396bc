/*
 * fill_test.c - each kind of item that the store has is given in order, with everything that the
 * sender of a destination needs, also when it is loaded again or read from a saved place.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_machine.h"

#include "model/labels.h"
#include "relay/feed/fill.h"

#define BEGIN (SIM_BEGIN - 2 * DAY_MS) /* of a window, as is a day later */

enum { ITEMS = 12 };

/* The items in their order: windows, tenants, samples, exemplars; and at last metadata. */
static const char *const wanted[ITEMS] = {
    "a {__name__=\"f\", dc=\"x\"} 1 is 1",
    "a {__name__=\"f\", dc=\"x\"} 2 since 1 is 2",
    "a {__name__=\"h\", dc=\"x\"} 2 since 1 is 3 of sum 9",
    "a {__name__=\"h\", dc=\"x\"} 3 is 4",
    "a {__name__=\"f\", dc=\"x\"} 1 is 5 of {trace_id=\"one\"}",
    "a {__name__=\"f\", dc=\"x\"} 2 is 6 of {trace_id=\"two\"}",
    "b {__name__=\"f\", dc=\"x\"} 1 is 7",
    "a {__name__=\"f\", dc=\"x\"} 86400003 since 2 is 8",
    "a {__name__=\"h\", dc=\"x\"} 86400003 since 86400002 is 3 of sum 9",
    "a f is a gauge in bytes: what it is",
    "a h is a histogram in s: how long it takes",
    "b f is a counter in s: when it was",
};

static struct machine m;
static struct destination_settings settings;
static struct selection *selection;
static struct budget memory;
static struct fill *fill, *resumed;
static struct hist_span span = {2, 1};
static int64_t delta = 3;
static const struct histogram histogram = {
    .kind = SAMPLE_HISTOGRAM_INT,
    .count = 3,
    .sum_bits = 0x4022000000000000, /* 9 */
    .positive = {.spans = &span, .span_count = 1, .bucket_count = 1, .deltas = &delta},
};

static void
send_to(const char *tenant, struct rq *rq)
{
    must(machine_send(&m, tenant, rq));
    machine_commit(&m);
    rq_fini(rq);
    rq_init(rq, RW_V2);
}

static int
setup(void **state)
{
    static struct named_text dc = {"dc", "x"};
    struct rq rq;
    (void)state;
    fill = resumed = NULL;
    machine_init(&m, 1);
    machine_must_open(&m);
    rq_init(&rq, RW_V2);
    rq_series(&rq, "__name__=f");
    rq_float(&rq, BEGIN + 1, double_bits(1), 0);
    rq_float(&rq, BEGIN + 2, double_bits(2), BEGIN + 1);
    rq_float(&rq, BEGIN + DAY_MS + 3, double_bits(8), BEGIN + 2);
    rq_exemplar(&rq, BEGIN + 1, double_bits(5), "trace_id=one");
    rq_exemplar(&rq, BEGIN + 2, double_bits(6), "trace_id=two");
    rq_metadata(&rq, METRIC_GAUGE, "f", "what it is", "bytes");
    rq_series(&rq, "__name__=h");
    rq_histogram(&rq, BEGIN + 2, &histogram, BEGIN + 1);
    rq_histogram(&rq, BEGIN + DAY_MS + 3, &histogram, BEGIN + DAY_MS + 2);
    rq_metadata(&rq, METRIC_HISTOGRAM, "h", "how long it takes", "s");
    send_to("a", &rq);
    rq_series(&rq, "__name__=h");
    rq_float(&rq, BEGIN + 3, double_bits(4), 0);
    send_to("a", &rq);
    rq_series(&rq, "__name__=f");
    rq_float(&rq, BEGIN + 1, double_bits(7), 0);
    rq_metadata(&rq, METRIC_COUNTER, "f", "when it was", "s");
    send_to("b", &rq);
    rq_fini(&rq);
    machine_flush(&m);
    settings = (struct destination_settings){.external_labels = {&dc, 1}};
    must(selection_new(&settings, &selection, &m.why));
    budget_init(&memory, "fill", 0, NULL);
    return 0;
}

static int
teardown(void **state)
{
    fill_close(fill);
    fill_close(resumed);
    selection_free(selection);
    machine_fini(&m);
    assert_int_equal(budget_used(&memory), 0);
    return tell_seed(state);
}

static struct fill *
open_fill(size_t kept_bytes, uint64_t pos, struct bytes place)
{
    const struct fill_options options = {
        .env = m.env,
        .tsdb = m.db,
        .name = "test",
        .selection = selection,
        .memory = &memory,
        .stretch = {0, tsdb_store_pos(m.db)},
        .min_ms = INT64_MIN,
        .window_ms = DAY_MS,
        .takes_metadata = true,
        .kept_bytes = kept_bytes,
    };
    struct fill *opened;
    must(fill_open(&options, pos, place, &opened, &m.why));
    return opened;
}

static void
check_item(const struct chunk *chunk, uint32_t i, uint32_t number)
{
    struct item item;
    struct buf said;
    buf_init(&said, NULL, 1000);
    chunk_item(chunk, i, &item);
    assert_int_equal(item.pos, fill_first_pos(1) + number);
    buf_put_bytes(&said, item.tenant);
    buf_put_u8(&said, ' ');
    if (item.kind == ITEM_METADATA) {
        buf_put_bytes(&said, item.family);
        buf_printf(&said, " is a %s in ", metric_type_word(item.family_type));
        buf_put_bytes(&said, item.unit);
        buf_put_text(&said, ": ");
        buf_put_bytes(&said, item.help);
    } else {
        labels_print(&said, item.labels);
        buf_printf(&said, " %lld", (long long)(item.t_ms - BEGIN));
        if (item.start_ms != 0) buf_printf(&said, " since %lld", (long long)item.start_ms - BEGIN);
    }
    if (item.kind == ITEM_HISTOGRAM) {
        assert_true(histogram_equal(item.histogram, &histogram));
        buf_printf(&said, " is 3 of sum 9");
    } else if (item.kind != ITEM_METADATA) {
        buf_printf(&said, " is %g", bits_double(item.bits));
    }
    if (item.kind == ITEM_EXEMPLAR) buf_put_text(&said, " of ");
    if (item.kind == ITEM_EXEMPLAR) labels_print(&said, item.exemplar_labels);
    buf_put_u8(&said, '\0');
    assert_int_equal(buf_error(&said), OK);
    assert_string_equal((const char *)said.at, wanted[number]);
    buf_fini(&said);
}

/* Reads to the end, beginning with this item. */
static void
check_fill(struct fill *f, uint32_t number)
{
    const struct chunk *chunk;
    enum err e;
    while ((e = fill_next(f, &chunk, &m.why)) == OK) {
        for (uint32_t i = 0; i < chunk->count; i++) {
            assert_true(number < ITEMS);
            check_item(chunk, i, number++);
        }
    }
    assert_int_equal(e, ERR_MISSING);
    assert_int_equal(number, ITEMS);
    assert_int_equal(fill_pos(f), fill_first_pos(1) + ITEMS);
    assert_false(fill_found_damage(f));
}

UNIT_TEST(test_each_kind_of_item_is_given_in_order_and_again)
{
    for (size_t kept_bytes = 0; kept_bytes <= 1 << 20; kept_bytes += 1 << 20) {
        fill_close(fill);
        fill = open_fill(kept_bytes, fill_first_pos(1), bytes_of(NULL, 0));
        check_fill(fill, 0);
        for (uint32_t i = 0; i < ITEMS; i++) {
            const struct chunk *chunk;
            uint32_t number = i * 5 % ITEMS;
            must(fill_load(fill, fill_first_pos(1) + number, &chunk, &m.why));
            check_item(chunk, (uint32_t)(fill_first_pos(1) + number - chunk->pos), number);
        }
    }
}

UNIT_TEST(test_a_fill_resumes_from_the_place_of_each_item)
{
    fill = open_fill(0, fill_first_pos(1), bytes_of(NULL, 0));
    check_fill(fill, 0);
    for (uint32_t number = 0; number <= ITEMS; number++) {
        struct buf place;
        uint64_t pos = fill_first_pos(1) + number;
        buf_init(&place, NULL, 1000);
        must(fill_place(fill, pos, &place, &m.why));
        fill_close(resumed);
        resumed = open_fill(0, pos, buf_bytes(&place));
        buf_fini(&place);
        check_fill(resumed, number);
    }
}

UNIT_TEST(test_a_fill_does_not_grow_with_the_series_it_has_read)
{
    enum { SERIES = 4000, LABEL_BYTES = 200, REST_BYTES = 200 * 1024 };
    const struct chunk *chunk;
    struct rq rq;
    uint32_t given = 0;
    rq_init(&rq, RW_V2);
    for (unsigned i = 0; i < SERIES; i++) {
        char labels[LABEL_BYTES + 50];
        snprintf(labels, sizeof labels, "__name__=m%u,long=%0*u", i, LABEL_BYTES, i);
        rq_series(&rq, labels);
        rq_float(&rq, BEGIN + 1, i, 0);
    }
    send_to("c", &rq);
    assert_int_equal(m.result.written[LEDGER_FLOAT], SERIES);
    rq_fini(&rq);
    machine_flush(&m);
    fill = open_fill(0, fill_first_pos(1), bytes_of(NULL, 0));
    while (fill_next(fill, &chunk, &m.why) == OK)
        given += chunk->count;
    assert_int_equal(given, ITEMS + SERIES);
    fill_pass(fill, fill_pos(fill));
    fill_rest(fill);
    assert_in_range(budget_used(&memory), 0, REST_BYTES);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_kind_of_item_is_given_in_order_and_again),
        TEST(test_a_fill_resumes_from_the_place_of_each_item),
        TEST(test_a_fill_does_not_grow_with_the_series_it_has_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
