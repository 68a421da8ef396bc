/* pages.c - the web page: its document, the files that it loads, and its sessions. */
#include "api/routes.h"

#include <assert.h>

/* Nothing runs and nothing is loaded that does not come from this server, and no other page can
 * show this one in a frame. */
static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                             "img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
                             "form-action 'none'; frame-ancestors 'none'";

static const struct web_asset *
find(const char *path)
{
    const struct web_asset *low = web_assets, *high = web_assets_end;
    while (low < high) {
        const struct web_asset *middle = low + (high - low) / 2;
        int order = strcmp(path, middle->path);
        if (order == 0) return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static void
reply_asset(struct http_request *request, const struct web_asset *asset, const char *cache)
{
    /* If-None-Match is a list of tags, or "*". */
    const char *tags = http_header(request, "If-None-Match");
    bool kept = tags != NULL && (strcmp(tags, "*") == 0 || strstr(tags, asset->etag) != NULL);
    http_reply(request, &(struct http_answer){
                            .status = kept ? 304 : 200,
                            .content_type = kept ? NULL : asset->content_type,
                            .is_gzip = !kept,
                            .body = bytes_of(asset->gzip, kept ? 0 : asset->gzip_bytes),
                            .headers = {{"ETag", asset->etag},
                                        {"Cache-Control", cache},
                                        {"Content-Security-Policy", policy},
                                        {"Referrer-Policy", "same-origin"}},
                        });
}

void
document_run(struct api *api, struct http_request *request)
{
    (void)api;
    const struct web_asset *document = find("/index.html");
    assert(document != NULL);
    reply_asset(request, document, "no-cache");
}

void
asset_run(struct api *api, struct http_request *request)
{
    const struct web_asset *asset = find(api_path(api, request));
    if (asset == NULL)
        http_reply_text(request, 404, "not found\n");
    else
        reply_asset(request, asset, "public, max-age=31536000, immutable");
}

/* --- sessions --------------------------------------------------------------------------------- */

/* The sender of a request, and sessions of browsers. The gate (auth/gate.h) has judged the
 * credentials of each request, also of one that begins a session: it has a password or a token in
 * the header Authorization. */

enum { COOKIE_BYTES_MAX = 8192 };

static void
put_permissions(struct json *j, unsigned permissions)
{
    static const struct {
        unsigned permission;
        const char *word;
    } words[] = {{PERMISSION_WRITE, "write"},
                 {PERMISSION_READ, "read"},
                 {PERMISSION_RULES, "rules"},
                 {PERMISSION_ADMIN, "admin"},
                 {PERMISSION_METRICS, "metrics"}};
    json_member_array(j, "permissions");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (permissions & words[i].permission) json_put_text(j, words[i].word);
    json_array_close(j);
}

/* Writes the tenants that the sender may name, with patterns; null: all. */
static void
put_tenants(struct json *j, const struct user *user)
{
    json_key(j, "tenants");
    if (user == NULL || user->tenants.count == 0) {
        json_put_null(j);
        return;
    }
    json_array_open(j);
    for (uint32_t i = 0; i < user->tenants.count; i++)
        json_put_text(j, user->tenants.items[i]);
    json_array_close(j);
}

static void
reply_sender(struct api *api, struct http_request *request)
{
    const struct gate_sessions *sessions = &api->options.sessions;
    const struct user *user = gate_user(request);
    struct gate_rights rights = sessions->rights(sessions->gate, request);
    struct json_page p;
    json_page_begin(&p, api, request);
    json_object_open(p.j);
    json_key(p.j, "user");
    if (user == NULL)
        json_put_null(p.j);
    else
        json_put_text(p.j, user->name);
    json_member_bool(p.j, "session", rights.has_session);
    put_permissions(p.j, rights.permissions);
    json_member_bool(p.j, "tenancy", api->options.tenancy);
    put_tenants(p.j, user);
    json_member_bool(p.j, "restricted", user != NULL && user->read_set_count > 0);
    json_member_bool(p.j, "adminApi", api->options.admin);
    json_object_close(p.j);
    http_answer_also(request, "Cache-Control", "no-store");
    json_page_send(&p, FOR_ANYTHING, OK);
}

static void
reply_cookie(struct api *api, struct http_request *request)
{
    const struct gate_sessions *sessions = &api->options.sessions;
    unsigned refused = 0;
    struct buf cookie;
    struct why why;
    buf_init_secret(&cookie, &api->page_budget, COOKIE_BYTES_MAX);
    if (http_method(request) == HTTP_POST)
        refused = sessions->begin(sessions->gate, request, &cookie, &why);
    else
        sessions->end(sessions->gate, request, &cookie);
    buf_put_u8(&cookie, '\0');
    if (refused == 0 && buf_error(&cookie)) {
        why_set(&why, ERR_NOMEM, "not enough memory for a session");
        refused = 503;
    }
    if (refused != 0)
        reply_problem(request, refused, refused == 503 ? "unavailable" : "bad_data", why.text);
    else
        http_reply(request, &(struct http_answer){
                                .status = 204,
                                .headers = {{"Set-Cookie", (const char *)cookie.at},
                                            {"Cache-Control", "no-store"}},
                            });
    buf_fini(&cookie);
}

void
session_run(struct api *api, struct http_request *request)
{
    if (http_method(request) == HTTP_GET)
        reply_sender(api, request);
    else
        reply_cookie(api, request);
}
