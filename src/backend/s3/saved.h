/*
 * saved.h - the state that a destination of type `s3` saves across restarts. Format:
 * docs/format/relay.md.
 */
#ifndef BACKEND_S3_SAVED_H
#define BACKEND_S3_SAVED_H

#include "backend/s3/object.h"

struct s3_saved {
    struct bytes learnt;    /* s3_bucket_learnt() */
    uint64_t seal_count;    /* objects sealed so far */
    struct bytes directory; /* id of the storage directory */
    struct bytes instance;  /* the beginning of names; both are empty in version 1 */
    bool is_pending;        /* an object is sealed, but not delivered: */
    bool has_digest;        /* false: version 1 */
    uint64_t content;       /* s3_content_hash() at that time */
    struct s3_object object;
};

/* Returns a hash of all settings that decide the content, name and place of an object. It is
 * stored, so it must not change between versions for the same settings. */
uint64_t s3_content_hash(const struct destination_settings *settings);

/* `object` of `saved` is ignored in favour of `pending`; NULL: no object is pending. A lack of
 * memory shows in buf_error(). */
void s3_saved_put(const struct s3_saved *saved, const struct s3_object *pending, struct buf *to);
/* Texts are views into `bytes`. False: there is no state: `bytes` is empty, of an unknown
 * version, or invalid. */
bool s3_saved_get(struct bytes bytes, struct s3_saved *ret_saved);

#endif
