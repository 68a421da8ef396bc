/*
 * http_pull.c - a thread between libcurl and those who read.
 *
 * What a reader wants of the thread (begin, go on, give up) is a flag of its pull, which stands in
 * the puller's list of wishes meanwhile. What comes is put into the pull's `coming`, which the
 * reader exchanges for the piece it has read. Only the thread calls http_calls.
 */
#include "net/http_pull.h"

#include <stdio.h>

#include "base/lock.h"

enum { POLL_MS = 1000, LOOK_MS = 100 };

struct http_pull {
    struct http_puller *of; /* immutable, as the next two */
    struct http_call call;
    struct budget *budget;

    /* The reader's: what it was given. */
    struct http_call_answer shown;
    struct buf piece;

    /* Guarded by the puller's lock. */
    struct http_pull *next; /* in the list of wishes */
    bool wishes;            /* it is there, for: */
    bool begins, resumes, gives_up;
    bool under_way; /* the thread knows it */
    bool answered;
    bool ended;
    bool is_full; /* the transfer rests */
    enum err failed;
    struct http_call_answer answer;
    struct buf refusal;
    struct buf coming;
    size_t enough; /* its reader is woken when so much has come */
    /* Since enough came to go on waiting: how long its reader waited, how little came, and how much
     * of `coming` is counted in that. */
    int64_t waited_ns;
    size_t little_bytes, noted_bytes;
    struct cond news;
};

struct http_puller {
    struct env *env;
    struct http_calls *calls; /* the thread's, but http_calls_wake() */
    struct env_thread *thread;
    struct lock lock; /* LOCK_RANK_HTTP */
    struct http_pull *wishes;
    bool stops;
};

static bool
is_readable(const struct http_pull *p)
{
    return p->coming.size >= p->enough || p->is_full || p->ended || p->failed != OK;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
on_begun(void *context, const struct http_call_answer *answer)
{
    struct http_pull *p = context;
    if (answer->status >= 300) return; /* it is whole when it has ended */
    lock_take(&p->of->lock);
    p->answer = *answer;
    p->answered = true;
    cond_wake_all(&p->news);
    lock_drop(&p->of->lock);
}

static bool
on_piece(void *context, struct bytes piece)
{
    struct http_pull *p = context;
    lock_take(&p->of->lock);
    p->is_full = p->coming.size > 0 && p->coming.size + piece.size > HTTP_PULL_WINDOW_BYTES;
    if (!p->is_full && p->failed == OK) {
        /* What comes in one piece is mostly small; what does not is as large as may be. */
        if (p->coming.size > 0)
            (void)buf_reserve(&p->coming, HTTP_PULL_WINDOW_BYTES - p->coming.size);
        buf_put_bytes(&p->coming, piece);
        p->failed = buf_error(&p->coming);
    }
    if (is_readable(p)) cond_wake_all(&p->news);
    bool taken = !p->is_full;
    lock_drop(&p->of->lock);
    return taken;
}

static void
end_locked(struct http_pull *p, const struct http_call_answer *answer)
{
    p->answer = *answer;
    buf_put(&p->refusal, answer->body.at, answer->body.size);
    p->answer.body = buf_bytes(&p->refusal);
    p->answered = p->ended = true;
    p->under_way = false;
    cond_wake_all(&p->news);
}

static void
begin_call(struct http_pull *p)
{
    static const struct http_call_stream stream = {on_begun, on_piece};
    struct http_call_answer none = {.failure = HTTP_CALL_NO_MEMORY};
    struct why why;
    p->call.stream = &stream;
    p->call.context = p;
    p->call.answer_bytes_max = HTTP_PULL_REFUSAL_BYTES;
    if (http_calls_start(p->of->calls, &p->call, &why) == OK) return;
    snprintf(none.error, sizeof none.error, "%.255s", why.text);
    lock_take(&p->of->lock);
    end_locked(p, &none);
    lock_drop(&p->of->lock);
}

/* The lock is held when it is called and when it returns. */
static void
fulfil_wish_locked(struct http_puller *puller)
{
    struct http_pull *p = puller->wishes;
    puller->wishes = p->next;
    bool begins = p->begins, resumes = p->resumes, gives_up = p->gives_up;
    p->begins = p->resumes = false;
    p->wishes = gives_up; /* until it is given up: then its reader frees it */
    if (!gives_up && !p->under_way) cond_wake_all(&p->news); /* so it does if all has ended */
    lock_drop(&puller->lock);
    if (gives_up)
        http_calls_give_up(puller->calls, p);
    else if (begins)
        begin_call(p);
    else if (resumes)
        http_calls_resume(puller->calls, p);
    lock_take(&puller->lock);
    if (!gives_up) return;
    p->wishes = p->under_way = false;
    cond_wake_all(&p->news);
}

static void
run(void *context)
{
    struct http_puller *puller = context;
    struct http_call_answer answer;
    for (;;) {
        lock_take(&puller->lock);
        while (puller->wishes != NULL) {
            fulfil_wish_locked(puller);
        }
        bool stops = puller->stops;
        lock_drop(&puller->lock);
        if (stops) return;
        http_calls_poll(puller->calls, POLL_MS);
        while (http_calls_done(puller->calls, &answer)) {
            lock_take(&puller->lock);
            end_locked(answer.context, &answer);
            lock_drop(&puller->lock);
        }
    }
}

void
http_puller_free(struct http_puller *puller)
{
    if (puller == NULL) return;
    if (puller->thread != NULL) {
        lock_take(&puller->lock);
        puller->stops = true;
        lock_drop(&puller->lock);
        http_calls_wake(puller->calls);
        env_thread_join(puller->env, puller->thread);
    }
    http_calls_free(puller->calls);
    lock_fini(&puller->lock);
    mem_free(NULL, puller, sizeof *puller);
}

enum err
http_puller_new(struct env *env, const char *user_agent, struct http_puller **ret_puller,
                struct why *why)
{
    struct http_puller *puller = mem_new(NULL, sizeof *puller);
    if (puller == NULL) return why_set(why, ERR_NOMEM, "not enough memory for an HTTP client");
    puller->env = env;
    lock_init(&puller->lock, LOCK_RANK_HTTP);
    enum err e = http_calls_new(env, NULL, user_agent, &puller->calls, why);
    if (e == OK && env_thread_start(env, "http-pull", run, puller, &puller->thread)) {
        e = why_set(why, ERR_AGAIN, "cannot start a thread for requests to other servers");
    }
    if (e)
        http_puller_free(puller);
    else
        *ret_puller = puller;
    return e;
}

/* --- whoever reads ---------------------------------------------------------------------------- */

static void
wish_locked(struct http_pull *p)
{
    if (p->wishes) return;
    p->wishes = true;
    p->next = p->of->wishes;
    p->of->wishes = p;
    http_calls_wake(p->of->calls);
}

enum err
http_pull_open(struct http_puller *puller, const struct http_call *call, struct budget *budget,
               struct http_pull **ret_pull, struct why *why)
{
    struct http_pull *p = mem_new(budget, sizeof *p);
    if (p == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a request");
    p->of = puller;
    p->call = *call;
    p->budget = budget;
    buf_init(&p->piece, budget, SIZE_MAX);
    buf_init(&p->coming, budget, SIZE_MAX);
    buf_init(&p->refusal, budget, HTTP_PULL_REFUSAL_BYTES);
    cond_init(&p->news);
    p->enough = 1;
    lock_take(&puller->lock);
    p->begins = p->under_way = true;
    wish_locked(p);
    lock_drop(&puller->lock);
    *ret_pull = p;
    return OK;
}

void
http_pull_close(struct http_pull *p)
{
    if (p == NULL) return;
    lock_take(&p->of->lock);
    if (p->under_way) {
        p->gives_up = true;
        wish_locked(p);
    }
    while (p->under_way || p->wishes) {
        cond_wait(&p->news, &p->of->lock);
    }
    lock_drop(&p->of->lock);
    cond_fini(&p->news);
    buf_fini(&p->piece);
    buf_fini(&p->coming);
    buf_fini(&p->refusal);
    mem_free(p->budget, p, sizeof *p);
}

/* Under the lock: what came is enough to go on waiting, or adds to what little there was. */
static void
note_progress(struct http_pull *p, size_t least_bytes)
{
    p->little_bytes += p->coming.size - p->noted_bytes;
    p->noted_bytes = p->coming.size;
    if (p->little_bytes == 0 || p->little_bytes < least_bytes) return;
    p->little_bytes = 0;
    p->waited_ns = 0;
}

static enum err
say_silence(const struct http_pull *p, const struct http_patience *patience, struct why *why)
{
    double seconds = (double)patience->silence_ms / 1000;
    if (p->little_bytes == 0) return why_set(why, ERR_AGAIN, "no data for %.3g s", seconds);
    return why_set(why, ERR_AGAIN, "only %zu bytes in %.3g s", p->little_bytes, seconds);
}

/* Returns with the lock. */
static enum err
wait_for_news(struct http_pull *p, bool (*is_there)(const struct http_pull *p),
              const struct http_patience *patience, struct why *why)
{
    struct env *env = p->of->env;
    int64_t last_ns = env_monotonic_ns(env);
    enum err e = OK;
    lock_take(&p->of->lock);
    p->enough = patience->fills ? HTTP_PULL_WINDOW_BYTES / 2 : 1;
    for (;;) {
        int64_t now_ns = env_monotonic_ns(env);
        p->waited_ns += now_ns - last_ns;
        last_ns = now_ns;
        note_progress(p, patience->least_bytes);
        if (e || is_there(p)) return e;
        if (patience->silence_ms > 0 && p->waited_ns >= patience->silence_ms * NS_PER_MS) {
            return say_silence(p, patience, why);
        }
        (void)cond_wait_until(&p->news, &p->of->lock, now_ns + LOOK_MS * NS_PER_MS);
        if (patience->check == NULL || is_there(p)) continue;
        lock_drop(&p->of->lock); /* it may look anywhere */
        e = patience->check(patience->context, why);
        lock_take(&p->of->lock);
    }
}

static bool
is_answered(const struct http_pull *p)
{
    return p->answered;
}

enum err
http_pull_await(struct http_pull *p, const struct http_patience *patience,
                const struct http_call_answer **ret_answer, struct why *why)
{
    enum err e = wait_for_news(p, is_answered, patience, why);
    p->shown = p->answer;
    p->waited_ns = 0; /* of the body it counts anew */
    p->little_bytes = p->noted_bytes = 0;
    lock_drop(&p->of->lock);
    *ret_answer = &p->shown;
    return e;
}

bool
http_pull_is_ready(struct http_pull *p)
{
    lock_take(&p->of->lock);
    bool ready = is_readable(p);
    lock_drop(&p->of->lock);
    return ready;
}

enum err
http_pull_read(struct http_pull *p, const struct http_patience *patience, struct bytes *ret_piece,
               struct why *why)
{
    *ret_piece = bytes_of(NULL, 0);
    enum err e = wait_for_news(p, is_readable, patience, why);
    if (e == OK && p->failed) {
        e = why_set(why, p->failed, "not enough memory for a response");
    } else if (e == OK && p->coming.size > 0) {
        struct buf read = p->piece;
        p->piece = p->coming;
        p->coming = read;
        buf_clear(&p->coming);
        p->noted_bytes = 0;
        *ret_piece = buf_bytes(&p->piece);
    } else if (e == OK && p->answer.failure != HTTP_CALL_ANSWERED) {
        e = why_set(why, ERR_IO, "%s", p->answer.error);
    }
    if (e == OK && p->is_full && !p->ended) {
        p->is_full = false;
        p->resumes = true;
        wish_locked(p);
    }
    lock_drop(&p->of->lock);
    return e;
}
