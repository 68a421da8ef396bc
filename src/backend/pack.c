/* pack.c - see pack.h. Levels: the fastest that a hot path can afford. */
#include "backend/pack.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum { GZIP_LEVEL = 1, ZSTD_LEVEL = 1, GZIP_WINDOW = 15 + 16 };

struct packer {
    enum compression compression;
    z_stream gzip;
    bool gzip_open;
    ZSTD_CCtx *zstd;
};

enum err
packer_new(enum compression compression, struct packer **ret_packer)
{
    struct packer *p = calloc(1, sizeof *p);
    if (p == NULL) return ERR_NOMEM;
    p->compression = compression;
    bool made = true;
    if (compression == COMPRESSION_GZIP) {
        made = deflateInit2(&p->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) ==
               Z_OK;
        p->gzip_open = made;
    }
    if (compression == COMPRESSION_ZSTD) {
        p->zstd = ZSTD_createCCtx();
        made =
            p->zstd != NULL &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1));
    }
    if (!made) {
        packer_free(p);
        return ERR_NOMEM;
    }
    *ret_packer = p;
    return OK;
}

void
packer_free(struct packer *p)
{
    if (p == NULL) return;
    if (p->gzip_open) deflateEnd(&p->gzip);
    ZSTD_freeCCtx(p->zstd);
    free(p);
}

static enum err
pack_gzip(struct packer *p, struct bytes from, struct buf *to)
{
    /* First this: behind a trailer that was written, the bound knows of no gzip header. */
    if (deflateReset(&p->gzip) != Z_OK) return ERR_NOMEM;
    size_t bound = deflateBound(&p->gzip, from.size);
    if (from.size > UINT_MAX || bound > UINT_MAX) return ERR_LIMIT;
    if (!buf_reserve(to, bound)) return buf_error(to);
    p->gzip.next_in = (Bytef *)(uintptr_t)from.at;
    p->gzip.avail_in = (uInt)from.size;
    p->gzip.next_out = to->at + to->size;
    p->gzip.avail_out = (uInt)bound;
    if (deflate(&p->gzip, Z_FINISH) != Z_STREAM_END) return ERR_NOMEM;
    to->size += bound - p->gzip.avail_out;
    return OK;
}

static enum err
pack_zstd(struct packer *p, struct bytes from, struct buf *to)
{
    size_t bound = ZSTD_compressBound(from.size);
    if (!buf_reserve(to, bound)) return buf_error(to);
    size_t got = ZSTD_compress2(p->zstd, to->at + to->size, bound, from.at, from.size);
    if (ZSTD_isError(got)) return ERR_NOMEM;
    to->size += got;
    return OK;
}

enum err
pack(struct packer *p, struct bytes from, struct buf *to)
{
    switch (p->compression) {
    case COMPRESSION_GZIP:
        return pack_gzip(p, from, to);
    case COMPRESSION_ZSTD:
        return pack_zstd(p, from, to);
    default:
        if (!buf_reserve(to, from.size)) return buf_error(to);
        buf_put_bytes(to, from);
        return OK;
    }
}

const char *
pack_suffix(enum compression compression)
{
    static const char *const suffixes[] = {"", ".gz", ".zst"};
    return suffixes[compression];
}
