/*
 * writer.h - what a type of destination has to be able to do, so that the relay can do the rest.
 *
 * A writer gathers items into calls, says what is to be sent for a call, and judges the answer. It
 * never repeats, waits, counts or remembers: the relay does. A call lives through
 *
 *      clear() -> [empty] -- add() --> [filling] -- begin() --> SEND -- judge() --> DONE
 *                                                                ^          |
 *                                                                +-- SEND again (several requests)
 *
 * Before any call the relay runs prepare() where need_prepare() says so: what all calls need and
 * what itself takes requests (credentials, tokens, addresses, shards).
 *
 * Threads: a writer belongs to one thread.
 */
#ifndef BACKEND_WRITER_H
#define BACKEND_WRITER_H

#include "backend/item.h"
#include "backend/settings.h"
#include "net/http_calls.h"
#include "sys/env.h"

/* What a type knows by a name of its own (struct influxdb_writer, struct influxdb_call): these two
 * are defined nowhere. A writer begins with a struct writer_base. */
struct writer;
struct writer_call;

enum writer_add {
    WRITER_ADDED,
    WRITER_FULL,    /* no room in this call; into an empty one it would fit */
    WRITER_UNFIT,   /* the destination has no form for it: `why` says what */
    WRITER_TOO_OLD, /* only of what comes from the store: it keeps nothing of that time any more */
    WRITER_NO_MEMORY,
};

/* What is to become of a call, or of one of its entries. */
enum writer_verdict {
    VERDICT_DELIVERED,
    VERDICT_RETRY,      /* later: the network, 5xx, timeouts */
    VERDICT_THROTTLED,  /* later, and less at a time */
    VERDICT_DEAD,       /* refused permanently */
    VERDICT_MIXED,      /* each entry has its own; only of whole calls, as are those below */
    VERDICT_SOME_DEAD,  /* some were refused permanently, and it is not known which */
    VERDICT_DEAD_CALL,  /* the same, and nothing of it is to be sent again */
    VERDICT_TOO_LARGE,  /* fewer at a time */
    VERDICT_AGAIN,      /* at once: the writer has learnt something (an address, the time) */
    VERDICT_REBUILD,    /* the same, and what it has learnt changes the body */
    VERDICT_UNPREPARED, /* credentials refused, address gone: prepare() first, then again */
    VERDICT_BLOCKED,    /* configuration, permission: nothing can be delivered until it is mended */
};

enum writer_next {
    WRITER_SEND,
    WRITER_SAVE, /* what save() gives has to be durable first; then begin() again */
    WRITER_WAIT, /* a program runs: again in a moment; only of who said that he polls it */
    WRITER_DONE,
};

enum writer_hint {
    HINT_NONE,
    HINT_NAMED,  /* blames() knows them, or one of them */
    HINT_OLDEST, /* those with the lowest times; `refused` says how many */
};

enum { WRITER_REASON_BYTES = 48, WRITER_ANSWER_BYTES = 512 };

struct writer_step {
    enum writer_next next;
    struct http_call http; /* WRITER_SEND; `context` is the relay's */

    /* WRITER_DONE: */
    enum writer_verdict verdict;
    int64_t wait_ms; /* before it is repeated, as the destination asks; 0: not said */
    /* One word for metrics and dead letters: "conflict", "http_403", "throttled". */
    char reason[WRITER_REASON_BYTES];
    char answer[WRITER_ANSWER_BYTES]; /* in words: what the destination said, shortened */
    /* With VERDICT_SOME_DEAD: where to look first. Nothing is settled by it. */
    uint32_t refused; /* so many, the others were taken; 0: not said. With DEAD_CALL, too */
    bool tells_all;   /* if all were refused, the verdict would be VERDICT_DEAD */
    enum writer_hint hint;
};

/* Whom an answer names. */
enum writer_blame { BLAMES_NOT, BLAMES_SERIES, BLAMES_METRIC };

/* The verdict on one entry of a call. */
struct writer_entry {
    enum writer_verdict verdict; /* DELIVERED, RETRY, THROTTLED or DEAD */
    char reason[WRITER_REASON_BYTES];
    char answer[WRITER_ANSWER_BYTES];
};

struct writer_limits {
    bool one_of_a_series; /* records fail singly: a call holds one of each series at most */
    bool one_lane;
    bool takes_metadata;
    bool throttles_parts; /* a throttled call says nothing of others: shards have limits each */
    uint32_t concurrency; /* where the settings do not say, as the next two */
    uint32_t samples;
    uint64_t bytes;       /* of what is sent */
    uint32_t samples_max; /* whatever the settings say */
    uint64_t bytes_max;
    int64_t max_age_ms; /* of a call being filled; 0: as the settings say */
    /* The check(), from 1 on, that needs the credentials that calls need and stores nothing: it is
     * made at the start if there is nothing to send. 0: the type has no check, or prepare() says
     * enough. */
    uint32_t start_check;
    const char *unit; /* what is billed: "put_units"; NULL: nothing is */
};

/* What of an item is written in another form, from which it can be had back: bits. */
enum writer_mapped {
    WRITER_MAPPED_METRIC = 1,
    WRITER_MAPPED_LABEL_NAME = 2,
    WRITER_MAPPED_LABEL_VALUE = 4,
    WRITER_MAPPED_FLOAT = 8, /* one that is not finite */
    WRITER_MAPPED_HISTOGRAM = 16,
};

struct writer_options {
    struct env *env;
    struct budget *memory;
    const struct destination_settings *settings; /* outlive the writer */
    const char *dir;      /* the destination's own, durable; files in it are the writer's but
                             "state" and "dead-letters" */
    const char *instance; /* hex: begins names that no other directory gives, nor a copy of it */
    struct bytes saved;   /* what save() gave last time; empty: nothing */
    uint32_t shards;      /* for a plan, of a stream: as many are taken to be there; 0: not said */
    uint32_t fills;       /* how often it began to be given what is stored; durable */
    uint64_t again_pos;   /* what the log has before it may have been given in an earlier fill */
};

struct writer_base {
    struct writer_options options;
    struct writer_limits limits;
};

struct writer_class {
    enum destination_type type;
    size_t writer_bytes; /* of struct influxdb_writer, */
    size_t call_bytes;   /* and struct influxdb_call */

    /* For writer_new(): a writer in zeroed memory, with its options, gets its limits and all else.
     * After an error fini() follows. ERR_NOMEM needs no sentence. */
    MUST_CHECK enum err (*init)(struct writer *writer, struct why *why);
    void (*fini)(struct writer *writer);
    /* For writer_call_new(), in zeroed memory; after an error call_fini() follows. */
    MUST_CHECK enum err (*call_init)(struct writer *writer, struct writer_call *call);
    void (*call_fini)(struct writer *writer, struct writer_call *call);
    void (*call_clear)(struct writer *writer, struct writer_call *call);
    /*
     * `ret_entry`: the number of the part of the call that is judged with this item; 0 where only
     * the whole is. WRITER_FULL never for an empty call.
     */
    enum writer_add (*add)(struct writer *writer, struct writer_call *call, const struct item *item,
                           uint32_t *ret_entry, struct why *why);
    /* What would be sent, about; and how many of the units billed that is. */
    uint64_t (*bytes)(const struct writer *writer, const struct writer_call *call);
    uint64_t (*units)(const struct writer *writer, const struct writer_call *call); /* or NULL */
    /*
     * For `firekeep destinations plan`: makes what would be sent, and sends or writes nothing;
     * bytes and units are then exact. Only call_clear() follows. ERR_NOMEM, ERR_LIMIT.
     * NULL: bytes() and units() are all that is known.
     */
    MUST_CHECK enum err (*make)(struct writer *writer, struct writer_call *call,
                                uint64_t *ret_bytes);
    /* The bits of enum writer_mapped for an item; NULL: nothing is ever mapped. */
    unsigned (*mapped)(struct writer *writer, const struct item *item);
    /* The call is to be sent, for the first time or again. */
    void (*begin)(struct writer *writer, struct writer_call *call, struct writer_step *ret_step);
    /* After WRITER_SEND: what the answer means. NULL where nothing is ever sent. */
    void (*judge)(struct writer *writer, struct writer_call *call,
                  const struct http_call_answer *answer, struct writer_step *ret_step);
    /* After HINT_NAMED, before the next judge(): whether that answer names an item. NULL where
     * there is no such hint. */
    enum writer_blame (*blames)(struct writer *writer, const struct item *item);
    /* After VERDICT_MIXED. NULL where there is none. */
    void (*entry)(const struct writer *writer, const struct writer_call *call, uint32_t entry,
                  struct writer_entry *ret_entry);

    /* NULL: nothing is ever to be prepared. prepare() begins where `answer` is NULL, and DELIVERED
     * is success. */
    bool (*need_prepare)(struct writer *writer);
    void (*prepare)(struct writer *writer, const struct http_call_answer *answer,
                    struct writer_step *ret_step);

    /* What is to be remembered across restarts; NULL: nothing. */
    void (*save)(const struct writer *writer, struct buf *to);
    /* What save() gave last is durable, with everything that was settled then; may be NULL. */
    MUST_CHECK enum err (*saved)(struct writer *writer, struct why *why);
    /* Before each save(): what is to be done without a call; `closing`: for the last time. May be
     * NULL. */
    MUST_CHECK enum err (*tend)(struct writer *writer, bool closing, struct why *why);

    /*
     * For `firekeep destinations test`: the checks one after another, each stepped as by prepare();
     * `what` says what was looked at. False: there is no check of that number.
     */
    bool (*check)(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                  struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES]);
};

/* One for each type. */
extern const struct writer_class clickhouse_writer;
extern const struct writer_class file_writer;
extern const struct writer_class firehose_writer;
extern const struct writer_class influxdb_writer;
extern const struct writer_class kinesis_writer;
extern const struct writer_class opentsdb_writer;
extern const struct writer_class remote_write_writer;
extern const struct writer_class s3_writer;
extern const struct writer_class timestream_writer;
const struct writer_class *writer_class_of(enum destination_type type);

/* Given. Its memory is of the options' budget. Errors are those of the type. */
MUST_CHECK enum err writer_new(const struct writer_class *class,
                               const struct writer_options *options, struct writer **ret_writer,
                               struct why *why);
void writer_free(const struct writer_class *class, struct writer *writer);
/* A call of this writer, cleared. ERR_NOMEM. */
MUST_CHECK enum err writer_call_new(const struct writer_class *class, struct writer *writer,
                                    struct writer_call **ret_call);
void writer_call_free(const struct writer_class *class, struct writer *writer,
                      struct writer_call *call);
static inline const struct writer_limits *
writer_limits_of(const struct writer *writer)
{
    return &((const struct writer_base *)(const void *)writer)->limits;
}

/* WRITER_UNFIT, and why. */
enum writer_add writer_unfit(struct why *why, const char *format, ...) PRINTF_LIKE(2, 3);
/* Whether a text of this role, one of the first three of enum writer_mapped, is mapped. */
typedef bool writer_text_mapped(void *context, enum writer_mapped role, struct bytes text);
/* What of an item is, for mapped(). `forms`: which of WRITER_MAPPED_FLOAT and _HISTOGRAM the
 * destination has a form for. */
unsigned writer_item_mapped(const struct item *item, writer_text_mapped *is_mapped, void *context,
                            unsigned forms);
/* What was answered, in one line, shortened. */
void step_answer(struct writer_step *step, struct bytes text);
/* DONE with a verdict and its words. */
void step_done(struct writer_step *step, enum writer_verdict verdict, const char *reason,
               const char *answer);
/* DONE, to be repeated: there is not enough memory for `what`. */
void step_no_memory(struct writer_step *step, const char *what);

#endif
