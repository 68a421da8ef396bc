/* oauth2_test.c - requests for tokens: what is in them, and in which form the server gets the
 * client's name and password. */
#include "lib/test.h"

#include "backend/common/http_common.h"
#include "sys/sim.h"

static const char *scopes[] = {"read", "write&more"};
static struct named_secret params[] = {{"audience", {.text = "a+b"}}, {"tenant", {.text = "c"}}};
static const struct oauth2_settings settings = {
    .client_id = "us:er",
    .client_secret = {.text = "pass word%"},
    .token_url = "http://host/token",
    .scopes = {scopes, 2},
    .endpoint_params = {params, 2},
    .http = {.proxy_url = ""},
};

#define FIELDS        "grant_type=client_credentials&scope=read%20write%26more&audience=a%2Bb&tenant=c"
#define CLIENT_FIELDS "&client_id=us%3Aer&client_secret=pass%20word%25"
#define BASIC         "Authorization: Basic dXMlM0FlcjpwYXNzJTIwd29yZCUyNQ==" /* us%3Aer:pass%20word%25 */

static struct sim_env *sim;
static struct budget budget;
static struct oauth2 *oauth2;
static struct writer_step step;

static int
setup(void **state)
{
    (void)state;
    assert_int_equal(sim_env_new(1, &sim), OK);
    budget_init(&budget, "test", 0, NULL);
    assert_int_equal(oauth2_new(sim_env_env(sim), &budget, &settings, 1000, &oauth2), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    oauth2_free(oauth2);
    assert_int_equal(budget_used(&budget), 0);
    sim_env_free(sim);
    return 0;
}

static void
ask(void)
{
    step = (struct writer_step){.next = WRITER_DONE};
    oauth2_step(oauth2, NULL, &step);
}

static void
answer(unsigned status, const char *body)
{
    const struct http_call_answer a = {.status = status, .body = bytes_of_text(body)};
    step = (struct writer_step){.next = WRITER_DONE};
    oauth2_step(oauth2, &a, &step);
}

static bool
has_header(const char *line)
{
    for (const char *const *h = step.http.headers; *h != NULL; h++)
        if (strcmp(*h, line) == 0) return true;
    return false;
}

/* The request that is to be sent is whole, with name and password in one of the two places. */
static void
check_request(bool in_form)
{
    assert_int_equal(step.next, WRITER_SEND);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, settings.token_url);
    assert_true(bytes_equal_text(step.http.body, in_form ? FIELDS CLIENT_FIELDS : FIELDS));
    assert_true(has_header("Content-Type: application/x-www-form-urlencoded"));
    assert_true(has_header("Accept: application/json"));
    assert_int_equal(has_header(BASIC), !in_form);
}

UNIT_TEST(test_name_and_password_go_by_basic_each_encoded_for_a_form)
{
    ask();
    check_request(false);
    answer(200, "{\"access_token\":\"one\"}");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_true(bytes_equal_text(oauth2_token(oauth2), "one"));
    ask();
    check_request(false);
}

UNIT_TEST(test_a_server_that_refuses_basic_gets_fields_from_then_on)
{
    static const unsigned refusals[] = {400, 401, 403};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        bool in_form = i % 2 == 1; /* what the one before has left */
        ask();
        check_request(in_form);
        answer(refusals[i], "{}");
        check_request(!in_form);
        answer(200, "{\"access_token\":\"one\"}");
        assert_int_equal(step.verdict, VERDICT_DELIVERED);
        ask();
        check_request(!in_form);
    }
}

UNIT_TEST(test_a_server_that_refuses_both_forms_is_asked_twice)
{
    ask();
    answer(401, "");
    check_request(true);
    answer(401, "who are you?");
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "oauth2");
    assert_string_equal(step.answer, "token_url http://host/token: HTTP status 401: who are you?");
}

UNIT_TEST(test_a_refusal_that_repeats_the_form_is_masked)
{
    ask();
    answer(401, "");
    check_request(true);
    answer(401, "us:er may not: pass word%, pass%20word%25, client_credentials");
    assert_string_equal(step.answer, "token_url http://host/token: HTTP status 401: us:er may not: "
                                     "**********, **************, client_credentials");
}

UNIT_TEST(test_no_request_goes_without_a_part_for_lack_of_memory)
{
    for (unsigned in_form = 0; in_form < 2; in_form++) {
        for (uint64_t nth = 1;; nth++) {
            oauth2_free(oauth2);
            assert_int_equal(oauth2_new(sim_env_env(sim), &budget, &settings, 1000, &oauth2), OK);
            if (in_form) ask();
            mem_fail_nth(nth, false);
            if (in_form) answer(401, "");
            if (!in_form) ask();
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            if (!fired) check_request(in_form);
            if (!fired) break;
            assert_int_equal(step.verdict, VERDICT_RETRY);
            assert_string_equal(step.answer, "not enough memory for a request");
        }
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_name_and_password_go_by_basic_each_encoded_for_a_form),
        TEST(test_a_server_that_refuses_basic_gets_fields_from_then_on),
        TEST(test_a_server_that_refuses_both_forms_is_asked_twice),
        TEST(test_a_refusal_that_repeats_the_form_is_masked),
        TEST(test_no_request_goes_without_a_part_for_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
