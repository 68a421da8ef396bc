/*
 * answerer.h - queries another server for samples, by remote read with streamed chunks. Source:
 * docs/protocols-read.md.
 *
 * Each answer is read from its connection as it is wanted, so that memory holds a frame of each.
 * All that is asked of a view is asked of the server anew: what comes there meanwhile may be seen
 * by the later ones.
 *
 * Threads: one at a time, with all that was asked of it. Its sets are freed before it.
 */
#ifndef BACKEND_REMOTE_ANSWERER_H
#define BACKEND_REMOTE_ANSWERER_H

#include "model/select.h"
#include "net/http_client.h"

struct remote_answerer_options {
    const char *url; /* of its remote read; lives as long as the answerer, like the rest */
    const char *const *headers; /* "Name: value", NULL after the last; may be NULL */
    struct http_client_options http;
};

/*
 * ERR_NOMEM. What is asked: ERR_INPUT: the server refuses it; ERR_UNSUPPORTED: it does not answer
 * with STREAMED_XOR_CHUNKS, or not in label order; ERR_AGAIN: it could not be asked; ERR_CORRUPT:
 * what it stores is damaged; ERR_IO: its answer broke off or is damaged, on its way perhaps.
 */
MUST_CHECK enum err remote_answerer_new(const struct remote_answerer_options *options,
                                        struct answerer **ret_answerer, struct why *why);

#endif
