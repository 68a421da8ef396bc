/* wal_private.h - private to wal/: struct wal, shared by the files that write and read the log. */
#ifndef WAL_WAL_PRIVATE_H
#define WAL_WAL_PRIVATE_H

#include "wal/segment.h"

/* Lists the files of a log's directory, and links those of the log. */

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
    uint64_t lost_pos;                  /* see listing.c; 0 if no commit was lost */
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

/* --- space.c ---------------------------------------------------------------------------------- */

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

/* --- listing.c -------------------------------------------------------------------------------- */

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
