/* record.c - prints and reads the record of a backup: lines of text, the last of which is the
 * SHA-256 of those before. */
#include "backup/repository.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/text/hex.h"

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

/* --- files ------------------------------------------------------------------------------------ */

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
        if (name.size == 0 || bytes_equal_text(name, ".") || bytes_equal_text(name, "..")) {
            return false;
        }
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
        !array_reserve(record->memory, &record->files, &record->capacity, record->count + 1)) {
        return why_set(why, ERR_NOMEM, "not enough memory for the list of files");
    }
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

/* --- text ------------------------------------------------------------------------------------- */

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
        !take_word(rest, '\n', path, sizeof path)) {
        return damaged(why);
    }
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
        !take_number(&rest, '\n', 1, &min_reader)) {
        return damaged(why);
    }
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
        memcmp(digest, wanted, sizeof digest) != 0) {
        return damaged(why);
    }
    *text = bytes_of(rest.at, rest.size - END_BYTES);
    return OK;
}

enum err
backup_record_parse(struct backup_record *record, struct bytes text, struct why *why)
{
    enum err e = check_frame(&text, why);
    if (e) return e;
    if (!take_text(&text, "time ") || !take_number(&text, '\n', 0, &record->time_ms)) {
        return damaged(why);
    }
    while (text.size > 0 && e == OK) {
        e = take_text(&text, "file ") ? parse_file(record, &text, why) : damaged(why);
    }
    if (e) return e;
    backup_record_sort(record);
    for (size_t i = 1; i < record->count; i++) {
        if (strcmp(record->files[i - 1].path, record->files[i].path) == 0) return damaged(why);
    }
    return OK;
}
