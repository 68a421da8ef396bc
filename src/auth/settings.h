/*
 * settings.h - the list `users` of the configuration and `basic_auth_users` of the file for
 * --web.config.file, as plain structs. docs/security.md explains the keys;
 * config/lists/access/access_settings.c reads them.
 *
 * Texts are NUL-terminated, live as long as the list, and are NULL if not given. Files are read by
 * auth/users.h, when the server starts and when they change.
 */
#ifndef AUTH_SETTINGS_H
#define AUTH_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text/texts.h"

/* Bits of a set: what a user may do, and what a listener lets in. docs/security.md lists the routes
 * of each. */
enum permission {
    PERMISSION_WRITE = 1,
    PERMISSION_READ = 2,
    PERMISSION_RULES = 4,
    PERMISSION_ADMIN = 8,    /* of the whole process */
    PERMISSION_METRICS = 16, /* of the whole process */
    PERMISSIONS_ALL = 31,
};

enum tenant_header {
    TENANT_HEADER_CHECK,  /* a tenant that the user may not use is refused */
    TENANT_HEADER_IGNORE, /* the user has one tenant, whatever the header says */
};

/* A key of AWS' kind, with which requests are signed. users.h describes the files. */
struct access_key_settings {
    const char *id;
    const char *secret_file;
    const char *session_token_file;
};

/* A token of this issuer with these claims signs in the user. */
struct jwt_settings {
    bool given;
    const char *issuer; /* discovered by OpenID Connect, without the next two */
    const char *jwks_file, *jwks_url;
    const char *ca_file;           /* for the issuer and jwks_url */
    struct text_list audience;     /* the token has one of them; at least one */
    struct named_texts claims;     /* each of them matches */
    const char *tenant_claim;      /* the tenants, of those that `tenants` allows */
    const char *permissions_claim; /* the permissions, of those in `permissions` */
};

enum { USERS_MAX = 10000 };
struct user_settings {
    uint32_t line, column; /* in the file, for messages; 0: of basic_auth_users */
    const char *name;
    const char *password;           /* a hash that password_hash_parse() accepts */
    struct text_list tokens;        /* SHA-256 of each, 64 hexadecimal digits in lower case */
    const char *client_certificate; /* the subject or a SAN of it */
    struct text_list iam_callers;   /* ARNs, and patterns with "*" */
    struct access_key_settings *access_keys;
    uint32_t access_key_count;
    struct jwt_settings jwt;

    unsigned permissions;     /* set of enum permission, not empty */
    struct text_list tenants; /* names, and patterns with "*"; empty: all */
    enum tenant_header tenant_header;
    struct text_list read_matchers;  /* alternatives: a series is visible if one of them matches */
    struct named_texts write_labels; /* of all series that the user writes */
};

/* Settings that say which of the requests that are signed for AWS are accepted. */
struct signing_settings {
    struct text_list services; /* in addition to aps and execute-api */
    const char *region;        /* NULL: any */
    const char *host;          /* NULL: any */
    bool unsigned_payload;     /* over TLS, the signature may leave out the body */
};

struct user_list {
    struct user_settings *items;
    uint32_t count;
    struct signing_settings signing;
};

#endif
