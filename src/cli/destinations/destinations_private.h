/* destinations_private.h - the request of `firekeep destinations`; for destinations*.c only. */
#ifndef CLI_DESTINATIONS_DESTINATIONS_PRIVATE_H
#define CLI_DESTINATIONS_DESTINATIONS_PRIVATE_H

#include "cli/lib/report.h"
#include "config/lists/lists.h"

struct destinations_command {
    const char *config_file;
    const char *storage;
    const char *from_word;
    int form;        /* enum report_form; -1: not given */
    uint64_t shards; /* 0: not given */
    bool write;

    struct settings settings;
    struct config_lists lists;
    const struct destination_settings *destination; /* with the name given */
    struct budget memory;
    struct report *report;
};

/* `test` and `plan`. `ret_well`: every test succeeded, or the whole store was readable. */
MUST_CHECK enum err destinations_try(struct destinations_command *command, bool *ret_well,
                                     struct why *why);
MUST_CHECK enum err destinations_plan(struct destinations_command *command, bool *ret_well,
                                      struct why *why);
/* `reset`, which needs no configuration. */
MUST_CHECK enum err destinations_reset(const struct destinations_command *command, const char *name,
                                       struct why *why);

#endif
