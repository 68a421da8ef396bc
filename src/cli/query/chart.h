/*
 * chart.h - the answer of a query as a chart of lines, in characters.
 */
#ifndef CLI_QUERY_CHART_H
#define CLI_QUERY_CHART_H

#include <stdio.h>

#include "cli/lib/query_sink.h"

struct chart_options {
    FILE *to;
    uint32_t width; /* of the terminal, in characters; below some it is taken for more */
    uint32_t height;
    bool is_range; /* the axis goes from first to last */
    int64_t first_ms;
    int64_t last_ms;
    int64_t step_ms; /* of a range; else 0 */
    int64_t gap_ms;  /* points that are further apart are not joined */
};

/* Given: its end(), which prints it, and its free(). ERR_INPUT of begin(): a result of one
 * time. */
MUST_CHECK enum err chart_new(const struct chart_options *options, struct query_sink **ret_sink,
                              struct why *why);

/* Columns and lines of the terminal that stdout is, or as the environment says (COLUMNS, LINES);
 * 80 and 24 if neither is known. */
void chart_room(uint32_t *ret_width, uint32_t *ret_height);

#endif
