/* caller.c - see caller.h. */
#include "backend/aws/caller.h"

#include <stdio.h>

#include "backend/aws/credentials.h"
#include "backend/aws/keys.h"
#include "backend/common/http_common.h"
#include "wire/json/json_scan.h"

struct aws_caller {
    struct writer_options options;
    const struct aws_service *service;
    const char *operations;
    const char *media_type;
    struct http_calls_target target;
    char region[AWS_REGION_BYTES];
    char endpoint[AWS_ENDPOINT_BYTES];
    struct aws_clock clock;
    struct aws_credentials *credentials;
    struct http_headers headers;
    struct aws_request request;
};

enum err
aws_caller_new(const struct aws_caller_options *options, struct aws_caller **ret_caller,
               struct why *why)
{
    const struct destination_settings *settings = options->writer->settings;
    struct aws_caller *c = mem_new(options->writer->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->options = *options->writer;
    c->service = options->service;
    c->operations = options->operations;
    c->media_type = options->media_type;
    struct aws_setup setup = {c->options.env, c->options.memory, &settings->aws,
                              &aws_variables_real};
    http_target_init(&c->target, &settings->http, settings->timeout_ms);
    http_headers_init(&c->headers, c->options.memory);
    aws_request_init(&c->request, c->options.memory);
    aws_clock_init(&c->clock, c->options.env);
    enum err e = aws_region(&setup, c->region, why);
    if (e) goto out;
    e = aws_endpoint(&setup, c->service, options->endpoint, c->region, c->endpoint, why);
    if (e) goto out;
    const struct aws_credentials_options who = {setup, &c->target, &c->clock, settings->name};
    e = aws_credentials_new(&who, &c->credentials);
    if (e) goto out;

    *ret_caller = c;
    c = NULL;
out:
    aws_caller_free(c);
    return e;
}

void
aws_caller_free(struct aws_caller *c)
{
    if (c == NULL) return;
    aws_credentials_free(c->credentials);
    http_headers_fini(&c->headers);
    aws_request_fini(&c->request);
    mem_free(c->options.memory, c, sizeof *c);
}

int64_t
aws_caller_now_ms(const struct aws_caller *c)
{
    return env_realtime_ms(c->options.env) + 1000 * c->clock.skew_s;
}

bool
aws_caller_is_due(const struct aws_caller *c)
{
    return aws_credentials_due(c->credentials);
}

void
aws_caller_prepare(struct aws_caller *c, const struct http_call_answer *answer,
                   struct writer_step *ret_step)
{
    aws_credentials_step(c->credentials, answer, ret_step);
}

/* --- calls ------------------------------------------------------------------------------------ */

void
aws_caller_call(struct aws_caller *c, const char *operation, struct bytes body, uint32_t *ret_keys,
                struct writer_step *ret_step)
{
    aws_caller_call_at(c, NULL, operation, body, ret_keys, ret_step);
}

void
aws_caller_call_at(struct aws_caller *c, const char *endpoint, const char *operation,
                   struct bytes body, uint32_t *ret_keys, struct writer_step *ret_step)
{
    struct http_headers *h = &c->headers;
    struct why why = {""};
    struct aws_parts parts = {.target = &c->target,
                              .method = "POST",
                              .endpoint = endpoint == NULL ? c->endpoint : endpoint,
                              .path = "/",
                              .body = body,
                              .service = c->service->name,
                              .region = c->region};
    const struct sigv4_credentials *keys = aws_credentials_keys(c->credentials);
    *ret_keys = aws_credentials_generation(c->credentials);
    *ret_step = (struct writer_step){.next = WRITER_SEND};
    if (keys == NULL) {
        step_done(ret_step, VERDICT_UNPREPARED, "credentials", "credentials are not available yet");
        return;
    }
    char target[128];
    snprintf(target, sizeof target, "%s.%s", c->operations, operation);
    http_headers_clear(h);
    http_headers_put(h, "Content-Type", bytes_of_text(c->media_type));
    http_headers_put(h, "X-Amz-Target", bytes_of_text(target));
    enum err e = http_put_configured(h, &c->options.settings->http, &why);
    if (e == OK) e = http_headers_lines(h, &parts.headers);
    if (e == OK) {
        e = aws_sign(&parts, keys, aws_clock_now_s(&c->clock), &c->request, &ret_step->http, &why);
    }
    if (e) http_judge_unmade(e, &why, ret_step);
}

void
aws_caller_judge(struct aws_caller *c, uint32_t keys, const struct http_call_answer *answer,
                 struct writer_step *ret_step)
{
    aws_json_judge(&c->clock, answer, ret_step);
    if (ret_step->verdict == VERDICT_UNPREPARED) aws_credentials_refused(c->credentials, keys);
}

bool
aws_is_name(const char *name, const char *others, size_t bytes_max)
{
    size_t size = 0;
    for (; name[size] != '\0'; size++) {
        char c = name[size];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr(others, c) == NULL) return false;
    }
    return size > 0 && size <= bytes_max;
}

/* --- answers ---------------------------------------------------------------------------------- */

void
aws_judge_empty(struct writer_step *step)
{
    if (step->verdict != VERDICT_DEAD && step->verdict != VERDICT_DELIVERED) return;
    step_done(step, VERDICT_DELIVERED, "", "access allowed");
}

static void
find_inner(struct scan *s, const char *inner, char *ret, size_t size)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        uint8_t kind = scan_peek(s);
        bool number = kind == '-' || (kind >= '0' && kind <= '9');
        if (!bytes_equal_text(key, inner) || (kind != '"' && !number)) {
            scan_skip(s);
            continue;
        }
        struct bytes text = number ? scan_number(s) : scan_text(s);
        snprintf(ret, size, "%.*s", text.size < size ? (int)text.size : (int)size - 1,
                 (const char *)text.at);
    }
}

void
aws_answer_find(struct bytes answer, const char *outer, const char *inner, char *ret, size_t size)
{
    struct arena arena;
    struct bytes key;
    ret[0] = '\0';
    if (answer.size > AWS_ANSWER_BYTES_MAX) answer.size = AWS_ANSWER_BYTES_MAX;
    arena_init(&arena, NULL, 2 * AWS_ANSWER_BYTES_MAX, 0);
    struct scan s = scan_of(answer, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key)) {
        if (bytes_equal_text(key, outer) && scan_peek(&s) == '{')
            find_inner(&s, inner, ret, size);
        else
            scan_skip(&s);
    }
    arena_fini(&arena);
}
