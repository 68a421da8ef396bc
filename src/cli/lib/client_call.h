/*
 * client_call.h - one request of a command to a server, for questions that may take minutes.
 *
 * Threads: any.
 */
#ifndef CLI_LIB_CLIENT_CALL_H
#define CLI_LIB_CLIENT_CALL_H

#include "base/buf.h"

struct client_call {
    const char *url;         /* of target_settle_url() */
    const char *config_file; /* of --http.config.file; NULL: not given */
    const char *path;        /* below the URL, with its slash */
    const char *header;      /* one more header line; NULL: none */
    struct bytes body;       /* of a POST; at is NULL for a GET */
};

/* Appends the body of an answer with status 2xx to `to`. ERR_UNSUPPORTED, ERR_AGAIN: another
 * status, with the server's words; errors of client_access_new() and of sending. */
MUST_CHECK enum err client_call(const struct client_call *call, struct buf *to, struct why *why);

#endif
