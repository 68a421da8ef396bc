/*
 * discovery_http.c - members that a server lists. Source: Prometheus' documentation, "HTTP SD
 * requirements". A failed look changes nothing, and the next one follows after the usual interval.
 */
#include "notify/discovery/discovery.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#include "base/log.h"
#include "notify/outside/outside.h"

enum { TIMEOUT_MS = 30 * 1000, HTTP_REFRESH_MS = 60 * 1000 };

static const char *const WANTED[] = {"Content-Type", NULL};

struct http_discovery {
    struct outside_call call; /* first: list_answered() casts it */
    struct discovery base;
    const struct http_members *settings;
    struct access *access;
    uint32_t generation;
    struct targets targets;
    char interval[32]; /* in seconds, as it is sent to the server */
    int64_t next_ns;   /* time of the next request, on the monotonic clock */
    bool was_refused;  /* credentials were fetched again for this look, which happens once */
    bool has_failed;   /* the last look failed, and the log has a line about it */
};

static struct http_discovery *
http_of(struct discovery *discovery)
{
    return (struct http_discovery *)((uint8_t *)discovery - offsetof(struct http_discovery, base));
}

static void
http_stop(struct discovery *discovery)
{
    struct http_discovery *h = http_of(discovery);
    outside_give_up(h->base.options.outside, &h->call);
    access_stop(h->access);
}

static void
http_free(struct discovery *discovery)
{
    struct http_discovery *h = http_of(discovery);
    assert(!h->call.is_pending); /* stopped before */
    access_free(h->access);
    targets_fini(&h->targets);
    mem_free(h->base.options.memory, h, sizeof *h);
}

static void
http_each(const struct discovery *discovery,
          void (*take)(void *context, const struct targets *targets), void *context)
{
    const uint8_t *at = (const uint8_t *)discovery - offsetof(struct http_discovery, base);
    take(context, &((const struct http_discovery *)at)->targets);
}

/* --- answers ---------------------------------------------------------------------------------- */

static int64_t
refresh_ms(const struct http_discovery *h)
{
    return h->settings->refresh_ms > 0 ? h->settings->refresh_ms : HTTP_REFRESH_MS;
}

/* Schedules the next look. */
static void
wait_for_next(struct http_discovery *h)
{
    h->was_refused = false;
    h->next_ns = env_monotonic_ns(h->base.options.env) + refresh_ms(h) * NS_PER_MS;
}

static void
note_failed(struct http_discovery *h, const char *error)
{
    if (!h->has_failed) {
        log_warn("notify: cannot get targets from server, keeping the previous targets",
                 KV("url", h->settings->url), KV("error", error));
    }
    h->has_failed = true;
    wait_for_next(h);
}

/* Says whether the type is application/json, with or without charset UTF-8. */
static bool
is_json(const char *type)
{
    static const char json[] = "application/json";
    type += strspn(type, " \t");
    if (strncasecmp(type, json, sizeof json - 1) != 0) return false;
    type += sizeof json - 1;
    size_t size = strlen(type);
    while (size > 0 && (type[size - 1] == ' ' || type[size - 1] == '\t'))
        size--;
    if (size == 0) return true;
    if (*type != ';') return false;
    size_t blanks = 1 + strspn(type + 1, " \t");
    struct bytes charset = bytes_of(type + blanks, size - blanks);
    static const char *const charsets[] = {"charset=utf-8", "charset=\"utf-8\""};
    for (unsigned i = 0; i < 2; i++)
        if (charset.size == strlen(charsets[i]) &&
            strncasecmp((const char *)charset.at, charsets[i], charset.size) == 0)
            return true;
    return false;
}

static enum err
take_list(struct http_discovery *h, const struct http_call_answer *answer, struct why *why)
{
    const struct label meta = {bytes_of_text("__meta_url"), bytes_of_text(h->settings->url)};
    struct targets found;
    if (answer->status != 200)
        return why_set(why, ERR_INPUT, "expected HTTP status 200, got %u", answer->status);
    if (!is_json(answer->wanted[0])) {
        return why_set(why, ERR_INPUT, "expected Content-Type application/json, got '%.100s'",
                       answer->wanted[0]);
    }
    if (answer->body_cut) {
        return why_set(why, ERR_LIMIT, "the response must be at most %d MiB",
                       TARGETS_TEXT_BYTES_MAX >> 20);
    }
    targets_init(&found, h->base.options.memory);
    enum err e = target_groups_json("response", answer->body, meta, &found, why);
    return discovery_found(&h->base, &h->targets, &found, e);
}

static void
list_answered(struct outside_call *call, const struct http_call_answer *answer)
{
    struct http_discovery *h = (struct http_discovery *)call;
    struct writer_step step;
    struct why why = {""};
    access_judge(h->access, h->generation, answer, &step);
    bool is_refused = step.verdict == VERDICT_UNPREPARED || step.verdict == VERDICT_AGAIN;
    if (is_refused && !h->was_refused) {
        h->was_refused = true;
        return; /* the next step retries at once */
    }
    if (answer->failure != HTTP_CALL_ANSWERED) {
        note_failed(h, step.answer);
        return;
    }
    enum err e = take_list(h, answer, &why);
    if (e) {
        note_failed(h, why_text(&why, e));
        return;
    }
    if (h->has_failed)
        log_info("notify: got targets from server again", KV("url", h->settings->url));
    h->has_failed = false;
    wait_for_next(h);
}

/* --- requests --------------------------------------------------------------------------------- */

static void
http_step(struct discovery *discovery)
{
    struct http_discovery *h = http_of(discovery);
    h->base.due_ns = INT64_MAX;
    if (h->call.is_pending) return;
    if (env_monotonic_ns(h->base.options.env) >= h->next_ns) {
        int64_t ready_ns = access_is_ready(h->access) ? 0 : access_step(h->access);
        if (access_is_ready(h->access)) {
            struct why why = {""};
            const struct named_text headers[] = {
                {"Accept", "application/json"},
                {"X-Prometheus-Refresh-Interval-Seconds", h->interval},
            };
            const struct access_request request = {
                .method = "GET",
                .url = h->settings->url,
                .headers = headers,
                .header_count = 2,
                .wanted = WANTED,
                .answer_bytes_max = TARGETS_TEXT_BYTES_MAX,
            };
            enum err e = access_send(h->access, &request, &h->call, &h->generation, &why);
            if (e) note_failed(h, why_text(&why, e));
        } else {
            h->base.due_ns = ready_ns;
        }
        if (!access_is_ready(h->access) || h->call.is_pending) return;
    }
    h->base.due_ns = h->next_ns;
}

enum err
discovery_http_new(const struct outside_context *options, const struct http_members *settings,
                   struct discovery **ret_discovery, struct why *why)
{
    static const struct discovery_class class = {
        .step = http_step, .stop = http_stop, .free = http_free, .each = http_each};
    const struct access_options access = {
        .what = "http_sd_configs",
        .http = &settings->http,
        .basic_auth = &settings->basic_auth,
        .authorization = &settings->authorization,
        .oauth2 = &settings->oauth2,
        .timeout_ms = TIMEOUT_MS,
    };
    struct http_discovery *h = mem_new(options->memory, sizeof *h);
    if (h == NULL) return ERR_NOMEM;
    h->base = (struct discovery){.class = &class, .options = *options};
    h->call.answered = list_answered;
    h->settings = settings;
    targets_init(&h->targets, options->memory);
    snprintf(h->interval, sizeof h->interval, "%.15g", (double)refresh_ms(h) / 1000);
    enum err e = access_new(options, &access, &h->access, why);
    if (e)
        http_free(&h->base);
    else
        *ret_discovery = &h->base;
    return e;
}
