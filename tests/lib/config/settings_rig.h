/* settings_rig.h - settings by name, their values, and texts that they refuse. For tests. */
#ifndef LIB_CONFIG_SETTINGS_RIG_H
#define LIB_CONFIG_SETTINGS_RIG_H

#include "config/schema/text.h"
#include "lib/test.h"

struct settings settings_defaults(void);

/* Returns the setting of that name, which exists. */
const struct setting *setting_named(const char *name);

/* Returns the value of a setting as text, a view until the next call. */
const char *setting_shown(const struct settings *settings, const struct setting *setting);

/* Check that a text is read to this number; that it is refused with a reason and without effect. */
void check_setting_number(const char *name, const char *text, uint64_t expected);
void check_setting_refused(const char *name, const char *text);

#endif
