/*
 * plain_http.h - one request of plain HTTP/1.1 to an IPv4 address, with nothing but libc: for tools
 * that scripts start thousands of times. Threads: none.
 */
#ifndef TESTS_TOOLS_PLAIN_HTTP_H
#define TESTS_TOOLS_PLAIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct plain_url {
    char host[64]; /* an address, or localhost */
    int port;
    const char *path; /* sent as it is */
};

/* http://HOST:PORT/PATH; `text` is borrowed. */
bool plain_url_parse(const char *text, struct plain_url *ret_url);

enum { PLAIN_ERROR_SIZE = 160 };

struct plain_answer {
    int status;
    char *body; /* with a 0 behind it; of the heap */
    size_t length;
};

/*
 * GET, or POST of a form if `posted` is not NULL. False, and why in `error`: there is no answer, or
 * not a whole one; each wait for the other side ends after `seconds`.
 */
bool plain_http(const struct plain_url *url, const char *posted, int seconds,
                struct plain_answer *ret_answer, char error[PLAIN_ERROR_SIZE]);

#endif
