/*
 * asker.h - one kept connection that posts forms and takes whole answers. An asker belongs to one
 * thread.
 */
#ifndef BENCH_LIB_ASKER_H
#define BENCH_LIB_ASKER_H

#include "lib/tool.h"

enum { ASKER_PIECE_BYTES = 256 * 1024 };

struct asker {
    const struct address *to;
    int fd; /* -1: not connected */
    struct buf request;
    unsigned status;
    uint64_t bytes;   /* of the last body, */
    struct buf *kept; /* which is put here; NULL: it is dropped */
    char error[200];  /* the begin of a body that was not 200 */

    char piece[ASKER_PIECE_BYTES];
    size_t at, end; /* what of it is not taken yet */
};

/* `to` is borrowed. */
void asker_init(struct asker *a, const struct address *to);
void asker_fini(struct asker *a);
/* False: no whole answer came; the connection is closed. A kept one that broke is made anew once.
 */
bool asker_post(struct asker *a, const char *path, struct bytes form);

#endif
