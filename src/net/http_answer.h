/*
 * http_answer.h - private to net's clients: what the header lines of an answer say; and credentials
 * are taken out of an answer that repeats what was sent: its words end in logs, on status pages and
 * beside dead letters.
 */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of a header line if it has this name (any case), cut to fit. */
bool http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size);
/* What Retry-After asks for, seconds or a date, at most a day; 0 where it makes no sense. */
int64_t http_retry_after_ns(const char *text, int64_t now_s);

/*
 * Overwrites with '*', wherever it stands in the body, the value of a header of the request, "Name:
 * value", if by its name it holds a credential: Authorization, tokens, keys, cookies. Of "Basic
 * ..." and "Bearer ..." what follows the word. A value of less than 6 bytes stays: it is in any
 * text.
 */
void http_mask_echo(uint8_t *body, size_t size, const char *header);

#endif
