/*
 * shared_keys.h - rows and checks that several tables of the configuration file share, and macros
 * to write tables. For files that have a table.
 *
 * A mapping with a struct of its own is named with BELOW(); its keys may be shared by several
 * parents, each with another offset. Keys that several structs have side by side, without a mapping
 * around them, cannot be shared like this: HTTP_KEYS and AWS_KEYS are macros. SECRET makes two rows
 * for one field, the value and its file, and a group allows only one of them.
 */
#ifndef CONFIG_LISTS_SHARED_KEYS_H
#define CONFIG_LISTS_SHARED_KEYS_H

#include "backend/settings.h"
#include "config/schema/schema.h"

#define KIB    ((uint64_t)1024)
#define MIB    (KIB * 1024)
#define GIB    (MIB * 1024)
#define TIB    (GIB * 1024)
#define PIB    (TIB * 1024)
#define SECOND ((uint64_t)1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)

#define AT(s, f)         .offset = offsetof(struct s, f), .size = sizeof((struct s *)0)->f
#define ITEMS(s, f, n)   .offset = offsetof(struct s, f), .count_offset = offsetof(struct s, n)
#define BELOW(s, f, in_) AT(s, f), .inner = &(in_)

/* At most one key of a group may be given in a mapping. */
enum key_group {
    GROUP_NONE,
    GROUP_AUTHORIZATION, /* keys that set this header */
    GROUP_USERNAME,
    GROUP_SECRET,
    GROUP_ACCESS_KEY,
    GROUP_SECRET_KEY,
    GROUP_SESSION_TOKEN,
    GROUP_STORE,
    GROUP_CERTIFICATE,
    GROUP_KEY,
    GROUP_CLIENT_CA,
    GROUP_JWKS,
};

/* Schemas of structs in backend/settings.h. */
extern const struct schema tls_schema;
extern const struct schema basic_auth_schema;
extern const struct schema authorization_schema;
extern const struct schema oauth2_schema;
extern const struct schema sigv4_schema;
extern const struct schema http_header_schema; /* of struct http_header_values */
/* An entry of a list, for struct relabel_spec of model/relabel.h. */
extern const struct schema relabel_schema;

/* A secret, and the key for a file that contains it. */
#define SECRET(name_, s, f, group_, types_, needs_, required_, help_)                  \
    {name_,                                                                            \
     SCHEMA_SECRET,                                                                    \
     AT(s, f),                                                                         \
     .group = (group_),                                                                \
     .types = (types_),                                                                \
     .needs = (needs_),                                                                \
     .required = (required_),                                                          \
     .help = (help_)},                                                                 \
    {                                                                                  \
        name_ "_file", SCHEMA_SECRET_FILE, AT(s, f),                                   \
            .group = (group_), .types = (types_), .needs = (needs_), .what = "a path", \
            .help = "file that contains the value; read each time it is needed"        \
    }

/* Keys of the struct http_settings `h` in a struct `s`, except for its headers. */
#define HTTP_KEYS(s, h, types_)                                                                   \
    {"tls_config",      SCHEMA_MAPPING, BELOW(s, h.tls, tls_schema),                              \
     .types = (types_), .quiet = true,  .help = "TLS settings for https"},                        \
        {"proxy_url",                                                                             \
         SCHEMA_TEXT,                                                                             \
         AT(s, h.proxy_url),                                                                      \
         .types = (types_),                                                                       \
         .check = check_proxy,                                                                    \
         .may_be_empty = true,                                                                    \
         .has_password = true,                                                                    \
         .what = "a URL",                                                                         \
         .help = "URL of the proxy; empty: no proxy; not set: the environment variables decide"}, \
    {                                                                                             \
        "no_proxy", SCHEMA_TEXT, AT(s, h.no_proxy),                                               \
            .types = (types_), .needs = "proxy_url",                                              \
            .help = "hosts to reach without the proxy, separated by commas"                       \
    }

#define HEADERS_KEY(s, h, types_, check_name_)                                       \
    {                                                                                \
        "headers", SCHEMA_NAMED_SECRETS, ITEMS(s, h.headers.items, h.headers.count), \
            .types = (types_), .max = 16, .check_name = (check_name_),               \
            .help = "additional headers; values are secrets"                         \
    }

/* Headers as in Prometheus, for the struct http_header_list `http_headers` in a struct `s`. */
#define HTTP_HEADERS_KEY(s)                                                                      \
    {                                                                                            \
        "http_headers", SCHEMA_NAMED_MAPPINGS, ITEMS(s, http_headers.items, http_headers.count), \
            .inner = &http_header_schema, .max = 16, .check_name = check_header_name,            \
            .help = "additional headers, with their values"                                      \
    }

/* Keys of Prometheus for HTTP requests that nothing here has. */
#define NO_PROXY_AND_TOKEN_KEYS                                                              \
    {"proxy_from_environment", "is not supported: without 'proxy_url' the environment "      \
                               "variables decide; remove it"},                               \
        {"proxy_connect_header", "is not supported"},                                        \
        {"bearer_token", "is not supported; use 'authorization' with 'credentials'"},        \
    {                                                                                        \
        "bearer_token_file", "is not supported; use 'authorization' with 'credentials_file'" \
    }

/* The key that sets the header Authorization, for the struct `f` in a struct `s`. */
#define BASIC_AUTH_KEY(s, f, types_)                                        \
    {                                                                       \
        "basic_auth", SCHEMA_MAPPING, BELOW(s, f, basic_auth_schema),       \
            .types = (types_), .group = GROUP_AUTHORIZATION, .quiet = true, \
            .help = "user name and password"                                \
    }
#define AUTHORIZATION_KEY(s, f, types_)                                     \
    {                                                                       \
        "authorization", SCHEMA_MAPPING, BELOW(s, f, authorization_schema), \
            .types = (types_), .group = GROUP_AUTHORIZATION, .quiet = true, \
            .help = "Authorization header, such as a bearer token"          \
    }
#define SIGV4_KEY(s, f, types_)                                                              \
    {                                                                                        \
        "sigv4", SCHEMA_MAPPING, BELOW(s, f, sigv4_schema),                                  \
            .types = (types_), .group = GROUP_AUTHORIZATION, .help = "sign requests for AWS" \
    }
#define OAUTH2_KEY(s, f, types_)                                            \
    {                                                                       \
        "oauth2", SCHEMA_MAPPING, BELOW(s, f, oauth2_schema),               \
            .types = (types_), .group = GROUP_AUTHORIZATION, .quiet = true, \
            .help = "OAuth 2.0 client credentials"                          \
    }

/* Keys of the struct aws_settings `a` in a struct `s`, except for its region. */
#define AWS_KEYS(s, a, types_)                                                                  \
    SECRET("access_key", s, a.access_key, GROUP_ACCESS_KEY, types_, "secret_key", false,        \
           "access key ID; default: from the environment, files, container or machine, as AWS " \
           "tools do"),                                                                         \
        SECRET("secret_key", s, a.secret_key, GROUP_SECRET_KEY, types_, "access_key", false,    \
               "secret access key"),                                                            \
        SECRET("session_token", s, a.session_token, GROUP_SESSION_TOKEN, types_, "access_key",  \
               false, "session token of temporary credentials"),                                \
        {"profile", SCHEMA_TEXT, AT(s, a.profile), .types = (types_),                           \
         .help = "profile in the AWS configuration files"},                                     \
        {"role_arn", SCHEMA_TEXT, AT(s, a.role_arn), .types = (types_),                         \
         .help = "ARN of a role to assume with these credentials"},                             \
    {                                                                                           \
        "external_id", SCHEMA_TEXT, AT(s, a.external_id),                                       \
            .types = (types_), .needs = "role_arn", .help = "external ID for assuming the role" \
    }

/* --- checks for rows of tables, and helpers for checks of their own --------------------------- */

/* Checks of one text. ERR_INPUT: a sentence without the key's name. ERR_NOMEM, ERR_LIMIT of what
 * is compiled. */
enum err check_entry_name(const char *text, struct why *why); /* of entries of lists */
enum err check_selector(const char *text, struct why *why);
enum err check_tenant(const char *text, struct why *why);
enum err check_header_name(const char *text, struct why *why);
/* For names of labels that Firekeep adds. */
enum err check_added_label(const char *text, struct why *why);
enum err check_region(const char *text, struct why *why);
enum err check_bucket(const char *text, struct why *why); /* for names of S3 buckets */
enum err check_prefix(const char *text, struct why *why); /* for prefixes of object names */
enum err check_stream(const char *text, struct why *why); /* of Kinesis */
enum err check_delivery_stream(const char *text, struct why *why);
/* check_url() requires http or https and a host, without user, password or fragment; check_proxy()
 * allows user and password, and an empty text. */
enum err check_url(const char *text, struct why *why);
enum err check_endpoint(const char *text, struct why *why);
enum err check_proxy(const char *text, struct why *why);
/* Sentences for checks, always ERR_INPUT: "expected WHAT, got 'TEXT'"; a header that cannot be
 * set. */
enum err refuse_text(struct why *why, const char *what, const char *text);
enum err refuse_header(const char *text, struct why *why);

/* Checks of mappings: `base` is the struct of their schema. */
enum err check_tls(struct schema_place *place, void *base);
enum err check_relabel(struct schema_place *place, void *base);

/*
 * Helper for the check of a mapping whose context is a struct root_context: checks `http_headers`,
 * and makes a header of each value, in the arena.
 */
enum err take_http_headers(struct schema_place *place, const struct http_header_list *list,
                           struct named_secrets *ret);

/*
 * Helpers for the check of an entry, whose context is a struct typed_context.
 *
 * check_headers() refuses headers that are set twice. `tenant_header` NULL: not given. `signer`
 * names what sets Authorization if no key does, or is NULL.
 */
enum err check_headers(struct schema_place *place, const struct named_secrets *headers,
                       const char *tenant_header, const char *signer);
/* Requires `tenants` if tenancy is on. `type` is the entry's, for messages; `ret_several`: there
 * may be more than one tenant. */
enum err check_tenants(struct schema_place *place, const struct text_list *tenants,
                       const char *type, bool *ret_several);
/* Checks the keys that a version of InfluxDB has and requires; readers need no organization. */
enum err check_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb,
                        bool has_organization);

#endif
