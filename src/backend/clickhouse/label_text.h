/* label_text.h - labels as a JSON object in a column of a table: in the canonical form of
 * wire/point/clickhouse_row.h, or as others write it. Private to backend/clickhouse. */
#ifndef BACKEND_CLICKHOUSE_LABEL_TEXT_H
#define BACKEND_CLICKHOUSE_LABEL_TEXT_H

#include "backend/common/final_labels.h"

/* Reads the labels of a series into an array with room for FINAL_LABELS_MAX: views of the texts or
 * of the arena. An empty text has no labels. `metric` is the first label, unless it is empty; a
 * member __name__ of the text is ignored. Numbers, true and false are read as texts, null as no
 * label. ERR_CORRUPT: it is not such an object; ERR_LIMIT: too many labels; ERR_NOMEM. */
MUST_CHECK enum err label_text_read(struct bytes metric, struct bytes text, struct arena *arena,
                                    struct label *labels, uint32_t *ret_count, struct why *why);

#endif
