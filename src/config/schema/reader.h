/*
 * reader.h - reads values of settings from YAML, with wire/yaml/yaml_reader.h. Private to config/.
 */
#ifndef CONFIG_SCHEMA_READER_H
#define CONFIG_SCHEMA_READER_H

#include "config/schema/text.h"
#include "wire/yaml/yaml_reader.h"

/* Reads a value, called `name` in messages, whose kind `shape` says: a number or a choice.
 * ERR_INPUT with the place and the name. */
MUST_CHECK enum err reader_number(struct config_reader *r, const struct setting *shape,
                                  const char *name, uint64_t *ret_number);
/* Does the same for a list [a, b] of choices, from its first event on: a bit for each. */
MUST_CHECK enum err reader_set(struct config_reader *r, const struct setting *shape,
                               const char *name, uint64_t *ret_bits);
/* Does the same for all kinds of settings; stores the value in its field. */
MUST_CHECK enum err reader_setting(struct config_reader *r, const struct setting *setting,
                                   const char *name, struct settings *to);

#endif
