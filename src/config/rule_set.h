/*
 * rule_set.h - all groups of rules that the configuration names: its patterns are expanded, and the
 * files read, at once and as a whole. A set does not change; a reload makes another.
 */
#ifndef CONFIG_RULE_SET_H
#define CONFIG_RULE_SET_H

#include "rules/rules.h"
#include "rules/settings.h"
#include "sys/env.h"

enum {
    RULE_SET_FILES_MAX = 10000,
    RULE_SET_TEXT_BYTES_MAX = 256 << 20, /* of all files */
    RULE_SET_GROUPS_MAX = 100000,
    RULE_SET_RULES_MAX = 1000000,
};

struct rule_set_tenant {
    const char *tenant; /* "" without tenancy */
    struct rule_group *groups;
    uint32_t group_count;
};

/* A pattern that names no file. */
struct unmatched_pattern {
    const char *tenant;
    const char *pattern;
    bool is_wild; /* else it is the path of one file, which is not there */
};

struct rule_set {
    struct arena *arena; /* has all of it; NULL: there are no rules */
    /* As the configuration has them; the groups of each in the order of its patterns, files by
     * name, groups as in their file. Of a file that several tenants have, they share the rules. */
    struct rule_set_tenant *tenants;
    uint32_t tenant_count;
    struct unmatched_pattern *unmatched;
    uint32_t unmatched_count;
    uint32_t file_count, group_count, rule_count; /* a file of several tenants counts once */
};

struct rule_set_options {
    struct env *env;
    struct budget *budget; /* of all that is taken but what libyaml takes; NULL: nobody's */
    /* Told each thing that is wrong with the files, a view, file after file; NULL: only the first
     * counts. */
    void (*tell)(void *context, struct bytes sentence);
    void *context;
};

/*
 * Finds and reads all files. A file that several patterns name is read once. A pattern that names
 * none is no error. `ret_set` is given, for rule_set_free(); after an error there is none.
 *
 * ERR_INPUT   a file is wrong: `why` has the first sentence, "FILE:LINE:COLUMN: ...".
 * ERR_IO ...  a file or directory that is there cannot be read: that is no reason for an alert to
 *             vanish. With these two `tell` was told all, of all files.
 * ERR_LIMIT   there is more than RULE_SET_..._MAX, or a file is larger than RULE_FILE_BYTES_MAX.
 * ERR_NOMEM
 */
MUST_CHECK enum err rule_set_read(const struct rule_settings *settings,
                                  const struct rule_set_options *options, struct rule_set *ret_set,
                                  struct why *why);
void rule_set_free(struct rule_set *set);

#endif
