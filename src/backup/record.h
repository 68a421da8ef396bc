/*
 * record.h - the record of a backup: the files of a storage directory, and the objects that hold
 * their content. Format: docs/format/backup.md.
 *
 * Threads: the owner's.
 */
#ifndef BACKUP_RECORD_H
#define BACKUP_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

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

/* In the owner's memory. Only record.c writes the fields. */
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

#endif
