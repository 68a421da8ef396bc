/* listing_fuzz.c - reads any bytes as a page of a bucket's listing: its content is bounded. */
#include <stdlib.h>

#include "backend/archive/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
check_object(void *context, const struct listed_object *o)
{
    (void)context;
    if (o->key[0] == '\0' || o->size > INT64_MAX) abort();
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char token[LISTING_TOKEN_BYTES];
    if (listing_read(bytes_of(data, size), check_object, NULL, token) == OK &&
        strlen(token) >= sizeof token)
        abort();
    return 0;
}
