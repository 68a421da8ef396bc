/* rows.h - private to part.c: the rows of a part, and the blocks they name. */
#ifndef TSDB_INSPECT_ROWS_H
#define TSDB_INSPECT_ROWS_H

#include "tsdb/inspect/private.h"

/*
 * Fills in everything that comes from rows, blocks and labels. `ret_counted`: floats and
 * histograms. Damage becomes remarks. ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err inspect_rows(const struct inspect_options *options, struct part *part,
                                 struct inspect_part *result, uint64_t *ret_counted,
                                 struct why *why);

#endif
