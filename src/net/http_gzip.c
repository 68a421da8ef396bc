/*
 * http_gzip.c - compresses answers for clients that accept gzip: whole ones, and streams piece by
 * piece.
 *
 * Each piece of a stream is flushed, so that all that was written is sent.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#define ZLIB_CONST
#include <zlib.h>

#include "net/http_private.h"

enum { GZIP_LEVEL = 4, GZIP_OUT_BYTES = 16 * 1024 };

bool
http_is_text(const char *content_type)
{
    if (content_type == NULL) return false;
    return strncasecmp(content_type, "text/", 5) == 0 ||
           strncasecmp(content_type, "application/json", 16) == 0 ||
           strncasecmp(content_type, "application/x-ndjson", 20) == 0;
}

/* "gzip;q=0" and "*;q=0" refuse, "gzip", "x, gzip ;q=0.5" and "*" accept. */
static bool
coding_accepted(const char *item, size_t size)
{
    size_t name = 0;
    while (name < size && item[name] != ';' && item[name] != ' ' && item[name] != '\t') {
        name++;
    }
    bool gzip = name == 4 && strncasecmp(item, "gzip", 4) == 0;
    bool any = name == 1 && item[0] == '*';
    if (!gzip && !any) return false;
    const char *quality = memchr(item, '=', size);
    if (quality == NULL) return true;
    for (const char *at = quality + 1; at < item + size; at++) {
        if (*at >= '1' && *at <= '9') return true;
    }
    return false;
}

bool
http_accepts_gzip(const struct http_request *request)
{
    const char *at = http_header(request, "Accept-Encoding");
    while (at != NULL && *at != '\0') {
        at += strspn(at, " \t,");
        size_t size = strcspn(at, ",");
        if (coding_accepted(at, size)) return true;
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

struct http_gzip {
    struct budget *budget;
    z_stream z;
    uint8_t out[GZIP_OUT_BYTES];
};

struct http_gzip *
http_gzip_new(struct budget *budget)
{
    struct http_gzip *g = mem_new(budget, sizeof *g);
    if (g == NULL) return NULL;
    g->budget = budget;
    if (deflate_begin(&g->z, budget)) return g;
    mem_free(budget, g, sizeof *g);
    return NULL;
}

void
http_gzip_free(struct http_gzip *g)
{
    if (g == NULL) return;
    (void)deflateEnd(&g->z); /* its only error would be that we left early */
    mem_free(g->budget, g, sizeof *g);
}

enum err
http_gzip_put(struct http_gzip *g, struct bytes piece, bool last,
              enum err (*write)(struct http_request *request, struct bytes out, struct why *why),
              struct http_request *request, struct why *why)
{
    enum err e = OK;
    do {
        size_t size = piece.size < INT32_MAX ? piece.size : INT32_MAX;
        g->z.next_in = piece.at;
        g->z.avail_in = (unsigned)size;
        piece.at += size;
        piece.size -= size;
        do { /* all output has come when there is room left */
            g->z.next_out = g->out;
            g->z.avail_out = sizeof g->out;
            int result = deflate(&g->z, last && piece.size == 0 ? Z_FINISH : Z_SYNC_FLUSH);
            assert(result != Z_STREAM_ERROR); /* nothing was written after the last piece */
            e = write(request, bytes_of(g->out, sizeof g->out - g->z.avail_out), why);
        } while (e == OK && g->z.avail_out == 0);
    } while (e == OK && piece.size > 0);
    return e;
}
