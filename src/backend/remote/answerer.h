/*
 * answerer.h - queries another server for samples, by remote read with streamed chunks. Source:
 * src/wire/README.md.
 *
 * A response is read from its connection as it is needed: memory holds ORDERED_WINDOW_BYTES of it.
 * Each question to a view is a new request to the server: later ones may see newer samples.
 *
 * Threads: one at a time, with its views and sets. Its sets are freed before it.
 */
#ifndef BACKEND_REMOTE_ANSWERER_H
#define BACKEND_REMOTE_ANSWERER_H

#include "model/select.h"
#include "net/http_client.h"

struct remote_answerer_options {
    const char *url; /* URL of its remote read; all fields live as long as the answerer */
    const char *const *headers; /* "Name: value", NULL after the last; may be NULL */
    struct http_client_options http;
};

/* ERR_NOMEM. Errors of questions: ERR_INPUT: the server refuses the request; ERR_UNSUPPORTED: it
 * does not respond with STREAMED_XOR_CHUNKS, or too far out of label order; ERR_AGAIN: it could not
 * be reached; ERR_CORRUPT: its stored data are damaged; ERR_IO: its response broke off or is
 * damaged, perhaps in transit. */
MUST_CHECK enum err remote_answerer_new(const struct remote_answerer_options *options,
                                        struct answerer **ret_answerer, struct why *why);

#endif
