/* fields.h - stored records and small files. Fields of a record are described once for writing and
 * reading: each function appends a field to a buffer, or reads it from a cursor. Fields are zero
 * once the cursor is bad. All functions are inline, so that only one direction is left where it is
 * known.
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/buf.h"
#include "base/hash/crc32c.h"

#define FIELDS_INLINE static inline __attribute__((always_inline))

struct fields {
    struct buf *to; /* NULL when fields are read */
    struct cursor *from;
};

/* Marks the record as bad unless `good`. */
static inline void
fields_check(const struct fields *f, bool good)
{
    if (f->to == NULL && !good) cursor_fail(f->from);
}

static inline bool
fields_are_good(const struct fields *f)
{
    return f->to != NULL || !f->from->bad;
}

/* True if more fields follow: the record of an older version may end here. */
static inline bool
fields_follow(const struct fields *f)
{
    return f->to != NULL || (!f->from->bad && cursor_left(f->from) > 0);
}

#define FIELD(name, type, put, get)                                      \
    FIELDS_INLINE void field_##name(const struct fields *f, type *value) \
    {                                                                    \
        if (f->to != NULL)                                               \
            put(f->to, *value);                                          \
        else                                                             \
            *value = get(f->from);                                       \
    }
FIELD(u8, uint8_t, buf_put_u8, cursor_u8)
FIELD(le64, uint64_t, buf_put_le64, cursor_le64)
FIELD(varint, uint64_t, buf_put_varint, cursor_varint)
FIELD(zigzag, int64_t, buf_put_zigzag, cursor_zigzag)
FIELD(counted, struct bytes, buf_put_counted, cursor_counted) /* a view when read */
#undef FIELD

static inline void
field_varints(const struct fields *f, uint64_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        field_varint(f, &values[i]);
}

FIELDS_INLINE void
field_u32(const struct fields *f, uint32_t *value)
{
    uint64_t wide = *value;
    field_varint(f, &wide);
    fields_check(f, wide <= UINT32_MAX);
    *value = (uint32_t)wide;
}

static inline void
field_bool(const struct fields *f, bool *value)
{
    uint8_t byte = *value;
    field_u8(f, &byte);
    *value = byte != 0;
}

static inline void
field_fixed(const struct fields *f, uint8_t *bytes, size_t size)
{
    if (f->to != NULL) {
        buf_put(f->to, bytes, size);
        return;
    }
    struct bytes value = cursor_bytes(f->from, size);
    if (!f->from->bad) memcpy(bytes, value.at, size);
}

/* A text of less than `size` bytes that ends in NUL. */
static inline void
field_text(const struct fields *f, char *text, size_t size)
{
    struct bytes value = f->to == NULL ? bytes_of(NULL, 0) : bytes_of_text(text);
    field_counted(f, &value);
    if (f->to != NULL) return;
    fields_check(f, value.size < size &&
                        (value.size == 0 || memchr(value.at, '\0', value.size) == NULL));
    if (f->from->bad) return;
    if (value.size > 0) memcpy(text, value.at, value.size);
    text[value.size] = '\0';
}

/* --- small files ------------------------------------------------------------------------------ */

/* A header and one payload. The header is 8 bytes of magic, u32 version, u32 min_reader (the same),
 * u32 size of the payload, u32 CRC-32C of these 20 bytes and the payload. */
enum { FRAMED_HEADER_BYTES = 24 };

/* Makes room for the header in an empty buffer; the payload is appended next. */
static inline void
framed_begin(struct buf *to)
{
    static const uint8_t header[FRAMED_HEADER_BYTES] = {0};
    buf_put(to, header, sizeof header);
}

/* Writes the header: the payload is complete. */
static inline void
framed_end(struct buf *to, const uint8_t magic[8], uint32_t version)
{
    if (buf_error(to)) return;
    struct bytes piece = bytes_of(to->at + FRAMED_HEADER_BYTES, to->size - FRAMED_HEADER_BYTES);
    memcpy(to->at, magic, 8);
    store_le32(to->at + 8, version);
    store_le32(to->at + 12, version);
    store_le32(to->at + 16, (uint32_t)piece.size);
    store_le32(to->at + 20, crc32c(crc32c(0, bytes_of(to->at, 20)), piece));
}

/* Returns a view of the payload. ERR_CORRUPT: another kind of file, or a damaged one.
 * ERR_UNSUPPORTED: it needs a newer reader. `why` does not name the file. */
MUST_CHECK static inline enum err
framed_open(struct bytes file, const uint8_t magic[8], uint32_t version, struct bytes *ret_piece,
            struct why *why)
{
    struct bytes piece = {NULL, 0};
    bool is_whole = file.size >= FRAMED_HEADER_BYTES && memcmp(file.at, magic, 8) == 0;
    if (is_whole) {
        piece = bytes_of(file.at + FRAMED_HEADER_BYTES, file.size - FRAMED_HEADER_BYTES);
        uint32_t crc = crc32c(crc32c(0, bytes_of(file.at, 20)), piece);
        is_whole = piece.size == load_le32(file.at + 16) && crc == load_le32(file.at + 20);
    }
    if (!is_whole) {
        why_set(why, ERR_CORRUPT, "the file is damaged: its header or its checksum is wrong");
        return ERR_CORRUPT;
    }
    if (load_le32(file.at + 12) > version) {
        why_set(why, ERR_UNSUPPORTED,
                "version %u of the file is newer than version %u, which this program reads; use a "
                "newer Firekeep",
                load_le32(file.at + 8), version);
        return ERR_UNSUPPORTED;
    }
    *ret_piece = piece;
    return OK;
}

#endif
