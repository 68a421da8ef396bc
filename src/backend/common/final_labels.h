/*
 * final_labels.h - the labels of a series as a source gives it: what the other system has, with the
 * source's external labels, which win over those of the same name.
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
 * Appends them in canonical form. `fields`: label bytes in any order (wire/label_bytes.h), empty
 * values among them. ERR_CORRUPT: they cannot be the labels of a series; ERR_LIMIT: they are too
 * many; ERR_NOMEM.
 */
MUST_CHECK enum err final_labels_put(const struct external_labels *external, struct bytes fields,
                                     struct buf *to, struct why *why);
/* The same of `count` labels in an array, which is sorted. It has room for FINAL_LABELS_MAX. */
MUST_CHECK enum err final_labels_build(const struct external_labels *external, struct label *labels,
                                       uint32_t count, struct buf *to, struct why *why);

#endif
