/*
 * event.c - see lambda.h.
 *
 * The two payloads differ in names, in how a header occurs twice, and in what was decoded: payload
 * 1.0 has the query as decoded names and values, which are escaped again. Bodies are base64 if the
 * event says so, whatever their type.
 *
 * A caller is known only from the part of the event that the gateway writes, so a client cannot
 * name one. It is the path that decides between writing and reading, because the gateway's policies
 * name paths; the header decides where the path has no meaning here, as in the old connector.
 */
#include "app/lambda/lambda.h"

#include <stdio.h>
#include <strings.h>

#include "auth/origin.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "base/text/quote.h"
#include "wire/json/json_tree.h"

enum { VALUES_MAX = 4096, TARGET_BYTES_MAX = 64 * 1024, HEADER_BYTES_MAX = 64 * 1024 };

/* A REST API that is not told which types are binary replaces the bytes that are not UTF-8. */
#define TEXT_BODY \
    "the body arrived as text, which damages protobuf: list */* in binaryMediaTypes of the API"

struct decoding {
    json_t *root, *context;
    struct arena *arena;
    struct buf line; /* of a header, or the target */
    struct event *event;
    const char **headers;
    uint32_t header_count;
    bool is_old;        /* payload 1.0 */
    bool is_verified;   /* the gateway verified the caller */
    bool writes, reads; /* it has the header of the protocol */
    bool has_type, is_protobuf;
};

/* --- helpers ---------------------------------------------------------------------------------- */

/* Returns the text of a member, or NULL. */
static const char *
text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* Copies the line into the arena. NULL: not enough memory. */
static const char *
keep_line(struct decoding *d)
{
    buf_put_u8(&d->line, '\0');
    if (buf_error(&d->line)) return NULL;
    return (const char *)arena_copy(d->arena, buf_bytes(&d->line)).at;
}

/* --- the target ------------------------------------------------------------------------------- */

static void
put_argument_pair(struct buf *to, char separator, const char *name, const json_t *value)
{
    buf_put_u8(to, (uint8_t)separator);
    buf_put_percent(to, bytes_of_text(name), "");
    buf_put_u8(to, '=');
    if (json_is_string(value)) buf_put_percent(to, json_tree_text(value), "");
}

/* Appends the query of payload 1.0. */
static void
put_arguments(struct decoding *d)
{
    json_t *many = json_object_get(d->root, "multiValueQueryStringParameters");
    json_t *single = json_object_get(d->root, "queryStringParameters"), *value, *item;
    const char *name;
    char separator = '?';
    size_t i;
    json_object_foreach(json_is_object(many) ? many : single, name, value)
    {
        if (!json_is_array(value)) {
            put_argument_pair(&d->line, separator, name, value);
            separator = '&';
            continue;
        }
        json_array_foreach(value, i, item)
        {
            put_argument_pair(&d->line, separator, name, item);
            separator = '&';
        }
    }
}

/* Appends the query of payload 2.0, which is as it was sent. */
static void
put_raw_query(struct decoding *d)
{
    const char *query = text_of(d->root, "rawQueryString");
    if (query == NULL || query[0] == '\0') return;
    buf_put_u8(&d->line, '?');
    for (const char *p = query; *p != '\0'; p++)
        if ((uint8_t)*p <= ' ' || (uint8_t)*p >= 0x7f || *p == '#')
            buf_put_percent(&d->line, bytes_of(p, 1), "");
        else
            buf_put_u8(&d->line, (uint8_t)*p);
}

/* Returns the path without the stage. Under the gateway's own name, paths of HTTP APIs begin with
 * the stage, unless that is $default; those of REST APIs do not, but `path` of the context does. */
static const char *
after_stage(const struct decoding *d, const char *path)
{
    const char *stage = text_of(d->context, "stage");
    const char *domain = text_of(d->context, "domainName");
    const char *whole = text_of(d->context, "path"); /* payload 1.0 */
    if (stage == NULL || strcmp(stage, "$default") == 0) return path;
    if (domain != NULL && strstr(domain, ".execute-api.") == NULL) return path;
    if (whole != NULL && strcmp(whole, path) != 0) return path;
    size_t size = strlen(stage);
    if (path[0] != '/' || strncmp(path + 1, stage, size) != 0) return path;
    const char *rest = path + 1 + size;
    return rest[0] == '\0' ? "/" : rest[0] == '/' ? rest : path;
}

static bool
is_known_path(const char *path)
{
    static const char *const names[] = {"/write", "/read", "/receive"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(path, names[i]) == 0) return true;
    return strncmp(path, "/api/", 5) == 0 || strncmp(path, "/-/", 3) == 0;
}

/* Says whether a segment of the path is "." or "..", which clients of HTTP resolve: the path would
 * not be the one that the gateway has judged. */
static bool
has_dots(const char *path)
{
    unsigned dots = 0, others = 0;
    for (const char *p = path;; p++) {
        if (*p == '/' || *p == '\0') {
            if (others == 0 && (dots == 1 || dots == 2)) return true;
            dots = others = 0;
            if (*p == '\0') return false;
        } else if (*p == '.') {
            dots++;
        } else if (strncasecmp(p, "%2e", 3) == 0) {
            dots++;
            p += 2;
        } else {
            others++;
        }
    }
}

static enum err
read_target(struct decoding *d, struct why *why)
{
    const char *path = text_of(d->root, d->is_old ? "path" : "rawPath");
    if (path == NULL || path[0] != '/') return why_set(why, ERR_INPUT, "the event has no path");
    if (has_dots(path)) return why_set(why, ERR_INPUT, "the path has segments of dots");
    path = after_stage(d, path);
    bool decides = !is_known_path(path) && strcmp(d->event->method, "POST") == 0;
    if (decides && d->writes != d->reads) path = d->writes ? "/write" : "/read";
    buf_clear(&d->line);
    /* Appends a path. Gateways decode some escapes: what may not be in a path is escaped again. */
    for (const char *p = path; *p != '\0'; p++) {
        bool is_escape =
            p[0] == '%' && hex_digit((uint8_t)p[1]) >= 0 && hex_digit((uint8_t)p[2]) >= 0;
        buf_put_percent(&d->line, bytes_of(p, 1), is_escape ? "%" : "!$&'()*+,;=:@/");
    }
    if (d->is_old)
        put_arguments(d);
    else
        put_raw_query(d);
    if (buf_error(&d->line) == ERR_LIMIT || d->line.size > TARGET_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the path and the query have more than %d bytes",
                       TARGET_BYTES_MAX);
    d->event->target = keep_line(d);
    return d->event->target == NULL ? ERR_NOMEM : OK;
}

/* --- headers ---------------------------------------------------------------------------------- */

static bool
is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcasecmp(name, *names) == 0) return true;
    return false;
}

static bool
is_token(const char *name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    if (name[0] == '\0') return false;
    for (; *name != '\0'; name++) {
        bool is_letter_or_digit = (*name >= '0' && *name <= '9') ||
                                  (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z');
        if (!is_letter_or_digit && strchr(others, *name) == NULL) return false;
    }
    return true;
}

static bool
has_controls(const char *text)
{
    for (; *text != '\0'; text++)
        if (((uint8_t)*text < 0x20 && *text != '\t') || *text == 0x7f) return true;
    return false;
}

static enum err
add_line(struct decoding *d, struct why *why)
{
    if (d->header_count == EVENT_HEADERS_MAX)
        return why_set(why, ERR_LIMIT, "the request has more than %d headers", EVENT_HEADERS_MAX);
    if (buf_error(&d->line) == ERR_LIMIT || d->line.size > HEADER_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "a header has more than %d bytes", HEADER_BYTES_MAX);
    const char *line = keep_line(d);
    if (line == NULL) return ERR_NOMEM;
    d->headers[d->header_count++] = line;
    return OK;
}

static enum err
add_header(struct decoding *d, const char *name, const char *value, struct why *why)
{
    /* Those of the connection between the client and the gateway, and what only we write. */
    static const char *const hops[] = {"Connection",
                                       "Keep-Alive",
                                       "Transfer-Encoding",
                                       "TE",
                                       "Trailer",
                                       "Upgrade",
                                       "Expect",
                                       CALLER_HEADER,
                                       "X-Firekeep-Timeout-Ms",
                                       "Proxy-Connection",
                                       "Content-Length",
                                       NULL};
    /* Credentials that the gateway has judged. */
    static const char *const signatures[] = {"Authorization", "X-Amz-Security-Token", "X-Amz-Date",
                                             "X-Amz-Content-Sha256", NULL};
    if (!is_token(name) || has_controls(value))
        return why_set(why, ERR_INPUT, "the header %s is not valid",
                       shown_of(bytes_of_text(name)).text);
    if (strcasecmp(name, "Content-Type") == 0) {
        d->has_type = true;
        d->is_protobuf = strncasecmp(value, "application/x-protobuf", 22) == 0;
    }
    if (strcasecmp(name, "X-Prometheus-Remote-Write-Version") == 0) d->writes = true;
    if (strcasecmp(name, "X-Prometheus-Remote-Read-Version") == 0) d->reads = true;
    if (is_one_of(name, hops) || (d->is_verified && is_one_of(name, signatures))) return OK;
    buf_clear(&d->line);
    /* libcurl sends a header without a value only with a semicolon. */
    buf_printf(&d->line, value[0] == '\0' ? "%s;" : "%s: %s", name, value);
    return add_line(d, why);
}

/* Adds the values of a header, which are a text or a list of them. */
static enum err
add_values(struct decoding *d, const char *name, const json_t *values, struct why *why)
{
    enum err e = OK;
    if (json_is_string(values)) return add_header(d, name, json_string_value(values), why);
    for (size_t i = 0; i < json_array_size(values) && e == OK; i++) {
        const char *value = json_string_value(json_array_get(values, i));
        if (value != NULL) e = add_header(d, name, value, why);
    }
    return e;
}

/* Payload 2.0 has cookies apart from the headers; RFC 6265 joins them in one. */
static enum err
add_cookies(struct decoding *d, struct why *why)
{
    const json_t *cookies = json_object_get(d->root, "cookies");
    struct buf all;
    buf_init(&all, NULL, HEADER_BYTES_MAX);
    for (size_t i = 0; i < json_array_size(cookies); i++) {
        const char *cookie = json_string_value(json_array_get(cookies, i));
        if (cookie != NULL) buf_printf(&all, "%s%s", all.size == 0 ? "" : "; ", cookie);
    }
    buf_put_u8(&all, '\0');
    enum err e = buf_error(&all);
    if (e == ERR_LIMIT)
        e = why_set(why, e, "the cookies have more than %d bytes", HEADER_BYTES_MAX);
    if (e == OK && all.size > 1) e = add_header(d, "Cookie", (const char *)all.at, why);
    buf_fini(&all);
    return e;
}

static enum err
read_headers(struct decoding *d, struct why *why)
{
    json_t *headers = json_object_get(d->root, "multiValueHeaders"), *value;
    const char *name;
    enum err e = OK;
    d->headers = arena_new(d->arena, (EVENT_HEADERS_MAX + 1) * sizeof *d->headers);
    if (d->headers == NULL) return ERR_NOMEM;
    if (json_object_size(headers) == 0) headers = json_object_get(d->root, "headers");
    json_object_foreach(headers, name, value)
    {
        if (e == OK) e = add_values(d, name, value, why);
    }
    if (e == OK && !d->is_old) e = add_cookies(d, why);
    if (e == OK && d->event->caller != NULL) {
        buf_clear(&d->line);
        buf_put_text(&d->line, CALLER_HEADER ": ");
        caller_put(&d->line, d->event->caller);
        e = add_line(d, why);
    }
    /* Keeps libcurl from adding a type. */
    if (!d->has_type && d->header_count < EVENT_HEADERS_MAX)
        d->headers[d->header_count++] = "Content-Type:";
    d->event->headers = d->headers;
    return e;
}

/* --- the event -------------------------------------------------------------------------------- */

static enum err
read_body(struct decoding *d, struct buf *body, struct why *why)
{
    struct bytes text = json_tree_text(json_object_get(d->root, "body"));
    bool is_base64 = json_is_true(json_object_get(d->root, "isBase64Encoded"));
    size_t size = is_base64 ? text.size / 4 * 3 : text.size;
    if (size > EVENT_BODY_BYTES_MAX)
        return why_set(why, ERR_LIMIT,
                       "the body has more than 4.5 MiB, which Lambda does not take: lower "
                       "max_samples_per_send of the sender");
    if (!is_base64 && d->is_protobuf && size > 0) return why_set(why, ERR_INPUT, TEXT_BODY);
    enum err e = OK;
    if (is_base64)
        e = base64_get(text, body);
    else
        buf_put_bytes(body, text);
    if (e == ERR_INPUT) return why_set(why, e, "the body of the event is not base64");
    if (e == OK) e = buf_error(body);
    d->event->body = buf_bytes(body);
    return e;
}

static enum err
read_method(struct decoding *d, struct why *why)
{
    const char *method = d->is_old ? text_of(d->root, "httpMethod")
                                   : text_of(json_object_get(d->context, "http"), "method");
    if (method == NULL || !is_token(method) || strlen(method) > 32)
        return why_set(why, ERR_INPUT, "the event is not a request of HTTP");
    d->event->method = (const char *)arena_copy(d->arena, bytes_of(method, strlen(method) + 1)).at;
    return d->event->method == NULL ? ERR_NOMEM : OK;
}

static enum err
read_caller(struct decoding *d)
{
    const json_t *iam = d->is_old
                            ? json_object_get(d->context, "identity")
                            : json_object_get(json_object_get(d->context, "authorizer"), "iam");
    const char *caller = text_of(iam, "userArn");
    if (caller == NULL || caller[0] == '\0' || has_controls(caller)) return OK;
    d->is_verified = true;
    d->event->caller = (const char *)arena_copy(d->arena, bytes_of(caller, strlen(caller) + 1)).at;
    return d->event->caller == NULL ? ERR_NOMEM : OK;
}

enum err
event_read(struct bytes text, struct budget *budget, struct arena *arena, struct buf *body,
           struct event *ret, struct why *why)
{
    struct json_tree json;
    *ret = (struct event){.method = NULL};
    if (text.size > EVENT_BYTES_MAX)
        return why_set(why, ERR_LIMIT, "the event has more than 6 MB, which Lambda does not send");
    enum err e = json_tree_read(budget, text, VALUES_MAX, &json, why);
    if (e == ERR_INPUT && memmem(text.at, text.size, "\\u0000", 6) != NULL)
        why_set(why, e, TEXT_BODY);
    if (e) return e;
    struct decoding d = {.root = json.root, .arena = arena, .event = ret};
    d.context = json_object_get(d.root, "requestContext");
    buf_init(&d.line, budget, TARGET_BYTES_MAX + HEADER_BYTES_MAX);
    const char *version = text_of(d.root, "version");
    const char *domain = text_of(d.context, "domainName");
    d.is_old = version == NULL ? json_object_get(d.root, "httpMethod") != NULL
                               : strcmp(version, "1.0") == 0;
    d.event->is_url = !d.is_old && domain != NULL && strstr(domain, ".lambda-url.") != NULL;
    e = read_method(&d, why);
    if (e == OK) e = read_caller(&d);
    if (e == OK) e = read_headers(&d, why);
    if (e == OK) e = read_target(&d, why);
    if (e == OK) e = read_body(&d, body, why);
    buf_fini(&d.line);
    json_tree_fini(&json);
    if (e) *ret = (struct event){.is_url = ret->is_url};
    return e;
}
