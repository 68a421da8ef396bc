/* base64_reader.h - decodes base64, which the program only writes. For tests. */
#ifndef LIB_BASE64_READER_H
#define LIB_BASE64_READER_H

#include "base/text/base64.h"

/*
 * Appends the decoded bytes. Refuses characters outside the alphabet, line ends, missing padding,
 * and unused bits that are set: so each sequence of bytes has exactly one text.
 *
 * ERR_INPUT   the text is not base64. `to` is unchanged, as after an error of the buffer.
 */
MUST_CHECK enum err base64_get(struct bytes text, struct buf *to);

#endif
