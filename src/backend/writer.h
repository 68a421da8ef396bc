/*
 * writer.h - the interface of a type of destination, which the relay uses.
 *
 * A writer collects items into calls, makes the requests for a call, and judges the answers. The
 * relay, not the writer, retries, waits, counts and stores. The states of a call:
 *
 *      clear() -> [empty] -- add() --> [filling] -- begin() --> SEND -- judge() --> DONE
 *                                                                ^          |
 *                                                                +-- SEND again (several requests)
 *
 * Before a call the relay runs prepare() if need_prepare() returns true: it gets what all calls
 * need, with requests of its own (credentials, tokens, addresses, shards).
 *
 * Threads: a writer belongs to one thread.
 */
#ifndef BACKEND_WRITER_H
#define BACKEND_WRITER_H

#include "backend/item.h"
#include "backend/settings.h"
#include "net/http_calls.h"
#include "sys/env.h"

/* Each type defines structs of its own (struct influxdb_writer, struct influxdb_call); these two
 * are defined nowhere. A writer begins with a struct writer_base. */
struct writer;
struct writer_call;

enum writer_add {
    WRITER_ADDED,
    WRITER_FULL,    /* no room in this call; an empty one has room */
    WRITER_UNFIT,   /* the destination cannot express it: `why` says what */
    WRITER_TOO_OLD, /* from the store, and too old for the destination to keep */
    WRITER_NO_MEMORY,
};

/* The verdict on a call, or on one of its entries. */
enum writer_verdict {
    VERDICT_DELIVERED,
    VERDICT_RETRY,      /* later: the network, 5xx, timeouts */
    VERDICT_THROTTLED,  /* later, and less at once */
    VERDICT_DEAD,       /* refused permanently */
    VERDICT_MIXED,      /* each entry has its own; only for whole calls, as are those below */
    VERDICT_SOME_DEAD,  /* some were refused permanently, and it is not known which */
    VERDICT_DEAD_CALL,  /* the same, and no part of the call must be sent again */
    VERDICT_TOO_LARGE,  /* to be split */
    VERDICT_AGAIN,      /* at once: the writer has learnt an address or the time */
    VERDICT_REBUILD,    /* the same, and the body has to be rebuilt */
    VERDICT_UNPREPARED, /* credentials were refused, or the address is gone: prepare() first */
    VERDICT_BLOCKED, /* wrong configuration, missing permission: nothing can be delivered until it
                        is fixed */
};

enum writer_next {
    WRITER_SEND,
    WRITER_SAVE, /* the result of save() has to become durable; then begin() again */
    WRITER_WAIT, /* a program runs: again soon; only for callers that poll */
    WRITER_DONE,
};

enum { WRITER_REASON_BYTES = 48, WRITER_ANSWER_BYTES = 512 };

struct writer_step {
    enum writer_next next;
    struct http_call http; /* WRITER_SEND; `context` is the relay's */

    /* WRITER_DONE: */
    enum writer_verdict verdict;
    int64_t wait_ms; /* time before a retry, if the destination requests one; else 0 */
    /* A word for metrics and dead letters: "conflict", "http_403", "throttled". */
    char reason[WRITER_REASON_BYTES];
    char answer[WRITER_ANSWER_BYTES]; /* the destination's message, shortened */
    uint32_t refused; /* with DEAD_CALL: number of refused items, the others were stored; 0: not
                         known */
    /* With DELIVERED, of check(): a server that refuses everything would give the same answer. */
    bool is_unproven;
};

/* The verdict on one entry of a call. */
struct writer_entry {
    enum writer_verdict verdict; /* DELIVERED, RETRY, THROTTLED or DEAD */
    char reason[WRITER_REASON_BYTES];
    char answer[WRITER_ANSWER_BYTES];
};

struct writer_limits {
    bool one_of_a_series; /* records fail one by one: a call has at most one per series */
    bool one_lane;
    bool takes_metadata;
    bool throttles_parts; /* a throttled call says nothing about others, because each shard has its
                             own limit */
    uint32_t concurrency; /* default of the setting, as the next two */
    uint32_t samples;
    uint64_t bytes;       /* sent */
    uint32_t samples_max; /* overrides the settings */
    uint64_t bytes_max;
    int64_t max_age_ms; /* age of a call being filled; 0: the setting */
    /*
     * The number, from 1 on, of the check() that needs the credentials of calls and stores nothing:
     * it runs at the start if there is nothing to send, and before a refusal is applied where
     * nothing was accepted. 0: the type has no such check, or prepare() suffices.
     */
    uint32_t start_check;
    const char *unit; /* unit of billing: "put_units"; NULL: none */
    unsigned mapped;  /* those of WRITER_MAPPED_FLOAT and _HISTOGRAM that are mapped */
};

/* The parts of an item that are written in another, reversible form: bits. */
enum writer_mapped {
    WRITER_MAPPED_METRIC = 1,
    WRITER_MAPPED_LABEL_NAME = 2,
    WRITER_MAPPED_LABEL_VALUE = 4,
    WRITER_MAPPED_FLOAT = 8, /* NaN and infinities */
    WRITER_MAPPED_HISTOGRAM = 16,
};

struct writer_options {
    struct env *env;
    struct budget *memory;
    const struct destination_settings *settings; /* outlives the writer */
    const char *dir;      /* directory of the destination, durable; the writer owns its files except
                             "state" and "dead-letters" */
    const char *instance; /* hex, for the beginning of names: differs from that of all other
                             directories and copies */
    struct bytes saved;   /* the last result of save(); empty: nothing */
    uint32_t fills;       /* number of fills begun so far; durable */
    uint64_t again_pos;   /* an earlier fill may have delivered records before this position */
};

struct writer_base {
    struct writer_options options;
    struct writer_limits limits;
};

struct writer_class {
    enum destination_type type;
    size_t writer_bytes; /* size of struct influxdb_writer */
    size_t call_bytes;   /* size of struct influxdb_call */

    /* For writer_new(): initializes a writer in zeroed memory, whose options are set, with its
     * limits. After an error fini() follows. ERR_NOMEM needs no sentence. */
    MUST_CHECK enum err (*init)(struct writer *writer, struct why *why);
    void (*fini)(struct writer *writer);
    /* For writer_call_new(), in zeroed memory; after an error call_fini() follows. */
    MUST_CHECK enum err (*call_init)(struct writer *writer, struct writer_call *call);
    void (*call_fini)(struct writer *writer, struct writer_call *call);
    void (*call_clear)(struct writer *writer, struct writer_call *call);
    /* `ret_entry`: the number of the part of the call that gets a verdict of its own with this
     * item; 0 if only the whole call does. An empty call is never WRITER_FULL. */
    enum writer_add (*add)(struct writer *writer, struct writer_call *call, const struct item *item,
                           uint32_t *ret_entry, struct why *why);
    /* Return approximately the bytes to be sent, and the units of billing. */
    uint64_t (*bytes)(const struct writer *writer, const struct writer_call *call);
    uint64_t (*units)(const struct writer *writer,
                      const struct writer_call *call); /* may be NULL */
    /* Returns true if a text in this role, one of the first three of enum writer_mapped, is mapped;
     * NULL: none is. */
    bool (*maps)(struct writer *writer, enum writer_mapped role, struct bytes text);
    /* Begins to send the call, for the first time or again. */
    void (*begin)(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
    /* Judges the answer after WRITER_SEND. NULL if the type sends nothing. */
    void (*judge)(struct writer *writer, struct writer_call *call,
                  const struct http_call_answer *answer, struct writer_step *ret_step);
    /* Returns the verdict on an entry, after VERDICT_MIXED. NULL if the type never returns that. */
    void (*entry)(const struct writer *writer, const struct writer_call *call, uint32_t entry,
                  struct writer_entry *ret_entry);

    /* NULL: nothing has to be prepared. prepare() begins if `answer` is NULL, and
     * VERDICT_DELIVERED is success. */
    bool (*need_prepare)(struct writer *writer);
    void (*prepare)(struct writer *writer, const struct http_call_answer *answer,
                    struct writer_step *ret_step);

    /* Appends the state to be saved across restarts; NULL: nothing. */
    void (*save)(const struct writer *writer, struct buf *to);
    /* Called when the last result of save() is durable, with everything settled then; may be
     * NULL. */
    MUST_CHECK enum err (*saved)(struct writer *writer, struct why *why);
    /* Called before each save(), for work without a call; `closing`: for the last time. May be
     * NULL. */
    MUST_CHECK enum err (*tend)(struct writer *writer, bool closing, struct why *why);

    /* For `firekeep destinations test`: numbered checks, each stepped like prepare(); `what`
     * names the checked object. False: no check has that number. */
    bool (*check)(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                  struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES]);
};

/* The types of destinations. */
extern const struct writer_class clickhouse_writer;
extern const struct writer_class file_writer;
extern const struct writer_class firehose_writer;
extern const struct writer_class influxdb_writer;
extern const struct writer_class kinesis_writer;
extern const struct writer_class opentsdb_writer;
extern const struct writer_class remote_write_writer;
extern const struct writer_class s3_writer;
extern const struct writer_class timestream_writer;
/* Returns NULL for a number that is not a type. */
const struct writer_class *writer_class_of(enum destination_type type);

/* The writer is given. Its memory is from the options' budget. Errors of the type. */
MUST_CHECK enum err writer_new(const struct writer_class *class,
                               const struct writer_options *options, struct writer **ret_writer,
                               struct why *why);
void writer_free(const struct writer_class *class, struct writer *writer);
/* Makes an empty call of this writer. ERR_NOMEM. */
MUST_CHECK enum err writer_call_new(const struct writer_class *class, struct writer *writer,
                                    struct writer_call **ret_call);
void writer_call_free(const struct writer_class *class, struct writer *writer,
                      struct writer_call *call);
static inline const struct writer_limits *
writer_limits_of(const struct writer *writer)
{
    return &((const struct writer_base *)(const void *)writer)->limits;
}

/* Returns WRITER_UNFIT, with a sentence. */
enum writer_add writer_unfit(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);
/* Returns the parts of an item that are mapped: bits of enum writer_mapped. */
unsigned writer_mapped_parts(const struct writer_class *class, struct writer *writer,
                             const struct item *item);
/* Sets the answer to one line of the text, shortened. */
void step_answer(struct writer_step *step, struct bytes text);
/* Masks what the step's words repeat of the credentials of the call whose answer was judged. */
void step_mask(struct writer_step *step, const struct http_calls *calls);
/* Makes the step DONE with a verdict and its words. */
void step_done(struct writer_step *step, enum writer_verdict verdict, const char *reason,
               const char *answer);
/* Makes a check, whose request without samples was answered with 400, DELIVERED and unproven. */
void step_unproven(struct writer_step *step);
/* Makes the step DONE, to be retried: there is not enough memory for `what`. */
void step_no_memory(struct writer_step *step, const char *what);

/* --- files ------------------------------------------------------------------------------------ */

enum own_file_verdict {
    OWN_FILE_HARMLESS, /* leftover or unfinished: nothing is lost with it */
    OWN_FILE_UNKNOWN,  /* not a file of the type */
    OWN_FILE_DAMAGED,
};

struct own_files_options {
    struct env *env;
    struct budget *memory;
    const char *dir;    /* directory of the destination */
    struct bytes saved; /* the writer's last save() */
    bool has_saved;     /* false: not known */
    /* Called for each finding, with the path of the file and its error. */
    void (*say)(void *context, enum own_file_verdict verdict, const char *text);
    void *context;
};

/* Checks the file or directory with this name, which the type keeps besides those of the relay,
 * while no server runs; writes nothing. `ret_files`: the number of files. Damage is a finding, not
 * an error. ERR_IO, ERR_NOMEM, ERR_LIMIT. Any thread. */
MUST_CHECK enum err own_files_examine(const struct own_files_options *options, const char *name,
                                      bool is_dir, uint64_t *ret_files, struct why *why);

#endif
