/* lock_test.c - locks and waiting. */
#include "lib/test.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/lock.h"

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct counter {
    struct lock lock;
    struct cond cond;
    uint64_t count;
    unsigned turn;
};

static void *
count_up(void *argument)
{
    struct counter *counter = argument;
    for (int i = 0; i < 20000; i++) {
        lock_take(&counter->lock);
        counter->count++;
        lock_drop(&counter->lock);
    }
    return NULL;
}

UNIT_TEST(test_lock_lets_in_one_thread_at_a_time)
{
    struct counter counter = {.count = 0};
    lock_init(&counter.lock, LOCK_RANK_LEAF);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &counter), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(counter.count, 4 * 20000);
    lock_fini(&counter.lock);
    lock_fini(&counter.lock); /* does nothing if the lock is freed, or never was initialized */
}

static void *
answer_turns(void *argument)
{
    struct counter *counter = argument;
    lock_take(&counter->lock);
    while (counter->count < 1000) {
        while (counter->turn != 1)
            cond_wait(&counter->cond, &counter->lock);
        counter->turn = 0;
        counter->count++;
        cond_wake_all(&counter->cond);
    }
    lock_drop(&counter->lock);
    return NULL;
}

UNIT_TEST(test_waiting_thread_is_woken_each_time)
{
    struct counter counter = {.count = 0};
    lock_init(&counter.lock, LOCK_RANK_LEAF);
    cond_init(&counter.cond);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer_turns, &counter), 0);
    lock_take(&counter.lock);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(counter.count, i);
        counter.turn = 1;
        cond_wake_one(&counter.cond);
        while (counter.turn != 0)
            cond_wait(&counter.cond, &counter.lock);
    }
    lock_drop(&counter.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(counter.count, 1000);
    cond_fini(&counter.cond);
    lock_fini(&counter.lock);
}

UNIT_TEST(test_wait_ends_at_its_deadline_on_the_monotonic_clock)
{
    struct counter counter = {.count = 0};
    lock_init(&counter.lock, LOCK_RANK_LEAF);
    cond_init(&counter.cond);
    lock_take(&counter.lock);
    int64_t deadline_ns = now_ns() + 5000000;
    while (cond_wait_until(&counter.cond, &counter.lock, deadline_ns)) {
        /* woken for nothing: wait again */
    }
    assert_true(now_ns() >= deadline_ns);
    assert_false(cond_wait_until(&counter.cond, &counter.lock, deadline_ns));
    lock_drop(&counter.lock);
    cond_fini(&counter.cond);
    lock_fini(&counter.lock);
}

struct guest {
    struct lock lock;
    _Atomic bool was_in;
};

static void *
come_in(void *context)
{
    struct guest *g = context;
    lock_take(&g->lock);
    g->was_in = true;
    lock_drop(&g->lock);
    return NULL;
}

UNIT_TEST(test_long_work_gives_way_to_who_waits)
{
    enum { ROUNDS_MAX = 100 };
    struct guest g = {.was_in = false};
    pthread_t thread;
    lock_init(&g.lock, LOCK_RANK_LEAF);
    lock_take(&g.lock);
    assert_int_equal(pthread_create(&thread, NULL, come_in, &g), 0);
    while (g.lock.waiting == 0)
        sched_yield();
    unsigned rounds = 0;
    for (; !g.was_in && rounds < ROUNDS_MAX; rounds++)
        lock_give_way(&g.lock);
    lock_drop(&g.lock);
    assert_in_range(rounds, 1, ROUNDS_MAX - 1);
    pthread_join(thread, NULL);
    assert_int_equal(g.lock.waiting, 0);
    lock_fini(&g.lock);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_lets_in_one_thread_at_a_time),
        cmocka_unit_test(test_waiting_thread_is_woken_each_time),
        cmocka_unit_test(test_wait_ends_at_its_deadline_on_the_monotonic_clock),
        cmocka_unit_test(test_long_work_gives_way_to_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
