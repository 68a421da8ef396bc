/* profile_test.c - shared files as people write them, and invalid ones. */
#include "lib/test.h"

#include "backend/aws/keys.h"
#include "lib/backend/aws_rig.h"

static bool
find(const char *text, enum aws_profile_file file, const char *name, struct aws_profile *ret)
{
    return aws_profile_find(bytes_of_text(text), file, bytes_of_text(name), ret);
}

static void
expect_setting(const struct aws_profile *profile, enum aws_profile_key key, const char *want)
{
    struct bytes got = profile->values[key];
    if (!bytes_equal_text(got, want))
        fail_msg("'%.*s' instead of '%s'", (int)got.size, (const char *)got.at, want);
}

UNIT_TEST(test_sections_are_named_as_each_file_does_it)
{
    const char *text = "[default]\nregion = a\n[profile one]\nregion = b\n[two]\nregion = c\n"
                       "[ profile   \"three four\" ]\nregion=d\n[sso-session one]\nregion = e\n";
    struct aws_profile p;
    assert_true(find(text, AWS_FILE_CONFIG, "default", &p));
    expect_setting(&p, AWS_PROFILE_REGION, "a");
    assert_true(find(text, AWS_FILE_CONFIG, "one", &p));
    expect_setting(&p, AWS_PROFILE_REGION, "b");
    assert_false(find(text, AWS_FILE_CONFIG, "two", &p));
    assert_true(find(text, AWS_FILE_CONFIG, "three four", &p));
    expect_setting(&p, AWS_PROFILE_REGION, "d");
    assert_true(find(text, AWS_FILE_CREDENTIALS, "two", &p));
    expect_setting(&p, AWS_PROFILE_REGION, "c");
    assert_false(find(text, AWS_FILE_CREDENTIALS, "one", &p));
    assert_true(
        find("[profile default]\nregion=x\n[default]\nregion=y\n", AWS_FILE_CONFIG, "default", &p));
    expect_setting(&p, AWS_PROFILE_REGION, "x");
}

UNIT_TEST(test_values_are_what_is_left_without_blanks_and_comments)
{
    const char *text = "\xef\xbb\xbf# first\r\n[p]\r\n"
                       "AWS_Access_Key_Id=AKID\r\n"
                       "aws_secret_access_key =  a/b+c=  \r\n"
                       "region = eu-west-1 # where we are\r\n"
                       "external_id = x;y#z ; really\r\n"
                       "credential_process = /x \"a ; b\" # c\r\n"
                       "; region = no\r\n"
                       "s3 =\r\n  region = nested\r\n"
                       "nonsense\r\n= nothing\r\n"
                       "role_arn =\r\n"
                       "duration_seconds = 1\r\n"
                       "[q]\nregion = other\n"
                       "[p]\nduration_seconds = 2";
    struct aws_profile p;
    assert_true(find(text, AWS_FILE_CREDENTIALS, "p", &p));
    expect_setting(&p, AWS_PROFILE_ACCESS_KEY, "AKID");
    expect_setting(&p, AWS_PROFILE_SECRET_KEY, "a/b+c=");
    expect_setting(&p, AWS_PROFILE_REGION, "eu-west-1");
    expect_setting(&p, AWS_PROFILE_EXTERNAL_ID, "x;y#z");
    expect_setting(&p, AWS_PROFILE_CREDENTIAL_PROCESS, "/x \"a ; b\" # c");
    expect_setting(&p, AWS_PROFILE_ROLE_ARN, "");
    expect_setting(&p, AWS_PROFILE_DURATION_SECONDS, "2");
}

UNIT_TEST(test_a_malformed_section_is_not_found)
{
    static const char *const texts[] = {"",  "[",   "]",      "[]",        "[p",         "p]",
                                        "=", "[ p", "\n\n\n", "[profile]", "[profilep]", "[\"p]"};
    struct aws_profile p;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_false(find(texts[i], AWS_FILE_CONFIG, "p", &p));
        assert_false(find(texts[i], AWS_FILE_CREDENTIALS, "p", &p));
    }
    assert_false(aws_profile_find(bytes_of(NULL, 0), AWS_FILE_CONFIG, bytes_of_text("p"), &p));
    assert_true(find("[p]", AWS_FILE_CREDENTIALS, "p", &p));
    expect_setting(&p, AWS_PROFILE_ACCESS_KEY, "");
}

UNIT_TEST(test_keys_of_one_file_are_not_mixed_with_those_of_the_other)
{
    struct aws_rig rig;
    struct aws_profiles files;
    struct aws_profile p;
    aws_rig_init(&rig);
    aws_rig_set(&rig, "HOME", "/home");
    aws_rig_put(&rig, "/home/.aws/config",
                "[profile p]\naws_access_key_id = A\naws_secret_access_key = SECRET1\n"
                "aws_session_token = SECRET2\nregion = r\n");
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[p]\naws_access_key_id = B\naws_secret_access_key = SECRET3\n");
    assert_int_equal(aws_profiles_read(&rig.setup, &files, NULL), OK);
    assert_true(aws_profiles_find(&files, bytes_of_text("p"), &p));
    expect_setting(&p, AWS_PROFILE_ACCESS_KEY, "B");
    expect_setting(&p, AWS_PROFILE_SECRET_KEY, "SECRET3");
    expect_setting(&p, AWS_PROFILE_SESSION_TOKEN, "");
    expect_setting(&p, AWS_PROFILE_REGION, "r");
    assert_false(aws_profiles_find(&files, bytes_of_text("q"), &p));
    aws_profiles_fini(&files);
    aws_rig_fini(&rig);
}

UNIT_TEST(test_files_that_are_not_there_are_empty)
{
    struct aws_rig rig;
    struct aws_profiles files;
    struct aws_profile p;
    aws_rig_init(&rig);
    assert_int_equal(aws_profiles_read(&rig.setup, &files, NULL), OK);
    aws_profiles_fini(&files);
    aws_rig_set(&rig, "HOME", "/home");
    aws_rig_set(&rig, "AWS_CONFIG_FILE", "/none");
    assert_int_equal(aws_profiles_read(&rig.setup, &files, NULL), OK);
    assert_false(aws_profiles_find(&files, bytes_of_text("default"), &p));
    aws_profiles_fini(&files);
    aws_rig_fini(&rig);
}

UNIT_TEST(test_a_file_that_is_too_long_is_refused)
{
    static uint8_t many[AWS_PROFILES_BYTES_MAX + 1];
    struct aws_rig rig;
    struct aws_profiles files;
    struct why why = {""};
    aws_rig_init(&rig);
    aws_rig_set(&rig, "AWS_SHARED_CREDENTIALS_FILE", "/files/long");
    aws_rig_put_bytes(&rig, "/files/long", bytes_of(many, sizeof many));
    assert_int_equal(aws_profiles_read(&rig.setup, &files, &why), ERR_LIMIT);
    expect_in(why.text, "/files/long");
    aws_profiles_fini(&files);
    aws_rig_put_bytes(&rig, "/files/long", bytes_of(many, sizeof many - 1));
    assert_int_equal(aws_profiles_read(&rig.setup, &files, &why), OK);
    aws_profiles_fini(&files);
    char path[2000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    aws_rig_set(&rig, "AWS_SHARED_CREDENTIALS_FILE", path);
    assert_int_equal(aws_profiles_read(&rig.setup, &files, &why), ERR_LIMIT);
    aws_profiles_fini(&files);
    aws_rig_fini(&rig);
}

UNIT_TEST(test_the_settings_name_the_profile_before_the_environment)
{
    struct aws_rig rig;
    bool named;
    aws_rig_init(&rig);
    assert_true(bytes_equal_text(aws_profile_name(&rig.setup, &named), "default"));
    assert_false(named);
    aws_rig_set(&rig, "AWS_PROFILE", "");
    assert_true(bytes_equal_text(aws_profile_name(&rig.setup, &named), "default"));
    aws_rig_set(&rig, "AWS_PROFILE", "a");
    assert_true(bytes_equal_text(aws_profile_name(&rig.setup, &named), "a"));
    assert_true(named);
    rig.settings.profile = "b";
    assert_true(bytes_equal_text(aws_profile_name(&rig.setup, &named), "b"));
    aws_rig_fini(&rig);
}

UNIT_TEST(test_refused_memory_is_an_error_and_leaks_nothing)
{
    struct aws_rig rig;
    aws_rig_init(&rig);
    aws_rig_set(&rig, "AWS_SHARED_CREDENTIALS_FILE", "/files/a");
    aws_rig_put(&rig, "/files/a", "[default]\nregion = x\n");
    for (uint64_t n = 1;; n++) {
        struct aws_profiles files;
        mem_fail_nth(n, false);
        enum err e = aws_profiles_read(&rig.setup, &files, NULL);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        aws_profiles_fini(&files);
        assert_true(e == OK || e == ERR_NOMEM);
        if (!fired) break;
    }
    aws_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections_are_named_as_each_file_does_it),
        cmocka_unit_test(test_values_are_what_is_left_without_blanks_and_comments),
        cmocka_unit_test(test_a_malformed_section_is_not_found),
        cmocka_unit_test(test_keys_of_one_file_are_not_mixed_with_those_of_the_other),
        cmocka_unit_test(test_files_that_are_not_there_are_empty),
        cmocka_unit_test(test_a_file_that_is_too_long_is_refused),
        cmocka_unit_test(test_the_settings_name_the_profile_before_the_environment),
        cmocka_unit_test(test_refused_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
