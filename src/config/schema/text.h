/*
 * text.h - one setting's value as text: for config/ only.
 */
#ifndef CONFIG_SCHEMA_TEXT_H
#define CONFIG_SCHEMA_TEXT_H

#include "base/shown.h"
#include "config/config.h"

/*
 * Puts `text` into its field. ERR_INPUT: `why` says what was expected and what was found, without
 * naming the setting; the field is unchanged.
 */
MUST_CHECK enum err setting_parse(const struct setting *setting, struct bytes text,
                                  struct settings *to, struct why *why);

/* The same for what is no text, and into no field. */
MUST_CHECK enum err setting_parse_number(const struct setting *setting, struct bytes text,
                                         uint64_t *ret_number, struct why *why);

/* What a value looks like: "a duration such as 90s or 1h30m". Cut to `size`. */
void setting_expected(const struct setting *setting, char *to, size_t size);

/* The field as a number: 0 or 1, an index of the choices, milliseconds, bytes. Not for texts. */
uint64_t setting_number(const struct setting *setting, const struct settings *from);
/* The field if it is a text: a view that lives as long as `from`. */
const char *setting_text(const struct setting *setting, const struct settings *from);
/* A number as one would write it for this setting. */
void setting_number_text(const struct setting *setting, uint64_t number, char *to, size_t size);

/* web.listen-address as in a file, web.listen_address. Returns `to`. */
char *setting_yaml_name(const struct setting *setting, char to[SETTING_TEXT_BYTES]);

#endif
