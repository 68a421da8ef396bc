/* config_check.h - checks a configuration that a client sends, beside the one in force. */
#ifndef CONFIG_CONFIG_CHECK_H
#define CONFIG_CONFIG_CHECK_H

#include "base/text/json.h"
#include "config/config.h"

/* All are borrowed for the call. */
struct config_check {
    const struct settings *now;
    struct bytes now_yaml; /* the configuration in force, as printed */
    int flag_count;
    char *const *flag_words;
    struct budget *budget;
};
/*
 * Writes an object: the errors of the text with their places, and without errors what a reload
 * would change. Nothing changes, and no file is read but that of web.config_file, if it is the one
 * in force. ERR_LIMIT: the text is too long; ERR_NOMEM.
 */
MUST_CHECK enum err config_check_print(const struct config_check *check, struct bytes text,
                                       struct json *to, struct why *why);

struct tsdb_limits;
/* Gives the rules of retention, see retention_rules_plan(), and of downsampling of a configuration
 * for a plan: in zeroed limits, for tsdb_limits_drop_rules(), also after an error. Nothing changes.
 * ERR_INPUT with file:line:column; ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err config_plan_rules(const char *file_name, struct bytes text, int flag_count,
                                      char *const *flag_words, struct tsdb_limits *ret_limits,
                                      struct why *why);

#endif
