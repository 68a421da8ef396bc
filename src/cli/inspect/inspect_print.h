/* inspect_print.h - prints results of an inspection as a report. */
#ifndef CLI_INSPECT_INSPECT_PRINT_H
#define CLI_INSPECT_INSPECT_PRINT_H

#include "cli/lib/report.h"
#include "tsdb/tsdb.h"

void inspect_print_remarks(struct report *report, const struct inspect_remarks *remarks);
void inspect_print_part(struct report *report, const struct inspect_part *part);
void inspect_print_segment(struct report *report, const struct inspect_segment *segment);
struct checkpoint_reader;
/* `rules` is the state of its rules; NULL if there is no such file, or it cannot be read. */
void inspect_print_dir(struct report *report, const struct inspect_dir *dir,
                       struct checkpoint_reader *rules);
void inspect_print_rules(struct report *report, struct checkpoint_reader *rules);

/* Prints 16 hex digits, as in the names of parts and segments. Returns `to`. */
char *inspect_number(uint64_t number, char to[17]);
/* Return the first or last time of a range; value_none() for an empty one. */
struct report_value inspect_first(struct time_range range);
struct report_value inspect_last(struct time_range range);
/* Values of a row: both times; and the numbers of floats, histograms and exemplars. */
#define INSPECT_RANGE(range) inspect_first(range), inspect_last(range)
#define INSPECT_KINDS(n)                                                \
    value_count((n)[LEDGER_FLOAT]), value_count((n)[LEDGER_HISTOGRAM]), \
        value_count((n)[LEDGER_EXEMPLAR])
/* Begin a table of the windows in parts, and print its rows for one part. */
void inspect_resolutions_table(struct report *report);
void inspect_resolutions_rows(struct report *report, const struct inspect_part_facts *part);
/* Prints these numbers as fields. */
void inspect_print_kinds(struct report *report, const uint64_t *counts);

#endif
