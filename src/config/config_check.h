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

struct series_rules;
struct tsdb_limits;
/* Gives the rules of retention of a configuration for a plan, see retention_rules_plan(). Nothing
 * changes. ERR_INPUT with file:line:column; ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK enum err config_retention_rules(const char *file_name, struct bytes text, int flag_count,
                                           char *const *flag_words, struct series_rules **ret_rules,
                                           struct why *why);
/* Gives the levels of downsampling of a configuration, with a reference to each of their
 * rules; other limits stay as they are. The same holds and the same errors are returned. */
MUST_CHECK enum err config_downsampling_levels(const char *file_name, struct bytes text,
                                               int flag_count, char *const *flag_words,
                                               struct tsdb_limits *ret_limits, struct why *why);

#endif
