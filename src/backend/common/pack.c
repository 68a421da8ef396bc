/*
 * pack.c - see pack.h. Compression levels are the fastest, for hot paths. ISA-L makes gzip, in a
 * quarter of zlib's time; its output may depend on the machine's processor. A window of zstd of
 * more than 8 MiB is refused: memory is bounded, and no writer of such objects needs more.
 */
#include "backend/common/pack.h"

#include <assert.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/text/utf8.h"
#include "wire/json/sample_json.h"

/* --- lines ------------------------------------------------------------------------------------ */

struct labelled_sample
item_sample(const struct item *item)
{
    return (struct labelled_sample){
        .labels = item->labels,
        .t_ms = item->t_ms,
        .start_ms = item->start_ms,
        .bits = item->bits,
        .histogram = item->kind == ITEM_HISTOGRAM ? item->histogram : NULL,
    };
}

void
item_ndjson_put(struct buf *to, const struct item *item)
{
    struct labelled_sample sample = item_sample(item);
    assert(item->kind != ITEM_METADATA);
    ndjson_line_put(to, &sample, item->kind == ITEM_EXEMPLAR ? &item->exemplar_labels : NULL);
}

bool
item_ndjson_maps(struct writer *writer, enum writer_mapped role, struct bytes text)
{
    (void)writer;
    (void)role;
    return !utf8_valid(text);
}

/* --- compression ------------------------------------------------------------------------------ */

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

/* --- unpacking -------------------------------------------------------------------------------- */

enum { STEP_BYTES = 128 * 1024, WINDOW_LOG_MAX = 23, HEAD_BYTES = 4 };

enum archive_packing { PACKING_UNKNOWN, PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct archive_unpacker {
    struct budget *budget;
    enum archive_packing packing;
    uint8_t head[HEAD_BYTES]; /* start of the object, until its format is known */
    uint32_t head_size;
    bool head_pending; /* `head` is unpacked before `from` */
    struct bytes from;
    uint64_t taken; /* bytes since archive_unpacker_begin() */
    bool between;   /* between members or frames */
    z_stream gzip;
    bool gzip_open;
    ZSTD_DStream *zstd;
    uint8_t text[STEP_BYTES];
};

enum err
archive_unpacker_new(struct budget *budget, struct archive_unpacker **ret_unpacker)
{
    struct archive_unpacker *u = mem_new(budget, sizeof *u);
    if (u == NULL) return ERR_NOMEM;
    u->budget = budget;
    archive_unpacker_begin(u);
    *ret_unpacker = u;
    return OK;
}

void
archive_unpacker_free(struct archive_unpacker *u)
{
    if (u == NULL) return;
    if (u->gzip_open) inflateEnd(&u->gzip);
    ZSTD_freeDStream(u->zstd);
    mem_free(u->budget, u, sizeof *u);
}

void
archive_unpacker_begin(struct archive_unpacker *u)
{
    u->packing = PACKING_UNKNOWN;
    u->head_size = 0;
    u->head_pending = false;
    u->from = bytes_of(NULL, 0);
    u->taken = 0;
    u->between = true;
}

void
archive_unpacker_give(struct archive_unpacker *u, struct bytes packed)
{
    u->from = packed;
}

/* True if the object begins as a text. Otherwise it was compressed and its start is damaged: all
 * its lines would be junk. */
static bool
begins_as_text(const struct archive_unpacker *u)
{
    const uint8_t *at = u->head, *end = u->head + u->head_size;
    while (at < end) {
        if (*at < ' ' && *at != '\t' && *at != '\n' && *at != '\r') return false;
        size_t size = utf8_step(at, (size_t)(end - at));
        bool is_cut = end - at < UTF8_BYTES_MAX && *at >= 0xc2 &&
                      *at <= 0xf4; /* the head ends within a character */
        if (size == 0) return is_cut;
        at += size;
    }
    return true;
}

static enum err
begin_packing(struct archive_unpacker *u, struct why *why)
{
    const uint8_t *h = u->head;
    if (u->head_size >= 3 && h[0] == 0x1f && h[1] == 0x8b && h[2] == 8) {
        int code = u->gzip_open ? inflateReset(&u->gzip) : inflateInit2(&u->gzip, 15 + 16);
        if (code != Z_OK) return why_set(why, ERR_NOMEM, "not enough memory for zlib");
        u->gzip_open = true;
        u->packing = PACKING_GZIP;
        u->between = false;
    } else if (u->head_size == HEAD_BYTES && load_le32(h) == ZSTD_MAGICNUMBER) {
        if (u->zstd == NULL) u->zstd = ZSTD_createDStream();
        if (u->zstd == NULL) return why_set(why, ERR_NOMEM, "not enough memory for zstd");
        (void)ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
        (void)ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
        u->packing = PACKING_ZSTD;
    } else if (!begins_as_text(u)) {
        return why_set(why, ERR_CORRUPT, "the object is neither lines, nor gzip or zstd");
    } else {
        u->packing = PACKING_NONE;
    }
    u->head_pending = true;
    return OK;
}

static enum err
unpack_gzip(struct archive_unpacker *u, struct bytes *from, size_t *ret_size, struct why *why)
{
    if (u->between) { /* only another member or zeros may follow a member */
        while (from->size > 0 && from->at[0] == 0)
            *from = bytes_of(from->at + 1, from->size - 1);
        if (from->size == 0) return OK;
        if (from->at[0] != 0x1f)
            return why_set(why, ERR_CORRUPT, "unexpected data after the gzip data");
        u->between = false;
        if (inflateReset(&u->gzip) != Z_OK) return why_set(why, ERR_NOMEM, "zlib failed");
    }
    union { /* zlib only reads it */
        const uint8_t *given;
        uint8_t *taken;
    } in = {.given = from->at};
    u->gzip.next_in = in.taken;
    u->gzip.avail_in = (uInt)from->size;
    u->gzip.next_out = u->text;
    u->gzip.avail_out = STEP_BYTES;
    int code = inflate(&u->gzip, Z_NO_FLUSH);
    size_t left = u->gzip.avail_in;
    *from = bytes_of(from->at + (from->size - left), left);
    *ret_size = STEP_BYTES - u->gzip.avail_out;
    if (code == Z_STREAM_END) u->between = true;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return OK;
    if (code == Z_MEM_ERROR) return why_set(why, ERR_NOMEM, "not enough memory for zlib");
    return why_set(why, ERR_CORRUPT, "%s",
                   u->gzip.msg != NULL ? u->gzip.msg : "the gzip data is damaged");
}

static enum err
unpack_zstd(struct archive_unpacker *u, struct bytes *from, size_t *ret_size, struct why *why)
{
    ZSTD_inBuffer in = {from->at, from->size, 0};
    ZSTD_outBuffer out = {u->text, STEP_BYTES, 0};
    size_t code = ZSTD_decompressStream(u->zstd, &out, &in);
    *from = bytes_of(from->at + in.pos, from->size - in.pos);
    *ret_size = out.pos;
    if (ZSTD_isError(code)) return why_set(why, ERR_CORRUPT, "%s", ZSTD_getErrorName(code));
    u->between = code == 0;
    return OK;
}

static enum err
unpack_some(struct archive_unpacker *u, struct bytes *from, struct bytes *ret, struct why *why)
{
    size_t size = 0, before = from->size;
    enum err e = OK;
    if (u->packing == PACKING_GZIP) {
        e = unpack_gzip(u, from, &size, why);
    } else if (u->packing == PACKING_ZSTD) {
        bool idle = u->between && from->size == 0;
        if (!idle) e = unpack_zstd(u, from, &size, why);
    } else {
        *ret = *from;
        *from = bytes_of(NULL, 0);
        u->taken += before;
        return OK;
    }
    u->taken += before - from->size;
    *ret = bytes_of(u->text, size);
    return e;
}

enum err
archive_unpacker_take(struct archive_unpacker *u, struct bytes *ret_text, struct why *why)
{
    *ret_text = bytes_of(NULL, 0);
    if (u->packing == PACKING_UNKNOWN) {
        while (u->head_size < HEAD_BYTES && u->from.size > 0) {
            u->head[u->head_size++] = *u->from.at++;
            u->from.size--;
        }
        if (u->head_size < HEAD_BYTES) return OK;
        enum err e = begin_packing(u, why);
        if (e) return e;
    }
    for (bool more = true; more;) {
        struct bytes head = bytes_of(u->head, u->head_pending ? u->head_size : 0);
        struct bytes *from = head.size > 0 ? &head : &u->from;
        size_t before = from->size;
        enum err e = unpack_some(u, from, ret_text, why);
        if (e || ret_text->size > 0) {
            u->head_pending = false; /* these few bytes are always consumed at once */
            return e;
        }
        more = from->size < before || u->head_pending;
        u->head_pending = false;
    }
    return OK;
}

enum err
archive_unpacker_end(struct archive_unpacker *u, struct why *why)
{
    if (u->packing == PACKING_UNKNOWN && u->head_size > 0) { /* very short */
        enum err e = begin_packing(u, why); /* archive_unpacker_take() returns it if it is plain */
        if (e) return e;
    }
    bool packed = u->packing == PACKING_GZIP || u->packing == PACKING_ZSTD;
    if (packed && !u->between) return why_set(why, ERR_CORRUPT, "the compressed data is cut short");
    return OK;
}

bool
archive_unpacker_is_between(const struct archive_unpacker *u, uint64_t *ret_bytes)
{
    *ret_bytes = u->taken;
    return u->packing == PACKING_NONE || (u->packing != PACKING_UNKNOWN && u->between);
}

bool
archive_unpacker_is_plain(const struct archive_unpacker *u)
{
    return u->packing == PACKING_NONE;
}
