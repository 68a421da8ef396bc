/*
 * storage_layout.h - names in a storage directory: the one place that has them, for the modules
 * that write it and those that read it.
 *
 *   FORMAT LOCK MANIFEST IDENTITY WITNESS.0 WITNESS.1    docs/format/manifest.md
 *   CATALOG     what the bucket has                      docs/format/catalog.md
 *   wal/        segments of the log                      docs/format/wal.md, wal_segment_name()
 *   parts/      a directory for each part                docs/format/part.md, storage_part_of()
 *   relay/      a directory for each destination         docs/format/relay.md, relay_entry_of()
 *   rules/      stored rules, and the state of rules     docs/format/rules.md
 *   pushed/     groups of pushed metrics                 docs/format/rules.md
 *   RESTORING   mark of an unfinished restore            docs/format/backup.md
 *   snapshots/  storage directories with links to parts
 *
 * Threads: any.
 */
#ifndef MODEL_STORAGE_LAYOUT_H
#define MODEL_STORAGE_LAYOUT_H

#include "sys/env.h"

#define STORAGE_FORMAT    "FORMAT"
#define STORAGE_LOCK      "LOCK"
#define STORAGE_MANIFEST  "MANIFEST"
#define STORAGE_IDENTITY  "IDENTITY"
#define STORAGE_WITNESS_0 "WITNESS.0"
#define STORAGE_WITNESS_1 "WITNESS.1"
#define STORAGE_RESTORING "RESTORING" /* id of the backup; as long as a restore is unfinished */
#define STORAGE_CATALOG   "CATALOG"
#define STORAGE_LOG       "wal"
#define STORAGE_PARTS     "parts"
#define STORAGE_RELAY     "relay"
#define STORAGE_RULES     "rules"
#define STORAGE_PUSHED    "pushed"
#define STORAGE_SNAPSHOTS "snapshots"

/* Checks that no restore was interrupted in a storage directory. Callers open nothing in it before.
 * ERR_INPUT: one was; the message says how to continue it. */
MUST_CHECK enum err storage_check_restored(struct env *env, const char *dir, struct why *why);

enum storage_entry {
    STORAGE_FILE,         /* of the store itself */
    STORAGE_DIRECTORY,    /* of the store, of rules or of pushed metrics */
    STORAGE_DESTINATIONS, /* relay/ */
    STORAGE_OTHER,
};

/* Classifies a name in the storage directory. */
enum storage_entry storage_entry_of(const char *name, bool is_dir);

enum storage_part {
    STORAGE_PART,         /* NUMBER */
    STORAGE_PART_DAMAGED, /* NUMBER.damaged: set aside, because its root cannot be read */
    STORAGE_PART_LOST,    /* NUMBER.lost: an operator gave it up */
    STORAGE_PART_UNNAMED, /* NUMBER.unnamed: MANIFEST does not list it */
    STORAGE_PART_OTHER,   /* not the name of a part */
};

/* Classifies a name in parts/. */
enum storage_part storage_part_of(const char *name, uint64_t *ret_number);
/* Writes the path of a part's directory. ERR_LIMIT. */
MUST_CHECK enum err storage_part_path(char *to, size_t to_size, const char *parts_dir,
                                      uint64_t number, enum storage_part kind);

/* Writes the path of a destination's directory. ERR_LIMIT. */
MUST_CHECK enum err storage_relay_path(char *to, size_t to_size, const char *storage,
                                       const char *name);

#endif
