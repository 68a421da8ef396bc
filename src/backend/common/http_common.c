/*
 * http_common.c - see http_common.h.
 *
 * Header lines are in one buffer, which may move when it grows: they are kept as offsets, which
 * become pointers when all are complete. The buffer holds secrets and is overwritten when it is
 * freed. The first error is kept, so that callers may put many headers and check once.
 */
#include "backend/common/http_common.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/text/base64.h"
#include "base/text/hex.h"
#include "model/labels.h"

enum { HEADERS_BYTES_MAX = 256 * 1024 };

/* --- headers ---------------------------------------------------------------------------------- */

void
http_headers_init(struct http_headers *h, struct budget *memory)
{
    *h = (struct http_headers){.count = 0};
    buf_init_secret(&h->text, memory, HEADERS_BYTES_MAX);
}

void
http_headers_fini(struct http_headers *h)
{
    buf_fini(&h->text);
}

void
http_headers_clear(struct http_headers *h)
{
    buf_clear(&h->text);
    h->count = 0;
    h->failed = OK;
}

static void
headers_note_failed(struct http_headers *h, enum err e)
{
    if (h->failed == OK) h->failed = e;
}

bool
http_header_allows(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        bool control = value.at[i] < 0x20 || value.at[i] == 0x7f;
        if (control && value.at[i] != '\t') return false;
    }
    return true;
}

void
http_headers_put(struct http_headers *h, const char *name, struct bytes value)
{
    if (!http_header_allows(value)) headers_note_failed(h, ERR_INPUT);
    if (h->count == HTTP_CALLS_HEADERS_MAX) headers_note_failed(h, ERR_LIMIT);
    if (h->failed) return;
    h->at[h->count++] = (uint32_t)h->text.size;
    buf_put_text(&h->text, name);
    buf_put_text(&h->text, ": ");
    buf_put_bytes(&h->text, value);
    buf_put_u8(&h->text, 0);
}

enum err
http_headers_lines(struct http_headers *h, const char *const **ret_lines)
{
    headers_note_failed(h, buf_error(&h->text));
    if (h->failed) return h->failed;
    for (uint32_t i = 0; i < h->count; i++)
        h->lines[i] = (const char *)h->text.at + h->at[i];
    h->lines[h->count] = NULL;
    *ret_lines = h->lines;
    return OK;
}

/* --- configured headers ----------------------------------------------------------------------- */

void
http_target_init(struct http_calls_target *target, const struct http_settings *http,
                 int64_t timeout_ms)
{
    *target = (struct http_calls_target){
        .proxy_url = http->proxy_url,
        .no_proxy = http->no_proxy,
        .unix_path = http->unix_path,
        .ca_file = http_calls_ca_file(http->tls.ca_file),
        .cert_file = http->tls.cert_file,
        .key_file = http->tls.key_file,
        .server_name = http->tls.server_name,
        .min_version = http->tls.min_version,
        .max_version = http->tls.max_version,
        .insecure = http->tls.insecure_skip_verify,
        .connect_timeout_ms = timeout_ms,
        .timeout_ms = timeout_ms,
    };
}

/* Fetches a secret, and puts a header of a prefix and the secret. `what` names it in errors. */
static enum err
put_secret(struct http_headers *headers, const char *name, const char *prefix,
           const struct secret *secret, const char *what, struct why *why)
{
    struct buf text;
    buf_init_secret(&text, NULL, HEADERS_BYTES_MAX);
    buf_put_text(&text, prefix);
    enum err e = secret_fetch(secret, &text, why);
    if (e == OK) http_headers_put(headers, name, buf_bytes(&text));
    buf_fini(&text);
    return e ? why_prefix(why, e, "%s", what) : OK;
}

enum err
http_put_configured(struct http_headers *headers, const struct http_settings *http, struct why *why)
{
    enum err e = OK;
    for (uint32_t i = 0; i < http->headers.count && e == OK; i++) {
        const struct named_secret *header = &http->headers.items[i];
        e = put_secret(headers, header->name, "", &header->value, header->name, why);
    }
    return e;
}

static enum err
put_basic_auth(struct http_headers *headers, const struct basic_auth_settings *auth,
               struct why *why)
{
    struct secret username = {.text = auth->username, .file = auth->username_file};
    struct buf pair, coded;
    buf_init_secret(&pair, NULL, HEADERS_BYTES_MAX);
    buf_init_secret(&coded, NULL, HEADERS_BYTES_MAX);
    enum err e = secret_fetch(&username, &pair, why);
    buf_put_u8(&pair, ':');
    if (e == OK && secret_given(&auth->password)) e = secret_fetch(&auth->password, &pair, why);
    buf_put_text(&coded, "Basic ");
    base64_put(&coded, buf_bytes(&pair));
    if (e == OK) e = buf_error(&pair);
    if (e == OK) e = buf_error(&coded);
    if (e == OK) http_headers_put(headers, "Authorization", buf_bytes(&coded));
    buf_fini(&pair);
    buf_fini(&coded);
    return e ? why_prefix(why, e, "basic_auth") : OK;
}

enum err
http_put_auth(struct http_headers *headers, const struct basic_auth_settings *basic,
              const struct authorization_settings *authorization, struct why *why)
{
    char prefix[128];
    if (basic->username != NULL || basic->username_file != NULL)
        return put_basic_auth(headers, basic, why);
    if (!secret_given(&authorization->credentials)) return OK;
    snprintf(prefix, sizeof prefix, "%s ",
             authorization->type == NULL ? "Bearer" : authorization->type);
    return put_secret(headers, "Authorization", prefix, &authorization->credentials,
                      "authorization", why);
}

void
http_send_plain(struct http_headers *h, const struct http_plain *r, struct writer_step *step)
{
    struct why why = {""};
    http_headers_clear(h);
    http_headers_put(h, "Content-Type", bytes_of_text(r->content_type));
    if (r->content_encoding != NULL)
        http_headers_put(h, "Content-Encoding", bytes_of_text(r->content_encoding));
    enum err e = http_put_configured(h, r->settings, &why);
    if (e == OK) e = http_put_auth(h, r->basic_auth, r->authorization, &why);
    if (e == OK) e = http_headers_lines(h, &step->http.headers);
    if (e) {
        http_judge_unmade(e, &why, step);
        return;
    }
    step->next = WRITER_SEND;
    step->http.target = r->target;
    step->http.method = r->method;
    step->http.url = r->url;
    step->http.body = r->body;
    step->http.answer_bytes_max = r->answer_bytes_max;
}

/* --- URLs ------------------------------------------------------------------------------------- */

void
http_url_begin(struct buf *to, const char *base, const char *path)
{
    size_t size = strcspn(base, "?");
    while (size > 0 && base[size - 1] == '/')
        size--;
    buf_put(to, base, size);
    buf_put_text(to, path);
}

static void
put_separator(struct buf *to)
{
    bool first = to->size == 0 || memchr(to->at, '?', to->size) == NULL;
    buf_put_u8(to, first ? '?' : '&');
}

void
http_url_param(struct buf *to, const char *name, struct bytes value)
{
    put_separator(to);
    buf_put_text(to, name);
    if (value.at == NULL) return;
    buf_put_u8(to, '=');
    buf_put_percent(to, value, "");
}

void
http_url_end(struct buf *to, const char *base)
{
    const char *query = base + strcspn(base, "?");
    if (query[0] != 0 && query[1] != 0) {
        put_separator(to);
        buf_put_text(to, query + 1);
    }
    buf_put_u8(to, 0);
}

/* --- answers ---------------------------------------------------------------------------------- */

void
http_judge_unmade(enum err e, const struct why *why, struct writer_step *step)
{
    if (e == ERR_NOMEM) {
        step_no_memory(step, "a request");
        return;
    }
    step_done(step, VERDICT_BLOCKED, "configuration",
              why->text[0] != 0 ? why->text
                                : "cannot send a request with these settings: check the headers");
}

void
http_judge_silence(const struct http_call_answer *answer, struct writer_step *step)
{
    static const struct {
        enum writer_verdict verdict;
        const char *reason;
    } silences[] = {
        [HTTP_CALL_BAD_URL] = {VERDICT_BLOCKED, "bad_url"},
        [HTTP_CALL_RESOLVE] = {VERDICT_RETRY, "resolve"},
        [HTTP_CALL_CONNECT] = {VERDICT_RETRY, "connect"},
        [HTTP_CALL_PROXY] = {VERDICT_BLOCKED, "proxy"},
        [HTTP_CALL_TLS] = {VERDICT_BLOCKED, "tls"},
        [HTTP_CALL_NO_TLS] = {VERDICT_BLOCKED, "scheme"},
        [HTTP_CALL_TIMEOUT] = {VERDICT_RETRY, "timeout"},
        [HTTP_CALL_BROKEN] = {VERDICT_RETRY, "connection_broken"},
        [HTTP_CALL_NO_MEMORY] = {VERDICT_RETRY, "no_memory"},
    };
    assert(answer->failure != HTTP_CALL_ANSWERED);
    enum writer_verdict verdict = silences[answer->failure].verdict;
    /* A proxy may be temporarily unavailable, too. */
    if (answer->failure == HTTP_CALL_PROXY && answer->proxy_status >= 500) verdict = VERDICT_RETRY;
    step_done(step, verdict, silences[answer->failure].reason, answer->error);
}

static enum writer_verdict
verdict_of_status(unsigned status)
{
    if (status >= 200 && status < 300) return VERDICT_DELIVERED;
    if (status == 429) return VERDICT_THROTTLED;
    if (status == 408 || status == 425 || status >= 500) return VERDICT_RETRY;
    if (status == 413) return VERDICT_TOO_LARGE;
    bool blocked = status == 401 || (status >= 403 && status <= 405) || status == 407;
    return blocked || status < 400 ? VERDICT_BLOCKED : VERDICT_SOME_DEAD;
}

bool
http_is_page(struct bytes body)
{
    /* not shown: looked for in answers */
    static const char *const begins[] = {"<!doctype html", "<html"};
    const char *at = (const char *)body.at;
    size_t size = body.size;
    for (; size > 0 && isspace((unsigned char)*at); size--)
        at++;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        size_t length = strlen(begins[i]);
        if (size >= length && strncasecmp(at, begins[i], length) == 0) return true;
    }
    return false;
}

/* Servers written in Go answer this to http on a port for https; they have not read the request. */
static bool
wants_tls(struct bytes body)
{
    static const char said[] = "Client sent an HTTP request to an HTTPS server";
    return body.size >= sizeof said - 1 && memcmp(body.at, said, sizeof said - 1) == 0;
}

void
http_judge(const struct http_call_answer *answer, struct writer_step *step)
{
    step->next = WRITER_DONE;
    if (answer->failure != HTTP_CALL_ANSWERED) {
        http_judge_silence(answer, step);
        return;
    }
    step->verdict = verdict_of_status(answer->status);
    step->wait_ms = answer->retry_after_ns / NS_PER_MS;
    snprintf(step->reason, sizeof step->reason, "http_%u", answer->status);
    step_answer(step, answer->body);
    bool redirects = answer->status >= 300 && answer->status < 400;
    bool page = http_is_page(answer->body);
    if (answer->status == 400 && wants_tls(answer->body)) {
        step_done(step, VERDICT_BLOCKED, "scheme", "the server expects https, not http");
    } else if (step->verdict == VERDICT_DELIVERED && page) {
        step_done(step, VERDICT_BLOCKED, "web_page",
                  "got a web page instead of an API response: check url");
    } else if (answer->status == 407) { /* for http; see HTTP_CALL_PROXY for https */
        step_done(step, VERDICT_BLOCKED, "proxy",
                  "the proxy requires a user name and a password: set them in proxy_url");
    } else if (redirects && (page || answer->body.size == 0)) {
        snprintf(step->answer, sizeof step->answer,
                 "got a redirect, which is not followed: set url to its target");
    }
}
