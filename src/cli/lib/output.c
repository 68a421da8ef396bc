/*
 * output.c - each checkpoint ends a gzip member or a zstd frame, so that a file cut there is
 * complete. Readers accept several in sequence.
 */
#include "cli/lib/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { OUT_BYTES = 256 * 1024, ZSTD_LEVEL = 3, GZIP_LEVEL = 6 };

struct output {
    char name[200]; /* for messages */
    int file;
    bool is_file; /* can be cut to a checkpoint */
    enum output_packing packing;
    uint64_t written_bytes; /* on disk */
    bool in_frame;
    z_stream gzip;
    bool gzip_open;
    ZSTD_CCtx *zstd;
    uint8_t *out;
    size_t out_size;
};

enum output_packing
output_packing_of(const char *path)
{
    size_t size = path == NULL ? 0 : strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".gz") == 0) return OUTPUT_GZIP;
    if (size > 4 && strcmp(path + size - 4, ".zst") == 0) return OUTPUT_ZSTD;
    return OUTPUT_PLAIN;
}

static enum err
system_error(const struct output *o, const char *what, struct why *why)
{
    return why_set(why, err_from_errno(errno), "cannot %s %s: %s", what, o->name,
                   errno_text(errno).text);
}

static enum err
open_file(struct output *o, const char *path, uint64_t resume_bytes, struct why *why)
{
    struct stat st;
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (resume_bytes == 0 ? O_TRUNC : 0);
    snprintf(o->name, sizeof o->name, "%s", path);
    o->file = open(path, flags, 0666);
    if (o->file < 0 || fstat(o->file, &st) != 0) return system_error(o, "open", why);
    o->is_file = S_ISREG(st.st_mode);
    if (resume_bytes == 0) return OK;
    if (!o->is_file || (uint64_t)st.st_size < resume_bytes) {
        return why_set(why, ERR_INPUT, "%s is shorter than the progress file records", path);
    }
    return output_back(o, resume_bytes, why);
}

static enum err
make_packer(struct output *o, struct why *why)
{
    o->out = mem_alloc(NULL, OUT_BYTES);
    bool made = o->out != NULL;
    if (made && o->packing == OUTPUT_GZIP) {
        made =
            deflateInit2(&o->gzip, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
        o->gzip_open = made;
    }
    if (made && o->packing == OUTPUT_ZSTD) {
        o->zstd = ZSTD_createCCtx();
        made =
            o->zstd != NULL &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(o->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(o->zstd, ZSTD_c_checksumFlag, 1));
    }
    return made ? OK : why_set(why, ERR_NOMEM, "not enough memory to write %s", o->name);
}

enum err
output_open(const char *path, enum output_packing packing, uint64_t resume_bytes,
            struct output **ret_output, struct why *why)
{
    struct output *o = mem_new(NULL, sizeof *o);
    if (o == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write the output");
    enum err e = OK;
    o->packing = packing;
    o->file = STDOUT_FILENO;
    snprintf(o->name, sizeof o->name, "standard output");
    if (path != NULL && strcmp(path, "-") != 0) e = open_file(o, path, resume_bytes, why);
    if (e == OK) e = make_packer(o, why);
    if (e) {
        output_free(o);
        return e;
    }
    *ret_output = o;
    return OK;
}

void
output_free(struct output *o)
{
    if (o == NULL) return;
    if (o->gzip_open) deflateEnd(&o->gzip);
    ZSTD_freeCCtx(o->zstd);
    mem_free(NULL, o->out, OUT_BYTES);
    if (o->file > STDERR_FILENO) close(o->file);
    mem_free(NULL, o, sizeof *o);
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum err
output_write_out(struct output *o, struct why *why)
{
    for (size_t at = 0; at < o->out_size;) {
        ssize_t put = write(o->file, o->out + at, o->out_size - at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_error(o, "write", why);
        at += (size_t)put;
        o->written_bytes += (uint64_t)put;
    }
    o->out_size = 0;
    return OK;
}

/* Packs a part of the piece, or the end of the frame, into the free space. */
static enum err
pack_gzip(struct output *o, struct bytes *piece, bool finish, bool *more)
{
    o->gzip.next_in = (uint8_t *)(uintptr_t)piece->at; /* zlib does not write there */
    o->gzip.avail_in = (uInt)piece->size;
    o->gzip.next_out = o->out + o->out_size;
    o->gzip.avail_out = (uInt)(OUT_BYTES - o->out_size);
    int code = deflate(&o->gzip, finish ? Z_FINISH : Z_NO_FLUSH);
    size_t left = o->gzip.avail_in;
    *piece = bytes_of(piece->at + (piece->size - left), left);
    o->out_size = OUT_BYTES - o->gzip.avail_out;
    *more = finish ? code != Z_STREAM_END : left > 0;
    if (finish && !*more) return deflateReset(&o->gzip) == Z_OK ? OK : ERR_NOMEM;
    return code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END ? OK : ERR_NOMEM;
}

static enum err
pack_zstd(struct output *o, struct bytes *piece, bool finish, bool *more)
{
    ZSTD_inBuffer from = {piece->at, piece->size, 0};
    ZSTD_outBuffer to = {o->out, OUT_BYTES, o->out_size};
    size_t code = ZSTD_compressStream2(o->zstd, &to, &from, finish ? ZSTD_e_end : ZSTD_e_continue);
    *piece = bytes_of(piece->at + from.pos, piece->size - from.pos);
    o->out_size = to.pos;
    *more = finish ? code != 0 : from.pos < from.size;
    return ZSTD_isError(code) ? ERR_NOMEM : OK;
}

static enum err
output_pack(struct output *o, struct bytes piece, bool finish, struct why *why)
{
    bool more = true;
    while (more) {
        enum err e = o->out_size == OUT_BYTES ? output_write_out(o, why) : OK;
        if (e) return e;
        if (o->packing == OUTPUT_GZIP) {
            e = pack_gzip(o, &piece, finish, &more);
        } else if (o->packing == OUTPUT_ZSTD) {
            e = pack_zstd(o, &piece, finish, &more);
        } else {
            size_t room = OUT_BYTES - o->out_size, size = piece.size < room ? piece.size : room;
            if (size > 0) memcpy(o->out + o->out_size, piece.at, size);
            o->out_size += size;
            piece = bytes_of(piece.at + size, piece.size - size);
            more = piece.size > 0;
        }
        if (e) return why_set(why, e, "cannot compress %s", o->name);
    }
    return OK;
}

enum err
output_write(struct output *o, struct bytes piece, struct why *why)
{
    enum { PIECE_MAX = 1 << 30 }; /* zlib counts in 32 bits */
    while (piece.size > 0) {
        struct bytes part = {piece.at, piece.size < PIECE_MAX ? piece.size : PIECE_MAX};
        enum err e = output_pack(o, part, false, why);
        if (e) return e;
        o->in_frame = true;
        piece = bytes_of(piece.at + part.size, piece.size - part.size);
    }
    return OK;
}

enum err
output_position(struct output *o, uint64_t *ret_bytes, struct why *why)
{
    enum err e = OK;
    if (o->in_frame && o->packing != OUTPUT_PLAIN)
        e = output_pack(o, (struct bytes){o->out, 0}, true, why);
    o->in_frame = false;
    if (e == OK) e = output_write_out(o, why);
    if (e == OK && o->is_file && fdatasync(o->file) != 0) e = system_error(o, "sync", why);
    if (e == OK) *ret_bytes = o->written_bytes;
    return e;
}

enum err
output_back(struct output *o, uint64_t bytes, struct why *why)
{
    if (!o->is_file) return why_set(why, ERR_UNSUPPORTED, "%s is not a file", o->name);
    if (ftruncate(o->file, (off_t)bytes) != 0 || lseek(o->file, (off_t)bytes, SEEK_SET) < 0) {
        return system_error(o, "truncate", why);
    }
    o->out_size = 0;
    o->in_frame = false;
    o->written_bytes = bytes;
    if (o->gzip_open) deflateReset(&o->gzip);
    if (o->zstd != NULL) ZSTD_CCtx_reset(o->zstd, ZSTD_reset_session_only);
    return OK;
}
