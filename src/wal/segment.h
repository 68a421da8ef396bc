/*
 * segment.h - private to wal/: segment files and the records in them, read and written. Format:
 * docs/format/wal.md.
 */
#ifndef WAL_SEGMENT_H
#define WAL_SEGMENT_H

#include "base/buf.h"
#include "wal/wal.h"

enum {
    SEGMENT_HEADER_BYTES = 1024, /* two copies, each in a sector of its own */
    SEGMENT_HEADER_COPY_BYTES = 512,
    RECORD_HEADER_BYTES = 16,
    COMMIT_PAYLOAD_BYTES = 80,
    COMMIT_RECORD_BYTES = RECORD_HEADER_BYTES + COMMIT_PAYLOAD_BYTES,
    FLAG_ZSTD = 1,
    FLAG_SKIPPABLE = 2,
    RECORD_VERSION = 1,
};

#define SEGMENT_POS_NONE UINT64_MAX

struct segment {
    uint64_t number;
    uint64_t base_pos;
    uint64_t prev_number;
    uint64_t prev_end_pos;
    uint64_t end_pos; /* what is behind is void; SEGMENT_POS_NONE: not known yet */
    uint64_t file_bytes;
    uint8_t log_id[WAL_LOG_ID_BYTES];
};

struct commit {
    uint64_t epoch;
    uint64_t durable_pos; /* known durable before this commit was written */
    uint64_t end_pos;
    int64_t realtime_ms;
    uint32_t record_count; /* behind the commit record */
    uint64_t totals_before[LEDGER_KIND_COUNT];
    uint32_t accepted[LEDGER_KIND_COUNT];
};

static inline size_t
record_size(size_t payload_size)
{
    return (RECORD_HEADER_BYTES + payload_size + 7) & ~(size_t)7;
}

MUST_CHECK enum err segment_path(char *to, size_t to_size, const char *dir, uint64_t number);
/* False if `name` is not that of a segment file. */
bool segment_name_parse(const char *name, uint64_t *ret_number);

void segment_header_pack(const struct segment *segment, int64_t made_ms, uint8_t *to);
/*
 * ERR_CORRUPT: no header of that number (being made when the machine stopped).
 * ERR_UNSUPPORTED: min_reader is beyond us; the versions are in `why`.
 */
MUST_CHECK enum err segment_header_unpack(struct bytes header, uint64_t number,
                                          struct segment *ret_segment, struct why *why);

/*
 * A file without a header of its number: was it merely being made (zeros, or the header of its
 * older life), or is it a segment whose header is damaged?
 */
MUST_CHECK enum err segment_is_blank(struct env *env, const char *path, uint64_t number,
                                     bool *ret_blank, struct why *why);

/* Writes header and checksum in front of a payload that stands at to + 16, and zeros behind it. */
void record_seal(uint8_t *to, size_t payload_size, uint8_t type, uint8_t flags, uint64_t number,
                 uint64_t pos);
void commit_pack(const struct commit *commit, uint8_t *payload);

/*
 * Finds all segments in `dir` and links them: sorted by number, ends filled in from the headers
 * that follow, void ones left out. `ret_segments` is given (mem_free with `budget`, capacity
 * ret_capacity).
 */
MUST_CHECK enum err segments_list(struct env *env, const char *dir, struct budget *budget,
                                  struct segment **ret_segments, uint32_t *ret_count,
                                  uint32_t *ret_capacity, uint32_t *ret_damaged_count,
                                  struct why *why);

/* --- reading ---------------------------------------------------------------------------------- */

/* Reads records of one segment through a window of the file. */
struct segment_reader {
    struct env *env;
    struct budget *budget;
    struct segment segment;
    struct file file;
    struct buf window; /* bytes of the file from window_offset */
    uint64_t window_offset;
    struct buf raw; /* an uncompressed payload */
};

void segment_reader_init(struct segment_reader *reader, struct env *env, struct budget *budget);
void segment_reader_fini(struct segment_reader *reader);
/* Opens (or changes to) a segment. */
MUST_CHECK enum err segment_reader_open(struct segment_reader *reader, const char *dir,
                                        const struct segment *segment, struct why *why);

/* A record's place and stored payload; the view ends with the next read. */
struct raw_record {
    uint64_t pos;
    uint64_t end_pos;
    uint8_t type;
    uint8_t flags;
    uint8_t version;
    struct bytes stored;
};

/* The record at `pos`, wholly before `limit_pos`. ERR_CORRUPT: there is none. ERR_IO, ERR_NOMEM. */
MUST_CHECK enum err segment_read(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);
/* Uncompresses if need be. ERR_CORRUPT. */
MUST_CHECK enum err segment_unpack(struct segment_reader *reader, const struct raw_record *record,
                                   struct bytes *ret_payload, struct why *why);
/* ERR_CORRUPT: no sensible commit record. */
MUST_CHECK enum err commit_unpack(const struct raw_record *record, struct commit *ret_commit);

/*
 * The whole commit at `pos`: its own record and all others up to its end are whole.
 * ERR_CORRUPT: not so; *ret_bad_pos is the first place that is not.
 */
MUST_CHECK enum err segment_commit_whole(struct segment_reader *reader, uint64_t pos,
                                         uint64_t limit_pos, struct commit *ret_commit,
                                         uint64_t *ret_bad_pos, struct why *why);
/* The next place at or behind `pos` where a record is whole. ERR_MISSING: none before `limit_pos`.
 */
MUST_CHECK enum err segment_find(struct segment_reader *reader, uint64_t pos, uint64_t limit_pos,
                                 struct raw_record *ret_record, struct why *why);

#endif
