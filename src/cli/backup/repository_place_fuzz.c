/* repository_place_fuzz.c - any text after s3:// as the address of a bucket: it is one, or refused
 * with a reason. What it says cannot be more than the keys of one bucket. */
#include <assert.h>
#include <stdlib.h>

#include "cli/bucket/bucket_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char scheme[] = "s3://";
    struct why why = {""};
    struct object_storage storage = {.given = false};
    if (size > 1 << 14) return 0;
    char *text = malloc(sizeof scheme + size);
    assert(text != NULL);
    memcpy(text, scheme, sizeof scheme - 1);
    if (size > 0) memcpy(text + sizeof scheme - 1, data, size);
    text[sizeof scheme - 1 + size] = '\0';
    enum err e = bucket_link_read(text, NULL, &storage, &why);
    if (e) {
        assert(why_text(&why, e)[0] != '\0');
    } else {
        const char *bucket = storage.store.u.archive.bucket;
        assert(bucket != NULL && storage.path == NULL && storage.type == OBJECTS_S3);
        assert(strncmp(bucket, text + sizeof scheme - 1, strlen(bucket)) == 0);
    }
    object_storage_free(&storage);
    free(text);
    return 0;
}
