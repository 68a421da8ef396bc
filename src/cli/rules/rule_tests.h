/*
 * rule_tests.h - parses files of unit tests of rules, in promtool's format.
 *
 *     rule_files: [rules.yml]
 *     tests:
 *     - interval: 1m
 *       input_series: [{series: 'up{job="a"}', values: 1 1 0x5}]
 *       alert_rule_test:
 *       - {alertname: Down, eval_time: 5m, exp_alerts: [{exp_labels: {job: a}}]}
 *
 * The texts of series, labels and expressions are not parsed. The format and its differences from
 * promtool: docs/rules.md.
 *
 * Threads: pure; any number at a time.
 */
#ifndef CLI_RULES_RULE_TESTS_H
#define CLI_RULES_RULE_TESTS_H

#include "base/mem.h"
#include "base/text/texts.h"

enum {
    RULE_TESTS_BYTES_MAX = 16 << 20,
    RULE_TESTS_VALUES_MAX = 5000000, /* with anchors, values count once for each alias */
    RULE_TESTS_NAMES_MAX = 1000      /* in a list of names, or of labels */
};

/* From 1 on. */
struct rule_test_place {
    uint32_t line, column;
};

/* Absent texts are "", absent times and durations 0. Names are sorted. */
struct rule_test_series {
    struct rule_test_place place;
    const char *series, *values;
};
struct rule_test_series_list {
    struct rule_test_series *items;
    uint32_t count;
};

struct rule_test_alert {
    struct named_texts labels, annotations;
};
struct rule_test_alert_list {
    struct rule_test_alert *items;
    uint32_t count;
};

/* The alerts with a name that are expected to fire at a time. */
struct rule_test_alerts {
    int64_t at_ms; /* from the beginning of the test */
    const char *alertname;
    struct rule_test_alert_list expected;
};
struct rule_test_alerts_list {
    struct rule_test_alerts *items;
    uint32_t count;
};

struct rule_test_sample {
    const char *labels;
    uint64_t bits;
    const char *histogram; /* "": the value is a float */
};
struct rule_test_sample_list {
    struct rule_test_sample *items;
    uint32_t count;
};

/* The expected result of an expression at a time. */
struct rule_test_expression {
    const char *expression;
    int64_t at_ms;
    struct rule_test_sample_list expected;
};
struct rule_test_expression_list {
    struct rule_test_expression *items;
    uint32_t count;
};

struct rule_test {
    struct rule_test_place place;
    const char *name;
    int64_t interval_ms; /* 0: the evaluation interval */
    int64_t start_ms;    /* Unix */
    struct rule_test_series_list input_series;
    struct rule_test_alerts_list alerts;
    struct rule_test_expression_list expressions;
    struct named_texts external_labels;
    const char *external_url;
};
struct rule_test_list {
    struct rule_test *items;
    uint32_t count;
};

/* The contents of a file; all of it lies in the arena. */
struct rule_tests {
    struct text_list rule_files; /* as written */
    int64_t evaluation_interval_ms;
    struct text_list group_eval_order;
    bool fuzzy_compare;
    struct rule_test_list tests;
};

/*
 * Parses the text of a file into `arena`, whose limit and budget bound all memory except that of
 * libyaml, which the size of the text bounds. An empty text has no tests.
 *
 * ERR_INPUT   the text is invalid: "FILE:LINE:COLUMN: ...".
 * ERR_LIMIT   longer than RULE_TESTS_BYTES_MAX.
 * ERR_NOMEM   the arena is full, or an allocation was refused.
 */
MUST_CHECK enum err rule_tests_parse(const char *file, struct bytes text, struct arena *arena,
                                     struct rule_tests *ret_tests, struct why *why);

/*
 * Returns the files that match the `patterns` of the test file `file`, relative to its directory,
 * without "." and "..", sorted by name within a pattern, without duplicates. The last element may
 * have wildcards (sys/paths.h). `unmatched` is called for patterns without a match.
 *
 * ERR_INPUT   a pattern is incomplete, or has wildcards in a directory.
 * ERR_LIMIT   more than RULE_SET_FILES_MAX for a pattern, or a path that is too long.
 * ERR_NOMEM; errors of env_listdir().
 */
struct env;
MUST_CHECK enum err rule_tests_find_files(struct env *env, const char *file,
                                          const struct text_list *patterns, struct arena *arena,
                                          void (*unmatched)(void *context, const char *pattern),
                                          void *context, struct text_list *ret_paths,
                                          struct why *why);

#endif
