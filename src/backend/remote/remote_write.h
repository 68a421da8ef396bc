/* remote_write.h - shared by the files of destination type `remote_write`. */
#ifndef BACKEND_REMOTE_REMOTE_WRITE_H
#define BACKEND_REMOTE_REMOTE_WRITE_H

#include "backend/common/http_common.h"

/* --- families.c: metadata kept for the series of 2.0, which carry it themselves --------------- */

struct families;
struct sent_family {
    enum metric_type type;
    struct bytes help;
    struct bytes unit;
};
MUST_CHECK enum err families_new(struct budget *memory, struct families **ret_families);
void families_free(struct families *families);
/* Stores the metadata of a family, and replaces the old. ERR_LIMIT: there is no room for another
 * family; ERR_NOMEM. */
MUST_CHECK enum err families_put(struct families *families, struct bytes tenant, struct bytes name,
                                 const struct sent_family *family);
/* Finds metadata by the name of a metric: the family itself, or one of its series ("_total",
 * "_bucket", ...). */
bool families_find(const struct families *families, struct bytes tenant, struct bytes metric,
                   struct sent_family *ret_family);

#endif
