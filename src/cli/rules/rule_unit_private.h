/* rule_unit_private.h - the state of a unit test of rules. Private to rule_unit*.c. */
#ifndef CLI_RULES_RULE_UNIT_PRIVATE_H
#define CLI_RULES_RULE_UNIT_PRIVATE_H

#include "cli/rules/rule_unit.h"
#include "promql/testseries/notation.h"
#include "views/memory_store.h"
#include "wire/remote/remote_write.h"

enum {
    STEPS_MAX = 10000000,           /* 19 years of one step per minute */
    TEST_BYTES_MAX = 1 << 30,       /* for texts and expected results */
    TEST_TEXT_BYTES_MAX = 64 << 20, /* for a failure */
    LOOKBACK_MS = 5 * 60 * 1000
};

struct test_input;

struct testing {
    const struct rule_unit_options *options;
    const struct rule_test *test;
    struct budget *memory;
    struct arena arena;   /* lives as long as the test */
    struct arena scratch; /* lives as long as a step or a comparison */
    struct buf text;      /* the failure being written */
    struct why *why;

    struct memory_store *store;
    struct test_input *inputs;
    uint32_t input_count;
    bool input_refused; /* evaluation has ended */
    struct buf refusal;

    struct rw_request decoded;
    struct rules_host host;
    struct rules_terms terms;
    struct group **groups;
    uint32_t group_count;
};

/* Reports the failure in `text`, and clears it. */
enum err testing_fail(struct testing *t);
enum err testing_no_memory(struct testing *t);

/* --- rule_unit_input.c ------------------------------------------------------------------------ */

/* Reads the series. A series that cannot be parsed is a failure, and *ret_fine is false. */
MUST_CHECK enum err input_begin(struct testing *t, bool *ret_fine);
/* Stores the samples up to a time. If the store refuses one, none is stored, and that is a
 * failure. */
MUST_CHECK enum err input_until(struct testing *t, int64_t t_ms);

/* Stores results of a rule, as described by struct rules_host. */
MUST_CHECK enum err input_write(struct testing *t, struct bytes message, struct rules_written *ret,
                                struct why *why);

/* --- rule_unit_compare.c ---------------------------------------------------------------------- */

/* Compares the alerts that fire now. */
MUST_CHECK enum err compare_alerts(struct testing *t, const struct rule_test_alerts *expected);
MUST_CHECK enum err compare_expression(struct testing *t,
                                       const struct rule_test_expression *expected);

/* --- rule_unit_text.c ------------------------------------------------------------------------- */

/* Labels or annotations, by name. Values may be empty, and expected labels may have duplicate
 * names. */
struct label_list {
    const struct label *items;
    uint32_t count;
};
struct fired_alert {
    struct label_list labels, annotations;
};

int label_lists_compare(const struct label_list *a, const struct label_list *b);

void put_label_list(struct buf *to, const struct label_list *list);
/* The first writes 1m30s as in files, the second as Go does. */
void put_duration(struct buf *to, int64_t ms);
void put_go_duration(struct buf *to, int64_t ms);
/* Writes the fewest digits that read back the same: 1.5E+00. */
void put_scientific(struct buf *to, double value);
void put_alerts(struct buf *to, const struct fired_alert *alerts, uint32_t count);

#endif
