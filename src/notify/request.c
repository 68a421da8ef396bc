/*
 * request.c - a request to a member, from its queue to the verdict on its answer. The invariants
 * are those of notify_private.h.
 */
#include "notify/notify_private.h"

#include <assert.h>
#include <stdio.h>

#include "backend/common/http_common.h"

enum { BODY_BYTES_MAX = MEMBER_BODY_BYTES_MAX + ENCODED_ALERT_BYTES_MAX };

/* Headers of an answer; the first is for signed requests. */
enum wanted { WANTED_ERROR_TYPE, WANTED_LOCATION };
static const char *const WANTED[] = {"x-amzn-ErrorType", "Location", NULL};
static const struct named_text HEADERS[] = {{"Content-Type", "application/json"}};

static void
request_free(struct request *r)
{
    struct request **at = &r->notifier->requests;
    assert(!r->call.is_pending);
    while (*at != r) {
        assert(*at != NULL); /* invariant 2 */
        at = &(*at)->next;
    }
    *at = r->next;
    alertmanager_unref(r->of);
    buf_fini(&r->body);
    mem_free(r->notifier->memory, r, sizeof *r);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Translates the verdict on an answer into the outcome for the member. */
static enum member_verdict
member_verdict_of(enum writer_verdict verdict)
{
    switch (verdict) {
    case VERDICT_DELIVERED:
        return MEMBER_DELIVERED;
    case VERDICT_DEAD:
    case VERDICT_SOME_DEAD:
    case VERDICT_DEAD_CALL:
    case VERDICT_TOO_LARGE:
        return MEMBER_REFUSED;
    case VERDICT_AGAIN:
    case VERDICT_UNPREPARED:
        return MEMBER_AGAIN;
    default:
        return MEMBER_LATER;
    }
}

static void
log_news(struct notifier *n, const char *url, enum member_news news, const char *alert,
         int64_t failing_ns, const struct writer_step *step)
{
    uint64_t held_back = 0;
    switch (news) {
    case MEMBER_FAILS:
        log_warn("notify: cannot send alerts to Alertmanager, retrying", KV("alertmanager", url),
                 KV("reason", step->reason), KV("error", step->answer));
        break;
    case MEMBER_IS_BACK:
        log_info("notify: Alertmanager accepts alerts again", KV("alertmanager", url),
                 KV("failed_for_s", failing_ns / NS_PER_S));
        break;
    case MEMBER_DROPPED_ONE:
        if (!log_often(&n->refused_gate, env_monotonic_ns(n->env), NOTIFY_LOG_AGAIN_S * NS_PER_S,
                       &held_back))
            break;
        log_warn("notify: alert refused by Alertmanager, dropped", KV("alertmanager", url),
                 KV("alert", alert), KV("reason", step->reason), KV("error", step->answer),
                 KV("more_held_back", held_back));
        break;
    case MEMBER_NO_NEWS:
        break;
    }
}

/* Ends a request with its verdict. `ahead_s`: by how many seconds the member's clock is ahead, or
 * behind if negative; 0 if the answer has no date. */
static void
request_settle(struct request *r, const struct writer_step *step, int64_t ahead_s)
{
    struct notifier *n = r->notifier;
    struct member *m = r->member;
    char alert[LOG_VALUE_BYTES_MAX] = "", url[LOG_VALUE_BYTES_MAX] = "";
    enum member_verdict verdict = member_verdict_of(step->verdict);
    enum member_news news = MEMBER_NO_NEWS;
    int64_t now_ns = env_monotonic_ns(n->env), failing_ns = 0;
    bool is_apart = ahead_s > NOTIFY_CLOCKS_APART_S || ahead_s < -NOTIFY_CLOCKS_APART_S;
    uint64_t held_back;
    lock_take(&n->lock);
    if (m->state == MEMBER_GONE) {
        member_free(m);
    } else {
        assert(m->state == MEMBER_SENDING); /* invariant 2 */
        snprintf(url, sizeof url, "%s", m->url);
        if (verdict == MEMBER_REFUSED) {
            struct buf text;
            buf_init(&text, NULL, ENCODED_ALERT_BYTES_MAX);
            labels_print(&text, encoded_alert_labels(queue_taken(&m->queue)));
            snprintf(alert, sizeof alert, "%.*s", (int)text.size, (const char *)text.at);
            buf_fini(&text);
        }
        failing_ns = now_ns - m->failing_since_ns;
        if (r->was_sent) metric_record(&m->latency, (uint64_t)(now_ns - r->began_ns));
        news = member_settle(m, verdict, step->wait_ms, now_ns);
        /* Limits lines about a member that fails and recovers repeatedly. If the line about a
         * failure is suppressed, so is the line about its end. */
        if (news == MEMBER_FAILS)
            m->has_failure_line =
                log_often(&m->gate, now_ns, NOTIFY_LOG_AGAIN_S * NS_PER_S, &held_back);
        bool is_line = news == MEMBER_FAILS || news == MEMBER_IS_BACK;
        if (is_line && !m->has_failure_line) news = MEMBER_NO_NEWS;
        is_apart = is_apart &&
                   log_often(&m->clock_gate, now_ns, NOTIFY_CLOCKS_AGAIN_S * NS_PER_S, &held_back);
    }
    lock_drop(&n->lock);
    log_news(n, url, news, alert, failing_ns, step);
    /* Requests succeed nevertheless, but a member whose clock is five minutes ahead treats
     * firing alerts as resolved, and sends no notifications. */
    if (is_apart && url[0] != '\0') {
        log_warn(
            "notify: the clock of Alertmanager differs from ours, it treats alerts as resolved "
            "too early or too late",
            KV("alertmanager", url), KV("ahead_s", ahead_s));
    }
    request_free(r);
}

/* Names the settings to correct: members have no `url`, which the common texts name. */
static void
name_settings(const struct http_call_answer *answer, struct writer_step *step)
{
    static const char settings[] = "scheme, path_prefix and targets";
    if (answer->failure != HTTP_CALL_ANSWERED) return;
    bool is_refused = step->verdict == VERDICT_SOME_DEAD || step->verdict == VERDICT_DEAD_CALL;
    if (is_refused && http_is_page(answer->body)) /* not from an Alertmanager */
        step_done(step, VERDICT_BLOCKED, "web_page", "");
    if (strcmp(step->reason, "web_page") == 0) {
        snprintf(step->answer, sizeof step->answer,
                 "got a web page instead of an API response: check %s", settings);
    } else if (answer->status >= 300 && answer->status < 400) {
        char to[HTTP_CALLS_WANTED_BYTES];
        /* The target, without user, password and query, which may be secret. */
        const char *location = answer->wanted[WANTED_LOCATION];
        size_t end = strcspn(location, "?#");
        const char *host = memmem(location, end, "//", 2);
        size_t begin = host == NULL ? 0 : (size_t)(host - location) + 2;
        const char *at = host == NULL ? NULL : memrchr(location + begin, '@', end - begin);
        const char *rest = at == NULL ? location + begin : at + 1;
        snprintf(to, sizeof to, "%.*s%.*s", (int)begin, location, (int)(location + end - rest),
                 rest);
        snprintf(step->answer, sizeof step->answer,
                 "got a redirect%s%s, which is not followed: make %s those of its target",
                 to[0] == '\0' ? "" : " to ", to, settings);
    }
}

static void
request_answered(struct outside_call *call, const struct http_call_answer *answer)
{
    struct request *r = (struct request *)call;
    struct writer_step step = {.next = WRITER_DONE};
    access_judge(r->of->access, r->generation, answer, &step);
    name_settings(answer, &step);
    r->notifier->did_something = true;
    /* The answer was made between the beginning of the request and now. Our clock may have been set
     * since, or the machine slept, so both readings of it are considered. */
    struct env *env = r->notifier->env;
    int64_t took_s = (env_monotonic_ns(env) - r->began_ns) / NS_PER_S, date_s = answer->date_s;
    int64_t first_s = r->began_s, last_s = env_realtime_ms(env) / 1000, ahead_s = 0;
    if (last_s - took_s < first_s) first_s = last_s - took_s;
    if (r->began_s + took_s > last_s) last_s = r->began_s + took_s;
    if (date_s != 0 && date_s > last_s) ahead_s = date_s - last_s;
    if (date_s != 0 && date_s < first_s) ahead_s = date_s - first_s;
    request_settle(r, &step, ahead_s);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Makes a request with the first alerts of a member's queue. NULL: they have expired, or there is
 * not enough memory. */
static struct request *
request_begin_locked(struct notifier *n, const struct notify_config *config,
                     struct alertmanager *of, struct member *member, int64_t now_ns)
{
    assert(lock_is_mine(&n->lock));
    struct request *r = mem_new(n->memory, sizeof *r);
    if (r == NULL) {
        member->pause.until_ns = now_ns + PAUSE_MIN_MS * NS_PER_MS;
        return NULL;
    }
    *r = (struct request){.call = {.answered = request_answered},
                          .next = n->requests,
                          .notifier = n,
                          .member = member};
    r->of = alertmanager_ref(of);
    n->requests = r;
    buf_init(&r->body, n->memory, BODY_BYTES_MAX);
    member->pause.max_ms = config->limits.pause_max_ms;
    bool is_begun =
        member_take(member, config->limits.batch_size, now_ns, env_realtime_ms(n->env), &r->body);
    if (is_begun) return r;
    request_free(r);
    return NULL;
}

/* Makes a request for the next member that is due now. NULL: none is due before *ret_due_ns. */
static struct request *
next_request(struct notifier *n, const struct notify_config *config, struct alertmanager *of,
             int64_t now_ns, int64_t *ret_due_ns)
{
    struct request *r = NULL;
    *ret_due_ns = INT64_MAX;
    lock_take(&n->lock);
    for (uint32_t i = 0; i < of->members.count && r == NULL; i++) {
        struct member *member = of->members.items[i];
        if (member_due_ns(member) <= now_ns)
            r = request_begin_locked(n, config, of, member, now_ns);
        int64_t due_ns = member_due_ns(member);
        if (due_ns < *ret_due_ns) *ret_due_ns = due_ns;
    }
    lock_drop(&n->lock);
    return r;
}

int64_t
requests_begin(struct notifier *n, struct notify_config *config, struct alertmanager *of)
{
    int64_t now_ns = env_monotonic_ns(n->env);
    int64_t due_ns;
    struct request *none = next_request(n, config, of, INT64_MIN, &due_ns);
    assert(none == NULL);
    if (due_ns > now_ns) return due_ns;
    if (!access_is_ready(of->access)) {
        due_ns = access_step(of->access);
        if (!access_is_ready(of->access)) return due_ns;
    }
    for (struct request *r; (r = next_request(n, config, of, now_ns, &due_ns)) != NULL;) {
        n->did_something = true;
        struct writer_step step = {.next = WRITER_DONE};
        struct why why = {""};
        const struct access_request request = {
            .method = "POST",
            .url = r->member->url,
            .headers = HEADERS,
            .header_count = 1,
            .body = buf_bytes(&r->body),
            .wanted = WANTED,
            .answer_bytes_max = NOTIFY_ANSWER_BYTES_MAX,
        };
        r->began_ns = env_monotonic_ns(n->env);
        r->began_s = env_realtime_ms(n->env) / 1000;
        enum err e = access_send(of->access, &request, &r->call, &r->generation, &why);
        r->was_sent = e == OK;
        if (e == OK) continue;
        http_judge_unmade(e, &why, &step);
        request_settle(r, &step, 0);
    }
    return due_ns;
}

void
requests_give_up(struct notifier *n, bool all)
{
    for (struct request *r = n->requests, *next; r != NULL; r = next) {
        next = r->next;
        lock_take(&n->lock);
        bool is_gone = r->member->state == MEMBER_GONE;
        assert(is_gone || r->member->state == MEMBER_SENDING); /* invariant 2 */
        lock_drop(&n->lock);
        if (!is_gone && !all) continue;
        outside_give_up(n->outside, &r->call);
        if (is_gone) member_free(r->member);
        request_free(r);
    }
}
