/*
 * query_print.h - the answer of a query as text: a table, CSV, or JSON. Chart: chart.h.
 */
#ifndef CLI_QUERY_QUERY_PRINT_H
#define CLI_QUERY_QUERY_PRINT_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

enum query_form { QUERY_TABLE, QUERY_CSV, QUERY_JSON };

/* `to` is borrowed; when it cannot be written, calls are ERR_IO without a sentence. Given: its
 * end() and free(). */
MUST_CHECK enum err query_printer_new(enum query_form form, FILE *to, struct query_sink **ret_sink,
                                      struct why *why);

/* For all sinks: a line on stderr, after all that is on stdout. */
void query_note_print(struct query_sink *sink, enum promql_note kind, struct bytes sentence);

/* For those that people read: says so on stderr. */
void query_print_empty(void);

/* Writes what a buffer holds, and clears it. */
MUST_CHECK enum err query_print_out(struct buf *text, FILE *to, struct why *why);

#endif
