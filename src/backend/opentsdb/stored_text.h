/*
 * stored_text.h - decodes the names and values that OpenTSDB stores, and finds the stored forms of
 * a text. Private to backend/opentsdb.
 *
 * A text that the destination or Prometheus' adapter would have written is decoded
 * (wire/point/opentsdb_point.h); any other text, which another program wrote, is itself. So a
 * stored text has one meaning, and a text has few stored forms, which are all searched.
 *
 * Threads: any; the functions have no state.
 */
#ifndef BACKEND_OPENTSDB_STORED_TEXT_H
#define BACKEND_OPENTSDB_STORED_TEXT_H

#include "base/buf.h"

/* Firekeep's, the adapter's, and the text itself. */
enum { STORED_FORMS_MAX = 3 };

/* Append the decoded metric name or tag value, and tag name. ERR_NOMEM. */
MUST_CHECK enum err stored_value_get(struct buf *to, struct bytes stored);
MUST_CHECK enum err stored_tag_get(struct buf *to, struct bytes stored);

/* Gets the forms in which a non-empty metric name or tag value may be stored: views of the text, or
 * of `room`, which is cleared. ERR_NOMEM. */
MUST_CHECK enum err stored_value_forms(struct bytes text, struct buf *room,
                                       struct bytes forms[STORED_FORMS_MAX], unsigned *ret_count);

/* Returns the number of first bytes of a text that are the same in all forms. */
size_t stored_plain_size(struct bytes text);

#endif
