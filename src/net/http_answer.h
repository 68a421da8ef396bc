/* http_answer.h - private to net's clients: what the header lines of an answer say. */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a header line if it has this name (any case), cut to fit. */
bool http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size);
/* What Retry-After asks for, seconds or a date, at most a day; 0 where it makes no sense. */
int64_t http_retry_after_ns(const char *text, int64_t now_s);

#endif
