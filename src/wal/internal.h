/* internal.h - private to wal/: the log as an object, shared by its writing and its reading half.
 */
#ifndef WAL_INTERNAL_H
#define WAL_INTERNAL_H

#include "wal/segment.h"

struct batch {
    struct buf bytes; /* begins with room for the commit record */
    uint64_t epoch;
    uint64_t segment;  /* number of the segment it will be written to */
    uint64_t base_pos; /* of that segment */
    uint64_t start_pos;
    uint32_t record_count;
    uint64_t accepted[LEDGER_KIND_COUNT];
};

struct wal {
    /* Immutable after wal_open(). */
    struct env *env;
    struct budget *memory;
    char dir[200];
    uint64_t segment_bytes;
    uint64_t batch_bytes_max;
    enum wal_sync sync;
    uint8_t log_id[WAL_LOG_ID_BYTES];
    uint32_t damaged_count; /* segments found without a readable header */

    struct lock lock; /* LOCK_RANK_WAL; guards to the next blank line */
    struct segment *segments;
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint64_t budget_bytes;
    struct batch batches[2]; /* one being filled; the other on its way, or empty */
    unsigned filling;
    bool down;
    uint64_t durable_epoch;
    uint64_t end_pos;                   /* behind the last committed record */
    uint64_t synced_pos;                /* behind the last record known to be on stable storage */
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted, up to end_pos */
    uint64_t tried_pos;                 /* behind any byte that was ever tried to be written */
    struct wal_stats stats;
    struct wal_reader *readers; /* list */

    /* The committing thread's own. */
    struct file file;     /* the segment being written */
    uint64_t file_number; /* 0: none */
    bool unsynced;

    /* The preparing thread's own; the flag is set under the lock. */
    bool prepared; /* a zero-filled file stands ready */
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
    uint64_t commit_end; /* of the commit being read; 0: between commits */
    uint64_t epoch;
    uint64_t seen_limit; /* the window was filled when the log was committed up to here */
    bool open;
    struct segment_reader reader;
};

enum { WAL_FIRST_POS = 512 };

/* True if a reader that understands type and version exists; unknown ones may be skipped only if
 * flagged. */
bool wal_type_known(uint8_t type, uint8_t version);

/* Recovery knows now where the log ends: what is put goes behind. Sweeps files that hold nothing.
 */
void wal_begin_at(struct wal *wal, uint64_t end_pos, const uint64_t *totals);

#endif
