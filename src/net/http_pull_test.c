/* http_pull_test.c - bodies that are read on demand, from servers with scripted answers. */
#include "lib/test.h"

#include "lib/net/http_player.h"
#include "net/http_pull.h"

enum { LARGE = 8 << 20 };

static const struct http_calls_target target = {.proxy_url = "", .connect_timeout_ms = 5000};
static const struct http_patience for_ever = {.silence_ms = 0};

static struct http_puller *
puller_new(void)
{
    struct http_puller *puller;
    assert_int_equal(http_puller_new(env_real(), "test/1", &puller, NULL), OK);
    return puller;
}

static struct http_pull *
pull_from(struct http_puller *puller, const char *url, struct budget *budget)
{
    struct http_pull *pull;
    struct http_call call = {.target = &target, .method = "GET", .url = url};
    assert_int_equal(http_pull_open(puller, &call, budget, &pull, NULL), OK);
    return pull;
}

static const struct http_call_answer *
answer_of(struct http_pull *pull)
{
    const struct http_call_answer *answer;
    assert_int_equal(http_pull_await(pull, &for_ever, &answer, NULL), OK);
    return answer;
}

/* Returns an answer with a body in which each byte follows from its position. */
static char *
large_answer(void)
{
    char *text = malloc(LARGE + 200);
    assert_non_null(text);
    int size = sprintf(text, "HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n", LARGE);
    for (size_t i = 0; i < LARGE; i++)
        text[(size_t)size + i] = (char)('a' + (i * 31 >> 8) % 26);
    text[size + LARGE] = '\0';
    return text;
}

/* Reads all; returns OK if it ended properly. */
static enum err
read_all(struct http_pull *pull, const struct http_patience *patience, size_t *ret_size)
{
    struct bytes piece;
    *ret_size = 0;
    for (;;) {
        enum err e = http_pull_read(pull, patience, &piece, NULL);
        if (e || piece.size == 0) return e;
        for (size_t i = 0; i < piece.size; i++)
            assert_int_equal(piece.at[i], 'a' + ((*ret_size + i) * 31 >> 8) % 26);
        *ret_size += piece.size;
    }
}

UNIT_TEST(test_a_body_is_read_whole_in_little_memory)
{
    char *text = large_answer();
    const char *answers[] = {text};
    struct player p;
    struct budget budget;
    size_t size;
    budget_init(&budget, "test", 0, NULL);
    player_start(&p, 1, answers);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, &budget);
    assert_int_equal(answer_of(pull)->status, 200);
    assert_int_equal(read_all(pull, &for_ever, &size), OK);
    assert_int_equal(size, LARGE);
    http_pull_close(pull);
    assert_int_equal(budget_used(&budget), 0);
    assert_true(budget.peak_bytes < (size_t)5 * HTTP_PULL_WINDOW_BYTES);
    http_puller_free(puller);
    player_stop(&p);
    free(text);
}

UNIT_TEST(test_a_body_that_is_wanted_whole_comes_in_large_pieces)
{
    static const struct http_patience filling = {.fills = true};
    char *text = large_answer();
    const char *answers[] = {text, text};
    struct player p;
    struct bytes piece;
    size_t size, pieces = 0, small = 0;
    player_start(&p, 2, answers);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, NULL);
    assert_int_equal(answer_of(pull)->status, 200);
    assert_int_equal(read_all(pull, &filling, &size), OK);
    assert_int_equal(size, LARGE);
    http_pull_close(pull);
    pull = pull_from(puller, p.url, NULL);
    assert_int_equal(answer_of(pull)->status, 200);
    do {
        assert_int_equal(http_pull_read(pull, &filling, &piece, NULL), OK);
        pieces++;
        if (piece.size < HTTP_PULL_WINDOW_BYTES / 2) small++;
    } while (piece.size > 0);
    assert_in_range(pieces, LARGE / (5 * HTTP_PULL_WINDOW_BYTES),
                    2 * LARGE / HTTP_PULL_WINDOW_BYTES + 2);
    assert_in_range(small, 1, 2); /* the last one, and an empty one */
    http_pull_close(pull);
    http_puller_free(puller);
    player_stop(&p);
    free(text);
}

UNIT_TEST(test_a_stalled_body_is_waited_for_as_long_as_configured)
{
    const char *answer = "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa";
    static const struct http_patience filling = {.silence_ms = 300, .fills = true};
    static const struct http_patience plain = {.silence_ms = 10};
    struct player p;
    struct bytes piece;
    player_start(&p, 1, &answer);
    atomic_store(&p.holds, true);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, NULL);
    assert_int_equal(answer_of(pull)->status, 200);
    assert_int_equal(http_pull_read(pull, &filling, &piece, NULL), ERR_AGAIN);
    assert_int_equal(piece.size, 0);
    assert_int_equal(http_pull_read(pull, &plain, &piece, NULL), OK);
    assert_true(bytes_equal_text(piece, "aaa"));
    assert_int_equal(http_pull_read(pull, &plain, &piece, NULL), ERR_AGAIN);
    http_pull_close(pull);
    http_puller_free(puller);
    player_stop(&p);
}

UNIT_TEST(test_a_trickle_below_the_least_bytes_counts_as_silence)
{
    const char *answer = "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa";
    static const struct http_patience wants_four = {.silence_ms = 300, .least_bytes = 4};
    static const struct http_patience wants_three = {.silence_ms = 300, .least_bytes = 3};
    for (int i = 0; i < 2; i++) {
        struct player p;
        struct bytes piece;
        struct why why;
        player_start(&p, 1, &answer);
        atomic_store(&p.holds, true);
        struct http_puller *puller = puller_new();
        struct http_pull *pull = pull_from(puller, p.url, NULL);
        assert_int_equal(answer_of(pull)->status, 200);
        const struct http_patience *patience = i == 0 ? &wants_four : &wants_three;
        assert_int_equal(http_pull_read(pull, patience, &piece, NULL), OK);
        assert_true(bytes_equal_text(piece, "aaa"));
        assert_int_equal(http_pull_read(pull, patience, &piece, &why), ERR_AGAIN);
        assert_string_equal(why.text, i == 0 ? "only 3 bytes in 0.3 s" : "no data for 0.3 s");
        http_pull_close(pull);
        http_puller_free(puller);
        player_stop(&p);
    }
}

UNIT_TEST(test_an_unread_pull_does_not_block_other_pulls)
{
    char *text = large_answer();
    const char *answers[] = {text};
    struct player players[3];
    struct http_pull *pulls[3];
    size_t size;
    struct http_puller *puller = puller_new();
    for (unsigned i = 0; i < 3; i++) {
        player_start(&players[i], 1, answers);
        pulls[i] = pull_from(puller, players[i].url, NULL);
    }
    for (unsigned i = 3; i-- > 0;) {
        assert_int_equal(answer_of(pulls[i])->status, 200);
        assert_int_equal(read_all(pulls[i], &for_ever, &size), OK);
        assert_int_equal(size, LARGE);
    }
    for (unsigned i = 0; i < 3; i++) {
        http_pull_close(pulls[i]);
        player_stop(&players[i]);
    }
    http_puller_free(puller);
    free(text);
}

UNIT_TEST(test_a_refusal_is_there_at_once)
{
    static const char *const wanted[] = {"X-Why", NULL};
    const char *answer = "HTTP/1.1 419 Odd\r\nContent-Length: 5\r\nX-Why: so\r\n\r\nwhat?";
    struct player p;
    struct http_pull *pull;
    player_start(&p, 1, &answer);
    struct http_puller *puller = puller_new();
    struct http_call call = {.target = &target,
                             .method = "POST",
                             .url = p.url,
                             .wanted = wanted,
                             .body = bytes_of_text("body")};
    assert_int_equal(http_pull_open(puller, &call, NULL, &pull, NULL), OK);
    const struct http_call_answer *a = answer_of(pull);
    assert_int_equal(a->failure, HTTP_CALL_ANSWERED);
    assert_int_equal(a->status, 419);
    assert_string_equal(a->wanted[0], "so");
    assert_true(bytes_equal_text(a->body, "what?"));
    http_pull_close(pull);
    http_puller_free(puller);
    assert_non_null(strstr(p.seen, "\r\n\r\nbody"));
    player_stop(&p);
}

UNIT_TEST(test_a_failure_is_an_answer_and_a_broken_body_an_error)
{
    const char *answers[] = {NULL, "HTTP/1.1 200 Fine\r\nContent-Length: 900\r\n\r\naaa"};
    struct player p;
    struct bytes piece;
    struct why why;
    size_t size = 0;
    player_start(&p, 2, answers);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, NULL);
    const struct http_call_answer *a = answer_of(pull);
    assert_int_equal(a->failure, HTTP_CALL_BROKEN);
    assert_int_equal(a->status, 0);
    assert_true(a->error[0] != '\0');
    http_pull_close(pull);
    pull = pull_from(puller, p.url, NULL);
    assert_int_equal(answer_of(pull)->status, 200);
    enum err e;
    while ((e = http_pull_read(pull, &for_ever, &piece, &why)) == OK) {
        assert_true(piece.size > 0);
        size += piece.size;
    }
    assert_int_equal(e, ERR_IO);
    assert_int_equal(size, 3);
    assert_true(why.text[0] != '\0');
    http_pull_close(pull);
    pull = pull_from(puller, "http://127.0.0.1:1/", NULL);
    assert_int_equal(answer_of(pull)->failure, HTTP_CALL_CONNECT);
    http_pull_close(pull);
    http_puller_free(puller);
    player_stop(&p);
}

/* Pulls are given up before they begin, while pending, and with half of the body read. */
UNIT_TEST(test_a_pull_can_be_given_up_at_any_time)
{
    char *text = large_answer();
    const char *answers[] = {"", text, text};
    struct player p;
    struct bytes piece;
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    player_start(&p, 3, answers);
    struct http_puller *puller = puller_new();
    for (unsigned i = 0; i < 20; i++)
        http_pull_close(pull_from(puller, "http://127.0.0.1:1/", &budget));
    struct http_pull *silent = pull_from(puller, p.url, &budget);
    struct http_patience little = {.silence_ms = 10};
    const struct http_call_answer *answer;
    assert_int_equal(http_pull_await(silent, &little, &answer, NULL), ERR_AGAIN);
    http_pull_close(silent);
    for (unsigned i = 0; i < 2; i++) {
        struct http_pull *pull = pull_from(puller, p.url, &budget);
        assert_int_equal(answer_of(pull)->status, 200);
        if (i == 1) assert_int_equal(http_pull_read(pull, &for_ever, &piece, NULL), OK);
        http_pull_close(pull);
    }
    assert_int_equal(budget_used(&budget), 0);
    http_puller_free(puller);
    player_stop(&p);
    free(text);
}

/* A pull that is given up may have ended a moment before. */
UNIT_TEST(test_a_pull_may_end_while_it_is_given_up)
{
    struct budget budget;
    struct http_puller *puller = puller_new();
    budget_init(&budget, "test", 0, NULL);
    for (unsigned i = 0; i < 4000; i++) {
        struct http_pull *pull = pull_from(puller, "http://127.0.0.1:1/", &budget);
        for (unsigned turns = i % 400; turns > 0; turns--)
            sched_yield();
        http_pull_close(pull);
    }
    assert_int_equal(budget_used(&budget), 0);
    http_puller_free(puller);
}

static enum err
lose_patience(void *context, struct why *why)
{
    unsigned *left = context;
    return --*left > 0 ? OK : why_set(why, ERR_CANCELED, "that is enough");
}

UNIT_TEST(test_who_waits_is_asked_whether_to_go_on)
{
    const char *answer_none = "";
    unsigned left = 2;
    struct http_patience short_one = {.check = lose_patience, .context = &left};
    const struct http_call_answer *answer;
    struct player p;
    struct why why;
    player_start(&p, 1, &answer_none);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, NULL);
    assert_int_equal(http_pull_await(pull, &short_one, &answer, &why), ERR_CANCELED);
    assert_string_equal(why.text, "that is enough");
    assert_int_equal(left, 0);
    http_pull_close(pull);
    http_puller_free(puller);
    player_stop(&p);
}

UNIT_TEST(test_without_memory_for_a_piece_the_body_is_lost)
{
    char *text = large_answer();
    const char *answers[] = {text};
    struct player p;
    struct budget budget;
    size_t size;
    budget_init(&budget, "test", 100 * 1024, NULL);
    player_start(&p, 1, answers);
    struct http_puller *puller = puller_new();
    struct http_pull *pull = pull_from(puller, p.url, &budget);
    assert_int_equal(answer_of(pull)->status, 200);
    assert_int_equal(read_all(pull, &for_ever, &size), ERR_NOMEM);
    http_pull_close(pull);
    assert_int_equal(budget_used(&budget), 0);
    http_puller_free(puller);
    player_stop(&p);
    free(text);
}

/* Returns the lowest number that the next file gets. */
static int
next_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

UNIT_TEST(test_a_freed_puller_leaves_no_descriptor_open)
{
    struct http_puller *puller = puller_new(); /* what libraries open once is open now */
    http_puller_free(puller);
    int before = next_descriptor();
    puller = puller_new();
    assert_true(next_descriptor() != before);
    http_puller_free(puller);
    assert_int_equal(next_descriptor(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_body_is_read_whole_in_little_memory),
        cmocka_unit_test(test_a_body_that_is_wanted_whole_comes_in_large_pieces),
        cmocka_unit_test(test_a_stalled_body_is_waited_for_as_long_as_configured),
        cmocka_unit_test(test_a_trickle_below_the_least_bytes_counts_as_silence),
        cmocka_unit_test(test_an_unread_pull_does_not_block_other_pulls),
        cmocka_unit_test(test_a_refusal_is_there_at_once),
        cmocka_unit_test(test_a_failure_is_an_answer_and_a_broken_body_an_error),
        cmocka_unit_test(test_a_pull_can_be_given_up_at_any_time),
        cmocka_unit_test(test_a_pull_may_end_while_it_is_given_up),
        cmocka_unit_test(test_who_waits_is_asked_whether_to_go_on),
        cmocka_unit_test(test_without_memory_for_a_piece_the_body_is_lost),
        cmocka_unit_test(test_a_freed_puller_leaves_no_descriptor_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
