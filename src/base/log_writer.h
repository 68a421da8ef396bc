/* log_writer.h - between log.c, which makes lines, and log_writer.c, which writes them. */
#ifndef BASE_LOG_WRITER_H
#define BASE_LOG_WRITER_H

#include "base/log.h"

struct log_text {
    size_t used;
    bool full;    /* something did not fit and was left out */
    int64_t t_ms; /* Unix time of the line */
    char text[LOG_LINE_BYTES_MAX];
};

/* Makes a line in the configured format, with the current time and a line feed. */
void log_format_line(enum log_level level, const char *message, const struct log_kv *fields,
                     struct log_text *line);
/* The file descriptor that lines are written to; -1: none. */
int log_fd(void);

/* Writes a line of at most LOG_LINE_BYTES_MAX bytes, or leaves it to the thread. */
void log_writer_put(const char *line, size_t size);

#endif
