/*
 * final_labels.h - the labels of a series in a source's answers: those of the other system, and the
 * source's external labels, which replace others of the same name.
 *
 * Threads: any, one buffer each.
 */
#ifndef BACKEND_COMMON_FINAL_LABELS_H
#define BACKEND_COMMON_FINAL_LABELS_H

#include "backend/settings.h"
#include "base/buf.h"
#include "base/err.h"
#include "model/labels.h"

enum { FINAL_LABELS_MAX = 1024 };

/* Borrowed from the settings. */
struct external_labels {
    const struct named_texts *texts;
};

/*
 * Appends the labels in canonical form. `fields`: label bytes in any order (wire/shape.h),
 * with empty values allowed. ERR_CORRUPT: invalid labels of a series; ERR_LIMIT: too many;
 * ERR_NOMEM.
 */
MUST_CHECK enum err final_labels_put(const struct external_labels *external, struct bytes fields,
                                     struct buf *to, struct why *why);
/* Does the same for `count` labels in an array, which is sorted, and must have room for
 * FINAL_LABELS_MAX. */
MUST_CHECK enum err final_labels_build(const struct external_labels *external, struct label *labels,
                                       uint32_t count, struct buf *to, struct why *why);

#endif
