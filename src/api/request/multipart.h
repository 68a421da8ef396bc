/*
 * multipart.h - private to api/: reads a form sent as multipart/form-data (RFC 7578), as far as
 * Prometheus does: parts that are fields. Pure: bytes in, views out. A decoder of foreign bytes:
 * multipart_fuzz.c.
 */
#ifndef API_REQUEST_MULTIPART_H
#define API_REQUEST_MULTIPART_H

#include "base/bytes.h"
#include "base/err.h"

enum { MULTIPART_BOUNDARY_BYTES_MAX = 70 };

struct multipart {
    struct bytes left; /* the body after the line of a delimiter */
    char delimiter[MULTIPART_BOUNDARY_BYTES_MAX + 4];
    bool lf;   /* lines end in LF alone, which Go accepts, too */
    bool over; /* the last delimiter was read */
};

/* Returns true if the Content-Type is that of such a form. */
bool multipart_is_type(const char *content_type);
/* Finds the boundary, and the first delimiter in `body`. ERR_INPUT: the body is not such a form. */
MUST_CHECK enum err multipart_begin(struct multipart *m, const char *content_type,
                                    struct bytes body, struct why *why);
/*
 * Returns views of the next field; the name may have escapes, see multipart_unquote(). Skips files,
 * and parts without a name. *ret_value.at is NULL after the last. ERR_INPUT: a part is cut off or
 * malformed, or has an obsolete transfer encoding.
 */
MUST_CHECK enum err multipart_next(struct multipart *m, struct bytes *ret_name,
                                   struct bytes *ret_value, struct why *why);
/* Copies a name without its escapes; `to` has room for its size. Returns the bytes written. */
size_t multipart_unquote(struct bytes name, uint8_t *to);

#endif
