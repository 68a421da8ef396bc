/* identity_test.c - credentials of requests, in each form that settings allow, and the effect
 * of a refusal. */
#include "lib/test.h"

#include "backend/aws/credentials.h"
#include "lib/backend/aws_rig.h"

static const struct http_calls_target target;
static const char *const WANTED[] = {"Date", NULL};

static struct sim_env *sim;
static struct budget budget;
static struct http_settings http;
static struct basic_auth_settings basic_auth;
static struct authorization_settings authorization;
static struct oauth2_settings oauth2;
static struct aws_settings aws;
static struct identity_options options;
static struct aws_identity *identity;
static struct http_headers headers;
static struct identity_signature signature;
static struct http_call call;
static struct writer_step step;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    assert_int_equal(sim_env_new(1, &sim), OK);
    budget_init(&budget, "test", 0, NULL);
    http = (struct http_settings){.proxy_url = NULL};
    basic_auth = (struct basic_auth_settings){.username = NULL};
    authorization = (struct authorization_settings){.type = NULL};
    oauth2 = (struct oauth2_settings){.client_id = NULL};
    aws = (struct aws_settings){.region = "eu-west-1"};
    options = (struct identity_options){
        .env = sim_env_env(sim),
        .memory = &budget,
        .name = "test",
        .http = &http,
        .basic_auth = &basic_auth,
        .authorization = &authorization,
        .oauth2 = &oauth2,
        .target = &target,
        .timeout_ms = 1000,
    };
    http_headers_init(&headers, &budget);
    identity_signature_init(&signature, &budget);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    identity_free(identity);
    identity = NULL;
    http_headers_fini(&headers);
    identity_signature_fini(&signature);
    assert_int_equal(budget_used(&budget), 0);
    sim_env_free(sim);
    return 0;
}

static void
start(void)
{
    assert_int_equal(identity_new(&options, &identity, &why), OK);
}

/* Makes a request as it would be sent. */
static enum err
make(void)
{
    bool is_known;
    http_headers_clear(&headers);
    call = (struct http_call){.target = &target,
                              .method = "POST",
                              .url = "https://host/path?a=b",
                              .body = bytes_of_text("body"),
                              .wanted = WANTED,
                              .answer_bytes_max = 77};
    enum err e = identity_put_secrets(identity, &headers, &is_known, &why);
    if (e == OK) e = identity_put_token(identity, is_known, &headers);
    if (e == OK) e = http_headers_lines(&headers, &call.headers);
    if (e == OK) e = identity_sign(identity, &call, &signature, &why);
    assert_true(e != OK || (call.wanted == WANTED && call.answer_bytes_max == 77));
    return e;
}

static const char *
header(const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = call.headers; *h != NULL; h++)
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return "";
}

static void
answer(unsigned status, const char *body)
{
    const struct http_call_answer a = answer_of(status, body);
    identity_step(identity, &a, &step);
}

static void
judge(unsigned status, const char *body, uint32_t generation)
{
    const struct http_call_answer a = answer_of(status, body);
    step = (struct writer_step){.next = WRITER_DONE};
    http_judge(&a, &step);
    identity_judge(identity, generation, &a, &step);
}

static void
fetch_token(const char *body)
{
    assert_true(identity_is_due(identity));
    identity_step(identity, NULL, &step);
    assert_int_equal(step.next, WRITER_SEND);
    answer(200, body);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_false(identity_is_due(identity));
}

static void
use_aws(void)
{
    aws.access_key.text = "AKID";
    aws.secret_key.text = "SECRET";
    options.aws = &aws;
}

UNIT_TEST(test_without_any_of_it_a_request_stays_as_it_is)
{
    start();
    assert_false(identity_is_due(identity));
    assert_false(identity_signs(identity));
    assert_int_equal(make(), OK);
    assert_null(call.headers[0]);
    assert_string_equal(call.url, "https://host/path?a=b");
}

UNIT_TEST(test_basic_auth_is_preferred_to_a_token)
{
    oauth2.token_url = "https://host/token";
    basic_auth.username = "user";
    basic_auth.password.text = "password";
    start();
    fetch_token("{\"access_token\":\"one\"}");
    assert_int_equal(make(), OK);
    assert_string_equal(header("Authorization"), "Basic dXNlcjpwYXNzd29yZA==");
}

UNIT_TEST(test_a_refusal_of_an_old_token_keeps_the_new_one)
{
    oauth2.token_url = "https://host/token";
    start();
    fetch_token("{\"access_token\":\"one\"}");
    assert_int_equal(make(), OK);
    assert_string_equal(header("Authorization"), "Bearer one");
    uint32_t first = signature.generation;
    judge(401, "", first);
    assert_int_equal(step.verdict, VERDICT_UNPREPARED);
    fetch_token("{\"access_token\":\"two\"}");
    judge(401, "", first);
    assert_int_equal(step.verdict, VERDICT_UNPREPARED);
    assert_false(identity_is_due(identity));
    assert_int_equal(make(), OK);
    assert_string_equal(header("Authorization"), "Bearer two");
    judge(500, "", signature.generation);
    assert_int_equal(step.verdict, VERDICT_RETRY);
}

UNIT_TEST(test_a_token_that_cannot_be_sent_is_refused_and_fetched_again)
{
    oauth2.token_url = "https://host/token";
    start();
    identity_step(identity, NULL, &step);
    answer(200, "{\"access_token\":\"one\\nX-Two: three\"}");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_true(identity_is_due(identity));
    fetch_token("{\"access_token\":\"one\"}");
    assert_int_equal(make(), OK);
    assert_string_equal(header("Authorization"), "Bearer one");
}

UNIT_TEST(test_who_gives_no_token_is_named_also_if_it_says_nothing)
{
    static const struct {
        unsigned status;
        const char *body, *want;
    } cases[] = {
        {500, "", "token_url https://host/token: HTTP status 500"},
        {404, "no such page", "token_url https://host/token: HTTP status 404: no such page"},
        {200, "{}",
         "token_url https://host/token: HTTP status 200: the response does not contain a valid "
         "access_token"},
    };
    oauth2.token_url = "https://host/token?audience=here";
    start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        identity_step(identity, NULL, &step);
        answer(cases[i].status, cases[i].body);
        assert_string_equal(step.answer, cases[i].want);
    }
}

UNIT_TEST(test_a_token_that_is_over_when_it_comes_is_used_for_a_moment)
{
    oauth2.token_url = "https://host/token";
    start();
    fetch_token("{\"access_token\":\"one\",\"expires_in\":0.000001}");
    sim_env_advance_ns(sim, 400 * NS_PER_MS);
    assert_false(identity_is_due(identity));
    sim_env_advance_ns(sim, 200 * NS_PER_MS);
    assert_true(identity_is_due(identity));
}

UNIT_TEST(test_a_signed_request_has_a_signature_of_its_service)
{
    use_aws();
    start();
    assert_true(identity_signs(identity));
    assert_int_equal(make(), ERR_MISSING);
    assert_true(identity_is_due(identity));
    identity_step(identity, NULL, &step);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_int_equal(make(), OK);
    assert_string_equal(call.url, "https://host/path?a=b");
    expect_in(header("Authorization"), "Credential=AKID/20260101/eu-west-1/aps/aws4_request");
    judge(403, "{\"__type\":\"ExpiredTokenException\"}", signature.generation);
    assert_int_equal(step.verdict, VERDICT_UNPREPARED);
    assert_true(identity_is_due(identity));
}

UNIT_TEST(test_each_allocation_may_fail)
{
    use_aws();
    authorization.credentials.text = "token";
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        enum err e = identity_new(&options, &identity, &why);
        if (e == OK) {
            identity_step(identity, NULL, &step);
            e = step.verdict == VERDICT_DELIVERED ? make() : ERR_NOMEM;
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        identity_free(identity);
        identity = NULL;
        http_headers_fini(&headers);
        http_headers_init(&headers, &budget);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_without_any_of_it_a_request_stays_as_it_is),
        TEST(test_basic_auth_is_preferred_to_a_token),
        TEST(test_a_refusal_of_an_old_token_keeps_the_new_one),
        TEST(test_a_token_that_cannot_be_sent_is_refused_and_fetched_again),
        TEST(test_who_gives_no_token_is_named_also_if_it_says_nothing),
        TEST(test_a_token_that_is_over_when_it_comes_is_used_for_a_moment),
        TEST(test_a_signed_request_has_a_signature_of_its_service),
        TEST(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
