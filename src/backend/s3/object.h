/*
 * object.h - an object before its delivery, the state that is saved with it, and the index that
 * lists it. An object is a local file that grows, is sealed, is read for its upload, and is removed
 * when the delivery is durable.
 *
 *     s3_store_begin() -- s3_object_append()... -- s3_object_seal() -- s3_object_read()...
 *         -- s3_store_let_go() -- s3_store_save(), s3_store_saved(): the file is removed
 *
 * Files are named by numbers, in a directory of their own. Leftovers of a crash are removed at the
 * start, except for the saved object's file. After the object's bytes a file has their checksums,
 * one per block, made as they were appended: reading returns the original bytes, or an error.
 * Format: docs/format/relay.md.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_OBJECT_H
#define BACKEND_S3_OBJECT_H

#include "backend/writer.h"
#include "base/hash/md5.h"
#include "base/table.h"

enum { S3_KEY_BYTES_MAX = 1024 }; /* limit of S3 */

/* A place in the log: a record, and an item in it. No record is at 0. */
struct s3_place {
    uint64_t pos;
    uint32_t index;
};
int s3_place_compare(struct s3_place a, struct s3_place b);

/* Size of a block, which one request uploads, and the maximum number of blocks. */
enum { S3_PART_BYTES = 8 * 1024 * 1024, S3_PARTS_MAX = 10000 };

/* Sizes of the parts of an object's name, after the last '/' and up to it, each with a NUL. */
enum { S3_BASE_BYTES = 192, S3_DIR_BYTES = S3_KEY_BYTES_MAX - S3_BASE_BYTES + 1 };

/* All times are Unix milliseconds. */
struct s3_object {
    uint64_t number; /* names the file; 0: no object */
    struct file file;
    uint64_t size; /* bytes */
    /* If sealed: MD5 of the object, or, if it has several blocks, of their MD5s. */
    uint8_t digest[MD5_BYTES];
    struct md5_stream block; /* the last block's while it grows */
    struct buf sums;         /* MD5s of the blocks before; in the store's memory */

    char dir[S3_DIR_BYTES];   /* in the bucket: "<prefix>YYYY/MM/DD/HH/" */
    char base[S3_BASE_BYTES]; /* the name there; "" before it is named */
    int64_t hour_ms;          /* hour of `dir` */
    uint64_t seal;            /* counts sealed objects; 0: not sealed */
    struct s3_place first;    /* the first item, as all members below describe the items */
    struct s3_place last;
    uint64_t samples; /* with exemplars */
    int64_t t_min_ms;
    int64_t t_max_ms;
};

/*
 * Sets the directory of an object from the arrival time of its first item. False: the name would be
 * too long, or the tenant's name would change the directory. `prefix` may be NULL, and may contain
 * ${tenant}.
 */
bool s3_object_place(struct s3_object *object, const char *prefix, struct bytes tenant,
                     int64_t arrival_ms);
/* True if it holds replayed dead letters, which have no place in the log. */
static inline bool
s3_object_is_replay(const struct s3_object *o)
{
    return o->first.pos == 0;
}
/* True if each object with such a prefix belongs to one tenant. */
bool s3_prefix_names_tenant(const char *prefix);
/*
 * Gives a sealed object its base name. `is_whole`: it ends with the last item of a record. `again`:
 * number of the replay that sends these items once more, perhaps not all of them; 0: no replay.
 */
void s3_object_name(struct s3_object *object, const char *instance, bool is_whole, uint32_t again,
                    const char *suffix);
/* Writes "pos" or "pos.index" into memory of S3_PLACE_BYTES. */
enum { S3_PLACE_BYTES = 40 };
void s3_place_print(struct s3_place place, bool is_whole, char *to);

/* Gives a sealed object the name that it has with another instance. */
void s3_object_rename(struct s3_object *object, const char *instance);
/* Returns the number of blocks. */
uint32_t s3_object_blocks(const struct s3_object *object);
/* Writes "32 hex digits", or "32 hex digits-N" for N blocks: the ETag of most stores. */
enum { S3_DIGEST_BYTES = 48 };
void s3_object_print_digest(const struct s3_object *object, char to[S3_DIGEST_BYTES]);

/* Appends what has to be saved for a sealed object: numbers are varints, times zigzag, texts
 * counted, the digest is raw. */
void s3_object_put(const struct s3_object *object, struct buf *to);
/* False: the bytes are invalid. The file is not opened. `has_digest`: false for bytes saved by
 * version 1, see s3_store_adopt(). */
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
        bool saved; /* it was released when s3_store_save() was called */
    } gone[S3_STORE_GONE_MAX];
    uint32_t gone_count;
};

/*
 * Opens the directory below `parent`, and makes it if necessary. All files in it are removed except
 * for number `keep`; 0: all. With `pretends` the disk is not touched. ERR_LIMIT: the path is too
 * long; errors of the env.
 */
MUST_CHECK enum err s3_store_open(struct s3_store *store, struct env *env, struct budget *memory,
                                  const char *parent, uint64_t keep, bool pretends,
                                  struct why *why);

/* Makes the object's file. */
MUST_CHECK enum err s3_store_begin(struct s3_store *store, struct s3_object *object,
                                   struct why *why);
/*
 * Opens the file of an object that was sealed before a restart. ERR_MISSING: it does not exist;
 * ERR_CORRUPT: it is damaged, as far as its end shows. `has_digest` false: it was sealed by a
 * version without checksums; they are computed now, from its content.
 */
MUST_CHECK enum err s3_store_adopt(struct s3_store *store, struct s3_object *object,
                                   bool has_digest, struct why *why);
/*
 * Reads a whole file, while no destination runs, and changes nothing. `want`: the sealed object
 * that it should be; NULL: any. ERR_CORRUPT: it is damaged; ERR_MISSING: it was not sealed, and has
 * no checksums (or, if `want` is not NULL, it does not exist). ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err s3_object_examine(struct env *env, struct budget *memory, const char *path,
                                      const struct s3_object *want, struct why *why);
/* Appends. An error leaves the object unchanged. */
MUST_CHECK enum err s3_object_append(struct s3_store *store, struct s3_object *object,
                                     struct bytes bytes, struct why *why);
/* Seals the object, which is durable on return. After an error the file's content is not known:
 * the object has to be made again. */
MUST_CHECK enum err s3_object_seal(struct s3_store *store, struct s3_object *object,
                                   struct why *why);
/* Replaces the content of `to` by a block, and returns its MD5 as computed when it was made.
 * ERR_CORRUPT: the file holds something else. */
MUST_CHECK enum err s3_object_read(struct s3_object *object, uint32_t block, struct buf *to,
                                   uint8_t ret_md5[MD5_BYTES], struct why *why);
/* Frees its memory, and closes its file. */
void s3_object_fini(struct s3_object *object);

/* Releases an object: closes its file, which is removed at once (`at_once`: nothing durable
 * names it), or after the next s3_store_save() and s3_store_saved(). */
void s3_store_let_go(struct s3_store *store, struct s3_object *object, bool at_once);
void s3_store_save(struct s3_store *store);
/* The state of the last s3_store_save() is durable. Returns the first error; the removal is
 * retried. */
MUST_CHECK enum err s3_store_saved(struct s3_store *store, struct why *why);

/* --- saved state ------------------------------------------------------------------------------ */

/* The state that a destination saves across restarts. Format: docs/format/relay.md. */
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

/* --- indexes ---------------------------------------------------------------------------------- */

/*
 * An index of the objects of one hour, as a small object beside them, so that a reader does not
 * open objects without wanted series. Form: docs/destinations/s3.md.
 *
 * The same text is kept in a local file, after a checksum (docs/format/relay.md), which is read
 * after a restart, and when another directory (tenant, hour) was used in between.
 */
enum {
    S3_NAMES_MAX = 8192,
    S3_NAMES_BYTES_MAX = 256 * 1024,
    S3_INDEX_OBJECTS_MAX = 2000,
    S3_INDEX_BYTES_MAX = 4 * 1024 * 1024,
    S3_INSTANCE_BYTES = 65,
};

/* A set of metric names. */
struct s3_names {
    struct budget *memory;
    struct buf text;     /* each with its length */
    struct table places; /* their offsets in `text` */
    bool cut;            /* names were left out */
};

void s3_names_init(struct s3_names *names, struct budget *memory);
void s3_names_fini(struct s3_names *names);
/* Keeps its memory. */
void s3_names_clear(struct s3_names *names);
/* Adds a name. If the set is full, memory is short, or the name is not UTF-8, the set becomes
 * cut. */
void s3_names_add(struct s3_names *names, struct bytes name);

struct s3_index_entry {
    char base[S3_BASE_BYTES];
    uint64_t size;
    uint64_t samples;
    uint64_t seal;
    struct s3_place first;
    struct s3_place last;
    int64_t t_min_ms;
    int64_t t_max_ms;
};

struct s3_index {
    struct budget *memory;
    char dir[S3_DIR_BYTES]; /* in the bucket; "": no directory */
    char instance[S3_INSTANCE_BYTES];
    int64_t hour_ms;
    struct s3_names names;
    struct s3_index_entry *entries;
    uint32_t count;
    uint32_t capacity;
    bool cut; /* objects were left out */
};

void s3_index_init(struct s3_index *index, struct budget *memory);
void s3_index_fini(struct s3_index *index);
/* Makes the index empty, for that directory. */
void s3_index_begin(struct s3_index *index, const char *instance, const char *dir, int64_t hour_ms);

/* Adds an object, or replaces the one of the same name. ERR_NOMEM: nothing was changed. */
MUST_CHECK enum err s3_index_put(struct s3_index *index, const struct s3_object *object,
                                 const struct s3_names *names);
/* Removes the object with that number if it exists. Its metric names stay. */
void s3_index_remove(struct s3_index *index, uint64_t seal);

/* Removes the object with that name. */
void s3_index_remove_name(struct s3_index *index, const char *base);

/*
 * Adds the entries of an index of the same name in the bucket: it may have been written after a
 * snapshot to which the volume was rolled back. If it cannot be read, the index becomes cut. Raises
 * `ret_seal` to its highest number. ERR_NOMEM.
 */
MUST_CHECK enum err s3_index_merge(struct s3_index *index, struct bytes text, uint64_t *ret_seal);

/* Appends the text. A lack of memory shows in buf_error(to). */
void s3_index_print(const struct s3_index *index, struct buf *to);
/* Parses a text of s3_index_print(). ERR_INPUT: not an index; ERR_LIMIT, ERR_NOMEM. After an
 * error the index is empty, and has no directory. */
MUST_CHECK enum err s3_index_parse(struct s3_index *index, struct bytes text);

/*
 * Reads the index of that directory from below `local_dir`; it is empty if there is no valid file.
 * From an index of another instance only the metric names are taken, because the objects are listed
 * in that instance's index. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err s3_index_load(struct s3_index *index, struct env *env, const char *local_dir,
                                  const char *instance, const char *dir, int64_t hour_ms,
                                  struct why *why);
/* Returns the text in a local file; a view. ERR_CORRUPT: it is damaged. */
MUST_CHECK enum err s3_index_file_text(struct bytes file, struct bytes *ret_text);
/* Writes `text` as the local file of this index; it is durable on return. */
MUST_CHECK enum err s3_index_store(const struct s3_index *index, struct env *env,
                                   const char *local_dir, struct bytes text, struct why *why);
/* Removes the local files of hours before that one. Errors are ignored: it is called again. */
void s3_index_forget(struct env *env, const char *local_dir, int64_t before_ms);

#endif
