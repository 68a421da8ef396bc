/* handler.c - see handler.h. */
#include "api/handler.h"

#include "api/answer.h"
#include "auth/gate.h"
#include "model/tenant_name.h"
#include "views/stack.h"

/* --- tenants ---------------------------------------------------------------------------------- */

/* Cuts off what follows the name: Mimir sends "tenant:key=value:key=value". */
static struct bytes
without_metadata(struct bytes names)
{
    const uint8_t *colon = names.size == 0 ? NULL : memchr(names.at, ':', names.size);
    return colon == NULL ? names : bytes_of(names.at, (size_t)(colon - names.at));
}

/* Says whether the user may use each of the tenants that "|" separates. */
static bool
may_use_all(const struct user *user, struct bytes names)
{
    while (true) {
        const uint8_t *end = names.size == 0 ? NULL : memchr(names.at, '|', names.size);
        size_t size = end == NULL ? names.size : (size_t)(end - names.at);
        if (!user_may_use(user, bytes_of(names.at, size))) return false;
        if (end == NULL) return true;
        names = bytes_of(end + 1, names.size - size - 1);
    }
}

/* Returns the tenants that the header names, or the user's only one. */
static unsigned
name_sent(struct http_request *request, const struct user *user, struct bytes *ret_names,
          struct why *why)
{
    const char *name = http_header(request, "X-Scope-OrgID");
    const char *only = user == NULL ? NULL : user_only_tenant(user);
    bool is_ignored = user != NULL && user->tenant_header == TENANT_HEADER_IGNORE;
    if (name == NULL || name[0] == '\0' || is_ignored) name = only;
    if (name == NULL) {
        why_set(why, ERR_INPUT, "missing header X-Scope-OrgID");
        return 401;
    }
    if (name != only && http_header_count(request, "X-Scope-OrgID") > 1) {
        /* If a proxy adds the header, the first is the client's own. */
        why_set(why, ERR_INPUT, "header X-Scope-OrgID was sent more than once");
        return 400;
    }
    *ret_names = without_metadata(bytes_of_text(name));
    return 0;
}

static unsigned
name_tenant(const struct api *api, struct http_request *request,
            enum err (*check)(struct bytes name, struct why *why), struct bytes *ret_tenant,
            struct why *why)
{
    const struct user *user = gate_user(request);
    struct bytes names = bytes_of_text("anonymous");
    unsigned refused = api->options.tenancy ? name_sent(request, user, &names, why) : 0;
    if (refused != 0) return refused;
    enum err e = api->options.tenancy ? check(names, why) : OK;
    if (e) {
        why_prefix(why, e, "invalid X-Scope-OrgID");
        return 400;
    }
    if (user != NULL && !may_use_all(user, names)) {
        why_set(why, ERR_INPUT, "the user is not permitted to use this tenant");
        return 403;
    }
    *ret_tenant = names;
    return 0;
}

unsigned
tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
             struct why *why)
{
    return name_tenant(api, request, tenants_check, ret_tenant, why);
}

unsigned
one_tenant_named(const struct api *api, struct http_request *request, struct bytes *ret_tenant,
                 struct why *why)
{
    return name_tenant(api, request, tenant_name_check, ret_tenant, why);
}

static bool
is_named(struct http_request *request, unsigned refused, const struct why *why)
{
    if (refused != 0) reply_problem(request, refused, "bad_data", why->text);
    return refused == 0;
}

bool
tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant)
{
    struct why why;
    return is_named(request, tenant_named(api, request, ret_tenant, &why), &why);
}

bool
one_tenant_of(const struct api *api, struct http_request *request, struct bytes *ret_tenant)
{
    struct why why;
    return is_named(request, one_tenant_named(api, request, ret_tenant, &why), &why);
}

/* --- limits ----------------------------------------------------------------------------------- */

struct api_limits
api_limits_now(struct api *api)
{
    lock_take(&api->lock);
    struct api_limits limits = api->limits;
    lock_drop(&api->lock);
    return limits;
}

static bool
is_client_gone(void *request)
{
    return http_gone(request);
}

void
query_control_begin(struct api *api, struct http_request *request, struct budget *budget,
                    struct query_control *ret)
{
    struct env *env = api->options.env;
    struct api_limits limits = api_limits_now(api);
    ret->env = env;
    ret->budget = budget;
    ret->deadline_ns = env_monotonic_ns(env) + limits.read_timeout_ns;
    ret->is_gone = is_client_gone;
    ret->gone_context = request;
    ret->all_canceled = &api->reads_canceled;
    ret->series_max = limits.read_series_max;
    ret->bytes_max = limits.read_bytes_max;
    ret->names = &limits_of_reads;
}
