/* about_fuzz.c - reads any bytes as a file of the index: they are refused, or give parts that lie
 * in the object. */
#include <stdlib.h>

#include "backend/archive/scan.h"
#include "base/fields.h"
#include "base/hash/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_file(struct bytes file)
{
    struct about about;
    struct about_identity identity = {bytes_of_text("k"), bytes_of_text("t"), 1000};
    about_init(&about, NULL);
    if (about_get(&about, &identity, file) == OK) {
        for (uint32_t i = 0; i < about.part_count; i++)
            if (about.parts[i].offset >= identity.size) abort();
        (void)about_may_have(&about, NULL);
    }
    about_fini(&about);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf framed;
    read_file(bytes_of(data, size));
    buf_init(&framed, NULL, 16 << 20); /* the same, with a right checksum */
    framed_begin(&framed);
    buf_put(&framed, "\1k\1t\xe8\7", 6);
    buf_put(&framed, data, size);
    framed_end(&framed, (const uint8_t *)"FKARCHIX", 2);
    if (buf_error(&framed) == OK) read_file(buf_bytes(&framed));
    buf_fini(&framed);
    return 0;
}
