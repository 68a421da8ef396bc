/*
 * input.c - one window over the uncompressed bytes, which grows while a line is not whole:
 *
 *     file --read--> raw --inflate/zstd/copy--> window [ taken | start ... end ]
 *
 * The first bytes show the compression. Gzip files may have several members and zstd files several
 * frames, one after the other, as `cat` makes them.
 */
#include "cli/lib/sample_files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "wire/json/json_scan.h"

enum {
    RAW_BYTES = 256 * 1024,
    STEP_BYTES = 256 * 1024,
    WINDOW_BYTES_MAX = 160 << 20,
    WAIT_MS = 200
};

enum input_packing { PACKING_UNKNOWN, PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct input {
    char name[200]; /* for messages */
    int file;
    const atomic_bool *stop;
    bool may_wait;   /* a pipe or a terminal */
    bool file_end;   /* the file is completely read */
    bool end;        /* all of the input is uncompressed */
    enum err broken; /* sticky error that ended the input */
    struct why reason;
    enum input_packing packing;
    struct input_position position;

    uint8_t *raw;
    size_t raw_at;
    size_t raw_end;
    z_stream gzip;
    bool gzip_open;
    bool between; /* between two members or frames */
    ZSTD_DStream *zstd;

    struct buf window;
    size_t start; /* the first byte not taken */
};

/* The characters that end a line. */
enum ending { AT_LINE_FEEDS, AT_OBJECTS };

enum err
input_open(const char *path, const atomic_bool *stop, struct input **ret_input, struct why *why)
{
    struct stat st;
    bool is_stdin = strcmp(path, "-") == 0;
    struct input *in = mem_new(NULL, sizeof *in);
    if (in == NULL) return why_set(why, ERR_NOMEM, "not enough memory to read %s", path);
    in->stop = stop;
    buf_init(&in->window, NULL, WINDOW_BYTES_MAX);
    snprintf(in->name, sizeof in->name, "%s", is_stdin ? "standard input" : path);
    in->file = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    enum err e = OK;
    if (in->file < 0 || fstat(in->file, &st) != 0) {
        e = why_set(why, err_from_errno(errno), "cannot open %s: %s", in->name,
                    errno_text(errno).text);
    } else if (S_ISDIR(st.st_mode)) {
        e = why_set(why, ERR_INPUT, "%s is a directory", in->name);
    } else {
        in->may_wait = !S_ISREG(st.st_mode);
        if (!in->may_wait) in->position.file_bytes = (uint64_t)st.st_size;
        in->raw = mem_alloc(NULL, RAW_BYTES);
        if (in->raw == NULL) e = why_set(why, ERR_NOMEM, "not enough memory to read %s", path);
    }
    if (e) {
        input_free(in);
        return e;
    }
    *ret_input = in;
    return OK;
}

void
input_free(struct input *in)
{
    if (in == NULL) return;
    if (in->file > STDIN_FILENO) close(in->file);
    if (in->gzip_open) inflateEnd(&in->gzip);
    ZSTD_freeDStream(in->zstd);
    buf_fini(&in->window);
    mem_free(NULL, in->raw, RAW_BYTES);
    mem_free(NULL, in, sizeof *in);
}

/* --- raw bytes -------------------------------------------------------------------------------- */

/* Reads more of the file after the raw bytes. */
static enum err
read_raw(struct input *in, struct why *why)
{
    if (in->raw_at == in->raw_end) in->raw_at = in->raw_end = 0;
    if (in->raw_at > 0) {
        memmove(in->raw, in->raw + in->raw_at, in->raw_end - in->raw_at);
        in->raw_end -= in->raw_at;
        in->raw_at = 0;
    }
    while (in->may_wait && in->stop != NULL) {
        struct pollfd polled = {.fd = in->file, .events = POLLIN};
        if (atomic_load_explicit(in->stop, memory_order_relaxed))
            return why_set(why, ERR_CANCELED, "stopped");
        if (poll(&polled, 1, WAIT_MS) != 0 && polled.revents != 0) break;
    }
    ssize_t got;
    do {
        got = read(in->file, in->raw + in->raw_end, RAW_BYTES - in->raw_end);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return why_set(why, err_from_errno(errno), "cannot read %s: %s", in->name, strerror(errno));
    if (got == 0) in->file_end = true;
    in->raw_end += (size_t)got;
    in->position.read_bytes += (uint64_t)got;
    return OK;
}

/* Detects the first bytes of compressed files, and a byte order mark, which some editors put
 * before a text. */
static enum err
detect(struct input *in, struct why *why)
{
    enum err e = OK;
    while (e == OK && !in->file_end && in->raw_end - in->raw_at < 4)
        e = read_raw(in, why);
    if (e) return e;
    const uint8_t *at = in->raw + in->raw_at;
    size_t size = in->raw_end - in->raw_at;
    in->packing = PACKING_NONE;
    if (size >= 3 && at[0] == 0x1f && at[1] == 0x8b && at[2] == 8) {
        if (inflateInit2(&in->gzip, 15 + 16) != Z_OK)
            return why_set(why, ERR_NOMEM, "not enough memory for zlib");
        in->gzip_open = true;
        in->packing = PACKING_GZIP;
    } else if (size >= 4 && load_le32(at) == ZSTD_MAGICNUMBER) {
        in->zstd = ZSTD_createDStream();
        if (in->zstd == NULL) return why_set(why, ERR_NOMEM, "not enough memory for zstd");
        in->packing = PACKING_ZSTD;
    } else if (size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) {
        in->raw_at += 3;
    }
    return OK;
}

/* --- uncompressing ---------------------------------------------------------------------------- */

static enum err
input_damaged(const struct input *in, const char *what, struct why *why)
{
    return why_set(why, ERR_CORRUPT, "%s: %s", in->name, what);
}

static enum err
unpack_gzip(struct input *in, struct why *why)
{
    if (in->between) { /* only another member, or zeros, may follow a member */
        while (in->raw_at < in->raw_end && in->raw[in->raw_at] == 0)
            in->raw_at++;
        if (in->raw_at == in->raw_end) return OK;
        if (in->raw[in->raw_at] != 0x1f)
            return input_damaged(in, "unexpected data after the gzip data", why);
        in->between = false;
        if (inflateReset(&in->gzip) != Z_OK) return input_damaged(in, "zlib failed", why);
    }
    in->gzip.next_in = in->raw + in->raw_at;
    in->gzip.avail_in = (uInt)(in->raw_end - in->raw_at);
    in->gzip.next_out = in->window.at + in->window.size;
    in->gzip.avail_out = STEP_BYTES;
    int code = inflate(&in->gzip, Z_NO_FLUSH);
    in->raw_at = in->raw_end - in->gzip.avail_in;
    in->window.size += STEP_BYTES - in->gzip.avail_out;
    if (code == Z_STREAM_END) in->between = true;
    if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR) return OK;
    return input_damaged(in, in->gzip.msg != NULL ? in->gzip.msg : "the gzip data is damaged", why);
}

static enum err
unpack_zstd(struct input *in, struct why *why)
{
    ZSTD_inBuffer from = {in->raw, in->raw_end, in->raw_at};
    ZSTD_outBuffer to = {in->window.at + in->window.size, STEP_BYTES, 0};
    if (in->between && from.pos == from.size) return OK;
    size_t code = ZSTD_decompressStream(in->zstd, &to, &from);
    in->raw_at = from.pos;
    in->window.size += to.pos;
    if (ZSTD_isError(code)) return input_damaged(in, ZSTD_getErrorName(code), why);
    in->between = code == 0;
    return OK;
}

/* Uncompresses until the window has more than `before` bytes, or the input ends. */
static enum err
unpack_some(struct input *in, size_t before, struct why *why)
{
    enum err e = in->packing == PACKING_UNKNOWN ? detect(in, why) : OK;
    while (e == OK && in->window.size == before && !in->end) {
        bool packed = in->packing == PACKING_GZIP || in->packing == PACKING_ZSTD;
        if (in->raw_at == in->raw_end && !in->file_end) e = read_raw(in, why);
        size_t raw_before = in->raw_at;
        if (e) break;
        if (in->packing == PACKING_GZIP) {
            e = unpack_gzip(in, why);
        } else if (in->packing == PACKING_ZSTD) {
            e = unpack_zstd(in, why);
        } else {
            size_t size = in->raw_end - in->raw_at;
            memcpy(in->window.at + in->window.size, in->raw + in->raw_at, size);
            in->window.size += size;
            in->raw_at = in->raw_end;
        }
        if (e || in->window.size > before || !in->file_end || in->raw_at != raw_before) continue;
        if (packed && !in->between)
            return input_damaged(in, "the compressed data is cut short", why);
        in->end = true;
    }
    return e;
}

/* Adds bytes to the window, at least one unless the input ends. */
static enum err
input_fill(struct input *in, struct why *why)
{
    if (in->broken) return why_set(why, in->broken, "%s", in->reason.text);
    size_t before = in->window.size - in->start;
    enum err e = OK;
    if (in->start > 0) {
        memmove(in->window.at, in->window.at + in->start, before);
        in->window.size = before;
        in->start = 0;
    }
    if (!buf_reserve(&in->window, STEP_BYTES)) {
        e = buf_error(&in->window);
        in->window.failed = OK;
        return why_set(why, e, "%s: not enough memory for a line", in->name);
    }
    e = unpack_some(in, before, &in->reason);
    in->broken = e;
    return e ? why_set(why, e, "%s", in->reason.text) : OK;
}

/* --- lines ------------------------------------------------------------------------------------ */

static size_t
available(const struct input *in)
{
    return in->window.size - in->start;
}

static struct bytes
input_take(struct input *in, size_t size, size_t with_feed)
{
    struct bytes taken = {in->window.at + in->start, size};
    in->start += with_feed;
    return taken;
}

enum err
input_head(struct input *in, struct bytes *ret_head, struct why *why)
{
    while (available(in) < INPUT_HEAD_BYTES && !in->end) {
        enum err e = input_fill(in, why);
        if (e == ERR_CORRUPT && available(in) > 0) break; /* reported when reading reaches it */
        if (e) return e;
    }
    size_t size = available(in) < INPUT_HEAD_BYTES ? available(in) : INPUT_HEAD_BYTES;
    *ret_head = bytes_of(in->window.at + in->start, size);
    return OK;
}

/* Returns the end of the line, searched after the window's first `looked` bytes; NULL: not
 * found. */
static const uint8_t *
find_line_end(const struct input *in, enum ending ending, struct json_objects *objects,
              size_t looked)
{
    struct bytes more = bytes_of(in->window.at + in->start + looked, available(in) - looked);
    if (more.size == 0) return NULL;
    if (ending == AT_LINE_FEEDS) return memchr(more.at, '\n', more.size);
    size_t size = json_objects_end(objects, more);
    return size == more.size ? NULL : more.at + size;
}

/* Takes the bytes before `end`, and the line feed there. */
static struct bytes
input_take_line(struct input *in, const uint8_t *end)
{
    size_t size = (size_t)(end - in->window.at) - in->start;
    return input_take(in, size, size + (*end == '\n'));
}

/* Drops the rest of a line that is too long; `end` is find_line_end()'s. */
static enum err
step_over(struct input *in, enum ending ending, struct json_objects *objects, const uint8_t *end,
          size_t size_max, struct why *why)
{
    in->position.line_begin = ++in->position.lines;
    while (end == NULL) {
        input_take(in, 0, available(in));
        if (in->end) break;
        enum err e = input_fill(in, why);
        if (e) return e;
        end = find_line_end(in, ending, objects, 0);
    }
    in->position.line_is_last = end == NULL;
    if (end != NULL) input_take_line(in, end);
    return why_set(why, ERR_LIMIT, "the line must be at most %zu bytes", size_max);
}

static enum err
last_line(struct input *in, struct bytes *ret_line)
{
    size_t size = available(in);
    *ret_line = (struct bytes){NULL, 0};
    if (size == 0) return OK;
    in->position.line_begin = ++in->position.lines;
    in->position.line_is_last = true;
    *ret_line = input_take(in, size, size);
    return OK;
}

static enum err
input_next_line(struct input *in, enum ending ending, size_t size_max, struct bytes *ret_line,
                struct why *why)
{
    struct json_objects objects = {0};
    size_t looked = 0;
    for (;;) {
        const uint8_t *end = find_line_end(in, ending, &objects, looked);
        looked = end == NULL ? available(in) : (size_t)(end - in->window.at) - in->start;
        if (looked > size_max) return step_over(in, ending, &objects, end, size_max, why);
        if (end != NULL) {
            in->position.line_begin = ++in->position.lines;
            *ret_line = input_take_line(in, end);
            return OK;
        }
        if (in->end) return last_line(in, ret_line);
        enum err e = input_fill(in, why);
        if (e) return e;
    }
}

enum err
input_line(struct input *in, size_t size_max, struct bytes *ret_line, struct why *why)
{
    return input_next_line(in, AT_LINE_FEEDS, size_max, ret_line, why);
}

enum err
input_object(struct input *in, size_t size_max, struct bytes *ret_line, struct why *why)
{
    return input_next_line(in, AT_OBJECTS, size_max, ret_line, why);
}

enum err
input_record(struct input *in, size_t size_max, struct bytes *ret_record, struct why *why)
{
    size_t looked = 0, feeds = 0;
    bool quoted = false;
    for (;;) { /* up to a line feed outside of quotes */
        const uint8_t *at = in->window.at + in->start;
        for (; looked < available(in) && (quoted || at[looked] != '\n'); looked++) {
            if (at[looked] == '"') quoted = !quoted;
            if (at[looked] == '\n') feeds++;
        }
        if (looked < available(in)) break;
        bool over = looked > size_max;
        if (!over && !in->end) {
            enum err e = input_fill(in, why);
            if (e) return e;
            continue;
        }
        if (!quoted && !over) return last_line(in, ret_record);
        enum err e = input_line(in, size_max, ret_record, why);
        if (e) return e;
        return quoted ? why_set(why, ERR_LIMIT, "a quoted field is not closed") : OK;
    }
    if (looked > size_max) return input_line(in, size_max, ret_record, why);
    in->position.line_begin = in->position.lines + 1;
    in->position.lines += feeds + 1;
    *ret_record = input_take(in, looked, looked + 1);
    return OK;
}

enum err
input_piece(struct input *in, size_t size, struct bytes *ret_piece, struct why *why)
{
    while (available(in) < size && !in->end) {
        enum err e = input_fill(in, why);
        if (e) return e;
    }
    *ret_piece = (struct bytes){NULL, 0};
    if (available(in) == 0 && size > 0) return OK;
    if (available(in) < size) return input_damaged(in, "the last record is cut short", why);
    *ret_piece = input_take(in, size, size);
    return OK;
}

const struct input_position *
input_position(const struct input *in)
{
    return &in->position;
}
