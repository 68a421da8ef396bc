/*
 * notify_rig_testing.h - a notifier on a simulated machine. Other machines answer as the test says,
 * on the clock of a sim_env. What happens is an event with its time: requests, log lines with a
 * wanted text, changes of members. For tests.
 */
#ifndef NOTIFY_NOTIFY_RIG_TESTING_H
#define NOTIFY_NOTIFY_RIG_TESTING_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/metric.h"
#include "notify/notify_private.h"
#include "notify/notify_testing.h"
#include "sys/sim.h"

enum { RIG_LIST_MAX = 8, RIG_TEXT_BYTES = 1 << 16, FAKE_CALLS_MAX = 256, FAKE_RECORDS_MAX = 8 };

/* --- the other machines ----------------------------------------------------------------------- */

/* A request, or a look-up of a name. The test fills in what follows the body. */
struct fake_call {
    void *context;
    bool is_look_up;
    const char *method; /* static */
    char *url;          /* or the name */
    char *headers;      /* lines, each with a line feed */
    char *body;
    enum dns_record type;
    const char *const *wanted;

    int64_t after_ms; /* -1: it is never answered */
    enum http_call_failure failure;
    unsigned status;
    const char *answer;        /* borrowed until it is taken; NULL: empty */
    const char *wanted_are[2]; /* the first of the headers wanted; NULL: missing */
    int64_t retry_after_ms;
    int64_t date_s; /* 0: missing */

    enum err e; /* of a look-up, as the rest */
    struct dns_answer_record records[FAKE_RECORDS_MAX];
    uint32_t count;
    bool is_cut;

    int64_t due_ns;
};

struct fake_outside {
    struct outside base; /* first */
    struct sim_env *sim;
    void (*serve)(void *context, struct fake_call *call);
    void (*look)(void *context); /* at what was done, before time goes on; NULL: it is not called */
    void *context;
    struct fake_call *calls[FAKE_CALLS_MAX]; /* under way */
    unsigned call_count;
    struct fake_call *shown[2]; /* the last request that ended, and the last look-up */
    bool fails;                 /* nothing can be started */
    bool is_woken;
};

static inline int64_t
fake_now_ns(const struct fake_outside *f)
{
    return env_monotonic_ns(sim_env_env(f->sim));
}

static inline void
fake_call_free(struct fake_call *c)
{
    if (c == NULL) return;
    free(c->url);
    free(c->headers);
    free(c->body);
    free(c);
}

static inline enum err
fake_begin(struct fake_outside *f, struct fake_call call, struct why *why)
{
    if (f->fails) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    assert_true(f->call_count < FAKE_CALLS_MAX);
    struct fake_call *c = malloc(sizeof *c);
    *c = call;
    c->url = strdup(call.url);
    c->status = 200;
    f->serve(f->context, c);
    c->due_ns = c->after_ms < 0 ? INT64_MAX : fake_now_ns(f) + c->after_ms * NS_PER_MS;
    f->calls[f->call_count++] = c;
    return OK;
}

static inline enum err
fake_start(struct outside *outside, const struct http_call *call, struct why *why)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    char headers[4096] = "";
    for (const char *const *h = call->headers; h != NULL && *h != NULL; h++) {
        assert_true(strlen(headers) + strlen(*h) + 2 < sizeof headers);
        strcat(strcat(headers, *h), "\n");
    }
    struct fake_call c = {.context = call->context, .method = call->method};
    c.url = (char *)(uintptr_t)call->url;
    c.wanted = call->wanted;
    if (f->fails) return fake_begin(f, c, why);
    c.headers = strdup(headers);
    c.body = strndup(call->body.size == 0 ? "" : (const char *)call->body.at, call->body.size);
    return fake_begin(f, c, why);
}

static inline enum err
fake_ask(struct outside *outside, const char *name, enum dns_record type, void *context,
         struct why *why)
{
    struct fake_call c = {.context = context, .is_look_up = true, .type = type};
    c.url = (char *)(uintptr_t)name;
    return fake_begin((struct fake_outside *)outside, c, why);
}

static inline void
fake_give_up(struct outside *outside, const void *context)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    for (unsigned i = 0; i < f->call_count; i++) {
        if (f->calls[i]->context != context) continue;
        fake_call_free(f->calls[i]);
        f->calls[i--] = f->calls[--f->call_count];
    }
}

/* Time goes on to the first that is due, or as far as it may. */
static inline void
fake_poll(struct outside *outside, int wait_ms)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    int64_t now_ns = fake_now_ns(f), until_ns = now_ns + wait_ms * NS_PER_MS;
    if (f->look != NULL) f->look(f->context);
    for (unsigned i = 0; i < f->call_count; i++) {
        if (f->calls[i]->due_ns < until_ns) until_ns = f->calls[i]->due_ns;
    }
    if (f->is_woken) until_ns = now_ns;
    f->is_woken = false;
    if (until_ns > now_ns) sim_env_advance_ns(f->sim, until_ns - now_ns);
}

/* The next of a kind that has ended; NULL: none. */
static inline const struct fake_call *
fake_ended(struct fake_outside *f, bool is_look_up)
{
    struct fake_call **shown = &f->shown[is_look_up];
    fake_call_free(*shown);
    *shown = NULL;
    for (unsigned i = 0; i < f->call_count && *shown == NULL; i++) {
        struct fake_call *c = f->calls[i];
        if (c->is_look_up != is_look_up || c->due_ns > fake_now_ns(f)) continue;
        *shown = c;
        f->calls[i] = f->calls[--f->call_count];
    }
    return *shown;
}

static inline bool
fake_done(struct outside *outside, struct http_call_answer *ret)
{
    const struct fake_call *c = fake_ended((struct fake_outside *)outside, false);
    if (c == NULL) return false;
    *ret = (struct http_call_answer){.context = c->context, .failure = c->failure};
    if (c->failure != HTTP_CALL_ANSWERED) {
        snprintf(ret->error, sizeof ret->error, "it failed");
        return true;
    }
    ret->status = c->status;
    ret->body = bytes_of_text(c->answer == NULL ? "" : c->answer);
    ret->retry_after_ns = c->retry_after_ms * NS_PER_MS;
    ret->date_s = c->date_s;
    for (unsigned i = 0; i < 2; i++) {
        const char *is = c->wanted_are[i];
        snprintf(ret->wanted[i], sizeof ret->wanted[i], "%s", is == NULL ? "" : is);
    }
    return true;
}

static inline bool
fake_question_done(struct outside *outside, struct dns_answer *ret)
{
    const struct fake_call *c = fake_ended((struct fake_outside *)outside, true);
    if (c == NULL) return false;
    *ret = (struct dns_answer){c->context, c->e, c->records, c->count, c->is_cut, ""};
    if (c->e) snprintf(ret->error, sizeof ret->error, "it failed");
    return true;
}

static inline void
fake_wake(struct outside *outside)
{
    ((struct fake_outside *)outside)->is_woken = true;
}

/* The test owns it: what is under way must have been given up. */
static inline void
fake_free(struct outside *outside)
{
    struct fake_outside *f = (struct fake_outside *)outside;
    for (unsigned i = 0; i < 2; i++) {
        fake_call_free(f->shown[i]);
        f->shown[i] = NULL;
    }
    assert_int_equal(f->call_count, 0);
}

static inline void
fake_init(struct fake_outside *f, struct sim_env *sim,
          void (*serve)(void *context, struct fake_call *call), void *context)
{
    static const struct outside_ops ops = {
        fake_start, fake_give_up,       fake_ask,  fake_give_up, fake_poll,
        fake_done,  fake_question_done, fake_wake, fake_free,
    };
    *f = (struct fake_outside){.base = {&ops}, .sim = sim, .serve = serve, .context = context};
}

/* --- the rig ---------------------------------------------------------------------------------- */

/* Lists of an Alertmanager's settings. */
struct rig_alertmanager {
    const char *targets[RIG_LIST_MAX], *pattern, *name;
    struct named_text target_labels[RIG_LIST_MAX];
    struct static_members members;
    struct file_members files;
    struct http_members http;
    struct dns_members dns;
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
    struct rig_alertmanager *own; /* of the last */
    struct relabel_spec *relabel_all;
    struct named_text external[RIG_LIST_MAX];
    struct named_texts external_labels;

    /* What others answer, by URL. */
    struct {
        const char *url;
        int64_t after_ms;
        unsigned status;
    } answers[RIG_LIST_MAX];
    unsigned answer_count;
    int64_t retry_after_ms, date_s;
    const char *get_body, *post_body, *content_type, *error_type, *location;
    unsigned tokens;
    char token[128];
    struct fake_call zone; /* what name servers answer */
    unsigned look_ups;

    int64_t began_ns, event_ns;  /* the last event's time */
    char events[RIG_TEXT_BYTES]; /* since rig_take_events() */
    char last_body[RIG_TEXT_BYTES], last_headers[4096], last_method[8];
    bool shows_hosts;
    char hosts[RIG_TEXT_BYTES];
    int log_fd;
    const char *log_text; /* lines that have it are events; NULL: none */
};

/* --- events ----------------------------------------------------------------------------------- */

/* Members' URLs become their host, without the usual port; quotes become single ones, for C. */
static inline void
rig_shorten(char *text)
{
    static const char path[] = "/api/v2/alerts";
    for (char *at = text; (at = strstr(at, "http://")) != NULL; at++) {
        char *host = at + 7, *end = host + strcspn(host, "/ \"");
        size_t size = (size_t)(end - host);
        if (memchr(host, ':', size) == NULL || strncmp(end, path, sizeof path - 1) != 0) continue;
        if (strncmp(end - 5, ":9093", 5) == 0) size -= 5;
        memmove(at, host, size);
        memmove(at + size, end + sizeof path - 1, strlen(end + sizeof path - 1) + 1);
    }
    for (char *at = text; (at = strchr(at, '"')) != NULL; at++) {
        *at = '\'';
    }
}

static inline void
rig_put_event(struct rig *rig, const char *time, const char *text)
{
    char *at = rig->events + strlen(rig->events);
    size_t left = (size_t)(rig->events + sizeof rig->events - at);
    int size = snprintf(at, left, "%s%s%s", at == rig->events ? "" : "; ", time, text);
    assert_true(size >= 0 && (size_t)size < left);
    rig_shorten(at);
}

/* With the seconds since the rig began, if these are others than those of the event before. */
static inline void
rig_event(struct rig *rig, const char *text)
{
    char time[32] = "";
    int64_t now_ns = fake_now_ns(&rig->fake);
    if (rig->events[0] == '\0' || now_ns != rig->event_ns) {
        snprintf(time, sizeof time, "%.10gs ", (double)(now_ns - rig->began_ns) / 1e9);
    }
    rig->event_ns = now_ns;
    rig_put_event(rig, time, text);
}

static inline void
rig_observe_log(struct rig *rig)
{
    static char lines[RIG_TEXT_BYTES];
    ssize_t size = pread(rig->log_fd, lines, sizeof lines - 1, 0);
    if (size <= 0) return;
    lines[size] = '\0';
    assert_int_equal(ftruncate(rig->log_fd, 0), 0);
    assert_int_equal(lseek(rig->log_fd, 0, SEEK_SET), 0);
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char text[4096], *level = strstr(line, "level="), *message = strstr(line, "msg=\"notify: ");
        if (rig->log_text == NULL || strstr(line, rig->log_text) == NULL) continue;
        snprintf(text, sizeof text, "%.*s\"%s", (int)strcspn(level + 6, "m"), level + 6,
                 message + 13);
        rig_event(rig, text);
    }
}

static inline void
rig_observe_hosts(struct rig *rig)
{
    static char hosts[RIG_TEXT_BYTES];
    const struct plan *plan = rig->notifier->plan;
    size_t at = (size_t)sprintf(hosts, "members");
    for (uint32_t k = 0; k < plan->count; k++) {
        const struct members *members = &plan->items[k]->members;
        for (uint32_t i = 0; i < members->count && members->count <= 100; i++) {
            at += (size_t)snprintf(hosts + at, sizeof hosts - at, " %s", members->items[i]->url);
        }
        if (members->count > 100) at += (size_t)sprintf(hosts + at, " %u", members->count);
    }
    if (!rig->shows_hosts || strcmp(hosts, rig->hosts) == 0) return;
    strcpy(rig->hosts, hosts);
    rig_event(rig, hosts);
}

/* --- what the other machines answer ----------------------------------------------------------- */

static inline void
rig_look_up(struct rig *rig, struct fake_call *call)
{
    rig->look_ups++;
    assert_int_equal(call->type, rig->zone.type);
    assert_string_equal(call->url, "am.example");
    call->e = rig->zone.e;
    call->after_ms = rig->zone.after_ms;
    call->count = rig->zone.count;
    call->is_cut = rig->zone.is_cut;
    memcpy(call->records, rig->zone.records, sizeof rig->zone.records);
}

static inline const char *
rig_header(const struct rig *rig, const char *name)
{
    if (strcmp(name, "x-amzn-ErrorType") == 0) return rig->error_type;
    return strcmp(name, "Location") == 0 ? rig->location : rig->content_type;
}

static inline void
rig_note(struct rig *rig, const struct fake_call *call)
{
    static char alerts[RIG_TEXT_BYTES / 2], event[RIG_TEXT_BYTES];
    alerts[0] = '\0';
    if (call->body[0] == '[') alerts_text(bytes_of_text(call->body), alerts, sizeof alerts);
    snprintf(event, sizeof event, "%s%s%s", call->url, alerts[0] == '\0' ? "" : " ", alerts);
    rig_event(rig, event);
    snprintf(rig->last_body, sizeof rig->last_body, "%s", call->body);
    snprintf(rig->last_headers, sizeof rig->last_headers, "%s", call->headers);
    snprintf(rig->last_method, sizeof rig->last_method, "%s", call->method);
}

static inline void
rig_serve(void *context, struct fake_call *call)
{
    struct rig *rig = context;
    if (call->is_look_up) {
        rig_look_up(rig, call);
        return;
    }
    rig_note(rig, call);
    for (unsigned i = 0; i < 2 && call->wanted != NULL && call->wanted[i] != NULL; i++) {
        call->wanted_are[i] = rig_header(rig, call->wanted[i]);
    }
    for (unsigned i = 0; i < rig->answer_count; i++) {
        if (strcmp(rig->answers[i].url, call->url) != 0) continue;
        call->after_ms = rig->answers[i].after_ms;
        call->status = rig->answers[i].status;
    }
    call->retry_after_ms = rig->retry_after_ms;
    call->date_s = rig->date_s;
    call->answer = strcmp(call->method, "GET") == 0 ? rig->get_body : rig->post_body;
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

/* --- settings --------------------------------------------------------------------------------- */

/* What a test itself allocates does not fail. Returns the argument of mem_fail_nth() after it. */
static inline uint64_t
rig_hold_failures(struct rig *rig)
{
    uint64_t left = mem_fail_left();
    rig->has_fired |= mem_fail_fired();
    mem_fail_nth(0, false);
    return left;
}

/* From the arena of the settings that are made. */
static inline void *
rig_alloc(struct rig *rig, size_t size)
{
    uint64_t left = rig_hold_failures(rig);
    if (rig->alerting.arena == NULL) {
        rig->arena = mem_new(NULL, sizeof *rig->arena);
        arena_init(rig->arena, NULL, 0, 0);
        rig->alerting.arena = rig->arena;
    }
    void *at = arena_new(rig->arena, size);
    mem_fail_nth(left, false);
    return at;
}

/* Without Alertmanagers. */
static inline void
rig_begin_settings(struct rig *rig)
{
    if (rig->alerting.arena != NULL) alerting_free(&rig->alerting);
    rig->alerting = (struct alerting){.arena = NULL};
    rig->items = rig_alloc(rig, RIG_LIST_MAX * sizeof *rig->items);
    rig->relabel_all = rig_alloc(rig, RIG_LIST_MAX * sizeof *rig->relabel_all);
    rig->alerting.items = rig->items;
    rig->alerting.alert_relabel = rig->relabel_all;
    rig->external_labels = (struct named_texts){rig->external, 0};
}

static inline struct alertmanager_settings *
rig_last(struct rig *rig)
{
    assert_true(rig->alerting.count > 0);
    return &rig->items[rig->alerting.count - 1];
}

static inline void
rig_target(struct rig *rig, const char *address)
{
    struct text_list *targets = &rig->own->members.targets;
    assert_true(targets->count < RIG_LIST_MAX);
    rig->own->targets[targets->count++] = address;
    rig_last(rig)->static_count = 1;
}

/* Another Alertmanager, without members. */
static inline struct alertmanager_settings *
rig_add(struct rig *rig)
{
    struct rig_alertmanager *own = rig_alloc(rig, sizeof *own);
    struct alertmanager_settings *a = &rig->items[rig->alerting.count++];
    rig->own = own;
    *a = (struct alertmanager_settings){
        .line = rig->alerting.count + 1,
        .timeout_ms = 10000,
        .static_configs = &own->members,
        .file_configs = &own->files,
        .http_configs = &own->http,
        .dns_configs = &own->dns,
        .relabel = own->relabel,
        .alert_relabel = own->alert_relabel,
        .hash = rig->alerting.count,
    };
    own->members.targets.items = own->targets;
    own->members.labels.items = own->target_labels;
    own->files = (struct file_members){.files = {&own->pattern, 1}, .refresh_ms = 60 * 1000};
    own->http = (struct http_members){.url = "http://list/", .refresh_ms = 20 * 1000};
    own->name = "am.example";
    own->dns = (struct dns_members){.names = {&own->name, 1}, .port = 9093};
    return a;
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

/* On a machine that the test owns. */
static inline void
rig_init_on(struct rig *rig, struct sim_env *sim,
            void (*serve)(void *context, struct fake_call *call))
{
    memset(rig, 0, sizeof *rig);
    rig->sim = sim;
    budget_init(&rig->memory, "notify", 0, NULL);
    rig->limits = (struct notifier_limits){10000, 256, 0};
    fake_init(&rig->fake, sim, serve, rig);
    strcpy(rig->hosts, "members");
    rig->zone.type = DNS_A;
    rig->began_ns = fake_now_ns(&rig->fake);
    assert_int_equal(rig_new(rig), OK);
    rig_begin_settings(rig);
}

static inline void
rig_fini(struct rig *rig)
{
    rig_end(rig);
    alerting_free(&rig->alerting);
}

static inline enum err
rig_prepare(struct rig *rig, struct notifier_change **ret_change)
{
    rig->why.text[0] = '\0';
    enum err e = notifier_prepare(rig->notifier, &rig->alerting, &rig->external_labels,
                                  &rig->limits, ret_change, &rig->why);
    assert_null(rig->alerting.arena);
    rig_begin_settings(rig);
    return e;
}

static inline void
rig_start(struct rig *rig)
{
    struct notifier_change *change;
    if (rig_prepare(rig, &change)) fail_msg("%s", rig->why.text);
    notifier_commit(change);
}

/* Time goes on by `ms`, and what is due just then happens, too. */
static inline void
rig_run(struct rig *rig, int64_t ms)
{
    int64_t until_ns = fake_now_ns(&rig->fake) + ms * NS_PER_MS;
    for (int64_t left_ns; (left_ns = until_ns - fake_now_ns(&rig->fake)) > 0;) {
        notifier_step(rig->notifier, (int)(left_ns / NS_PER_MS));
    }
    for (int i = 0; i < 20; i++) {
        notifier_step(rig->notifier, 0);
    }
}

/* An alert that began then, and ends in four minutes, with an annotation of so many bytes. */
static inline void
rig_fire(struct rig *rig, const char *name, int64_t starts_ms, size_t annotation_bytes)
{
    struct buf labels;
    int64_t now_ms = env_realtime_ms(sim_env_env(rig->sim));
    uint64_t left = rig_hold_failures(rig);
    buf_init(&labels, NULL, 1 << 16);
    put_alert_labels(&labels, name, NULL);
    mem_fail_nth(left, false);
    char *text = malloc(annotation_bytes + 1);
    memset(text, 'x', annotation_bytes);
    const struct label annotation = {bytes_of_text("a"), bytes_of(text, annotation_bytes)};
    const struct alert_notice notice = {
        .tenant = bytes_of_text("acme"),
        .labels = buf_bytes(&labels),
        .annotations = &annotation,
        .annotation_count = annotation_bytes > 0,
        .expression = bytes_of_text("up == 0"),
        .starts_ns = starts_ms * NS_PER_MS,
        .ends_ns = (now_ms + 4 * 60 * 1000) * NS_PER_MS,
    };
    notifier_send(rig->notifier, &notice, 1);
    free(text);
    buf_fini(&labels);
}

#endif
