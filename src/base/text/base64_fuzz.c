/* base64_fuzz.c - decodes any bytes as base64, which has exactly one text for the result; encodes
 * any bytes, and decodes the text. */
#include <stdlib.h>

#include "base/text/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes given = {data, size};
    struct buf bytes, text;
    buf_init(&bytes, NULL, size + 4);
    buf_init(&text, NULL, base64_size(size) + 4);
    if (base64_get(given, &bytes) == OK) {
        base64_put(&text, buf_bytes(&bytes));
        if (!bytes_equal(buf_bytes(&text), given)) abort();
    } else if (bytes.size != 0) {
        abort();
    }
    buf_clear(&text);
    buf_clear(&bytes);
    base64_put(&text, given);
    if (base64_get(buf_bytes(&text), &bytes) != OK) abort();
    if (!bytes_equal(buf_bytes(&bytes), given)) abort();
    buf_fini(&bytes);
    buf_fini(&text);
    return 0;
}
