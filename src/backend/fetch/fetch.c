/*
 * fetch.c - see fetch.h.
 *
 * A try is one request. Its response is judged as that of a destination is (http_common.h, aws.h).
 * The next try follows at once if something was learnt (the time), once at once with new
 * credentials, otherwise after a pause that grows. A throttled request is repeated until the
 * source's timeout, other failures TRIES_MAX times.
 *
 * Turns are given in order of arrival, however many threads of one session wait.
 *
 * Invariants
 *  1. `reading` is the number of sessions with an open fetch.
 *  2. A session is closed after its fetches, a fetcher after its sessions; then there is no line.
 */
#include "backend/fetch/fetch.h"

#include <assert.h>
#include <stdio.h>

#include "backend/fetch/signer.h"
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
    struct signer *signer;

    struct lock lock;    /* LOCK_RANK_SOURCE; guards the rest */
    struct cond left;    /* a session closed its last fetch, or a waiter left */
    struct waiter *line; /* for a turn, in order of arrival */
    uint32_t reading;    /* sessions that have a fetch open */
    int64_t free_at_ns;  /* the next request may be sent then */
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
    struct signed_request sent;
    struct http_pull *pull;
    const struct http_call_answer *answer;
    struct writer_step judged;
    bool was_refused; /* credentials */
    int64_t begun_ns; /* when the first try began */
    int64_t sent_ns;  /* when the last try was sent */
};

static enum err
no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for a request");
}

enum err
fetcher_new(const struct fetcher_options *options, struct fetcher **ret_fetcher, struct why *why)
{
    const struct reader_options *r = &options->reader;
    struct fetcher *f = mem_new(r->memory, sizeof *f);
    if (f == NULL) return no_memory(why);
    f->options = *options;
    http_target_init(&f->target, &r->settings->http, r->settings->timeout_ms);
    f->target.timeout_ms = 0; /* a response lasts as long as it is read */
    lock_init(&f->lock, LOCK_RANK_SOURCE);
    cond_init(&f->left);
    enum err e = signer_new(r, options->signing, &f->target, &f->signer, why);
    if (e)
        fetcher_free(f);
    else
        *ret_fetcher = f;
    return e;
}

void
fetcher_free(struct fetcher *f)
{
    if (f == NULL) return;
    assert(f->reading == 0); /* invariant 2 */
    assert(f->line == NULL); /* invariant 2 */
    signer_free(f->signer);
    cond_fini(&f->left);
    lock_fini(&f->lock);
    mem_free(f->options.reader.memory, f, sizeof *f);
}

/* --- sessions and turns ----------------------------------------------------------------------- */

enum err
fetch_session_open(struct fetcher *f, struct budget *budget, struct fetch_session **ret_session,
                   struct why *why)
{
    struct fetch_session *s = mem_new(budget, sizeof *s);
    if (s == NULL) return no_memory(why);
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
    (void)cond_wait_until(&f->left, &f->lock, until_ns < look_ns ? until_ns : look_ns);
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
    while (e == OK && env_monotonic_ns(env_of(f)) < until_ns) {
        e = rest_locked(f, control, until_ns, why);
    }
    lock_drop(&f->lock);
    return e;
}

static void
join_line_locked(struct fetcher *f, struct waiter *me)
{
    struct waiter **end = &f->line;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    me->next = NULL;
    *end = me;
}

static void
leave_line_locked(struct fetcher *f, const struct waiter *me)
{
    struct waiter **at = &f->line;
    while (*at != me) {
        at = &(*at)->next;
    }
    *at = me->next;
    if (f->line != NULL) cond_wake_all(&f->left);
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
        cond_wake_all(&f->left);
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
        e = signer_make(f->signer, &x->request, &patience, &x->sent, &call, why);
        if (e == ERR_IO) trouble_say(why, TROUBLE_CREDENTIALS, e);
    }
    if (e == OK) {
        e = http_pull_open(f->options.reader.puller, &call, x->session->budget, &x->pull, why);
    }
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
            x->request.is_final(a)) {
            return 0;
        }
        break;
    case VERDICT_THROTTLED:
        break;
    default:
        return 0;
    }
    for (uint32_t i = 1; i < tries && pause_ms < PAUSE_MAX_MS; i++) {
        pause_ms *= 2;
    }
    int64_t wait_ns = a->retry_after_ns > 0 ? a->retry_after_ns : pause_ms * NS_PER_MS;
    return now_ns + wait_ns < until_ns ? now_ns + wait_ns : 0;
}

/* --- a fetch ---------------------------------------------------------------------------------- */

enum err
fetch_open(struct fetch_session *s, struct query_control *control,
           const struct fetch_request *request, struct fetch **ret_fetch, struct why *why)
{
    struct fetch *x = mem_new(s->budget, sizeof *x);
    if (x == NULL) return no_memory(why);
    x->session = s;
    x->control = control;
    x->request = *request;
    signed_request_init(&x->sent, s->budget);
    enum err e = take_turn(s, control, why);
    if (e) {
        signed_request_fini(&x->sent);
        mem_free(s->budget, x, sizeof *x);
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
        struct http_patience patience = patience_of(x);
        e = signer_judge(f->signer, &x->sent, &patience, x->answer, &x->judged, why);
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
        /* The reason of the service is better than that of the signer. */
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
    signed_request_fini(&x->sent);
    give_turn(x->session);
    mem_free(x->session->budget, x, sizeof *x);
}
