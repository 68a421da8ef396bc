/*
 * aws.c - regions, endpoints, the clock, and signed requests.
 *
 * The signature covers the exact bytes sent: libcurl sends the Host line unchanged, and paths and
 * queries are already percent-encoded.
 */
#include "backend/aws/aws.h"

#include <stdio.h>
#include <strings.h>

#include "backend/aws/credentials.h"
#include "backend/aws/keys.h"
#include "backend/common/http_common.h"
#include "wire/json/json_scan.h"

/* Enough for an endpoint, a date, a signature and the names of signed headers. */
enum { REQUEST_BYTES_SPARE = 4096, REQUEST_BYTES_MAX = 256 << 10 };

/* --- regions and endpoints -------------------------------------------------------------------- */

static enum err
take_region(struct bytes text, const char *from, char *ret, struct why *why)
{
    bool good = text.size > 0 && text.size < AWS_REGION_BYTES && text.at[0] != '-' &&
                text.at[text.size - 1] != '-';
    for (size_t i = 0; i < text.size && good; i++) { /* the region becomes part of a host name */
        uint8_t c = text.at[i];
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (!good)
        return why_set(why, ERR_INPUT, "invalid region in %s: expected a-z, 0-9 and '-'", from);
    memcpy(ret, text.at, text.size);
    ret[text.size] = '\0';
    return OK;
}

static enum err
profile_region(const struct aws_setup *setup, char *ret, struct why *why)
{
    struct aws_profiles files = {0};
    struct aws_profile profile = {0};
    bool named;
    enum err e = aws_profiles_read(setup, &files, why);
    if (e) goto out;
    (void)aws_profiles_find(&files, aws_profile_name(setup, &named), &profile);
    if (profile.values[AWS_PROFILE_REGION].size == 0) {
        e = why_set(why, ERR_MISSING,
                    "missing region: set it in the settings, in AWS_REGION or AWS_DEFAULT_REGION, "
                    "or in the profile");
        goto out;
    }
    e = take_region(profile.values[AWS_PROFILE_REGION], "the profile", ret, why);
out:
    aws_profiles_fini(&files);
    return e;
}

enum err
aws_region(const struct aws_setup *setup, char ret_region[AWS_REGION_BYTES], struct why *why)
{
    const char *region = setup->settings->region, *from = "the settings";
    if (region == NULL) {
        from = "AWS_REGION";
        region = aws_variable(setup, from);
    }
    if (region == NULL) {
        from = "AWS_DEFAULT_REGION";
        region = aws_variable(setup, from);
    }
    if (region == NULL) return profile_region(setup, ret_region, why);
    return take_region(bytes_of_text(region), from, ret_region, why);
}

static bool
is_host_character(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

/* Splits "host", "host:port", "[address]", "[address]:port". */
static bool
split_authority(struct aws_url *url)
{
    struct bytes a = url->authority;
    size_t end = 0, from = 0;
    if (a.size > 0 && a.at[0] == '[') {
        from = 1;
        for (end = 1; end < a.size && a.at[end] != ']'; end++)
            if (!is_host_character(a.at[end]) && a.at[end] != ':') return false;
        if (end == a.size) return false;
    } else {
        while (end < a.size && is_host_character(a.at[end]))
            end++;
    }
    url->host = bytes_of(a.at + from, end - from);
    if (url->host.size == 0) return false;
    size_t colon = end + from;
    if (colon == a.size) return true;
    if (a.at[colon] != ':' || a.size - colon > 6) return false;
    struct bytes port = bytes_of(a.at + colon + 1, a.size - colon - 1);
    for (size_t i = 0; i < port.size; i++)
        if (port.at[i] < '0' || port.at[i] > '9') return false;
    bool own = port.size == 0 || bytes_equal_text(port, url->tls ? "443" : "80");
    if (own) url->authority.size = colon;
    return true;
}

bool
aws_url_split(const char *url, struct aws_url *ret_url)
{
    struct aws_url u = {.tls = strncasecmp(url, "https://", 8) == 0};
    if (!u.tls && strncasecmp(url, "http://", 7) != 0) return false;
    const char *at = url + (u.tls ? 8 : 7);
    size_t size = strcspn(at, "/?#");
    u.authority = bytes_of(at, size);
    u.path = bytes_of_text(at + size);
    for (size_t i = 0; i < u.path.size; i++) {
        uint8_t c = u.path.at[i];
        if (c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' || c == '\\' || c == '#')
            return false;
    }
    if (!split_authority(&u)) return false;
    *ret_url = u;
    return true;
}

static enum err
take_endpoint(const char *url, const char *from, char *ret, struct why *why)
{
    struct aws_url parts;
    size_t size = strlen(url);
    if (size >= AWS_ENDPOINT_BYTES) {
        return why_set(why, ERR_LIMIT, "the endpoint URL in %s must be at most %d bytes", from,
                       AWS_ENDPOINT_BYTES - 1);
    }
    if (!aws_url_split(url, &parts) || (parts.path.size > 0 && parts.path.at[0] != '/') ||
        strchr(url, '?') != NULL) {
        return why_set(why, ERR_INPUT,
                       "invalid endpoint URL in %s: expected http[s]://host[:port][/path]", from);
    }
    while (size > 0 && url[size - 1] == '/')
        size--;
    memcpy(ret, url, size);
    ret[size] = '\0';
    return OK;
}

enum err
aws_endpoint(const struct aws_setup *setup, const struct aws_service *service, const char *own,
             const char *region, char ret_endpoint[AWS_ENDPOINT_BYTES], struct why *why)
{
    char variable[80];
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", service->variable);
    const char *url = own, *from = "the settings";
    if (url == NULL) {
        from = variable;
        url = aws_variable(setup, from);
    }
    if (url == NULL) {
        from = "AWS_ENDPOINT_URL";
        url = aws_variable(setup, from);
    }
    if (url != NULL) return take_endpoint(url, from, ret_endpoint, why);
    const char *suffix = strncmp(region, "cn-", 3) == 0 ? "amazonaws.com.cn" : "amazonaws.com";
    snprintf(ret_endpoint, AWS_ENDPOINT_BYTES, "https://%s.%s.%s", service->host, region, suffix);
    return OK;
}

/* True for an IP address, which has no subdomains. */
static bool
is_ip_address(struct bytes host)
{
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.at[i];
        if (c == ':') return true;
        if (!((c >= '0' && c <= '9') || c == '.')) return false;
    }
    return true;
}

enum err
aws_bucket_endpoint(const struct aws_setup *setup, const struct aws_bucket *bucket,
                    const char *region, char ret_endpoint[AWS_BUCKET_ENDPOINT_BYTES],
                    bool *ret_in_path, struct why *why)
{
    static const struct aws_service service = {.name = "s3", .host = "s3", .variable = "S3"};
    char plain[AWS_ENDPOINT_BYTES];
    struct aws_url url;
    enum err e = aws_endpoint(setup, &service, bucket->endpoint, region, plain, why);
    if (e) return e;
    if (!aws_url_split(plain, &url)) {
        return why_set(why, ERR_INPUT,
                       "invalid endpoint URL: expected http[s]://host[:port][/path]");
    }
    /* Wildcard certificates cover one label, not a bucket with dots. */
    bool has_no_certificate = url.tls && strchr(bucket->name, '.') != NULL;
    bool in_path = bucket->path_style || is_ip_address(url.host) || has_no_certificate;
    snprintf(ret_endpoint, AWS_BUCKET_ENDPOINT_BYTES, "%s://%s%s%.*s%.*s",
             url.tls ? "https" : "http", in_path ? "" : bucket->name, in_path ? "" : ".",
             (int)url.authority.size, (const char *)url.authority.at, (int)url.path.size,
             (const char *)url.path.at);
    *ret_in_path = in_path;
    return OK;
}

/* --- the clock -------------------------------------------------------------------------------- */

void
aws_clock_init(struct aws_clock *clock, struct env *env)
{
    *clock = (struct aws_clock){.env = env};
}

int64_t
aws_clock_now_s(const struct aws_clock *clock)
{
    return env_realtime_ms(clock->env) / 1000 + clock->skew_s;
}

/* --- requests --------------------------------------------------------------------------------- */

const char *const aws_wanted[AWS_WANTED_COUNT + 1] = {"x-amzn-ErrorType", NULL};

void
aws_request_init(struct aws_request *request, struct budget *memory)
{
    buf_init_secret(&request->text, memory, REQUEST_BYTES_MAX);
    request->headers[0] = NULL;
}

void
aws_request_fini(struct aws_request *request)
{
    buf_fini(&request->text);
    request->headers[0] = NULL;
}

/* Splits "Name: value". */
static bool
split_header(const char *line, struct sigv4_header *ret)
{
    const char *colon = strchr(line, ':');
    if (colon == NULL || colon == line) return false;
    const char *value = colon + 1 + strspn(colon + 1, " ");
    *ret = (struct sigv4_header){bytes_of(line, (size_t)(colon - line)), bytes_of_text(value)};
    /* libcurl omits a header without a value. */
    return ret->value.size > 0 && aws_is_header_text(ret->name) && aws_is_header_text(ret->value);
}

/* Puts Host first. */
static enum err
gather_headers(const struct aws_parts *parts, const struct aws_url *url,
               struct sigv4_header *headers, uint32_t *ret_count, struct why *why)
{
    uint32_t count = 0;
    headers[count++] = (struct sigv4_header){bytes_of_text("Host"), url->authority};
    for (const char *const *h = parts->headers; h != NULL && *h != NULL; h++) {
        if (count == HTTP_CALLS_HEADERS_MAX) {
            return why_set(why, ERR_LIMIT, "a request must have at most %d headers",
                           HTTP_CALLS_HEADERS_MAX);
        }
        if (!split_header(*h, &headers[count++]))
            return why_set(why, ERR_INPUT, "invalid request header: expected NAME: VALUE");
    }
    *ret_count = count;
    return OK;
}

static enum err
put_signature(const struct aws_parts *parts, const struct sigv4_credentials *keys, int64_t time_s,
              const struct sigv4_header *headers, uint32_t header_count, size_t path_from,
              size_t path_end, struct buf *to)
{
    struct sigv4_request r = {
        .method = bytes_of_text(parts->method),
        .path = bytes_of(to->at + path_from, path_end - path_from),
        .query = bytes_of_text(parts->query == NULL ? "" : parts->query),
        .headers = headers,
        .header_count = header_count,
        .region = bytes_of_text(parts->region),
        .service = bytes_of_text(parts->service),
        .time_s = time_s,
        .is_s3 = parts->is_s3,
    };
    sigv4_hash(parts->body, r.payload_hash);
    return sigv4_sign(&r, keys, to);
}

/* Splits the text into lines: the first is the URL, the others are headers. */
static enum err
list_headers(struct aws_request *request)
{
    uint8_t *at = request->text.at, *end = at + request->text.size;
    uint32_t count = 0;
    at += strcspn((const char *)at, "\n");
    while (at < end) {
        *at++ = '\0';
        if (at == end) break;
        if (count == HTTP_CALLS_HEADERS_MAX) return ERR_LIMIT;
        request->headers[count++] = (const char *)at;
        at = memchr(at, '\n', (size_t)(end - at));
    }
    request->headers[count] = NULL;
    return OK;
}

enum err
aws_sign(const struct aws_parts *parts, const struct sigv4_credentials *keys, int64_t time_s,
         struct aws_request *request, struct http_call *ret_call, struct why *why)
{
    struct sigv4_header headers[HTTP_CALLS_HEADERS_MAX];
    struct aws_url url;
    struct buf *to = &request->text;
    uint32_t count = 0;
    buf_wipe(to);
    request->headers[0] = NULL;
    if (!aws_url_split(parts->endpoint, &url) || strpbrk(parts->endpoint, "?#") != NULL) {
        return why_set(why, ERR_INPUT,
                       "invalid endpoint URL: expected http[s]://host[:port][/path]");
    }
    enum err e = gather_headers(parts, &url, headers, &count, why);
    if (e) return e;
    /* All bytes are reserved first, so that the buffer does not move: the path is signed in
     * place. */
    size_t need = REQUEST_BYTES_SPARE + 2 * strlen(parts->endpoint) + strlen(parts->path);
    need += parts->query == NULL ? 0 : strlen(parts->query);
    for (const char *const *h = parts->headers; h != NULL && *h != NULL; h++)
        need += 2 * strlen(*h) + 2; /* the signature contains the name, too */
    if (keys != NULL) need += keys->access_key.size + keys->session_token.size;
    if (!buf_reserve(to, need))
        return why_set(why, buf_error(to), "not enough memory for a request");
    buf_put_text(to, url.tls ? "https://" : "http://");
    buf_put_bytes(to, url.authority);
    size_t from = to->size; /* the endpoint's path and the request's are signed as one */
    buf_put_bytes(to, url.path);
    buf_put_text(to, parts->path);
    size_t end = to->size;
    if (parts->query != NULL && parts->query[0] != '\0') buf_printf(to, "?%s", parts->query);
    if (memchr(to->at, '\n', to->size) != NULL)
        return why_set(why, ERR_INPUT, "the URL of the request contains a line break");
    buf_put_u8(to, '\n');
    for (uint32_t i = 0; i < count; i++) {
        buf_put_bytes(to, headers[i].name);
        buf_put_text(to, ": ");
        buf_put_bytes(to, headers[i].value);
        buf_put_u8(to, '\n');
    }
    if (keys != NULL) e = put_signature(parts, keys, time_s, headers, count, from, end, to);
    e = err_first(e, buf_error(to));
    if (e == OK) e = list_headers(request);
    if (e) return why_set(why, e, "cannot sign the request");
    *ret_call = (struct http_call){.target = parts->target,
                                   .method = parts->method,
                                   .url = (const char *)to->at,
                                   .headers = request->headers,
                                   .body = parts->body,
                                   .wanted = aws_wanted,
                                   .answer_bytes_max = AWS_ANSWER_BYTES_MAX};
    return OK;
}

/* --- calls of a JSON service ------------------------------------------------------------------ */

struct aws_caller {
    struct writer_options options;
    const struct aws_service *service;
    const char *operations;
    const char *media_type;
    struct http_calls_target target;
    char region[AWS_REGION_BYTES];
    char endpoint[AWS_ENDPOINT_BYTES];
    struct aws_clock clock;
    struct aws_credentials *credentials;
    struct http_headers headers;
    struct aws_request request;
};

enum err
aws_caller_new(const struct aws_caller_options *options, struct aws_caller **ret_caller,
               struct why *why)
{
    const struct destination_settings *settings = options->writer->settings;
    struct aws_caller *c = mem_new(options->writer->memory, sizeof *c);
    if (c == NULL) return ERR_NOMEM;
    c->options = *options->writer;
    c->service = options->service;
    c->operations = options->operations;
    c->media_type = options->media_type;
    struct aws_setup setup = {c->options.env, c->options.memory, &settings->aws,
                              &aws_variables_real};
    http_target_init(&c->target, &settings->http, settings->timeout_ms);
    http_headers_init(&c->headers, c->options.memory);
    aws_request_init(&c->request, c->options.memory);
    aws_clock_init(&c->clock, c->options.env);
    enum err e = aws_region(&setup, c->region, why);
    if (e) goto out;
    e = aws_endpoint(&setup, c->service, options->endpoint, c->region, c->endpoint, why);
    if (e) goto out;
    const struct aws_credentials_options who = {setup, &c->target, &c->clock, settings->name};
    e = aws_credentials_new(&who, &c->credentials);
    if (e) goto out;

    *ret_caller = c;
    c = NULL;
out:
    aws_caller_free(c);
    return e;
}

void
aws_caller_free(struct aws_caller *c)
{
    if (c == NULL) return;
    aws_credentials_free(c->credentials);
    http_headers_fini(&c->headers);
    aws_request_fini(&c->request);
    mem_free(c->options.memory, c, sizeof *c);
}

int64_t
aws_caller_now_ms(const struct aws_caller *c)
{
    return env_realtime_ms(c->options.env) + 1000 * c->clock.skew_s;
}

bool
aws_caller_is_due(const struct aws_caller *c)
{
    return aws_credentials_due(c->credentials);
}

void
aws_caller_prepare(struct aws_caller *c, const struct http_call_answer *answer,
                   struct writer_step *ret_step)
{
    aws_credentials_step(c->credentials, answer, ret_step);
}

/* --- calls ------------------------------------------------------------------------------------ */

void
aws_caller_call(struct aws_caller *c, const char *endpoint, const char *operation,
                struct bytes body, uint32_t *ret_keys, struct writer_step *ret_step)
{
    struct http_headers *h = &c->headers;
    struct why why = {""};
    struct aws_parts parts = {.target = &c->target,
                              .method = "POST",
                              .endpoint = endpoint == NULL ? c->endpoint : endpoint,
                              .path = "/",
                              .body = body,
                              .service = c->service->name,
                              .region = c->region};
    const struct sigv4_credentials *keys = aws_credentials_keys(c->credentials);
    *ret_keys = aws_credentials_generation(c->credentials);
    *ret_step = (struct writer_step){.next = WRITER_SEND};
    if (keys == NULL) {
        step_done(ret_step, VERDICT_UNPREPARED, "credentials", "credentials are not available yet");
        return;
    }
    char target[128];
    snprintf(target, sizeof target, "%s.%s", c->operations, operation);
    http_headers_clear(h);
    http_headers_put(h, "Content-Type", bytes_of_text(c->media_type));
    http_headers_put(h, "X-Amz-Target", bytes_of_text(target));
    enum err e = http_put_configured(h, &c->options.settings->http, &why);
    if (e == OK) e = http_headers_lines(h, &parts.headers);
    if (e == OK)
        e = aws_sign(&parts, keys, aws_clock_now_s(&c->clock), &c->request, &ret_step->http, &why);
    if (e) http_judge_unmade(e, &why, ret_step);
}

void
aws_caller_judge(struct aws_caller *c, uint32_t keys, const struct http_call_answer *answer,
                 struct writer_step *ret_step)
{
    aws_json_judge(&c->clock, answer, ret_step);
    if (ret_step->verdict == VERDICT_UNPREPARED) aws_credentials_refused(c->credentials, keys);
}

bool
aws_is_name(const char *name, const char *others, size_t bytes_max)
{
    size_t size = 0;
    for (; name[size] != '\0'; size++) {
        char c = name[size];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr(others, c) == NULL) return false;
    }
    return size > 0 && size <= bytes_max;
}

/* --- answers ---------------------------------------------------------------------------------- */

void
aws_judge_empty(struct writer_step *step)
{
    if (step->verdict != VERDICT_DEAD && step->verdict != VERDICT_DELIVERED) return;
    step_done(step, VERDICT_DELIVERED, "", "access allowed");
}

static void
find_inner(struct scan *s, const char *inner, char *ret, size_t size)
{
    struct bytes key;
    scan_expect(s, '{');
    while (scan_key(s, &key)) {
        uint8_t kind = scan_peek(s);
        bool number = kind == '-' || (kind >= '0' && kind <= '9');
        if (!bytes_equal_text(key, inner) || (kind != '"' && !number)) {
            scan_skip(s);
            continue;
        }
        struct bytes text = number ? scan_number(s) : scan_text(s);
        snprintf(ret, size, "%.*s", text.size < size ? (int)text.size : (int)size - 1,
                 (const char *)text.at);
    }
}

void
aws_answer_find(struct bytes answer, const char *outer, const char *inner, char *ret, size_t size)
{
    struct arena arena;
    struct bytes key;
    ret[0] = '\0';
    if (answer.size > AWS_ANSWER_BYTES_MAX) answer.size = AWS_ANSWER_BYTES_MAX;
    arena_init(&arena, NULL, 2 * AWS_ANSWER_BYTES_MAX, 0);
    struct scan s = scan_of(answer, &arena);
    scan_expect(&s, '{');
    while (scan_key(&s, &key))
        if (bytes_equal_text(key, outer) && scan_peek(&s) == '{')
            find_inner(&s, inner, ret, size);
        else
            scan_skip(&s);
    arena_fini(&arena);
}
