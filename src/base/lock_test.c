#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#ifdef LOCK_CHECK
struct pair {
    struct lock low;
    struct lock high;
    struct lock high_too; /* of the same rank as `high` */
    struct cond cond;
};

static void
pair_init(struct pair *pair)
{
    lock_init(&pair->low, LOCK_RANK_HEAD);
    lock_init(&pair->high, LOCK_RANK_WAL);
    lock_init(&pair->high_too, LOCK_RANK_WAL);
    cond_init(&pair->cond);
}

static void
pair_fini(struct pair *pair)
{
    lock_fini(&pair->low);
    lock_fini(&pair->high);
    lock_fini(&pair->high_too);
    cond_fini(&pair->cond);
}

/* True if `deed` ends in a failed assertion. It runs in a child, silent and without a core file. */
static bool
aborts(void (*deed)(struct pair *pair))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        alarm(10); /* a deadlock is no assertion */
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
        struct pair pair;
        pair_init(&pair);
        deed(&pair);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
take_in_order(struct pair *pair)
{
    lock_take(&pair->low);
    lock_take(&pair->high);
    lock_drop(&pair->low); /* dropped in any order */
    lock_drop(&pair->high);
    lock_take(&pair->low);
    lock_drop(&pair->low);
}

static void
take_out_of_order(struct pair *pair)
{
    lock_take(&pair->high);
    lock_take(&pair->low);
}

static void
take_two_of_one_rank(struct pair *pair)
{
    lock_take(&pair->high);
    lock_take(&pair->high_too);
}

static void
take_twice(struct pair *pair)
{
    lock_take(&pair->low);
    lock_take(&pair->low);
}

static void
drop_what_is_free(struct pair *pair)
{
    lock_drop(&pair->low);
}

static void *
take_low(void *argument)
{
    lock_take(argument);
    return NULL;
}

static void
drop_what_another_holds(struct pair *pair)
{
    pthread_t thread;
    pthread_create(&thread, NULL, take_low, &pair->low);
    pthread_join(thread, NULL);
    lock_drop(&pair->low);
}

static void
wait_with_another_lock(struct pair *pair)
{
    lock_take(&pair->low);
    lock_take(&pair->high);
    cond_wait_until(&pair->cond, &pair->high, 0);
}

static void
wait_without_the_lock(struct pair *pair)
{
    cond_wait_until(&pair->cond, &pair->low, 0);
}
#endif

static void
test_checked_builds_stop_at_a_wrong_order(void **state)
{
    (void)state;
#ifdef LOCK_CHECK
    assert_false(aborts(take_in_order));
    assert_true(aborts(take_out_of_order));
    assert_true(aborts(take_two_of_one_rank));
    assert_true(aborts(take_twice));
#else
    skip();
#endif
}

static void
test_checked_builds_stop_at_a_wrong_owner(void **state)
{
    (void)state;
#ifdef LOCK_CHECK
    assert_true(aborts(drop_what_is_free));
    assert_true(aborts(drop_what_another_holds));
    assert_true(aborts(wait_with_another_lock));
    assert_true(aborts(wait_without_the_lock));
#else
    skip();
#endif
}

static void *
is_mine(void *argument)
{
    return lock_is_mine(argument) ? argument : NULL;
}

static void
test_lock_is_mine_from_take_to_drop_and_in_no_other_thread(void **state)
{
    (void)state;
#ifdef LOCK_CHECK
    struct pair pair;
    pthread_t thread;
    void *others = NULL;
    pair_init(&pair);
    assert_false(lock_is_mine(&pair.low));
    lock_take(&pair.low);
    assert_true(lock_is_mine(&pair.low));
    assert_int_equal(pthread_create(&thread, NULL, is_mine, &pair.low), 0);
    assert_int_equal(pthread_join(thread, &others), 0);
    assert_null(others);
    assert_false(cond_wait_until(&pair.cond, &pair.low, 0));
    assert_true(lock_is_mine(&pair.low));
    lock_drop(&pair.low);
    assert_false(lock_is_mine(&pair.low));
    pair_fini(&pair);
#else
    (void)is_mine;
    skip();
#endif
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

static void
test_lock_lets_in_one_thread_at_a_time(void **state)
{
    (void)state;
    struct counter counter = {.count = 0};
    lock_init(&counter.lock, LOCK_RANK_LEAF);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &counter), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(counter.count, 4 * 20000);
    lock_fini(&counter.lock);
    lock_fini(&counter.lock); /* of a lock that is gone, or never was: nothing */
}

static void *
answer_turns(void *argument)
{
    struct counter *counter = argument;
    lock_take(&counter->lock);
    while (counter->count < 1000) {
        while (counter->turn != 1) {
            cond_wait(&counter->cond, &counter->lock);
        }
        counter->turn = 0;
        counter->count++;
        cond_wake_all(&counter->cond);
    }
    lock_drop(&counter->lock);
    return NULL;
}

static void
test_waiting_thread_is_woken_each_time(void **state)
{
    (void)state;
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
        while (counter.turn != 0) {
            cond_wait(&counter.cond, &counter.lock);
        }
    }
    lock_drop(&counter.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(counter.count, 1000);
    cond_fini(&counter.cond);
    lock_fini(&counter.lock);
}

static void
test_wait_ends_at_its_deadline_on_the_monotonic_clock(void **state)
{
    (void)state;
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

static void
test_long_work_gives_way_to_who_waits(void **state)
{
    (void)state;
    enum { ROUNDS_MAX = 100 };
    struct guest g = {.was_in = false};
    pthread_t thread;
    lock_init(&g.lock, LOCK_RANK_LEAF);
    lock_take(&g.lock);
    assert_int_equal(pthread_create(&thread, NULL, come_in, &g), 0);
    while (g.lock.waiting == 0) {
        sched_yield();
    }
    unsigned rounds = 0;
    for (; !g.was_in && rounds < ROUNDS_MAX; rounds++) {
        lock_give_way(&g.lock);
    }
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
        cmocka_unit_test(test_checked_builds_stop_at_a_wrong_order),
        cmocka_unit_test(test_checked_builds_stop_at_a_wrong_owner),
        cmocka_unit_test(test_lock_is_mine_from_take_to_drop_and_in_no_other_thread),
        cmocka_unit_test(test_lock_lets_in_one_thread_at_a_time),
        cmocka_unit_test(test_waiting_thread_is_woken_each_time),
        cmocka_unit_test(test_wait_ends_at_its_deadline_on_the_monotonic_clock),
        cmocka_unit_test(test_long_work_gives_way_to_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
