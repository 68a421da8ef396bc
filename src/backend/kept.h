/*
 * kept.h - what a type of destination keeps in the destination's directory beside what the relay
 * does, looked at at rest. Nothing is written.
 *
 * Threads: any.
 */
#ifndef BACKEND_KEPT_H
#define BACKEND_KEPT_H

#include "base/buf.h"
#include "sys/env.h"

enum kept_verdict {
    KEPT_HARMLESS, /* left over, or begun: nothing is lost with it */
    KEPT_UNKNOWN,  /* nobody's */
    KEPT_DAMAGED,
};

struct kept_options {
    struct env *env;
    struct budget *memory;
    const char *dir;    /* the destination's */
    struct bytes saved; /* what its writer's save() gave last */
    bool has_saved;     /* false: that is not known */
    /* Is given each finding: the file with its path, and what is wrong with it. */
    void (*say)(void *context, enum kept_verdict verdict, const char *text);
    void *context;
};

/*
 * Looks at the file or directory of this name there. `ret_files`: how many files that are. What is
 * damaged is a finding, not an error: ERR_IO, ERR_NOMEM, ERR_LIMIT.
 */
MUST_CHECK enum err kept_examine(const struct kept_options *options, const char *name, bool is_dir,
                                 uint64_t *ret_files, struct why *why);

#endif
