/* pieces.c - see pieces.h. */
#include "lib/backend/pieces.h"

enum err
pieces_next(void *context, struct bytes *ret_piece, struct why *why)
{
    struct pieces *p = context;
    size_t size = p->left.size < p->size ? p->left.size : p->size;
    if (size == 0 && p->end != OK) return why_set(why, p->end, "it broke off");
    *ret_piece = bytes_of(p->left.at, size);
    if (size > 0) p->left = bytes_of(p->left.at + size, p->left.size - size);
    return OK;
}
