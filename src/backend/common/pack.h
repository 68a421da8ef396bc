/*
 * pack.h - the text of files, objects and records: items as lines of NDJSON, packed and unpacked.
 *
 * Threads: one per packer or unpacker.
 */
#ifndef BACKEND_COMMON_PACK_H
#define BACKEND_COMMON_PACK_H

#include "backend/writer.h"
#include "wire/shape.h"

/* --- lines ------------------------------------------------------------------------------------ */

/* Returns the sample that an item is; of an exemplar, its value. */
struct labelled_sample item_sample(const struct item *item);

/* Appends the line with its line feed; an exemplar is a line of its own. Not for ITEM_METADATA.
 * A lack of room shows in buf_error(to), and leaves `to` unchanged. */
void item_ndjson_put(struct buf *to, const struct item *item);

/* Returns true if the line has the text in another form: a writer's maps(), for any writer. */
bool item_ndjson_maps(struct writer *writer, enum writer_mapped role, struct bytes text);
#define ITEM_NDJSON_MAPPED (WRITER_MAPPED_FLOAT | WRITER_MAPPED_HISTOGRAM)

/* --- packing ---------------------------------------------------------------------------------- */

/* Compresses pieces of memory into gzip members or zstd frames of their own, which may be
 * concatenated. */
struct packer;
/* ERR_NOMEM. */
MUST_CHECK enum err packer_new(enum compression compression, struct packer **ret_packer);
void packer_free(struct packer *packer);
/* Appends the compressed bytes. COMPRESSION_NONE copies. ERR_NOMEM, ERR_LIMIT: `to` is
 * unchanged. */
MUST_CHECK enum err pack(struct packer *packer, struct bytes from, struct buf *to);
/* Replaces the text by its compressed bytes, which are made in `packed`. ERR_NOMEM, ERR_LIMIT:
 * `text` is unchanged. */
MUST_CHECK enum err pack_in_place(struct packer *packer, struct buf *text, struct buf *packed);
/* Returns "", ".gz" or ".zst". */
const char *pack_suffix(enum compression compression);

/* --- unpacking -------------------------------------------------------------------------------- */

/* Reads the text of an object: plain, gzip of many members, zstd of many frames. The first bytes
 * determine the format, whatever the name. */
struct archive_unpacker;
/* ERR_NOMEM. */
MUST_CHECK enum err archive_unpacker_new(struct budget *budget,
                                         struct archive_unpacker **ret_unpacker);
void archive_unpacker_free(struct archive_unpacker *unpacker);

/* Begins an object, or a later part of one, which begins with a member, frame or line. */
void archive_unpacker_begin(struct archive_unpacker *unpacker);
/* Gives more bytes, which are borrowed until all of their text was taken. */
void archive_unpacker_give(struct archive_unpacker *unpacker, struct bytes packed);
/* Takes more text, a view until the next call; empty if more bytes are needed. ERR_CORRUPT: they
 * are damaged; ERR_NOMEM. */
MUST_CHECK enum err archive_unpacker_take(struct archive_unpacker *unpacker, struct bytes *ret_text,
                                          struct why *why);
/* Ends the object or part. ERR_CORRUPT: the last member or frame is truncated. */
MUST_CHECK enum err archive_unpacker_end(struct archive_unpacker *unpacker, struct why *why);
/* True if the text taken so far ends a member or frame, or is plain; *ret_bytes is its size in the
 * object. */
bool archive_unpacker_is_between(const struct archive_unpacker *unpacker, uint64_t *ret_bytes);
bool archive_unpacker_is_plain(const struct archive_unpacker *unpacker);

#endif
