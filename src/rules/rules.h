/*
 * rules.h - recording and alerting rules, as in files of Prometheus' format.
 *
 * Defines groups. rules/load/rule_files.h reads the files, which are YAML.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H

#include "base/mem.h"
#include "base/text/texts.h"

enum rule_kind { RULE_RECORDING, RULE_ALERTING };

struct rule {
    enum rule_kind kind;
    const char *name; /* name of the recorded series, or of the alert */
    const char *expression;
    int64_t for_ms, keep_firing_for_ms; /* for alerts; 0 if not given */
    struct named_texts labels;          /* sorted by name; templates for an alert */
    struct named_texts annotations;     /* sorted by name; templates */
    uint32_t line, column;              /* start of the rule in the file, from 1 on */
};

struct rule_group {
    const char *file; /* path as found by its pattern */
    const char *name;
    int64_t interval_ms;     /* 0: the default */
    int64_t query_offset_ms; /* valid with has_query_offset, else the default applies */
    bool has_query_offset;
    uint32_t limit;            /* limit of the series or alerts of a rule; 0: no limit */
    struct named_texts labels; /* labels of all rules; a rule's own labels take precedence */
    struct rule *rules;
    uint32_t rule_count;
    uint32_t line, column;
    uint64_t hash; /* hash of the whole text: groups with equal hashes are equal */
};

/* The groups of one file; all memory is in the arena. */
struct rule_groups {
    struct arena *arena;
    struct rule_group *items;
    uint32_t count;
};

enum {
    RULE_FILE_BYTES_MAX = 16 << 20,
    RULE_GROUPS_MAX = 10000, /* groups of a file */
    RULES_MAX = 100000,      /* rules of a group */
    RULE_TEXTS_MAX = 128,    /* labels, or annotations */
};

#endif
