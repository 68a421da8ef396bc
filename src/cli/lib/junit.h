/*
 * junit.h - results of tests as XML of JUnit, which build servers read: files of tests are suites.
 * Threads: the owner's.
 */
#ifndef CLI_LIB_JUNIT_H
#define CLI_LIB_JUNIT_H

#include "base/buf.h"

struct junit {
    struct buf cases; /* of the suite that is open */
    struct buf done;  /* suites */
    uint32_t tests, failures, errors;
    bool in_case;
};

/* Takes no memory yet. */
void junit_init(struct junit *junit, struct budget *budget);
void junit_fini(struct junit *junit);

void junit_case(struct junit *junit, const char *name);
/* Of the case at hand. */
void junit_failure(struct junit *junit, struct bytes text);
/* That the suite could not be run. */
void junit_error(struct junit *junit, struct bytes text);
/* What was told since the last suite is one. `at_ms`: Unix; INT64_MIN: it did not begin. */
void junit_suite(struct junit *junit, const char *name, int64_t at_ms);
/* Appends the whole. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err junit_put(const struct junit *junit, struct buf *to);

#endif
