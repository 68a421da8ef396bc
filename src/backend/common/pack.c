/*
 * pack.c - see pack.h. Compression levels are the fastest, for hot paths. ISA-L makes gzip, in a
 * quarter of zlib's time; its output may depend on the machine's processor.
 */
#include "backend/common/pack.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <zstd.h>

enum { GZIP_LEVEL = 1, ZSTD_LEVEL = 1 };

struct packer {
    enum compression compression;
    struct isal_zstream *gzip; /* followed by ISAL_DEF_LVL1_DEFAULT bytes for its work */
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
        p->gzip = calloc(1, sizeof *p->gzip + ISAL_DEF_LVL1_DEFAULT);
        made = p->gzip != NULL;
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
    free(p->gzip);
    ZSTD_freeCCtx(p->zstd);
    free(p);
}

static enum err
pack_gzip(struct packer *p, struct bytes from, struct buf *to)
{
    struct isal_zstream *z = p->gzip;
    /* Incompressible data is stored in blocks of 64 KiB with headers of five bytes. */
    size_t bound = from.size + (from.size / UINT16_MAX + 1) * 5 + 64;
    if (bound > UINT32_MAX) return ERR_LIMIT;
    if (!buf_reserve(to, bound)) return buf_error(to);
    isal_deflate_stateless_init(z);
    z->gzip_flag = IGZIP_GZIP;
    z->level = GZIP_LEVEL;
    z->level_buf = (uint8_t *)(z + 1);
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->end_of_stream = 1;
    z->next_in = (uint8_t *)(uintptr_t)from.at; /* not written to */
    z->avail_in = (uint32_t)from.size;
    z->next_out = to->at + to->size;
    z->avail_out = (uint32_t)bound;
    if (isal_deflate_stateless(z) != COMP_OK || z->avail_in > 0) return ERR_NOMEM;
    to->size += bound - z->avail_out;
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

enum err
pack_in_place(struct packer *packer, struct buf *text, struct buf *packed)
{
    buf_clear(packed); /* a buffer of its own, so that the text is not lost without memory */
    enum err e = pack(packer, buf_bytes(text), packed);
    if (e) return e;
    if (!buf_reserve(text, packed->size)) {
        text->failed = OK;
        return ERR_NOMEM;
    }
    buf_clear(text);
    buf_put_bytes(text, buf_bytes(packed));
    return OK;
}

const char *
pack_suffix(enum compression compression)
{
    static const char *const suffixes[] = {"", ".gz", ".zst"};
    return suffixes[compression];
}
