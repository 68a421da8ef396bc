/*
 * http_answer.h - private to net's clients: reads header lines of answers, and masks credentials in
 * answers that repeat a request, because their text gets into logs, status pages and dead letters.
 */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies the value of a header line that has this name (any case), cut to fit. False: another name.
 */
bool http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size);
/* Returns the wait that Retry-After asks for (seconds or a date), at most a day; 0 if it is invalid
 * or in the past. */
int64_t http_retry_after_ns(const char *text, int64_t now_s);

/*
 * Overwrites with '*', everywhere in the body, the value of a header of the request, "Name: value",
 * if its name says that it holds a credential: Authorization, tokens, keys, cookies. After "Basic"
 * and "Bearer" only the text that follows is masked. A value of less than 6 bytes is not masked: it
 * occurs in any text.
 */
void http_mask_echo(uint8_t *body, size_t size, const char *header);

#endif
