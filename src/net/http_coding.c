/*
 * http_coding.c - compresses answers for clients that accept it: whole ones with gzip, and streams
 * piece by piece with zstd, which takes a fifth of the time, or gzip.
 *
 * Each piece of a stream is flushed, so that all that was written is sent.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

#include "net/http_private.h"

enum {
    GZIP_LEVEL = 4,
    ZSTD_LEVEL = 1,
    ZSTD_WINDOW_LOG = 17, /* 128 KiB; the level's own 512 KiB save 5 % of a range query */
    ZSTD_BUDGET_BYTES = 1024 * 1024, /* at least ZSTD_sizeof_CCtx() of such a context */
    OUT_BYTES = 16 * 1024,
};

bool
http_is_text(const char *content_type)
{
    if (content_type == NULL) return false;
    return strncasecmp(content_type, "text/", 5) == 0 ||
           strncasecmp(content_type, "application/json", 16) == 0 ||
           strncasecmp(content_type, "application/x-ndjson", 20) == 0;
}

/* "gzip;q=0" and "*;q=0" refuse, "gzip", "x, gzip ;q=0.5" and "*" accept gzip. */
static bool
item_accepts(const char *item, size_t size, enum http_coding coding)
{
    size_t name = 0;
    while (name < size && item[name] != ';' && item[name] != ' ' && item[name] != '\t')
        name++;
    const char *wanted = coding == HTTP_CODING_ZSTD ? "zstd" : "gzip";
    bool any = coding == HTTP_CODING_GZIP && name == 1 && item[0] == '*';
    if (!any && (name != 4 || strncasecmp(item, wanted, 4) != 0)) return false;
    const char *quality = memchr(item, '=', size);
    if (quality == NULL) return true;
    for (const char *at = quality + 1; at < item + size; at++)
        if (*at >= '1' && *at <= '9') return true;
    return false;
}

bool
http_accepts(const struct http_request *request, enum http_coding coding)
{
    const char *at = http_header(request, "Accept-Encoding");
    while (at != NULL && *at != '\0') {
        at += strspn(at, " \t,");
        size_t size = strcspn(at, ",");
        if (item_accepts(at, size, coding)) return true;
        at += size;
    }
    return false;
}

/* zlib frees without a size, which is kept before the memory that it gets; aligned for any type. */
enum { ZLIB_PREFIX = 16 };

static void *
zlib_alloc(void *budget, unsigned count, unsigned size)
{
    size_t whole = (size_t)count * size + ZLIB_PREFIX;
    uint8_t *memory = mem_new(budget, whole);
    if (memory == NULL) return NULL;
    memcpy(memory, &whole, sizeof whole);
    return memory + ZLIB_PREFIX;
}

static void
zlib_free(void *budget, void *memory)
{
    uint8_t *start = (uint8_t *)memory - ZLIB_PREFIX;
    size_t whole;
    memcpy(&whole, start, sizeof whole);
    assert(whole >= ZLIB_PREFIX);
    mem_free(budget, start, whole);
}

/* Returns false if there is not enough memory. */
static bool
deflate_begin(z_stream *z, struct budget *budget)
{
    *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = budget};
    /* 15 + 16: the largest window, in a gzip frame. */
    return deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
}

bool
http_gzip(struct budget *budget, struct bytes from, struct buf *to)
{
    z_stream z;
    if (from.size > UINT32_MAX || !deflate_begin(&z, budget)) return false;
    buf_init(to, budget, from.size);
    z.next_in = from.at;
    z.avail_in = (unsigned)from.size;
    int result = Z_OK;
    while (result == Z_OK) {
        if (!buf_reserve(to, to->capacity == 0 ? from.size / 4 : 1)) break;
        size_t room = to->capacity - to->size;
        z.next_out = to->at + to->size;
        z.avail_out = (unsigned)room;
        result = deflate(&z, Z_FINISH);
        to->size += room - z.avail_out;
    }
    (void)deflateEnd(&z); /* its only error would be that we left early */
    if (result != Z_STREAM_END) buf_fini(to);
    return result == Z_STREAM_END;
}

bool
http_gunzip(struct budget *budget, struct bytes from, struct buf *to)
{
    /* A gzip file ends with the size of its content. */
    uint32_t size = load_le32(from.at + from.size - 4);
    buf_init(to, budget, size);
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = budget};
    if (!buf_reserve(to, size) || inflateInit2(&z, 15 + 16) != Z_OK) {
        buf_fini(to);
        return false;
    }
    z.next_in = from.at;
    z.avail_in = (unsigned)from.size;
    z.next_out = to->at;
    z.avail_out = size;
    int result = inflate(&z, Z_FINISH);
    (void)inflateEnd(&z);
    to->size = size - z.avail_out;
    if (result != Z_STREAM_END) buf_fini(to);
    return result == Z_STREAM_END;
}

/* --- streams ---------------------------------------------------------------------------------- */

struct http_packer {
    struct budget *budget;
    ZSTD_CCtx *zstd; /* NULL: gzip */
    z_stream z;
    uint8_t out[OUT_BYTES];
};

struct http_packer *
http_packer_new(enum http_coding coding, struct budget *budget)
{
    struct http_packer *p = mem_new(budget, sizeof *p);
    if (p == NULL) return NULL;
    p->budget = budget;
    if (coding != HTTP_CODING_ZSTD) {
        if (deflate_begin(&p->z, budget)) return p;
    } else if (budget_take(budget, ZSTD_BUDGET_BYTES) == OK) {
        p->zstd = ZSTD_createCCtx();
        if (p->zstd == NULL) {
            budget_give(budget, ZSTD_BUDGET_BYTES);
        } else {
            (void)ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
            (void)ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_windowLog, ZSTD_WINDOW_LOG);
            return p;
        }
    }
    mem_free(budget, p, sizeof *p);
    return NULL;
}

void
http_packer_free(struct http_packer *p)
{
    if (p == NULL) return;
    if (p->zstd != NULL) {
        ZSTD_freeCCtx(p->zstd);
        budget_give(p->budget, ZSTD_BUDGET_BYTES);
    } else {
        (void)deflateEnd(&p->z); /* its only error would be that we left early */
    }
    mem_free(p->budget, p, sizeof *p);
}

static enum err
zstd_put(struct http_packer *p, struct bytes piece, bool last, http_packed_fn write,
         struct http_request *request, struct why *why)
{
    ZSTD_inBuffer in = {piece.at, piece.size, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {p->out, sizeof p->out, 0};
        left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_flush);
        if (ZSTD_isError(left))
            return why_set(why, ERR_NOMEM, "not enough memory to compress the response");
        enum err e = write(request, bytes_of(p->out, out.pos), why);
        if (e) return e;
    } while (left > 0);
    assert(ZSTD_sizeof_CCtx(p->zstd) <= ZSTD_BUDGET_BYTES);
    return OK;
}

static enum err
gzip_put(struct http_packer *p, struct bytes piece, bool last, http_packed_fn write,
         struct http_request *request, struct why *why)
{
    enum err e = OK;
    do {
        size_t size = piece.size < INT32_MAX ? piece.size : INT32_MAX;
        p->z.next_in = piece.at;
        p->z.avail_in = (unsigned)size;
        piece.at += size;
        piece.size -= size;
        do { /* all output has come when there is room left */
            p->z.next_out = p->out;
            p->z.avail_out = sizeof p->out;
            int result = deflate(&p->z, last && piece.size == 0 ? Z_FINISH : Z_SYNC_FLUSH);
            assert(result != Z_STREAM_ERROR); /* nothing was written after the last piece */
            e = write(request, bytes_of(p->out, sizeof p->out - p->z.avail_out), why);
        } while (e == OK && p->z.avail_out == 0);
    } while (e == OK && piece.size > 0);
    return e;
}

enum err
http_packer_put(struct http_packer *p, struct bytes piece, bool last, http_packed_fn write,
                struct http_request *request, struct why *why)
{
    return p->zstd != NULL ? zstd_put(p, piece, last, write, request, why)
                           : gzip_put(p, piece, last, write, request, why);
}
