/*
 * destination_rules.c - what the tables of destination_keys.c cannot say: the form of a value (a
 * name, a URL, a region, a selector), and what several keys of a mapping must agree on. A rule of
 * one value gets its text and has no place; schema.c adds file, line, column and key. A rule of a
 * mapping runs when all of it was read, and names the key that is in the way. A sentence never
 * shows what may be a secret: values of headers, and URLs with an '@' in them.
 */
#include "config/destination_rules.h"

#include <curl/curl.h>
#include <strings.h>

#include "config/typed_list.h"
#include "model/tenant_name.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static enum err
expected(struct why *why, const char *what, const char *text)
{
    return why_set(why, ERR_INPUT, "expected %s, got %s", what, shown_of(bytes_of_text(text)).text);
}

/* --- words ------------------------------------------------------------------------------------ */

static bool
consists_of(const char *text, const char *set)
{
    return text[strspn(text, set)] == 0;
}

enum err
rule_destination_name(const char *text, struct why *why)
{
    if (text[0] != '.' && consists_of(text, LETTERS DIGITS "-_.")) return OK;
    return expected(why, "letters, digits, '-', '_' and '.', not beginning with '.'", text);
}

enum err
rule_tenant(const char *text, struct why *why)
{
    return tenant_name_check(bytes_of_text(text), why);
}

enum err
rule_region(const char *text, struct why *why)
{
    /* It becomes part of hosts' names. */
    if (consists_of(text, "abcdefghijklmnopqrstuvwxyz" DIGITS "-")) return OK;
    return expected(why, "a region such as eu-west-1", text);
}

enum err
rule_tls_version(const char *text, struct why *why)
{
    static const char *const versions[] = {"TLS10", "TLS11", "TLS12", "TLS13"};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        if (strcmp(text, versions[i]) == 0) return OK;
    }
    return expected(why, "one of TLS10, TLS11, TLS12, TLS13", text);
}

enum err
rule_authorization_type(const char *text, struct why *why)
{
    if (strcasecmp(text, "basic") != 0) return OK;
    return why_set(why, ERR_INPUT, "use basic_auth for the scheme Basic");
}

enum err
rule_header_name(const char *text, struct why *why)
{
    if (!consists_of(text, LETTERS DIGITS "!#$%&'*+-.^_`|~")) { /* RFC 9110: token */
        return expected(why, "a header name", text);
    }
    /* What a request has anyway; the others depend on the destination. */
    static const char *const names[] = {
        "Connection", "Content-Encoding",  "Content-Length", "Content-Type",
        "Host",       "Transfer-Encoding", "User-Agent",     "X-Prometheus-Remote-Write-Version",
    };
    bool own = strncasecmp(text, "X-Amz-", 6) == 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        own |= strcasecmp(text, names[i]) == 0;
    }
    if (!own) return OK;
    return why_set(why, ERR_INPUT, "header %s is set by Firekeep and cannot be changed",
                   shown_of(bytes_of_text(text)).text);
}

enum err
rule_template(const char *text, struct why *why)
{
    for (const char *p = text; (p = strstr(p, "${")) != NULL;) {
        p += 2;
        size_t size = strcspn(p, "{}");
        if (size == 0 || p[size] != '}') {
            return expected(why, "a name and '}' after each '${'", text);
        }
        p += size + 1;
    }
    return OK;
}

enum err
rule_tenant_template(const char *text, struct why *why)
{
    static const char tenant[] = "${tenant}";
    enum err e = rule_template(text, why);
    for (const char *p = text; e == OK && (p = strstr(p, "${")) != NULL; p++) {
        if (strncmp(p, tenant, strlen(tenant)) == 0) continue;
        e = why_set(why, ERR_INPUT, "only ${tenant} can be used here, got %s",
                    shown_of(bytes_of_text(p)).text);
    }
    return e;
}

enum err
rule_tenant_label(const char *text, struct why *why)
{
    if (strcmp(text, "__name__") != 0) return OK;
    return why_set(why, ERR_INPUT, "__name__ is reserved for the metric name");
}

enum err
rule_selector(const char *text, struct why *why)
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
    if (strchr(text, '@') == NULL) return expected(why, what, text);
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

/* `advice` NULL: a user and a password may be in it. */
static enum err
check_url(const char *text, const char *advice, struct why *why)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    if (scheme == 0 || text[scheme] == '/') return no_url(text, why); /* curl takes a third slash */
    CURLU *url = curl_url();
    if (url == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a URL");
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);
    enum err e = OK;
    if (code == CURLUE_OUT_OF_MEMORY) {
        e = why_set(why, ERR_NOMEM, "not enough memory for a URL");
    } else if (code != CURLUE_OK || !has_part(url, CURLUPART_HOST)) {
        e = no_url(text, why);
    } else if (advice != NULL &&
               (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))) {
        e = why_set(why, ERR_INPUT, "must not contain a user name or password%s", advice);
    } else if (strchr(text, '#') != NULL) {
        e = why_set(why, ERR_INPUT, "must not contain a fragment ('#...')");
    }
    curl_url_cleanup(url);
    return e;
}

enum err
rule_url(const char *text, struct why *why)
{
    return check_url(text, "; use basic_auth", why);
}

enum err
rule_endpoint(const char *text, struct why *why)
{
    return check_url(text, "", why);
}

enum err
rule_proxy(const char *text, struct why *why)
{
    return text[0] == 0 ? OK : check_url(text, NULL, why);
}

/* --- mappings --------------------------------------------------------------------------------- */

enum err
rule_tls(struct schema_place *place, void *base)
{
    const struct tls_settings *tls = base;
    if (tls->min_version == NULL || tls->max_version == NULL) return OK;
    if (strcmp(tls->min_version, tls->max_version) <= 0) return OK;
    return schema_complain(place, "max_version", "%s is older than min_version %s",
                           tls->max_version, tls->min_version);
}

enum err
rule_retry(struct schema_place *place, void *base)
{
    const struct retry_settings *retry = base;
    if (retry->min_backoff_ms <= retry->max_backoff_ms) return OK;
    const char *given = schema_given(place, "max_backoff") ? "max_backoff" : "min_backoff";
    return schema_complain(place, given, "max_backoff must be at least min_backoff");
}

/* OK, or why no rule can be made of it. Rules are compiled again by who applies them. */
static enum err
try_rule(const struct relabel_spec *spec, struct why *why)
{
    struct relabel *relabel = NULL;
    enum err e = relabel_new(spec, 1, &relabel, why);
    relabel_free(relabel);
    return e;
}

enum err
rule_relabel(struct schema_place *place, void *base)
{
    const struct relabel_spec *spec = base;
    const char *key = NULL;
    struct why why = {""};
    enum err e = try_rule(spec, &why);
    if (e == OK) return OK;
    if (spec->regex.at != NULL) {
        /* Is it the regex, whose place is then named? */
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
    /* The place says which rule it is. */
    static const char number[] = "relabel rule 1: ";
    bool numbered = strncmp(why.text, number, sizeof number - 1) == 0;
    return schema_complain(place, key, "%s", why.text + (numbered ? sizeof number - 1 : 0));
}

/* --- a destination ---------------------------------------------------------------------------- */

/* Which key sets the header Authorization; NULL: none. */
static const char *
authorization_key(const struct schema_place *place, const struct destination_settings *d)
{
    static const char *const influxdb[] = {"token", "token_file", "basic_auth", NULL};
    static const char *const opentsdb[] = {"basic_auth", "authorization", NULL};
    static const char *const remote_write[] = {"basic_auth", "authorization", "sigv4", "oauth2",
                                               NULL};
    static const char *const none[] = {NULL};
    const char *const *keys = d->type == DESTINATION_INFLUXDB       ? influxdb
                              : d->type == DESTINATION_OPENTSDB     ? opentsdb
                              : d->type == DESTINATION_REMOTE_WRITE ? remote_write
                                                                    : none;
    while (*keys != NULL && !schema_given(place, *keys)) {
        keys++;
    }
    return *keys;
}

static enum err
check_headers(struct schema_place *place, const struct destination_settings *d)
{
    const struct named_secrets *headers = &d->http.headers;
    const char *key = authorization_key(place, d);
    bool is_signed = d->type == DESTINATION_FIREHOSE || d->type == DESTINATION_KINESIS ||
                     d->type == DESTINATION_S3 || d->type == DESTINATION_TIMESTREAM;
    for (uint32_t i = 0; i < headers->count; i++) {
        const char *name = headers->items[i].name;
        bool authorization = strcasecmp(name, "Authorization") == 0;
        if (authorization && (key != NULL || is_signed)) {
            return schema_complain(place, "headers", "header %s is set by %s", name,
                                   key == NULL ? "the request signature" : key);
        }
        if (d->tenant_header != NULL && strcasecmp(name, d->tenant_header) == 0) {
            return schema_complain(place, "headers", "header %s is set by tenant_header", name);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcasecmp(name, headers->items[j].name) != 0) continue;
            return schema_complain(place, "headers", "%s and %s are the same header",
                                   headers->items[j].name, name);
        }
    }
    if (key != NULL && d->tenant_header != NULL &&
        strcasecmp(d->tenant_header, "Authorization") == 0) {
        return schema_complain(place, "tenant_header", "header %s is set by %s", d->tenant_header,
                               key);
    }
    return OK;
}

static enum err
check_influxdb(struct schema_place *place, const struct influxdb_settings *influxdb)
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

static bool
names_tenant(const char *template)
{
    return template != NULL && strstr(template, "${tenant}") != NULL;
}

/* Whether one can tell tenants apart at the other end; if not, what else might do is `ret_else`. */
static bool
is_tenant_visible(const struct destination_settings *d, const char **ret_else)
{
    *ret_else = "";
    if (d->tenant_label != NULL) return true;
    switch (d->type) {
    case DESTINATION_REMOTE_WRITE:
        *ret_else = " or tenant_header";
        return d->tenant_header != NULL;
    case DESTINATION_S3:
        *ret_else = ", or ${tenant} in prefix";
        return names_tenant(d->u.s3.prefix);
    case DESTINATION_TIMESTREAM:
        *ret_else = ", or ${tenant} in database or table";
        return names_tenant(d->u.timestream.database) || names_tenant(d->u.timestream.table);
    case DESTINATION_FILE:
        *ret_else = ", or ${tenant} in path";
        return names_tenant(d->u.file.path);
    default:
        return false;
    }
}

static enum err
check_tenants(struct schema_place *place, const struct destination_settings *d)
{
    const struct typed_context *context = schema_reader_of(place)->context;
    const struct text_list *tenants = &d->tenants;
    bool all = false;
    for (uint32_t i = 0; i < tenants->count; i++) {
        all |= strcmp(tenants->items[i], "all") == 0;
    }
    if (all && tenants->count > 1) {
        return schema_complain(place, "tenants", "all cannot be combined with other tenants");
    }
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
                               destination_type_word(d->type));
    }
    const char *otherwise;
    if ((!all && tenants->count == 1) || is_tenant_visible(d, &otherwise)) return OK;
    return schema_complain(
        place, "tenants",
        "several tenants must be told apart at the destination: set tenant_label%s", otherwise);
}

enum err
rule_destination(struct schema_place *place, void *base)
{
    const struct destination_settings *d = base;
    enum err e = typed_list_check_name(place, d);
    if (e == OK) e = check_headers(place, d);
    if (e == OK && d->type == DESTINATION_INFLUXDB) e = check_influxdb(place, &d->u.influxdb);
    if (e == OK && d->type == DESTINATION_S3 && d->u.s3.kms_key_id != NULL &&
        d->u.s3.sse != S3_SSE_KMS) {
        e = schema_complain(place, "kms_key_id", "is only valid with sse: aws:kms");
    }
    return e ? e : check_tenants(place, d);
}
