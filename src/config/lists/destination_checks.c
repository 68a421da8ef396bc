/*
 * destination_checks.c - checks that the tables of destination_keys.c cannot express and only
 * destinations have; the rest is in shared_checks.c, which says how checks are written.
 */
#include "config/lists/destination_checks.h"

#include <string.h>

#include "config/lists/shared_checks.h"
#include "config/schema/typed_list.h"

/* --- texts ------------------------------------------------------------------------------------ */

enum err
check_template(const char *text, struct why *why)
{
    for (const char *p = text; (p = strstr(p, "${")) != NULL;) {
        p += 2;
        size_t size = strcspn(p, "{}");
        if (size == 0 || p[size] != '}') {
            return refuse_text(why, "a name and '}' after each '${'", text);
        }
        p += size + 1;
    }
    return OK;
}

enum err
check_tenant_prefix(const char *text, struct why *why)
{
    enum err e = check_prefix(text, why);
    return e ? e : check_tenant_template(text, why);
}

enum err
check_tenant_template(const char *text, struct why *why)
{
    static const char tenant[] = "${tenant}";
    enum err e = check_template(text, why);
    for (const char *p = text; e == OK && (p = strstr(p, "${")) != NULL; p++) {
        if (strncmp(p, tenant, strlen(tenant)) == 0) continue;
        e = why_set(why, ERR_INPUT, "only ${tenant} can be used here, got %s",
                    shown_of(bytes_of_text(p)).text);
    }
    return e;
}

/* --- mappings --------------------------------------------------------------------------------- */

enum err
check_retry(struct schema_place *place, void *base)
{
    const struct retry_settings *retry = base;
    if (retry->min_backoff_ms <= retry->max_backoff_ms) return OK;
    const char *given = schema_given(place, "max_backoff") ? "max_backoff" : "min_backoff";
    return schema_complain(place, given, "max_backoff must be at least min_backoff");
}

/* --- a destination ---------------------------------------------------------------------------- */

static bool
names_tenant(const char *template)
{
    return template != NULL && strstr(template, "${tenant}") != NULL;
}

/* True if the other end can distinguish tenants; if not, `ret_else` names an alternative. */
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

enum err
check_destination(struct schema_place *place, void *base)
{
    const struct destination_settings *d = base;
    bool is_aws = d->type == DESTINATION_FIREHOSE || d->type == DESTINATION_KINESIS ||
                  d->type == DESTINATION_S3 || d->type == DESTINATION_TIMESTREAM;
    bool several;
    const char *otherwise;
    enum err e = typed_list_check_name(place, d);
    if (e == OK) {
        e = check_headers(place, &d->http.headers, d->tenant_header,
                          is_aws ? "the request signature" : NULL);
    }
    if (e == OK && d->type == DESTINATION_INFLUXDB) e = check_influxdb(place, &d->u.influxdb, true);
    if (e == OK && d->type == DESTINATION_S3 && d->u.s3.kms_key_id != NULL &&
        d->u.s3.sse != S3_SSE_KMS) {
        e = schema_complain(place, "kms_key_id", "is only valid with sse: aws:kms");
    }
    if (e == OK) e = check_tenants(place, &d->tenants, destination_type_word(d->type), &several);
    if (e || !several || is_tenant_visible(d, &otherwise)) return e;
    return schema_complain(
        place, "tenants",
        "several tenants cannot be distinguished at the destination: set tenant_label%s",
        otherwise);
}
