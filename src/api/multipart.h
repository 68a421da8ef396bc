/*
 * multipart.h - private to api/: a form sent as multipart/form-data (RFC 7578), as far as
 * Prometheus takes it: parts that are fields. Pure: bytes in, views out. A decoder of foreign
 * bytes: multipart_fuzz.c.
 */
#ifndef API_MULTIPART_H
#define API_MULTIPART_H

#include "base/bytes.h"
#include "base/err.h"

enum { MULTIPART_BOUNDARY_BYTES_MAX = 70 };

struct multipart {
    struct bytes left; /* of the body, from the end of a delimiter's line on */
    char delimiter[MULTIPART_BOUNDARY_BYTES_MAX + 4];
    bool lf; /* lines end in LF alone, as Go takes them, too */
    bool over;
};

/* True if the Content-Type is that of such a form. */
bool multipart_is_type(const char *content_type);
/* Finds the boundary, and the first delimiter in `body`. ERR_INPUT: the body is not such a form. */
MUST_CHECK enum err multipart_begin(struct multipart *m, const char *content_type,
                                    struct bytes body, struct why *why);
/*
 * The next field: views of the body; the name may have escapes, see multipart_unquote(). Files,
 * and parts without a name, are passed over. *ret_value.at is NULL: there are no more. ERR_INPUT: a
 * part is cut off or malformed, or encoded in a way that nothing sends any more.
 */
MUST_CHECK enum err multipart_next(struct multipart *m, struct bytes *ret_name,
                                   struct bytes *ret_value, struct why *why);
/* Copies a name without its escapes; `to` has room for its size. Returns the bytes written. */
size_t multipart_unquote(struct bytes name, uint8_t *to);

#endif
