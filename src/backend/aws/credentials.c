/*
 * credentials.c - fetches keys from the source that keys.h finds.
 *
 *      IDLE -- step(NULL): find --+-- settings, environment, profile ---------->   [keys]
 *                                 +-- PROCESS ------------------------------->   [keys]
 *                                 +-- WEB_IDENTITY --------------------------->   [keys]
 *                                 +-- CONTAINER ------------------------------>   [keys]
 *                                 +-- INSTANCE_TOKEN -> _ROLE -> _KEYS ------->   [keys]
 *
 *      [keys] -- for each role of the source, from the last: ROLE --> [keys] -- fetch_finish()
 *             --> IDLE
 *
 * fetch_begin() leaves IDLE, fetch_go_on() takes the arrows that follow an answer, fetch_fail()
 * returns to IDLE from any state. The request of a step lives in `request` and `body`, both
 * overwritten before the next one.
 */
#include "backend/aws/credentials.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "backend/aws/keys.h"
#include "backend/common/http_common.h"
#include "base/text/hex.h"
#include "base/text/time_text.h"

enum {
    SESSION_NAME_BYTES = 65,
    TOKEN_FILE_BYTES_MAX = 64 << 10, /* for the token of a web identity or a container */
    BODY_BYTES_MAX = 256 << 10,      /* for such a token, percent-encoded, and the rest */
    HEADER_BYTES_MAX = TOKEN_FILE_BYTES_MAX + 256,
    METADATA_TOKEN_BYTES_MAX = 1024,
    METADATA_ROLE_BYTES = 129,
    URL_BYTES = 1024,
    STILL_GOOD_S = 10, /* keys valid for this long are kept if a refresh fails */
    PUT_OFF_S = 60,    /* delay after a failed refresh */
    REFRESH_MIN_S = 10,
};

enum state {
    IDLE,
    PROCESS,
    WEB_IDENTITY,
    CONTAINER,
    INSTANCE_TOKEN,
    INSTANCE_ROLE,
    INSTANCE_KEYS,
    ROLE
};

struct aws_credentials {
    /* Immutable after aws_credentials_new(). */
    struct aws_setup setup;
    const struct http_calls_target *target;
    struct aws_clock *clock;
    bool polls;
    char session_name[SESSION_NAME_BYTES];

    /* The current keys. */
    struct aws_keys keys;
    uint32_t generation;
    int64_t refresh_s; /* Unix; 0: never */
    bool refused;
    bool held_back; /* the same keys came again, which was reported */

    /* The current fetch. */
    enum state state;
    struct aws_key_source source;
    uint32_t roles_left;
    struct aws_keys fetched;
    char region[AWS_REGION_BYTES];
    char url[URL_BYTES]; /* the endpoint of the current step */
    char path[URL_BYTES];
    struct aws_request request;
    struct buf body;
    struct aws_process *process;
    struct buf output; /* written by `process` */
    char metadata_token[METADATA_TOKEN_BYTES_MAX + 1];
};

static const struct aws_service sts = {"sts", "sts", "STS"};

/* Both are on this machine or next to it, so a proxy is never used. */
static const struct http_calls_target container_target = {
    .proxy_url = "", .connect_timeout_ms = 2000, .timeout_ms = 5000};
static const struct http_calls_target instance_target = {
    .proxy_url = "", .connect_timeout_ms = 1000, .timeout_ms = 1000};

/* --- life ------------------------------------------------------------------------------------- */

/* For names of roles and of their sessions. */
static bool
is_name_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_+=,.@-", c) != NULL);
}

enum err
aws_credentials_new(const struct aws_credentials_options *options,
                    struct aws_credentials **ret_credentials)
{
    struct aws_credentials *c = mem_new(options->setup.memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->setup = options->setup;
    c->target = options->target;
    c->clock = options->clock;
    c->polls = options->polls;
    int size = snprintf(c->session_name, SESSION_NAME_BYTES, "firekeep-%s", options->name);
    (void)size; /* cut to fit */
    for (char *at = c->session_name; *at != '\0'; at++)
        if (!is_name_character((uint8_t)*at)) *at = '-';
    aws_request_init(&c->request, c->setup.memory);
    buf_init_secret(&c->body, c->setup.memory, BODY_BYTES_MAX);
    buf_init_secret(&c->output, c->setup.memory, AWS_PROCESS_OUTPUT_BYTES_MAX + 1);
    *ret_credentials = c;
    return OK;
}

/* Ends a fetch, and frees its memory. */
static void
reset(struct aws_credentials *c)
{
    c->state = IDLE;
    aws_key_source_fini(&c->source);
    aws_keys_wipe(&c->fetched);
    aws_request_fini(&c->request);
    buf_fini(&c->body);
    aws_process_free(c->process);
    c->process = NULL;
    buf_fini(&c->output);
    explicit_bzero(c->metadata_token, sizeof c->metadata_token);
}

void
aws_credentials_free(struct aws_credentials *c)
{
    if (c == NULL) return;
    reset(c);
    aws_keys_wipe(&c->keys);
    mem_free(c->setup.memory, c, sizeof *c);
}

bool
aws_credentials_due(const struct aws_credentials *c)
{
    if (!aws_keys_given(&c->keys) || c->refused) return true;
    return c->refresh_s != 0 && aws_clock_now_s(c->clock) >= c->refresh_s;
}

const struct sigv4_credentials *
aws_credentials_keys(const struct aws_credentials *c)
{
    return aws_keys_given(&c->keys) && !c->refused ? &c->keys.views : NULL;
}

uint32_t
aws_credentials_generation(const struct aws_credentials *c)
{
    return c->generation;
}

void
aws_credentials_refused(struct aws_credentials *c, uint32_t generation)
{
    if (generation == c->generation) c->refused = true;
}

/* --- the end of a fetch ----------------------------------------------------------------------- */

/* `text` names the source and the reason. */
static void
fetch_fail(struct aws_credentials *c, enum writer_verdict verdict, const char *text,
           struct writer_step *ret)
{
    int64_t now_s = aws_clock_now_s(c->clock);
    const char *passed_over = c->source.files.passed_over.text;
    const char *prefix = "no credentials: ";
    *ret = (struct writer_step){.next = WRITER_DONE, .verdict = verdict};
    bool good = aws_keys_given(&c->keys) && !c->refused &&
                (c->keys.expires_s == 0 || c->keys.expires_s > now_s + STILL_GOOD_S);
    if (good) {
        c->refresh_s = now_s + PUT_OFF_S;
        ret->verdict = VERDICT_DELIVERED;
        prefix = "cannot refresh credentials, using the current ones: ";
    }
    snprintf(ret->reason, sizeof ret->reason, "credentials");
    snprintf(ret->answer, sizeof ret->answer, "%s%.300s%s%.150s", prefix, text,
             passed_over[0] == '\0' ? "" : "; ", passed_over);
    reset(c);
}

/* Returns the number of bytes of a role's name that a message shows. */
static int
shown(struct bytes arn)
{
    return (int)(arn.size < 200 ? arn.size : 200);
}

/* Errors that may pass are not errors of the configuration. */
static enum writer_verdict
verdict_of_error(enum err e)
{
    switch (e) {
    case ERR_AGAIN:
    case ERR_NOMEM:
    case ERR_FULL:
    case ERR_IO:
    case ERR_CANCELED:
        return VERDICT_RETRY;
    default:
        return VERDICT_BLOCKED;
    }
}

PRINTF_LIKE(4, 5)
static void
fail_source(struct aws_credentials *c, enum writer_verdict verdict, struct writer_step *ret,
            const char *format, ...)
{
    char text[301], whole[WRITER_ANSWER_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "%s: %s", c->source.label, text);
    fetch_fail(c, verdict, whole, ret);
}

/* True for keys written by a person: nothing renews them. */
static bool
is_static(const struct aws_credentials *c)
{
    enum aws_key_source_kind kind = c->source.kind;
    return kind == AWS_FROM_SETTINGS || kind == AWS_FROM_ENVIRONMENT || kind == AWS_FROM_PROFILE;
}

/* Keys that seem expired are used like others: the local clock may be wrong, which only AWS can
 * show, and an instance with outdated metadata continues with its keys. */
static void
fetch_finish(struct aws_credentials *c, struct writer_step *ret)
{
    int64_t now_s = aws_clock_now_s(c->clock), expires_s = c->fetched.expires_s;
    char time[TIME_TEXT_BYTES] = "";
    if (expires_s != 0) time_print(expires_s * 1000, time);
    if (c->refused && !c->held_back && aws_keys_equal(&c->keys, &c->fetched)) {
        c->held_back = true;
        fail_source(c, is_static(c) ? VERDICT_BLOCKED : VERDICT_RETRY, ret,
                    "the source still returns the keys that the service refused");
        return;
    }
    aws_keys_wipe(&c->keys);
    c->keys = c->fetched;
    c->fetched = (struct aws_keys){.memory = NULL};
    c->refused = c->held_back = false;
    c->generation++;
    int64_t early_s =
        (expires_s - now_s) / 2; /* keys with a short life are refreshed in its second half */
    if (early_s > AWS_REFRESH_BEFORE_S) early_s = AWS_REFRESH_BEFORE_S;
    c->refresh_s = expires_s - early_s;
    if (c->refresh_s < now_s + REFRESH_MIN_S) c->refresh_s = now_s + REFRESH_MIN_S;
    if (expires_s == 0) c->refresh_s = 0;
    *ret = (struct writer_step){.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    struct bytes role = c->source.role_count == 0 ? bytes_of("", 0) : c->source.roles[0].arn;
    snprintf(ret->answer, sizeof ret->answer, "credentials from %s%s%.*s%s%s", c->source.label,
             role.size == 0 ? "" : " as ", shown(role), (const char *)role.at,
             expires_s == 0 ? "" : ", valid until ", time);
    reset(c);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
send_call(struct aws_credentials *c, enum state state, const struct aws_parts *parts,
          const struct sigv4_credentials *keys, struct writer_step *ret)
{
    struct why why = {""};
    *ret = (struct writer_step){.next = WRITER_SEND};
    enum err e = aws_sign(parts, keys, aws_clock_now_s(c->clock), &c->request, &ret->http, &why);
    if (e) {
        fail_source(c, verdict_of_error(e), ret, "%s", why.text);
        return;
    }
    c->state = state;
}

static void
form_put_parameter(struct buf *to, const char *name, struct bytes value)
{
    buf_printf(to, "&%s=", name);
    buf_put_percent(to, value, "");
}

/* Begins the form of a call that assumes a role. */
static void
begin_form(struct aws_credentials *c, const char *action, const struct aws_role *role)
{
    struct bytes session = role->session_name;
    if (session.size == 0) session = bytes_of_text(c->session_name);
    buf_wipe(&c->body);
    buf_printf(&c->body, "Action=%s&Version=2011-06-15", action);
    form_put_parameter(&c->body, "RoleArn", role->arn);
    form_put_parameter(&c->body, "RoleSessionName", session);
    if (role->external_id.size > 0) form_put_parameter(&c->body, "ExternalId", role->external_id);
    if (role->duration_s.size > 0)
        form_put_parameter(&c->body, "DurationSeconds", role->duration_s);
}

static void
send_to_sts(struct aws_credentials *c, enum state state, const struct sigv4_credentials *keys,
            struct writer_step *ret)
{
    static const char *const headers[] = {
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8", NULL};
    struct why why = {""};
    enum err e = buf_error(&c->body);
    if (e)
        why_set(&why, e,
                e == ERR_LIMIT ? "the request is too long" : "not enough memory for a request");
    if (e == OK) e = aws_region(&c->setup, c->region, &why);
    if (e == OK) e = aws_endpoint(&c->setup, &sts, NULL, c->region, c->url, &why);
    if (e) {
        fail_source(c, verdict_of_error(e), ret, "%s", why.text);
        return;
    }
    const struct aws_parts parts = {.target = c->target,
                                    .method = "POST",
                                    .endpoint = c->url,
                                    .path = "/",
                                    .headers = headers,
                                    .body = buf_bytes(&c->body),
                                    .service = sts.name,
                                    .region = c->region};
    send_call(c, state, &parts, keys, ret);
}

/* --- roles ------------------------------------------------------------------------------------ */

static void
send_role(struct aws_credentials *c, struct writer_step *ret)
{
    begin_form(c, "AssumeRole", &c->source.roles[c->roles_left - 1]);
    send_to_sts(c, ROLE, &c->fetched.views, ret);
}

/* Continues with the next role, or ends the fetch. */
static void
have_keys(struct aws_credentials *c, struct writer_step *ret)
{
    if (c->roles_left > 0)
        send_role(c, ret);
    else
        fetch_finish(c, ret);
}

/* Reads the token without a newline at its end. */
static enum err
read_token(struct env *env, const char *path, struct buf *to, struct why *why)
{
    size_t begin = to->size;
    enum err e = aws_file_read(env, path, TOKEN_FILE_BYTES_MAX, to, why);
    if (e) return e;
    while (to->size > begin && to->at[to->size - 1] <= ' ')
        to->size--;
    struct bytes token = bytes_of(to->at + begin, to->size - begin);
    if (token.size > 0 && aws_is_header_text(token)) return OK;
    return why_set(why, ERR_INPUT, "%s does not contain a token", path);
}

static void
send_web_identity(struct aws_credentials *c, struct writer_step *ret)
{
    char path[URL_BYTES];
    struct why why = {""};
    struct buf token;
    if (c->source.token_file != NULL) {
        snprintf(path, sizeof path, "%s", c->source.token_file);
    } else {
        snprintf(path, sizeof path, "%.*s", (int)c->source.profile_token_file.size,
                 (const char *)c->source.profile_token_file.at);
    }
    buf_init_secret(&token, c->setup.memory, TOKEN_FILE_BYTES_MAX + 1);
    enum err e = read_token(c->setup.env, path, &token, &why);
    if (e == OK) {
        begin_form(c, "AssumeRoleWithWebIdentity", &c->source.web_role);
        form_put_parameter(&c->body, "WebIdentityToken", buf_bytes(&token));
    }
    buf_fini(&token);
    if (e)
        fail_source(c, verdict_of_error(e), ret, "%s", why.text);
    else
        send_to_sts(c, WEB_IDENTITY, NULL, ret);
}

static void
take_sts(struct aws_credentials *c, const struct http_call_answer *answer, struct writer_step *ret)
{
    struct writer_step judged;
    struct why why = {""};
    bool web = c->state == WEB_IDENTITY;
    struct bytes arn = web ? c->source.web_role.arn : c->source.roles[c->roles_left - 1].arn;
    aws_xml_judge(c->clock, answer, &judged);
    http_call_mask_form(judged.answer, buf_bytes(&c->body));
    if (judged.verdict == VERDICT_AGAIN) {
        if (web)
            send_web_identity(c, ret);
        else
            send_role(c, ret);
        return;
    }
    if (judged.verdict != VERDICT_DELIVERED) {
        /* If AssumeRole refuses keys, these were the source's; a web identity's token is renewed
         * by other programs. */
        bool later = judged.verdict == VERDICT_RETRY || judged.verdict == VERDICT_THROTTLED;
        bool renewed = judged.verdict == VERDICT_UNPREPARED && !is_static(c);
        enum writer_verdict verdict = later     ? judged.verdict
                                      : renewed ? VERDICT_RETRY
                                                : VERDICT_BLOCKED;
        fail_source(c, verdict, ret, "role %.*s: %s", shown(arn), (const char *)arn.at,
                    judged.answer);
        if (ret->verdict != VERDICT_DELIVERED) ret->wait_ms = judged.wait_ms;
        return;
    }
    enum err e = aws_keys_from_xml(&c->fetched, c->setup.memory, answer->body, &why);
    if (e) {
        fail_source(c, VERDICT_RETRY, ret, "role %.*s: %s", shown(arn), (const char *)arn.at,
                    why.text);
        return;
    }
    if (!web) c->roles_left--;
    have_keys(c, ret);
}

/* --- containers ------------------------------------------------------------------------------- */

/* Without TLS a token is only sent to this machine, or to the addresses that AWS itself
 * provides. */
static bool
is_host_near(struct bytes host)
{
    static const char *const near[] = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "::1"};
    char text[64];
    struct in_addr v4;
    struct in6_addr v6, wanted;
    if (host.size >= sizeof text) return false;
    memcpy(text, host.at, host.size);
    text[host.size] = '\0';
    if (strcasecmp(text, "localhost") == 0) return true;
    if (inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) return true;
    bool is_v6 = inet_pton(AF_INET6, text, &v6) == 1;
    for (unsigned i = 0; i < sizeof near / sizeof *near; i++) {
        if (strcmp(text, near[i]) == 0) return true;
        bool same = is_v6 && inet_pton(AF_INET6, near[i], &wanted) == 1 &&
                    memcmp(&v6, &wanted, sizeof v6) == 0;
        if (same) return true;
    }
    return false;
}

/* Fills `url` and `path`. */
static enum err
find_container(struct aws_credentials *c, struct why *why)
{
    const char *relative = aws_variable(&c->setup, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = aws_variable(&c->setup, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *name = relative != NULL ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
                                        : "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    char whole[URL_BYTES];
    struct aws_url url;
    int size = relative != NULL ? snprintf(whole, sizeof whole, "http://169.254.170.2%s", relative)
                                : snprintf(whole, sizeof whole, "%s", full);
    if (size < 0 || (size_t)size >= sizeof whole)
        return why_set(why, ERR_LIMIT, "%s is too long", name);
    if (!aws_url_split(whole, &url) || (relative != NULL && relative[0] != '/'))
        return why_set(why, ERR_INPUT, "%s is not a valid URL", name);
    if (!url.tls && !is_host_near(url.host))
        return why_set(why, ERR_INPUT, "%s: https is required for this host", name);
    snprintf(c->url, sizeof c->url, "%s://%.*s", url.tls ? "https" : "http",
             (int)url.authority.size, (const char *)url.authority.at);
    bool slash = url.path.size > 0 && url.path.at[0] == '/';
    snprintf(c->path, sizeof c->path, "%s%.*s", slash ? "" : "/", (int)url.path.size,
             (const char *)url.path.at);
    return OK;
}

/* Reads the file each time, because its writer renews it. Without a token there is no header. */
static enum err
put_authorization(struct aws_credentials *c, struct buf *to, struct why *why)
{
    const char *file = aws_variable(&c->setup, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = aws_variable(&c->setup, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (file == NULL && token == NULL) return OK;
    if (!buf_reserve(to, HEADER_BYTES_MAX)) return buf_error(to);
    buf_put_text(to, "Authorization: ");
    if (file != NULL) {
        enum err e = read_token(c->setup.env, file, to, why);
        if (e) return e;
    } else {
        buf_put_text(to, token);
    }
    buf_put_u8(to, '\0');
    return buf_error(to);
}

static void
send_to_container(struct aws_credentials *c, struct writer_step *ret)
{
    const char *headers[2] = {NULL};
    struct why why = {""};
    struct buf line;
    buf_init_secret(&line, c->setup.memory, HEADER_BYTES_MAX);
    enum err e = find_container(c, &why);
    if (e == OK) e = put_authorization(c, &line, &why);
    if (e) {
        fail_source(c, verdict_of_error(e), ret, "%s", why_text(&why, e));
    } else {
        if (line.size > 0) headers[0] = (const char *)line.at;
        const struct aws_parts parts = {.target = &container_target,
                                        .method = "GET",
                                        .endpoint = c->url,
                                        .path = c->path,
                                        .headers = headers};
        send_call(c, CONTAINER, &parts, NULL, ret);
    }
    buf_fini(&line);
}

/* --- answers of local services ---------------------------------------------------------------- */

/* True: a 2xx. Of an error only the code is shown, because the body may contain keys. */
static bool
is_answered(struct aws_credentials *c, const struct http_call_answer *answer,
            struct writer_step *ret)
{
    struct aws_error error;
    unsigned status = answer->status;
    if (answer->failure != HTTP_CALL_ANSWERED) {
        struct writer_step silence;
        http_judge_silence(answer, &silence);
        fail_source(c, silence.verdict, ret, "no response: %s", silence.answer);
        return false;
    }
    if (status >= 200 && status < 300) return true;
    aws_json_error(answer, &error);
    bool later = status >= 500 || status == 429 || status == 408 || status == 401;
    fail_source(c, later ? VERDICT_RETRY : VERDICT_BLOCKED, ret, "HTTP status %u%s%s", status,
                error.code[0] == '\0' ? "" : ", ", error.code);
    return false;
}

static void
take_json(struct aws_credentials *c, struct bytes text, enum aws_keys_form form,
          struct writer_step *ret)
{
    struct why why = {""};
    enum err e = aws_keys_from_json(&c->fetched, c->setup.memory, text, form, &why);
    if (e) {
        /* A retry may return a valid answer. */
        fail_source(c, VERDICT_RETRY, ret, "%s", why.text);
    } else {
        have_keys(c, ret);
    }
}

/* Starts or continues a program; unless `polls`, waits until it ends. */
static void
poll_process(struct aws_credentials *c, struct writer_step *ret)
{
    struct why why = {""};
    bool has_ended = false;
    enum err e = OK;
    if (c->process == NULL) {
        e = aws_process_start(c->setup.env, c->setup.memory, c->source.command,
                              AWS_PROCESS_LIMIT_MS, &c->process, &why);
    }
    while (e == OK && !has_ended) {
        int64_t wait_ms = c->polls ? 0 : AWS_PROCESS_LIMIT_MS;
        e = aws_process_poll(c->process, wait_ms, &c->output, &has_ended, &why);
        if (e == OK && !has_ended && c->polls) {
            *ret = (struct writer_step){.next = WRITER_WAIT};
            c->state = PROCESS;
            return;
        }
    }
    if (e)
        fail_source(c, verdict_of_error(e), ret, "credential_process: %s", why.text);
    else
        take_json(c, buf_bytes(&c->output), AWS_KEYS_OF_PROCESS, ret);
}

/* --- instances -------------------------------------------------------------------------------- */

static const char metadata_path[] = "/latest/meta-data/iam/security-credentials/";

static void
send_to_instance(struct aws_credentials *c, enum state state, struct writer_step *ret)
{
    char token[METADATA_TOKEN_BYTES_MAX + 64];
    const char *headers[] = {token, NULL};
    bool first = state == INSTANCE_TOKEN;
    snprintf(token, sizeof token,
             first ? "X-aws-ec2-metadata-token-ttl-seconds: 21600" : "X-aws-ec2-metadata-token: %s",
             c->metadata_token);
    const struct aws_parts parts = {.target = &instance_target,
                                    .method = first ? "PUT" : "GET",
                                    .endpoint = c->url,
                                    .path = first ? "/latest/api/token" : c->path,
                                    .headers = headers};
    send_call(c, state, &parts, NULL, ret);
    explicit_bzero(token, sizeof token);
}

static void
begin_instance(struct aws_credentials *c, struct writer_step *ret)
{
    const char *url = aws_variable(&c->setup, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    struct aws_url parts;
    if (url == NULL) url = "http://169.254.169.254";
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    if (size >= sizeof c->url || !aws_url_split(url, &parts)) {
        fail_source(c, VERDICT_BLOCKED, ret,
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT is not a valid URL");
        return;
    }
    memcpy(c->url, url, size);
    c->url[size] = '\0';
    send_to_instance(c, INSTANCE_TOKEN, ret);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void
fetch_begin(struct aws_credentials *c, struct writer_step *ret)
{
    struct why why = {""};
    reset(c);
    enum err e = aws_key_source_find(&c->setup, &c->source, &why);
    if (e) {
        c->source.files.passed_over.text[0] = '\0'; /* the message includes it */
        fetch_fail(c, verdict_of_error(e), why.text, ret);
        return;
    }
    c->roles_left = c->source.role_count;
    switch (c->source.kind) {
    case AWS_FROM_WEB_IDENTITY:
        send_web_identity(c, ret);
        break;
    case AWS_FROM_PROCESS:
        poll_process(c, ret);
        break;
    case AWS_FROM_CONTAINER:
        send_to_container(c, ret);
        break;
    case AWS_FROM_INSTANCE:
        begin_instance(c, ret);
        break;
    default:
        c->fetched = c->source.keys;
        c->source.keys = (struct aws_keys){.memory = NULL};
        have_keys(c, ret);
        break;
    }
}

static void
fetch_go_on(struct aws_credentials *c, const struct http_call_answer *answer,
            struct writer_step *ret)
{
    enum state state = c->state;
    if (state == ROLE || state == WEB_IDENTITY) {
        take_sts(c, answer, ret);
        return;
    }
    if (state == INSTANCE_ROLE && answer->status == 404) {
        fail_source(c, VERDICT_BLOCKED, ret, "this instance has no IAM role");
        return;
    }
    if (!is_answered(c, answer, ret)) return;
    struct bytes word = {answer->body.at, 0}; /* the first line */
    while (word.size < answer->body.size && word.at[word.size] > ' ' && word.at[word.size] < 0x7f)
        word.size++;
    if (state == INSTANCE_TOKEN) {
        if (word.size == 0 || word.size > METADATA_TOKEN_BYTES_MAX) {
            fail_source(c, VERDICT_RETRY, ret, "the response is not a valid token");
            return;
        }
        memcpy(c->metadata_token, word.at, word.size);
        c->metadata_token[word.size] = '\0';
        snprintf(c->path, sizeof c->path, "%s", metadata_path);
        send_to_instance(c, INSTANCE_ROLE, ret);
    } else if (state == INSTANCE_ROLE) { /* the role's name becomes part of a path */
        bool is_name = word.size > 0 && word.size < METADATA_ROLE_BYTES;
        for (size_t i = 0; i < word.size && is_name; i++)
            is_name = is_name_character(word.at[i]);
        if (!is_name) {
            fail_source(c, VERDICT_RETRY, ret, "the response is not a valid role name");
            return;
        }
        snprintf(c->path, sizeof c->path, "%s%.*s", metadata_path, (int)word.size,
                 (const char *)word.at);
        send_to_instance(c, INSTANCE_KEYS, ret);
    } else {
        take_json(c, answer->body, AWS_KEYS_OF_SERVICE, ret);
    }
}

void
aws_credentials_step(struct aws_credentials *c, const struct http_call_answer *answer,
                     struct writer_step *ret_step)
{
    if (answer == NULL && c->state == PROCESS) {
        poll_process(c, ret_step);
    } else if (answer == NULL) {
        fetch_begin(c, ret_step);
    } else {
        assert(c->state != IDLE);
        fetch_go_on(c, answer, ret_step);
    }
}
