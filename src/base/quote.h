/*
 * quote.h - text in double quotes as Go writes it, and read back: what is printable stands for
 * itself, all else is escaped. For string literals, labels and errors.
 */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/buf.h"

enum { RUNE_NONE = -1, RUNE_BAD = 0xfffd };

/* The character that begins at `p`, and how many bytes it has. A byte that is not part of valid
 * UTF-8 is RUNE_BAD, of one byte. `left` is at least 1. */
int32_t rune_get(const uint8_t *p, size_t left, unsigned *ret_bytes);

/* Whether Go counts it as printable, a blank included. */
bool rune_is_printable(int32_t rune);

void quote_text(struct buf *to, struct bytes text);
/* In single quotes; RUNE_NONE as RUNE_BAD. */
void quote_rune(struct buf *to, int32_t rune);

/* U+0041 'A'; the character only if it is printable. */
void quote_code_point(struct buf *to, int32_t rune);

/*
 * What a literal in "", '' or `` stands for, appended to `to`. False: not a literal. The bytes of
 * \x and octal escapes need not be UTF-8.
 */
bool quote_read(struct bytes literal, struct buf *to);

#endif
