/* client_call.c - see client_call.h. */
#include "cli/lib/client_call.h"

#include <stdio.h>

#include "base/version.h"
#include "cli/lib/client_access.h"
#include "cli/lib/query_answer.h"
#include "cli/lib/target/target.h"
#include "sys/env.h"

#define CONNECT_NS (10 * NS_PER_S)
#define ANSWER_NS  (600 * NS_PER_S)

enum { HEADERS_MAX = 16 };

static enum err
fetch(const struct client_call *call, struct client_access *access, struct http_client *client,
      struct buf *to, struct why *why)
{
    char url[CLIENT_URL_BYTES + 128];
    const char *const *lines, *headers[HEADERS_MAX] = {NULL};
    size_t count = 0;
    struct http_client_answer answer = {0};
    struct http_client_request request = {.url = url, .headers = headers, .body = call->body};
    snprintf(url, sizeof url, "%s%s", client_access_url(access), call->path);
    enum err e = client_access_headers(access, &lines, why);
    if (e) return e;
    if (call->header != NULL) headers[count++] = call->header;
    for (size_t i = 0; lines != NULL && lines[i] != NULL && count < HEADERS_MAX - 1; i++) {
        headers[count++] = lines[i];
    }
    e = http_client_fetch(client, &request, to, &answer, why);
    if ((e && e != ERR_AGAIN) || answer.status == 0 || answer.status / 100 == 2) return e;
    return why_set(why, e ? e : ERR_UNSUPPORTED, "%s: status %u: %s", client_access_name(access),
                   answer.status, query_answer_sentence(&answer).text);
}

enum err
client_call(const struct client_call *call, struct buf *to, struct why *why)
{
    struct client_access *access = NULL;
    struct http_client *client = NULL;
    struct client_access_options reach = {
        .flag = "--url",
        .url = call->url,
        .config_file = call->config_file,
    };
    struct http_client_options options = {
        .env = env_real(),
        .user_agent = "firekeep/" FIREKEEP_VERSION,
        .connect_timeout_ns = CONNECT_NS,
        .request_timeout_ns = ANSWER_NS,
    };
    enum err e = client_access_new(&reach, &access, why);
    if (e) return e;
    client_access_http(access, &options);
    e = http_client_new(&options, &client, why);
    if (e == OK) e = fetch(call, access, client, to, why);
    http_client_free(client);
    client_access_free(access);
    return e;
}
