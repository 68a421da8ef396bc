/*
 * endpoint.c - credentials, and the address of Timestream.
 *
 * DescribeEndpoints, at the service's address in the region, gives the address of a cell and how
 * long it is valid. A wrong cell responds with 421; then the address is requested again. An address
 * from `write_endpoint` or AWS_ENDPOINT_URL..., as with PrivateLink, is used without a request.
 *
 *     prepare(NULL) --+--> KEYS -- keys --+--> ADDRESS -- response --> done
 *                     '-- keys are good --'       '-- not due: done
 */
#include "backend/timestream/timestream.h"

#include <stdio.h>

enum { PUT_OFF_S = 60 /* until an address that still works is requested again after a failure */ };

enum endpoint_stage { STAGE_KEYS, STAGE_ADDRESS };

struct timestream_client {
    /* Immutable after timestream_client_new(). */
    struct writer_options options;
    struct aws_caller *caller; /* to the service's address */
    bool is_fixed;             /* all requests go to the service's address */

    char address[AWS_ENDPOINT_BYTES]; /* address of the cell, as an endpoint; "" if unknown */
    uint32_t generation;              /* changes with `address` */
    int64_t address_due_ns;
    bool address_refused;

    /* State of a running preparation. */
    enum endpoint_stage stage;
    uint32_t asking_keys;
};

static const struct aws_service service = {"timestream", "ingest.timestream", "TIMESTREAM_WRITE"};

/* --- life ------------------------------------------------------------------------------------- */

enum err
timestream_client_new(const struct writer_options *options, struct timestream_client **ret_client,
                      struct why *why)
{
    const char *own = options->settings->u.timestream.write_endpoint;
    const struct aws_setup setup = {options->env, options->memory, &options->settings->aws,
                                    &aws_variables_real};
    const struct aws_caller_options caller = {options, &service, own, "Timestream_20181101",
                                              "application/x-amz-json-1.0"};
    struct timestream_client *c = mem_new(options->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->options = *options;
    c->is_fixed = own != NULL ||
                  aws_variable(&setup, "AWS_ENDPOINT_URL_TIMESTREAM_WRITE") != NULL ||
                  aws_variable(&setup, "AWS_ENDPOINT_URL") != NULL;
    enum err e = aws_caller_new(&caller, &c->caller, why);
    if (e) {
        timestream_client_free(c);
        return e;
    }
    *ret_client = c;
    return OK;
}

void
timestream_client_free(struct timestream_client *c)
{
    if (c == NULL) return;
    aws_caller_free(c->caller);
    mem_free(c->options.memory, c, sizeof *c);
}

int64_t
timestream_client_now_ms(const struct timestream_client *c)
{
    return aws_caller_now_ms(c->caller);
}

/* --- requests and answers --------------------------------------------------------------------- */

void
timestream_client_begin(struct timestream_client *c, const char *operation, struct bytes body,
                        struct timestream_ticket *ret_ticket, struct writer_step *ret_step)
{
    *ret_ticket = (struct timestream_ticket){.address = c->generation};
    if (!c->is_fixed && c->address[0] == '\0') {
        step_done(ret_step, VERDICT_UNPREPARED, "endpoint",
                  "the endpoint address is not known yet");
        return;
    }
    aws_caller_call(c->caller, c->is_fixed ? NULL : c->address, operation, body, &ret_ticket->keys,
                    ret_step);
}

void
timestream_client_judge(struct timestream_client *c, const struct http_call_answer *answer,
                        const struct timestream_ticket *ticket, struct writer_step *ret_step)
{
    aws_caller_judge(c->caller, ticket->keys, answer, ret_step);
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
    return aws_caller_is_due(c->caller) || address_is_due(c);
}

static void
ask_address(struct timestream_client *c, struct writer_step *step)
{
    aws_caller_call(c->caller, NULL, "DescribeEndpoints", bytes_of_text("{}"), &c->asking_keys,
                    step);
}

static void
take_address(struct timestream_client *c, const struct http_call_answer *answer,
             struct writer_step *step)
{
    struct why why = {""};
    int64_t keep_ms;
    aws_caller_judge(c->caller, c->asking_keys, answer, step);
    if (step->verdict == VERDICT_AGAIN) { /* the next request is signed with the right time */
        ask_address(c, step);
        return;
    }
    if (step->verdict == VERDICT_DELIVERED) {
        if (timestream_address_read(answer->body, c->address, &keep_ms, &why) == OK) {
            c->generation++;
            c->address_refused = false;
            c->address_due_ns = env_monotonic_ns(c->options.env) + keep_ms * NS_PER_MS;
            snprintf(step->answer, sizeof step->answer, "requests go to %.400s", c->address);
            return;
        }
        step_done(step, VERDICT_RETRY, "endpoint", why.text);
    }
    /* An address that still works is used until the next one is known. */
    if (c->address[0] == '\0' || c->address_refused) return;
    char said[WRITER_ANSWER_BYTES];
    c->address_due_ns = env_monotonic_ns(c->options.env) + PUT_OFF_S * NS_PER_S;
    snprintf(said, sizeof said, "%s", step->answer);
    step_done(step, VERDICT_DELIVERED, "", "");
    snprintf(step->answer, sizeof step->answer,
             "cannot refresh the endpoint address, using the current one: %.400s", said);
}

void
timestream_client_prepare(struct timestream_client *c, const struct http_call_answer *answer,
                          struct writer_step *ret_step)
{
    if (answer == NULL) c->stage = STAGE_KEYS;
    if (c->stage == STAGE_KEYS && (answer != NULL || aws_caller_is_due(c->caller))) {
        aws_caller_prepare(c->caller, answer, ret_step);
        if (ret_step->next == WRITER_SEND || ret_step->verdict != VERDICT_DELIVERED) return;
        answer = NULL;
    } else if (answer == NULL) {
        step_done(ret_step, VERDICT_DELIVERED, "", "credentials are available");
    }
    c->stage = STAGE_ADDRESS;
    if (answer != NULL)
        take_address(c, answer, ret_step);
    else if (address_is_due(c))
        ask_address(c, ret_step);
}
