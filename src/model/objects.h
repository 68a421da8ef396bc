/*
 * objects.h - a bucket: whole, immutable objects by key, written once, read in ranges. The store
 * keeps parts and its catalog there; backend/objects/ has a bucket of S3's API and a directory.
 *
 * Keys are of letters, digits, '-', '.' and '/', below the prefix of the bucket.
 *
 * Errors of all requests: ERR_AGAIN: the bucket does not answer, is busy, or its credentials cannot
 * be fetched now; ERR_IO: it refuses, and will again; ERR_NOMEM; ERR_CANCELED: it was told to stop.
 *
 * Threads: any; each call waits for its responses.
 */
#ifndef MODEL_OBJECTS_H
#define MODEL_OBJECTS_H

#include "base/bytes.h"
#include "base/err.h"
#include "sys/env.h"

struct buf;
struct budget;
struct query_control;

enum {
    OBJECT_KEY_BYTES = 128,
    OBJECT_DIGEST_BYTES = 32,
    OBJECT_RULE_BYTES = 160,
    OBJECT_PIECE_BYTES = 16 << 20, /* larger objects are sent in pieces of this size */
};

/* The digest of an object: SHA-256 of its content; if that is larger than a piece, SHA-256 of the
 * SHA-256 of its pieces, one after the other. Both are what S3 keeps as checksum. */
struct object_digest {
    uint8_t at[OBJECT_DIGEST_BYTES];
};

MUST_CHECK enum err object_digest_of(struct bytes content, struct object_digest *ret_digest);

/* The digest of bytes that come one after the other. In the owner's memory: begin, take, end. */
struct object_digester {
    void *whole, *piece; /* of gnutls */
    struct object_digest last;
    uint64_t pieces; /* complete ones */
    uint64_t size;
};
/* ERR_NOMEM. */
MUST_CHECK enum err object_digester_begin(struct object_digester *digester);
/* `digester` is a struct object_digester. ERR_NOMEM. */
MUST_CHECK enum err object_digester_take(void *digester, struct bytes bytes);
/* Frees, and gives the digest unless `e` is an error, which is returned. */
MUST_CHECK enum err object_digester_end(struct object_digester *digester, enum err e,
                                        struct object_digest *ret_digest);

struct object_facts {
    uint64_t size;
    int64_t written_ms; /* by the clock of the bucket */
    int64_t now_ms;     /* the clock of the bucket at its response; INT64_MIN: not known */
    bool has_digest;    /* the bucket keeps digests */
    bool is_archived;   /* it has to be restored before it can be read */
    bool has_versions;  /* the bucket keeps what is removed, as a version */
    struct object_digest digest;
};

struct object_range {
    const char *key;
    uint64_t offset;
    size_t size;
    uint8_t *to;
};

struct object_listed {
    const char *key; /* after the prefix of the bucket */
    uint64_t size;
    int64_t written_ms; /* by the clock of the bucket; INT64_MIN: not known */
};

struct objects;
struct objects_ops {
    /* Writes a small object. With `only_new` *ret_written is false, and nothing has changed, if
     * there is one of that key; a bucket may also fail to obey that: see objects_probe(). */
    enum err (*put)(struct objects *objects, const char *key, struct bytes content, bool only_new,
                    bool *ret_written, struct why *why);
    /* Writes the first `size` bytes of a file, and gives their digest; in a directory it may be
     * NULL. Errors of file_read_at(). */
    enum err (*put_file)(struct objects *objects, const char *key, struct file *from, uint64_t size,
                         struct object_digest *ret_digest, struct why *why);
    /* ERR_MISSING: there is no such object; the facts have `now_ms` then, too. */
    enum err (*look)(struct objects *objects, const char *key, struct object_facts *ret_facts,
                     struct why *why);
    /* Gives the content to `take` in pieces, whose error ends the reading and is returned.
     * ERR_MISSING: there is no such object. */
    enum err (*get)(struct objects *objects, const char *key,
                    enum err (*take)(void *context, struct bytes piece), void *context,
                    struct why *why);
    /* Reads ranges of objects, several at a time. `control` may be NULL. ERR_MISSING: there is no
     * such object; ERR_CORRUPT: it ends before a range does. */
    enum err (*read)(struct objects *objects, const struct object_range *ranges, uint32_t count,
                     struct query_control *control, struct why *why);
    /* Calls `each` for the objects whose keys begin with `begin`, in the order of keys, until its
     * error, which is returned. */
    enum err (*list)(struct objects *objects, const char *begin,
                     enum err (*each)(void *context, const struct object_listed *object),
                     void *context, struct why *why);
    /* Finds a rule of the bucket by which it removes or archives objects on its own; *ret_rule
     * describes it, "" if there is none, or if that cannot be known. */
    enum err (*rule)(struct objects *objects, char ret_rule[OBJECT_RULE_BYTES], struct why *why);
    /* An object that is missing counts as removed. */
    enum err (*remove)(struct objects *objects, const char *key, struct why *why);
    void (*free)(struct objects *objects);
};
/* The start of each bucket's own struct. */
struct objects {
    const struct objects_ops *ops;
    const char *shown;          /* address for messages, without credentials */
    struct object_cache *cache; /* of objects_read(); borrowed; NULL: there is none */
};

/* Replaces the content of `to` by that of an object. ERR_MISSING: there is no such object;
 * ERR_CORRUPT: it is larger than `to` may be. */
MUST_CHECK enum err objects_get(struct objects *objects, const char *key, struct buf *to,
                                struct why *why);
/* As the operation `look`, with the digest: the object is read for it if the bucket keeps none, or
 * with `always`, unless it is archived. */
MUST_CHECK enum err objects_look(struct objects *objects, const char *key, bool always,
                                 struct object_facts *ret_facts, struct why *why);

/*
 * A cache on disk, of chunks of objects that are never written twice; small ranges only, as those
 * of an index. It may be removed, damaged or full: then more is read from the bucket. Several
 * buckets and processes may use one, if no key is in two of them.
 *
 * Makes the directory if its parent exists. `hits` counts chunks that were found. ERR_NOMEM; errors
 * of making and opening files.
 */
struct env;
MUST_CHECK enum err object_cache_open(struct env *env, const char *dir, uint64_t bytes,
                                      struct budget *memory, _Atomic uint64_t *hits,
                                      struct object_cache **ret_cache, struct why *why);
void object_cache_close(struct object_cache *cache); /* accepts NULL */
/* Overwrites what the cache has of an object of `size` bytes. Accepts NULL. */
void object_cache_forget(struct object_cache *cache, const char *key, uint64_t size);
/* As the operation `read`, with the cache; at most OBJECT_RANGES_MAX. Gives the requests and bytes
 * that the bucket is asked for, and counts them for `control`. ERR_LIMIT: more than it allows. */
enum { OBJECT_RANGES_MAX = 64 };
MUST_CHECK enum err objects_read(struct objects *objects, const struct object_range *ranges,
                                 uint32_t count, struct query_control *control,
                                 uint32_t *ret_requests, uint64_t *ret_bytes, struct why *why);

/* Tests the bucket with a small object, which is removed again: that it returns what was written
 * also where it had said before that there is nothing, and whether it obeys `only_new`. ERR_IO also
 * if it returns something else. */
struct env;
MUST_CHECK enum err objects_probe(struct objects *objects, struct env *env, struct budget *memory,
                                  bool *ret_conditional, struct why *why);

#endif
