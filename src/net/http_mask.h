/*
 * http_mask.h - takes credentials out of an answer that repeats what was sent: its words end in
 * logs, on status pages and beside dead letters.
 */
#ifndef NET_HTTP_MASK_H
#define NET_HTTP_MASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Overwrites with '*', wherever it stands in the body, the value of a header of the request, "Name:
 * value", if by its name it holds a credential: Authorization, tokens, keys, cookies. Of "Basic
 * ..." and "Bearer ..." what follows the word. A value of less than 6 bytes stays: it is in any
 * text.
 */
void http_mask_echo(uint8_t *body, size_t size, const char *header);

#endif
