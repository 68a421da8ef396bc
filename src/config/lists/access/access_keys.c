/*
 * access_keys.c - the tables of the keys that say who may reach the server, written like those of
 * destinations.c, and the checks that they cannot express (shared_keys.c says how checks are
 * written). Keys of Prometheus' file for --web.config.file have the names and defaults that they
 * have there, and what Prometheus refuses is refused here, too, except that both forms of a
 * certificate cannot be given together.
 *
 * An error never shows a hash or a token. A user without a way of signing in is found by
 * access_settings_merge(), because basic_auth_users may have the password.
 */
#include "config/lists/access/access_keys.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "auth/password.h"
#include "base/hash/hash.h"
#include "base/text/hex.h"
#include "base/text/suggest.h"
#include "base/text/utf8.h"
#include "config/lists/shared_keys.h"
#include "model/selector.h"
#include "model/tenant_name.h"
#include "net/tls.h"

enum { PEM_BYTES_MAX = 512 * 1024 };

/* --- unique texts ----------------------------------------------------------------------------- */

void
access_reading_fini(struct access_reading *reading)
{
    table_fini(&reading->table, NULL);
}

/* Refuses a text that an earlier entry has, too, or else notes it for the entry that `place` is. */
static MUST_CHECK enum err
check_unique(struct schema_place *place, enum unique_kind kind, const char *text)
{
    static const struct {
        const char *key, *entry, *what;
    } kinds[] = {
        [UNIQUE_NAME] = {"name", "user", "the same name"},
        [UNIQUE_TOKEN] = {"tokens", "user", "one of these tokens"},
        [UNIQUE_CERTIFICATE] = {"client_certificate", "user", "the same certificate"},
        [UNIQUE_ACCESS_KEY] = {"id", "access key", "the same ID"},
        [UNIQUE_ADDRESS] = {"address", "listener", "the same address"},
    };
    const struct schema_reader *x = schema_reader_of(place);
    const struct root_context *root = x->context;
    struct access_reading *r = root->state;
    uint64_t hash = hash_bytes(bytes_of_text(text), (uint64_t)kind);
    for (uint32_t at = TABLE_START, id; table_next(&r->table, hash, &at, &id);) {
        if (r->seen[id].kind != kind || strcmp(r->seen[id].text, text) != 0) continue;
        if (kind == UNIQUE_TOKEN && r->seen[id].line == schema_line(place))
            return schema_complain(place, "tokens", "a token is there twice");
        return schema_complain(place, kinds[kind].key, "the %s on line %" PRIu32 " has %s",
                               kinds[kind].entry, r->seen[id].line, kinds[kind].what);
    }
    struct unique_text *seen = arena_push(x->arena, r->seen, r->seen_count, sizeof *seen);
    if (seen == NULL || !table_reserve(&r->table, NULL, 1))
        return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
    r->seen = seen;
    seen[r->seen_count] = (struct unique_text){kind, schema_line(place), text};
    table_add(&r->table, hash, r->seen_count++);
    return OK;
}

/* --- TLS -------------------------------------------------------------------------------------- */

static enum err
check_known(const char *text, const char *(*name)(unsigned index), const char *what,
            struct why *why)
{
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(text));
    for (unsigned i = 0; name(i) != NULL; i++) {
        if (strcmp(name(i), text) == 0) return OK;
        suggest_try(&near, name(i));
    }
    return why_set(why, ERR_INPUT, "expected %s, got %s%s", what,
                   shown_of(bytes_of_text(text)).text, suggest_hint(&near, "").text);
}

/* Rules of one text, as in shared_keys.h. Errors about hashes and tokens do not show them. */
static enum err
check_cipher_suite(const char *text, struct why *why)
{
    return check_known(text, tls_suite_name, "the name of a cipher suite in Go", why);
}

static enum err
check_curve(const char *text, struct why *why)
{
    return check_known(text, tls_curve_name, "the name of a curve in Go", why);
}

/* Checks that the versions have one of the suites. */
static enum err
check_versions(struct schema_place *place, const struct tls_server_settings *tls)
{
    struct buf priority;
    struct why why = {""};
    if (tls->min_version > tls->max_version)
        return schema_complain(place, "max_version", "is older than min_version");
    buf_init(&priority, NULL, 4096);
    enum err e = tls_priority(tls, &priority, NULL, &why);
    buf_fini(&priority);
    if (e == ERR_INPUT) return schema_complain(place, "cipher_suites", "%s", why.text);
    return e ? why_set(schema_reader_of(place)->in->why, e, "not enough memory") : OK;
}

/* Rules of mappings: `base` is the struct of their schema; the context is a struct root_context.
 * They also fill in paths, places and what follows from other keys. */
static enum err
check_tls_server(struct schema_place *place, void *base)
{
    struct tls_server_settings *tls = base;
    const char *client = schema_given_of(place, GROUP_CLIENT_CA);
    if (tls->client_auth > TLS_CLIENT_REQUIRE) tls->client_auth = TLS_CLIENT_REQUIRE_ANY;
    if (client == NULL && tls->client_auth != TLS_CLIENT_NONE) client = "client_auth_type";
    tls->given = tls->cert_file != NULL || tls->cert != NULL;
    if (client != NULL && !tls->given)
        return schema_complain(place, client, "requires 'cert_file' and 'key_file'");
    if (schema_given(place, "client_allowed_sans") && tls->client_allowed_sans.count == 0)
        return schema_complain(place, "client_allowed_sans", "must not be empty");
    enum err e = check_versions(place, tls);
    if (e) return e;
    const char *ca = schema_given_of(place, GROUP_CLIENT_CA);
    enum tls_client_auth auth = tls->client_auth;
    if (ca != NULL && auth == TLS_CLIENT_NONE) {
        return schema_complain(place, ca,
                               "requires 'client_auth_type': clients are not asked for "
                               "certificates");
    }
    if (ca == NULL && auth == TLS_CLIENT_REQUIRE) {
        return schema_complain(place, "client_auth_type",
                               "RequireAndVerifyClientCert requires 'client_ca_file'");
    }
    if (tls->client_allowed_sans.count == 0) return OK;
    if (auth == TLS_CLIENT_REQUIRE || auth == TLS_CLIENT_REQUIRE_ANY) return OK;
    return schema_complain(place, "client_allowed_sans",
                           "requires client_auth_type RequireAndVerifyClientCert (or "
                           "RequireAnyClientCert): other types let clients come without a "
                           "certificate");
}

_Static_assert(offsetof(struct tls_server_settings, is_set) == 0, "the schema says given_first");
_Static_assert(offsetof(struct jwt_settings, given) == 0, "the schema says given_first");

#define TLS(f) AT(tls_server_settings, f)

/* In the order of the enum; the last is Prometheus' older name of RequireAnyClientCert. */
#define CLIENT_AUTH_WORDS                                                          \
    "NoClientCert|RequestClientCert|RequireAnyClientCert|VerifyClientCertIfGiven|" \
    "RequireAndVerifyClientCert|RequireClientCert"
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
    {"client_auth_type", SCHEMA_CHOICE, TLS(client_auth), .as_prometheus = true,
     .fallback = "NoClientCert", .choices = CLIENT_AUTH_WORDS,
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

static enum err
check_answer_header(const char *text, struct why *why)
{
    static const char *const names[] = {"Content-Security-Policy", "Strict-Transport-Security",
                                        "X-Content-Type-Options", "X-Frame-Options",
                                        "X-XSS-Protection"};
    struct suggestion near;
    suggest_begin(&near, bytes_of_text(text));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) == 0) return OK;
        suggest_try(&near, names[i]);
    }
    return why_set(why, ERR_INPUT, "header %s cannot be configured%s",
                   shown_of(bytes_of_text(text)).text, suggest_hint(&near, "").text);
}

/* Returns the values that a header may have, or NULL if it may have any. */
static const char *
header_values(const char *name, const char *value)
{
    if (strcmp(name, "X-Content-Type-Options") == 0)
        return strcmp(value, "nosniff") == 0 ? NULL : "nosniff";
    if (strcmp(name, "X-Frame-Options") != 0) return NULL;
    bool fine = strcmp(value, "deny") == 0 || strcmp(value, "sameorigin") == 0;
    return fine ? NULL : "deny or sameorigin";
}

/* An empty value means that the header is not set. */
static enum err
check_http_server(struct schema_place *place, void *base)
{
    struct named_texts *headers = &((struct http_server_settings *)base)->headers;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct named_text *header = &headers->items[i];
        if (header->value[0] == '\0') continue;
        const char *expected = header_values(header->name, header->value);
        if (expected != NULL) {
            return schema_complain(place, "headers", "%s: expected %s, got %s", header->name,
                                   expected, shown_of(bytes_of_text(header->value)).text);
        }
        headers->items[kept++] = *header;
    }
    headers->count = kept;
    return OK;
}

static enum err
check_rate_limit(struct schema_place *place, void *base)
{
    const struct http_server_settings *http = base;
    if (http->rate_interval_ns == 0 || http->rate_burst > 0) return OK;
    return schema_complain(place, "burst", "must be at least 1: with 0, no request is answered");
}

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
    for (unsigned i = 0; i < DURATION_UNIT_COUNT; i++)
        if (bytes_equal_text(bytes_of(text.at, size), duration_units[i].word))
            return &duration_units[i];
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

static enum err
check_listener_address(const char *text, struct why *why)
{
    enum listener_kind kind;
    const char *at;
    return settings_listener(text, &kind, &at, why);
}

static enum err
check_listener(struct schema_place *place, void *base)
{
    enum { MODE = 0660 };
    struct listener_settings *listener = base;
    const struct root_context *root = schema_reader_of(place)->context;
    char other[SETTING_TEXT_BYTES];
    enum err e = settings_listener(listener->address, &listener->kind, &listener->place, NULL);
    assert(e == OK);
    listener->line = schema_line(place);
    e = check_unique(place, UNIQUE_ADDRESS, listener->address);
    if (e) return e;
    const char *rest = root->settings->web_listen_address;
    while ((rest = settings_list_next(rest, other)) != NULL) {
        if (strcmp(other, listener->address) != 0) continue;
        return schema_complain(place, "address",
                               "%s is also in web.listen_address; set that to [] if there are only "
                               "these listeners",
                               listener->address);
    }
    if (listener->allow == 0) return schema_complain(place, "allow", "must not be empty");
    if (listener->kind == LISTENER_UNIX && listener->mode == 0) listener->mode = MODE;
    if (listener->kind != LISTENER_UNIX && listener->mode != 0)
        return schema_complain(place, "mode", "is only valid for unix:PATH");
    return OK;
}

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

/* --- texts of users --------------------------------------------------------------------------- */

static enum err
check_user_name(const char *text, struct why *why)
{
    if (strchr(text, ':') == NULL && utf8_valid(bytes_of_text(text))) return OK;
    return refuse_text(why, "a name in UTF-8 without ':'", text);
}

enum err
check_password_hash(const char *text, struct why *why)
{
    struct password_hash hash;
    return password_hash_parse(text, &hash, why);
}

static enum err
check_token_hash(const char *text, struct why *why)
{
    enum { DIGITS = 64 };
    size_t i = 0;
    while (text[i] != '\0' && hex_digit((uint8_t)text[i]) >= 0)
        i++;
    if (i == DIGITS && text[i] == '\0') return OK;
    return why_set(why, ERR_INPUT,
                   "expected the SHA-256 of a token, 64 hexadecimal digits, and not a token");
}

static enum err
check_access_key_id(const char *text, struct why *why)
{
    /* The ID is a part of a header between slashes. */
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-_.";
    if (text[strspn(text, letters)] == '\0') return OK;
    return refuse_text(why, "letters, digits, '-', '_' and '.'", text);
}

static enum err
check_tenant_pattern(const char *text, struct why *why)
{
    char name[SCHEMA_TEXT_BYTES_MAX + 1];
    size_t size = strlen(text);
    memcpy(name, text, size + 1);
    for (size_t i = 0; i < size; i++)
        if (name[i] == '*') name[i] = 'a'; /* a pattern has the form of a name otherwise */
    if (tenant_name_check(bytes_of_text(name), NULL) == OK) return OK;
    if (strchr(text, '*') == NULL) return tenant_name_check(bytes_of_text(text), why);
    return refuse_text(why, "a tenant name, in which * stands for any text", text);
}

/* Selectors may match series without the label: {team!="b"} hides a team. */
static enum err
check_read_matcher(const char *text, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse_any(bytes_of_text(text), &selector, why);
    if (e) return e;
    bool is_empty = selector.count == 0;
    selector_fini(&selector);
    if (!is_empty) return OK;
    return why_set(why, ERR_INPUT, "selector matches every series; to permit all, remove the key");
}

static enum err
check_written_label(const char *text, struct why *why)
{
    if (!utf8_valid(bytes_of_text(text))) return refuse_text(why, "a label name in UTF-8", text);
    return check_added_label(text, why);
}

/* --- ways of signing in ----------------------------------------------------------------------- */

static enum err
check_access_key(struct schema_place *place, void *base)
{
    const struct access_key_settings *key = base;
    return check_unique(place, UNIQUE_ACCESS_KEY, key->id);
}

static enum err
check_jwt(struct schema_place *place, void *base)
{
    const struct jwt_settings *jwt = base;
    struct why why = {""};
    const char *keys = schema_given_of(place, GROUP_JWKS);
    if (keys == NULL && jwt->issuer == NULL)
        return schema_complain(place, NULL, "requires 'issuer', 'jwks_file' or 'jwks_url'");
    if (jwt->audience.count == 0)
        return schema_complain(place, "audience", "must name at least one audience");
    if (jwt->claims.count == 0 && schema_given(place, "claims")) {
        return schema_complain(place, "claims",
                               "must not be empty; without the key, all tokens for the audience "
                               "are accepted");
    }
    if (jwt->jwks_file != NULL && jwt->ca_file != NULL)
        return schema_complain(place, "ca_file", "has no effect with 'jwks_file'; remove it");
    enum err e = keys == NULL ? check_url(jwt->issuer, &why) : OK; /* it is fetched */
    if (e == ERR_INPUT) return schema_complain(place, "issuer", "%s", why.text);
    if (e) return why_set(schema_reader_of(place)->in->why, e, "%s", why.text);
    if (keys == NULL && strchr(jwt->issuer, '?') != NULL)
        return schema_complain(place, "issuer", "must not contain a query: it is discovered");
    return OK;
}

/* Replaces the tokens by their forms in lower case, so that equal ones are equal texts. */
static enum err
take_tokens(struct schema_place *place, struct user_settings *user)
{
    const struct schema_reader *x = schema_reader_of(place);
    for (uint32_t i = 0; i < user->tokens.count; i++) {
        struct bytes copy = arena_copy(
            x->arena, bytes_of(user->tokens.items[i], strlen(user->tokens.items[i]) + 1));
        if (copy.at == NULL)
            return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
        char *digits = (char *)(uintptr_t)copy.at;
        for (char *p = digits; *p != '\0'; p++)
            if (*p >= 'A' && *p <= 'F') *p = (char)(*p - 'A' + 'a');
        user->tokens.items[i] = digits;
        enum err e = check_unique(place, UNIQUE_TOKEN, digits);
        if (e) return e;
    }
    return OK;
}

/* --- what users may do ------------------------------------------------------------------------ */

static enum err
check_permissions(struct schema_place *place, const struct user_settings *user)
{
    static const struct {
        unsigned permission;
        const char *word;
    } whole[] = {{PERMISSION_ADMIN, "admin"}, {PERMISSION_METRICS, "metrics"}};
    if (user->permissions == 0) return schema_complain(place, "permissions", "must not be empty");
    const char *limit = user->tenants.count > 0          ? "tenants"
                        : user->jwt.tenant_claim != NULL ? "jwt.tenant_claim"
                        : user->read_matchers.count > 0  ? "read_matchers"
                                                         : NULL;
    for (size_t i = 0; i < sizeof whole / sizeof *whole && limit != NULL; i++) {
        if ((user->permissions & whole[i].permission) == 0) continue;
        return schema_complain(place, "permissions",
                               "%s is a permission for the whole server, and cannot be combined "
                               "with %s",
                               whole[i].word, limit);
    }
    const char *labels = user->read_matchers.count > 0  ? "read_matchers"
                         : user->write_labels.count > 0 ? "write_labels"
                                                        : NULL;
    if (labels == NULL || (user->permissions & PERMISSION_RULES) == 0) return OK;
    return schema_complain(place, "permissions",
                           "rules cannot be combined with %s: a rule reads and writes all series",
                           labels);
}

/* Refuses lists that are given without items, which would not restrict the user at all. */
static enum err
check_restrictions(struct schema_place *place, const struct user_settings *user)
{
    const struct {
        const char *key;
        uint32_t count;
        const char *without;
    } lists[] = {
        {"tenants", user->tenants.count, "the user may name all tenants"},
        {"read_matchers", user->read_matchers.count, "the user may read all series"},
        {"write_labels", user->write_labels.count, "labels are written as they are sent"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (lists[i].count > 0 || !schema_given(place, lists[i].key)) continue;
        return schema_complain(place, lists[i].key, "must not be empty; without the key, %s",
                               lists[i].without);
    }
    return OK;
}

static enum err
check_user(struct schema_place *place, void *base)
{
    struct user_settings *user = base;
    user->line = schema_line(place);
    user->column = schema_column(place);
    enum err e = check_unique(place, UNIQUE_NAME, user->name);
    if (e == OK && user->client_certificate != NULL)
        e = check_unique(place, UNIQUE_CERTIFICATE, user->client_certificate);
    if (e == OK) e = take_tokens(place, user);
    if (e == OK) e = check_permissions(place, user);
    if (e == OK) e = check_restrictions(place, user);
    if (e) return e;
    const struct root_context *root = schema_reader_of(place)->context;
    bool is_one = user->tenants.count == 1 && strchr(user->tenants.items[0], '*') == NULL;
    if (!root->settings->tenancy_enabled && user->tenants.count > 0)
        return schema_complain(place, "tenants", "requires tenancy.enabled: true");
    if (!root->settings->tenancy_enabled && user->jwt.tenant_claim != NULL)
        return schema_complain(place, "jwt", "tenant_claim requires tenancy.enabled: true");
    if (user->tenant_header == TENANT_HEADER_CHECK || is_one) return OK;
    return schema_complain(place, "tenant_header",
                           "ignore requires one entry in 'tenants', which is not a pattern");
}

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

static const char *const web_key_names[WEB_KEY_COUNT] = {
    [WEB_KEY_TLS] = "tls_server_config",
    [WEB_KEY_HTTP] = "http_server_config",
    [WEB_KEY_USERS] = "basic_auth_users",
    [WEB_KEY_RATE] = "rate_limit",
};

static enum err
check_access_root(struct schema_place *place, void *base)
{
    struct access_keys *keys = base;
    for (unsigned i = 0; i < WEB_KEY_COUNT; i++)
        keys->web.lines[i] = schema_value_line(place, web_key_names[i]);
    if (keys->users.count > 0 || !schema_given(place, "users")) return OK;
    return schema_complain(place, "users",
                           "must not be empty; remove the key if everyone may do everything");
}

static enum err
check_web_file(struct schema_place *place, void *base)
{
    struct web_keys *keys = base;
    const struct root_context *root = schema_reader_of(place)->context;
    const struct access_reading *reading = root->state;
    for (unsigned i = 0; i < WEB_KEY_COUNT; i++) {
        keys->lines[i] = schema_value_line(place, web_key_names[i]);
        uint32_t line = reading->elsewhere->lines[i];
        if (line == 0 || keys->lines[i] == 0) continue;
        return schema_complain(place, web_key_names[i],
                               "is also on line %" PRIu32 " of %s; remove one of them", line,
                               reading->elsewhere_name);
    }
    return OK;
}

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
