/*
 * store.h - the objects of an archive, in a directory or a bucket. Each question lists them, in the
 * order of their names, and reads ranges of them.
 *
 * Threads: a store may be used from any; its listings and ranges from one.
 */
#ifndef BACKEND_ARCHIVE_STORE_H
#define BACKEND_ARCHIVE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/aws/credentials.h"
#include "backend/fetch/fetch.h"
#include "backend/source.h"
#include "base/bytes.h"
#include "base/err.h"
#include "model/objects.h"

/*
 * The hours of an archive that may have samples of a time, by the names of objects:
 * "YYYY/MM/DD/HH/..." in UTC, after the prefix.
 */

enum { HOUR_TEXT_BYTES = 15, HOUR_TEXT_SIZE = 14 };

struct hours {
    bool all;                    /* all names count, also those without an hour */
    char first[HOUR_TEXT_BYTES]; /* "2026/01/02/03/" */
    char last[HOUR_TEXT_BYTES];
};

/* The hours of samples between two times, if an object's hour differs by at most `late_ms`. */
void hours_between(int64_t min_ms, int64_t max_ms, int64_t late_ms, struct hours *ret_hours);

/* True if a name, after the prefix, begins with one of these hours. */
bool hours_have_name(const struct hours *hours, struct bytes name);
/* True if a directory, "2026/01", may contain some of them. */
bool hours_may_be_in(const struct hours *hours, struct bytes dir);

enum {
    ARCHIVE_KEY_BYTES = 1025,
    ARCHIVE_TAG_BYTES = 128,
    ARCHIVE_RANGE_BYTES = 8 << 20, /* largest range of an object that is requested at once */
};

struct archive_object {
    char key[ARCHIVE_KEY_BYTES];
    /* Changes with the content: the ETag in a bucket, the file's number and times in a directory.
     * Never empty. */
    char tag[ARCHIVE_TAG_BYTES];
    uint64_t size;
    bool is_young; /* it may change now without a new tag */
};

/* The objects that one question may read, and how it reads them. */
struct archive_scope {
    struct budget *budget;
    struct query_control *control; /* may be NULL */
    struct fetch_session *session; /* session that sends the requests */
    struct hours hours;            /* hours whose objects may have samples */
};

struct archive_store;
/* The start of each store's own structs. */
struct archive_listing {
    struct archive_scope scope;
};
struct archive_range {
    struct budget *budget;
};

struct archive_store_ops {
    enum err (*list)(struct archive_store *store, const struct archive_scope *scope,
                     struct archive_listing **ret_listing, struct why *why);
    /* Gets the next object; *ret_more is false after the last. Leaves out empty objects and those
     * that do not count: archive_name_counts(). */
    enum err (*next)(struct archive_listing *listing, struct archive_object *ret_object,
                     bool *ret_more, struct why *why);
    void (*free_listing)(struct archive_listing *listing);
    /* Begins to read 1..ARCHIVE_RANGE_BYTES of an object; `object` is borrowed until close(). */
    enum err (*open)(struct archive_store *store, const struct archive_scope *scope,
                     const struct archive_object *object, uint64_t offset, uint64_t size,
                     struct archive_range **ret_range, struct why *why);
    /* Reads more of a range, a view until the next call; empty at its end. ERR_AGAIN: the object
     * changed after it was listed. */
    enum err (*read)(struct archive_range *range, struct bytes *ret_piece, struct why *why);
    void (*close)(struct archive_range *range);
    void (*free)(struct archive_store *store);
};
struct archive_store {
    const struct archive_store_ops *ops;
};

/* A bucket sends its requests in the session of the question. ERR_NOMEM; ERR_INPUT, ERR_MISSING,
 * ERR_LIMIT: invalid settings. */
MUST_CHECK enum err archive_folder_new(const struct reader_options *options,
                                       struct archive_store **ret_store, struct why *why);
MUST_CHECK enum err archive_bucket_new(const struct reader_options *options,
                                       struct archive_store **ret_store, struct why *why);

enum { ARCHIVE_ROOT_BYTES = AWS_BUCKET_ENDPOINT_BYTES + AWS_BUCKET_NAME_BYTES_MAX };
/* Writes the start of all URLs of the settings' bucket, without a slash at the end. Errors as
 * archive_bucket_new(). */
MUST_CHECK enum err archive_bucket_root(const struct reader_options *options,
                                        char ret_root[ARCHIVE_ROOT_BYTES], struct why *why);

/* True if an object of that name has samples: the part after the last '/' does not begin with '_'
 * or '.', and does not end in ".tmp". */
bool archive_name_counts(struct bytes name);

/* A page of a bucket's listing: the XML of ListObjectsV2. Pure. */

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

/*
 * The implementations of model/objects.h.
 *
 * A bucket of Amazon S3, or of a store with its API: `options->settings` are those of an archive in
 * a bucket, whose prefix begins all keys. Requests are signed and repeated as those of a source
 * (fetch.h). Once `stop` is true, which may be NULL, requests end with ERR_CANCELED. Sends nothing.
 * ERR_NOMEM; ERR_INPUT, ERR_MISSING: incomplete settings.
 */
MUST_CHECK enum err objects_bucket(const struct reader_options *options, const atomic_bool *stop,
                                   struct objects **ret_objects, struct why *why);
/* A directory that exists; else requests are ERR_AGAIN. What a killed process has left in its
 * directory OBJECTS_UNFINISHED may be removed by who locks it. ERR_NOMEM; ERR_LIMIT: the path is
 * too long. */
#define OBJECTS_UNFINISHED "tmp"
MUST_CHECK enum err objects_folder(struct env *env, struct budget *memory, const char *dir,
                                   struct objects **ret_objects, struct why *why);

#endif
