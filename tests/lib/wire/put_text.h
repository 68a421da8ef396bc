/* put_text.h - the result of a function that appends a text to a buffer. */
#ifndef LIB_WIRE_PUT_TEXT_H
#define LIB_WIRE_PUT_TEXT_H

#include "base/buf.h"
#include "base/err.h"

/* Checks that what follows the first byte of `to` is `expected`; if that is NULL, that `e` is
 * ERR_INPUT with a message, and nothing follows. Releases `to`. */
void expect_put(struct buf *to, enum err e, const struct why *why, const char *expected);

#endif
