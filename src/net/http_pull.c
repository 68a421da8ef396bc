/*
 * http_pull.c - a thread between libcurl and readers.
 *
 * A reader leaves a wish for the thread in its pull, and the pull in the puller's list of wishes.
 * The thread appends bytes that arrive to the pull's `coming`, which the reader exchanges for the
 * piece it has read. Only the thread calls http_calls.
 *
 *   PENDING --on_begun()--> STREAMING       both --end_locked()--> ENDED
 *                                            all --fulfil_wish_locked()--> GIVEN_UP
 *
 * Invariants:
 *
 * 1. A pull is in the list of wishes as long as it has a wish, but while the thread gives it up.
 * 2. A pull that is PENDING or STREAMING has a call, or the wish to begin it.
 * 3. GIVE_UP replaces other wishes and nothing replaces it: the reader waits to free the pull.
 * 4. The reader frees a pull that has no wish and is ENDED or GIVEN_UP: the thread has no use for
 *    it.
 * 5. A body comes in STREAMING only.
 * 6. `noted_bytes` counts bytes of `coming`.
 */
#include "net/http_pull.h"

#include <assert.h>
#include <stdio.h>

#include "base/lock.h"

enum { HTTP_PULL_POLL_MS = 1000, LOOK_MS = 100 };

enum pull_state {
    PULL_PENDING,   /* waits for status and headers */
    PULL_STREAMING, /* a 2xx, whose body comes */
    PULL_ENDED,     /* `answer` is complete */
    PULL_GIVEN_UP,
};

enum pull_wish { WISH_NONE, WISH_BEGIN, WISH_RESUME, WISH_GIVE_UP };

struct http_pull {
    struct http_puller *of; /* immutable, as the next two */
    struct http_call call;
    struct budget *budget;

    /* The reader's: the answer and the piece that it was given. */
    struct http_call_answer shown;
    struct buf piece;

    /* Guarded by the puller's lock. */
    struct http_pull *next; /* in the list of wishes */
    enum pull_wish wish;
    enum pull_state state;
    bool is_full; /* the transfer rests until it is resumed */
    enum err failed;
    struct http_call_answer answer;
    struct buf refusal;
    struct buf coming;
    size_t enough; /* its reader is woken when `coming` has this many bytes */
    /* Since the last progress that was large enough: the time its reader waited, the bytes that
     * came, and the bytes of `coming` that they include. */
    int64_t waited_ns;
    size_t little_bytes, noted_bytes;
    struct cond news;
};

struct http_puller {
    struct env *env;
    struct http_calls *calls; /* used by the thread only, except in http_calls_wake() */
    struct env_thread *thread;
    struct lock lock; /* LOCK_RANK_HTTP */
    struct http_pull *wishes;
    bool stops;
};

/* Says whether the thread has the pull's call, or will begin it. */
static bool
has_call(const struct http_pull *p)
{
    return p->state == PULL_PENDING || p->state == PULL_STREAMING;
}

static bool
is_readable(const struct http_pull *p)
{
    return p->coming.size >= p->enough || p->is_full || p->state == PULL_ENDED || p->failed != OK;
}

/* --- the thread ------------------------------------------------------------------------------- */

static void
on_begun(void *context, const struct http_call_answer *answer)
{
    struct http_pull *p = context;
    if (answer->status >= 300) return; /* the answer is complete when it has ended */
    lock_take(&p->of->lock);
    assert(has_call(p)); /* invariant 2; trailers may look like a second head */
    p->answer = *answer;
    p->state = PULL_STREAMING;
    cond_wake_all(&p->news);
    lock_drop(&p->of->lock);
}

static bool
http_pull_on_piece(void *context, struct bytes piece)
{
    struct http_pull *p = context;
    lock_take(&p->of->lock);
    assert(p->state == PULL_STREAMING); /* invariant 5 */
    p->is_full = p->coming.size > 0 && p->coming.size + piece.size > HTTP_PULL_WINDOW_BYTES;
    if (!p->is_full && p->failed == OK) {
        /* Most bodies come in one small piece. For another, reserves the whole window. */
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
    assert(lock_is_mine(&p->of->lock));
    assert(has_call(p)); /* invariant 2 */
    p->answer = *answer;
    buf_put(&p->refusal, answer->body.at, answer->body.size);
    p->answer.body = buf_bytes(&p->refusal);
    p->state = PULL_ENDED;
    cond_wake_all(&p->news);
}

static void
begin_call(struct http_pull *p)
{
    static const struct http_call_stream stream = {on_begun, http_pull_on_piece};
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
    enum pull_wish wish = p->wish;
    assert(lock_is_mine(&puller->lock));
    assert(wish != WISH_NONE); /* invariant 1 */
    puller->wishes = p->next;
    if (wish != WISH_GIVE_UP) { /* invariant 4: otherwise its reader waits */
        p->wish = WISH_NONE;
        if (!has_call(p)) cond_wake_all(&p->news);
    }
    lock_drop(&puller->lock);
    if (wish == WISH_GIVE_UP)
        http_calls_give_up(puller->calls, p);
    else if (wish == WISH_BEGIN)
        begin_call(p);
    else
        http_calls_resume(puller->calls, p); /* only compares pointers if `p` has ended */
    lock_take(&puller->lock);
    if (wish != WISH_GIVE_UP) return;
    assert(p->wish == WISH_GIVE_UP); /* invariant 3 */
    p->wish = WISH_NONE;
    p->state = PULL_GIVEN_UP;
    cond_wake_all(&p->news);
}

static void
puller_run(void *context)
{
    struct http_puller *puller = context;
    struct http_call_answer answer;
    for (;;) {
        lock_take(&puller->lock);
        while (puller->wishes != NULL)
            fulfil_wish_locked(puller);
        bool stops = puller->stops;
        lock_drop(&puller->lock);
        if (stops) return;
        http_calls_poll(puller->calls, HTTP_PULL_POLL_MS);
        while (http_calls_done(puller->calls, &answer)) {
            http_calls_mask_answer(puller->calls, &answer); /* its body is a refusal, to be shown */
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
        assert(puller->wishes == NULL); /* all pulls are closed */
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
    if (e == OK && env_thread_start(env, "http-pull", puller_run, puller, &puller->thread))
        e = why_set(why, ERR_AGAIN, "cannot start a thread for requests to other servers");
    if (e)
        http_puller_free(puller);
    else
        *ret_puller = puller;
    return e;
}

/* --- readers ---------------------------------------------------------------------------------- */

static void
wish_locked(struct http_pull *p, enum pull_wish wish)
{
    bool is_listed = p->wish != WISH_NONE;
    assert(lock_is_mine(&p->of->lock));
    assert(has_call(p));                                  /* invariant 2 */
    assert(p->wish != WISH_GIVE_UP);                      /* invariant 3 */
    assert(wish != WISH_RESUME || p->wish != WISH_BEGIN); /* only a transfer that began can pause */
    p->wish = wish;
    if (is_listed) return;
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
    wish_locked(p, WISH_BEGIN);
    lock_drop(&puller->lock);
    *ret_pull = p;
    return OK;
}

void
http_pull_close(struct http_pull *p)
{
    if (p == NULL) return;
    lock_take(&p->of->lock);
    if (has_call(p)) wish_locked(p, WISH_GIVE_UP);
    while (has_call(p) || p->wish != WISH_NONE) /* invariant 4 */
        cond_wait(&p->news, &p->of->lock);
    lock_drop(&p->of->lock);
    cond_fini(&p->news);
    buf_fini(&p->piece);
    buf_fini(&p->coming);
    buf_fini(&p->refusal);
    mem_free(p->budget, p, sizeof *p);
}

/* Counts received bytes; after `least_bytes` of them the time limit of the wait begins again. Under
 * the lock. */
static void
note_progress(struct http_pull *p, size_t least_bytes)
{
    assert(p->noted_bytes <= p->coming.size); /* invariant 6 */
    p->little_bytes += p->coming.size - p->noted_bytes;
    p->noted_bytes = p->coming.size;
    if (p->little_bytes == 0 || p->little_bytes < least_bytes) return;
    p->little_bytes = 0;
    p->waited_ns = 0;
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
            double seconds = (double)patience->silence_ms / 1000;
            if (p->little_bytes == 0) return why_set(why, ERR_AGAIN, "no data for %.3g s", seconds);
            return why_set(why, ERR_AGAIN, "only %zu bytes in %.3g s", p->little_bytes, seconds);
        }
        (void)cond_wait_until(&p->news, &p->of->lock, now_ns + LOOK_MS * NS_PER_MS);
        if (patience->check == NULL || is_there(p)) continue;
        lock_drop(&p->of->lock); /* `check` may take other locks */
        e = patience->check(patience->context, why);
        lock_take(&p->of->lock);
    }
}

static bool
is_answered(const struct http_pull *p)
{
    return p->state != PULL_PENDING;
}

enum err
http_pull_await(struct http_pull *p, const struct http_patience *patience,
                const struct http_call_answer **ret_answer, struct why *why)
{
    enum err e = wait_for_news(p, is_answered, patience, why);
    p->shown = p->answer;
    p->waited_ns = 0; /* the body has a time of its own */
    p->little_bytes = p->noted_bytes = 0;
    lock_drop(&p->of->lock);
    *ret_answer = &p->shown;
    return e;
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
    if (e == OK && p->is_full && p->state == PULL_STREAMING) {
        p->is_full = false;
        wish_locked(p, WISH_RESUME);
    }
    lock_drop(&p->of->lock);
    return e;
}
