/* sql_answer_fuzz.c - reads any bytes as a row of InfluxDB 3, of each of the three kinds. */
#include <stdlib.h>

#include "backend/influxdb/sql_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TAGS = 3 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sql_column column;
    struct sql_sample sample;
    struct sql_tag tags[TAGS];
    struct arena arena;
    arena_init(&arena, NULL, 1 << 24, 0);
    struct scan s = scan_of(bytes_of(data, size), &arena);
    sql_read_column(&s, &column);
    s = scan_of(bytes_of(data, size), &arena);
    uint32_t count = sql_read_tags(&s, TAGS, tags);
    if (count > TAGS) abort();
    for (uint32_t i = 0; i < count; i++) {
        if (tags[i].number >= TAGS) abort();
    }
    s = scan_of(bytes_of(data, size), &arena);
    sql_read_sample(&s, &sample);
    if (sample.whole && s.bad != NULL) abort();
    arena_fini(&arena);
    return 0;
}
