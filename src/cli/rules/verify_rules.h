/* verify_rules.h - checks that the files of stored rules and of the rules' state are undamaged,
 * and that the groups are valid. */
#ifndef CLI_RULES_VERIFY_RULES_H
#define CLI_RULES_VERIFY_RULES_H

#include "base/mem.h"
#include "sys/env.h"

struct verify_rules_options {
    struct env *env;
    const char *dir; /* storage directory */
    struct budget *memory;
    /* Called with a line for each finding. */
    void (*say)(void *context, const char *line);
    void *context;
};

struct verify_rules_report {
    uint64_t tenants; /* tenants with a file */
    uint64_t groups;
    uint64_t wrong; /* findings */
};

/* ERR_NOMEM; ERR_IO: the directory cannot be read. An unreadable file is a finding. */
MUST_CHECK enum err verify_rules(const struct verify_rules_options *options,
                                 struct verify_rules_report *ret, struct why *why);

#endif
