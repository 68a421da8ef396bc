/* destinations_private.h - what `firekeep destinations` was asked; for destinations*.c only. */
#ifndef CLI_DESTINATIONS_DESTINATIONS_PRIVATE_H
#define CLI_DESTINATIONS_DESTINATIONS_PRIVATE_H

#include "cli/lib/report.h"
#include "config/lists/lists.h"

struct destinations_asking {
    const char *config_file;
    const char *storage;
    const char *from_word;
    int form;        /* enum report_form; -1: it was not said */
    uint64_t shards; /* 0: it was not said */
    bool write;

    struct settings settings;
    struct config_lists lists;
    const struct destination_settings *destination; /* the one of that name */
    struct budget memory;
    struct report *report;
};

/* `test` and `plan`. `ret_well`: all that was tried works, all of the store could be read. */
MUST_CHECK enum err destinations_try(struct destinations_asking *asking, bool *ret_well,
                                     struct why *why);
MUST_CHECK enum err destinations_plan(struct destinations_asking *asking, bool *ret_well,
                                      struct why *why);
/* `reset`: needs no configuration. */
MUST_CHECK enum err destinations_reset(const struct destinations_asking *asking, const char *name,
                                       struct why *why);

#endif
