/*
 * tenant_name.h - which names a tenant can have. Requests, settings and commands all ask here, so
 * what one of them stores another can reach.
 */
#ifndef MODEL_TENANT_NAME_H
#define MODEL_TENANT_NAME_H

#include "base/bytes.h"
#include "base/err.h"

enum { TENANT_NAME_BYTES_MAX = 150 };

/* ERR_INPUT: "expected a tenant name of at most ..., got 'a/b'"; the caller says where it stood. */
MUST_CHECK enum err tenant_name_check(struct bytes name, struct why *why);

/* Whether the size of a stored name is possible: earlier versions stored other bytes, too. */
static inline bool
tenant_name_fits(struct bytes name)
{
    return name.size > 0 && name.size <= TENANT_NAME_BYTES_MAX;
}

#endif
