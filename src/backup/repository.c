/* repository.c - objects, records and locks of a directory with backups. */
#include "backup/repository.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"

enum {
    CHUNK_BYTES = 1 << 20,
    PATH_BYTES = BACKUP_DIR_BYTES + 110,
    FORMAT_BYTES = 80,
    VERSION = 1,
    DIGEST_DIGITS = 2 * BACKUP_DIGEST_BYTES,
};

static const char FORMAT_NAME[] = "BACKUP", LOCK_NAME[] = "LOCK", OBJECTS[] = "objects",
                  RECORDS[] = "backups";

static enum err
path_of(const struct backup_repository *r, char to[PATH_BYTES], const char *name, struct why *why)
{
    return path_in(to, PATH_BYTES, r->dir, name, why);
}

/* --- the directory ---------------------------------------------------------------------------- */

enum err
backup_make_dir(struct env *env, const char *dir, struct why *why)
{
    char parent[PATH_BYTES];
    size_t size = strlen(dir);
    while (size > 1 && dir[size - 1] == '/')
        size--;
    while (size > 0 && dir[size - 1] != '/')
        size--;
    if (size >= sizeof parent) return why_set(why, ERR_LIMIT, "the path %.60s... is too long", dir);
    snprintf(parent, sizeof parent, "%.*s", (int)size, size == 0 ? "" : dir);
    enum err e = env_mkdir(env, dir, why);
    return e ? e : env_syncdir(env, size == 0 ? "." : parent, why);
}

struct looking {
    bool found; /* something besides what a new file system or an unfinished repository has */
};

static enum err
look_at_name(void *context, const char *name, bool is_dir)
{
    struct looking *l = context;
    if (is_dir && (strcmp(name, "lost+found") == 0 || strcmp(name, OBJECTS) == 0 ||
                   strcmp(name, RECORDS) == 0)) {
        return OK;
    }
    if (!is_dir && (strcmp(name, LOCK_NAME) == 0 || strcmp(name, "BACKUP.tmp") == 0)) return OK;
    l->found = true;
    return OK;
}

/* Makes a repository of a directory that is empty or missing. The format is written last. */
static enum err
make_repository(struct backup_repository *r, struct why *why)
{
    char path[PATH_BYTES], format[FORMAT_BYTES];
    struct looking look = {false};
    uint64_t random;
    enum err e = backup_make_dir(r->env, r->dir, why);
    if (e == OK) e = env_listdir(r->env, r->dir, look_at_name, &look, why);
    if (e == OK && look.found) {
        e = why_set(why, ERR_MISSING, "%s is not a directory of backups, and is not empty", r->dir);
    }
    if (e == OK) e = path_of(r, path, OBJECTS, why);
    if (e == OK) e = env_mkdir(r->env, path, why);
    if (e == OK) e = path_of(r, path, RECORDS, why);
    if (e == OK) e = env_mkdir(r->env, path, why);
    if (e == OK) e = env_random(r->env, &random, sizeof random);
    if (e) return e;
    snprintf(r->id, sizeof r->id, "%016" PRIx64, random);
    int size =
        snprintf(format, sizeof format, "firekeep-backup %d %d %s\n", VERSION, VERSION, r->id);
    return env_write_whole(r->env, r->dir, FORMAT_NAME, bytes_of(format, (size_t)size), why);
}

static enum err
check_format(struct backup_repository *r, enum backup_use use, struct why *why)
{
    char path[PATH_BYTES], text[FORMAT_BYTES];
    size_t size = 0;
    int version, min_reader;
    struct why reason = {""};
    enum err e = path_of(r, path, FORMAT_NAME, why);
    if (e) return e;
    e = env_read_some(r->env, path, text, sizeof text - 1, &size, &reason);
    if (e == ERR_MISSING && use == BACKUP_MAKE) return make_repository(r, why);
    if (e == ERR_MISSING) {
        return why_set(why, e, "%s is not a directory of backups; --create makes one", r->dir);
    }
    if (e) return why_set(why, e, "%s", why_text(&reason, e));
    text[size] = '\0';
    if (sscanf(text, "firekeep-backup %d %d %16[0-9a-f]", &version, &min_reader, r->id) != 3 ||
        strlen(r->id) != sizeof r->id - 1) {
        return why_set(why, ERR_CORRUPT, "%s is damaged", path);
    }
    if (min_reader <= VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s has version %d, which is newer than version %d, which this program reads",
                   r->dir, version, VERSION);
}

static enum err
take_lock(struct backup_repository *r, enum backup_use use, struct why *why)
{
    char path[PATH_BYTES];
    struct why reason = {""};
    enum err e = path_of(r, path, LOCK_NAME, why);
    if (e) return e;
    e = file_open(r->env, path, use == BACKUP_READ ? FILE_READ : FILE_UPDATE, &r->lock_file,
                  &reason);
    if (e == ERR_MISSING && use == BACKUP_READ) return OK; /* it was copied without */
    if (e == ERR_MISSING) e = file_open(r->env, path, FILE_REPLACE, &r->lock_file, &reason);
    if (e) return why_set(why, e, "%s", why_text(&reason, e));
    e = file_lock(&r->lock_file, NULL);
    if (e == ERR_AGAIN) return why_set(why, e, "another process is using %s", r->dir);
    err_ignore(e, "a file system without locks");
    return OK;
}

/* Removes what a process that was killed left unfinished. */
static enum err
sweep_object(void *context, const char *name, bool is_dir)
{
    struct backup_repository *r = context;
    char path[PATH_BYTES];
    size_t size = strlen(name);
    if (is_dir || size < 4 || strcmp(name + size - 4, ".tmp") != 0) return OK;
    int n = snprintf(path, sizeof path, "%s/%s/%s", r->dir, OBJECTS, name);
    if (n < 0 || (size_t)n >= sizeof path) return OK;
    return env_unlink(r->env, path, NULL);
}

enum err
backup_open(struct backup_repository *r, const char *dir, enum backup_use use, struct why *why)
{
    char path[PATH_BYTES];
    r->lock_file = FILE_CLOSED;
    lock_init(&r->lock, LOCK_RANK_LEAF);
    if (snprintf(r->dir, sizeof r->dir, "%s", dir) >= (int)sizeof r->dir) {
        return why_set(why, ERR_LIMIT, "the path of the directory of backups is too long");
    }
    enum err e = check_format(r, use, why);
    if (e == OK) e = take_lock(r, use, why);
    if (e || use == BACKUP_READ) return e;
    e = path_of(r, path, OBJECTS, why);
    return e ? e : env_listdir(r->env, path, sweep_object, r, why);
}

void
backup_close(struct backup_repository *r)
{
    err_ignore(file_close(&r->lock_file), "nothing was written");
    lock_fini(&r->lock);
}

/* --- content ---------------------------------------------------------------------------------- */

/* Waits until the rate allows these bytes, and counts them. */
static enum err
take_bytes(struct backup_repository *r, size_t size)
{
    atomic_fetch_add_explicit(&r->bytes, size, memory_order_relaxed);
    if (r->rate_bytes > 0) {
        lock_take(&r->lock);
        int64_t now = env_monotonic_ns(r->env);
        int64_t begin = r->free_ns > now ? r->free_ns : now;
        r->free_ns = begin + (int64_t)((double)size * 1e9 / (double)r->rate_bytes);
        lock_drop(&r->lock);
        if (begin > now) env_sleep(r->env, begin - now);
    }
    if (r->step != NULL) r->step(r->context);
    return r->stop != NULL && *r->stop ? ERR_CANCELED : OK;
}

struct pumped {
    uint64_t size_bytes;
    uint8_t digest[BACKUP_DIGEST_BYTES];
};

static bool
is_zero(const uint8_t *chunk, size_t size)
{
    return size == 0 || (chunk[0] == 0 && memcmp(chunk, chunk + 1, size - 1) == 0);
}

/* Zeros become holes: a log that is mostly free space takes none in a backup. */
static enum err
pump_chunks(struct backup_repository *r, struct file *from, struct file *to, gnutls_hash_hd_t hash,
            uint8_t *chunk, struct pumped *ret, struct why *why)
{
    size_t size;
    do {
        enum err e = file_read_some(from, chunk, CHUNK_BYTES, ret->size_bytes, &size, why);
        if (e == OK) e = take_bytes(r, size);
        if (e == OK && gnutls_hash(hash, chunk, size) < 0) e = ERR_NOMEM;
        if (e == OK && to != NULL && !is_zero(chunk, size)) {
            e = file_write_at(to, bytes_of(chunk, size), ret->size_bytes, why);
        }
        if (e) return e;
        ret->size_bytes += size;
    } while (size == CHUNK_BYTES);
    return to == NULL ? OK : file_truncate(to, ret->size_bytes, why);
}

/* Reads all of a file, and writes it to `to` unless that is NULL. */
static enum err
pump(struct backup_repository *r, struct file *from, struct file *to, struct pumped *ret,
     struct why *why)
{
    gnutls_hash_hd_t hash;
    *ret = (struct pumped){0};
    uint8_t *chunk = mem_alloc(r->memory, CHUNK_BYTES);
    if (chunk == NULL || gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0) {
        mem_free(r->memory, chunk, CHUNK_BYTES);
        return why_set(why, ERR_NOMEM, "not enough memory to read %s", from->path);
    }
    enum err e = pump_chunks(r, from, to, hash, chunk, ret, why);
    gnutls_hash_deinit(hash, ret->digest);
    mem_free(r->memory, chunk, CHUNK_BYTES);
    return e;
}

static bool
is_content(const struct pumped *got, const struct backup_file *file)
{
    return got->size_bytes == file->size_bytes &&
           memcmp(got->digest, file->digest, sizeof got->digest) == 0;
}

/* --- objects ---------------------------------------------------------------------------------- */

/* Writes the path of the object, or, with `folder`, of the directory that it is in. */
static void
object_path(const struct backup_repository *r, const struct backup_file *file, bool folder,
            char to[PATH_BYTES])
{
    char digits[DIGEST_DIGITS + 1];
    backup_digest_print(file->digest, digits);
    if (folder)
        snprintf(to, PATH_BYTES, "%s/%s/%.2s", r->dir, OBJECTS, digits);
    else
        snprintf(to, PATH_BYTES, "%s/%s/%.2s/%s", r->dir, OBJECTS, digits, digits);
}

bool
backup_has(struct backup_repository *r, const struct backup_file *file)
{
    char path[PATH_BYTES];
    struct file_facts facts;
    object_path(r, file, false, path);
    return env_facts(r->env, path, &facts, NULL) == OK && facts.kind == FILE_KIND_PLAIN &&
           facts.size_bytes == file->size_bytes;
}

/* Gives a durable object its name. */
static enum err
name_object(struct backup_repository *r, const char *unfinished, const struct backup_file *file,
            struct why *why)
{
    char folder[PATH_BYTES], path[PATH_BYTES], objects[PATH_BYTES];
    struct file_facts facts;
    object_path(r, file, true, folder);
    object_path(r, file, false, path);
    enum err e = path_of(r, objects, OBJECTS, why);
    if (e == OK && env_facts(r->env, folder, &facts, NULL) != OK) {
        e = env_mkdir(r->env, folder, why);
        if (e == OK) e = env_syncdir(r->env, objects, why);
    }
    if (e == OK) e = env_rename(r->env, unfinished, path, why);
    return e ? e : env_syncdir(r->env, folder, why);
}

enum err
backup_put(struct backup_repository *r, const char *path, struct backup_file *file, bool *ret_new,
           struct why *why)
{
    char unfinished[PATH_BYTES];
    struct file from = FILE_CLOSED, to = FILE_CLOSED;
    struct pumped got;
    *ret_new = false;
    lock_take(&r->lock);
    uint64_t number = r->unfinished++;
    lock_drop(&r->lock);
    snprintf(unfinished, sizeof unfinished, "%s/%s/%" PRIu64 ".tmp", r->dir, OBJECTS, number);
    enum err e = file_open(r->env, path, FILE_READ, &from, why);
    if (e == OK) e = file_open(r->env, unfinished, FILE_REPLACE, &to, why);
    if (e == OK) e = pump(r, &from, &to, &got, why);
    err_ignore(file_close(&from), "it was only read");
    if (e == OK) {
        file->size_bytes = got.size_bytes;
        memcpy(file->digest, got.digest, sizeof file->digest);
        *ret_new = !backup_has(r, file);
    }
    if (e == OK && *ret_new) e = file_sync(&to, why);
    enum err closed = file_close(&to);
    if (e == OK && *ret_new && closed) e = why_set(why, closed, "cannot write %s", unfinished);
    if (e == OK && *ret_new) e = name_object(r, unfinished, file, why); /* invariant 1 */
    if (e || !*ret_new) err_ignore(env_unlink(r->env, unfinished, NULL), "the next backup does it");
    return e;
}

static enum err
open_object(struct backup_repository *r, const struct backup_file *file, struct file *ret_object,
            struct why *why)
{
    char path[PATH_BYTES];
    object_path(r, file, false, path);
    return file_open(r->env, path, FILE_READ, ret_object, why);
}

static enum err
pump_object(struct backup_repository *r, const struct backup_file *file, struct file *to,
            struct why *why)
{
    struct file from = FILE_CLOSED;
    struct pumped got;
    enum err e = open_object(r, file, &from, why);
    if (e == OK) e = pump(r, &from, to, &got, why);
    if (e == OK && !is_content(&got, file)) {
        e = why_set(why, ERR_CORRUPT, "%s is damaged: it is not the content of '%s'", from.path,
                    file->path);
    }
    err_ignore(file_close(&from), "it was only read");
    return e;
}

enum err
backup_check(struct backup_repository *r, const struct backup_file *file, struct why *why)
{
    return pump_object(r, file, NULL, why);
}

/* Returns true if a file exists and has the content. */
static bool
is_restored(struct backup_repository *r, const struct backup_file *file, const char *path)
{
    struct file found = FILE_CLOSED;
    struct pumped got;
    struct file_facts facts;
    if (env_facts(r->env, path, &facts, NULL) || facts.size_bytes != file->size_bytes) return false;
    enum err e = file_open(r->env, path, FILE_READ, &found, NULL);
    if (e == OK) e = pump(r, &found, NULL, &got, NULL);
    err_ignore(file_close(&found), "it was only read");
    return e == OK && is_content(&got, file);
}

enum err
backup_get(struct backup_repository *r, const struct backup_file *file, const char *to,
           struct why *why)
{
    struct file restored = FILE_CLOSED;
    if (is_restored(r, file, to)) return OK;
    enum err e = file_open(r->env, to, FILE_REPLACE, &restored, why);
    if (e) return e;
    e = pump_object(r, file, &restored, why);
    if (e == OK) e = file_sync(&restored, why);
    enum err closed = file_close(&restored);
    if (e == OK && closed) e = why_set(why, closed, "cannot write %s", to);
    if (e) err_ignore(env_unlink(r->env, to, NULL), "the error is reported");
    return e;
}

/* --- records ---------------------------------------------------------------------------------- */

bool
backup_id_is(const char *id)
{
    static const char form[] = "00000000T000000.000Z";
    for (size_t i = 0; i < sizeof form; i++) {
        if (form[i] == '0' ? id[i] < '0' || id[i] > '9' : id[i] != form[i]) return false;
    }
    return true;
}

static enum err
note_id(void *context, const char *name, bool is_dir)
{
    struct buf *to = context;
    struct backup_id id = {""};
    if (is_dir || !backup_id_is(name)) return OK;
    snprintf(id.text, sizeof id.text, "%s", name);
    buf_put(to, &id, sizeof id);
    return buf_error(to);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(((const struct backup_id *)a)->text, ((const struct backup_id *)b)->text);
}

enum err
backup_ids(struct backup_repository *r, struct buf *to, struct why *why)
{
    char path[PATH_BYTES];
    size_t begin = to->size;
    enum err e = path_of(r, path, RECORDS, why);
    if (e == OK) e = env_listdir(r->env, path, note_id, to, why);
    size_t size = to->size - begin;
    if (size > 0)
        qsort(to->at + begin, size / sizeof(struct backup_id), sizeof(struct backup_id), by_text);
    return e;
}

/* Returns the time of an id, Unix ms. */
static int64_t
id_time(const char *id)
{
    struct tm utc = {0};
    int ms = 0;
    if (sscanf(id, "%4d%2d%2dT%2d%2d%2d.%3d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour,
               &utc.tm_min, &utc.tm_sec, &ms) != 7) {
        return 0;
    }
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    return (int64_t)timegm(&utc) * 1000 + ms;
}

enum err
backup_id_make(struct backup_repository *r, char ret_id[BACKUP_ID_BYTES], struct why *why)
{
    struct buf ids;
    struct tm utc;
    int64_t ms = env_realtime_ms(r->env);
    buf_init(&ids, r->memory, BACKUP_RECORD_BYTES_MAX);
    enum err e = backup_ids(r, &ids, why);
    size_t count = ids.size / sizeof(struct backup_id);
    if (e == OK && count > 0) {
        int64_t newest = id_time(((const struct backup_id *)ids.at)[count - 1].text);
        if (ms <= newest) ms = newest + 1;
    }
    buf_fini(&ids);
    if (e) return e;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &utc);
    size_t size = strftime(ret_id, BACKUP_ID_BYTES, "%Y%m%dT%H%M%S", &utc);
    snprintf(ret_id + size, BACKUP_ID_BYTES - size, ".%03dZ", (int)(ms % 1000));
    assert(backup_id_is(ret_id));
    return OK;
}

static enum err
record_path(const struct backup_repository *r, const char *id, char to[PATH_BYTES], struct why *why)
{
    int n = snprintf(to, PATH_BYTES, "%s/%s/%s", r->dir, RECORDS, id);
    if (backup_id_is(id) && n > 0 && n < PATH_BYTES) return OK;
    return why_set(why, ERR_MISSING, "there is no backup '%.60s'", id);
}

enum err
backup_record_read(struct backup_repository *r, const char *id, struct backup_record *record,
                   struct why *why)
{
    char path[PATH_BYTES];
    struct buf text;
    struct why reason = {""};
    enum err e = record_path(r, id, path, why);
    if (e) return e;
    buf_init(&text, r->memory, BACKUP_RECORD_BYTES_MAX);
    e = env_read_whole(r->env, path, &text, &reason);
    if (e == OK) e = backup_record_parse(record, buf_bytes(&text), &reason);
    buf_fini(&text);
    if (e == ERR_MISSING) return why_set(why, e, "there is no backup '%s'", id);
    return e ? why_set(why, e, "%s: %s", path, why_text(&reason, e)) : OK;
}

enum err
backup_record_write(struct backup_repository *r, const char *id, const struct backup_record *record,
                    struct why *why)
{
    char path[PATH_BYTES];
    struct buf text;
    buf_init(&text, r->memory, BACKUP_RECORD_BYTES_MAX);
    enum err e = backup_record_print(record, &text);
    if (e) e = why_set(why, e, "not enough memory for the record of the backup");
    if (e == OK) e = path_of(r, path, RECORDS, why);
    if (e == OK) e = env_write_whole(r->env, path, id, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

enum err
backup_record_remove(struct backup_repository *r, const char *id, struct why *why)
{
    char path[PATH_BYTES], folder[PATH_BYTES];
    enum err e = record_path(r, id, path, why);
    if (e == OK) e = path_of(r, folder, RECORDS, why);
    if (e == OK) e = env_unlink(r->env, path, why);
    return e ? e : env_syncdir(r->env, folder, why);
}

/* --- pruning ---------------------------------------------------------------------------------- */

struct digest {
    uint8_t at[BACKUP_DIGEST_BYTES];
};

struct pruning {
    struct backup_repository *repository;
    struct digest *named; /* by records, sorted */
    size_t count, capacity;
    char folder[PATH_BYTES];
    struct backup_pruned *pruned;
    struct why *why;
};

static int
by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

static enum err
note_record(struct pruning *p, const char *id)
{
    struct backup_repository *r = p->repository;
    struct backup_record record;
    backup_record_init(&record, r->memory);
    enum err e = backup_record_read(r, id, &record, p->why);
    if (e == OK && !array_reserve(r->memory, &p->named, &p->capacity, p->count + record.count)) {
        e = why_set(p->why, ERR_NOMEM, "not enough memory for the list of objects");
    }
    for (size_t i = 0; i < record.count && e == OK; i++) {
        memcpy(p->named[p->count++].at, record.files[i].digest, BACKUP_DIGEST_BYTES);
    }
    backup_record_fini(&record);
    return e;
}

static enum err
note_records(struct pruning *p)
{
    struct buf ids;
    buf_init(&ids, p->repository->memory, BACKUP_RECORD_BYTES_MAX);
    enum err e = backup_ids(p->repository, &ids, p->why);
    const struct backup_id *id = (const struct backup_id *)ids.at;
    for (size_t i = 0; i < ids.size / sizeof *id && e == OK; i++)
        e = note_record(p, id[i].text);
    buf_fini(&ids);
    if (e == OK && p->count > 0) qsort(p->named, p->count, sizeof *p->named, by_digest);
    return e;
}

static enum err
prune_object(void *context, const char *name, bool is_dir)
{
    struct pruning *p = context;
    struct env *env = p->repository->env;
    char path[PATH_BYTES];
    struct digest digest;
    struct file_facts facts;
    if (is_dir || strlen(name) != DIGEST_DIGITS || !backup_digest_parse(name, digest.at)) return OK;
    if (p->count > 0 && bsearch(&digest, p->named, p->count, sizeof digest, by_digest) != NULL) {
        return OK; /* invariant 3 */
    }
    enum err e = path_in(path, sizeof path, p->folder, name, p->why);
    if (e == OK) e = env_facts(env, path, &facts, p->why);
    if (e == OK) e = env_unlink(env, path, p->why);
    if (e) return e;
    p->pruned->objects++;
    p->pruned->bytes += facts.size_bytes;
    return OK;
}

enum err
backup_prune_objects(struct backup_repository *r, struct backup_pruned *ret_pruned, struct why *why)
{
    struct pruning p = {.repository = r, .pruned = ret_pruned, .why = why};
    *ret_pruned = (struct backup_pruned){0};
    enum err e = note_records(&p);
    for (unsigned i = 0; i < 256 && e == OK; i++) {
        snprintf(p.folder, sizeof p.folder, "%s/%s/%02x", r->dir, OBJECTS, i);
        e = env_listdir(r->env, p.folder, prune_object, &p, why);
        if (e == ERR_MISSING) e = OK;
    }
    array_free(r->memory, p.named, p.capacity);
    return e;
}
