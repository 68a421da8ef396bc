/* keys_test.c - keys in the forms of containers, instances, programs and STS, and in
 * invalid ones. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "backend/aws/keys.h"

static enum err
from_json(const char *text, enum aws_keys_form form, struct aws_keys *keys, struct why *why)
{
    return aws_keys_from_json(keys, NULL, bytes_of_text(text), form, why);
}

static void
expect_keys(const struct aws_keys *keys, const char *access, const char *secret, const char *token)
{
    assert_true(aws_keys_given(keys));
    assert_true(bytes_equal_text(keys->views.access_key, access));
    assert_true(bytes_equal_text(keys->views.secret_key, secret));
    assert_true(bytes_equal_text(keys->views.session_token, token));
}

UNIT_TEST(test_keys_of_an_instance_are_read)
{
    struct aws_keys keys = {0};
    assert_int_equal(
        from_json("{\n  \"Code\" : \"Success\",\n"
                  "  \"LastUpdated\" : \"2026-01-01T00:00:00Z\",\n"
                  "  \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"ASIAX\",\n"
                  "  \"SecretAccessKey\" : \"a\\/b+c\",\n  \"Token\" : \"t\\u0041=\",\n"
                  "  \"Expiration\" : \"2026-01-01T06:00:00Z\"\n}",
                  AWS_KEYS_OF_SERVICE, &keys, NULL),
        OK);
    expect_keys(&keys, "ASIAX", "a/b+c", "tA=");
    assert_int_equal(keys.expires_s, 1767247200);
    aws_keys_wipe(&keys);
    assert_false(aws_keys_given(&keys));
}

UNIT_TEST(test_keys_of_a_program_need_their_version)
{
    struct aws_keys keys = {0};
    struct why why;
    const char *good = "{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"S\","
                       "\"SessionToken\": null, \"Expiration\": \"2026-01-01T07:00:00+01:00\"}";
    assert_int_equal(from_json(good, AWS_KEYS_OF_PROCESS, &keys, NULL), OK);
    expect_keys(&keys, "A", "S", "");
    assert_int_equal(keys.expires_s, 1767247200);
    assert_int_equal(from_json("{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"SECRET\"}",
                               AWS_KEYS_OF_PROCESS, &keys, &why),
                     ERR_INPUT);
    assert_non_null(strstr(why.text, "Version"));
    assert_int_equal(from_json("{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}",
                               AWS_KEYS_OF_PROCESS, &keys, &why),
                     ERR_INPUT);
    expect_keys(&keys, "A", "S", ""); /* unchanged */
    assert_int_equal(from_json("{\"AccessKeyId\": \"B\", \"SecretAccessKey\": \"S\"}",
                               AWS_KEYS_OF_SERVICE, &keys, NULL),
                     OK);
    expect_keys(&keys, "B", "S", "");
    assert_int_equal(keys.expires_s, 0);
    aws_keys_wipe(&keys);
}

UNIT_TEST(test_json_without_keys_is_refused_and_no_secret_is_reported)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", "not a valid JSON object"},
        {"[]", "not a valid JSON object"},
        {"null", "not a valid JSON object"},
        {"{}", "missing access key"},
        {"{\"AccessKeyId\":\"A\"}", "missing secret key"},
        {"{\"SecretAccessKey\":\"SECRET\"}", "missing access key"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\"", "not a valid JSON object"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\"}x", "not a valid JSON object"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":7}", "not a valid JSON object"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\\n\"}",
         "secret key is not printable ASCII"},
        {"{\"AccessKeyId\":\"A B\",\"SecretAccessKey\":\"SECRET\"}",
         "access key is not printable ASCII"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"\\u0000\"}",
         "session token is not printable ASCII"},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"SECRET\",\"Expiration\":\"soon\"}",
         "invalid Expiration"},
        {"{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"SECRET\"}",
         "Code AssumeRoleUnauthorizedAccess"},
        {"{\"Code\":\"\\n\"}", "Code ??"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct aws_keys keys = {0};
        struct why why = {""};
        assert_int_equal(from_json(bad[i].text, AWS_KEYS_OF_SERVICE, &keys, &why), ERR_INPUT);
        assert_false(aws_keys_given(&keys));
        if (strstr(why.text, bad[i].says) == NULL) fail_msg("%s: %s", bad[i].text, why.text);
        assert_null(strstr(why.text, "SECRET"));
    }
}

UNIT_TEST(test_text_that_is_too_long_is_refused)
{
    static char text[AWS_ANSWER_BYTES_MAX + 2];
    struct aws_keys keys = {0};
    memset(text, ' ', sizeof text - 1);
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &keys, NULL), ERR_LIMIT);
    assert_int_equal(aws_keys_from_xml(&keys, NULL, bytes_of_text(text), NULL), ERR_LIMIT);
    size_t used =
        (size_t)snprintf(text, sizeof text, "{\"SecretAccessKey\":\"S\",\"AccessKeyId\":\"");
    memset(text + used, 'A', AWS_KEY_BYTES_MAX);
    snprintf(text + used + AWS_KEY_BYTES_MAX, 10, "\"}");
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &keys, NULL), OK);
    snprintf(text + used + AWS_KEY_BYTES_MAX, 10, "A\"}");
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &keys, NULL), ERR_INPUT);
    used = (size_t)snprintf(text, sizeof text,
                            "<AssumeRoleResponse><Credentials><AccessKeyId>A</AccessKeyId>"
                            "<SecretAccessKey>S</SecretAccessKey><SessionToken>");
    memset(text + used, 'T', AWS_SESSION_TOKEN_BYTES_MAX + 1);
    snprintf(text + used + AWS_SESSION_TOKEN_BYTES_MAX + 1, 100,
             "</SessionToken></Credentials></AssumeRoleResponse>");
    assert_int_equal(aws_keys_from_xml(&keys, NULL, bytes_of_text(text), NULL), ERR_INPUT);
    aws_keys_wipe(&keys);
}

#define STS(action, credentials)                                                           \
    "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <" action \
    "Result>\n    <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn>"             \
    "</AssumedRoleUser>\n    <Credentials>" credentials "</Credentials>\n  </" action      \
    "Result>\n  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\n</" action  \
    "Response>\n"

UNIT_TEST(test_keys_of_sts_are_read)
{
    struct aws_keys keys = {0};
    const char *texts[] = {
        STS("AssumeRole",
            "<AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>a/b</SecretAccessKey>"
            "<SessionToken>t&amp;=</SessionToken><Expiration>2026-01-01T06:00:00Z</Expiration>"),
        STS("AssumeRoleWithWebIdentity",
            "<SessionToken>t&#38;=</SessionToken>\n<SecretAccessKey>a/b</SecretAccessKey>\n"
            "<Expiration>2026-01-01T06:00:00.000Z</Expiration><AccessKeyId>ASIAX</AccessKeyId>"),
    };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(aws_keys_from_xml(&keys, NULL, bytes_of_text(texts[i]), NULL), OK);
        expect_keys(&keys, "ASIAX", "a/b", "t&=");
        assert_int_equal(keys.expires_s, 1767247200);
        aws_keys_wipe(&keys);
    }
}

UNIT_TEST(test_xml_without_keys_is_refused_and_no_secret_is_reported)
{
    static const char *const bad[] = {
        "",
        "<html></html>",
        STS("GetSessionToken", ""),
        STS("AssumeRole", ""),
        STS("AssumeRole", "<AccessKeyId>A</AccessKeyId>"),
        STS("AssumeRole",
            "<AccessKeyId>A</AccessKeyId><SecretAccessKey>SECRET S</SecretAccessKey>"),
        STS("AssumeRole", "<AccessKeyId>A</AccessKeyId><SecretAccessKey>SECRET</SecretAccessKey>"
                          "<Expiration>tomorrow</Expiration>"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct aws_keys keys = {0};
        struct why why = {""};
        assert_int_equal(aws_keys_from_xml(&keys, NULL, bytes_of_text(bad[i]), &why), ERR_INPUT);
        assert_false(aws_keys_given(&keys));
        assert_true(why.text[0] != '\0');
        assert_null(strstr(why.text, "SECRET"));
    }
}

UNIT_TEST(test_equal_keys_are_those_with_equal_texts)
{
    struct aws_keys a = {0}, b = {0};
    assert_true(aws_keys_equal(&a, &b));
    const char *text = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\"}";
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &a, NULL), OK);
    assert_false(aws_keys_equal(&a, &b));
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &b, NULL), OK);
    assert_true(aws_keys_equal(&a, &b));
    text = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"U\"}";
    assert_int_equal(from_json(text, AWS_KEYS_OF_SERVICE, &b, NULL), OK);
    assert_false(aws_keys_equal(&a, &b));
    aws_keys_wipe(&a);
    aws_keys_wipe(&b);
}

UNIT_TEST(test_memory_is_charged_and_refused_memory_an_error)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    const char *text = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"\\u0053\",\"Token\":\"T\"}";
    for (uint64_t n = 1;; n++) {
        struct aws_keys keys = {0};
        mem_fail_nth(n, false);
        enum err e =
            aws_keys_from_json(&keys, &budget, bytes_of_text(text), AWS_KEYS_OF_SERVICE, NULL);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        assert_int_equal(budget_used(&budget), fired ? 0 : 3);
        aws_keys_wipe(&keys);
        assert_int_equal(budget_used(&budget), 0);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_of_an_instance_are_read),
        cmocka_unit_test(test_keys_of_a_program_need_their_version),
        cmocka_unit_test(test_json_without_keys_is_refused_and_no_secret_is_reported),
        cmocka_unit_test(test_text_that_is_too_long_is_refused),
        cmocka_unit_test(test_keys_of_sts_are_read),
        cmocka_unit_test(test_xml_without_keys_is_refused_and_no_secret_is_reported),
        cmocka_unit_test(test_equal_keys_are_those_with_equal_texts),
        cmocka_unit_test(test_memory_is_charged_and_refused_memory_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
