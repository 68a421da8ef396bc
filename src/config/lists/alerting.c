/*
 * alerting.c - reads and prints the section `alerting`, except for settings, by tables that are
 * written like those of destinations.c. Names of keys are those of Prometheus; keys that Firekeep
 * does not have are refused with a sentence of their own.
 */
#include "config/lists/lists.h"

#include <strings.h>

#include "config/lists/shared_keys.h"
#include "config/schema/schema.h"
#include "notify/settings.h"
#include "sys/paths.h"

/* --- texts ------------------------------------------------------------------------------------ */

static enum err
check_scheme(const char *text, struct why *why)
{
    if (strcmp(text, "http") == 0 || strcmp(text, "https") == 0) return OK;
    return refuse_text(why, "http or https", text);
}

static enum err
check_api_version(const char *text, struct why *why)
{
    if (strcmp(text, "v2") == 0) return OK;
    if (strcmp(text, "v1") != 0) return refuse_text(why, "v2", text);
    return why_set(why, ERR_INPUT,
                   "v1 is not supported: Alertmanager has v2 since version 0.16, and no v1 since "
                   "0.27; use v2");
}

static enum err
check_target(const char *text, struct why *why)
{
    if (strchr(text, '@') != NULL) { /* the part before it may be a password */
        return why_set(why, ERR_INPUT,
                       "expected HOST:PORT, without a user or password: use basic_auth");
    }
    if (strpbrk(text, "/?#\\ ") == NULL) return OK;
    return refuse_text(why, "HOST:PORT, without a scheme, path or query", text);
}

static enum err
check_target_file(const char *text, struct why *why)
{
    static const char *const ends[] = {".json", ".yml", ".yaml"};
    size_t size = strlen(text);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t end = strlen(ends[i]);
        if (size <= end || strcasecmp(text + size - end, ends[i]) != 0) continue;
        return file_pattern_check(text, why);
    }
    return refuse_text(why, "a path or pattern that ends with .json, .yml or .yaml", text);
}

/* --- mappings --------------------------------------------------------------------------------- */

static enum err
check_dns_members(struct schema_place *place, void *base)
{
    const struct dns_members *dns = base;
    if (dns->names.count == 0)
        return schema_complain(place, "names", "must name at least one domain");
    if (dns->type == DNS_SRV || dns->port != 0) return OK;
    return schema_complain(place, NULL, "requires 'port' with any type but SRV");
}

static enum err
check_file_members(struct schema_place *place, void *base)
{
    const struct file_members *files = base;
    if (files->files.count > 0) return OK;
    return schema_complain(place, "files", "must name at least one file");
}

static enum err
check_http_members(struct schema_place *place, void *base)
{
    struct http_members *http = base;
    return take_http_headers(place, &http->http_headers, &http->http.headers);
}

static enum err
check_alertmanager(struct schema_place *place, void *base)
{
    struct alertmanager_settings *a = base;
    a->line = schema_line(place);
    return take_http_headers(place, &a->http_headers, &a->http.headers);
}

#define ALERTING_OF(f) AT(alertmanager_settings, f)

/* --- unsupported keys of Prometheus ----------------------------------------------------------- */

/* Keys of every mapping that configures HTTP requests. */
#define NO_CLIENT_KEYS                                                                 \
    {"follow_redirects", "is not supported: redirects are never followed; remove it"}, \
        {"enable_http2", "is not supported: requests use HTTP/1.1; remove it"},        \
        NO_PROXY_AND_TOKEN_KEYS

#define NO_DISCOVERY "is not supported; use dns_sd_configs, file_sd_configs or http_sd_configs"

static const struct schema_refusal refused_of_http[] = {NO_CLIENT_KEYS, {NULL}};

static const struct schema_refusal refused[] = {
    NO_CLIENT_KEYS,
    {"http_config", "is a key of Thanos: put what is below it beside 'static_configs'"},
    {"azure_sd_configs", NO_DISCOVERY},
    {"consul_sd_configs", NO_DISCOVERY},
    {"digitalocean_sd_configs", NO_DISCOVERY},
    {"docker_sd_configs", NO_DISCOVERY},
    {"dockerswarm_sd_configs", NO_DISCOVERY},
    {"ec2_sd_configs", NO_DISCOVERY},
    {"eureka_sd_configs", NO_DISCOVERY},
    {"gce_sd_configs", NO_DISCOVERY},
    {"hetzner_sd_configs", NO_DISCOVERY},
    {"ionos_sd_configs", NO_DISCOVERY},
    {"kubernetes_sd_configs", NO_DISCOVERY},
    {"kuma_sd_configs", NO_DISCOVERY},
    {"lightsail_sd_configs", NO_DISCOVERY},
    {"linode_sd_configs", NO_DISCOVERY},
    {"marathon_sd_configs", NO_DISCOVERY},
    {"nerve_sd_configs", NO_DISCOVERY},
    {"nomad_sd_configs", NO_DISCOVERY},
    {"openstack_sd_configs", NO_DISCOVERY},
    {"ovhcloud_sd_configs", NO_DISCOVERY},
    {"puppetdb_sd_configs", NO_DISCOVERY},
    {"scaleway_sd_configs", NO_DISCOVERY},
    {"serverset_sd_configs", NO_DISCOVERY},
    {"stackit_sd_configs", NO_DISCOVERY},
    {"triton_sd_configs", NO_DISCOVERY},
    {"uyuni_sd_configs", NO_DISCOVERY},
    {"vultr_sd_configs", NO_DISCOVERY},
    {NULL},
};

/* --- sources of members ----------------------------------------------------------------------- */

static const struct schema_key static_keys[] = {
    {"targets", SCHEMA_TEXTS, ITEMS(static_members, targets.items, targets.count), .max = 1000,
     .may_be_nothing = true, .check = check_target, .what = "HOST:PORT",
     .help = "addresses of members"},
    {"labels", SCHEMA_NAMED_TEXTS, ITEMS(static_members, labels.items, labels.count), .max = 64,
     .may_be_empty = true, .any_control = true, .may_be_nothing = true,
     .help = "labels of these members, for `relabel_configs`"},
    {NULL},
};
static const struct schema static_schema = {static_keys, sizeof(struct static_members)};

static const struct schema_key dns_keys[] = {
    {"names", SCHEMA_TEXTS, ITEMS(dns_members, names.items, names.count), .max = 64,
     .required = true, .what = "a domain name", .help = "names to look up"},
    {"type", SCHEMA_CHOICE, AT(dns_members, type), .fallback = "SRV", .any_case = true,
     .choices = "SRV|A|AAAA|MX|NS", .help = "type of the records"},
    {"port", SCHEMA_COUNT, AT(dns_members, port), .min = 1, .max = 65535, .quiet = true,
     .help = "port of the members; required with any type but SRV"},
    {"refresh_interval", SCHEMA_DURATION, AT(dns_members, refresh_ms), .fallback = "30s",
     .min = 100, .max = DAY, .help = "how often to look up the names"},
    {NULL},
};
static const struct schema dns_schema = {dns_keys, sizeof(struct dns_members),
                                         .check = check_dns_members};

static const struct schema_key file_keys[] = {
    {"files", SCHEMA_TEXTS, ITEMS(file_members, files.items, files.count), .max = 64,
     .required = true, .is_path = true, .check = check_target_file, .what = "a path or pattern",
     .help = "JSON or YAML files with lists of targets, with wildcards in the name of the file"},
    {"refresh_interval", SCHEMA_DURATION, AT(file_members, refresh_ms), .fallback = "5m",
     .min = 100, .max = DAY, .help = "maximum time before a changed file is read"},
    {NULL},
};
static const struct schema file_schema = {file_keys, sizeof(struct file_members),
                                          .check = check_file_members};

static const struct schema_key http_keys[] = {
    {"url", SCHEMA_TEXT, AT(http_members, url), .required = true, .check = check_url,
     .what = "a URL", .help = "URL that answers with a JSON list of targets"},
    {"refresh_interval", SCHEMA_DURATION, AT(http_members, refresh_ms), .fallback = "1m",
     .min = 100, .max = DAY, .help = "how often to ask"},
    HTTP_KEYS(http_members, http, 0),
    HTTP_HEADERS_KEY(http_members),
    BASIC_AUTH_KEY(http_members, basic_auth, 0),
    AUTHORIZATION_KEY(http_members, authorization, 0),
    OAUTH2_KEY(http_members, oauth2, 0),
    {NULL},
};
static const struct schema http_schema = {http_keys, sizeof(struct http_members),
                                          .refused = refused_of_http, .check = check_http_members};

/* --- an Alertmanager -------------------------------------------------------------------------- */

static const struct schema_key alertmanager_keys[] = {
    {"static_configs", SCHEMA_MAPPINGS, ITEMS(alertmanager_settings, static_configs, static_count),
     .max = 64, .may_be_nothing = true, .inner = &static_schema,
     .help = "members that are listed here"},
    {"dns_sd_configs", SCHEMA_MAPPINGS, ITEMS(alertmanager_settings, dns_configs, dns_count),
     .max = 64, .may_be_nothing = true, .inner = &dns_schema, .help = "members found by DNS"},
    {"file_sd_configs", SCHEMA_MAPPINGS, ITEMS(alertmanager_settings, file_configs, file_count),
     .max = 64, .may_be_nothing = true, .inner = &file_schema, .help = "members listed in files"},
    {"http_sd_configs", SCHEMA_MAPPINGS, ITEMS(alertmanager_settings, http_configs, http_count),
     .max = 64, .may_be_nothing = true, .inner = &http_schema,
     .help = "members that a server lists"},
    {"relabel_configs", SCHEMA_MAPPINGS, ITEMS(alertmanager_settings, relabel, relabel_count),
     .max = 256, .may_be_nothing = true, .inner = &relabel_schema,
     .help = "rules that change or drop members by their labels, applied in order"},
    {"alert_relabel_configs", SCHEMA_MAPPINGS,
     ITEMS(alertmanager_settings, alert_relabel, alert_relabel_count), .max = 256,
     .may_be_nothing = true, .inner = &relabel_schema,
     .help = "rules that change or drop alerts for this Alertmanager, after those of all"},
    {"scheme", SCHEMA_TEXT, ALERTING_OF(scheme), .fallback = "http", .check = check_scheme,
     .what = "http or https", .help = "scheme of the members' URLs"},
    {"path_prefix", SCHEMA_TEXT, ALERTING_OF(path_prefix), .fallback = "/", .max = 1024,
     .may_be_empty = true, .what = "a path", .help = "path before that of the API"},
    {"api_version", SCHEMA_TEXT, ALERTING_OF(api_version), .fallback = "v2",
     .check = check_api_version, .what = "v2", .help = "version of Alertmanager's API"},
    {"timeout", SCHEMA_DURATION, ALERTING_OF(timeout_ms), .fallback = "10s", .min = 1, .max = HOUR,
     .help = "maximum time for one request"},
    HTTP_KEYS(alertmanager_settings, http, 0),
    HTTP_HEADERS_KEY(alertmanager_settings),
    BASIC_AUTH_KEY(alertmanager_settings, basic_auth, 0),
    AUTHORIZATION_KEY(alertmanager_settings, authorization, 0),
    SIGV4_KEY(alertmanager_settings, sigv4, 0),
    OAUTH2_KEY(alertmanager_settings, oauth2, 0),
    {NULL},
};
const struct schema alertmanager_schema = {alertmanager_keys, sizeof(struct alertmanager_settings),
                                           .refused = refused, .check = check_alertmanager};

/* --- the section ------------------------------------------------------------------------------ */

static enum err
check_tenant_label(const char *text, struct why *why)
{
    if (strcmp(text, "alertname") != 0) return check_added_label(text, why);
    return why_set(why, ERR_INPUT, "alertname is the name of the alert");
}

static const struct schema_key alerting_keys[] = {
    {"alert_relabel_configs", SCHEMA_MAPPINGS, ITEMS(alerting, alert_relabel, alert_relabel_count),
     .max = 256, .may_be_nothing = true, .inner = &relabel_schema,
     .help = "rules that change or drop alerts before they are sent, applied in order"},
    {"tenant_label", SCHEMA_TEXT, AT(alerting, tenant_label), .check = check_tenant_label,
     .what = "a label name", .help = "label that receives the tenant name, before relabelling"},
    {"alertmanagers", SCHEMA_MAPPINGS, ITEMS(alerting, items, count), .max = ALERTMANAGERS_MAX,
     .may_be_nothing = true, .inner = &alertmanager_schema,
     .help = "Alertmanagers, or clusters of them"},
    {NULL},
};
const struct schema alerting_schema = {alerting_keys, sizeof(struct alerting), .partial = true};

/* The mapping is embedded in the struct itself. */
static const struct schema_key root_keys[] = {
    {"alerting", SCHEMA_MAPPING, .offset = 0, .size = sizeof(struct alerting),
     .may_be_nothing = true, .inner = &alerting_schema, .help = "to whom alerts are sent"},
    {NULL},
};
const struct schema alerting_root_schema = {root_keys, sizeof(struct alerting), .partial = true};

/* --- reading and printing --------------------------------------------------------------------- */

enum err
alerting_yaml(const char *file_name, struct bytes text, const struct settings *settings,
              struct alerting *ret_alerting, struct why *why)
{
    struct alerting read = {NULL};
    const struct root_context root = {settings, file_name, NULL};
    struct arena *arena;
    enum err e = root_keys_yaml(&alerting_root_schema, &root, text, &read, &arena, why);
    if (e) return e;
    read.arena = arena;
    for (uint32_t i = 0; e == OK && i < read.count; i++)
        e = schema_hash(&alertmanager_schema, 0, &read.items[i], &read.items[i].hash);
    if (e == OK)
        *ret_alerting = read;
    else
        alerting_free(&read);
    return e ? why_set(why, e, "%s: not enough memory", file_name) : OK;
}

void
alerting_print_yaml(const struct alerting *alerting, struct buf *to)
{
    enum { KEYS_INDENT = 4 };
    schema_print(to, &alerting_schema, 0, alerting, KEYS_INDENT, false);
}
