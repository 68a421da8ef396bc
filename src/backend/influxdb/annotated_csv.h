/*
 * annotated_csv.h - tables in annotated CSV, the responses of InfluxDB 2 to Flux:
 *
 *     #datatype,string,long,dateTime:RFC3339,double,string,string
 *     #group,false,false,false,false,true,true
 *     #default,_result,,,,,
 *     ,result,table,_time,_value,_measurement,job
 *     ,,0,2023-11-14T22:13:20Z,1,up,x
 *
 * A row of names comes after each block of annotations; an empty line ends a block. An error is a
 * block of its own, with the columns error and reference.
 *
 * A record (exchange.h) is a line, with the line feeds between its double quotes. CRLF is undone.
 */
#ifndef BACKEND_INFLUXDB_ANNOTATED_CSV_H
#define BACKEND_INFLUXDB_ANNOTATED_CSV_H

#include "base/mem.h"

enum { CSV_COLUMNS_MAX = 1100, CSV_NAMES_BYTES_MAX = 1 << 20 };

struct csv_column {
    struct bytes name;
    struct bytes type;     /* as annotated; empty if it is not */
    struct bytes fallback; /* the default, for an empty value */
};

struct csv_reading {
    struct csv_column columns[CSV_COLUMNS_MAX]; /* columns of the block, from the second field on */
    uint32_t column_count;
    bool named;         /* the row of names was read */
    bool is_error;      /* the block is an error */
    uint32_t blocks;    /* number of blocks whose names were read */
    struct arena texts; /* has the texts of the block's names and annotations */
    struct bytes cells[CSV_COLUMNS_MAX];
    uint32_t cell_count;
};

void csv_reading_init(struct csv_reading *reading, struct budget *budget);
void csv_reading_fini(struct csv_reading *reading);

enum csv_record { CSV_NOTHING, CSV_NAMES, CSV_ROW, CSV_ERROR };
/* Reads a record. CSV_ROW: there are as many cells as columns; CSV_ERROR: the first cell is the
 * sentence. Texts are views of the record, or of `scratch`. ERR_CORRUPT: it does not fit there;
 * ERR_NOMEM. */
MUST_CHECK enum err csv_read_record(struct csv_reading *reading, struct bytes record,
                                    struct arena *scratch, enum csv_record *ret_what,
                                    struct why *why);
/* The column of that name; column_count if there is none. */
uint32_t csv_find_column(const struct csv_reading *reading, const char *name);

#endif
