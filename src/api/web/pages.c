/* pages.c - the web page: its document, and the files that it loads. */
#include "api/routes.h"

#include <assert.h>

#include "api/web/assets.h"

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

/* Says whether the client has the file: If-None-Match is a list of tags, or "*". */
static bool
is_kept(const struct http_request *request, const char *etag)
{
    const char *kept = http_header(request, "If-None-Match");
    return kept != NULL && (strcmp(kept, "*") == 0 || strstr(kept, etag) != NULL);
}

static void
reply_asset(struct http_request *request, const struct web_asset *asset, const char *cache)
{
    bool kept = is_kept(request, asset->etag);
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
