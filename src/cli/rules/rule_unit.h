/*
 * rule_unit.h - one unit test of rules: its series are put into memory, groups of rules are
 * evaluated over them step by step, and what is expected is compared with what is there. The
 * verdicts are promtool's, and so are the texts of failures, as far as they tell of the same.
 */
#ifndef CLI_RULES_RULE_UNIT_H
#define CLI_RULES_RULE_UNIT_H

#include "rules/group/group.h"
#include "rules/load/rule_tests.h"

struct rule_unit_options {
    struct env *env;
    struct budget *memory; /* may be NULL */
    const char *file;      /* the test's, to say where something stands */
    int64_t evaluation_interval_ms;
    bool fuzzy_compare;
    /* In the order in which they are evaluated. */
    const struct rule_group *const *groups;
    uint32_t group_count;
    struct text_list wrong; /* sentences about rules that cannot be read: failures of the test */
    struct promql_features features;
    bool diff; /* alerts that differ are shown side by side, in colours */
    /* Told each failure, a view of several lines without the last line feed. */
    void (*fail)(void *context, struct bytes text);
    /* Told all series as they are at the end, the same; NULL: they are of no interest. */
    void (*dump)(void *context, struct bytes text);
    void (*warn)(void *context, const char *text);
    void *context;
};

/* ERR_NOMEM and ERR_LIMIT: the test is too large. */
MUST_CHECK enum err rule_unit_run(const struct rule_unit_options *options,
                                  const struct rule_test *test, struct why *why);

#endif
