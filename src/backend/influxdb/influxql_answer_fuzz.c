/* influxql_answer_fuzz.c - reads any bytes as a line of InfluxDB 1's answers: it is read or
 * refused, and rows have as many cells as there are columns. */
#include <stdlib.h>

#include "backend/influxdb/influxdb_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err
take_series(void *context, struct influxql_series *series, struct why *why)
{
    (void)why;
    if (series->tag_count > INFLUXQL_TAGS_MAX) abort();
    *(uint32_t *)context = series->column_count;
    return OK;
}

static enum err
take_row(void *context, const struct influxql_cell *cells, uint32_t count, struct why *why)
{
    (void)why;
    if (count != *(uint32_t *)context) abort();
    for (uint32_t i = 0; i < count; i++)
        if (cells[i].kind == INFLUXQL_NUMBER && cells[i].text.size == 0) abort();
    return OK;
}

static enum err
take_statement(void *context, uint32_t statement, bool more, struct why *why)
{
    (void)context, (void)statement, (void)more, (void)why;
    return OK;
}

static enum err
take_error(void *context, struct bytes sentence, struct why *why)
{
    (void)context, (void)sentence;
    return why_set(why, ERR_IO, "it says no");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t columns = 0;
    const struct influxql_sink sink = {take_series, take_row, take_statement, take_error, &columns};
    struct arena scratch;
    struct why why = {""};
    arena_init(&scratch, NULL, 1 << 24, 0);
    enum err e = influxql_read_line(bytes_of(data, size), &scratch, &sink, &why);
    if (e && why.text[0] == '\0') abort();
    arena_fini(&scratch);
    return 0;
}
