/*
 * log_kept.h - the last lines of the log, for operators who cannot read standard error.
 *
 * Threads: any, also under locks.
 */
#ifndef BASE_LOG_KEPT_H
#define BASE_LOG_KEPT_H

#include "base/buf.h"
#include "base/log.h"

enum { LOG_KEPT_BYTES_MAX = 512 * 1024 };

/* Keeps a line, which has at most LOG_LINE_BYTES_MAX bytes, in place of the oldest ones. */
void log_kept_put(enum log_level level, int64_t t_ms, const char *line, size_t size);

struct log_kept_line {
    uint64_t number; /* counts the lines of the process from 1 */
    int64_t t_ms;    /* Unix time */
    enum log_level level;
    struct bytes text; /* without the line feed */
};
/* Appends all lines that are kept, at most LOG_KEPT_BYTES_MAX bytes, for log_kept_next(). */
MUST_CHECK enum err log_kept_copy(struct buf *to);
/* Gives the next line, the oldest first, and moves *from past it; a view of it. False after the
 * last. */
bool log_kept_next(struct bytes *from, struct log_kept_line *ret_line);

#endif
