/* query_server_test.c - a query does not wait for a server that is gone. */
#include "cli/lib/query.h"

#include "lib/net/http_player.h"

static struct env_ops ops;
static struct env env = {.ops = &ops};
static atomic_llong passed_ns;

/* Returns a time half a minute later than at the call before. */
static int64_t
quick_clock(struct env *self)
{
    (void)self;
    return atomic_fetch_add(&passed_ns, 30 * NS_PER_S);
}

UNIT_TEST(test_a_server_that_sends_nothing_for_too_long_is_given_up)
{
    static struct player player;
    static const char *const answers[] = {""}, *const headers[] = {NULL};
    struct query_parameters parameters = {.expression = bytes_of_text("up"), .timeout_ms = 1000};
    struct query_failure failure = {.bad_question = false};
    struct why why = {""};
    ops = *env_real()->ops;
    ops.monotonic_ns = quick_clock;
    player_start(&player, 1, answers);
    struct query_server server = {
        .base = player.url, .headers = headers, .http = {.env = &env, .user_agent = "test"}};
    buf_init(&failure.sentence, NULL, 1000);
    enum err e = query_server(&server, &parameters, NULL, &failure, &why);
    player_stop(&player);
    assert_int_not_equal(e, OK);
    assert_non_null(strstr(why.text, "timed out"));
    buf_fini(&failure.sentence);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_sends_nothing_for_too_long_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
