/* health.c - `firekeep health`: asks a server whether it is healthy, for probes of containers and
 * load balancers. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/lib/client_access.h"
#include "cli/lib/target/target.h"
#include "sys/env.h"

enum { TEXT_BYTES_MAX = 4096 };

struct health {
    const char *url;
    const char *http_config_file;
    bool ready;
    int64_t timeout_ns;
};

static const struct flag health_flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct health, url), "URL",
     "URL of the server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct health, http_config_file),
    {"ready", 0, FLAG_SWITCH, offsetof(struct health, ready), NULL,
     "ask whether it takes and answers requests, not only whether the process responds"},
    {"timeout", 0, FLAG_DURATION, offsetof(struct health, timeout_ns), "TIME",
     "maximum time for the answer (default 5s)"},
    {0},
};

static const char health_notes[] =
    "\nSends one GET to /-/healthy or /-/ready, which need no user, and prints the answer.\n"
    "\nExit status: 0 it is, 1 it is not, or no answer came, 2 wrong usage.\n";

static int
run_health(int argc, char **argv)
{
    struct health h = {.timeout_ns = 5 * NS_PER_S};
    struct why why = {""};
    struct buf text;
    int count = 0;
    enum err e = flags_parse(health_flags, &h, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK && h.timeout_ns == 0) e = why_set(&why, ERR_INPUT, "--timeout must not be 0");
    if (e == OK) e = target_settle_url(&h.url, &why);
    if (e) return cli_usage_error("health", "%s", why.text);
    struct client_call call = {
        .url = h.url,
        .config_file = h.http_config_file,
        .timeout_ns = h.timeout_ns,
        .path = h.ready ? "/-/ready" : "/-/healthy",
    };
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    e = client_call(&call, &text, &why);
    if (e == OK) fwrite(text.at, 1, text.size, stdout);
    buf_fini(&text);
    return e ? cli_failed("health", e, &why) : EXIT_DONE;
}

const struct command command_health = {
    "health",   "[flags]",    "ask a server whether it is healthy, for probes",
    run_health, health_flags, health_notes};
