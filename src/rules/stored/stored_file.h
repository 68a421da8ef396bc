/*
 * stored_file.h - the groups of rules that the ruler API stores: one file per tenant with all of
 * its groups, which is replaced as a whole. Format: docs/format/rules.md.
 *
 *     DIR/TENANT.groups              the groups
 *     DIR/TENANT.groups.damaged      a file that could not be read, set aside; then .damaged.2, ...
 *
 * The text of a group is not parsed here: it is YAML, which rules/load/rule_files.h reads.
 *
 * Threads: pure; one at a time writes the file of a tenant.
 */
#ifndef RULES_STORED_STORED_FILE_H
#define RULES_STORED_STORED_FILE_H

#include "base/buf.h"
#include "sys/env.h"

enum {
    STORED_FILE_BYTES_MAX = 64 << 20,
    STORED_NAME_BYTES_MAX = 512, /* name of a namespace or a group */
};

/* A stored group; views. */
struct stored_text {
    struct bytes namespace, name;
    struct bytes text;
};

/* Checks the name of a namespace or a group. ERR_INPUT: "expected ... of at most ..., got ...". */
MUST_CHECK enum err stored_name_check(struct bytes name, const char *what, struct why *why);
/* Compares by namespace, then by name. */
int stored_compare(struct bytes namespace_a, struct bytes name_a, struct bytes namespace_b,
                   struct bytes name_b);

/* Write a file into an empty buffer, in pieces: the number of groups, then each group, in their
 * order. Errors show in the buffer. */
void stored_begin(struct bytes tenant, uint32_t count, struct buf *to);
void stored_add(const struct stored_text *group, struct buf *to);
void stored_end(struct buf *to);

/* The groups of a file of that tenant, in their order; views of the file, in a list in the arena.
 * ERR_CORRUPT; ERR_UNSUPPORTED: a newer version wrote it; ERR_NOMEM. */
struct stored_texts {
    struct stored_text *items;
    uint32_t count;
};
MUST_CHECK enum err stored_decode(struct bytes file, struct bytes tenant, struct arena *arena,
                                  struct stored_texts *ret, struct why *why);

/* Appends the file of a tenant, for stored_decode(). ERR_MISSING: it does not exist; ERR_CORRUPT:
 * too large; ERR_IO: also for a directory, a pipe and so on. */
MUST_CHECK enum err stored_read(struct env *env, const char *dir, const char *tenant,
                                struct buf *to, struct why *why);
/* Replaces or removes the file; durable on return. ERR_FULL, ...: either file may be found after a
 * restart, until a later call succeeds. */
MUST_CHECK enum err stored_write(struct env *env, const char *dir, const char *tenant,
                                 struct bytes file, struct why *why);
MUST_CHECK enum err stored_remove(struct env *env, const char *dir, const char *tenant,
                                  struct why *why);
/* Gives the file a second name, which is returned, so that replacing it loses nothing. Durable
 * after the next stored_write(). Calling it again does nothing. ERR_LIMIT: too many files were set
 * aside. */
MUST_CHECK enum err stored_set_aside(struct env *env, const char *dir, const char *tenant,
                                     char ret_path[FILE_PATH_BYTES], struct why *why);
/* Calls `each` for the tenants that have a file, or anything else of that name, in any order. It
 * may return an error to stop. ERR_MISSING: the directory does not exist. */
MUST_CHECK enum err stored_each(struct env *env, const char *dir,
                                enum err (*each)(void *context, const char *tenant), void *context,
                                struct why *why);

#endif
