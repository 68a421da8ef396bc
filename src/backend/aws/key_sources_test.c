/* key_sources_test.c - the choice of a source of keys, the roles to assume, and refusals. */
#include "lib/test.h"

#include "backend/aws/keys.h"
#include "lib/backend/aws_rig.h"

static struct aws_rig rig;
static struct aws_key_source source;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    aws_rig_init(&rig);
    aws_rig_set(&rig, "HOME", "/home");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    aws_rig_fini(&rig);
    return 0;
}

static enum err
make(void)
{
    why.text[0] = '\0';
    return aws_key_source_find(&rig.setup, &source, &why);
}

/* Expects this source; `access_key` NULL: it has no keys of its own. */
static void
expect_source(enum aws_key_source_kind kind, const char *access_key, uint32_t role_count)
{
    if (make() != OK) fail_msg("%s", why.text);
    assert_int_equal(source.kind, kind);
    assert_int_equal(aws_keys_given(&source.keys), access_key != NULL);
    if (access_key != NULL) assert_true(bytes_equal_text(source.keys.views.access_key, access_key));
    assert_int_equal(source.role_count, role_count);
}

static void
expect_refused(enum err e, const char *says)
{
    assert_int_equal(make(), e);
    expect_in(why.text, says);
    expect_no_secret(why.text);
    aws_key_source_fini(&source);
}

UNIT_TEST(test_each_source_gives_way_to_those_before_it)
{
    expect_source(AWS_FROM_INSTANCE, NULL, 0);
    aws_key_source_fini(&source);
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    expect_source(AWS_FROM_CONTAINER, NULL, 0);
    aws_key_source_fini(&source);
    aws_rig_put(&rig, "/home/.aws/config", "[default]\nregion = r\n");
    expect_source(AWS_FROM_CONTAINER, NULL, 0);
    aws_key_source_fini(&source);
    aws_rig_put(&rig, "/home/.aws/config", "[default]\ncredential_process = /x y\n");
    expect_source(AWS_FROM_PROCESS, NULL, 0);
    assert_true(bytes_equal_text(source.command, "/x y"));
    aws_key_source_fini(&source);
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[default]\naws_access_key_id = P\naws_secret_access_key = SECRET\n");
    expect_source(AWS_FROM_PROFILE, "P", 0);
    assert_string_equal(source.label, "profile 'default'");
    aws_key_source_fini(&source);
    aws_rig_set(&rig, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    aws_rig_set(&rig, "AWS_ROLE_ARN", "arn:role");
    expect_source(AWS_FROM_WEB_IDENTITY, NULL, 0);
    assert_string_equal(source.token_file, "/token");
    assert_true(bytes_equal_text(source.web_role.arn, "arn:role"));
    aws_key_source_fini(&source);
    aws_rig_set(&rig, "AWS_ACCESS_KEY_ID", "E");
    aws_rig_set(&rig, "AWS_SECRET_ACCESS_KEY", "SECRET");
    aws_rig_set(&rig, "AWS_SESSION_TOKEN", "SECRET2");
    expect_source(AWS_FROM_ENVIRONMENT, "E", 0);
    assert_true(bytes_equal_text(source.keys.views.session_token, "SECRET2"));
    aws_key_source_fini(&source);
    rig.settings.profile = "default"; /* set by the destination */
    expect_source(AWS_FROM_PROFILE, "P", 0);
    aws_key_source_fini(&source);
    rig.settings.access_key.text = "S";
    rig.settings.secret_key.text = "SECRET";
    expect_source(AWS_FROM_SETTINGS, "S", 0);
    assert_int_equal(source.keys.views.session_token.size, 0);
    aws_key_source_fini(&source);
}

UNIT_TEST(test_half_a_pair_of_keys_is_refused_and_not_passed_over)
{
    aws_rig_put(&rig, "/home/.aws/credentials", "[default]\naws_access_key_id = P\n");
    expect_refused(ERR_INPUT, "profile 'default': missing secret key");
    aws_rig_put(&rig, "/home/.aws/credentials", "[default]\naws_secret_access_key = SECRET\n");
    expect_refused(ERR_INPUT, "profile 'default': missing access key");
    aws_rig_set(&rig, "AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
    expect_refused(ERR_INPUT, "requires AWS_ROLE_ARN");
    aws_rig_set(&rig, "AWS_SECRET_ACCESS_KEY", "SECRET");
    expect_refused(ERR_INPUT, "the environment: missing access key");
    rig.settings.secret_key.text = "SECRET";
    expect_refused(ERR_INPUT, "the settings: access_key and secret_key must be set together");
    rig.settings.access_key.file = "/no/such/file";
    expect_refused(ERR_MISSING, "the settings: access_key: ");
    rig.settings.access_key = (struct secret){.text = "SECRET SECRET"};
    expect_refused(ERR_INPUT, "the access key is not printable ASCII");
}

UNIT_TEST(test_a_profile_that_was_named_must_be_there)
{
    aws_rig_set(&rig, "AWS_PROFILE", "nobody");
    expect_refused(ERR_MISSING, "profile 'nobody': profile not found");
    aws_rig_put(&rig, "/home/.aws/config", "[profile nobody]\nregion = r\n");
    expect_source(AWS_FROM_INSTANCE, NULL, 0); /* it only names the service */
    aws_key_source_fini(&source);
    rig.settings.profile = "other";
    expect_refused(ERR_MISSING, "profile 'other': profile not found");
}

UNIT_TEST(test_the_instance_is_not_asked_where_that_is_forbidden)
{
    aws_rig_set(&rig, "AWS_EC2_METADATA_DISABLED", "false");
    expect_source(AWS_FROM_INSTANCE, NULL, 0);
    aws_key_source_fini(&source);
    aws_rig_set(&rig, "AWS_EC2_METADATA_DISABLED", "True");
    expect_refused(ERR_MISSING,
                   "no other source has credentials): disabled by AWS_EC2_METADATA_DISABLED");
}

UNIT_TEST(test_roles_are_assumed_from_profile_to_profile)
{
    aws_rig_put(&rig, "/home/.aws/config",
                "[profile a]\nrole_arn = arn:a\nsource_profile = b\nexternal_id = ext\n"
                "role_session_name = me\nduration_seconds = 900\n"
                "[profile b]\nrole_arn = arn:b\nsource_profile = c\n"
                "[profile self]\nrole_arn = arn:self\nsource_profile = self\n"
                "aws_access_key_id = K\naws_secret_access_key = SECRET\n");
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[c]\naws_access_key_id = C\naws_secret_access_key = SECRET\n");
    rig.settings.profile = "a";
    expect_source(AWS_FROM_PROFILE, "C", 2);
    assert_string_equal(source.label, "profile 'c'");
    assert_true(bytes_equal_text(source.roles[0].arn, "arn:a"));
    assert_true(bytes_equal_text(source.roles[0].external_id, "ext"));
    assert_true(bytes_equal_text(source.roles[0].session_name, "me"));
    assert_true(bytes_equal_text(source.roles[0].duration_s, "900"));
    assert_true(bytes_equal_text(source.roles[1].arn, "arn:b"));
    aws_key_source_fini(&source);
    rig.settings.role_arn = "arn:own";
    rig.settings.external_id = "own";
    expect_source(AWS_FROM_PROFILE, "C", 3);
    assert_true(bytes_equal_text(source.roles[0].arn, "arn:own"));
    assert_true(bytes_equal_text(source.roles[0].external_id, "own"));
    aws_key_source_fini(&source);
    rig.settings.role_arn = NULL;
    rig.settings.profile = "self";
    expect_source(AWS_FROM_PROFILE, "K", 1);
    aws_key_source_fini(&source);
}

UNIT_TEST(test_a_role_of_a_profile_says_who_assumes_it)
{
    aws_rig_put(
        &rig, "/home/.aws/config",
        "[profile env]\nrole_arn = r\ncredential_source = Environment\n"
        "[profile ecs]\nrole_arn = r\ncredential_source = EcsContainer\n"
        "[profile ec2]\nrole_arn = r\ncredential_source = ec2instancemetadata\n"
        "[profile web]\nrole_arn = r\nweb_identity_token_file = /t\nrole_session_name = n\n"
        "[profile odd]\nrole_arn = r\ncredential_source = Odd\n"
        "[profile two]\nrole_arn = r\ncredential_source = Environment\nsource_profile = env\n"
        "[profile none]\nrole_arn = r\n"
        "[profile mfa]\nrole_arn = r\nsource_profile = env\nmfa_serial = 1\n"
        "[profile time]\nrole_arn = r\nsource_profile = env\nduration_seconds = 1h\n"
        "[profile sso]\nsso_session = s\n"
        "[profile empty]\nrole_arn = r\nsource_profile = region\n"
        "[profile region]\nregion = r\n"
        "[profile gone]\nrole_arn = r\nsource_profile = nowhere\n");
    aws_rig_set(&rig, "AWS_ACCESS_KEY_ID", "E");
    aws_rig_set(&rig, "AWS_SECRET_ACCESS_KEY", "SECRET");
    rig.settings.profile = "env";
    expect_source(AWS_FROM_ENVIRONMENT, "E", 1);
    aws_key_source_fini(&source);
    rig.settings.profile = "ecs";
    expect_refused(ERR_MISSING, "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://x");
    expect_source(AWS_FROM_CONTAINER, NULL, 1);
    aws_key_source_fini(&source);
    rig.settings.profile = "ec2";
    expect_source(AWS_FROM_INSTANCE, NULL, 1);
    aws_key_source_fini(&source);
    rig.settings.profile = "web";
    expect_source(AWS_FROM_WEB_IDENTITY, NULL, 0);
    assert_null(source.token_file);
    assert_true(bytes_equal_text(source.profile_token_file, "/t"));
    assert_true(bytes_equal_text(source.web_role.session_name, "n"));
    aws_key_source_fini(&source);
    static const struct {
        const char *profile;
        enum err e;
        const char *says;
    } bad[] = {
        {"odd", ERR_INPUT, "invalid credential_source"},
        {"two", ERR_INPUT, "role_arn requires exactly one of"},
        {"none", ERR_INPUT, "role_arn requires exactly one of"},
        {"mfa", ERR_UNSUPPORTED, "mfa_serial"},
        {"time", ERR_INPUT, "duration_seconds"},
        {"sso", ERR_UNSUPPORTED, "sso"},
        {"empty", ERR_MISSING, "profile 'region': the profile has no credentials"},
        {"gone", ERR_MISSING, "profile 'nowhere': profile not found"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rig.settings.profile = bad[i].profile;
        expect_refused(bad[i].e, bad[i].says);
    }
}

UNIT_TEST(test_profiles_in_a_circle_or_in_a_long_row_are_refused)
{
    aws_rig_put(&rig, "/home/.aws/config",
                "[profile a]\nrole_arn = r\nsource_profile = b\n"
                "[profile b]\nrole_arn = r\nsource_profile = c\n"
                "[profile c]\nrole_arn = r\nsource_profile = b\n"
                "[profile d]\nrole_arn = r\nsource_profile = d\n");
    rig.settings.profile = "a";
    expect_refused(ERR_INPUT, "profile 'b': its source_profile refers back");
    rig.settings.profile = "d";
    expect_refused(ERR_INPUT, "profile 'd': its source_profile refers back");
    char text[2000];
    size_t used = 0;
    for (int i = 0; i < AWS_ROLES_MAX + 1; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof text - used,
                             "[profile p%d]\nrole_arn = r%d\nsource_profile = p%d\n", i, i, i + 1);
    }
    aws_rig_put(&rig, "/home/.aws/config", text);
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[p7]\naws_access_key_id = A\naws_secret_access_key = S\n"
                "[p6]\naws_access_key_id = B\naws_secret_access_key = S\n");
    rig.settings.profile = "p1";
    expect_source(AWS_FROM_PROFILE, "B", 5);
    aws_key_source_fini(&source);
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[p7]\naws_access_key_id = A\naws_secret_access_key = S\n");
    expect_source(AWS_FROM_PROFILE, "A", 6);
    aws_key_source_fini(&source);
    rig.settings.role_arn = "own";
    expect_refused(ERR_LIMIT, "at most 6");
    rig.settings.role_arn = NULL;
    rig.settings.profile = "p0";
    expect_refused(ERR_LIMIT, "at most 6");
}

UNIT_TEST(test_refused_memory_is_an_error_and_leaks_nothing)
{
    struct budget budget;
    budget_init(&budget, "test", 0, NULL);
    rig.setup.memory = &budget;
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[default]\naws_access_key_id = A\naws_secret_access_key = S\n");
    for (int from_settings = 0; from_settings < 2; from_settings++) {
        rig.settings.access_key.text = from_settings ? "A" : NULL;
        rig.settings.secret_key.text = from_settings ? "S" : NULL;
        for (uint64_t n = 1;; n++) {
            mem_fail_nth(n, false);
            enum err e = make();
            bool fired = mem_fail_fired();
            mem_fail_nth(0, false);
            assert_int_equal(e, fired ? ERR_NOMEM : OK);
            aws_key_source_fini(&source);
            assert_int_equal(budget_used(&budget), 0);
            if (!fired) break;
        }
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_source_gives_way_to_those_before_it),
        TEST(test_half_a_pair_of_keys_is_refused_and_not_passed_over),
        TEST(test_a_profile_that_was_named_must_be_there),
        TEST(test_the_instance_is_not_asked_where_that_is_forbidden),
        TEST(test_roles_are_assumed_from_profile_to_profile),
        TEST(test_a_role_of_a_profile_says_who_assumes_it),
        TEST(test_profiles_in_a_circle_or_in_a_long_row_are_refused),
        TEST(test_refused_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
