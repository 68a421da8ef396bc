/* audit.c - see audit.h. */
#include "auth/audit.h"

#include "base/log.h"

static const char *
method_word(enum http_method method)
{
    switch (method) {
    case HTTP_GET:
        return "GET";
    case HTTP_POST:
        return "POST";
    case HTTP_PUT:
        return "PUT";
    case HTTP_DELETE:
        return "DELETE";
    case HTTP_OPTIONS:
        return "OPTIONS";
    }
    return "";
}

/* Appends "name=value name=value" of known arguments only: others may have secrets, as those of
 * signed URLs do. */
static void
put_arguments(const struct http_request *request, struct buf *to)
{
    static const char *const names[] = {"match[]", "start", "end", "from", "full"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value;
        for (uint32_t at = 0; (value = http_argument_next(request, names[i], &at)) != NULL;) {
            if (to->size > 0) buf_put_cut(to, bytes_of_text(" "));
            buf_put_cut(to, bytes_of_text(names[i]));
            buf_put_cut(to, bytes_of_text("="));
            buf_put_cut(to, bytes_of_text(value));
        }
    }
}

void
audit_log(const struct http_request *request, const char *user, const char *client, unsigned status)
{
    uint8_t room[LOG_VALUE_BYTES_MAX];
    struct buf arguments = {.at = room, .capacity = sizeof room, .limit = sizeof room};
    const char *tenant = http_header(request, "X-Scope-OrgID");
    put_arguments(request, &arguments); /* as much as fits */
    log_info("audit", KV("user", user), KV("client", client),
             KV("method", method_word(http_method(request))), KV("path", http_path(request)),
             KV("tenant", tenant == NULL ? "" : tenant), KV("arguments", buf_bytes(&arguments)),
             KV("status", status));
}
