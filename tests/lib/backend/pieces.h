/* pieces.h - a response in pieces of one size, for tests and fuzz targets of readers. */
#ifndef LIB_BACKEND_PIECES_H
#define LIB_BACKEND_PIECES_H

#include "base/bytes.h"
#include "base/err.h"

struct pieces {
    struct bytes left;
    size_t size;  /* size of a piece */
    enum err end; /* returned at the end instead of OK */
};

/* Returns the next piece, as fetch_exchange_more() does. `context` is a struct pieces. */
enum err pieces_next(void *context, struct bytes *ret_piece, struct why *why);

#endif
