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

/* Parses http://HOST:PORT/PATH; `text` is borrowed. */
bool plain_url_parse(const char *text, struct plain_url *ret_url);

enum { PLAIN_ERROR_SIZE = 160 };

struct plain_request {
    const char *method;
    const char *const *headers; /* additional ones */
    size_t header_count;
    const char *body; /* NULL if there is none */
    size_t body_length;
};

struct plain_answer {
    int status;
    char *head; /* with the status line; allocated, together with the body */
    size_t head_length;
    char *body; /* followed by a 0 */
    size_t length;
};

/*
 * Returns false, with the reason in `error`, if there is no whole answer. Each wait for the other
 * side ends after `seconds`.
 */
bool plain_http(const struct plain_url *url, const struct plain_request *request, int seconds,
                struct plain_answer *ret_answer, char error[PLAIN_ERROR_SIZE]);
void plain_answer_fini(struct plain_answer *answer);

#endif
