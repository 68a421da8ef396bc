/*
 * segment.c - see segment.h. A record is trusted only if its checksum, seeded with the segment's
 * number and the record's position, is right: so neither an older life of the file nor a payload
 * that looks like a record can be taken for one, and a reader may search for the next record byte
 * by byte.
 */
#include "wal/segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <zstd.h>

#include "base/hash.h"

static const char MAGIC[8] = {'F', 'K', 'W', 'A', 'L', 'S', 'E', 'G'};

enum { FORMAT_VERSION = 1, WINDOW_BYTES = 256 * 1024 };

enum err
segment_path(char *to, size_t to_size, const char *dir, uint64_t number)
{
    int n = snprintf(to, to_size, "%s/%016" PRIx64 ".wal", dir, number);
    return n > 0 && (size_t)n < to_size ? OK : ERR_LIMIT;
}

bool
segment_name_parse(const char *name, uint64_t *ret_number)
{
    if (strlen(name) != 20 || strcmp(name + 16, ".wal") != 0) return false;
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit == 16) return false;
        number = number << 4 | digit;
    }
    *ret_number = number;
    return number != 0;
}

void
segment_header_pack(const struct segment *segment, int64_t made_ms, uint8_t *to)
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to, MAGIC, sizeof MAGIC);
    store_le16(to + 8, FORMAT_VERSION);
    store_le16(to + 10, FORMAT_VERSION);
    store_le32(to + 12, SEGMENT_HEADER_BYTES);
    store_le64(to + 16, segment->number);
    store_le64(to + 24, segment->base_pos);
    store_le64(to + 32, segment->prev_number);
    store_le64(to + 40, segment->prev_end_pos);
    memcpy(to + 48, segment->log_id, WAL_LOG_ID_BYTES);
    store_le64(to + 64, (uint64_t)made_ms);
    store_le64(to + 504, hash_bytes(bytes_of(to, 504), segment->number));
    memcpy(to + SEGMENT_HEADER_COPY_BYTES, to, SEGMENT_HEADER_COPY_BYTES);
}

/* One of the two copies, if it is one of any number. */
static const uint8_t *
header_copy(struct bytes header, unsigned copy)
{
    size_t offset = copy * SEGMENT_HEADER_COPY_BYTES;
    if (header.size < offset + SEGMENT_HEADER_COPY_BYTES) return NULL;
    const uint8_t *at = header.at + offset;
    if (memcmp(at, MAGIC, sizeof MAGIC) != 0) return NULL;
    return load_le64(at + 504) == hash_bytes(bytes_of(at, 504), load_le64(at + 16)) ? at : NULL;
}

enum err
segment_header_unpack(struct bytes header, uint64_t number, struct segment *ret_segment,
                      struct why *why)
{
    const uint8_t *at = header_copy(header, 0);
    if (at == NULL || load_le64(at + 16) != number) at = header_copy(header, 1);
    if (at == NULL || load_le64(at + 16) != number) {
        return why_set(why, ERR_CORRUPT, "no segment header of its number");
    }
    unsigned version = load_le16(at + 8), min_reader = load_le16(at + 10);
    if (min_reader > FORMAT_VERSION) {
        return why_set(why, ERR_UNSUPPORTED,
                       "log format version %u (readable from version %u on) is newer than version "
                       "%d, which this program knows",
                       version, min_reader, FORMAT_VERSION);
    }
    struct segment s = {
        .number = number,
        .base_pos = load_le64(at + 24),
        .prev_number = load_le64(at + 32),
        .prev_end_pos = load_le64(at + 40),
        .end_pos = SEGMENT_POS_NONE,
    };
    memcpy(s.log_id, at + 48, WAL_LOG_ID_BYTES);
    *ret_segment = s;
    return OK;
}

static bool
copy_is_blank(struct bytes header, unsigned copy, uint64_t number)
{
    size_t offset = copy * SEGMENT_HEADER_COPY_BYTES;
    const uint8_t *valid = header_copy(header, copy);
    if (valid != NULL) return load_le64(valid + 16) != number;
    for (size_t i = offset; i < header.size && i < offset + SEGMENT_HEADER_COPY_BYTES; i++) {
        if (header.at[i] != 0) return false;
    }
    return true;
}

enum err
segment_is_blank(struct env *env, const char *path, uint64_t number, bool *ret_blank,
                 struct why *why)
{
    struct file file = FILE_CLOSED;
    uint8_t header[SEGMENT_HEADER_BYTES];
    size_t size = 0;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e == OK) e = file_read_some(&file, header, sizeof header, 0, &size, why);
    file_close(&file);
    if (e) return e;
    struct bytes b = bytes_of(header, size);
    *ret_blank = copy_is_blank(b, 0, number) && copy_is_blank(b, 1, number);
    return OK;
}

static uint64_t
record_check(const uint8_t *header, struct bytes payload, uint64_t number, uint64_t pos)
{
    uint64_t seed = hash_mix(hash_mix(number, pos), load_le64(header));
    return hash_bytes(payload, seed);
}

void
record_seal(uint8_t *to, size_t payload_size, uint8_t type, uint8_t flags, uint64_t number,
            uint64_t pos)
{
    store_le32(to, (uint32_t)payload_size);
    to[4] = type;
    to[5] = flags;
    to[6] = RECORD_VERSION;
    to[7] = 0;
    struct bytes payload = bytes_of(to + RECORD_HEADER_BYTES, payload_size);
    store_le64(to + 8, record_check(to, payload, number, pos));
    size_t used = RECORD_HEADER_BYTES + payload_size;
    memset(to + used, 0, record_size(payload_size) - used);
}

void
commit_pack(const struct commit *commit, uint8_t *p)
{
    memset(p, 0, COMMIT_PAYLOAD_BYTES);
    store_le64(p, commit->epoch);
    store_le64(p + 8, commit->durable_pos);
    store_le64(p + 16, commit->end_pos);
    store_le64(p + 24, (uint64_t)commit->realtime_ms);
    store_le32(p + 32, commit->record_count);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        store_le64(p + 40 + 8 * k, commit->totals_before[k]);
        store_le32(p + 64 + 4 * k, commit->accepted[k]);
    }
}

enum err
commit_unpack(const struct raw_record *record, struct commit *ret_commit)
{
    if (record->type != WAL_COMMIT || record->stored.size != COMMIT_PAYLOAD_BYTES ||
        (record->flags & FLAG_ZSTD)) {
        return ERR_CORRUPT;
    }
    const uint8_t *p = record->stored.at;
    struct commit c = {
        .epoch = load_le64(p),
        .durable_pos = load_le64(p + 8),
        .end_pos = load_le64(p + 16),
        .realtime_ms = (int64_t)load_le64(p + 24),
        .record_count = load_le32(p + 32),
    };
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        c.totals_before[k] = load_le64(p + 40 + 8 * k);
        c.accepted[k] = load_le32(p + 64 + 4 * k);
    }
    if (c.end_pos < record->end_pos) return ERR_CORRUPT;
    *ret_commit = c;
    return OK;
}

/* --- the list of segments ----------------------------------------------------------------------
 */

struct listing {
    struct env *env;
    const char *dir;
    struct budget *budget;
    struct segment *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t damaged_count;
    struct why *why;
};

static enum err
listing_push(struct listing *l, const struct segment *segment)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        struct segment *items =
            mem_resize(l->budget, l->items, l->capacity * sizeof *items, capacity * sizeof *items);
        if (items == NULL) return ERR_NOMEM;
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = *segment;
    return OK;
}

static enum err
listing_add(void *context, const char *name, bool is_dir)
{
    struct listing *l = context;
    uint64_t number;
    if (is_dir || !segment_name_parse(name, &number)) return OK;
    char path[256];
    struct file file = FILE_CLOSED;
    uint8_t header[SEGMENT_HEADER_BYTES];
    size_t size = 0;
    struct segment segment = {0};
    enum err e = segment_path(path, sizeof path, l->dir, number);
    if (e == OK) e = file_open(l->env, path, FILE_READ, &file, l->why);
    if (e == OK) e = file_read_some(&file, header, sizeof header, 0, &size, l->why);
    uint64_t file_bytes = 0;
    if (e == OK) e = file_size(&file, &file_bytes, l->why);
    file_close(&file);
    if (e) return e;
    e = segment_header_unpack(bytes_of(header, size), number, &segment, l->why);
    if (e == ERR_CORRUPT) {
        bool blank;
        e = segment_is_blank(l->env, path, number, &blank, l->why);
        if (e == OK && !blank) l->damaged_count++;
        return e;
    }
    if (e) return why_prefix(l->why, e, "%s", path);
    segment.file_bytes = file_bytes;
    return listing_push(l, &segment);
}

static int
by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct segment *)a)->number, y = ((const struct segment *)b)->number;
    return (x > y) - (x < y);
}

/*
 * Walks back from the newest header. A segment that the one behind it does not name was begun after
 * a failure and never used, unless the named one is missing altogether: then the next older one
 * stands in, and the hole will be seen as damage by whoever reads.
 */
static void
listing_link(struct listing *l)
{
    if (l->count == 0) return;
    qsort(l->items, l->count, sizeof *l->items, by_number);
    uint32_t keep = l->count - 1; /* kept ones are moved to the back */
    uint64_t want = l->items[keep].prev_number;
    for (uint32_t i = keep; i-- > 0;) {
        if (l->items[i].number > want) continue;
        struct segment *newer = &l->items[keep];
        l->items[i].end_pos =
            l->items[i].number == newer->prev_number ? newer->prev_end_pos : newer->base_pos;
        want = l->items[i].prev_number;
        l->items[--keep] = l->items[i];
    }
    l->count -= keep;
    memmove(l->items, l->items + keep, l->count * sizeof *l->items);
}

enum err
segments_list(struct env *env, const char *dir, struct budget *budget,
              struct segment **ret_segments, uint32_t *ret_count, uint32_t *ret_capacity,
              uint32_t *ret_damaged_count, struct why *why)
{
    struct listing l = {.env = env, .dir = dir, .budget = budget, .why = why};
    enum err e = env_listdir(env, dir, listing_add, &l, why);
    if (e) {
        mem_free(budget, l.items, l.capacity * sizeof *l.items);
        return e;
    }
    listing_link(&l);
    *ret_segments = l.items;
    *ret_count = l.count;
    *ret_capacity = l.capacity;
    *ret_damaged_count = l.damaged_count;
    return OK;
}

/* --- reading ------------------------------------------------------------------------------------
 */

void
segment_reader_init(struct segment_reader *reader, struct env *env, struct budget *budget)
{
    *reader = (struct segment_reader){.env = env, .budget = budget, .file = FILE_CLOSED};
    buf_init(&reader->window, budget, RECORD_HEADER_BYTES + WAL_RECORD_BYTES_MAX + WINDOW_BYTES);
    buf_init(&reader->raw, budget, WAL_RECORD_BYTES_MAX);
}

void
segment_reader_fini(struct segment_reader *reader)
{
    file_close(&reader->file);
    buf_fini(&reader->window);
    buf_fini(&reader->raw);
}

enum err
segment_reader_open(struct segment_reader *reader, const char *dir, const struct segment *segment,
                    struct why *why)
{
    char path[256];
    file_close(&reader->file);
    buf_clear(&reader->window);
    reader->window_offset = 0;
    reader->segment = *segment;
    enum err e = segment_path(path, sizeof path, dir, segment->number);
    if (e) return e;
    return file_open(reader->env, path, FILE_READ, &reader->file, why);
}

/* Makes `size` bytes at `offset` of the file readable; ERR_CORRUPT if the file ends before. */
static enum err
window_at(struct segment_reader *r, uint64_t offset, size_t size, const uint8_t **ret_at,
          struct why *why)
{
    if (offset >= r->window_offset && offset + size <= r->window_offset + r->window.size) {
        *ret_at = r->window.at + (offset - r->window_offset);
        return OK;
    }
    size_t want = size < WINDOW_BYTES ? WINDOW_BYTES : size;
    buf_clear(&r->window);
    r->window_offset = offset;
    if (!buf_reserve(&r->window, want)) return buf_error(&r->window);
    size_t got = 0;
    enum err e = file_read_some(&r->file, r->window.at, want, offset, &got, why);
    if (e) return e;
    r->window.size = got;
    if (got < size) return why_set(why, ERR_CORRUPT, "the file ends");
    *ret_at = r->window.at;
    return OK;
}

static uint64_t
offset_of(const struct segment_reader *r, uint64_t pos)
{
    return pos - r->segment.base_pos + SEGMENT_HEADER_BYTES;
}

enum err
segment_read(struct segment_reader *r, uint64_t pos, uint64_t limit_pos,
             struct raw_record *ret_record, struct why *why)
{
    if (pos > limit_pos || limit_pos - pos < RECORD_HEADER_BYTES) {
        return why_set(why, ERR_CORRUPT, "no room for a record");
    }
    const uint8_t *at;
    enum err e = window_at(r, offset_of(r, pos), RECORD_HEADER_BYTES, &at, why);
    if (e) return e;
    uint32_t size = load_le32(at);
    if (size > WAL_RECORD_BYTES_MAX || record_size(size) > limit_pos - pos) {
        return why_set(why, ERR_CORRUPT, "not a record's length");
    }
    if (at[4] == 0 || at[7] != 0) return why_set(why, ERR_CORRUPT, "not a record");
    e = window_at(r, offset_of(r, pos), record_size(size), &at, why);
    if (e) return e;
    struct bytes payload = bytes_of(at + RECORD_HEADER_BYTES, size);
    if (load_le64(at + 8) != record_check(at, payload, r->segment.number, pos)) {
        return why_set(why, ERR_CORRUPT, "a record's checksum is wrong");
    }
    *ret_record = (struct raw_record){
        .pos = pos,
        .end_pos = pos + record_size(size),
        .type = at[4],
        .flags = at[5],
        .version = at[6],
        .stored = payload,
    };
    return OK;
}

enum err
segment_unpack(struct segment_reader *r, const struct raw_record *record, struct bytes *ret_payload,
               struct why *why)
{
    if (!(record->flags & FLAG_ZSTD)) {
        *ret_payload = record->stored;
        return OK;
    }
    if (record->stored.size < 4) return why_set(why, ERR_CORRUPT, "no raw size");
    uint32_t raw_size = load_le32(record->stored.at);
    if (raw_size > WAL_RECORD_BYTES_MAX) return why_set(why, ERR_CORRUPT, "raw size too large");
    buf_clear(&r->raw);
    if (!buf_reserve(&r->raw, raw_size)) return buf_error(&r->raw);
    size_t got =
        ZSTD_decompress(r->raw.at, raw_size, record->stored.at + 4, record->stored.size - 4);
    if (ZSTD_isError(got) || got != raw_size) {
        return why_set(why, ERR_CORRUPT, "a record cannot be uncompressed");
    }
    *ret_payload = bytes_of(r->raw.at, raw_size);
    return OK;
}

enum err
segment_commit_whole(struct segment_reader *r, uint64_t pos, uint64_t limit_pos,
                     struct commit *ret_commit, uint64_t *ret_bad_pos, struct why *why)
{
    struct raw_record record;
    struct commit commit;
    *ret_bad_pos = pos;
    enum err e = segment_read(r, pos, limit_pos, &record, why);
    if (e) return e;
    e = commit_unpack(&record, &commit);
    if (e) return why_set(why, e, "not a commit record");
    if (commit.end_pos > limit_pos) return why_set(why, ERR_CORRUPT, "the commit is cut off");
    uint32_t count = 0;
    for (uint64_t at = record.end_pos; at < commit.end_pos; at = record.end_pos) {
        *ret_bad_pos = at;
        e = segment_read(r, at, commit.end_pos, &record, why);
        if (e) return e;
        if (record.type == WAL_COMMIT) return why_set(why, ERR_CORRUPT, "a commit in a commit");
        count++;
    }
    if (count != commit.record_count) {
        return why_set(why, ERR_CORRUPT, "a commit of %" PRIu32 " records holds %" PRIu32,
                       commit.record_count, count);
    }
    *ret_commit = commit;
    return OK;
}

enum err
segment_find(struct segment_reader *r, uint64_t pos, uint64_t limit_pos,
             struct raw_record *ret_record, struct why *why)
{
    for (uint64_t at = (pos + 7) & ~(uint64_t)7; at < limit_pos; at += 8) {
        enum err e = segment_read(r, at, limit_pos, ret_record, why);
        if (e == OK || (e != ERR_CORRUPT)) return e;
        /* At the end of the file nothing more can come. */
        if (offset_of(r, at) >= r->window_offset + r->window.size &&
            r->window.size < RECORD_HEADER_BYTES) {
            break;
        }
    }
    return ERR_MISSING;
}
