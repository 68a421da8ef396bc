/*
 * alerting_checks.c - checks that the tables of alerting_keys.c cannot express; shared_checks.c
 * says how checks are written.
 */
#include "config/lists/alerting_checks.h"

#include <strings.h>

#include "base/text/path_from.h"
#include "config/lists/root_keys.h"
#include "config/lists/shared_keys.h"
#include "notify/settings.h"
#include "sys/file_pattern.h"

enum { HEADERS_MAX = 16 }; /* per request, counting all values of each */

/* --- texts ------------------------------------------------------------------------------------ */

enum err
check_scheme(const char *text, struct why *why)
{
    if (strcmp(text, "http") == 0 || strcmp(text, "https") == 0) return OK;
    return refuse_text(why, "http or https", text);
}

enum err
check_api_version(const char *text, struct why *why)
{
    if (strcmp(text, "v2") == 0) return OK;
    if (strcmp(text, "v1") != 0) return refuse_text(why, "v2", text);
    return why_set(why, ERR_INPUT,
                   "v1 is not supported: Alertmanager has v2 since version 0.16, and no v1 since "
                   "0.27; use v2");
}

enum err
check_target(const char *text, struct why *why)
{
    if (strchr(text, '@') != NULL) { /* the part before it may be a password */
        return why_set(why, ERR_INPUT,
                       "expected HOST:PORT, without a user or password: use basic_auth");
    }
    if (strpbrk(text, "/?#\\ ") == NULL) return OK;
    return refuse_text(why, "HOST:PORT, without a scheme, path or query", text);
}

enum err
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

/* --- headers ---------------------------------------------------------------------------------- */

static enum err
check_header(struct schema_place *place, const struct http_header_list *list, uint32_t index)
{
    const struct http_header_values *header = &list->items[index];
    const char *key = schema_given_of(place, GROUP_AUTHORIZATION);
    if (header->values.count + header->secrets.count + header->files.count == 0) {
        return schema_complain(place, "http_headers",
                               "header %s requires 'values', 'secrets' or 'files'", header->name);
    }
    if (key != NULL && strcasecmp(header->name, "Authorization") == 0) {
        return schema_complain(place, "http_headers", "header %s is set by %s", header->name, key);
    }
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
    for (uint32_t i = 0; i < header->values.count; i++) {
        *to++ = (struct named_secret){header->name, {.text = header->values.items[i]}};
    }
    for (uint32_t i = 0; i < header->secrets.count; i++) {
        *to++ = (struct named_secret){header->name, header->secrets.items[i]};
    }
    for (uint32_t i = 0; i < header->files.count; i++) {
        *to++ = (struct named_secret){header->name, {.file = header->files.items[i]}};
    }
    return to;
}

static enum err
take_headers(struct schema_place *place, const struct http_header_list *list,
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
    if (count > HEADERS_MAX) {
        return schema_complain(place, "http_headers", "at most %d values are allowed", HEADERS_MAX);
    }
    ret->items = arena_alloc(x->arena, count * sizeof *ret->items);
    if (ret->items == NULL) {
        return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
    }
    struct named_secret *to = ret->items;
    for (uint32_t i = 0; i < list->count; i++) {
        to = put_header_values(&list->items[i], to);
    }
    ret->count = count;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static void
take_tls_paths(struct root_paths *p, struct tls_settings *tls)
{
    root_path(p, &tls->ca_file);
    root_path(p, &tls->cert_file);
    root_path(p, &tls->key_file);
}

/* Makes the paths of all settings for HTTP requests absolute. */
static void
take_http_paths(struct root_paths *p, struct http_settings *http, struct basic_auth_settings *basic,
                struct authorization_settings *authorization, struct oauth2_settings *oauth2)
{
    take_tls_paths(p, &http->tls);
    for (uint32_t i = 0; i < http->headers.count; i++) {
        root_path(p, &http->headers.items[i].value.file);
    }
    root_path(p, &basic->username_file);
    root_path(p, &basic->password.file);
    root_path(p, &authorization->credentials.file);
    root_path(p, &oauth2->client_secret.file);
    take_tls_paths(p, &oauth2->http.tls);
}

/* --- mappings --------------------------------------------------------------------------------- */

enum err
check_dns_members(struct schema_place *place, void *base)
{
    const struct dns_members *dns = base;
    if (dns->names.count == 0) {
        return schema_complain(place, "names", "must name at least one domain");
    }
    if (dns->type == DNS_SRV || dns->port != 0) return OK;
    return schema_complain(place, NULL, "requires 'port' with any type but SRV");
}

enum err
check_file_members(struct schema_place *place, void *base)
{
    struct file_members *files = base;
    const struct schema_reader *x = schema_reader_of(place);
    const struct root_context *root = x->context;
    if (files->given.count == 0) {
        return schema_complain(place, "files", "must name at least one file");
    }
    files->files.items = arena_alloc(x->arena, files->given.count * sizeof *files->files.items);
    bool fine = files->files.items != NULL;
    for (uint32_t i = 0; i < files->given.count && fine; i++) {
        files->files.items[i] = path_from(x->arena, root->file_name, files->given.items[i]);
        fine = files->files.items[i] != NULL;
    }
    files->files.count = files->given.count;
    if (fine) return OK;
    return why_set(x->in->why, ERR_NOMEM, "%s: not enough memory", x->in->file_name);
}

enum err
check_http_members(struct schema_place *place, void *base)
{
    struct http_members *http = base;
    struct root_paths paths = {.reader = schema_reader_of(place)};
    enum err e = take_headers(place, &http->http_headers, &http->http.headers);
    if (e) return e;
    take_http_paths(&paths, &http->http, &http->basic_auth, &http->authorization, &http->oauth2);
    return root_paths_end(&paths);
}

enum err
check_alertmanager(struct schema_place *place, void *base)
{
    struct alertmanager_settings *a = base;
    struct root_paths paths = {.reader = schema_reader_of(place)};
    a->line = schema_line(place);
    enum err e = take_headers(place, &a->http_headers, &a->http.headers);
    if (e) return e;
    take_http_paths(&paths, &a->http, &a->basic_auth, &a->authorization, &a->oauth2);
    root_path(&paths, &a->sigv4.aws.access_key.file);
    root_path(&paths, &a->sigv4.aws.secret_key.file);
    root_path(&paths, &a->sigv4.aws.session_token.file);
    return root_paths_end(&paths);
}
