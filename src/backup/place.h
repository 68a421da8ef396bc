/*
 * place.h - where a repository keeps its objects and records: a directory, or a bucket. Names are
 * those of docs/format/backup.md.
 *
 * Threads: any for has, put and get; one for the others.
 */
#ifndef BACKUP_PLACE_H
#define BACKUP_PLACE_H

#include "backend/source_settings.h"
#include "backup/repository.h"
#include "net/http_pull.h"

struct backup_place_ops {
    /* Prepares a place for a new repository. ERR_MISSING: it has something else. */
    enum err (*prepare)(struct backup_place *place, struct why *why);
    /* Called once there is a repository; may be NULL. ERR_AGAIN: another process uses it. */
    enum err (*begin)(struct backup_place *place, enum backup_use use, struct why *why);
    /* Appends a small file. ERR_MISSING. */
    enum err (*read)(struct backup_place *place, const char *name, struct buf *to, struct why *why);
    /* Writes one, which is durable then, or not there at all. */
    enum err (*write)(struct backup_place *place, const char *name, struct bytes content,
                      struct why *why);
    /* Removes a small file, or an object of objects(). */
    enum err (*remove)(struct backup_place *place, const char *name, struct why *why);
    /* Calls `each` with the names of all records, without their directory. */
    enum err (*records)(struct backup_place *place,
                        enum err (*each)(void *context, const char *name), void *context,
                        struct why *why);
    /* Calls `each` with the names of objects that may be removed, those of a digest perhaps in
     * pieces: after "objects/AB/" come its digits, and '.' and a number. */
    enum err (*objects)(struct backup_place *place,
                        enum err (*each)(void *context, const char *name, uint64_t size_bytes),
                        void *context, struct why *why);
    /* As backup_has(), backup_put(). */
    bool (*has)(struct backup_place *place, const struct backup_file *file);
    enum err (*put)(struct backup_place *place, struct backup_repository *repository,
                    const char *path, struct backup_file *file, bool *ret_new, struct why *why);
    /* Gives the content of an object to content_take(). ERR_MISSING. */
    enum err (*get)(struct backup_place *place, const struct backup_file *file,
                    struct backup_content *to, struct why *why);
    void (*free)(struct backup_place *place);
};

struct backup_place {
    const struct backup_place_ops *ops;
    const char *shown; /* its name in messages */
};

/* Memory that storing a file takes at most: two pieces of an object in a bucket. */
enum { BACKUP_PIECE_BYTES = 16 << 20, BACKUP_FILE_MEMORY = 2 * BACKUP_PIECE_BYTES };

/* `dir` is borrowed. ERR_NOMEM, ERR_LIMIT: the path is too long. */
MUST_CHECK enum err backup_place_dir(struct env *env, struct budget *memory, const char *dir,
                                     struct backup_place **ret_place, struct why *why);

struct backup_bucket_options {
    struct env *env;
    struct budget *memory;
    struct http_puller *puller;
    const struct source_settings *settings; /* of an archive in a bucket */
    const char *shown;
    const atomic_bool *stop; /* as of object_bucket_new() */
};
/* Options are copied, and what they point to is borrowed. Errors of object_bucket_new(). */
MUST_CHECK enum err backup_place_bucket(const struct backup_bucket_options *options,
                                        struct backup_place **ret_place, struct why *why);

/* --- for places ------------------------------------------------------------------------------- */

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
