/*
 * plan.h - private to cli/: commands that show what rules of a configuration would change, from a
 * server or from a storage directory.
 */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include "base/buf.h"
#include "cli/lib/flags.h"
#include "cli/lib/report.h"
#include "model/series_rules.h"
#include "tsdb/tsdb.h"
#include "wire/json/json_tree.h"

enum { PLAN_TENANTS_BYTES = 1024, PLAN_TENANTS_MAX = 1000 };

struct rule_plan {
    /* Command line. */
    const char *url, *http_config_file, *storage;
    int form; /* -1: not given */
    const char *file;

    const struct rule_plan_kind *kind;
    struct budget memory;
    struct buf text; /* the content of the file */
    int64_t now_ms;  /* that ages count back from; INT64_MIN: not known */

    /* The rules, and an array of surveys; only for a directory. */
    struct series_rules *rules; /* of retention */
    struct tsdb_limits limits;  /* its levels */
    void *surveys;
    size_t surveys_bytes;
};

struct rule_plan_kind {
    const char *command;
    const char *route; /* of the admin API */
    const char *columns;
    enum err (*read)(struct rule_plan *plan, struct why *why); /* reads the rules of the file */
    enum err (*survey)(struct rule_plan *plan, struct tsdb *tsdb, struct query_control *control,
                       struct why *why);
    void (*report)(struct rule_plan *plan, struct report *report);
    void (*fini)(struct rule_plan *plan); /* frees what read() and survey() made, if they did */
    void (*report_answer)(struct report *report, const json_t *rule); /* one of a server */
};

extern const struct flag rule_plan_flags[];

int rule_plan_run(const struct rule_plan_kind *kind, int argc, char **argv);

/* Writes the names of a rule's tenants, or "all". */
void rule_plan_tenants(const struct series_rule *rule, char text[PLAN_TENANTS_BYTES]);

/* Return members of a rule of an answer. The texts live as long as the answer. */
uint64_t rule_plan_number(const json_t *rule, const char *key);
void rule_plan_rule(const json_t *x, struct series_rule *ret_rule,
                    const char *tenants[PLAN_TENANTS_MAX]);

#endif
