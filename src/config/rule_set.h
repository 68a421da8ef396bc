/*
 * rule_set.h - all groups of rules that the configuration names. Patterns are expanded and files
 * are read once, when the set is made. A set does not change; a reload makes another.
 */
#ifndef CONFIG_RULE_SET_H
#define CONFIG_RULE_SET_H

#include "config/lists/lists.h"
#include "rules/rules.h"
#include "sys/env.h"

enum {
    RULE_SET_FILES_MAX = 10000,
    RULE_SET_TEXT_BYTES_MAX = 256 << 20, /* all files together */
    RULE_SET_GROUPS_MAX = 100000,
    RULE_SET_RULES_MAX = 1000000,
};

struct rule_set_tenant {
    const char *tenant; /* "" without tenancy */
    struct rule_group *groups;
    uint32_t group_count;
};

/* A pattern without a matching file. */
struct unmatched_pattern {
    const char *tenant;
    const char *pattern;
    bool is_wild; /* false: it is the path of one file, which does not exist */
};

struct rule_set {
    struct arena *arena; /* owns the whole set; NULL: there are no rules */
    /*
     * In the order of the configuration. The groups of a tenant follow its patterns, then the names
     * of files, then the order in the file. Tenants that name the same file share its rules.
     */
    struct rule_set_tenant *tenants;
    uint32_t tenant_count;
    struct unmatched_pattern *unmatched;
    uint32_t unmatched_count;
    uint32_t file_count, group_count, rule_count; /* a file of several tenants counts once */
};

struct rule_set_options {
    struct env *env;
    struct budget *budget; /* for all memory but that of libyaml; may be NULL */
    /* Called for every error in the files, in order, with a view of the sentence, which shows the
     * place of an error in an expression. NULL: only the first error counts. */
    void (*report)(void *context, struct bytes sentence);
    void *context;
};

/*
 * Finds and reads all files. A file that several patterns name is read once. A pattern without a
 * match is not an error. `ret_set` is given, for rule_set_free(); it is not set on an error.
 *
 * ERR_INPUT   a file is invalid: `why` has the first sentence, "FILE:LINE:COLUMN: ...".
 * ERR_IO ...  an existing file or directory cannot be read: its alerts must not vanish because of
 *             that. With these two, `report` was called for all errors of all files.
 * ERR_LIMIT   a limit RULE_SET_..._MAX or RULE_FILE_BYTES_MAX is exceeded.
 * ERR_NOMEM
 */
MUST_CHECK enum err rule_set_read(const struct rule_settings *settings,
                                  const struct rule_set_options *options, struct rule_set *ret_set,
                                  struct why *why);
void rule_set_free(struct rule_set *set);

/* Returns the paths that match a pattern, copied into the arena and ordered by name; not all need
 * to exist. ERR_LIMIT: more than RULE_SET_FILES_MAX; ERR_NOMEM; errors of file_pattern_expand(). */
MUST_CHECK enum err rule_paths_find(struct env *env, const char *pattern, struct arena *arena,
                                    struct text_list *ret_paths, struct why *why);

#endif
