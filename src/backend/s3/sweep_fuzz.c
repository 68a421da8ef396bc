/* sweep_fuzz.c - reads any bytes as a page of uploads: it is refused, or all its texts
 * are complete. */
#include <stdlib.h>

#include "backend/s3/delivery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
check_upload(void *context, const char *key, const char *id)
{
    unsigned *count = context;
    size_t key_size = strlen(key), id_size = strlen(id);
    if (key_size == 0 || key_size > S3_KEY_BYTES_MAX) abort();
    if (id_size == 0 || id_size >= S3_SWEEP_ID_BYTES) abort();
    return ++*count < 1000 ? OK : ERR_LIMIT;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_uploads_page page;
    unsigned count = 0;
    enum err e = s3_uploads_read(bytes_of(data, size), check_upload, &count, &page);
    if (e != OK && e != ERR_INPUT && e != ERR_LIMIT && e != ERR_NOMEM) abort();
    if (e == OK && strlen(page.next_key) > S3_KEY_BYTES_MAX) abort();
    if (e == OK && strlen(page.next_id) >= S3_SWEEP_ID_BYTES) abort();
    return 0;
}
