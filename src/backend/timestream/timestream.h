/*
 * timestream.h - what the files of destination type `timestream` share.
 *
 *     timestream.c  the writer
 *     batch.c       the records of a call, and the request's body
 *     endpoint.c    where requests go and how they are signed
 *     tables.c      how old a sample may be that a table takes
 *     answer.c      what Timestream's answers say
 *
 * Threads: all of one destination belongs to its thread.
 */
#ifndef BACKEND_TIMESTREAM_TIMESTREAM_H
#define BACKEND_TIMESTREAM_TIMESTREAM_H

#include "backend/aws/caller.h"
#include "wire/point/timestream_record.h"

enum {
    TIMESTREAM_RECORDS_MAX = 100,    /* of a call */
    TIMESTREAM_NAME_BYTES_MAX = 256, /* of a database, of a table */
    TIMESTREAM_ANSWER_BYTES_MAX = 256 << 10,
};

/* --- batch.c ----------------------------------------------------------------------- */

/*
 * The records of one call. Labels that all of them have are written once, as common attributes;
 * which those are changes with every record that comes, and no record is written twice for it: the
 * .c file says how.
 */
struct timestream_batch {
    struct {
        uint32_t end;       /* in `texts` */
        uint32_t left_from; /* in `left`: what follows is this record's, too */
    } records[TIMESTREAM_RECORDS_MAX];
    uint32_t count;
    struct buf texts;  /* records, one after another */
    struct buf common; /* labels that all have, canonical */
    struct timestream_size common_size;
    struct buf left;        /* dimensions that were common once, each after a comma */
    uint64_t left_bytes;    /* what they take in the body: once a record that has them */
    uint64_t counted_bytes; /* as Timestream counts, without what is common */
};

/* What adding needs for the moment: one for all batches of a writer. */
struct timestream_scratch {
    struct buf own;     /* labels, canonical: of the new record alone; */
    struct buf staying; /* common still; */
    struct buf leaving; /* not common any more */
    struct buf list;    /* dimensions of these */
    struct buf record;
};

/* How all records of a destination are written. */
struct timestream_form {
    uint64_t version; /* 0: none is written */
    bool keep_colons;
};

void timestream_scratch_init(struct timestream_scratch *scratch, struct budget *memory);
void timestream_scratch_fini(struct timestream_scratch *scratch);

void timestream_batch_init(struct timestream_batch *batch, struct budget *memory);
void timestream_batch_fini(struct timestream_batch *batch);
void timestream_batch_clear(struct timestream_batch *batch);

/*
 * Adds a sample as a record, whose index is the count before. Unless it is WRITER_ADDED the batch
 * is as before. WRITER_FULL: there are TIMESTREAM_RECORDS_MAX, or the record has so little in
 * common with the others that a call of its own costs less. WRITER_UNFIT: `why` says why.
 */
enum writer_add timestream_batch_add(struct timestream_batch *batch,
                                     struct timestream_scratch *scratch,
                                     const struct timestream_form *form, const struct item *item,
                                     struct why *why);

/* About what the body will take. */
uint64_t timestream_batch_bytes(const struct timestream_batch *batch);
/* Kibibytes that are billed for the call. */
uint64_t timestream_batch_kib(const struct timestream_batch *batch);

/* Appends the body of WriteRecords. The names need no escapes in JSON. ERR_NOMEM, ERR_LIMIT: those
 * of `to`. */
MUST_CHECK enum err timestream_batch_put(const struct timestream_batch *batch, const char *database,
                                         const char *table, struct buf *to);

/* --- endpoint.c -------------------------------------------------------------------- */

/* Who we are for Timestream, and where it is. */
struct timestream_client;

/* What a request was made with, so that a refusal is not held against what has come since. */
struct timestream_ticket {
    uint32_t keys;
    uint32_t address;
};

/* Asks for nothing yet. ERR_NOMEM; errors of aws_region() and aws_endpoint(). */
MUST_CHECK enum err timestream_client_new(const struct writer_options *options,
                                          struct timestream_client **ret_client, struct why *why);
/* No call may be under way. */
void timestream_client_free(struct timestream_client *client);

/* Unix time, as AWS has it if ours was found to be wrong. */
int64_t timestream_client_now_ms(const struct timestream_client *client);

/* A writer's need_prepare() and prepare(): credentials, then the address to send to. */
bool timestream_client_due(const struct timestream_client *client);
void timestream_client_prepare(struct timestream_client *client,
                               const struct http_call_answer *answer, struct writer_step *ret_step);

/*
 * Makes a request of an operation ("WriteRecords"), as aws_caller_call(): WRITER_SEND. Or
 * WRITER_DONE: VERDICT_UNPREPARED, VERDICT_RETRY (memory), VERDICT_BLOCKED (configuration).
 */
void timestream_client_begin(struct timestream_client *client, const char *operation,
                             struct bytes body, struct timestream_ticket *ret_ticket,
                             struct writer_step *ret_step);
/* aws_json_judge(); and what is to be learnt from the answer is learnt. */
void timestream_client_judge(struct timestream_client *client,
                             const struct http_call_answer *answer,
                             const struct timestream_ticket *ticket, struct writer_step *ret_step);

/* --- tables.c ---------------------------------------------------------------------- */

/* What is known of the tables that samples from the store go to. */
struct timestream_tables;

/* Asks for nothing yet. `client` outlives it. ERR_NOMEM. */
MUST_CHECK enum err timestream_tables_new(const struct writer_options *options,
                                          struct timestream_client *client,
                                          struct timestream_tables **ret_tables);
/* No question may be under way. */
void timestream_tables_free(struct timestream_tables *tables);

/*
 * The oldest time that the table takes now (Unix ms); INT64_MIN: it takes everything, or that is
 * not known. If it is not known yet, or not any more, it is due to be asked. ERR_NOMEM.
 */
MUST_CHECK enum err timestream_tables_oldest(struct timestream_tables *tables, const char *database,
                                             const char *table, int64_t *ret_oldest_ms);
/* A part of a writer's need_prepare() and prepare(): asks about one table after another. */
bool timestream_tables_due(const struct timestream_tables *tables);
void timestream_tables_prepare(struct timestream_tables *tables,
                               const struct http_call_answer *answer, struct writer_step *ret_step);

/* A request with the names of a table, and after them `more`. The names need no escapes in JSON.
 * Errors are those of `to`. */
MUST_CHECK enum err timestream_table_request_put(struct buf *to, const char *database,
                                                 const char *table, const char *more);
/* Puts the table's name before what is said about it. */
void timestream_table_named(const char *database, const char *table, struct writer_step *step);

/* --- answer.c ---------------------------------------------------------------------- */

/* Whether this is what the service says of success: an object, with all of it there. */
bool timestream_is_answer(struct bytes body);

/* Records that were refused, by their index. */
struct timestream_rejections {
    struct {
        const char *reason; /* one word; NULL: it was stored */
        uint32_t from;      /* in `texts`, Timestream's own words */
        uint32_t size;
    } of[TIMESTREAM_RECORDS_MAX];
    struct buf texts;
};
void timestream_rejections_init(struct timestream_rejections *rejections, struct budget *memory);
void timestream_rejections_fini(struct timestream_rejections *rejections);

/*
 * Reads a RejectedRecordsException about `count` records. ERR_INPUT: it does not say which
 * were refused; ERR_NOMEM. After an error nothing is to be made of what was read.
 */
MUST_CHECK enum err timestream_rejections_read(struct timestream_rejections *rejections,
                                               struct bytes body, uint32_t count);

/* The first usable address of an answer to DescribeEndpoints, as an endpoint for aws_sign(), and
 * how long it may be kept. ERR_INPUT: there is none. */
MUST_CHECK enum err timestream_address_read(struct bytes body,
                                            char ret_endpoint[AWS_ENDPOINT_BYTES],
                                            int64_t *ret_keep_ms, struct why *why);

/* What an answer to DescribeTable says of the table. */
struct timestream_table {
    bool is_active;   /* it takes records */
    int64_t takes_ms; /* of the past; INT64_MAX: that was not said */
    char text[WRITER_ANSWER_BYTES];
};
/* ERR_INPUT: it is invalid. */
MUST_CHECK enum err timestream_table_read(struct bytes body, struct timestream_table *ret_table);

#endif
