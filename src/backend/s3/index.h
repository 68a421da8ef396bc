/*
 * index.h - what stands in the objects of one hour, as a small object beside them, so that a
 * reader need not open those that hold nothing for it. Form: docs/destinations/s3.md.
 *
 * The same text is kept in a local file, behind a checksum (docs/format/relay.md), from which it
 * goes on after a restart and when objects of another directory (tenant, hour) were in between.
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
    struct table places; /* where they begin in `text` */
    bool cut;            /* there were more than have room */
};

void s3_names_init(struct s3_names *names, struct budget *memory);
void s3_names_fini(struct s3_names *names);
/* Keeps the memory. */
void s3_names_clear(struct s3_names *names);
/* A name that has no room, also for want of memory, or is no UTF-8 makes the set cut. */
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
    char dir[S3_DIR_BYTES]; /* in the bucket; "": of nothing */
    char instance[S3_INSTANCE_BYTES];
    int64_t hour_ms;
    struct s3_names names;
    struct s3_index_entry *entries;
    uint32_t count;
    uint32_t capacity;
    bool cut; /* objects that had no room were left out */
};

void s3_index_init(struct s3_index *index, struct budget *memory);
void s3_index_fini(struct s3_index *index);
/* Empty, and of that directory. */
void s3_index_begin(struct s3_index *index, const char *instance, const char *dir, int64_t hour_ms);

/* Puts an object into it, in place of one of the same name. ERR_NOMEM: it is as before. */
MUST_CHECK enum err s3_index_put(struct s3_index *index, const struct s3_object *object,
                                 const struct s3_names *names);
/* Takes out the object with that number, if it is there. Names stay: there may be more of a name
 * than in the objects, never less. */
void s3_index_remove(struct s3_index *index, uint64_t seal);

/* Takes out that of this name. */
void s3_index_remove_name(struct s3_index *index, const char *base);

/*
 * Takes in what an index of the same name in the bucket has besides: that of another life of this
 * one, which a volume that was rolled back does not know. What cannot be read makes it cut. The
 * highest number in it is no less than `ret_seal` then. ERR_NOMEM.
 */
MUST_CHECK enum err s3_index_merge(struct s3_index *index, struct bytes text, uint64_t *ret_seal);

/* Appends the text. Out of memory shows in buf_error(to). */
void s3_index_print(const struct s3_index *index, struct buf *to);
/* Reads what s3_index_print() wrote. ERR_INPUT: it is none; ERR_LIMIT, ERR_NOMEM. After an error
 * the index is empty, and of no directory. */
MUST_CHECK enum err s3_index_parse(struct s3_index *index, struct bytes text);

/* --- its local file --------------------------------------------------------------------------- */

/*
 * Reads the index of that directory from below `local_dir`; it is empty if there is none, or none
 * that makes sense. Of one of another instance only the metric names are taken: what was in the
 * bucket under that is listed there. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err s3_index_load(struct s3_index *index, struct env *env, const char *local_dir,
                                  const char *instance, const char *dir, int64_t hour_ms,
                                  struct why *why);
/* The text in such a file; a view. ERR_CORRUPT: it is not what was written. */
MUST_CHECK enum err s3_index_file_text(struct bytes file, struct bytes *ret_text);
/* Writes `text` as the file of this index; it is durable on return. */
MUST_CHECK enum err s3_index_store(const struct s3_index *index, struct env *env,
                                   const char *local_dir, struct bytes text, struct why *why);
/* Removes the files of hours before that one. Errors are passed over: it is called again. */
void s3_index_forget(struct env *env, const char *local_dir, int64_t before_ms);

#endif
