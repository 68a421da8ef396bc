/*
 * shared_keys.c - tables of mappings that several lists of the configuration file have, and checks
 * that rows cannot express: the form of a value (a name, a URL, a region, a selector), and what
 * several keys of a mapping must agree on.
 *
 * A check of one value gets its text; schema.c adds file, line, column and key to its error. A
 * check of a mapping runs after the whole mapping was read, and names the key in conflict. An error
 * never shows possible secrets: values of headers, and URLs with an '@' in them.
 */
#include "config/lists/shared_keys.h"

#include <curl/curl.h>
#include <strings.h>

#include "model/tenant_name.h"

enum { HTTP_VALUES_MAX = 16 }; /* values of headers per request */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

enum err
refuse_text(struct why *why, const char *what, const char *text)
{
    return why_set(why, ERR_INPUT, "expected %s, got %s", what, shown_of(bytes_of_text(text)).text);
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool
consists_of(const char *text, const char *set)
{
    return text[strspn(text, set)] == 0;
}

enum err
check_entry_name(const char *text, struct why *why)
{
    if (text[0] != '.' && consists_of(text, LETTERS DIGITS "-_.")) return OK;
    return refuse_text(why, "letters, digits, '-', '_' and '.', not beginning with '.'", text);
}

enum err
check_tenant(const char *text, struct why *why)
{
    return tenant_name_check(bytes_of_text(text), why);
}

enum err
check_region(const char *text, struct why *why)
{
    /* The text becomes part of host names. */
    if (consists_of(text, "abcdefghijklmnopqrstuvwxyz" DIGITS "-")) return OK;
    return refuse_text(why, "a region such as eu-west-1", text);
}

enum err
check_bucket(const char *text, struct why *why)
{
    /* The name becomes part of host names, or of paths. Old buckets may have capitals and '_'. */
    bool is_name = consists_of(text, LETTERS DIGITS ".-_") && text[0] != '.';
    if (is_name && strlen(text) >= 3 && strlen(text) <= 255) return OK;
    return refuse_text(why, "a bucket: 3 to 255 letters, digits, '.', '-' and '_'", text);
}

/* Clients remove such names from the paths of URLs, but not from the prefix of a list: objects
 * would be written where no list finds them. */
enum err
check_prefix(const char *text, struct why *why)
{
    for (const char *slash; (slash = strchr(text, '/')) != NULL; text = slash + 1) {
        size_t size = (size_t)(slash - text);
        if ((size == 1 || size == 2) && strncmp(text, "..", size) == 0)
            return why_set(why, ERR_INPUT, "must not contain the names '.' and '..'");
    }
    return OK;
}

enum err
check_stream(const char *text, struct why *why)
{
    bool is_arn = strncmp(text, "arn:", 4) == 0;
    bool is_name = consists_of(text, is_arn ? LETTERS DIGITS "_.-:/" : LETTERS DIGITS "_.-");
    if (is_name && strlen(text) <= (is_arn ? 384 : 128)) return OK;
    return refuse_text(why, "1 to 128 letters, digits, '_', '.' and '-', or an ARN", text);
}

enum err
check_delivery_stream(const char *text, struct why *why)
{
    if (consists_of(text, LETTERS DIGITS "_.-") && strlen(text) <= 64) return OK;
    return refuse_text(why, "1 to 64 letters, digits, '_', '.' and '-'", text);
}

static enum err
check_tls_version(const char *text, struct why *why)
{
    static const char *const versions[] = {"TLS10", "TLS11", "TLS12", "TLS13"};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strcmp(text, versions[i]) == 0) return OK;
    return refuse_text(why, "one of TLS10, TLS11, TLS12, TLS13", text);
}

static enum err
check_authorization_type(const char *text, struct why *why)
{
    if (strcasecmp(text, "basic") != 0) return OK;
    return why_set(why, ERR_INPUT, "use basic_auth for the scheme Basic");
}

enum err
refuse_header(const char *text, struct why *why)
{
    return why_set(why, ERR_INPUT, "header %s is set by Firekeep and cannot be changed",
                   shown_of(bytes_of_text(text)).text);
}

enum err
check_header_name(const char *text, struct why *why)
{
    if (!consists_of(text, LETTERS DIGITS "!#$%&'*+-.^_`|~")) /* RFC 9110: token */
        return refuse_text(why, "a header name", text);
    /* Headers of every request; others depend on the destination. */
    static const char *const names[] = {
        "Connection", "Content-Encoding",  "Content-Length", "Content-Type",
        "Host",       "Transfer-Encoding", "User-Agent",     "X-Prometheus-Remote-Write-Version",
    };
    bool own = strncasecmp(text, "X-Amz-", 6) == 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        own |= strcasecmp(text, names[i]) == 0;
    return own ? refuse_header(text, why) : OK;
}

enum err
check_added_label(const char *text, struct why *why)
{
    if (strcmp(text, "__name__") != 0) return OK;
    return why_set(why, ERR_INPUT, "__name__ is reserved for the metric name");
}

enum err
check_selector(const char *text, struct why *why)
{
    struct selector selector;
    enum err e = selector_parse(bytes_of_text(text), &selector, why);
    if (e == OK) selector_fini(&selector);
    return e;
}

/* --- URLs ------------------------------------------------------------------------------------- */

static enum err
no_url(const char *text, struct why *why)
{
    const char *what = "a URL that begins with http:// or https:// and has a host";
    if (strchr(text, '@') == NULL) return refuse_text(why, what, text);
    return why_set(why, ERR_INPUT, "expected %s", what);
}

static bool
has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool given = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return given;
}

/* `advice` NULL: the URL may contain a user and a password. */
static enum err
check_url_parts(const char *text, const char *advice, struct why *why)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    if (scheme == 0 || text[scheme] == '/')
        return no_url(text, why); /* curl accepts a third slash */
    CURLU *url = curl_url();
    if (url == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a URL");
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
    enum err e = OK;
    if (code == CURLUE_OUT_OF_MEMORY)
        e = why_set(why, ERR_NOMEM, "not enough memory for a URL");
    else if (code != CURLUE_OK || !has_part(url, CURLUPART_HOST))
        e = no_url(text, why);
    else if (advice != NULL && (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD)))
        e = why_set(why, ERR_INPUT, "must not contain a user name or password%s", advice);
    else if (strchr(text, '#') != NULL)
        e = why_set(why, ERR_INPUT, "must not contain a fragment ('#...')");
    curl_url_cleanup(url);
    return e;
}

enum err
check_url(const char *text, struct why *why)
{
    return check_url_parts(text, "; use basic_auth", why);
}

enum err
check_endpoint(const char *text, struct why *why)
{
    return check_url_parts(text, "", why);
}

enum err
check_proxy(const char *text, struct why *why)
{
    return text[0] == 0 ? OK : check_url_parts(text, NULL, why);
}

/* --- mappings --------------------------------------------------------------------------------- */

enum err
check_tls(struct schema_place *place, void *base)
{
    const struct tls_settings *tls = base;
    if (tls->min_version == NULL || tls->max_version == NULL) return OK;
    if (strcmp(tls->min_version, tls->max_version) <= 0) return OK;
    return schema_complain(place, "max_version", "%s is older than min_version %s",
                           tls->max_version, tls->min_version);
}

/* Compiles a rule to check it. Its user compiles it again. */
static enum err
try_rule(const struct relabel_spec *spec, struct why *why)
{
    struct relabel *relabel = NULL;
    enum err e = relabel_new(spec, 1, &relabel, why);
    relabel_free(relabel);
    return e;
}

enum err
check_relabel(struct schema_place *place, void *base)
{
    const struct relabel_spec *spec = base;
    const char *key = NULL;
    struct why why = {""};
    enum err e = try_rule(spec, &why);
    if (e == OK) return OK;
    if (spec->regex.at != NULL) {
        /* If the regex is invalid, the error is reported at its place. */
        struct relabel_spec only = {.action = RELABEL_KEEP, .regex = spec->regex};
        struct why of_regex = {""};
        enum err regex_error = try_rule(&only, &of_regex);
        if (regex_error) {
            e = regex_error;
            why = of_regex;
            key = "regex";
        }
    }
    if (e == ERR_NOMEM) return why_set(schema_reader_of(place)->in->why, e, "%s", why.text);
    /* The place of the error already identifies the rule. */
    static const char number[] = "relabel rule 1: ";
    bool numbered = strncmp(why.text, number, sizeof number - 1) == 0;
    return schema_complain(place, key, "%s", why.text + (numbered ? sizeof number - 1 : 0));
}

/* --- settings for HTTP requests --------------------------------------------------------------- */

static enum err
check_header(struct schema_place *place, const struct http_header_list *list, uint32_t index)
{
    const struct http_header_values *header = &list->items[index];
    const char *key = schema_given_of(place, GROUP_AUTHORIZATION);
    if (header->values.count + header->secrets.count + header->files.count == 0) {
        return schema_complain(place, "http_headers",
                               "header %s requires 'values', 'secrets' or 'files'", header->name);
    }
    if (key != NULL && strcasecmp(header->name, "Authorization") == 0)
        return schema_complain(place, "http_headers", "header %s is set by %s", header->name, key);
    for (uint32_t i = 0; i < index; i++) {
        if (strcasecmp(header->name, list->items[i].name) != 0) continue;
        return schema_complain(place, "http_headers", "%s and %s are the same header",
                               list->items[i].name, header->name);
    }
    return OK;
}

/* Writes all values of a header from `to` on, each with the header's name. Returns the end. */
static struct named_secret *
put_header_values(const struct http_header_values *header, struct named_secret *to)
{
    for (uint32_t i = 0; i < header->values.count; i++)
        *to++ = (struct named_secret){header->name, {.text = header->values.items[i]}};
    for (uint32_t i = 0; i < header->secrets.count; i++)
        *to++ = (struct named_secret){header->name, header->secrets.items[i]};
    for (uint32_t i = 0; i < header->files.count; i++)
        *to++ = (struct named_secret){header->name, {.file = header->files.items[i]}};
    return to;
}

enum err
take_http_headers(struct schema_place *place, const struct http_header_list *list,
                  struct named_secrets *ret)
{
    const struct schema_reader *x = schema_reader_of(place);
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct http_header_values *header = &list->items[i];
        enum err e = check_header(place, list, i);
        if (e) return e;
        count += header->values.count + header->secrets.count + header->files.count;
    }
    if (count == 0) return OK;
    if (count > HTTP_VALUES_MAX) {
        return schema_complain(place, "http_headers", "at most %d values are allowed",
                               HTTP_VALUES_MAX);
    }
    ret->items = arena_alloc(x->arena, count * sizeof *ret->items);
    if (ret->items == NULL)
        return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
    struct named_secret *to = ret->items;
    for (uint32_t i = 0; i < list->count; i++)
        to = put_header_values(&list->items[i], to);
    ret->count = count;
    return OK;
}

/* --- entries ---------------------------------------------------------------------------------- */

enum err
check_headers(struct schema_place *place, const struct named_secrets *headers,
              const char *tenant_header, const char *signer)
{
    const char *key = schema_given_of(place, GROUP_AUTHORIZATION);
    if (key == NULL) key = signer;
    for (uint32_t i = 0; i < headers->count; i++) {
        const char *name = headers->items[i].name;
        if (key != NULL && strcasecmp(name, "Authorization") == 0)
            return schema_complain(place, "headers", "header %s is set by %s", name, key);
        if (tenant_header != NULL && strcasecmp(name, tenant_header) == 0)
            return schema_complain(place, "headers", "header %s is set by tenant_header", name);
        for (uint32_t j = 0; j < i; j++) {
            if (strcasecmp(name, headers->items[j].name) != 0) continue;
            return schema_complain(place, "headers", "%s and %s are the same header",
                                   headers->items[j].name, name);
        }
    }
    if (key != NULL && tenant_header != NULL && strcasecmp(tenant_header, "Authorization") == 0) {
        return schema_complain(place, "tenant_header", "header %s is set by %s", tenant_header,
                               key);
    }
    return OK;
}

enum err
check_tenants(struct schema_place *place, const struct text_list *tenants, const char *type,
              bool *ret_several)
{
    const struct typed_context *context = schema_reader_of(place)->context;
    bool all = false;
    for (uint32_t i = 0; i < tenants->count; i++)
        all |= strcmp(tenants->items[i], "all") == 0;
    *ret_several = false;
    if (all && tenants->count > 1)
        return schema_complain(place, "tenants", "all cannot be combined with other tenants");
    if (!context->settings->tenancy_enabled) {
        bool fine = tenants->count == 0 || all ||
                    (tenants->count == 1 && strcmp(tenants->items[0], "anonymous") == 0);
        if (fine) return OK;
        return schema_complain(place, "tenants",
                               "tenancy.enabled is false: expected [anonymous] or all");
    }
    if (tenants->count == 0) {
        return schema_complain(place, NULL,
                               "tenancy.enabled is true: type %s requires 'tenants', a list or all",
                               type);
    }
    *ret_several = all || tenants->count > 1;
    return OK;
}

enum err
check_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb,
               bool has_organization)
{
    static const struct {
        const char *key;
        bool has[4], needed[4]; /* by version */
        const char *versions;
    } keys[] = {
        {"database", {0, 1, 0, 1}, {0, 1, 0, 1}, "versions 1 and 3"},
        {"retention_policy", {0, 1, 0, 0}, {0}, "version 1"},
        {"org", {0, 0, 1, 0}, {0, 0, 1, 0}, "version 2"},
        {"bucket", {0, 0, 1, 0}, {0, 0, 1, 0}, "version 2"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!has_organization && strcmp(keys[i].key, "org") == 0) continue;
        bool given = schema_given(place, keys[i].key);
        if (keys[i].needed[influxdb->version] && !given) {
            return schema_complain(place, NULL, "type influxdb with version %d requires '%s'",
                                   (int)influxdb->version, keys[i].key);
        }
        if (!given || keys[i].has[influxdb->version]) continue;
        return schema_complain(place, keys[i].key, "is only valid for %s, not %d", keys[i].versions,
                               (int)influxdb->version);
    }
    return OK;
}

/* --- tables ----------------------------------------------------------------------------------- */

_Static_assert(offsetof(struct sigv4_settings, given) == 0, "the schema says given_first");

static const struct schema_key tls_keys[] = {
    {"ca_file", SCHEMA_TEXT, AT(tls_settings, ca_file), .is_path = true, .what = "a path",
     .help = "PEM file with the CA certificates to trust; default: that of the variable "
             "SSL_CERT_FILE, else those of the system"},
    {"cert_file", SCHEMA_TEXT, AT(tls_settings, cert_file), .is_path = true, .what = "a path",
     .needs = "key_file", .help = "PEM file with the client certificate"},
    {"key_file", SCHEMA_TEXT, AT(tls_settings, key_file), .is_path = true, .what = "a path",
     .needs = "cert_file", .help = "PEM file with the key of the client certificate"},
    {"server_name", SCHEMA_TEXT, AT(tls_settings, server_name),
     .help = "name expected in the server's certificate; default: the host of the URL"},
    {"min_version", SCHEMA_TEXT, AT(tls_settings, min_version), .check = check_tls_version,
     .what = "one of TLS10, TLS11, TLS12, TLS13", .help = "minimum TLS version"},
    {"max_version", SCHEMA_TEXT, AT(tls_settings, max_version), .check = check_tls_version,
     .what = "one of TLS10, TLS11, TLS12, TLS13", .help = "maximum TLS version"},
    {"insecure_skip_verify", SCHEMA_BOOL, AT(tls_settings, insecure_skip_verify),
     .fallback = "false", .help = "do not verify the server's certificate"},
    {NULL},
};
/* Prometheus allows these texts in the file itself. libcurl with GnuTLS reads them from files
 * only. */
static const struct schema_refusal no_tls_texts[] = {
    {"ca", "is not supported; write the certificates to a file, and use 'ca_file'"},
    {"cert", "is not supported; write the certificate to a file, and use 'cert_file'"},
    {"key", "is not supported; write the key to a file, and use 'key_file'"},
    {NULL},
};
const struct schema tls_schema = {tls_keys, sizeof(struct tls_settings), .refused = no_tls_texts,
                                  .check = check_tls};

static const struct schema_key basic_auth_keys[] = {
    {"username", SCHEMA_TEXT, AT(basic_auth_settings, username), .group = GROUP_USERNAME,
     .required = true, .help = "user name"},
    {"username_file", SCHEMA_TEXT, AT(basic_auth_settings, username_file), .is_path = true,
     .group = GROUP_USERNAME, .what = "a path",
     .help = "file that contains the value; read each time it is needed"},
    SECRET("password", basic_auth_settings, password, GROUP_SECRET, 0, NULL, false, "password"),
    {NULL},
};
const struct schema basic_auth_schema = {basic_auth_keys, sizeof(struct basic_auth_settings)};

static const struct schema_key authorization_keys[] = {
    {"type", SCHEMA_TEXT, AT(authorization_settings, type), .fallback = "Bearer",
     .check = check_authorization_type, .help = "scheme in the Authorization header"},
    SECRET("credentials", authorization_settings, credentials, GROUP_SECRET, 0, NULL, true,
           "credentials in the Authorization header"),
    {NULL},
};
const struct schema authorization_schema = {authorization_keys,
                                            sizeof(struct authorization_settings)};

_Static_assert(offsetof(struct http_header_values, name) == 0,
               "a map's items begin with their name");

static const struct schema_key http_header_keys[] = {
    {"values", SCHEMA_TEXTS, ITEMS(http_header_values, values.items, values.count), .max = 16,
     .help = "values"},
    {"secrets", SCHEMA_SECRETS, ITEMS(http_header_values, secrets.items, secrets.count), .max = 16,
     .help = "values that are secrets"},
    {"files", SCHEMA_TEXTS, ITEMS(http_header_values, files.items, files.count), .max = 16,
     .is_path = true, .what = "a path",
     .help = "files that contain a value; read each time it is needed"},
    {NULL},
};
const struct schema http_header_schema = {http_header_keys, sizeof(struct http_header_values)};

static const struct schema_key oauth2_keys[] = {
    {"client_id", SCHEMA_TEXT, AT(oauth2_settings, client_id), .required = true,
     .help = "OAuth 2.0 client ID"},
    SECRET("client_secret", oauth2_settings, client_secret, GROUP_SECRET, 0, NULL, true,
           "OAuth 2.0 client secret"),
    {"token_url", SCHEMA_TEXT, AT(oauth2_settings, token_url), .required = true, .check = check_url,
     .what = "a URL", .help = "URL that issues tokens"},
    {"scopes", SCHEMA_TEXTS, ITEMS(oauth2_settings, scopes.items, scopes.count), .max = 64,
     .help = "scopes of the token"},
    {"endpoint_params", SCHEMA_NAMED_SECRETS,
     ITEMS(oauth2_settings, endpoint_params.items, endpoint_params.count), .max = 64,
     .help = "additional parameters of the token request; values are secrets"},
    HTTP_KEYS(oauth2_settings, http, 0),
    {NULL},
};
const struct schema oauth2_schema = {oauth2_keys, sizeof(struct oauth2_settings)};

static const struct schema_key sigv4_keys[] = {
    {"region", SCHEMA_TEXT, AT(sigv4_settings, aws.region), .check = check_region,
     .help = "region to sign requests for; default: from the AWS configuration"},
    AWS_KEYS(sigv4_settings, aws, 0),
    {"service_name", SCHEMA_TEXT, AT(sigv4_settings, service), .fallback = "aps",
     .help = "service to sign requests for"},
    {NULL},
};
const struct schema sigv4_schema = {sigv4_keys, sizeof(struct sigv4_settings), .given_first = true};

static const struct schema_key relabel_keys[] = {
    {"source_labels", SCHEMA_BYTES_LIST, ITEMS(relabel_spec, source_labels, source_label_count),
     .max = 64, .help = "labels whose values are joined and matched against `regex`"},
    {"separator", SCHEMA_BYTES, AT(relabel_spec, separator), .may_be_empty = true,
     .any_control = true, .help = "text between the joined values; default `;`"},
    {"regex", SCHEMA_BYTES, AT(relabel_spec, regex), .may_be_empty = true, .any_control = true,
     .what = "a regex", .help = "RE2 expression that must match the whole text; default `(.*)`"},
    {"target_label", SCHEMA_BYTES, AT(relabel_spec, target_label),
     .help = "label that receives the result"},
    {"replacement", SCHEMA_BYTES, AT(relabel_spec, replacement), .may_be_empty = true,
     .any_control = true, .help = "result, with groups as `$1`; default `$1`"},
    {"modulus", SCHEMA_COUNT64, AT(relabel_spec, modulus), .min = 1, .max = UINT64_MAX,
     .quiet = true, .help = "modulus of the hash of the joined values"},
    {"action", SCHEMA_CHOICE, AT(relabel_spec, action), .fallback = "replace", .any_case = true,
     .choices = "replace|keep|drop|keepequal|dropequal|hashmod|labelmap|labeldrop|labelkeep|"
                "lowercase|uppercase",
     .help = "action, as in Prometheus"},
    {NULL},
};
const struct schema relabel_schema = {relabel_keys, sizeof(struct relabel_spec),
                                      .check = check_relabel};
