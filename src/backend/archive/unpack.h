/*
 * unpack.h - the text of an object: plain, gzip of many members, zstd of many frames. The first
 * bytes determine the format, whatever the name.
 *
 * Threads: one.
 */
#ifndef BACKEND_ARCHIVE_UNPACK_H
#define BACKEND_ARCHIVE_UNPACK_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"

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
