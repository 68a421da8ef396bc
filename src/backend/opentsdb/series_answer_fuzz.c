/* series_answer_fuzz.c - reads any bytes as an answer with series: they are read, or refused with a
 * sentence, and each point belongs to a series. */
#include <stdlib.h>

#include "backend/opentsdb/opentsdb_reader.h"
#include "base/text/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
take_series(void *context, const struct opentsdb_series *series, struct why *why)
{
    (void)why;
    if (series->metric.size == 0 || series->tsuid.size == 0) abort();
    if (series->tag_count > OPENTSDB_TAGS_MAX) abort();
    for (size_t i = 0; i < series->tsuid.size; i++)
        if (hex_digit(series->tsuid.at[i]) < 0) abort();
    *(bool *)context = true;
    return OK;
}

static enum err
take_point(void *context, int64_t t_ms, uint64_t bits, struct why *why)
{
    (void)t_ms, (void)bits, (void)why;
    if (!*(bool *)context) abort();
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool has_series = false;
    const struct opentsdb_sink sink = {take_series, take_point, &has_series};
    struct arena scratch;
    struct why why = {""};
    arena_init(&scratch, NULL, 1 << 24, 0);
    enum err e = opentsdb_read_series(bytes_of(data, size), &scratch, &sink, &why);
    if (e && why.text[0] == '\0') abort();
    if (e != OK && e != ERR_CORRUPT && e != ERR_NOMEM) abort();
    arena_fini(&scratch);
    return 0;
}
