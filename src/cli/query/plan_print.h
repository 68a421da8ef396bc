/* plan_print.h - prints the plan of a query as a table with a row for each operator. */
#ifndef CLI_QUERY_PLAN_PRINT_H
#define CLI_QUERY_PLAN_PRINT_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

/* The sink takes the "data" of the API's explain, or of analyze if `ran`. `to` is borrowed; the
 * rest is as for query_printer_new(). */
MUST_CHECK enum err plan_printer_new(FILE *to, bool ran, struct query_sink **ret_sink,
                                     struct why *why);

#endif
