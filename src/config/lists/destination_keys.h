/*
 * destination_keys.h - the keys of a destination and their checks, as a schema of struct
 * destination_settings. For the files that read and print destinations.
 */
#ifndef CONFIG_LISTS_DESTINATION_KEYS_H
#define CONFIG_LISTS_DESTINATION_KEYS_H

#include "config/schema/typed_list.h"

extern const struct schema destination_schema;
extern const struct typed_list destinations_list;

#endif
