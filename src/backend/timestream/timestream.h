/*
 * timestream.h - shared by the files of destination type `timestream`.
 *
 *     timestream.c         the writer
 *     batch.c              the records of a call, and the request's body
 *     endpoint.c           where requests go and how they are signed
 *     tables.c             the maximum age of samples that a table accepts
 *     timestream_answer.c  responses of Timestream
 *
 * Threads: the thread of the destination.
 */
#ifndef BACKEND_TIMESTREAM_TIMESTREAM_H
#define BACKEND_TIMESTREAM_TIMESTREAM_H

#include "backend/aws/aws.h"
#include "wire/point/timestream_record.h"

enum {
    TIMESTREAM_RECORDS_MAX = 100,    /* records in a call */
    TIMESTREAM_NAME_BYTES_MAX = 256, /* length of the name of a database or table */
    TIMESTREAM_ANSWER_BYTES_MAX = 256 << 10,
};

/* --- batch.c ---------------------------------------------------------------------------------- */

/* The records of one call. Labels that all of them have are written once, as common attributes;
 * these change with every record, but each record is encoded once: see batch.c. */
struct timestream_batch {
    struct {
        uint32_t end;       /* end in `texts` */
        uint32_t left_from; /* position in `left`; the dimensions after it belong to this record */
    } records[TIMESTREAM_RECORDS_MAX];
    uint32_t count;
    struct buf texts;  /* records, one after another */
    struct buf common; /* labels that all records have, canonical */
    struct timestream_size common_size;
    struct buf left;        /* dimensions that were common once, each after a comma */
    uint64_t left_bytes;    /* their size in the body, once for each record that has them */
    uint64_t counted_bytes; /* size as Timestream counts it, without common attributes */
};

/* Memory for adding, shared by all batches of a writer. */
struct timestream_scratch {
    struct buf own;     /* canonical labels that only the new record has */
    struct buf staying; /* labels that are still common */
    struct buf leaving; /* labels that are no longer common */
    struct buf list;    /* dimensions made of `staying` or `leaving` */
    struct buf record;
};

/* The form of all records of a destination. */
struct timestream_form {
    uint64_t version; /* 0 if records have none */
    bool keep_colons;
};

void timestream_scratch_init(struct timestream_scratch *scratch, struct budget *memory);
void timestream_scratch_fini(struct timestream_scratch *scratch);

void timestream_batch_init(struct timestream_batch *batch, struct budget *memory);
void timestream_batch_fini(struct timestream_batch *batch);
void timestream_batch_clear(struct timestream_batch *batch);

/* Adds a sample as a record, whose index is the count before. Unless it returns WRITER_ADDED the
 * batch is unchanged. WRITER_FULL: there are TIMESTREAM_RECORDS_MAX, or the record has so little in
 * common with the others that a call of its own costs less. WRITER_UNFIT: `why` has the reason. */
enum writer_add timestream_batch_add(struct timestream_batch *batch,
                                     struct timestream_scratch *scratch,
                                     const struct timestream_form *form, const struct item *item,
                                     struct why *why);

/* The approximate size of the body. */
uint64_t timestream_batch_bytes(const struct timestream_batch *batch);
/* Kibibytes billed for the call. */
uint64_t timestream_batch_kib(const struct timestream_batch *batch);

/* Appends the body of WriteRecords. The names need no escapes in JSON. ERR_NOMEM, ERR_LIMIT: those
 * of `to`. */
MUST_CHECK enum err timestream_batch_put(const struct timestream_batch *batch, const char *database,
                                         const char *table, struct buf *to);

/* --- endpoint.c ------------------------------------------------------------------------------- */

/* Credentials, and the address of Timestream. */
struct timestream_client;

/* The keys and address of a request, so that a refusal does not count against later ones. */
struct timestream_ticket {
    uint32_t keys;
    uint32_t address;
};

/* Sends nothing. ERR_NOMEM; errors of aws_region() and aws_endpoint(). */
MUST_CHECK enum err timestream_client_new(const struct writer_options *options,
                                          struct timestream_client **ret_client, struct why *why);
/* All calls have ended. */
void timestream_client_free(struct timestream_client *client);

/* Unix time, corrected by AWS if the clock is wrong. */
int64_t timestream_client_now_ms(const struct timestream_client *client);

/* need_prepare() and prepare() of a writer: credentials, then the address. */
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
/* Judges as aws_json_judge() does, and learns time, keys and address from the response. */
void timestream_client_judge(struct timestream_client *client,
                             const struct http_call_answer *answer,
                             const struct timestream_ticket *ticket, struct writer_step *ret_step);

/* --- tables.c --------------------------------------------------------------------------------- */

/* Properties of the tables that samples from the store go to. */
struct timestream_tables;

/* Sends nothing. `client` outlives it. ERR_NOMEM. */
MUST_CHECK enum err timestream_tables_new(const struct writer_options *options,
                                          struct timestream_client *client,
                                          struct timestream_tables **ret_tables);
/* All queries have ended. */
void timestream_tables_free(struct timestream_tables *tables);

/* The oldest time that the table accepts now (Unix ms); INT64_MIN if it accepts all times, or that
 * is unknown. Makes a query due if it is unknown or outdated. ERR_NOMEM. */
MUST_CHECK enum err timestream_tables_oldest(struct timestream_tables *tables, const char *database,
                                             const char *table, int64_t *ret_oldest_ms);
/* Parts of need_prepare() and prepare() of a writer: query one table after another. */
bool timestream_tables_due(const struct timestream_tables *tables);
void timestream_tables_prepare(struct timestream_tables *tables,
                               const struct http_call_answer *answer, struct writer_step *ret_step);

/* Appends a request with the names of a table, and `more` after them. The names need no escapes in
 * JSON. Errors are those of `to`. */
MUST_CHECK enum err timestream_table_request_put(struct buf *to, const char *database,
                                                 const char *table, const char *more);
/* Puts the table's name before the sentence of a step. */
void timestream_table_named(const char *database, const char *table, struct writer_step *step);

/* --- timestream_answer.c ---------------------------------------------------------------------- */

/* True if the body is a complete object, as of a success. */
bool timestream_is_answer(struct bytes body);

/* Refused records, by their index. */
struct timestream_rejections {
    struct {
        const char *reason; /* one word; NULL if the record was stored */
        uint32_t from;      /* position in `texts` of Timestream's own words */
        uint32_t size;
    } of[TIMESTREAM_RECORDS_MAX];
    struct buf texts;
};
void timestream_rejections_init(struct timestream_rejections *rejections, struct budget *memory);
void timestream_rejections_fini(struct timestream_rejections *rejections);

/* Reads a RejectedRecordsException about `count` records. ERR_INPUT: it does not say which were
 * refused; ERR_NOMEM. After an error the result must not be used. */
MUST_CHECK enum err timestream_rejections_read(struct timestream_rejections *rejections,
                                               struct bytes body, uint32_t count);

/* Reads the first usable address of a response to DescribeEndpoints, as an endpoint for aws_sign(),
 * and how long it may be kept. ERR_INPUT: there is none. */
MUST_CHECK enum err timestream_address_read(struct bytes body,
                                            char ret_endpoint[AWS_ENDPOINT_BYTES],
                                            int64_t *ret_keep_ms, struct why *why);

/* Properties of a table from a response to DescribeTable. */
struct timestream_table {
    bool is_active;   /* it accepts records */
    int64_t takes_ms; /* accepted age; INT64_MAX if missing */
    char text[WRITER_ANSWER_BYTES];
};
/* ERR_INPUT: it is invalid. */
MUST_CHECK enum err timestream_table_read(struct bytes body, struct timestream_table *ret_table);

#endif
