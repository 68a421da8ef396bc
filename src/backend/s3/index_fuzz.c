/* index_fuzz.c - reads any bytes as an index: it is refused, or comes back after it was
 * written again. */
#include <stdlib.h>

#include "backend/s3/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s3_index index;
    struct buf first, second;
    s3_index_init(&index, NULL);
    buf_init(&first, NULL, 8 * S3_INDEX_BYTES_MAX);
    buf_init(&second, NULL, 8 * S3_INDEX_BYTES_MAX);
    enum err e = s3_index_parse(&index, bytes_of(data, size));
    if (e != OK && e != ERR_INPUT && e != ERR_LIMIT && e != ERR_NOMEM) abort();
    if (e != OK && (index.count > 0 || index.names.places.count > 0)) abort();
    if (e == OK) {
        s3_index_print(&index, &first);
        bool fits = buf_error(&first) == OK && first.size <= S3_INDEX_BYTES_MAX;
        if (fits && s3_index_parse(&index, buf_bytes(&first)) != OK) abort();
        if (fits) s3_index_print(&index, &second);
        if (fits && !bytes_equal(buf_bytes(&first), buf_bytes(&second))) abort();
    }
    s3_index_fini(&index);
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
