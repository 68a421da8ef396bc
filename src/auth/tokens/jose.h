/* jose.h - base64url, which JSON Web Tokens and key sets share. For this folder only. */
#ifndef AUTH_TOKENS_JOSE_H
#define AUTH_TOKENS_JOSE_H

#include "base/buf.h"

/*
 * Appends the bytes of base64url text (RFC 7515, section 2). Each sequence of bytes has exactly one
 * text: padding, other characters and unused bits that are set are refused.
 *
 * ERR_INPUT   the text is not base64url. `to` is unchanged, as after an error of the buffer.
 */
MUST_CHECK enum err base64url_get(struct bytes text, struct buf *to);

#endif
