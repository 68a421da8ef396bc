/*
 * client_access.h - how a command reaches a server: by the URL that it got, the user whom the URL
 * names, and the file of --http.config.file.
 *
 *     http://HOST, https://HOST                with a port and a path
 *     https://USER@HOST, https://USER:PASSWORD@HOST
 *     unix:PATH                                a socket of this machine
 *
 * No function returns or prints a URL with a password. Passwords, tokens and files are read once,
 * when the command starts, except by `copy`, which reads files for each request.
 *
 * Threads: one at a time.
 */
#ifndef CLI_LIB_CLIENT_ACCESS_H
#define CLI_LIB_CLIENT_ACCESS_H

#include "config/lists/client_texts.h"
#include "net/http_client.h"
#include "wire/json/json_tree.h"

enum { CLIENT_URL_BYTES = 1024 };

/* Follows the message of a server that answers 401. */
#define CLIENT_ADVICE "; use --http.config.file, or a URL with a user"

/* Returns true for a word that client_access_new() accepts as a URL, and that is not the name of a
 * file or of something configured. */
bool client_url_is(const char *word);

/* Copies a URL without its user and password. ERR_INPUT: it is invalid; `flag` names it in the
 * sentence, which has no password either. */
MUST_CHECK enum err client_url_plain(const char *flag, const char *url, char *ret_url,
                                     struct why *why);

/* Returns the URL that requests have for such a copy: the same, or that of a socket. */
const char *client_url_for_requests(const char *plain);

/*
 * Writes the URL of a page of the server: the URL for requests, which may have the server's
 * web.route_prefix, and `path`, such as /api/v1/write. A URL that has "/api/" itself is that of a
 * page, possibly of another program, and is copied. ERR_INPUT: the result is too long.
 */
MUST_CHECK enum err client_url_of_page(const char *flag, const char *url, const char *path,
                                       char ret_url[CLIENT_URL_BYTES], struct why *why);

struct client_access_options {
    const char *flag;        /* that has the URL, for messages */
    const char *url;         /* need not outlive the call */
    const char *config_file; /* NULL: not given */
};

struct client_access;

/*
 * Reads the file, and asks on the terminal for the password of a user without one. Sends no
 * request.
 *
 * ERR_INPUT: invalid URL or file, or both name a user; ERR_UNSUPPORTED: there is no terminal;
 * ERR_CANCELED; errors of client_settings_read().
 */
MUST_CHECK enum err client_access_new(const struct client_access_options *options,
                                      struct client_access **ret_access, struct why *why);
void client_access_free(struct client_access *access);

/* Returns the URL for messages and files that hold a position: without a user, or unix:PATH. */
const char *client_access_name(const struct client_access *access);
/* Returns the URL for requests, as client_url_for_requests(), without slashes at its end: paths
 * that begin with a slash follow it. */
const char *client_access_url(const struct client_access *access);

/* Sets TLS, proxy and socket for http_client_new(); `http` borrows them from the access. */
void client_access_http(const struct client_access *access, struct http_client_options *http);
/*
 * Returns the header lines of each request, NULL after the last; they live as long as the access.
 * Fetches a token with oauth2. ERR_MISSING, ERR_IO: a file cannot be read; ERR_AGAIN: no token was
 * received; `why` names it.
 */
MUST_CHECK enum err client_access_headers(struct client_access *access,
                                          const char *const **ret_lines, struct why *why);

/* One request, which may take minutes. */
struct client_call {
    const char *url;              /* of target_settle_url() */
    const char *config_file;      /* of --http.config.file; NULL: not given */
    struct client_access *access; /* instead of the two, for several requests; else NULL */
    const char *method;           /* NULL: POST with a body, otherwise GET */
    int64_t timeout_ns;           /* 0: 10 minutes */
    const char *path;             /* below the URL, with its slash */
    const char *header;           /* one more header line; NULL: none */
    struct bytes body;            /* of a POST; at is NULL for a GET */
};

/* Appends the body of an answer with status 2xx to `to`. ERR_UNSUPPORTED, ERR_AGAIN: another
 * status, with the server's words; errors of client_access_new() and of sending. */
MUST_CHECK enum err client_call(const struct client_call *call, struct buf *to, struct why *why);

/* Does the same for JSON, of which it returns the member "data"; for json_tree_fini() after OK.
 * ERR_UNSUPPORTED: the answer is not from Firekeep. */
MUST_CHECK enum err client_call_json(const struct client_call *call, struct budget *memory,
                                     struct json_tree *ret_json, const json_t **ret_data,
                                     struct why *why);

/* Writes the settings over those of a source or destination, whose requests then send the same
 * credentials; they live as long as the access. */
void client_access_copy(const struct client_access *access, struct http_settings *http,
                        struct basic_auth_settings *basic_auth,
                        struct authorization_settings *authorization,
                        struct oauth2_settings *oauth2);

#endif
