/*
 * wal_private.h - private to wal/: segments, and struct wal, shared by the files that write and
 * read the log. Format: docs/format/wal.md.
 */
#ifndef WAL_WAL_PRIVATE_H
#define WAL_WAL_PRIVATE_H

#include "base/buf.h"
#include "wal/wal.h"

/* --- segment.c: one file, its header and its records ------------------------------------------ */

enum {
    SEGMENT_HEADER_BYTES = WAL_SEGMENT_HEADER_BYTES,
    SEGMENT_COPY_BYTES = 512,   /* one of the two copies of the header ... */
    SEGMENT_COPY_OFFSET = 4096, /* ... each in a physical sector of its own */
    RECORD_HEADER_BYTES = 16,
    COMMIT_PAYLOAD_BYTES = 88,
    COMMIT_RECORD_BYTES = 104,
    FLAG_ZSTD = 1,
    FLAG_SKIPPABLE = 2,
    FLAGS_KNOWN = FLAG_ZSTD | FLAG_SKIPPABLE,
    RECORD_VERSION = 1,
    RECORD_VERSION_LEDGER = 2, /* the highest version of WAL_LEDGER */
};

#define SEGMENT_POS_NONE UINT64_MAX

struct segment {
    uint64_t number;
    uint64_t base_pos;
    uint64_t prev_number;
    uint64_t prev_end_pos;              /* end of the last record of the log before this segment */
    uint64_t limit_pos;                 /* records of this segment end before it */
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted samples before base_pos */
    uint64_t seed;                      /* seed of its checksums */
    uint64_t end_pos;                   /* later bytes are void; SEGMENT_POS_NONE if not known */
    uint64_t file_bytes;
    bool copy_damaged; /* one copy of the header is damaged */
    bool going;        /* it is being released */
    uint8_t log_id[WAL_LOG_ID_BYTES];
};

struct commit {
    uint64_t sequence;
    uint64_t durable_pos; /* known durable before this commit was written */
    uint64_t end_pos;
    int64_t realtime_ms;
    uint32_t record_count;  /* records after the commit record */
    uint32_t padding_bytes; /* size of the last record if that is padding */
    uint64_t totals_before[LEDGER_KIND_COUNT];
    uint64_t accepted[LEDGER_KIND_COUNT];
};

static inline size_t
record_size(size_t payload_size)
{
    return (RECORD_HEADER_BYTES + payload_size + 7) & ~(size_t)7;
}

static inline uint64_t
segment_offset(const struct segment *segment, uint64_t pos)
{
    return pos - segment->base_pos + SEGMENT_HEADER_BYTES;
}

/* Returns the end of a segment, according to the header of the next one. It may have been begun and
 * never used. */
static inline uint64_t
segment_end_before(const struct segment *segment, const struct segment *next)
{
    bool unused = next->prev_end_pos < segment->base_pos;
    return unused ? segment->base_pos : next->prev_end_pos;
}

/* Returns the limit of positions in the newest segment. */
static inline uint64_t
segment_file_end(const struct segment *segment)
{
    if (segment->file_bytes < SEGMENT_HEADER_BYTES) return segment->base_pos;
    uint64_t end = segment->base_pos + (segment->file_bytes - SEGMENT_HEADER_BYTES);
    return end < segment->limit_pos ? end : segment->limit_pos;
}

/* Writes the path of a segment's file. ERR_LIMIT: it does not fit. */
MUST_CHECK enum err segment_path(char *to, size_t to_size, const char *dir, uint64_t number);

/* Returns the seed of the hashes in a segment, which depends on the log, so that records of another
 * log are not taken for records of this one. */
uint64_t segment_seed(const uint8_t *log_id, uint64_t number);
/* Writes both copies, SEGMENT_HEADER_BYTES. */
void segment_header_pack(const struct segment *segment, int64_t made_ms, uint8_t *to);

enum segment_state {
    SEGMENT_USED,    /* has a header with its number */
    SEGMENT_BLANK,   /* was being made: zeros, or the header of a recycled segment */
    SEGMENT_DAMAGED, /* had a header, which is not readable */
};

/* Reads the first SEGMENT_HEADER_BYTES of a file into `to`; fewer if the file ends before. */
MUST_CHECK enum err segment_header_read(struct env *env, const char *path, uint8_t *to,
                                        struct bytes *ret_header, uint64_t *ret_file_bytes,
                                        struct why *why);
/*
 * Reads the first bytes of a segment file; `ret_segment` is written if it is SEGMENT_USED.
 * ERR_UNSUPPORTED: a newer version is needed to read it, or the segment recycled; `why` has the
 * versions.
 */
MUST_CHECK enum err segment_header_unpack(struct bytes header, uint64_t number,
                                          enum segment_state *ret_state,
                                          struct segment *ret_segment, struct why *why);
/* Returns the offset of a valid copy with `number`; SIZE_MAX if neither is. */
size_t segment_header_copy(struct bytes header, uint64_t number);

/* Writes header and checksums before a payload that is at to + 16, and zeros after it. */
void record_seal(uint8_t *to, size_t payload_size, uint8_t type, uint8_t version, uint8_t flags,
                 uint64_t seed, uint64_t pos);
void commit_pack(const struct commit *commit, uint8_t *payload);

/* True if type and version are known; unknown ones may be skipped only if flagged. */
bool record_is_known(uint8_t type, uint8_t version, uint8_t flags);

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads records of one segment through a window of the file. */
struct segment_reader {
    struct env *env;
    struct budget *budget;
    struct segment segment;
    struct file file;
    size_t window_bytes; /* read at a time */
    struct buf window;   /* bytes of the file from window_offset */
    uint64_t window_offset;
    struct buf raw;               /* an uncompressed payload */
    struct ZSTD_DCtx_s *unpacker; /* made when first needed */
};

void segment_reader_init(struct segment_reader *reader, struct env *env, struct budget *budget);
void segment_reader_fini(struct segment_reader *reader);
/* Opens (or changes to) a segment. */
MUST_CHECK enum err segment_reader_open(struct segment_reader *reader, const char *dir,
                                        const struct segment *segment, struct why *why);

/* A record's position and stored payload; the view ends with the next read. */
struct raw_record {
    uint64_t pos;
    uint64_t end_pos;
    uint8_t type;
    uint8_t flags;
    uint8_t version;
    struct bytes stored;
};

/*
 * Reads the record at `pos`, wholly before `limit_pos`; bytes after that are not read. ERR_CORRUPT:
 * no whole record is there. ERR_UNSUPPORTED: its type is unknown and may not be skipped. ERR_IO,
 * ERR_NOMEM.
 */
MUST_CHECK enum err segment_read(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);
/* Uncompresses if need be. ERR_CORRUPT. */
MUST_CHECK enum err segment_unpack(struct segment_reader *reader, const struct raw_record *record,
                                   struct bytes *ret_payload, struct why *why);
/* ERR_CORRUPT: not a commit record, or one with invalid fields. */
MUST_CHECK enum err commit_unpack(const struct raw_record *record, struct commit *ret_commit);

/*
 * Checks that the commit at `pos` is whole: its own record and all others up to its end.
 * ERR_CORRUPT: *ret_bad_pos is the first place that is not whole, and *ret_commit was written
 * unless that is `pos` itself.
 */
MUST_CHECK enum err segment_commit_whole(struct segment_reader *reader, uint64_t pos,
                                         uint64_t limit_pos, struct commit *ret_commit,
                                         uint64_t *ret_bad_pos, struct why *why);
/*
 * Finds the next whole record at or after `pos`. ERR_MISSING: none before `limit_pos`.
 */
MUST_CHECK enum err segment_find(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);

/* --- walking ---------------------------------------------------------------------------------- */

/*
 * One walk over a segment, with events, for all that read a whole one:
 * recovery, verification and inspection.
 *
 * A commit is whole, or broken; a broken commit was durable once, or never.
 *
 *      whole?   --yes-->  commit(), record() for each of its records; on to the next commit
 *        | no
 *      broken()
 *        |
 *      durable? --no-->   it is the torn tail: the walk ends before it
 *        | yes
 *      gap(), record() for bytes and records up to the next commit record; on to that
 *
 * Invariant: positions rise from event to event, but for broken(), which announces its gaps.
 */

struct broken_commit {
    uint64_t pos;
    uint64_t bad_pos;            /* first place in it that cannot be read */
    const struct commit *commit; /* NULL if its own record cannot be read */
    bool durable;                /* by the next segment's header, or a later commit record */
    uint64_t next_pos;           /* position of the next commit record, or the end of the segment */
    uint64_t last_pos;           /* after the last whole record found after bad_pos */
    const char *reason;          /* ends with the call */
};

/* Callbacks, each of which may be NULL; their errors end the walk and are returned. */
struct segment_visitor {
    /* For each whole commit, before its records. */
    enum err (*commit)(void *context, uint64_t pos, const struct commit *commit);
    /* For every record, commit records and padding included. `commit` is NULL if its record cannot
     * be read. `salvaged`: the commit is broken. */
    enum err (*record)(void *context, const struct raw_record *raw, const struct commit *commit,
                       bool salvaged);
    enum err (*broken)(void *context, const struct broken_commit *broken);
    /* For bytes of a broken, durable commit that are not whole records. */
    enum err (*gap)(void *context, uint64_t from, uint64_t to, const char *reason);
    void *context;
};

/*
 * Walks the segment that the reader has open. *ret_end_pos is set in any case: the position after
 * the last commit, whole or durable. Errors of the callbacks; ERR_UNSUPPORTED, ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err segment_walk(struct segment_reader *reader,
                                 const struct segment_visitor *visitor, uint64_t *ret_end_pos,
                                 struct why *why);

/* Converts a record to the form that callers get, without its payload. */
struct wal_record segment_record(const struct segment_reader *reader, const struct raw_record *raw,
                                 const struct commit *commit, bool salvaged);

/* --- files.c: the files of a directory -------------------------------------------------------- */

enum stray_kind {
    STRAY_BLANK,   /* was being made, holds no record */
    STRAY_VOID,    /* begun after a failure; no newer segment names it */
    STRAY_DAMAGED, /* a segment file without a valid header */
    STRAY_ASIDE,   /* a damaged file that was put aside earlier: NUMBER.wal.damaged */
};

struct stray {
    uint64_t number;
    uint64_t file_bytes;
    enum stray_kind kind;
};

struct segment_list {
    struct segment *items; /* sorted by number; all ends are known except that of the newest */
    uint32_t count, capacity;
    struct stray *strays; /* segment files that do not belong to the log */
    uint32_t stray_count, stray_capacity;
    uint64_t number_max; /* the highest number, strays included */
};

/*
 * Reads every segment's header and links the segments. Changes no file. `ret_list` is given:
 * segment_list_fini(). ERR_UNSUPPORTED: a newer version wrote one of them. ERR_CORRUPT: they belong
 * to two logs.
 */
MUST_CHECK enum err segment_list_read(struct env *env, const char *dir, struct budget *budget,
                                      struct segment_list *ret_list, struct why *why);
void segment_list_fini(struct segment_list *list, struct budget *budget);
/* Allocates memory for one more item. ERR_NOMEM. */
MUST_CHECK enum err segment_list_reserve(struct segment_list *list, struct budget *budget);

/* Removes files without records, and renames those with a damaged header, so that people find
 * them. */
void segment_list_sweep(struct segment_list *list, struct env *env, const char *dir);

/* True if the stray was a segment with records, and the links between headers do not show that. */
bool stray_is_loss(const struct segment_list *list, const struct stray *stray, bool from_oldest);

struct wal_batch {
    struct buf bytes; /* begins with room for the commit record */
    uint64_t epoch;
    uint64_t segment;  /* number of the segment it will be written to */
    uint64_t seed;     /* seed of that segment */
    uint64_t base_pos; /* base position of that segment */
    uint64_t start_pos;
    size_t reserved_to;    /* records fit up to this size of the batch: wal_reserve() */
    uint32_t record_count; /* count without the commit record */
    uint64_t accepted[LEDGER_KIND_COUNT];
};

/* Prepared files for the next segments: zeros, or recycled segments. */
enum { PREPARED_MAX = 3 };
struct wal_prepared {
    bool busy;      /* a thread makes, takes or removes a file */
    uint32_t count; /* files, named by index */
    uint64_t bytes[PREPARED_MAX];
    uint64_t making_bytes; /* size of the file being made; 0 if none is */
};

struct wal {
    /* Immutable after wal_open(). */
    struct env *env;
    struct budget *memory;
    char dir[200];
    uint64_t segment_bytes;
    uint64_t batch_bytes_max;
    uint64_t batch_limit; /* no batch's buffer is larger */
    enum wal_sync sync;
    uint8_t log_id[WAL_LOG_ID_BYTES];
    bool none_yet; /* this and the next two: see struct wal_options */
    bool keep_for_readers;
    bool read_only;

    struct lock lock; /* LOCK_RANK_WAL; guards to the next blank line */
    struct segment_list list;
    uint64_t budget_bytes;
    struct wal_batch batches[2]; /* one being filled; the other being committed, or empty */
    unsigned filling;            /* index of the batch being filled */
    bool recovered;
    bool taken; /* batches[filling ^ 1] is being committed */
    bool down;
    uint64_t durable_epoch;
    uint64_t sequence_base;             /* a commit's sequence number is this + its epoch */
    uint64_t end_pos;                   /* after the last committed record */
    uint64_t synced_pos;                /* after the last record known to be on stable storage */
    uint64_t lost_pos;                  /* see files.c; 0 if no commit was lost */
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted samples, up to end_pos */
    uint64_t tried_pos;                 /* end of all positions given to batches so far */
    uint64_t tried_number;              /* the highest number given to a segment */
    struct wal_prepared prepared;
    struct wal_stats stats;
    struct wal_reader *readers; /* list of open readers */

    /* Used by the committing thread only. */
    struct file file;     /* the segment being written */
    uint64_t file_number; /* its number; 0 if no file is open */
    uint64_t file_base_pos;
    struct file_facts file_facts; /* number 0 if unknown */
    int64_t looked_ns;            /* when its path was last checked, monotonic */
    bool unsynced;                /* it has bytes after synced_pos */
    uint8_t *sectors;             /* DIRECT_BYTES, aligned, for a file that is written directly */
    uint8_t *sectors_memory;      /* the allocation that holds them */

    /* Used by putters only. */
    struct buf packed;          /* a payload, compressed */
    struct ZSTD_CCtx_s *packer; /* made on first use */
};

struct wal_reader {
    struct wal *wal;
    char name[64];
    struct wal_reader *next; /* guarded by wal->lock, as are the next two fields */
    uint64_t pass_pos;
    bool behind;

    /* Used by the reading thread only. */
    uint64_t start_pos;
    uint64_t pos;
    uint64_t bad_pos; /* start of the damage that was skipped last */
    uint64_t commit_pos;
    uint64_t commit_end;  /* end of the commit being read; 0 if its record is unreadable */
    uint64_t records_end; /* start of its padding */
    int64_t realtime_ms;
    uint64_t sequence;
    uint64_t totals[LEDGER_KIND_COUNT];
    uint64_t start_totals[LEDGER_KIND_COUNT]; /* at start_pos, if a commit ends there */
    bool start_known;
    bool salvaging; /* after damage, up to the next commit */
    bool open;
    struct segment_reader reader;
    struct segment_reader again; /* for wal_reader_again() */
};

enum { WAL_FIRST_POS = 512 };

static inline uint64_t
wal_segment_file_bytes(const struct wal *wal)
{
    return wal->segment_bytes + SEGMENT_HEADER_BYTES;
}

static inline struct segment *
wal_last_segment(struct wal *wal)
{
    return wal->list.count == 0 ? NULL : &wal->list.items[wal->list.count - 1];
}

/* --- files.c: disk space ---------------------------------------------------------------------- */

/* True if the files take more than the budget, and there is a segment that could be released. */
bool wal_over_budget_locked(const struct wal *wal);
/*
 * Gives an open file for a new segment, without its header: a prepared one, renamed to `path`, or
 * an empty one. After an error there may be a file of that name.
 */
MUST_CHECK enum err wal_take_prepared(struct wal *wal, const char *path, struct file *ret_file,
                                      struct why *why);
/* Truncates a segment that ended before it was full. */
void wal_cut_tail(struct wal *wal, uint64_t number, uint64_t file_bytes);

/*
 * Checks that the segment being written is still at its path. ERR_IO: it was removed, replaced or
 * truncated, and wal->lost_pos is the end of the log. On the committing thread.
 */
MUST_CHECK enum err wal_look_written(struct wal *wal, struct why *why);

/* --- recover.c -------------------------------------------------------------------------------- */

/*
 * Rewrites the bytes that the file holds at [from, to), and syncs it: for bytes that can be read
 * but may never have reached the device.
 */
MUST_CHECK enum err wal_rewrite(struct file *file, struct budget *memory, uint64_t from,
                                uint64_t to, struct why *why);

#endif
