/* caret.h - shows the place of an error in an expression. */
#ifndef BASE_TEXT_CARET_H
#define BASE_TEXT_CARET_H

#include "base/buf.h"

/*
 * If the sentence begins with a place in the text, "1:14: ...", appends that line of the text and a
 * caret below it, both in at most `width` characters: a long line is cut on both sides.
 */
void caret_put(struct buf *to, struct bytes text, struct bytes sentence, uint32_t width);

#endif
