/*
 * shards.h - the shards of a stream, and the shard of a partition key: the MD5 of a key is a number
 * of 128 bits, and each shard has a range of them.
 *
 *     kinesis_shards_begin() -> kinesis_shards_read() for each page of ListShards -> _end()
 *
 * Until _end() the old list stays in use. Threads: one, as for a writer.
 */
#ifndef BACKEND_KINESIS_SHARDS_H
#define BACKEND_KINESIS_SHARDS_H

#include "backend/settings.h"

enum {
    KINESIS_TOKEN_BYTES_MAX = 64 << 10,
    KINESIS_PAGE_SHARDS = 1000,
    KINESIS_PAGE_BYTES_MAX = 1 << 20, /* for the answer with a page */
};

struct kinesis_shards;
/* ERR_NOMEM. */
MUST_CHECK enum err kinesis_shards_new(struct budget *memory, struct kinesis_shards **ret_shards);
void kinesis_shards_free(struct kinesis_shards *shards);

/* Begins a new list, and drops an unfinished one. */
void kinesis_shards_begin(struct kinesis_shards *shards);
/*
 * Parses one page. Closed shards are skipped. `ret_token`: the token for the next page is appended;
 * nothing at the end. ERR_INPUT: not such a page; ERR_LIMIT: too many shards, or a token that is
 * too long; ERR_NOMEM.
 */
MUST_CHECK enum err kinesis_shards_read(struct kinesis_shards *shards, struct bytes answer,
                                        struct buf *ret_token, struct why *why);
/* Replaces the known list by the new one. ERR_AGAIN: its shards do not cover all keys without
 * overlap, which may happen briefly during a resharding. */
MUST_CHECK enum err kinesis_shards_end(struct kinesis_shards *shards, struct why *why);

/* Returns 0 if the shards are not known. */
uint32_t kinesis_shards_count(const struct kinesis_shards *shards);
/* Returns 0 if the shards are not known; the number changes whenever they do. */
uint32_t kinesis_shards_generation(const struct kinesis_shards *shards);
/* Returns the number of the key's shard, below the count; 0 if the shards are not known. */
uint32_t kinesis_shards_find(const struct kinesis_shards *shards, struct bytes key);
/* Returns the id of a shard: hash_bytes() of its text, with seed 0. */
uint64_t kinesis_shards_id(const struct kinesis_shards *shards, uint32_t shard);
/* True if a shard has this id. */
bool kinesis_shards_knows(const struct kinesis_shards *shards, uint64_t id);

#endif
