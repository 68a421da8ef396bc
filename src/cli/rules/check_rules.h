/* check_rules.h - checks rule files. */
#ifndef CLI_RULES_CHECK_RULES_H
#define CLI_RULES_CHECK_RULES_H

#include "cli/lib/flags.h"

/* `firekeep check rules`: argv[0] is "rules". Returns an exit code. */
int check_rules(int argc, char **argv);
/* The flags of `firekeep check rules`, for help. */
extern const struct flag check_rules_flags[];

#endif
