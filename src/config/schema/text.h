/* text.h - parses and prints the value of one setting, and reads it from YAML. For config/ only. */
#ifndef CONFIG_SCHEMA_TEXT_H
#define CONFIG_SCHEMA_TEXT_H

#include "base/text/quote.h"
#include "config/config.h"
#include "wire/yaml/yaml_reader.h"

/* Puts `text` into its field. ERR_INPUT: `why` says what was expected and what was found,
 * without naming the setting; the field is unchanged. */
MUST_CHECK enum err setting_parse(const struct setting *setting, struct bytes text,
                                  struct settings *to, struct why *why);

/* Does the same for settings that are not texts; the number is returned instead of stored. */
MUST_CHECK enum err setting_parse_number(const struct setting *setting, struct bytes text,
                                         uint64_t *ret_number, struct why *why);

/* Describes a valid value: "a duration such as 90s or 1h30m". Cut to `size`. */
void setting_expected(const struct setting *setting, char *to, size_t size);

/* Returns the field as a number: 0 or 1, an index of the choices, milliseconds, bytes. Not for
 * texts. */
uint64_t setting_number(const struct setting *setting, const struct settings *from);
/* Returns the field of a text: a view that lives as long as `from`. */
const char *setting_text(const struct setting *setting, const struct settings *from);
/* Writes a number in the form of this setting. */
void setting_number_text(const struct setting *setting, uint64_t number, char *to, size_t size);

/* Writes the name as in a file: web.listen_address for web.listen-address. Returns `to`. */
char *setting_yaml_name(const struct setting *setting, char to[SETTING_TEXT_BYTES]);

/* --- values in YAML, read with wire/yaml/yaml_reader.h ---------------------------------------- */

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
