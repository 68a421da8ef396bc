/* check_rules.h - checks rule files, and compares the rules of a configuration with a server's. */
#ifndef CLI_RULES_CHECK_RULES_H
#define CLI_RULES_CHECK_RULES_H

#include "cli/lib/flags.h"
#include "config/lists/lists.h"

/* Prints how the rules and Alertmanagers of the file differ from those of a server. */
void check_rules_against(const struct config_lists *file, const struct rule_settings *rules,
                         const struct alerting *alerting);

/* `firekeep check rules`: argv[0] is "rules". Returns an exit code. */
int check_rules(int argc, char **argv);
/* The flags of `firekeep check rules`, for help. */
extern const struct flag check_rules_flags[];

#endif
