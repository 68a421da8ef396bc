/*
 * rows.h - the rows of an answer in the format RowBinary, read as they come. Private to
 * backend/clickhouse.
 *
 * Each row begins with a UInt8: 0, or 1 of the last row, which ends every answer that is whole:
 *
 *     while (rows_next(&rows)) ... rows_text(&rows), rows_array(&rows, ...)
 *
 * Like a cursor: once something is wrong, `failed` says what kind and `why` in words, and all later
 * calls do nothing and give empty results. The last row has the columns of all others; rows_next()
 * steps over them.
 *
 * Threads: one.
 */
#ifndef BACKEND_CLICKHOUSE_ROWS_H
#define BACKEND_CLICKHOUSE_ROWS_H

#include "base/buf.h"
#include "base/err.h"

/* As enum column_kind ... of each column behind the first, for the last row. */
enum rows_kind { ROWS_TEXT = 't', ROWS_NUMBER = 'n', ROWS_NUMBERS = 'N', ROWS_TEXTS = 'T' };

enum { ROWS_TAIL_BYTES = 4096, ROWS_DRAIN_BYTES = 64 * 1024 };

struct rows {
    /* More of the answer, a view until the next call; empty: it ended in order. */
    enum err (*more)(void *context, struct bytes *ret_piece, struct why *why);
    void *context;
    const char *kinds;  /* of the columns: letters of enum rows_kind */
    struct bytes piece; /* what of the last one is not read */
    struct buf rest;    /* what is wanted whole and came in several */
    bool ended;
    enum err failed;
    struct why why;
    /* The end of what came, where a late error stands. */
    uint8_t tail[ROWS_TAIL_BYTES];
    size_t tail_size;
};

void rows_init(struct rows *rows, struct budget *budget);
void rows_fini(struct rows *rows);
/* Before the first row of an answer. */
void rows_begin(struct rows *rows, const char *kinds,
                enum err (*more)(void *context, struct bytes *ret_piece, struct why *why),
                void *context);

/* False: there are no more, or it failed. */
bool rows_next(struct rows *rows);
/* A view until the next call. */
struct bytes rows_text(struct rows *rows);
uint64_t rows_number(struct rows *rows);
/* How many items an array has. ERR_FULL: more than `max`. */
uint32_t rows_count(struct rows *rows, uint32_t max);
/* An array of numbers of 8 bytes, into `to`, which is cleared. Returns how many. */
uint32_t rows_numbers(struct rows *rows, uint32_t max, struct buf *to);

/* After ERR_CORRUPT: what is left is read, not all if it is much, so that the tail has the end. */
void rows_drain(struct rows *rows);

#endif
