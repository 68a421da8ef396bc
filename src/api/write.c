/*
 * write.c - remote write 1.0 and 2.0: POST, judged at once, answered when durable.
 *
 *      body -> snappy -> decode -> tsdb_ingest_begin -> waiting list -> api_committed -> answer
 *                                           |                ^
 *                                           +- repeats thread: tsdb_ingest_end, if samples are in
 *                                              doubt that parts may hold
 */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "api/internal.h"
#include "base/log.h"
#include "wire/snappy.h"

enum {
    MESSAGE_KEEP_BYTES = 4 * 1024 * 1024,
    /* What is larger is judged on a thread of its own: a worker has other connections to serve. */
    WORKER_BODY_BYTES = 512 * 1024,
    /* So many keep their memory while parts are read for them, one after the other. */
    DOUBTFUL_MAX = 16,
};

static struct metric_counter requests_v1 = {
    .name = "firekeep_write_requests_total",
    .help = "Remote write requests, by protocol version.",
    .labels = {{"version", "1.0"}},
};
static struct metric_counter requests_v2 = {
    .name = "firekeep_write_requests_total",
    .help = "Remote write requests, by protocol version.",
    .labels = {{"version", "2.0"}},
};
static struct metric_counter malformed = {
    .name = "firekeep_write_malformed_requests_total",
    .help = "Remote write requests that could not be decoded and were not stored.",
};
static struct metric_counter unavailable = {
    .name = "firekeep_write_unavailable_total",
    .help = "Remote write requests answered with 503, which senders retry.",
};
static struct metric_histogram latency = {
    .name = "firekeep_write_request_duration_seconds",
    .help = "Time from the first byte of a remote write request to its response, in seconds.",
    METRIC_LATENCY,
};

void
write_metrics_register(void)
{
    metric_register_counter(&requests_v1);
    metric_register_counter(&requests_v2);
    metric_register_counter(&malformed);
    metric_register_counter(&unavailable);
    metric_register_histogram(&latency);
}

/* --- which message is it? --------------------------------------------------------------------- */

static const char *
skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t') {
        p++;
    }
    return p;
}

/* RFC 9110: names are case-insensitive, blanks around ';' are allowed, values may be quoted. */
static bool
parse_content_type(const char *text, enum rw_version *ret_version)
{
    static const char media[] = "application/x-protobuf";
    *ret_version = RW_V1;
    if (text == NULL) return true;
    text = skip_blanks(text);
    if (text[0] == '\0') return true;
    if (strncasecmp(text, media, sizeof media - 1) != 0) return false;
    for (const char *p = skip_blanks(text + sizeof media - 1); *p != '\0';) {
        if (*p != ';') return false;
        p = skip_blanks(p + 1);
        size_t name = strcspn(p, "=; \t");
        bool is_proto = name == 5 && strncasecmp(p, "proto", 5) == 0;
        p = skip_blanks(p + name);
        if (*p != '=') continue;
        p = skip_blanks(p + 1);
        bool quoted = *p == '"';
        if (quoted) p++;
        size_t size = strcspn(p, quoted ? "\"" : "; \t");
        if (is_proto && size == 23 && strncmp(p, "prometheus.WriteRequest", 23) == 0) {
            *ret_version = RW_V1;
        } else if (is_proto && size == 30 &&
                   strncmp(p, "io.prometheus.write.v2.Request", 30) == 0) {
            *ret_version = RW_V2;
        } else if (is_proto) {
            return false;
        }
        p += size;
        if (quoted && *p == '"') p++;
        p = skip_blanks(p);
    }
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Every answer to a 2.0 request says how much of it is written. */
static void
write_reply(struct api *api, struct http_request *request, enum rw_version version, unsigned status,
            const struct why *why, const struct ingest_result *result)
{
    static const struct {
        const char *header;
        enum ledger_kind kind;
    } told[] = {{"X-Prometheus-Remote-Write-Samples-Written", LEDGER_FLOAT},
                {"X-Prometheus-Remote-Write-Histograms-Written", LEDGER_HISTOGRAM},
                {"X-Prometheus-Remote-Write-Exemplars-Written", LEDGER_EXEMPLAR}};
    char text[sizeof result->text + sizeof why->text];
    char written[3][24];
    struct http_answer answer = {.status = status};
    unsigned headers = 0;
    int n = 0;
    if (status != 204) {
        n = snprintf(text, sizeof text, "%s\n", why->text);
    } else if (!ingest_result_is_success(result)) {
        answer.status = 400;
        n = snprintf(text, sizeof text, "%s\n", result->text);
    }
    if (n > 0) {
        answer.content_type = "text/plain; charset=utf-8";
        answer.body = bytes_of(text, (size_t)n);
    }
    if (answer.status == 503) {
        metric_inc(&unavailable);
        answer.headers[headers++] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    }
    for (unsigned i = 0; version == RW_V2 && i < 3; i++) {
        snprintf(written[i], sizeof written[i], "%" PRIu64, result->written[told[i].kind]);
        answer.headers[headers++] = (struct http_answer_header){told[i].header, written[i]};
    }
    metric_record(&latency,
                  (uint64_t)(env_monotonic_ns(api->options.env) - http_began_ns(request)));
    http_reply(request, &answer);
}

static void
reply_nothing_written(struct api *api, struct http_request *request, enum rw_version version,
                      unsigned status, const struct why *why)
{
    struct ingest_result nothing = {0};
    write_reply(api, request, version, status, why, &nothing);
}

/* --- waiting for the commit ------------------------------------------------------------------- */

static void
waiting_answer(struct api *api, struct waiting *w)
{
    struct why down;
    if (w->state == TSDB_EPOCH_VOID) {
        why_set(&down, ERR_AGAIN, "cannot write to the write-ahead log");
        reply_nothing_written(api, w->request, w->version, 503, &down);
        return;
    }
    write_reply(api, w->request, w->version, status_of(FOR_WRITE, w->error), &w->why, &w->result);
}

/* Keeps them, all from first to last, for the next. */
static void
waiting_spare(struct api *api, struct waiting *first, struct waiting *last)
{
    lock_take(&api->lock);
    last->next = api->spare_waiting;
    api->spare_waiting = first;
    lock_drop(&api->lock);
}

void
api_committed(struct api *api)
{
    struct waiting *taken = NULL, **tail = &taken, *last = NULL;
    lock_take(&api->lock);
    /* Those whose fate is known are taken off the list; they keep their order. */
    for (struct waiting **link = &api->waiting_first, *w; (w = *link) != NULL;) {
        w->state = tsdb_epoch(api->options.tsdb, w->epoch);
        if (w->state == TSDB_EPOCH_PENDING) {
            last = w;
            link = &w->next;
            continue;
        }
        *link = w->next;
        w->next = NULL;
        *tail = w;
        tail = &w->next;
        api->waiting_count--;
    }
    api->waiting_last = last;
    lock_drop(&api->lock);
    last = NULL;
    for (struct waiting *w = taken; w != NULL; w = w->next) {
        waiting_answer(api, w);
        last = w;
    }
    if (last != NULL) waiting_spare(api, taken, last);
}

/* --- the request ------------------------------------------------------------------------------ */

static struct write_memory *
write_memory_take(struct api *api)
{
    lock_take(&api->lock);
    struct write_memory *w = api->write_memories;
    if (w != NULL) api->write_memories = w->next;
    lock_drop(&api->lock);
    if (w != NULL) return w;
    w = mem_new(&api->write_budget, sizeof *w);
    if (w == NULL) return NULL;
    budget_init(&w->budget, "write", 0, &api->write_budget);
    buf_init(&w->message, &w->budget, api->options.decoded_bytes_max + 64);
    if (rw_request_init(&w->request, &w->budget) != OK) {
        mem_free(&api->write_budget, w, sizeof *w);
        return NULL;
    }
    w->request.keys = tsdb_fingerprint_keys(api->options.tsdb);
    return w;
}

static void
write_memory_put(struct api *api, struct write_memory *w)
{
    rw_request_clear(&w->request);
    if (w->message.capacity > MESSAGE_KEEP_BYTES) buf_fini(&w->message);
    lock_take(&api->lock);
    w->next = api->write_memories;
    api->write_memories = w;
    lock_drop(&api->lock);
}

void
write_memories_free(struct api *api)
{
    for (struct write_memory *w = api->write_memories, *next; w != NULL; w = next) {
        next = w->next;
        rw_request_fini(&w->request);
        buf_fini(&w->message);
        mem_free(&api->write_budget, w, sizeof *w);
    }
    for (struct waiting *w = api->spare_waiting, *next; w != NULL; w = next) {
        next = w->next;
        mem_free(&api->write_budget, w, sizeof *w);
    }
}

/*
 * There was no memory for a request that had half of all by itself when it wanted more. A message
 * has less than a third of all (decoded_bytes_max), so the rest were arrays, which grow to twice
 * what they are and are copied then: it does not fit into an empty server either, and to have it
 * repeated would be to have it repeated for ever.
 */
static enum err
write_unfit(const struct api *api, const struct write_memory *w, struct why *why)
{
    const struct budget *memory = api->options.memory;
    uint64_t all =
        memory == NULL ? 0 : atomic_load_explicit(&memory->limit_bytes, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&w->budget.peak_bytes, memory_order_relaxed);
    if (all == 0 || most < all / 2) {
        return why_set(why, ERR_NOMEM, "not enough memory for the request");
    }
    return why_set(why, ERR_LIMIT,
                   "a request of %zu bytes uncompressed needs more memory than memory.limit "
                   "allows; send smaller requests",
                   w->message.size);
}

static enum err
write_decode(struct api *api, struct http_request *request, enum rw_version version,
             struct write_memory *w, struct why *why)
{
    size_t size;
    atomic_store_explicit(&w->budget.peak_bytes, 0, memory_order_relaxed); /* of this request */
    enum err e = snappy_size(http_body(request), api->options.decoded_bytes_max, &size);
    if (e == ERR_INPUT) return why_set(why, e, "the body is not a snappy block");
    if (e == ERR_LIMIT) {
        return why_set(why, e, "the message is larger than %" PRIu64 " bytes uncompressed",
                       api->options.decoded_bytes_max);
    }
    e = snappy_unpack(http_body(request), &w->message, why);
    if (e == ERR_NOMEM) return write_unfit(api, w, why);
    if (e) return e;
    http_body_release(request);
    e = rw_decode_unchecked(&w->request, version, buf_bytes(&w->message),
                            tsdb_hash_seed(api->options.tsdb), why);
    return e == ERR_NOMEM ? write_unfit(api, w, why) : e;
}

/* Known series need no second look; a message that is not what it looked like gets one. */
static enum err
write_ingest(struct api *api, enum rw_version version, struct bytes tenant, struct write_memory *w,
             struct waiting *wait, struct why *why)
{
    struct tsdb *tsdb = api->options.tsdb;
    struct ingest_result *result = &wait->result;
    enum err e = tsdb_ingest_begin(tsdb, tenant, &w->request, result, &wait->doubts, why);
    if (e != ERR_INPUT) return e;
    why->text[0] = '\0';
    e = rw_decode(&w->request, version, buf_bytes(&w->message), tsdb_hash_seed(tsdb), why);
    if (e == ERR_INPUT) metric_inc(&malformed);
    return e ? e : tsdb_ingest_begin(tsdb, tenant, &w->request, result, &wait->doubts, why);
}

/* Answers, or leaves the request waiting for its commit. */
static void
write_judged(struct api *api, struct bytes tenant, struct waiting *wait)
{
    if (wait->result.rejected_total > 0) {
        refusals_log(env_monotonic_ns(api->options.env), tenant, &wait->result);
    }
    if (wait->error == ERR_NOMEM) api->options.flush_wanted(api->options.context);
    wait->epoch = wait->result.wait_epoch;
    wait->state = tsdb_epoch(api->options.tsdb, wait->epoch);
    if (wait->state == TSDB_EPOCH_PENDING) {
        wait->next = NULL;
        lock_take(&api->lock);
        if (api->waiting_last != NULL)
            api->waiting_last->next = wait;
        else
            api->waiting_first = wait;
        api->waiting_last = wait;
        api->waiting_count++;
        lock_drop(&api->lock);
        api->options.commit_wanted(api->options.context);
        return;
    }
    /* Nobody waits for what is acknowledged from memory. */
    if (tsdb_commit_due(api->options.tsdb)) api->options.commit_wanted(api->options.context);
    waiting_answer(api, wait);
    waiting_spare(api, wait, wait);
}

/* --- samples in doubt ------------------------------------------------------------------------- */

static struct waiting *
doubtful_take(struct api *api, const struct http_request *request)
{
    lock_take(&api->lock);
    struct waiting **link = &api->doubtful;
    while ((*link)->request != request) {
        link = &(*link)->next;
    }
    struct waiting *wait = *link;
    *link = wait->next;
    api->doubtful_count--;
    lock_drop(&api->lock);
    return wait;
}

static void
doubt_over(struct api *api, struct waiting *wait)
{
    struct bytes tenant;
    struct why why;
    write_memory_put(api, wait->memory);
    wait->doubts = NULL;
    if (one_tenant_named(api, wait->request, &tenant, &why) != 0) tenant = (struct bytes){NULL, 0};
    write_judged(api, tenant, wait);
}

/* The sender is to come back; what was taken is there then. */
static void
doubt_refused(struct api *api, struct waiting *wait, const struct why *why)
{
    tsdb_doubts_free(wait->doubts);
    wait->error = ERR_AGAIN;
    wait->why = *why;
    doubt_over(api, wait);
}

static void
write_look_refused(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)e;
    doubt_refused(api, doubtful_take(api, request), why);
}

static void
write_look(struct api *api, struct http_request *request)
{
    struct waiting *wait = doubtful_take(api, request);
    struct why why;
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) {
        doubt_refused(api, wait, (why_set(&why, ERR_AGAIN, "shutting down"), &why));
        return;
    }
    int64_t until_ns = env_monotonic_ns(api->options.env) + TSDB_LOOK_NS_MAX;
    wait->error = tsdb_ingest_end(wait->doubts, until_ns, &wait->result, &wait->why);
    doubt_over(api, wait);
}

static void
write_look_later(struct api *api, struct waiting *wait)
{
    struct http_request *request = wait->request;
    lock_take(&api->lock);
    bool room = api->doubtful_count < DOUBTFUL_MAX;
    if (room) {
        wait->next = api->doubtful;
        api->doubtful = wait;
        api->doubtful_count++;
    }
    lock_drop(&api->lock);
    struct why why;
    if (room)
        run_later(api, QUEUE_REPEATS, request, write_look, write_look_refused);
    else
        doubt_refused(
            api, wait,
            (why_set(&why, ERR_AGAIN, "too many requests are waiting for parts to be read"), &why));
}

/* --- judging ---------------------------------------------------------------------------------- */

/* 0, or the status to refuse the request with before its body is looked at. */
static unsigned
write_refusal(struct api *api, struct http_request *request, enum rw_version version,
              struct bytes *ret_tenant, struct why *why)
{
    const char *encoding = http_header(request, "Content-Encoding");
    if (encoding != NULL && encoding[0] != '\0' && strcasecmp(encoding, "snappy") != 0) {
        why_set(why, ERR_INPUT, "unsupported content encoding: expected snappy");
        return 415;
    }
    metric_inc(version == RW_V1 ? &requests_v1 : &requests_v2);
    unsigned refused = one_tenant_named(api, request, ret_tenant, why);
    if (refused != 0) return refused;
    if (!api->options.takes_writes(api->options.context)) {
        why_set(
            why, ERR_UNSUPPORTED,
            "cannot store or forward samples: storage.mode=none and no destination is configured");
        return 501;
    }
    const char *held = api->options.holds_writes(api->options.context);
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) held = "shutting down";
    if (held == NULL) return 0;
    why_set(why, ERR_AGAIN, "%s", held);
    return 503;
}

/* Judges; either answers or leaves the request waiting. */
static void
write_judge(struct api *api, struct http_request *request)
{
    enum rw_version version;
    struct bytes tenant;
    struct why why = {""};
    if (!parse_content_type(http_header(request, "Content-Type"), &version)) {
        http_reply_text(request, 415,
                        "unsupported content type: expected application/x-protobuf with "
                        "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request\n");
        return;
    }
    unsigned refused = write_refusal(api, request, version, &tenant, &why);
    if (refused != 0) {
        reply_nothing_written(api, request, version, refused, &why);
        return;
    }
    struct write_memory *w = write_memory_take(api);
    struct waiting *wait = NULL;
    enum err e = OK;
    if (w != NULL) e = write_decode(api, request, version, w, &why);
    if (e == ERR_INPUT || e == ERR_LIMIT) metric_inc(&malformed);
    if (w != NULL && e == OK) {
        lock_take(&api->lock);
        wait = api->spare_waiting;
        if (wait != NULL) api->spare_waiting = wait->next;
        lock_drop(&api->lock);
        if (wait == NULL) wait = mem_alloc(&api->write_budget, sizeof *wait);
    }
    if (e == OK && wait == NULL) e = why_set(&why, ERR_NOMEM, "not enough memory for the request");
    if (e) {
        if (w != NULL) write_memory_put(api, w);
        reply_nothing_written(api, request, version, status_of(FOR_WRITE, e), &why);
        return;
    }
    *wait = (struct waiting){.request = request, .version = version, .memory = w};
    wait->error = write_ingest(api, version, tenant, w, wait, &wait->why);
    if (wait->doubts != NULL) {
        write_look_later(api, wait);
        return;
    }
    write_memory_put(api, w);
    write_judged(api, tenant, wait);
}

static void
write_refuse(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)e;
    enum rw_version version = RW_V1;
    (void)parse_content_type(http_header(request, "Content-Type"), &version);
    reply_nothing_written(api, request, version, 503, why);
}

void
write_run(struct api *api, struct http_request *request)
{
    if (http_body(request).size > WORKER_BODY_BYTES)
        run_later(api, QUEUE_WRITES, request, write_judge, write_refuse);
    else
        write_judge(api, request);
}
