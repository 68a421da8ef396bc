/*
 * letter_file.c - see letter_file.h. Format: docs/format/relay.md.
 *
 * A scan accepts every entry with a valid checksum, at any offset. After bad bytes it tries every
 * offset as the start of an entry. Few of them have a plausible size and batch offset; checksums of
 * these are computed for a limited number of bytes, so that no file takes hours.
 */
#include "relay/letters/letter_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/fields.h"
#include "base/hash/crc32c.h"
#include "base/text/hex.h"
#include "model/labels.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'L', 'E', 'T', 'T', 'E', 'R'};
static const char SUFFIX[] = ".letters";

enum {
    VERSION = 1,
    NUMBER_DIGITS = 8,
    WINDOW_BYTES = 64 * 1024,
    WINDOW_KEEP_BYTES = 1024 * 1024,
    ARENA_BYTES_MAX = 8 * 1024 * 1024, /* the largest histogram has 2.6 MiB */
    ARENA_KEEP_BYTES = 64 * 1024,
    PATIENCE_BYTES = 64 * 1024 * 1024,
};

void
letter_file_name(uint32_t number, char to[LETTER_FILE_NAME_BYTES])
{
    snprintf(to, LETTER_FILE_NAME_BYTES, "%08" PRIx32 "%s", number, SUFFIX);
}

bool
letter_file_number(const char *name, uint32_t *ret_number)
{
    uint64_t number;
    const char *rest = hex_name_number(name, NUMBER_DIGITS, &number);
    if (rest == NULL || number == 0 || strcmp(rest, SUFFIX) != 0) return false;
    *ret_number = (uint32_t)number;
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

void
letter_header_put(struct buf *to)
{
    uint8_t header[LETTER_FILE_HEADER_BYTES];
    memcpy(header, MAGIC, sizeof MAGIC);
    store_le32(header + 8, VERSION);
    store_le32(header + 12, VERSION); /* min_reader */
    store_le32(header + 16, crc32c(0, bytes_of(header, 16)));
    buf_put(to, header, sizeof header);
}

/* The fields of a letter, except for its histogram, which follows them. */
FIELDS_INLINE void
letter_fields(const struct fields *f, struct letter_place *replaces, struct dead_letter *letter)
{
    struct item *item = &letter->item;
    uint8_t kind = (uint8_t)item->kind, type = (uint8_t)item->family_type;
    field_u32(f, &replaces->file);
    if (replaces->file != 0) field_u32(f, &replaces->number);
    field_varint(f, &letter->pos);
    field_u32(f, &letter->index);
    field_zigzag(f, &letter->failed_ms);
    field_counted(f, &letter->reason);
    field_counted(f, &letter->answer);
    field_u8(f, &kind);
    field_counted(f, &item->tenant);
    field_counted(f, &item->labels);
    field_le64(f, &item->series_hash);
    field_zigzag(f, &item->t_ms);
    field_zigzag(f, &item->start_ms);
    item->kind = (enum item_kind)kind;
    switch (kind) {
    case ITEM_HISTOGRAM:
        break;
    case ITEM_FLOAT:
    case ITEM_EXEMPLAR:
        field_le64(f, &item->bits);
        if (kind == ITEM_EXEMPLAR) field_counted(f, &item->exemplar_labels);
        break;
    case ITEM_METADATA:
        field_counted(f, &item->family);
        field_u8(f, &type);
        field_counted(f, &item->help);
        field_counted(f, &item->unit);
        fields_check(f, type < METRIC_TYPE_COUNT);
        item->family_type = (enum metric_type)type;
        break;
    default:
        assert(f->to == NULL);
        fields_check(f, false);
    }
}

void
letter_put(struct buf *to, struct letter_place replaces, const struct dead_letter *letter)
{
    const struct fields fields = {.to = to};
    struct dead_letter put = *letter;
    buf_put_u8(to, ENTRY_LETTER);
    buf_put_le32(to, 0); /* letter_set_number() */
    letter_fields(&fields, &replaces, &put);
    if (put.item.kind == ITEM_HISTOGRAM) histogram_put(to, put.item.histogram);
}

void
letter_set_number(struct buf *letter, uint32_t number)
{
    assert(letter->size > 5);
    store_le32(letter->at + 1, number);
}

void
letter_marks_put(struct buf *to, enum letter_mark mark, uint32_t file, struct bytes runs)
{
    buf_put_u8(to, ENTRY_MARKS);
    buf_put_u8(to, (uint8_t)mark);
    buf_put_varint(to, file);
    buf_put_bytes(to, runs);
}

enum err
letter_entry_put(struct buf *to, struct bytes payload, uint32_t batch_offset)
{
    uint8_t header[LETTER_ENTRY_HEADER_BYTES];
    assert(payload.size > 0);
    assert(payload.size <= LETTER_ENTRY_BYTES_MAX);
    if (!buf_reserve(to, sizeof header + payload.size)) return ERR_NOMEM;
    store_le32(header, (uint32_t)payload.size);
    store_le32(header + 4, batch_offset);
    store_le32(header + 8, crc32c(crc32c(0, bytes_of(header, 8)), payload));
    buf_put(to, header, sizeof header);
    buf_put_bytes(to, payload);
    return OK;
}

/* --- runs ------------------------------------------------------------------------------------- */

void
letter_runs_begin(struct letter_runs *runs, struct buf *to)
{
    *runs = (struct letter_runs){.to = to};
}

void
letter_runs_end(struct letter_runs *runs)
{
    if (runs->count == 0) return;
    buf_put_varint(runs->to, runs->first - runs->behind);
    buf_put_varint(runs->to, runs->count);
    runs->behind = runs->first + runs->count;
    runs->count = 0;
}

void
letter_runs_add(struct letter_runs *runs, uint32_t number)
{
    if (runs->count > 0 && number == runs->first + runs->count) {
        runs->count++;
        return;
    }
    letter_runs_end(runs);
    assert(number >= runs->behind);
    runs->first = number;
    runs->count = 1;
}

bool
letter_runs_next(struct cursor *from, uint32_t *behind, uint32_t *ret_first, uint32_t *ret_count)
{
    if (from->at == from->end) return false;
    uint64_t skip = cursor_varint(from), count = cursor_varint(from);
    if (skip > UINT32_MAX - *behind || count > UINT32_MAX - *behind - skip || count == 0) {
        cursor_fail(from);
    }
    if (from->bad) return false;
    *ret_first = *behind + (uint32_t)skip;
    *ret_count = (uint32_t)count;
    *behind = *ret_first + *ret_count;
    return true;
}

/* --- contents of an entry --------------------------------------------------------------------- */

/* A letter's number is above those of the letters before it, and at most the count that could be
 * before it. */
static enum err
unpack_letter(struct letter_scan *s, struct cursor *c)
{
    struct letter_entry *entry = &s->entry;
    struct item *item = &entry->letter.item;
    const struct fields fields = {.from = c};
    enum err e = OK;
    entry->number = cursor_le32(c);
    entry->replaces = (struct letter_place){0, 0};
    *item = (struct item){.family_type = METRIC_UNKNOWN};
    letter_fields(&fields, &entry->replaces, &entry->letter);
    if (c->bad) return ERR_CORRUPT;
    if (entry->number > entry->offset / LETTER_BYTES_MIN) return ERR_CORRUPT;
    if (entry->number < s->next_number) return ERR_CORRUPT;
    if (item->kind == ITEM_HISTOGRAM) {
        e = histogram_get(c, &s->arena, &entry->histogram);
        item->histogram = &entry->histogram;
    }
    if (e) return e == ERR_LIMIT ? ERR_NOMEM : e;
    if (c->bad || c->at != c->end) return ERR_CORRUPT;
    return labels_valid(item->labels) && labels_valid(item->exemplar_labels) ? OK : ERR_CORRUPT;
}

static enum err
unpack_marks(struct letter_scan *s, struct cursor *c)
{
    uint8_t mark = cursor_u8(c);
    uint64_t file = cursor_varint(c);
    s->entry.runs = bytes_of(c->at, cursor_left(c));
    if (c->bad || mark < MARK_REPLAYING || mark > MARK_LAST || file > UINT32_MAX) {
        return ERR_CORRUPT;
    }
    s->entry.mark = (enum letter_mark)mark;
    s->entry.file = (uint32_t)file;
    uint32_t behind = 0, first, count;
    while (letter_runs_next(c, &behind, &first, &count)) {
    }
    return c->bad ? ERR_CORRUPT : OK;
}

/* ERR_UNSUPPORTED: of a type that a newer version has and we may step over. */
static enum err
unpack_entry(struct letter_scan *s, struct bytes payload)
{
    struct cursor c = cursor_of(payload);
    arena_reset_to(&s->arena, ARENA_KEEP_BYTES);
    s->entry.type = (enum letter_entry_type)cursor_u8(&c);
    switch (s->entry.type) {
    case ENTRY_LETTER:
        return unpack_letter(s, &c);
    case ENTRY_MARKS:
        return unpack_marks(s, &c);
    case ENTRY_END:
        return OK;
    case ENTRY_HOLE:
    default:
        return ERR_UNSUPPORTED;
    }
}

/* --- the way through a file ------------------------------------------------------------------- */

static void
window_init(struct letter_scan *s)
{
    buf_init(&s->window, s->memory, LETTER_ENTRY_HEADER_BYTES + LETTER_ENTRY_BYTES_MAX);
    s->window_at = 0;
}

/* `size` bytes of the file, a view until the next call; NULL: it ends before them. */
static enum err
window_get(struct letter_scan *s, uint64_t offset, size_t size, const uint8_t **ret_at,
           struct why *why)
{
    *ret_at = NULL;
    if (offset > s->end || size > s->end - offset) return OK;
    bool there = offset >= s->window_at && offset - s->window_at <= s->window.size &&
                 size <= s->window.size - (offset - s->window_at);
    if (!there) {
        size_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
        if (wanted > s->end - offset) wanted = (size_t)(s->end - offset);
        if (s->window.capacity > WINDOW_KEEP_BYTES) {
            buf_fini(&s->window);
            window_init(s);
        }
        buf_clear(&s->window);
        if (!buf_reserve(&s->window, wanted)) return why_set(why, ERR_NOMEM, "%s", s->file.path);
        s->window_at = offset;
        size_t got = 0;
        enum err e = file_read_some(&s->file, s->window.at, wanted, offset, &got, why);
        if (e) return e;
        s->window.size = got;
        if (got < wanted) s->end = offset + got; /* the file was truncated */
        if (got < size) return OK;
    }
    *ret_at = s->window.at + (offset - s->window_at);
    return OK;
}

struct letter_frame {
    bool whole;
    uint32_t batch_offset;
    struct bytes payload;
};

static enum err
frame_at(struct letter_scan *s, uint64_t offset, bool searching, struct letter_frame *ret_frame,
         struct why *why)
{
    const uint8_t *at;
    *ret_frame = (struct letter_frame){.whole = false};
    enum err e = window_get(s, offset, LETTER_ENTRY_HEADER_BYTES, &at, why);
    if (e || at == NULL) return e;
    uint32_t size = load_le32(at), batch_offset = load_le32(at + 4), crc = load_le32(at + 8);
    if (size == 0 || size > LETTER_ENTRY_BYTES_MAX || batch_offset > offset) return OK;
    if (size > s->end - offset - LETTER_ENTRY_HEADER_BYTES) return OK;
    if (searching && size > s->patience) return OK;
    if (searching) s->patience -= size;
    e = window_get(s, offset, LETTER_ENTRY_HEADER_BYTES + size, &at, why);
    if (e || at == NULL) return e;
    struct bytes payload = bytes_of(at + LETTER_ENTRY_HEADER_BYTES, size);
    if (crc32c(crc32c(0, bytes_of(at, 8)), payload) != crc) return OK;
    *ret_frame = (struct letter_frame){true, batch_offset, payload};
    return OK;
}

static void
note_bad(struct letter_scan *s, uint64_t offset, uint64_t end)
{
    s->clean = false;
    s->bad_before = true;
    if (s->bad_count < LETTER_BAD_MAX) s->bad[s->bad_count++] = (struct letter_bad){offset, end, 0};
}

/* The bad places that were met are damage. */
static void
condemn(struct letter_scan *s)
{
    s->damaged += s->suspects;
    if (s->suspects > 0) s->damaged_end = s->suspect_at + 1;
    s->suspects = 0;
}

/* Notes bad bytes. They are damage if they were durable, which a later batch shows, unless it is
 * known already. */
static void
suspect(struct letter_scan *s, uint64_t offset, uint64_t end)
{
    note_bad(s, offset, end);
    s->suspects++;
    s->suspect_at = offset;
    if (offset < s->durable_end) condemn(s);
}

void
letter_scan_trust(struct letter_scan *s, uint64_t durable_end)
{
    s->durable_end = durable_end;
    if (s->suspects > 0 && s->suspect_at < durable_end) condemn(s);
}

/* Finds the first whole entry at or after an offset; `end` if there is none. */
static enum err
find_whole(struct letter_scan *s, uint64_t from, uint64_t end, uint64_t *ret_at, struct why *why)
{
    for (uint64_t at = from; at < end; at++) {
        struct letter_frame frame;
        enum err e = frame_at(s, at, true, &frame, why);
        if (e) return e;
        if (!frame.whole) continue;
        *ret_at = at;
        return OK;
    }
    *ret_at = end;
    return OK;
}

enum err
letter_scan_next(struct letter_scan *s, const struct letter_entry **ret_entry, struct why *why)
{
    while (s->offset < s->end) {
        struct letter_frame frame;
        enum err e = frame_at(s, s->offset, false, &frame, why);
        if (e) return e;
        if (!frame.whole) {
            uint64_t at = s->end;
            e = find_whole(s, s->offset + 1, s->end, &at, why);
            if (e) return e;
            suspect(s, s->offset, at);
            s->offset = at;
            continue;
        }
        s->entry.offset = s->offset;
        e = unpack_entry(s, frame.payload);
        if (e == ERR_NOMEM)
            return why_set(why, e, "%s: not enough memory for a dead letter", s->file.path);
        s->offset += LETTER_ENTRY_HEADER_BYTES + frame.payload.size;
        s->whole_end = s->offset;
        s->ended = s->entry.type == ENTRY_END;
        if (frame.batch_offset > s->batch_at) s->batch_at = frame.batch_offset;
        if (s->suspects > 0 && frame.batch_offset > s->suspect_at) condemn(s);
        if (e == ERR_CORRUPT) { /* it passes its checksum and makes no sense */
            note_bad(s, s->entry.offset, s->offset);
            s->damaged++;
            if (s->entry.offset >= s->damaged_end) s->damaged_end = s->entry.offset + 1;
        }
        if (e) continue;
        if (s->entry.type == ENTRY_LETTER) {
            /* Between two letters there may be a place that is bad: then as many are missing. */
            s->entry.missing = s->bad_before ? s->entry.number - s->next_number : 0;
            if (s->bad_before) s->bad[s->bad_count - 1].letters = s->entry.missing;
            s->bad_before = false;
            s->next_number = s->entry.number + 1;
        }
        *ret_entry = &s->entry;
        return OK;
    }
    return ERR_MISSING;
}

void
letter_scan_seek(struct letter_scan *s, uint64_t offset, uint64_t end)
{
    s->offset = offset;
    s->end = end < LETTER_FILE_READ_BYTES ? end : LETTER_FILE_READ_BYTES;
    /* Bytes after the end may be overwritten before they are read. */
    if (s->window_at + s->window.size > s->end) buf_clear(&s->window);
    s->patience = PATIENCE_BYTES;
    s->next_number = 0;
    s->bad_before = false;
    s->bad_count = 0;
}

static enum err
read_header(struct letter_scan *s, struct why *why)
{
    const uint8_t *at;
    enum err e = window_get(s, 0, LETTER_FILE_HEADER_BYTES, &at, why);
    if (e) return e;
    bool good = at != NULL && memcmp(at, MAGIC, sizeof MAGIC) == 0 &&
                load_le32(at + 16) == crc32c(0, bytes_of(at, 16));
    if (!good) {
        suspect(s, 0, LETTER_FILE_HEADER_BYTES);
        return OK;
    }
    if (load_le32(at + 12) <= VERSION) return OK;
    return why_set(why, ERR_UNSUPPORTED,
                   "%s: version %u (minimum reader %u) is newer than version %d, which this "
                   "program reads; use a newer Firekeep",
                   s->file.path, load_le32(at + 8), load_le32(at + 12), VERSION);
}

enum err
letter_scan_open(struct letter_scan *s, struct env *env, const char *path, struct budget *memory,
                 struct why *why)
{
    *s = (struct letter_scan){.file = FILE_CLOSED, .memory = memory, .clean = true};
    enum err e = file_open(env, path, FILE_READ, &s->file, why);
    if (e) return e;
    window_init(s);
    arena_init(&s->arena, memory, ARENA_BYTES_MAX, 0);
    uint64_t size;
    e = file_size(&s->file, &size, why);
    if (e == OK) {
        letter_scan_seek(s, LETTER_FILE_HEADER_BYTES, size);
        s->whole_end = LETTER_FILE_HEADER_BYTES;
        e = read_header(s, why);
    }
    if (e) letter_scan_close(s);
    return e;
}

/* Puts entries without content that fill `size` bytes. */
static enum err
put_hole(struct buf *to, uint64_t size, uint32_t batch_offset)
{
    enum { HOLE_MIN = LETTER_ENTRY_HEADER_BYTES + 1 };
    static const uint8_t zeros[4096] = {0};
    struct buf payload;
    enum err e = OK;
    buf_init(&payload, to->budget, LETTER_ENTRY_BYTES_MAX);
    while (size > 0 && e == OK) {
        uint64_t part = size;
        if (part > LETTER_ENTRY_BYTES_MAX) part = LETTER_ENTRY_BYTES_MAX - HOLE_MIN;
        if (part < HOLE_MIN) e = ERR_CORRUPT;
        if (e) break;
        buf_clear(&payload);
        buf_put_u8(&payload, ENTRY_HOLE);
        while (payload.size < part - LETTER_ENTRY_HEADER_BYTES && buf_error(&payload) == OK) {
            size_t more = (size_t)part - LETTER_ENTRY_HEADER_BYTES - payload.size;
            buf_put(&payload, zeros, more < sizeof zeros ? more : sizeof zeros);
        }
        e = buf_error(&payload);
        if (e == OK) e = letter_entry_put(to, buf_bytes(&payload), batch_offset);
        size -= part;
    }
    buf_fini(&payload);
    return e;
}

enum err
letter_scan_mend(struct letter_scan *s, uint64_t from, uint64_t end, struct buf *to,
                 struct why *why)
{
    uint64_t at = from;
    s->patience = PATIENCE_BYTES;
    if (at == 0) {
        letter_header_put(to);
        at = LETTER_FILE_HEADER_BYTES;
    }
    while (at < end && buf_error(to) == OK) {
        const uint8_t *bytes;
        struct letter_frame frame;
        enum err e = frame_at(s, at, false, &frame, why);
        if (e) return e;
        if (frame.whole) {
            size_t size = LETTER_ENTRY_HEADER_BYTES + frame.payload.size;
            e = window_get(s, at, size, &bytes, why);
            if (e) return e;
            buf_put(to, bytes, bytes == NULL ? 0 : size);
            at += size;
            continue;
        }
        uint64_t behind = end;
        e = find_whole(s, at + 1, end, &behind, why);
        if (e == OK) e = put_hole(to, behind - at, (uint32_t)from);
        if (e == ERR_CORRUPT)
            why_set(why, e, "%s: the incomplete end left by a crash is shorter than a record",
                    s->file.path);
        if (e == ERR_NOMEM) why_set(why, e, "not enough memory for dead letters");
        if (e) return e;
        at = behind;
    }
    return buf_error(to) ? why_set(why, buf_error(to), "not enough memory for dead letters") : OK;
}

void
letter_scan_close(struct letter_scan *s)
{
    err_ignore(file_close(&s->file), "only read");
    buf_fini(&s->window);
    arena_fini(&s->arena);
}
