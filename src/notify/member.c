/*
 * member.c - decides which alerts are sent to a member, and when.
 *
 * A refused request means that some alert in it is invalid, without naming it. So the next one has
 * half as many, from the same beginning, and so on down to a single alert, which is dropped; a
 * delivery doubles the size again. That finds one invalid alert among 256 in about 25 requests, and
 * costs one request for each alert if all are invalid.
 *
 * Invariants:
 *
 * 1. Alerts are taken from the queue exactly while a request is pending: in SENDING. The queue of a
 *    member that is NEW or GONE is empty.
 * 2. `batch_max` is at least 1.
 * 3. A delivery ends failures, refusals in a row, and the pause.
 */
#include "notify/notify_private.h"

#include <assert.h>

#include "base/hash/hash.h"

enum err
member_new(struct budget *memory, const char *url, uint32_t queue_max, struct member **ret_member)
{
    struct member *m = mem_new(memory, sizeof *m);
    if (m == NULL) return ERR_NOMEM;
    m->memory = memory;
    m->url_bytes = strlen(url) + 1;
    m->url = mem_alloc(memory, m->url_bytes);
    queue_init(&m->queue, memory);
    if (m->url == NULL) {
        member_free(m);
        return ERR_NOMEM;
    }
    memcpy(m->url, url, m->url_bytes);
    m->url_hash = hash_bytes(bytes_of_text(url), 0);
    m->queue_max = queue_max;
    m->batch_max = UINT32_MAX;
    m->latency = (struct metric_histogram){
        .name = "firekeep_notifications_latency_seconds",
        .help = "Latency histogram for sending alert notifications.",
        .labels = {{"alertmanager", m->url}},
        METRIC_LATENCY,
    };
    *ret_member = m;
    return OK;
}

void
member_free(struct member *m)
{
    if (m == NULL) return;
    queue_fini(&m->queue);
    mem_free(m->memory, m->url, m->url_bytes);
    mem_free(m->memory, m, sizeof *m);
}

/* --- queueing --------------------------------------------------------------------------------- */

void
member_lose(struct member *m, enum member_loss loss, uint32_t count)
{
    assert(loss < LOSS_COUNT);
    m->dropped += count;
    if (loss != LOSS_REFUSED) m->unlogged[loss] += count;
}

static void
limit_queue(struct member *m)
{
    member_lose(m, LOSS_QUEUE_FULL, queue_limit(&m->queue, m->queue_max));
}

void
member_put(struct member *m, struct encoded_alert *alert)
{
    assert(m->state == MEMBER_IDLE || m->state == MEMBER_SENDING); /* invariant 1 */
    if (queue_put(&m->queue, alert))
        member_lose(m, LOSS_NO_MEMORY, 1);
    else
        limit_queue(m);
}

void
member_set_queue_max(struct member *m, uint32_t queue_max)
{
    m->queue_max = queue_max;
    limit_queue(m);
}

void
member_forget_failures(struct member *m)
{
    pause_end(&m->pause);
    m->tried_again = false;
    if (m->health == MEMBER_WORKS) return;
    m->health = MEMBER_FAILING_AGAIN;
    m->gate = (struct log_gate){0};
}

/* --- requests --------------------------------------------------------------------------------- */

int64_t
member_due_ns(const struct member *m)
{
    bool is_busy = m->state == MEMBER_SENDING || m->state == MEMBER_GONE;
    return is_busy || m->queue.waiting.count == 0 ? INT64_MAX : m->pause.until_ns;
}

bool
member_take(struct member *m, uint32_t batch_size, int64_t now_ns, int64_t now_ms, struct buf *body)
{
    assert(m->state == MEMBER_IDLE);   /* invariant 1 */
    assert(m->queue.taken.count == 0); /* invariant 1 */
    assert(m->batch_max > 0);          /* invariant 2 */
    member_lose(m, LOSS_EXPIRED, queue_expire(&m->queue, now_ms));
    if (m->queue.waiting.count == 0) return false;
    uint32_t count_max = batch_size < m->batch_max ? batch_size : m->batch_max;
    if (queue_take(&m->queue, count_max, MEMBER_BODY_BYTES_MAX, body)) {
        m->pause.until_ns = now_ns + PAUSE_MIN_MS * NS_PER_MS;
        return false;
    }
    assert(m->queue.taken.count > 0); /* invariant 1 */
    m->state = MEMBER_SENDING;
    return true;
}

/* --- outcomes --------------------------------------------------------------------------------- */

static void
put_back(struct member *m)
{
    queue_put_back(&m->queue);
    limit_queue(m);
}

enum member_news
member_settle(struct member *m, enum member_verdict verdict, int64_t wait_ms, int64_t now_ns)
{
    assert(m->state == MEMBER_SENDING);
    assert(m->queue.taken.count > 0); /* invariant 1 */
    m->state = MEMBER_IDLE;
    if (verdict == MEMBER_AGAIN && !m->tried_again) {
        m->tried_again = true;
        m->errors += m->queue.taken.count;
        m->pause.until_ns = now_ns;
        put_back(m);
        return MEMBER_NO_NEWS;
    }
    uint32_t count = m->queue.taken.count;
    bool is_back = m->health != MEMBER_WORKS, is_news = m->health != MEMBER_FAILING;
    switch (verdict) {
    case MEMBER_DELIVERED:
        m->sent += m->queue.taken.count;
        queue_drop_taken(&m->queue);
        m->batch_max = m->batch_max > UINT32_MAX / 2 ? UINT32_MAX : 2 * m->batch_max;
        m->refused = 0;           /* invariant 3 */
        m->health = MEMBER_WORKS; /* invariant 3 */
        m->tried_again = false;   /* invariant 3 */
        pause_end(&m->pause);     /* invariant 3 */
        return is_back ? MEMBER_IS_BACK : MEMBER_NO_NEWS;
    case MEMBER_REFUSED: {
        m->errors += count;
        m->refused++;
        m->batch_max = count > 1 ? count / 2 : 1;
        /* A server that refuses everything must not get requests as fast as it can answer. */
        bool is_many = m->refused > MEMBER_REFUSED_AT_ONCE;
        m->pause.until_ns = is_many ? now_ns + MEMBER_REFUSED_PAUSE_MS * NS_PER_MS : now_ns;
        if (count > 1) {
            put_back(m);
            return MEMBER_NO_NEWS;
        }
        member_lose(m, LOSS_REFUSED, 1);
        queue_drop_taken(&m->queue);
        return MEMBER_DROPPED_ONE;
    }
    default:
        m->errors += m->queue.taken.count;
        put_back(m);
        pause_begin(&m->pause, wait_ms, now_ns);
        if (m->health == MEMBER_WORKS) m->failing_since_ns = now_ns;
        m->health = MEMBER_FAILING;
        return is_news ? MEMBER_FAILS : MEMBER_NO_NEWS;
    }
}
