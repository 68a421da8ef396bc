/*
 * multipart_fuzz.c - reads any bytes as a multipart form: the first line has the parameters of the
 * Content-Type. Fields are views of the body, in its order; reading ends.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/request/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *lf = size == 0 ? NULL : memchr(data, '\n', size);
    char type[200];
    if (lf == NULL || lf - data > 150 || memchr(data, '\0', (size_t)(lf - data)) != NULL) return 0;
    snprintf(type, sizeof type, "multipart/form-data%.*s", (int)(lf - data), (const char *)data);
    struct bytes body = bytes_of(lf + 1, size - (size_t)(lf + 1 - data));
    struct multipart m;
    struct why why;
    if (multipart_begin(&m, type, body, &why) != OK) return 0;
    const uint8_t *last = body.at;
    for (size_t count = 0; count <= body.size; count++) {
        struct bytes name, value;
        uint8_t plain[1024];
        if (multipart_next(&m, &name, &value, &why) != OK || value.at == NULL) return 0;
        assert(name.at >= last && name.at + name.size <= value.at);
        assert(value.at + value.size <= body.at + body.size);
        if (name.size <= sizeof plain) assert(multipart_unquote(name, plain) <= name.size);
        last = value.at + value.size;
    }
    assert(!"more fields than bytes");
    return 0;
}
