/*
 * access_settings.h - who may reach the server, and how: the keys of Prometheus' file for
 * --web.config.file (tls_server_config, http_server_config, basic_auth_users, rate_limit), which
 * the configuration file may have instead, and its lists `listeners` and `users`. Their keys are
 * tables, in access_keys.c; docs/configuration.md says what they mean.
 */
#ifndef CONFIG_LISTS_ACCESS_ACCESS_SETTINGS_H
#define CONFIG_LISTS_ACCESS_ACCESS_SETTINGS_H

#include "auth/settings.h"
#include "config/config.h"

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

/*
 * Reads these keys from the configuration file, a YAML text, and nothing else, as
 * destinations_yaml() does. Relative paths begin at the directory of `file_name`. `ret_access` is
 * given, for access_settings_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
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

/* Appends the keys of the configuration file as YAML; secrets are printed as <secret>. */
void access_settings_print_yaml(const struct access_settings *access, struct buf *to);

/* Return true if both have the same values in force, including secrets. Lines do not count. */
bool access_settings_equal(const struct access_settings *a, const struct access_settings *b);
bool access_users_equal(const struct user_list *a, const struct user_list *b);

/* ERR_INPUT if `next` has other addresses or modes of listeners than `now`, TLS on others, or no
 * users any more: only a restart can change these. */
MUST_CHECK enum err access_settings_check_reload(const struct access_settings *now,
                                                 const struct access_settings *next,
                                                 struct why *why);

#endif
