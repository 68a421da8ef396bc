/*
 * function_settings.c - see lambda.h. Values are written as quoted YAML, and the
 * configuration's own checks judge them.
 */
#include "app/lambda/lambda.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/yaml/yaml_reader.h"

enum { MIB = 1024 * 1024, MEMORY_MIB_LEAST = 128, CONCURRENCY_MAX = 64 };

/* Appends a key with the value of a variable; nothing if it is not set. */
static void
put(struct buf *to, const char *key, function_variable *variable, const char *name)
{
    const char *value = variable(name);
    if (value == NULL || value[0] == '\0') return;
    buf_printf(to, "%s: ", key);
    yaml_put_quoted(to, value);
    buf_put_u8(to, '\n');
}

enum err
function_path(function_variable *variable, const char *name,
              char ret_path[static FUNCTION_PATH_BYTES], struct why *why)
{
    const char *directory = variable("TMPDIR");
    if (directory == NULL || directory[0] == '\0') directory = "/tmp";
    int size = snprintf(ret_path, FUNCTION_PATH_BYTES, "%s/%s", directory, name);
    if (size < FUNCTION_PATH_BYTES) return OK;
    return why_set(why, ERR_INPUT, "TMPDIR is too long for the path of a socket");
}

static bool
is_set(function_variable *variable, const char *name)
{
    const char *value = variable(name);
    return value != NULL && value[0] != '\0';
}

static enum err
require(function_variable *variable, const char *const *names, struct why *why)
{
    for (; *names != NULL; names++)
        if (!is_set(variable, *names))
            return why_set(why, ERR_INPUT, "the environment variable %s is missing", *names);
    return OK;
}

/* Reads a variable with the words that the old connector takes. A word that is not understood is an
 * error: it must not open the function. */
static enum err
read_switch(function_variable *variable, const char *name, bool fallback, bool *ret_on,
            struct why *why)
{
    static const char *const words[][2] = {{"false", "true"}, {"False", "True"}, {"FALSE", "TRUE"},
                                           {"f", "t"},        {"F", "T"},        {"0", "1"}};
    *ret_on = fallback;
    if (!is_set(variable, name)) return OK;
    const char *value = variable(name);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *ret_on = strcmp(value, words[i][1]) == 0;
        if (*ret_on || strcmp(value, words[i][0]) == 0) return OK;
    }
    return why_set(why, ERR_INPUT, "the environment variable %s must be true or false, not '%.64s'",
                   name, value);
}

/* --- destinations ----------------------------------------------------------------------------- */

static void
put_region(function_variable *variable, struct buf *to)
{
    put(to, "  region", variable, is_set(variable, "region") ? "region" : "AWS_REGION");
}

static enum err
put_timestream(function_variable *variable, struct buf *to, struct why *why)
{
    static const char *const required[] = {"default_database", "default_table", NULL};
    buf_put_text(to, "destinations:\n- name: timestream\n  type: timestream\n");
    put(to, "  database", variable, "default_database");
    put(to, "  table", variable, "default_table");
    put_region(variable, to);
    put(to, "  write_endpoint", variable, "write_base_endpoint");
    buf_put_text(to, "sources:\n- use: timestream\n");
    put(to, "  query_endpoint", variable, "query_base_endpoint");
    return require(variable, required, why);
}

static enum err
put_kinesis(function_variable *variable, struct buf *to, struct why *why)
{
    static const char *const required[] = {"stream", NULL};
    buf_put_text(to, "destinations:\n- name: kinesis\n  type: kinesis\n");
    put(to, "  stream", variable, "stream");
    put_region(variable, to);
    put(to, "  endpoint", variable, "write_base_endpoint");
    return require(variable, required, why);
}

static enum err
put_firehose(function_variable *variable, struct buf *to, struct why *why)
{
    static const char *const required[] = {"stream", "bucket", NULL};
    buf_put_text(to, "destinations:\n- name: firehose\n  type: firehose\n");
    put(to, "  delivery_stream", variable, "stream");
    put_region(variable, to);
    put(to, "  endpoint", variable, "write_base_endpoint");
    buf_put_text(to, "sources:\n- name: archive\n  type: archive\n");
    put(to, "  bucket", variable, "bucket");
    put(to, "  prefix", variable, "prefix");
    put_region(variable, to);
    put(to, "  endpoint", variable, "query_base_endpoint");
    if (is_set(variable, "query_base_endpoint")) buf_put_text(to, "  path_style: true\n");
    char path[FUNCTION_PATH_BYTES];
    enum err e = function_path(variable, FUNCTION_ARCHIVE, path, why);
    if (e) return e;
    buf_put_text(to, "  cache:\n    path: ");
    yaml_put_quoted(to, path);
    buf_put_text(to, "\n    max_bytes: 256MiB\n");
    return require(variable, required, why);
}

static enum err
put_destination(function_variable *variable, struct buf *to, struct why *why)
{
    static const struct {
        const char *name;
        enum err (*put)(function_variable *variable, struct buf *to, struct why *why);
    } kinds[] = {
        {"timestream", put_timestream}, {"firehose", put_firehose}, {"kinesis", put_kinesis}};
    const char *name = is_set(variable, "destination") ? variable("destination") : kinds[0].name;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0) return kinds[i].put(variable, to, why);
    return why_set(why, ERR_INPUT,
                   "the environment variable destination must be timestream, firehose or kinesis");
}

/* --- users ------------------------------------------------------------------------------------ */

/* Without IAM the function is open to everyone, so that a user is required. The user's password is
 * never a key of AWS. */
static enum err
put_users(function_variable *variable, struct buf *to, struct why *why)
{
    static const char *const required[] = {"basic_auth_user", "basic_auth_password_hash", NULL};
    bool has_iam;
    enum err e = read_switch(variable, "enable_sigv4_auth", true, &has_iam, why);
    if (e || has_iam) return e;
    buf_put_text(to, "users:\n");
    put(to, "- name", variable, "basic_auth_user");
    put(to, "  password", variable, "basic_auth_password_hash");
    buf_put_text(to, "  permissions: [write, read]\n");
    e = require(variable, required, why);
    return e ? why_prefix(why, e, "enable_sigv4_auth is false, so anyone can call the function")
             : OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void
put_log(function_variable *variable, struct buf *to)
{
    bool has_level = is_set(variable, "log_level"), has_format = is_set(variable, "log_format");
    if (!has_level && !has_format) return;
    buf_put_text(to, "log:\n");
    put(to, "  level", variable, "log_level");
    put(to, "  format", variable, "log_format");
}

enum err
function_settings_put(function_variable *variable, struct buf *to, struct why *why)
{
    char path[FUNCTION_PATH_BYTES], address[FUNCTION_PATH_BYTES + 8];
    enum err e = function_path(variable, FUNCTION_SOCKET, path, why);
    if (e) return e;
    snprintf(address, sizeof address, "unix:%s", path);
    buf_put_text(to, "web:\n  listen_address: []\nlisteners:\n- address: ");
    yaml_put_quoted(to, address);
    buf_put_text(to, "\n  mode: \"0600\"\n  allow: [write, read]\n");
    put_log(variable, to);
    e = put_users(variable, to, why);
    if (e == OK) e = put_destination(variable, to, why);
    if (e == OK) e = buf_error(to);
    return e;
}

/* Returns the number in a variable; `fallback` if it has none. */
static uint64_t
number_of(function_variable *variable, const char *name, uint64_t fallback)
{
    const char *value = variable(name);
    char *end;
    if (value == NULL || value[0] < '0' || value[0] > '9') return fallback;
    unsigned long long number = strtoull(value, &end, 10);
    return *end == '\0' && number <= UINT32_MAX ? number : fallback;
}

uint64_t
function_memory_bytes(function_variable *variable)
{
    uint64_t mib = number_of(variable, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MIB_LEAST);
    return (mib < MEMORY_MIB_LEAST ? MEMORY_MIB_LEAST : mib) / 2 * MIB;
}

uint32_t
function_concurrency(function_variable *variable)
{
    uint64_t count = number_of(variable, "AWS_LAMBDA_MAX_CONCURRENCY", 1);
    return count == 0 ? 1 : count > CONCURRENCY_MAX ? CONCURRENCY_MAX : (uint32_t)count;
}

enum err
function_gateway_ms(function_variable *variable, uint64_t *ret_ms, struct why *why)
{
    static const char name[] = "api_gateway_timeout_in_millis";
    *ret_ms = number_of(variable, name, 0);
    if (*ret_ms > 0 || !is_set(variable, name)) return OK;
    return why_set(why, ERR_INPUT,
                   "the environment variable %s must be a number of milliseconds, not '%.64s'",
                   name, variable(name));
}

enum err
function_streams(function_variable *variable, bool *ret_streams, struct why *why)
{
    return read_switch(variable, "response_stream", false, ret_streams, why);
}
