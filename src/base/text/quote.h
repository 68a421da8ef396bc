/* quote.h - texts in messages: in double quotes as Go writes and reads them, bounded and harmless
 * for a terminal, or with a caret at the place of an error. */
#ifndef BASE_TEXT_QUOTE_H
#define BASE_TEXT_QUOTE_H

#include "base/buf.h"

/* Text in single quotes, cut to about 60 bytes; characters that could harm a terminal are \xNN or
 * \uNNNN. */
struct shown {
    char text[72];
};
struct shown shown_of(struct bytes text);

/* Appends all of the text in the same way, without quotes. */
void buf_put_shown(struct buf *to, struct bytes text);

/*
 * If the sentence begins with a place in the text, "1:14: ...", appends that line of the text and a
 * caret below it, both in at most `width` characters: a long line is cut on both sides.
 */
void caret_put(struct buf *to, struct bytes text, struct bytes sentence, uint32_t width);

/* --- string literals -------------------------------------------------------------------------- */

/* Written as in Go: printable characters stay, all others are escaped. For literals, labels and
 * errors. */

enum { RUNE_NONE = -1, RUNE_BAD = 0xfffd };

/* Returns the character at `p` and the number of its bytes. A byte that is not part of valid UTF-8
 * is RUNE_BAD, of one byte. `left` is at least 1. */
int32_t rune_get(const uint8_t *p, size_t left, unsigned *ret_bytes);

/* True if the character is printable according to Go, which includes the blank. */
bool rune_is_printable(int32_t rune);

void quote_text(struct buf *to, struct bytes text);
/* Writes a character in single quotes; RUNE_NONE like RUNE_BAD. */
void quote_rune(struct buf *to, int32_t rune);

/* Writes U+0041 'A', with the character only if it is printable. */
void quote_code_point(struct buf *to, int32_t rune);

/* Appends the text of a literal in "", '' or ``. False if it is not a literal. The bytes of \x and
 * octal escapes need not be UTF-8. */
bool quote_read(struct bytes literal, struct buf *to);
/* Reads the rest of an escape after its backslash, in a literal in such quotes. False: it is not an
 * escape; the cursor is where it was noticed. */
bool quote_take_escape(struct cursor *c, uint8_t quote, struct buf *to);

#endif
