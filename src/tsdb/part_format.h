/* part_format.h - private to tsdb/: what writing and reading a part share. docs/format/part.md */
#ifndef TSDB_PART_FORMAT_H
#define TSDB_PART_FORMAT_H

#include "base/hash.h"
#include "tsdb/part.h"

enum {
    PART_VERSION = 1,
    PART_END_BYTES = 64, /* header and footer */
    LABEL_RESTART = 16,
    CODEC_HISTOGRAM_FLOAT_V1 = 4,
};

#define PART_HEADER_MAGIC "FKPARTHD"
#define PART_FOOTER_MAGIC "FKPARTFT"

_Static_assert(CODEC_HISTOGRAM_V1 == 3, "docs/format/part.md: 3 is integer histograms");

static inline uint8_t
part_codec_of(enum sample_kind kind)
{
    return kind == SAMPLE_HISTOGRAM_INT ? CODEC_HISTOGRAM_V1 : CODEC_HISTOGRAM_FLOAT_V1;
}

static inline void
part_end_pack(uint8_t *to, const char *magic, uint64_t number, uint64_t root, uint64_t file_bytes,
              uint64_t data_bytes)
{
    memcpy(to, magic, 8);
    store_le16(to + 8, PART_VERSION);
    store_le16(to + 10, PART_VERSION);
    store_le64(to + 16, number);
    store_le64(to + 24, root);
    store_le64(to + 32, file_bytes);
    store_le64(to + 40, data_bytes);
    store_le64(to + 56, hash_bytes(bytes_of(to, 56), number));
}

#endif
