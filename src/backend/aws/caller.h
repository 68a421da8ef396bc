/*
 * caller.h - calls of a destination to an AWS service with a JSON API: endpoint, credentials,
 * signed requests, judged answers. Combines aws.h and credentials.h for writers.
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_AWS_CALLER_H
#define BACKEND_AWS_CALLER_H

#include "backend/aws/aws.h"

struct aws_caller;

struct aws_caller_options {
    const struct writer_options *writer; /* copied; the objects it points to outlive the caller */
    const struct aws_service *service;   /* borrowed, as the next three */
    const char *endpoint;                /* from the settings; NULL: not given */
    const char *operations;              /* the beginning of X-Amz-Target: "Kinesis_20131202" */
    const char *media_type;              /* "application/x-amz-json-1.1" */
};

/* Sends no request. ERR_NOMEM; errors of aws_region() and aws_endpoint(). */
MUST_CHECK enum err aws_caller_new(const struct aws_caller_options *options,
                                   struct aws_caller **ret_caller, struct why *why);
/* No call may be pending. */
void aws_caller_free(struct aws_caller *caller);

/* Returns Unix time, corrected if AWS reported a wrong clock. */
int64_t aws_caller_now_ms(const struct aws_caller *caller);

/* True if credentials have to be fetched; aws_caller_prepare() does that, as a writer's
 * prepare(). */
bool aws_caller_is_due(const struct aws_caller *caller);
void aws_caller_prepare(struct aws_caller *caller, const struct http_call_answer *answer,
                        struct writer_step *ret_step);

/*
 * Makes a step that sends `body`, which is borrowed until the call is done; `answer_bytes_max` may
 * be raised in it. On an error the step is WRITER_DONE with the reason. `ret_keys` is the number of
 * the keys that signed it, for aws_caller_judge(). The step's other texts live until the next one.
 */
void aws_caller_call(struct aws_caller *caller, const char *operation, struct bytes body,
                     uint32_t *ret_keys, struct writer_step *ret_step);
/* Does the same for another endpoint; NULL is the service's own. */
void aws_caller_call_at(struct aws_caller *caller, const char *endpoint, const char *operation,
                        struct bytes body, uint32_t *ret_keys, struct writer_step *ret_step);
/* Judges as aws_json_judge(); refused keys become due. */
void aws_caller_judge(struct aws_caller *caller, uint32_t keys,
                      const struct http_call_answer *answer, struct writer_step *ret_step);

/* For an empty request that tests permissions: an error that it is invalid counts as success.
 * After aws_caller_judge(). */
void aws_judge_empty(struct writer_step *step);

/* True if a name has 1 to `bytes_max` letters, digits and characters of `others`. */
bool aws_is_name(const char *name, const char *others, size_t bytes_max);

/* Returns a text or number on the second level, {"outer":{"inner":...}}, in `size` bytes with
 * its NUL; "" if it does not exist. For descriptions. */
void aws_answer_find(struct bytes answer, const char *outer, const char *inner, char *ret,
                     size_t size);

#endif
