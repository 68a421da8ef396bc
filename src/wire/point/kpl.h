/*
 * kpl.h - many records in one of a Kinesis stream, in the form of the Kinesis Producer Library,
 * which consumers built on the client library, Lambda and Firehose take apart again.
 *
 *     F3 89 9A C2, AggregatedRecord, MD5 of AggregatedRecord (16 bytes)
 *
 *     AggregatedRecord{ partition_key_table=1, explicit_hash_key_table=2, records=3 }
 *     Record{ partition_key_index=1, explicit_hash_key_index=2, data=3, tags=4 }
 *
 * Threads: one at a time for each object.
 */
#ifndef WIRE_POINT_KPL_H
#define WIRE_POINT_KPL_H

#include "base/buf.h"

enum {
    KPL_RECORDS_MAX = 500,    /* as many as Firehose takes apart */
    KPL_KEY_BYTES_MAX = 256,  /* of a partition key, in characters of one byte */
    KPL_BYTES_MAX = 10 << 20, /* the largest record that any stream takes */
    KPL_SEALED_MAX = 500,     /* as many as a call has */
};

/* What is being put together; its memory is kept for the next. */
struct kpl_writer;

/* `bytes_max`: of a finished record, at most KPL_BYTES_MAX; `records_max`: at most KPL_RECORDS_MAX.
 * ERR_NOMEM. */
MUST_CHECK enum err kpl_writer_new(size_t bytes_max, uint32_t records_max, struct budget *budget,
                                   struct kpl_writer **ret_writer);
void kpl_writer_free(struct kpl_writer *writer);
void kpl_writer_clear(struct kpl_writer *writer);

/*
 * ERR_LIMIT   it does not fit beside what is there; into an empty one: it fits into none.
 * ERR_INPUT   the key has not 1 to KPL_KEY_BYTES_MAX bytes.
 * ERR_NOMEM
 * After an error the record is as before.
 */
MUST_CHECK enum err kpl_writer_add(struct kpl_writer *writer, struct bytes partition_key,
                                   struct bytes data);

uint32_t kpl_writer_count(const struct kpl_writer *writer);
/* Of the record, were it finished now. */
size_t kpl_writer_bytes(const struct kpl_writer *writer);

/*
 * Appends the finished record, with zeros for its checksum; more may be added to it afterwards. As
 * partition key of the whole that of any of its records will do. The error of `to`, which then is
 * unchanged.
 */
MUST_CHECK enum err kpl_writer_end(struct kpl_writer *writer, struct buf *to);
/* The checksums of finished records, up to KPL_SEALED_MAX, that stand one after the other: of many
 * at once they cost less. */
void kpl_seal(uint8_t *records, const size_t *sizes, size_t count);

#endif
