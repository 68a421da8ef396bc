/*
 * kinesis.h - the parts that the writers of kinesis and firehose share: calls of records, an AWS
 * stream that takes them with a verdict on each, and the shards of a stream.
 *
 * Threads: one, as for a writer.
 */
#ifndef BACKEND_KINESIS_KINESIS_H
#define BACKEND_KINESIS_KINESIS_H

#include "backend/aws/aws.h"

/* --- records ---------------------------------------------------------------------------------- */

/*
 * Calls of up to 500 records, each with one or more lines of NDJSON, and a verdict for each record.
 *
 *     aws_call_clear() -> aws_records_add()... -> aws_records_begin(), _put() for each, _end()
 *     -> the body is sent -> aws_records_read(answer) -> aws_records_judge()
 *
 * Lines keep their order; those of one `group` become one record, so that they are stored together,
 * in order, or not at all. Once the body is made the lines are dropped. It is made in a buffer that
 * all calls of a writer share, which is then swapped with that of the lines: so a call has only one
 * buffer, and buffers are never freed.
 */
enum {
    AWS_RECORDS_MAX = 500,
    AWS_RECORDS_PLACES = 1024, /* a power of two, at least twice AWS_RECORDS_MAX */
    AWS_RECORDS_ANSWER_BYTES_MAX = 512 << 10,
};

struct aws_record_limits {
    uint32_t lines;          /* per record */
    size_t record_bytes_max; /* before base64; a single line may make a record this large */
    size_t record_bytes;     /* the same for several lines, at most record_bytes_max */
    size_t frame_bytes;      /* upper bound for bytes of a record besides its lines */
    size_t line_frame_bytes; /* upper bound for bytes of each line besides itself */
    size_t head_bytes;       /* upper bound for bytes of the body besides its records */
    size_t entry_bytes;      /* upper bound for bytes of the body per record besides its data */
    size_t call_bytes_max;   /* for the body; a record of record_bytes_max fits */
    const char *what;        /* for people: "a record of the stream" */
};

struct aws_line {
    uint64_t series;
    uint32_t at; /* offset in the text */
    uint32_t size;
    uint32_t next; /* next line of the record; AWS_LINE_NONE: the last */
};
enum { AWS_LINE_NONE = UINT32_MAX };

struct aws_record {
    uint64_t group;
    uint32_t first; /* line */
    uint32_t last;
    uint32_t line_count;
    bool adjoining;    /* its lines are contiguous */
    uint8_t verdict;   /* enum writer_verdict, after aws_records_read() */
    size_t bytes;      /* upper bound of the size before base64 */
    size_t sent_bytes; /* the same, exact once the body is made */
    uint64_t shard;    /* hash of the shard that the answer names; 0: none */
};

struct aws_records {
    struct budget *memory;
    struct aws_record_limits limits;
    struct aws_record *records; /* AWS_RECORDS_MAX */
    uint32_t count;
    uint32_t line_count;
    struct buf text; /* the lines or, once it is made, the body */
    struct aws_line *lines;
    uint32_t lines_capacity;
    uint64_t body_bytes; /* upper bound for the body made from the current lines */
    bool made;
    char error[WRITER_ANSWER_BYTES];     /* the error of the first record that failed */
    uint16_t places[AWS_RECORDS_PLACES]; /* hash table by group: number of a record from 1, or 0 */
};

/* A call of either type. */
struct aws_call {
    struct aws_records records;
    uint32_t keys; /* number of the keys that signed it */

    /* For Kinesis only: */
    uint32_t buckets;     /* over which its lines are spread */
    bool buckets_guessed; /* the call was begun before the first list of shards */
    uint32_t generation;  /* generation of the shards that its lines are grouped by */
};

/* ERR_NOMEM. `limits` is copied. The others are a writer's call_fini(), call_clear(), entry(). */
MUST_CHECK enum err aws_call_init(struct aws_call *call, struct budget *memory,
                                  const struct aws_record_limits *limits);
void aws_call_fini(struct writer *writer, struct writer_call *call);
void aws_call_clear(struct writer *writer, struct writer_call *call);
void aws_call_entry(const struct writer *writer, const struct writer_call *call, uint32_t record,
                    struct writer_entry *ret_entry);

/* Adds the item's line to the record of its group, as a writer's add(). `ret_record`: that
 * record. */
enum writer_add aws_records_add(struct aws_records *records, uint64_t group,
                                const struct item *item, uint32_t *ret_record, struct why *why);

/* Returns an upper bound for the bytes sent; exact once the body is made. */
uint64_t aws_records_bytes(const struct aws_records *records);

/* Returns a line as it was added; a view until the call is cleared. */
struct bytes aws_records_line(const struct aws_records *records, const struct aws_line *line);
/* Returns all lines of a record; a view of the call, or of `scratch`, which then is overwritten.
 * The error of `scratch`. */
MUST_CHECK enum err aws_records_data(const struct aws_records *records, uint32_t record,
                                     struct buf *scratch, struct bytes *ret_data);

/* The buffer in which the bodies of a writer's calls are made. */
void aws_records_body_init(struct buf *body, struct budget *memory,
                           const struct aws_record_limits *limits);
/* Begins the body with `head`, up to "[". ERR_NOMEM. */
MUST_CHECK enum err aws_records_begin(const struct aws_records *records, struct buf *body,
                                      struct bytes head);
/* Adds the next record: `data` raw, `key` as the text of a partition key; empty: no key. */
void aws_records_put(struct aws_records *records, struct buf *body, uint32_t record,
                     struct bytes data, struct bytes key);
/* Replaces the lines by the body. ERR_NOMEM, ERR_LIMIT: the lines are unchanged, and the body
 * may be begun again. */
MUST_CHECK enum err aws_records_end(struct aws_records *records, struct buf *body);
/* Returns the body, once it is made; a view until the call is cleared. */
struct bytes aws_records_body(const struct aws_records *records);

/*
 * Reads a verdict for each record from {"list":[{...},...]}. ERR_INPUT: not such an answer, or for
 * another number of records; then nothing is known. Records that were stored have an id, others an
 * error.
 */
MUST_CHECK enum err aws_records_read(struct aws_records *records, const char *list,
                                     const struct http_call_answer *answer);
/* Makes the verdict on the call from those on the records. */
void aws_records_judge(const struct aws_records *records, struct writer_step *ret_step);

/* --- streams ---------------------------------------------------------------------------------- */

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

/* --- shards ----------------------------------------------------------------------------------- */

/*
 * The shards of a stream, and the shard of a partition key: the MD5 of a key is a number
 * of 128 bits, and each shard has a range of them.
 *
 *     kinesis_shards_begin() -> kinesis_shards_read() for each page of ListShards -> _end()
 *
 * Until _end() the old list stays in use.
 */
enum {
    KINESIS_TOKEN_BYTES_MAX = 64 << 10,
    KINESIS_PAGE_SHARDS = 1000,
    KINESIS_PAGE_BYTES_MAX = 1 << 20, /* for the answer with a page */
};

struct kinesis_shards;
/* ERR_NOMEM. */
MUST_CHECK enum err kinesis_shards_new(struct budget *memory, struct kinesis_shards **ret_shards);
void kinesis_shards_free(struct kinesis_shards *shards);

/* Begins a new list, and drops an unfinished one. */
void kinesis_shards_begin(struct kinesis_shards *shards);
/*
 * Parses one page. Closed shards are skipped. `ret_token`: the token for the next page is appended;
 * nothing at the end. ERR_INPUT: not such a page; ERR_LIMIT: too many shards, or a token that is
 * too long; ERR_NOMEM.
 */
MUST_CHECK enum err kinesis_shards_read(struct kinesis_shards *shards, struct bytes answer,
                                        struct buf *ret_token, struct why *why);
/* Replaces the known list by the new one. ERR_AGAIN: its shards do not cover all keys without
 * overlap, which may happen briefly during a resharding. */
MUST_CHECK enum err kinesis_shards_end(struct kinesis_shards *shards, struct why *why);

/* Returns 0 if the shards are not known. */
uint32_t kinesis_shards_count(const struct kinesis_shards *shards);
/* Returns 0 if the shards are not known; the number changes whenever they do. */
uint32_t kinesis_shards_generation(const struct kinesis_shards *shards);
/* Returns the number of the key's shard, below the count; 0 if the shards are not known. */
uint32_t kinesis_shards_find(const struct kinesis_shards *shards, struct bytes key);
/* Returns the id of a shard: hash_bytes() of its text, with seed 0. */
uint64_t kinesis_shards_id(const struct kinesis_shards *shards, uint32_t shard);
/* True if a shard has this id. */
bool kinesis_shards_knows(const struct kinesis_shards *shards, uint64_t id);

#endif
