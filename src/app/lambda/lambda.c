/*
 * lambda.c - `firekeep lambda`: a server in a function of AWS Lambda. Loops take invocations from
 * the runtime API, and answer each with what the server in the same process answers.
 *
 * The process is frozen between invocations, and ends without a signal. So the server keeps
 * nothing: a write is answered when the destination has it (wal.ack=destination), within the time
 * of its invocation, and nothing is sent after the answer.
 */
#include "app/lambda/lambda.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/server.h"
#include "auth/origin.h"
#include "base/log.h"
#include "base/text/json.h"
#include "base/version.h"
#include "cli/cli.h"

/* --- the runtime API -------------------------------------------------------------------------- */

/* The API is plain HTTP on this machine; no request of it is repeated: a failure ends the process,
 * and Lambda starts another one. */
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
    json_members(&json, JSON("errorMessage", message), JSON("errorType", "Firekeep.CannotStart"));
    json_member_array(&json, "stackTrace");
    json_array_close(&json);
    json_object_close(&json);
    struct http_client_request request = {.url = url, .headers = headers, .body = buf_bytes(&body)};
    enum err e = buf_error(&body) ? buf_error(&body) : post(r, &request, why);
    buf_fini(&body);
    return e;
}

enum {
    YAML_BYTES_MAX = 64 * 1024,
    PATH_BYTES = 512,
    FLAG_BYTES = PATH_BYTES + 32,
    FLAGS = 7,
    LOOPS_MAX = 64,
    LOOP_BYTES = 48 * 1024 * 1024, /* an event, its tree, its body, an answer */
};

struct lambda;

struct lambda_loop {
    struct lambda *of;
    struct runtime *runtime;
    struct env_thread *thread;
};

struct lambda {
    /* Immutable while loops run. */
    const char *api;
    char socket[FUNCTION_PATH_BYTES];
    bool streams;        /* answers of function URLs are streamed */
    uint64_t gateway_ms; /* of the environment; 0: not set */
    struct dispatcher dispatcher;
    struct budget memory;
    struct lambda_loop loops[LOOPS_MAX];
    uint32_t loop_count;

    atomic_bool stop;       /* relaxed: it orders nothing */
    atomic_bool has_failed; /* relaxed: read after the loops have ended */
};

/* --- files ------------------------------------------------------------------------------------ */

static int
sync_nothing(struct env *env, int file)
{
    (void)env;
    (void)file;
    return 0;
}

static int
sync_no_names(struct env *env, const char *path)
{
    (void)env;
    (void)path;
    return 0;
}

/* Returns the machine without syncs: no file outlives the function's sandbox, whose start would
 * wait for its disk. */
static struct env *
sandbox_env(void)
{
    static struct env_ops ops;
    static struct env env = {&ops};
    ops = *env_real()->ops;
    ops.datasync = ops.sync = sync_nothing;
    ops.syncdir = sync_no_names;
    return &env;
}

/* --- loops ------------------------------------------------------------------------------------ */

/* Answers one invocation. Errors: the runtime API does not work. */
static enum err
run_once(struct lambda_loop *loop, struct why *why)
{
    struct lambda *f = loop->of;
    struct invocation invocation;
    struct buf event;
    buf_init(&event, &f->memory, EVENT_BYTES_MAX);
    enum err e = runtime_next(loop->runtime, &event, &invocation, why);
    if (e == OK || e == ERR_LIMIT) {
        e = dispatch(&f->dispatcher, loop->runtime, &invocation, e, buf_bytes(&event), why);
        if (e == ERR_INPUT) e = OK; /* is logged */
    }
    buf_fini(&event);
    return e;
}

static void
run_loop(void *context)
{
    struct lambda_loop *loop = context;
    struct why why = {""};
    enum err e = OK;
    while (e == OK && !atomic_load_explicit(&loop->of->stop, memory_order_relaxed))
        e = run_once(loop, &why);
    if (e == OK || e == ERR_CANCELED) return;
    log_error("the runtime API does not work, stopping", KV("error", why_text(&why, e)));
    atomic_store_explicit(&loop->of->has_failed, true, memory_order_relaxed);
    kill(getpid(), SIGTERM);
}

static void
end_loops(void *context)
{
    struct lambda *f = context;
    atomic_store_explicit(&f->stop, true, memory_order_relaxed);
    for (uint32_t i = 0; i < f->loop_count; i++) {
        if (f->loops[i].thread != NULL) env_thread_join(env_real(), f->loops[i].thread);
        runtime_free(f->loops[i].runtime);
    }
    http_puller_free(f->dispatcher.puller);
    f->dispatcher.puller = NULL;
    f->loop_count = 0;
}

static enum err
begin_loops(void *context, struct why *why)
{
    struct lambda *f = context;
    struct env *env = env_real();
    uint32_t count = function_concurrency(getenv);
    assert(count <= LOOPS_MAX);
    budget_init(&f->memory, "lambda", (uint64_t)count * LOOP_BYTES, NULL);
    f->dispatcher = (struct dispatcher){
        .env = env,
        .server = {.proxy_url = "", .unix_path = f->socket, .connect_timeout_ms = 5000},
        .budget = &f->memory,
        .streams = f->streams,
        .gateway_ms = f->gateway_ms,
    };
    enum err e = http_puller_new(env, "firekeep/" FIREKEEP_VERSION, &f->dispatcher.puller, why);
    for (; e == OK && f->loop_count < count; f->loop_count++) {
        struct lambda_loop *loop = &f->loops[f->loop_count];
        *loop = (struct lambda_loop){.of = f};
        e = runtime_new(env, f->api, &f->stop, &loop->runtime, why);
        if (e == OK) e = env_thread_start(env, "lambda", run_loop, loop, &loop->thread);
    }
    if (e) end_loops(f);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Puts the configuration into a file without a name. */
static enum err
keep_config(char ret_path[static PATH_BYTES], struct why *why)
{
    struct buf config;
    buf_init(&config, NULL, YAML_BYTES_MAX);
    enum err e = function_settings_put(getenv, &config, why);
    int file = e ? -1 : memfd_create("firekeep.yml", 0);
    if (e == OK && (file < 0 || write(file, config.at, config.size) != (ssize_t)config.size))
        e = why_set(why, ERR_IO, "cannot keep the configuration");
    if (e == OK) snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d", file);
    buf_fini(&config);
    return e;
}

/* Finds the configuration: a file in the function's package, or what the environment says. */
static enum err
find_config(char ret_path[static PATH_BYTES], bool *ret_is_own, struct why *why)
{
    const char *root = getenv("LAMBDA_TASK_ROOT");
    int size = snprintf(ret_path, PATH_BYTES, "%s/firekeep.yml", root == NULL ? "" : root);
    *ret_is_own = root != NULL && size < PATH_BYTES && access(ret_path, F_OK) == 0;
    return *ret_is_own ? OK : keep_config(ret_path, why);
}

static int
run_server(struct lambda *f, struct why *why)
{
    char path[PATH_BYTES], directory[FUNCTION_PATH_BYTES],
        name[] = "lambda", mode[] = "--storage.mode=none", ack[] = "--wal.ack=destination";
    char file[FLAG_BYTES], timeout[FLAG_BYTES], memory[FLAG_BYTES], storage[FLAG_BYTES],
        listen[FLAG_BYTES];
    bool is_own = false;
    enum err e = caller_begin(env_real());
    if (e == OK) e = function_streams(getenv, &f->streams, why);
    if (e == OK) e = function_gateway_ms(getenv, &f->gateway_ms, why);
    if (e == OK) e = find_config(path, &is_own, why);
    if (e == OK) e = function_path(getenv, FUNCTION_SOCKET, f->socket, why);
    if (e == OK) e = function_path(getenv, FUNCTION_STORAGE, directory, why);
    if (e) return cli_failed("lambda", e, why);
    snprintf(file, sizeof file, "--config.file=%s", path);
    snprintf(storage, sizeof storage, "--storage.path=%s", directory);
    snprintf(listen, sizeof listen, "--web.listen-address=unix:%s", f->socket);
    snprintf(memory, sizeof memory, "--memory.limit=%" PRIu64, function_memory_bytes(getenv));
    snprintf(timeout, sizeof timeout, "--wal.ack-timeout=%ds", DISPATCH_ACK_SECONDS);
    char *words[] = {name, file, mode, ack, timeout, storage, memory, is_own ? listen : NULL, NULL};
    struct serve_companion companion = {f, sandbox_env(), begin_loops, end_loops};
    return serve_with("lambda", is_own ? FLAGS + 1 : FLAGS, words, &companion, why);
}

static int
run_lambda(int argc, char **argv)
{
    struct lambda *f = mem_new(NULL, sizeof *f);
    struct why why = {""}, unsent = {""};
    struct runtime *runtime = NULL;
    if (argc > 1) return cli_usage_error("lambda", "unexpected argument '%.64s'", argv[1]);
    if (f == NULL) return cli_failed("lambda", ERR_NOMEM, &why);
    f->api = getenv("AWS_LAMBDA_RUNTIME_API");
    if (f->api == NULL || f->api[0] == '\0' || strlen(f->api) > 255)
        return cli_usage_error("lambda", "AWS_LAMBDA_RUNTIME_API is missing: Lambda runs this");
    int code = run_server(f, &why);
    if (code != EXIT_DONE) {
        enum err e = runtime_new(env_real(), f->api, NULL, &runtime, &unsent);
        if (e == OK) e = runtime_fail_start(runtime, why_text(&why, ERR_INPUT), &unsent);
        err_ignore(e, "Lambda sees that the process has ended");
        runtime_free(runtime);
    }
    bool has_failed = atomic_load_explicit(&f->has_failed, memory_order_relaxed);
    mem_free(NULL, f, sizeof *f);
    return has_failed ? EXIT_FAILED : code;
}

static const char notes[] =
    "\nRuns a server in a function of AWS Lambda, behind an HTTP API, a REST API or a function "
    "URL.\n"
    "The runtime starts it; see docs/aws.md. The configuration is firekeep.yml in the function's\n"
    "package, or made from environment variables:\n"
    "\n"
    "  default_database, default_table    database and table of Timestream\n"
    "  destination                        timestream (default), firehose or kinesis\n"
    "  stream                             stream of Firehose or Kinesis\n"
    "  bucket, prefix                     bucket that Firehose writes to, for reads\n"
    "  region                             region of the destination (default $AWS_REGION)\n"
    "  write_base_endpoint                endpoint of writes\n"
    "  query_base_endpoint                endpoint of reads\n"
    "  enable_sigv4_auth                  false: the gateway does not check callers, the next two "
    "do\n"
    "  basic_auth_user                    user of HTTP basic authentication\n"
    "  basic_auth_password_hash           hash of the password, see firekeep hash\n"
    "  api_gateway_timeout_in_millis      time after which the gateway answers (default 30000)\n"
    "  response_stream                    true: answers of function URLs are streamed\n"
    "  log_level, log_format              as of firekeep serve\n"
    "\nExit status: 0 stopped by a signal, 1 it cannot start or lost the runtime, 2 wrong usage.\n";

const struct command command_lambda = {
    "lambda", NULL, "run the server in a function of AWS Lambda", run_lambda, NULL, notes};
