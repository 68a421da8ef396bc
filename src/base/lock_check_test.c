/*
 * lock_check_test.c - the checks of LOCK_CHECK, in every build: this program has its own lock.c, so
 * that the library's is not linked.
 */
#include "lib/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef LOCK_CHECK
#define LOCK_CHECK
#endif
#include "base/lock.c"

struct pair {
    struct lock low;
    struct lock high;
    struct lock high_too; /* same rank as `high` */
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

/* Says whether `deed` ends in a failed assertion. It runs in a child, silently and without
 * a core file. */
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
        alarm(10); /* a deadlock is not an assertion */
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
    lock_drop(&pair->low); /* locks may be dropped in any order */
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

UNIT_TEST(test_checked_builds_stop_at_a_wrong_order)
{
    assert_false(aborts(take_in_order));
    assert_true(aborts(take_out_of_order));
    assert_true(aborts(take_two_of_one_rank));
    assert_true(aborts(take_twice));
}

UNIT_TEST(test_checked_builds_stop_at_a_wrong_owner)
{
    assert_true(aborts(drop_what_is_free));
    assert_true(aborts(drop_what_another_holds));
    assert_true(aborts(wait_with_another_lock));
    assert_true(aborts(wait_without_the_lock));
}

static void *
is_mine(void *argument)
{
    return lock_is_mine(argument) ? argument : NULL;
}

UNIT_TEST(test_lock_is_mine_from_take_to_drop_and_in_no_other_thread)
{
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
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_builds_stop_at_a_wrong_order),
        cmocka_unit_test(test_checked_builds_stop_at_a_wrong_owner),
        cmocka_unit_test(test_lock_is_mine_from_take_to_drop_and_in_no_other_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
