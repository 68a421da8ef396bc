/* identity.c - see credentials.h. */
#include "backend/aws/credentials.h"

#include "backend/common/http_common.h"

enum { ADDRESS_BYTES_MAX = 64 * 1024, TOKEN_BYTES_MAX = 128 * 1024 };

struct aws_identity {
    struct identity_options options;
    char region[AWS_REGION_BYTES];
    struct aws_clock clock;
    struct aws_credentials *credentials; /* NULL: requests are not signed */
    struct oauth2 *oauth2;               /* NULL: not configured */
    uint32_t tokens;                     /* number of tokens fetched */
};

enum err
identity_new(const struct identity_options *options, struct aws_identity **ret_identity,
             struct why *why)
{
    const struct oauth2_settings *oauth2 = options->oauth2;
    struct aws_identity *x = mem_new(options->memory, sizeof *x);
    if (x == NULL) return ERR_NOMEM;
    x->options = *options;
    aws_clock_init(&x->clock, options->env);
    enum err e = OK;
    if (options->aws != NULL) {
        const struct aws_setup setup = {options->env, options->memory, options->aws,
                                        &aws_variables_real};
        const struct aws_credentials_options who = {setup, options->target, &x->clock,
                                                    options->name, options->polls};
        e = aws_region(&setup, x->region, why);
        if (e == OK) e = aws_credentials_new(&who, &x->credentials);
    }
    if (e == OK && oauth2 != NULL && oauth2->token_url != NULL)
        e = oauth2_new(options->env, options->memory, oauth2, options->timeout_ms, &x->oauth2);
    if (e)
        identity_free(x);
    else
        *ret_identity = x;
    return e;
}

void
identity_free(struct aws_identity *x)
{
    if (x == NULL) return;
    aws_credentials_free(x->credentials);
    oauth2_free(x->oauth2);
    mem_free(x->options.memory, x, sizeof *x);
}

bool
identity_signs(const struct aws_identity *x)
{
    return x->credentials != NULL;
}

/* --- tokens and keys -------------------------------------------------------------------------- */

bool
identity_is_due(const struct aws_identity *x)
{
    if (x->credentials != NULL) return aws_credentials_due(x->credentials);
    return x->oauth2 != NULL && oauth2_is_due(x->oauth2);
}

void
identity_step(struct aws_identity *x, const struct http_call_answer *answer,
              struct writer_step *step)
{
    if (x->credentials != NULL) {
        aws_credentials_step(x->credentials, answer, step);
        return;
    }
    oauth2_step(x->oauth2, answer, step);
    x->tokens += step->next == WRITER_DONE && step->verdict == VERDICT_DELIVERED;
}

/* --- requests --------------------------------------------------------------------------------- */

enum err
identity_put_secrets(const struct aws_identity *x, struct http_headers *headers, bool *ret_is_known,
                     struct why *why)
{
    const struct identity_options *o = &x->options;
    enum err e = http_put_configured(headers, o->http, why);
    uint32_t before = headers->count;
    if (e == OK) e = http_put_auth(headers, o->basic_auth, o->authorization, why);
    *ret_is_known = headers->count > before;
    return e;
}

enum err
identity_put_token(struct aws_identity *x, bool is_known, struct http_headers *headers)
{
    struct buf value;
    if (x->oauth2 == NULL || is_known) return OK;
    buf_init_secret(&value, NULL, TOKEN_BYTES_MAX);
    buf_put_text(&value, "Bearer ");
    buf_put_bytes(&value, oauth2_token(x->oauth2));
    enum err e = buf_error(&value);
    if (e == OK) http_headers_put(headers, "Authorization", buf_bytes(&value));
    buf_fini(&value);
    return e;
}

void
identity_signature_init(struct identity_signature *s, struct budget *memory)
{
    aws_request_init(&s->request, memory);
    buf_init(&s->address, memory, ADDRESS_BYTES_MAX);
    s->generation = 0;
}

void
identity_signature_fini(struct identity_signature *s)
{
    aws_request_fini(&s->request);
    buf_fini(&s->address);
}

static enum err
sign(struct aws_identity *x, struct http_call *call, struct identity_signature *s, struct why *why)
{
    const struct sigv4_credentials *keys = aws_credentials_keys(x->credentials);
    if (keys == NULL) return why_set(why, ERR_MISSING, "credentials are not available yet");
    size_t size = strcspn(call->url, "?");
    buf_clear(&s->address);
    buf_put(&s->address, call->url, size);
    buf_put_u8(&s->address, 0);
    if (buf_error(&s->address)) return buf_error(&s->address);
    const struct aws_parts parts = {
        .target = call->target,
        .method = call->method,
        .endpoint = (const char *)s->address.at,
        .path = "",
        .query = call->url[size] == '?' ? call->url + size + 1 : NULL,
        .headers = call->headers,
        .body = call->body,
        .service = x->options.service == NULL ? "aps" : x->options.service,
        .region = x->region,
        .is_s3 = x->options.is_s3,
    };
    s->generation = aws_credentials_generation(x->credentials);
    return aws_sign(&parts, keys, aws_clock_now_s(&x->clock), &s->request, call, why);
}

enum err
identity_sign(struct aws_identity *x, struct http_call *call, struct identity_signature *s,
              struct why *why)
{
    s->generation = x->tokens;
    if (x->credentials == NULL) return OK;
    const struct http_call before = *call;
    enum err e = sign(x, call, s, why);
    call->wanted = before.wanted;
    call->answer_bytes_max = before.answer_bytes_max;
    call->stream = before.stream;
    call->context = before.context;
    return e;
}

/* --- answers ---------------------------------------------------------------------------------- */

void
identity_judge(struct aws_identity *x, uint32_t generation, const struct http_call_answer *answer,
               struct writer_step *step)
{
    if (answer->failure != HTTP_CALL_ANSWERED) return;
    if (answer->status == 401 && x->oauth2 != NULL) {
        /* The refused token may already be replaced. */
        if (generation == x->tokens) oauth2_refused(x->oauth2);
        step->verdict = VERDICT_UNPREPARED;
    } else if (x->credentials != NULL) {
        if (x->options.is_s3)
            aws_xml_judge(&x->clock, answer, step);
        else
            aws_json_judge(&x->clock, answer, step);
        if (step->verdict == VERDICT_UNPREPARED)
            aws_credentials_refused(x->credentials, generation);
    }
}
