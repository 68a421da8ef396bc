/*
 * credentials_test.c - every source of credentials with played answers, roles, refreshing, refusal.
 * Keys and tokens contain SECRET, which no message may have.
 */
#include "lib/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/aws/credentials.h"
#include "lib/backend/aws_rig.h"

static const struct http_calls_target target;

static struct aws_rig rig;
static struct budget budget;
static struct aws_clock clock_;
static struct aws_credentials *credentials;
static struct writer_step step;

static int
setup(void **state)
{
    (void)state;
    aws_rig_init(&rig);
    aws_rig_set(&rig, "HOME", "/home");
    budget_init(&budget, "test", 0, NULL);
    rig.setup.memory = &budget;
    rig.settings.region = "eu-west-1";
    aws_clock_init(&clock_, rig.setup.env);
    const struct aws_credentials_options options = {rig.setup, &target, &clock_, "my metrics/1"};
    assert_int_equal(aws_credentials_new(&options, &credentials), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    aws_credentials_free(credentials);
    assert_int_equal(budget_used(&budget), 0);
    aws_rig_fini(&rig);
    return 0;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void
take(const struct http_call_answer *answer)
{
    aws_credentials_step(credentials, answer, &step);
    if (step.next == WRITER_DONE) {
        expect_no_secret(step.answer);
        expect_no_secret(step.reason);
    }
}

static void
begin(void)
{
    take(NULL);
}

static void
answer(unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    take(&a);
}

static void
expect_call(const char *method, const char *url)
{
    if (step.next != WRITER_SEND) fail_msg("%s", step.answer);
    assert_string_equal(step.http.method, method);
    assert_string_equal(step.http.url, url);
    assert_int_equal(step.http.answer_bytes_max, 64 << 10);
}

static const char *
header(const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = step.http.headers; *h != NULL; h++)
        if (strncmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return "";
}

static void
expect_form(const char *want)
{
    if (!bytes_equal_text(step.http.body, want)) {
        fail_msg("'%.*s' instead of '%s'", (int)step.http.body.size,
                 (const char *)step.http.body.at, want);
    }
}

static void
expect_keys(const char *access_key, const char *session_token, const char *says)
{
    if (step.next != WRITER_DONE || step.verdict != VERDICT_DELIVERED)
        fail_msg("verdict %d: %s", step.verdict, step.answer);
    expect_in(step.answer, says);
    const struct sigv4_credentials *keys = aws_credentials_keys(credentials);
    assert_non_null(keys);
    assert_true(bytes_equal_text(keys->access_key, access_key));
    assert_true(bytes_equal_text(keys->session_token, session_token));
    assert_false(aws_credentials_due(credentials));
}

static void
expect_failed(enum writer_verdict verdict, const char *says)
{
    assert_int_equal(step.next, WRITER_DONE);
    if (step.verdict != verdict) fail_msg("verdict %d: %s", step.verdict, step.answer);
    assert_string_equal(step.reason, "credentials");
    expect_in(step.answer, says);
    assert_true(aws_credentials_due(credentials));
    assert_null(aws_credentials_keys(credentials));
}

static void
advance(int64_t seconds)
{
    sim_env_advance_ns(rig.sim, seconds * NS_PER_S);
}

#define STS(action, key, expiration)                                                           \
    "<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action         \
    "Result><Credentials><AccessKeyId>" key "</AccessKeyId><SecretAccessKey>SECRET" key        \
    "</SecretAccessKey><SessionToken>SECRETtoken" key "</SessionToken><Expiration>" expiration \
    "</Expiration></Credentials></" action "Result></" action "Response>"
#define ROLE(key, expiration) STS("AssumeRole", key, expiration)
#define WEB(key, expiration)  STS("AssumeRoleWithWebIdentity", key, expiration)
#define STS_ERROR(code, message)                                                        \
    "<ErrorResponse><Error><Code>" code "</Code><Message>" message "</Message></Error>" \
    "</ErrorResponse>"
#define SERVICE(key, expiration)                                                                  \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" key "\",\"SecretAccessKey\":\"SECRET\",\"Token\":" \
    "\"SECRETtoken\",\"Expiration\":\"" expiration "\"}"
#define STS_URL "https://sts.eu-west-1.amazonaws.com/"

static void
use_environment(void)
{
    aws_rig_set(&rig, "AWS_ACCESS_KEY_ID", "AKIDENV");
    aws_rig_set(&rig, "AWS_SECRET_ACCESS_KEY", "SECRETenv");
}

/* --- sources ---------------------------------------------------------------------------------- */

UNIT_TEST(test_keys_of_the_settings_and_the_environment_are_there_at_once)
{
    assert_true(aws_credentials_due(credentials));
    assert_null(aws_credentials_keys(credentials));
    use_environment();
    aws_rig_set(&rig, "AWS_SESSION_TOKEN", "SECRETtoken");
    begin();
    expect_keys("AKIDENV", "SECRETtoken", "credentials from the environment");
    rig.settings.access_key.text = "AKIDOWN";
    rig.settings.secret_key.text = "SECRETown";
    begin();
    expect_keys("AKIDOWN", "", "credentials from the settings");
    advance(100LL * 365 * 86400);
    assert_false(aws_credentials_due(credentials));
}

UNIT_TEST(test_web_identity_asks_sts_without_a_signature)
{
    aws_rig_set(&rig, "AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token");
    aws_rig_set(&rig, "AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    aws_rig_put(&rig, "/var/token", "SECRET.jwt/+\n");
    begin();
    expect_call("POST", STS_URL);
    assert_ptr_equal(step.http.target, &target);
    assert_string_equal(header("Authorization"), "");
    assert_string_equal(header("Content-Type"), "application/x-www-form-urlencoded; charset=utf-8");
    expect_form("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
                "&RoleSessionName=firekeep-my-metrics-1&WebIdentityToken=SECRET.jwt%2F%2B");
    answer(200, WEB("ASIAWEB", "2026-01-01T01:00:00Z"));
    expect_keys("ASIAWEB", "SECRETtokenASIAWEB", "web identity, valid until 2026-01-01T01:00:00");
    aws_rig_set(&rig, "AWS_ROLE_SESSION_NAME", "me");
    aws_rig_put(&rig, "/var/token", "SECRET2"); /* the file is read each time */
    begin();
    expect_form("Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
                "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me"
                "&WebIdentityToken=SECRET2");
}

UNIT_TEST(test_a_web_identity_that_fails_says_why)
{
    aws_rig_set(&rig, "AWS_WEB_IDENTITY_TOKEN_FILE", "/var/token");
    aws_rig_set(&rig, "AWS_ROLE_ARN", "arn:r");
    begin();
    expect_failed(VERDICT_BLOCKED, "web identity: cannot open /var/token");
    aws_rig_put(&rig, "/var/token", "SECRET\nSECRET");
    begin();
    expect_failed(VERDICT_BLOCKED, "/var/token does not contain a token");
    aws_rig_put(&rig, "/var/token", " \n");
    begin();
    expect_failed(VERDICT_BLOCKED, "/var/token does not contain a token");
    static uint8_t many[(64 << 10) + 1];
    aws_rig_put_bytes(&rig, "/var/token", bytes_of(many, sizeof many));
    begin();
    expect_failed(VERDICT_BLOCKED, "larger than 65536 bytes");
    aws_rig_put(&rig, "/var/token", "SECRET");
    begin();
    answer(403,
           STS_ERROR("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"));
    expect_failed(VERDICT_BLOCKED, "web identity: role arn:r: AccessDenied: Not authorized to");
    begin();
    answer(400, STS_ERROR("ExpiredTokenException", "Token expired"));
    expect_failed(VERDICT_RETRY, "ExpiredTokenException: Token expired");
    begin();
    answer(200, "<html>");
    expect_failed(VERDICT_RETRY, "role arn:r: the response of STS");
    begin();
    answer(200, WEB("A B", "2026-01-01T01:00:00Z"));
    expect_failed(VERDICT_RETRY, "the access key is not printable ASCII");
}

UNIT_TEST(test_a_profile_gives_keys_or_names_a_program)
{
    aws_rig_put(
        &rig, "/home/.aws/credentials",
        "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = SECRET\n"
        "[program]\ncredential_process = printf '{\"Version\":1,\"AccessKeyId\":\"AKIDRUN\","
        "\"SecretAccessKey\":\"SECRET\",\"Expiration\":\"2026-01-01T02:00:00Z\"}'\n"
        "[fails]\ncredential_process = sh -c 'echo SECRET; exit 7'\n"
        "[odd]\ncredential_process = echo SECRET\n"
        "[gone]\ncredential_process = /no/such/program SECRET\n");
    begin();
    expect_keys("AKIDFILE", "", "credentials from profile 'default'");
    aws_rig_set(&rig, "AWS_PROFILE", "program");
    begin();
    expect_keys("AKIDRUN", "", "profile 'program', valid until 2026-01-01T02:00:00");
    aws_credentials_refused(credentials, aws_credentials_generation(credentials));
    aws_rig_set(&rig, "AWS_PROFILE", "fails");
    begin();
    expect_failed(VERDICT_RETRY,
                  "profile 'fails': credential_process: the command exited with status 7");
    aws_rig_set(&rig, "AWS_PROFILE", "odd");
    begin();
    expect_failed(VERDICT_RETRY, "profile 'odd': the response is not a valid JSON object");
    aws_rig_set(&rig, "AWS_PROFILE", "gone");
    begin();
    expect_failed(VERDICT_BLOCKED, "cannot start /no/such/program");
}

UNIT_TEST(test_a_running_program_is_polled_if_the_caller_polls)
{
    static const char keys[] = "{\"Version\":1,\"AccessKeyId\":\"AKIDRUN\","
                               "\"SecretAccessKey\":\"SECRET\"}";
    const struct aws_credentials_options options = {rig.setup, &target, &clock_, "x", true};
    char dir[] = "/tmp/credentials_test.XXXXXX", path[64], profile[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(profile, sizeof profile, "[default]\ncredential_process = cat %s\n", path);
    aws_rig_put(&rig, "/home/.aws/credentials", profile);
    aws_credentials_free(credentials);
    assert_int_equal(aws_credentials_new(&options, &credentials), OK);
    for (int i = 0; i < 3; i++) {
        begin();
        assert_int_equal(step.next, WRITER_WAIT);
        assert_true(aws_credentials_due(credentials));
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, keys, sizeof keys - 1), sizeof keys - 1);
    close(fd);
    while (step.next == WRITER_WAIT)
        begin();
    expect_keys("AKIDRUN", "", "credentials from profile 'default'");
    aws_credentials_refused(credentials, aws_credentials_generation(credentials));
    begin(); /* left running */
    assert_int_equal(step.next, WRITER_WAIT);
    unlink(path);
    rmdir(dir);
}

UNIT_TEST(test_a_container_is_asked_where_its_variables_say)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x?y=z");
    begin();
    expect_call("GET", "http://169.254.170.2/v2/credentials/x?y=z");
    assert_string_equal(step.http.target->proxy_url, "");
    assert_string_equal(header("Authorization"), "");
    answer(200, SERVICE("ASIAECS", "2026-01-01T06:00:00Z"));
    expect_keys("ASIAECS", "SECRETtoken", "credentials from the container, valid until");
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL);
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    aws_rig_set(&rig, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "SECRET one");
    begin();
    expect_call("GET", "http://169.254.170.23/v1/credentials");
    assert_string_equal(header("Authorization"), "SECRET one");
    aws_rig_set(&rig, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/token");
    aws_rig_put(&rig, "/var/token", "SECRET two\n");
    begin();
    assert_string_equal(header("Authorization"), "SECRET two");
    aws_rig_put(&rig, "/var/token", "SECRET three");
    begin();
    assert_string_equal(header("Authorization"), "SECRET three");
}

UNIT_TEST(test_without_tls_only_near_hosts_get_the_containers_token)
{
    static const char *const fine[] = {
        "http://localhost/x",         "http://LOCALHOST:80/x",   "http://127.0.0.1:8080",
        "http://127.9.9.9/",          "http://[::1]/x",          "http://169.254.170.2/x",
        "http://169.254.170.23/x",    "http://[fd00:ec2::23]/x", "http://[FD00:EC2:0::0023]/x",
        "https://anywhere.example/x",
    };
    static const char *const bad[] = {
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://128.0.0.1/",
        "http://169.254.170.3/",
        "http://169.254.169.254/",
        "http://127.0.0.1@evil/",
        "http://[fd00:ec2::24]/",
        "http://localhost.evil/",
        "http://127.1/",
        "http://127.0.0.1\\@evil/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "/x",
        "http://2130706433/",
        "http://127.0.0.1 /",
    };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_FULL_URI", fine[i]);
        begin();
        if (step.next != WRITER_SEND) fail_msg("%s: %s", fine[i], step.answer);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_FULL_URI", bad[i]);
        begin();
        expect_failed(VERDICT_BLOCKED, "the container: AWS_CONTAINER_CREDENTIALS_FULL_URI");
    }
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/");
    begin();
    expect_failed(VERDICT_BLOCKED, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not a valid URL");
}

UNIT_TEST(test_a_failure_of_the_container_is_reported)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(500, "SECRET");
    expect_failed(VERDICT_RETRY, "the container: HTTP status 500");
    begin();
    answer(400, "{\"code\":\"InvalidIdParameter\",\"message\":\"SECRET\"}");
    expect_failed(VERDICT_BLOCKED, "the container: HTTP status 400, InvalidIdParameter");
    begin();
    answer(200, "{\"Message\":\"SECRET\"}");
    expect_failed(VERDICT_RETRY, "the container: missing access key");
    begin();
    struct http_call_answer silence = silence_of(HTTP_CALL_TIMEOUT, "timed out");
    take(&silence);
    expect_failed(VERDICT_RETRY, "the container: no response: timed out");
    aws_rig_set(&rig, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "SECRET\r\nX: y");
    begin();
    expect_failed(VERDICT_BLOCKED, "the container: invalid request header");
}

UNIT_TEST(test_an_instance_is_asked_with_a_token)
{
    begin();
    expect_call("PUT", "http://169.254.169.254/latest/api/token");
    assert_string_equal(header("X-aws-ec2-metadata-token-ttl-seconds"), "21600");
    assert_int_equal(step.http.target->timeout_ms, 1000);
    assert_string_equal(step.http.target->proxy_url, "");
    answer(200, "SECRET==");
    expect_call("GET", "http://169.254.169.254/latest/meta-data/iam/security-credentials/");
    assert_string_equal(header("X-aws-ec2-metadata-token"), "SECRET==");
    answer(200, "my-role\nother");
    expect_call("GET", "http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role");
    assert_string_equal(header("X-aws-ec2-metadata-token"), "SECRET==");
    answer(200, SERVICE("ASIAEC2", "2026-01-01T06:00:00Z"));
    expect_keys("ASIAEC2", "SECRETtoken", "the instance metadata");
    aws_rig_set(&rig, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]/");
    begin();
    expect_call("PUT", "http://[fd00:ec2::254]/latest/api/token");
}

static void
to_role(void)
{
    begin();
    answer(200, "SECRET");
}

UNIT_TEST(test_a_failure_of_the_instance_is_reported)
{
    begin();
    struct http_call_answer silence = silence_of(HTTP_CALL_CONNECT, "refused");
    take(&silence);
    expect_failed(VERDICT_RETRY, "(no other source has credentials): no response: refused");
    begin();
    answer(403, "");
    expect_failed(VERDICT_BLOCKED, "HTTP status 403");
    begin();
    answer(200, "\r\nX: y");
    expect_failed(VERDICT_RETRY, "the response is not a valid token");
    to_role();
    answer(404, "<html>");
    expect_failed(VERDICT_BLOCKED, "this instance has no IAM role");
    to_role();
    answer(200, "../../x");
    expect_failed(VERDICT_RETRY, "not a valid role name");
    to_role();
    answer(401, "");
    expect_failed(VERDICT_RETRY, "HTTP status 401");
    to_role();
    answer(200, "role");
    answer(200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"SECRET\"}");
    expect_failed(VERDICT_RETRY, "Code AssumeRoleUnauthorizedAccess");
    aws_rig_set(&rig, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "nonsense");
    begin();
    expect_failed(VERDICT_BLOCKED, "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a valid URL");
    aws_rig_set(&rig, "AWS_EC2_METADATA_DISABLED", "true");
    begin();
    expect_failed(VERDICT_BLOCKED, "no credentials: ");
}

/* --- roles ------------------------------------------------------------------------------------ */

UNIT_TEST(test_roles_are_assumed_one_with_the_keys_of_the_other)
{
    aws_rig_put(&rig, "/home/.aws/config",
                "[default]\nrole_arn = arn:one\nrole_session_name = s\nduration_seconds = 900\n"
                "credential_source = Environment\n");
    use_environment();
    rig.settings.profile = "default";
    rig.settings.role_arn = "arn:two";
    rig.settings.external_id = "a b";
    begin();
    expect_call("POST", STS_URL);
    expect_form("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aone&RoleSessionName=s"
                "&DurationSeconds=900");
    expect_in(header("Authorization"), "Credential=AKIDENV/20260101/eu-west-1/sts/aws4_request");
    assert_string_equal(header("X-Amz-Security-Token"), "");
    answer(200, ROLE("ASIAONE", "2026-01-01T00:15:00Z"));
    expect_call("POST", STS_URL);
    expect_form("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Atwo"
                "&RoleSessionName=firekeep-my-metrics-1&ExternalId=a%20b");
    expect_in(header("Authorization"), "Credential=ASIAONE/");
    assert_string_equal(header("X-Amz-Security-Token"), "SECRETtokenASIAONE");
    answer(200, ROLE("ASIATWO", "2026-01-01T01:00:00Z"));
    expect_keys("ASIATWO", "SECRETtokenASIATWO", "credentials from the environment as arn:two");
}

UNIT_TEST(test_a_role_that_may_not_be_assumed_is_named)
{
    use_environment();
    rig.settings.role_arn = "arn:aws:iam::1:role/r";
    begin();
    answer(403,
           STS_ERROR("AccessDenied", "User: arn:aws:iam::1:user/u is not authorized to perform: "
                                     "sts:AssumeRole on resource: arn:aws:iam::1:role/r"));
    expect_failed(VERDICT_BLOCKED, "permission sts:AssumeRole on arn:aws:iam::1:role/r is missing");
    begin();
    answer(403, STS_ERROR("InvalidClientTokenId", "The security token is invalid."));
    expect_failed(VERDICT_BLOCKED, "the environment: role arn:aws:iam::1:role/r: InvalidClient");
    begin();
    answer(400, STS_ERROR("ValidationError", "1 validation error"));
    expect_failed(VERDICT_BLOCKED, "ValidationError");
    begin();
    struct http_call_answer slow = answer_of(400, STS_ERROR("Throttling", "Rate exceeded"));
    slow.retry_after_ns = 2 * NS_PER_S;
    take(&slow);
    expect_failed(VERDICT_THROTTLED, "Throttling: Rate exceeded");
    assert_int_equal(step.wait_ms, 2000);
    begin();
    struct http_call_answer silence = silence_of(HTTP_CALL_RESOLVE, "no such host");
    take(&silence);
    expect_failed(VERDICT_RETRY, "no such host");
    rig.settings.region = NULL;
    begin();
    expect_failed(VERDICT_BLOCKED, "missing region");
    rig.settings.region = "eu-west-1";
    aws_rig_set(&rig, "AWS_ENDPOINT_URL_STS", "http://sts:4566");
    begin();
    expect_call("POST", "http://sts:4566/");
}

UNIT_TEST(test_a_wrong_clock_is_corrected_and_the_role_asked_for_again)
{
    use_environment();
    rig.settings.role_arn = "arn:r";
    begin();
    struct http_call_answer late =
        answer_of(403, STS_ERROR("SignatureDoesNotMatch", "Signature expired: 1 is now earlier"));
    for (int i = 0; i < 3; i++) {
        late.date_s = RIG_START_S + (i + 1) * 86400;
        take(&late);
        expect_call("POST", STS_URL);
    }
    assert_string_equal(header("X-Amz-Date"), "20260104T000000Z");
    late.date_s += 86400;
    take(&late);
    expect_failed(VERDICT_RETRY, "Signature expired");
}

/* --- again ------------------------------------------------------------------------------------ */

UNIT_TEST(test_keys_are_refreshed_before_they_expire)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(200, SERVICE("ASIA1", "2026-01-01T01:00:00Z"));
    expect_keys("ASIA1", "SECRETtoken", "");
    uint32_t first = aws_credentials_generation(credentials);
    advance(3600 - AWS_REFRESH_BEFORE_S - 1);
    assert_false(aws_credentials_due(credentials));
    advance(1);
    assert_true(aws_credentials_due(credentials));
    assert_non_null(aws_credentials_keys(credentials)); /* valid until others arrive */
    begin();
    assert_non_null(aws_credentials_keys(credentials));
    answer(200, SERVICE("ASIA2", "2026-01-01T02:00:00Z"));
    expect_keys("ASIA2", "SECRETtoken", "");
    assert_int_not_equal(aws_credentials_generation(credentials), first);
}

UNIT_TEST(test_keys_that_live_shortly_are_not_fetched_all_the_time)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(200, SERVICE("ASIA1", "2026-01-01T00:02:00Z"));
    expect_keys("ASIA1", "SECRETtoken", "");
    advance(59);
    assert_false(aws_credentials_due(credentials));
    advance(1);
    assert_true(aws_credentials_due(credentials));
    begin();
    answer(200, SERVICE("ASIA2", "2026-01-01T00:01:01Z"));
    assert_false(aws_credentials_due(credentials));
}

UNIT_TEST(test_keys_that_seem_to_have_expired_are_tried_and_fetched_again_soon)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(200, SERVICE("ASIA1", "2025-12-31T23:00:00Z"));
    expect_keys("ASIA1", "SECRETtoken", "valid until 2025-12-31T23:00:00");
    advance(9);
    assert_false(aws_credentials_due(credentials));
    advance(1);
    assert_true(aws_credentials_due(credentials));
}

UNIT_TEST(test_keys_that_still_work_are_kept_when_a_refresh_fails)
{
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(200, SERVICE("ASIA1", "2026-01-01T01:00:00Z"));
    advance(3400);
    begin();
    answer(500, "");
    expect_keys(
        "ASIA1", "SECRETtoken",
        "cannot refresh credentials, using the current ones: the container: HTTP status 500");
    advance(59);
    assert_false(aws_credentials_due(credentials));
    advance(1);
    assert_true(aws_credentials_due(credentials));
    advance(135); /* five seconds before the end */
    begin();
    answer(500, "");
    assert_int_equal(step.verdict, VERDICT_RETRY);
    expect_in(step.answer, "no credentials: the container");
}

UNIT_TEST(test_refused_keys_are_fetched_again_from_changed_files)
{
    const char *path = "/home/.aws/credentials";
    aws_rig_put(&rig, path, "[default]\naws_access_key_id = ONE\naws_secret_access_key = SECRET\n");
    begin();
    expect_keys("ONE", "", "");
    uint32_t first = aws_credentials_generation(credentials);
    aws_rig_put(&rig, path, "[default]\naws_access_key_id = TWO\naws_secret_access_key = SECRET\n");
    aws_credentials_refused(credentials, first);
    assert_true(aws_credentials_due(credentials));
    assert_null(aws_credentials_keys(credentials));
    begin();
    expect_keys("TWO", "", "");
    aws_credentials_refused(credentials, first); /* the answer belongs to an older call */
    assert_false(aws_credentials_due(credentials));
}

UNIT_TEST(test_the_same_keys_again_make_the_relay_wait_once)
{
    use_environment();
    begin();
    for (int i = 0; i < 2; i++) {
        aws_credentials_refused(credentials, aws_credentials_generation(credentials));
        begin();
        expect_failed(
            VERDICT_BLOCKED,
            "the environment: the source still returns the keys that the service refused");
        begin();
        expect_keys("AKIDENV", "", "");
    }
    aws_rig_set(&rig, "AWS_ACCESS_KEY_ID", NULL);
    aws_rig_set(&rig, "AWS_SECRET_ACCESS_KEY", NULL);
    aws_rig_set(&rig, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
    begin();
    answer(200, SERVICE("ASIA1", "2026-01-01T01:00:00Z"));
    aws_credentials_refused(credentials, aws_credentials_generation(credentials));
    begin();
    answer(200, SERVICE("ASIA1", "2026-01-01T01:00:00Z"));
    expect_failed(VERDICT_RETRY, "the source still returns the keys that the service refused");
    begin();
    answer(200, SERVICE("ASIA2", "2026-01-01T01:00:00Z"));
    expect_keys("ASIA2", "SECRETtoken", "");
}

UNIT_TEST(test_a_fetch_can_be_restarted_at_any_time)
{
    begin();
    answer(200, "SECRET");
    begin();
    expect_call("PUT", "http://169.254.169.254/latest/api/token");
    use_environment();
    rig.settings.role_arn = "arn:r";
    begin();
    expect_call("POST", STS_URL);
    rig.settings.role_arn = NULL;
    begin();
    expect_keys("AKIDENV", "", "");
}

UNIT_TEST(test_a_session_is_named_so_that_sts_takes_it)
{
    char name[100], want[200];
    memset(name, '/', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const struct aws_credentials_options options = {rig.setup, &target, &clock_, name};
    aws_credentials_free(credentials);
    assert_int_equal(aws_credentials_new(&options, &credentials), OK);
    use_environment();
    rig.settings.role_arn = "r";
    begin();
    int used = snprintf(want, sizeof want, "%s",
                        "Action=AssumeRole&Version=2011-06-15&RoleArn=r&RoleSessionName=firekeep-");
    memset(want + used, '-', 64 - 9);
    want[used + 64 - 9] = '\0';
    expect_form(want);
}

UNIT_TEST(test_refused_memory_is_a_retry_and_leaks_nothing)
{
    aws_rig_put(&rig, "/home/.aws/credentials",
                "[default]\nrole_arn = r\nsource_profile = s\n"
                "[s]\naws_access_key_id = A\naws_secret_access_key = SECRET\n");
    for (uint64_t n = 1;; n++) {
        mem_fail_nth(n, false);
        begin();
        if (step.next == WRITER_SEND) answer(200, ROLE("ASIA", "2026-01-01T01:00:00Z"));
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, fired ? VERDICT_RETRY : VERDICT_DELIVERED);
        if (!fired) break;
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_keys_of_the_settings_and_the_environment_are_there_at_once),
        TEST(test_web_identity_asks_sts_without_a_signature),
        TEST(test_a_web_identity_that_fails_says_why),
        TEST(test_a_profile_gives_keys_or_names_a_program),
        TEST(test_a_running_program_is_polled_if_the_caller_polls),
        TEST(test_a_container_is_asked_where_its_variables_say),
        TEST(test_without_tls_only_near_hosts_get_the_containers_token),
        TEST(test_a_failure_of_the_container_is_reported),
        TEST(test_an_instance_is_asked_with_a_token),
        TEST(test_a_failure_of_the_instance_is_reported),
        TEST(test_roles_are_assumed_one_with_the_keys_of_the_other),
        TEST(test_a_role_that_may_not_be_assumed_is_named),
        TEST(test_a_wrong_clock_is_corrected_and_the_role_asked_for_again),
        TEST(test_keys_are_refreshed_before_they_expire),
        TEST(test_keys_that_live_shortly_are_not_fetched_all_the_time),
        TEST(test_keys_that_seem_to_have_expired_are_tried_and_fetched_again_soon),
        TEST(test_keys_that_still_work_are_kept_when_a_refresh_fails),
        TEST(test_refused_keys_are_fetched_again_from_changed_files),
        TEST(test_the_same_keys_again_make_the_relay_wait_once),
        TEST(test_a_fetch_can_be_restarted_at_any_time),
        TEST(test_a_session_is_named_so_that_sts_takes_it),
        TEST(test_refused_memory_is_a_retry_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
