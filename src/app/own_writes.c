/*
 * own_writes.c - see own_writes.h.
 *
 * Invariants:
 *  1. A request belongs to one write at a time; the spare one belongs to none, and is empty.
 *  2. Samples of a scrape, and the staleness markers of series that it no longer has, have the time
 *     of a multiple of the interval.
 *  3. `series` are those of the last scrape that was stored; one that failed leaves them, so that
 *     no marker is missing.
 */
#include "app/own_writes.h"

#include <assert.h>
#include <stdio.h>

#include "app/worker.h"
#include "base/hash/hash.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/text/utf8.h"
#include "model/labels.h"
#include "rules/group/kept_series.h"
#include "wire/remote/remote_write.h"
#include "wire/remote/remote_write_build.h"
#include "wire/text/text_format.h"

#define SETTLE_LOOK_NS (100 * NS_PER_MS) /* a commit may have failed without a word */

struct own_writes {
    struct own_writes_options options;

    struct lock lock; /* LOCK_RANK_APP_WAKE; guards the rest */
    struct cond committed;
    uint64_t commits;
    struct rw_request *spare; /* the memory of a write, kept for the next */
};

static struct rw_request *
take_request(struct own_writes *w)
{
    lock_take(&w->lock);
    struct rw_request *request = w->spare;
    w->spare = NULL;
    lock_drop(&w->lock);
    assert(request == NULL || request->series_count == 0); /* invariant 1 */
    if (request != NULL) return request;
    request = mem_new(w->options.memory, sizeof *request);
    if (request == NULL || rw_request_init(request, w->options.memory) == OK) {
        if (request != NULL) request->keys = tsdb_fingerprint_keys(w->options.tsdb);
        return request;
    }
    mem_free(w->options.memory, request, sizeof *request);
    return NULL;
}

static void
request_free(struct own_writes *w, struct rw_request *request)
{
    if (request == NULL) return;
    rw_request_fini(request);
    mem_free(w->options.memory, request, sizeof *request);
}

/* Says whether writes are taken now. */
static enum err
check_taken(struct own_writes *w, struct why *why)
{
    const char *held = w->options.holds_writes(w->options.context);
    if (!w->options.takes_writes(w->options.context)) {
        return why_set(why, ERR_UNSUPPORTED,
                       "cannot be stored: storage.mode is none, and no destination is configured");
    }
    return held != NULL ? why_set(why, ERR_AGAIN, "%s", held) : OK;
}

enum err
own_store(struct own_writes *w, enum tsdb_origin origin, struct bytes tenant,
          const struct rw_request *request, struct rules_written *ret, struct why *why)
{
    struct tsdb *tsdb = w->options.tsdb;
    struct ingest_result result;
    enum err e = check_taken(w, why);
    if (e) return e;
    e = origin == TSDB_FROM_SERVER ? tsdb_ingest_own(tsdb, tenant, request, &result, why)
                                   : tsdb_ingest(tsdb, tenant, request, &result, why);
    if (e == ERR_NOMEM) keeper_want_flush(w->options.keeper);
    if (e) return e;
    *ret = (struct rules_written){
        .ticket = result.wait_epoch,
        .rejected = result.rejected_total,
        .conflicts = result.rejected_for[REJECT_CONFLICT],
    };
    assert(ret->conflicts <= ret->rejected);
    struct bytes text = utf8_cut(bytes_of_text(result.text), sizeof ret->text - 1);
    memcpy(ret->text, text.at, text.size); /* zeroed above */
    return OK;
}

enum err
own_write(struct own_writes *w, struct bytes tenant, struct bytes message,
          struct rules_written *ret, struct why *why)
{
    enum err e = check_taken(w, why);
    if (e) return e;
    struct rw_request *request = take_request(w);
    if (request == NULL) return why_set(why, ERR_NOMEM, "not enough memory to write");
    e = rw_decode(request, RW_V1, message, tsdb_hash_seed(w->options.tsdb), why);
    if (e == OK) e = own_store(w, TSDB_FROM_SERVER, tenant, request, ret, why);
    rw_request_clear(request);
    lock_take(&w->lock);
    struct rw_request *too_many = w->spare;
    assert(too_many != request); /* invariant 1 */
    w->spare = request;
    lock_drop(&w->lock);
    request_free(w, too_many);
    return e;
}

enum err
own_settle(struct own_writes *w, uint64_t ticket, struct why *why)
{
    struct tsdb *tsdb = w->options.tsdb;
    for (;;) {
        lock_take(&w->lock);
        uint64_t commits = w->commits;
        lock_drop(&w->lock);
        enum tsdb_epoch state = tsdb_epoch(tsdb, ticket);
        if (state == TSDB_EPOCH_DURABLE) return OK;
        if (state == TSDB_EPOCH_VOID)
            return why_set(why, ERR_AGAIN, "the commit to the write-ahead log failed");
        const char *hangs = keeper_hangs(w->options.keeper);
        if (hangs != NULL) return why_set(why, ERR_CANCELED, "%s", hangs);
        keeper_want_commit(w->options.keeper);
        lock_take(&w->lock);
        if (w->commits == commits) {
            int64_t until = env_monotonic_ns(w->options.env) + SETTLE_LOOK_NS;
            cond_wait_until(&w->committed, &w->lock, until);
        }
        lock_drop(&w->lock);
    }
}

enum err
own_sync(struct own_writes *w, struct why *why)
{
    return keeper_sync(w->options.keeper, why);
}

const char *
own_refuses(struct own_writes *w)
{
    if (!w->options.takes_writes(w->options.context)) return "nothing stores samples";
    return api_refuses_writes(w->options.keeper->api);
}

void
own_committed(struct own_writes *w)
{
    if (w == NULL) return;
    lock_take(&w->lock);
    w->commits++;
    cond_wake_all(&w->committed);
    lock_drop(&w->lock);
}

enum err
own_writes_new(const struct own_writes_options *options, struct own_writes **ret_writes)
{
    struct own_writes *w = mem_new(NULL, sizeof *w);
    if (w == NULL) return ERR_NOMEM;
    w->options = *options;
    lock_init(&w->lock, LOCK_RANK_APP_WAKE);
    cond_init(&w->committed);
    *ret_writes = w;
    return OK;
}

void
own_writes_free(struct own_writes *w)
{
    if (w == NULL) return;
    request_free(w, w->spare);
    cond_fini(&w->committed);
    lock_fini(&w->lock);
    mem_free(NULL, w, sizeof *w);
}

/* --- the self-scrape -------------------------------------------------------------------------- */

enum { TEXT_BYTES_MAX = 256 << 20, LABELS_MAX = 16 };

#define TENANT       "anonymous"
#define JOB          "firekeep-self"
#define LOG_AGAIN_NS (60 * NS_PER_S)

struct self_scrape {
    struct self_scrape_options options;
    _Atomic int64_t interval_ms; /* relaxed */
    struct worker worker;

    /* The thread owns these. */
    struct kept_series series; /* series of the last scrape */
    uint64_t metadata_hash;    /* hash of the metadata that is stored; 0: none is */
    struct log_gate gate;
};

/* --- its text --------------------------------------------------------------------------------- */

struct scraped {
    const char *instance;
    int64_t t_ms;
    struct rw_build *build;
    struct kept_series *seen;
    struct buf canonical;
};

/* Adds a sample, with the labels of the scrape. */
static enum err
own_writes_put(struct scraped *x, const struct label *labels, uint32_t count, uint64_t bits)
{
    static const struct labels_limits limits = {LABELS_MAX + 2, 1 << 16, 1 << 16};
    struct label all[LABELS_MAX + 2];
    bool is_new;
    if (count > LABELS_MAX) return ERR_INPUT;
    memcpy(all, labels, count * sizeof *all);
    all[count++] = (struct label){bytes_of_text("instance"), bytes_of_text(x->instance)};
    all[count++] = (struct label){bytes_of_text("job"), bytes_of_text(JOB)};
    buf_clear(&x->canonical);
    if (labels_build(all, count, &limits, &x->canonical) != REJECT_NONE) return ERR_INPUT;
    if (buf_error(&x->canonical)) return buf_error(&x->canonical);
    rw_build_series(x->build, buf_bytes(&x->canonical));
    rw_build_float(x->build, x->t_ms, bits, 0);
    return kept_series_add(x->seen, buf_bytes(&x->canonical), &is_new);
}

/* Adds a sample of the scrape itself, such as `up`. */
static enum err
put_own(struct scraped *x, const char *name, double value)
{
    struct label label = {bytes_of_text("__name__"), bytes_of_text(name)};
    return own_writes_put(x, &label, 1, double_bits(value));
}

void
self_scrape_name(const char *host, unsigned port, char *to, size_t to_size)
{
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(to, to_size, is_v6 ? "[%s]:%u" : "%s:%u", host[0] == '\0' ? "localhost" : host, port);
}

static void
put_metadata(const struct text_item *item, struct buf *to)
{
    if (item->has_metadata)
        rw_build_metadata_v1(to, item->family, item->type, item->help, item->unit);
}

enum err
self_scrape_put(struct bytes text, const char *instance, int64_t t_ms, struct rw_build *build,
                struct kept_series *seen, struct buf *metadata, uint64_t *ret_samples)
{
    struct scraped x = {instance, t_ms, build, seen, .canonical = {NULL}};
    const struct text_reader_options options = {TEXT_PROMETHEUS, true, t_ms, seen->budget};
    struct text_reader *reader;
    struct text_item item;
    const uint8_t *end;
    enum err e = text_reader_new(&options, &reader);
    if (e) return e;
    buf_init(&x.canonical, seen->budget, TEXT_BYTES_MAX);
    *ret_samples = 0;
    while (e == OK && text.size > 0 && (end = memchr(text.at, '\n', text.size)) != NULL) {
        size_t size = (size_t)(end - text.at);
        e = text_reader_line(reader, bytes_of(text.at, size), &item, NULL);
        text = bytes_of(end + 1, text.size - size - 1);
        if (e) break;
        put_metadata(&item, metadata);
        if (item.sample_count == 0) continue;
        e = own_writes_put(&x, item.labels, item.label_count, item.bits[0]);
        ++*ret_samples;
    }
    if (e == OK && text.size > 0) e = ERR_INPUT;
    if (e == OK) e = text_reader_end(reader, &item, NULL);
    if (e == OK) put_metadata(&item, metadata);
    if (e == OK) e = put_own(&x, "up", 1);
    if (e == OK) e = put_own(&x, "scrape_samples_scraped", (double)*ret_samples);
    buf_fini(&x.canonical);
    text_reader_free(reader);
    return e ? e : buf_error(metadata);
}

/* --- scraping --------------------------------------------------------------------------------- */

static enum err
write_text(struct self_scrape *s, struct bytes text, int64_t t_ms, struct kept_series *seen,
           struct why *why)
{
    struct rw_build *build;
    struct bytes message;
    struct buf whole;
    struct rules_written written;
    uint64_t samples, hash = 0;
    buf_init(&whole, s->options.memory, TEXT_BYTES_MAX);
    if (rw_build_new(RW_V1, s->options.memory, &build)) return ERR_NOMEM;
    enum err e = self_scrape_put(text, s->options.instance, t_ms, build, seen, &whole, &samples);
    if (e == OK) {
        assert(&s->series != seen); /* invariant 3 */
        for (uint32_t i = 0; i < s->series.count; i++) {
            struct bytes labels = kept_series_at(&s->series, i);
            if (kept_series_has(seen, labels)) continue;
            rw_build_series(build, labels);
            rw_build_float(build, t_ms, STALE_NAN_BITS, 0);
        }
        e = rw_build_end(build, &message);
    }
    if (e == OK) {
        hash = hash_bytes(buf_bytes(&whole), 1) | 1;
        if (hash == s->metadata_hash) buf_clear(&whole);
        buf_put(&whole, message.at, message.size);
        e = buf_error(&whole);
    }
    if (e == OK)
        e = own_write(s->options.writes, bytes_of_text(TENANT), buf_bytes(&whole), &written, why);
    if (e == OK) s->metadata_hash = hash;
    if (e == OK && written.rejected > 0) e = why_set(why, ERR_INPUT, "%s", written.text);
    rw_build_free(build);
    buf_fini(&whole);
    return e;
}

static void
scrape(struct self_scrape *s, int64_t t_ms, int64_t interval_ms)
{
    assert(t_ms % interval_ms == 0); /* invariant 2 */
    struct buf text;
    struct kept_series seen;
    struct why why = {""};
    uint64_t held_back;
    buf_init(&text, s->options.memory, TEXT_BYTES_MAX);
    kept_series_init(&seen, s->options.memory, 0);
    metric_collect(&text);
    enum err e = buf_error(&text);
    if (e == OK) e = write_text(s, buf_bytes(&text), t_ms, &seen, &why);
    if (e == OK) {
        struct kept_series before = s->series;
        s->series = seen;
        seen = before;
    } else if (log_often(&s->gate, env_monotonic_ns(s->options.env), LOG_AGAIN_NS, &held_back)) {
        log_warn("cannot store the server's own metrics", KV("error", why_text(&why, e)),
                 KV("more_held_back", held_back));
    }
    kept_series_fini(&seen);
    buf_fini(&text);
}

static void
scrape_loop(void *context)
{
    struct self_scrape *s = context;
    struct env *env = s->options.env;
    int64_t next_ms = 0;
    for (;;) {
        int64_t interval_ms = atomic_load_explicit(&s->interval_ms, memory_order_relaxed);
        int64_t now_ms = env_realtime_ms(env), wait_ms = 1000;
        if (interval_ms > 0) {
            bool is_back =
                next_ms > now_ms + interval_ms; /* the clock was set back, or it is less */
            if (next_ms == 0 || is_back) next_ms = now_ms / interval_ms * interval_ms + interval_ms;
            if (now_ms >= next_ms) {
                scrape(s, now_ms / interval_ms * interval_ms, interval_ms);
                next_ms = now_ms / interval_ms * interval_ms + interval_ms;
            }
            wait_ms = next_ms - env_realtime_ms(env);
            if (wait_ms > interval_ms) wait_ms = interval_ms; /* it was set back just now */
        }
        int64_t until_ns =
            interval_ms == 0 ? INT64_MAX : env_monotonic_ns(env) + wait_ms * NS_PER_MS;
        if (!worker_rest(&s->worker, until_ns, REST_UNTIL_WOKEN)) return;
    }
}

enum err
self_scrape_start(const struct self_scrape_options *options, struct self_scrape **ret_scrape,
                  struct why *why)
{
    struct self_scrape *s = mem_new(NULL, sizeof *s);
    if (s == NULL) return why_set(why, ERR_NOMEM, "not enough memory to start");
    s->options = *options;
    kept_series_init(&s->series, options->memory, 0);
    worker_init(&s->worker, options->env);
    enum err e = worker_start(&s->worker, "self-scrape", scrape_loop, s);
    if (e) {
        self_scrape_free(s);
        return why_set(why, e, "cannot start the thread for the server's own metrics");
    }
    *ret_scrape = s;
    return OK;
}

void
self_scrape_set(struct self_scrape *s, int64_t interval_ms)
{
    atomic_store_explicit(&s->interval_ms, interval_ms, memory_order_relaxed);
    worker_wake(&s->worker);
}

void
self_scrape_free(struct self_scrape *s)
{
    if (s == NULL) return;
    worker_join(&s->worker);
    worker_fini(&s->worker);
    kept_series_fini(&s->series);
    mem_free(NULL, s, sizeof *s);
}
