/*
 * junit.h - writes results of tests as JUnit XML, which build servers read: each file of tests is a
 * suite. Threads: the owner's.
 */
#ifndef CLI_LIB_JUNIT_H
#define CLI_LIB_JUNIT_H

#include "base/buf.h"

struct junit {
    struct buf cases; /* in the open suite */
    struct buf done;  /* complete suites */
    uint32_t tests, failures, errors;
    bool in_case;
};

/* Allocates nothing. */
void junit_init(struct junit *junit, struct budget *budget);
void junit_fini(struct junit *junit);

/* Begins a case; the one before ends. */
void junit_case(struct junit *junit, const char *name);
/* Adds a failure to the current case. */
void junit_failure(struct junit *junit, struct bytes text);
/* Says that the suite could not be run. */
void junit_error(struct junit *junit, struct bytes text);
/* Closes the suite, which has all cases since the last one. `at_ms`: Unix time; INT64_MIN: it
 * did not begin. */
void junit_suite(struct junit *junit, const char *name, int64_t at_ms);
/* Appends the document. ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK enum err junit_put(const struct junit *junit, struct buf *to);

#endif
