/*
 * stream.h - the part that the writers of kinesis and firehose share: an AWS stream that takes
 * records in calls, with a verdict on each (aws/records.h).
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_KINESIS_STREAM_H
#define BACKEND_KINESIS_STREAM_H

#include "backend/aws/caller.h"
#include "backend/aws/records.h"

struct stream_writer;

/* The differences between the two. */
struct stream_type {
    struct aws_service service;
    const char *operations; /* the beginning of X-Amz-Target */
    const char *put;        /* the operation that stores records */
    const char *list;       /* the list in its answer */
    const char *what;       /* "stream" */
    const char *describe;   /* the operation that describes a stream */
    /* Judges a description, for `destinations test`. */
    void (*judge_description)(struct bytes answer, struct writer_step *step);
    /* Makes the body, from aws_records_begin() to aws_records_end(). */
    enum err (*make_body)(struct stream_writer *writer, struct aws_records *records);
};

/* The first member of both writers. */
struct stream_writer {
    struct writer_base base;
    const struct stream_type *type;
    const char *name_key; /* "StreamName" */
    const char *name;     /* ASCII */
    struct aws_caller *caller;
    struct aws_record_limits record_limits;
    struct buf head;    /* the beginning of a body */
    struct buf request; /* body of a request outside of calls */
    uint32_t request_keys;
    struct buf scratch; /* the lines of one record */
    struct buf body;    /* in which the body of a call is made */
};

/* The writer's type, name and record limits are set before. ERR_NOMEM; errors of
 * aws_caller_new(). */
MUST_CHECK enum err stream_init(struct stream_writer *writer, const char *endpoint,
                                struct why *why);
void stream_fini(struct stream_writer *writer);
/* Appends "Key":"name". */
void stream_put_name(const struct stream_writer *writer, struct buf *to);

/* Functions of a writer. */
MUST_CHECK enum err stream_call_init(struct writer *writer, struct writer_call *call);
void stream_begin(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
bool stream_need_prepare(struct writer *writer);
void stream_prepare(struct writer *writer, const struct http_call_answer *answer,
                    struct writer_step *ret_step);
/* Three checks: credentials, the stream, and the permission to write. */
bool stream_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                  struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES]);

/* Judges the answer as a whole. True: it has a verdict on each record, for aws_records_judge(). */
bool stream_take(struct stream_writer *writer, struct aws_call *call,
                 const struct http_call_answer *answer, struct writer_step *ret_step);

/* Sends the body in `request`; stream_judge() judges the answer. */
void stream_ask(struct stream_writer *writer, const char *operation, struct writer_step *ret_step);
void stream_judge(struct stream_writer *writer, const struct http_call_answer *answer,
                  struct writer_step *ret_step);

#endif
