/*
 * oauth2.c - fetches an access token with client credentials, and again before it expires.
 *
 * RFC 6749, 2.3.1: a server takes the client's name and password by HTTP Basic; some take them only
 * as fields of the form. Basic is tried first, and the form that worked is kept.
 */
#include "backend/common/http_common.h"

#include <stdio.h>

#include "base/text/base64.h"
#include "base/text/hex.h"
#include "wire/json/json_scan.h"
#include "wire/number.h"

enum {
    TEXT_BYTES_MAX = 128 * 1024,
    ANSWER_BYTES = 64 * 1024,
    EARLY_MS = 10 * 1000,
    LASTS_MS_MIN = 1000, /* at least this, so that an expired token is not fetched in a loop */
};

struct oauth2 {
    struct env *env;
    struct budget *memory;
    const struct oauth2_settings *settings;
    struct http_calls_target target;
    struct http_headers headers;
    struct buf form;
    struct buf token;
    int64_t due_ms; /* Unix time of the next fetch; INT64_MAX: the token's lifetime is not known */
    bool in_form;   /* name and password are fields of the form */
    bool tried_other; /* since the last success */
};

enum err
oauth2_new(struct env *env, struct budget *memory, const struct oauth2_settings *settings,
           int64_t timeout_ms, struct oauth2 **ret_oauth2)
{
    struct oauth2 *o = mem_new(memory, sizeof *o);
    if (o == NULL) return ERR_NOMEM;
    o->env = env;
    o->memory = memory;
    o->settings = settings;
    http_target_init(&o->target, &settings->http, timeout_ms);
    http_headers_init(&o->headers, memory);
    buf_init_secret(&o->form, memory, TEXT_BYTES_MAX);
    buf_init_secret(&o->token, memory, TEXT_BYTES_MAX);
    *ret_oauth2 = o;
    return OK;
}

void
oauth2_free(struct oauth2 *o)
{
    if (o == NULL) return;
    buf_fini(&o->form);
    buf_fini(&o->token);
    http_headers_fini(&o->headers);
    mem_free(o->memory, o, sizeof *o);
}

bool
oauth2_is_due(const struct oauth2 *o)
{
    if (o->token.size == 0) return true;
    return o->due_ms != INT64_MAX && env_realtime_ms(o->env) >= o->due_ms;
}

void
oauth2_refused(struct oauth2 *o)
{
    buf_wipe(&o->token);
}

struct bytes
oauth2_token(const struct oauth2 *o)
{
    return buf_bytes(&o->token);
}

/* --- the request ------------------------------------------------------------------------------ */

static void
form_put_field(struct buf *to, const char *name, struct bytes value)
{
    if (to->size > 0) buf_put_u8(to, '&');
    buf_put_percent(to, bytes_of_text(name), "");
    buf_put_u8(to, '=');
    buf_put_percent(to, value, "");
}

static enum err
put_params(struct oauth2 *o, struct why *why)
{
    const struct oauth2_settings *s = o->settings;
    struct buf text;
    buf_init_secret(&text, NULL, TEXT_BYTES_MAX);
    form_put_field(&o->form, "grant_type", bytes_of_text("client_credentials"));
    for (uint32_t i = 0; i < s->scopes.count; i++) {
        if (i > 0) buf_put_u8(&text, ' ');
        buf_put_text(&text, s->scopes.items[i]);
    }
    if (text.size > 0) form_put_field(&o->form, "scope", buf_bytes(&text));
    enum err e = buf_error(&text);
    for (uint32_t i = 0; i < s->endpoint_params.count && e == OK; i++) {
        buf_clear(&text);
        e = secret_fetch(&s->endpoint_params.items[i].value, &text, why);
        if (e == OK) form_put_field(&o->form, s->endpoint_params.items[i].name, buf_bytes(&text));
    }
    buf_fini(&text);
    return e;
}

/* RFC 6749: name and password are form-encoded before they become Basic's. */
static enum err
put_client(struct oauth2 *o, struct why *why)
{
    struct buf secret, pair;
    buf_init_secret(&secret, NULL, TEXT_BYTES_MAX);
    buf_init_secret(&pair, NULL, TEXT_BYTES_MAX);
    enum err e = OK;
    if (secret_given(&o->settings->client_secret))
        e = secret_fetch(&o->settings->client_secret, &secret, why);
    const char *id = o->settings->client_id == NULL ? "" : o->settings->client_id;
    if (e == OK && o->in_form) {
        form_put_field(&o->form, "client_id", bytes_of_text(id));
        form_put_field(&o->form, "client_secret", buf_bytes(&secret));
    } else if (e == OK) {
        struct buf value;
        buf_init_secret(&value, NULL, TEXT_BYTES_MAX);
        buf_put_percent(&pair, bytes_of_text(id), "");
        buf_put_u8(&pair, ':');
        buf_put_percent(&pair, buf_bytes(&secret), "");
        buf_put_text(&value, "Basic ");
        base64_put(&value, buf_bytes(&pair));
        e = err_first(buf_error(&pair), buf_error(&value));
        http_headers_put(&o->headers, "Authorization", buf_bytes(&value));
        buf_fini(&value);
    }
    buf_fini(&secret);
    buf_fini(&pair);
    return e;
}

static void
oauth2_send(struct oauth2 *o, struct writer_step *step)
{
    struct why why = {""};
    buf_wipe(&o->form);
    http_headers_clear(&o->headers);
    http_headers_put(&o->headers, "Content-Type",
                     bytes_of_text("application/x-www-form-urlencoded"));
    http_headers_put(&o->headers, "Accept", bytes_of_text("application/json"));
    enum err e = put_params(o, &why);
    if (e == OK) e = put_client(o, &why);
    if (e == OK) e = buf_error(&o->form);
    if (e == OK) e = http_headers_lines(&o->headers, &step->http.headers);
    if (e) {
        bool no_memory = e == ERR_NOMEM;
        step_done(step, no_memory ? VERDICT_RETRY : VERDICT_BLOCKED, "oauth2",
                  no_memory ? "not enough memory for a request" : why.text);
        return;
    }
    step->next = WRITER_SEND;
    step->http.target = &o->target;
    step->http.method = "POST";
    step->http.url = o->settings->token_url;
    step->http.body = buf_bytes(&o->form);
    step->http.answer_bytes_max = ANSWER_BYTES;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Some servers write a text. 0: not a usable number. */
static double
scan_seconds(struct scan *s)
{
    uint8_t c = scan_peek(s);
    uint64_t bits = 0;
    if (c != '"' && (c < '0' || c > '9')) {
        scan_skip(s);
        return 0;
    }
    struct bytes text = c == '"' ? scan_text(s) : scan_number(s);
    bool number = s->bad == NULL && number_parse((const char *)text.at, text.size, &bits);
    return number ? bits_double(bits) : 0;
}

/* ERR_INPUT: no token, or one that is not a valid header: it would never be sent, so never be
 * refused and replaced. */
static enum err
take_token(struct oauth2 *o, struct bytes body)
{
    struct arena arena;
    struct bytes token = {NULL, 0};
    double lasts_s = 0;
    arena_init_secret(&arena, o->memory, 2 * ANSWER_BYTES, 0);
    struct scan s = scan_of(body, &arena);
    scan_expect(&s, '{');
    for (struct bytes key; scan_key(&s, &key);)
        if (bytes_equal_text(key, "access_token") && scan_peek(&s) == '"')
            token = scan_text(&s); /* a view of the answer or the arena */
        else if (bytes_equal_text(key, "expires_in"))
            lasts_s = scan_seconds(&s);
        else
            scan_skip(&s);
    scan_end(&s);
    bool taken = s.bad == NULL && token.size > 0 && http_header_allows(token);
    buf_wipe(&o->token);
    if (taken) buf_put_bytes(&o->token, token);
    o->due_ms = INT64_MAX;
    if (lasts_s > 0 && lasts_s < 1e12) {
        int64_t lasts_ms = (int64_t)(lasts_s * 1000);
        if (lasts_ms < LASTS_MS_MIN) lasts_ms = LASTS_MS_MIN;
        int64_t early_ms = lasts_ms / 2;
        if (early_ms > EARLY_MS) early_ms = EARLY_MS;
        o->due_ms = env_realtime_ms(o->env) + lasts_ms - early_ms;
    }
    arena_fini(&arena);
    bool no_memory = buf_error(&o->token) || (s.bad != NULL && s.error == ERR_NOMEM);
    if (no_memory) return ERR_NOMEM;
    return taken ? OK : ERR_INPUT;
}

/* Prefixes the error with the URL and the status, because the answer may be empty or obscure. */
static void
say_who_failed(const struct oauth2 *o, const struct http_call_answer *answer,
               struct writer_step *step)
{
    char said[sizeof step->answer], status[32] = "";
    const char *url = o->settings->token_url;
    memcpy(said, step->answer, sizeof said);
    if (answer->failure == HTTP_CALL_ANSWERED)
        snprintf(status, sizeof status, "HTTP status %u", answer->status);
    snprintf(step->answer, sizeof step->answer, "token_url %.*s: %s%s%s", (int)strcspn(url, "?"),
             url, status, status[0] != '\0' && said[0] != '\0' ? ": " : "", said);
}

void
oauth2_step(struct oauth2 *o, const struct http_call_answer *answer, struct writer_step *step)
{
    if (answer == NULL) {
        o->tried_other = false; /* the last fetch may have been abandoned */
        oauth2_send(o, step);
        return;
    }
    http_judge(answer, step);
    http_call_mask_form(step->answer, buf_bytes(&o->form));
    buf_wipe(&o->form);
    bool refused = answer->failure == HTTP_CALL_ANSWERED &&
                   (answer->status == 400 || answer->status == 401 || answer->status == 403);
    if (refused && !o->tried_other) { /* the server may want the other form */
        o->tried_other = true;
        o->in_form = !o->in_form;
        oauth2_send(o, step);
        return;
    }
    if (step->verdict == VERDICT_SOME_DEAD) step->verdict = VERDICT_BLOCKED;
    snprintf(step->reason, sizeof step->reason, "oauth2");
    if (step->verdict != VERDICT_DELIVERED) {
        o->tried_other = false;
        say_who_failed(o, answer, step);
        return;
    }
    step->answer[0] = 0; /* the answer contains the token */
    o->tried_other = false;
    enum err e = take_token(o, answer->body);
    if (e == ERR_NOMEM) {
        step_no_memory(step, "a token");
    } else if (e) {
        step_done(step, VERDICT_BLOCKED, "oauth2",
                  "the response does not contain a valid access_token");
        say_who_failed(o, answer, step);
    }
}
