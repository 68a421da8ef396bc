/* warnings.h - sentences about data that an answer lacks because it is damaged, each once. */
#ifndef BASE_WARNINGS_H
#define BASE_WARNINGS_H

#include "base/err.h"
#include "base/mem.h"

enum { WARNINGS_MAX = 16 }; /* kept; a last sentence says that there are more */

struct warnings {
    struct budget *budget;
    struct why *items; /* WARNINGS_MAX, allocated for the first one */
    uint32_t count;
    bool more;
};

void warnings_init(struct warnings *warnings, struct budget *budget);
void warnings_fini(struct warnings *warnings);
/* ERR_NOMEM: the warning is lost, so the answer must fail. */
MUST_CHECK enum err warnings_add(struct warnings *warnings, const struct why *why);
/* Returns a warning, valid until warnings_fini(); NULL after the last one. */
const char *warnings_at(const struct warnings *warnings, uint32_t index);

#endif
