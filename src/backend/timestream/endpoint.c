/*
 * endpoint.c - who we are for Timestream, and where it is.
 *
 * Timestream wants to be asked where to send requests to: DescribeEndpoints, at the service's
 * address in the region, gives the address of a cell, which is good for as long as it says. Another
 * cell than ours answers 421; then the question is asked again. Whoever says where Timestream is,
 * by `write_endpoint` or by AWS_ENDPOINT_URL..., as with PrivateLink, is believed, and nobody is
 * asked.
 *
 *     prepare(NULL) --+--> KEYS -- keys --+--> ADDRESS -- an answer --> done
 *                     '-- keys are good --'       '-- not due: done
 */
#include <stdio.h>

#include "backend/common/http_common.h"
#include "backend/timestream/timestream.h"

enum { PUT_OFF_S = 60 /* an address that still works and could not be asked for again */ };

enum stage { STAGE_KEYS, STAGE_ADDRESS };

struct timestream_client {
    /* Immutable after timestream_client_new(). */
    struct writer_options options;
    char region[AWS_REGION_BYTES];
    char endpoint[AWS_ENDPOINT_BYTES]; /* of the service; whom to ask */
    bool is_fixed;                     /* requests go there */
    struct http_calls_target target;

    struct aws_clock clock;
    struct aws_credentials *credentials;
    struct http_headers headers;

    char address[AWS_ENDPOINT_BYTES]; /* of the cell, as an endpoint; "": not known */
    uint32_t generation;              /* of the address */
    int64_t address_due_ns;
    bool address_refused;

    /* Of a preparation under way. */
    enum stage stage;
    struct aws_request request;
    struct timestream_ticket ticket;
};

static const struct aws_service service = {"timestream", "ingest.timestream", "TIMESTREAM_WRITE"};

/* --- life ------------------------------------------------------------------------------------- */

static enum err
find_place(struct timestream_client *c, const struct aws_setup *setup, struct why *why)
{
    const char *own = c->options.settings->u.timestream.write_endpoint;
    c->is_fixed = own != NULL || aws_variable(setup, "AWS_ENDPOINT_URL_TIMESTREAM_WRITE") != NULL ||
                  aws_variable(setup, "AWS_ENDPOINT_URL") != NULL;
    enum err e = aws_region(setup, c->region, why);
    return e ? e : aws_endpoint(setup, &service, own, c->region, c->endpoint, why);
}

enum err
timestream_client_new(const struct writer_options *options, struct timestream_client **ret_client,
                      struct why *why)
{
    struct timestream_client *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return why_set(why, ERR_NOMEM, "no memory for a destination");
    const struct destination_settings *settings = options->settings;
    c->options = *options;
    http_target_init(&c->target, &settings->http, settings->timeout_ms);
    http_headers_init(&c->headers, options->memory);
    aws_request_init(&c->request, options->memory);
    aws_clock_init(&c->clock, options->env);
    const struct aws_credentials_options credentials = {
        .setup = {options->env, options->memory, &settings->aws, &aws_variables_real},
        .target = &c->target,
        .clock = &c->clock,
        .name = settings->name,
    };
    enum err e = find_place(c, &credentials.setup, why);
    if (e) goto out;
    e = aws_credentials_new(&credentials, &c->credentials);
    if (e) {
        why_set(why, e, "no memory for a destination");
        goto out;
    }
    *ret_client = c;
    c = NULL;
out:
    timestream_client_free(c);
    return e;
}

void
timestream_client_free(struct timestream_client *c)
{
    if (c == NULL) return;
    aws_credentials_free(c->credentials);
    aws_request_fini(&c->request);
    http_headers_fini(&c->headers);
    mem_free(c->options.memory, c, sizeof *c);
}

int64_t
timestream_client_now_ms(const struct timestream_client *c)
{
    return env_realtime_ms(c->options.env) + 1000 * c->clock.skew_s;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
make_headers(struct timestream_client *c, const char *operation, const char *const **ret_lines,
             struct why *why)
{
    char target[80];
    snprintf(target, sizeof target, "Timestream_20181101.%s", operation);
    http_headers_clear(&c->headers);
    http_headers_put(&c->headers, "Content-Type", bytes_of_text("application/x-amz-json-1.0"));
    http_headers_put(&c->headers, "X-Amz-Target", bytes_of_text(target));
    enum err e = http_put_configured(&c->headers, &c->options.settings->http, why);
    return e ? e : http_headers_lines(&c->headers, ret_lines);
}

static void
send_to(struct timestream_client *c, const char *endpoint, const char *operation, struct bytes body,
        struct aws_request *request, struct writer_step *step)
{
    struct why why = {""};
    const struct sigv4_credentials *keys = aws_credentials_keys(c->credentials);
    struct aws_parts parts = {.target = &c->target,
                              .method = "POST",
                              .endpoint = endpoint,
                              .path = "/",
                              .body = body,
                              .service = service.name,
                              .region = c->region};
    if (keys == NULL) {
        step_done(step, VERDICT_UNPREPARED, "credentials", "there are no credentials yet");
        return;
    }
    enum err e = make_headers(c, operation, &parts.headers, &why);
    if (e == OK) {
        e = aws_sign(&parts, keys, aws_clock_now_s(&c->clock), request, &step->http, &why);
    }
    if (e == ERR_NOMEM) {
        step_done(step, VERDICT_RETRY, "no_memory", "no memory for a request");
    } else if (e) {
        step_done(step, VERDICT_BLOCKED, "configuration",
                  why.text[0] != '\0' ? why.text : "a header cannot be sent");
    } else {
        step->next = WRITER_SEND;
    }
}

void
timestream_client_begin(struct timestream_client *c, const char *operation, struct bytes body,
                        struct aws_request *request, struct timestream_ticket *ret_ticket,
                        struct writer_step *ret_step)
{
    const char *endpoint = c->is_fixed ? c->endpoint : c->address;
    *ret_ticket =
        (struct timestream_ticket){aws_credentials_generation(c->credentials), c->generation};
    if (endpoint[0] == '\0') {
        step_done(ret_step, VERDICT_UNPREPARED, "endpoint", "no address is known yet");
        return;
    }
    send_to(c, endpoint, operation, body, request, ret_step);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
judge_keys(struct timestream_client *c, const struct http_call_answer *answer,
           const struct timestream_ticket *ticket, struct writer_step *step)
{
    aws_json_judge(&c->clock, answer, step);
    if (step->verdict == VERDICT_UNPREPARED) {
        aws_credentials_refused(c->credentials, ticket->keys);
    }
}

void
timestream_client_judge(struct timestream_client *c, const struct http_call_answer *answer,
                        const struct timestream_ticket *ticket, struct writer_step *ret_step)
{
    judge_keys(c, answer, ticket, ret_step);
    if (answer->failure != HTTP_CALL_ANSWERED || answer->status != 421) return;
    snprintf(ret_step->reason, sizeof ret_step->reason, "endpoint");
    ret_step->verdict = c->is_fixed ? VERDICT_RETRY : VERDICT_UNPREPARED;
    if (ticket->address == c->generation) c->address_refused = true;
}

/* --- before ----------------------------------------------------------------------------------- */

static bool
address_is_due(const struct timestream_client *c)
{
    if (c->is_fixed) return false;
    return c->address[0] == '\0' || c->address_refused ||
           env_monotonic_ns(c->options.env) >= c->address_due_ns;
}

bool
timestream_client_due(const struct timestream_client *c)
{
    return aws_credentials_due(c->credentials) || address_is_due(c);
}

static void
ask_address(struct timestream_client *c, struct writer_step *step)
{
    c->ticket.keys = aws_credentials_generation(c->credentials);
    send_to(c, c->endpoint, "DescribeEndpoints", bytes_of_text("{}"), &c->request, step);
}

/* An address that still works is used until another one can be had. */
static void
put_off(struct timestream_client *c, struct writer_step *step)
{
    char said[WRITER_ANSWER_BYTES];
    if (c->address[0] == '\0' || c->address_refused) return;
    c->address_due_ns = env_monotonic_ns(c->options.env) + PUT_OFF_S * NS_PER_S;
    snprintf(said, sizeof said, "%s", step->answer);
    step_done(step, VERDICT_DELIVERED, "", "");
    snprintf(step->answer, sizeof step->answer, "the address is not asked for again yet: %.400s",
             said);
}

static void
take_address(struct timestream_client *c, const struct http_call_answer *answer,
             struct writer_step *step)
{
    struct why why = {""};
    int64_t keep_ms;
    judge_keys(c, answer, &c->ticket, step);
    if (step->verdict == VERDICT_AGAIN) { /* it is signed with the right time now */
        ask_address(c, step);
        return;
    }
    if (step->verdict == VERDICT_DELIVERED) {
        if (timestream_address_read(answer->body, c->address, &keep_ms, &why) == OK) {
            c->generation++;
            c->address_refused = false;
            c->address_due_ns = env_monotonic_ns(c->options.env) + keep_ms * NS_PER_MS;
            snprintf(step->answer, sizeof step->answer, "%.400s is where requests go", c->address);
            return;
        }
        step_done(step, VERDICT_RETRY, "endpoint", why.text);
    }
    put_off(c, step);
}

void
timestream_client_prepare(struct timestream_client *c, const struct http_call_answer *answer,
                          struct writer_step *ret_step)
{
    if (answer == NULL) c->stage = STAGE_KEYS;
    if (c->stage == STAGE_KEYS && (answer != NULL || aws_credentials_due(c->credentials))) {
        aws_credentials_step(c->credentials, answer, ret_step);
        if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
        answer = NULL;
    } else if (answer == NULL) {
        step_done(ret_step, VERDICT_DELIVERED, "", "credentials are there");
    }
    c->stage = STAGE_ADDRESS;
    if (answer != NULL) {
        take_address(c, answer, ret_step);
    } else if (address_is_due(c)) {
        ask_address(c, ret_step);
    }
}
