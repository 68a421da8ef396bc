/*
 * base64_reader.h - base64 read back. For tests: nobody sends us any.
 */
#ifndef LIB_BASE64_READER_H
#define LIB_BASE64_READER_H

#include "base/base64.h"

/*
 * Appends what `text` stands for. Strict: no other characters, no line ends, all of the padding,
 * and no bits set that stand for nothing; so each sequence of bytes has one text only.
 * ERR_INPUT; else the error of the buffer. `to` is unchanged then.
 */
MUST_CHECK enum err base64_get(struct bytes text, struct buf *to);

#endif
