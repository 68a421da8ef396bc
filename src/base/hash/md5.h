/*
 * md5.h - MD5 (RFC 1321), which Kinesis asks for: to say which shard a key belongs to, and as
 * checksum of aggregated records; and S3, as checksum of what is uploaded. It protects nothing.
 * Many messages are hashed at once, four side by side: each step of one waits for the one before,
 * so four take little longer than one.
 */
#ifndef BASE_HASH_MD5_H
#define BASE_HASH_MD5_H

#include "base/bytes.h"

enum { MD5_BYTES = 16 };

/* A digest for each of `count` messages, of any length. */
void md5_many(const struct bytes *messages, size_t count, uint8_t (*ret_digests)[MD5_BYTES]);
static inline void
md5(struct bytes message, uint8_t ret_digest[MD5_BYTES])
{
    md5_many(&message, 1, (uint8_t(*)[MD5_BYTES])ret_digest);
}

/* One message that comes piece by piece: begin, add..., end. It may be copied in between. */
struct md5_stream {
    uint32_t state[4];
    uint64_t size; /* number of bytes that were added */
    uint8_t rest[64];
};
void md5_begin(struct md5_stream *stream);
void md5_add(struct md5_stream *stream, struct bytes piece);
void md5_end(struct md5_stream *stream, uint8_t ret_digest[MD5_BYTES]);

#endif
