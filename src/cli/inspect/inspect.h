/* inspect.h - prints results of an inspection as a report, and checks what the store does not
 * know. */
#ifndef CLI_INSPECT_INSPECT_H
#define CLI_INSPECT_INSPECT_H

#include "base/err.h"
#include "base/mem.h"
#include "cli/lib/report.h"
#include "sys/env.h"
#include "tsdb/tsdb.h"

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

/* Checks that the files of stored rules and of the rules' state are undamaged, and that the groups
 * are valid. ERR_NOMEM; ERR_IO: the directory cannot be read. An unreadable file is a finding. */
MUST_CHECK enum err verify_rules(const struct verify_rules_options *options,
                                 struct verify_rules_report *ret, struct why *why);

/*
 * Finds out whether this version can open a storage directory: opens the directory of a stopped
 * server for reading, and reads the states of its destinations and rules; changes nothing. Damage
 * is no error: a server starts with it.
 *
 * ERR_INPUT: not a storage directory; ERR_UNSUPPORTED: a newer version wrote something in it;
 * ERR_AGAIN: a running server has it open; ERR_NOMEM, ERR_IO.
 */
MUST_CHECK enum err check_storage(const char *dir, struct why *why);

struct checkpoint_reader;
void inspect_print_rules(struct report *report, struct checkpoint_reader *rules);

#endif
