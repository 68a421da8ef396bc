/*
 * segment.c - reads and writes segments of the log.
 *
 * A record is trusted only if its checksums, seeded with the log's id, the segment's number and the
 * record's position, are right. So neither records of the file's earlier use, nor a record copied
 * from elsewhere, nor a payload that imitates a record can be taken for one, and a reader may
 * search for the next record at every multiple of 8. With the 16 bits of check in a record's header
 * the search skips other bytes without hashing the length they claim; the log's id is secret, so
 * that clients cannot send payloads which pass that check everywhere.
 */
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "wal/wal_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <zstd.h>

/* --- walking ---------------------------------------------------------------------------------- */

/* Finds out whether b->bad_pos was durable, unless b->durable, and what is after it. */
static enum err
look_after(struct segment_reader *reader, struct broken_commit *b, uint64_t limit, struct why *why)
{
    bool found = false;
    b->next_pos = limit;
    b->last_pos = b->bad_pos;
    for (uint64_t pos = b->bad_pos + 8; pos < limit && !(b->durable && found);) {
        struct raw_record raw;
        struct commit commit;
        enum err e = segment_find(reader, pos, limit, &raw, why);
        if (e == ERR_MISSING) break;
        if (e) return e;
        pos = b->last_pos = raw.end_pos;
        if (commit_unpack(&raw, &commit) != OK) continue;
        if (!found) b->next_pos = raw.pos;
        found = true;
        if (commit.durable_pos > b->bad_pos) b->durable = true;
    }
    return OK;
}

/* *ret_next is SEGMENT_POS_NONE at a torn tail. */
static enum err
walk_broken(struct segment_reader *reader, const struct segment_visitor *v, struct broken_commit *b,
            uint64_t limit, uint64_t *ret_next, struct why *why)
{
    struct why reason = *why;
    b->reason = reason.text;
    enum err e = look_after(reader, b, limit, why);
    if (e == OK && v->broken != NULL) e = v->broken(v->context, b);
    *ret_next = b->durable ? b->next_pos : SEGMENT_POS_NONE;
    if (e || !b->durable) return e;
    assert(b->next_pos > b->pos);
    for (uint64_t pos = b->pos; pos < b->next_pos && e == OK;) {
        struct raw_record raw;
        enum err found = segment_find(reader, pos, b->next_pos, &raw, why);
        if (found && found != ERR_MISSING) return found;
        if (found) raw.pos = raw.end_pos = b->next_pos;
        if (raw.pos > pos && v->gap != NULL) e = v->gap(v->context, pos, raw.pos, b->reason);
        bool inside = b->commit != NULL && raw.end_pos <= b->commit->end_pos;
        if (e == OK && found == OK && v->record != NULL)
            e = v->record(v->context, &raw, inside ? b->commit : NULL, true);
        pos = raw.end_pos;
    }
    return e;
}

enum err
segment_walk(struct segment_reader *reader, const struct segment_visitor *visitor,
             uint64_t *ret_end_pos, struct why *why)
{
    const struct segment *s = &reader->segment;
    bool durable = s->end_pos != SEGMENT_POS_NONE;
    uint64_t limit = durable ? s->end_pos : segment_file_end(s), pos = s->base_pos;
    enum err e = OK;
    while (pos < limit) {
        struct commit commit;
        uint64_t bad_pos, next;
        e = segment_commit_whole(reader, pos, limit, &commit, &bad_pos, why);
        if (e == ERR_CORRUPT && !durable) {
            /* The newest segment may be growing: the window may have been read before the commit
             * was written, so it is read again. */
            buf_clear(&reader->window);
            e = segment_commit_whole(reader, pos, limit, &commit, &bad_pos, why);
        }
        if (e == OK) {
            e = visitor->commit == NULL ? OK : visitor->commit(visitor->context, pos, &commit);
            struct raw_record raw = {.end_pos = pos};
            while (e == OK && raw.end_pos < commit.end_pos && visitor->record != NULL) {
                e = segment_read(reader, raw.end_pos, commit.end_pos, &raw, why);
                if (e == OK) e = visitor->record(visitor->context, &raw, &commit, false);
            }
            next = commit.end_pos;
        } else if (e == ERR_CORRUPT) {
            struct broken_commit broken = {.pos = pos,
                                           .bad_pos = bad_pos,
                                           .commit = bad_pos == pos ? NULL : &commit,
                                           .durable = durable};
            e = walk_broken(reader, visitor, &broken, limit, &next, why);
        }
        if (e || next == SEGMENT_POS_NONE) break;
        assert(next > pos);
        pos = next;
    }
    assert(e || pos <= limit);
    *ret_end_pos = pos;
    return e;
}

struct wal_record
segment_record(const struct segment_reader *reader, const struct raw_record *raw,
               const struct commit *commit, bool salvaged)
{
    return (struct wal_record){
        .pos = raw->pos,
        .commit_end_pos = commit == NULL ? raw->end_pos : commit->end_pos,
        .realtime_ms = commit == NULL ? 0 : commit->realtime_ms,
        .segment = reader->segment.number,
        .epoch = commit == NULL ? 0 : commit->sequence,
        .type = raw->type,
        .version = raw->version,
        .skippable = (raw->flags & FLAG_SKIPPABLE) != 0,
        .salvaged = salvaged,
    };
}

/* --- headers and records ---------------------------------------------------------------------- */

static const char MAGIC[8] = {'F', 'K', 'W', 'A', 'L', 'S', 'E', 'G'};

enum { FORMAT_VERSION = 1, WINDOW_BYTES = 512 * 1024 };

/* Positions are far below the overflow of their sums. */
static const uint64_t SEGMENT_POS_MAX = UINT64_C(1) << 62;

_Static_assert(WAL_RECORD_BYTES_MAX < 1 << 24, "docs/format/wal.md: three bytes of size");
_Static_assert(COMMIT_RECORD_BYTES == RECORD_HEADER_BYTES + COMMIT_PAYLOAD_BYTES,
               "docs/format/wal.md: a commit record has no padding");

enum err
segment_path(char *to, size_t to_size, const char *dir, uint64_t number)
{
    int n = snprintf(to, to_size, "%s/%016" PRIx64 ".wal", dir, number);
    return n > 0 && (size_t)n < to_size ? OK : ERR_LIMIT;
}

bool
wal_segment_name(const char *name, uint64_t *ret_number)
{
    uint64_t number;
    const char *rest = hex_name_number(name, HEX_WORD_BYTES, &number);
    if (rest == NULL || strcmp(rest, ".wal") != 0) return false;
    if (number == 0 || number >= SEGMENT_POS_MAX) return false;
    *ret_number = number;
    return true;
}

uint64_t
segment_seed(const uint8_t *log_id, uint64_t number)
{
    return hash_bytes(bytes_of(log_id, WAL_LOG_ID_BYTES), number);
}

/* --- headers ---------------------------------------------------------------------------------- */

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
    store_le64(to + 72, segment->limit_pos);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        store_le64(to + 80 + 8 * k, segment->totals[k]);
    store_le64(to + 504, hash_bytes(bytes_of(to, 504), segment->number));
    memcpy(to + SEGMENT_COPY_OFFSET, to, SEGMENT_COPY_BYTES);
}

/* Returns the state of one of the two copies. A header with invalid fields counts as damaged. */
static enum segment_state
slice_state(struct bytes header, size_t offset, uint64_t number)
{
    const uint8_t *at = header.at + offset;
    size_t size = header.size <= offset ? 0 : header.size - offset;
    size_t used = 0;
    while (used < size && used < SEGMENT_COPY_BYTES && at[used] == 0)
        used++;
    if (used == size || used == SEGMENT_COPY_BYTES) return SEGMENT_BLANK;
    if (size < SEGMENT_COPY_BYTES || memcmp(at, MAGIC, sizeof MAGIC) != 0) return SEGMENT_DAMAGED;
    uint64_t own = load_le64(at + 16);
    if (load_le64(at + 504) != hash_bytes(bytes_of(at, 504), own)) return SEGMENT_DAMAGED;
    if (own != number) return SEGMENT_BLANK;
    uint64_t base = load_le64(at + 24), limit = load_le64(at + 72);
    bool sensible = base % 8 == 0 && base <= limit && limit <= SEGMENT_POS_MAX && limit % 8 == 0 &&
                    load_le64(at + 32) < number && load_le64(at + 40) <= base &&
                    load_le64(at + 40) % 8 == 0 && load_le32(at + 12) == SEGMENT_HEADER_BYTES;
    return sensible || load_le16(at + 10) > FORMAT_VERSION ? SEGMENT_USED : SEGMENT_DAMAGED;
}

/* Refuses a copy of a newer format. Only magic and checksum have to be right. */
static enum err
copy_check_version(struct bytes header, size_t offset, struct why *why)
{
    if (header.size < offset + SEGMENT_COPY_BYTES) return OK;
    const uint8_t *at = header.at + offset;
    if (memcmp(at, MAGIC, sizeof MAGIC) != 0) return OK;
    if (load_le64(at + 504) != hash_bytes(bytes_of(at, 504), load_le64(at + 16))) return OK;
    unsigned version = load_le16(at + 8), min_reader = load_le16(at + 10);
    if (min_reader <= FORMAT_VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "log format version %u (minimum reader %u) is newer than version %d, which this "
                   "program reads; use a newer Firekeep",
                   version, min_reader, FORMAT_VERSION);
}

size_t
segment_header_copy(struct bytes header, uint64_t number)
{
    if (slice_state(header, 0, number) == SEGMENT_USED) return 0;
    if (slice_state(header, SEGMENT_COPY_OFFSET, number) == SEGMENT_USED)
        return SEGMENT_COPY_OFFSET;
    return SIZE_MAX;
}

enum err
segment_header_read(struct env *env, const char *path, uint8_t *to, struct bytes *ret_header,
                    uint64_t *ret_file_bytes, struct why *why)
{
    struct file file = FILE_CLOSED;
    size_t size = 0;
    enum err e = file_open(env, path, FILE_READ, &file, why);
    if (e == OK) e = file_read_some(&file, to, SEGMENT_HEADER_BYTES, 0, &size, why);
    if (e == OK) e = file_size(&file, ret_file_bytes, why);
    file_close(&file);
    *ret_header = bytes_of(to, size);
    return e;
}

enum err
segment_header_unpack(struct bytes header, uint64_t number, enum segment_state *ret_state,
                      struct segment *ret_segment, struct why *why)
{
    enum err e = copy_check_version(header, 0, why);
    if (e == OK) e = copy_check_version(header, SEGMENT_COPY_OFFSET, why);
    if (e) return e;
    bool damaged = slice_state(header, 0, number) == SEGMENT_DAMAGED ||
                   slice_state(header, SEGMENT_COPY_OFFSET, number) == SEGMENT_DAMAGED;
    size_t copy = segment_header_copy(header, number);
    *ret_state = copy != SIZE_MAX ? SEGMENT_USED : damaged ? SEGMENT_DAMAGED : SEGMENT_BLANK;
    if (copy == SIZE_MAX) return OK;
    const uint8_t *at = header.at + copy;
    struct segment s = {
        .number = number,
        .base_pos = load_le64(at + 24),
        .prev_number = load_le64(at + 32),
        .prev_end_pos = load_le64(at + 40),
        .limit_pos = load_le64(at + 72),
        .end_pos = SEGMENT_POS_NONE,
        .copy_damaged = damaged,
    };
    memcpy(s.log_id, at + 48, WAL_LOG_ID_BYTES);
    s.seed = segment_seed(s.log_id, number);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        s.totals[k] = load_le64(at + 80 + 8 * k);
    *ret_segment = s;
    return OK;
}

/* --- records ---------------------------------------------------------------------------------- */

/* Computes the checksum of a record's header. `place` is a hash of the segment's seed and the
 * record's position. */
static uint16_t
header_check(uint64_t header, uint64_t place)
{
    return (uint16_t)hash_mix(place, header & 0xffffffffffff);
}

/* Computes the checksum of all after the header: the payload, filled up to a multiple of 8. */
static uint64_t
payload_check(uint64_t header, uint64_t place, const uint8_t *record, size_t size)
{
    struct bytes b = bytes_of(record + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES);
    return hash_bytes(b, hash_mix(place, header));
}

void
record_seal(uint8_t *to, size_t payload_size, uint8_t type, uint8_t version, uint8_t flags,
            uint64_t seed, uint64_t pos)
{
    assert(payload_size <= WAL_RECORD_BYTES_MAX);
    assert(pos % 8 == 0);
    size_t used = RECORD_HEADER_BYTES + payload_size, size = record_size(payload_size);
    memset(to + used, 0, size - used);
    uint64_t place = hash_mix(seed, pos);
    uint64_t header =
        payload_size | (uint64_t)type << 24 | (uint64_t)flags << 32 | (uint64_t)version << 40;
    header |= (uint64_t)header_check(header, place) << 48;
    store_le64(to, header);
    store_le64(to + 8, payload_check(header, place, to, size));
}

void
commit_pack(const struct commit *commit, uint8_t *p)
{
    memset(p, 0, COMMIT_PAYLOAD_BYTES);
    store_le64(p, commit->sequence);
    store_le64(p + 8, commit->durable_pos);
    store_le64(p + 16, commit->end_pos);
    store_le64(p + 24, (uint64_t)commit->realtime_ms);
    store_le32(p + 32, commit->record_count);
    store_le32(p + 36, commit->padding_bytes);
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        store_le64(p + 40 + 8 * k, commit->totals_before[k]);
        store_le64(p + 64 + 8 * k, commit->accepted[k]);
    }
}

enum err
commit_unpack(const struct raw_record *record, struct commit *ret_commit)
{
    if (record->type != WAL_COMMIT || record->stored.size != COMMIT_PAYLOAD_BYTES ||
        record->flags != 0)
        return ERR_CORRUPT;
    const uint8_t *p = record->stored.at;
    struct commit c = {
        .sequence = load_le64(p),
        .durable_pos = load_le64(p + 8),
        .end_pos = load_le64(p + 16),
        .realtime_ms = (int64_t)load_le64(p + 24),
        .record_count = load_le32(p + 32),
        .padding_bytes = load_le32(p + 36),
    };
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        c.totals_before[k] = load_le64(p + 40 + 8 * k);
        c.accepted[k] = load_le64(p + 64 + 8 * k);
    }
    if (c.durable_pos > record->pos || c.end_pos < record->end_pos || c.end_pos % 8 != 0)
        return ERR_CORRUPT;
    if (c.padding_bytes % 8 != 0 || c.padding_bytes > c.end_pos - record->end_pos)
        return ERR_CORRUPT;
    *ret_commit = c;
    return OK;
}

bool
record_is_known(uint8_t type, uint8_t version, uint8_t flags)
{
    uint8_t newest = type == WAL_LEDGER ? RECORD_VERSION_LEDGER : RECORD_VERSION;
    return version >= RECORD_VERSION && version <= newest && type >= WAL_COMMIT &&
           type <= WAL_TYPE_LAST && (flags & ~FLAGS_KNOWN) == 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

void
segment_reader_init(struct segment_reader *reader, struct env *env, struct budget *budget)
{
    *reader = (struct segment_reader){
        .env = env, .budget = budget, .file = FILE_CLOSED, .window_bytes = WINDOW_BYTES};
    buf_init(&reader->window, budget, RECORD_HEADER_BYTES + WAL_RECORD_BYTES_MAX + WINDOW_BYTES);
    buf_init(&reader->raw, budget, WAL_RECORD_BYTES_MAX);
}

void
segment_reader_fini(struct segment_reader *reader)
{
    file_close(&reader->file);
    buf_fini(&reader->window);
    buf_fini(&reader->raw);
    ZSTD_freeDCtx(reader->unpacker);
    reader->unpacker = NULL;
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

/*
 * Gives the bytes from `pos` on: at least `size`, if the file has them. Bytes after `limit_pos` are
 * not read, because they may still change.
 */
static enum err
window_at(struct segment_reader *r, uint64_t pos, uint64_t limit_pos, size_t size,
          struct bytes *ret_bytes, struct why *why)
{
    uint64_t offset = segment_offset(&r->segment, pos);
    uint64_t into = offset - r->window_offset;
    bool inside = offset >= r->window_offset && into <= r->window.size;
    if (!inside || r->window.size - into < size) {
        uint64_t want = size < r->window_bytes ? r->window_bytes : size;
        if (want > limit_pos - pos) want = limit_pos - pos;
        buf_clear(&r->window);
        r->window_offset = offset;
        if (!buf_reserve(&r->window, (size_t)want)) return buf_error(&r->window);
        size_t got = 0;
        enum err e = file_read_some(&r->file, r->window.at, (size_t)want, offset, &got, why);
        if (e) return e;
        r->window.size = got;
        into = 0;
    }
    *ret_bytes = bytes_of(r->window.at + into, (size_t)(r->window.size - into));
    return OK;
}

enum err
segment_read(struct segment_reader *r, uint64_t pos, uint64_t limit_pos,
             struct raw_record *ret_record, struct why *why)
{
    if (pos > limit_pos || limit_pos - pos < RECORD_HEADER_BYTES)
        return why_set(why, ERR_CORRUPT, "truncated record header");
    struct bytes b;
    enum err e = window_at(r, pos, limit_pos, RECORD_HEADER_BYTES, &b, why);
    if (e) return e;
    if (b.size < RECORD_HEADER_BYTES) return why_set(why, ERR_CORRUPT, "unexpected end of file");
    uint64_t header = load_le64(b.at), place = hash_mix(r->segment.seed, pos);
    uint32_t payload_size = (uint32_t)header & 0xffffff;
    size_t size = record_size(payload_size);
    if (header >> 48 != header_check(header, place) || payload_size > WAL_RECORD_BYTES_MAX)
        return why_set(why, ERR_CORRUPT, "invalid record header");
    if (size > limit_pos - pos) return why_set(why, ERR_CORRUPT, "truncated record");
    e = window_at(r, pos, limit_pos, size, &b, why);
    if (e) return e;
    if (b.size < size) return why_set(why, ERR_CORRUPT, "unexpected end of file");
    if (load_le64(b.at + 8) != payload_check(header, place, b.at, size))
        return why_set(why, ERR_CORRUPT, "record checksum does not match");
    struct raw_record raw = {
        .pos = pos,
        .end_pos = pos + size,
        .type = b.at[3],
        .flags = b.at[4],
        .version = b.at[5],
        .stored = bytes_of(b.at + RECORD_HEADER_BYTES, payload_size),
    };
    if (!record_is_known(raw.type, raw.version, raw.flags) && !(raw.flags & FLAG_SKIPPABLE)) {
        return why_set(
            why, ERR_UNSUPPORTED,
            "%s: a newer Firekeep wrote a record of type %u version %u flags %u; use that version",
            r->file.path, raw.type, raw.version, raw.flags);
    }
    *ret_record = raw;
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
    if (record->stored.size < 4) return why_set(why, ERR_CORRUPT, "missing uncompressed size");
    uint32_t raw_size = load_le32(record->stored.at);
    if (raw_size > WAL_RECORD_BYTES_MAX)
        return why_set(why, ERR_CORRUPT, "uncompressed size is too large");
    buf_clear(&r->raw);
    if (!buf_reserve(&r->raw, raw_size)) return buf_error(&r->raw);
    if (r->unpacker == NULL) r->unpacker = ZSTD_createDCtx();
    if (r->unpacker == NULL) return ERR_NOMEM;
    size_t got = ZSTD_decompressDCtx(r->unpacker, r->raw.at, raw_size, record->stored.at + 4,
                                     record->stored.size - 4);
    if (ZSTD_isError(got) || got != raw_size)
        return why_set(why, ERR_CORRUPT, "record cannot be decompressed");
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
    if (e) return why_set(why, e, "expected a commit record");
    *ret_commit = commit;
    *ret_bad_pos = record.end_pos;
    if (commit.end_pos > limit_pos) return why_set(why, ERR_CORRUPT, "truncated commit");
    uint32_t count = 0;
    for (uint64_t at = record.end_pos; at < commit.end_pos; at = record.end_pos) {
        *ret_bad_pos = at;
        e = segment_read(r, at, commit.end_pos, &record, why);
        if (e) return e;
        if (record.type == WAL_COMMIT)
            return why_set(why, ERR_CORRUPT, "commit record inside a commit");
        count++;
    }
    if (count != commit.record_count) {
        return why_set(why, ERR_CORRUPT, "expected %" PRIu32 " records in a commit, got %" PRIu32,
                       commit.record_count, count);
    }
    return OK;
}

enum err
segment_find(struct segment_reader *r, uint64_t pos, uint64_t limit_pos,
             struct raw_record *ret_record, struct why *why)
{
    pos = (pos + 7) & ~(uint64_t)7;
    while (pos < limit_pos && limit_pos - pos >= RECORD_HEADER_BYTES) {
        struct bytes b;
        enum err e = window_at(r, pos, limit_pos, RECORD_HEADER_BYTES, &b, why);
        if (e) return e;
        if (b.size < RECORD_HEADER_BYTES) break; /* the file ends */
        /* The window may reach beyond this limit if an earlier call had a larger one. */
        if (b.size > limit_pos - pos) b.size = (size_t)(limit_pos - pos);
        size_t at = 0;
        for (; b.size - at >= RECORD_HEADER_BYTES;
             at += 8) { /* skips bytes that are not a header */
            uint64_t header = load_le64(b.at + at);
            if (header == 0) continue;
            if (header >> 48 == header_check(header, hash_mix(r->segment.seed, pos + at))) break;
        }
        pos += at;
        if (b.size - at < RECORD_HEADER_BYTES) continue;
        e = segment_read(r, pos, limit_pos, ret_record, why);
        if (e != ERR_CORRUPT) return e;
        pos += 8;
    }
    return ERR_MISSING;
}
