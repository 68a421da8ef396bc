/*
 * client_settings.h - the file of --http.config.file: how a command sends requests to a server.
 * Keys and their meaning are those of Prometheus' `http_config`, which promtool reads, too.
 */
#ifndef CONFIG_LISTS_CLIENT_SETTINGS_H
#define CONFIG_LISTS_CLIENT_SETTINGS_H

#include "backend/settings.h"

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
