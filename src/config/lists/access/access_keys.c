/*
 * access_keys.c - the tables of the keys that say who may reach the server, written like those of
 * destinations.c. Keys of Prometheus' file for --web.config.file have the names and defaults
 * that they have there.
 */
#include "config/lists/access/access_keys.h"

#include <inttypes.h>
#include <stdio.h>

#include "config/lists/access/access_checks.h"
#include "config/lists/shared_keys.h"

enum { PEM_BYTES_MAX = 512 * 1024 };

/* --- TLS -------------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct tls_server_settings, is_set) == 0, "the schema says given_first");
_Static_assert(offsetof(struct jwt_settings, given) == 0, "the schema says given_first");

#define TLS(f) AT(tls_server_settings, f)

static const char *const client_auth_words[] = {
    [TLS_CLIENT_NONE] = "NoClientCert",
    [TLS_CLIENT_REQUEST] = "RequestClientCert",
    [TLS_CLIENT_REQUIRE_ANY] = "RequireAnyClientCert",
    [TLS_CLIENT_VERIFY_IF_GIVEN] = "VerifyClientCertIfGiven",
    [TLS_CLIENT_REQUIRE] = "RequireAndVerifyClientCert",
};
enum { CLIENT_AUTH_COUNT = sizeof client_auth_words / sizeof *client_auth_words };

static bool
parse_client_auth(struct bytes text, void *base)
{
    struct tls_server_settings *tls = base;
    if (bytes_equal_text(text, "RequireClientCert")) { /* Prometheus' older name */
        tls->client_auth = TLS_CLIENT_REQUIRE_ANY;
        return true;
    }
    for (unsigned i = 0; i < CLIENT_AUTH_COUNT; i++) {
        if (!bytes_equal_text(text, client_auth_words[i])) continue;
        tls->client_auth = (enum tls_client_auth)i;
        return true;
    }
    return false;
}

static void
print_client_auth(const void *base, char *to, size_t size)
{
    const struct tls_server_settings *tls = base;
    snprintf(to, size, "%s", client_auth_words[tls->client_auth]);
}

#define TLS_VERSIONS "TLS10|TLS11|TLS12|TLS13"

static const struct schema_key tls_server_keys[] = {
    {"cert_file", SCHEMA_TEXT, TLS(cert_file), .is_path = true, .group = GROUP_CERTIFICATE,
     .needs = "key_file", .what = "a path",
     .help = "PEM file with the server's certificate and those of its issuers"},
    {"cert", SCHEMA_TEXT, TLS(cert), .as_prometheus = true, .group = GROUP_CERTIFICATE,
     .needs = "key_file", .max = PEM_BYTES_MAX, .any_control = true, .what = "PEM",
     .help = "the certificates themselves"},
    {"key_file", SCHEMA_TEXT, TLS(key_file), .is_path = true, .group = GROUP_KEY,
     .needs = "cert_file", .what = "a path", .help = "PEM file with the key of the certificate"},
    {"key", SCHEMA_TEXT, TLS(key), .as_prometheus = true, .group = GROUP_KEY, .needs = "cert_file",
     .max = PEM_BYTES_MAX, .any_control = true, .is_secret = true, .what = "PEM",
     .help = "the key itself"},
    {"client_auth_type", SCHEMA_OWN, TLS(client_auth), .as_prometheus = true,
     .fallback = "NoClientCert", .parse = parse_client_auth, .print = print_client_auth,
     .what = "one of NoClientCert, RequestClientCert, RequireAnyClientCert, "
             "VerifyClientCertIfGiven, RequireAndVerifyClientCert",
     .help = "whether clients are asked for a certificate, and whether it is verified"},
    {"client_ca_file", SCHEMA_TEXT, TLS(client_ca_file), .as_prometheus = true, .is_path = true,
     .group = GROUP_CLIENT_CA, .what = "a path",
     .help = "PEM file with the CA certificates of clients"},
    {"client_ca", SCHEMA_TEXT, TLS(client_ca), .as_prometheus = true, .group = GROUP_CLIENT_CA,
     .max = PEM_BYTES_MAX, .any_control = true, .what = "PEM",
     .help = "the CA certificates themselves"},
    {"client_allowed_sans", SCHEMA_TEXTS,
     ITEMS(tls_server_settings, client_allowed_sans.items, client_allowed_sans.count), .max = 1000,
     .what = "a name", .help = "alternative names of which a client's certificate must have one"},
    {"min_version", SCHEMA_CHOICE, TLS(min_version), .as_prometheus = true, .fallback = "TLS12",
     .choices = TLS_VERSIONS, .help = "minimum TLS version"},
    {"max_version", SCHEMA_CHOICE, TLS(max_version), .as_prometheus = true, .fallback = "TLS13",
     .choices = TLS_VERSIONS, .help = "maximum TLS version"},
    {"cipher_suites", SCHEMA_TEXTS,
     ITEMS(tls_server_settings, cipher_suites.items, cipher_suites.count), .max = 64,
     .may_be_nothing = true, .check = check_cipher_suite, .what = "a name of Go",
     .help = "cipher suites to offer; default: those with ECDHE and AEAD"},
    {"prefer_server_cipher_suites", SCHEMA_BOOL, TLS(prefer_server_cipher_suites),
     .as_prometheus = true, .fallback = "true",
     .help = "the order of the suites is the server's, not the client's"},
    {"curve_preferences", SCHEMA_TEXTS,
     ITEMS(tls_server_settings, curve_preferences.items, curve_preferences.count), .max = 64,
     .may_be_nothing = true, .check = check_curve, .what = "a name of Go",
     .help = "curves for ECDHE, in order of preference; default: X25519 and NIST's"},
    {NULL},
};
const struct schema tls_server_schema = {tls_server_keys, sizeof(struct tls_server_settings),
                                         .given_first = true, .check = check_tls_server};

/* --- HTTP ------------------------------------------------------------------------------------- */

#define HTTP(f) AT(http_server_settings, f)

static const struct schema_key http_server_keys[] = {
    {"http2", SCHEMA_BOOL, HTTP(http2), .as_prometheus = true, .fallback = "true",
     .help = "has no effect: requests and answers use HTTP/1.1"},
    {"headers", SCHEMA_NAMED_TEXTS, ITEMS(http_server_settings, headers.items, headers.count),
     .max = 16, .may_be_empty = true, .may_be_nothing = true, .check_name = check_answer_header,
     .help = "headers of all answers: Content-Security-Policy, Strict-Transport-Security, "
             "X-Content-Type-Options, X-Frame-Options, X-XSS-Protection"},
    {NULL},
};
const struct schema http_server_schema = {http_server_keys, sizeof(struct http_server_settings),
                                          .check = check_http_server};

static const struct duration_unit {
    const char *word;
    int64_t ns;
} duration_units[] = {{"ns", 1},       {"us", 1000},      {"\u00b5s", 1000},  {"\u03bcs", 1000},
                      {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
enum { DURATION_UNIT_COUNT = sizeof duration_units / sizeof *duration_units };
#define INTERVAL_NS_MAX (INT64_C(24) * 3600 * 1000000000)

/* Returns the unit at the beginning of a text that ends there or goes on with a digit, or NULL. */
static const struct duration_unit *
find_unit(struct bytes text)
{
    size_t size = 0;
    while (size < text.size && (text.at[size] < '0' || text.at[size] > '9') && text.at[size] != '.')
        size++;
    for (unsigned i = 0; i < DURATION_UNIT_COUNT; i++) {
        if (bytes_equal_text(bytes_of(text.at, size), duration_units[i].word))
            return &duration_units[i];
    }
    return NULL;
}

/* Reads durations as Go writes them, which differ from those of settings: "1.5s", "250us". */
static bool
parse_interval(struct bytes text, void *base)
{
    int64_t sum = 0;
    if (bytes_equal_text(text, "0")) text = bytes_of_text("0s");
    if (text.size == 0) return false;
    while (text.size > 0) {
        int64_t number = 0, fraction = 0, scale = 1;
        size_t i = 0, digits = 0;
        for (; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++, digits++) {
            number = number * 10 + (text.at[i] - '0');
            if (number > INTERVAL_NS_MAX) return false;
        }
        if (i < text.size && text.at[i] == '.') i++;
        for (; i < text.size && text.at[i] >= '0' && text.at[i] <= '9'; i++, digits++) {
            if (scale >= 1000000) continue; /* more digits do not count */
            fraction = fraction * 10 + (text.at[i] - '0');
            scale *= 10;
        }
        text = bytes_of(text.at + i, text.size - i);
        const struct duration_unit *unit = digits == 0 ? NULL : find_unit(text);
        if (unit == NULL || number > INTERVAL_NS_MAX / unit->ns) return false;
        sum += number * unit->ns + fraction * unit->ns / scale;
        if (sum > INTERVAL_NS_MAX) return false;
        size_t size = strlen(unit->word);
        text = bytes_of(text.at + size, text.size - size);
    }
    ((struct http_server_settings *)base)->rate_interval_ns = sum;
    return true;
}

static void
print_interval(const void *base, char *to, size_t size)
{
    static const struct duration_unit units[] = {
        {"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"ns", 1}};
    int64_t ns = ((const struct http_server_settings *)base)->rate_interval_ns;
    const struct duration_unit *unit = units;
    while (ns % unit->ns != 0)
        unit++;
    snprintf(to, size, "%" PRId64 "%s", ns / unit->ns, unit->word);
}

static const struct schema_key rate_limit_keys[] = {
    {"interval", SCHEMA_OWN, HTTP(rate_interval_ns), .fallback = "0s", .parse = parse_interval,
     .print = print_interval, .what = "a duration of at most 24h, such as 10ms or 1.5s",
     .help = "time between two requests; 0s: no limit"},
    {"burst", SCHEMA_COUNT, HTTP(rate_burst), .max = 1000000000,
     .help = "number of requests that may come at once; required with an interval"},
    {NULL},
};
const struct schema rate_limit_schema = {rate_limit_keys, sizeof(struct http_server_settings),
                                         .check = check_rate_limit};

/* --- listeners -------------------------------------------------------------------------------- */

_Static_assert(PERMISSION_WRITE == 1 << 0 && PERMISSION_READ == 1 << 1 &&
                   PERMISSION_RULES == 1 << 2 && PERMISSION_ADMIN == 1 << 3 &&
                   PERMISSION_METRICS == 1 << 4,
               "the bits are in the order of the words");
#define PERMISSION_WORDS "write|read|rules|admin|metrics"

#define LISTENER(f) AT(listener_settings, f)

static bool
parse_mode(struct bytes text, void *base)
{
    uint32_t mode = 0;
    if (text.size < 3 || text.size > 4 || (text.size == 4 && text.at[0] != '0')) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '7') return false;
        mode = mode << 3 | (uint32_t)(text.at[i] - '0');
    }
    ((struct listener_settings *)base)->mode = mode;
    return mode != 0;
}

static void
print_mode(const void *base, char *to, size_t size)
{
    snprintf(to, size, "%04" PRIo32, ((const struct listener_settings *)base)->mode);
}

static const struct schema_key listener_keys[] = {
    {"address", SCHEMA_TEXT, LISTENER(address), .required = true, .max = 255,
     .check = check_listener_address, .what = "HOST:PORT, unix:PATH or fd://NAME",
     .help = "address to listen on"},
    {"tls_server_config", SCHEMA_MAPPING, BELOW(listener_settings, tls, tls_server_schema),
     .help = "TLS of this listener; default: that of all listeners; `{}`: clear text"},
    {"allow", SCHEMA_SET, LISTENER(allow), .choices = PERMISSION_WORDS,
     .fallback = "write,read,rules,admin,metrics",
     .help = "what requests may do that arrive here, whatever their user may do"},
    {"mode", SCHEMA_OWN, LISTENER(mode), .parse = parse_mode, .print = print_mode, .quiet = true,
     .what = "an octal number such as 0660",
     .help = "mode of the file of a unix socket; default 0660"},
    {NULL},
};
const struct schema listener_schema = {listener_keys, sizeof(struct listener_settings),
                                       .check = check_listener};

/* --- users ------------------------------------------------------------------------------------ */

static const struct schema_key access_key_keys[] = {
    {"id", SCHEMA_TEXT, AT(access_key_settings, id), .required = true, .max = 128,
     .check = check_access_key_id, .help = "access key ID"},
    {"secret_file", SCHEMA_TEXT, AT(access_key_settings, secret_file), .is_path = true,
     .required = true, .what = "a path", .help = "file that contains the secret access key"},
    {"session_token_file", SCHEMA_TEXT, AT(access_key_settings, session_token_file),
     .is_path = true, .what = "a path",
     .help = "file that contains the session token that requests must have"},
    {NULL},
};
static const struct schema access_key_schema = {access_key_keys, sizeof(struct access_key_settings),
                                                .check = check_access_key};

#define JWT(f) AT(jwt_settings, f)

static const struct schema_key jwt_keys[] = {
    {"issuer", SCHEMA_TEXT, JWT(issuer), .max = 1024, .what = "a URL",
     .help = "issuer that tokens must name; its keys are discovered by OpenID Connect"},
    {"jwks_file", SCHEMA_TEXT, JWT(jwks_file), .is_path = true, .group = GROUP_JWKS,
     .what = "a path", .help = "file with the keys, instead of discovery"},
    {"jwks_url", SCHEMA_TEXT, JWT(jwks_url), .group = GROUP_JWKS, .check = check_url,
     .what = "a URL", .help = "URL of the keys, instead of discovery"},
    {"ca_file", SCHEMA_TEXT, JWT(ca_file), .is_path = true, .what = "a path",
     .help = "PEM file with the CA certificates of the issuer's servers; default: that of the "
             "variable SSL_CERT_FILE, else those of the system"},
    {"audience", SCHEMA_TEXTS, ITEMS(jwt_settings, audience.items, audience.count), .max = 64,
     .required = true, .unique = true, .help = "audiences of which a token must name one"},
    {"claims", SCHEMA_NAMED_TEXTS, ITEMS(jwt_settings, claims.items, claims.count), .max = 64,
     .may_be_nothing = true, .help = "claims that a token must have with these values"},
    {"tenant_claim", SCHEMA_TEXT, JWT(tenant_claim), .max = 150,
     .help = "claim with the user's tenants, of those that `tenants` allows"},
    {"permissions_claim", SCHEMA_TEXT, JWT(permissions_claim), .max = 150,
     .help = "claim with the user's permissions, of those in `permissions`"},
    {NULL},
};
static const struct schema jwt_schema = {jwt_keys, sizeof(struct jwt_settings), .given_first = true,
                                         .check = check_jwt};

#define USER(f)       AT(user_settings, f)
#define USER_ITEMS(f) ITEMS(user_settings, f.items, f.count)

static const struct schema_key user_keys[] = {
    {"name", SCHEMA_TEXT, USER(name), .required = true, .max = SCHEMA_NAME_BYTES_MAX,
     .check = check_user_name, .help = "unique name, for signing in with a password and for logs"},
    {"password", SCHEMA_TEXT, USER(password), .max = 1024, .check = check_password_hash,
     .is_secret = true, .what = "a hash",
     .help = "bcrypt, scrypt or yescrypt hash of the password"},
    {"tokens", SCHEMA_TEXTS, USER_ITEMS(tokens), .max = 64, .may_be_nothing = true,
     .check = check_token_hash, .is_secret = true, .what = "64 hexadecimal digits",
     .help = "SHA-256 of bearer tokens"},
    {"client_certificate", SCHEMA_TEXT, USER(client_certificate), .max = 1024,
     .help = "subject or alternative name of a verified client certificate"},
    {"iam_callers", SCHEMA_TEXTS, USER_ITEMS(iam_callers), .max = 64, .may_be_nothing = true,
     .what = "an ARN, or a pattern with *",
     .help = "in AWS Lambda: callers whom the gateway has verified by IAM"},
    {"access_keys", SCHEMA_MAPPINGS, ITEMS(user_settings, access_keys, access_key_count), .max = 64,
     .may_be_nothing = true, .inner = &access_key_schema,
     .help = "keys that sign requests as for AWS (SigV4)"},
    {"jwt", SCHEMA_MAPPING, BELOW(user_settings, jwt, jwt_schema),
     .help = "tokens of an issuer (OpenID Connect)"},
    {"permissions", SCHEMA_SET, USER(permissions), .choices = PERMISSION_WORDS, .required = true,
     .help = "what the user may do"},
    {"tenants", SCHEMA_TEXTS, USER_ITEMS(tenants), .max = 1000, .unique = true,
     .may_be_nothing = true, .check = check_tenant_pattern, .what = "a tenant, or a pattern with *",
     .help = "tenants that the user may name; default: all"},
    {"tenant_header", SCHEMA_CHOICE, USER(tenant_header), .fallback = "check",
     .choices = "check|ignore",
     .help = "check: X-Scope-OrgID must name one of `tenants`; ignore: the user's tenant is always "
             "the one in `tenants`"},
    {"read_matchers", SCHEMA_TEXTS, USER_ITEMS(read_matchers), .max = 64, .unique = true,
     .may_be_nothing = true, .check = check_read_matcher, .what = "a selector",
     .help = "series that the user may read: those that one of the selectors matches; default: "
             "all"},
    {"write_labels", SCHEMA_NAMED_TEXTS, USER_ITEMS(write_labels), .max = 64,
     .may_be_nothing = true, .check_name = check_written_label,
     .help = "labels that replace those of all series that the user writes"},
    {NULL},
};
const struct schema user_schema = {user_keys, sizeof(struct user_settings), .check = check_user};

/* --- roots ------------------------------------------------------------------------------------ */

/* The rows of a struct web_keys at `w`, which ends with a dot or is empty, in a struct `s`. */
#define WEB_KEYS(s, w)                                                                       \
    {"tls_server_config", SCHEMA_MAPPING, BELOW(s, w tls, tls_server_schema),                \
     .may_be_nothing = true, .help = "certificate and rules of TLS"},                        \
        {"http_server_config", SCHEMA_MAPPING,         BELOW(s, w http, http_server_schema), \
         .quiet = true,        .may_be_nothing = true, .help = "headers of all answers"},    \
        {"basic_auth_users",                                                                 \
         SCHEMA_NAMED_TEXTS,                                                                 \
         ITEMS(s, w basic_auth_users.items, w basic_auth_users.count),                       \
         .max = SCHEMA_MAP_ITEMS_MAX,                                                        \
         .may_be_nothing = true,                                                             \
         .check = check_password_hash,                                                       \
         .check_name = check_user_name,                                                      \
         .is_secret = true,                                                                  \
         .what = "map of hashes",                                                            \
         .help = "users with passwords, who have all permissions unless `users` has them"},  \
    {                                                                                        \
        "rate_limit", SCHEMA_MAPPING, BELOW(s, w http, rate_limit_schema),                   \
            .quiet = true, .may_be_nothing = true,                                           \
            .help = "limit of the rate of all requests together"                             \
    }

static const struct schema_refusal refused_in_web_file[] = {
    {"auth_excluded_paths", "is not supported: only /-/healthy and /-/ready are open; remove it"},
    {"basic_auth_excluded_paths",
     "is not supported: only /-/healthy and /-/ready are open; remove it"},
    {"ip_socket_config", "is not supported; remove it"},
    {"listeners", "is a key of the configuration file; move it there"},
    {"users", "is a key of the configuration file; move it there"},
    {NULL},
};

static const struct schema_key web_file_keys[] = {WEB_KEYS(web_keys, ), {NULL}};
const struct schema web_file_schema = {web_file_keys, sizeof(struct web_keys),
                                       .refused = refused_in_web_file, .check = check_web_file};

static const struct schema_key access_root_keys[] = {
    WEB_KEYS(access_keys, web.),
    {"listeners", SCHEMA_MAPPINGS, ITEMS(access_keys, listeners.items, listeners.count),
     .max = LISTENERS_MAX, .may_be_nothing = true, .inner = &listener_schema,
     .help = "addresses to listen on besides web.listen_address"},
    {"users", SCHEMA_MAPPINGS, ITEMS(access_keys, users.items, users.count), .max = USERS_MAX,
     .may_be_nothing = true, .inner = &user_schema,
     .help = "who may send requests, and what they may do"},
    {NULL},
};
const struct schema access_root_schema = {access_root_keys, sizeof(struct access_keys),
                                          .partial = true, .check = check_access_root};
