/* plan_test.c - the samples that a plan gives to the writer, and its counts. */
#include "lib/test.h"

#include "lib/relay/relay_rig.h"
#include "relay/operate/plan.h"

enum { AGE_S = 5 };

static struct plan plan;
static int64_t last_number; /* number of the last sample */
static uint32_t made;       /* samples in calls */

/* Adds samples, which come a second after another, so that their numbers are in the
 * order of time. */
static enum writer_add
add_in_order(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
             struct why *why)
{
    int64_t number = (int64_t)bits_double(item->bits);
    if (number < last_number) fail_msg("%ld came after %ld", (long)number, (long)last_number);
    enum writer_add added = fake_add(w, c, item, ret_entry, why);
    if (added != WRITER_FULL) last_number = number;
    if (added == WRITER_UNFIT) {
        err_ignore(why_set(why, ERR_INPUT, "a line of %ld bytes", (long)number), "it is the word");
    }
    return added;
}

static enum err
make(struct writer *w, struct writer_call *c, uint64_t *ret_bytes)
{
    assert_true(c->count > 0);
    uint32_t first = c->numbers[0], last = c->numbers[c->count - 1];
    assert_true(last - first < AGE_S);
    for (uint32_t i = 0; i < c->count && w->w->limits.one_of_a_series; i++) {
        for (uint32_t k = 0; k < i; k++) {
            uint32_t a = w->w->sent[c->numbers[i]].series, b = w->w->sent[c->numbers[k]].series;
            assert_int_not_equal(a, b);
        }
    }
    made += c->count;
    *ret_bytes = 7 * (uint64_t)c->count;
    return OK;
}

static unsigned
map_tenths(struct writer *w, const struct item *item)
{
    (void)w;
    bool tenth = (uint32_t)bits_double(item->bits) % 10 == 0;
    return tenth ? WRITER_MAPPED_FLOAT | WRITER_MAPPED_METRIC : 0;
}

static enum err
run_until(struct world *w, int64_t from_ms, int64_t to_ms, const atomic_bool *stop)
{
    static struct writer_class class;
    class = fake_writer;
    class.add = add_in_order;
    class.make = make;
    class.mapped = map_tenths;
    class.begin = NULL; /* nothing is sent */
    last_number = -1;
    made = 0;
    struct plan_options options = {
        .env = w->m.env,
        .tsdb = w->m.db,
        .answerer = tsdb_answerer(w->m.db),
        .memory = &w->memory,
        .settings = &w->settings,
        .writer = &class,
        .from_ms = from_ms,
        .to_ms = to_ms,
        .stop = stop,
    };
    return plan_run(&options, &plan, &w->m.why);
}

static enum err
run(struct world *w, int64_t from_ms, const atomic_bool *stop)
{
    return run_until(w, from_ms, world_sent_ms(w->count), stop);
}

/* Stores some samples in parts, the rest in the head. */
static void
fill_store(struct world *w, uint64_t seed)
{
    world_init(w, seed);
    for (unsigned i = 0; i < 5; i++) {
        world_log(w, 600, 0);
        if (i < 3) machine_flush(&w->m);
    }
}

static uint32_t
unfit_from(const struct world *w, uint32_t from)
{
    uint32_t count = 0;
    for (uint32_t i = from; i < w->count; i++) {
        count += i % 1000 == 999;
    }
    return count;
}

UNIT_TEST(test_everything_is_given_once_and_in_the_order_of_time)
{
    struct world *w = &the_world;
    fill_store(w, 1);
    must(run(w, INT64_MIN, NULL));
    uint32_t unfit = unfit_from(w, 0);
    assert_int_equal(plan.seen, w->count);
    assert_int_equal(plan.taken[ITEM_FLOAT], w->count);
    assert_int_equal(plan.dead_total[ITEM_FLOAT], unfit);
    assert_int_equal(made, w->count - unfit);
    assert_int_equal(plan.units, made);
    assert_int_equal(plan.bytes, 7 * made);
    assert_true(plan.bytes_are_exact);
    assert_true(plan.series <= SERIES);
    assert_int_equal(plan.first_ms, world_sent_ms(0));
    assert_int_equal(plan.last_ms, world_sent_ms(w->count - 1));
    world_fini(w);
}

UNIT_TEST(test_samples_before_the_requested_time_are_not_returned)
{
    struct world *w = &the_world;
    fill_store(w, 2);
    must(run(w, world_sent_ms(1234), NULL));
    assert_int_equal(plan.taken[ITEM_FLOAT], w->count - 1234);
    assert_int_equal(plan.first_ms, world_sent_ms(1234));
    world_fini(w);
}

UNIT_TEST(test_calls_end_as_the_relays_do)
{
    struct world *w = &the_world;
    fill_store(w, 3);
    w->limits.one_of_a_series = true; /* make() checks it */
    must(run(w, INT64_MIN, NULL));
    uint64_t calls = plan.calls;
    w->settings.batch.max_samples = 1;
    w->settings.concurrency = 2;
    must(run(w, INT64_MIN, NULL));
    assert_int_equal(plan.calls, made);
    assert_true(calls < plan.calls);
    world_fini(w);
}

UNIT_TEST(test_reasons_that_differ_in_numbers_are_one)
{
    struct world *w = &the_world;
    fill_store(w, 4);
    must(run(w, INT64_MIN, NULL));
    assert_int_equal(plan.dead_count, 1);
    assert_int_equal(plan.dead[0].count[ITEM_FLOAT], unfit_from(w, 0));
    assert_string_equal(plan.dead[0].why, "a line of 999 bytes");
    assert_int_equal(plan.dead[0].example.t_ms, world_sent_ms(999));
    assert_non_null(strstr(plan.dead[0].example.text, "__name__=\"m"));
    world_fini(w);
}

UNIT_TEST(test_mapped_samples_are_counted_by_kind_with_an_example)
{
    struct world *w = &the_world;
    fill_store(w, 5);
    must(run(w, INT64_MIN, NULL));
    for (uint32_t kind = 0; kind < PLAN_MAPPED_COUNT; kind++) {
        bool is = (1u << kind & (WRITER_MAPPED_FLOAT | WRITER_MAPPED_METRIC)) != 0;
        assert_int_equal(plan.mapped[kind].samples, is ? w->count / 10 : 0);
        assert_int_equal(plan.mapped[kind].example.t_ms, is ? world_sent_ms(0) : 0);
    }
    world_fini(w);
}

/* Logs one sample, numbered like those of world_log(). */
static void
log_at(struct world *w, int64_t t_ms)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m0,name=s0");
    rq_float(&rq, t_ms, double_bits(w->count), 0);
    w->sent[w->count] = (struct sent){.before = UINT32_MAX};
    w->count++;
    must(machine_send(&w->m, "anonymous", &rq));
    assert_int_equal(w->m.result.written[LEDGER_FLOAT], 1);
    machine_commit(&w->m);
    rq_fini(&rq);
}

UNIT_TEST(test_the_oldest_time_there_can_be_is_given_in_a_call_of_its_own)
{
    struct world *w = &the_world;
    world_init(w, 8);
    log_at(w, INT64_MIN);
    log_at(w, world_sent_ms(1));
    must(run_until(w, INT64_MIN, INT64_MAX, NULL));
    assert_int_equal(plan.taken[ITEM_FLOAT], 2);
    assert_int_equal(plan.calls, 2);
    assert_true(plan.first_ms == INT64_MIN);
    assert_true(plan.last_ms == world_sent_ms(1));
    world_fini(w);
}

UNIT_TEST(test_a_plan_stops_when_it_is_canceled)
{
    struct world *w = &the_world;
    static const atomic_bool stop = true;
    fill_store(w, 6);
    assert_int_equal(run(w, INT64_MIN, &stop), ERR_CANCELED);
    world_fini(w);
}

UNIT_TEST(test_every_allocation_may_fail)
{
    struct world *w = &the_world;
    fill_store(w, 7);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth += 1 + nth / 16) {
        mem_fail_nth(nth, false);
        enum err e = run(w, world_sent_ms(2000), NULL);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_true(e == OK || e == ERR_NOMEM);
        if (e == OK) assert_int_equal(plan.taken[ITEM_FLOAT], w->count - 2000);
        assert_int_equal(budget_used(&w->memory), 0);
    }
    world_fini(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_given_once_and_in_the_order_of_time),
        cmocka_unit_test(test_samples_before_the_requested_time_are_not_returned),
        cmocka_unit_test(test_calls_end_as_the_relays_do),
        cmocka_unit_test(test_reasons_that_differ_in_numbers_are_one),
        cmocka_unit_test(test_mapped_samples_are_counted_by_kind_with_an_example),
        cmocka_unit_test(test_the_oldest_time_there_can_be_is_given_in_a_call_of_its_own),
        cmocka_unit_test(test_a_plan_stops_when_it_is_canceled),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
