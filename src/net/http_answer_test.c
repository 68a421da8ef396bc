/* http_answer_test.c - masked parts of answers. */
#include "lib/test.h"

#include <string.h>

#include "base/mem.h"
#include "net/http_answer.h"

static void
expect(const char *header, const char *body, const char *masked)
{
    char text[200];
    size_t size = strlen(body);
    memcpy(text, body, size + 1);
    http_mask_echo((uint8_t *)text, size, header);
    assert_string_equal(text, masked);
}

static void
expect_form(const char *form, const char *body, const char *masked)
{
    char text[200];
    size_t size = strlen(body);
    memcpy(text, body, size + 1);
    http_mask_form((uint8_t *)text, size, bytes_of_text(form));
    assert_string_equal(text, masked);
}

static void
expect_proxy(const char *url, const char *body, const char *masked)
{
    char text[200];
    size_t size = strlen(body);
    memcpy(text, body, size + 1);
    http_mask_proxy((uint8_t *)text, size, url);
    assert_string_equal(text, masked);
}

UNIT_TEST(test_each_occurrence_of_credentials_of_the_request_is_masked)
{
    expect("Authorization: Bearer abcdef", "Bearer abcdef? abcdef abcde",
           "Bearer ******? ****** abcde");
    expect("authorization: Basic dTpw==", "dTpw==", "******");
    expect("Authorization: abcdef", "no abcdef", "no ******");
    expect("X-Api-Key:  abcdef", "no abcdefabcdef", "no ************");
    expect("X-Amz-Security-Token: abcdef", "abcdef", "******");
}

UNIT_TEST(test_an_answer_that_is_judged_loses_tokens_only)
{
    char text[] = "abcdef, open sesame, YWxpY2U6b3BlbiBzZXNhbWU=, YWxpY2U6b3Bl";
    size_t size = sizeof text - 1;
    http_mask_token((uint8_t *)text, size, "Authorization: Basic YWxpY2U6b3BlbiBzZXNhbWU=");
    http_mask_token((uint8_t *)text, size, "X-Extra: abcdef");
    assert_string_equal(text, "abcdef, open sesame, ************************, YWxpY2U6b3Bl");
}

UNIT_TEST(test_escaped_credentials_are_masked)
{
    expect("X-Key: a\"b\\c/d", "a\"b\\c/d, a\\\"b\\\\c\\/d, a%22b%5cc%2Fd",
           "*******, **********, *************");
    expect("X-Key: abc+=def", "abc\\u002b\\u003Ddef", "******************");
    expect("X-Key: a%22bcd", "a%22bcd a%2522bcd a\"bcd", "******* ********* a\"bcd");
    expect("X-Key: abcdef", "%61%62%63def %61bcde %6", "************ %61bcde %6");
}

UNIT_TEST(test_the_beginning_of_a_credential_is_masked_at_the_end_of_a_text)
{
    expect("X-Key: abcdefghi", "no abcdefgh", "no ********");
    expect("X-Key: abcdefghi", "no abcdef", "no ******");
    expect("X-Key: abcdefghi", "no abcde", "no abcde");
    expect("X-Key: abcdefghi", "abcdefgh abcdefgh%6", "abcdefgh **********");
    expect("X-Key: abcdef/hi", "abcdef\\ abcdef\\", "abcdef\\ *******");
    expect("X-Key: abcdef/hi", "abcde%", "abcde%");
    /* The % is the start of %25, or of %5C, and the secret has such a character. */
    expect("X-Key: abcdef%41", "no abcdef%2", "no ********");
    expect("X-Key: abcdef\\hi", "no abcdef%5", "no ********");
    expect("X-Key: abcdef%41", "abcdef%2 abcdef%41", "abcdef%2 *********");
}

UNIT_TEST(test_the_password_of_basic_is_masked_when_it_is_decoded)
{
    /* alice:open sesame */
    expect("Authorization: Basic YWxpY2U6b3BlbiBzZXNhbWU=",
           "alice: wrong password 'open sesame', YWxpY2U6b3BlbiBzZXNhbWU=",
           "alice: wrong password '***********', ************************");
    expect("Authorization: Basic not=base64", "not=base64", "**********");
    expect("Authorization: Basic YWxpY2U=", "alice", "alice"); /* without a colon */
}

UNIT_TEST(test_values_of_headers_that_may_be_credentials_are_masked)
{
    expect("X-Extra: abcdef", "no abcdef", "no ******");
    expect("X-Amz-Date: 20250101T000000Z", "20250101T000000Z", "20250101T000000Z");
    expect("Accept: application/json", "application/json", "application/json");
}

UNIT_TEST(test_values_of_a_form_are_masked)
{
    expect_form(
        "grant_type=client_credentials&client_id=firekeep&client_secret=a%2Bbcdef&x=private",
        "client_credentials of firekeep: a+bcdef, a%2bbcdef, private",
        "client_credentials of firekeep: *******, *********, *******");
    expect_form("WebIdentityToken=abcdef&&a&=&b=%zz", "abcdef a b %zz", "****** a b %zz");
    expect_form("", "abcdef", "abcdef");
}

UNIT_TEST(test_the_password_of_a_proxy_is_masked)
{
    expect_proxy("http://keeper:open%20sesame@proxy:3128",
                 "keeper: open sesame a2VlcGVyOm9wZW4gc2VzYW1l",
                 "keeper: *********** ************************");
    expect_proxy("http://a-token@proxy", "a-token YS10b2tlbjo=", "******* ************");
    expect_proxy("http://proxy/a:b@c", "a:b@c proxy", "a:b@c proxy");
    expect_proxy("proxy:3128", "proxy:3128", "proxy:3128");
    expect_proxy(NULL, "abcdef", "abcdef");
}

UNIT_TEST(test_without_memory_the_whole_text_is_masked)
{
    for (uint64_t nth = 1;; nth++) {
        char text[] = "open sesame", other[] = "open sesame", third[] = "open sesame";
        mem_fail_nth(nth, true);
        http_mask_echo((uint8_t *)text, 11, "Authorization: Basic YWxpY2U6b3BlbiBzZXNhbWU=");
        http_mask_form((uint8_t *)other, 11, bytes_of_text("a=open%20sesame"));
        http_mask_proxy((uint8_t *)third, 11, "http://a:open%20sesame@proxy");
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_string_equal(text, "***********");
        assert_string_equal(other, "***********");
        assert_string_equal(third, "***********");
        if (!fired) break;
    }
}

UNIT_TEST(test_other_words_stay)
{
    expect("X-Scope-OrgID: tenant1", "tenant1 has too many series", "tenant1 has too many series");
    expect("Content-Type: text/plain", "no text/plain", "no text/plain");
    expect("Authorization: Bearer abc", "abc", "abc");
    expect("X-Token: ", "x", "x");
    expect("X-Token", "X-Token", "X-Token");
    expect("X-Token: longer than the body", "short", "short");
    http_mask_echo(NULL, 0, "X-Token: abcdef");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_occurrence_of_credentials_of_the_request_is_masked),
        cmocka_unit_test(test_an_answer_that_is_judged_loses_tokens_only),
        cmocka_unit_test(test_escaped_credentials_are_masked),
        cmocka_unit_test(test_the_beginning_of_a_credential_is_masked_at_the_end_of_a_text),
        cmocka_unit_test(test_the_password_of_basic_is_masked_when_it_is_decoded),
        cmocka_unit_test(test_values_of_headers_that_may_be_credentials_are_masked),
        cmocka_unit_test(test_values_of_a_form_are_masked),
        cmocka_unit_test(test_the_password_of_a_proxy_is_masked),
        cmocka_unit_test(test_without_memory_the_whole_text_is_masked),
        cmocka_unit_test(test_other_words_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
