/*
 * trial.c - see operate.h.
 *
 * Name resolution, connection and certificate of a host are not tested separately: the first
 * request to it shows them. So the trial makes only requests that the destination itself would.
 */
#include "relay/operate/operate.h"

#include <stdio.h>

#include "base/text/time_text.h"
#include "model/labels.h"
#include "net/http_calls.h"
#include "relay/lane/pace.h"

enum {
    HOSTS_MAX = 8,
    HOST_BYTES = 256,
    STEPS_AGAIN_MAX = 4,
    POLL_MS = 200,
    STATE_BYTES_MAX = 512 * 1024,
    LABELS_BYTES_MAX = 4096,
    ADVICE_BYTES = 256,
};

struct trial {
    struct trial_options options;
    const struct writer_class *class;
    struct writer *writer;
    struct http_calls *http;
    struct buf state;
    char hosts[HOSTS_MAX][HOST_BYTES]; /* hosts that were reported */
    uint32_t host_count;
    bool unreachable;       /* one of the hosts cannot be reached */
    const char *way_reason; /* reason why a host cannot be reached; NULL if all can be */
    uint32_t failed;
};

/* --- advice ----------------------------------------------------------------------------------- */

static void
trial_report(struct trial *t, const char *what, bool ok, const char *reason, const char *said)
{
    char advice[ADVICE_BYTES];
    struct trial_finding finding = {what, ok, ok ? "" : reason, said, ""};
    bool repeats = !ok && t->way_reason != NULL && strcmp(reason, t->way_reason) == 0;
    if (!ok && !repeats) finding.advice = advice_on(reason);
    if (!ok && !repeats && strcmp(reason, "access_denied") == 0) {
        /* The action, such as kinesis:PutRecords, that a check names in brackets. */
        const char *from = strrchr(what, '('), *end = from == NULL ? NULL : strchr(from, ')');
        int size = end == NULL ? 0 : (int)(end - from - 1);
        if (size > 0 && memchr(from, ':', (size_t)size) != NULL) {
            snprintf(advice, sizeof advice, "allow the action %.*s", size, from + 1);
            finding.advice = advice;
        }
    }
    if (repeats) finding.said = "as above";
    t->failed += !ok;
    t->options.each(t->options.context, &finding);
}

/* --- connections ------------------------------------------------------------------------------ */

/* Finds scheme and authority of a URL, unless they were reported before. */
static bool
is_new_host(struct trial *t, const char *url)
{
    const char *from = strstr(url, "://");
    if (from == NULL || t->host_count == HOSTS_MAX) return false;
    size_t size = (size_t)(from - url) + 3 + strcspn(from + 3, "/?#");
    if (size >= HOST_BYTES || memchr(url, '@', size) != NULL) return false;
    char *host = t->hosts[t->host_count];
    snprintf(host, HOST_BYTES, "%.*s", (int)size, url);
    for (uint32_t i = 0; i < t->host_count; i++)
        if (strcmp(t->hosts[i], host) == 0) return false;
    t->host_count++;
    return true;
}

struct way_step {
    const char *what, *reason;
    enum http_call_failure failure;
};

/* True if this step is known to have succeeded, and is to be reported. */
static bool
is_passed(const struct way_step *step, const char *host, bool through_proxy,
          enum http_call_failure failure)
{
    bool tls = strncmp(host, "https://", 8) == 0;
    const char *name = strstr(host, "://") + 3, *after = name + strspn(name, "0123456789.");
    switch (step->failure) {
    case HTTP_CALL_TIMEOUT:
    case HTTP_CALL_NO_TLS:
        return false;
    case HTTP_CALL_RESOLVE:
        if (name[0] == '[' || *after == ':' || *after == '\0') return false; /* an address */
        break;
    case HTTP_CALL_PROXY:
        if (!tls || !through_proxy) return false;
        break;
    case HTTP_CALL_TLS:
        if (!tls) return false;
        break;
    default:
        break;
    }
    return failure != HTTP_CALL_TIMEOUT; /* the slow step is unknown */
}

/* Reports what the first response of a host, or its absence, shows about the connection. */
static void
report_way(struct trial *t, const struct http_call_answer *answer)
{
    static const struct way_step steps[] = {
        {"name resolution", "resolve", HTTP_CALL_RESOLVE},
        {"connection", "connect", HTTP_CALL_CONNECT},
        {"connection from the proxy to the server", "proxy", HTTP_CALL_PROXY},
        {"TLS", "scheme", HTTP_CALL_NO_TLS},
        {"TLS certificate", "tls", HTTP_CALL_TLS},
        {"response in time", "timeout", HTTP_CALL_TIMEOUT},
    };
    const char *host = t->hosts[t->host_count - 1];
    const struct http_settings *http = &t->options.settings->http;
    bool through = http->proxy_url != NULL && http->proxy_url[0] != '\0' && http->no_proxy == NULL;
    char what[HOST_BYTES + 64];
    if (answer->failure == HTTP_CALL_BAD_URL || answer->failure == HTTP_CALL_NO_MEMORY) return;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bool ok = steps[i].failure != answer->failure;
        if (ok && !is_passed(&steps[i], host, through, answer->failure)) continue;
        snprintf(what, sizeof what, "%s%s: %s", host, through ? ", through the proxy" : "",
                 steps[i].what);
        trial_report(t, what, ok, steps[i].reason, ok ? "" : answer->error);
        if (ok) continue;
        t->unreachable = true;
        t->way_reason = steps[i].reason;
        return;
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
ask(struct trial *t, const struct writer_step *step, struct http_call_answer *ret_answer,
    struct why *why)
{
    bool is_new = is_new_host(t, step->http.url);
    enum err e = http_calls_start(t->http, &step->http, why);
    while (e == OK && !http_calls_done(t->http, ret_answer)) {
        const atomic_bool *stop = t->options.stop;
        http_calls_poll(t->http, POLL_MS);
        bool stopped = stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
        if (stopped) return why_set(why, ERR_CANCELED, "stopped");
    }
    if (e == OK && is_new) report_way(t, ret_answer);
    return e;
}

/* Fetches credentials, tokens and addresses, as before any call. */
static enum err
prepare(struct trial *t, bool *ret_ready, struct why *why)
{
    struct writer_step step = {.next = WRITER_DONE};
    struct http_call_answer answer;
    t->class->prepare(t->writer, NULL, &step);
    while (step.next == WRITER_SEND) {
        enum err e = ask(t, &step, &answer, why);
        if (e) return e;
        step = (struct writer_step){.next = WRITER_DONE};
        t->class->prepare(t->writer, &answer, &step);
        step_mask(&step, t->http);
    }
    *ret_ready = step.verdict == VERDICT_DELIVERED;
    trial_report(t, "credentials and other preparation", *ret_ready, step.reason, step.answer);
    return OK;
}

/* Decides after the verdict on an attempt whether another one makes sense. */
static enum err
may_go_on(struct trial *t, const struct writer_step *step, uint32_t *agains, bool *ret_again,
          struct why *why)
{
    bool unprepared = step->verdict == VERDICT_UNPREPARED && t->class->prepare != NULL;
    bool again = unprepared || step->verdict == VERDICT_AGAIN || step->verdict == VERDICT_REBUILD;
    *ret_again = again && !t->unreachable && ++*agains < STEPS_AGAIN_MAX;
    return *ret_again && unprepared ? prepare(t, ret_again, why) : OK;
}

/* --- one check -------------------------------------------------------------------------------- */

static enum err
check(struct trial *t, uint32_t number, bool *ret_there, struct why *why)
{
    char what[WRITER_ANSWER_BYTES] = "";
    uint32_t agains = 0;
    for (bool again = true; again;) {
        struct writer_step step = {.next = WRITER_DONE};
        struct http_call_answer answer;
        bool was_sent = false;
        *ret_there = t->class->check(t->writer, number, NULL, &step, what);
        if (!*ret_there) return OK;
        enum err e = OK;
        while (step.next == WRITER_SEND) {
            e = ask(t, &step, &answer, why);
            if (e) return e;
            was_sent = true;
            step = (struct writer_step){.next = WRITER_DONE};
            t->class->check(t->writer, number, &answer, &step, what);
            step_mask(&step, t->http);
        }
        e = may_go_on(t, &step, &agains, &again, why);
        if (e) return e;
        bool unprepared = step.verdict == VERDICT_UNPREPARED;
        /* A step that was skipped for lack of credentials is not reported. */
        if (!again && (was_sent || !unprepared))
            trial_report(t, what, step.verdict == VERDICT_DELIVERED, step.reason, step.answer);
        t->unreachable |= !again && unprepared; /* nothing else will succeed either */
    }
    return OK;
}

/* --- the sample ------------------------------------------------------------------------------- */

static enum err
save(struct trial *t, struct why *why)
{
    buf_clear(&t->state);
    if (t->class->save != NULL) t->class->save(t->writer, &t->state);
    if (buf_error(&t->state)) return why_set(why, ERR_NOMEM, "not enough memory");
    return t->class->saved == NULL ? OK : t->class->saved(t->writer, why);
}

/* Makes one attempt, from the start of the call to the verdict on it. */
static enum err
send_once(struct trial *t, struct writer_call *call, struct writer_step *step, struct why *why)
{
    struct http_call_answer answer;
    *step = (struct writer_step){.next = WRITER_DONE};
    t->class->begin(t->writer, call, step);
    while (step->next != WRITER_DONE) {
        bool sends = step->next == WRITER_SEND;
        enum err e = sends ? ask(t, step, &answer, why) : save(t, why);
        if (e) return e;
        *step = (struct writer_step){.next = WRITER_DONE};
        if (sends)
            t->class->judge(t->writer, call, &answer, step);
        else
            t->class->begin(t->writer, call, step);
        if (sends) step_mask(step, t->http);
    }
    return OK;
}

static enum err
deliver(struct trial *t, struct writer_call *call, const struct item *item,
        struct writer_step *step, struct why *why)
{
    uint32_t agains = 0, entry;
    enum err e = OK;
    for (bool again = true, rebuild = true; again && e == OK;) {
        if (rebuild) {
            t->class->call_clear(t->writer, call);
            switch (t->class->add(t->writer, call, item, &entry, why)) {
            case WRITER_ADDED:
                break;
            case WRITER_UNFIT:
                step_done(step, VERDICT_DEAD, "unrepresentable", why->text);
                return OK;
            default:
                return why_set(why, ERR_NOMEM, "not enough memory for a sample");
            }
        }
        e = send_once(t, call, step, why);
        if (e) return e;
        rebuild = step->verdict == VERDICT_REBUILD;
        e = may_go_on(t, step, &agains, &again, why);
    }
    if (e == OK && step->verdict == VERDICT_MIXED) {
        struct writer_entry judged;
        t->class->entry(t->writer, call, entry, &judged);
        http_calls_mask(t->http, judged.answer);
        step_done(step, judged.verdict, judged.reason, judged.answer);
    }
    if (e || step->verdict != VERDICT_DELIVERED) return e;
    struct why reason = {""}; /* files get their final names */
    if (t->class->tend != NULL) e = t->class->tend(t->writer, true, &reason);
    if (e == OK) e = save(t, &reason);
    if (e) step_done(step, VERDICT_RETRY, err_word(e), reason.text);
    return e == ERR_NOMEM ? e : OK;
}

static enum err
write_sample(struct trial *t, struct why *why)
{
    struct writer_step step = {.next = WRITER_DONE};
    struct writer_call *call = NULL;
    struct buf labels;
    char what[256], time[TIME_TEXT_BYTES];
    bool ready = true;
    enum err e = OK;
    if (t->class->need_prepare != NULL && t->class->need_prepare(t->writer))
        e = prepare(t, &ready, why);
    if (e || !ready) return e;
    buf_init(&labels, NULL, LABELS_BYTES_MAX);
    labels_put(&labels, (struct label){bytes_of_text("__name__"),
                                       bytes_of_text("firekeep_destination_test")});
    labels_put(&labels, (struct label){bytes_of_text("destination"),
                                       bytes_of_text(t->options.settings->name)});
    int64_t now_ms = env_realtime_ms(t->options.env);
    const struct text_list *tenants = &t->options.settings->tenants;
    bool named = tenants->count > 0 && strcmp(tenants->items[0], "all") != 0;
    struct item item = {
        .kind = ITEM_FLOAT,
        .pos = 1,
        .arrival_ms = now_ms,
        .tenant = bytes_of_text(named ? tenants->items[0] : "anonymous"),
        .labels = buf_bytes(&labels),
        .series_hash = 1,
        .t_ms = now_ms,
        .bits = 0x3ff0000000000000, /* 1 */
    };
    e = buf_error(&labels);
    if (e == OK) e = writer_call_new(t->class, t->writer, &call);
    if (e) why_set(why, e, "not enough memory for a sample");
    if (e == OK) e = deliver(t, call, &item, &step, why);
    if (e == OK) {
        snprintf(what, sizeof what, "sample firekeep_destination_test{destination=\"%s\"} 1 at %s",
                 t->options.settings->name, time_print(now_ms, time));
        trial_report(t, what, step.verdict == VERDICT_DELIVERED, step.reason, step.answer);
    }
    writer_call_free(t->class, t->writer, call);
    buf_fini(&labels);
    return e;
}

/* --- the trial -------------------------------------------------------------------------------- */

enum err
trial_run(const struct trial_options *options, uint32_t *ret_failed, struct why *why)
{
    struct trial t = {.options = *options, .class = options->writer};
    struct writer_options writer = {
        .env = options->env,
        .memory = options->memory,
        .settings = options->settings,
        .dir = options->dir,
        .instance = options->instance,
    };
    buf_init(&t.state, options->memory, STATE_BYTES_MAX);
    enum err e = writer_new(t.class, &writer, &t.writer, why);
    if (e == OK)
        e = http_calls_new(options->env, options->memory, options->user_agent, &t.http, why);
    bool there = e == OK && t.class->check != NULL;
    for (uint32_t number = 0; there && e == OK && !t.unreachable; number++)
        e = check(&t, number, &there, why);
    if (e == OK && options->write && t.failed == 0) e = write_sample(&t, why);
    http_calls_free(t.http);
    writer_free(t.class, t.writer);
    buf_fini(&t.state);
    if (e == OK) *ret_failed = t.failed;
    return e;
}
