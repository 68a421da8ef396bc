/*
 * shards.h - which shards a stream has, and to which of them a partition key belongs: the
 * MD5 of a key is a number of 128 bits, and each shard has a range of them.
 *
 *     kinesis_shards_begin() -> kinesis_shards_read() for each page of ListShards -> _end()
 *
 * Until _end() the old list is in force.   Threads: one, as a writer.
 */
#ifndef BACKEND_KINESIS_SHARDS_H
#define BACKEND_KINESIS_SHARDS_H

#include "backend/settings.h"

enum {
    KINESIS_TOKEN_BYTES_MAX = 64 << 10,
    KINESIS_PAGE_SHARDS = 1000,
    KINESIS_PAGE_BYTES_MAX = 1 << 20, /* of an answer with so many */
};

struct kinesis_shards;
/* ERR_NOMEM. */
MUST_CHECK enum err kinesis_shards_new(struct budget *memory, struct kinesis_shards **ret_shards);
void kinesis_shards_free(struct kinesis_shards *shards);

/* Forgets what was read of a list that was never ended. */
void kinesis_shards_begin(struct kinesis_shards *shards);
/*
 * One page. Shards that are closed are passed over. `ret_token`: appended, what the next page is to
 * be asked for with; nothing: there is none. ERR_INPUT: it is no such page; ERR_LIMIT: too many
 * shards, or too long a token; ERR_NOMEM.
 */
MUST_CHECK enum err kinesis_shards_read(struct kinesis_shards *shards, struct bytes answer,
                                        struct buf *ret_token, struct why *why);
/*
 * Takes what was read in place of what was known. ERR_AGAIN: those shards are not a stream's, one
 * after another from the first key to the last, as it may be for a moment while they change.
 */
MUST_CHECK enum err kinesis_shards_end(struct kinesis_shards *shards, struct why *why);

/* As if that many (1 to KINESIS_SHARDS_MAX) had been listed, of equal ranges. ERR_NOMEM. */
MUST_CHECK enum err kinesis_shards_suppose(struct kinesis_shards *shards, uint32_t count);

/* 0: not known yet. */
uint32_t kinesis_shards_count(const struct kinesis_shards *shards);
/* 0: none are known; another one whenever they are others than before. */
uint32_t kinesis_shards_generation(const struct kinesis_shards *shards);
/* The number of the key's shard, below the count; 0 if none are known. */
uint32_t kinesis_shards_find(const struct kinesis_shards *shards, struct bytes key);
/* A shard by its number: the hash of its id, as hash_bytes() has it with seed 0. */
uint64_t kinesis_shards_id(const struct kinesis_shards *shards, uint32_t shard);
/* Whether one of that hash is known. */
bool kinesis_shards_knows(const struct kinesis_shards *shards, uint64_t id);

#endif
