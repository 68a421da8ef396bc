/*
 * wal.h - makes accepted data durable before it is acknowledged, and lets any number of readers
 * follow. Format: docs/format/wal.md.
 *
 * Records are gathered in a batch; a commit writes the batch with one write and one fdatasync.
 * While one batch is committed the next one is filled, so that all requests that wait share a
 * commit:
 *
 *      wal_put() -> [filling] -- wal_take() --> [syncing] -- wal_commit() --> durable
 *                       \_______ the commit failed: both are void _______/
 *
 * Epochs number the batches. After a failed commit the log is down: wal_put() returns ERR_AGAIN
 * until wal_reopen() has begun a new segment, whose header names the last durable position.
 *
 * Threads: putters, and wal_take(), are serialised by a lock of the caller; one thread commits,
 * syncs and reopens; one prepares and trims; any number of readers follow, each in one thread.
 * Functions that only return state (such as wal_filling() and wal_stats()) may be called from any.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/lock.h"
#include "base/mem.h"
#include "model/sample.h"
#include "sys/env.h"

enum wal_sync {
    WAL_SYNC_FSYNC,   /* a committed batch is on stable storage */
    WAL_SYNC_WRITTEN, /* a committed batch is in the page cache; the caller calls wal_sync() */
};

enum wal_type {
    WAL_COMMIT = 1,
    WAL_SERIES = 2,
    WAL_FLOATS = 3,
    WAL_HISTOGRAMS = 4,
    WAL_EXEMPLARS = 5,
    WAL_METADATA = 6,
    WAL_LEDGER = 7,
    WAL_PADDING = 8, /* ends a commit; readers do not return it */
    WAL_OWN = 9,     /* see docs/format/wal.md; older programs skip it */
    WAL_TYPE_LAST = WAL_OWN,
};

enum {
    WAL_RECORD_BYTES_MAX = 8 * 1024 * 1024,
    WAL_SEGMENT_BYTES_MIN = 64 * 1024,
    WAL_SEGMENT_BYTES_MAX = 1024 * 1024 * 1024,
    WAL_LOG_ID_BYTES = 16,
    WAL_SEGMENT_HEADER_BYTES = 8192, /* records begin after it */
};

struct wal;

struct wal_options {
    struct env *env;
    const char *dir;
    uint64_t segment_bytes;   /* a segment of this size is followed by a new one */
    uint64_t batch_bytes_max; /* a batch of this size accepts no more records: ERR_AGAIN */
    uint64_t budget_bytes; /* limit of all files; 0 for no limit. See wal_trim(), wal_reserve() */
    enum wal_sync sync;
    uint64_t floor_pos;    /* a new log begins after this position and this segment number, */
    uint64_t floor_number; /* the last ones known, in case the log's files were removed */
    bool read_only;        /* no file is changed: after wal_recover() the log stays down */
    bool keep_for_readers; /* segments that a reader needs are kept even beyond the budget */
    bool none_yet;         /* a log without segments is not a loss, wherever reading begins */
    struct budget *memory;
};

/* A record as read; views end with the next call on the same reader. */
struct wal_record {
    uint64_t pos;            /* position of the record */
    uint64_t commit_pos;     /* position of its commit; set if `totals_known` */
    uint64_t commit_end_pos; /* end of its commit; of the record if the commit is not readable */
    int64_t realtime_ms;     /* clock at the commit; 0 if not known */
    uint64_t segment;
    /* Number of its commit since the log was made; 0 if not known. It rises across restarts, but
     * after the log has lost its end, new commits get the numbers of lost ones: only positions
     * identify commits. The epoch of wal_filling() differs: it begins at 1 each time the log is
     * opened. */
    uint64_t epoch;
    uint8_t type;
    uint8_t version;
    bool skippable;
    bool salvaged;                      /* the commit has damage in other records */
    bool totals_known;                  /* `totals` is set, by wal_reader_next() only */
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples that the log had accepted before its commit */
    struct bytes payload;               /* uncompressed */
};

/* Ranges of positions whose bytes were durable and are not readable, in ascending order; not more
 * than the first ones. */
enum { WAL_GAPS_MAX = 64 };
struct wal_gaps {
    uint32_t count;
    struct {
        uint64_t from_pos;
        uint64_t to_pos;
    } of[WAL_GAPS_MAX];
};

/* Result of recovery and verification. */
struct wal_damage {
    /* The state of the log; all zero without segments. */
    uint8_t log_id[WAL_LOG_ID_BYTES];
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT];
    uint64_t places; /* runs of bytes that were durable and are not readable */
    uint64_t bytes;  /* size of these places */
    /* Accepted samples of the damaged commits, by the running totals. Includes those in salvaged
     * records, which the receiver of the records may count. */
    uint64_t samples[LEDGER_KIND_COUNT];
    bool samples_unknown; /* more may be lost: no readable commit follows, or a segment is lost */
    /* samples[] counts samples that the log accepted from these totals on. Some of them may have
     * been accepted, or lost with an end of the log, before the position from which it was read. */
    bool counts_from;
    uint64_t from_totals[LEDGER_KIND_COUNT];
    uint64_t torn_bytes;  /* bytes cut off at the end, at least: never acknowledged */
    char first[256];      /* the first place: "FILE at OFFSET: why" */
    struct wal_gaps gaps; /* as wal_reader_bad_pos() and wal_reader_pos() have them */
};

/* Opens or creates the log and reads the segments' headers. No segment is written: the first commit
 * makes a new one. ERR_UNSUPPORTED: a newer version wrote it. ERR_INPUT: invalid options.
 * ERR_LIMIT: the path is too long. ERR_CORRUPT: headers with positions or numbers out of range, or
 * of two logs. */
MUST_CHECK enum err wal_open(const struct wal_options *options, struct wal **ret_wal,
                             struct why *why);

/*
 * Reads all commits at or after `from_pos` (0 reads all). It must be called once, before records
 * are put. From the segment that holds `from_pos`, series records before that position are given
 * too (with record->pos < from_pos), other records are not. `each` may be NULL; its errors are
 * returned. Damage before `from_pos` is not reported.
 *
 * At the end, unless `read_only`, commits that no later commit says to be durable are written again
 * and synced, because a process that was killed may have left them in the page cache, or after a
 * failed sync.
 *
 * ERR_UNSUPPORTED: an unknown record that may not be skipped; no file was changed. Also after other
 * errors the log may be opened again.
 */
MUST_CHECK enum err wal_recover(struct wal *wal, uint64_t from_pos,
                                enum err (*each)(void *context, const struct wal_record *record,
                                                 struct why *why),
                                void *context, struct wal_damage *ret_damage, struct why *why);

/*
 * Raises the totals to those that the log is known to have accepted, although its last commits are
 * missing. The totals go on from there, so that readers see how much is missing, as they do after
 * damage. After wal_recover(), before records are put.
 */
void wal_raise_totals(struct wal *wal, const uint64_t totals[LEDGER_KIND_COUNT]);

/* Drops the uncommitted batch. All readers are closed. NULL is fine. */
void wal_free(struct wal *wal);

/* --- putting ---------------------------------------------------------------------------------- */

/*
 * The batch being filled, and the segment it will be written to. A caller that defines series once
 * per segment compares `segment`. Stable until the lock that serialises putters is released.
 */
struct wal_filling {
    uint64_t epoch;
    uint64_t segment;
};
struct wal_filling wal_filling(struct wal *wal);

/*
 * Adds a record to the batch; with `compress`, compressed if that makes it smaller. ERR_AGAIN: the
 * batch is full, or the log is down. ERR_NOMEM. ERR_LIMIT: payload too large. Within the bytes
 * reserved only ERR_LIMIT is possible; if the log goes down meanwhile, the batch is void.
 */
MUST_CHECK enum err wal_put(struct wal *wal, enum wal_type type, struct bytes payload,
                            bool compress);
/* wal_put() for a version of the type other than 1: programs that do not know it refuse the log. */
MUST_CHECK enum err wal_put_version(struct wal *wal, enum wal_type type, uint8_t version,
                                    struct bytes payload, bool compress);
/* Adds to the running totals of the batch's commit record. No effect on a batch without records. */
void wal_count(struct wal *wal, enum ledger_kind kind, uint64_t accepted);

/*
 * Makes sure that records of `bytes` in all (wal_put_bytes() each) can be put into this batch
 * without failing, until the batch is taken. ERR_AGAIN, with the reason in `why`: the log is down,
 * too slow, or at its budget. ERR_LIMIT: no batch is that large. ERR_NOMEM.
 */
MUST_CHECK enum err wal_reserve(struct wal *wal, size_t bytes, struct why *why);
/* Returns the bytes that a record takes in the batch at most. */
size_t wal_put_bytes(size_t payload_size);

/* --- committing ------------------------------------------------------------------------------- */

/* True if the batch holds records. */
bool wal_has_records(struct wal *wal);
/* Closes the batch that was filled, and begins the next. False if there is nothing to commit. */
bool wal_take(struct wal *wal);
/*
 * Writes and syncs the batch that wal_take() closed. On success every epoch <= wal_durable_epoch()
 * is committed. On an error the log is down and all epochs above wal_durable_epoch() are void, also
 * the batch filled meanwhile. When the log was reopened and goes on, wal_durable_epoch() passes the
 * void epochs: callers that wait for one must be answered before.
 */
MUST_CHECK enum err wal_commit(struct wal *wal, struct why *why);
/*
 * Syncs commits of WAL_SYNC_WRITTEN. On an error the log is down; they stay committed, but the next
 * power loss may take them (and then shows as damage).
 */
MUST_CHECK enum err wal_sync(struct wal *wal, struct why *why);
/*
 * Continues a log that is down, with a new segment. Before, the caller has undone all void epochs,
 * while no putter was at work. On an error the log is still down; try again.
 */
MUST_CHECK enum err wal_reopen(struct wal *wal, struct why *why);
/* True from a failed commit, sync or look until wal_reopen() succeeds. */
bool wal_is_down(struct wal *wal);
/*
 * Checks that the file of the segment being written is still there, as wal_commit() does, for
 * callers that have nothing to commit. ERR_IO: it was removed, replaced or truncated; the log is
 * down as after a failed wal_commit(), and wal_lost_pos() is the end of the log.
 */
MUST_CHECK enum err wal_look(struct wal *wal, struct why *why);
/* Takes the log down as a failed wal_commit() does. No batch is taken. */
void wal_bring_down(struct wal *wal);
/* Returns a position before which a start after a crash may miss commits: while the log was open,
 * their files were removed, replaced or truncated, or the device failed to sync commits of
 * WAL_SYNC_WRITTEN and then to write them again. 0 if no commit is in danger. */
uint64_t wal_lost_pos(struct wal *wal);

/* Returns the last committed epoch. */
uint64_t wal_durable_epoch(struct wal *wal);
/* Returns the end of the last committed record. */
uint64_t wal_end(struct wal *wal);

/* Returns the bytes of records after a position, without the gaps that positions have. */
uint64_t wal_bytes_from(struct wal *wal, uint64_t pos);

/* --- segments --------------------------------------------------------------------------------- */

/* True if the segment being written is half full, or not begun: time for wal_prepare(). */
bool wal_next_is_near(struct wal *wal);
/* Prepares a file of zeros for the next segment, unless one is prepared, so that commits do not
 * have to allocate disk blocks. May take long. */
MUST_CHECK enum err wal_prepare(struct wal *wal, struct why *why);
/*
 * Releases segments that end before `store_pos` and before all that readers need; if the budget has
 * no room for one more segment, also those that only readers need, which
 * then get ERR_MISSING. Bytes at or after `store_pos` are never released, nor is the newest
 * segment. After an error the segment is still there; try again.
 */
MUST_CHECK enum err wal_trim(struct wal *wal, uint64_t store_pos, struct why *why);
/*
 * Checks that the files of complete segments that reach beyond `from_pos` are still there. ERR_IO:
 * one was removed or truncated; wal_lost_pos() is at least its end, and it is reported once. On the
 * thread that trims.
 */
MUST_CHECK enum err wal_look_kept(struct wal *wal, uint64_t from_pos, struct why *why);
/* Sets the limit of the size of all segments: see wal_reserve() and wal_trim(). */
void wal_set_budget(struct wal *wal, uint64_t budget_bytes);

struct wal_stats {
    uint64_t begin_pos;  /* start of the oldest segment */
    uint64_t before_pos; /* end of the last record before that; 0 if there was none */
    uint64_t end_pos;
    uint64_t next_pos; /* later commits are at or after it, also after a log that lost its end */
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted before the end */
    uint64_t segment_count;
    uint64_t segment_bytes; /* size of all files, including prepared ones */
    uint64_t commits_total;
    uint64_t commit_bytes_total;
    uint64_t failures_total;
    uint64_t segments_made_total;
    uint64_t segments_recycled_total;
    uint64_t readers;
    uint64_t readers_behind;
    bool down;
    bool over_budget;
};
/* All numbers are of one moment. */
void wal_stats(struct wal *wal, struct wal_stats *ret_stats);
/* Returns WAL_LOG_ID_BYTES. Secret: a client that knows the id could send payloads that look like
 * records. */
const uint8_t *wal_log_id(struct wal *wal);

/* --- following -------------------------------------------------------------------------------- */

struct wal_reader;
/*
 * Follows the log from `pos` (where a record begins or ends, or 0 for the oldest record). Keeps
 * segments from being released until it is closed, within the budget. As with wal_recover(), series
 * records of the first segment are given first. Callbacks of wal_recover() may open a reader, for
 * wal_reader_again() only. ERR_NOMEM.
 */
MUST_CHECK enum err wal_reader_open(struct wal *wal, const char *name, uint64_t pos,
                                    struct wal_reader **ret_reader, struct why *why);
/* Frees the reader; segments that only it needed may be released. Accepts NULL. */
void wal_reader_close(struct wal_reader *reader);
/*
 * Reads the next committed record. ERR_AGAIN: none is committed. ERR_MISSING: the records that the
 * reader needs next were released; wal_reader_pos() is its position. ERR_CORRUPT: damage, which is
 * skipped by the next call. ERR_IO, ERR_NOMEM: the next call tries again.
 */
MUST_CHECK enum err wal_reader_next(struct wal_reader *reader, struct wal_record *ret_record,
                                    struct why *why);
/*
 * Reads the record at `pos` again: one that this reader, or the callback of wal_recover() that
 * opened it, was given, of a segment that the reader still keeps. Its view ends with the next call
 * of this function, not of wal_reader_next(). Members about its commit are not set. ERR_MISSING:
 * the segment was released. ERR_CORRUPT: no whole record is at `pos`. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err wal_reader_again(struct wal_reader *reader, uint64_t pos,
                                     struct wal_record *ret_record, struct why *why);
/* Declares that the reader needs no record before `pos`, so that segments before it may be
 * released. `pos` is not before an earlier one, nor after the records read so far. */
void wal_reader_pass(struct wal_reader *reader, uint64_t pos);
/* Returns the samples that the log had accepted where reading began; known once a record was given.
 * False if no commit ends there. */
bool wal_reader_start_totals(const struct wal_reader *reader,
                             uint64_t ret_totals[LEDGER_KIND_COUNT]);
/* Returns the position after the record read last, or where reading begins. */
uint64_t wal_reader_pos(const struct wal_reader *reader);
/* Returns where the damage begins that was skipped last, up to wal_reader_pos() after ERR_CORRUPT;
 * not before the position where reading begins. */
uint64_t wal_reader_bad_pos(const struct wal_reader *reader);

/* --- checking without opening for use --------------------------------------------------------- */

/*
 * Checks every checksum of the log in `dir` from the segment that holds `from_pos` on, changing no
 * file; older segments are not needed any more, and may be partly removed. Records are given as by
 * wal_recover(). `none_yet`: a log without segments is not a loss.
 */
MUST_CHECK enum err wal_verify(struct env *env, const char *dir, uint64_t from_pos, bool none_yet,
                               enum err (*each)(void *context, const struct wal_record *record,
                                                struct why *why),
                               void *context, struct wal_damage *ret_damage, struct why *why);

/* --- explaining ------------------------------------------------------------------------------- */

enum wal_segment_state {
    WAL_SEGMENT_LIVE,    /* belongs to the log */
    WAL_SEGMENT_VOID,    /* begun after a failure; no newer segment names it */
    WAL_SEGMENT_BLANK,   /* was being made, has no record */
    WAL_SEGMENT_DAMAGED, /* has no readable header */
    WAL_SEGMENT_ASIDE,   /* damaged, and put aside: NUMBER.wal.damaged */
};

/* The bytes after a segment's last record. */
enum wal_segment_end {
    WAL_END_NEXT,  /* the next segment's header says that it ends there */
    WAL_END_FILE,  /* end of the file, or of the positions of the segment */
    WAL_END_ZERO,  /* zeros: nothing was ever written */
    WAL_END_TORN,  /* part of a commit that was never whole, or is being written right now */
    WAL_END_OTHER, /* other bytes: of a recycled file, or a commit torn in its first bytes */
};

/* A segment by its header; only number and size are known of those without a valid one. */
struct wal_segment_info {
    uint64_t number;
    uint64_t file_bytes;
    enum wal_segment_state state;
    bool copy_damaged; /* one of the two headers is damaged */
    unsigned version;
    unsigned min_reader;
    int64_t made_ms;
    uint64_t base_pos;
    uint64_t limit_pos;
    uint64_t prev_number;
    uint64_t prev_end_pos;
    uint64_t totals[LEDGER_KIND_COUNT];     /* items accepted before the segment */
    uint64_t end_pos;                       /* position after its last commit */
    uint64_t end_totals[LEDGER_KIND_COUNT]; /* items accepted before end_pos; for wal_segments() */
};

/*
 * Calls `each` for every segment file in `dir`, those of the log first, by number. Reads headers,
 * and the newest segment, since no header says where that ends. Changes no file.
 * ERR_UNSUPPORTED, ERR_CORRUPT: see wal_open(). ERR_MISSING: a file was removed meanwhile, or `dir`
 * does not exist.
 */
MUST_CHECK enum err wal_segments(struct env *env, const char *dir, struct budget *memory,
                                 enum err (*each)(void *context,
                                                  const struct wal_segment_info *segment),
                                 void *context, struct why *why);

struct wal_commit_info {
    uint64_t pos;
    uint64_t bytes; /* size of all its records, with the commit record */
    int64_t realtime_ms;
    uint32_t record_count; /* count without the commit record */
    uint64_t accepted[LEDGER_KIND_COUNT];
};

struct wal_record_info {
    struct wal_record record;
    uint64_t record_bytes;  /* size with headers and padding: the sum is the segment */
    uint32_t payload_bytes; /* stored size */
    bool packed;
};

/* Callbacks, each of which may be NULL. */
struct wal_inspector {
    enum err (*commit)(void *context, const struct wal_commit_info *commit);
    /* For every record; a commit record comes before the others of its commit. */
    enum err (*record)(void *context, const struct wal_record_info *record);
    /* For bytes that were durable and cannot be read. */
    void (*damage)(void *context, uint64_t pos, uint64_t bytes, const char *text);
    void *context;
};

struct wal_inspection {
    struct wal_segment_info segment;
    enum wal_segment_end end;
    uint64_t end_pos;
    uint64_t torn_bytes; /* bytes after end_pos, at least */
    uint64_t damaged_bytes;
};

/* Walks one segment. Other files of the log are not needed; if present, they determine where the
 * segment ends. Changes no file and does not disturb a running server. If the server releases the
 * file in the meantime, the rest looks damaged. ERR_MISSING, ERR_UNSUPPORTED, ERR_NOMEM, ERR_IO. */
MUST_CHECK enum err wal_inspect(struct env *env, const char *dir, uint64_t number,
                                struct budget *memory, const struct wal_inspector *inspector,
                                struct wal_inspection *ret_inspection, struct why *why);

/* False if `name` is not the name of a segment file. */
bool wal_segment_name(const char *name, uint64_t *ret_number);

#endif
