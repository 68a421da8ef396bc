/* series_named_fuzz.c - reads any bytes as a text that names series: as many are found as there is
 * room for, and among them those in our notation. */
#include <stdlib.h>

#include "backend/remote/series_named.h"
#include "model/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_own(struct series_named *named, const uint8_t *data, size_t size)
{
    struct buf labels, text, scratch;
    buf_init(&labels, NULL, 1 << 20);
    buf_init(&text, NULL, 4 << 20);
    buf_init(&scratch, NULL, 4 << 20);
    labels_put(&labels, (struct label){bytes_of_text("a"), bytes_of(data, size)});
    labels_print(&text, buf_bytes(&labels));
    series_named_read(named, buf_bytes(&text));
    if (!series_named_has(named, buf_bytes(&labels), &scratch)) abort();
    buf_fini(&labels);
    buf_fini(&text);
    buf_fini(&scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct series_named named;
    series_named_read(&named, bytes_of(data, size));
    if (named.count > SERIES_NAMED_MAX) abort();
    if (size > 0 && size < 10000) check_own(&named, data, size);
    return 0;
}
