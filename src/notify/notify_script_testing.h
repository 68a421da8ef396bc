/*
 * notify_script_testing.h - tests of a notifier that are scripts, and a rig for each test. For
 * tests.
 *
 * A line of a script is commands and then, after " => ", the events that they cause: requests with
 * their alerts, wanted log lines, members that changed, and what was asked to be shown. An event
 * has the seconds since the begin in front, unless they are those of the event before. A URL
 * http://HOST/api/v2/alerts is written as HOST.
 *
 *     am a b | start | fire Down:1 | run 0 => 0s a Down:1; b Down:1
 *
 * Settings of the next start; after am, most are of that Alertmanager:
 *     am [ADDRESS...], queue N, batch N, pause SECONDS, tenant LABEL, external NAME VALUE,
 *     relabel targets|alerts|all drop|keep|replace SOURCE REGEX [TARGET REPLACEMENT],
 *     hash N, line N, scheme S, path_prefix P, token, sigv4, password TEXT, label NAME VALUE (of
 *     targets), files PATTERN, list, list_token, names (A records), services (SRV records),
 *     start, prepare (and abandon).
 * The world:
 *     fire NAME:STARTS_MS[:BYTES of an annotation]..., run SECONDS, clock [+-]SECONDS,
 *     answer URL STATUS [SECONDS, -1: never], retry_after SECONDS, date none|[+-]SECONDS,
 *     location|body|error_type|type [TEXT], list_is JSON, zone [fails|cut|slow SECONDS]
 * [RECORD...], memory full|free, outside fails|works, env NAME [VALUE], put PATH TEXT, rm|mkdir
 * PATH, mv FROM TO. What is shown: log TEXT (lines with it are events from now on), members (as the
 * API has them), idle, metrics PREFIX, headers and labels (of the last request), under_way,
 * look_ups.
 */
#ifndef NOTIFY_NOTIFY_SCRIPT_TESTING_H
#define NOTIFY_NOTIFY_SCRIPT_TESTING_H

#include <sys/mman.h>
#include <unistd.h>

#include "base/script_testing.h"
#include "notify/notify_rig_testing.h"

#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

static struct rig rig;

/* What happens. */
static struct {
    int64_t began_ns;
    int64_t now_ns;            /* of the last event */
    char body[RIG_TEXT_BYTES]; /* of the last request */
    char headers[4096];
    int log_fd;
    const char *log_text; /* log lines that have it are events; NULL: none */
    bool has_hosts;       /* changes of members are events */
    char hosts[RIG_TEXT_BYTES];
} seen;

/* What others answer, by URL, or host of a member. */
static struct {
    struct {
        const char *url;
        unsigned status;
        int64_t after_ms;
    } items[256];
    unsigned count;
    int64_t retry_after_ms, date_s;
    const char *list, *content_type, *body, *error_type, *location;
    unsigned tokens;
    char token[128];
} answers;

/* --- events ----------------------------------------------------------------------------------- */

/* "http://HOST/api/v2/alerts" becomes HOST in what is printed. */
static void
shorten_printed(void)
{
    static const char path[] = "/api/v2/alerts";
    char *to = script.printed;
    for (const char *at = to; *at != '\0'; *to++ = *at++) {
        const char *host = at + strlen("http://");
        if (strncmp(at, "http://", strlen("http://")) != 0) continue;
        const char *end = host + strcspn(host, "/ '");
        if (strncmp(end, path, sizeof path - 1) != 0) continue;
        memmove(to, host, (size_t)(end - host));
        to += end - host;
        at = end + sizeof path - 1;
        if (*at == '\0') break;
    }
    *to = '\0';
}

/* With the seconds since the begin, if these are others than those of the event before. */
static void
event(const char *text)
{
    static char timed[RIG_TEXT_BYTES];
    int64_t now_ns = env_monotonic_ns(rig.env);
    int size = 0;
    if (script.printed[0] == '\0' || now_ns != seen.now_ns) {
        size = sprintf(timed, "%.10gs ", (double)(now_ns - seen.began_ns) / 1e9);
    }
    seen.now_ns = now_ns;
    strcpy(timed + size, text);
    print_text(timed);
}

static void
look_at_log(void)
{
    static char lines[RIG_TEXT_BYTES];
    ssize_t size = pread(seen.log_fd, lines, sizeof lines - 1, 0);
    if (size <= 0) return;
    lines[size] = '\0';
    assert_int_equal(ftruncate(seen.log_fd, 0), 0);
    assert_int_equal(lseek(seen.log_fd, 0, SEEK_SET), 0);
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char text[4096], *level = strstr(line, "level="), *message = strstr(line, "msg=\"notify: ");
        if (seen.log_text == NULL || strstr(line, seen.log_text) == NULL) continue;
        snprintf(text, sizeof text, "%.*s\"%s", (int)strcspn(level + 6, "m"), level + 6,
                 message + 13);
        event(text);
    }
}

/* Before time goes on. */
static void
look(struct rig *r)
{
    static char hosts[RIG_TEXT_BYTES];
    const struct notify_plan *plan = r->notifier->plan;
    size_t at = (size_t)sprintf(hosts, "members");
    look_at_log();
    for (uint32_t k = 0; k < plan->count; k++) {
        const struct members *members = &plan->items[k]->members;
        for (uint32_t i = 0; i < members->count && members->count <= 100; i++) {
            at += (size_t)snprintf(hosts + at, sizeof hosts - at, " %s", members->items[i]->url);
        }
        if (members->count > 100) at += (size_t)sprintf(hosts + at, " %u", members->count);
    }
    if (!seen.has_hosts || strcmp(hosts, seen.hosts) == 0) return;
    strcpy(seen.hosts, hosts);
    event(hosts);
}

static void
serve(struct rig *r, struct fake_call *call)
{
    static char text[RIG_TEXT_BYTES];
    const struct http_call *request = &call->request;
    bool is_list = strcmp(request->url, "http://list/") == 0;
    const char *wanted[] = {is_list ? answers.content_type : answers.error_type, answers.location};
    size_t size = (size_t)sprintf(text, "%s ", request->url);
    bool has_alerts = request->body.size > 0 && request->body.at[0] == '[';
    (void)r;
    if (has_alerts) alerts_text(request->body, text + size, sizeof text - size);
    text[has_alerts ? strlen(text) : size - 1] = '\0';
    event(text);
    sprintf(seen.body, "%.*s", (int)request->body.size, (const char *)request->body.at);
    size = (size_t)sprintf(seen.headers, "%s", request->method);
    for (const char *const *h = request->headers; h != NULL && *h != NULL; h++) {
        size += (size_t)snprintf(seen.headers + size, sizeof seen.headers - size, "; %s", *h);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (wanted[i] != NULL) strcpy(call->answer.wanted[i], wanted[i]);
    }
    for (unsigned i = 0; i < answers.count; i++) {
        char url[256];
        snprintf(url, sizeof url, "http://%s/api/v2/alerts", answers.items[i].url);
        bool is_whole = strcmp(request->url, answers.items[i].url) == 0;
        if (!is_whole && strcmp(request->url, url) != 0) continue;
        call->after_ms = answers.items[i].after_ms;
        call->answer.status = answers.items[i].status;
    }
    call->answer.retry_after_ns = answers.retry_after_ms * NS_PER_MS;
    call->answer.date_s = answers.date_s;
    const char *body = is_list ? answers.list : answers.body;
    if (strcmp(request->url, "http://tokens/") == 0) {
        sprintf(answers.token, "{\"access_token\":\"token%u\"}", ++answers.tokens);
        body = answers.token;
    }
    call->answer.body = bytes_of_text(body == NULL ? "" : body);
}

/* --- commands --------------------------------------------------------------------------------- */

static int64_t
ms_of(const char *seconds)
{
    double ms = strtod(seconds, NULL) * 1000;
    return (int64_t)(ms < 0 ? ms - 0.5 : ms + 0.5);
}

static int64_t
now_ms(void)
{
    return env_realtime_ms(rig.env);
}

static void
add_alertmanager(char *rest)
{
    rig_add(&rig);
    for (const char *at; (at = word(&rest))[0] != '\0';) {
        rig_target(&rig, at);
    }
}

static void
add_pair(struct named_text *items, struct named_texts *list, char *rest)
{
    const char *name = word(&rest);
    items[list->count++] = (struct named_text){name, rest};
}

static void
add_relabelling(char *rest)
{
    const char *of = word(&rest), *action = word(&rest);
    struct bytes *source = &rig.made->sources[rig.made->source_count++];
    assert_true(rig.made->source_count <= COUNT_OF(rig.made->sources));
    *source = bytes_of_text(word(&rest));
    struct relabel_spec spec = {
        .action = relabel_action_of(bytes_of_text(action)),
        .source_labels = source,
        .source_label_count = 1,
        .regex = bytes_of_text(word(&rest)),
    };
    const char *target = word(&rest);
    if (target[0] != '\0') spec.target_label = bytes_of_text(target);
    if (target[0] != '\0') spec.replacement = bytes_of_text(rest);
    if (strcmp(of, "all") == 0) {
        rig.made->relabel[rig.alerting.alert_relabel_count++] = spec;
        return;
    }
    struct alertmanager_settings *a = &rig.alerting.items[rig.alerting.count - 1];
    if (strcmp(of, "alerts") == 0)
        rig.last->alert_relabel[a->alert_relabel_count++] = spec;
    else
        rig.last->relabel[a->relabel_count++] = spec;
}

static void
change_settings(bool is_start)
{
    struct notifier_change *change;
    if (rig_prepare(&rig, &change))
        print_text(rig.why.text);
    else if (is_start)
        notifier_commit(change);
    else
        notifier_abandon(change);
}

/* Of the Alertmanager that was begun last, if there is one. */
static void
do_setting(const char *name, char *rest)
{
    static const struct oauth2_settings oauth2 = {.token_url = "http://tokens/"};
    static const struct sigv4_settings sigv4 = {
        .given = true,
        .service = "aps",
        .aws = {.region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "hush"}};
    struct alertmanager_settings *a = &rig.alerting.items[rig.alerting.count - 1];
    struct rig_alertmanager *own = rig.last;
    if (is(name, "hash")) a->hash = strtoull(rest, NULL, 10);
    if (is(name, "line")) a->line = (uint32_t)atoi(rest);
    if (is(name, "scheme")) a->scheme = rest;
    if (is(name, "path_prefix")) a->path_prefix = rest;
    if (is(name, "token")) a->oauth2 = oauth2;
    if (is(name, "sigv4")) a->sigv4 = sigv4;
    if (is(name, "password")) a->basic_auth.username = "us";
    if (is(name, "password")) a->basic_auth.password.text = rest;
    if (is(name, "label")) add_pair(own->target_labels, &own->members.labels, rest);
    if (is(name, "files")) own->pattern = rest;
    if (is(name, "files")) a->file_count = 1;
    if (is(name, "list")) a->http_count = 1;
    if (is(name, "list_token")) own->http.oauth2 = oauth2;
    if (is(name, "names")) own->dns.type = rig.zone_type = DNS_A;
    if (is(name, "services")) own->dns.type = rig.zone_type = DNS_SRV;
    if (is(name, "names") || is(name, "services")) a->dns_count = 1;
    if (script.is_known) seen.has_hosts |= a->file_count + a->http_count + a->dns_count > 0;
}

static void
do_setting_of_all(const char *name, char *rest)
{
    if (is(name, "am")) add_alertmanager(rest);
    if (is(name, "external")) add_pair(rig.external, &rig.external_labels, rest);
    if (is(name, "relabel")) add_relabelling(rest);
    if (is(name, "tenant")) rig.alerting.tenant_label = rest;
    if (is(name, "queue")) rig.limits.queue_capacity = (uint32_t)atoi(rest);
    if (is(name, "batch")) rig.limits.batch_size = (uint32_t)atoi(rest);
    if (is(name, "pause")) rig.limits.pause_max_ms = ms_of(rest);
    if (is(name, "start")) change_settings(true);
    if (is(name, "prepare")) change_settings(false);
}

static void
put_file(const char *path, const char *text)
{
    struct file file;
    assert_int_equal(file_open(rig.env, path, FILE_REPLACE, &file, NULL), OK);
    assert_int_equal(file_write_at(&file, bytes_of_text(text), 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

/* Records are TARGET, of services TARGET:PORT. */
static void
set_zone(char *rest)
{
    rig.zone = (struct dns_answer){.records = rig.records};
    rig.zone_after_ms = 0;
    for (char *at; (at = word(&rest))[0] != '\0';) {
        if (is(at, "fails")) {
            rig.zone.e = ERR_AGAIN;
            strcpy(rig.zone.error, "it failed");
        } else if (is(at, "cut")) {
            rig.zone.is_cut = true;
        } else if (is(at, "slow")) {
            rig.zone_after_ms = ms_of(word(&rest));
        } else {
            char *port = rig.zone_type == DNS_SRV ? strrchr(at, ':') : NULL;
            uint32_t number = port == NULL ? 0 : (uint32_t)atoi(port + 1);
            rig.records[rig.zone.count++] = (struct dns_answer_record){at, number};
            if (port != NULL) *port = '\0';
        }
    }
}

/* URL STATUS [SECONDS]: from now on, after others. */
static void
add_answer(char *rest)
{
    const char *url = word(&rest);
    unsigned status = (unsigned)atoi(word(&rest));
    assert_true(answers.count < COUNT_OF(answers.items));
    answers.items[answers.count].url = url;
    answers.items[answers.count].status = status;
    answers.items[answers.count++].after_ms = ms_of(rest);
}

static void
fire_all(char *rest)
{
    for (char *at; (at = word(&rest))[0] != '\0';) {
        char *starts = strchr(at, ':'), *bytes = strchr(starts + 1, ':');
        *starts++ = '\0';
        rig_fire(&rig, at, atoll(starts), bytes == NULL ? 0 : strtoull(bytes + 1, NULL, 10));
    }
}

/* With a path or a name first. */
static void
do_with_name(const char *name, char *rest)
{
    const char *first = word(&rest);
    int failed = 0;
    if (is(name, "put")) put_file(first, rest);
    if (is(name, "rm")) failed = (int)env_unlink(rig.env, first, NULL);
    if (is(name, "mkdir")) failed = (int)env_mkdir(rig.env, first, NULL);
    if (is(name, "mv")) failed = (int)env_rename(rig.env, first, rest, NULL);
    if (is(name, "env")) failed = rest[0] == '\0' ? unsetenv(first) : setenv(first, rest, 1);
    assert_int_equal(failed, 0);
}

static void
do_world(const char *name, char *rest)
{
    char *text = rest[0] == '\0' ? NULL : rest;
    if (is(name, "fire")) fire_all(rest);
    if (is(name, "run")) rig_run(&rig, ms_of(rest));
    if (is(name, "clock")) sim_env_set_realtime_ms(rig.sim, now_ms() + ms_of(rest));
    if (is(name, "memory")) {
        uint64_t limit = is(rest, "full") ? budget_used(&rig.memory) : 0;
        atomic_store(&rig.memory.limit_bytes, limit);
    }
    if (is(name, "outside")) rig.fails = is(rest, "fails");
    if (is(name, "answer")) add_answer(rest);
    if (is(name, "retry_after")) answers.retry_after_ms = ms_of(rest);
    if (is(name, "date")) answers.date_s = is(rest, "none") ? 0 : (now_ms() + ms_of(rest)) / 1000;
    if (is(name, "location")) answers.location = text;
    if (is(name, "body")) answers.body = text;
    if (is(name, "error_type")) answers.error_type = text;
    if (is(name, "type")) answers.content_type = text;
    if (is(name, "list_is")) answers.list = text;
    if (is(name, "zone")) set_zone(rest);
}

static void
show_members(void)
{
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 20);
    json_init(&json, &text);
    json_object_open(&json);
    notifier_print(rig.notifier, &json);
    json_object_close(&json);
    buf_put_u8(&text, 0);
    print_text((const char *)text.at);
    buf_fini(&text);
}

static void
show_metrics(const char *prefix)
{
    struct metric_collector collector = {.collect = notifier_collect, .context = rig.notifier};
    metric_register_collector(&collector);
    print_metrics("firekeep_notifications_", prefix);
    metric_unregister(&collector.link);
}

static void
show_settings(void *context, const struct alerting *alerting)
{
    (void)context;
    print_number(alerting->count);
}

static void
do_show(const char *name, char *rest)
{
    if (is(name, "log")) seen.log_text = rest;
    if (is(name, "members")) show_members();
    if (is(name, "metrics")) show_metrics(rest);
    if (is(name, "settings")) notifier_show_settings(rig.notifier, show_settings, NULL);
    if (is(name, "idle")) print_text(notifier_is_idle(rig.notifier) ? "idle" : "busy");
    if (is(name, "headers")) print_text(seen.headers);
    if (is(name, "labels")) seen.body[strcspn(seen.body, "}") + 1] = '\0';
    if (is(name, "labels")) print_text(seen.body);
    if (is(name, "under_way")) print_number(rig.call_count);
    if (is(name, "look_ups")) print_number(rig.look_ups);
}

static void
do_command(const char *name, char *rest)
{
    do_setting_of_all(name, rest);
    if (!script.is_known) do_world(name, rest);
    if (!script.is_known) do_show(name, rest);
    if (!script.is_known && rig.alerting.count > 0) do_setting(name, rest);
    if (!script.is_known) do_with_name(name, rest);
    look_at_log();
    shorten_printed();
}

/* --- tests ------------------------------------------------------------------------------------ */

static int
setup(void **state)
{
    (void)state;
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    rig_init_on(&rig, sim, serve);
    rig.look = look;
    memset(&answers, 0, sizeof answers);
    memset(&seen, 0, sizeof seen);
    strcpy(seen.hosts, "members");
    seen.began_ns = env_monotonic_ns(rig.env);
    seen.log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(seen.log_fd > 0);
    log_to_fd(seen.log_fd);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    log_to_fd(-1);
    close(seen.log_fd);
    sim_env_free(rig.sim);
    forget_texts();
    return 0;
}

#endif
