/* rules.h - `firekeep check rules`; and for rules*.c the request of `firekeep rules`, and the rules
 * that it finds. */
#ifndef CLI_RULES_RULES_H
#define CLI_RULES_RULES_H

#include "cli/lib/flags.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "config/lists/lists.h"
#include "config/rule_set.h"
#include "rules/rules.h"

/* `firekeep check rules`: argv[0] is "rules". Returns an exit code. */
int check_rules(int argc, char **argv);
/* The flags of `firekeep check rules`, for help. */
extern const struct flag check_rules_flags[];

struct rules_command {
    struct target_options target; /* without the configuration if the target is a server */
    const char *config_file;
    const char *resume;
    struct flag_texts groups; /* names, or "FILE;NAME" */
    struct flag_time start, end;
    int64_t slice_ns; /* 0: not given, as below */
    uint64_t concurrency;
    bool overwrite;
    bool allow_approximate;
    int form;     /* enum report_form; -1: not given */
    char **files; /* rule files */
    uint32_t file_count;

    const atomic_bool *stop;
    struct progress progress;
    struct budget memory;
};

/* Returns true if --group selects the group, or is not given. */
bool rules_is_wanted(const struct rules_command *command, const char *file, const char *name);

/* The rules of a tenant: from files, and stored through the ruler API. */
struct found_rules {
    struct budget *memory;
    struct settings settings;
    struct config_lists lists;
    struct rule_set set;
    struct arena arena; /* for stored rules */
    struct rule_group *items;
    uint32_t count, capacity;
};
/* Collects the rules. `ret` is given, for rules_found_fini(), also after an error. ERR_INPUT:
 * invalid files, no rules, or a --group that names none; errors of the target. */
MUST_CHECK enum err rules_find(struct rules_command *command, struct target *target,
                               struct found_rules *ret, struct why *why);
void rules_found_fini(struct found_rules *found);

/* *ret_well: nothing failed, differs from stored samples, or was refused. */
MUST_CHECK enum err rules_replay(struct rules_command *command, struct target *target,
                                 bool *ret_well, struct why *why);

#endif
