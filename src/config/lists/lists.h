/*
 * lists.h - all keys of the configuration file that are not settings and have no flags. Each list
 * is read in a pass of its own over the text. Its keys are tables, in the file that its section
 * names; docs/configuration.md says what they mean.
 *
 * All X_yaml() read their part of a YAML text, and nothing else: settings_yaml() is called first
 * and checks the rest. `settings` are those in force, flags included. Relative paths begin at the
 * directory of `file_name`. The result is given, for X_free(), and empty if the text has no such
 * key. ERR_INPUT with file:line:column: also invalid selectors, regexes and URLs, duplicate names,
 * missing keys. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 *
 * All X_print_yaml() append their part as YAML, with defaults; secrets are printed as <secret>.
 * X_equal() return true if both have the same values, including secrets. Lines do not count.
 */
#ifndef CONFIG_LISTS_LISTS_H
#define CONFIG_LISTS_LISTS_H

#include "auth/settings.h"
#include "backend/settings.h"
#include "backend/source_settings.h"
#include "base/mem.h"
#include "base/text/texts.h"
#include "config/config.h"
#include "config/schema/schema.h"
#include "inputs/otlp/otlp.h"
#include "model/series_rules.h"
#include "notify/settings.h"

/* --- who may reach the server, and how: access/ ----------------------------------------------- */

/*
 * The keys of Prometheus' file for --web.config.file (tls_server_config, http_server_config,
 * basic_auth_users, rate_limit), which the configuration file may have instead, and its lists
 * `listeners` and `users`.
 */

enum web_key { WEB_KEY_TLS, WEB_KEY_HTTP, WEB_KEY_USERS, WEB_KEY_RATE, WEB_KEY_COUNT };

/* The keys that both files may have. */
struct web_keys {
    struct tls_server_settings tls;
    struct http_server_settings http;    /* of http_server_config and rate_limit */
    struct named_texts basic_auth_users; /* name and hash of the password */
    uint32_t lines[WEB_KEY_COUNT];       /* of the values; 0: the file does not have the key */
};

/* As in the configuration file. */
struct access_keys {
    struct web_keys web;
    struct listener_list listeners;
    struct user_list users;
};

enum { ACCESS_ARENA_COUNT = 3 };

/* Zeroed, it is empty. The arenas own all texts and lists. */
struct access_settings {
    struct access_keys given;
    char file_name[SETTING_TEXT_BYTES]; /* of the configuration file, for messages; may be cut */

    /* In force, after access_settings_complete(): */
    struct tls_server_settings tls;
    struct http_server_settings http;
    struct listener_list listeners; /* those of web.listen-address, then those of the file */
    struct user_list users;         /* those of the file, then those of basic_auth_users */

    struct arena *arenas[ACCESS_ARENA_COUNT];
};
void access_settings_free(struct access_settings *access);

MUST_CHECK enum err access_settings_yaml(const char *file_name, struct bytes text,
                                         const struct settings *settings,
                                         struct access_settings *ret_access, struct why *why);

/*
 * Fills in what is in force: reads the file for web.config.file, if there is one, gives its keys
 * and web.listen-address to the listeners, and joins basic_auth_users with `users`: a user of both
 * lists has the password of the former and everything else of the latter; one of the former alone
 * has all permissions for all tenants. auth.sigv4-... become a part of the users. Called once for
 * an `access`, which comes from access_settings_yaml(), or is zeroed.
 *
 * ERR_INPUT with the place in that file, or in the configuration file: also keys that both files
 * have, users that cannot sign in, and a server without listeners. ERR_MISSING, ERR_IO: the file
 * cannot be read. ERR_LIMIT; ERR_NOMEM. On error nothing is in force.
 */
MUST_CHECK enum err access_settings_complete(struct access_settings *access,
                                             const struct settings *settings, struct why *why);
/* Does the same with the text of the file; `web_file` is NULL without such a file. */
MUST_CHECK enum err access_settings_merge(struct access_settings *access,
                                          const struct settings *settings, const char *web_file,
                                          struct bytes text, struct why *why);

/* Appends a sentence per line about settings in force that are valid, but weak or without effect.
 */
void access_settings_warn(const struct access_settings *access, struct buf *to);

/* Appends the keys of the configuration file. */
void access_settings_print_yaml(const struct access_settings *access, struct buf *to);

/* Compare the values in force. */
bool access_settings_equal(const struct access_settings *a, const struct access_settings *b);
bool access_users_equal(const struct user_list *a, const struct user_list *b);

/* ERR_INPUT if `next` has other addresses or modes of listeners than `now`, TLS on others, or no
 * users any more: only a restart can change these. */
MUST_CHECK enum err access_settings_check_reload(const struct access_settings *now,
                                                 const struct access_settings *next,
                                                 struct why *why);

/* --- `destinations`: destinations.c ----------------------------------------------------------- */

MUST_CHECK enum err destinations_yaml(const char *file_name, struct bytes text,
                                      const struct settings *settings,
                                      struct destinations *ret_list, struct why *why);

/* ERR_INPUT: two of them would write to the same target, or one into the storage directory.
 * ERR_UNSUPPORTED: this version lacks the type of a destination. */
MUST_CHECK enum err destinations_check(const struct destinations *list, const char *storage_path,
                                       struct why *why);

/* Returns the destination with that name, or NULL: a view that lives as long as the list. */
const struct destination_settings *destinations_find(const struct destinations *list,
                                                     const char *name);

void destinations_print_yaml(const struct destinations *list, struct buf *to);

/* For the list of sources, tests and the reference. */
extern const struct schema destination_schema;
extern const struct typed_list destinations_list;

/* If not, a reload has to restart the destination. */
bool destination_settings_equal(const struct destination_settings *a,
                                const struct destination_settings *b);

/* --- `sources`: sources.c --------------------------------------------------------------------- */

/* If sources `use` a destination, the text's list `destinations` is read, too, and what is taken
 * from it belongs to `ret_list`. */
MUST_CHECK enum err sources_yaml(const char *file_name, struct bytes text,
                                 const struct settings *settings, struct sources *ret_list,
                                 struct why *why);

/* ERR_INPUT: a source is the server of these settings and `listeners` itself, as far as its URL
 * shows, so that its queries would wait for each other. ERR_NOMEM. */
MUST_CHECK enum err sources_check(const struct sources *list, const struct settings *settings,
                                  const struct listener_list *listeners, struct why *why);

/* Returns the source with that name, or NULL: a view that lives as long as the list. */
const struct source_settings *sources_find(const struct sources *list, const char *name);

void sources_print_yaml(const struct sources *list, struct buf *to);

extern const struct schema source_schema; /* for tests and the reference */

/* If not, a reload has to replace the source. */
bool source_settings_equal(const struct source_settings *a, const struct source_settings *b);

/* --- `retention.rules` and `downsampling`: series_rules.c ------------------------------------- */

/* Zeroed, there are no rules. */
struct retention_rules {
    struct arena *arena; /* for all texts */
    struct series_rule *items;
    uint32_t count;
};
void retention_rules_free(struct retention_rules *rules);

MUST_CHECK enum err retention_rules_yaml(const char *file_name, struct bytes text,
                                         const struct settings *settings,
                                         struct retention_rules *ret_rules, struct why *why);

/* Appends the key below `retention` that is not a setting. */
void retention_rules_print_yaml(const struct retention_rules *rules, struct buf *to);

/*
 * Makes the rules of a store. If one keeps series for longer than retention.time, a last rule with
 * that time is added, for all other series, and `ret_kept_ms` is the longest time of a rule; else
 * it is retention.time. `ret_rules` is NULL without rules. ERR_NOMEM.
 */
MUST_CHECK enum err retention_rules_make(const struct retention_rules *rules,
                                         const struct settings *settings,
                                         struct series_rules **ret_rules, int64_t *ret_kept_ms,
                                         struct why *why);

/* Makes the rules of a plan, which tells what each removes: always with a last rule for all other
 * series, which has retention.time. ERR_NOMEM. */
MUST_CHECK enum err retention_rules_plan(const struct retention_rules *rules,
                                         const struct settings *settings,
                                         struct series_rules **ret_rules, struct why *why);

/* The keys of `retention` that are not settings, for the reference. */
extern const struct schema retention_schema;

struct downsampling_rule {
    struct series_rule series; /* and the age of samples from which on the rule applies */
    int64_t resolution_ms;
};

/* Zeroed, there are no rules. */
struct downsampling_rules {
    struct arena *arena; /* for all texts */
    struct downsampling_rule *items;
    uint32_t count;
};
void downsampling_rules_free(struct downsampling_rules *rules);

MUST_CHECK enum err downsampling_rules_yaml(const char *file_name, struct bytes text,
                                            const struct settings *settings,
                                            struct downsampling_rules *ret_rules, struct why *why);

/* Appends a line, with its place, for each rule of downsampling or retention that never applies,
 * since an earlier rule is for all of its series, or retention removes them first. `time_ms` is
 * retention.time. */
void downsampling_rules_warn(const char *file_name, const struct downsampling_rules *rules,
                             const struct retention_rules *retention, int64_t time_ms,
                             struct buf *to);

void downsampling_rules_print_yaml(const struct downsampling_rules *rules, struct buf *to);

/* Returns the rule for the same series, as their texts show, and the same resolution; NULL if there
 * is none. */
const struct downsampling_rule *downsampling_rules_find(const struct downsampling_rules *rules,
                                                        const struct downsampling_rule *rule);

/* Makes the levels of a store: one for each resolution, the finest first. They are given, for
 * tsdb_limits_drop_rules(), also after an error. ERR_NOMEM. */
MUST_CHECK enum err downsampling_levels_make(const struct downsampling_rules *rules,
                                             struct tsdb_limits *limits, struct why *why);

/* The keys of the root, for the reference. */
extern const struct schema downsampling_root_schema;

/* --- `object_storage`: object_storage.c ------------------------------------------------------- */

enum object_storage_type { OBJECTS_S3, OBJECTS_DIRECTORY };

/* Which parts stay in the directory once they are in the bucket. */
struct keep_local {
    int64_t time_ms;     /* 0: all */
    uint64_t size_bytes; /* 0: no limit */
};
/* Zeroed, there is none. */
struct object_storage {
    bool given;
    unsigned type;                /* enum object_storage_type */
    const char *path;             /* of a directory */
    struct source_settings store; /* of a bucket: it is reached as an archive is */
    int64_t upload_after_ms;
    struct keep_local keep;
    struct object_cache_settings cache;
    uint64_t rate_bytes; /* of uploads, per second; 0: no limit */
    int64_t grace_ms;
    bool single_writer; /* the bucket may ignore conditions */
    struct arena *arena;
};
void object_storage_free(struct object_storage *storage);

MUST_CHECK enum err object_storage_yaml(const char *file_name, struct bytes text,
                                        const struct settings *settings,
                                        struct object_storage *ret_storage, struct why *why);

void object_storage_print_yaml(const struct object_storage *storage, struct buf *to);

/* For the reference. */
extern const struct schema object_cache_schema;
extern const struct schema object_storage_schema;
extern const struct schema object_storage_root_schema;

/* --- `otlp` and `line_listeners`: inputs.c ---------------------------------------------------- */

enum line_protocol { LINES_GRAPHITE, LINES_OPENTSDB };

struct line_listener_settings {
    enum line_protocol type;
    const char *address;
    const char *user, *tenant; /* NULL: not given */
    const char *separator;
    const char **allow, **templates;
    uint32_t allow_count, template_count;
    uint32_t connections_max;
    int64_t idle_ms;
};

/* Zeroed, the sections are not there. */
struct inputs_in_file {
    bool given; /* otlp */
    struct otlp_settings otlp;
    struct line_listener_settings *lines;
    uint32_t line_count;
    struct arena *arena;
};
void inputs_free(struct inputs_in_file *inputs);
MUST_CHECK enum err inputs_yaml(const char *file_name, struct bytes text,
                                const struct settings *settings, struct inputs_in_file *ret_inputs,
                                struct why *why);
bool inputs_equal(const struct inputs_in_file *a, const struct inputs_in_file *b);
void inputs_print_yaml(const struct inputs_in_file *inputs, struct buf *to);

/* For the reference. */
extern const struct schema inputs_root_schema;

/* --- keys for rules that are not settings: rules/ --------------------------------------------- */

/* Rules of one tenant. */
struct tenant_rules {
    const char *tenant;     /* "" without tenancy */
    struct text_list files; /* patterns of paths */
};

/* The arena owns every text of it. */
struct rule_settings {
    struct arena *arena;
    struct named_texts given_labels;    /* global.external_labels, as in the file, sorted by name */
    struct named_texts external_labels; /* with environment variables expanded; none is empty */
    const char *unset_variable;         /* the first variable that is not set; NULL if all are */
    struct tenant_rules *tenants;       /* in the order of the file */
    uint32_t tenant_count;
};
void rule_settings_free(struct rule_settings *settings);

/* Reads `rule_files`, `tenants` and `global.external_labels`. Tenancy decides which of the first
 * two is valid. */
MUST_CHECK enum err rule_settings_yaml(const char *file_name, struct bytes text,
                                       const struct settings *settings,
                                       struct rule_settings *ret_rules, struct why *why);

/* Append `rule_files` or `tenants`; and the labels that belong below `global`, where settings are,
 * too. Nothing is appended if there are none. */
void rule_settings_print_yaml(const struct rule_settings *rules, struct buf *to);
void rule_settings_print_global(const struct rule_settings *rules, struct buf *to);

/* For tests and the reference: */
/* The keys of the section `global` that are not settings. */
struct global_in_file {
    struct named_texts external_labels;
};
struct rules_in_file {
    struct global_in_file global;
    struct text_list files;
    struct tenant_rules *tenants;
    uint32_t tenant_count;
};

extern const struct schema global_schema;
extern const struct schema tenant_schema;
extern const struct schema rules_root_schema;

/* `alerting`, except for settings. */
MUST_CHECK enum err alerting_yaml(const char *file_name, struct bytes text,
                                  const struct settings *settings, struct alerting *ret_alerting,
                                  struct why *why);

void alerting_print_yaml(const struct alerting *alerting, struct buf *to);

/* For tests and the reference: an Alertmanager; the section `alerting` without its settings, and
 * the root that contains it, for a struct alerting. */
extern const struct schema alertmanager_schema;
extern const struct schema alerting_schema;
extern const struct schema alerting_root_schema;

/* --- all lists -------------------------------------------------------------------------------- */

/* Zeroed, it is empty. config_lists_free() frees all members; an owner that takes one over
 * leaves it empty here. */
struct config_lists {
    struct destinations destinations;
    struct sources sources;
    struct rule_settings rules;
    struct alerting alerting;
    struct retention_rules retention;
    struct downsampling_rules downsampling;
    struct object_storage objects;
    struct inputs_in_file inputs;
    struct access_settings access; /* access_settings_complete() has to follow */
};
void config_lists_free(struct config_lists *lists);

MUST_CHECK enum err config_lists_yaml(const char *file_name, struct bytes text,
                                      const struct settings *settings,
                                      struct config_lists *ret_lists, struct why *why);

/* Applies destinations_check() and sources_check(), and checks what storage.mode=none and
 * wal.ack=destination exclude. */
MUST_CHECK enum err config_lists_check(const struct config_lists *lists,
                                       const struct settings *settings, struct why *why);

#endif
