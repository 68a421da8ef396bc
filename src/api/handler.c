/* handler.c - see handler.h: tenants, limits, and the answers that all families of routes share. */
#include "api/handler.h"

#include <assert.h>
#include <stdio.h>

#include "auth/gate.h"
#include "base/text/texts.h"
#include "base/text/time_text.h"
#include "model/tenant_name.h"
#include "views/stack.h"

/* --- tenants ---------------------------------------------------------------------------------- */

/* Says whether the user may use each of the tenants that "|" separates. */
static bool
may_use_all(const struct user *user, struct bytes names)
{
    do {
        if (!user_may_use(user, text_cut(&names, '|'))) return false;
    } while (names.at != NULL);
    return true;
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
    struct bytes names = bytes_of_text(name);
    *ret_names = text_cut(&names, ':'); /* Mimir sends "tenant:key=value:key=value" */
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

enum { PAGE_BYTES_MAX = 256 * 1024 * 1024 };

/* --- errors ----------------------------------------------------------------------------------- */

/* The only table from errors to statuses. Data depends on it: a sender drops samples after 4xx and
 * repeats them after 5xx. A write that is too large is 413, as in every other receiver. A query
 * that exceeds a limit would fail again: 422. So would one that needs more memory than there is for
 * all, which memory_verdict() makes an ERR_LIMIT; otherwise others hold the memory: 503. */
static const struct {
    uint16_t status;
    uint16_t write_status, query_status; /* 0: `status` */
    const char *type;                    /* Prometheus' errorType */
    const char *query_type;              /* NULL: `type` */
} answers[ERR_COUNT] = {
    [OK] = {204},
    [ERR_INPUT] = {400, 0, 0, "bad_data", NULL},
    [ERR_LIMIT] = {400, 413, 422, "bad_data", "execution"},
    [ERR_AGAIN] = {503, 0, 0, "unavailable", NULL},
    [ERR_NOMEM] = {503, 0, 0, "unavailable", NULL},
    [ERR_FULL] = {503, 0, 0, "unavailable", NULL},
    [ERR_MISSING] = {404, 0, 500, "not_found", "internal"},
    [ERR_CORRUPT] = {500, 0, 0, "internal", NULL},
    [ERR_IO] = {500, 0, 0, "internal", NULL},
    [ERR_UNSUPPORTED] = {500, 501, 0, "internal", NULL},
    [ERR_CANCELED] = {503, 0, 0, "unavailable", "timeout"},
};

enum err
memory_verdict(enum err e, const struct budget *own)
{
    uint64_t limit = atomic_load_explicit(&own->parent->limit_bytes, memory_order_relaxed);
    uint64_t need = atomic_load_explicit(&own->lacking_bytes, memory_order_relaxed);
    return e == ERR_NOMEM && limit != 0 && need > limit - limit / 16 ? ERR_LIMIT : e;
}

unsigned
status_of(enum purpose purpose, enum err e)
{
    assert((unsigned)e < ERR_COUNT);
    unsigned special = purpose == FOR_WRITE   ? answers[e].write_status
                       : purpose == FOR_QUERY ? answers[e].query_status
                                              : 0;
    return special != 0 ? special : answers[e].status;
}

const char *
problem_type_of(enum purpose purpose, enum err e)
{
    assert((unsigned)e < ERR_COUNT);
    bool special = purpose == FOR_QUERY && answers[e].query_type != NULL;
    return special ? answers[e].query_type : answers[e].type;
}

void
reply_error(struct http_request *request, enum purpose purpose, enum err e, const struct why *why)
{
    char text[sizeof why->text + 2];
    assert(e != OK);
    int n = snprintf(text, sizeof text, "%s\n", why_text(why, e));
    struct http_answer answer = {
        .status = status_of(purpose, e),
        .content_type = "text/plain; charset=utf-8",
        .body = bytes_of(text, (size_t)n),
    };
    /* A repeated request would get the same answer. */
    if (e == ERR_CORRUPT)
        answer.headers[0] = (struct http_answer_header){"X-Firekeep-Error", "damaged"};
    else if (purpose == FOR_QUERY && (e == ERR_IO || e == ERR_UNSUPPORTED))
        answer.headers[0] = (struct http_answer_header){"X-Firekeep-Error", "permanent"};
    if (answer.status == 503)
        answer.headers[0] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    http_reply(request, &answer);
}

/* --- Prometheus' envelope --------------------------------------------------------------------- */

void
reply_json(struct http_request *request, unsigned status, const struct buf *text)
{
    struct http_answer answer = {
        .status = status, .content_type = "application/json", .body = buf_bytes(text)};
    http_reply(request, &answer);
}

void
reply_sentence(struct http_request *request, unsigned status, const char *type,
               struct bytes sentence)
{
    struct buf body;
    struct json j;
    buf_init(&body, NULL, 8 * SENTENCE_BYTES_MAX); /* a byte may become \u0000 */
    json_init(&j, &body);
    json_put_object(&j, JSON("status", "error"), JSON("errorType", type), JSON("error", sentence));
    if (buf_error(&body)) {
        static uint8_t poor[] = "{\"status\":\"error\",\"errorType\":\"unavailable\","
                                "\"error\":\"not enough memory for the error\"}";
        struct buf known = {.at = poor, .size = sizeof poor - 1};
        reply_json(request, 503, &known);
    } else {
        reply_json(request, status, &body);
    }
    buf_fini(&body);
}

void
reply_problem(struct http_request *request, unsigned status, const char *type, const char *text)
{
    reply_sentence(request, status, type, bytes_of_text(text));
}

void
reply_problem_of(struct http_request *request, enum purpose purpose, enum err e,
                 const struct why *why)
{
    reply_problem(request, status_of(purpose, e), problem_type_of(purpose, e), why_text(why, e));
}

void
success_begin(struct json *j, struct buf *text)
{
    json_init(j, text);
    json_object_open(j);
    json_member_text(j, "status", "success");
    json_key(j, "data");
}

void
put_time(struct json *j, const char *name, int64_t t_ms)
{
    char text[TIME_TEXT_BYTES];
    json_key(j, name);
    json_put_raw(j, bytes_of(text, time_print_seconds(t_ms, text)));
}

void
json_page_begin(struct json_page *p, struct api *api, struct http_request *request)
{
    *p = (struct json_page){.api = api, .request = request, .j = &p->json};
    buf_init(&p->text, &api->page_budget, PAGE_BYTES_MAX);
    success_begin(p->j, &p->text);
}

void
json_page_send(struct json_page *p, enum purpose purpose, enum err e)
{
    if (e == OK) json_object_close(p->j); /* a page that failed may have left no value */
    if (e == OK) e = why_set(&p->why, buf_error(&p->text), "not enough memory for the page");
    if (e)
        reply_problem_of(p->request, purpose, e, &p->why);
    else
        reply_json(p->request, 200, &p->text);
    buf_fini(&p->text);
}
