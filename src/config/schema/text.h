/* text.h - parses and prints the value of one setting. For config/ only. */
#ifndef CONFIG_SCHEMA_TEXT_H
#define CONFIG_SCHEMA_TEXT_H

#include "base/text/quote.h"
#include "config/config.h"

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

#endif
