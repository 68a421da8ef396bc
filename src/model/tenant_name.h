/* tenant_name.h - the rule for names of tenants. Requests, settings and commands share it, so that
 * each reaches the data of the others. */
#ifndef MODEL_TENANT_NAME_H
#define MODEL_TENANT_NAME_H

#include "base/bytes.h"
#include "base/err.h"

#define TENANT_LABEL "__tenant_id__" /* of series that are read for a list of tenants */
enum { TENANT_NAME_BYTES_MAX = 150 };

/* ERR_INPUT: "expected a tenant name of at most ..., got 'a/b'"; the caller says where it was
 * found. */
MUST_CHECK enum err tenant_name_check(struct bytes name, struct why *why);

/* True if a stored name can have this size: earlier versions also allowed other bytes. */
static inline bool
tenant_name_fits(struct bytes name)
{
    return name.size > 0 && name.size <= TENANT_NAME_BYTES_MAX;
}

/* Lists of names, "a|b": cuts off the first of `names`, whose view is NULL after the last one.
 * False then. */
bool tenants_next(struct bytes *names, struct bytes *ret_name);
/* Returns the first name. */
static inline struct bytes
tenants_first(struct bytes names)
{
    struct bytes name = names;
    (void)tenants_next(&names, &name);
    return name;
}

#endif
