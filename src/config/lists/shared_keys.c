/* shared_keys.c - tables of mappings that several lists of the configuration file have. */
#include "config/lists/shared_keys.h"

#include <stdio.h>

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

static bool
parse_action(struct bytes text, void *base)
{
    struct relabel_spec *spec = base;
    enum relabel_action action = relabel_action_of(text);
    if (action == RELABEL_ACTION_COUNT) return false;
    spec->action = action;
    return true;
}

static void
print_action(const void *base, char *to, size_t size)
{
    const struct relabel_spec *spec = base;
    snprintf(to, size, "%s", relabel_action_word(spec->action));
}

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
    {"action", SCHEMA_OWN, AT(relabel_spec, action), .fallback = "replace", .parse = parse_action,
     .print = print_action,
     .what = "one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, "
             "labelkeep, lowercase, uppercase",
     .help = "action, as in Prometheus"},
    {NULL},
};
const struct schema relabel_schema = {relabel_keys, sizeof(struct relabel_spec),
                                      .check = check_relabel};
