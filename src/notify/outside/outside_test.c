/* outside_test.c - the network as a notifier uses it: requests and look-ups end in polls, and may
 * be given up. */
#include "lib/notify/notify_alerts.h"
#include "lib/test.h"
/* It needs the macros of the headers above. */
#include "lib/net/http_player.h"
#include "notify/outside/outside.h"

static const char *const ANSWERS[] = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                                      "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"};

static struct budget budget;
static struct outside *outside;
static struct why why;

struct pending {
    struct outside_call call;
    struct outside_question question;
    unsigned answers, status;
    enum err e;
};

static void
call_answered(struct outside_call *call, const struct http_call_answer *answer)
{
    struct pending *a = (struct pending *)call;
    a->answers++;
    a->status = answer->status;
}

static void
question_answered(struct outside_question *question, const struct dns_answer *answer)
{
    uint8_t *a = (uint8_t *)question - offsetof(struct pending, question);
    ((struct pending *)(void *)a)->answers++;
    ((struct pending *)(void *)a)->e = answer->e;
}

static int
setup(void **state)
{
    (void)state;
    budget_init(&budget, "test", 0, NULL);
    /* This port has no listener. */
    assert_int_equal(outside_new(env_real(), &budget, "127.0.0.1:1", &outside, &why), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    outside_free(outside);
    assert_int_equal(budget_used(&budget), 0);
    return 0;
}

static void
start(struct pending *a, const char *url)
{
    static const struct http_calls_target target = {
        .proxy_url = "", .connect_timeout_ms = 5000, .timeout_ms = 10000};
    const struct http_call call = {
        .target = &target, .method = "GET", .url = url, .answer_bytes_max = 100};
    *a = (struct pending){.call = {.answered = call_answered}};
    assert_int_equal(outside_start(outside, &call, &a->call, &why), OK);
    assert_true(a->call.is_pending);
}

static void
look_up(struct pending *a, const char *name)
{
    *a = (struct pending){.question = {.answered = question_answered}};
    assert_int_equal(outside_ask(outside, name, DNS_A, &a->question, &why), OK);
}

static void
wait_for(const struct pending *a)
{
    while (a->answers == 0)
        outside_poll(outside, 10000);
    assert_int_equal(a->answers, 1);
    assert_false(a->call.is_pending);
    assert_false(a->question.is_pending);
}

UNIT_TEST(test_polls_answer_all_requests_and_look_ups_that_are_not_given_up)
{
    struct pending a, b, c, d;
    struct player p, q;
    player_start(&p, 1,
                 (const char *const[]){""}); /* the connection is accepted and not answered */
    player_start(&q, 2, ANSWERS);
    start(&a, p.url);
    look_up(&b, "y.example.");
    outside_poll(outside, 0);
    for (unsigned i = 0; i < 2; i++) { /* the second time it does nothing */
        outside_give_up(outside, &a.call);
        outside_give_up_question(outside, &b.question);
        assert_false(a.call.is_pending || b.question.is_pending);
    }
    for (unsigned i = 0; i < 2; i++) {
        start(&c, q.url);
        wait_for(&c);
        assert_int_equal(c.status, i == 0 ? 200 : 503);
    }
    look_up(&d, "x.example.");
    wait_for(&d);
    assert_int_equal(d.e, ERR_AGAIN); /* the port has no listener */
    assert_int_equal(a.answers + b.answers, 0);
    assert_non_null(strstr(q.seen, "User-Agent: Firekeep/"));
    start(&a, p.url); /* stays pending */
    player_stop(&p);
    player_stop(&q);
}

UNIT_TEST(test_a_poll_ends_when_it_is_woken)
{
    outside_wake(outside);
    outside_poll(outside, 600 * 1000); /* longer than a test may take */
}

static enum err
make_and_free(void)
{
    struct outside *other = NULL;
    enum err e = outside_new(env_real(), &budget, "127.0.0.1:1", &other, &why);
    outside_free(other);
    return e;
}

UNIT_TEST(test_each_allocation_may_fail)
{
    fail_each_allocation(make_and_free);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_polls_answer_all_requests_and_look_ups_that_are_not_given_up),
        TEST(test_a_poll_ends_when_it_is_woken),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
