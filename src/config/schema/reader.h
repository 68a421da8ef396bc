/*
 * reader.h - values of settings in YAML that wire/yaml/yaml_reader.h reads. Private to config/.
 */
#ifndef CONFIG_SCHEMA_READER_H
#define CONFIG_SCHEMA_READER_H

#include "config/schema/text.h"
#include "wire/yaml/yaml_values.h"

/*
 * Reads a value whose kind `shape` says, a number or a choice, and which is called `name`.
 * ERR_INPUT with the place and the name.
 */
MUST_CHECK enum err reader_number(struct config_reader *r, const struct setting *shape,
                                  const char *name, uint64_t *ret_number);
/* The same where there may be texts: into its field. */
MUST_CHECK enum err reader_setting(struct config_reader *r, const struct setting *setting,
                                   const char *name, struct settings *to);

#endif
