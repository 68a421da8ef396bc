/*
 * catalog.h - private to tsdb/: what a bucket says about the parts in it, as a chain of numbered
 * deltas and, beside it, bases. Format and order of writes: docs/format/catalog.md.
 */
#ifndef TSDB_STORE_CATALOG_H
#define TSDB_STORE_CATALOG_H

#include "model/objects.h"
#include "tsdb/part/remote.h"
#include "tsdb/store/manifest.h"
#include "tsdb/store/store.h"

enum catalog_kind {
    CATALOG_OPEN = 1, /* a delta: a process began to write here */
    CATALOG_CHANGE,   /* a delta */
    CATALOG_BASE,     /* all that the deltas up to its number say together */
};

enum { CATALOG_ID_BYTES = 16, CATALOG_BYTES_MAX = 1 << 28 };

/* A part in the bucket. */
struct catalog_part {
    struct part_entry entry;
    uint64_t session, tag; /* of its key: the process that wrote it, and a random number */
    uint64_t size;
    struct object_digest digest;
    struct part_root root; /* so that it can be opened without a request */
};

struct catalog {
    uint8_t kind;
    uint64_t number; /* from 1 on */
    uint64_t
        before; /* checksum of the delta before this one, or of the base's own delta; 0: none */
    uint8_t bucket_id[CATALOG_ID_BYTES];
    uint64_t session;      /* of the process that wrote it */
    int64_t made_ms;       /* by its clock */
    uint64_t complete_pos; /* all samples before this position of the log are in the bucket */
    int64_t complete_ms;   /* the newest of them; INT64_MIN: none */
    uint64_t top_pos;      /* highest position of samples and tombstones that was known */
    uint64_t next_part;
    uint64_t next_ref;
    int64_t newest_ms;
    int64_t retention_now_ms;
    int64_t grace_ms;           /* how long objects stay after a delta has removed them */
    struct catalog_part *parts; /* that are added; of a base all, by number */
    uint32_t part_count;
    uint64_t *removed; /* numbers of parts */
    uint32_t removed_count;
    bool has_state;        /* deletions and rules have changed, and are all there */
    struct manifest state; /* these, and the ledgers of all tenants, or none if they are as before,
                              of which only what the parts have counts as stored */
};

/* Says that there is not enough memory: ERR_NOMEM. */
enum err catalog_no_memory(struct why *why);
/* Appends the object; `ret_checksum` is its last field. ERR_NOMEM. */
MUST_CHECK enum err catalog_write(const struct catalog *catalog, struct buf *to,
                                  uint64_t *ret_checksum);
/* Reads an object of which `shown` is the name; texts are views of it, lists are in `arena`.
 * ERR_CORRUPT, ERR_UNSUPPORTED, ERR_NOMEM. */
MUST_CHECK enum err catalog_read(struct bytes object, const char *shown, struct arena *arena,
                                 struct catalog *ret_catalog, uint64_t *ret_checksum,
                                 struct why *why);
/* Makes `base` what it is after the next delta, whose memory it shares. ERR_CORRUPT: the delta does
 * not follow: it removes a part that is not there, or adds one that is. */
MUST_CHECK enum err catalog_apply(struct catalog *base, const struct catalog *delta,
                                  struct arena *arena, struct why *why);

/* Copies a state, without what it shares with others, into `arena`. ERR_NOMEM. */
MUST_CHECK enum err catalog_copy(const struct catalog *base, struct arena *arena,
                                 struct catalog *ret_copy, struct why *why);
/* Makes the MANIFEST of a store without a log that has what the state has, only in the bucket. What
 * was accepted and is not there counts as damaged. Lists are in `arena`. ERR_NOMEM. */
MUST_CHECK enum err catalog_manifest(const struct catalog *base, struct arena *arena,
                                     struct manifest *ret_manifest);

/* Finds a part of a state by its number. NULL: it has none. */
const struct catalog_part *catalog_find(const struct catalog *base, uint64_t number);
/* Opens a part by what the catalog has of it; errors of part_open_root(). Its pages are read from
 * `store`; NULL: they cannot be read. */
MUST_CHECK enum err catalog_open_part(const struct catalog_part *part, struct budget *budget,
                                      struct page_cache *cache, struct remote_store *store,
                                      struct part **ret_part, struct why *why);

/* Keys of objects. */
void catalog_delta_key(uint64_t number, char to[OBJECT_KEY_BYTES]);
void catalog_base_key(uint64_t number, char to[OBJECT_KEY_BYTES]);
void catalog_part_key(const struct catalog_part *part, char to[OBJECT_KEY_BYTES]);
/* Reads the key of a part: its session, number and tag. False: it is no such key. */
bool catalog_part_of_key(const char *key, struct catalog_part *ret_part);
/* True if a state names the object of that session, number and tag. */
bool catalog_names(const struct catalog *base, const struct catalog_part *part);
#define CATALOG_DELTAS "catalog/"
#define CATALOG_BASES  "base/"
#define CATALOG_PARTS  "parts/"

/* Makes the delta by which a process says that it writes from now on; nothing else changes. `base`
 * is what the deltas before say, `checksum` that of the last of them. */
struct catalog catalog_opening(const struct catalog *base, uint64_t checksum, uint64_t session,
                               int64_t now_ms);

/* --- CATALOG: what a storage directory knows of its bucket -------------------------------------
 */

/* An object of a part that the catalog does not name. */
struct catalog_unnamed {
    uint64_t session, number, tag;
    int64_t since_ms; /* by the clock of the bucket: when a list first showed it */
};

/* A deletion that the catalog no longer has. Objects of parts with lower numbers may have its
 * samples until they are removed. */
struct catalog_left {
    uint64_t id, below;
};

struct catalog_file {
    uint8_t owner[IDENTITY_BYTES]; /* id of the directory; all zero: whichever has it next */
    struct catalog base;           /* what the deltas that are settled say; number 0: none */
    uint64_t checksum;             /* of the last of them */
    uint64_t intent_number;        /* of the pending delta; 0: none */
    struct bytes intent;           /* its bytes */
    struct catalog_unnamed *unnamed;
    uint32_t unnamed_count;
    struct catalog_left *left;
    uint32_t left_count;
};
/* Reads the file; texts and lists are in `arena`. A missing file is one of number 0. ERR_CORRUPT,
 * ERR_UNSUPPORTED, ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err catalog_file_read(struct env *env, const char *dir, struct arena *arena,
                                      struct catalog_file *ret_file, struct why *why);
/* Opens a part that is only in the bucket by what the file says, which is read into `file` unless
 * that has it. ERR_CORRUPT: it is damaged or lacks the part; errors of catalog_open_part(). */
MUST_CHECK enum err catalog_file_open_part(struct catalog_file *file, struct env *env,
                                           const char *dir, struct arena *arena, uint64_t number,
                                           struct budget *budget, struct page_cache *cache,
                                           struct remote_store *store, struct part **ret_part,
                                           struct why *why);
/* Writes it, durably. ERR_NOMEM; errors of writing. */
MUST_CHECK enum err catalog_file_write(struct env *env, const char *dir, struct budget *memory,
                                       const struct catalog_file *file, struct why *why);

/* --- the chain in a bucket -------------------------------------------------------------------- */

/* Reads the newest state of the chain into `ret_base`, with the checksum of its last delta; number
 * 0: there is no chain. `from` is a number known to exist, or 0. ERR_CORRUPT: the chain has a gap,
 * a delta does not name the one before it, or an object is damaged; errors of objects. */
MUST_CHECK enum err catalog_load(struct objects *objects, uint64_t from, struct arena *arena,
                                 struct catalog *ret_base, uint64_t *ret_checksum, struct why *why);
/* Applies the delta after `base`, and gives its kind; 0: there is none. ERR_CORRUPT: it does not
 * name *checksum as that of the delta before it. Objects are kept in `arena`; `scratch` has its
 * bytes. */
MUST_CHECK enum err catalog_next(struct objects *objects, struct arena *arena, struct buf *scratch,
                                 struct catalog *base, uint64_t *checksum, uint8_t *ret_kind,
                                 struct why *why);
/* Looks whether the bucket has the delta of that number with that checksum. ERR_MISSING: it has
 * none; ERR_CORRUPT: another one; neither has a sentence. */
MUST_CHECK enum err catalog_look(struct objects *objects, uint64_t number, uint64_t checksum,
                                 struct budget *memory, struct why *why);
#endif
