/*
 * access_checks.h - checks of texts and of combinations of keys of TLS, listeners and users:
 * functions for the rows of access_keys.c. Others are in shared_checks.h.
 */
#ifndef CONFIG_LISTS_ACCESS_ACCESS_CHECKS_H
#define CONFIG_LISTS_ACCESS_ACCESS_CHECKS_H

#include "base/table.h"
#include "config/lists/access/access_settings.h"
#include "config/schema/schema.h"

/* Kinds of texts that must be unique among all users, or listeners. */
enum unique_kind {
    UNIQUE_NAME,
    UNIQUE_TOKEN,
    UNIQUE_CERTIFICATE,
    UNIQUE_ACCESS_KEY,
    UNIQUE_ADDRESS
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

/* Adds a text of the entry that `place` is. `ret_line` is the line of an earlier entry with the
 * same text, or 0. ERR_NOMEM. */
MUST_CHECK enum err check_unique(struct schema_place *place, enum unique_kind kind,
                                 const char *text, uint32_t *ret_line);

/* Rules of one text, as in shared_checks.h. Errors about hashes and tokens do not show them. */
enum err check_cipher_suite(const char *text, struct why *why);
enum err check_curve(const char *text, struct why *why);
enum err check_answer_header(const char *text, struct why *why);
enum err check_listener_address(const char *text, struct why *why);
enum err check_user_name(const char *text, struct why *why);
enum err check_password_hash(const char *text, struct why *why);
enum err check_token_hash(const char *text, struct why *why);
enum err check_access_key_id(const char *text, struct why *why);
enum err check_tenant_pattern(const char *text, struct why *why);
enum err check_read_matcher(const char *text, struct why *why);
enum err check_written_label(const char *text, struct why *why);

/* Rules of mappings: `base` is the struct of their schema; the context is a struct root_context.
 * They also fill in paths, places and what follows from other keys. */
enum err check_tls_server(struct schema_place *place, void *base);
enum err check_http_server(struct schema_place *place, void *base);
enum err check_rate_limit(struct schema_place *place, void *base);
enum err check_listener(struct schema_place *place, void *base);
enum err check_web_file(struct schema_place *place, void *base);    /* a struct web_keys */
enum err check_access_root(struct schema_place *place, void *base); /* a struct access_keys */
enum err check_access_key(struct schema_place *place, void *base);
enum err check_jwt(struct schema_place *place, void *base);
enum err check_user(struct schema_place *place, void *base);

#endif
