/*
 * notify_script_testing.h - tests of a notifier that are scripts, and a rig for each test. For
 * tests.
 *
 * A line of a script is commands and then, after " => ", the events that they cause: requests with
 * their alerts, wanted log lines, members that changed, and what was asked to be shown. An event
 * has the seconds since the begin in front, unless they are those of the event before. "a" is the
 * address a:9093 and the URL http://a:9093/api/v2/alerts, "a:1" the same with another port.
 *
 *     am a b | start | fire Down:1 | run 0 => 0s a Down:1; b Down:1
 *
 * Settings of the next start or refusal (am begins an Alertmanager, most others are its):
 *     am ADDRESS...     hash N     line N     scheme S     path_prefix P     token     sigv4
 *     password VARIABLE     label NAME VALUE (of its targets)     files PATTERN     list list_token
 *     names (A records)     services (SRV records)     tenant LABEL     external NAME VALUE
 *     relabel targets|alerts|all drop|replace SOURCE REGEX [TARGET REPLACEMENT]
 *     queue N     batch N     pause SECONDS     start     prepare (and abandon)
 * The world:
 *     fire NAME:STARTS_MS[:BYTES of an annotation]...     run SECONDS     clock [+-]SECONDS memory
 * full|free outside fails|works     env NAME [VALUE]     answer URL STATUS [SECONDS, -1: never]
 *     retry_after SECONDS     date none|[+-]SECONDS     location|body|error_type|type TEXT
 *     list_is JSON     zone [fails|cut|slow SECONDS] RECORD...     put PATH TEXT     rm PATH
 *     mkdir PATH     mv FROM TO
 * What is shown:
 *     log TEXT (lines with it are events from now on)     members (as the API has them)     idle
 *     headers     labels (of the last body)     under_way     look_ups     metrics PREFIX
 */
#ifndef NOTIFY_NOTIFY_SCRIPT_TESTING_H
#define NOTIFY_NOTIFY_SCRIPT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
    return env_realtime_ms(sim_env_env(rig.sim));
}

static const char *
address_of(const char *text)
{
    if (strchr(text, ':') != NULL) return text;
    char full[256];
    return keep(full, (size_t)snprintf(full, sizeof full, "%s:9093", text));
}

static const char *
url_of(const char *text)
{
    if (strstr(text, "://") != NULL) return text;
    char full[256];
    return keep(full,
                (size_t)snprintf(full, sizeof full, "http://%s/api/v2/alerts", address_of(text)));
}

/* --- settings --------------------------------------------------------------------------------- */

static void
add_relabelling(char *rest)
{
    const char *of = word(&rest), *action = word(&rest);
    struct bytes *source = rig_alloc(&rig, sizeof *source);
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
        rig.relabel_all[rig.alerting.alert_relabel_count++] = spec;
    } else if (strcmp(of, "alerts") == 0) {
        rig.own->alert_relabel[rig_last(&rig)->alert_relabel_count++] = spec;
    } else {
        assert_string_equal(of, "targets");
        rig.own->relabel[rig_last(&rig)->relabel_count++] = spec;
    }
}

static bool
do_setting_of_all(const char *name, char *rest)
{
    struct notifier_change *change;
    bool is_start = strcmp(name, "start") == 0;
    if (is_start || strcmp(name, "prepare") == 0) {
        if (rig_prepare(&rig, &change))
            rig_put_event(&rig, "refused: ", rig.why.text);
        else if (is_start)
            notifier_commit(change);
        else
            notifier_abandon(change);
    } else if (strcmp(name, "am") == 0) {
        rig_add(&rig);
        for (const char *at; (at = word(&rest))[0] != '\0';) {
            rig_target(&rig, address_of(at));
        }
    } else if (strcmp(name, "tenant") == 0) {
        rig.alerting.tenant_label = word(&rest);
    } else if (strcmp(name, "external") == 0) {
        const char *label = word(&rest);
        rig.external[rig.external_labels.count++] = (struct named_text){label, word(&rest)};
    } else if (strcmp(name, "relabel") == 0) {
        add_relabelling(rest);
    } else if (strcmp(name, "queue") == 0) {
        rig.limits.queue_capacity = (uint32_t)atoi(rest);
    } else if (strcmp(name, "batch") == 0) {
        rig.limits.batch_size = (uint32_t)atoi(rest);
    } else if (strcmp(name, "pause") == 0) {
        rig.limits.pause_max_ms = ms_of(rest);
    } else {
        return false;
    }
    return true;
}

/* Of the Alertmanager that was begun last. */
static bool
do_setting(const char *name, char *rest)
{
    struct alertmanager_settings *a = &rig.items[rig.alerting.count - 1];
    struct rig_alertmanager *own = rig.own;
    static const struct oauth2_settings oauth2 = {.token_url = "http://tokens/"};
    if (strcmp(name, "hash") == 0) {
        a->hash = strtoull(rest, NULL, 10);
    } else if (strcmp(name, "line") == 0) {
        a->line = (uint32_t)atoi(rest);
    } else if (strcmp(name, "scheme") == 0) {
        a->scheme = word(&rest);
    } else if (strcmp(name, "path_prefix") == 0) {
        a->path_prefix = word(&rest);
    } else if (strcmp(name, "token") == 0) {
        a->oauth2 = oauth2;
    } else if (strcmp(name, "sigv4") == 0) {
        a->sigv4 = (struct sigv4_settings){.given = true, .service = "aps"};
        a->sigv4.aws.region = "eu-west-1";
        a->sigv4.aws.access_key.text = "AKID";
        a->sigv4.aws.secret_key.text = "hush";
    } else if (strcmp(name, "password") == 0) {
        a->basic_auth.username = "us";
        a->basic_auth.password.text = word(&rest);
    } else if (strcmp(name, "label") == 0) {
        const char *label = word(&rest);
        struct named_texts *labels = &own->members.labels;
        own->target_labels[labels->count++] = (struct named_text){label, word(&rest)};
    } else if (strcmp(name, "files") == 0) {
        own->pattern = word(&rest);
        a->file_count = 1;
    } else if (strcmp(name, "list") == 0) {
        a->http_count = 1;
    } else if (strcmp(name, "list_token") == 0) {
        own->http.oauth2 = oauth2;
    } else if (strcmp(name, "names") == 0 || strcmp(name, "services") == 0) {
        a->dns_count = 1;
        own->dns.type = rig.zone.type = name[0] == 'n' ? DNS_A : DNS_SRV;
    } else {
        return false;
    }
    rig.shows_hosts |= a->file_count + a->http_count + a->dns_count > 0;
    return true;
}

/* --- the world -------------------------------------------------------------------------------- */

static void
put_file(const char *path, const char *text)
{
    struct file file;
    assert_int_equal(file_open(sim_env_env(rig.sim), path, FILE_REPLACE, &file, NULL), OK);
    assert_int_equal(file_write_at(&file, bytes_of_text(text), 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

static bool
do_file(const char *name, char *rest)
{
    struct env *env = sim_env_env(rig.sim);
    if (strcmp(name, "put") == 0) {
        const char *path = word(&rest);
        put_file(path, rest);
    } else if (strcmp(name, "rm") == 0) {
        assert_int_equal(env_unlink(env, rest, NULL), OK);
    } else if (strcmp(name, "mkdir") == 0) {
        assert_int_equal(env_mkdir(env, rest, NULL), OK);
    } else if (strcmp(name, "mv") == 0) {
        const char *from = word(&rest);
        assert_int_equal(env_rename(env, from, rest, NULL), OK);
    } else {
        return false;
    }
    return true;
}

/* Records are TARGET, of services TARGET:PORT. */
static void
set_zone(char *rest)
{
    rig.zone = (struct fake_call){.type = rig.zone.type};
    for (char *at; (at = word(&rest))[0] != '\0';) {
        if (strcmp(at, "fails") == 0) {
            rig.zone.e = ERR_AGAIN;
        } else if (strcmp(at, "cut") == 0) {
            rig.zone.is_cut = true;
        } else if (strcmp(at, "slow") == 0) {
            int64_t ms = ms_of(word(&rest));
            rig.zone.after_ms = ms < 0 ? -1 : ms;
        } else {
            struct dns_answer_record *record = &rig.zone.records[rig.zone.count++];
            char *port = rig.zone.type == DNS_SRV ? strrchr(at, ':') : NULL;
            *record = (struct dns_answer_record){at, port == NULL ? 0 : (uint32_t)atoi(port + 1)};
            if (port != NULL) *port = '\0';
        }
    }
}

static bool
do_answer(const char *name, char *rest)
{
    char *all = rest[0] == '\0' ? NULL : rest;
    if (strcmp(name, "answer") == 0) {
        const char *url = url_of(word(&rest));
        unsigned status = (unsigned)atoi(word(&rest));
        int64_t after_ms = ms_of(rest);
        rig_answer(&rig, url, after_ms < 0 ? -1 : after_ms, status);
    } else if (strcmp(name, "retry_after") == 0) {
        rig.retry_after_ms = ms_of(rest);
    } else if (strcmp(name, "date") == 0) {
        rig.date_s = strcmp(rest, "none") == 0 ? 0 : (now_ms() + ms_of(rest)) / 1000;
    } else if (strcmp(name, "location") == 0) {
        rig.location = all;
    } else if (strcmp(name, "body") == 0) {
        rig.post_body = all;
    } else if (strcmp(name, "error_type") == 0) {
        rig.error_type = all;
    } else if (strcmp(name, "type") == 0) {
        rig.content_type = all;
    } else if (strcmp(name, "list_is") == 0) {
        rig.get_body = all;
    } else if (strcmp(name, "zone") == 0) {
        set_zone(rest);
    } else {
        return false;
    }
    return true;
}

static bool
do_event(const char *name, char *rest)
{
    if (strcmp(name, "fire") == 0) {
        for (char *at; (at = word(&rest))[0] != '\0';) {
            char *starts = strchr(at, ':'), *bytes = strchr(starts + 1, ':');
            *starts++ = '\0';
            rig_fire(&rig, at, atoll(starts), bytes == NULL ? 0 : strtoull(bytes + 1, NULL, 10));
        }
    } else if (strcmp(name, "run") == 0) {
        rig_run(&rig, ms_of(rest));
    } else if (strcmp(name, "clock") == 0) {
        sim_env_set_realtime_ms(rig.sim, now_ms() + ms_of(rest));
    } else if (strcmp(name, "memory") == 0) {
        uint64_t limit = strcmp(rest, "full") == 0 ? budget_used(&rig.memory) : 0;
        atomic_store(&rig.memory.limit_bytes, limit);
    } else if (strcmp(name, "outside") == 0) {
        rig.fake.fails = strcmp(rest, "fails") == 0;
    } else if (strcmp(name, "env") == 0) {
        const char *variable = word(&rest);
        assert_int_equal(rest[0] == '\0' ? unsetenv(variable) : setenv(variable, rest, 1), 0);
    } else {
        return false;
    }
    return true;
}

/* --- what is shown ---------------------------------------------------------------------------- */

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

static bool
do_show(const char *name, char *rest)
{
    char text[64];
    if (strcmp(name, "log") == 0) {
        rig.log_text = rest;
    } else if (strcmp(name, "members") == 0) {
        show_members();
    } else if (strcmp(name, "metrics") == 0) {
        show_metrics(rest);
    } else if (strcmp(name, "idle") == 0) {
        rig_put_event(&rig, "", notifier_is_idle(rig.notifier) ? "idle" : "busy");
    } else if (strcmp(name, "headers") == 0) {
        rig_put_event(&rig, "", rig.last_method);
        for (char *line = strtok(rig.last_headers, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            rig_put_event(&rig, "", line);
        }
    } else if (strcmp(name, "labels") == 0) {
        const char *labels = strchr(rig.last_body + 2, '{');
        rig_put_event(&rig, "", keep(labels, strcspn(labels, "}") + 1));
    } else if (strcmp(name, "under_way") == 0) {
        snprintf(text, sizeof text, "%u", rig.fake.call_count);
        rig_put_event(&rig, "", text);
    } else if (strcmp(name, "look_ups") == 0) {
        snprintf(text, sizeof text, "%u", rig.look_ups);
        rig_put_event(&rig, "", text);
    } else {
        return false;
    }
    return true;
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
        if (!do_setting_of_all(name, rest) && !do_event(name, rest) && !do_answer(name, rest) &&
            !do_show(name, rest) && !do_file(name, rest) && !do_setting(name, rest)) {
            fail_msg("unknown command %s", name);
        }
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
look(void *context)
{
    rig_observe_log(context);
    rig_observe_hosts(context);
}

static int
setup(void **state)
{
    (void)state;
    struct sim_env *sim;
    assert_int_equal(sim_env_new(1, &sim), OK);
    rig_init_on(&rig, sim, rig_serve);
    rig.fake.look = look;
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
