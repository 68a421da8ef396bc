/* inspect_print.h - prints results of an inspection as a report. */
#ifndef CLI_INSPECT_INSPECT_PRINT_H
#define CLI_INSPECT_INSPECT_PRINT_H

#include "cli/lib/report.h"
#include "tsdb/tsdb.h"

void inspect_print_part(struct report *report, const struct inspect_part *part);
void inspect_print_segment(struct report *report, const struct inspect_segment *segment);
struct checkpoint_reader;
/* `rules` is the state of its rules; NULL if there is no such file, or it cannot be read. */
void inspect_print_dir(struct report *report, const struct inspect_dir *dir,
                       struct checkpoint_reader *rules);
void inspect_print_rules(struct report *report, struct checkpoint_reader *rules);

#endif
