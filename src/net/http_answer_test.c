/* http_answer_test.c - masked parts of answers. */
#include "lib/test.h"

#include <string.h>

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

UNIT_TEST(test_each_occurrence_of_credentials_of_the_request_is_masked)
{
    expect("Authorization: Bearer abcdef", "Bearer abcdef? abcdef abcde",
           "Bearer ******? ****** abcde");
    expect("authorization: Basic dTpw==", "dTpw==", "******");
    expect("Authorization: abcdef", "no abcdef", "no ******");
    expect("X-Api-Key:  abcdef", "no abcdefabcdef", "no ************");
    expect("X-Amz-Security-Token: abcdef", "abcdef", "******");
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
        cmocka_unit_test(test_other_words_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
