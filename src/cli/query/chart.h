/* chart.h - prints the result of a query as a line chart of characters. */
#ifndef CLI_QUERY_CHART_H
#define CLI_QUERY_CHART_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

struct chart_options {
    FILE *to;
    uint32_t width; /* the terminal's, in characters; small values are raised to a minimum */
    uint32_t height;
    bool is_range; /* the axis extends from first to last */
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* a range query's; otherwise 0 */
    int64_t gap_ms;  /* points further apart than this are not joined */
};

/* The sink is given; its end() prints the chart. begin() returns ERR_INPUT for results of one
 * time. */
MUST_CHECK enum err chart_new(const struct chart_options *options, struct query_sink **ret_sink,
                              struct why *why);

/* Returns columns and lines of the terminal at stdout, or those of the environment (COLUMNS,
 * LINES); 80 and 24 if neither is known. */
void chart_room(uint32_t *ret_width, uint32_t *ret_height);

#endif
