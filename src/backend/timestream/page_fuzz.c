/* page_fuzz.c - reads any bytes as a page of an answer to a query: rows have as many cells as there
 * are columns, and errors have a reason. The first byte is the number of columns. */
#include <stdlib.h>

#include "backend/timestream/timestream_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
take_row(void *context, const struct bytes *cells, struct why *why)
{
    uint32_t columns = *(const uint32_t *)context;
    int64_t t_ms;
    uint8_t sum = 0;
    (void)why;
    for (uint32_t i = 0; i < columns; i++) {
        for (size_t k = 0; k < cells[i].size; k++)
            sum ^= cells[i].at[k];
        if (!timestream_time_read(cells[i], &t_ms)) continue;
        if (t_ms < -62135596800000 || t_ms > 253402300799999) abort();
    }
    return sum == 0x7f ? ERR_NOMEM : OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint32_t columns = data[0] % 8;
    const struct page_sink sink = {take_row, &columns};
    struct arena scratch;
    struct timestream_page page;
    struct why why = {""};
    arena_init(&scratch, NULL, 1 << 20, 0);
    page_init(&page, NULL);
    enum err e = page_read(&page, bytes_of(data + 1, size - 1), columns, &scratch, &sink, &why);
    if (e != OK && e != ERR_CORRUPT && e != ERR_NOMEM) abort();
    if (e == ERR_CORRUPT && why.text[0] == '\0') abort();
    page_fini(&page);
    arena_fini(&scratch);
    return 0;
}
