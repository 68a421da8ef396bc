/*
 * records.h - what destinations kinesis and firehose have in common: calls of up to 500
 * records, each of one line of NDJSON or of many, which are judged one by one.
 *
 *     aws_call_clear() -> aws_records_add()... -> aws_records_begin(), _put() for each, _end()
 *     -> the body is sent -> aws_records_read(answer) -> aws_records_judge()
 *
 * Lines are kept in the order they came; those of one `group` become one record, so that they are
 * stored together or not at all, and in their order. Once the body is made it is all that is kept.
 * It is made in a buffer that all calls of a writer share, which then changes places with that of
 * the lines: so no call has more than one, and none is ever given up.
 *
 * Threads: one, as a writer.
 */
#ifndef BACKEND_AWS_RECORDS_H
#define BACKEND_AWS_RECORDS_H

#include "backend/writer.h"

enum {
    AWS_RECORDS_MAX = 500,
    AWS_RECORDS_PLACES = 1024, /* a power of two, at least twice as many */
    AWS_RECORDS_ANSWER_BYTES_MAX = 512 << 10,
};

struct aws_record_limits {
    uint32_t lines;          /* of a record */
    size_t record_bytes_max; /* of one, before base64; a single line may make it that large */
    size_t record_bytes;     /* the same of several lines, at most record_bytes_max */
    size_t frame_bytes;      /* what a record counts besides its lines, at most */
    size_t line_frame_bytes; /* what each line of it counts besides itself, at most */
    size_t head_bytes;       /* what the body has besides its records, at most */
    size_t entry_bytes;      /* what it has besides the data of each, at most */
    size_t call_bytes_max;   /* of the body; there is room for a record of record_bytes_max */
    const char *what;        /* for people: "a record of the stream" */
};

struct aws_line {
    uint64_t series;
    uint32_t at; /* in the text */
    uint32_t size;
    uint32_t next; /* of the record; AWS_LINE_NONE: it is the last */
};
enum { AWS_LINE_NONE = UINT32_MAX };

struct aws_record {
    uint64_t group;
    uint32_t first; /* line */
    uint32_t last;
    uint32_t line_count;
    bool adjoining;    /* its lines stand one after another */
    uint8_t verdict;   /* enum writer_verdict, after aws_records_read() */
    size_t bytes;      /* before base64, at most */
    size_t sent_bytes; /* the same exactly, once the body is made */
    uint64_t shard;    /* hash of the shard that the answer names; 0: none */
};

struct aws_records {
    struct budget *memory;
    struct aws_record_limits limits;
    struct aws_record *records; /* AWS_RECORDS_MAX */
    uint32_t count;
    uint32_t line_count;
    struct buf text; /* the lines, and once it is made, the body */
    struct aws_line *lines;
    uint32_t lines_capacity;
    uint64_t body_bytes; /* of the body if it were made now, at most */
    bool made;
    char told[WRITER_ANSWER_BYTES];      /* of the first record that failed */
    uint16_t places[AWS_RECORDS_PLACES]; /* by group: number of a record from 1; 0: free */
};

/* A call of either. */
struct aws_call {
    struct aws_records records;
    uint32_t keys; /* that it was signed with */

    /* Of Kinesis only: */
    uint32_t buckets;     /* those its lines are spread over */
    bool buckets_guessed; /* it was begun before the shards were listed for the first time */
    uint32_t generation;  /* of the shards its lines are gathered by */
};

/* ERR_NOMEM. `limits` is copied. The others are a writer's call_fini(), call_clear(), entry(). */
MUST_CHECK enum err aws_call_init(struct aws_call *call, struct budget *memory,
                                  const struct aws_record_limits *limits);
void aws_call_fini(struct writer *writer, struct writer_call *call);
void aws_call_clear(struct writer *writer, struct writer_call *call);
void aws_call_entry(const struct writer *writer, const struct writer_call *call, uint32_t record,
                    struct writer_entry *ret_entry);

/* Adds the item's line to the record of its group. As a writer's add(); `ret_record`: which. */
enum writer_add aws_records_add(struct aws_records *records, uint64_t group,
                                const struct item *item, uint32_t *ret_record, struct why *why);

/* What would be sent, at most; exact once the body is made. */
uint64_t aws_records_bytes(const struct aws_records *records);

/* --- the body --------------------------------------------------------------------------------- */

struct bytes aws_records_line(const struct aws_records *records, const struct aws_line *line);
/* All lines of a record; a view of the call, or of `scratch`, which then is overwritten. The error
 * of `scratch`. */
MUST_CHECK enum err aws_records_data(const struct aws_records *records, uint32_t record,
                                     struct buf *scratch, struct bytes *ret_data);

/* The buffer in which the bodies of a writer's calls are made. */
void aws_records_body_init(struct buf *body, struct budget *memory,
                           const struct aws_record_limits *limits);
/* `head` is what the body begins with, as far as "[". ERR_NOMEM. */
MUST_CHECK enum err aws_records_begin(const struct aws_records *records, struct buf *body,
                                      struct bytes head);
/* The next record: `data` as it is, `key` as the text of a partition key; empty: it has none. */
void aws_records_put(struct aws_records *records, struct buf *body, uint32_t record,
                     struct bytes data, struct bytes key);
/* Gives up the lines; from now on there is only the body. ERR_NOMEM, ERR_LIMIT: the lines are still
 * there, and it may be begun again. */
MUST_CHECK enum err aws_records_end(struct aws_records *records, struct buf *body);
/* Of a call whose body is made; a view until it is cleared. */
struct bytes aws_records_body(const struct aws_records *records);

/* --- answers ---------------------------------------------------------------------------------- */

/*
 * Reads a verdict for each record from {"list":[{...},...]}. ERR_INPUT: it is no such answer, or
 * not one on as many records; then nothing is known. Records that were stored have an id, others an
 * error.
 */
MUST_CHECK enum err aws_records_read(struct aws_records *records, const char *list,
                                     const struct http_call_answer *answer);
/* The verdict on the whole, from those on the records. */
void aws_records_judge(const struct aws_records *records, struct writer_step *ret_step);
#endif
