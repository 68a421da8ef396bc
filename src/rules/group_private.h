/* group_private.h - what the files of a group have in common. Private to rules/. */
#ifndef RULES_GROUP_PRIVATE_H
#define RULES_GROUP_PRIVATE_H

#include "base/lock.h"
#include "rules/group.h"
#include "rules/kept_series.h"

enum rule_health { RULE_UNKNOWN, RULE_GOOD, RULE_BAD };
enum { RULE_ERROR_BYTES_MAX = 4096 };

/* A rule, and what its last evaluation left. */
struct rule_at_work {
    const struct rule *text;
    struct promql_tree *tree;
    struct bytes line;    /* the expression as Prometheus prints it */
    struct label *labels; /* of the rule and of the group, by name */
    uint32_t label_count;
    uint32_t batch;            /* number of its batch; they rise */
    struct kept_series series; /* written at the last evaluation; the evaluating thread's */

    /* Guarded by group.lock. */
    struct alerts alerts;
    enum rule_health health;
    struct buf error; /* of the last evaluation; empty: none */
    int64_t evaluated_at_ns;
    int64_t evaluated_for_ns;
};

struct group {
    struct budget *memory;
    uint64_t seed;
    struct arena arena; /* of the text, and of what the rules have besides */
    struct bytes tenant;
    struct rule_group text;
    struct group_defaults defaults;
    struct schedule schedule;
    int64_t query_offset_ms;
    struct bytes marker; /* labels of RULES_EVALUATED */
    bool records;
    struct rule_at_work *rules;
    uint32_t batch_count;
    struct kept_series orphans; /* written by rules that are no more; the evaluating thread's */

    struct lock lock; /* LOCK_RANK_LEAF */
    struct group_facts facts;
};

enum { RULE_BATCH_MAX = 256 }; /* rules: all of them are compared with each other */
/* Gives each rule its batch; see depends.c. */
void group_make_batches(struct group *group);

#endif
