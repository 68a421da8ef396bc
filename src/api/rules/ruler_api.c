/*
 * ruler_api.c - the ruler API of Cortex and Mimir, by which mimirtool, cortextool and Grafana
 * change rules: /config/v1/rules, the same below /prometheus, and /api/prom/rules. Statuses, bodies
 * and types are those of Mimir; the owner of the rules writes groups, and changes them.
 *
 *      GET    .../rules                      all groups, by their namespaces
 *      GET    .../rules/NAMESPACE            those of one
 *      GET    .../rules/NAMESPACE/GROUP      one
 *      POST   .../rules/NAMESPACE            sets one
 *      DELETE .../rules/NAMESPACE            deletes those of one
 *      DELETE .../rules/NAMESPACE/GROUP      deletes one
 *
 * A name may have slashes, which are escaped in the path.
 */
#include "api/routes.h"

#include "base/text/hex.h"

enum { ANSWER_BYTES_MAX = 256 << 20, REASONS_BYTES_MAX = 64 * 1024 };

#define YAML_TYPE "application/yaml"

static const char *const places[] = {"/config/v1/rules", "/prometheus/config/v1/rules",
                                     "/api/prom/rules"};

/* Namespace and group in the path; the texts are in the arena. */
struct named {
    struct arena arena;
    const char *namespace; /* NULL: all */
    const char *group;     /* NULL: all of the namespace */
};

/* --- paths ------------------------------------------------------------------------------------ */

/* Copies a piece of a path, decoded if it is escaped. NULL: there is not enough memory. */
static char *
keep_piece(struct arena *arena, const char *at, size_t size, bool is_escaped)
{
    char *text = arena_alloc(arena, size + 1), *to = text;
    if (text == NULL) return NULL;
    for (size_t i = 0, step; i < size; i += step) {
        uint8_t c = (uint8_t)at[i];
        step = is_escaped ? percent_step((const uint8_t *)at + i, size - i, &c) : 1;
        if (step == 0) step = 1; /* impossible: the server has refused such a path */
        *to++ = (char)c;
    }
    *to = '\0';
    return text;
}

/* Returns the path after one of the places of rules; NULL: it does not begin with one. */
static const char *
skip_place(const struct api *api, const char *path)
{
    size_t prefix = strlen(api->options.route_prefix);
    if (strncmp(path, api->options.route_prefix, prefix) != 0) return NULL;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        size_t size = strlen(places[i]);
        if (strncmp(path + prefix, places[i], size) == 0) return path + prefix + size;
    }
    return NULL;
}

/* Splits the path at slashes that are not escaped. ERR_MISSING: there is no such path, since names
 * are not empty and there are at most two. */
static enum err
read_path(const struct api *api, const struct http_request *request, struct named *ret,
          struct why *why)
{
    const char *sent = http_path_sent(request), *pieces[2] = {NULL, NULL};
    const char *at = skip_place(api, sent == NULL ? http_path(request) : sent);
    unsigned count = 0;
    if (at == NULL) return ERR_MISSING;
    for (const char *end; *at != '\0'; at = end) {
        end = strchrnul(at + 1, '/');
        if (*at != '/' || end == at + 1 || count == 2) return ERR_MISSING;
        const char *piece = keep_piece(&ret->arena, at + 1, (size_t)(end - at - 1), sent != NULL);
        if (piece == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
        pieces[count++] = piece;
    }
    ret->namespace = pieces[0];
    ret->group = pieces[1];
    return OK;
}

/* --- requests --------------------------------------------------------------------------------- */

static void
show(struct api *api, struct http_request *request, const struct rules_wanted *wanted)
{
    const struct api_options *o = &api->options;
    struct buf text;
    struct why why = {""};
    buf_init(&text, &api->page_budget, ANSWER_BYTES_MAX);
    enum err e = o->stored_rules(o->context, wanted, &text, &why);
    if (e) {
        reply_error(request, FOR_ANYTHING, e, &why);
    } else {
        struct http_answer answer = {
            .status = 200, .content_type = YAML_TYPE, .body = buf_bytes(&text)};
        http_reply(request, &answer);
    }
    buf_fini(&text);
}

static void
change(struct api *api, struct http_request *request, const struct rules_edit *edit)
{
    const struct api_options *o = &api->options;
    struct buf reasons;
    struct why why = {""};
    buf_init(&reasons, &api->page_budget, REASONS_BYTES_MAX);
    enum err e = o->edit_rules(o->context, edit, &reasons, &why);
    if (e == OK) { /* 202 like Mimir, which puts stored rules in force later */
        static const char body[] =
            "{\"status\":\"success\",\"data\":null,\"errorType\":\"\",\"error\":\"\"}";
        struct http_answer answer = {
            .status = 202, .content_type = "application/json", .body = bytes_of_text(body)};
        http_reply(request, &answer);
    } else if (e == ERR_INPUT && reasons.size > 0) {
        struct http_answer answer = {.status = 400,
                                     .content_type = "text/plain; charset=utf-8",
                                     .body = buf_bytes(&reasons)};
        http_reply(request, &answer);
    } else {
        reply_error(request, e == ERR_LIMIT ? FOR_WRITE : FOR_ANYTHING, e, &why);
    }
    buf_fini(&reasons);
}

static void
run_named(struct api *api, struct http_request *request, const struct named *named,
          struct bytes tenant)
{
    enum http_method method = http_method(request);
    if (method == HTTP_GET) {
        struct rules_wanted wanted = {tenant, named->namespace, named->group};
        show(api, request, &wanted);
    } else if (method == HTTP_POST && named->group == NULL) {
        /* Sets the group in the body, whose name is not in the path. */
        const char *encoding = http_header(request, "Content-Encoding");
        if (encoding != NULL && encoding[0] != '\0' && strcmp(encoding, "identity") != 0) {
            http_reply_text(request, 415, "content encoding not supported\n");
            return;
        }
        struct rules_edit edit = {.verb = RULES_SET,
                                  .tenant = tenant,
                                  .namespace = named->namespace,
                                  .text = http_body(request)};
        change(api, request, &edit);
    } else if (method == HTTP_POST) {
        http_answer_also(request, "Allow", "GET, HEAD, DELETE");
        http_reply_text(request, 405, "method not allowed\n");
    } else {
        struct rules_edit edit = {.verb =
                                      named->group == NULL ? RULES_DELETE_NAMESPACE : RULES_DELETE,
                                  .tenant = tenant,
                                  .namespace = named->namespace,
                                  .group = named->group};
        change(api, request, &edit);
    }
}

void
ruler_api_run(struct api *api, struct http_request *request)
{
    struct named named = {.namespace = NULL};
    struct bytes tenant;
    struct why why = {""};
    arena_init(&named.arena, &api->page_budget, 0, 0);
    unsigned refused = one_tenant_named(api, request, &tenant, &why);
    enum err e = refused != 0 ? OK : read_path(api, request, &named, &why);
    if (refused != 0)
        http_reply_text(request, refused, "%s\n", why.text);
    else if (e == ERR_MISSING)
        http_reply_text(request, 404, "404 page not found\n"); /* clients look for these words */
    else if (e)
        reply_error(request, FOR_ANYTHING, e, &why);
    else
        run_named(api, request, &named, tenant);
    arena_fini(&named.arena);
}
