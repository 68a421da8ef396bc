/*
 * rule_files_private.h - a group as written in its file, with the places of all fields.
 * rule_files.c reads it, rule_checks.c checks it.
 */
#ifndef RULES_LOAD_RULE_FILES_PRIVATE_H
#define RULES_LOAD_RULE_FILES_PRIVATE_H

#include "base/table.h"
#include "rules/load/rule_files.h"
#include "wire/yaml/yaml_values.h"

/* From 1 on; line 0: not given. */
struct rule_place {
    uint32_t line, column;
};

struct drafted_text {
    const char *name;
    const char *value;
    struct rule_place at;
};
struct drafted_texts {
    struct drafted_text *items;
    uint32_t count;
};

enum {
    DRAFT_FIELDS_MAX = 8,
    RULE_DRAFT_BYTES_MAX = 256 << 20, /* per group */
    RULE_DETAIL_BYTES_MAX = 4096,     /* for the message about an expression or a template */
    RULE_SENTENCE_BYTES_MAX = 8 * RULE_DETAIL_BYTES_MAX, /* with escapes, and more */
};

/* Places of the fields' values, in the order of their rows. */
struct rule_places {
    struct rule_place begin;
    struct rule_place of[DRAFT_FIELDS_MAX];
};

/* In the order of the rows in rule_files.c. */
enum {
    DRAFT_RECORD,
    DRAFT_ALERT,
    DRAFT_EXPR,
    DRAFT_FOR,
    DRAFT_KEEP_FIRING_FOR,
    DRAFT_LABELS,
    DRAFT_ANNOTATIONS
};
struct drafted_rule {
    struct rule_places places;
    const char *record, *alert, *expr; /* NULL: not given */
    int64_t for_ms, keep_firing_for_ms;
    struct drafted_texts labels, annotations;
};

enum {
    DRAFT_NAME,
    DRAFT_INTERVAL,
    DRAFT_LIMIT,
    DRAFT_QUERY_OFFSET,
    DRAFT_GROUP_LABELS,
    DRAFT_RULES
};
struct drafted_group {
    struct rule_places places;
    const char *name;
    int64_t interval_ms, query_offset_ms;
    uint32_t limit;
    struct drafted_texts labels;
    struct drafted_rule *rules;
    uint32_t rule_count;
};

struct rule_file {
    struct config_reader in;
    const struct rule_file_options *options;
    struct arena *arena;  /* for texts, and temporary memory of checks */
    bool is_group;        /* the text is a single group, which must have rules */
    struct arena scratch; /* for the rest of a draft; one group at a time */
    struct why *why;      /* has the first sentence, if error_count > 0 */
    uint32_t error_count;
    struct buf sentence;
    struct rule_groups groups;
    struct table names; /* indexes of groups by name */
};

/* Counts and reports an error. */
void rule_file_report(struct rule_file *f, struct bytes sentence);

/* Reports all errors of a group, and appends it to the groups. ERR_NOMEM. */
MUST_CHECK enum err rule_file_add_group(struct rule_file *f, const struct drafted_group *draft);

#endif
