/*
 * stream.h - what the writers of kinesis and firehose have in common: a stream of AWS' that takes
 * records by the call, each judged for itself (aws/records.h), through one caller.
 *
 * Threads: one, as a writer.
 */
#ifndef BACKEND_KINESIS_STREAM_H
#define BACKEND_KINESIS_STREAM_H

#include "backend/aws/caller.h"
#include "backend/aws/records.h"

struct stream_writer;

/* What the two differ in. */
struct stream_type {
    struct aws_service service;
    const char *operations; /* what X-Amz-Target begins with */
    const char *put;        /* the operation that takes records, */
    const char *list;       /* and where its answer has them */
    const char *what;       /* "stream" */
    const char *describe;   /* the operation that describes one, */
    /* and what a description means for destinations test. */
    void (*judge_description)(struct bytes answer, struct writer_step *step);
    /* Makes the body, from aws_records_begin() to aws_records_end(). */
    enum err (*make_body)(struct stream_writer *writer, struct aws_records *records);
};

/* What a writer of either begins with. */
struct stream_writer {
    struct writer_base base;
    const struct stream_type *type;
    const char *name_key; /* "StreamName" */
    const char *name;     /* ASCII */
    struct aws_caller *caller;
    struct aws_record_limits record_limits;
    struct buf head;   /* of a body */
    struct buf asking; /* the body of a request that is no call's */
    uint32_t asking_keys;
    struct buf scratch; /* the lines of one record */
    struct buf body;    /* of a call, while it is made */
};

/* The writer's type, name and limits of records are set. ERR_NOMEM; errors of aws_caller_new(). */
MUST_CHECK enum err stream_init(struct stream_writer *writer, const char *endpoint,
                                struct why *why);
void stream_fini(struct stream_writer *writer);
/* "Key":"name" */
void stream_put_name(const struct stream_writer *writer, struct buf *to);

/* As a writer's functions of these names. */
MUST_CHECK enum err stream_call_init(struct writer *writer, struct writer_call *call);
MUST_CHECK enum err stream_make(struct writer *writer, struct writer_call *call,
                                uint64_t *ret_bytes);
void stream_begin(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
bool stream_need_prepare(struct writer *writer);
void stream_prepare(struct writer *writer, const struct http_call_answer *answer,
                    struct writer_step *ret_step);
/* Three: credentials, the stream, and whether it may be written to. */
bool stream_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                  struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES]);

/* Judges the answer as a whole. True: it has a verdict on each record, for aws_records_judge(). */
bool stream_take(struct stream_writer *writer, struct aws_call *call,
                 const struct http_call_answer *answer, struct writer_step *ret_step);

/* Sends the body that was made in `asking`; stream_judge() is for its answer. */
void stream_ask(struct stream_writer *writer, const char *operation, struct writer_step *ret_step);
void stream_judge(struct stream_writer *writer, const struct http_call_answer *answer,
                  struct writer_step *ret_step);

#endif
