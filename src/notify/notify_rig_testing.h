/*
 * notify_rig_testing.h - a notifier on a simulated machine, with settings made up by few words and
 * other machines that answer as they are told. For tests.
 */
#ifndef NOTIFY_NOTIFY_RIG_TESTING_H
#define NOTIFY_NOTIFY_RIG_TESTING_H

#include <sys/mman.h>
#include <unistd.h>

#include "base/metric.h"
#include "notify/notify_private.h"
#include "notify/notify_testing.h"
#include "notify/outside_testing.h"

enum { RIG_LIST_MAX = 8, RIG_LOG_BYTES = 1 << 16 };

struct rig_alertmanager {
    const char *targets[RIG_LIST_MAX];
    struct named_text target_labels[RIG_LIST_MAX];
    struct static_members members;
    struct relabel_spec relabel[RIG_LIST_MAX], alert_relabel[RIG_LIST_MAX];
};

struct rig {
    struct sim_env *sim;
    struct budget memory;
    struct fake_outside fake;
    struct notifier *notifier;
    struct notifier_limits limits;
    struct why why;
    bool has_fired; /* an allocation that was to fail */

    /* Settings as they are made; what they point to lives in `arena`. */
    struct arena *arena;
    struct alerting alerting;
    struct alertmanager_settings *items;
    struct rig_alertmanager *own[RIG_LIST_MAX];
    struct relabel_spec *relabel_all;
    struct named_text *external;
    struct named_texts external_labels;

    /* What others answer, by URL. */
    struct {
        const char *url;
        int64_t after_ms;
        unsigned status;
    } answers[RIG_LIST_MAX];
    unsigned answer_count;
    int64_t retry_after_ms;
    int64_t date_s;   /* of answers; 0: they have none */
    const char *body; /* of a GET */
    const char *content_type;
    const char *error_type, *location, *post_body; /* of a POST */
    unsigned tokens;
    char token[128];

    /* What they were asked. */
    char log[RIG_LOG_BYTES]; /* lines: URL, and NAME:STARTS of each alert */
    char last_body[RIG_LOG_BYTES];
    char last_headers[4096];
    char last_method[8];

    int lines_fd; /* of the program's own log, once rig_watch_log() was called; 0: none */
    char lines[RIG_LOG_BYTES];
};

/* What a test itself allocates does not fail. Returns what mem_fail_nth() is to be told after it.
 */
static inline uint64_t
rig_hold_failures(struct rig *rig)
{
    uint64_t left = mem_fail_left();
    rig->has_fired |= mem_fail_fired();
    mem_fail_nth(0, false);
    return left;
}

/* --- the other machines ----------------------------------------------------------------------- */

static inline void
rig_note(struct rig *rig, const struct fake_call *call)
{
    size_t at = strlen(rig->log);
    char text[RIG_LOG_BYTES / 2] = "";
    if (call->body[0] == '[') alerts_text(bytes_of_text(call->body), text, sizeof text);
    snprintf(rig->log + at, sizeof rig->log - at, "%s%s%s\n", call->url, text[0] == '\0' ? "" : " ",
             text);
    assert_true(strlen(rig->log) + 1 < sizeof rig->log);
    snprintf(rig->last_body, sizeof rig->last_body, "%s", call->body);
    snprintf(rig->last_headers, sizeof rig->last_headers, "%s", call->headers);
    snprintf(rig->last_method, sizeof rig->last_method, "%s", call->method);
}

static inline const char *
rig_header(const struct rig *rig, const char *name)
{
    if (strcmp(name, "x-amzn-ErrorType") == 0) return rig->error_type;
    return strcmp(name, "Location") == 0 ? rig->location : rig->content_type;
}

static inline void
rig_serve(void *context, struct fake_call *call)
{
    struct rig *rig = context;
    for (unsigned i = 0; call->wanted != NULL && call->wanted[i] != NULL && i < 2; i++) {
        call->wanted_are[i] = rig_header(rig, call->wanted[i]);
    }
    rig_note(rig, call);
    for (unsigned i = 0; i < rig->answer_count; i++) {
        if (strcmp(rig->answers[i].url, call->url) != 0) continue;
        call->after_ms = rig->answers[i].after_ms;
        call->status = rig->answers[i].status;
    }
    call->retry_after_ms = rig->retry_after_ms;
    call->date_s = rig->date_s;
    call->answer = rig->post_body;
    if (strcmp(call->method, "GET") == 0) {
        call->answer = rig->body;
    }
    if (strncmp(call->url, "http://tokens/", 14) == 0) {
        snprintf(rig->token, sizeof rig->token, "{\"access_token\":\"token%u\"}", ++rig->tokens);
        call->answer = rig->token;
    }
}

/* From now on this URL answers so; after_ms -1: never. */
static inline void
rig_answer(struct rig *rig, const char *url, int64_t after_ms, unsigned status)
{
    unsigned i = 0;
    while (i < rig->answer_count && strcmp(rig->answers[i].url, url) != 0) {
        i++;
    }
    assert_true(i < RIG_LIST_MAX);
    if (i == rig->answer_count) rig->answer_count++;
    rig->answers[i].url = url;
    rig->answers[i].after_ms = after_ms;
    rig->answers[i].status = status;
}

static inline void
rig_forget(struct rig *rig)
{
    rig->log[0] = '\0';
}

/* Since it was looked at last. */
static inline void
expect_log(struct rig *rig, const char *want)
{
    assert_string_equal(rig->log, want);
    rig_forget(rig);
}

/* --- settings --------------------------------------------------------------------------------- */

static inline void
rig_begin_settings(struct rig *rig)
{
    uint64_t left = rig_hold_failures(rig);
    if (rig->alerting.arena != NULL) alerting_free(&rig->alerting);
    rig->arena = mem_new(NULL, sizeof *rig->arena);
    arena_init(rig->arena, NULL, 0, 0);
    rig->items = arena_new(rig->arena, RIG_LIST_MAX * sizeof *rig->items);
    rig->relabel_all = arena_new(rig->arena, RIG_LIST_MAX * sizeof *rig->relabel_all);
    rig->external = arena_new(rig->arena, RIG_LIST_MAX * sizeof *rig->external);
    rig->external_labels = (struct named_texts){rig->external, 0};
    rig->alerting = (struct alerting){.arena = rig->arena, .items = rig->items};
    rig->alerting.alert_relabel = rig->relabel_all;
    mem_fail_nth(left, false);
}

static inline struct alertmanager_settings *
rig_last(struct rig *rig)
{
    return &rig->items[rig->alerting.count - 1];
}

static inline struct rig_alertmanager *
rig_own(struct rig *rig)
{
    return rig->own[rig->alerting.count - 1];
}

static inline void
rig_target(struct rig *rig, const char *address)
{
    struct rig_alertmanager *own = rig_own(rig);
    own->targets[own->members.targets.count++] = address;
    assert_true(own->members.targets.count <= RIG_LIST_MAX);
}

static inline void
rig_target_label(struct rig *rig, const char *name, const char *value)
{
    struct rig_alertmanager *own = rig_own(rig);
    own->target_labels[own->members.labels.count++] = (struct named_text){name, value};
}

/* Another Alertmanager; `address` NULL: no static one. */
static inline struct alertmanager_settings *
rig_add(struct rig *rig, const char *address)
{
    uint64_t left = rig_hold_failures(rig);
    struct rig_alertmanager *own = arena_new(rig->arena, sizeof *own);
    mem_fail_nth(left, false);
    struct alertmanager_settings *a = &rig->items[rig->alerting.count];
    rig->own[rig->alerting.count++] = own;
    *a = (struct alertmanager_settings){
        .line = rig->alerting.count + 1,
        .timeout_ms = 10000,
        .static_configs = &own->members,
        .static_count = address != NULL,
        .relabel = own->relabel,
        .alert_relabel = own->alert_relabel,
        .hash = rig->alerting.count,
    };
    own->members.targets.items = own->targets;
    own->members.labels.items = own->target_labels;
    if (address != NULL) rig_target(rig, address);
    return a;
}

static inline void
rig_external(struct rig *rig, const char *name, const char *value)
{
    rig->external[rig->external_labels.count++] = (struct named_text){name, value};
}

static inline struct relabel_spec
rig_spec(struct rig *rig, enum relabel_action action, const char *source, const char *regex,
         const char *target, const char *replacement)
{
    uint64_t left = rig_hold_failures(rig);
    struct bytes *sources = arena_new(rig->arena, sizeof *sources);
    mem_fail_nth(left, false);
    *sources = bytes_of_text(source);
    struct relabel_spec spec = {.action = action, .source_labels = sources};
    spec.source_label_count = 1;
    spec.regex = bytes_of_text(regex);
    if (target[0] != '\0') spec.target_label = bytes_of_text(target);
    if (replacement[0] != '\0') spec.replacement = bytes_of_text(replacement);
    return spec;
}

static inline void
rig_relabel_all(struct rig *rig, enum relabel_action action, const char *source, const char *regex,
                const char *target, const char *replacement)
{
    rig->relabel_all[rig->alerting.alert_relabel_count++] =
        rig_spec(rig, action, source, regex, target, replacement);
}

static inline void
rig_alert_relabel(struct rig *rig, enum relabel_action action, const char *source,
                  const char *regex, const char *target, const char *replacement)
{
    rig_own(rig)->alert_relabel[rig_last(rig)->alert_relabel_count++] =
        rig_spec(rig, action, source, regex, target, replacement);
}

static inline void
rig_relabel(struct rig *rig, enum relabel_action action, const char *source, const char *regex,
            const char *target, const char *replacement)
{
    rig_own(rig)->relabel[rig_last(rig)->relabel_count++] =
        rig_spec(rig, action, source, regex, target, replacement);
}

/* --- the notifier ----------------------------------------------------------------------------- */

static inline enum err
rig_new(struct rig *rig)
{
    const struct notifier_options options = {sim_env_env(rig->sim), &rig->memory, "http://us:9201/",
                                             &rig->fake.base};
    rig->notifier = NULL;
    return notifier_new(&options, &rig->notifier, &rig->why);
}

static inline void
rig_end(struct rig *rig)
{
    notifier_free(rig->notifier);
    rig->notifier = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

static inline void
rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    assert_int_equal(sim_env_new(1, &rig->sim), OK);
    budget_init(&rig->memory, "notify", 0, NULL);
    rig->limits = (struct notifier_limits){10000, 256};
    fake_init(&rig->fake, rig->sim, rig_serve, NULL, rig);
    assert_int_equal(rig_new(rig), OK);
    rig_begin_settings(rig);
}

static inline void
rig_fini(struct rig *rig)
{
    rig_end(rig);
    if (rig->lines_fd > 0) {
        log_to_fd(-1);
        close(rig->lines_fd);
    }
    alerting_free(&rig->alerting);
    sim_env_free(rig->sim);
}

static inline enum err
rig_prepare(struct rig *rig, struct notifier_change **ret_change)
{
    rig->why.text[0] = '\0';
    enum err e = notifier_prepare(rig->notifier, &rig->alerting, &rig->external_labels,
                                  &rig->limits, ret_change, &rig->why);
    assert_null(rig->alerting.arena);
    return e;
}

static inline void
rig_start(struct rig *rig)
{
    struct notifier_change *change;
    enum err e = rig_prepare(rig, &change);
    if (e) fail_msg("%s", rig->why.text);
    notifier_commit(change);
}

/* So much time goes on. */
static inline void
rig_run(struct rig *rig, int64_t ms)
{
    struct env *env = sim_env_env(rig->sim);
    int64_t until_ns = env_monotonic_ns(env) + ms * NS_PER_MS;
    for (int64_t left_ns; (left_ns = until_ns - env_monotonic_ns(env)) > 0;) {
        notifier_step(rig->notifier, (int)(left_ns / NS_PER_MS));
    }
    for (int i = 0; i < 20; i++) { /* what is due just then */
        notifier_step(rig->notifier, 0);
    }
}

/* All that can happen at once does. */
static inline void
rig_settle(struct rig *rig)
{
    rig_run(rig, 0);
}

/* An alert that began then, and ends in four minutes. */
static inline void
rig_fire(struct rig *rig, const char *name, int64_t starts_ms)
{
    struct buf labels;
    int64_t now_ms = env_realtime_ms(sim_env_env(rig->sim));
    uint64_t left = rig_hold_failures(rig);
    buf_init(&labels, NULL, 1 << 16);
    put_alert_labels(&labels, name, NULL);
    mem_fail_nth(left, false);
    const struct alert_notice notice = {
        .tenant = bytes_of_text("acme"),
        .labels = buf_bytes(&labels),
        .expression = bytes_of_text("up == 0"),
        .starts_ns = starts_ms * NS_PER_MS,
        .ends_ns = (now_ms + 4 * 60 * 1000) * NS_PER_MS,
    };
    notifier_send(rig->notifier, &notice, 1);
    buf_fini(&labels);
}

/* --- what is shown ---------------------------------------------------------------------------- */

static inline void
expect_members(struct rig *rig, const char *want)
{
    struct buf text;
    struct json json;
    buf_init(&text, NULL, 1 << 20);
    json_init(&json, &text);
    json_object_open(&json);
    notifier_print(rig->notifier, &json);
    json_object_close(&json);
    buf_put_u8(&text, 0);
    assert_string_equal((const char *)text.at, want);
    buf_fini(&text);
}

/* From here on expect_logged() sees what the program logs. */
static inline void
rig_watch_log(struct rig *rig)
{
    rig->lines_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(rig->lines_fd > 0);
    log_to_fd(rig->lines_fd);
}

/* Lines with this text in it, since it was called last, without their times. */
static inline void
expect_logged(struct rig *rig, const char *text, const char *want)
{
    char found[RIG_LOG_BYTES] = "";
    ssize_t size = pread(rig->lines_fd, rig->lines, sizeof rig->lines - 1, 0);
    assert_in_range(size, 0, sizeof rig->lines - 2);
    rig->lines[size] = '\0';
    assert_int_equal(ftruncate(rig->lines_fd, 0), 0);
    assert_int_equal(lseek(rig->lines_fd, 0, SEEK_SET), 0);
    for (char *line = strtok(rig->lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        const char *level = strstr(line, "level=");
        if (strstr(line, text) == NULL || level == NULL) continue;
        strcat(found, level);
        strcat(found, "\n");
    }
    assert_string_equal(found, want);
}

static inline bool
has_metric(struct rig *rig, const char *text)
{
    struct metric_collector collector = {.collect = notifier_collect, .context = rig->notifier};
    struct buf all;
    buf_init(&all, NULL, 16 << 20);
    metric_register_collector(&collector);
    metric_collect(&all);
    metric_unregister(&collector.link);
    assert_int_equal(buf_error(&all), OK);
    bool found = memmem(all.at, all.size, text, strlen(text)) != NULL;
    buf_fini(&all);
    return found;
}

static inline void
expect_metric(struct rig *rig, const char *line)
{
    if (!has_metric(rig, line)) fail_msg("there is no %s", line);
}

static inline void
expect_no_metric(struct rig *rig, const char *text)
{
    if (has_metric(rig, text)) fail_msg("there is %s", text);
}

#endif
