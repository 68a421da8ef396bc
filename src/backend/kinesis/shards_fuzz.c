/* shards_fuzz.c - reads any bytes as a page of ListShards; shards that cover all keys have
 * each key once. */
#include <stdlib.h>

#include "backend/kinesis/kinesis.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_list(const struct kinesis_shards *shards)
{
    uint32_t count = kinesis_shards_count(shards);
    if (count == 0 || kinesis_shards_generation(shards) != 1) abort();
    for (uint8_t key = 0; key < 16; key++) {
        uint32_t shard = kinesis_shards_find(shards, bytes_of(&key, 1));
        if (shard >= count) abort();
        if (!kinesis_shards_knows(shards, kinesis_shards_id(shards, shard))) abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kinesis_shards *shards;
    struct buf token;
    struct why why = {""};
    if (kinesis_shards_new(NULL, &shards) != OK) abort();
    buf_init(&token, NULL, KINESIS_TOKEN_BYTES_MAX);
    kinesis_shards_begin(shards);
    enum err e = kinesis_shards_read(shards, bytes_of(data, size), &token, &why);
    if (e) {
        if ((e != ERR_INPUT && e != ERR_LIMIT) || why.text[0] == '\0') abort();
    } else {
        e = kinesis_shards_end(shards, &why);
        if (e == OK)
            check_list(shards);
        else if (e != ERR_AGAIN || kinesis_shards_count(shards) != 0)
            abort();
    }
    buf_fini(&token);
    kinesis_shards_free(shards);
    return 0;
}
