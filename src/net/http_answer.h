/*
 * http_answer.h - private to net's clients: reads header lines of answers, and masks credentials in
 * answers that repeat a request, because their text gets into logs, status pages and dead letters.
 */
#ifndef NET_HTTP_ANSWER_H
#define NET_HTTP_ANSWER_H

#include "base/bytes.h"

/* Copies the value of a header line with this name (any case), cut to fit. False: another name. */
bool http_header_value(const char *line, size_t size, const char *name, char *to, size_t to_size);
/* Returns the wait that Retry-After asks for (seconds or a date), at most a day; 0 if it is invalid
 * or in the past. */
int64_t http_retry_after_ns(const char *text, int64_t now_s);

/* Overwrites with '*', everywhere in the body, the value of a header of the request, "Name: value",
 * if its name says that it holds a credential: Authorization, tokens, keys, cookies. After "Basic"
 * and "Bearer" only the text that follows is masked. A value of less than 6 bytes is not masked: it
 * occurs in any text. For answers that are judged afterwards. */
void http_mask_token(uint8_t *body, size_t size, const char *header);
/* Does more, for a text that is shown: masks the values of all headers but those whose names say
 * that they hold no credential (Content-Type, X-Scope-OrgID and others that this program sets), and
 * the password of Basic. A value is found as it was sent, with escapes of JSON, and
 * percent-encoded; at the end of the text also its beginning, since texts are cut. If there is not
 * enough memory to decode a credential, all of the text is masked. */
void http_mask_echo(uint8_t *text, size_t size, const char *header);
/* Does the same with the values of a form, "name=value&...", that the request had as its body. */
void http_mask_form(uint8_t *text, size_t size, struct bytes form);
/* Does the same with the password in a proxy's URL, as it is and as it is sent; NULL is fine. */
void http_mask_proxy(uint8_t *text, size_t size, const char *proxy_url);

#endif
