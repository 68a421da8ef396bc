/*
 * fetch.c - see fetch.h.
 *
 * A try is one request. Its response is judged as that of a destination is (http_common.h, aws.h).
 * The next try follows at once if something was learnt (the time), once at once with new
 * credentials, otherwise after a pause that grows. A throttled request is repeated until the
 * source's timeout, other failures TRIES_MAX times.
 *
 * Turns are given in order of arrival, however many threads of one session wait. The first thread
 * that finds tokens or keys due fetches them, while others wait.
 *
 * Invariants
 *  1. `reading` is the number of sessions with an open fetch.
 *  2. A session is closed after its fetches, a fetcher after its sessions; then there is no line.
 */
#include "backend/fetch/fetch.h"

#include <assert.h>
#include <stdio.h>

#include "backend/aws/credentials.h"
#include "base/lock.h"

enum {
    TRIES_MAX = 3,
    LEARNT_MAX = 4, /* tries that follow at once after the time was learnt */
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 5000,
    LOOK_MS = 100,
    LEAST_BYTES = 1024, /* within the timeout; a slower server counts as silent */
};

struct waiter {
    struct waiter *next;
};

struct fetcher {
    struct fetcher_options options;
    struct http_calls_target target;

    struct lock lock;    /* LOCK_RANK_SOURCE; guards the rest */
    struct cond changed; /* a waiter left, `reading` fell, or `fetching` became false */
    struct waiter *line; /* for a turn, in order of arrival */
    uint32_t reading;    /* sessions that have a fetch open */
    int64_t free_at_ns;  /* the next request may be sent then */
    bool fetching;       /* one thread owns the identity, without the lock */
    struct aws_identity *identity;
};

struct fetch_session {
    struct fetcher *of;
    struct budget *budget;
    uint32_t open; /* open fetches; guarded by the fetcher's lock */
    _Atomic uint64_t bytes;
};

struct fetch {
    struct fetch_session *session;
    struct query_control *control;
    struct fetch_request request;
    struct http_headers headers; /* with the signature, the texts of the request while it is sent */
    struct identity_signature signature;
    struct http_pull *pull;
    const struct http_call_answer *answer;
    struct writer_step judged;
    bool was_refused; /* credentials */
    int64_t begun_ns; /* when the first try began */
    int64_t sent_ns;  /* when the last try was sent */
};

enum err
fetch_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the query");
}

enum err
fetch_no_request_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

enum err
fetcher_new(const struct fetcher_options *options, struct fetcher **ret_fetcher, struct why *why)
{
    const struct reader_options *r = &options->reader;
    struct fetcher *f = mem_new(r->memory, sizeof *f);
    if (f == NULL) return fetch_no_request_memory(why);
    f->options = *options;
    http_target_init(&f->target, &r->settings->http, r->settings->timeout_ms);
    f->target.timeout_ms = 0; /* a response lasts as long as it is read */
    lock_init(&f->lock, LOCK_RANK_SOURCE);
    cond_init(&f->changed);
    const struct fetch_signing *signing = options->signing;
    const struct identity_options who = {
        .env = r->env,
        .memory = r->memory,
        .name = r->settings->name,
        .http = &r->settings->http,
        .basic_auth = &r->settings->basic_auth,
        .authorization = &r->settings->authorization,
        .oauth2 = &r->settings->oauth2,
        .aws = signing == NULL ? NULL : signing->aws,
        .service = signing == NULL ? NULL : signing->service,
        .is_s3 = signing != NULL && signing->is_s3,
        .target = &f->target,
        .timeout_ms = r->settings->timeout_ms,
    };
    enum err e = identity_new(&who, &f->identity, why);
    if (e)
        fetcher_free(f);
    else
        *ret_fetcher = f;
    return e == ERR_NOMEM ? fetch_no_request_memory(why) : e;
}

void
fetcher_free(struct fetcher *f)
{
    if (f == NULL) return;
    assert(f->reading == 0); /* invariant 2 */
    assert(f->line == NULL); /* invariant 2 */
    identity_free(f->identity);
    cond_fini(&f->changed);
    lock_fini(&f->lock);
    mem_free(f->options.reader.memory, f, sizeof *f);
}

/* --- sessions and turns ----------------------------------------------------------------------- */

enum err
fetch_session_open(struct fetcher *f, struct budget *budget, struct fetch_session **ret_session,
                   struct why *why)
{
    struct fetch_session *s = mem_new(budget, sizeof *s);
    if (s == NULL) return fetch_no_request_memory(why);
    s->of = f;
    s->budget = budget;
    *ret_session = s;
    return OK;
}

void
fetch_session_close(struct fetch_session *s)
{
    if (s == NULL) return;
    assert(s->open == 0); /* invariant 2 */
    mem_free(s->budget, s, sizeof *s);
}

static const struct source_settings *
settings_of(const struct fetcher *f)
{
    return f->options.reader.settings;
}

static struct env *
env_of(const struct fetcher *f)
{
    return f->options.reader.env;
}

/* Waits for a change under the lock, until that time or LOOK_MS at most; then checks the query. */
static enum err
rest_locked(struct fetcher *f, struct query_control *control, int64_t until_ns, struct why *why)
{
    int64_t look_ns = env_monotonic_ns(env_of(f)) + LOOK_MS * NS_PER_MS;
    (void)cond_wait_until(&f->changed, &f->lock, until_ns < look_ns ? until_ns : look_ns);
    lock_drop(&f->lock); /* the check may take any lock */
    enum err e = query_control_check(control, why);
    lock_take(&f->lock);
    return e;
}

static enum err
pause_until(struct fetcher *f, struct query_control *control, int64_t until_ns, struct why *why)
{
    enum err e = OK;
    lock_take(&f->lock);
    while (e == OK && env_monotonic_ns(env_of(f)) < until_ns)
        e = rest_locked(f, control, until_ns, why);
    lock_drop(&f->lock);
    return e;
}

static void
join_line_locked(struct fetcher *f, struct waiter *me)
{
    struct waiter **end = &f->line;
    while (*end != NULL)
        end = &(*end)->next;
    me->next = NULL;
    *end = me;
}

static void
leave_line_locked(struct fetcher *f, const struct waiter *me)
{
    struct waiter **at = &f->line;
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
    if (f->line != NULL) cond_wake_all(&f->changed);
}

static enum err
take_turn(struct fetch_session *s, struct query_control *control, struct why *why)
{
    struct fetcher *f = s->of;
    const struct source_settings *x = settings_of(f);
    int64_t until_ns = env_monotonic_ns(env_of(f)) + x->timeout_ms * NS_PER_MS;
    struct waiter me;
    enum err e = OK;
    lock_take(&f->lock);
    join_line_locked(f, &me);
    while (e == OK && s->open == 0 && (f->reading >= x->max_concurrent || f->line != &me)) {
        if (env_monotonic_ns(env_of(f)) >= until_ns) {
            e = why_set(why, ERR_AGAIN, "%u other queries are reading (max_concurrent)",
                        f->reading);
            trouble_say(why, TROUBLE_LIMIT, e);
        } else {
            e = rest_locked(f, control, until_ns, why);
        }
    }
    leave_line_locked(f, &me);
    if (e == OK && s->open++ == 0) f->reading++;
    lock_drop(&f->lock);
    return e;
}

static void
give_turn(struct fetch_session *s)
{
    struct fetcher *f = s->of;
    lock_take(&f->lock);
    assert(s->open > 0); /* invariant 1 */
    if (--s->open == 0) {
        assert(f->reading > 0); /* invariant 1 */
        f->reading--;
        cond_wake_all(&f->changed);
    }
    lock_drop(&f->lock);
}

/* Requests are spread evenly over a second. */
static enum err
wait_for_rate(struct fetcher *f, struct query_control *control, struct why *why)
{
    const struct source_settings *x = settings_of(f);
    uint32_t rate = x->max_rate_requests;
    if (rate == 0) return OK;
    lock_take(&f->lock);
    int64_t now_ns = env_monotonic_ns(env_of(f));
    int64_t at_ns = f->free_at_ns > now_ns ? f->free_at_ns : now_ns;
    bool too_late = at_ns - now_ns > x->timeout_ms * NS_PER_MS;
    if (!too_late) f->free_at_ns = at_ns + NS_PER_S / rate;
    lock_drop(&f->lock);
    if (!too_late) return pause_until(f, control, at_ns, why);
    enum err e = why_set(why, ERR_AGAIN, "too many other requests are waiting (max_rate)");
    return trouble_say(why, TROUBLE_LIMIT, e);
}

/* --- credentials ------------------------------------------------------------------------------ */

static void
take_step(struct fetcher *f, const struct http_call_answer *answer, struct writer_step *step)
{
    *step = (struct writer_step){.next = WRITER_SEND};
    identity_step(f->identity, answer, step);
}

/* Turns a failed fetch of credentials into an answer, so that the current keys are tried. */
static enum err
fail_answer(enum err e, const struct why *why, struct http_call_answer *ret_answer)
{
    if (e != ERR_IO && e != ERR_AGAIN) return e;
    *ret_answer =
        (struct http_call_answer){.failure = e == ERR_AGAIN ? HTTP_CALL_TIMEOUT : HTTP_CALL_BROKEN};
    snprintf(ret_answer->error, sizeof ret_answer->error, "%.255s", why->text);
    return OK;
}

/* Sends the request of a step. The answer has all of the body, and ends with the buffer. */
static enum err
send_step(struct fetcher *f, const struct writer_step *step, const struct http_patience *patience,
          struct buf *body, struct http_call_answer *ret_answer, struct why *why)
{
    const struct http_call_answer *answer;
    struct http_pull *pull;
    enum err e =
        http_pull_open(f->options.reader.puller, &step->http, f->options.reader.memory, &pull, why);
    if (e) return e;
    buf_clear(body);
    e = http_pull_await(pull, patience, &answer, why);
    if (e == OK) {
        *ret_answer = *answer;
        buf_put_bytes(body, answer->body);
    }
    bool has_more = e == OK && answer->failure == HTTP_CALL_ANSWERED && answer->status < 300;
    while (has_more) {
        struct bytes piece;
        e = http_pull_read(pull, patience, &piece, why);
        has_more = e == OK && piece.size > 0 && body->size < step->http.answer_bytes_max;
        if (e == OK) buf_put_bytes(body, piece);
    }
    http_pull_close(pull);
    if (e) return fail_answer(e, why, ret_answer);
    ret_answer->body = buf_bytes(body);
    return buf_error(body) ? fetch_no_request_memory(why) : OK;
}

static enum err
fetch_credentials(struct fetcher *f, const struct http_patience *patience, struct why *why)
{
    struct writer_step step;
    struct http_call_answer answer;
    struct buf body;
    buf_init_secret(&body, f->options.reader.memory, SIZE_MAX);
    take_step(f, NULL, &step);
    enum err e = OK;
    while (e == OK && step.next == WRITER_SEND) {
        e = send_step(f, &step, patience, &body, &answer, why);
        if (e == OK) take_step(f, &answer, &step);
    }
    buf_fini(&body);
    if (e || step.verdict == VERDICT_DELIVERED) return e;
    bool later = step.verdict == VERDICT_RETRY || step.verdict == VERDICT_THROTTLED;
    return why_set(why, later ? ERR_AGAIN : ERR_IO, "cannot get credentials: %s", step.answer);
}

/* Waits until no other thread fetches credentials. */
static enum err
await_credentials_locked(const struct fetch *x, struct why *why)
{
    struct fetcher *f = x->session->of;
    enum err e = OK;
    while (e == OK && f->fetching)
        e = rest_locked(f, x->control, INT64_MAX, why);
    return e;
}

/* Makes sure that there are credentials, or returns an error. */
static enum err
prepare_locked(struct fetch *x, const struct http_patience *patience, struct why *why)
{
    struct fetcher *f = x->session->of;
    enum err e = await_credentials_locked(x, why);
    if (e || !identity_is_due(f->identity)) return e;
    f->fetching = true;
    lock_drop(&f->lock);
    e = fetch_credentials(f, patience, why);
    lock_take(&f->lock);
    f->fetching = false;
    cond_wake_all(&f->changed);
    return e;
}

/* *ret_known is true if the settings have credentials. */
static enum err
put_headers(struct fetch *x, bool *ret_known, struct why *why)
{
    http_headers_clear(&x->headers);
    for (const char *const *line = x->request.headers; line != NULL && *line != NULL; line++) {
        char name[128];
        size_t size = strcspn(*line, ":");
        size_t begin = size + 1 + strspn(*line + size + 1, " ");
        if (size >= sizeof name) return why_set(why, ERR_LIMIT, "a header's name is too long");
        memcpy(name, *line, size);
        name[size] = '\0';
        http_headers_put(&x->headers, name, bytes_of_text(*line + begin));
    }
    return identity_put_secrets(x->session->of->identity, &x->headers, ret_known, why);
}

/*
 * Makes the call of a try, whose texts live until the next one. Fetches credentials first if they
 * are due, as `patience` allows. ERR_IO: they are missing or refused; ERR_AGAIN: they cannot be
 * fetched now.
 */
static enum err
make_call(struct fetch *x, const struct http_patience *patience, struct http_call *ret_call,
          struct why *why)
{
    struct fetcher *f = x->session->of;
    struct why reason = {""};
    bool is_known = false;
    *ret_call = (struct http_call){.target = &f->target,
                                   .method = x->request.method,
                                   .url = x->request.url,
                                   .body = x->request.body,
                                   .wanted = x->request.wanted};
    /* Secrets may be read from files. */
    enum err e = put_headers(x, &is_known, &reason);
    if (e == OK) {
        lock_take(&f->lock);
        e = prepare_locked(x, patience, &reason);
        if (e == OK) e = identity_put_token(f->identity, is_known, &x->headers);
        if (e == OK) e = http_headers_lines(&x->headers, &ret_call->headers);
        if (e == OK) e = identity_sign(f->identity, ret_call, &x->signature, &reason);
        lock_drop(&f->lock);
    }
    /* The configured headers cannot be sent. */
    if (e == ERR_MISSING || e == ERR_INPUT || e == ERR_LIMIT) e = ERR_IO;
    if (e == OK || reason.text[0] != '\0') return e ? why_set(why, e, "%s", reason.text) : OK;
    return why_set(why, e, "%s",
                   e == ERR_NOMEM ? "not enough memory for a request"
                                  : "cannot send a request with these headers");
}

/* Judges a response as judge() of a writer does. VERDICT_UNPREPARED: the next call fetches
 * credentials, unless another thread has. */
static enum err
judge_answer(struct fetch *x, struct why *why)
{
    struct fetcher *f = x->session->of;
    x->judged = (struct writer_step){.next = WRITER_DONE};
    http_judge(x->answer, &x->judged);
    if (x->answer->failure != HTTP_CALL_ANSWERED || x->judged.verdict == VERDICT_DELIVERED)
        return OK;
    lock_take(&f->lock);
    enum err e = await_credentials_locked(x, why);
    if (e == OK) identity_judge(f->identity, x->signature.generation, x->answer, &x->judged);
    lock_drop(&f->lock);
    return e;
}

/* --- a try ------------------------------------------------------------------------------------ */

static enum err
check_control(void *context, struct why *why)
{
    return query_control_check(((struct fetch *)context)->control, why);
}

static struct http_patience
patience_of(struct fetch *x)
{
    return (struct http_patience){.silence_ms = settings_of(x->session->of)->timeout_ms,
                                  .least_bytes = LEAST_BYTES,
                                  .check = check_control,
                                  .context = x};
}

static void
end_try(struct fetch *x)
{
    http_pull_close(x->pull);
    x->pull = NULL;
    x->answer = NULL;
}

/* Parameters of a URL may be long, or secret. */
static int
address_size(const struct fetch *x)
{
    return (int)strcspn(x->request.url, "?");
}

static enum err
send_try(struct fetch *x, struct why *why)
{
    struct fetcher *f = x->session->of;
    struct http_patience patience = patience_of(x);
    struct http_call call;
    end_try(x);
    enum err e = wait_for_rate(f, x->control, why);
    if (e == OK) {
        e = make_call(x, &patience, &call, why);
        if (e == ERR_IO) trouble_say(why, TROUBLE_CREDENTIALS, e);
    }
    if (e == OK)
        e = http_pull_open(f->options.reader.puller, &call, x->session->budget, &x->pull, why);
    x->sent_ns = env_monotonic_ns(env_of(f));
    return e;
}

/* Waits for a response or a failure; a failure counts as an answer. */
static enum err
await_try(struct fetch *x, struct why *why)
{
    struct fetcher *f = x->session->of;
    struct source_counts *counts = f->options.reader.counts;
    struct http_patience patience = patience_of(x);
    enum err e = http_pull_await(x->pull, &patience, &x->answer, why);
    uint64_t took_ns = (uint64_t)(env_monotonic_ns(env_of(f)) - x->sent_ns);
    atomic_fetch_add_explicit(&counts->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&counts->requests_ns, took_ns, memory_order_relaxed);
    if (e == ERR_AGAIN) trouble_say(why, TROUBLE_TIMEOUT, e);
    return e ? why_prefix(why, e, "%.*s", address_size(x), x->request.url) : OK;
}

/* The kind of trouble that a status or a failure is, for people and for metrics. */
static enum trouble
trouble_with(const struct fetch *x)
{
    static const enum trouble of_failure[] = {
        [HTTP_CALL_BAD_URL] = TROUBLE_CONNECT, [HTTP_CALL_RESOLVE] = TROUBLE_CONNECT,
        [HTTP_CALL_CONNECT] = TROUBLE_CONNECT, [HTTP_CALL_PROXY] = TROUBLE_CONNECT,
        [HTTP_CALL_TLS] = TROUBLE_TLS,         [HTTP_CALL_TIMEOUT] = TROUBLE_TIMEOUT,
        [HTTP_CALL_BROKEN] = TROUBLE_BROKEN,   [HTTP_CALL_NO_MEMORY] = TROUBLE_CONNECT,
        [HTTP_CALL_NO_TLS] = TROUBLE_TLS,
    };
    const struct http_call_answer *a = x->answer;
    if (a->failure != HTTP_CALL_ANSWERED) return of_failure[a->failure];
    if (x->judged.verdict == VERDICT_THROTTLED) return TROUBLE_THROTTLED;
    if (a->status == 401 || a->status == 403 || a->status == 407) return TROUBLE_CREDENTIALS;
    if (a->status < 500) return TROUBLE_REFUSED;
    /* Only more than the status makes it one of these verdicts. */
    if (x->judged.verdict == VERDICT_BLOCKED) return TROUBLE_CREDENTIALS;
    return x->judged.verdict == VERDICT_DEAD ? TROUBLE_REFUSED : TROUBLE_SERVER;
}

static enum err
say_why(const struct fetch *x, struct why *why)
{
    const struct http_call_answer *a = x->answer;
    bool later = x->judged.verdict == VERDICT_RETRY || x->judged.verdict == VERDICT_THROTTLED ||
                 x->judged.verdict == VERDICT_AGAIN;
    enum err e = later ? ERR_AGAIN : ERR_IO;
    if (a->failure == HTTP_CALL_NO_MEMORY) e = ERR_NOMEM;
    if (a->failure != HTTP_CALL_ANSWERED) {
        why_set(why, e, "%.*s: %s", address_size(x), x->request.url, a->error);
    } else {
        why_set(why, e, "%.*s: status %u: %s", address_size(x), x->request.url, a->status,
                x->judged.answer);
    }
    return trouble_say(why, trouble_with(x), e);
}

/* The time of the next try; 0 if there is none. */
static int64_t
next_try_ns(struct fetch *x, uint32_t tries, uint32_t *learnt)
{
    struct fetcher *f = x->session->of;
    const struct http_call_answer *a = x->answer;
    int64_t now_ns = env_monotonic_ns(env_of(f)), pause_ms = PAUSE_MIN_MS;
    int64_t until_ns = x->begun_ns + settings_of(f)->timeout_ms * NS_PER_MS;
    switch (x->judged.verdict) {
    case VERDICT_AGAIN:
        return ++*learnt <= LEARNT_MAX ? now_ns : 0;
    case VERDICT_UNPREPARED:
        if (x->was_refused) return 0;
        x->was_refused = true;
        return now_ns;
    case VERDICT_RETRY:
        if (tries >= TRIES_MAX) return 0;
        if (a->failure == HTTP_CALL_ANSWERED && x->request.is_final != NULL &&
            x->request.is_final(a))
            return 0;
        break;
    case VERDICT_THROTTLED:
        break;
    default:
        return 0;
    }
    for (uint32_t i = 1; i < tries && pause_ms < PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    int64_t wait_ns = a->retry_after_ns > 0 ? a->retry_after_ns : pause_ms * NS_PER_MS;
    return now_ns + wait_ns < until_ns ? now_ns + wait_ns : 0;
}

/* --- a fetch ---------------------------------------------------------------------------------- */

static void
free_fetch(struct fetch *x)
{
    http_headers_fini(&x->headers);
    identity_signature_fini(&x->signature);
    mem_free(x->session->budget, x, sizeof *x);
}

enum err
fetch_open(struct fetch_session *s, struct query_control *control,
           const struct fetch_request *request, struct fetch **ret_fetch, struct why *why)
{
    struct fetch *x = mem_new(s->budget, sizeof *x);
    if (x == NULL) return fetch_no_request_memory(why);
    x->session = s;
    x->control = control;
    x->request = *request;
    http_headers_init(&x->headers, s->budget);
    identity_signature_init(&x->signature, s->budget);
    enum err e = take_turn(s, control, why);
    if (e) {
        free_fetch(x);
        return e;
    }
    x->begun_ns = env_monotonic_ns(env_of(s->of));
    e = send_try(x, why);
    if (e)
        fetch_close(x);
    else
        *ret_fetch = x;
    return e;
}

enum err
fetch_await(struct fetch *x, const struct http_call_answer **ret_answer, struct why *why)
{
    struct fetcher *f = x->session->of;
    uint32_t learnt = 0;
    for (uint32_t tries = 1;; tries++) {
        enum err e = await_try(x, why);
        if (e) return e;
        e = judge_answer(x, why);
        if (e) return e;
        if (x->judged.verdict == VERDICT_DELIVERED) break;
        bool is_answer = x->answer->failure == HTTP_CALL_ANSWERED;
        if (is_answer && x->request.judge != NULL) x->request.judge(x->answer, &x->judged);
        if (x->judged.verdict == VERDICT_DELIVERED) break;
        int64_t next_ns = next_try_ns(x, tries, &learnt);
        if (next_ns == 0) break;
        atomic_fetch_add_explicit(&f->options.reader.counts->repeats, 1, memory_order_relaxed);
        e = pause_until(f, x->control, next_ns, why);
        if (e) return e;
        unsigned status = x->answer->status;
        bool refused = x->judged.verdict == VERDICT_UNPREPARED;
        e = send_try(x, why);
        /* The reason of the service is better than that of the next try. */
        if (e == ERR_IO && refused) {
            why_prefix(why, e, "%.*s: status %u: %s", address_size(x), x->request.url, status,
                       x->judged.answer);
        }
        if (e) return e;
    }
    if (x->answer->failure != HTTP_CALL_ANSWERED) return say_why(x, why);
    *ret_answer = x->answer;
    return OK;
}

enum err
fetch_expect_ok(struct fetch *x, struct why *why)
{
    return x->judged.verdict == VERDICT_DELIVERED ? OK : say_why(x, why);
}

enum err
fetch_failed(struct fetch *x, enum err e, struct why *why)
{
    return why_prefix(why, e, "%.*s", address_size(x), x->request.url);
}

static enum err
read_piece(struct fetch *x, bool fills, struct bytes *ret_piece, struct why *why)
{
    struct fetcher *f = x->session->of;
    struct http_patience patience = patience_of(x);
    patience.fills = fills;
    uint64_t max = settings_of(f)->max_bytes;
    /* http_pull_read() checks the query only while it waits: without this, a response that never
     * ends would be read after the query timed out or its client disconnected. */
    *ret_piece = bytes_of(NULL, 0);
    enum err e = query_control_check(x->control, why);
    if (e) return e;
    e = http_pull_read(x->pull, &patience, ret_piece, why);
    if (e == ERR_AGAIN || e == ERR_IO) {
        trouble_say(why, e == ERR_AGAIN ? TROUBLE_TIMEOUT : TROUBLE_BROKEN, e);
        return why_prefix(why, ERR_AGAIN, "%.*s", address_size(x), x->request.url);
    }
    if (e) return e;
    uint64_t size = ret_piece->size;
    uint64_t before = atomic_fetch_add_explicit(&x->session->bytes, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->options.reader.counts->bytes, size, memory_order_relaxed);
    if (max == 0 || before + size <= max) return query_control_add_bytes(x->control, size, why);
    return why_set(why, ERR_LIMIT, "the query reads more than %llu bytes (max_bytes)",
                   (unsigned long long)max);
}

enum err
fetch_read(struct fetch *x, struct bytes *ret_piece, struct why *why)
{
    return read_piece(x, false, ret_piece, why);
}

enum err
fetch_read_all(struct fetch *x, struct buf *to, struct why *why)
{
    for (;;) {
        struct bytes piece;
        enum err e = read_piece(x, true, &piece, why);
        if (e || piece.size == 0) return e;
        buf_put_bytes(to, piece);
        e = buf_error(to);
        if (e == ERR_LIMIT) { /* `to` has room for every valid response */
            why_set(why, ERR_CORRUPT, "the response is too large");
            return fetch_failed(x, ERR_CORRUPT, why);
        }
        if (e) {
            return why_set(why, e, "%.*s: not enough memory for the response", address_size(x),
                           x->request.url);
        }
    }
}

void
fetch_close(struct fetch *x)
{
    if (x == NULL) return;
    end_try(x);
    give_turn(x->session);
    free_fetch(x);
}
