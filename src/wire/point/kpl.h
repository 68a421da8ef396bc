/*
 * kpl.h - many records in one Kinesis record, in the format of the Kinesis Producer Library, which
 * consumers built on the client library, Lambda and Firehose unpack.
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
    KPL_RECORDS_MAX = 500,    /* limit of Firehose */
    KPL_KEY_BYTES_MAX = 256,  /* limit of a partition key, in one-byte characters */
    KPL_BYTES_MAX = 10 << 20, /* the largest record that any stream accepts */
    KPL_SEALED_MAX = 500,     /* records of one call */
};

/* A record being written; keeps its memory for the next record. */
struct kpl_writer;

/* `bytes_max`: size of a finished record, at most KPL_BYTES_MAX; `records_max`: at most
 * KPL_RECORDS_MAX. ERR_NOMEM. */
MUST_CHECK enum err kpl_writer_new(size_t bytes_max, uint32_t records_max, struct budget *budget,
                                   struct kpl_writer **ret_writer);
void kpl_writer_free(struct kpl_writer *writer);
void kpl_writer_clear(struct kpl_writer *writer);

/*
 * Adds a record.
 * ERR_LIMIT   it does not fit with the others; if there are none, it never fits.
 * ERR_INPUT   the key does not have 1 to KPL_KEY_BYTES_MAX bytes.
 * ERR_NOMEM
 * After an error the record is unchanged.
 */
MUST_CHECK enum err kpl_writer_add(struct kpl_writer *writer, struct bytes partition_key,
                                   struct bytes data);

/* Returns the number of records. */
uint32_t kpl_writer_count(const struct kpl_writer *writer);
/* Returns the size that kpl_writer_end() would give now. */
size_t kpl_writer_bytes(const struct kpl_writer *writer);

/* Appends the finished record with a zero checksum; more records may be added afterwards. The
 * partition key of any of its records can be the partition key of the whole. The error of `to`,
 * which then is unchanged. */
MUST_CHECK enum err kpl_writer_end(struct kpl_writer *writer, struct buf *to);
/* Sets the checksums of up to KPL_SEALED_MAX finished records that follow each other: many at once
 * cost less. */
void kpl_seal(uint8_t *records, const size_t *sizes, size_t count);

#endif
