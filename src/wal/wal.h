/*
 * wal.h - makes what was accepted durable before it is acknowledged, and lets any number of readers
 * follow. Format: docs/format/wal.md.
 *
 * Records are gathered in a batch; a commit writes the batch with one write and one fdatasync.
 * While one batch is on its way the next one is filled, so that all requests that wait share a
 * commit:
 *
 *      wal_put() -> [filling] -- wal_take() --> [syncing] -- wal_commit() --> durable
 *                       \_______ the commit failed: both are void _______/
 *
 * Epochs number the batches. After a failed commit the log is down: wal_put() says ERR_AGAIN until
 * wal_reopen() has begun a fresh segment, whose header names the last durable position.
 *
 * Threads: putters, and wal_take(), are serialised by a lock of the caller's; one thread commits,
 * syncs and reopens; one prepares and trims; any number of readers follow, each in one thread. The
 * looking functions (wal_place() to wal_stats()) may be called from any.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "base/lock.h"
#include "base/mem.h"
#include "model/sample.h"
#include "sys/env.h"

enum wal_sync {
    WAL_SYNC_FSYNC,   /* committed means: on stable storage */
    WAL_SYNC_WRITTEN, /* committed means: given to the kernel; the caller calls wal_sync() */
};

enum wal_type {
    WAL_COMMIT = 1,
    WAL_SERIES = 2,
    WAL_FLOATS = 3,
    WAL_HISTOGRAMS = 4,
    WAL_EXEMPLARS = 5,
    WAL_METADATA = 6,
    WAL_LEDGER = 7,
    WAL_PADDING = 8, /* ends a commit; readers are not given any */
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
    uint64_t segment_bytes;   /* a new segment begins when one holds this much */
    uint64_t batch_bytes_max; /* a batch that holds this much takes no more: ERR_AGAIN */
    uint64_t budget_bytes;    /* of all files; 0: none. See wal_trim(), wal_reserve() */
    enum wal_sync sync;
    uint64_t floor_pos;    /* a new log begins after this position and segment number: what the */
    uint64_t floor_number; /* store remembers of a log whose files were taken away */
    bool read_only;        /* nothing is written: after wal_recover() the log is down for good */
    bool keep_for_readers; /* nothing that a reader wants is given up, whatever the budget says */
    bool none_yet;         /* that there is no segment is no loss, wherever reading begins */
    struct budget *memory;
};

/* A record as read; views end with the next call on the same reader. */
struct wal_record {
    uint64_t pos;            /* of the record */
    uint64_t commit_end_pos; /* if `salvaged`, only of the record, should the commit not be known */
    int64_t realtime_ms;     /* the clock when it was committed; 0: not known */
    uint64_t segment;
    uint64_t epoch; /* its commit's number in the life of the log: rises, also across restarts;
                       0: not known. Not the epoch of wal_place(), which begins at 1 each time */
    uint8_t type;
    uint8_t version;
    bool skippable;
    bool salvaged;                      /* stands in a commit that is damaged elsewhere */
    bool totals_known;                  /* of readers only */
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples that the log had accepted before its commit */
    struct bytes payload;               /* uncompressed */
};

/* What recovery met. */
struct wal_damage {
    /* The log as it is: all zero without segments. */
    uint8_t log_id[WAL_LOG_ID_BYTES];
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT];
    uint64_t places; /* runs of bytes that were durable and are not readable */
    uint64_t bytes;
    /*
     * Accepted samples of the commits that are damaged, told by the running totals. Includes those
     * in salvaged records, which the receiver of these may count.
     */
    uint64_t samples[LEDGER_KIND_COUNT];
    bool samples_unknown; /* and others: nothing readable follows, or a whole segment is lost */
    /*
     * A damaged place reaches across the position from which the log was read: then samples[] also
     * counts what was accepted before that position, from these totals on.
     */
    bool across;
    uint64_t across_totals[LEDGER_KIND_COUNT];
    uint64_t torn_bytes; /* cut at the end, at least: never acknowledged */
    char first[256];     /* the first place: "FILE at OFFSET: why" */
};

/*
 * Opens or makes the log and looks at the segments' headers. Nothing is written yet: the first
 * commit makes a new segment. ERR_UNSUPPORTED: a newer version wrote it. ERR_INPUT: options that
 * cannot be. ERR_LIMIT: the path is too long. ERR_CORRUPT: headers that leave no numbers to go on.
 */
MUST_CHECK enum err wal_open(const struct wal_options *options, struct wal **ret_wal,
                             struct why *why);

/*
 * Reads all commits at or after `from_pos` (0: all there are), before anything is put; it must be
 * called, once. From the segment that holds `from_pos`, series records before that position are
 * given too (with record->pos < from_pos): all others are not. `each` may be NULL; its errors are
 * forwarded. Damage before `from_pos` is not reported.
 *
 * In the end it writes: what no later commit says was durable is written again and synced, because
 * a process that was killed may have left it to the kernel only, or after a sync that failed. Not
 * with `read_only`.
 *
 * ERR_UNSUPPORTED: an unknown record that may not be skipped; nothing was touched. After other
 * errors too the log may be opened again: no harm was done.
 */
MUST_CHECK enum err wal_recover(struct wal *wal, uint64_t from_pos,
                                enum err (*each)(void *context, const struct wal_record *record,
                                                 struct why *why),
                                void *context, struct wal_damage *ret_damage, struct why *why);

/*
 * Raises the totals to those that the log is known to have accepted, although its last commits are
 * missing. The totals go on from there, so that readers see how much is missing, as they do after
 * damage. After wal_recover(), before anything is put.
 */
void wal_raise_totals(struct wal *wal, const uint64_t totals[LEDGER_KIND_COUNT]);

/* Does not commit what is still in the batch. No reader is open any more. NULL is fine. */
void wal_free(struct wal *wal);

/* --- putting ---------------------------------------------------------------------------------- */

/*
 * Where the next record will stand: the batch being filled and its segment. A caller that keeps
 * track of the series it has defined compares `segment`. Stable until the lock that serialises
 * putters is released.
 */
struct wal_place {
    uint64_t epoch;
    uint64_t segment;
};
struct wal_place wal_place(struct wal *wal);

/*
 * Adds a record to the batch; compresses it if that pays (`compress`).
 * ERR_AGAIN: the batch is full, or the log is down. ERR_NOMEM. ERR_LIMIT: payload too large. Within
 * what was reserved only ERR_LIMIT; should the log go down meanwhile, the batch is void with it.
 */
MUST_CHECK enum err wal_put(struct wal *wal, enum wal_type type, struct bytes payload,
                            bool compress);
/* The same of another version of the type than 1: programs that do not know it refuse the log. */
MUST_CHECK enum err wal_put_version(struct wal *wal, enum wal_type type, uint8_t version,
                                    struct bytes payload, bool compress);
/* Adds to the running totals of the batch's commit record. Without a record it counts nothing. */
void wal_count(struct wal *wal, enum ledger_kind kind, uint64_t accepted);

/*
 * Makes sure that records of `bytes` in all (wal_put_bytes() each) can be put into this batch
 * without failing; it holds until the batch is taken. ERR_AGAIN, with the reason in `why`: the log
 * is down, behind, or at its budget. ERR_LIMIT: no batch is that large. ERR_NOMEM.
 */
MUST_CHECK enum err wal_reserve(struct wal *wal, size_t bytes, struct why *why);
/* The room a record may take in the batch at worst. */
size_t wal_put_bytes(size_t payload_size);

/* --- committing ------------------------------------------------------------------------------- */

/* True if the batch holds records. */
bool wal_has_records(struct wal *wal);
/* Closes the batch that was filled, and begins the next. False: there is nothing to commit. */
bool wal_take(struct wal *wal);
/*
 * Writes and syncs the batch that wal_take() closed. On success every epoch <= wal_durable_epoch()
 * is committed. On an error the log is down and all epochs above wal_durable_epoch() are void, also
 * the batch filled meanwhile. Void epochs are below wal_durable_epoch() again once the log has been
 * reopened and goes on: whoever waits for one must be told before.
 */
MUST_CHECK enum err wal_commit(struct wal *wal, struct why *why);
/*
 * Syncs what WAL_SYNC_WRITTEN has only written. On an error the log is down; what was committed
 * stays so, but the next power loss may take it (and then shows as damage).
 */
MUST_CHECK enum err wal_sync(struct wal *wal, struct why *why);
/*
 * Brings a log that is down back on a fresh segment. The caller has undone all void epochs before,
 * while no putter was at work. On an error it is still down; try again.
 */
MUST_CHECK enum err wal_reopen(struct wal *wal, struct why *why);
bool wal_is_down(struct wal *wal);
/*
 * Looks whether the file of the segment being written is still there; wal_commit() does so itself.
 * For callers that have nothing to commit. ERR_IO: it was removed, replaced or truncated: as after
 * a failed wal_commit(), and wal_lost_pos() is the end of the log.
 */
MUST_CHECK enum err wal_look(struct wal *wal, struct why *why);
/* Takes the log down as a failed wal_commit() does. No batch is under way. */
void wal_bring_down(struct wal *wal);
/*
 * A start after a crash may not find commits before this position: while the log was open, their
 * files were removed, replaced or truncated, or the device failed to sync commits of
 * WAL_SYNC_WRITTEN and then to write them again. 0: there are none.
 */
uint64_t wal_lost_pos(struct wal *wal);

uint64_t wal_durable_epoch(struct wal *wal);
/* The position after the last committed record. */
uint64_t wal_end(struct wal *wal);

/* How many bytes of records lie after a position, as far as they are there: positions are not
 * spent without gaps. */
uint64_t wal_bytes_from(struct wal *wal, uint64_t pos);

/* --- segments --------------------------------------------------------------------------------- */

/* The segment being written is half full, or there is none: time for wal_prepare(). */
bool wal_next_is_near(struct wal *wal);
/* Zero-fills a segment in advance if none is at hand, so that no commit has to. May take long. */
MUST_CHECK enum err wal_prepare(struct wal *wal, struct why *why);
/*
 * Gives up segments that lie wholly before `store_pos` and before every reader; where the budget
 * has no room for one more segment, also those that only readers still want: they are then behind.
 * Nothing at or after `store_pos` is ever given up, nor the newest segment. After an error the
 * segment is still there; try again.
 */
MUST_CHECK enum err wal_trim(struct wal *wal, uint64_t store_pos, struct why *why);
/*
 * Looks whether the files of complete segments that reach beyond `from_pos` are still there.
 * ERR_IO: one was removed or truncated; wal_lost_pos() is at least its end, and it is reported
 * once. The thread that trims.
 */
MUST_CHECK enum err wal_look_kept(struct wal *wal, uint64_t from_pos, struct why *why);
void wal_set_budget(struct wal *wal, uint64_t budget_bytes);

struct wal_stats {
    uint64_t begin_pos; /* of the oldest segment */
    uint64_t end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* samples accepted before the end */
    uint64_t segment_count;
    uint64_t segment_bytes; /* of all files, also one that is prepared */
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
void wal_stats(struct wal *wal, struct wal_stats *ret_stats);
/* WAL_LOG_ID_BYTES. Not for clients: who knows it could send payloads that look like records. */
const uint8_t *wal_log_id(struct wal *wal);

/* --- following -------------------------------------------------------------------------------- */

struct wal_reader;
/*
 * Follows the log from `pos` (where a record begins or ends, or 0 for the oldest there is). Holds
 * segments back until closed, within the budget. As with wal_recover(), series records of the first
 * segment are given first. What wal_recover() calls may open one, for wal_reader_again() alone.
 */
MUST_CHECK enum err wal_reader_open(struct wal *wal, const char *name, uint64_t pos,
                                    struct wal_reader **ret_reader, struct why *why);
void wal_reader_close(struct wal_reader *reader);
/*
 * The next committed record. ERR_AGAIN: none yet. ERR_MISSING: the reader is behind: what it wanted
 * next is gone from the log, for good; wal_reader_pos() is where it was. ERR_CORRUPT: damage,
 * skipped: the next call goes on after it. ERR_IO, ERR_NOMEM: the next call tries the same again.
 */
MUST_CHECK enum err wal_reader_next(struct wal_reader *reader, struct wal_record *ret_record,
                                    struct why *why);
/*
 * The record at `pos` once more: one that this reader, or what opened it during wal_recover(), was
 * given, of a segment that it still holds back. Its view ends with the next call of this function;
 * that of wal_reader_next() is left alone. It says nothing about its commit. ERR_MISSING: the
 * segment was given up. ERR_CORRUPT: there is no such record, or no more. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err wal_reader_again(struct wal_reader *reader, uint64_t pos,
                                     struct wal_record *ret_record, struct why *why);
/*
 * The position up to which this reader needs nothing any more; segments before it may go. Never
 * before an earlier one; nor ahead of what was read, lest records are not found.
 */
void wal_reader_pass(struct wal_reader *reader, uint64_t pos);
/* Samples that the log had accepted where reading began; known once a record was given. False: no
 * commit ends there. */
bool wal_reader_start_totals(const struct wal_reader *reader,
                             uint64_t ret_totals[LEDGER_KIND_COUNT]);
/* Behind the record read last, or where reading was to begin. */
uint64_t wal_reader_pos(const struct wal_reader *reader);

/* --- checking without opening for use --------------------------------------------------------- */

/*
 * Walks every checksum of the log in `dir` from the segment that holds `from_pos` on, changing
 * nothing; what lies before is not needed any more, and its files may be half gone. Records are
 * given as by wal_recover(). `none_yet`: that there is no segment is no loss.
 */
MUST_CHECK enum err wal_verify(struct env *env, const char *dir, uint64_t from_pos, bool none_yet,
                               enum err (*each)(void *context, const struct wal_record *record,
                                                struct why *why),
                               void *context, struct wal_damage *ret_damage, struct why *why);

/* --- explaining ------------------------------------------------------------------------------- */

enum wal_segment_state {
    WAL_SEGMENT_LIVE,    /* of the log */
    WAL_SEGMENT_VOID,    /* begun after a failure; a newer segment does not name it */
    WAL_SEGMENT_BLANK,   /* was being made, holds nothing */
    WAL_SEGMENT_DAMAGED, /* without a readable header */
    WAL_SEGMENT_ASIDE,   /* such a one that was put aside: NUMBER.wal.damaged */
};

/* What stands where a segment's records end. */
enum wal_segment_end {
    WAL_END_NEXT,  /* the next segment's header says that it ends there */
    WAL_END_FILE,  /* the end of the file, or of what the segment may hold */
    WAL_END_ZERO,  /* zeros: nothing was ever written */
    WAL_END_TORN,  /* part of a commit that was never whole, or is being written right now */
    WAL_END_OTHER, /* no record: the file's older life, or a commit torn in its first bytes */
};

/* A segment as its header says; of those that hold nothing only number and size are known. */
struct wal_segment_info {
    uint64_t number;
    uint64_t file_bytes;
    enum wal_segment_state state;
    bool copy_damaged; /* one of the two headers */
    unsigned version;
    unsigned min_reader;
    int64_t made_ms;
    uint64_t base_pos;
    uint64_t limit_pos;
    uint64_t prev_number;
    uint64_t prev_end_pos;
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted before it */
    bool end_known;                     /* by the next segment's header */
    uint64_t end_pos;
};

/*
 * Calls `each` for every segment file in `dir`, those of the log first, by number. Changes nothing.
 * ERR_UNSUPPORTED, ERR_CORRUPT: see wal_open(). ERR_MISSING: one went away meanwhile, or `dir` is
 * not there.
 */
MUST_CHECK enum err wal_segments(struct env *env, const char *dir, struct budget *memory,
                                 enum err (*each)(void *context,
                                                  const struct wal_segment_info *segment),
                                 void *context, struct why *why);

struct wal_commit_info {
    uint64_t pos;
    uint64_t bytes; /* all of its records, its own included */
    int64_t realtime_ms;
    uint32_t record_count; /* without its own */
    uint64_t accepted[LEDGER_KIND_COUNT];
};

struct wal_record_info {
    struct wal_record record;
    uint64_t record_bytes;  /* with header and padding: they add up to the segment */
    uint32_t payload_bytes; /* as stored */
    bool packed;
};

/* Each may be NULL. */
struct wal_inspector {
    enum err (*commit)(void *context, const struct wal_commit_info *commit);
    /* Also the commits' own, before what they carry. */
    enum err (*record)(void *context, const struct wal_record_info *record);
    /* Bytes that were durable and cannot be read. */
    void (*damage)(void *context, uint64_t pos, uint64_t bytes, const char *text);
    void *context;
};

struct wal_inspection {
    struct wal_segment_info segment;
    enum wal_segment_end end;
    uint64_t end_pos;
    uint64_t torn_bytes; /* after it, at least */
    uint64_t damaged_bytes;
};

/*
 * Walks one segment. Needs no other file of the log; those that are there say where it ends.
 * Changes nothing, and is no hindrance to a server at work, which may give the file up meanwhile:
 * then what follows looks damaged. ERR_MISSING, ERR_UNSUPPORTED, ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err wal_inspect(struct env *env, const char *dir, uint64_t number,
                                struct budget *memory, const struct wal_inspector *inspector,
                                struct wal_inspection *ret_inspection, struct why *why);

/* False if `name` is not that of a segment file. */
bool wal_segment_name(const char *name, uint64_t *ret_number);

#endif
