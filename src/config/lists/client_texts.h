/* client_texts.h - texts with keys of the configuration file that others bring. */
#ifndef CONFIG_LISTS_CLIENT_TEXTS_H
#define CONFIG_LISTS_CLIENT_TEXTS_H

#include "backend/settings.h"
#include "base/mem.h"
#include "model/relabel.h"

/* --- relabelling rules that a client sent ----------------------------------------------------- */

/* A mapping with one key that has a list, under one of its names in the configuration of Firekeep
 * or Prometheus. */

enum { RELABEL_TEXT_RULES_MAX = 256 };

/* Zeroed, it is empty. */
struct relabel_text {
    struct arena *arena; /* has all texts; NULL if there are none */
    struct relabel_spec *specs;
    uint32_t count;
};

/* `ret_text` is given, for relabel_text_free(). ERR_INPUT with rules:line:column; ERR_LIMIT: more
 * than RELABEL_TEXT_RULES_MAX rules, or CONFIG_BYTES_MAX; ERR_NOMEM. */
MUST_CHECK enum err relabel_text_yaml(struct bytes yaml, struct relabel_text *ret_text,
                                      struct why *why);
void relabel_text_free(struct relabel_text *text);

/* --- the file of --http.config.file ----------------------------------------------------------- */

/*
 * It says how a command sends requests to a server. Keys and their meaning are those of Prometheus'
 * `http_config`, which promtool reads, too.
 */

/* Texts live as long as the struct. Zeroed, it has the defaults. */
struct client_settings {
    struct http_settings http;            /* its headers are all of http_headers */
    struct http_header_list http_headers; /* as in the file */
    struct basic_auth_settings basic_auth;
    struct authorization_settings authorization;
    struct oauth2_settings oauth2;
    bool follow_redirects; /* for compatibility; redirects are never followed, */
    bool enable_http2;     /* and requests use HTTP/1.1 */
    struct arena *arena;   /* owns all texts; NULL without texts */
};

/*
 * Reads a YAML text; `file_name` is for messages, and relative paths begin at its directory.
 * `ret_settings` is given, for client_settings_free(); on an error it is not changed.
 *
 * ERR_INPUT with file:line:column; ERR_LIMIT: more than CONFIG_BYTES_MAX; ERR_NOMEM.
 */
MUST_CHECK enum err client_settings_yaml(const char *file_name, struct bytes text,
                                         struct client_settings *ret_settings, struct why *why);
/* Does the same for a file. Errors of config_read(), too. */
MUST_CHECK enum err client_settings_read(const char *path, struct client_settings *ret_settings,
                                         struct why *why);
void client_settings_free(struct client_settings *settings);

#endif
