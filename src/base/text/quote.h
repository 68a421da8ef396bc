/* quote.h - writes text in double quotes as Go does, and reads it: printable characters stay, all
 * others are escaped. For string literals, labels and errors. */
#ifndef BASE_TEXT_QUOTE_H
#define BASE_TEXT_QUOTE_H

#include "base/buf.h"

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

#endif
