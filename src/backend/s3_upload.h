/*
 * s3_upload.h - brings one object into a bucket: as one request, or in parts.
 *
 *     PUT ------------------------------------------------+
 *     CREATE --> PART --> PART ... --> COMPLETE ----------+--> DONE
 *       ^          |                       |
 *       +----------+---- NoSuchUpload -----+
 *
 * Whatever fails otherwise is asked again from where it was. Memory is that of one part.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_UPLOAD_H
#define BACKEND_S3_UPLOAD_H

#include "backend/s3_object.h"

enum {
    S3_PART_BYTES = 8 * 1024 * 1024, /* and what is not larger goes as one */
    S3_PARTS_MAX = 10000,
    S3_UPLOAD_ID_BYTES = 1024,
};

enum s3_upload_phase {
    S3_UPLOAD_PUT,
    S3_UPLOAD_CREATE,
    S3_UPLOAD_PART,
    S3_UPLOAD_COMPLETE,
    S3_UPLOAD_DONE,
};

struct s3_upload {
    enum s3_upload_phase phase;
    uint64_t size;               /* of the object */
    char id[S3_UPLOAD_ID_BYTES]; /* "": nothing of it is in the bucket */
    uint32_t part;               /* the next one, from 0 */
    struct buf etags;            /* of those before: each with its length */
    struct buf body;             /* of the request at hand, as the next two */
    struct buf query;
    char key[S3_KEY_BYTES_MAX + 1];
};

void s3_upload_init(struct s3_upload *upload, struct budget *memory);
void s3_upload_fini(struct s3_upload *upload);
/* Forgets everything, and gives back the memory of a part. */
void s3_upload_clear(struct s3_upload *upload);
/* An object of so many bytes is to be brought there. */
void s3_upload_begin(struct s3_upload *upload, uint64_t size);

/*
 * The next request; not in DONE. Its texts live until the next one. Errors of s3_object_read(), and
 * ERR_NOMEM.
 */
MUST_CHECK enum err s3_upload_request(struct s3_upload *upload, struct s3_object *object,
                                      const char *content_type, struct s3_request *ret_request,
                                      struct why *why);
/*
 * Takes the answer that was judged so, without blanks before its body. Good ones lead on; one that
 * lacks what it should have is VERDICT_RETRY. If the upload is gone, or its parts are not what we
 * have, it begins anew: VERDICT_AGAIN.
 */
void s3_upload_take(struct s3_upload *upload, const struct http_call_answer *answer,
                    struct writer_step *judged);
/* PUT and POST requests that are still to be made, if nothing fails. */
uint64_t s3_upload_requests_left(const struct s3_upload *upload);

#endif
