/*
 * object.h - an object on its way: a local file that grows, is sealed, is read for its upload,
 * and goes when what was settled with it is durable.
 *
 *     s3_store_begin() -- s3_object_append()... -- s3_object_seal() -- s3_object_read()...
 *         -- s3_store_let_go() -- s3_store_save(), s3_store_saved(): the file is removed
 *
 * Files are named by numbers and stand in a directory of their own. What a crash left behind there
 * is removed at the start, but for the file that is named then. Behind the object's bytes a file
 * has their checksums, a block each, made as they were appended: what is read is what was made, or
 * an error. Format: docs/format/relay.md.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_OBJECT_H
#define BACKEND_S3_OBJECT_H

#include "backend/item.h"
#include "backend/s3/bucket.h"
#include "base/md5.h"

/* A place in the log: which record, which item of it. No record is at 0. */
struct s3_place {
    uint64_t pos;
    uint32_t index;
};
int s3_place_compare(struct s3_place a, struct s3_place b);

/* Of a block, which is what one request uploads, and how many an object has at most. */
enum { S3_PART_BYTES = 8 * 1024 * 1024, S3_PARTS_MAX = 10000 };

/* Of an object's name, after the last '/' and up to there; each ends in NUL. */
enum { S3_BASE_BYTES = 192, S3_DIR_BYTES = S3_KEY_BYTES_MAX - S3_BASE_BYTES + 1 };

/* All times are Unix milliseconds. */
struct s3_object {
    uint64_t number; /* of its file; 0: there is none */
    struct file file;
    uint64_t size; /* bytes */
    /* Of a sealed one: MD5 of its bytes, or, if it has more blocks than one, of their MD5s. */
    uint8_t digest[MD5_BYTES];
    struct md5_stream block; /* of the last block, while it grows, */
    struct buf sums;         /* and the MD5s of those before; memory of the store */

    char dir[S3_DIR_BYTES];   /* in the bucket: "<prefix>YYYY/MM/DD/HH/" */
    char base[S3_BASE_BYTES]; /* its name there; "" until it is named */
    int64_t hour_ms;          /* of `dir` */
    uint64_t seal;            /* counts sealed objects; 0: it is not */
    struct s3_place first;    /* of what is in it, as all that follows */
    struct s3_place last;
    uint64_t samples; /* exemplars count */
    int64_t t_min_ms;
    int64_t t_max_ms;
};

/*
 * Names the directory of an object whose first item arrived then. False: the name would be too
 * long, or the tenant's would lead elsewhere. `prefix` may be NULL, and have ${tenant} in it.
 */
bool s3_object_place(struct s3_object *object, const char *prefix, struct bytes tenant,
                     int64_t arrival_ms);
/* Whether it holds dead letters that are sent again: these have no place in the log. */
static inline bool
s3_object_is_replay(const struct s3_object *o)
{
    return o->first.pos == 0;
}
/* Whether objects of such a prefix are of one tenant each. */
bool s3_prefix_names_tenant(const char *prefix);
/* Gives a sealed one its base name; `is_whole`: the last record ends with it; `again`: the number
 * of the replay in which it is given once more, perhaps not with all that was there; 0: none. */
void s3_object_name(struct s3_object *object, const char *instance, bool is_whole, uint32_t again,
                    const char *suffix);
/* "pos" or "pos.index", into memory of S3_PLACE_BYTES. */
enum { S3_PLACE_BYTES = 40 };
void s3_place_print(struct s3_place place, bool is_whole, char *to);

/* Gives a sealed one the name that it would have under another instance. */
void s3_object_rename(struct s3_object *object, const char *instance);
/* How many blocks it has. */
uint32_t s3_object_blocks(const struct s3_object *object);
/* "32 hex digits" or "32 hex digits-N" of N blocks: the ETag that most stores give it. */
enum { S3_DIGEST_BYTES = 48 };
void s3_object_print_digest(const struct s3_object *object, char to[S3_DIGEST_BYTES]);

/* What is to be remembered of a sealed one: numbers are varints, times zigzag, texts counted, the
 * digest as it is. */
void s3_object_put(const struct s3_object *object, struct buf *to);
/* False: the bytes make no sense. Its file is not opened. `has_digest`: false of what the first
 * version of this program put, see s3_store_adopt(). */
bool s3_object_get(struct cursor *c, bool has_digest, struct s3_object *ret_object);

/* --- files ------------------------------------------------------------------------------------ */

enum { S3_STORE_DIR_BYTES = 216, S3_STORE_GONE_MAX = 64 };

struct s3_store {
    struct env *env;
    struct budget *memory;
    char dir[S3_STORE_DIR_BYTES];
    uint64_t next; /* number */
    bool pretends; /* nothing is written */
    struct {
        uint64_t number;
        bool saved; /* it had been let go when s3_store_save() was called */
    } gone[S3_STORE_GONE_MAX];
    uint32_t gone_count;
};

/*
 * Opens the directory below `parent`, which is made if it is not there. All files in it are removed
 * but number `keep`; 0: all. With `pretends` nothing is looked at or touched. ERR_LIMIT: the path
 * is too long; ERR_IO and the like.
 */
MUST_CHECK enum err s3_store_open(struct s3_store *store, struct env *env, struct budget *memory,
                                  const char *parent, uint64_t keep, bool pretends,
                                  struct why *why);

/* Makes the object's file. */
MUST_CHECK enum err s3_store_begin(struct s3_store *store, struct s3_object *object,
                                   struct why *why);
/*
 * Opens the file of an object that was sealed before a restart. ERR_MISSING: it is gone;
 * ERR_CORRUPT: it is not what it was, as far as can be told without reading its blocks.
 * `has_digest` false: it was sealed when files had no checksums; it gets them now, from what is
 * there.
 */
MUST_CHECK enum err s3_store_adopt(struct s3_store *store, struct s3_object *object,
                                   bool has_digest, struct why *why);
/*
 * Reads all of a file at rest, and changes nothing. `want`: the sealed object that it should be;
 * NULL: any. ERR_CORRUPT: it is not what was written; ERR_MISSING: it has no checksums, because it
 * was still filled (or, if `want` is not NULL, because it is gone). ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err s3_object_examine(struct env *env, struct budget *memory, const char *path,
                                      const struct s3_object *want, struct why *why);
/* Appends. After an error the object is as before. */
MUST_CHECK enum err s3_object_append(struct s3_store *store, struct s3_object *object,
                                     struct bytes bytes, struct why *why);
/* It is durable on return. After an error it is not known what of it is: it is to be made again. */
MUST_CHECK enum err s3_object_seal(struct s3_store *store, struct s3_object *object,
                                   struct why *why);
/* A block in place of what is in `to`, and its MD5 as it was when it was made. ERR_CORRUPT: the
 * file holds something else. */
MUST_CHECK enum err s3_object_read(struct s3_object *object, uint32_t block, struct buf *to,
                                   uint8_t ret_md5[MD5_BYTES], struct why *why);
/* Gives back what it has in memory, and closes its file. */
void s3_object_fini(struct s3_object *object);

/* The object is no longer needed: closes its file, which is removed at once (`at_once`: nothing
 * that is durable names it), or after the next s3_store_save() and s3_store_saved(). */
void s3_store_let_go(struct s3_store *store, struct s3_object *object, bool at_once);
void s3_store_save(struct s3_store *store);
/* What was true at s3_store_save() is durable. The first error; it is tried again. */
MUST_CHECK enum err s3_store_saved(struct s3_store *store, struct why *why);

#endif
