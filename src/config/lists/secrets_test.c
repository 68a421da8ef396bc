/*
 * secrets_test.c - the paths of secrets, from the file to requests and answers: freed memory never
 * contains one, and none is shown. All of them begin with "hush".
 */
#include "lib/test.h"
#include <malloc.h>

#include <stdio.h>
#include <string.h>

#include "backend/writer.h"
#include "config/lists/lists.h"
#include "model/labels.h"
#include "sys/sim.h"

enum { TEXT_BYTES_MAX = 1 << 20, STEPS_MAX = 16 };

static const char config[] =
    "destinations:\n"
    "- {name: basic, type: remote_write, url: 'http://h', headers: {X-One: hush-header},\n"
    "   proxy_url: 'http://user:hush-proxy@proxy:3128',\n"
    "   basic_auth: {username: u, password: hush-password}}\n"
    "- {name: bearer, type: remote_write, url: 'http://h',\n"
    "   authorization: {credentials: hush-credentials}}\n"
    "- {name: oauth2, type: remote_write, url: 'http://h',\n"
    "   oauth2: {client_id: c, client_secret: hush-client, token_url: 'http://issuer',\n"
    "            proxy_url: 'http://hush-token@proxy', endpoint_params: {a: hush-param}}}\n"
    "- {name: sigv4, type: remote_write, url: 'http://h',\n"
    "   proxy_url: 'http://user:1/hush-path@proxy',\n"
    "   sigv4: {region: eu-west-1, access_key: hush-access, secret_key: hush-key,\n"
    "           session_token: hush-session}}\n"
    "- {name: token, type: influxdb, version: 2, org: o, bucket: bbb, url: 'http://h',\n"
    "   token: hush-token}\n"
    "- {name: tsd, type: opentsdb, url: 'http://h',\n"
    "   basic_auth: {username: u, password: hush-password}}\n"
    "- {name: stream, type: kinesis, format: ndjson, stream: s, region: eu-west-1,\n"
    "   access_key: hush-access, secret_key: hush-key, session_token: hush-session}\n"
    "- {name: hose, type: firehose, delivery_stream: s, region: eu-west-1,\n"
    "   access_key: hush-access, secret_key: hush-key, session_token: hush-session}\n"
    "- {name: role, type: kinesis, format: ndjson, stream: s, region: eu-west-1,\n"
    "   access_key: hush-access, secret_key: hush-key, role_arn: 'arn:aws:iam::1:role/r',\n"
    "   external_id: e}\n";

static const char sources_config[] =
    "sources:\n"
    "- {name: basic, type: remote_read, url: 'http://h', headers: {X-One: hush-header},\n"
    "   proxy_url: 'http://user:hush-proxy@proxy:3128',\n"
    "   basic_auth: {username: u, password: hush-password}}\n"
    "- {name: bearer, type: remote_read, url: 'http://h',\n"
    "   authorization: {credentials: hush-credentials}}\n"
    "- {name: oauth2, type: remote_read, url: 'http://h',\n"
    "   oauth2: {client_id: c, client_secret: hush-client, token_url: 'http://issuer',\n"
    "            proxy_url: 'http://hush-token@proxy', endpoint_params: {a: hush-param}}}\n"
    "- {name: sigv4, type: remote_read, url: 'http://h',\n"
    "   sigv4: {region: eu-west-1, access_key: hush-access, secret_key: hush-key,\n"
    "           session_token: hush-session}}\n";

static const char alerting_config[] =
    "alerting:\n"
    "  alertmanagers:\n"
    "  - basic_auth: {username: u, password: hush-password}\n"
    "    proxy_url: 'http://user:hush-proxy@proxy:3128'\n"
    "    http_headers: {X-One: {secrets: [hush-header, hush-other]}}\n"
    "  - authorization: {credentials: hush-credentials}\n"
    "  - oauth2: {client_id: c, client_secret: hush-client, token_url: 'http://issuer',\n"
    "             endpoint_params: {a: hush-param}}\n"
    "  - sigv4: {access_key: hush-access, secret_key: hush-key, session_token: hush-session}\n"
    "    http_sd_configs:\n"
    "    - {url: 'http://h', basic_auth: {username: u, password: hush-password}}\n"
    "    - {url: 'http://h', http_headers: {X-One: {secrets: [hush-header]}}}\n";

/* Answers of an issuer of tokens, with an escape in the middle, and of STS. */
static const char token_answer[] =
    "{\"token_type\":\"Bearer\",\"access_token\":\"hush-\\u0061nswer\",\"expires_in\":3600}";
static const char role_answer[] =
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>HUSHACCESS</AccessKeyId>"
    "<SecretAccessKey>hush-role</SecretAccessKey><SessionToken>hush-of-role</SessionToken>"
    "<Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>"
    "</AssumeRoleResponse>";

/* --- looking ---------------------------------------------------------------------------------- */

/* The secret itself, and "u:hush" as HTTP Basic sends it. */
static const char *const marks[] = {"hush-", "dTpodXNo"};
static uint32_t found;
static char found_at[64];

static bool
has_mark(const void *at, size_t size)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *mark = memmem(at, size, marks[i], strlen(marks[i]));
        if (mark == NULL) continue;
        size_t left = size - (size_t)(mark - (const char *)at);
        snprintf(found_at, sizeof found_at, "%.*s", left < 32 ? (int)left : 32, mark);
        return true;
    }
    return false;
}

static void
look(const void *memory, size_t size_bytes)
{
    found += has_mark(memory, size_bytes);
}

static void
check_quiet(const char *what)
{
    if (found != 0) fail_msg("%s: memory was given back with '%s' in it", what, found_at);
}

static struct destinations
read_config(void)
{
    struct settings settings;
    struct destinations list = {NULL};
    struct why why = {""};
    settings_default(&settings);
    enum err e = destinations_yaml("f.yml", bytes_of_text(config), &settings, &list, &why);
    if (e) fail_msg("%s", why.text);
    return list;
}

/* --- one destination -------------------------------------------------------------------------- */

static struct http_call_answer
answer_to(const struct http_call *call)
{
    bool issuer = strstr(call->url, "issuer") != NULL;
    bool sts = strstr(call->url, "sts.") != NULL;
    const char *body = issuer ? token_answer : sts ? role_answer : "{\"FailedRecordCount\":0}";
    return (struct http_call_answer){
        .failure = HTTP_CALL_ANSWERED, .status = 200, .body = bytes_of_text(body)};
}

/* Says whether an outgoing request has a secret. */
static bool
tells(const struct http_call *call)
{
    bool tells_it = has_mark(call->body.at, call->body.size);
    for (const char *const *h = call->headers; h != NULL && *h != NULL; h++)
        tells_it |= has_mark(*h, strlen(*h)) || strstr(*h, "Authorization: ") == *h;
    return tells_it;
}

static void
prepare(const struct writer_class *class, struct writer *writer)
{
    struct writer_step step = {.next = WRITER_DONE};
    class->prepare(writer, NULL, &step);
    for (unsigned i = 0; step.next == WRITER_SEND && i < STEPS_MAX; i++) {
        struct http_call_answer answer = answer_to(&step.http);
        step = (struct writer_step){.next = WRITER_DONE};
        class->prepare(writer, &answer, &step);
    }
    if (step.verdict != VERDICT_DELIVERED) fail_msg("%s: %s", step.reason, step.answer);
}

static void
send_one(const struct destination_settings *d, const struct writer_class *class,
         struct writer *writer)
{
    struct writer_call *call;
    struct writer_step step = {.next = WRITER_DONE};
    struct why why = {""};
    struct buf labels;
    uint32_t entry;
    buf_init(&labels, NULL, 4096);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text("up")});
    labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text("node")});
    struct item item = {.kind = ITEM_FLOAT,
                        .pos = 1,
                        .tenant = bytes_of_text("anonymous"),
                        .labels = buf_bytes(&labels),
                        .series_hash = 1,
                        .t_ms = 1700000000000};
    assert_int_equal(writer_call_new(class, writer, &call), OK);
    class->call_clear(writer, call);
    if (class->add(writer, call, &item, &entry, &why) != WRITER_ADDED) fail_msg("%s", why.text);
    class->begin(writer, call, &step);
    assert_int_equal(step.next, WRITER_SEND);
    if (!tells(&step.http)) fail_msg("%s: no secret is sent", d->name);
    struct http_call_answer answer = answer_to(&step.http);
    struct writer_step judged = {.next = WRITER_DONE};
    class->judge(writer, call, &answer, &judged);
    writer_call_free(class, writer, call);
    buf_fini(&labels);
}

static void
use(struct env *env, const struct destination_settings *d)
{
    const struct writer_class *class = writer_class_of(d->type);
    struct budget memory;
    struct writer *writer = NULL;
    struct why why = {""};
    budget_init(&memory, "test", 0, NULL);
    struct writer_options options = {
        .env = env, .memory = &memory, .settings = d, .dir = "", .instance = "0123456789abcdef"};
    enum err e = writer_new(class, &options, &writer, &why);
    if (e) fail_msg("%s: %s", d->name, why.text);
    if (class->need_prepare != NULL && class->need_prepare(writer)) prepare(class, writer);
    send_one(d, class, writer);
    writer_free(class, writer);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_no_memory_that_is_given_back_has_a_secret_in_it)
{
    struct sim_env *sim;
    /* Memory that libraries freed is overwritten, so that it is not found in memory of ours that
     * was never written. */
    mallopt(M_PERTURB, 0x55);
    assert_int_equal(sim_env_new(1, &sim), OK);
    found = 0;
    mem_watch_frees(look);
    struct destinations list = read_config();
    check_quiet("reading");
    for (uint32_t i = 0; i < list.count; i++) {
        use(sim_env_env(sim), &list.items[i]);
        check_quiet(list.items[i].name);
    }
    destinations_free(&list);
    check_quiet("the list");
    mem_watch_frees(NULL);
    sim_env_free(sim);
}

static struct sources
read_sources(void)
{
    struct settings settings;
    struct sources list = {NULL};
    struct why why = {""};
    settings_default(&settings);
    enum err e = sources_yaml("f.yml", bytes_of_text(sources_config), &settings, &list, &why);
    if (e) fail_msg("%s", why.text);
    return list;
}

UNIT_TEST(test_no_secret_of_a_source_is_left_or_shown)
{
    struct buf text;
    found = 0;
    mem_watch_frees(look);
    struct sources list = read_sources();
    check_quiet("reading");
    assert_true(secret_given(&list.items[0].basic_auth.password));
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    sources_print_yaml(&list, &text);
    assert_int_equal(buf_error(&text), OK);
    if (has_mark(text.at, text.size)) fail_msg("shown: %s", found_at);
    buf_fini(&text);
    sources_free(&list);
    check_quiet("the list");
    mem_watch_frees(NULL);
}

UNIT_TEST(test_no_secret_of_an_alertmanager_is_left_or_shown)
{
    struct settings settings;
    struct alerting alerting;
    struct why why = {""};
    struct buf text;
    settings_default(&settings);
    found = 0;
    mem_watch_frees(look);
    enum err e = alerting_yaml("f.yml", bytes_of_text(alerting_config), &settings, &alerting, &why);
    if (e) fail_msg("%s", why.text);
    check_quiet("reading");
    assert_true(secret_given(&alerting.items[0].basic_auth.password));
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    settings_print_yaml(&settings, NULL, &alerting, NULL, &text);
    assert_int_equal(buf_error(&text), OK);
    if (has_mark(text.at, text.size)) fail_msg("shown: %s", found_at);
    buf_fini(&text);
    alerting_free(&alerting);
    check_quiet("the list");
    mem_watch_frees(NULL);
}

#define HASH "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

UNIT_TEST(test_no_secret_of_listeners_and_users_is_left_or_shown)
{
    static const char config_text[] =
        "users: [{name: a, password: '" HASH "', permissions: [read]}]\n"
        "listeners: [{address: ':1', tls_server_config: {cert: c, key: hush-key}}]\n";
    static const char web_text[] = "tls_server_config: {cert: c, key: hush-key}\n"
                                   "basic_auth_users: {b: '" HASH "'}\n";
    struct settings settings;
    struct access_settings access;
    struct why why = {""};
    struct buf text;
    settings_default(&settings);
    found = 0;
    mem_watch_frees(look);
    enum err e =
        access_settings_yaml("f.yml", bytes_of_text(config_text), &settings, &access, &why);
    if (e == OK)
        e = access_settings_merge(&access, &settings, "w.yml", bytes_of_text(web_text), &why);
    if (e) fail_msg("%s", why.text);
    check_quiet("reading");
    assert_string_equal(access.tls.key, "hush-key");
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    access_settings_print_yaml(&access, &text);
    assert_int_equal(buf_error(&text), OK);
    if (has_mark(text.at, text.size)) fail_msg("shown: %s", found_at);
    assert_null(memmem(text.at, text.size, HASH, strlen(HASH)));
    buf_fini(&text);
    access_settings_free(&access);
    check_quiet("the lists");
    mem_watch_frees(NULL);
}

UNIT_TEST(test_no_secret_is_shown)
{
    struct destinations list = read_config();
    struct buf text;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    destinations_print_yaml(&list, &text);
    assert_int_equal(buf_error(&text), OK);
    if (has_mark(text.at, text.size)) fail_msg("shown: %s", found_at);
    buf_put_u8(&text, 0);
    assert_non_null(strstr((char *)text.at, "http://user:<secret>@proxy:3128"));
    assert_non_null(strstr((char *)text.at, "http://<secret>@proxy"));
    buf_fini(&text);
    destinations_free(&list);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory_that_is_given_back_has_a_secret_in_it),
        cmocka_unit_test(test_no_secret_is_shown),
        cmocka_unit_test(test_no_secret_of_a_source_is_left_or_shown),
        cmocka_unit_test(test_no_secret_of_an_alertmanager_is_left_or_shown),
        cmocka_unit_test(test_no_secret_of_listeners_and_users_is_left_or_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
