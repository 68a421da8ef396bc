/*
 * stored_text.h - names and values as they may stand in OpenTSDB, and what they mean here. Private
 * to backend/opentsdb.
 *
 * What our destination or Prometheus' adapter would have written is decoded
 * (wire/point/opentsdb_point.h); any other text, which another program wrote, stands for itself. So
 * each text that is stored means one text here, and a text here has few forms there: all are
 * searched.
 */
#ifndef BACKEND_OPENTSDB_STORED_TEXT_H
#define BACKEND_OPENTSDB_STORED_TEXT_H

#include "base/buf.h"

/* Ours, the adapter's, and the text itself. */
enum { STORED_FORMS_MAX = 3 };

/* Append what a metric name or tag value, and a tag name, mean. ERR_NOMEM. */
MUST_CHECK enum err stored_value_get(struct buf *to, struct bytes stored);
MUST_CHECK enum err stored_tag_get(struct buf *to, struct bytes stored);

/* The forms of a metric name or tag value that is not empty, in `room`, which is cleared, or the
 * text itself. ERR_NOMEM. */
MUST_CHECK enum err stored_value_forms(struct bytes text, struct buf *room,
                                       struct bytes forms[STORED_FORMS_MAX], unsigned *ret_count);

/* How many of the first bytes of a text are the same in all forms. */
size_t stored_plain_size(struct bytes text);

#endif
