/*
 * warnings.h - what an answer lacks because it is damaged, a sentence for each
 * place, however often it was met.
 */
#ifndef BASE_WARNINGS_H
#define BASE_WARNINGS_H

#include "base/err.h"
#include "base/mem.h"

enum { WARNINGS_MAX = 16 }; /* are kept; of the rest only is said that there are some */

struct warnings {
    struct budget *budget;
    struct why *items; /* WARNINGS_MAX, made when the first one comes */
    uint32_t count;
    bool more;
};

void warnings_init(struct warnings *warnings, struct budget *budget);
void warnings_fini(struct warnings *warnings);
/* ERR_NOMEM: what is missing could not be told; the answer must fail. */
MUST_CHECK enum err warnings_add(struct warnings *warnings, const struct why *why);
/* NULL: there are no more. Valid until the end. */
const char *warnings_at(const struct warnings *warnings, uint32_t index);

#endif
