/*
 * asker.h - one kept connection that posts forms and reads whole answers. An asker belongs to one
 * thread.
 */
#ifndef BENCH_LIB_ASKER_H
#define BENCH_LIB_ASKER_H

#include "lib/tool.h"

enum { ASKER_PIECE_BYTES = 256 * 1024 };

struct asker {
    const struct address *to;
    int fd; /* -1: closed */
    struct buf request;
    unsigned status;
    uint64_t bytes;   /* size of the last body, */
    struct buf *kept; /* receives the body; NULL: it is dropped */
    char error[200];  /* the start of a body that was not 200 */

    char piece[ASKER_PIECE_BYTES];
    size_t at, end; /* the part of it that was not used */
};

/* `to` is borrowed. */
void asker_init(struct asker *a, const struct address *to);
void asker_fini(struct asker *a);
/* Returns false if no whole answer came; the connection is closed then. A kept connection that
 * broke is opened again once. */
bool asker_post(struct asker *a, const char *path, struct bytes form);

#endif
