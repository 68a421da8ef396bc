/*
 * alerting_checks.c - checks that the tables of alerting_keys.c cannot express; shared_checks.c
 * says how checks are written.
 */
#include "config/lists/rules/alerting_checks.h"

#include <strings.h>

#include "base/text/path_from.h"
#include "config/lists/root_keys.h"
#include "config/lists/shared_keys.h"
#include "notify/settings.h"
#include "sys/file_pattern.h"

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
    return take_http_headers(place, &http->http_headers, &http->http.headers);
}

enum err
check_alertmanager(struct schema_place *place, void *base)
{
    struct alertmanager_settings *a = base;
    a->line = schema_line(place);
    return take_http_headers(place, &a->http_headers, &a->http.headers);
}
