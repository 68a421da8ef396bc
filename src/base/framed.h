/* framed.h - small files: a header and one payload. The header is 8 bytes of magic, u32 version,
 * u32 min_reader (the same), u32 size of the payload, u32 CRC-32C of these 20 bytes and the
 * payload. */
#ifndef BASE_FRAMED_H
#define BASE_FRAMED_H

#include "base/buf.h"
#include "base/hash/crc32c.h"

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
