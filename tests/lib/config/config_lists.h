/*
 * config_lists.h - checks that the tables of keys of the configuration file agree with texts. For
 * tests.
 */
#ifndef LIB_CONFIG_CONFIG_LISTS_H
#define LIB_CONFIG_CONFIG_LISTS_H

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/schema/schema.h"
#include "lib/texts.h"

/* Returns default settings, with tenancy or without. */
struct settings settings_with_tenancy(bool on);

/*
 * Returns the list `name` of docs/firekeep.example.yml without the '#' that begin its lines, up to
 * the next empty line. The caller frees it.
 */
char *example_list(const char *name);

/* A valid text with lists. */
struct list_text {
    const char *text;
    bool tenancy;
};

/* Checks that the table is consistent, and that the texts together give each key. */
void check_rows(const struct schema *schema, unsigned type_count, const struct list_text *whole,
                size_t text_count);

#endif
