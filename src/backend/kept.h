/*
 * kept.h - examines what a type keeps in the destination's directory beside what the relay does,
 * while no server runs. Nothing is written.
 *
 * Threads: any.
 */
#ifndef BACKEND_KEPT_H
#define BACKEND_KEPT_H

#include "backend/settings.h"
#include "base/buf.h"
#include "sys/env.h"

enum kept_verdict {
    KEPT_HARMLESS, /* left over, or begun: nothing is lost with it */
    KEPT_UNKNOWN,  /* not of the type */
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

/* What waits there or, of a destination of type `file`, where it writes to. */
struct kept_waiting {
    uint64_t objects; /* of s3, that are not uploaded: their samples are queued */
    uint64_t object_bytes;
    uint64_t files;      /* that do not have their final names yet, as what was saved says; */
    uint64_t file_bytes; /* what they hold is delivered */
};
/*
 * `type` is whose `saved` it is; DESTINATION_TYPE_COUNT: not known. `say` is not called; a relay
 * may be at work. ERR_IO, ERR_NOMEM.
 */
MUST_CHECK enum err kept_wait(const struct kept_options *options, enum destination_type type,
                              struct kept_waiting *ret_waiting, struct why *why);

#endif
