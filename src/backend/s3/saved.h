/*
 * saved.h - what a destination of type `s3` remembers across restarts. Format:
 * docs/format/relay.md.
 */
#ifndef BACKEND_S3_SAVED_H
#define BACKEND_S3_SAVED_H

#include "backend/s3/object.h"

struct s3_saved {
    struct bytes learnt;    /* s3_bucket_learnt() */
    uint64_t seal_count;    /* objects sealed so far */
    struct bytes directory; /* the id of the storage directory, */
    struct bytes instance;  /* and what names begin with; both empty in version 1 */
    bool is_pending;        /* an object is sealed, and not delivered: */
    bool has_digest;        /* false: version 1 */
    uint64_t content;       /* s3_content_hash() of then */
    struct s3_object object;
};

/* A hash of all that decides what an object holds, how it is called and where it goes. It is
 * stored: as long as nothing of that changes, it does not. */
uint64_t s3_content_hash(const struct destination_settings *settings);

/* `object` of `saved` is not used but `pending`; NULL: none is. Memory shows in buf_error(). */
void s3_saved_put(const struct s3_saved *saved, const struct s3_object *pending, struct buf *to);
/* Texts are views into `bytes`. False: it is empty, of a version that is not known, or no such
 * thing; then there is nothing. */
bool s3_saved_get(struct bytes bytes, struct s3_saved *ret_saved);

#endif
