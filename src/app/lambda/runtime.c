/* runtime.c - see runtime.h. The API is plain HTTP on this machine; no request of it is repeated:
 * a failure ends the process, and Lambda starts another one. */
#include "app/lambda/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/lambda/answer.h"
#include "base/text/json.h"
#include "base/version.h"

enum { URL_BYTES = 512, FAILURE_BYTES = 8192 };

struct runtime {
    struct http_client *client;
    const char *api;
};

enum err
runtime_new(struct env *env, const char *api, const atomic_bool *stop, struct runtime **ret_runtime,
            struct why *why)
{
    static const struct http_calls_target direct = {.proxy_url = ""};
    struct http_client_options options = {.env = env,
                                          .user_agent = "firekeep/" FIREKEEP_VERSION,
                                          .connect_timeout_ns = 5 * NS_PER_S,
                                          .stop = stop,
                                          .target = &direct};
    struct runtime *r = mem_new(NULL, sizeof *r);
    if (r == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    r->api = api;
    enum err e = http_client_new(&options, &r->client, why);
    if (e) {
        runtime_free(r);
        return e;
    }
    *ret_runtime = r;
    return OK;
}

void
runtime_free(struct runtime *r)
{
    if (r == NULL) return;
    http_client_free(r->client);
    mem_free(NULL, r, sizeof *r);
}

static void
print_url(const struct runtime *r, const struct invocation *invocation, const char *end,
          char to[static URL_BYTES])
{
    static const char version[] = "2018-06-01";
    if (invocation == NULL)
        snprintf(to, URL_BYTES, "http://%s/%s/runtime/%s", r->api, version, end);
    else
        snprintf(to, URL_BYTES, "http://%s/%s/runtime/invocation/%s/%s", r->api, version,
                 invocation->id, end);
}

enum err
runtime_next(struct runtime *r, struct buf *event, struct invocation *ret_invocation,
             struct why *why)
{
    char url[URL_BYTES];
    static const char *const wanted[] = {"Lambda-Runtime-Aws-Request-Id",
                                         "Lambda-Runtime-Deadline-Ms", NULL};
    struct http_client_request request = {.url = url, .wanted = wanted};
    struct http_client_answer answer;
    print_url(r, NULL, "invocation/next", url);
    enum err e = http_client_fetch(r->client, &request, event, &answer, why);
    if (e && e != ERR_LIMIT) return e;
    if (e == OK && answer.status != 200)
        return why_set(why, ERR_IO, "the runtime API answers %u: %s", answer.status, answer.text);
    const char *id = answer.wanted[0];
    size_t size = strspn(id, "0123456789abcdefABCDEF-");
    if (size == 0 || size >= sizeof ret_invocation->id || id[size] != '\0')
        return why_set(why, ERR_IO, "the runtime API has sent an invocation without an ID");
    *ret_invocation = (struct invocation){.deadline_ms = strtoll(answer.wanted[1], NULL, 10)};
    memcpy(ret_invocation->id, id, size + 1);
    return e;
}

/* The API answers 202. Errors other than ERR_INPUT: it does not work. */
static enum err
post(struct runtime *r, const struct http_client_request *request, struct why *why)
{
    struct http_client_answer answer;
    enum err e = http_client_send(r->client, request, &answer, why);
    if (e == OK && (answer.status < 200 || answer.status > 299))
        e = why_set(why, ERR_INPUT, "the runtime API answers %u: %s", answer.status, answer.text);
    return e;
}

enum err
runtime_answer(struct runtime *r, const struct invocation *invocation, struct bytes answer,
               struct why *why)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    char url[URL_BYTES];
    print_url(r, invocation, "response", url);
    struct http_client_request request = {.url = url, .headers = headers, .body = answer};
    return post(r, &request, why);
}

enum err
runtime_stream(struct runtime *r, const struct invocation *invocation,
               const struct http_call_pieces *pieces, struct why *why)
{
    static const char *const headers[] = {
        "Content-Type: " ANSWER_STREAM_TYPE, "Lambda-Runtime-Function-Response-Mode: streaming",
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body", NULL};
    char url[URL_BYTES];
    print_url(r, invocation, "response", url);
    struct http_client_request request = {.url = url, .headers = headers, .pieces = pieces};
    return post(r, &request, why);
}

enum err
runtime_fail_start(struct runtime *r, const char *message, struct why *why)
{
    static const char *const headers[] = {
        "Content-Type: application/json",
        "Lambda-Runtime-Function-Error-Type: Firekeep.CannotStart", NULL};
    char url[URL_BYTES];
    struct buf body;
    struct json json;
    print_url(r, NULL, "init/error", url);
    buf_init(&body, NULL, FAILURE_BYTES);
    json_init(&json, &body);
    json_object_open(&json);
    json_member_text(&json, "errorMessage", message);
    json_member_text(&json, "errorType", "Firekeep.CannotStart");
    json_member_array(&json, "stackTrace");
    json_array_close(&json);
    json_object_close(&json);
    struct http_client_request request = {.url = url, .headers = headers, .body = buf_bytes(&body)};
    enum err e = buf_error(&body) ? buf_error(&body) : post(r, &request, why);
    buf_fini(&body);
    return e;
}
