/* query_print.h - prints the result of a query as a table, CSV, JSON or a chart, or its plan. */
#ifndef CLI_QUERY_QUERY_PRINT_H
#define CLI_QUERY_QUERY_PRINT_H

#include <stdio.h>

#include "cli/lib/query.h"

enum query_form { QUERY_TABLE, QUERY_CSV, QUERY_JSON };

/* The sink is given: call its end() and free(). `to` is borrowed; if it cannot be written, calls
 * return ERR_IO without a sentence. */
MUST_CHECK enum err query_printer_new(enum query_form form, FILE *to, struct query_sink **ret_sink,
                                      struct why *why);

/* Prints a note on stderr, after flushing stdout; for all sinks. */
void query_note_print(struct query_sink *sink, enum promql_note kind, struct bytes sentence);

/* Prints on stderr that the result is empty; for output that people read. */
void query_print_empty(void);

/* Writes the contents of a buffer, and clears it. */
MUST_CHECK enum err query_print_out(struct buf *text, FILE *to, struct why *why);

/* Prints the plan of a query as a table with a row for each operator. The sink takes the "data" of
 * the API's explain, or of analyze if `ran`. `to` is borrowed; the rest is as for
 * query_printer_new(). */
MUST_CHECK enum err plan_printer_new(FILE *to, bool ran, struct query_sink **ret_sink,
                                     struct why *why);

/* Prints the result as a line chart of characters. */
struct chart_options {
    FILE *to;
    uint32_t width; /* the terminal's, in characters; small values are raised to a minimum */
    uint32_t height;
    bool is_range; /* the axis extends from first to last */
    int64_t first_ms;
    int64_t last_ms;
    int64_t gap_ms; /* points further apart than this are not joined */
};

/* The sink is given; its end() prints the chart. begin() returns ERR_INPUT for results of one
 * time. */
MUST_CHECK enum err chart_new(const struct chart_options *options, struct query_sink **ret_sink,
                              struct why *why);

/* Returns columns and lines of the terminal at stdout, or those of the environment (COLUMNS,
 * LINES); 80 and 24 if neither is known. */
void chart_room(uint32_t *ret_width, uint32_t *ret_height);

#endif
