/*
 * access_keys.h - the keys that say who may reach the server, and their rules, as schemas of the
 * structs in net/tls_settings.h, auth/settings.h and lists.h. For access_settings.c, tests, and
 * tests/tools/configuration.c.
 */
#ifndef CONFIG_LISTS_ACCESS_ACCESS_KEYS_H
#define CONFIG_LISTS_ACCESS_ACCESS_KEYS_H

#include "base/table.h"
#include "config/lists/lists.h"

/* Kinds of texts that must be unique among all users, or listeners. */
enum unique_kind {
    UNIQUE_NAME,
    UNIQUE_TOKEN,
    UNIQUE_CERTIFICATE,
    UNIQUE_ACCESS_KEY,
    UNIQUE_ADDRESS,
};

struct unique_text {
    enum unique_kind kind;
    uint32_t line; /* of the entry that has it */
    const char *text;
};

/* The state of a reading, see struct root_context. Zeroed, it is empty. */
struct access_reading {
    const struct web_keys *elsewhere; /* of the configuration file, while another one is read */
    const char *elsewhere_name;
    struct table table; /* of `seen`, with ids that are indexes */
    struct unique_text *seen;
    uint32_t seen_count;
};
void access_reading_fini(struct access_reading *reading);

enum err check_password_hash(const char *text, struct why *why);

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
