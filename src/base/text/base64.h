/*
 * base64.h - base64 with the standard alphabet and padding (RFC 4648, section 4), straight into a
 * buffer.
 */
#ifndef BASE_TEXT_BASE64_H
#define BASE_TEXT_BASE64_H

#include "base/buf.h"

/* Returns the length of so many bytes in base64. */
static inline size_t
base64_size(size_t bytes)
{
    return (bytes / 3 + (bytes % 3 != 0)) * 4;
}

/* Appends the text. Without memory buf_error(to) says so, and `to` is unchanged. */
void base64_put(struct buf *to, struct bytes from);
/*
 * Appends the decoded bytes. Refuses characters outside the alphabet, line ends, missing padding,
 * and unused bits that are set: so each sequence of bytes has exactly one text.
 *
 * ERR_INPUT   the text is not base64. `to` is unchanged, as after an error of the buffer.
 */
MUST_CHECK enum err base64_get(struct bytes text, struct buf *to);

#endif
