/* internal.h - private to wal/: the log as an object, shared by those that write and read it. */
#ifndef WAL_INTERNAL_H
#define WAL_INTERNAL_H

#include "wal/listing.h"

struct wal_batch {
    struct buf bytes; /* begins with room for the commit record */
    uint64_t epoch;
    uint64_t segment;  /* number of the segment it will be written to */
    uint64_t seed;     /* of that segment */
    uint64_t base_pos; /* of that segment */
    uint64_t start_pos;
    size_t reserved_to; /* the size that wal_reserve() has promised */
    uint32_t record_count;
    uint64_t accepted[LEDGER_KIND_COUNT];
};

/* Files at hand for the next segments: zeros, or segments given up. */
enum { PREPARED_MAX = 3 };
struct prepared {
    bool busy; /* a thread makes, takes or removes one */
    uint32_t count;
    uint64_t bytes[PREPARED_MAX];
    uint64_t making_bytes; /* of the one that is being made */
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
    bool none_yet; /* as the store said */
    bool keep_for_readers;
    bool read_only;

    struct lock lock; /* LOCK_RANK_WAL; guards to the next blank line */
    struct segment_list list;
    uint64_t budget_bytes;
    struct wal_batch batches[2]; /* one being filled; the other on its way, or empty */
    unsigned filling;
    bool recovered;
    bool taken; /* batches[filling ^ 1] is on its way */
    bool down;
    uint64_t durable_epoch;
    uint64_t sequence_base;             /* a commit's sequence number is this + its epoch */
    uint64_t end_pos;                   /* after the last committed record */
    uint64_t synced_pos;                /* after the last record known to be on stable storage */
    uint64_t lost_pos;                  /* see missing.c; 0: nothing was lost */
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted, up to end_pos */
    uint64_t tried_pos;                 /* after any byte that was ever tried to be written */
    uint64_t tried_number;              /* the highest number a segment was ever given */
    struct prepared prepared;
    struct wal_stats stats;
    struct wal_reader *readers; /* list */

    /* The committing thread's own. */
    struct file file;     /* the segment being written */
    uint64_t file_number; /* 0: none */
    uint64_t file_base_pos;
    struct file_facts file_facts; /* a number of 0: not known */
    int64_t looked_ns;            /* at its path */
    bool unsynced;                /* it holds bytes after synced_pos */
    uint8_t *sectors; /* DIRECT_BYTES in whole sectors, for a file that is written directly, */
    uint8_t *sectors_memory; /* and where they lie */

    /* The putters' own. */
    struct buf packed;          /* a payload, compressed */
    struct ZSTD_CCtx_s *packer; /* made when first needed */
};

struct wal_reader {
    struct wal *wal;
    char name[64];
    struct wal_reader *next; /* guarded by wal->lock, as are pass_pos and behind */
    uint64_t pass_pos;
    bool behind;

    /* The reading thread's own. */
    uint64_t start_pos;
    uint64_t pos;
    uint64_t commit_end;  /* of the commit being read; 0: not known */
    uint64_t records_end; /* where its padding begins */
    int64_t realtime_ms;
    uint64_t sequence;
    uint64_t totals[LEDGER_KIND_COUNT];
    uint64_t start_totals[LEDGER_KIND_COUNT]; /* at start_pos, if a commit ends there */
    bool start_known;
    bool salvaging; /* after damage, before the next commit */
    bool open;
    struct segment_reader reader;
    struct segment_reader again; /* of records that are asked for once more */
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

/* Whether what is used is beyond the budget, and something could ever be given up. */
bool wal_over_budget_locked(const struct wal *wal);
/*
 * A file for a new segment, open and without its header: a prepared one under the name `path`, or
 * an empty one. After an error there may be a file of that name.
 */
MUST_CHECK enum err wal_take_prepared(struct wal *wal, const char *path, struct file *ret_file,
                                      struct why *why);
/* Cuts off what stands after the end of a segment that was left before it was full. */
void wal_cut_tail(struct wal *wal, uint64_t number, uint64_t file_bytes);

/* --- missing.c -------------------------------------------------------------------------------- */

/*
 * Looks at the segment being written, by its path. ERR_IO: it was removed, replaced or truncated,
 * and wal->lost_pos is the end of the log. The committing thread.
 */
MUST_CHECK enum err wal_look_written(struct wal *wal, struct why *why);

/* --- recover.c -------------------------------------------------------------------------------- */

struct wal_outlook {
    bool damage;       /* the place was durable once */
    uint64_t next_pos; /* of the first commit record after it, or the limit */
    uint64_t last_pos; /* after the last whole record found: nothing reached further, or is known
                          to */
};
/*
 * Was `bad_pos` ever durable? `durable` is what the next segment's header says; otherwise a commit
 * record after it has to.
 */
MUST_CHECK enum err wal_look_behind(struct segment_reader *reader, uint64_t bad_pos, bool durable,
                                    uint64_t limit, struct wal_outlook *ret_outlook,
                                    struct why *why);

/*
 * Writes again what the file holds at [from, to) and syncs it: for bytes that can be read but may
 * never have come to the device.
 */
MUST_CHECK enum err wal_rewrite(struct file *file, struct budget *memory, uint64_t from,
                                uint64_t to, struct why *why);

#endif
