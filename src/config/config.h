/*
 * config.h - every setting in one table: its flag, its key in the configuration file, type,
 * default, limits, unit, help, and whether a reload may change it. Flags, file, --help, and
 * /api/v1/status/flags all come from that table (settings_table() in config.c).
 *
 * A setting called web.listen-address is the flag --web.listen-address and, in YAML,
 *     web:
 *       listen_address: ...
 * and so the section self-scrape is self_scrape.
 * Flags win over the file. Booleans: --x, --no-x, --x=true|false. Durations: 10s, 1h30m, 10y (ms,
 * s, m, h, d, w, y). Sizes: 32MiB, 500GB, plain bytes (KB/MB/GB/TB are powers of 1000, KiB... of
 * 1024).
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "net/tls_settings.h"
#include "tsdb/tsdb.h"

struct config_lists;    /* lists.h */
struct rule_settings;   /* lists.h */
struct alerting;        /* notify/settings.h */
struct retention_rules; /* lists.h */

enum storage_mode { STORAGE_LOCAL, STORAGE_NONE, STORAGE_READER };
enum wal_ack_level { ACK_FSYNC, ACK_WRITTEN, ACK_MEMORY, ACK_DESTINATION };

enum {
    SETTING_TEXT_BYTES = 256,
    SETTING_PREFIX_BYTES = SETTING_TEXT_BYTES + 1,
    SETTING_URL_BYTES = 544, /* "http://", a host name, a port, a prefix */
    SETTINGS_MAX = 96,
    SETTING_NUMBER_BYTES = 96, /* for the text of a number or a set */
    CONFIG_BYTES_MAX = 1024 * 1024,
    WEB_HEADER_BYTES_MAX = 1024 * 1024, /* limit of the HTTP server */
};

struct settings {
    char config_file[SETTING_TEXT_BYTES];         /* --config.file, "" = none */
    char storage_path[SETTING_TEXT_BYTES];        /* ./data */
    enum storage_mode storage_mode;               /* local | none */
    uint64_t storage_min_free_bytes;              /* 0: derived from the size of the disk */
    char web_listen_address[SETTING_TEXT_BYTES];  /* "127.0.0.1:9201"; "a,b"; "": none */
    char web_config_file[SETTING_TEXT_BYTES];     /* "": none; reloadable */
    char web_trusted_proxies[SETTING_TEXT_BYTES]; /* "10.0.0.0/8,::1"; reloadable */
    char web_allowed_hosts[SETTING_TEXT_BYTES];   /* "a,b"; reloadable */
    char web_external_url[SETTING_TEXT_BYTES];    /* "": not known */
    char web_route_prefix[SETTING_TEXT_BYTES];    /* "": that of the external URL */
    char web_telemetry_path[SETTING_TEXT_BYTES];  /* "": /metrics only */
    char web_cors_origin[SETTING_TEXT_BYTES];     /* "auto", or a regular expression */
    bool web_enable_lifecycle;                    /* false: /-/reload */
    bool web_enable_admin_api;                    /* false: no /api/v1/admin/... */
    uint32_t web_max_connections;                 /* 1024 */
    uint32_t web_workers;                         /* 0: the number of processors, at least 2 */
    uint64_t web_max_header_bytes;                /* 1 MiB */
    uint64_t web_max_body_bytes;                  /* 64 MiB, compressed */
    uint64_t web_max_decoded_bytes;               /* 64 MiB */
    int64_t web_header_timeout_ms;                /* 10s */
    int64_t web_body_timeout_ms;                  /* 60s */
    int64_t web_idle_timeout_ms;                  /* 5m */
    int64_t web_send_timeout_ms;                  /* 30s */
    uint64_t web_search_max_limit;                /* 10000; 0: no limit; reloadable */
    int64_t retention_time_ms;                    /* 10y; reloadable */
    uint64_t retention_size_bytes;                /* 0: no limit; reloadable */
    int64_t retention_grace_ms;                   /* 1d; reloadable */
    uint32_t retention_share_percent;             /* 25; reloadable */
    int64_t delete_hold_ms;                       /* 1d; 0: no hold; reloadable */
    int64_t write_max_future_ms;                  /* --write.max-future 10m; reloadable */
    uint32_t write_max_labels;                    /* 128; reloadable */
    uint32_t write_max_name_bytes;                /* 1 KiB; reloadable */
    uint32_t write_max_value_bytes;               /* 16 KiB; reloadable */
    uint32_t write_max_series;                    /* 0: no limit; reloadable */
    uint32_t write_max_series_per_metric;         /* 0: no limit; reloadable */
    enum name_rule write_require_name;            /* auto | always | never; reloadable */
    enum wal_ack_level wal_ack;                   /* fsync | written | memory | destination */
    int64_t wal_ack_timeout_ms;                   /* 30s */
    uint64_t wal_segment_bytes;                   /* 64 MiB */
    uint64_t wal_budget_bytes;                    /* 4 GiB; reloadable */
    uint64_t memory_limit_bytes;                  /* 0: 60 % of the machine or its cgroup */
    uint64_t head_max_samples;                    /* a flush begins above this; 0: automatic */
    int64_t head_max_age_ms;                      /* 2h; a flush begins above this */
    bool tenancy_enabled;                         /* false */
    uint32_t tenancy_max_tenants;                 /* 10000 */
    uint32_t read_max_concurrent;                 /* 10 */
    int64_t read_queue_timeout_ms;    /* 10s; a read that waits longer for a free slot gets 503 */
    int64_t read_timeout_ms;          /* 2m; reloadable */
    uint64_t read_max_series;         /* 0: no limit; reloadable */
    uint64_t read_max_bytes;          /* bytes as stored; 0: no limit; reloadable */
    uint64_t read_max_samples;        /* 50 M, for responses of type SAMPLES; reloadable */
    uint64_t read_frame_bytes;        /* 1 MiB */
    uint32_t query_max_concurrent;    /* 20 */
    int64_t query_queue_timeout_ms;   /* 30s waiting for a free slot, then 503 */
    int64_t query_timeout_ms;         /* 2m; reloadable */
    uint64_t query_max_samples;       /* 50 M in memory at one time; reloadable */
    uint64_t query_max_samples_read;  /* 0: no limit; reloadable */
    uint64_t query_max_series;        /* 0: no limit; reloadable */
    uint64_t query_max_fetched_bytes; /* bytes from a bucket; 0: no limit; reloadable */
    uint64_t query_max_bytes;         /* bytes as stored; 0: no limit; reloadable */
    uint64_t query_max_points;        /* 11000; reloadable */
    int64_t query_lookback_delta_ms;  /* 5m; reloadable */
    uint64_t query_cache_bytes;       /* 64 MiB; 0: no cache; reloadable */
    int64_t query_slow_log_ms;        /* 10s; 0: no log of slow queries; reloadable */
    uint32_t query_features;          /* bits, see promql_features_of(); reloadable */
    /* "a,b"; "": none; reloadable */
    char query_replica_labels[SETTING_TEXT_BYTES];
    int64_t global_evaluation_interval_ms; /* 1m: for groups and subqueries without their own;
                                              reloadable */
    int64_t global_rule_query_offset_ms;   /* 0: for groups without their own; reloadable */
    uint32_t rules_max_concurrent_evals;   /* 4; reloadable */
    int64_t rules_outage_tolerance_ms;     /* 1h; reloadable */
    int64_t rules_grace_period_ms;         /* 10m; reloadable */
    int64_t rules_resend_delay_ms;         /* 1m; reloadable */
    int64_t rules_catch_up_ms;             /* 1d; 0: gaps are not filled; reloadable */
    int64_t rules_catch_up_wait_ms;        /* 10m; reloadable */
    bool rules_api;                        /* false: /prometheus/config/v1/rules */
    uint32_t rules_api_max_groups;         /* 1000, per tenant; reloadable */
    uint64_t rules_api_max_bytes;          /* 1 MiB, per group; reloadable */
    uint32_t alerting_queue_capacity;      /* 10000, per member; reloadable */
    uint32_t alerting_batch_size;          /* 256; reloadable */
    int64_t self_scrape_interval_ms;       /* 0: off; reloadable */
    char backup_to[SETTING_TEXT_BYTES];    /* "": no backups; reloadable, as the next six */
    int64_t backup_every_ms;               /* 1d */
    uint32_t backup_keep;                  /* 7 */
    uint32_t backup_keep_daily;            /* 0 */
    uint32_t backup_keep_weekly;           /* 0 */
    uint32_t backup_keep_monthly;          /* 0 */
    uint64_t backup_rate_bytes;            /* per second; 0: no limit */
    char auth_sigv4_services[SETTING_TEXT_BYTES]; /* "aps,execute-api"; reloadable */
    char auth_sigv4_region[SETTING_TEXT_BYTES];   /* "": any; reloadable */
    char auth_sigv4_host[SETTING_TEXT_BYTES];     /* "": the header Host as sent; reloadable */
    bool auth_sigv4_unsigned_payload;             /* false; reloadable */
    bool process_core_dumps;                      /* false */
    bool process_seccomp;                         /* true */
    enum log_level log_level;                     /* info; reloadable */
    enum log_format log_format;                   /* logfmt */
};

enum setting_type {
    SETTING_TEXT,
    SETTING_BOOL,
    SETTING_COUNT,    /* uint32_t */
    SETTING_COUNT64,  /* uint64_t, with optional k, M, G */
    SETTING_BYTES,    /* uint64_t */
    SETTING_DURATION, /* int64_t milliseconds */
    SETTING_CHOICE,   /* an enum stored as int */
    SETTING_BYTES32,  /* uint32_t, written like SETTING_BYTES */
    SETTING_SET,      /* uint32_t: a bit for each choice; "a,b", in a file also [a, b] */
};

struct setting {
    const char *name; /* "web.listen-address" */
    enum setting_type type;
    size_t offset, size;  /* in struct settings */
    const char *fallback; /* the default, as written in a file */
    const char *choices;  /* "local|none", in the order of the enum, or of the bits */
    uint64_t min, max;    /* inclusive; both 0: no limit. For a text: its length in bytes */
    bool reloadable;
    const char *help; /* one sentence, lower case, no full stop */
    const char *zero; /* meaning of 0, which is valid even below `min`: "automatic"; NULL: 0 is not
                         special */
    bool flag_only;   /* not allowed in the file */
    bool is_list;     /* a text that is a list: "a,b", in a file also [a, b] */
    bool repeatable;  /* a list to which each of several flags adds */
    bool is_path;     /* a text: in a file, relative paths begin at the directory of the file */
    const char *what; /* the form of a value, "HOST:PORT"; NULL: the type says it */
    /* Checks a text. ERR_INPUT: *ret_expected describes a valid value; ERR_NOMEM. */
    enum err (*check)(const char *text, const char **ret_expected);
    /* Checks each item of a list, of which none may be empty or repeated. Returns NULL for a valid
     * one, otherwise what is expected. */
    const char *(*check_item)(const char *item);
};

/* The table; a NULL name ends it. */
const struct setting *settings_table(void);

/* Returns NULL if no setting has that name. */
const struct setting *settings_find(struct bytes name);

/* Sets everything to its default. */
void settings_default(struct settings *settings);

/*
 * Applies flags, `count` words after the command ("--x=y" or "--x y"). The last of repeated flags
 * counts, so that flags can be added to those of a wrapper script, unless it is `repeatable`.
 * ERR_INPUT: an unknown flag (with a suggestion), an invalid value, a stray word; nothing was
 * changed.
 */
MUST_CHECK enum err settings_flags(struct settings *settings, int count, char *const *words,
                                   struct why *why);

/*
 * Applies a YAML text except for the keys that config_lists_yaml() reads; `file_name` is for
 * messages: "firekeep.yml:3:5: unknown key 'retension'; did you mean 'retention'?". Unknown keys,
 * wrong types, values out of range, duplicate keys, more than one document, aliases, anchors, tags:
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. On error nothing was
 * changed. Combinations of settings are left to settings_validate(), because flags may follow.
 */
MUST_CHECK enum err settings_yaml(struct settings *settings, const char *file_name,
                                  struct bytes text, struct why *why);

/*
 * Reads a file into `to`, which is initialized in any case and needs buf_fini(). At most bytes_max
 * + 1 bytes are read, so that the parser detects and reports a file that is too long. ERR_MISSING:
 * the file does not exist; ERR_IO: it cannot be read; ERR_NOMEM.
 */
MUST_CHECK enum err config_read(const char *path, size_t bytes_max, struct buf *to,
                                struct why *why);

/* Does the same for an open file; `name` is for messages. */
MUST_CHECK enum err config_read_from(int fd, const char *name, size_t bytes_max, struct buf *to,
                                     struct why *why);

/* Applies a file as settings_yaml() does, and ignores its lists. Errors of both. */
MUST_CHECK enum err settings_file(struct settings *settings, const char *path, struct why *why);

/* Checks rules that span several settings and the numbers of destinations and sources.
 * ERR_INPUT: the message names those that disagree. */
MUST_CHECK enum err settings_validate(const struct settings *settings, uint32_t destination_count,
                                      uint32_t source_count, struct why *why);

/* Returns a sentence that says why rules have no effect with these settings; NULL if they have. */
const char *settings_rules_lack(const struct settings *settings, uint32_t destination_count,
                                uint32_t source_count);

/*
 * Loads settings as `serve` does: defaults, the file named by the flags, the flags, the file's
 * lists, settings_validate(). Errors as above, and of config_lists_yaml(). Called again, with the
 * same words, for a reload. The lists are given, for config_lists_free(); on error nothing was
 * changed.
 */
MUST_CHECK enum err settings_load(struct settings *settings, struct config_lists *lists, int count,
                                  char *const *words, struct why *why);

/* Does the same with a text in place of the file, whose name is for messages and relative paths.
 * The words are valid. With reader_collect(), all errors of the text are collected. */
MUST_CHECK enum err settings_load_text(struct settings *settings, struct config_lists *lists,
                                       const char *name, struct bytes text, int count,
                                       char *const *words, struct why *why);

/* ERR_INPUT if `next` differs from `now` in a setting that only a restart can change; the
 * message names the first. */
MUST_CHECK enum err settings_check_reload(const struct settings *now, const struct settings *next,
                                          struct why *why);

/* Steps through a setting that is a list: writes the next item and returns what follows it; NULL
 * at the end. `ret_item` has room for SETTING_TEXT_BYTES. */
const char *settings_list_next(const char *list, char *ret_item);

/* Splits an address of a listener, HOST:PORT, unix:PATH or fd://NAME. `ret_place` is a view of the
 * text without "unix:" or "fd://". ERR_INPUT: another form. */
MUST_CHECK enum err settings_listener(const char *text, enum listener_kind *ret_kind,
                                      const char **ret_place, struct why *why);

/* Splits "host:port", "[address]:port" or ":port" (all addresses: `ret_host` is ""). `ret_host`
 * has room for SETTING_TEXT_BYTES. ERR_INPUT: another form, or not a port number. */
MUST_CHECK enum err settings_listen_address(const char *text, char *ret_host, uint16_t *ret_port,
                                            struct why *why);

/* Returns the prefix of all paths: "", or "/some/path". `ret_prefix` has room for
 * SETTING_PREFIX_BYTES. */
void settings_route_prefix(const struct settings *settings, char *ret_prefix);
/*
 * Returns the URL under which clients reach the server, without a slash at its end:
 * web.external-url, or as in Prometheus http://HOSTNAME:PORT, here with the route prefix, and
 * https:// with TLS. The port is that of the first of `listeners` in force that has one and lets
 * readers in.
 * "" or a path if the URL is not known, because the setting is only a path, the kernel chooses the
 * port, or `hostname` cannot be part of a URL. `ret_url` has room for SETTING_URL_BYTES.
 */
void settings_external_url(const struct settings *settings, const struct listener_list *listeners,
                           const char *hostname, char *ret_url);

/* Appends "--web.listen-address=... help (default ...)" lines for --help. */
void settings_help(struct buf *to);
/* Appends the value of one setting as written in a file. */
void settings_value(const struct settings *settings, const struct setting *setting, struct buf *to);
/* Appends a whole YAML file of the current values, with the other keys of `rules`, `alerting`
 * and `retention` (each may be NULL). Reading it back gives the same values except for secrets. */
void settings_print_yaml(const struct settings *settings, const struct rule_settings *rules,
                         const struct alerting *alerting, const struct retention_rules *retention,
                         struct buf *to);

/* --- a store's options, also for commands that open a directory themselves -------------------- */

/* Memory budgets of a process. Head, log and requests draw on the foreground; flushes, merges
 * and the cache draw on the process, so that the foreground cannot take their share. */
struct memory {
    struct budget process;
    struct budget foreground;
    uint64_t flush_bytes; /* shares outside the foreground: the most that each of them needs */
    uint64_t merge_bytes;
    uint64_t cache_bytes;
    uint64_t head_bytes; /* head's limit, a part of `foreground` */
};
/* Divides the memory of a process, in bytes (memory.limit). */
void memory_init(struct memory *memory, uint64_t bytes);

/* Returns the options of a store. `memory` outlives the store; wal.ack sets the acknowledgement. */
struct tsdb_options store_options_of(const struct settings *settings, struct env *env,
                                     struct memory *memory);
struct tsdb_limits store_limits_of(const struct settings *settings);

/* --- checks of the table (struct setting), in web.c ------------------------------------------- */

enum err web_check_url(const char *text, const char **ret_expected);
enum err web_check_prefix(const char *text, const char **ret_expected);
enum err web_check_path(const char *text, const char **ret_expected);
enum err web_check_origin(const char *text, const char **ret_expected);
/* For auth.sigv4-region and auth.sigv4-host. */
enum err web_check_word(const char *text, const char **ret_expected);
enum err web_check_host(const char *text, const char **ret_expected);
/* Check one item of a list; return what was expected, or NULL. */
const char *web_check_listener(const char *item);
const char *web_check_network(const char *item);
const char *web_check_name(const char *item); /* of a host */
const char *web_check_service(const char *item);
/* Checks each item, and that none is empty or repeated. */
enum err settings_check_items(const char *text, const char *(*check)(const char *item),
                              const char **ret_expected);

#endif
