/* query_print.h - prints the result of a query as a table, CSV, or JSON. chart.h prints charts. */
#ifndef CLI_QUERY_QUERY_PRINT_H
#define CLI_QUERY_QUERY_PRINT_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

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

#endif
