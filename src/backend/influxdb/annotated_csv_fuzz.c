/* annotated_csv_fuzz.c - reads any bytes as annotated CSV: each record is read or refused, and rows
 * have the columns of their table. */
#include <stdlib.h>

#include "backend/influxdb/annotated_csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct csv_reading reading;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena scratch;
    struct why why = {""};
    enum csv_record what = CSV_NOTHING;
    enum err e = OK;
    size_t at = 0;
    arena_init(&scratch, NULL, 1 << 24, 0);
    csv_reading_init(&reading, NULL);
    while (at < size && e == OK) {
        size_t end = at;
        for (bool quoted = false; end < size && (quoted || data[end] != '\n'); end++) {
            quoted ^= data[end] == '"';
        }
        arena_reset(&scratch);
        e = csv_read_record(&reading, bytes_of(data + at, end - at), &scratch, &what, &why);
        if (e == OK && what == CSV_ROW && reading.cell_count != reading.column_count) abort();
        at = end + 1;
    }
    if (e && why.text[0] == '\0') abort();
    csv_reading_fini(&reading);
    arena_fini(&scratch);
    return 0;
}
