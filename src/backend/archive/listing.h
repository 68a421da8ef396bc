/*
 * listing.h - a page of a bucket's listing: the XML of ListObjectsV2. Pure.
 */
#ifndef BACKEND_ARCHIVE_LISTING_H
#define BACKEND_ARCHIVE_LISTING_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    LISTING_KEY_BYTES = 1025,
    LISTING_TOKEN_BYTES = 4096,
    LISTING_ETAG_BYTES = 72,
    LISTING_TIME_BYTES = 40,
    LISTING_BYTES_MAX = 8 << 20,
};

struct listed_object {
    char key[LISTING_KEY_BYTES];
    char etag[LISTING_ETAG_BYTES]; /* without quotes; "" if it has none */
    char modified[LISTING_TIME_BYTES];
    uint64_t size;
};

/* Calls `each` for every object of a page, in order; its error ends the reading and is returned.
 * ret_token is for the next page; "" on the last page. ERR_INPUT: it is not a listing; ERR_LIMIT:
 * it is too long; ERR_NOMEM. */
MUST_CHECK enum err listing_read(struct bytes body,
                                 enum err (*each)(void *context, const struct listed_object *o),
                                 void *context, char ret_token[LISTING_TOKEN_BYTES]);

/* An ETag without quotes and W/. Cut to fit. */
void etag_plain(const char *from, char to[LISTING_ETAG_BYTES]);

#endif
