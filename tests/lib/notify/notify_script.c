/*
 * notify_script.c - see notify_script.h.
 *
 * A command changes the settings of the next start, the world, or what is shown. The rig calls
 * serve() for each request and look() before time passes; both print events, each with the time if
 * it differs from that of the event before.
 */
#include "lib/notify/notify_script.h"

struct notify_rig notify_rig;

struct notify_seen notify_seen;

/* Responses of other servers, by URL or by host of a member. */
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

/* Replaces "http://HOST/api/v2/alerts" with HOST in the printed text. */
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

/* Prints the event, with the seconds since the start unless the event before has the same. */
static void
event(const char *text)
{
    static char timed[RIG_TEXT_BYTES];
    int64_t now_ns = env_monotonic_ns(notify_rig.env);
    int size = 0;
    if (script.printed[0] == '\0' || now_ns != notify_seen.now_ns)
        size = sprintf(timed, "%.10gs ", (double)(now_ns - notify_seen.began_ns) / 1e9);
    notify_seen.now_ns = now_ns;
    strcpy(timed + size, text);
    script_print(timed);
}

static void
look_at_log(void)
{
    static char lines[RIG_TEXT_BYTES];
    ssize_t size = pread(notify_seen.log_fd, lines, sizeof lines - 1, 0);
    if (size <= 0) return;
    lines[size] = '\0';
    assert_int_equal(ftruncate(notify_seen.log_fd, 0), 0);
    assert_int_equal(lseek(notify_seen.log_fd, 0, SEEK_SET), 0);
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char text[4096], *level = strstr(line, "level="), *message = strstr(line, "msg=\"notify: ");
        if (notify_seen.log_text == NULL || strstr(line, notify_seen.log_text) == NULL) continue;
        snprintf(text, sizeof text, "%.*s\"%s", (int)strcspn(level + 6, "m"), level + 6,
                 message + 13);
        event(text);
    }
}

/* Prints changes before time goes on. */
static void
look(struct notify_rig *r)
{
    static char hosts[RIG_TEXT_BYTES];
    const struct notify_config *config = r->notifier->config;
    size_t at = (size_t)sprintf(hosts, "members");
    look_at_log();
    for (uint32_t k = 0; k < config->count; k++) {
        const struct members *members = &config->items[k]->members;
        for (uint32_t i = 0; i < members->count && members->count <= 100; i++)
            at += (size_t)snprintf(hosts + at, sizeof hosts - at, " %s", members->items[i]->url);
        if (members->count > 100) at += (size_t)sprintf(hosts + at, " %u", members->count);
    }
    if (!notify_seen.has_hosts || strcmp(hosts, notify_seen.hosts) == 0) return;
    strcpy(notify_seen.hosts, hosts);
    event(hosts);
}

static void
serve(struct notify_rig *r, struct fake_call *call)
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
    sprintf(notify_seen.body, "%.*s", (int)request->body.size, (const char *)request->body.at);
    size = (size_t)sprintf(notify_seen.headers, "%s", request->method);
    for (const char *const *h = request->headers; h != NULL && *h != NULL; h++) {
        size += (size_t)snprintf(notify_seen.headers + size, sizeof notify_seen.headers - size,
                                 "; %s", *h);
    }
    for (unsigned i = 0; i < 2; i++)
        if (wanted[i] != NULL) strcpy(call->answer.wanted[i], wanted[i]);
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
    return env_realtime_ms(notify_rig.env);
}

static void
add_alertmanager(char *rest)
{
    notify_rig_add(&notify_rig);
    for (const char *at; (at = script_word(&rest))[0] != '\0';)
        notify_rig_target(&notify_rig, at);
}

static void
add_pair(struct named_text *items, struct named_texts *list, char *rest)
{
    const char *name = script_word(&rest);
    items[list->count++] = (struct named_text){name, rest};
}

static void
add_relabelling(char *rest)
{
    const char *of = script_word(&rest), *action = script_word(&rest);
    struct bytes *source = &notify_rig.made->sources[notify_rig.made->source_count++];
    assert_true(notify_rig.made->source_count <= COUNT_OF(notify_rig.made->sources));
    *source = bytes_of_text(script_word(&rest));
    struct relabel_spec spec = {
        .action = relabel_action_of(bytes_of_text(action)),
        .source_labels = source,
        .source_label_count = 1,
        .regex = bytes_of_text(script_word(&rest)),
    };
    const char *target = script_word(&rest);
    if (target[0] != '\0') spec.target_label = bytes_of_text(target);
    if (target[0] != '\0') spec.replacement = bytes_of_text(rest);
    if (strcmp(of, "all") == 0) {
        notify_rig.made->relabel[notify_rig.alerting.alert_relabel_count++] = spec;
        return;
    }
    struct alertmanager_settings *a = &notify_rig.alerting.items[notify_rig.alerting.count - 1];
    if (strcmp(of, "alerts") == 0)
        notify_rig.last->alert_relabel[a->alert_relabel_count++] = spec;
    else
        notify_rig.last->relabel[a->relabel_count++] = spec;
}

static void
change_settings(bool is_start)
{
    struct notifier_change *change;
    if (notify_rig_prepare(&notify_rig, &change))
        script_print(notify_rig.why.text);
    else if (is_start)
        notifier_commit(change);
    else
        notifier_abandon(change);
}

/* Changes the last Alertmanager, if there is one. */
static void
do_setting(const char *name, char *rest)
{
    static const struct oauth2_settings oauth2 = {.token_url = "http://tokens/"};
    static const struct sigv4_settings sigv4 = {
        .given = true,
        .service = "aps",
        .aws = {.region = "eu-west-1", .access_key.text = "AKID", .secret_key.text = "hush"}};
    struct alertmanager_settings *a = &notify_rig.alerting.items[notify_rig.alerting.count - 1];
    struct rig_alertmanager *own = notify_rig.last;
    if (script_is(name, "hash")) a->hash = strtoull(rest, NULL, 10);
    if (script_is(name, "line")) a->line = (uint32_t)atoi(rest);
    if (script_is(name, "scheme")) a->scheme = rest;
    if (script_is(name, "path_prefix")) a->path_prefix = rest;
    if (script_is(name, "token")) a->oauth2 = oauth2;
    if (script_is(name, "sigv4")) a->sigv4 = sigv4;
    if (script_is(name, "password")) a->basic_auth.username = "us";
    if (script_is(name, "password")) a->basic_auth.password.text = rest;
    if (script_is(name, "label")) add_pair(own->target_labels, &own->members.labels, rest);
    if (script_is(name, "files")) own->pattern = rest;
    if (script_is(name, "files")) a->file_count = 1;
    if (script_is(name, "list")) a->http_count = 1;
    if (script_is(name, "list_token")) own->http.oauth2 = oauth2;
    if (script_is(name, "names")) own->dns.type = notify_rig.zone_type = DNS_A;
    if (script_is(name, "services")) own->dns.type = notify_rig.zone_type = DNS_SRV;
    if (script_is(name, "names") || script_is(name, "services")) a->dns_count = 1;
    if (script.is_known) notify_seen.has_hosts |= a->file_count + a->http_count + a->dns_count > 0;
}

static void
do_setting_of_all(const char *name, char *rest)
{
    if (script_is(name, "am")) add_alertmanager(rest);
    if (script_is(name, "external"))
        add_pair(notify_rig.external, &notify_rig.external_labels, rest);
    if (script_is(name, "relabel")) add_relabelling(rest);
    if (script_is(name, "tenant")) notify_rig.alerting.tenant_label = rest;
    if (script_is(name, "queue")) notify_rig.limits.queue_capacity = (uint32_t)atoi(rest);
    if (script_is(name, "batch")) notify_rig.limits.batch_size = (uint32_t)atoi(rest);
    if (script_is(name, "pause")) notify_rig.limits.pause_max_ms = ms_of(rest);
    if (script_is(name, "start")) change_settings(true);
    if (script_is(name, "prepare")) change_settings(false);
}

void
notify_put_file(const char *path, const char *text)
{
    struct file file;
    assert_int_equal(file_open(notify_rig.env, path, FILE_REPLACE, &file, NULL), OK);
    assert_int_equal(file_write_at(&file, bytes_of_text(text), 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

/* Sets the records of the zone: TARGET, or TARGET:PORT for services. */
static void
set_zone(char *rest)
{
    notify_rig.zone = (struct dns_answer){.records = notify_rig.records};
    notify_rig.zone_after_ms = 0;
    for (char *at; (at = script_word(&rest))[0] != '\0';) {
        if (script_is(at, "fails")) {
            notify_rig.zone.e = ERR_AGAIN;
            strcpy(notify_rig.zone.error, "it failed");
        } else if (script_is(at, "cut")) {
            notify_rig.zone.is_cut = true;
        } else if (script_is(at, "slow")) {
            notify_rig.zone_after_ms = ms_of(script_word(&rest));
        } else {
            char *port = notify_rig.zone_type == DNS_SRV ? strrchr(at, ':') : NULL;
            uint32_t number = port == NULL ? 0 : (uint32_t)atoi(port + 1);
            notify_rig.records[notify_rig.zone.count++] = (struct dns_answer_record){at, number};
            if (port != NULL) *port = '\0';
        }
    }
}

/* Adds an answer, URL STATUS [SECONDS], that applies from now on. */
static void
add_answer(char *rest)
{
    const char *url = script_word(&rest);
    unsigned status = (unsigned)atoi(script_word(&rest));
    assert_true(answers.count < COUNT_OF(answers.items));
    answers.items[answers.count].url = url;
    answers.items[answers.count].status = status;
    answers.items[answers.count++].after_ms = ms_of(rest);
}

static void
fire_all(char *rest)
{
    for (char *at; (at = script_word(&rest))[0] != '\0';) {
        char *starts = strchr(at, ':'), *bytes = strchr(starts + 1, ':');
        *starts++ = '\0';
        notify_rig_fire(&notify_rig, at, atoll(starts),
                        bytes == NULL ? 0 : strtoull(bytes + 1, NULL, 10));
    }
}

/* Runs a command whose first word is a path or a name. */
static void
do_with_name(const char *name, char *rest)
{
    const char *first = script_word(&rest);
    int failed = 0;
    if (script_is(name, "put")) notify_put_file(first, rest);
    if (script_is(name, "rm")) failed = (int)env_unlink(notify_rig.env, first, NULL);
    if (script_is(name, "mkdir")) failed = (int)env_mkdir(notify_rig.env, first, NULL);
    if (script_is(name, "mv")) failed = (int)env_rename(notify_rig.env, first, rest, NULL);
    if (script_is(name, "env")) failed = rest[0] == '\0' ? unsetenv(first) : setenv(first, rest, 1);
    assert_int_equal(failed, 0);
}

static void
do_world(const char *name, char *rest)
{
    char *text = rest[0] == '\0' ? NULL : rest;
    if (script_is(name, "fire")) fire_all(rest);
    if (script_is(name, "run")) notify_rig_run(&notify_rig, ms_of(rest));
    if (script_is(name, "clock")) sim_env_set_realtime_ms(notify_rig.sim, now_ms() + ms_of(rest));
    if (script_is(name, "memory")) {
        uint64_t limit = script_is(rest, "full") ? budget_used(&notify_rig.memory) : 0;
        atomic_store(&notify_rig.memory.limit_bytes, limit);
    }
    if (script_is(name, "outside")) notify_rig.fails = script_is(rest, "fails");
    if (script_is(name, "answer")) add_answer(rest);
    if (script_is(name, "retry_after")) answers.retry_after_ms = ms_of(rest);
    if (script_is(name, "date"))
        answers.date_s = script_is(rest, "none") ? 0 : (now_ms() + ms_of(rest)) / 1000;
    if (script_is(name, "location")) answers.location = text;
    if (script_is(name, "body")) answers.body = text;
    if (script_is(name, "error_type")) answers.error_type = text;
    if (script_is(name, "type")) answers.content_type = text;
    if (script_is(name, "list_is")) answers.list = text;
    if (script_is(name, "zone")) set_zone(rest);
}

static void
show_members(void)
{
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 20);
    json_init(&json, &text);
    json_object_open(&json);
    notifier_print(notify_rig.notifier, &json);
    json_object_close(&json);
    buf_put_u8(&text, 0);
    script_print((const char *)text.at);
    buf_fini(&text);
}

static void
show_metrics(const char *prefix)
{
    struct metric_collector collector = {.collect = notifier_collect,
                                         .context = notify_rig.notifier};
    metric_register_collector(&collector);
    script_print_metrics("firekeep_notifications_", prefix);
    metric_unregister(&collector.link);
}

static void
show_settings(void *context, const struct alerting *alerting)
{
    (void)context;
    script_print_number(alerting->count);
}

static void
do_show(const char *name, char *rest)
{
    if (script_is(name, "log")) notify_seen.log_text = rest;
    if (script_is(name, "members")) show_members();
    if (script_is(name, "metrics")) show_metrics(rest);
    if (script_is(name, "settings"))
        notifier_show_settings(notify_rig.notifier, show_settings, NULL);
    if (script_is(name, "idle"))
        script_print(notifier_is_idle(notify_rig.notifier) ? "idle" : "busy");
    if (script_is(name, "headers")) script_print(notify_seen.headers);
    if (script_is(name, "labels")) notify_seen.body[strcspn(notify_seen.body, "}") + 1] = '\0';
    if (script_is(name, "labels")) script_print(notify_seen.body);
    if (script_is(name, "under_way")) script_print_number(notify_rig.call_count);
    if (script_is(name, "look_ups")) script_print_number(notify_rig.look_ups);
}

void
script_command(const char *name, char *rest)
{
    do_setting_of_all(name, rest);
    if (!script.is_known) do_world(name, rest);
    if (!script.is_known) do_show(name, rest);
    if (!script.is_known && notify_rig.alerting.count > 0) do_setting(name, rest);
    if (!script.is_known) do_with_name(name, rest);
    look_at_log();
    shorten_printed();
}

/* --- tests ------------------------------------------------------------------------------------ */

int
script_setup(void **state)
{
    (void)state;
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    notify_rig_init_on(&notify_rig, sim, serve);
    notify_rig.look = look;
    memset(&answers, 0, sizeof answers);
    memset(&notify_seen, 0, sizeof notify_seen);
    strcpy(notify_seen.hosts, "members");
    notify_seen.began_ns = env_monotonic_ns(notify_rig.env);
    notify_seen.log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(notify_seen.log_fd > 0);
    log_to_fd(notify_seen.log_fd);
    return 0;
}

int
script_teardown(void **state)
{
    (void)state;
    notify_rig_fini(&notify_rig);
    log_to_fd(-1);
    close(notify_seen.log_fd);
    sim_env_free(notify_rig.sim);
    script_forget();
    return 0;
}
