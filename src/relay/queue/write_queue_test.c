/* write_queue_test.c - writes wait until all destinations have ended their part, and no longer. */
#include "lib/test.h"

#include "lib/tsdb/tsdb_machine.h"
#include "relay/queue/write_queue.h"
#include "sys/sim.h"

static struct {
    struct sim_env *sim;
    struct env *env;
    struct budget memory;
    struct write_queue *queue;
    unsigned done, wakes;
    enum err e;
    struct ingest_result result;
    struct why why;
} q;

static void
note_done(void *context, void *waiter, enum err e, const struct write_items *items,
          const struct ingest_result *result, const struct why *why)
{
    assert_ptr_equal(context, &q);
    assert_ptr_equal(waiter, &q.done);
    assert_true(bytes_equal_text(items->tenant, "t"));
    q.done++;
    q.e = e;
    q.result = *result;
    q.why = *why;
}

static void
note_wake(void *context)
{
    assert_ptr_equal(context, &q);
    q.wakes++;
}

static void
begin(uint32_t destinations)
{
    static const struct write_rules rules = {{8, 64, 64}, NAME_AUTO, 1000};
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
        .context = &q,
    };
    must(write_queue_new(&options, &q.queue));
    write_queue_set_rules(q.queue, &rules);
    write_queue_expect(q.queue, destinations);
}

static void
end(void)
{
    write_queue_free(q.queue);
    assert_int_equal(budget_used(&q.memory), 0);
    sim_env_free(q.sim);
}

/* Puts a write of one sample with this label. */
static enum err
put(const char *labels, int64_t timeout_ms)
{
    struct rq rq;
    struct buf message;
    struct rw_request request;
    rq_init(&rq, RW_V1);
    rq_series(&rq, labels);
    rq_float(&rq, 1000, double_bits(1), 0);
    rq_close(&rq);
    buf_init(&message, NULL, 1 << 16);
    buf_put_bytes(&message, buf_bytes(&rq.out));
    must(rw_request_init(&request, NULL));
    must(rw_decode(&request, RW_V1, buf_bytes(&message), 0, NULL));
    struct offered_write offered = {
        .tenant = bytes_of_text("t"),
        .request = &request,
        .began_ns = env_monotonic_ns(q.env),
        .timeout_ms = timeout_ms,
        .waiter = &q.done,
    };
    enum err e = write_queue_put(q.queue, &offered, &q.why);
    rw_request_fini(&request);
    buf_fini(&message);
    rq_fini(&rq);
    return e;
}

static struct write_slot *
join(const char *name)
{
    struct write_slot *slot;
    must(write_slot_join(q.queue, name, note_wake, &q, &slot));
    return slot;
}

UNIT_TEST(test_a_write_is_done_when_the_last_part_ends)
{
    struct write_part part = {.left = false};
    begin(2);
    struct write_slot *a = join("a"), *b = join("b");
    must(put("__name__=m", 0));
    assert_int_equal(q.wakes, 2);
    struct queued_write *w = write_slot_take(a);
    assert_ptr_equal(write_slot_take(b), w);
    assert_null(write_slot_take(a));
    write_slot_end(a, w, &part);
    assert_int_equal(q.done, 0);
    part.refused[ITEM_FLOAT] = 1;
    strcpy(part.text, "too hot");
    write_slot_end(b, w, &part);
    assert_int_equal(q.done, 1);
    assert_int_equal(q.e, OK);
    assert_string_equal(q.result.text, "destination b refused 1 of 1: too hot");
    assert_int_equal(q.result.rejected[LEDGER_FLOAT], 1);
    assert_int_equal(q.result.written[LEDGER_FLOAT], 0);
    write_slot_leave(a);
    write_slot_leave(b);
    end();
}

UNIT_TEST(test_when_one_lets_go_the_write_is_over_for_all)
{
    static const struct write_part left = {.left = true, .text = "network_error: refused"},
                                   settled = {.left = false};
    begin(2);
    struct write_slot *a = join("a"), *b = join("b");
    must(put("__name__=m", 0));
    struct queued_write *w = write_slot_take(a);
    int64_t now_ns = env_monotonic_ns(q.env), now_ms = env_realtime_ms(q.env);
    assert_false(write_is_over(w, now_ns, now_ms));
    assert_true(write_is_over(w, now_ns + 8 * NS_PER_S, now_ms));
    assert_true(write_is_over(w, now_ns, now_ms + 8000));
    write_slot_end(a, w, &left);
    assert_int_equal(q.wakes, 3); /* the other one has to know */
    assert_ptr_equal(write_slot_take(b), w);
    assert_true(write_is_over(w, now_ns, now_ms));
    write_slot_end(b, w, &settled);
    assert_int_equal(q.e, ERR_AGAIN);
    assert_non_null(strstr(q.why.text, "destination a has not confirmed"));
    assert_non_null(strstr(q.why.text, "is sent; its last error: network_error: refused"));
    assert_int_equal(q.result.written[LEDGER_FLOAT], 0);
    write_slot_leave(b);
    write_slot_leave(a);
    end();
}

UNIT_TEST(test_a_destination_has_no_part_in_writes_before_it_joined)
{
    static const struct write_part settled = {.left = false};
    begin(1);
    assert_int_equal(put("__name__=m", 0), ERR_AGAIN); /* it has no slot so far */
    write_queue_await(q.queue, 0);                     /* does not wait for ever */
    struct write_slot *a = join("a");
    write_queue_await(q.queue, INT64_MAX);
    must(put("__name__=m", 0));
    struct write_slot *b = join("b");
    assert_int_equal(put("__name__=m", 0), ERR_AGAIN); /* one more than expected */
    write_queue_expect(q.queue, 2);
    must(put("__name__=n", 0));
    struct queued_write *first = write_slot_take(a), *second = write_slot_take(a);
    assert_ptr_equal(write_slot_take(b), second);
    write_slot_end(a, first, &settled);
    assert_int_equal(q.done, 1);
    write_slot_end(a, second, &settled);
    write_slot_end(b, second, &settled);
    assert_int_equal(q.done, 2);
    write_slot_leave(a);
    write_slot_leave(b);
    end();
}

UNIT_TEST(test_leaving_lets_go_of_what_was_not_taken)
{
    static const struct write_part settled = {.left = false};
    begin(2);
    struct write_slot *a = join("a"), *b = join("b");
    must(put("__name__=m", 0));
    must(put("__name__=n", 0));
    write_slot_leave(a);
    write_queue_expect(q.queue, 1);
    must(put("__name__=o", 0)); /* a has no part in it */
    for (unsigned i = 0; i < 3; i++) {
        write_slot_end(b, write_slot_take(b), &settled);
        assert_int_equal(q.done, i + 1);
        assert_int_equal(q.e, i < 2 ? ERR_AGAIN : OK);
    }
    write_slot_leave(b);
    end();
}

UNIT_TEST(test_a_write_that_cannot_wait_is_not_put)
{
    begin(1);
    struct write_slot *a = join("a");
    assert_int_equal(put("__name__=m", 2000), ERR_AGAIN);
    must(put("", 0)); /* no labels: refused, so there is nothing to wait for */
    assert_int_equal(q.done, 1);
    assert_int_equal(q.e, OK);
    assert_int_equal(q.result.rejected_for[REJECT_EMPTY_LABELS], 1);
    assert_null(write_slot_take(a));
    write_slot_leave(a);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_write_is_done_when_the_last_part_ends),
        cmocka_unit_test(test_when_one_lets_go_the_write_is_over_for_all),
        cmocka_unit_test(test_a_destination_has_no_part_in_writes_before_it_joined),
        cmocka_unit_test(test_leaving_lets_go_of_what_was_not_taken),
        cmocka_unit_test(test_a_write_that_cannot_wait_is_not_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
