/*
 * object.c - see object.h.
 *
 *     bytes of the object | MD5 of each block | tail: size, block size, count, versions, CRC, magic
 *
 * A block is uploaded by one request, which sends the block's MD5 as computed when the bytes were
 * appended. So damage on the disk is found before the bytes are sent, at no further cost. Sealing
 * writes the MD5s and the tail and syncs. A file that is no longer needed is removed after the
 * state without it is durable; until then its number is noted.
 */
#include "backend/s3/object.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fields.h"
#include "base/hash/crc32c.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"

enum {
    TAIL_BYTES = 36, /* at the end of a file, after the checksums of blocks */
    TAIL_VERSION = 1,
    SUMS_BYTES_MAX = (S3_PARTS_MAX + 64) * MD5_BYTES,
};
static const uint8_t TAIL_MAGIC[8] = {'F', 'K', 'O', 'B', 'J', 'E', 'C', 'T'};

static const char TENANT_TEMPLATE[] = "${tenant}";
static const int64_t HOUR_MS = 3600 * 1000;

/* --- names ------------------------------------------------------------------------------------ */

int
s3_place_compare(struct s3_place a, struct s3_place b)
{
    if (a.pos != b.pos) return a.pos < b.pos ? -1 : 1;
    return (a.index > b.index) - (a.index < b.index);
}

void
s3_place_print(struct s3_place place, bool is_whole, char *to)
{
    if (is_fill_pos(place.pos))
        snprintf(to, S3_PLACE_BYTES, "fill%" PRIu32 ".%" PRIu64, fill_number(place.pos),
                 fill_item(place.pos));
    else if (is_whole)
        snprintf(to, S3_PLACE_BYTES, "%" PRIu64, place.pos);
    else
        snprintf(to, S3_PLACE_BYTES, "%" PRIu64 ".%" PRIu32, place.pos, place.index);
}

bool
s3_prefix_names_tenant(const char *prefix)
{
    return prefix != NULL && strstr(prefix, TENANT_TEMPLATE) != NULL;
}

bool
s3_object_place(struct s3_object *o, const char *prefix, struct bytes tenant, int64_t arrival_ms)
{
    enum { ROOM = S3_DIR_BYTES };
    char hour[32];
    struct tm utc;
    if (prefix == NULL) prefix = "";
    int64_t rest_ms = arrival_ms % HOUR_MS;
    o->hour_ms = arrival_ms - (rest_ms < 0 ? rest_ms + HOUR_MS : rest_ms);
    time_t seconds = (time_t)(o->hour_ms / 1000);
    if (gmtime_r(&seconds, &utc) == NULL) return false;
    if (strftime(hour, sizeof hour, "%Y/%m/%d/%H/", &utc) == 0) return false;
    const char *place = strstr(prefix, TENANT_TEMPLATE);
    size_t used = 0;
    while (place != NULL) { /* all occurrences */
        /* The tenant's name lies between slashes, and must not change the directory. */
        if (tenant.size == 0 || bytes_equal_text(tenant, ".") || bytes_equal_text(tenant, ".."))
            return false;
        for (size_t i = 0; i < tenant.size; i++)
            if (tenant.at[i] < 0x20 || tenant.at[i] == 0x7f || tenant.at[i] == '/') return false;
        size_t before = (size_t)(place - prefix);
        if (used + before + tenant.size >= ROOM) return false;
        memcpy(o->dir + used, prefix, before);
        memcpy(o->dir + used + before, tenant.at, tenant.size);
        used += before + tenant.size;
        prefix = place + sizeof TENANT_TEMPLATE - 1;
        place = strstr(prefix, TENANT_TEMPLATE);
    }
    int n = snprintf(o->dir + used, ROOM - used, "%s%s", prefix, hour);
    return n >= 0 && (size_t)n < ROOM - used;
}

void
s3_object_name(struct s3_object *o, const char *instance, bool is_whole, uint32_t again,
               const char *suffix)
{
    char first[S3_PLACE_BYTES], last[S3_PLACE_BYTES], number[24] = "";
    if (again != 0) snprintf(number, sizeof number, "-again%" PRIu32, again);
    if (s3_object_is_replay(o)) {
        snprintf(o->base, sizeof o->base, "%.64s-replay%" PRIu64 ".ndjson%s", instance, o->seal,
                 suffix);
        return;
    }
    if (is_fill_pos(o->first.pos)) {
        snprintf(o->base, sizeof o->base, "%.64s-fill%" PRIu32 "-%" PRIu64 "-%" PRIu64 ".ndjson%s",
                 instance, fill_number(o->first.pos), fill_item(o->first.pos),
                 fill_item(o->last.pos), suffix);
        return;
    }
    s3_place_print(o->first, o->first.index == 0, first);
    s3_place_print(o->last, is_whole, last);
    snprintf(o->base, sizeof o->base, "%.64s-%s-%s%s.ndjson%s", instance, first, last, number,
             suffix);
}

void
s3_object_rename(struct s3_object *o, const char *instance)
{
    char base[S3_BASE_BYTES];
    const char *rest = strchr(o->base, '-');
    snprintf(base, sizeof base, "%.64s%.120s", instance, rest == NULL ? "" : rest);
    memcpy(o->base, base, sizeof base);
}

uint32_t
s3_object_blocks(const struct s3_object *o)
{
    return (uint32_t)((o->size + S3_PART_BYTES - 1) / S3_PART_BYTES);
}

void
s3_object_print_digest(const struct s3_object *o, char to[S3_DIGEST_BYTES])
{
    uint32_t blocks = s3_object_blocks(o);
    hex_print(bytes_of(o->digest, MD5_BYTES), to);
    if (blocks > 1) snprintf(to + 32, S3_DIGEST_BYTES - 32, "-%" PRIu32, blocks);
}

/* --- the saved form --------------------------------------------------------------------------- */

static void
place_fields(const struct fields *f, struct s3_place *place)
{
    field_varint(f, &place->pos);
    field_u32(f, &place->index);
}

static void
object_fields(const struct fields *f, struct s3_object *o)
{
    field_varint(f, &o->number);
    field_varint(f, &o->size);
    field_text(f, o->dir, sizeof o->dir);
    field_text(f, o->base, sizeof o->base);
    field_zigzag(f, &o->hour_ms);
    field_varint(f, &o->seal);
    place_fields(f, &o->first);
    place_fields(f, &o->last);
    field_varint(f, &o->samples);
    field_zigzag(f, &o->t_min_ms);
    field_zigzag(f, &o->t_max_ms);
}

void
s3_object_put(const struct s3_object *o, struct buf *to)
{
    const struct fields fields = {.to = to};
    struct s3_object put = *o;
    object_fields(&fields, &put);
    field_fixed(&fields, put.digest, sizeof put.digest);
}

bool
s3_object_get(struct cursor *c, bool has_digest, struct s3_object *ret)
{
    const struct fields fields = {.from = c};
    struct s3_object o = {.file = FILE_CLOSED};
    object_fields(&fields, &o);
    if (has_digest) field_fixed(&fields, o.digest, sizeof o.digest);
    bool named = o.number != 0 && o.dir[0] != '\0' && o.base[0] != '\0';
    if (c->bad || !named || s3_place_compare(o.first, o.last) > 0) return false;
    *ret = o;
    return true;
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
file_path(const struct s3_store *s, uint64_t number, char *to, size_t to_size, struct why *why)
{
    char name[24];
    snprintf(name, sizeof name, "%010" PRIu64, number);
    return path_in(to, to_size, s->dir, name, why);
}

static enum err
remove_file(const struct s3_store *s, uint64_t number, struct why *why)
{
    char path[256];
    enum err e = file_path(s, number, path, sizeof path, why);
    return e ? e : env_unlink(s->env, path, why);
}

struct leftover {
    struct s3_store *store;
    uint64_t keep;
};

/* Removes a file that was begun before a crash, or whose object arrived. */
static enum err
remove_leftover(void *context, const char *name, bool is_dir)
{
    const struct leftover *x = context;
    char path[256];
    if (is_dir || strtoull(name, NULL, 10) == x->keep) return OK;
    enum err e = path_join(path, sizeof path, x->store->dir, name);
    if (e == OK) e = env_unlink(x->store->env, path, NULL);
    err_ignore(e, "it is removed at the next start");
    return OK;
}

enum err
s3_store_open(struct s3_store *s, struct env *env, struct budget *memory, const char *parent,
              uint64_t keep, bool pretends, struct why *why)
{
    *s = (struct s3_store){.env = env, .memory = memory, .next = keep + 1, .pretends = pretends};
    if (pretends) return OK;
    enum err e = path_in(s->dir, sizeof s->dir, parent, "objects", why);
    if (e) return e;
    e = env_mkdir(env, s->dir, why);
    if (e == OK) e = env_syncdir(env, parent, why);
    struct leftover context = {s, keep};
    return e ? e : env_listdir(env, s->dir, remove_leftover, &context, why);
}

enum err
s3_store_begin(struct s3_store *s, struct s3_object *o, struct why *why)
{
    char path[256];
    o->size = 0;
    o->number = s->next;
    o->file = FILE_CLOSED;
    enum err e = s->pretends ? OK : file_path(s, o->number, path, sizeof path, why);
    if (e == OK && !s->pretends) e = file_open(s->env, path, FILE_REPLACE, &o->file, why);
    if (e) {
        o->number = 0;
        return e;
    }
    md5_begin(&o->block);
    buf_init(&o->sums, s->memory, SUMS_BYTES_MAX);
    s->next++;
    return OK;
}

void
s3_object_fini(struct s3_object *o)
{
    err_ignore(file_close(&o->file), "the content was synced");
    buf_fini(&o->sums);
}

/* --- checksums -------------------------------------------------------------------------------- */

/* Adds bytes to the checksums, for which memory is reserved. */
static void
add_sums(struct s3_object *o, struct bytes bytes)
{
    while (bytes.size > 0) {
        uint64_t room = S3_PART_BYTES - o->block.size;
        size_t part = bytes.size < room ? bytes.size : (size_t)room;
        md5_add(&o->block, bytes_of(bytes.at, part));
        bytes = bytes_of(bytes.at + part, bytes.size - part);
        if (o->block.size < S3_PART_BYTES) continue;
        uint8_t digest[MD5_BYTES];
        md5_end(&o->block, digest);
        buf_put(&o->sums, digest, sizeof digest);
        md5_begin(&o->block);
    }
}

/* Makes the end of the file: the checksums of all blocks, and the tail. */
static enum err
make_tail(const struct s3_object *o, struct buf *to)
{
    uint8_t digest[MD5_BYTES], tail[TAIL_BYTES] = {0};
    struct md5_stream last = o->block;
    buf_put_bytes(to, buf_bytes(&o->sums));
    md5_end(&last, digest);
    if (o->block.size > 0) buf_put(to, digest, sizeof digest);
    if (buf_error(to)) return buf_error(to);
    store_le64(tail, o->size);
    store_le32(tail + 8, S3_PART_BYTES);
    store_le32(tail + 12, s3_object_blocks(o));
    store_le32(tail + 16, TAIL_VERSION);
    store_le32(tail + 20, TAIL_VERSION); /* min_reader */
    store_le32(tail + 24, crc32c(crc32c(0, buf_bytes(to)), bytes_of(tail, 24)));
    memcpy(tail + 28, TAIL_MAGIC, sizeof TAIL_MAGIC);
    buf_put(to, tail, sizeof tail);
    return buf_error(to);
}

/* Sets the digest from the MD5s of make_tail(). */
static void
note_digest(struct s3_object *o, struct bytes sums)
{
    if (s3_object_blocks(o) == 1)
        memcpy(o->digest, sums.at, MD5_BYTES);
    else
        md5(sums, o->digest);
}

/* Writes the checksums after the object; everything is durable on return. */
static enum err
write_tail(struct s3_store *s, struct s3_object *o, struct why *why)
{
    struct buf tail;
    buf_init(&tail, s->memory, SUMS_BYTES_MAX + TAIL_BYTES);
    enum err e = make_tail(o, &tail);
    if (e) why_set(why, e, "not enough memory for checksums");
    /* A failed append may have left bytes. */
    if (e == OK) e = file_truncate(&o->file, o->size, why);
    if (e == OK) e = file_write_at(&o->file, buf_bytes(&tail), o->size, why);
    if (e == OK) e = file_datasync(&o->file, why);
    if (e == OK) note_digest(o, bytes_of(tail.at, tail.size - TAIL_BYTES));
    buf_fini(&tail);
    return e;
}

/* Checks the end of a file with checksums; with `has_digest`, also against the saved digest. */
static enum err
check_tail(struct budget *memory, struct s3_object *o, bool has_digest, uint64_t file_size,
           struct why *why)
{
    uint8_t was[MD5_BYTES];
    size_t sums_size = (size_t)s3_object_blocks(o) * MD5_BYTES;
    const char *path = o->file.path;
    if (file_size != o->size + sums_size + TAIL_BYTES) {
        return why_set(why, ERR_CORRUPT, "%s has %" PRIu64 " bytes instead of %" PRIu64, path,
                       file_size, o->size + sums_size + TAIL_BYTES);
    }
    struct buf all;
    buf_init(&all, memory, SUMS_BYTES_MAX + TAIL_BYTES);
    enum err e = buf_reserve(&all, sums_size + TAIL_BYTES) ? OK : buf_error(&all);
    if (e) why_set(why, e, "not enough memory for checksums");
    if (e == OK) e = file_read_at(&o->file, all.at, sums_size + TAIL_BYTES, o->size, why);
    if (e == OK) {
        const uint8_t *tail = all.at + sums_size;
        struct bytes sums = bytes_of(all.at, sums_size);
        uint32_t crc = crc32c(crc32c(0, sums), bytes_of(tail, 24));
        memcpy(was, o->digest, sizeof was);
        note_digest(o, sums);
        bool good = memcmp(tail + 28, TAIL_MAGIC, sizeof TAIL_MAGIC) == 0 &&
                    load_le32(tail + 24) == crc && load_le64(tail) == o->size &&
                    load_le32(tail + 8) == S3_PART_BYTES;
        good &= !has_digest || memcmp(was, o->digest, sizeof was) == 0;
        if (!good) e = why_set(why, ERR_CORRUPT, "%s is damaged: its checksums are wrong", path);
    }
    buf_fini(&all);
    return e;
}

/* Adds checksums to a file of an old version, computed from its content. */
static enum err
add_tail(struct s3_store *s, struct s3_object *o, struct why *why)
{
    enum { PIECE_BYTES = 1024 * 1024 };
    struct buf piece;
    buf_init(&piece, s->memory, PIECE_BYTES);
    md5_begin(&o->block);
    buf_init(&o->sums, s->memory, SUMS_BYTES_MAX);
    enum err e = buf_reserve(&piece, PIECE_BYTES) ? OK : buf_error(&piece);
    if (e == OK && !buf_reserve(&o->sums, ((size_t)s3_object_blocks(o) + 1) * MD5_BYTES))
        e = buf_error(&o->sums);
    if (e) why_set(why, e, "not enough memory for checksums");
    for (uint64_t at = 0; at < o->size && e == OK; at += PIECE_BYTES) {
        size_t part = o->size - at < PIECE_BYTES ? (size_t)(o->size - at) : PIECE_BYTES;
        e = file_read_at(&o->file, piece.at, part, at, why);
        if (e == OK) add_sums(o, bytes_of(piece.at, part));
    }
    if (e == OK) e = write_tail(s, o, why);
    buf_fini(&piece);
    buf_fini(&o->sums);
    return e;
}

enum err
s3_store_adopt(struct s3_store *s, struct s3_object *o, bool has_digest, struct why *why)
{
    char path[256];
    uint64_t size = 0;
    enum err e = file_path(s, o->number, path, sizeof path, why);
    if (e == OK) e = file_open(s->env, path, FILE_UPDATE, &o->file, why);
    if (e) return e;
    e = file_size(&o->file, &size, why);
    /* The file is longer if checksums were added but not saved; they are added again. */
    if (e == OK && !has_digest && size < o->size) {
        e = why_set(why, ERR_CORRUPT, "%s has %" PRIu64 " bytes instead of %" PRIu64, path, size,
                    o->size);
    }
    if (e == OK) e = has_digest ? check_tail(s->memory, o, true, size, why) : add_tail(s, o, why);
    if (e) s3_object_fini(o);
    return e;
}

/* Finds the object's size in the tail. ERR_MISSING: the file has no tail. */
static enum err
find_size(struct file *file, uint64_t file_size, uint64_t *ret_size, struct why *why)
{
    uint8_t tail[TAIL_BYTES];
    if (file_size < sizeof tail) return why_set(why, ERR_MISSING, "%s is incomplete", file->path);
    enum err e = file_read_at(file, tail, sizeof tail, file_size - sizeof tail, why);
    if (e) return e;
    if (memcmp(tail + 28, TAIL_MAGIC, sizeof TAIL_MAGIC) != 0)
        return why_set(why, ERR_MISSING, "%s is incomplete", file->path);
    *ret_size = load_le64(tail);
    return *ret_size <= file_size ? OK : why_set(why, ERR_CORRUPT, "%s is damaged", file->path);
}

enum err
s3_object_examine(struct env *env, struct budget *memory, const char *path,
                  const struct s3_object *want, struct why *why)
{
    struct s3_object o = {.file = FILE_CLOSED};
    struct buf block;
    uint8_t md5[MD5_BYTES];
    uint64_t size = 0;
    enum err e = file_open(env, path, FILE_READ, &o.file, why);
    if (e) return e;
    buf_init(&block, memory, S3_PART_BYTES);
    e = file_size(&o.file, &size, why);
    if (e == OK && want != NULL) {
        o.size = want->size;
        memcpy(o.digest, want->digest, sizeof o.digest);
    } else if (e == OK) {
        e = find_size(&o.file, size, &o.size, why);
    }
    if (e == OK) e = check_tail(memory, &o, want != NULL, size, why);
    for (uint32_t i = 0; i < s3_object_blocks(&o) && e == OK; i++)
        e = s3_object_read(&o, i, &block, md5, why);
    buf_fini(&block);
    s3_object_fini(&o);
    return e;
}

enum err
s3_object_append(struct s3_store *s, struct s3_object *o, struct bytes bytes, struct why *why)
{
    size_t blocks = bytes.size / S3_PART_BYTES + 2;
    if (!buf_reserve(&o->sums, blocks * MD5_BYTES)) {
        enum err full = buf_error(&o->sums);
        o->sums.failed = OK;
        return why_set(why, full, "not enough memory for checksums");
    }
    enum err e = OK;
    if (!s->pretends) e = file_write_at(&o->file, bytes, o->size, why);
    if (e) return e;
    o->size += bytes.size;
    add_sums(o, bytes);
    return OK;
}

enum err
s3_object_seal(struct s3_store *s, struct s3_object *o, struct why *why)
{
    if (s->pretends) return OK;
    enum err e = write_tail(s, o, why);
    return e ? e : env_syncdir(s->env, s->dir, why);
}

enum err
s3_object_read(struct s3_object *o, uint32_t block, struct buf *to, uint8_t ret_md5[MD5_BYTES],
               struct why *why)
{
    uint8_t want[MD5_BYTES], is[MD5_BYTES];
    uint64_t from = (uint64_t)block * S3_PART_BYTES, left = o->size - from;
    size_t size = left < S3_PART_BYTES ? (size_t)left : S3_PART_BYTES;
    buf_clear(to);
    if (!buf_reserve(to, size))
        return why_set(why, buf_error(to), "not enough memory for a request");
    enum err e = file_read_at(&o->file, to->at, size, from, why);
    if (e == OK)
        e = file_read_at(&o->file, want, sizeof want, o->size + (uint64_t)block * MD5_BYTES, why);
    if (e) return e;
    to->size = size;
    md5(buf_bytes(to), is);
    if (memcmp(want, is, sizeof is) != 0) {
        return why_set(why, ERR_CORRUPT,
                       "%s is damaged: the checksum of %zu bytes at offset %" PRIu64 " is wrong",
                       o->file.path, size, from);
    }
    memcpy(ret_md5, want, sizeof want);
    return OK;
}

void
s3_store_let_go(struct s3_store *s, struct s3_object *o, bool at_once)
{
    s3_object_fini(o);
    uint64_t number = o->number;
    o->number = 0;
    if (number == 0 || s->pretends) return;
    if (at_once) {
        err_ignore(remove_file(s, number, NULL), "it is removed at the next start");
    } else if (s->gone_count < S3_STORE_GONE_MAX) { /* the next start removes it, too */
        s->gone[s->gone_count].saved = false;
        s->gone[s->gone_count++].number = number;
    }
}

void
s3_store_save(struct s3_store *s)
{
    for (uint32_t i = 0; i < s->gone_count; i++)
        s->gone[i].saved = true;
}

enum err
s3_store_saved(struct s3_store *s, struct why *why)
{
    for (uint32_t i = s->gone_count; i-- > 0;) {
        if (!s->gone[i].saved) continue;
        enum err e = remove_file(s, s->gone[i].number, why);
        if (e) return e;
        s->gone[i] = s->gone[--s->gone_count];
    }
    return OK;
}

/* --- saved state ------------------------------------------------------------------------------ */

enum {
    VERSION_WITHOUT_DIGEST = 1,
    VERSION = 2,
    CONTENT_VERSION = 1, /* changes with the form of a line in objects */
};

static uint64_t
mix_text(uint64_t hash, const char *text)
{
    return hash_mix(hash, text == NULL ? 0 : hash_bytes(bytes_of_text(text), 0));
}

uint64_t
s3_content_hash(const struct destination_settings *d)
{
    const struct s3_settings *s3 = &d->u.s3;
    uint64_t hash = hash_mix(CONTENT_VERSION, (uint64_t)s3->compression);
    hash = mix_text(hash, s3->bucket);
    hash = mix_text(hash, s3->endpoint);
    hash = mix_text(hash, s3->prefix);
    return hash_mix(hash, destination_selection_hash(d));
}

void
s3_saved_put(const struct s3_saved *s, const struct s3_object *pending, struct buf *to)
{
    buf_put_u8(to, VERSION);
    buf_put_counted(to, s->learnt);
    buf_put_varint(to, s->seal_count);
    buf_put_counted(to, s->directory);
    buf_put_counted(to, s->instance);
    buf_put_u8(to, pending != NULL);
    if (pending != NULL) buf_put_le64(to, s->content);
    if (pending != NULL) s3_object_put(pending, to);
}

bool
s3_saved_get(struct bytes bytes, struct s3_saved *ret)
{
    struct cursor c = cursor_of(bytes);
    uint8_t version = bytes.size == 0 ? 0 : cursor_u8(&c);
    *ret = (struct s3_saved){.has_digest = version == VERSION};
    if (version != VERSION && version != VERSION_WITHOUT_DIGEST) return false;
    struct s3_saved s = *ret;
    s.learnt = cursor_counted(&c);
    s.seal_count = cursor_varint(&c);
    if (s.has_digest) s.directory = cursor_counted(&c);
    if (s.has_digest) s.instance = cursor_counted(&c);
    bool is_pending = cursor_u8(&c) != 0;
    if (c.bad) return false;
    s.content = is_pending ? cursor_le64(&c) : 0;
    s.is_pending = is_pending && s3_object_get(&c, s.has_digest, &s.object) &&
                   s.object.size <= (uint64_t)S3_PART_BYTES * S3_PARTS_MAX;
    *ret = s;
    return true;
}
