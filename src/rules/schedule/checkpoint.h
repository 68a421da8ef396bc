/*
 * checkpoint.h - the cursors of groups of rules and their alerts: one file for all tenants, which
 * is replaced as a whole. Format: docs/format/rules_state.md.
 *
 *     DIR/rules/state               the file; DIR is the storage directory
 *     DIR/rules/state.unreadable    a file that could not be read, put aside
 *
 * The file is a sequence of records: a tenant, then its groups, each followed by its alerting rules
 * that have alerts, each followed by its alerts. It is written and read record by record.
 *
 * Times are Unix nanoseconds, 0: never, unless a name says otherwise. The reader accepts every
 * value of a time.
 *
 * Threads: pure; one at a time replaces the file.
 */
#ifndef RULES_SCHEDULE_CHECKPOINT_H
#define RULES_SCHEDULE_CHECKPOINT_H

#include "base/buf.h"
#include "rules/group/alerts.h"
#include "sys/env.h"

enum {
    CHECKPOINT_BYTES_MAX = 1 << 30,
    CHECKPOINT_LOG_ID_BYTES = 16,
    CHECKPOINT_LABELS_MAX = 256, /* labels of a rule and its group; annotations of an alert */
};

struct checkpoint_head {
    uint8_t log_id[CHECKPOINT_LOG_ID_BYTES]; /* id of the write-ahead log; all zero without a log */
    int64_t written_ns;
    int64_t latest_ns; /* latest time of any evaluation of a group */
};

/* Numbers of the format. */
enum checkpoint_kind {
    CHECKPOINT_TENANT = 1,
    CHECKPOINT_GROUP,
    CHECKPOINT_RULE,
    CHECKPOINT_ALERT,
};

struct checkpoint_record {
    enum checkpoint_kind kind;
    union {
        struct {
            struct bytes name;
            int64_t sender_ms; /* Unix ms of a sender's last write; INT64_MIN: never */
        } tenant;
        struct {
            struct bytes file, name;
            int64_t interval_ns; /* above 0 */
            int64_t next_ns;     /* time of its next evaluation */
            int64_t retired_ns;  /* time at which it left the configuration; 0: it is configured */
            int64_t evaluated_at_ns; /* time of its last live evaluation */
            /* Time of the last evaluation of its recording rules; 0: one interval before the next
             * one. Files of version 1 do not have it. */
            int64_t recorded_at_ns;
        } group;
        struct {
            struct bytes name;          /* name of the alert */
            const struct label *labels; /* sorted labels of rule and group, as in the file */
            uint32_t label_count;
            uint32_t nth; /* the group's earlier rules with the same name and labels */
        } rule;
        /* For alerts_restore(). The record has the state and the times of `was`. */
        struct {
            struct alert was;
            struct alert_found found; /* found by the last evaluation that found it */
        } alert;
    };
};

/* The last record written or read, and the names that the next one has to follow. */
struct checkpoint_place {
    uint32_t version; /* version of the format */
    unsigned kind;    /* 0: no record so far */
    struct bytes tenant, file, name;
};

/* --- writing ---------------------------------------------------------------------------------- */

struct checkpoint_writer {
    struct buf *to;
    struct checkpoint_place place;
};

/* Begins in an empty buffer with a limit of at most CHECKPOINT_BYTES_MAX. Errors show in the
 * buffer, and checkpoint_end() returns them. Names of tenants and groups are borrowed until the
 * next of them; they rise, and each occurs once. */
void checkpoint_begin(struct checkpoint_writer *writer, const struct checkpoint_head *head,
                      struct buf *to);
void checkpoint_put(struct checkpoint_writer *writer, const struct checkpoint_record *record);
/* Completes the buffer for checkpoint_replace(). Uses no borrowed memory; the checksum of a large
 * buffer takes time. ERR_LIMIT: it would exceed the limit of the buffer; ERR_NOMEM. */
MUST_CHECK enum err checkpoint_end(struct checkpoint_writer *writer, struct why *why);

/* Replaces the file, durable on return; creates `rules/` if missing. After an error either file may
 * be found. */
MUST_CHECK enum err checkpoint_replace(struct env *env, const char *storage_path,
                                       struct bytes encoded, struct why *why);
/* Renames a file that cannot be read, before it is replaced: also one of a newer version, which
 * would be out of date when that version runs again. Durable after the next checkpoint_replace().
 * OK also without a file. ERR_IO, also if a directory has the name. */
MUST_CHECK enum err checkpoint_put_aside(struct env *env, const char *storage_path,
                                         struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

struct checkpoint_reader {
    struct checkpoint_head head;
    uint64_t counts[CHECKPOINT_ALERT + 1]; /* number of all records, by kind */

    /* Private. */
    bool is_checked; /* no record can fail */
    struct cursor from;
    struct checkpoint_place place;
    struct label labels[CHECKPOINT_LABELS_MAX]; /* labels of the record read last */
    struct buf file;                            /* memory of checkpoint_read() */
};

/*
 * Checks all of the file, so that no record of it fails later. `file` is borrowed while records are
 * read; takes no memory. After an error the reader has no records.
 * ERR_CORRUPT      the file is damaged.
 * ERR_UNSUPPORTED  a newer version wrote it.
 */
MUST_CHECK enum err checkpoint_open(struct checkpoint_reader *reader, struct bytes file,
                                    struct why *why);
/* Opens the file in its place, which `why` names; the reader owns its memory. ERR_MISSING: the file
 * or the directory does not exist. ERR_IO: also if the name is not that of a file. ERR_NOMEM. */
MUST_CHECK enum err checkpoint_read(struct env *env, const char *storage_path,
                                    struct budget *memory, struct checkpoint_reader *reader,
                                    struct why *why);
/* Reads the next record, in the order of the file. False after the last. Texts are views of the
 * file; arrays of labels belong to the reader and are valid until the next call. */
bool checkpoint_next(struct checkpoint_reader *reader, struct checkpoint_record *ret);
/* Does nothing after an error and for zeroed memory. */
void checkpoint_fini(struct checkpoint_reader *reader);

#endif
