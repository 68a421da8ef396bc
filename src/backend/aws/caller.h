/*
 * caller.h - a destination's way to one of AWS' services that speak JSON: where it is, who we
 * are there, requests signed, answers judged. Everything of aws.h and credentials.h put
 * together, for writers.
 *
 * Threads: one, as a writer.
 */
#ifndef BACKEND_AWS_CALLER_H
#define BACKEND_AWS_CALLER_H

#include "backend/aws/aws.h"

struct aws_caller;

struct aws_caller_options {
    const struct writer_options *writer; /* copied; what it points to outlives the caller */
    const struct aws_service *service;   /* borrowed, as the next three */
    const char *endpoint;                /* of the settings; NULL: not given */
    const char *operations;              /* what X-Amz-Target begins with: "Kinesis_20131202" */
    const char *media_type;              /* "application/x-amz-json-1.1" */
};

/* Asks for nothing yet. ERR_NOMEM; errors of aws_region() and aws_endpoint(). */
MUST_CHECK enum err aws_caller_new(const struct aws_caller_options *options,
                                   struct aws_caller **ret_caller, struct why *why);
/* No call of it may be under way. */
void aws_caller_free(struct aws_caller *caller);

/* Unix time, as AWS has it if ours was found to be wrong. */
int64_t aws_caller_now_ms(const struct aws_caller *caller);

/* Whether credentials are to be fetched; aws_caller_prepare() does so, as a writer's prepare(). */
bool aws_caller_is_due(const struct aws_caller *caller);
void aws_caller_prepare(struct aws_caller *caller, const struct http_call_answer *answer,
                        struct writer_step *ret_step);

/*
 * Makes a step that sends `body`, which is borrowed until the call is done; `answer_bytes_max` may
 * be raised in it. Or, where that cannot be, one that says why not. `ret_keys` is the number of the
 * keys it was signed with, for aws_caller_judge(). The step's other texts are copied by whoever
 * sends it, and are gone with the next one.
 */
void aws_caller_call(struct aws_caller *caller, const char *operation, struct bytes body,
                     uint32_t *ret_keys, struct writer_step *ret_step);
/* The same to another endpoint than the service's own, which is `endpoint` NULL. */
void aws_caller_call_at(struct aws_caller *caller, const char *endpoint, const char *operation,
                        struct bytes body, uint32_t *ret_keys, struct writer_step *ret_step);
/* As aws_json_judge(); refused keys are due to be fetched again. */
void aws_caller_judge(struct aws_caller *caller, uint32_t keys,
                      const struct http_call_answer *answer, struct writer_step *ret_step);

/* For a request with nothing in it, sent to see whether it may be: that it is not a valid one is no
 * refusal. After aws_caller_judge(). */
void aws_judge_empty(struct writer_step *step);

/* Whether a name has 1 to `bytes_max` letters, digits and characters of `others`. */
bool aws_is_name(const char *name, const char *others, size_t bytes_max);

/*
 * A text or number two levels down, {"outer":{"inner":...}}, in one piece of `size` bytes with its
 * NUL; "" if it is not there. For answers that tell of something.
 */
void aws_answer_find(struct bytes answer, const char *outer, const char *inner, char *ret,
                     size_t size);

#endif
