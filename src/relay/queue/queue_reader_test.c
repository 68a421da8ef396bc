/* queue_reader_test.c - a destination gives the items of writes in order, and accounts for each. */
#include "lib/test.h"

#include "lib/tsdb/tsdb_machine.h"
#include "relay/queue/queue_reader.h"
#include "sys/sim.h"

static struct {
    struct sim_env *sim;
    struct env *env;
    struct budget memory;
    struct destination_settings settings;
    struct relay_context context;
    struct write_queue *queue;
    struct queue_reader reader;
    unsigned done;
    enum err e; /* of the write that was done last */
    struct ingest_result result;
} q;

static void
note_done(void *context, void *waiter, enum err e, const struct write_items *items,
          const struct ingest_result *result, const struct why *why)
{
    (void)context;
    (void)waiter;
    (void)items;
    (void)why;
    q.done++;
    q.e = e;
    q.result = *result;
}

static void
ignore_wake(void *context)
{
    (void)context;
}

/* Begins with a destination that takes what the selector matches; NULL: all. */
static void
begin(const char *select)
{
    static const struct write_rules rules = {{8, 64, 64}, NAME_AUTO, 1000};
    static const char *selectors[1];
    memset(&q, 0, sizeof q);
    must(sim_env_new(1, &q.sim));
    q.env = sim_env_env(q.sim);
    budget_init(&q.memory, "test", 0, NULL);
    struct write_queue_options options = {
        .env = q.env,
        .memory = &q.memory,
        .bytes_max = 1 << 20,
        .timeout_ms = 10000,
        .done = note_done,
    };
    must(write_queue_new(&options, &q.queue));
    write_queue_set_rules(q.queue, &rules);
    write_queue_expect(q.queue, 1);
    selectors[0] = select;
    q.settings.name = "d";
    if (select != NULL) q.settings.select = (struct text_list){.items = selectors, .count = 1};
    q.context.settings = &q.settings;
    q.context.options.env = q.env;
    q.context.options.memory = &q.memory;
    must(selection_new(&q.settings, &q.context.selection, NULL));
    queue_reader_init(&q.reader, &q.context);
    must(queue_reader_begin(&q.reader, q.queue, true, ignore_wake, NULL));
}

static void
end(void)
{
    queue_reader_end(&q.reader);
    selection_free(q.context.selection);
    write_queue_free(q.queue);
    assert_int_equal(budget_used(&q.memory), 0);
    sim_env_free(q.sim);
}

/* Puts a write, which it ends. */
static void
put_request(struct rq *rq)
{
    struct rw_request request;
    rq_close(rq);
    must(rw_request_init(&request, NULL));
    must(rw_decode(&request, RW_V1, buf_bytes(&rq->out), 0, NULL));
    struct offered_write offered = {
        .tenant = bytes_of_text("t"),
        .request = &request,
        .began_ns = env_monotonic_ns(q.env),
    };
    must(write_queue_put(q.queue, &offered, NULL));
    rw_request_fini(&request);
    rq_fini(rq);
}

/* Puts a write with a sample for each of the series, whose values count from 1. */
static void
put(const char *const *series)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (int i = 0; series[i] != NULL; i++) {
        rq_series(&rq, series[i]);
        rq_float(&rq, 1000, double_bits(i + 1), 0);
    }
    put_request(&rq);
}

static void
put_metadata(void)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_metadata(&rq, METRIC_COUNTER, "a", "help", "");
    put_request(&rq);
}
#define PUT(...) put((const char *const[]){__VA_ARGS__, NULL})

/* Takes the next item into a call, and checks its place and value. */
static void
take(uint64_t record, uint32_t index, double value)
{
    struct item item;
    uint64_t at;
    uint32_t place;
    must(queue_reader_next(&q.reader, &item, &at, &place));
    assert_int_equal(at, record);
    assert_int_equal(place, index);
    assert_int_equal(item.bits, double_bits(value));
    queue_reader_pass(&q.reader);
}

static void
expect_no_item(void)
{
    struct item item;
    uint64_t record;
    uint32_t index;
    assert_int_equal(queue_reader_next(&q.reader, &item, &record, &index), ERR_AGAIN);
}

/* Checks the account of floats: each item that was taken is open, or has one fate. */
static void
expect_fates(uint64_t open, uint64_t delivered, uint64_t refused, uint64_t withdrawn)
{
    const uint64_t *fates = q.reader.fates.count[ITEM_FLOAT];
    assert_int_equal(fates[FATE_OPEN], open);
    assert_int_equal(fates[FATE_DELIVERED], delivered);
    assert_int_equal(fates[FATE_DROPPED + DROP_REFUSED], refused);
    assert_int_equal(fates[FATE_DROPPED + DROP_WITHDRAWN], withdrawn);
    assert_int_equal(q.reader.taken[ITEM_FLOAT], open + delivered + refused + withdrawn);
}

UNIT_TEST(test_a_part_ends_when_each_item_is_settled)
{
    begin(NULL);
    PUT("__name__=a", "__name__=b", "__name__=c");
    take(0, 0, 1);
    take(0, 1, 2);
    queue_reader_settle(&q.reader, 0, 0, 2, FATE_DELIVERED);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 0); /* an item was not given */
    take(0, 2, 3);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 0); /* it is open */
    expect_fates(1, 2, 0, 0);
    queue_reader_refuse(&q.reader, 0, 2, "too_old", "before the table");
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.e, OK);
    assert_string_equal(q.result.text, "destination d refused 1 of 3: too_old: before the table");
    expect_fates(0, 2, 1, 0);
    end();
}

UNIT_TEST(test_items_that_the_destination_does_not_want_are_not_given)
{
    begin("b");
    PUT("__name__=a", "__name__=b", "__name__=c");
    PUT("__name__=c");
    take(0, 1, 2);
    expect_no_item();
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 1); /* the second write, which has none */
    assert_int_equal(q.e, OK);
    queue_reader_settle(&q.reader, 0, 1, 1, FATE_DELIVERED);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 2);
    expect_fates(0, 1, 0, 0);
    end();
}

UNIT_TEST(test_metadata_is_given_to_a_destination_that_takes_it)
{
    for (unsigned takes = 0; takes < 2; takes++) {
        struct item item;
        uint64_t record;
        uint32_t index;
        begin(NULL);
        queue_reader_end(&q.reader);
        queue_reader_init(&q.reader, &q.context);
        must(queue_reader_begin(&q.reader, q.queue, takes, ignore_wake, NULL));
        put_metadata();
        enum err e = queue_reader_next(&q.reader, &item, &record, &index);
        assert_int_equal(e, takes ? OK : ERR_AGAIN);
        if (takes) assert_int_equal(item.kind, ITEM_METADATA);
        queue_reader_release(&q.reader);
        assert_int_equal(q.done, takes ? 0 : 1);
        end();
    }
}

UNIT_TEST(test_an_item_that_was_given_is_loaded_again)
{
    struct item item;
    begin(NULL);
    PUT("__name__=a", "__name__=b");
    take(0, 0, 1);
    take(0, 1, 2);
    must(queue_reader_load(&q.reader, 0, 0, &item));
    assert_int_equal(item.bits, double_bits(1));
    assert_true(bytes_equal_text(labels_get(item.labels, bytes_of_text("__name__")), "a"));
    queue_reader_settle(&q.reader, 0, 0, 2, FATE_DELIVERED);
    end();
}

UNIT_TEST(test_a_write_that_is_over_is_let_go_and_the_next_one_is_given)
{
    begin(NULL);
    PUT("__name__=a", "__name__=b", "__name__=c");
    take(0, 0, 1);
    take(0, 1, 2);
    queue_reader_settle(&q.reader, 0, 0, 1, FATE_DELIVERED);
    sim_env_advance_ns(q.sim, 5 * NS_PER_S);
    PUT("__name__=d");
    assert_false(
        queue_reader_drop_over(&q.reader, env_monotonic_ns(q.env), env_realtime_ms(q.env), ""));
    sim_env_advance_ns(q.sim, 4 * NS_PER_S);
    assert_true(
        queue_reader_drop_over(&q.reader, env_monotonic_ns(q.env), env_realtime_ms(q.env), ""));
    assert_true(queue_reader_is_dropped(&q.reader, 0));
    assert_int_equal(q.done, 0);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.e, ERR_AGAIN);
    expect_fates(0, 1, 0, 1);
    take(1, 0, 1);
    queue_reader_settle(&q.reader, 1, 0, 1, FATE_DELIVERED);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 2);
    assert_int_equal(q.e, OK);
    end();
}

UNIT_TEST(test_a_write_that_was_taken_ends_in_time_if_no_item_is_asked_for)
{
    begin(NULL);
    PUT("__name__=a");
    PUT("__name__=b");
    queue_reader_take(&q.reader);
    sim_env_advance_ns(q.sim, 9 * NS_PER_S);
    assert_true(
        queue_reader_drop_over(&q.reader, env_monotonic_ns(q.env), env_realtime_ms(q.env), ""));
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 2);
    assert_int_equal(q.e, ERR_AGAIN);
    PUT("__name__=c");
    take(2, 0, 1);
    end();
}

UNIT_TEST(test_at_the_end_all_writes_are_let_go_but_the_settled_ones)
{
    begin(NULL);
    PUT("__name__=a");
    PUT("__name__=b");
    PUT("__name__=c");
    take(0, 0, 1);
    take(1, 0, 1);
    queue_reader_settle(&q.reader, 1, 0, 1, FATE_DELIVERED);
    queue_reader_release(&q.reader);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.e, OK);
    queue_reader_end(&q.reader);
    assert_int_equal(q.done, 3);
    assert_int_equal(q.e, ERR_AGAIN);
    end(); /* a reader that has not begun may be ended */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_part_ends_when_each_item_is_settled),
        cmocka_unit_test(test_items_that_the_destination_does_not_want_are_not_given),
        cmocka_unit_test(test_metadata_is_given_to_a_destination_that_takes_it),
        cmocka_unit_test(test_an_item_that_was_given_is_loaded_again),
        cmocka_unit_test(test_a_write_that_is_over_is_let_go_and_the_next_one_is_given),
        cmocka_unit_test(test_a_write_that_was_taken_ends_in_time_if_no_item_is_asked_for),
        cmocka_unit_test(test_at_the_end_all_writes_are_let_go_but_the_settled_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
