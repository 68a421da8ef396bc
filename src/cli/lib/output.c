/*
 * output.c - each MiB, and what precedes a checkpoint, is a gzip member or a zstd frame of its own,
 * so that a file cut there is complete. Readers accept several in sequence.
 */
#include "cli/lib/sample_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/common/pack.h"

enum { PLAIN_BYTES = 1 << 20 };

struct output {
    char name[200]; /* for messages */
    int file;
    bool is_file;           /* can be cut to a checkpoint */
    uint64_t written_bytes; /* on disk */
    struct packer *packer;  /* NULL: nothing is compressed */
    struct buf plain, packed;
};

enum compression
output_packing_of(const char *path)
{
    size_t size = path == NULL ? 0 : strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".gz") == 0) return COMPRESSION_GZIP;
    if (size > 4 && strcmp(path + size - 4, ".zst") == 0) return COMPRESSION_ZSTD;
    return COMPRESSION_NONE;
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

enum err
output_open(const char *path, enum compression packing, uint64_t resume_bytes,
            struct output **ret_output, struct why *why)
{
    struct output *o = mem_new(NULL, sizeof *o);
    if (o == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write the output");
    enum err e = OK;
    buf_init(&o->plain, NULL, PLAIN_BYTES);
    buf_init(&o->packed, NULL, 2 * PLAIN_BYTES);
    o->file = STDOUT_FILENO;
    snprintf(o->name, sizeof o->name, "standard output");
    if (path != NULL && strcmp(path, "-") != 0) e = open_file(o, path, resume_bytes, why);
    if (e == OK && packing != COMPRESSION_NONE && packer_new(packing, &o->packer))
        e = why_set(why, ERR_NOMEM, "not enough memory to write %s", o->name);
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
    packer_free(o->packer);
    buf_fini(&o->plain);
    buf_fini(&o->packed);
    if (o->file > STDERR_FILENO) close(o->file);
    mem_free(NULL, o, sizeof *o);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Writes the plain bytes, as a member or frame of their own if they are to be compressed. */
static enum err
output_flush(struct output *o, struct why *why)
{
    struct bytes left = buf_bytes(&o->plain);
    if (o->packer != NULL && left.size > 0) {
        buf_clear(&o->packed);
        enum err e = pack(o->packer, left, &o->packed);
        if (e) return why_set(why, e, "cannot compress %s", o->name);
        left = buf_bytes(&o->packed);
    }
    while (left.size > 0) {
        ssize_t put = write(o->file, left.at, left.size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_error(o, "write", why);
        left = bytes_of(left.at + put, left.size - (size_t)put);
        o->written_bytes += (uint64_t)put;
    }
    buf_clear(&o->plain);
    return OK;
}

enum err
output_write(struct output *o, struct bytes piece, struct why *why)
{
    while (piece.size > 0) {
        size_t room = PLAIN_BYTES - o->plain.size, size = piece.size < room ? piece.size : room;
        buf_put(&o->plain, piece.at, size);
        if (buf_error(&o->plain)) {
            return why_set(why, ERR_NOMEM, "not enough memory to write %s", o->name);
        }
        piece = bytes_of(piece.at + size, piece.size - size);
        enum err e = o->plain.size == PLAIN_BYTES ? output_flush(o, why) : OK;
        if (e) return e;
    }
    return OK;
}

enum err
output_position(struct output *o, uint64_t *ret_bytes, struct why *why)
{
    enum err e = output_flush(o, why);
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
    buf_clear(&o->plain);
    o->written_bytes = bytes;
    return OK;
}
