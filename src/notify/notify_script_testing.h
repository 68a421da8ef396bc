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

#include "notify/notify_rig_testing.h"

#define COUNT_OF(list) (sizeof(list) / sizeof *(list))

static struct rig rig;
static struct {
    char *texts[1024]; /* of commands; settings have views of them */
    unsigned count;
} kept;

/* --- words ------------------------------------------------------------------------------------ */

static inline char *
keep(const char *text, size_t size)
{
    assert_true(kept.count < COUNT_OF(kept.texts));
    return kept.texts[kept.count++] = strndup(text, size);
}

/* The next word; "" if there is none. */
static char *
word(char **rest)
{
    char *at = *rest + strspn(*rest, " ");
    *rest = at + strcspn(at, " ");
    if (**rest != '\0') *(*rest)++ = '\0';
    return at;
}

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

/* --- commands --------------------------------------------------------------------------------- */

static bool is_known; /* the command, so far */

static bool
is(const char *name, const char *want)
{
    bool is_it = strcmp(name, want) == 0;
    is_known |= is_it;
    return is_it;
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
    struct alertmanager_settings *last = &rig.alerting.items[rig.alerting.count - 1];
    if (strcmp(of, "all") == 0)
        rig.made->relabel[rig.alerting.alert_relabel_count++] = spec;
    else if (strcmp(of, "alerts") == 0)
        rig.last->alert_relabel[last->alert_relabel_count++] = spec;
    else
        rig.last->relabel[last->relabel_count++] = spec;
}

static void
change_settings(bool is_start)
{
    struct notifier_change *change;
    if (rig_prepare(&rig, &change))
        rig_put_event(&rig, "refused: ", rig.why.text);
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
    if (is_known) rig.shows_hosts |= a->file_count + a->http_count + a->dns_count > 0;
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

/* URL STATUS [SECONDS]: from now on. */
static void
set_answer(char *rest)
{
    const char *url = word(&rest);
    unsigned i = 0;
    while (i < rig.answer_count && strcmp(rig.answers[i].url, url) != 0) {
        i++;
    }
    assert_true(i < RIG_LIST_MAX);
    rig.answer_count += i == rig.answer_count;
    rig.answers[i].url = url;
    rig.answers[i].status = (unsigned)atoi(word(&rest));
    rig.answers[i].after_ms = ms_of(rest);
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
    if (is(name, "answer")) set_answer(rest);
    if (is(name, "retry_after")) rig.retry_after_ms = ms_of(rest);
    if (is(name, "date")) rig.date_s = is(rest, "none") ? 0 : (now_ms() + ms_of(rest)) / 1000;
    if (is(name, "location")) rig.location = text;
    if (is(name, "body")) rig.body = text;
    if (is(name, "error_type")) rig.error_type = text;
    if (is(name, "type")) rig.content_type = text;
    if (is(name, "list_is")) rig.list_body = text;
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
    rig_put_event(&rig, "", (const char *)text.at);
    buf_fini(&text);
}

/* Lines that begin with `prefix`, after what all have. */
static void
show_metrics(const char *prefix)
{
    static const char common[] = "firekeep_notifications_";
    struct metric_collector collector = {.collect = notifier_collect, .context = rig.notifier};
    struct buf all;
    buf_init(&all, NULL, 16 << 20);
    metric_register_collector(&collector);
    metric_collect(&all);
    metric_unregister(&collector.link);
    buf_put_u8(&all, 0);
    assert_int_equal(buf_error(&all), OK);
    for (char *line = strtok((char *)all.at, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, common, sizeof common - 1) != 0) continue;
        line += sizeof common - 1;
        if (strncmp(line, prefix, strlen(prefix)) == 0) rig_put_event(&rig, "", line);
    }
    buf_fini(&all);
}

static void
show_settings(void *context, const struct alerting *alerting)
{
    sprintf(context, "%u", alerting->count);
}

static void
do_show(const char *name, char *rest)
{
    char text[sizeof rig.last_headers] = "";
    if (is(name, "log")) rig.log_text = rest;
    if (is(name, "members")) show_members();
    if (is(name, "metrics")) show_metrics(rest);
    if (is(name, "settings")) notifier_show_settings(rig.notifier, show_settings, text);
    if (is(name, "idle")) strcpy(text, notifier_is_idle(rig.notifier) ? "idle" : "busy");
    if (is(name, "headers")) strcpy(text, rig.last_headers);
    if (is(name, "labels")) sprintf(text, "%.*s}", (int)strcspn(rig.last_body, "}"), rig.last_body);
    if (is(name, "under_way")) sprintf(text, "%u", rig.call_count);
    if (is(name, "look_ups")) sprintf(text, "%u", rig.look_ups);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        rig_put_event(&rig, "", line);
    }
}

/* --- scripts ---------------------------------------------------------------------------------- */

/* Does what the commands of a line say; their events are in rig.events until the next line. */
static void
do_line(const char *line)
{
    const char *arrow = strstr(line, " => ");
    char *at = keep(line, arrow == NULL ? strlen(line) : (size_t)(arrow - line)), *end;
    rig.events[0] = '\0';
    for (; at != NULL; at = end == NULL ? NULL : end + 3) {
        end = strstr(at, " | ");
        if (end != NULL) *end = '\0';
        char *rest = at, *name = word(&rest);
        is_known = false;
        do_setting_of_all(name, rest);
        if (!is_known) do_world(name, rest);
        if (!is_known) do_show(name, rest);
        if (!is_known && rig.alerting.count > 0) do_setting(name, rest);
        if (!is_known) do_with_name(name, rest);
        if (!is_known) fail_msg("unknown command %s", name);
        rig_observe_log(&rig);
    }
}

/* Does a line of a script, whose events must be as it says. */
static void
play(const char *line)
{
    const char *arrow = strstr(line, " => ");
    do_line(line);
    if (strcmp(rig.events, arrow == NULL ? "" : arrow + 4) == 0) return;
    fail_msg("%s\nand not => %s", line, rig.events);
}

__attribute__((format(printf, 1, 2))) static inline void
playf(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    play(line);
}

static void
run_script(void **state)
{
    for (const char *at = *state; *at != '\0';) {
        size_t size = strcspn(at, "\n");
        play(keep(at, size));
        at += size + (at[size] == '\n');
    }
}

static void
forget_texts(void)
{
    while (kept.count > 0) {
        free(kept.texts[--kept.count]);
    }
}

static void
look(struct rig *r)
{
    rig_observe_log(r);
    rig_observe_hosts(r);
}

static int
setup(void **state)
{
    (void)state;
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    rig_init_on(&rig, sim, rig_serve);
    rig.look = look;
    rig.log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(rig.log_fd > 0);
    log_to_fd(rig.log_fd);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    log_to_fd(-1);
    close(rig.log_fd);
    sim_env_free(rig.sim);
    forget_texts();
    return 0;
}

/* A test whose name is its claim. */
#define SCRIPT(claim, lines)                                           \
    {                                                                  \
        claim, run_script, setup, teardown, (void *)(uintptr_t)(lines) \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
