/*
 * rows.h - the rows of a response in the format RowBinary, read as they arrive. Private to
 * backend/clickhouse.
 *
 * Each row begins with a UInt8: 0, or 1 in the last row, which ends every complete response:
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

/* Kinds of the columns after the first. */
enum rows_kind { ROWS_TEXT = 't', ROWS_NUMBER = 'n', ROWS_NUMBERS = 'N', ROWS_TEXTS = 'T' };

enum { ROWS_TAIL_BYTES = 4096, ROWS_DRAIN_BYTES = 64 * 1024 };

struct rows {
    /* More of the response, a view until the next call; empty after its regular end. */
    enum err (*more)(void *context, struct bytes *ret_piece, struct why *why);
    void *context;
    const char *kinds;  /* letters of enum rows_kind, one per column */
    struct bytes piece; /* the unread rest of the last piece */
    struct buf rest;    /* a value that continues in the next piece */
    bool ended;
    enum err failed;
    struct why why;
    /* The end of the response, where a late error is. */
    uint8_t tail[ROWS_TAIL_BYTES];
    size_t tail_size;
};

void rows_init(struct rows *rows, struct budget *budget);
void rows_fini(struct rows *rows);
/* Called before the first row of a response. */
void rows_begin(struct rows *rows, const char *kinds,
                enum err (*more)(void *context, struct bytes *ret_piece, struct why *why),
                void *context);

/* False after the last row, or after a failure. */
bool rows_next(struct rows *rows);
/* A view until the next call. */
struct bytes rows_text(struct rows *rows);
uint64_t rows_number(struct rows *rows);
/* The number of items of an array. ERR_FULL: more than `max`. */
uint32_t rows_count(struct rows *rows, uint32_t max);
/* Reads an array of numbers of 8 bytes into `to`, which is cleared. Returns how many. */
uint32_t rows_numbers(struct rows *rows, uint32_t max, struct buf *to);

/* Called after ERR_CORRUPT: reads the rest, or much of it, so that the tail has the end. */
void rows_drain(struct rows *rows);

#endif
