/*
 * target.h - the place that import and copy write to, and that export and query read from: a
 * running server, through remote write, remote read and its query API, or the storage directory of
 * a stopped one; and, for writing only, a destination of a configuration.
 */
#ifndef CLI_LIB_TARGET_TARGET_H
#define CLI_LIB_TARGET_TARGET_H

#include <stdatomic.h>

#include "cli/lib/client_access.h"
#include "model/ledger.h"
#include "model/selector.h"
#include "wire/remote/remote_write.h"

struct progress;
struct target;
struct query_parameters;
struct query_failure;
struct query_sink;

struct destination_settings;
struct target_options {
    /* NULL, or the server's URL, perhaps with the prefix of its paths, or the URL of one page of
     * the API; client_access.h has the forms. */
    const char *url;
    char plain_url[CLIENT_URL_BYTES]; /* set by target_settle(): without user and password */
    const char *http_config_file;     /* NULL, or the file of --http.config.file */
    /* NULL, or an open target of the same server, whose credentials are used; it outlives this one.
     * A password is then asked for once. */
    const struct target *like;
    const char *storage; /* NULL, or a directory */
    /*
     * NULL, or the destination that a relay of this process writes to: then `storage` is the
     * directory of its log, which keeps what a run could not deliver for the next. Outlives the
     * target.
     */
    const struct destination_settings *destination;
    const char *config_file; /* NULL, or that of the directory's server, for its limits */
    uint64_t after_pos;      /* only parts that reach beyond this position of the log are read */
    const char *tenant;      /* NULL: not given */
    bool many_tenants;       /* `tenant` may name several, "a|b" */
    int64_t retry_ns;        /* time to wait for an unavailable server */
    bool writing;
    bool existing; /* the directory must exist even for writing */
    bool partial;  /* damaged pages are left out when reading, and reported */
    /* Reports a page that was left out; with `partial`. */
    void (*left_out)(void *context, const char *text);
    const atomic_bool *stop;
    void *context;
    struct progress *progress; /* shows retries; NULL: nothing is shown */
};

#define HTTP_CONFIG_FLAG(s, f)                                                                  \
    {                                                                                           \
        "http.config.file", 0, FLAG_TEXT, offsetof(s, f), "FILE",                               \
            "how to reach the server: user, token, TLS, proxy; as promtool's flag of this name" \
    }

/* The flags that name a target, for a table of struct flag: of the field `f` of struct `s`. */
#define TARGET_FLAGS(s, f, config_help)                                                       \
    {"url",     0,                                                                            \
     FLAG_TEXT, offsetof(s, f.url),                                                           \
     "URL",     "URL of a running server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"}, \
        HTTP_CONFIG_FLAG(s, f.http_config_file),                                              \
        {"storage.path", 0,                                                                   \
         FLAG_TEXT,      offsetof(s, f.storage),                                              \
         "DIRECTORY",    "instead of a server: storage directory of a stopped server"},       \
        {"config.file", 0, FLAG_TEXT, offsetof(s, f.config_file), "FILE", (config_help)},     \
    {                                                                                         \
        "tenant", 0, FLAG_TEXT, offsetof(s, f.tenant), "ID",                                  \
            "tenant, sent in the header X-Scope-OrgID"                                        \
    }
#define TARGET_URL_VARIABLE "FIREKEEP_URL"
/* Returns the default for --url: $FIREKEEP_URL, or the default address of `serve`. */
const char *target_default_url(void);
/* Sets that default if the flags name no target, and the plain URL. ERR_INPUT: invalid URL. */
MUST_CHECK enum err target_settle(struct target_options *options, struct why *why);

/* Sets that default if `*url` is NULL, and checks the URL, for a command that only asks servers.
 * ERR_INPUT: invalid URL. */
MUST_CHECK enum err target_settle_url(const char **url, struct why *why);

/* Warns on stderr if the configuration has sources, which a directory does not read. */
void target_warn_unread(const struct target_options *options);

struct answerer;
struct budget;
struct sample_sink;
struct tsdb;

/* Opens a target. No request is sent, except for a token of oauth2; a password may be asked for.
 * ERR_INPUT: neither or both of url and storage, an invalid
 * tenant, not a storage directory; ERR_AGAIN: a server has the directory open. */
MUST_CHECK enum err target_open(const struct target_options *options, struct target **ret_target,
                                struct why *why);
/* Flushes a directory's samples into a part. For a destination, waits until everything is
 * delivered, or permanently refused. The data is durable even if this fails. */
MUST_CHECK enum err target_finish(struct target *target, struct why *why);
void target_free(struct target *target);

struct relay_status;
/* Returns the fates of what was written to a destination. False: another kind of target. */
bool target_delivery(struct target *target, struct relay_status *ret_status);

/* Numbers of items of a write request, by kind. */
struct target_counts {
    uint64_t of[LEDGER_KIND_COUNT];
};

struct target_result {
    struct target_counts rejected;
    char text[480]; /* the reason, if anything was rejected */
    bool too_large; /* nothing was taken; smaller requests may be */
};

struct target_ops {
    enum err (*write)(struct target *target, enum rw_version version, struct bytes message,
                      struct bytes packed, const struct target_counts *counts,
                      struct target_result *result, struct why *why);
    enum err (*query)(struct target *target, const struct query_parameters *parameters,
                      struct query_sink *sink, struct query_failure *failure,
                      struct why *why); /* NULL: a destination */
    enum err (*delete)(struct target *target, const struct bytes *selectors, uint32_t count,
                       int64_t min_ms, int64_t max_ms, uint64_t *ret_samples, struct why *why);
    enum err (*fetch)(struct target *target, const char *path, struct buf *to, unsigned *ret_status,
                      struct why *why);                         /* NULL: not a server */
    enum err (*finish)(struct target *target, struct why *why); /* NULL: nothing to do */
    void (*free)(struct target *target);
};

struct target {
    /* For target*.c: */
    const struct target_ops *ops;
    struct target_options options;
    struct budget *read_memory;
    int64_t thinned_to_ms; /* coarsest resolution of downsampled samples that was warned of */

    const char *name;          /* for messages and for files that hold a position */
    struct answerer *answerer; /* for the tenant target_tenant() */
    /* The store of a directory; NULL for a server. Only what tsdb_open() allows with `read_only`
     * may be done with it. */
    struct tsdb *store;
    char damage[700]; /* a sentence about what cannot be read; "": nothing is missing */
};

/*
 * Writes one request, uncompressed. `packed`: the same as a snappy block, if the caller has it
 * (otherwise `at` is NULL). `counts`: its contents. OK: everything but what `ret_result` names is
 * durable. ERR_AGAIN: the server could not be reached or could not take it within `retry_ns`;
 * ERR_INPUT: it refuses the whole request permanently; ERR_CANCELED: stopped; errors of the store.
 */
MUST_CHECK enum err target_write(struct target *target, enum rw_version version,
                                 struct bytes message, struct bytes packed,
                                 const struct target_counts *counts,
                                 struct target_result *ret_result, struct why *why);

/*
 * Deletes the samples that the selectors select between two times, both inclusive; durable on
 * return. *ret_samples: the number deleted. ERR_INPUT: a selector is invalid, or the server does
 * not allow it; ERR_LIMIT: more deletions cannot be held; others as for target_write(), and
 * ERR_UNSUPPORTED: a destination.
 */
MUST_CHECK enum err target_delete(struct target *target, const struct bytes *selectors,
                                  uint32_t count, int64_t min_ms, int64_t max_ms,
                                  uint64_t *ret_samples, struct why *why);

/*
 * Appends a server's answer to a GET of a path, with its query, if its status is 2xx; otherwise
 * sets *ret_status, and `why` has a sentence about it. ERR_UNSUPPORTED: the target is not a server;
 * errors of http_client_fetch().
 */
MUST_CHECK enum err target_fetch(struct target *target, const char *path, struct buf *to,
                                 unsigned *ret_status, struct why *why);

struct bytes target_tenant(const struct target *target);

/*
 * Reads the series that the selector selects between two times, both inclusive, into the sink.
 * ERR_CORRUPT: the store is damaged, and a retry is useless; ERR_AGAIN, ERR_IO: it could not be
 * read. After an error the sink may have a part.
 */
MUST_CHECK enum err target_read(struct target *target, const struct selector *selector,
                                int64_t min_ms, int64_t max_ms, struct sample_sink *sink,
                                struct why *why);

/*
 * Evaluates an expression into the sink, without calling its end(). ERR_INPUT: it has no result;
 * ERR_UNSUPPORTED: the server's API is not that of Prometheus; errors of http_client_open(),
 * promql_run() and the sink. After an error the sink may have a part.
 */
MUST_CHECK enum err target_query(struct target *target, const struct query_parameters *parameters,
                                 struct query_sink *sink, struct query_failure *failure,
                                 struct why *why);

/* --- for target*.c ---------------------------------------------------------------------------- */

/* Returns the name of the flag or variable that has the URL. */
const char *target_url_flag(const struct target_options *options);
enum err target_server_open(const struct target_options *options, struct target **ret_target,
                            struct why *why);
enum err target_directory_open(const struct target_options *options, struct target **ret_target,
                               struct why *why);
enum err target_destination_open(const struct target_options *options, struct target **ret_target,
                                 struct why *why);

#endif
