/*
 * pack.h - compresses a piece of memory into a whole of its own: a gzip member or a zstd frame.
 * Such wholes may be put one after another.   Threads: one for a packer.
 */
#ifndef BACKEND_COMMON_PACK_H
#define BACKEND_COMMON_PACK_H

#include "backend/settings.h"
#include "base/buf.h"

struct packer;
/* ERR_NOMEM. */
MUST_CHECK enum err packer_new(enum compression compression, struct packer **ret_packer);
void packer_free(struct packer *packer);
/* Appends. COMPRESSION_NONE copies. ERR_NOMEM, ERR_LIMIT: `to` is as before. */
MUST_CHECK enum err pack(struct packer *packer, struct bytes from, struct buf *to);
/* "", ".gz", ".zst". */
const char *pack_suffix(enum compression compression);

#endif
