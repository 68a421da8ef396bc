/* plan_print.h - the plan of a query as a table: a row for each operator. */
#ifndef CLI_QUERY_PLAN_PRINT_H
#define CLI_QUERY_PLAN_PRINT_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

/* Takes the API's "data" of explain, of what was `ran` or not; `to` is borrowed, and all else as
 * query_printer_new() has it. */
MUST_CHECK enum err plan_printer_new(FILE *to, bool ran, struct query_sink **ret_sink,
                                     struct why *why);

#endif
