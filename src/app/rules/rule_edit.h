/*
 * rule_edit.h - an edit of the ruler API: a reload of the stored groups only. Rule files are not
 * read, so a half-written file does not make the edit fail. The evaluated groups change once the
 * edit is durable.
 *
 * Threads: those that may reload, one at a time.
 */
#ifndef APP_RULES_RULE_EDIT_H
#define APP_RULES_RULE_EDIT_H

#include "app/rules/ruler.h"
#include "rules/stored/stored_file.h"

struct rule_editor {
    struct env *env;
    struct stored_rules *stored;
    struct ruler *ruler;
};

/*  The edit is durable and in force on return; after an error nothing changed. `ret_group` is the
 * name of the group, "" if it is unknown. Errors are those of edit_rules() in struct api_options
 * and of stored_rules_write(). ERR_INPUT also: a rule file has this group. */
MUST_CHECK enum err rule_edit(const struct rule_editor *editor, const struct settings *settings,
                              const struct rules_edit *edit, struct buf *reasons,
                              char ret_group[STORED_NAME_BYTES_MAX + 1], struct why *why);
/* Logs and counts the result. Any thread, without locks. `group` is the name that was set or
 * deleted. */
void rule_edit_log(const struct rule_editor *editor, const struct rules_edit *edit,
                   const char *group, enum err e, const struct why *why);

#endif
