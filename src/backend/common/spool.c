/*
 * spool.c - see spool.h.
 *
 * The saved state may be older than the files: the storage directory was restored from a copy, or
 * its volume was rolled back, while the files lie elsewhere. Bytes missing in such a state were
 * confirmed, and exist nowhere else. So confirmed bytes are never cut or removed, and two things
 * identify them:
 *
 * - names begin with the id of the storage directory, and a copy has another one: files with
 *   another id are not written to;
 * - an open file has a mark, a file with its size as of the last durable state. If the mark has
 *   more than the state, the state is older than the file.
 *
 * In both cases the bytes that the state confirms are copied into a new file, which is continued;
 * the old one stays, with ".tmp".
 *
 * Rejected: limiting by time how far a file may be ahead of its state (a hanging disk, or an hour
 * without samples, look like a rollback); extended attributes instead of the mark (many file
 * systems lack them).
 */
#include "backend/common/spool.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/array.h"
#include "base/fields.h"
#include "base/hash/crc32c.h"
#include "base/log.h"

enum {
    DIRS_MAX = 1024,
    FINISHED_MAX = 4096,
    NAME_BYTES = 128,
    PATH_BYTES = 256,
    NAMES_TRIED = 100,
    COPY_BYTES = 256 * 1024,
    MARK_BYTES = 24,
};
static const uint8_t MARK_MAGIC[8] = {'F', 'K', 'S', 'P', 'O', 'O', 'L', 0};

/* The suffixes of a growing file, a finished one, and a mark. */
enum suffix { SUFFIX_OPEN, SUFFIX_FINAL, SUFFIX_MARK };
static const char *const SUFFIXES[] = {".tmp", "", ".confirmed.tmp"};

/* A file that grows, or waits for its final name. */
struct spool_file {
    char dir[SPOOL_DIR_BYTES_MAX];
    char name[NAME_BYTES]; /* without ".tmp" */
    uint64_t size;         /* confirmed */
    int64_t made_ms;
    struct file file; /* if open */
    bool finished;
    bool saved;           /* finished when save() was called last */
    uint64_t saved_size;  /* in the last result of save() */
    uint64_t marked_size; /* in its mark */
};

struct spool {
    struct spool_options options;
    struct spool_file *files;
    uint32_t count;
    uint32_t capacity;
    uint64_t number; /* number of the next file */
};

/* --- names of files --------------------------------------------------------------------------- */

static enum err
file_path(const struct spool_file *f, enum suffix suffix, char *to, struct why *why)
{
    char name[NAME_BYTES + 16];
    snprintf(name, sizeof name, "%s%s", f->name, SUFFIXES[suffix]);
    return path_in(to, PATH_BYTES, f->dir, name, why);
}

/* OK: it exists; ERR_MISSING: it does not. */
static enum err
file_look(struct spool *s, const struct spool_file *f, enum suffix suffix, struct why *why)
{
    char path[PATH_BYTES];
    struct file file;
    enum err e = file_path(f, suffix, path, why);
    if (e == OK) e = file_open(s->options.env, path, FILE_READ, &file, why);
    if (e == OK) err_ignore(file_close(&file), "only looked at");
    return e;
}

/* True if a name begins with this instance's id. */
static bool
is_ours(const struct spool *s, const char *name)
{
    size_t size = strnlen(s->options.instance, 16);
    return strncmp(name, s->options.instance, size) == 0 && name[size] == '-';
}

/* Gives a file a name that no other file there has, finished or not. */
static enum err
choose_name(struct spool *s, struct spool_file *f, int64_t now_ms, struct why *why)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    char when[32];
    gmtime_r(&seconds, &utc);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    for (unsigned i = 0; i < NAMES_TRIED; i++) {
        int n = snprintf(f->name, sizeof f->name, "%.16s-%s-%08" PRIu64 "%s", s->options.instance,
                         when, s->number++, s->options.suffix);
        if (n < 0 || (size_t)n >= sizeof f->name)
            return why_set(why, ERR_LIMIT, "file name is too long");
        enum err e = file_look(s, f, SUFFIX_FINAL, why);
        if (e == OK) continue;
        if (e != ERR_MISSING) return e;
        e = file_look(s, f, SUFFIX_OPEN, why);
        if (e != OK) return e == ERR_MISSING ? OK : e;
    }
    return why_set(why, ERR_LIMIT, "%s: cannot find an unused file name", f->dir);
}

/* --- marks ------------------------------------------------------------------------------------ */

/* Returns the size in the mark; 0: no mark, or an invalid one. */
static uint64_t
mark_read(struct spool *s, const struct spool_file *f)
{
    char path[PATH_BYTES];
    uint8_t mark[MARK_BYTES];
    struct file file;
    enum err e = file_path(f, SUFFIX_MARK, path, NULL);
    if (e == OK) e = file_open(s->options.env, path, FILE_READ, &file, NULL);
    if (e) return 0;
    e = file_read_at(&file, mark, sizeof mark, 0, NULL);
    err_ignore(file_close(&file), "only read");
    bool whole = e == OK && memcmp(mark, MARK_MAGIC, sizeof MARK_MAGIC) == 0 &&
                 load_le32(mark + 16) == crc32c(0, bytes_of(mark, 16));
    return whole ? load_le64(mark + 8) : 0;
}

/* Not synced: after a power loss it can only have an older, smaller size. */
static void
mark_write(struct spool *s, struct spool_file *f)
{
    char path[PATH_BYTES];
    uint8_t mark[MARK_BYTES] = {0};
    struct file file;
    memcpy(mark, MARK_MAGIC, sizeof MARK_MAGIC);
    store_le64(mark + 8, f->saved_size);
    store_le32(mark + 16, crc32c(0, bytes_of(mark, 16)));
    enum err e = file_path(f, SUFFIX_MARK, path, NULL);
    if (e == OK) e = file_open(s->options.env, path, FILE_UPDATE, &file, NULL);
    if (e == ERR_MISSING) e = file_open(s->options.env, path, FILE_CREATE, &file, NULL);
    if (e) return; /* without the mark a rollback is not noticed */
    e = file_write_at(&file, bytes_of(mark, sizeof mark), 0, NULL);
    if (e == OK) f->marked_size = f->saved_size;
    err_ignore(file_close(&file), "as above");
}

static void
mark_remove(struct spool *s, const struct spool_file *f)
{
    char path[PATH_BYTES];
    enum err e = file_path(f, SUFFIX_MARK, path, NULL);
    if (e == OK) e = env_unlink(s->options.env, path, NULL);
    err_ignore(e, "the mark of a missing file has no effect");
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
spool_more(struct spool *s, struct spool_file **ret_file)
{
    if (s->count >= DIRS_MAX + FINISHED_MAX) return ERR_LIMIT;
    if (!array_reserve(s->options.memory, &s->files, &s->capacity, s->count + 1)) return ERR_NOMEM;
    *ret_file = &s->files[s->count];
    **ret_file = (struct spool_file){.file = FILE_CLOSED};
    return OK;
}

static void
spool_remove(struct spool *s, uint32_t at)
{
    file_close(&s->files[at].file);
    memmove(&s->files[at], &s->files[at + 1], (s->count - at - 1) * sizeof *s->files);
    s->count--;
}

/* Appends to an open file; on an error the file is cut back. */
static enum err
file_append(struct spool_file *f, struct bytes bytes, struct why *why)
{
    if (bytes.size == 0) return OK;
    enum err e = file_write_at(&f->file, bytes, f->size, why);
    if (e == OK) e = file_datasync(&f->file, why);
    if (e) {
        err_ignore(file_truncate(&f->file, f->size, NULL), "it is cut after a restart too");
        return e;
    }
    f->size += bytes.size;
    return OK;
}

struct stray_search {
    struct spool *spool;
    const char *dir;
};

/* Splits a name with `suffix`. False: it has another one. */
static bool
file_of_name(struct spool_file *f, const char *dir, const char *name, enum suffix suffix)
{
    size_t size = strlen(name), tail = strlen(SUFFIXES[suffix]);
    if (size <= tail || strcmp(name + size - tail, SUFFIXES[suffix]) != 0) return false;
    if (size - tail >= sizeof f->name) return false;
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    snprintf(f->name, sizeof f->name, "%.*s", (int)(size - tail), name);
    return true;
}

/* Removes a file that is not in the state: it was begun later, and its samples are added again.
 * Unless a newer state confirmed it. */
static enum err
remove_stray(void *context, const char *name, bool is_dir)
{
    struct stray_search *x = context;
    struct spool *s = x->spool;
    struct spool_file f = {.size = 0};
    char path[PATH_BYTES];
    if (is_dir || !is_ours(s, name)) return OK;
    if (file_of_name(&f, x->dir, name, SUFFIX_MARK)) {
        if (file_look(s, &f, SUFFIX_OPEN, NULL) == ERR_MISSING) mark_remove(s, &f);
        return OK;
    }
    if (!file_of_name(&f, x->dir, name, SUFFIX_OPEN)) return OK;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct spool_file *known = &s->files[i];
        if (strcmp(f.dir, known->dir) == 0 && strcmp(f.name, known->name) == 0) return OK;
    }
    enum err e = file_path(&f, SUFFIX_OPEN, path, NULL);
    if (e) return OK;
    if (mark_read(s, &f) > 0) {
        log_warn("file: keeping a file with samples that this storage directory has no record of "
                 "delivering: its state is older (restored from a copy, or not written because the "
                 "disk was full)",
                 KV("path", path));
        return OK;
    }
    e = env_unlink(s->options.env, path, NULL);
    if (e == OK) log_info("spool: removed an unfinished file left by a crash", KV("path", path));
    if (e == OK) mark_remove(s, &f);
    return OK;
}

static void
remove_strays(struct spool *s, const char *dir)
{
    struct stray_search search = {s, dir};
    err_ignore(env_listdir(s->options.env, dir, remove_stray, &search, NULL),
               "a leftover file does no harm");
}

/* Makes one directory, whose parent exists; durable on return, because confirmed files are put
 * into it. */
static enum err
spool_make_dir(struct env *env, const char *path, struct why *why)
{
    char parent[SPOOL_DIR_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    enum err e = env_mkdir(env, path, why);
    if (slash == NULL)
        snprintf(parent, sizeof parent, ".");
    else
        snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return e ? e : env_syncdir(env, parent, why);
}

/* Makes a directory and its parents. */
static enum err
make_dirs(struct env *env, const char *dir, struct why *why)
{
    char path[SPOOL_DIR_BYTES_MAX];
    int n = snprintf(path, sizeof path, "%s", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return why_set(why, ERR_LIMIT, "%.200s: path is too long", dir);
    for (char *p = path + 1; *p != 0; p++) {
        if (*p != '/' || p[-1] == '/') continue;
        *p = 0;
        err_ignore(spool_make_dir(env, path, NULL),
                   "a parent may exist without our permission; the last directory decides");
        *p = '/';
    }
    return spool_make_dir(env, path, why);
}

/* Makes a new file in its directory, open and empty, without adding it to the spool. */
static enum err
file_make(struct spool *s, struct spool_file *f, int64_t now_ms, char path[PATH_BYTES],
          struct why *why)
{
    enum err e = choose_name(s, f, now_ms, why);
    if (e == OK) e = file_path(f, SUFFIX_OPEN, path, why);
    return e ? e : file_open(s->options.env, path, FILE_CREATE, &f->file, why);
}

static enum err
file_begin(struct spool *s, const char *dir, int64_t now_ms, struct spool_file **ret_file,
           struct why *why)
{
    struct spool_file *f;
    char path[PATH_BYTES];
    enum err e = spool_more(s, &f);
    if (e) return why_set(why, e, "too many open files");
    f->made_ms = now_ms;
    e = make_dirs(s->options.env, dir, why);
    if (e) return e;
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    remove_strays(s, dir);
    e = file_make(s, f, now_ms, path, why);
    if (e) return e;
    e = env_syncdir(s->options.env, dir, why);
    if (e == OK) e = file_append(f, s->options.head, why);
    if (e) {
        file_close(&f->file);
        err_ignore(env_unlink(s->options.env, path, NULL), "removed after a restart too");
        return e;
    }
    s->count++;
    *ret_file = f;
    return OK;
}

static enum err
file_finish(struct spool *s, struct spool_file *f, struct why *why)
{
    enum err e = file_append(f, s->options.tail, why);
    if (e) return e;
    f->finished = true;
    e = file_close(&f->file);
    return e ? why_set(why, e, "%s/%s", f->dir, f->name) : OK;
}

static bool
is_due(const struct spool *s, const struct spool_file *f, int64_t now_ms)
{
    bool empty = f->size <= s->options.head.size;
    bool old = now_ms - f->made_ms >= s->options.roll_age_ms || now_ms < f->made_ms;
    return !empty && (f->size >= s->options.roll_bytes || old);
}

enum err
spool_append(struct spool *s, const char *dir, struct bytes bytes, int64_t now_ms, struct why *why)
{
    struct spool_file *f = NULL;
    enum err e = OK;
    for (uint32_t i = 0; i < s->count && f == NULL; i++) {
        bool is_open = !s->files[i].finished && strcmp(s->files[i].dir, dir) == 0;
        if (is_open) f = &s->files[i];
    }
    if (f != NULL && is_due(s, f, now_ms)) {
        e = file_finish(s, f, why);
        f = NULL;
    }
    if (e == OK && f == NULL) e = file_begin(s, dir, now_ms, &f, why);
    return e ? e : file_append(f, bytes, why);
}

enum err
spool_tend(struct spool *s, int64_t now_ms, bool all, struct why *why)
{
    enum err first = OK;
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_file *f = &s->files[i];
        if (f->finished || !(all || is_due(s, f, now_ms))) continue;
        enum err e = file_finish(s, f, first == OK ? why : NULL);
        if (first == OK) first = e;
    }
    return first;
}

/* Gives a finished file its final name, or another one if that exists. A missing file was
 * renamed before, or removed. */
static enum err
file_rename(struct spool *s, struct spool_file *f, struct why *why)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    enum err e = file_path(f, SUFFIX_OPEN, from, why);
    if (e) return e;
    enum err taken = file_look(s, f, SUFFIX_FINAL, why);
    if (taken != OK && taken != ERR_MISSING) return taken;
    e = file_look(s, f, SUFFIX_OPEN, why);
    if (e == ERR_MISSING) {
        if (taken == ERR_MISSING)
            log_error("file: a finished file disappeared before it was renamed", KV("path", from));
        return OK;
    }
    struct spool_file named = *f;
    if (e == OK && taken == OK) {
        e = choose_name(s, &named, env_realtime_ms(s->options.env), why);
        if (e == OK)
            log_warn("file: a file with this name exists, using another name",
                     KV("directory", f->dir), KV("name", f->name), KV("new_name", named.name));
    }
    if (e == OK) e = file_path(&named, SUFFIX_FINAL, to, why);
    if (e == OK) e = env_rename(s->options.env, from, to, why);
    if (e == OK) e = env_syncdir(s->options.env, f->dir, why);
    if (e) return e;
    mark_remove(s, f);
    return OK;
}

/* --- the saved state -------------------------------------------------------------------------- */

static void
file_fields(const struct fields *f, struct spool_file *file)
{
    field_text(f, file->dir, sizeof file->dir);
    field_text(f, file->name, sizeof file->name);
    field_varint(f, &file->size);
    field_zigzag(f, &file->made_ms);
    field_bool(f, &file->finished);
}

void
spool_save(const struct spool *s, struct buf *to)
{
    const struct fields fields = {.to = to};
    buf_put_varint(to, s->number);
    buf_put_varint(to, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_file *f = &s->files[i];
        file_fields(&fields, f);
        f->saved = f->finished;
        f->saved_size = f->size;
    }
}

enum err
spool_saved(struct spool *s, struct why *why)
{
    for (uint32_t i = s->count; i-- > 0;) {
        struct spool_file *f = &s->files[i];
        if (!f->finished && f->saved_size != f->marked_size) mark_write(s, f);
        if (!f->saved) continue;
        enum err e = file_rename(s, f, why);
        if (e) return e;
        spool_remove(s, i);
    }
    return OK;
}

/* Copies the first `size` bytes of a file to the beginning of another. */
static enum err
copy_bytes(struct spool *s, struct file *from, struct file *to, uint64_t size, struct why *why)
{
    struct buf piece;
    enum err e = OK;
    buf_init(&piece, s->options.memory, COPY_BYTES);
    if (!buf_reserve(&piece, COPY_BYTES))
        e = why_set(why, buf_error(&piece), "not enough memory to copy");
    for (uint64_t at = 0; at < size && e == OK;) {
        size_t part = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES;
        e = file_read_at(from, piece.at, part, at, why);
        if (e == OK) e = file_write_at(to, bytes_of(piece.at, part), at, why);
        at += part;
    }
    buf_fini(&piece);
    return e == OK ? file_sync(to, why) : e;
}

/* Continues the bytes that the state confirms in a new file, and leaves the old one unchanged. */
static enum err
file_leave(struct spool *s, struct spool_file *f, uint64_t size, struct why *why)
{
    char old_path[PATH_BYTES], path[PATH_BYTES];
    struct file old = f->file;
    memcpy(old_path, old.path, sizeof old_path);
    uint64_t confirmed = f->marked_size;
    bool ours = is_ours(s, f->name);
    f->file = FILE_CLOSED;
    f->marked_size = 0;
    enum err e = file_make(s, f, env_realtime_ms(s->options.env), path, why);
    bool made = e == OK;
    if (e == OK) e = copy_bytes(s, &old, &f->file, f->size, why);
    if (e == OK) e = env_syncdir(s->options.env, f->dir, why);
    err_ignore(file_close(&old), "only read");
    if (e && made) {
        err_ignore(file_close(&f->file), "removed next");
        err_ignore(env_unlink(s->options.env, path, NULL), "removed as one begun before a crash");
    }
    if (e) return e;
    if (ours)
        log_warn(
            "file: keeping a file that has more confirmed bytes than the state of this storage "
            "directory, which is older (restored from a copy, or not written because the disk was "
            "full); continuing in a new file with the bytes that the state confirms",
            KV("path", old_path), KV("bytes", size), KV("confirmed_bytes", confirmed),
            KV("new_path", path), KV("new_bytes", f->size));
    else
        log_warn("file: keeping a file of another storage directory, of which this one is a copy; "
                 "continuing in a new file with the bytes that the state confirms",
                 KV("path", old_path), KV("bytes", size), KV("new_path", path),
                 KV("new_bytes", f->size));
    return OK;
}

/* Restores a file from the state. ERR_MISSING: it has its final name, or was removed. */
static enum err
file_restore(struct spool *s, struct spool_file *f, struct why *why)
{
    char path[PATH_BYTES];
    uint64_t size = 0;
    enum err e = file_path(f, SUFFIX_OPEN, path, why);
    if (e == OK) e = file_open(s->options.env, path, FILE_UPDATE, &f->file, why);
    if (e == ERR_MISSING && !f->finished && file_look(s, f, SUFFIX_FINAL, NULL) != OK) {
        log_error("spool: a confirmed file is missing", KV("path", path),
                  KV("confirmed_bytes", f->size));
    }
    if (e) return e;
    e = file_size(&f->file, &size, why);
    if (e == OK && size < f->size) {
        log_error("spool: a file is shorter than its confirmed size", KV("path", path),
                  KV("bytes", size), KV("confirmed_bytes", f->size));
        f->size = size;
    }
    if (e || f->finished) return e;
    f->marked_size = mark_read(s, f);
    bool leave = !is_ours(s, f->name) || f->marked_size > f->size;
    if (leave) return file_leave(s, f, size, why);
    if (size <= f->size) return OK;
    e = file_truncate(&f->file, f->size, why); /* continues with its old name */
    return e ? e : file_sync(&f->file, why);
}

static enum err
spool_load(struct spool *s, struct bytes saved, struct why *why)
{
    struct cursor c = cursor_of(saved);
    const struct fields fields = {.from = &c};
    s->number = cursor_varint(&c);
    uint64_t count = cursor_varint(&c);
    for (uint64_t i = 0; i < count && !c.bad; i++) {
        struct spool_file *f;
        enum err e = spool_more(s, &f);
        if (e) return e;
        file_fields(&fields, f);
        if (c.bad) return ERR_CORRUPT;
        e = file_restore(s, f, why);
        if (e == ERR_MISSING) continue;
        if (e) {
            file_close(&f->file);
            return e;
        }
        s->count++;
        f->saved = f->finished;
        if (f->finished) file_close(&f->file);
    }
    return c.bad ? ERR_CORRUPT : OK;
}

enum err
spool_new(const struct spool_options *options, struct bytes saved, struct spool **ret_spool,
          struct why *why)
{
    struct spool *s = mem_new(options->memory, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory for files");
    s->options = *options;
    enum err e = saved.size == 0 ? OK : spool_load(s, saved, why);
    if (e == ERR_CORRUPT)
        e = why_set(why, e, "the list of files in the state of the destination is invalid");
    if (e == OK) e = spool_saved(s, why);
    if (e) {
        spool_free(s);
        return e;
    }
    for (uint32_t i = 0; i < s->count; i++)
        remove_strays(s, s->files[i].dir);
    *ret_spool = s;
    return OK;
}

void
spool_free(struct spool *s)
{
    if (s == NULL) return;
    while (s->count > 0)
        spool_remove(s, s->count - 1);
    array_free(s->options.memory, s->files, s->capacity);
    mem_free(s->options.memory, s, sizeof *s);
}
