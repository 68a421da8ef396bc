/*
 * access_keys.h - the keys that say who may reach the server, and their rules, as schemas of the
 * structs in net/tls_settings.h, auth/settings.h and access_settings.h. For access_settings.c,
 * tests, and tests/tools/configuration.c.
 */
#ifndef CONFIG_LISTS_ACCESS_ACCESS_KEYS_H
#define CONFIG_LISTS_ACCESS_ACCESS_KEYS_H

#include "config/schema/schema.h"

extern const struct schema tls_server_schema;
/* Two parts of a struct http_server_settings. */
extern const struct schema http_server_schema;
extern const struct schema rate_limit_schema;
extern const struct schema listener_schema;
extern const struct schema user_schema;

/* The root of a file for web.config.file, a struct web_keys, and that of the configuration file, a
 * struct access_keys. The state of both is a struct access_reading. */
extern const struct schema web_file_schema;
extern const struct schema access_root_schema;

#endif
