/*
 * jose.h - the parts that JSON Web Tokens and key sets share: base64url, and JSON with limits. For
 * this folder only.
 */
#ifndef AUTH_JOSE_H
#define AUTH_JOSE_H

#include <jansson.h>

#include "base/buf.h"

/*
 * Appends the bytes of base64url text (RFC 7515, section 2). Each sequence of bytes has exactly one
 * text: padding, other characters and unused bits that are set are refused.
 *
 * ERR_INPUT   the text is not base64url. `to` is unchanged, as after an error of the buffer.
 */
MUST_CHECK enum err base64url_get(struct bytes text, struct buf *to);

/* A JSON object. jansson allocates it without a budget, so the most that it can take is charged. */
struct jose_json {
    json_t *root; /* NULL if nothing was read */
    struct budget *budget;
    uint64_t charged_bytes;
};

/*
 * Reads an object without repeated names, in which at most `value_max` values are nested at most 16
 * deep. `why` names only the fault and its position, not the text.
 *
 * ERR_INPUT, ERR_LIMIT, ERR_NOMEM: `ret` is zero.
 */
MUST_CHECK enum err jose_json_read(struct budget *budget, struct bytes text, uint32_t value_max,
                                   struct jose_json *ret, struct why *why);
void jose_json_fini(struct jose_json *json);

/* Returns a view of the string; `at` is NULL if the value is not a string, or is NULL. */
struct bytes jose_text(const json_t *value);

#endif
