/*
 * settings.h - rules in the configuration file, without the settings that are also flags.
 * docs/configuration.md explains every key; config/lists/rules/rule_settings.c reads them.
 */
#ifndef RULES_SETTINGS_H
#define RULES_SETTINGS_H

#include "base/mem.h"
#include "base/text/texts.h"

/* Rules of one tenant. */
struct tenant_rules {
    const char *tenant;     /* "" without tenancy */
    struct text_list given; /* patterns of paths, as in the file */
    struct text_list files; /* the same; relative paths resolved from the directory of the file */
};

/* The arena owns every text of it. */
struct rule_settings {
    struct arena *arena;
    struct named_texts given_labels;    /* global.external_labels, as in the file, sorted by name */
    struct named_texts external_labels; /* with environment variables expanded; none is empty */
    const char *unset_variable;         /* the first variable that is not set; NULL if all are */
    struct tenant_rules *tenants;       /* in the order of the file */
    uint32_t tenant_count;
};
void rule_settings_free(struct rule_settings *settings);

#endif
