/*
 * rule_files.h - files of rules, as Prometheus has them.
 *
 *     groups:
 *     - name: node
 *       rules:
 *       - {record: "job:up:sum", expr: sum by (job) (up)}
 *
 * What is read, what is refused and how this differs from Prometheus: docs/rules.md.
 *
 * Threads: pure; any number at a time.
 */
#ifndef RULES_LOAD_RULE_FILES_H
#define RULES_LOAD_RULE_FILES_H

#include "base/buf.h"
#include "rules/rules.h"

struct rule_file_options {
    bool ignore_unknown_fields;
    /* Told each thing that is wrong with the text, a view, in the order of the file by group; NULL:
     * only the first counts. What is wrong with the YAML ends the reading, all else does not. */
    void (*tell)(void *context, struct bytes sentence);
    void *context;
};

/*
 * Reads the text of a file into `arena`, whose limit and budget bound all that is taken but what
 * libyaml takes, which the size of the text bounds. `file` is for sentences, and is copied. An
 * empty text has no groups. The arena may be used up in part when it fails.
 *
 * ERR_INPUT   something is wrong with it: `why` has the first sentence, cut to its size, which is
 *             "FILE:LINE:COLUMN: " and what; `tell` was told all.
 * ERR_LIMIT   longer than RULE_FILE_BYTES_MAX.
 * ERR_NOMEM   the arena is full, or an allocation was refused.
 */
MUST_CHECK enum err rule_file_parse(const char *file, struct bytes text,
                                    const struct rule_file_options *options, struct arena *arena,
                                    struct rule_groups *ret_groups, struct why *why);
/*
 * The same of a text that is one group, not a list of them, as the ruler API of Mimir takes it. It
 * must have rules. It lies in the arena, and its file is `file`.
 */
MUST_CHECK enum err rule_group_parse(const char *file, struct bytes text,
                                     const struct rule_file_options *options, struct arena *arena,
                                     struct rule_group *ret_group, struct why *why);

#endif
