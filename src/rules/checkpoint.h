/*
 * checkpoint.h - how far each group of rules has come, and its alerts: one file for all tenants,
 * which is replaced as a whole. Format: docs/format/rules_state.md.
 *
 *     DIR/rules/state               the file; DIR is the storage directory
 *     DIR/rules/state.unreadable    a file that could not be read, put aside
 *
 * It is written record by record: checkpoint_begin(); for each tenant checkpoint_put_tenant(), and
 * for each of its groups checkpoint_put_group(), for each rule of the group that has alerts
 * checkpoint_put_rule(), for each alert of the rule checkpoint_put_alert(); checkpoint_end().
 *
 * Times are Unix nanoseconds, 0: never, unless a name says otherwise. The decoder accepts every
 * value of a time.
 *
 * Threads: pure; one at a time replaces the file.
 */
#ifndef RULES_CHECKPOINT_H
#define RULES_CHECKPOINT_H

#include "base/buf.h"
#include "rules/alerts.h"
#include "sys/env.h"

enum {
    CHECKPOINT_BYTES_MAX = 1 << 30,
    CHECKPOINT_LOG_ID_BYTES = 16,
};

struct checkpoint_head {
    uint8_t log_id[CHECKPOINT_LOG_ID_BYTES]; /* of the write-ahead log; all zero: there was none */
    int64_t written_ns;
    int64_t latest_ns; /* the latest time that any group was evaluated at */
};

struct checkpoint_alert {
    struct alert_found found; /* annotations and value: of the last evaluation that found it */
    enum alert_state state;
    int64_t active_at_ns;
    int64_t fired_at_ns;
    int64_t resolved_at_ns;
    int64_t keep_firing_since_ns;
    int64_t sent_at_ns;     /* last */
    int64_t valid_until_ns; /* as it was sent last */
};

/* An alerting rule that has alerts. */
struct checkpoint_rule {
    struct bytes name;          /* of the alert */
    const struct label *labels; /* of the rule and its group, as in the file, by name */
    uint32_t label_count;
    uint32_t nth; /* number of the group's rules before it that have the same name and labels */
    /* The reader's; the writer puts them one by one. */
    struct checkpoint_alert *alerts;
    uint32_t alert_count;
};

struct checkpoint_group {
    struct bytes file, name;
    int64_t interval_ns;     /* above 0 */
    int64_t next_ns;         /* time of its next evaluation */
    int64_t retired_ns;      /* when it left the configuration; 0: it is configured */
    int64_t evaluated_at_ns; /* time of its last live evaluation */
    struct checkpoint_rule *rules;
    uint32_t rule_count;
};

struct checkpoint_tenant {
    struct bytes name;
    int64_t sender_ms; /* Unix ms, when a sender last wrote; INT64_MIN: never */
    struct checkpoint_group *groups;
    uint32_t group_count;
};

/* --- writing ---------------------------------------------------------------------------------- */

/* The place in the file that a writer or reader has reached. */
struct checkpoint_place {
    unsigned depth; /* 0: no record; 1: after a tenant, ..., 4: after an alert */
    struct bytes tenant, file, name;
};

struct checkpoint_writer {
    struct buf *to;
    struct checkpoint_place place;
};

/*
 * Into an empty buffer with a limit of at most CHECKPOINT_BYTES_MAX. Errors show in the buffer,
 * and checkpoint_end() returns them. Names of tenants and groups are borrowed until the next of
 * them; they rise, and each occurs once.
 */
void checkpoint_begin(struct checkpoint_writer *writer, const struct checkpoint_head *head,
                      struct buf *to);
void checkpoint_put_tenant(struct checkpoint_writer *writer,
                           const struct checkpoint_tenant *tenant);
void checkpoint_put_group(struct checkpoint_writer *writer, const struct checkpoint_group *group);
void checkpoint_put_rule(struct checkpoint_writer *writer, const struct checkpoint_rule *rule);
void checkpoint_put_alert(struct checkpoint_writer *writer, const struct checkpoint_alert *alert);
/*
 * The buffer is complete, for checkpoint_replace(). Uses nothing that is borrowed; the checksum of
 * a large buffer takes time. ERR_LIMIT: it would be larger than the buffer may be; ERR_NOMEM.
 */
MUST_CHECK enum err checkpoint_end(struct checkpoint_writer *writer, struct why *why);

/*
 * Durable on return, and `rules/` is made if it is missing. After an error either file may be
 * found.
 */
MUST_CHECK enum err checkpoint_replace(struct env *env, const char *storage_path,
                                       struct bytes encoded, struct why *why);
/*
 * Renames a file that cannot be read, before it is replaced: also one that a newer version wrote,
 * which would be out of date when that version runs again. Durable after the next
 * checkpoint_replace(). OK also if there is none.
 */
MUST_CHECK enum err checkpoint_put_aside(struct env *env, const char *storage_path,
                                         struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

/* Texts are views of the file, arrays lie in the arena. */
struct checkpoint {
    struct checkpoint_head head;
    struct checkpoint_tenant *tenants;
    uint32_t tenant_count;
    uint32_t group_count, rule_count, alert_count, label_count; /* of all */
    struct arena arena;
    struct buf file; /* of checkpoint_read() */
};

/*
 * What `ret` has are views of `file`; checkpoint_fini() frees the rest. Memory is taken after all
 * of the file was found to be right.
 *
 * ERR_CORRUPT      it is damaged.
 * ERR_UNSUPPORTED  a newer version wrote it.
 * ERR_NOMEM
 */
MUST_CHECK enum err checkpoint_decode(struct bytes file, struct budget *memory,
                                      struct checkpoint *ret, struct why *why);
/* The same of the file in its place, which `why` names. ERR_MISSING: there is none, or no
 * directory. ERR_IO: also if something else than a file has its name. */
MUST_CHECK enum err checkpoint_read(struct env *env, const char *storage_path,
                                    struct budget *memory, struct checkpoint *ret, struct why *why);
/* Zeroed memory is fine. */
void checkpoint_fini(struct checkpoint *checkpoint);

#endif
