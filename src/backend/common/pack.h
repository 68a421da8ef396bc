/*
 * pack.h - compresses a piece of memory into a gzip member or zstd frame of its own. These may be
 * concatenated. Threads: one per packer.
 */
#ifndef BACKEND_COMMON_PACK_H
#define BACKEND_COMMON_PACK_H

#include "backend/settings.h"
#include "base/buf.h"

struct packer;
/* ERR_NOMEM. */
MUST_CHECK enum err packer_new(enum compression compression, struct packer **ret_packer);
void packer_free(struct packer *packer);
/* Appends the compressed bytes. COMPRESSION_NONE copies. ERR_NOMEM, ERR_LIMIT: `to` is
 * unchanged. */
MUST_CHECK enum err pack(struct packer *packer, struct bytes from, struct buf *to);
/* Replaces the text by its compressed bytes, which are made in `packed`. ERR_NOMEM, ERR_LIMIT:
 * `text` is unchanged. */
MUST_CHECK enum err pack_in_place(struct packer *packer, struct buf *text, struct buf *packed);
/* Returns "", ".gz" or ".zst". */
const char *pack_suffix(enum compression compression);

#endif
