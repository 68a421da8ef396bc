/*
 * segment.h - private to wal/: one segment file, its header and its records, packed and read.
 * Format: docs/format/wal.md.
 */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include "base/buf.h"
#include "wal/wal.h"

enum {
    SEGMENT_HEADER_BYTES = WAL_SEGMENT_HEADER_BYTES,
    SEGMENT_COPY_BYTES = 512,   /* one of the two copies of the header ... */
    SEGMENT_COPY_OFFSET = 4096, /* ... each in a physical sector of its own */
    RECORD_HEADER_BYTES = 16,
    COMMIT_PAYLOAD_BYTES = 88,
    COMMIT_RECORD_BYTES = 104,
    FLAG_ZSTD = 1,
    FLAG_SKIPPABLE = 2,
    FLAGS_KNOWN = FLAG_ZSTD | FLAG_SKIPPABLE,
    RECORD_VERSION = 1,
    RECORD_VERSION_LEDGER = 2, /* the highest version of WAL_LEDGER */
};

#define SEGMENT_POS_NONE UINT64_MAX

struct segment {
    uint64_t number;
    uint64_t base_pos;
    uint64_t prev_number;
    uint64_t prev_end_pos;              /* end of the last record of the log before this segment */
    uint64_t limit_pos;                 /* records of this segment end before it */
    uint64_t totals[LEDGER_KIND_COUNT]; /* accepted samples before base_pos */
    uint64_t seed;                      /* seed of its checksums */
    uint64_t end_pos;                   /* later bytes are void; SEGMENT_POS_NONE if not known */
    uint64_t file_bytes;
    bool copy_damaged; /* one copy of the header is damaged */
    bool going;        /* it is being released */
    uint8_t log_id[WAL_LOG_ID_BYTES];
};

struct commit {
    uint64_t sequence;
    uint64_t durable_pos; /* known durable before this commit was written */
    uint64_t end_pos;
    int64_t realtime_ms;
    uint32_t record_count;  /* records after the commit record */
    uint32_t padding_bytes; /* size of the last record if that is padding */
    uint64_t totals_before[LEDGER_KIND_COUNT];
    uint64_t accepted[LEDGER_KIND_COUNT];
};

static inline size_t
record_size(size_t payload_size)
{
    return (RECORD_HEADER_BYTES + payload_size + 7) & ~(size_t)7;
}

static inline uint64_t
segment_offset(const struct segment *segment, uint64_t pos)
{
    return pos - segment->base_pos + SEGMENT_HEADER_BYTES;
}

/* Returns the end of a segment, according to the header of the next one. It may have been begun and
 * never used. */
static inline uint64_t
segment_end_before(const struct segment *segment, const struct segment *next)
{
    bool unused = next->prev_end_pos < segment->base_pos;
    return unused ? segment->base_pos : next->prev_end_pos;
}

/* Returns the limit of positions in the newest segment. */
static inline uint64_t
segment_file_end(const struct segment *segment)
{
    if (segment->file_bytes < SEGMENT_HEADER_BYTES) return segment->base_pos;
    uint64_t end = segment->base_pos + (segment->file_bytes - SEGMENT_HEADER_BYTES);
    return end < segment->limit_pos ? end : segment->limit_pos;
}

/* Writes the path of a segment's file. ERR_LIMIT: it does not fit. */
MUST_CHECK enum err segment_path(char *to, size_t to_size, const char *dir, uint64_t number);

/* Returns the seed of the hashes in a segment, which depends on the log, so that records of another
 * log are not taken for records of this one. */
uint64_t segment_seed(const uint8_t *log_id, uint64_t number);
/* Writes both copies, SEGMENT_HEADER_BYTES. */
void segment_header_pack(const struct segment *segment, int64_t made_ms, uint8_t *to);

enum segment_state {
    SEGMENT_USED,    /* has a header with its number */
    SEGMENT_BLANK,   /* was being made: zeros, or the header of a recycled segment */
    SEGMENT_DAMAGED, /* had a header, which is not readable */
};

/* Reads the first SEGMENT_HEADER_BYTES of a file into `to`; fewer if the file ends before. */
MUST_CHECK enum err segment_header_read(struct env *env, const char *path, uint8_t *to,
                                        struct bytes *ret_header, uint64_t *ret_file_bytes,
                                        struct why *why);
/*
 * Reads the first bytes of a segment file; `ret_segment` is written if it is SEGMENT_USED.
 * ERR_UNSUPPORTED: a newer version is needed to read it, or the segment recycled; `why` has the
 * versions.
 */
MUST_CHECK enum err segment_header_unpack(struct bytes header, uint64_t number,
                                          enum segment_state *ret_state,
                                          struct segment *ret_segment, struct why *why);
/* Returns the offset of a valid copy with `number`; SIZE_MAX if neither is. */
size_t segment_header_copy(struct bytes header, uint64_t number);

/* Writes header and checksums before a payload that is at to + 16, and zeros after it. */
void record_seal(uint8_t *to, size_t payload_size, uint8_t type, uint8_t version, uint8_t flags,
                 uint64_t seed, uint64_t pos);
void commit_pack(const struct commit *commit, uint8_t *payload);

/* True if type and version are known; unknown ones may be skipped only if flagged. */
bool record_is_known(uint8_t type, uint8_t version, uint8_t flags);

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads records of one segment through a window of the file. */
struct segment_reader {
    struct env *env;
    struct budget *budget;
    struct segment segment;
    struct file file;
    size_t window_bytes; /* read at a time */
    struct buf window;   /* bytes of the file from window_offset */
    uint64_t window_offset;
    struct buf raw;               /* an uncompressed payload */
    struct ZSTD_DCtx_s *unpacker; /* made when first needed */
};

void segment_reader_init(struct segment_reader *reader, struct env *env, struct budget *budget);
void segment_reader_fini(struct segment_reader *reader);
/* Opens (or changes to) a segment. */
MUST_CHECK enum err segment_reader_open(struct segment_reader *reader, const char *dir,
                                        const struct segment *segment, struct why *why);

/* A record's position and stored payload; the view ends with the next read. */
struct raw_record {
    uint64_t pos;
    uint64_t end_pos;
    uint8_t type;
    uint8_t flags;
    uint8_t version;
    struct bytes stored;
};

/*
 * Reads the record at `pos`, wholly before `limit_pos`; bytes after that are not read. ERR_CORRUPT:
 * no whole record is there. ERR_UNSUPPORTED: its type is unknown and may not be skipped. ERR_IO,
 * ERR_NOMEM.
 */
MUST_CHECK enum err segment_read(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);
/* Uncompresses if need be. ERR_CORRUPT. */
MUST_CHECK enum err segment_unpack(struct segment_reader *reader, const struct raw_record *record,
                                   struct bytes *ret_payload, struct why *why);
/* ERR_CORRUPT: not a commit record, or one with invalid fields. */
MUST_CHECK enum err commit_unpack(const struct raw_record *record, struct commit *ret_commit);

/*
 * Checks that the commit at `pos` is whole: its own record and all others up to its end.
 * ERR_CORRUPT: *ret_bad_pos is the first place that is not whole, and *ret_commit was written
 * unless that is `pos` itself.
 */
MUST_CHECK enum err segment_commit_whole(struct segment_reader *reader, uint64_t pos,
                                         uint64_t limit_pos, struct commit *ret_commit,
                                         uint64_t *ret_bad_pos, struct why *why);
/*
 * Finds the next whole record at or after `pos`. ERR_MISSING: none before `limit_pos`.
 */
MUST_CHECK enum err segment_find(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);

#endif
