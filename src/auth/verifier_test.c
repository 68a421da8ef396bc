/*
 * verifier_test.c - answers, the bounds of queue and cache, changes of users, stopping, memory. A
 * callback that waits holds the verifier's thread, so that what is queued meanwhile stays queued.
 */
#include "lib/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/password.h"
#include "base/lock.h"
#include "base/mem.h"
#include "sys/fault.h"

/* Hashes of "secret" and "U*U", which are cheap to check. */
static const char secret_hash[] =
    "$7$80....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3";
static const char other_hash[] =
    "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14";

enum { NO_RESULT = -1, SECOND = 1000000000 };

struct rig {
    struct env env;
    struct env_ops ops;
    struct verifier *verifier;

    struct lock lock; /* LOCK_RANK_LEAF; guards to the end */
    struct cond news;
    bool holds;     /* callbacks of waiters with `holds` wait until it is false */
    bool holds_one; /* one of them waits */
    unsigned turns;
    _Atomic bool bars; /* what is_barred() returns */
};

struct waiter {
    struct rig *rig;
    bool holds;
    int result;
    unsigned count;
    unsigned turn; /* among all of the rig, from 1 */
};

static _Atomic int64_t clock_ns;
static struct rig *joined; /* whose gate opens when its thread is joined */

static int64_t
read_clock(struct env *env)
{
    (void)env;
    return atomic_load(&clock_ns);
}

static void
set_holds(struct rig *r, bool holds)
{
    lock_take(&r->lock);
    r->holds = holds;
    cond_wake_all(&r->news);
    lock_drop(&r->lock);
}

static void
join(struct env *env, struct env_thread *thread)
{
    if (joined != NULL) set_holds(joined, false);
    env_real()->ops->thread_join(env, thread);
}

static void
rig_init(struct rig *r, struct verifier_options options)
{
    struct why why;
    *r = (struct rig){.ops = *env_real()->ops};
    r->ops.monotonic_ns = read_clock;
    r->ops.thread_join = join;
    r->env.ops = &r->ops;
    lock_init(&r->lock, LOCK_RANK_LEAF);
    cond_init(&r->news);
    if (verifier_start(&r->env, NULL, &options, &r->verifier, &why) != OK) fail_msg("%s", why.text);
}

static void
rig_fini(struct rig *r)
{
    joined = r;
    verifier_stop(r->verifier);
    joined = NULL;
    cond_fini(&r->news);
    lock_fini(&r->lock);
}

static struct rig *
small_rig(struct rig *r)
{
    rig_init(r, (struct verifier_options){.queue_max = 8, .cache_max = 4, .cache_ns = SECOND});
    return r;
}

static void
on_result(void *context, enum verifier_result result)
{
    struct waiter *w = context;
    struct rig *r = w->rig;
    lock_take(&r->lock);
    w->result = (int)result;
    w->count++;
    w->turn = ++r->turns;
    r->holds_one = w->holds && r->holds;
    cond_wake_all(&r->news);
    while (w->holds && r->holds)
        cond_wait(&r->news, &r->lock);
    if (w->holds) r->holds_one = false;
    lock_drop(&r->lock);
}

static int
result_of(struct waiter *w)
{
    struct rig *r = w->rig;
    lock_take(&r->lock);
    while (w->count == 0)
        cond_wait(&r->news, &r->lock);
    assert_int_equal(w->count, 1);
    int result = w->result;
    lock_drop(&r->lock);
    return result;
}

static enum verifier_answer
submit(struct rig *r, struct waiter *w, const char *user, const char *hash, const char *password)
{
    *w = (struct waiter){.rig = r, .holds = w->holds, .result = NO_RESULT};
    return verifier_check(r->verifier, bytes_of_text(user), hash, bytes_of_text(password),
                          (struct verifier_caller){on_result, w});
}

static bool
is_barred(void *context)
{
    struct waiter *w = context;
    return w->rig->bars;
}

/* Submits a check of "ann" with this password, from a client. */
static enum verifier_answer
submit_from(struct rig *r, struct waiter *w, const char *client, bool only_own,
            const char *password)
{
    *w = (struct waiter){.rig = r, .result = NO_RESULT};
    return verifier_check(
        r->verifier, bytes_of_text("ann"), secret_hash, bytes_of_text(password),
        (struct verifier_caller){on_result, w, bytes_of_text(client), only_own, is_barred});
}

/* Checks and waits; returns the result, or NO_RESULT if the password is remembered. */
static int
check(struct rig *r, const char *user, const char *password)
{
    struct waiter w = {0};
    enum verifier_answer answer = submit(r, &w, user, secret_hash, password);
    if (answer == VERIFIER_KNOWN_GOOD) return NO_RESULT;
    assert_int_equal(answer, VERIFIER_QUEUED);
    return result_of(&w);
}

/* Returns when the thread waits in the callback of `w`. */
static void
hold_thread(struct rig *r, struct waiter *w)
{
    *w = (struct waiter){.holds = true};
    set_holds(r, true);
    assert_int_equal(submit(r, w, "holder", secret_hash, "wrong"), VERIFIER_QUEUED);
    lock_take(&r->lock);
    while (!r->holds_one)
        cond_wait(&r->news, &r->lock);
    lock_drop(&r->lock);
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_a_good_password_is_hashed_once_and_then_known)
{
    struct rig rig, *r = small_rig(&rig);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    for (int i = 0; i < 3; i++)
        assert_int_equal(check(r, "ann", "secret"), NO_RESULT);
    struct verifier_counts counts = verifier_counts(r->verifier);
    assert_int_equal(counts.hashed, 1);
    assert_int_equal(counts.known, 3);
    assert_int_equal(counts.remembered, 1);
    assert_int_equal(counts.waiting, 0);
    rig_fini(r);
}

UNIT_TEST(test_a_bad_password_is_hashed_each_time)
{
    struct rig rig, *r = small_rig(&rig);
    for (int i = 0; i < 3; i++)
        assert_int_equal(check(r, "ann", "wrong"), VERIFIER_BAD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 3);
    assert_int_equal(verifier_counts(r->verifier).remembered, 0);
    rig_fini(r);
}

UNIT_TEST(test_a_password_is_known_for_its_user_and_hash_only)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter w = {0};
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    assert_int_equal(check(r, "bob", "secret"), VERIFIER_GOOD);
    assert_int_equal(check(r, "anns", "ecret"), VERIFIER_BAD);
    assert_int_equal(submit(r, &w, "ann", other_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    assert_int_equal(check(r, "ann", "Secret"), VERIFIER_BAD);
    assert_int_equal(check(r, "ann", ""), VERIFIER_BAD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 6);
    rig_fini(r);
}

UNIT_TEST(test_a_slowed_client_learns_no_password_that_others_sent)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter w;
    assert_int_equal(submit_from(r, &w, "a", false, "secret"), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    assert_int_equal(submit_from(r, &w, "a", true, "secret"), VERIFIER_KNOWN_GOOD);
    assert_int_equal(submit_from(r, &w, "a", true, "wrong"), VERIFIER_NOT_KNOWN);
    assert_int_equal(submit_from(r, &w, "b", true, "secret"), VERIFIER_NOT_KNOWN);
    assert_int_equal(submit_from(r, &w, "", true, "secret"), VERIFIER_KNOWN_GOOD);
    /* Another client need not wait for a hash, and is known from then on. */
    assert_int_equal(submit_from(r, &w, "b", false, "secret"), VERIFIER_KNOWN_GOOD);
    assert_int_equal(submit_from(r, &w, "b", true, "secret"), VERIFIER_KNOWN_GOOD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 1);
    assert_int_equal(verifier_counts(r->verifier).remembered, 3);
    verifier_forget_all(r->verifier);
    assert_int_equal(submit_from(r, &w, "b", true, "secret"), VERIFIER_NOT_KNOWN);
    rig_fini(r);
}

UNIT_TEST(test_a_full_queue_does_not_compare_passwords_of_others)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, waiters[4] = {0}, w;
    assert_int_equal(submit_from(r, &w, "a", false, "secret"), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    hold_thread(r, &holder);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(submit_from(r, &waiters[i], "b", false, (char[]){(char)('a' + i), 0}),
                         VERIFIER_QUEUED);
    }
    assert_int_equal(submit_from(r, &w, "b", false, "wrong"), VERIFIER_FULL);
    assert_int_equal(submit_from(r, &w, "b", false, "secret"), VERIFIER_FULL);
    assert_int_equal(submit_from(r, &w, "a", false, "secret"), VERIFIER_KNOWN_GOOD);
    set_holds(r, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(result_of(&waiters[i]), VERIFIER_BAD);
    rig_fini(r);
}

UNIT_TEST(test_a_password_is_known_by_all_of_its_bytes)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter w = {.rig = r};
    struct verifier_caller caller = {on_result, &w};
    static const char hash[] = "$2b$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC";
    char password[600];
    memset(password, 'x', sizeof password);
    struct bytes bytes = bytes_of(password, sizeof password);
    assert_int_equal(verifier_check(r->verifier, bytes_of(NULL, 0), hash, bytes, caller),
                     VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    assert_int_equal(verifier_check(r->verifier, bytes_of(NULL, 0), hash, bytes, caller),
                     VERIFIER_KNOWN_GOOD);
    password[599] = 'y';
    w.count = 0;
    assert_int_equal(verifier_check(r->verifier, bytes_of(NULL, 0), hash, bytes, caller),
                     VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    rig_fini(r);
}

UNIT_TEST(test_a_hash_at_the_end_of_a_name_is_not_the_hash)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter w = {0};
    const uint8_t salt[PASSWORD_SALT_BYTES] = {0};
    char password[100], hash[PASSWORD_HASH_BYTES], name[100];
    struct why why;
    snprintf(password, sizeof password, "%s%s", other_hash, "secret");
    assert_int_equal(
        password_hash_make(NULL, PASSWORD_YESCRYPT, bytes_of_text(password), salt, hash, &why), OK);
    assert_int_equal(submit(r, &w, "a", hash, password), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    snprintf(name, sizeof name, "a%s", hash);
    assert_int_equal(submit(r, &w, name, other_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    rig_fini(r);
}

UNIT_TEST(test_an_unknown_user_costs_a_hash_and_is_bad)
{
    struct rig rig, *r = small_rig(&rig);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    for (uint64_t i = 0; i < 2; i++) {
        struct waiter w = {.rig = r};
        assert_int_equal(verifier_check_unknown(r->verifier, bytes_of_text("ann"), secret_hash,
                                                bytes_of_text("secret"),
                                                (struct verifier_caller){on_result, &w}),
                         VERIFIER_QUEUED);
        assert_int_equal(result_of(&w), VERIFIER_BAD);
        assert_int_equal(verifier_counts(r->verifier).hashed, 2 + i);
    }
    assert_int_equal(verifier_counts(r->verifier).remembered, 1);
    rig_fini(r);
}

/* --- the queue -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_full_queue_refuses_but_known_passwords_pass)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, waiters[5] = {0};
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    hold_thread(r, &holder);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(submit(r, &waiters[i], "bob", secret_hash, (char[]){(char)('a' + i), 0}),
                         VERIFIER_QUEUED);
    }
    assert_int_equal(submit(r, &waiters[4], "bob", secret_hash, "secret"), VERIFIER_FULL);
    assert_int_equal(check(r, "ann", "secret"), NO_RESULT);
    struct verifier_counts counts = verifier_counts(r->verifier);
    assert_int_equal(counts.full, 1);
    assert_int_equal(counts.waiting, 4);
    assert_int_equal(counts.hashed, 2);
    set_holds(r, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(result_of(&waiters[i]), VERIFIER_BAD);
    assert_int_equal(waiters[4].count, 0);
    assert_int_equal(check(r, "bob", "secret"), VERIFIER_GOOD);
    rig_fini(r);
}

UNIT_TEST(test_equal_checks_that_wait_together_are_hashed_once)
{
    struct rig rig, *r = &rig;
    struct waiter holder, equal[3] = {0}, other = {0}, unknown = {.rig = r};
    rig_init(r, (struct verifier_options){.queue_max = 16, .cache_max = 4, .cache_ns = SECOND});
    hold_thread(r, &holder);
    assert_int_equal(submit(r, &equal[0], "ann", secret_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(submit(r, &other, "bob", secret_hash, "wrong"), VERIFIER_QUEUED);
    assert_int_equal(verifier_check_unknown(r->verifier, bytes_of_text("ann"), secret_hash,
                                            bytes_of_text("secret"),
                                            (struct verifier_caller){on_result, &unknown}),
                     VERIFIER_QUEUED);
    assert_int_equal(submit(r, &equal[1], "ann", secret_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(submit(r, &equal[2], "ann", secret_hash, "secret"), VERIFIER_QUEUED);
    set_holds(r, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(result_of(&equal[i]), VERIFIER_GOOD);
    assert_int_equal(result_of(&other), VERIFIER_BAD);
    assert_int_equal(result_of(&unknown), VERIFIER_BAD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 4); /* with the holder's */
    assert_int_equal(check(r, "ann", "secret"), NO_RESULT);
    rig_fini(r);
}

UNIT_TEST(test_equal_bad_checks_of_one_client_are_one_bad_check)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, a[2], b;
    hold_thread(r, &holder);
    assert_int_equal(submit_from(r, &a[0], "a", false, "wrong"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &a[1], "a", false, "wrong"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &b, "b", false, "wrong"), VERIFIER_QUEUED);
    set_holds(r, false);
    assert_int_equal(result_of(&a[0]), VERIFIER_BAD);
    assert_int_equal(result_of(&a[1]), VERIFIER_BAD_AGAIN);
    assert_int_equal(result_of(&b), VERIFIER_BAD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 3); /* with the holder's */
    rig_fini(r);
}

UNIT_TEST(test_clients_take_turns_and_one_has_half_of_the_queue)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, a[5], b[2], c;
    hold_thread(r, &holder);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(submit_from(r, &a[i], "a", false, (char[]){(char)('a' + i), 0}),
                         i < 4 ? VERIFIER_QUEUED : VERIFIER_FULL);
    }
    assert_int_equal(submit_from(r, &b[0], "b", false, "1"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &b[1], "b", false, "2"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &c, "c", false, "secret"), VERIFIER_QUEUED);
    set_holds(r, false);
    assert_int_equal(result_of(&a[3]), VERIFIER_BAD);
    /* After the holder: a b c, a b, a, a. */
    assert_int_equal(a[0].turn, 2);
    assert_int_equal(b[0].turn, 3);
    assert_int_equal(c.turn, 4);
    assert_int_equal(c.result, VERIFIER_GOOD);
    assert_int_equal(a[1].turn, 5);
    assert_int_equal(b[1].turn, 6);
    assert_int_equal(a[2].turn, 7);
    rig_fini(r);
}

UNIT_TEST(test_a_waiting_check_is_not_hashed_once_its_client_is_barred)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, waiters[3];
    hold_thread(r, &holder);
    assert_int_equal(submit_from(r, &waiters[0], "a", false, "wrong"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &waiters[1], "a", false, "secret"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &waiters[2], "b", false, "secret"), VERIFIER_QUEUED);
    r->bars = true;
    set_holds(r, false);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(result_of(&waiters[i]), VERIFIER_UNCHECKED);
    assert_int_equal(verifier_counts(r->verifier).hashed, 1); /* the holder's */
    assert_int_equal(verifier_counts(r->verifier).remembered, 0);
    rig_fini(r);
}

UNIT_TEST(test_a_barred_client_does_not_use_what_others_sent_meanwhile)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, a, b, again;
    hold_thread(r, &holder);
    assert_int_equal(submit(r, &b, "ann", secret_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(submit_from(r, &a, "a", false, "secret"), VERIFIER_QUEUED);
    r->bars = true; /* the other check is not asked about */
    set_holds(r, false);
    assert_int_equal(result_of(&b), VERIFIER_GOOD);
    assert_int_equal(result_of(&a), VERIFIER_UNCHECKED);
    assert_int_equal(submit_from(r, &again, "a", true, "secret"), VERIFIER_NOT_KNOWN);
    rig_fini(r);
}

/* --- the cache -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_password_is_known_until_it_was_not_used_for_a_time)
{
    struct rig rig, *r = small_rig(&rig);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    for (int i = 0; i < 5; i++) {
        atomic_fetch_add(&clock_ns, SECOND - 1);
        assert_int_equal(check(r, "ann", "secret"), NO_RESULT);
    }
    atomic_fetch_add(&clock_ns, SECOND);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    rig_fini(r);
}

UNIT_TEST(test_expired_entries_leave_the_cache)
{
    struct rig rig, *r = small_rig(&rig);
    assert_int_equal(check(r, "a", "secret"), VERIFIER_GOOD);
    assert_int_equal(check(r, "b", "secret"), VERIFIER_GOOD);
    assert_int_equal(check(r, "c", "secret"), VERIFIER_GOOD);
    assert_int_equal(verifier_counts(r->verifier).remembered, 3);
    atomic_fetch_add(&clock_ns, SECOND);
    for (int i = 0; i < 3; i++)
        assert_int_equal(check(r, "d", "wrong"), VERIFIER_BAD);
    assert_int_equal(verifier_counts(r->verifier).remembered, 0);
    rig_fini(r);
}

UNIT_TEST(test_a_full_cache_forgets_a_password_that_is_not_used)
{
    struct rig rig, *r = small_rig(&rig);
    static const char *const users[] = {"a", "b", "c", "d"};
    for (int idle = 0; idle < 4; idle++) {
        for (int i = 0; i < 4; i++)
            assert_int_equal(check(r, users[i], "secret"), VERIFIER_GOOD);
        for (int i = 0; i < 4; i++)
            if (i != idle) assert_int_equal(check(r, users[i], "secret"), NO_RESULT);
        assert_int_equal(check(r, "e", "secret"), VERIFIER_GOOD);
        assert_int_equal(verifier_counts(r->verifier).remembered, 4);
        for (int i = 0; i < 4; i++)
            if (i != idle) assert_int_equal(check(r, users[i], "secret"), NO_RESULT);
        assert_int_equal(check(r, users[idle], "secret"), VERIFIER_GOOD);
        verifier_forget_all(r->verifier);
    }
    rig_fini(r);
}

UNIT_TEST(test_the_cache_keeps_its_bound_over_many_users)
{
    struct rig rig, *r = small_rig(&rig);
    char user[16];
    for (int i = 0; i < 40; i++) {
        snprintf(user, sizeof user, "u%d", i);
        assert_int_equal(check(r, user, "secret"), VERIFIER_GOOD);
        assert_int_equal(check(r, user, "secret"), NO_RESULT);
    }
    assert_int_equal(verifier_counts(r->verifier).remembered, 4);
    rig_fini(r);
}

/* --- changes of users ------------------------------------------------------------------------- */

UNIT_TEST(test_a_change_of_users_forgets_all_and_outdates_what_waits)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, before = {0}, after = {0};
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    hold_thread(r, &holder);
    assert_int_equal(submit(r, &before, "bob", secret_hash, "secret"), VERIFIER_QUEUED);
    verifier_forget_all(r->verifier);
    assert_int_equal(submit(r, &after, "bob", secret_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(verifier_counts(r->verifier).remembered, 0);
    set_holds(r, false);
    assert_int_equal(result_of(&before), VERIFIER_OUTDATED);
    assert_int_equal(result_of(&after), VERIFIER_GOOD);
    assert_int_equal(verifier_counts(r->verifier).hashed, 3); /* ann, the holder, bob once */
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    rig_fini(r);
}

static struct verifier *changed;

/* Called when a hash has been computed, and its memory is freed. */
static void
change_users(const void *memory, size_t size_bytes)
{
    (void)memory;
    (void)size_bytes;
    struct verifier *v = changed;
    changed = NULL;
    if (v != NULL) verifier_forget_all(v);
}

UNIT_TEST(test_a_check_that_runs_while_users_change_is_not_remembered)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter w = {0};
    changed = r->verifier;
    mem_watch_frees(change_users);
    assert_int_equal(submit(r, &w, "ann", secret_hash, "secret"), VERIFIER_QUEUED);
    assert_int_equal(result_of(&w), VERIFIER_OUTDATED);
    mem_watch_frees(NULL);
    assert_null(changed);
    assert_int_equal(verifier_counts(r->verifier).remembered, 0);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    rig_fini(r);
}

static void
check_again(void *context, enum verifier_result result)
{
    struct waiter *w = context;
    if (result != VERIFIER_OUTDATED) return on_result(context, result);
    assert_int_equal(verifier_check(w->rig->verifier, bytes_of_text("ann"), secret_hash,
                                    bytes_of_text("secret"),
                                    (struct verifier_caller){on_result, w}),
                     VERIFIER_QUEUED);
}

UNIT_TEST(test_a_callback_may_check_again)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, w = {.rig = r};
    hold_thread(r, &holder);
    assert_int_equal(verifier_check(r->verifier, bytes_of_text("ann"), secret_hash,
                                    bytes_of_text("secret"),
                                    (struct verifier_caller){check_again, &w}),
                     VERIFIER_QUEUED);
    verifier_forget_all(r->verifier);
    set_holds(r, false);
    assert_int_equal(result_of(&w), VERIFIER_GOOD);
    rig_fini(r);
}

/* --- stopping, memory, secrets ---------------------------------------------------------------- */

static bool secret_seen;

static void
look_for_secret(const void *memory, size_t size_bytes)
{
    if (memmem(memory, size_bytes, "swordfish", 9) != NULL) secret_seen = true;
}

UNIT_TEST(test_stopping_answers_what_waits_and_leaves_no_password)
{
    struct rig rig, *r = small_rig(&rig);
    struct waiter holder, waiters[3] = {0};
    secret_seen = false;
    hold_thread(r, &holder);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            submit(r, &waiters[i], "ann", secret_hash, i == 0 ? "swordfish 1" : "swordfish 2"),
            VERIFIER_QUEUED);
    }
    mem_watch_frees(look_for_secret);
    rig_fini(r);
    mem_watch_frees(NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiters[i].count, 1);
        assert_int_equal(waiters[i].result, VERIFIER_UNCHECKED);
    }
    assert_false(secret_seen);
    verifier_stop(NULL);
}

UNIT_TEST(test_start_fails_at_each_allocation_and_leaves_nothing)
{
    const struct verifier_options options = {.queue_max = 8, .cache_max = 4, .cache_ns = SECOND};
    unsigned refused = 0;
    for (uint64_t nth = 1;; nth++) {
        struct budget budget;
        struct verifier *v = NULL;
        struct why why = {""};
        budget_init(&budget, "test", 0, NULL);
        mem_fail_nth(nth, false);
        enum err e = verifier_start(env_real(), &budget, &options, &v, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        verifier_stop(v);
        assert_int_equal(budget_used(&budget), 0);
        refused += fired;
        if (!fired) break;
        assert_true(why.text[0] != '\0');
    }
    assert_int_equal(refused, 5);
}

UNIT_TEST(test_start_fails_without_random_bytes_or_a_thread)
{
    const struct verifier_options options = {.queue_max = 8, .cache_max = 4, .cache_ns = SECOND};
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_THREAD};
    for (size_t i = 0; i < 2; i++) {
        struct fault_env *fe;
        struct verifier *v = NULL;
        struct why why = {""};
        assert_int_equal(fault_env_new(env_real(), &fe), OK);
        fault_env_arm(fe, (struct fault){.kind = kinds[i], .nth = 1});
        assert_int_not_equal(verifier_start(fault_env_env(fe), NULL, &options, &v, &why), OK);
        assert_true(fault_env_fired(fe));
        assert_null(v);
        assert_true(why.text[0] != '\0');
        fault_env_free(fe);
    }
}

UNIT_TEST(test_a_check_without_memory_is_neither_good_nor_bad)
{
    struct rig rig, *r = small_rig(&rig);
    mem_fail_nth(1, false);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_UNCHECKED);
    assert_true(mem_fail_fired());
    mem_fail_nth(0, false);
    assert_int_equal(check(r, "ann", "secret"), VERIFIER_GOOD);
    rig_fini(r);
}

/* --- many threads ----------------------------------------------------------------------------- */

enum { CHECKS = 60, THREADS = 4 };

struct hammer {
    struct rig *rig;
    unsigned seed;
    struct waiter waiters[CHECKS];
    bool queued[CHECKS];
    bool good[CHECKS];
};

static void
hammer(void *argument)
{
    struct hammer *h = argument;
    static const char *const users[] = {"a", "b", "c", "d", "e", "f"};
    for (int i = 0; i < CHECKS; i++) {
        unsigned n = (unsigned)rand_r(&h->seed) >> 4;
        h->good[i] = n % 4 != 0;
        h->queued[i] = submit(h->rig, &h->waiters[i], users[n / 4 % 6], secret_hash,
                              h->good[i] ? "secret" : "wrong") == VERIFIER_QUEUED;
        if (n % 16 == 0) verifier_forget_all(h->rig->verifier);
    }
}

UNIT_TEST(test_each_queued_check_of_many_threads_is_answered_once)
{
    struct rig rig, *r = small_rig(&rig);
    struct hammer *hammers = calloc(THREADS, sizeof *hammers);
    struct env_thread *threads[THREADS];
    assert_non_null(hammers);
    for (unsigned i = 0; i < THREADS; i++) {
        hammers[i].rig = r;
        hammers[i].seed = i + 1;
        assert_int_equal(env_thread_start(env_real(), "hammer", hammer, &hammers[i], &threads[i]),
                         OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        env_thread_join(env_real(), threads[i]);
    rig_fini(r);
    for (unsigned i = 0; i < THREADS * CHECKS; i++) {
        const struct hammer *h = &hammers[i / CHECKS];
        const struct waiter *w = &h->waiters[i % CHECKS];
        assert_int_equal(w->count, h->queued[i % CHECKS]);
        if (w->result == VERIFIER_GOOD) assert_true(h->good[i % CHECKS]);
        if (w->result == VERIFIER_BAD) assert_false(h->good[i % CHECKS]);
    }
    free(hammers);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_password_is_hashed_once_and_then_known),
        cmocka_unit_test(test_a_bad_password_is_hashed_each_time),
        cmocka_unit_test(test_a_password_is_known_for_its_user_and_hash_only),
        cmocka_unit_test(test_a_slowed_client_learns_no_password_that_others_sent),
        cmocka_unit_test(test_a_full_queue_does_not_compare_passwords_of_others),
        cmocka_unit_test(test_a_password_is_known_by_all_of_its_bytes),
        cmocka_unit_test(test_a_hash_at_the_end_of_a_name_is_not_the_hash),
        cmocka_unit_test(test_an_unknown_user_costs_a_hash_and_is_bad),
        cmocka_unit_test(test_a_full_queue_refuses_but_known_passwords_pass),
        cmocka_unit_test(test_equal_checks_that_wait_together_are_hashed_once),
        cmocka_unit_test(test_equal_bad_checks_of_one_client_are_one_bad_check),
        cmocka_unit_test(test_clients_take_turns_and_one_has_half_of_the_queue),
        cmocka_unit_test(test_a_waiting_check_is_not_hashed_once_its_client_is_barred),
        cmocka_unit_test(test_a_barred_client_does_not_use_what_others_sent_meanwhile),
        cmocka_unit_test(test_a_password_is_known_until_it_was_not_used_for_a_time),
        cmocka_unit_test(test_expired_entries_leave_the_cache),
        cmocka_unit_test(test_a_full_cache_forgets_a_password_that_is_not_used),
        cmocka_unit_test(test_the_cache_keeps_its_bound_over_many_users),
        cmocka_unit_test(test_a_change_of_users_forgets_all_and_outdates_what_waits),
        cmocka_unit_test(test_a_check_that_runs_while_users_change_is_not_remembered),
        cmocka_unit_test(test_a_callback_may_check_again),
        cmocka_unit_test(test_stopping_answers_what_waits_and_leaves_no_password),
        cmocka_unit_test(test_start_fails_at_each_allocation_and_leaves_nothing),
        cmocka_unit_test(test_start_fails_without_random_bytes_or_a_thread),
        cmocka_unit_test(test_a_check_without_memory_is_neither_good_nor_bad),
        cmocka_unit_test(test_each_queued_check_of_many_threads_is_answered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
