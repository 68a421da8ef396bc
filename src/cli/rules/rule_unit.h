/*
 * rule_unit.h - runs one unit test of rules: stores its series in memory, evaluates groups of rules
 * over them step by step, and compares the results with those expected. Verdicts are promtool's,
 * and so are the texts of failures for the same conditions.
 */
#ifndef CLI_RULES_RULE_UNIT_H
#define CLI_RULES_RULE_UNIT_H

#include "cli/rules/rule_tests.h"
#include "rules/group/group.h"

struct rule_unit_options {
    struct env *env;
    struct budget *memory; /* may be NULL */
    const char *file;      /* file of the test, for messages */
    int64_t evaluation_interval_ms;
    bool fuzzy_compare;
    /* In the order in which they are evaluated. */
    const struct rule_group *const *groups;
    uint32_t group_count;
    struct text_list wrong; /* errors of rule files: failures of the test */
    struct promql_features features;
    /* Called for each failure, with a view of several lines without the last line feed. */
    void (*fail)(void *context, struct bytes text);
    void (*warn)(void *context, const char *text);
    void *context;
};

/* ERR_NOMEM and ERR_LIMIT: the test is too large. */
MUST_CHECK enum err rule_unit_run(const struct rule_unit_options *options,
                                  const struct rule_test *test, struct why *why);

/* The first writes 1m30s as in files, the second as Go does. */
void put_duration(struct buf *to, int64_t ms);
void put_go_duration(struct buf *to, int64_t ms);
/* Writes the fewest digits that read back the same: 1.5E+00. */
void put_scientific(struct buf *to, double value);

#endif
