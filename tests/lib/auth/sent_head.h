/*
 * sent_head.h - the head of a request as text, as the verifier of signatures reads it:
 *
 *     POST /api/v1/write?a=b
 *     Host: x
 */
#ifndef LIB_AUTH_SENT_HEAD_H
#define LIB_AUTH_SENT_HEAD_H

#include "auth/signed.h"

enum { SENT_HEADERS_MAX = 200 };

struct sent_head {
    struct sigv4_arrival arrival; /* its context is the struct, which must not move */
    struct sigv4_header headers[SENT_HEADERS_MAX];
    uint32_t header_count;
};

/* Makes views of the text: lines end in LF; blanks around values are dropped. Lines beyond
 * SENT_HEADERS_MAX are ignored. */
void sent_head_read(struct sent_head *head, struct bytes text);

/* Appends the path that the server routes, or redirects to, with its escapes. */
void sent_head_route(const struct sent_head *head, struct buf *to);

#endif
