/*
 * target.h - where import and copy write to, and export and query read from: a running server, by
 * remote write, remote read and its query API, or the storage directory of a stopped one; and for
 * writing alone, a destination of a configuration.
 */
#ifndef CLI_LIB_TARGET_H
#define CLI_LIB_TARGET_H

#include <stdatomic.h>

#include "model/ledger.h"
#include "model/selector.h"
#include "wire/remote/remote_write.h"

struct progress;
struct query_asked;
struct query_failure;
struct query_sink;

struct destination_settings;
struct target_options {
    const char *url;     /* NULL, or of the server's root, or of one path of it */
    const char *storage; /* NULL, or a directory */
    /* NULL, or where to write, by a relay of this process: then `storage` is the directory of its
     * log, where what a run could not deliver waits for the next. Outlives the target. */
    const struct destination_settings *destination;
    const char *config_file; /* NULL, or the one of the directory's server: its limits count */
    const char *tenant;      /* NULL: not given */
    bool many_tenants;       /* it may be several, "a|b" */
    int64_t retry_ns;        /* how long a server may be away */
    bool writing;
    bool existing; /* writing does not make a directory either */
    bool partial;  /* damaged pages are left out of what is read, and reported */
    /* Reports one; with `partial`. */
    void (*left_out)(void *context, const char *text);
    const atomic_bool *stop;
    void *context;
    struct progress *progress; /* shows that a request is retried; NULL: nothing is shown */
};

/* The flags that say which, for a table of struct flag: of the field `f` of struct `s`. */
#define TARGET_FLAGS(s, f, config_help)                                                       \
    {"url",     0,                                                                            \
     FLAG_TEXT, offsetof(s, f.url),                                                           \
     "URL",     "URL of a running server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"}, \
        {"storage.path", 0,                                                                   \
         FLAG_TEXT,      offsetof(s, f.storage),                                              \
         "DIRECTORY",    "instead of a server: storage directory of a stopped server"},       \
        {"config.file", 0, FLAG_TEXT, offsetof(s, f.config_file), "FILE", (config_help)},     \
    {                                                                                         \
        "tenant", 0, FLAG_TEXT, offsetof(s, f.tenant), "ID",                                  \
            "tenant, sent in the header X-Scope-OrgID"                                        \
    }
#define TARGET_URL_VARIABLE "FIREKEEP_URL"
/* The server to use where --url names none: $FIREKEEP_URL, or the default address of `serve`. */
const char *target_default_url(void);
/* If they said nothing: that server. */
void target_settle(struct target_options *options);

/* Says on stderr if the configuration has sources, of which a directory knows nothing. */
void target_tell_unread(const struct target_options *options);

struct answerer;
struct sample_sink;
struct target;
struct tsdb;

/*
 * Nothing is asked of a server yet. ERR_INPUT: neither or both of url and storage, an invalid
 * tenant, not a storage directory; ERR_AGAIN: a server holds the directory.
 */
MUST_CHECK enum err target_open(const struct target_options *options, struct target **ret_target,
                                struct why *why);
/* Of a directory: what was written goes into a part. Of a destination: waits until all is
 * delivered, or refused for good. The data is safe also when this fails. */
MUST_CHECK enum err target_finish(struct target *target, struct why *why);
void target_free(struct target *target);

/* The store of a directory; NULL: it is a server. With it only what tsdb_open() says of `read_only`
 * may be done. */
struct tsdb *target_store(struct target *target);

/*
 * Whether the value of a flag can be a server's address. ERR_INPUT: it is neither http:// nor
 * https://, or holds a user name or password, which would show in messages and files.
 */
MUST_CHECK enum err target_check_url(const char *flag, const char *url, struct why *why);

/* How it is called in messages and in files that note a position. */
const char *target_name(const struct target *target);

struct relay_status;
/* Of a destination: what became of what was written. False: it is another target. */
bool target_delivery(struct target *target, struct relay_status *ret_status);

/* What is known to be missing in what can be read, for people; NULL: nothing. */
const char *target_damage(const struct target *target);

/* What one write request holds. */
struct target_counts {
    uint64_t of[LEDGER_KIND_COUNT];
};

struct target_result {
    struct target_counts rejected;
    char text[480]; /* why, if anything was */
    bool too_large; /* nothing was taken, and in smaller requests it may be */
};

/*
 * Writes one request, uncompressed. `packed`: the same as a snappy block, if the caller has it
 * (`at` NULL: not). `counts`: what it holds. OK: all but what `ret_result` names is durable.
 * ERR_AGAIN: the server could not be reached or could not take it, in all the time there was;
 * ERR_INPUT: it refuses all of it for ever; ERR_CANCELED: stopped; errors of the store.
 */
MUST_CHECK enum err target_write(struct target *target, enum rw_version version,
                                 struct bytes message, struct bytes packed,
                                 const struct target_counts *counts,
                                 struct target_result *ret_result, struct why *why);

/*
 * Deletes what each of these selectors selects between two times, both inclusive; durable on
 * return. *ret_samples: how many. ERR_INPUT: a selector is wrong, or the server does not allow it;
 * others as those of target_write(), and ERR_UNSUPPORTED: a destination.
 */
MUST_CHECK enum err target_delete(struct target *target, const struct bytes *selectors,
                                  uint32_t count, int64_t min_ms, int64_t max_ms,
                                  uint64_t *ret_samples, struct why *why);

/* Of a server: appends the answer to a GET of a path, with its query, if its status is 2xx; else
 * *ret_status is that, and `why` has a sentence about it. ERR_UNSUPPORTED: it is no server; errors
 * of http_client_fetch(). */
MUST_CHECK enum err target_fetch(struct target *target, const char *path, struct buf *to,
                                 unsigned *ret_status, struct why *why);

/* What there is to read, of the tenant target_tenant(); lives as long as the target. */
struct answerer *target_answerer(struct target *target);
struct bytes target_tenant(const struct target *target);

/*
 * What the selector selects between two times, both inclusive, goes into the sink. ERR_CORRUPT:
 * what is stored is damaged, and it makes no sense to ask again; ERR_AGAIN, ERR_IO: it could not be
 * read; after an error a part may have come.
 */
MUST_CHECK enum err target_read(struct target *target, const struct selector *selector,
                                int64_t min_ms, int64_t max_ms, struct sample_sink *sink,
                                struct why *why);

/*
 * What an expression gives goes into the sink, but for its end(). ERR_INPUT: it has no result;
 * ERR_UNSUPPORTED: the server does not answer as Prometheus does; errors of http_client_open(),
 * promql_run() and the sink. After an error a part may have come.
 */
MUST_CHECK enum err target_query(struct target *target, const struct query_asked *asked,
                                 struct query_sink *sink, struct query_failure *failure,
                                 struct why *why);

#endif
