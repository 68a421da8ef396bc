/*
 * bucket_test.c - keys as they are sent. s3_test.c tests addresses, regions and verdicts with a
 * whole writer.
 */
#include "lib/test.h"

#include "backend/s3/delivery.h"
#include "base/text/hex.h"
#include "lib/backend/s3_rig.h"

static void
expect_encoded(const char *text, bool is_path, const char *want)
{
    struct buf to;
    buf_init(&to, NULL, 1000);
    buf_put_percent(&to, bytes_of_text(text), is_path ? "/" : "");
    buf_put_u8(&to, 0);
    assert_string_equal((const char *)to.at, want);
    buf_fini(&to);
}

UNIT_TEST(test_all_but_unreserved_characters_are_encoded)
{
    expect_encoded("azAZ09-._~", false, "azAZ09-._~");
    expect_encoded("a/b", true, "a/b");
    expect_encoded("a/b", false, "a%2Fb");
    expect_encoded("a b+c=d%e&f\x01\xc3\xa9", true, "a%20b%2Bc%3Dd%25e%26f%01%C3%A9");
    expect_encoded("", true, "");
}

UNIT_TEST(test_a_key_with_odd_characters_is_signed_as_it_is_sent)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.prefix = "a b/\xc3\xa9+/";
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(
        &rig, "PUT",
        "https://our-metrics.s3.eu-west-1.amazonaws.com/a%20b/%C3%A9%2B/2026/01/01/05/" INSTANCE
        "-1-1.0.ndjson");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_headers_of_the_settings_go_along_and_are_signed)
{
    struct s3_rig rig;
    struct named_secret header_of_settings = {"X-Team", {.text = "metrics"}};
    s3_rig_init(&rig, 1);
    rig.settings.http.headers = (struct named_secrets){&header_of_settings, 1};
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    assert_string_equal(s3_rig_header(&rig, "X-Team"), "metrics");
    expect_in(s3_rig_header(&rig, "Authorization"), "x-team");
    s3_rig_begin(&rig);
    header_of_settings.value.text = "${NO_SUCH_VARIABLE_AT_ALL}";
    s3_rig_begin(&rig);
    s3_rig_expect_done(&rig, VERDICT_BLOCKED, "configuration");
    expect_in(rig.step.answer, "NO_SUCH_VARIABLE_AT_ALL");
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_but_unreserved_characters_are_encoded),
        cmocka_unit_test(test_a_key_with_odd_characters_is_signed_as_it_is_sent),
        cmocka_unit_test(test_headers_of_the_settings_go_along_and_are_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
