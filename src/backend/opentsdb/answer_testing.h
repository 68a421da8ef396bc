/* answer_testing.h - a text in pieces of one size, for tests of readers of responses. */
#ifndef BACKEND_OPENTSDB_ANSWER_TESTING_H
#define BACKEND_OPENTSDB_ANSWER_TESTING_H

#include "backend/opentsdb/answer.h"

struct pieces_of {
    struct bytes left;
    size_t size; /* of a piece */
};

static inline enum err
next_of_pieces(void *context, struct bytes *ret_piece, struct why *why)
{
    struct pieces_of *p = context;
    (void)why;
    size_t size = p->left.size < p->size ? p->left.size : p->size;
    *ret_piece = bytes_of(p->left.at, size);
    if (size > 0) p->left = bytes_of(p->left.at + size, p->left.size - size);
    return OK;
}

#endif
