/*
 * index.h - an index of the objects of one hour, as a small object beside them, so that a reader
 * does not open objects without wanted series. Form: docs/destinations/s3.md.
 *
 * The same text is kept in a local file, after a checksum (docs/format/relay.md), which is read
 * after a restart, and when another directory (tenant, hour) was used in between.
 *
 * Threads: one.
 */
#ifndef BACKEND_S3_INDEX_H
#define BACKEND_S3_INDEX_H

#include "backend/s3/object.h"
#include "base/table.h"

enum {
    S3_NAMES_MAX = 8192,
    S3_NAMES_BYTES_MAX = 256 * 1024,
    S3_INDEX_OBJECTS_MAX = 2000,
    S3_INDEX_BYTES_MAX = 4 * 1024 * 1024,
    S3_INSTANCE_BYTES = 65,
};

/* --- a set of metric names -------------------------------------------------------------------- */

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

/* --- the index -------------------------------------------------------------------------------- */

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

/* --- the local file --------------------------------------------------------------------------- */

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
