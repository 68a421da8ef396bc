/*
 * repository.h - a directory or a bucket with backups of storage directories. Content is stored
 * once, by its SHA-256, so a backup adds only what no earlier one has. Format:
 * docs/format/backup.md.
 *
 * Invariants:
 *   1. An object with its final name is whole and durable.
 *   2. A record is written only when all of its objects are durable.
 *   3. An object is removed only under the exclusive lock, and only if no record names it.
 *
 * So a process that is killed at any moment leaves all earlier backups whole, and at most objects
 * and unfinished files that the next backup uses or removes.
 *
 * Threads: any for backup_get(), backup_read() and place_has() and place_put(); one for the others.
 */
#ifndef BACKUP_REPOSITORY_H
#define BACKUP_REPOSITORY_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/lock.h"
#include "model/objects.h"
#include "sys/env.h"

/* --- the record of a backup ------------------------------------------------------------------- */

enum {
    BACKUP_DIGEST_BYTES = 32, /* SHA-256 */
    BACKUP_PATH_BYTES = 256,  /* of a file below the storage directory, with the NUL */
};
#define BACKUP_RECORD_BYTES_MAX ((uint64_t)256 << 20)

struct backup_digest {
    uint8_t at[BACKUP_DIGEST_BYTES];
};
/* Orders digests, for qsort() and bsearch(). */
int backup_digest_order(const void *a, const void *b);

struct backup_file {
    const char *path; /* below the storage directory, "parts/0000000000000001/part" */
    uint64_t size_bytes;
    int64_t modified_ns; /* Unix time of the file that was read */
    uint8_t digest[BACKUP_DIGEST_BYTES];
};

/* In the owner's memory. Only repository.c writes the fields. */
struct backup_record {
    struct budget *memory;
    struct arena paths;
    int64_t time_ms; /* Unix time of the content */
    struct backup_file *files;
    size_t count, capacity;
};

void backup_record_init(struct backup_record *record, struct budget *memory);
void backup_record_fini(struct backup_record *record);

/* Adds a file of which the digest is not known yet. The path is copied. ERR_INPUT: the path does
 * not fit into a record; ERR_NOMEM. */
MUST_CHECK enum err backup_record_add(struct backup_record *record, const char *path,
                                      uint64_t size_bytes, int64_t modified_ns, struct why *why);
/* Orders the files by path. Pointers to files are no longer valid. */
void backup_record_sort(struct backup_record *record);
/* Returns the file of a sorted record, or NULL. */
const struct backup_file *backup_record_find(const struct backup_record *record, const char *path);
/* Returns the bytes of all files. */
uint64_t backup_record_bytes(const struct backup_record *record);

/* Appends the text of a record. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err backup_record_print(const struct backup_record *record, struct buf *to);
/* Reads a text into a record that has been initialized; the record is sorted. ERR_CORRUPT: damaged;
 * ERR_UNSUPPORTED: written by a newer version; ERR_NOMEM. */
MUST_CHECK enum err backup_record_parse(struct backup_record *record, struct bytes text,
                                        struct why *why);

enum { BACKUP_ID_BYTES = 24, BACKUP_REPOSITORY_ID_BYTES = 17 };

#define BACKUP_FORMAT "BACKUP" /* name of the file that makes a directory a repository */

enum backup_use {
    BACKUP_READ,   /* several processes at once */
    BACKUP_CHANGE, /* one process */
    BACKUP_MAKE,   /* as BACKUP_CHANGE; an empty or missing directory becomes a repository */
};

struct backup_content;

/* Where a repository keeps its objects and records: a directory, or a bucket. */
struct backup_place {
    struct env *env;
    struct objects *objects; /* borrowed */
    const char *dir;         /* the directory that they are in, borrowed; NULL: a bucket */
    const char *shown;       /* its name in messages, borrowed */
    struct file lock_file;
};

/* In the owner's memory. */
struct backup_repository {
    struct env *env;
    struct budget *memory;
    const atomic_bool *stop;     /* once true: gives up soon with ERR_CANCELED; may be NULL */
    void (*step)(void *context); /* called while content is read, on any thread; may be NULL */
    void *context;
    uint64_t rate_bytes; /* limits the bytes read per second; 0: unlimited */
    struct backup_place place;
    char id[BACKUP_REPOSITORY_ID_BYTES]; /* 16 hexadecimal digits, random */
    struct lock lock;                    /* LOCK_RANK_LEAF; of the next field */
    int64_t free_ns;        /* monotonic time at which the rate allows the next bytes */
    _Atomic uint64_t bytes; /* read so far, for progress; relaxed */
};

/*
 * `env`, `memory`, `stop`, `step` and `rate_bytes` are set; the rest is zero. `place` is copied,
 * without a lock.
 *
 * ERR_MISSING: the directory is not a repository, and is not empty or is not to be made; ERR_AGAIN:
 * another process uses it; ERR_UNSUPPORTED: a newer version wrote it; ERR_IO, ERR_LIMIT.
 */
MUST_CHECK enum err backup_open(struct backup_repository *repository,
                                const struct backup_place *place, enum backup_use use,
                                struct why *why);
/* Accepts a repository that could not be opened. */
void backup_close(struct backup_repository *repository);

/* Writes the content of a file to a new file `to`, which is durable, but for its name. A file that
 * exists is left alone if it has the content, and replaced otherwise. ERR_CORRUPT: the object is
 * damaged; ERR_MISSING: it is missing. */
MUST_CHECK enum err backup_get(struct backup_repository *repository, const struct backup_file *file,
                               const char *to, struct why *why);
/* Returns true if a file exists and has the content, and makes it durable: the process that wrote
 * it may have been killed before it did. */
bool backup_is_restored(struct backup_repository *repository, const struct backup_file *file,
                        const char *path);
/* Reads the object of a file, and writes it to `to` unless that is NULL. ERR_CORRUPT, ERR_MISSING
 * as backup_get(). */
MUST_CHECK enum err backup_read(struct backup_repository *repository,
                                const struct backup_file *file, struct file *to, struct why *why);

/* Makes a directory durable, with its name, if it is missing. Its parent exists. */
MUST_CHECK enum err backup_make_dir(struct env *env, const char *dir, struct why *why);

/* Returns true for the form of ids, the time in UTC: "20260101T000000.000Z". */
bool backup_id_is(const char *id);
/* Returns the time of an id, Unix ms. */
int64_t backup_id_ms(const char *id);
/* Makes the id of a backup of now. If the clock is behind the newest id, the id is one millisecond
 * after that: ids are in the order in which backups were made. Errors as backup_ids(). */
MUST_CHECK enum err backup_id_make(struct backup_repository *repository,
                                   char ret_id[BACKUP_ID_BYTES], struct why *why);

struct backup_id {
    char text[BACKUP_ID_BYTES];
};
/* Appends the ids of all backups to `to` as struct backup_id, the oldest first. */
MUST_CHECK enum err backup_ids(struct backup_repository *repository, struct buf *to,
                               struct why *why);
/* Reads a record into one that is initialized. ERR_MISSING: no such backup; errors of
 * backup_record_parse(). */
MUST_CHECK enum err backup_record_read(struct backup_repository *repository, const char *id,
                                       struct backup_record *record, struct why *why);
/* The backup exists from then on; its record is sorted. */
MUST_CHECK enum err backup_record_write(struct backup_repository *repository, const char *id,
                                        const struct backup_record *record, struct why *why);

struct backup_pruned {
    uint64_t objects;
    uint64_t bytes;
};
/* Removes the record of a backup; its objects remain until backup_prune_objects(). */
MUST_CHECK enum err backup_record_remove(struct backup_repository *repository, const char *id,
                                         struct why *why);
/* Removes objects that no record names. ERR_CORRUPT: a record is damaged, and nothing was
 * removed. */
MUST_CHECK enum err backup_prune_objects(struct backup_repository *repository,
                                         struct backup_pruned *ret_pruned, struct why *why);

/* --- place.c: names are those of docs/format/backup.md -----------------------------------------
 */

/* Memory that storing a file takes at most: two pieces of an object. */
enum { BACKUP_PIECE_BYTES = 16 << 20, BACKUP_FILE_MEMORY = 2 * BACKUP_PIECE_BYTES };

/* Prepares a place for a new repository. ERR_MISSING: it has something else. */
MUST_CHECK enum err place_prepare(struct backup_place *place, struct why *why);
/* Called once there is a repository. ERR_AGAIN: another process uses it. */
MUST_CHECK enum err place_begin(struct backup_place *place, enum backup_use use, struct why *why);
void place_end(struct backup_place *place);
/* Appends a small file. ERR_MISSING. */
MUST_CHECK enum err place_read(struct backup_place *place, const char *name, struct buf *to,
                               struct why *why);
/* Writes one, which is durable then, or not there at all. */
MUST_CHECK enum err place_write(struct backup_place *place, const char *name, struct bytes content,
                                struct why *why);
/* Removes a small file, or an object of place_objects(). */
MUST_CHECK enum err place_remove(struct backup_place *place, const char *name, struct why *why);
/* Calls `each`, as env_listdir() does, with the names of all records, without their directory. */
MUST_CHECK enum err place_records(struct backup_place *place,
                                  enum err (*each)(void *context, const char *name, bool is_dir),
                                  void *context, struct why *why);
/* Calls `each` with the names of objects that may be removed, those of a digest perhaps in pieces:
 * after "objects/AB/" come its digits, and '.' and a number. */
MUST_CHECK enum err place_objects(struct backup_place *place,
                                  enum err (*each)(void *context, const char *name,
                                                   uint64_t size_bytes),
                                  void *context, struct why *why);
/* Returns true if an object of this digest and size exists; its content is not read. */
bool place_has(struct backup_place *place, const struct backup_file *file);
/* Stores the content of a file, sets size and digest, and *ret_new if it was new. Errors of reading
 * and writing; ERR_FULL; ERR_CANCELED. */
MUST_CHECK enum err place_put(struct backup_repository *repository, const char *path,
                              struct backup_file *file, bool *ret_new, struct why *why);
/* Gives the content of an object to content_take(). ERR_MISSING. */
MUST_CHECK enum err place_get(struct backup_place *place, const struct backup_file *file,
                              struct backup_content *to, struct why *why);

/* --- for place.c ------------------------------------------------------------------------------ */

/* Content that is read: counted, limited in its rate, hashed, and written to a file. */
struct backup_content {
    struct backup_repository *repository;
    struct file *to; /* NULL: it is only hashed */
    void *hash;
    uint64_t size_bytes;
    uint8_t digest[BACKUP_DIGEST_BYTES];
    struct why *why; /* of content_take() */
};

/* ERR_NOMEM. */
MUST_CHECK enum err content_begin(struct backup_content *content,
                                  struct backup_repository *repository, struct file *to,
                                  struct why *why);
/* Takes the next bytes; `content` is a struct backup_content. Errors of writing; ERR_CANCELED. */
MUST_CHECK enum err content_take(void *content, struct bytes piece);
/* Sets the digest, and the size of the file; returns `e`, or the first error. After content_begin()
 * without an error, exactly once. */
MUST_CHECK enum err content_end(struct backup_content *content, enum err e);
/* Takes all of a file. */
MUST_CHECK enum err content_take_file(struct backup_content *content, struct file *from,
                                      struct why *why);
/* Appends the name of the object of a digest. */
enum { BACKUP_OBJECT_NAME_BYTES = 11 + 2 * BACKUP_DIGEST_BYTES + 1 };
void backup_object_name(const uint8_t digest[BACKUP_DIGEST_BYTES],
                        char to[BACKUP_OBJECT_NAME_BYTES]);

#endif
