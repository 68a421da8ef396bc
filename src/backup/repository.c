/*
 * repository.c - the records, format, content and pruning of a repository, wherever it is. A record
 * is lines of text, the last of which is the SHA-256 of those before.
 */

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
#include "base/buf.h"
#include "base/text/hex.h"

/* --- a record --------------------------------------------------------------------------------- */

enum { VERSION = 1, PATHS_BLOCK_BYTES = 16 * 1024, DIGEST_DIGITS = 2 * BACKUP_DIGEST_BYTES };
#define PATHS_BYTES_MAX ((uint64_t)128 << 20)

static const char HEAD[] = "firekeep-backup ", END[] = "sha256 ";

int
backup_digest_order(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct backup_digest));
}

void
backup_record_init(struct backup_record *record, struct budget *memory)
{
    *record = (struct backup_record){.memory = memory};
    arena_init(&record->paths, memory, PATHS_BYTES_MAX, PATHS_BLOCK_BYTES);
}

void
backup_record_fini(struct backup_record *record)
{
    array_free(record->memory, record->files, record->capacity);
    arena_fini(&record->paths);
    record->files = NULL;
    record->count = record->capacity = 0;
}

/* Returns true for a path of names that are not "." or "..", without bytes that end a line: a
 * record must not lead a restore out of its directory. */
static bool
is_path(struct bytes path)
{
    size_t begin = 0;
    if (path.size == 0 || path.size >= BACKUP_PATH_BYTES) return false;
    for (size_t i = 0; i <= path.size; i++) {
        if (i < path.size && (path.at[i] < ' ' || path.at[i] == 0x7f)) return false;
        if (i < path.size && path.at[i] != '/') continue;
        struct bytes name = bytes_of(path.at + begin, i - begin);
        if (name.size == 0 || bytes_equal_text(name, ".") || bytes_equal_text(name, ".."))
            return false;
        begin = i + 1;
    }
    return true;
}

static enum err
add_file(struct backup_record *record, struct bytes path, struct backup_file **ret_file,
         struct why *why)
{
    if (!is_path(path)) {
        return why_set(why, ERR_INPUT, "a backup cannot hold a file with the name '%.*s'",
                       (int)(path.size > 80 ? 80 : path.size), (const char *)path.at);
    }
    char *copy = arena_alloc(&record->paths, path.size + 1);
    if (copy == NULL ||
        !array_reserve(record->memory, &record->files, &record->capacity, record->count + 1))
        return why_set(why, ERR_NOMEM, "not enough memory for the list of files");
    memcpy(copy, path.at, path.size);
    copy[path.size] = '\0';
    *ret_file = &record->files[record->count++];
    **ret_file = (struct backup_file){.path = copy};
    return OK;
}

enum err
backup_record_add(struct backup_record *record, const char *path, uint64_t size_bytes,
                  int64_t modified_ns, struct why *why)
{
    struct backup_file *file;
    enum err e = add_file(record, bytes_of_text(path), &file, why);
    if (e) return e;
    file->size_bytes = size_bytes;
    file->modified_ns = modified_ns;
    return OK;
}

static int
by_path(const void *a, const void *b)
{
    return strcmp(((const struct backup_file *)a)->path, ((const struct backup_file *)b)->path);
}

void
backup_record_sort(struct backup_record *record)
{
    if (record->count > 1) qsort(record->files, record->count, sizeof *record->files, by_path);
}

const struct backup_file *
backup_record_find(const struct backup_record *record, const char *path)
{
    struct backup_file wanted = {.path = path};
    if (record->count == 0) return NULL;
    return bsearch(&wanted, record->files, record->count, sizeof *record->files, by_path);
}

uint64_t
backup_record_bytes(const struct backup_record *record)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < record->count; i++)
        sum += record->files[i].size_bytes;
    return sum;
}

/* --- the text of a record --------------------------------------------------------------------- */

static bool
digest_of(struct bytes text, uint8_t ret_digest[BACKUP_DIGEST_BYTES])
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, text.at, text.size, ret_digest) == 0;
}

enum err
backup_record_print(const struct backup_record *record, struct buf *to)
{
    uint8_t digest[BACKUP_DIGEST_BYTES];
    size_t begin = to->size;
    buf_printf(to, "%s%d %d\ntime ", HEAD, VERSION, VERSION);
    buf_put_int(to, record->time_ms);
    for (size_t i = 0; i < record->count; i++) {
        const struct backup_file *file = &record->files[i];
        buf_put_text(to, "\nfile ");
        buf_put_uint(to, file->size_bytes);
        buf_put_u8(to, ' ');
        buf_put_int(to, file->modified_ns);
        buf_put_u8(to, ' ');
        buf_put_hex(to, bytes_of(file->digest, sizeof file->digest));
        buf_put_u8(to, ' ');
        buf_put_text(to, file->path);
    }
    buf_put_u8(to, '\n');
    if (buf_error(to)) return buf_error(to);
    if (!digest_of(bytes_of(to->at + begin, to->size - begin), digest)) return ERR_NOMEM;
    buf_put_text(to, END);
    buf_put_hex(to, bytes_of(digest, sizeof digest));
    buf_put_u8(to, '\n');
    return buf_error(to);
}

/* Takes a word and the blank or line end after it, which becomes a NUL in `to`. */
static bool
take_word(struct bytes *rest, char end, char *to, size_t to_bytes)
{
    const uint8_t *stop = rest->size == 0 ? NULL : memchr(rest->at, end, rest->size);
    size_t size = stop == NULL ? 0 : (size_t)(stop - rest->at);
    if (stop == NULL || size >= to_bytes || memchr(rest->at, '\0', size) != NULL) return false;
    memcpy(to, rest->at, size);
    to[size] = '\0';
    *rest = bytes_of(stop + 1, rest->size - size - 1);
    return true;
}

/* Takes a decimal number without leading zeros or signs other than '-'. */
static bool
take_number(struct bytes *rest, char end, int64_t min, int64_t *ret_number)
{
    char word[DECIMAL_BYTES + 2], again[DECIMAL_BYTES + 1];
    if (!take_word(rest, end, word, sizeof word)) return false;
    *ret_number = strtoll(word, NULL, 10);
    again[decimal_print_int(*ret_number, again)] = '\0';
    return strcmp(word, again) == 0 && *ret_number >= min;
}

static bool
take_text(struct bytes *rest, const char *text)
{
    size_t size = strlen(text);
    if (rest->size < size || memcmp(rest->at, text, size) != 0) return false;
    *rest = bytes_of(rest->at + size, rest->size - size);
    return true;
}

static enum err
damaged(struct why *why)
{
    return why_set(why, ERR_CORRUPT, "the record of the backup is damaged");
}

static enum err
parse_file(struct backup_record *record, struct bytes *rest, struct why *why)
{
    char digits[DIGEST_DIGITS + 1], path[BACKUP_PATH_BYTES];
    struct backup_file *file;
    int64_t size, modified;
    if (!take_number(rest, ' ', 0, &size) || !take_number(rest, ' ', INT64_MIN, &modified) ||
        !take_word(rest, ' ', digits, sizeof digits) || strlen(digits) != DIGEST_DIGITS ||
        !take_word(rest, '\n', path, sizeof path))
        return damaged(why);
    enum err e = add_file(record, bytes_of_text(path), &file, why);
    if (e) return e == ERR_INPUT ? damaged(why) : e;
    file->size_bytes = (uint64_t)size;
    file->modified_ns = modified;
    return hex_parse(bytes_of_text(digits), file->digest) ? OK : damaged(why);
}

/* Checks the first line, and the digest in the last one; leaves the lines between in `text`. */
static enum err
check_frame(struct bytes *text, struct why *why)
{
    enum { END_BYTES = sizeof END - 1 + DIGEST_DIGITS + 1 };
    uint8_t digest[BACKUP_DIGEST_BYTES], wanted[BACKUP_DIGEST_BYTES];
    struct bytes rest = *text;
    int64_t version, min_reader;
    if (!take_text(&rest, HEAD) || !take_number(&rest, ' ', 1, &version) ||
        !take_number(&rest, '\n', 1, &min_reader))
        return damaged(why);
    if (min_reader > VERSION) {
        return why_set(why, ERR_UNSUPPORTED,
                       "the backup has version %" PRId64 ", which is newer than version %d, which "
                       "this program reads",
                       version, VERSION);
    }
    if (rest.size < END_BYTES) return damaged(why);
    struct bytes end = bytes_of(rest.at + rest.size - END_BYTES, END_BYTES);
    struct bytes before = bytes_of(text->at, text->size - END_BYTES);
    if (!take_text(&end, END) || !hex_parse(bytes_of(end.at, DIGEST_DIGITS), wanted) ||
        end.at[DIGEST_DIGITS] != '\n' || !digest_of(before, digest) ||
        memcmp(digest, wanted, sizeof digest) != 0)
        return damaged(why);
    *text = bytes_of(rest.at, rest.size - END_BYTES);
    return OK;
}

enum err
backup_record_parse(struct backup_record *record, struct bytes text, struct why *why)
{
    enum err e = check_frame(&text, why);
    if (e) return e;
    if (!take_text(&text, "time ") || !take_number(&text, '\n', 0, &record->time_ms))
        return damaged(why);
    while (text.size > 0 && e == OK)
        e = take_text(&text, "file ") ? parse_file(record, &text, why) : damaged(why);
    if (e) return e;
    backup_record_sort(record);
    for (size_t i = 1; i < record->count; i++)
        if (strcmp(record->files[i - 1].path, record->files[i].path) == 0) return damaged(why);
    return OK;
}

enum { CHUNK_BYTES = 1 << 20, FORMAT_BYTES = 80, REPOSITORY_VERSION = 1, NAME_BYTES = 40 };
#define WAIT_NS (NS_PER_S / 10) /* between looks whether it is stopped */

static const char FORMAT_NAME[] = BACKUP_FORMAT, REPOSITORY_RECORDS[] = "backups/",
                  REPOSITORY_OBJECTS[] = "objects/";

/* --- the format ------------------------------------------------------------------------------- */

/* Makes a repository of a place that is empty. The format is written last. */
static enum err
make_repository(struct backup_repository *r, struct why *why)
{
    char format[FORMAT_BYTES];
    uint64_t random;
    enum err e = place_prepare(&r->place, why);
    if (e == OK) e = env_random(r->env, &random, sizeof random);
    if (e) return e;
    snprintf(r->id, sizeof r->id, "%016" PRIx64, random);
    int size = snprintf(format, sizeof format, "firekeep-backup %d %d %s\n", REPOSITORY_VERSION,
                        REPOSITORY_VERSION, r->id);
    return place_write(&r->place, FORMAT_NAME, bytes_of(format, (size_t)size), why);
}

static enum err
parse_format(struct backup_repository *r, const char *text, struct why *why)
{
    const char *shown = r->place.shown;
    int version, min_reader;
    if (sscanf(text, "firekeep-backup %d %d %16[0-9a-f]", &version, &min_reader, r->id) != 3 ||
        strlen(r->id) != sizeof r->id - 1)
        return why_set(why, ERR_CORRUPT, "%s/%s is damaged", shown, FORMAT_NAME);
    if (min_reader <= REPOSITORY_VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s has version %d, which is newer than version %d, which this program reads",
                   shown, version, REPOSITORY_VERSION);
}

static enum err
check_format(struct backup_repository *r, enum backup_use use, struct why *why)
{
    struct why reason = {""};
    struct buf text;
    buf_init(&text, r->memory, FORMAT_BYTES);
    enum err e = place_read(&r->place, FORMAT_NAME, &text, &reason);
    if (e == OK) buf_put_u8(&text, '\0');
    if (e == OK) e = buf_error(&text) ? ERR_LIMIT : OK;
    if (e == OK || e == ERR_LIMIT)
        e = parse_format(r, e == OK ? (const char *)text.at : "", why);
    else if (e == ERR_MISSING && use == BACKUP_MAKE)
        e = make_repository(r, why);
    else if (e == ERR_MISSING)
        e = why_set(why, e, "%s is not a directory of backups; firekeep backup --create makes one",
                    r->place.shown);
    else
        e = why_set(why, e, "%s", why_text(&reason, e));
    buf_fini(&text);
    return e;
}

enum err
backup_open(struct backup_repository *r, const struct backup_place *place, enum backup_use use,
            struct why *why)
{
    r->place = *place;
    r->place.lock_file = FILE_CLOSED;
    lock_init(&r->lock, LOCK_RANK_LEAF);
    enum err e = check_format(r, use, why);
    return e ? e : place_begin(&r->place, use, why);
}

void
backup_close(struct backup_repository *r)
{
    if (r->place.objects == NULL) return;
    place_end(&r->place);
    lock_fini(&r->lock);
    r->place.objects = NULL;
}

/* --- content ---------------------------------------------------------------------------------- */

static bool
is_stopped(const struct backup_repository *r)
{
    return r->stop != NULL && atomic_load_explicit(r->stop, memory_order_relaxed);
}

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
        for (int64_t left_ns; (left_ns = begin - env_monotonic_ns(r->env)) > 0 && !is_stopped(r);)
            env_sleep(r->env, left_ns < WAIT_NS ? left_ns : WAIT_NS);
    }
    if (r->step != NULL) r->step(r->context);
    return is_stopped(r) ? ERR_CANCELED : OK;
}

enum err
content_begin(struct backup_content *c, struct backup_repository *r, struct file *to,
              struct why *why)
{
    gnutls_hash_hd_t hash;
    *c = (struct backup_content){.repository = r, .to = to, .why = why};
    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return why_set(why, ERR_NOMEM, "not enough memory for a checksum");
    c->hash = hash;
    return OK;
}

/* Zeros become holes: a log that is mostly free space takes none in a backup. */
enum err
content_take(void *content, struct bytes piece)
{
    struct backup_content *c = content;
    enum err e = take_bytes(c->repository, piece.size);
    if (e == OK && gnutls_hash(c->hash, piece.at, piece.size) < 0) e = ERR_NOMEM;
    if (e == OK && c->to != NULL &&
        !(piece.size == 0 ||
          (piece.at[0] == 0 && memcmp(piece.at, piece.at + 1, piece.size - 1) == 0)))
        e = file_write_at(c->to, piece, c->size_bytes, c->why);
    c->size_bytes += piece.size;
    return e;
}

enum err
content_take_file(struct backup_content *c, struct file *from, struct why *why)
{
    struct budget *memory = c->repository->memory;
    uint8_t *chunk = mem_alloc(memory, CHUNK_BYTES);
    size_t size = 0;
    enum err e =
        chunk == NULL ? why_set(why, ERR_NOMEM, "not enough memory to read %s", from->path) : OK;
    while (e == OK) {
        e = file_read_some(from, chunk, CHUNK_BYTES, c->size_bytes, &size, why);
        if (e == OK) e = content_take(c, bytes_of(chunk, size));
        if (size < CHUNK_BYTES) break;
    }
    mem_free(memory, chunk, CHUNK_BYTES);
    return e;
}

enum err
content_end(struct backup_content *c, enum err e)
{
    gnutls_hash_deinit(c->hash, c->digest);
    if (e == OK && c->to != NULL) e = file_truncate(c->to, c->size_bytes, c->why);
    return e;
}

static bool
is_content(const struct backup_content *got, const struct backup_file *file)
{
    return got->size_bytes == file->size_bytes &&
           memcmp(got->digest, file->digest, sizeof got->digest) == 0;
}

void
backup_object_name(const uint8_t digest[BACKUP_DIGEST_BYTES], char to[BACKUP_OBJECT_NAME_BYTES])
{
    char digits[2 * BACKUP_DIGEST_BYTES + 1];
    hex_print(bytes_of(digest, BACKUP_DIGEST_BYTES), digits);
    snprintf(to, BACKUP_OBJECT_NAME_BYTES, "%s%.2s/%s", REPOSITORY_OBJECTS, digits, digits);
}

enum err
backup_read(struct backup_repository *r, const struct backup_file *file, struct file *to,
            struct why *why)
{
    char name[BACKUP_OBJECT_NAME_BYTES];
    struct backup_content got;
    enum err e = content_begin(&got, r, to, why);
    if (e) return e;
    e = place_get(&r->place, file, &got, why);
    e = content_end(&got, e);
    backup_object_name(file->digest, name);
    if (e == ERR_MISSING)
        return why_set(why, e, "%s/%s is missing: the content of '%s'", r->place.shown, name,
                       file->path);
    if (e || is_content(&got, file)) return e;
    return why_set(why, ERR_CORRUPT, "%s/%s is damaged: it is not the content of '%s'",
                   r->place.shown, name, file->path);
}

bool
backup_is_restored(struct backup_repository *r, const struct backup_file *file, const char *path)
{
    struct file found = FILE_CLOSED;
    struct backup_content got;
    struct file_facts facts;
    if (env_facts(r->env, path, &facts, NULL) || facts.size_bytes != file->size_bytes) return false;
    enum err e = file_open(r->env, path, FILE_READ, &found, NULL);
    if (e == OK) e = content_begin(&got, r, NULL, NULL);
    if (e == OK) e = content_end(&got, content_take_file(&got, &found, NULL));
    bool restored = e == OK && is_content(&got, file) && file_sync(&found, NULL) == OK;
    err_ignore(file_close(&found), "it was only read");
    return restored;
}

enum err
backup_get(struct backup_repository *r, const struct backup_file *file, const char *to,
           struct why *why)
{
    struct file restored = FILE_CLOSED;
    if (backup_is_restored(r, file, to)) return OK;
    enum err e = file_open(r->env, to, FILE_REPLACE, &restored, why);
    if (e) return e;
    e = backup_read(r, file, &restored, why);
    if (e == OK) e = file_sync(&restored, why);
    enum err closed = file_close(&restored);
    if (e == OK && closed) e = why_set(why, closed, "cannot write %s", to);
    if (e) err_ignore(env_unlink(r->env, to, NULL), "the error is reported");
    return e;
}

/* --- records of the repository ---------------------------------------------------------------- */

bool
backup_id_is(const char *id)
{
    static const char form[] = "00000000T000000.000Z";
    for (size_t i = 0; i < sizeof form; i++)
        if (form[i] == '0' ? id[i] < '0' || id[i] > '9' : id[i] != form[i]) return false;
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
    size_t begin = to->size;
    enum err e = place_records(&r->place, note_id, to, why);
    size_t size = to->size - begin;
    if (size > 0)
        qsort(to->at + begin, size / sizeof(struct backup_id), sizeof(struct backup_id), by_text);
    return e;
}

int64_t
backup_id_ms(const char *id)
{
    struct tm utc = {0};
    int ms = 0;
    if (sscanf(id, "%4d%2d%2dT%2d%2d%2d.%3d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday, &utc.tm_hour,
               &utc.tm_min, &utc.tm_sec, &ms) != 7)
        return 0;
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
        int64_t newest = backup_id_ms(((const struct backup_id *)ids.at)[count - 1].text);
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
record_name(const char *id, char to[NAME_BYTES], struct why *why)
{
    if (!backup_id_is(id)) return why_set(why, ERR_MISSING, "there is no backup '%.60s'", id);
    snprintf(to, NAME_BYTES, "%s%s", REPOSITORY_RECORDS, id);
    return OK;
}

enum err
backup_record_read(struct backup_repository *r, const char *id, struct backup_record *record,
                   struct why *why)
{
    char name[NAME_BYTES];
    struct buf text;
    struct why reason = {""};
    enum err e = record_name(id, name, why);
    if (e) return e;
    buf_init(&text, r->memory, BACKUP_RECORD_BYTES_MAX);
    e = place_read(&r->place, name, &text, &reason);
    if (e == OK) e = backup_record_parse(record, buf_bytes(&text), &reason);
    buf_fini(&text);
    if (e == ERR_MISSING) return why_set(why, e, "there is no backup '%s'", id);
    return e ? why_set(why, e, "%s/%s: %s", r->place.shown, name, why_text(&reason, e)) : OK;
}

enum err
backup_record_write(struct backup_repository *r, const char *id, const struct backup_record *record,
                    struct why *why)
{
    char name[NAME_BYTES];
    struct buf text;
    enum err e = record_name(id, name, why);
    if (e) return e;
    buf_init(&text, r->memory, BACKUP_RECORD_BYTES_MAX);
    e = backup_record_print(record, &text);
    if (e)
        e = why_set(why, e, "not enough memory for the record of the backup");
    else
        e = place_write(&r->place, name, buf_bytes(&text), why);
    buf_fini(&text);
    return e;
}

enum err
backup_record_remove(struct backup_repository *r, const char *id, struct why *why)
{
    char name[NAME_BYTES];
    enum err e = record_name(id, name, why);
    return e ? e : place_remove(&r->place, name, why);
}

/* --- pruning ---------------------------------------------------------------------------------- */

struct pruning {
    struct backup_repository *repository;
    struct backup_digest *named; /* by records, sorted */
    size_t count, capacity;
    struct backup_pruned *pruned;
    struct why *why;
};

static enum err
note_record(struct pruning *p, const char *id)
{
    struct backup_repository *r = p->repository;
    struct backup_record record;
    backup_record_init(&record, r->memory);
    enum err e = backup_record_read(r, id, &record, p->why);
    if (e == OK && !array_reserve(r->memory, &p->named, &p->capacity, p->count + record.count))
        e = why_set(p->why, ERR_NOMEM, "not enough memory for the list of objects");
    for (size_t i = 0; i < record.count && e == OK; i++)
        memcpy(p->named[p->count++].at, record.files[i].digest, BACKUP_DIGEST_BYTES);
    backup_record_fini(&record);
    return e;
}

static enum err
prune_object(void *context, const char *name, uint64_t size_bytes)
{
    struct pruning *p = context;
    char digits[2 * BACKUP_DIGEST_BYTES + 1];
    struct backup_digest digest;
    const char *slash = strrchr(name, '/');
    snprintf(digits, sizeof digits, "%s", slash == NULL ? "" : slash + 1);
    if (strlen(digits) != sizeof digits - 1) return OK;
    if (!hex_parse(bytes_of(digits, sizeof digits - 1), digest.at)) return OK;
    if (p->count > 0 &&
        bsearch(&digest, p->named, p->count, sizeof digest, backup_digest_order) != NULL)
        return OK; /* invariant 3 */
    enum err e = place_remove(&p->repository->place, name, p->why);
    if (e) return e;
    p->pruned->objects += strchr(slash, '.') == NULL;
    p->pruned->bytes += size_bytes;
    return OK;
}

enum err
backup_prune_objects(struct backup_repository *r, struct backup_pruned *ret_pruned, struct why *why)
{
    struct pruning p = {.repository = r, .pruned = ret_pruned, .why = why};
    struct buf ids;
    buf_init(&ids, r->memory, BACKUP_RECORD_BYTES_MAX);
    *ret_pruned = (struct backup_pruned){0};
    enum err e = backup_ids(r, &ids, why);
    const struct backup_id *id = (const struct backup_id *)ids.at;
    for (size_t i = 0; i < ids.size / sizeof *id && e == OK; i++)
        e = note_record(&p, id[i].text);
    buf_fini(&ids);
    if (p.count > 0) qsort(p.named, p.count, sizeof *p.named, backup_digest_order);
    if (e == OK) e = place_objects(&r->place, prune_object, &p, why);
    array_free(r->memory, p.named, p.capacity);
    return e;
}
