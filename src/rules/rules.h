/*
 * rules.h - recording and alerting rules, as files of Prometheus' format have them.
 *
 * Here is what a group is. Files are read by rules/load/rule_files.h, which knows YAML.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include "base/mem.h"
#include "base/texts.h"

enum rule_kind { RULE_RECORDING, RULE_ALERTING };

struct rule {
    enum rule_kind kind;
    const char *name; /* name of the recorded series, or of the alert */
    const char *expression;
    int64_t for_ms, keep_firing_for_ms; /* of alerts; 0 if not given */
    struct named_texts labels;          /* sorted by name; templates, if it is an alert */
    struct named_texts annotations;     /* sorted by name; templates */
    uint32_t line, column;              /* of the file, from 1 on, where the rule begins */
};

struct rule_group {
    const char *file; /* path as its pattern found it */
    const char *name;
    int64_t interval_ms;     /* 0: the default */
    int64_t query_offset_ms; /* valid with has_query_offset, else the default applies */
    bool has_query_offset;
    uint32_t limit;            /* limit of the series or alerts of a rule; 0: no limit */
    struct named_texts labels; /* labels of all rules; a rule's own labels take precedence */
    struct rule *rules;
    uint32_t rule_count;
    uint32_t line, column;
    uint64_t hash; /* hash of everything that the text says: groups with equal hashes are equal */
};

/* The groups of one file; all memory is in the arena. */
struct rule_groups {
    struct arena *arena;
    struct rule_group *items;
    uint32_t count;
};

enum {
    RULE_FILE_BYTES_MAX = 16 << 20,
    RULE_GROUPS_MAX = 10000, /* of a file */
    RULES_MAX = 100000,      /* of a group */
    RULE_TEXTS_MAX = 128,    /* labels, or annotations */
};

#endif
