/*
 * client_access.c - see client_access.h. The user of a URL becomes a header value: in the settings
 * of basic_auth a password with ${NAME} in it would be expanded.
 *
 * Invariants:
 *
 * 1. `name` has no user and no password.
 * 2. `basic` is empty, or has a header value and a NUL; then the settings have no authorization.
 */
#include "cli/lib/client_access.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backend/common/http_common.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "base/version.h"
#include "cli/lib/query.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "sys/env.h"

enum {
    SOCKET_PATH_BYTES_MAX = 107, /* in struct sockaddr_un, with a NUL */
    USER_BYTES_MAX = 512,
    SECRET_BYTES_MAX = 64 * 1024,
    TOKEN_TIMEOUT_MS = 30 * 1000,
    POLL_MS = 1000,
};

static const char unix_prefix[] = "unix:";

struct client_access {
    char name[CLIENT_URL_BYTES], url[CLIENT_URL_BYTES];
    const char *config_file; /* for messages; NULL: not given */
    struct client_settings settings;
    struct http_calls_target target;                     /* of the settings */
    struct buf basic;                                    /* "Basic ..." of the URL's user */
    struct named_secret all[HTTP_CALLS_HEADERS_MAX + 1]; /* headers of the settings, and `basic` */
    struct http_headers headers;
    const char *const *lines; /* of `headers`; NULL: not made */
};

/* --- URLs ------------------------------------------------------------------------------------- */

/* The parts of a URL. */
struct url_parts {
    size_t scheme_size; /* with "://"; 0: unix:PATH */
    struct bytes user;  /* as given; `at` is NULL without a user */
    struct bytes password;
    const char *rest; /* from the host on */
};

bool
client_url_is(const char *word)
{
    return strstr(word, "://") != NULL || strncmp(word, unix_prefix, sizeof unix_prefix - 1) == 0;
}

static enum err
split_socket(const char *flag, const char *url, struct url_parts *ret, struct why *why)
{
    size_t size = strlen(url + sizeof unix_prefix - 1);
    if (size == 0 || size > SOCKET_PATH_BYTES_MAX) {
        return why_set(why, ERR_INPUT, "%s: expected unix:PATH with a path of 1 to %d bytes", flag,
                       SOCKET_PATH_BYTES_MAX);
    }
    *ret = (struct url_parts){.rest = url};
    return OK;
}

static enum err
split_url(const char *flag, const char *url, struct url_parts *ret, struct why *why)
{
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    if (strlen(url) >= CLIENT_URL_BYTES)
        return why_set(why, ERR_INPUT, "%s: URL is too long", flag);
    if (strncmp(url, unix_prefix, sizeof unix_prefix - 1) == 0)
        return split_socket(flag, url, ret, why);
    if (scheme == 0) {
        static const char forms[] = "http://, https:// or unix:PATH";
        if (strchr(url, '@') != NULL) /* the part before it may be a password */
            return why_set(why, ERR_INPUT, "%s: expected a URL, %s", flag, forms);
        bool is_address = url[0] != '/' && strstr(url, "://") == NULL;
        return why_set(why, ERR_INPUT, "%s: expected a URL, %s, got %s%s%.100s%s", flag, forms,
                       shown_of(bytes_of_text(url)).text,
                       is_address ? "; did you mean http://" : "", is_address ? url : "",
                       is_address ? "?" : "");
    }
    struct url_parts parts = {.scheme_size = scheme, .rest = url + scheme};
    size_t size = strcspn(parts.rest, "/?#");
    const char *at = memrchr(parts.rest, '@', size);
    if (at != NULL) {
        size_t all = (size_t)(at - parts.rest);
        const char *colon = memchr(parts.rest, ':', all);
        size_t user_size = colon == NULL ? all : (size_t)(colon - parts.rest);
        parts.user = bytes_of(parts.rest, user_size);
        if (colon != NULL) parts.password = bytes_of(colon + 1, all - user_size - 1);
        parts.rest = at + 1;
        if (user_size == 0) return why_set(why, ERR_INPUT, "%s: the user name is empty", flag);
    }
    *ret = parts;
    return OK;
}

enum err
client_url_plain(const char *flag, const char *url, char *ret_url, struct why *why)
{
    struct url_parts parts;
    enum err e = split_url(flag, url, &parts, why);
    if (e) return e;
    snprintf(ret_url, CLIENT_URL_BYTES, "%.*s%s", (int)parts.scheme_size, url, parts.rest);
    return OK;
}

const char *
client_url_for_requests(const char *plain)
{
    bool is_socket = strncmp(plain, unix_prefix, sizeof unix_prefix - 1) == 0;
    return is_socket ? "http://localhost" : plain;
}

/* Returns the size of a URL without the slashes at its end. */
static size_t
base_size(const char *url)
{
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/')
        size--;
    return size;
}

enum err
client_url_of_page(const char *flag, const char *url, const char *path,
                   char ret_url[CLIENT_URL_BYTES], struct why *why)
{
    bool is_page = strstr(url, "/api/") != NULL;
    size_t size = is_page ? strlen(url) : base_size(url);
    int n = snprintf(ret_url, CLIENT_URL_BYTES, "%.*s%s", (int)size, url, is_page ? "" : path);
    return n < CLIENT_URL_BYTES ? OK : why_set(why, ERR_INPUT, "%s: URL is too long", flag);
}

/* Appends percent-decoded text. ERR_INPUT: it is not, or has a control character. */
static enum err
put_decoded(struct buf *to, struct bytes text)
{
    for (size_t i = 0, step; i < text.size; i += step) {
        uint8_t c;
        step = percent_step(text.at + i, text.size - i, &c);
        if (step == 0 || c < 0x20 || c == 0x7f) return ERR_INPUT;
        buf_put_u8(to, c);
    }
    return buf_error(to);
}

/* --- the user of the URL ---------------------------------------------------------------------- */

/* OK: the file has the password of this user, or no authorization: then *ret_has is false. */
static enum err
compare_with_file(const struct client_access *a, const char *flag, struct bytes user,
                  bool has_password, bool *ret_has, struct why *why)
{
    const struct basic_auth_settings *basic = &a->settings.basic_auth;
    const char *key = basic->username != NULL || basic->username_file != NULL ? "basic_auth"
                      : secret_given(&a->settings.authorization.credentials)  ? "authorization"
                      : a->settings.oauth2.client_id != NULL                  ? "oauth2"
                                                                              : NULL;
    for (uint32_t i = 0; key == NULL && i < a->settings.http.headers.count; i++) {
        const char *header = a->settings.http.headers.items[i].name;
        if (strcasecmp(header, "Authorization") == 0) key = "http_headers: Authorization";
    }
    struct secret name = {.text = basic->username, .file = basic->username_file};
    struct buf text;
    bool same = false;
    *ret_has = key != NULL;
    if (key == NULL) return OK;
    buf_init_secret(&text, NULL, SECRET_BYTES_MAX);
    enum err e = secret_given(&name) ? secret_fetch(&name, &text, why) : OK;
    if (e == OK) same = secret_given(&name) && bytes_equal(buf_bytes(&text), user);
    buf_fini(&text);
    if (e || (same && !has_password)) return e;
    return why_set(why, ERR_INPUT, "%s names a user, and %s has '%s': remove one of them", flag,
                   a->config_file, key);
}

static enum err
ask_password(const struct client_access *a, const char *flag, struct bytes user, struct buf *to,
             struct why *why)
{
    char prompt[USER_BYTES_MAX + CLIENT_URL_BYTES + 32];
    snprintf(prompt, sizeof prompt, "Password of %.*s at %s: ", (int)user.size,
             (const char *)user.at, a->name);
    enum err e = ask_secret(prompt, to, why);
    if (e == ERR_UNSUPPORTED) {
        return why_set(why, e,
                       "%s: the password of the user is missing, and there is no terminal to ask "
                       "for it: use --http.config.file",
                       flag);
    }
    return e ? why_prefix(why, e, "password") : OK;
}

static enum err
take_user(struct client_access *a, const char *flag, const struct url_parts *parts, struct why *why)
{
    struct buf pair;
    bool file_has = false, has_password = parts->password.at != NULL;
    if (parts->user.at == NULL) return OK;
    buf_init_secret(&pair, NULL, SECRET_BYTES_MAX);
    enum err e = put_decoded(&pair, parts->user);
    size_t size = pair.size;
    bool fits = size > 0 && size <= USER_BYTES_MAX && memchr(pair.at, ':', size) == NULL;
    if (e == ERR_INPUT || (e == OK && !fits))
        e = why_set(why, ERR_INPUT, "%s: invalid user name", flag);
    if (e == OK) e = compare_with_file(a, flag, buf_bytes(&pair), has_password, &file_has, why);
    if (e == OK && !file_has) {
        struct buf password;
        buf_init_secret(&password, NULL, SECRET_BYTES_MAX);
        e = has_password ? put_decoded(&password, parts->password)
                         : ask_password(a, flag, buf_bytes(&pair), &password, why);
        if (e == ERR_INPUT) why_set(why, e, "%s: invalid password", flag);
        buf_put_u8(&pair, ':');
        buf_put_bytes(&pair, buf_bytes(&password));
        if (e == OK) { /* the value of the header, by RFC 7617 */
            buf_put_text(&a->basic, "Basic ");
            base64_put(&a->basic, buf_bytes(&pair));
            buf_put_u8(&a->basic, 0);
            e = err_first(buf_error(&pair), buf_error(&a->basic));
            if (e) why_set(why, e, "not enough memory for a password");
        }
        buf_fini(&password);
    }
    buf_fini(&pair);
    return e;
}

/* --- opening ---------------------------------------------------------------------------------- */

enum err
client_access_new(const struct client_access_options *options, struct client_access **ret_access,
                  struct why *why)
{
    struct url_parts parts;
    struct client_access *a = mem_new(NULL, sizeof *a);
    if (a == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    buf_init_secret(&a->basic, NULL, SECRET_BYTES_MAX * 2);
    http_headers_init(&a->headers, NULL);
    a->config_file = options->config_file;
    enum err e = client_url_plain(options->flag, options->url, a->name, why);
    if (e == OK) e = split_url(options->flag, options->url, &parts, why);
    assert(e || parts.user.at == NULL || strlen(a->name) < strlen(options->url)); /* invariant 1 */
    if (e == OK && options->config_file != NULL)
        e = client_settings_read(options->config_file, &a->settings, why);
    if (e == OK) e = take_user(a, options->flag, &parts, why);
    if (e) {
        client_access_free(a);
        return e;
    }
    const char *url = client_url_for_requests(a->name);
    snprintf(a->url, sizeof a->url, "%.*s", (int)base_size(url), url);
    if (parts.scheme_size == 0) a->settings.http.unix_path = a->name + sizeof unix_prefix - 1;
    const struct named_secrets *given = &a->settings.http.headers;
    uint32_t count = 0;
    for (; count < given->count && count < HTTP_CALLS_HEADERS_MAX; count++)
        a->all[count] = given->items[count];
    if (a->basic.size > 0) {
        const char *value = (const char *)a->basic.at;
        a->all[count++] = (struct named_secret){"Authorization", {.text = value}};
    }
    a->settings.http.headers = (struct named_secrets){a->all, count};
    http_target_init(&a->target, &a->settings.http, 0);
    *ret_access = a;
    return OK;
}

void
client_access_free(struct client_access *a)
{
    if (a == NULL) return;
    http_headers_fini(&a->headers);
    buf_fini(&a->basic);
    client_settings_free(&a->settings);
    mem_free(NULL, a, sizeof *a);
}

const char *
client_access_name(const struct client_access *a)
{
    return a->name;
}

const char *
client_access_url(const struct client_access *a)
{
    return a->url;
}

/* --- requests --------------------------------------------------------------------------------- */

void
client_access_http(const struct client_access *a, struct http_client_options *http)
{
    http->target = &a->target;
}

/* Takes the steps of oauth2_step() until there is a token. */
static enum err
run_oauth2(struct oauth2 *oauth2, struct http_calls *calls, struct why *why)
{
    struct http_call_answer answer;
    struct writer_step step = {.next = WRITER_DONE};
    oauth2_step(oauth2, NULL, &step);
    while (step.next == WRITER_SEND) {
        enum err e = http_calls_start(calls, &step.http, why);
        if (e) return e;
        while (!http_calls_done(calls, &answer))
            http_calls_poll(calls, POLL_MS);
        step = (struct writer_step){.next = WRITER_DONE};
        oauth2_step(oauth2, &answer, &step);
        http_calls_mask(calls, step.answer);
    }
    if (step.verdict == VERDICT_DELIVERED) return OK;
    return why_set(why, ERR_AGAIN, "oauth2: no token: %s", step.answer);
}

static enum err
put_token(struct client_access *a, struct why *why)
{
    struct oauth2 *oauth2 = NULL;
    struct http_calls *calls = NULL;
    struct buf value;
    if (a->settings.oauth2.client_id == NULL) return OK;
    buf_init_secret(&value, NULL, SECRET_BYTES_MAX * 2);
    enum err e = oauth2_new(env_real(), NULL, &a->settings.oauth2, TOKEN_TIMEOUT_MS, &oauth2);
    if (e) why_set(why, e, "not enough memory");
    if (e == OK) e = http_calls_new(env_real(), NULL, "firekeep/" FIREKEEP_VERSION, &calls, why);
    if (e == OK) e = run_oauth2(oauth2, calls, why);
    if (e == OK) {
        buf_put_text(&value, "Bearer ");
        buf_put_bytes(&value, oauth2_token(oauth2));
        http_headers_put(&a->headers, "Authorization", buf_bytes(&value));
    }
    http_calls_free(calls);
    oauth2_free(oauth2);
    buf_fini(&value);
    return e;
}

enum err
client_access_headers(struct client_access *a, const char *const **ret_lines, struct why *why)
{
    const struct client_settings *s = &a->settings;
    *ret_lines = a->lines;
    if (a->lines != NULL) return OK;
    http_headers_clear(&a->headers);
    enum err e = http_put_configured(&a->headers, &s->http, why);
    if (e == OK) e = http_put_auth(&a->headers, &s->basic_auth, &s->authorization, why);
    if (e == OK && a->basic.size == 0) e = put_token(a, why);
    if (e) return a->config_file == NULL ? e : why_prefix(why, e, "%s", a->config_file);
    e = http_headers_lines(&a->headers, &a->lines);
    *ret_lines = a->lines;
    if (e == OK) return OK;
    return why_set(why, e, "invalid header, or not enough memory for it");
}

void
client_access_copy(const struct client_access *a, struct http_settings *http,
                   struct basic_auth_settings *basic_auth,
                   struct authorization_settings *authorization, struct oauth2_settings *oauth2)
{
    const struct client_settings *s = &a->settings;
    *http = s->http;
    /* Invariant 2: an empty basic_auth does not replace the header. */
    assert(a->basic.size == 0 || !secret_given(&s->authorization.credentials));
    *basic_auth = s->basic_auth;
    *authorization = s->authorization;
    *oauth2 = s->oauth2;
}

/* --- calls ------------------------------------------------------------------------------------ */

#define CONNECT_NS (10 * NS_PER_S)
#define ANSWER_NS  (600 * NS_PER_S)

enum { HEADERS_MAX = 16, JSON_BYTES_MAX = 8 << 20, JSON_VALUES_MAX = 65536 };

static enum err
fetch(const struct client_call *call, struct client_access *access, struct http_client *client,
      struct buf *to, struct why *why)
{
    char url[CLIENT_URL_BYTES + 128];
    const char *const *lines, *headers[HEADERS_MAX] = {NULL};
    size_t count = 0;
    struct http_client_answer answer = {0};
    struct http_client_request request = {
        .url = url, .method = call->method, .headers = headers, .body = call->body};
    snprintf(url, sizeof url, "%s%s", client_access_url(access), call->path);
    enum err e = client_access_headers(access, &lines, why);
    if (e) return e;
    if (call->header != NULL) headers[count++] = call->header;
    for (size_t i = 0; lines != NULL && lines[i] != NULL && count < HEADERS_MAX - 1; i++)
        headers[count++] = lines[i];
    e = http_client_fetch(client, &request, to, &answer, why);
    if ((e && e != ERR_AGAIN) || answer.status == 0 || answer.status / 100 == 2) return e;
    return why_set(why, e ? e : ERR_UNSUPPORTED, "%s: status %u: %s", client_access_name(access),
                   answer.status, query_answer_sentence(&answer).text);
}

enum err
client_call(const struct client_call *call, struct buf *to, struct why *why)
{
    struct client_access *access = call->access;
    struct http_client *client = NULL;
    struct client_access_options reach = {
        .flag = "--url",
        .url = call->url,
        .config_file = call->config_file,
    };
    struct http_client_options options = {
        .env = env_real(),
        .user_agent = "firekeep/" FIREKEEP_VERSION,
        .connect_timeout_ns = call->timeout_ns > 0 ? call->timeout_ns : CONNECT_NS,
        .request_timeout_ns = call->timeout_ns > 0 ? call->timeout_ns : ANSWER_NS,
    };
    enum err e = access != NULL ? OK : client_access_new(&reach, &access, why);
    if (e) return e;
    client_access_http(access, &options);
    e = http_client_new(&options, &client, why);
    if (e == OK) e = fetch(call, access, client, to, why);
    http_client_free(client);
    if (call->access == NULL) client_access_free(access);
    return e;
}

enum err
client_call_json(const struct client_call *call, struct budget *memory, struct json_tree *ret_json,
                 const json_t **ret_data, struct why *why)
{
    struct buf text;
    buf_init(&text, memory, JSON_BYTES_MAX);
    enum err e = client_call(call, &text, why);
    if (e == OK) {
        e = json_tree_read(memory, buf_bytes(&text), JSON_VALUES_MAX, ret_json, NULL);
        if (e) e = why_set(why, ERR_UNSUPPORTED, "the response is not from Firekeep");
    }
    if (e == OK) *ret_data = json_object_get(ret_json->root, "data");
    buf_fini(&text);
    return e;
}
